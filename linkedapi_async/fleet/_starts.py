"""The protocol of starts: what answers, after a crash, whether a workflow was sent.

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

from typing import Any, Literal, NamedTuple, TypeAlias

import attrs
import sqlalchemy as sa

from linkedapi_async._http.requests import validate_workflow_id
from linkedapi_async.errors import QueueError
from linkedapi_async.fleet._database import (
    Database,
    items,
    now,
    number_results,
    results,
)


Standing: TypeAlias = Literal[
    "ours", "free", "intended", "accepted", "unknown", "finished", "cancelled"
]

EndStatus: TypeAlias = Literal["completed", "failed", "cancelled", "lost", "refused"]
"""How an item ended. ``lost``: the API does not know its id; ``refused``: not started."""


class Found(NamedTuple):
    """What an execution finds out about its item."""

    state: Standing
    """``ours``: this execution may send it; otherwise as in the table above."""
    workflow_id: str | None = None
    """The id, if it is known."""
    definition: str = ""
    """The workflow as JSON; only `Starts.find` reads it."""


@attrs.frozen(kw_only=True)
class End:
    """How an item ended, as it is stored."""

    status: EndStatus
    workflow_id: str | None = None
    body: str | None = None
    """The completion or the failure, as JSON."""
    error: str | None = None
    """The reason, if it or an action of it failed."""
    wrote: bool = False
    """Whether it may have changed something on LinkedIn."""


class Starts:
    """The starts in one database; all workers share them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, key: str) -> Found:
        """Return what is known of a start, without an intent."""

        def step(connection: sa.Connection) -> Found:
            """Read the row."""
            row = _row(connection, key, lock=False)
            if row is None:  # it was forgotten
                return Found("finished")
            return Found(row.state, row.workflow_id, row.definition)

        return await self._database.do(step)

    async def intend(self, key: str, execution: str) -> Found:
        """Record that an execution is about to send a workflow.

        The intent of another execution without an id becomes unknown.
        """

        def step(connection: sa.Connection) -> Found:
            """Take the row if it is free."""
            new = {"execution": execution, "state": "intended"}
            row = _row(connection, key)
            if row is None:
                return Found("finished")
            if row.state == "free" and row.cancel:
                _end(connection, row, End(status="cancelled"))
                return Found("cancelled")
            if row.state == "free":
                _change(connection, key, **new, workflow_id=None, candidates=None)
                return Found("ours")
            if row.state == "intended":
                if row.execution == execution:
                    return Found("ours")
                _change(connection, key, state="unknown")
                return Found("unknown")
            return Found(row.state, row.workflow_id)

        return await self._database.do(step)

    async def accepted(self, key: str, execution: str, workflow_id: str) -> bool:
        """Record the id that the API gave; return whether this execution goes on.

        It does not if another one has found its intent and took the start for unknown:
        then the id is a candidate for the person who decides.
        """

        def step(connection: sa.Connection) -> bool:
            """Store the id, if the intent is still the own one."""
            row = _row(connection, key)
            if row is None or row.execution != execution:
                return False
            if row.state == "intended":
                _change(connection, key, state="accepted", workflow_id=workflow_id)
                return True
            if row.state == "unknown":
                _change(connection, key, candidates=[workflow_id])
            return bool(row.state == "accepted" and row.workflow_id == workflow_id)

        return await self._database.do(step)

    async def refused(self, key: str, execution: str) -> None:
        """Take an intent back, because nothing was started."""

        def step(connection: sa.Connection) -> None:
            """Free the row, if the intent is the own one."""
            if _is_intent(_row(connection, key), execution):
                _change(connection, key, state="free")

        await self._database.do(step)

    async def unknown(
        self, key: str, execution: str, candidates: tuple[str, ...] = ()
    ) -> None:
        """Record that a workflow may have been sent."""

        def step(connection: sa.Connection) -> None:
            """Change the row, if the intent is the own one."""
            if _is_intent(_row(connection, key), execution):
                _change(connection, key, state="unknown", candidates=[*candidates])

        await self._database.do(step)

    async def again(self, key: str, workflow_id: str) -> None:
        """Free the key of a workflow that has changed nothing, so that it runs again."""

        def step(connection: sa.Connection) -> None:
            """Free the row, if it has this workflow."""
            row = _row(connection, key)
            if _is_accepted(row, workflow_id):
                _change(connection, key, state="free")

        await self._database.do(step)

    async def finished(self, key: str, execution: str, end: End) -> None:
        """Record how an item ended, once.

        Args:
            key: The item's.
            execution: The execution that has seen the end.
            end: How it ended; with its workflow's id, if it had one.
        """

        def step(connection: sa.Connection) -> None:
            """Store the end, if it is of this row."""
            row = _row(connection, key)
            if _is_intent(row, execution) or _is_accepted(row, end.workflow_id):
                _end(connection, row, end)

        await self._database.do(step)

    async def waiting(self) -> list[Any]:
        """Return the rows of the starts that wait for a decision."""

        def step(connection: sa.Connection) -> list[Any]:
            """Read the rows."""
            found = sa.select(items).where(items.c.state == "unknown")
            return list(connection.execute(found.order_by(items.c.key)))

        return await self._database.do(step)

    async def adopt(self, key: str, workflow_id: str) -> None:
        """Decide that an unknown start was accepted; twice is harmless.

        Raises:
            ValueError: It is not an id, or another item has it.
            QueueError: The start is not unknown.
        """
        validate_workflow_id(workflow_id)

        def step(connection: sa.Connection) -> None:
            """Give the row its id, unless another one has it."""
            owner = connection.execute(
                sa.select(items.c.key).where(
                    items.c.workflow_id == workflow_id, items.c.key != key
                )
            ).scalar()
            if owner is not None:
                message = f"{workflow_id} is the workflow of {owner!r} already"
                raise ValueError(message)
            row = _row(connection, key)
            if row is not None and row.state == "unknown":
                _change(connection, key, state="accepted", workflow_id=workflow_id)
            elif not _is_accepted(row, workflow_id):
                raise _not_possible(row, key, "adopted")

        await self._database.do(step)

    async def discard(self, key: str) -> None:
        """Decide that an unknown start was not accepted; twice is harmless.

        Raises:
            QueueError: The start is not unknown.
        """

        def step(connection: sa.Connection) -> None:
            """Free the row."""
            row = _row(connection, key)
            if row is None or row.state not in {"unknown", "free"}:
                raise _not_possible(row, key, "discarded")
            _change(connection, key, state="free")

        await self._database.do(step)

    async def cancel(self, key: str) -> Standing:
        """Decide that an item is not to run.

        Returns:
            ``cancelled``: it will not be sent. ``accepted``: it was or may be sent, and
            its worker cancels it. ``finished``: it has ended.

        Raises:
            QueueError: The queue does not have it.
        """

        def step(connection: sa.Connection) -> Standing:
            """End the row, or ask its worker to."""
            row = _row(connection, key)
            if row is None:
                raise _not_possible(row, key, "cancelled")
            if row.state in {"finished", "cancelled"}:
                standing: Standing = row.state
                return standing
            if row.state in {"intended", "accepted"}:
                _change(connection, key, cancel=True)
                return "accepted"
            wrote = row.state == "unknown"
            _end(connection, row, End(status="cancelled", wrote=wrote))
            return "cancelled"

        return await self._database.do(step)

    async def to_cancel(self) -> list[str]:
        """Return the keys of what runs and is to be cancelled."""

        def step(connection: sa.Connection) -> list[str]:
            """Read the keys."""
            return list(
                connection.scalars(
                    sa.select(items.c.key).where(
                        items.c.cancel, items.c.state == "accepted"
                    )
                )
            )

        return await self._database.do(step)

    async def keep(self, key: str) -> None:
        """Record that an item cannot be cancelled any more."""
        await self._database.do(lambda found: _change(found, key, cancel=False))

    async def retry(self, key: str, *, again: bool) -> None:
        """Free the key of a failed item, and remove its result; twice is harmless.

        Raises:
            QueueError: It has not failed, or may have changed something.
        """

        def step(connection: sa.Connection) -> None:
            """Free the row, and remove its result."""
            row = _row(connection, key)
            if row is not None and row.state == "free":
                return  # the caller wakes it
            end = connection.execute(
                sa.select(results).where(results.c.key == key)
            ).first()
            if row is None or end is None or end.error is None:
                raise _not_possible(row, key, "run again")
            if end.wrote and not again:
                message = (
                    f"{key!r} may have changed something on LinkedIn; look there, then "
                    "pass again=True to run it again"
                )
                raise QueueError(message)
            connection.execute(sa.delete(results).where(results.c.key == key))
            _change(connection, key, state="free")

        await self._database.do(step)


