"""Hold a pace of 25 a day over four workers that are killed, for ten days.

The workers are processes of their own. Each day they begin with a clock that is a day
further, and their kills are random. The sandbox counts what it has accepted each day.

A small share gives a day as long as it takes. Its starts take long, so that its few kills
meet some.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final, NamedTuple


sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from _fleet import Fleet, interval_of
from postgres_server import running_postgres

from linkedapi_async import st
from linkedapi_async.fleet import Queue
from linkedapi_async.sandbox import Sandbox


class Size(NamedTuple):
    """How much is done."""

    days: int
    per_day: int
    lanes: int
    workers: int


FULL: Final = Size(days=10, per_day=25, lanes=3, workers=4)
LEAST: Final = Size(days=2, per_day=5, lanes=2, workers=2)
"""What a small share does."""

STARTS: Final = 2
TTL: Final = 4.0
QUIET: Final = 3 * TTL
"""How long nothing may be accepted before a day is over, in seconds: long enough for a
take-over."""
SLOW_QUIET: Final = 90.0
"""The same for a small share, because the machine may be busy."""
ANSWER: Final = 0.3
"""How long the answer to a start takes in a small share, in seconds."""
MORNING: Final = dt.datetime(2031, 3, 3, 9, tzinfo=dt.UTC)
SEED: Final = 5


def size_of(share: float) -> Size:
    """Return how much a share of the full size is."""
    return Size(
        *(
            max(least, round(full * share))
            for full, least in zip(FULL, LEAST, strict=True)
        )
    )


def accepted(sandbox: Sandbox) -> Counter[str]:
    """Return how many messages of each account the sandbox has accepted."""
    return Counter(workflow.account for workflow in sandbox.workflows)


def number_of(name: str) -> int:
    """Return the number at the end of a key or a URL."""
    return int(name.rpartition("-")[2])


async def is_used(sandbox: Sandbox, since: int, queue: Queue, size: Size) -> bool:
    """Return whether no lane may send more on the day that began *since* a workflow."""
    numbers = {
        number_of(each.definition["personUrl"]) for each in sandbox.workflows[since:]
    }
    # An unknown start may still run, so it counts each day until a person decides.
    numbers |= {number_of(start.key) for start in await queue.unknown()}
    used = Counter(number % size.lanes for number in numbers)
    return all(used[lane] >= size.per_day for lane in range(size.lanes))


async def soak(url: str, folder: Path, share: float) -> dict[str, Any]:
    """Run the days; return the figures."""
    rng = random.Random(SEED)
    size = size_of(share)
    is_full = share >= 1
    settings = f"""{{
        "starts": {STARTS},
        "ttl": {TTL},
        "interval": {interval_of(share)},
        "pace": Pace(per_day={{"stMessages": {size.per_day}}}),
    }}"""
    async with (
        Sandbox(duration=0.05, seed=SEED) as sandbox,
        Queue(url) as queue,
        Fleet(folder, settings, url, sandbox) as fleet,
    ):
        if not is_full:
            sandbox.inject_fault(
                "stall", on="start", count=None, seconds=ANSWER, done=True
            )
        await queue.submit_all(
            (
                f"lane-{number % size.lanes}",
                st.send_message(
                    f"https://www.linkedin.com/in/person-{number}", text="Hello!"
                ),
                f"key-{number}",
            )
            for number in range(size.lanes * size.per_day * (size.days + 1))
        )

        async def run_day() -> Counter[str]:
            """Run the workers of a day, kill one of them; return what was accepted."""
            before, began = accepted(sandbox), len(sandbox.workflows)
            for _ in range(size.workers):
                fleet.add()
            half = size.per_day * size.lanes // 2
            kill_after = began + rng.randrange(1, half)
            killed = False
            quiet = QUIET if is_full else SLOW_QUIET
            seen, since = 0, time.monotonic()
            while time.monotonic() < since + quiet:
                await asyncio.sleep(0.05)
                await fleet.keep_alive()
                now = len(sandbox.workflows)
                if not killed and now >= kill_after:
                    await fleet.replace(rng.randrange(size.workers), signal.SIGKILL)
                    killed = True
                if now != seen or not killed:
                    seen, since = now, time.monotonic()
                if killed and await is_used(sandbox, began, queue, size):
                    break
            # Whatever would be too much has the time to come.
            await asyncio.sleep(1.0)
            await fleet.close()
            return accepted(sandbox) - before

        most, sent = 0, 0
        for day in range(size.days):
            morning = MORNING + dt.timedelta(days=day)
            fleet.ahead = morning.timestamp() - time.time()
            async with fleet.patience("a day"):
                today = await run_day()
            most, sent = max(most, *today.values()), sent + today.total()
        unknown = len(await queue.unknown())
        twice = sum(len(ids) > 1 for ids in sandbox.accepted_by_definition.values())
    allowed = size.days * size.per_day * size.lanes
    figures = {
        "virtual days": size.days,
        "kills": fleet.kills,
        "accepted in a day, of an account, at most": most,
        "allowed in a day": size.per_day,
        "accepted, of all that was allowed": f"{sent / allowed:.1%}",
        "unknown": unknown,
        "sent twice": twice,
        "exit statuses of all workers": dict(sorted(fleet.statuses.items())),
    }
    assert fleet.kills == size.days, figures
    assert most <= size.per_day, figures
    assert twice == 0, figures
    if is_full:
        assert sent >= 0.9 * allowed, figures
    else:
        # A live worker that a busy machine lets miss its beats may lose its starts, too.
        lost = unknown + STARTS * fleet.declared_dead
        assert sent + lost * size.days >= allowed, figures
    return figures


def run(share: float) -> dict[str, Any]:
    """Run the soak times *share*."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_postgres() as server,
        server.database() as url,
    ):
        return asyncio.run(soak(url, Path(folder), share))
