"""The journal in a SQLite file, which one thread writes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from linkedapi_async._utils.files import create_private
from linkedapi_async._utils.locks import FileLock
from linkedapi_async._utils.text import safe_repr
from linkedapi_async.errors import JournalError, JournalLockedError
from linkedapi_async.journal._journal import Journal, T, not_open_error
from linkedapi_async.journal._schema import (
    Row,
    State,
    Statements,
    checkpoint,
    connect,
    journal_error,
    open_run,
    read,
    run_step,
    step_error,
)
from linkedapi_async.journal._wal import check_log


MAX_GATHER_TURNS = 8
"""How many turns of the loop may add steps to a batch before it is submitted."""

MAX_LOG_CHANGES = 1_000
"""How many rows may change before the log is moved to the file."""


class SqliteJournal(Journal):
    """A journal in a file, which one process may have open at a time.

    Beside the file is ``….lock``, which remains after closing, and while it is open
    there are ``…-wal`` and ``…-shm``. Always copy or move the ``-wal`` together with
    the file. All of them are readable for their owner only. The folder must be on a
    local disk, because locks of network file systems are not reliable.

    Args:
        path: The file; it is created if it is missing.
        store_results: As for `Journal`.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, store_results: bool = True
    ) -> None:
        super().__init__(store_results=store_results)
        if os.fspath(path) in {"", ":memory:"}:
            raise ValueError("a journal needs a file; MemoryJournal() has none")
        # All paths of one file must have the same lock.
        self.path: Path = Path(path).resolve()
        self._writer: _WriterThread | None = None

    @property
    def commits(self) -> int:
        """How many commits waited for the disk since opening.

        The number is much smaller than that of changes if many changes come at once.
        """
        return self._writer.commits if self._writer else 0

    async def open(self) -> None:
        """Open the journal; intents of earlier runs become unknown.

        Raises:
            JournalLockedError: Another session or process has it open.
            JournalError: It is not a journal, of a newer version, damaged, or cannot be
                opened.
        """
        before = self._writer
        if before is not None and not before.stopping:
            raise JournalLockedError(path=str(self.path))
        writer = self._writer = _WriterThread(self.path, before)
        try:
            self.run_number: int = await writer.opened
        except BaseException:
            writer.stop()
            raise
        writer.ready = True

    async def aclose(self) -> None:
        """Wait for all pending changes, then close; closing twice does no harm."""
        if self._writer is not None:
            self._writer.stop()
            # Without the shield, cancelling one call would end the waits of others.
            await asyncio.shield(self._writer.ended)

    async def identity(self) -> str:
        """Return an identifier that no other journal has, the same at each opening.

        A file that was moved is another journal.
        """
        opened = await self._do(lambda statements: statements.first_opened())
        return f"{self.path} {opened!r}"

    def _submit(self, step: Callable[[Statements], T]) -> asyncio.Future[T]:
        if self._writer is None or not self._writer.ready:
            raise not_open_error(self)
        return self._writer.submit(step)

    @staticmethod
    def read(path: str | os.PathLike[str], *states: State) -> list[Row]:
        """Return rows of a journal, also while another process has it open.

        It is for use at a terminal, because it blocks; it writes nothing. Rows that are
        *intended* may belong to a run that crashed.

        Args:
            path: The file.
            states: Only rows in any of these.

        Raises:
            JournalError: It is not a journal, of a newer version, or damaged.
        """
        return read(Path(path).resolve(), states)

    @safe_repr
    def __repr__(self) -> str:
        is_open = self._writer is not None and self._writer.ready
        return f"<SqliteJournal {self.path}, {'open' if is_open else 'closed'}>"


def open_journal(value: str | os.PathLike[str] | Journal) -> Journal:
    """Return *value* if it is a journal, else the journal in the file of that name.

    It is not opened yet.
    """
    return value if isinstance(value, Journal) else SqliteJournal(value)


_QueuedStep: TypeAlias = tuple[Callable[[Statements], Any], "asyncio.Future[Any]"]

_FinishedStep: TypeAlias = tuple["asyncio.Future[Any]", Any, Exception | None]


