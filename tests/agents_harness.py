"""Servers for agents under test: over HTTP in this process, and over stdio in another."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import httpx2
from mcp import Client, types
from mcp.client.streamable_http import streamable_http_client

from linkedapi_async import Polling, Session
from linkedapi_async.agents import WorkflowService, http_app, make_server, serve_http
from linkedapi_async.sandbox import Sandbox


SECRET = "a-secret-of-the-clients"

Era = Literal["legacy", "auto"]
"""How a client begins: with the handshake, or as of the revision of 2026."""

ERAS: tuple[Era, ...] = ("legacy", "auto")

PERSON = "https://www.linkedin.com/in/ada"

READ = {"actionType": "st.openPersonPage", "personUrl": PERSON, "basicInfo": True}

OFTEN = Polling.fixed(0.02)

WRITE = {"actionType": "st.sendMessage", "personUrl": PERSON, "text": "Hello Ada!"}


class User:
    """The user of a client, who answers questions."""

    def __init__(
        self, action: Literal["accept", "decline", "cancel"] = "accept"
    ) -> None:
        self.action = action
        self.asked: list[str] = []

    async def __call__(
        self, context: Any, params: types.ElicitRequestParams
    ) -> types.ElicitResult:
        """Answer a question."""
        self.asked.append(params.message)
        return types.ElicitResult(action=self.action, content={})


def service_of(
    box: Sandbox,
    journal: Path | None = None,
    *,
    polling: Polling | None = OFTEN,
    **settings: Any,
) -> WorkflowService:
    """Return a service at a sandbox; with a journal, it writes."""

    def connect(**more: Any) -> Session:
        """Return a session that is not entered."""
        return box.session(polling=polling, **more)

    return WorkflowService(
        connect,
        **{"journal": journal, "allow_writes": journal is not None, **settings},
    )


@asynccontextmanager
async def served(service: WorkflowService) -> AsyncIterator[int]:
    """Serve an entered service over HTTP; give the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    app = http_app(make_server(service), token=SECRET, port=port)
    stop = asyncio.Event()
    serving = asyncio.create_task(serve_http(app, listener, stop.wait))
    try:
        yield port
    finally:
        stop.set()
        await serving


@asynccontextmanager
async def connected(
    port: int, era: Era, user: User | None = None, **settings: Any
) -> AsyncIterator[Client]:
    """Connect a client over HTTP."""
    headers = {"Authorization": f"Bearer {SECRET}"}
    async with httpx2.AsyncClient(headers=headers, timeout=100) as http:
        transport = streamable_http_client(
            f"http://127.0.0.1:{port}/mcp", http_client=http
        )
        client = Client(transport, mode=era, elicitation_callback=user, **settings)
        async with client:
            yield client


def facts(result: types.CallToolResult) -> Any:
    """Return the structured content of a result."""
    return result.structured_content
