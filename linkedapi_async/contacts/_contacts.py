"""The policy: each person is written to at most once in a given time."""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

from linkedapi_async._actions.acts import Act
from linkedapi_async._utils.text import safe_repr, short_repr
from linkedapi_async._utils.times import from_timestamp, wall_time
from linkedapi_async.contacts._sqlite import SqliteContactStore
from linkedapi_async.contacts._store import ContactStore, Name, Previous
from linkedapi_async.errors import SuppressedError, WorkflowError
from linkedapi_async.urls import target_kind


class Contacts:
    """Makes sure that each person is written to at most once in a given time.

    ``Session(contacts=…)`` opens it, reserves the people that a workflow writes to before
    it is started, and closes it. One object may serve several sessions::

        contacts = Contacts("contacts.sqlite3", once_in=timedelta(days=90))
        async with Session(..., contacts=contacts) as session: ...

    A kind of action is the action type without ``st.`` or ``nv.``, so a message is a
    message in both products. A reservation is removed only on proof that nothing was
    sent. An unknown start keeps it.

    Args:
        store: The path of a SQLite file, or a `ContactStore`.
        once_in: How long a contact prevents another one of its kind.
        never: People who are never written to: URLs or URNs, or the path of a CSV file.
            Each row of the file except the first must have one in any of its cells.

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
            raise ValueError(f"once_in must be positive, got {once_in}")
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
        """Close the store when its last user closes it; closing twice does no harm."""
        self._users = max(0, self._users - 1)
        if not self._users:
            await self.store.aclose()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def reserve(self, claim: bytes, attempt: bytes, acts: Sequence[Act]) -> None:
        """Reserve the targets that a workflow writes to, before it is sent.

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
        """Record that *names* belong to one person: URLs or URNs."""
        await self.store.connect([Name.of(name) for name in dict.fromkeys(names)])

    async def forget(self, person: str) -> bool:
        """Erase a person with all names and contacts, as data protection may require.

        The person may be contacted again then, unless *never* contains the name.

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
        raise ValueError(f"{os.fspath(path)} is not UTF-8: {error}") from error
    for number, line in enumerate(text.splitlines(), 1):
        # Neither a URL nor a URN has these characters where it matters.
        cells = [cell.strip() for cell in re.split(r'[,;\t"]', line)]
        names = [cell for cell in cells if target_kind(cell) is not None]
        yield from names[:1]
        if not names and any(cells) and number > 1:
            raise ValueError(f"{os.fspath(path)}:{number}: no URL or URN of a person")
