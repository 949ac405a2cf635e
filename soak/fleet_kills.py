"""Kill the workers of a fleet, stop them, and restart their PostgreSQL, under load.

After all of it, every message was accepted once by the sandbox or waits for a decision,
every lane kept its order, every result can be read, and no token was stored or logged.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final


sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import psycopg
from _fleet import Fleet
from postgres_server import PostgresServer, running_postgres
from psycopg import sql

from linkedapi_async import QueueError, st
from linkedapi_async.fleet import Progress, Queue
from linkedapi_async.sandbox import Sandbox


ITEMS: Final = 3_000
LANES: Final = 60
WORKERS: Final = 4
KILLS: Final = 14
TERMS: Final = 6
STARTS: Final = 8
TTL: Final = 6.0
LOST: Final = 0.005
"""The share of starts whose answers are lost."""
DURATION: Final = 0.5
"""How long a message takes in the sandbox, in seconds."""
TERM_SECONDS: Final = 10.0
"""How long a worker may take to leave after SIGTERM."""
SEED: Final = 11

TOKENS: Final = ("token-of-", "main-token")
"""What is in every token, and nowhere else."""

SETTINGS: Final = f"{{'starts': {STARTS}, 'ttl': {TTL}}}"

Figures = dict[str, Any]


def dump(url: str) -> str:
    """Return all rows of all tables of a database as text."""
    tables = (
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
        "WHERE schemaname LIKE 'linkedapi%'"
    )
    with psycopg.connect(url) as connection:
        names = [sql.SQL(name) for (name,) in connection.execute(tables)]
        stored = "\n".join(
            row
            for name in names
            for (row,) in connection.execute(
                sql.SQL("SELECT CAST(found AS text) FROM {} AS found").format(name)
            )
        )
    assert "lane-0" in stored
    return stored


def url_of(number: int) -> str:
    """Return the URL of a person."""
    return f"https://www.linkedin.com/in/person-{number}"


async def until(
    fleet: Fleet, queue: Queue, enough: Callable[[Progress], bool]
) -> Progress:
    """Wait until a queue is far enough; outages are waited out."""
    deadline = time.monotonic() + 1_200
    while time.monotonic() < deadline:
        await fleet.keep_alive()
        try:
            found = await queue.progress()
        except QueueError:
            await asyncio.sleep(0.2)
            continue
        if enough(found):
            return found
        await asyncio.sleep(0.2)
    message = "it took too long"
    raise AssertionError(message)


async def soak(server: PostgresServer, url: str, folder: Path, share: float) -> Figures:
    """Run it all on one database; return the figures."""
    rng = random.Random(SEED)
    items = max(LANES, int(ITEMS * share))
    kills, terms = max(2, int(KILLS * share)), max(1, int(TERMS * share))
    async with (
        Sandbox(duration=DURATION, seed=SEED) as sandbox,
        Queue(url) as queue,
    ):
        lost = sandbox.inject_fault(
            "reset_after", on="start", probability=LOST, count=None
        )
        fleet = Fleet(folder, SETTINGS, url, sandbox)
        for _ in range(WORKERS):
            await fleet.add()
        began = time.monotonic()
        await queue.submit_all(
            (
                f"lane-{number % LANES}",
                st.send_message(url_of(number), text="Hello!"),
                f"key-{number}",
            )
            for number in range(items)
        )
        submitted = time.monotonic() - began

        def gone(part: float) -> Callable[[Progress], bool]:
            return lambda found: found.completed + found.unknown >= part * items

        for kill in range(kills):
            await until(fleet, queue, gone(0.6 * (kill + 1) / (kills + 1)))
            if kill in {kills // 3, 2 * kills // 3}:
                server.stop(crash=kill == kills // 3)
                await asyncio.sleep(0.5)
                server.start()
            await fleet.replace(rng.randrange(WORKERS), signal.SIGKILL)
        lost.withdraw()
        await until(fleet, queue, gone(0.62))
        # So that what the last kill has made unknown is not counted for the signals.
        await asyncio.sleep(TTL * 3)
        before = (await queue.progress()).unknown
        seconds = []
        for _ in range(terms):
            await fleet.keep_alive()
            # The first is the oldest one, which works; new ones are added at the end.
            seconds.append(await fleet.replace(0, signal.SIGTERM))
        after_terms = (await queue.progress()).unknown - before
        await fleet.keep_alive()
        frozen = fleet.workers.pop(0)
        await fleet.add()
        frozen.send_signal(signal.SIGSTOP)
        await asyncio.sleep(TTL * 2 + TTL / 3)
        frozen.send_signal(signal.SIGCONT)
        status = await frozen.wait()
        done = await until(
            fleet, queue, lambda found: found.queued + found.running == 0
        )
        elapsed = time.monotonic() - began
        await fleet.close()
        unknown = {start.key for start in await queue.unknown()}
        results = [each async for each in queue.results()]
        accepted = sandbox.accepted_by_definition
        order: dict[str, list[int]] = {}
        for workflow in sandbox.workflows:
            number = int(workflow.definition["personUrl"].rpartition("-")[2])
            order.setdefault(workflow.account, []).append(number)
    known = {result.key for result in results if result.status == "completed"}
    sent = {json.loads(key)["personUrl"]: len(ids) for key, ids in accepted.items()}
    figures: Figures = {
        "items": items,
        "kills": kills,
        "sent twice": sum(count > 1 for count in sent.values()),
        "missing": items - len(known | unknown),
        "results twice": len(results) - len({result.key for result in results}),
        "lanes out of order": sum(lane != sorted(lane) for lane in order.values()),
        "unknown": done.unknown,
        "unknown at most": kills * STARTS + len(lost.hits),
        "unknown after SIGTERM": after_terms,
        "longest SIGTERM, seconds": f"{max(seconds):.1f}",
        "status of a frozen worker": status,
        "tokens in all tables": sum(dump(url).count(each) for each in TOKENS),
        "tokens in logs": sum(fleet.log.read_text().count(each) for each in TOKENS),
        "submitted per second": f"{items / submitted:.0f}",
        "items per second": f"{items / elapsed:.1f}",
    }
    for name in (
        *("sent twice", "missing", "results twice", "lanes out of order"),
        *("unknown after SIGTERM", "tokens in all tables", "tokens in logs"),
    ):
        assert figures[name] == 0, figures
    assert done.unknown <= figures["unknown at most"], figures
    assert max(seconds) <= TERM_SECONDS, figures
    assert status == 75, figures
    return figures


def run(share: float) -> Figures:
    """Run the soak times *share*."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_postgres() as server,
        server.database() as url,
    ):
        return asyncio.run(soak(server, url, Path(folder), share))
