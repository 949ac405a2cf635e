"""Checks of webhook deliveries, before anything is done with their events."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from linkedapi_async._utils.secret import Secret
from linkedapi_async.errors import WebhookError
from linkedapi_async.webhooks._events import Body, Event, plain_bytes, read_event
from linkedapi_async.webhooks._signature import (
    TOLERANCE,
    AnyHeaders,
    check_signature,
    check_tolerance,
    read_signature,
    signing_keys,
)


if TYPE_CHECKING:
    from aiohttp import web


MAX_BODY_BYTES: Final = 1024 * 1024
"""The largest body that is accepted by default, in bytes."""

BODY_TIMEOUT: Final = 10.0
"""How long a body is read by default, in seconds."""

MAX_OPEN: Final = 100
"""How many requests are open at once by default."""

WARNING_INTERVAL: Final = 60.0
"""The time between two warnings about refused deliveries, in seconds."""

_log = logging.getLogger("linkedapi_async.webhooks")


class DeliveryChecker:
    """Refuses deliveries that are too large, too slow, too many, or not signed.

    Args:
        secrets: The secrets of the webhook; None checks no signature.
        tolerance: How far the time of a signature may be from the clock's, in seconds.
        max_body_bytes: The largest body that is accepted, in bytes.
        body_timeout: How long `answer` reads a body, in seconds.
        max_open: How many requests `answer` has open at once.
        clock: Returns the Unix time in seconds.

    Raises:
        ValueError: A number is out of range, or a secret cannot be right.
    """

    def __init__(
        self,
        secrets: Secret[Any] | None,
        *,
        tolerance: float = TOLERANCE,
        max_body_bytes: int = MAX_BODY_BYTES,
        body_timeout: float = BODY_TIMEOUT,
        max_open: int = MAX_OPEN,
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_tolerance(tolerance)
        for name, number in (
            ("max_body_bytes", max_body_bytes),
            ("body_timeout", body_timeout),
            ("max_open", max_open),
        ):
            if not number > 0:
                raise ValueError(f"{name} must be more than 0, got {number!r}")
        self._keys = signing_keys(secrets) if secrets is not None else ()
        self._tolerance = tolerance
        self._max_body_bytes = max_body_bytes
        self._body_timeout = body_timeout
        self._max_open = max_open
        self._clock = clock
        self._open = 0
        self._warned_at = -math.inf
        self.refused = 0
        """How many deliveries were refused."""

    def set_secrets(self, secrets: Secret[Any]) -> None:
        """Check signatures with these secrets from now on.

        Raises:
            ValueError: One of them cannot be right.
        """
        self._keys = signing_keys(secrets)

    def check(self, headers: AnyHeaders, body: Body) -> Event:
        """Return the event of a delivery, which is as Linked API sent it.

        Raises:
            WebhookError: It is not.
            TypeError: *body* is not bytes, or *headers* are not headers.
        """
        content = plain_bytes(body)
        self._check_size(len(content))
        if self._keys:
            signature = read_signature(headers, self._clock(), self._tolerance)
            check_signature(signature, content, self._keys)
        return read_event(content)

    async def answer(
        self,
        request: web.Request,
        accept: Callable[[AnyHeaders, bytes], Awaitable[object]],
    ) -> web.Response:
        """Answer a request to an aiohttp application: 204, or the status of a refusal.

        The headers are checked before the body is read. A request is open until *accept*
        has returned.

        Args:
            request: The request.
            accept: Called with its headers and its body. A `WebhookError` that it
                raises sets the status of the answer; it must have counted it with
                `refuse`.
        """
        # Receivers in other frameworks do not need aiohttp's server.
        from aiohttp import web  # noqa: PLC0415

        try:
            with self._one_open():
                return await self._answer(request, accept)
        except WebhookError as error:
            self.refuse(error)
            refusal = web.Response(status=error.status)
            # The rest of the body must not be read as the next request.
            refusal.force_close()
            return refusal

    def refuse(self, error: WebhookError) -> None:
        """Count a refused delivery."""
        self.refused += 1
        now = self._clock()
        # Otherwise anyone who reaches the receiver could fill the log.
        if now - self._warned_at >= WARNING_INTERVAL:
            self._warned_at = now
            _log.warning("refused a delivery: %s (%d in all)", error, self.refused)

    @contextlib.contextmanager
    def _one_open(self) -> Iterator[None]:
        if self._open >= self._max_open:
            message = f"{self._max_open} requests are open already"
            raise WebhookError(message, status=503)
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    async def _answer(
        self,
        request: web.Request,
        accept: Callable[[AnyHeaders, bytes], Awaitable[object]],
    ) -> web.Response:
        from aiohttp import web  # noqa: PLC0415

        body = await self._read_request(request)
        try:
            await accept(request.headers, body)
        except WebhookError as error:
            return web.Response(status=error.status)
        return web.Response(status=204)

    def _check_size(self, size: int) -> None:
        if size > self._max_body_bytes:
            message = f"the body must be at most {self._max_body_bytes} bytes"
            raise WebhookError(message, status=413)

    async def _read_request(self, request: web.Request) -> bytes:
        self._check_size(request.content_length or 0)
        if self._keys:
            read_signature(request.headers, self._clock(), self._tolerance)
        if not request.can_read_body:
            # A middleware may have read it already; then the request keeps it.
            return await request.read()
        try:
            async with asyncio.timeout(self._body_timeout):
                return await self._read_body(request)
        except TimeoutError:
            raise WebhookError("the body came too slowly", status=408) from None

    async def _read_body(self, request: web.Request) -> bytes:
        from aiohttp import http_exceptions, web  # noqa: PLC0415

        body = bytearray()
        try:
            async for chunk in request.content.iter_any():
                body += chunk
                self._check_size(len(body))
        except (http_exceptions.HttpProcessingError, web.RequestPayloadError):
            # Otherwise aiohttp would read on, and log the same error with a traceback.
            request.content.feed_eof()
            message = "the body does not have its content encoding, or is truncated"
            raise WebhookError(message) from None
        return bytes(body)
