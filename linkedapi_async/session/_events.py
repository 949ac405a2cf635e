"""Typed session events."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from attrs import field, frozen

from linkedapi_async._actions.action import Roots
from linkedapi_async._http.failure_rules import RequestKind
from linkedapi_async._results.completion import Completion
from linkedapi_async.errors import (
    AccountPausedError,
    LinkedApiError,
    RequestError,
    StartUnknownError,
)


if TYPE_CHECKING:
    from linkedapi_async.session._handle import WorkflowHandle


FinalStatus: TypeAlias = Literal["completed", "failed", "cancelled"]


@frozen(kw_only=True, eq=False)
class SessionEvent:
    """Base of all events; a subscription to it gets every event."""

    at: float
    """When it happened, in seconds on the monotonic clock of the event loop."""
    time: float
    """When it happened, in seconds since 1970."""


@frozen(kw_only=True, eq=False)
class AccountEvent(SessionEvent):
    """Base of what happens to an account."""

    account: str
    """The account's ``name``."""


@frozen(kw_only=True, eq=False)
class WorkflowEvent(AccountEvent):
    """Base of what happens to a workflow that the server has accepted."""

    workflow_id: str
    """The API's id of it."""
    key: str | None
    """The caller's key of an item of `Session.as_completed`."""
    handle: WorkflowHandle[Any] = field(repr=False)
    """The handle that the session has of it."""


@frozen(kw_only=True, eq=False)
class StartHeldBack(AccountEvent):
    """A start is held back, because the pace of its account allows it only later."""

    key: str | None
    """The caller's key of an item of `Session.as_completed`."""
    workflow: Roots = field(repr=False)
    """The workflow that is not started yet."""
    reason: str
    """What holds it back, as text."""
    category: str | None
    """The account limit that is used up; None if the whole account waits."""
    until: datetime | None
    """When the pace allows it at the earliest, in UTC; None if that is unknown."""
    waits: bool
    """Whether the start waits; if not, its caller gets a `PaceError`."""


@frozen(kw_only=True, eq=False)
class WorkflowStarting(AccountEvent):
    """A start is sent. `WorkflowStarted` or `StartFailed` follows.

    Callbacks of the three run in one task, with a copy of the caller's context
    variables; what the first callback sets holds while the start is sent.
    """

    number: int
    """The number of this start in the process; its later events have the same."""
    key: str | None
    """The caller's key of an item of `Session.as_completed`."""
    workflow: Roots = field(repr=False)
    """The workflow that is started."""
    waited: float
    """How long the start waited for its turn, in seconds."""


@frozen(kw_only=True, eq=False)
class WorkflowStarted(WorkflowEvent):
    """The server accepted a workflow."""

    number: int
    """The number of its `WorkflowStarting`."""
    seconds: float
    """The duration of the start in seconds, retries included."""


@frozen(kw_only=True, eq=False)
class StartFailed(AccountEvent):
    """A start failed; its caller gets the error."""

    number: int
    """The number of its `WorkflowStarting`."""
    key: str | None
    """The caller's key of an item of `Session.as_completed`."""
    workflow: Roots = field(repr=False)
    """The workflow that was not started."""
    error: Exception
    """Why it failed."""
    seconds: float
    """The duration of the start in seconds, retries included."""


@frozen(kw_only=True, eq=False)
class StartUnknown(StartFailed):
    """A start was sent, and it is unknown whether the server accepted it."""

    error: StartUnknownError
    """Why that is unknown, with the ids that it may have become."""


@frozen(kw_only=True, eq=False)
class WorkflowAttached(WorkflowEvent):
    """The session waits for a workflow that was started elsewhere or earlier."""


@frozen(kw_only=True, eq=False)
class WorkflowRunning(WorkflowEvent):
    """The API calls a workflow running for the first time.

    A workflow that ends between two polls is never seen running. The account_api
    generation calls all of a queue running.
    """


@frozen(kw_only=True, eq=False)
class PollAnswered(AccountEvent):
    """A poll was answered, or failed; there are many of these."""

    workflow_id: str
    """The workflow that was polled."""
    outcome: Literal["waiting", "finished", "missed"]
    """Whether the workflow goes on, has ended, or the poll failed."""
    status: str | None
    """The status as the API spells it, if the answer has one."""
    pending_reason: str | None
    """Why the workflow is pending, as the API spells it, if it gives a reason."""
    message: str | None
    """The explanation of the API for people, as it is."""
    error: Exception | None
    """Why the poll failed, if it did."""


@frozen(kw_only=True, eq=False)
class WorkflowFinished(WorkflowEvent):
    """A workflow has ended, or the session waits for it no longer.

    It is dispatched even if no caller waits. Leaving the session causes no such event.
    """

    status: FinalStatus
    """How it ended, as `WorkflowHandle.status` says it."""
    reason: str | None
    """The API's word for why it did not complete, or the name of the error's class."""
    error: LinkedApiError | None
    """Why it did not complete; even if it completed, actions of it may have failed."""
    detection_delay: float | None
    """An upper bound, in seconds, of how late the end was noticed.

    None if a webhook event reported the end, if it was cancelled here, or if the delay
    is unknown.
    """
    polls: int
    """How often it was polled."""


@frozen(kw_only=True, eq=False)
class WorkflowDelivered(WorkflowEvent):
    """A caller got the result of a workflow for the first time.

    Awaiting its handle delivers the result, and so does `Session.as_completed` when it
    yields the handle. Callbacks run in the task that gets the result.
    """

    completion: Completion | None = field(repr=False)
    """Its result tree, unless there is an error."""
    error: LinkedApiError | None
    """Why there is no result tree."""
    polls: int
    """How often it was polled."""
    seconds: float
    """How long the caller had waited for it, in seconds."""


@frozen(kw_only=True, eq=False)
class RequestRetried(AccountEvent):
    """A request that is no poll failed and will be sent again."""

    request: RequestKind
    """A start that writes, a start that only reads, or a request that only reads."""
    error: RequestError
    """Why it failed."""
    attempt: int
    """The number of the next attempt; the first attempt is 1."""
    wait: float
    """How long the session waits before that attempt, in seconds."""


@frozen(kw_only=True, eq=False)
class AccountPaused(AccountEvent):
    """An account cannot work at present, and starts nothing."""

    reason: str | None
    """The API's error type, which says what must be fixed."""
    error: AccountPausedError
    """The error that starts raise while the account is paused."""


@frozen(kw_only=True, eq=False)
class AccountUnpaused(AccountEvent):
    """A paused account starts workflows again."""


@frozen(kw_only=True, eq=False)
class LaneReordered(AccountEvent):
    """A workflow ran or finished out of order, so the order of its account is unknown.

    All of the account's workflows are polled equally often until three finish in order.
    """


@frozen(kw_only=True, eq=False)
class OutageBegan(SessionEvent):
    """Several polls in a row failed, on any accounts; waits continue."""

    error: Exception
    """Why the last one failed."""
    failures: int
    """How many polls have failed so far."""


@frozen(kw_only=True, eq=False)
class OutageEnded(SessionEvent):
    """The host answers again."""

    failures: int
    """How many polls had failed."""
    seconds: float
    """How long the outage was, in seconds, according to the polls."""
