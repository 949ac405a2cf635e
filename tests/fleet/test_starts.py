"""The protocol of starts: the same rules in SQLite and in PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import settings, strategies
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from linkedapi_async import QueueError
from linkedapi_async.fleet import _starts
from linkedapi_async.fleet._database import Database
from linkedapi_async.fleet._schema import items, results
from linkedapi_async.fleet._starts import End, Found, Starts


pytestmark = pytest.mark.anyio

KEYS = strategies.sampled_from(["a", "b"])
EXECUTIONS = strategies.sampled_from(["1", "2", "3"])


@pytest.fixture
async def opened(queue_url: str) -> AsyncIterator[Database]:
    """Return an open database."""
    database = Database(queue_url)
    await database.open()
    yield database
    await database.close()


async def add(database: Database, *keys: str) -> None:
    """Add items that are free."""
    rows = [
        {"key": key, "account": "lane", "definition": "{}", "state": "free"}
        for key in keys
    ]
    await database.do(lambda found: found.execute(sa.insert(items), rows))


@contextmanager
def refused() -> Iterator[list[QueueError]]:
    """Collect the error of a change that is not possible."""
    errors: list[QueueError] = []
    try:
        yield errors
    except QueueError as error:
        errors.append(error)


class Machine(RuleBasedStateMachine):
    """Compares a database with what the protocol promises.

    Executions do whatever they like in whatever order, as crashes let them.
    """

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.database = Database(self.url)
        self.starts = Starts(self.database)
        self.runner.run(self.database.open())
        self.runner.run(add(self.database, "a", "b"))
        self.may_send: dict[str, str] = {}
        """Which execution may send an item, or has sent it."""
        self.ids: dict[str, str] = {}
        self.unknown: set[str] = set()
        self.ended: dict[str, str] = {}
        self.ids_given = 0

    def teardown(self) -> None:
        """Empty the tables for the next run."""

        def empty(connection: sa.Connection) -> None:
            for table in (items, results):
                connection.execute(sa.delete(table))

        self.runner.run(self.database.do(empty))
        self.runner.run(self.database.close())
        self.runner.close()

    @rule(key=KEYS, execution=EXECUTIONS)
    def intend(self, key: str, execution: str) -> None:
        """Only one execution gets leave to send an item."""
        found = self.runner.run(self.starts.intend(key, execution))
        if key in self.ended:
            expected = Found("finished", self.ids.get(key))
        elif key in self.ids:
            expected = Found("accepted", self.ids[key])
        elif key in self.unknown:
            expected = Found("unknown")
        elif self.may_send.setdefault(key, execution) == execution:
            expected = Found("ours")
        else:
            self.unknown.add(key)
            expected = Found("unknown")

        assert expected == found

    def is_intent(self, key: str, execution: str) -> bool:
        """Return whether an execution has an intent and no more."""
        ours = self.may_send.get(key) == execution
        return ours and key not in self.ids.keys() | self.unknown | self.ended.keys()

    @rule(key=KEYS, execution=EXECUTIONS)
    def accept(self, key: str, execution: str) -> None:
        """An id is recorded for the intent that it belongs to."""
        self.ids_given += 1
        workflow_id = f"id-{self.ids_given}"
        expected = self.is_intent(key, execution)
        if expected:
            self.ids[key] = workflow_id

        assert expected == self.runner.run(
            self.starts.accepted(key, execution, workflow_id)
        )

    @rule(key=KEYS, execution=EXECUTIONS)
    def refuse(self, key: str, execution: str) -> None:
        """A refusal takes the execution's own intent back, and nothing else."""
        if self.is_intent(key, execution):
            del self.may_send[key]
        self.runner.run(self.starts.refused(key, execution))

    @rule(key=KEYS, execution=EXECUTIONS)
    def lose_answer(self, key: str, execution: str) -> None:
        """A lost answer makes the execution's own intent unknown."""
        if self.is_intent(key, execution):
            self.unknown.add(key)
        self.runner.run(self.starts.unknown(key, execution))

    @rule(key=KEYS)
    def adopt(self, key: str) -> None:
        """A person can give an unknown start its id."""
        workflow_id = f"adopted-{key}"
        with refused() as errors:
            self.runner.run(self.starts.adopt(key, workflow_id))
        possible = key in self.unknown or (
            self.ids.get(key) == workflow_id and key not in self.ended
        )
        if possible:
            self.unknown.discard(key)
            self.ids[key] = workflow_id

        assert possible == (not errors)

    @rule(key=KEYS)
    def discard(self, key: str) -> None:
        """A person can let an unknown start be sent again."""
        possible = key in self.unknown
        if possible:
            self.unknown.discard(key)
            self.may_send.pop(key, None)
            self.runner.run(self.starts.discard(key))

    @rule(key=KEYS, execution=EXECUTIONS, fails=strategies.booleans())
    def finish(self, key: str, execution: str, fails: bool) -> None:
        """The end of the item's own workflow is recorded, once."""
        workflow_id = self.ids.get(key)
        if key not in self.ended and (
            workflow_id is not None or self.is_intent(key, execution)
        ):
            self.ended[key] = "failed" if fails else "completed"
        end = End(status="failed" if fails else "completed", workflow_id=workflow_id)
        self.runner.run(self.starts.finished(key, execution, end))

    @rule(key=KEYS)
    def retry(self, key: str) -> None:
        """What has failed can run again."""
        if self.ended.get(key) == "failed":
            self.runner.run(self.starts.retry(key, again=False))
            del self.ended[key]
            self.ids.pop(key, None)
            self.may_send.pop(key, None)

    @invariant()
    def unknown_starts_wait(self) -> None:
        """What is unknown is listed, and nothing else."""
        rows = self.runner.run(self.starts.waiting())

        assert sorted(self.unknown) == [row.key for row in rows]


