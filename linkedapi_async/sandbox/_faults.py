"""Faults of networks and servers: injected on demand, and counted.

A fault matches some requests. When it applies to one, a coroutine of `KINDS` answers
instead of the API. A *hit* is recorded once the bytes are sent, or withheld, as the fault
says: a client that disconnected before that is not counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import email.utils
import inspect
import json
import math
import socket
import struct
import sys
import zlib
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias, cast, get_args

import attrs
from aiohttp import web

from linkedapi_async._utils.json import decode_json, encode_json
from linkedapi_async.sandbox._clock import Clock
from linkedapi_async.sandbox._lane import Endpoint
from linkedapi_async.sandbox._world import SeededRandom


FaultKind: TypeAlias = Literal[
    "bad_id",
    "deep",
    "drip",
    "garbage",
    "headers",
    "huge",
    "mangle",
    "redirect",
    "reset_after",
    "reset_before",
    "stall",
    "status",
    "throttle",
    "truncated",
]
Work: TypeAlias = Callable[[web.Request], Awaitable[web.Response]]
"""Does the work of the API, and returns its answer."""

JSON = "application/json"
HTML = "<!DOCTYPE html><title>Please wait</title><h1>Checking your browser</h1>"
PIECE = 65_536
"""The size of the pieces in which a large body is written, in bytes."""


class FaultHit(NamedTuple):
    """One time that a fault reached a client."""

    endpoint: Endpoint
    workflow_id: str | None
    """The workflow of the request; for a start the one that was accepted, if any."""
    when: float
    """When, in seconds on the sandbox's clock."""


@attrs.define(eq=False)
class ClientConnection:
    """The connection to one client, which a fault answers or breaks."""

    request: web.Request
    _work: Work
    workflow_id: str | None = None
    response: web.StreamResponse = attrs.field(factory=web.Response)
    done: bool = False
    """Whether the fault has taken effect."""

    @property
    def transport(self) -> asyncio.Transport:
        """The connection.

        Raises:
            ConnectionError: The client has disconnected.
        """
        transport = self.request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        return transport

    async def work(self) -> web.Response:
        """Do the work of the API and return its answer without sending it."""
        response = await self._work(self.request)
        if self.workflow_id is None:
            result = decode_json(_body(response)).get("result")
            known = result if isinstance(result, dict) else {}
            self.workflow_id = known.get("workflowId")
        return response

    async def send(self, response: web.Response) -> None:
        """Send a whole answer."""
        self.response = response
        await response.prepare(self.request)
        await response.write_eof()
        self.done = True

    async def begin(self, response: web.StreamResponse) -> None:
        """Send the headers of an answer whose body follows in pieces."""
        self.response = response
        await response.prepare(self.request)

    @contextlib.contextmanager
    def streaming(self) -> Iterator[None]:
        """Mark the fault as done after the body, also when the connection ends first."""
        try:
            yield
        finally:
            self.done = True

    def reset(self) -> None:
        """Reset the connection instead of closing it."""
        transport = self.transport
        # Closing with a linger time of 0 sends a reset. Windows packs two shorts.
        linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
        self.done = True


def _body(response: web.Response) -> bytes:
    return cast("bytes", response.body)


# The effects of faults. *done* says whether the server does the work nevertheless, so
# that, for example, a workflow is started and only the answer is lost.


async def _status(
    connection: ClientConnection,
    *,
    status: int = 500,
    type: str | None = None,
    message: str = "The sandbox was scripted to answer this.",
    body: str | bytes = HTML,
    content_type: str = "text/html",
    headers: Mapping[str, str] | None = None,
    done: bool = False,
) -> None:
    """Answer with an HTTP status; with an error of a *type*, or without an envelope."""
    if done:
        await connection.work()
    if type is not None:
        error = {"type": type, "message": message}
        body, content_type = encode_json({"success": False, "error": error}), JSON
    await connection.send(_response(body, content_type, status, headers))


