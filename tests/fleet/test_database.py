"""The database of a queue: what it is, outages, and steps that fail."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import stat
import sys
import time
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from postgres_server import PostgresServer
from sqlalchemy import event

from linkedapi_async import QueueError, Session
from linkedapi_async.fleet import Queue, Worker, _database
from linkedapi_async.fleet._connection import switch_to_wal
from linkedapi_async.fleet._database import Database, RuleError
from linkedapi_async.fleet._schema import about, lanes, results


pytestmark = pytest.mark.anyio


async def prepared(url: str) -> None:
    """Open a database once."""
    database = Database(url)
    try:
        await database.open()
    finally:
        await database.close()


def count(connection: sa.Connection) -> int:
    """Return how many lanes there are."""
    found: int = connection.execute(
        sa.select(sa.func.count()).select_from(lanes)
    ).scalar_one()
    return found


async def token(_: str) -> str:
    """Return no token, because nothing is sent."""
    raise NotImplementedError


def add(account: str) -> _database.Statement[None]:
    """Return a step that adds a lane."""

    def step(connection: sa.Connection) -> None:
        connection.execute(sa.insert(lanes).values(account=account, last=1))

    return step


@pytest.mark.parametrize(
    "url",
    ["", "mysql://user:secret@host/x", "sqlite://", "sqlite:///:memory:", "secret"],
)
def test_only_two_kinds_of_databases(url: str) -> None:
    """Other URLs are refused, without the password in the message."""
    with pytest.raises(
        ValueError, match="must be sqlite:///path or postgresql"
    ) as seen:
        Database(url)

    assert "secret" not in str(seen.value)


async def test_another_version_is_refused(queue_url: str) -> None:
    """Tables of another version are not used."""
    database = Database(queue_url)
    await database.open()
    await database.do(lambda found: found.execute(sa.update(about).values(version=7)))
    await database.close()
    with pytest.raises(QueueError, match="have version 7, and this program needs"):
        await prepared(queue_url)


@pytest.mark.parametrize(
    "tables",
    [
        ["invoices (id)"],
        ["items (id)", "about (text)"],
        ["items (id)", "about (version)"],
    ],
)
async def test_the_file_of_another_application_is_refused(
    tmp_path: Path, tables: list[str]
) -> None:
    """A file with other tables is left as it is, whatever they are called."""
    path = tmp_path / "other.sqlite3"
    with sqlite3.connect(path) as connection:
        for table in tables:
            connection.execute(f"CREATE TABLE {table}")
    connection.close()
    with pytest.raises(QueueError, match=r"other.sqlite3: the file has the tables of"):
        await prepared(f"sqlite:///{path}")
    with sqlite3.connect(path) as connection:
        left = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    connection.close()

    assert (len(tables),) == left


async def test_a_queue_that_lacks_tables_is_refused(queue_url: str) -> None:
    """One that was damaged is not taken for a new one."""
    await prepared(queue_url)
    database = Database(queue_url)
    await database.open()
    await database.do(results.drop)
    await database.close()
    with pytest.raises(QueueError, match="the queue lacks the tables results; restore"):
        await prepared(queue_url)


async def test_the_schema_of_another_application_is_refused(database: str) -> None:
    """So is a schema."""
    with psycopg.connect(database) as connection:
        connection.execute("CREATE SCHEMA linkedapi")
        connection.execute("CREATE TABLE linkedapi.invoices (id int)")
    with pytest.raises(QueueError, match="the schema linkedapi has the tables of"):
        await prepared(database)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no/work.sqlite3", "unable to open database file"),
        ("folder", "unable to open database file"),
        ("text", "file is not a database"),
    ],
)
async def test_files_that_are_no_database(
    tmp_path: Path, name: str, reason: str
) -> None:
    """The error says which file it is."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("no database " * 100)
    path = tmp_path / name
    with pytest.raises(QueueError, match=f"{name}, cannot be used: .*: {reason}"):
        await prepared(f"sqlite:///{path}")

    assert "no database " * 100 == (tmp_path / "text").read_text()


async def test_a_file_is_created_when_it_is_opened(tmp_path: Path) -> None:
    """A URL alone makes no file; only its owner can read what opening it creates."""
    path = tmp_path / "work.sqlite3"
    queue = Queue(f"sqlite:///{path}")
    Worker(f"sqlite:///{path}", session=Session.from_env, token=token)
    early = [*tmp_path.iterdir()]
    async with queue:
        pass

    assert [] == early
    assert path.exists()
    if sys.platform != "win32":
        assert 0o600 == stat.S_IMODE(path.stat().st_mode)


