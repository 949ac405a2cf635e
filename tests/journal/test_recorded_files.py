"""Files of an earlier version: journals, results and cursors open and go on."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import itertools
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
from aiohttp import web
from cli_harness import FAST, Done, process
from scripted_server import ACCOUNT, TOKEN, Scripted, ok, refused

from linkedapi_async import (
    ActionError,
    Session,
    StartUnknownError,
    WorkflowCancelledError,
    WorkflowFailedError,
    WorkflowHandle,
    WorkflowNotFoundError,
    load_workflow,
    st,
)
from linkedapi_async._actions.acts import acts_key
from linkedapi_async.journal import Row, SqliteJournal, State
from linkedapi_async.results import CompanyPage, PersonPage
from linkedapi_async.urls import normalize_url


pytestmark = pytest.mark.anyio

FOLDER = Path(__file__).parents[1] / "data" / "recorded_cdfee29"

# The recordings have the words of the version that wrote them.
ATTRIBUTES = {
    "key": "key",
    "account": "account",
    "state": "state",
    "workflow_id": "workflow_id",
    "definition": "definition",
    "how": "end_status",
    "ending": "result",
    "stream": "stream",
    "run": "run_number",
    "created": "created",
    "updated": "updated",
    "candidates": "candidates",
}
STATES: dict[str, State] = {
    "intended": "intended",
    "taken": "accepted",
    "unknown": "unknown",
    "finished": "finished",
    "delivered": "delivered",
}


@attrs.frozen
class Recorded:
    """A copy of a journal, with what was recorded of it."""

    path: Path
    store_results: bool
    accounts: Mapping[str, str]
    rows: list[dict[str, Any]]
    answers: Mapping[str, Any]
    unanswered: Mapping[str, str]
    stream: list[Any]
    support_stream: list[Any]

    @property
    def journal(self) -> SqliteJournal:
        """The journal, as a process that has just begun has it."""
        return SqliteJournal(self.path, store_results=self.store_results)

    def among(self, *states: str) -> list[dict[str, Any]]:
        """Return the rows that were in any of *states*."""
        return [row for row in self.rows if row["state"] in states]

    def end(self, row: Mapping[str, Any]) -> tuple[str, Any]:
        """Return how the workflow of *row* ended, or will have."""
        if row["ending"] is not None:
            return row["how"], json.loads(row["ending"])
        answer = self.answers[row["workflow_id"]]
        if answer is None:
            return "lost", None
        failure, completion = answer.get("failure"), answer.get("completion")
        if failure is None:
            return answer["workflowStatus"], completion
        return "failed", failure if completion is None else {
            **failure,
            "raw": completion,
        }


@pytest.fixture(params=["journal", "without_results", "version_1"])
def recorded(request: pytest.FixtureRequest, tmp_path: Path) -> Recorded:
    """A journal in every state."""
    path = tmp_path / "runs.db"
    shutil.copyfile(FOLDER / f"{request.param}.db", path)
    facts = json.loads((FOLDER / f"{request.param}.json").read_text("utf-8"))
    return Recorded(path, **facts)


@contextlib.asynccontextmanager
async def platform(answers: Mapping[str, Any]) -> AsyncIterator[Scripted]:
    """Run a server that knows the workflows of a recording, and takes new ones."""
    known, numbers = dict(answers), itertools.count(1)

    async def take(request: web.Request) -> web.StreamResponse:
        """Take a workflow, which completes at once."""
        definition = await request.json()
        roots = definition if isinstance(definition, list) else [definition]
        nodes = [{"actionType": r["actionType"], "success": True} for r in roots]
        workflow_id = f"wf-new-{next(numbers)}"
        known[workflow_id] = {
            "workflowStatus": "completed",
            "completion": nodes if isinstance(definition, list) else nodes[0],
        }
        return await ok({"workflowId": workflow_id})(request)

    async def tell(request: web.Request) -> web.StreamResponse:
        """Say how a workflow is."""
        found = known.get(request.path.rpartition("/")[2])
        missing = refused("workflowNotFound", status=404)
        return await (missing if found is None else ok(found))(request)

    async with Scripted() as server:
        server.script("POST", take)
        server.script("GET", tell)
        yield server


@contextlib.asynccontextmanager
async def entered(server: Scripted, recorded: Recorded) -> AsyncIterator[Session]:
    """Enter a session with all accounts of a recording."""
    async with server.session(
        identification_token=recorded.accounts[""], journal=recorded.journal
    ) as session:
        for name, token in recorded.accounts.items():
            if name:
                session.account(token, name=name)
        yield session


def as_recorded(row: Row) -> dict[str, Any]:
    """Return a row in the words of the recordings."""
    found = {word: getattr(row, name) for word, name in ATTRIBUTES.items()}
    words = {state: word for word, state in STATES.items()}
    ending = found["ending"]
    return {
        **found,
        "state": words[found["state"]],
        "definition": found["definition"].decode(),
        "ending": None if ending is None else ending.decode(),
        "candidates": list(found["candidates"]),
    }


async def rows_of(recorded: Recorded) -> dict[str, dict[str, Any]]:
    """Return all rows of a journal that no session has open, by key."""
    async with recorded.journal as journal:
        return {row.key: as_recorded(row) for row in await journal.rows()}


async def end_of(handle: WorkflowHandle[Any]) -> tuple[str, Any]:
    """Wait for the end of a workflow and return it."""
    try:
        return "completed", (await handle.completion()).raw
    except WorkflowFailedError as error:
        failure = {"reason": error.reason, "message": error.explanation}
        return "failed", failure if error.raw is None else {**failure, "raw": error.raw}
    except WorkflowCancelledError:
        return "cancelled", None
    except WorkflowNotFoundError:
        return "lost", None


def polled_ids(server: Scripted) -> dict[str, str]:
    """Return the ids that were polled, each with the token that it was polled with."""
    return {
        seen.path.rpartition("/")[2]: seen.headers["identification-token"]
        for seen in server.seen
        if seen.method == "GET"
    }


def bodies(server: Scripted) -> list[Any]:
    """Return the workflows that were started, in an order that does not depend on it."""
    return in_order(seen.body for seen in server.seen if seen.method == "POST")


def in_order(workflows: Iterable[Any]) -> list[Any]:
    """Return workflows in the order of their JSON."""
    return sorted(workflows, key=json.dumps)


# Journals


def test_the_recordings_have_every_state(recorded: Recorded) -> None:
    """A recording that lacks a state proves nothing of it."""
    ends = {(row["state"], row["how"]) for row in recorded.rows}

    assert set(STATES) == {state for state, _ in ends}
    for state in ("finished", "delivered"):
        assert {"completed", "failed", "cancelled", "lost"} == {
            how for found, how in ends if found == state
        }
    assert {"", "sales", "support"} == set(recorded.accounts)


def test_rows_are_read_as_they_were(recorded: Recorded) -> None:
    """Reading an older journal shows every row with its state, and changes nothing."""
    before = recorded.path.read_bytes()

    assert recorded.rows == [
        as_recorded(row) for row in SqliteJournal.read(recorded.path)
    ]
    for word, state in STATES.items():
        assert recorded.among(word) == [
            as_recorded(row) for row in SqliteJournal.read(recorded.path, state)
        ]
    assert before == recorded.path.read_bytes()


async def test_rows_open_as_they_were(recorded: Recorded) -> None:
    """Opening a journal doubts what was under way, and changes nothing else."""
    doubted = {"intended": "unknown"}
    expected = [
        {**row, "state": doubted.get(row["state"], row["state"])}
        for row in recorded.rows
    ]
    async with recorded.journal as journal:
        found = [as_recorded(row) for row in await journal.rows()]
        unknown = [as_recorded(row) for row in await journal.unknown()]
        run = journal.run_number

    assert expected == found
    assert [row for row in expected if row["state"] == "unknown"] == unknown
    assert 4 == run


async def test_the_schema_is_that_of_a_new_journal(
    recorded: Recorded, tmp_path: Path
) -> None:
    """What creates a schema is added to and never changed."""
    new = tmp_path / "new.db"
    for journal in (recorded.journal, SqliteJournal(new)):
        async with journal:
            pass

    assert schema_of(recorded.path) == schema_of(new)


def schema_of(path: Path) -> tuple[list[Any], list[Any]]:
    """Return the version of a journal, and the statements that make its schema."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        version = connection.execute("PRAGMA user_version").fetchall()
        query = "SELECT name, sql FROM sqlite_master ORDER BY name"
        return version, connection.execute(query).fetchall()


