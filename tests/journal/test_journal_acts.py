"""The journal records what delivered items did to whom."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from linkedapi_async._actions.acts import acts_by_digest
from linkedapi_async.journal import Journal, MemoryJournal, SqliteJournal, _schema


pytestmark = pytest.mark.anyio

SITE = "https://www.linkedin.com"


def invite(person: str) -> dict[str, Any]:
    """Return a workflow that invites a person."""
    return {
        "actionType": "st.sendConnectionRequest",
        "personUrl": f"{SITE}/in/{person}",
    }


READ = {"actionType": "st.retrieveSSI"}
ADA, BOB = (next(iter(acts_by_digest(invite(person)))) for person in ("ada", "bob"))


async def finish(
    journal: Journal, key: str, *workflow: Any, stream: bool = True
) -> None:
    """Record a workflow up to its end."""
    definition = json.dumps(workflow).encode()
    await journal.intend(key, "account", definition, stream=stream)
    await journal.accepted(key, f"id of {key}")
    await journal.finished(key, None, "completed")


@pytest.mark.parametrize("store_results", [True, False])
async def test_acts_of_delivered_items(*, store_results: bool) -> None:
    """They are recorded with the delivery, also where the definition is erased."""
    async with MemoryJournal(store_results=store_results) as journal:
        await finish(journal, "both", invite("bob"), invite("ADA/?x=1"), invite("bob"))
        await finish(journal, "ada", invite("ada"))
        await finish(journal, "reads", READ)
        await finish(journal, "no item", invite("ada"), stream=False)
        before = await journal.items_of_acts([ADA, BOB])
        for key in ("ada", "both", "both", "reads", "no item"):
            await journal.delivered(key)

        assert [] == before
        assert {"both": 2, "ada": 1, "reads": 0} == await journal.delivered_items()
        assert [(BOB, "both"), (ADA, "both"), (ADA, "ada")] == (
            await journal.items_of_acts([BOB, b"other", ADA])
        )


async def test_acts_of_what_is_not_waited_for() -> None:
    """A start that may have been accepted, and is discarded for good, has its acts."""
    async with MemoryJournal() as journal:
        definition = json.dumps(invite("ada")).encode()
        await journal.intend("1", "account", definition, stream=True)
        await journal.unknown_start("1")
        await journal.discard("1", again=False)

        assert {"1": 1} == await journal.delivered_items()
        assert [(ADA, "1")] == await journal.items_of_acts([ADA])


async def test_acts_of_rows_that_are_removed() -> None:
    """They are removed too, so that a row with the same number does not get them."""
    async with MemoryJournal() as journal:
        await finish(journal, "1", invite("ada"))
        await journal.delivered("1")
        await journal.forget_delivered(streams=True)
        await finish(journal, "2", invite("bob"))
        await journal.delivered("2")

        assert [(BOB, "2")] == await journal.items_of_acts([ADA, BOB])


async def test_acts_of_damaged_rows() -> None:
    """A row whose definition is damaged is delivered, without its acts."""
    async with MemoryJournal() as journal:
        await journal.intend("1", "account", b'{"actionTy', stream=True)
        await journal.accepted("1", "wf-1")
        await journal.finished("1", None, "completed")
        await journal.delivered("1")

        assert {"1": None} == await journal.delivered_items()


async def test_many_items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of any text come back as they are, a few at a time."""
    monkeypatch.setattr(_schema, "_ITEMS_AT_ONCE", 7)
    keys = ['"', "\\", "\n", "\x00b", "ü", "😀", *map(str, range(200))]
    async with SqliteJournal(tmp_path / "runs.sqlite3") as journal:
        for key in keys:
            await finish(journal, key, READ)
            await journal.delivered(key)

        assert dict.fromkeys(keys, 0) == await journal.delivered_items()


async def test_damaged_keys(tmp_path: Path) -> None:
    """A key that is no text withholds no others."""
    path = tmp_path / "runs.sqlite3"
    async with SqliteJournal(path) as journal:
        for key in ("blob", "text", "whole"):
            await finish(journal, key, READ)
            await journal.delivered(key)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE workflows SET key = x'ff61' WHERE key = 'blob'")
        connection.execute(
            "UPDATE workflows SET key = CAST(x'ff62' AS TEXT) WHERE key = 'text'"
        )
    async with SqliteJournal(path) as journal:
        found = await journal.delivered_items()

    assert 3 == len(found)
    assert 0 == found["whole"]