async def test_an_old_sqlite_has_the_time_that_dbos_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From Python 3.12 on, DBOS needs a function that came with SQLite 3.42."""
    database = Database(f"sqlite:///{tmp_path}/work.sqlite3")
    await database.open()
    ask = sa.text("SELECT unixepoch('subsec')")
    try:
        with database.engine.connect() as connection:
            with monkeypatch.context() as patched:
                patched.setattr(time, "time", lambda: 1_000.25)
                found = connection.execute(ask).scalar_one()
    finally:
        await database.close()

    assert 1_000.25 == found


async def test_a_new_file_is_opened_while_another_process_writes_to_it(
    tmp_path: Path,
) -> None:
    """Two programs may create one queue at the same time: the later one waits."""
    path = tmp_path / "work.sqlite3"
    database = Database(f"sqlite:///{path}")
    with contextlib.closing(
        sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    ) as other:
        other.execute("BEGIN IMMEDIATE")

        def release(statement: str) -> None:
            if statement == "BEGIN IMMEDIATE" and other.in_transaction:
                other.execute("COMMIT")

        @event.listens_for(database.engine, "connect", insert=True)
        def _(connection: sqlite3.Connection, _: object) -> None:
            connection.set_trace_callback(release)

        try:
            await database.open()
            added = await database.do(count)
        finally:
            await database.close()

    assert 0 == added


async def test_a_file_that_stays_locked_is_an_error(tmp_path: Path) -> None:
    """A process that does not end its transaction is not waited for without end."""
    path = tmp_path / "work.sqlite3"
    with (
        contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other,
        contextlib.closing(sqlite3.connect(path, timeout=0)) as connection,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            switch_to_wal(connection, timeout=0)


async def test_no_database(tmp_path: Path) -> None:
    """What cannot be reached is an error without the password."""
    url = f"postgresql://me:secret@/x?host={tmp_path}"
    with pytest.raises(
        QueueError, match=", /x, cannot be used: OperationalErr"
    ) as seen:
        await prepared(url)

    assert "secret" not in str(seen.value)


async def test_steps_that_wait_share_a_transaction(queue_url: str) -> None:
    """Many waiters cost few commits, and a wrong step fails alone."""
    database = Database(queue_url)
    await database.open()
    ends = await asyncio.gather(
        *(database.do(add(f"lane-{number % 9}")) for number in range(10)),
        return_exceptions=True,
    )
    commits = database.commits
    await asyncio.gather(*(database.do(count) for _ in range(100)))
    added = await database.do(count)
    await database.close()

    assert [RuleError] == [type(end) for end in ends if end is not None]
    assert 9 == added
    assert 3 >= database.commits - commits


async def test_a_cancelled_caller_stops_no_other(tmp_path: Path) -> None:
    """The step of a cancelled caller is done, and nothing waits for it."""
    database = Database(f"sqlite:///{tmp_path / 'work.sqlite3'}")
    await database.open()
    first = asyncio.create_task(database.do(add("a")))
    second = asyncio.create_task(database.do(add("b")))
    await asyncio.sleep(0)
    first.cancel()
    await second
    added = await database.do(count)
    await database.close()

    assert first.cancelled()
    assert 2 == added


async def test_an_outage_is_waited_out(
    postgres: PostgresServer,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Where it is wanted, a step waits until the database is back; else it fails."""
    caplog.set_level("INFO", "linkedapi_async")
    monkeypatch.setattr(_database, "DELAYS", (0.01, 0.05))
    retrying, strict = Database(database, retry_outages=True), Database(database)
    for each in (retrying, strict):
        await each.open()
    postgres.stop(crash=True)
    try:
        waiting = asyncio.create_task(retrying.do(add("a")))
        with pytest.raises(QueueError, match="cannot be used"):
            await strict.do(count)
        await asyncio.sleep(0.1)
        early = waiting.done()
    finally:
        postgres.start()
    await waiting
    added = await strict.do(count)
    for each in (retrying, strict):
        await each.close()

    lost, *_, back = [r for r in caplog.records if r.name == "linkedapi_async"]

    assert not early
    assert 1 == added
    assert ("WARNING", 1, 0.01, "OperationalError") == (
        lost.levelname,
        vars(lost)["linkedapi_attempt"],
        vars(lost)["linkedapi_seconds"],
        vars(lost)["linkedapi_reason"],
    )
    assert "The database of the queue is reachable again, after " in back.getMessage()
    assert ("INFO", True) == (back.levelname, vars(back)["linkedapi_seconds"] > 0.05)
