"""Measure a fleet: one worker against one process, submits, lanes at rest, a take-over.

All figures are of one run, on a PostgreSQL server that is started for it and does not
wait for its disk. The sandbox and the workers are processes of their own. A workflow is
polled about four times, as one of half a minute is with the default `Polling`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import psutil
import psycopg
from _table import Figure, report
from aiohttp import web
from client import cpu, serve
from psycopg import sql


# The server of the tests, for which this folder is not on the path.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from postgres_server import PostgresServer, running_postgres

from linkedapi_async import Polling, Session, st
from linkedapi_async.fleet import Queue
from linkedapi_async.sandbox import Sandbox


PAIRS: Final = 5
ITEMS, LANES = 1_500, 750
"""What each run sends, and for how many accounts."""
DURATION, INTERVAL = 2.0, 0.5
"""How long a workflow takes and how often it is polled, in seconds."""
THROUGHPUT, CPU = 0.40, 2.8
"""The limits of one worker, relative to one process: throughput at least, CPU at most."""
STARTS, SWEEP = 64, 0.5
"""The ``starts`` and ``interval`` of a worker for this throughput.

This sandbox answers a start in milliseconds, so that the defaults hold a worker back.
"""
DEFAULTS: Final = 8, 2.0
"""Those of a worker by default: a crash makes few starts unknown, and lanes at rest cost
PostgreSQL little."""
DEFAULT_THROUGHPUT: Final = 0.28
"""The limit with the defaults: what was reached, 0.32, less what runs differ by."""

SUBMITTED, SUBMITTERS = 4_000, 2_000
BATCH: Final = 200
SUBMIT: Final = 0.3
"""The least speed, relative to bare INSERTs."""
TABLES: Final = (
    ("linkedapi", "items"),
    ("linkedapi_dbos", "workflow_status"),
    ("linkedapi_dbos", "workflow_input"),
)
"""What an item is made of in the database."""

RESTING: Final = 5_000
"""The lanes of each of two workers at rest; each lane has one more item that waits."""
REST: Final = 25.0
"""How long they are watched, in seconds."""
REST_CPU, REST_MEMORY = 20.0, 200.0
"""The limits: PostgreSQL, in percent of a core, and each worker, in MiB."""
TTL: Final = 15.0
TAKE_OVER: Final = TTL + 10.0

NOTIFIED, NOTIFIED_LANES = 400, 200
NOTIFIED_FIRST: Final = 50
"""So many are not counted: by their events the worker learns that events come."""
NOTIFIED_DURATION, NOTIFIED_INTERVAL = 6.0, 2.0
"""How long these workflows take and how often one is polled without events."""
NOTIFIED_POLLS: Final = 0.2
SECRET: Final = "not-a-secret-on-loopback"

WORKER: Final = f"""
import os
from linkedapi_async import Session
from linkedapi_async.fleet import Worker

async def token(account):
    return f"token-of-{{account}}"

