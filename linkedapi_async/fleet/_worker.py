"""A worker: one process that runs lanes of a queue."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from dbos import DBOS

from linkedapi_async._utils.log import error_reason, log_extra
from linkedapi_async._utils.text import safe_repr
from linkedapi_async.contacts import Contacts, ContactStore
from linkedapi_async.fleet._contacts import SharedContactStore
from linkedapi_async.fleet._database import Database
from linkedapi_async.fleet._dbos_client import FUNCTION, DbosClient, configuration
from linkedapi_async.fleet._done import Done, done_from
from linkedapi_async.fleet._events import EventReader
from linkedapi_async.fleet._heartbeats import Heartbeats
from linkedapi_async.fleet._items import ItemRunner, Tokens
from linkedapi_async.fleet._queue import dbos_errors, guarded, opened, read_done
from linkedapi_async.fleet._schema import results
from linkedapi_async.fleet._shared import campaign_tables, shared_state
from linkedapi_async.fleet._starts import Starts
from linkedapi_async.fleet._tables import Tables
from linkedapi_async.policies import Pace
from linkedapi_async.session import Session


DECLARED_DEAD: Final = 75
"""The exit status of a worker that was replaced by another one."""

BEATS: Final = 10
"""How many heartbeats a worker sends in its *ttl*; each time it checks others."""

REQUEUE_CHUNK: Final = 1_000
"""How many lanes of a dead worker are put back in one step.

