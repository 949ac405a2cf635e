"""A campaign that survives crashes: run it, kill it, run it again until it is done.

Each person is written to at most once. The journal records what was started, its results
and what was acknowledged, so a run goes on where the last one stopped::

    LINKED_API_TOKEN=… IDENTIFICATION_TOKEN=… python examples/campaign.py people.csv

The file has a column ``url`` and a column ``text``; its rows are the items, and the URL
is the key of each.

Each message is started at most once, and its result is delivered at least once. A start
that was sent and not answered may have been accepted, so it is not sent again. It is
listed in the end: look at the account's history and decide.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import sys
from collections.abc import Iterator
from pathlib import Path

from linkedapi_async import Polling, Session, StartUnknownError, st


def messages(path: Path) -> Iterator[tuple[str, st.send_message]]:
    """Return a keyed workflow for each row of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield row["url"], st.send_message(row["url"], text=row["text"])


async def run(path: Path, journal: Path, speed: float) -> int:
    """Send the messages that are not sent yet; return the number of unknown starts."""
    polling = Polling().faster(speed)
    async with Session.from_env(journal=journal, polling=polling) as session:
        async with session.as_completed(messages(path), limit=20) as done:
            async for handle in done:
                try:
                    await handle
                except StartUnknownError:
                    continue
                except Exception as error:  # noqa: BLE001  # the others go on
                    print(f"{handle.key}: {error}", file=sys.stderr)
                # Process a result here: the next item acknowledges it. After a crash
                # it may come again, so processing it twice must be harmless.
                print(handle.key, handle.workflow_id, flush=True)
        unknown = (await session.recover()).unknown
    for entry in unknown:
        print(f"may have been sent: {entry.key}", file=sys.stderr)
    return len(unknown)


def main() -> None:
    """Run the campaign that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("people", type=Path)
    parser.add_argument("--journal", type=Path, default=Path("campaign.sqlite3"))
    parser.add_argument("--speed", type=float, default=1, help="for a fast sandbox")
    given = parser.parse_args()
    sys.exit(1 if asyncio.run(run(given.people, given.journal, given.speed)) else 0)


if __name__ == "__main__":
    main()
