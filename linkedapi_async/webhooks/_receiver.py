"""The receiver of webhook deliveries: signatures, duplicates, subscribers."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import inspect
import logging
import math
import re
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeAlias

from linkedapi_async._utils.secret import Secret
from linkedapi_async._utils.text import safe_repr
from linkedapi_async.errors import SignatureError, WebhookError
from linkedapi_async.webhooks._events import (
    Body,
    Event,
    plain_bytes,
    read_event,
)


if TYPE_CHECKING:
    from aiohttp import web


SIGNATURE_HEADER: Final = "linked-api-signature"

TIMESTAMP_HEADER: Final = "linked-api-signature-timestamp"

TOLERANCE: Final = 300.0
"""How far the time of a signature may be from ours, either way, in seconds."""

LARGEST_BODY: Final = 16 * 1024 * 1024
"""The largest body that is taken, in bytes: a fat completion may have megabytes."""

COMPLAINT_GAP: Final = 60.0
"""Time in seconds between two warnings about refused deliveries."""

_SIGNATURE = re.compile(r"[0-9a-f]{64}")

# More digits than any time has would only make a slow number of them.
_TIMESTAMP = re.compile(r"[0-9]{1,20}")

_log = logging.getLogger("linkedapi_async.webhooks")


class _HasItems(Protocol):
    """Headers of any library: what is no `Mapping` still lists its pairs."""

    def items(self) -> Iterable[tuple[Any, Any]]:
        """Return the pairs of name and value."""
        ...


AnyHeaders: TypeAlias = Mapping[Any, Any] | _HasItems | Iterable[tuple[Any, Any]]
"""Names in any case, texts or bytes: a mapping, or pairs of name and value."""

# Signatures


def verify(
    headers: AnyHeaders,
    body: Body,
    *,
    secrets: str | Iterable[str],
    now: float | None = None,
    tolerance: float = TOLERANCE,
) -> None:
    """Refuse a delivery that Linked API did not sign, or not of late.

    Args:
        headers: The headers of the request.
        body: Its body, byte for byte as it came.
        secrets: The secret of the webhook; while it is rotated, the old one too.
        now: The Unix time in seconds; by default the clock's.
        tolerance: How far the time of the signature may be from *now*, either way, in
            seconds.

    Raises:
        SignatureError: The signature is missing, malformed, wrong, old, or of the future.
        ValueError: There is no secret, or one that cannot be right.
        TypeError: *body* is no bytes, or *headers* are none.
    """
    given = Secret(secrets)
    del secrets  # so that no frame shows them
    keys = _keys(given)
    _check_tolerance(tolerance)
    _verify(
        headers, plain_bytes(body), keys, time.time() if now is None else now, tolerance
    )


def _verify(
    headers: AnyHeaders,
    body: bytes,
    keys: tuple[Secret[bytes], ...],
    now: float,
    tolerance: float,
) -> None:
    pairs = _pairs(headers)
    timestamp = _header(pairs, TIMESTAMP_HEADER, _TIMESTAMP)
    signature = _header(pairs, SIGNATURE_HEADER, _SIGNATURE)
    age = now - int(timestamp)
    # Asked in this way a time that is not a number is refused too.
    if not abs(age) <= tolerance:
        raise SignatureError(
            f"the signature is {age:.0f} s old; {tolerance:g} s either way are allowed: "
            "a delivery sent again by somebody, or a clock that is wrong"
        )
    # Every secret is tried to the end: how long it takes tells nothing.
    fits = [hmac.compare_digest(_code(key, timestamp, body), signature) for key in keys]
    if not any(fits):
        many = f"any of {len(keys)} secrets" if len(keys) > 1 else "the secret"
        raise SignatureError(f"the signature does not fit the body and {many}")


def _code(key: Secret[bytes], timestamp: str, body: bytes) -> str:
    code = hmac.new(key.reveal(), f"{timestamp}.".encode(), hashlib.sha256)
    code.update(body)
    return code.hexdigest()


def sign(body: Body, *, secret: str, now: float | None = None) -> dict[str, str]:
    """Return the headers with which Linked API signs a delivery: to test a receiver.

    Args:
        body: The body to sign.
        secret: The secret of the webhook.
        now: The Unix time in seconds; by default the clock's.

    Raises:
        ValueError: *secret* cannot be right.
        TypeError: *body* is no bytes.
    """
    given = Secret(secret)
    del secret  # so that no frame shows it
    (key,) = _keys(given)
    timestamp = str(int(time.time() if now is None else now))
    code = _code(key, timestamp, plain_bytes(body))
    return {TIMESTAMP_HEADER: timestamp, SIGNATURE_HEADER: code}


def _header(pairs: list[tuple[Any, Any]], name: str, form: re.Pattern[str]) -> str:
    values = [value for key, value in pairs if _plain(key).lower() == name]
    if not values:
        raise SignatureError(f"no header {name}: is signing on for this webhook?")
    value = _plain(values[0])
    if len(values) > 1 or not form.fullmatch(value):
        raise SignatureError(f"the header {name} is not as it is due")
    return value


def _pairs(headers: AnyHeaders) -> list[tuple[Any, Any]]:
    items = getattr(headers, "items", None)
    try:
        pairs: Any = headers if items is None else items()
        return [(name, value) for name, value in pairs]
    except (TypeError, ValueError):
        message = "headers: a mapping, or pairs of name and value, is due"
        raise TypeError(message) from None


def _plain(value: object) -> str:
    # ASGI has bytes; what is neither, such as a list, is no value that was sent once.
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else ""


def _keys(secrets: Secret[Any]) -> tuple[Secret[bytes], ...]:
    """Return the keys of one secret or of several; errors do not show them."""
    if isinstance(secrets.reveal(), str):
        secrets = Secret((secrets.reveal(),))
    given = [Secret(each) for each in secrets.reveal()]
    if not given:
        raise ValueError("no secret: signatures cannot be checked")
    for secret in given:
        if not isinstance(secret.reveal(), str):
            kind = type(secret.reveal()).__name__
            raise TypeError(f"a secret must be a string, got {kind}")
        if not secret.reveal() or secret.reveal() != secret.reveal().strip():
            raise ValueError("a secret must not be empty or have space around it")
        if not secret.reveal().isprintable():
            raise ValueError("a secret must not have control characters")
    # https://linkedapi.io/docs/webhooks: the hex digits themselves are the key
    return tuple(Secret(secret.reveal().encode()) for secret in given)


def _check_tolerance(tolerance: float) -> None:
    if not 0 <= tolerance < math.inf:
        raise ValueError(f"tolerance: seconds from 0 on are due, got {tolerance!r}")


# The receiver


class WebhookReceiver:
    """Takes deliveries, checks them, and tells each event once.

    Any thread may let it `receive`; one delivery is taken after the other, and callbacks
    run in the thread that brought theirs. What `events` gives belongs to one event loop,
    and needs the deliveries to come in the thread of that.

    Args:
        secret: The secret of the webhook.
        secrets: More of them, as long as any may be in use.
        tolerance: How far the time of a signature may be from ours, either way, in
            seconds.
        largest_body: The largest body that is taken, in bytes.
        body_timeout: How long a body may take to come, in seconds, for `handle`.
        remembered: How many events are known again when they come twice: the last ones.
        allow_unsigned: Whether to take everything from everybody: for a webhook without
            signing, behind something else that keeps strangers out.
        clock: Tells the Unix time in seconds.

    Raises:
        ValueError: There is no secret, or one beside *allow_unsigned*; or a number
            makes no sense.
    """

    def __init__(
        self,
        secret: str | None = None,
        *,
        secrets: str | Iterable[str] = (),
        tolerance: float = TOLERANCE,
        largest_body: int = LARGEST_BODY,
        body_timeout: float = 30.0,
        remembered: int = 10_000,
        allow_unsigned: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        more = (secrets,) if isinstance(secrets, str) else tuple(secrets)
        given = Secret(more if secret is None else (secret, *more))
        del secret, secrets, more  # so that no frame shows them
        _check_tolerance(tolerance)
        for name, number in (
            ("largest_body", largest_body),
            ("body_timeout", body_timeout),
            ("remembered", remembered),
        ):
            if not number > 0:
                raise ValueError(f"{name}: more than 0 is due, got {number!r}")
        if allow_unsigned and given.reveal():
            raise ValueError("allow_unsigned: with a secret, signatures are checked")
        if not allow_unsigned and not given.reveal():
            raise ValueError(
                "no secret: pass secret=, or allow_unsigned=True if the webhook has no "
                "signing and strangers cannot reach it"
            )
        self._keys = _keys(given) if given.reveal() else ()
        self._tolerance = tolerance
        self._largest = largest_body
        self._body_timeout = body_timeout
        self._remembered = remembered
        self._clock = clock
        self._lock = threading.RLock()
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._callbacks: dict[object, Callable[[Event], object]] = {}
        # A stream that nobody reads any more must not block the others.
        self._streams: weakref.WeakSet[EventStream] = weakref.WeakSet()
        self._complained = -math.inf
        self.received: int = 0
        """How many events came, each counted once."""
        self.duplicates: int = 0
        """How many deliveries brought an event that was known already."""
        self.refused: int = 0
        """How many deliveries were refused, for whatever reason."""
        self.last_event_at: float | None = None
        """When the last delivery was taken, duplicates included, in Unix time."""

    @safe_repr
    def __repr__(self) -> str:
        return (
            f"<WebhookReceiver {self.received} received, {self.duplicates} duplicates, "
            f"{self.refused} refused>"
        )

    def set_secrets(self, secret: str, *more: str) -> None:
        """Check signatures with these secrets from now on.

        Before a rotation nothing is known of the new secret; after it, deliveries under
        way still carry the old one: ``set_secrets(new, old)``, and later the new alone.

        Raises:
            ValueError: One of them cannot be right.
        """
        given = Secret((secret, *more))
        del secret, more  # so that no frame shows them
        self._keys = _keys(given)

    def receive(self, headers: AnyHeaders, body: Body) -> Event | None:
        """Take a delivery; return its event, or None if that came before.

        The callbacks run before it returns. Only then the event counts as known: if one
        of them is interrupted, the API's next attempt brings the event again.

        Args:
            headers: The headers of the request.
            body: Its body, byte for byte as it came.

        Raises:
            WebhookError: It is refused; answer with its ``status`` and without its
                words. `SignatureError` is one.
            TypeError: *body* is no bytes, or *headers* are none.
        """
        content = plain_bytes(body)
        try:
            self._check_size(len(content))
            if self._keys:
                _verify(headers, content, self._keys, self._clock(), self._tolerance)
            event = read_event(content)
            with self._lock:
                return event if self._take(event) else None
        except WebhookError as error:
            self._refuse(error)
            raise

    def _take(self, event: Event) -> bool:
        """Tell of an event, unless that was done; return whether it is new."""
        key = _key(event.id)
        known = key in self._seen
        if not known and any(stream.full for stream in self._streams):
            raise WebhookError("a stream of events is full: read it faster", status=503)
        self.last_event_at = self._clock()
        if known:
            self._seen.move_to_end(key)
            self.duplicates += 1
            return False
        self._tell(event)
        self._seen[key] = None
        if len(self._seen) > self._remembered:
            self._seen.popitem(last=False)
        self.received += 1
        return True

    def _check_size(self, size: int) -> None:
        if size > self._largest:
            raise WebhookError(
                f"the body is larger than {self._largest} bytes", status=413
            )

    def _tell(self, event: Event) -> None:
        for callback in tuple(self._callbacks.values()):
            try:
                callback(event)
            except Exception:  # noqa: BLE001
                # The other callbacks, and the sender, have nothing to do with it.
                _log.exception("a callback failed at %r (%r)", event.type, event.id)
        for stream in self._streams:
            stream._put(event)  # noqa: SLF001  # a class of this module

    def _refuse(self, error: WebhookError) -> None:
        self.refused += 1
        now = self._clock()
        # Whoever can reach the receiver could fill the log otherwise.
        if now - self._complained >= COMPLAINT_GAP:
            self._complained = now
            _log.warning("refused a delivery: %s (%d in all)", error, self.refused)

    def subscribe(self, callback: Callable[[Event], object]) -> Callable[[], None]:
        """Call *callback* with each new event, in the order in which they come.

        An error that it raises is logged; it hinders neither the others nor the answer.

        Args:
            callback: A plain function that does not take long: the sender waits for it.

        Returns:
            What ends the subscription; it may be called twice.

        Raises:
            TypeError: *callback* is a coroutine function; `events` serves those.
        """
        if inspect.iscoroutinefunction(callback):
            message = "callback: a plain function is due; coroutines read events()"
            raise TypeError(message)
        ticket = object()
        self._callbacks[ticket] = callback

        def unsubscribe() -> None:
            self._callbacks.pop(ticket, None)

        return unsubscribe

    def events(self, limit: int = 1000) -> EventStream:
        """Return a stream of the events that come from now on.

        While *limit* of them wait to be read, new events are refused with the status
        503: the API sends them again later, so that a slow reader loses nothing as long
        as the API's attempts last. It is the same for all streams and callbacks of this
        receiver, and the log says so.

        Args:
            limit: How many events may wait.
        """
        stream = EventStream(self._streams, limit)
        self._streams.add(stream)
        return stream

    async def handle(self, request: web.Request) -> web.Response:
        """Answer a delivery in an aiohttp application: 204, or why not.

        ::

            app.router.add_post("/hook", receiver.handle)

        The answer to what is refused has a status and no words. The application's limit
        for bodies does not count here, *largest_body* does.
        """
        # Users of other frameworks, and of events that are read from a queue, need none.
        from aiohttp import web  # noqa: PLC0415

        try:
            body = await self._read_body(request)
        except WebhookError as error:
            self._refuse(error)
            return web.Response(status=error.status)
        try:
            self.receive(request.headers, body)
        except WebhookError as error:
            return web.Response(status=error.status)
        return web.Response(status=204)

    async def _read_body(self, request: web.Request) -> bytes:
        self._check_size(request.content_length or 0)
        if not request.can_read_body:
            # A middleware may have read it already, and the request still has it.
            return await request.read()
        body = bytearray()
        try:
            async with asyncio.timeout(self._body_timeout):
                async for chunk in request.content.iter_any():
                    body += chunk
                    self._check_size(len(body))
        except TimeoutError:
            raise WebhookError("the body came too slowly", status=408) from None
        return bytes(body)


def _key(event_id: str) -> bytes:
    """Return what stands for an id: as long as any other, for a bound in bytes."""
    text = event_id.encode(errors="surrogatepass")
    return hashlib.blake2b(text, digest_size=16).digest()


class EventStream:
    """The events of a receiver, to be read with ``async for``; also a context manager.

    It ends when it is closed, or when nobody holds it any more.
    """

    def __init__(self, streams: weakref.WeakSet[EventStream], limit: int) -> None:
        if limit < 1:
            raise ValueError(f"limit: at least 1 is due, got {limit!r}")
        self._streams = streams
        self._limit = limit
        self._waiting: asyncio.Queue[Event | None] = asyncio.Queue()

    @property
    def full(self) -> bool:
        """Whether as many events wait as may."""
        return self._waiting.qsize() >= self._limit

    def _put(self, event: Event) -> None:
        self._waiting.put_nowait(event)

    def close(self) -> None:
        """Take no more events; those that wait can still be read."""
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
            # Whoever else reads, or comes later, meets the end too.
            self._waiting.put_nowait(None)
            raise StopAsyncIteration
        return event
