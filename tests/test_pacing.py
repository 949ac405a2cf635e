"""The ledger of a pace: nothing beyond an allowance, and nothing earlier than allowed."""

from __future__ import annotations

import datetime as dt
import math
import random
from collections import Counter
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as hyp

from linkedapi_async import Pace, Ramp
from linkedapi_async._pacing import MAX_OPEN, Booking, Excess, History, Ledger, excess
from linkedapi_async.policies import PlatformUse


ONE = {"stMessages": 1}
NOTHING = History(None, ())
HOUR = 3600.0
DAY = 86400.0


def at(text: str, zone: str = "UTC") -> float:
    """Return the moment of a local time in March 2026, such as ``02 09:00``."""
    local = dt.datetime.fromisoformat(f"2026-03-{text}")
    return local.replace(tzinfo=ZoneInfo(zone)).timestamp()


MONDAY = at("02 10:00")


def ledger(history: History = NOTHING, now: float = MONDAY, **pace: Any) -> Ledger:
    """Return a ledger; without jitter, because its bounds are exact then."""
    return Ledger(Pace(**{"jitter": 0, **pace}), history, now, random.Random(1))


def done(moment: float, number: int = 1, key: str = "done") -> Booking:
    """Return messages that were sent and ended at one moment."""
    return Booking(key, "a", moment, {"stMessages": number}, moment)


def start(ledger: Ledger, moment: float, uses: Any = None, key: str = "") -> str:
    """Book a start and send it."""
    key = key or f"start at {moment}"
    ledger.book(Booking(key, "a", moment, ONE if uses is None else uses))
    ledger.sent(moment)
    return key


# Turns


def test_nothing_holds_back() -> None:
    """Without a history, a start may be sent at once."""
    turn = ledger(per_day={"stMessages": 1}).turn(ONE, MONDAY)

    assert (MONDAY, "", None, True) == turn


@pytest.mark.parametrize(
    ("pace", "turn", "reason"),
    [
        ({"per_day": {"stMessages": 2}}, "03 00:00", "2 stMessages a day, 2 are used"),
        ({"per_week": {"stMessages": 2}}, "09 00:00", "2 stMessages a week, 2 are"),
        ({"per_month": {"stMessages": 2}}, "32 00:00", "2 stMessages a month, 2 are"),
        (
            {"per_day": {"stMessages": 2}, "per_week": {"stMessages": 2}},
            "09 00:00",
            "2 stMessages a week",
        ),
        (
            {"per_day": {"stMessages": 2}, "hours": "Fri 09:00-17:00 UTC"},
            "06 09:00",
            "outside the hours Fri 09:00-17:00 UTC",
        ),
        (
            {"per_day": {"stMessages": 2}, "hours": "Mon 09:00-17:00 UTC"},
            "09 09:00",
            "2 stMessages a day",
        ),
        (
            {"per_day": {"stMessages": 2}, "timezone": "Asia/Tokyo"},
            "02 15:00",
            "2 stMessages a day",
        ),
        (
            {
                "per_day": {"stMessages": 2},
                "hours": "09:00-24:00 America/New_York",
                "timezone": "Asia/Tokyo",
            },
            "02 15:00",
            "a day",
        ),
    ],
)
def test_used_up_periods(pace: dict[str, Any], turn: str, reason: str) -> None:
    """The next turn is in the next period, within the hours."""
    found = ledger(History(MONDAY, (done(MONDAY, 2),)), **pace).turn(ONE, MONDAY)
    day, _, clock = turn.partition(" ")
    expected = at("01 00:00") + (int(day) - 1) * DAY
    expected += int(clock[:2]) * HOUR

    assert expected == found.at
    assert reason in found.reason
    assert not found.brief


def test_other_categories_go_on() -> None:
    """A category that is used up does not hold back another one."""
    book = ledger(History(MONDAY, (done(MONDAY, 2),)), per_day={"stMessages": 2})

    assert MONDAY == book.turn({}, MONDAY).at
    assert MONDAY == book.turn({"stPosts": 5}, MONDAY).at


def test_intervals() -> None:
    """A start waits for the interval after the last one, and only briefly."""
    book = ledger(min_interval=60)
    start(book, MONDAY)
    turn = book.turn(ONE, MONDAY + 20)

    assert MONDAY + 60 == turn.at
    assert turn.brief
    assert "at least 60 s between two starts" in turn.reason
    assert MONDAY + 60 + 3 * 60 == book.turn(ONE, MONDAY, starts=3).at


