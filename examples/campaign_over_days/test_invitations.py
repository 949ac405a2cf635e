"""The whole campaign, over days, in virtual time."""

# ruff: noqa: S101  # tests assert

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from invitations import DONE, LATER, Report, invite, people, run

from linkedapi_async.contacts import Contacts
from linkedapi_async.journal import MemoryJournal
from linkedapi_async.sandbox import Sandbox
from linkedapi_async.testing import VirtualTime


TOKENS = {name: f"token-of-{name}" for name in ("sales", "hiring", "founder")}
ADA = "https://www.linkedin.com/in/ada"
ROWS = [(f"row {n}", f"https://www.linkedin.com/in/person-{n}") for n in range(130)]
AGAIN = ("row 130", "http://de.linkedin.com/in/Person-7/?trk=list")


async def test_each_person_is_invited_once_over_days(
    tmp_path: Path, linkedapi_sandbox: Sandbox, linkedapi_virtual_time: VirtualTime
) -> None:
    """Cron runs it each hour; an account is signed out at first and back on day two."""
    del linkedapi_virtual_time
    journal, contacts = MemoryJournal(), Contacts(tmp_path / "contacts.sqlite3")
    linkedapi_sandbox.sign_out(TOKENS["hiring"])
    reports: list[Report] = []
    statuses: list[int] = []
    for hour in range(24 * 7):
        if hour == 48:
            linkedapi_sandbox.sign_in(TOKENS["hiring"])
        async with linkedapi_sandbox.session(
            journal=journal, contacts=contacts
        ) as session:
            report = await invite(session, [*ROWS, AGAIN], TOKENS)
        reports.append(report)
        statuses.append(report.status)
        if report.status == DONE:
            break
        await asyncio.sleep(3600)

    invited = Counter(key for report in reports for key in report.invited)
    assert invited == Counter([key for key, _ in ROWS])
    assert "row 7" in reports[-1].left_out[AGAIN[0]]
    assert {LATER} == set(statuses[:-1])
    assert statuses[-1] == DONE
    assert not any(report.failed for report in reports)
    per_account = Counter(each.account for each in linkedapi_sandbox.workflows)
    assert len(per_account) == 3


async def test_what_waits_is_listed(linkedapi_sandbox: Sandbox) -> None:
    """With all accounts signed out, nothing is sent, and the report says why."""
    for token in TOKENS.values():
        linkedapi_sandbox.sign_out(token)
    async with linkedapi_sandbox.session(journal=MemoryJournal()) as session:
        report = await invite(session, [("row 0", ADA)], TOKENS)

    assert report.status == LATER
    assert report.later[0].startswith("row 0 waits")
    assert not linkedapi_sandbox.workflows


def files_of(folder: Path) -> list[str]:
    """Return the names of the files in a folder."""
    return sorted(path.name for path in folder.glob("*.sqlite3"))


async def test_a_run_by_cron(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linkedapi_sandbox: Sandbox
) -> None:
    """A run keeps its files in the current folder; its status says what is left."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LINKED_API_TOKEN", "main")
    monkeypatch.setenv("LINKED_API_BASE_URL", linkedapi_sandbox.url)
    for token in TOKENS.values():
        linkedapi_sandbox.sign_out(token)

    assert await run([("row 0", ADA)], TOKENS) == LATER
    assert files_of(tmp_path) == ["contacts.sqlite3", "invitations.sqlite3"]


def test_the_list(tmp_path: Path) -> None:
    """A row is known by its place in the list, which only grows."""
    path = tmp_path / "people.csv"
    path.write_text(f"name,url\nAda,{ADA}\n", encoding="utf-8")

    assert people(path) == [("row 0", ADA)]
