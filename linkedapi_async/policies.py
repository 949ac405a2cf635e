"""How long to wait: between polls, before a retry, and between the starts of an account.

Polling and retrying are separate policies, because a poll that finds a workflow still
running has succeeded, whereas a request that needs a retry has failed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from attrs import evolve, field, frozen

from linkedapi_async._types import CATEGORIES, PERIODS
from linkedapi_async._utils.spelling import nearest
from linkedapi_async._utils.times import wall_time


if TYPE_CHECKING:
    import random
    import zoneinfo
    from collections.abc import Callable, Sequence

    from attrs import Attribute

    from linkedapi_async._utils.hours import Hours


__all__ = ["Pace", "PlatformUse", "Polling", "Ramp", "Retries", "RetryBudget"]


@frozen
class _Range:
    """A range of numbers, as an attrs validator."""

    low: float
    """The smallest number."""

    high: float = math.inf
    """The largest number."""

    above: bool = field(default=False, kw_only=True)
    """Whether *low* itself is excluded."""

    below: bool = field(default=False, kw_only=True)
    """Whether *high* itself is excluded."""

    infinite: bool = field(default=False, kw_only=True)
    """Whether infinity is allowed."""

    none: bool = field(default=False, kw_only=True)
    """Whether None is allowed."""

    def __str__(self) -> str:
        text = f"{'greater than' if self.above else 'of at least'} {self.low:g}"
        if self.high < math.inf:
            text += f" and {'less than' if self.below else 'at most'} {self.high:g}"
        text += " (or math.inf)" if self.infinite else ""
        return text + (" (or None)" if self.none else "")

    def __contains__(self, value: object) -> bool:
        """Return whether *value* is a number in the range."""
        if value is None:
            return self.none
        return (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and (self.low < value if self.above else self.low <= value)
            and (value < self.high if self.below else value <= self.high)
            and (self.infinite or value != math.inf)
        )

    def check(self, name: str, value: object) -> None:
        """Raise `ValueError` if *value*, called *name*, is not in the range."""
        if value not in self:
            raise ValueError(f"{name} must be a number {self}, got {value!r}")

    def __call__(self, _instance: Any, attribute: Attribute[Any], value: Any) -> None:
        """Check the *value* of a field."""
        self.check(attribute.name, value)


_POSITIVE = _Range(0, above=True)
_GROWTH = _Range(1)
_FRACTION = _Range(0, 1, below=True)


def _not_below(other: str) -> Callable[[Any, Attribute[Any], Any], None]:
    """Return a validator that requires at least the value of the field *other*."""

    def check(instance: Any, attribute: Attribute[Any], value: float) -> None:
        minimum = getattr(instance, other)
        if value < minimum:
            raise ValueError(
                f"{attribute.name} must be at least {other} ({minimum!r}), "
                f"got {value!r}"
            )

    return check


def _whole(_instance: Any, attribute: Attribute[Any], value: Any) -> None:
    """Check that *value* is a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(
            f"{attribute.name} must be a whole number of at least 1, got {value!r}"
        )


def _grown(start: float, growth: float, steps: int, maximum: float) -> float:
    """Return *start* multiplied *steps* times by *growth*, at most *maximum*."""
    # Compare logarithms, because the plain power overflows after a day of waiting.
    if start >= maximum or steps * math.log(growth) >= math.log(maximum / start):
        return maximum
    return start * growth**steps


def _jittered(seconds: float, jitter: float, rng: random.Random) -> float:
    """Return *seconds*, changed at random by at most the fraction *jitter*."""
    return seconds * (1 + jitter * (2 * rng.random() - 1))


