"""One start in the journal, from the intent to the acknowledgement."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeAlias

from linkedapi_async._http.responses import CompletedWorkflow
from linkedapi_async._utils.json import decode_json, encode_json
from linkedapi_async._utils.log import error_reason, log_extra
from linkedapi_async.errors import (
    JournalError,
    WorkflowCancelledError,
    WorkflowFailedError,
    WorkflowNotFoundError,
)


if TYPE_CHECKING:
    from linkedapi_async.journal import EndStatus, Journal, Row


ALREADY_DELIVERED: Any = object()
"""Stands for an item that an earlier run of the stream has delivered."""


_log = logging.getLogger("linkedapi_async")

Spawn: TypeAlias = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class JournalRecorder:
    """What the journal is told of one start.

    Args:
        journal: An open one.
        spawn: Runs a coroutine in a task that the session waits for when it is left.
        key: What the start is called in the journal.
        stream: Whether it is an item of a stream, which acknowledges it by itself.
    """

    __slots__ = ("_acknowledged", "_journal", "_noted", "_spawn", "key", "stream")

    def __init__(
        self, journal: Journal, spawn: Spawn, key: str, *, stream: bool
    ) -> None:
        self._journal = journal
        self._spawn = spawn
        self._noted: asyncio.Task[None] | None = None
        self._acknowledged = False
        self.key: str = key
        self.stream: bool = stream

    def intend(
        self, account: str, definition: bytes
    ) -> tuple[asyncio.Future[None], asyncio.Future[None]]:
        """Note that the workflow is about to be started.

        Returns:
            What is done when the disk is waited for, and what is when it is on disk.
        """
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        return begun, self._journal._intend(
            self.key, account, definition, stream=self.stream, begun=begun
        )

    def taken(self, workflow_id: str) -> asyncio.Future[None]:
        """Note the id that the server gave; the future is done when it is on disk."""
        return self._journal._taken(self.key, workflow_id)

    async def refused(self) -> None:
        """Forget the intent: nothing came of it."""
        await self._journal.refused(self.key)

    async def unknown(self, candidates: tuple[str, ...]) -> None:
        """Note that nobody knows whether it was taken, and what it may have become."""
        await self._journal.unknown_start(self.key)
        for workflow_id in candidates:
            await self._journal.suggest(self.key, workflow_id)

    def end(self, ending: object) -> None:
        """Begin to note how the workflow ended; `noted` waits for it.

        A wait that ended for want of a token says nothing of the workflow: it stays
        to be resumed.
        """
        how, body = _end_record(ending)
        if how is not None:
            step = self._journal.finished(self.key, body, how)
            self._noted = self._spawn(self._safely(step))

    async def noted(self) -> None:
        """Wait until the end is on disk."""
        if self._noted is not None:
            await asyncio.shield(self._noted)

    def acknowledge(self) -> None:
        """Note that the end was delivered, unless it is on disk already."""
        if self._noted is not None and not self._acknowledged:
            self._acknowledged = True
            self._spawn(self._safely(self._journal.delivered(self.key)))

    def resumed(self) -> None:
        """Note that the end is on disk, from an earlier run."""
        self._noted = self._spawn(_nothing())

    async def _safely(self, step: Coroutine[Any, Any, None]) -> None:
        """Do a step that nobody waits for: a result is not held back by a full disk."""
        try:
            await step
        except JournalError as error:
            _log.error(
                "The journal could not note %s: %s",
                self.key,
                error,
                extra=log_extra(key=self.key, reason=error_reason(error)),
            )


async def _nothing() -> None:
    """Do nothing."""


def _end_record(ending: object) -> tuple[EndStatus | None, bytes | None]:
    """Return how a wait ended, and what of it is written down."""
    if isinstance(ending, CompletedWorkflow):
        return "completed", encode_json(ending.raw)
    if isinstance(ending, WorkflowFailedError):
        facts = {"reason": ending.reason, "message": ending.explanation}
        if ending.raw is not None:
            facts["raw"] = ending.raw
        return "failed", encode_json(facts)
    if isinstance(ending, WorkflowCancelledError):
        return "cancelled", None
    return ("lost" if isinstance(ending, WorkflowNotFoundError) else None), None


def ending_of(row: Row) -> object:
    """Return how the workflow of *row* ended, if that is known without asking."""
    workflow_id = str(row.workflow_id)
    if row.how == "cancelled":
        return WorkflowCancelledError(workflow_id=workflow_id)
    if row.how == "lost":
        return WorkflowNotFoundError(workflow_id=workflow_id)
    if row.ending is None:
        return None
    found = decode_json(row.ending)
    if row.how == "completed":
        return CompletedWorkflow(found)
    return WorkflowFailedError(**found, workflow_id=workflow_id)
