"""Kill the library, ``linkedapi batch`` and ``linkedapi recover`` at random moments.

After all kills, every message was accepted once by the sandbox or waits for a decision,
and every result came out.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from linkedapi_async import st
from linkedapi_async.journal import SqliteJournal
from linkedapi_async.sandbox import Sandbox


KILLS: Final = 200
PER_KILL: Final = 12
"""How many messages a batch has for each kill."""
STARTED: Final = 4
"""How many workflows one `recover` waits for."""
DURATION: Final = 0.04
"""How long a message takes in the sandbox, in seconds."""
SEED: Final = 7

TEMPLATE: Final = {
    "actionType": "st.sendMessage",
    "personUrl": "{{url}}",
    "text": "Hello {{text}}!",
}
EXAMPLE: Final = Path(__file__).parents[1] / "examples" / "campaign.py"

Figures = dict[str, Any]


def environment(sandbox: Sandbox) -> dict[str, str]:
    """Return the environment of a process that uses *sandbox*."""
    return {
        **os.environ,
        "LINKED_API_TOKEN": "main-token",
        "ACCOUNT_API_TOKEN": "",
        "IDENTIFICATION_TOKEN": "account-token",
        "LINKED_API_BASE_URL": sandbox.url,
        "LINKED_API_POLL_INTERVAL": "0.02",
    }


async def run_process(
    *words: str, folder: Path, sandbox: Sandbox, kill_when: Callable[[], bool] | None
) -> tuple[str, bool]:
    """Run Python, and kill it when *kill_when* says so; return its output and whether."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=folder,
        env=environment(sandbox),
    )

    async def kill() -> None:
        while kill_when is not None and process.returncode is None:
            if kill_when():
                process.kill()
                return
            await asyncio.sleep(0.002)

    killer = asyncio.create_task(kill())
    assert process.stdout is not None
    output = await process.stdout.read()
    status = await process.wait()
    await killer
    return output.decode(errors="replace"), status < 0


def after_starts(
    rng: random.Random, sandbox: Sandbox, loop: asyncio.AbstractEventLoop
) -> Callable[[], bool]:
    """Return a condition: some more starts were accepted, and a moment has passed."""
    goal = len(sandbox.workflows) + rng.randint(0, PER_KILL)
    moment = rng.uniform(0, 0.03)
    since: list[float] = []

    def reached() -> bool:
        if len(sandbox.workflows) >= goal and not since:
            since.append(loop.time())
        return bool(since) and loop.time() - since[0] >= moment

    return reached


def during_recover(
    rng: random.Random, sandbox: Sandbox, usual: float
) -> Callable[[], bool]:
    """Return a condition: some polls were answered, or part of the *usual* time passed."""
    loop = asyncio.get_running_loop()
    polls = rng.randint(0, STARTED)
    goal = sandbox.requests + polls
    moment = loop.time() + (usual * rng.uniform(0, 1.2) if polls == 0 else 0)
    return lambda: sandbox.requests >= goal and loop.time() >= moment


def people(number: int) -> str:
    """Return a CSV of people."""
    rows = [f"https://www.linkedin.com/in/p{n},{n}" for n in range(number)]
    return "\n".join(["url,text", *rows, ""])


def check_messages(sandbox: Sandbox, number: int, seen: set[str]) -> Figures:
    """Return what came of *number* messages; *seen* are URLs with a result."""
    accepted = {
        json.loads(definition)["personUrl"]: ids
        for definition, ids in sandbox.accepted_by_definition.items()
    }
    twice = [url for url, ids in accepted.items() if len(ids) > 1]
    lost = number - len(seen)
    assert not twice, f"sent twice: {twice}"
    assert lost == 0, f"{lost} of {number} messages without a result or a decision"
    return {"messages": number, "twice": len(twice), "lost": lost}


