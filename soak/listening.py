"""Measure what listening to webhook events costs where the journal has many rows.

Sessions with and without `listen` take turns, so that a busy machine slows both down. The
time is that of the processor in this process, the thread of the journal included; the
server runs in another one.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final, cast

from linkedapi_async import Polling, Session, st
from linkedapi_async.journal import Journal, SqliteJournal
from linkedapi_async.webhooks import WebhookReceiver, sign


ROWS: Final = 200_000
FEW_ROWS: Final = 100
STARTS: Final = 100
EVENTS: Final = 100
ROUNDS: Final = 9
MOST: Final = 1.3
"""How many times as long starts may take while the session listens."""
MOST_GROWTH: Final = 2.0
"""How many times as long events may take where the journal has many rows."""

SECRET: Final = "webhook-secret-4242"
ACCOUNT_ID: Final = "account-1"
MESSAGE: Final = st.send_message("https://www.linkedin.com/in/x", text="y" * 500)

_INSERT: Final = """
    WITH RECURSIVE numbers (n) AS (
        VALUES (1) UNION ALL SELECT n + 1 FROM numbers WHERE n < ?1
    )
    INSERT INTO workflows (key, account, state, workflow_id, end_status, stream,
        run_number, created, updated, definition)
    SELECT 'old-' || n, 'account', 'delivered', 'old-' || n, 'completed', 1, 1, 0, 0,
        '{"actionType":"st.sendMessage","personUrl":"x","text":"' || ?2 || '"}'
    FROM numbers
"""


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept every start of a connection, and say that everything runs."""
    with closing(writer):
        while head := await reader.readline():
            length = 0
            while (line := await reader.readline()) not in (b"\r\n", b""):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            await reader.readexactly(length)
            workflow_id = f"wf-{time.monotonic_ns()}"
            result = {"workflowId": workflow_id, "workflowStatus": "pending"}
            if not head.startswith(b"POST"):
                result = {"workflowStatus": "running"}
            body = json.dumps({"success": True, "result": result}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
            writer.write(body)


async def serve() -> None:
    """Print the port and serve until the process is ended."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def server() -> Iterator[str]:
    """Serve in a process of its own; give the address."""
    words = [sys.executable, __file__, "serve"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


async def fill(path: Path, rows: int) -> None:
    """Make a journal with *rows* rows that were delivered."""
    async with SqliteJournal(path):
        pass
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(_INSERT, (rows, "y" * 500))
        connection.commit()


async def start_all(url: str, path: Path, *, listening: bool) -> tuple[float, float]:
    """Return how long the starts took, and then the events of other workflows.

    Both in milliseconds of the processor.
    """
    receiver = WebhookReceiver(SECRET)
    async with Session(
        linked_api_token="main-token",
        base_url=url,
        journal=path,
        polling=Polling.fixed(1_000_000),
    ) as session:
        account = session.account("token", name="account", account_id=ACCOUNT_ID)
        if listening:
            session.listen(receiver)
        await account.start(MESSAGE)  # makes what is made once
        began = time.process_time()
        for _ in range(STARTS):
            await account.start(MESSAGE)
        between = time.process_time()
        for number in range(EVENTS if listening else 0):
            data = {"workflowId": f"other-{number}", "accountId": ACCOUNT_ID}
            event = {"id": f"e{number}", "type": "workflow.created", "data": data}
            body = json.dumps(event).encode()
            receiver.receive(sign(body, secret=SECRET), body)
            # What the event has asked the journal comes before this.
            await asyncio.sleep(0)
            await cast("Journal", session.journal).state("none")
        end = time.process_time()
    return 1000 * (between - began), 1000 * (end - between)


Measured = dict[tuple[int, bool], list[tuple[float, float]]]


async def measure(rows: int, rounds: int) -> Measured:
    """Measure each size of the journal, with and without listening, in turns."""
    found: Measured = {
        (size, listening): []
        for size in (FEW_ROWS, rows)
        for listening in (False, True)
    }
    with tempfile.TemporaryDirectory() as folder, server() as url:
        for size in (FEW_ROWS, rows):
            await fill(Path(folder, str(size)), size)
        for number in range(rounds):
            for size, listening in sorted(found, reverse=bool(number % 2)):
                path = Path(folder, str(size))
                times = await start_all(url, path, listening=listening)
                found[size, listening].append(times)
    return found


def run(share: float) -> dict[str, Any]:
    """Compare starts with and without listening, and events by size of the journal."""
    rows = max(2 * FEW_ROWS, round(ROWS * share))
    found = asyncio.run(measure(rows, max(1, round(ROUNDS * share))))
    starts = {
        key: median(starts for starts, _ in times) for key, times in found.items()
    }
    events = {
        size: median(e for _, e in found[size, True]) for size in (FEW_ROWS, rows)
    }
    ratio = starts[rows, True] / starts[rows, False]
    growth = events[rows] / events[FEW_ROWS]
    if share >= 1:  # a few rounds say nothing about time
        assert ratio <= MOST, f"{STARTS} starts take {ratio:.2f} times as long"
        assert growth <= MOST_GROWTH, f"{EVENTS} events take {growth:.2f} times as long"
    return {
        "rows in the journal": f"{rows:,}",
        f"{STARTS} starts, not listening": f"{starts[rows, False]:.0f} ms",
        f"{STARTS} starts, listening": f"{starts[rows, True]:.0f} ms",
        "ratio": f"{ratio:.2f}, at most {MOST}",
        f"{EVENTS} events with {FEW_ROWS:,} rows": f"{events[FEW_ROWS]:.0f} ms",
        f"{EVENTS} events with {rows:,} rows": f"{events[rows]:.0f} ms",
    }


if __name__ == "__main__":
    asyncio.run(serve())
