"""The queue: what is submitted, where it is, and what came of it."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from dbos import DBOSClient
from dbos import error as dbos_error

from linkedapi_async import ParameterError, QueueError, st
from linkedapi_async.fleet import Progress, Queue, _dbos_client, _queue, _starts
from linkedapi_async.fleet._database import Database
from linkedapi_async.fleet._dbos_client import SCHEMA
from linkedapi_async.fleet._schema import results
from linkedapi_async.fleet._starts import End, Starts


pytestmark = pytest.mark.anyio

READ = st.open_person_page("https://www.linkedin.com/in/ada", basic_info=True)


@pytest.fixture
async def queue(tmp_path: Path) -> AsyncIterator[Queue]:
    """Return an open queue on SQLite."""
    async with Queue(f"sqlite:///{tmp_path / 'work.sqlite3'}") as found:
        yield found


def hello(number: int) -> st.send_message:
    """Return a message to one of many people."""
    return st.send_message(f"https://www.linkedin.com/in/p-{number}", text="Hello!")


def lanes(queue: Queue) -> dict[str, list[str]]:
    """Return the keys that the engine has, by lane, in its order."""
    engine = queue._database.engine
    client = DBOSClient(system_database_engine=engine, dbos_system_schema=SCHEMA)
    found = client.list_workflows(status="ENQUEUED", load_input=False)
    client.destroy()
    by_lane: dict[str, list[str]] = {}
    for each in sorted(found, key=lambda each: each.priority or 0):
        by_lane.setdefault(str(each.queue_partition_key), []).append(each.workflow_id)
    return by_lane


async def run(queue: Queue, key: str, end: End | None, *, send: bool = True) -> None:
    """Do what a worker does with an item; without an end, its answer is lost."""
    starts = Starts(queue._database)
    await starts.intend(key, "execution")
    if end is None:
        await starts.unknown(key, "execution", ("wf-candidate",))
    else:
        await starts.accepted(key, "execution", str(end.workflow_id))
        await starts.finished(key, "execution", end)
    assert queue._client is not None
    # For the engine it has ended in any case.
    client = DBOSClient(
        system_database_engine=queue._database.engine, dbos_system_schema=SCHEMA
    )
    client.cancel_workflow(key)
    client.destroy()


def completed(number: int = 1) -> End:
    """Return the end of a workflow that has sent a message."""
    body = '{"actionType":"st.sendMessage","success":true}'
    return End(status="completed", workflow_id=f"wf-{number}", body=body, wrote=True)


def failed(number: int = 1, *, wrote: bool = False) -> End:
    """Return the end of a workflow that failed."""
    body = '{"reason":"workflowTimeout","message":"slow","raw":null}'
    return End(
        status="failed",
        workflow_id=f"wf-{number}",
        body=body,
        error="workflowTimeout",
        wrote=wrote,
    )


async def test_each_lane_has_the_order_of_its_submission(queue_url: str) -> None:
    """Also within one transaction, and from any program."""
    async with Queue(queue_url) as queue, Queue(queue_url) as other:
        for start, each in ((0, queue), (20, other), (40, queue)):
            added = await each.submit_all(
                (f"lane-{n % 3}", hello(n), f"key-{n:03}")
                for n in range(start, start + 20)
            )
            assert 20 == added
        found = lanes(queue)

    assert {
        f"lane-{lane}": [f"key-{n:03}" for n in range(60) if n % 3 == lane]
        for lane in range(3)
    } == found


async def test_a_key_is_submitted_once(queue: Queue) -> None:
    """Submitting again adds nothing, whatever the form of the same workflow."""
    first = await queue.submit("lane", hello(1), key="a")
    second = await queue.submit(
        "lane",
        {
            "text": "Hello!",
            "personUrl": "https://www.linkedin.com/in/p-1",
            "actionType": "st.sendMessage",
        },
        key="a",
    )
    array = await queue.submit("lane", hello(1), READ, key="b")
    added = await queue.submit_all(
        [("lane", hello(1), "a"), ("lane", (hello(1), READ), "b"), ("x", READ, "c")] * 2
    )

    assert [True, False, True, 1] == [first, second, array, added]
    assert {"lane": ["a", "b"], "x": ["c"]} == lanes(queue)
    assert 3 == (await queue.progress()).queued


async def test_a_key_with_another_workflow_is_an_error(queue: Queue) -> None:
    """What comes before it is submitted, and nothing is replaced."""
    await queue.submit("lane", hello(1), key="a")
    with pytest.raises(QueueError, match="the key 'a' already names another workflow"):
        await queue.submit_all([("lane", hello(2), "b"), ("lane", hello(2), "a")])
    with pytest.raises(
        QueueError, match="the key 'a' already belongs to an item of account 'lane'"
    ):
        await queue.submit("other", hello(1), key="a")

    assert {"lane": ["a", "b"]} == lanes(queue)


async def test_a_plan_may_be_asynchronous_and_wrong_in_the_middle(queue: Queue) -> None:
    """What comes before a wrong workflow is submitted."""

    async def plan() -> AsyncIterator[tuple[str, Any, str]]:
        """Yield three items, and a wrong one."""
        for number in range(3):
            yield "lane", hello(number), f"key-{number}"
        yield "lane", {"actionType": "st.sendMessage", "text": 5}, "wrong"

    with pytest.raises(ValueError, match="problem"):
        await queue.submit_all(plan())

    async def rest() -> AsyncIterator[tuple[str, Any, str]]:
        """Yield four items."""
        for number in range(4):
            yield "lane", hello(number), f"key-{number}"

    assert {"lane": ["key-0", "key-1", "key-2"]} == lanes(queue)
    assert 1 == await queue.submit_all(rest())


async def test_a_long_plan_is_submitted_in_batches(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan is read as it is submitted."""
    monkeypatch.setattr(_queue, "BATCH", 4)
    counts = []

    def plan() -> Iterator[tuple[str, Any, str]]:
        """Yield ten items, and note when."""
        for number in range(10):
            counts.append(number)
            yield "lane", READ, f"key-{number}"

    added = await queue.submit_all(plan())
    for number in range(10):
        await run(queue, f"key-{number}", completed(number))
    read = [done.key async for done in queue.results()]

    assert 10 == added == len(counts)
    assert [f"key-{number}" for number in range(10)] == read


