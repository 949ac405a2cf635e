"""The journal keeps what was recorded, whatever happens in between."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any

import attrs
import pytest
from event_loops import every_loop
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from linkedapi_async.errors import JournalError, JournalLockedError, LinkedApiError
from linkedapi_async.journal import (
    Journal,
    MemoryJournal,
    Row,
    SqliteJournal,
    State,
    _schema,
    open_journal,
)
from linkedapi_async.journal._schema import (
    _MIGRATIONS,
    INSERT_INTENT,
    MARK_ACCEPTED,
    Change,
    Statements,
    open_run,
)
from linkedapi_async.session._account import default_name


pytestmark = pytest.mark.anyio
__all__ = ["every_loop"]

DEFINITION = b'{"actionType":"st.checkConnectionStatus"}'
RESULT = b'{"success":true}'
MARK = b"Ada Lovelace, +44 20 7946 0000"
STATES: list[State] = ["intended", "accepted", "unknown", "finished", "delivered"]


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    """Where a journal may be."""
    return tmp_path / "runs.sqlite3"


@pytest.fixture(params=["sqlite", "memory"])
async def journal(
    request: pytest.FixtureRequest, path: pathlib.Path
) -> AsyncIterator[Journal]:
    """An open journal of each kind."""
    kind = request.param
    async with SqliteJournal(path) if kind == "sqlite" else MemoryJournal() as made:
        yield made


@pytest.fixture
async def file(path: pathlib.Path) -> AsyncIterator[SqliteJournal]:
    """An open journal in a file."""
    async with SqliteJournal(path) as made:
        yield made


@pytest.fixture(params=[SqliteJournal, MemoryJournal])
def frugal(request: pytest.FixtureRequest, path: pathlib.Path) -> Journal:
    """A journal of each kind that stores no results; not open."""
    if request.param is MemoryJournal:
        return MemoryJournal(store_results=False)
    return SqliteJournal(path, store_results=False)


async def lead(journal: Journal, key: str, state: State, **options: Any) -> None:
    """Lead a new row to *state*."""
    await journal.intend(key, "ada", DEFINITION, **options)
    if state == "unknown":
        await journal.unknown_start(key)
    if state in {"accepted", "finished", "delivered"}:
        await journal.accepted(key, f"wf-{key}")
    if state in {"finished", "delivered"}:
        await journal.finished(key, RESULT, "completed")
    if state == "delivered":
        await journal.delivered(key)


async def restart(journal: Journal) -> None:
    """Close a journal and open it again."""
    await journal.aclose()
    await journal.open()


async def keys(journal: Journal, *states: State) -> list[str]:
    """Return the keys of the rows in *states*."""
    return [row.key for row in await journal.rows(*states)]


@contextlib.contextmanager
def held(journal: SqliteJournal) -> Iterator[None]:
    """Keep the thread of a journal from going on, as a slow disk does."""
    assert journal._writer is not None
    free, reached = threading.Event(), threading.Event()

    def step(_: Any) -> None:
        reached.set()
        free.wait()

    journal._writer.submit(step)
    journal._writer._submit_batch()
    reached.wait()
    try:
        yield
    finally:
        free.set()


def contents(folder: pathlib.Path) -> bytes:
    """Return all bytes of all files in *folder*."""
    return b"".join(file.read_bytes() for file in sorted(folder.iterdir()))


def copied(path: pathlib.Path, to: pathlib.Path) -> pathlib.Path:
    """Copy what a crash leaves on disk of a journal that is idle."""
    for end in ("", "-wal"):
        with contextlib.suppress(FileNotFoundError):
            shutil.copy(f"{path}{end}", f"{to}{end}")
    return to


# From state to state


async def test_a_row_goes_through_all_states(journal: Journal) -> None:
    """Intended, accepted, finished, delivered: the row keeps each value."""
    times = iter([1.5, 2.5, 3.5, 4.5])
    journal._now = lambda: next(times)
    await journal.intend("k", "ada", DEFINITION, stream=True)
    seen = [await journal.row("k")]
    await journal.accepted("k", "wf-1")
    seen.append(await journal.row("k"))
    await journal.finished("k", RESULT, "completed")
    seen.append(await journal.row("k"))
    await journal.delivered("k")
    seen.append(await journal.row("k"))
    first = Row(
        key="k",
        account="ada",
        state="intended",
        workflow_id=None,
        definition=DEFINITION,
        end_status=None,
        result=None,
        stream=True,
        run_number=1,
        created=1.5,
        updated=1.5,
    )
    second = attrs.evolve(first, state="accepted", workflow_id="wf-1", updated=2.5)
    third = attrs.evolve(
        second, state="finished", end_status="completed", result=RESULT, updated=3.5
    )

    assert [
        first,
        second,
        third,
        attrs.evolve(third, state="delivered", updated=4.5),
    ] == seen


async def test_rows_come_in_the_order_of_their_intents(journal: Journal) -> None:
    """Rows keep the order of their intents, also those of some states only."""
    for key in ("c", "a", "b"):
        await journal.intend(key, "ada", DEFINITION)
    await journal.accepted("b", "wf-b")
    await journal.accepted("c", "wf-c")
    await journal.unknown_start("a")

    assert ["c", "a", "b"] == await keys(journal)
    assert ["c", "b"] == await keys(journal, "accepted", "delivered")
    assert ["a"] == await keys(journal, "unknown")
    assert [] == await keys(journal, "intended", "finished", "delivered")
    assert (await journal.row("x"), await journal.state("x")) == (None, None)
    assert "accepted" == await journal.state("b")


async def test_a_key_is_used_once(journal: Journal) -> None:
    """A key that the journal has is refused, whatever its state."""
    for state in STATES:
        await lead(journal, state, state)
        with pytest.raises(ValueError, match=f"'{state}' is in the journal .*{state}"):
            await journal.intend(state, "ada", b"other")

    assert {DEFINITION} == {row.definition for row in await journal.rows()}


@pytest.mark.parametrize("key", ["", "ключ", "a\x00b", "'; --", "\U0001f600" * 500])
async def test_any_text_is_a_key(journal: Journal, key: str) -> None:
    """A key comes back as it was given."""
    await journal.intend(key, key, b"")
    await restart(journal)

    assert [(key, key)] == [(row.key, row.account) for row in await journal.rows()]


@pytest.mark.parametrize("key", [5, None, b"k", "\ud800"])
async def test_keys_that_are_not_text(journal: Journal, key: Any) -> None:
    """A key that cannot be stored as text is refused at once."""
    with pytest.raises(ValueError, match="a key must be "):
        await journal.intend(key, "ada", DEFINITION)

    assert [] == await journal.rows()


async def test_a_refused_start_may_be_tried_again(journal: Journal) -> None:
    """Nothing was started, so the row is removed and the key is free."""
    await journal.intend("a", "ada", DEFINITION)
    await journal.intend("b", "ada", DEFINITION)
    await journal.refused("a")

    assert ["b"] == await keys(journal)

    await journal.intend("a", "ada", DEFINITION)

    assert ["b", "a"] == await keys(journal)


async def test_an_id_that_the_server_gives_twice(journal: Journal) -> None:
    """Both rows keep the id that the server gave to both."""
    for key in "ab":
        await journal.intend(key, "ada", DEFINITION)
        await journal.accepted(key, "wf-1")

    assert ["wf-1", "wf-1"] == [row.workflow_id for row in await journal.rows()]


STEPS: dict[str, tuple[Callable[[Journal, str], Awaitable[None]], set[State]]] = {
    "accepted": (lambda j, k: j.accepted(k, "wf-9"), {"intended"}),
    "refused": (lambda j, k: j.refused(k), {"intended"}),
    "unknown": (lambda j, k: j.unknown_start(k), {"intended"}),
    "finished": (lambda j, k: j.finished(k, None, "lost"), {"accepted", "finished"}),
    "delivered": (lambda j, k: j.delivered(k), {"finished", "delivered"}),
    "adopted": (lambda j, k: j.adopt(k, "wf-9"), {"unknown"}),
    "discarded": (lambda j, k: j.discard(k), {"unknown"}),
    "discarded for good": (lambda j, k: j.discard(k, again=False), {"unknown"}),
}


@pytest.mark.parametrize("word", STEPS)
async def test_an_invalid_transition(journal: Journal, word: str) -> None:
    """The error names the key and its state, and nothing is changed."""
    step, allowed = STEPS[word]
    for state in STATES:
        await lead(journal, state, state)
        before = await journal.row(state)
        if state not in allowed:
            with pytest.raises(JournalError, match=f"'{state}' is {state}: .*cannot"):
                await step(journal, state)

            assert before == await journal.row(state)

    with pytest.raises(JournalError, match=r"'x' is not in the journal: .*cannot"):
        await step(journal, "x")


async def test_a_stored_result_stays(journal: Journal) -> None:
    """A second end adds a result that is missing and overwrites none."""
    await lead(journal, "a", "finished")
    await journal.finished("a", None, "lost")
    await lead(journal, "b", "accepted")
    await journal.finished("b", None, "lost")
    await journal.finished("b", RESULT, "completed")
    await journal.finished("b", b"other", "failed")

    assert [("completed", RESULT)] * 2 == [
        (row.end_status, row.result) for row in await journal.rows()
    ]


async def test_a_delivery_counts_once(journal: Journal) -> None:
    """A second delivery changes nothing."""
    await lead(journal, "a", "delivered")
    before = await journal.row("a")
    await journal.delivered("a")

    assert before == await journal.row("a")


# Unknown starts


async def test_what_a_run_left_open_is_unknown(journal: Journal) -> None:
    """An intent of an earlier run becomes unknown; other rows stay as they are."""
    for state in STATES:
        await lead(journal, state, state)
    before = await journal.rows()
    await restart(journal)
    await journal.intend("new", "ada", DEFINITION)
    *old, new = await journal.rows()

    assert [attrs.evolve(before[0], state="unknown"), *before[1:]] == old
    assert ["intended", "unknown"] == [row.key for row in await journal.unknown()]
    assert (2, 2, 1) == (journal.run_number, new.run_number, old[0].run_number)


async def test_adopting(journal: Journal) -> None:
    """An unknown start that was accepted goes on with the id that the user found."""
    await lead(journal, "a", "unknown")
    await journal.adopt("a", "wf-7")

    assert [("a", "accepted", "wf-7")] == [
        (row.key, row.state, row.workflow_id) for row in await journal.rows()
    ]
    assert [] == await journal.unknown()


async def test_adopting_a_wrong_id(journal: Journal) -> None:
    """An id of another row, or text that is not an id, is refused."""
    await lead(journal, "b", "delivered")
    await lead(journal, "a", "unknown")
    with pytest.raises(ValueError, match="wf-b is the workflow of 'b' already"):
        await journal.adopt("a", "wf-b")
    with pytest.raises(ValueError, match="a workflow id must be"):
        await journal.adopt("a", "https://app.linkedapi.io/wf-1")

    assert ["a"] == [row.key for row in await journal.unknown()]


async def test_discarding(journal: Journal) -> None:
    """A discarded start frees its key, or keeps it for good."""
    for key in "ab":
        await lead(journal, key, "unknown", stream=True)
    await journal.discard("a")
    await journal.discard("b", again=False)
    await journal.intend("a", "ada", DEFINITION)

    assert [("b", "delivered", "lost"), ("a", "intended", None)] == [
        (row.key, row.state, row.end_status) for row in await journal.rows()
    ]
    with pytest.raises(ValueError, match="already"):
        await journal.intend("b", "ada", DEFINITION)


async def test_candidates(journal: Journal) -> None:
    """The row shows each candidate once, until it is decided."""
    for key in "abc":
        await lead(journal, key, "unknown")
        for workflow_id in ("wf-8", "wf-7", "wf-8"):
            await journal.suggest(key, workflow_id)

    assert [("wf-7", "wf-8")] * 3 == [row.candidates for row in await journal.unknown()]

    await journal.adopt("a", "wf-7")
    await journal.discard("b")
    await journal.discard("c", again=False)
    await lead(journal, "d", "unknown")

    assert [()] * 3 == [row.candidates for row in await journal.rows()]


async def test_invalid_candidates(journal: Journal) -> None:
    """Only unknown starts have candidates, and a candidate is a workflow id."""
    await lead(journal, "a", "accepted")
    with pytest.raises(
        JournalError, match="'a' is accepted: it cannot be given a cand"
    ):
        await journal.suggest("a", "wf-7")
    await lead(journal, "b", "unknown")
    with pytest.raises(ValueError, match="a workflow id must be"):
        await journal.suggest("b", "../wf-7")


async def test_steps_of_one_kind_fail_alone(journal: Journal) -> None:
    """Of many steps in a batch one fails, and the others are written."""
    await lead(journal, "b", "accepted")
    done = await asyncio.gather(
        *(journal.intend(key, "ada", DEFINITION) for key in "abc"),
        return_exceptions=True,
    )
    await asyncio.gather(*(journal.accepted(key, f"wf-{key}") for key in "ac"))

    assert [None, ValueError, None] == [error and type(error) for error in done]
    assert ["wf-a", "wf-b", "wf-c"] == sorted(
        str(row.workflow_id) for row in await journal.rows("accepted")
    )


# Housekeeping


async def test_forgetting(journal: Journal) -> None:
    """Delivered rows are erased by age, items of streams only on demand."""
    now = 0.0
    journal._now = lambda: now
    for n, key in enumerate(["old", "item", "new", "open"]):
        now = n * 10.0
        state: State = "finished" if key == "open" else "delivered"
        await lead(journal, key, state, stream=key == "item")
    found = []
    for older_than, streams in [(30.5, True), (30, False), (5, True), (None, False)]:
        count = await journal.forget_delivered(older_than, streams=streams)
        found.append((count, await keys(journal)))

    assert [
        (0, ["old", "item", "new", "open"]),
        (1, ["item", "new", "open"]),
        (2, ["open"]),
        (0, ["open"]),
    ] == found


async def test_a_forgotten_result_does_not_come_back(journal: Journal) -> None:
    """A row that reuses the number of a forgotten one has no result."""
    await lead(journal, "a", "delivered")

    assert 1 == await journal.forget_delivered()

    await lead(journal, "b", "accepted")
    row = await journal.row("b")

    assert row is not None
    assert row.result is None


async def test_without_results(frugal: Journal) -> None:
    """The end status is stored, the result is not; the definition stays while needed."""
    async with frugal as journal:
        for key in "abc":
            await lead(journal, key, "finished")
        await journal.finished("b", RESULT, "failed")
        await journal.delivered("c")
        await lead(journal, "d", "unknown")
        await journal.discard("d", again=False)
        rows = await journal.rows()

    assert [
        ("a", "completed", None, DEFINITION),
        ("b", "failed", None, DEFINITION),
        ("c", "completed", None, b""),
        ("d", "lost", None, b""),
    ] == [(row.key, row.end_status, row.result, row.definition) for row in rows]


async def test_results_that_are_not_stored_are_in_no_file(path: pathlib.Path) -> None:
    """They are neither in the file nor in those beside it, also after a crash."""
    async with SqliteJournal(path, store_results=False) as journal:
        await journal.intend("a", "ada", DEFINITION + b"of Babbage" * 1000)
        await journal.accepted("a", "wf-1")
        await journal.finished("a", MARK * 1000, "completed")
        while_open = contents(path.parent)
        await journal.delivered("a")
    after = contents(path.parent)

    assert b"of Babbage" in while_open
    assert MARK not in while_open + after
    assert b"of Babbage" not in after
    assert b"wf-1" in after


async def test_forgotten_means_erased(path: pathlib.Path) -> None:
    """Personal data of a forgotten row is in no file after closing."""
    async with SqliteJournal(path) as journal:
        await journal.intend("a", "ada", MARK)
        await journal.accepted("a", "wf-1")
        await journal.finished("a", MARK * 1000, "completed")
        await journal.delivered("a")
        while_open = contents(path.parent)
        await journal.forget_delivered()

    assert MARK in while_open
    assert MARK not in contents(path.parent)


async def test_no_token_is_written(path: pathlib.Path) -> None:
    """A row has the name of its account, and no column for a token."""
    token = "identification-0123456789"
    async with SqliteJournal(path) as journal:
        await journal.intend("a", default_name(token), DEFINITION)
        written = contents(path.parent)

    assert token.encode() not in written
    assert default_name(token).encode() in written
    assert [
        *(
            "key",
            "account",
            "state",
            "workflow_id",
            "definition",
            "end_status",
            "result",
        ),
        *("stream", "run_number", "created", "updated", "candidates"),
        *("error", "about", "wrote", "until", "bound"),
    ] == [field.name for field in attrs.fields(Row)]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
async def test_only_the_owner_may_read(file: SqliteJournal) -> None:
    """Other users can read none of the files."""
    await lead(file, "a", "accepted")
    modes = {path.name: path.stat().st_mode & 0o777 for path in _beside(file.path)}

    assert dict.fromkeys(modes, 0o600) == modes
    assert {"runs.sqlite3", "runs.sqlite3.lock", "runs.sqlite3-wal"} <= modes.keys()


def _beside(path: pathlib.Path) -> list[pathlib.Path]:
    """Return a journal's files."""
    return [file for file in path.parent.iterdir() if file.name.startswith(path.name)]