@pytest.mark.filterwarnings("ignore::linkedapi_async.UnknownValueWarning")
async def test_what_was_left_is_delivered(recorded: Recorded) -> None:
    """Typed handles give each end, and only what the journal lacks is polled."""
    left = recorded.among("taken", "finished")
    async with platform(recorded.answers) as server:
        async with entered(server, recorded) as session:
            resumed = await session.recover()
            ends = [await end_of(handle) for handle in resumed.handles]
    rows = await rows_of(recorded)
    polled = {
        row["workflow_id"]: row["account"]
        for row in left
        if row["state"] == "taken"
        or (row["ending"] is None and row["how"] in {"completed", "failed"})
    }
    tokens = {account: token for account, token in recorded.accounts.items() if account}

    assert [row["key"] for row in left] == [handle.key for handle in resumed.handles]
    assert [row["account"] for row in left] == [h.account for h in resumed.handles]
    assert [load_workflow(row["definition"], check=False) for row in left] == [
        handle.workflow for handle in resumed.handles
    ]
    assert [recorded.end(row) for row in left] == ends
    assert () == resumed.other_accounts
    assert 0 == server.count("POST")
    assert {
        workflow_id: tokens.get(account, recorded.accounts[""])
        for workflow_id, account in polled.items()
    } == polled_ids(server)
    # Only its stream knows that an item was dealt with.
    assert ["finished" if row["stream"] else "delivered" for row in left] == [
        rows[row["key"]]["state"] for row in left
    ]
    for row in left:
        erased = not (row["stream"] or recorded.store_results)
        kept = row["ending"] is not None or recorded.store_results
        how, end = recorded.end(row)

        assert how == rows[row["key"]]["how"]
        assert ("" if erased else row["definition"]) == rows[row["key"]]["definition"]
        if kept and end is not None:
            assert end == json.loads(rows[row["key"]]["ending"])
        else:
            assert rows[row["key"]]["ending"] is None


