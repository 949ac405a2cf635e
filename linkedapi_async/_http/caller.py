"""One call from request to value: sent again where that is safe, and nowhere else."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import attrs

from linkedapi_async._http.failure_rules import (
    RequestKind,
    classify_failure,
    retry_decision,
)
from linkedapi_async._http.requests import Headers, Request
from linkedapi_async._http.responses import Response, read_result
from linkedapi_async.errors import LinkedApiError, RateLimitedError, RequestError
from linkedapi_async.policies import Retries, RetryBudget


T = TypeVar("T")


class Transport(Protocol):
    """Carries one request to the host, once."""

    async def send(
        self, request: Request, headers: Headers, *, fresh: bool = False
    ) -> Response:
        """Send *request* once and return the answer, whatever its status."""
        ...


class RateLimiter(Protocol):
    """Knows when the host takes one more request."""

    async def admit(self) -> None:
        """Wait until the host may get one more request."""
        ...

    def pause(self, seconds: float | None) -> None:
        """Leave the host alone for *seconds*, if any are given."""
        ...


class RetryCounter(Protocol):
    """Where retries are counted."""

    retries: int


def _ignore_error(error: RequestError) -> None:
    """Do nothing about *error*."""


def _ignore_retry(error: RequestError, attempt: int, wait: float) -> None:
    """Tell nobody that a request is sent again."""


@attrs.frozen(kw_only=True)
class RetryingCaller:
    """Sends requests to one host, and again what failed, by the rules for failures."""

    http: Transport
    gate: RateLimiter
    retries: Retries
    budget: RetryBudget
    rng: random.Random
    counts: RetryCounter

    async def call(
        self,
        request: Request,
        headers: Headers,
        kind: RequestKind,
        read: Callable[[Any], T],
        *,
        unknown: Callable[[RequestError], LinkedApiError],
        unwrap: Callable[..., Any] = read_result,
        admitted: bool = False,
        lost: list[RequestError] | None = None,
        note: Callable[[RequestError], None] = _ignore_error,
        retried: Callable[[RequestError, int, float], None] = _ignore_retry,
    ) -> T:
        """Send *request*, again where the failure rules say so, and read the answer.

        Args:
            request: What to send.
            headers: The headers, tokens included.
            kind: What the failure rules go by.
            read: Makes the value of the answer's result.
            unknown: Makes the error for a failure after which nobody knows whether
                the work was done; it may be that failure itself.
            unwrap: Takes the result out of the answer.
            admitted: Whether the host's pause and rate were heeded already.
            lost: Gets the failures after which the work may have been done.
            note: Is told of each failure.
            retried: Is told of each failure after which the request is sent again, with
                the number of the next attempt and the seconds until then.
        """
        self.budget.earn()
        attempt, maybe_taken = 0, False
        while True:
            attempt += 1
            try:
                if not admitted:
                    await self.gate.admit()
                admitted = False
                reply = await self.http.send(
                    request, headers, fresh=kind == "start_write"
                )
                return read(unwrap(reply, now=time.time()))
            except RequestError as error:
                failed = error
            note(failed)
            if lost is not None and classify_failure(failed) in {"lost", "garbled"}:
                lost.append(failed)
            what = retry_decision(failed, kind)
            if what == "retry_once":
                what, maybe_taken = ("unknown" if maybe_taken else "retry"), True
            if (
                what == "retry"
                and attempt < self.retries.attempts
                and self.budget.spend()
            ):
                self.counts.retries += 1
                wait = self.retries.wait(attempt + 1, self.rng)
                if isinstance(failed, RateLimitedError):
                    self.gate.pause(failed.retry_after)
                retried(failed, attempt + 1, wait)
                await asyncio.sleep(wait)
                continue
            if what == "unknown" or (maybe_taken and what == "retry"):
                ending = unknown(failed)
                raise ending from (None if ending is failed else failed)
            raise failed
