"""What webhook events say of the accounts of lanes: pauses, and unknown starts."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from typing import Any

import pytest
import sqlalchemy as sa
from fleet_harness import make_worker, working

from linkedapi_async import Session, st
from linkedapi_async.events import AccountPaused
from linkedapi_async.fleet import Done, Queue
from linkedapi_async.fleet._schema import items, lanes
from linkedapi_async.fleet._starts import End, Starts
from linkedapi_async.sandbox import Sandbox
from linkedapi_async.webhooks import sign


pytestmark = pytest.mark.anyio

SECRET = "0123456789abcdef"
WRITE = st.send_message("https://www.linkedin.com/in/ada", text="Hello!")
COMPLETED = "workflow.completed"
CREATED = "workflow.created"


async def receive(
    queue: Queue,
    type: str,
    workflow_id: str | None = None,
    account_id: str | None = "account-1",
    at: dt.datetime | None = None,
) -> None:
    """Store an event."""
    data = {"workflowId": workflow_id, "accountId": account_id}
    event = {
        "id": f"{type}:{workflow_id}:{account_id}",
        "type": type,
        "createdAt": None if at is None else at.isoformat(),
        "data": {name: value for name, value in data.items() if value is not None},
    }
    body = json.dumps(event).encode()
    await queue.receive_event(sign(body, secret=SECRET), body, secrets=SECRET)


async def run(queue: Queue, key: str, workflow_id: str) -> None:
    """Do what a worker does with an item that completes."""
    starts = Starts(queue._database)
    await starts.intend(key, "execution")
    await starts.accepted(key, "execution", workflow_id)
    await starts.finished(
        key, "execution", End(status="completed", workflow_id=workflow_id)
    )


async def lose(queue: Queue, key: str, at: dt.datetime, *found: str) -> None:
    """Do what a worker does with an item whose start is not answered for ten minutes."""
    starts = Starts(queue._database)
    await starts.intend(key, "execution")
    await starts.unknown(key, "execution", found)
    times = {"intended_at": at.timestamp(), "unknown_at": at.timestamp() + 600}
    change = sa.update(items).where(items.c.key == key).values(**times)
    await queue._do(lambda connection: connection.execute(change))


async def candidates(queue: Queue) -> dict[str, tuple[str, ...]]:
    """Return the candidates of all unknown starts, by their keys."""
    return {start.key: start.candidates for start in await queue.unknown()}


async def test_an_account_that_is_active_again_wakes_its_lane(queue_url: str) -> None:
    """The lane goes on at the event, and not after an hour."""
    results: dict[str, Done] = {}
    delivered, paused = asyncio.Event(), asyncio.Event()

    def on_result(done: Done) -> None:
        """Note that a result came."""
        results[done.key] = done
        delivered.set()

    async with Sandbox(speed=1000) as sandbox, Queue(queue_url) as queue:

        def session(**settings: Any) -> Session:
            """Return a session that says when an account is paused."""
            made = sandbox.session(**settings)
            made.on(AccountPaused, lambda _: paused.set())
            return made

        worker = make_worker(
            queue_url, sandbox, session=session, ttl=60, on_result=on_result
        )
        await queue.submit("one", WRITE, key="a")
        async with working(worker), asyncio.timeout(120):
            await delivered.wait()
            delivered.clear()
            await receive(queue, COMPLETED, results["a"].workflow_id)
            sandbox.sign_out("token-of-one")
            await queue.submit("one", WRITE, key="b")
            await paused.wait()
            sandbox.sign_in("token-of-one")
            await receive(queue, "account.active", account_id="account-2")
            await receive(queue, "account.active", account_id=None)
            await receive(queue, "account.active")
            await delivered.wait()

    assert "completed" == results["b"].status
    assert 2 == len(sandbox.workflows)


async def test_an_event_that_nothing_explains_is_a_candidate(queue_url: str) -> None:
    """It is of the start's account, and was created while the start was under way."""
    now = dt.datetime.now(dt.UTC)
    async with Queue(queue_url) as queue:
        await queue.submit_all(
            [("one", WRITE, key) for key in ("a", "b", "c")]
            + [("two", WRITE, "d"), ("three", WRITE, "e")]
        )
        await run(queue, "a", "wf-a")
        await receive(queue, COMPLETED, "wf-a")
        await receive(queue, COMPLETED, "wf-other", "account-2")
        await lose(queue, "b", now, "wf-known")
        await lose(queue, "d", now)
        before = await candidates(queue)
        await receive(queue, CREATED, "wf-b", at=now)
        await receive(queue, CREATED, "wf-b2")
        await receive(queue, CREATED, "wf-a", at=now)
        await receive(queue, CREATED, "wf-known", at=now)
        await receive(queue, "workflow.started", "wf-started", at=now)
        await receive(queue, CREATED, "wf-old", at=now - dt.timedelta(minutes=2))
        await receive(queue, CREATED, "wf-new", at=now + dt.timedelta(hours=2))
        await receive(queue, CREATED, "wf-2", "account-2", at=now)
        await receive(queue, CREATED, "wf-nobody", None, at=now)
        await receive(queue, CREATED, "no id of a workflow", at=now)
        after = await candidates(queue)
        # What one item becomes is no candidate of another one.
        await lose(queue, "c", now)
        both = await candidates(queue)
        await queue.adopt("c", "wf-b")
        adopted = await candidates(queue)
        await queue.discard("b")
        await lose(queue, "b", now)

        assert {"b": ("wf-known",), "d": ()} == before
        assert {"b": ("wf-known", "wf-b", "wf-b2"), "d": ()} == after
        assert {"b", "c", "d"} == both.keys()
        assert {"wf-b", "wf-b2", "wf-known"} == set(both["c"])
        assert {"b": ("wf-known", "wf-b2"), "d": ()} == adopted
        assert {"wf-b2", "wf-known"} == set((await candidates(queue))["b"])


async def test_a_start_of_a_crashed_worker_has_candidates_too(queue_url: str) -> None:
    """It was under way until another worker found its intent."""
    now = dt.datetime.now(dt.UTC)
    async with Queue(queue_url) as queue:
        await queue.submit_all([("one", WRITE, "a"), ("one", WRITE, "b")])
        await run(queue, "a", "wf-a")
        await receive(queue, COMPLETED, "wf-a")
        starts = Starts(queue._database)
        await starts.intend("b", "crashed")
        earlier = items.c.intended_at - 600
        await queue._do(
            lambda found: found.execute(sa.update(items).values(intended_at=earlier))
        )
        await receive(queue, CREATED, "wf-b", at=now - dt.timedelta(seconds=300))
        running = await candidates(queue)
        await starts.intend("b", "survivor")

        assert {} == running
        assert {"b": ("wf-b",)} == await candidates(queue)


async def test_an_account_may_be_connected_again(queue_url: str) -> None:
    """The last id that events give of the account of a lane is the one that counts."""
    async with Queue(queue_url) as queue:
        await queue.submit_all([("one", WRITE, "a"), ("one", WRITE, "b")])
        ids = []
        for key, id in (("a", "account-1"), ("b", "account-2")):
            await run(queue, key, f"wf-{key}")
            await receive(queue, COMPLETED, f"wf-{key}", id)
            ids.append(
                await queue._do(
                    lambda found: found.scalar(sa.select(lanes.c.account_id))
                )
            )

    assert ["account-1", "account-2"] == ids
