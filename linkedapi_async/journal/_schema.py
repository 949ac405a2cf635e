"""The rows of a journal in SQLite: the schema, its versions, and every statement."""

from __future__ import annotations

import contextlib
import functools
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast

import attrs

from linkedapi_async._actions.acts import acts_by_digest
from linkedapi_async._utils.json import decode_json
from linkedapi_async.errors import About, JournalError
from linkedapi_async.journal._bookings import BookingRows
from linkedapi_async.journal._wal import check_log, log_facts, log_of


State: TypeAlias = Literal[
    "intended", "accepted", "unknown", "finished", "delivered", "deferred"
]
"""The state of a start.

- *intended*: about to be sent, or in progress.
- *accepted*: the server gave it an id.
- *unknown*: it may have been sent, and it is unknown whether the server accepted it.
- *finished*: the workflow has ended.
- *delivered*: the caller has seen the end.
- *deferred*: an item of a stream that has changed nothing and may be started later.
"""

EndStatus: TypeAlias = Literal["completed", "failed", "cancelled", "lost"]
"""How a workflow ended; *lost*: the API does not know it any more."""


def _split(ids: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return tuple(ids.split()) if isinstance(ids, str) else ids or ()


@attrs.frozen
class Row:
    """The record of one start."""

    key: str
    """The caller's key, or one that the session generated."""
    account: str
    """The ``name`` of the account, never its token."""
    state: State
    """Its state."""
    workflow_id: str | None
    """The id that the API gave it, once it was accepted."""
    definition: bytes = attrs.field(repr=False)
    """The workflow as JSON; empty once it is not needed any more."""
    end_status: EndStatus | None
    """How the workflow ended, if it did."""
    result: bytes | None = attrs.field(repr=False)
    """The completion or failure as JSON, if it was stored."""
    stream: bool = attrs.field(converter=bool)
    """Whether it is an item of a resumable stream: its key is never used again."""
    run_number: int
    """The number of the opening that wrote it first: 1 for the first opening."""
    created: float
    """When the intent was written, in seconds since 1970."""
    updated: float
    """When the last change was written, in seconds since 1970."""
    candidates: tuple[str, ...] = attrs.field(default=(), converter=_split)
    """The ids of workflows that, by webhook events, it may have created if unknown."""
    error: str | None = None
    """The API's type of the first error: of the workflow, or of one of its actions."""
    about: About | None = None
    """What that error concerns, as `errors.verdict_of` returns it."""
    wrote: bool | None = attrs.field(
        default=None, converter=attrs.converters.optional(bool)
    )
    """Whether it may have changed something before it failed.

    None if it did not fail, or if that is unknown.
    """
    until: float | None = None
    """When a deferred item may be started, in seconds since 1970; None if unknown."""
    bound: bool = attrs.field(default=False, converter=bool)
    """Whether a deferred item is started on no account but `account`."""

    @property
    def failed(self) -> bool:
        """Whether it has ended, but failed, was cancelled or lost, or an action failed."""
        if self.state == "deferred":
            return False
        return self.error is not None or self.end_status not in {None, "completed"}


# The sources of values that are not in the column of the same name.
_SUBQUERIES: Final[dict[str, str]] = {
    "result": "(SELECT result FROM results WHERE results.n = workflows.n)",
    "candidates": (
        "(SELECT group_concat(candidates.workflow_id, ' ') FROM candidates "
        "WHERE candidates.n = workflows.n)"
    ),
}

_COLUMNS: Final = ", ".join(
    _SUBQUERIES.get(name, name) for name in attrs.fields_dict(Row)
)

INSERT_INTENT: Final = (
    "INSERT INTO workflows (account, definition, stream, run_number, created, updated, "
    "key, state) VALUES (?, ?, ?, ?, ?, ?, ?, 'intended') "
    # A deferred item has changed nothing, so it may be started.
    "ON CONFLICT (key) DO UPDATE SET account = excluded.account, "
    "definition = excluded.definition, stream = excluded.stream, "
    "run_number = excluded.run_number, updated = excluded.updated, "
    "state = excluded.state, workflow_id = NULL, error = NULL, about = NULL, "
    "wrote = NULL, until = NULL, bound = NULL WHERE state = 'deferred'"
)

MARK_ACCEPTED: Final = (
    "UPDATE workflows SET state = 'accepted', workflow_id = ?, updated = ? "
    "WHERE state = 'intended' AND key = ?"
)

# The same two for many rows at once, which are elements of a JSON array.
_INSERT_INTENTS: Final = """
    INSERT INTO workflows
        (account, definition, stream, key, run_number, created, updated, state)
    SELECT json_extract(value, '$[0]'), CAST(json_extract(value, '$[1]') AS BLOB),
        json_extract(value, '$[2]'), json_extract(value, '$[3]'), ?, ?, ?, 'intended'
    FROM json_each(?)
"""
_MARK_ALL_ACCEPTED: Final = """
    UPDATE workflows
    SET state = 'accepted', workflow_id = json_extract(value, '$[0]'), updated = ?
    FROM json_each(?)
    WHERE state = 'intended' AND workflows.key = json_extract(value, '$[1]')
"""


@attrs.frozen
class Change:
    """A change of one row."""

    statement: str
    """Changes one row, or none."""
    values: Sequence[Any]
    """The parameters of the statement, the row's key last."""
    not_applied: Callable[[Statements, str], Exception]
    """Returns the error for a key of which no row was changed."""

    def __call__(self, statements: Statements) -> None:
        """Change the row."""
        if not statements.changes_row(self.statement, self.values):
            raise self.not_applied(statements, self.values[-1])


@functools.cache
def update_statement(*columns: str) -> str:
    """Return the statement that sets *columns* of the row with a state and a key."""
    new = ", ".join(f"{name} = ?" for name in columns)
    return f"UPDATE workflows SET {new} WHERE state = ? AND key = ?"  # noqa: S608  # own names


_APPLICATION_ID: Final = 0x4C41504A
"""The application id of a journal file: "LAPJ"."""

_MARK_INCOMPLETE: Final = (
    "UPDATE openings SET log_origin = ?, log_size = ?, complete = 0 "
    "WHERE run = (SELECT max(run) FROM openings)"
)
_MARK_COMPLETE: Final = (
    "UPDATE openings SET complete = 1 WHERE run = (SELECT max(run) FROM openings)"
)

_WAL_BYTES: Final = 2**20
"""The initial length of the write-ahead log, or a few bytes less."""

_ITEMS_AT_ONCE: Final = 65_536
"""How many delivered items one row of a query has."""

# Each entry leads from one version to the next. Released entries are never changed; new
# ones are appended.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE openings (run INTEGER PRIMARY KEY, opened REAL NOT NULL)",
        """
        CREATE TABLE workflows (
            n INTEGER PRIMARY KEY,
            key TEXT NOT NULL UNIQUE,
            account TEXT NOT NULL,
            state TEXT NOT NULL,
            workflow_id TEXT,
            how TEXT,
            stream INTEGER NOT NULL,
            run INTEGER NOT NULL,
            created REAL NOT NULL,
            updated REAL NOT NULL,
            definition BLOB NOT NULL
        )
        """,
        # There are no more indexes, because each makes every start a tenth slower and
        # saves only a scan at a resume. Results have a table of their own, because
        # otherwise each later step would write a large result again.
        "CREATE TABLE endings (n INTEGER PRIMARY KEY, ending BLOB NOT NULL)",
    ),
    (
        """
        CREATE TABLE candidates (
            n INTEGER NOT NULL,
            workflow_id TEXT NOT NULL,
            PRIMARY KEY (n, workflow_id)
        ) WITHOUT ROWID
        """,
        """
        CREATE TRIGGER decided AFTER UPDATE OF state ON workflows
        WHEN old.state = 'unknown'
        BEGIN DELETE FROM candidates WHERE n = old.n; END
        """,
        """
        CREATE TRIGGER discarded AFTER DELETE ON workflows
        WHEN old.state = 'unknown'
        BEGIN DELETE FROM candidates WHERE n = old.n; END
        """,
    ),
    (
        "UPDATE workflows SET state = 'accepted' WHERE state = 'taken'",
        "ALTER TABLE workflows RENAME COLUMN how TO end_status",
        "ALTER TABLE workflows RENAME COLUMN run TO run_number",
        "ALTER TABLE endings RENAME TO results",
        "ALTER TABLE results RENAME COLUMN ending TO result",
        # It costs a start nothing, because it contains only unknown rows.
        "CREATE INDEX unknown_starts ON workflows (account) WHERE state = 'unknown'",
        "ALTER TABLE openings ADD COLUMN log_origin INTEGER",
        "ALTER TABLE openings ADD COLUMN log_size INTEGER",
        "ALTER TABLE openings ADD COLUMN complete INTEGER",
    ),
    (
        "ALTER TABLE workflows ADD COLUMN error TEXT",
        "ALTER TABLE workflows ADD COLUMN about TEXT",
        "ALTER TABLE workflows ADD COLUMN wrote INTEGER",
    ),
    (
        "ALTER TABLE workflows ADD COLUMN until REAL",
        "ALTER TABLE workflows ADD COLUMN bound INTEGER",
        # It costs a start nothing, because it contains only deferred rows.
        "CREATE INDEX deferred_items ON workflows (account) WHERE state = 'deferred'",
    ),
    (
        """
        CREATE TABLE durations (
            n INTEGER PRIMARY KEY,
            kind INTEGER NOT NULL,
            weight REAL NOT NULL,
            mean REAL NOT NULL,
            variance REAL NOT NULL
        )
        """,
    ),
    (
        """
        CREATE TABLE bookings (
            n INTEGER PRIMARY KEY,
            key TEXT NOT NULL,
            account TEXT NOT NULL,
            at REAL NOT NULL,
            ended REAL,
            uses TEXT NOT NULL
        )
        """,
        "CREATE UNIQUE INDEX open_bookings ON bookings (key) WHERE ended IS NULL",
        "CREATE INDEX account_bookings ON bookings (account, ended)",
    ),
    (
        # How many acts a delivered row has in the table; NULL if they are not recorded.
        "ALTER TABLE workflows ADD COLUMN acts INTEGER",
        """
        CREATE TABLE acts (
            n INTEGER NOT NULL,
            act BLOB NOT NULL,
            PRIMARY KEY (n, act)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX rows_by_act ON acts (act)",
        """
        CREATE TRIGGER removed AFTER DELETE ON workflows
        WHEN old.acts > 0
        BEGIN DELETE FROM acts WHERE n = old.n; END
        """,
    ),
)

_SQLITE_MESSAGES: Final = {
    "SQLITE_CORRUPT": "is damaged",
    "SQLITE_NOTADB": "is damaged, or not a journal",
    "SQLITE_FULL": "cannot be written because the disk is full",
    "SQLITE_BUSY": "is locked by another program that writes to it",
    "SQLITE_READONLY": "cannot be written because it is read-only",
    "SQLITE_CANTOPEN": "cannot be opened",
}


def journal_error(path: object, error: Exception) -> JournalError:
    """Return the `JournalError` for *error*, with advice."""
    name = getattr(error, "sqlite_errorname", "")
    if isinstance(error, OSError):
        name = "SQLITE_CANTOPEN"
    if isinstance(error, UnicodeDecodeError):
        name = "SQLITE_CORRUPT"
    what = next(
        (text for code, text in _SQLITE_MESSAGES.items() if name.startswith(code)),
        "failed",
    )
    advice = "nothing of this was written"
    if "damaged" in what:
        advice = (
            "move it away together with its -wal and begin a new one; the platform's "
            "history shows what runs, and `sqlite3 FILE .recover` may save the rows"
        )
    found = JournalError(f"the journal {path} {what} ({error}); {advice}")
    found.__cause__ = error
    return found


def step_error(path: object, error: Exception) -> Exception:
    """Return *error* if a step raised it on purpose, otherwise a `JournalError`."""
    meant = isinstance(error, JournalError | ValueError)
    if meant and not isinstance(error, UnicodeError):
        return error
    return journal_error(path, error)


def connect(database: str, **options: Any) -> sqlite3.Connection:
    """Return a connection on which only this module begins transactions.

    Invalid bytes of damaged text are escaped, because an error would also withhold the
    other rows.
    """
    connection: sqlite3.Connection = sqlite3.connect(
        database, isolation_level=None, **options
    )
    connection.text_factory = lambda text: text.decode(errors="backslashreplace")
    return connection


def _version(connection: sqlite3.Connection, path: object) -> int:
    """Return the version of a journal; 0 for an empty file.

    Raises:
        JournalError: It is something else, or was written by a newer version.
    """
    (mark,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if mark != _APPLICATION_ID and (mark, version, tables) != (0, 0, 0):
        raise JournalError(
            f"{path} is a database of another program, not a journal; it was left as "
            "it is, choose another file"
        )
    newest = len(_MIGRATIONS)
    if version > newest:
        raise JournalError(
            f"the journal {path} has version {version}, this linkedapi-async reads up "
            f"to {newest}; install a newer one, or choose another file"
        )
    return int(version)


def _preallocate_wal(connection: sqlite3.Connection) -> None:
    """Make the write-ahead log long enough for about the first thousand starts.

    A commit that lengthens its file waits for the disk twice as long. Pages that do not
    fit in the cache are written to the log before the commit. After the rollback the
    log keeps its length, and the database is unchanged.
    """
    (cache,) = connection.execute("PRAGMA cache_size").fetchone()
    connection.execute("PRAGMA cache_size = 8")
    connection.execute("BEGIN IMMEDIATE")
    with contextlib.suppress(sqlite3.OperationalError):  # a disk that is nearly full
        connection.execute("CREATE TABLE filling (content BLOB)")
        connection.execute("INSERT INTO filling VALUES (zeroblob(?))", (_WAL_BYTES,))
    connection.rollback()
    connection.execute(f"PRAGMA cache_size = {cache}")


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring the schema from *version* to the newest one."""
    for number, statements in enumerate(_MIGRATIONS[version:], version + 1):
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")
    connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")


def open_run(connection: sqlite3.Connection, path: object) -> int:
    """Migrate a journal, and mark intents of the last run as unknown.

    Returns:
        The number of this run: 1 for the first one.

    Raises:
        JournalError: It is not a journal, or was written by a newer version.
    """
    version = _version(connection, path)
    # A change that was acknowledged must survive a power cut.
    connection.execute("PRAGMA synchronous = FULL")
    # Erased messages and results must not remain in free pages of the file.
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("BEGIN IMMEDIATE")
    _migrate(connection, version)
    # A row with a damaged state must not be sent again either.
    connection.execute(
        "UPDATE workflows SET state = 'unknown' WHERE (state IN "
        "('accepted', 'unknown', 'finished', 'delivered', 'deferred')) IS NOT TRUE"
    )
    cursor = connection.execute(
        "INSERT INTO openings (opened) VALUES (?)", (time.time(),)
    )
    connection.execute("COMMIT")
    # This comes after the first commit, so that a file is never empty while it has a
    # log.
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode == "wal":
        _preallocate_wal(connection)
        # Only `checkpoint` moves the log to the file, because it records what the log
        # contains.
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("UPDATE openings SET complete = 0")  # the log's first commit
        checkpoint(connection, Path(str(path)))
    return cast("int", cursor.lastrowid)


def checkpoint(connection: sqlite3.Connection, path: Path) -> None:
    """Move the log to the file, so that it does not grow, and record that."""
    connection.execute(_MARK_INCOMPLETE, log_facts(path))
    # It does not wait for readers of other processes; the next checkpoint moves the
    # rest.
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    connection.execute(_MARK_COMPLETE)


def read(path: Path, states: Sequence[State]) -> list[Row]:
    """Return the rows of a file, without writing to it.

    Raises:
        JournalError: It is not a journal, of a newer version, or damaged.
    """
    try:
        if not log_of(path).exists():  # otherwise a process may be writing it now
            check_log(path)
        with contextlib.ExitStack() as stack:
            connection = connect(f"{path.as_uri()}?mode=ro", uri=True)
            stack.callback(connection.close)
            version = _version(connection, path)
            if version < len(_MIGRATIONS):
                # The file is not changed: a copy is migrated.
                older, connection = connection, connect(":memory:")
                stack.callback(connection.close)
                older.backup(connection)
                _migrate(connection, version)
            return Statements(connection).rows(states)
    except JournalError:
        raise
    except Exception as error:
        raise journal_error(path, error) from error


def run_step(
    connection: sqlite3.Connection,
    path: object,
    statements: Statements,
    step: Callable[[Statements], Any],
) -> tuple[Any, Exception | None]:
    """Run one step; a failure changes nothing and affects no other step.

    Returns:
        The value of the step, or its error.
    """
    connection.execute("SAVEPOINT step")
    value, error = None, None
    try:
        value = step(statements)
    except Exception as failed:
        # A full disk may end the transaction, and then all steps in it fail.
        if not connection.in_transaction:
            raise
        connection.execute("ROLLBACK TO step")
        error = step_error(path, failed)
    connection.execute("RELEASE step")
    return value, error


class Statements(BookingRows):
    """Every statement about rows.

    A method that changes something returns whether the row was there in that state.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection.execute)
        self._execute = connection.execute

    def changes_row(self, statement: str, values: Sequence[Any]) -> bool:
        """Run *statement*; return whether it has changed its row."""
        return self._execute(statement, values).rowcount == 1

    def apply_batch(self, steps: Sequence[Callable[[Statements], Any]]) -> bool:
        """Apply intents and ids of rows that differ by two statements.

        The interpreter lock is free during a statement. After each of a thousand small
        statements, this thread would have to wait for the lock, because the event loop
        is busy.

        Returns:
            Whether everything was applied. If not, nothing has changed; then the steps
            are applied one by one, and raise their errors.
        """
        changes = [step for step in steps if isinstance(step, Change)]
        intents = [c.values for c in changes if c.statement is INSERT_INTENT]
        ids = [c.values for c in changes if c.statement is MARK_ACCEPTED]
        # There are other steps, or several for one row, which must keep their order.
        if len({values[-1] for values in (*intents, *ids)}) < len(steps):
            return False
        now = changes[-1].values[-2]
        self._execute("SAVEPOINT batch")
        try:
            new = [
                (account, str(definition, "utf-8"), stream, key)
                for account, definition, stream, *_, key in intents
            ]
            run_number = intents[0][3] if intents else None
            applied = self._apply_all(_INSERT_INTENTS, run_number, now, now, rows=new)
            accepted = [(workflow_id, key) for workflow_id, _, key in ids]
            applied &= self._apply_all(_MARK_ALL_ACCEPTED, now, rows=accepted)
        except (sqlite3.Error, TypeError, ValueError):
            # One of them is SQLite before 3.33, which lacks UPDATE … FROM.
            applied = False
        if not applied:
            self._execute("ROLLBACK TO batch")
        self._execute("RELEASE batch")
        return applied

    def _apply_all(self, statement: str, *values: Any, rows: list[Any]) -> bool:
        """Run *statement* for all *rows*; return whether it has changed each."""
        array = json.dumps(rows, ensure_ascii=False)
        if r"\u0000" in array:  # SQLite would cut the text there
            return False
        return not rows or self._execute(statement, (*values, array)).rowcount == len(
            rows
        )

    def change(self, key: str, old: State, /, **columns: Any) -> bool:
        """Set *columns* of a row that is in the state *old*."""
        statement = update_statement(*columns)
        return self.changes_row(statement, (*columns.values(), old, key))

    def drop(self, key: str, old: State) -> bool:
        """Remove a row that is in the state *old*."""
        return self.changes_row(
            "DELETE FROM workflows WHERE key = ? AND state = ?", (key, old)
        )

    def store_result(self, key: str, result: bytes) -> None:
        """Store the *result* of a row that has none."""
        self._execute(
            "INSERT INTO results SELECT n, ? FROM workflows WHERE key = ?",
            (result, key),
        )

    def suggest(self, key: str, workflow_id: str) -> bool:
        """Add a candidate of an unknown row; return whether there is such a row."""
        found = self._one("n", "state = 'unknown' AND key", key)
        if found is not None:
            self._execute(
                "INSERT OR IGNORE INTO candidates VALUES (?, ?)", (found, workflow_id)
            )
        return found is not None

    def state(self, key: str) -> State | None:
        """Return the state of a row."""
        found: State | None = self._one("state", "key", key)
        return found

    def key_of(self, workflow_id: str) -> str | None:
        """Return the key of the first row with *workflow_id*."""
        found: str | None = self._one("key", "workflow_id", workflow_id)
        return found

    def row(self, key: str) -> Row | None:
        """Return a row."""
        return next(iter(self._select("WHERE key = ?", (key,))), None)

    def rows(self, states: Sequence[State]) -> list[Row]:
        """Return the rows in *states*, or all rows, in the order of their intents."""
        if not states:
            return self._select("", ())
        where = f"WHERE state IN ({', '.join('?' * len(states))})"
        return self._select(where, states)

    def first_opened(self) -> float:
        """Return when the journal was created, in seconds since 1970."""
        query = "SELECT opened FROM openings ORDER BY run LIMIT 1"
        return float(self._execute(query, ()).fetchone()[0])

    def definitions(self) -> list[tuple[str, bytes]]:
        """Return the keys and definitions of all rows."""
        query = "SELECT key, definition FROM workflows ORDER BY n"
        return self._execute(query, ()).fetchall()

    def unknown(self, account: str | None) -> list[Row]:
        """Return the unknown rows of *account*, or all, by their index."""
        # The plus keeps SQLite from scanning all rows in their order.
        if account is None:
            return self._select("WHERE state = 'unknown'", (), order="+n")
        return self._select("WHERE state = 'unknown' AND account = ?", (account,))

    def failed(self) -> list[Row]:
        """Return the rows that ended with an error."""
        return self._select(
            "WHERE state IN ('finished', 'delivered') "
            "AND (error IS NOT NULL OR end_status <> 'completed')",
            (),
        )

    def deferred(self) -> list[Row]:
        """Return the deferred rows, by their index."""
        return self._select("WHERE state = 'deferred'", ())

    def deferred_about(self) -> list[tuple[str, About]]:
        """Return each pair of account and cause of the deferred rows once."""
        return self._execute(
            "SELECT DISTINCT account, about FROM workflows WHERE state = 'deferred'"
        ).fetchall()

    def delivered_items(self) -> dict[str, int | None]:
        """Return the keys of the delivered items of streams, each with its acts."""
        # The values come as arrays, because single rows would take three times as long.
        # The casts are for damaged values, which must not withhold others.
        query = (
            "SELECT CAST(json_group_array(CAST(key AS TEXT)) AS BLOB), "
            "json_group_array(CAST(acts AS INTEGER)), max(n) FROM ("
            "SELECT n, key, acts FROM workflows "
            "WHERE n > ? AND state = 'delivered' AND stream ORDER BY n LIMIT ?)"
        )
        found: dict[str, int | None] = {}
        last: int | None = -1
        while last is not None:
            keys, acts, last = self._execute(query, (last, _ITEMS_AT_ONCE)).fetchone()
            names = json.loads(str(keys, errors="replace"))
            found.update(zip(names, json.loads(acts), strict=True))
        return found

    def items_of_act(self, act: bytes) -> list[str]:
        """Return the keys of the rows that have an act, in the order of their intents."""
        query = "SELECT key FROM acts JOIN workflows USING (n) WHERE act = ? ORDER BY n"
        return [key for (key,) in self._execute(query, (act,))]

    def record_acts(self, key: str) -> None:
        """Record the acts of the item of a row, if its definition has any."""
        query = "SELECT n, definition FROM workflows WHERE key = ? AND stream"
        for n, definition in self._execute(query, (key,)).fetchall():
            try:
                acts = acts_by_digest(decode_json(definition))
            except Exception:  # noqa: BLE001  # whatever damage may do
                return
            for act in acts:
                self._execute("INSERT INTO acts VALUES (?, ?)", (n, act))
            query = "UPDATE workflows SET acts = ? WHERE n = ?"
            self._execute(query, (len(acts), n))

    def insert_deferred(self, key: str, definition: bytes, **columns: Any) -> None:
        """Insert a row for an item that was not started."""
        now = columns["updated"]
        columns = {"key": key, "definition": definition, "created": now, **columns}
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        self._execute(
            f"INSERT INTO workflows ({names}) VALUES ({marks})",  # noqa: S608  # own names
            (*columns.values(),),
        )

    def durations(self) -> list[tuple[Any, ...]]:
        """Return the durations, as they were stored."""
        query = "SELECT kind, weight, mean, variance FROM durations ORDER BY n"
        return self._execute(query).fetchall()

    def store_durations(self, records: Iterable[Sequence[Any]]) -> None:
        """Replace the stored durations."""
        self._execute("DELETE FROM durations")
        for record in records:
            self._execute(
                "INSERT INTO durations (kind, weight, mean, variance) "
                "VALUES (?, ?, ?, ?)",
                record,
            )

    def erase(self, key: str) -> None:
        """Remove a row with its result."""
        self.erase_result(key)
        self._execute("DELETE FROM workflows WHERE key = ?", (key,))

    def erase_result(self, key: str) -> None:
        """Remove the result of a row."""
        self._execute(
            "DELETE FROM results WHERE n = (SELECT n FROM workflows WHERE key = ?)",
            (key,),
        )

    def forget(self, before: float, *, streams: bool) -> int:
        """Remove rows delivered *before*, in seconds since 1970; return how many."""
        where = "state = 'delivered' AND updated <= ? AND stream <= ?"
        values = (before, streams)
        self._execute(
            f"DELETE FROM results WHERE n IN (SELECT n FROM workflows WHERE {where})",  # noqa: S608  # own words
            values,
        )
        return self._execute(f"DELETE FROM workflows WHERE {where}", values).rowcount  # noqa: S608  # own words

    def _one(self, column: str, condition: str, value: str) -> Any:
        query = (
            f"SELECT {column} FROM workflows WHERE {condition} = ? ORDER BY n LIMIT 1"  # noqa: S608  # own names
        )
        found = self._execute(query, (value,)).fetchone()
        return found and found[0]

    def _select(
        self, where: str, values: Sequence[Any], *, order: str = "n"
    ) -> list[Row]:
        query = f"SELECT {_COLUMNS} FROM workflows {where} ORDER BY {order}"  # noqa: S608  # own names
        return [Row(*found) for found in self._execute(query, values)]
