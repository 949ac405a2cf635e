"""What happens in a session, as it happens: to the standard logs.

====================================  ==================================================
logger                                what it tells
====================================  ==================================================
``linkedapi_async``                   WARNING and ERROR of what needs a look; INFO when
                                      it is over
``linkedapi_async.starts``            DEBUG of each start: sent, taken, failed, attached
``linkedapi_async.polls``             DEBUG of each answer to a poll
``linkedapi_async.ends``              DEBUG of each end, and of each result handed out
``linkedapi_async.retries``           DEBUG of each request that is sent again
``linkedapi_async.webhooks``          WARNING of deliveries that were refused
====================================  ==================================================

Records carry what they are about as attributes, where it applies (``extra`` in terms of
`logging`): ``linkedapi_account`` (a name, never a token), ``linkedapi_workflow_id``,
``linkedapi_key``, ``linkedapi_start`` (the number of a start), ``linkedapi_status``,
``linkedapi_reason`` (the API's word for an error, or the name of its class),
``linkedapi_polls``, ``linkedapi_late``, ``linkedapi_seconds``, ``linkedapi_attempt``
and ``linkedapi_failures``.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from linkedapi_async._polling.answers import PollFailed, StillRunning


if TYPE_CHECKING:
    from linkedapi_async._actions.action import Roots
    from linkedapi_async._http.failure_rules import RequestKind
    from linkedapi_async._polling.answers import Answer
    from linkedapi_async._polling.lane import PendingWorkflow
    from linkedapi_async.errors import AccountPausedError, RequestError
    from linkedapi_async.session._handle import WorkflowHandle
from linkedapi_async._actions.action import action_types
from linkedapi_async._utils.log import error_reason, log_extra


DEBUG: Final = logging.DEBUG

_log = logging.getLogger("linkedapi_async")

_starts = logging.getLogger("linkedapi_async.starts")

_polls = logging.getLogger("linkedapi_async.polls")

_ends = logging.getLogger("linkedapi_async.ends")

_retries = logging.getLogger("linkedapi_async.retries")


def _of(handle: WorkflowHandle[Any], **facts: object) -> dict[str, object]:
    return log_extra(
        account=handle.account.name,
        workflow_id=handle.workflow_id,
        key=handle.key,
        **facts,
    )


class Observer:
    """Is told what happens in a session; times are in seconds.

    This one tells the logs only. `Session.on` puts one in its place that tells those
    who listen too, so that nobody else pays for them.
    """

    __slots__ = ()

    def starting(
        self, account: str, number: int, roots: Roots, key: str | None, waited: float
    ) -> None:
        """Take note that a start is sent, *waited* seconds after it was asked for."""
        if _starts.isEnabledFor(DEBUG):
            _starts.debug(
                "Starting %s on account %s",
                ", ".join(action_types(roots)),
                account,
                extra=log_extra(account=account, start=number, key=key, seconds=waited),
            )

    def started(self, handle: WorkflowHandle[Any], number: int, seconds: float) -> None:
        """Take note that the server took a workflow."""
        if _starts.isEnabledFor(DEBUG):
            _starts.debug(
                "Started workflow %s on account %s",
                handle.workflow_id,
                handle.account.name,
                extra=_of(handle, start=number, status=handle.status, seconds=seconds),
            )

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
        """Take note that a start that was sent, or was about to be, failed."""
        if _starts.isEnabledFor(DEBUG):
            reason = error_reason(error)
            _starts.debug(
                "A start of %s on account %s failed: %s",
                ", ".join(action_types(roots)),
                account,
                reason,
                extra=log_extra(
                    account=account,
                    start=number,
                    key=key,
                    reason=reason,
                    seconds=seconds,
                ),
            )

    def attached(self, handle: WorkflowHandle[Any]) -> None:
        """Take note that a workflow is waited for that was started before."""
        if _starts.isEnabledFor(DEBUG):
            _starts.debug(
                "Attached workflow %s to account %s",
                handle.workflow_id,
                handle.account.name,
                extra=_of(handle),
            )

    def polled(self, account: str, ticket: PendingWorkflow, answer: Answer) -> None:
        """Take note of the answer to a poll, before anybody draws conclusions."""
        if _polls.isEnabledFor(DEBUG):
            status, reason = _told(answer)
            _polls.debug(
                "Workflow %s on account %s: %s",
                ticket.id,
                account,
                status or reason,
                extra=log_extra(
                    account=account,
                    workflow_id=ticket.id,
                    status=status,
                    reason=reason,
                ),
            )

    def running(self, handle: WorkflowHandle[Any]) -> None:
        """Take note that the API calls a workflow running for the first time."""

    def finished(
        self, handle: WorkflowHandle[Any], polls: int, late: float | None
    ) -> None:
        """Take note of the end of a workflow, or of the wait for it."""
        if _ends.isEnabledFor(DEBUG):
            reason = error_reason(handle.failure)
            _ends.debug(
                "Workflow %s on account %s ended: %s",
                handle.workflow_id,
                handle.account.name,
                reason or handle.status,
                extra=_of(
                    handle, status=handle.status, reason=reason, polls=polls, late=late
                ),
            )

    def delivered(self, handle: WorkflowHandle[Any], seconds: float) -> None:
        """Take note that somebody got a result, after a wait of *seconds*."""
        if _ends.isEnabledFor(DEBUG):
            _ends.debug(
                "Delivered workflow %s of account %s",
                handle.workflow_id,
                handle.account.name,
                extra=_of(handle, status=handle.status, seconds=seconds),
            )

    def retried(
        self,
        account: str,
        kind: RequestKind,
        error: RequestError,
        attempt: int,
        wait: float,
    ) -> None:
        """Take note that a request is sent again, for the *attempt*-th time in all."""
        if _retries.isEnabledFor(DEBUG):
            reason = error_reason(error)
            _retries.debug(
                "A request (%s) for account %s failed and is sent again: %s",
                kind,
                account,
                reason,
                extra=log_extra(
                    account=account, reason=reason, attempt=attempt, seconds=wait
                ),
            )

    def paused(self, account: str, error: AccountPausedError) -> None:
        """Take note that an account cannot work."""
        _log.warning(
            "Account %s is paused: %s",
            account,
            error.type,
            extra=log_extra(account=account, reason=error.type),
        )

    def unpaused(self, account: str) -> None:
        """Take note that a paused account starts workflows again."""
        _log.info("Account %s goes on", account, extra=log_extra(account=account))

    def surprised(self, account: str) -> None:
        """Take note that a workflow ran or finished out of its lane's turn."""
        if _polls.isEnabledFor(DEBUG):
            _polls.debug(
                "Workflows of account %s run in another order than they were started",
                account,
                extra=log_extra(account=account),
            )

    def outage_began(self, error: Exception, failures: int) -> None:
        """Take note of an outage, of which the engine warns at its own pace."""

    def outage_ended(self, failures: int, seconds: float) -> None:
        """Take note that the host answers again."""


def _told(answer: Answer) -> tuple[str | None, str | None]:
    """Return the status that an answer tells, and the reason for it."""
    if isinstance(answer, PollFailed):
        return None, error_reason(answer.error)
    if isinstance(answer, StillRunning):
        return answer.status, answer.reason
    error = answer.value if isinstance(answer.value, Exception) else None
    return answer.status or "finished", error_reason(error)


NULL_OBSERVER: Final = Observer()
"""What a session has while nobody listens."""
