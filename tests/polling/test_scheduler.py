"""Which workflow the scheduler polls, when, and what ends a wait."""

from __future__ import annotations

import math
import random
from heapq import heappop, heappush

import pytest
from attrs import define, evolve, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from linkedapi_async._polling.answers import Ended, PollAnswer, PollFailed, StillRunning
from linkedapi_async._polling.lane import PendingWorkflow
from linkedapi_async._polling.scheduler import OFF_HOURS, PollScheduler
from linkedapi_async._polling.throttle import Throttle
from linkedapi_async.policies import Polling


EVEN = Polling(growth=1, jitter=0)
"""A first poll after 10 seconds, then every 3; the tail every 120."""

PENDING, RUNNING = StillRunning("pending"), StillRunning("running")
DONE = Ended("result", "completed")
FAILED = PollFailed(OSError("down"))
REFUSED = PollFailed(PermissionError("token"), "refused")
UNKNOWN = PollFailed(LookupError("id"), "unknown")


class Play:
    """A scheduler of one account, and a clock that goes from poll to poll."""

    def __init__(self, names: str = "", polling: Polling = EVEN) -> None:
        self.lanes = PollScheduler(polling, random.Random(1))
        self.now = 0.0
        self.workflows: dict[str, PendingWorkflow] = {}
        self.start(names)

    def start(self, names: str, *, ordered: bool = True) -> None:
        """Add a workflow for each letter."""
        for name in names:
            self.workflows[name] = PendingWorkflow(name, "account")
            self.lanes.add(self.workflows[name], self.now, ordered=ordered)

    def attach(self, names: str) -> None:
        """Add a workflow of unknown order for each letter."""
        self.start(names, ordered=False)

    def poll(self) -> str:
        """Go to the next poll; return its time and its workflow."""
        while True:
            poll_at = self.lanes.next_poll_at()
            assert poll_at < math.inf
            self.now = max(self.now, poll_at)
            if taken := self.lanes.take(self.now, 1):
                return f"{self.now:g}{taken[0].id}"

    def answer(self, name: str, answer: PollAnswer) -> Ended | None:
        """Answer the poll of a workflow."""
        return self.lanes.answered(self.workflows[name], self.now, answer)

    def polls(self, count: int, answers: dict[str, PollAnswer] | None = None) -> str:
        """Return the next *count* polls, each answered at once."""
        seen = []
        for _ in range(count):
            seen.append(self.poll())
            name = seen[-1][-1]
            self.answer(name, (answers or {}).get(name, RUNNING))
        return " ".join(seen)

    def polls_until(
        self, end: float, answers: dict[str, PollAnswer] | None = None
    ) -> str:
        """Return the workflows of the polls before *end*, each answered at once."""
        seen = ""
        while self.lanes.next_poll_at() < end:
            seen += self.polls(1, answers)[-1]
        return seen


def test_no_workflows() -> None:
    """Without workflows there is no next poll."""
    lanes = Play().lanes

    assert math.inf == lanes.next_poll_at()

    assert [] == lanes.take(0.0, 5)

    assert 0 == len(lanes)


def test_head_cadence() -> None:
    """The head is polled after *initial_delay*, then at growing intervals."""
    play = Play("a", Polling(growth=2, jitter=0))

    assert "10a 13a 19a 31a 46a 61a" == play.polls(6)


def test_one_poll_at_a_time() -> None:
    """A workflow with a poll in flight is not polled again."""
    play = Play("a")
    play.poll()
    play.lanes.expedite(play.workflows["a"])

    assert [] == play.lanes.take(1000.0, 5)


def test_limit() -> None:
    """No more workflows are taken than allowed, in order of time."""
    lanes = PollScheduler(EVEN, random.Random(1))
    for n in range(5):
        lanes.add(PendingWorkflow(str(n), n), float(-n))

    assert ["4", "3"] == [workflow.id for workflow in lanes.take(50.0, 2)]

    assert ["2", "1", "0"] == [workflow.id for workflow in lanes.take(50.0, 9)]


def test_tail_cadence() -> None:
    """One of the tail is polled every *queued_interval*, longest unpolled first."""
    play = Play("abc")
    seen = [play.polls(1, {"b": PENDING, "c": PENDING}) for _ in range(200)]

    assert ["120b", "240c", "360b", "480c"] == [
        poll for poll in seen if "a" not in poll
    ]


