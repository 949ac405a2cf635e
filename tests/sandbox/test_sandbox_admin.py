"""The sandbox administers itself as the Admin API does, for us and for the official SDK."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import pathlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import attrs
import linkedapi
import pytest
from linkedapi.admin import AdminHttpClient, LinkedApiAdmin
from linkedapi.changelog import get_changelog
from linkedapi.types import admin as official
from linkedapi.types import webhooks as hooks

from linkedapi_async import (
    AuthenticationError,
    RejectedError,
    RequestError,
    Session,
    nv,
    st,
)
from linkedapi_async.admin import Admin, Limit, LimitUsage
from linkedapi_async.policies import Polling, Retries
from linkedapi_async.sandbox import Sandbox
from linkedapi_async.sandbox._tokens import account_id, account_name


pytestmark = pytest.mark.anyio

DATA = json.loads(
    (pathlib.Path(__file__).parents[1] / "data" / "examples_admin.json").read_text(
        "utf-8"
    )
)
PERSON = "https://www.linkedin.com/in/ada"
TOKENS = ("id_one", "id_two")
NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A fast sandbox with two accounts."""
    start = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)
    async with Sandbox(speed=1000, identification_tokens=TOKENS, now=start) as entered:
        yield entered


@pytest.fixture
async def admin(sandbox: Sandbox) -> AsyncIterator[Admin]:
    """An `Admin` for the sandbox."""
    polling = attrs.evolve(Polling.fixed(0.002), deadline=60)
    async with sandbox.admin(polling=polling) as entered:
        yield entered


def id_of(token: str) -> str:
    """Return the id of an account."""
    return account_id(account_name(token))


async def call(sandbox: Sandbox, name: str, body: Any) -> tuple[int, Any]:
    """Return how the sandbox answers a raw call."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"linked-api-token": "any"}
    async with aiohttp.ClientSession(headers=headers) as client:
        async with client.post(f"{sandbox.url}/admin/{name}", data=data) as response:
            return response.status, await response.json()


@pytest.mark.parametrize(
    "name",
    [
        endpoint["id"].removeprefix("admin.")
        for endpoint in DATA["endpoints"]
        if "(removed)" not in endpoint["summary"] and endpoint["method"] == "POST"
    ],
)
async def test_the_sandbox_has_every_endpoint(name: str, sandbox: Sandbox) -> None:
    """Each endpoint of the facts is there: what it answers is not that it is not."""
    _, answer = await call(sandbox, name, {})

    assert "notFound" != answer.get("error", {}).get("type")


# Subscription


async def test_seats(sandbox: Sandbox, admin: Admin) -> None:
    """Seats are those that were set last, of each type."""
    (before,) = await admin.subscription.get_seats()

    assert "complete" == (await admin.subscription.set_seats(2, "core", "year")).status

    seats = await admin.subscription.get_seats()

    assert ("plus", 1000, "month") == (
        before.seat_type,
        before.quantity,
        before.billing_period,
    )
    assert [("plus", 1000), ("core", 2)] == [(s.seat_type, s.quantity) for s in seats]
    assert "active" == (await admin.subscription.get_status()).status
    assert 4 == len(await admin.subscription.get_pricing())


async def test_no_subscription(sandbox: Sandbox, admin: Admin) -> None:
    """Without a subscription, seats cost a visit to a page first."""
    sandbox.subscribe(None, eligible_for_trial=True)

    status = await admin.subscription.get_status()
    change = await admin.subscription.set_seats(1, "plus", "month")

    assert (None, True) == (status.status, status.eligible_for_trial)
    assert "processing" == change.status
    assert str(change.payment_link).startswith("https://")

    sandbox.subscribe("trialing", cancel_at_period_end=True)
    status = await admin.subscription.get_status()

    assert ("trialing", True) == (status.status, status.cancel_at_period_end)


async def test_surplus_accounts_freeze(sandbox: Sandbox, admin: Admin) -> None:
    """With one seat the second account cannot work, and a third one cannot come."""
    await admin.subscription.set_seats(1, "plus", "month")

    found = (await admin.accounts.get_all()).accounts or []

    assert ["active", "frozen"] == [account.status for account in found]
    with pytest.raises(RejectedError, match="noAvailableSeats"):
        await admin.accounts.create_connection_session()
    workflow = st.retrieve_ssi()
    async with sandbox.session(identification_token="id_one") as session:
        await session.run(workflow)
        with pytest.raises(RequestError, match="subscriptionRequired"):
            await session.account("id_two").run(workflow)


# Accounts


async def test_accounts(sandbox: Sandbox, admin: Admin) -> None:
    """All accounts are listed with their tokens and ids, by which they are known."""
    found = await admin.accounts.get_all()
    records = found.accounts or []

    assert [*TOKENS] == [record.identification_token for record in records]
    assert [*map(id_of, TOKENS)] == [record.id for record in records]
    assert [] == found.pending_connection_sessions
    async with sandbox.session() as session:
        info = await session.info()

    assert (records[0].name, records[0].url) == (info.name, info.url)


async def test_accounts_are_those_seen() -> None:
    """Where any token is valid, an account is there once it was seen."""
    async with Sandbox(speed=1000) as sandbox, sandbox.admin() as admin:
        assert [] == (await admin.accounts.get_all()).accounts
        async with sandbox.session(identification_token="id_new") as session:
            await session.run(st.retrieve_ssi())
        (record,) = (await admin.accounts.get_all()).accounts or []

    assert "id_new" == record.identification_token


async def test_a_new_token(sandbox: Sandbox, admin: Admin) -> None:
    """The old token ends at once, the new one is the same account's."""
    async with sandbox.session() as session:
        handle = await session.start(st.retrieve_ssi())
        await handle
        token = (
            await admin.accounts.regenerate_identification_token(id_of("id_one"))
        ).token
        with pytest.raises(AuthenticationError):
            await session.start(st.retrieve_ssi())
        again = session.account(str(token))

        assert "completed" == await again.status(str(handle.workflow_id))

    records = (await admin.accounts.get_all()).accounts or []

    assert [token, "id_two"] == [record.identification_token for record in records]
    assert id_of("id_one") == records[0].id


