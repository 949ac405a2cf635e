"""A batch that writes, killed at fifty random moments: nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from linkedapi_async.journal import SqliteJournal
from linkedapi_async.sandbox import Sandbox


pytestmark = pytest.mark.anyio

BATCH, KILLS, SPEED = 300, 20, 450
CAMPAIGN = Path(__file__).parents[2] / "examples" / "campaign.py"
TOKEN, ACCOUNT = "main-token-4242", "account-token-1717"


async def campaign(
    people: Path, journal: Path, url: str, seconds: float | None
) -> tuple[str, int | None]:
    """Run the campaign, killing it after some seconds; return its output and status."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(CAMPAIGN),
        str(people),
        f"--journal={journal}",
        f"--speed={SPEED}",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={
            **os.environ,
            "LINKED_API_TOKEN": TOKEN,
            "ACCOUNT_API_TOKEN": "",
            "IDENTIFICATION_TOKEN": ACCOUNT,
            "LINKED_API_BASE_URL": url,
        },
    )
    killer = None
    if seconds is not None:
        loop = asyncio.get_running_loop()
        killer = loop.call_later(seconds, process.kill)
    output, _ = await process.communicate()
    if killer is not None:
        killer.cancel()
    return output.decode(), process.returncode


def url_of(number: int) -> str:
    """Return the URL of a person, and so the key of an item."""
    return f"https://www.linkedin.com/in/person-{number}"


async def test_twenty_kills(tmp_path: Path) -> None:
    """The sandbox's own account shows each message taken at most once, none missing."""
    rng = random.Random(4)
    people, file = tmp_path / "people.csv", tmp_path / "campaign.sqlite3"
    rows = [f"{url_of(number)},Hello {number}!" for number in range(BATCH)]
    people.write_text("\n".join(["url,text", *rows]), encoding="utf-8")
    outputs, kills = [], 0
    async with Sandbox(speed=SPEED, seed=4) as sandbox:
        rare: dict[str, Any] = {"probability": 0.0125, "count": None}
        sandbox.inject_fault("reset_after", on="start", **rare)
        sandbox.inject_fault("reset_before", **rare)
        sandbox.inject_fault("status", on="status", status=503, **rare)
        sandbox.inject_fault("truncated", **rare)
        sandbox.inject_fault("garbage", **rare)
        while True:
            seconds = rng.uniform(0.35, 0.75) if kills < KILLS else None
            output, status = await campaign(people, file, sandbox.url, seconds)
            outputs.append(output)
            if status is not None and status >= 0:
                break
            kills += 1
        taken = sandbox.accepted_by_definition
        consumed = sandbox.fault_hits
        completed = {
            workflow.id
            for workflow in sandbox.workflows
            if workflow.first_polled_after_end is not None and workflow.failure is None
        }
    # A line that the kill cut short belongs to an item that was not acknowledged.
    lines = [line for output in outputs for line in output.split("\n")[:-1]]
    seen = dict(line.split() for line in lines)
    async with SqliteJournal(file) as journal:
        left = {row.key: row for row in await journal.rows()}
    unknown = {key for key, row in left.items() if row.state == "unknown"}
    sent = {json.loads(key)["personUrl"]: ids for key, ids in taken.items()}

    assert kills >= KILLS, "the batch ended before it was killed often enough"
    assert consumed > 5
    assert [] == [ids for ids in sent.values() if len(ids) > 1]
    assert {url_of(number) for number in range(BATCH)} == seen.keys() | unknown
    assert not seen.keys() & unknown
    assert seen.keys() <= sent.keys()
    assert all(seen[url] in completed and [seen[url]] == sent[url] for url in seen)
    assert {"delivered", "unknown"} >= {row.state for row in left.values()}