def test_tail_begins_with_second() -> None:
    """The timer of the tail begins with the second workflow."""
    play = Play("a")
    play.polls(10)
    play.start("b")

    assert "a" * 39 == play.polls_until(37 + 119)

    assert "157b" == play.polls(2).split()[-1]


def test_promotion() -> None:
    """When a head ends, the next is polled at once, then after *initial_delay*."""
    play = Play("abc", Polling(jitter=0))

    assert "10a 10b 21b 24b" == play.polls(4, {"a": DONE})


def test_promotion_without_initial_delay() -> None:
    """Without an initial delay, the poll on promotion is the first poll."""
    play = Play("ab", evolve(EVEN, initial_delay=0))

    assert "0a 0b 3b 6b" == play.polls(4, {"a": DONE})


def test_finish_chain() -> None:
    """After a long outage all that has ended is found without waiting."""
    play = Play("abcd")

    assert "10a 10b 10c 10d 20d" == play.polls(5, {"a": DONE, "b": DONE, "c": DONE})

    assert 0 == play.lanes.out_of_order


def test_removed_head() -> None:
    """The successor of a cancelled head has just started."""
    play = Play("ab")
    play.poll()

    watched = [play.workflows["a"].watched]
    play.lanes.remove(play.workflows["a"], play.now)

    watched.append(play.workflows["a"].watched)

    assert [True, False] == watched

    assert play.answer("a", DONE) is None

    assert "20b" == play.polls(1)

    play.lanes.remove(play.workflows["a"], play.now)
    play.lanes.remove(play.workflows["b"], play.now)

    assert 0 == len(play.lanes)

    assert [] == play.lanes.take(1e9, 5)


def test_removed_tail() -> None:
    """Removing from the tail changes nothing for the head."""
    play = Play("abc")
    play.lanes.remove(play.workflows["b"], 0.0)

    assert "10a 13a 16a" == play.polls(3)


def test_removed_in_flight_unordered() -> None:
    """An unordered lane keeps its pace when a workflow in flight is removed."""
    play = Play()
    play.attach("abc")
    play.poll()
    play.lanes.remove(play.workflows["a"], 0.0)

    # The rate falls with the root of the number of workflows.
    assert f"{3 * math.sqrt(3 / 2):g}b" == play.poll()

    play.lanes.remove(play.workflows["c"], play.now)
    play.answer("b", RUNNING)

    assert f"{3 * math.sqrt(3 / 2) + 3:g}b" == play.poll()


def test_unordered_shares_one_cadence() -> None:
    """An unordered lane gets one request per interval, round robin."""
    play = Play()
    play.attach("abc")

    assert "0a 3b 6c 9a 12b 15c" == play.polls(6)


def test_attached_first() -> None:
    """Attached workflows make a lane unordered and are polled before all others."""
    play = Play("abcd")
    play.attach("xy")

    assert "0x 3y 6a 9b" == play.polls(4)

    play.attach("z")

    assert "9z 12c" == play.polls(2)

    play.start("e")

    assert "15d 18x 21y 24a 27b 30z 33c 36e" == play.polls(8)


def test_running_is_the_head() -> None:
    """In an unordered lane the running workflow gets every second poll."""
    play = Play()
    play.attach("abcd")
    answers: dict[str, PollAnswer] = dict.fromkeys("abd", PENDING)

    assert "0a 3b 6c 9d 12c 15a 18c 21b 24c 27d" == play.polls(10, answers)

    answers = {"c": PENDING, **dict.fromkeys("abd", PENDING)}

    assert "30c 33a 36b 39d 42c" == play.polls(5, answers)


def test_running_without_pending_is_ignored() -> None:
    """If the API calls the whole queue running, the order is believed."""
    play = Play("abc")
    seen = play.polls_until(600)

    assert "bcbc" == seen.replace("a", "")

    assert 0 == play.lanes.out_of_order


def test_displaced_runner_is_polled() -> None:
    """A runner has most likely ended when another workflow starts to run."""
    play = Play()
    play.attach("abcd")
    answers: dict[str, PollAnswer] = {**dict.fromkeys("bcd", PENDING), "a": RUNNING}

    assert "0a 3b 6c 9a" == play.polls(4, answers)

    answers |= {"d": RUNNING, "a": PENDING}

    assert "12d 15d 18a 21d 24b" == play.polls(5, answers)