@frozen(kw_only=True)
class Polling:
    """When to poll the workflows of an account.

    An account runs one workflow at a time, so only the head of its queue is polled at
    these intervals; of all the others, one is polled every *queued_interval* seconds.
    """

    initial_delay: float = field(default=10, validator=_Range(0))
    """Time in seconds from the start of a workflow to its first poll.

    A queued workflow counts as started when the one before it has ended.
    """

    interval: float = field(default=3, validator=_POSITIVE)
    """Time in seconds between the first poll and the second."""

    growth: float = field(default=1.1, validator=_GROWTH)
    """Factor by which each further interval is longer than the one before."""

    max_interval: float = field(
        default=15, validator=[_POSITIVE, _not_below("interval")]
    )
    """Longest interval in seconds."""

    jitter: float = field(default=0.2, validator=_FRACTION)
    """Fraction by which each wait is shortened or lengthened at random."""

    queued_interval: float = field(default=120, validator=_POSITIVE)
    """Time in seconds between two polls of the workflows behind the head.

    It is also the longest wait between two polls of a head.
    """

    deadline: float = field(
        default=86400, validator=_Range(0, above=True, infinite=True)
    )
    """Time in seconds after which a wait without ``timeout=`` gives up.

    The default is 24 hours; `math.inf` waits for ever. Time for which the API reports
    `outsideWorkingHours` does not count here, but it counts towards a `timeout=`.
    """

    late_cost: float | None = field(
        default=2.5, validator=_Range(0, above=True, none=True)
    )
    """How many requests one second of earlier notice of an end is worth.

    After five workflows of the same kind have ended, polls are planned by how long
    these took: the next poll comes when the expected delay has cost as much as one
    request. Until then, and always with None, the intervals above apply. Learnt waits
    lie between *interval* and *queued_interval*.

    With the default, a workflow of 25 seconds takes about 5 requests and its end is
    noticed 2.5 seconds late; one of 20 minutes takes about 40 requests, and its end is
    noticed 16 seconds late. A cost four times as high halves the delay and doubles the
    requests.
    """

    @classmethod
    def fixed(cls, seconds: float) -> Self:
        """Return a policy that polls the head every *seconds*, without jitter."""
        even = cls(
            initial_delay=seconds,
            interval=seconds,
            growth=1,
            max_interval=seconds,
            jitter=0,
            late_cost=None,
        )
        return evolve(even, queued_interval=max(seconds, even.queued_interval))

    def faster(self, factor: float) -> Self:
        """Return this policy with all waits divided by *factor*.

        The deadline does not change.
        """
        _POSITIVE.check("factor", factor)
        return evolve(
            self,
            initial_delay=self.initial_delay / factor,
            interval=self.interval / factor,
            max_interval=self.max_interval / factor,
            queued_interval=self.queued_interval / factor,
            late_cost=self.late_cost and self.late_cost * factor,
        )

    def wait(self, n: int, rng: random.Random) -> float:
        """Return the time in seconds before the *n*-th poll of a head, from 1 on."""
        if n <= 1:
            seconds = self.initial_delay
        else:
            seconds = _grown(self.interval, self.growth, n - 2, self.max_interval)
        return min(_jittered(seconds, self.jitter, rng), self.queued_interval)

    def bounded_wait(self, seconds: float, rng: random.Random) -> float:
        """Return a learnt wait of *seconds* within the bounds, with jitter."""
        seconds = _jittered(max(seconds, self.interval), self.jitter, rng)
        return min(seconds, self.queued_interval)

    def slow_wait(self, n: int, rng: random.Random) -> float:
        """Return the time in seconds before the *n*-th poll outside working hours.

        It starts at *max_interval* and grows up to *queued_interval*.
        """
        seconds = _grown(
            self.max_interval,
            self.growth,
            n - 1,
            max(self.max_interval, self.queued_interval),
        )
        return min(_jittered(seconds, self.jitter, rng), self.queued_interval)

    def tail_wait(self, rng: random.Random) -> float:
        """Return the time in seconds before the next poll behind the head.

        Jitter only shortens it, because *queued_interval* is an upper limit.
        """
        return self.queued_interval * (1 - self.jitter * rng.random())


@frozen(kw_only=True)
class Retries:
    """How often, and after which waits, a failed request is sent again.

    `Retries(attempts=1)` switches retries off.
    """

    attempts: int = field(default=4, validator=_whole)
    """Maximum number of times that a request is sent, the first included."""

    initial_delay: float = field(default=0.5, validator=_POSITIVE)
    """Time in seconds before the second attempt."""

    growth: float = field(default=2.0, validator=_GROWTH)
    """Factor by which each further wait is longer than the one before."""

    max_delay: float = field(
        default=30, validator=[_POSITIVE, _not_below("initial_delay")]
    )
    """Longest wait in seconds."""

    jitter: float = field(default=0.5, validator=_FRACTION)
    """Fraction by which each wait is shortened or lengthened at random."""

    budget: float = field(default=0.1, validator=_Range(0, 1))
    """Maximum number of retries per request that is not a retry.

    It keeps retries from amplifying an outage: with the default, after the first ten
    retries at most every tenth request is one. If no retry is left, the error of the
    last attempt is raised.
    """

    def wait(self, attempt: int, rng: random.Random) -> float:
        """Return the time in seconds before *attempt*, which counts from 1.

        It is never shorter than *initial_delay* times (1 - *jitter*).
        """
        if attempt <= 1:
            return 0.0
        seconds = _grown(self.initial_delay, self.growth, attempt - 2, self.max_delay)
        return _jittered(seconds, self.jitter, rng)


