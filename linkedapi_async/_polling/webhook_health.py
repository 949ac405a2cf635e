"""Measures whether webhook events are reliable, so that most polls can be saved.

Pure: times are monotonic seconds that callers pass in. Trust in events grows with every
    end that an event reports first, and falls with every end that a poll notices first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final


if TYPE_CHECKING:
    from collections.abc import Hashable


ENOUGH: Final = 3
"""The number of points from which the events are trusted."""

MOST: Final = 10
"""The maximum number of points, so that trust is lost soon."""

GRACE: Final = 60.0
"""How late, in seconds, an event may come after the poll that noticed the end."""

PATIENCE: Final = 4.0
"""By which factor a workflow may exceed the usual duration before it is polled."""

STRETCH: Final = 10.0
"""The longest wait for a head, as a multiple of the wait of a tail."""


class WebhookHealth:
    """The trust in a session's events, which is zero at first.

    A single lost event halves the points, and two in a row end the trust. So a tenth of
    all events may be lost without many polls, but a dead webhook is noticed after two
    ends.
    """

    __slots__ = ("_missing", "_points", "_usual")

    def __init__(self) -> None:
        self._points = 0
        self._usual = 0.0
        # The ends that polls noticed first, and until when their events may still come.
        self._missing: dict[str, tuple[float, Hashable]] = {}

    @property
    def earned(self) -> bool:
        """Whether the events are trusted."""
        return self._points >= ENOUGH

    def event_first(self) -> None:
        """Record that an event came in time."""
        self._points = min(MOST, self._points + 1)

    def poll_first(self, workflow_id: str, account: Hashable, now: float) -> None:
        """Record that a poll noticed an end that no event had reported."""
        self._missing[workflow_id] = now + GRACE, account

    def confirm(self, workflow_id: str) -> Hashable:
        """Record an event that came after the poll; return the account if one did."""
        _, account = self._missing.pop(workflow_id, (0.0, None))
        if account is not None:
            self.event_first()
        return account

    def settle(self, now: float) -> bool:
        """Remove points for events that are overdue; return whether that ended the trust."""
        before = self.earned
        while self._missing:
            workflow_id, (until, _) = next(iter(self._missing.items()))
            if until > now:
                break
            del self._missing[workflow_id]
            self._points //= 2
        return before and not self.earned

    def observe_duration(self, seconds: float) -> None:
        """Record how long a workflow ran."""
        self._usual += (seconds - self._usual) / 8

    def poll_stretch(self, tail: float) -> float:
        """Return the wait for a head, as a multiple of *tail* seconds."""
        return min(max(1.0, PATIENCE * self._usual / tail), STRETCH)
