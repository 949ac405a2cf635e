"""Contacts: whom campaigns have written to, so that each person hears once.

`Contacts` is the policy, a `ContactStore` is where it is kept: across campaigns, accounts
and processes. A store gets digests of names, never the names.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import hashlib
import os
import re
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple, Self, TypeVar

import attrs

from linkedapi_async._actions.acts import Act
from linkedapi_async._utils.text import safe_repr, short_repr
from linkedapi_async._utils.times import from_timestamp, wall_time
from linkedapi_async.errors import JournalError, SuppressedError, WorkflowError
from linkedapi_async.urls import normalize_url, sort_of_id, target_kind


__all__ = ["ContactStore", "Contacts", "Name", "Previous", "SqliteContactStore"]

T = TypeVar("T")


class Name(NamedTuple):
    """One name of a person, without the name."""

    digest: bytes
    """16 bytes of the SHA-256 of its canonical form."""
    sort: str
    """The name without its id, which all ids of a sort share; empty without one."""

    @classmethod
    def of(cls, name: str) -> Name:
        """Return the `Name` of a URL or URN."""
        canonical = normalize_url(name)
        data = canonical.encode(errors="surrogatepass")
        return cls(hashlib.sha256(data).digest()[:16], sort_of_id(canonical))


@attrs.frozen
class Previous:
    """An earlier contact that prevents a reservation."""

    number: int
    """Which of the acts to reserve it is, from 0 on."""
    since: float
    """When it was reserved or kept, in seconds since 1970."""
    kept: bool
    """Whether it took place; otherwise that is not known yet."""


class ContactStore(ABC):
    """Where contacts are kept.

    Every method is one transaction, and what it changed is safe when it returns. Several
    sessions and processes may use a store at the same time.
    """

    @abstractmethod
    async def open(self) -> None:
        """Open the store.

        Raises:
            JournalError: It cannot be opened.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Finish what was called, then close; twice is harmless."""

    @abstractmethod
    async def reserve(
        self,
        claim: bytes,
        attempt: bytes,
        acts: Sequence[tuple[str, Name]],
        *,
        now: float,
        since: float,
    ) -> Previous | None:
        """Reserve all of *acts*, or none of them.

        Args:
            claim: Who reserves. What the same claim has reserved and not kept is no
                obstacle, because it was proven that nothing was sent.
            attempt: Which try of the claim it is.
            acts: What will be done to whom, by kind and name.
            now: The time, in seconds since 1970.
            since: Only contacts after this time are obstacles.

        Returns:
            The first obstacle; None if all acts are reserved.
        """

    @abstractmethod
    async def release(self, claim: bytes, attempt: bytes | None = None) -> None:
        """Remove what a claim has, because nothing was sent.

        Args:
            claim: As for `reserve`.
            attempt: Only what this try has reserved; None means all of it.
        """

    @abstractmethod
    async def keep(self, claim: bytes) -> None:
        """Record that what a claim has reserved took place."""

    @abstractmethod
    async def connect(self, names: Sequence[Name]) -> None:
        """Take *names* as names of one person.

        Ids are permanent, public names are not: a public name leaves its person when it
        is connected to another id of the same sort. Ids that contradict each other are
        not connected.
        """

    @abstractmethod
    async def names(self, name: Name) -> frozenset[bytes]:
        """Return the digests of all names that are known for a person."""

    @abstractmethod
    async def forget(self, name: Name) -> bool:
        """Erase a person with all names and contacts; return whether it was known."""


class Contacts:
    """Lets each person be written to once in a while, whoever writes.

    ``Session(contacts=…)`` opens it, reserves what a workflow is about to do before it is
    started, and closes it. One object may serve several sessions::

        contacts = Contacts("contacts.sqlite3", once_in=timedelta(days=90))
        async with Session(..., contacts=contacts) as session: ...

    A kind of action is the action type without ``st.`` or ``nv.``, so a message is a
    message in both products. A reservation is removed only on proof that nothing was
    sent. An unknown start keeps it.

    Args:
        store: The path of a SQLite file, or a `ContactStore`.
        once_in: How long a contact prevents another one of its kind.
        never: Whom to leave alone: URLs or URNs, or the path of a CSV file. Each row of
            the file but the first must have one in any of its cells.

    Raises:
        ValueError: *once_in* is not positive, or an entry of *never* names no target.
        OSError: The CSV file cannot be read.
    """

    def __init__(
        self,
        store: str | os.PathLike[str] | ContactStore,
        *,
        once_in: dt.timedelta = dt.timedelta(days=90),
        never: Iterable[str] | os.PathLike[str] = (),
    ) -> None:
        if once_in <= dt.timedelta(0):
            message = f"once_in must be positive, got {once_in}"
            raise ValueError(message)
        self.once_in: dt.timedelta = once_in
        self.store: ContactStore = (
            store if isinstance(store, ContactStore) else SqliteContactStore(store)
        )
        names = _read_names(never) if isinstance(never, str | os.PathLike) else never
        self._never = frozenset(map(_never_digest, names))
        self._users = 0

    async def open(self) -> None:
        """Open the store; each call needs an `aclose` of its own.

        Raises:
            JournalError: It cannot be opened.
        """
        self._users += 1
        if self._users == 1:
            try:
                await self.store.open()
            except BaseException:
                self._users = 0
                raise

    async def aclose(self) -> None:
        """Close the store when its last user closes it; once more is harmless."""
        self._users = max(0, self._users - 1)
        if not self._users:
            await self.store.aclose()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def reserve(self, claim: bytes, attempt: bytes, acts: Sequence[Act]) -> None:
        """Reserve what a workflow does to its targets, before it is sent.

        Args:
            claim: As for `ContactStore.reserve`.
            attempt: As for `ContactStore.reserve`.
            acts: What the workflow does.

        Raises:
            SuppressedError: A target was contacted, or is never to be contacted.
            WorkflowError: A target is known only while the workflow runs.
            JournalError: The store cannot be used.
        """
        for act in acts:
            if act.target is None and (act.listed or not act.known):
                message = (
                    f"{act.action_type}: contacts cannot check whom it writes to, which "
                    "is known only while the workflow runs; use a session without "
                    "contacts="
                )
                raise WorkflowError(message, path=act.path)
        done = {
            (act.kind.partition(".")[2] or act.kind, Name.of(act.target)): act
            for act in acts
            if act.target is not None
        }
        for (_, name), act in done.items():
            known = await self.store.names(name) if self._never else frozenset()
            if not self._never.isdisjoint(known | {name.digest}):
                message = f"{act.target} is never to be contacted; nothing was sent"
                raise SuppressedError(message, target=str(act.target))
        now = wall_time()
        since = now - self.once_in.total_seconds()
        previous = await self.store.reserve(
            claim, attempt, [*done], now=now, since=since
        )
        if previous is not None:
            raise self._suppressed([*done.values()][previous.number], previous)

    def _suppressed(self, act: Act, previous: Previous) -> SuppressedError:
        since = from_timestamp(previous.since)
        when = since.date().isoformat()
        days = self.once_in / dt.timedelta(days=1)
        once = f"once in {days:g} day{'' if days == 1 else 's'}; nothing was sent"
        if previous.kept:
            message = f"{act.action_type} to {act.target} took place on {when}; {once}"
        else:
            message = (
                f"{act.action_type} to {act.target} was started on {when} and has not "
                f"ended; {once}"
            )
        return SuppressedError(message, target=str(act.target), since=since)

    async def connect(self, *names: str) -> None:
        """Take *names* as names of one person: URLs or URNs."""
        await self.store.connect([Name.of(name) for name in dict.fromkeys(names)])

    async def forget(self, person: str) -> bool:
        """Erase a person with all names and contacts, as data protection may demand.

        The person may be contacted again then, unless *never* has the name.

        Args:
            person: Any known URL or URN of the person.

        Returns:
            Whether the person was known.
        """
        return await self.store.forget(Name.of(person))

    @safe_repr
    def __repr__(self) -> str:
        return f"<Contacts in {self.store!r}, once in {self.once_in}>"


def _never_digest(name: object) -> bytes:
    if not isinstance(name, str) or target_kind(name) is None:
        message = f"never: expected the URL or URN of a person, got {short_repr(name)}"
        raise ValueError(message)
    return Name.of(name).digest


def _read_names(path: str | os.PathLike[str]) -> Iterable[str]:
    """Yield the first target of each row of a CSV file."""
    try:
        text = Path(path).read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"{os.fspath(path)} is not UTF-8: {error}"
        raise ValueError(message) from error
    for number, line in enumerate(text.splitlines(), 1):
        # Neither a URL nor a URN has these characters where it matters.
        cells = [cell.strip() for cell in re.split(r'[,;\t"]', line)]
        names = [cell for cell in cells if target_kind(cell) is not None]
        yield from names[:1]
        if not names and any(cells) and number > 1:
            message = f"{os.fspath(path)}:{number}: no URL or URN of a person"
            raise ValueError(message)


_APPLICATION_ID: Final = 0x4C415043
"""What marks the file as contacts: "LAPC"."""

_VERSION: Final = 1

_SCHEMA: Final = (
    """
    CREATE TABLE names (
        digest BLOB PRIMARY KEY, sort TEXT NOT NULL, person INTEGER NOT NULL
    )
    """,
    "CREATE INDEX names_of_person ON names (person)",
    """
    CREATE TABLE contacts (
        person INTEGER NOT NULL,
        kind TEXT NOT NULL,
        kept INTEGER NOT NULL,
        since REAL NOT NULL,
        claim BLOB NOT NULL,
        attempt BLOB NOT NULL
    )
    """,
    "CREATE INDEX contacts_of_person ON contacts (person, kind)",
    "CREATE INDEX contacts_of_claim ON contacts (claim)",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {_VERSION}",
)

_LOCK_TIMEOUT: Final = 60.0
"""How long another process is waited for, in seconds."""


class SqliteContactStore(ContactStore):
    """Contacts in a SQLite file, which several processes may have open.

    It is readable for its owner only, and has digests instead of names. The folder must
    be on a local disk, because locks of network file systems are not reliable.

    Args:
        path: The file; it is created if it is missing.

    Raises:
        ValueError: *path* is no path of a file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if os.fspath(path) in {"", ":memory:"}:
            message = "contacts need a file, which other processes can open"
            raise ValueError(message)
        self.path: Path = Path(path).resolve()
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Open the file.

        Raises:
            JournalError: It has other content, is damaged, or cannot be opened.
        """
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="contacts")
        try:
            self._connection = await self._in_thread(self._connect)
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Finish what was called, then close; twice is harmless."""
        thread, self._thread = self._thread, None
        if thread is not None:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(thread, self._disconnect)
            thread.shutdown()

    def _connect(self) -> sqlite3.Connection:
        # Created here, because SQLite would make it readable for everybody.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        connection = sqlite3.connect(
            self.path, isolation_level=None, timeout=_LOCK_TIMEOUT
        )
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = ON")
            with _transaction(connection):
                self._create(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _create(self, connection: sqlite3.Connection) -> None:
        """Create the tables of an empty file.

        Raises:
            JournalError: The file has something else.
        """
        marks = [
            connection.execute(query).fetchone()[0]
            for query in (
                "PRAGMA application_id",
                "PRAGMA user_version",
                "SELECT count(*) FROM sqlite_master",
            )
        ]
        if marks == [0, 0, 0]:
            for statement in _SCHEMA:
                connection.execute(statement)
        elif marks[0] != _APPLICATION_ID:
            message = f"{self.path} has no contacts; it was left as it is"
            raise JournalError(message)
        elif marks[1] > _VERSION:
            message = (
                f"the contacts {self.path} have version {marks[1]}, this "
                f"linkedapi-async reads up to {_VERSION}; install a newer one"
            )
            raise JournalError(message)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            message = f"the contacts {self.path} are not open"
            raise JournalError(message)
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, work)
        except (sqlite3.Error, OSError) as error:
            message = f"the contacts {self.path} cannot be used: {error}"
            raise JournalError(message) from error

    async def _do(self, step: Callable[[_Rows], T]) -> T:
        """Run *step* in a transaction."""

        def work() -> T:
            """Run it in the thread."""
            connection: Any = self._connection
            with _transaction(connection):
                return step(_Rows(connection))

        return await self._in_thread(work)

    async def reserve(
        self,
        claim: bytes,
        attempt: bytes,
        acts: Sequence[tuple[str, Name]],
        *,
        now: float,
        since: float,
    ) -> Previous | None:
        """Reserve all of *acts*, or none: see `ContactStore.reserve`."""

        def step(rows: _Rows) -> Previous | None:
            """Look for obstacles first."""
            people = [rows.person(name) for _, name in acts]
            missing = []
            for number, (kind, _) in enumerate(acts):
                found = rows.contacts(people[number], kind, since)
                for at, kept, owner in found:
                    if kept or owner != claim:
                        return Previous(number, at, kept=bool(kept))
                if not found:
                    missing.append((people[number], kind))
            for person, kind in missing:
                rows.add(person, kind, now, claim, attempt)
            return None

        return await self._do(step)

    async def release(self, claim: bytes, attempt: bytes | None = None) -> None:
        """Remove what a claim has, because nothing was sent."""
        await self._do(lambda rows: rows.release(claim, attempt))

    async def keep(self, claim: bytes) -> None:
        """Record that what a claim has reserved took place."""
        await self._do(lambda rows: rows.keep(claim))

    async def connect(self, names: Sequence[Name]) -> None:
        """Take *names* as names of one person: see `ContactStore.connect`."""
        await self._do(lambda rows: rows.connect(names))

    async def names(self, name: Name) -> frozenset[bytes]:
        """Return the digests of all names that are known for a person."""
        return await self._do(lambda rows: rows.digests(name))

    async def forget(self, name: Name) -> bool:
        """Erase a person with all names and contacts; return whether it was known."""
        return await self._do(lambda rows: rows.forget(name))

    @safe_repr
    def __repr__(self) -> str:
        is_open = self._connection is not None
        return f"<SqliteContactStore {self.path}, {'open' if is_open else 'closed'}>"


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Do what the block does, or none of it, and let no other process in between."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()  # a full disk may have done so already
        raise