def _row(connection: sa.Connection, key: str, *, lock: bool = True) -> Any:
    found = sa.select(items).where(items.c.key == key)
    return connection.execute(found.with_for_update() if lock else found).first()


def _is_intent(row: Any, execution: str) -> bool:
    return row is not None and (row.state, row.execution) == ("intended", execution)


def _is_accepted(row: Any, workflow_id: str | None) -> bool:
    return row is not None and (row.state, row.workflow_id) == ("accepted", workflow_id)


def _change(connection: sa.Connection, key: str, **columns: object) -> None:
    connection.execute(sa.update(items).where(items.c.key == key).values(columns))


def _end(connection: sa.Connection, row: Any, end: End) -> None:
    """Store a result, and close the start."""
    number_results(connection)
    error = end.error or (end.status if end.status != "completed" else None)
    connection.execute(
        sa.insert(results).values(
            key=row.key,
            account=row.account,
            workflow_id=end.workflow_id,
            status=end.status,
            body=end.body,
            error=error,
            wrote=end.wrote,
            ended_at=now(connection),
        )
    )
    state = "cancelled" if end.status == "cancelled" else "finished"
    _change(connection, row.key, state=state, cancel=False)


def _not_possible(row: Any, key: str, word: str) -> QueueError:
    state = "not in the queue" if row is None else row.state
    return QueueError(f"{key!r} cannot be {word}: it is {state}")
