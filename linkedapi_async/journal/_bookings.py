"""Bookings in a table: the statements that all databases share."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from linkedapi_async._pacing import Booking, History, Uses
from linkedapi_async.errors import JournalError


class BookingRows:
    """Every statement about bookings.

    Args:
        execute: Runs a statement with named parameters, and returns its cursor.
    """

    def __init__(self, execute: Callable[..., Any]) -> None:
        self._run = execute

    def bookings(self, account: str, since: float) -> History:
        """Return the bookings of an account that have not ended before *since*."""
        (first,) = self._run(
            "SELECT min(at) FROM bookings WHERE account = :account",
            {"account": account},
        ).fetchone()
        rows = self._run(
            "SELECT key, account, at, uses, ended FROM bookings WHERE account = "
            ":account AND (ended IS NULL OR ended >= :since) ORDER BY n",
            {"account": account, "since": since},
        )
        return History(first, tuple(map(_booking, rows)))

    def book(self, booking: Booking) -> None:
        """Add a booking; it replaces one of its key that has not ended."""
        self.unbook(booking.key)
        self._run(
            "INSERT INTO bookings (key, account, at, uses) "
            "VALUES (:key, :account, :at, :uses)",
            {
                "key": booking.key,
                "account": booking.account,
                "at": booking.at,
                "uses": _encode(booking.uses),
            },
        )

    def book_end(self, key: str, ended: float, uses: Uses | None) -> None:
        """Record the end of a booking, and what was done; None keeps the most."""
        new = "" if uses is None else ", uses = :uses"
        done = {} if uses is None else {"uses": _encode(uses)}
        self._run(
            f"UPDATE bookings SET ended = :ended{new} "  # noqa: S608  # own names
            "WHERE key = :key AND ended IS NULL",
            {"key": key, "ended": ended, **done},
        )

    def unbook(self, key: str) -> None:
        """Remove a booking that has not ended."""
        self._run(
            "DELETE FROM bookings WHERE key = :key AND ended IS NULL", {"key": key}
        )


def _encode(uses: Uses) -> str:
    return json.dumps(dict(uses))


def _booking(row: tuple[Any, ...]) -> Booking:
    key, account, at, uses, ended = row
    try:
        found = {str(name): int(number) for name, number in json.loads(uses).items()}
        return Booking(str(key), str(account), float(at), found, ended and float(ended))
    except (AttributeError, TypeError, ValueError) as error:
        # Counting less than was done could exceed a limit.
        raise JournalError(
            f"what {key!r} has used of its account's limits is damaged; delete the row "
            "of this key from the table bookings"
        ) from error
