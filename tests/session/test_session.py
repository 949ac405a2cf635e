"""The session over real HTTP: verbs, life cycle, failures, safety."""

from __future__ import annotations

import asyncio
import gzip
import inspect
import logging
import math
import pickle
import re
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from event_loops import every_loop, virtual_time
from scripted_server import (
    ACCOUNT,
    TOKEN,
    Scripted,
    completed,
    dropped,
    held,
    ok,
    raw,
    refused,
    running,
    status_is,
    taken,
)

import linkedapi_async
from linkedapi_async import (
    AccountPausedError,
    ActionError,
    AsCompleted,
    AuthenticationError,
    ConnectionFailedError,
    InvalidDefinitionError,
    LinkedApiError,
    NestingError,
    ParameterError,
    Polling,
    ProtocolError,
    RateLimitedError,
    RejectedError,
    ResultMissingError,
    Retries,
    Session,
    SessionClosedError,
    StartUnknownError,
    UnknownValueWarning,
    UnsupportedError,
    WaitTimeoutError,
    WorkflowCancelledError,
    WorkflowError,
    WorkflowFailedError,
    WorkflowNotFoundError,
    custom,
    results,
    st,
)
from linkedapi_async._polling.answers import Ended
from linkedapi_async._polling.lane import PendingWorkflow
from linkedapi_async.session._durations import duration_kind
from linkedapi_async.session._session import SessionSettings


pytestmark = pytest.mark.anyio
__all__ = ["every_loop"]

CHECK = st.check_connection_status("https://www.linkedin.com/in/ada")
INVITE = st.send_connection_request("https://www.linkedin.com/in/ada")


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    """A scripted server that takes one workflow and completes it."""
    async with Scripted() as scripted:
        scripted.script("POST", taken())
        scripted.script("GET", running(), status_is("connected"))
        scripted.script("DELETE", ok({"cancelled": True}))
        yield scripted


async def until(condition: Any) -> None:
    """Let the loop run until *condition* holds."""
    while not condition():
        await asyncio.sleep(0)


# Run, start, results


async def test_run_gives_what_the_root_yields(server: Scripted) -> None:
    """A workflow goes out as JSON and comes back as a typed object."""
    async with server.session() as session:
        status = await session.run(CHECK)

    assert results.ConnectionStatus(connection_status="connected") == status
    assert ["POST", "GET", "GET"] == [seen.method for seen in server.seen]
    assert {
        "actionType": "st.checkConnectionStatus",
        "personUrl": "https://www.linkedin.com/in/ada",
    } == server.seen[0].body


@pytest.mark.parametrize(
    ("settings", "header", "path"),
    [
        pytest.param({}, "linked-api-token", "/workflows", id="linked_api"),
        pytest.param(
            {"account_api_token": TOKEN},
            "account-api-token",
            "/account/workflows",
            id="account_api",
        ),
    ],
)
async def test_each_generation_has_its_own_header_and_path(
    server: Scripted, settings: dict[str, str], header: str, path: str
) -> None:
    """The credential decides which generation is spoken."""
    async with server.session(**settings) as session:
        await session.run(CHECK)
    start, poll, _ = server.seen

    assert path == start.path
    assert f"{path}/wf-1" == poll.path
    assert TOKEN == start.headers[header]
    assert ACCOUNT == start.headers["identification-token"]
    assert f"linkedapi-async/{linkedapi_async.__version__}" == start.headers["client"]
    assert start.headers["client"] == start.headers["User-Agent"]


async def test_result_may_be_awaited_many_times(server: Scripted) -> None:
    """Waiting again gives the same object, and so does awaiting the handle."""
    async with server.session() as session:
        handle = await session.start(CHECK)
        first, second = await asyncio.gather(handle.result(), handle)
        third = await handle

    assert first is second is third
    assert "completed" == handle.status
    assert handle.done
    assert handle.failure is None
    assert "wf-1" == handle.workflow_id
    assert "<WorkflowHandle wf-1 completed>" == repr(handle)


async def test_array_workflow_gives_a_tuple(server: Scripted) -> None:
    """Several roots go out as a list and come back as a tuple."""
    node = {"actionType": "st.retrieveSSI", "success": True, "data": {"ssi": 7}}
    server.script("GET", completed([node, {**node, "data": {"ssi": 8}}]))
    ssi = st.retrieve_ssi()
    async with server.session() as session:
        first, second = await session.run(ssi, ssi)

    assert [{"actionType": "st.retrieveSSI"}] * 2 == server.seen[0].body
    assert (7, 8) == (first.ssi, second.ssi)


@pytest.mark.parametrize("form", [list, tuple])
async def test_a_list_or_tuple_of_roots_is_an_array_workflow(
    server: Scripted, form: Any
) -> None:
    """`run([a, b])` and `run((a, b))` mean `run(a, b)`."""
    node = {"actionType": "st.retrieveSSI", "success": True, "data": {"ssi": 7}}
    server.script("GET", completed([node, node]))
    roots: Any = form([st.retrieve_ssi(), st.retrieve_ssi()])
    async with server.session() as session:
        found = await session.run(roots)

    assert [{"actionType": "st.retrieveSSI"}] * 2 == server.seen[0].body
    assert [7, 7] == [each.ssi for each in found]


async def test_array_that_comes_back_short_is_an_error(server: Scripted) -> None:
    """A root without an outcome is not silently left out."""
    server.script("GET", completed([{"actionType": "st.retrieveSSI", "success": True}]))
    async with server.session() as session:
        handle = await session.start(st.retrieve_ssi(), st.retrieve_ssi())
        with pytest.raises(ResultMissingError, match="2 roots were sent, 1 came back"):
            await handle


async def test_definition_from_the_docs_runs_unchanged(server: Scripted) -> None:
    """A dict goes out as it is and gives typed results; a list of one, a 1-tuple."""
    definition = {
        "actionType": "st.checkConnectionStatus",
        "personUrl": "https://www.linkedin.com/in/ada",
    }
    node = {
        "actionType": "st.checkConnectionStatus",
        "success": True,
        "data": {"connectionStatus": "pending"},
    }
    async with server.session() as session:
        single = await session.run(definition)
        server.script("GET", completed([node]))
        many = await session.run([definition])

    assert "connected" == single.connection_status
    assert definition == server.seen[0].body
    assert ("pending",) == tuple(status.connection_status for status in many)


async def test_check_false_sends_anything(server: Scripted) -> None:
    """`check=False` sends what this version holds to be wrong."""
    definition: dict[str, Any] = {
        "actionType": "st.openJob",
        "then": [],
        "nope": None,
    }
    async with server.session(account_api_token=TOKEN) as session:
        with pytest.raises(InvalidDefinitionError):
            await session.start(definition)
        with pytest.raises(UnsupportedError):
            await session.start(
                st.open_job("https://www.linkedin.com/jobs/view/4012345")
            )
        sent_before = len(server.seen)
        await session.start(definition, check=False)
        await session.start(
            st.open_job("https://www.linkedin.com/jobs/view/4012345"), check=False
        )

    assert 0 == sent_before
    posts = [seen.body for seen in server.seen if seen.method == "POST"]
    assert [
        definition,
        {
            "actionType": "st.openJob",
            "jobUrl": "https://www.linkedin.com/jobs/view/4012345",
        },
    ] == posts


