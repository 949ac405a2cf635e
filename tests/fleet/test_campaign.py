"""Pace and contacts in a fleet: they hold over all workers."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from fleet_harness import make_worker, working

from linkedapi_async import JournalError, Pace, QueueError, SuppressedError, st
from linkedapi_async._pacing import Booking, History
from linkedapi_async.contacts import Contacts
from linkedapi_async.fleet import Done, Queue
from linkedapi_async.fleet._shared import KEPT, TableBookings, campaign_tables
from linkedapi_async.sandbox import Sandbox


pytestmark = pytest.mark.anyio

MONTHLY = Pace(min_interval=30 * 86400, jitter=0)


def hello(name: str) -> st.send_message:
    """Return a message to a person."""
    return st.send_message(f"https://www.linkedin.com/in/{name}", text="Hello!")


@contextlib.asynccontextmanager
async def campaigning(
    url: str, sandbox: Sandbox, **settings: Any
) -> AsyncIterator[list[Done]]:
    """Run a worker, and end it; give the list of its results."""
    results: list[Done] = []
    worker = make_worker(url, sandbox, on_result=results.append, **settings)
    async with working(worker) as task:
        yield results
        assert not task.done(), task


async def until(condition: Callable[[], object]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(120):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_pace_holds_over_all_workers(
    queue_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What the pace does not allow waits in its lane, on the next worker too."""
    caplog.set_level(logging.INFO, "linkedapi_async")
    async with Sandbox(speed=1000) as sandbox, Queue(queue_url) as queue:
        await queue.submit("lane", hello("ada"), key="a")
        await queue.submit("lane", hello("bob"), key="b")
        await queue.submit("other", hello("eve"), key="c")
        async with campaigning(queue_url, sandbox, pace=MONTHLY) as results:
            await until(lambda: len(results) == 2 and "b waits" in caplog.text)
        caplog.clear()
        async with campaigning(queue_url, sandbox, pace=MONTHLY):
            await until(lambda: "b waits" in caplog.text)
        found = await queue.progress()

    assert {"a", "c"} == {done.key for done in results}
    assert 2 == len(sandbox.workflows)
    assert (2, 0, 0) == (found.completed, found.failed, found.unknown)
    assert [] == [
        each.getMessage()
        for each in caplog.records
        if each.name == "linkedapi_async" and each.levelno > logging.INFO
    ]


async def test_contacts_hold_over_all_workers(queue_url: str) -> None:
    """A person hears once, whichever worker and account would write again."""
    contacts = functools.partial(Contacts, never=["https://www.linkedin.com/in/eve"])
    async with Sandbox(speed=1000) as sandbox, Queue(queue_url) as queue:
        await queue.submit("lane", hello("ada"), key="a")
        async with campaigning(queue_url, sandbox, contacts=contacts) as results:
            await until(lambda: results)
        await queue.submit("other", hello("ada"), key="b")
        await queue.submit("other", hello("eve"), key="c")
        async with campaigning(queue_url, sandbox, contacts=contacts) as others:
            await until(lambda: len(others) == 2)

    assert 1 == len(sandbox.workflows)
    assert "completed" == results[0].status
    assert ["SuppressedError"] * 2 == [done.error for done in others]
    raised: list[SuppressedError] = []
    for done in others:
        with pytest.raises(SuppressedError) as caught:
            done.result()
        raised.append(caught.value)
    assert ["https://www.linkedin.com/in/ada", "https://www.linkedin.com/in/eve"] == [
        error.target for error in raised
    ]
    assert [True, False] == [error.since is not None for error in raised]


async def test_forgetting_includes_what_the_pace_has_counted(queue_url: str) -> None:
    """What no month counts goes with the items; without a pace there is nothing."""
    old = time.time() - KEPT - 1000
    async with Queue(queue_url) as queue:
        await queue.forget(0)
        tables = campaign_tables(queue._database.url)
        await tables.open()
        bookings = TableBookings(tables)
        for key, at in (("first", old - 10), ("old", old), ("new", old + 5000)):
            await bookings.claim(Booking(key, "a", at, {}), 0, lambda _: True)
            await bookings.book_end(key, at + 1, None)
        await queue.forget(0)
        found = await bookings.bookings("a", 0)
        await tables.do(lambda execute: execute("DROP TABLE bookings", {}))
        await tables.aclose()
        if queue._database.is_sqlite:
            with pytest.raises(QueueError, match="no such table: bookings"):
                await queue.forget(0)

    assert ["first", "new"] == [each.key for each in found.bookings]


async def test_an_item_waits_for_the_tables_of_its_campaign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the pace cannot be asked, nothing is sent, and nothing is unknown."""
    url = f"sqlite:///{tmp_path / 'work.sqlite3'}"
    claim, failures = TableBookings.claim, [JournalError("away")]

    async def fail_once(
        self: TableBookings,
        booking: Booking,
        since: float,
        allows: Callable[[History], bool],
    ) -> History | None:
        """Fail at the first claim."""
        if failures:
            raise failures.pop()
        return await claim(self, booking, since, allows)

    monkeypatch.setattr(TableBookings, "claim", fail_once)
    monkeypatch.setattr("linkedapi_async.fleet._items.FIRST_DELAY", 0.01)
    async with Sandbox(speed=1000) as sandbox, Queue(url) as queue:
        await queue.submit("lane", hello("ada"), key="a")
        async with campaigning(url, sandbox, pace=MONTHLY) as results:
            await until(lambda: results)
        assert () == tuple(await queue.unknown())

    assert 1 == len(sandbox.workflows)
    assert "Item a waits: away" in caplog.text


async def test_a_worker_without_its_tables(tmp_path: Path) -> None:
    """A worker whose campaign is in a file of something else does not begin."""
    path = tmp_path / "work.sqlite3"
    Path(f"{path}.campaigns").write_text("something else, and no database")
    async with Sandbox() as sandbox:
        worker = make_worker(f"sqlite:///{path}", sandbox, pace=MONTHLY)
        with pytest.raises(JournalError, match="cannot be used: "):
            await worker.run()
