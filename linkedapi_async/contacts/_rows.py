"""Contacts in tables: the statements that all databases share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

from linkedapi_async.contacts._store import ContactStore, Name, Previous


T = TypeVar("T")

Execute: TypeAlias = Callable[[str, Mapping[str, Any]], Any]
"""Runs a statement with parameters such as ``:claim``, and returns its cursor."""


class Owner(NamedTuple):
    """The owner of a reservation."""

    claim: bytes
    attempt: bytes


class SqlContactStore(ContactStore):
    """Contacts in the tables of any database."""

    @abstractmethod
    async def _do(self, step: Callable[[ContactRows], T]) -> T:
        """Run *step* in a transaction, while no other process runs one."""

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

        def step(rows: ContactRows) -> Previous | None:
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
                rows.add(person, kind, now, Owner(claim, attempt))
            return None

        return await self._do(step)

    async def release(self, claim: bytes, attempt: bytes | None = None) -> None:
        """Remove the reservations of a claim, because nothing was sent."""
        await self._do(lambda rows: rows.release(claim, attempt))

    async def keep(self, claim: bytes) -> None:
        """Record that the acts that a claim has reserved took place."""
        await self._do(lambda rows: rows.keep(claim))

    async def connect(self, names: Sequence[Name]) -> None:
        """Record that *names* belong to one person: see `ContactStore.connect`."""
        await self._do(lambda rows: rows.connect(names))

    async def names(self, name: Name) -> frozenset[bytes]:
        """Return the digests of all names that are known for a person."""
        return await self._do(lambda rows: rows.digests(name))

    async def forget(self, name: Name) -> bool:
        """Erase a person with all names and contacts; return whether it was known."""
        return await self._do(lambda rows: rows.forget(name))


class ContactRows:
    """Every statement about names and contacts.

    Args:
        execute: Runs a statement with named parameters, and returns its cursor.
    """

    def __init__(self, execute: Execute) -> None:
        self._execute = execute

    def known_person(self, name: Name) -> int | None:
        """Return the number of the person who has a name."""
        query = "SELECT person FROM names WHERE digest = :digest"
        found = self._execute(query, {"digest": name.digest}).fetchone()
        return None if found is None else int(found[0])

    def person(self, name: Name) -> int:
        """Return the number of the person who has a name, a new one if none has it."""
        known = self.known_person(name)
        return self._new_person([name]) if known is None else known

    def _new_person(self, names: Iterable[Name]) -> int:
        query = "SELECT coalesce(max(person), 0) + 1 FROM names"
        person = int(self._execute(query, {}).fetchone()[0])
        for name in names:
            self._execute(
                "INSERT INTO names VALUES (:digest, :sort, :person) "
                "ON CONFLICT (digest) DO UPDATE SET person = :person",
                {**name._asdict(), "person": person},
            )
        return person

    def _names(self, person: int) -> set[Name]:
        query = "SELECT digest, sort FROM names WHERE person = :person"
        return {Name(*found) for found in self._execute(query, {"person": person})}

    def digests(self, name: Name) -> frozenset[bytes]:
        """Return the digests of all names of the person who has a name."""
        person = self.known_person(name)
        known = set() if person is None else self._names(person)
        return frozenset(each.digest for each in known | {name})

    def contacts(
        self, person: int, kind: str, since: float
    ) -> list[tuple[float, int, bytes]]:
        """Return the contacts of a kind after *since*: time, whether kept, claim."""
        found: list[tuple[float, int, bytes]] = self._execute(
            "SELECT since, kept, claim FROM contacts WHERE person = :person "
            "AND kind = :kind AND since > :since ORDER BY since DESC",
            {"person": person, "kind": kind, "since": since},
        ).fetchall()
        return found

    def add(self, person: int, kind: str, since: float, owner: Owner) -> None:
        """Add a reservation."""
        self._execute(
            "INSERT INTO contacts VALUES (:person, :kind, 0, :since, :claim, :attempt)",
            {"person": person, "kind": kind, "since": since, **owner._asdict()},
        )

    def release(self, claim: bytes, attempt: bytes | None) -> None:
        """Remove the reservations of a claim, or of one attempt of it."""
        statement = "DELETE FROM contacts WHERE claim = :claim"
        values = {"claim": claim}
        if attempt is not None:
            statement += " AND attempt = :attempt"
            values["attempt"] = attempt
        self._execute(statement, values)

    def keep(self, claim: bytes) -> None:
        """Mark the reservations of a claim as kept."""
        statement = "UPDATE contacts SET kept = 1 WHERE claim = :claim"
        self._execute(statement, {"claim": claim})

    def connect(self, names: Sequence[Name]) -> None:
        """Connect *names* to one person, as far as they do not contradict."""
        people = {self.known_person(name) for name in names}
        if len(people) == 1 and None not in people:
            return
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
        statement = "UPDATE contacts SET person = :person WHERE person = :old"
        for old in kept:
            self._execute(statement, {"person": person, "old": old})

    def _group(self, name: Name) -> set[Name]:
        person = self.known_person(name)
        return {name} if person is None else self._names(person)

    def forget(self, name: Name) -> bool:
        """Erase the person who has a name; return whether there is one."""
        person = self.known_person(name)
        for statement in (
            "DELETE FROM names WHERE person = :person",
            "DELETE FROM contacts WHERE person = :person",
        ):
            self._execute(statement, {"person": person})
        return person is not None


def _contradictory(names: Iterable[Name]) -> bool:
    """Return whether two of *names* are ids of one sort: no person has two."""
    sorts = [name.sort for name in {*names} if name.sort]
    return len({*sorts}) < len(sorts)
