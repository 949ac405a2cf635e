"""How much the whole host allows: pure, told the time."""

from __future__ import annotations

import math


class Throttle:
    """What the whole host allows: a pause, and a rate of requests.

    Args:
        rate: Requests per second, or `None` for any number.
        burst: How many requests may go at once after a quiet time.
    """

    def __init__(self, rate: float | None = None, burst: int = 1) -> None:
        self._gap = 0.0 if rate is None else 1 / rate
        self._burst = burst
        self._full = -math.inf
        """When all of *burst* is available again."""
        self.until = -math.inf
        """The end of the pause."""

    def pause(self, until: float) -> None:
        """Let nothing go before *until*, nor before the end of an earlier pause."""
        self.until = max(self.until, until)

    def opens(self) -> float:
        """Return when the next request may go."""
        return max(self.until, self._full - (self._burst - 1) * self._gap)

    def room(self, now: float, limit: int) -> int:
        """Return how many requests may go *now*, at most *limit*."""
        opens = self.opens()
        if now < opens:
            return 0
        if not self._gap:
            return limit
        missing = max(self._full - now, 0.0) / self._gap
        return min(limit, max(int(self._burst - missing), 1))

    def spend(self, now: float, count: int) -> None:
        """Note that *count* requests go *now*."""
        if self._gap:
            self._full = max(self._full, now) + count * self._gap
