"""A sandbox refuses what an account may not do: limits, working hours, a sign-out."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import aiohttp
import pytest
from event_loops import VirtualLoop
from hypothesis import given
from hypothesis import strategies as some

from linkedapi_async import st
from linkedapi_async._http.requests import is_loopback
from linkedapi_async.admin import Limit
from linkedapi_async.errors import ActionError, RequestError, WorkflowFailedError
from linkedapi_async.sandbox import Sandbox, WorkingHours
from linkedapi_async.sandbox._clock import Calendar
from linkedapi_async.sandbox._definitions import loaded
from linkedapi_async.sandbox._limits import AccountLimits
from linkedapi_async.sandbox._options import parse_hours, parse_limits
from linkedapi_async.sandbox._tokens import account_id, account_name
from linkedapi_async.sandbox._working_hours import OpenHours


pytestmark = pytest.mark.anyio

ACCOUNT = "account-1"
JANE = "https://www.linkedin.com/in/jane"
NOON = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)
DAY = 86_400.0
HOURS = WorkingHours(opens="09:00", closes="17:00")
MESSAGES = ("stMessages", "daily")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Run with virtual time, in which days pass at once."""
    return "asyncio", {"loop_factory": VirtualLoop}


class Stopped:
    """A clock that a test moves."""

    when = 0.0

    def now(self) -> float:
        """Return the time in seconds."""
        return self.when


def limited(**settings: Any) -> Sandbox:
    """Return a sandbox whose clock starts at noon of a Wednesday."""
    return Sandbox(
        **{"duration": 60, "now": NOON, "identification_tokens": [ACCOUNT], **settings}
    )


async def message_errors(sandbox: Sandbox, count: int, **session: Any) -> list[Any]:
    """Send messages one after another; return the error type of each, or None."""
    errors: list[Any] = []
    async with sandbox.session(**session) as opened:
        for _ in range(count):
            try:
                await opened.run(st.send_message(JANE, text="Hi"))
                errors.append(None)
            except ActionError as error:
                errors.append(error.type)
    return errors


async def call(sandbox: Sandbox, method: str, path: str, body: Any = None) -> Any:
    """Return the status and the JSON of an answer."""
    headers = {"linked-api-token": "t", "identification-token": ACCOUNT}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.request(method, sandbox.url + path, json=body) as answer,
    ):
        return answer.status, await answer.json()


# Limits


@pytest.mark.parametrize(
    "limits", [{MESSAGES: 2}, {("stMessages", "weekly"): 2, MESSAGES: 9}]
)
async def test_limits_are_enforced(limits: Any) -> None:
    """Actions above a limit fail with limitExceeded, the earlier ones do not."""
    async with limited(limits=limits) as sandbox:
        assert [None, None, "limitExceeded"] == await message_errors(sandbox, 3)


async def test_a_plain_sandbox_enforces_no_limit() -> None:
    """Without settings there is no limit, and the documented ones are not enforced."""
    async with limited() as sandbox:
        sandbox.set_limits(ACCOUNT, {("stPosts", "daily"): 0})

        assert [None] * 51 == await message_errors(sandbox, 51)


async def test_default_limits() -> None:
    """The documented limits are enforced on request."""
    async with limited(limits="default") as sandbox:
        errors = await message_errors(sandbox, 51)

    assert [*[None] * 50, "limitExceeded"] == errors


async def test_the_account_api_has_no_limits() -> None:
    """Limits do not apply to the older generation."""
    async with limited(limits={MESSAGES: 0}) as sandbox:
        assert [None] == await message_errors(sandbox, 1, generation="account_api")


async def test_limits_of_the_admin_api() -> None:
    """Limits that the Admin API sets are enforced while they are enabled."""
    async with limited() as sandbox, sandbox.admin() as admin:
        before = await message_errors(sandbox, 2)
        account = account_id(account_name(ACCOUNT))
        await admin.accounts.get_all()
        limit = Limit(category="stMessages", period="monthly", max_value=3)
        await admin.limits.set(account, [limit])
        enforced = await message_errors(sandbox, 2)
        (used,) = [
            usage.current_value
            for usage in await admin.limits.get_usage(account)
            if usage.period == "monthly"
        ]
        limit.is_enabled = False
        await admin.limits.set(account, [limit])
        disabled = await message_errors(sandbox, 1)

    assert [None, None] == before
    assert [None, "limitExceeded"] == enforced
    assert 3 == used
    assert [None] == disabled