async def test_results_are_typed(recorded: Recorded) -> None:
    """What was nested is reached by its action, also in loops and array workflows."""
    async with platform(recorded.answers) as server:
        async with entered(server, recorded) as session:
            handles = (await session.recover()).handles
            values: list[Any] = await asyncio.gather(*handles, return_exceptions=True)
    companies = [value for value in values if isinstance(value, CompanyPage)]
    arrays = [value for value in values if isinstance(value, tuple)]
    (people,) = [
        value
        for handle, value in zip(handles, values, strict=True)
        if isinstance(handle.workflow, st.search_people)
    ]
    pages = [person[st.open_person_page] for person in people]
    (error,) = [value for value in values if isinstance(value, ActionError)]

    assert [2, 2] == [len(c[st.retrieve_company_employees]) for c in companies]
    assert [1, 1] == [len(c[st.retrieve_company_dms]) for c in companies]
    assert 2 == len(pages)
    assert all(isinstance(page, PersonPage) for page in pages)
    assert all(p[st.check_connection_status].connection_status for p in pages)
    assert [1, 2, 1, 2] == [len(array) for array in arrays]
    assert "personNotFound" == error.type
    assert error.message.endswith("No such person: “?” \ud83d")


async def test_unknown_starts_are_decided(recorded: Recorded) -> None:
    """An unknown start is adopted and delivered, freed, or left alone for good."""
    unknown = {row["key"]: row for row in recorded.among("unknown")}
    intended = [row["key"] for row in recorded.among("intended")]
    async with platform(recorded.answers) as server:
        async with entered(server, recorded) as session:
            journal, doubtful = session.journal, (await session.recover()).unknown
            assert journal is not None
            taken = recorded.among("taken")[0]["workflow_id"]
            with pytest.raises(ValueError, match="is the workflow of"):
                await journal.adopt(intended[0], taken)
            for key, workflow_id in recorded.unanswered.items():
                await journal.suggest(key, "wf-another")
                row = await journal.row(key)
                assert row is not None
                assert "wf-another" in as_recorded(row)["candidates"]
                await journal.adopt(key, workflow_id)
            await journal.discard(intended[0])
            for key in intended[1:]:
                await journal.discard(key, again=False)
            handles = {h.key: h for h in (await session.recover()).handles}
            ends = {key: await end_of(handles[key]) for key in unknown}
            left = await journal.unknown()
    rows = await rows_of(recorded)

    assert {*unknown, *intended} == {row.key for row in doubtful}
    for row in doubtful:
        candidates = unknown.get(row.key, {"candidates": []})["candidates"]
        assert candidates == [*row.candidates]
        assert {*candidates} <= {*recorded.unanswered.values()}
    assert [] == left
    assert {
        key: ("completed", recorded.answers[workflow_id]["completion"])
        for key, workflow_id in recorded.unanswered.items()
    } == ends
    assert intended[0] not in rows
    for key in intended[1:]:
        assert ("delivered", "lost") == (rows[key]["state"], rows[key]["how"])
    assert all(rows[key]["candidates"] == [] for key in unknown)
    assert 0 == server.count("POST")


