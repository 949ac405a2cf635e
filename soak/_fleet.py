"""The worker processes of the soaks of fleets."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Final

from _command import AHEAD

from linkedapi_async.sandbox import Sandbox


MODULE: Final = """
import os
from linkedapi_async import Pace, Session
from linkedapi_async.fleet import Worker

async def token(account):
    return f"token-of-{account}"

worker = Worker(
    os.environ["LINKED_API_QUEUE"],
    session=Session.from_env,
    token=token,
    interval=0.2,
    **SETTINGS,
)
"""
"""The module of a worker with more settings, as the text of a dict."""


class Fleet:
    """Worker processes on one queue.

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
            **os.environ,
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
        self.workers: list[asyncio.subprocess.Process] = []

    async def add(self) -> None:
        """Start one more worker."""
        with self.log.open("ab") as log:
            made = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", AHEAD, str(self.ahead)),
                *("worker", "fleet_worker:worker"),
                cwd=self._folder,
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        self.workers.append(made)

    async def replace(self, number: int, sent: signal.Signals) -> float:
        """Send a worker a signal, start another, and return how long the first took."""
        began = time.monotonic()
        leaving = self.workers.pop(number)
        leaving.send_signal(sent)
        await self.add()
        await leaving.wait()
        return time.monotonic() - began

    async def keep_alive(self) -> None:
        """Start workers again that have left, as a service manager does."""
        for worker in tuple(self.workers):
            if worker.returncode is not None:
                self.workers.remove(worker)
                await self.add()

    async def close(self) -> None:
        """End all workers."""
        for worker in self.workers:
            if worker.returncode is None:
                worker.terminate()
        for worker in self.workers:
            await worker.wait()
