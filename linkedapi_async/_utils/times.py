"""Moments: in ISO 8601, and the present one."""

from __future__ import annotations

import asyncio
import datetime as dt
import math
import time
import weakref
from typing import Final


class _Wall:
    """The clock on the wall, as a loop sees it."""

    def __init__(self, epoch: float, *, real: bool) -> None:
        self._epoch = epoch
        self._real = real
        self._latest = -math.inf

    def time(self, passed: float) -> float:
        """Return the present moment when the loop's clock shows *passed*."""
        # A computer that was asleep has a loop that is behind.
        real = time.time() if self._real else -math.inf
        self._latest = max(self._latest, self._epoch + passed, real)
        return self._latest


_WALLS: Final[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Wall]] = (
    weakref.WeakKeyDictionary()
)


def wall_time() -> float:
    """Return the present moment of the running loop, in seconds since 1970.

    It is the real one, which never goes back, except where the loop's clock is ahead:
    time that is virtual passes by that clock.
    """
    loop = asyncio.get_running_loop()
    wall = _WALLS.get(loop)
    if wall is None:
        wall = _WALLS[loop] = _Wall(time.time() - loop.time(), real=True)
    return wall.time(loop.time())


def set_wall_time(moment: dt.datetime) -> None:
    """Let it be *moment* now; from then on only the clock of the running loop counts.

    For tests in virtual time. A *moment* without a time zone is one in UTC.
    """
    loop = asyncio.get_running_loop()
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    _WALLS[loop] = _Wall(moment.timestamp() - loop.time(), real=False)


def from_timestamp(seconds: float) -> dt.datetime:
    """Return the moment at *seconds* since 1970, in UTC."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def parse_time(text: object) -> dt.datetime | None:
    """Return a moment in ISO 8601 as UTC; None if *text* is something else.

    A moment without an offset is one in UTC.
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
    """Return a moment in ISO 8601, in UTC, rounded down to the millisecond."""
    spec = "milliseconds" if when.microsecond else "seconds"
    text = when.astimezone(dt.UTC).isoformat(timespec=spec)
    return text.replace("+00:00", "Z")
