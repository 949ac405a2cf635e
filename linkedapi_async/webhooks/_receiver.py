"""The receiver of webhook deliveries: limits, duplicates, subscribers."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Self

from linkedapi_async._utils.secret import Secret
from linkedapi_async._utils.text import safe_repr
from linkedapi_async.errors import WebhookError
from linkedapi_async.webhooks._checker import (
    BODY_TIMEOUT,
    MAX_BODY_BYTES,
    MAX_OPEN,
    DeliveryChecker,
)
from linkedapi_async.webhooks._events import Body, Event, digest_of
from linkedapi_async.webhooks._signature import TOLERANCE, AnyHeaders


if TYPE_CHECKING:
    from aiohttp import web


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
        remembered: How many of the last event ids are kept to recognise duplicates.
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
        body_timeout: float = BODY_TIMEOUT,
        max_open: int = MAX_OPEN,
        remembered: int = 10_000,
        allow_unsigned: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        more = (secrets,) if isinstance(secrets, str) else tuple(secrets)
        given = Secret(more if secret is None else (secret, *more))
        del secret, secrets, more  # so that no frame shows them
        if not remembered > 0:
            raise ValueError(f"remembered must be more than 0, got {remembered!r}")
        if allow_unsigned and given.reveal():
            raise ValueError("allow_unsigned: with a secret, signatures are checked")
        if not allow_unsigned and not given.reveal():
            raise ValueError(
                "no secret: pass secret=, or allow_unsigned=True if the webhook has no "
                "signing and strangers cannot reach it"
            )
        self._checker = DeliveryChecker(
            None if allow_unsigned else given,
            tolerance=tolerance,
            max_body_bytes=max_body_bytes,
            body_timeout=body_timeout,
            max_open=max_open,
            clock=clock,
        )
        self._remembered = remembered
        self._clock = clock
        self._lock = threading.RLock()
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._callbacks: dict[object, Callable[[Event], object]] = {}
        # The references are weak, because an abandoned stream must not block the
        # others.
        self._streams: weakref.WeakSet[EventStream] = weakref.WeakSet()
        self.received: int = 0
        """How many events were accepted, each counted once."""
        self.duplicates: int = 0
        """How many deliveries had an event that was known already."""
        self.last_event_at: float | None = None
        """When the last delivery was accepted, duplicates included, in Unix time."""

    @property
    def refused(self) -> int:
        """How many deliveries were refused."""
        return self._checker.refused

    @safe_repr
    def __repr__(self) -> str:
        return (
            f"<WebhookReceiver {self.received} received, {self.duplicates} duplicates, "
            f"{self.refused} refused>"
        )

    def set_secrets(self, secret: str, *more: str) -> None:
        """Check signatures with these secrets from now on.

        After a rotation, deliveries in progress are still signed with the old secret:
        call ``set_secrets(new, old)``, and later ``set_secrets(new)``.

        Raises:
            ValueError: One of them cannot be right.
        """
        given = Secret((secret, *more))
        del secret, more  # so that no frame shows them
        self._checker.set_secrets(given)

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
        try:
            event = self._checker.check(headers, body)
            with self._lock:
                return event if self._accept(event) else None
        except WebhookError as error:
            self._checker.refuse(error)
            raise

    def _accept(self, event: Event) -> bool:
        """Report an event unless it is known; return whether it is new."""
        key = digest_of(event)
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
        # This comes last, so that an interrupted callback gets the event again.
        self._seen[key] = None
        if len(self._seen) > self._remembered:
            self._seen.popitem(last=False)
        self.received += 1
        return True

    def _report(self, event: Event) -> None:
        for callback in tuple(self._callbacks.values()):
            try:
                callback(event)
            except Exception:  # noqa: BLE001
                # It must not affect the other callbacks or the answer.
                _log.exception("a callback failed at %r (%r)", event.type, event.id)
        for stream in self._streams:
            stream.put(event)

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

        async def accept(headers: AnyHeaders, body: bytes) -> None:
            """Report the event."""
            self.receive(headers, body)

        return await self._checker.answer(request, accept)


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
        """Add an event, even above the limit."""
        self._waiting.put_nowait(event)

    def close(self) -> None:
        """Accept no more events; those that wait can still be read."""
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
            # Put the end back, for other readers and later calls.
            self._waiting.put_nowait(None)
            raise StopAsyncIteration
        return event
