"""Invite the people of a list from several accounts, over days: run it again and again."""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from linkedapi_async import (
    LinkedApiError,
    Pace,
    Session,
    StartUnknownError,
    SuppressedError,
    st,
)
from linkedapi_async.contacts import Contacts


PACE = Pace(
    per_day={"stConnectionRequests": 25},
    hours="Mon-Fri 09:00-17:00 Europe/Berlin",
    min_interval=60,
)
NOTE = "Shall we talk?"

DONE, UNKNOWN, LATER = 0, 8, 75
"""The exit statuses, as those of ``linkedapi batch``."""


@dataclass
class Report:
    """What one run has done, by the key of each row."""

    invited: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """Rows of people who have an invitation, and why."""
    failed: dict[str, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    """Rows that may have been sent; a person decides on them."""
    later: list[str] = field(default_factory=list)
    """Rows that wait, and until when."""
    complete: bool = False

    @property
    def status(self) -> int:
        """The exit status."""
        if self.unknown:
            return UNKNOWN
        return DONE if self.complete else LATER


def people(path: Path) -> list[tuple[str, str]]:
    """Return the rows of a CSV file with a column ``url``: a key and a URL each."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        return [(f"row {n}", row["url"]) for n, row in enumerate(csv.DictReader(file))]


async def invite(
    session: Session, rows: Iterable[tuple[str, str]], tokens: Mapping[str, str]
) -> Report:
    """Invite everyone whom a limit, the hours and the accounts allow today.

    Args:
        session: A session with a journal and contacts.
        rows: A key, which never changes, and a URL each.
        tokens: The identification tokens of the accounts, by name.
    """
    accounts = [
        session.account(token, name=name, pace=PACE) for name, token in tokens.items()
    ]
    invitations = (
        (key, st.send_connection_request(url, note=NOTE)) for key, url in rows
    )
    report = Report()
    stream = session.as_completed(invitations, accounts=accounts, limit=5)
    async with stream as done:
        async for handle in done:
            key = str(handle.key)
            try:
                await handle
            except SuppressedError as error:
                report.left_out[key] = str(error)
            except StartUnknownError:
                report.unknown.append(key)
            except LinkedApiError as error:
                report.failed[key] = str(error)
            else:
                report.invited.append(key)
    for record in done.deferred:
        until = f" until {record.until:%Y-%m-%d %H:%M %Z}" if record.until else ""
        report.later.append(f"{record.key} waits{until}: {record.reason}")
    report.complete = done.complete
    return report


async def run(rows: Iterable[tuple[str, str]], tokens: Mapping[str, str]) -> int:
    """Do what can be done today; return the exit status."""
    async with Session.from_env(
        journal="invitations.sqlite3", contacts=Contacts("contacts.sqlite3")
    ) as session:
        report = await invite(session, rows, tokens)
    print(f"{len(report.invited)} invited in this run")
    for key, why in {**report.left_out, **report.failed}.items():
        print(f"{key}: {why}", file=sys.stderr)
    for key in report.unknown:
        print(f"{key}: may have been sent; see linkedapi recover", file=sys.stderr)
    for line in report.later:
        print(line, file=sys.stderr)
    return report.status


def main() -> None:
    """Run the campaign that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("people", type=Path)
    parser.add_argument("accounts", type=Path)
    given = parser.parse_args()
    tokens = json.loads(given.accounts.read_text("utf-8"))
    sys.exit(asyncio.run(run(people(given.people), tokens)))


if __name__ == "__main__":
    main()