In several steps, because otherwise one worker would claim all of them.
"""

REQUEUE_INTERVAL: Final = 0.5
"""The time between two steps, in seconds."""

_log = logging.getLogger("linkedapi_async")

_fleet_log = logging.getLogger("linkedapi_async.fleet")


class Worker:
    """Runs the items of a queue, beside any number of other workers.

    A process has one worker at most. ``linkedapi worker worker:worker`` runs this one,
    in the module ``worker.py``::

        async def token(account: str) -> str:
            return await vault.read(f"linkedin/{account}")

        worker = Worker(DATABASE_URL, session=Session.from_env, token=token)

    Args:
        url: The queue's database, as for `Queue`.
        session: Returns the session that sends and polls, such as `Session.from_env`;
            it must have neither a journal nor a pace of its own. With *pace* or
            *contacts*, it is called with those that are set, and ``shared``, as keyword
            arguments.
        token: Returns the identification token of an account; it is called for each
            item and its result is not stored. If it fails, the account waits.
        lanes: The maximum number of accounts that a worker serves at once; the worker
            that started last sets it for all.
        starts: The maximum number of starts in progress. A crash makes at most as many
            unknown.
        ttl: How long after its last heartbeat a worker is replaced, in seconds.
        interval: The time between two queries for items and webhook events, in seconds;
            for items, the worker that started last sets it for all.
        pace: How much each account may do, and when, counted over all workers. An item
            that it does not allow yet waits in its lane.
        contacts: Makes the contacts that all workers share from their store: `Contacts`,
            or ``functools.partial(Contacts, once_in=…)``.
        on_result: Called with each `Done` of this worker, at least once, before the
            next item of its lane begins. A plain or a coroutine function; it is called
            again when it fails.

    Raises:
        ValueError: A number is too small, or the URL is of another kind.
    """

    def __init__(
        self,
        url: str,
        *,
        session: Callable[..., Session],
        token: Tokens,
        lanes: int = 5000,
        starts: int = 8,
        ttl: float = 15.0,
        interval: float = 2.0,
        pace: Pace | None = None,
        contacts: Callable[[ContactStore], Contacts] | None = None,
        on_result: Callable[[Done], Awaitable[object] | object] | None = None,
    ) -> None:
        for name, number, least in (
            ("lanes", lanes, 1),
            ("starts", starts, 1),
            ("ttl", ttl, 0.1),
            ("interval", interval, 0.01),
        ):
            if not number >= least:
                raise ValueError(f"{name} must be at least {least}, got {number!r}")
        self._database = Database(url, retry_outages=True)
        self._session = session
        self._token = token
        self._lanes = lanes
        self._limit = starts
        self._ttl = ttl
        self._interval = interval
        self._pace = pace
        self._contacts = contacts
        self._on_result = on_result
        self._items: ItemRunner | None = None
        self._stop = asyncio.Event()
        self._failure: Exception | None = None
        self._dead = False
        self._beat_at: float | None = None
        self._alive_since: tuple[float, float] | None = None
        self._steady_since = 0.0
        self._taken: dict[str, int] = {}
        """How many lanes of each dead worker were put back so far."""

    def stop(self) -> None:
        """Let `run` end: starts in progress finish, and others get the lanes."""
        self._stop.set()

    def health(self) -> dict[str, Any]:
        """Return the health of the worker, for probes.

        Returns:
            ``lanes`` and ``starts`` in progress, and ``beat``, the age of the last
            heartbeat in seconds, or None before the first one. ``database`` is whether
            that age is less than the *ttl*, because heartbeats are written to the
            database. ``ok`` is whether, in addition, the worker runs.
        """
        age = None if self._beat_at is None else time.monotonic() - self._beat_at
        database = age is not None and age < self._ttl
        running = self._items is not None and not self._stop.is_set()
        return {
            "ok": running and database,
            "database": database,
            "lanes": 0 if self._items is None else self._items.running,
            "starts": 0 if self._items is None else self._items.starting,
            "beat": age,
        }

    async def run(self) -> int:
        """Work until `stop` is called.

        Returns:
            0; or 75 if the worker was suspended for longer than its *ttl*, and another
            one has taken over its lanes.

        Raises:
            QueueError: The database cannot be reached, or belongs to another application.
            JournalError: The tables of the pace and the contacts cannot be used.
            ValueError: The session has a journal, or a pace of its own.
            PollingCrashedError: The session's polling engine crashed.
        """
        tables = campaign_tables(self._database.url)
        session = self._session(**self._settings(tables))
        for name, allowed, reason in (
            ("journal", None, "a journal: the queue records the starts"),
            ("pace", self._pace, "a pace of its own: pass pace= to Worker"),
        ):
            if getattr(session, name) is not allowed:
                raise ValueError(f"the session of a worker must not have {reason}")
        client = await opened(self._database)
        executor = uuid.uuid4().hex
        heartbeats = Heartbeats(self._database, executor, self._ttl)
        try:
            await guarded(
                self._database,
                self._database.call(
                    lambda: client.register(self._lanes, self._interval)
                ),
            )
            async with contextlib.AsyncExitStack() as stack:
                if self._is_campaign:
                    await tables.open()
                    stack.push_async_callback(tables.aclose)
                await stack.enter_async_context(session)
                await self._work(session, client, heartbeats, executor)
        finally:
            await self._database.call(client.close)
            await self._database.close()
        if self._failure is not None:
            raise self._failure
        return DECLARED_DEAD if self._dead else 0

    @property
    def _is_campaign(self) -> bool:
        return self._pace is not None or self._contacts is not None

    def _settings(self, tables: Tables) -> dict[str, Any]:
        """Return the arguments that the worker passes to its session."""
        settings: dict[str, Any] = {}
        if self._is_campaign:
            settings["shared"] = shared_state(tables, waits=False)
        if self._pace is not None:
            settings["pace"] = self._pace
        if self._contacts is not None:
            settings["contacts"] = self._contacts(SharedContactStore(tables))
        return settings

    async def _work(
        self,
        session: Session,
        client: DbosClient,
        heartbeats: Heartbeats,
        executor: str,
    ) -> None:
        events = EventReader(self._database)
        await events.open(session)
        starts = Starts(self._database)
        runner = self._items = ItemRunner(
            session,
            starts,
            events=events,
            token=self._token,
            limit=self._limit,
            deliver=None if self._on_result is None else self._deliver,
            crash=self._crash,
            is_alive=self._is_alive,
        )
        # DBOS uses the loop's default executor and shuts it down.
        threads = ThreadPoolExecutor(1, thread_name_prefix="linkedapi-worker")
        loop = asyncio.get_running_loop()
        began = clocks()
        await heartbeats.enter()
        self._alive_since = began
        DBOS(config=configuration(self._database, executor))
        durable(runner)
        with dbos_errors(self._database):
            DBOS.launch()
        tasks = {
            asyncio.create_task(self._keep_alive(heartbeats, runner, starts, client)),
            asyncio.create_task(events.run(self._interval)),
        }
        known = log_extra(executor=executor)
        _fleet_log.info("The worker starts", extra=known)
        try:
            await self._stop.wait()
            _fleet_log.info(
                "The worker stops: %d starts are in progress, %d lanes go to others",
                runner.starting,
                runner.running,
                extra=known | log_extra(lanes=runner.running),
            )
            await runner.quiesce()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await loop.run_in_executor(threads, destroy)
            loop.set_default_executor(threads)
            await self._leave(heartbeats, client, executor)
            await runner.close()

    async def _leave(
        self, heartbeats: Heartbeats, client: DbosClient, executor: str
    ) -> None:
        """Give the items of this worker to others at once, before the ttl is over."""
        try:
            await self._database.call(lambda: client.requeue(executor))
        except Exception as error:  # noqa: BLE001  # the row of this worker stays
            _log.warning(
                "Could not give the lanes of this worker to others, which take them over "
                "after its ttl: %s",
                error,
                extra=log_extra(executor=executor, reason=error_reason(error)),
            )
        else:
            await heartbeats.leave()

    def _is_alive(self) -> bool:
        """Return whether no other worker can have taken over yet."""
        since = self._alive_since
        return since is not None and all(
            now - then < self._ttl for now, then in zip(clocks(), since, strict=True)
        )

    def _crash(self, error: Exception) -> None:
        self._failure = error
        self._stop.set()

    async def _keep_alive(
        self,
        heartbeats: Heartbeats,
        runner: ItemRunner,
        starts: Starts,
        client: DbosClient,
    ) -> None:
        try:
            await self._beat(heartbeats, runner, starts, client)
        except Exception as error:  # noqa: BLE001  # closed by default
            # The worker could send nothing more, but would keep its lanes.
            self._crash(error)

    async def _beat(
        self,
        heartbeats: Heartbeats,
        runner: ItemRunner,
        starts: Starts,
        client: DbosClient,
    ) -> None:
        """Send heartbeats, and do the regular work for the queue."""
        while True:
            # Read before the beat is stored, so that the others wait longer than this
            # worker.
            began = clocks()
            if not await heartbeats.beat():
                _log.error("Another worker has taken over the lanes of this one")
                self._dead = True
                self._stop.set()
                return
            self._alive_since = began
            now = time.monotonic()
            if self._beat_at is None or now - self._beat_at > self._ttl:
                self._steady_since = now
            self._beat_at = now
            # After an outage all heartbeats are old, and most workers are alive.
            if now - self._steady_since >= self._ttl:
                await self._take_over(heartbeats, client)
            await runner.cancel_wanted()
            await self._wake(starts, client)
            pause = self._ttl / BEATS
            await asyncio.sleep(min(pause, REQUEUE_INTERVAL) if self._taken else pause)

    async def _take_over(self, heartbeats: Heartbeats, client: DbosClient) -> None:
        for executor in await heartbeats.claim():
            self._taken.setdefault(executor, 0)
        for executor in tuple(self._taken):
            try:
                taken = await self._database.call(
                    functools.partial(client.requeue, executor, REQUEUE_CHUNK)
                )
            except Exception as error:  # noqa: BLE001  # it is claimed again after a ttl
                del self._taken[executor]
                _log.warning(
                    "Could not take over a dead worker: %s",
                    error,
                    extra=log_extra(executor=executor, reason=error_reason(error)),
                )
            else:
                self._taken[executor] += taken
                if taken == REQUEUE_CHUNK:
                    continue  # more lanes may be left
                taken = self._taken.pop(executor)
                await heartbeats.forget(executor)
                # 0 is normal: a worker that has been dead for long is checked, too,
                # because it may have claimed items after it woke up.
                _log.log(
                    logging.WARNING if taken else logging.DEBUG,
                    "Took over %d lanes of a dead worker",
                    taken,
                    extra=log_extra(executor=executor, lanes=taken),
                )

    async def _wake(self, starts: Starts, client: DbosClient) -> None:
        """Wake the items that their programs changed, but could not wake."""
        for key, account in await starts.to_wake():
            try:
                woken = await self._database.call(
                    functools.partial(client.wake_ended, key, account)
                )
            except Exception as error:  # noqa: BLE001  # it is tried again
                _log.warning(
                    "Could not wake %s: %s",
                    key,
                    error,
                    extra=log_extra(key=key, reason=error_reason(error)),
                )
            else:
                if woken:
                    await starts.woken(key)

    async def _deliver(self, key: str) -> None:
        """Call *on_result* with the result of an item."""
        assert self._on_result is not None  # noqa: S101  # else this is not called
        found = await self._database.do(
            lambda connection: connection.execute(
                read_done(results.c.key == key)
            ).first()
        )
        if found is not None:  # otherwise it was forgotten
            called = self._on_result(done_from(found))
            if inspect.isawaitable(called):
                await called

    @safe_repr
    def __repr__(self) -> str:
        return f"<Worker {self._database.url.get_backend_name()}>"


def clocks() -> tuple[float, float]:
    """Return the time by two clocks, in seconds.

    The monotonic clock stops while the machine sleeps; the wall clock may be changed.
    """
    return time.monotonic(), time.time()


def durable(runner: ItemRunner) -> None:
    """Register the function that DBOS calls for each item."""

    @DBOS.workflow(name=FUNCTION, max_recovery_attempts=None)
    async def _(account: str) -> str:
        """Run an item; its id is the key."""
        return await runner.run(str(DBOS.workflow_id), account)


def destroy() -> None:
    """End DBOS in this process, without waiting for running functions."""
    logging.getLogger("dbos").setLevel(logging.CRITICAL)
    DBOS.destroy(destroy_registry=True)
