"""Webhook events and polls in one wait: which is first, and how many polls it takes."""

from __future__ import annotations

import asyncio
import math
import random
import statistics
from collections.abc import Callable

import attrs
import pytest
from event_loops import Middle, run_virtual
from hypothesis import given, settings
from hypothesis import strategies as s

from linkedapi_async._polling.answers import Ended, PollAnswer, PollFailed, StillRunning
from linkedapi_async._polling.lane import PendingWorkflow
from linkedapi_async._polling.poller import Poller
from linkedapi_async._polling.scheduler import PollScheduler
from linkedapi_async._polling.webhook_health import (
    ENOUGH,
    GRACE,
    MOST,
    STRETCH,
    WebhookHealth,
)
from linkedapi_async.policies import Polling


EVEN = Polling(growth=1, jitter=0)


@attrs.define
class Run:
    """What happens to one workflow, and when that was noticed."""

    workflow: PendingWorkflow
    begins: float
    ends: float
    noticed: float = math.nan


class Platform:
    """Accounts that run their workflows in order, and send events.

    Args:
        seed: Seed of the durations and of the delivery of events.
        median: Median duration of a workflow, in seconds.
        deliver: Takes a random source and returns the delays, in seconds, of the
            deliveries of one event: none if it is lost, two if it is doubled.
        fat: Whether the events contain results.
    """

    def __init__(
        self,
        deliver: Callable[[random.Random], list[float]],
        *,
        seed: int = 1,
        median: float = 25.0,
        fat: bool = True,
    ) -> None:
        self.rng = random.Random(seed)
        self.median = median
        self.deliver = deliver
        self.fat = fat
        self.runs: dict[str, Run] = {}
        self.silent_from = math.inf
        self.deaf = False

    async def play(self, accounts: int, each: int, polling: Polling) -> Poller:
        """Run all workflows; every wait gets its result."""
        self.loop = asyncio.get_running_loop()
        self.poller = poller = Poller(
            self.poll, polling, on_finish=self.finish, rng=random.Random(2)
        )
        poller.start()
        if not self.deaf:
            poller.listen()
        for account in range(accounts):
            free = self.loop.time()
            for n in range(each):
                workflow = PendingWorkflow(f"{account}-{n}", account)
                long = self.median * math.exp(0.6 * self.rng.gauss(0, 1))
                run = self.runs[workflow.id] = Run(workflow, free, free + long)
                free = run.ends
                self.plan(run.begins, poller.event_started, workflow)
                self.plan(run.ends, self.on_finished, workflow)
                poller.watch(workflow)
        ends = await asyncio.gather(
            *(poller.wait(run.workflow, math.inf) for run in self.runs.values())
        )

        assert [*self.runs] == [end.value for end in ends]
        await poller.aclose(lambda _: RuntimeError())
        return poller

    def plan(
        self,
        when: float,
        report: Callable[[PendingWorkflow], object],
        workflow: PendingWorkflow,
    ) -> None:
        """Deliver an event, as often and as late as *deliver* says."""
        delays = self.deliver(self.rng)
        if when < self.silent_from:
            for delay in delays:
                self.loop.call_at(when + delay, report, workflow)

    def on_finished(self, workflow: PendingWorkflow) -> None:
        """Handle the event of an end."""
        if workflow.end is None:
            end = Ended(workflow.id, "completed") if self.fat else None
            self.poller.event_finished(workflow, end)
        else:
            self.poller.event_confirmed(workflow.id)

    async def poll(self, workflow: PendingWorkflow) -> PollAnswer:
        """Answer a poll."""
        run, now = self.runs[workflow.id], self.loop.time()
        if now >= run.ends:
            return Ended(workflow.id, "completed")
        return StillRunning("running" if now >= run.begins else "pending")

    def finish(self, workflow: PendingWorkflow) -> None:
        """Record when the end of a workflow was noticed."""
        self.runs[workflow.id].noticed = self.loop.time()

    @property
    def detection_delays(self) -> list[float]:
        """How late each end was noticed, in seconds."""
        return [run.noticed - run.ends for run in self.runs.values()]


