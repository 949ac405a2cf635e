"""The tables of a queue, and the parts of SQL in which its two databases differ."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite


SCHEMA: Final = "linkedapi"
"""The schema with the tables of this library in PostgreSQL."""

VERSION: Final = 2
"""The version of the tables below."""

_LOCK: Final = 5_247_231
"""The first of three advisory locks: of the tables, of results, and of events."""

_BIG: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""A large integer; in SQLite it must have another name."""

metadata = sa.MetaData(schema=SCHEMA)

about = sa.Table("about", metadata, sa.Column("version", sa.Integer, nullable=False))

lanes = sa.Table(
    "lanes",
    metadata,
    sa.Column("account", sa.Text, primary_key=True),
    sa.Column("last", sa.Integer, nullable=False),
    sa.Column("account_id", sa.Text, index=True),
)
"""The number of the last item of each lane: the order of a lane is that of its numbers.

The API's id of the account is known after an event of a workflow of the lane.
"""

items = sa.Table(
    "items",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("account", sa.Text, nullable=False),
    sa.Column("definition", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("execution", sa.Text),
    # Two starts cannot have one workflow, even if a proxy replays an answer.
    sa.Column("workflow_id", sa.Text, unique=True),
    sa.Column("candidates", sa.JSON(none_as_null=True)),
    sa.Column("cancel", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("trace", sa.JSON(none_as_null=True)),
    # If it was sent, it was sent between these two times.
    sa.Column("intended_at", sa.Float),
    sa.Column("unknown_at", sa.Float),
    # No worker sends it earlier, because its account has reached a limit.
    sa.Column("not_before", sa.Float),
    # The time since which it is to run again, and DBOS does not know that yet.
    sa.Column("wake_at", sa.Float),
)
"""The items that were submitted, with the states of their starts."""

results = sa.Table(
    "results",
    metadata,
    sa.Column("number", _BIG, primary_key=True, autoincrement=True),
    sa.Column("key", sa.Text, nullable=False, unique=True),
    sa.Column("account", sa.Text, nullable=False),
    sa.Column("workflow_id", sa.Text),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("body", sa.Text),
    sa.Column("error", sa.Text),
    sa.Column("wrote", sa.Boolean, nullable=False),
    sa.Column("ended_at", sa.Float, nullable=False),
    sqlite_autoincrement=True,
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("number", _BIG, primary_key=True, autoincrement=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("workflow_id", sa.Text, index=True),
    sa.Column("account_id", sa.Text),
    sa.Column("created_at", sa.Float),
    sa.Column("body", sa.LargeBinary),
    sa.Column("received_at", sa.Float, nullable=False, index=True),
    sqlite_autoincrement=True,
)
"""The webhook events that were received, each once: the digests of their ids.

Workers read those with a body: of a workflow, or, without its id, of an account. Those
of a workflow's creation have its time.
"""

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("executor", sa.Text, primary_key=True),
    sa.Column("beat", sa.Float, nullable=False),
    sa.Column("ttl", sa.Float, nullable=False),
    sa.Column("successor", sa.Text),
    sa.Column("succeeded_at", sa.Float),
)
"""The workers: when each was alive, and which one replaces a dead one."""


def _partial_index(
    name: str, where: sa.ColumnElement[bool], *columns: sa.Column[Any]
) -> None:
    """Add an index of the rows for which *where* is true."""
    sa.Index(name, *columns, postgresql_where=where, sqlite_where=where)


_partial_index(
    "events_created",
    events.c.created_at.is_not(None),
    events.c.account_id,
    events.c.created_at,
)
_partial_index("items_unknown", items.c.state == "unknown", items.c.key)
_partial_index("items_to_cancel", items.c.cancel, items.c.key)
_partial_index("items_to_wake", items.c.wake_at.is_not(None), items.c.wake_at)
_partial_index("results_failed", results.c.error.is_not(None), results.c.number)


def insert(connection: sa.Connection, table: sa.Table) -> Any:
    """Return an INSERT for *table* that can handle a conflict."""
    is_sqlite = connection.dialect.name == "sqlite"
    return sqlite.insert(table) if is_sqlite else postgresql.insert(table)


def serialize_creation(connection: sa.Connection) -> None:
    """Prevent other processes from creating or checking the tables in the meantime."""
    _serialize(connection, _LOCK)


def number_results(connection: sa.Connection) -> None:
    """Make the numbers of results follow the order of their commits.

    Otherwise a result that is committed late could have a number that readers have
    passed.
    """
    _serialize(connection, _LOCK + 1)


def number_events(connection: sa.Connection) -> None:
    """Make the numbers of events follow the order of their commits, too."""
    _serialize(connection, _LOCK + 2)


def _serialize(connection: sa.Connection, lock: int) -> None:
    if connection.dialect.name != "sqlite":  # there the whole file is locked
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(lock)))


def now(connection: sa.Connection) -> sa.ColumnElement[Any]:
    """Return the time by the clock of the database, in seconds since 1970.

    The clocks of hosts may differ. SQLite uses that of the host.
    """
    if connection.dialect.name == "sqlite":
        return (sa.func.julianday("now") - 2440587.5) * 86400.0
    return sa.extract("epoch", sa.func.clock_timestamp())
