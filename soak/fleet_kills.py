"""Kill the workers of a fleet, stop them, and restart their PostgreSQL, under load.

After all of it, every message was accepted once by the sandbox or waits for a decision,
every lane kept its order, every result can be read, and no token was stored or logged.

A small share leaves out what depends on the speed of the machine. Its starts take long,
so that its few kills meet some.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple


sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import psycopg
from _fleet import DECLARED_DEAD, Fleet, interval_of
from postgres_server import PostgresServer, running_postgres
from psycopg import sql

from linkedapi_async import QueueError, st
from linkedapi_async.fleet import Done, Progress, Queue
from linkedapi_async.sandbox import Sandbox


class Size(NamedTuple):
    """How much is done."""

    items: int
    lanes: int
    workers: int
    kills: int
    terms: int
    starts: int


FULL: Final = Size(items=3_000, lanes=60, workers=4, kills=14, terms=6, starts=8)
LEAST: Final = Size(items=40, lanes=6, workers=2, kills=2, terms=1, starts=2)
"""What a small share does."""

KILLED: Final = 0.62
"""The part of the items that is submitted for the kills."""
STOPPED: Final = 0.9
"""The part that is submitted until the last SIGTERM; a frozen worker has the rest."""
TTL: Final = 6.0
FROZEN: Final = TTL * 2 + TTL / 3
"""How long a worker is frozen, in seconds."""
LOST: Final = 0.005
"""The share of starts whose answers are lost; two at least, on average."""
ANSWER: Final = 1.0
"""How long the answer to a start takes in a small share, in seconds."""
DURATION: Final = 0.5
"""How long a message takes in the sandbox, in seconds."""
TERM_SECONDS: Final = 10.0
"""How long a worker may take to leave after SIGTERM."""
SEED: Final = 11

TOKENS: Final = ("token-of-", "main-token")
"""What is in every token, and nowhere else."""

Figures = dict[str, Any]


def size_of(share: float) -> Size:
    """Return how much a share of the full size is."""
    return Size(
        *(
            max(least, int(full * share))
            for full, least in zip(FULL, LEAST, strict=True)
        )
    )


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


def number_of(url: str) -> int:
    """Return the number of a person."""
    return int(url.rpartition("-")[2])


def lane_of(number: int, lanes: int) -> str:
    """Return the account that writes to a person."""
    return f"lane-{number % lanes}"


async def until(
    fleet: Fleet, queue: Queue, enough: Callable[[Progress], bool]
) -> Progress:
    """Wait until a queue is far enough; outages are waited out."""
    async with fleet.patience("the progress of the queue"):
        while True:
            await fleet.keep_alive()
            try:
                found = await queue.progress()
            except QueueError:
                await asyncio.sleep(0.2)
                continue
            if enough(found):
                return found
            await asyncio.sleep(0.2)


def gone(part: float, size: Size) -> Callable[[Progress], bool]:
    """Return a condition: a part of the items is completed or unknown."""
    return lambda found: found.completed + found.unknown >= part * size.items


def is_over(found: Progress) -> bool:
    """Return whether no item waits or runs."""
    return found.queued + found.running == 0


async def restart(server: PostgresServer, *, crash: bool) -> None:
    """Stop a server and start it again; the sandbox answers meanwhile."""
    await asyncio.to_thread(server.stop, crash=crash)
    await asyncio.sleep(0.5)
    await asyncio.to_thread(server.start)


async def submit(queue: Queue, numbers: range, lanes: int) -> None:
    """Submit a message to each of some persons."""
    await queue.submit_all(
        (
            lane_of(number, lanes),
            st.send_message(url_of(number), text="Hello!"),
            f"key-{number}",
        )
        for number in numbers
    )


async def busy(fleet: Fleet, queue: Queue, sandbox: Sandbox, lanes: int) -> int:
    """Wait until a start is under way; return the number of its worker."""
    seen = len(sandbox.workflows)
    await until(
        fleet,
        queue,
        lambda found: len(sandbox.workflows) > seen or is_over(found),
    )
    number = number_of(sandbox.workflows[-1].definition["personUrl"])
    return fleet.serving(lane_of(number, lanes))


async def kill_some(
    fleet: Fleet,
    queue: Queue,
    sandbox: Sandbox,
    server: PostgresServer,
    size: Size,
    *,
    is_full: bool,
) -> None:
    """Kill workers while the first part of the items runs, and restart the server."""
    rng = random.Random(SEED)
    kills = size.kills
    for kill in range(kills):
        part = 0.6 * (kill + 1) / (kills + 1)
        await until(fleet, queue, gone(part, size))
        if kill in {kills // 3, 2 * kills // 3}:
            await restart(server, crash=kill == kills // 3)
        number = rng.randrange(size.workers)
        if not is_full:
            number = await busy(fleet, queue, sandbox, size.lanes)
        await fleet.replace(number, signal.SIGKILL)


def outcome(sandbox: Sandbox, results: list[Done], unknown: set[str]) -> Figures:
    """Return what became of the items, as the sandbox and the queue have it."""
    order: dict[str, list[int]] = {}
    for workflow in sandbox.workflows:
        number = number_of(workflow.definition["personUrl"])
        order.setdefault(workflow.account, []).append(number)
    known = {result.key for result in results if result.status == "completed"}
    accepted = sandbox.accepted_by_definition.values()
    return {
        "sent twice": sum(len(ids) > 1 for ids in accepted),
        "completed or unknown": len(known | unknown),
        "results twice": len(results) - len({result.key for result in results}),
        "lanes out of order": sum(lane != sorted(lane) for lane in order.values()),
    }


async def soak(server: PostgresServer, url: str, folder: Path, share: float) -> Figures:
    """Run it all on one database; return the figures."""
    size = size_of(share)
    is_full = share >= 1
    settings = {"starts": size.starts, "ttl": TTL, "interval": interval_of(share)}
    async with (
        Sandbox(duration=DURATION, seed=SEED) as sandbox,
        Queue(url) as queue,
        Fleet(folder, repr(settings), url, sandbox) as fleet,
    ):
        chance = max(LOST, 2 / size.items)
        lost = sandbox.inject_fault(
            "reset_after", on="start", probability=chance, count=None
        )
        if not is_full:
            sandbox.inject_fault(
                "stall", on="start", count=None, seconds=ANSWER, done=True
            )
        for _ in range(size.workers):
            fleet.add()
        began = time.monotonic()
        parts = (int(KILLED * size.items), int(STOPPED * size.items))
        await submit(queue, range(parts[0]), size.lanes)
        submitted = time.monotonic() - began
        await kill_some(fleet, queue, sandbox, server, size, is_full=is_full)
        lost.withdraw()
        # So that what the last kill has made unknown is not counted for the signals.
        killed = await until(fleet, queue, is_over)
        dead_before, taken_before = fleet.declared_dead, fleet.taken_over
        await submit(queue, range(*parts), size.lanes)
        seconds = []
        for _ in range(size.terms):
            # The first is the oldest one; new ones are added at the end.
            number = await busy(fleet, queue, sandbox, size.lanes)
            seconds.append(
                await fleet.replace(0 if is_full else number, signal.SIGTERM)
            )
        stopped = await until(fleet, queue, is_over)
        taken = fleet.taken_over - taken_before
        await submit(queue, range(parts[1], size.items), size.lanes)
        number = await busy(fleet, queue, sandbox, size.lanes)
        status, times = await fleet.freeze(0 if is_full else number, FROZEN)
        done = await until(fleet, queue, is_over)
        elapsed = time.monotonic() - began
        await fleet.close()
        unknown = {start.key for start in await queue.unknown()}
        results = [each async for each in queue.results()]
        found = outcome(sandbox, results, unknown)
    dead, dead_in_terms = size.kills, 0
    if not is_full:
        # A busy machine may let a live worker miss its beats for a ttl, too. Then it
        # leaves with a status of its own, or the one that takes it over logs it.
        frozen = 1
        missed = fleet.declared_dead - dead_before - frozen
        dead = max(size.kills + fleet.declared_dead, fleet.taken_over)
        dead_in_terms = max(missed, taken)
    figures: Figures = {
        "items": size.items,
        "kills": size.kills,
        **found,
        "unknown": done.unknown,
        "unknown at most": dead * size.starts + len(lost.hits),
        "unknown after SIGTERM": stopped.unknown - killed.unknown,
        "unknown after SIGTERM at most": dead_in_terms * size.starts,
        "longest SIGTERM, seconds": f"{max(seconds):.1f}",
        "status of a frozen worker": status,
        "times that it was frozen": times,
        "exit statuses of all workers": dict(sorted(fleet.statuses.items())),
        "tokens in all tables": sum(dump(url).count(each) for each in TOKENS),
        "tokens in logs": sum(fleet.log.read_text().count(each) for each in TOKENS),
        "submitted per second": f"{parts[0] / submitted:.0f}",
        "items per second": f"{size.items / elapsed:.1f}",
    }
    for name in (
        *("sent twice", "results twice", "lanes out of order"),
        *("tokens in all tables", "tokens in logs"),
    ):
        assert figures[name] == 0, figures
    assert figures["completed or unknown"] == size.items, figures
    for name in ("unknown", "unknown after SIGTERM"):
        assert figures[name] <= figures[f"{name} at most"], figures
    assert status == DECLARED_DEAD, figures
    if is_full:
        assert max(seconds) <= TERM_SECONDS, figures
        assert times == 1, figures
    return figures


def run(share: float) -> Figures:
    """Run the soak times *share*."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_postgres() as server,
        server.database() as url,
    ):
        return asyncio.run(soak(server, url, Path(folder), share))
