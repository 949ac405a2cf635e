"""Drives the lanes: one plain task waits on the heap, a bounded number of others ask.

No task group and no cancel scope stays open across user code. Waiters own nothing of
the engine: any of them may be cancelled at any time without harm to anybody else.
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
"""A host that asks for a longer pause, in seconds, is not taken at its word."""

OUTAGE_THRESHOLD: Final = 3
"""From how many failed polls in a row on the host is said to be out."""

WARNING_INTERVAL: Final = 60.0
"""Time in seconds between two warnings about the same host."""

_log = logging.getLogger("linkedapi_async")

_Listeners: TypeAlias = dict[PendingWorkflow, set[asyncio.Future[None]]]


def _release(future: asyncio.Future[None] | None) -> None:
    """Let the one go on who waits for *future*."""
    if future is not None and not future.done():
        future.set_result(None)


class Poller:
    """Asks for all tickets of a session, and wakes those who wait for them.

    Args:
        ask: Does one poll. It raises nothing but `asyncio.CancelledError`; anything
            else is a crash of the engine, which reaches every waiter.
        polling: When to ask.
        in_flight: How many polls may be under way at once.
        rate: Requests per second to the host, or `None` for any number.
        burst: How many requests may go at once after a quiet time, if there is a
            *rate*.
        on_finish: Is called with each ticket whose wait ended, before its waiters wake.
        on_surprise: Is called soon after an account's workflows ran out of turn.
        on_outage: Is called when an outage begins, with its last error, and when it
            ends, with None; and with how many polls failed, over how many seconds.
        rng: The source of jitter.
    """

    def __init__(
        self,
        ask: Callable[[PendingWorkflow], Awaitable[Answer]],
        polling: Polling,
        *,
        in_flight: int = 50,
        rate: float | None = None,
        burst: int = 1,
        on_finish: Callable[[PendingWorkflow], None] | None = None,
        on_surprise: Callable[[Hashable], None] | None = None,
        on_outage: Callable[[Exception | None, int, float], None] | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._ask = ask
        self._polling = polling
        self._in_flight = in_flight
        self._on_finish = on_finish
        self._on_surprise = on_surprise
        self._on_outage = on_outage
        self._rng = rng or random.Random()  # noqa: S311  # jitter is no secret
        self._lanes = PollScheduler(polling, self._rng, self._surprised)
        self._throttle = Throttle(rate, burst)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._queue: deque[PendingWorkflow] = deque()
        self._idle: list[asyncio.Future[None]] = []
        self._busy = 0
        self._nap: asyncio.Future[None] | None = None
        self._alarm: asyncio.Handle | None = None
        self._alarm_at = math.inf
        self._waits: _Listeners = {}
        self._glances: _Listeners = {}
        self._crash: BaseException | None = None
        self._closing: Callable[[PendingWorkflow], BaseException] | None = None
        self._failures = 0
        self._out_since = -math.inf
        self._complained = -math.inf
        self.stopped: asyncio.Future[None] | None = None
        """Done once the engine asks no more; None before it has started."""
        self.polls: int = 0
        """How many polls were answered, missed ones included."""
        self.missed: int = 0
        """How many polls told no status."""
        self.finished: int = 0
        """How many waits ended, for whatever reason."""

    @property
    def waiting(self) -> int:
        """How many tickets are being watched."""
        return len(self._lanes)

    @property
    def polling_now(self) -> int:
        """How many polls are under way."""
        return self._busy

    @property
    def surprises(self) -> int:
        """How often a workflow ran or finished out of turn in an ordered lane."""
        return self._lanes.surprises

    @property
    def lateness(self) -> Sequence[float]:
        """How late, in seconds, the last finishes can have been noticed at most."""
        return self._lanes.lateness

    def counts_by_state(self) -> dict[LaneState, int]:
        """Return how many tickets wait in which state of their lane, from any thread."""
        return self._lanes.counts_by_state()

    def start(self) -> None:
        """Begin to ask, bound to the running loop."""
        if self._loop is not None:
            raise RuntimeError("the engine was started before")
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self.stopped = self._loop.create_future()
        self._spawn(self._drive)

    def watch(self, ticket: PendingWorkflow, *, ordered: bool = True) -> None:
        """Ask for *ticket* from now on.

        Args:
            ticket: A ticket that was never watched before.
            ordered: Whether the server took it after all others of its account.
        """
        self._check(ticket)
        now = self._now()
        self._lanes.add(ticket, now, ordered=ordered)
        due = self._lanes.next_due()
        if due is not None and due <= now:
            self._feed()
        else:
            self._set_alarm()

    def forget(self, ticket: PendingWorkflow) -> None:
        """Ask no longer for *ticket*; those who wait for it get a `RuntimeError`."""
        self._lanes.remove(ticket, self._now())
        self._wake(ticket)
        self._set_alarm()

    def resolve(self, ticket: PendingWorkflow, end: Ended) -> bool:
        """End the wait for *ticket*; return whether this was news."""
        if ticket.end is not None:
            return False
        self._lanes.remove(ticket, self._now())
        self._conclude(ticket, end)
        self._set_alarm()
        return True

    def listen(self) -> None:
        """Expect to be told by events; nothing changes until they prove healthy."""
        self._lanes.listen()

    def stop_listening(self) -> None:
        """Expect no more events."""
        self._lanes.stop_listening(self._now())
        self._set_alarm()

    def announce(self, ticket: PendingWorkflow, end: Ended | None) -> None:
        """Take an event's word that *ticket* has ended.

        Args:
            ticket: A ticket that is or was watched.
            end: How it ended; None if the event did not tell, and it is to be asked.
        """
        if ticket.end is None and end is not None:
            self._lanes.announced(ticket, self._now())
            self._conclude(ticket, end)
            self._set_alarm()
        elif ticket.end is None:
            self._lanes.expect(ticket)
            self._feed()

    def confirm(self, workflow_id: str) -> None:
        """Take the event of a finish that a poll may have been ahead of."""
        self._lanes.confirm(workflow_id)

    def begun(self, ticket: PendingWorkflow) -> None:
        """Take an event's word that *ticket* runs."""
        self._lanes.begun(ticket, self._now())
        self._set_alarm()

    def hold(self, account: Hashable) -> None:
        """Ask for an account that cannot work no more often than for a tail."""
        self._lanes.hold(account, self._now())

    def release(self, account: Hashable) -> None:
        """Ask for an account at full cadence again."""
        self._lanes.release(account, self._now())
        self._set_alarm()

    def pause(self, seconds: float | None) -> None:
        """Leave the host alone for *seconds*; absurd values count as not given."""
        if seconds is not None and 0 < seconds <= MAX_PAUSE:
            now = self._now()
            self._throttle.pause(now + seconds)
            self._complain(now, "the host asks for a pause of %.0f s", seconds)

    async def admit(self) -> None:
        """Wait until the host may get one more request that is not a poll."""
        now = self._now()
        while (opens := self._throttle.opens()) > now:
            await asyncio.sleep(opens - now)
            now = self._now()
        self._throttle.spend(now, 1)

    async def wait(
        self,
        ticket: PendingWorkflow,
        timeout: float | None = None,
    ) -> Ended:
        """Return how the wait for *ticket* ended.

        Args:
            ticket: A ticket that is or was watched.
            timeout: Time in seconds; 0 asks exactly once, `None` means the deadline of
                the policy, `math.inf` none.

        Raises:
            TimeoutError: The time is up; the ticket is watched on.
        """
        seconds = self._polling.deadline if timeout is None else timeout
        if ticket.end is None:
            if seconds <= 0:
                await self.ask_now(ticket)
            else:
                await self._listen(self._waits, ticket, seconds)
        if ticket.end is None:
            raise TimeoutError
        return ticket.end

    async def ask_now(self, ticket: PendingWorkflow) -> None:
        """Ask for *ticket* once, or join the poll of it that is under way.

        Only a pause of the host, its rate and the polls in flight are respected.
        """
        if ticket.end is None:
            self._check(ticket)
            self._lanes.expedite(ticket)
            self._feed()
            await self._listen(self._glances, ticket, math.inf)

    async def aclose(
        self, error_factory: Callable[[PendingWorkflow], BaseException]
    ) -> None:
        """Stop asking; every wait that is open raises what *error_factory* makes."""
        if self._closing is None:
            self._closing = error_factory
            self._stop()
        if self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def _stopped(self) -> bool:
        """Whether the engine asks no more."""
        return self._closing is not None or self._crash is not None

    def _now(self) -> float:
        """Return the time of the loop."""
        if self._loop is None:
            raise RuntimeError("the engine was not started")
        return self._loop.time()

    def _check(self, ticket: PendingWorkflow) -> None:
        """Raise what keeps the engine from asking for *ticket*."""
        if self._crash is not None:
            raise RuntimeError("the polling engine crashed") from self._crash
        if self._closing is not None:
            raise self._closing(ticket)

    async def _listen(
        self, listeners: _Listeners, ticket: PendingWorkflow, seconds: float
    ) -> None:
        """Wait at most *seconds* to be woken for *ticket*."""
        self._check(ticket)
        if not ticket.watched:
            raise RuntimeError(f"{ticket.id} is not watched")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        listeners.setdefault(ticket, set()).add(future)
        alarm = None
        if seconds < math.inf:
            alarm = loop.call_later(seconds, _release, future)
        try:
            await future
        finally:
            if alarm is not None:
                alarm.cancel()
            siblings = listeners.get(ticket, set())
            siblings.discard(future)
            if not siblings:
                listeners.pop(ticket, None)
        if ticket.end is None:
            self._check(ticket)
            if not ticket.watched:
                raise RuntimeError(f"{ticket.id} is no longer watched")

    def _wake(self, ticket: PendingWorkflow) -> None:
        """Wake all who wait for *ticket*."""
        for listeners in (self._waits, self._glances):
            for future in listeners.pop(ticket, ()):
                _release(future)

    def _spawn(self, body: Callable[[], Coroutine[None, None, None]]) -> None:
        """Run *body* as a task of the engine."""
        # In the context of nobody's call, which would outlive it and claim all polls.
        context = self._context.copy()
        task = asyncio.get_running_loop().create_task(body(), context=context)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Make the unexpected end of a *task* known to everybody."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if not self._stopped:
            self._crash = error or RuntimeError("a task of the engine was cancelled")
            reason = type(self._crash).__name__
            _log.error(
                "the polling engine crashed: %s", reason, extra=log_extra(reason=reason)
            )
            self._stop()

    def _stop(self) -> None:
        """Stop all tasks and wake all waiters."""
        _release(self.stopped)
        self._queue.clear()
        for task in self._tasks:
            task.cancel()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        for ticket in {**self._waits, **self._glances}:
            self._wake(ticket)

    async def _drive(self) -> None:
        """Feed the workers whenever a lane is due."""
        loop = asyncio.get_running_loop()
        while True:
            self._nap = loop.create_future()
            self._feed()
            await self._nap

    def _feed(self, *, spare: int = 0) -> None:
        """Hand all tickets that are due to workers.

        Args:
            spare: How many of the workers that are not idle look at the queue next.
        """
        now = self._now()
        if self._stopped:
            return
        if now < self._throttle.until:
            self._lanes.defer(now, self._throttle.until)
        else:
            room = self._throttle.room(now, self._in_flight - self._busy)
            tickets = self._lanes.take(now, room)
            if tickets:
                self._throttle.spend(now, len(tickets))
                self._busy += len(tickets)
                self._queue.extend(tickets)
                for _ in tickets[spare:]:
                    self._rouse()
        self._set_alarm()

    def _rouse(self) -> None:
        """Get one more worker to look at the queue."""
        if self._idle:
            _release(self._idle.pop())
        else:
            # As many workers as polls under way: their bound holds for both.
            self._spawn(self._work)

    def _next_alarm(self) -> float | None:
        """Return when the driver has to look at the lanes next."""
        opens = self._throttle.opens()
        due = self._lanes.next_due()
        if due is not None and due < self._throttle.until:
            return due  # to be deferred, one lane after the other, not in a crowd
        if self._busy >= self._in_flight:
            return None
        if self._lanes.urgent:
            return opens
        return due if due is None else max(due, opens)

    def _set_alarm(self) -> None:
        """Wake the driver in time; an alarm that is too early stays."""
        when = None if self._stopped else self._next_alarm()
        if when is None or self._loop is None:
            return
        if self._alarm is not None:
            if self._alarm_at <= when:
                return
            self._alarm.cancel()
        # Kept here, for the handle of uvloop tells no time when it is due at once.
        self._alarm_at = when
        self._alarm = self._loop.call_at(when, self._ring)

    def _ring(self) -> None:
        """Wake the driver."""
        self._alarm = None
        _release(self._nap)

    async def _work(self) -> None:
        """Ask for the tickets in the queue, one after another."""
        while True:
            while self._queue:
                ticket = self._queue.popleft()
                answer = await self._ask(ticket)
                self._busy -= 1
                self._settle(ticket, answer)
            await self._doze()

    def _doze(self) -> asyncio.Future[None]:
        """Return what a worker without work waits for."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._stopped:
            future.cancel()  # the poll before swallowed the cancellation
        else:
            self._idle.append(future)
        return future

    def _settle(self, ticket: PendingWorkflow, answer: Answer) -> None:
        """Tell the lanes the *answer*, and everybody what follows from it."""
        now = self._now()
        self.polls += 1
        ticket.polls += 1
        if isinstance(answer, PollFailed):
            self._note_miss(now, answer)
        elif self._failures:
            self._recover(now)
        end = self._lanes.answered(ticket, now, answer)
        if end is not None:
            self._conclude(ticket, end)
        for future in self._glances.pop(ticket, ()):
            _release(future)
        self._feed(spare=1)

    def _conclude(self, ticket: PendingWorkflow, end: Ended) -> None:
        """Make the *end* of the wait for *ticket* known."""
        ticket.end = end
        ticket.status = end.status or ticket.status
        self.finished += 1
        try:
            if self._on_finish is not None:
                self._on_finish(ticket)
        finally:
            self._wake(ticket)

    def _note_miss(self, now: float, answer: PollFailed) -> None:
        """Count a missed poll; an outage is a run of failed ones over all lanes."""
        self.missed += 1
        self.pause(answer.pause)
        if answer.kind == "failed":
            self._fail(now, answer.error)
        elif self._failures:
            self._recover(now)

    def _fail(self, now: float, error: Exception) -> None:
        """Count a failed poll, and say so once there are too many in a row."""
        if not self._failures:
            self._out_since = now
        self._failures += 1
        if self._failures == OUTAGE_THRESHOLD and self._on_outage is not None:
            self._on_outage(error, self._failures, now - self._out_since)
        if self._failures >= OUTAGE_THRESHOLD:
            self._complain(
                now,
                "%d polls failed in a row, the last one with %s",
                self._failures,
                type(error).__name__,
            )

    def _recover(self, now: float) -> None:
        """Count failed polls from zero again; too many of them were an outage."""
        failures, self._failures = self._failures, 0
        if failures < OUTAGE_THRESHOLD:
            return
        seconds = now - self._out_since
        if self._complained >= self._out_since:
            _log.info(
                "The host answers again, after %d polls failed in a row in %.0f s",
                failures,
                seconds,
                extra=log_extra(failures=failures, seconds=seconds),
            )
        if self._on_outage is not None:
            self._on_outage(None, failures, seconds)

    def _surprised(self, account: Hashable) -> None:
        """Tell of a surprise, once the lanes are through with it."""
        if self._on_surprise is not None:
            asyncio.get_running_loop().call_soon(self._on_surprise, account)

    def _complain(self, now: float, message: str, *facts: object) -> None:
        """Warn about the host, but not all the time."""
        if now - self._complained >= WARNING_INTERVAL:
            self._complained = now
            _log.warning(message, *facts, extra=log_extra(failures=self._failures))