class _Rows:
    """Every statement about names and contacts."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def known_person(self, name: Name) -> int | None:
        """Return the number of the person who has a name."""
        query = "SELECT person FROM names WHERE digest = ?"
        found = self._execute(query, (name.digest,)).fetchone()
        return None if found is None else int(found[0])

    def person(self, name: Name) -> int:
        """Return the number of the person who has a name, a new one if none has it."""
        known = self.known_person(name)
        return self._new_person([name]) if known is None else known

    def _new_person(self, names: Iterable[Name]) -> int:
        query = "SELECT coalesce(max(person), 0) + 1 FROM names"
        person = int(self._execute(query).fetchone()[0])
        for name in names:
            self._move(name, person)
        return person

    def _move(self, name: Name, person: int) -> None:
        self._execute(
            "INSERT INTO names VALUES (?1, ?2, ?3) "
            "ON CONFLICT (digest) DO UPDATE SET person = ?3",
            (name.digest, name.sort, person),
        )

    def _names(self, person: int) -> set[Name]:
        query = "SELECT digest, sort FROM names WHERE person = ?"
        return {Name(*found) for found in self._execute(query, (person,))}

    def digests(self, name: Name) -> frozenset[bytes]:
        """Return the digests of all names of the person who has a name."""
        person = self.known_person(name)
        known = set() if person is None else self._names(person)
        return frozenset(each.digest for each in known | {name})

    def contacts(
        self, person: int, kind: str, since: float
    ) -> list[tuple[float, int, bytes]]:
        """Return the contacts of a kind after *since*: time, whether kept, claim."""
        return self._execute(
            "SELECT since, kept, claim FROM contacts "
            "WHERE person = ? AND kind = ? AND since > ? ORDER BY since DESC",
            (person, kind, since),
        ).fetchall()

    def add(
        self, person: int, kind: str, now: float, claim: bytes, attempt: bytes
    ) -> None:
        """Add a reservation."""
        self._execute(
            "INSERT INTO contacts VALUES (?, ?, 0, ?, ?, ?)",
            (person, kind, now, claim, attempt),
        )

    def release(self, claim: bytes, attempt: bytes | None) -> None:
        """Remove what a claim, or one attempt of it, has."""
        self._execute(
            "DELETE FROM contacts WHERE claim = ?1 AND (?2 IS NULL OR attempt = ?2)",
            (claim, attempt),
        )

    def keep(self, claim: bytes) -> None:
        """Mark what a claim has as kept."""
        self._execute("UPDATE contacts SET kept = 1 WHERE claim = ?", (claim,))

    def connect(self, names: Sequence[Name]) -> None:
        """Make *names* those of one person, as far as they do not contradict."""
        groups = {name: self._group(name) for name in names}
        ids = {name for name in names if name.sort}
        together = ids.union(*(groups[name] for name in ids))
        # A public name is moved if its person has another id of a sort.
        moved = {n for n in names if _contradictory(together | groups[n])}
        together = together.union(*(groups[n] for n in {*names} - moved)) | {*names}
        if _contradictory(together):
            return
        kept = {p for n in names if n not in moved for p in [self.known_person(n)]}
        kept.discard(None)
        person = self._new_person(together)
        for old in kept:
            self._execute(
                "UPDATE contacts SET person = ? WHERE person = ?", (person, old)
            )

    def _group(self, name: Name) -> set[Name]:
        person = self.known_person(name)
        return {name} if person is None else self._names(person)

    def forget(self, name: Name) -> bool:
        """Erase the person who has a name; return whether there is one."""
        person = self.known_person(name)
        for table in ("names", "contacts"):
            self._execute(f"DELETE FROM {table} WHERE person = ?", (person,))  # noqa: S608  # own names
        return person is not None


def _contradictory(names: Iterable[Name]) -> bool:
    """Return whether two of *names* are ids of one sort: no person has two."""
    sorts = [name.sort for name in {*names} if name.sort]
    return len({*sorts}) < len(sorts)
