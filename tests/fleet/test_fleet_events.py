"""Webhook events that one process stores, and the workers of others read."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import aiohttp
import pytest
import sqlalchemy as sa
from aiohttp import web
from anyio.from_thread import start_blocking_portal
from fleet_harness import make_worker, working
from postgres_server import PostgresServer

from linkedapi_async import Polling, Session, WorkflowHandle, st
from linkedapi_async.fleet import Done, Queue, _events
from linkedapi_async.fleet._database import Database
from linkedapi_async.fleet._events import EventReader
from linkedapi_async.fleet._schema import events, insert, now, number_events
from linkedapi_async.sandbox import Sandbox
from linkedapi_async.webhooks import MessageEvent, WebhookError, sign


pytestmark = pytest.mark.anyio

SECRET = "0123456789abcdef"
READ = st.open_person_page("https://www.linkedin.com/in/ada", basic_info=True)
SLOW = Polling(initial_delay=3600, interval=3600, max_interval=3600)
"""With it, a wait ends by an event, or not while the test runs."""


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Return the URL of an empty file, where the kind of the database does not matter."""
    return f"sqlite:///{tmp_path / 'work.sqlite3'}"


def body_of(
    workflow_id: str = "wf-1", type: str = "workflow.completed", **more: Any
) -> bytes:
    """Return the event that a workflow was completed, or another one."""
    node = {"actionType": READ.action_type, "success": True, "data": {"name": "Ada"}}
    data = {
        "workflowId": workflow_id,
        "accountId": "account-1",
        "status": "completed",
        "result": {"completion": node},
    }
    event = {"id": f"{type}:{workflow_id}", "type": type, "data": data, **more}
    return json.dumps(event).encode()


def signed(body: bytes) -> dict[str, str]:
    """Return the headers of a delivery."""
    return sign(body, secret=SECRET)


@contextlib.asynccontextmanager
async def served(url: str) -> AsyncIterator[str]:
    """Receive events for a queue; yield the address."""
    async with Queue(url) as queue:
        app = web.Application()
        app.router.add_post("/hook", queue.webhook(SECRET))
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        await runner.cleanup()


async def post(url: str, body: bytes, headers: dict[str, str] | None = None) -> int:
    """Deliver an event; return the status of the answer."""
    sent = signed(body) if headers is None else headers
    async with (
        aiohttp.ClientSession() as client,
        client.post(url, data=io.BytesIO(body), headers=sent) as answer,
    ):
        return answer.status


@contextlib.asynccontextmanager
async def listening(url: str) -> AsyncIterator[tuple[Queue, Session, EventReader]]:
    """Open a queue, a session that hardly polls, and what gives it events."""
    database = Database(url)
    async with (
        Queue(url) as queue,
        Sandbox(speed=1) as sandbox,
        sandbox.session(polling=SLOW) as session,
    ):
        reader = EventReader(database)
        await reader.open(session)
        yield queue, session, reader
    await database.close()


async def receive(queue: Queue, *bodies: bytes) -> None:
    """Store events."""
    for body in bodies:
        await queue.receive_event(signed(body), body, secrets=SECRET)


async def rows(queue: Queue) -> list[Any]:
    """Return what is stored."""
    found = sa.select(events).order_by(events.c.number)
    return await queue._do(lambda connection: list(connection.execute(found)))


def given(reader: EventReader) -> int:
    """Return how many events the session has got."""
    return reader._receiver.received


async def test_events_that_another_host_receives_spare_polls(queue_url: str) -> None:
    """A worker polls at most each fifth workflow."""
    assert await polls_per_workflow(queue_url, "fat") <= 0.2


async def test_events_without_results_spare_polls_too(sqlite_url: str) -> None:
    """A worker polls each workflow once, for its result."""
    assert 1 == await polls_per_workflow(sqlite_url, "thin")


async def polls_per_workflow(url: str, payload: Literal["fat", "thin"]) -> float:
    """Run workflows whose events another loop receives; return how often each is polled."""
    results: list[Done] = []
    finished = asyncio.Event()

    def on_result(done: Done) -> None:
        """Note when all have ended."""
        results.append(done)
        if len(results) == 12:
            finished.set()

    async with Queue(url) as queue:
        await queue.submit_all((f"lane-{n % 4}", READ, f"key-{n}") for n in range(12))
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(served(url)) as address,
    ):
        async with Sandbox(speed=1000) as sandbox:
            sandbox.send_webhooks_to(address, secret=SECRET, payload_mode=payload)
            worker = make_worker(
                url,
                sandbox,
                session=lambda: sandbox.session(polling=SLOW),
                on_result=on_result,
            )
            async with working(worker), asyncio.timeout(300):
                await finished.wait()
            polled = sandbox.polls_per_workflow

    assert ["completed"] * 12 == [done.status for done in results]
    assert all(done.result().name for done in results)
    assert 12 == len(sandbox.workflows)
    return polled


