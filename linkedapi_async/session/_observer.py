"""Reports what happens in a session to the standard logs and as events.

====================================  ==================================================
logger                                what it logs
====================================  ==================================================
``linkedapi_async``                   WARNING and ERROR of what needs attention; INFO
                                      when it is over
``linkedapi_async.starts``            DEBUG of each start: sent, accepted, failed,
                                      attached
``linkedapi_async.polls``             DEBUG of each answer to a poll
``linkedapi_async.ends``              DEBUG of each end, and of each result delivered
``linkedapi_async.retries``           DEBUG of each request that is retried
``linkedapi_async.webhooks``          WARNING of deliveries that were refused
``linkedapi_async.fleet``             INFO of the start and the end of a worker; DEBUG
                                      of what is submitted to a queue
====================================  ==================================================

Records carry these attributes, where they apply (``extra`` in terms of `logging`):
``linkedapi_account`` (a name, never a token), ``linkedapi_workflow_id``,
``linkedapi_key``, ``linkedapi_start`` (the number of a start), ``linkedapi_status``,
``linkedapi_reason`` (the API's error type, or the name of the error's class),
``linkedapi_polls``, ``linkedapi_detection_delay`` (seconds), ``linkedapi_seconds``,
``linkedapi_attempt`` and ``linkedapi_failures``. Those of a fleet carry besides
``linkedapi_executor`` (a worker), ``linkedapi_lanes`` and ``linkedapi_items`` (numbers).
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING, Any, Final, Protocol

from linkedapi_async._actions.action import action_types
from linkedapi_async._polling.answers import Ended, PollFailed, StillRunning
from linkedapi_async._utils.log import error_reason, log_extra
from linkedapi_async._utils.times import from_timestamp
from linkedapi_async.errors import StartUnknownError


if TYPE_CHECKING:
    from linkedapi_async._actions.action import Roots
    from linkedapi_async._http.failure_rules import RequestKind
    from linkedapi_async._pacing import Turn
    from linkedapi_async._polling.answers import PollAnswer
    from linkedapi_async._results.completion import Completion
    from linkedapi_async.errors import AccountPausedError, RequestError


_log = logging.getLogger("linkedapi_async")

_starts = logging.getLogger("linkedapi_async.starts")

_polls = logging.getLogger("linkedapi_async.polls")

_ends = logging.getLogger("linkedapi_async.ends")

_retries = logging.getLogger("linkedapi_async.retries")

EXTRA_FIELDS: Final = {
    "account": "account",
    "workflow_id": "workflow_id",
    "key": "key",
    "number": "start",
    "status": "status",
    "reason": "reason",
    "polls": "polls",
    "detection_delay": "detection_delay",
    "seconds": "seconds",
    "waited": "seconds",
    "wait": "seconds",
    "attempt": "attempt",
}
"""Which facts a log record carries, and the names of their attributes."""

_WORDS: Final = ("actions", "request", "summary")
"""Further facts that a log line may contain."""

_OUTCOMES: Final = {StillRunning: "waiting", Ended: "finished", PollFailed: "missed"}


def report_error(error: Exception) -> None:
    """Report an unexpected *error* to the event loop, which continues."""
    message = "linkedapi_async: unexpected error; the session goes on"
    loop = asyncio.get_running_loop()
    loop.call_exception_handler({"message": message, "exception": error})


class ObservedWorkflow(Protocol):
    """What the observer reads of a handle."""

    @property
    def account(self) -> str:
        """The name of the account."""
        ...

    @property
    def workflow_id(self) -> str | None:
        """The API's id of the workflow."""
        ...

    @property
    def status(self) -> str:
        """The last status that is known."""
        ...

    @property
    def failure(self) -> Exception | None:
        """Why the workflow ended without a completion, if it did."""
        ...

    key: str | None


class Dispatcher(Protocol):
    """Turns facts into events, for callbacks."""

    def wants(self, event: str) -> bool:
        """Return whether a callback waits for events of the class *event*."""
        ...

    def dispatch(self, event: str, facts: dict[str, Any]) -> None:
        """Call the callbacks with an event of the class *event*."""
        ...