@pytest.mark.parametrize("name", ["sales", "support"])
async def test_streams_go_on(recorded: Recorded, name: str) -> None:
    """A stream with the same keys sends only what was never taken, and each once."""
    items = recorded.stream if name == "sales" else recorded.support_stream
    rows = {row["key"]: row for row in recorded.rows}
    new = {key: workflow for key, workflow in items if key not in rows}
    seen: list[dict[str, Any]] = []
    async with platform(recorded.answers) as server:
        for _ in range(2):
            ends: dict[str, Any] = {}
            async with entered(server, recorded) as session:
                account = session.account(recorded.accounts[name])
                async with account.as_completed(map(tuple, items), limit=3) as done:
                    async for handle in done:
                        try:
                            ends[str(handle.key)] = await end_of(handle)
                        except StartUnknownError:
                            ends[str(handle.key)] = "unknown"
            seen.append(ends)
    unknown = {
        key: "unknown"
        for key, _ in items
        if key in rows and rows[key]["state"] in {"unknown", "intended"}
    }
    waiting = {
        key: recorded.end(rows[key])
        for key, _ in items
        if key in rows and rows[key]["state"] in {"taken", "finished"}
    }
    first = {key: end for key, end in seen[0].items() if key not in new}

    assert unknown
    assert waiting
    assert new
    assert {**unknown, **waiting} == first
    assert new.keys() == seen[0].keys() - first.keys()
    assert in_order(new.values()) == bodies(server)
    assert unknown == seen[1]
    after = await rows_of(recorded)
    assert {"unknown" if key in unknown else "delivered" for key, _ in items} == {
        after[key]["state"] for key, _ in items
    }


async def test_rows_of_other_accounts_are_kept(recorded: Recorded) -> None:
    """A session that lacks an account leaves its rows as they are."""
    own = {row["account"] for row in recorded.rows} - {"sales", "support"}
    open_states = {"taken", "finished", "unknown", "intended"}
    async with platform(recorded.answers) as server:
        async with server.session(
            identification_token=recorded.accounts[""], journal=recorded.journal
        ) as session:
            resumed = await session.recover()
    rows = await rows_of(recorded)

    assert [
        row["key"]
        for row in recorded.rows
        if row["account"] not in own and row["state"] in open_states
    ] == [row.key for row in resumed.other_accounts]
    assert own == {handle.account for handle in resumed.handles}
    assert {row["key"] for row in recorded.rows} == rows.keys()
    assert {"taken", "finished", "unknown"} == {
        rows[row.key]["state"] for row in resumed.other_accounts
    }


async def test_delivered_rows_can_be_forgotten(recorded: Recorded) -> None:
    """Old rows go as new ones do, items of streams only on demand."""
    delivered = recorded.among("delivered")
    async with recorded.journal as journal:
        singles = await journal.forget_delivered()
        items = await journal.forget_delivered(streams=True)
        left = await journal.rows()

    assert len([row for row in delivered if not row["stream"]]) == singles
    assert len([row for row in delivered if row["stream"]]) == items
    assert len(recorded.rows) - len(delivered) == len(left)


# Batches

