"""The tables that the workers of a fleet share, in addition to those of its queue.

They are in PostgreSQL, in a schema of their own, or in a SQLite file. Statements have
named parameters such as ``:account``, and both databases understand all of them.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeAlias, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc as sa_exc
from sqlalchemy.schema import CreateSchema

from linkedapi_async._utils.files import create_private
from linkedapi_async._utils.text import safe_repr
from linkedapi_async.errors import JournalError
from linkedapi_async.fleet._connection import (
    foreign_tables,
    is_outage,
    location,
    postgresql_engine,
    sqlite_engine,
    validate_database_url,
)


T = TypeVar("T")

SCHEMA: Final = "linkedapi_campaigns"
"""The schema of the tables in PostgreSQL."""

OUTAGE_RETRY_SECONDS: Final = 60.0
"""How long a server that cannot be reached is tried again, in seconds."""

_PAUSE: Final = 0.2
"""How long to wait before it is tried again, in seconds."""

_VERSION: Final = 1

_metadata: Final = sa.MetaData()

_about: Final = sa.Table(
    "campaigns", _metadata, sa.Column("version", sa.Integer, nullable=False)
)

_number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

sa.Table(
    "names",
    _metadata,
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("sort", sa.Text, nullable=False),
    sa.Column("person", sa.BigInteger, nullable=False, index=True),
)

sa.Table(
    "contacts",
    _metadata,
    sa.Column("person", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("kept", sa.Integer, nullable=False),
    sa.Column("since", sa.Double, nullable=False),
    sa.Column("claim", sa.LargeBinary, nullable=False, index=True),
    sa.Column("attempt", sa.LargeBinary, nullable=False),
    sa.Index("contacts_of_person", "person", "kind"),
)

_bookings: Final = sa.Table(
    "bookings",
    _metadata,
    sa.Column("n", _number, primary_key=True),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("account", sa.Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("ended", sa.Double),
    sa.Column("uses", sa.Text, nullable=False),
    sa.Index("account_bookings", "account", "ended"),
    sa.Index("first_bookings", "account", "at"),
)

sa.Index(
    "open_bookings",
    _bookings.c.key,
    unique=True,
    postgresql_where=_bookings.c.ended.is_(None),
    sqlite_where=_bookings.c.ended.is_(None),
)

sa.Table(
    "durations",
    _metadata,
    sa.Column("kind", _number, primary_key=True, autoincrement=False),
    sa.Column("learnt", sa.Double, nullable=False, index=True),
    sa.Column("weight", sa.Double, nullable=False),
    sa.Column("mean", sa.Double, nullable=False),
    sa.Column("variance", sa.Double, nullable=False),
)

Execute: TypeAlias = Callable[..., Any]
"""Runs a statement with a mapping of its parameters, and returns its rows."""


class Tables:
    """A connection, and the thread that uses it in the order of the calls.

    Several users may open it; it is closed when the last one closes it.

    Args:
        url: ``postgresql://…``, or ``sqlite:///`` and a path.
        retry_seconds: How long a server that cannot be reached is tried again, in seconds.

    Raises:
        ValueError: The URL is of another kind.
    """

    def __init__(
        self, url: str, *, retry_seconds: float = OUTAGE_RETRY_SECONDS
    ) -> None:
        self._url = validate_database_url(url)
        self._is_sqlite = self._url.get_backend_name() == "sqlite"
        self._retry_seconds = retry_seconds
        self._users = 0
        self._thread: ThreadPoolExecutor | None = None
        self._engine: sa.Engine | None = None
        self._closing = threading.Event()

    async def open(self) -> None:
        """Connect, and create missing tables; each call needs an `aclose` of its own.

        Raises:
            JournalError: It cannot be used, or belongs to another application.
        """
        self._users += 1
        if self._users > 1:
            return
        self._closing.clear()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="campaigns")
        try:
            await self._in_thread(self._create)
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Finish the pending calls, then close, when the last user calls it.

        A server that cannot be reached is not tried again meanwhile.
        """
        self._users -= 1
        thread = self._thread
        if self._users or thread is None:
            return
        self._thread = None
        self._closing.set()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(thread, self._dispose)
        thread.shutdown()

    async def do(self, step: Callable[[Execute], T], *, lock: str = "") -> T:
        """Run *step* in a transaction, and return what it returns.

        Args:
            step: What to do; it may run again if its commit was lost.
            lock: No other process runs a step with the same lock at the same time; an
                empty string locks nothing.

        Raises:
            JournalError: The tables are not open, or cannot be used.
        """
        return await self._in_thread(lambda: self._with_retries(step, lock))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            raise JournalError(f"{self._name} are not open")
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, work)
        except (sa_exc.SQLAlchemyError, OSError, UnicodeError) as error:
            # The message of SQLAlchemy has the statement and its values.
            cause = getattr(error, "orig", None) or error
            reason = str(cause).partition("\n")[0]
            raise JournalError(f"{self._name} cannot be used: {reason}") from None

    def _with_retries(self, step: Callable[[Execute], T], lock: str) -> T:
        deadline = time.monotonic() + self._retry_seconds
        while True:
            try:
                return self._transact(step, lock)
            except sa_exc.DBAPIError as error:
                passes = is_outage(error) and not self._is_sqlite
                if not (passes and time.monotonic() < deadline):
                    raise
                if self._closing.wait(_PAUSE):
                    raise

    def _transact(self, step: Callable[[Execute], T], lock: str) -> T:
        engine: Any = self._engine
        with engine.begin() as connection:
            self._lock(connection, lock)
            return step(
                lambda statement, values: connection.execute(sa.text(statement), values)
            )

    def _lock(self, connection: sa.Connection, name: str) -> None:
        """Hold a lock until the end of the transaction."""
        if name and not self._is_sqlite:  # in SQLite the whole file is locked
            query = "SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"
            connection.execute(sa.text(query), {"name": name})

    def _create(self) -> None:
        self._engine = _engine(self._url)
        with self._engine.begin() as connection:
            self._lock(connection, SCHEMA)
            schema = None if self._is_sqlite else SCHEMA
            found = sa.inspect(connection)
            if schema is not None and not found.has_schema(schema):
                connection.execute(CreateSchema(schema))
            names = found.get_table_names(schema)
            if not names:
                _metadata.create_all(connection, checkfirst=False)
                connection.execute(sa.insert(_about).values(version=_VERSION))
            elif "campaigns" not in names:
                raise JournalError(foreign_tables(self._url, SCHEMA))
            else:
                self._check(connection.execute(sa.select(_about.c.version)).scalar())

    def _check(self, version: int | None) -> None:
        if version != _VERSION:
            raise JournalError(
                f"{self._name} have version {version}, this linkedapi-async uses "
                f"version {_VERSION}; use the same one on all hosts"
            )

    def _dispose(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    @property
    def _name(self) -> str:
        return f"the tables of pace and contacts ({location(self._url)})"

    @safe_repr
    def __repr__(self) -> str:
        return f"<Tables in {location(self._url)}>"


def _engine(url: sa.URL) -> sa.Engine:
    """Return the engine of a database, with at most one connection."""
    if url.get_backend_name() != "sqlite":
        settings = f"SET LOCAL search_path = {SCHEMA}"
        return postgresql_engine(url, connections=1, settings=settings)
    create_private(str(url.database))
    return sqlite_engine(url, timeout=OUTAGE_RETRY_SECONDS, pool_size=1, max_overflow=0)
