"""An hour without a server, with ten thousand workflows waiting, in virtual time."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter

import pytest
from event_loops import run_virtual

from linkedapi_async._polling.answers import Ended, PollAnswer, PollFailed, StillRunning
from linkedapi_async._polling.lane import PendingWorkflow
from linkedapi_async._polling.poller import Poller
from linkedapi_async.policies import Polling


ACCOUNTS, EACH = 200, 50
BEGIN, HOUR = 300.0, 3600.0
IN_FLIGHT = 50


class Host:
    """Accounts that run their queues, on a server that is away for an hour."""

    def __init__(self, rng: random.Random) -> None:
        self.ends: dict[str, float] = {}
        self.requests: Counter[int] = Counter()
        for account in range(ACCOUNTS):
            end = 0.0
            for number in range(EACH):
                end += rng.lognormvariate(math.log(25), 0.6)
                self.ends[f"{account}-{number}"] = end
        self.start = 0.0
        self.open = self.most_open = self.fruitless = 0

    def now(self) -> float:
        """Return the seconds since the beginning."""
        return asyncio.get_running_loop().time() - self.start

    async def poll(self, workflow: PendingWorkflow) -> PollAnswer:
        """Answer one poll after a moment, unless the server is away."""
        self.requests[int(self.now() // 10)] += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        await asyncio.sleep(0.1)
        self.open -= 1
        if BEGIN <= self.now() < BEGIN + HOUR:
            return PollFailed(ConnectionError("away"))
        if self.now() >= self.ends[workflow.id]:
            return Ended(None, "completed")
        self.fruitless += self.now() >= BEGIN + HOUR
        return StillRunning("running")


async def outage() -> tuple[Host, int]:
    """Wait through the outage; return the host and the number of results."""
    host = Host(random.Random(7))
    poller = Poller(host.poll, Polling(), in_flight=IN_FLIGHT, rng=random.Random(7))
    host.start = asyncio.get_running_loop().time()
    poller.start()
    workflows = [
        PendingWorkflow(f"{account}-{number}", account)
        for number in range(EACH)
        for account in range(ACCOUNTS)
    ]
    for workflow in workflows:
        poller.watch(workflow)
    while poller.waiting:
        await asyncio.sleep(10)
    finished = sum(workflow.end is not None for workflow in workflows)
    await poller.aclose(lambda _: RuntimeError("closed"))
    return host, finished


@pytest.mark.no_cover
def test_an_hour_without_a_server() -> None:
    """All results arrive, polls do not amplify the outage, and no herd follows.

    Nearly every request after the outage brings a result, 50 at a time.
    """
    host, finished = run_virtual(outage())
    tens = host.requests
    before = sum(tens[ten] for ten in range(5, 30)) / 25
    during = [tens[ten] for ten in range(30, 390)]
    after = sum(tens[ten] for ten in range(390, 1000))

    assert ACCOUNTS * EACH == finished
    assert sum(during) / 360 <= 1.1 * before
    assert max(during) <= 1.5 * before
    assert host.fruitless <= 0.05 * after
    assert host.most_open <= IN_FLIGHT
