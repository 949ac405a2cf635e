"""Whom to ask next, and when: pure, told the time, without a socket or a clock.

One lane per account. The order of a lane is a belief, never a condition: whatever the
true order is, every ticket of a lane is asked again within *tail* seconds times the
number of tickets that wait in it. Times are monotonic seconds.
"""

from __future__ import annotations

import math
from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast

from attrs import define, field, frozen


if TYPE_CHECKING:
    import random
    from collections.abc import Hashable

    from linkedapi_async.policies import Polling


OFF_HOURS: Final = "outsideWorkingHours"
"""The reason of a pending workflow that makes its lane rest."""

STRIKES: Final = 3
"""How often a definite error must be repeated until it ends a wait."""

STRIKE_SPAN: Final = 60.0
"""Time in seconds over which it must be repeated at least."""

SAMPLE: Final = 4096
"""Of how many finishes the lateness is kept."""

RECOVERY: Final = 3
"""How many finishes in order make a lane ordered again."""


@frozen
class Waiting:
    """The answer to a poll: the workflow has not finished."""

    status: str
    """The status as the API spells it."""

    reason: str | None = None
    """Why the workflow is pending, as the API spells it."""


@frozen
class Finished:
    """The answer to a poll: the wait is over."""

    value: object
    """What the wait yields: a result, or the error that ends it."""

    status: str | None = None
    """The last status, if it is known."""


@frozen
class Missed:
    """The answer to a poll: none that tells the status of the workflow."""

    error: Exception
    """What happened."""

    kind: Literal["failed", "refused", "unknown"] = "failed"
    """Whether the poll failed, the token was refused, or the id is unknown.

    A failed poll never ends a wait; the others do when they are repeated.
    """

    pause: float | None = None
    """Time in seconds for which the host asks to be left alone."""


Answer: TypeAlias = Waiting | Finished | Missed


@frozen
class _Strikes:
    """A definite error that is being repeated."""

    count: int
    since: float

    def enough(self, now: float) -> bool:
        """Return whether the error was repeated often and long enough by *now*."""
        return self.count >= STRIKES and now - self.since >= STRIKE_SPAN


def _strike(strikes: _Strikes | None, now: float) -> _Strikes:
    """Return *strikes* with one more at *now*."""
    if strikes is None:
        return _Strikes(1, now)
    return _Strikes(strikes.count + 1, strikes.since)


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
class Ticket(_Link):
    """One workflow that is waited for."""

    id: str
    """The id of the workflow."""

    account: Hashable = field(repr=False)
    """The account that runs it: tickets of one account share a lane."""

    status: str = "pending"
    """The status that the API told last."""

    owner: object = field(default=None, repr=False)
    """Whatever the one who made the ticket wants to find again."""

    end: Finished | None = field(default=None, init=False)
    """How the wait ended; `None` while it goes on."""

    asking: bool = field(default=False, init=False, repr=False)
    """Whether a poll of it is under way."""

    unfinished_at: float = field(default=-math.inf, init=False, repr=False)
    """When it was certainly unfinished last."""

    _urgent: bool = field(default=False, init=False, repr=False)
    _lane: _Lane | None = field(default=None, init=False, repr=False)
    _place: int = field(default=0, init=False, repr=False)
    _unknown: _Strikes | None = field(default=None, init=False, repr=False)

    @property
    def watched(self) -> bool:
        """Whether it is in a lane."""
        return self._lane is not None


@define(eq=False, weakref_slot=False)
class _Lane(_Link):
    """The queue of one account, and the anchor of its two rings.

    An ordered lane has two timers, one for its head and one for its tail. An unordered
    lane has the first one only; it paces the whole lane.
    """

    account: Hashable
    ordered: bool
    size: int = 0
    places: int = 0
    asking: Ticket | None = None
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

    runner: Ticket | None = None
    """The last ticket that said it was running."""

    moved: Ticket | None = None
    """The ticket that became the head because it was running."""

    unasked: Ticket | None = None
    """The last of the attached tickets that were never asked."""

    refused: _Strikes | None = None

    promoted_at: float = -math.inf
    """When the head of an ordered lane became it: it ran on from there at least."""

    def __attrs_post_init__(self) -> None:
        """Close the empty rings."""
        self._ahead = self._behind = self._older = self._newer = self

    @property
    def head(self) -> Ticket:
        """The first ticket in lane order; the lane must not be empty."""
        return cast("Ticket", self._behind)

    def longest_unasked(self, besides: Ticket | None = None) -> Ticket | None:
        """Return whom to ask, but for *besides*, or `None` if there is nobody else."""
        link = self._newer
        if link is besides:
            link = link._newer
        return None if link is self else cast("Ticket", link)

    def enter(self, ticket: Ticket, *, ordered: bool) -> None:
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

    def leave(self, ticket: Ticket) -> None:
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

    def asked(self, ticket: Ticket) -> None:
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


