"""One start in the journal, from the intent to the acknowledgement."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeAlias

from linkedapi_async._actions.action import nodes_of
from linkedapi_async._http.responses import CompletedWorkflow
from linkedapi_async._results.key import writes
from linkedapi_async._utils.json import decode_json, encode_json
from linkedapi_async._utils.log import error_reason, log_errors, log_extra
from linkedapi_async._utils.text import short_repr
from linkedapi_async._wire.load import load_silently
from linkedapi_async._wire.read import read_completion
from linkedapi_async.errors import (
    LinkedApiError,
    WorkflowCancelledError,
    WorkflowFailedError,
    WorkflowNotFoundError,
    verdict_of,
)


if TYPE_CHECKING:
    from linkedapi_async.journal import EndStatus, Journal, Row


_log = logging.getLogger("linkedapi_async")

Spawn: TypeAlias = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class JournalRecorder:
    """Records one start in the journal.

    Args:
        journal: An open one.
        spawn: Runs a coroutine in a task; leaving the session waits for that task.
        key: The key of the start in the journal.
        stream: Whether it is an item of a stream, because a stream acknowledges its
            items itself.
        named: Whether the key is the caller's, and so is never used again.
    """

    __slots__ = (
        "_acknowledged",
        "_end_recorded",
        "_journal",
        "_named",
        "_spawn",
        "key",
        "stream",
    )

    def __init__(
        self,
        journal: Journal,
        spawn: Spawn,
        key: str,
        *,
        stream: bool,
        named: bool = True,
    ) -> None:
        self._journal = journal
        self._named = named
        self._spawn = spawn
        self._end_recorded: asyncio.Task[None] | None = None
        self._acknowledged = False
        self.key: str = key
        self.stream: bool = stream

    def record_intent(self, account: str, definition: bytes) -> asyncio.Future[None]:
        """Record that a start is about to be sent; the future is done when it is on disk."""
        return self._journal.submit_intent(
            self.key, account, definition, stream=self._named
        )

    def record_accepted(self, workflow_id: str) -> asyncio.Future[None]:
        """Record the id that the server gave; the future is done when it is on disk."""
        return self._journal.submit_accepted(self.key, workflow_id)

    async def refused(self) -> None:
        """Remove the intent, because nothing was started."""
        await self._journal.refused(self.key)

    async def unknown(self, candidates: tuple[str, ...]) -> None:
        """Record that the start may have been accepted, and its candidates."""
        await self._journal.unknown_start(self.key)
        for workflow_id in candidates:
            await self._journal.suggest(self.key, workflow_id)

    def record_end(
        self, end: object, *, after: asyncio.Task[None] | None = None
    ) -> None:
        """Begin to record how the workflow ended; `flushed` waits for it.

        If a wait ended for another reason, such as a refused token, the end of the
        workflow is unknown: the row stays as it is, and the next run recovers it.

        Args:
            end: How it ended.
            after: Another record that must be finished first.
        """
        end_status, result = _end_record(end)
        if end_status is not None:
            step = self._finish(end, end_status, result, after)
            self._end_recorded = self._spawn(self._logged(step))

    async def _finish(
        self,
        end: object,
        end_status: EndStatus,
        result: bytes | None,
        after: asyncio.Task[None] | None,
    ) -> None:
        if after is not None:
            await after
        error = _first_error(end)
        if error is None:
            await self._journal.finished(self.key, result, end_status)
            return
        row = await self._journal.row(self.key)
        # Most sessions keep no journal.
        from linkedapi_async.journal import Failure  # noqa: PLC0415

        failure = Failure(
            error=error_reason(error) or "",
            about=verdict_of(error).about,
            wrote=may_have_written(end, row),
        )
        await self._journal.finished(self.key, result, end_status, failure)

    async def flushed(self) -> None:
        """Wait until the end is on disk."""
        if self._end_recorded is not None:
            # Cancelling one wait must not cancel the record.
            await asyncio.shield(self._end_recorded)

    def acknowledge(self) -> None:
        """Record that the end was delivered, once."""
        if self._end_recorded is not None and not self._acknowledged:
            self._acknowledged = True
            self._spawn(self._logged(self._journal.delivered(self.key)))

    def recovered(self) -> None:
        """Mark the end as recorded, because it was read from the journal."""
        self._end_recorded = self._spawn(_nothing())

    def _logged(self, step: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None]:
        """Log the error of *step*: the next run recovers whatever is not recorded."""
        message = "The journal could not record %s: %s"
        return log_errors(step, message, self.key, key=self.key)


async def _nothing() -> None:
    """Do nothing."""


def _end_record(end: object) -> tuple[EndStatus | None, bytes | None]:
    """Return how a workflow ended, if it did, and the data to store."""
    if isinstance(end, CompletedWorkflow):
        return "completed", encode_json(end.raw)
    if isinstance(end, WorkflowFailedError):
        facts = {"reason": end.reason, "message": end.explanation}
        if end.raw is not None:
            facts["raw"] = end.raw
        return "failed", encode_json(facts)
    if isinstance(end, WorkflowCancelledError):
        return "cancelled", None
    return ("lost" if isinstance(end, WorkflowNotFoundError) else None), None


def _first_error(end: object) -> LinkedApiError | None:
    """Return why a workflow, or the first action of it that failed, did."""
    if isinstance(end, CompletedWorkflow):
        return next(iter(read_completion(end.raw).errors), None)
    return end if isinstance(end, WorkflowFailedError) else None


def may_have_written(end: object, row: Row | None) -> bool:
    """Return whether a failed workflow may have changed something on LinkedIn.

    In a completed workflow, a failed action changed nothing, unless its error concerns
    the workflow, as unknown errors do, or the host. It is unknown how far a workflow
    that failed as a whole came, so each of its writing actions may have changed
    something.
    """
    if isinstance(end, CompletedWorkflow):
        return any(
            writes(outcome.action_type)
            and (
                outcome.error is None
                or verdict_of(outcome.error).about in {"workflow", "host"}
            )
            for outcome in read_completion(end.raw).walk()
        )
    workflow = None if row is None else workflow_of(row)
    return workflow is None or any(writes(n.action_type) for n in nodes_of(workflow))


def end_of(row: Row) -> object:
    """Return how the workflow of *row* ended, or None if it must be polled.

    It is polled also if the stored result is damaged, so that a bad row affects neither
    its own result nor others.
    """
    workflow_id = str(row.workflow_id)
    if row.end_status == "cancelled":
        return WorkflowCancelledError(workflow_id=workflow_id)
    if row.end_status == "lost":
        return WorkflowNotFoundError(workflow_id=workflow_id)
    if row.result is None:
        return None
    try:
        return _stored_end(row, decode_json(row.result))
    except Exception as error:  # noqa: BLE001  # whatever damage may do
        _log.error(
            "The result of %s in the journal is damaged, so it is polled again: %s",
            row.key,
            error,
            extra=log_extra(key=row.key, reason="damaged"),
        )
        return None


def _stored_end(row: Row, result: Any) -> CompletedWorkflow | WorkflowFailedError:
    if row.end_status == "failed":
        return WorkflowFailedError(**result, workflow_id=row.workflow_id)
    if row.end_status == "completed" and isinstance(result, dict | list):
        return CompletedWorkflow(result)
    raise ValueError(f"{row.end_status} with {short_repr(result)}")


def workflow_of(row: Row) -> Any:
    """Return the workflow of *row*; None, and so untyped results, if it is damaged."""
    try:
        return load_silently(row.definition)
    except Exception as error:  # noqa: BLE001  # whatever damage may do
        _log.error(
            "The definition of %s in the journal is damaged, its results are not "
            "typed: %s",
            row.key,
            error,
            extra=log_extra(key=row.key, reason="damaged"),
        )
        return None
