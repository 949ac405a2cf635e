"""The binding to aiohttp: one request out, one answer in, everything bounded."""

from __future__ import annotations

import ssl as ssl_module
from collections.abc import Callable
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import aiohttp
import attrs

from linkedapi_async._http.failures import connection_error
from linkedapi_async._http.requests import Headers, Request
from linkedapi_async._http.responses import Response
from linkedapi_async._utils.secret import Secret
from linkedapi_async.errors import ConnectionFailedError, ProtocolError, RequestError


CHUNK = 65_536

NOT_CONNECTED = (
    aiohttp.ClientConnectorError,
    aiohttp.ClientHttpProxyError,
    aiohttp.ConnectionTimeoutError,
)
"""Errors of a request that had no connection to leave by."""

HEADERS_READ = ("Content-Type", "Retry-After")


may_leave: ContextVar[Callable[[], bool] | None] = ContextVar("may_leave", default=None)
"""Called just before a request other than a GET is sent; returns whether it may be.

A process may be suspended after it decided to send, and wake up when another process
has taken over its work.
"""


@attrs.frozen(kw_only=True)
class HttpSettings:
    """Settings that hold for every request, also with a user's `ClientSession`."""

    timeout: float
    max_response_bytes: int
    connections: int
    ssl: ssl_module.SSLContext | bool
    proxy: Secret[str] | None
    trust_env: bool


class _SentBeforeError(aiohttp.ClientError):
    """The connection broke after the request was sent; it must not be sent again."""


class _HeldBackError(Exception):
    """The request was not sent, because `may_leave` no longer allowed it."""


class _Attempt(dict[str, Any]):
    """The trace of one request while it is sent.

    It is a dict, because a user's client may have tracing of its own, which gets this
    object too and may expect one.
    """

    def __init__(self, trace: aiohttp.TraceConfig, *, once: bool) -> None:
        super().__init__()
        self.trace = trace
        """The tracing that observes it; a user's client may have others too."""
        self.once = once
        """Whether the request must not be sent a second time."""
        self.observed = False
        self.left = False

    @property
    def sent(self) -> bool:
        """Whether the request may have been sent; true if nothing was observed."""
        return self.left or not self.observed


def _trace() -> aiohttp.TraceConfig:
    trace = aiohttp.TraceConfig()

    async def on_start(
        _client: aiohttp.ClientSession,
        context: SimpleNamespace,
        _params: aiohttp.TraceRequestStartParams,
    ) -> None:
        """Record that the request is observed."""
        attempt = context.trace_request_ctx
        if isinstance(attempt, _Attempt) and attempt.trace is trace:
            attempt.observed = True

    async def on_headers(
        _client: aiohttp.ClientSession,
        context: SimpleNamespace,
        _params: aiohttp.TraceRequestHeadersSentParams,
    ) -> None:
        """Record that the request is sent; aiohttp calls this before it writes a byte."""
        attempt = context.trace_request_ctx
        if isinstance(attempt, _Attempt) and attempt.trace is trace:
            # aiohttp repeats a DELETE by itself when a reused connection breaks, and a
            # user's middleware may repeat anything.
            if attempt.left and attempt.once:
                raise _SentBeforeError
            allowed = may_leave.get()
            if allowed is not None and not allowed():
                raise _HeldBackError(
                    "the worker paused for longer than its ttl, so another worker may "
                    "run its lanes"
                )
            attempt.left = True

    trace.on_request_start.append(on_start)
    trace.on_request_headers_sent.append(on_headers)
    trace.freeze()
    return trace


