"""Faults: what networks and servers do to a client, on demand and with accounting.

A rule waits for requests that it is meant for; each time it strikes, one coroutine of
`KINDS` answers in the place of the API. A fault is *consumed* when its bytes went out,
or stayed away, as it says; a client that left before is not counted.
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


Kind: TypeAlias = Literal[
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
"""What the API would do, and its answer."""

JSON = "application/json"
HTML = "<!DOCTYPE html><title>Please wait</title><h1>Checking your browser</h1>"
PIECE = 65_536
"""How much of a large body is written at once, in bytes."""


class FaultHit(NamedTuple):
    """One time that a fault was really met."""

    endpoint: Endpoint
    workflow_id: str | None
    """Which workflow it was about: for a start, the one that was taken, if it was."""
    when: float
    """On the sandbox's clock, in seconds."""


@attrs.define(eq=False)
class ClientConnection:
    """The way back to one client, on which a fault does its harm."""

    request: web.Request
    _work: Work
    workflow_id: str | None = None
    response: web.StreamResponse = attrs.field(factory=web.Response)
    went: bool = False
    """Whether the harm is done."""

    @property
    def transport(self) -> asyncio.Transport:
        """The connection.

        Raises:
            ConnectionError: The client has left.
        """
        transport = self.request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        return transport

    async def work(self) -> web.Response:
        """Do what the API would do and return its answer, unsent."""
        response = await self._work(self.request)
        if self.workflow_id is None:
            result = decode_json(_body(response)).get("result")
            known = result if isinstance(result, dict) else {}
            self.workflow_id = known.get("workflowId")
        return response

    async def send(self, response: web.Response) -> None:
        """Send an answer in one piece."""
        self.response = response
        await response.prepare(self.request)
        await response.write_eof()
        self.went = True

    async def begin(self, response: web.StreamResponse) -> None:
        """Begin an answer that is sent in pieces."""
        self.response = response
        await response.prepare(self.request)

    @contextlib.contextmanager
    def piecemeal(self) -> Iterator[None]:
        """Do what takes time; its harm is done too when the connection ends first."""
        try:
            yield
        finally:
            self.went = True

    def reset(self) -> None:
        """Break the connection: the client gets a reset, not a regular end."""
        transport = self.transport
        # To linger for 0 seconds makes of closing a reset; Windows has it in shorts.
        linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
        self.went = True


def _body(response: web.Response) -> bytes:
    return cast("bytes", response.body)


# What the faults do. Where *done* is a choice, it is whether the work is done all the
# same: the workflow started, say, and only the answer lost.


async def _status(
    line: ClientConnection,
    *,
    status: int = 500,
    type: str | None = None,
    message: str = "The sandbox was told to say so.",
    body: str | bytes = HTML,
    content_type: str = "text/html",
    headers: Mapping[str, str] | None = None,
    done: bool = False,
) -> None:
    """Answer with an HTTP status; with an error of a *type*, or without an envelope."""
    if done:
        await line.work()
    if type is not None:
        error = {"type": type, "message": message}
        body, content_type = encode_json({"success": False, "error": error}), JSON
    await line.send(_response(body, content_type, status, headers))


async def _throttle(
    line: ClientConnection,
    *,
    retry_after: float | str | dt.datetime | None = None,
    type: str | None = "tooManyRequests",
    done: bool = False,
) -> None:
    """Answer with 429, and with when to come back: in seconds, or as a date."""
    headers = {} if retry_after is None else {"Retry-After": _when(retry_after)}
    await _status(line, status=429, type=type, headers=headers, done=done)


def _when(retry_after: float | str | dt.datetime) -> str:
    if isinstance(retry_after, dt.datetime):
        return email.utils.format_datetime(retry_after.astimezone(dt.UTC), usegmt=True)
    return retry_after if isinstance(retry_after, str) else f"{math.ceil(retry_after)}"


async def _reset_before(line: ClientConnection) -> None:
    """Break the connection before anything was done."""
    await line.request.read()
    line.reset()


async def _reset_after(line: ClientConnection) -> None:
    """Do the work, and break the connection instead of answering."""
    await line.work()
    line.reset()


async def _stall(
    line: ClientConnection, *, seconds: float = math.inf, done: bool = False
) -> None:
    """Say nothing for *seconds*; answer then. The work is done before, or after."""
    await line.request.read()
    response = await line.work() if done else None
    with line.piecemeal():
        await _pass(seconds)
    await line.send(response or await line.work())


