"""One LinkedIn account of a session: start, run, attach, ask, cancel."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import hashlib
import itertools
import logging
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import anyio

from linkedapi_async._actions.action import Action, Roots, named_roots
from linkedapi_async._actions.compatibility import unsupported_in
from linkedapi_async._http.failure_rules import RequestKind
from linkedapi_async._http.requests import Request, validate_workflow_id
from linkedapi_async._http.responses import (
    PAUSING_ERRORS,
    Accepted,
    CompletedWorkflow,
    Status,
    poll_failure,
    read_cancelled,
    read_poll,
    read_started,
    read_status_name,
)
from linkedapi_async._polling.answers import Answer, Ended, PollFailed, StillRunning
from linkedapi_async._polling.lane import PendingWorkflow
from linkedapi_async._utils.log import error_reason, log_extra
from linkedapi_async._utils.secret import Secret
from linkedapi_async._wire.dump import dump_workflow
from linkedapi_async._wire.load import load_workflow
from linkedapi_async.errors import (
    AccountPausedError,
    JournalError,
    LinkedApiError,
    RequestError,
    StartUnknownError,
    UnsupportedError,
    WorkflowCancelledError,
    WorkflowFailedError,
)
from linkedapi_async.session._handle import WorkflowHandle
from linkedapi_async.session._journaling import (
    ALREADY_DELIVERED,
    JournalRecorder,
    end_of,
    workflow_of,
)
from linkedapi_async.session._methods import WorkflowMethods


if TYPE_CHECKING:
    from linkedapi_async.journal import Journal, Row
    from linkedapi_async.session._session import Session


_log = logging.getLogger("linkedapi_async")

T = TypeVar("T")

_NUMBERS = itertools.count(1)
"""Of starts, so that what is told of one can be put together."""


def default_name(identification_token: str) -> str:
    """Return the name of an account without one: it identifies, and tells nothing."""
    return hashlib.sha256(identification_token.encode()).hexdigest()[:12]


class Account(WorkflowMethods):
    """A LinkedIn account; `Session.account` gives it.

    It runs its workflows one after another. The session has at most one start for it
    under way, so the order in which the server took them is known.
    """

    session: Session
    """The session that it belongs to."""
    name: str
    """What it is called in the journal, in logs, stats and errors."""
    account_id: str | None
    """The API's id of it, by which webhook events are matched.

    `Session.account` takes it, `linkedapi_async.admin.Admin` looks it up, and an event
    of a workflow of the account tells it.
    """

    def __init__(
        self,
        session: Session,
        identification_token: str,
        name: str,
        account_id: str | None = None,
    ) -> None:
        self.session = session
        self.name = name
        self.account_id = account_id
        self._headers = session._api.headers(Secret(identification_token))
        self._turn = asyncio.Lock()
        self._handles: dict[str, WorkflowHandle[Any]] = {}
        self._pause: AccountPausedError | None = None
        # Whether a start is under way, and how many ended without anybody knowing.
        self._posting = False
        self._unknowns = 0

    @property
    def paused(self) -> AccountPausedError | None:
        """Why the account starts nothing at present; None while it does.

        The API said that the account is signed out, has no subscription, or the like.
        Its running workflows are asked for at the cadence of a tail.
        """
        return self._pause

    def unpause(self) -> None:
        """Start workflows again, once what paused the account is mended.

        A workflow of the account that completes does the same.
        """
        if self._pause is not None:
            self._pause = None
            self.session._hub.release(self)
            self.session._facts.unpaused(self.name)

    def _note(self, error: RequestError) -> None:
        """Pause the account if *error* says that it cannot work."""
        if isinstance(error, AccountPausedError) and self._pause is None:
            self._pause = error
            self.session._hub.hold(self)
            self.session._facts.paused(self.name, error)

    def _check_working(self) -> None:
        if self._pause is not None:
            raise copy.copy(self._pause)

    def __repr__(self) -> str:
        return f"<Account {self.name}, {len(self._handles)} unfinished>"

    @property
    def handles(self) -> tuple[WorkflowHandle[Any], ...]:
        """All unfinished handles, in the order in which they were taken."""
        return tuple(self._handles.values())

    def _on(self) -> Account:
        return self

    async def _begin(
        self, workflow: tuple[Any, ...], *, check: bool, key: str | None = None
    ) -> WorkflowHandle[Any]:
        """Start a workflow; a start under way survives the caller's cancellation."""
        self.session._check_open()
        self._check_working()
        roots, definition = self._prepare(workflow, check=check)
        start = _Start(self, roots, definition, key)
        task = self.session._spawn(start.run())
        try:
            return await start.done
        except asyncio.CancelledError:
            if not start.begun:
                task.cancel()
            raise

    def _prepare(self, workflow: tuple[Any, ...], *, check: bool) -> tuple[Roots, Any]:
        """Return the roots of a workflow and its definition, both checked."""
        (first,) = workflow if len(workflow) == 1 else (None,)
        roots: Roots
        if isinstance(first, dict | list):
            roots = load_workflow(first, check=check)
        else:
            roots = first if isinstance(first, Action) else workflow
        definition = dump_workflow(roots)
        if check:
            for path, root in named_roots(roots):
                for problem in unsupported_in(root, self.session._api.generation, path):
                    raise problem
        return roots, definition

    def _adopt(self, workflow_id: str, workflow: Any) -> WorkflowHandle[Any]:
        """Return the handle of a workflow that was started elsewhere or earlier."""
        self.session._check_open()
        workflow_id = validate_workflow_id(workflow_id)
        known = self._handles.get(workflow_id)
        if known is None:
            ticket = PendingWorkflow(workflow_id, self)
            handle = self._watch(ticket, workflow, None, ordered=False)
            self.session._facts.attached(handle)
            return handle
        if workflow is not None and known.workflow not in {None, workflow}:
            message = f"{workflow_id} is attached with another workflow already"
            raise ValueError(message)
        known.workflow = known.workflow or workflow
        return known

    def _watch(
        self,
        ticket: PendingWorkflow,
        roots: Roots | None,
        key: str | None,
        *,
        ordered: bool,
        entry: JournalRecorder | None = None,
    ) -> WorkflowHandle[Any]:
        handle: WorkflowHandle[Any] = WorkflowHandle(
            self, roots, ticket=ticket, key=key, entry=entry
        )
        self._handles[ticket.id] = handle
        self.session._hub.watch(ticket, ordered=ordered)
        for listening in self.session._listenings:
            listening.known(handle)
        return handle

    def _entry(self, key: str | None) -> JournalRecorder | None:
        """Return the entry of a start in the journal, if there is a journal."""
        journal = self.session.journal
        if journal is None:
            return None
        # Unique in the journal: each opening of it has a number of its own.
        name = (
            f"run-{journal.run_number}-{next(self.session._starts)}"
            if key is None
            else key
        )
        return JournalRecorder(
            journal, self.session._spawn, name, stream=key is not None
        )

    async def _recall(self, key: str, workflow: Any) -> WorkflowHandle[Any] | None:
        """Return the handle of an item that an earlier run of a stream has started.

        None if none has; `ALREADY_DELIVERED` if the item was delivered.

        Raises:
            ValueError: The key is being started at present, or is another account's.
            StartUnknownError: Nobody knows whether it was started.
        """
        journal = self.session.journal
        row = await journal.row(key) if journal is not None else None
        if journal is None or row is None:
            return None
        if row.state == "intended":
            message = f"the key {key!r} is being started already; keys are unique"
            raise ValueError(message)
        if row.account != self.name:
            message = f"the key {key!r} belongs to the account {row.account!r}"
            raise ValueError(message)
        if row.state == "unknown":
            message = (
                f"{key!r} was sent and not answered; decide with journal.adopt() or "
                "journal.discard()"
            )
            raise StartUnknownError(message, account=self.name)
        if row.state == "delivered":
            return cast("WorkflowHandle[Any]", ALREADY_DELIVERED)
        return self._resumed(journal, row, workflow)

    def _resumed(
        self, journal: Journal, row: Row, workflow: Any = None
    ) -> WorkflowHandle[Any]:
        """Return the handle of a workflow that an earlier run has started."""
        known = self._handles.get(str(row.workflow_id))
        if known is not None:
            return known
        if not isinstance(workflow, Action | tuple):
            workflow = workflow_of(row)
        entry = JournalRecorder(
            journal, self.session._spawn, row.key, stream=row.stream
        )
        ticket = PendingWorkflow(str(row.workflow_id), self)
        ending = end_of(row)
        if ending is None:
            handle = self._watch(ticket, workflow, row.key, ordered=True, entry=entry)
            self.session._facts.attached(handle)
            return handle
        ticket.end = Ended(ending)
        entry.recovered()
        return WorkflowHandle(self, workflow, ticket=ticket, key=row.key, entry=entry)

    def _finished(self, ticket: PendingWorkflow) -> None:
        """Forget a handle whose workflow has ended; whoever holds it keeps it."""
        handle = self._handles.pop(ticket.id, None)
        if handle is not None and handle._entry is not None and ticket.end is not None:
            handle._entry.record_end(ticket.end.value)
        if handle is not None:
            self.session._facts.finished(handle, ticket.polls, ticket.detection_delay)
        counters = self.session._counters
        ending = ticket.end and ticket.end.value
        if isinstance(ending, CompletedWorkflow):
            counters.completed += 1
            self.unpause()
            return
        counters.failed += 1
        if isinstance(ending, WorkflowFailedError):
            reason = ending.reason
            if reason in PAUSING_ERRORS:
                self._note(AccountPausedError(ending.message, type=reason))

    async def _poll(self, ticket: PendingWorkflow) -> Answer:
        """Ask once, without repeating: the lanes see to that."""
        try:
            reply = await self.session._http.send(
                self.session._api.status(ticket.id), self._headers
            )
        except RequestError as error:
            answer: Answer = poll_failure(error, ticket.id)
        else:
            answer = read_poll(reply, ticket.id, now=time.time())
            if isinstance(answer, PollFailed) and isinstance(
                answer.error, RequestError
            ):
                self._note(answer.error)
        self.session._facts.polled(self.name, ticket, answer)
        if (
            isinstance(answer, StillRunning)
            and answer.status == "running" != ticket.status
            and ticket.id in self._handles
        ):
            self.session._facts.running(self._handles[ticket.id])
        return answer

    async def _ask(self, workflow_id: str) -> Status:
        """Ask once how a workflow is."""
        workflow_id = validate_workflow_id(workflow_id)
        request = self.session._api.status(workflow_id)
        return await self._call_about(
            workflow_id,
            request,
            lambda result: read_status_name(result, workflow_id),
        )

    async def _withdraw(self, workflow_id: str) -> bool:
        """Cancel a workflow by its id; return whether it was."""
        self.session._check_open()
        return await self._withdraw_now(validate_workflow_id(workflow_id))

    async def _withdraw_now(self, workflow_id: str) -> bool:
        """Cancel a workflow, also while the session is being left."""
        if self.session._api.generation == "account_api":
            message = (
                "the account_api generation cannot cancel a workflow; a session with "
                "linked_api_token= can"
            )
            raise UnsupportedError(message, generation="account_api")
        request = self.session._api.cancel(workflow_id)
        handle = self._handles.get(workflow_id)
        lost: list[RequestError] = []
        cancelled = await self._call_about(workflow_id, request, read_cancelled, lost)
        if not cancelled and lost:
            # The answer to an earlier try was lost, and that one may have done it.
            cancelled = await self._ask(workflow_id) == "cancelled"
        if cancelled and handle is not None and handle._ticket is not None:
            error = WorkflowCancelledError(workflow_id=workflow_id)
            self.session._hub.resolve(handle._ticket, Ended(error))
        return cancelled

    async def drain(
        self, timeout: float | None = None
    ) -> tuple[WorkflowHandle[Any], ...]:
        """Wait until all unfinished workflows have ended.

        Args:
            timeout: How long to wait, in seconds; None waits for ever.

        Returns:
            The handles that have not ended when the time is up.
        """
        return await drain(lambda: self.handles, timeout)

    async def _call_about(
        self,
        workflow_id: str,
        request: Request,
        read: Callable[[Any], T],
        lost: list[RequestError] | None = None,
    ) -> T:
        """Send *request*, which is about a workflow that the API may not know."""
        try:
            return await self._call(request, "ask", read, lost=lost)
        except RequestError as error:
            raise poll_failure(error, workflow_id).error from None

    async def _call(
        self,
        request: Request,
        kind: RequestKind,
        read: Callable[[Any], T],
        *,
        admitted: bool = False,
        lost: list[RequestError] | None = None,
    ) -> T:
        """Send *request*, again where the failure rules say so, and read the answer.

        Args:
            request: What to send.
            kind: What the failure rules go by.
            read: Makes the value of the answer's result.
            admitted: Whether the host's pause and rate were heeded already.
            lost: Gets the failures after which the work may have been done.
        """
        return await self.session._caller.call(
            request,
            self._headers,
            kind,
            read,
            admitted=admitted,
            lost=lost,
            on_error=self._note,
            unknown=self._unknown,
            on_retry=lambda error, attempt, wait: self.session._facts.retried(
                self.name, kind, error, attempt, wait
            ),
        )

    def _explaining(self, since: float) -> tuple[str, ...]:
        """Return what the events say may have come of a start that was just sent."""
        until = time.time()
        found = (
            workflow_id
            for listening in self.session._listenings
            for workflow_id in listening.explaining(self, since, until)
        )
        return tuple(dict.fromkeys(found))

    async def _explained(self, candidates: tuple[str, ...]) -> bool:
        """Return whether the one candidate must be the start whose fate is unknown."""
        if not (self.session.sole_client and len(candidates) == 1):
            return False
        journal = self.session.journal
        rows = [] if journal is None else await journal.unknown(account=self.name)
        return not (self._unknowns or rows)

    def _unknown(self, failed: RequestError) -> StartUnknownError:
        message = (
            "the start was sent and not answered; whether it was taken is not "
            f"known: {failed}"
        )
        return StartUnknownError(message, account=self.name)