async def _throttle(
    connection: ClientConnection,
    *,
    retry_after: float | str | dt.datetime | None = None,
    type: str | None = "tooManyRequests",
    done: bool = False,
) -> None:
    """Answer with 429 and a ``Retry-After`` in seconds or as a date."""
    headers = {} if retry_after is None else {"Retry-After": _when(retry_after)}
    await _status(connection, status=429, type=type, headers=headers, done=done)


def _when(retry_after: float | str | dt.datetime) -> str:
    if isinstance(retry_after, dt.datetime):
        return email.utils.format_datetime(retry_after.astimezone(dt.UTC), usegmt=True)
    return retry_after if isinstance(retry_after, str) else f"{math.ceil(retry_after)}"


async def _reset_before(connection: ClientConnection) -> None:
    """Reset the connection before the request has any effect."""
    await connection.request.read()
    connection.reset()


async def _reset_after(connection: ClientConnection) -> None:
    """Do the work, then reset the connection instead of answering."""
    await connection.work()
    connection.reset()


async def _stall(
    connection: ClientConnection, *, seconds: float = math.inf, done: bool = False
) -> None:
    """Answer after *seconds*; *done* does the work before the wait, not after it."""
    await connection.request.read()
    response = await connection.work() if done else None
    with connection.streaming():
        await _pass(seconds)
    await connection.send(response or await connection.work())


async def _pass(seconds: float) -> None:
    if math.isinf(seconds):
        # No timer, because a virtual clock would jump to it.
        await asyncio.get_running_loop().create_future()
    await asyncio.sleep(seconds)


async def _drip(
    connection: ClientConnection, *, pause: float = 0.1, size: int = 1
) -> None:
    """Send the true answer *size* bytes at a time, each after a *pause* in seconds."""
    answer = await connection.work()
    body = _body(answer)
    response = web.StreamResponse(status=answer.status)
    response.content_type, response.content_length = JSON, len(body)
    await connection.begin(response)
    with connection.streaming():
        for at in range(0, len(body), size):
            await asyncio.sleep(pause)
            await response.write(body[at : at + size])


async def _garbage(
    connection: ClientConnection,
    *,
    body: str | bytes | None = HTML,
    content_type: str = "text/html",
    status: int = 200,
    done: bool = False,
) -> None:
    """Answer with any bytes; a *body* of None is the true one with a wrong type."""
    answer = await connection.work() if done or body is None else None
    if answer is not None and body is None:
        body = _body(answer)
    await connection.send(_response(body or b"", content_type, status))


async def _truncated(
    connection: ClientConnection, *, json: bool = False, keep: float = 0.5
) -> None:
    """Send a part of the true answer and close; *json* sends it as a whole answer."""
    body = _body(await connection.work())
    part = body[: int(len(body) * keep)]
    if json:
        await connection.send(_response(part))
        return
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {JSON}\r\nContent-Length: {len(body)}"
    transport = connection.transport
    transport.write(f"{head}\r\n\r\n".encode() + part)
    transport.close()
    connection.done = True


async def _huge(
    connection: ClientConnection,
    *,
    size: int = 100 * 1024 * 1024,
    form: Literal["length", "chunked", "gzip"] = "length",
    done: bool = False,
) -> None:
    """Answer with *size* bytes of JSON, which ``gzip`` compresses to few."""
    if done:
        await connection.work()
    response = web.StreamResponse()
    response.content_type = JSON
    if form == "length":
        response.content_length = size
    else:
        response.enable_chunked_encoding()
    if form == "gzip":
        response.headers["Content-Encoding"] = "gzip"
    await connection.begin(response)
    packer = zlib.compressobj(1, wbits=31)
    with connection.streaming():
        for piece in _large(size):
            await response.write(packer.compress(piece) if form == "gzip" else piece)
        if form == "gzip":
            await response.write(packer.flush())
        await response.write_eof()


def _large(size: int) -> Iterator[bytes]:
    head, foot = b'{"success":true,"result":"', b'"}'
    yield head
    missing = max(0, size - len(head) - len(foot))
    for at in range(0, missing, PIECE):
        yield b"x" * min(PIECE, missing - at)
    yield foot


