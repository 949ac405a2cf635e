"""What was never listed takes the safe way: starts, polls, delivery and leaving."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web
from event_loops import virtual_time
from hypothesis import given
from hypothesis import strategies as some
from scripted_server import (
    Scripted,
    completed,
    dropped,
    held,
    ok,
    raw,
    running,
    taken,
)

from linkedapi_async import (
    Polling,
    Session,
    SessionClosedError,
    StartUnknownError,
    WaitTimeoutError,
    st,
)
from linkedapi_async._http import responses
from linkedapi_async._http.responses import read_status
from linkedapi_async._http.transport import AiohttpTransport
from linkedapi_async._polling.answers import Ended
from linkedapi_async._polling.poller import Poller
from linkedapi_async._utils.json import MAX_DEPTH, encode_json
from linkedapi_async.errors import (
    JournalLockedError,
    LinkedApiError,
    PollingCrashedError,
    ProtocolError,
    RateLimitedError,
)
from linkedapi_async.journal import MemoryJournal, Row, SqliteJournal
from linkedapi_async.session import _account_runtime, _handle, _observer, _start
from linkedapi_async.session._account_runtime import AccountRuntime
from linkedapi_async.session._durations import DurationStore
from linkedapi_async.session._journaling import JournalRecorder
from linkedapi_async.session._recent import RecentKeys
from linkedapi_async.session._runtime import Runtime


pytestmark = pytest.mark.anyio

SEND = st.send_message("https://www.linkedin.com/in/ada", text="Hello")
SENT = {"actionType": "st.sendMessage", "success": True, "data": {}}


class NeverListedError(Exception):
    """An error that no rule of the library knows."""


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    """A scripted server that accepts workflows and completes them."""
    async with Scripted() as scripted:
        scripted.script("POST", taken())
        scripted.script("GET", completed(SENT))
        scripted.script("DELETE", ok({"cancelled": True}))
        yield scripted


def fail_once(
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    hits: list[str],
    *,
    after: bool,
) -> None:
    """Make a function raise once, before or after its work; note that in *hits*."""
    real = getattr(owner, name)

    def hit() -> None:
        """Raise, the first time."""
        if not hits:
            hits.append(name)
            raise NeverListedError(name)

    async def wrapped_async(*args: Any, **facts: Any) -> Any:
        """Do the work, and fail at one side of it."""
        if not after:
            hit()
        result = await real(*args, **facts)
        if after:
            hit()
        return result

    def wrapped(*args: Any, **facts: Any) -> Any:
        """Do the work, and fail at one side of it."""
        if not after:
            hit()
        result = real(*args, **facts)
        if after:
            hit()
        return result

    is_async = inspect.iscoroutinefunction(real)
    monkeypatch.setattr(owner, name, wrapped_async if is_async else wrapped)


PLACES: dict[str, tuple[Any, str]] = {
    # What a start awaits and reads.
    "admit": (Runtime, "admit"),
    "intent": (JournalRecorder, "record_intent"),
    "send": (AiohttpTransport, "send"),
    "call": (AccountRuntime, "call"),
    "read start": (_start, "read_started"),
    "candidates": (AccountRuntime, "candidates_since"),
    "certain": (AccountRuntime, "is_certain"),
    "accepted": (JournalRecorder, "record_accepted"),
    "watch": (AccountRuntime, "watch"),
    # What a poll awaits and reads.
    "read poll": (_account_runtime, "read_poll"),
    "envelope": (responses, "_read_envelope"),
    "status": (responses, "read_status"),
    "running": (AccountRuntime, "note_running"),
    # What is observed, and logged.
    "facts": (_observer, "_derived"),
    "log": (_observer, "log_extra"),
    # What follows from an end, and its delivery.
    "record end": (JournalRecorder, "record_end"),
    "count end": (AccountRuntime, "_count_end"),
    "read completion": (_handle, "read_completion"),
    "flushed": (JournalRecorder, "flushed"),
    "acknowledge": (JournalRecorder, "acknowledge"),
    # What leaving awaits.
    "end tasks": (Runtime, "_end_tasks"),
    "end waits": (Runtime, "_end_waits"),
    "close poller": (Poller, "aclose"),
    "store durations": (DurationStore, "store"),
    "close journal": (MemoryJournal, "aclose"),
}


NEEDS_ANSWER = {
    "read start",
    "accepted",
    "watch",
    "record end",
    "flushed",
    "acknowledge",
}
"""Places that are reached only if the start is answered."""

NEEDS_LOSS = {"candidates", "certain"}
"""Places that are reached only if the answer is lost."""


async def run_stream(
    server: Scripted, journal: MemoryJournal, begin: Callable[[], object] = int
) -> None:
    """Send one message from a stream, beside a wait of another account."""
    async with server.session(journal=journal) as session:
        other = session.account("another-account").attach("wf-other")
        begin()
        async with session.as_completed([("key", SEND)], limit=1) as done:
            async for handle in done:
                with contextlib.suppress(NeverListedError, LinkedApiError):
                    await handle
        with contextlib.suppress(NeverListedError, ProtocolError):
            await other.completion()

        assert SENT == (await other.completion()).raw


def test_the_matrix_has_many_cells() -> None:
    """Each place fails before and after its work, with and without an answer."""
    assert 100 == 2 * 2 * len(PLACES)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("lost", [False, True], ids=["answered", "lost"])
@pytest.mark.parametrize("place", PLACES)
async def test_an_error_anywhere(
    server: Scripted,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    place: str,
    *,
    lost: bool,
    after: bool,
) -> None:
    """No write is sent twice, no accepted start is lost, and no other wait ends."""
    caplog.set_level(logging.DEBUG, "linkedapi_async")
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    server.script("POST", dropped() if lost else taken())
    server.script("GET", running(), completed(SENT))
    journal = MemoryJournal()
    owner, name = PLACES[place]
    with monkeypatch.context() as patch:
        hits: list[str] = []

        def begin() -> None:
            """Begin to fail."""
            fail_once(patch, owner, name, hits, after=after)

        async with asyncio.timeout(60):
            with contextlib.suppress(NeverListedError):
                await run_stream(server, journal, begin)
    await journal.aclose()
    sent = server.count("POST")
    states = [row.state for row in await rows_of(journal)]

    reached = place not in (NEEDS_ANSWER if lost else NEEDS_LOSS)
    assert [name] * (reached and not (place == "call" and lost and after)) == hits
    assert sent <= 1
    if sent:
        assert ["unknown"] == states if lost else states[0] != "intended"
        await run_stream(server, journal)
        assert 1 == server.count("POST")


async def rows_of(journal: MemoryJournal) -> list[Row]:
    """Return all rows of a journal that is closed."""
    async with journal:
        return await journal.rows()


# Starts


@pytest.mark.parametrize("kept", [False, True], ids=["memory", "journal"])
async def test_the_id_of_another_start(server: Scripted, *, kept: bool) -> None:
    """A second start that is answered with a known id is unknown, the first is not."""
    server.script("POST", taken("wf-1"))
    journal = MemoryJournal() if kept else None
    async with server.session(journal=journal, sole_client=True) as session:
        first = await session.start(SEND)
        with pytest.raises(StartUnknownError, match="id of another start") as caught:
            await session.start(SEND)
        await first
        with pytest.raises(StartUnknownError):
            await session.start(SEND)
        unknown = [] if session.journal is None else await session.journal.unknown()

    assert ("wf-1",) == caught.value.candidates
    assert 2 * kept == len(unknown)


class BrokenEvents:
    """What webhook events say, by a subscription that always fails."""

    def match(self, workflow_id: str, account: str) -> None:
        """Fail."""
        raise NeverListedError(workflow_id, account)

    def ended(self, workflow_id: str) -> None:
        """Fail."""
        raise NeverListedError(workflow_id)

    def reconsider(self, account: str) -> None:
        """Fail."""
        raise NeverListedError(account)

    def candidates(self, account_id: str, since: float, until: float) -> list[str]:
        """Fail."""
        raise NeverListedError(account_id)


async def test_a_broken_subscription_loses_no_start(server: Scripted) -> None:
    """Its errors are reported to the event loop, and the start has its handle."""
    reports: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, report: reports.append(report))
    async with server.session() as session:
        session._runtime.start_events.append(BrokenEvents())
        handle = await session.start(SEND)
        assert SENT == (await handle.completion()).raw
        session._runtime.start_events.clear()

    assert [NeverListedError] * 3 == [type(each["exception"]) for each in reports]


async def test_a_workflow_of_the_journal_is_no_candidate(server: Scripted) -> None:
    """With `sole_client`, a lost start is never taken for what the journal knows."""
    journal = MemoryJournal()
    async with server.session(journal=journal, sole_client=True) as session:
        await journal.intend("earlier", "another", b"{}", stream=True)
        await journal.accepted("earlier", "wf-1")
        account = session.account("some-account", "ada")
        certain = [
            await account._runner().is_certain((workflow_id,))
            for workflow_id in ("wf-1", "wf-2")
        ]

    assert [False, True] == certain


# Polls


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({"workflowId": "wf-2", "workflowStatus": "completed"}, id="id"),
        pytest.param({"workflowId": ["wf-1"], "workflowStatus": "running"}, id="list"),
    ],
)
async def test_an_answer_about_another_workflow(
    server: Scripted, answer: dict[str, Any]
) -> None:
    """It is a failed poll: the wait goes on until the right answer comes."""
    mixed_up = {"completion": {"actionType": "st.openPersonPage"}, **answer}
    server.script("GET", ok(mixed_up), completed(SENT))
    async with server.session() as session:
        completion = await (await session.start(SEND)).completion()

    assert SENT == completion.raw


@pytest.mark.parametrize("field", ["reason", "error", "completion"])
async def test_a_poisoned_answer_hinders_one_workflow(
    server: Scripted, field: str
) -> None:
    """An answer that is nested a thousand deep ends no wait but its own, if any."""
    nest: Any = "[" * 1000 + "1" + "]" * 1000
    poison = {
        "reason": '{"success":true,"result":{"workflowStatus":"failed","failure":'
        '{"reason":%s,"message":"x"}}}',
        "error": '{"success":false,"error":{"type":%s,"message":"x"}}',
        "completion": '{"success":true,"result":{"workflowStatus":"completed",'
        '"completion":{"actionType":"st.sendMessage","success":true,"data":{"x":%s}}}}',
    }[field] % nest

    async def answer(request: web.Request) -> web.StreamResponse:
        """Poison the polls of one workflow."""
        poisoned = request.path.endswith("/wf-1")
        return await (raw(poison) if poisoned else completed(SENT))(request)

    server.script("GET", answer)
    journal = MemoryJournal()
    async with server.session(journal=journal) as session:
        handles = [
            await session.account(f"account-{number}").start(SEND)
            for number in range(3)
        ]
        for handle in handles[1:]:
            assert SENT == (await handle.completion()).raw
        with contextlib.suppress(LinkedApiError):
            await handles[0].completion(timeout=0)
    async with journal:
        poisoned, *others = await journal.rows()

    assert (field == "reason") == (poisoned.state == "delivered")
    assert ["delivered"] * 2 == [row.state for row in others]


@pytest.mark.parametrize("shape", ["array", "object"])
def test_what_is_read_can_be_stored(shape: str) -> None:
    """A completion that is nested more deeply than can be stored is a failed poll."""
    value: Any = {"actionType": "st.retrieveSSI"}
    answers = []
    for _ in range(MAX_DEPTH + 50):
        value = {"x": value} if shape == "object" else [value, {}]
        answer = read_status({"workflowStatus": "completed", "completion": value}, "wf")
        answers.append(isinstance(answer, Ended))
        if answers[-1]:
            assert json.loads(encode_json({"completion": [value]}))

    assert [True] * (MAX_DEPTH - 1) + [False] * 51 == answers


@virtual_time
async def test_a_poisoned_answer_holds_up_no_stream() -> None:
    """All other items of the stream come out; the one that is poisoned times out."""

    async def answer(request: web.Request) -> web.StreamResponse:
        """Poison the polls of one workflow."""
        poisoned = request.path.endswith("/wf-3")
        return await (raw("{}", status=502) if poisoned else completed(SENT))(request)

    ends: list[str] = []
    async with Scripted() as server:
        server.script("POST", taken())
        server.script("GET", answer)
        async with server.session(polling=Polling(deadline=3600)) as session:
            async with session.as_completed([SEND] * 9, limit=3) as done:
                async for handle in done:
                    try:
                        await handle.result(timeout=0)
                    except WaitTimeoutError:
                        ends.append("late")
                    else:
                        ends.append("sent")

    assert [*["sent"] * 8, "late"] == sorted(ends, reverse=True)


async def crash_of(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Crash the polling engine of a session."""

    def crash(*_: object) -> None:
        """Fail as the engine never should."""
        raise NeverListedError

    poller = session._runtime.poller
    monkeypatch.setattr(poller._scheduler, "answered", crash)
    with pytest.raises(RuntimeError, match="engine crashed"):
        await session.attach("wf-9").completion(timeout=0)


