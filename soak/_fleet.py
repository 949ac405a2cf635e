"""The worker processes of the soaks of fleets."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import re
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from _worker import work

from linkedapi_async.sandbox import Sandbox


MODULE: Final = """
import os
from linkedapi_async import Pace, Session
from linkedapi_async.fleet import Worker

async def token(account):
    print(os.getpid(), account, flush=True)
    return f"token-of-{account}"

worker = Worker(
    os.environ["LINKED_API_QUEUE"],
    session=Session.from_env,
    token=token,
    **SETTINGS,
)
"""
"""The module of a worker with more settings, as the text of a dict.

It logs which accounts it serves.
"""

DECLARED_DEAD: Final = 75
"""The exit status of a worker that others have taken over."""

LONGEST: Final = 600.0
"""How long anything may take, in seconds: many times what it takes on a busy machine."""

LEAVES: Final = 30.0
"""How long a worker that was declared dead is given to notice it, in seconds."""


def interval_of(share: float) -> float:
    """Return how often a worker looks for items, in seconds; a small share saves it."""
    return 0.2 if share >= 1 else 0.5


class Fleet:
    """Worker processes on one queue; what is left of them at the end is killed.

    They are forked from a process that has imported what they need, because that takes
    more than a second of processor time.

    Args:
        folder: Where their module and their log are.
        settings: More settings of the workers, as the text of a dict.
        url: The queue's database.
        sandbox: What they send to.
    """

    def __init__(self, folder: Path, settings: str, url: str, sandbox: Sandbox) -> None:
        self._folder = folder
        self.ahead = 0.0
        """How far the clocks of new workers are ahead, in seconds."""
        self._environment = {
            "LINKED_API_QUEUE": url,
            "LINKED_API_TOKEN": "main-token",
            "ACCOUNT_API_TOKEN": "",
            "IDENTIFICATION_TOKEN": "",
            "LINKED_API_BASE_URL": sandbox.url,
            "LINKED_API_POLL_INTERVAL": "0.1",
        }
        module = MODULE.replace("SETTINGS", settings)
        (folder / "fleet_worker.py").write_text(module, encoding="utf-8")
        self.log = folder / "log"
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload(["aiohttp.web", "linkedapi_async.fleet"])
        self.workers: list[ForkServerProcess] = []
        self._all: list[ForkServerProcess] = []
        self.statuses = Counter[int | None]()
        """How many workers have left with which exit status."""
        self.kills = 0
        """How many workers `replace` has killed."""

    async def __aenter__(self) -> Self:
        """Begin with no workers."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Kill the workers that something unforeseen has left behind."""
        for worker in self._all:
            _send(worker, signal.SIGKILL)
        for worker in self._all:
            worker.join()

    @property
    def declared_dead(self) -> int:
        """How many workers have left because others took them over."""
        return self.statuses[DECLARED_DEAD]

    @property
    def taken_over(self) -> int:
        """How often a worker has logged that it took over lanes of another one."""
        log = self.log.read_text(encoding="utf-8")
        # A worker that is dead for long is checked, too, and has no lanes then.
        return len(re.findall("Took over [1-9]", log))

    def serving(self, account: str) -> int:
        """Return the number of the worker that serves an account; 0 if it has left."""
        log = self.log.read_text(encoding="utf-8")
        found = re.findall(rf"^(\d+) {re.escape(account)}$", log, re.MULTILINE)
        pids = [str(worker.pid) for worker in self.workers]
        return pids.index(found[-1]) if found and found[-1] in pids else 0

    @contextlib.asynccontextmanager
    async def patience(self, what: str) -> AsyncIterator[None]:
        """Let *what* take a while, but not for ever."""
        try:
            async with asyncio.timeout(LONGEST):
                yield
        except TimeoutError:
            end = self.log.read_text(encoding="utf-8", errors="replace")[-2_000:]
            message = (
                f"{what} took longer than {LONGEST:.0f} s; the log ends with\n{end}"
            )
            raise AssertionError(message) from None

    def add(self) -> None:
        """Start one more worker."""
        made = self._processes.Process(
            target=work, args=(self._folder, self._environment, self.ahead)
        )
        made.start()
        self.workers.append(made)
        self._all.append(made)

    async def replace(self, number: int, sent: signal.Signals) -> float:
        """Send a worker a signal, start another, and return how long the first took."""
        began = time.monotonic()
        leaving = self.workers.pop(number)
        _send(leaving, sent)
        self.kills += sent is signal.SIGKILL
        self.add()
        await self._leave(leaving)
        return time.monotonic() - began

    async def freeze(self, number: int, seconds: float) -> tuple[int | None, int]:
        """Freeze a worker, and start another, until it is declared dead and leaves.

        On a busy machine the others may begin too late to take it over at once.

        Args:
            number: The worker's.
            seconds: How long it is frozen each time.

        Returns:
            Its exit status, and how often it was frozen.
        """
        frozen = self.workers.pop(number)
        self.add()
        times = 0
        async with self.patience("the end of a frozen worker"):
            while frozen.exitcode is None:
                times += 1
                _send(frozen, signal.SIGSTOP)
                await asyncio.sleep(seconds)
                _send(frozen, signal.SIGCONT)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(_end(frozen), LEAVES)
        return await self._leave(frozen), times

    async def _leave(self, worker: ForkServerProcess) -> int | None:
        """Wait until a worker has left, and count its exit status."""
        async with self.patience("the end of a worker"):
            await _end(worker)
        self.statuses[worker.exitcode] += 1
        return worker.exitcode

    async def keep_alive(self) -> None:
        """Start workers again that have left, as a service manager does."""
        for worker in tuple(self.workers):
            if worker.exitcode is not None:
                self.workers.remove(worker)
                await self._leave(worker)
                self.add()

    async def close(self) -> None:
        """End all workers."""
        for worker in self.workers:
            _send(worker, signal.SIGTERM)
        while self.workers:
            await self._leave(self.workers.pop())


async def _end(worker: ForkServerProcess) -> None:
    """Wait until a worker has left."""
    while worker.exitcode is None:  # noqa: ASYNC110  # it has no event
        await asyncio.sleep(0.02)


def _send(worker: ForkServerProcess, sent: signal.Signals) -> None:
    """Send a worker a signal, unless it has left."""
    assert worker.pid is not None
    if worker.exitcode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker.pid, sent)
