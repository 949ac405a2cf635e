"""Interprets the responses of the API, without any input or output.

https://linkedapi.io/docs/executing-workflows
"""

from __future__ import annotations

import datetime as dt
import email.utils
import functools
import logging
import re
from collections.abc import Mapping
from typing import Any, Literal, Self, TypeAlias

import attrs

from linkedapi_async._http.requests import validate_workflow_id
from linkedapi_async._polling.answers import Ended, PollAnswer, PollFailed, StillRunning
from linkedapi_async._utils.json import MAX_DEPTH, decode_json, is_too_deep
from linkedapi_async.errors import (
    AuthenticationError,
    ProtocolError,
    RateLimitedError,
    RejectedError,
    RequestError,
    WorkflowCancelledError,
    WorkflowFailedError,
    WorkflowNotFoundError,
    request_error_class,
)


_log = logging.getLogger("linkedapi_async")

Status: TypeAlias = Literal["pending", "running", "completed", "failed", "cancelled"]

UNKNOWN_ID_ERRORS = frozenset({"workflowNotFound"})

HTTP_ERROR_CLASSES: dict[int, type[RequestError]] = {
    401: AuthenticationError,
    403: AuthenticationError,
}


@attrs.define
class Response:
    """One HTTP answer."""

    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)


@attrs.frozen
class Accepted:
    """A workflow that the server accepted."""

    workflow_id: str
    status: str
    reason: str | None = None
    """Why it is pending, as the API spells it."""
    message: str | None = None
    """The explanation of the API for people, as it is."""
    seen_pending: bool = False
    """Whether the answer said that it had not begun."""


class WorkflowStatus(str):
    """The status of a workflow as the API spells it, with its reason.

    It is a string: ``await session.status(id) == "running"``.
    """

    __slots__ = ("message", "pending_reason")

    pending_reason: str | None
    """Why it is pending, as the API spells it; None if the API gives no reason."""
    message: str | None
    """The explanation of the API for people, as it is."""

    def __new__(
        cls, status: str, pending_reason: str | None = None, message: str | None = None
    ) -> Self:
        """Return the status with its reason and message."""
        made = super().__new__(cls, status)
        made.pending_reason = pending_reason
        made.message = message
        return made

    def __getnewargs__(self) -> tuple[str, str | None, str | None]:  # type: ignore[override]  # more than a plain string has
        """Return the arguments from which pickling and copying make it."""
        return str(self), self.pending_reason, self.message


