"""What a response means; no socket in sight.

https://linkedapi.io/docs/executing-workflows
"""

from __future__ import annotations

import datetime as dt
import email.utils
import functools
import logging
import re
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, cast

import attrs

from linkedapi_async._http.requests import validate_workflow_id
from linkedapi_async._polling.answers import Answer, Ended, PollFailed, StillRunning
from linkedapi_async._utils.json import decode_json
from linkedapi_async.errors import (
    AccountPausedError,
    AuthenticationError,
    ProtocolError,
    RateLimitedError,
    RejectedError,
    RequestError,
    WorkflowCancelledError,
    WorkflowFailedError,
    WorkflowNotFoundError,
)


_log = logging.getLogger("linkedapi_async")

MAX_RETRY_AFTER = 3600.0
"""The longest ``Retry-After`` that is believed, in seconds."""

Status: TypeAlias = Literal["pending", "running", "completed", "failed", "cancelled"]

# https://linkedapi.io/docs/making-requests
TOKEN_ERRORS = frozenset(
    {
        "accountApiTokenRequired",
        "identificationTokenRequired",
        "invalidAccountApiToken",
        "invalidIdentificationToken",
        "invalidLinkedApiToken",
        "linkedApiTokenRequired",
    }
)

PAUSING_ERRORS = frozenset(
    {
        "languageNotSupported",
        "linkedinAccountSignedOut",
        "subscriptionRequired",
        "trialLimitReached",
    }
)

UNKNOWN_ID_ERRORS = frozenset({"workflowNotFound"})

HTTP_ERROR_CLASSES: dict[int, type[RequestError]] = {
    401: AuthenticationError,
    403: AuthenticationError,
}


@attrs.define
class Response:
    """One HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@attrs.frozen
class Accepted:
    """The server took a workflow."""

    workflow_id: str
    status: str


@attrs.frozen
class CompletedWorkflow:
    """How a workflow ended that ran through."""

    raw: Any


Ending: TypeAlias = (
    CompletedWorkflow
    | WorkflowFailedError
    | WorkflowCancelledError
    | WorkflowNotFoundError
    | RequestError
)
"""How a wait ended: with a completion, or with the error that ended it."""


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return what ``Retry-After`` asks for, in seconds, if it is believable.

    Args:
        headers: Those of the answer.
        now: The present Unix time, in seconds.
    """
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", value):
        seconds = float(value)
    else:
        try:
            when = email.utils.parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return None
        if when.tzinfo is None:
            when = when.replace(tzinfo=dt.UTC)
        seconds = max(0.0, when.timestamp() - now)
    return seconds if seconds <= MAX_RETRY_AFTER else None


def read_result(reply: Response, *, now: float) -> Any:
    """Return the ``result`` of an answer.

    Raises:
        RequestError: The answer is an error, or none that the API gives.
    """
    return _read_envelope(reply, now, needs_result=True)


def read_empty_result(reply: Response, *, now: float) -> Any:
    """Return the ``result`` of an answer that need not have one.

    Raises:
        RequestError: The answer is an error, or none that the API gives.
    """
    return _read_envelope(reply, now, needs_result=False)


def _read_envelope(reply: Response, now: float, *, needs_result: bool) -> Any:
    try:
        envelope = decode_json(reply.body)
    except ValueError:
        envelope = None
    error = envelope.get("error") if isinstance(envelope, dict) else None
    if isinstance(error, dict):
        raise _error(reply, str(error.get("type") or ""), error.get("message"), now)
    # The SDKs read an error from any status, also from 200, so the body comes first.
    ok = 200 <= reply.status < 300  # noqa: PLR2004
    if ok and isinstance(envelope, dict):
        done = envelope.get("success") is True and not needs_result
        if done or "result" in envelope:
            return envelope.get("result")
    raise _error(reply, "", None, now)


def read_without_envelope(reply: Response, *, now: float) -> Any:
    """Return an answer that is a JSON object without the API's envelope.

    Its errors are plain strings.

    Raises:
        RequestError: The answer is an error, or none that the API gives.
    """
    try:
        value = decode_json(reply.body)
    except ValueError:
        value = None
    fields = value if isinstance(value, dict) else {}
    message = fields.get("error")
    if 400 <= reply.status < 500 and isinstance(message, str):  # noqa: PLR2004
        if reply.status == 429:  # noqa: PLR2004
            raise _error(reply, "", message, now)
        raise RejectedError(message, http_status=reply.status)
    if 200 <= reply.status < 300 and fields:  # noqa: PLR2004
        return value
    raise _error(reply, "", message, now)


def _error(reply: Response, word: str, message: object, now: float) -> RequestError:
    status = reply.status
    text = message if isinstance(message, str) and message else _describe(reply)
    if word == "tooManyRequests" or status == 429:  # noqa: PLR2004
        wait = retry_after(reply.headers, now)
        return RateLimitedError(
            text, retry_after=wait, type=word or None, http_status=status
        )
    cls: type[RequestError]
    if word in TOKEN_ERRORS:
        cls = AuthenticationError
    elif word in PAUSING_ERRORS:
        cls = AccountPausedError
    elif word:
        cls = ProtocolError if status >= 500 else RejectedError  # noqa: PLR2004
    else:
        cls = HTTP_ERROR_CLASSES.get(status, ProtocolError)
    return cls(text, type=word or None, http_status=status)


