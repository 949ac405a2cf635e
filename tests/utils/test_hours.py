"""Hours of a week: read, refused, and followed over changes of the clock."""

from __future__ import annotations

import datetime as dt
import itertools
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as hyp

from linkedapi_async._utils.hours import Hours, read_zone


OFFICE = "Mon-Fri 09:00-17:00 Europe/Berlin"
BERLIN = ZoneInfo("Europe/Berlin")


def moment(text: str, zone: ZoneInfo = BERLIN) -> float:
    """Return the moment of a local time."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (5, "hours must be text such as 'Mon-Fri"),
        ("", "hours must end with a time zone"),
        ("Mon-Fri 09:00-17:00", "hours must end with a time zone"),
        ("Mon-Fri 09:00-17:00 Europe/Belin", "did you mean 'Europe/Berlin'"),
        ("Mon-Fri 09:00-17:00 Qqqqqqqq", "a time zone must be a name .* 'Qqqqqqqq'$"),
        ("Mon-Fri 09:00-17:00 ../etc", "a time zone must be a name"),
        ("Mon-Fry 09:00-17:00 UTC", "a day must be one of Mon, .* got 'Fry'"),
        ("Mon-Fri 9-17 UTC", "hours must be text such as .* got 'Mon-Fri 9-17'"),
        ("Mon 09:00-17:00,, UTC", "hours must be text such as .* got ''"),
        ("Fri 22:00-06:00 UTC", "must open before .* past midnight as two"),
        ("Fri 09:00-09:00 UTC", "must open before they close"),
        ("Fri 09:00-24:01 UTC", "between 00:00 and 24:00"),
        ("Fri 09:60-11:00 UTC", "between 00:00 and 24:00"),
        ("Fri 09:00-10:60 UTC", "between 00:00 and 24:00"),
        (
            "Mon-Fri 09:00-12:00, Wed 11:00-17:00 UTC",
            "must not overlap, got Wed 09:00-12:00 and Wed 11:00-17:00",
        ),
    ],
)
def test_wrong_hours(text: object, message: str) -> None:
    """A mistake is refused with what is allowed."""
    with pytest.raises(ValueError, match=message):
        Hours.read(text)


def test_a_zone_is_text() -> None:
    """Something else than a name is refused."""
    with pytest.raises(ValueError, match="a time zone must be a name"):
        read_zone(5)


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("Mon-Fri 09:00-17:00 UTC", {0, 1, 2, 3, 4}),
        ("Sat 10:00-12:00 UTC", {5}),
        ("Fri-Mon 10:00-12:00 UTC", {4, 5, 6, 0}),
        ("10:00-12:00 UTC", {0, 1, 2, 3, 4, 5, 6}),
        ("Mon 8:00-9:00, 10:00-11:00, Tue 9:00-10:00 UTC", {0, 1}),
    ],
)
def test_days(text: str, days: set[int]) -> None:
    """A range may pass the weekend; hours without days have those before, or all."""
    hours = Hours.read(f" {text} ")

    assert days == {window.weekday for window in hours.windows}
    assert text == str(hours)


def test_hours_are_equal_by_what_they_mean() -> None:
    """Another spelling of the same hours is no difference."""
    assert Hours.read("Mon 8:00-9:00, Tue 8:00-9:00 UTC") == Hours.read(
        "Mon-Tue 08:00-09:00 UTC"
    )
    assert Hours.read("Mon 8:00-9:00 UTC") != Hours.read("Mon 8:00-9:00 Europe/Berlin")


@pytest.mark.parametrize(
    ("when", "opening"),
    [
        ("2026-03-02T08:59", "2026-03-02T09:00"),
        ("2026-03-02T09:00", "2026-03-02T09:00"),
        ("2026-03-02T16:59", "2026-03-02T16:59"),
        ("2026-03-02T17:00", "2026-03-03T09:00"),
        ("2026-03-06T17:00", "2026-03-09T09:00"),
        # The clock goes forward on Sunday the 29th, and back on October 25.
        ("2026-03-27T18:00", "2026-03-30T09:00"),
        ("2026-10-23T18:00", "2026-10-26T09:00"),
    ],
)
def test_openings(when: str, opening: str) -> None:
    """It is open then, or opens by the clock on the wall, also after it was changed."""
    assert moment(opening) == Hours.read(OFFICE).opening(moment(when))


def test_time_that_the_clock_leaves_out_or_repeats() -> None:
    """Hours end with the change that leaves them out, and are open once if repeated."""
    left_out = Hours.read("Sun 02:30-03:00, 04:00-05:00 Europe/Berlin")
    repeated = Hours.read("Sun 02:30-04:00 Europe/Berlin")

    assert moment("2026-03-29T04:00") == left_out.opening(moment("2026-03-29T00:00"))
    assert 1.5 * 3600 + 3600 == sum(
        closes - opens for opens, closes in repeated.spans(dt.date(2026, 10, 25))
    )


def test_days_may_have_other_lengths() -> None:
    """A day begins at midnight of the zone, whatever the clock does in it."""
    always = Hours.always(BERLIN)

    lengths = [
        always.midnight(day + dt.timedelta(days=1)) - always.midnight(day)
        for day in (dt.date(2026, 3, 29), dt.date(2026, 3, 30), dt.date(2026, 10, 25))
    ]

    assert [23 * 3600, 24 * 3600, 25 * 3600] == lengths
    assert "00:00-24:00 Europe/Berlin" == str(always)


def test_open_time_is_counted() -> None:
    """Closed hours do not count; the end of a span is the beginning of the next."""
    hours = Hours.read(OFFICE)
    friday = moment("2026-03-06T16:00")

    assert moment("2026-03-06T16:30") == hours.after(friday, 1800)
    assert moment("2026-03-09T09:00") == hours.after(friday, 3600)
    assert moment("2026-03-09T10:00") == hours.after(friday, 7200)
    assert moment("2026-03-10T09:00") == hours.after(friday, 9 * 3600)


ZONES = ("Europe/Berlin", "America/Havana", "Australia/Lord_Howe", "UTC")


@given(
    zone=hyp.sampled_from(ZONES),
    when=hyp.integers(int(moment("2026-01-01")), int(moment("2027-01-01"))),
    seconds=hyp.integers(0, 10 * 86400),
)
def test_openings_are_open(zone: str, when: int, seconds: int) -> None:
    """An opening is the first open moment that is not before."""
    hours = Hours.read(f"Mon-Fri 09:00-12:00, 13:00-17:30, Sun 20:00-24:00 {zone}")
    opening = hours.opening(when)
    later = hours.after(when, seconds)

    assert opening >= when
    assert hours.opening(opening) == opening == hours.after(when, 0)
    assert hours.opening(later) == later >= opening + seconds - 1e-3
    for minute in itertools.islice(
        range(int(when), int(opening), 600), 500
    ):  # nothing is open in between
        local = dt.datetime.fromtimestamp(minute, hours.zone)
        clock = local.hour * 60 + local.minute
        assert not any(
            window.weekday == local.weekday() and window.opens <= clock < window.closes
            for window in hours.windows
        )