@attrs.frozen
class CompletedWorkflow:
    """The completion of a workflow, as received."""

    raw: Any


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the value of ``Retry-After`` in seconds; None without a usable one.

    Args:
        headers: The headers of the answer.
        now: The present Unix time, in seconds.
    """
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]+", value):
        return float(value)
    try:
        when = email.utils.parsedate_to_datetime(value)
        # The zone -0000 means UTC, but gives a time without a zone.
        if when.tzinfo is None:
            when = when.replace(tzinfo=dt.UTC)
        return max(0.0, when.timestamp() - now)
    except (ValueError, OverflowError):
        return None


def read_result(response: Response, *, now: float) -> Any:
    """Return the ``result`` of an answer.

    Raises:
        RequestError: The answer is an error, or not one of the API's.
    """
    return _read_envelope(response, now, needs_result=True)


def read_empty_result(response: Response, *, now: float) -> Any:
    """Return the ``result`` of an answer that may lack it.

    Raises:
        RequestError: The answer is an error, or not one of the API's.
    """
    return _read_envelope(response, now, needs_result=False)


def _read_envelope(response: Response, now: float, *, needs_result: bool) -> Any:
    envelope = _read_object(response)
    error = envelope.get("error")
    # The SDKs read an error from any status, also from 200, so the body comes first.
    if isinstance(error, dict):
        raise _error(response, error.get("type"), error.get("message"), now)
    done = envelope.get("success") is True and not needs_result
    if _is_success(response) and (done or "result" in envelope):
        return envelope.get("result")
    raise _error(response, None, None, now)


def read_without_envelope(response: Response, *, now: float) -> Any:
    """Return an answer that is a JSON object without the API's envelope.

    Its errors are plain strings.

    Raises:
        RequestError: The answer is an error, or not one of the API's.
    """
    fields = _read_object(response)
    if fields and _is_success(response):
        return fields
    message, status = fields.get("error"), response.status
    if 400 <= status < 500 and status != 429 and isinstance(message, str):  # noqa: PLR2004
        raise RejectedError(message, http_status=status)
    raise _error(response, None, message, now)


def _read_object(response: Response) -> dict[str, Any]:
    """Return the JSON object of an answer; an empty one if it is something else."""
    try:
        value = decode_json(response.body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _is_success(response: Response) -> bool:
    return 200 <= response.status < 300  # noqa: PLR2004


def _error(
    response: Response, type: object, message: object, now: float
) -> RequestError:
    status = response.status
    word = type if isinstance(type, str) and type else None
    text = message if isinstance(message, str) and message else _describe(response)
    if status == 429 or (word and request_error_class(word) is RateLimitedError):  # noqa: PLR2004
        wait = retry_after(response.headers, now)
        return RateLimitedError(text, retry_after=wait, type=word, http_status=status)
    if word is None:
        cls = HTTP_ERROR_CLASSES.get(status, ProtocolError)
    else:
        cls = request_error_class(word)
        # After a fault of the server, it is unknown what was done, so this is no
        # refusal.
        if cls is RejectedError and status >= 500:  # noqa: PLR2004
            cls = ProtocolError
    return cls(text, type=word, http_status=status)


def _describe(response: Response) -> str:
    if 300 <= response.status < 400:  # noqa: PLR2004
        return "the answer is a redirect, which is never followed"
    content = response.headers.get("Content-Type") or "no content type"
    return (
        f"the answer is not the API's JSON: {len(response.body)} bytes of {content:.60}"
    )


def read_started(result: Any) -> Accepted:
    """Return the workflow that the server accepted.

    Raises:
        ProtocolError: The answer has no usable id.
    """
    fields = result if isinstance(result, dict) else {}
    try:
        workflow_id = validate_workflow_id(fields.get("workflowId"))
    except ValueError as error:
        message = f"the answer to the start has no usable id: {error}"
        raise ProtocolError(message) from None
    status = fields.get("workflowStatus")
    return Accepted(
        workflow_id,
        "running" if status == "running" else "pending",
        _string(fields.get("pendingReason")),
        _string(fields.get("message")),
        seen_pending=status == "pending",
    )


def read_status(result: Any, workflow_id: str) -> PollAnswer:
    """Return what the state of a workflow means for a wait."""
    fields = result if isinstance(result, dict) else {}
    answered = fields.get("workflowId")
    if answered not in (None, workflow_id):  # may be unhashable
        # A cache or a proxy may have confused two answers.
        message = f"the answer is about the workflow {str(answered)[:60]!r}"
        return PollFailed(ProtocolError(message, workflow_id=workflow_id), "failed")
    completion = fields.get("completion")
    if isinstance(completion, dict | list) and is_too_deep(completion):
        # It could not be written to the journal or to the results of a batch.
        message = f"the completion is nested more than {MAX_DEPTH} levels deep"
        return PollFailed(ProtocolError(message, workflow_id=workflow_id), "failed")
    return _read_status(fields, workflow_id)


def _read_status(fields: dict[str, Any], workflow_id: str) -> PollAnswer:
    status = fields.get("workflowStatus")
    completion, failure = fields.get("completion"), fields.get("failure")
    if status in ("pending", "running"):  # may be unhashable
        reason, message = fields.get("pendingReason"), fields.get("message")
        return StillRunning(status, _string(reason), _string(message))
    if status == "cancelled":
        return Ended(WorkflowCancelledError(workflow_id=workflow_id), "cancelled")
    if status == "failed" or (status != "completed" and isinstance(failure, dict)):
        facts = failure if isinstance(failure, dict) else {}
        return Ended(
            WorkflowFailedError(
                reason=_text(facts.get("reason"), "unknownError"),
                message=_text(facts.get("message"), "the API gave no reason"),
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
    return StillRunning(status, message=_string(fields.get("message")))


def _string(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _text(value: object, default: str) -> str:
    return _string(value) or default


def read_event_ending(
    workflow_id: str, status: str | None, completion: Any, failure: Any
) -> Ended | None:
    """Return how a workflow ended; None if a webhook event does not contain that."""
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
    """Warn once about a state that this version does not know."""
    _log.warning(
        "The API reports the unknown workflow status %.60r; the wait goes on", status
    )


def _is_usable(completion: Any) -> bool:
    if isinstance(completion, list):
        return any(isinstance(c, dict) for c in completion)
    return isinstance(completion, dict) and bool(completion)


def read_poll(response: Response, workflow_id: str, *, now: float) -> PollAnswer:
    """Return what the answer to a poll means for the wait."""
    try:
        return read_status(read_result(response, now=now), workflow_id)
    except RequestError as error:
        return poll_failure(error, workflow_id)
    except Exception as error:  # noqa: BLE001  # an odd answer is a failed poll
        return poll_failure(unreadable(error), workflow_id)


def unreadable(error: Exception) -> ProtocolError:
    """Return the error for an answer that could not be read because of *error*."""
    return ProtocolError(f"the answer cannot be read: {type(error).__name__}")


def poll_failure(error: RequestError, workflow_id: str) -> PollFailed:
    """Return what a failed poll means for the wait.

    Only an API error about a token or the id can end the wait, when it is repeated.
    """
    error.workflow_id = workflow_id
    if isinstance(error, AuthenticationError) and error.type is not None:
        return PollFailed(error, "refused")
    # A bare 404 may come from a gateway.
    gone = error.http_status == 404 and error.type is not None  # noqa: PLR2004
    if error.type in UNKNOWN_ID_ERRORS or gone:
        return PollFailed(WorkflowNotFoundError(workflow_id=workflow_id), "unknown")
    pause = error.pause if isinstance(error, RateLimitedError) else None
    return PollFailed(error, "failed", pause)


def read_workflow_status(result: Any, workflow_id: str) -> WorkflowStatus:
    """Return the status of a workflow, with the API's reason.

    Raises:
        ProtocolError: The answer has no state.
    """
    match read_status(result, workflow_id):
        case StillRunning(status, reason, message):
            return WorkflowStatus(status, reason, message)
        case Ended(_, status) if status is not None:
            return WorkflowStatus(status)
    message = "the answer has no usable workflowStatus"
    raise ProtocolError(message, workflow_id=workflow_id)


def read_cancelled(result: Any) -> bool:
    """Return whether the server cancelled the workflow.

    Raises:
        ProtocolError: The answer does not contain it.
    """
    cancelled = result.get("cancelled") if isinstance(result, dict) else None
    if not isinstance(cancelled, bool):
        message = "the answer does not say whether the workflow was cancelled"
        raise ProtocolError(message)
    return cancelled
