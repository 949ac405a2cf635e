"""Cancellation at every await of a scenario loses neither workflow nor result."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Generator
from typing import Any

import pytest
from aiohttp import web
from event_loops import VirtualLoop
from scripted_server import Scripted, completed, ok

from linkedapi_async import Polling, Session, st


pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize(
        "anyio_backend",
        [pytest.param(("asyncio", {"loop_factory": VirtualLoop}), id="virtual")],
    ),
]

CHECK = st.check_connection_status("https://www.linkedin.com/in/ada")
NODE = {"actionType": "st.checkConnectionStatus", "success": True, "data": {}}


class CancelledAt:
    """Runs a coroutine and cancels the task at the n-th of its awaits."""

    def __init__(self, work: Coroutine[Any, Any, None], step: int) -> None:
        self._work = work
        self._step = step
        self.steps = 0

    def __await__(self) -> Generator[Any, None, None]:
        inner = self._work.__await__()
        while True:
            try:
                awaited = next(inner)
            except StopIteration:
                return
            self.steps += 1
            if self.steps == self._step:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            try:
                yield awaited
            except asyncio.CancelledError:
                # What `inner` awaits is cancelled already; it learns of it here.
                try:
                    awaited = inner.throw(asyncio.CancelledError())
                except StopIteration:
                    return
                yield awaited


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    """A server that takes everything and completes each id on its second poll."""
    ids = itertools.count()
    asked: dict[str, int] = {}

    async def take(request: web.Request) -> web.StreamResponse:
        """Take a workflow, after a moment."""
        await asyncio.sleep(0.5)
        return await ok({"workflowId": f"wf-{next(ids)}"})(request)

    async def tell(request: web.Request) -> web.StreamResponse:
        """Say how a workflow is."""
        name = request.path.rpartition("/")[2]
        asked[name] = asked.get(name, 0) + 1
        if asked[name] > 1:
            return await completed(NODE)(request)
        return await ok({"workflowStatus": "running"})(request)

    async with Scripted() as scripted:
        scripted.script("POST", take)
        scripted.script("GET", tell)
        yield scripted


async def scenario(session: Session) -> None:
    """Start, run, stream and wait, on two accounts."""
    other = session.account("other")
    handle = await session.start(CHECK)
    await session.run(CHECK)
    await other.run(CHECK)
    await asyncio.sleep(0)
    async with session.as_completed([CHECK, CHECK, CHECK], limit=2) as done:
        async for each in done:
            await each
    await handle.result(timeout=100)


async def test_no_await_loses_a_workflow(server: Scripted) -> None:
    """Wherever the caller is cancelled, all that was taken is waited for to its end."""
    taken, step = 0, 0
    for step in itertools.count(1):
        before = server.count("POST")
        async with server.session(polling=Polling.fixed(1)) as session:
            work = CancelledAt(scenario(session), step)

            async def wait(work: CancelledAt = work) -> None:
                """Do the work with its cancellation."""
                await work

            task = asyncio.create_task(wait())
            await asyncio.wait([task])
            while session._runtime._tasks:
                await asyncio.wait(session._runtime._tasks)
            left = await session.drain()
            stats = session.stats
            taken = server.count("POST") - before

        assert () == left
        assert taken == stats.started == stats.completed
        assert 0 == stats.in_flight
        if step > work.steps:
            break

    assert step > 10
    assert 6 == taken


async def test_a_stream_may_be_left_before_its_items_begin(server: Scripted) -> None:
    """Leaving a stream at any of its first steps leaves no coroutine unawaited."""
    started = []
    for steps in range(8):
        before = server.count("POST")
        async with (
            server.session(polling=Polling.fixed(1)) as session,
            session.as_completed([CHECK, CHECK], limit=2),
        ):
            for _ in range(steps):
                await asyncio.sleep(0)
        started.append(server.count("POST") - before)

    # A coroutine that was never awaited is an error of this test.
    gc.collect()
    assert 0 == started[0]


def ours() -> Counter[str]:
    """Count the living objects of this library, by class."""
    gc.collect()
    kinds = (type(thing) for thing in gc.get_objects())
    return Counter(
        kind.__qualname__
        for kind in kinds
        if str(kind.__module__).startswith("linkedapi_")
    )


@pytest.mark.no_cover
async def test_a_session_in_use_does_not_grow(server: Scripted) -> None:
    """Workflows that have ended leave nothing behind: the slope of memory is zero."""
    async with server.session(polling=Polling.fixed(1)) as session:
        counts = []
        for _ in range(4):
            await asyncio.gather(*(session.run(CHECK) for _ in range(25)))
            counts.append(ours())

    # Sessions of other tests may wait for the garbage collector.
    assert 1 <= counts[0]["Session"]
    assert counts[0] == counts[1] == counts[2] == counts[3]
