"""The connection to a database: its URL, its engine, and which errors are outages."""

from __future__ import annotations

import sqlite3
import time
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy import exc as sa_exc


def validate_database_url(url: str) -> sa.URL:
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
    raise ValueError(
        "the URL of a queue must be sqlite:///path or postgresql://…, got "
        f"{backend if backend != 'missing' else 'something else'}"
    )


def location(url: sa.URL) -> str:
    """Return the file, or the host and the database, for messages."""
    host = "" if url.get_backend_name() == "sqlite" else f"{url.host or ''}/"
    return f"{host}{url.database}"


def foreign_tables(url: sa.URL, schema: str) -> str:
    """Return the message for a schema, or a SQLite file, of another application."""
    what = "file" if url.get_backend_name() == "sqlite" else f"schema {schema}"
    return (
        f"{location(url)}: the {what} has the tables of another application; use a "
        "database of its own for the queue"
    )


def is_outage(error: Exception) -> bool:
    """Return whether an error may be temporary."""
    return isinstance(error, sa_exc.OperationalError | sa_exc.InterfaceError) or (
        isinstance(error, sa_exc.DBAPIError) and error.connection_invalidated
    )


class _SqliteConnection(sqlite3.Connection):
    """A connection with the function for the time that DBOS needs.

    From Python 3.12 on, DBOS calls ``unixepoch('subsec')``, which is null before SQLite
    3.42. Many systems with these Pythons have an older SQLite.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.create_function("unixepoch", 1, lambda _: time.time())


SQLITE_ARGUMENTS: Final = {"factory": _SqliteConnection}
"""The arguments of the driver for all files that DBOS writes."""


def sqlite_engine(url: sa.URL, *, timeout: float, **options: Any) -> sa.Engine:
    """Return an engine for a file.

    Args:
        url: The validated URL.
        timeout: How long to wait for the lock of another process, in seconds.
        options: As for `sqlalchemy.create_engine`.
    """
    arguments = {**SQLITE_ARGUMENTS, "timeout": timeout, "isolation_level": None}
    engine = sa.create_engine(url, connect_args=arguments, **options)
    # Rows must not change between reading and writing, also by other processes.
    _begin_with(engine, "BEGIN IMMEDIATE")
    return engine


def switch_to_wal(connection: sqlite3.Connection, *, timeout: float) -> None:
    """Switch a file to write-ahead logging, which it then keeps.

    Args:
        connection: A connection without a transaction.
        timeout: How long to wait for the locks of other processes, in seconds.

    Raises:
        sqlite3.OperationalError: The file is still locked after that time, or cannot be
            written.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() >= deadline:
                raise
        else:
            return
        # For this statement SQLite waits for readers, but not for another process that
        # writes, such as one that switches the same file. `BEGIN IMMEDIATE` waits.
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")


def postgresql_engine(
    url: sa.URL, *, connections: int, settings: str = "", **options: Any
) -> sa.Engine:
    """Return an engine for a server.

    Args:
        url: The validated URL.
        connections: How many it opens at most.
        settings: Further statements with which each transaction begins.
        options: As for `sqlalchemy.create_engine`.
    """
    engine = sa.create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        # Behind a pooler in the mode *transaction*, statements cannot be prepared.
        connect_args={
            "autocommit": True,  # so that it does not begin transactions itself
            "prepare_threshold": None,
            "connect_timeout": 10,
        },
        **options,
    )
    # In one message, because a round trip costs as much as the statements. The
    # time-outs are needed because a suspended process would make all others wait for
    # its locks.
    _begin_with(
        engine,
        "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '15s'; "
        f"SET LOCAL lock_timeout = '30s'; {settings}",
    )
    return engine


def _begin_with(engine: sa.Engine, statements: str) -> None:
    @event.listens_for(engine, "begin")
    def _(connection: sa.Connection) -> None:
        connection.exec_driver_sql(statements)