async def test_disconnecting(sandbox: Sandbox, admin: Admin) -> None:
    """An account that was removed is gone, with its token."""
    await admin.accounts.disconnect(id_of("id_one"))

    records = (await admin.accounts.get_all()).accounts or []

    assert [id_of("id_two")] == [record.id for record in records]
    with pytest.raises(RejectedError, match="accountNotFound"):
        await admin.accounts.disconnect(id_of("id_one"))
    async with sandbox.session() as session:
        with pytest.raises(AuthenticationError):
            await session.start(st.retrieve_ssi())


async def test_reading_a_profile_again(admin: Admin) -> None:
    """A workflow does it."""
    again = await admin.accounts.reparse_account_info(id_of("id_one"))

    assert str(again.workflow_id).startswith("wf-")


async def test_connecting_an_account(sandbox: Sandbox, admin: Admin) -> None:
    """Once the person has finished, the new account works in a session."""
    connection = await admin.accounts.create_connection_session()
    pending = (await admin.accounts.get_all()).pending_connection_sessions or []
    waiting = asyncio.create_task(connection.wait())
    sandbox.finish_connection(connection.session_id, "streaming")
    token = sandbox.finish_connection(connection.session_id)
    account = await waiting
    progress = await connection.progress()

    assert [connection.session_id] == [session.session_id for session in pending]
    assert ("success", "connect") == (progress.status, progress.type)
    assert token == account.identification_token
    assert connection.session_id in str(connection.link)
    assert [] == (await admin.accounts.get_all()).pending_connection_sessions
    async with sandbox.session() as session:
        await session.account(str(token)).run(st.retrieve_ssi())


async def test_connecting_an_account_anywhere() -> None:
    """Where any token is valid, a new account has one of its own too."""
    async with Sandbox() as sandbox, sandbox.admin() as admin:
        connection = await admin.accounts.create_connection_session()
        token = sandbox.finish_connection(connection.session_id)
        account = await connection.wait(0)

    assert token == account.identification_token


