"""What a session learns about durations, and what its journal keeps of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pathlib
import sqlite3
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
from scripted_server import Scripted, completed, running, taken

from linkedapi_async import (
    Estimate,
    Polling,
    Session,
    SessionClosedError,
    dump_workflow,
    st,
)
from linkedapi_async._polling.durations import ENDS_NEEDED, MAX_KINDS, DurationLearner
from linkedapi_async.errors import JournalError
from linkedapi_async.journal import MemoryJournal, SqliteJournal
from linkedapi_async.session._durations import (
    STORE_INTERVAL,
    DurationStore,
    duration_kind,
)


pytestmark = pytest.mark.anyio

CHECK = st.check_connection_status("https://www.linkedin.com/in/jane")
DONE = {
    "actionType": "st.checkConnectionStatus",
    "success": True,
    "data": {"connectionStatus": "connected"},
}


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    """A server on which every workflow has ended by its first poll."""
    made = Scripted()
    made.script("POST", taken())
    made.script("GET", completed(DONE))
    async with made:
        yield made


async def learn(session: Session) -> None:
    """Let a session notice as many ends of a kind as it needs."""
    for _ in range(ENDS_NEEDED):
        await session.run(CHECK)


async def test_the_next_session_knows_them(
    server: Scripted, tmp_path: pathlib.Path
) -> None:
    """A journal keeps what was learnt, and the next session begins with it."""
    path = tmp_path / "journal"
    async with server.session(journal=path) as session:
        assert 0 == len(session.durations)

        await learn(session)
        known = session.durations.estimate(CHECK)
    async with server.session(journal=path) as session:
        assert session.journal is not None
        await asyncio.sleep(0)  # the task that reads it begins
        await session.journal.rows()  # the journal works in the order of its calls

        assert known is not None
        assert 0 < known.low < known.median < known.high
        assert known == session.durations.estimate(CHECK)
        assert session.durations.estimate(CHECK, CHECK) is None
        assert "<Durations of 1 kinds of workflows>" == repr(session.durations)


async def test_a_session_without_a_journal_learns(server: Scripted) -> None:
    """It learns, also where no poll depends on it, and forgets it at its end."""
    async with server.session() as session:
        await learn(session)

        assert session.durations.estimate(CHECK) is not None
    async with server.session() as session:
        assert session.durations.estimate(CHECK) is None


def test_kinds_are_the_same_in_every_process() -> None:
    """The number of a kind never changes, because journals have it."""
    assert -8515208253301777396 == duration_kind(CHECK)


async def stored(count: int, journal: MemoryJournal) -> DurationLearner:
    """Return what knows a number of kinds, and has stored them."""
    learner = DurationLearner(2.5)
    for kind in range(count):
        learner.observe(kind, 60, 60 + kind)
    await DurationStore(learner, journal).store()
    return learner


async def test_the_journal_has_what_was_learnt_last() -> None:
    """Storing replaces all that was stored before, in a constant size."""
    async with MemoryJournal() as journal:
        await stored(3, journal)
        learner = await stored(MAX_KINDS + 3, journal)

        assert learner.records() == await journal.durations()
        assert MAX_KINDS == len(await journal.durations())


async def test_it_is_stored_now_and_then() -> None:
    """Ends cause a write each ten minutes at most, and none if nothing was learnt."""
    learner, steps = DurationLearner(2.5), list[Coroutine[Any, Any, None]]()
    async with MemoryJournal() as journal:
        store = DurationStore(learner, journal)
        for now in (0.0, 1.0, STORE_INTERVAL - 1):
            learner.observe(1, 60, 60)
            store.store_if_old(now, steps.append)

        assert [] == steps

        store.store_if_old(STORE_INTERVAL, steps.append)
        store.store_if_old(STORE_INTERVAL + 1, steps.append)
        (step,) = steps
        await step
        kept = await journal.durations()
        await journal.store_durations([])
        await store.store()

        assert learner.records() == kept
        assert [] == await journal.durations()


async def test_damage_is_learnt_anew(
    server: Scripted, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A journal without its table of durations works; a note says what is lost."""
    path = tmp_path / "journal"
    async with SqliteJournal(path):
        pass
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE durations")
    with caplog.at_level(logging.INFO, "linkedapi_async"):
        async with server.session(journal=path) as session:
            await learn(session)

            assert session.durations.estimate(CHECK) is not None
    notes = [r for r in caplog.records if "how long workflows take" in r.getMessage()]

    assert [logging.INFO, logging.INFO] == [note.levelno for note in notes]
    assert ["read", "store"] == [note.getMessage().split()[4] for note in notes]
    assert ENDS_NEEDED == len(SqliteJournal.read(path, "delivered"))


