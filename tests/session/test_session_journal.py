"""Sessions with a journal: nothing lost, nothing sent twice, over crashes."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import json
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from scripted_server import (
    ACCOUNT,
    TOKEN,
    Scripted,
    completed,
    dropped,
    held,
    ok,
    refused,
    running,
    taken,
)

from linkedapi_async import (
    JournalError,
    Polling,
    Session,
    SessionClosedError,
    StartUnknownError,
    WorkflowCancelledError,
    WorkflowFailedError,
    WorkflowNotFoundError,
    custom,
    st,
)
from linkedapi_async.journal import Journal, MemoryJournal, Row, SqliteJournal


pytestmark = pytest.mark.anyio

SEND = st.send_message("https://www.linkedin.com/in/ada", text="Hello")
CHECK = st.check_connection_status("https://www.linkedin.com/in/ada")
NODE = {
    "actionType": "st.checkConnectionStatus",
    "success": True,
    "data": {"connectionStatus": "connected"},
}
Make = Callable[[], Journal]


@pytest.fixture(params=["sqlite", "memory"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Return what gives the journal as a process that has just begun would have it."""
    memory = MemoryJournal()
    path = tmp_path / "runs.sqlite3"
    return (
        (lambda: SqliteJournal(path)) if request.param == "sqlite" else lambda: memory
    )


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    """A server that takes everything and completes it at once."""
    ids = itertools.count(1)

    async def take(request: web.Request) -> web.StreamResponse:
        """Take a workflow under the next id."""
        return await ok({"workflowId": f"wf-{next(ids)}"})(request)

    async with Scripted() as scripted:
        scripted.script("POST", take)
        scripted.script("GET", completed(NODE))
        yield scripted


async def rows_of(journal: Journal) -> list[Row]:
    """Return all rows of a journal that is closed."""
    async with journal:
        return await journal.rows()


async def test_run_is_noted_from_intent_to_delivery(
    server: Scripted, journal: Make
) -> None:
    """The row has the definition before the POST, then the id, the result, the end."""
    states: list[list[Row]] = []
    noted = journal()

    async def take(request: web.Request) -> web.StreamResponse:
        """Look at the journal while the start is under way."""
        states.append(await noted.rows())
        return await taken("wf-1")(request)

    server.script("POST", take)
    async with server.session(journal=noted) as session:
        status = await session.run(CHECK)
        same = session.journal
    (intent,) = states[0]
    (row,) = await rows_of(journal())

    assert "connected" == status.connection_status
    assert noted is same
    assert ("intended", None) == (intent.state, intent.workflow_id)
    assert server.seen[0].body == json.loads(intent.definition)
    assert ("delivered", "wf-1", "completed") == (
        row.state,
        row.workflow_id,
        row.end_status,
    )
    assert NODE == json.loads(row.result or b"")
    assert not row.stream


async def test_no_token_is_written(server: Scripted, tmp_path: Path) -> None:
    """Rows know accounts by their names."""
    path = tmp_path / "runs.sqlite3"
    async with server.session(journal=path) as session:
        await session.run(CHECK)
        await session.account("other-token", name="sales").start(CHECK)
        await session.drain()
        files = b"".join(file.read_bytes() for file in tmp_path.iterdir())

    assert b"sales" in files
    assert ACCOUNT.encode() not in files
    assert TOKEN.encode() not in files
    assert b"other-token" not in files


async def test_what_is_unfinished_is_resumed(server: Scripted, journal: Make) -> None:
    """A later run gets a typed handle of what an earlier one has started."""
    server.script("GET", running())
    async with server.session(journal=journal()) as session:
        await session.start(CHECK)
        await session.start(CHECK, CHECK)
    async with server.session(journal=journal()) as session:
        resumed = await session.recover()
        again = await session.recover()

        async def finish(request: web.Request) -> web.StreamResponse:
            """Complete each workflow."""
            one = request.path.endswith("wf-1")
            return await completed(NODE if one else [NODE, NODE])(request)

        server.script("GET", finish)
        values = [await handle for handle in resumed.handles]
    async with server.session(journal=journal()) as session:
        nothing = await session.recover()

    assert ["wf-1", "wf-2"] == [handle.workflow_id for handle in resumed.handles]
    assert resumed.handles == again.handles
    assert CHECK == resumed.handles[0].workflow
    assert "connected" == values[0].connection_status
    assert 2 == len(values[1])
    assert 2 == server.count("POST")
    assert ((), (), ()) == (nothing.handles, nothing.unknown, nothing.other_accounts)