def test_running_in_the_tail_polls_the_head() -> None:
    """If one of the tail runs, the head must have ended: it is polled at once."""
    play = Play("abc")
    play.polls_until(359, {"c": PENDING})

    assert "bab" == play.polls_until(361, {"a": DONE})

    assert 0 == play.lanes.out_of_order


def test_running_out_of_order() -> None:
    """If the head waits while one of the tail runs, the lane loses its order."""
    play = Play("abc")
    play.polls_until(120, {"a": PENDING})

    assert "120b 120a" == play.polls(2, {"a": PENDING, "b": RUNNING})

    assert 1 == play.lanes.out_of_order

    answers: dict[str, PollAnswer] = {"a": PENDING, "c": PENDING, "b": RUNNING}

    assert "123c 126b 129a 132b 135c" == play.polls(5, answers)


def test_end_out_of_order() -> None:
    """An end out of order is counted and makes the lane unordered."""
    play = Play("abcd")
    play.polls_until(120)

    assert "120b 120a" == play.polls(2, {"b": DONE})

    assert 1 == play.lanes.out_of_order

    assert "123c 126d 129a 132c" == play.polls(4)


def test_end_before_the_head_was_polled() -> None:
    """An end in the tail is in order if all ahead of it have ended too."""
    play = Play("abcd")
    play.polls_until(120)

    assert "120b 120a 120c" == play.polls(3, {"b": DONE, "a": DONE})

    play.polls_until(240)

    assert "d" == play.polls(1, {"d": DONE})[-1]

    assert 0 == play.lanes.out_of_order


def test_recovery() -> None:
    """A lane is ordered again after three ends in order."""
    play = Play("abcdefgh")
    play.polls_until(120)
    play.polls(2, {"b": DONE})

    assert "123c 126d 129e 132f 135g 138h 141a 141c 144.24d" == play.polls(
        9, {"a": DONE}
    )

    ends: dict[str, PollAnswer] = {"c": DONE, "d": DONE}
    assert "147.481c 147.481d 147.481e 157.481e" == play.polls(4, ends)

    assert "e" * 36 == play.polls_until(147 + 119)

    assert "267.481f" == play.poll()


def test_recovery_of_the_last() -> None:
    """A lane with one workflow left has no tail after its recovery."""
    play = Play()
    play.attach("abcd")

    assert "0a 0b 0c 0d 10d 13d" == play.polls(6, dict.fromkeys("abc", DONE))

    assert "d" * 40 == play.polls_until(134)


def test_streak_ends() -> None:
    """An end out of order ends a streak, and an unordered lane counts none."""
    play = Play()
    play.attach("abcdefg")

    ends: dict[str, PollAnswer] = dict.fromkeys("abd", DONE)
    assert "0a 0b 0c 3.54965d 3.54965c 7.51827e" == play.polls(6, ends)

    assert "11.4869f 15.4555g 19.4242c" == play.polls(3)

    # All were polled once: after an end out of order comes the usual wait.
    assert "23.3928e 27.9754f 32.5579g" == play.polls(3, {"e": DONE})

    assert 0 == play.lanes.out_of_order


def test_promoted_runner_proves_nothing() -> None:
    """The end of a promoted runner does not count as in order."""
    play = Play()
    play.attach("abcdefgh")
    answers: dict[str, PollAnswer] = dict.fromkeys("abcdefgh", PENDING)
    for name in "hgf":
        for answer in (RUNNING, DONE):
            while play.polls(1, answers | {name: answer})[-1] != name:
                pass

    assert 2 <= len(set(play.polls_until(play.now + 20, answers)))


def test_promoted_runner_is_no_streak() -> None:
    """After the end of a promoted runner there is no likely head: round robin."""
    play = Play()
    play.attach("abcd")
    answers: dict[str, PollAnswer] = dict.fromkeys("abc", PENDING)

    assert "0a 3b 6c 9d 12a 15d" == play.polls(6, answers | {"d": RUNNING})

    answers["d"] = DONE
    while play.polls(1, answers)[-1] != "d":
        pass

    assert "acbac" == "".join(play.polls(1, answers)[-1] for _ in range(5))


