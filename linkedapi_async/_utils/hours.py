"""Hours of a week in a time zone, such as ``Mon-Fri 09:00-17:00 Europe/Berlin``."""

from __future__ import annotations

import datetime as dt
import itertools
import re
import zoneinfo
from collections.abc import Iterator
from typing import Final, Self

import attrs

from linkedapi_async._utils.spelling import nearest


WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

_FORM: Final = "'Mon-Fri 09:00-12:00, 13:00-17:00 Europe/Berlin'"

_WINDOW: Final = re.compile(
    r"(?:([A-Z]\w\w)(?:-([A-Z]\w\w))?\s+)?(\d\d?):(\d\d)-(\d\d?):(\d\d)", re.ASCII
)

_DAY: Final = 24 * 60
"""The minutes of a day."""


def read_zone(name: object) -> zoneinfo.ZoneInfo:
    """Return the time zone called *name*.

    Raises:
        ValueError: There is no such zone; the message suggests the nearest name.
    """
    if isinstance(name, str):
        try:
            return zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            alike = nearest(name, sorted(zoneinfo.available_timezones()))
    else:
        alike = None
    hint = f"; did you mean {alike!r}?" if alike else ""
    message = f"a time zone must be a name such as 'Europe/Berlin', got {name!r}{hint}"
    raise ValueError(message)


@attrs.frozen(order=True)
class Window:
    """Hours of one day of the week."""

    weekday: int
    """0 is Monday."""
    opens: int
    """When it begins, in minutes from midnight."""
    closes: int
    """When it ends; 1440 is the end of the day."""

    def __str__(self) -> str:
        return f"{WEEKDAYS[self.weekday]} {_clock(self.opens)}-{_clock(self.closes)}"


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


@attrs.frozen
class Hours:
    """Hours of a week; moments are seconds since 1970.

    They follow the local time of their zone, also when summer time begins or ends. A
    local time that is skipped counts as a later one; of a local time that occurs twice,
    the first one counts.
    """

    windows: tuple[Window, ...]
    """In order, without overlaps."""
    zone: zoneinfo.ZoneInfo
    """The time zone in which they are measured."""
    text: str = attrs.field(eq=False)
    """The text from which they were read."""

    @classmethod
    def read(cls, text: object) -> Self:
        """Return the hours that *text* describes.

        Raises:
            ValueError: It has another form, its zone is unknown, or hours overlap.
        """
        if not isinstance(text, str):
            message = f"hours must be text such as {_FORM}, got {text!r}"
            raise ValueError(message)  # noqa: TRY004  # as for all that is wrong with it
        spans, _, name = text.strip().rpartition(" ")
        if not spans or ":" in name:
            message = f"hours must end with a time zone, as {_FORM} does; got {text!r}"
            raise ValueError(message)
        zone = read_zone(name)
        windows = sorted(_windows(spans))
        for before, after in itertools.pairwise(windows):
            if before.weekday == after.weekday and after.opens < before.closes:
                raise ValueError(f"hours must not overlap, got {before} and {after}")
        return cls(tuple(windows), zone, text.strip())

    @classmethod
    def always(cls, zone: zoneinfo.ZoneInfo) -> Self:
        """Return hours without a break, in *zone*."""
        windows = tuple(Window(day, 0, _DAY) for day in range(len(WEEKDAYS)))
        return cls(windows, zone, f"00:00-24:00 {zone.key}")

    def __str__(self) -> str:
        return self.text

    def date(self, when: float) -> dt.date:
        """Return the date of a moment."""
        return dt.datetime.fromtimestamp(when, self.zone).date()

    def midnight(self, day: dt.date) -> float:
        """Return the moment at which a day begins."""
        return dt.datetime.combine(day, dt.time(), self.zone).timestamp()

    def spans(self, day: dt.date) -> Iterator[tuple[float, float]]:
        """Yield when it opens and closes on a day."""
        for window in self.windows:
            if window.weekday == day.weekday():
                opens = self._moment(day, window.opens)
                closes = self._moment(day, window.closes)
                if opens < closes:
                    yield opens, closes

    def _moment(self, day: dt.date, minutes: int) -> float:
        if minutes == _DAY:
            return self.midnight(day + dt.timedelta(days=1))
        clock = dt.time(*divmod(minutes, 60))
        return dt.datetime.combine(day, clock, self.zone).timestamp()

    def opening(self, when: float) -> float:
        """Return *when* if it is open then, else the moment at which it next opens."""
        return next(opens for opens, _ in self._spans_from(when))

    def after(self, when: float, seconds: float) -> float:
        """Return when it has been open for *seconds*, counted from *when*.

        If that is the end of a span, return the beginning of the next one.
        """
        for opens, closes in self._spans_from(when):
            if seconds < closes - opens:
                return opens + seconds
            seconds -= closes - opens
        raise AssertionError  # pragma: no cover  # it opens every week

    def _spans_from(self, when: float) -> Iterator[tuple[float, float]]:
        """Yield when it is open, from *when* on and without an end."""
        day = self.date(when) - dt.timedelta(days=1)
        while True:
            for opens, closes in self.spans(day):
                if when < closes:
                    yield max(when, opens), closes
            day += dt.timedelta(days=1)


def _windows(spans: str) -> Iterator[Window]:
    days: tuple[int, ...] = tuple(range(len(WEEKDAYS)))
    for span in spans.split(","):
        match = _WINDOW.fullmatch(span.strip())
        if match is None:
            message = f"hours must be text such as {_FORM}, got {span.strip()!r}"
            raise ValueError(message)
        first, last, *clock = match.groups()
        if first is not None:
            days = _days(first, last or first)
        opens = int(clock[0]) * 60 + int(clock[1])
        closes = int(clock[2]) * 60 + int(clock[3])
        in_order = opens < closes <= _DAY
        if not in_order or int(clock[1]) > 59 or int(clock[3]) > 59:  # noqa: PLR2004
            raise ValueError(
                "hours must open before they close, between 00:00 and 24:00, got "
                f"{span.strip()!r}; write those past midnight as two"
            )
        for day in days:
            yield Window(day, opens, closes)


def _days(first: str, last: str) -> tuple[int, ...]:
    for name in (first, last):
        if name not in WEEKDAYS:
            message = f"a day must be one of {', '.join(WEEKDAYS)}, got {name!r}"
            raise ValueError(message)
    begin, count = WEEKDAYS.index(first), len(WEEKDAYS)
    length = (WEEKDAYS.index(last) - begin) % count + 1
    return tuple((begin + n) % count for n in range(length))
