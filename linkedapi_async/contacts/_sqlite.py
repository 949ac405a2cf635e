"""Contacts in a SQLite file."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from linkedapi_async._utils.files import create_private
from linkedapi_async._utils.text import safe_repr
from linkedapi_async.contacts._rows import ContactRows, SqlContactStore
from linkedapi_async.errors import JournalError


T = TypeVar("T")

_APPLICATION_ID: Final = 0x4C415043
"""The application id of a contacts file: "LAPC"."""

_VERSION: Final = 1

_SCHEMA: Final = (
    """
    CREATE TABLE names (
        digest BLOB PRIMARY KEY, sort TEXT NOT NULL, person INTEGER NOT NULL
    )
    """,
    "CREATE INDEX names_of_person ON names (person)",
    """
    CREATE TABLE contacts (
        person INTEGER NOT NULL,
        kind TEXT NOT NULL,
        kept INTEGER NOT NULL,
        since REAL NOT NULL,
        claim BLOB NOT NULL,
        attempt BLOB NOT NULL
    )
    """,
    "CREATE INDEX contacts_of_person ON contacts (person, kind)",
    "CREATE INDEX contacts_of_claim ON contacts (claim)",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {_VERSION}",
)

_LOCK_TIMEOUT: Final = 60.0
"""How long to wait for another process, in seconds."""


class SqliteContactStore(SqlContactStore):
    """Contacts in a SQLite file, which several processes may have open.

    It is readable for its owner only, and has digests instead of names. The folder must
    be on a local disk, because locks of network file systems are not reliable.

    Args:
        path: The file; it is created if it is missing.

    Raises:
        ValueError: *path* is no path of a file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if os.fspath(path) in {"", ":memory:"}:
            raise ValueError("contacts need a file, which other processes can open")
        self.path: Path = Path(path).resolve()
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Open the file.

        Raises:
            JournalError: It has other content, is damaged, or cannot be opened.
        """
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="contacts")
        try:
            self._connection = await self._in_thread(self._connect)
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Finish the pending calls, then close; closing twice does no harm."""
        thread, self._thread = self._thread, None
        if thread is not None:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(thread, self._disconnect)
            thread.shutdown()

    def _connect(self) -> sqlite3.Connection:
        create_private(self.path)
        connection = sqlite3.connect(
            self.path, isolation_level=None, timeout=_LOCK_TIMEOUT
        )
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = ON")
            with _transaction(connection):
                self._create(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _create(self, connection: sqlite3.Connection) -> None:
        """Create the tables of an empty file.

        Raises:
            JournalError: The file has other content.
        """
        marks = [
            connection.execute(query).fetchone()[0]
            for query in (
                "PRAGMA application_id",
                "PRAGMA user_version",
                "SELECT count(*) FROM sqlite_master",
            )
        ]
        if marks == [0, 0, 0]:
            for statement in _SCHEMA:
                connection.execute(statement)
        elif marks[0] != _APPLICATION_ID:
            raise JournalError(f"{self.path} has no contacts; it was left as it is")
        elif marks[1] > _VERSION:
            raise JournalError(
                f"the contacts {self.path} have version {marks[1]}, this "
                f"linkedapi-async reads up to {_VERSION}; install a newer one"
            )

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            raise JournalError(f"the contacts {self.path} are not open")
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, work)
        except (sqlite3.Error, OSError) as error:
            message = f"the contacts {self.path} cannot be used: {error}"
            raise JournalError(message) from error

    async def _do(self, step: Callable[[ContactRows], T]) -> T:
        """Run *step* in a transaction."""

        def work() -> T:
            connection: Any = self._connection
            with _transaction(connection):
                return step(ContactRows(connection.execute))

        return await self._in_thread(work)

    @safe_repr
    def __repr__(self) -> str:
        is_open = self._connection is not None
        return f"<SqliteContactStore {self.path}, {'open' if is_open else 'closed'}>"


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Run the block as one transaction that excludes other processes."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()  # a full disk may have done so already
        raise
