"""What the sessions of several processes share: bookings, reservations, durations."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import itertools
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from event_loops import VirtualLoop
from scripted_server import Scripted, completed, dropped, refused, running, taken

from linkedapi_async import (
    JournalError,
    Pace,
    PaceError,
    Polling,
    Session,
    StartUnknownError,
    SuppressedError,
    st,
)
from linkedapi_async._pacing import Booking, History
from linkedapi_async._polling.durations import ENDS_NEEDED, MAX_KINDS, DurationLearner
from linkedapi_async._utils.times import from_timestamp, set_wall_time, wall_time
from linkedapi_async.contacts import Contacts
from linkedapi_async.fleet._contacts import SharedContactStore
from linkedapi_async.fleet._shared import KEPT, TableBookings, shared_state
from linkedapi_async.fleet._tables import Tables
from linkedapi_async.sandbox import Sandbox
from linkedapi_async.session._durations import DurationStore
from linkedapi_async.session.shared import SharedState


pytestmark = pytest.mark.anyio

SEND = st.send_message("https://www.linkedin.com/in/ada", text="Hello")
MONDAY = dt.datetime(2026, 3, 2, 10, tzinfo=dt.UTC)
PATIENT = Polling(deadline=math.inf)
SENT = {"actionType": "st.sendMessage", "success": True}
GONE = {**SENT, "success": False, "error": {"type": "personNotFound", "message": "x"}}
ONE_A_DAY = Pace(per_day={"stMessages": 1})


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Run with virtual time, in which days pass at once."""
    return "asyncio", {"loop_factory": VirtualLoop}


@pytest.fixture(autouse=True)
async def monday() -> None:
    """Let it be Monday at 10:00 UTC."""
    set_wall_time(MONDAY)


@pytest.fixture(params=["sqlite", "postgres"])
async def tables(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Callable[[], Tables]]:
    """Return what gives the open tables as one more process would have them."""
    url = f"sqlite:///{tmp_path / 'work.sqlite3'}"
    if request.param == "postgres":
        url = request.getfixturevalue("database")
    several = [Tables(url) for _ in range(3)]
    for each in several:
        await each.open()
    yield iter(several).__next__
    for each in several:
        await each.aclose()


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    """A server that accepts every workflow and completes it."""
    async with Scripted() as scripted:
        scripted.script("POST", taken())
        scripted.script("GET", completed(SENT))
        yield scripted


class Broken(TableBookings):
    """Bookings whose database is away as often as *failures* says."""

    def __init__(self, tables: Tables) -> None:
        super().__init__(tables)
        self.failures: Counter[str] = Counter()

    def _fail(self, name: str) -> None:
        if self.failures[name]:
            self.failures[name] -= 1
            raise JournalError("away")

    async def bookings(self, account: str, since: float) -> History:
        """Return them, unless the database is away."""
        self._fail("bookings")
        return await super().bookings(account, since)

    async def claim(
        self, booking: Booking, since: float, allows: Callable[[History], bool]
    ) -> History | None:
        """Add one, unless the database is away."""
        self._fail("claim")
        return await super().claim(booking, since, allows)


def state(bookings: TableBookings) -> SharedState:
    """Return what sessions share, with these bookings."""
    made = shared_state(bookings._tables)
    return SharedState(identity="x", bookings=bookings, durations=made.durations)


async def test_several_sessions_hold_one_pace(tables: Callable[[], Tables]) -> None:
    """However many sessions start workflows of an account, no day has too many."""
    pace = Pace(per_day={"stMessages": 4})
    async with (
        Sandbox(duration=60, now=MONDAY) as box,
        contextlib.AsyncExitStack() as s,
    ):
        sessions = [
            await s.enter_async_context(
                box.session(pace=pace, polling=PATIENT, shared=shared_state(tables()))
            )
            for _ in range(3)
        ]

        async def start(session: Session) -> dt.date:
            """Start a message; return the day on which it was accepted."""
            await session.start(SEND)
            return from_timestamp(wall_time()).date()

        days = await asyncio.gather(*(start(each) for each in sessions * 3))

    assert [4, 4, 1] == [n for _, n in sorted(Counter(days).items())]


async def test_several_sessions_keep_one_interval(
    tables: Callable[[], Tables],
) -> None:
    """Two starts are never nearer than the interval, in any process."""
    pace = Pace(min_interval=600, jitter=0)
    async with Sandbox(duration=5, now=MONDAY) as box, contextlib.AsyncExitStack() as s:
        sessions = [
            await s.enter_async_context(
                box.session(pace=pace, polling=PATIENT, shared=shared_state(tables()))
            )
            for _ in range(3)
        ]

        async def start(session: Session) -> float:
            """Start a message; return when it was accepted."""
            await session.start(SEND)
            return wall_time()

        found = sorted(await asyncio.gather(*(start(each) for each in sessions * 2)))

    for earlier, later in itertools.pairwise(found):
        assert later - earlier > 599