def test_no_alternation_near_the_tail() -> None:
    """A likely head gets no polls that would delay the others too long."""
    play = Play(polling=Polling(growth=1, jitter=0, queued_interval=20))
    play.attach("abc")

    assert "0a 3b 6c 9a 12b 15c" == play.polls(6, {"b": PENDING, "c": PENDING})


def test_off_hours() -> None:
    """Outside working hours waits grow from *max_interval* to *queued_interval*."""
    play = Play("ab", Polling(growth=2, jitter=0))
    off_hours = StillRunning("pending", OFF_HOURS)
    answers: dict[str, PollAnswer] = {"a": off_hours, "b": off_hours}

    assert "10a 25a 55a 115a 120b 235a 240b" == play.polls(7, answers)

    assert "355a 358a 360b 364a" == play.polls(4, {"b": PENDING})


def test_off_hours_unordered() -> None:
    """An unordered lane slows down as a whole, also after a failed poll."""
    play = Play(polling=Polling(growth=2, jitter=0))
    play.attach("abc")
    off_hours = StillRunning("pending", OFF_HOURS)

    assert "0a 15b 45c" == play.polls(3, dict.fromkeys("abc", off_hours))

    assert "105a 165b" == play.polls(2, {"a": FAILED})

    assert "168c" == play.polls(1)


def test_expedite() -> None:
    """An expedited workflow is polled first, once, also in the tail."""
    play = Play("abc")
    play.lanes.expedite(play.workflows["c"])
    play.lanes.expedite(play.workflows["c"])

    urgent = [play.lanes.urgent]

    assert ["c"] == [workflow.id for workflow in play.lanes.take(5.0, 9)]

    urgent.append(play.lanes.urgent)

    assert [True, False] == urgent

    play.answer("c", RUNNING)

    assert "10a" == play.poll()


def test_expedited_in_vain() -> None:
    """An expedited workflow that was removed is not polled."""
    play = Play()
    play.attach("a")
    play.start("b")
    play.poll()
    play.answer("a", RUNNING)
    play.lanes.expedite(play.workflows["b"])
    play.lanes.remove(play.workflows["b"], 0.0)
    play.lanes.expedite(play.workflows["b"])

    assert "3a" == play.poll()


def test_expedited_head() -> None:
    """The cadence of a head continues from an expedited poll."""
    play = Play("a")
    play.lanes.expedite(play.workflows["a"])

    assert 1 == len(play.lanes.take(8.0, 1))

    assert [] == play.lanes.take(10.0, 1)

    play.now = 11.0
    play.answer("a", RUNNING)

    assert "14a" == play.poll()


def test_expedited_early() -> None:
    """An expedited poll does not bring the next one forward."""
    play = Play("a")
    play.lanes.expedite(play.workflows["a"])

    assert ["a"] == [workflow.id for workflow in play.lanes.take(0.0, 1)]

    play.answer("a", RUNNING)

    assert "10a 13a" == play.polls(2)


def test_expedited_at_the_end_of_off_hours() -> None:
    """A lane that works again is polled at its usual pace."""
    play = Play("a")
    play.polls_until(100, {"a": StillRunning("pending", OFF_HOURS)})
    play.lanes.expedite(play.workflows["a"])
    play.lanes.take(play.now, 1)
    play.answer("a", RUNNING)

    assert play.now + 3 == play.lanes.next_poll_at()


def test_all_expedited() -> None:
    """A lane with all workflows in flight polls none of them again."""
    for ordered in (True, False):
        play = Play()
        play.start("abc", ordered=ordered)
        for workflow in play.workflows.values():
            play.lanes.expedite(workflow)

        assert 3 == len(play.lanes.take(0.0, 9))

        assert [] == play.lanes.take(500.0, 9)


def test_expedited_ends_in_the_tail() -> None:
    """Expedited polls of a whole lane may be answered in any order."""
    play = Play("abcd")
    for name in "abc":
        play.lanes.expedite(play.workflows[name])
    play.lanes.take(0.0, 9)
    for name in "cba":
        play.answer(name, DONE)

    assert "0d" == play.poll()

    assert 0 == play.lanes.out_of_order


