"""A session that is to be left starts nothing more, and loses nothing."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator

import pytest
from event_loops import VirtualLoop
from scripted_server import Scripted, completed, held, raw, running, taken

from linkedapi_async import Pace, Polling, SessionClosedError, st
from linkedapi_async._pacing import History, MemoryBookings
from linkedapi_async.journal import MemoryJournal


pytestmark = pytest.mark.anyio

SEND = st.send_message("https://www.linkedin.com/in/ada", text="Hello")
SENT = {"actionType": "st.sendMessage", "success": True}
SLOW = Polling.fixed(600)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Run with virtual time, in which hours pass at once."""
    return "asyncio", {"loop_factory": VirtualLoop}


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    """A server that accepts every workflow, which runs on."""
    async with Scripted() as scripted:
        scripted.script("GET", running())
        yield scripted


async def test_a_start_under_way_gets_its_answer(server: Scripted) -> None:
    """What was sent is waited for; what waits behind it is not sent."""
    release = asyncio.Event()
    server.script("POST", held(release, taken("wf-1")), taken("wf-2"))
    async with server.session(polling=SLOW) as session:
        first = asyncio.create_task(session.start(SEND))
        await asyncio.sleep(1)
        behind = asyncio.create_task(session.start(SEND))
        await asyncio.sleep(1)
        quiet = asyncio.create_task(session.quiesce())
        await asyncio.sleep(1)

        assert not quiet.done()
        release.set()
        (handle,) = await quiet
        assert "wf-1" == handle.workflow_id == (await first).workflow_id
        with pytest.raises(SessionClosedError):
            await behind
        with pytest.raises(SessionClosedError):
            await session.start(SEND)
        assert (handle,) == await session.quiesce()
    with pytest.raises(SessionClosedError, match="the session was closed") as caught:
        await handle.result()

    assert "wf-1" == caught.value.workflow_id
    assert 1 == server.count("POST")


async def test_what_waits_for_its_pace_ends(server: Scripted) -> None:
    """A start that waits for another day ends at once, and its turn is free."""
    server.script("POST", taken())
    journal = MemoryJournal()
    pace = Pace(per_day={"stMessages": 1})
    async with server.session(
        pace=pace, journal=journal, polling=Polling(deadline=math.inf)
    ) as session:
        await session.start(SEND)
        waiting = asyncio.create_task(session.start(SEND))
        await asyncio.sleep(60)
        await session.quiesce()
        with pytest.raises(SessionClosedError):
            await waiting
        found = await journal.bookings(session.default_account.name, 0)

    assert 1 == len(found.bookings)


async def test_a_pace_that_is_read_meanwhile(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start whose pace is still read when the session becomes quiet is not sent."""
    server.script("POST", taken())
    bookings = MemoryBookings.bookings
    release = asyncio.Event()

    async def slow(self: MemoryBookings, account: str, since: float) -> History:
        """Read what is booked, once that is allowed."""
        await release.wait()
        return await bookings(self, account, since)

    monkeypatch.setattr(MemoryBookings, "bookings", slow)
    async with server.session(pace=Pace(per_day={"stMessages": 1})) as session:
        start = asyncio.create_task(session.start(SEND))
        await asyncio.sleep(1)
        await session.quiesce()
        release.set()
        with pytest.raises(SessionClosedError):
            await start

    assert 0 == server.count("POST")


async def test_what_waits_for_the_host_ends(server: Scripted) -> None:
    """A start that waits for a pause of the host is not sent; handles may be cancelled."""
    throttled = raw(
        '{"success": false, "error": {"type": "tooManyRequests", "message": "x"}}',
        status=429,
        Retry_After="3000",
    )
    server.script("POST", taken("wf-1"), throttled, taken("wf-2"))
    cancelled = raw('{"success": true, "result": {"cancelled": true}}')
    server.script("DELETE", cancelled)
    async with server.session(polling=SLOW) as session:
        await session.start(SEND)
        waiting = asyncio.create_task(session.start(SEND))
        await asyncio.sleep(60)
        (handle,) = await session.quiesce()
        with pytest.raises(Exception, match=r"closed|tooManyRequests"):
            await waiting
        await asyncio.sleep(3600)

        assert 2 == server.count("POST")
        assert await handle.cancel()


async def test_unfinished_workflows_are_polled_on(server: Scripted) -> None:
    """A workflow that ends before the session is left has its result."""
    server.script("POST", taken())
    async with server.session(polling=SLOW) as session:
        handle = await session.start(SEND)
        await session.quiesce()
        server.script("GET", completed(SENT))

        assert (await handle.completion()).root.success
        assert () == await session.quiesce()