class Lanes:
    """All lanes of a session, over one heap of lanes.

    Take tickets with `take`, ask for them, and say with `answered` what came. A lane
    has at most one poll under way, apart from those that `expedite` asked for.
    """

    def __init__(self, polling: Polling, rng: random.Random) -> None:
        self._polling = polling
        self._rng = rng
        self._lanes: dict[Hashable, _Lane] = {}
        self._heap: list[tuple[float, int, _Lane]] = []
        self._pushes = 0
        self._urgent: deque[Ticket] = deque()
        self._size = 0
        self._held: set[Hashable] = set()
        # An API that never says "pending" calls all of a queue "running".
        self._running_tells = False
        self._alternates = 2 * polling.cap * (1 + polling.jitter) <= polling.tail
        self.surprises = 0
        """How often a workflow of an ordered lane ran or finished out of turn."""
        self.lateness: deque[float] = deque(maxlen=SAMPLE)
        """How late, in seconds, the last finishes can have been noticed at most."""

    def __len__(self) -> int:
        """Return how many tickets wait."""
        return self._size

    def add(self, ticket: Ticket, now: float, *, ordered: bool = True) -> None:
        """Wait for *ticket*.

        Args:
            ticket: A ticket that was never added before.
            now: The time.
            ordered: Whether the server took it after all others of its account that
                were added. If not, its lane is unordered from now on.
        """
        lane = self._lanes.get(ticket.account)
        if lane is None:
            lane = self._lanes[ticket.account] = _Lane(ticket.account, ordered)
        lane.enter(ticket, ordered=ordered)
        if ordered:  # an attached one may have finished long ago
            ticket.unfinished_at = now
        self._size += 1
        if not ordered:
            lane.lose_order(now)
        elif lane.ordered and lane.size == 1:
            self._start_head(lane, now)
        elif lane.ordered and lane.size == 2:  # noqa: PLR2004  # the tail begins
            lane.tail_due = now + self._polling.tail_wait(self._rng)
        self._schedule(lane)

    def remove(self, ticket: Ticket, now: float) -> None:
        """Wait no longer for *ticket*, which may have left already."""
        lane = ticket._lane
        if lane is None:
            return
        was_head, was_asking = lane.head is ticket, lane.asking is ticket
        if self._leave(lane, ticket):
            return
        if lane.ordered and was_head:
            lane.promote(now)
            self._start_head(lane, now)
        elif was_asking and not lane.ordered:
            self._pace(lane, now)
        self._schedule(lane)

    def hold(self, account: Hashable, now: float) -> None:
        """Ask for an account that cannot work no more often than for a tail."""
        self._held.add(account)
        lane = self._lanes.get(account)
        if lane is not None:
            lane.head_due = max(lane.head_due, now + self._polling.tail_wait(self._rng))

    def release(self, account: Hashable, now: float) -> None:
        """Ask at full cadence again."""
        self._held.discard(account)
        lane = self._lanes.get(account)
        if lane is not None:
            lane.step = 2
            due = now + self._polling.wait(2, self._rng)
            lane.head_due = min(lane.head_due, due)
            self._schedule(lane)

    def expedite(self, ticket: Ticket) -> None:
        """Ask *ticket* as soon as possible, unless a poll of it is under way."""
        if ticket._lane is not None and not ticket.asking and not ticket._urgent:
            ticket._urgent = True
            self._urgent.append(ticket)

    @property
    def urgent(self) -> bool:
        """Whether `take` may have somebody to be asked before all that are due."""
        return bool(self._urgent)

    def next_due(self) -> float | None:
        """Return when a lane may be due next, or `None` if there is none."""
        return self._heap[0][0] if self._heap else None

    def take(self, now: float, limit: int) -> list[Ticket]:
        """Return at most *limit* tickets that are to be asked now."""
        taken: list[Ticket] = []
        while self._urgent and len(taken) < limit:
            ticket = self._urgent.popleft()
            if ticket._urgent and ticket._lane is not None:
                ticket._lane.asked(ticket)
                taken.append(ticket)
        while len(taken) < limit and (lane := self._pop(now)):
            chosen = self._choose(lane, now)
            if chosen is None or chosen.asking:
                self._schedule(lane)
            else:
                lane.asking = chosen
                lane.asked(chosen)
                taken.append(chosen)
        return taken

    def defer(self, now: float, until: float) -> None:
        """Move all lanes that are due by *now* behind *until*, spread by chance."""
        while lane := self._pop(now):
            spread = self._polling.wait(max(lane.step, 2), self._rng)
            due = until + self._rng.random() * spread
            lane.head_due = max(lane.head_due, due)
            lane.tail_due = max(lane.tail_due, due)
            self._schedule(lane)

    def answered(self, ticket: Ticket, now: float, answer: Answer) -> Finished | None:
        """Take the *answer* to a poll; return how the wait ended, if it did."""
        ticket.asking = False
        lane = ticket._lane
        if lane is None:
            return None
        paced = lane.asking is ticket
        if paced:
            lane.asking = None
        end: Finished | None = None
        if isinstance(answer, Waiting):
            self._waiting(lane, ticket, now, answer, paced=paced)
        elif isinstance(answer, Finished):
            end = answer
            self._finished(lane, ticket, now)
        else:
            end = self._missed(lane, ticket, now, answer, paced=paced)
        if lane.size:
            self._schedule(lane)
        return end

    def _leave(self, lane: _Lane, ticket: Ticket) -> bool:
        """Take *ticket* out of *lane*; return whether the lane is empty now."""
        lane.leave(ticket)
        self._size -= 1
        if lane.size == 0:
            lane._unlink()
            del self._lanes[lane.account]
        return lane.size == 0

    def _schedule(self, lane: _Lane) -> None:
        """See to it that the heap looks at *lane* when it is due.

        A heap entry that is too early stays: it is corrected when it comes up.
        """
        if lane.asking is None:
            due = min(lane.head_due, lane.tail_due)
            if due < lane.wake:
                lane.wake = due
                self._pushes += 1
                heappush(self._heap, (due, self._pushes, lane))

    def _pop(self, now: float) -> _Lane | None:
        """Return the next lane that is due and not being asked."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            wake, _, lane = heappop(heap)
            if wake != lane.wake:
                continue
            lane.wake = math.inf
            if lane.size and lane.asking is None:
                if min(lane.head_due, lane.tail_due) <= now:
                    return lane
                self._schedule(lane)
        return None

    def _choose(self, lane: _Lane, now: float) -> Ticket | None:
        """Return whom to ask in a *lane* that is due; set the timer that fired.

        The timer of a head waits for the answer, unless somebody expedited it.
        """
        head = lane.head
        if lane.ordered and lane.tail_due < lane.head_due:
            lane.tail_due = now + self._polling.tail_wait(self._rng)
            return lane.longest_unasked(head)
        if lane.ordered or lane.head_turn or lane.size == 1:
            lane.head_turn = False
            chosen: Ticket | None = head
        else:
            # A likely head gets every second poll, and no turn of the others.
            likely = lane.streak > 0 or (self._running_tells and lane.runner is head)
            lane.head_turn = likely and self._alternates and not lane.rest
            chosen = lane.longest_unasked(head if lane.head_turn else None)
        if chosen is None or chosen.asking:
            lane.head_due = now + self._polling.wait(max(lane.step, 2), self._rng)
        return chosen

    def _start_head(self, lane: _Lane, now: float) -> None:
        """Begin the cadence of a head that starts to run about *now*."""
        lane.head_due = now + self._polling.wait(1, self._rng)
        lane.step = 2

    def _pace(self, lane: _Lane, now: float) -> None:
        """Set the timer of the head, or of the whole of an unordered *lane*.

        A poll that was expedited never brings the next one forward.
        """
        polling, rng = self._polling, self._rng
        if self._held and lane.account in self._held:
            wait = polling.tail_wait(rng)
        elif lane.rest:
            wait = polling.slow_wait(lane.rest, rng)
        elif lane.step == 0:
            # It was asked on promotion already, which is worth a longer first wait.
            first = polling.wait(1, rng) * polling.growth
            wait = min(max(first, polling.wait(2, rng)), polling.tail)
            lane.step = 2
        else:
            wait = polling.wait(lane.step, rng)
            if lane.ordered or lane.unasked is None:
                lane.step += 1
        lane.head_due = max(lane.head_due, now + wait)

    def _rest(self, lane: _Lane, now: float, answer: Waiting) -> None:
        """Slow down a *lane* that is outside working hours, wake up any other."""
        if answer.status == "pending" and answer.reason == OFF_HOURS:
            lane.rest += 1
        elif lane.rest:
            lane.rest = 0
            lane.step = 2
            lane.head_due = now

    def _waiting(
        self, lane: _Lane, ticket: Ticket, now: float, answer: Waiting, *, paced: bool
    ) -> None:
        """Go on waiting for *ticket*."""
        ticket.status = answer.status
        ticket.unfinished_at = now
        ticket._unknown = lane.refused = None
        if answer.status == "running":
            lane.runner = ticket
        elif lane.runner is ticket:
            lane.runner = None
        self._running_tells = self._running_tells or answer.status == "pending"
        if not lane.ordered:
            if self._running_tells:
                lane.follow_runner()
            if paced:
                self._rest(lane, now, answer)
                self._pace(lane, now)
        elif ticket is not lane.head:
            self._doubt_head(lane, now)
        elif self._contradicted(lane):
            self._surprise(lane, now)
        else:
            self._rest(lane, now, answer)
            self._pace(lane, now)

    def _doubt_head(self, lane: _Lane, now: float) -> None:
        """Ask the head at once if another ticket is running.

        The head may just have finished: it is the one to say whether the order holds.
        """
        if self._running_tells and lane.runner not in (None, lane.head):
            lane.head_due = min(lane.head_due, now)

    def _contradicted(self, lane: _Lane) -> bool:
        """Return whether the head waits though one behind it runs or has finished."""
        return lane.overtaken is not None or (
            self._running_tells and lane.runner not in (None, lane.head)
        )

    def _surprise(self, lane: _Lane, now: float) -> None:
        """Give up the belief in the order of *lane*."""
        self.surprises += 1
        lane.lose_order(now + self._polling.wait(2, self._rng))
        if self._running_tells:
            lane.follow_runner()

    def _finished(self, lane: _Lane, ticket: Ticket, now: float) -> None:
        """Let *ticket* go and turn to the next."""
        in_turn = lane.head is ticket
        since = ticket.unfinished_at
        if in_turn and lane.ordered:
            since = max(since, lane.promoted_at)
        if since > -math.inf:
            self.lateness.append(now - since)
        moved = lane.moved is ticket
        if self._leave(lane, ticket):
            return
        lane.refused = None
        lane.rest = 0
        if not lane.ordered:
            self._finished_unordered(lane, now, in_turn=in_turn, moved=moved)
        elif in_turn:
            lane.promote(now)
        else:
            lane.overtaken = max(ticket._place, lane.overtaken or 0)
            lane.head_due = now

    def _finished_unordered(
        self, lane: _Lane, now: float, *, in_turn: bool, moved: bool
    ) -> None:
        """Count the finishes in order; ask the next ticket at once."""
        if not in_turn:
            lane.streak = 0
        elif not moved:
            lane.streak += 1
        lane.step = 2
        lane.head_due = now
        lane.head_turn = True
        if lane.streak >= RECOVERY:
            lane.ordered = True
            lane.promote(now)
            if lane.size > 1:
                lane.tail_due = now + self._polling.tail_wait(self._rng)

    def _missed(
        self, lane: _Lane, ticket: Ticket, now: float, answer: Missed, *, paced: bool
    ) -> Finished | None:
        """Go on waiting for *ticket*, unless a definite error was repeated enough.

        A refused token concerns the whole account, an unknown id one ticket.
        """
        strikes: _Strikes | None = None
        if answer.kind == "refused":
            strikes = lane.refused = _strike(lane.refused, now)
        elif answer.kind == "unknown":
            strikes = ticket._unknown = _strike(ticket._unknown, now)
        if strikes and strikes.enough(now):
            self._give_up(lane, ticket, now, paced=paced)
            return Finished(answer.error)
        if lane.head is ticket if lane.ordered else paced:
            self._pace(lane, now)
        return None

    def _give_up(self, lane: _Lane, ticket: Ticket, now: float, *, paced: bool) -> None:
        """Let *ticket* go, which says nothing about the order of the lane."""
        was_head = lane.head is ticket
        if self._leave(lane, ticket):
            return
        if lane.ordered and was_head:
            lane.promote(now)
        elif paced and not lane.ordered:
            self._pace(lane, now)
