"""An unknown start that only reads is sent again by its key; one that may write waits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from scripted_server import Scripted, completed, dropped, taken

from linkedapi_async import Pace, PaceError, StartUnknownError, custom, st
from linkedapi_async.journal import MemoryJournal


pytestmark = pytest.mark.anyio

ADA = "https://www.linkedin.com/in/ada"
READ = st.open_person_page(ADA, basic_info=True)
DONE = {"actionType": "st.openPersonPage", "success": True, "data": {"name": "Ada"}}


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    """A server that never answers the first two requests of a start."""
    async with Scripted() as scripted:
        scripted.script("POST", dropped(), dropped(), taken())
        scripted.script("GET", completed(DONE))
        yield scripted


@pytest.fixture
async def journal(server: Scripted) -> MemoryJournal:
    """A journal in which the start of a read is unknown."""
    made = MemoryJournal()
    async with server.session(journal=made) as session:
        with pytest.raises(StartUnknownError):
            await session.start(READ, key="a")

        assert ["a"] == [row.key for row in await made.unknown()]
    return made


async def test_a_read_is_started_again(
    server: Scripted, journal: MemoryJournal
) -> None:
    """The next start with its key sends it, and the one after that finds it."""
    async with server.session(journal=journal) as session:
        first = await session.start(READ, key="a")
        second = await session.start(READ, key="a")

        assert "Ada" == (await first).name
        assert first.workflow_id == second.workflow_id
        assert [] == await journal.unknown()
    assert 3 == server.count("POST")


async def test_a_stream_goes_on_with_a_read(
    server: Scripted, journal: MemoryJournal
) -> None:
    """A stream that brings its key again sends it."""
    async with (
        server.session(journal=journal) as session,
        session.as_completed([("a", READ)]) as done,
    ):
        found = [(handle.key, handle.failure) async for handle in done]

    assert [("a", None)] == found


@pytest.mark.parametrize(
    "workflow",
    [
        st.send_message(ADA, text="Hello"),
        READ.then(st.send_connection_request()),
        custom("st.somethingNew"),
    ],
)
async def test_what_may_write_waits(server: Scripted, workflow: Any) -> None:
    """A start that may write is never sent again by itself."""
    journal = MemoryJournal()
    for _ in range(2):
        async with server.session(journal=journal) as session:
            with pytest.raises(StartUnknownError):
                await session.start(workflow, key="a")
            async with session.as_completed([("a", workflow)]) as done:
                failures = [type(handle.failure) async for handle in done]

        assert [StartUnknownError] == failures
        assert 1 == server.count("POST")


async def test_a_definition_that_is_damaged_waits(
    server: Scripted, journal: MemoryJournal
) -> None:
    """A row that does not say what was sent may have been a write."""
    async with server.session(journal=journal) as session:
        journal._connection.execute("UPDATE workflows SET definition = 'x'")
        with pytest.raises(StartUnknownError):
            await session.start(READ, key="a")

    assert 2 == server.count("POST")


@pytest.mark.parametrize("next_run", [False, True])
async def test_what_it_may_have_used_counts(server: Scripted, next_run: bool) -> None:
    """A read that may have been done counts against the pace, and so does its repeat."""
    pace = Pace(per_day={"stPersonProfileViews": 2})
    journal = MemoryJournal()
    async with server.session(journal=journal, pace=pace) as session:
        with pytest.raises(StartUnknownError):
            await session.start(READ, key="a")
        if not next_run:
            await (await session.start(READ, key="a"))
    async with server.session(journal=journal, pace=pace) as session:
        await (await session.start(READ, key="a"))
        with pytest.raises(PaceError):
            await session.run(READ, timeout=0.01)
