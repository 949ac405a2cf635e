"""A campaign that survives crashes: run it, kill it, run it again until it is done.

Each person is written to once. The journal remembers what was started, what came back
and what was dealt with, so a run goes on where the last one ended, however it ended::

    LINKED_API_TOKEN=… IDENTIFICATION_TOKEN=… python examples/campaign.py people.csv

The file has a column ``url`` and a column ``text``; its rows are the items, and the URL
is the key of each.

What is promised: each message is started once, and its result comes out here at least
once. What is not: a start that was sent and never answered may or may not have been
taken. Nobody can tell from here, so it is not sent again; it is listed in the end, for
somebody to look at the account's history and decide.
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
    """Send what has not been sent yet; return how many starts wait for a decision."""
    polling = Polling().faster(speed)
    async with Session.from_env(journal=journal, polling=polling) as session:
        async with session.as_completed(messages(path), limit=20) as done:
            async for handle in done:
                try:
                    await handle
                except StartUnknownError:
                    continue
                except Exception as error:  # noqa: BLE001  # one person's, not all's
                    print(f"{handle.key}: {error}", file=sys.stderr)
                # Whatever is to be done with a result is done here, before the next
                # is asked for: doing it twice, after a crash, must do no harm.
                print(handle.key, handle.workflow_id, flush=True)
        unknown = (await session.recover()).unknown
    for entry in unknown:
        print(f"not known whether it was sent: {entry.key}", file=sys.stderr)
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
