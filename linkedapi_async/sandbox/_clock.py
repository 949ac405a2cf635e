"""The clock of the sandbox."""

from __future__ import annotations

import asyncio
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
