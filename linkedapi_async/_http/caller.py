"""One call from request to value, retried where that is safe."""

from __future__ import annotations

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
from linkedapi_async._http.responses import Response, read_result, unreadable
from linkedapi_async.errors import LinkedApiError, RateLimitedError, RequestError
from linkedapi_async.policies import Retries, RetryBudget


T = TypeVar("T")


class Transport(Protocol):
    """Sends requests to the host."""

    async def send(
        self, request: Request, headers: Headers, *, write: bool = False
    ) -> Response:
        """Send *request* once and return the answer, whatever its status."""
        ...


class RateLimiter(Protocol):
    """Decides when the host may get one more request."""

    async def admit(self) -> None:
        """Wait until the host may get one more request."""
        ...

    async def admit_retry(self, seconds: float) -> bool:
        """Wait for *seconds* and until the host may get a retry.

        Returns:
            False if the owner is being closed, so that there is no retry.
        """
        ...

    def pause(self, seconds: float | None) -> None:
        """Send nothing for *seconds*; None changes nothing."""
        ...


def _ignore_error(error: RequestError) -> None:
    """Ignore *error*."""


def _ignore_retry(error: RequestError, attempt: int, wait: float) -> None:
    """Ignore a retry."""


@attrs.define(kw_only=True, eq=False)
class RetryingCaller:
    """Sends requests to one host and retries them by the failure rules."""

    transport: Transport
    limiter: RateLimiter
    retries: Retries
    budget: RetryBudget
    rng: random.Random
    retried: int = attrs.field(default=0, init=False)
    """How many retries it has sent."""

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
        on_error: Callable[[RequestError], None] = _ignore_error,
        on_retry: Callable[[RequestError, int, float], None] = _ignore_retry,
    ) -> T:
        """Send *request*, retry it by the failure rules, and read the answer.

        Args:
            request: The request.
            headers: The headers, tokens included.
            kind: Which failure rules apply.
            read: Converts the answer's result.
            unknown: Makes the error for a failure after which it is unknown whether the
                server did the work; it may return that failure itself.
            unwrap: Returns the result in the answer.
            admitted: Whether the limiter has admitted the first attempt already.
            lost: Collects the failures after which the work may have been done.
            on_error: Called with each failure.
            on_retry: Called before each retry with the failure, the number of the next
                attempt and the seconds until then.

        Raises:
            RequestError: The request failed for good.
            LinkedApiError: The error that *unknown* made.
        """
        self.budget.earn()
        attempt, maybe_accepted = 0, False
        if not admitted:
            await self.limiter.admit()
        while True:
            attempt += 1
            try:
                response = await self.transport.send(
                    request, headers, write=kind == "start_write"
                )
                # The time of day, because a Retry-After may be a date.
                return read(unwrap(response, now=time.time()))
            except RequestError as error:
                failed = error
            except Exception as error:  # noqa: BLE001  # it was sent: never a bare error
                failed = unreadable(error)
            on_error(failed)
            if lost is not None and classify_failure(failed) in {
                "lost",
                "invalid_response",
            }:
                lost.append(failed)
            decision = retry_decision(failed, kind)
            if decision == "retry_once":
                decision = "unknown" if maybe_accepted else "retry"
                maybe_accepted = True
            if decision == "retry" and await self._admit_retry(
                failed, attempt + 1, on_retry
            ):
                continue
            # An earlier attempt may have been accepted, so the outcome remains unknown.
            if decision == "unknown" or (maybe_accepted and decision == "retry"):
                final = unknown(failed)
                raise final from (None if final is failed else failed)
            raise failed

    async def _admit_retry(
        self,
        failed: RequestError,
        attempt: int,
        on_retry: Callable[[RequestError, int, float], None],
    ) -> bool:
        """Wait until the *attempt* may be sent; return whether there is one."""
        if attempt > self.retries.attempts or not self.budget.spend():
            return False
        self.retried += 1
        wait = self.retries.wait(attempt, self.rng)
        if isinstance(failed, RateLimitedError):
            self.limiter.pause(failed.pause)
        on_retry(failed, attempt, wait)
        return await self.limiter.admit_retry(wait)