# Opening and closing


async def test_a_journal_that_is_not_open(path: pathlib.Path) -> None:
    """Each call raises an error before opening and after closing."""
    for journal in (SqliteJournal(path), MemoryJournal()):
        await journal.aclose()
        with pytest.raises(JournalError, match=r"closed.* is not open"):
            await journal.row("a")
        async with journal:
            pass
        await journal.aclose()
        with pytest.raises(JournalError, match=r"closed.* is not open"):
            await journal.intend("a", "ada", DEFINITION)


async def test_repr(journal: Journal, path: pathlib.Path) -> None:
    """A journal shows its file and whether it is open, a row no personal data."""
    await lead(journal, "a", "finished")
    where = f" {path.resolve()}" if isinstance(journal, SqliteJournal) else ""

    assert f"<{type(journal).__name__}{where}, open>" == repr(journal)
    assert "actionType" not in repr(await journal.row("a"))
    assert "success" not in repr(await journal.row("a"))

    await journal.aclose()

    assert f"<{type(journal).__name__}{where}, closed>" == repr(journal)


async def test_leaving_keeps_the_error_of_the_body(path: pathlib.Path) -> None:
    """An error of the body is raised as it is."""
    for journal in (SqliteJournal(path), MemoryJournal()):
        with pytest.raises(ZeroDivisionError):
            async with journal:
                raise ZeroDivisionError


