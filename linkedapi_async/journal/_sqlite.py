"""The journal in a SQLite file: one thread writes it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import sqlite3
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from linkedapi_async.errors import JournalError, JournalLockedError
from linkedapi_async.journal._journal import Journal, T, _closed
from linkedapi_async.journal._schema import (
    Row,
    State,
    Statements,
    journal_error,
    open_run,
    read,
)


if sys.platform == "win32":  # pragma: no cover  # coverage is taken on Linux
    import msvcrt

    def _lock(file: int) -> bool:
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

else:
    import fcntl

    def _lock(file: int) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


MAX_GATHER_TURNS = 8
"""How many turns of the loop may bring steps before a batch is handed over."""


class SqliteJournal(Journal):
    """A journal in a file, which one process may have open at a time.

    Beside the file lie ``….lock``, which stays, and while it is open ``…-wal`` and
    ``…-shm``: whoever copies or moves the file takes the ``-wal`` along. All of them
    are readable for their owner only. The folder must be on a local disk: locks of
    network file systems do not always hold.

    Args:
        path: The file; it is made if it is not there.
        store_results: As for `Journal`.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, store_results: bool = True
    ) -> None:
        super().__init__(store_results=store_results)
        if os.fspath(path) in {"", ":memory:"}:
            message = "a journal needs a file; MemoryJournal() has none"
            raise ValueError(message)
        # One file, one lock, by whatever way somebody comes to it.
        self.path: Path = Path(path).resolve()
        self._writer: _Writer | None = None

    @property
    def commits(self) -> int:
        """How often the disk was waited for since opening.

        Far fewer than steps, where many wait at once.
        """
        return self._writer.commits if self._writer else 0

    async def open(self) -> None:
        """Open the journal; what was intended and not answered becomes unknown.

        Raises:
            JournalLockedError: Another session or process has it open.
            JournalError: It is no journal, of a newer version, damaged, or cannot be
                opened.
        """
        before = self._writer
        if before is not None and not before.stopping:
            raise JournalLockedError(path=str(self.path))
        writer = self._writer = _Writer(self.path, before)
        try:
            self.run: int = await writer.opened
        except BaseException:
            writer.stop()
            raise
        writer.ready = True

    async def aclose(self) -> None:
        """Wait for all steps that were called, then close; twice is harmless."""
        if self._writer is not None:
            self._writer.stop()
            await asyncio.shield(self._writer.ended)

    def _submit(
        self, step: Callable[[Statements], T], begun: asyncio.Future[None] | None = None
    ) -> asyncio.Future[T]:
        if self._writer is None or not self._writer.ready:
            raise _closed(self)
        return self._writer.submit(step, begun)

    @staticmethod
    def read(path: str | os.PathLike[str], *states: State) -> list[Row]:
        """Return rows of a journal, also while somebody else has it open.

        For people at a terminal: it blocks, and writes nothing. What reads *intended*
        may be of a run that died.

        Args:
            path: The file.
            states: Only rows in any of these.

        Raises:
            JournalError: It is no journal, of another version, or damaged.
        """
        return read(Path(path).resolve(), states)

    def __repr__(self) -> str:
        is_open = self._writer is not None and self._writer.ready
        return f"<SqliteJournal {self.path}, {'open' if is_open else 'closed'}>"


def open_journal(value: str | os.PathLike[str] | Journal) -> Journal:
    """Return the journal that *value* is, or that is in the file of that name.

    It is not opened yet.
    """
    return value if isinstance(value, Journal) else SqliteJournal(value)


_Job: TypeAlias = tuple[
    Callable[[Statements], Any], "asyncio.Future[Any]", "asyncio.Future[None] | None"
]

_Done: TypeAlias = tuple["asyncio.Future[Any]", Any, Exception | None]


