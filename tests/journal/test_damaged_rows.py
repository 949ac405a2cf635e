"""One damaged row withholds neither the others nor, where that is possible, itself."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from scripted_server import Scripted, ok

from linkedapi_async.journal import SqliteJournal
from linkedapi_async.journal._schema import Statements


pytestmark = pytest.mark.anyio

DEFINITION = b'{"actionType":"st.retrieveSSI"}'
RESULT = b'{"actionType":"st.retrieveSSI","success":true,"data":{"ssi":7}}'


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A journal with three finished workflows and one that was accepted."""
    path = tmp_path / "runs"
    async with SqliteJournal(path) as journal:
        for key in "abcd":
            await journal.intend(key, "ada", DEFINITION)
            await journal.accepted(key, f"wf-{key}")
        for key in "abc":
            await journal.finished(key, RESULT, "completed")
    return path


def damage(path: Path, statement: str, *values: Any) -> None:
    """Change a row behind the journal's back."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(statement, values)
        connection.commit()


@pytest.mark.parametrize("column", ["account", "workflow_id"])
async def test_text_that_is_not_utf_8(path: Path, column: str) -> None:
    """Odd bytes are shown escaped, and the row is as good as any other."""
    odd = f"UPDATE workflows SET {column} = CAST(x'ff41' AS TEXT) WHERE key = 'b'"
    damage(path, odd)
    read = SqliteJournal.read(path)
    async with SqliteJournal(path) as journal:
        rows = await journal.rows()
        await journal.delivered("b")

    assert read == rows
    assert ["a", "b", "c", "d"] == [row.key for row in rows]
    assert r"\xffA" == getattr(rows[1], column)


@pytest.mark.parametrize("state", ["tbken", b"accepted", 5])
async def test_state_that_does_not_exist(path: Path, state: Any) -> None:
    """A row whose state cannot be read waits for a decision, and is not sent again."""
    damage(path, "UPDATE workflows SET state = ? WHERE key = 'b'", state)
    async with SqliteJournal(path) as journal:
        assert ["b"] == [row.key for row in await journal.unknown()]

        with pytest.raises(ValueError, match="'b' is in the journal already, unknown"):
            await journal.intend("b", "ada", DEFINITION)


async def recovered(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the result of each row by key, and the ids that were polled."""
    async with Scripted() as server:
        completion = {"workflowStatus": "completed", "completion": json.loads(RESULT)}
        server.script("GET", ok(completion))
        async with server.session(journal=path) as session:
            session.account("token", name="ada")
            handles = (await session.recover()).handles
            results = {
                handle.key: (await handle.completion()).root for handle in handles
            }
    polled = [seen.path.rpartition("/")[2] for seen in server.seen]
    return {str(key): root for key, root in results.items()}, polled


@pytest.mark.parametrize("result", [b"{", b"\xff", b"5", b"null", "text", 5])
async def test_result_that_cannot_be_read(
    path: Path, result: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The workflow is polled again, and the log says so."""
    damage(path, "UPDATE results SET result = ? WHERE n = 2", result)
    found, polled = await recovered(path)

    assert [*"abcd"] == [*found]
    assert {7} == {root.data.ssi for root in found.values()}
    assert ["wf-b", "wf-d"] == sorted(set(polled))
    assert "The result of b in the journal is damaged" in caplog.text


@pytest.mark.parametrize("end_status", ["failed", "cxmpleted"])
async def test_end_that_cannot_be_read(path: Path, end_status: str) -> None:
    """A failure without its reason and an end that does not exist are polled too."""
    damage(path, "UPDATE results SET result = ? WHERE n = 2", b'{"message": "Oh."}')
    damage(path, "UPDATE workflows SET end_status = ? WHERE key = 'b'", end_status)
    found, polled = await recovered(path)

    assert [*"abcd"] == [*found]
    assert "wf-b" in polled


@pytest.mark.parametrize("definition", [b"{", b"\xff", b"5", "text", 5])
async def test_definition_that_cannot_be_read(
    path: Path, definition: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The workflow is delivered all the same, with results by the action's type."""
    damage(path, "UPDATE workflows SET definition = ? WHERE key = 'b'", definition)
    found, _ = await recovered(path)

    assert [*"abcd"] == [*found]
    assert {7} == {root.data.ssi for root in found.values()}
    assert "The definition of b in the journal is damaged" in caplog.text


def plans(path: Path, account: str | None) -> list[str]:
    """Return the plans of the statements that look for unknown starts."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        ran: list[str] = []
        connection.set_trace_callback(ran.append)
        Statements(connection).unknown(account)
        connection.set_trace_callback(None)
        found = [
            connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
            for statement in ran
        ]
    return [str(plan) for plan in found]


async def test_unknown_starts_are_found_by_their_index(path: Path) -> None:
    """The cost of looking for them does not depend on the size of the journal."""
    async with SqliteJournal(path) as journal:
        for key, account in (("e", "ada"), ("f", "bob")):
            await journal.intend(key, account, DEFINITION)
            await journal.unknown_start(key)
        found = [
            [row.key for row in await journal.unknown(account=account)]
            for account in (None, "ada", "bob", "eve")
        ]

    assert [["e", "f"], ["e"], ["f"], []] == found
    for one in (None, "ada"):
        (plan,) = plans(path, one)
        assert "workflows USING INDEX unknown_starts" in plan


async def test_key_of_a_workflow(path: Path) -> None:
    """A journal knows whose a workflow id is."""
    async with SqliteJournal(path) as journal:
        assert ("b", None) == (
            await journal.key_of("wf-b"),
            await journal.key_of("wf-z"),
        )
