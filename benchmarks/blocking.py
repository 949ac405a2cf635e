"""Measure what a call without asyncio costs beside the asynchronous call.

Both read the counters of a session, which takes next to no time, so what is left is the
way into the thread of the loop and back. Most of that is the switch of threads, whose
cost is the machine's: a bare call through a portal of anyio has it too.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time

from _table import Figure, report
from anyio.from_thread import start_blocking_portal

from linkedapi_async import Session
from linkedapi_async.blocking import Session as BlockingSession


TOKEN = "a-token"
CALLS = 2000
ROUNDS = 7
LIMIT = 200.0
"""In microseconds."""
RATIO = 1.5
"""The limit against a bare call."""


def blocking_call() -> float:
    """Return the seconds of one call from another thread."""
    with BlockingSession(linked_api_token=TOKEN) as session:
        begin = time.perf_counter()
        for _ in range(CALLS):
            session.drain()
        return (time.perf_counter() - begin) / CALLS


async def nothing() -> None:
    """Do nothing."""


def bare_call() -> float:
    """Return the seconds of one bare call through a portal of anyio."""
    with start_blocking_portal() as portal:
        begin = time.perf_counter()
        for _ in range(CALLS):
            portal.call(nothing)
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
    rounds = [
        (blocking_call(), bare_call(), asyncio.run(asynchronous_call()))
        for _ in range(ROUNDS)
    ]
    over = statistics.median(ours - awaited for ours, _, awaited in rounds) * 1e6
    figures = [
        Figure("a blocking call, beyond the awaited one", over, "µs", LIMIT),
        Figure.of_pairs(
            "a blocking call, and a bare one through anyio's portal",
            [(ours, bare) for ours, bare, _ in rounds],
            "µs",
            RATIO,
        ),
    ]
    return report(f"medians of {ROUNDS} rounds of {CALLS} calls", figures)


if __name__ == "__main__":
    sys.exit(main())