class _Writer:
    """The one thread that touches the file of a journal.

    Steps that come while a commit is under way go into the next one together, so a
    thousand of them wait for the disk a few times and not a thousand times.
    """

    def __init__(self, path: Path, before: _Writer | None) -> None:
        self._path = path
        self._before = before
        self._loop = asyncio.get_running_loop()
        self._wake = threading.Condition()
        self._gathered: list[_Job] = []
        self._waiting: list[_Job] = []
        self.opened: asyncio.Future[int] = self._loop.create_future()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self.ready = False
        self.stopping = False
        self.commits = 0
        # A daemon: a program that forgot to close must end all the same.
        self.thread = threading.Thread(
            target=self._work, name=f"journal {path.name}", daemon=True
        )
        self.thread.start()

    def submit(
        self,
        step: Callable[[Statements], Any],
        begun: asyncio.Future[None] | None = None,
    ) -> asyncio.Future[Any]:
        """Queue *step*; return the future of what it gives, done when it is on disk."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if not self._gathered:
            self._loop.call_soon(self._gather, 0, MAX_GATHER_TURNS)
        self._gathered.append((step, future, begun))
        return future

    def _gather(self, before: int, turns: int) -> None:
        """Hand over once a turn of the loop has brought no more steps than *before*.

        What is called in turns that follow each other goes together so. A thread that
        is woken earlier would wait for the interpreter all the same.
        """
        now = len(self._gathered)
        if now > before and turns:
            self._loop.call_soon(self._gather, now, turns - 1)
        else:
            self._hand_over()

    def stop(self) -> None:
        """Let the thread end after all that is queued."""
        self.ready = False
        self.stopping = True
        self._hand_over()

    def _hand_over(self) -> None:
        """Give the thread what was gathered."""
        with self._wake:
            self._waiting += self._gathered
            self._wake.notify()
        self._gathered = []

    def _work(self) -> None:
        if self._before is not None:
            self._before.thread.join()
            self._before = None
        try:
            with contextlib.ExitStack() as stack:
                connection = self._open(stack)
                run = open_run(connection, self._path)
                self._tell(_resolve, [(self.opened, run, None)])
                while batch := self._next():
                    self._tell(_resolve, self._commit(connection, batch))
        except Exception as error:  # noqa: BLE001  # whoever opens waits for it
            known = isinstance(error, JournalError)
            told = error if known else journal_error(self._path, error)
            self._tell(_resolve, [(self.opened, None, told)])
        self._tell(_resolve, [(self.ended, None, None)])

    def _open(self, stack: contextlib.ExitStack) -> sqlite3.Connection:
        """Return a connection to the file, locked for as long as *stack* is."""
        lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        stack.callback(os.close, lock)
        if not _lock(lock):
            raise JournalLockedError(path=str(self._path))
        # Made here, for SQLite would make it readable for everybody.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        connection = sqlite3.connect(self._path, isolation_level=None)
        stack.callback(connection.close)
        return connection

    def _next(self) -> list[_Job]:
        """Wait for steps and return all there are; none when it is time to stop."""
        with self._wake:
            self._wake.wait_for(lambda: self._waiting or self.stopping)
            batch, self._waiting = self._waiting, []
        return batch

    def _commit(
        self,
        connection: sqlite3.Connection,
        batch: list[_Job],
    ) -> list[_Done]:
        """Run the steps in one transaction; return what each gives."""
        table, changes = Statements(connection), connection.total_changes
        begun = [future for *_, future in batch if future is not None]
        begin = functools.partial(self._tell, _begin, begun)
        try:
            if table.together([step for step, _, _ in batch], begin):
                done: list[_Done] = [(future, None, None) for _, future, _ in batch]
            else:
                changes = connection.total_changes
                connection.execute("BEGIN IMMEDIATE")
                done = [_run(table, job) for job in batch]
                begin()
                connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001  # the thread must live on
            with contextlib.suppress(sqlite3.Error):
                connection.rollback()
            begin()
            return [
                (future, None, journal_error(self._path, error))
                for _, future, _ in batch
            ]
        self.commits += connection.total_changes != changes
        return done

    def _tell(self, call: Callable[[list[Any]], None], what: list[Any]) -> None:
        """Call something in the loop, if there is anything to tell."""
        # A loop that is closed has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            if what:
                self._loop.call_soon_threadsafe(call, what)


def _run(table: Statements, job: _Job) -> _Done:
    """Run one step alone."""
    step, future, _ = job
    try:
        return future, step(table), None
    except UnicodeDecodeError:
        raise  # no step's own: what SQLite says of a damaged file
    except (JournalError, ValueError) as error:
        # A step checks before it changes: the others are not touched.
        return future, None, error


def _begin(begun: list[asyncio.Future[None]]) -> None:
    """Wake those who have something to do while the disk is waited for."""
    for future in begun:
        if not future.done():
            future.set_result(None)


def _resolve(done: list[_Done]) -> None:
    for future, value, error in done:
        if future.done():  # whoever waited was cancelled
            continue
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
