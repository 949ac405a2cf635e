"""Bookings are kept alike in memory and in a journal, and survive a new process."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from linkedapi_async import JournalError
from linkedapi_async._pacing import (
    Booking,
    Bookings,
    History,
    MemoryBookings,
    SharedBookings,
)
from linkedapi_async.journal import MemoryJournal, SqliteJournal


pytestmark = pytest.mark.anyio

Store = Bookings | SharedBookings
Open = Callable[[], AbstractAsyncContextManager[Store]]


async def book(bookings: Store, each: Booking) -> None:
    """Add a booking, whatever the others are."""
    if hasattr(bookings, "submit_booking"):
        await bookings.submit_booking(each)
    else:
        assert await bookings.claim(each, 0, lambda _: True) is None


@pytest.fixture(params=["memory", "memory-journal", "sqlite", "fleet", "postgres"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Return what opens the bookings as the next run would."""
    if request.param in {"fleet", "postgres"}:
        from linkedapi_async.fleet._shared import TableBookings
        from linkedapi_async.fleet._tables import Tables

        url = f"sqlite:///{tmp_path / 'work.sqlite3'}"
        if request.param == "postgres":
            url = request.getfixturevalue("database")

        @contextlib.asynccontextmanager
        async def shared() -> AsyncIterator[SharedBookings]:
            """Open the tables."""
            tables = Tables(url)
            await tables.open()
            yield TableBookings(tables)
            await tables.aclose()

        return shared
    if request.param == "sqlite":
        return lambda: SqliteJournal(tmp_path / "journal.sqlite3")
    if request.param == "memory-journal":
        journal = MemoryJournal()
        return lambda: journal
    bookings = MemoryBookings()

    @contextlib.asynccontextmanager
    async def same() -> AsyncIterator[Bookings]:
        """Give the same ones each time, because they end with the process."""
        yield bookings

    return same


def booking(key: str, at: float, account: str = "a", **uses: int) -> Booking:
    """Return a booking that has not ended."""
    return Booking(key, account, at, uses)


async def test_bookings_are_found_again(stored: Open) -> None:
    """All that has not ended, or not before a moment, is there in its order."""
    async with stored() as bookings:
        assert History(None, ()) == await bookings.bookings("a", 0)
        for each in (
            booking("early", 100, stMessages=1),
            booking("late", 200, stMessages=2, stPosts=1),
            booking("open", 150),
            booking("other", 50, "b", stMessages=1),
        ):
            await book(bookings, each)
        await bookings.book_end("early", 110, None)
        await bookings.book_end("late", 210, {"stMessages": 1})
        await bookings.book_end("late", 999, {"stMessages": 9})  # it has ended
        await bookings.book_end("missing", 210, {})
    async with stored() as bookings:
        found = await bookings.bookings("a", 110)
        later = await bookings.bookings("a", 111)

    kept = (
        Booking("early", "a", 100, {"stMessages": 1}, 110),
        Booking("late", "a", 200, {"stMessages": 1}, 210),
        Booking("open", "a", 150, {}),
    )
    assert History(100, kept) == found
    assert History(100, kept[1:]) == later


async def test_a_key_may_be_booked_again(stored: Open) -> None:
    """A booking that has not ended is replaced; one that has ended stays."""
    async with stored() as bookings:
        await book(bookings, booking("key", 100, stMessages=1))
        await book(bookings, booking("key", 101, stMessages=2))
        await bookings.book_end("key", 110, None)
        await book(bookings, booking("key", 120, stMessages=3))
        found = await bookings.bookings("a", 0)

    assert [(101, {"stMessages": 2}, 110), (120, {"stMessages": 3}, None)] == [
        (each.at, each.uses, each.ended) for each in found.bookings
    ]


async def test_a_booking_is_removed(stored: Open) -> None:
    """What was not started counts no longer; what has ended stays."""
    async with stored() as bookings:
        await book(bookings, booking("ended", 100, stMessages=1))
        await bookings.book_end("ended", 110, None)
        await book(bookings, booking("open", 120, stMessages=1))
        for key in ("open", "ended", "missing"):
            await bookings.unbook(key)
        found = await bookings.bookings("a", 0)

    assert ["ended"] == [each.key for each in found.bookings]


async def test_a_start_that_was_not_accepted_is_not_booked() -> None:
    """The decision that an unknown start was not accepted removes its booking."""
    async with MemoryJournal() as journal:
        for key in ("again", "lost"):
            await journal.submit_booking(booking(key, 100, stMessages=1))
            await journal.intend(key, "a", b"{}")
            await journal.unknown_start(key)
        await journal.discard("again")
        await journal.discard("lost", again=False)
        found = await journal.bookings("a", 0)

    assert ["lost"] == [each.key for each in found.bookings]


@pytest.mark.parametrize("damage", ["no JSON", '{"stMessages": "many"}', "[1]"])
async def test_damaged_bookings_are_not_ignored(tmp_path: Path, damage: str) -> None:
    """A booking that cannot be read is an error, because its use would be forgotten."""
    path = tmp_path / "journal.sqlite3"
    async with SqliteJournal(path) as journal:
        await journal.submit_booking(booking("key", 100, stMessages=1))
    with contextlib.closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE bookings SET uses = ?", (damage,))
    async with SqliteJournal(path) as journal:
        with pytest.raises(JournalError, match=r"what 'key' has used .* is damaged"):
            await journal.bookings("a", 0)