async def test_a_dead_engine_starts_nothing(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No further start is sent, streams end with the error, every handle says so."""
    async with server.session() as session:
        handle = await session.account("another").start(SEND)
        await crash_of(session, monkeypatch)
        sent = server.count("POST")
        with pytest.raises(PollingCrashedError) as raised:
            await handle
        with pytest.raises(PollingCrashedError):
            await session.start(SEND)
        with pytest.raises(PollingCrashedError):
            await session.drain()
        with pytest.raises(PollingCrashedError):
            async with session.as_completed([SEND] * 3, limit=1) as done:
                async for _ in done:
                    pass

        assert handle.workflow_id == raised.value.workflow_id
        assert isinstance(handle.failure, PollingCrashedError)

        assert sent == server.count("POST")


async def test_a_start_that_outlives_the_engine_keeps_its_id(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start that was under way gives a handle with its id; only its wait fails."""
    gate = asyncio.Event()
    server.script("POST", held(gate, taken()))
    async with server.session() as session:
        start = asyncio.create_task(session.start(SEND))
        while not server.count("POST"):
            await asyncio.sleep(0.001)
        await crash_of(session, monkeypatch)
        gate.set()
        handle = await start
        with pytest.raises(RuntimeError, match="engine crashed"):
            await handle

    assert "wf-1" == handle.workflow_id


# Leaving


@pytest.mark.parametrize("scope", ["anyio", "asyncio"])
async def test_cancelling_what_leaves_loses_no_id(server: Scripted, scope: str) -> None:
    """Cancellation from outside waits until the start under way has its id."""
    gate = asyncio.Event()
    server.script("POST", held(gate, taken()))
    server.script("GET", running())
    journal = MemoryJournal()
    session = server.session(journal=journal)

    async def work() -> None:
        """Run a workflow in a session."""
        async with session:
            await session.run(SEND)

    async def work_in_scope() -> None:
        """Run it in a scope that is cancelled while the start is under way."""
        async with anyio.create_task_group() as group:
            group.start_soon(work)
            await sent()
            group.cancel_scope.cancel()

    async def sent() -> None:
        """Wait until the start is sent, and let it be answered soon."""
        while not server.count("POST"):
            await asyncio.sleep(0.001)
        asyncio.get_running_loop().call_later(0.05, gate.set)

    if scope == "anyio":
        await work_in_scope()
    else:
        task = asyncio.create_task(work())
        await sent()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    (row,) = await rows_of(journal)

    assert ("accepted", "wf-1") == (row.state, row.workflow_id)
    assert ["wf-1"] == [handle.workflow_id for handle in session.handles]


@virtual_time
@pytest.mark.parametrize("pause", ["retry", "before"])
async def test_leaving_waits_for_no_pause(pause: str) -> None:
    """A host that asks for an hour delays leaving by no more than a request."""
    loop = asyncio.get_running_loop()
    async with Scripted() as server:
        throttled = raw("", status=429, Retry_After="3600")
        server.script("POST", throttled if pause == "retry" else taken())
        server.script("GET", throttled)
        async with server.session(
            request_timeout=5, journal=MemoryJournal()
        ) as session:
            if pause == "before":
                session.attach("wf-9")
                while session.stats.polls < 1:
                    await asyncio.sleep(0.1)
            start = asyncio.create_task(session.start(SEND))
            await asyncio.sleep(3)
            began = loop.time()
        took = loop.time() - began
        unknown = await rows_of(session.journal)  # type: ignore[arg-type]
        posts = server.count("POST")

    assert took <= 0.5
    assert [] == unknown
    assert int(pause == "retry") == posts
    ends = {"retry": RateLimitedError, "before": SessionClosedError}
    assert ends[pause] is type(start.exception())


@virtual_time
@pytest.mark.parametrize("cancel_on_exit", [False, True])
async def test_leaving_takes_a_request_timeout_at_most(*, cancel_on_exit: bool) -> None:
    """A server that answers nothing delays leaving by its timeout and a second."""
    loop = asyncio.get_running_loop()
    never = asyncio.Event()
    async with Scripted() as server:
        for method in ("GET", "POST", "DELETE"):
            server.script(method, held(never, taken()))
        async with server.session(
            request_timeout=5, cancel_on_exit=cancel_on_exit, journal=MemoryJournal()
        ) as session:
            session.attach("wf-9")
            start = asyncio.create_task(session.start(SEND))
            while not server.count("POST"):
                await asyncio.sleep(0.01)
            began = loop.time()
        took = loop.time() - began
        (row,) = await rows_of(session.journal)  # type: ignore[arg-type]

    assert took <= 6.1
    assert "unknown" == row.state
    assert isinstance(start.exception(), StartUnknownError)


async def test_cancelling_the_leaving_itself(server: Scripted) -> None:
    """A second cancellation, during `__aexit__`, waits for the id as well."""
    gate = asyncio.Event()
    server.script("POST", held(gate, taken()))
    server.script("GET", running())
    session = server.session(journal=MemoryJournal())

    async def work() -> None:
        """Leave a session while a start is under way."""
        async with session:
            start = asyncio.create_task(session.start(SEND))
            while not server.count("POST"):
                await asyncio.sleep(0.001)
        assert "wf-1" == (await start).workflow_id

    task = asyncio.create_task(work())
    while session._runtime.state != "closed":
        await asyncio.sleep(0.001)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0.01)
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert ["wf-1"] == [handle.workflow_id for handle in session.handles]


