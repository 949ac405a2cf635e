"""The use of DBOS: for the order of lanes, the choice of workers, and retention.

DBOS calls the durable function again after a crash. It never decides whether something
is sent: `linkedapi_async.fleet._starts` does.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import tempfile
from collections.abc import Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer

from linkedapi_async.errors import QueueError
from linkedapi_async.fleet._connection import SQLITE_ARGUMENTS
from linkedapi_async.fleet._database import Database


QUEUE: Final = "linkedapi"

FUNCTION: Final = "linkedapi.item"
"""The name of the durable function in the database."""

VERSION: Final = "linkedapi-1"
"""Claims are filtered by it, so it changes only with the durable function."""

SCHEMA: Final = "linkedapi_dbos"

APPLICATION: Final = "linkedapi"

MIGRATION: Final = 125
"""The schema version that the oldest supported DBOS creates."""

TABLES: Final = frozenset(
    {
        "application_versions",
        "dbos_migrations",
        "notifications",
        "operation_outputs",
        "queues",
        "streams",
        "workflow_events",
        "workflow_events_history",
        "workflow_input",
        "workflow_output",
        "workflow_schedules",
        "workflow_status",
    }
)
"""The tables of DBOS."""

_MIGRATIONS: Final = "dbos_migrations"

RUNS: Final = "PENDING"
"""DBOS's name for the state of an item that a worker has."""

ACTIVE: Final = ("ENQUEUED", RUNS, "DELAYED")

MAX_CHUNK: Final = 1_000
"""The maximum number of items in one statement."""

_NO_CONSOLE: Final = logging.NullHandler()

FIRST: Final = 1
"""The number of the first item of a lane."""

WAKE_TRIES: Final = 50
"""How many times to check whether an execution has ended."""

WAKE_INTERVAL: Final = 0.1
"""The time between two checks, in seconds."""


def url_of(database: Database) -> str:
    """Return the URL of a database, with its password, as DBOS takes it."""
    return database.url.render_as_string(hide_password=False)


def check(database: Database, connection: sa.Connection, has_items: bool) -> None:
    """Check the tables of DBOS, and whether they belong to it.

    DBOS itself would use newer tables as if they were its own.

    Args:
        database: The queue's.
        connection: The connection to it.
        has_items: Whether the queue has any items.

    Raises:
        QueueError: They are newer than this program, incomplete, or of another
            application.
    """
    found = database.tables_in(connection, SCHEMA)
    version = database.version_in(connection, SCHEMA, _MIGRATIONS) or 0
    # If there are no items, another process may just be creating the tables.
    if version == MIGRATION or (not version and has_items):
        database.check_complete(connection, SCHEMA, TABLES)
    if not (version or database.is_sqlite) and found - {_MIGRATIONS}:
        raise database.foreign(SCHEMA)
    if version > MIGRATION and version > (newest := newest_migration()):
        raise QueueError(
            f"{database.where}: the tables of DBOS have version {version}, and the DBOS "
            f"of this program knows version {newest} at most; use the same version of "
            "DBOS on all hosts"
        )


@functools.cache
def newest_migration() -> int:
    """Return the version of the tables that the installed DBOS makes.

    DBOS does not report that version, so its tables are made in a temporary file.
    """
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/tables")
        migrate(database)
        with database.engine.connect() as connection:
            version = database.version_in(connection, SCHEMA, _MIGRATIONS)
        database.engine.dispose()
    return version or 0


def migrate(database: Database) -> None:
    """Create the tables of DBOS, or bring them up to date."""
    log = logging.getLogger("dbos")
    log.setLevel(logging.WARNING)
    # With a handler of its own, DBOS would keep using this standard error, and its log
    # records would not reach the program's handlers.
    log.addHandler(_NO_CONSOLE)
    DBOS.migrate(url_of(database), schema=SCHEMA)


def configuration(database: Database, executor: str) -> DBOSConfig:
    """Return the configuration of DBOS in a worker.

    Args:
        database: The queue's.
        executor: The name of the worker in the database.
    """
    # A copy, because DBOS adds to it.
    arguments = {"connect_args": {**SQLITE_ARGUMENTS}}
    return {
        "name": APPLICATION,
        "system_database_url": url_of(database),
        "db_engine_kwargs": arguments if database.is_sqlite else None,
        "dbos_system_schema": SCHEMA,
        "serializer": DBOSPortableJSONSerializer(),
        "executor_id": executor,
        "application_version": VERSION,
        "max_executor_threads": 16,
        "sys_db_pool_size": 6,
        "log_level": "WARNING",
        # Nothing here uses its messages, and a pooler in the mode *transaction* has
        # none.
        "use_listen_notify": False,
    }


class LanePosition(NamedTuple):
    """The position of an item in its lane."""

    key: str
    account: str
    number: int
    """All times in one transaction are equal, so they give no order."""


