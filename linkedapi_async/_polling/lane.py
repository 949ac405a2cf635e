"""The lane of one account: its queue, its pending workflows, and their repeated errors.

Pure: times are monotonic seconds that callers pass in.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, cast

from attrs import define, field, frozen

from linkedapi_async._polling.answers import Ended


if TYPE_CHECKING:
    from collections.abc import Hashable


REPEATS_NEEDED: Final = 3
"""How often a final error of the API must be repeated before it ends a wait."""

# Both limits are needed, because many quick polls may meet one short fault of the API.
REPEATS_SPAN: Final = 60.0
"""Minimum time in seconds between the first and the last of these errors."""


@frozen
class RepeatedError:
    """Counts a final error that occurred without a usable answer in between."""

    count: int = 0
    since: float = math.inf
    """The time of the first one."""

    def again(self, now: float) -> RepeatedError:
        """Return this with one more error at *now*."""
        return RepeatedError(self.count + 1, min(self.since, now))

    def enough(self, now: float) -> bool:
        """Return whether the error was repeated often and long enough by *now*."""
        return self.count >= REPEATS_NEEDED and now - self.since >= REPEATS_SPAN


NEVER: Final = RepeatedError()
"""No error so far."""


@define(eq=False, weakref_slot=False)
class _Link:
    """A position in the two rings of a lane: queue order, and age of the last poll.

    Rings are used instead of containers, because workflows leave a lane from any
    position, and because 100,000 pending workflows should cost no more than four
    pointers each.
    """

    ahead: _Link = field(init=False, repr=False)
    # The type is Any, because the head is never another link, and each poll reads it
    # several times.
    behind: Any = field(init=False, repr=False)
    older: _Link = field(init=False, repr=False)
    newer: _Link = field(init=False, repr=False)

    def close_rings(self) -> None:
        """Become the only member of both rings."""
        self.ahead = self.behind = self.older = self.newer = self

    def insert_in_queue(self, other: _Link) -> None:
        """Enter the queue right behind *other*."""
        self.ahead, self.behind = other, other.behind
        other.behind.ahead = self
        other.behind = self

    def remove_from_queue(self) -> None:
        """Leave the queue."""
        self.ahead.behind = self.behind
        self.behind.ahead = self.ahead

    def insert_by_age(self, other: _Link) -> None:
        """Enter the ring of ages right after *other*, as less urgent."""
        self.older, self.newer = other, other.newer
        other.newer.older = self
        other.newer = self

    def remove_by_age(self) -> None:
        """Leave the ring of ages."""
        self.older.newer = self.newer
        self.newer.older = self.older

    def unlink(self) -> None:
        """Delete the references to the neighbours."""
        # Without cycles, memory is freed at once and not by the garbage collector.
        del self.ahead, self.behind, self.older, self.newer


@define(eq=False, weakref_slot=False)
class PendingWorkflow(_Link):
    """One workflow whose end is awaited."""

    id: str
    """The id of the workflow."""

    account: Hashable = field(repr=False)
    """The account that runs it: workflows of one account share a lane."""

    status: str = "pending"
    """The last status that the API reported."""

    kind: Hashable = field(default=None, repr=False)
    """The kind, which workflows of about the same duration share, if it is known."""

    reason: str | None = field(default=None, init=False)
    """Why it is pending, as the API reported last."""

    message: str | None = field(default=None, init=False, repr=False)
    """The explanation of the API for that, as it is."""

    seen_pending: bool = field(default=False, init=False, repr=False)
    """Whether the last answer of the API said that it had not begun."""

    number: int = field(default=0, init=False, repr=False)
    """Its place among the starts of this session on the account; 0 if it is not one."""

    end: Ended | None = field(default=None, init=False)
    """How the wait ended; `None` while it goes on."""

    in_flight: bool = field(default=False, init=False, repr=False)
    """Whether a poll of it is in flight."""

    urgent: bool = field(default=False, init=False, repr=False)
    """Whether it is to be polled before all others."""

    unfinished_at: float = field(default=-math.inf, init=False, repr=False)
    """The last time at which it certainly had not finished."""

    polls: int = field(default=0, init=False, repr=False)
    """How many of its polls were answered, failed ones included."""

    detection_delay: float | None = field(default=None, init=False, repr=False)
    """Upper bound, in seconds, of the time from its end to the poll that noticed it.

    `None` where it is unknown.
    """

    lane: Lane | None = field(default=None, init=False, repr=False)
    """The lane that it waits in."""

    position: int = field(default=0, init=False, repr=False)
    """Its place in the order of the lane; smaller is earlier."""

    unknown: RepeatedError = field(default=NEVER, init=False, repr=False)
    """Answers in a row that the API does not know its id."""

    @property
    def watched(self) -> bool:
        """Whether it is in a lane."""
        return self.lane is not None


@define(eq=False, weakref_slot=False)
class Lane(_Link):
    """The queue of one account, and the start of its two rings.

    An ordered lane has two timers, one for its head and one for its tail. An unordered
    lane has only the first one, which times the polls of the whole lane.
    """

    account: Hashable
    ordered: bool
    size: int = 0
    next_position: int = 0
    in_flight: PendingWorkflow | None = None
    """The workflow whose poll is in flight; the timers wait for it."""

    head_poll_at: float = math.inf
    tail_poll_at: float = math.inf
    wake_at: float = math.inf
    """The time of the lane's valid entry in the heap."""

    poll_number: int = 1
    """The next poll of the head, counted since it became the head.

    0 is the poll right after it became the head.
    """

    off_hours: int = 0
    """How many answers in a row said that the account is outside working hours."""

    off_hours_since: float = math.inf
    """The time of the first of these answers."""

    off_hours_before: float = 0.0
    """Time in seconds that earlier such periods took."""

    peak: int = 0
    """The largest size since it became unordered."""

    streak: int = 0
    """How many ends in a row were in order."""

    head_turn: bool = False
    """Whether the next poll of an unordered lane goes to its head."""

    passed_by: int | None = None
    """The position of an ended workflow; those that wait before it are out of order."""

    running: PendingWorkflow | None = None
    """The last workflow that the API called running."""

    promoted_runner: PendingWorkflow | None = None
    """The workflow that became the head because the API called it running."""

    last_unpolled: PendingWorkflow | None = None
    """The last of the attached workflows that were never polled."""

    refused: RepeatedError = NEVER
    """Answers in a row that refused the token."""

    expects_end: bool = False
    """Whether an event implied the end of a workflow that no event reported yet."""

    distrusts_events: bool = False
    """Whether the last end was noticed by a poll, without any event."""

    promoted_at: float = -math.inf
    """When the head of an ordered lane became the head."""

    promoted_since: float = -math.inf
    """The earliest time at which that workflow can have started to run."""

    head_started_at: float = -math.inf
    """The approximate time at which it started to run."""

    head_waits: bool = False
    """Whether it was pending when it was last polled."""

    def __attrs_post_init__(self) -> None:
        """Make the rings empty."""
        self.close_rings()

    @property
    def head(self) -> PendingWorkflow:
        """The first workflow in the queue; the lane must not be empty."""
        head: PendingWorkflow = self.behind
        return head

    def longest_unpolled(
        self, besides: PendingWorkflow | None = None
    ) -> PendingWorkflow | None:
        """Return the workflow, but not *besides*, that was polled longest ago."""
        link = self.newer
        if link is besides:
            link = link.newer
        return None if link is self else cast("PendingWorkflow", link)

    def enter(self, workflow: PendingWorkflow, *, ordered: bool) -> None:
        """Put *workflow* at the end of the lane.

        Attached workflows may have ended long ago, so they are polled before those that
        were polled already.
        """
        workflow.lane, workflow.position = self, self.next_position
        self.next_position += 1
        self.size += 1
        self.peak = max(self.peak, self.size)
        workflow.insert_in_queue(self.ahead)
        if ordered:
            workflow.insert_by_age(self.older)
        else:
            workflow.insert_by_age(self.last_unpolled or self)
            self.last_unpolled = workflow

    def leave(self, workflow: PendingWorkflow) -> None:
        """Take *workflow* out of the lane."""
        workflow.remove_from_queue()
        workflow.remove_by_age()
        workflow.lane = None
        workflow.unlink()
        self.size -= 1
        # The lane must not choose a workflow by its place after it has left.
        for name in ("in_flight", "running", "promoted_runner", "last_unpolled"):
            if getattr(self, name) is workflow:
                setattr(self, name, None)
        if self.size == 1:
            self.tail_poll_at = math.inf

    def begin_poll(self, workflow: PendingWorkflow) -> None:
        """Record that a poll of *workflow* is sent now."""
        workflow.in_flight = True
        workflow.urgent = False
        if self.last_unpolled is workflow:
            self.last_unpolled = None
        workflow.remove_by_age()
        workflow.insert_by_age(self.older)

    def off_hours_seconds(self, now: float) -> float:
        """Return how long the lane was outside working hours until *now*."""
        return self.off_hours_before + max(0.0, now - self.off_hours_since)

    def note_off_hours(self, now: float) -> None:
        """Count an answer that the account is outside working hours."""
        self.off_hours += 1
        self.off_hours_since = min(self.off_hours_since, now)

    def end_off_hours(self, now: float) -> None:
        """Record that the account works again."""
        self.off_hours_before = self.off_hours_seconds(now)
        self.off_hours, self.off_hours_since = 0, math.inf

    def follow_runner(self) -> None:
        """Make the running workflow the head, even against the assumed order."""
        running, head = self.running, self.head
        if running is None or running is head:
            return
        if head.status == "running":
            # One runs at a time, so the old head has most likely finished.
            head.remove_by_age()
            head.insert_by_age(self)
        running.remove_from_queue()
        running.insert_in_queue(self)
        # Ends are compared by position, so it moves along.
        running.position = head.position - 1
        self.promoted_runner = running
        self.streak = 0

    def lose_order(self, poll_at: float) -> None:
        """Become unordered, with the next poll at *poll_at*."""
        self.ordered = False
        self.passed_by = None
        self.streak = 0
        self.peak = self.size
        self.poll_number = 2
        self.head_poll_at, self.tail_poll_at = poll_at, math.inf

    def begin_head(self, now: float, since: float) -> None:
        """Record that the head started between *since*, if finite, and *now*."""
        self.promoted_at, self.promoted_since = now, since
        self.head_waits = False
        self.head_started_at = now if since == -math.inf else (since + now) / 2

    def promote(self, now: float, since: float = -math.inf) -> None:
        """Poll the new head of an ordered lane at once.

        Args:
            now: The time.
            since: The earliest time at which it can have started to run.
        """
        self.head_poll_at = now
        self.begin_head(now, since)
        self.poll_number = 0
        if self.passed_by is not None and self.passed_by < self.head.position:
            self.passed_by = None
