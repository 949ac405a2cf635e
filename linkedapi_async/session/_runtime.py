"""The state that all parts of one session share."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Protocol, cast

import attrs

from linkedapi_async._http.caller import RetryingCaller
from linkedapi_async._http.connection import Connection, ConnectionState
from linkedapi_async._http.requests import ApiRequests
from linkedapi_async._http.transport import AiohttpTransport
from linkedapi_async._polling.poller import Poller
from linkedapi_async.errors import SessionClosedError
from linkedapi_async.session._observer import Observer


if TYPE_CHECKING:
    import random

    from linkedapi_async._polling.answers import Answer
    from linkedapi_async._polling.lane import PendingWorkflow
    from linkedapi_async.journal import Journal
    from linkedapi_async.policies import Polling


@attrs.define
class Counters:
    """What a session counts by itself."""

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

    async def poll(self, pending: PendingWorkflow) -> Answer:
        """Poll a workflow once."""
        ...

    def on_end(self, pending: PendingWorkflow) -> None:
        """Take note that the wait for a workflow has ended."""
        ...

    async def cancel(self, workflow_id: str) -> bool:
        """Cancel a workflow; return whether it was cancelled."""
        ...


class StartEvents(Protocol):
    """What webhook events say of workflows that the session does not know."""

    def match(self, workflow_id: str) -> None:
        """Use what came before the session knew the workflow."""
        ...

    def reconsider(self, account: str) -> None:
        """Look whether early events explain unknown starts of an account."""
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
    """

    def __init__(
        self,
        *,
        connection: Connection,
        polling: Polling,
        rate: float | None,
        request_timeout: float,
        journal: Journal | None,
        sole_client: bool,
    ) -> None:
        self.connection = connection
        self.polling = polling
        self.request_timeout = request_timeout
        self.journal = journal
        self.sole_client = sole_client
        self.observer = Observer()
        self.counters = Counters()
        self.start_events: list[StartEvents] = []
        self.start_limit = asyncio.Semaphore(connection.connections)
        self.poller = Poller(
            _poll,
            polling,
            in_flight=connection.connections,
            rate=rate,
            on_finish=_on_end,
            on_reorder=self._on_reordered,
            on_outage=self._on_outage,
            rng=connection.rng,
        )
        self.transport: AiohttpTransport
        self.caller: RetryingCaller
        self._starts = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def requests(self) -> ApiRequests:
        """The requests of the API."""
        return self.connection.requests

    @property
    def rng(self) -> random.Random:
        """The source of jitter."""
        return self.connection.rng

    @property
    def state(self) -> ConnectionState:
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
        self.transport = self.connection.open()
        self.caller = self.connection.caller(self.poller, self.transport)
        if self.journal is not None:
            try:
                await self.journal.open()
            except BaseException:
                await self.connection.aclose()
                raise
        self.poller.start()

    async def close(self, before: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Let starts under way end, then end every wait, and close everything.

        Args:
            before: Is called once no start is under way, while polling goes on.
        """
        self._closed = True
        async with AsyncExitStack() as stack:
            # From the last line to the first, whatever goes wrong on the way.
            if self.journal is not None:
                stack.push_async_callback(self.journal.aclose)
            stack.push_async_callback(self.connection.aclose)
            stack.push_async_callback(self.join)
            stack.push_async_callback(self.poller.aclose, _closed_error)
            # Starts under way end, at most a request timeout later: no id is lost.
            await self.join()
            await before()

    def check_open(self) -> None:
        """Check that the session may be used here and now.

        Raises:
            RuntimeError: It is not entered, or was entered in another event loop.
            SessionClosedError: It was left.
        """
        if self._closed:
            raise SessionClosedError
        self.connection.check_open()

    def now(self) -> float:
        """Return the time of the event loop, in seconds."""
        return asyncio.get_running_loop().time()

    def next_start(self) -> int:
        """Return the number of one more start of this session."""
        return next(self._starts)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run *work* in a task of the session; leaving the session waits for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def join(self) -> None:
        """Wait for the tasks of the session."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _on_reordered(self, account: object) -> None:
        self.observer.reordered(cast("AccountOwner", account).name)

    def _on_outage(
        self, error: Exception | None, failures: int, seconds: float
    ) -> None:
        if error is None:
            self.observer.outage_ended(failures, seconds)
        else:
            self.observer.outage_began(error, failures)


async def _poll(pending: PendingWorkflow) -> Answer:
    return await cast("AccountOwner", pending.account).poll(pending)


def _on_end(pending: PendingWorkflow) -> None:
    cast("AccountOwner", pending.account).on_end(pending)


def _closed_error(pending: PendingWorkflow) -> SessionClosedError:
    return SessionClosedError(workflow_id=pending.id)
