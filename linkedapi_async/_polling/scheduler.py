"""Which workflow to poll next, and when: pure, without a socket or a clock.

One lane per account. The order of a lane is only an estimate: with any true order,
every workflow of a lane is polled again within `queued_interval` seconds times the
number of workflows that wait in it. Times are monotonic seconds.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast, get_args

from linkedapi_async._polling.answers import Ended, PollAnswer, PollFailed, StillRunning
from linkedapi_async._polling.arrival import TimeLeft, last_end, shared, time_left
from linkedapi_async._polling.durations import DurationLearner, Estimate
from linkedapi_async._polling.lane import NEVER, Lane, PendingWorkflow
from linkedapi_async._polling.webhook_health import STRETCH, WebhookHealth


if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Container, Hashable

    from linkedapi_async.policies import Polling


LaneState: TypeAlias = Literal["head", "tail", "unordered", "paused"]
"""The state of a pending workflow: next in order, behind the next one, in a lane of
unknown order, or of an account that cannot work."""

OFF_HOURS: Final = "outsideWorkingHours"
"""The pending reason for which a lane is polled less often."""

MAX_DELAYS: Final = 4096
"""How many detection delays are kept, the latest ones."""

RECOVERY: Final = 3
"""How many ends in order make a lane ordered again."""


class PollScheduler:
    """All lanes of a session, in one heap.

    Take workflows with `take`, poll them, and pass each answer to `answered`. A lane
    has at most one poll in flight, apart from those that `expedite` caused.
    """

    def __init__(
        self,
        polling: Polling,
        rng: random.Random,
        on_reorder: Callable[[Hashable], None] | None = None,
    ) -> None:
        self._polling = polling
        self._on_reorder = on_reorder
        self._rng = rng
        self._lanes: dict[Hashable, Lane] = {}
        self._heap: list[tuple[float, int, Lane]] = []
        self._pushes = 0
        self._urgent: deque[PendingWorkflow] = deque()
        self._size = 0
        self._held: set[Hashable] = set()
        # An API that never says "pending" calls all of a queue "running".
        self._running_is_exact = False
        # The head may get every second poll only if the others are still polled in
        # time.
        self._alternates = (
            2 * polling.max_interval * (1 + polling.jitter) <= polling.queued_interval
        )
        self._webhook_health: WebhookHealth | None = None
        self.durations: DurationLearner = DurationLearner(polling.late_cost)
        """How long workflows took."""
        self.out_of_order = 0
        """How often a workflow of an ordered lane ran or ended out of order."""
        self.detection_delays: deque[float] = deque(maxlen=MAX_DELAYS)
        """Upper bounds, in seconds, of how late the last ends were noticed."""

    def __len__(self) -> int:
        """Return how many workflows wait."""
        return self._size

    def add(
        self,
        workflow: PendingWorkflow,
        now: float,
        *,
        ordered: bool = True,
        fresh: bool = True,
    ) -> None:
        """Wait for *workflow*.

        Args:
            workflow: A workflow that was never added before.
            now: The time.
            ordered: Whether the server accepted it after all others of its account that
                were added. If not, its lane is unordered from now on.
            fresh: Whether it was accepted now. If not, it may have ended long ago.
        """
        lane = self._lanes.get(workflow.account)
        if lane is None:
            lane = self._lanes[workflow.account] = Lane(workflow.account, ordered)
        lane.enter(workflow, ordered=ordered)
        if ordered and fresh:
            workflow.unfinished_at = now
        self._size += 1
        if not ordered:
            lane.lose_order(now)
        elif lane.ordered and lane.size == 1 and fresh:
            self._start_head(lane, now, now)
        elif lane.ordered and lane.size == 1:
            lane.promote(now)
        elif lane.ordered and lane.size == 2:  # noqa: PLR2004  # the tail begins
            lane.tail_poll_at = now + self._tail_wait(lane)
        self._schedule(lane)

    def remove(self, workflow: PendingWorkflow, now: float) -> None:
        """Wait no longer for *workflow*, which may have left already."""
        lane = workflow.lane
        if lane is None:
            return
        was_head, was_in_flight = lane.head is workflow, lane.in_flight is workflow
        if was_head:
            self._learn_unfinished(lane)
        if self._leave(lane, workflow):
            return
        if lane.ordered and was_head:
            lane.promote(now)
            self._start_head(lane, now, now)
        elif was_in_flight and not lane.ordered:
            self._pace(lane, now)
        self._schedule(lane)

    def hold(self, account: Hashable, now: float) -> None:
        """Poll an account that cannot work no more often than a tail."""
        self._held.add(account)
        lane = self._lanes.get(account)
        if lane is not None:
            lane.head_poll_at = max(
                lane.head_poll_at, now + self._polling.tail_wait(self._rng)
            )

    def release(self, account: Hashable, now: float) -> None:
        """Poll an account at full cadence again."""
        self._held.discard(account)
        lane = self._lanes.get(account)
        if lane is not None:
            lane.poll_number = 2
            # Without the initial delay, because the head did not just start.
            poll_at = now + self._polling.wait(2, self._rng)
            lane.head_poll_at = min(lane.head_poll_at, poll_at)
            self._schedule(lane)

    def listen(self) -> None:
        """Expect webhook events; nothing changes until they prove healthy."""
        self._webhook_health = self._webhook_health or WebhookHealth()

    def stop_listening(self, now: float) -> None:
        """Expect no more events."""
        if self._webhook_health is not None and self._webhook_health.earned:
            self._resume_polling(now)
        self._webhook_health = None

    def event_finished(self, workflow: PendingWorkflow, now: float) -> None:
        """Remove *workflow*, because an event reported how it ended."""
        lane = workflow.lane
        if lane is not None:
            self._finished(lane, workflow, now, by_event=True)
            if lane.size:
                self._schedule(lane)

    def expect_end(self, workflow: PendingWorkflow) -> None:
        """Poll *workflow* at once: an event reported that it ended, but not how."""
        lane = workflow.lane
        if lane is not None:
            self._event_first()
            # If the poll fails, the lane is polled at the usual intervals.
            lane.expects_end = lane.distrusts_events = True
            self.expedite(workflow)

    def event_started(self, workflow: PendingWorkflow, now: float) -> None:
        """Process an event that *workflow* runs, so the one before it has ended."""
        lane = workflow.lane
        if lane is None:
            return
        self._event_first()
        workflow.status, workflow.reason, workflow.message = "running", None, None
        workflow.seen_pending = False
        lane.running = workflow
        if not lane.ordered:
            lane.follow_runner()
        elif lane.head is not workflow:
            self._expect_head(lane, now)
            self._schedule(lane)

    def event_confirmed(self, workflow_id: str) -> None:
        """Process an event of an end that a poll may have noticed first."""
        account = self._webhook_health and self._webhook_health.confirm(workflow_id)
        lane = self._lanes.get(account)
        if lane is not None:
            lane.distrusts_events = False

    def expedite(self, workflow: PendingWorkflow) -> None:
        """Poll *workflow* as soon as possible, unless a poll of it is in flight."""
        if workflow.lane is not None and not workflow.in_flight and not workflow.urgent:
            workflow.urgent = True
            self._urgent.append(workflow)

    @property
    def urgent(self) -> bool:
        """Whether `take` may return a workflow before its time, because of `expedite`."""
        return bool(self._urgent)

    def next_poll_at(self) -> float:
        """Return when to call `take` next, `math.inf` if there is nothing to poll."""
        return self._heap[0][0] if self._heap else math.inf

    def counts_by_state(self) -> dict[LaneState, int]:
        """Return the number of waiting workflows, by the state in their lane.

        Callable from any thread; the numbers are approximately those of now.
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

    def eta(self, workflow: PendingWorkflow, now: float) -> Estimate | None:
        """Return in how many seconds *workflow* will have ended, if that is known."""
        lane = workflow.lane
        left = None if lane is None else self._time_left(lane, now, workflow)
        return None if left is None else last_end([left])

    def eta_of_all(
        self, now: float, kind: Hashable, times: int, idle: int
    ) -> Estimate | None:
        """Return in how many seconds all that waits will have ended, if that is known.

        Args:
            now: The time.
            kind: The kind of further workflows that are to be started.
            times: How many of them, which the accounts share evenly.
            idle: How many accounts have no lane.
        """
        found = [self._time_left(lane, now) for lane in self._lanes.values()]
        lanes = [left for left in found if left is not None]
        if len(lanes) < len(found):
            return None
        if not times:
            return last_end(lanes)
        more = self.durations.duration(kind)
        return None if more is None else last_end(shared(lanes, idle, more, times))

    def _time_left(
        self, lane: Lane, now: float, last: PendingWorkflow | None = None
    ) -> TimeLeft | None:
        """Return the time until *last* has ended, or all of *lane*, if it is known.

        It is unknown if the order is unknown, and while the account cannot work or a
        workflow of another program runs.
        """
        head = lane.head
        if (
            not lane.ordered
            or lane.head_waits
            or lane.account in self._held
            or lane.promoted_since == -math.inf
        ):
            return None
        behind: Counter[Hashable] = Counter()
        workflow = head
        while workflow is not last and workflow.behind is not lane:
            workflow = workflow.behind
            behind[workflow.kind] += 1
        elapsed = max(0.0, now - lane.head_started_at)
        return time_left(self.durations, head.kind, elapsed, behind)

    def take(self, now: float, limit: int) -> list[PendingWorkflow]:
        """Return at most *limit* workflows to poll now."""
        taken: list[PendingWorkflow] = []
        while self._urgent and len(taken) < limit:
            workflow = self._urgent.popleft()
            # Since it was expedited, it may have ended, or have been polled at its own
            # time.
            if workflow.urgent and workflow.lane is not None:
                workflow.lane.begin_poll(workflow)
                taken.append(workflow)
        while len(taken) < limit and (lane := self._pop(now)):
            chosen = self._choose(lane, now)
            if chosen is None or chosen.in_flight:
                self._schedule(lane)
            else:
                lane.in_flight = chosen
                lane.begin_poll(chosen)
                taken.append(chosen)
        return taken

    def first_urgent(self, among: Container[PendingWorkflow]) -> PendingWorkflow | None:
        """Return the first expedited workflow that is in *among*."""
        for workflow in self._urgent:
            if workflow.lane is not None and workflow in among:
                return workflow
        return None

    def take_urgent(self, workflow: PendingWorkflow) -> None:
        """Take the expedited *workflow* to poll it now, ahead of all others."""
        self._urgent.remove(workflow)
        cast("Lane", workflow.lane).begin_poll(workflow)

    def off_hours_seconds(self, workflow: PendingWorkflow, now: float) -> float:
        """Return how long the lane of *workflow* was outside working hours."""
        return 0.0 if workflow.lane is None else workflow.lane.off_hours_seconds(now)

    def defer(self, now: float, until: float) -> None:
        """Move all polls planned by *now* behind *until*, spread at random."""
        while lane := self._pop(now):
            spread = self._polling.wait(max(lane.poll_number, 2), self._rng)
            # Spread at random, because otherwise all lanes would poll at the end of the
            # pause.
            poll_at = until + self._rng.random() * spread
            lane.head_poll_at = max(lane.head_poll_at, poll_at)
            lane.tail_poll_at = max(lane.tail_poll_at, poll_at)
            self._schedule(lane)

    def answered(
        self, workflow: PendingWorkflow, now: float, answer: PollAnswer
    ) -> Ended | None:
        """Take the *answer* to a poll; return how the wait ended, if it did."""
        lane = workflow.lane
        if lane is None:
            workflow.in_flight = False
            return None
        paced = lane.in_flight is workflow
        end: Ended | None = None
        if isinstance(answer, StillRunning):
            self._still_running(lane, workflow, now, answer, paced=paced)
        elif isinstance(answer, Ended):
            end = answer
            self._finished(lane, workflow, now)
        else:
            end = self._poll_failed(lane, workflow, now, answer, paced=paced)
        # Only now, because if an answer raises, the caller passes a failed poll
        # instead.
        workflow.in_flight = False
        if paced:
            lane.in_flight = None
        if lane.size:
            self._schedule(lane)
        return end

    def _event_first(self) -> None:
        """Trust the events more, because one came before a poll."""
        if self._webhook_health is not None:
            self._webhook_health.event_first()

    def _calm(self, lane: Lane) -> bool:
        """Return whether *lane* may rely on events."""
        health = self._webhook_health
        return health is not None and health.earned and not lane.distrusts_events

    def _long_wait(self, health: WebhookHealth) -> float:
        """Return the wait for a head whose end an event will report."""
        polling = self._polling
        stretch = health.poll_stretch(polling.queued_interval)
        return polling.tail_wait(self._rng) * stretch

    def _tail_wait(self, lane: Lane) -> float:
        """Return the time in seconds before the next poll of the tail of *lane*."""
        if self._webhook_health is not None and self._calm(lane):
            return self._long_wait(self._webhook_health) * STRETCH
        return self._polling.tail_wait(self._rng)

    def _expect_head(self, lane: Lane, now: float) -> None:
        """Poll the head soon, unless the event of its end comes before."""
        lane.expects_end = True
        poll_at = now + self._polling.wait(2, self._rng)
        lane.head_poll_at = min(lane.head_poll_at, poll_at)

    def _judge_events(
        self, lane: Lane, workflow: PendingWorkflow, now: float, *, by_event: bool
    ) -> None:
        """Update the trust in events from the end of *workflow*."""
        health = self._webhook_health
        if health is None:
            return
        if by_event:
            health.event_first()
            if lane.head is workflow and lane.promoted_at > -math.inf:
                health.observe_duration(max(0.0, now - lane.promoted_at))
        elif not lane.expects_end:
            health.poll_first(workflow.id, lane.account, now)
        lane.distrusts_events = not by_event and not lane.expects_end
        lane.expects_end = False
        if health.settle(now):
            self._resume_polling(now)

    def _resume_polling(self, now: float) -> None:
        """Poll all lanes at the usual intervals again, spread at random."""
        for lane in self._lanes.values():
            poll_at = now + self._rng.random() * self._polling.max_interval
            lane.head_poll_at = min(lane.head_poll_at, poll_at)
            if lane.ordered and lane.size > 1:
                poll_at = now + self._polling.tail_wait(self._rng)
                lane.tail_poll_at = min(lane.tail_poll_at, poll_at)
            self._schedule(lane)

    def _promote(self, lane: Lane, now: float, since: float = -math.inf) -> None:
        """Turn to the new head, which started between *since* and *now*.

        It is polled at once, because it may have ended too. Exceptions: events can be
        relied on, or it certainly started too short a time ago for its kind.
        """
        lane.promote(now, since)
        first = self.durations.first_poll(lane.head.kind)
        if self._calm(lane) or (first is not None and now - since < first):
            self._start_head(lane, now, since)

    def _learn(self, lane: Lane, shortest: float, longest: float) -> None:
        """Learn from the end of the head, which ran for that many seconds."""
        kind = lane.head.kind
        if kind is not None and longest < math.inf:
            self.durations.observe(kind, max(0.0, shortest), max(0.0, longest))

    def _learn_unfinished(self, lane: Lane) -> None:
        """Learn from a head whose end will not be noticed."""
        workflow = lane.head
        if workflow.kind is not None and lane.ordered:
            seconds = workflow.unfinished_at - lane.promoted_at
            self.durations.observe_unfinished(workflow.kind, seconds)

    def _head_wait(self, lane: Lane, now: float, number: int) -> float:
        """Return the wait before the poll of that *number* of the head of *lane*."""
        polling, kind = self._polling, lane.head.kind
        if kind is not None and lane.ordered:
            wait = self.durations.wait(kind, now - lane.head_started_at)
            if wait is not None:
                return polling.bounded_wait(wait, self._rng)
        return polling.wait(number, self._rng)

    def _leave(self, lane: Lane, workflow: PendingWorkflow) -> bool:
        """Take *workflow* out of *lane*; return whether the lane is empty now."""
        lane.leave(workflow)
        self._size -= 1
        if lane.size == 0:
            lane.unlink()
            del self._lanes[lane.account]
        return lane.size == 0

    def _schedule(self, lane: Lane) -> None:
        """Put *lane* into the heap for its next poll.

        An entry that is too early is kept: it is corrected at its time.
        """
        if lane.in_flight is None:
            poll_at = min(lane.head_poll_at, lane.tail_poll_at)
            if poll_at < lane.wake_at:
                lane.wake_at = poll_at
                self._pushes += 1
                heappush(self._heap, (poll_at, self._pushes, lane))

    def _pop(self, now: float) -> Lane | None:
        """Return the next lane whose time has come and that has no poll in flight."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            wake_at, _, lane = heappop(heap)
            # The lane got an earlier entry after this one, which stays in the heap.
            if wake_at != lane.wake_at:
                continue
            lane.wake_at = math.inf
            if lane.size and lane.in_flight is None:
                if min(lane.head_poll_at, lane.tail_poll_at) <= now:
                    return lane
                self._schedule(lane)
        return None

    def _choose(self, lane: Lane, now: float) -> PendingWorkflow | None:
        """Return which workflow of *lane* to poll; reset the timer that fired.

        The answer sets the timer of a head, unless its poll is in flight already.
        """
        head = lane.head
        if lane.ordered and lane.tail_poll_at < lane.head_poll_at:
            lane.tail_poll_at = now + self._tail_wait(lane)
            return lane.longest_unpolled(head)
        if lane.ordered or lane.head_turn or lane.size == 1:
            lane.head_turn = False
            chosen: PendingWorkflow | None = head
        else:
            # A likely head gets every second poll, in addition to those of the others.
            likely = lane.streak > 0 or (
                self._running_is_exact and lane.running is head
            )
            lane.head_turn = likely and self._alternates and not lane.off_hours
            chosen = lane.longest_unpolled(head if lane.head_turn else None)
        if chosen is None or chosen.in_flight:
            wait = self._polling.wait(max(lane.poll_number, 2), self._rng)
            lane.head_poll_at = now + wait
        return chosen

    def _start_head(self, lane: Lane, now: float, since: float) -> None:
        """Start the intervals of a head that started between *since* and *now*."""
        lane.begin_head(now, since)
        if self._webhook_health is not None and self._calm(lane):
            wait = self._long_wait(self._webhook_health)
        else:
            wait = self._head_wait(lane, now, 1)
        lane.head_poll_at = now + wait
        lane.poll_number = 2

    def _pace(self, lane: Lane, now: float, *, failed: bool = False) -> None:
        """Set the timer of the head, or of the whole of an unordered *lane*.

        An expedited poll never makes the next one earlier.
        """
        polling, rng = self._polling, self._rng
        if self._held and lane.account in self._held:
            wait = polling.tail_wait(rng)
        elif self._webhook_health is not None and self._calm(lane):
            wait = self._long_wait(self._webhook_health)
        elif lane.off_hours:
            wait = polling.slow_wait(lane.off_hours, rng)
        elif lane.poll_number == 0:
            # It was polled already when it became the head, so the first wait is
            # longer.
            first = self._head_wait(lane, now, 1) * polling.growth
            wait = min(max(first, polling.wait(2, rng)), polling.queued_interval)
            lane.poll_number = 2
        elif not lane.ordered and lane.size > 1 and not failed:
            wait = self._unordered_wait(lane)
        else:
            wait = self._head_wait(lane, now, lane.poll_number)
            if failed:
                wait = max(wait, polling.wait(lane.poll_number, rng))
            if lane.ordered or lane.last_unpolled is None:
                lane.poll_number += 1
        lane.head_poll_at = max(lane.head_poll_at, now + wait)

    def _unordered_wait(self, lane: Lane) -> float:
        """Return the wait between two polls of a lane of unknown order.

        If any workflow may be the next to end, the mean delay for a number of polls is
        smallest with a rate that falls with the square root of the number of workflows.
        """
        polling = self._polling
        wait = polling.interval * math.sqrt(lane.peak / lane.size)
        return polling.bounded_wait(min(wait, polling.max_interval), self._rng)

    def _note_off_hours(self, lane: Lane, now: float, answer: StillRunning) -> None:
        """Slow down a *lane* outside working hours, speed up any other."""
        if answer.status == "pending" and answer.reason == OFF_HOURS:
            lane.note_off_hours(now)
        elif lane.off_hours:
            lane.end_off_hours(now)
            lane.poll_number = 2
            lane.head_poll_at = now
            lane.begin_head(now, now)

    def _still_running(
        self,
        lane: Lane,
        workflow: PendingWorkflow,
        now: float,
        answer: StillRunning,
        *,
        paced: bool,
    ) -> None:
        """Continue to wait for *workflow*."""
        workflow.status, workflow.reason = answer.status, answer.reason
        workflow.message = answer.message
        workflow.seen_pending = answer.status == "pending"
        workflow.unfinished_at = now
        workflow.unknown = lane.refused = NEVER
        if answer.status == "running":
            lane.running = workflow
        elif lane.running is workflow:
            lane.running = None
        self._running_is_exact = self._running_is_exact or answer.status == "pending"
        if not lane.ordered:
            if self._running_is_exact:
                lane.follow_runner()
            if paced:
                self._note_off_hours(lane, now, answer)
                self._pace(lane, now)
        elif workflow is not lane.head:
            self._check_head(lane, now)
        elif self._contradicted(lane):
            self._reorder(lane, now)
        else:
            if answer.status == "pending":
                lane.begin_head(now, now)  # it has not started yet
                lane.head_waits = True
            self._note_off_hours(lane, now, answer)
            self._pace(lane, now)

    def _check_head(self, lane: Lane, now: float) -> None:
        """Poll the head at once if another workflow is running.

        The head may just have ended: its answer decides whether the order holds.
        """
        if self._running_is_exact and lane.running not in (None, lane.head):
            lane.head_poll_at = min(lane.head_poll_at, now)

    def _contradicted(self, lane: Lane) -> bool:
        """Return whether the head waits though one behind it runs or has ended."""
        return lane.passed_by is not None or (
            self._running_is_exact and lane.running not in (None, lane.head)
        )

    def _reorder(self, lane: Lane, now: float) -> None:
        """Stop assuming an order of *lane*."""
        self.out_of_order += 1
        if self._on_reorder is not None:
            self._on_reorder(lane.account)
        lane.lose_order(now + self._polling.wait(2, self._rng))
        if self._running_is_exact:
            lane.follow_runner()

    def _finished(
        self,
        lane: Lane,
        workflow: PendingWorkflow,
        now: float,
        *,
        by_event: bool = False,
    ) -> None:
        """Remove *workflow*, and continue with the next."""
        in_order = lane.head is workflow
        since = workflow.unfinished_at
        if in_order and lane.ordered:
            since = max(since, lane.promoted_since)
        if since > -math.inf and not by_event:
            # A clock that was set back must not make the delay negative.
            workflow.detection_delay = max(0.0, now - since)
            self.detection_delays.append(workflow.detection_delay)
        self._judge_events(lane, workflow, now, by_event=by_event)
        if in_order and lane.ordered:
            # An event comes at the end of a workflow, a poll at any time after it.
            shortest = now if by_event else workflow.unfinished_at
            longest = now - lane.promoted_since
            self._learn(lane, shortest - lane.promoted_at, longest)
        promoted = lane.promoted_runner is workflow
        if self._leave(lane, workflow):
            return
        lane.refused = NEVER
        lane.end_off_hours(now)
        if not lane.ordered:
            self._finished_unordered(lane, now, in_order=in_order, promoted=promoted)
        elif in_order:
            self._promote(lane, now, now if by_event else since)
        else:
            lane.passed_by = max(workflow.position, lane.passed_by or 0)
            if by_event:
                self._expect_head(lane, now)
            else:
                lane.head_poll_at = now

    def _finished_unordered(
        self, lane: Lane, now: float, *, in_order: bool, promoted: bool
    ) -> None:
        """Count the ends in order; poll the next workflow, at once if that may help."""
        if not in_order:
            lane.streak = 0
        # A workflow that became the head because it runs shows nothing about the order.
        elif not promoted:
            lane.streak += 1
        lane.poll_number = 2
        if self._webhook_health is not None and self._calm(lane):
            lane.head_poll_at = now + self._long_wait(self._webhook_health)
        elif in_order or lane.last_unpolled is not None or lane.size == 1:
            lane.head_poll_at = now
            lane.head_turn = True
        else:
            lane.head_poll_at = now + self._unordered_wait(lane)
        if lane.streak >= RECOVERY:
            lane.ordered = True
            self._promote(lane, now)
            if lane.size > 1:
                lane.tail_poll_at = now + self._tail_wait(lane)

    def _poll_failed(
        self,
        lane: Lane,
        workflow: PendingWorkflow,
        now: float,
        answer: PollFailed,
        *,
        paced: bool,
    ) -> Ended | None:
        """Continue to wait for *workflow*, unless a final error was repeated enough.

        A refused token concerns the whole account, an unknown id one workflow.
        """
        repeated = NEVER
        if answer.kind == "refused":
            repeated = lane.refused = lane.refused.again(now)
        elif answer.kind == "unknown":
            repeated = workflow.unknown = workflow.unknown.again(now)
        if repeated.enough(now):
            self._give_up(lane, workflow, now, paced=paced)
            return Ended(answer.error)
        if lane.head is workflow if lane.ordered else paced:
            self._pace(lane, now, failed=True)
        return None

    def _give_up(
        self, lane: Lane, workflow: PendingWorkflow, now: float, *, paced: bool
    ) -> None:
        """Remove *workflow*; this shows nothing about the order of the lane."""
        was_head = lane.head is workflow
        if self._leave(lane, workflow):
            return
        if lane.ordered and was_head:
            lane.promote(now)
        elif paced and not lane.ordered:
            self._pace(lane, now)