async def test_unknown_action_gives_plain_json(server: Scripted) -> None:
    """An action of tomorrow runs today, with a warning."""
    server.script(
        "GET",
        completed({"actionType": "st.zzz", "success": True, "data": {"a": [1]}}),
    )
    async with server.session() as session:
        with pytest.warns(UnknownValueWarning, match=r"st\.zzz"):
            data = await session.run({"actionType": "st.zzz"})

    assert {"a": [1]} == data


@pytest.mark.parametrize(
    ("workflow", "error"),
    [
        pytest.param((st.do_for_people(),), NestingError, id="no-root"),
        pytest.param((st.open_person_page(),), ParameterError, id="no-target"),
        pytest.param((), WorkflowError, id="nothing"),
        pytest.param((CHECK, 5), WorkflowError, id="no-action"),
        pytest.param((5,), WorkflowError, id="a-number"),
    ],
)
async def test_wrong_workflow_is_refused_before_it_is_sent(
    server: Scripted, workflow: tuple[Any, ...], error: type[Exception]
) -> None:
    """Nothing leaves the machine when the workflow is wrong."""
    async with server.session() as session:
        with pytest.raises(error):
            await session.start(*workflow)

    assert [] == server.seen


async def test_failed_root_raises_with_everything_that_came(server: Scripted) -> None:
    """An action that failed is an error which carries the whole completion."""
    error = {"type": "personNotFound", "message": "no such person"}
    node = {"actionType": "st.checkConnectionStatus", "success": False, "error": error}
    server.script("GET", completed(node))
    async with server.session() as session:
        handle = await session.start(CHECK)
        with pytest.raises(ActionError) as caught:
            await handle
        completion = await handle.completion()

    assert "personNotFound" == caught.value.type
    assert completion.raw == caught.value.completion.raw
    assert "wf-1" == caught.value.workflow_id


async def test_failed_workflow_raises_its_reason(server: Scripted) -> None:
    """A workflow that failed as a whole raises, each time anew."""
    server.script(
        "GET",
        ok({"workflowStatus": "failed", "failure": {"reason": "r", "message": "m"}}),
    )
    async with server.session() as session:
        handle = await session.start(CHECK)
        for _ in range(2):
            with pytest.raises(WorkflowFailedError, match="r: m"):
                await handle

    assert "failed" == handle.status
    assert isinstance(handle.failure, WorkflowFailedError)
    assert "r" == handle.failure.reason


# Waiting


@virtual_time
async def test_wait_times_out_and_the_workflow_goes_on(server: Scripted) -> None:
    """The time is up for the wait only; the handle waits on."""
    server.script("GET", *[running()] * 3, status_is("pending"))
    async with server.session(polling=Polling.fixed(10)) as session:
        handle = await session.start(CHECK)
        with pytest.raises(WaitTimeoutError) as caught:
            await handle.result(timeout=25)
        status = handle.status
        value = await caught.value.handle.result(math.inf)

    assert "running" == status
    assert isinstance(caught.value, TimeoutError)
    assert "wf-1" == caught.value.workflow_id
    assert "pending" == value.connection_status
    assert pickle.loads(pickle.dumps(caught.value)).handle is None


async def test_timeout_zero_asks_exactly_once(server: Scripted) -> None:
    """`timeout=0` is one request, whatever the policy."""
    server.script("GET", running())
    async with server.session(polling=Polling()) as session:
        handle = await session.start(CHECK)
        with pytest.raises(WaitTimeoutError):
            await handle.result(timeout=0)

    assert 1 == server.count("GET")


async def test_timeout_zero_polls_in_a_pause_of_the_host(server: Scripted) -> None:
    """A pause of an hour does not hold up a timeout of 0."""
    server.script("GET", *[raw("{}", status=429, Retry_After="3600")] * 2)
    async with server.session() as session:
        handle = await session.start(CHECK)
        for _ in range(2):
            with pytest.raises(WaitTimeoutError):
                await asyncio.wait_for(handle.result(timeout=0), 30)

    assert 2 == server.count("GET")


async def test_an_engine_that_crashed_sends_no_further_start(server: Scripted) -> None:
    """Every handle says so, and a start is refused before it is sent."""
    server.script("GET", running())
    async with server.session() as session:
        handle = await session.start(CHECK)
        for task in session._runtime.poller._tasks:
            task.cancel()
        for call in (handle.result(), session.run(CHECK)):
            with pytest.raises(RuntimeError, match="the polling engine crashed"):
                await call

    assert 1 == server.count("POST")


@virtual_time
async def test_policy_deadline_ends_a_wait_without_timeout(server: Scripted) -> None:
    """A wait has a deadline unless the caller passes infinity."""
    server.script("GET", running())
    polling = Polling(deadline=100)
    async with server.session(polling=polling) as session:
        with pytest.raises(WaitTimeoutError, match="not finished after 100 s"):
            await session.run(CHECK)


@pytest.mark.parametrize("timeout", [-1, math.nan])
async def test_absurd_timeout_is_refused(server: Scripted, timeout: float) -> None:
    """A timeout that is no span of time is a mistake."""
    async with server.session() as session:
        handle = await session.start(CHECK)
        with pytest.raises(ValueError, match="timeout must be at least 0"):
            await handle.result(timeout)


@virtual_time
async def test_unknown_id_ends_the_wait_in_the_end(server: Scripted) -> None:
    """An id that the API does not know for a minute is gone."""
    server.script("GET", refused("workflowNotFound", status=404))
    async with server.session(polling=Polling()) as session:
        with pytest.raises(WorkflowNotFoundError):
            await session.attach("wf-9").result()

    assert server.count("GET") >= 3


@virtual_time
async def test_failed_polls_never_end_a_wait(server: Scripted) -> None:
    """Garbage, errors and broken connections only cost time."""
    server.script(
        "GET",
        refused("invalidLinkedApiToken", status=401),
        raw("<html>", content_type="text/html", status=502),
        dropped(),  # on a connection that was used before: aiohttp asks again
        dropped(),
        refused("somethingNew", status=500),
        refused("tooManyRequests", status=429),
        ok({"workflowStatus": "completed"}),
        raw("{", status=200),
        status_is("connected"),
    )
    async with server.session() as session:
        status = await session.run(CHECK)

    assert "connected" == status.connection_status
    assert 9 == server.count("GET")


@virtual_time
async def test_refused_token_ends_all_waits(server: Scripted) -> None:
    """A token error that is repeated for a minute reaches those who wait."""
    server.script("GET", refused("invalidLinkedApiToken", status=401))
    async with server.session(polling=Polling()) as session:
        handle = await session.start(CHECK)
        with pytest.raises(AuthenticationError) as caught:
            await handle

    assert "failed" == handle.status
    assert 401 == caught.value.http_status


# Attach, status, cancel