def _describe(reply: Response) -> str:
    if 300 <= reply.status < 400:  # noqa: PLR2004
        return "the answer is a redirect, which is never followed"
    content = reply.headers.get("Content-Type", "no content type")
    return f"the answer is not the API's JSON: {len(reply.body)} bytes of {content}"


def read_started(result: Any) -> Accepted:
    """Return the id of a workflow that the server took.

    Raises:
        ProtocolError: The answer has no usable id.
    """
    fields = result if isinstance(result, dict) else {}
    try:
        workflow_id = validate_workflow_id(fields.get("workflowId"))
    except ValueError as error:
        message = f"the start was answered without a usable id: {error}"
        raise ProtocolError(message) from None
    status = fields.get("workflowStatus")
    return Accepted(workflow_id, "running" if status == "running" else "pending")


def read_status(result: Any, workflow_id: str) -> Answer:
    """Return what the state of a workflow means for a wait."""
    fields = result if isinstance(result, dict) else {}
    status = fields.get("workflowStatus")
    completion, failure = fields.get("completion"), fields.get("failure")
    if status in ("pending", "running"):  # may be unhashable
        reason = fields.get("pendingReason")
        return StillRunning(status, reason if isinstance(reason, str) else None)
    if status == "cancelled":
        return Ended(WorkflowCancelledError(workflow_id=workflow_id), "cancelled")
    if status == "failed" or (status != "completed" and isinstance(failure, dict)):
        facts = failure if isinstance(failure, dict) else {}
        return Ended(
            WorkflowFailedError(
                reason=str(facts.get("reason") or "unknownError"),
                message=str(facts.get("message") or "the API gave no reason"),
                raw=completion,
                workflow_id=workflow_id,
            ),
            "failed",
        )
    if _is_usable(completion):
        return Ended(CompletedWorkflow(completion), "completed")
    if status == "completed" or not isinstance(status, str):
        message = "the answer has no usable workflowStatus or completion"
        return PollFailed(ProtocolError(message, workflow_id=workflow_id), "failed")
    _warn_of_status(status)
    return StillRunning(status)


def read_event_ending(
    workflow_id: str, status: str | None, completion: Any, failure: Any
) -> Ended | None:
    """Return how a workflow ended, if a webhook event tells that in full."""
    if completion is None and failure is None:
        return None
    fields = {
        "workflowStatus": status,
        "completion": completion,
        "failure": failure,
    }
    answer = read_status(fields, workflow_id)
    return answer if isinstance(answer, Ended) else None


@functools.lru_cache(maxsize=64)
def _warn_of_status(status: str) -> None:
    """Warn once of a state that this version does not know."""
    _log.warning(
        "The API reports the unknown workflow status %.60r; waiting on", status
    )


def _is_usable(completion: Any) -> bool:
    if isinstance(completion, list):
        return any(isinstance(c, dict) for c in completion)
    return isinstance(completion, dict) and bool(completion)


def read_poll(reply: Response, workflow_id: str, *, now: float) -> Answer:
    """Return what the answer to a poll means for the wait."""
    try:
        result = read_result(reply, now=now)
    except RequestError as error:
        return poll_failure(error, workflow_id)
    return read_status(result, workflow_id)


def poll_failure(error: RequestError, workflow_id: str) -> PollFailed:
    """Return what an error in place of an answer means for a wait.

    A definite word on a token or an id ends it when it is repeated; nothing else does.
    """
    error.workflow_id = workflow_id
    if isinstance(error, AuthenticationError) and error.type is not None:
        return PollFailed(error, "refused")
    gone = error.http_status == 404 and error.type is not None  # noqa: PLR2004
    if error.type in UNKNOWN_ID_ERRORS or gone:
        return PollFailed(WorkflowNotFoundError(workflow_id=workflow_id), "unknown")
    pause = error.retry_after if isinstance(error, RateLimitedError) else None
    return PollFailed(error, "failed", pause)


def read_status_name(result: Any, workflow_id: str) -> Status:
    """Return the state of a workflow in a word.

    Raises:
        ProtocolError: The answer has no state.
    """
    match read_status(result, workflow_id):
        case StillRunning(status):
            return cast("Status", status)
        case Ended(_, status) if status is not None:
            return cast("Status", status)
    message = "the answer has no usable workflowStatus"
    raise ProtocolError(message, workflow_id=workflow_id)


def read_cancelled(result: Any) -> bool:
    """Return whether the server cancelled the workflow.

    Raises:
        ProtocolError: It did not say.
    """
    cancelled = result.get("cancelled") if isinstance(result, dict) else None
    if not isinstance(cancelled, bool):
        message = "the answer does not say whether the workflow was cancelled"
        raise ProtocolError(message)
    return cancelled
