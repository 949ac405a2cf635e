"""The database of a queue: its tables, and a thread that commits changes in batches."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeAlias, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy import exc as sa_exc
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateSchema

from linkedapi_async._utils.log import error_reason, log_extra
from linkedapi_async.errors import QueueError


T = TypeVar("T")

Statement: TypeAlias = Callable[[sa.Connection], T]
"""A change or a question; it may run again if its commit was lost."""

Bulk: TypeAlias = Callable[[sa.Connection, list[Any]], list[Any]]
"""The same for many arguments at once; it returns one result for each, in their order."""

Check: TypeAlias = Callable[[sa.Connection, bool], None]
"""Raises an error if something does not fit; it gets whether there are any items."""

_Call: TypeAlias = "tuple[Bulk, Any, asyncio.Future[Any]]"

_log = logging.getLogger("linkedapi_async")

SCHEMA: Final = "linkedapi"
"""Where the tables of this library are in PostgreSQL."""

VERSION: Final = 2
"""The version of the tables below."""

MAX_BATCH: Final = 500
"""How many steps one transaction has at most."""

GATHER: Final = 0.01
"""How long the steps of a worker wait for others to share a transaction, in seconds."""

DELAYS: Final = (0.1, 0.3, 1.0, 3.0)
"""Delays between attempts during an outage, in seconds; the last one repeats."""

_SERIAL_RESULTS: Final = 5_247_231
"""The advisory lock under which results get their numbers."""

_BIG: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""A number that does not run out; SQLite has but one kind, which has another name."""

metadata = sa.MetaData(schema=SCHEMA)

about = sa.Table("about", metadata, sa.Column("version", sa.Integer, nullable=False))

lanes = sa.Table(
    "lanes",
    metadata,
    sa.Column("account", sa.Text, primary_key=True),
    sa.Column("last", sa.Integer, nullable=False),
    sa.Column("account_id", sa.Text, index=True),
)
"""The number of the last item of each lane: the order of a lane is that of its numbers.

The API's id of the account is known once there was an event of a workflow of the lane.
"""

