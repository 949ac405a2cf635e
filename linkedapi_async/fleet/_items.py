"""One item in a worker: from its turn in the lane to its recorded end."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
import logging
import math
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final, NoReturn, TypeAlias

import anyio
import attrs

from linkedapi_async._actions.action import roots_of
from linkedapi_async._http.transport import may_leave
from linkedapi_async._utils.log import error_reason, log_extra
from linkedapi_async._utils.secret import Secret
from linkedapi_async._wire.load import load_silently
from linkedapi_async.errors import (
    AccountPausedError,
    AuthenticationError,
    JournalError,
    LinkedApiError,
    PaceError,
    PollingCrashedError,
    RejectedError,
    RequestError,
    SessionClosedError,
    SuppressedError,
    UnsupportedError,
    WorkflowError,
    WorkflowNotFoundError,
    verdict_of,
)
from linkedapi_async.events import AccountUnpaused
from linkedapi_async.fleet._done import end_of, refusal_of
from linkedapi_async.fleet._events import EventReader
from linkedapi_async.fleet._starts import ENDED, Found, Starts
from linkedapi_async.fleet._trace import follow_trace
from linkedapi_async.session import Account, Session, WorkflowHandle
from linkedapi_async.session._deferral import (
    deferring_end_error,
    deferring_start_error,
    delay_of,
    may_write,
)


Tokens: TypeAlias = Callable[[str], Awaitable[str]]
"""Returns the identification token of an account."""

FIRST_DELAY: Final = 1.0
"""Delay before the first retry, in seconds; it doubles with each."""

MAX_DELAY: Final = 60.0
"""The longest delay, in seconds."""

# Any other error of a start may have come after it was sent.
_NOT_SENT: Final = (
    JournalError,
    PaceError,
    RequestError,
    WorkflowError,
    SuppressedError,
    SessionClosedError,
    PollingCrashedError,
)

# After another error the API may cancel it at the next attempt.
_NOT_CANCELLED: Final = (RejectedError, UnsupportedError, WorkflowNotFoundError)

_log = logging.getLogger("linkedapi_async")


@attrs.frozen
class RetryLater:
    """An item that is retried after a delay."""

    seconds: float
    is_paused: bool = False
    """Whether it waits for its account to work again."""
    seconds_for_all: float = 0.0
    """How long no other worker may try it either, in seconds."""


@attrs.frozen
class ItemExecution:
    """One item in one execution."""

    key: str
    lane: str
    execution: str
    workflow: Any
    """Its action, or a tuple of roots."""


_PARKED: Final = RetryLater(math.inf)
"""Marks an item that another worker continues, because this one stops."""

_NextStep: TypeAlias = RetryLater | Found | None
"""When to retry the item, or its state; None if the state must be read again."""

_StartResult: TypeAlias = WorkflowHandle[Any] | _NextStep


class ItemRunner:
    """Runs the items that DBOS gives to one worker.

    Args:
        session: The open session that sends and polls.
        starts: The protocol of starts.
        events: Passes the webhook events of workflows in progress to the session.
        token: Returns the token of an account.
        limit: The maximum number of starts in progress: a crash may make as many
            unknown.
        deliver: Called with the key of an item that has ended, until it succeeds.
        crash: Called when the worker cannot continue.
        is_alive: Returns whether no other worker can have taken over meanwhile; if one
            can, nothing is sent.
        sleep: Waits a number of seconds.
    """

    def __init__(
        self,
        session: Session,
        starts: Starts,
        *,
        events: EventReader,
        token: Tokens,
        limit: int,
        deliver: Callable[[str], Awaitable[None]] | None,
        crash: Callable[[Exception], None],
        is_alive: Callable[[], bool],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._session = session
        self._starts = starts
        self._events = events
        self._token = token
        self._limit = limit
        self._turns = asyncio.Semaphore(limit)
        self._deliver = deliver
        self._crash = crash
        self._is_alive = is_alive
        self._sleep = sleep
        self._running: dict[str, asyncio.Task[str]] = {}
        self._handles: dict[str, WorkflowHandle[Any]] = {}
        self._lanes: Counter[str] = Counter()
        self._accounts: dict[str, Account] = {}
        self._held: dict[str, tuple[str, anyio.CancelScope]] = {}
        """The waits of items, by account, and the events that end them."""
        self._cancels: dict[str, asyncio.Task[None]] = {}
        session.on(AccountUnpaused, self._release)
        self._stopping = False
        self.starting = 0
        """How many starts are in progress."""

    @property
    def running(self) -> int:
        """How many items are in progress."""
        return len(self._running)

    async def run(self, key: str, lane: str) -> str:
        """Run an item; return its state.

        An item that DBOS delivers twice runs once.
        """
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.create_task(self._run(key, lane))
            self._lanes[lane] += 1
            task.add_done_callback(lambda _: self._leave(key, lane))
        return await asyncio.shield(task)

    def _leave(self, key: str, lane: str) -> None:
        """Forget an item that is over, and its account; there may be thousands."""
        del self._running[key]
        self._lanes[lane] -= 1
        if self._lanes[lane]:
            return
        del self._lanes[lane]
        account = self._accounts.pop(lane, None)
        if account is not None:
            # The account is kept if something else uses it.
            with contextlib.suppress(ValueError, RuntimeError):
                self._session.forget_account(account)

    async def quiesce(self) -> None:
        """Begin no further start, and wait for the answers to those in progress."""
        self._stopping = True
        # Starts that wait for the host or their pace, maybe for hours, end unsent.
        await self._session.quiesce()
        for _ in range(self._limit):
            await self._turns.acquire()

    async def close(self) -> None:
        """Stop the remaining tasks, without recording an end of their items."""
        tasks = [*self._running.values(), *self._cancels.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def cancel_wanted(self) -> None:
        """Begin to cancel the workflows of this worker that are to be cancelled.

        The API may be slow or unreachable, and the caller must not wait for it.
        """
        for key in await self._starts.to_cancel():
            if key in self._handles and key not in self._cancels:
                task = self._cancels[key] = asyncio.create_task(self._cancel(key))
                task.add_done_callback(functools.partial(self._forget_cancel, key))

    def _forget_cancel(self, key: str, _: asyncio.Task[None]) -> None:
        del self._cancels[key]

    async def _cancel(self, key: str) -> None:
        """Cancel a workflow, unless it ends before or the API cannot cancel it."""
        attempt = 0
        while (handle := self._handles.get(key)) is not None:
            try:
                if not await handle.cancel():
                    await self._starts.keep(key)
            except _NOT_CANCELLED as error:
                _warn("Could not cancel %s: %s", key, error)
                await self._starts.keep(key)
            except Exception as error:  # noqa: BLE001  # the request to cancel stays
                _warn("Could not cancel %s yet: %s", key, error)
                await self._sleep(backoff(attempt))
                attempt += 1
                continue
            return

    async def _run(self, key: str, lane: str) -> str:
        # This task belongs to the item, and so does its context.
        may_leave.set(self._is_alive)
        attempt = 0
        while True:
            try:
                return await self._execute(key, lane)
            except (Exception, asyncio.CancelledError):
                # The user's code may raise this error, too.
                if _is_cancelled():
                    raise
                # Otherwise DBOS would treat the item as ended. Each attempt is an
                # execution of its own, so nothing is sent again.
                delay = backoff(attempt)
                _log.exception(
                    "Unexpected error in item %s of account %s; retrying in %g s",
                    key,
                    lane,
                    delay,
                    extra=log_extra(account=lane, key=key),
                )
            attempt += 1
            await self._sleep(delay)

    async def _execute(self, key: str, lane: str) -> str:
        execution = uuid.uuid4().hex
        attempt = 0
        found = await self._find(key, lane)
        while True:
            if found.state in ENDED:
                await self._delivered(key)
                return found.state
            item = ItemExecution(key, lane, execution, load_silently(found.definition))
            if found.state == "unknown":
                if may_write(item.workflow):
                    return found.state
                # Reading twice does no harm.
                await self._starts.discard(key, wake=False)
            account = await self._account(item)
            if found.workflow_id is None or found.state != "accepted":
                step = await self._start(item, account, attempt)
            else:
                step = account.attach(found.workflow_id, item.workflow, key=key)
            if isinstance(step, WorkflowHandle):
                step = await self._wait(item, step)
            if isinstance(step, RetryLater):
                # If the account is not paused, the event that it works again has come
                # already.
                early = step.is_paused and account.paused is None
                seconds = backoff(attempt) if early else math.inf
                await self._hold(key, lane, min(step.seconds, seconds))
                account.unpause()
                attempt += 1
            if not isinstance(step, Found) or step.state not in ENDED:
                step = await self._starts.find(key)
            found = step

    async def _find(self, key: str, lane: str) -> Found:
        """Return what is known of an item, when it may be sent."""
        found = await self._starts.find(key)
        follow_trace(found.trace)
        if found.seconds_held:
            _log.info(
                "%s waits %.0f s, and so does account %s: a worker has recorded that",
                key,
                found.seconds_held,
                lane,
                extra=log_extra(account=lane, key=key, seconds=found.seconds_held),
            )
            await self._hold(key, lane, found.seconds_held)
            found = await self._starts.find(key)
        return found

    async def _hold(self, key: str, lane: str, seconds: float) -> None:
        """Wait, at most until an event says that the account works again."""
        with anyio.CancelScope() as scope:
            self._held[key] = (lane, scope)
            try:
                await self._sleep(seconds)
            finally:
                del self._held[key]

    def _release(self, event: AccountUnpaused) -> None:
        for account, scope in self._held.values():
            if account == event.account:
                scope.cancel()

    async def _account(self, item: ItemExecution) -> Account:
        """Return the account of an item; wait until its token is available."""
        attempt = 0
        while True:
            try:
                token = Secret(await self._token(item.lane))
                known = self._accounts.get(item.lane)
                if known is not None and not known.has_token(token.reveal()):
                    self._session.forget_account(known)
                account = self._session.account(token.reveal(), name=item.lane)
            except Exception as error:  # noqa: BLE001  # the provider's own
                delay = backoff(attempt)
                _log.warning(
                    "No token for account %s, which waits %g s: %s",
                    item.lane,
                    delay,
                    type(error).__name__,  # its message may have the token
                    extra=log_extra(
                        account=item.lane,
                        key=item.key,
                        reason=error_reason(error),
                        seconds=delay,
                        attempt=attempt + 1,
                    ),
                )
            else:
                self._accounts[item.lane] = account
                return account
            attempt += 1
            await self._sleep(delay)

    async def _start(
        self, item: ItemExecution, account: Account, attempt: int
    ) -> _StartResult:
        """Start an item that is free; return its handle, or a retry."""
        async with self._turns:
            stops = self._stopping
            step = _PARKED if stops else await self._intend(item, account, attempt)
        if step is _PARKED:
            # This needs no turn, because `quiesce` takes all of them.
            await _park()
        return step

    async def _intend(
        self, item: ItemExecution, account: Account, attempt: int
    ) -> _StartResult:
        self.starting += 1
        try:
            found = await self._starts.intend(item.key, item.execution)
            if found.state != "ours":
                return None
            return await self._send(item, account, attempt)
        finally:
            self.starting -= 1

    async def _send(
        self, item: ItemExecution, account: Account, attempt: int
    ) -> _StartResult:
        try:
            roots: tuple[Any, ...] = roots_of(item.workflow)
            handle: WorkflowHandle[Any] = await account.start(*roots, key=item.key)
        except _NOT_SENT as error:
            return await self._not_sent(item, error, attempt)
        except Exception as error:  # noqa: BLE001  # it may have been sent
            _warn("It is unknown whether %s was accepted: %s", item.key, error)
            candidates = getattr(error, "candidates", ())
            await self._starts.unknown(item.key, item.execution, candidates)
            return None if may_write(item.workflow) else RetryLater(backoff(attempt))
        workflow_id = str(handle.workflow_id)
        try:
            goes_on = await self._starts.accepted(item.key, item.execution, workflow_id)
        except Exception:
            # The id must not be lost, whatever the error is.
            await self._starts.unknown(item.key, item.execution, (workflow_id,))
            raise
        if goes_on:
            return handle
        _log.error(
            "Workflow %s was started for %s, whose start is unknown now: adopt or "
            "discard it",
            workflow_id,
            item.key,
            extra=log_extra(key=item.key, workflow_id=workflow_id),
        )
        return None

    async def _not_sent(
        self, item: ItemExecution, error: LinkedApiError, attempt: int
    ) -> _NextStep:
        passing = deferring_start_error(error)
        if isinstance(error, SessionClosedError | PollingCrashedError):
            self._note_end(error)
            later = _PARKED
        elif isinstance(error, JournalError):
            # An error of the database of the pace and the contacts, which comes before
            # the start.
            _warn("Item %s waits: %s", item.key, error)
            later = RetryLater(backoff(attempt))
        elif passing is None:
            refusal = refusal_of(error)
            return await self._starts.finished(item.key, item.execution, refusal)
        else:
            # The waiting items of a paused account must not be used up by refusals.
            later = _later(passing, item)
        goes_on = await self._starts.refused(
            item.key, item.execution, later.seconds_for_all
        )
        return later if goes_on else None

    async def _wait(
        self, item: ItemExecution, handle: WorkflowHandle[Any]
    ) -> _NextStep:
        """Wait for the end of a workflow, and record it."""
        workflow_id = str(handle.workflow_id)
        self._handles[item.key] = handle
        try:
            await self._events.watch(workflow_id)
            end: Any = await handle.completion(math.inf)
        except AuthenticationError as error:
            return _later(error, item)
        except (SessionClosedError, PollingCrashedError) as error:
            self._note_end(error)
            await _park()
        except LinkedApiError as error:
            end = error
        finally:
            self._events.leave(workflow_id)
            del self._handles[item.key]
        passing = deferring_end_error(
            end, may_write=may_write(item.workflow), never_ran=False
        )
        if passing is not None:
            later = _later(passing, item)
            goes_on = await self._starts.again(
                item.key, workflow_id, later.seconds_for_all
            )
            return later if goes_on else None
        stored = end_of(end, item.workflow, workflow_id)
        return await self._starts.finished(item.key, item.execution, stored)

    def _note_end(self, error: LinkedApiError) -> None:
        """End the worker, unless it has left its session itself."""
        if isinstance(error, PollingCrashedError):
            self._crash(error)

    async def _delivered(self, key: str) -> None:
        """Deliver a result to the worker's user; repeat that until it succeeds."""
        if self._deliver is None:
            return
        attempt = 0
        while True:
            try:
                await self._deliver(key)
            except Exception:  # noqa: BLE001  # the user's own
                delay = backoff(attempt)
                _log.exception(
                    "on_result failed for %s; the next attempt is in %g s",
                    key,
                    delay,
                    extra=log_extra(key=key, seconds=delay, attempt=attempt + 1),
                )
            else:
                return
            attempt += 1
            await self._sleep(delay)


