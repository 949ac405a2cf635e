"""What a journal costs on starting 1,000 workflows on 50 accounts over loopback.

Each pair is the same run with a journal on disk and without, in turn. The server is a
process of its own.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from client import TOKENS, ratio, serve

from linkedapi_async import Polling, Session, st


WORKFLOWS, ACCOUNTS, PAIRS = 1_000, 50, 25
REACH = 1.25
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


def main() -> None:
    """Measure and print the table."""
    process, url = serve("running")
    try:
        with tempfile.TemporaryDirectory() as folder:
            files = (Path(folder) / f"{number}.sqlite3" for number in range(99))
            mine, bare, how = ratio(
                lambda: asyncio.run(starts(url, next(files))),
                lambda: asyncio.run(starts(url, None)),
                PAIRS,
            )
    finally:
        process.terminate()
    name = f"{WORKFLOWS:,} starts on {ACCOUNTS} accounts, median of {PAIRS} pairs"
    print(f"{name:<52} {'with':>8} {'without':>8}      ratio    reach")
    print(
        f"{'a journal on disk, synchronous=FULL':<52} {mine * 1e3:8.0f} "
        f"{bare * 1e3:8.0f} ms {how:7.2f} × {REACH:6.2f} ×"
    )


if __name__ == "__main__":
    main()