def at_once(_: random.Random) -> list[float]:
    """Deliver every event once, within a moment."""
    return [0.1]


def never(_: random.Random) -> list[float]:
    """Deliver nothing."""
    return []


def badly(rng: random.Random) -> list[float]:
    """Lose a tenth, double a tenth, and let them overtake each other."""
    if rng.random() < 0.1:
        return []
    times = 2 if rng.random() < 0.1 else 1
    return [rng.expovariate(1 / 3) for _ in range(times)]


def polls_per_workflow(
    platform: Platform,
    accounts: int = 10,
    each: int = 100,
    polling: Polling | None = None,
) -> float:
    """Return the mean number of polls per workflow."""
    poller = run_virtual(platform.play(accounts, each, polling or Polling()))
    return poller.polls / (accounts * each)


def test_healthy_events_save_most_polls() -> None:
    """A workflow costs a fifth of a poll at most, and its end is noticed at once."""
    platform = Platform(at_once)

    assert polls_per_workflow(platform) <= 0.2
    assert statistics.median(platform.detection_delays) < 0.2


def test_long_workflows_take_no_more_polls() -> None:
    """The wait of a head grows with the usual duration of workflows."""
    assert polls_per_workflow(Platform(at_once, median=400), 20, 50) <= 0.35


def test_thin_events_cost_one_poll() -> None:
    """Results that are not in the events are fetched once."""
    assert 1 <= polls_per_workflow(Platform(at_once, fat=False)) <= 1.2


@pytest.mark.no_cover
def test_dead_webhooks_change_nothing() -> None:
    """Without any event, polls are exactly as without webhooks."""
    deaf = Platform(never)
    deaf.deaf = True

    assert polls_per_workflow(Platform(never)) == polls_per_workflow(deaf)


@pytest.mark.parametrize("fat", [True, False], ids=["fat", "thin"])
def test_bad_delivery_costs_requests_only(fat: bool) -> None:
    """Lost, late, doubled and reordered events: every end is noticed, soon, once."""
    platform = Platform(badly, fat=fat)

    assert polls_per_workflow(platform) <= 2.5
    assert statistics.quantiles(platform.detection_delays, n=100)[98] < 300


def test_silence_is_noticed() -> None:
    """When the webhooks die, lanes are polled again as without them."""
    platform = Platform(at_once)
    platform.silent_from = 1_500.0
    polls_per_workflow(platform)
    late = [run for run in platform.runs.values() if run.ends > 2_000]

    assert len(late) > 100
    assert statistics.median(run.noticed - run.ends for run in late) < 6


def test_trust_is_earned_and_lost() -> None:
    """Three events earn trust; two that stay missing end it."""
    health = WebhookHealth()
    earned = []
    for _ in range(100):
        health.event_first()
        earned.append(health.earned)
    assert [False] * (ENOUGH - 1) == earned[: ENOUGH - 1]
    assert all(earned[ENOUGH - 1 :])

    health.poll_first("wf-1", "account", 0.0)
    health.poll_first("wf-2", "account", 1.0)

    assert [False, False, True, False] == [
        health.settle(now) for now in (GRACE / 2, GRACE, GRACE + 1, GRACE + 2)
    ]


def test_a_late_event_is_not_missing() -> None:
    """An event within a minute counts as if it had come in time."""
    health = WebhookHealth()
    for _ in range(ENOUGH):
        health.poll_first("wf-1", "account", 0.0)
        assert "account" == health.confirm("wf-1")
    assert health.earned
    assert health.confirm("wf-1") is None
    assert not health.settle(2 * GRACE)
    assert health.earned


