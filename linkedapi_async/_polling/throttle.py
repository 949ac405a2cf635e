"""How many requests the host allows; pure, because callers pass the time."""

from __future__ import annotations

import math
from typing import Final


URGENT_INTERVAL: Final = 1.0
"""Minimum time in seconds between two requests that need not wait for a pause."""


class Throttle:
    """The limits of the whole host: a pause, and a rate of requests.

    Args:
        rate: Requests per second, or `None` for any number.
    """

    def __init__(self, rate: float | None = None) -> None:
        self._gap = 0.0 if rate is None else 1 / rate
        self._free_at = -math.inf
        """When the rate allows the next request."""
        self._urgent_at = -math.inf
        """When the next request is allowed in spite of a pause."""
        self.until = -math.inf
        """The end of the pause."""

    def pause(self, until: float) -> None:
        """Allow no request before *until*, nor before the end of an earlier pause."""
        self.until = max(self.until, until)

    def next_slot(self) -> float:
        """Return when the next request is allowed."""
        return max(self.until, self._free_at)

    def next_urgent_slot(self) -> float:
        """Return when a request is allowed that need not wait for a pause to end."""
        return min(self.next_slot(), max(self._urgent_at, self._free_at))

    def available(self, now: float, limit: int) -> int:
        """Return how many requests are allowed *now*, at most *limit*."""
        if now < self.next_slot():
            return 0
        # One at a time, because a rate sets the distance between requests.
        return min(limit, 1) if self._gap else limit

    def consume(self, now: float, count: int) -> None:
        """Record that *count* requests are sent *now*."""
        if self._gap:
            self._free_at = max(self._free_at, now) + count * self._gap

    def consume_urgent(self, now: float) -> None:
        """Record that a request is sent *now* in spite of a pause."""
        self._urgent_at = now + URGENT_INTERVAL
        self.consume(now, 1)
