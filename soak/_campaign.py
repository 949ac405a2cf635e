"""The campaign of the long tests: its list, what happens meanwhile, and what must hold.

500 people on three accounts at 25 a day. Each day, before the campaign, another program
sends 5 invitations from each account. An account is signed out on the second day and is
back on the fourth; on the fifth the limit of another one is halved. The text is edited
twice.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import random
from collections import Counter
from typing import Any, Final

import aiohttp
import attrs

from linkedapi_async import st
from linkedapi_async.admin import Limit
from linkedapi_async.sandbox import Sandbox
from linkedapi_async.urls import normalize_url


PEOPLE: Final = 500
KILLS: Final = 30
PER_DAY: Final = 25
OTHERS: Final = 5
"""How many invitations another program sends from each account in a day."""

CATEGORY: Final = "stConnectionRequests"
ACCOUNTS: Final = {name: f"account-token-{name}" for name in ("one", "two", "three")}
TOKEN: Final = "main-token-4242"
MONDAY: Final = dt.datetime(2027, 3, 1, 8, tzinfo=dt.UTC)
DAY: Final = 86_400.0
TEXTS: Final = ("Helo!", "Hello!", "Good day!")

SIGN_OUT, SIGN_IN, HALVE = 1, 3, 4
"""The days, from 0 on, on which account two is signed out and in, and the limit of account
three is halved.
"""

SIGN_OUT_AFTER: Final = 5
"""How many workflows of the campaign account two accepts before it is signed out."""


OTHER: Final = "https://www.linkedin.com/in/other-"


def share_of_it(share: float) -> tuple[int, int]:
    """Return how many people and kills a share of the campaign has."""
    return max(6, math.ceil(PEOPLE * share)), max(2, math.ceil(KILLS * share))


def url_of(number: int) -> str:
    """Return the URL of a person."""
    return f"https://www.linkedin.com/in/person-{number}"


def url_again(number: int) -> str:
    """Return another spelling of the URL of a person."""
    return url_of(number).replace("https://www.", "http://uk.") + "/?trk=x"


def rows(rng: random.Random, people: int) -> list[tuple[str, str]]:
    """Return the list: a key and a URL each, with a tenth of the people twice."""
    found = [(f"row-{n}", url_of(n)) for n in range(people)]
    twice = rng.sample(range(people), people // 10)
    found += [(f"again-{n}", url_again(n)) for n in twice]
    rng.shuffle(found)
    return found


def text_of(day: int) -> str:
    """Return the text of a day."""
    return TEXTS[min(2, (day + 1) // 2)]


def new_sandbox(**settings: Any) -> Sandbox:
    """Return the sandbox of the campaign, which enforces the limits."""
    return Sandbox(
        seed=5,
        now=MONDAY,
        tokens=[TOKEN],
        identification_tokens=ACCOUNTS.values(),
        limits={(CATEGORY, "daily"): PER_DAY},
        control=True,
        **settings,
    )


async def account_ids(sandbox: Sandbox) -> dict[str, str]:
    """Return the API's ids of the accounts, by name."""
    async with sandbox.session() as session, sandbox.admin() as admin:
        for name, token in ACCOUNTS.items():
            session.account(token, name=name)
        await admin.identify(session)
        return {a.name: str(a.account_id) for a in session.accounts}


def account_digest(name: str) -> str:
    """Return the name that the sandbox gives to an account."""
    return hashlib.sha256(ACCOUNTS[name].encode()).hexdigest()[:12]


def started_by(sandbox: Sandbox, name: str) -> int:
    """Return how many workflows an account has accepted."""
    digest = account_digest(name)
    return sum(workflow.account == digest for workflow in sandbox.workflows)