async def test_failure_with_a_completion_loses_nothing(
    server: Scripted, journal: Make
) -> None:
    """What came beside the reason is on the error, also after a crash."""
    failed = {"workflowStatus": "failed", "failure": {"reason": "r"}}
    server.script("GET", ok({**failed, "completion": NODE}))
    found = []
    async with server.session(journal=journal()) as session:
        handle = await session.start(CHECK)
        while not handle.done:  # without a waiter
            await asyncio.sleep(0.001)
        found.append(handle.failure)
    async with server.session(journal=journal()) as session:
        found += [handle.failure for handle in (await session.recover()).handles]

    assert [NODE, NODE] == [getattr(error, "raw", None) for error in found]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (completed(NODE), None),
        (
            ok({"workflowStatus": "failed", "failure": {"reason": "r"}}),
            WorkflowFailedError,
        ),
        (ok({"workflowStatus": "cancelled"}), WorkflowCancelledError),
    ],
)
async def test_end_that_nobody_saw_is_delivered_later(
    server: Scripted, journal: Make, answer: Any, error: type[Exception] | None
) -> None:
    """What ended and was not delivered comes from the journal, without a request."""
    server.script("GET", answer)
    async with server.session(journal=journal()) as session:
        handle = await session.start(CHECK)
        while not handle.done:  # without a waiter
            await asyncio.sleep(0.001)
    before = server.count("GET")
    async with server.session(journal=journal()) as session:
        (late,) = (await session.recover()).handles
        outcome = (await asyncio.gather(late.result(), return_exceptions=True))[0]
    (row,) = await rows_of(journal())

    assert before == server.count("GET")
    assert (error is None) == (getattr(outcome, "connection_status", 0) == "connected")
    assert error is None or isinstance(outcome, error)
    assert "delivered" == row.state


async def test_without_results_the_end_is_asked_for_again(
    server: Scripted, tmp_path: Path
) -> None:
    """`store_results=False` leaves personal data out; the API still has it."""

    def make() -> Journal:
        """Return the journal."""
        return SqliteJournal(tmp_path / "runs.sqlite3", store_results=False)

    async with server.session(journal=make()) as session:
        handle = await session.start(CHECK)
        while not handle.done:  # without a waiter
            await asyncio.sleep(0.001)
    async with server.session(journal=make()) as session:
        (late,) = (await session.recover()).handles
        status = await late

    assert "connected" == status.connection_status
    assert b"connected" not in b"".join(f.read_bytes() for f in tmp_path.iterdir())


async def test_unknown_start_waits_for_a_decision(
    server: Scripted, journal: Make
) -> None:
    """An unknown start is listed, adopted or discarded; it is never sent again."""
    server.script("POST", dropped())
    write = custom("st.zzz")
    async with server.session(journal=journal()) as session:
        for _ in range(2):
            with pytest.raises(StartUnknownError):
                await session.run(write)
        assert session.journal is not None
        first, second = (await session.recover()).unknown
        await session.journal.adopt(first.key, "wf-77")
        await session.journal.discard(second.key)
        (handle,) = (await session.recover()).handles
        await handle
        left = await session.journal.unknown()

    assert "wf-77" == handle.workflow_id
    assert [] == left
    assert 2 == server.count("POST")


async def test_crash_between_intent_and_answer_is_unknown(
    server: Scripted, journal: Make
) -> None:
    """A process that dies while a start is under way leaves a row to decide on."""
    noted = journal()
    async with noted:
        await noted.intend("k", "sales", b'{"actionType":"st.retrieveSSI"}')
    async with server.session(journal=journal()) as session:
        foreign = (await session.recover()).other_accounts
        session.account("other", name="sales")
        unknown = (await session.recover()).unknown

    assert ["k"] == [row.key for row in foreign]
    assert ["k"] == [row.key for row in unknown]
    assert 0 == server.count("POST")