class Observer:
    """Records what happens in a session; times are in seconds.

    Each method records one fact, and has the class of its event and the line of the
    log. Their values are computed only if the line is logged or a callback waits for
    the event.
    """

    __slots__ = ("dispatcher",)

    def __init__(self) -> None:
        self.dispatcher: Dispatcher | None = None
        """Dispatches the events; None while there is no callback."""

    def _record(
        self,
        event: str,
        line: str = "",
        *,
        log: logging.Logger = _log,
        level: int = logging.DEBUG,
        **facts: Any,
    ) -> None:
        """Log the *line* and dispatch the *event*, if they are needed."""
        logged = bool(line) and log.isEnabledFor(level)
        dispatcher = self.dispatcher
        wanted = dispatcher is not None and dispatcher.wants(event)
        if not (logged or wanted):
            return
        try:
            facts = _derived(facts)
            if logged:
                extra = {EXTRA_FIELDS[k]: facts[k] for k in EXTRA_FIELDS if k in facts}
                # No workflow is among them, because error trackers show the arguments.
                words = extra | {name: facts.get(name) for name in _WORDS}
                log.log(level, line, words, extra=log_extra(**extra), stacklevel=2)
            if dispatcher is not None and wanted:
                dispatcher.dispatch(event, facts)
        except Exception as error:  # noqa: BLE001  # a log filter stops no start
            report_error(error)

    def held_back(
        self, account: str, roots: Roots, key: str | None, turn: Turn, *, waits: bool
    ) -> None:
        """Record that the pace of an account allows a start only later."""
        self._record(
            "StartHeldBack",
            "A start of %(actions)s on account %(account)s is held back: %(summary)s",
            log=_starts,
            account=account,
            workflow=roots,
            key=key,
            turn=turn,
            waits=waits,
        )

    def starting(
        self, account: str, number: int, roots: Roots, key: str | None, waited: float
    ) -> None:
        """Record that a start is sent, *waited* seconds after the caller began it."""
        self._record(
            "WorkflowStarting",
            "Starting %(actions)s on account %(account)s",
            log=_starts,
            account=account,
            number=number,
            workflow=roots,
            key=key,
            waited=waited,
        )

    def started(self, handle: ObservedWorkflow, number: int, seconds: float) -> None:
        """Record that the server accepted a workflow, which may run already."""
        self._record(
            "WorkflowStarted",
            "Started workflow %(workflow_id)s on account %(account)s",
            log=_starts,
            handle=handle,
            number=number,
            status=handle.status,
            seconds=seconds,
        )
        # If the answer to the start says so already, no poll reports it later.
        if handle.status == "running":
            self.running(handle)

    def start_failed(
        self,
        account: str,
        number: int,
        roots: Roots,
        key: str | None,
        error: Exception,
        *,
        seconds: float,
    ) -> None:
        """Record that a start failed, or that its outcome is unknown."""
        unknown = isinstance(error, StartUnknownError)
        self._record(
            "StartUnknown" if unknown else "StartFailed",
            "A start of %(actions)s on account %(account)s failed: %(reason)s",
            log=_starts,
            account=account,
            number=number,
            workflow=roots,
            key=key,
            error=error,
            seconds=seconds,
        )

    def attached(self, handle: ObservedWorkflow) -> None:
        """Record that the session waits for a workflow that was started before."""
        self._record(
            "WorkflowAttached",
            "Attached workflow %(workflow_id)s to account %(account)s",
            log=_starts,
            handle=handle,
        )

    def polled(self, account: str, workflow_id: str, answer: PollAnswer) -> None:
        """Record the answer to a poll, before it is processed."""
        self._record(
            "PollAnswered",
            "Workflow %(workflow_id)s on account %(account)s: %(summary)s",
            log=_polls,
            account=account,
            workflow_id=workflow_id,
            answer=answer,
        )

    def running(self, handle: ObservedWorkflow) -> None:
        """Record that the API calls a workflow running for the first time."""
        self._record("WorkflowRunning", handle=handle)

    def finished(
        self, handle: ObservedWorkflow, polls: int, detection_delay: float | None
    ) -> None:
        """Record the end of a workflow, or of the wait for it."""
        self._record(
            "WorkflowFinished",
            "Workflow %(workflow_id)s on account %(account)s ended: %(summary)s",
            log=_ends,
            handle=handle,
            status=handle.status,
            error=handle.failure,
            polls=polls,
            detection_delay=detection_delay,
        )

    def delivered(
        self,
        handle: ObservedWorkflow,
        completion: Completion | None,
        error: Exception | None,
        polls: int,
        seconds: float,
    ) -> None:
        """Record that a caller got a result, after a wait of *seconds*."""
        self._record(
            "WorkflowDelivered",
            "Delivered workflow %(workflow_id)s of account %(account)s",
            log=_ends,
            handle=handle,
            status=handle.status,
            completion=completion,
            error=error,
            polls=polls,
            seconds=seconds,
        )

    def retried(
        self,
        account: str,
        kind: RequestKind,
        error: RequestError,
        attempt: int,
        wait: float,
    ) -> None:
        """Record that a request is sent again, for the *attempt*-th time in all."""
        self._record(
            "RequestRetried",
            "A request (%(request)s) for account %(account)s failed and is retried: "
            "%(reason)s",
            log=_retries,
            account=account,
            request=kind,
            error=error,
            attempt=attempt,
            wait=wait,
        )

    def paused(self, account: str, error: AccountPausedError) -> None:
        """Record that an account cannot work."""
        self._record(
            "AccountPaused",
            "Account %(account)s is paused: %(reason)s",
            level=logging.WARNING,
            account=account,
            error=error,
        )

    def unpaused(self, account: str) -> None:
        """Record that a paused account starts workflows again."""
        self._record(
            "AccountUnpaused",
            "Account %(account)s works again",
            level=logging.INFO,
            account=account,
        )

    def reordered(self, account: str) -> None:
        """Record that a workflow ran or finished out of its lane's order."""
        self._record(
            "LaneReordered",
            "Workflows of account %(account)s run in another order than they were "
            "started",
            log=_polls,
            account=account,
        )

    def outage(self, error: Exception | None, failures: int, seconds: float) -> None:
        """Record that an outage began, or without an *error* that it ended.

        The poller logs it, at most once a minute.
        """
        event = "OutageEnded" if error is None else "OutageBegan"
        self._record(event, error=error, failures=failures, seconds=seconds)


