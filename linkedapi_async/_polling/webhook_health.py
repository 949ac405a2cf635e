"""Whether webhook events prove healthy, so that most polls can be saved.

Pure: times are monotonic seconds that callers pass in. Events are a belief too: every
end that an event reports first earns trust, every one that a poll must find costs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final


if TYPE_CHECKING:
    from collections.abc import Hashable


ENOUGH: Final = 3
"""From how many points on the events are trusted."""

MOST: Final = 10
"""The maximum of points, so that trust is lost soon."""

GRACE: Final = 60.0
"""How late, in seconds, an event may come after the poll that was first."""

PATIENCE: Final = 4.0
"""How many times as long as usual a workflow may run before it is polled."""

STRETCH: Final = 10.0
"""The longest wait for a head, in waits of a tail."""


class WebhookHealth:
    """How far the events of a session are trusted; not at all at first.

    A single lost event halves the points and two in a row end the trust, so a tenth of
    all events may be lost without many polls, while dead webhooks are found out by the
    next two ends.
    """

    __slots__ = ("_missing", "_points", "_usual")

    def __init__(self) -> None:
        self._points = 0
        self._usual = 0.0
        # What polls found first, and until when the event may come after all.
        self._missing: dict[str, tuple[float, Hashable]] = {}

    @property
    def earned(self) -> bool:
        """Whether the events are trusted."""
        return self._points >= ENOUGH

    def event_first(self) -> None:
        """Note that an event came in time."""
        self._points = min(MOST, self._points + 1)

    def poll_first(self, workflow_id: str, account: Hashable, now: float) -> None:
        """Note that a poll found an end which no event had reported."""
        self._missing[workflow_id] = now + GRACE, account

    def confirm(self, workflow_id: str) -> Hashable:
        """Note that an event came after the poll; return the account if that was so."""
        _, account = self._missing.pop(workflow_id, (0.0, None))
        if account is not None:
            self.event_first()
        return account

    def settle(self, now: float) -> bool:
        """Take points for events that are missing too long; return whether trust ended."""
        before = self.earned
        while self._missing:
            workflow_id, (until, _) = next(iter(self._missing.items()))
            if until > now:
                break
            del self._missing[workflow_id]
            self._points //= 2
        return before and not self.earned

    def observe_duration(self, seconds: float) -> None:
        """Note how long a workflow ran."""
        self._usual += (seconds - self._usual) / 8

    def poll_stretch(self, tail: float) -> float:
        """Return how many times *tail* seconds the wait for a head may be."""
        return min(max(1.0, PATIENCE * self._usual / tail), STRETCH)
