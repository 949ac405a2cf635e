"""The interface of a journal, and the journal in memory."""

from __future__ import annotations

import asyncio
import math
import sqlite3
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self, TypeVar

from linkedapi_async._http.requests import validate_workflow_id
from linkedapi_async.errors import JournalError, JournalLockedError
from linkedapi_async.journal._schema import (
    INSERT_INTENT,
    MARK_ACCEPTED,
    Change,
    EndStatus,
    Row,
    State,
    Statements,
    change,
    open_run,
)


T = TypeVar("T")


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
        self, step: Callable[[Statements], T], begun: asyncio.Future[None] | None = None
    ) -> asyncio.Future[T]:
        """Run *step*; return the future of what it gives, done when that is safe.

        Args:
            step: What to do.
            begun: Is made done when the disk is waited for, if not before.

        Raises:
            JournalError: The journal is not open. If it could not store the step, the
                future says so.
        """

    async def _do(self, step: Callable[[Statements], T]) -> T:
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
        return self._submit(Change(INSERT_INTENT, facts, _key_exists), begun)

    async def taken(self, key: str, workflow_id: str) -> None:
        """Note the id that the server gave; intended → taken.

        The server's word is written down as it is: should it give one id twice, both
        rows have it.
        """
        await self._taken(key, workflow_id)

    def _taken(self, key: str, workflow_id: str) -> asyncio.Future[None]:
        """Do as `taken`, for somebody who has no time for a coroutine."""
        return self._submit(
            Change(MARK_ACCEPTED, (workflow_id, self._now(), key), _not_accepted)
        )

    async def refused(self, key: str) -> None:
        """Forget an intent of which nothing came; its key is free again.

        For a start that the server refused, or that was never sent.
        """
        await self._drop(key, "intended", "refused")

    async def unknown_start(self, key: str) -> None:
        """Note that the start was sent and nobody knows its fate; → unknown."""
        await self._move(key, "intended", "unknown")

    async def finished(self, key: str, ending: bytes | None, how: EndStatus) -> None:
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

        def step(table: Statements) -> None:
            """Note the end, or add what is missing of it."""
            new = {"state": "finished", "how": how, "updated": now}
            if not table.change(key, "taken", **new):
                row = table.row(key)
                if row is None or row.state != "finished":
                    raise _invalid_transition(key, table.state(key), "finished")
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
        validate_workflow_id(workflow_id)
        now = self._now()

        def step(table: Statements) -> None:
            """Give the row its id, unless another one has it."""
            owner = table.key(workflow_id)
            if owner is not None:
                message = f"{workflow_id} is the workflow of {owner!r} already"
                raise ValueError(message)
            fields = {"state": "taken", "workflow_id": workflow_id, "updated": now}
            if not table.change(key, "unknown", **fields):
                raise _invalid_transition(key, table.state(key), "adopted")

        await self._do(step)

    async def suggest(self, key: str, workflow_id: str) -> None:
        """Note a workflow that an unknown start may have become, for `adopt`.

        Args:
            key: The row's.
            workflow_id: The id, from a webhook event that no known start explains.

        Raises:
            JournalError: The row is not unknown.
        """

        def step(table: Statements) -> None:
            """Add the candidate, or say what is there."""
            if not table.suggest(key, validate_workflow_id(workflow_id)):
                raise _invalid_transition(key, table.state(key), "given a candidate")

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

        def elsewhere(table: Statements, key: str) -> JournalError | None:
            state = table.state(key)
            if state == new and twice:
                return None
            return _invalid_transition(key, state, word or new)

        statement = change("state", "updated", *fields)
        facts = (new, self._now(), *fields.values(), old, key)
        await self._do(Change(statement, facts, elsewhere))

    async def _drop(self, key: str, old: State, word: str) -> None:
        """Remove a row that is *old*."""

        def step(table: Statements) -> None:
            if not table.drop(key, old):
                raise _invalid_transition(key, table.state(key), word)

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


def _invalid_transition(key: str, state: State | None, word: str) -> JournalError:
    if state is None:
        return JournalError(f"{key!r} is not in the journal: it cannot be {word}")
    return JournalError(f"{key!r} is {state}: it cannot be {word}")


def _key_exists(table: Statements, key: str) -> ValueError:
    return ValueError(f"{key!r} is in the journal already, {table.state(key)}")


def _not_accepted(table: Statements, key: str) -> JournalError:
    return _invalid_transition(key, table.state(key), "taken")


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
        self.run: int = open_run(self._connection, ":memory:")
        self._is_open = True

    async def aclose(self) -> None:
        """Close the journal; its rows stay."""
        self._is_open = False

    def _submit(
        self, step: Callable[[Statements], T], begun: asyncio.Future[None] | None = None
    ) -> asyncio.Future[T]:
        if not self._is_open:
            raise _closed(self)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        try:
            future.set_result(step(Statements(self._connection)))
        except (JournalError, ValueError) as error:
            future.set_exception(error)
        if begun is not None:
            begun.set_result(None)
        return future

    def __repr__(self) -> str:
        return f"<MemoryJournal, {'open' if self._is_open else 'closed'}>"
