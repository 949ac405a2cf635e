"""What a queue finds in the place of the tables of DBOS."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from linkedapi_async import QueueError, st
from linkedapi_async.fleet import Queue, _dbos_client
from linkedapi_async.fleet._connection import validate_database_url
from linkedapi_async.fleet._database import Database
from linkedapi_async.fleet._dbos_client import MIGRATION, TABLES, newest_migration


pytestmark = pytest.mark.anyio

READ = st.open_person_page("https://www.linkedin.com/in/ada", basic_info=True)


def change(url: str, *statements: str) -> None:
    """Run statements in a database, with ``{dbos}`` for the place of the tables."""
    engine = sa.create_engine(validate_database_url(url))
    place = "" if engine.dialect.name == "sqlite" else f"{_dbos_client.SCHEMA}."
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement.format(dbos=place))
    engine.dispose()


def tables(url: str) -> set[tuple[str | None, str]]:
    """Return the names of all tables, with their schemas."""
    engine = sa.create_engine(validate_database_url(url))
    known = sa.inspect(engine)
    schemas = [None] if engine.dialect.name == "sqlite" else known.get_schema_names()
    found = {
        (schema, name)
        for schema in schemas
        if schema != "information_schema"
        for name in known.get_table_names(schema)
    }
    engine.dispose()
    return found


async def refusal(url: str) -> str:
    """Open a queue; return what is wrong with its database, which is not changed."""
    before = tables(url)
    with pytest.raises(QueueError) as seen:
        async with Queue(url):
            pass
    assert before == tables(url)
    return str(seen.value)


def test_the_tables_of_the_installed_dbos(tmp_path: Path) -> None:
    """The list of tables is that of the oldest version that is allowed."""
    database = Database(f"sqlite:///{tmp_path / 'work'}")
    _dbos_client.migrate(database)
    found = set(sa.inspect(database.engine).get_table_names())
    database.engine.dispose()

    assert found >= TABLES
    assert newest_migration() >= MIGRATION


def newer(url: str) -> str:
    """Make the tables of DBOS newer than the installed one; return what is said then."""
    change(url, "UPDATE {dbos}dbos_migrations SET version = 900")
    return (
        f"{Database(url).where}: the tables of DBOS have version 900, and the DBOS of "
        f"this program knows version {newest_migration()} at most; use the same version "
        "of DBOS on all hosts"
    )


async def test_tables_of_a_newer_dbos_are_refused(queue_url: str) -> None:
    """The error says which version was found and which is known."""
    async with Queue(queue_url):
        pass

    assert newer(queue_url) == await refusal(queue_url)


async def test_a_queue_is_not_added_to_tables_of_a_newer_dbos(database: str) -> None:
    """Nothing is written beside them."""
    _dbos_client.migrate(Database(database))

    assert newer(database) == await refusal(database)


async def test_newer_tables_that_the_installed_dbos_knows_are_used(
    queue_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later release of DBOS that is allowed makes newer tables than the oldest one."""
    monkeypatch.setattr(_dbos_client, "MIGRATION", MIGRATION - 1)
    for _ in range(2):
        async with Queue(queue_url) as queue:
            await queue.submit("lane", READ, key="a")


@pytest.mark.parametrize(
    "statements",
    [
        ("CREATE TABLE {dbos}invoices (id int)",),
        (
            "CREATE TABLE {dbos}invoices (id int)",
            "CREATE TABLE {dbos}dbos_migrations (at text)",
        ),
        (
            "CREATE TABLE {dbos}invoices (id int)",
            "CREATE TABLE {dbos}dbos_migrations (version text)",
            "INSERT INTO {dbos}dbos_migrations VALUES ('first')",
        ),
    ],
)
async def test_foreign_tables_in_the_place_of_those_of_dbos(
    database: str, statements: tuple[str, ...]
) -> None:
    """A schema of something else is left as it is, whatever its tables are called."""
    change(database, f"CREATE SCHEMA {_dbos_client.SCHEMA}", *statements)

    assert (
        f"{Database(database).where}: the schema linkedapi_dbos has the tables of another "
        "application; use a database of its own for the queue"
    ) == await refusal(database)


async def test_a_queue_without_the_tables_of_dbos(queue_url: str) -> None:
    """Empty tables in their place would lose what is queued, so that is an error."""
    async with Queue(queue_url) as queue:
        await queue.submit("lane", READ, key="a")
    if queue_url.startswith("sqlite"):
        change(queue_url, *(f"DROP TABLE {name}" for name in sorted(TABLES)))
    else:
        change(queue_url, f"DROP SCHEMA {_dbos_client.SCHEMA} CASCADE")

    assert (
        f"{Database(queue_url).where}: the queue lacks the tables "
        f"{', '.join(sorted(TABLES))}; restore it from a backup"
    ) == await refusal(queue_url)


async def test_a_queue_that_was_never_opened_to_its_end(queue_url: str) -> None:
    """Without items nothing can be lost, so what is missing is created."""
    database = Database(queue_url)
    await database.open()
    await database.close()
    if "postgres" in queue_url:
        change(
            queue_url,
            f"CREATE SCHEMA {_dbos_client.SCHEMA}",
            "CREATE TABLE {dbos}dbos_migrations (version bigint PRIMARY KEY)",
        )
    async with Queue(queue_url) as queue:
        assert await queue.submit("lane", READ, key="a")


async def test_a_queue_that_lacks_a_table_of_dbos(queue_url: str) -> None:
    """One that was damaged is refused, because DBOS would not create the table again."""
    async with Queue(queue_url):
        pass
    change(queue_url, "DROP TABLE {dbos}queues")

    assert (
        f"{Database(queue_url).where}: the queue lacks the tables queues; restore it "
        "from a backup"
    ) == await refusal(queue_url)