worker = Worker(
    os.environ["LINKED_API_QUEUE"],
    session=Session.from_env,
    token=token,
    lanes=int(os.environ["LANES"]),
    starts=int(os.environ["STARTS"]),
    interval=float(os.environ["INTERVAL"]),
    ttl={TTL},
)
"""


def plan(items: int, lanes: int) -> Iterator[tuple[str, st.send_message, str]]:
    """Yield messages in turn for all lanes, as `Queue.submit_all` takes them."""
    for number in range(items):
        url = f"https://www.linkedin.com/in/person-{number}"
        message = st.send_message(url, text="Hello!")
        yield f"lane-{number % lanes}", message, f"key-{number:05}"


@contextlib.contextmanager
def sandbox(duration: float) -> Iterator[str]:
    """Run a sandbox in which a workflow takes so many seconds; yield its URL."""
    command = [sys.executable, "-m", "linkedapi_async", "sandbox", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--quiet", "--duration", str(duration)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
    finally:
        process.kill()
        process.wait()


class WorkerProcess:
    """A worker in a process of its own.

    Args:
        folder: Where its module is written.
        url: The queue's database.
        api: The sandbox.
        interval: How often it polls, in seconds.
        lanes: How many it serves at most.
        settings: Its ``starts`` and ``interval``.
    """

    def __init__(
        self,
        folder: Path,
        url: str,
        api: str,
        interval: float,
        lanes: int = RESTING,
        *,
        settings: tuple[int, float] = DEFAULTS,
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
        self._health = f"http://127.0.0.1:{port}/"
        (folder / "fleet_worker.py").write_text(WORKER, encoding="utf-8")
        command = ["-m", "linkedapi_async", "worker", "fleet_worker:worker", "--quiet"]
        self._process = subprocess.Popen(
            [sys.executable, *command, "--health", str(port)],
            cwd=folder,
            env={
                **os.environ,
                "LINKED_API_QUEUE": url,
                "LINKED_API_BASE_URL": api,
                "LINKED_API_TOKEN": "token",
                "LINKED_API_POLL_INTERVAL": str(interval),
                "LANES": str(lanes),
                "STARTS": str(settings[0]),
                "INTERVAL": str(settings[1]),
            },
        )
        self._measured = psutil.Process(self._process.pid)

    async def lanes(self) -> int:
        """Return how many lanes it runs; -1 before it works."""
        async with aiohttp.ClientSession() as client:
            with contextlib.suppress(aiohttp.ClientError):
                async with client.get(self._health) as response:
                    found: dict[str, Any] = await response.json()
                return int(found["lanes"]) if found["ok"] else -1
        return -1

    @property
    def cpu(self) -> float:
        """The CPU time that it has used, in seconds."""
        times = self._measured.cpu_times()
        return float(times.user + times.system)

    @property
    def memory(self) -> float:
        """What is resident of it, in MiB."""
        return float(self._measured.memory_info().rss) / 2**20

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self._process.kill()
        self._process.wait()


async def until(lanes: int, *workers: WorkerProcess) -> None:
    """Wait until workers run so many lanes together, and each of them works."""
    async with asyncio.timeout(300):
        while True:
            found = [await worker.lanes() for worker in workers]
            if min(found) >= 0 and sum(found) >= lanes:
                return
            await asyncio.sleep(0.1)


def size(url: str) -> float:
    """Return how large a database is, in KiB."""
    query = "SELECT pg_database_size(current_database())"
    with psycopg.connect(url) as connection:
        (found,) = connection.execute(query).fetchone() or (0,)
    return float(found) / 1024


def server_cpu(url: str) -> float:
    """Return the CPU time that a PostgreSQL server has used, in seconds."""
    with psycopg.connect(url) as connection:
        parent = psutil.Process(connection.info.backend_pid).parent()
        assert parent is not None
        ended = parent.cpu_times()
        total = ended.user + ended.system + ended.children_user + ended.children_system
        for process in parent.children():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
    return float(total)


async def completed(queue: Queue, items: int) -> None:
    """Wait until all items of a queue are completed."""
    async with asyncio.timeout(300):
        while (found := await queue.progress()).completed < items:
            assert found.failed + found.unknown == 0, found
            await asyncio.sleep(0.1)


async def fleet_run(
    server: PostgresServer, folder: Path, api: str, settings: tuple[int, float]
) -> tuple[float, float, float, float]:
    """Let a worker run all; return seconds, its CPU time, PostgreSQL's, and KiB."""
    with server.database() as url:
        async with Queue(url) as queue:
            empty = size(url)
            await queue.submit_all(plan(ITEMS, LANES))
            worker = WorkerProcess(folder, url, api, INTERVAL, settings=settings)
            try:
                await until(0, worker)
                began = time.perf_counter(), worker.cpu, server_cpu(url)
                await completed(queue, ITEMS)
                ended = time.perf_counter(), worker.cpu, server_cpu(url)
                stored = size(url) - empty
            finally:
                worker.kill()
    seconds, used, served = (
        after - before for after, before in zip(ended, began, strict=True)
    )
    return seconds, used, served, stored


