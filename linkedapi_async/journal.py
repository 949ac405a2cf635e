"""What was started and how it ended, on disk: nothing is lost, nothing sent twice.

A row is on disk before the request that it speaks of is sent, so a crash leaves at
worst a start that is *unknown*, never one that nobody remembers. Rows name accounts;
no token ever comes here.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import os
import sqlite3
import sys
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeAlias, TypeVar

from linkedapi_async import _rows
from linkedapi_async._protocol import checked_id
from linkedapi_async._rows import How, Row, State, Step, Table, change
from linkedapi_async.errors import JournalError, JournalLockedError


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


__all__ = [
    "How",
    "Journal",
    "MemoryJournal",
    "Row",
    "SqliteJournal",
    "State",
    "open_journal",
]

T = TypeVar("T")

TURNS = 8
"""How many turns of the loop may bring steps before a batch is handed over."""


class Journal(ABC):
    """What was started, how far it came and how it ended.

    Every method returns when what it says is safe, and steps take effect in the order
    in which they were called. Cancelling a call cancels the wait for it, never the
    step. A step that does not follow from the row's state is a `JournalError` and
    changes nothing.

    An async context manager; a `Session` opens and closes the one that it is given.
    It may be opened again after it was closed.

    Args:
        store_results: Whether endings are stored. Without, only how a workflow ended
            is, and its definition is erased when it was delivered; what is unfinished
            keeps it, for nobody could wait for it with typed results otherwise.
    """

    run: int
    """Which opening this is: 1 for the first one, 0 before it."""

    def __init__(self, *, store_results: bool = True) -> None:
        self.store_results = store_results
        self.run = 0
        self._now: Callable[[], float] = time.time

    @abstractmethod
    async def open(self) -> None:
        """Open the journal; what was intended and not answered becomes unknown.

        Raises:
            JournalLockedError: Somebody else has it open.
            JournalError: It is no journal, of a newer version, or damaged.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Wait for all steps that were called, then close; twice is harmless."""

    @abstractmethod
    def _submit(
        self, step: Callable[[Table], T], begun: asyncio.Future[None] | None = None
    ) -> asyncio.Future[T]:
        """Run *step*; return the future of what it gives, done when that is safe.

        Args:
            step: What to do.
            begun: Is made done when the disk is waited for, if not before.

        Raises:
            JournalError: The journal is not open. If it could not store the step, the
                future says so.
        """

    async def _do(self, step: Callable[[Table], T]) -> T:
        return await self._submit(step)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def intend(
        self, key: str, account: str, definition: bytes, *, stream: bool = False
    ) -> None:
        """Note that a workflow is about to be started; call it before sending.

        Args:
            key: What the start is called from now on.
            account: The ``name`` of the account.
            definition: The workflow as JSON.
            stream: Whether it is an item of a resumable stream.

        Raises:
            ValueError: The key is there already, or is no text.
            JournalError: As for all steps; do not send then.
        """
        await self._intend(key, account, definition, stream=stream)

    def _intend(
        self,
        key: str,
        account: str,
        definition: bytes,
        *,
        stream: bool,
        begun: asyncio.Future[None] | None = None,
    ) -> asyncio.Future[None]:
        """Do as `intend`, for somebody who has something to do meanwhile."""
        now = self._now()
        facts = (account, definition, stream, self.run, now, now, _checked_key(key))
        return self._submit(Step(_rows.ADD, facts, _there), begun)

    async def taken(self, key: str, workflow_id: str) -> None:
        """Note the id that the server gave; intended → taken.

        The server's word is written down as it is: should it give one id twice, both
        rows have it.
        """
        await self._taken(key, workflow_id)

    def _taken(self, key: str, workflow_id: str) -> asyncio.Future[None]:
        """Do as `taken`, for somebody who has no time for a coroutine."""
        return self._submit(
            Step(_rows.TAKE, (workflow_id, self._now(), key), _not_taken)
        )

    async def refused(self, key: str) -> None:
        """Forget an intent of which nothing came; its key is free again.

        For a start that the server refused, or that was never sent.
        """
        await self._drop(key, "intended", "refused")

    async def unknown_start(self, key: str) -> None:
        """Note that the start was sent and nobody knows its fate; → unknown."""
        await self._move(key, "intended", "unknown")

    async def finished(self, key: str, ending: bytes | None, how: How) -> None:
        """Note how a workflow ended, before anybody is told; taken → finished.

        Once more for a finished row adds what is missing there; an ending that is
        stored stays as it is.

        Args:
            key: The row's.
            ending: What came; not written without *store_results*.
            how: completed, failed, cancelled or lost.
        """
        kept = ending if self.store_results else None
        now = self._now()

        def step(table: Table) -> None:
            """Note the end, or add what is missing of it."""
            new = {"state": "finished", "how": how, "updated": now}
            if not table.change(key, "taken", **new):
                row = table.row(key)
                if row is None or row.state != "finished":
                    raise _impossible(key, table.state(key), "finished")
                if row.ending is not None:
                    return
                table.change(key, "finished", **new)
            if kept is not None:
                table.keep(key, kept)

        await self._do(step)

    async def delivered(self, key: str) -> None:
        """Note that the end was seen; finished → delivered, twice is harmless."""
        await self._move(key, "finished", "delivered", twice=True, **self._erased())

    async def adopt(self, key: str, workflow_id: str) -> None:
        """Decide that an unknown start was taken; unknown → taken.

        Args:
            key: The row's.
            workflow_id: The id that the platform shows for it.

        Raises:
            ValueError: It is no id, or another row has it.
            JournalError: The row is not unknown.
        """
        checked_id(workflow_id)
        now = self._now()

        def step(table: Table) -> None:
            """Give the row its id, unless another one has it."""
            owner = table.key(workflow_id)
            if owner is not None:
                message = f"{workflow_id} is the workflow of {owner!r} already"
                raise ValueError(message)
            fields = {"state": "taken", "workflow_id": workflow_id, "updated": now}
            if not table.change(key, "unknown", **fields):
                raise _impossible(key, table.state(key), "adopted")

        await self._do(step)

    async def suggest(self, key: str, workflow_id: str) -> None:
        """Note a workflow that an unknown start may have become, for `adopt`.

        Args:
            key: The row's.
            workflow_id: The id, from a webhook event that no known start explains.

        Raises:
            JournalError: The row is not unknown.
        """

        def step(table: Table) -> None:
            """Add the candidate, or say what is there."""
            if not table.suggest(key, checked_id(workflow_id)):
                raise _impossible(key, table.state(key), "given a candidate")

        await self._do(step)

    async def discard(self, key: str, *, again: bool = True) -> None:
        """Decide that an unknown start is not waited for.

        Args:
            key: The row's.
            again: True: it was not taken; the row goes, the key is free and may be
                started again. False: it may have been taken, so leave it alone; the
                row stays, delivered and lost.

        Raises:
            JournalError: The row is not unknown.
        """
        if again:
            await self._drop(key, "unknown", "discarded")
        else:
            fields = {"how": "lost", **self._erased()}
            await self._move(key, "unknown", "delivered", word="discarded", **fields)

    async def rows(self, *states: State) -> list[Row]:
        """Return the rows in any of *states*, all without, in order of intent."""
        return await self._do(lambda table: table.rows(states))

    async def row(self, key: str) -> Row | None:
        """Return the row of *key*, or None."""
        return await self._do(lambda table: table.row(key))

    async def state(self, key: str) -> State | None:
        """Return the state of *key*, or None: cheaper than its row."""
        return await self._do(lambda table: table.state(key))

    async def unknown(self) -> list[Row]:
        """Return the starts that wait for a decision: `adopt` or `discard`."""
        return await self.rows("unknown")

    async def forget_delivered(
        self, older_than: float | None = None, *, streams: bool = False
    ) -> int:
        """Erase rows that were delivered; return how many.

        Args:
            older_than: Only those delivered at least so long ago, in seconds.
            streams: Also items of resumable streams. Their keys are free then: a
                stream that brings one again starts it again.
        """
        before = math.inf if older_than is None else self._now() - older_than
        return await self._do(lambda table: table.forget(before, streams=streams))

    def _erased(self) -> dict[str, Any]:
        """Return the fields that a delivered row loses."""
        return {} if self.store_results else {"definition": b""}

    async def _move(
        self,
        key: str,
        old: State,
        new: State,
        *,
        word: str = "",
        twice: bool = False,
        **fields: Any,
    ) -> None:
        """Change the state of a row from *old* to *new*, or find it there if *twice*."""

        def elsewhere(table: Table, key: str) -> JournalError | None:
            state = table.state(key)
            if state == new and twice:
                return None
            return _impossible(key, state, word or new)

        statement = change("state", "updated", *fields)
        facts = (new, self._now(), *fields.values(), old, key)
        await self._do(Step(statement, facts, elsewhere))

    async def _drop(self, key: str, old: State, word: str) -> None:
        """Remove a row that is *old*."""

        def step(table: Table) -> None:
            if not table.drop(key, old):
                raise _impossible(key, table.state(key), word)

        await self._do(step)


def _checked_key(key: object) -> str:
    """Return *key* if it is text that can be written down."""
    if not isinstance(key, str):
        message = f"a key is a str, got {key!r}"
        raise ValueError(message)  # noqa: TRY004  # as for all that is wrong with keys
    try:
        key.encode()
    except UnicodeEncodeError:
        message = f"a key is text without lone surrogates, got {key!r}"
        raise ValueError(message) from None
    return key


def _impossible(key: str, state: State | None, word: str) -> JournalError:
    if state is None:
        return JournalError(f"{key!r} is not in the journal: it cannot be {word}")
    return JournalError(f"{key!r} is {state}: it cannot be {word}")


def _there(table: Table, key: str) -> ValueError:
    return ValueError(f"{key!r} is in the journal already, {table.state(key)}")


def _not_taken(table: Table, key: str) -> JournalError:
    return _impossible(key, table.state(key), "taken")


def _closed(name: object) -> JournalError:
    return JournalError(f"{name!r} is not open: use it as: async with … as journal")


class MemoryJournal(Journal):
    """A journal that ends with the process: for tests, and where a crash is no loss.

    Closing and opening it again is to it what a crash and a new process are to a file.
    """

    def __init__(self, *, store_results: bool = True) -> None:
        super().__init__(store_results=store_results)
        # The last of the journal may be collected in any thread.
        self._connection = sqlite3.connect(
            ":memory:", isolation_level=None, check_same_thread=False
        )
        weakref.finalize(self, self._connection.close)
        self._is_open = False

    async def open(self) -> None:
        """Open the journal; what was intended and not answered becomes unknown.

        Raises:
            JournalLockedError: It is open already.
        """
        if self._is_open:
            raise JournalLockedError(path=":memory:")
        self.run: int = _rows.begin_run(self._connection, ":memory:")
        self._is_open = True

    async def aclose(self) -> None:
        """Close the journal; its rows stay."""
        self._is_open = False

    def _submit(
        self, step: Callable[[Table], T], begun: asyncio.Future[None] | None = None
    ) -> asyncio.Future[T]:
        if not self._is_open:
            raise _closed(self)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        try:
            future.set_result(step(Table(self._connection)))
        except (JournalError, ValueError) as error:
            future.set_exception(error)
        if begun is not None:
            begun.set_result(None)
        return future

    def __repr__(self) -> str:
        return f"<MemoryJournal, {'open' if self._is_open else 'closed'}>"


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
        self, step: Callable[[Table], T], begun: asyncio.Future[None] | None = None
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
        return _rows.read(Path(path).resolve(), states)

    def __repr__(self) -> str:
        is_open = self._writer is not None and self._writer.ready
        return f"<SqliteJournal {self.path}, {'open' if is_open else 'closed'}>"


def open_journal(value: str | os.PathLike[str] | Journal) -> Journal:
    """Return the journal that *value* is, or that is in the file of that name.

    It is not opened yet.
    """
    return value if isinstance(value, Journal) else SqliteJournal(value)


_Job: TypeAlias = tuple[
    Callable[[Table], Any], "asyncio.Future[Any]", "asyncio.Future[None] | None"
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
        self, step: Callable[[Table], Any], begun: asyncio.Future[None] | None = None
    ) -> asyncio.Future[Any]:
        """Queue *step*; return the future of what it gives, done when it is on disk."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if not self._gathered:
            self._loop.call_soon(self._gather, 0, TURNS)
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
                run = _rows.begin_run(connection, self._path)
                self._tell(_resolve, [(self.opened, run, None)])
                while batch := self._next():
                    self._tell(_resolve, self._commit(connection, batch))
        except Exception as error:  # noqa: BLE001  # whoever opens waits for it
            known = isinstance(error, JournalError)
            told = error if known else _rows.trouble(self._path, error)
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
        table, changes = Table(connection), connection.total_changes
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
                (future, None, _rows.trouble(self._path, error))
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


def _run(table: Table, job: _Job) -> _Done:
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
