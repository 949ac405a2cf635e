"""What becomes of a failed request: raise the error, retry, or call the start unknown."""

from __future__ import annotations

from typing import Literal, TypeAlias

from linkedapi_async.errors import (
    ConnectionFailedError,
    ProtocolError,
    RateLimitedError,
    RequestError,
)


# What becomes of a request that failed: raise the error, try again, or say that
# nobody knows. A start is not safe to repeat; a workflow that only reads may be
# repeated once, since doing it twice harms nobody.

RequestKind: TypeAlias = Literal["ask", "start_read", "start_write"]

RetryDecision: TypeAlias = Literal["raise", "retry", "retry_once", "unknown"]

FailureKind: TypeAlias = Literal["unsent", "lost", "throttled", "garbled", "definite"]

FAILURE_RULES: dict[FailureKind, dict[RequestKind, RetryDecision]] = {
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


def classify_failure(error: RequestError) -> FailureKind:
    """Return what kind of failure *error* is."""
    if isinstance(error, ConnectionFailedError):
        return "lost" if error.sent else "unsent"
    if isinstance(error, RateLimitedError):
        return "throttled"
    return "garbled" if isinstance(error, ProtocolError) else "definite"


def retry_decision(error: RequestError, kind: RequestKind) -> RetryDecision:
    """Return what becomes of a request of *kind* that ended in *error*."""
    return FAILURE_RULES[classify_failure(error)][kind]
