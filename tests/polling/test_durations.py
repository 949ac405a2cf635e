"""What is learnt about durations, and the polls that follow from it."""

from __future__ import annotations

import math
import random
import statistics
from itertools import pairwise

import pytest
from event_loops import Middle
from hypothesis import given, settings
from hypothesis import strategies as s

from linkedapi_async._polling.answers import Ended, PollFailed, StillRunning
from linkedapi_async._polling.durations import (
    ENDS_NEEDED,
    MAX_KINDS,
    DurationLearner,
    poll_times,
)
from linkedapi_async._polling.lane import PendingWorkflow
from linkedapi_async._polling.scheduler import OFF_HOURS, PollScheduler
from linkedapi_async.policies import Polling


RUNNING = StillRunning("running")
POLLING = Polling()


def learnt(kind: str, median: float, spread: float, ends: int = 20) -> DurationLearner:
    """Return what is learnt from evenly drawn log-normal durations."""
    durations = DurationLearner(2.0)
    normal = statistics.NormalDist(math.log(median), spread)
    values = [normal.inv_cdf((n + 0.5) / ends) for n in range(ends)]
    random.Random(1).shuffle(values)
    for value in values:
        durations.observe(kind, math.exp(value), math.exp(value))
    return durations


def run(
    seconds: list[float], polling: Polling = POLLING, kind: object = "kind"
) -> list[tuple[int, float]]:
    """Run workflows one after another; return the polls and the delay of each."""
    scheduler, now, runs = PollScheduler(polling, random.Random(1)), 0.0, []
    for number, duration in enumerate(seconds):
        workflow = PendingWorkflow(str(number), "account", kind=kind)
        scheduler.add(workflow, now)
        end, polls = now + duration, 0
        while scheduler:
            now = scheduler.next_poll_at()
            for polled in scheduler.take(now, 1):
                polls += 1
                scheduler.answered(polled, now, Ended(None) if end <= now else RUNNING)
        runs.append((polls, now - end))
    return runs


def drawn(median: float, count: int, seed: int = 1) -> list[float]:
    """Return random durations."""
    rng = random.Random(seed)
    return [median * math.exp(rng.gauss(0, 0.6)) for _ in range(count)]


@given(mean=s.floats(-3, 12), spread=s.floats(0.1, 3), late_cost=s.floats(0.001, 1000))
@settings(max_examples=50, deadline=None)
def test_poll_times_go_forward(mean: float, spread: float, late_cost: float) -> None:
    """A schedule begins after the start, and each poll comes after the one before."""
    times = poll_times(mean, spread, late_cost)

    assert 2 <= len(times)
    assert all(a < b for a, b in pairwise([0.0, *times]))


def test_expected_delay_is_worth_one_request() -> None:
    """Between two polls, the expected delay costs as much as one request."""
    rng, times = random.Random(1), poll_times(math.log(60), 0.6, 2.0)
    values = [60 * math.exp(rng.gauss(0, 0.6)) for _ in range(20_000)]
    for before, after in pairwise([0.0, *times[:8]]):
        alive = [value for value in values if value > before]
        delay = sum(max(0.0, after - value) for value in alive) / len(alive)

        assert 0.5 == pytest.approx(delay, abs=0.1)


def test_too_few_ends() -> None:
    """Nothing is said about a kind before enough of its workflows have ended."""
    durations = learnt("kind", 60, 0.6, ENDS_NEEDED - 1)
    durations.observe_unfinished("kind", 600)

    assert durations.wait("kind", 0) is None

    durations.observe("kind", 60, 60)

    assert durations.wait("kind", 0) == durations.first_poll("kind") is not None
    assert durations.wait("another", 0) is None


def test_wait_follows_the_schedule() -> None:
    """A poll at a planned time is followed by the next, also far behind the last."""
    durations = learnt("kind", 60, 0.6)
    times = durations._times("kind")
    assert times is not None
    for time, after in pairwise([0.0, *times[:-1]]):
        assert after - time == pytest.approx(durations.wait("kind", time))
    last = durations.wait("kind", times[-2])
    assert last is not None
    assert 2 * last == pytest.approx(durations.wait("kind", 4 * times[-2]))


def test_estimates_are_honest() -> None:
    """Eight of ten further durations are in the interval, half below the median."""
    learner, values = learnt("kind", 60, 0.6), drawn(60, 2000)
    few = learnt("kind", 60, 0.6, ENDS_NEEDED - 1)
    found = learner.estimate("kind")

    assert found is not None
    inside = statistics.mean(found.low <= value <= found.high for value in values)
    assert 0.75 < inside < 0.85
    assert 0.45 < statistics.mean(value <= found.median for value in values) < 0.55
    assert few.estimate("kind") is None
    assert learner.estimate("another") is None


def test_kinds_are_told_apart() -> None:
    """Short and long workflows wait for their own time."""
    durations = learnt("short", 20, 0.3)
    for value in drawn(600, 20):
        durations.observe("long", value, value)
    short, long = durations.first_poll("short"), durations.first_poll("long")

    assert short is not None
    assert long is not None
    assert 5 < short < 20
    assert 80 < long


def test_unfinished_workflows_count() -> None:
    """A workflow that ran longer than most, unfinished, makes the waits longer."""
    durations = learnt("kind", 60, 0.6)
    before = durations.first_poll("kind")
    durations.observe_unfinished("kind", 1)
    durations.observe_unfinished("kind", 0)
    assert before == durations.first_poll("kind")
    for _ in range(3):
        durations.observe_unfinished("kind", 200)

    after = durations.wait("kind", 100)
    assert after is not None
    assert after > (learnt("kind", 60, 0.6).wait("kind", 100) or 0)