@given(s.lists(s.floats(0, 1e6), max_size=50), s.floats(0.01, 1e4))
def test_the_stretch_is_bounded(seconds: list[float], tail: float) -> None:
    """The wait for a head is at least that of a tail, and bounded."""
    health = WebhookHealth()
    for long in seconds:
        health.observe_duration(long)

    assert 1 <= health.poll_stretch(tail) <= STRETCH


def test_the_first_end_counts() -> None:
    """Of two ends of one workflow, the first is kept."""

    async def report() -> object:
        """Report two ends."""
        poller = Poller(Platform(never).poll, EVEN)
        poller.start()
        poller.listen()
        workflow = PendingWorkflow("wf-1", "a")
        poller.watch(workflow)
        for end in ("first", "second"):
            poller.event_finished(workflow, Ended(end))
        await poller.aclose(lambda _: RuntimeError())
        return workflow.end and workflow.end.value

    assert "first" == run_virtual(report())


def play(lanes: PollScheduler, count: int, account: str = "a") -> list[PendingWorkflow]:
    """Fill a lane whose events are trusted."""
    workflows = [PendingWorkflow(f"wf-{n}", account) for n in range(count)]
    lanes.listen()
    assert lanes._webhook_health is not None
    for _ in range(MOST):
        lanes._webhook_health.event_first()
    for workflow in workflows:
        lanes.add(workflow, 0.0)
    return workflows


def test_an_event_of_the_next_expects_the_end_of_the_head() -> None:
    """If the second runs, the first has ended: it is polled after a short grace."""
    lanes = PollScheduler(EVEN, Middle())
    first, second = play(lanes, 2)
    lanes.event_started(second, 50.0)

    assert [] == lanes.take(50.0 + EVEN.interval / 2, 9)
    assert [first] == lanes.take(50.0 + EVEN.interval, 9)
    assert "running" == second.status


def test_an_event_of_the_head_changes_no_timer() -> None:
    """The head was running anyway."""
    lanes = PollScheduler(EVEN, Middle())
    first, _ = play(lanes, 2)
    lanes.event_started(first, 50.0)

    assert [] == lanes.take(EVEN.queued_interval - 1, 9)
    assert "running" == first.status


def test_an_event_out_of_order_gives_the_head_a_moment() -> None:
    """Reordered events cost no poll if the other one comes soon."""
    lanes = PollScheduler(EVEN, Middle())
    first, second, third = play(lanes, 3)
    lanes.event_finished(second, 50.0)
    lanes.event_finished(first, 51.0)

    assert [] == lanes.take(60.0, 9)
    assert lanes._lanes["a"].head is third
    assert 0 == lanes.out_of_order


def test_the_runner_of_an_unordered_lane_is_believed() -> None:
    """An event decides which workflow is the head where the order is unknown."""
    lanes = PollScheduler(EVEN, Middle())
    lanes.listen()
    workflows = [PendingWorkflow(f"wf-{n}", "a") for n in range(3)]
    for workflow in workflows:
        lanes.add(workflow, 0.0, ordered=False)
    lanes.event_started(workflows[2], 1.0)

    assert lanes._lanes["a"].head is workflows[2]


def test_unordered_lanes_rely_on_events_too() -> None:
    """Attached workflows are rarely polled too, once each was polled."""
    lanes = PollScheduler(EVEN, Middle())
    play(lanes, 0)
    workflows = [PendingWorkflow(f"wf-{n}", "a") for n in range(3)]
    for workflow in workflows:
        lanes.add(workflow, 0.0, ordered=False)
    (polled,) = lanes.take(0.0, 9)
    lanes.answered(polled, 0.0, StillRunning("running"))
    assert [] == lanes.take(EVEN.queued_interval - 1, 9)
    lanes.event_finished(workflows[1], 10.0)
    assert [] == lanes.take(EVEN.queued_interval - 1, 9)

    assert 1 == len(lanes.take(EVEN.queued_interval + 10, 9))


