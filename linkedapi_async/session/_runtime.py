"""The state that all parts of one session share."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import anyio
import attrs

from linkedapi_async._http.caller import RetryingCaller
from linkedapi_async._http.connection import ApiConnection, LifecycleState
from linkedapi_async._http.requests import ApiRequests
from linkedapi_async._http.transport import AiohttpTransport
from linkedapi_async._polling.poller import Poller
from linkedapi_async.errors import SessionClosedError
from linkedapi_async.session._durations import DurationStore
from linkedapi_async.session._observer import Observer, report_error
from linkedapi_async.session._recent import RecentKeys


if TYPE_CHECKING:
    import random

    from linkedapi_async._polling.answers import PollAnswer
    from linkedapi_async._polling.lane import PendingWorkflow
    from linkedapi_async.journal import Journal
    from linkedapi_async.policies import Polling
    from linkedapi_async.session._contacts import ContactKeeper
    from linkedapi_async.session.shared import SharedState


_log = logging.getLogger("linkedapi_async")

CLOSING_MARGIN: Final = 1.0
"""How much longer than a request it may take to leave a session, in seconds."""


@attrs.define
class Counters:
    """The counters that a session keeps itself."""

    started: int = 0
    completed: int = 0
    failed: int = 0


class AccountOwner(Protocol):
    """What the poller and the handles need of an account."""

    name: str

    @property
    def runtime(self) -> Runtime:
        """The state of its session."""
        ...

    async def poll(self, pending: PendingWorkflow) -> PollAnswer:
        """Poll a workflow once."""
        ...

    def on_end(self, pending: PendingWorkflow) -> None:
        """Record that the wait for a workflow has ended."""
        ...

    async def cancel(self, workflow_id: str) -> bool:
        """Cancel a workflow; return whether it was cancelled."""
        ...

    async def never_ran(self, pending: PendingWorkflow) -> bool:
        """Return whether a workflow that failed as a whole has certainly not begun."""
        ...


class StartEvents(Protocol):
    """Events of workflows that the session does not know."""

    def match(self, workflow_id: str, account: str) -> None:
        """Use events that came before the session knew the workflow of *account*."""
        ...

    def ended(self, workflow_id: str) -> None:
        """Forget which account the workflow ran on."""
        ...

    def reconsider(self, account: str) -> None:
        """Check whether early events explain unknown starts of an account."""
        ...

    def candidates(self, account_id: str, since: float, until: float) -> list[str]:
        """Return the unknown workflows that were created in that time."""
        ...


class Runtime:
    """Connections, poller, journal and tasks of one session.

    Args:
        connection: The connection to the host.
        polling: When to poll.
        rate: How many polls are sent at most per second.
        request_timeout: The longest time for one request, in seconds.
        journal: Where starts and ends are recorded, if anywhere.
        sole_client: Whether only this session starts workflows on its accounts.
        contacts: The record of who was written to, if there is one.
        shared: The state that it shares with the sessions of other processes, if any.
    """

    def __init__(
        self,
        *,
        connection: ApiConnection,
        polling: Polling,
        rate: float | None,
        request_timeout: float,
        journal: Journal | None,
        sole_client: bool,
        contacts: ContactKeeper | None = None,
        shared: SharedState | None = None,
    ) -> None:
        self.connection = connection
        self.polling = polling
        self.request_timeout = request_timeout
        self.journal = journal
        self.sole_client = sole_client
        self.contacts = contacts
        self.shared = shared
        self.observer: Observer = Observer()
        self.counters: Counters = Counters()
        self.start_events: list[StartEvents] = []
        self.names_by_id: dict[str, dict[str, None]] = {}
        """The names of accounts by the API's ids of them."""
        self.unknown_starts: Counter[str] = Counter()
        """How many starts of an account ended without a known outcome, by name."""
        self.starting: set[asyncio.Task[None]] = set()
        """The tasks of starts in progress."""
        self.workflow_ids: RecentKeys = RecentKeys()
        """The ids that the session knows, those of ended workflows included."""
        self.on_closing: list[Callable[[], None]] = []
        """Functions that end the waits of starts for their pace."""
        self.start_limit: asyncio.Semaphore = asyncio.Semaphore(connection.connections)
        self.poller: Poller = Poller(
            _poll,
            polling,
            in_flight=connection.connections,
            rate=rate,
            on_finish=_on_end,
            on_reorder=self._on_reordered,
            on_outage=self.observer.outage,
            rng=connection.rng,
        )
        self.duration_store: DurationStore = DurationStore(
            self.poller.durations, journal if shared is None else shared.durations
        )
        self.transport: AiohttpTransport
        self.caller: RetryingCaller
        self._starts = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._quiet = False
        self._waits_end = False
        self._waiting: set[anyio.CancelScope] = set()

    @property
    def requests(self) -> ApiRequests:
        """The requests of the API."""
        return self.connection.requests

    @property
    def rng(self) -> random.Random:
        """The source of jitter."""
        return self.connection.rng

    @property
    def state(self) -> LifecycleState:
        """Whether the session is open."""
        return "closed" if self._closed else self.connection.state

    @property
    def retried(self) -> int:
        """How many retries were sent."""
        return self.caller.retried if self.state != "not entered" else 0

    async def open(self) -> None:
        """Open the journal and the connections, and start to poll.

        Raises:
            RuntimeError: It was opened before.
            JournalError: The journal cannot be opened.
        """
        # This comes first, because entering twice must not touch the open journal.
        self.transport = self.connection.open()
        self.caller = self.connection.caller(self, self.transport)
        undo = AsyncExitStack()
        undo.push_async_callback(self.connection.aclose)
        try:
            for store in (self.journal, self.contacts):
                if store is not None:
                    await store.open()
                    undo.push_async_callback(store.aclose)
        except BaseException:
            # Cancellation, too, must leave no open connections behind.
            with anyio.CancelScope(shield=True):
                await undo.aclose()
            raise
        self.poller.start()
        self.spawn(self.duration_store.load())

    async def close(self, cancel_all: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Wait for the requests of starts, then end every wait, and close everything.

        It takes at most the request timeout and a second, also if the server or the disk
        hangs: a journal that is not closed by then goes on writing in its thread.
            Cancellation
        does not interrupt it, because the id of an accepted start must reach the journal;
        it is raised afterwards.

        Args:
            cancel_all: Cancels the unfinished workflows, if the session is set to do
                that.
        """
        self._closed = True
        closing = asyncio.create_task(self._close(cancel_all))
        cancelled: asyncio.CancelledError | None = None
        # anyio cancels again and again, asyncio once; the shield is against the first.
        with anyio.CancelScope(shield=True):
            while not closing.done():
                try:
                    await asyncio.wait([closing])
                except asyncio.CancelledError as error:
                    cancelled = error
        closing.result()
        if cancelled is not None:
            raise cancelled

    async def _close(self, cancel_all: Callable[[], Coroutine[Any, Any, None]]) -> None:
        # One deadline for all steps, so that leaving takes no longer in total.
        end = self.now() + self.request_timeout + CLOSING_MARGIN
        deadline = end - CLOSING_MARGIN / 2  # the disk gets the rest of the time
        async with AsyncExitStack() as stack:
            # These steps run from the last line to the first, even if one of them
            # fails.
            if self.journal is not None:
                stack.push_async_callback(self._close_journal, self.journal, end)
            if self.contacts is not None:
                stack.push_async_callback(self._within, end, self.contacts.aclose)
            stack.push_async_callback(self._within, end, self.duration_store.store)
            stack.push_async_callback(self.connection.aclose)
            stack.push_async_callback(self._end_tasks, deadline)
            stack.push_async_callback(self.poller.aclose, _closed_error)
            # Starts in progress get their answer. None is retried, and none waits for
            # the end of a pause of the host, which may last an hour.
            self._end_starts()
            await self._end_tasks(deadline)
            self._waits_end = False  # for the requests that cancel workflows
            stack.callback(self._end_waits)
            await self._within(deadline, cancel_all)

    def _end_waits(self) -> None:
        """End all waits for the host, and let nothing more wait for it."""
        self._waits_end = True
        for scope in self._waiting:
            scope.cancel()

    async def _within(self, end: float, work: Callable[[], Awaitable[None]]) -> None:
        """Do *work*, and wait for it until *end*."""
        with anyio.move_on_after(max(0.0, end - self.now())):
            await work()

    async def _close_journal(self, journal: Journal, end: float) -> None:
        """Close *journal*, and wait for it until *end*."""
        closing = asyncio.ensure_future(journal.aclose())
        await asyncio.wait([closing], timeout=max(0.0, end - self.now()))
        if closing.done():
            await closing
        else:
            closing.cancel()
            _log.warning("%r writes on, because the session was left before", journal)

    async def _end_tasks(self, deadline: float) -> None:
        """Wait for the tasks of the session until *deadline*, then cancel them."""
        while self._tasks and (left := deadline - self.now()) > 0:
            await asyncio.wait(self._tasks, timeout=left)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSING_MARGIN / 8)

    async def admit(self) -> None:
        """Wait until the host may get one more request that is not a poll.

        Raises:
            SessionClosedError: The session is left meanwhile.
        """
        if not await self._unless_closing(self.poller.admit):
            raise SessionClosedError

    async def admit_retry(self, seconds: float) -> bool:
        """Wait for *seconds*, then for the host; False if the session is left."""

        async def wait() -> None:
            """Wait for the time, then for the host."""
            await asyncio.sleep(seconds)
            await self.poller.admit()

        return await self._unless_closing(wait)

    def pause(self, seconds: float | None) -> None:
        """Send nothing to the host for *seconds*; None changes nothing."""
        self.poller.pause(seconds)

    async def _unless_closing(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Do *work*; return False if the session is left before it is done."""
        if self._waits_end:
            return False
        with anyio.CancelScope() as scope:
            self._waiting.add(scope)
            try:
                await work()
            finally:
                self._waiting.discard(scope)
        return not scope.cancelled_caught

    def check_open(self) -> None:
        """Check that the session is open, and used in the loop that entered it.

        Raises:
            RuntimeError: It is not entered, or was entered in another event loop.
            SessionClosedError: It was left.
        """
        if self._closed:
            raise SessionClosedError
        self.connection.check_open()

    def check_starting(self) -> None:
        """Check that the session starts workflows.

        Raises:
            SessionClosedError: It was left, or starts nothing more.
        """
        self.check_open()
        if self._quiet:
            raise SessionClosedError

    async def quiesce(self) -> None:
        """Start nothing more, and wait for the starts in progress."""
        self._quiet = True
        self._end_starts()
        while self.starting:
            await asyncio.wait(self.starting)
        self._waits_end = self._closed  # requests about workflows are still sent

    def _end_starts(self) -> None:
        """End the waits of starts for the host and for their pace."""
        self._end_waits()
        for end_waits in tuple(self.on_closing):
            end_waits()

    @contextlib.contextmanager
    def reported_errors(self) -> Iterator[None]:
        """Report an unexpected error to the event loop, so that the work goes on."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  # closed by default
            report_error(error)

    def now(self) -> float:
        """Return the time of the event loop, in seconds."""
        return asyncio.get_running_loop().time()

    def next_start(self) -> int:
        """Return the number of one more start of this session."""
        return next(self._starts)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run *work* in a task of the session; leaving the session waits for it."""
        task = asyncio.get_running_loop().create_task(work)
        # The loop keeps only weak references to its tasks.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _on_reordered(self, account: object) -> None:
        self.observer.reordered(cast("AccountOwner", account).name)


async def _poll(pending: PendingWorkflow) -> PollAnswer:
    return await cast("AccountOwner", pending.account).poll(pending)


def _on_end(pending: PendingWorkflow) -> None:
    cast("AccountOwner", pending.account).on_end(pending)


def _closed_error(pending: PendingWorkflow) -> SessionClosedError:
    return SessionClosedError(workflow_id=pending.id)
