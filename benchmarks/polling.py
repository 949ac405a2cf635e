"""Count what waiting costs: requests per workflow, and how late an end is noticed.

Virtual time, one account, seeded: `python benchmarks/polling.py`. The pure scheduler is
driven against a simulated account that runs its queue in order. The second table has
the frontier: the best possible schedule for known durations, and what is learnt. The
third one has how many ends are in the intervals that were given for them.
"""

from __future__ import annotations

import math
import random
import sys
import time
from bisect import bisect_right
from collections import deque
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple

from linkedapi_async._polling.answers import Ended, StillRunning
from linkedapi_async._polling.lane import PendingWorkflow
from linkedapi_async._polling.scheduler import PollScheduler
from linkedapi_async.policies import Polling


if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


MEDIAN: Final = 25.0
SIGMA: Final = 0.6
LATENCY: Final = 0.2
"""Round trip of one poll, in seconds."""

SEEDS: Final = {1: 2000, 10: 200, 100: 30, 1000: 6}
OFFICIAL_INTERVAL: Final = 5.0

FRONTIER: Final = ((25.0, 0.6), (60.0, 0.6), (181.0, 0.6), (181.0, 1.0), (1200.0, 0.6))
"""Medians in seconds and spreads of log-normal durations."""

FRONTIER_SEEDS: Final = 60
FRONTIER_LIMIT: Final = 1.15
"""Requests after 20 ends, in those of the best possible schedule of equal delay."""


COVERAGE: Final = (0.75, 0.85)
"""Which share of ends are in their interval, which is for eight cases in ten."""

COVERAGE_MEDIAN: Final = 60.0
COVERAGE_SEEDS: Final = 120
QUEUED: Final = (1, 3, 10, 50)


class Scenario(NamedTuple):
    """Who is in the queue, and what is known about it."""

    name: str
    exact: bool
    """Whether the API tells pending from running (Linked API; Account API: not)."""

    foreign: bool = False
    """Whether half of the queue belongs to another program."""

    attached: bool = False
    """Whether the ids were attached."""

    shuffled: bool = False
    """Whether that happened in random order."""

    max_polls: float = 7.0
    """Limit of the requests per workflow."""

    max_delay: float = math.inf
    """Limit of the mean detection delay in seconds."""


SCENARIOS: Final = (
    Scenario("own starts, Linked API", exact=True, max_delay=3.0),
    Scenario("own starts, Account API", exact=False, max_delay=3.0),
    Scenario("half foreign, Linked API", exact=True, foreign=True, max_polls=12.0),
    Scenario("half foreign, Account API", exact=False, foreign=True, max_polls=12.0),
    Scenario("attached in order, Linked API", exact=True, attached=True, max_delay=3.0),
    Scenario(
        "attached in order, Account API", exact=False, attached=True, max_delay=3.0
    ),
    Scenario(
        "attached, shuffled, Linked API",
        exact=True,
        attached=True,
        shuffled=True,
        max_polls=12.0,
    ),
    Scenario(
        "attached, shuffled, Account API",
        exact=False,
        attached=True,
        shuffled=True,
        max_polls=12.0,
    ),
)

RANDOM_LIMIT: Final = 1.15
"""Delay of shuffled ids, in that of the best round robin of equal requests."""


class Account:
    """A simulated account: its queue, and what it answers when."""

    def __init__(self, scenario: Scenario, n: int, rng: random.Random) -> None:
        self.exact = scenario.exact
        queue: list[PendingWorkflow | None] = [
            PendingWorkflow(f"wf-{i}", "account", kind="kind") for i in range(n)
        ]
        self.workflows = [workflow for workflow in queue if workflow]
        if scenario.foreign:
            queue += [None] * n
            rng.shuffle(queue)
            ours = iter(self.workflows)
            queue = [workflow and next(ours) for workflow in queue]
        durations = [MEDIAN * math.exp(SIGMA * rng.gauss(0, 1)) for _ in queue]
        self.ends = list(accumulate(durations))
        self.turns = {t: turn for turn, t in enumerate(queue) if t is not None}
        if scenario.shuffled:
            rng.shuffle(self.workflows)

    def end(self, workflow: PendingWorkflow) -> float:
        """Return when *workflow* ends."""
        return self.ends[self.turns[workflow]]

    def poll(self, workflow: PendingWorkflow, now: float) -> StillRunning | Ended:
        """Return the state of *workflow*."""
        if self.end(workflow) <= now:
            return Ended(workflow.id, "completed")
        runs = bisect_right(self.ends, now) == self.turns[workflow]
        return StillRunning("running" if runs or not self.exact else "pending")