class RetryBudget:
    """The retries that are left for a host: each request earns a fraction of one."""

    RESERVE: ClassVar[float] = 10.0
    """The retries at the beginning, and the maximum that is saved."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._left = self.RESERVE

    def earn(self) -> None:
        """Count a request that is not a retry."""
        self._left = min(self.RESERVE, self._left + self._share)

    def spend(self) -> bool:
        """Use one retry; return whether one was left."""
        if self._left < 1:
            return False
        self._left -= 1
        return True


@frozen
class Ramp:
    """Daily allowances for a new account, which grow to the full ones."""

    start: int = field(validator=_whole)
    """How many actions of each category on the first day, at most its allowance."""

    days: int = field(validator=_whole)
    """After how many days an allowance is full; it grows by the same amount each day.

    The first day is the one of the account's first start in the journal.
    """

    def allowance(self, whole: int, day: int) -> int:
        """Return the part of *whole* that is allowed on a day; the first one is 0."""
        start = min(self.start, whole)
        return start + (whole - start) * min(day, self.days) // self.days


@frozen(kw_only=True)
class PlatformUse:
    """How much of a limit was used on the platform, by all programs."""

    category: str
    """The limit, such as ``stMessages``."""
    period: str
    """``daily``, ``weekly`` or ``monthly``."""
    used: int
    """How many actions counted in the period that *at* is in."""
    at: float
    """When it was read, in seconds since 1970."""


def _allowances(value: Any) -> dict[str, int]:
    """Return a copy of *value*, which maps categories to whole numbers."""
    if not isinstance(value, Mapping):
        raise ValueError(  # noqa: TRY004  # as for all that is wrong with a policy
            "an allowance must map categories to numbers, such as {'stMessages': 25}, "
            f"got {value!r}"
        )
    for category, number in value.items():
        if category not in CATEGORIES:
            alike = nearest(str(category), CATEGORIES)
            hint = f"did you mean {alike!r}? " if alike else ""
            raise ValueError(
                f"a category must be one of the API's, got {category!r}; {hint}known: "
                f"{', '.join(CATEGORIES)}"
            )
        if type(number) is not int or number < 0:
            raise ValueError(
                f"the allowance of {category} must be a whole number of at least 0, "
                f"got {number!r}"
            )
    return dict(value)


def _hours(value: Any) -> Hours | None:
    if value is None:
        return None
    # Most sessions keep no pace.
    from linkedapi_async._utils.hours import Hours  # noqa: PLC0415

    return value if isinstance(value, Hours) else Hours.read(value)


def _zone_name(value: Any) -> str | None:
    if value is None:
        return None
    from linkedapi_async._utils.hours import read_zone  # noqa: PLC0415

    return read_zone(value).key


def _uses(value: Any) -> tuple[PlatformUse, ...]:
    uses = tuple(value)
    for use in uses:
        if not isinstance(use, PlatformUse):
            raise ValueError(f"usage must be a list of PlatformUse, got {use!r}")  # noqa: TRY004
    return uses


def _ramp(pace: Pace, _: Attribute[Any], value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, Ramp):
        raise ValueError(f"ramp must be a Ramp, got {value!r}")  # noqa: TRY004
    if not pace.per_day:
        raise ValueError("ramp needs per_day=, whose allowances it reduces at first")


class _PlatformLimit(Protocol):
    """A limit of an account on the platform, and its use."""

    category: str | None
    period: str | None
    max_value: int | None
    is_enabled: bool | None
    current_value: int | None


class _PlatformLimits(Protocol):
    """The limits of the platform."""

    async def get_usage(self, account_id: str) -> Sequence[_PlatformLimit]:
        """Return the limits of an account and their use."""
        ...


class _Platform(Protocol):
    """The part of an `Admin` that `Pace.from_api` needs."""

    @property
    def limits(self) -> _PlatformLimits:
        """The limits of its accounts."""
        ...


class _Identified(Protocol):
    """An account whose id may be known."""

    @property
    def account_id(self) -> str | None:
        """The API's id of it."""
        ...


