"""Measure what 100,000 starts cost that wait for the pace of their account.

The memory of a start is what it needs beyond a task that waits for nothing. No request is
sent, so there is no server.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import logging
import math
import sys
import tracemalloc
from collections.abc import Callable, Coroutine
from typing import Any

from _table import Figure, report

from linkedapi_async import Pace, Polling, Session, st


STARTS = 100_000
MEMORY = 1.5
"""The limit of a start, in KiB."""


async def waiting(make: Callable[[int], Coroutine[Any, Any, Any]]) -> float:
    """Return the KiB of each task that *make* lets wait."""
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    tasks = [asyncio.create_task(make(number)) for number in range(STARTS)]
    await asyncio.sleep(0.1)
    gc.collect()
    size = tracemalloc.get_traced_memory()[0] - before
    assert not any(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return size / STARTS / 1024


async def measure() -> Figure:
    """Measure bare tasks, and starts that wait for another day of the week."""
    never = asyncio.Event()
    # The first time, the loop grows tables that it keeps.
    await waiting(lambda _: never.wait())
    bare = await waiting(lambda _: never.wait())
    workflows = [
        st.send_message(f"https://www.linkedin.com/in/person-{number}", text="Hello!")
        for number in range(STARTS)
    ]
    day = dt.datetime.now(dt.UTC) + dt.timedelta(days=3)
    async with Session(
        base_url="http://127.0.0.1:9",
        linked_api_token="token",
        identification_token="account",
        polling=Polling(deadline=math.inf),
        pace=Pace(hours=f"{day:%a} 09:00-17:00 UTC"),
    ) as session:
        size = await waiting(lambda number: session.start(workflows[number]))
    return Figure("memory beyond a bare task that waits", size - bare, "KiB", MEMORY)


def main() -> int:
    """Measure and print the table; return 1 if a figure exceeds its limit."""
    logging.disable(logging.WARNING)  # the pace is counted in memory
    tracemalloc.start()
    figure = asyncio.run(measure())
    return report(f"{STARTS:,} starts that wait for their pace", [figure])


if __name__ == "__main__":
    sys.exit(main())
