"""Points in time: in ISO 8601, and the present time."""

from __future__ import annotations

import asyncio
import datetime as dt
import math
import time
import weakref
from typing import Final


class _WallClock:
    """The time of day, as an event loop uses it."""

    def __init__(self, epoch: float, *, real: bool) -> None:
        self._epoch = epoch
        self._real = real
        self._latest = -math.inf

    def time(self, passed: float) -> float:
        """Return the present time when the loop's clock shows *passed*."""
        # After a computer was asleep, the clock of the loop is behind.
        real = time.time() if self._real else -math.inf
        self._latest = max(self._latest, self._epoch + passed, real)
        return self._latest


_WALLS: Final[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _WallClock]] = (
    weakref.WeakKeyDictionary()
)


def wall_time() -> float:
    """Return the present time of the running loop, in seconds since 1970.

    It is the real time, and never goes back. If the loop's clock is ahead, as in
    virtual time, that clock decides.
    """
    loop = asyncio.get_running_loop()
    wall = _WALLS.get(loop)
    if wall is None:
        wall = _WALLS[loop] = _WallClock(time.time() - loop.time(), real=True)
    return wall.time(loop.time())


def set_wall_time(moment: dt.datetime) -> None:
    """Set the present time to *moment*; from then on the running loop's clock decides.

    It is for tests in virtual time. A *moment* without a time zone is in UTC.
    """
    loop = asyncio.get_running_loop()
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    _WALLS[loop] = _WallClock(moment.timestamp() - loop.time(), real=False)


def from_timestamp(seconds: float) -> dt.datetime:
    """Return the time at *seconds* since 1970, in UTC."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def parse_time(text: object) -> dt.datetime | None:
    """Return a time in ISO 8601 as UTC; None if *text* is something else.

    A time without an offset is in UTC.
    """
    if not isinstance(text, str):
        return None
    try:
        when = dt.datetime.fromisoformat(text)
        if when.tzinfo is None:
            when = when.replace(tzinfo=dt.UTC)
        return when.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None


def format_time(when: dt.datetime) -> str:
    """Return a time in ISO 8601, in UTC, rounded down to the millisecond."""
    spec = "milliseconds" if when.microsecond else "seconds"
    text = when.astimezone(dt.UTC).isoformat(timespec=spec)
    return text.replace("+00:00", "Z")