async def test_an_event_may_come_before_its_workflow_is_known(queue_url: str) -> None:
    """Neither the events before the answer to a start are lost, nor those after it."""
    async with listening(queue_url) as (queue, session, reader):
        await receive(queue, body_of("wf-1"))
        await reader.read()
        early = given(reader)
        ends = []
        for id in ("wf-1", "wf-2"):
            handle: WorkflowHandle[Any] = session.attach(id, READ)
            await reader.watch(id)
            if id == "wf-2":
                await receive(queue, body_of("wf-2"))
                await reader.read()
            async with asyncio.timeout(60):
                ends.append(await handle)

    assert 0 == early
    assert ["Ada", "Ada"] == [person.name for person in ends]


async def test_a_worker_reads_only_the_events_of_its_workflows(queue_url: str) -> None:
    """Others go to other workers; those of accounts go to all."""
    async with listening(queue_url) as (queue, _, reader):
        await reader.watch("wf-1")
        await receive(
            queue,
            body_of("wf-2"),
            body_of("wf-1"),
            body_of("", "account.frozen"),
            body_of("", "inbox.messageReceived"),
        )
        await reader.read()
        await reader.read()

        assert 2 == given(reader)


async def test_events_of_before_a_worker_began(sqlite_url: str) -> None:
    """They are read for workflows that it takes over, and for no others."""
    async with listening(sqlite_url) as (queue, session, _):
        await receive(queue, body_of("wf-1"), body_of("wf-2"))
        database = Database(sqlite_url)
        reader = EventReader(database)
        await reader.open(session)
        await reader.read()
        before = given(reader)
        await reader.watch("wf-2")
        await database.close()

    assert [0, 1] == [before, given(reader)]


