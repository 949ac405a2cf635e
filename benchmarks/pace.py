"""Measure what 100,000 starts cost that wait for the pace of their account.

The memory of a start is what it needs beyond a task that waits for nothing. No request is
sent, so there is no server.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import time
import tracemalloc
from collections.abc import Callable, Coroutine
from typing import Any

from _table import Figure, table

from linkedapi_async import Pace, Polling, Session, st


STARTS = 100_000
MEMORY = 1.5
"""The limit of a start, in KiB."""
TIME = 0.5
"""The limit of a start that begins to wait, in milliseconds."""
PACE = Pace(per_day={"stMessages": 1})


async def waiting(
    make: Callable[[int], Coroutine[Any, Any, Any]],
) -> tuple[float, float]:
    """Return the KiB and the milliseconds of each task that *make* lets wait."""
    gc.collect()
    before, begin = tracemalloc.get_traced_memory()[0], time.perf_counter()
    tasks = [asyncio.create_task(make(number)) for number in range(STARTS)]
    await asyncio.sleep(0.1)
    seconds = time.perf_counter() - begin
    gc.collect()
    size = tracemalloc.get_traced_memory()[0] - before
    assert not any(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return size / STARTS / 1024, seconds / STARTS * 1e3


async def measure() -> list[Figure]:
    """Measure bare tasks, and starts on a day that is used up."""
    never = asyncio.Event()
    bare, _ = await waiting(lambda _: never.wait())
    workflows = [
        st.send_message(f"https://www.linkedin.com/in/person-{number}", text="Hello!")
        for number in range(STARTS)
    ]
    async with Session(
        base_url="http://127.0.0.1:9",
        linked_api_token="token",
        identification_token="account",
        polling=Polling(deadline=math.inf),
        pace=Pace(
            hours=f"{time.strftime('%a', time.gmtime(time.time() - 2 * 86400))} "
            "09:00-17:00 UTC",
            per_day=PACE.per_day,
        ),
    ) as session:
        size, span = await waiting(lambda number: session.start(workflows[number]))
    return [
        Figure(
            "memory of a start that waits, beyond its task", size - bare, "KiB", MEMORY
        ),
        Figure("time until a start waits, measured with its memory", span, "ms", TIME),
    ]


def main() -> None:
    """Measure and print the table."""
    logging.disable(logging.WARNING)  # the pace is counted in memory
    tracemalloc.start()
    figures = asyncio.run(measure())
    print(table(f"{STARTS:,} starts that wait for their pace", figures))


if __name__ == "__main__":
    main()