async def test_refused_start_leaves_no_row(server: Scripted, journal: Make) -> None:
    """Nothing came of it, so there is nothing to resume."""
    server.script("POST", refused("invalidWorkflow"))
    async with server.session(journal=journal()) as session:
        with pytest.raises(Exception, match="invalidWorkflow"):
            await session.run(CHECK)

    assert [] == await rows_of(journal())


async def test_token_that_is_refused_keeps_the_row(
    server: Scripted, journal: Make
) -> None:
    """A wait that ends for want of a token says nothing of the workflow."""
    server.script("GET", running())
    async with server.session(journal=journal()) as session:
        handle = await session.start(CHECK)
        assert handle._pending is not None
        error = JournalError("as if a token was refused")
        from linkedapi_async._polling.answers import Ended

        session._runtime.poller.resolve(handle._pending, Ended(error))
        with pytest.raises(JournalError):
            await handle
    (row,) = await rows_of(journal())

    assert "accepted" == row.state


async def test_lost_workflow_is_noted_as_lost(server: Scripted, journal: Make) -> None:
    """An id that the API does not know any more is not waited for for ever."""
    from linkedapi_async._polling.answers import Ended

    server.script("GET", running())
    async with server.session(journal=journal()) as session:
        handle = await session.start(CHECK)
        assert handle._pending is not None
        gone = Ended(WorkflowNotFoundError(workflow_id="wf-1"))
        session._runtime.poller.resolve(handle._pending, gone)
        while session._runtime._tasks:
            await asyncio.wait(session._runtime._tasks)
    async with server.session(journal=journal()) as session:
        (late,) = (await session.recover()).handles
        with pytest.raises(WorkflowNotFoundError):
            await late


async def test_resume_needs_a_journal(server: Scripted) -> None:
    """Without one there is nothing to resume from."""
    async with server.session() as session:
        with pytest.raises(ValueError, match="journal="):
            await session.recover()


async def test_cancelled_start_is_noted_all_the_same(
    server: Scripted, journal: Make
) -> None:
    """The caller is gone, the row is not."""
    gate = asyncio.Event()
    server.script("POST", held(gate, taken("wf-5")))
    async with server.session(journal=journal()) as session:
        start = asyncio.create_task(session.start(CHECK))
        while not server.count("POST"):  # waits for what has no event
            await asyncio.sleep(0)
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start
        gate.set()
        await asyncio.wait(session._runtime._tasks)
        await session.drain()
    (row,) = await rows_of(journal())

    assert ("finished", "wf-5") == (row.state, row.workflow_id)


@pytest.mark.parametrize("at_once", [True, False])
async def test_disk_that_is_full_loses_no_id(server: Scripted, at_once: bool) -> None:
    """A start that was taken and cannot be noted says its id, and is waited for."""

    class Broken(MemoryJournal):
        """A journal that cannot note ids."""

        def submit_accepted(self, key: str, workflow_id: str) -> asyncio.Future[None]:
            """Fail, at once or later."""
            if at_once:
                raise JournalError("full")
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            future.set_exception(JournalError("full"))
            return future

    async with server.session(journal=Broken()) as session:
        with pytest.raises(JournalError, match="wf-1"):
            await session.start(CHECK)
        left = session.handles
        await session.drain()

    assert ["wf-1"] == [handle.workflow_id for handle in left]


async def test_result_is_not_held_back_by_a_full_disk(
    server: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    """What came is given even if it cannot be written, and the log says so."""

    class Broken(MemoryJournal):
        """A journal that cannot note ends."""

        async def finished(
            self,
            key: str,
            result: bytes | None,
            end_status: Any,
            failure: Any = None,
        ) -> None:
            """Fail."""
            raise JournalError("full")

    async with server.session(journal=Broken()) as session:
        status = await session.run(CHECK)

    assert "connected" == status.connection_status
    assert "could not record" in caplog.text


# A slow disk


class Disk(sqlite3.Connection):
    """A connection to a database whose commits take as long as a test wants."""

    free = threading.Event()
    waiting = threading.Event()
    failing = 0
    """How many commits to come fail."""

    def execute(self, sql: str, *facts: Any) -> sqlite3.Cursor:
        """Execute a statement, a commit once the disk is free."""
        if sql == "COMMIT":
            self.waiting.set()
            self.free.wait()
            if type(self).failing:
                type(self).failing -= 1
                message = "disk I/O error"
                raise sqlite3.OperationalError(message)
        return super().execute(sql, *facts)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Disk]]:
    """A disk that is free at first."""
    monkeypatch.setattr(
        sqlite3, "connect", functools.partial(sqlite3.connect, factory=Disk)
    )
    monkeypatch.setattr(Disk, "failing", 0)
    Disk.free.set()
    yield Disk
    Disk.free.set()


