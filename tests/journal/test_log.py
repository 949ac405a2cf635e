"""The log of a journal: SQLite takes any, a journal only its own, and whole."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from linkedapi_async.errors import JournalError
from linkedapi_async.journal import SqliteJournal, _sqlite
from linkedapi_async.journal._schema import checkpoint, connect, open_run
from linkedapi_async.journal._wal import check_log, log_facts, log_of


pytestmark = pytest.mark.anyio

FRAME = 24 + 4096
RECORDED = Path(__file__).parents[1] / "data" / "recorded_cdfee29" / "journal.db"


async def killed(path: Path, rows: int = 10) -> Path:
    """Write a journal, one commit a row, as a run leaves it that is killed."""
    living = path.with_name(f"{path.name}-living")
    async with SqliteJournal(living) as journal:
        for number in range(rows):
            await journal.intend(f"k{number}", "ada", b"{}")
        return copied(living, path)


async def closed(path: Path, rows: int = 10) -> Path:
    """Write a journal that is closed."""
    async with SqliteJournal(path) as journal:
        for number in range(rows):
            await journal.intend(f"k{number}", "ada", b"{}")
    return path


def copied(path: Path, to: Path) -> Path:
    """Copy a journal with its log, if it has one."""
    for source, target in ((path, to), (log_of(path), log_of(to))):
        target.unlink(missing_ok=True)
        if source.exists():
            shutil.copyfile(source, target)
    return to


async def keys(path: Path) -> list[str]:
    """Open a journal and return the keys of its rows."""
    async with SqliteJournal(path) as journal:
        return [row.key for row in await journal.rows()]


def contents(path: Path) -> list[bytes | None]:
    """Return what is in a journal and in its log."""
    files = (path, log_of(path))
    return [file.read_bytes() if file.exists() else None for file in files]


async def refused(path: Path, words: str) -> None:
    """Expect that a journal is not opened, and stays as it is."""
    before = contents(path)
    with pytest.raises(JournalError, match=words):
        await SqliteJournal(path).open()

    assert before == contents(path)


async def test_journal_of_a_killed_run(tmp_path: Path) -> None:
    """With its own log, a journal opens with all rows, again and again."""
    path = await killed(tmp_path / "runs")
    for _ in range(2):
        assert 10 == len(await keys(path))

    assert not log_of(path).exists()


@pytest.mark.parametrize("left", [0, 20, None])
async def test_missing_log(tmp_path: Path, left: int | None) -> None:
    """A journal whose log is missing or cut off is refused, also for reading."""
    path = await killed(tmp_path / "runs")
    if left is None:
        log_of(path).unlink()
        with pytest.raises(JournalError, match="without its log runs-wal"):
            SqliteJournal.read(path)
    else:
        os.truncate(log_of(path), left)
    await refused(path, "without its log runs-wal")


@pytest.mark.parametrize("state", [killed, closed])
async def test_foreign_log(tmp_path: Path, state: object) -> None:
    """A log of another journal is refused, beside any journal."""
    path = await (killed if state is killed else closed)(tmp_path / "runs")
    other = await killed(tmp_path / "other", rows=5)
    shutil.copyfile(log_of(other), log_of(path))

    await refused(path, "runs-wal belongs to another journal")


async def test_log_of_an_earlier_run(tmp_path: Path) -> None:
    """A log that an earlier run left is refused: it would undo what came after."""
    path = await killed(tmp_path / "runs")
    old = log_of(path).read_bytes()
    await keys(path)
    async with SqliteJournal(path) as journal:
        await journal.intend("new", "ada", b"{}")
    log_of(path).write_bytes(old)

    await refused(path, "runs-wal belongs to another journal")


@pytest.mark.parametrize("kind", ["missing", "empty"])
async def test_log_without_its_journal(tmp_path: Path, kind: str) -> None:
    """A log is kept if its journal is missing, which SQLite would delete."""
    path = await killed(tmp_path / "runs")
    before = log_of(path).read_bytes()
    path.unlink()
    if kind == "empty":
        path.touch()
    with pytest.raises(JournalError, match="runs is missing, but its log"):
        await SqliteJournal(path).open()

    assert before == log_of(path).read_bytes()


async def test_truncated_log(tmp_path: Path) -> None:
    """A log that is shorter than it was once is refused."""
    path = await killed(tmp_path / "runs")
    os.truncate(log_of(path), 2**19)

    await refused(path, "runs-wal is damaged")


def frames(path: Path) -> list[int]:
    """Return the numbers of the frames of a log that end a commit."""
    content = log_of(path).read_bytes()
    salts = content[16:24]
    return [
        number
        for number, place in enumerate(range(32, len(content) - FRAME + 1, FRAME))
        if content[place + 4 : place + 8] != bytes(4)
        and content[place + 8 : place + 16] == salts
    ]


@pytest.mark.parametrize(("commit", "opens"), [(-1, True), (-2, False), (-5, False)])
async def test_damaged_log(tmp_path: Path, commit: int, opens: bool) -> None:
    """Damage before the last commit is refused; the last one may be torn by a crash."""
    path = await killed(tmp_path / "runs")
    content = bytearray(log_of(path).read_bytes())
    content[32 + frames(path)[commit] * FRAME + 24 + 4000] ^= 1
    log_of(path).write_bytes(content)

    if opens:
        assert [f"k{number}" for number in range(9)] == await keys(path)
    else:
        await refused(path, "runs-wal is damaged")


async def test_index_that_lacks_a_row(tmp_path: Path) -> None:
    """After a crash the whole file is checked: a key that is not found is sent twice."""
    path = tmp_path / "runs"
    async with SqliteJournal(await closed(tmp_path / "living")) as journal:
        copied(journal.path, path)
    content = path.read_bytes()
    place = content.rindex(b"k7")
    path.write_bytes(content[:place] + b"K7" + content[place + 2 :])

    await refused(path, "is damaged .*index")


async def test_log_of_another_program(tmp_path: Path) -> None:
    """A log of a database that is not a journal is refused."""
    path, other = await closed(tmp_path / "runs"), tmp_path / "other"
    with contextlib.closing(sqlite3.connect(other)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE openings (name TEXT)")
        shutil.copyfile(log_of(other), log_of(path))

    await refused(path, "runs-wal belongs to another journal")


async def test_log_of_an_older_version(tmp_path: Path) -> None:
    """A file of an older version, which marked nothing, opens with its log."""
    living, path = tmp_path / "living", tmp_path / "runs"
    shutil.copyfile(RECORDED, living)
    with contextlib.closing(sqlite3.connect(living)) as connection:
        connection.execute("UPDATE workflows SET account = 'ada'")
        connection.commit()
        copied(living, path)
    async with SqliteJournal(path) as journal:
        rows = await journal.rows()

    assert {"ada"} == {row.account for row in rows}


async def test_hard_link(tmp_path: Path) -> None:
    """A file with two names is refused, because each name has a log of its own."""
    path = await closed(tmp_path / "runs")
    (tmp_path / "link").hardlink_to(path)

    await refused(tmp_path / "link", "another name")


def crashes(path: Path, folder: Path) -> Iterator[Path]:
    """Open a journal, and yield what a kill before each statement leaves of it."""
    connection = connect(str(path))
    made: list[Path] = []

    def copy(_: str) -> None:
        """Copy the files as they are."""
        made.append(copied(path, folder / f"copy-{len(made)}"))

    with contextlib.closing(connection):
        connection.set_trace_callback(copy)
        open_run(connection, path)
        checkpoint(connection, path)
        connection.set_trace_callback(None)
    yield from made


@pytest.mark.parametrize("state", ["new", "closed", "killed"])
async def test_kill_during_the_opening(tmp_path: Path, state: str) -> None:
    """A run that is killed while it opens a journal keeps no other from opening it."""
    path, rows = tmp_path / "runs", 0 if state == "new" else 10
    if state == "new":
        path.touch()
    else:
        await (closed if state == "closed" else killed)(path)
    copies = list(crashes(path, tmp_path))
    for copy in copies:
        check_log(copy)
    for copy in copies[::5]:
        assert rows == len(await keys(copy))

    assert len(copies) > 10


async def test_log_does_not_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After so many changes the log is moved to the file, and begins anew."""
    monkeypatch.setattr(_sqlite, "MAX_LOG_CHANGES", 20)
    path = tmp_path / "runs"
    async with SqliteJournal(path) as journal:
        size = log_of(path).stat().st_size
        for number in range(200):
            await journal.intend(f"k{number}", "ada", b"x" * 5_000)
        await journal.row("k0")

        assert size == log_of(path).stat().st_size
        assert path.stat().st_size > 500_000

        copy = copied(path, tmp_path / "copy")
        log_of(copy).unlink()
        await refused(copy, "without its log")

        copy = copied(path, tmp_path / "copy")
        assert 200 == len(await keys(copy))


async def test_log_that_another_program_has_moved(tmp_path: Path) -> None:
    """A journal needs no log that all of was moved to the file, by the shell of SQLite, say."""
    path = await killed(tmp_path / "runs")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("SELECT * FROM workflows").fetchall()

    assert not log_of(path).exists()
    assert 10 == len(await keys(path))


async def test_full_disk_while_the_log_is_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal goes on with the log that it has."""

    def fail(*_: object) -> None:
        """Fail."""
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(_sqlite, "MAX_LOG_CHANGES", 1)
    monkeypatch.setattr(_sqlite, "checkpoint", fail)
    async with SqliteJournal(tmp_path / "runs") as journal:
        steps = (journal.intend(f"k{number}", "ada", b"{}") for number in range(9))
        await asyncio.gather(*steps)

    assert 9 == len(await keys(tmp_path / "runs"))


def test_header_of_a_log(tmp_path: Path) -> None:
    """A file that is too short or begins otherwise is not a log."""
    path = tmp_path / "runs"
    for content in (b"", b"7" * 31, struct.pack(">8I", *range(8))):
        log_of(path).write_bytes(content)

        assert (None, len(content)) == log_facts(path)
