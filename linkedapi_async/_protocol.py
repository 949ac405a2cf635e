"""The request for each call, and what an answer means; no socket in sight.

https://linkedapi.io/docs/executing-workflows
"""

from __future__ import annotations

import datetime as dt
import email.utils
import functools
import ipaddress
import logging
import re
from collections.abc import Awaitable, Mapping
from typing import Any, Literal, TypeAlias, cast
from urllib.parse import urlsplit

import attrs
from multidict import CIMultiDict

from linkedapi_async import _wire
from linkedapi_async._fields import Generation
from linkedapi_async._lane import Answer, Finished, Missed, Waiting
from linkedapi_async._version import __version__
from linkedapi_async.errors import (
    AccountPausedError,
    AuthenticationError,
    ConnectionFailedError,
    ProtocolError,
    RateLimitedError,
    RejectedError,
    RequestError,
    WorkflowCancelledError,
    WorkflowFailedError,
    WorkflowNotFoundError,
)


_log = logging.getLogger("linkedapi_async")

DEFAULT_URL = "https://api.linkedapi.io"
LONGEST_PAUSE = 3600.0
"""The longest ``Retry-After`` that is believed, in seconds."""

Method: TypeAlias = Literal["GET", "POST", "DELETE"]
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

COMMON_HEADERS = {
    "client": f"linkedapi-async/{__version__}",
    "User-Agent": f"linkedapi-async/{__version__}",
    "Accept": "application/json",
    "Content-Type": "application/json",
}

_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")
_TOKEN = re.compile(r"[\x21-\x7e]+")


@attrs.define
class Request:
    """One HTTP request, without the tokens."""

    method: Method
    url: str
    body: bytes | None = None
    after: Awaitable[None] | None = attrs.field(default=None, eq=False)
    """What must have happened before it is sent; it may be built before."""