def _derived(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the *facts* with those that are derived from them."""
    known = {"status": None, "error": None, **facts}
    handle: ObservedWorkflow | None = facts.get("handle")
    if handle is not None:
        known["account"] = handle.account
        known["workflow_id"] = handle.workflow_id
        known["key"] = handle.key
    known["reason"] = error_reason(known["error"])
    known["actions"] = ", ".join(action_types(facts.get("workflow")))
    known["summary"] = known["reason"] or known["status"]
    answer: PollAnswer | None = facts.get("answer")
    if answer is not None:
        known.update(_of_answer(answer))
    turn: Turn | None = facts.get("turn")
    if turn is not None:
        known["reason"] = known["summary"] = turn.reason
        known["category"] = turn.category
        known["until"] = None if turn.at == math.inf else from_timestamp(turn.at)
    return known


def _of_answer(answer: PollAnswer) -> dict[str, Any]:
    """Return a summary of the answer to a poll."""
    status = reason = error = pending_reason = message = None
    if isinstance(answer, PollFailed):
        error = answer.error
        reason = error_reason(error)
    elif isinstance(answer, StillRunning):
        status, reason = answer.status, answer.reason
        pending_reason, message = answer.reason, answer.message
    else:
        status = answer.status
        failure = answer.value if isinstance(answer.value, Exception) else None
        reason = error_reason(failure)
    return {
        "outcome": _OUTCOMES[type(answer)],
        "pending_reason": pending_reason,
        "message": message,
        "status": status,
        "error": error,
        "reason": reason,
        "summary": status or reason or "finished",
    }