items = sa.Table(
    "items",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("account", sa.Text, nullable=False),
    sa.Column("definition", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("execution", sa.Text),
    # Two starts do not become one workflow, even if a proxy replays an answer.
    sa.Column("workflow_id", sa.Text, unique=True),
    sa.Column("candidates", sa.JSON(none_as_null=True)),
    sa.Column("cancel", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("trace", sa.JSON(none_as_null=True)),
    # It was sent between these two, if at all.
    sa.Column("intended_at", sa.Float),
    sa.Column("unknown_at", sa.Float),
    # No worker sends it earlier, because its account may not do more before.
    sa.Column("not_before", sa.Float),
    # Since when DBOS does not know yet that it runs again.
    sa.Column("wake_at", sa.Float),
)
"""What was submitted, and what is known of its start."""

results = sa.Table(
    "results",
    metadata,
    sa.Column("number", _BIG, primary_key=True, autoincrement=True),
    sa.Column("key", sa.Text, nullable=False, unique=True),
    sa.Column("account", sa.Text, nullable=False),
    sa.Column("workflow_id", sa.Text),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("body", sa.Text),
    sa.Column("error", sa.Text),
    sa.Column("wrote", sa.Boolean, nullable=False),
    sa.Column("ended_at", sa.Float, nullable=False),
    sqlite_autoincrement=True,
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("number", _BIG, primary_key=True, autoincrement=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("workflow_id", sa.Text, index=True),
    sa.Column("account_id", sa.Text),
    sa.Column("created_at", sa.Float),
    sa.Column("body", sa.LargeBinary),
    sa.Column("received_at", sa.Float, nullable=False, index=True),
    sqlite_autoincrement=True,
)
"""The webhook events that came, each once: the digests of their ids.

Workers read those with a body: of a workflow, or, without its id, of an account. Those
that say when a workflow was created have that time.
"""

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("executor", sa.Text, primary_key=True),
    sa.Column("beat", sa.Float, nullable=False),
    sa.Column("ttl", sa.Float, nullable=False),
    sa.Column("successor", sa.Text),
    sa.Column("succeeded_at", sa.Float),
)
"""Which processes work, when each was alive, and who takes over a dead one."""

sa.Index(
    "events_created",
    events.c.account_id,
    events.c.created_at,
    postgresql_where=events.c.created_at.is_not(None),
    sqlite_where=events.c.created_at.is_not(None),
)
sa.Index(
    "items_unknown",
    items.c.key,
    postgresql_where=items.c.state == "unknown",
    sqlite_where=items.c.state == "unknown",
)
sa.Index(
    "items_to_cancel",
    items.c.key,
    postgresql_where=items.c.cancel,
    sqlite_where=items.c.cancel,
)
sa.Index(
    "items_to_wake",
    items.c.wake_at,
    postgresql_where=items.c.wake_at.is_not(None),
    sqlite_where=items.c.wake_at.is_not(None),
)
sa.Index(
    "results_failed",
    results.c.number,
    postgresql_where=results.c.error.is_not(None),
    sqlite_where=results.c.error.is_not(None),
)


class RuleError(QueueError):
    """A change is against a rule of the tables, such as one key for each item."""


class Database:
    """Runs steps in transactions; those that wait at once share one.

    Args:
        url: ``sqlite:///path`` or ``postgresql://…``.
        retry_outages: Whether steps wait until an outage is over, instead of failing.
    """

    def __init__(self, url: str, *, retry_outages: bool = False) -> None:
        self.url = checked_url(url)
        self._retry_outages = retry_outages
        self.is_sqlite: bool = self.url.get_backend_name() == "sqlite"
        self.engine: sa.Engine = _engine(self.url)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="linkedapi-queue")
        self._waiting: list[_Call] = []
        self._one_by_one = 0
        self._task: asyncio.Task[None] | None = None
        self.commits = 0
        """How many transactions were committed."""

    async def open(self, check: Check | None = None) -> None:
        """Create what is missing of the tables, or check that they fit.

        Args:
            check: Checks what else is there, before anything is changed.

        Raises:
            QueueError: The database cannot be reached, or is not one of this version.
        """
        try:
            await self.call(lambda: self._prepare(check))
        except sa_exc.SQLAlchemyError as error:
            raise self.failed(error) from error

    def _prepare(self, check: Check | None) -> None:
        """Create the tables, unless they are there; check that they are ours."""
        if self.is_sqlite:
            # Created here, because SQLite would make it readable for everybody.
            with contextlib.suppress(OSError):
                os.close(os.open(str(self.url.database), os.O_CREAT | os.O_EXCL, 0o600))
        # An error takes all of it back.
        with self.engine.begin() as connection:
            if not self.is_sqlite:
                # Two processes may be the first one.
                _serialize(connection, _SERIAL_RESULTS)
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
            message = (
                f"{self.where}: the tables of the queue have version {version}, and this "
                f"program needs version {VERSION}; use the same version of it on all hosts"
            )
            raise QueueError(message)
        needed = {table.name for table in metadata.tables.values()}
        self.check_complete(connection, SCHEMA, needed)

    def tables_in(self, connection: sa.Connection, schema: str) -> set[str]:
        """Return the names of the tables in a schema; in SQLite, in the file."""
        place = None if self.is_sqlite else schema
        return set(sa.inspect(connection).get_table_names(place))

    def version_in(
        self, connection: sa.Connection, schema: str, name: str
    ) -> int | None:
        """Return what a table has in its only column, which is called ``version``.

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
        """Return the error for a schema, or a file, that is not ours."""
        what = "file" if self.is_sqlite else f"schema {schema}"
        return QueueError(
            f"{self.where}: the {what} has the tables of another application; use a "
            "database of its own for the queue"
        )

    def check_complete(
        self, connection: sa.Connection, schema: str, needed: Iterable[str]
    ) -> None:
        """Raise an error unless a schema has all tables that are needed."""
        missing = sorted(set(needed) - self.tables_in(connection, schema))
        if missing:
            message = (
                f"{self.where}: the queue lacks the tables {', '.join(missing)}; restore "
                "it from a backup"
            )
            raise QueueError(message)

    @property
    def where(self) -> str:
        """The file, or the host and the name of the database, for messages."""
        host = "" if self.is_sqlite else f"{self.url.host or ''}/"
        return f"{host}{self.url.database}"

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
        """Wait for the steps that were called, then close the connections."""
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

        It is called once for all arguments that wait, because a round trip to the
        database costs more than what is done there.

        Raises:
            QueueError: The database cannot be used.
            RuleError: It is against a rule of the tables.
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

    async def _commit(self, batch: list[_Call]) -> None:
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

    async def _run_with_retries(self, batch: list[_Call]) -> list[Any]:
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

    def _run(self, batch: list[_Call]) -> list[Any]:
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


def _settle(batch: list[_Call], ends: list[Any]) -> None:
    """Deliver the results of steps to their callers."""
    for (_, _, future), end in zip(batch, ends, strict=True):
        if isinstance(end, Exception) and not future.done():
            future.set_exception(end)
        elif not future.done():  # else its caller was cancelled
            future.set_result(end)


def is_outage(error: Exception) -> bool:
    """Return whether an error may pass without anyone changing anything."""
    return isinstance(error, sa_exc.OperationalError | sa_exc.InterfaceError) or (
        isinstance(error, sa_exc.DBAPIError) and error.connection_invalidated
    )


def checked_url(url: str) -> sa.URL:
    """Return the parts of a URL, for the driver that is installed.

    Raises:
        ValueError: It is not ``sqlite:///path`` or ``postgresql://…``.
    """
    try:
        parts = sa.make_url(url)
    except sa_exc.ArgumentError:
        parts = sa.URL.create("missing")  # without the URL, which has a password
    backend = parts.get_backend_name()
    if backend in {"postgresql", "postgres"}:
        return parts.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and parts.database and parts.database != ":memory:":
        return parts.set(drivername="sqlite")
    message = (
        "the URL of a queue must be sqlite:///path or postgresql://…, got "
        f"{backend if backend != 'missing' else 'something else'}"
    )
    raise ValueError(message)


def _engine(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() == "sqlite":
        # What is read must still hold when it is changed, also across processes.
        opening = "BEGIN IMMEDIATE"
        engine = sa.create_engine(
            url,
            connect_args={"timeout": 30.0, "isolation_level": None},
            execution_options={"schema_translate_map": {SCHEMA: None}},
        )

        @event.listens_for(engine, "connect")
        def _(connection: Any, _: object) -> None:
            connection.execute("PRAGMA journal_mode=WAL")

    else:
        # In one message: each round trip costs as much as what it asks for. A process
        # that is stopped now would let all others wait for its locks.
        opening = (
            "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '15s'; "
            "SET LOCAL lock_timeout = '30s'"
        )
        engine = sa.create_engine(
            url,
            pool_size=2,
            max_overflow=0,
            pool_pre_ping=True,
            # Behind a pooler of transactions, statements cannot be prepared.
            connect_args={
                "autocommit": True,  # so that it does not begin transactions itself
                "prepare_threshold": None,
                "connect_timeout": 10,
            },
        )

    @event.listens_for(engine, "begin")
    def _(connection: sa.Connection) -> None:
        connection.exec_driver_sql(opening)

    return engine


def insert(connection: sa.Connection, table: sa.Table) -> Any:
    """Return an INSERT for *table* that can say what happens on a conflict."""
    is_sqlite = connection.dialect.name == "sqlite"
    return sqlite.insert(table) if is_sqlite else postgresql.insert(table)


def number_results(connection: sa.Connection) -> None:
    """Let the numbers of results be in the order of their commits.

    Otherwise one that is committed late would have a number that readers have passed.
    """
    _serialize(connection, _SERIAL_RESULTS + 1)


def number_events(connection: sa.Connection) -> None:
    """Let the numbers of events be in the order of their commits, too."""
    _serialize(connection, _SERIAL_RESULTS + 2)


def _serialize(connection: sa.Connection, lock: int) -> None:
    if connection.dialect.name != "sqlite":  # there the whole file is locked
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(lock)))


def now(connection: sa.Connection) -> sa.ColumnElement[Any]:
    """Return the time by the clock of the database, in seconds since 1970.

    Clocks of hosts may differ; that of SQLite is the host's.
    """
    if connection.dialect.name == "sqlite":
        return (sa.func.julianday("now") - 2440587.5) * 86400.0
    return sa.extract("epoch", sa.func.clock_timestamp())
