"""Contacts: one person is reserved once, under any name, by any process."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import itertools
import sqlite3
import stat
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as draws

from linkedapi_async import JournalError, SuppressedError, WorkflowError
from linkedapi_async._actions.acts import acts_of
from linkedapi_async._utils.times import wall_time
from linkedapi_async.contacts import (
    Contacts,
    ContactStore,
    Name,
    Previous,
    SqliteContactStore,
)
from linkedapi_async.testing import run_virtual


pytestmark = pytest.mark.anyio

SITE = "https://www.linkedin.com"
ADA, BOB = f"{SITE}/in/ada", f"{SITE}/in/bob"
HASHED, OTHER_HASHED = f"{SITE}/in/ACoAAB1", f"{SITE}/in/ACoAAB2"
LEAD = f"{SITE}/in/ACwAAB1"
MEMBER = "urn:li:member:123"
DAY = 86_400

Make = Callable[[], ContactStore]
claims = itertools.count(1)


@pytest.fixture(params=["sqlite", "postgres"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Return what gives the store as one more process would have it.

    Every other implementation of a store belongs in the list of parameters.
    """
    if request.param == "postgres":
        from linkedapi_async.fleet._contacts import SharedContactStore
        from linkedapi_async.fleet._tables import Tables

        url = request.getfixturevalue("database")
        return lambda: SharedContactStore(Tables(url))
    return lambda: SqliteContactStore(tmp_path / "contacts.sqlite3")


@pytest.fixture
async def store(make: Make) -> AsyncIterator[ContactStore]:
    """An open store."""
    made = make()
    await made.open()
    yield made
    await made.aclose()


async def reserve(
    store: ContactStore,
    *names: str,
    claim: bytes | None = None,
    attempt: bytes = b"a",
    kind: str = "sendMessage",
    now: float = 100.0,
    since: float = 0.0,
) -> Previous | None:
    """Reserve a message to each of some people, by a claim of its own."""
    return await store.reserve(
        claim or str(next(claims)).encode(),
        attempt,
        [(kind, Name.of(name)) for name in names],
        now=now,
        since=since,
    )


# Every store


async def test_a_person_is_reserved_once(store: ContactStore) -> None:
    """Another claim finds the first one, for the same kind and person alone."""
    assert await reserve(store, ADA) is None
    assert Previous(0, 100.0, kept=False) == await reserve(store, f"{ADA}/?x=1")
    assert await reserve(store, BOB) is None
    assert await reserve(store, ADA, kind="sendConnectionRequest") is None


async def test_all_are_reserved_or_none(store: ContactStore) -> None:
    """An obstacle for the last one leaves the first one free."""
    await reserve(store, BOB)
    found = await reserve(store, ADA, BOB)

    assert Previous(1, 100.0, kept=False) == found
    assert await reserve(store, ADA) is None


async def test_contacts_expire(store: ContactStore) -> None:
    """Only what is after a moment is an obstacle."""
    await reserve(store, ADA, claim=b"1", now=100.0)
    await store.keep(b"1")

    assert Previous(0, 100.0, kept=True) == await reserve(store, ADA, since=99.9)
    assert await reserve(store, ADA, since=100.0, now=200.0) is None
    assert Previous(0, 200.0, kept=False) == await reserve(store, ADA, since=50.0)


async def test_a_claim_reserves_again(store: ContactStore) -> None:
    """What it has reserved is no obstacle for itself, unless it was kept."""
    await reserve(store, ADA, claim=b"1")

    assert await reserve(store, ADA, claim=b"1", attempt=b"b") is None
    await store.keep(b"1")
    assert await reserve(store, ADA, claim=b"1", attempt=b"c") is not None


async def test_release(store: ContactStore) -> None:
    """An attempt releases what it has reserved itself, a claim all that it has."""
    await reserve(store, ADA, claim=b"1", attempt=b"a")
    await reserve(store, ADA, BOB, claim=b"1", attempt=b"b")
    await store.release(b"1", b"b")

    assert await reserve(store, BOB, claim=b"2") is None
    assert await reserve(store, ADA, claim=b"2") is not None
    await store.release(b"1")
    assert await reserve(store, ADA, claim=b"2") is None


