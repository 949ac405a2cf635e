"""Measure the cost of a journal: 1,000 starts on 50 accounts over loopback.

Each pair is the same run with a journal on disk and without, in turn. The server runs in
a process of its own.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from _table import Figure, report
from client import TOKENS, measured_pairs, serve

from linkedapi_async import Polling, Session, st


WORKFLOWS, ACCOUNTS, PAIRS = 1_000, 50, 25
LIMIT = 1.25
SEND = [
    st.send_message(f"https://www.linkedin.com/in/person-{number}", text="Hello!")
    for number in range(WORKFLOWS)
]


async def starts(url: str, journal: Path | None) -> float:
    """Return the seconds from the first start to the last handle."""
    async with Session(
        base_url=url, polling=Polling(), journal=journal, **TOKENS
    ) as session:
        accounts = [session.account(f"account-{n}") for n in range(ACCOUNTS)]
        begin = time.perf_counter()
        await asyncio.gather(
            *(
                accounts[number % ACCOUNTS].start(workflow)
                for number, workflow in enumerate(SEND)
            )
        )
        return time.perf_counter() - begin


def main() -> int:
    """Measure and print the table; return 1 if a figure exceeds its limit."""
    process, url = serve("running")
    try:
        with tempfile.TemporaryDirectory() as folder:
            files = (Path(folder) / f"{number}.sqlite3" for number in range(99))
            pairs = measured_pairs(
                lambda: asyncio.run(starts(url, next(files))),
                lambda: asyncio.run(starts(url, None)),
                PAIRS,
            )
    finally:
        process.terminate()
    title = f"{WORKFLOWS:,} starts on {ACCOUNTS} accounts, medians of {PAIRS} pairs"
    name = "a journal on disk, synchronous=FULL"
    figures = [Figure.of_pairs(name, pairs, "ms", LIMIT)]
    return report(title, figures, ("with", "without"))


if __name__ == "__main__":
    sys.exit(main())
