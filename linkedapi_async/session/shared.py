"""The state that sessions of several processes share."""

from __future__ import annotations

import attrs

from linkedapi_async._pacing import Booking, History, SharedBookings
from linkedapi_async.session._durations import DurationRecords


__all__ = ["Booking", "DurationRecords", "History", "SharedBookings", "SharedState"]


@attrs.frozen(kw_only=True)
class SharedState:
    """The state that sessions of several processes share, in addition to contacts.

    The keys of starts must be unique among all of these sessions, because another
    process finds bookings and reservations by them. Such a session keeps no journal, so
    its caller must prove that a start with a key was not sent before.
    """

    identity: str
    """What distinguishes these sessions from others that use the same contacts."""
    bookings: SharedBookings = attrs.field(repr=False)
    """The bookings of the accounts' paces."""
    durations: DurationRecords = attrs.field(repr=False)
    """How long workflows take."""
    waits: bool = True
    """Whether a start waits for the pace; if not, it raises `PaceError` at once."""