def test_failed_polls_end_no_wait() -> None:
    """A week of outage ends no wait, and polls back off to *max_interval*."""
    play = Play("ab", Polling(jitter=0))

    assert "10a 13a 16.3a" == play.polls(3, {"a": FAILED})

    count = len(play.polls_until(7 * 86400, dict.fromkeys("ab", FAILED)))

    assert count <= 7 * 86400 / 15 + 7 * 86400 / 120 + 10

    assert DONE == play.answer(play.poll()[-1], DONE)


def test_failed_polls_unordered() -> None:
    """An unordered lane backs off as a whole; expedited polls change nothing."""
    play = Play(polling=Polling(growth=2, jitter=0))
    play.attach("abc")

    assert "0a 3b 6c 9a 15b 27c" == play.polls(6, dict.fromkeys("abc", FAILED))

    play.lanes.expedite(play.workflows["b"])
    play.lanes.take(play.now, 1)
    play.answer("b", FAILED)
    play.lanes.expedite(play.workflows["c"])
    play.lanes.take(play.now, 1)
    play.answer("c", RUNNING)

    assert "42a" == play.poll()


def test_refused_token() -> None:
    """A token refused three times in a minute ends a wait, then all others."""
    play = Play("abc")
    answers: dict[str, PollAnswer] = dict.fromkeys("abc", REFUSED)

    assert "a" * 20 == play.polls_until(70, answers)

    assert "70a" == play.poll()

    end = play.answer("a", REFUSED)

    assert end == Ended(REFUSED.error)

    assert "70b 70c" == play.polls(2, answers)

    assert 0 == len(play.lanes)


def test_usable_answer_clears_refusals() -> None:
    """A usable answer resets the count of refusals."""
    play = Play("a")
    play.polls_until(69, {"a": REFUSED})
    play.polls(1)
    play.polls_until(130, {"a": REFUSED})

    assert 1 == len(play.lanes)


def test_end_clears_refusals() -> None:
    """An end in the lane is a usable answer too."""
    play = Play("ab")
    play.polls_until(69, {"a": REFUSED})
    play.lanes.expedite(play.workflows["b"])
    play.lanes.take(play.now, 1)
    play.answer("b", DONE)
    play.polls_until(100, {"a": REFUSED})

    assert 1 == len(play.lanes)


def test_rare_refusals() -> None:
    """A long time is not enough: three refusals are needed."""
    play = Play("a", Polling.fixed(100))

    assert "100a 200a" == play.polls(2, {"a": REFUSED})

    assert 1 == len(play.lanes)

    assert "300a" == play.polls(1, {"a": REFUSED})

    assert 0 == len(play.lanes)


def test_unknown_id() -> None:
    """An unknown id ends only its own wait."""
    play = Play("ab")
    play.polls_until(69, {"a": UNKNOWN})

    assert "70a 70b 80b" == play.polls(3, {"a": UNKNOWN})

    assert 1 == len(play.lanes)


def test_unknown_id_unordered() -> None:
    """An unordered lane keeps its pace without the unknown id."""
    play = Play()
    play.attach("ab")

    assert 30 < len(play.polls_until(100, {"a": UNKNOWN}))

    assert 1 == len(play.lanes)

    play.attach("c")
    for _ in range(3):
        play.now += 31
        play.lanes.expedite(play.workflows["c"])
        play.lanes.take(play.now, 1)
        play.answer("c", UNKNOWN)

    assert 1 == len(play.lanes)


def test_defer() -> None:
    """Polls planned in a pause move behind it, spread at random."""
    lanes = PollScheduler(EVEN, random.Random(1))
    for n in range(200):
        lanes.add(PendingWorkflow(str(n), n), 0.0)
    lanes.defer(10.0, 60.0)

    assert [] == lanes.take(59.9, 999)

    halfway = len(lanes.take(61.5, 999))

    assert 70 < halfway < 130

    assert 200 == halfway + len(lanes.take(63.0, 999))


def test_throttle_open() -> None:
    """Without a rate and a pause every request is allowed."""
    throttle = Throttle()
    throttle.consume(0.0, 1000)

    assert 50 == throttle.available(0.0, 50)

    assert -math.inf == throttle.next_slot()


