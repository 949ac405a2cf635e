"""Measure the cost of waiting: CPU per poll, memory per workflow, event-loop lag.

All figures are measured side by side in one run, against bare aiohttp loops and the
official SDK. The servers run in processes of their own, so only the client counts.
"""

from __future__ import annotations

import asyncio
import cProfile
import gc
import math
import random
import resource
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import orjson
from _table import Figure, report
from linkedapi import LinkedApi, LinkedApiConfig

from linkedapi_async import Polling, Session, st
from linkedapi_async._polling.answers import StillRunning
from linkedapi_async._polling.lane import PendingWorkflow
from linkedapi_async._polling.scheduler import PollScheduler


CONNECTIONS = 50
POLLS = 4_000
SCHEDULED = 30_000
TOKENS: dict[str, Any] = {
    "linked_api_token": "token",
    "identification_token": "account",
}
CHECK = st.check_connection_status("https://www.linkedin.com/in/ada")
INVITE = st.send_connection_request("https://www.linkedin.com/in/ada")
STARTS = 1_000

# What the promises cost, as measured, so that a change that adds to it is seen. A poll
# costs 0.1 ms more than in the bare loop, which neither bounds nor redacts an answer,
# has no lanes, and ends at the first odd one. A workflow costs 0.5 ms more than in the
# bare script, which loses a start when its caller is cancelled, and does not know
# whether a request has left. No single place has a tenth of either, and a workflow
# takes 20 seconds at least.
POLL_LIMIT = 1.45
SDK_LIMIT = 0.25
READS_LIMIT = 2.0
WRITES_LIMIT = 1.9

SERVER = """
import asyncio, itertools, sys
RUNNING = b'{"success":true,"result":{"workflowStatus":"running"}}'
DONE = (b'{"success":true,"result":{"workflowStatus":"completed","completion":{"actionType"'
        b':"st.checkConnectionStatus","success":true,"data":{"connectionStatus":"x"}}}}')
GET = DONE if sys.argv[1] == "done" else RUNNING
ids = itertools.count()
def answer(body):
    return (b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: "
            + str(len(body)).encode() + b"\\r\\n\\r\\n" + body)
class Server(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.left = transport, b""
    def data_received(self, data):
        data = self.left + data
        head, found, body = data.partition(b"\\r\\n\\r\\n")
        if not found or (data[:4] == b"POST" and not body.endswith(b"}")):
            self.left = data
            return
        self.left = b""
        if data[:4] == b"POST":
            workflow = b'{"success":true,"result":{"workflowId":"wf-%d"}}' % next(ids)
            self.transport.write(answer(workflow))
        else:
            self.transport.write(answer(GET))
async def main():
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0,
                                                            backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


def serve(mode: str) -> tuple[subprocess.Popen[str], str]:
    """Start a server that gives every poll the same answer; return it and its URL."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, mode], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, f"http://127.0.0.1:{process.stdout.readline().strip()}"