async def test_a_refusal_while_leaving_is_no_retry(server: Scripted) -> None:
    """A start that is throttled while the session is left was not accepted."""
    gate = asyncio.Event()
    server.script("POST", held(gate, raw("", status=429, Retry_After="3600")))
    journal = MemoryJournal()
    async with server.session(journal=journal) as session:
        start = asyncio.create_task(session.start(SEND))
        while not server.count("POST"):
            await asyncio.sleep(0.001)
        asyncio.get_running_loop().call_later(0.05, gate.set)

    assert isinstance(start.exception(), RateLimitedError)
    assert [] == await rows_of(journal)
    assert 1 == server.count("POST")


class StuckJournal(MemoryJournal):
    """A journal on a disk that never finishes."""

    async def unknown_start(self, key: str) -> None:
        """Wait for ever."""
        await asyncio.Event().wait()


@virtual_time
async def test_leaving_does_not_wait_for_a_stuck_disk() -> None:
    """What cannot be recorded in time is given up; the next run finds it unknown."""
    loop = asyncio.get_running_loop()
    journal = StuckJournal()
    async with Scripted() as server:
        server.script("POST", dropped())
        async with server.session(request_timeout=5, journal=journal) as session:
            start = asyncio.create_task(session.start(SEND))
            queued = asyncio.create_task(session.start(SEND))
            while not server.count("POST"):
                await asyncio.sleep(0.01)
            began = loop.time()
        took = loop.time() - began
        (row,) = await rows_of(journal)

    assert took <= 6.1
    assert "unknown" == row.state
    assert isinstance(start.exception(), StartUnknownError)
    assert isinstance(queued.exception(), SessionClosedError)