def backoff(attempt: int) -> float:
    """Return how long to wait before the next attempt, in seconds."""
    return min(MAX_DELAY, FIRST_DELAY * 2.0 ** min(attempt, 16))


def _later(error: LinkedApiError, item: ItemExecution) -> RetryLater:
    """Return when to retry an item that *error* holds back."""
    seconds, _ = delay_of(error, dt.datetime.now().astimezone())
    _log.log(
        # A delay by the pace is expected, so it is not logged as a warning.
        logging.INFO if isinstance(error, PaceError) else logging.WARNING,
        "%s waits %.0f s, and so does account %s: %s",
        item.key,
        seconds,
        item.lane,
        error,
        extra=log_extra(
            account=item.lane,
            key=item.key,
            reason=error_reason(error),
            seconds=seconds,
        ),
    )
    # A limit of the API holds for all workers. A delay by the pace does not, because
    # each worker counts it. After another error, another worker may have a token that
    # works, or learn that the account works again.
    is_limit = verdict_of(error).about == "category" and not isinstance(
        error, PaceError
    )
    return RetryLater(
        seconds,
        is_paused=isinstance(error, AccountPausedError),
        seconds_for_all=seconds if is_limit else 0.0,
    )


def _warn(message: str, key: str, error: Exception) -> None:
    _log.warning(
        message, key, error, extra=log_extra(key=key, reason=error_reason(error))
    )


def _is_cancelled() -> bool:
    """Return whether the current task is to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _park() -> NoReturn:
    """Wait until the process ends."""
    while True:
        await asyncio.Event().wait()