def drive(scenario: Scenario, n: int, seed: int) -> tuple[float, float]:
    """Return requests per workflow and the mean detection delay of one run."""
    rng = random.Random(seed)
    account = Account(scenario, n, rng)
    lanes = PollScheduler(Polling(), rng)
    for workflow in account.workflows:
        lanes.add(
            workflow, 0.0, ordered=not scenario.shuffled, fresh=not scenario.attached
        )
    polls, late, now = 0, 0.0, 0.0
    while lanes:
        now = max(now, lanes.next_poll_at())
        for workflow in lanes.take(now, 1):
            polls += 1
            answer = account.poll(workflow, now + LATENCY / 2)
            now += LATENCY
            if lanes.answered(workflow, now, answer):
                late += now - account.end(workflow)
    return polls / n, late / n


def round_robin(n: int, seed: int, interval: float) -> tuple[float, float]:
    """Return requests per workflow and mean delay of polling shuffled ids in turn.

    Of workflows in random order, any may be the next to end, so that no choice is better
    than the one polled longest ago. The delay is least if the rate of polls falls with
    the root of the number of workflows.

    Args:
        n: The number of workflows.
        seed: The seed, as for `drive`.
        interval: The time in seconds between two polls at first.
    """
    account = Account(SCENARIOS[-1], n, random.Random(seed))
    waiting, polls, late, now = deque(account.workflows), 0, 0.0, 0.0
    while waiting:
        workflow = waiting.popleft()
        polls += 1
        now += LATENCY
        if account.end(workflow) <= now - LATENCY / 2:
            late += now - account.end(workflow)
        else:
            waiting.append(workflow)
        if waiting:
            now += max(0.0, interval * math.sqrt(n / len(waiting)) - LATENCY)
    return polls / n, late / n


def least_delay(n: int, seeds: int, polls: float) -> float:
    """Return the mean delay of the best round robin with *polls* per workflow."""
    late, low, high = math.nan, 0.5, 20.0
    for _ in range(12):
        interval = math.sqrt(low * high)
        runs = [round_robin(n, seed, interval) for seed in range(seeds)]
        found, late = mean([run[0] for run in runs]), mean([run[1] for run in runs])
        low, high = (interval, high) if found > polls else (low, interval)
    return late


def official(n: int, seed: int) -> float:
    """Return the requests per workflow of polling every id at the official interval."""
    account = Account(SCENARIOS[0], n, random.Random(seed))
    return sum(math.ceil(end / OFFICIAL_INTERVAL) for end in account.ends) / n


def poll_alone(
    durations: list[float], seed: int, polling: Polling
) -> list[tuple[int, float]]:
    """Run workflows of one kind one by one; return the polls and delay of each."""
    scheduler, now, runs = PollScheduler(polling, random.Random(seed)), 0.0, []
    for number, seconds in enumerate(durations):
        workflow = PendingWorkflow(str(number), "account", kind=seed)
        scheduler.add(workflow, now)
        end, polls = now + seconds, 0
        while scheduler:
            now = scheduler.next_poll_at()
            scheduler.take(now, 1)
            polls += 1
            ended = end <= now + LATENCY / 2
            now += LATENCY
            answer = Ended(None) if ended else StillRunning("running")
            scheduler.answered(workflow, now, answer)
        runs.append((polls, now - LATENCY / 2 - end))
    return runs


class LogNormal(NamedTuple):
    """Durations whose logarithm is normal."""

    median: float
    spread: float

    def draw(self, rng: random.Random) -> float:
        """Return one duration in seconds."""
        return self.median * math.exp(self.spread * rng.gauss(0, 1))

    def ended(self, seconds: float) -> tuple[float, float]:
        """Return the share that has ended by then, and the mean of these times it."""
        if seconds <= 0:
            return 0.0, 0.0
        z = math.log(seconds / self.median) / self.spread
        expected = self.median * math.exp(self.spread**2 / 2)
        return _normal(z), expected * _normal(z - self.spread)

    def cost(self, times: Iterable[float]) -> tuple[float, float]:
        """Return the mean polls and delay of a schedule."""
        polls = delay = before = mass = 0.0
        for number, seconds in enumerate(times, 1):
            share, mean_mass = self.ended(seconds)
            polls += number * (share - before)
            delay += seconds * (share - before) - (mean_mass - mass)
            before, mass = share, mean_mass
            if share > 1 - 1e-7:
                break
        return polls, delay

    def best(self, late_cost: float, points: int = 1200) -> list[float]:
        """Return the schedule of least cost, by dynamic programming over time."""
        last = self.median * math.exp(4 * self.spread)
        grid = [last * point / points for point in range(points + 1)]
        ended = [self.ended(seconds) for seconds in grid]
        least, following = [0.0] * (points + 1), [points] * (points + 1)
        for i in range(points - 1, -1, -1):
            share, mass = ended[i]
            best = math.inf
            for j in range(i + 1, points + 1):
                late = grid[j] * (ended[j][0] - share) - (ended[j][1] - mass)
                cost = 1 - share + late_cost * late
                if cost >= best:
                    break
                if cost + least[j] < best:
                    best, following[i] = cost + least[j], j
            least[i] = best
        times, at = list[float](), 0
        while at < points:
            at = following[at]
            times.append(grid[at])
        return times

    def best_at(self, delay: float) -> float:
        """Return the least polls per workflow at a mean *delay* in seconds."""
        polls, low, high = math.nan, 0.05, 50.0
        for _ in range(9):
            late_cost = math.sqrt(low * high)
            polls, late = self.cost(self.best(late_cost))
            low, high = (late_cost, high) if late > delay else (low, late_cost)
        return polls