async def begin_day(
    sandbox: Sandbox, day: int, ids: dict[str, str], **settings: Any
) -> None:
    """Let happen what happens on a day before the campaign sends.

    Args:
        sandbox: The sandbox.
        day: The day, from 0 on.
        ids: The API's ids of the accounts.
        settings: Of the sessions of the other program.
    """
    if day == HALVE:
        half = Limit(
            category=CATEGORY, period="daily", max_value=PER_DAY // 2, is_enabled=True
        )
        async with sandbox.admin() as admin:
            await admin.limits.set(ids["three"], [half])
    for name, token in ACCOUNTS.items():
        if name == "two" and SIGN_OUT < day <= SIGN_IN:
            continue
        # What another program sends.
        people = [f"{OTHER}{name}-{day}-{number}" for number in range(OTHERS)]
        async with sandbox.session(identification_token=token, **settings) as session:
            for person in people:
                await session.run(st.send_connection_request(person))


def limit_of(name: str, day: int) -> int:
    """Return the limit of an account on a day."""
    return PER_DAY // 2 if name == "three" and day >= HALVE else PER_DAY


def best_day(people: int) -> int:
    """Return on which day a campaign without any loss ends, from 0 on."""
    left, day = people, 0
    while True:
        for name in ACCOUNTS:
            if name == "two" and SIGN_OUT <= day <= SIGN_IN:
                left -= (SIGN_OUT_AFTER, 0, PER_DAY)[day - SIGN_OUT]
            else:
                left -= limit_of(name, day) - OTHERS
        if left <= 0:
            return day
        day += 1


@attrs.define
class Sent:
    """What the sandbox has counted."""

    people: Counter[str] = attrs.field(factory=Counter)
    """How often each person was invited."""
    days: Counter[tuple[str, int]] = attrs.field(factory=Counter)
    """How many were invited by an account on a day."""
    texts: set[str] = attrs.field(factory=set)
    refused: int = 0
    """How many invitations LinkedIn refused, because a limit was reached."""
    started: Counter[str] = attrs.field(factory=Counter)
    """How many workflows were accepted for each person."""
    last_day: int = 0
    """The day of the last invitation of the campaign."""


async def sent_by(sandbox: Sandbox) -> Sent:
    """Return what the sandbox has counted, by its own log."""
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"{sandbox.url}/sandbox/log") as response,
    ):
        log = (await response.json())["result"]
    names = {account_digest(name): name for name in ACCOUNTS}
    sent = Sent()
    for workflow in log["workflows"]:
        person = normalize_url(workflow["definition"]["personUrl"])
        sent.started[person] += 1
        if workflow["status"] != "completed":
            continue
        error = workflow["completion"].get("error")
        if error is not None:
            sent.refused += error["type"] == "limitExceeded"
            continue
        moment = MONDAY + dt.timedelta(seconds=workflow["finished"])
        day = (moment.date() - MONDAY.date()).days
        sent.people[person] += 1
        sent.days[names[workflow["account"]], day] += 1
        if "note" in workflow["definition"]:
            sent.texts.add(workflow["definition"]["note"])
            sent.last_day = max(sent.last_day, day)
    return sent


def check(sent: Sent, people: int, waiting: set[str]) -> dict[str, Any]:
    """Check that each of *people* got one invitation in time, or is *waiting*.

    Args:
        sent: What the sandbox has counted.
        people: How many people the list has.
        waiting: Who is listed as waiting for a decision.
    """
    everyone = {url_of(number) for number in range(people)}
    twice = {url: times for url, times in sent.people.items() if times > 1}
    left_out = everyone - sent.people.keys() - waiting
    over = {
        (name, day): number
        for (name, day), number in sent.days.items()
        if number > limit_of(name, day)
    }
    best = best_day(people)
    assert not twice, f"invited twice: {twice}"
    assert not left_out, f"neither invited nor listed: {sorted(left_out)}"
    assert not over, f"over a limit: {over}"
    # What the account that is signed out had accepted waits for it.
    latest = max(best, SIGN_IN) + 1
    assert sent.last_day <= latest, f"day {sent.last_day}, at best day {best}"
    assert sent.texts <= {*TEXTS}, sent.texts
    return {
        "invited once": len(sent.people.keys() & everyone),
        "waiting for a decision": len(waiting),
        "of them invited": len(waiting & sent.people.keys()),
        "texts": len(sent.texts),
        "most in a day": max(sent.days.values()),
        "refused by a limit": sent.refused,
        "last day": f"{sent.last_day}, at best {best}",
    }