async def test_two_in_one_process(journal: Journal) -> None:
    """An open journal cannot be opened again, and goes on."""
    with pytest.raises(JournalLockedError, match="open in another session"):
        await journal.open()
    await journal.intend("a", "ada", DEFINITION)

    assert ["a"] == await keys(journal)


async def test_one_lock_for_all_paths_of_a_file(file: SqliteJournal) -> None:
    """Another object, and another path of the same file, find it locked."""
    link = file.path.with_name("link")
    link.symlink_to(file.path)
    for path in (file.path, str(file.path), link, os.path.relpath(file.path)):
        other = SqliteJournal(path)
        with pytest.raises(JournalLockedError) as caught:
            await other.open()

        assert str(file.path) == caught.value.path
        assert str(file.path) in str(caught.value)

    await file.aclose()
    async with SqliteJournal(link) as other:
        await other.intend("a", "ada", DEFINITION)


CHILD = """
import asyncio, sys
from linkedapi_async.journal import SqliteJournal

async def main():
    async with SqliteJournal(sys.argv[1]) as journal:
        print("open", flush=True)
        async def go(account):
            for n in range(10**9 if sys.argv[2] == "work" else 0):
                key = f"{account}.{n}"
                await journal.intend(key, account, b"{}")
                print(key, "intended", flush=True)
                await journal.accepted(key, f"wf-{key}")
                print(key, "accepted", flush=True)
                await journal.finished(key, key.encode() * 1000, "completed")
                print(key, "finished", flush=True)
                await journal.delivered(key)
                print(key, "delivered", flush=True)
        await asyncio.gather(*(go(f"a{n}") for n in range(20)))
        await asyncio.Event().wait()

asyncio.run(main())
"""