def _normal(z: float) -> float:
    """Return the distribution function of the normal distribution."""
    return 0.5 * math.erfc(-z / math.sqrt(2))


def google_times() -> Iterator[float]:
    """Return when Google's clients poll an operation: 1 s, growing by half to 20 s."""
    return accumulate(min(1.5**n, 20.0) for n in range(10_000))


def averages(
    laws: Sequence[LogNormal], each: int, spans: Sequence[range]
) -> list[tuple[float, float]]:
    """Return mean polls and delay of the workflows of each span.

    Args:
        laws: How long workflows take: these in turn, and the last for the rest.
        each: How many workflows follow one law before the next begins.
        spans: Numbers of workflows.
    """
    count = max(span.stop for span in spans)
    runs = []
    for seed in range(FRONTIER_SEEDS):
        rng = random.Random(seed)
        durations = [
            laws[min(number // each, len(laws) - 1)].draw(rng)
            for number in range(count)
        ]
        runs.append(poll_alone(durations, seed, Polling()))
    return [
        (
            mean([run[n][0] for run in runs for n in span]),
            mean([run[n][1] for run in runs for n in span]),
        )
        for span in spans
    ]


def cells(figures: Iterable[tuple[float, float]]) -> str:
    """Return pairs of polls and delay as columns."""
    return "".join(f"{f'{p:.1f} ({d:.1f})':>14}" for p, d in figures)


def frontier() -> bool:
    """Print the table of learnt schedules; return whether a figure misses its limit."""
    print(
        "\nGETs per workflow (mean detection delay in seconds), one workflow at a time"
    )
    heads = ("fixed 5 s", "Google's", "first", "after 5", "after 20", "after 100")
    print(f"{'median, spread':22}" + "".join(f"{head:>14}" for head in heads), end="")
    print(f"{'best possible':>15}  ratio  limit")
    spans = (range(1), range(5, 10), range(20, 60), range(100, 120))
    missed = False
    for law in map(LogNormal._make, FRONTIER):
        ours = averages([law], 120, spans)
        polls, delay = ours[2]
        best = law.best_at(delay)
        ratio = polls / best
        fixed = law.cost(OFFICIAL_INTERVAL * n for n in range(1, 10_000))
        figures = [fixed, law.cost(google_times()), *ours, (best, delay)]
        print(f"{law.median:g} s, {law.spread:g}".ljust(22) + cells(figures), end="")
        print(f"{ratio:8.2f} × {FRONTIER_LIMIT:g} ×")
        missed |= ratio > FRONTIER_LIMIT
    kinds = [LogNormal(25, 0.6), LogNormal(1200, 0.6)]
    mixed = averages(kinds * 60, 1, spans)
    print("25 s and 1200 s, one kind".ljust(50) + cells(mixed))
    for before, after in ((25, 250), (250, 25)):
        laws = [LogNormal(before, 0.6), LogNormal(after, 0.6)]
        changed = averages(
            laws,
            40,
            (range(40, 41), range(45, 50), range(55, 60), range(100, 120)),
        )
        print(f"{before} s, then {after} s".ljust(50) + cells(changed), end="")
        late, usual = changed[2][1], changed[3][1]
        print(f"   delay {late / usual:.2f} × the later one, limit 2 ×")
        missed |= late > 2 * usual
    return missed


def poll_until(
    scheduler: PollScheduler, ends: Mapping[PendingWorkflow, float], until: float
) -> float:
    """Poll workflows that end at these times; return the time of the last answer."""
    now = -math.inf
    while scheduler and scheduler.next_poll_at() < until:
        now = max(now, scheduler.next_poll_at())
        for workflow in scheduler.take(now, 1):
            ended = ends[workflow] <= now + LATENCY / 2
            now += LATENCY
            answer = Ended(None) if ended else StillRunning("running")
            scheduler.answered(workflow, now, answer)
    return now


def forecast(ends: int, queued: int, lanes: int, seed: int) -> tuple[bool, bool] | None:
    """Return whether the last of some workflows ends when it is expected to.

    Args:
        ends: How many ends of the kind are noticed before.
        queued: How many workflows each lane has, when it is asked.
        lanes: How many lanes there are.
        seed: The seed.

    Returns:
        Whether its end is in the interval, and whether it is before the median; None if
        all have ended, and if a surprising end makes what was learnt doubtful.
    """
    rng, law = random.Random(seed), LogNormal(COVERAGE_MEDIAN, SIGMA)
    scheduler, now = PollScheduler(Polling(), rng), 0.0
    for number in range(ends):
        workflow = PendingWorkflow(str(number), "account", kind="kind")
        scheduler.add(workflow, now)
        now = poll_until(scheduler, {workflow: now + law.draw(rng)}, math.inf)
    left: dict[PendingWorkflow, float] = {}
    for lane in range(lanes):
        end = now
        for number in range(queued):
            workflow = PendingWorkflow(f"{lane}-{number}", lane, kind="kind")
            scheduler.add(workflow, now)
            end = left[workflow] = end + law.draw(rng)
    last = max(left.values())
    asked = now + rng.random() * COVERAGE_MEDIAN
    poll_until(scheduler, left, asked)
    eta = scheduler.eta_of_all(asked, None, 0, 0)
    if eta is None or last <= asked:
        return None
    return eta.low <= last - asked <= eta.high, last - asked < eta.median


def coverage() -> bool:
    """Print how true the times of arrival are; return whether they miss their limit."""
    low, high = COVERAGE
    print(
        f"\nends in their interval (before their median), limit {low} to {high} on average"
    )
    print(f"{'workflows left in each lane':34}" + "".join(f"{n:>16}" for n in QUEUED))
    shares = []
    for ends, lanes in ((5, 1), (20, 1), (100, 1), (20, 10)):
        row = ""
        for queued in QUEUED:
            runs = [forecast(ends, queued, lanes, n) for n in range(COVERAGE_SEEDS)]
            found = [run for run in runs if run is not None]
            inside, below = (mean([float(f[n]) for f in found]) for n in (0, 1))
            shares.append(inside)
            row += f"{inside:.2f} ({below:.2f})".rjust(16)
        name = f"{lanes} lane{'s' * (lanes > 1)}, {ends} ends learnt"
        print(f"{name:34}{row}")
    average = mean(shares)
    print(f"{'average':34}{average:16.2f}")
    return not low <= average <= high


def mean(values: list[float]) -> float:
    """Return the arithmetic mean."""
    return sum(values) / len(values)


def main() -> int:
    """Print both tables; return 1 if a figure misses its limit."""
    began = time.perf_counter()
    print(f"GETs per workflow (mean detection delay in seconds), {Polling()}")
    print(f"{'queued workflows':34}" + "".join(f"{n:>16}" for n in SEEDS) + "   limit")
    fixed = [mean([official(n, seed) for seed in range(s)]) for n, s in SEEDS.items()]
    print(f"{'every id, fixed 5 s (computed)':34}", end="")
    print("".join(f"{gets:16.1f}" for gets in fixed))
    missed = False
    for scenario in SCENARIOS:
        row = bounds = ""
        for n, seeds in SEEDS.items():
            runs = [drive(scenario, n, seed) for seed in range(seeds)]
            gets, late = mean([run[0] for run in runs]), mean([run[1] for run in runs])
            row += f"{gets:8.2f} ({late:.2f})".rjust(16)
            missed |= gets > scenario.max_polls or late > scenario.max_delay
            if scenario.shuffled and n > 1:
                bound = least_delay(n, seeds, gets)
                bounds += f"{f'({bound:.2f})':>16}"
                missed |= late > RANDOM_LIMIT * bound
        limit = f"{scenario.max_polls:g}" + (
            f" ({scenario.max_delay:g})" if scenario.max_delay < math.inf else ""
        )
        print(f"{scenario.name:34}{row}   {limit}")
        if bounds:
            name = "  best round robin, equal requests"
            print(f"{name:34}{'–':>16}{bounds}   {RANDOM_LIMIT:g} ×")
    missed |= frontier()
    missed |= coverage()
    print(
        f"means over {', '.join(f'{s} seeds at {n}' for n, s in SEEDS.items())};",
        end=" ",
    )
    print(f"{time.perf_counter() - began:.0f} s; {'MISSED' if missed else 'reached'}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