@contextlib.asynccontextmanager
async def writing(disk: type[Disk], work: Any) -> AsyncIterator[asyncio.Task[Any]]:
    """Run *work* until it waits for the disk, and everything that can be done then."""
    disk.waiting.clear()
    disk.free.clear()
    task = asyncio.create_task(work)
    await asyncio.to_thread(disk.waiting.wait)
    for _ in range(100):
        await asyncio.sleep(0)
    try:
        yield task
    finally:
        disk.free.set()


@pytest.mark.parametrize("own", [True, False])
async def test_nothing_is_sent_before_its_intent_is_on_disk(
    server: Scripted, disk: type[Disk], tmp_path: Path, own: bool
) -> None:
    """The request is built while the disk is waited for, and waits for it."""
    async with aiohttp.ClientSession() as client:
        http = None if own else client
        async with server.session(journal=tmp_path / "runs", http=http) as session:
            async with writing(disk, session.start(SEND)) as start:
                early = list(server.seen)

                assert not start.done()

            handle = await start

    assert [] == early
    assert ["POST"] == [seen.method for seen in server.seen if seen.method == "POST"]
    assert "wf-1" == handle.workflow_id


async def test_nothing_is_sent_that_cannot_be_noted(
    server: Scripted, disk: type[Disk], tmp_path: Path
) -> None:
    """A commit that fails is the start's error, and leaves nothing to take back."""
    async with server.session(
        journal=tmp_path / "runs", polling=Polling.fixed(1000)
    ) as session:
        async with writing(disk, session.start(SEND)) as start:
            disk.failing = 1
        with pytest.raises(JournalError, match=r"runs failed \(disk I/O error\)"):
            await start
        handle = await session.start(SEND)
        assert session.journal is not None
        rows = await session.journal.rows()

    assert 1 == server.count("POST")
    assert [handle.workflow_id] == [row.workflow_id for row in rows]


