"""The database of a queue: a thread that commits changes in batches."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeAlias, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy import exc as sa_exc
from sqlalchemy.schema import CreateSchema

from linkedapi_async._utils.files import create_private
from linkedapi_async._utils.log import error_reason, log_extra
from linkedapi_async.errors import QueueError
from linkedapi_async.fleet._connection import (
    foreign_tables,
    is_outage,
    location,
    postgresql_engine,
    sqlite_engine,
    switch_to_wal,
    validate_database_url,
)
from linkedapi_async.fleet._schema import (
    SCHEMA,
    VERSION,
    about,
    items,
    metadata,
    serialize_creation,
)


T = TypeVar("T")

Statement: TypeAlias = Callable[[sa.Connection], T]
"""A change or a query; it may run again if its commit was lost."""

Bulk: TypeAlias = Callable[[sa.Connection, list[Any]], list[Any]]
"""The same for many arguments at once; it returns one result for each, in their order."""

DatabaseCheck: TypeAlias = Callable[[sa.Connection, bool], None]
"""Raises an error if something does not fit; it is passed whether there are items."""

_BulkCall: TypeAlias = "tuple[Bulk, Any, asyncio.Future[Any]]"

_log = logging.getLogger("linkedapi_async")

LOCK_TIMEOUT: Final = 30.0
"""How long to wait for other processes that use a SQLite file, in seconds."""

MAX_BATCH: Final = 500
"""How many steps one transaction has at most."""

GATHER: Final = 0.01
"""How long the steps of a worker wait for others to share a transaction, in seconds."""

DELAYS: Final = (0.1, 0.3, 1.0, 3.0)
"""Delays between attempts during an outage, in seconds; the last one repeats."""


class RuleError(QueueError):
    """A change violates a constraint of the tables, such as one key for each item."""


class Database:
    """Runs steps in transactions; steps that wait at the same time share one.

    Args:
        url: ``sqlite:///path`` or ``postgresql://…``.
        retry_outages: Whether steps wait until an outage is over, instead of failing.
    """

    def __init__(self, url: str, *, retry_outages: bool = False) -> None:
        self.url = validate_database_url(url)
        self._retry_outages = retry_outages
        self.is_sqlite: bool = self.url.get_backend_name() == "sqlite"
        self.engine: sa.Engine = _engine(self.url)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="linkedapi-queue")
        self._waiting: list[_BulkCall] = []
        self._one_by_one = 0
        self._task: asyncio.Task[None] | None = None
        self.commits = 0
        """How many transactions were committed."""

    async def open(self, check: DatabaseCheck | None = None) -> None:
        """Create the missing tables, or check that the tables fit.

        Args:
            check: Checks the other tables, before anything is changed.

        Raises:
            QueueError: The database cannot be reached, or is not one of this version.
        """
        try:
            await self.call(lambda: self._prepare(check))
        except sa_exc.SQLAlchemyError as error:
            raise self.failed(error) from error

    def _prepare(self, check: DatabaseCheck | None) -> None:
        """Create the tables, unless they are there; check that they are ours."""
        if self.is_sqlite:
            with contextlib.suppress(OSError):  # connecting raises the error
                create_private(str(self.url.database))
        # An error rolls all of it back.
        with self.engine.begin() as connection:
            if not self.is_sqlite:
                # Two processes may do this at the same time.
                serialize_creation(connection)
                connection.execute(CreateSchema(SCHEMA, if_not_exists=True))
            found = self.tables_in(connection, SCHEMA)
            if found:
                self._check(connection)
            if check is not None:
                one = sa.select(items.c.key).limit(1)
                check(connection, bool(found and connection.scalars(one).all()))
            if not found:
                metadata.create_all(connection, checkfirst=False)
                connection.execute(sa.insert(about).values(version=VERSION))

    def _check(self, connection: sa.Connection) -> None:
        version = self.version_in(connection, SCHEMA, about.name)
        if version is None:
            raise self.foreign(SCHEMA)
        if version != VERSION:
            raise QueueError(
                f"{self.where}: the tables of the queue have version {version}, and this "
                f"program needs version {VERSION}; use the same version of it on all hosts"
            )
        needed = {table.name for table in metadata.tables.values()}
        self.check_complete(connection, SCHEMA, needed)

    def tables_in(self, connection: sa.Connection, schema: str) -> set[str]:
        """Return the names of the tables in a schema; in SQLite, in the file."""
        place = None if self.is_sqlite else schema
        return set(sa.inspect(connection).get_table_names(place))

    def version_in(
        self, connection: sa.Connection, schema: str, name: str
    ) -> int | None:
        """Return the value of a table's only column, ``version``.

        Returns:
            None without such a table, or without a row.
        """
        if name not in self.tables_in(connection, schema):
            return None
        place = None if self.is_sqlite else schema
        columns = sa.inspect(connection).get_columns(name, place)
        if [column["name"] for column in columns] != ["version"]:
            return None
        table = sa.table(name, sa.column("version"), schema=place)
        version = connection.scalar(sa.select(table.c.version))
        return version if isinstance(version, int) else None

    def foreign(self, schema: str) -> QueueError:
        """Return the error for a schema, or a file, of another application."""
        return QueueError(foreign_tables(self.url, schema))

    def check_complete(
        self, connection: sa.Connection, schema: str, needed: Iterable[str]
    ) -> None:
        """Raise an error unless a schema has all tables that are needed."""
        missing = sorted(set(needed) - self.tables_in(connection, schema))
        if missing:
            raise QueueError(
                f"{self.where}: the queue lacks the tables {', '.join(missing)}; restore "
                "it from a backup"
            )

    @property
    def where(self) -> str:
        """The file, or the host and the name of the database, for messages."""
        return location(self.url)

    def failed(self, error: Exception) -> Exception:
        """Return the error that a caller gets instead of one of the database."""
        if not isinstance(error, sa_exc.SQLAlchemyError):
            return error
        # The message of SQLAlchemy has the statement and its values.
        cause = error.orig if isinstance(error, sa_exc.DBAPIError) else error
        kind = RuleError if isinstance(error, sa_exc.IntegrityError) else QueueError
        return kind(
            f"the database of the queue, {self.where}, cannot be used: "
            f"{type(cause).__name__}: {cause}"
        )

    async def close(self) -> None:
        """Wait for the pending steps, then close the connections."""
        if self._task is not None:
            await asyncio.wait({self._task})
        await self.call(self.engine.dispose)
        self._thread.shutdown()

    async def call(self, work: Callable[[], T]) -> T:
        """Return what *work* returns, from the thread of the database."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def do(self, step: Statement[T]) -> T:
        """Return what *step* returns, once it is committed.

        Raises:
            QueueError: The database cannot be used.
        """
        found: T = await self.do_bulk(_each, step)
        return found

    async def do_bulk(self, bulk: Bulk, argument: Any) -> Any:
        """Return what *bulk* returns for an argument, once it is committed.

        It is called once for all waiting arguments, because a round trip to the
        database costs more than the work there.

        Raises:
            QueueError: The database cannot be used.
            RuleError: It violates a constraint of the tables.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((bulk, argument, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._commit_waiting())
        return await future

    async def _commit_waiting(self) -> None:
        while self._waiting:
            if self._retry_outages and not self._one_by_one:
                await asyncio.sleep(GATHER)
            size = 1 if self._one_by_one else MAX_BATCH
            self._one_by_one = max(0, self._one_by_one - 1)
            batch = self._waiting[:size]
            del self._waiting[:size]
            await self._commit(batch)

    async def _commit(self, batch: list[_BulkCall]) -> None:
        ends: list[Any] = []
        try:
            ends = await self._run_with_retries(batch)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is delivered
            if len(batch) == 1 or is_outage(error):
                ends = [self.failed(error)] * len(batch)
        if ends:
            _settle(batch, ends)
        else:
            # One step failed and it is unknown which, so each runs alone.
            self._waiting[:0] = batch
            self._one_by_one = len(batch)

    async def _run_with_retries(self, batch: list[_BulkCall]) -> list[Any]:
        """Run *batch* in a transaction, again after an outage if that is wanted."""
        attempt = 0
        began = time.monotonic()
        while True:
            try:
                ends = await self.call(functools.partial(self._run, batch))
            except Exception as error:
                if not (self._retry_outages and is_outage(error)):
                    raise
                delay = DELAYS[min(attempt, len(DELAYS) - 1)]
                _log.warning(
                    "The database of the queue is not reachable (%s); the next attempt "
                    "is in %g s",
                    type(error).__name__,
                    delay,
                    extra=log_extra(
                        reason=error_reason(error), seconds=delay, attempt=attempt + 1
                    ),
                )
            else:
                if attempt:
                    seconds = time.monotonic() - began
                    _log.info(
                        "The database of the queue is reachable again, after %.1f s",
                        seconds,
                        extra=log_extra(seconds=seconds),
                    )
                return ends
            attempt += 1
            await asyncio.sleep(delay)

    def _run(self, batch: list[_BulkCall]) -> list[Any]:
        by_bulk: dict[Bulk, list[int]] = {}
        for number, (bulk, _, _) in enumerate(batch):
            by_bulk.setdefault(bulk, []).append(number)
        ends: dict[int, Any] = {}
        with self.engine.begin() as connection:
            for bulk, numbers in by_bulk.items():
                found = bulk(connection, [batch[number][1] for number in numbers])
                ends.update(zip(numbers, found, strict=True))
        self.commits += 1
        return [ends[number] for number in range(len(batch))]


def _each(connection: sa.Connection, steps: list[Statement[Any]]) -> list[Any]:
    return [step(connection) for step in steps]


def _settle(batch: list[_BulkCall], ends: list[Any]) -> None:
    """Deliver the results of steps to their callers."""
    for (_, _, future), end in zip(batch, ends, strict=True):
        if isinstance(end, Exception) and not future.done():
            future.set_exception(end)
        elif not future.done():  # otherwise its caller was cancelled
            future.set_result(end)


def _engine(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() != "sqlite":
        return postgresql_engine(url, connections=2, pool_pre_ping=True)
    engine = sqlite_engine(
        url,
        timeout=LOCK_TIMEOUT,
        execution_options={"schema_translate_map": {SCHEMA: None}},
    )

    @event.listens_for(engine, "connect")
    def _(connection: Any, _: object) -> None:
        switch_to_wal(connection, timeout=LOCK_TIMEOUT)

    return engine