async def test_attach_waits_for_an_id_from_elsewhere(server: Scripted) -> None:
    """A workflow started earlier is found by its id, typed with its workflow."""
    async with server.session() as session:
        handle = session.attach("wf-7", CHECK)
        again = session.attach("wf-7")
        same = session.attach("wf-7", CHECK)
        with pytest.raises(ValueError, match="another workflow"):
            session.attach("wf-7", INVITE)
        untyped = session.attach("wf-8")
        typed = session.attach("wf-8", CHECK)
        status = await handle

    assert handle is again is same
    assert untyped is typed
    assert CHECK == typed.workflow
    assert "connected" == status.connection_status


async def test_attached_array_gives_a_tuple_without_its_workflow(
    server: Scripted,
) -> None:
    """A completion that is a list gives a tuple if the workflow is not known."""
    node = {"actionType": "st.retrieveSSI", "success": True, "data": {"ssi": 7}}
    server.script("GET", completed([node]))
    async with server.session() as session:
        values = await session.attach("wf-7")

    assert (7,) == tuple(value.ssi for value in values)


@pytest.mark.parametrize("wrong", ["", "../x", "a/b", "a b", "x" * 201, 5, None])
async def test_id_is_one_path_segment(server: Scripted, wrong: Any) -> None:
    """No id can lead a request, and its tokens, elsewhere."""
    async with server.session() as session:
        with pytest.raises(ValueError, match="workflow id"):
            session.attach(wrong)
        with pytest.raises(ValueError, match="workflow id"):
            await session.status(wrong)
        with pytest.raises(ValueError, match="workflow id"):
            await session.cancel(wrong)

    assert [] == server.seen


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (running(), "running"),
        (status_is("x"), "completed"),
        (ok({"workflowStatus": "failed", "failure": {}}), "failed"),
        (ok({"workflowStatus": "cancelled"}), "cancelled"),
    ],
)
async def test_status_is_one_word(server: Scripted, answer: Any, word: str) -> None:
    """Asking by id gives the state without waiting."""
    server.script("GET", answer)
    async with server.session() as session:
        status = await session.status("wf-1")

    assert word == status


async def test_status_that_makes_no_sense_is_an_error(server: Scripted) -> None:
    """An answer without a state is not passed off as one."""
    server.script("GET", ok({}))
    async with server.session() as session:
        with pytest.raises(ProtocolError):
            await session.status("wf-1")


async def test_cancel_ends_all_waits(server: Scripted) -> None:
    """After True every wait raises, and nothing asks any more."""
    server.script("GET", running())
    async with server.session() as session:
        handle = await session.start(CHECK)
        waiting = asyncio.create_task(handle.result())
        await until(lambda: server.count("GET") > 1)
        cancelled = await handle.cancel()
        with pytest.raises(WorkflowCancelledError):
            await waiting
        with pytest.raises(WorkflowCancelledError):
            await handle
        again = await session.cancel("wf-1")

    assert cancelled
    assert again
    assert "cancelled" == handle.status
    assert "/workflows/wf-1" == server.seen[-1].path


async def test_cancel_that_came_too_late_changes_nothing(server: Scripted) -> None:
    """After False the wait goes on."""
    server.script("DELETE", ok({"cancelled": False}))
    async with server.session() as session:
        handle = await session.start(CHECK)
        cancelled = await handle.cancel()
        status = await handle

    assert not cancelled
    assert "connected" == status.connection_status


async def test_older_generation_cannot_cancel(server: Scripted) -> None:
    """What a generation lacks is a clear local error."""
    async with server.session(account_api_token=TOKEN) as session:
        handle = await session.start(CHECK)
        with pytest.raises(UnsupportedError, match="linked_api_token="):
            await handle.cancel()

    assert 0 == server.count("DELETE")


async def test_cancel_that_is_not_answered_properly_is_an_error(
    server: Scripted,
) -> None:
    """A cancellation with an unknown outcome is not reported as done."""
    server.script("DELETE", ok({}))
    async with server.session(retries=Retries(attempts=1)) as session:
        with pytest.raises(ProtocolError):
            await session.cancel("wf-1")


# Starts that fail


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refused("invalidWorkflow"), RejectedError),
        (refused("plusPlanRequired", status=403), RejectedError),
        (refused("subscriptionRequired", status=402), AccountPausedError),
        (refused("linkedinAccountSignedOut", status=200), AccountPausedError),
        (refused("invalidIdentificationToken", status=401), AuthenticationError),
        (raw("no", status=403, content_type="text/plain"), StartUnknownError),
    ],
)
async def test_definite_answer_to_a_start_is_raised_at_once(
    server: Scripted, answer: Any, error: type[Exception]
) -> None:
    """A request that the API refuses is not sent again."""
    server.script("POST", answer)
    async with server.session() as session:
        with pytest.raises(error) as caught:
            await session.run(INVITE)

    assert 1 == server.count("POST")
    assert isinstance(caught.value, LinkedApiError)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(dropped(), id="dropped"),
        pytest.param(raw("<html>", content_type="text/html"), id="html"),
        pytest.param(refused("internalError", status=500), id="500"),
        pytest.param(ok({"workflowId": "../x"}), id="bad-id"),
        pytest.param(ok(None), id="no-id"),
        pytest.param(raw("", status=307, Location="http://127.0.0.9/"), id="redirect"),
    ],
)
async def test_start_that_writes_is_never_repeated(
    server: Scripted, answer: Any
) -> None:
    """A write that may have been accepted is not sent again."""
    server.script("POST", answer, taken())
    async with server.session() as session:
        with pytest.raises(StartUnknownError) as caught:
            await session.run(INVITE)
        account = session.account(ACCOUNT)

    assert 1 == server.count("POST")
    assert account.name == caught.value.account


async def test_start_that_reads_is_repeated_once(server: Scripted) -> None:
    """A start that only reads is harmless twice, so it has one retry, not two."""
    server.script("POST", dropped(), taken())
    async with server.session() as session:
        await session.run(CHECK)
        first = server.count("POST")
        server.script("POST", dropped())
        with pytest.raises(StartUnknownError):
            await session.run(CHECK)

    assert 2 == first
    assert 4 == server.count("POST")


async def test_throttled_start_is_repeated(server: Scripted) -> None:
    """The server says that it did not take it, so it is sent again, but not for ever."""
    throttled = refused("tooManyRequests", status=429)
    server.script("POST", throttled, taken())
    async with server.session() as session:
        await session.run(INVITE)
        retries = session.stats.retries
        server.script("POST", throttled)
        with pytest.raises(RateLimitedError):
            await session.run(INVITE)

    assert 1 == retries
    assert 2 + Retries().attempts == server.count("POST")


@virtual_time
async def test_retry_after_pauses_the_whole_host(server: Scripted) -> None:
    """What the host asks for counts for starts and polls of all accounts."""
    loop = asyncio.get_running_loop()
    busy = raw("{}", status=429, Retry_After="50")
    server.script("POST", busy, taken())
    async with server.session() as session:
        begin = loop.time()
        await session.start(INVITE)
        waited = loop.time() - begin

    assert 50 <= waited < 60


