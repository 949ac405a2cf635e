"""Drives the lanes: one task sleeps until the next poll, and a few others send polls.

No task group and no cancel scope stays open across user code. Waiters own nothing of
the engine: each may be cancelled at any time without harm to another.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import random
from collections import deque
from typing import TYPE_CHECKING, Final, TypeAlias

from linkedapi_async._polling.answers import Answer, Ended, PollFailed
from linkedapi_async._polling.lane import PendingWorkflow
from linkedapi_async._polling.scheduler import LaneState, PollScheduler
from linkedapi_async._polling.throttle import Throttle
from linkedapi_async._utils.log import log_extra


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Hashable, Sequence

    from linkedapi_async.policies import Polling


MAX_PAUSE: Final = 3600.0
"""Longer pauses of the host, in seconds, are ignored."""

OUTAGE_THRESHOLD: Final = 3
"""How many failed polls in a row make an outage."""

WARNING_INTERVAL: Final = 60.0
"""Minimum time in seconds between two warnings about the host."""

_log = logging.getLogger("linkedapi_async")

_Waiters: TypeAlias = dict[PendingWorkflow, set[asyncio.Future[None]]]


def _release(future: asyncio.Future[None] | None) -> None:
    """Wake the task that waits for *future*."""
    if future is not None and not future.done():
        future.set_result(None)


class Poller:
    """Polls all workflows of a session, and wakes the tasks that wait for them.

    Args:
        poll: Sends one poll. It raises nothing but `asyncio.CancelledError`; anything
            else is a crash of the engine, which reaches every waiter.
        polling: When to poll.
        in_flight: How many polls may be in flight at once.
        rate: Requests per second to the host, or `None` for any number.
        on_finish: Called with each workflow whose wait ended, before its waiters wake.
        on_reorder: Called soon after workflows of an account ran out of order.
        on_outage: Called when an outage begins, with its last error, and when it ends,
            with None; the other arguments are the number of polls that failed and the
            time in seconds since the first one.
        rng: The source of jitter.
    """

    def __init__(
        self,
        poll: Callable[[PendingWorkflow], Awaitable[Answer]],
        polling: Polling,
        *,
        in_flight: int = 50,
        rate: float | None = None,
        on_finish: Callable[[PendingWorkflow], None] | None = None,
        on_reorder: Callable[[Hashable], None] | None = None,
        on_outage: Callable[[Exception | None, int, float], None] | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._poll = poll
        self._polling = polling
        self._in_flight = in_flight
        self._on_finish = on_finish
        self._on_reorder = on_reorder
        self._on_outage = on_outage
        self._rng = rng or random.Random()  # noqa: S311  # jitter is no secret
        self._scheduler = PollScheduler(polling, self._rng, self._reordered)
        self._throttle = Throttle(rate)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._queue: deque[PendingWorkflow] = deque()
        self._idle: list[asyncio.Future[None]] = []
        self._busy = 0
        self._driver_sleep: asyncio.Future[None] | None = None
        self._timer: asyncio.Handle | None = None
        self._timer_at = math.inf
        self._waiters: _Waiters = {}
        self._one_shot_waiters: _Waiters = {}
        self._closing: Callable[[PendingWorkflow], BaseException] | None = None
        self._failures = 0
        self._outage_since = -math.inf
        self._warned_at = -math.inf
        self.crash: BaseException | None = None
        """What ended the engine, if it crashed."""
        self.stopped: asyncio.Future[None] | None = None
        """Done once the engine polls no more; None before it has started."""
        self.polls: int = 0
        """How many polls were answered, failed ones included."""

    @property
    def waiting(self) -> int:
        """How many workflows are being watched."""
        return len(self._scheduler)

    @property
    def out_of_order(self) -> int:
        """How often a workflow of an ordered lane ran or ended out of order."""
        return self._scheduler.out_of_order

    @property
    def detection_delays(self) -> Sequence[float]:
        """Upper bounds, in seconds, of how late the last ends were noticed."""
        return self._scheduler.detection_delays

    def counts_by_state(self) -> dict[LaneState, int]:
        """Return how many workflows wait in which state, from any thread."""
        return self._scheduler.counts_by_state()

    def start(self) -> None:
        """Begin to poll, bound to the running loop."""
        if self._loop is not None:
            raise RuntimeError("the polling engine was started before")
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self.stopped = self._loop.create_future()
        self._spawn(self._drive)

    def now(self) -> float:
        """Return the time of the loop, in seconds."""
        if self._loop is None:
            raise RuntimeError("the polling engine was not started")
        return self._loop.time()

    def watch(self, workflow: PendingWorkflow, *, ordered: bool = True) -> None:
        """Poll *workflow* from now on.

        Args:
            workflow: A workflow that was never watched before.
            ordered: Whether the server accepted it after all others of its account.
        """
        self._check(workflow)
        now = self.now()
        self._scheduler.add(workflow, now, ordered=ordered)
        poll_at = self._scheduler.next_poll_at()
        if poll_at is not None and poll_at <= now:
            self._feed()
        else:
            self._set_timer()

    def resolve(self, workflow: PendingWorkflow, end: Ended) -> bool:
        """End the wait for *workflow*; return whether it had not ended before."""
        if workflow.end is not None:
            return False
        self._scheduler.remove(workflow, self.now())
        self._conclude(workflow, end)
        self._set_timer()
        return True

    def listen(self) -> None:
        """Expect webhook events; nothing changes until they prove healthy."""
        self._scheduler.listen()

    def stop_listening(self) -> None:
        """Expect no more events."""
        self._scheduler.stop_listening(self.now())
        self._set_timer()

    def event_finished(self, workflow: PendingWorkflow, end: Ended | None) -> None:
        """Note an event that *workflow* has ended.

        Args:
            workflow: A workflow that is or was watched.
            end: How it ended; None if the event did not say, so that a poll must.
        """
        if workflow.end is None and end is not None:
            self._scheduler.event_finished(workflow, self.now())
            self._conclude(workflow, end)
            self._set_timer()
        elif workflow.end is None:
            self._scheduler.expect_end(workflow)
            self._feed()

    def event_confirmed(self, workflow_id: str) -> None:
        """Note the event of an end that a poll may have found first."""
        self._scheduler.event_confirmed(workflow_id)

    def event_started(self, workflow: PendingWorkflow) -> None:
        """Note an event that *workflow* runs."""
        self._scheduler.event_started(workflow, self.now())
        self._set_timer()

    def hold(self, account: Hashable) -> None:
        """Poll an account that cannot work no more often than a tail."""
        self._scheduler.hold(account, self.now())

    def release(self, account: Hashable) -> None:
        """Poll an account at full cadence again."""
        self._scheduler.release(account, self.now())
        self._set_timer()

    def pause(self, seconds: float | None) -> None:
        """Send nothing to the host for *seconds*; absurd values are ignored."""
        if seconds is not None and 0 < seconds <= MAX_PAUSE:
            now = self.now()
            self._throttle.pause(now + seconds)
            self._warn_rate_limited(now, "The host asks for a pause of %.0f s", seconds)

    async def admit(self) -> None:
        """Wait until the host may get one more request that is not a poll."""
        now = self.now()
        while (slot := self._throttle.next_slot()) > now:
            await asyncio.sleep(slot - now)
            now = self.now()
        self._throttle.consume(now, 1)

    async def wait(
        self, workflow: PendingWorkflow, timeout: float | None = None
    ) -> Ended:
        """Return how the wait for *workflow* ended.

        Args:
            workflow: A workflow that is or was watched.
            timeout: Time in seconds; 0 polls exactly once, `None` means the deadline of
                the policy, `math.inf` no limit.

        Raises:
            TimeoutError: The time is up; the workflow is still watched.
        """
        seconds = self._polling.deadline if timeout is None else timeout
        if workflow.end is None:
            if seconds <= 0:
                await self.poll_now(workflow)
            else:
                await self._wait_in(self._waiters, workflow, seconds)
        if workflow.end is None:
            raise TimeoutError
        return workflow.end

    async def poll_now(self, workflow: PendingWorkflow) -> None:
        """Poll *workflow* once, or join the poll of it that is in flight.

        Only a pause of the host, its rate and the polls in flight are respected.
        """
        if workflow.end is None:
            self._check(workflow)
            self._scheduler.expedite(workflow)
            self._feed()
            await self._wait_in(self._one_shot_waiters, workflow, math.inf)

    async def aclose(
        self, error_factory: Callable[[PendingWorkflow], BaseException]
    ) -> None:
        """Stop polling; every open wait raises what *error_factory* makes."""
        if self._closing is None:
            self._closing = error_factory
            self._stop()
        if self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def _stopped(self) -> bool:
        """Whether the engine polls no more."""
        return self._closing is not None or self.crash is not None

    def check_running(self) -> None:
        """Check that the engine has not crashed.

        Raises:
            RuntimeError: It has.
        """
        if self.crash is not None:
            raise RuntimeError("the polling engine crashed") from self.crash

    def _check(self, workflow: PendingWorkflow) -> None:
        """Raise if the engine cannot poll *workflow* any more."""
        self.check_running()
        if self._closing is not None:
            raise self._closing(workflow)

    async def _wait_in(
        self, waiters: _Waiters, workflow: PendingWorkflow, seconds: float
    ) -> None:
        """Wait at most *seconds* to be woken for *workflow*."""
        self._check(workflow)
        if not workflow.watched:
            raise RuntimeError(f"{workflow.id} is not watched")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        waiters.setdefault(workflow, set()).add(future)
        timer = None
        if seconds < math.inf:
            timer = loop.call_later(seconds, _release, future)
        try:
            await future
        finally:
            if timer is not None:
                timer.cancel()
            others = waiters.get(workflow, set())
            others.discard(future)
            if not others:
                waiters.pop(workflow, None)
        if workflow.end is None:
            self._check(workflow)

    def _wake(self, workflow: PendingWorkflow) -> None:
        """Wake all tasks that wait for *workflow*."""
        for waiters in (self._waiters, self._one_shot_waiters):
            for future in waiters.pop(workflow, ()):
                _release(future)

    def _spawn(self, body: Callable[[], Coroutine[None, None, None]]) -> None:
        """Run *body* as a task of the engine."""
        # Not in the context of a caller: it would outlive the call and own all polls.
        context = self._context.copy()
        task = asyncio.get_running_loop().create_task(body(), context=context)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        """Report the unexpected end of a *task* to every waiter."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if not self._stopped:
            self.crash = error or RuntimeError("a task of the engine was cancelled")
            reason = type(self.crash).__name__
            _log.error(
                "The polling engine crashed: %s", reason, extra=log_extra(reason=reason)
            )
            self._stop()

    def _stop(self) -> None:
        """Stop all tasks and wake all waiters."""
        _release(self.stopped)
        self._queue.clear()
        for task in self._tasks:
            task.cancel()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for workflow in {**self._waiters, **self._one_shot_waiters}:
            self._wake(workflow)

    async def _drive(self) -> None:
        """Feed the workers whenever the time of a poll has come."""
        loop = asyncio.get_running_loop()
        while True:
            self._driver_sleep = loop.create_future()
            self._feed()
            await self._driver_sleep

    def _feed(self, *, spare: int = 0) -> None:
        """Give all polls whose time has come to workers.

        Args:
            spare: How many of the workers that are not idle look at the queue next.
        """
        now = self.now()
        if self._stopped:
            return
        if now < self._throttle.until:
            self._scheduler.defer(now, self._throttle.until)
        else:
            limit = self._throttle.available(now, self._in_flight - self._busy)
            workflows = self._scheduler.take(now, limit)
            if workflows:
                self._throttle.consume(now, len(workflows))
                self._busy += len(workflows)
                self._queue.extend(workflows)
                for _ in workflows[spare:]:
                    self._wake_worker()
        self._set_timer()

    def _wake_worker(self) -> None:
        """Make one more worker look at the queue."""
        if self._idle:
            _release(self._idle.pop())
        else:
            # No more workers than polls in flight: one limit bounds both.
            self._spawn(self._work)

    def _next_timer(self) -> float | None:
        """Return when the driver must look at the lanes next."""
        slot = self._throttle.next_slot()
        poll_at = self._scheduler.next_poll_at()
        if poll_at is not None and poll_at < self._throttle.until:
            return poll_at  # deferred one lane after the other, not all in one turn
        if self._busy >= self._in_flight:
            return None
        if self._scheduler.urgent:
            return slot
        return poll_at if poll_at is None else max(poll_at, slot)

    def _set_timer(self) -> None:
        """Wake the driver in time; a timer that is too early stays."""
        when = None if self._stopped else self._next_timer()
        if when is None or self._loop is None:
            return
        if self._timer is not None:
            if self._timer_at <= when:
                return
            self._timer.cancel()
        # Kept here, because a handle of uvloop has no time if it runs at once.
        self._timer_at = when
        self._timer = self._loop.call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        """Wake the driver."""
        self._timer = None
        _release(self._driver_sleep)

    async def _work(self) -> None:
        """Poll the workflows in the queue, one after another."""
        while True:
            while self._queue:
                workflow = self._queue.popleft()
                answer = await self._poll(workflow)
                self._busy -= 1
                self._settle(workflow, answer)
            await self._sleep()

    def _sleep(self) -> asyncio.Future[None]:
        """Return what a worker without work waits for."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._stopped:
            future.cancel()  # the poll before swallowed the cancellation
        else:
            self._idle.append(future)
        return future

    def _settle(self, workflow: PendingWorkflow, answer: Answer) -> None:
        """Pass the *answer* to the scheduler, and wake the tasks that it concerns."""
        now = self.now()
        self.polls += 1
        workflow.polls += 1
        if isinstance(answer, PollFailed):
            self._note_failed(now, answer)
        elif self._failures:
            self._recover(now)
        end = self._scheduler.answered(workflow, now, answer)
        if end is not None:
            self._conclude(workflow, end)
        for future in self._one_shot_waiters.pop(workflow, ()):
            _release(future)
        self._feed(spare=1)

    def _conclude(self, workflow: PendingWorkflow, end: Ended) -> None:
        """Keep the *end* of the wait for *workflow* and report it."""
        workflow.end = end
        workflow.status = end.status or workflow.status
        try:
            if self._on_finish is not None:
                self._on_finish(workflow)
        finally:
            self._wake(workflow)

    def _note_failed(self, now: float, answer: PollFailed) -> None:
        """Count a failed poll; a definite answer shows that the host is there."""
        self.pause(answer.pause)
        if answer.kind == "failed":
            self._count_failure(now, answer.error)
        elif self._failures:
            self._recover(now)

    def _count_failure(self, now: float, error: Exception) -> None:
        """Count a failed poll, and report an outage once there are too many in a row."""
        if not self._failures:
            self._outage_since = now
        self._failures += 1
        if self._failures == OUTAGE_THRESHOLD and self._on_outage is not None:
            self._on_outage(error, self._failures, now - self._outage_since)
        if self._failures >= OUTAGE_THRESHOLD:
            self._warn_rate_limited(
                now,
                "%d polls failed in a row, the last one with %s",
                self._failures,
                type(error).__name__,
            )

    def _recover(self, now: float) -> None:
        """Count failed polls from zero again; report the end of an outage."""
        failures, self._failures = self._failures, 0
        if failures < OUTAGE_THRESHOLD:
            return
        seconds = now - self._outage_since
        if self._warned_at >= self._outage_since:
            _log.info(
                "The host answers again, after %d polls failed in a row in %.0f s",
                failures,
                seconds,
                extra=log_extra(failures=failures, seconds=seconds),
            )
        if self._on_outage is not None:
            self._on_outage(None, failures, seconds)

    def _reordered(self, account: Hashable) -> None:
        """Report a lane out of order, once the scheduler has dealt with it."""
        if self._on_reorder is not None:
            asyncio.get_running_loop().call_soon(self._on_reorder, account)

    def _warn_rate_limited(self, now: float, message: str, *values: object) -> None:
        """Log a warning about the host, at most one in `WARNING_INTERVAL`."""
        if now - self._warned_at >= WARNING_INTERVAL:
            self._warned_at = now
            _log.warning(message, *values, extra=log_extra(failures=self._failures))
