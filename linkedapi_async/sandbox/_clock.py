"""The clock of the sandbox, and its calendar."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Protocol


class Clock(Protocol):
    """Returns the time in seconds; a lane needs nothing else of a loop."""

    def now(self) -> float:
        """Return the time in seconds since the sandbox was entered."""
        ...


class LoopClock:
    """The clock of the event loop, counted from when the sandbox was entered."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._origin = 0.0
        self._stopped = 0.0

    def start(self) -> None:
        """Start at 0."""
        self._loop = asyncio.get_running_loop()
        self._origin = self._loop.time()

    def stop(self) -> None:
        """Stop, so that the recorded states remain as they are."""
        self._stopped = self.now()
        self._loop = None

    def now(self) -> float:
        """Return the time in seconds."""
        if self._loop is None:
            return self._stopped
        return self._loop.time() - self._origin


class Calendar:
    """The dates of the sandbox's clock, which run as fast as the sandbox works.

    Args:
        clock: The sandbox's clock.
        speed: How many times faster than the API the sandbox works.
        start: The date and time at which the clock starts.
        timezone: The time zone of the accounts.
    """

    def __init__(
        self, clock: Clock, speed: float, start: dt.datetime, timezone: dt.tzinfo
    ) -> None:
        self._clock = clock
        self._speed = speed
        self._start = start
        self._timezone = timezone

    def now(self) -> dt.datetime:
        """Return the date and time of the accounts."""
        return self.at(self._clock.now())

    def at(self, when: float) -> dt.datetime:
        """Return the date and time of the accounts at a time of the clock."""
        elapsed = dt.timedelta(seconds=when * self._speed)
        return (self._start + elapsed).astimezone(self._timezone)

    def ms_at(self, when: float) -> int:
        """Return the Unix time in milliseconds at a time of the clock."""
        return int(self.at(when).timestamp() * 1000)

    def when(self, moment: dt.datetime) -> float:
        """Return the time of the clock at a date and time."""
        return (moment - self._start).total_seconds() / self._speed