async def test_start_that_was_never_sent_is_repeated_and_then_raised() -> None:
    """Without a connection nothing was sent, so trying again is safe."""
    async with Scripted() as gone:
        url = gone.url
    async with Session(
        linked_api_token=TOKEN,
        identification_token=ACCOUNT,
        base_url=url,
        retries=Retries(attempts=3, initial_delay=0.001, max_delay=0.01),
    ) as session:
        with pytest.raises(ConnectionFailedError) as caught:
            await session.run(INVITE)
        retries = session.stats.retries

    assert not caught.value.sent
    assert isinstance(caught.value, ConnectionError)
    assert 2 == retries


async def test_unknown_start_stays_unknown_when_the_next_try_finds_no_server(
    server: Scripted,
) -> None:
    """A first try that may have been taken is not forgotten."""

    async def drop_and_leave(request: web.Request) -> web.StreamResponse:
        """Break the connection and listen no more."""
        assert server._runner is not None
        for site in list(server._runner.sites):
            await site.stop()
        return await dropped()(request)

    server.script("POST", drop_and_leave)
    async with server.session(http=None, connections=1) as session:
        with pytest.raises(StartUnknownError):
            await session.run(CHECK)


# Cancelling the caller


async def test_cancelled_start_that_has_not_begun_is_withdrawn(
    server: Scripted,
) -> None:
    """A start that waits for its turn never leaves when its caller is cancelled."""
    gate = asyncio.Event()
    server.script("POST", held(gate, taken("wf-1")), taken("wf-2"))
    async with server.session() as session:
        first = asyncio.create_task(session.start(INVITE))
        await until(lambda: server.count("POST") == 1)
        second = asyncio.create_task(session.start(INVITE))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        second.cancel()
        gate.set()
        handle = await first
        with pytest.raises(asyncio.CancelledError):
            await second

    assert 1 == server.count("POST")
    assert "wf-1" == handle.workflow_id