def test_throttle_pause() -> None:
    """A pause holds for all; a shorter one does not end it."""
    throttle = Throttle()
    throttle.pause(10.0)
    throttle.pause(5.0)

    assert 10 == throttle.next_slot()

    assert (0, 7) == (throttle.available(9.9, 7), throttle.available(10.0, 7))


def test_throttle_urgent() -> None:
    """In a pause one urgent request is allowed each second."""
    throttle = Throttle()

    assert -math.inf == throttle.next_urgent_slot()

    throttle.pause(100.0)
    throttle.consume_urgent(5.0)

    assert (6.0, 100.0) == (throttle.next_urgent_slot(), throttle.next_slot())

    throttle.consume_urgent(99.5)

    assert 100.0 == throttle.next_urgent_slot()


def test_throttle_rate() -> None:
    """A rate allows one request after the other, and saves none for later."""
    throttle = Throttle(rate=2)

    assert 1 == throttle.available(0.0, 50)

    throttle.consume(0.0, 3)

    assert (0, 1.5) == (throttle.available(1.4, 50), throttle.next_slot())

    assert 1 == throttle.available(99.0, 50)

    assert 0 == throttle.available(99.0, 0)


@pytest.mark.parametrize("ordered", [True, False])
def test_many_in_any_order(*, ordered: bool) -> None:
    """Ten thousand workflows of one lane leave in any order, at once."""
    play = Play()
    workflows = [PendingWorkflow(str(n), "account") for n in range(10_000)]
    for workflow in workflows:
        play.lanes.add(workflow, 0.0, ordered=ordered)
    random.Random(1).shuffle(workflows)
    for workflow in workflows:
        play.lanes.remove(workflow, 1.0)

    assert 0 == len(play.lanes)


def test_heap_does_not_grow() -> None:
    """Early ends leave no more entries in the heap than one *queued_interval* makes."""
    play = Play("ab", Polling(jitter=0))
    for _ in range(2000):
        play.now += 5
        play.lanes.expedite(play.lanes._lanes["account"].head)
        (workflow,) = play.lanes.take(play.now, 1)
        play.lanes.answered(workflow, play.now, DONE)
        play.start("x")
        for other in play.lanes.take(play.now, 9):
            play.lanes.answered(other, play.now, RUNNING)

    assert len(play.lanes._heap) < 60


@define(eq=False)
class Job:
    """A workflow of the simulated server."""

    workflow: PendingWorkflow | None
    seconds: float
    end: float = math.inf
    allowance: float = 0.0
    """Time in seconds, beyond the promise, for which its end may go unnoticed."""

    max_size: int = 0
    """The largest number of ours in its lane since it ended."""


@define
class Server:
    """One simulated account, whose order the scheduler does not know."""

    exact: bool
    """Whether it tells pending from running."""

    queue: list[Job] = field(factory=list)
    jobs: dict[PendingWorkflow, Job] = field(factory=dict)
    waiting: int = 0

    def run(self, now: float) -> list[Job]:
        """End workflows until *now*; return those of ours."""
        finished = []
        while self.queue and self.queue[0].end <= now:
            job = self.queue.pop(0)
            if self.queue:
                self.queue[0].end = job.end + self.queue[0].seconds
            if job.workflow:
                finished.append(job)
        return finished

    def enter(self, job: Job, place: int, now: float) -> None:
        """Queue *job* at *place*, but not before the running one."""
        self.queue.insert(place if not self.queue else max(place, 1), job)
        self.queue[0].end = min(self.queue[0].end, now + self.queue[0].seconds)
        if job.workflow:
            self.jobs[job.workflow] = job


LATENCY = 0.25
ACCOUNTS = st.integers(0, 1)


