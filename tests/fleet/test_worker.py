"""A worker in this process, with its engine."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fleet_harness import make_worker, token, working
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from linkedapi_async import Pace, PollingCrashedError, QueueError, Retries, Session, st
from linkedapi_async.events import WorkflowFinished
from linkedapi_async.fleet import (
    Done,
    Progress,
    Queue,
    Worker,
    _items,
    _starts,
    _worker,
)
from linkedapi_async.fleet._database import Database
from linkedapi_async.fleet._dbos_client import DbosClient
from linkedapi_async.fleet._heartbeats import Heartbeats
from linkedapi_async.fleet._schema import workers
from linkedapi_async.fleet._starts import Starts
from linkedapi_async.otel import instrument, instrument_worker
from linkedapi_async.sandbox import Sandbox


pytestmark = pytest.mark.anyio


def hello(number: int) -> st.send_message:
    """Return a message to one of many people."""
    return st.send_message(f"https://www.linkedin.com/in/p-{number}", text="Hello!")


async def until(task: asyncio.Task[int], condition: Callable[[], object]) -> None:
    """Wait until something holds, or a worker has ended."""
    async with asyncio.timeout(120):
        while not condition() and not task.done():
            await asyncio.sleep(0.01)


async def progress(
    queue: Queue, task: asyncio.Task[int], enough: Callable[[Progress], object]
) -> Progress:
    """Wait until a queue is far enough; return how far."""
    async with asyncio.timeout(120):
        while not enough(found := await queue.progress()) and not task.done():
            await asyncio.sleep(0.02)
    return found


async def test_a_worker_runs_lanes_in_order(queue_url: str) -> None:
    """Each item is sent once, lanes keep their order, and nothing is left."""
    results: list[Done] = []
    async with Sandbox(speed=1000) as sandbox, Queue(queue_url) as queue:
        await queue.submit_all(
            (f"lane-{n % 3}", hello(n), f"key-{n:02}") for n in range(9)
        )
        worker = make_worker(queue_url, sandbox, ttl=60, on_result=results.append)
        async with working(worker) as task:
            await until(task, lambda: len(results) == 9)
            health = worker.health()
        sent = [workflow.definition["personUrl"] for workflow in sandbox.workflows]
        found = await queue.progress()

    assert 0 == task.result()
    assert health["ok"]
    assert health["database"]
    assert not worker.health()["ok"]
    assert sorted(sent) == sorted(
        {f"https://www.linkedin.com/in/p-{n}" for n in range(9)}
    )
    for lane in range(3):
        keys = [done.key for done in results if done.account == f"lane-{lane}"]
        assert [f"key-{n:02}" for n in range(9) if n % 3 == lane] == keys
    assert (
        Progress(queued=0, running=0, completed=9, failed=0, cancelled=0, unknown=0)
        == found
    )


async def test_a_worker_is_instrumented_as_its_session(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its session gives spans and events, and its logs say when it begins and stops."""
    caplog.set_level("DEBUG", "linkedapi_async.fleet")
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    meters = MeterProvider([reader])
    finished: list[str | None] = []
    url = f"sqlite:///{tmp_path / 'work.sqlite3'}"
    async with Sandbox(speed=1000) as sandbox, Queue(url) as queue:

        def session(**settings: Any) -> Session:
            """Return a session that is instrumented, and heard."""
            made = sandbox.session(**settings)
            instrument(made, tracers, meters)
            made.on(WorkflowFinished, lambda event: finished.append(event.key))
            return made

        await queue.submit("lane", hello(1), key="a")
        worker = make_worker(url, sandbox, session=session, ttl=60)
        instrument_worker(worker, meters)
        async with working(worker) as task:
            await progress(queue, task, lambda found: found.completed)
            data = reader.get_metrics_data()

    assert ["a"] == finished
    spans = {span.name: span.attributes or {} for span in exporter.get_finished_spans()}
    assert {"start st.sendMessage", "result st.sendMessage"} == spans.keys()
    assert {("lane", "a")} == {
        (facts["linkedapi.account"], facts["linkedapi.key"]) for facts in spans.values()
    }
    assert data is not None
    assert '"linkedapi.worker.beat_age"' in data.to_json()
    own = [each for each in caplog.records if each.name == "linkedapi_async.fleet"]
    begin, stop = (record for record in own if record.levelname == "INFO")
    assert "The worker starts" == begin.message
    # The item may still be on its way out of the worker.
    assert re.fullmatch(
        "The worker stops: 0 starts are in progress, [01] lanes go to others",
        stop.message,
    )
    assert vars(stop)["linkedapi_lanes"] in {0, 1}
    assert vars(begin)["linkedapi_executor"] == vars(stop)["linkedapi_executor"]
    submitted = [record for record in own if record.levelname == "DEBUG"]
    assert [("Submitted 1 items, of which 1 are new", 1)] == [
        (record.message, vars(record)["linkedapi_items"]) for record in submitted
    ]


