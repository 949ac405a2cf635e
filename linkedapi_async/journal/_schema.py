"""Rows of the journal, in SQLite: the schema, its versions, and every statement."""

from __future__ import annotations

import contextlib
import functools
import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast

import attrs

from linkedapi_async.errors import JournalError


State: TypeAlias = Literal["intended", "taken", "unknown", "finished", "delivered"]
"""How far a start has come.

*intended*: about to be sent, or under way. *taken*: the server gave it an id.
*unknown*: sent, or about to be when the process died; nobody knows whether it was
taken. *finished*: it has ended. *delivered*: whoever started it has seen the end.
"""

EndStatus: TypeAlias = Literal["completed", "failed", "cancelled", "lost"]
"""How a workflow ended; *lost*: nobody will ever know."""


def _split(ids: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return tuple(ids.split()) if isinstance(ids, str) else ids or ()


@attrs.frozen
class Row:
    """What the journal knows of one start."""

    key: str
    """The caller's key, or one that the session made up."""
    account: str
    """The ``name`` of the account, never its token."""
    state: State
    """How far it has come."""
    workflow_id: str | None
    """The API's id of it, once it was taken."""
    definition: bytes = attrs.field(repr=False)
    """What was to be started, as JSON; empty once it is not needed any more."""
    how: EndStatus | None
    """How it ended, if it did."""
    ending: bytes | None = attrs.field(repr=False)
    """What came at the end, unless it was not to be stored."""
    stream: bool = attrs.field(converter=bool)
    """Whether it is an item of a resumable stream: its key is never used again."""
    run: int
    """Which opening of the journal wrote it first: 1 for the first one."""
    created: float
    """When the intent was written, in seconds since 1970."""
    updated: float
    """When the last step was written, in seconds since 1970."""
    candidates: tuple[str, ...] = attrs.field(default=(), converter=_split)
    """The ids of workflows that an unknown start may have become, by webhook events."""


_ROW: Final = tuple(field.name for field in attrs.fields(Row))

_ELSEWHERE: Final = {"ending": "ending", "candidates": "ids"}

INSERT_INTENT: Final = (
    "INSERT INTO workflows (account, definition, stream, run, created, updated, key, "
    "state) VALUES (?, ?, ?, ?, ?, ?, ?, 'intended') ON CONFLICT (key) DO NOTHING"
)

MARK_ACCEPTED: Final = (
    "UPDATE workflows SET state = 'taken', workflow_id = ?, updated = ? "
    "WHERE state = 'intended' AND key = ?"
)

# Both, for many rows at once: `INSERT INTO steps`. Of the connection, not of the file.
_STEPS: Final = (
    "CREATE TEMP VIEW steps (intents, ids, run, now) AS SELECT 1, 2, 3, 4",
    """
    CREATE TEMP TRIGGER take_steps INSTEAD OF INSERT ON steps BEGIN
        INSERT INTO workflows
            (key, account, definition, stream, run, created, updated, state)
            SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'),
                CAST(json_extract(value, '$[2]') AS BLOB),
                json_extract(value, '$[3]'), new.run, new.now, new.now, 'intended'
            FROM json_each(new.intents);
        UPDATE workflows
            SET state = 'taken', workflow_id = json_extract(ids.value, '$[1]'),
                updated = new.now
            FROM json_each(new.ids) AS ids
            WHERE workflows.key = json_extract(ids.value, '$[0]')
                AND state = 'intended';
        SELECT RAISE(ABORT, 'a row is missing')
            WHERE changes() <> json_array_length(new.ids);
    END
    """,
)


class Change:
    """A change of one row.

    Args:
        statement: Changes one row with *facts*, or none.
        facts: The values for the statement, the row's key last.
        missed: Makes the error, if it is one, for when no row was changed; gets the
            key.
    """

    __slots__ = ("facts", "missed", "statement")

    def __init__(
        self,
        statement: str,
        facts: Sequence[Any],
        missed: Callable[[Statements, str], Exception | None],
    ) -> None:
        self.statement: str = statement
        self.facts: Sequence[Any] = facts
        self.missed: Callable[[Statements, str], Exception | None] = missed

    def __call__(self, table: Statements) -> None:
        """Change the row alone."""
        if not table.changed(self.statement, self.facts):
            error = self.missed(table, self.facts[-1])
            if error is not None:
                raise error


@functools.cache
def change(*fields: str) -> str:
    """Return what sets *fields* of the row with a key that is in a state."""
    new = ", ".join(f"{name} = ?" for name in fields)
    return f"UPDATE workflows SET {new} WHERE state = ? AND key = ?"  # noqa: S608  # own names


_APPLICATION: Final = 0x4C41504A
"""What marks the file as a journal of ours: "LAPJ"."""

_WAL_BYTES: Final = 2**20
"""How many bytes of log there are from the start, or a few less."""

# From each version to the next. What was released is never changed, only added to.
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
        # No more indexes: each costs every start a tenth, to save a scan at a resume.
        # Apart, or each later step would write a large ending once more.
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
)

