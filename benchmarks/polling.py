"""Count what waiting costs: GETs per workflow, and how late a finish is noticed.

Virtual time, one account, seeded: `python benchmarks/polling.py`. The pure lanes are
driven against a simulated account that runs its queue in turn.
"""

from __future__ import annotations

import math
import random
import sys
import time
from bisect import bisect_right
from itertools import accumulate
from typing import Final, NamedTuple

from linkedapi_async._polling.answers import Ended, StillRunning
from linkedapi_async._polling.lane import PendingWorkflow
from linkedapi_async._polling.scheduler import PollScheduler
from linkedapi_async.policies import Polling


MEDIAN: Final = 25.0
SIGMA: Final = 0.6
LATENCY: Final = 0.2
"""Round trip of one poll, in seconds."""

SEEDS: Final = {1: 2000, 10: 200, 100: 30, 1000: 6}
OFFICIAL_INTERVAL: Final = 5.0


class Scenario(NamedTuple):
    """Who is in the queue, and what is known about it."""

    name: str
    tells: bool
    """Whether the API tells pending from running (Linked API; Account API: not)."""

    foreign: bool = False
    """Whether half of the queue belongs to another program."""

    shuffled: bool = False
    """Whether the ids were attached in random order."""

    most: float = 7.0
    """GETs per workflow that are allowed."""

    latest: float = math.inf
    """Mean noticing delay in seconds that is allowed."""


SCENARIOS: Final = (
    Scenario("own starts, Linked API", tells=True, latest=3.0),
    Scenario("own starts, Account API", tells=False, latest=3.0),
    Scenario("half foreign, Linked API", tells=True, foreign=True, most=12.0),
    Scenario("half foreign, Account API", tells=False, foreign=True, most=12.0),
    Scenario("attached, shuffled, Linked API", tells=True, shuffled=True, most=12.0),
    Scenario("attached, shuffled, Account API", tells=False, shuffled=True, most=12.0),
)


class Account:
    """A simulated account: its queue, and what it answers when."""

    def __init__(self, scenario: Scenario, n: int, rng: random.Random) -> None:
        self.tells = scenario.tells
        queue: list[PendingWorkflow | None] = [
            PendingWorkflow(f"wf-{i}", "account") for i in range(n)
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
        """Return when *workflow* finishes."""
        return self.ends[self.turns[workflow]]

    def ask(self, workflow: PendingWorkflow, now: float) -> StillRunning | Ended:
        """Return the state of *workflow*."""
        if self.end(workflow) <= now:
            return Ended(workflow.id, "completed")
        runs = bisect_right(self.ends, now) == self.turns[workflow]
        return StillRunning("running" if runs or not self.tells else "pending")


def drive(scenario: Scenario, n: int, seed: int) -> tuple[float, float]:
    """Return GETs per workflow and the mean noticing delay of one run."""
    rng = random.Random(seed)
    account = Account(scenario, n, rng)
    lanes = PollScheduler(Polling(), rng)
    for workflow in account.workflows:
        lanes.add(workflow, 0.0, ordered=not scenario.shuffled)
    polls, late, now = 0, 0.0, 0.0
    while (due := lanes.next_poll_at()) < math.inf and lanes:
        now = max(now, due)
        for workflow in lanes.take(now, 1):
            polls += 1
            answer = account.ask(workflow, now + LATENCY / 2)
            now += LATENCY
            if lanes.answered(workflow, now, answer):
                late += now - account.end(workflow)
    return polls / n, late / n


def official(n: int, seed: int) -> float:
    """Return the GETs per workflow of asking for every id at the official interval."""
    account = Account(SCENARIOS[0], n, random.Random(seed))
    return sum(math.ceil(end / OFFICIAL_INTERVAL) for end in account.ends) / n


def mean(values: list[float]) -> float:
    """Return the arithmetic mean."""
    return sum(values) / len(values)


def main() -> int:
    """Print the table; return 1 if a figure misses its reach."""
    began = time.perf_counter()
    print(f"GETs per workflow (mean noticing delay in seconds), {Polling()}")
    print(f"{'queued workflows':34}" + "".join(f"{n:>16}" for n in SEEDS) + "   reach")
    fixed = [mean([official(n, seed) for seed in range(s)]) for n, s in SEEDS.items()]
    print(f"{'every id, fixed 5 s (computed)':34}", end="")
    print("".join(f"{gets:16.1f}" for gets in fixed))
    missed = False
    for scenario in SCENARIOS:
        cells = ""
        for n, seeds in SEEDS.items():
            runs = [drive(scenario, n, seed) for seed in range(seeds)]
            gets, late = mean([run[0] for run in runs]), mean([run[1] for run in runs])
            cells += f"{gets:8.2f} ({late:.2f})".rjust(16)
            missed |= gets > scenario.most or late > scenario.latest
        reach = f"{scenario.most:g}" + (
            f" ({scenario.latest:g})" if scenario.latest < math.inf else ""
        )
        print(f"{scenario.name:34}{cells}   {reach}")
    print(
        f"means over {', '.join(f'{s} seeds at {n}' for n, s in SEEDS.items())};",
        end=" ",
    )
    print(f"{time.perf_counter() - began:.0f} s; {'MISSED' if missed else 'reached'}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