def test_a_failed_poll_after_an_event_is_repeated_soon() -> None:
    """An end that could not be fetched is polled at full cadence."""
    lanes = PollScheduler(EVEN, Middle())
    first, _ = play(lanes, 2)
    lanes.expect_end(first)
    (polled,) = lanes.take(5.0, 9)
    lanes.answered(polled, 5.0, PollFailed(OSError()))

    assert first is polled
    assert not lanes._calm(lanes._lanes["a"])


def test_events_of_unwatched_workflows() -> None:
    """Events of workflows that are no longer watched change nothing."""
    lanes = PollScheduler(EVEN, Middle())
    first, second = play(lanes, 2)
    lanes.remove(first, 1.0)
    lanes.event_finished(first, 2.0)
    lanes.expect_end(first)
    lanes.event_started(first, 2.0)

    lanes.event_confirmed("wf-0")

    assert lanes._lanes["a"].head is second


def test_events_without_listening() -> None:
    """Without listening, events change no cadence."""
    lanes = PollScheduler(EVEN, Middle())
    workflow = PendingWorkflow("wf-0", "a")
    lanes.add(workflow, 0.0)
    lanes.expect_end(workflow)
    lanes.stop_listening(0.0)
    lanes.event_confirmed("wf-0")

    assert [workflow] == lanes.take(0.0, 9)


def test_a_late_event_restores_the_trust_of_its_lane() -> None:
    """A lane distrusts events from a poll that was first until the event comes."""
    lanes = PollScheduler(EVEN, Middle())
    first, _ = play(lanes, 2)
    lanes.expedite(first)
    lanes.take(1.0, 9)
    lanes.answered(first, 1.0, Ended("done"))
    distrusts = []
    for _ in range(2):
        distrusts.append(lanes._lanes["a"].distrusts_events)
        lanes.event_confirmed("wf-0")

    assert [True, False] == distrusts


def test_a_late_event_of_an_empty_lane() -> None:
    """The lane may no longer exist when the event comes."""
    lanes = PollScheduler(EVEN, Middle())
    (only,) = play(lanes, 1)
    lanes.expedite(only)
    lanes.take(1.0, 9)
    lanes.answered(only, 1.0, Ended("done"))

    lanes.event_confirmed("wf-0")

    assert 0 == len(lanes)


@pytest.mark.parametrize("how", ["closed", "lost"])
def test_lanes_resume_polling(how: str) -> None:
    """Once events are no longer trusted, heads are polled within *max_interval*."""
    lanes = PollScheduler(EVEN, random.Random(1))
    play(lanes, 2)
    other = PendingWorkflow("other", "b")
    lanes.add(other, 0.0)
    if how == "closed":
        lanes.stop_listening(1.0)
    else:
        for n in range(3):
            found = PendingWorkflow(f"found-{n}", f"c{n}")
            lanes.add(found, 1.0)
            lanes.expedite(found)
            lanes.take(1.0, 9)
            lanes.answered(found, 1.0 + n * 2 * GRACE, Ended("done"))
    now = 1.0 if how == "closed" else 1.0 + 4 * GRACE

    assert {"wf-0", "other"} == {t.id for t in lanes.take(now + EVEN.max_interval, 9)}


@settings(max_examples=30, deadline=None)
@given(
    seed=s.integers(0, 10_000),
    lose=s.floats(0, 1),
    slow=s.floats(0, 200),
    accounts=s.integers(1, 4),
    each=s.integers(1, 25),
    fat=s.booleans(),
)
def test_events_never_lose_an_end(
    *, seed: int, lose: float, slow: float, accounts: int, each: int, fat: bool
) -> None:
    """However events come, every wait ends with its own result."""

    def deliver(rng: random.Random) -> list[float]:
        """Lose, double and delay."""
        times = 0 if rng.random() < lose else rng.choice([1, 1, 2])
        return [rng.random() * slow for _ in range(times)]

    platform = Platform(deliver, seed=seed, fat=fat)
    run_virtual(platform.play(accounts, each, Polling()))

    assert max(platform.detection_delays) < 10 * STRETCH * 120
