"""Polls the lanes: one task sleeps until the next poll, and a few others send polls.

No task group and no cancel scope stays open across user code. Waiters own no part of
the engine, so each may be cancelled at any time without affecting another.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import math
import random
from collections import deque
from typing import TYPE_CHECKING, Final, TypeAlias

from linkedapi_async._polling.answers import Ended, PollAnswer, PollFailed
from linkedapi_async._polling.lane import PendingWorkflow
from linkedapi_async._polling.scheduler import LaneState, PollScheduler
from linkedapi_async._polling.throttle import Throttle
from linkedapi_async._utils.log import log_extra
from linkedapi_async.errors import PollingCrashedError


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Hashable, Sequence

    from linkedapi_async._polling.durations import DurationLearner, Estimate
    from linkedapi_async.policies import Polling


MAX_PAUSE: Final = 3600.0
"""Maximum time in seconds of a pause of the host."""

OUTAGE_THRESHOLD: Final = 3
"""How many failed polls in a row make an outage."""

WARNING_INTERVAL: Final = 60.0
"""Minimum time in seconds between two warnings about the host."""

LATE_TIMER: Final = 1.0
"""How late, in seconds, a timer must fire to show that the machine slept."""

LAST_POLL: Final = 60.0
"""Maximum time in seconds that the poll after such a sleep may take."""

_log = logging.getLogger("linkedapi_async")

_Waiters: TypeAlias = dict[PendingWorkflow, set[asyncio.Future[None]]]


def _release(future: asyncio.Future[None] | None) -> None:
    """Wake the task that waits for *future*."""
    if future is not None and not future.done():
        future.set_result(None)


class Poller:
    """Polls all workflows of a session, and wakes the tasks that wait for them.

    Args:
        poll: Sends one poll. Whatever it raises is a failed poll of that workflow.
        polling: When to poll.
        in_flight: How many polls may be in flight at once.
        rate: Requests per second to the host, or `None` for any number.
        on_finish: Called with each workflow whose wait ended, before its waiters wake.
            If it raises, the waiters wake nevertheless, and the error is logged or
            raised by `resolve`.
        on_reorder: Called soon after workflows of an account ran out of order.
        on_outage: Called when an outage begins, with its last error, and when it ends,
            with None; the other arguments are the number of polls that failed and the
            time in seconds since the first one.
        rng: The source of jitter.
    """

    def __init__(
        self,
        poll: Callable[[PendingWorkflow], Awaitable[PollAnswer]],
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
        """The error that ended the engine, if it crashed."""
        self.stopped: asyncio.Future[None] | None = None
        """Done once the engine polls no more; None before it has started."""
        self.polls: int = 0
        """How many polls were answered, failed ones included."""

    @property
    def waiting(self) -> int:
        """How many workflows are waited for."""
        return len(self._scheduler)

    @property
    def out_of_order(self) -> int:
        """How often a workflow of an ordered lane ran or ended out of order."""
        return self._scheduler.out_of_order

    @property
    def detection_delays(self) -> Sequence[float]:
        """Upper bounds, in seconds, of how late the last ends were noticed."""
        return self._scheduler.detection_delays

    @property
    def durations(self) -> DurationLearner:
        """How long workflows took."""
        return self._scheduler.durations

    def eta(self, workflow: PendingWorkflow) -> Estimate | None:
        """Return in how many seconds *workflow* will have ended, if that is known."""
        return self._scheduler.eta(workflow, self.now())

    def eta_of_all(self, kind: Hashable, times: int, idle: int) -> Estimate | None:
        """Return in how many seconds all will have ended, as the scheduler does."""
        return self._scheduler.eta_of_all(self.now(), kind, times, idle)

    def counts_by_state(self) -> dict[LaneState, int]:
        """Return the number of workflows by state; callable from any thread."""
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

    def watch(
        self, workflow: PendingWorkflow, *, ordered: bool = True, fresh: bool = True
    ) -> None:
        """Poll *workflow* from now on.

        Args:
            workflow: A workflow that was never watched before.
            ordered: Whether the server accepted it after all others of its account.
            fresh: Whether the server accepted it now. If not, it may have ended.
        """
        # This holds after a crash too: the server runs it, and waits for it raise an
        # error with its id.
        if self._closing is not None:
            raise self._closing(workflow)
        now = self.now()
        self._scheduler.add(workflow, now, ordered=ordered, fresh=fresh)
        # An attached workflow may have ended long ago, so its first poll does not wait.
        if self._scheduler.next_poll_at() <= now:
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
        """Expect webhook events; polls change only after events proved reliable."""
        self._scheduler.listen()

    def stop_listening(self) -> None:
        """Expect no more events."""
        self._scheduler.stop_listening(self.now())
        self._set_timer()

    def event_finished(self, workflow: PendingWorkflow, end: Ended | None) -> None:
        """Process an event that *workflow* has ended.

        Args:
            workflow: A workflow that is or was watched.
            end: How it ended; None if the event did not say, so that a poll must.
        """
        if workflow.end is None and end is not None:
            self._scheduler.event_finished(workflow, self.now())
            self._report(self._conclude, workflow, end)
            self._set_timer()
        elif workflow.end is None:
            self._scheduler.expect_end(workflow)
            self._feed()

    def event_confirmed(self, workflow_id: str) -> None:
        """Process an event of an end that a poll may have noticed first."""
        self._scheduler.event_confirmed(workflow_id)

    def event_started(self, workflow: PendingWorkflow) -> None:
        """Process an event that *workflow* runs."""
        self._scheduler.event_started(workflow, self.now())
        self._set_timer()

    def hold(self, account: Hashable) -> None:
        """Poll an account that cannot work as rarely as a tail."""
        # No timer is set, because this delays polls, and a timer that fires too early
        # does no harm.
        self._scheduler.hold(account, self.now())

    def release(self, account: Hashable) -> None:
        """Poll an account at the usual intervals again."""
        self._scheduler.release(account, self.now())
        self._set_timer()

    def pause(self, seconds: float | None) -> None:
        """Send nothing to the host for *seconds*, at most `MAX_PAUSE`."""
        if seconds is not None and seconds > 0:
            now, seconds = self.now(), min(seconds, MAX_PAUSE)
            self._throttle.pause(now + seconds)
            self._warn_rate_limited(now, "The host asks for a pause of %.0f s", seconds)

    async def admit(self) -> None:
        """Wait until the host may get one more request that is not a poll."""
        now = self.now()
        # Checked again after each wait, because a pause may begin meanwhile.
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
        if workflow.end is None:
            if timeout is None:
                await self._wait_for_deadline(workflow)
            elif timeout <= 0:
                await self.poll_now(workflow)
            else:
                await self._wait_seconds(workflow, timeout)
        if workflow.end is None:
            raise TimeoutError
        return workflow.end

    async def poll_now(self, workflow: PendingWorkflow) -> None:
        """Poll *workflow* once, or join the poll of it that is in flight.

        Only the rate of the host, the polls in flight and a pause of the host can delay
        it; during a pause, one such poll is sent each second.
        """
        if workflow.end is None:
            await self._poll_within(workflow, math.inf)

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

    def check_running(self, workflow_id: str | None = None) -> None:
        """Raise `PollingCrashedError` if the engine crashed."""
        error = self.crash_error(workflow_id)
        if error is not None:
            raise error

    def crash_error(self, workflow_id: str | None) -> PollingCrashedError | None:
        """Return the error of a wait if the engine crashed."""
        if self.crash is None:
            return None
        error = PollingCrashedError(workflow_id=workflow_id)
        error.__cause__ = self.crash
        return error

    def _check(self, workflow: PendingWorkflow) -> None:
        """Raise if the engine cannot poll *workflow* any more."""
        self.check_running(workflow.id)
        if self._closing is not None:
            raise self._closing(workflow)

    async def _wait_for_deadline(self, workflow: PendingWorkflow) -> None:
        """Wait until the deadline, which excludes time outside working hours."""
        start, left = self.now(), self._polling.deadline
        excluded = self._scheduler.off_hours_seconds(workflow, start)
        while workflow.end is None and left > 0:
            await self._wait_seconds(workflow, left)
            now = self.now()
            off_hours = self._scheduler.off_hours_seconds(workflow, now) - excluded
            left = self._polling.deadline - (now - start - off_hours)

    async def _wait_seconds(self, workflow: PendingWorkflow, seconds: float) -> None:
        """Wait at most *seconds*; poll once more if the machine slept meanwhile."""
        deadline = self.now() + seconds
        await self._wait_in(self._waiters, workflow, seconds)
        # It may have ended during the sleep, when no poll could be sent.
        if workflow.end is None and self.now() - deadline > LATE_TIMER:
            await self._poll_within(workflow, LAST_POLL)

    async def _poll_within(self, workflow: PendingWorkflow, seconds: float) -> None:
        """Poll *workflow* once and wait at most *seconds* for the answer."""

        def expedite() -> None:
            self._scheduler.expedite(workflow)
            self._feed()

        await self._wait_in(self._one_shot_waiters, workflow, seconds, expedite)

    async def _wait_in(
        self,
        waiters: _Waiters,
        workflow: PendingWorkflow,
        seconds: float,
        begin: Callable[[], None] | None = None,
    ) -> None:
        """Call *begin*, and wait at most *seconds* to be woken for *workflow*."""
        self._check(workflow)
        if not workflow.watched:
            raise RuntimeError(f"{workflow.id} is not watched")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        # This comes before *begin*, because during a pause only workflows with a waiter
        # are polled.
        waiters.setdefault(workflow, set()).add(future)
        timer = None
        if begin is not None:
            begin()
        if seconds < math.inf:
            timer = loop.call_later(seconds, _release, future)
        try:
            await future
        finally:
            if timer is not None:
                timer.cancel()
            # The set is missing if `_wake` has removed it.
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
        # An empty context, because that of a caller would outlive the call and apply to
        # all polls.
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
            self._stop()
            _log.error(
                "The polling engine crashed: %s", reason, extra=log_extra(reason=reason)
            )

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
        """Give polls to the workers when their time has come."""
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
            workflows = self._take_one_shot(now)
        else:
            limit = self._throttle.available(now, self._in_flight - self._busy)
            workflows = self._scheduler.take(now, limit)
            if workflows:
                self._throttle.consume(now, len(workflows))
        if workflows:
            self._busy += len(workflows)
            self._queue.extend(workflows)
            for _ in workflows[spare:]:
                self._wake_worker()
        self._set_timer()

    def _take_one_shot(self, now: float) -> list[PendingWorkflow]:
        """Return the poll that may be sent *now* in spite of a pause, if there is one.

        A caller waits for the answer to this poll, and the pause may take an hour.
        """
        workflow = self._next_one_shot()
        if workflow is None or now < self._throttle.next_urgent_slot():
            return []
        self._scheduler.take_urgent(workflow)
        self._throttle.consume_urgent(now)
        return [workflow]

    def _next_one_shot(self) -> PendingWorkflow | None:
        """Return the next workflow that a caller wants polled at once."""
        if not self._one_shot_waiters or self._busy >= self._in_flight:
            return None
        return self._scheduler.first_urgent(self._one_shot_waiters)

    def _wake_worker(self) -> None:
        """Make one more worker look at the queue."""
        if self._idle:
            _release(self._idle.pop())
        else:
            # There are no more workers than polls in flight, so one limit bounds both.
            self._spawn(self._work)

    def _next_timer(self) -> float:
        """Return when the driver must check the lanes next."""
        when = self._scheduler.next_poll_at()
        # A poll planned in a pause is deferred at its time, lane after lane.
        if when >= self._throttle.until:
            if self._busy >= self._in_flight:
                return math.inf
            slot = self._throttle.next_slot()
            when = slot if self._scheduler.urgent else max(when, slot)
        if self._next_one_shot() is not None:
            when = min(when, self._throttle.next_urgent_slot())
        return when

    def _set_timer(self) -> None:
        """Wake the driver in time; a timer that fires too early is kept."""
        when = math.inf if self._stopped else self._next_timer()
        if when == math.inf or self._loop is None:
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
                try:
                    answer = await self._poll(workflow)
                except asyncio.CancelledError:
                    task = asyncio.current_task()
                    if self._stopped or (task is not None and task.cancelling()):
                        raise
                    # Something inside the poll was cancelled, not this task.
                    error = RuntimeError("the poll was cancelled")
                    answer = self._unexpected(workflow, error)
                except Exception as error:  # noqa: BLE001  # no other wait must end
                    answer = self._unexpected(workflow, error)
                # This comes first, so that the next poll gets the place of this one.
                self._busy -= 1
                self._settle(workflow, answer)
            await self._sleep()

    def _sleep(self) -> asyncio.Future[None]:
        """Return the future that an idle worker waits for."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._stopped:
            future.cancel()  # the poll before swallowed the cancellation
        else:
            self._idle.append(future)
        return future

    def _settle(self, workflow: PendingWorkflow, answer: PollAnswer) -> None:
        """Pass the *answer* to the scheduler, and wake the tasks that it concerns."""
        now = self.now()
        self.polls += 1
        workflow.polls += 1
        try:
            end = self._scheduler.answered(workflow, now, answer)
        except Exception as error:  # noqa: BLE001  # no other wait must end
            answer = self._unexpected(workflow, error)
            end = self._scheduler.answered(workflow, now, answer)
        if isinstance(answer, PollFailed):
            self._report(self.pause, answer.pause)
        if end is not None:
            self._report(self._conclude, workflow, end)
        self._report(self._note_host, now, answer)
        for future in self._one_shot_waiters.pop(workflow, ()):
            _release(future)
        # This worker takes the first of them itself.
        self._feed(spare=1)

    def _conclude(self, workflow: PendingWorkflow, end: Ended) -> None:
        """Keep the *end* of the wait for *workflow* and report it."""
        # This comes first, because the callback and the waiters read it.
        workflow.end = end
        workflow.status = end.status or workflow.status
        try:
            if self._on_finish is not None:
                self._on_finish(workflow)
        finally:
            self._wake(workflow)

    def _unexpected(self, workflow: PendingWorkflow, error: Exception) -> PollFailed:
        """Return a failed poll for an *error* that no poll should raise; log it."""
        message = "A poll of workflow %s failed unexpectedly: %s"
        reason = type(error).__name__
        self._report(self._warn_rate_limited, self.now(), message, workflow.id, reason)
        return PollFailed(error)

    def _report(self, call: Callable[..., object], *args: object) -> None:
        """Call a callback of other code; an error of it ends no wait."""
        try:
            call(*args)
        except Exception as error:  # noqa: BLE001  # hooks, handlers and filters
            reason = type(error).__name__
            # Logging itself may raise.
            with contextlib.suppress(Exception):
                _log.error(
                    "A callback of the polling engine failed: %s",
                    reason,
                    extra=log_extra(reason=reason),
                )

    def _note_host(self, now: float, answer: PollAnswer) -> None:
        """Count failed polls in a row; other answers show that the host is there."""
        if isinstance(answer, PollFailed) and answer.kind == "failed":
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
        # Without an earlier warning, the message would be hard to understand.
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