async def test_nested_actions_count() -> None:
    """The actions in a loop count one by one, and those above the limit fail."""
    page = st.open_person_page()
    search = st.search_people(term="x", limit=5).then(st.do_for_people().then(page))
    async with (
        limited(limits={("stPersonProfileViews", "daily"): 3}) as sandbox,
        sandbox.session() as session,
    ):
        completion = await (await session.start(search)).completion()
        again = await (await session.start(search)).completion()

    failures = [outcome.error for outcome in completion.all(page)]
    assert [None] * 3 == failures[:3]
    assert ["limitExceeded"] * 2 == [error.type for error in failures[3:] if error]
    assert all(outcome.error for outcome in again.all(page))


@pytest.mark.parametrize(
    ("period", "resets"), [("daily", 11), ("weekly", 83 + 24), ("monthly", 731)]
)
async def test_periods_begin_at_midnight(period: str, resets: int) -> None:
    """A limit is reset at the midnight of the time zone that begins its period."""
    limits = {("stMessages", period): 1}
    async with limited(limits=limits, timezone="Europe/Berlin", duration=1) as sandbox:
        errors = await message_errors(sandbox, 1)
        # Noon in UTC is two in the afternoon in Berlin.
        await asyncio.sleep((resets - 1.9) * 3600)
        errors += await message_errors(sandbox, 1)
        await asyncio.sleep(2 * 3600)
        errors += await message_errors(sandbox, 1)

    assert [None, "limitExceeded", None] == errors


async def test_scripted_outcomes_count() -> None:
    """Limits apply to outcomes by script, too, and to whole scripted completions."""
    node = {"actionType": "st.sendMessage", "success": True}
    async with limited(limits={MESSAGES: 2}) as sandbox:
        sandbox.script(st.send_message)
        errors = await message_errors(sandbox, 1)
        sandbox.script_workflow(node)
        errors += await message_errors(sandbox, 2)

    assert [None, None, "limitExceeded"] == errors


async def test_a_message_above_the_limit_is_not_sent() -> None:
    """The inbox has only the messages that were sent."""
    message = st.send_message(text="Hi")
    search = st.search_people(term="x", limit=3).then(
        st.do_for_people().then(st.open_person_page().then(message))
    )
    async with (
        limited(limits={MESSAGES: 2}) as sandbox,
        sandbox.session() as session,
    ):
        await (await session.start(search)).completion()
        messages = await session.poll_inbox()

    assert 2 == len(messages)


async def test_note_limit() -> None:
    """Requests with a note have a limit of their own, and those without go on."""
    errors = []
    async with limited(note_limit=1) as sandbox, sandbox.session() as session:
        for note in ("Hi", "Hi", None):
            handle = await session.start(st.send_connection_request(JANE, note=note))
            error = (await handle.completion()).root.error
            errors.append(error and error.type)
        sandbox.set_note_limit(ACCOUNT, None)
        await session.run(st.send_connection_request(JANE, note="Hi"))

    assert [None, "noteLimitExceeded", None] == errors


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"limits": {("stVisits", "daily"): 1}},
            "category must be one of .*'stVisits'",
        ),
        ({"limits": {("stPosts", "hourly"): 1}}, "period must be one of .*'hourly'"),
        ({"limits": {("stPosts", "daily"): -1}}, "integer of at least 0, got -1"),
        ({"note_limit": -1}, "integer of at least 0, got -1"),
        ({"timezone": "Mars"}, "timezone must be a name .*'Mars'"),
        ({"now": dt.datetime(2026, 1, 1)}, "now must have a time zone"),  # noqa: DTZ001
        ({"seats": 0}, "seats must be from 1 to 1000, got 0"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], message: str) -> None:
    """Wrong settings are refused with what is allowed."""
    with pytest.raises(ValueError, match=message):
        Sandbox(**settings)


