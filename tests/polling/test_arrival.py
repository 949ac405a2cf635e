"""When workflows will have ended: medians and intervals that can be relied on."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Hashable

import attrs
import pytest
from event_loops import Middle
from hypothesis import given, settings
from hypothesis import strategies as s

from linkedapi_async._polling.answers import Ended, StillRunning
from linkedapi_async._polling.arrival import (
    TimeLeft,
    followed,
    last_end,
    shared,
    time_left,
    total_time,
)
from linkedapi_async._polling.durations import (
    ENDS_NEEDED,
    DurationEstimate,
    DurationLearner,
    Estimate,
)
from linkedapi_async._polling.lane import PendingWorkflow
from linkedapi_async._polling.scheduler import OFF_HOURS, PollScheduler
from linkedapi_async.policies import Polling


MINUTE = DurationEstimate(math.log(60), 0.6, 0.0, 0.0)
RUNNING = StillRunning("running")


def left(elapsed: float = 0.0) -> TimeLeft:
    """Return the time left of a workflow that takes about a minute."""
    return TimeLeft(MINUTE.mean, MINUTE.spread, 0.0, 0.0, elapsed)


def drawn(rng: random.Random) -> float:
    """Return a random duration of about a minute."""
    return 60 * math.exp(rng.gauss(0, 0.6))


def inside(found: Estimate, draw: Callable[[], float]) -> tuple[float, float]:
    """Return which shares of drawn times are in the interval and below the median."""
    times = [draw() for _ in range(4000)]
    return (
        sum(found.low <= time <= found.high for time in times) / len(times),
        sum(time < found.median for time in times) / len(times),
    )


@pytest.mark.parametrize("elapsed", [0.0, 20.0, 60.0, 200.0])
@pytest.mark.parametrize("behind", [0, 1, 10])
def test_intervals_have_eight_in_ten(elapsed: float, behind: int) -> None:
    """Eight of ten times are in the interval, half are below the median."""
    rng = random.Random(1)
    lane = left(elapsed)
    if behind:
        lane = followed(lane, MINUTE, behind)

    def draw() -> float:
        """Return the time until the last one of a lane has ended."""
        first = drawn(rng)
        while first <= elapsed:
            first = drawn(rng)
        return first - elapsed + sum(drawn(rng) for _ in range(behind))

    interval, below = inside(last_end([lane]), draw)

    assert interval == pytest.approx(0.8, abs=0.05)
    assert below == pytest.approx(0.5, abs=0.05)


def test_the_last_of_many_lanes() -> None:
    """All lanes have ended when the slowest has."""
    rng = random.Random(2)
    lanes = [*[left(10.0)] * 10, followed(left(), MINUTE, 1)]

    def draw() -> float:
        """Return the time until all lanes have ended."""
        first = [drawn(rng) for _ in range(10)]
        while min(first) <= 10:
            first = [drawn(rng) if time <= 10 else time for time in first]
        return max(max(first) - 10, drawn(rng) + drawn(rng))

    interval, below = inside(last_end(lanes), draw)

    assert interval == pytest.approx(0.8, abs=0.04)
    assert below == pytest.approx(0.5, abs=0.04)


def test_uncertainty_widens_the_interval() -> None:
    """Where the mean is not sure, the interval of many workflows is wider."""
    sure = last_end([followed(left(), MINUTE, 100)])
    unsure = DurationEstimate(MINUTE.mean, MINUTE.spread, 0.2, 0.0)
    found = last_end([followed(left(), unsure, 100)])

    assert found.low < 0.9 * sure.low
    assert 1.1 * sure.high < found.high
    assert found.median == pytest.approx(sure.median, rel=0.05)


def test_uncertain_spread() -> None:
    """Where the spread is not sure, the slowest of many lanes is not either."""
    lanes = [attrs.evolve(left(), spread_error=0.2)] * 50
    sure, unsure = last_end([left()] * 50), last_end(lanes)

    assert unsure.low < 0.95 * sure.low
    assert 1.05 * sure.high < unsure.high
    assert last_end([left()]).median == pytest.approx(last_end(lanes[:1]).median)


def test_nothing_is_left() -> None:
    """Without lanes all have ended already."""
    assert Estimate(0.0, 0.0, 0.0) == last_end([])


@given(s.floats(0, 1e9), s.floats(0.1, 3))
@settings(max_examples=30)
def test_any_age_has_an_estimate(elapsed: float, spread: float) -> None:
    """However long a workflow has run, the times are in order and finite."""
    learner = DurationLearner(None)
    learner.restore([("kind", 20.0, 4.0, spread**2)])
    cases: list[dict[Hashable, float]] = [{}, {"kind": 3}]
    for behind in cases:
        lane = time_left(learner, "kind", elapsed, behind)
        assert lane is not None
        found = last_end([lane])

        assert 0 < found.low < found.median < found.high < math.inf


@given(s.lists(s.floats(0, 3000), max_size=6), s.integers(0, 5), s.integers(1, 500))
@settings(max_examples=30)
def test_sharing_is_even(busy: list[float], idle: int, count: int) -> None:
    """No lane gets work while another has less, and all work is shared out."""
    lanes = [followed(left(), MINUTE, seconds / 60) for seconds in busy]
    found = shared(lanes, idle, MINUTE, count)

    assert max(1, min(idle, count) + len(busy)) == len(found) or not busy
    assert last_end(lanes).median <= last_end(found).median * 1.05
    if not busy:
        each = last_end([followed(left(), MINUTE, max(count / len(found) - 1, 1e-9))])
        assert last_end(found[:1]).median == pytest.approx(each.median, rel=0.05)


def test_sharing_fills_lanes_like_water() -> None:
    """Lanes that end first get more, until all end together."""
    long = followed(left(), MINUTE, 50)
    (first, second) = shared([long], 1, MINUTE, 10)

    assert long.mean == pytest.approx(first.mean)
    assert second.mean < first.mean

    (first, second) = shared([long], 1, MINUTE, 149)

    assert first.mean == pytest.approx(second.mean, abs=0.01)
    assert first.mean == pytest.approx(math.log(100 * MINUTE.expected), abs=0.02)


def test_lanes_that_end_together_are_shared() -> None:
    """Different lanes may have the same time left, such as next to none."""
    lanes = [TimeLeft(mean, 0.1, 0.0, 0.0) for mean in (-20.0, -21.0)]
    first, second = shared(lanes, 0, MINUTE, 2)

    assert first.mean == pytest.approx(MINUTE.mean, abs=1e-3)
    assert second.mean == pytest.approx(MINUTE.mean, abs=1e-3)


def test_one_workflow_needs_one_lane() -> None:
    """Where there are more idle lanes than workflows, the rest stay idle."""
    assert [left()] == shared([], 5, MINUTE, 1)
    assert [left()] * 2 == shared([], 2, MINUTE, 2)


def learnt(*kinds: str) -> DurationLearner:
    """Return what knows that workflows of some kinds take about a minute."""
    learner = DurationLearner(2.5)
    for kind in kinds:
        learner.restore([(kind, 20.0, MINUTE.mean, 0.36)])
    return learner


def test_total_time() -> None:
    """Accounts share workflows of several kinds; each kind must be known."""
    one = total_time(learnt("a", "b"), {"a": 30, "b": 30}, 1)
    six = total_time(learnt("a", "b"), {"a": 30, "b": 30}, 6)

    assert one is not None
    assert six is not None
    assert one.median == pytest.approx(60 * MINUTE.expected, rel=0.05)
    # The slowest of six lanes takes longer than a sixth of all.
    assert 4 < one.median / six.median < 6
    assert total_time(learnt("a"), {"a": 30, "b": 30}, 1) is None
    assert Estimate(0.0, 0.0, 0.0) == total_time(learnt(), {}, 1)


def scheduler(*kinds: str, ordered: bool = True, fresh: bool = True) -> PollScheduler:
    """Return one that knows durations and has a lane of these kinds."""
    found = PollScheduler(Polling(), Middle())
    found.durations.restore([("kind", 20.0, MINUTE.mean, 0.36)])
    for number, kind in enumerate(kinds):
        workflow = PendingWorkflow(str(number), "account", kind=kind)
        found.add(workflow, 0.0, ordered=ordered, fresh=fresh)
    return found


def polled(found: PollScheduler, now: float) -> PendingWorkflow:
    """Return the workflow that is polled next."""
    (workflow,) = found.take(max(now, found.next_poll_at()), 1)
    return workflow


def test_place_in_the_lane() -> None:
    """A workflow ends after those before it; the last one ends with the lane."""
    found = scheduler("kind", "kind", "kind")
    head = polled(found, 0.0)
    found.answered(head, 40.0, RUNNING)
    second = head.behind
    times = [found.eta(w, 40.0) for w in (head, second, second.behind)]
    medians = [time.median for time in times if time is not None]

    assert 3 == len(medians)
    assert sorted(medians) == medians
    assert medians[0] < 60
    assert times[2] == found.eta_of_all(40.0, None, 0, 0)

    more = found.eta_of_all(40.0, "kind", 3, 1)
    assert more is not None
    assert medians[2] <= more.median < medians[2] + 60
    assert found.eta_of_all(40.0, "other", 3, 1) is None


def test_what_is_not_known() -> None:
    """No time is given where the order, a kind or the start of the head is unknown."""
    cases = [
        scheduler("kind", "kind", ordered=False),
        scheduler("kind", fresh=False),
        scheduler("other"),
        scheduler("kind", "other"),
    ]
    held = scheduler("kind")
    held.hold("account", 0.0)
    waits = scheduler("kind")
    waits.answered(polled(waits, 0.0), 30.0, StillRunning("pending", OFF_HOURS))

    for found in (*cases, held, waits):
        assert found.eta_of_all(30.0, None, 0, 1) is None

    known = scheduler("kind", "other")
    head = polled(known, 0.0)
    assert known.eta(head, 30.0) is not None
    assert known.eta(head.behind, 30.0) is None
    known.answered(head, 30.0, Ended(None))
    assert known.eta(head, 30.0) is None
    waits.answered(polled(waits, 60.0), 60.0, RUNNING)
    assert waits.eta_of_all(60.0, None, 0, 1) is not None


def test_few_ends_say_nothing() -> None:
    """Before five ends of a kind its duration is not known."""
    learner = DurationLearner(None)
    for _ in range(ENDS_NEEDED - 1):
        learner.observe("kind", 60, 60)

    assert learner.duration("kind") is None

    learner.observe("kind", 60, 60)
    few = learner.duration("kind")
    for _ in range(40):
        learner.observe("kind", 60, 60)
    many = learner.duration("kind")

    assert few is not None
    assert many is not None
    assert many.uncertainty < few.uncertainty
