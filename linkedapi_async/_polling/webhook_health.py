"""Whether the events of webhooks prove healthy, so that asking may nearly stop.

Pure: it is told the time, in monotonic seconds. Events are a belief too: every finish
that they tell first earns trust, every one that a poll has to find costs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final


if TYPE_CHECKING:
    from collections.abc import Hashable


ENOUGH: Final = 3
"""From how many points on the events are trusted."""

MOST: Final = 10
"""How many points there are at most, so that trust is lost soon."""

GRACE: Final = 60.0
"""How late, in seconds, an event may be that a poll was ahead of."""

PATIENCE: Final = 4.0
"""How many times as long as usual a workflow may run before it is asked for."""

STRETCH: Final = 10.0
"""How many times the wait of a tail the longest wait for a head is."""


class WebhookHealth:
    """How far the events of a session are trusted; none at first.

    A single lost event halves the points and two in a row end the trust, so a tenth of
    all events may be lost without much asking, while dead webhooks are found out by the
    next two finishes.
    """

    __slots__ = ("_doubts", "_points", "_usual")

    def __init__(self) -> None:
        self._points = 0
        self._usual = 0.0
        # What polls found first, and until when the event may come after all.
        self._doubts: dict[str, tuple[float, Hashable]] = {}

    @property
    def earned(self) -> bool:
        """Whether the events are trusted."""
        return self._points >= ENOUGH

    def told(self) -> None:
        """Note that an event came in time."""
        self._points = min(MOST, self._points + 1)

    def doubt(self, workflow_id: str, account: Hashable, now: float) -> None:
        """Note that a poll found a finish of which no event has told."""
        self._doubts[workflow_id] = now + GRACE, account

    def confirm(self, workflow_id: str) -> Hashable:
        """Note that an event came after a poll; return the account if that was so."""
        _, account = self._doubts.pop(workflow_id, (0.0, None))
        if account is not None:
            self.told()
        return account

    def settle(self, now: float) -> bool:
        """Take the points of doubts that are too old; return whether this ended it."""
        before = self.earned
        while self._doubts:
            workflow_id, (until, _) = next(iter(self._doubts.items()))
            if until > now:
                break
            del self._doubts[workflow_id]
            self._points //= 2
        return before and not self.earned

    def took(self, seconds: float) -> None:
        """Note how long a workflow has run."""
        self._usual += (seconds - self._usual) / 8

    def stretch(self, tail: float) -> float:
        """Return how many times *tail* seconds the wait for a head may be."""
        return min(max(1.0, PATIENCE * self._usual / tail), STRETCH)
