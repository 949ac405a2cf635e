"""The binding to aiohttp: one request out, one answer in, everything bounded."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from collections.abc import Awaitable, Sequence
from typing import Any

import aiohttp
import attrs

from linkedapi_async._http.requests import Headers, Request
from linkedapi_async._http.responses import Response
from linkedapi_async.errors import ConnectionFailedError, ProtocolError


CHUNK = 65_536

START_KEEPALIVE = 2.0
"""How long a connection may have been idle to carry a start, in seconds.

A stale one breaks after the request was sent, and then nobody knows.
"""


class _BrokenError(aiohttp.ClientError):
    """The connection broke after the request was sent."""


async def _no_transparent_retry(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending a request again by itself when the connection breaks.

    A second cancellation would be answered with False, as if the first had failed.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _BrokenError(type(error).__name__) from None


NO_TRANSPARENT_RETRY: Sequence[aiohttp.ClientMiddlewareType] = (_no_transparent_retry,)


class _HoldUntil:
    """Keeps a request that is built already until it may be sent."""

    def __init__(self, before: Awaitable[None]) -> None:
        self._before = before
        self.over = False

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        # A request that times out here may be sent again, and waits for the same.
        await asyncio.shield(self._before)
        self.over = True
        return await handler(request)


@attrs.frozen(kw_only=True)
class HttpSettings:
    """What is forced on every request, also with a `ClientSession` of the user's."""

    timeout: float
    max_response_bytes: int
    connections: int
    ssl: ssl_module.SSLContext | bool
    proxy: str | None
    trust_env: bool


class AiohttpTransport:
    """The connections of a session."""

    def __init__(
        self, settings: HttpSettings, borrowed: aiohttp.ClientSession | None
    ) -> None:
        self._settings = settings
        self._client = borrowed or self._open(keepalive=15.0)
        self._owned = [] if borrowed else [self._client]
        self._starter = borrowed
        # With a bound of its own, a wait for a connection is told from one for an answer.
        # It costs a poll a twentieth, and a GET is sent again either way.
        self._asking = aiohttp.ClientTimeout(total=settings.timeout)
        self._timeout = aiohttp.ClientTimeout(
            total=settings.timeout, connect=settings.timeout / 2
        )

    def _open(self, *, keepalive: float) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._settings.connections, keepalive_timeout=keepalive
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=self._settings.trust_env,
            auto_decompress=True,
        )

    async def send(
        self, request: Request, headers: Headers, *, fresh: bool = False
    ) -> Response:
        """Send *request* once and return the answer, whatever its status.

        Args:
            request: What to send.
            headers: The headers, tokens included.
            fresh: Whether to avoid connections that have been idle for long.

        Raises:
            ConnectionFailedError: There was no complete answer.
            ProtocolError: The answer is larger than allowed.
        """
        if fresh and self._starter is None:
            self._starter = self._open(keepalive=START_KEEPALIVE)
            self._owned.append(self._starter)
        client = self._starter if fresh and self._starter else self._client
        held = None
        middlewares = NO_TRANSPARENT_RETRY if request.method == "DELETE" else None
        if request.after is not None:
            if client in self._owned:
                held = _HoldUntil(request.after)
                middlewares = (held,)
            else:
                await request.after  # a middleware of ours would replace the user's
        # aiohttp's errors can carry the request's headers, and so the tokens: what is
        # raised is made anew, outside of the block that caught them.
        try:
            async with client.request(
                request.method,
                request.url,
                data=request.body,
                headers=headers,
                allow_redirects=False,
                raise_for_status=False,
                timeout=self._asking if request.method == "GET" else self._timeout,
                ssl=self._settings.ssl,
                proxy=self._settings.proxy,
                middlewares=middlewares,
            ) as response:
                body = await self._read(response)
                if body is not None:
                    return Response(response.status, response.headers, body)
                failed: Exception = ProtocolError(
                    f"the answer is larger than {self._settings.max_response_bytes} bytes",
                    http_status=response.status,
                )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            failed = _connection_error(error, sent=False)
        except (aiohttp.ClientError, OSError) as error:
            failed = _connection_error(error, sent=held is None or held.over)
        raise failed

    async def _read(self, response: aiohttp.ClientResponse) -> bytes | None:
        limit = self._settings.max_response_bytes
        headers = response.headers
        length = headers.get("Content-Length", "")
        # The length of a compressed body says nothing about what it becomes.
        if length.isdecimal() and "Content-Encoding" not in headers:
            return await response.read() if int(length) <= limit else None
        body = bytearray()
        async for chunk in response.content.iter_chunked(CHUNK):
            body += chunk
            if len(body) > limit:
                return None
        return bytes(body)

    async def aclose(self) -> None:
        """Close the connections, but not those of the user's."""
        for client in self._owned:
            await client.close()


def _connection_error(error: Exception, *, sent: bool) -> ConnectionFailedError:
    where: Any = getattr(error, "host", None)
    place = f" to {where}" if where else ""
    kind = type(error).__name__
    what = "timed out" if isinstance(error, TimeoutError) else "failed"
    state = "after it was sent" if sent else "before it was sent"
    return ConnectionFailedError(
        f"the request{place} {what} {state}: {kind}", sent=sent
    )