@given(
    maximum=some.integers(0, 5),
    days=some.lists(some.floats(0, 60 * DAY), max_size=25).map(sorted),
    period=some.sampled_from(["daily", "weekly", "monthly"]),
)
def test_no_period_exceeds_its_limit(
    maximum: int, days: list[float], period: str
) -> None:
    """Whenever actions come, no period has more successes than its limit."""
    calendar = Calendar(Stopped(), 1.0, NOON, dt.UTC)
    limits = AccountLimits(calendar, {("stMessages", period): maximum}, None)
    definition = {"actionType": "st.sendMessage", "personUrl": JANE, "text": "Hi"}
    done: dict[Any, int] = {}
    for when in days:
        node = {"actionType": "st.sendMessage", "success": True}
        limits.apply("a", loaded(definition), node, when, enforce=True)
        date = calendar.at(when).date()
        week = date - dt.timedelta(days=date.weekday())
        key = {"daily": date, "weekly": week, "monthly": (date.year, date.month)}[
            period
        ]
        done[key] = done.get(key, 0) + (node["success"] is True)

        assert (done[key] == maximum) or node["success"]

    assert all(count <= maximum for count in done.values())


# Working hours


async def test_workflows_wait_for_the_working_hours() -> None:
    """Outside of the hours a workflow is parked with a reason, and starts by itself."""
    evening = NOON + dt.timedelta(hours=8)
    async with limited(now=evening, working_hours=HOURS) as sandbox:
        definition = {"actionType": "st.retrieveSSI"}
        _, answer = await call(sandbox, "POST", "/workflows", definition)
        workflow_id = answer["result"]["workflowId"]
        _, waits = await call(sandbox, "GET", f"/workflows/{workflow_id}")
        await asyncio.sleep(13 * 3600 + 30)
        _, runs = await call(sandbox, "GET", f"/workflows/{workflow_id}")
        await asyncio.sleep(60)
        _, done = await call(sandbox, "GET", f"/workflows/{workflow_id}")

    fields = {"workflowStatus": "pending", "pendingReason": "outsideWorkingHours"}
    assert fields | {"workflowId": workflow_id} == {
        key: value for key, value in answer["result"].items() if key != "message"
    }
    assert answer == waits
    assert "2026-07-02 09:00 (UTC)" in waits["result"]["message"]
    assert "running" == runs["result"]["workflowStatus"]
    assert "completed" == done["result"]["workflowStatus"]


async def test_working_hours_refuse_starts() -> None:
    """With the policy to refuse, a start outside of the hours is an error."""
    hours = WorkingHours(opens="00:00", closes="11:00", refuse=True)
    async with limited(working_hours=hours) as sandbox:
        for generation in ("linked_api", "account_api"):
            session = sandbox.session(generation)
            async with session:
                if generation == "account_api":
                    await session.start(st.check_connection_status(JANE))
                    continue
                with pytest.raises(RequestError) as caught:
                    await session.start(st.check_connection_status(JANE))
                assert "outsideWorkingHours" == caught.value.type


async def test_a_wait_for_the_working_hours_expires() -> None:
    """A workflow that waited too long fails, and those behind it are not held up."""
    hours = WorkingHours(opens="01:00", closes="02:00", max_wait=3600)
    async with limited(working_hours=hours) as sandbox, sandbox.session() as session:
        handles = [await session.start(st.retrieve_ssi()) for _ in range(2)]
        reasons = []
        for handle in handles:
            with pytest.raises(WorkflowFailedError) as caught:
                await handle
            reasons.append(caught.value.reason)
        (first, second) = sandbox.workflows

    assert ["workingHoursWaitExpired"] * 2 == reasons
    assert 3600 == pytest.approx((first.finished or 0) - first.accepted)
    assert (second.finished or 0) < 2 * 3600


async def test_working_hours_change() -> None:
    """Hours can be set and removed at any time, from that time on."""
    async with limited() as sandbox, sandbox.session() as session:
        sandbox.set_working_hours(ACCOUNT, WorkingHours(days=["sun"]))
        handle = await session.start(st.retrieve_ssi())
        await asyncio.sleep(3600)
        sandbox.set_working_hours(ACCOUNT, None)
        await handle
        (workflow,) = sandbox.workflows

    assert 3600 <= (workflow.started or 0) - workflow.accepted < 3700


