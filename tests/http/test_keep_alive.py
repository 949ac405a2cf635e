"""A server that promises to keep connections open, and closes them after each answer."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Literal

import aiohttp
import pytest

from linkedapi_async import Polling, Session, StartUnknownError, st


pytestmark = pytest.mark.anyio

STARTS = 20

Moment = Literal["with the answer", "a moment later", "with the next request"]


class Server:
    """Accepts starts, and closes each connection at a certain moment."""

    def __init__(self, moment: Moment) -> None:
        self._moment = moment
        self.bodies: list[str] = []
        self.connections = 0

    async def handle(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer one start, and close the connection."""
        self.connections += 1
        try:
            await self._answer(reader, writer)
            if self._moment == "a moment later":
                await asyncio.sleep(0.001)
            elif self._moment == "with the next request":
                await reader.read(1)
        finally:
            writer.close()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        (length,) = (
            int(line.partition(b":")[2])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        )
        self.bodies.append((await reader.readexactly(length)).decode())
        result = {"workflowId": f"wf-{len(self.bodies)}"}
        body = json.dumps({"success": True, "result": result}).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n"
            b"Keep-Alive: timeout=60\r\nContent-Length: %d\r\n\r\n%s"
            % (len(body), body)
        )
        await writer.drain()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Serve on loopback; give the address."""
        server = await asyncio.start_server(self.handle, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()


async def start_all(server: Server, http: str) -> Counter[str]:
    """Start workflows one after another; return how that ended how often."""
    ends: Counter[str] = Counter()
    settings: dict[str, Any] = {}
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(server.serve())
        if http != "own":
            connector = aiohttp.TCPConnector(force_close=http == "force_close")
            client = aiohttp.ClientSession(connector=connector)
            settings["http"] = await stack.enter_async_context(client)
        session = await stack.enter_async_context(
            Session(
                linked_api_token="main-token",
                identification_token="account-token",
                base_url=url,
                polling=Polling.fixed(1_000_000),
                **settings,
            )
        )
        for number in range(STARTS):
            text = f"message {number}"
            try:
                await session.start(
                    st.send_message("https://www.linkedin.com/in/ada", text=text)
                )
            except StartUnknownError:
                ends["unknown"] += 1
            else:
                ends["accepted"] += 1
    return ends


MOMENTS = pytest.mark.parametrize(
    "moment", ["with the answer", "a moment later", "with the next request"]
)


@MOMENTS
@pytest.mark.parametrize("http", ["own", "force_close"])
async def test_each_start_has_a_new_connection(moment: Moment, http: str) -> None:
    """No stale connection makes a start unknown where each request opens one."""
    server = Server(moment)
    ends = await start_all(server, http)

    assert {"accepted": STARTS} == ends
    assert STARTS == server.connections
    assert STARTS == len(set(server.bodies)) == len(server.bodies)


@MOMENTS
async def test_a_client_that_reuses_connections_sends_nothing_twice(
    moment: Moment,
) -> None:
    """Over a stale connection a start of the user's client may end as unknown."""
    server = Server(moment)
    ends = await start_all(server, "reusing")

    assert STARTS == ends.total()
    assert len(set(server.bodies)) == len(server.bodies)
    assert ends["accepted"] <= len(server.bodies)
    if moment == "with the next request":
        assert {"accepted": STARTS // 2, "unknown": STARTS // 2} == ends