async def _pass(seconds: float) -> None:
    if math.isinf(seconds):
        # No timer: a clock that jumps from timer to timer must not see one.
        await asyncio.get_running_loop().create_future()
    await asyncio.sleep(seconds)


async def _drip(line: ClientConnection, *, pause: float = 0.1, size: int = 1) -> None:
    """Send the true answer *size* bytes at a time, each after a *pause* in seconds."""
    true = await line.work()
    body = _body(true)
    response = web.StreamResponse(status=true.status)
    response.content_type, response.content_length = JSON, len(body)
    await line.begin(response)
    with line.piecemeal():
        for at in range(0, len(body), size):
            await asyncio.sleep(pause)
            await response.write(body[at : at + size])


async def _garbage(
    line: ClientConnection,
    *,
    body: str | bytes | None = HTML,
    content_type: str = "text/html",
    status: int = 200,
    done: bool = False,
) -> None:
    """Answer with anything; a *body* of None is the true one under a false name."""
    true = await line.work() if done or body is None else None
    if true is not None and body is None:
        body = _body(true)
    await line.send(_response(body or b"", content_type, status))


async def _truncated(
    line: ClientConnection, *, json: bool = False, keep: float = 0.5
) -> None:
    """Send a part of the true answer, and close; as *json*, as if it were all."""
    body = _body(await line.work())
    part = body[: int(len(body) * keep)]
    if json:
        await line.send(_response(part))
        return
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {JSON}\r\nContent-Length: {len(body)}"
    transport = line.transport
    transport.write(f"{head}\r\n\r\n".encode() + part)
    transport.close()
    line.went = True


async def _huge(
    line: ClientConnection,
    *,
    size: int = 100 * 1024 * 1024,
    form: Literal["length", "chunked", "gzip"] = "length",
    done: bool = False,
) -> None:
    """Answer with *size* bytes of JSON; compressed, they are few on the wire."""
    if done:
        await line.work()
    response = web.StreamResponse()
    response.content_type = JSON
    if form == "length":
        response.content_length = size
    else:
        response.enable_chunked_encoding()
    if form == "gzip":
        response.headers["Content-Encoding"] = "gzip"
    await line.begin(response)
    packer = zlib.compressobj(1, wbits=31)
    with line.piecemeal():
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
    line: ClientConnection, *, levels: int = 100_000, done: bool = False
) -> None:
    """Answer with a result of arrays within arrays."""
    if done:
        await line.work()
    nest = b"[" * levels + b"]" * levels
    await line.send(_response(b'{"success":true,"result":' + nest + b"}"))


async def _headers(
    line: ClientConnection, *, pause: float = 0.0, size: int = 1000, done: bool = False
) -> None:
    """Send headers of *size* bytes, one after each *pause* in seconds, without end."""
    await line.request.read()
    if done:
        await line.work()
    transport = line.transport
    transport.write(b"HTTP/1.1 200 OK\r\n")
    header = b"X-Endless: " + b"x" * size + b"\r\n"
    with line.piecemeal():
        while True:
            room = transport.get_write_buffer_size() < PIECE
            transport.write(header if room else b"")
            await asyncio.sleep(pause if room else 0.01)


async def _redirect(
    line: ClientConnection, *, location: str, status: int = 307, done: bool = False
) -> None:
    """Send the client to another place."""
    headers = {"Location": location}
    await _status(line, status=status, body=b"", headers=headers, done=done)


async def _bad_id(line: ClientConnection, *, id: Any = "../admin") -> None:
    """Give the workflow an id that is none, where the true answer tells one."""
    await _mangle(line, change=lambda answer: _renamed(answer, id))


def _renamed(answer: Any, id: Any) -> Any:
    if "workflowId" in answer.get("result", ()):
        answer["result"]["workflowId"] = id
    return answer


async def _mangle(line: ClientConnection, *, change: Callable[[Any], Any]) -> None:
    """Send what *change* makes of the true answer; bytes are sent as they are."""
    true = await line.work()
    changed = change(decode_json(_body(true)))
    # Unlike the one of `_wire`, this encoder writes NaN and whatever else it is given.
    body = changed if isinstance(changed, bytes) else json.dumps(changed).encode()
    await line.send(_response(body, status=true.status))