async def single_run(folder: Path, api: str) -> tuple[float, float]:
    """Run all in this process, with a journal; return the seconds and the CPU time."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        async with Session(
            base_url=api,
            linked_api_token="token",
            journal=Path(name) / "journal.sqlite3",
            polling=Polling.fixed(INTERVAL),
        ) as session:
            began = time.perf_counter(), cpu()

            async def run(lane: str, workflow: st.send_message, key: str) -> None:
                account = session.account(f"token-of-{lane}", name=lane)
                handle = await account.start(workflow, key=key)
                await handle.result(math.inf)

            await asyncio.gather(*(run(*item) for item in plan(ITEMS, LANES)))
            return time.perf_counter() - began[0], cpu() - began[1]


def workers(server: PostgresServer, folder: Path) -> tuple[list[Figure], str]:
    """Measure one worker against one process; return the costs of a workflow, too."""
    runs = []
    for _ in range(PAIRS):
        workers = []
        for settings in ((STARTS, SWEEP), DEFAULTS):
            with sandbox(DURATION) as api:
                run = fleet_run(server, folder, api, settings)
                workers.append(asyncio.run(run))
        with sandbox(DURATION) as api:
            runs.append((*workers, asyncio.run(single_run(folder, api))))
    of_item = 1 / ITEMS
    figures = [
        Figure.of_pairs(
            f"one worker: {name} per workflow",
            [(run[which][n] * of_item, run[2][n] * of_item) for run in runs],
            "ms",
            limit,
        )
        for name, which, n, limit in (
            ("time", 0, 0, 1 / THROUGHPUT),
            ("CPU", 0, 1, CPU),
            ("by default, time", 1, 0, 1 / DEFAULT_THROUGHPUT),
            ("by default, CPU", 1, 1, CPU),
        )
    ]
    served, stored = (
        statistics.median(default[n] for _, default, _ in runs) * of_item
        for n in (2, 3)
    )
    costs = (
        f"a workflow: {served * 1e3:.1f} ms of PostgreSQL's CPU, {stored:.1f} KiB of its "
        "disk without vacuum"
    )
    return figures, costs


async def submit(url: str) -> float:
    """Submit all; return the seconds."""
    async with Queue(url) as queue:
        began = time.perf_counter()
        await queue.submit_all(plan(SUBMITTED, SUBMITTERS))
        return time.perf_counter() - began


def copied(url: str, name: tuple[str, str]) -> tuple[sql.Composed, list[Any]]:
    """Return the INSERT for the rows of a table, and these rows."""
    with psycopg.connect(url) as connection:
        selected = sql.SQL("SELECT * FROM {}").format(sql.Identifier(*name))
        found = connection.execute(selected)
        assert found.description is not None
        columns = [sql.Identifier(column.name) for column in found.description]
        rows = found.fetchall()
    assert len(rows) == SUBMITTED
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(*name),
        sql.SQL(", ").join(columns),
        sql.SQL(", ").join(sql.Placeholder() * len(columns)),
    )
    return statement, rows


def insert(url: str, copies: Iterable[tuple[sql.Composed, list[Any]]]) -> float:
    """Insert rows in batches, each in a transaction; return the seconds."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        began = time.perf_counter()
        for start in range(0, SUBMITTED, BATCH):
            for statement, rows in copies:
                cursor.executemany(statement, rows[start : start + BATCH])
            connection.commit()
        return time.perf_counter() - began


async def notified(server: PostgresServer, folder: Path) -> Figure:
    """Measure how often a workflow is polled whose events this process receives."""
    with server.database() as url:
        async with Sandbox(duration=NOTIFIED_DURATION) as sandbox, Queue(url) as queue:
            app = web.Application()
            app.router.add_post("/hook", queue.webhook(SECRET))
            runner = web.AppRunner(app)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            hook = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
            sandbox.send_webhooks_to(hook, secret=SECRET)
            whole = plan(NOTIFIED + NOTIFIED_FIRST, NOTIFIED_LANES)
            await queue.submit_all(itertools.islice(whole, NOTIFIED_FIRST))
            worker = WorkerProcess(folder, url, sandbox.url, NOTIFIED_INTERVAL)
            try:
                await completed(queue, NOTIFIED_FIRST)
                await queue.submit_all(whole)
                await completed(queue, NOTIFIED + NOTIFIED_FIRST)
            finally:
                worker.kill()
                await runner.cleanup()
            later = sandbox.workflows[NOTIFIED_FIRST:]
            polls = statistics.mean(workflow.polls for workflow in later)
    return Figure(
        "webhooks that another process receives: polls per workflow",
        polls,
        "",
        NOTIFIED_POLLS,
    )