@contextlib.contextmanager
def child(path: pathlib.Path, what: str) -> Iterator[subprocess.Popen[str]]:
    """Run a process that has a journal open, until it is killed."""
    command = [sys.executable, "-c", CHILD, str(path), what]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert "open\n" == process.stdout.readline()
            yield process
        finally:
            process.kill()


async def test_the_lock_dies_with_its_process(path: pathlib.Path) -> None:
    """A journal is locked until the process that opened it is killed."""
    journal = SqliteJournal(path)
    with child(path, "wait") as process:
        with pytest.raises(JournalLockedError):
            await journal.open()
        process.kill()
        process.wait()
        async with journal:
            assert 2 == journal.run_number


FORK = """
import asyncio, os, sys
from linkedapi_async.journal import SqliteJournal

async def main():
    async with SqliteJournal(sys.argv[1]) as journal:
        if os.fork() == 0:
            os.write(1, b"forked\\n")  # at once, because both write to one pipe
            sys.stdin.read()
            os._exit(0)
        await journal.intend("a", "ada", b"{}")
        if sys.argv[2] == "killed":
            os._exit(0)
    os.write(1, b"closed\\n")

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
@pytest.mark.parametrize("end", ["killed", "closed"])
def test_a_forked_child_does_not_keep_the_lock(path: pathlib.Path, end: str) -> None:
    """A worker that outlives the program does not lock the journal."""

    async def found() -> list[str]:
        """Open the journal and return its keys."""
        async with SqliteJournal(path) as journal:
            return await keys(journal)

    command = [sys.executable, "-W", "ignore", "-c", FORK, str(path), end]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        lines = [process.stdout.readline() for _ in range(1 + (end == "closed"))]
        process.wait()
        rows = asyncio.run(found())
        process.stdin.close()

    assert "forked\n" in lines
    assert ["a"] == rows


@pytest.mark.parametrize("lines", [1, 50, 1500])
async def test_what_was_acknowledged_survives_a_kill(
    path: pathlib.Path, lines: int
) -> None:
    """A process that is killed at work leaves all that was acknowledged."""
    promised: dict[str, str] = {}
    with child(path, "work") as process:
        assert process.stdout is not None
        for _ in range(lines):
            key, state = process.stdout.readline().split()
            promised[key] = state
        process.kill()
        for line in process.stdout.read().splitlines(keepends=True):
            if line.endswith("\n"):
                key, state = line.split()
                promised[key] = state
    async with SqliteJournal(path) as journal:
        rows = {row.key: row for row in await journal.rows()}
    rank = ["intended", "unknown", "accepted", "finished", "delivered"]

    assert promised.keys() <= rows.keys()
    for key, state in promised.items():
        row = rows[key]

        assert rank.index(state) <= rank.index(row.state)
        if row.state in {"finished", "delivered"}:
            assert (key.encode() * 1000, f"wf-{key}") == (row.result, row.workflow_id)


# Many at once


async def test_a_thousand_at_once(journal: Journal) -> None:
    """A thousand concurrent starts on fifty accounts are all recorded."""

    async def go(account: int) -> None:
        """Start twenty in turn."""
        for n in range(20):
            key = f"{account}.{n}"
            await journal.intend(key, str(account), DEFINITION)
            await journal.accepted(key, f"wf-{key}")

    await asyncio.gather(*(go(account) for account in range(50)))

    assert 1000 == len(await journal.rows("accepted"))
    if isinstance(journal, SqliteJournal):
        assert journal.commits < 200


async def test_commits_are_shared(file: SqliteJournal) -> None:
    """All steps that wait while the disk is busy share one commit."""
    before = file.commits
    with held(file):
        tasks = [
            asyncio.create_task(file.intend(str(n), "ada", DEFINITION))
            for n in range(1000)
        ]
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(file.accepted("7", "wf-7")))
        await asyncio.sleep(0)

        assert not any(task.done() for task in tasks)

    await asyncio.gather(*tasks)
    rows = await file.rows()

    assert 1 == file.commits - before
    assert [*map(str, range(1000))] == [row.key for row in rows]
    assert "accepted" == rows[7].state


async def test_turns_that_follow_each_other_share_a_commit(
    file: SqliteJournal,
) -> None:
    """A step that is called one turn of the loop later is in the same commit."""
    before = file.commits

    async def intend(number: int) -> None:
        """Intend something after *number* turns."""
        for _ in range(number):
            await asyncio.sleep(0)
        await file.intend(str(number), "ada", DEFINITION)

    await asyncio.gather(*map(intend, range(5)))

    assert 1 == file.commits - before


async def test_a_batch_is_bounded(file: SqliteJournal) -> None:
    """In a loop that always adds more, the first steps are submitted all the same."""
    tasks = []
    with held(file):
        assert file._writer is not None
        for number in range(100):
            work = file.intend(str(number), "ada", DEFINITION)
            tasks.append(asyncio.create_task(work))
            await asyncio.sleep(0)
        submitted = len(file._writer._submitted)
    await asyncio.gather(*tasks)

    assert 90 < submitted < 100
    assert 100 == len(await file.rows())


async def test_a_refused_step_costs_no_commit(file: SqliteJournal) -> None:
    """A batch that changes nothing does not wait for the disk."""
    await lead(file, "a", "accepted")
    before = file.commits
    found = await asyncio.gather(
        *(file.accepted("a", f"wf-{number}") for number in range(2)),
        return_exceptions=True,
    )

    assert [JournalError] * 2 == [*map(type, found)]
    assert before == file.commits


async def test_the_log_is_preallocated(path: pathlib.Path) -> None:
    """The first commits do not lengthen the log, because that takes longer."""
    log = pathlib.Path(f"{path}-wal")
    for _ in range(2):
        async with SqliteJournal(path) as journal:
            before = log.stat().st_size
            await asyncio.gather(
                *(journal.intend(key, "ada", DEFINITION) for key in ("a", "b")),
                return_exceptions=True,
            )

            assert before == log.stat().st_size > 1_000_000
            assert path.stat().st_size < 2**16

        assert not log.exists()

    with contextlib.closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master").fetchall()

    assert ("workflows",) in tables
    assert ("filling",) not in tables


def step_of(kind: str, key: str, word: str, definition: bytes) -> Change:
    """Return an intent or an id of a row."""
    if kind == "intent":
        stream = len(word) % 2 == 0
        values: tuple[Any, ...] = (word, definition, stream, 1, 7.5, 7.5, key)
        return Change(INSERT_INTENT, values, lambda table, key: ValueError(key))
    return Change(MARK_ACCEPTED, (word, 7.5, key), lambda table, key: JournalError(key))


def one_by_one(table: Statements, steps: list[Change]) -> list[str | None]:
    """Run *steps* and return what each says."""
    said: list[str | None] = []
    for step in steps:
        try:
            step(table)
        except (JournalError, ValueError) as error:
            said.append(repr(error))
        else:
            said.append(None)
    return said


@contextlib.contextmanager
def tables(count: int) -> Iterator[list[Statements]]:
    """Return the tables of so many journals."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        made = []
        for number in range(count):
            path = pathlib.Path(folder, str(number))
            connection = sqlite3.connect(path, isolation_level=None)
            stack.callback(connection.close)
            open_run(connection, path)
            made.append(Statements(connection))
        yield made


