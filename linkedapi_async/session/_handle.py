"""The handle of a started workflow: its id, its status, its typed result."""

from __future__ import annotations

import copy
import math
from collections.abc import Generator
from typing import Any, Generic, TypeGuard, TypeVar, cast

from linkedapi_async._actions.action import Roots
from linkedapi_async._http.responses import CompletedWorkflow, Status
from linkedapi_async._polling.durations import Estimate
from linkedapi_async._polling.lane import PendingWorkflow
from linkedapi_async._results.completion import Completion
from linkedapi_async._utils.text import safe_repr
from linkedapi_async._wire.read import read_completion
from linkedapi_async.errors import (
    LinkedApiError,
    ProtocolError,
    ResultMissingError,
    WaitTimeoutError,
    WorkflowCancelledError,
)
from linkedapi_async.session._journaling import JournalRecorder
from linkedapi_async.session._runtime import AccountOwner


ResultT = TypeVar("ResultT", covariant=True)


class WorkflowHandle(Generic[ResultT]):
    """A started workflow, and access to its typed result.

    ``await handle`` is ``await handle.result()``. Handles come from `Session.start`,
    `Session.attach` and `Session.as_completed`.
    """

    __slots__ = (
        "__weakref__",
        "_delivered",
        "_ended",
        "_owner",
        "_pending",
        "_recorder",
        "key",
        "workflow",
    )

    workflow: Roots | None
    """The workflow that was sent; None for an id attached without its workflow."""
    key: str | None
    """The caller's key of an item of `Session.as_completed`."""

    def __init__(
        self,
        owner: AccountOwner,
        workflow: Roots | None,
        *,
        pending: PendingWorkflow | None = None,
        error: Exception | None = None,
        key: str | None = None,
        recorder: JournalRecorder | None = None,
    ) -> None:
        self._owner = owner
        self._pending = pending
        self._ended: Completion | Exception | None = error
        self._recorder = recorder
        self._delivered = False
        self.workflow = workflow
        self.key = key

    @property
    def workflow_id(self) -> str | None:
        """The API's id of the workflow; None for an item that could not be started."""
        return None if self._pending is None else self._pending.id

    @property
    def account(self) -> str:
        """The name of the account that it runs on."""
        return self._owner.name

    @property
    def done(self) -> bool:
        """Whether it has ended, or could not be started."""
        return self._pending is None or self._pending.end is not None

    @property
    def status(self) -> Status:
        """The last known status; it is kept up to date without a wait."""
        if self._pending is None:
            return "failed"
        if self._pending.end is None:
            return cast("Status", self._pending.status)
        ending = self._pending.end.value
        if isinstance(ending, CompletedWorkflow):
            return "completed"
        return "cancelled" if isinstance(ending, WorkflowCancelledError) else "failed"

    @property
    def pending_reason(self) -> str | None:
        """Why it is pending, in the API's words, such as ``outsideWorkingHours``.

        None if it is not pending, or the API gives no reason.
        """
        return self._pending.reason if self._is_waiting(self._pending) else None

    @property
    def message(self) -> str | None:
        """The API's explanation for people, unchanged; None without one."""
        return self._pending.message if self._is_waiting(self._pending) else None

    @staticmethod
    def _is_waiting(pending: PendingWorkflow | None) -> TypeGuard[PendingWorkflow]:
        return pending is not None and pending.end is None

    @property
    def failure(self) -> LinkedApiError | None:
        """Why it ended without a completion, or why the session cannot wait for it."""
        if self._pending is None:
            return cast("LinkedApiError", self._ended)
        if self._pending.end is None:
            return self._owner.runtime.poller.crash_error(self._pending.id)
        ending = self._pending.end.value
        return ending if isinstance(ending, LinkedApiError) else None

    def eta(self) -> Estimate | None:
        """Return in how many seconds the workflow will have ended, without a request.

        The estimate uses its place in the queue of its account, and how long workflows
        of the same kind took. Workflows that other programs start on the account are
        not counted.

        Returns:
            The median in seconds from now, and an interval for eight cases in ten. None
            if the workflow has ended, or if too little is known: before five workflows
            of each kind in the queue have ended, outside working hours, and for ids of
            unknown order.
        """
        if not self._is_waiting(self._pending):
            return None
        return self._owner.runtime.poller.eta(self._pending)

    async def completion(
        self, timeout: float | None = None, *, acknowledge: bool = True
    ) -> Completion:
        """Wait until the workflow has ended and return its result tree.

        Args:
            timeout: How long to wait, in seconds. None is the session's
                `Polling.deadline`, 24 hours by default; 0 polls exactly once;
                `math.inf` waits for ever.
            acknowledge: False leaves the end in the journal as not delivered, so that
                `Session.recover` finds it until `Journal.delivered` records it.

        Raises:
            WaitTimeoutError: It has not ended; it goes on, and you may wait again.
            WorkflowFailedError: The workflow as a whole failed.
            WorkflowCancelledError: It was cancelled.
            WorkflowNotFoundError: The API does not know its id.
            AuthenticationError: The API refused the tokens repeatedly.
            SessionClosedError: The session was closed.
        """
        if timeout is not None and (math.isnan(timeout) or timeout < 0):
            raise ValueError(f"timeout must be at least 0 seconds, got {timeout!r}")
        since = self._owner.runtime.now()
        await self._wait_for_end(timeout)
        self._deliver(since)
        if acknowledge and self._recorder is not None and not self._recorder.stream:
            self._recorder.acknowledge()
        if isinstance(self._ended, Completion):
            return self._ended
        # A copy, because each raise adds frames, and several tasks may wait.
        raise copy.copy(cast("Exception", self._ended))

    async def _wait_for_end(self, timeout: float | None) -> None:
        if self._ended is None and self._pending is not None:
            ended = await self._wait(self._pending, timeout)
            if self._recorder is not None:
                # The end is in the journal before any caller can act on it.
                await self._recorder.flushed()
            # Keep the first one, so that all waiters get the same object.
            if self._ended is None:
                self._ended = ended

    def _deliver(self, since: float) -> None:
        if self._pending is None or self._delivered:
            return
        self._delivered = True
        runtime, ended = self._owner.runtime, self._ended
        completion = ended if isinstance(ended, Completion) else None
        error = None if isinstance(ended, Completion) else ended
        seconds = runtime.now() - since
        runtime.observer.delivered(
            self, completion, error, self._pending.polls, seconds
        )

    async def _wait(
        self, pending: PendingWorkflow, timeout: float | None
    ) -> Completion | Exception:
        runtime = self._owner.runtime
        try:
            ending = await runtime.poller.wait(pending, timeout)
        except TimeoutError:
            seconds = runtime.polling.deadline if timeout is None else timeout
            raise WaitTimeoutError(
                seconds=seconds,
                handle=self,
                workflow_id=pending.id,
                pending_reason=pending.reason,
                api_message=pending.message,
            ) from None
        if not isinstance(ending.value, CompletedWorkflow):
            return cast("Exception", ending.value)
        try:
            return read_completion(ending.value.raw, self.workflow, pending.id)
        except Exception as error:
            message = f"the completion cannot be read: {type(error).__name__}"
            raise ProtocolError(message, workflow_id=pending.id) from error

    async def result(self, timeout: float | None = None) -> ResultT:
        """Wait until the workflow has ended and return what its root yields.

        An array workflow gives a tuple, one value for each root. Waiting again gives
        the same object.

        Args:
            timeout: As for `completion`.

        Raises:
            ActionError: The root failed; its `completion` has all outcomes.
            LinkedApiError: As for `completion`.
        """
        completion = await self.completion(timeout)
        if not isinstance(self.workflow, tuple) and not (
            self.workflow is None and isinstance(completion.raw, list)
        ):
            return cast("ResultT", completion.root.value())
        sent = len(self.workflow or completion.roots)
        if len(completion.roots) != sent:
            message = f"{sent} roots were sent, {len(completion.roots)} came back"
            raise ResultMissingError(message, workflow_id=self.workflow_id)
        return cast("ResultT", tuple(root.value() for root in completion.roots))

    def __await__(self) -> Generator[Any, None, ResultT]:
        return self.result().__await__()

    async def cancel(self) -> bool:
        """Cancel the workflow; return whether it was cancelled.

        After True all waits for it raise `WorkflowCancelledError`, and it is no longer
        polled. After False the wait continues, unless the workflow has ended.

        Raises:
            UnsupportedError: The account_api generation cannot cancel.
            RequestError: The API refused, or did not answer.
        """
        if self._pending is None or self._pending.end is not None:
            return self.status == "cancelled"
        self._owner.runtime.check_open()
        return await self._owner.cancel(self._pending.id)

    @safe_repr
    def __repr__(self) -> str:
        key = "" if self.key is None else f" {self.key!r}"
        return f"<WorkflowHandle{key} {self.workflow_id} {self.status}>"


