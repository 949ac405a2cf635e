"""Invite the people of a list over days, from three accounts, while much goes wrong.

In virtual time, against a sandbox that enforces the limits: the list has people twice, an
account is signed out for two days, a limit is halved, another program uses a fifth of each
limit, the text is edited twice, and the session is left and entered again many times.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import math
import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, Final

import attrs

from linkedapi_async import (
    ActionError,
    StartUnknownError,
    SuppressedError,
    WorkflowFailedError,
    st,
)
from linkedapi_async._utils.times import set_wall_time, wall_time
from linkedapi_async.admin import Limit
from linkedapi_async.contacts import Contacts
from linkedapi_async.journal import MemoryJournal
from linkedapi_async.policies import Pace
from linkedapi_async.sandbox import Sandbox
from linkedapi_async.testing import run_virtual
from linkedapi_async.urls import normalize_url


PEOPLE: Final = 500
STOPS: Final = 30
PER_DAY: Final = 25
OTHERS: Final = 5
"""How many invitations another program sends from each account in a day."""

CATEGORY: Final = "stConnectionRequests"
ACCOUNTS: Final = {name: f"account-token-{name}" for name in ("one", "two", "three")}
TOKEN: Final = "main-token-4242"
MONDAY: Final = dt.datetime(2027, 3, 1, 8, tzinfo=dt.UTC)
DAY: Final = 86_400.0
TEXTS: Final = ("Helo!", "Hello!", "Good day!")


def url_of(number: int) -> str:
    """Return the URL of a person."""
    return f"https://www.linkedin.com/in/person-{number}"


@attrs.define
class Campaign:
    """A campaign and what happens to it.

    Args:
        people: How many people the list has.
        stops: How many times the session is left before the end.
        folder: Where the contacts are.
        rng: Decides when.
    """

    people: int
    stops: int
    folder: Path
    rng: random.Random
    ends: dict[str, str] = attrs.field(factory=dict)
    """How the items ended, by key."""
    text: str = TEXTS[0]
    errors: list[str] = attrs.field(factory=list)
    # Its thread would be overtaken by virtual time, if it were one in a file.
    journal: MemoryJournal = attrs.field(factory=MemoryJournal)

    def items(self) -> list[tuple[str, str]]:
        """Return the list: a key and a URL each, with a tenth of the people twice."""
        rows = [(f"row-{n}", url_of(n)) for n in range(self.people)]
        twice = self.rng.sample(range(self.people), self.people // 10)
        for number in twice:
            other = url_of(number).replace("https://www.", "http://uk.") + "/?trk=x"
            rows.append((f"again-{number}", other))
        self.rng.shuffle(rows)
        return rows

    async def run(self) -> dict[str, Any]:
        """Run the campaign to its end, and check what the sandbox has seen."""
        set_wall_time(MONDAY)
        rows = self.items()
        async with Sandbox(
            seed=5,
            now=MONDAY,
            tokens=[TOKEN],
            identification_tokens=ACCOUNTS.values(),
            limits={(CATEGORY, "daily"): PER_DAY},
        ) as sandbox:
            ids = await self._ids(sandbox)
            happening = asyncio.create_task(self._happen(sandbox, ids))
            entered = 0
            while True:
                entered += 1
                run = asyncio.create_task(self._send(sandbox, rows, ids))
                left = self.stops - entered + 1
                wait = self.rng.uniform(0.02, 0.4) * DAY if left > 0 else None
                done, _ = await asyncio.wait([run], timeout=wait)
                if done:
                    run.result()
                    break
                run.cancel()
                await asyncio.wait([run])
            ended = wall_time()
            happening.cancel()
            await asyncio.wait([happening])
            assert happening.cancelled(), "not everything has happened"
            return self._check(await _invited(sandbox), rows, ended, entered)

    async def _ids(self, sandbox: Sandbox) -> dict[str, str]:
        """Return the API's ids of the accounts, by name."""
        async with sandbox.session() as session, sandbox.admin() as admin:
            for name, token in ACCOUNTS.items():
                session.account(token, name=name)
            await admin.identify(session)
            return {a.name: str(a.account_id) for a in session.accounts}

    async def _send(
        self, sandbox: Sandbox, rows: list[tuple[str, str]], ids: dict[str, str]
    ) -> None:
        """Send to everyone on the list who has no invitation."""
        text = self.text
        items = ((key, st.send_connection_request(u, note=text)) for key, u in rows)
        contacts = Contacts(self.folder / "contacts.sqlite3")
        async with (
            sandbox.admin() as admin,
            sandbox.session(
                identification_token=ACCOUNTS["one"],
                journal=self.journal,
                contacts=contacts,
            ) as session,
        ):
            accounts = [
                session.account(
                    token,
                    name=None if name == "one" else name,
                    account_id=ids[name],
                    pace=await Pace.from_api(
                        admin, ids[name], per_day={CATEGORY: PER_DAY}
                    ),
                )
                for name, token in ACCOUNTS.items()
            ]
            stream = session.as_completed(items, accounts=accounts, limit=5, wait=True)
            async with stream as done:
                async for handle in done:
                    await self._ended(handle)

    async def _ended(self, handle: Any) -> None:
        error = handle.failure
        if isinstance(error, SuppressedError):
            end = "suppressed"
        elif isinstance(error, StartUnknownError):
            end = "unknown"
        elif error is not None:
            end = "failed"
            self.errors.append(f"{handle.key}: {error}")
        else:
            completion = await handle.completion()
            end = "failed" if completion.errors else "done"
            self.errors += [f"{handle.key}: {each}" for each in completion.errors]
        self.ends[handle.key] = end

    async def _happen(self, sandbox: Sandbox, ids: dict[str, str]) -> None:
        """Let other things happen, day by day."""
        async with sandbox.admin() as admin:
            for day in range(60):
                for name, token in ACCOUNTS.items():
                    if (day, name) not in {(2, "two"), (3, "two")}:  # signed out
                        await self._send_others(sandbox, token, f"other-{name}-{day}")
                await asyncio.sleep(0.1 * DAY)
                if day == 1:
                    sandbox.sign_out(ACCOUNTS["two"])
                elif day == 3:
                    sandbox.sign_in(ACCOUNTS["two"])
                elif day == 4:
                    half = Limit(
                        category=CATEGORY,
                        period="daily",
                        max_value=PER_DAY // 2,
                        is_enabled=True,
                    )
                    await admin.limits.set(ids["three"], [half])
                if day in {0, 2}:
                    self.text = TEXTS[day // 2 + 1]
                await asyncio.sleep(0.9 * DAY)

    async def _send_others(self, sandbox: Sandbox, token: str, name: str) -> None:
        """Send what another program sends on one day from an account."""
        async with sandbox.session(identification_token=token) as session:
            for number in range(OTHERS):
                person = f"https://www.linkedin.com/in/{name}-{number}"
                await session.start(st.send_connection_request(person))

    def _check(
        self,
        sent: Counter[str],
        rows: list[tuple[str, str]],
        ended: float,
        entered: int,
    ) -> dict[str, Any]:
        """Check that each person got one invitation, and in time."""
        people = {url_of(number) for number in range(self.people)}
        unknown = {key for key, end in self.ends.items() if end == "unknown"}
        waiting = {normalize_url(url) for key, url in rows if key in unknown}
        twice = {url: times for url, times in sent.items() if times > 1}
        last = dt.datetime.fromtimestamp(ended, dt.UTC).date() - MONDAY.date()
        best = best_day(self.people)
        assert not twice, f"invited twice: {twice}"
        assert people == (sent.keys() & people) | waiting, "not all were invited"
        assert not self.errors, self.errors
        assert last.days <= best + 1, f"day {last.days}, at best day {best}"
        return {
            "people": f"{self.people}, {len(rows) - self.people} of them twice",
            "invited once": len(sent.keys() & people),
            "waiting for a decision": len(waiting),
            "suppressed": Counter(self.ends.values())["suppressed"],
            "sessions": entered,
            "last day": f"{last.days}, at best {best}",
        }


async def _invited(sandbox: Sandbox) -> Counter[str]:
    """Return how often each person was invited, by the other program too."""
    found: Counter[str] = Counter()
    async with sandbox.session() as session:
        accounts = {a.name: a for a in map(session.account, ACCOUNTS.values())}
        for workflow in sandbox.workflows:
            with contextlib.suppress(ActionError, WorkflowFailedError):
                await accounts[workflow.account].attach(workflow.id)
                found[normalize_url(workflow.definition["personUrl"])] += 1
    return found


def best_day(people: int) -> int:
    """Return on which day a campaign without a loss ends, from 0 on.

    The other program is the first one on the first day alone. On the third one an
    account is signed out, and from the sixth one on the limit of another is halved.
    """
    left, day = people, 0
    while True:
        room = {0: 3 * (PER_DAY - OTHERS), 2: 2 * PER_DAY}.get(day, 3 * PER_DAY)
        left -= room - (PER_DAY - PER_DAY // 2 if day > 4 else 0)
        if left <= 0:
            return day
        day += 1


def run(share: float) -> dict[str, Any]:
    """Run the campaign with a share of the people and of the stops."""
    people = max(60, math.ceil(PEOPLE * share))
    stops = max(3, math.ceil(STOPS * share))
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(people, stops, Path(folder), random.Random(15))
        return run_virtual(campaign.run())
