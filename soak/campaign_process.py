"""Send a campaign with ``linkedapi batch`` from cron, and kill it with ``kill -9``.

The command is a process of its own in real time. The clocks of the sandbox and of the
command are moved: by an hour for each run of cron, and to the next morning at the end of
a day. Starts without an answer are decided by the history of the account.
"""

from __future__ import annotations

import asyncio
import csv
import json
import math
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import attrs
from _campaign import (
    ACCOUNTS,
    CATEGORY,
    DAY,
    MONDAY,
    PER_DAY,
    SIGN_IN,
    SIGN_OUT,
    SIGN_OUT_AFTER,
    TOKEN,
    account_ids,
    begin_day,
    best_day,
    check,
    new_sandbox,
    rows,
    sent_by,
    share_of_it,
    started_by,
    text_of,
)
from _command import AHEAD

from linkedapi_async.journal import SqliteJournal
from linkedapi_async.policies import Polling
from linkedapi_async.sandbox import Sandbox
from linkedapi_async.urls import normalize_url


DURATION: Final = 0.04
"""How long a workflow takes in the sandbox, in seconds."""

FAST: Final = Polling.fixed(0.02)

BATCH: Final = (
    *("batch", "connect.json", "--from", "people.csv", "--out", "results.jsonl"),
    *("--contacts", "contacts.sqlite3", "--skip-invalid", "report.csv"),
    *("--per-day", CATEGORY, str(PER_DAY), "--limit", "5", "--yes", "--quiet"),
)

JOURNAL: Final = "results.jsonl.journal"

DONE, UNKNOWN, FAILED, LATER = 0, 8, 9, 75


