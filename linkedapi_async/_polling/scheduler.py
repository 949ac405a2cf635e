"""Whom to ask next, and when: pure, told the time, without a socket or a clock.

One lane per account. The order of a lane is a belief, never a condition: whatever the
true order is, every ticket of a lane is asked again within *tail* seconds times the
number of tickets that wait in it. Times are monotonic seconds.
"""

from __future__ import annotations

import math
from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from linkedapi_async._polling.answers import Answer, Ended, PollFailed, StillRunning
from linkedapi_async._polling.lane import Lane, PendingWorkflow, RepeatedError, strike
from linkedapi_async._polling.webhook_health import STRETCH, WebhookHealth


if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Hashable

    from linkedapi_async.policies import Polling


LaneState: TypeAlias = Literal["head", "tail", "unordered", "paused"]
"""What a ticket does: it is next, waits behind, in no known order, or for an account."""

OFF_HOURS: Final = "outsideWorkingHours"
"""The reason of a pending workflow that makes its lane rest."""

SAMPLE: Final = 4096
"""Of how many finishes the lateness is kept."""

RECOVERY: Final = 3
"""How many finishes in order make a lane ordered again."""


class PollScheduler:
    """All lanes of a session, over one heap of lanes.

    Take tickets with `take`, ask for them, and say with `answered` what came. A lane
    has at most one poll under way, apart from those that `expedite` asked for.
    """

    def __init__(
        self,
        polling: Polling,
        rng: random.Random,
        on_surprise: Callable[[Hashable], None] | None = None,
    ) -> None:
        self._polling = polling
        self._on_surprise = on_surprise
        self._rng = rng
        self._lanes: dict[Hashable, Lane] = {}
        self._heap: list[tuple[float, int, Lane]] = []
        self._pushes = 0
        self._urgent: deque[PendingWorkflow] = deque()
        self._size = 0
        self._held: set[Hashable] = set()
        # An API that never says "pending" calls all of a queue "running".
        self._running_tells = False
        self._alternates = (
            2 * polling.max_interval * (1 + polling.jitter) <= polling.queued_interval
        )
        self._trust: WebhookHealth | None = None
        self.surprises = 0
        """How often a workflow of an ordered lane ran or finished out of turn."""
        self.lateness: deque[float] = deque(maxlen=SAMPLE)
        """How late, in seconds, the last finishes can have been noticed at most."""

    def __len__(self) -> int:
        """Return how many tickets wait."""
        return self._size

    def add(self, ticket: PendingWorkflow, now: float, *, ordered: bool = True) -> None:
        """Wait for *ticket*.

        Args:
            ticket: A ticket that was never added before.
            now: The time.
            ordered: Whether the server took it after all others of its account that
                were added. If not, its lane is unordered from now on.
        """
        lane = self._lanes.get(ticket.account)
        if lane is None:
            lane = self._lanes[ticket.account] = Lane(ticket.account, ordered)
        lane.enter(ticket, ordered=ordered)
        if ordered:  # an attached one may have finished long ago
            ticket.unfinished_at = now
        self._size += 1
        if not ordered:
            lane.lose_order(now)
        elif lane.ordered and lane.size == 1:
            self._start_head(lane, now)
        elif lane.ordered and lane.size == 2:  # noqa: PLR2004  # the tail begins
            lane.tail_due = now + self._tail_wait(lane)
        self._schedule(lane)

    def remove(self, ticket: PendingWorkflow, now: float) -> None:
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

    def listen(self) -> None:
        """Expect to be told by events; nothing changes until they prove healthy."""
        self._trust = self._trust or WebhookHealth()

    def stop_listening(self, now: float) -> None:
        """Expect no more events."""
        if self._trust is not None and self._trust.earned:
            self._wake_up(now)
        self._trust = None

    def announced(self, ticket: PendingWorkflow, now: float) -> None:
        """Let *ticket* go, for an event has told how it ended."""
        lane = ticket._lane
        if lane is not None:
            self._finished(lane, ticket, now, told=True)
            if lane.size:
                self._schedule(lane)

    def expect(self, ticket: PendingWorkflow) -> None:
        """Ask for *ticket* at once: an event has told that it ended, but not how."""
        lane = ticket._lane
        if lane is not None:
            self._told()
            # Should the poll fail, its lane is asked at full cadence.
            lane.hinted = lane.wary = True
            self.expedite(ticket)

    def begun(self, ticket: PendingWorkflow, now: float) -> None:
        """Take an event's word that *ticket* runs: what ran before it has ended."""
        lane = ticket._lane
        if lane is None:
            return
        self._told()
        ticket.status = "running"
        lane.runner = ticket
        if not lane.ordered:
            lane.follow_runner()
        elif lane.head is not ticket:
            self._expect_head(lane, now)
            self._schedule(lane)

    def confirm(self, workflow_id: str) -> None:
        """Take the event of a finish that a poll may have been ahead of."""
        account = self._trust and self._trust.confirm(workflow_id)
        lane = self._lanes.get(account)
        if lane is not None:
            lane.wary = False

    def expedite(self, ticket: PendingWorkflow) -> None:
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

    def counts_by_state(self) -> dict[LaneState, int]:
        """Return how many tickets wait in which state of their lane.

        Any thread may ask; the numbers are those of about now.
        """
        counts: dict[LaneState, int] = dict.fromkeys(get_args(LaneState), 0)
        for lane in list(self._lanes.values()):
            if lane.account in self._held:
                counts["paused"] += lane.size
            elif not lane.ordered:
                counts["unordered"] += lane.size
            else:
                counts["head"] += 1
                counts["tail"] += lane.size - 1
        return counts

    def take(self, now: float, limit: int) -> list[PendingWorkflow]:
        """Return at most *limit* tickets that are to be asked now."""
        taken: list[PendingWorkflow] = []
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

    def answered(
        self, ticket: PendingWorkflow, now: float, answer: Answer
    ) -> Ended | None:
        """Take the *answer* to a poll; return how the wait ended, if it did."""
        ticket.asking = False
        lane = ticket._lane
        if lane is None:
            return None
        paced = lane.asking is ticket
        if paced:
            lane.asking = None
        end: Ended | None = None
        if isinstance(answer, StillRunning):
            self._waiting(lane, ticket, now, answer, paced=paced)
        elif isinstance(answer, Ended):
            end = answer
            self._finished(lane, ticket, now)
        else:
            end = self._missed(lane, ticket, now, answer, paced=paced)
        if lane.size:
            self._schedule(lane)
        return end

    def _told(self) -> None:
        """Trust the events more, for they were first."""
        if self._trust is not None:
            self._trust.told()

    def _calm(self, lane: Lane) -> bool:
        """Return whether *lane* may rely on events."""
        return self._trust is not None and self._trust.earned and not lane.wary

    def _long_wait(self, trust: WebhookHealth) -> float:
        """Return how long a head is left alone whose end an event will tell."""
        polling = self._polling
        return polling.tail_wait(self._rng) * trust.stretch(polling.queued_interval)

    def _tail_wait(self, lane: Lane) -> float:
        if self._trust is not None and self._calm(lane):
            return self._long_wait(self._trust) * STRETCH
        return self._polling.tail_wait(self._rng)

    def _expect_head(self, lane: Lane, now: float) -> None:
        """Ask the head soon, unless the event that tells of it comes before."""
        lane.hinted = True
        lane.head_due = min(lane.head_due, now + self._polling.wait(2, self._rng))

    def _judge(
        self, lane: Lane, ticket: PendingWorkflow, now: float, *, told: bool
    ) -> None:
        """Draw from a finish what it says about the events."""
        trust = self._trust
        if trust is None:
            return
        if told:
            trust.told()
            if lane.head is ticket and lane.promoted_at > -math.inf:
                trust.took(now - lane.promoted_at)
        elif not lane.hinted:
            trust.doubt(ticket.id, lane.account, now)
        lane.wary = not told and not lane.hinted
        lane.hinted = False
        if trust.settle(now):
            self._wake_up(now)

    def _wake_up(self, now: float) -> None:
        """Ask for all lanes at full cadence again, spread by chance."""
        for lane in self._lanes.values():
            due = now + self._rng.random() * self._polling.max_interval
            lane.head_due = min(lane.head_due, due)
            if lane.ordered and lane.size > 1:
                due = now + self._polling.tail_wait(self._rng)
                lane.tail_due = min(lane.tail_due, due)
            self._schedule(lane)

    def _promote(self, lane: Lane, now: float) -> None:
        """Turn to the new head: ask it at once, unless events will tell."""
        lane.promote(now)
        if self._calm(lane):
            self._start_head(lane, now)

    def _leave(self, lane: Lane, ticket: PendingWorkflow) -> bool:
        """Take *ticket* out of *lane*; return whether the lane is empty now."""
        lane.leave(ticket)
        self._size -= 1
        if lane.size == 0:
            lane._unlink()
            del self._lanes[lane.account]
        return lane.size == 0

    def _schedule(self, lane: Lane) -> None:
        """See to it that the heap looks at *lane* when it is due.

        A heap entry that is too early stays: it is corrected when it comes up.
        """
        if lane.asking is None:
            due = min(lane.head_due, lane.tail_due)
            if due < lane.wake:
                lane.wake = due
                self._pushes += 1
                heappush(self._heap, (due, self._pushes, lane))

    def _pop(self, now: float) -> Lane | None:
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

    def _choose(self, lane: Lane, now: float) -> PendingWorkflow | None:
        """Return whom to ask in a *lane* that is due; set the timer that fired.

        The timer of a head waits for the answer, unless somebody expedited it.
        """
        head = lane.head
        if lane.ordered and lane.tail_due < lane.head_due:
            lane.tail_due = now + self._tail_wait(lane)
            return lane.longest_unasked(head)
        if lane.ordered or lane.head_turn or lane.size == 1:
            lane.head_turn = False
            chosen: PendingWorkflow | None = head
        else:
            # A likely head gets every second poll, and no turn of the others.
            likely = lane.streak > 0 or (self._running_tells and lane.runner is head)
            lane.head_turn = likely and self._alternates and not lane.rest
            chosen = lane.longest_unasked(head if lane.head_turn else None)
        if chosen is None or chosen.asking:
            lane.head_due = now + self._polling.wait(max(lane.step, 2), self._rng)
        return chosen

    def _start_head(self, lane: Lane, now: float) -> None:
        """Begin the cadence of a head that starts to run about *now*."""
        if self._trust is not None and self._calm(lane):
            wait = self._long_wait(self._trust)
        else:
            wait = self._polling.wait(1, self._rng)
        lane.head_due = now + wait
        lane.step = 2

    def _pace(self, lane: Lane, now: float) -> None:
        """Set the timer of the head, or of the whole of an unordered *lane*.

        A poll that was expedited never brings the next one forward.
        """
        polling, rng = self._polling, self._rng
        if self._held and lane.account in self._held:
            wait = polling.tail_wait(rng)
        elif self._trust is not None and self._calm(lane):
            wait = self._long_wait(self._trust)
        elif lane.rest:
            wait = polling.slow_wait(lane.rest, rng)
        elif lane.step == 0:
            # It was asked on promotion already, which is worth a longer first wait.
            first = polling.wait(1, rng) * polling.growth
            wait = min(max(first, polling.wait(2, rng)), polling.queued_interval)
            lane.step = 2
        else:
            wait = polling.wait(lane.step, rng)
            if lane.ordered or lane.unasked is None:
                lane.step += 1
        lane.head_due = max(lane.head_due, now + wait)

    def _rest(self, lane: Lane, now: float, answer: StillRunning) -> None:
        """Slow down a *lane* that is outside working hours, wake up any other."""
        if answer.status == "pending" and answer.reason == OFF_HOURS:
            lane.rest += 1
        elif lane.rest:
            lane.rest = 0
            lane.step = 2
            lane.head_due = now

    def _waiting(
        self,
        lane: Lane,
        ticket: PendingWorkflow,
        now: float,
        answer: StillRunning,
        *,
        paced: bool,
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

    def _doubt_head(self, lane: Lane, now: float) -> None:
        """Ask the head at once if another ticket is running.

        The head may just have finished: it is the one to say whether the order holds.
        """
        if self._running_tells and lane.runner not in (None, lane.head):
            lane.head_due = min(lane.head_due, now)

    def _contradicted(self, lane: Lane) -> bool:
        """Return whether the head waits though one behind it runs or has finished."""
        return lane.overtaken is not None or (
            self._running_tells and lane.runner not in (None, lane.head)
        )

    def _surprise(self, lane: Lane, now: float) -> None:
        """Give up the belief in the order of *lane*."""
        self.surprises += 1
        if self._on_surprise is not None:
            self._on_surprise(lane.account)
        lane.lose_order(now + self._polling.wait(2, self._rng))
        if self._running_tells:
            lane.follow_runner()

    def _finished(
        self, lane: Lane, ticket: PendingWorkflow, now: float, *, told: bool = False
    ) -> None:
        """Let *ticket* go and turn to the next."""
        in_turn = lane.head is ticket
        since = ticket.unfinished_at
        if in_turn and lane.ordered:
            since = max(since, lane.promoted_at)
        if since > -math.inf and not told:
            ticket.late = now - since
            self.lateness.append(ticket.late)
        self._judge(lane, ticket, now, told=told)
        moved = lane.moved is ticket
        if self._leave(lane, ticket):
            return
        lane.refused = None
        lane.rest = 0
        if not lane.ordered:
            self._finished_unordered(lane, now, in_turn=in_turn, moved=moved)
        elif in_turn:
            self._promote(lane, now)
        else:
            lane.overtaken = max(ticket._place, lane.overtaken or 0)
            if told:
                self._expect_head(lane, now)
            else:
                lane.head_due = now

    def _finished_unordered(
        self, lane: Lane, now: float, *, in_turn: bool, moved: bool
    ) -> None:
        """Count the finishes in order; ask the next ticket at once."""
        if not in_turn:
            lane.streak = 0
        elif not moved:
            lane.streak += 1
        lane.step = 2
        if self._trust is not None and self._calm(lane):
            lane.head_due = now + self._long_wait(self._trust)
        else:
            lane.head_due = now
        lane.head_turn = True
        if lane.streak >= RECOVERY:
            lane.ordered = True
            self._promote(lane, now)
            if lane.size > 1:
                lane.tail_due = now + self._tail_wait(lane)

    def _missed(
        self,
        lane: Lane,
        ticket: PendingWorkflow,
        now: float,
        answer: PollFailed,
        *,
        paced: bool,
    ) -> Ended | None:
        """Go on waiting for *ticket*, unless a definite error was repeated enough.

        A refused token concerns the whole account, an unknown id one ticket.
        """
        strikes: RepeatedError | None = None
        if answer.kind == "refused":
            strikes = lane.refused = strike(lane.refused, now)
        elif answer.kind == "unknown":
            strikes = ticket._unknown = strike(ticket._unknown, now)
        if strikes and strikes.enough(now):
            self._give_up(lane, ticket, now, paced=paced)
            return Ended(answer.error)
        if lane.head is ticket if lane.ordered else paced:
            self._pace(lane, now)
        return None

    def _give_up(
        self, lane: Lane, ticket: PendingWorkflow, now: float, *, paced: bool
    ) -> None:
        """Let *ticket* go, which says nothing about the order of the lane."""
        was_head = lane.head is ticket
        if self._leave(lane, ticket):
            return
        if lane.ordered and was_head:
            lane.promote(now)
        elif paced and not lane.ordered:
            self._pace(lane, now)