class ManagedHandle(WorkflowHandle[Any]):
    """A handle as the other modules of the session use it; users see its base."""

    __slots__ = ()

    @property
    def pending(self) -> PendingWorkflow:
        """The poller's record of it; None if it was not started."""
        return cast("PendingWorkflow", self._pending)

    @property
    def ended(self) -> Completion | Exception | None:
        """What it ended with; None during the wait."""
        return self._ended

    async def never_ran(self) -> bool:
        """Return whether it failed as a whole and certainly never began."""
        return await self._owner.never_ran(self.pending)

    @property
    def recorder(self) -> JournalRecorder | None:
        """Its record in the journal, if there is a journal."""
        return self._recorder

    def check_running(self) -> None:
        """Raise `PollingCrashedError` if its session cannot wait for it."""
        self._owner.runtime.poller.check_running(self.workflow_id)

    async def wait_for_end(self, timeout: float | None = None) -> None:
        """Wait until its end is in the journal, without acknowledging it."""
        await self._wait_for_end(timeout)

    def deliver(self, since: float) -> None:
        """Record that a caller, which has waited since *since*, gets the result."""
        self._deliver(since)

    def acknowledge(self) -> None:
        """Record in the journal that the caller has processed the result."""
        if self._recorder is not None:
            self._recorder.acknowledge()