async def test_connecting_an_account_again(sandbox: Sandbox, admin: Admin) -> None:
    """An account that is signed out has a session, and works once it has ended."""
    sandbox.sign_out("id_one")
    records = (await admin.accounts.get_all()).accounts or []
    connection = await admin.accounts.create_reconnection_session(id_of("id_one"))

    assert ["reconnection_required", "active"] == [r.status for r in records]
    assert (connection.session_id, connection.link) == (
        records[0].reconnection_session_id,
        records[0].reconnection_link,
    )
    assert "reconnect" == (await connection.progress()).type
    assert "id_one" == sandbox.finish_connection(connection.session_id)
    await connection.cancel()
    assert "success" == (await connection.progress()).status

    account = await connection.wait()

    assert ("id_one", "active") == (account.identification_token, account.status)
    async with sandbox.session() as session:
        await session.run(st.retrieve_ssi())

    later = await admin.accounts.create_reconnection_session(id_of("id_one"))

    assert connection.session_id != later.session_id


async def test_ended_connections(sandbox: Sandbox, admin: Admin) -> None:
    """What has ended stays so, and what never was is not there."""
    connection = await admin.accounts.create_connection_session()
    await connection.cancel()
    await connection.cancel()

    assert "cancelled" == (await connection.progress()).status
    for id in (connection.session_id, "unknown"):
        with pytest.raises(ValueError, match="no open connection session"):
            sandbox.finish_connection(id)
    with pytest.raises(RejectedError, match="sessionNotFound") as caught:
        await admin.accounts.cancel_connection_session("unknown")

    assert 404 == caught.value.http_status


# Limits


def of_messages(usage: list[LimitUsage]) -> LimitUsage:
    """Return the usage of the daily limit of messages."""
    (found,) = (u for u in usage if (u.category, u.period) == ("stMessages", "daily"))
    return found


async def test_limits(admin: Admin) -> None:
    """Limits of an account go before the defaults, which come back without them."""
    one, two = map(id_of, TOKENS)
    defaults = await admin.limits.get_defaults()
    mine = Limit(category="stMessages", period="daily", max_value=7, is_enabled=False)
    more = Limit(category="nvMessages", period="weekly", max_value=3)
    await admin.limits.set(one, [mine, more])
    limits = await admin.limits.get(one)

    assert [("stMessages", 50), ("stConnectionRequests", 10)] == [
        (limit.category, limit.max_value) for limit in defaults
    ]
    assert [mine, defaults[1]] == limits[:2]
    assert [("nvMessages", 3, True)] == [
        (limit.category, limit.max_value, limit.is_enabled) for limit in limits[2:]
    ]
    assert defaults == await admin.limits.get(two)

    await admin.limits.delete(one, [mine])

    assert [*defaults, limits[2]] == await admin.limits.get(one)

    await admin.limits.reset_to_defaults(one)

    assert defaults == await admin.limits.get(one)


async def test_usage(sandbox: Sandbox, admin: Admin) -> None:
    """What an account did counts against its limits, and against those of no other."""
    one, two = map(id_of, TOKENS)
    message = st.send_message(text="Hello")
    both = st.open_person_page(PERSON).then(message, nv.open_person_page())
    async with sandbox.session() as session:
        await session.run(st.send_message(PERSON, text="Hello"))
        await session.run(both)

    used = of_messages(await admin.limits.get_usage(one))

    assert (2, 50, True) == (used.current_value, used.max_value, used.is_enabled)
    assert {} == used.extra
    assert 0 == of_messages(await admin.limits.get_usage(two)).current_value


async def test_usage_ends_with_its_period() -> None:
    """What was done before the period does not count."""
    async with Sandbox(speed=1_000_000, duration=1.0) as sandbox, sandbox.admin() as a:
        async with sandbox.session(identification_token="id_one") as session:
            await session.run(st.send_message(PERSON, text="Hello"))
        await asyncio.sleep(0.1)  # a day of the sandbox's
        usage = await a.limits.get_usage(id_of("id_one"))

    assert 0 == of_messages(usage).current_value


# Refusals