class _WriterThread:
    """The only thread that uses the file of a journal.

    Steps that come during a commit share the next one, so a thousand of them wait for
    the disk a few times and not a thousand times.
    """

    def __init__(self, path: Path, before: _WriterThread | None) -> None:
        self._path = path
        self._before = before
        self._loop = asyncio.get_running_loop()
        self._wake = threading.Condition()
        self._gathered: list[_QueuedStep] = []
        self._submitted: list[_QueuedStep] = []
        self.opened: asyncio.Future[int] = self._loop.create_future()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self.ready = False
        self.stopping = False
        self.commits = 0
        # A daemon, because a program that forgot to close the journal must still end.
        self.thread = threading.Thread(
            target=self._work, name=f"journal {path.name}", daemon=True
        )
        self.thread.start()

    def submit(self, step: Callable[[Statements], Any]) -> asyncio.Future[Any]:
        """Queue *step*; return the future of its value, done when it is on disk."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if not self._gathered:
            self._loop.call_soon(self._gather_batch, 0, MAX_GATHER_TURNS)
        self._gathered.append((step, future))
        return future

    def _gather_batch(self, before: int, turns: int) -> None:
        """Submit the batch when a turn of the loop added no more steps than *before*.

        So steps of consecutive turns share a commit. A thread that is woken earlier
        would only wait for the interpreter lock.
        """
        now = len(self._gathered)
        if now > before and turns:
            self._loop.call_soon(self._gather_batch, now, turns - 1)
        else:
            self._submit_batch()

    def stop(self) -> None:
        """Let the thread end after all queued steps."""
        self.ready = False
        self.stopping = True
        self._submit_batch()

    def _submit_batch(self) -> None:
        """Pass the gathered steps to the thread."""
        with self._wake:
            self._submitted += self._gathered
            self._wake.notify()
        self._gathered = []

    def _work(self) -> None:
        if self._before is not None:
            # The thread releases the lock of the file only at its end.
            self._before.thread.join()
            self._before = None
        try:
            with contextlib.ExitStack() as stack:
                connection = self._open(stack)
                run_number = open_run(connection, self._path)
                self._call(_resolve, [(self.opened, run_number, None)])
                moved = connection.total_changes
                while batch := self._next_batch():
                    self._call(_resolve, self._commit(connection, batch))
                    if connection.total_changes - moved > MAX_LOG_CHANGES:
                        # If the disk is full, the next commit says so.
                        with contextlib.suppress(sqlite3.Error):
                            checkpoint(connection, self._path)
                        moved = connection.total_changes
        except Exception as error:  # noqa: BLE001  # the caller of open() gets it
            self._call(_resolve, [(self.opened, None, step_error(self._path, error))])
        self._call(_resolve, [(self.ended, None, None)])

    def _open(self, stack: contextlib.ExitStack) -> sqlite3.Connection:
        """Return a connection to the file, locked for as long as *stack* is."""
        if self._path.is_dir():
            raise JournalError(
                f"the journal {self._path} is a directory; pass the name of a file"
            )
        try:
            # The lock comes first, because the log of a journal that is being written
            # looks damaged.
            lock = FileLock(f"{self._path}.lock")
        except BlockingIOError:
            raise JournalLockedError(path=str(self._path)) from None
        stack.callback(lock.release)
        check_log(self._path)
        create_private(self._path)
        if self._path.stat().st_nlink > 1 and self._path.is_file():
            raise JournalError(
                f"the journal {self._path} has another name (a hard link), and each "
                "name would have a log of its own; remove the other name"
            )
        connection = connect(str(self._path))
        stack.callback(connection.close)
        return connection

    def _next_batch(self) -> list[_QueuedStep]:
        """Wait for steps and return all of them; return none to stop."""
        with self._wake:
            self._wake.wait_for(lambda: self._submitted or self.stopping)
            batch, self._submitted = self._submitted, []
        return batch

    def _commit(
        self,
        connection: sqlite3.Connection,
        batch: list[_QueuedStep],
    ) -> list[_FinishedStep]:
        """Run the steps in one transaction; return the outcome of each."""
        statements, changes = Statements(connection), connection.total_changes
        try:
            connection.execute("BEGIN IMMEDIATE")
            if statements.apply_batch([step for step, _ in batch]):
                done: list[_FinishedStep] = [
                    (future, None, None) for _, future in batch
                ]
            else:
                # SQLite also counts the changes of a batch that was rolled back.
                changes = connection.total_changes
                done = [self._run(connection, statements, job) for job in batch]
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001  # the thread must live on
            with contextlib.suppress(sqlite3.Error):
                connection.rollback()
            return [
                (future, None, journal_error(self._path, error)) for _, future in batch
            ]
        self.commits += connection.total_changes != changes
        return done

    def _run(
        self, connection: sqlite3.Connection, statements: Statements, job: _QueuedStep
    ) -> _FinishedStep:
        """Run one step alone."""
        step, future = job
        return future, *run_step(connection, self._path, statements, step)

    def _call(self, function: Callable[[list[Any]], None], values: list[Any]) -> None:
        """Call *function* with *values* in the loop."""
        # Nothing waits in a closed loop.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, values)


def _resolve(done: list[_FinishedStep]) -> None:
    for future, value, error in done:
        if future.done():  # its caller was cancelled
            continue
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
