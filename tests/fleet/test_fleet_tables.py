"""The tables of a fleet: they are made once, and an outage is waited out."""

from __future__ import annotations

import asyncio
import stat
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from postgres_server import PostgresServer

from linkedapi_async import JournalError
from linkedapi_async.fleet._contacts import SharedContactStore
from linkedapi_async.fleet._tables import SCHEMA, Execute, Tables


pytestmark = pytest.mark.anyio


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "postgres":
        found: str = request.getfixturevalue("database")
        return found
    return f"sqlite:///{tmp_path / 'work.sqlite3'}"


def count(execute: Execute) -> int:
    """Return how many durations there are."""
    found = execute("SELECT count(*) FROM durations", {}).scalar()
    return int(found)


def add(kind: int) -> Any:
    """Return a step that adds a duration."""

    def step(execute: Execute) -> None:
        statement = "INSERT INTO durations VALUES (:kind, 0.0, 1.0, 1.0, 1.0)"
        execute(statement, {"kind": kind})

    return step


async def test_several_users_at_once(url: str) -> None:
    """Many may be the first ones, and each sees what the others have committed."""
    several = [Tables(url) for _ in range(3)]
    await asyncio.gather(*(each.open() for each in several))
    await asyncio.gather(*(each.do(add(n), lock="a") for n, each in enumerate(several)))
    found = [await each.do(count, lock="a") for each in several]
    for each in several:
        await each.aclose()

    assert [3, 3, 3] == found


async def test_the_last_user_closes(url: str) -> None:
    """Tables stay open until the last of their users closes them."""
    tables = Tables(url)
    await tables.open()
    await tables.open()
    await tables.aclose()

    assert 0 == await tables.do(count, lock="a")
    await tables.aclose()
    with pytest.raises(JournalError, match=r"^the tables of pace .*\) are not open"):
        await tables.do(count, lock="a")


async def test_a_step_that_fails_changes_nothing(url: str) -> None:
    """What it has done before is taken back, and its error is raised as it is."""

    def step(execute: Execute) -> None:
        """Add a row, and fail."""
        add(1)(execute)
        raise KeyError("mine")

    tables = Tables(url)
    await tables.open()
    with pytest.raises(KeyError, match="mine"):
        await tables.do(step, lock="a")
    found = await tables.do(count, lock="a")
    await tables.aclose()

    assert 0 == found


async def test_wrong_statements_show_no_values(url: str) -> None:
    """The error of a statement names the reason, and not what it was about."""
    tables = Tables(url)
    await tables.open()
    with pytest.raises(JournalError, match="cannot be used: ") as caught:
        await tables.do(
            lambda execute: execute("SELECT :name FROM nothing", {"name": "Ada"}),
            lock="a",
        )
    await tables.aclose()

    assert "nothing" in str(caught.value)
    assert "Ada" not in str(caught.value)


async def test_text_that_the_database_does_not_take(database: str) -> None:
    """A name that PostgreSQL cannot store is an error, and no crash."""
    tables = Tables(database)
    await tables.open()
    for name in ("a\0b", "a\ud800b"):
        with pytest.raises(JournalError, match="cannot be used: "):
            await tables.do(count, lock=name)
    await tables.aclose()


@pytest.mark.parametrize(
    "url",
    [
        "mysql://host/database",
        "sqlite://",
        "sqlite:///:memory:",
        "secret",
        "postgres//u:secret@host",
    ],
)
def test_wrong_urls(url: str) -> None:
    """Another URL is an error that does not show it, because it may have a password."""
    with pytest.raises(ValueError, match="must be sqlite:") as caught:
        Tables(url)

    assert "secret" not in str(caught.value)


def test_the_password_is_not_shown() -> None:
    """The representation has the host and the database alone."""
    shown = repr(Tables("postgres://user:secret@host:5433/work"))

    assert "<Tables in host/work>" == shown


async def test_a_file_is_private(tmp_path: Path) -> None:
    """Only its owner can read a file."""
    path = tmp_path / "work.sqlite3"
    tables = Tables(f"sqlite:///{path}")
    await tables.open()
    await tables.aclose()

    if sys.platform != "win32":
        assert 0o600 == stat.S_IMODE(path.stat().st_mode)


async def test_the_tables_of_another_application(url: str) -> None:
    """A database that has something else is left as it is."""
    tables = Tables(url)
    await tables.open()
    statement = "ALTER TABLE campaigns RENAME TO things"
    await tables.do(lambda execute: execute(statement, {}), lock="a")
    await tables.aclose()

    with pytest.raises(JournalError, match="has the tables of another application; "):
        await tables.open()


async def test_another_version(url: str) -> None:
    """Tables of another version are not used."""
    tables = Tables(url)
    await tables.open()
    statement = "UPDATE campaigns SET version = 7"
    await tables.do(lambda execute: execute(statement, {}), lock="a")
    await tables.aclose()

    with pytest.raises(JournalError, match=r"have version 7, .* uses version 1"):
        await tables.open()


async def test_a_schema_that_exists_is_used(database: str) -> None:
    """Who may not create a schema gets an empty one, and that is enough."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {SCHEMA}")
    tables = Tables(database)
    await tables.open()
    found = await tables.do(count, lock="a")
    await tables.aclose()

    assert 0 == found


async def test_a_lost_connection_is_made_again(
    postgres: PostgresServer, database: str
) -> None:
    """A step whose connection was lost runs again."""
    tables = Tables(database)
    await tables.open()
    await tables.do(add(1), lock="a")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
    found = await tables.do(count, lock="a")
    postgres.stop(crash=True)
    step = asyncio.create_task(tables.do(count, lock="a"))
    await asyncio.sleep(0)
    postgres.start()
    after_crash = await step
    await tables.aclose()

    assert (1, 1) == (found, after_crash)


async def test_a_server_that_is_away(postgres: PostgresServer, database: str) -> None:
    """Neither opening nor closing waits for it, and a step does not wait for ever."""
    tables, impatient = Tables(database), Tables(database, retry_seconds=0)
    for each in (tables, impatient):
        await each.open()
    postgres.stop()
    try:
        with pytest.raises(JournalError, match="cannot be used: "):
            await impatient.do(count, lock="a")
        step = asyncio.create_task(tables.do(count, lock="a"))
        await asyncio.sleep(0)
        await tables.aclose()
        with pytest.raises(JournalError, match="cannot be used: "):
            await step
        with pytest.raises(JournalError, match="cannot be used: "):
            await tables.open()
        await impatient.aclose()
    finally:
        postgres.start()


async def test_a_store_without_its_database(tmp_path: Path) -> None:
    """A store that cannot be opened is closed, and says so."""
    store = SharedContactStore(Tables(f"sqlite:///{tmp_path / 'missing' / 'file'}"))
    with pytest.raises(JournalError, match="cannot be used: "):
        await store.open()
    with pytest.raises(JournalError, match="the contacts are not open; enter"):
        await store.keep(b"1")
    await store.aclose()
