"""The server over HTTP: on this machine only, for those who have its token."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import socket
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any, Final, TypeAlias

import uvicorn
from mcp.server import Server
from mcp.server.transport_security import TransportSecuritySettings

from linkedapi_async._utils.secret import Secret


AsgiScope: TypeAlias = MutableMapping[str, Any]
AsgiReceive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
AsgiSend: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[AsgiScope, AsgiReceive, AsgiSend], Awaitable[None]]
"""An ASGI application, for any ASGI server."""

PATH: Final = "/mcp"

MIN_TOKEN: Final = 16
"""The minimum length of a token, in characters."""


def http_app(server: Server[Any], *, token: str, port: int) -> AsgiApp:
    """Return an ASGI application that serves *server* at ``/mcp``.

    A request needs the header ``Authorization: Bearer …``; a token in the query is not
    read. Requests with a host name that is not loopback, or from a page of another
    origin, are refused, so that no website can reach the server through the user's
    browser.

    Args:
        server: The one of `make_server`.
        token: The secret of its clients, at least 16 characters.
        port: Where it listens.

    Raises:
        ValueError: The token is too short.
    """
    secret = Secret(token.encode())
    del token  # so that no frame shows it
    if len(secret.reveal()) < MIN_TOKEN:
        raise ValueError(f"the token must have at least {MIN_TOKEN} characters")
    hosts = [f"{host}:{port}" for host in ("127.0.0.1", "localhost", "[::1]")]
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        transport_security=TransportSecuritySettings(
            allowed_hosts=hosts, allowed_origins=[f"http://{host}" for host in hosts]
        ),
    )

    async def authorized(
        scope: AsgiScope, receive: AsgiReceive, send: AsgiSend
    ) -> None:
        """Refuse requests without the token."""
        if scope["type"] == "http" and not _has_token(scope, secret):
            await _refuse(send)
        else:
            await app(scope, receive, send)

    return authorized


def _has_token(scope: AsgiScope, secret: Secret[bytes]) -> bool:
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(given) != 1:
        return False
    kind, _, token = given[0].partition(b" ")
    # Compared in constant time, so that the time of an answer reveals nothing.
    same = hmac.compare_digest(token.strip(), secret.reveal())
    return bool(kind.lower() == b"bearer" and same)


async def _refuse(send: AsgiSend) -> None:
    headers = [(b"www-authenticate", b"Bearer"), (b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    body = b"send the header Authorization: Bearer with the token of the server"
    await send({"type": "http.response.body", "body": body})


class _WebServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the caller."""
        yield


async def serve_http(
    app: AsgiApp, listener: socket.socket, stop: Callable[[], Awaitable[Any]]
) -> None:
    """Serve *app* until *stop* returns.

    Args:
        app: The one of `http_app`.
        listener: A socket that listens.
        stop: Returns when the server is to stop.
    """
    # No access log, and no configuration of logging, which belongs to the program.
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        ws="none",
        timeout_graceful_shutdown=5,
    )
    web = _WebServer(config)
    serving = asyncio.ensure_future(web.serve(sockets=[listener]))
    stopping = asyncio.ensure_future(stop())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    web.should_exit = True
    await serving
