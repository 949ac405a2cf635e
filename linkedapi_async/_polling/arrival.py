"""Estimates when workflows will have ended, by lane order and learnt durations.

Pure: callers pass the time.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Final

from attrs import frozen

from linkedapi_async._polling.durations import Estimate, ended_share


if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

    from linkedapi_async._polling.durations import DurationEstimate, DurationLearner


OUTLIER: Final = 6.0
"""The maximum distance of a duration from its mean, in standard deviations."""

STEPS: Final = 40
"""How often an interval of time is halved to find a quantile."""

SHORTEST: Final = 1e-3
"""The shortest time, in seconds, that does not count as zero."""

NODES: Final = (
    (-2.856970013872806, 0.011257411327720689),
    (-1.355626179974266, 0.22207592200561266),
    (0.0, 0.5333333333333333),
    (1.355626179974266, 0.22207592200561266),
    (2.856970013872806, 0.011257411327720689),
)
"""Values of a normal variable, with weights, that represent its distribution."""


@frozen
class TimeLeft:
    """The time until a lane has ended: log-normal, and partly over."""

    mean: float
    """The mean of the logarithm of the time since the start."""

    spread: float
    """The standard deviation of that logarithm."""

    uncertainty: float
    """The relative error of its mean, which all lanes share."""

    spread_error: float
    """The relative error of *spread*, which all lanes share."""

    elapsed: float = 0.0
    """The time in seconds since the start."""

    def ended(self, seconds: float) -> float:
        """Return the probability that it has ended after *seconds* more."""
        after = ended_share(self.mean, self.spread, self.elapsed + seconds)
        before = ended_share(self.mean, self.spread, self.elapsed)
        return (after - before) / (1 - before)


def time_left(
    learner: DurationLearner,
    head: Hashable,
    elapsed: float,
    behind: Mapping[Hashable, float],
) -> TimeLeft | None:
    """Return the time until some workflows of one lane have ended.

    Args:
        learner: What was learnt about durations.
        head: The kind of the running workflow.
        elapsed: How long it has run, in seconds.
        behind: How many workflows of each kind follow.

    Returns:
        None if too little is known about one of the kinds.
    """
    first = learner.duration(head)
    if first is None:
        return None
    mean = first.mean
    if elapsed > 0:
        # A workflow that has run for very long shows that the mean is too low.
        mean = max(mean, math.log(elapsed) - OUTLIER * first.spread)
    left = TimeLeft(mean, first.spread, first.uncertainty, first.spread_error, elapsed)
    for kind, count in behind.items():
        duration = learner.duration(kind)
        if duration is None:
            return None
        left = followed(left, duration, count)
    return left


def followed(left: TimeLeft, duration: DurationEstimate, count: float) -> TimeLeft:
    """Return the time *left* followed by *count* workflows.

    The sum is taken as log-normal, with the same mean and variance.
    """
    first, variance = _moments_left(left)
    more = count * duration.expected
    expected = first + more
    square = math.log1p((variance + count * duration.variance) / expected**2)
    return TimeLeft(
        math.log(expected) - square / 2,
        max(math.sqrt(square), SHORTEST),
        # Most of them are of one kind, so their errors add up.
        (first * left.uncertainty + more * duration.uncertainty) / expected,
        (first * left.spread_error + more * duration.spread_error) / expected,
    )


def shared(
    lanes: Iterable[TimeLeft], idle: int, duration: DurationEstimate, count: int
) -> list[TimeLeft]:
    """Return the time left of *lanes* that share *count* more workflows evenly.

    Args:
        lanes: The lanes with workflows.
        idle: How many lanes have none.
        duration: How long the workflows take.
        count: How many there are.
    """
    found = [(_moments_left(left)[0], left) for left in lanes]
    busy = sorted(found, key=lambda lane: lane[0])
    idle = min(idle, count)  # only so many of them get work
    work, level, filled = count * duration.expected, 0.0, idle
    # The lanes that end first get more work, until they end together with the next one.
    for expected, _ in busy:
        if filled and (expected - level) * filled >= work:
            break
        work -= (expected - level) * filled
        level, filled = expected, filled + 1
    level += work / max(filled, 1)
    filled_up = [
        followed(left, duration, max(0.0, level - expected) / duration.expected)
        for expected, left in busy
    ]
    alone = TimeLeft(
        duration.mean, duration.spread, duration.uncertainty, duration.spread_error
    )
    each = level / duration.expected - 1
    empty = followed(alone, duration, each) if each > 0 else alone
    return [*filled_up, *[empty] * (idle or not busy)]


def total_time(
    learner: DurationLearner, kinds: Mapping[Hashable, int], accounts: int
) -> Estimate | None:
    """Return the time that *accounts* need to run workflows which they share evenly.

    Args:
        learner: What was learnt about durations.
        kinds: The number of workflows of each kind.
        accounts: How many accounts.

    Returns:
        None if too little is known about one of the kinds.
    """
    lanes: list[TimeLeft] = []
    # The most frequent kind comes last, and fills the lanes evenly.
    for kind, count in sorted(kinds.items(), key=lambda item: item[1]):
        duration = learner.duration(kind)
        if duration is None:
            return None
        lanes = shared(lanes, max(0, accounts - len(lanes)), duration, count)
    return last_end(lanes)


def _moments_left(left: TimeLeft) -> tuple[float, float]:
    """Return the mean and the variance of the remaining time."""
    mean, spread, elapsed = left.mean, left.spread, left.elapsed
    alive = 1 - ended_share(mean, spread, elapsed)
    first, second = (
        math.exp(power * mean + (power * spread) ** 2 / 2)
        * (1 - ended_share(mean + power * spread**2, spread, elapsed))
        / alive
        for power in (1, 2)
    )
    return max(first - elapsed, SHORTEST), max(second - first**2, 0.0)


def last_end(lanes: Iterable[TimeLeft]) -> Estimate:
    """Return the time until all of the *lanes* have ended, in seconds from now."""
    # Lanes that are alike are counted and not computed one by one.
    alike: dict[tuple[float, ...], TimeLeft] = {}
    counts: Counter[tuple[float, ...]] = Counter()
    for left in lanes:
        key = (
            round(left.mean, 2),
            round(left.spread, 2),
            round(left.uncertainty, 2),
            round(math.log1p(left.elapsed), 1),
        )
        alike.setdefault(key, left)
        counts[key] += 1
    if not alike:
        return Estimate(0.0, 0.0, 0.0)
    groups = [(left, counts[key]) for key, left in alike.items()]
    # The slowest of many lanes is far from the mean, so the spread matters more.
    slowest = _normal_quantile(0.5 ** (1 / counts.total()))
    doubts = [
        count * (left.uncertainty**2 + (slowest * left.spread * left.spread_error) ** 2)
        for left, count in groups
    ]
    doubt = math.sqrt(math.fsum(doubts) / counts.total())
    low, median, high = (_quantile(groups, doubt, share) for share in (0.1, 0.5, 0.9))
    return Estimate(median, low, high)


def _normal_quantile(share: float) -> float:
    """Return the quantile of the normal distribution for *share*."""
    low, high = -8.0, 8.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        below = ended_share(0.0, 1.0, math.exp(middle)) < share
        low, high = (middle, high) if below else (low, middle)
    return low


def _quantile(groups: list[tuple[TimeLeft, int]], doubt: float, share: float) -> float:
    """Return after how many seconds all have ended with the probability *share*."""
    low, high = math.log(SHORTEST), 25.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        chance = math.fsum(
            weight
            * math.prod(
                left.ended(math.exp(middle - doubt * z)) ** count
                for left, count in groups
            )
            for z, weight in NODES
        )
        low, high = (middle, high) if chance < share else (low, middle)
    return math.exp(low)