async def test_a_dead_worker_is_taken_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has runs elsewhere, a part at a time, also if the first attempt fails."""
    url = f"sqlite:///{tmp_path / 'work.sqlite3'}"
    requeue, failures = DbosClient.requeue, [sa.exc.InvalidRequestError("first")]
    parts: list[int] = []

    def fail_once(self: DbosClient, executor: str, limit: int | None = None) -> int:
        """Fail at the first take-over."""
        if executor != "dead":
            return requeue(self, executor, limit)
        if failures:
            raise failures.pop()
        parts.append(requeue(self, executor, limit))
        return parts[-1]

    caplog.set_level("DEBUG", "linkedapi_async")
    monkeypatch.setattr(DbosClient, "requeue", fail_once)
    monkeypatch.setattr(_worker, "REQUEUE_CHUNK", 2)
    monkeypatch.setattr(_worker, "REQUEUE_INTERVAL", 0.01)
    results: list[Done] = []
    async with Sandbox(speed=1000) as sandbox, Queue(url) as queue:
        await queue.submit_all((f"lane-{n}", hello(n), f"key-{n}") for n in range(5))
        dead = (
            "UPDATE workflow_status SET status = 'PENDING', executor_id = 'dead', "
            "application_version = 'linkedapi-1'"
        )
        with queue._database.engine.begin() as connection:
            connection.exec_driver_sql(dead)
            connection.execute(
                sa.insert(workers).values(executor="dead", beat=_now() - 60, ttl=3)
            )
        worker = make_worker(url, sandbox, ttl=3, on_result=results.append)
        assert not worker.health()["ok"]
        async with working(worker) as task:
            await until(task, lambda: len(results) == 5)

    assert [2, 2, 1] == parts[:3]
    assert "Could not take over a dead worker: first" in caplog.text
    assert "Took over 5 lanes of a dead worker" in caplog.text
    facts = [
        {name: vars(record).get(f"linkedapi_{name}") for name in ("executor", "lanes")}
        for record in caplog.records
        if "take over" in record.message or "Took over" in record.message
    ]
    assert {"executor": "dead", "lanes": None} == facts[0]
    assert {"executor": "dead", "lanes": 5} == facts[1]


async def test_a_worker_wakes_what_was_decided(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that was killed after its decision has not woken the item."""
    monkeypatch.setattr(_starts, "WAKE_PATIENCE", -1.0)
    url = f"sqlite:///{tmp_path / 'work.sqlite3'}"
    wake = DbosClient.wake_ended
    answers: list[Any] = [False, sa.exc.InvalidRequestError("first")]
    results: list[Done] = []

    def unlucky(self: DbosClient, key: str, account: str) -> bool:
        """Fail, and find it running, before it works."""
        answer = answers.pop() if answers else None
        if isinstance(answer, Exception):
            raise answer
        return bool(wake(self, key, account) if answer is None else answer)

    monkeypatch.setattr(DbosClient, "wake_ended", unlucky)
    async with Sandbox(speed=1000) as sandbox, Queue(url) as queue:
        await queue.submit("lane", hello(1), key="a")
        starts = Starts(queue._database)
        await starts.intend("a", "killed")
        worker = make_worker(url, sandbox, ttl=0.5, on_result=results.append)
        async with working(worker) as task:
            await progress(queue, task, lambda found: found.unknown)
            ended = queue._client
            assert ended is not None
            await until(task, lambda: ended.status("a") == "SUCCESS")
            await starts.discard("a")  # and no more, as a kill leaves it
            await until(task, lambda: results)

    assert ["completed"] == [done.status for done in results]
    assert "Could not wake a: first" in caplog.text


