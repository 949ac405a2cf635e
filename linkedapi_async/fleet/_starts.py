"""The protocol of starts, which shows after a crash whether a workflow was sent.

====================  ==================================================================
state                 what is known
====================  ==================================================================
``intended``          an execution may send it, or has sent it
``accepted``          the API gave its id
``unknown``           it may have been sent; a person decides: adopt, or discard
``free``              it was not sent, or runs again: the next execution may send it
``finished``          it has a result
``cancelled``         it must not be sent
====================  ==================================================================

Only the execution that recorded an intent may send the workflow. An execution is one
call of the durable function, never a process: the same process may get an item twice.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypeVar, cast

import attrs
import sqlalchemy as sa

from linkedapi_async._http.requests import validate_workflow_id
from linkedapi_async.errors import QueueError
from linkedapi_async.fleet._database import Database, RuleError
from linkedapi_async.fleet._schema import items, now, number_results, results


T = TypeVar("T")

StartState: TypeAlias = Literal[
    "ours", "free", "intended", "accepted", "unknown", "finished", "cancelled"
]

WAKE_PATIENCE: Final = 30.0
"""Time in seconds after which a worker wakes an item that its program has not woken."""

ENDED: Final = frozenset({"finished", "cancelled"})

ItemEndStatus: TypeAlias = Literal[
    "completed", "failed", "cancelled", "lost", "refused"
]
"""How an item ended. ``lost``: the API does not know its id; ``refused``: not started."""


class Found(NamedTuple):
    """The state of an item, as an execution finds it."""

    state: StartState
    """``ours``: this execution may send it; otherwise as in the table above."""
    workflow_id: str | None = None
    """The id, if it is known."""
    definition: str = ""
    """The workflow as JSON; only `Starts.find` reads it."""
    trace: dict[str, str] | None = None
    """The trace context of its submission; only `Starts.find` reads it."""
    seconds_held: float = 0.0
    """How long it must not be sent yet, in seconds; only `Starts.find` reads it."""


@attrs.frozen(kw_only=True)
class End:
    """How an item ended, as it is stored."""

    status: ItemEndStatus
    workflow_id: str | None = None
    body: str | None = None
    """The completion or the failure, as JSON."""
    error: str | None = None
    """The reason, if it or an action of it failed."""
    wrote: bool = False
    """Whether it may have changed something on LinkedIn."""


_CHANGING: Final = (
    *("state", "execution", "workflow_id", "candidates", "cancel"),
    *("intended_at", "unknown_at", "not_before", "wake_at"),
)
"""The columns of an item that may change."""


class _Rows:
    """The rows of items in one transaction, which are read and written together.

    Args:
        connection: The transaction's.
        keys: The items'; their rows are locked.
    """

    def __init__(self, connection: sa.Connection, keys: set[str]) -> None:
        self.connection = connection
        # Always in one order, so that two workers do not wait for each other.
        found = sa.select(
            *(items.c[name] for name in ("key", "account", *_CHANGING)),
            now(connection).label("now"),
        ).where(items.c.key.in_(sorted(keys)))
        locked = found.order_by(items.c.key).with_for_update()
        self._before = [dict(row) for row in connection.execute(locked).mappings()]
        self._rows = [SimpleNamespace(**row) for row in self._before]
        self._ends: list[dict[str, Any]] = []
        self.by_key = {row.key: row for row in self._rows}

    def free(self, row: Any, seconds: float) -> bool:
        """Let an item be sent again later, or end it if it was to be cancelled.

        Returns:
            Whether it is sent again.
        """
        if row.cancel:
            self.end(row, End(status="cancelled"))
            return False
        row.state = "free"
        # PostgreSQL gives the time as a Decimal.
        row.not_before = float(row.now) + seconds if seconds else None
        return True

    def end(self, row: Any, end: End) -> None:
        """Store a result, and close the start."""
        error = end.error or (end.status if end.status != "completed" else None)
        self._ends.append(
            {
                "key": row.key,
                "account": row.account,
                "workflow_id": end.workflow_id,
                "status": end.status,
                "body": end.body,
                "error": error,
                "wrote": end.wrote,
            }
        )
        row.state = "cancelled" if end.status == "cancelled" else "finished"
        row.cancel = False
        row.wake_at = None  # an item that has ended needs no execution

    def write(self) -> None:
        """Write the changes."""
        changed = [
            {"of": row.key, **{name: vars(row)[name] for name in _CHANGING}}
            for row, before in zip(self._rows, self._before, strict=True)
            if vars(row) != before
        ]
        if changed:
            change = sa.update(items).where(items.c.key == sa.bindparam("of"))
            self.connection.execute(change, changed)
        if self._ends:
            number_results(self.connection)
            ended = sa.insert(results).values(ended_at=now(self.connection))
            self.connection.execute(ended, self._ends)


_RowChange: TypeAlias = Callable[[Any, _Rows], T]
"""Changes the row of an item, which is None if the queue does not have it."""


def _change(
    connection: sa.Connection, calls: list[tuple[str, _RowChange[Any]]]
) -> list[Any]:
    """Run steps on the rows of their keys."""
    rows = _Rows(connection, {key for key, _ in calls})
    found = [step(rows.by_key.get(key), rows) for key, step in calls]
    rows.write()
    return found


def _find(connection: sa.Connection, keys: list[str]) -> list[Found]:
    c = items.c
    # An item that is not free waits for another reason.
    left = sa.case((c.state == "free", c.not_before - now(connection)), else_=0.0)
    held = sa.case((left > 0.0, left), else_=0.0)
    found = sa.select(
        *(c.key, c.state, c.workflow_id, c.definition, c.trace, held)
    ).where(c.key.in_(keys))
    rows = {key: Found(*rest) for key, *rest in connection.execute(found)}
    return [
        rows.get(key, Found("finished")) for key in keys
    ]  # otherwise it was removed


class Starts:
    """The starts in one database; all workers share them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, key: str) -> Found:
        """Return what is known of a start, without an intent."""
        found: Found = await self._database.do_bulk(_find, key)
        return found

    async def _step(self, key: str, step: _RowChange[T]) -> T:
        """Return what *step* returns for the row of an item."""
        found: T = await self._database.do_bulk(_change, (key, step))
        return found

    async def intend(self, key: str, execution: str) -> Found:
        """Record that an execution is about to send a workflow.

        The intent of another execution without an id becomes unknown.
        """

        def step(row: Any, rows: _Rows) -> Found:
            if row is None:
                return Found("finished")
            if row.state == "free" and row.cancel:
                rows.end(row, End(status="cancelled"))
                return Found("cancelled")
            if row.state == "free":
                row.state, row.execution = "intended", execution
                row.workflow_id = row.candidates = row.unknown_at = None
                row.intended_at = row.now
                return Found("ours")
            if row.state == "intended":
                if row.execution == execution:
                    return Found("ours")
                row.state, row.unknown_at = "unknown", row.now
                return Found("unknown")
            return Found(row.state, row.workflow_id)

        return await self._step(key, step)

    async def accepted(self, key: str, execution: str, workflow_id: str) -> bool:
        """Record the id that the API gave; return whether this execution continues.

        It does not if another execution has found its intent and made the start
        unknown, or if another item has the id. Then the start is unknown, and the id is
        a candidate for the person who decides.
        """

        def step(row: Any, _: _Rows) -> bool:
            """Store the id, if the intent still belongs to this execution."""
            if row is None or row.execution != execution:
                return False
            if row.state == "intended":
                row.state, row.workflow_id = "accepted", workflow_id
            elif row.state == "unknown":
                row.candidates = [workflow_id]
            return _is_accepted(row, workflow_id)

        try:
            return await self._step(key, step)
        except RuleError:
            await self.unknown(key, execution, (workflow_id,))
            return False

    async def refused(self, key: str, execution: str, seconds: float = 0.0) -> bool:
        """Withdraw an intent, because nothing was started.

        Args:
            key: The item's.
            execution: The execution that had the intent.
            seconds: How long no worker may send it.

        Returns:
            Whether it is tried again; False if it was to be cancelled.
        """

        def step(row: Any, rows: _Rows) -> bool:
            return not _is_intent(row, execution) or rows.free(row, seconds)

        return await self._step(key, step)

    async def unknown(
        self, key: str, execution: str, candidates: tuple[str, ...] = ()
    ) -> None:
        """Record that a workflow may have been sent."""

        def step(row: Any, _: _Rows) -> None:
            if _is_intent(row, execution):
                row.state, row.candidates = "unknown", [*candidates]
                row.unknown_at = row.now

        await self._step(key, step)

    async def again(self, key: str, workflow_id: str, seconds: float = 0.0) -> bool:
        """Free the key of a workflow that has changed nothing, so that it runs again.

        Args:
            key: The item's.
            workflow_id: The API's id of the workflow.
            seconds: How long no worker may send it.

        Returns:
            As `refused`.
        """

        def step(row: Any, rows: _Rows) -> bool:
            return not _is_accepted(row, workflow_id) or rows.free(row, seconds)

        return await self._step(key, step)

    async def finished(self, key: str, execution: str, end: End) -> Found:
        """Record how an item ended, once; return its state after that.

        Args:
            key: The item's.
            execution: The execution that has noticed the end.
            end: How it ended; with its workflow's id, if it had one.
        """

        def step(row: Any, rows: _Rows) -> Found:
            if row is None:
                return Found("finished")
            if _is_intent(row, execution) or _is_accepted(row, end.workflow_id):
                rows.end(row, end)
            return Found(row.state, row.workflow_id)

        return await self._step(key, step)

    async def waiting(self) -> list[Any]:
        """Return the rows of the starts that wait for a decision."""
        unknown = sa.select(items).where(items.c.state == "unknown")
        ordered = unknown.order_by(items.c.key)
        return await self._database.do(
            lambda connection: [*connection.execute(ordered)]
        )

    async def adopt(self, key: str, workflow_id: str) -> None:
        """Decide that an unknown start was accepted; a second call changes nothing.

        Raises:
            ValueError: It is not an id, or another item has it.
            QueueError: The start is not unknown.
        """
        validate_workflow_id(workflow_id)

        def step(row: Any, _: _Rows) -> None:
            if row is not None and row.state == "unknown":
                row.state, row.workflow_id = "accepted", workflow_id
                row.wake_at = row.now
            elif not _is_accepted(row, workflow_id):
                raise _not_possible(row, key, "adopted")

        try:
            await self._step(key, step)
        except RuleError:
            message = f"{workflow_id} is the workflow of another item already"
            raise ValueError(message) from None

    async def discard(self, key: str, *, wake: bool = True) -> None:
        """Decide that an unknown start was not accepted; a second call changes nothing.

        Args:
            key: The item's.
            wake: Whether its execution has ended, so that DBOS must start another.

        Raises:
            QueueError: The start is not unknown.
        """

        def step(row: Any, _: _Rows) -> None:
            if row is None or row.state not in {"unknown", "free"}:
                raise _not_possible(row, key, "discarded")
            row.state, row.not_before = "free", None
            row.wake_at = row.now if wake else None

        await self._step(key, step)

    async def cancel(self, key: str) -> StartState:
        """Decide that an item is not to run.

        Returns:
            ``cancelled``: it will not be sent. ``accepted``: it was or may be sent, and
            its worker cancels it. ``finished``: it has ended.

        Raises:
            QueueError: The queue does not have it.
        """

        def step(row: Any, rows: _Rows) -> StartState:
            """End the row, or request that from its worker."""
            if row is None:
                raise _not_possible(row, key, "cancelled")
            if row.state in ENDED:
                return cast("StartState", row.state)
            if row.state in {"intended", "accepted"}:
                row.cancel = True
                return "accepted"
            wrote = row.state == "unknown"
            rows.end(row, End(status="cancelled", wrote=wrote))
            return "cancelled"

        return await self._step(key, step)

    async def to_cancel(self) -> list[str]:
        """Return the keys of the running items that are to be cancelled."""
        wanted = sa.select(items.c.key).where(
            items.c.cancel, items.c.state == "accepted"
        )
        return await self._database.do(lambda connection: [*connection.scalars(wanted)])

    async def keep(self, key: str) -> None:
        """Record that an item can no longer be cancelled."""

        def step(row: Any, _: _Rows) -> None:
            if row is not None:
                row.cancel = False

        await self._step(key, step)

    async def retry(self, key: str, *, again: bool) -> None:
        """Free the key of a failed item, and remove its result; it may be called twice.

        Raises:
            QueueError: It has not failed, or may have changed something.
        """

        def step(row: Any, rows: _Rows) -> None:
            if row is not None and row.state == "free":
                return  # the caller wakes it
            end = rows.connection.execute(
                sa.select(results).where(results.c.key == key)
            ).first()
            if row is None or end is None or end.error is None:
                raise _not_possible(row, key, "run again")
            if end.wrote and not again:
                raise QueueError(
                    f"{key!r} may have changed something on LinkedIn; look there, then "
                    "pass again=True to run it again"
                )
            rows.connection.execute(sa.delete(results).where(results.c.key == key))
            row.state, row.not_before, row.wake_at = "free", None, row.now

        await self._step(key, step)

    async def to_wake(self) -> list[Any]:
        """Return the keys and accounts of the items that the caller is to wake.

        The program that changed them may have been killed before it woke them. Only one
        of several callers gets an item.
        """

        def step(connection: sa.Connection) -> list[Any]:
            time, c = now(connection), items.c
            late = sa.update(items).where(c.wake_at < time - WAKE_PATIENCE)
            claimed = late.values(wake_at=time).returning(c.key, c.account)
            return list(connection.execute(claimed))

        return await self._database.do(step)

    async def woken(self, key: str) -> None:
        """Record that DBOS has an item again."""

        def step(row: Any, _: _Rows) -> None:
            if row is not None:
                row.wake_at = None

        await self._step(key, step)


def _is_intent(row: Any, execution: str) -> bool:
    return row is not None and (row.state, row.execution) == ("intended", execution)


def _is_accepted(row: Any, workflow_id: str | None) -> bool:
    return row is not None and (row.state, row.workflow_id) == ("accepted", workflow_id)


def _not_possible(row: Any, key: str, word: str) -> QueueError:
    state = "not in the queue" if row is None else row.state
    return QueueError(f"{key!r} cannot be {word}: it is {state}")
