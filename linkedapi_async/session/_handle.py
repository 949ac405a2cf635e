"""The handle of a started workflow: its id, its state, its typed result."""

from __future__ import annotations

import copy
import math
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from linkedapi_async._actions.action import Roots
from linkedapi_async._http.responses import CompletedWorkflow, Status
from linkedapi_async._polling.lane import PendingWorkflow
from linkedapi_async._results.completion import Completion
from linkedapi_async._wire.read import read_completion
from linkedapi_async.errors import (
    LinkedApiError,
    ResultMissingError,
    WaitTimeoutError,
    WorkflowCancelledError,
)
from linkedapi_async.session._journaling import JournalRecorder


if TYPE_CHECKING:
    from linkedapi_async.session._account import Account


ResultT = TypeVar("ResultT", covariant=True)


class WorkflowHandle(Generic[ResultT]):
    """A workflow that was started, and the way to its typed result.

    ``await handle`` is ``await handle.result()``. Handles come from `Session.start`,
    `Session.attach` and `Session.as_completed`.
    """

    __slots__ = (
        "__weakref__",
        "_account",
        "_delivered",
        "_ended",
        "_entry",
        "_ticket",
        "key",
        "workflow",
    )

    workflow: Roots | None
    """What was asked; None for an id attached without its workflow."""
    key: str | None
    """The caller's key of an item of `Session.as_completed`."""

    def __init__(
        self,
        account: Account,
        workflow: Roots | None,
        *,
        ticket: PendingWorkflow | None = None,
        error: Exception | None = None,
        key: str | None = None,
        entry: JournalRecorder | None = None,
    ) -> None:
        self._account = account
        self._ticket = ticket
        self._ended: Completion | Exception | None = error
        self._entry = entry
        self._delivered = False
        self.workflow = workflow
        self.key = key

    @property
    def workflow_id(self) -> str | None:
        """The API's id of it; None for an item that could not be started."""
        return None if self._ticket is None else self._ticket.id

    @property
    def account(self) -> Account:
        """The account that it runs on."""
        return self._account

    @property
    def done(self) -> bool:
        """Whether it has ended, or could not be started."""
        return self._ticket is None or self._ticket.end is not None

    @property
    def status(self) -> Status:
        """What was last heard of it; moves without anybody waiting."""
        if self._ticket is None:
            return "failed"
        if self._ticket.end is None:
            return cast("Status", self._ticket.status)
        ending = self._ticket.end.value
        if isinstance(ending, CompletedWorkflow):
            return "completed"
        return "cancelled" if isinstance(ending, WorkflowCancelledError) else "failed"

    @property
    def failure(self) -> LinkedApiError | None:
        """Why it ended without a completion, if it did."""
        if self._ticket is None:
            return cast("LinkedApiError", self._ended)
        ending = self._ticket.end and self._ticket.end.value
        return ending if isinstance(ending, LinkedApiError) else None

    async def completion(self, timeout: float | None = None) -> Completion:
        """Wait until the workflow has ended and return its result tree.

        Args:
            timeout: How long to wait, in seconds. None is the session's
                `Polling.deadline`, 24 hours unless told; 0 asks exactly once;
                `math.inf` waits for ever.

        Raises:
            WaitTimeoutError: It has not ended; it goes on, and so can the wait.
            WorkflowFailedError: The workflow as a whole failed.
            WorkflowCancelledError: It was cancelled.
            WorkflowNotFoundError: The API does not know its id.
            AuthenticationError: The API refused the tokens again and again.
            SessionClosedError: The session was closed.
        """
        if timeout is not None and (math.isnan(timeout) or timeout < 0):
            message = f"timeout: 0 or more seconds are due, got {timeout!r}"
            raise ValueError(message)
        since = self._account.session._hub.now()
        await self._end(timeout)
        self._deliver(since)
        if self._entry is not None and not self._entry.stream:
            self._entry.acknowledge()
        if isinstance(self._ended, Completion):
            return self._ended
        raise copy.copy(cast("Exception", self._ended))

    async def _end(self, timeout: float | None = None) -> None:
        """Wait until it has ended and the journal knows, without acknowledging it."""
        if self._ended is None and self._ticket is not None:
            ended = await self._wait(self._ticket, timeout)
            if self._entry is not None:
                await self._entry.flushed()
            self._keep(ended)

    def _deliver(self, since: float) -> None:
        """Say that somebody who has waited *since* gets the result, the first time."""
        if self._ticket is not None and not self._delivered:
            self._delivered = True
            session = self._account.session
            session._facts.delivered(self, session._hub.now() - since)

    def _keep(self, ended: Completion | Exception) -> None:
        """Keep what came first, so that all who wait get the same object."""
        if self._ended is None:
            self._ended = ended

    async def _wait(
        self, ticket: PendingWorkflow, timeout: float | None
    ) -> Completion | Exception:
        try:
            ending = await self._account.session._hub.wait(ticket, timeout)
        except TimeoutError:
            policy = self._account.session.polling.deadline
            seconds = policy if timeout is None else timeout
            raise WaitTimeoutError(
                seconds=seconds, handle=self, workflow_id=ticket.id
            ) from None
        if isinstance(ending.value, CompletedWorkflow):
            return read_completion(ending.value.raw, self.workflow, ticket.id)
        return cast("Exception", ending.value)

    async def result(self, timeout: float | None = None) -> ResultT:
        """Wait until the workflow has ended and return what its root yields.

        An array workflow gives a tuple, one value for each root. Waiting again gives
        the same object.

        Args:
            timeout: As for `completion`.

        Raises:
            ActionError: The root failed; its `completion` has all that came.
            LinkedApiError: As for `completion`.
        """
        completion = await self.completion(timeout)
        if not isinstance(self.workflow, tuple) and not (
            self.workflow is None and isinstance(completion.raw, list)
        ):
            return cast("ResultT", completion.root.value())
        asked = len(self.workflow or completion.roots)
        if len(completion.roots) != asked:
            message = f"{asked} roots were asked for, {len(completion.roots)} came"
            raise ResultMissingError(message, workflow_id=self.workflow_id)
        return cast("ResultT", tuple(root.value() for root in completion.roots))

    def __await__(self) -> Generator[Any, None, ResultT]:
        return self.result().__await__()

    async def cancel(self) -> bool:
        """Cancel the workflow; return whether it was.

        After True all waits for it raise `WorkflowCancelledError` and nothing asks for
        it any more; after False the wait goes on, or has ended otherwise already.

        Raises:
            UnsupportedError: The account_api generation cannot cancel.
            RequestError: The API refused, or did not answer.
        """
        if self._ticket is None or self._ticket.end is not None:
            return self.status == "cancelled"
        return await self._account._withdraw(self._ticket.id)

    def __repr__(self) -> str:
        key = "" if self.key is None else f" {self.key!r}"
        return f"<WorkflowHandle{key} {self.workflow_id} {self.status}>"