@frozen(kw_only=True)
class Pace:
    """How much an account may do, and when. It limits starts, not requests.

    A workflow counts with the most actions that it can do, and after its end with those
    that it did. Days, weeks (from Monday) and months are those of the calendar, in
    *timezone*. A workflow that runs across midnight counts on both days, because it is
    unknown when LinkedIn counted it.

    Raises:
        ValueError: A category or time zone is unknown, hours overlap, or a number is
            out of range.
    """

    per_day: Mapping[str, int] = field(factory=dict, converter=_allowances)
    """How many actions of a category in a day: ``{"stConnectionRequests": 25}``.

    The categories are the API's: https://linkedapi.io/docs/admin-limits
    """

    per_week: Mapping[str, int] = field(factory=dict, converter=_allowances)
    """How many in a week, which begins on Monday."""

    per_month: Mapping[str, int] = field(factory=dict, converter=_allowances)
    """How many in a month."""

    min_interval: float = field(default=0, validator=_Range(0))
    """Minimum time in seconds between two starts of the account."""

    jitter: float = field(default=0.2, validator=_Range(0, 1))
    """Fraction of *min_interval* by which each interval is lengthened at random."""

    hours: Hours | None = field(default=None, converter=_hours)
    """When workflows are started: ``Mon-Fri 09:00-12:00, 13:00-17:00 Europe/Berlin``.

    A string is parsed; without days it means every day. None allows starts at any time.
    """

    ramp: Ramp | None = field(default=None, validator=_ramp)
    """How the daily allowances grow at first; None gives the full ones at once."""

    timezone: str | None = field(default=None, converter=_zone_name)
    """The zone in which days begin; None is that of *hours*, or UTC without hours."""

    usage: tuple[PlatformUse, ...] = field(default=(), converter=_uses)
    """The use on the platform when it was last read; see `from_api`.

    What exceeds the journal's own count was used by other programs, and is subtracted.
    """

    def __attrs_post_init__(self) -> None:
        for use in self.usage:
            if use.period not in PERIODS:
                raise ValueError(
                    f"a period must be one of {', '.join(PERIODS)}, got {use.period!r}"
                )

    @property
    def limits(self) -> tuple[tuple[str, Mapping[str, int]], ...]:
        """The allowances by period: ``daily``, ``weekly``, ``monthly``."""
        return tuple(
            zip(PERIODS, (self.per_day, self.per_week, self.per_month), strict=True)
        )

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        """The time zone in which days begin."""
        if self.timezone is None and self.hours is not None:
            return self.hours.zone
        from linkedapi_async._utils.hours import read_zone  # noqa: PLC0415

        return read_zone(self.timezone or "UTC")

    @property
    def categories(self) -> frozenset[str]:
        """The categories that have an allowance."""
        return frozenset(name for _, limits in self.limits for name in limits)

    @classmethod
    async def from_api(
        cls, admin: _Platform, account: str | _Identified, **settings: Any
    ) -> Self:
        """Return a pace with the limits that an account has on the platform.

        What any program has used in the present day, week and month is subtracted.
        Limits that are switched off, and categories that this version does not know,
        set no allowance.

        Args:
            admin: A `linkedapi_async.admin.Admin` that is open.
            account: The API's id of the account, or a `linkedapi_async.Account`.
            settings: As for `Pace`; of two allowances, the smaller one counts.

        Raises:
            ValueError: The account's id is not known, or a setting is wrong.
            RequestError: The API refused, or did not answer.

        https://linkedapi.io/docs/admin-limits
        """
        account_id = account if isinstance(account, str) else account.account_id
        if account_id is None:
            raise ValueError(
                "the API's id of the account is not known: pass account_id= to "
                "session.account(), or await admin.identify(session) first"
            )
        own = cls(**settings)
        limits = {period: dict(allowances) for period, allowances in own.limits}
        usage = list(own.usage)
        for row in await admin.limits.get_usage(account_id):
            if row.category not in CATEGORIES or row.period not in PERIODS:
                continue
            if row.is_enabled is not False and row.max_value is not None:
                known = limits[row.period].get(row.category, row.max_value)
                limits[row.period][row.category] = min(known, row.max_value)
            usage.append(
                PlatformUse(
                    category=row.category,
                    period=row.period,
                    used=row.current_value or 0,
                    at=wall_time(),
                )
            )
        per_day, per_week, per_month = limits.values()
        found = {"per_day": per_day, "per_week": per_week, "per_month": per_month}
        return cls(**{**settings, **found, "usage": tuple(usage)})
