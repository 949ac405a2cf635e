"""Streams write to each person once: the later item is suppressed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import hypothesis.strategies as some
import pytest
from hypothesis import given, settings
from scripted_server import Scripted, completed, taken

from linkedapi_async import (
    Session,
    StartUnknownError,
    SuppressedError,
    dump_workflow,
    st,
)
from linkedapi_async._utils.json import encode_json
from linkedapi_async._utils.secret import Secret
from linkedapi_async.journal import MemoryJournal
from linkedapi_async.session._recent_acts import RecentActs, acts_of_item


pytestmark = pytest.mark.anyio

SITE = "https://www.linkedin.com"
ADA, BOB = f"{SITE}/in/ada", f"{SITE}/in/bob"
SENT = {"actionType": "st.sendMessage", "success": True}


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    """A server that accepts everything, and completes it at once."""
    async with Scripted() as scripted:
        scripted.script("POST", taken())
        scripted.script("GET", completed(SENT))
        yield scripted


def message(person: str = ADA, text: str = "Hello") -> st.send_message:
    """Return a message."""
    return st.send_message(person, text=text)


async def ends(session: Session, items: Any, **options: Any) -> dict[Any, Any]:
    """Return the failure of each item of a stream, None where it was sent."""
    found: dict[Any, Any] = {}
    async with session.as_completed(items, limit=1, **options) as done:
        async for handle in done:
            found[handle.key or len(found)] = handle.failure
    return found


@pytest.mark.parametrize("journal", [True, False])
async def test_the_later_item_is_suppressed(server: Scripted, *, journal: bool) -> None:
    """Another spelling and text is the same person; the error names the first key."""
    items = [
        ("1", message()),
        ("2", dump_workflow(message(f"{ADA}/?x=1", text="Good day"))),
        ("3", st.open_person_page(ADA).then(st.send_message(text="x"))),
        ("4", message(BOB)),
        ("5", st.send_connection_request(ADA)),
        ("6", st.check_connection_status(ADA)),
        ("7", st.check_connection_status(ADA)),
    ]
    kept = MemoryJournal() if journal else None
    async with server.session(journal=kept) as session:
        found = await ends(session, items)
    suppressed = {key: error for key, error in found.items() if error is not None}

    assert ["2", "3"] == sorted(suppressed)
    for error in suppressed.values():
        assert isinstance(error, SuppressedError)
        assert (ADA, "1", None) == (error.target, error.key, error.since)
        assert str(error).startswith(
            f"st.sendMessage to {ADA} is in the item '1' already"
        )
    assert 5 == server.count("POST")


async def test_several_messages_that_are_meant(server: Scripted) -> None:
    """Without keys, and with once=False, every item is sent."""
    async with server.session() as session:
        without = await ends(session, [message(), message()])
        meant = await ends(session, [("1", message()), ("2", message())], once=False)

    assert [None] * 4 == [*without.values(), *meant.values()]
    assert 4 == server.count("POST")


async def test_what_was_sent_before_stays_and_counts(server: Scripted) -> None:
    """An item of an earlier run suppresses a new one, whatever it says by now."""
    journal = MemoryJournal()
    old = [("1", message()), ("2", message())]
    wrong = [("1", (5,)), ("2", message()), ("3", message())]
    async with server.session(journal=journal) as session:
        first = await ends(session, old, once=False)
    async with server.session(journal=journal) as session:
        second = await ends(session, [*old, ("3", message())])
    async with server.session(journal=journal) as session:
        third = await ends(session, wrong)
    async with server.session(journal=journal) as session:
        meant = await ends(session, [*old, ("4", message())], once=False)

    assert {"1": None, "2": None} == first
    assert ["3"] == [*second]
    assert isinstance(second["3"], SuppressedError)
    assert "1" == second["3"].key
    assert ["1"] == [error.key for error in third.values()]
    assert {"4": None} == meant


async def test_what_may_have_been_sent_counts(server: Scripted) -> None:
    """After a start without an answer, a later run sends to the same person no more."""
    journal = MemoryJournal()
    async with journal:
        await journal.intend(
            "1", "account", encode_json(dump_workflow(message())), stream=True
        )
    items = [("1", message()), ("2", message(f"{ADA}/?x=1")), ("3", message(BOB))]
    async with server.session(journal=journal) as session:
        found = await ends(session, items)

    assert isinstance(found["1"], StartUnknownError)
    assert isinstance(found["2"], SuppressedError)
    assert ("1", None) == (found["2"].key, found["3"])
    assert 1 == server.count("POST")


async def test_what_is_no_workflow(server: Scripted) -> None:
    """An item that is wrong has its own error."""
    wrong: list[Any] = [("1", 5), ("2", st.open_person_page()), ("3", (5,)), ("4", {})]
    async with server.session() as session:
        found = await ends(session, wrong)

    assert ["1", "2", "3", "4"] == sorted(found)
    assert not any(isinstance(error, SuppressedError) for error in found.values())


async def test_who_is_corrected(server: Scripted) -> None:
    """What an item did counts, not what it would do now."""
    journal = MemoryJournal()
    async with server.session(journal=journal) as session:
        await ends(session, [("1", message())])
    async with server.session(journal=journal) as session:
        items = [("1", message(BOB)), ("2", message(BOB)), ("3", message())]
        found = await ends(session, items)

    assert found["2"] is None
    assert isinstance(found["3"], SuppressedError)
    assert 2 == server.count("POST")


async def test_other_streams_do_not_count(server: Scripted) -> None:
    """A stream with other keys on the same journal, such as a reminder, is sent."""
    journal = MemoryJournal()
    async with server.session(journal=journal) as session:
        await ends(session, [("1", message()), ("2", message(BOB))])
        found = await ends(session, [("2", message(BOB)), ("reminder 1", message())])

    assert {"reminder 1": None} == found


async def test_what_another_stream_has_delivered_since(server: Scripted) -> None:
    """A stream that began before starts it no more."""
    journal = MemoryJournal()
    begun, delivered = asyncio.Event(), asyncio.Event()

    async def late() -> AsyncIterator[Any]:
        """Yield an item once the other stream has delivered it."""
        begun.set()
        await delivered.wait()
        yield "1", message()

    async with server.session(journal=journal) as session:
        stream = asyncio.create_task(ends(session, late()))
        await begun.wait()
        first = await ends(session, [("1", message())])
        while await journal.state("1") != "delivered":
            await asyncio.sleep(0)
        delivered.set()
        second = await stream

    assert ({"1": None}, {}) == (first, second)
    assert 1 == server.count("POST")


class Older(MemoryJournal):
    """A journal in which some rows are of a version that did not record acts."""

    def __init__(self, older: frozenset[str]) -> None:
        super().__init__()
        self._older = older

    async def delivered_items(self) -> dict[str, int | None]:
        """Leave out what was not recorded."""
        found = await super().delivered_items()
        return {key: None if key in self._older else found[key] for key in found}

    async def items_of_acts(self, acts: Iterable[bytes]) -> list[tuple[bytes, str]]:
        """Leave out what was not recorded."""
        found = await super().items_of_acts(acts)
        return [(act, key) for act, key in found if key not in self._older]


KEYS = "abcdef"


@given(
    people=some.fixed_dictionaries(dict.fromkeys(KEYS, some.sampled_from([ADA, BOB]))),
    streams=some.lists(
        some.tuples(some.lists(some.sampled_from(KEYS), unique=True), some.booleans()),
        min_size=2,
        max_size=4,
    ),
    older=some.frozensets(some.sampled_from(KEYS)),
)
@settings(max_examples=30, deadline=None)
def test_suppression_over_several_runs(
    people: dict[str, str], streams: list[tuple[list[str], bool]], older: frozenset[str]
) -> None:
    """An item is suppressed exactly if one before it in the stream is of its person."""

    async def run() -> list[set[str]]:
        """Return the keys that each stream suppresses."""
        found, journal = [], Older(older)
        async with Scripted() as server:
            server.script("POST", taken())
            server.script("GET", completed(SENT))
            for keys, once in streams:
                items = [(key, message(people[key])) for key in keys]
                async with server.session(journal=journal) as session:
                    got = await ends(session, items, once=once)
                found.append({key for key in got if got[key] is not None})
        return found

    delivered: set[str] = set()
    expected = []
    for keys, once in streams:
        met: set[str] = set()
        suppressed = set()
        for key in keys:
            if once and people[key] in met and key not in delivered:
                suppressed.add(key)
            met.add(people[key])
        delivered |= {*keys} - suppressed
        expected.append(suppressed)

    assert expected == asyncio.run(run())


def test_memory_is_bounded() -> None:
    """The acts of the last items are known, those before are forgotten."""
    acts = RecentActs(limit=2)

    def add(key: str, number: int) -> SuppressedError | None:
        """Add a message to one of several people."""
        return acts.add(key, acts_of_item(Secret(message(f"{SITE}/in/p{number}"))))

    for number in range(3):
        assert add(str(number), number) is None
    again, forgotten = add("x", 2), add("x", 0)

    assert again is not None
    assert "2" == again.key
    assert forgotten is None
