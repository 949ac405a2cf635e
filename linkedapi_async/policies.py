"""How long to wait: between polls of a workflow, and before a retry of a request.

Polling and retrying are two policies on purpose. A poll that finds a workflow still
running has succeeded; a request that needs a retry has failed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Self

from attrs import evolve, field, frozen


if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from attrs import Attribute


__all__ = ["Polling", "Retries", "RetryBudget"]


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
        """Check *value* against the other field."""
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
    """Return *start* grown *steps* times, at most *maximum*."""
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
    full cadence; of all the others, one is polled every *queued_interval* seconds.
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

    Upper limit of all waits of a head, too.
    """

    deadline: float = field(
        default=86400, validator=_Range(0, above=True, infinite=True)
    )
    """Time in seconds after which a wait without ``timeout=`` gives up.

    The default is 24 hours; `math.inf` waits for ever. Time for which the API reports
    `outsideWorkingHours` does not count; towards a `timeout=` it does.
    """

    late_cost: float | None = field(
        default=2.5, validator=_Range(0, above=True, none=True)
    )
    """How many requests it is worth to notice an end one second earlier.

    After five ends of workflows of the same kind, polls follow how long these took: the
    next poll comes when the expected delay has cost as much as one request. Until then,
    and with None always, the intervals above apply. Learnt waits are not shorter than
    *interval* and not longer than *queued_interval*.
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

        Jitter only shortens it, because *queued_interval* is a promise.
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
    retries at most every tenth request is one. Where no retry is left, the error of the
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