def test_rules_hold_in_any_order(queue_url: str) -> None:
    """Whatever executions do after crashes, one of them at most may send an item."""
    machine = type("Machine", (Machine,), {"url": queue_url})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=5, stateful_step_count=16)
    )


async def test_a_cancelled_item_is_not_sent(opened: Database) -> None:
    """What waits is not sent; what runs is left to its worker."""
    starts = Starts(opened)
    await add(opened, "waits", "runs", "ends", "doubted", "in flight")
    for key in ("runs", "ends", "doubted", "in flight"):
        await starts.intend(key, "1")
    for key in ("runs", "ends"):
        assert await starts.accepted(key, "1", f"id-{key}")
    await starts.unknown("doubted", "1")
    await starts.finished("ends", "1", End(status="completed", workflow_id="id-ends"))
    answers = [
        await starts.cancel(key)
        for key in ("waits", "runs", "ends", "doubted", "in flight", "waits")
    ]
    running = await starts.to_cancel()
    refused = await starts.refused("in flight", "1")
    sent = [
        (await starts.intend(key, "2")).state
        for key in ("waits", "runs", "ends", "doubted", "in flight")
    ]
    await starts.keep("runs")

    assert [
        *("cancelled", "accepted", "finished", "cancelled", "accepted", "cancelled")
    ] == answers
    assert not refused
    assert ["runs"] == running
    assert ["cancelled", "accepted", "finished", "cancelled", "cancelled"] == sent
    assert [] == await starts.to_cancel()
    with pytest.raises(QueueError, match="'none' cannot be cancelled: it is not in"):
        await starts.cancel("none")


async def test_the_wish_to_cancel_outlasts_a_crash(opened: Database) -> None:
    """An item that was to be cancelled is not sent after its start was discarded."""
    starts = Starts(opened)
    await add(opened, "a")
    await starts.intend("a", "1")
    await starts.cancel("a")
    doubted = await starts.intend("a", "2")
    await starts.discard("a")

    assert Found("unknown") == doubted
    assert Found("cancelled") == await starts.intend("a", "3")