async def test_damaged_records_are_left_out() -> None:
    """Only records that can be true are learnt, and no newer knowledge is lost."""
    good = (1, 5.0, 4.0, 0.5)
    bad = [
        (2, 0.0, 4.0, 0.5),
        (3, 25.0, 4.0, 0.5),
        (4, 5.0, 26.0, 0.5),
        (5, 5.0, 4.0, -0.1),
        (6, "5.0", 4.0, 0.5),
        (7, 5.0, None, 0.5),
        (8, 5.0, 4.0, b"\xff"),
        (9, float("nan"), 4.0, 0.5),
    ]
    async with MemoryJournal() as journal:
        with pytest.raises(JournalError):
            await journal.store_durations([good, (None, 5.0, 4.0, 0.5)])

        assert [] == await journal.durations()
    learner = DurationLearner(2.5)
    learner.observe(11, 60, 60)
    newer = learner.records()
    learner.restore([good, *bad, (11, *good[1:])])

    assert [*newer, good] == learner.records()


def test_too_many_records_are_cut() -> None:
    """What was stored by another version does not make the memory larger."""
    learner = DurationLearner(2.5)
    learner.restore((kind, 5.0, 4.0, 0.5) for kind in range(MAX_KINDS + 2))

    assert MAX_KINDS == len(learner)
    assert 2 == learner.records()[0][0]


async def test_times_of_arrival(server: Scripted) -> None:
    """A handle and a session say when they will be done, once that was learnt."""
    server.script("GET", running())
    async with server.session(polling=Polling.fixed(3600)) as session:
        first = await session.start(CHECK)

        assert first.eta() is None
        assert session.eta() is None

        kind = duration_kind(CHECK)
        for _ in range(ENDS_NEEDED):
            session._runtime.poller.durations.observe(kind, 60, 60)
        second = await session.start(CHECK)
        etas = [first.eta(), second.eta(), session.eta()]
        medians = [eta.median for eta in etas if eta is not None]

        assert 3 == len(medians)
        assert 0 < medians[0] < 66
        assert medians[0] < medians[1] == pytest.approx(medians[2], rel=0.3)

        session.account("another")
        alone, more = session.eta(CHECK), session.eta(dump_workflow(CHECK), times=10)
        assert alone is not None
        assert more is not None
        assert medians[2] / 2 <= alone.median < more.median
        assert session.eta(CHECK, CHECK) is None
        with pytest.raises(ValueError, match="times must be at least 1, got 0"):
            session.eta(CHECK, times=0)

        assert session.durations.estimate_all({CHECK: 7}, accounts=2) is not None
        assert session.durations.estimate_all({(CHECK, CHECK): 7}) is None

        server.script("GET", completed(DONE))
        await first.result(timeout=0)

        assert first.eta() is None

    with pytest.raises(SessionClosedError):
        session.eta()


async def test_nothing_is_unfinished(server: Scripted) -> None:
    """A session without workflows is done now."""
    async with server.session() as session:
        assert Estimate(0.0, 0.0, 0.0) == session.eta()


async def test_leaving_at_once(server: Scripted) -> None:
    """A session that is left at once loses nothing of what the journal has."""
    journal = MemoryJournal()
    async with journal:
        learner = await stored(3, journal)
    async with server.session(journal=journal):
        await asyncio.sleep(0)
    async with journal:
        assert learner.records() == await journal.durations()
