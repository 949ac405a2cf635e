"""What an account did, and when it may do more; pure, because callers pass the time.

Moments are seconds since 1970. Before it is sent, a workflow is booked with the most
that it can do, and after its end with what it did. While its end is unknown it counts
on every day, because LinkedIn may count it on any of them; later on the days from its
start to its end.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeAlias

import attrs

from linkedapi_async._utils.hours import Hours


if TYPE_CHECKING:
    import random

    from linkedapi_async.policies import Pace


Uses: TypeAlias = Mapping[str, int]
"""How many actions by category."""

MAX_OPEN: Final = 3 * 86400.0
"""How long a workflow counts if no session knows its end, in seconds: a weekend."""

HORIZON: Final = 36_600
"""How many days ahead a turn is searched."""

PERIOD_NAMES: Final = {"daily": "day", "weekly": "week", "monthly": "month"}


@attrs.frozen
class Booking:
    """The actions that one start may do, or did."""

    key: str
    """The key of the start in the journal."""
    account: str
    """The ``name`` of the account."""
    at: float
    """When it was sent, or was about to be."""
    uses: Uses
    """The most that it can do; once it has ended, what it did."""
    ended: float | None = None
    """When its end was noticed; None if it is unknown."""


@attrs.frozen
class History:
    """The bookings of earlier runs for an account."""

    first: float | None
    """When the account started its first workflow; None if it has started none."""
    bookings: tuple[Booking, ...]
    """The bookings that have not ended, or ended late enough to count."""


class BookingStore(Protocol):
    """A store of bookings. Changes take effect in the order of the calls."""

    async def bookings(self, account: str, since: float) -> History:
        """Return what is booked for an account and has not ended before *since*."""
        ...

    async def book_end(self, key: str, ended: float, uses: Uses | None) -> None:
        """Record the end of a booking, and what was done; None keeps the most.

        A key without a booking that has not ended changes nothing.
        """
        ...

    async def unbook(self, key: str) -> None:
        """Remove a booking that has not ended, because nothing was started."""
        ...


class Bookings(BookingStore, Protocol):
    """Bookings that one process makes."""

    def submit_booking(self, booking: Booking) -> asyncio.Future[None]:
        """Add a booking; the future is done when it is stored.

        It replaces one of its key that has not ended.
        """
        ...


class SharedBookings(BookingStore, Protocol):
    """Bookings that several processes make."""

    async def claim(
        self, booking: Booking, since: float, allows: Callable[[History], bool]
    ) -> History | None:
        """Add a booking if what all processes have booked before allows it.

        No other process adds one for the account meanwhile. It replaces one of its key
        that has not ended.

        Args:
            booking: What to add.
            since: As for `bookings`.
            allows: Gets what is booked, without what the booking replaces; it may be
                called in another thread.

        Returns:
            None if the booking was added, else what is booked.
        """
        ...


class MemoryBookings:
    """Bookings that end with the process."""

    def __init__(self) -> None:
        self._bookings: dict[int, Booking] = {}
        self._open: dict[str, int] = {}
        self._numbers = itertools.count(1)

    async def bookings(self, account: str, since: float) -> History:
        """Return what is booked for an account and has not ended before *since*."""
        own = [each for each in self._bookings.values() if each.account == account]
        kept = tuple(b for b in own if b.ended is None or b.ended >= since)
        return History(min((b.at for b in own), default=None), kept)

    def submit_booking(self, booking: Booking) -> asyncio.Future[None]:
        """Add a booking; it replaces one of its key that has not ended."""
        self._bookings.pop(self._open.get(booking.key, 0), None)
        number = self._open[booking.key] = next(self._numbers)
        self._bookings[number] = booking
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def book_end(self, key: str, ended: float, uses: Uses | None) -> None:
        """Record the end of a booking, and what was done; None keeps the most."""
        number = self._open.pop(key, None)
        if number is not None:
            known = self._bookings[number]
            done = known.uses if uses is None else uses
            self._bookings[number] = attrs.evolve(known, ended=ended, uses=done)

    async def unbook(self, key: str) -> None:
        """Remove a booking that has not ended, because nothing was started."""
        number = self._open.pop(key, None)
        if number is not None:
            del self._bookings[number]


class Turn(NamedTuple):
    """When a start may be sent."""

    at: float
    """The moment; `math.inf` if it is beyond `HORIZON`."""
    reason: str = ""
    """Why it is not earlier; empty if it may be sent at once."""
    category: str | None = None
    """The limit that holds it back, if one does."""
    brief: bool = True
    """Whether nothing but the interval between two starts holds it back."""


class Excess(NamedTuple):
    """The actions that exceed a full allowance."""

    category: str
    most: float
    """How many actions; `math.inf` without a bound."""
    allowance: int
    period: str
    """``day``, ``week`` or ``month``."""


def excess(pace: Pace, uses: Mapping[str, float]) -> Excess | None:
    """Return the part of *uses* that a pace never allows; None if it may allow all."""
    for period, allowances in pace.limits:
        for category in sorted(allowances.keys() & uses.keys()):
            most, allowance = uses[category], allowances[category]
            if most > allowance:
                return Excess(category, most, allowance, PERIOD_NAMES[period])
    return None


class _Block(NamedTuple):
    """Why a category allows nothing today."""

    category: str
    at: float
    reason: str


class Ledger:
    """The bookings of one account, and what its pace still allows.

    Args:
        pace: The policy.
        history: What earlier runs have booked.
        now: The present moment.
        rng: The source of jitter.
    """

    def __init__(
        self, pace: Pace, history: History, now: float, rng: random.Random
    ) -> None:
        self._pace = pace
        self._rng = rng
        self._calendar = Hours.always(pace.zone)
        self._hours = pace.hours or self._calendar
        self._first = None if history.first is None else self.date(history.first)
        self._ended: Counter[tuple[str, str, dt.date]] = Counter()
        self._open: dict[str, Booking] = {}
        self._live: dict[str, None] = {}
        # The sums of the open bookings: of all, and of those that this session waits
        # for.
        self._open_uses: Counter[str] = Counter()
        self._live_uses: Counter[str] = Counter()
        self._expiry = math.inf
        self._next_start = -math.inf
        for booking in history.bookings:
            self.sent(booking.at)
            if booking.ended is None:
                self._add_open(booking)
            else:
                self._add_ended(booking.at, booking.ended, booking.uses)
        self._others = self._of_others(history)
        self._expire(now)

    def _of_others(self, history: History) -> dict[tuple[str, str, dt.date], int]:
        """Return what other programs had used when the platform's counts were read."""
        found = {}
        for use in self._pace.usage:
            first = _first_day(use.period, self.date(use.at))
            own = sum(
                booking.uses.get(use.category, 0)
                for booking in history.bookings
                if booking.ended is not None
                and booking.ended <= use.at
                and _first_day(use.period, self.date(booking.at)) == first
            )
            found[use.category, use.period, first] = max(0, use.used - own)
        return found

    def date(self, moment: float) -> dt.date:
        """Return the day of a moment, in the time zone of the pace."""
        return self._calendar.date(moment)

    # Bookings

    def book(self, booking: Booking) -> None:
        """Add a start that this session is about to send."""
        self.release(booking.key)
        self._add_open(booking)
        self.revive(booking.key)
        if self._first is None:
            self._first = self.date(booking.at)

    def sent(self, moment: float) -> None:
        """Record that a start was sent, from which the next interval counts."""
        interval = self._pace.min_interval
        interval *= 1 + self._pace.jitter * self._rng.random()
        self._next_start = max(self._next_start, moment + interval)

    def release(self, key: str) -> None:
        """Remove a booking that has not ended, because nothing was started."""
        booking = self._open.pop(key, None)
        if booking is not None:
            self._open_uses.subtract(booking.uses)
            if key in self._live:
                del self._live[key]
                self._live_uses.subtract(booking.uses)

    def abandon(self, key: str) -> None:
        """Record that this session will not learn the end of a booking."""
        if key in self._live:
            del self._live[key]
            self._live_uses.subtract(self._open[key].uses)
            self._expiry = min(self._expiry, self._open[key].at + MAX_OPEN)

    def revive(self, key: str) -> None:
        """Record that this session waits for the end of a booking, if it is open."""
        if key in self._open and key not in self._live:
            self._live[key] = None
            self._live_uses.update(self._open[key].uses)

    def settle(self, key: str, ended: float, uses: Uses | None) -> None:
        """Record the end of a booking, and what was done; None keeps the most."""
        booking = self._open.get(key)
        if booking is not None:
            self.release(key)
            done = booking.uses if uses is None else uses
            self._add_ended(booking.at, ended, done)

    def _add_open(self, booking: Booking) -> None:
        self._open[booking.key] = booking
        self._open_uses.update(booking.uses)
        self._expiry = min(self._expiry, booking.at + MAX_OPEN)

    def _add_ended(self, at: float, ended: float, uses: Uses) -> None:
        first, last = self.date(at), self.date(max(at, ended))
        days = [first + dt.timedelta(n) for n in range((last - first).days + 1)]
        for period in PERIOD_NAMES:
            for begin in {_first_day(period, day) for day in days}:
                for category, number in uses.items():
                    self._ended[category, period, begin] += number

    def _expire(self, now: float) -> None:
        """End bookings that were open too long, unless this session waits for them."""
        if now < self._expiry:
            return
        left = math.inf
        for key, booking in list(self._open.items()):
            expiry = booking.at + MAX_OPEN
            if key in self._live:
                continue
            if expiry <= now:
                self.settle(key, expiry, None)
            else:
                left = min(left, expiry)
        self._expiry = left

    # What the pace allows

    def turn(
        self,
        uses: Uses,
        now: float,
        *,
        ahead: Uses | None = None,
        starts: int = 0,
        live: bool = True,
    ) -> Turn:
        """Return when a start may be sent at the earliest; nothing changes.

        Open bookings are assumed to end before the next day.

        Args:
            uses: What it can do at most.
            now: The present moment.
            ahead: What the starts that wait before it can do at most.
            starts: How many starts wait before it.
            live: Whether to count the workflows that this session waits for. They may
                do less than the most.
        """
        self._expire(now)
        after = max(now, self._next_start)
        if starts and self._pace.min_interval:
            after = self._hours.after(after, starts * self._pace.min_interval)
        turn = Turn(after)
        if after > now:
            gap = f"{self._pace.min_interval:g} s"
            turn = Turn(after, f"the pace requires at least {gap} between two starts")
        opening = self._hours.opening(after)
        if opening > after:
            turn = Turn(opening, f"it is outside the hours {self._hours}", brief=False)
        for category, number in uses.items():
            waiting = (ahead or {}).get(category, 0)
            block = self._block(category, number, waiting, now, live=live)
            if block is not None and block.at > turn.at:
                at = block.at
                if at < math.inf:
                    at = self._hours.opening(at)
                turn = Turn(at, block.reason, category, brief=False)
        return turn

    def _block(
        self, category: str, number: int, waiting: int, now: float, *, live: bool
    ) -> _Block | None:
        """Return until when a category is used up; None if it is not."""
        today = self.date(now)
        walked: Counter[tuple[str, dt.date]] = Counter()
        rest, reason, is_first = waiting, "", True
        for day in self._open_days(today, now):
            left = math.inf
            for period, allowances in self._pace.limits:
                if category not in allowances:
                    continue
                begin = _first_day(period, day)
                whole = self._whole(period, allowances[category], day, today)
                used = self._used(category, period, begin, today, live=live)
                here = whole - used - walked[period, begin]
                left = min(left, here)
                if is_first and here < waiting + number:
                    reason = _used_up(
                        category, period, whole=whole, used=used, waiting=waiting
                    )
            if not reason:
                return None
            is_first = False
            taken = int(min(rest, max(0, left)))
            rest -= taken
            if not rest and left - taken >= number:
                return _Block(category, self._calendar.midnight(day), reason)
            for period in PERIOD_NAMES:
                walked[period, _first_day(period, day)] += taken
        return _Block(category, math.inf, reason)

    def _open_days(self, today: dt.date, now: float) -> Iterator[dt.date]:
        """Yield the days on which starts may be sent."""
        for offset in range(HORIZON):
            day = today + dt.timedelta(offset)
            begin = max(now, self._calendar.midnight(day))
            if self.date(self._hours.opening(begin)) == day:
                yield day

    def _whole(self, period: str, allowance: int, day: dt.date, today: dt.date) -> int:
        ramp = self._pace.ramp
        if ramp is None or period != "daily":
            return allowance
        return ramp.allowance(allowance, (day - (self._first or today)).days)

    def _used(
        self, category: str, period: str, begin: dt.date, today: dt.date, *, live: bool
    ) -> int:
        used = self._ended[category, period, begin]
        used += self._others.get((category, period, begin), 0)
        if begin == _first_day(period, today):
            used += self._open_uses[category]
            used -= 0 if live else self._live_uses[category]
        return used


def _first_day(period: str, day: dt.date) -> dt.date:
    """Return the first day of the period that *day* is in."""
    if period == "weekly":
        return day - dt.timedelta(day.weekday())
    return day.replace(day=1) if period == "monthly" else day


def _used_up(category: str, period: str, *, whole: int, used: int, waiting: int) -> str:
    name = PERIOD_NAMES[period]
    text = f"the pace allows {whole} {category} a {name}, {used} are used"
    return text + (f" and {waiting} wait" if waiting else "")
