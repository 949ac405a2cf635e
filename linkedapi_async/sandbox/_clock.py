"""The clock of the sandbox."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Tells the time in seconds; a lane needs nothing else of a loop."""

    def now(self) -> float:
        """Return the time in seconds since the sandbox was entered."""
        ...
