"""What a session shares with those of other processes."""

from __future__ import annotations

import attrs

from linkedapi_async._pacing import Booking, History, SharedBookings
from linkedapi_async.session._durations import DurationRecords


__all__ = ["Booking", "DurationRecords", "History", "SharedBookings", "SharedState"]


@attrs.frozen(kw_only=True)
class SharedState:
    """What the sessions of several processes have in common, beside their contacts.

    The keys of starts are unique among all of these sessions, because bookings and
    reservations are found by them in another process. Such a session keeps no
    journal, so its caller proves that a start with a key was not sent before.
    """

    identity: str
    """What distinguishes these sessions from others that use the same contacts."""
    bookings: SharedBookings = attrs.field(repr=False)
    """What the paces of the accounts count."""
    durations: DurationRecords = attrs.field(repr=False)
    """How long workflows take."""
    waits: bool = True
    """Whether a start waits for the pace; otherwise it is a `PaceError` at once."""