@attrs.define
class Reply:
    """One HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@attrs.frozen
class Started:
    """The server took a workflow."""

    workflow_id: str
    status: str


@attrs.frozen
class Completed:
    """How a workflow ended that ran through."""

    raw: Any


Ending: TypeAlias = (
    Completed
    | WorkflowFailedError
    | WorkflowCancelledError
    | WorkflowNotFoundError
    | RequestError
)
"""How a wait ended: with a completion, or with the error that ended it."""


def checked_token(name: str, token: object) -> str:
    """Return *token* if it can be sent in a header; errors do not show it."""
    if not isinstance(token, str):
        message = f"{name}: a string is due, got {type(token).__name__}"
        raise TypeError(message)
    if not _TOKEN.fullmatch(token):
        message = (
            f"{name}: a token is one word of printable ASCII without white space; this "
            f"one is {'empty' if not token else 'not'}"
        )
        raise ValueError(message)
    return token


def checked_id(workflow_id: object) -> str:
    """Return *workflow_id* if it is one path segment."""
    if not isinstance(workflow_id, str) or not _ID.fullmatch(workflow_id):
        message = (
            "a workflow id is 1 to 200 letters, digits, - or _, got "
            f"{str(workflow_id)[:60]!r}"
        )
        raise ValueError(message)
    return workflow_id


def checked_url(base_url: str, *, allow_insecure_http: bool) -> str:
    """Return *base_url* without a trailing slash, if tokens may be sent there."""
    parts = urlsplit(base_url)
    host = parts.hostname
    if parts.scheme not in {"http", "https"} or not host or parts.port == 0:
        message = f"base_url: https://host is due, got {base_url!r}"
        raise ValueError(message)
    if re.search(r"[?#\s]", base_url) or "@" in parts.netloc:
        message = "base_url: only scheme, host, port and path are allowed"
        raise ValueError(message)
    insecure = parts.scheme == "http" and not _is_loopback(host)
    if insecure and not allow_insecure_http:
        message = (
            f"base_url: {base_url!r} would send the tokens unencrypted; use https, or "
            "pass allow_insecure_http=True"
        )
        raise ValueError(message)
    return base_url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Headers(CIMultiDict[str]):
    """Headers with tokens in them, which debuggers and trackers do not get to see."""

    def __repr__(self) -> str:
        return f"<Headers {', '.join(self)}>"


@attrs.frozen(repr=False)
class Api:
    """The requests of one generation of the API, for one main token."""

    generation: Generation
    base_url: str
    token: str

    @property
    def _older(self) -> bool:
        return self.generation == "account_api"

    @functools.cached_property
    def _workflows(self) -> str:
        return self.base_url + ("/account/workflows" if self._older else "/workflows")

    def headers(self, identification_token: str) -> Headers:
        """Return the headers of every request for one account."""
        main = "account-api-token" if self._older else "linked-api-token"
        return Headers(
            {
                main: self.token,
                "identification-token": identification_token,
                **COMMON_HEADERS,
            }
        )

    def admin_headers(self) -> Headers:
        """Return the headers of every request that is for no account."""
        return Headers({"linked-api-token": self.token, **COMMON_HEADERS})

    def admin(self, call: str, parameters: Any = None) -> Request:
        """Return the request for a call of the Admin API."""
        # https://linkedapi.io/docs/admin-overview
        body = None if parameters is None else _wire.encode(parameters)
        return Request("POST", f"{self.base_url}/admin/{call}", body)

    def direct(self, method: Method, path: str, body: Any = None) -> Request:
        """Return the request to an endpoint that needs no workflow."""
        home = self.base_url + ("/account" if self._older else "")
        return Request(
            method, home + path, None if body is None else _wire.encode(body)
        )

    def start(self, definition: Any) -> Request:
        """Return the request that starts a workflow."""
        return Request("POST", self._workflows, _wire.encode(definition))

    def status(self, workflow_id: str) -> Request:
        """Return the request that asks for a workflow."""
        return Request("GET", f"{self._workflows}/{workflow_id}")

    def cancel(self, workflow_id: str) -> Request:
        """Return the request that cancels a workflow."""
        return Request("DELETE", f"{self._workflows}/{workflow_id}")


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
    return seconds if seconds <= LONGEST_PAUSE else None


def read_result(reply: Reply, *, now: float) -> Any:
    """Return the ``result`` of an answer.

    Raises:
        RequestError: The answer is an error, or none that the API gives.
    """
    return _read_envelope(reply, now, needs_result=True)


def read_void(reply: Reply, *, now: float) -> Any:
    """Return the ``result`` of an answer that need not have one.

    Raises:
        RequestError: The answer is an error, or none that the API gives.
    """
    return _read_envelope(reply, now, needs_result=False)


def _read_envelope(reply: Reply, now: float, *, needs_result: bool) -> Any:
    try:
        envelope = _wire.decode(reply.body)
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


def read_bare(reply: Reply, *, now: float) -> Any:
    """Return an answer that is a JSON object without the API's envelope.

    Its errors are plain strings.

    Raises:
        RequestError: The answer is an error, or none that the API gives.
    """
    try:
        value = _wire.decode(reply.body)
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


def _error(reply: Reply, word: str, message: object, now: float) -> RequestError:
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


def _describe(reply: Reply) -> str:
    if 300 <= reply.status < 400:  # noqa: PLR2004
        return "the answer is a redirect, which is never followed"
    content = reply.headers.get("Content-Type", "no content type")
    return f"the answer is not the API's JSON: {len(reply.body)} bytes of {content}"


def read_started(result: Any) -> Started:
    """Return the id of a workflow that the server took.

    Raises:
        ProtocolError: The answer has no usable id.
    """
    fields = result if isinstance(result, dict) else {}
    try:
        workflow_id = checked_id(fields.get("workflowId"))
    except ValueError as error:
        message = f"the start was answered without a usable id: {error}"
        raise ProtocolError(message) from None
    status = fields.get("workflowStatus")
    return Started(workflow_id, "running" if status == "running" else "pending")


def read_status(result: Any, workflow_id: str) -> Answer:
    """Return what the state of a workflow means for a wait."""
    fields = result if isinstance(result, dict) else {}
    status = fields.get("workflowStatus")
    completion, failure = fields.get("completion"), fields.get("failure")
    if status in ("pending", "running"):  # may be unhashable
        reason = fields.get("pendingReason")
        return Waiting(status, reason if isinstance(reason, str) else None)
    if status == "cancelled":
        return Finished(WorkflowCancelledError(workflow_id=workflow_id), "cancelled")
    if status == "failed" or (status != "completed" and isinstance(failure, dict)):
        facts = failure if isinstance(failure, dict) else {}
        return Finished(
            WorkflowFailedError(
                reason=str(facts.get("reason") or "unknownError"),
                message=str(facts.get("message") or "the API gave no reason"),
                raw=completion,
                workflow_id=workflow_id,
            ),
            "failed",
        )
    if _is_usable(completion):
        return Finished(Completed(completion), "completed")
    if status == "completed" or not isinstance(status, str):
        message = "the answer has no usable workflowStatus or completion"
        return Missed(ProtocolError(message, workflow_id=workflow_id), "failed")
    _warn_of_status(status)
    return Waiting(status)


def read_told(
    workflow_id: str, status: str | None, completion: Any, failure: Any
) -> Finished | None:
    """Return how a workflow ended, if a webhook event tells that in full."""
    if completion is None and failure is None:
        return None
    fields = {
        "workflowStatus": status,
        "completion": completion,
        "failure": failure,
    }
    answer = read_status(fields, workflow_id)
    return answer if isinstance(answer, Finished) else None


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


def read_poll(reply: Reply, workflow_id: str, *, now: float) -> Answer:
    """Return what the answer to a poll means for the wait."""
    try:
        result = read_result(reply, now=now)
    except RequestError as error:
        return missed(error, workflow_id)
    return read_status(result, workflow_id)


def missed(error: RequestError, workflow_id: str) -> Missed:
    """Return what an error in place of an answer means for a wait.

    A definite word on a token or an id ends it when it is repeated; nothing else does.
    """
    error.workflow_id = workflow_id
    if isinstance(error, AuthenticationError) and error.type is not None:
        return Missed(error, "refused")
    gone = error.http_status == 404 and error.type is not None  # noqa: PLR2004
    if error.type in UNKNOWN_ID_ERRORS or gone:
        return Missed(WorkflowNotFoundError(workflow_id=workflow_id), "unknown")
    pause = error.retry_after if isinstance(error, RateLimitedError) else None
    return Missed(error, "failed", pause)


def read_word(result: Any, workflow_id: str) -> Status:
    """Return the state of a workflow in a word.

    Raises:
        ProtocolError: The answer has no state.
    """
    match read_status(result, workflow_id):
        case Waiting(status):
            return cast("Status", status)
        case Finished(_, status) if status is not None:
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


# What becomes of a request that failed: raise the error, try again, or say that
# nobody knows. A start is not safe to repeat; a workflow that only reads may be
# repeated once, since doing it twice harms nobody.

Kind: TypeAlias = Literal["ask", "start_read", "start_write"]
Verdict: TypeAlias = Literal["raise", "retry", "retry_once", "unknown"]
Failure: TypeAlias = Literal["unsent", "lost", "throttled", "garbled", "definite"]

FAILURE_RULES: dict[Failure, dict[Kind, Verdict]] = {
    # No connection was made: nobody has seen the request.
    "unsent": {"ask": "retry", "start_read": "retry", "start_write": "retry"},
    # It was sent, and the connection broke or time ran out.
    "lost": {"ask": "retry", "start_read": "retry_once", "start_write": "unknown"},
    # 429: the server says that it did not take it.
    "throttled": {"ask": "retry", "start_read": "retry", "start_write": "retry"},
    # An answer that is not the API's: 5xx, HTML, a truncated body, a redirect.
    "garbled": {"ask": "retry", "start_read": "retry_once", "start_write": "unknown"},
    # An error in the API's own words.
    "definite": {"ask": "raise", "start_read": "raise", "start_write": "raise"},
}


def failure_of(error: RequestError) -> Failure:
    """Return what kind of failure *error* is."""
    if isinstance(error, ConnectionFailedError):
        return "lost" if error.sent else "unsent"
    if isinstance(error, RateLimitedError):
        return "throttled"
    return "garbled" if isinstance(error, ProtocolError) else "definite"


def verdict(error: RequestError, kind: Kind) -> Verdict:
    """Return what becomes of a request of *kind* that ended in *error*."""
    return FAILURE_RULES[failure_of(error)][kind]