def test_intervals_hold_over_restarts() -> None:
    """The next run waits for the interval after the last start of the run before."""
    history = History(MONDAY, (done(MONDAY),))

    assert MONDAY + 60 == ledger(history, min_interval=60).turn(ONE, MONDAY + 1).at


def test_an_interval_may_end_after_the_hours() -> None:
    """Then the hours hold it back, and not briefly."""
    book = ledger(min_interval=7200, hours="Mon 09:00-11:00, Tue 09:00-11:00 UTC")
    start(book, MONDAY)
    turn = book.turn(ONE, MONDAY)

    assert (at("03 09:00"), False) == (turn.at, turn.brief)


@given(seed=hyp.integers(0, 2**32), jitter=hyp.floats(0, 1))
def test_jitter_only_lengthens(seed: int, jitter: float) -> None:
    """No two starts are closer than the interval, or farther than the jitter allows."""
    pace = Pace(min_interval=60, jitter=jitter)
    book = Ledger(pace, NOTHING, MONDAY, random.Random(seed))
    start(book, MONDAY)

    assert 60 <= book.turn({}, MONDAY).at - MONDAY <= 60 * (1 + jitter) + 1e-3


def test_starts_that_wait_count() -> None:
    """A turn comes after those who wait, by day, by week, and by what they may do."""
    pace: dict[str, Any] = {
        "per_day": {"stMessages": 25},
        "hours": "Mon-Fri 09:00-17:00 UTC",
    }
    book = ledger(**pace)
    weekly = ledger(**pace, per_week={"stMessages": 60})

    assert MONDAY == book.turn(ONE, MONDAY, ahead={"stMessages": 24}).at
    assert at("03 09:00") == book.turn(ONE, MONDAY, ahead={"stMessages": 25}).at
    assert at("04 09:00") == book.turn(ONE, MONDAY, ahead={"stMessages": 59}).at
    assert at("09 09:00") == book.turn(ONE, MONDAY, ahead={"stMessages": 125}).at
    assert at("09 09:00") == weekly.turn(ONE, MONDAY, ahead={"stMessages": 60}).at
    assert "0 are used and 25 wait" in (
        book.turn(ONE, MONDAY, ahead={"stMessages": 25}).reason
    )


def test_whole_workflows_fit_into_a_day() -> None:
    """What a workflow may do is not split over two days."""
    book = ledger(per_day={"stMessages": 10})
    start(book, MONDAY, {"stMessages": 4})

    assert MONDAY == book.turn({"stMessages": 6}, MONDAY).at
    assert at("03 00:00") == book.turn({"stMessages": 7}, MONDAY).at


def test_a_turn_may_be_too_far_away() -> None:
    """A turn that no calendar has is unknown."""
    book = ledger(per_month={"stMessages": 1})

    assert math.inf == book.turn(ONE, MONDAY, ahead={"stMessages": 10_000}).at


def test_what_exceeds_a_whole_allowance() -> None:
    """No day allows it: the category, the number and the allowance are named."""
    pace = Pace(per_day={"stMessages": 5, "stPosts": 0}, per_week={"stMessages": 9})

    assert excess(pace, {"stMessages": 5, "stComments": math.inf}) is None
    assert Excess("stMessages", 6, 5, "day") == excess(pace, {"stMessages": 6})
    assert Excess("stPosts", 1, 0, "day") == excess(pace, {"stPosts": 1})
    assert Excess("stMessages", math.inf, 5, "day") == excess(
        pace, {"stMessages": math.inf}
    )


def test_a_ramp_begins_with_the_first_start() -> None:
    """The allowance of a day grows from the day of the account's first start."""
    ramp = Ramp(start=5, days=4)
    new = ledger(per_day={"stMessages": 25}, ramp=ramp)
    old = ledger(
        History(MONDAY - 2 * DAY, (done(MONDAY, 14),)),
        per_day={"stMessages": 25},
        per_week={"stMessages": 80},
        ramp=ramp,
    )

    assert at("03 00:00") == new.turn({"stMessages": 10}, MONDAY).at
    assert at("04 00:00") == new.turn(ONE, MONDAY, ahead={"stMessages": 15}).at
    assert MONDAY == old.turn(ONE, MONDAY).at
    start(old, MONDAY)
    assert at("03 00:00") == old.turn(ONE, MONDAY).at
    start(new, MONDAY + DAY)
    assert MONDAY + DAY == new.turn({"stMessages": 4}, MONDAY + DAY).at