@given(
    when=some.floats(0, 30 * DAY),
    opens=some.times(max_value=dt.time(22)),
    length=some.integers(1, 119),
    days=some.sets(some.sampled_from(["mon", "wed", "sat", "sun"]), min_size=1),
)
def test_the_next_opening(
    when: float, opens: dt.time, length: int, days: set[str]
) -> None:
    """The next opening is within the hours and never earlier than asked."""
    opens = opens.replace(microsecond=0)
    start = dt.datetime.combine(NOON, opens) + dt.timedelta(minutes=length)
    hours = WorkingHours(opens=opens, closes=start.time(), days=days)
    calendar = Calendar(Stopped(), 1.0, NOON, dt.UTC)
    found = hours.next_opening(calendar, when)
    moment = calendar.at(found) + dt.timedelta(milliseconds=1)

    assert found >= when
    assert f"{moment:%a}".lower() in days
    assert hours.opens <= moment.time()
    assert calendar.at(found).time() <= hours.closes


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"days": ["monday"]}, "days must be some of mon, .* got"),
        ({"days": []}, "days must be some of mon"),
        ({"opens": "18:00", "closes": "09:00"}, "opens must be before closes"),
        ({"opens": "nine"}, "Invalid isoformat"),
    ],
)
def test_wrong_hours(settings: dict[str, Any], message: str) -> None:
    """Hours that never open are refused."""
    with pytest.raises(ValueError, match=message):
        WorkingHours(**settings)


# Signing out


async def test_sign_out_fails_what_waits() -> None:
    """What runs is finished; what waits fails, and starts work after a sign-in."""
    async with limited() as sandbox, sandbox.session() as session:
        handles = [await session.start(st.retrieve_ssi()) for _ in range(3)]
        sandbox.sign_out(ACCOUNT)
        states = [workflow.state for workflow in sandbox.workflows]
        await handles[0]
        with pytest.raises(WorkflowFailedError) as caught:
            await handles[2]
        sandbox.sign_in(ACCOUNT)
        session.account(ACCOUNT).unpause()
        await session.run(st.retrieve_ssi())

    assert ["running", "failed", "failed"] == states
    assert "linkedinAccountSignedOut" == caught.value.reason


# Targets that do not exist


@pytest.mark.parametrize(
    ("action", "error"),
    [
        (st.open_person_page(f"{JANE[:28]}not-found-1"), "personNotFound"),
        (
            st.open_company_page("https://www.linkedin.com/company/not-found"),
            "companyNotFound",
        ),
        (st.open_job("https://www.linkedin.com/jobs/view/not-found-7/"), "jobNotFound"),
        (st.open_post("https://www.linkedin.com/posts/not-found-x"), "postNotFound"),
    ],
)
async def test_targets_that_do_not_exist(action: Any, error: str) -> None:
    """A target whose name begins with not-found fails, so that a failure is seen."""
    async with limited() as sandbox, sandbox.session() as session:
        with pytest.raises(ActionError) as caught:
            await session.run(action)

    assert error == caught.value.type


# Control over HTTP


async def test_control_is_off_unless_wanted() -> None:
    """Without the setting there is neither control nor a log over HTTP."""
    async with limited() as sandbox:
        assert 404 == (await call(sandbox, "GET", "/sandbox/log"))[0]
        assert 404 == (await call(sandbox, "POST", "/sandbox/clearFaults"))[0]