async def prepare(url: str) -> None:
    """Create the tables of a queue."""
    async with Queue(url):
        pass


def submits(server: PostgresServer) -> Figure:
    """Measure `Queue.submit_all` against INSERTs of the same rows."""
    pairs = []
    for _ in range(PAIRS):
        with server.database() as url, server.database() as other:
            ours = asyncio.run(submit(url))
            copies = [copied(url, name) for name in TABLES]
            asyncio.run(prepare(other))
            bare = insert(other, copies)
            pairs.append((ours / SUBMITTED, bare / SUBMITTED))
    name = "submit against bare batched INSERTs of its rows"
    return Figure.of_pairs(name, pairs, "ms", 1 / SUBMIT)


async def rest(server: PostgresServer, folder: Path) -> tuple[list[Figure], str]:
    """Measure lanes that wait for their workflows, and a worker that is killed."""
    # A sandbox has too few seats.
    process, api = serve("running")
    with server.database() as url, contextlib.ExitStack() as stack:
        stack.callback(process.terminate)
        async with Queue(url) as queue:
            await queue.submit_all(plan(4 * RESTING, 2 * RESTING))
        # This server has no autovacuum, which does that a minute later.
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ANALYZE")
        found = [WorkerProcess(folder, url, api, 60.0) for _ in range(2)]
        try:
            await until(0, *found)
            empty = min(worker.memory for worker in found)
            await until(2 * RESTING, *found)
            async with Queue(url) as queue, asyncio.timeout(300):
                while (await queue.progress()).queued > 2 * RESTING:  # noqa: ASYNC110
                    await asyncio.sleep(0.5)
            memory = max(worker.memory for worker in found)
            # With space for more lanes, all of them look for items.
            found.append(WorkerProcess(folder, url, api, 60.0, 2 * RESTING))
            await until(2 * RESTING, *found)
            await asyncio.sleep(TTL)
            began = time.perf_counter(), server_cpu(url), found[0].cpu
            await asyncio.sleep(REST)
            ended = time.perf_counter(), server_cpu(url), found[0].cpu
            seconds, served, used = (
                after - before for after, before in zip(ended, began, strict=True)
            )
            killed = time.perf_counter()
            found[0].kill()
            await until(2 * RESTING, *found[1:])
            taken = time.perf_counter() - killed
        finally:
            for worker in found:
                worker.kill()
    lanes = 2 * RESTING
    costs = (
        f"a lane at rest: {(memory - empty) / RESTING * 1024:.1f} KiB of a worker beyond "
        f"{empty:.0f} MiB, {used / seconds / RESTING * 1e6:.1f} µs/s of its CPU at a poll "
        f"a minute, {served / seconds / lanes * 1e6:.1f} µs/s of PostgreSQL's"
    )
    core = served / seconds * 100
    return [
        Figure(
            f"{lanes:,} lanes at rest, three workers: PostgreSQL, of a core",
            core,
            "%",
            REST_CPU,
        ),
        Figure(f"{RESTING:,} lanes at rest: a worker", memory, "MiB", REST_MEMORY),
        Figure(
            f"kill -9 of {RESTING:,} lanes until they run elsewhere, ttl {TTL:.0f} s",
            taken,
            "s",
            TAKE_OVER,
        ),
    ], costs


def main() -> int:
    """Measure and print the table; return 1 if a figure misses its limit."""
    began = time.perf_counter()
    with running_postgres() as server, tempfile.TemporaryDirectory() as name:
        figures, of_workflow = workers(server, Path(name))
        figures.append(submits(server))
        figures.append(asyncio.run(notified(server, Path(name))))
        resting, of_lane = asyncio.run(rest(server, Path(name)))
        figures.extend(resting)
    title = (
        f"a fleet, medians of {PAIRS} runs of {ITEMS:,} workflows on {LANES} accounts"
    )
    status = report(title, figures, ("ours", "other"))
    print(of_workflow)
    print(of_lane)
    print(f"{time.perf_counter() - began:.0f} s")
    return status


if __name__ == "__main__":
    sys.exit(main())