async def kill_batches(
    words: tuple[str, ...], kills: int, journal: str, folder: Path
) -> Figures:
    """Kill a command that sends messages *kills* times, then let it end."""
    rng = random.Random(f"{SEED} {words}")
    number = PER_KILL * kills
    (folder / "people.csv").write_text(people(number), encoding="utf-8")
    (folder / "hello.json").write_text(json.dumps(TEMPLATE), encoding="utf-8")
    printed: list[str] = []
    killed = 0
    async with Sandbox(duration=DURATION) as sandbox:
        loop = asyncio.get_running_loop()
        while True:
            condition = after_starts(rng, sandbox, loop) if killed < kills else None
            output, was_killed = await run_process(
                *words, folder=folder, sandbox=sandbox, kill_when=condition
            )
            printed.append(output)
            if not was_killed:
                break
            killed += 1
        rows = SqliteJournal.read(folder / journal)
        results = folder / "results.jsonl"
        if results.exists():
            printed = [results.read_text(encoding="utf-8")]
        # The last line of a killed process may be cut off.
        lines = [line for text in printed for line in text.split("\n")[:-1]]
        urls = {found[0] for line in lines if (found := URL.search(line))}
        unknown = {
            json.loads(row.definition)["personUrl"]
            for row in rows
            if row.state == "unknown"
        }
        figures = check_messages(sandbox, number, urls | unknown)
    return {"kills": killed, **figures, "unknown": len(unknown)}


URL: Final = re.compile(r"https://www\.linkedin\.com/in/p\d+")


async def kill_recovers(kills: int, folder: Path) -> Figures:
    """Kill `recover` *kills* times, each round until it ends by itself."""
    rng = random.Random(SEED)
    killed = rounds = started = 0
    usual = 1.0
    loop = asyncio.get_running_loop()
    async with Sandbox(duration=DURATION) as sandbox:
        while killed < kills:
            path = folder / f"journal-{rounds}"
            rounds += 1
            async with sandbox.session(
                identification_token="account-token", journal=path
            ) as session:
                handles = [
                    await session.start(
                        st.send_message(
                            f"https://www.linkedin.com/in/r{rounds}-{n}", text="Hello!"
                        )
                    )
                    for n in range(STARTED)
                ]
            started += STARTED
            ids = {str(handle.workflow_id) for handle in handles}
            outputs: list[str] = []
            while True:
                condition = during_recover(rng, sandbox, usual)
                began = loop.time()
                output, was_killed = await run_process(
                    *("-m", "linkedapi_async", "recover", str(path)),
                    folder=folder,
                    sandbox=sandbox,
                    kill_when=condition if killed < kills else None,
                )
                outputs.append(output)
                if not was_killed:
                    usual = loop.time() - began
                    break
                killed += 1
            lost = {one for one in ids if not any(one in text for text in outputs)}
            open_rows = list(SqliteJournal.read(path, "finished", "accepted"))
            assert not lost, f"not printed: {lost}"
            assert not open_rows, f"not acknowledged: {open_rows}"
        twice = [i for i in sandbox.accepted_by_definition.values() if len(i) > 1]
        assert not twice, f"sent twice: {twice}"
    figures = {"kills": killed, "rounds": rounds, "messages": started}
    return {**figures, "twice": len(twice), "lost": 0}


async def _all(kills: int) -> Figures:
    batch = ("-m", "linkedapi_async", "batch", "hello.json", "--from", "people.csv")
    options = ("--out", "results.jsonl", "--yes", "--limit", "8", "-q")
    library = (str(EXAMPLE), "people.csv", "--speed=100")
    works = {
        "library": partial(kill_batches, library, kills, "campaign.sqlite3"),
        "batch": partial(
            kill_batches, (*batch, *options), kills, "results.jsonl.journal"
        ),
        "recover": partial(kill_recovers, kills),
    }

    async def timed(name: str) -> Figures:
        """Do one of the works in a folder of its own."""
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            found = await works[name](Path(folder))
        found["seconds"] = f"{time.perf_counter() - began:.0f}"
        return {f"{name}: {label}": figure for label, figure in found.items()}

    # At the same time: each of them mostly waits for a process to start or to end.
    figures = await asyncio.gather(*map(timed, works))
    return {label: figure for each in figures for label, figure in each.items()}


def run(share: float) -> Figures:
    """Kill processes, and return how many messages were sent twice or lost."""
    return asyncio.run(_all(math.ceil(KILLS * share / 3)))