A = {"accountId": id_of("id_one")}
ENTRY = {"category": "stPosts", "period": "daily", "maxValue": 1}


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        ("limits.get", {}, (401, "accountIdRequired")),
        ("limits.get", {"accountId": 5}, (401, "accountIdRequired")),
        ("limits.get", {"accountId": NOBODY}, (401, "accountNotFound")),
        ("limits.get", [], (400, "invalidRequestPayload")),
        ("limits.get", b"{", (400, "invalidRequestPayload")),
        ("limits.set", A, (400, "invalidRequestPayload")),
        ("limits.set", {**A, "limits": [5]}, (400, "invalidRequestPayload")),
        (
            "limits.set",
            {**A, "limits": [{**ENTRY, "category": "x"}]},
            (400, "invalidRequestPayload"),
        ),
        (
            "limits.set",
            {**A, "limits": [{**ENTRY, "period": 5}]},
            (400, "invalidRequestPayload"),
        ),
        (
            "limits.set",
            {**A, "limits": [ENTRY, {**ENTRY, "maxValue": -1}]},
            (400, "invalidRequestPayload"),
        ),
        (
            "limits.set",
            {**A, "limits": [{**ENTRY, "maxValue": True}]},
            (400, "invalidRequestPayload"),
        ),
        (
            "limits.set",
            {**A, "limits": [{**ENTRY, "isEnabled": 1}]},
            (400, "invalidRequestPayload"),
        ),
        (
            "subscription.setSeats",
            {"quantity": 1001, "seatType": "core", "billingPeriod": "year"},
            (400, "invalidRequestPayload"),
        ),
        ("accounts.getConnectionSession", {}, (404, "sessionNotFound")),
        ("accounts.getNone", {}, (404, "notFound")),
    ],
)
async def test_refusals(
    name: str, body: Any, expected: Any, sandbox: Sandbox, admin: Admin
) -> None:
    """Bad parameters get the API's word, and change nothing."""
    status, answer = await call(sandbox, name, body)

    assert expected == (status, answer["error"]["type"])
    assert 2 == len(await admin.limits.get(A["accountId"]))


async def test_the_token_is_checked() -> None:
    """Administration needs the main token, and no other."""
    async with Sandbox(tokens=["right"]) as sandbox:
        async with sandbox.admin(linked_api_token="wrong") as admin:
            with pytest.raises(AuthenticationError, match="invalidLinkedApiToken"):
                await admin.accounts.get_all()
        async with sandbox.admin() as admin:
            await admin.accounts.get_all()


async def test_faults_of_administration(sandbox: Sandbox) -> None:
    """A fault may be meant for it alone."""
    fault = sandbox.inject_fault("status", on="admin", status=503)
    async with sandbox.admin(
        retries=Retries(initial_delay=0.001, max_delay=0.01)
    ) as admin:
        await admin.limits.get_defaults()

    assert ["admin"] == [met.endpoint for met in fault.hits]


# Changelog


async def test_the_changelog(sandbox: Sandbox, admin: Admin) -> None:
    """Releases count from the end of their week on."""
    everything = await admin.changelog()
    entries = everything.entries or []
    later = await admin.changelog("2026-07-12")
    none = await admin.changelog("2026-07-27T00:00:00Z")

    assert len(entries) == everything.count
    assert ["2026-07-20", "2026-07-06"] == [e.date for e in later.entries or []]
    assert ("2026-07-27T00:00:00Z", 0, []) == (none.since, none.count, none.entries)


@pytest.mark.parametrize("since", ["soon", "2026-07-12T00:00:00"])
async def test_a_wrong_since(since: str, sandbox: Sandbox) -> None:
    """What is no date and has no zone is refused in plain words."""
    async with aiohttp.ClientSession() as client:
        url = f"{sandbox.url}/api/changelog"
        async with client.get(url, params={"since": since}) as response:
            answer = await response.json()

    assert 400 == response.status
    assert {"error": "since must be an ISO 8601 date or a zoned instant"} == answer


# Who is who


async def test_identifying(sandbox: Sandbox, admin: Admin) -> None:
    """The accounts of a session learn the ids by which webhooks name them."""
    async with sandbox.session() as session:
        two, other = session.account("id_two"), session.account("id_other")

        strangers = await admin.identify(session)

        assert (other,) == strangers
        assert id_of("id_one") == session.account("id_one").account_id
        assert id_of("id_two") == two.account_id
        assert other.account_id is None


async def test_identifying_without_a_default_account(
    sandbox: Sandbox, admin: Admin
) -> None:
    """A session may have named accounts only, or none."""
    settings: Any = {"linked_api_token": "any", "base_url": sandbox.url}
    async with Session(**settings) as session:
        assert () == await admin.identify(session)
        account = session.account("id_one")
        assert () == await admin.identify(session)

    assert id_of("id_one") == account.account_id