async def test_cancelled_start_under_way_loses_no_id(
    server: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    """The start ends in the background; a warning names the id, the handle is kept."""
    gate = asyncio.Event()
    server.script("POST", held(gate, taken("wf-5")))
    server.script("GET", running())
    async with server.session() as session:
        start = asyncio.create_task(session.start(INVITE))
        await until(lambda: server.count("POST") == 1)
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start
        gate.set()
        await until(lambda: session.handles)
        (handle,) = session.handles

    assert "wf-5" == handle.workflow_id
    assert "wf-5" in caplog.text


async def test_cancelled_start_that_fails_is_logged(
    server: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    """An error that no caller awaits any more goes to the log."""
    gate = asyncio.Event()
    server.script("POST", held(gate, refused("invalidWorkflow")))
    async with server.session() as session:
        start = asyncio.create_task(session.start(INVITE))
        await until(lambda: server.count("POST") == 1)
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start
        gate.set()

    assert "invalidWorkflow" in caplog.text
    assert TOKEN not in caplog.text


# Life cycle


async def test_session_is_entered_once(server: Scripted) -> None:
    """Entering again, and use before or after, say what to do instead."""
    session = server.session()
    with pytest.raises(RuntimeError, match="async with Session"):
        await session.run(CHECK)
    async with session:
        with pytest.raises(RuntimeError, match="make another one"):
            await session.__aenter__()
        inside = repr(session)
    with pytest.raises(SessionClosedError):
        await session.run(CHECK)
    with pytest.raises(RuntimeError, match="make another one"):
        await session.__aenter__()

    assert f"<Session linked_api at {server.url}, 1 accounts, open>" == inside
    assert "closed" in repr(session)
    assert "not entered" in repr(server.session())


async def test_session_belongs_to_its_event_loop(server: Scripted) -> None:
    """Another loop gets advice instead of a hang."""
    async with server.session() as session:

        def elsewhere() -> str:
            """Use the session in another loop."""
            with pytest.raises(RuntimeError) as caught:
                asyncio.run(session.status("wf-1"))
            return str(caught.value)

        message = await asyncio.to_thread(elsewhere)

    assert "was entered in another event loop" in message


async def test_leaving_ends_open_waits(server: Scripted) -> None:
    """A wait that is still open raises with the id, and says that the workflow goes on."""
    server.script("GET", running())
    async with server.session() as session:
        handle = await session.start(CHECK)
        waiting = asyncio.create_task(handle.result())
        await until(lambda: server.count("GET") > 0)
    with pytest.raises(SessionClosedError) as caught:
        await waiting
    with pytest.raises(SessionClosedError):
        await handle

    assert "wf-1" == caught.value.workflow_id


async def test_leaving_lets_starts_under_way_end(server: Scripted) -> None:
    """A start in flight is not torn off; one that waits is not sent."""
    gate = asyncio.Event()
    server.script("POST", held(gate, taken("wf-1")))
    session = server.session()
    async with session:
        first = asyncio.create_task(session.start(INVITE))
        second = asyncio.create_task(session.start(INVITE))
        await until(lambda: server.count("POST") == 1)
        asyncio.get_running_loop().call_later(0.02, gate.set)
    handle = await first
    with pytest.raises(SessionClosedError):
        await second

    assert "wf-1" == handle.workflow_id
    assert 1 == server.count("POST")


async def test_body_error_leaves_as_it_is(server: Scripted) -> None:
    """The exception of the body is not wrapped, and everything is closed."""
    with pytest.raises(ZeroDivisionError):
        async with server.session() as session:
            await session.start(CHECK)
            1 / 0  # noqa: B018

    assert "closed" in repr(session)


async def test_enter_and_leave_in_different_tasks(server: Scripted) -> None:
    """Fixtures and exit stacks do that."""
    session = server.session()
    await asyncio.create_task(session.__aenter__())
    status = await session.run(CHECK)
    await asyncio.create_task(session.__aexit__(None, None, None))

    assert "connected" == status.connection_status


async def test_open_and_close_without_a_block(server: Scripted) -> None:
    """A notebook opens a session in one cell and closes it in another, or twice."""
    session = await server.session().open()
    status = await session.run(CHECK)
    await session.aclose()
    await session.aclose()

    assert "connected" == status.connection_status
    with pytest.raises(SessionClosedError):
        await session.run(CHECK)
    with pytest.raises(RuntimeError, match="was entered before"):
        await session.open()
    with pytest.raises(RuntimeError, match="not entered"):
        await server.session().aclose()


async def test_cancel_on_exit_cancels_what_is_unfinished(
    server: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    """Only `cancel_on_exit=True` cancels remotely; a refusal is logged."""
    server.script("POST", taken("wf-1"), taken("wf-2"))
    server.script("GET", running())
    server.script("DELETE", ok({"cancelled": True}), refused("x"))
    async with server.session() as session:
        session.attach("wf-0")
    kept = server.count("DELETE")
    async with server.session(cancel_on_exit=True) as session:
        await session.start(CHECK)
        await session.start(CHECK)

    assert 0 == kept
    assert 2 == server.count("DELETE")
    assert "Could not cancel" in caplog.text


async def test_users_own_http_session_is_used_and_not_closed(server: Scripted) -> None:
    """The caller may own the connections."""
    async with aiohttp.ClientSession(headers={"x-mine": "yes"}) as http:
        async with server.session(http=http) as session:
            await session.run(CHECK)
        closed = http.closed

    assert not closed
    assert {"yes"} == {seen.headers["x-mine"] for seen in server.seen}


async def test_nothing_is_left_behind(server: Scripted) -> None:
    """Leaving leaves no task of the session's."""
    before = asyncio.all_tasks()
    server.script("GET", running())
    async with server.session() as session:
        await asyncio.gather(*(session.start(CHECK) for _ in range(5)))

    assert before >= {t for t in asyncio.all_tasks() if "linkedapi" in repr(t)}


# Accounts


async def test_account_is_known_by_its_token(server: Scripted) -> None:
    """The same token is the same object; names are for logs and must be unique."""
    async with server.session() as session:
        default = session.account(ACCOUNT)
        other = session.account("other-token", name="sales")
        same = session.account("other-token")
        with pytest.raises(ValueError, match="called 'sales' already"):
            session.account("other-token", name="x")
        with pytest.raises(ValueError, match="another account is called 'sales'"):
            session.account("third-token", name="sales")

    assert other is same
    assert "sales" == other.name
    assert "5d4d8dd1ba18" == session.account("abc-def").name or len(default.name) == 12
    assert "<Account sales, 0 unfinished>" == repr(other)


async def test_accounts_share_connections_but_not_tokens(server: Scripted) -> None:
    """The verbs of an account go out with its own token."""
    async with server.session() as session:
        other = session.account("other-token")
        await other.run(CHECK)
        handle = other.attach("wf-3")
        attached = other.handles, session.handles, await other.status("wf-3")

    assert {"other-token"} == {s.headers["identification-token"] for s in server.seen}
    assert ((handle,), (handle,), "completed") == attached


async def test_session_without_a_default_account_says_so(server: Scripted) -> None:
    """The verbs of the session need an account."""
    async with server.session(identification_token=None) as session:
        with pytest.raises(ValueError, match="no default account"):
            await session.run(CHECK)


async def test_one_start_per_account_is_under_way(server: Scripted) -> None:
    """Accounts start in parallel, workflows of one account in turn."""
    gate = asyncio.Event()
    server.script("POST", held(gate, taken()))
    async with server.session() as session:
        accounts = [session.account(f"token-{n}") for n in range(3)]
        starts = [
            asyncio.create_task(account.start(INVITE))
            for account in accounts
            for _ in range(4)
        ]
        await until(lambda: server.count("POST") >= 3)
        for _ in range(50):
            await asyncio.sleep(0)
        under_way = server.count("POST")
        gate.set()
        await asyncio.gather(*starts)

    assert 3 == under_way
    assert 12 == server.count("POST")


# Many at once


async def test_as_completed_gives_every_handle(server: Scripted) -> None:
    """Whatever the input, each item comes back, with its key and its workflow."""
    server.script("POST", *(taken(f"wf-{n}") for n in range(5)))
    server.script("GET", status_is("connected"))
    items = [CHECK, ("k", CHECK), (CHECK, CHECK), {"actionType": "st.retrieveSSI"}, 5]
    async with server.session() as session:
        async with session.as_completed(items, limit=2) as done:
            handles = [handle async for handle in done]
            with pytest.raises(StopAsyncIteration):
                await anext(done)

    assert len(items) == len(handles)
    (keyed,) = [handle for handle in handles if handle.key == "k"]
    (broken,) = [handle for handle in handles if handle.workflow_id is None]
    assert CHECK == keyed.workflow
    assert 5 == broken.workflow
    assert "failed" == broken.status
    assert isinstance(broken.failure, WorkflowError)
    assert "<WorkflowHandle 'k'" in repr(keyed)
    with pytest.raises(WorkflowError):
        await broken
    assert not await broken.cancel()


async def test_as_completed_takes_an_async_iterable(server: Scripted) -> None:
    """Workflows may come from a database cursor."""

    async def workflows() -> AsyncIterator[Any]:
        """Give workflows."""
        for _ in range(3):
            yield CHECK

    async with server.session() as session:
        async with session.as_completed(workflows()) as done:
            words = [(await handle).connection_status async for handle in done]

    assert ["connected"] * 3 == words


async def test_as_completed_holds_back(server: Scripted) -> None:
    """At most *limit* are drawn before the body asks for more."""
    drawn = 0

    def workflows() -> Any:
        """Give workflows."""
        nonlocal drawn
        while True:
            drawn += 1
            yield CHECK

    server.script("GET", status_is("connected"))
    async with server.session() as session:
        async with session.as_completed(workflows(), limit=3) as done:
            counts = []
            async for _ in done:
                for _ in range(200):
                    await asyncio.sleep(0)
                counts.append(drawn)
                if len(counts) == 4:
                    break

    assert all(count <= 3 + index for index, count in enumerate(counts))


async def test_error_of_the_input_comes_after_what_was_under_way(
    server: Scripted,
) -> None:
    """Only the input's own error is raised, and nothing is lost by it."""

    def workflows() -> Any:
        """Give workflows."""
        yield CHECK
        yield CHECK
        raise KeyError("input")

    handles = []
    async with server.session() as session:
        async with session.as_completed(workflows(), limit=5) as done:
            with pytest.raises(KeyError, match="input"):
                async for handle in done:
                    handles.append(handle)  # noqa: PERF401  # kept before the error

    assert 2 == len(handles)


async def test_leaving_early_takes_no_further_items(server: Scripted) -> None:
    """A body that breaks or raises stops the input; what runs is not lost."""
    server.script("POST", taken("wf-1"), taken("wf-2"), taken("wf-3"))
    server.script("GET", status_is("connected"), running())
    async with server.session() as session:
        with pytest.raises(ZeroDivisionError):
            async with session.as_completed(iter([CHECK] * 10), limit=2) as done:
                async for _ in done:
                    1 / 0  # noqa: B018
        posts = server.count("POST")
        await asyncio.sleep(0)
        unfinished = session.handles

    assert posts == server.count("POST") <= 3
    assert len(unfinished) <= 2


async def test_as_completed_is_used_as_shown(server: Scripted) -> None:
    """Wrong use says what is right."""
    async with server.session() as session:
        with pytest.raises(ValueError, match="limit must be at least 1"):
            session.as_completed([CHECK], limit=0)
        with pytest.raises(TypeError, match="put this one in a list"):
            session.as_completed(CHECK)  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="takes many workflows, got 5"):
            session.as_completed(5)  # type: ignore[call-overload]
        stream: AsCompleted[Any] = session.as_completed([])
        with pytest.raises(RuntimeError, match="async with"):
            await anext(stream)
        async with stream:
            assert [] == [handle async for handle in stream]
        with pytest.raises(RuntimeError, match="entered once"):
            await stream.__aenter__()


async def test_drain_waits_for_everything(server: Scripted) -> None:
    """All accounts are waited for; what is left when the time is up is given back."""
    server.script("POST", taken("wf-1"), taken("wf-2"))
    async with server.session() as session:
        await session.start(CHECK)
        await session.account("other").start(CHECK)
        left = await session.drain()
        server.script("GET", running())
        handle = session.attach("wf-3")
        still = await session.default_account.drain(timeout=0.02)

    assert () == left
    assert (handle,) == still


async def test_stats_count(server: Scripted) -> None:
    """The counters add up."""
    server.script("POST", taken("wf-1"), taken("wf-2"), taken("wf-3"))
    async with server.session() as session:
        await session.run(CHECK)
        server.script(
            "GET", ok({"workflowStatus": "failed", "failure": {"reason": "r"}})
        )
        with pytest.raises(WorkflowFailedError):
            await session.run(CHECK)
        server.script("GET", running())
        await session.start(CHECK)
        stats = session.stats

    assert (3, 1, 1, 1) == (
        stats.started,
        stats.in_flight,
        stats.completed,
        stats.failed,
    )
    assert stats.polls >= 3
    assert stats.polls / 2 == stats.polls_per_workflow
    assert (0, 0) == (stats.retries, stats.out_of_order)


# Safety


async def test_redirect_is_never_followed(server: Scripted) -> None:
    """No token goes to another host because an answer says so."""
    async with Scripted() as other:
        other.script("GET", status_is("stolen"))
        server.script(
            "GET", raw("", status=302, Location=f"{other.url}/workflows/wf-1")
        )
        async with server.session() as session:
            with pytest.raises(ProtocolError, match="redirect"):
                await session.status("wf-1")

    assert [] == other.seen


@pytest.mark.parametrize("compressed", [False, True])
async def test_answer_has_a_size_limit(server: Scripted, compressed: bool) -> None:
    """A huge answer, also one that is small on the wire, is not read to its end."""
    body = b'"' + b"x" * 200_000 + b'"'
    if compressed:
        server.script("GET", raw(gzip.compress(body), Content_Encoding="gzip"))
    else:
        server.script("GET", raw(body))
    settings = {"max_response_bytes": 100_000, "retries": Retries(attempts=1)}
    async with server.session(**settings) as session:
        with pytest.raises(
            ProtocolError, match="larger than max_response_bytes=100000"
        ):
            await session.status("wf-1")


async def test_compressed_answer_is_read(server: Scripted) -> None:
    """Compression is fine as long as the size is."""
    body = b'{"success": true, "result": {"workflowStatus": "running"}}'
    server.script("GET", raw(gzip.compress(body), Content_Encoding="gzip"))
    async with server.session() as session:
        status = await session.status("wf-1")

    assert "running" == status


async def test_every_request_has_a_timeout(server: Scripted) -> None:
    """A server that never answers is given up."""
    server.script("GET", held(asyncio.Event(), running()))
    settings = {"request_timeout": 2, "retries": Retries(attempts=1)}
    async with server.session(**settings) as session:
        with pytest.raises(ConnectionFailedError, match="no complete answer") as caught:
            await session.status("wf-1")

    assert caught.value.sent


async def test_cookies_are_not_kept(server: Scripted) -> None:
    """What one answer sets does not go out with the next request."""
    server.script("GET", raw("{}", Set_Cookie="a=b"))
    async with server.session(retries=Retries(attempts=1)) as session:
        for _ in range(2):
            with pytest.raises(ProtocolError):
                await session.status("wf-1")

    assert all("Cookie" not in seen.headers for seen in server.seen)


def test_plain_http_is_refused_off_loopback() -> None:
    """Tokens do not travel unencrypted unless insisted on."""
    with pytest.raises(ValueError, match="unencrypted"):
        Session(linked_api_token="t", base_url="http://api.example.com")
    session = Session(
        linked_api_token="t",
        base_url="http://api.example.com/",
        allow_insecure_http=True,
    )

    assert "http://api.example.com" == session.base_url


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"linked_api_token": "a", "account_api_token": "b"},
        {"linked_api_token": ""},
        {"linked_api_token": "secret\nheader: x"},
        {"linked_api_token": "t", "identification_token": "sec ret"},
        {"linked_api_token": "t", "base_url": "ftp://x"},
        {"linked_api_token": "t", "base_url": "https://user:pw@x"},
    ],
)
def test_wrong_settings_are_refused_without_showing_tokens(
    settings: dict[str, str],
) -> None:
    """Exactly one main token, and nothing that no header can carry."""
    with pytest.raises(ValueError, match=r"token|base_url") as caught:
        Session(**settings)  # type: ignore[arg-type]

    assert "secret" not in str(caught.value)
    assert "sec ret" not in str(caught.value)


