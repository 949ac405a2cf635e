"""A worker under test, in this process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from linkedapi_async.fleet import Worker
from linkedapi_async.sandbox import Sandbox


async def token(account: str) -> str:
    """Return the token of an account."""
    return f"token-of-{account}"


def make_worker(url: str, sandbox: Sandbox, **settings: Any) -> Worker:
    """Return a worker that looks for items often."""
    defaults = {"session": sandbox.session, "token": token, "interval": 0.05}
    return Worker(url, **{**defaults, **settings})


@contextlib.asynccontextmanager
async def working(worker: Worker) -> AsyncIterator[asyncio.Task[int]]:
    """Run a worker, and end it; a worker that still runs then must end well."""
    task = asyncio.create_task(worker.run())
    try:
        yield task
    finally:
        ended = task.done()
        worker.stop()
        await asyncio.wait({task})
    if not ended:
        assert 0 == task.result()