async def test_what_may_have_written_is_run_again_on_request_only(
    opened: Database,
) -> None:
    """A failed item runs again; one that may have written needs a word more."""
    starts = Starts(opened)
    await add(opened, "read", "wrote", "fine")
    for key, end in (
        ("read", End(status="failed", workflow_id="id-read")),
        ("wrote", End(status="failed", workflow_id="id-wrote", wrote=True)),
        ("fine", End(status="completed", workflow_id="id-fine", wrote=True)),
    ):
        await starts.intend(key, "1")
        await starts.accepted(key, "1", f"id-{key}")
        await starts.finished(key, "1", end)
    await starts.retry("read", again=False)
    with pytest.raises(QueueError, match="may have changed something"):
        await starts.retry("wrote", again=False)
    await starts.retry("wrote", again=True)
    await starts.retry("wrote", again=False)  # it is free already
    with pytest.raises(QueueError, match="'fine' cannot be run again: it is finished"):
        await starts.retry("fine", again=True)

    assert ["ours", "ours", "finished"] == [
        (await starts.intend(key, "2")).state for key in ("read", "wrote", "fine")
    ]


async def test_an_id_belongs_to_one_item(opened: Database) -> None:
    """A person cannot give the workflow of one item to another."""
    starts = Starts(opened)
    await add(opened, "a", "b")
    await starts.intend("a", "1")
    await starts.accepted("a", "1", "id-1")
    await starts.intend("b", "1")
    await starts.unknown("b", "1", ("id-2",))
    with pytest.raises(ValueError, match="id-1 is the workflow of another item"):
        await starts.adopt("b", "id-1")

    assert [["id-2"]] == [row.candidates for row in await starts.waiting()]


async def test_two_starts_do_not_become_one_workflow(opened: Database) -> None:
    """If a proxy replays an answer, its second start waits for a decision."""
    starts = Starts(opened)
    await add(opened, "a", "b")
    for key in "ab":
        await starts.intend(key, "1")
    goes_on = [await starts.accepted(key, "1", "id-1") for key in "ab"]

    assert [True, False] == goes_on
    assert [("b", ["id-1"])] == [
        (row.key, row.candidates) for row in await starts.waiting()
    ]


async def test_two_items_do_not_adopt_one_workflow_at_once(opened: Database) -> None:
    """The first one has it, also if both decisions are in one transaction."""
    starts = Starts(opened)
    await add(opened, "a", "b")
    for key in "ab":
        await starts.intend(key, "1")
        await starts.unknown(key, "1")
    adoptions = [starts.adopt(key, "id-1") for key in "ab"]
    first, second = await asyncio.gather(*adoptions, return_exceptions=True)

    assert first is None
    assert "id-1 is the workflow of another item already" == str(second)
    assert ["b"] == [row.key for row in await starts.waiting()]


async def test_the_late_answer_of_a_start_is_a_candidate(opened: Database) -> None:
    """A worker that was taken for dead tells which workflow its start became."""
    starts = Starts(opened)
    await add(opened, "a")
    await starts.intend("a", "1")
    await starts.intend("a", "2")

    assert not await starts.accepted("a", "1", "id-1")
    assert [["id-1"]] == [row.candidates for row in await starts.waiting()]


async def test_what_has_changed_nothing_runs_again(opened: Database) -> None:
    """An end that is a reason to wait frees the item for another start."""
    starts = Starts(opened)
    await add(opened, "a")
    await starts.intend("a", "1")
    await starts.accepted("a", "1", "id-1")
    await starts.again("a", "id-other")
    kept = await starts.find("a")
    await starts.again("a", "id-1")

    assert "accepted" == kept.state
    assert Found("ours") == await starts.intend("a", "1")


async def test_what_is_held_is_held_for_all(opened: Database) -> None:
    """Every execution finds how long it must not send; a decision ends that."""
    starts = Starts(opened)
    await add(opened, "a", "b", "c")
    for key in "abc":
        await starts.intend(key, "1")
    assert await starts.refused("a", "1", 3000.0)
    await starts.accepted("b", "1", "id-b")
    assert await starts.again("b", "id-b", 3000.0)
    await starts.refused("c", "1")
    held = [(await starts.find(key)).seconds_held for key in "abc"]
    await starts.discard("a")

    assert 2900 < held[0] <= 3000
    assert 2900 < held[1] <= 3000
    assert 0 == held[2] == (await starts.find("a")).seconds_held


