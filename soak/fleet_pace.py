"""Hold a pace of 25 a day over four workers that are killed, for ten days.

The workers are processes of their own. Each day they begin with a clock that is a day
further, and their kills are random. The sandbox counts what it has accepted each day.
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
from typing import Any, Final


sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from _fleet import Fleet
from postgres_server import running_postgres

from linkedapi_async import st
from linkedapi_async.fleet import Queue
from linkedapi_async.sandbox import Sandbox


DAYS: Final = 10
PER_DAY: Final = 25
LANES: Final = 3
WORKERS: Final = 4
TTL: Final = 4.0
QUIET: Final = 3 * TTL
"""How long nothing may be accepted before a day is over, in seconds: long enough for a
take-over."""
MORNING: Final = dt.datetime(2031, 3, 3, 9, tzinfo=dt.UTC)
SEED: Final = 5

SETTINGS: Final = f"""{{
    "starts": 2,
    "ttl": {TTL},
    "pace": Pace(per_day={{"stMessages": {PER_DAY}}}),
}}"""


def accepted(sandbox: Sandbox) -> Counter[str]:
    """Return how many messages of each account the sandbox has accepted."""
    return Counter(workflow.account for workflow in sandbox.workflows)


async def run_day(fleet: Fleet, sandbox: Sandbox, rng: random.Random) -> Counter[str]:
    """Run the workers of a day, kill one of them; return what was accepted."""
    before = accepted(sandbox)
    for _ in range(WORKERS):
        await fleet.add()
    kill_after = len(sandbox.workflows) + rng.randrange(1, PER_DAY * LANES // 2)
    killed = False
    seen, since = 0, time.monotonic()
    while time.monotonic() < since + QUIET:
        await asyncio.sleep(0.05)
        today = accepted(sandbox) - before
        if not killed and len(sandbox.workflows) >= kill_after:
            await fleet.replace(rng.randrange(WORKERS), signal.SIGKILL)
            killed = True
        if today.total() != seen or not killed:
            seen, since = today.total(), time.monotonic()
        if min(today.values(), default=0) >= PER_DAY and len(today) == LANES:
            break
    # Whatever would be too much has the time to come.
    await asyncio.sleep(1.0)
    await fleet.close()
    fleet.workers.clear()
    return accepted(sandbox) - before


async def soak(url: str, folder: Path, share: float) -> dict[str, Any]:
    """Run the days; return the figures."""
    rng = random.Random(SEED)
    days = max(2, round(DAYS * share))
    most, sent = 0, 0
    async with Sandbox(duration=0.05, seed=SEED) as sandbox, Queue(url) as queue:
        await queue.submit_all(
            (
                f"lane-{number % LANES}",
                st.send_message(
                    f"https://www.linkedin.com/in/person-{number}", text="Hello!"
                ),
                f"key-{number}",
            )
            for number in range(LANES * PER_DAY * (days + 1))
        )
        fleet = Fleet(folder, SETTINGS, url, sandbox)
        for day in range(days):
            morning = MORNING + dt.timedelta(days=day)
            fleet.ahead = morning.timestamp() - time.time()
            async with asyncio.timeout(300):
                today = await run_day(fleet, sandbox, rng)
            most, sent = max(most, *today.values()), sent + today.total()
        unknown = len(await queue.unknown())
        twice = sum(len(ids) > 1 for ids in sandbox.accepted_by_definition.values())
    figures = {
        "virtual days": days,
        "kills": days,
        "accepted in a day, of an account, at most": most,
        "allowed in a day": PER_DAY,
        "accepted, of all that was allowed": f"{sent / (days * PER_DAY * LANES):.1%}",
        "unknown": unknown,
        "sent twice": twice,
    }
    assert most <= PER_DAY, figures
    assert twice == 0, figures
    assert sent >= 0.9 * days * PER_DAY * LANES, figures
    return figures


def run(share: float) -> dict[str, Any]:
    """Run the soak times *share*."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_postgres() as server,
        server.database() as url,
    ):
        return asyncio.run(soak(url, Path(folder), share))