# What is booked


def test_the_most_counts_until_the_end() -> None:
    """A workflow counts as the most it can do, and then as what it did."""
    book = ledger(per_day={"stMessages": 10})
    key = start(book, MONDAY, {"stMessages": 10})

    assert at("03 00:00") == book.turn(ONE, MONDAY).at
    assert MONDAY == book.turn(ONE, MONDAY, live=False).at
    book.settle(key, MONDAY, {"stMessages": 3})
    assert MONDAY == book.turn({"stMessages": 7}, MONDAY).at
    assert at("03 00:00") == book.turn({"stMessages": 8}, MONDAY).at


def test_an_end_may_not_say_what_was_done() -> None:
    """Then the most counts, also where what is under way does not."""
    book = ledger(per_day={"stMessages": 10})
    book.settle(start(book, MONDAY, {"stMessages": 10}), MONDAY, None)

    assert at("03 00:00") == book.turn(ONE, MONDAY, live=False).at


def test_what_was_not_sent_is_free() -> None:
    """A start that was withdrawn or refused counts no longer."""
    book = ledger(per_day={"stMessages": 1})
    book.release(start(book, MONDAY))
    book.release("missing")
    book.settle("missing", MONDAY, None)

    assert MONDAY == book.turn(ONE, MONDAY).at


def test_a_key_is_booked_once() -> None:
    """A second start of a key replaces a first one that was not sent."""
    book = ledger(per_day={"stMessages": 2})
    start(book, MONDAY, key="key")
    start(book, MONDAY, key="key")

    assert MONDAY == book.turn(ONE, MONDAY).at


def test_work_across_midnight_counts_on_both_days() -> None:
    """It is unknown on which of the days LinkedIn counted it."""
    book = ledger(per_day={"stMessages": 1})
    key = start(book, at("02 23:50"))

    assert at("04 00:00") == book.turn(ONE, at("03 00:10")).at
    book.settle(key, at("03 00:20"), ONE)
    assert at("04 00:00") == book.turn(ONE, at("03 00:30")).at


def test_lost_work_counts_for_three_days() -> None:
    """A start whose end no session learns holds a place over a weekend, not for ever."""
    book = ledger(per_day={"stMessages": 1})
    key = start(book, MONDAY)
    book.abandon(key)
    book.abandon(key)
    book.abandon("missing")

    assert at("03 00:00") == book.turn(ONE, MONDAY, live=False).at
    assert at("05 00:00") == book.turn(ONE, MONDAY + MAX_OPEN - DAY).at
    later = MONDAY + MAX_OPEN + DAY
    assert later == book.turn(ONE, later).at


def test_work_of_earlier_runs() -> None:
    """It counts as open, for three days, or until this session learns its end."""
    opened = Booking("open", "a", MONDAY, ONE)
    lost = Booking("lost", "a", MONDAY - MAX_OPEN, ONE)
    book = ledger(History(MONDAY, (opened, lost)), per_day={"stMessages": 3})

    assert at("03 00:00") == book.turn(ONE, MONDAY, ahead={"stMessages": 1}).at
    book.revive("open")
    book.revive("open")
    book.revive("missing")
    assert MONDAY == book.turn(ONE, MONDAY, ahead={"stMessages": 1}, live=False).at
    # As long as a session waits for it, it counts on each day.
    late = MONDAY + MAX_OPEN + 9 * DAY
    start(book, late, key="another")
    book.abandon("another")
    assert late == book.turn(ONE, late).at
    start(book, late, key="third")
    assert book.turn(ONE, late).at > late
    book.settle("open", late, {})
    assert late == book.turn(ONE, late).at


def test_other_programs_leave_less() -> None:
    """What the platform counts beyond the journal is not left in this period."""
    moment = MONDAY - 60
    history = History(0, (done(MONDAY - HOUR, 3), done(MONDAY - 30, 2)))
    usage = [
        PlatformUse(category="stMessages", period="daily", used=7, at=moment),
        PlatformUse(category="stMessages", period="weekly", used=1, at=moment),
    ]
    book = ledger(history, per_day={"stMessages": 10}, usage=usage)

    assert MONDAY == book.turn(ONE, MONDAY).at
    assert at("03 00:00") == book.turn({"stMessages": 2}, MONDAY).at
    assert MONDAY + DAY == book.turn({"stMessages": 10}, MONDAY + DAY).at