@pytest.mark.parametrize("first", range(3))
async def test_names_of_one_person(store: ContactStore, first: int) -> None:
    """Hashed URL, public URL and URN are one, once they were connected."""
    names = [ADA, HASHED, MEMBER]
    await reserve(store, names[first])
    others = names[:first] + names[first + 1 :]
    before = [await reserve(store, other, kind="x") for other in others]
    await store.connect([Name.of(name) for name in names])

    assert [None, None] == before
    for other in others:
        assert await reserve(store, other) is not None
        assert await reserve(store, other, kind="x") is not None
    assert {Name.of(name).digest for name in names} == await store.names(Name.of(ADA))
    assert {Name.of(BOB).digest} == await store.names(Name.of(BOB))


async def test_names_that_are_connected_again(store: ContactStore) -> None:
    """What is connected already stays as it is."""
    names = [Name.of(ADA), Name.of(HASHED)]
    await store.connect(names)
    await store.connect(names)

    assert {name.digest for name in names} == await store.names(names[0])


async def test_names_that_were_given_up(store: ContactStore) -> None:
    """A public name leaves its person when it is connected to another id."""
    await reserve(store, HASHED)
    await store.connect([Name.of(ADA), Name.of(HASHED), Name.of(MEMBER)])
    await store.connect([Name.of(ADA), Name.of(OTHER_HASHED)])

    assert await reserve(store, ADA) is None
    assert await reserve(store, OTHER_HASHED) is not None
    assert await reserve(store, MEMBER) is not None


async def test_contradictory_ids(store: ContactStore) -> None:
    """Two ids of one sort are two people, even if something connects them."""
    await store.connect([Name.of(HASHED), Name.of(LEAD)])
    await store.connect([Name.of(HASHED), Name.of(OTHER_HASHED)])
    await store.connect([Name.of(LEAD), Name.of(OTHER_HASHED)])
    await reserve(store, HASHED)

    assert await reserve(store, LEAD) is not None
    assert await reserve(store, OTHER_HASHED) is None


async def test_forget(store: ContactStore) -> None:
    """All names and contacts of a person are erased by any of them."""
    await store.connect([Name.of(ADA), Name.of(HASHED)])
    await reserve(store, ADA, claim=b"1")
    await store.keep(b"1")

    assert await store.forget(Name.of(HASHED))
    assert not await store.forget(Name.of(ADA))
    assert {Name.of(ADA).digest} == await store.names(Name.of(ADA))
    assert await reserve(store, ADA) is None


async def test_two_users_at_once(make: Make) -> None:
    """Of many who reserve the same people at the same time, one gets each."""
    stores = [make() for _ in range(3)]
    for each in stores:
        await each.open()
    people = [f"{SITE}/in/p{number}" for number in range(10)]
    found = await asyncio.gather(
        *(reserve(each, person) for person in people for each in stores)
    )
    for each in stores:
        await each.aclose()

    assert len(people) == found.count(None)


async def test_a_store_is_kept(make: Make) -> None:
    """What was reserved is there after closing; closing twice is harmless."""
    first, second = make(), make()
    await first.open()
    await reserve(first, ADA)
    await first.aclose()
    await first.aclose()
    await second.open()
    found = await reserve(second, ADA)
    await second.aclose()

    assert found is not None
    with pytest.raises(JournalError, match="not open"):
        await reserve(second, BOB)


NAMES = [ADA, BOB, HASHED, OTHER_HASHED, LEAD, MEMBER]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    groups=draws.lists(draws.sets(draws.sampled_from(NAMES), min_size=1), max_size=6)
)
def test_no_person_has_two_ids_of_a_sort(make: Make, groups: list[set[str]]) -> None:
    """Whatever is connected, each name has one person, and ids never contradict."""

    async def people() -> list[frozenset[bytes]]:
        """Connect the groups and return the names of each name's person."""
        store = make()
        await store.open()
        for group in groups:
            await store.connect([Name.of(name) for name in sorted(group)])
        found = [await store.names(Name.of(name)) for name in NAMES]
        for name in NAMES:  # for the next example
            await store.forget(Name.of(name))
        await store.aclose()
        return found

    found = asyncio.run(people())
    digests = {name: Name.of(name) for name in NAMES}
    for person in found:
        ids = [n.sort for n in digests.values() if n.digest in person and n.sort]

        assert len({*ids}) == len(ids)
    for name, person in zip(NAMES, found, strict=True):
        assert digests[name].digest in person
        for other, others in zip(NAMES, found, strict=True):
            assert (digests[other].digest in person) == (person == others)