@pytest.mark.parametrize("name", ["", " ", "x" * 501, "a\0", "\ud83d", 5, None])
async def test_names_that_cannot_be_stored(queue: Queue, name: Any) -> None:
    """Keys and names of accounts are text that both databases can store."""
    with pytest.raises(ValueError, match="account must be a text of 1 to 500"):
        await queue.submit(name, READ, key="a")
    with pytest.raises(ValueError, match="key must be a text of 1 to 500 characters"):
        await queue.submit("lane", READ, key=name)


async def test_a_wrong_workflow_is_not_submitted(queue: Queue) -> None:
    """A workflow is checked before it is stored."""
    with pytest.raises(ParameterError):
        await queue.submit("lane", st.send_message("https://x.y", text=5), key="a")  # type: ignore[arg-type]

    assert {} == lanes(queue)


async def test_results_come_in_order_and_again_after_a_cursor(queue: Queue) -> None:
    """A reader that stores its cursor misses nothing."""
    for number in range(3):
        await queue.submit("lane", hello(number), key=f"key-{number}")
    for number in (2, 0, 1):
        await run(queue, f"key-{number}", completed(number))
    found = [done async for done in queue.results()]
    rest = [done.key async for done in queue.results(after=found[0].cursor)]

    assert ["key-2", "key-0", "key-1"] == [done.key for done in found]
    assert ["key-0", "key-1"] == rest
    assert [hello(2), hello(0), hello(1)] == [done.workflow for done in found]
    assert None is found[0].result()