def test_a_batch_is_the_same_as_one_by_one() -> None:
    """In a batch or one by one: the same rows, and the same errors."""
    word = st.sampled_from(["", "a", "b\0", "b", "\ud800", '"', "\\u0000"]) | st.text()
    step = st.builds(
        step_of,
        st.sampled_from(["intent", "id"]),
        st.sampled_from(["a", "b", "c", "b\0", "\N{PILE OF POO}", "'\n"]) | st.text(),
        word,
        st.sampled_from([b"", DEFINITION, b"\xff", b"\0", b'"\\'])
        | st.binary()
        | st.text().map(str.encode),
    )
    with tables(2) as (one, other):

        @given(st.lists(step, max_size=5), st.lists(step, min_size=1, max_size=8))
        def same(before: list[Change], steps: list[Change]) -> None:
            """Take *steps* after others, both ways."""
            for table in (one, other):
                table._execute("DELETE FROM workflows")
                one_by_one(table, before)
            if one.apply_batch(steps):
                found: list[str | None] = [None] * len(steps)
            else:
                found = one_by_one(one, steps)

            assert one_by_one(other, steps) == found
            assert other.rows(()) == one.rows(())

        same()


@pytest.mark.parametrize(
    ("kinds", "whole"),
    [
        ([("intent", "a"), ("intent", "b"), ("id", "there")], True),
        ([("id", "there")], True),
        ([("intent", "\N{PILE OF POO} \" ' \n")], True),
        ([("intent", "a"), ("intent", "there")], False),
        ([("intent", "a"), ("id", "missing")], False),
        ([("intent", "a"), ("id", "a")], False),
        ([("intent", "a\0b")], False),
    ],
)
def test_what_a_batch_can_hold(kinds: list[tuple[str, str]], whole: bool) -> None:
    """A batch holds all that starts usually do; else nothing of it is done."""
    steps = [step_of(kind, key, "word", DEFINITION) for kind, key in kinds]
    with tables(1) as (table,):
        step_of("intent", "there", "word", DEFINITION)(table)

        assert whole == table.apply_batch(steps)
        assert len(table.rows(())) == 1 + whole * sum(k == "intent" for k, _ in kinds)
        assert whole or "intended" == table.state("there")