async def test_one_caller_wakes_what_its_changer_has_not(
    opened: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program may be killed between its decision and the engine's part of it."""
    starts = Starts(opened)
    await add(opened, "a", "b", "c")
    for key in "abc":
        await starts.intend(key, "1")
        await starts.unknown(key, "1")
    await starts.adopt("a", "id-1")
    await starts.discard("b", wake=False)
    # An execution that had not ended has seen the decision.
    await starts.adopt("c", "id-3")
    await starts.finished("c", "1", End(status="completed", workflow_id="id-3"))
    early = await starts.to_wake()
    monkeypatch.setattr(_starts, "WAKE_PATIENCE", -1.0)
    late = await starts.to_wake()
    monkeypatch.undo()
    once = await starts.to_wake()
    await starts.woken("a")
    await starts.woken("gone")
    monkeypatch.setattr(_starts, "WAKE_PATIENCE", -1.0)

    assert [] == early == once == await starts.to_wake()
    assert [("a", "lane")] == late


async def test_a_forgotten_item_is_over(opened: Database) -> None:
    """An execution of an item that was removed does nothing."""
    starts = Starts(opened)

    await starts.keep("gone")

    assert "finished" == (await starts.find("gone")).state
    assert "finished" == (await starts.intend("gone", "1")).state
    assert "finished" == (await starts.finished("gone", "1", End(status="lost"))).state


async def test_starts_that_wait_at_once_share_statements(opened: Database) -> None:
    """A round trip for each item would hold up all others."""
    starts = Starts(opened)
    keys = [f"key-{number}" for number in range(50)]
    await add(opened, *keys)
    statements: list[str] = []

    @sa.event.listens_for(opened.engine, "before_cursor_execute")
    def _(*arguments: Any) -> None:
        statements.append(arguments[2])

    first = await asyncio.gather(*(starts.intend(key, key) for key in keys))
    twice = await asyncio.gather(*(starts.intend(key, "other") for key in keys))
    ends = await asyncio.gather(
        *(starts.finished(key, key, End(status="refused")) for key in keys)
    )

    assert {Found("ours")} == set(first)
    assert {Found("unknown")} == set(twice)
    assert {Found("unknown")} == set(ends)
    assert 20 > len(statements), statements


async def test_a_person_decides_on_unknown_starts_only(opened: Database) -> None:
    """Each decision is made once, and its repetition is harmless."""
    starts = Starts(opened)
    await add(opened, "a", "b", "c")
    for key in ("a", "b"):
        await starts.intend(key, "1")
        await starts.unknown(key, "1")
    for _ in range(2):
        await starts.adopt("a", "id-1")
        await starts.discard("b")
    with pytest.raises(QueueError, match="'c' cannot be adopted: it is free"):
        await starts.adopt("c", "id-3")
    with pytest.raises(QueueError, match="'a' cannot be discarded: it is accepted"):
        await starts.discard("a")
    with pytest.raises(QueueError, match="'d' cannot be discarded: it is not in the"):
        await starts.discard("d")

    assert Found("accepted", "id-1") == await starts.intend("a", "2")
    assert Found("ours") == await starts.intend("b", "2")
    assert Found("ours") == await starts.intend("b", "2")


async def test_what_is_not_the_own_intent_changes_nothing(opened: Database) -> None:
    """An execution that is out of date changes nothing."""
    starts = Starts(opened)
    await add(opened, "a")
    await starts.intend("a", "1")
    await starts.refused("a", "old")
    await starts.unknown("a", "old")
    await starts.finished("a", "old", End(status="failed"))
    late = await starts.accepted("a", "old", "id-0")
    await starts.accepted("a", "1", "id-1")
    again = [await starts.accepted("a", "1", f"id-{number}") for number in (1, 2)]

    assert not late
    assert [True, False] == again
    assert "accepted" == (await starts.find("a")).state