def test_memory_is_constant() -> None:
    """The kinds whose last ends are oldest are forgotten."""
    durations = DurationLearner(2.0)
    for _ in range(ENDS_NEEDED):
        durations.observe("first", 60, 60)
    for number in range(MAX_KINDS - 1):
        durations.observe(number, 60, 60)
    assert durations.wait("first", 0) is not None
    durations.observe("first", 60, 60)
    durations.observe("new", 60, 60)
    durations.observe("newer", 60, 60)

    assert MAX_KINDS == len(durations._kinds)
    assert durations.wait("first", 0) is not None


def test_first_ends_are_polled_as_ever() -> None:
    """Before enough is learnt, polls come as without learning."""
    seconds = drawn(60, ENDS_NEEDED)

    assert run(seconds, kind=None) == run(seconds)


def test_without_late_cost_no_poll_depends_on_it() -> None:
    """`late_cost=None` and `Polling.fixed` always poll by their intervals."""
    seconds = drawn(60, 30)

    assert run(seconds, kind=None) == run(seconds, Polling(late_cost=None))
    assert Polling.fixed(5).late_cost is None


@pytest.mark.parametrize(
    ("median", "polls", "delay"), [(25, 5.7, 3.4), (181, 16, 9.0), (1200, 42, 22)]
)
def test_learnt_polls_cost_less(median: float, polls: float, delay: float) -> None:
    """After twenty ends, few polls find an end soon."""
    runs = run(drawn(median, 120))[20:]

    assert statistics.mean(count for count, _ in runs) <= polls
    assert statistics.mean(late for _, late in runs) <= delay


@pytest.mark.parametrize(("before", "after"), [(25, 250), (250, 25), (1200, 120)])
def test_changes_are_followed(before: float, after: float) -> None:
    """Ten times slower or faster: within 20 ends the delay is twice the usual."""
    late = statistics.mean(
        late
        for seed in range(12)
        for _, late in run(drawn(before, 20, seed) + drawn(after, 20, seed + 99))[35:]
    )
    usual = statistics.mean(late for _, late in run(drawn(after, 120))[20:])

    assert late <= 2 * usual


@given(s.lists(s.floats(0.01, 1e5), min_size=1, max_size=30), s.floats(0.01, 100))
@settings(max_examples=50, deadline=None)
def test_no_wait_is_too_long(seconds: list[float], late_cost: float) -> None:
    """Whatever was learnt, a head is polled every *queued_interval* at least."""
    durations = DurationLearner(late_cost)
    for value in seconds:
        durations.observe("kind", 0, value)
    for elapsed in (0.0, 1.0, *seconds):
        wait = durations.wait("kind", elapsed)
        if wait is not None:
            bounded = POLLING.bounded_wait(wait, random.Random(1))

            assert 0.8 * POLLING.interval <= bounded <= POLLING.queued_interval


def learn(scheduler: PollScheduler) -> float:
    """Let a scheduler learn that workflows take about a minute; return the time."""
    now = 0.0
    for number in range(ENDS_NEEDED):
        workflow = PendingWorkflow(f"learnt-{number}", "account", kind="kind")
        scheduler.add(workflow, now)
        now += 60
        scheduler.event_finished(workflow, now)
    return now


def test_promotion_needs_no_poll() -> None:
    """A head that has just started, certainly, is not polled on its promotion."""
    scheduler = PollScheduler(POLLING, Middle())
    now = learn(scheduler)
    workflows = [PendingWorkflow(str(n), "account", kind="kind") for n in range(3)]
    for workflow in workflows:
        scheduler.add(workflow, now)
    for time, answer in ((now + 58, RUNNING), (now + 60, Ended(None))):
        scheduler.expedite(workflows[0])
        scheduler.take(time, 1)
        scheduler.answered(workflows[0], time, answer)

    assert [] == scheduler.take(now + 65, 9)

    # Nothing is known of the time before this end: the next may have ended, too.
    scheduler.expedite(workflows[1])
    scheduler.take(now + 119, 1)
    scheduler.answered(workflows[1], now + 119, Ended(None))

    assert [workflows[2]] == scheduler.take(now + 119, 9)


def test_failed_polls_back_off() -> None:
    """Failed polls are repeated no sooner than without learning."""
    scheduler = PollScheduler(POLLING, Middle())
    now = learn(scheduler)
    workflow = PendingWorkflow("a", "account", kind="kind")
    scheduler.add(workflow, now)
    waits = []
    for _ in range(40):
        now = scheduler.next_poll_at()
        scheduler.take(now, 1)
        scheduler.answered(workflow, now, PollFailed(OSError()))
        waits.append(scheduler.next_poll_at() - now)

    assert POLLING.max_interval <= min(waits[-5:])


def test_off_hours_do_not_count() -> None:
    """A workflow starts when the working hours begin."""
    scheduler = PollScheduler(POLLING, Middle())
    now = learn(scheduler)
    workflow = PendingWorkflow("a", "account", kind="kind")
    scheduler.add(workflow, now)
    for answer in (StillRunning("pending", OFF_HOURS), RUNNING):
        now += 3600
        scheduler.take(now, 1)
        scheduler.answered(workflow, now, answer)

    assert now + 20 < scheduler.next_poll_at()

    scheduler.remove(workflow, now + 30)

    assert 0 == len(scheduler)