async def test_a_reader_can_wait_for_more(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Following never ends, and brings what ends later."""
    monkeypatch.setattr(_queue, "FOLLOW_INTERVAL", 0.01)
    await queue.submit("lane", hello(1), key="a")
    reader = aiter(queue.results(follow=True))
    first = asyncio.ensure_future(anext(reader))
    await asyncio.sleep(0.05)
    early = first.done()
    await run(queue, "a", completed())
    async with asyncio.timeout(60):
        done = await first
    await reader.aclose()  # type: ignore[attr-defined]

    assert not early
    assert "a" == done.key


async def test_progress_counts_everything_once(queue: Queue) -> None:
    """Each item is in one place."""
    for key in "abcdefg":
        await queue.submit("lane", hello(1), key=key)
    await run(queue, "a", completed())
    await run(queue, "b", failed(2))
    await run(queue, "c", None)
    await Starts(queue._database).intend("d", "1")
    await Starts(queue._database).intend("e", "1")
    await Starts(queue._database).accepted("e", "1", "wf-e")
    await queue.cancel("f")

    assert Progress(
        queued=1, running=2, completed=1, failed=1, cancelled=1, unknown=1
    ) == (await queue.progress())
    assert ["b", "f"] == [done.key for done in await queue.failed()]


async def test_items_are_found_by_their_keys(queue_url: str) -> None:
    """Each is where it is, with its end; results after the cursor are new ones."""
    async with Queue(queue_url) as queue:
        before = await queue.cursor()
        for key in "abcd":
            await queue.submit("lane", hello(1), key=key)
        await run(queue, "b", completed())
        await run(queue, "c", None)
        await Starts(queue._database).intend("d", "1")
        found = await queue.find(["d", "a", "b", "c", "e"])
        cursor = await queue.cursor()
        after = [done.key async for done in queue.results(before)]

    assert {"a": "queued", "b": "ended", "c": "unknown", "d": "running"} == {
        key: item.state for key, item in found.items()
    }
    assert ["a", "lane"] == [found["a"].key, found["a"].account]
    assert '"st.sendMessage"' in found["a"].definition
    assert found["a"].done is None
    assert found["b"].done is not None
    assert ("b", "completed", cursor) == (
        found["b"].done.key,
        found["b"].done.status,
        found["b"].done.cursor,
    )
    assert (0, ["b"]) == (before, after)


async def test_progress_reads_one_snapshot(queue: Queue) -> None:
    """Between two statements, workers could commit, and a sum would be wrong."""
    statements: list[str] = []

    @sa.event.listens_for(queue._database.engine, "before_cursor_execute")
    def _(*arguments: Any) -> None:
        statements.append(arguments[2])

    await queue.progress()

    assert 1 == sum("SELECT" in each for each in statements[-2:]), statements


async def test_nothing_can_be_submitted(queue_url: str) -> None:
    """An empty plan, and one that ends with a full batch, send no empty statement."""
    async with Queue(queue_url) as queue:
        added = await queue.submit_all([])
        full = ((f"{n}", hello(n), f"key-{n}") for n in range(_queue.BATCH))
        assert _queue.BATCH == await queue.submit_all(full)

    assert 0 == added


async def test_a_plan_that_fails(queue: Queue) -> None:
    """What it gave before is submitted, whatever its error is."""

    def plan() -> Iterator[tuple[str, Any, str]]:
        """Yield two items, and fail."""
        yield "lane", READ, "a"
        yield "lane", READ, "b"
        raise LookupError("row 3")

    with pytest.raises(LookupError, match="row 3"):
        await queue.submit_all(plan())

    assert {"lane": ["a", "b"]} == lanes(queue)


async def test_a_decision_brings_an_unknown_start_back(queue: Queue) -> None:
    """Both decisions put it back to its place, before what waits."""
    for key in ("a", "b", "c"):
        await queue.submit("lane", hello(1), key=key)
    for key in ("a", "b"):
        await run(queue, key, None)
    waiting = await queue.unknown()
    before = lanes(queue)
    await queue.adopt("a", "wf-a")
    await queue.adopt("a", "wf-a")
    await queue.discard("b")
    states = [(await Starts(queue._database).find(key)).state for key in "ab"]

    assert [("a", "lane", ("wf-candidate",), hello(1))] == [
        (start.key, start.account, start.candidates, start.workflow)
        for start in waiting[:1]
    ]
    assert {"lane": ["c"]} == before
    assert {"lane": ["a", "b", "c"]} == lanes(queue)
    assert ["accepted", "free"] == states
    assert [] == await queue.unknown()


async def test_what_failed_runs_again_on_request(queue: Queue) -> None:
    """Its result is removed, and it comes before what waits."""
    for key in ("a", "b", "c"):
        await queue.submit("lane", hello(1), key=key)
    await run(queue, "a", failed(1))
    await run(queue, "b", failed(2, wrote=True))
    await queue.retry("a")
    with pytest.raises(QueueError, match="may have changed something on LinkedIn"):
        await queue.retry("b")
    await queue.retry("b", again=True)

    assert {"lane": ["a", "b", "c"]} == lanes(queue)
    assert [] == [done async for done in queue.results()]


async def test_a_wake_waits_for_an_execution_that_ends(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An item that still runs for the engine is woken when it has ended."""
    monkeypatch.setattr(_dbos_client, "WAKE_INTERVAL", 0.01)
    await queue.submit("lane", hello(1), key="a")
    await run(queue, "a", None)
    client = queue._client
    assert client is not None
    statuses = iter(["PENDING", "PENDING"])
    real = client.status
    monkeypatch.setattr(client, "status", lambda key: next(statuses, None) or real(key))
    await queue.discard("a")

    assert {"lane": ["a"]} == lanes(queue)


async def test_an_item_that_never_ends_is_not_woken(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An execution that goes on needs no other one."""
    monkeypatch.setattr(_dbos_client, "WAKE_INTERVAL", 0.001)
    await queue.submit("lane", hello(1), key="a")
    starts = Starts(queue._database)
    await starts.intend("a", "1")
    await starts.unknown("a", "1")
    monkeypatch.setattr(queue._client, "status", lambda _: "PENDING")
    await queue.discard("a")
    monkeypatch.setattr(_starts, "WAKE_PATIENCE", -1.0)

    assert {"lane": ["a"]} == lanes(queue)
    # A worker looks again, in case that it ends.
    assert [("a", "lane")] == await starts.to_wake()


async def test_cancelling(queue: Queue) -> None:
    """What waits leaves its lane; what runs is its worker's; what ended stays."""
    for key in ("a", "b", "c"):
        await queue.submit("lane", hello(1), key=key)
    await run(queue, "b", completed())
    await Starts(queue._database).intend("c", "1")
    answers = [await queue.cancel(key) for key in ("a", "b", "c", "a")]

    assert ["cancelled", "finished", "requested", "cancelled"] == answers
    assert {"lane": ["c"]} == lanes(queue)
    with pytest.raises(QueueError, match="'d' cannot be cancelled: it is not in the"):
        await queue.cancel("d")


async def test_forgetting(queue_url: str) -> None:
    """What ended long ago is removed, and its key is free again."""
    async with Queue(queue_url) as queue:
        for key in ("old", "new", "open"):
            await queue.submit("lane", hello(1), key=key)
        await run(queue, "old", completed(1))
        await run(queue, "new", completed(2))
        old = sa.update(results).where(results.c.key == "old")
        await queue._database.do(
            lambda found: found.execute(
                old.values(ended_at=results.c.ended_at - 7 * 86400)
            )
        )
        counts = [
            await queue.forget(older_than)
            for older_than in (dt.timedelta(days=8), 6 * 86400, 0)
        ]
        again = await queue.submit("other", READ, key="old")

        assert [0, 1, 1] == counts
        assert again
        assert {"lane": ["open"], "other": ["old"]} == lanes(queue)


async def test_forgetting_what_runs_again(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An item that is freed while old ones are removed is not lost."""
    await queue.submit("lane", hello(1), key="a")
    await run(queue, "a", failed())
    client = queue._client
    assert client is not None
    remove = client.remove

    def late(keys: Sequence[str]) -> None:
        """Remove it from the engine, while it is to run again."""
        remove(keys)
        with queue._database.engine.begin() as connection:
            freed = "UPDATE items SET state = 'free' WHERE key = 'a'"
            connection.exec_driver_sql(freed)
            connection.exec_driver_sql("DELETE FROM results")

    monkeypatch.setattr(client, "remove", late)
    await queue.forget(0)
    gone = lanes(queue)
    await queue.retry("a")

    assert {} == gone
    assert {"lane": ["a"]} == lanes(queue)
    assert "free" == (await Starts(queue._database).find("a")).state


async def test_use_before_and_after(tmp_path: Path) -> None:
    """A queue that is not open says how to open it."""
    queue = Queue(f"sqlite:///{tmp_path / 'work.sqlite3'}")
    with pytest.raises(RuntimeError, match="use: async with Queue"):
        await queue.progress()
    closed = repr(queue)
    async with queue:
        opened = repr(queue)

    assert ["<Queue sqlite, closed>", "<Queue sqlite, open>"] == [closed, opened]


async def test_errors_of_the_engine_are_errors_of_the_queue(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the engine cannot do is a QueueError."""
    await queue.submit("lane", hello(1), key="a")
    await run(queue, "a", completed())
    broken = Database(str(queue._database.url))
    with broken.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE workflow_input")
    with pytest.raises(QueueError, match=r"cannot be used: .*: no such table"):
        await queue.forget(0)
    await broken.close()
    kept = [done.key async for done in queue.results()]

    assert ["a"] == kept


async def test_an_error_of_the_engine_names_the_database(queue: Queue) -> None:
    """Its own errors are those of the queue, too."""

    async def fail() -> None:
        """Fail as the engine does."""
        message = "it is broken"
        raise dbos_error.DBOSException(message)

    with pytest.raises(QueueError, match=r"work.sqlite3, cannot be used: .*broken"):
        await _queue.guarded(queue._database, fail())


async def test_a_queue_on_nothing(tmp_path: Path) -> None:
    """A database that is not there is an error when the queue is entered."""
    with pytest.raises(QueueError, match="cannot be used"):
        async with Queue(f"sqlite:///{tmp_path / 'no' / 'work.sqlite3'}"):
            pass