async def _deep(
    connection: ClientConnection, *, levels: int = 100_000, done: bool = False
) -> None:
    """Answer with a result of arrays within arrays."""
    if done:
        await connection.work()
    nest = b"[" * levels + b"]" * levels
    await connection.send(_response(b'{"success":true,"result":' + nest + b"}"))


async def _headers(
    connection: ClientConnection,
    *,
    pause: float = 0.0,
    size: int = 1000,
    done: bool = False,
) -> None:
    """Send headers of *size* bytes without end, one after each *pause* in seconds."""
    await connection.request.read()
    if done:
        await connection.work()
    transport = connection.transport
    transport.write(b"HTTP/1.1 200 OK\r\n")
    header = b"X-Endless: " + b"x" * size + b"\r\n"
    with connection.streaming():
        while True:
            writable = transport.get_write_buffer_size() < PIECE
            transport.write(header if writable else b"")
            await asyncio.sleep(pause if writable else 0.01)


async def _redirect(
    connection: ClientConnection,
    *,
    location: str,
    status: int = 307,
    done: bool = False,
) -> None:
    """Redirect the client to *location*."""
    headers = {"Location": location}
    await _status(connection, status=status, body=b"", headers=headers, done=done)


async def _bad_id(connection: ClientConnection, *, id: Any = "../admin") -> None:
    """Replace the workflow id of the true answer by an invalid one."""
    await _mangle(connection, change=lambda answer: _renamed(answer, id))


def _renamed(answer: Any, id: Any) -> Any:
    if "workflowId" in answer.get("result", ()):
        answer["result"]["workflowId"] = id
    return answer


async def _mangle(
    connection: ClientConnection, *, change: Callable[[Any], Any]
) -> None:
    """Send what *change* returns for the true answer; bytes are sent as they are."""
    answer = await connection.work()
    changed = change(decode_json(_body(answer)))
    # This encoder writes NaN too, which the library's own refuses.
    body = changed if isinstance(changed, bytes) else json.dumps(changed).encode()
    await connection.send(_response(body, status=answer.status))


