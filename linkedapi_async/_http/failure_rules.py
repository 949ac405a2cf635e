"""What to do after a failed request: raise the error, retry, or call it unknown."""

from __future__ import annotations

from typing import Literal, TypeAlias

from linkedapi_async.errors import (
    AccountPausedError,
    AuthenticationError,
    ConnectionFailedError,
    RateLimitedError,
    RejectedError,
    RequestError,
)


RequestKind: TypeAlias = Literal["ask", "start_read", "start_write"]
"""A request that only reads, a start that only reads, and anything that writes."""

RetryDecision: TypeAlias = Literal["raise", "retry", "retry_once", "unknown"]

FailureKind: TypeAlias = Literal[
    "unsent", "proxy_refused", "lost", "throttled", "invalid_response", "api_error"
]

# A start that only reads may run twice without harm, so it is retried once.
FAILURE_RULES: dict[FailureKind, dict[RequestKind, RetryDecision]] = {
    # No byte of the request was sent.
    "unsent": {"ask": "retry", "start_read": "retry", "start_write": "retry"},
    # No byte was sent either, and the proxy would refuse again.
    "proxy_refused": {"ask": "raise", "start_read": "raise", "start_write": "raise"},
    # It may have been sent, and no complete answer came.
    "lost": {"ask": "retry", "start_read": "retry_once", "start_write": "unknown"},
    # 429: the server says that it did not accept the request.
    "throttled": {"ask": "retry", "start_read": "retry", "start_write": "retry"},
    # An answer that does not come from the API: 5xx, HTML, a truncated body, a
    # redirect.
    "invalid_response": {
        "ask": "retry",
        "start_read": "retry_once",
        "start_write": "unknown",
    },
    # An error envelope of the API.
    "api_error": {"ask": "raise", "start_read": "raise", "start_write": "raise"},
}

PROXY_REFUSALS = frozenset({401, 403, 405, 407})
"""The statuses of a proxy that a retry does not change."""


def classify_failure(error: RequestError) -> FailureKind:
    """Return what kind of failure *error* is."""
    if not error.sent:
        return "proxy_refused" if error.http_status in PROXY_REFUSALS else "unsent"
    if isinstance(error, ConnectionFailedError):
        return "lost"
    if isinstance(error, RateLimitedError):
        return "throttled"
    if isinstance(error, AuthenticationError) and error.type is not None:
        return "api_error"
    # Closed by default: after any other answer it is unknown what the server did. That
    # includes a 401 or 403 without an error of the API, which a gateway may have sent.
    known = isinstance(error, AccountPausedError | RejectedError)
    return "api_error" if known else "invalid_response"


def retry_decision(error: RequestError, kind: RequestKind) -> RetryDecision:
    """Return what to do after a request of *kind* that ended in *error*."""
    return FAILURE_RULES[classify_failure(error)][kind]