_SQLITE_MESSAGES: Final = {
    "SQLITE_CORRUPT": "is damaged",
    "SQLITE_NOTADB": "is damaged, or no journal",
    "SQLITE_FULL": "has no room: the disk is full",
    "SQLITE_BUSY": "is locked by another program that writes to it",
    "SQLITE_READONLY": "may not be written",
    "SQLITE_CANTOPEN": "cannot be opened",
}


def journal_error(path: object, error: Exception) -> JournalError:
    """Return what *error* of the file means for its owner."""
    name = getattr(error, "sqlite_errorname", "")
    if isinstance(error, OSError):
        name = "SQLITE_CANTOPEN"
    if isinstance(error, UnicodeDecodeError):
        name = "SQLITE_CORRUPT"
    what = next(
        (w for n, w in _SQLITE_MESSAGES.items() if name.startswith(n)), "failed"
    )
    advice = "nothing of this was written"
    if "damaged" in what:
        advice = (
            "move it away together with its -wal and begin a new one; the platform's "
            "history shows what runs, and `sqlite3 FILE .recover` may save the rows"
        )
    told = JournalError(f"the journal {path} {what} ({error}); {advice}")
    told.__cause__ = error
    return told


def read_version(connection: sqlite3.Connection, path: object) -> int:
    """Return the version of a journal; 0 for an empty file.

    Raises:
        JournalError: It is something else, or was written by a newer version.
    """
    (mark,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if mark != _APPLICATION and (mark, version, tables) != (0, 0, 0):
        message = (
            f"{path} is a database of something else, not a journal; it was left as it "
            "is, choose another file"
        )
        raise JournalError(message)
    newest = len(_MIGRATIONS)
    if version > newest:
        message = (
            f"the journal {path} has version {version}, this linkedapi-async reads up "
            f"to {newest}; install a newer one, or choose another file"
        )
        raise JournalError(message)
    return int(version)


def _preallocate_wal(connection: sqlite3.Connection) -> None:
    """Make the log long enough for the first thousand starts or so.

    A commit that lengthens its file waits for the disk twice as long. What does not
    fit in the cache goes to the log before the commit, and what is rolled back leaves
    the log as long as it was, and the database as it was.
    """
    (cache,) = connection.execute("PRAGMA cache_size").fetchone()
    connection.execute("PRAGMA cache_size = 8")
    connection.execute("BEGIN IMMEDIATE")
    with contextlib.suppress(sqlite3.OperationalError):  # a disk that is nearly full
        connection.execute("CREATE TABLE room (filling BLOB)")
        connection.execute("INSERT INTO room VALUES (zeroblob(?))", (_WAL_BYTES,))
    connection.rollback()
    connection.execute(f"PRAGMA cache_size = {cache}")


def open_run(connection: sqlite3.Connection, path: object) -> int:
    """Bring a journal up to date and doubt what the last run left open.

    Returns:
        Which run this is: 1 for the first one.

    Raises:
        JournalError: As for `read_version`.
    """
    version = read_version(connection, path)
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = ON")
    if mode == "wal":
        _preallocate_wal(connection)
        with contextlib.suppress(sqlite3.OperationalError):  # SQLite before 3.33
            for statement in _STEPS:
                connection.execute(statement)
    connection.execute("BEGIN IMMEDIATE")
    for number, statements in enumerate(_MIGRATIONS[version:], version + 1):
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")
    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
    connection.execute(
        "UPDATE workflows SET state = 'unknown' WHERE state = 'intended'"
    )
    cursor = connection.execute(
        "INSERT INTO openings (opened) VALUES (?)", (time.time(),)
    )
    connection.execute("COMMIT")
    return cast("int", cursor.lastrowid)


def read(path: Path, states: Sequence[State]) -> list[Row]:
    """Return the rows of a file, without writing to it.

    Raises:
        JournalError: It is no journal, of another version, or damaged.
    """
    uri = f"{path.as_uri()}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
            if read_version(connection, path) == len(_MIGRATIONS):
                return Statements(connection).rows(states)
    except sqlite3.Error as error:
        raise journal_error(path, error) from error
    message = (
        f"the journal {path} is of an older version; opening it for a session brings "
        "it up to date"
    )
    raise JournalError(message)


class Statements:
    """The rows, and every statement about them.

    A method that changes something says whether the row was there in that state.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def changed(self, statement: str, facts: Sequence[Any]) -> bool:
        """Run *statement*; return whether it has changed its row."""
        return self._execute(statement, facts).rowcount == 1

    def together(
        self, steps: Sequence[Callable[[Statements], Any]], begin: Callable[[], None]
    ) -> bool:
        """Run *steps* in one statement, during which the interpreter is free.

        That can be done with intents and ids of rows that differ.

        Args:
            steps: What to do.
            begin: Is called before, if it can be tried.

        Returns:
            Whether it was done. If not, nothing has changed: one by one they tell why.
        """
        alike = [step for step in steps if isinstance(step, Change)]
        intents = [step.facts for step in alike if step.statement is INSERT_INTENT]
        ids = [step.facts for step in alike if step.statement is MARK_ACCEPTED]
        if len({facts[-1] for facts in (*intents, *ids)}) < len(steps):
            return False
        try:
            new = [
                (key, account, str(definition, "utf-8"), stream)
                for account, definition, stream, *_, key in intents
            ]
            pairs = [(key, workflow_id) for workflow_id, _, key in ids]
            facts = [json.dumps(each, ensure_ascii=False) for each in (new, pairs)]
            if r"\u0000" in "".join(facts):  # SQLite would end the text there
                return False
            begin()
            run = intents[0][3] if intents else None
            self._execute(
                "INSERT INTO steps VALUES (?, ?, ?, ?)",
                (*facts, run, alike[-1].facts[-2]),
            )
        except (sqlite3.Error, TypeError, ValueError):
            return False
        return True

    def change(self, key: str, old: State, /, **fields: Any) -> bool:
        """Set *fields* of a row that is in the state *old*."""
        return self.changed(change(*fields), (*fields.values(), old, key))

    def drop(self, key: str, old: State) -> bool:
        """Remove a row that is in the state *old*."""
        cursor = self._execute(
            "DELETE FROM workflows WHERE key = ? AND state = ?", (key, old)
        )
        return cursor.rowcount == 1

    def keep(self, key: str, ending: bytes) -> None:
        """Store the *ending* of a row that has none."""
        self._execute(
            "INSERT INTO endings SELECT n, ? FROM workflows WHERE key = ?",
            (ending, key),
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

    def key(self, workflow_id: str) -> str | None:
        """Return the key of the first row with *workflow_id*."""
        found: str | None = self._one("key", "workflow_id", workflow_id)
        return found

    def row(self, key: str) -> Row | None:
        """Return a row."""
        return next(self._select("WHERE key = ?", (key,)), None)

    def rows(self, states: Sequence[State]) -> list[Row]:
        """Return the rows in *states*, all for none, in the order of their intents."""
        if not states:
            return [*self._select("", ())]
        where = f"WHERE state IN ({', '.join('?' * len(states))})"
        return [*self._select(where, states)]

    def forget(self, before: float, *, streams: bool) -> int:
        """Remove rows delivered *before*, in seconds since 1970; return how many."""
        gone = "state = 'delivered' AND updated <= ? AND stream <= ?"
        facts = (before, streams)
        self._execute(
            f"DELETE FROM endings WHERE n IN (SELECT n FROM workflows WHERE {gone})",  # noqa: S608  # own words
            facts,
        )
        return self._execute(f"DELETE FROM workflows WHERE {gone}", facts).rowcount  # noqa: S608  # own words

    def _one(self, what: str, by: str, value: str) -> Any:
        query = f"SELECT {what} FROM workflows WHERE {by} = ? ORDER BY n LIMIT 1"  # noqa: S608  # own names
        found = self._execute(query, (value,)).fetchone()
        return found and found[0]

    def _select(self, where: str, facts: Sequence[Any]) -> Iterator[Row]:
        columns = ", ".join(_ELSEWHERE.get(str(name), str(name)) for name in _ROW)
        query = (
            f"SELECT {columns} FROM workflows LEFT JOIN endings USING (n) LEFT JOIN "  # noqa: S608  # own names
            "(SELECT n, group_concat(candidates.workflow_id, ' ') AS ids "
            f"FROM candidates GROUP BY n) USING (n) {where} ORDER BY n"
        )
        for found in self._execute(query, facts):
            yield Row(*found)
