"""The interface of a journal, and the journal in memory."""

from __future__ import annotations

import asyncio
import math
import time
import uuid
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Self, TypeVar

import attrs

from linkedapi_async._http.requests import validate_workflow_id
from linkedapi_async._pacing import Booking, History, Uses
from linkedapi_async._polling.durations import DurationRecord
from linkedapi_async._utils.text import is_encodable, safe_repr
from linkedapi_async.errors import About, JournalError, JournalLockedError
from linkedapi_async.journal._schema import (
    INSERT_INTENT,
    MARK_ACCEPTED,
    Change,
    EndStatus,
    Row,
    State,
    Statements,
    connect,
    open_run,
    run_step,
    update_statement,
)


T = TypeVar("T")


@attrs.frozen
class Failure:
    """Why a workflow, or an action of it, failed."""

    error: str
    """The API's type of the error."""
    about: About
    """What the error concerns."""
    wrote: bool
    """Whether the workflow may have changed something on LinkedIn."""


class Journal(ABC):
    """Records what was started, how far it came and how it ended.

    Every method returns when its change is stored, and changes take effect in the order
    of the calls. Cancelling a call cancels the wait for it, never the change. A change
    that is not possible in the row's state raises a `JournalError` and changes nothing.

    An async context manager; a `Session` opens and closes its journal. It may be opened
    again after it was closed.

    Args:
        store_results: Whether results are stored. If not, only the end status is
            stored, and the definition is erased on delivery; unfinished rows keep it,
            because typed results need it. The digests of an item's acts are kept.
    """

    run_number: int
    """The number of this opening: 1 for the first one, 0 before it."""

    def __init__(self, *, store_results: bool = True) -> None:
        self.store_results = store_results
        self.run_number = 0
        self._identity = uuid.uuid4().hex
        self._now: Callable[[], float] = time.time

    @abstractmethod
    async def open(self) -> None:
        """Open the journal; intents of earlier runs become unknown.

        Raises:
            JournalLockedError: It is open elsewhere.
            JournalError: It is not a journal, of a newer version, or damaged.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Wait for all pending changes, then close; closing twice does no harm."""

    @abstractmethod
    def _submit(self, step: Callable[[Statements], T]) -> asyncio.Future[T]:
        """Run *step*; return the future of its value, done when that is safe.

        Args:
            step: What to do.

        Raises:
            JournalError: The journal is not open. If the step cannot be stored, the
                future raises it.
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
        """Record that a workflow is about to be started; call it before sending.

        Args:
            key: The key that identifies the start from now on.
            account: The ``name`` of the account.
            definition: The workflow as JSON.
            stream: Whether it is an item of a resumable stream.

        Raises:
            ValueError: The key is used already, or is not text.
            JournalError: It could not be recorded; do not send then.
        """
        await self.submit_intent(key, account, definition, stream=stream)

    def submit_intent(
        self,
        key: str,
        account: str,
        definition: bytes,
        *,
        stream: bool,
    ) -> asyncio.Future[None]:
        """Do the same as `intend`; the future is done when the intent is stored.

        Args:
            key: As for `intend`.
            account: As for `intend`.
            definition: As for `intend`.
            stream: As for `intend`.
        """
        now = self._now()
        values = (
            *(account, definition, stream, self.run_number, now, now),
            _validate_key(key),
        )
        return self._submit(Change(INSERT_INTENT, values, _key_exists))

    async def accepted(self, key: str, workflow_id: str) -> None:
        """Record the id that the server gave; intended → accepted.

        An id that the server gives twice is recorded for both rows.
        """
        await self.submit_accepted(key, workflow_id)

    def submit_accepted(self, key: str, workflow_id: str) -> asyncio.Future[None]:
        """Do the same as `accepted`; the future is done when the id is stored."""
        values = (workflow_id, self._now(), key)
        return self._submit(Change(MARK_ACCEPTED, values, _not_accepted))

    async def refused(self, key: str) -> None:
        """Remove an intent that started nothing; its key is free again.

        Use it for a start that the server refused, or that was never sent.
        """
        await self._drop(key, "intended", "refused")

    async def unknown_start(self, key: str) -> None:
        """Record that the server may have accepted the start; intended → unknown."""
        values = ("unknown", self._now(), "intended", key)
        statement = update_statement("state", "updated")
        await self._do(Change(statement, values, _not_sent))

    async def finished(
        self,
        key: str,
        result: bytes | None,
        end_status: EndStatus,
        failure: Failure | None = None,
    ) -> None:
        """Record how a workflow ended, before it is delivered; accepted → finished.

        Calling it again for a finished row adds a missing result; a stored one is not
        changed.

        Args:
            key: The row's.
            result: The completion or failure; ignored without *store_results*.
            end_status: completed, failed, cancelled or lost.
            failure: Why it or an action of it failed, if one did.
        """
        columns = {} if failure is None else attrs.asdict(failure)
        stored = result if self.store_results else None
        now = self._now()

        def step(statements: Statements) -> None:
            """Record the end, or add its missing result."""
            new = {"state": "finished", "end_status": end_status, "updated": now}
            new |= columns
            if not statements.change(key, "accepted", **new):
                row = statements.row(key)
                if row is None or row.state != "finished":
                    raise _invalid_transition(key, statements.state(key), "finished")
                if row.result is not None:
                    return
                statements.change(key, "finished", **new)
            if stored is not None:
                statements.store_result(key, stored)

        await self._do(step)

    async def delivered(self, key: str) -> None:
        """Record that the end was delivered; finished → delivered, also twice."""
        await self._deliver(key, "finished", twice=True)

    async def adopt(self, key: str, workflow_id: str) -> None:
        """Decide that an unknown start was accepted; unknown → accepted.

        Args:
            key: The row's.
            workflow_id: The id that the platform shows for it.

        Raises:
            ValueError: It is not an id, or another row has it.
            JournalError: The row is not unknown.
        """
        validate_workflow_id(workflow_id)
        now = self._now()

        def step(statements: Statements) -> None:
            owner = statements.key_of(workflow_id)
            if owner is not None:
                raise ValueError(f"{workflow_id} is the workflow of {owner!r} already")
            new = {"state": "accepted", "workflow_id": workflow_id, "updated": now}
            if not statements.change(key, "unknown", **new):
                raise _invalid_transition(key, statements.state(key), "adopted")

        await self._do(step)

    async def suggest(self, key: str, workflow_id: str) -> None:
        """Record a workflow that an unknown start may have created, for `adopt`.

        Args:
            key: The row's.
            workflow_id: The id, from a webhook event that no known start explains.

        Raises:
            JournalError: The row is not unknown.
        """

        def step(statements: Statements) -> None:
            if not statements.suggest(key, validate_workflow_id(workflow_id)):
                state = statements.state(key)
                raise _invalid_transition(key, state, "given a candidate")

        await self._do(step)

    async def discard(self, key: str, *, again: bool = True) -> None:
        """Decide not to wait for an unknown start.

        Args:
            key: The row's.
            again: True if it was not accepted: the row is removed, and its key may be
                started again. False if it may have been accepted: the row stays, as
                delivered and lost, and only ``retry(key, again=True)`` lets its key be
                started again.

        Raises:
            JournalError: The row is not unknown.
        """
        if again:
            await self._drop(key, "unknown", "discarded")
            await self.unbook(key)
        else:
            await self._deliver(key, "unknown", word="discarded", end_status="lost")

    async def defer(
        self,
        key: str,
        account: str,
        definition: bytes,
        failure: Failure,
        *,
        until: float | None = None,
        bound: bool = False,
    ) -> None:
        """Record that an item of a stream is deferred; finished → deferred.

        The item was not started, or its workflow has ended and changed nothing. The
        next intent with its key starts it.

        Args:
            key: The item's.
            account: The ``name`` of the account that could not run it.
            definition: The workflow as JSON.
            failure: Why it is deferred.
            until: When it may be started, in seconds since 1970, if that is known.
            bound: Whether it may be started on that account only.

        Raises:
            ValueError: The key is not text.
            JournalError: The item may have changed something on LinkedIn, or its row
                is in another state.
        """
        _validate_key(key)
        if failure.wrote:
            raise JournalError(
                f"{key!r} may have changed something on LinkedIn: it cannot be deferred"
            )
        now = self._now()
        new = {
            "state": "deferred",
            "account": account,
            "end_status": None,
            "updated": now,
            "until": until,
            "bound": bound,
            **attrs.asdict(failure),
        }

        def step(statements: Statements) -> None:
            state = statements.state(key)
            if state is None:
                more = {"stream": True, "run_number": self.run_number}
                statements.insert_deferred(key, definition, **new, **more)
            elif state in {"deferred", "finished"}:
                statements.erase_result(key)
                statements.change(key, state, **new)
            else:
                raise _invalid_transition(key, state, "deferred")

        await self._do(step)

    async def deferred(self, *, account: str | None = None) -> list[Row]:
        """Return the deferred items, in order of intent.

        A stream that contains the key of one starts it. The cost depends on the number
        of deferred items, not on the size of the journal.

        Args:
            account: Only those of the account of that name.
        """
        rows = await self._do(lambda statements: statements.deferred())
        return [row for row in rows if account in {None, row.account}]

    async def delivered_items(self) -> dict[str, int | None]:
        """Return the keys of the items of streams that were delivered.

        Each key comes with the number of its acts: an act is a kind of action and its
        target. The number is None if acts are not recorded, as in rows delivered before
        version 8 of the schema.
        """
        return await self._do(lambda statements: statements.delivered_items())

    async def items_of_acts(self, acts: Iterable[bytes]) -> list[tuple[bytes, str]]:
        """Return which delivered items of streams have any of some acts.

        Its cost depends on how many there are, not on the size of the journal.

        Args:
            acts: Digests.

        Returns:
            Each act with the key of an item, in the order of the acts.
        """
        return await self._do(
            lambda statements: [
                (act, key) for act in acts for key in statements.items_of_act(act)
            ]
        )

    async def deferred_about(self) -> list[tuple[str, About]]:
        """Return which accounts have deferred items, and what holds them back.

        Each pair of an account's ``name`` and what its errors concern comes once.
        """
        return await self._do(lambda statements: statements.deferred_about())

    async def failed(self, *, account: str | None = None) -> list[Row]:
        """Return the rows that have ended with an error, in order of intent.

        They include completed workflows in which an action failed, and workflows that
        were cancelled or lost. A row that ended before version 4 of the schema is
        listed only if the workflow as a whole failed.

        Args:
            account: Only those of the account of that name.
        """
        rows = await self._do(lambda statements: statements.failed())
        return [row for row in rows if account in {None, row.account}]

    async def retry(self, key: str, *, again: bool = False) -> None:
        """Free the key of a failed workflow, so that it can run again.

        The row is removed. A stream that contains the key starts it again. A deferred
        item is no longer bound to an account.

        Args:
            key: The row's.
            again: Whether to free it even if it may have changed something on LinkedIn,
                such as by a message that was sent before another action failed.

        Raises:
            JournalError: The row is neither failed nor deferred, or may have changed
                something.
        """

        def step(statements: Statements) -> None:
            """Remove the row, unless a new start could repeat something."""
            row = statements.row(key)
            if row is None or not (row.failed or row.state == "deferred"):
                state = None if row is None else row.end_status or row.state
                raise _invalid_transition(key, state, "run again")
            # None counts as True, because an unknown workflow may have changed
            # something.
            if row.wrote is not False and not again:
                raise JournalError(
                    f"{key!r} may have changed something on LinkedIn before it failed; "
                    "look there, then pass again=True to run it again"
                )
            statements.erase(key)

        await self._do(step)

    async def retry_failed(
        self, *about: About, account: str | None = None, again: bool = False
    ) -> list[str]:
        """Free the keys of all failed workflows that can be run again.

        Args:
            about: Only those whose error concerns one of these, such as ``"category"``
                for limits that were reached; see `errors.verdict_of`.
            account: Only those of the account of that name.
            again: As for `retry`; without, rows that may have changed something stay.

        Returns:
            The keys that are free now.
        """

        def step(statements: Statements) -> list[str]:
            keys = [
                row.key
                for row in statements.failed()
                if (again or row.wrote is False)
                and account in {None, row.account}
                and (not about or row.about in about)
            ]
            for key in keys:
                statements.erase(key)
            return keys

        return await self._do(step)

    async def identity(self) -> str:
        """Return an identifier that no other journal has, the same at each opening."""
        return self._identity

    async def rows(self, *states: State) -> list[Row]:
        """Return the rows in any of *states*, or all rows, in order of intent."""
        return await self._do(lambda statements: statements.rows(states))

    async def row(self, key: str) -> Row | None:
        """Return the row of *key*, or None."""
        return await self._do(lambda statements: statements.row(key))

    async def definitions(self) -> list[tuple[str, bytes]]:
        """Return the key and the definition of every row, in order of intent.

        A definition is empty if it was erased.
        """
        return await self._do(lambda statements: statements.definitions())

    async def state(self, key: str) -> State | None:
        """Return the state of *key*, or None; this costs less than `row`."""
        return await self._do(lambda statements: statements.state(key))

    async def key_of(self, workflow_id: str) -> str | None:
        """Return the key of the first row that has *workflow_id*, or None."""
        return await self._do(lambda statements: statements.key_of(workflow_id))

    async def unknown(self, *, account: str | None = None) -> list[Row]:
        """Return the starts that wait for a decision: `adopt` or `discard`.

        Its cost depends on how many there are, not on the size of the journal.

        Args:
            account: Only those of the account of that name.
        """
        return await self._do(lambda statements: statements.unknown(account))

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

    async def durations(self) -> list[tuple[Any, ...]]:
        """Return the durations of the last `store_durations`; some may be damaged."""
        return await self._do(lambda statements: statements.durations())

    async def store_durations(self, records: Iterable[DurationRecord]) -> None:
        """Replace the stored durations of workflows.

        A session calls it from time to time, and when it is left.

        Args:
            records: For each kind of workflow a number that identifies it, and the
                weight, mean and variance of the logarithm of its durations in seconds.
        """
        await self._do(lambda statements: statements.store_durations(records))

    async def bookings(self, account: str, since: float) -> History:
        """Return the bookings for an account's pace.

        Args:
            account: The ``name`` of the account.
            since: Leaves out what had ended before, in seconds since 1970.
        """
        return await self._do(lambda statements: statements.bookings(account, since))

    def submit_booking(self, booking: Booking) -> asyncio.Future[None]:
        """Record what a start may do at most, for the pace of its account.

        It replaces a booking of its key that has not ended. The future is done when the
        booking is stored.
        """
        return self._submit(lambda statements: statements.book(booking))

    async def book_end(self, key: str, ended: float, uses: Uses | None) -> None:
        """Record the end of a booking that has not ended, if there is one.

        Args:
            key: Its key.
            ended: When the end was noticed, in seconds since 1970.
            uses: What was done, by category; None keeps the most.
        """
        await self._do(lambda statements: statements.book_end(key, ended, uses))

    async def unbook(self, key: str) -> None:
        """Remove a booking that has not ended, because nothing was started."""
        await self._do(lambda statements: statements.unbook(key))

    async def _deliver(
        self,
        key: str,
        old: State,
        *,
        word: str = "delivered",
        twice: bool = False,
        **columns: Any,
    ) -> None:
        """Change the state of a row from *old*; with *twice*, delivered is fine too."""
        if not self.store_results:
            columns["definition"] = b""
        columns |= {"state": "delivered", "updated": self._now()}

        def step(statements: Statements) -> None:
            """Record the acts of the row, before its definition is erased."""
            state = statements.state(key)
            if state == "delivered" and twice:
                return
            if state != old:
                raise _invalid_transition(key, state, word)
            statements.record_acts(key)
            statements.change(key, old, **columns)

        await self._do(step)

    async def _drop(self, key: str, old: State, word: str) -> None:
        """Remove a row that is *old*."""

        def step(statements: Statements) -> None:
            if not statements.drop(key, old):
                raise _invalid_transition(key, statements.state(key), word)

        await self._do(step)


def _validate_key(key: object) -> str:
    """Return *key* if it is text that can be stored."""
    if not isinstance(key, str):
        message = f"a key must be a string, got {key!r}"
        raise ValueError(message)  # noqa: TRY004  # as for all that is wrong with keys
    if not is_encodable(key):
        raise ValueError(f"a key must be text without lone surrogates, got {key!r}")
    return key


def _invalid_transition(key: str, state: str | None, word: str) -> JournalError:
    if state is None:
        return JournalError(f"{key!r} is not in the journal: it cannot be {word}")
    return JournalError(f"{key!r} is {state}: it cannot be {word}")


def _key_exists(statements: Statements, key: str) -> ValueError:
    return ValueError(f"{key!r} is in the journal already, {statements.state(key)}")


def _not_accepted(statements: Statements, key: str) -> JournalError:
    return _invalid_transition(key, statements.state(key), "accepted")


def _not_sent(statements: Statements, key: str) -> JournalError:
    return _invalid_transition(key, statements.state(key), "unknown")


def not_open_error(journal: Journal) -> JournalError:
    """Return the error of a call of a journal that is not open."""
    return JournalError(f"{journal!r} is not open: use it as: async with … as journal")


class MemoryJournal(Journal):
    """A journal in memory, for tests and where a crash does no harm.

    Closing and opening it again is like a crash and a new process with a file.
    """

    def __init__(self, *, store_results: bool = True) -> None:
        super().__init__(store_results=store_results)
        # The garbage collector may run in any thread.
        self._connection = connect(":memory:", check_same_thread=False)
        weakref.finalize(self, self._connection.close)
        self._is_open = False

    async def open(self) -> None:
        """Open the journal; intents of earlier runs become unknown.

        Raises:
            JournalLockedError: It is open already.
        """
        if self._is_open:
            raise JournalLockedError(path=":memory:")
        self.run_number: int = open_run(self._connection, ":memory:")
        self._is_open = True

    async def aclose(self) -> None:
        """Close the journal; its rows stay."""
        self._is_open = False

    def _submit(self, step: Callable[[Statements], T]) -> asyncio.Future[T]:
        if not self._is_open:
            raise not_open_error(self)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        connection = self._connection
        value, error = run_step(connection, ":memory:", Statements(connection), step)
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
        return future

    @safe_repr
    def __repr__(self) -> str:
        return f"<MemoryJournal, {'open' if self._is_open else 'closed'}>"