def cpu() -> float:
    """Return the CPU time of this process, in seconds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


# As fast as it can, as the bare loops do; what it learns changes no wait then.
AT_ONCE = Polling(
    initial_delay=0,
    interval=1e-6,
    growth=1,
    max_interval=1e-6,
    jitter=0,
    queued_interval=1e-6,
)


async def our_polls(url: str) -> float:
    """Return the CPU seconds per poll of a session that polls as fast as it can."""
    async with Session(base_url=url, polling=AT_ONCE, **TOKENS) as session:
        for number in range(CONNECTIONS):
            session.account(f"account-{number}").attach(f"wf-{number}")
        while session.stats.polls < POLLS // 4:  # noqa: ASYNC110  # counts, no event
            await asyncio.sleep(0.005)
        begin, polls = cpu(), session.stats.polls
        while session.stats.polls < polls + POLLS:  # noqa: ASYNC110  # same
            await asyncio.sleep(0.005)
        return (cpu() - begin) / (session.stats.polls - polls)


async def bare_polls(url: str) -> float:
    """Return the CPU seconds per poll of 50 bare loops: GET, read, decode."""
    headers = {
        "linked-api-token": "token",
        "identification-token": "account",
        "client": "linkedapi-async/0",
        "User-Agent": "linkedapi-async/0",
        "Accept": "application/json",
        "Content-Type": "application/json",
    }
    done = 0
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as client:

        async def loop(number: int, count: int) -> None:
            nonlocal done
            for _ in range(count):
                address = f"{url}/workflows/wf-{number}"
                async with client.get(address, headers=headers) as response:
                    orjson.loads(await response.read())
                done += 1

        async def all_loops(count: int) -> None:
            each = count // CONNECTIONS
            await asyncio.gather(*(loop(n, each) for n in range(CONNECTIONS)))

        await all_loops(POLLS // 4)
        begin, before = cpu(), done
        await all_loops(POLLS)
        return (cpu() - begin) / (done - before)


def their_polls(url: str) -> float:
    """Return the CPU seconds per `status()` of the official SDK."""
    api = LinkedApi(
        LinkedApiConfig(
            linked_api_token="token", identification_token="account", base_url=url
        )
    )
    operation = api.check_connection_status
    for _ in range(50):
        operation.status("wf-1")
    begin = cpu()
    for _ in range(POLLS // 8):
        operation.status("wf-1")
    return (cpu() - begin) / (POLLS // 8)


async def our_starts(url: str, workflow: Any = CHECK) -> float:
    """Return the CPU seconds from the first start to the last of 1,000 results."""
    async with Session(base_url=url, polling=AT_ONCE, **TOKENS) as session:
        accounts = [session.account(f"account-{n}") for n in range(STARTS)]
        begin = cpu()
        await asyncio.gather(*(account.run(workflow) for account in accounts))
        return cpu() - begin


async def our_writes(url: str) -> float:
    """Return the same for workflows that write."""
    return await our_starts(url, INVITE)


async def bare_starts(url: str, *, reuse: bool = True) -> float:
    """Return the CPU seconds of a bare script that sends the same requests.

    Args:
        url: The server.
        reuse: Whether a start uses a connection that is open.
    """
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    starting = aiohttp.TCPConnector(limit=CONNECTIONS, force_close=not reuse)
    async with (
        aiohttp.ClientSession(connector=connector) as client,
        aiohttp.ClientSession(connector=starting) as starter,
    ):
        poster = client if reuse else starter

        async def run(number: int) -> None:
            headers = {
                "linked-api-token": "token",
                "identification-token": f"account-{number}",
                "client": "linkedapi-async/0",
                "User-Agent": "linkedapi-async/0",
                "Accept": "application/json",
                "Content-Type": "application/json",
            }
            body = orjson.dumps(
                {
                    "actionType": "st.checkConnectionStatus",
                    "personUrl": "https://www.linkedin.com/in/ada",
                }
            )
            address = f"{url}/workflows"
            async with poster.post(address, data=body, headers=headers) as response:
                accepted = orjson.loads(await response.read())
            address = f"{url}/workflows/{accepted['result']['workflowId']}"
            async with client.get(address, headers=headers) as response:
                orjson.loads(await response.read())

        begin = cpu()
        await asyncio.gather(*(run(number) for number in range(STARTS)))
        return cpu() - begin


async def bare_writes(url: str) -> float:
    """Return the same with a connection for each start."""
    return await bare_starts(url, reuse=False)


PARTS = (
    ("linkedapi_async/_polling", "polling"),
    ("linkedapi_async/_http", "requests and answers"),
    ("linkedapi_async/session", "session"),
    ("linkedapi_async", "workflows and results"),
    ("aiohttp", "aiohttp"),
    ("asyncio", "asyncio"),
    ("", "the rest: sockets, JSON, URLs"),
)
"""Which part of a path says whose code it is."""


def profile_of_starts(url: str) -> str:
    """Return where the time of starts goes, as shares of a profile."""
    profile = cProfile.Profile()
    profile.runcall(run, our_starts, url)
    shares = dict.fromkeys((name for _, name in PARTS), 0.0)
    for entry in profile.getstats():
        path = "" if isinstance(entry.code, str) else entry.code.co_filename
        name = next(name for part, name in PARTS if part in path)
        shares[name] += entry.inlinetime
    total = sum(shares.values())
    return ", ".join(f"{name} {share / total:.0%}" for name, share in shares.items())


def scheduler_cpu(kind: str | None) -> float:
    """Return the CPU seconds per poll of a scheduler, without a client.

    Args:
        kind: The kind of the workflows, of which it has learnt; None learns nothing.
    """
    scheduler, now = PollScheduler(Polling(), random.Random(1)), 0.0
    for number in range(30):
        workflow = PendingWorkflow(str(number), "account", kind=kind)
        scheduler.add(workflow, now)
        now += 600 + 60 * number
        scheduler.event_finished(workflow, now)
    for number in range(900):
        workflow = PendingWorkflow(str(number), number // 3, kind=kind)
        scheduler.add(workflow, now)
    polls, begin, running = 0, cpu(), StillRunning("running")
    while polls < SCHEDULED:
        now = max(now, scheduler.next_poll_at())
        for workflow in scheduler.take(now, CONNECTIONS):
            scheduler.answered(workflow, now, running)
            polls += 1
    return (cpu() - begin) / polls


def measured_pairs(
    ours: Callable[[], float], theirs: Callable[[], float], pairs: int
) -> list[tuple[float, float]]:
    """Return *pairs* of values measured in turn, after a warm-up."""
    ours()
    theirs()
    return [(ours(), theirs()) for _ in range(pairs)]


def run(measure: Callable[[str], Coroutine[Any, Any, float]], url: str) -> float:
    """Run a measurement in an event loop of its own."""
    return asyncio.run(measure(url))


WAITING = 100_000
ACCOUNTS = 1_000


async def crowd(url: str) -> tuple[float, float, float]:
    """Let 100,000 workflows wait in one session, polled over HTTP, for 20 seconds.

    Return the bytes of each, which includes its handle and workflow but no waiter, and
    p99 and maximum of the event-loop lag, in seconds.
    """
    async with Session(base_url=url, **TOKENS) as session:
        accounts = [session.account(f"account-{n}") for n in range(ACCOUNTS)]
        gc.collect()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        for number in range(WAITING):
            workflow = st.check_connection_status(
                f"https://www.linkedin.com/in/person-{number}"
            )
            account = accounts[number % ACCOUNTS]
            # In order, as if they were started here, but without 100,000 requests.
            account._runner().watch(  # noqa: SLF001
                f"wf-64835e7c-a0ac-40ae-8338-{number:012d}", workflow, ordered=True
            )
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        await asyncio.sleep(5)
        lags = []
        loop = asyncio.get_running_loop()
        end, polls = loop.time() + 20, session.stats.polls
        while loop.time() < end:
            expected = loop.time() + 0.005
            await asyncio.sleep(0.005)
            lags.append(loop.time() - expected)
        assert gc.isenabled()
        assert session.stats.polls > polls + 500
        lags.sort()
        each = (after - before) / WAITING
        return each, lags[len(lags) * 99 // 100], lags[-1]


def main() -> int:
    """Measure and print the table; return 1 if a figure exceeds its limit."""
    running, running_url = serve("running")
    done, done_url = serve("done")
    try:
        bare = measured_pairs(
            lambda: run(our_polls, running_url), lambda: run(bare_polls, running_url), 7
        )
        sdk = measured_pairs(
            lambda: run(our_polls, running_url), lambda: their_polls(running_url), 5
        )
        reads = measured_pairs(
            lambda: run(our_starts, done_url), lambda: run(bare_starts, done_url), 5
        )
        writes = measured_pairs(
            lambda: run(our_writes, done_url), lambda: run(bare_writes, done_url), 5
        )
        profile = profile_of_starts(done_url)
        learnt = measured_pairs(
            lambda: scheduler_cpu("kind"), lambda: scheduler_cpu(None), 7
        )
        each, p99, longest = asyncio.run(crowd(running_url))
    finally:
        running.terminate()
        done.terminate()
    waiting = f"{WAITING:,} waiting on {ACCOUNTS:,} accounts"
    figures = [
        Figure.of_pairs(
            "client CPU per poll, against a bare loop", bare, "µs", POLL_LIMIT
        ),
        Figure.of_pairs(
            "client CPU per poll, against the SDK's status()", sdk, "µs", SDK_LIMIT
        ),
        Figure.of_pairs(
            "scheduler CPU per poll, learnt against fixed intervals", learnt, "µs", 1.1
        ),
        Figure.of_pairs(
            "CPU of 1,000 reads on 1,000 accounts, against a bare script",
            reads,
            "ms",
            READS_LIMIT,
        ),
        Figure.of_pairs(
            "CPU of 1,000 writes, against one connection for each",
            writes,
            "ms",
            WRITES_LIMIT,
        ),
        Figure(f"memory per workflow, {waiting}", each / 1024, "KiB", 0.7),
        Figure(f"event-loop lag p99, {waiting}", p99 * 1e3, "ms", 5),
        Figure(f"event-loop lag maximum, {waiting}", longest * 1e3, "ms", math.inf),
    ]
    status = report("medians of pairs in one run", figures)
    print(f"where the time of 1,000 reads goes: {profile}")
    return status


if __name__ == "__main__":
    sys.exit(main())