_CONSTANT: Final = {
    "function": FUNCTION,
    "queue": QUEUE,
    "version": VERSION,
    "application": APPLICATION,
}

_ENQUEUE: Final = sa.text(f"""
    SELECT {SCHEMA}.enqueue_workflow(
        workflow_name => :function,
        queue_name => :queue,
        positional_args => ARRAY[to_json(account)],
        workflow_id => key,
        app_version => :version,
        priority => number,
        queue_partition_key => account,
        application_name => :application
    )
    FROM unnest(CAST(:keys AS text[]), CAST(:accounts AS text[]), CAST(:numbers AS int[]))
        AS new(key, account, number)
""")  # noqa: S608  # the schema is a constant
"""The function of DBOS in PostgreSQL for programs without its client."""


class DbosClient:
    """The client of DBOS: it queues, requeues, wakes and removes items.

    All calls except `wake` block; they are for the thread of the database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._client = DBOSClient(
            system_database_engine=database.engine,
            dbos_system_schema=SCHEMA,
            serializer=DBOSPortableJSONSerializer(),
            application_name=APPLICATION,
            lazy=True,
            retry_connection_errors=False,
        )

    def close(self) -> None:
        """Close the connections of the client."""
        self._client.destroy()

    def register(self, lanes: int, interval: float) -> None:
        """Set how many lanes a worker has, and how often it looks for items."""
        self._client.register_queue(
            QUEUE,
            partition_concurrency=1,
            worker_concurrency=lanes,
            polling_interval_sec=interval,
            application_name=APPLICATION,
        )

    def enqueue(
        self, connection: sa.Connection, positions: Sequence[LanePosition]
    ) -> None:
        """Put items at the ends of their lanes, within a transaction."""
        if self._database.is_sqlite:
            for position in positions:
                self._enqueue(connection, position)
        else:
            # One round trip for all, because one for each item costs six times as much.
            columns = [list(column) for column in zip(*positions, strict=True)]
            values = dict(zip(("keys", "accounts", "numbers"), columns, strict=True))
            connection.execute(_ENQUEUE, {**_CONSTANT, **values})

    def _enqueue(self, connection: sa.Connection, position: LanePosition) -> None:
        self._client.enqueue_in_transaction(
            connection,
            {
                "workflow_name": FUNCTION,
                "queue_name": QUEUE,
                "workflow_id": position.key,
                "queue_partition_key": position.account,
                "priority": position.number,
                "app_version": VERSION,
                "application_name": APPLICATION,
            },
            position.account,
        )

    def status(self, key: str) -> str | None:
        """Return the state of an item, as DBOS spells it; None if it is missing."""
        found = self._client.list_workflows(
            workflow_ids=[key], load_input=False, load_output=False
        )
        return found[0].status if found else None

    def cancel(self, key: str) -> None:
        """Take an item out of its lane."""
        self._client.cancel_workflow(key)

    async def wake(self, key: str, account: str) -> bool:
        """Put an item that has ended for DBOS back into its place in its lane.

        An execution that has just released the item may not have ended yet, so this
        waits.

        Returns:
            Whether that was done; False if the execution did not end in that time.
        """
        for _ in range(WAKE_TRIES):
            if await self._database.call(lambda: self.wake_ended(key, account)):
                return True
            await asyncio.sleep(WAKE_INTERVAL)
        return False

    def wake_ended(self, key: str, account: str) -> bool:
        """Do the same, if the execution has ended; return whether it has."""
        status = self.status(key)
        if status is None:
            # The item was removed while its key was freed.
            with self._database.engine.begin() as connection:
                self.enqueue(connection, [LanePosition(key, account, FIRST)])
        elif status in ACTIVE:
            return status != RUNS
        else:
            self._client.rewind_workflow(
                key, queue_name=QUEUE, queue_partition_key=account
            )
        return True

    def requeue(self, executor: str, limit: int | None = None) -> int:
        """Put the items of a worker back into their lanes; return how many.

        Args:
            executor: The name of the worker in the database.
            limit: The maximum number; None means all.
        """
        found = self._client.list_workflows(
            executor_id=executor,
            status=RUNS,
            limit=limit,
            load_input=False,
            load_output=False,
        )
        keys = [each.workflow_id for each in found]
        for chunk in chunks(keys):
            self._client.resume_workflows(chunk, queue_name=QUEUE)
        return len(keys)

    def remove(self, keys: Sequence[str]) -> None:
        """Remove items that have ended."""
        for chunk in chunks(keys):
            self._client.delete_workflows(chunk)


def chunks(keys: Sequence[str]) -> list[list[str]]:
    """Return *keys* in lists that one statement can take."""
    return [
        [*keys[start : start + MAX_CHUNK]] for start in range(0, len(keys), MAX_CHUNK)
    ]
