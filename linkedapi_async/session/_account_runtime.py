"""The state of one account in a session, and the requests that use it."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from linkedapi_async._actions.action import Roots
from linkedapi_async._http.failure_rules import RequestKind
from linkedapi_async._http.requests import Request
from linkedapi_async._http.responses import (
    Accepted,
    CompletedWorkflow,
    WorkflowStatus,
    poll_failure,
    read_cancelled,
    read_poll,
    read_workflow_status,
    unreadable,
)
from linkedapi_async._polling.answers import Ended, PollAnswer, PollFailed, StillRunning
from linkedapi_async._polling.lane import PendingWorkflow
from linkedapi_async._utils.log import error_reason, log_extra
from linkedapi_async._utils.secret import Secret
from linkedapi_async.errors import (
    AccountPausedError,
    LinkedApiError,
    RequestError,
    StartUnknownError,
    UnsupportedError,
    WorkflowCancelledError,
    WorkflowFailedError,
    request_error_class,
)
from linkedapi_async.session._durations import duration_kind
from linkedapi_async.session._handle import ManagedHandle
from linkedapi_async.session._journaling import JournalRecorder
from linkedapi_async.session._runtime import Runtime


if TYPE_CHECKING:
    from linkedapi_async.session._pacer import Pacer

_log = logging.getLogger("linkedapi_async")

T = TypeVar("T")

SIGNED_OUT: Final = "linkedinAccountSignedOut"


class AccountRuntime:
    """One account: its handles, its pause, its polls, its requests.

    Args:
        runtime: The state of the session.
        identification_token: The account's token.
        name: What the account is called in the journal, in logs, stats and errors.
        account_id: The API's id of the account, by which webhook events are matched.
        pacer: Makes starts wait for the account's pace, if it has one.
    """

    def __init__(
        self,
        runtime: Runtime,
        identification_token: Secret[str],
        name: str,
        account_id: str | None = None,
        pacer: Pacer | None = None,
    ) -> None:
        self.runtime = runtime
        self.name = name
        self._account_id: str | None = None
        self.account_id = account_id
        self.pacer = pacer
        self.paused: AccountPausedError | None = None
        """Why the account starts nothing at present; None while it does."""
        self.handles: dict[str, ManagedHandle] = {}
        """The unfinished handles by id, in the order of their starts."""
        self.turn: asyncio.Lock = asyncio.Lock()
        """Held by the one start that may be in progress."""
        self.starting = False
        """Whether a start has been sent and not answered."""
        self.wakers: set[Callable[[], None]] = set()
        """Called when the account is paused, or works again."""
        self._accepted = 0
        self._halt: tuple[int, int] | None = None
        self._token = identification_token
        self._headers = runtime.requests.headers(identification_token)

    @property
    def account_id(self) -> str | None:
        """The API's id of it, by which webhook events are matched."""
        return self._account_id

    @account_id.setter
    def account_id(self, account_id: str | None) -> None:
        """Set the id, and find the account by it."""
        known = self.runtime.names_by_id
        if self._account_id is not None:
            names = known[self._account_id]
            del names[self.name]
            if not names:
                del known[self._account_id]
        self._account_id = account_id
        if account_id is not None:
            known.setdefault(account_id, {})[self.name] = None

    @property
    def token(self) -> Secret[str]:
        """The account's token."""
        return self._token

    def has_token(self, identification_token: str) -> bool:
        """Return whether the account has this token."""
        return self._token.reveal() == identification_token

    # Its pause

    def check_working(self) -> None:
        """Raise the error that paused the account, if it is paused."""
        if self.paused is not None:
            raise copy.copy(self.paused)

    def pause_if_needed(self, error: RequestError) -> None:
        """Pause the account if *error* says that it cannot work."""
        if isinstance(error, AccountPausedError) and self.paused is None:
            self.paused = error
            self.runtime.poller.hold(self)
            self.runtime.observer.paused(self.name, error)
            self._wake()

    def unpause(self) -> None:
        """Start workflows again."""
        self._halt = None
        if self.paused is not None:
            self.paused = None
            self.runtime.poller.release(self)
            self.runtime.observer.unpaused(self.name)
            self._wake()

    def _wake(self) -> None:
        for wake in tuple(self.wakers):
            wake()

    async def never_ran(self, pending: PendingWorkflow) -> bool:
        """Return whether a workflow that failed as a whole certainly never began.

        An account runs its workflows in the order in which they were accepted. So a
        workflow that was pending never began if the sign-out ended one before it and
        the account has not worked since. The session may notice the end of the earlier
        one later.

        Args:
            pending: A workflow that has ended.
        """
        ending = pending.end and pending.end.value
        if not isinstance(ending, WorkflowFailedError) or ending.reason != SIGNED_OUT:
            return False
        if not (pending.seen_pending and pending.number):
            return False
        for other in tuple(self.handles.values()):
            if 0 < other.pending.number < pending.number:
                # What ends that wait does not matter: the halt says what is certain.
                with contextlib.suppress(LinkedApiError):
                    await other.wait_for_end()
        if self._halt is None:
            return False
        first, last = self._halt
        return first < pending.number <= last

    # Its workflows

    def watch(
        self,
        workflow_id: str,
        workflow: Roots | None,
        *,
        accepted: Accepted | None = None,
        key: str | None = None,
        ordered: bool,
        recorder: JournalRecorder | None = None,
    ) -> ManagedHandle:
        """Poll a workflow from now on; return its handle.

        Args:
            workflow_id: The API's id of it.
            workflow: What was sent, if that is known.
            accepted: The answer to its start, if this session has started it.
            key: The caller's key.
            ordered: Whether the server accepted it after all others of the account.
            recorder: Its record in the journal.
        """
        # The runner is the identity of the lane: the poller groups workflows by it.
        pending = PendingWorkflow(workflow_id, self, kind=duration_kind(workflow))
        if accepted is not None:
            pending.status = accepted.status
            pending.reason, pending.message = accepted.reason, accepted.message
            pending.seen_pending = accepted.seen_pending
            self._accepted += 1
            pending.number = self._accepted
        handle = ManagedHandle(
            self, workflow, pending=pending, key=key, recorder=recorder
        )
        self.handles[workflow_id] = handle
        self.runtime.workflow_ids.add(workflow_id)
        if self.runtime.poller.crash is None:
            # Otherwise the handle keeps the id, and every wait says what happened.
            fresh = accepted is not None
            self.runtime.poller.watch(pending, ordered=ordered, fresh=fresh)
        for events in self.runtime.start_events:
            with self.runtime.reported_errors():
                events.match(workflow_id, self.name)
        return handle

    def reconsider(self) -> None:
        """Check whether webhook events explain unknown starts."""
        for events in self.runtime.start_events:
            with self.runtime.reported_errors():
                events.reconsider(self.name)

    async def poll(self, pending: PendingWorkflow) -> PollAnswer:
        """Poll once, without a retry, because the lanes poll again.

        Any error is a failed poll of this one workflow.
        """
        try:
            answer = await self._send_poll(pending)
            if isinstance(answer, StillRunning) and answer.status == "running":
                self.note_running(pending.id)
        except Exception as error:  # noqa: BLE001  # closed by default
            failed = unreadable(error)
            failed.workflow_id = pending.id
            return PollFailed(failed)
        return answer

    async def _send_poll(self, pending: PendingWorkflow) -> PollAnswer:
        runtime = self.runtime
        try:
            reply = await runtime.transport.send(
                runtime.requests.status(pending.id), self._headers
            )
        except RequestError as error:
            answer: PollAnswer = poll_failure(error, pending.id)
        else:
            answer = read_poll(reply, pending.id, now=time.time())
            if isinstance(answer, PollFailed) and isinstance(
                answer.error, RequestError
            ):
                self.pause_if_needed(answer.error)
        runtime.observer.polled(self.name, pending.id, answer)
        return answer

    def note_running(self, workflow_id: str) -> None:
        """Record that a workflow runs, unless that is known already."""
        handle = self.handles.get(workflow_id)
        self._halt = None  # the account works
        if handle is not None and handle.status != "running":
            self.runtime.observer.running(handle)

    def on_end(self, pending: PendingWorkflow) -> None:
        """Forget a handle whose workflow has ended; the caller may keep it."""
        handle = self.handles.pop(pending.id, None)
        for events in self.runtime.start_events:
            with self.runtime.reported_errors():
                events.ended(pending.id)
        for step in (self._record_end, self._count_end, self._note_end):
            try:
                step(pending, handle)
            except Exception as error:  # noqa: BLE001  # the handle has its result
                _log.exception(
                    "Could not record how workflow %s ended",
                    pending.id,
                    extra=log_extra(
                        account=self.name,
                        workflow_id=pending.id,
                        reason=error_reason(error),
                    ),
                )

    def _record_end(
        self, pending: PendingWorkflow, handle: ManagedHandle | None
    ) -> None:
        if handle is not None:
            contacts, end = self.runtime.contacts, pending.end and pending.end.value
            kept = None if contacts is None else contacts.ended(pending.id, end)
            if self.pacer is not None and end is not None:
                self.pacer.ended(pending.id, end, handle.workflow)
            if handle.recorder is not None and end is not None:
                handle.recorder.record_end(end, after=kept)
            self.runtime.observer.finished(
                handle, pending.polls, pending.detection_delay
            )

    def _count_end(self, pending: PendingWorkflow, _: ManagedHandle | None) -> None:
        ending = pending.end and pending.end.value
        counters = self.runtime.counters
        if isinstance(ending, CompletedWorkflow):
            counters.completed += 1
            self.unpause()
            return
        counters.failed += 1
        if not isinstance(ending, WorkflowFailedError):
            return
        if ending.reason == SIGNED_OUT:
            self._note_halt(pending.number)
        cls = request_error_class(ending.reason)
        self.pause_if_needed(cls(ending.message, type=ending.reason))

    def _note_end(self, *_: object) -> None:
        runtime = self.runtime
        runtime.duration_store.store_if_old(runtime.now(), runtime.spawn)

    def _note_halt(self, number: int) -> None:
        """Record that a workflow ended because the account is signed out."""
        if not number:
            return
        if self._halt is None or number > self._halt[1]:
            self._halt = number, self._accepted
        else:
            self._halt = min(number, self._halt[0]), self._halt[1]

    async def status(self, workflow_id: str) -> WorkflowStatus:
        """Ask once for the status of a workflow."""
        request = self.runtime.requests.status(workflow_id)
        return await self._call_about(
            workflow_id,
            request,
            lambda result: read_workflow_status(result, workflow_id),
        )

    async def cancel(self, workflow_id: str) -> bool:
        """Cancel a workflow, also while the session closes; return whether that worked.

        Raises:
            UnsupportedError: The account_api generation cannot cancel.
        """
        runtime = self.runtime
        if runtime.requests.generation == "account_api":
            message = (
                "the account_api generation cannot cancel a workflow; a session with "
                "linked_api_token= can"
            )
            raise UnsupportedError(message, generation="account_api")
        request = runtime.requests.cancel(workflow_id)
        handle = self.handles.get(workflow_id)
        lost: list[RequestError] = []
        cancelled = await self._call_about(workflow_id, request, read_cancelled, lost)
        if not cancelled and lost:
            # The answer to an earlier try was lost, and that try may have cancelled it.
            cancelled = await self.status(workflow_id) == "cancelled"
        if cancelled and handle is not None:
            error = WorkflowCancelledError(workflow_id=workflow_id)
            runtime.poller.resolve(handle.pending, Ended(error))
        return cancelled

    # Its requests

    async def _call_about(
        self,
        workflow_id: str,
        request: Request,
        read: Callable[[Any], T],
        lost: list[RequestError] | None = None,
    ) -> T:
        """Send *request*, which is about a workflow that the API may not know."""
        try:
            return await self.call(request, "ask", read, lost=lost)
        except RequestError as error:
            raise poll_failure(error, workflow_id).error from None

    async def call(
        self,
        request: Request,
        kind: RequestKind,
        read: Callable[[Any], T],
        *,
        admitted: bool = False,
        lost: list[RequestError] | None = None,
    ) -> T:
        """Send *request*, retry it by the failure rules, and read the answer.

        Args:
            request: What to send.
            kind: Which failure rules apply.
            read: Converts the result in the answer.
            admitted: Whether the request has waited for the host's pause and rate.
            lost: Receives the failures after which the server may have done the work.
        """
        observer = self.runtime.observer
        return await self.runtime.caller.call(
            request,
            self._headers,
            kind,
            read,
            admitted=admitted,
            lost=lost,
            on_error=self.pause_if_needed,
            unknown=self._unknown,
            on_retry=lambda error, attempt, wait: observer.retried(
                self.name, kind, error, attempt, wait
            ),
        )

    def _unknown(self, failed: RequestError) -> StartUnknownError:
        return self.unknown_start(f"it was sent and not answered: {failed}")

    def unknown_start(
        self, reason: str, candidates: tuple[str, ...] = ()
    ) -> StartUnknownError:
        """Return the error of a start that the server may have accepted."""
        message = f"it is unknown whether the server accepted the start; {reason}"
        return StartUnknownError(message, account=self.name, candidates=candidates)

    # Its unknown starts

    def candidates_since(self, since: float) -> tuple[str, ...]:
        """Return the workflows that a start sent at *since* may have created.

        Args:
            since: In seconds since 1970.
        """
        if self.account_id is None:
            return ()
        until = time.time()
        found = (
            workflow_id
            for events in self.runtime.start_events
            for workflow_id in events.candidates(self.account_id, since, until)
        )
        return tuple(dict.fromkeys(found))

    async def is_certain(self, candidates: tuple[str, ...]) -> bool:
        """Return whether the only candidate must be that of the unknown start."""
        if not (self.runtime.sole_client and len(candidates) == 1):
            return False
        journal = self.runtime.journal
        if journal is None:
            return not self.runtime.unknown_starts[self.name]
        if await journal.key_of(candidates[0]) is not None:
            return False  # this workflow belongs to another start
        rows = await journal.unknown(account=self.name)
        return not (self.runtime.unknown_starts[self.name] or rows)