class LanesMachine(RuleBasedStateMachine):
    """Whatever happens, every end is noticed in time, with one poll at a time."""

    @initialize(exact=st.booleans(), seed=st.integers(0, 99), tail=st.integers(8, 120))
    def begin(self, *, exact: bool, seed: int, tail: int) -> None:
        """Set up two accounts."""
        self.polling = Polling(queued_interval=tail)
        self.lanes = PollScheduler(self.polling, random.Random(seed))
        self.now = 0.0
        self.serial = 0
        self.servers = [Server(exact), Server(exact)]
        self.in_flight: dict[PendingWorkflow, float] = {}
        self.answers: list[tuple[float, int, PendingWorkflow]] = []
        self.failing = 0
        self.off_hours = False
        self.noticed: set[PendingWorkflow] = set()

    def join(self, account: int, *, ordered: bool) -> PendingWorkflow:
        """Add a new workflow to the scheduler."""
        self.serial += 1
        workflow = PendingWorkflow(str(self.serial), account)
        server = self.servers[account]
        server.waiting += 1
        for job in server.jobs.values():
            job.max_size = max(job.max_size, server.waiting)
            # An attached workflow is polled before all others.
            job.allowance += 0 if ordered else self.polling.queued_interval
        self.lanes.add(workflow, self.now, ordered=ordered)
        return workflow

    @rule(account=ACCOUNTS, seconds=st.floats(0.1, 200), foreign=st.booleans())
    def start(self, account: int, seconds: float, *, foreign: bool) -> None:
        """Start a workflow, ours or that of another program."""
        workflow = None if foreign else self.join(account, ordered=True)
        server = self.servers[account]
        server.enter(Job(workflow, seconds), len(server.queue), self.now)

    @rule(account=ACCOUNTS, seconds=st.floats(0, 200), place=st.integers(0, 9))
    def attach(self, account: int, seconds: float, place: int) -> None:
        """Attach a workflow from anywhere in the queue, or one that has ended."""
        workflow, server = self.join(account, ordered=False), self.servers[account]
        if place:
            server.enter(Job(workflow, seconds), place, self.now)
        else:
            job = Job(workflow, seconds, end=self.now, max_size=server.waiting)
            server.jobs[workflow] = job

    @rule(account=ACCOUNTS, seed=st.integers(0, 99))
    def reorder(self, account: int, seed: int) -> None:
        """Change the order on the server."""
        waiting = self.servers[account].queue[1:]
        random.Random(seed).shuffle(waiting)
        self.servers[account].queue[1:] = waiting

    @rule(count=st.integers(1, 10))
    def outage(self, count: int) -> None:
        """Let the next polls fail."""
        self.failing += count

    @rule()
    def sleep(self) -> None:
        """Begin or end the working hours."""
        self.off_hours = not self.off_hours

    @precondition(lambda self: len(self.lanes) > 0)
    @rule(pick=st.integers(0))
    def remove(self, pick: int) -> None:
        """Remove a workflow, from the queue too."""
        workflow = self.pick(pick)
        self.lanes.remove(workflow, self.now)
        self.forget(workflow)

    @precondition(lambda self: len(self.lanes) > 0)
    @rule(pick=st.integers(0), count=st.integers(1, 9))
    def expedite(self, pick: int, count: int) -> None:
        """Expedite some workflows."""
        for n in range(count):
            self.lanes.expedite(self.pick(pick + n))

    @rule(seconds=st.floats(0, 900), limit=st.integers(1, 5))
    def advance(self, seconds: float, limit: int) -> None:
        """Advance the time."""
        self.go_on(self.now + seconds, limit)

    def pick(self, number: int) -> PendingWorkflow:
        """Return one of the pending workflows."""
        workflows = [workflow for server in self.servers for workflow in server.jobs]
        return workflows[number % len(workflows)]

    def forget(self, workflow: PendingWorkflow) -> None:
        """Take *workflow* out of the model."""
        server = self.servers[int(str(workflow.account))]
        server.waiting -= 1
        job = server.jobs.pop(workflow)
        job.workflow = None

    def go_on(self, target: float, limit: int) -> None:
        """Run all polls and answers until *target*, in order of time."""
        while True:
            take = max(self.lanes.next_poll_at(), self.now)
            take = self.now if self.lanes.urgent else take
            back = self.answers[0][0] if self.answers else math.inf
            if min(take, back) > target:
                break
            self.now = min(take, back)
            if back <= take:
                self.deliver(heappop(self.answers)[2])
            else:
                self.send(limit)
            self.check_delays()
        self.now = target
        self.check_delays()

    def send(self, limit: int) -> None:
        """Send the next polls."""
        for workflow in self.lanes.take(self.now, limit):
            assert workflow not in self.in_flight, "two polls at once"
            assert any(workflow in server.jobs for server in self.servers)
            self.in_flight[workflow] = self.now
            self.serial += 1
            heappush(self.answers, (self.now + LATENCY, self.serial, workflow))

    def deliver(self, workflow: PendingWorkflow) -> None:
        """Answer the poll of *workflow* as of now."""
        del self.in_flight[workflow]
        server = self.servers[int(str(workflow.account))]
        self.settle_finished()
        if self.failing:
            self.failing -= 1
            for job in server.jobs.values():
                job.allowance += self.polling.queued_interval

            assert self.lanes.answered(workflow, self.now, FAILED) is None
        elif (ours := server.jobs.get(workflow)) is None:
            assert self.lanes.answered(workflow, self.now, PENDING) is None
        elif ours.end <= self.now:
            assert self.lanes.answered(workflow, self.now, DONE) is DONE
            self.noticed.add(workflow)
            self.forget(workflow)
        else:
            runs = ours is server.queue[0] or not server.exact
            answer = RUNNING if runs else PENDING
            if self.off_hours and not runs:
                answer = StillRunning("pending", OFF_HOURS)

            assert self.lanes.answered(workflow, self.now, answer) is None

    def settle_finished(self) -> None:
        """Bring the model up to now."""
        for server in self.servers:
            for job in server.run(self.now):
                job.max_size = server.waiting
                job.allowance = 0.0

    def check_delays(self) -> None:
        """Check the promise: noticed within *queued_interval* times the lane's size."""
        self.settle_finished()
        for server in self.servers:
            for job in server.jobs.values():
                latest = job.allowance + (job.max_size + 2) * 2 * LATENCY
                latest += self.polling.queued_interval * job.max_size
                late = self.now - job.end

                assert late <= latest

    @invariant()
    def counts(self) -> None:
        """The scheduler has as many workflows as the model."""
        expected = sum(server.waiting for server in getattr(self, "servers", []))

        assert expected == len(getattr(self, "lanes", []))

    def teardown(self) -> None:
        """Every result arrives."""
        if not hasattr(self, "lanes"):
            return
        self.failing = 0
        work = sum(job.seconds for server in self.servers for job in server.queue)
        waiting = len(self.lanes)
        self.go_on(
            self.now + 200 + work + self.polling.queued_interval * (waiting + 1), 5
        )

        assert 0 == len(self.lanes)

        assert [] == self.lanes.take(1e9, 9)