def tell(sandbox: Sandbox, change: Callable[[dict[str, Any]], Any]) -> None:
    """Let the sandbox tell its accounts otherwise."""
    calls = sandbox._administration.calls
    plain = calls["accounts.getAll"]

    def reported(params: Any) -> Any:
        """Change every record."""
        found = plain(params)
        for record in found["accounts"]:
            change(record)
        return found

    calls["accounts.getAll"] = reported


async def test_identifying_by_profile(sandbox: Sandbox, admin: Admin) -> None:
    """When accounts have no tokens, an account is asked for its owner."""

    def change(record: dict[str, Any]) -> None:
        """Hide the token, and write the address in another way."""
        record["identificationToken"] = None
        record["url"] = record["url"].upper() + "/?locale=en"

    tell(sandbox, change)
    async with sandbox.session() as session:
        session.account("id_two")
        assert () == await admin.identify(session)
        assert id_of("id_two") == session.account("id_two").account_id


async def test_identifying_by_an_ambiguous_profile(
    sandbox: Sandbox, admin: Admin
) -> None:
    """Two records with the same profile are ambiguous, so none is chosen."""
    async with sandbox.session() as session:
        url = (await session.info()).url
        tell(sandbox, lambda r: r.update(identificationToken=None, url=url))

        assert (session.account("id_one"),) == await admin.identify(session)


async def test_identifying_who_cannot_be_asked(
    sandbox: Sandbox, admin: Admin, caplog: pytest.LogCaptureFixture
) -> None:
    """An account that does not answer, or cannot, stays a stranger."""
    tell(sandbox, lambda record: record.pop("identificationToken"))
    async with sandbox.session("account_api") as older, sandbox.session() as session:
        wrong = session.account("id_wrong")

        assert (older.account("id_one"),) == await admin.identify(older)
        assert (wrong,) == await admin.identify(session)

    assert 2 == caplog.text.count("Could not read the profile of account")
    assert "id_wrong" not in caplog.text


async def test_identifying_by_no_profile(sandbox: Sandbox, admin: Admin) -> None:
    """Records with neither token nor profile identify no account."""
    tell(sandbox, lambda r: r.update(identificationToken=None, url=None))
    async with sandbox.session() as session:
        assert (session.account("id_one"),) == await admin.identify(session)


# The webhook


async def test_webhooks(sandbox: Sandbox, admin: Admin) -> None:
    """The webhook is set, changed and removed; its secret is shown on request."""
    hook = await admin.webhook.set(
        "http://127.0.0.1:9/hook", signing_enabled=True, events=["account.*"]
    )
    id = str(hook.id)
    secret = (await admin.webhook.rotate_secret(id)).secret

    assert ["account.*"] == hook.events
    assert hook.secret not in {None, secret}
    assert secret == (await admin.webhook.reveal_secret(id)).secret
    assert secret == (await admin.webhook.set_signing(id, True)).secret
    assert "thin" == (await admin.webhook.set_payload_mode(id, "thin")).payload_mode
    assert (await admin.webhook.set_events(id, None)).events is None
    await admin.webhook.set_headers(id, {"X-One": "1"})
    both = (await admin.webhook.set_header(id, "X-Two", "2")).header_names or []
    assert ["x-one", "x-two"] == sorted(name.lower() for name in both)
    assert 1 == len((await admin.webhook.delete_header(id, "X-TWO")).header_names or [])
    (seen,) = await admin.webhook.get()
    assert (id, None) == (seen.id, seen.secret)
    assert "account.active" in await admin.webhook.event_types()
    await admin.webhook.delete(id)
    assert [] == await admin.webhook.get()


async def test_events_of_accounts(sandbox: Sandbox, admin: Admin) -> None:
    """The webhook gets an event when an account is connected or removed."""
    await admin.webhook.set("http://127.0.0.1:9/hook")
    connection = await admin.accounts.create_connection_session()
    sandbox.finish_connection(connection.session_id)
    await admin.accounts.disconnect(id_of("id_two"))
    await admin.webhook.send_test()
    deliveries = await admin.webhook.deliveries()

    assert ["webhook.test", "account.deleted", "account.active"] == [
        delivery.event_type for delivery in deliveries
    ]
    await admin.webhook.replay_delivery(str(deliveries[0].id))


# The official SDK