async def test_the_event_of_an_end_may_be_late(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It still proves that events come, for the last workflows that have ended."""
    monkeypatch.setattr(_events, "MAX_ENDED", 2)
    async with listening(sqlite_url) as (queue, _, reader):
        for id in ("wf-1", "wf-2", "wf-3"):
            await reader.watch(id)
            reader.leave(id)
        await receive(queue, *(body_of(f"wf-{n}") for n in range(1, 4)))
        await reader.read()

        assert 2 == given(reader)


async def test_many_events_are_read_in_parts(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One look reads all that is new, and none of it twice."""
    monkeypatch.setattr(_events, "BATCH", 2)
    async with listening(sqlite_url) as (queue, _, reader):
        for number in range(5):
            await reader.watch(f"wf-{number}")
        await receive(queue, *(body_of(f"wf-{n}") for n in range(5)))
        await reader.read()

        assert (5, 0) == (given(reader), reader._receiver.duplicates)


async def test_a_stored_event_that_cannot_be_read(sqlite_url: str) -> None:
    """It stops no others."""
    async with listening(sqlite_url) as (queue, _, reader):
        await reader.watch("wf-1")
        row = {"id": "x", "workflow_id": "wf-1", "body": b"[]"}
        await queue._do(
            lambda found: found.execute(
                sa.insert(events).values(**row, received_at=now(found))
            )
        )
        await receive(queue, body_of("wf-1"))
        await reader.read()

        assert 1 == given(reader)


async def test_events_that_cannot_be_read_stop_nothing(
    sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker without events polls."""
    async with listening(sqlite_url) as (queue, _, reader):
        await receive(queue, body_of("wf-1"))
        await reader.read()
        await queue._do(events.drop)
        await reader.read()
        await reader.watch("wf-1")

    messages = [record.getMessage() for record in caplog.records]
    assert 2 == sum("Webhook events could not be read" in each for each in messages)


async def test_a_forged_event_ends_nothing(sqlite_url: str) -> None:
    """Without a signature nothing is stored; with one, only its workflow is affected."""
    async with (
        listening(sqlite_url) as (queue, session, reader),
        served(sqlite_url) as url,
    ):
        handle = session.attach("wf-1", READ)
        await reader.watch("wf-1")
        body = body_of("wf-1")
        forged = {"linked-api-signature": "0" * 64}
        answers = [
            await post(url, body, headers)
            for headers in (
                {},
                signed(body) | forged,
                sign(body, secret="another"),
                sign(body, secret=SECRET, now=1),
            )
        ]
        answers += [await post(url, body_of(id)) for id in ("wf-2", "no id")]
        await reader.read()

        assert [401] * 4 + [204] * 2 == answers
        assert "completed" != handle.status
        assert 0 == given(reader)
        assert ["wf-2", None] == [row.workflow_id for row in await rows(queue)]


async def test_bounds_of_the_handler(queue_url: str) -> None:
    """Deliveries are checked as by the receiver, and each event is stored once."""
    async with Queue(queue_url) as queue, served(queue_url) as url:
        body = body_of()
        large = body_of(text="x" * 1024 * 1024)
        answers = [await post(url, each) for each in (body, body, large, b"[]")]

        assert [204, 204, 413, 400] == answers
        assert [body] == [row.body for row in await rows(queue)]


async def test_a_function_for_other_frameworks(sqlite_url: str) -> None:
    """It returns what is new, of any kind, and keeps only what workers need."""
    async with Queue(sqlite_url) as queue:
        data = {"messageId": "m-1", "text": "Hello!"}
        body = body_of("", "inbox.messageReceived", data=data)
        secrets = ["new", SECRET]
        answers = [
            await queue.receive_event(signed(body), body, secrets=secrets)
            for _ in range(2)
        ]
        with pytest.raises(WebhookError) as caught:
            await queue.receive_event({}, body, secrets=SECRET)
        with pytest.raises(ValueError, match="no secret"):
            await queue.receive_event({}, body, secrets=[])
        stored = [(row.workflow_id, row.body) for row in await rows(queue)]
    with pytest.raises(RuntimeError, match="use: async with Queue"):
        await queue.receive_event({}, body, secrets=SECRET)

    assert isinstance(answers[0], MessageEvent)
    assert None is answers[1]
    assert 401 == caught.value.status
    assert [(None, None)] == stored


async def test_a_database_that_is_down_while_events_come(
    postgres: PostgresServer, database: str
) -> None:
    """The answer is 503 until it is back, so that the sender delivers again."""
    async with served(database) as url, Queue(database) as queue:
        postgres.stop(crash=True)
        try:
            down = await post(url, body_of())
        finally:
            postgres.start()
        up = await post(url, body_of())
        stored = await rows(queue)

    assert [503, 204] == [down, up]
    assert ["wf-1"] == [row.workflow_id for row in stored]


def waits_for_a_lock(connection: sa.Connection) -> bool:
    """Return whether a transaction waits for an advisory lock."""
    query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    return bool(connection.exec_driver_sql(query).scalar())


async def test_numbers_are_in_the_order_of_commits(database: str) -> None:
    """No reader passes an event that another process commits late."""
    watcher = Database(database)
    async with Queue(database) as queue:
        with queue._database.engine.begin() as slow:
            slow.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            number_events(slow)
            row = {"id": "slow", "received_at": now(slow)}
            slow.execute(insert(slow, events).values(row))
            body = body_of()
            waiting = asyncio.create_task(receive(queue, body))
            async with asyncio.timeout(60):
                while not await watcher.do(waits_for_a_lock):
                    await asyncio.sleep(0.01)
        await waiting
        stored = await rows(queue)
    await watcher.close()

    assert [None, "wf-1"] == [row.workflow_id for row in stored]


async def test_old_events_are_removed(
    queue_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a day, by any later delivery, and by forgetting."""
    monkeypatch.setattr(_events, "CLEANED_AFTER", 3)
    older = sa.update(events).values(received_at=events.c.received_at - 90_000)
    async with Queue(queue_url) as queue:
        await receive(queue, body_of("wf-1"))
        await queue._do(lambda found: found.execute(older))
        counts = []
        for number in (2, 3, 4):
            await receive(queue, body_of(f"wf-{number}"))
            counts.append(len(await rows(queue)))
        forgotten = [await queue.forget(seconds) for seconds in (60, 0)]
        left = await rows(queue)

    assert [2, 3, 3] == counts
    assert [0, 0] == forgotten
    assert [] == left