TestLanesMachine = LanesMachine.TestCase
TestLanesMachine.settings = settings(
    max_examples=150, stateful_step_count=30, deadline=None
)


def test_detection_delay_counts_from_the_last_poll() -> None:
    """The delay of an end counts from the last answer before it."""
    play = Play("a", EVEN)
    play.polls(2)
    play.polls(1, {"a": DONE})

    assert [3.0] == list(play.lanes.detection_delays)


def test_detection_delay_of_a_promoted_head() -> None:
    """A workflow does not end before it becomes the head."""
    play = Play("ab", EVEN)
    play.polls(1, {"a": DONE})
    play.polls(1, {"b": RUNNING})
    play.polls(1, {"b": DONE})

    assert [10.0, 10.0] == list(play.lanes.detection_delays)


def test_lateness_of_an_attached_ticket_is_not_known_at_first() -> None:
    """It is unknown if the first poll finds the end."""
    play = Play()
    play.attach("ab")
    play.polls(1, {"a": DONE, "b": DONE})

    assert [] == list(play.lanes.detection_delays)


def test_attached_in_order() -> None:
    """Attached ids in order are polled one after another, as they may have ended."""
    play = Play()
    for name in "abcd":
        play.workflows[name] = PendingWorkflow(name, "account", kind="kind")
        play.lanes.add(play.workflows[name], play.now, fresh=False)

    assert "0a 0b 0c 10c 13c" == play.polls(5, dict.fromkeys("ab", DONE))

    # Nothing is known of their ends, nor learnt from them.
    assert [] == list(play.lanes.detection_delays)
    assert 0 == len(play.lanes.durations)

    play.polls(2, {"c": DONE})
    play.polls(1, {"d": DONE})

    assert [3, 10] == list(play.lanes.detection_delays)
    assert 1 == len(play.lanes.durations)