async def test_an_old_sqlite(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without UPDATE … FROM in SQLite the steps of a batch are done one by one."""
    monkeypatch.setattr(_schema, "_MARK_ALL_ACCEPTED", "UPDATE workflows FROM")
    async with SqliteJournal(path) as journal:
        await asyncio.gather(*(lead(journal, str(n), "accepted") for n in range(100)))

        assert 100 == len(await journal.rows("accepted"))


async def test_reading_costs_no_commit(file: SqliteJournal) -> None:
    """Only changes wait for the disk."""
    await lead(file, "a", "finished")
    before = file.commits
    await asyncio.gather(file.rows(), file.row("a"), file.state("a"), file.unknown())

    assert before == file.commits == 3
    assert 0 == SqliteJournal(file.path).commits


async def test_an_error_of_one_is_not_one_of_all(file: SqliteJournal) -> None:
    """Steps that share a commit with a failing one are written."""
    with held(file):
        steps = [
            file.intend("a", "ada", DEFINITION),
            file.accepted("x", "wf-1"),
            file.intend("a", "ada", DEFINITION),
            file.accepted("a", "wf-2"),
        ]
        waiting = asyncio.gather(*steps, return_exceptions=True)
        await asyncio.sleep(0)
    found = await waiting

    assert [type(None), JournalError, ValueError, type(None)] == [*map(type, found)]
    assert "accepted" == await file.state("a")


@pytest.mark.parametrize(
    ("setting", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("secure_delete", 1)],
)
async def test_settings_for_durability(
    file: SqliteJournal, setting: str, value: str | int
) -> None:
    """A commit waits for the disk, and erased data is overwritten."""
    found = await file._do(lambda table: table._execute(f"PRAGMA {setting}").fetchone())

    assert (value,) == found


# Cancelled callers


async def test_a_cancelled_step_takes_place(file: SqliteJournal) -> None:
    """Cancelling ends the wait; the step takes effect all the same."""
    with held(file):
        task = asyncio.create_task(file.intend("a", "ada", DEFINITION))
        other = asyncio.create_task(file.intend("b", "ada", DEFINITION))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await other

    assert ["a", "b"] == await keys(file)


async def test_withdrawing_a_cancelled_intent(file: SqliteJournal) -> None:
    """Steps keep their order: a cancelled intent can be taken back at once."""

    async def start() -> None:
        """Intend, and take it back when cancelled."""
        try:
            await file.intend("a", "ada", DEFINITION)
        except asyncio.CancelledError:
            await file.refused("a")
            raise

    with held(file):
        task = asyncio.create_task(start())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [] == await file.rows()


async def test_closing_waits_for_submitted_steps(file: SqliteJournal) -> None:
    """Steps that were called before are written; later ones are refused."""
    with held(file):
        tasks = [
            asyncio.create_task(file.intend(str(n), "ada", DEFINITION))
            for n in range(5)
        ]
        await asyncio.sleep(0)
        closing = [asyncio.create_task(file.aclose()) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(JournalError, match="not open"):
            await file.rows()

        assert not any(task.done() for task in closing)

    await asyncio.gather(*tasks, *closing)

    assert 5 == len(SqliteJournal.read(file.path))


async def test_cancelling_the_close(file: SqliteJournal) -> None:
    """The journal closes all the same, and may be opened at once."""
    with held(file):
        writing = asyncio.create_task(file.intend("a", "ada", DEFINITION))
        await asyncio.sleep(0)
        closing = asyncio.create_task(file.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
    await file.open()
    await writing

    assert ["a"] == [row.key for row in await file.unknown()]


async def test_cancelling_the_open(path: pathlib.Path) -> None:
    """Nothing stays locked, and it may be opened at once."""
    journal = SqliteJournal(path)
    for _ in range(3):
        opening = asyncio.create_task(journal.open())
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        with pytest.raises(JournalError, match="not open"):
            await journal.rows()
        async with journal:
            await journal.rows()
    async with SqliteJournal(path) as other:
        assert 1 <= other.run_number


def test_a_loop_that_ends_too_early(path: pathlib.Path) -> None:
    """A journal that was not closed loses no step, and can be opened again."""
    journal = SqliteJournal(path)

    async def begin() -> None:
        """Open, ask for something and leave."""
        await journal.open()
        hold.enter_context(held(journal))
        writing = asyncio.ensure_future(journal.intend("a", "ada", DEFINITION))
        await asyncio.sleep(0)
        writing.cancel()

    with contextlib.ExitStack() as hold:
        asyncio.run(begin())

    async def again() -> list[str]:
        """Close late, and open again."""
        with pytest.raises(RuntimeError, match="different loop"):
            await journal.aclose()
        async with journal:
            return await keys(journal)

    assert ["a"] == asyncio.run(again())


# Older and newer versions


FIRST = """
CREATE TABLE openings (run INTEGER PRIMARY KEY, opened REAL NOT NULL);
CREATE TABLE workflows (
    n INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, account TEXT NOT NULL,
    state TEXT NOT NULL, workflow_id TEXT, how TEXT, stream INTEGER NOT NULL,
    run INTEGER NOT NULL, created REAL NOT NULL, updated REAL NOT NULL,
    definition BLOB NOT NULL
);
CREATE TABLE endings (n INTEGER PRIMARY KEY, ending BLOB NOT NULL);
INSERT INTO openings VALUES (7, 1.5);
INSERT INTO workflows VALUES
    (1, 'k', 'ada', 'taken', 'wf-1', NULL, 1, 7, 1.5, 2.5, x'7b7d');
PRAGMA application_id = 0x4C41504A;
PRAGMA user_version = 1;
"""
ROW = Row(
    key="k",
    account="ada",
    state="accepted",
    workflow_id="wf-1",
    definition=b"{}",
    end_status=None,
    result=None,
    stream=True,
    run_number=7,
    created=1.5,
    updated=2.5,
)
NEWEST = (len(_MIGRATIONS), 15)
NEXT = ("ALTER TABLE workflows ADD COLUMN note TEXT", "CREATE TABLE notes (n)")


def database(path: pathlib.Path, script: str) -> None:
    """Make a database by hand."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


def version(path: pathlib.Path) -> tuple[int, int]:
    """Return the version of a database, and how many tables and indexes it has."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (number,) = connection.execute("PRAGMA user_version").fetchone()
        (count,) = connection.execute(
            "SELECT count(*) FROM sqlite_master WHERE sql IS NOT NULL"
        ).fetchone()
        return number, count


async def test_a_file_of_the_first_version(path: pathlib.Path) -> None:
    """A file of the first version is migrated with its rows."""
    database(path, FIRST)
    async with SqliteJournal(path) as journal:
        assert [ROW] == await journal.rows()
        assert 8 == journal.run_number

        await journal.finished("k", RESULT, "completed")

    assert NEWEST == version(path)


@pytest.mark.parametrize("script", ["", "VACUUM"])
async def test_a_file_without_anything(path: pathlib.Path, script: str) -> None:
    """An empty file, and an empty database, become a journal."""
    path.touch()
    database(path, script)

    assert [] == SqliteJournal.read(path)

    async with SqliteJournal(path) as journal:
        await lead(journal, "a", "finished")

    assert NEWEST == version(path)


async def test_migration(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older file is migrated once and keeps its rows."""
    database(path, FIRST)
    monkeypatch.setattr(_schema, "_MIGRATIONS", (*_MIGRATIONS, NEXT))
    for run in (8, 9):
        async with SqliteJournal(path) as journal:
            assert [ROW] == await journal.rows()
            assert run == journal.run_number

    assert (NEWEST[0] + 1, NEWEST[1] + 1) == version(path)


async def test_a_new_file_goes_through_all_versions(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new file is made by the same migrations."""
    monkeypatch.setattr(_schema, "_MIGRATIONS", (*_MIGRATIONS, NEXT))
    async with SqliteJournal(path):
        pass

    assert (NEWEST[0] + 1, NEWEST[1] + 1) == version(path)


async def test_a_migration_that_fails(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file stays as it was, at its version, and opens once the cause is gone."""
    database(path, FIRST)
    with monkeypatch.context() as patch:
        broken = (*NEXT, "CREATE TABLE notes (n)")
        patch.setattr(_schema, "_MIGRATIONS", (*_MIGRATIONS, broken))
        with pytest.raises(JournalError, match=r"runs.sqlite3 failed .*notes"):
            async with SqliteJournal(path):
                pass  # pragma: no cover

    assert (1, 3) == version(path)
    async with SqliteJournal(path) as journal:
        assert [ROW] == await journal.rows()


async def test_a_newer_version(path: pathlib.Path) -> None:
    """A file of a newer version stays as it is, and the error says what to do."""
    newer = NEWEST[0] + 1
    database(path, FIRST + f"PRAGMA user_version = {newer};")
    before = path.read_bytes()
    message = rf"version {newer}, .* reads up to {NEWEST[0]}; install"
    with pytest.raises(JournalError, match=message):
        await SqliteJournal(path).open()
    with pytest.raises(JournalError, match=f"has version {newer}"):
        SqliteJournal.read(path)

    assert before == path.read_bytes()


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("CREATE TABLE mine (n)", id="unmarked"),
        pytest.param("PRAGMA user_version = 1", id="version"),
        pytest.param("PRAGMA application_id = 7", id="marked"),
    ],
)
async def test_a_database_of_something_else(path: pathlib.Path, script: str) -> None:
    """A database of another program stays as it is."""
    database(path, script)
    before = path.read_bytes()
    with pytest.raises(JournalError, match="a database of another program"):
        await SqliteJournal(path).open()

    assert before == path.read_bytes()