# The policy


def message(person: str = ADA, action: str = "st.sendMessage") -> Any:
    """Return what a message does to whom."""
    return acts_of({"actionType": action, "personUrl": person, "text": "Hello"})


def one(path: Path, **settings: Any) -> Contacts:
    """Return contacts in a folder."""
    return Contacts(path / "contacts.sqlite3", **settings)


def test_once_in_a_while(tmp_path: Path) -> None:
    """A person may hear again when the time has passed, and the error says when it was."""

    async def month() -> tuple[float, list[SuppressedError]]:
        """Try to reserve one person over a month."""
        errors = []
        async with one(tmp_path, once_in=dt.timedelta(days=30)) as contacts:
            began = wall_time()
            await contacts.reserve(b"1", b"a", message())
            with pytest.raises(SuppressedError) as caught:
                await contacts.reserve(b"2", b"a", message(f"{ADA}/?x=1"))
            errors.append(caught.value)
            await contacts.store.keep(b"1")
            with pytest.raises(SuppressedError) as caught:
                await contacts.reserve(b"2", b"a", message(action="nv.sendMessage"))
            errors.append(caught.value)
            await asyncio.sleep(29.9 * DAY)
            with pytest.raises(SuppressedError):
                await contacts.reserve(b"2", b"a", message())
            await asyncio.sleep(0.2 * DAY)
            await contacts.reserve(b"2", b"a", message())
        return began, errors

    began, (under_way, done) = run_virtual(month())

    assert str(under_way).endswith(
        " and has not ended; once in 30 days; nothing was sent"
    )
    assert f"nv.sendMessage to {ADA} took place on 20" in str(done)
    assert {ADA} == {under_way.target, done.target}
    for error in (under_way, done):
        assert error.since is not None
        assert abs(error.since.timestamp() - began) < DAY


def test_one_day_is_one_day(tmp_path: Path) -> None:
    """A span of one day is no plural."""

    async def twice() -> None:
        """Reserve a person twice."""
        async with one(tmp_path, once_in=dt.timedelta(days=1)) as contacts:
            await contacts.reserve(b"1", b"a", message())
            await contacts.reserve(b"2", b"a", message())

    with pytest.raises(SuppressedError, match=r"once in 1 day; nothing was sent"):
        run_virtual(twice())


@pytest.mark.parametrize("connected", [False, True])
async def test_whom_to_leave_alone(tmp_path: Path, *, connected: bool) -> None:
    """Nothing is done to a person on the list, by any name that is known."""
    contacts = one(tmp_path, never=[f"{BOB}/?x=1", HASHED])
    async with contacts:
        if connected:
            await contacts.connect(ADA, HASHED)
            with pytest.raises(
                SuppressedError, match="never to be contacted"
            ) as caught:
                await contacts.reserve(b"1", b"a", message())

            assert (ADA, None) == (caught.value.target, caught.value.since)
        else:
            await contacts.reserve(b"1", b"a", message())
        with pytest.raises(SuppressedError, match="never to be contacted"):
            await contacts.reserve(b"1", b"a", message(BOB))


CSV = f"""\ufeffname;url\r
Ada;"{ADA}"\r
\r
Bob;" {BOB}/ "\r
"""


async def test_a_file_of_whom_to_leave_alone(tmp_path: Path) -> None:
    """The URL of each row counts, in whatever column it is."""
    (tmp_path / "never.csv").write_text(CSV, "utf-8")
    contacts = one(tmp_path, never=tmp_path / "never.csv")
    async with contacts:
        for person in (ADA, BOB):
            with pytest.raises(SuppressedError):
                await contacts.reserve(b"1", b"a", message(person))
        await contacts.reserve(b"1", b"a", message(HASHED))


def test_what_is_no_person(tmp_path: Path) -> None:
    """An entry that names no target would let someone be contacted: it is an error."""
    file = tmp_path / "never.csv"
    file.write_text(f"{ADA}\nBob,bob\n", "utf-8")

    with pytest.raises(ValueError, match=r"never\.csv:2: no URL or URN"):
        one(tmp_path, never=str(file))
    file.write_bytes(f"{ADA},Zo\xeb".encode("cp1252"))
    with pytest.raises(ValueError, match=r"never\.csv is not UTF-8"):
        one(tmp_path, never=file)
    with pytest.raises(ValueError, match="never: expected the URL or URN"):
        one(tmp_path, never=["bob"])
    with pytest.raises(ValueError, match="never: expected the URL or URN"):
        one(tmp_path, never=[5])
    with pytest.raises(ValueError, match="contacts need a file"):
        Contacts(":memory:")
    with pytest.raises(ValueError, match="once_in must be positive"):
        one(tmp_path, once_in=dt.timedelta(0))


