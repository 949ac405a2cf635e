"""How long workflows of a kind take, learnt from their ends; and when to poll them.

Pure: it uses no clock, and its memory is bounded. The durations of a kind are assumed
    to be log-normal, with a mean and a spread that follow the latest ends.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

from attrs import define, frozen


if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence


DurationRecord: TypeAlias = "tuple[Hashable, float, float, float]"
"""A kind, and the weight, mean and variance of the logarithm of its durations."""


MAX_KINDS: Final = 1000
"""How many kinds are remembered; the one whose last end is oldest is dropped first."""

ENDS_NEEDED: Final = 5
"""How many ends of a kind are needed before its polls depend on them."""

MEMORY: Final = 24.0
"""How many ends count at most, so that polls adapt to a change within 20."""

SURPRISE: Final = 3.0
"""From how many standard deviations away an end makes earlier ones count little.

Polls then follow the intervals of the policy until the new durations are known.
"""

SPREAD: Final = 0.6
"""The spread of the logarithm of durations that is assumed at first."""

MIN_SPREAD: Final = 0.1
"""The smallest spread that is used."""

GRID: Final = 0.05
"""The steps of mean and spread for which schedules are computed."""

MAX_POLLS: Final = 200
"""The maximal length of a schedule."""

COVERED: Final = 0.999
"""The share of workflows that end within a schedule; its end sets the later waits."""

NINE_IN_TEN: Final = 1.2815515655446004
"""How many standard deviations above the mean one value in ten lies."""

MAX_LOGARITHM: Final = 25.0
"""The largest logarithm of a duration that is used, of 2,000 years."""


@frozen
class Estimate:
    """An estimate of how long something takes, in seconds."""

    median: float
    """The median: half of the cases take longer."""

    low: float
    """Nine cases in ten take longer than this."""

    high: float
    """One case in ten takes longer than this."""


def _normal(z: float) -> float:
    """Return the distribution function of the normal distribution."""
    return 0.5 * math.erfc(-z / math.sqrt(2))


def ended_share(mean: float, spread: float, seconds: float) -> float:
    """Return the share of durations, log-normal, that are shorter than *seconds*."""
    return _normal((math.log(seconds) - mean) / spread) if seconds > 0 else 0.0


@lru_cache(512)
def poll_times(mean: float, spread: float, late_cost: float) -> Sequence[float]:
    """Return when to poll a workflow, in seconds since its start.

    The next poll comes when the expected delay is worth one request: when the mean time
    from the end to the poll, over all durations that are still possible, has grown to 1
    / *late_cost* seconds. This is close to the optimum for log-normal durations.

    Args:
        mean: The mean of the logarithm of the duration in seconds.
        spread: The standard deviation of that logarithm.
        late_cost: How many requests a second of delay costs.
    """
    expected = math.exp(mean + spread * spread / 2)
    budget = 1 / late_cost

    def ended(seconds: float) -> tuple[float, float]:
        """Return the share that has ended, and its integral over time."""
        z = (math.log(seconds) - mean) / spread
        share = _normal(z)
        return share, seconds * share - expected * _normal(z - spread)

    times: list[float] = []
    now = share = delay = 0.0
    step = math.exp(mean)
    while len(times) < MAX_POLLS and share < COVERED:
        allowed = budget * (1 - share)
        target = delay + allowed
        found = ended(now + step)
        while found[1] - step * share < target:
            step *= 2
            found = ended(now + step)
        # Newton's method converges from above, because the delay is convex.
        while (excess := found[1] - step * share - target) > 0.02 * allowed:
            step -= excess / (found[0] - share)
            found = ended(now + step)
        now += step
        share, delay = found
        times.append(now)
    # A wait after the end of a schedule is computed from its last two times.
    return times if len(times) > 1 else [*times, 2 * times[0]]


@frozen
class DurationEstimate:
    """How long workflows of one kind take, and how certain that is."""

    mean: float
    """The mean of its logarithm."""

    spread: float
    """The standard deviation of that."""

    uncertainty: float
    """The relative standard error of `expected`."""

    spread_error: float
    """The relative standard error of *spread*."""

    @property
    def expected(self) -> float:
        """The mean in seconds."""
        return math.exp(self.mean + self.spread**2 / 2)

    @property
    def variance(self) -> float:
        """The variance, in square seconds."""
        return self.expected**2 * math.expm1(self.spread**2)


@define(eq=False)
class _KindStatistics:
    """The statistics of one kind: weighted moments of the logarithm of a duration."""

    weight: float = 0.0
    mean: float = 0.0
    variance: float = SPREAD**2
    times: Sequence[float] | None = None
    """Its schedule, computed when it is needed first."""

    def observe(self, value: float) -> None:
        """Count one more *value*, the logarithm of a duration."""
        self.times = None
        error = value - self.mean
        if self.weight >= ENDS_NEEDED and abs(error) > SURPRISE * self.spread:
            self.weight = 2.0
        self.weight = min(self.weight + 1, MEMORY)
        self.mean += error / self.weight
        # Two more than the weight, because the initial spread counts too.
        square = error * (value - self.mean)
        self.variance += (square - self.variance) / (self.weight + 2)

    @property
    def spread(self) -> float:
        """The expected spread of the next value."""
        # More than the variance, because after few ends the mean and the variance are
        # uncertain.
        variance = self.variance * (1 + 2 / self.weight)
        return max(MIN_SPREAD, math.sqrt(variance))


class DurationLearner:
    """Learns how long workflows of each kind take.

    Args:
        late_cost: How many requests a second of delay costs; None if polls do not use
            what is learnt.
    """

    def __init__(self, late_cost: float | None) -> None:
        self._late_cost = late_cost
        self._kinds: dict[Hashable, _KindStatistics] = {}
        self.observed: int = 0
        """How many durations were observed."""

    def __len__(self) -> int:
        """Return the number of kinds about which something is known."""
        return len(self._kinds)

    def duration(self, kind: Hashable) -> DurationEstimate | None:
        """Return how long workflows of *kind* take, if enough is known about them."""
        known = self._kinds.get(kind)
        if known is None or known.weight < ENDS_NEEDED:
            return None
        spread = max(MIN_SPREAD, math.sqrt(known.variance))
        # Weighted like this, the latest ends are as exact as the plain mean of nearly
        # twice as many.
        ends = known.weight if known.weight < MEMORY else 2 * MEMORY - 1
        error = 1 / math.sqrt(2 * (ends - 1))
        uncertainty = error * spread * math.sqrt(2 + spread**2)
        return DurationEstimate(known.mean, spread, uncertainty, error)

    def estimate(self, kind: Hashable) -> Estimate | None:
        """Return how long workflows of *kind* take, if enough is known about them."""
        known = self._kinds.get(kind)
        if known is None or known.weight < ENDS_NEEDED:
            return None
        median, factor = math.exp(known.mean), math.exp(NINE_IN_TEN * known.spread)
        return Estimate(median, median / factor, median * factor)

    def records(self) -> list[DurationRecord]:
        """Return all that was learnt, the kind whose last end is oldest first."""
        return [
            (kind, known.weight, known.mean, known.variance)
            for kind, known in self._kinds.items()
        ]

    def restore(self, records: Iterable[Sequence[object]]) -> None:
        """Load what `records` returned earlier; damaged records are left out."""
        for kind, *moments in records:
            weight, mean, variance = (
                value if isinstance(value, float) else math.nan for value in moments
            )
            if (
                kind not in self._kinds
                and 0 < weight <= MEMORY
                and abs(mean) <= MAX_LOGARITHM
                and 0 <= variance <= MAX_LOGARITHM
            ):
                self._kinds[kind] = _KindStatistics(weight, mean, variance)
        while len(self._kinds) > MAX_KINDS:
            del self._kinds[next(iter(self._kinds))]

    def observe(self, kind: Hashable, shortest: float, longest: float) -> None:
        """Count the end of a workflow that took *shortest* to *longest* seconds."""
        # The true duration lies in between, so the middle has the smallest error.
        seconds = max((shortest + longest) / 2, 1e-6)
        self.observed += 1
        self._use(kind).observe(math.log(seconds))

    def observe_unfinished(self, kind: Hashable, seconds: float) -> None:
        """Count a workflow that had not ended after *seconds*, when its wait ended."""
        known = self._kinds.get(kind)
        if known is None or known.weight < ENDS_NEEDED or seconds <= 0:
            return
        z = (math.log(seconds) - known.mean) / known.spread
        if z > 0:
            # The mean of all durations that are longer.
            density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
            ratio = density / max(_normal(-z), 1e-12)
            known.observe(known.mean + known.spread * max(ratio, z))

    def first_poll(self, kind: Hashable) -> float | None:
        """Return when to poll a workflow first, in seconds since its start.

        `None` if too little is known about the kind.
        """
        times = self._times(kind)
        return None if times is None else times[0]

    def wait(self, kind: Hashable, elapsed: float) -> float | None:
        """Return the time in seconds before the next poll of a running workflow.

        Args:
            kind: The kind of the workflow.
            elapsed: The time in seconds since it started.
        """
        times = self._times(kind)
        if times is None:
            return None
        if elapsed <= 0:
            return times[0]
        if elapsed >= times[-2]:
            # The waits in a log-normal tail grow about as the square root of the time.
            return (times[-1] - times[-2]) * math.sqrt(elapsed / times[-2])
        # Polls come a little before or after the planned time, so the wait is
        # interpolated between those of the two nearest times.
        after = bisect_right(times, elapsed)
        before_time = times[after - 1] if after else 0.0
        share = (elapsed - before_time) / (times[after] - before_time)
        first = times[after] - before_time
        second = times[after + 1] - times[after]
        return first + share * (second - first)

    def _times(self, kind: Hashable) -> Sequence[float] | None:
        """Return the schedule of *kind*, if enough is known about it."""
        known = self._kinds.get(kind)
        if known is None:
            return None
        if known.times is None and known.weight >= ENDS_NEEDED:
            known.times = self._schedule(known)
        return known.times

    def _schedule(self, known: _KindStatistics) -> Sequence[float] | None:
        """Return the schedule of a kind about which enough is known."""
        if self._late_cost is None:
            return None
        # Rounded to a grid, so that kinds of similar duration share one cached
        # schedule.
        mean = round(known.mean / GRID) * GRID
        spread = math.ceil(known.spread / GRID - 0.5) * GRID
        return poll_times(mean, spread, self._late_cost)

    def _use(self, kind: Hashable) -> _KindStatistics:
        """Return the statistics of *kind*, and mark it as used last."""
        known = self._kinds.pop(kind, None) or _KindStatistics()
        self._kinds[kind] = known
        if len(self._kinds) > MAX_KINDS:
            del self._kinds[next(iter(self._kinds))]
        return known
