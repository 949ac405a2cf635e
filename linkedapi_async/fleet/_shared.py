"""Bookings and durations that the workers of a fleet share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from linkedapi_async._pacing import Booking, History, Uses
from linkedapi_async._polling.durations import MAX_KINDS, DurationRecord
from linkedapi_async.errors import JournalError, QueueError
from linkedapi_async.fleet._database import Database
from linkedapi_async.fleet._tables import SCHEMA, Execute, Tables
from linkedapi_async.journal._bookings import BookingRows
from linkedapi_async.session.shared import SharedState


KEPT: Final = 40 * 86400.0
"""The minimum time for which bookings are kept, in seconds: a month counts them."""


class TableBookings:
    """The bookings of accounts' paces, shared by all workers.

    Args:
        tables: The tables that keep them; they must be open.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def bookings(self, account: str, since: float) -> History:
        """Return what is booked for an account and has not ended before *since*."""
        return await self._tables.do(
            lambda execute: BookingRows(execute).bookings(account, since)
        )

    async def claim(
        self, booking: Booking, since: float, allows: Callable[[History], bool]
    ) -> History | None:
        """Add a booking if what all workers have booked before allows it."""

        def step(execute: Execute) -> History | None:
            """Read the other bookings first."""
            rows = BookingRows(execute)
            found = rows.bookings(booking.account, since)
            others = tuple(
                each
                for each in found.bookings
                if each.key != booking.key or each.ended is not None
            )
            history = History(found.first, others)
            if not allows(history):
                return history
            rows.book(booking)
            return None

        return await self._tables.do(step, lock=f"pace {booking.account}")

    async def book_end(self, key: str, ended: float, uses: Uses | None) -> None:
        """Record the end of a booking, and what was done; None keeps the most."""
        await self._tables.do(
            lambda execute: BookingRows(execute).book_end(key, ended, uses)
        )

    async def unbook(self, key: str) -> None:
        """Remove a booking that has not ended, because nothing was started."""
        await self._tables.do(lambda execute: BookingRows(execute).unbook(key))

    async def forget(self, older_than: float) -> int:
        """Remove bookings that no pace counts any more; return how many.

        The first one of each account stays, because a ramp begins with it.

        Args:
            older_than: The minimum time since their end, in seconds; at least 40 days.
        """
        before = time.time() - max(older_than, KEPT)
        statement = (
            "DELETE FROM bookings WHERE ended < :before AND at > (SELECT min(own.at) "
            "FROM bookings AS own WHERE own.account = bookings.account)"
        )
        return await self._tables.do(
            lambda execute: int(execute(statement, {"before": before}).rowcount)
        )


class TableDurations:
    """How long workflows take, as the workers have learnt.

    Args:
        tables: The tables that keep them; they must be open.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._known: dict[Any, tuple[Any, ...]] = {}

    async def durations(self) -> list[tuple[Any, ...]]:
        """Return what the workers have stored, the kind stored longest ago first."""
        query = "SELECT kind, weight, mean, variance FROM durations ORDER BY learnt"
        found = await self._tables.do(
            lambda execute: [tuple(row) for row in execute(query, {})]
        )
        self._known = {record[0]: record for record in found}
        return found

    async def store_durations(self, records: Iterable[DurationRecord]) -> None:
        """Store what this worker has learnt since it read or stored them.

        Kinds that it has not learnt itself may be newer in the tables.
        """
        new = [record for record in records if self._known.get(record[0]) != record]
        now = time.time()

        def step(execute: Execute) -> None:
            """Replace the new ones, and remove the oldest."""
            for kind, weight, mean, variance in new:
                values = {"kind": kind, "learnt": now, "weight": weight}
                execute(_STORE, {**values, "mean": mean, "variance": variance})
            execute(_SHRINK, {"most": MAX_KINDS})

        await self._tables.do(step, lock="durations")
        self._known.update((record[0], record) for record in new)


_STORE: Final = """
    INSERT INTO durations VALUES (:kind, :learnt, :weight, :mean, :variance)
    ON CONFLICT (kind) DO UPDATE SET learnt = excluded.learnt,
        weight = excluded.weight, mean = excluded.mean, variance = excluded.variance
"""

_SHRINK: Final = """
    DELETE FROM durations WHERE kind NOT IN
        (SELECT kind FROM durations ORDER BY learnt DESC LIMIT :most)
"""


def shared_state(tables: Tables, *, waits: bool = True) -> SharedState:
    """Return the state that all workers share, for ``Session(shared=…)``.

    Args:
        tables: Where it is kept; they are open as long as the session is.
        waits: As for `SharedState`.
    """
    return SharedState(
        identity="fleet",
        bookings=TableBookings(tables),
        durations=TableDurations(tables),
        waits=waits,
    )


def campaign_tables(url: sa.URL) -> Tables:
    """Return the tables that belong to the queue in a database.

    A SQLite file has one owner, so these tables are in a file beside it.
    """
    if url.get_backend_name() == "sqlite":
        url = url.set(database=f"{url.database}.campaigns")
    return Tables(url.render_as_string(hide_password=False))


async def forget_bookings(database: Database, older_than: float) -> None:
    """Remove bookings that no pace counts any more, if the workers have a pace.

    Args:
        database: The queue's.
        older_than: As for `TableBookings.forget`.

    Raises:
        QueueError: The tables of the pace cannot be used.
    """
    tables = campaign_tables(database.url)
    try:
        if await database.call(lambda: _has_campaigns(database)):
            await tables.open()
            try:
                await TableBookings(tables).forget(older_than)
            finally:
                await tables.aclose()
    except JournalError as error:
        raise QueueError(error.message) from error


def _has_campaigns(database: Database) -> bool:
    if database.is_sqlite:
        return Path(f"{database.url.database}.campaigns").exists()
    return sa.inspect(database.engine).has_table("bookings", schema=SCHEMA)
