"""The working hours of accounts, outside of which workflows wait or are refused."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable

import attrs

from linkedapi_async.sandbox._clock import Calendar


WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAYS_AHEAD = 8
"""How many days are searched for the next opening: a week, and today once more."""


def _time(value: dt.time | str) -> dt.time:
    return dt.time.fromisoformat(value) if isinstance(value, str) else value


def _days(days: Iterable[str]) -> tuple[str, ...]:
    return tuple(days)


@attrs.frozen(kw_only=True)
class WorkingHours:
    """The hours in which an account runs workflows, in the sandbox's time zone.

    Raises:
        ValueError: A time or day is invalid, or it closes before it opens.
    """

    opens: dt.time = attrs.field(default=dt.time(9), converter=_time)
    """When workflows begin to run; a `datetime.time` or text such as ``09:00``."""
    closes: dt.time = attrs.field(default=dt.time(18), converter=_time)
    """When no further workflow begins; one that runs is finished."""
    days: tuple[str, ...] = attrs.field(default=WEEKDAYS[:5], converter=_days)
    """The days on which it is open: ``mon`` to ``sun``."""
    refuse: bool = False
    """Whether starts outside the hours are refused instead of parked."""
    max_wait: float = math.inf
    """How long a parked workflow waits before it fails, in seconds of the API's time."""

    def __attrs_post_init__(self) -> None:
        unknown = [day for day in self.days if day not in WEEKDAYS]
        if unknown or not self.days:
            message = f"days must be some of {', '.join(WEEKDAYS)}, got {self.days!r}"
            raise ValueError(message)
        if self.opens >= self.closes:
            message = f"opens must be before closes, got {self.opens} and {self.closes}"
            raise ValueError(message)

    def next_opening(self, calendar: Calendar, when: float) -> float:
        """Return *when* if it is within the hours, else the time of the next opening.

        Both are times of the sandbox's clock.
        """
        moment = calendar.at(when)
        for ahead in range(DAYS_AHEAD):
            day = moment.date() + dt.timedelta(days=ahead)
            if WEEKDAYS[day.weekday()] not in self.days:
                continue
            opens = dt.datetime.combine(day, self.opens, moment.tzinfo)
            closes = dt.datetime.combine(day, self.closes, moment.tzinfo)
            if moment < closes:
                return max(when, calendar.when(opens))
        raise AssertionError  # pragma: no cover  # some day of a week is open


@attrs.frozen
class OpenHours:
    """The working hours of an account on the sandbox's clock."""

    hours: WorkingHours
    _calendar: Calendar
    _speed: float

    def opening(self, when: float) -> float:
        """Return *when* if it is within the hours, else the next opening."""
        return self.hours.next_opening(self._calendar, when)

    def expiry(self, accepted: float) -> float:
        """Return when a workflow that was accepted at a time stops waiting."""
        return accepted + self.hours.max_wait / self._speed

    def closed_until(self, when: float) -> str | None:
        """Return the message of a workflow that waits at a time, or None."""
        opening = self.opening(when)
        if opening <= when:
            return None
        moment = self._calendar.at(opening)
        return (
            "The workflow waits for the working hours of this account, which open at "
            f"{moment:%Y-%m-%d %H:%M} ({moment.tzinfo})."
        )