class Loop(asyncio.SelectorEventLoop):
    """A loop whose clock can be moved."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = 0.0

    def time(self) -> float:
        """Return the time in seconds."""
        return super().time() + self.ahead


@attrs.define
class Campaign:
    """A campaign and what happens to it.

    Args:
        people: How many people the list has.
        kills: How many runs are killed.
        folder: Where its files are.
        rng: Decides when.
        loop: The loop that runs.
    """

    people: int
    kills: int
    folder: Path
    rng: random.Random
    loop: Loop
    killed: int = 0
    statuses: list[int] = attrs.field(factory=list)
    """The exit statuses of the runs that were not killed."""
    undecided: set[str] = attrs.field(factory=set)
    """The keys of what ran when its account was signed out."""
    decided: int = 0
    _began: float = 0.0

    async def run(self) -> dict[str, Any]:
        """Run the campaign to its end, and check what the sandbox has seen."""
        listed = rows(self.rng, self.people)
        lines = ["name,url", *(f"{key},{url}" for key, url in listed), ""]
        self._write("people.csv", "\n".join(lines))
        self._write("accounts.json", json.dumps(ACCOUNTS))
        async with new_sandbox(duration=DURATION) as sandbox:
            self._began = self.loop.time()
            ids = await account_ids(sandbox)
            for day in range(best_day(self.people) + 2):
                self._move_to(day * DAY)
                await begin_day(sandbox, day, ids, polling=FAST)
                if day == SIGN_IN:
                    sandbox.sign_in(ACCOUNTS["two"])
                self._write("connect.json", json.dumps(template(text_of(day))))
                if await self._run_day(sandbox, day) == DONE:
                    break
            return self._check(await sent_by(sandbox), listed)

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)

    def _move_to(self, seconds: float) -> None:
        """Move the clock forward to a time since the campaign began."""
        self.loop.ahead += max(0.0, self._began + seconds - self.loop.time())

    async def _run_day(self, sandbox: Sandbox, day: int) -> int:
        """Let cron run the command until nothing is left for the day."""
        left = self.kills - self.killed
        kills = min(left, math.ceil(self.kills / (best_day(self.people) + 1)))
        watch = self._signing_out(sandbox) if day == SIGN_OUT else None
        hour = 1
        while True:
            self._move_to(day * DAY + hour * 3600)
            hour += 1
            if watch is None and kills > 0:
                watch = self._kill_time(sandbox)
            status = await self._command(sandbox, *BATCH, kill_when=watch)
            watch = None
            if status < 0:
                kills -= 1
                self.killed += 1
                continue
            self.statuses.append(status)
            if status == UNKNOWN:
                await self._decide(sandbox)
                continue
            if status == FAILED:
                status = self._without_undecided()
            assert status in {DONE, LATER}, f"exit status {status} on day {day}"
            if kills <= 0 or status == DONE:
                return status

    def _without_undecided(self) -> int:
        """Return the status, but for what ran when its account was signed out.

        It may have sent an invitation, so it is listed as failed, and not sent again.
        """
        found = list(SqliteJournal.read(self.folder / JOURNAL))
        failed = [row for row in found if row.failed]
        assert all(row.about == "account" and row.wrote for row in failed), failed
        self.undecided = {row.key for row in failed}
        ended = sum(row.state == "delivered" for row in found)
        return DONE if ended == self.people else LATER

    def _signing_out(self, sandbox: Sandbox) -> Callable[[], bool]:
        """Return what signs an account out amid its work, and never says to kill."""
        goal: float = started_by(sandbox, "two") + SIGN_OUT_AFTER

        def sign_out() -> bool:
            """Sign it out once it has started enough."""
            nonlocal goal
            if started_by(sandbox, "two") >= goal:
                sandbox.sign_out(ACCOUNTS["two"])
                goal = math.inf
            return False

        return sign_out

    def _kill_time(self, sandbox: Sandbox) -> Callable[[], bool]:
        """Return a condition: some more starts were accepted, or time has passed."""
        goal = len(sandbox.workflows) + self.rng.randint(1, max(1, self.people // 25))
        moment = self.loop.time() + self.rng.uniform(0.3, 6)
        return lambda: len(sandbox.workflows) >= goal or self.loop.time() >= moment

    async def _command(
        self,
        sandbox: Sandbox,
        *words: str,
        kill_when: Callable[[], bool] | None = None,
    ) -> int:
        """Run the command line, perhaps kill it; return its exit status."""
        now = MONDAY.timestamp() + self.loop.time() - self._began
        ahead = now - time.time()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", AHEAD, str(ahead), *words),
            *("--accounts", "accounts.json"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=self.folder,
            env={
                **os.environ,
                "LINKED_API_TOKEN": TOKEN,
                "ACCOUNT_API_TOKEN": "",
                "IDENTIFICATION_TOKEN": "",
                "LINKED_API_BASE_URL": sandbox.url,
                "LINKED_API_POLL_INTERVAL": "0.02",
            },
        )
        ended = asyncio.create_task(process.wait())
        while not ended.done():
            if kill_when is not None and kill_when():
                process.kill()
                break
            await asyncio.wait([ended], timeout=0.005)
        return await ended

    async def _decide(self, sandbox: Sandbox) -> None:
        """Decide on starts without an answer, by what the account has done."""
        words = ["recover", JOURNAL]
        for row in SqliteJournal.read(self.folder / JOURNAL, "unknown"):
            body = json.loads(row.definition)
            found = [w.id for w in sandbox.workflows if w.definition == body]
            self.decided += 1
            if found:
                words += ["--mark-started", row.key, found[-1]]
            else:
                words += ["--retry", row.key]
        await self._command(sandbox, *words)

    def _check(self, sent: Any, listed: list[tuple[str, str]]) -> dict[str, Any]:
        """Check the statuses, the results and what the sandbox has counted."""
        results = (self.folder / "results.jsonl").read_text("utf-8").splitlines()
        lines = [json.loads(line) for line in results]
        waiting = {
            normalize_url(line["input"]["url"])
            for line in lines
            if line["key"] in self.undecided
        }
        figures = check(sent, self.people, waiting)
        keys = Counter(line["key"] for line in lines)
        twice = [key for key, times in keys.items() if times > 1]
        with (self.folder / "report.csv").open(encoding="utf-8", newline="") as file:
            reported = {normalize_url(row["url"]) for row in csv.DictReader(file)}
        doubles = {normalize_url(url) for key, url in listed if key.startswith("again")}
        last = FAILED if self.undecided else DONE
        assert self.statuses[-1] == last, f"exit statuses {self.statuses}"
        assert len(keys) == self.people, f"{len(keys)} results for {self.people} people"
        assert not twice, f"in the results twice: {twice}"
        assert doubles == reported, f"not reported: {doubles ^ reported}"
        return {
            "people": f"{self.people}, {len(doubles)} of them twice, and reported",
            **figures,
            "kills": self.killed,
            "decided by the history": self.decided,
            "exit statuses": dict(Counter(self.statuses)),
        }


def template(text: str) -> dict[str, str]:
    """Return the template of the invitations."""
    action = "st.sendConnectionRequest"
    return {"actionType": action, "personUrl": "{{url}}", "note": text}


def run(share: float) -> dict[str, Any]:
    """Run the campaign with a share of the people and of the kills."""
    people, kills = share_of_it(share)
    with (
        tempfile.TemporaryDirectory() as folder,
        asyncio.Runner(loop_factory=Loop) as runner,
    ):
        loop = runner.get_loop()
        assert isinstance(loop, Loop)
        made = Campaign(people, kills, Path(folder), random.Random(16), loop)
        return runner.run(made.run())