# Failures


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        pytest.param(lambda _: b"Dear diary, " * 400, "damaged", id="text"),
        pytest.param(lambda data: data[: len(data) // 2], "damaged", id="cut off"),
        pytest.param(
            lambda data: data[:4096] + b"\xff" * (len(data) - 4096),
            "damaged",
            id="overwritten",
        ),
        pytest.param(lambda data: b"\x00" + data[1:], "not a journal", id="first byte"),
    ],
)
async def test_a_damaged_file(
    path: pathlib.Path, damage: Callable[[bytes], bytes], words: str
) -> None:
    """The error names the file and what to do, and SQLite's error is its cause."""
    async with SqliteJournal(path) as journal:
        for n in range(100):
            await journal.intend(str(n), "ada", DEFINITION * 10)
    path.write_bytes(damage(path.read_bytes()))
    text = rf"runs\.sqlite3 is .*{words}.*; move it away"
    with pytest.raises(JournalError, match=text) as caught:
        await SqliteJournal(path).open()
    with pytest.raises(JournalError, match=text):
        SqliteJournal.read(path)

    assert isinstance(caught.value.__cause__, sqlite3.Error)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_any_damage(data: st.DataObject) -> None:
    """Whatever bytes change, a journal works or raises a JournalError."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "runs.sqlite3")

        async def fill() -> None:
            """Write rows in all states."""
            async with SqliteJournal(path) as journal:
                steps = (lead(journal, str(n), STATES[n % 5]) for n in range(20))
                await asyncio.gather(*steps)

        async def use() -> None:
            """Take every step."""
            async with SqliteJournal(path) as journal:
                for step, _ in STEPS.values():
                    for key in ("3", "7", "new"):
                        with contextlib.suppress(LinkedApiError, ValueError):
                            await step(journal, key)
                with contextlib.suppress(LinkedApiError, ValueError):
                    await journal.intend("new", "ada", DEFINITION)
                with contextlib.suppress(LinkedApiError):
                    await journal.forget_delivered(streams=True)
                await journal.rows()

        asyncio.run(fill())
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 20))):
            place = data.draw(st.integers(0, len(content) - 1))
            content[place] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        with contextlib.suppress(JournalError):
            asyncio.run(use(), debug=True)


async def test_paths_that_cannot_be_opened(tmp_path: pathlib.Path) -> None:
    """The error names a folder that is missing, or is in place of the file."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for path, reason in (
        (tmp_path / "nowhere" / "runs.sqlite3", "cannot be opened"),
        (folder, "is a directory; pass the name of a file"),
    ):
        journal = SqliteJournal(path)
        with pytest.raises(JournalError, match=reason) as caught:
            await journal.open()

        assert str(path.resolve()) in str(caught.value)
        with pytest.raises(JournalError, match=r"cannot be opened|disk I/O error"):
            SqliteJournal.read(path)
    assert [folder] == [*tmp_path.iterdir()]


async def test_damage_in_the_text_of_an_error(path: pathlib.Path) -> None:
    """SQLite quotes bytes that are not text; the error is a JournalError all the same."""
    async with SqliteJournal(path) as journal:
        await lead(journal, "a", "delivered")
    content = path.read_bytes()
    place = content.index(b"WHERE n = old.n", content.index(b"TRIGGER discarded"))
    path.write_bytes(content[:place] + b"WHERE \x80 = old.n" + content[place + 15 :])
    async with SqliteJournal(path) as journal:
        with pytest.raises(JournalError, match="is damaged"):
            await journal.forget_delivered()


async def test_a_full_disk(file: SqliteJournal) -> None:
    """The row that does not fit fails, those that share its commit are written."""
    await lead(file, "a", "accepted")
    limit = "PRAGMA max_page_count = {}"
    await file._do(lambda table: table._execute(limit.format(22)).fetchall())
    with held(file):
        steps = asyncio.gather(
            file.intend("b", "ada", DEFINITION),
            file.finished("a", b"x" * 1_000_000, "completed"),
            file.intend("c", "ada", DEFINITION),
            return_exceptions=True,
        )
        await asyncio.sleep(0)
    found = await steps

    assert [type(None), JournalError, type(None)] == [*map(type, found)]
    assert "the disk is full" in str(found[1])
    assert ["accepted", "intended", "intended"] == [r.state for r in await file.rows()]

    await file._do(lambda table: table._execute(limit.format(2**30)).fetchall())
    await file.finished("a", RESULT, "completed")

    assert ["a"] == await keys(file, "finished")


async def test_a_failure_that_ends_the_transaction(file: SqliteJournal) -> None:
    """All who share the commit fail, each with its own error, and it goes on."""

    def step(statements: Statements) -> None:
        """Fail as SQLite does when the disk fails."""
        statements._execute("ROLLBACK")
        raise sqlite3.OperationalError("disk I/O error")

    with held(file):
        steps = asyncio.gather(
            file.intend("a", "ada", DEFINITION),
            file._do(step),
            return_exceptions=True,
        )
        await asyncio.sleep(0)
    found = await steps

    assert [JournalError] * 2 == [*map(type, found)]
    assert found[0] is not found[1]
    assert all("disk I/O error" in str(error) for error in found)

    await file.intend("b", "ada", DEFINITION)

    assert ["b"] == await keys(file)


