"""The pace of a batch: its options, and how long the batch takes with it."""

from __future__ import annotations

import datetime as dt
import math
import random
import time
from collections.abc import Iterator, Sequence
from typing import Final

import click

from linkedapi_async._pacing import History, Ledger
from linkedapi_async._utils.hours import Hours
from linkedapi_async.cli._console import option_group
from linkedapi_async.cli._exit_codes import CommandError
from linkedapi_async.explain import Explanation
from linkedapi_async.policies import Pace


NAMES: Final = {
    "stPersonProfileViews": ("profile view", "profile views"),
    "stCompanyPageViews": ("company page view", "company page views"),
    "stConnectionRequests": ("invitation", "invitations"),
    "stMessages": ("message", "messages"),
    "stSearchQueries": ("search", "searches"),
    "stReactions": ("reaction", "reactions"),
    "stEndorsements": ("endorsement", "endorsements"),
    "stComments": ("comment", "comments"),
    "stPosts": ("post", "posts"),
    "nvPersonProfileViews": ("Navigator profile view", "Navigator profile views"),
    "nvCompanyPageViews": ("Navigator page view", "Navigator page views"),
    "nvMessages": ("Navigator message", "Navigator messages"),
}
"""The words for one action of a category, and for several."""

pace_options = option_group(
    click.option(
        "--per-day",
        multiple=True,
        nargs=2,
        type=(str, click.IntRange(0)),
        metavar="LIMIT NUMBER",
        help="The most that each account does in a day, such as stMessages 25.",
    ),
    click.option(
        "--hours",
        metavar="HOURS",
        help='Start workflows within these hours only, such as "Mon-Fri 09:00-17:00 '
        'Europe/Berlin".',
    ),
    click.option(
        "--min-interval",
        type=click.FloatRange(0),
        metavar="SECONDS",
        help="The minimum time between two starts of an account.",
    ),
)
"""The options of `pace_of`."""


def pace_of(
    per_day: Sequence[tuple[str, int]], hours: str | None, min_interval: float | None
) -> Pace | None:
    """Return the pace that the options set; None if they set none.

    Raises:
        CommandError: A category or the hours are wrong.
    """
    if not per_day and hours is None and min_interval is None:
        return None
    try:
        read = None if hours is None else Hours.read(hours)
    except ValueError as error:
        raise CommandError(f"--hours: {error}") from error
    try:
        return Pace(per_day=dict(per_day), hours=read, min_interval=min_interval or 0)
    except ValueError as error:
        raise CommandError(f"--per-day: {error}") from error


def plan(pace: Pace, cost: Explanation) -> Iterator[str]:
    """Yield how many days a whole batch takes at least.

    Args:
        pace: The pace of each account.
        cost: What the batch uses, and how many accounts share it.
    """
    now = time.time()
    ledger = Ledger(pace, History(None, ()), now, random.Random(0))  # noqa: S311  # jitter
    shared = "one account" if cost.accounts == 1 else f"{cost.accounts} accounts"
    first = ledger.turn({}, now).at
    starts = math.ceil(cost.workflows / cost.accounts) - 1
    last = ledger.turn({}, now, starts=starts).at
    for use in cost.limits:
        allowance = pace.per_day.get(use.category)
        if allowance is None:
            continue
        number = "any number of" if use.times == math.inf else f"{use.times:,}"
        name = NAMES[use.category][use.times != 1]
        begin = f"{number} {name}, {allowance:,} a day on {shared}"
        if use.times == math.inf or not allowance:
            yield f"{begin}: no end"
            continue
        share = math.ceil(use.times / cost.accounts)
        ahead = {use.category: max(0, share - 1)}
        turn = ledger.turn({use.category: 1}, now, ahead=ahead, starts=starts)
        last = max(last, turn.at)
        yield f"{begin}: {_days(ledger, first, turn.at)}"
    if last < math.inf:
        day = ledger.date(last)
        yield f"the last one starts on {day:%A}, {day} at the earliest"


def _days(ledger: Ledger, first: float, last: float) -> str:
    if last == math.inf:
        return "no end"
    days = ledger.date(last) - ledger.date(first) + dt.timedelta(days=1)
    return "1 day" if days.days == 1 else f"{days.days:,} days"