def _response(
    body: str | bytes,
    content_type: str = JSON,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    content = body.encode() if isinstance(body, str) else body
    more = {"Content-Type": content_type, **(headers or {})}
    return web.Response(body=content, status=status, headers=more)


KINDS: dict[FaultKind, Callable[..., Coroutine[Any, Any, None]]] = {
    "bad_id": _bad_id,
    "deep": _deep,
    "drip": _drip,
    "garbage": _garbage,
    "headers": _headers,
    "huge": _huge,
    "mangle": _mangle,
    "redirect": _redirect,
    "reset_after": _reset_after,
    "reset_before": _reset_before,
    "stall": _stall,
    "status": _status,
    "throttle": _throttle,
    "truncated": _truncated,
}


# The rules


@attrs.define(eq=False, kw_only=True)
class Fault:
    """A fault, the requests that it matches, and its hits."""

    kind: FaultKind
    on: Endpoint | None
    """The requests that it matches; None matches all."""
    count: int | None
    """The maximum number of hits; None sets no maximum."""
    probability: float | None
    """The fraction of the matching requests that it applies to; None means all."""
    after: int
    """How many matching requests pass before the first hit."""
    account: str | None
    """The name of the account whose requests it matches; None matches all."""
    details: Mapping[str, Any] = attrs.field(repr=False)
    """The settings of its kind."""
    matched: int = 0
    """How many requests matched so far."""
    hits: list[FaultHit] = attrs.field(factory=list)
    """Each time that it reached a client."""
    withdrawn: bool = False
    """Whether `withdraw` was called, or *count* hits were recorded."""

    def withdraw(self) -> None:
        """Stop applying; the recorded hits remain."""
        self.withdrawn = True


@attrs.define(eq=False)
class RequestFaultRule:
    """Decides to which requests a fault applies, and answers them."""

    fault: Fault
    _random: SeededRandom
    _in_progress: int = 0

    def applies(self, endpoint: Endpoint, account: str) -> bool:
        """Count a matching request and return whether the fault applies to it."""
        fault = self.fault
        if fault.on not in {None, endpoint} or fault.account not in {None, account}:
            return False
        fault.matched += 1
        if fault.matched <= fault.after:
            return False
        used = len(fault.hits) + self._in_progress
        if fault.count is not None and used >= fault.count:
            return False
        return (
            fault.probability is None
            or self._random.share(fault.matched) < fault.probability
        )

    async def play(
        self, connection: ClientConnection, endpoint: Endpoint, clock: Clock
    ) -> None:
        """Answer a request, and record the hit once it has taken effect."""
        fault = self.fault
        self._in_progress += 1
        try:
            # A client that disconnected gets no answer, which is no error here.
            with contextlib.suppress(ConnectionError):
                await KINDS[fault.kind](connection, **fault.details)
        finally:
            self._in_progress -= 1
            if connection.done:
                workflow_id = connection.workflow_id
                fault.hits.append(FaultHit(endpoint, workflow_id, clock.now()))
                if len(fault.hits) == fault.count:
                    fault.withdraw()


class Faults:
    """The faults of a sandbox; false while none can apply.

    Args:
        random: Returns the random numbers that belong to a key.
        clock: Dates the hits.
    """

    def __init__(self, random: Callable[[str], SeededRandom], clock: Clock) -> None:
        self._random = random
        self._clock = clock
        self._rules: list[RequestFaultRule] = []
        self.all: list[Fault] = []
        """All faults that were ever injected, oldest first."""

    def __bool__(self) -> bool:
        return bool(self._active())

    def _active(self) -> list[RequestFaultRule]:
        self._rules = [rule for rule in self._rules if not rule.fault.withdrawn]
        return self._rules

    def add(
        self,
        kind: FaultKind,
        *,
        on: Endpoint | None,
        count: int | None,
        probability: float | None,
        after: int,
        account: str | None,
        details: Mapping[str, Any],
    ) -> Fault:
        """Add a fault; the same position and settings give the same random choices.

        Raises:
            ValueError: The kind or endpoint is unknown, or a number is out of range.
            TypeError: The kind has no such setting, or lacks one.
        """
        _one_of("kind", kind, sorted(KINDS))
        _one_of("on", on, [None, *get_args(Endpoint)])
        if probability is not None and not 0 <= probability <= 1:
            raise ValueError(f"probability must be from 0 to 1, got {probability!r}")
        if after < 0 or (count is not None and count < 1):
            raise ValueError(
                "after must be at least 0 and count at least 1, "
                f"got {after!r} and {count!r}"
            )
        # A misspelt setting fails here, and not where a request hits the fault.
        inspect.signature(KINDS[kind]).bind(None, **details)
        fault = Fault(
            kind=kind,
            on=on,
            count=count,
            probability=probability,
            after=after,
            account=account,
            details=dict(details),
        )
        random = self._random(f"fault/{len(self.all)}")
        self._rules.append(RequestFaultRule(fault, random))
        self.all.append(fault)
        return fault

    def clear(self) -> None:
        """Withdraw all faults."""
        for rule in self._rules:
            rule.fault.withdraw()

    def claim(self, endpoint: Endpoint, account: str) -> RequestFaultRule | None:
        """Return the oldest fault that applies to a request."""
        # All of them count the request, not only the first that applies.
        applying = [r for r in self._active() if r.applies(endpoint, account)]
        return applying[0] if applying else None

    async def play(
        self,
        rule: RequestFaultRule,
        endpoint: Endpoint,
        request: web.Request,
        work: Work,
    ) -> web.StreamResponse:
        """Let a fault answer a request instead of *work*."""
        connection = ClientConnection(request, work, request.match_info.get("id"))
        await rule.play(connection, endpoint, self._clock)
        return connection.response


def _one_of(name: str, value: object, allowed: list[Any]) -> None:
    if value not in allowed:
        choices = ", ".join(map(str, allowed))
        raise ValueError(f"{name} must be one of {choices}, got {value!r}")