async def test_control_over_http() -> None:
    """All controls work over HTTP, and the log has the workflows without tokens."""
    hours = {"opens": "00:30", "closes": "01:00", "days": ["mon"], "maxWait": 60}
    limit = {"category": "stMessages", "period": "daily", "maxValue": 0}
    calls = {
        "setLimits": {"account": ACCOUNT, "limits": [limit]},
        "setNoteLimit": {"account": ACCOUNT, "maximum": 1},
        "failAction": {"actionType": "st.retrieveSSI", "reason": "unknownError"},
        "signOut": {"account": ACCOUNT},
        "signIn": {"account": ACCOUNT},
        "failNext": {"reason": "languageNotSupported"},
        "clearFaults": None,
    }
    async with limited(control=True, duration=0) as sandbox:
        for name, body in calls.items():
            assert 200 == (await call(sandbox, "POST", f"/sandbox/{name}", body))[0]
        errors = await message_errors(sandbox, 1)
        await call(
            sandbox,
            "POST",
            "/sandbox/setWorkingHours",
            {"account": ACCOUNT, "hours": hours},
        )
        await call(sandbox, "POST", "/workflows", {"actionType": "st.retrieveSSI"})
        _, answer = await call(sandbox, "GET", "/sandbox/log")
        await call(
            sandbox,
            "POST",
            "/sandbox/setWorkingHours",
            {"account": ACCOUNT, "hours": None},
        )
    log = answer["result"]

    assert ["limitExceeded"] == errors
    assert ["completed", "pending"] == [w["status"] for w in log["workflows"]]
    assert (2, "st.sendMessage") == (
        log["starts"],
        log["workflows"][0]["definition"]["actionType"],
    )
    assert ACCOUNT not in str(log)


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("explode", {}, 404),
        ("signOut", {}, 400),
        ("signOut", [], 400),
        ("setLimits", {"account": "a", "limits": [{"category": "x"}]}, 400),
        (
            "setLimits",
            {
                "account": "a",
                "limits": [{"category": "x", "period": "daily", "maxValue": 1}],
            },
            400,
        ),
        ("setWorkingHours", {"account": "a", "hours": {"opens": "x"}}, 400),
    ],
)
async def test_wrong_controls(name: str, body: Any, status: int) -> None:
    """Unknown controls and wrong parameters are refused in the API's envelope."""
    async with limited(control=True) as sandbox:
        found, answer = await call(sandbox, "POST", f"/sandbox/{name}", body)

    assert status == found
    assert answer["success"] is False


# Options of the commands


@pytest.mark.parametrize(
    ("texts", "limits"),
    [
        ([], None),
        (["default"], "default"),
        (
            ["stMessages:daily=50", "stPosts:weekly=0"],
            {MESSAGES: 50, ("stPosts", "weekly"): 0},
        ),
    ],
)
def test_limits_as_text(texts: list[str], limits: Any) -> None:
    """Limits are read from the texts of options."""
    assert limits == parse_limits(texts)


@pytest.mark.parametrize(
    "text", ["", "stMessages=5", "stMessages:daily=-1", "x:y=", "y"]
)
def test_wrong_limits_as_text(text: str) -> None:
    """A limit of another form is refused with an example."""
    with pytest.raises(ValueError, match=r"as in stMessages:daily=50, got"):
        parse_limits([text])


def test_hours_as_text() -> None:
    """Working hours are read from the texts of options."""
    assert None is parse_hours(None, None, refuse=True)
    assert WorkingHours(opens="09:00", closes="17:30") == parse_hours(
        "09:00-17:30", None, refuse=False
    )
    assert WorkingHours(days=["sat", "sun"], refuse=True) == parse_hours(
        "09:00-18:00", "sat,sun", refuse=True
    )
    with pytest.raises(ValueError, match="as in 09:00-17:00, got '9'"):
        parse_hours("9", None, refuse=False)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # the address is what is tested
        ("192.0.2.1", False),
        ("box.example", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    """Only addresses of this machine need no warning."""
    assert loopback == is_loopback(host)


async def test_a_failed_action_does_not_count() -> None:
    """Only what succeeded counts against a limit."""
    async with limited(limits={MESSAGES: 1}) as sandbox:
        sandbox.script(st.send_message, error="personNotFound", times=1)

        assert ["personNotFound", None, "limitExceeded"] == await message_errors(
            sandbox, 3
        )


async def test_open_hours_have_no_message() -> None:
    """A workflow that waits for its turn within the hours does not wait for them."""
    calendar = Calendar(Stopped(), 1.0, NOON, dt.UTC)

    assert OpenHours(HOURS, calendar, 1.0).closed_until(0.0) is None


async def test_an_overtaken_timer_keeps_the_next_one() -> None:
    """A timer whose time is no longer the next change leaves the newer one alone."""
    async with limited() as sandbox, sandbox.session() as session:
        await session.start(st.retrieve_ssi())
        (lane,) = sandbox._webhook._lanes.values()
        endpoint = sandbox._webhook
        endpoint._watched[lane] = 5.0
        endpoint._wake(lane, 3.0)

        assert 5.0 == endpoint._watched[lane]