BATCH = json.loads((FOLDER / "batch" / "batch.json").read_text("utf-8"))
TWO_ACCOUNTS = ("--accounts", "two.json")
# One of the cells has braces, which are refused by default.
KILLED = (
    "batch",
    "hello.json",
    "--from",
    "people.csv",
    *TWO_ACCOUNTS,
    "--allow-braces",
)
ENDED = ("batch", "visit.json", "--from", "companies.csv", "--out", "ended.jsonl")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the folder of the batches, with the tokens of the accounts."""
    copy = tmp_path / "batch"
    copy.mkdir()
    for file in (FOLDER / "batch").iterdir():
        shutil.copyfile(file, copy / file.name)
    tokens = copy / "two.json"
    tokens.write_text(json.dumps(BATCH["accounts"]), "utf-8")
    tokens.chmod(0o600)
    return copy


async def command(server: Scripted, folder: Path, *words: str) -> Done:
    """Run ``linkedapi`` in a folder, with the tokens that the recordings know."""
    tokens = {"LINKED_API_TOKEN": TOKEN, "IDENTIFICATION_TOKEN": ACCOUNT}
    more = {"ACCOUNT_API_TOKEN": "", "LINKED_API_BASE_URL": server.url}
    return await process(*words, folder=folder, env={**tokens, **more, **FAST})


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a results file."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.mark.parametrize(("name", "words"), [("killed", KILLED), ("ended", ENDED)])
async def test_keys_of_rows(folder: Path, name: str, words: tuple[str, ...]) -> None:
    """A row that only reads keeps its key; one that writes has that of its acts."""
    out = ("--out", "other.jsonl", "--dry-run")
    async with platform({}) as server:
        done = await command(server, folder, *words, *out)

    assert [
        {**row, "key": acts_key(row["workflow"]) or row["key"]}
        for row in BATCH["keys"][name]
    ] == [json.loads(line) for line in done.out.splitlines()]
    assert [] == server.seen


@pytest.mark.parametrize("torn", [False, True])
async def test_killed_batch_goes_on(folder: Path, torn: bool) -> None:
    """It sends what was never sent, and completes the results, a torn line too."""
    results = folder / "killed.jsonl"
    whole = results.read_bytes()
    if torn:
        shutil.copyfile(folder / "torn.jsonl", results)
    before = results.read_bytes()
    states = BATCH["states"]["killed"]
    # What was started keeps its key.
    keys = {
        row["key"] if row["key"] in states else acts_key(row["workflow"]): row
        for row in BATCH["keys"]["killed"]
    }
    unknown = {key for key, (state, *_) in states.items() if state == "unknown"}
    run = (*KILLED, "--out", "killed.jsonl", "--yes")
    async with platform(BATCH["answers"]) as server:
        first = await command(server, folder, *run)
        sent, found = bodies(server), lines_of(results)
        decisions = [
            word
            for pair in BATCH["unanswered"].items()
            for word in ("--mark-started", *pair)
        ]
        journal = ("recover", "killed.jsonl.journal", "--accounts", "two.json")
        adopted = await command(server, folder, *journal, *decisions)
        last = await command(server, folder, *run)
        all_sent = bodies(server)
    kept = before[: before.rindex(b"\n") + 1]
    aside = results.with_name("killed.jsonl.torn")
    rows = [
        as_recorded(row) for row in SqliteJournal.read(folder / "killed.jsonl.journal")
    ]
    ends = {line["key"]: line for line in lines_of(results)}

    assert in_order(w["workflow"] for k, w in keys.items() if k not in states) == sent
    assert sent == all_sent
    assert results.read_bytes().startswith(kept)
    assert torn == (kept != before)
    assert torn == aside.exists()
    assert not torn or before.removeprefix(kept) == aside.read_bytes()
    assert keys.keys() - unknown == {line["key"] for line in found}
    assert len(found) == len({line["key"] for line in found})
    assert keys.keys() == ends.keys()
    assert len(keys) == len(lines_of(results))
    for line in whole.splitlines():
        assert json.loads(line) == ends[json.loads(line)["key"]]
    for key, (_, _, account) in states.items():
        answer = BATCH["answers"][ends[key]["workflowId"]]
        assert account == ends[key]["account"]
        assert keys[key]["line"] == ends[key]["line"]
        assert answer["workflowStatus"] == ends[key]["status"]
        assert answer.get("completion") == ends[key].get("completion")
        assert answer.get("failure") == ends[key].get("failure")
    assert keys.keys() == {row["key"] for row in rows if row["state"] == "delivered"}
    runs = (first, adopted, last)
    assert [8, 0, 9] == [done.status for done in runs]  # some rows failed


def edit_text(folder: Path) -> None:
    """Edit the text of the template."""
    path = folder / "hello.json"
    path.write_text(path.read_text("utf-8").replace("Hello", "Good day"), "utf-8")


def edit_list(folder: Path) -> None:
    """Move the rows, spell the URLs otherwise, put margins around the cells."""
    path = folder / "people.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = [*csv.DictReader(file)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0]])
        writer.writeheader()
        for row in reversed(rows):
            url = row["url"].replace("https://www.", " ").replace("person", "Person")
            writer.writerow({**row, "url": f"{url}/?trk=x ", "name": f" {row['name']}"})


def erase_definitions(folder: Path) -> None:
    """Erase the definitions of the journal, as one without results does."""
    with contextlib.closing(sqlite3.connect(folder / "killed.jsonl.journal")) as opened:
        opened.execute("UPDATE workflows SET definition = ''")
        opened.commit()


def lose_results(folder: Path) -> None:
    """Delete the results."""
    (folder / "killed.jsonl").unlink()


@pytest.mark.parametrize(
    ("edits", "options"),
    [
        pytest.param([edit_text], (), id="text"),
        pytest.param([edit_list], (), id="list"),
        pytest.param([edit_text, edit_list], (), id="text and list"),
        pytest.param([erase_definitions], (), id="erased definitions"),
        pytest.param([edit_text, lose_results], (), id="text, without results"),
        pytest.param([], ("--key", "url"), id="a key"),
        pytest.param([edit_text], ("--again",), id="unknown and in flight"),
    ],
)
async def test_an_upgrade_sends_nothing_twice(
    folder: Path, edits: list[Callable[[Path], None]], options: tuple[str, ...]
) -> None:
    """Whatever is edited along with the update, each person is written to once."""
    states = BATCH["states"]["killed"]
    rows = BATCH["keys"]["killed"]
    # A second message only where it is demanded, and the first one is done.
    again = {
        line["key"]
        for line in lines_of(folder / "killed.jsonl")
        if "--again" in options and line["status"] == "completed"
    }
    for edit in edits:
        edit(folder)
    run = (*KILLED, "--out", "killed.jsonl", "--yes")
    once = tuple(word for word in options if word != "--again")
    async with platform(BATCH["answers"]) as server:
        first = await command(server, folder, *run, *options)
        second = await command(server, folder, *run, *once)
    sent = [normalize_url(body["personUrl"]) for body in bodies(server)]
    expected = [
        normalize_url(row["workflow"]["personUrl"])
        for row in rows
        if row["key"] not in states or row["key"] in again
    ]

    assert sorted(expected) == sorted(sent)
    assert (8, 8) == (first.status, second.status)
    changed = edit_text in edits or edit_list in edits
    assert changed == ("already done with another text" in second.err)


async def test_ended_batch_has_nothing_to_do(folder: Path) -> None:
    """Nothing is sent; results that are gone come again from the journal."""
    results = folder / "ended.jsonl"
    before = results.read_bytes()
    async with platform({}) as server:
        first = await command(server, folder, *ENDED)
        same = results.read_bytes()
        results.unlink()
        second = await command(server, folder, *ENDED)

    assert (0, 0) == (first.status, second.status)
    assert before == same
    assert [json.loads(line) for line in before.splitlines()] == lines_of(results)
    assert [] == server.seen


# Cursors


@pytest.mark.parametrize("name", ["messages", "network_events"])
async def test_cursors_go_on(name: str) -> None:
    """A stored cursor gives what is new, and is written as it was."""
    facts = json.loads((FOLDER / "cursors.json").read_text("utf-8"))[name]
    async with Scripted() as server:
        server.script("POST", ok(facts["answer"]))
        async with server.session() as session:
            follow = getattr(session, name)
            incoming = follow(facts["cursor"], follow=False)
            same = incoming.cursor
            fresh = [item.id async for item in incoming]
            begun = follow(facts["new"]), follow(facts["since"])
            since = follow(since="2026-07-01T11:00:00Z")
    sent = server.seen[0].body

    assert facts["cursor"] == same
    assert facts["asked"] == sent
    assert facts["fresh"] == fresh
    assert [facts["new"], facts["since"]] == [each.cursor for each in begun]
    assert facts["since"] == since.cursor