async def test_a_file_that_another_program_locks(file: SqliteJournal) -> None:
    """A step waits for the lock of another program only for a while."""
    await file._do(lambda table: table._execute("PRAGMA busy_timeout = 0").fetchall())
    with contextlib.closing(sqlite3.connect(file.path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="locked by another program"):
            await file.intend("a", "ada", DEFINITION)
        other.rollback()
    await file.intend("a", "ada", DEFINITION)

    assert ["a"] == await keys(file)


async def test_a_step_that_raises(journal: Journal) -> None:
    """Whatever a step raises, it is an error of the tree, and changes nothing."""

    def step(statements: Statements) -> None:
        """Change a row, then fail."""
        statements.change("a", "accepted", account="eve")
        raise ZeroDivisionError

    await lead(journal, "a", "accepted")
    with pytest.raises(JournalError, match="failed"):
        await journal._do(step)
    with pytest.raises(JournalError, match="failed"):
        await journal.intend("b", object(), DEFINITION)  # type: ignore[arg-type]
    await lead(journal, "c", "intended")

    assert [("a", "ada"), ("c", "ada")] == [
        (row.key, row.account) for row in await journal.rows()
    ]


# Reading


async def test_reading_an_open_journal(file: SqliteJournal) -> None:
    """Rows can be read while the journal is open, and after closing."""
    for state in STATES:
        await lead(file, state, state)
    while_open = SqliteJournal.read(str(file.path))
    some = SqliteJournal.read(file.path, "unknown", "accepted")
    await file.aclose()

    assert while_open == SqliteJournal.read(file.path)
    assert STATES == [row.key for row in while_open]
    assert ["accepted", "unknown"] == [row.key for row in some]


def test_open_journal(path: pathlib.Path) -> None:
    """A path gives a journal in a file, a journal itself; nothing is opened yet."""
    memory = MemoryJournal()
    for value in (str(path), path):
        journal = open_journal(value)

        assert isinstance(journal, SqliteJournal)
        assert path.resolve() == journal.path

    assert open_journal(memory) is memory
    assert not path.exists()


@pytest.mark.parametrize("path", ["", ":memory:"])
def test_no_file(path: str) -> None:
    """A path that means memory to SQLite is refused, with the class to use."""
    with pytest.raises(ValueError, match="MemoryJournal"):
        SqliteJournal(path)


def test_a_memory_journal_leaves_nothing() -> None:
    """A journal that is garbage closes its database."""
    journal: MemoryJournal | None = MemoryJournal()
    assert journal is not None
    connection = journal._connection
    journal = None
    gc.collect()

    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")


# Against a model


KEYS = st.sampled_from(["a", "b", "c", "ü"])
IDS = st.sampled_from(["wf-1", "wf-2", "wf-3"])


@attrs.define
class Known:
    """What the model knows of a row."""

    state: str = "intended"
    workflow_id: str | None = None
    end_status: str | None = None
    result: bytes | None = None
    stream: bool = False


class Model(RuleBasedStateMachine):
    """Steps in any order, with crashes in between, compared with a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(debug=True)
        self.known: dict[str, Known] = {}
        self.run_count = 1
        self.journal = self.made()
        self.runner.run(self.journal.open())

    def made(self) -> Journal:
        """Return a new journal."""
        return MemoryJournal()

    def teardown(self) -> None:
        """Close what is open."""
        self.runner.run(self.journal.aclose())
        self.runner.close()

    def do(self, step: Coroutine[Any, Any, Any], *, fits: bool) -> bool:
        """Take a step, which is an error unless it *fits*; return whether it does."""
        if fits:
            self.runner.run(step)
        else:
            with pytest.raises((JournalError, ValueError)):
                self.runner.run(step)
        return fits

    def state(self, key: str) -> str | None:
        """Return the state of a row in the model."""
        return self.known[key].state if key in self.known else None

    @rule(key=KEYS, stream=st.booleans())
    def intend(self, key: str, *, stream: bool) -> None:
        """A key that is not there is intended."""
        step = self.journal.intend(key, "ada", key.encode(), stream=stream)
        if self.do(step, fits=key not in self.known):
            self.known[key] = Known(stream=stream)

    @rule(key=KEYS, workflow_id=IDS)
    def accept(self, key: str, workflow_id: str) -> None:
        """What is intended is accepted, with any id."""
        step = self.journal.accepted(key, workflow_id)
        if self.do(step, fits=self.state(key) == "intended"):
            self.known[key].state = "accepted"
            self.known[key].workflow_id = workflow_id

    @rule(key=KEYS)
    def refuse(self, key: str) -> None:
        """What is intended is removed."""
        if self.do(self.journal.refused(key), fits=self.state(key) == "intended"):
            del self.known[key]

    @rule(key=KEYS)
    def lose(self, key: str) -> None:
        """What is intended becomes unknown."""
        step = self.journal.unknown_start(key)
        if self.do(step, fits=self.state(key) == "intended"):
            self.known[key].state = "unknown"

    @rule(
        key=KEYS,
        result=st.none() | st.binary(max_size=9),
        end_status=st.sampled_from(["completed", "failed", "cancelled", "lost"]),
    )
    def finish(self, key: str, result: bytes | None, end_status: Any) -> None:
        """What is accepted finishes, and a missing result may be added later."""
        step = self.journal.finished(key, result, end_status)
        if self.do(step, fits=self.state(key) in {"accepted", "finished"}):
            known = self.known[key]
            known.state = "finished"
            if known.result is None:
                known.end_status, known.result = end_status, result

    @rule(key=KEYS)
    def deliver(self, key: str) -> None:
        """What is finished is delivered."""
        step = self.journal.delivered(key)
        if self.do(step, fits=self.state(key) in {"finished", "delivered"}):
            self.known[key].state = "delivered"

    @rule(key=KEYS, workflow_id=IDS)
    def adopt(self, key: str, workflow_id: str) -> None:
        """What is unknown is accepted, with an id that no row has."""
        ids = {known.workflow_id for known in self.known.values()}
        fits = self.state(key) == "unknown" and workflow_id not in ids
        if self.do(self.journal.adopt(key, workflow_id), fits=fits):
            self.known[key].state = "accepted"
            self.known[key].workflow_id = workflow_id

    @rule(key=KEYS, again=st.booleans())
    def discard(self, key: str, *, again: bool) -> None:
        """What is unknown is removed, or delivered as lost."""
        step = self.journal.discard(key, again=again)
        if self.do(step, fits=self.state(key) == "unknown"):
            if again:
                del self.known[key]
            else:
                self.known[key].state = "delivered"
                self.known[key].end_status = "lost"

    @rule(streams=st.booleans())
    def forget(self, *, streams: bool) -> None:
        """What is delivered is removed, but for items of streams."""
        gone = [
            key
            for key, known in self.known.items()
            if known.state == "delivered" and (streams or not known.stream)
        ]
        for key in gone:
            del self.known[key]

        assert len(gone) == self.runner.run(
            self.journal.forget_delivered(streams=streams)
        )

    @rule()
    def close_and_open(self) -> None:
        """An orderly end, and a new run."""
        self.runner.run(self.journal.aclose())
        self.begin_run()

    def begin_run(self) -> None:
        """Open the journal; what was intended is unknown from now on."""
        self.runner.run(self.journal.open())
        self.run_count += 1
        for known in self.known.values():
            if known.state == "intended":
                known.state = "unknown"

    @invariant()
    def same(self) -> None:
        """The journal knows what the model knows, in the same order."""
        rows = self.runner.run(self.journal.rows())

        assert {key: attrs.astuple(known) for key, known in self.known.items()} == {
            row.key: (
                row.state,
                row.workflow_id,
                row.end_status,
                row.result,
                row.stream,
            )
            for row in rows
        }
        assert [*self.known] == [row.key for row in rows]
        assert all(row.key.encode() == row.definition for row in rows)
        assert self.run_count == self.journal.run_number


class FileModel(Model):
    """The same for a file, with crashes that leave the files as they are."""

    def made(self) -> Journal:
        """Return a journal in a file that is not there yet."""
        self.folder = tempfile.TemporaryDirectory()
        self.crashes = 0
        return SqliteJournal(pathlib.Path(self.folder.name, "0"))

    def teardown(self) -> None:
        """Close what is open, and remove the files."""
        super().teardown()
        self.folder.cleanup()

    @rule()
    def crash(self) -> None:
        """A new process finds the files as they were when the last one died."""
        assert isinstance(self.journal, SqliteJournal)
        self.crashes += 1
        path = self.journal.path
        copy = copied(path, path.with_name(str(self.crashes)))
        self.runner.run(self.journal.aclose())
        self.journal = SqliteJournal(copy)
        self.begin_run()


TestMemory = Model.TestCase
TestMemory.settings = settings(max_examples=40, deadline=None)
TestFile = FileModel.TestCase
TestFile.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