async def test_leaving_does_not_wait_for_a_disk_that_hangs(
    server: Scripted, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What was to be recorded is recorded once the disk works again."""
    journal = SqliteJournal(tmp_path / "runs")
    disk = threading.Event()
    try:
        async with server.session(request_timeout=1, journal=journal) as session:
            server.script("GET", running())
            handle = await session.start(SEND)
            hangs = journal._submit(lambda _: disk.wait(60))
            server.script("GET", completed(SENT))
            while not handle.done:
                await asyncio.sleep(0.001)
        left = not hangs.done()
    finally:
        disk.set()
    async with journal:
        (row,) = await journal.rows()

    assert left
    assert ("finished", "wf-1") == (row.state, row.workflow_id)
    assert "writes on, because the session was left" in caplog.text


async def test_a_journal_that_cannot_be_opened(server: Scripted) -> None:
    """Entering raises its error and leaves no connection open; there is no way back."""
    journal = MemoryJournal()
    async with journal:
        session = server.session(journal=journal)
        with pytest.raises(JournalLockedError):
            await session.__aenter__()
        with pytest.raises(RuntimeError, match="was entered before"):
            await session.__aenter__()


async def test_counters_without_a_connection(server: Scripted) -> None:
    """A session that was not entered has counted nothing."""
    stats = server.session().stats

    assert (0, 0, 0, 0) == (stats.started, stats.polls, stats.retries, stats.in_flight)


# Keys


def test_a_key_is_forgotten() -> None:
    """The first of the keys leaves when there are more than the limit."""
    recent = RecentKeys(2)

    assert [True] * 3 == [recent.add(key) for key in "abc"]
    assert [False, True] == [recent.add(key) for key in "ba"]


@given(some.lists(some.text(max_size=2), max_size=30), some.integers(1, 5))
def test_recent_keys(keys: list[str], limit: int) -> None:
    """A key is new unless it is among the last ones that were new."""
    recent = RecentKeys(limit)
    kept: list[str] = []
    for key in keys:
        assert (key not in kept) == recent.add(key)
        if key not in kept:
            kept = [*kept, key][-limit:]
