"""One lane: the queue of one account, its tickets, and the answers to their polls.

Pure, as all that is about order: times are monotonic seconds that it is told.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, cast

from attrs import define, field, frozen


if TYPE_CHECKING:
    from collections.abc import Hashable
from linkedapi_async._polling.answers import Ended


REPEATS_NEEDED: Final = 3
"""How often a definite error must be repeated until it ends a wait."""

REPEATS_SPAN: Final = 60.0
"""Time in seconds over which it must be repeated at least."""


@frozen
class RepeatedError:
    """A definite error that is being repeated."""

    count: int
    since: float

    def enough(self, now: float) -> bool:
        """Return whether the error was repeated often and long enough by *now*."""
        return self.count >= REPEATS_NEEDED and now - self.since >= REPEATS_SPAN


def strike(strikes: RepeatedError | None, now: float) -> RepeatedError:
    """Return *strikes* with one more at *now*."""
    if strikes is None:
        return RepeatedError(1, now)
    return RepeatedError(strikes.count + 1, strikes.since)


@define(eq=False, weakref_slot=False)
class _Link:
    """A place in the two rings of a lane: its order, and who was asked longest ago.

    Rings instead of containers, because tickets leave a lane from anywhere, and because
    four pointers are all that 100,000 waiting workflows should pay for it.
    """

    _ahead: _Link = field(init=False, repr=False)
    _behind: _Link = field(init=False, repr=False)
    _older: _Link = field(init=False, repr=False)
    _newer: _Link = field(init=False, repr=False)

    def _queue_behind(self, other: _Link) -> None:
        """Enter the lane order right behind *other*."""
        self._ahead, self._behind = other, other._behind
        other._behind._ahead = self
        other._behind = self

    def _leave_queue(self) -> None:
        """Leave the lane order."""
        self._ahead._behind = self._behind
        self._behind._ahead = self._ahead

    def _age_after(self, other: _Link) -> None:
        """Enter the order of asking right after *other*, as less urgent."""
        self._older, self._newer = other, other._newer
        other._newer._older = self
        other._newer = self

    def _leave_ages(self) -> None:
        """Leave the order of asking."""
        self._older._newer = self._newer
        self._newer._older = self._older

    def _unlink(self) -> None:
        """Forget the neighbours, so that nobody waits for the garbage collector."""
        del self._ahead, self._behind, self._older, self._newer


@define(eq=False, weakref_slot=False)
class PendingWorkflow(_Link):
    """One workflow that is waited for."""

    id: str
    """The id of the workflow."""

    account: Hashable = field(repr=False)
    """The account that runs it: tickets of one account share a lane."""

    status: str = "pending"
    """The status that the API told last."""

    owner: object = field(default=None, repr=False)
    """Whatever the one who made the ticket wants to find again."""

    end: Ended | None = field(default=None, init=False)
    """How the wait ended; `None` while it goes on."""

    asking: bool = field(default=False, init=False, repr=False)
    """Whether a poll of it is under way."""

    unfinished_at: float = field(default=-math.inf, init=False, repr=False)
    """When it was certainly unfinished last."""

    polls: int = field(default=0, init=False, repr=False)
    """How many polls of it were answered, missed ones included."""

    late: float | None = field(default=None, init=False, repr=False)
    """How late, in seconds, its end can have been noticed at most, if that is known."""

    _urgent: bool = field(default=False, init=False, repr=False)
    _lane: Lane | None = field(default=None, init=False, repr=False)
    _place: int = field(default=0, init=False, repr=False)
    _unknown: RepeatedError | None = field(default=None, init=False, repr=False)

    @property
    def watched(self) -> bool:
        """Whether it is in a lane."""
        return self._lane is not None


@define(eq=False, weakref_slot=False)
class Lane(_Link):
    """The queue of one account, and the anchor of its two rings.

    An ordered lane has two timers, one for its head and one for its tail. An unordered
    lane has the first one only; it paces the whole lane.
    """

    account: Hashable
    ordered: bool
    size: int = 0
    places: int = 0
    asking: PendingWorkflow | None = None
    """The ticket whose poll holds up the timers."""

    head_due: float = math.inf
    tail_due: float = math.inf
    wake: float = math.inf
    """When the heap looks at the lane next."""

    step: int = 1
    """The next poll of the head counts from becoming it; 0: it was just promoted."""

    rest: int = 0
    """How many answers in a row said that the account is outside working hours."""

    streak: int = 0
    """How many finishes in a row were in order."""

    head_turn: bool = False
    """Whether the next poll of an unordered lane is for its head."""

    overtaken: int | None = None
    """The place of a finished ticket that is proof against all tickets ahead of it."""

    runner: PendingWorkflow | None = None
    """The last ticket that said it was running."""

    moved: PendingWorkflow | None = None
    """The ticket that became the head because it was running."""

    unasked: PendingWorkflow | None = None
    """The last of the attached tickets that were never asked."""

    refused: RepeatedError | None = None

    hinted: bool = False
    """Whether an event has hinted at a finish that nobody has told of yet."""

    wary: bool = False
    """Whether a poll has found a finish last of which no event had told."""

    promoted_at: float = -math.inf
    """When the head of an ordered lane became it: it ran on from there at least."""

    def __attrs_post_init__(self) -> None:
        """Close the empty rings."""
        self._ahead = self._behind = self._older = self._newer = self

    @property
    def head(self) -> PendingWorkflow:
        """The first ticket in lane order; the lane must not be empty."""
        return cast("PendingWorkflow", self._behind)

    def longest_unasked(
        self, besides: PendingWorkflow | None = None
    ) -> PendingWorkflow | None:
        """Return whom to ask, but for *besides*, or `None` if there is nobody else."""
        link = self._newer
        if link is besides:
            link = link._newer
        return None if link is self else cast("PendingWorkflow", link)

    def enter(self, ticket: PendingWorkflow, *, ordered: bool) -> None:
        """Put *ticket* at the end of the lane.

        Attached tickets may have finished long ago, so that they are asked before all
        that were asked already.
        """
        ticket._lane, ticket._place = self, self.places
        self.places += 1
        self.size += 1
        ticket._queue_behind(self._ahead)
        if ordered:
            ticket._age_after(self._older)
        else:
            ticket._age_after(self.unasked or self)
            self.unasked = ticket

    def leave(self, ticket: PendingWorkflow) -> None:
        """Take *ticket* out of the lane."""
        ticket._leave_queue()
        ticket._leave_ages()
        ticket._lane = None
        ticket._unlink()
        self.size -= 1
        for name in ("asking", "runner", "moved", "unasked"):
            if getattr(self, name) is ticket:
                setattr(self, name, None)
        if self.size == 1:
            self.tail_due = math.inf

    def asked(self, ticket: PendingWorkflow) -> None:
        """Note that *ticket* is asked now."""
        ticket.asking = True
        ticket._urgent = False
        if self.unasked is ticket:
            self.unasked = None
        ticket._leave_ages()
        ticket._age_after(self._older)

    def follow_runner(self) -> None:
        """Make the running ticket the head, whatever was believed."""
        runner, head = self.runner, self.head
        if runner is None or runner is head:
            return
        if head.status == "running":
            # One runs at a time: the old head has finished, most likely.
            head._leave_ages()
            head._age_after(self)
        runner._leave_queue()
        runner._queue_behind(self)
        runner._place = head._place - 1
        self.moved = runner
        self.streak = 0

    def lose_order(self, due: float) -> None:
        """Become unordered, with the next poll at *due*."""
        self.ordered = False
        self.overtaken = None
        self.streak = 0
        self.step = 2
        self.head_due, self.tail_due = due, math.inf

    def promote(self, now: float) -> None:
        """Ask the new head of an ordered lane at once."""
        self.head_due = self.promoted_at = now
        self.step = 0
        if self.overtaken is not None and self.overtaken < self.head._place:
            self.overtaken = None