def test_token_of_another_type_is_refused() -> None:
    """A token is a string."""
    with pytest.raises(TypeError, match="must be a string, got int"):
        Session(linked_api_token=5)  # type: ignore[arg-type]


async def test_tokens_never_show(
    server: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither logs nor errors nor reprs have a token, not even in their causes."""
    caplog.set_level(logging.DEBUG)
    shown = []
    answers = [
        dropped(),
        raw("<html>"),
        refused("invalidLinkedApiToken", status=401),
        raw(b"HTTP/9.9 garbage"),
    ]
    async with server.session(retries=Retries(attempts=1)) as session:
        account = session.account(ACCOUNT)
        shown += [
            repr(session),
            repr(account),
            repr(session._runtime.requests),
            repr(vars(account)),
        ]
        for answer in answers:
            server.script("POST", answer)
            server.script("GET", answer)
            for call in (session.run(INVITE), session.status("wf-1")):
                with pytest.raises(LinkedApiError) as caught:
                    await call
                error: BaseException | None = caught.value
                while error is not None:
                    shown += [repr(error), str(error), str(vars(error))]
                    error = error.__cause__ or error.__context__
    text = "\n".join([*shown, caplog.text])

    assert TOKEN not in text
    assert ACCOUNT not in text


async def test_broken_http_shows_no_token() -> None:
    """An answer that is not even HTTP is a failed request, without its headers."""

    async def garbage(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer what is not HTTP."""
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"NOT HTTP AT ALL\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(garbage, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with (
        server,
        Session(
            linked_api_token=TOKEN,
            identification_token=ACCOUNT,
            base_url=f"http://{host}:{port}",
            retries=Retries(attempts=1),
        ) as session,
    ):
        with pytest.raises(ConnectionFailedError) as caught:
            await session.status("wf-1")

    assert TOKEN not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


# Environment