async def test_middlewares_of_the_user_see_the_start(
    server: Scripted, tmp_path: Path
) -> None:
    """What waits for the disk does not take the place of what the user has made."""
    seen = []

    async def mine(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Look at a request."""
        seen.append(request.method)
        return await handler(request)

    async with aiohttp.ClientSession(middlewares=(mine,)) as client:
        async with server.session(journal=tmp_path / "runs", http=client) as session:
            await session.start(SEND)

    assert "POST" in seen


# Streams


def items(count: int) -> list[tuple[str, Any]]:
    """Return keyed workflows."""
    return [(f"k{number}", CHECK) for number in range(count)]


async def stream(session: Session, count: int, stop: int | None = None) -> list[str]:
    """Stream the items; leave within the body of the one at *stop*."""
    keys: list[str] = []
    async with session.as_completed(items(count), limit=2) as done:
        async for handle in done:
            await handle
            keys.append(str(handle.key))
            if len(keys) == stop:
                break
    return keys


async def test_stream_goes_on_where_it_was(server: Scripted, journal: Make) -> None:
    """Each item is started once and delivered at least once, over any interruption."""
    delivered: list[str] = []
    for stop in (3, 1, 4, None, None):
        async with server.session(journal=journal()) as session:
            delivered += await stream(session, 12, stop)

    assert {key for key, _ in items(12)} == set(delivered)
    assert 12 == server.count("POST")
    assert len(delivered) <= 12 + 3
    assert {"delivered"} == {row.state for row in await rows_of(journal())}


async def test_item_under_way_is_waited_for(server: Scripted, journal: Make) -> None:
    """What an earlier run has started is not started again."""
    server.script("GET", running())
    async with server.session(journal=journal()) as session:
        async with session.as_completed(items(2), limit=2):
            while server.count("POST") < 2:  # waits for what has no event
                await asyncio.sleep(0.001)
            await asyncio.wait(
                [*session._runtime._tasks] or [asyncio.create_task(nothing())]
            )
    server.script("GET", completed(NODE))
    async with server.session(journal=journal()) as session:
        keys = await stream(session, 2)

    assert {"k0", "k1"} == set(keys)
    assert 2 == server.count("POST")


async def nothing() -> None:
    """Do nothing."""


async def test_item_that_nobody_knows_of_is_not_started(
    server: Scripted, journal: Make
) -> None:
    """It comes with its error, in each run, until it is decided."""
    server.script("POST", dropped())
    for _ in range(2):
        async with server.session(journal=journal()) as session:
            async with session.as_completed([("k", custom("st.zzz"))]) as done:
                async for handle in done:
                    with pytest.raises(StartUnknownError):
                        await handle

    assert 1 == server.count("POST")


@pytest.mark.parametrize("key", [17, None, 1.5])
async def test_keys_are_strings(server: Scripted, journal: Make, key: object) -> None:
    """A key of another type is an error of that item, with the remedy."""
    async with server.session(journal=journal()) as session:
        async with session.as_completed([(key, CHECK)]) as done:
            (refused,) = [handle async for handle in done]
        with pytest.raises(TypeError, match=rf"got {key}; pass str\({key}\)"):
            await refused

    assert 0 == server.count("POST")


async def test_keys_are_unique(server: Scripted, journal: Make) -> None:
    """A repeated key is an error of that item; one of another stream is deferred."""
    async with server.session(journal=journal()) as session:
        other = session.account("other", name="other")
        async with session.as_completed([("k", CHECK), ("k", CHECK)]) as done:
            handles = [handle async for handle in done]
        async with other.as_completed([("k", CHECK)]) as done:
            assert [] == [handle async for handle in done]
            assert done.complete
        assert session.journal is not None
        await session.journal.intend("busy", session.default_account.name, b"{}")
        await session.journal.intend("foreign", "gone", b"{}")
        await session.journal.accepted("foreign", "wf-gone")
        async with session.as_completed([("busy", CHECK), ("foreign", CHECK)]) as done:
            assert [] == [handle async for handle in done]
            assert not done.complete
    (broken,) = [handle for handle in handles if handle.workflow_id is None]
    with pytest.raises(ValueError, match="came twice"):
        await broken
    busy, foreign = done.deferred

    assert ("busy", None) == (busy.key, busy.until)
    assert "is being started already" in str(busy.error)
    assert ("foreign", "gone") == (foreign.key, foreign.account)
    assert "belongs to the account 'gone'" in str(foreign.error)


async def test_leaving_keeps_what_is_under_way(server: Scripted, journal: Make) -> None:
    """A session that is left while workflows run gives them to the next one."""
    server.script("GET", running())
    async with server.session(journal=journal()) as session:
        waiting = asyncio.create_task(session.run(CHECK))
        while not session.handles:  # waits for what has no event
            await asyncio.sleep(0.001)
    with pytest.raises(SessionClosedError):
        await waiting
    (row,) = await rows_of(journal())

    assert "accepted" == row.state


async def test_cancelling_on_exit_is_noted(server: Scripted, journal: Make) -> None:
    """What leaving cancels remotely is not waited for by the next run."""
    server.script("GET", running())
    server.script("DELETE", ok({"cancelled": True}))
    async with server.session(journal=journal(), cancel_on_exit=True) as session:
        await session.start(CHECK)
    (row,) = await rows_of(journal())

    assert ("finished", "cancelled") == (row.state, row.end_status)


async def test_session_without_a_default_account_resumes(
    server: Scripted, journal: Make
) -> None:
    """Rows find their accounts by name; a default one is not needed."""
    server.script("GET", running())
    async with server.session(journal=journal(), identification_token=None) as session:
        await session.account("other", name="sales").start(CHECK)
    server.script("GET", completed(NODE))
    async with server.session(journal=journal(), identification_token=None) as session:
        session.account("other", name="sales")
        (handle,) = (await session.recover()).handles
        await handle

    assert "sales" == handle.account