async def test_another_process_books_the_end(
    tables: Callable[[], Tables], server: Scripted
) -> None:
    """Who takes a workflow over by its id and key books what it did."""
    server.script("GET", running())
    async with server.session(pace=ONE_A_DAY, shared=shared_state(tables())) as session:
        handle = await session.start(SEND, key="a")
    async with server.session(pace=ONE_A_DAY, shared=shared_state(tables())) as session:
        with pytest.raises(PaceError):
            await session.run(SEND, timeout=60)
        again = session.attach(str(handle.workflow_id), SEND, key="a")
        server.script("GET", completed(GONE))
        await again.completion()
        server.script("GET", completed(SENT))
        await session.run(SEND, timeout=60)

    assert 2 == server.count("POST")


async def test_what_was_not_started_is_free(
    tables: Callable[[], Tables], server: Scripted
) -> None:
    """A refused start counts no longer, for other processes either; an unknown one does."""
    server.script("POST", refused("invalidWorkflow"), dropped(), taken())
    first, second = shared_state(tables()), shared_state(tables())
    async with server.session(pace=ONE_A_DAY, shared=first) as session:
        with pytest.raises(Exception, match="invalidWorkflow"):
            await session.run(SEND)
        with pytest.raises(StartUnknownError):
            await session.run(SEND)
    async with server.session(pace=ONE_A_DAY, shared=second) as session:
        with pytest.raises(PaceError):
            await session.run(SEND, timeout=60)


async def test_work_of_others_that_ends_meanwhile(
    tables: Callable[[], Tables], server: Scripted
) -> None:
    """A start that waits for the next day looks again what is booked then."""
    one, two = Broken(tables()), tables()
    other = TableBookings(two)
    async with server.session(
        pace=ONE_A_DAY, polling=PATIENT, shared=state(one)
    ) as session:
        account = session.default_account.name
        allowed = Booking("other", account, wall_time(), {"stMessages": 1})
        assert await other.claim(allowed, 0, lambda _: True) is None
        start = asyncio.create_task(session.start(SEND))
        await asyncio.sleep(3600)
        await other.book_end("other", wall_time(), None)
        one.failures["bookings"] = 1  # the first look fails, the next day's does not
        await start

    assert MONDAY.date() + dt.timedelta(2) == from_timestamp(wall_time()).date()


async def test_a_start_without_its_booking_is_not_sent(
    tables: Callable[[], Tables], server: Scripted
) -> None:
    """Where the database is away, the caller gets the error, and nothing is sent."""
    bookings = Broken(tables())
    async with server.session(pace=ONE_A_DAY, shared=state(bookings)) as session:
        for name in ("bookings", "claim"):
            bookings.failures[name] = 1
            with pytest.raises(JournalError, match="away"):
                await session.run(SEND)

        assert 0 == server.count("POST")
        await session.run(SEND, timeout=60)


async def test_a_claim_is_one_step(tables: Callable[[], Tables]) -> None:
    """Of many claims at once that exclude each other, one is added."""
    several = [TableBookings(tables()) for _ in range(3)]

    def allows(history: History) -> bool:
        """Allow the first one."""
        return not history.bookings

    claims = [
        each.claim(Booking(f"{n}-{m}", "a", 100, {"x": 1}), 0, allows)
        for n, each in enumerate(several)
        for m in range(3)
    ]
    found = await asyncio.gather(*claims)
    history = await several[0].bookings("a", 0)

    assert 1 == found.count(None)
    assert 1 == len(history.bookings)
    assert {1} == {len(each.bookings) for each in found if each is not None}


async def test_a_claim_may_be_repeated(tables: Callable[[], Tables]) -> None:
    """A claim whose answer was lost is no obstacle for itself."""
    bookings = TableBookings(tables())
    seen = []

    def allows(history: History) -> bool:
        """Allow all, and note it."""
        seen.append(history.bookings)
        return True

    await bookings.claim(Booking("ended", "a", 90, {"x": 1}), 0, allows)
    await bookings.book_end("ended", 95, None)
    for at in (100, 101):
        await bookings.claim(Booking("key", "a", at, {"x": 1}), 0, allows)
    found = await bookings.bookings("a", 0)

    ended = Booking("ended", "a", 90, {"x": 1}, 95)
    assert [(), (ended,), (ended,)] == seen
    assert (ended, Booking("key", "a", 101, {"x": 1})) == found.bookings


