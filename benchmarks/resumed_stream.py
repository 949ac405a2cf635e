"""Measure how soon a stream of 100,000 keys starts, if 99,000 of them are done.

The time from entering the stream to its first request is compared with a bare read of the
journal's keys, in pairs. The server refuses the start, so nothing else is measured.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _table import Figure, report
from aiohttp import web

from linkedapi_async import Session, dump_workflow, st
from linkedapi_async.journal import SqliteJournal


KEYS = 100_000
DONE = 99_000
ROUNDS = 15
LIMITS = {"reads": 3.0, "writes": 3.0}
"""The limits of the time to the first start, as multiples of the bare read."""

WORKFLOWS: dict[str, Callable[[str], Any]] = {
    "reads": st.check_connection_status,
    "writes": lambda url: st.send_message(url, text="Hello"),
}


async def create(path: Path, items: list[tuple[str, Any]]) -> None:
    """Create a journal in which *items* are delivered."""
    async with SqliteJournal(path) as journal:
        for begin in range(0, len(items), 1_000):
            await asyncio.gather(
                *(
                    deliver(journal, url, workflow)
                    for url, workflow in items[begin : begin + 1_000]
                )
            )


async def deliver(journal: SqliteJournal, url: str, workflow: Any) -> None:
    """Record a workflow from its start to its delivery."""
    definition = json.dumps(dump_workflow(workflow)).encode()
    await journal.intend(url, "account", definition, stream=True)
    await journal.accepted(url, f"id of {url}")
    await journal.finished(url, None, "completed")
    await journal.delivered(url)


def key(number: int) -> str:
    """Return the key of an item."""
    return f"https://www.linkedin.com/in/person-{number}"


def bare_read(path: Path) -> float:
    """Return the seconds of reading all keys of the file."""
    begun = time.perf_counter()
    connection = sqlite3.connect(path)
    keys = {name for (name,) in connection.execute("SELECT key FROM workflows")}
    seconds = time.perf_counter() - begun
    connection.close()
    assert len(keys) == DONE
    return seconds


async def first_start(path: Path, items: list[Any]) -> float:
    """Return the seconds from entering a stream to its first request."""
    reached = asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        """Note the request, and refuse it, so that its row is not kept."""
        reached.set()
        error = {
            "success": False,
            "error": {"type": "invalidWorkflow", "message": "no"},
        }
        return web.json_response(error, status=400)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with Session(
        base_url=f"http://127.0.0.1:{runner.addresses[0][1]}",
        linked_api_token="token",
        identification_token="account",
        journal=path,
    ) as session:
        begun = time.perf_counter()
        async with session.as_completed(items, limit=1):
            await reached.wait()
            seconds = time.perf_counter() - begun
    await runner.cleanup()
    return seconds


def main() -> int:
    """Measure and print the table; return 1 if a figure exceeds its limit."""
    logging.disable(logging.WARNING)  # the stream is left while it starts an item
    with tempfile.TemporaryDirectory() as folder:
        figures = []
        for name, limit in LIMITS.items():
            path = Path(folder) / f"{name}.sqlite3"
            items = [(url, WORKFLOWS[name](url)) for url in map(key, range(KEYS))]
            asyncio.run(create(path, items[:DONE]))
            pairs = []
            for _ in range(ROUNDS):
                read = bare_read(path)
                pairs.append((asyncio.run(first_start(path, items)), read))
            label = f"first start of a stream that {name}, and a bare read"
            figures.append(Figure.of_pairs(label, pairs, "ms", limit))
    return report(f"a stream of {KEYS:,} keys, {DONE:,} of them done", figures)


if __name__ == "__main__":
    sys.exit(main())
