"""Measure what a call without asyncio costs beside the asynchronous call.

Both read the counters of a session, which takes next to no time, so what is left is the
way into the thread of the loop and back.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time

from _table import Figure, table

from linkedapi_async import Session
from linkedapi_async.blocking import Session as BlockingSession


TOKEN = "a-token"
CALLS = 2000
ROUNDS = 7
LIMIT = 200.0
"""In microseconds."""


def blocking_call() -> float:
    """Return the seconds of one call from another thread."""
    with BlockingSession(linked_api_token=TOKEN) as session:
        begin = time.perf_counter()
        for _ in range(CALLS):
            session.drain()
        return (time.perf_counter() - begin) / CALLS


async def asynchronous_call() -> float:
    """Return the seconds of one awaited call."""
    async with Session(linked_api_token=TOKEN) as session:
        begin = time.perf_counter()
        for _ in range(CALLS):
            await session.drain()
        return (time.perf_counter() - begin) / CALLS


def main() -> int:
    """Measure and print the table; return 1 if a call costs more than the limit."""
    pairs = [(blocking_call(), asyncio.run(asynchronous_call())) for _ in range(ROUNDS)]
    over = statistics.median(ours - theirs for ours, theirs in pairs) * 1e6
    figure = Figure("a blocking call, beyond the awaited one", over, "µs", LIMIT)
    print(table(f"medians of {ROUNDS} rounds of {CALLS} calls", [figure]))
    return int(figure.missed)


if __name__ == "__main__":
    sys.exit(main())