async def test_old_bookings_are_forgotten(tables: Callable[[], Tables]) -> None:
    """What no pace counts goes, but for the first one, with which a ramp begins."""
    bookings = TableBookings(tables())
    old = dt.datetime.now(dt.UTC).timestamp() - KEPT - 1000
    for key, at, ended in (
        ("first", old - 10, old),
        ("old", old, old + 1),
        ("open", old, None),
        ("new", old, old + 5000),
    ):
        await bookings.claim(Booking(key, "a", at, {}), 0, lambda _: True)
        if ended is not None:
            await bookings.book_end(key, ended, None)

    assert 1 == await bookings.forget(0)
    found = await bookings.bookings("a", 0)
    assert ["first", "open", "new"] == [each.key for each in found.bookings]
    assert old - 10 == found.first


async def test_a_reservation_is_found_by_its_key(
    tables: Callable[[], Tables], server: Scripted
) -> None:
    """What a process that died had reserved is no obstacle for the same key elsewhere."""
    people = (tables(), tables())
    claims = shared_state(tables())

    def session(number: int) -> Any:
        """Return a session of another process."""
        contacts = Contacts(SharedContactStore(people[number]))
        return server.session(contacts=contacts, shared=claims)

    server.script("POST", dropped(), taken())
    async with session(0) as first:
        with pytest.raises(StartUnknownError):
            await first.start(SEND, key="a")
    async with session(1) as second:
        with pytest.raises(SuppressedError):
            await second.start(SEND, key="b")
        with pytest.raises(SuppressedError):
            await second.run(SEND)
        await second.start(SEND, key="a")

    assert "SharedContactStore: <Tables in" in repr(SharedContactStore(people[0]))


async def test_durations_are_learnt_together(tables: Callable[[], Tables]) -> None:
    """A worker stores what it has learnt itself, and never what it has only read."""
    first = shared_state(tables()).durations
    second = shared_state(tables()).durations

    async def learn(records: Any, kind: int, seconds: float) -> None:
        """Read what is known, and learn about one more kind."""
        learner = DurationLearner(2.5)
        store = DurationStore(learner, records)
        await store.load()
        for _ in range(ENDS_NEEDED):
            learner.observe(kind, seconds, seconds)
        await store.store()

    await learn(first, 1, 60)
    stale = DurationLearner(2.5)
    stale.restore(await second.durations())
    await learn(first, 1, 600)
    stale.observe(2, 30, 30)
    await second.store_durations(stale.records())
    found = {kind: math.exp(mean) for kind, _, mean, _ in await first.durations()}

    assert {1, 2} == {*found}
    assert found[1] > 61


async def test_durations_do_not_grow(tables: Callable[[], Tables]) -> None:
    """Only as many kinds are kept as one session remembers."""
    durations = shared_state(tables()).durations
    await durations.store_durations((n, 1.0, 1.0, 1.0) for n in range(MAX_KINDS))
    await durations.store_durations([(MAX_KINDS, 1.0, 1.0, 1.0)])

    assert MAX_KINDS == len(await durations.durations())


async def test_sessions_of_other_processes_need_no_journal(
    tables: Callable[[], Tables], server: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    """Only a pace that is counted in memory causes a warning; other values are refused."""
    async with server.session(pace=ONE_A_DAY, shared=shared_state(tables())) as session:
        await session.run(SEND)
    with pytest.raises(TypeError, match="shared must be"):
        server.session(shared="postgresql://host/work")
    with pytest.raises(ValueError, match="journal= or shared=, not both"):
        server.session(shared=shared_state(tables()), journal="journal")

    assert [] == caplog.messages


async def test_a_start_may_not_wait(
    tables: Callable[[], Tables], server: Scripted
) -> None:
    """Where sessions do not wait, what the pace does not allow yet is an error."""
    shared = shared_state(tables(), waits=False)
    pace = Pace(min_interval=600, jitter=0.5)
    async with server.session(pace=pace, shared=shared) as session:
        await session.start(SEND)
        moments = set()
        for _ in range(3):
            with pytest.raises(PaceError) as caught:
                await session.start(SEND)
            moments.add(caught.value.until)
        (until,) = moments
        assert until is not None
        await asyncio.sleep((until - from_timestamp(wall_time())).total_seconds())
        await session.start(SEND)

    assert 2 == server.count("POST")