SEARCH = {
    "actionType": "st.searchPeople",
    "then": {
        "actionType": "st.doForPeople",
        "then": {
            "actionType": "st.openPersonPage",
            "then": {"actionType": "st.sendConnectionRequest"},
        },
    },
}


@pytest.mark.parametrize("definition", [SEARCH, {"actionType": "st.brandNew"}])
async def test_targets_that_are_not_known(tmp_path: Path, definition: Any) -> None:
    """What writes to people who cannot be checked beforehand is refused."""
    async with one(tmp_path) as contacts:
        with pytest.raises(WorkflowError, match="cannot check whom it writes to"):
            await contacts.reserve(b"1", b"a", acts_of(definition))


async def test_what_has_no_target(tmp_path: Path) -> None:
    """A post is written to no person, so it may be repeated."""
    post = acts_of({"actionType": "st.createPost", "text": "Hello"})
    async with one(tmp_path) as contacts:
        await contacts.reserve(b"1", b"a", post)
        await contacts.reserve(b"2", b"a", post)


async def test_names_are_not_stored(tmp_path: Path) -> None:
    """The file has digests, for its owner alone, and forgetting leaves none."""
    path = tmp_path / "contacts.sqlite3"
    async with one(tmp_path) as contacts:
        await contacts.reserve(b"1", b"a", message())
        await contacts.connect(ADA, HASHED)
        digest = Name.of(HASHED).digest
        before = path.read_bytes()
        known = await contacts.forget(ADA)
        again = await contacts.forget(ADA)
    after = path.read_bytes()

    assert (True, False) == (known, again)
    assert digest in before
    assert digest not in after
    for content in (before, after):
        assert b"ada" not in content
        assert HASHED.encode() not in content
    if sys.platform != "win32":
        assert 0o600 == stat.S_IMODE(path.stat().st_mode)


async def test_several_users_of_one_object(tmp_path: Path) -> None:
    """It is open until the last of its users has closed it."""
    contacts = one(tmp_path)
    assert "closed" in repr(contacts)
    async with contacts:
        async with contacts:
            assert "open" in repr(contacts)
        await contacts.reserve(b"1", b"a", message())
    await contacts.aclose()

    assert "closed" in repr(contacts)


async def test_files_of_something_else(tmp_path: Path) -> None:
    """A file of another program is left as it is; so is one of a newer version."""
    path = tmp_path / "contacts.sqlite3"
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE other (x)")
    with pytest.raises(JournalError, match="has no contacts"):
        await one(tmp_path).open()
    path.unlink()
    async with one(tmp_path):
        pass
    with contextlib.closing(sqlite3.connect(path)) as newer:
        newer.execute("PRAGMA user_version = 2")
    with pytest.raises(
        JournalError, match="have version 2, this linkedapi-async reads"
    ):
        await one(tmp_path).open()
    path.write_bytes(b"x" * 5000)
    broken = one(tmp_path)
    for _ in range(2):
        with pytest.raises(
            JournalError, match="cannot be used: file is not a database"
        ):
            await broken.open()
    with pytest.raises(JournalError, match="cannot be used"):
        await Contacts(tmp_path / "missing" / "c.sqlite3").open()


async def test_a_transaction_that_fails(tmp_path: Path) -> None:
    """A step that cannot be stored changes nothing, and the next one can."""
    path = tmp_path / "contacts.sqlite3"
    store = SqliteContactStore(path)
    await store.open()
    await reserve(store, ADA, claim=b"1")
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("ALTER TABLE contacts RENAME TO gone")
    with pytest.raises(JournalError, match="no such table"):
        await reserve(store, BOB)
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("ALTER TABLE gone RENAME TO contacts")
    names = await store.names(Name.of(BOB))
    free = await reserve(store, BOB)
    await store.aclose()

    assert {Name.of(BOB).digest} == names
    assert free is None