def _response(
    body: str | bytes,
    content_type: str = JSON,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    content = body.encode() if isinstance(body, str) else body
    more = {"Content-Type": content_type, **(headers or {})}
    return web.Response(body=content, status=status, headers=more)


KINDS: dict[Kind, Callable[..., Coroutine[Any, Any, None]]] = {
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
    """A rule for when something goes wrong, and the account of when it did."""

    kind: Kind
    on: Endpoint | None
    """Which requests it is meant for; None for all three."""
    count: int | None
    """How often it is consumed at most; None for any number."""
    probability: float | None
    """In which fraction of the requests it strikes; None for all of them."""
    after: int
    """How many requests that it is meant for it lets pass first."""
    account: str | None
    """The name of the account that it is meant for; None for all."""
    details: Mapping[str, Any] = attrs.field(repr=False)
    """The settings of its kind."""
    matched: int = 0
    """How many requests came that it is meant for."""
    consumed: list[FaultHit] = attrs.field(factory=list)
    """Each time that it was really met."""
    _dice: SeededRandom = attrs.field(alias="dice", repr=False)
    _rules: list[Fault] = attrs.field(alias="rules", repr=False)
    _under_way: int = attrs.field(default=0, init=False, repr=False)

    def withdraw(self) -> None:
        """Strike no more; what was consumed stays known."""
        if self in self._rules:
            self._rules.remove(self)

    def _strikes(self, endpoint: Endpoint, account: str) -> bool:
        """Count a request that this is meant for; return whether it is its turn."""
        if self.on not in {None, endpoint} or self.account not in {None, account}:
            return False
        self.matched += 1
        if self.matched <= self.after:
            return False
        used = len(self.consumed) + self._under_way
        if self.count is not None and used >= self.count:
            return False
        return (
            self.probability is None
            or self._dice.share(self.matched) < self.probability
        )

    async def _play(
        self, line: ClientConnection, endpoint: Endpoint, clock: Clock
    ) -> None:
        self._under_way += 1
        try:
            # A client that left gets no answer, and that is no error here.
            with contextlib.suppress(ConnectionError):
                await KINDS[self.kind](line, **self.details)
        finally:
            self._under_way -= 1
            if line.went:
                self.consumed.append(FaultHit(endpoint, line.workflow_id, clock.now()))
                if len(self.consumed) == self.count:
                    self.withdraw()


class Faults:
    """The rules of a sandbox; empty, it is false.

    Args:
        dice: The chance that belongs to a key.
        clock: Tells when a fault was consumed.
    """

    def __init__(self, dice: Callable[[str], SeededRandom], clock: Clock) -> None:
        self._dice = dice
        self._clock = clock
        self.rules: list[Fault] = []
        """Those that may strike, oldest first."""
        self.made: list[Fault] = []
        """All that there ever were."""

    def __bool__(self) -> bool:
        return bool(self.rules)

    def add(
        self,
        kind: Kind,
        *,
        on: Endpoint | None,
        count: int | None,
        probability: float | None,
        after: int,
        account: str | None,
        details: Mapping[str, Any],
    ) -> Fault:
        """Add a rule; one of the same place and settings strikes at the same requests.

        Raises:
            ValueError: There is no such kind or endpoint, or a number makes no sense.
            TypeError: The kind has no such setting, or lacks one.
        """
        _one_of("kind", kind, sorted(KINDS))
        _one_of("on", on, [None, *get_args(Endpoint)])
        if probability is not None and not 0 <= probability <= 1:
            message = f"probability: 0 to 1 is due, got {probability!r}"
            raise ValueError(message)
        if after < 0 or (count is not None and count < 1):
            message = f"after and count: got {after!r} and {count!r}"
            raise ValueError(message)
        inspect.signature(KINDS[kind]).bind(None, **details)
        fault = Fault(
            kind=kind,
            on=on,
            count=count,
            probability=probability,
            after=after,
            account=account,
            details=dict(details),
            dice=self._dice(f"fault/{len(self.made)}"),
            rules=self.rules,
        )
        self.rules.append(fault)
        self.made.append(fault)
        return fault

    def claim(self, endpoint: Endpoint, account: str) -> Fault | None:
        """Return the fault that strikes a request; every rule gets to see it."""
        due = [rule for rule in self.rules if rule._strikes(endpoint, account)]
        return due[0] if due else None

    async def play(
        self, fault: Fault, endpoint: Endpoint, request: web.Request, work: Work
    ) -> web.StreamResponse:
        """Let *fault* answer a request in the place of *work*."""
        line = ClientConnection(request, work, request.match_info.get("id"))
        await fault._play(line, endpoint, self._clock)
        return line.response


def _one_of(name: str, value: object, allowed: list[Any]) -> None:
    if value not in allowed:
        message = f"{name}: one of {', '.join(map(str, allowed))} is due, got {value!r}"
        raise ValueError(message)
