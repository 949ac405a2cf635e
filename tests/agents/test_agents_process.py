"""The server as a process that is killed in the middle: one message, whatever happens."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from agents_harness import WRITE, Era, facts
from mcp import Client, MCPError, StdioServerParameters

from linkedapi_async.sandbox import Sandbox


pytestmark = pytest.mark.anyio

# Writes its process id and goes on as the server, so that a test can kill it.
NAMED = """
import os, pathlib, sys
pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))
os.execv(sys.executable, [sys.executable, "-m", "linkedapi_async", *sys.argv[2:]])
"""


@asynccontextmanager
async def server(
    box: Sandbox, folder: Path, era: Era, *words: str
) -> AsyncIterator[Client]:
    """Connect a client to a server in a process of its own, over stdio."""
    command = StdioServerParameters(
        command=sys.executable,
        args=["-c", NAMED, str(folder / "pid"), "mcp", "--allow-writes", *words],
        env={
            **os.environ,
            "ACCOUNT_API_TOKEN": "",
            "LINKED_API_TOKEN": "main-token-77",
            "IDENTIFICATION_TOKEN": "account-88",
            "LINKED_API_BASE_URL": box.url,
            "LINKED_API_POLL_INTERVAL": "0.02",
            "HOME": str(folder),
            "XDG_STATE_HOME": str(folder / "state"),
        },
    )
    async with Client(command, mode=era) as client:
        yield client


async def five_calls(client: Client) -> list[Any]:
    """Call one write five times at once; return the answers, or errors."""
    calls = (client.call_tool("run_workflow", {"definition": WRITE}) for _ in range(5))
    return await asyncio.gather(*calls, return_exceptions=True)


def kill(folder: Path) -> None:
    """Kill the server, which has no time to do anything."""
    os.kill(int((folder / "pid").read_text()), signal.SIGKILL)


async def test_killed_before_the_answer(tmp_path: Path) -> None:
    """Killed between the start and its answer, a server never sends it again."""
    async with Sandbox(speed=1000) as box:
        box.inject_fault("stall", on="start", done=True)
        async with server(box, tmp_path, "legacy", "--wait", "600") as client:
            calls = asyncio.create_task(five_calls(client))
            while not box.workflows:
                await asyncio.sleep(0.01)
            kill(tmp_path)
            lost = await calls
        async with server(box, tmp_path, "legacy", "--wait", "600") as client:
            answers = [facts(result) for result in await five_calls(client)]
        taken = len(box.workflows)

    assert 1 == taken
    assert [True] * 5 == [isinstance(error, MCPError) for error in lost]
    assert ["unknown"] * 5 == [answer["status"] for answer in answers]
    assert "linkedapi recover" in answers[0]["note"]
    assert (
        str(tmp_path / "state" / "linkedapi" / "agents.journal") in answers[0]["note"]
    )


async def test_killed_during_the_workflow(tmp_path: Path) -> None:
    """Killed while a workflow runs, the next server waits for it and gives its result."""
    async with Sandbox(duration=1e9) as box:
        async with server(box, tmp_path, "auto", "--wait", "0") as client:
            answers: list[Any] = []
            while not answers or "id" not in answers[0]:
                answers = [facts(result) for result in await five_calls(client)]
            kill(tmp_path)
        async with server(box, tmp_path, "auto", "--wait", "0") as client:
            again: list[Any] = []
            while not again or "id" not in again[0]:
                again = [facts(result) for result in await five_calls(client)]
            later = await client.call_tool("get_result", {"id": again[0]["id"]})
        taken = [workflow.id for workflow in box.workflows]

    assert {answers[0]["id"]} == {answer["id"] for answer in (*answers, *again)}
    assert [answers[0]["id"]] == taken
    assert again[0]["note"].startswith("sent on ")
    assert {"pending", "running"} >= {facts(later)["status"]}