# Always


STEP = hyp.tuples(
    hyp.sampled_from(["start", "start", "end", "release", "abandon", "restart"]),
    hyp.integers(0, 10800),
    hyp.integers(1, 4),
    hyp.integers(0, 4),
)


class Account:
    """What really happens, beside the ledger that has to know it."""

    def __init__(self, pace: dict[str, Any], seed: int) -> None:
        self.pace = pace
        self.rng = random.Random(seed)
        self.now = at("05 12:00")
        self.ledger = ledger(now=self.now, **pace)
        self.bookings: dict[str, Booking] = {}
        self.done: list[tuple[float, float, int]] = []

    def start(self, size: int) -> None:
        """Start a workflow if it may be, else wait for its turn at most three days."""
        uses = {"stMessages": size}
        turn = self.ledger.turn(uses, self.now)
        assert (turn.at > self.now) == bool(turn.reason)
        if turn.at < self.now + 3 * DAY:
            self.now = turn.at
        if self.ledger.turn(uses, self.now).at == self.now:
            made = Booking(f"{len(self.bookings)}", "a", self.now, uses)
            self.ledger.book(made)
            self.bookings[made.key] = made

    def end(self, kind: str, did: int) -> None:
        """Let one of the open workflows end, or be lost or withdrawn."""
        open_ = [key for key, each in self.bookings.items() if each.ended is None]
        if not open_:
            return
        made = self.bookings[self.rng.choice(open_)]
        did = min(did, made.uses["stMessages"])
        if kind == "release":
            self.ledger.release(made.key)
            ended, did = made.at, 0
        elif kind == "abandon":
            self.ledger.abandon(made.key)
            return
        else:
            self.ledger.settle(made.key, self.now, {"stMessages": did})
            ended = self.now
        self.bookings[made.key] = Booking(
            made.key, "a", made.at, {"stMessages": did}, ended
        )
        self.done.append((made.at, min(ended, made.at + MAX_OPEN), did))

    def restart(self) -> None:
        """Go on with a ledger that knows only what was booked."""
        bookings = tuple(self.bookings.values())
        first = min((each.at for each in bookings), default=None)
        self.ledger = ledger(History(first, bookings), self.now, **self.pace)


@given(
    steps=hyp.lists(STEP, max_size=60),
    hours=hyp.sampled_from([None, "Mon-Fri 09:00-17:00 Europe/Berlin"]),
    ramp=hyp.sampled_from([None, Ramp(4, 5)]),
    per_week=hyp.sampled_from([{}, {"stMessages": 11}]),
    seed=hyp.integers(0, 99),
)
def test_no_limit_is_exceeded(
    steps: Any, hours: Any, ramp: Any, per_week: Any, seed: int
) -> None:
    """Whatever ends when, what was done in a day or week is within the allowance.

    LinkedIn may count it at any moment between the start and the end.
    """
    pace = {"per_day": {"stMessages": 6}, "per_week": per_week}
    account = Account(
        {**pace, "hours": hours, "ramp": ramp, "timezone": "Europe/Berlin"}, seed
    )
    for kind, seconds, size, did in steps:
        account.now += seconds
        if kind == "start":
            account.start(size)
        elif kind == "restart":
            account.restart()
        else:
            account.end(kind, did)
    for each in account.bookings.values():
        if each.ended is None:
            most = each.uses["stMessages"]
            last = min(account.now, each.at + MAX_OPEN)
            account.done.append((each.at, last, most))
    counts: Counter[tuple[str, dt.date]] = Counter()
    for began, ended, did in account.done:
        for _ in range(did):
            moment = account.rng.choice([began, ended, (began + ended) / 2])
            day = dt.datetime.fromtimestamp(moment, ZoneInfo("Europe/Berlin")).date()
            counts["day", day] += 1
            counts["week", day - dt.timedelta(day.weekday())] += 1

    assert all(
        used <= (6 if period == "day" else per_week.get("stMessages", used))
        for (period, _), used in counts.items()
    )