async def test_a_worker_that_leaves_in_an_outage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row stays, so that others take over what it could not give back."""

    def away(*_: object) -> int:
        """Fail as a database that cannot be reached."""
        raise sa.exc.InvalidRequestError("away")

    monkeypatch.setattr(DbosClient, "requeue", away)
    url = f"sqlite:///{tmp_path / 'work.sqlite3'}"
    async with Sandbox() as sandbox, Queue(url) as queue:
        worker = make_worker(url, sandbox, ttl=60)
        async with working(worker) as task:
            await until(task, lambda: worker.health()["ok"])
        left = await queue._database.do(
            lambda connection: connection.execute(sa.select(workers)).all()
        )

    assert 0 == task.result()
    assert 1 == len(left)
    assert "Could not give the lanes of this worker to others" in caplog.text


def _now() -> float:

    return time.time()


async def test_a_worker_that_was_taken_over_leaves(tmp_path: Path) -> None:
    """It ends with 75, and what it still has goes back to the queue."""
    url = f"sqlite:///{tmp_path / 'work.sqlite3'}"
    async with Sandbox(speed=1) as sandbox, Queue(url) as queue:
        await queue.submit("lane", hello(1), key="a")
        async with working(make_worker(url, sandbox, ttl=0.5)) as task:
            await until(task, lambda: sandbox.workflows)
            with queue._database.engine.begin() as connection:
                connection.execute(sa.update(workers).values(successor="another"))
            async with asyncio.timeout(120):
                await asyncio.wait({task})
        with queue._database.engine.begin() as connection:
            states = connection.exec_driver_sql("SELECT status FROM workflow_status")
            left = [*states.scalars()]
        found = await queue.progress()

    assert 75 == task.result()
    assert ["ENQUEUED"] == left
    assert 1 == found.running


async def test_a_worker_without_a_sign_of_life_sends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others may have its lanes; when it has shown one, it goes on."""
    url = f"sqlite:///{tmp_path / 'work.sqlite3'}"
    beat, shown = Heartbeats.beat, asyncio.Event()

    async def wait(self: Heartbeats) -> bool:
        """Send a heartbeat late."""
        await shown.wait()
        return await beat(self)

    monkeypatch.setattr(Heartbeats, "beat", wait)
    # A host that cannot be reached is given a minute.
    monkeypatch.setattr(_items, "delay_of", lambda *_: (0.01, None))
    results: list[Done] = []
    async with Sandbox(speed=1000) as sandbox, Queue(url) as queue:
        worker = Worker(
            url,
            session=lambda: sandbox.session(retries=Retries(attempts=1)),
            token=token,
            interval=0.05,
            ttl=0.1,
            on_result=results.append,
        )
        async with working(worker) as task:
            await until(task, lambda: worker._alive_since and not worker._is_alive())
            await queue.submit("lane", hello(1), key="a")
            await until(task, lambda: "a waits" in caplog.text)
            early = len(sandbox.workflows)
            worker._ttl = 60.0
            shown.set()
            await until(task, lambda: results)

    assert 0 == early
    assert ["completed"] == [done.status for done in results]


async def test_a_crash_of_the_polling_ends_the_worker(tmp_path: Path) -> None:
    """The error is the caller's, and the lanes go to others."""
    url = f"sqlite:///{tmp_path / 'work.sqlite3'}"
    async with Sandbox(speed=1000) as sandbox:
        worker = make_worker(url, sandbox)
        async with working(worker) as task:
            await until(task, lambda: worker.health()["ok"])
            assert worker._items is not None
            worker._items._crash(PollingCrashedError())
            await until(task, task.done)

    with pytest.raises(PollingCrashedError):
        task.result()