def plain(value: Any) -> Any:
    """Return what the official SDK read as JSON without what is absent."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.model_dump(by_alias=True, exclude_none=True)


def own(value: Any) -> Any:
    """Return what we read in the same form."""
    if isinstance(value, list):
        return [own(item) for item in value]
    shown: dict[str, Any] = {}
    for name, wires in value._json_names().items():
        found = getattr(value, name)
        if isinstance(found, list):
            found = [own(f) if hasattr(f, "raw") else f for f in found]
        if found is not None:
            # The SDK reads the older name of the two.
            shown[{"currentValue": "currentUsage"}.get(wires[0], wires[0])] = found
    return shown


def webhooks(theirs: LinkedApiAdmin) -> list[Any]:
    """Do everything about a webhook that the official SDK can; return what it read."""
    calls = theirs.webhooks
    hook = calls.set(
        hooks.SetWebhookParams(
            url="http://127.0.0.1:9/hook",
            payload_mode="fat",
            signing_enabled=True,
            headers={"x-one": "1"},
            events=["inbox.*"],
        )
    )
    id = str(hook.id)
    calls.send_test()
    (delivery,) = calls.deliveries()
    calls.replay_delivery(
        hooks.ReplayWebhookDeliveryParams(delivery_id=str(delivery.id))
    )
    read = [
        calls.set_payload_mode(
            hooks.SetWebhookPayloadModeParams(id=id, payload_mode="thin")
        ),
        calls.set_signing(hooks.SetWebhookSigningParams(id=id, signing_enabled=True)),
        calls.set_header(hooks.SetWebhookHeaderParams(id=id, name="x-two", value="2")),
        calls.delete_header(hooks.DeleteWebhookHeaderParams(id=id, name="x-one")),
        calls.set_headers(hooks.SetWebhookHeadersParams(id=id, headers=None)),
        calls.set_events(hooks.SetWebhookEventsParams(id=id, events=None)),
        calls.reveal_secret(hooks.RevealWebhookSecretParams(id=id)),
        *calls.get(),
    ]
    types = calls.event_types()
    calls.rotate_secret(hooks.RotateWebhookSecretParams(id=id))
    calls.delete(hooks.DeleteWebhookParams(id=id))
    return [*read, types, calls.get()]


async def our_webhooks(ours: Admin) -> list[Any]:
    """Do the same as `webhooks`."""
    calls = ours.webhook
    hook = await calls.set(
        "http://127.0.0.1:9/hook",
        payload_mode="fat",
        signing_enabled=True,
        headers={"x-one": "1"},
        events=["inbox.*"],
    )
    id = str(hook.id)
    await calls.send_test()
    (delivery,) = await calls.deliveries()
    await calls.replay_delivery(str(delivery.id))
    read = [
        await calls.set_payload_mode(id, "thin"),
        await calls.set_signing(id, True),
        await calls.set_header(id, "x-two", "2"),
        await calls.delete_header(id, "x-one"),
        await calls.set_headers(id, None),
        await calls.set_events(id, None),
        await calls.reveal_secret(id),
        *await calls.get(),
    ]
    types = await calls.event_types()
    await calls.rotate_secret(id)
    await calls.delete(id)
    return [*read, types, await calls.get()]


async def test_the_official_sdk_sets_webhooks() -> None:
    """All that the official SDK can do about webhooks, we can, with the same answers."""
    async with Sandbox() as one, Sandbox() as two, two.admin() as ours:
        *theirs, types, none = await asyncio.to_thread(webhooks, official_admin(one))
        *hooked, our_types, our_none = await our_webhooks(ours)

    unlike = {"createdAt": None}
    assert [{**plain(hook), **unlike} for hook in theirs] == [
        {**own(hook), **unlike} for hook in hooked
    ]
    assert 8 == len(theirs)
    assert types == our_types
    assert [] == none == our_none


ONE = id_of("id_one")
READS: dict[str, tuple[Callable[[LinkedApiAdmin], Any], Callable[[Admin], Any]]] = {
    "get_status": (
        lambda o: o.subscription.get_status(),
        lambda a: a.subscription.get_status(),
    ),
    "get_seats": (
        lambda o: o.subscription.get_seats().seats,
        lambda a: a.subscription.get_seats(),
    ),
    "get_all": (lambda o: o.accounts.get_all(), lambda a: a.accounts.get_all()),
    "get_defaults": (
        lambda o: o.limits.get_defaults().limits,
        lambda a: a.limits.get_defaults(),
    ),
    "get_limits": (
        lambda o: o.limits.get(official.GetLimitsParams(account_id=ONE)).limits,
        lambda a: a.limits.get(ONE),
    ),
    "get_usage": (
        lambda o: (
            o.limits.get_usage(official.GetLimitsUsageParams(account_id=ONE)).usage
        ),
        lambda a: a.limits.get_usage(ONE),
    ),
}


def official_admin(sandbox: Sandbox) -> LinkedApiAdmin:
    """Return the official client for the sandbox."""
    config = official.AdminConfig(linked_api_token="any")
    return LinkedApiAdmin(AdminHttpClient(config, base_url=sandbox.url))


@pytest.mark.parametrize("name", READS)
async def test_the_official_sdk_reads_the_same(
    name: str, sandbox: Sandbox, admin: Admin
) -> None:
    """Of each answer the official SDK and we make the same."""
    theirs, ours = READS[name]
    sandbox.sign_out("id_two")
    await admin.accounts.create_connection_session()
    async with sandbox.session() as session:
        await session.run(st.send_message(PERSON, text="Hello"))

    expected = await asyncio.to_thread(theirs, official_admin(sandbox))

    assert plain(expected) == own(await ours(admin))


async def test_the_official_sdk_reads_the_same_changelog(
    sandbox: Sandbox, admin: Admin
) -> None:
    """The changelog as well."""
    url = f"{sandbox.url}/api/changelog"

    expected = await asyncio.to_thread(get_changelog, "2026-07-01", url=url)

    assert plain(expected) == own(await admin.changelog("2026-07-01"))


def administer(theirs: LinkedApiAdmin) -> list[Any]:
    """Change all that the official SDK can change but for the webhook."""
    seats = official.SetSeatsParams(
        quantity=5, seat_type="core", billing_period="month"
    )
    theirs.subscription.set_seats(seats)
    accounts, limits = theirs.accounts, theirs.limits
    opened = accounts.create_connection_session()
    session_id = str(opened.session_id)
    asked = official.GetConnectionSessionParams(session_id=session_id)
    before = accounts.get_connection_session(asked).session
    accounts.cancel_connection_session(
        official.CancelConnectionSessionParams(session_id=session_id)
    )
    after = accounts.get_connection_session(asked).session
    again = accounts.create_reconnection_session(
        official.CreateReconnectionSessionParams(account_id=ONE)
    )
    accounts.reparse_account_info(official.ReparseAccountInfoParams(account_id=ONE))
    token = accounts.regenerate_identification_token(
        official.RegenerateTokenParams(account_id=ONE)
    )
    entry = official.SetLimitEntry(category="stPosts", period="daily", max_value=2)
    limits.set(official.SetLimitsParams(account_id=ONE, limits=[entry]))
    gone = official.DeleteLimitEntry(category="stMessages", period="daily")
    limits.delete(official.DeleteLimitsParams(account_id=ONE, limits=[gone]))
    found = limits.get(official.GetLimitsParams(account_id=ONE)).limits or []
    limits.reset_to_defaults(official.ResetLimitsParams(account_id=ONE))
    two = id_of("id_two")
    accounts.disconnect(official.DisconnectParams(account_id=two))
    with pytest.raises(linkedapi.LinkedApiError, match=r".") as caught:
        accounts.disconnect(official.DisconnectParams(account_id=two))
    assert before is not None
    assert after is not None
    return [
        *(before.status, after.status, bool(again.reconnection_link), token.token),
        *([limit.category for limit in found], caught.value.type),
    ]


async def test_the_official_sdk_administers(sandbox: Sandbox, admin: Admin) -> None:
    """Whatever the official SDK changes, it is changed for us too."""
    *words, token, limits, refusal = await asyncio.to_thread(
        administer, official_admin(sandbox)
    )
    (record,) = (await admin.accounts.get_all()).accounts or []

    assert ["pending", "cancelled", True] == words
    assert ["stMessages", "stConnectionRequests", "stPosts"] == limits
    assert "accountNotFound" == refusal
    assert (ONE, token) == (record.id, record.identification_token)
    assert 2 == len(await admin.limits.get(ONE))