class _Start:
    """One start on its way; it outlives the call that asked for it.

    The caller waits for *done* and not for the task, so that cancelling the caller
    cancels nothing but its wait.
    """

    def __init__(
        self, account: Account, roots: Roots, definition: Any, key: str | None
    ) -> None:
        self._account = account
        self._roots = roots
        self._definition = definition
        self._key = key
        self.done: asyncio.Future[WorkflowHandle[Any]] = (
            asyncio.get_running_loop().create_future()
        )
        self.begun = False
        self._number = next(_NUMBERS)
        self._asked = account.session._hub.now()

    async def run(self) -> None:
        try:
            handle, noted = await self._send()
        except Exception as error:  # noqa: BLE001  # the caller's, or the log's
            self._fail(error)
            return
        # The next start need not wait until this one is on disk; its caller does.
        if noted is None:
            self._succeed(handle)
        else:
            noted.add_done_callback(functools.partial(self._noted, handle))

    def _noted(self, handle: WorkflowHandle[Any], noted: asyncio.Future[None]) -> None:
        error = cast("JournalError | None", noted.exception())
        if error is None:
            self._succeed(handle)
        else:
            error.workflow_id = handle.workflow_id
            self._fail(error)

    def _succeed(self, handle: WorkflowHandle[Any]) -> None:
        if not self.done.done():
            self.done.set_result(handle)
            return
        name = self._account.name
        _log.warning(
            "A cancelled start on account %s was taken all the same: workflow %s runs, "
            "its handle is in session.handles",
            name,
            handle.workflow_id,
            extra=log_extra(
                account=name, key=self._key, workflow_id=handle.workflow_id
            ),
        )

    def _fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)
            return
        name = self._account.name
        _log.warning(
            "A cancelled start on account %s failed: %s",
            name,
            error,
            extra=log_extra(account=name, key=self._key, reason=error_reason(error)),
        )

    async def _send(self) -> tuple[WorkflowHandle[Any], asyncio.Future[None] | None]:
        """Start it; return the handle, and when its id is on disk if it is to be."""
        account, session = self._account, self._account.session
        entry = account._entry(self._key)
        async with account._turn, session._start_limit:
            session._check_open()
            account._check_working()
            request = session._api.start(self._definition)
            await session._hub.admit()
            self.begun = account._posting = True
            sent = self._tell_starting()
            try:
                if entry is None:
                    started = await self._post(request)
                else:
                    started = await self._noted_post(request, entry)
            except Exception as error:
                self._tell_failed(error, sent)
                raise
            finally:
                account._posting = False
                for listening in session._listenings:
                    listening.consider(account)
            session._counters.started += 1
            ticket = PendingWorkflow(started.workflow_id, account, started.status)
            handle = account._watch(
                ticket, self._roots, self._key, ordered=True, entry=entry
            )
            session._facts.started(handle, self._number, session._hub.now() - sent)
        return handle, None if entry is None else self._note(entry, started)

    def _tell_starting(self) -> float:
        """Say that the start is sent; return when that was."""
        account, session = self._account, self._account.session
        now = session._hub.now()
        session._facts.starting(
            account.name, self._number, self._roots, self._key, now - self._asked
        )
        return now

    def _tell_failed(self, error: Exception, sent: float) -> None:
        account, session = self._account, self._account.session
        seconds = session._hub.now() - sent
        session._facts.start_failed(
            account.name,
            self._number,
            self._roots,
            self._key,
            error,
            seconds=seconds,
        )

    async def _post(self, request: Request) -> Accepted:
        """Send the start; if its fate is unknown, a webhook event may explain it."""
        account = self._account
        since = time.time()
        try:
            return await account._call(
                request, _kind(self._roots), read_started, admitted=True
            )
        except StartUnknownError as error:
            error.candidates = account._explaining(since)
            if not await account._explained(error.candidates):
                account._unknowns += 1
                raise
            (workflow_id,) = error.candidates
            _log.warning(
                "The answer to a start on account %s was lost; by a webhook event it "
                "is workflow %s",
                account.name,
                workflow_id,
                extra=log_extra(
                    account=account.name, key=self._key, workflow_id=workflow_id
                ),
            )
            return Accepted(workflow_id, "pending")

    async def _noted_post(self, request: Request, entry: JournalRecorder) -> Accepted:
        """Send the start between the two notes that make a crash harmless."""
        begun, noted = entry.record_intent(self._account.name, request.body or b"")
        await begun
        await noted
        try:
            return await self._post(request)
        except StartUnknownError as error:
            await entry.unknown(error.candidates)
            raise
        except Exception:
            await noted  # or it failed for that, and there is nothing to take back
            await entry.refused()
            raise

    def _note(self, entry: JournalRecorder, started: Accepted) -> asyncio.Future[None]:
        try:
            return entry.record_accepted(started.workflow_id)
        except JournalError as error:
            error.workflow_id = started.workflow_id
            raise


def _kind(roots: Roots) -> RequestKind:
    writes = any(
        node.effect == "write" for _, root in named_roots(roots) for node in root.walk()
    )
    return "start_write" if writes else "start_read"


async def drain(
    unfinished: Callable[[], tuple[WorkflowHandle[Any], ...]], timeout: float | None
) -> tuple[WorkflowHandle[Any], ...]:
    """Wait until nothing is unfinished, or the time is up; return what is."""
    with anyio.move_on_after(timeout):
        while handles := unfinished():
            with contextlib.suppress(LinkedApiError):
                await handles[0]._end(math.inf)
    return unfinished()