class AiohttpTransport:
    """The connections of a session."""

    def __init__(
        self, settings: HttpSettings, borrowed: aiohttp.ClientSession | None
    ) -> None:
        self._settings = settings
        self._borrowed = borrowed
        self._trace = _trace()
        self._client = borrowed or self._open()
        # A tenth of the time of a request is spent on observing it, and polls are many.
        self._reader = borrowed or self._open_reader()
        self._writer = borrowed
        if borrowed is not None:
            borrowed.trace_configs.append(self._trace)
        self._timeout = aiohttp.ClientTimeout(total=settings.timeout)

    def _open(self, *, reuse: bool = True) -> aiohttp.ClientSession:
        limit = self._settings.connections
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=limit, force_close=not reuse),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=self._settings.trust_env,
            trace_configs=[self._trace],
        )

    def _open_reader(self) -> aiohttp.ClientSession:
        """Return a client on the same connections that does not observe requests."""
        return aiohttp.ClientSession(
            connector=self._client.connector,
            connector_owner=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=self._settings.trust_env,
        )

    def _client_for(self, request: Request, *, write: bool) -> aiohttp.ClientSession:
        """Return the client that sends *request*."""
        if request.method == "GET":
            return self._reader
        if write and self._writer is None:
            self._writer = self._open(reuse=False)
        return self._writer if write and self._writer else self._client

    async def send(
        self, request: Request, headers: Headers, *, write: bool = False
    ) -> Response:
        """Send *request* once and return the answer, whatever its status.

        Args:
            request: The request.
            headers: The headers, tokens included.
            write: Whether the request writes: it leaves at most once, and over a new
                connection, because a reused one may be closed during the request.

        Raises:
            ConnectionFailedError: There was no complete answer.
            ProtocolError: The answer is larger than allowed.
        """
        client = self._client_for(request, write=write)
        if client.closed:
            message = "the HTTP client is closed; an http= client must outlive its user"
            raise ConnectionFailedError(message, sent=False)
        attempt = _Attempt(self._trace, once=write or request.method == "DELETE")
        # aiohttp's errors and frames contain the request's headers, and so the tokens.
        # So a new error is raised, outside of the block that caught them.
        try:
            return await self._exchange(client, request, headers, attempt)
        except RequestError as error:
            failed: RequestError = error.with_traceback(None)
        except Exception as error:  # noqa: BLE001  # closed by default
            sent = attempt.sent and not isinstance(error, NOT_CONNECTED)
            failed = connection_error(error, request.url, headers, sent=sent)
        except BaseException as error:
            # The frames of a cancellation contain the headers too.
            error.__context__ = error.__traceback__ = None
            raise
        raise failed

    async def _exchange(
        self,
        client: aiohttp.ClientSession,
        request: Request,
        headers: Headers,
        attempt: _Attempt,
    ) -> Response:
        proxy = self._settings.proxy
        async with client.request(
            request.method,
            request.url,
            data=request.body,
            # Never assigned to a variable, because error trackers show variables.
            headers=headers.reveal(),
            allow_redirects=False,
            raise_for_status=False,
            timeout=self._timeout,
            ssl=self._settings.ssl,
            proxy=None if proxy is None else proxy.reveal(),
            trace_request_ctx=attempt,
        ) as response:
            body = await self._read(response)
            if body is None:
                message = (
                    "the answer is larger than max_response_bytes="
                    f"{self._settings.max_response_bytes}"
                )
                raise ProtocolError(message, http_status=response.status)
            return Response(
                response.status,
                {name: response.headers.get(name, "") for name in HEADERS_READ},
                headers.redact(body),
            )

    async def _read(self, response: aiohttp.ClientResponse) -> bytes | None:
        """Return the body of an answer; None if it is larger than allowed."""
        limit = self._settings.max_response_bytes
        length = response.headers.get("Content-Length", "").lstrip("0")
        # The length of a compressed body does not bound what it decompresses to.
        if length.isdecimal() and "Content-Encoding" not in response.headers:
            # A length of more than 18 digits is above every limit, and slow to convert.
            fits = len(length) < 19 and int(length) <= limit  # noqa: PLR2004
            return await response.read() if fits else None
        body = bytearray()
        async for chunk in response.content.iter_chunked(CHUNK):
            body += chunk
            if len(body) > limit:
                return None
        return bytes(body)

    async def aclose(self) -> None:
        """Close the connections, but not the user's client."""
        if self._borrowed is not None:
            self._borrowed.trace_configs.remove(self._trace)
            return
        await self._reader.close()
        try:
            await self._client.close()
        finally:
            if self._writer is not None:
                await self._writer.close()