async def test_a_worker_that_cannot_show_life_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would send nothing any more; so it leaves, whatever the error."""
    url = f"sqlite:///{tmp_path / 'work.sqlite3'}"

    async def fail(_: Heartbeats) -> bool:
        """Fail with an unforeseen error."""
        raise KeyError("beat")

    monkeypatch.setattr(Heartbeats, "beat", fail)
    async with Sandbox(speed=1000) as sandbox:
        async with working(make_worker(url, sandbox)) as task:
            await until(task, task.done)

    with pytest.raises(KeyError, match="beat"):
        task.result()


async def test_a_result_that_was_forgotten_is_not_delivered(tmp_path: Path) -> None:
    """What is no longer there is no reason to try for ever."""
    url = f"sqlite:///{tmp_path / 'work.sqlite3'}"
    async with Sandbox() as sandbox, Queue(url):
        worker = make_worker(url, sandbox, on_result=pytest.fail)
        await worker._deliver("gone")
        await worker._database.close()


@pytest.mark.parametrize(
    ("name", "number", "least"),
    [("lanes", 0, 1), ("starts", 0, 1), ("ttl", 0.0, 0.1), ("interval", 0.0, 0.01)],
)
def test_numbers_that_are_too_small(name: str, number: float, least: float) -> None:
    """A wrong setting is an error when the worker is made."""
    settings: dict[str, Any] = {name: number}
    expected = re.escape(f"{name} must be at least {least}, got {number}")
    with pytest.raises(ValueError, match=expected):
        Worker("sqlite:///x", session=Session.from_env, token=token, **settings)


@pytest.mark.parametrize(
    ("name", "value"), [("journal", "j.sqlite3"), ("pace", Pace())]
)
async def test_sessions_that_a_worker_cannot_use(
    name: str, value: Any, tmp_path: Path
) -> None:
    """A journal of one process and a pace of one process hold for no fleet."""
    url = f"sqlite:///{tmp_path / 'work.sqlite3'}"
    if name == "journal":
        value = tmp_path / value
    async with Sandbox() as sandbox:
        worker = Worker(
            url, session=lambda: sandbox.session(**{name: value}), token=token
        )
        with pytest.raises(ValueError, match=f"of a worker must not have a {name}"):
            await worker.run()

    assert "<Worker sqlite>" == repr(worker)


async def test_a_worker_without_a_database(tmp_path: Path) -> None:
    """It does not begin, and says why."""
    async with Sandbox() as sandbox:
        worker = make_worker(f"sqlite:///{tmp_path / 'no' / 'work.sqlite3'}", sandbox)
        with pytest.raises(QueueError, match="cannot be used"):
            await worker.run()


async def test_an_account_without_a_token_stops_no_other(
    queue_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lane waits while others work, and goes on once its token is there."""
    monkeypatch.setattr(_items, "FIRST_DELAY", 0.01)
    failing = True

    async def provider(account: str) -> str:
        """Fail for one account, for a while."""
        if failing and account == "poor":
            message = "the vault has no such entry"
            raise LookupError(message)
        return await token(account)

    async with Sandbox(speed=1000) as sandbox, Queue(queue_url) as queue:
        await queue.submit("poor", hello(0), key="waits")
        await queue.submit("rich", hello(1), key="a")
        await queue.submit("rich", hello(2), key="b")
        worker = make_worker(queue_url, sandbox, token=provider, ttl=60)
        async with working(worker) as task:
            before = await progress(queue, task, lambda found: found.completed == 2)
            sent = len(sandbox.workflows)
            failing = False
            after = await progress(queue, task, lambda found: found.completed == 3)

    assert (1, 0, 0) == (before.queued, before.failed, before.unknown)
    assert 2 == sent
    assert (0, 0, 0) == (after.queued, after.failed, after.unknown)


@pytest.mark.parametrize(
    ("since", "alive"),
    [
        pytest.param(None, False, id="before the first sign"),
        pytest.param((900.0, 5_900.0), True, id="recent"),
        pytest.param((900.0, 5_000.0), False, id="the machine slept"),
        pytest.param((800.0, 6_100.0), False, id="the clock was set back"),
    ],
)
def test_a_sign_of_life_ages_by_two_clocks(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    since: tuple[float, float] | None,
    *,
    alive: bool,
) -> None:
    """One clock rests while the machine sleeps, and the other one may be set."""
    url = f"sqlite:///{tmp_path / 'work.sqlite3'}"
    worker = Worker(url, session=Sandbox().session, token=token, ttl=150)
    worker._alive_since = since
    monkeypatch.setattr("linkedapi_async.fleet._worker.clocks", lambda: (1e3, 6e3))

    assert alive == worker._is_alive()


async def test_only_one_worker_takes_over(queue_url: str) -> None:
    """A dead worker has one successor, until that is dead itself; the rest is alive.

    How long a worker is alive depends on its own time to live, on which it relies.
    """
    database = Database(queue_url)
    await database.open()
    first, second = (Heartbeats(database, name, 10.0) for name in ("first", "second"))

    def age(executor: str, **columns: float) -> Any:
        """Let times of a worker be longer ago, in seconds."""
        values = {name: workers.c[name] - seconds for name, seconds in columns.items()}
        changed = sa.update(workers).where(workers.c.executor == executor)
        return database.do(lambda found: found.execute(changed.values(values)))

    dead = Heartbeats(database, "dead", 10.0)
    for each in (first, second, dead):
        await each.enter()
    patient = Heartbeats(database, "patient", 60.0)
    await patient.enter()
    early = await first.claim()
    await age("patient", beat=11)
    await age("dead", beat=11)
    claims = [await each.claim() for each in (first, second, first)]
    woken = await dead.beat()
    await age("dead", succeeded_at=11)
    later = await second.claim()
    alive = [await first.beat(), await second.beat()]
    await second.leave()
    await age("dead", succeeded_at=11)
    await first.forget("dead")
    again = await first.claim()
    await age("dead", beat=90_000, succeeded_at=11)
    old = await first.claim()
    await first.forget("dead")
    await age("dead", succeeded_at=11)
    forgotten = await first.claim()
    await database.close()

    assert [] == early
    assert [["dead"], [], []] == claims
    assert not woken
    assert ["dead"] == later
    assert [True, True] == alive
    # However long it has been dead, it is forgotten only after it was taken over.
    assert ["dead"] == again == old
    assert [] == forgotten
