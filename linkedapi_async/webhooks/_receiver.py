"""The receiver of webhook deliveries: limits, duplicates, subscribers."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import logging
import math
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, Self

from linkedapi_async._utils.secret import Secret
from linkedapi_async._utils.text import safe_repr
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

MAX_OPEN: Final = 100
"""How many requests `WebhookReceiver.handle` reads at once by default."""

WARNING_INTERVAL: Final = 60.0
"""The time between two warnings about refused deliveries, in seconds."""

_log = logging.getLogger("linkedapi_async.webhooks")


class WebhookReceiver:
    """Accepts deliveries, checks them, and reports each event once.

    Any thread may call `receive`. Deliveries are accepted one after another, and
    callbacks run in the thread of their delivery. A stream of `events` belongs to one
    event loop, and needs the deliveries to come in the thread of that loop.

    Args:
        secret: The secret of the webhook.
        secrets: More secrets, while more than one may be in use.
        tolerance: How far the time of a signature may be from the clock's, either way,
            in seconds.
        max_body_bytes: The largest body that is accepted, in bytes. A completion in the
            payload mode ``fat`` may have megabytes.
        body_timeout: How long `handle` reads a body, in seconds.
        max_open: How many requests `handle` reads at once.
        remembered: How many event ids are kept to recognise duplicates: the last ones.
        allow_unsigned: Whether to accept unsigned deliveries: only for a webhook without
            signing that strangers cannot reach.
        clock: Returns the Unix time in seconds.

    Raises:
        ValueError: There is no secret, or one beside *allow_unsigned*; or a number
            is out of range.
    """

    def __init__(
        self,
        secret: str | None = None,
        *,
        secrets: str | Iterable[str] = (),
        tolerance: float = TOLERANCE,
        max_body_bytes: int = MAX_BODY_BYTES,
        body_timeout: float = 10.0,
        max_open: int = MAX_OPEN,
        remembered: int = 10_000,
        allow_unsigned: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        more = (secrets,) if isinstance(secrets, str) else tuple(secrets)
        given = Secret(more if secret is None else (secret, *more))
        del secret, secrets, more  # so that no frame shows them
        check_tolerance(tolerance)
        for name, number in (
            ("max_body_bytes", max_body_bytes),
            ("body_timeout", body_timeout),
            ("max_open", max_open),
            ("remembered", remembered),
        ):
            if not number > 0:
                raise ValueError(f"{name} must be more than 0, got {number!r}")
        if allow_unsigned and given.reveal():
            raise ValueError("allow_unsigned: with a secret, signatures are checked")
        if not allow_unsigned and not given.reveal():
            raise ValueError(
                "no secret: pass secret=, or allow_unsigned=True if the webhook has no "
                "signing and strangers cannot reach it"
            )
        self._keys = signing_keys(given) if given.reveal() else ()
        self._tolerance = tolerance
        self._max_body_bytes = max_body_bytes
        self._max_open = max_open
        self._open = 0
        self._body_timeout = body_timeout
        self._remembered = remembered
        self._clock = clock
        self._lock = threading.RLock()
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._callbacks: dict[object, Callable[[Event], object]] = {}
        # Weak, because an abandoned stream must not block the others.
        self._streams: weakref.WeakSet[EventStream] = weakref.WeakSet()
        self._warned_at = -math.inf
        self.received: int = 0
        """How many events were accepted, each counted once."""
        self.duplicates: int = 0
        """How many deliveries had an event that was known already."""
        self.refused: int = 0
        """How many deliveries were refused."""
        self.last_event_at: float | None = None
        """When the last delivery was accepted, duplicates included, in Unix time."""

    @safe_repr
    def __repr__(self) -> str:
        return (
            f"<WebhookReceiver {self.received} received, {self.duplicates} duplicates, "
            f"{self.refused} refused>"
        )

    def set_secrets(self, secret: str, *more: str) -> None:
        """Check signatures with these secrets from now on.

        After a rotation, deliveries under way still have the old secret: call
        ``set_secrets(new, old)``, and later ``set_secrets(new)``.

        Raises:
            ValueError: One of them cannot be right.
        """
        given = Secret((secret, *more))
        del secret, more  # so that no frame shows them
        self._keys = signing_keys(given)

    def receive(self, headers: AnyHeaders, body: Body) -> Event | None:
        """Accept a delivery; return its event, or None if it is a duplicate.

        The callbacks run before it returns, and only then the event counts as known. If
        a callback is interrupted, the API's next attempt delivers the event again.

        Args:
            headers: The headers of the request.
            body: Its body, byte for byte as received.

        Raises:
            WebhookError: The delivery is refused; answer with the error's ``status`` and
                without its message. `SignatureError` is one.
            TypeError: *body* is not bytes, or *headers* are not headers.
        """
        content = plain_bytes(body)
        try:
            self._check_size(len(content))
            if self._keys:
                signature = read_signature(headers, self._clock(), self._tolerance)
                check_signature(signature, content, self._keys)
            event = read_event(content)
            with self._lock:
                return event if self._accept(event) else None
        except WebhookError as error:
            self._refuse(error)
            raise

    def _accept(self, event: Event) -> bool:
        """Report an event unless it is known; return whether it is new."""
        key = _key(event.id)
        known = key in self._seen
        # Before any callback, so that a refused event has no effect at all.
        if not known and any(stream.full for stream in self._streams):
            raise WebhookError("a stream of events is full; read it faster", status=503)
        self.last_event_at = self._clock()
        if known:
            self._seen.move_to_end(key)
            self.duplicates += 1
            return False
        self._report(event)
        # Only now, so that an interrupted callback gets the event once more.
        self._seen[key] = None
        if len(self._seen) > self._remembered:
            self._seen.popitem(last=False)
        self.received += 1
        return True

    def _check_size(self, size: int) -> None:
        if size > self._max_body_bytes:
            message = f"the body must be at most {self._max_body_bytes} bytes"
            raise WebhookError(message, status=413)

    def _report(self, event: Event) -> None:
        for callback in tuple(self._callbacks.values()):
            try:
                callback(event)
            except Exception:  # noqa: BLE001
                # It must not affect the other callbacks or the answer.
                _log.exception("a callback failed at %r (%r)", event.type, event.id)
        for stream in self._streams:
            stream.put(event)

    def _refuse(self, error: WebhookError) -> None:
        self.refused += 1
        now = self._clock()
        # Otherwise anyone who reaches the receiver could fill the log.
        if now - self._warned_at >= WARNING_INTERVAL:
            self._warned_at = now
            _log.warning("refused a delivery: %s (%d in all)", error, self.refused)

    def subscribe(self, callback: Callable[[Event], object]) -> Callable[[], None]:
        """Call *callback* with each new event, in the order of delivery.

        An error that it raises is logged and affects neither other callbacks nor the
        answer.

        Args:
            callback: A plain function that returns soon, because the sender waits for it.

        Returns:
            A function that ends the subscription; it may be called twice.

        Raises:
            TypeError: *callback* is a coroutine function; use `events` for those.
        """
        if inspect.iscoroutinefunction(callback):
            message = "callback must be a plain function; coroutines read events()"
            raise TypeError(message)
        ticket = object()
        self._callbacks[ticket] = callback

        def unsubscribe() -> None:
            self._callbacks.pop(ticket, None)

        return unsubscribe

    def events(self, limit: int = 1000) -> EventStream:
        """Return a stream of the events from now on.

        While *limit* events wait in it, the receiver refuses new ones with the status
        503, for all of its streams and callbacks. The API delivers them again later, so
        a slow reader loses nothing as long as the API's attempts last.

        Args:
            limit: How many events may wait, at least 1.
        """
        stream = EventStream(self._streams, limit)
        self._streams.add(stream)
        return stream

    async def handle(self, request: web.Request) -> web.Response:
        """Answer a delivery in an aiohttp application: 204, or the status of a refusal.

        ::

            app.router.add_post("/hook", receiver.handle)

        The headers are checked before the body is read. The answer to a refused delivery
        has a status and no text. *max_body_bytes* counts instead of the application's
        limit for bodies.
        """
        # Receivers in other frameworks do without aiohttp's server.
        from aiohttp import web  # noqa: PLC0415

        try:
            body = await self._read_request(request)
        except WebhookError as error:
            self._refuse(error)
            refusal = web.Response(status=error.status)
            # What is left of the body must not be read as the next request.
            refusal.force_close()
            return refusal
        try:
            self.receive(request.headers, body)
        except WebhookError as error:
            return web.Response(status=error.status)
        return web.Response(status=204)

    async def _read_request(self, request: web.Request) -> bytes:
        if self._open >= self._max_open:
            message = f"{self._max_open} requests are open already"
            raise WebhookError(message, status=503)
        self._check_size(request.content_length or 0)
        if self._keys:
            read_signature(request.headers, self._clock(), self._tolerance)
        if not request.can_read_body:
            # A middleware may have read it; then the request has kept it.
            return await request.read()
        self._open += 1
        try:
            async with asyncio.timeout(self._body_timeout):
                return await self._read_body(request)
        except TimeoutError:
            raise WebhookError("the body came too slowly", status=408) from None
        finally:
            self._open -= 1

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


def _key(event_id: str) -> bytes:
    """Return the digest of an id, so that all ids take the same memory."""
    text = event_id.encode(errors="surrogatepass")
    return hashlib.blake2b(text, digest_size=16).digest()


class EventStream:
    """The events of a receiver, to read with ``async for``; also a context manager.

    It ends when it is closed.
    """

    def __init__(self, streams: weakref.WeakSet[EventStream], limit: int) -> None:
        if limit < 1:
            raise ValueError(f"limit must be at least 1, got {limit!r}")
        self._streams = streams
        self._limit = limit
        self._waiting: asyncio.Queue[Event | None] = asyncio.Queue()

    @property
    def full(self) -> bool:
        """Whether as many events wait as the limit allows."""
        return self._waiting.qsize() >= self._limit

    def put(self, event: Event) -> None:
        """Add an event, whatever the limit."""
        self._waiting.put_nowait(event)

    def close(self) -> None:
        """Add no more events; those that wait can still be read."""
        if self in self._streams:
            self._streams.discard(self)
            self._waiting.put_nowait(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = await self._waiting.get()
        if event is None:
            # The end stays, for other readers and later calls.
            self._waiting.put_nowait(None)
            raise StopAsyncIteration
        return event
