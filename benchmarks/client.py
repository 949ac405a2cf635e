"""Measure the cost of waiting: CPU per poll, memory per workflow, event-loop lag.

All figures are measured side by side in one run, against bare aiohttp loops and the
official SDK. The servers run in processes of their own, so only the client counts.
"""

from __future__ import annotations

import asyncio
import gc
import math
import resource
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import orjson
from _table import Figure, table
from linkedapi import LinkedApi, LinkedApiConfig

from linkedapi_async import Polling, Session, st


CONNECTIONS = 50
POLLS = 4_000
TOKENS: dict[str, Any] = {
    "linked_api_token": "token",
    "identification_token": "account",
}
CHECK = st.check_connection_status("https://www.linkedin.com/in/ada")

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


async def our_polls(url: str) -> float:
    """Return the CPU seconds per poll of a session that polls as fast as it can."""
    polling = Polling(
        initial_delay=0,
        interval=1e-6,
        growth=1,
        max_interval=1e-6,
        jitter=0,
        queued_interval=1e-6,
    )
    async with Session(base_url=url, polling=polling, **TOKENS) as session:
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


async def our_thousand(url: str) -> float:
    """Return the seconds from the first start to the last of 1,000 results."""
    async with Session(
        base_url=url, polling=Polling(initial_delay=0), **TOKENS
    ) as session:
        accounts = [session.account(f"account-{n}") for n in range(1000)]
        begin = time.perf_counter()
        await asyncio.gather(*(account.run(CHECK) for account in accounts))
        return time.perf_counter() - begin


async def bare_thousand(url: str) -> float:
    """Return the seconds of a bare script that sends the same requests."""
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as client:

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
            async with client.post(address, data=body, headers=headers) as response:
                accepted = orjson.loads(await response.read())
            address = f"{url}/workflows/{accepted['result']['workflowId']}"
            async with client.get(address, headers=headers) as response:
                orjson.loads(await response.read())

        begin = time.perf_counter()
        await asyncio.gather(*(run(number) for number in range(1000)))
        return time.perf_counter() - begin


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


def main() -> None:
    """Measure and print the table."""
    running, running_url = serve("running")
    done, done_url = serve("done")
    try:
        bare = measured_pairs(
            lambda: run(our_polls, running_url), lambda: run(bare_polls, running_url), 7
        )
        sdk = measured_pairs(
            lambda: run(our_polls, running_url), lambda: their_polls(running_url), 5
        )
        thousand = measured_pairs(
            lambda: run(our_thousand, done_url), lambda: run(bare_thousand, done_url), 9
        )
        each, p99, longest = asyncio.run(crowd(running_url))
    finally:
        running.terminate()
        done.terminate()
    waiting = f"{WAITING:,} waiting on {ACCOUNTS:,} accounts"
    figures = [
        Figure.of_pairs("client CPU per poll, against a bare loop", bare, "µs", 1.3),
        Figure.of_pairs(
            "client CPU per poll, against the SDK's status()", sdk, "µs", 0.2
        ),
        Figure.of_pairs(
            "1,000 workflows on 1,000 accounts, against a bare script",
            thousand,
            "ms",
            1.3,
        ),
        Figure(f"memory per workflow, {waiting}", each / 1024, "KiB", 1.5),
        Figure(f"event-loop lag p99, {waiting}", p99 * 1e3, "ms", 5),
        Figure(f"event-loop lag maximum, {waiting}", longest * 1e3, "ms", math.inf),
    ]
    print(table("medians of pairs in one run", figures))


if __name__ == "__main__":
    main()