@pytest.mark.parametrize(
    ("variables", "generation"),
    [
        ({"LINKED_API_TOKEN": "t"}, "linked_api"),
        ({"ACCOUNT_API_TOKEN": "t", "LINKED_API_TOKEN": ""}, "account_api"),
    ],
)
def test_session_from_environment(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], generation: str
) -> None:
    """The variables name the tokens and the place; settings win over them."""
    for name in ("LINKED_API_TOKEN", "ACCOUNT_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("IDENTIFICATION_TOKEN", "i")
    monkeypatch.setenv("LINKED_API_BASE_URL", "https://one.example")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    session = Session.from_env()
    other = Session.from_env(base_url="https://two.example")

    assert generation == session.generation
    assert "https://one.example" == session.base_url
    assert "https://two.example" == other.base_url


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, "neither is set"),
        ({"LINKED_API_TOKEN": "a", "ACCOUNT_API_TOKEN": "b"}, "both are set"),
        ({"LINKED_API_TOKEN": "se cret"}, "LINKED_API_TOKEN must be printable ASCII"),
    ],
)
def test_wrong_environment_is_named(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: str
) -> None:
    """Errors name the variable and never show its value."""
    for name in ("LINKED_API_TOKEN", "ACCOUNT_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=words) as caught:
        Session.from_env()

    assert "se cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "settings", "expected"),
    [
        pytest.param("0.5", {}, Polling.fixed(0.5), id="seconds"),
        pytest.param("", {}, Polling(), id="empty"),
        pytest.param("0.5", {"polling": Polling()}, Polling(), id="setting-wins"),
    ],
)
def test_poll_interval_from_environment(
    monkeypatch: pytest.MonkeyPatch,
    value: str,
    settings: SessionSettings,
    expected: Polling,
) -> None:
    """A variable sets a fixed poll interval, unless the call has a policy."""
    monkeypatch.setenv("LINKED_API_TOKEN", "t")
    monkeypatch.delenv("ACCOUNT_API_TOKEN", raising=False)
    monkeypatch.setenv("LINKED_API_POLL_INTERVAL", value)

    assert expected == Session.from_env(**settings).polling


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "soon", "1,5", " "])
def test_wrong_poll_interval_is_named(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """What is not a positive number of seconds is an error with the variable's name."""
    monkeypatch.setenv("LINKED_API_TOKEN", "t")
    monkeypatch.delenv("ACCOUNT_API_TOKEN", raising=False)
    monkeypatch.setenv("LINKED_API_POLL_INTERVAL", value)
    words = "LINKED_API_POLL_INTERVAL must be a positive number of seconds, got "
    with pytest.raises(ValueError, match=f"^{words}{re.escape(repr(value))}$"):
        Session.from_env()


def test_account_has_the_verbs_of_the_session() -> None:
    """What a session can do with its default account, every account can do."""
    names = {n for n, _ in inspect.getmembers(linkedapi_async.Account) if n[0] != "_"}

    assert {"run", "start", "attach", "status", "cancel", "as_completed"} <= names


async def test_custom_workflow_counts_as_a_write(server: Scripted) -> None:
    """What an unknown action does is unknown, so its start is never repeated."""
    server.script("POST", dropped(), taken())
    async with server.session() as session:
        with pytest.raises(StartUnknownError):
            await session.run(custom("st.zzz"))

    assert 1 == server.count("POST")


async def test_unknown_id_is_told_from_other_refusals(server: Scripted) -> None:
    """Asking for, or cancelling, what the API does not know says just that."""
    gone = refused("workflowNotFound", status=404)
    server.script("GET", gone)
    server.script("DELETE", gone)
    async with server.session() as session:
        with pytest.raises(WorkflowNotFoundError, match="wf-1"):
            await session.status("wf-1")
        with pytest.raises(WorkflowNotFoundError):
            await session.cancel("wf-1")
        server.script("DELETE", refused("somethingElse"))
        with pytest.raises(RejectedError, match="wf-1"):
            await session.cancel("wf-1")


async def test_handle_that_has_ended_is_not_cancelled_again(server: Scripted) -> None:
    """A second cancel tells what became of the first, without a request."""
    server.script("GET", running())
    async with server.session() as session:
        handle = await session.start(CHECK)
        answers = await handle.cancel(), await handle.cancel()
        server.script("GET", status_is("connected"))
        server.script("POST", taken("wf-2"))
        other = await session.start(CHECK)
        await other
        late = await other.cancel()

    assert (True, True) == answers
    assert not late
    assert 1 == server.count("DELETE")


# Accounts that cannot work


PAUSING = [
    "languageNotSupported",
    "linkedinAccountSignedOut",
    "subscriptionRequired",
    "trialLimitReached",
]


@pytest.mark.parametrize("reason", PAUSING)
async def test_account_that_cannot_work_starts_nothing(
    server: Scripted, reason: str
) -> None:
    """The first refusal pauses the account alone, until it is resumed."""
    server.script("POST", refused(reason), taken())
    async with server.session() as session:
        account, other = session.account(ACCOUNT), session.account("other")
        with pytest.raises(AccountPausedError):
            await session.start(INVITE)
        with pytest.raises(AccountPausedError) as caught:
            await session.start(INVITE)
        posts = server.count("POST")
        paused = account.paused
        await other.start(INVITE)
        account.unpause()
        await session.start(INVITE)

    assert 1 == posts
    assert reason == caught.value.reason
    assert paused is not None
    assert account.paused is None
    assert other.paused is None


async def test_start_that_waits_for_its_turn_learns_of_the_pause(
    server: Scripted,
) -> None:
    """What waits in the queue of a paused account is not sent either."""
    server.script("POST", refused("subscriptionRequired"))
    async with server.session() as session:
        starts = [session.start(INVITE) for _ in range(5)]
        outcomes = await asyncio.gather(*starts, return_exceptions=True)

    assert 5 * [AccountPausedError] == [type(outcome) for outcome in outcomes]
    assert 1 == server.count("POST")


@pytest.mark.parametrize("word", ["plusPlanRequired", "outsideWorkingHours", "x"])
async def test_other_refusals_concern_one_workflow(server: Scripted, word: str) -> None:
    """A pause of the account differs from a refusal of one workflow."""
    server.script("POST", refused(word), taken())
    async with server.session() as session:
        with pytest.raises(RejectedError):
            await session.start(INVITE)
        await session.start(INVITE)

    assert 2 == server.count("POST")


@virtual_time
async def test_paused_account_is_asked_at_tail_cadence(server: Scripted) -> None:
    """Its running workflow is not forgotten, and its success ends the pause."""
    loop = asyncio.get_running_loop()
    server.script("POST", taken("wf-1"), refused("linkedinAccountSignedOut"))
    server.script("GET", *[running()] * 4, status_is("connected"))
    polling = Polling(
        initial_delay=5,
        interval=5,
        growth=1,
        max_interval=5,
        jitter=0,
        queued_interval=100,
    )
    async with server.session(polling=polling) as session:
        handle = await session.start(CHECK)
        with pytest.raises(AccountPausedError):
            await session.start(CHECK)
        begin = loop.time()
        await handle
        waited = loop.time() - begin
        paused = session.account(ACCOUNT).paused

    assert 5 == server.count("GET")
    assert 400 <= waited <= 510
    assert paused is None


@virtual_time
async def test_resumed_account_is_asked_at_full_cadence(server: Scripted) -> None:
    """After `unpause()` the head is polled at full cadence again."""
    loop = asyncio.get_running_loop()
    server.script("POST", taken("wf-1"), refused("linkedinAccountSignedOut"))
    server.script("GET", running(), running(), status_is("connected"))
    polling = Polling(
        initial_delay=5,
        interval=5,
        growth=1,
        max_interval=5,
        jitter=0,
        queued_interval=1000,
    )
    async with server.session(polling=polling) as session:
        handle = await session.start(CHECK)
        with pytest.raises(AccountPausedError):
            await session.start(CHECK)
        account = session.account(ACCOUNT)
        account.unpause()
        account.unpause()
        begin = loop.time()
        await handle
        waited = loop.time() - begin

    assert waited < 30


async def test_failure_reason_and_poll_pause_too(server: Scripted) -> None:
    """The older generation tells of a signed-out account in the failure."""
    failure = {"reason": "linkedinAccountSignedOut", "message": "signed out"}
    server.script("GET", ok({"workflowStatus": "failed", "failure": failure}))
    async with server.session() as session:
        with pytest.raises(WorkflowFailedError):
            await session.run(CHECK)
        first = session.account(ACCOUNT).paused
        other = session.account("other")
        server.script("GET", refused("trialLimitReached"))
        other.attach("wf-9")
        await until(lambda: other.paused)

    assert first is not None
    assert "linkedinAccountSignedOut" == first.reason


async def test_retries_have_a_budget(server: Scripted) -> None:
    """An outage is not amplified: beyond the reserve, one request in ten is repeated."""
    server.script("GET", raw("no", status=503))
    async with server.session() as session:
        for _ in range(60):
            with pytest.raises(ProtocolError):
                await session.status("wf-1")
        retries = session.stats.retries

    assert 10 <= retries <= 17
    assert 60 + retries == server.count("GET")


@pytest.mark.parametrize("trusted", [False, True], ids=["unknown", "wrong-host"])
async def test_certificate_that_does_not_fit_gets_no_token(trusted: bool) -> None:
    """Neither an unknown certificate nor one of another host gets a token."""
    pem = Path(__file__).parents[1] / "data" / "wrong.example.pem"
    own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    own.load_cert_chain(pem)
    sent = bytearray()

    async def listen(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Take down what comes."""
        sent.extend(await reader.read())
        writer.close()

    # In debug mode the listening side complains of the handshake, as it should fail.
    loop = asyncio.get_running_loop()
    complain = loop.get_exception_handler()
    loop.set_exception_handler(lambda *_: None)
    context = ssl.create_default_context(cafile=str(pem)) if trusted else True
    server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=own)
    port = server.sockets[0].getsockname()[1]
    async with (
        server,
        Session(
            linked_api_token=TOKEN,
            identification_token=ACCOUNT,
            base_url=f"https://127.0.0.1:{port}",
            ssl=context,
            retries=Retries(attempts=2, initial_delay=0.001, max_delay=0.01),
        ) as session,
    ):
        with pytest.raises(ConnectionFailedError, match="certificate") as caught:
            await session.run(INVITE)
    loop.set_exception_handler(complain)

    assert not caught.value.sent
    assert b"" == bytes(sent)


def test_workflows_of_one_kind() -> None:
    """The kind is that of the action types and the sizes of limits, not of targets."""
    url = "https://www.linkedin.com/company/"
    page = st.open_company_page(url + "acme").then(
        st.retrieve_company_employees(limit=50)
    )
    similar = st.open_company_page(url + "other").then(
        st.retrieve_company_employees(limit=40)
    )
    larger = st.open_company_page(url + "acme").then(
        st.retrieve_company_employees(limit=500)
    )

    assert duration_kind(page) == duration_kind(similar)
    kinds = [duration_kind(w) for w in (page, larger, CHECK, (CHECK, CHECK), None)]
    assert 5 == len(set(kinds))
    assert kinds[-1] is None


async def test_a_session_shows_its_settings() -> None:
    """The policies and settings can be read where they were passed."""
    retries = Retries(attempts=2)
    session = Session(linked_api_token="t", retries=retries, sole_client=True)

    assert (retries, True) == (session.retries, session.sole_client)


async def test_an_end_without_a_handle_is_counted(server: Scripted) -> None:
    """The end of a workflow whose handle is gone is counted and recorded nowhere."""
    async with server.session() as session:
        runner = session.default_account._runner()
        pending = PendingWorkflow("wf-9", runner)
        pending.end = Ended(WorkflowCancelledError(workflow_id="wf-9"))
        runner.on_end(pending)

        assert 1 == session.stats.failed


async def test_leaving_ends_a_start_that_waits_for_the_host(server: Scripted) -> None:
    """A start that waits for a pause of the host to pass was not sent, and says so."""
    async with server.session() as session:
        session._runtime.pause(3600)
        start = asyncio.create_task(session.start(CHECK))
        while not session._runtime._waiting:
            await asyncio.sleep(0)
    with pytest.raises(SessionClosedError):
        await start

    assert 0 == server.count("POST")


@virtual_time
async def test_leaving_ends_requests_that_wait_for_the_host() -> None:
    """A request that waits for a pause of the host ends when the session is left."""
    loop = asyncio.get_running_loop()
    async with Scripted() as server:
        async with server.session() as session:
            session._runtime.pause(3600)
            calls = [
                asyncio.create_task(call)
                for call in (session.status("wf-1"), session.info())
            ]
            while len(session._runtime._waiting) < len(calls):
                await asyncio.sleep(0)
            began = loop.time()
        ends = await asyncio.gather(*calls, return_exceptions=True)
        took = loop.time() - began

    assert {SessionClosedError} == {type(end) for end in ends}
    assert took < 1
    assert not server.seen


async def test_no_start_waits_for_the_host_while_a_session_is_left(
    server: Scripted,
) -> None:
    """A start that comes to the host's pause during leaving ends at once."""
    async with server.session() as session:
        session._runtime._waits_end = True
        with pytest.raises(SessionClosedError):
            await session._runtime.admit()
        session._runtime._waits_end = False


async def test_many_are_attached(server: Scripted) -> None:
    """`attach_all` gives a handle for each id, ordered if nothing else is waited for."""
    server.script("GET", running())
    async with server.session(polling=Polling.fixed(3600)) as session:
        first = session.attach_all(["wf-1", "wf-2"], CHECK, ordered=True)
        states = session.counts_by_state()
        more = session.attach_all(iter(["wf-2", "wf-3"]), ordered=True)

        assert ["wf-1", "wf-2"] == [handle.workflow_id for handle in first]
        assert [CHECK, CHECK] == [handle.workflow for handle in first]
        assert (1, 1, 0) == (states["head"], states["tail"], states["unordered"])
        assert first[1] is more[0]
        assert 3 == session.counts_by_state()["unordered"]
        with pytest.raises(ValueError, match="workflow id"):
            session.attach_all(["wf-4", "../wf-5"])
        with pytest.raises(TypeError, match="put this one in a list"):
            session.attach_all("wf-4")
        assert 3 == len(session.handles)


def test_settings_have_the_names_of_the_arguments() -> None:
    """`Session.from_env` takes by name what `Session` takes, with the same types."""
    arguments = inspect.signature(Session.__init__).parameters
    expected = {
        name: parameter.annotation
        for name, parameter in arguments.items()
        if name != "self"
    }
    found = {
        name: each.__forward_arg__
        for name, each in SessionSettings.__annotations__.items()
    }

    assert expected == found
