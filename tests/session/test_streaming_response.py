"""A session within a streaming response of Starlette, and so of FastAPI."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from scripted_server import Scripted, completed, held, taken
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse

from linkedapi_async import Session, st
from linkedapi_async.journal import SqliteJournal


pytestmark = pytest.mark.anyio

PERSON = "https://www.linkedin.com/in/ada"
SENT = {"actionType": "st.sendMessage", "success": True, "data": {}}

Message = MutableMapping[str, Any]


class Client:
    """The client of one response, which disconnects.

    Args:
        spec: The version of ASGI that its server speaks: until 2.3 the response waits
            for the disconnection and cancels the stream, from 2.4 on sending fails.
    """

    def __init__(self, spec: str) -> None:
        self.scope = {"type": "http", "asgi": {"version": "3.0", "spec_version": spec}}
        self.gone = asyncio.Event()
        self.body = b""

    async def receive(self) -> Message:
        """Return once the client has disconnected."""
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take a part of the response."""
        if self.gone.is_set():
            raise ConnectionResetError
        self.body += message.get("body", b"")


async def stream(session: Session, left: asyncio.Event) -> AsyncIterator[str]:
    """Give a line for each workflow that has ended; say when the session was left."""
    people = ((f"key-{number}", f"{PERSON}-{number}") for number in range(100))
    items = ((key, st.send_message(url, text="Hello")) for key, url in people)
    try:
        async with session, session.as_completed(items, limit=1) as done:
            async for handle in done:
                yield f"{handle.key} {handle.workflow_id}\n"
    finally:
        left.set()


@pytest.mark.parametrize("spec", ["2.3", "2.4"])
async def test_a_client_that_disconnects_loses_nothing(
    spec: str, tmp_path: Path
) -> None:
    """The start under way keeps its id, and the journal is free for the next request."""
    gate, left, accept = asyncio.Event(), asyncio.Event(), taken()
    client = Client(spec)
    async with Scripted() as server:
        server.script("POST", accept, held(gate, accept))
        server.script("GET", completed(SENT))
        session = server.session(journal=tmp_path / "runs")
        response = StreamingResponse(stream(session, left))
        task = asyncio.create_task(response(client.scope, client.receive, client.send))
        while server.count("POST") < 2:
            await asyncio.sleep(0.001)
        client.gone.set()
        if spec == "2.3":
            while session._runtime.state != "closed":
                await asyncio.sleep(0.001)
            gate.set()
            await task
        else:
            gate.set()
            with pytest.raises(ClientDisconnect):
                await task
        del task, response
        gc.collect()  # the event loop closes a stream that nothing iterates over
        await left.wait()
        async with SqliteJournal(tmp_path / "runs") as journal:
            rows = await journal.rows()

    assert b"key-0 wf-1\n" == client.body
    assert ["wf-1", "wf-2"] == [row.workflow_id for row in rows]
    assert {"accepted", "finished", "delivered"} >= {row.state for row in rows}
