"""Whom the lanes ask, when, and what ends a wait."""

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

from linkedapi_async._polling.answers import Answer, Ended, PollFailed, StillRunning
from linkedapi_async._polling.lane import PendingWorkflow
from linkedapi_async._polling.scheduler import OFF_HOURS, PollScheduler
from linkedapi_async._polling.throttle import Throttle
from linkedapi_async.policies import Polling


EVEN = Polling(growth=1, jitter=0)
"""First after 10 seconds, then every 3; the tail every 120."""

PENDING, RUNNING = StillRunning("pending"), StillRunning("running")
DONE = Ended("result", "completed")
FAILED = PollFailed(OSError("down"))
REFUSED = PollFailed(PermissionError("token"), "refused")
UNKNOWN = PollFailed(LookupError("id"), "unknown")


class Play:
    """Lanes of one account, and a clock that goes from one poll to the next."""

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
        """Go to the next poll; return when it is and whom it is for."""
        while True:
            due = self.lanes.next_poll_at()
            assert due is not None
            self.now = max(self.now, due)
            if taken := self.lanes.take(self.now, 1):
                return f"{self.now:g}{taken[0].id}"

    def answer(self, name: str, answer: Answer) -> Ended | None:
        """Answer the poll of a workflow."""
        return self.lanes.answered(self.workflows[name], self.now, answer)

    def polls(self, count: int, answers: dict[str, Answer] | None = None) -> str:
        """Return the next *count* polls, each answered at once."""
        seen = []
        for _ in range(count):
            seen.append(self.poll())
            name = seen[-1][-1]
            self.answer(name, (answers or {}).get(name, RUNNING))
        return " ".join(seen)

    def polls_until(self, end: float, answers: dict[str, Answer] | None = None) -> str:
        """Return whom the polls before *end* are for, each answered at once."""
        seen = ""
        while (self.lanes.next_poll_at() or 0) < end:
            seen += self.polls(1, answers)[-1]
        return seen


def test_nobody() -> None:
    """Without workflows nothing is ever due."""
    lanes = Play().lanes

    assert lanes.next_poll_at() is None

    assert [] == lanes.take(0.0, 5)

    assert 0 == len(lanes)


def test_head_cadence() -> None:
    """The head is asked after *first*, then at growing intervals."""
    play = Play("a", Polling(growth=2, jitter=0))

    assert "10a 13a 19a 31a 46a 61a" == play.polls(6)


def test_one_poll_at_a_time() -> None:
    """A workflow that is being asked is not asked again."""
    play = Play("a")
    play.poll()
    play.lanes.expedite(play.workflows["a"])

    assert [] == play.lanes.take(1000.0, 5)


def test_limit() -> None:
    """No more workflows are taken than allowed, the longest due first."""
    lanes = PollScheduler(EVEN, random.Random(1))
    for n in range(5):
        lanes.add(PendingWorkflow(str(n), n), float(-n))

    assert ["4", "3"] == [workflow.id for workflow in lanes.take(50.0, 2)]

    assert ["2", "1", "0"] == [workflow.id for workflow in lanes.take(50.0, 9)]


def test_tail_cadence() -> None:
    """One of the tail is asked every *tail* seconds, longest unasked first."""
    play = Play("abc")
    seen = [play.polls(1, {"b": PENDING, "c": PENDING}) for _ in range(200)]

    assert ["120b", "240c", "360b", "480c"] == [
        poll for poll in seen if "a" not in poll
    ]


def test_tail_begins_with_second() -> None:
    """The time of the tail counts from the moment there is one."""
    play = Play("a")
    play.polls(10)
    play.start("b")

    assert "a" * 39 == play.polls_until(37 + 119)

    assert "157b" == play.polls(2).split()[-1]


def test_promotion() -> None:
    """When a head ends, the next is asked at once, then after *first* and a bit."""
    play = Play("abc", Polling(jitter=0))

    assert "10a 10b 21b 24b" == play.polls(4, {"a": DONE})


def test_promotion_of_a_first_less_policy() -> None:
    """Being asked on promotion is the first poll if the first comes at once."""
    play = Play("ab", evolve(EVEN, initial_delay=0))

    assert "0a 0b 3b 6b" == play.polls(4, {"a": DONE})


def test_finish_chain() -> None:
    """After a long outage all that has finished is found without waiting."""
    play = Play("abcd")

    assert "10a 10b 10c 10d 20d" == play.polls(5, {"a": DONE, "b": DONE, "c": DONE})

    assert 0 == play.lanes.out_of_order


def test_removed_head() -> None:
    """The successor of a cancelled head has just begun."""
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
    """Who leaves the tail changes nothing for the head."""
    play = Play("abc")
    play.lanes.remove(play.workflows["b"], 0.0)

    assert "10a 13a 16a" == play.polls(3)


def test_removed_while_asked_unordered() -> None:
    """An unordered lane goes on at its pace when a poll is called off."""
    play = Play()
    play.attach("abc")
    play.poll()
    play.lanes.remove(play.workflows["a"], 0.0)

    assert "3b" == play.poll()

    play.lanes.remove(play.workflows["c"], play.now)
    play.answer("b", RUNNING)

    assert "6b" == play.poll()


def test_unordered_shares_one_cadence() -> None:
    """An unordered lane gets one request per interval, round robin."""
    play = Play()
    play.attach("abc")

    assert "0a 3b 6c 9a 12b 15c" == play.polls(6)


def test_attached_first() -> None:
    """Attached workflows make a lane unordered and are asked before all others."""
    play = Play("abcd")
    play.attach("xy")

    assert "0x 3y 6a 9b" == play.polls(4)

    play.attach("z")

    assert "9z 12c" == play.polls(2)

    play.start("e")

    assert "15d 18x 21y 24a 27b 30z 33c 36e" == play.polls(8)


def test_running_is_the_head() -> None:
    """In an unordered lane the one that runs is asked in turn with all others."""
    play = Play()
    play.attach("abcd")
    answers: dict[str, Answer] = dict.fromkeys("abd", PENDING)

    assert "0a 3b 6c 9d 12c 15a 18c 21b 24c 27d" == play.polls(10, answers)

    answers = {"c": PENDING, **dict.fromkeys("abd", PENDING)}

    assert "30c 33a 36b 39d 42c" == play.polls(5, answers)


def test_running_without_pending_tells_nothing() -> None:
    """Where an API calls the whole queue running, the order is believed."""
    play = Play("abc")
    seen = play.polls_until(600)

    assert "bcbc" == seen.replace("a", "")

    assert 0 == play.lanes.out_of_order


def test_displaced_runner_is_asked() -> None:
    """Who ran when another one starts to run has finished, most likely."""
    play = Play()
    play.attach("abcd")
    answers: dict[str, Answer] = {**dict.fromkeys("bcd", PENDING), "a": RUNNING}

    assert "0a 3b 6c 9a" == play.polls(4, answers)

    answers |= {"d": RUNNING, "a": PENDING}

    assert "12d 15d 18a 21d 24b" == play.polls(5, answers)


def test_running_in_the_tail_asks_the_head() -> None:
    """If one of the tail runs, the head must have finished: it is asked at once."""
    play = Play("abc")
    play.polls_until(359, {"c": PENDING})

    assert "bab" == play.polls_until(361, {"a": DONE})

    assert 0 == play.lanes.out_of_order


def test_running_out_of_turn() -> None:
    """If the head waits while one of the tail runs, the lane is surprised."""
    play = Play("abc")
    play.polls_until(120, {"a": PENDING})

    assert "120b 120a" == play.polls(2, {"a": PENDING, "b": RUNNING})

    assert 1 == play.lanes.out_of_order

    answers: dict[str, Answer] = {"a": PENDING, "c": PENDING, "b": RUNNING}

    assert "123c 126b 129a 132b 135c" == play.polls(5, answers)


def test_finish_out_of_turn() -> None:
    """A finish out of turn is counted and makes the lane unordered."""
    play = Play("abcd")
    play.polls_until(120)

    assert "120b 120a" == play.polls(2, {"b": DONE})

    assert 1 == play.lanes.out_of_order

    assert "123c 126d 129a 132c" == play.polls(4)


def test_finish_before_the_head_was_asked() -> None:
    """A finish in the tail is no surprise if all ahead of it have finished too."""
    play = Play("abcd")
    play.polls_until(120)

    assert "120b 120a 120c" == play.polls(3, {"b": DONE, "a": DONE})

    play.polls_until(240)

    assert "d" == play.polls(1, {"d": DONE})[-1]

    assert 0 == play.lanes.out_of_order


def test_recovery() -> None:
    """A lane is ordered again after three finishes in order."""
    play = Play("abcdefgh")
    play.polls_until(120)
    play.polls(2, {"b": DONE})

    assert "123c 126d 129e 132f 135g 138h 141a 141c 144d" == play.polls(9, {"a": DONE})

    assert "147c 147d 147e 157e" == play.polls(4, {"c": DONE, "d": DONE})

    assert "e" * 36 == play.polls_until(147 + 119)

    assert "267f" == play.poll()


def test_recovery_of_the_last() -> None:
    """A lane with one workflow left has no tail after its recovery."""
    play = Play()
    play.attach("abcd")

    assert "0a 0b 0c 0d 10d 13d" == play.polls(6, dict.fromkeys("abc", DONE))

    assert "d" * 40 == play.polls_until(134)


def test_streak_ends() -> None:
    """A finish out of order is the end of a streak, and no surprise twice."""
    play = Play()
    play.attach("abcdefg")

    assert "0a 0b 0c 3d 3c 6e" == play.polls(6, dict.fromkeys("abd", DONE))

    assert "9f 12g 15c" == play.polls(3)

    assert 0 == play.lanes.out_of_order


def test_moved_head_proves_nothing() -> None:
    """The finish of a workflow that the API told to run does not count as in order."""
    play = Play()
    play.attach("abcdefgh")
    answers: dict[str, Answer] = dict.fromkeys("abcdefgh", PENDING)
    for name in "hgf":
        for answer in (RUNNING, DONE):
            while play.polls(1, answers | {name: answer})[-1] != name:
                pass

    assert 2 <= len(set(play.polls_until(play.now + 20, answers)))


def test_moved_head_is_no_streak() -> None:
    """After the finish of a moved head there is no likely head: round robin."""
    play = Play()
    play.attach("abcd")
    answers: dict[str, Answer] = dict.fromkeys("abc", PENDING)

    assert "0a 3b 6c 9d 12a 15d" == play.polls(6, answers | {"d": RUNNING})

    answers["d"] = DONE
    while play.polls(1, answers)[-1] != "d":
        pass

    assert "acbac" == "".join(play.polls(1, answers)[-1] for _ in range(5))


def test_no_alternation_near_the_tail() -> None:
    """A likely head gets no turns that would keep the others waiting too long."""
    play = Play(polling=Polling(growth=1, jitter=0, queued_interval=20))
    play.attach("abc")

    assert "0a 3b 6c 9a 12b 15c" == play.polls(6, {"b": PENDING, "c": PENDING})


def test_off_hours() -> None:
    """Outside working hours a lane slows down to *cap*, then to *tail*."""
    play = Play("ab", Polling(growth=2, jitter=0))
    asleep = StillRunning("pending", OFF_HOURS)
    answers: dict[str, Answer] = {"a": asleep, "b": asleep}

    assert "10a 25a 55a 115a 120b 235a 240b" == play.polls(7, answers)

    assert "355a 358a 360b 364a" == play.polls(4, {"b": PENDING})


def test_off_hours_unordered() -> None:
    """An unordered lane rests as a whole, and a failed poll does not wake it."""
    play = Play(polling=Polling(growth=2, jitter=0))
    play.attach("abc")
    asleep = StillRunning("pending", OFF_HOURS)

    assert "0a 15b 45c" == play.polls(3, dict.fromkeys("abc", asleep))

    assert "105a 165b" == play.polls(2, {"a": FAILED})

    assert "168c" == play.polls(1)


def test_expedite() -> None:
    """An expedited workflow is asked first, once, also out of the tail."""
    play = Play("abc")
    play.lanes.expedite(play.workflows["c"])
    play.lanes.expedite(play.workflows["c"])

    urgent = [play.lanes.urgent]

    assert ["c"] == [workflow.id for workflow in play.lanes.take(5.0, 9)]

    urgent.append(play.lanes.urgent)

    assert [True, False] == urgent

    play.answer("c", RUNNING)

    assert "10a" == play.poll()


def test_expedited_by_the_way() -> None:
    """An expedited workflow that is asked anyway, or left, is not asked for it again."""
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
    """The cadence of a head goes on from a poll that was expedited."""
    play = Play("a")
    play.lanes.expedite(play.workflows["a"])

    assert 1 == len(play.lanes.take(8.0, 1))

    assert [] == play.lanes.take(10.0, 1)

    play.now = 11.0
    play.answer("a", RUNNING)

    assert "14a" == play.poll()


def test_expedited_early() -> None:
    """A poll that was expedited does not bring the next one forward."""
    play = Play("a")
    play.lanes.expedite(play.workflows["a"])

    assert ["a"] == [workflow.id for workflow in play.lanes.take(0.0, 1)]

    play.answer("a", RUNNING)

    assert "10a 13a" == play.polls(2)


def test_expedited_from_rest() -> None:
    """A lane that turns out to work again is asked at its usual pace."""
    play = Play("a")
    play.polls_until(100, {"a": StillRunning("pending", OFF_HOURS)})
    play.lanes.expedite(play.workflows["a"])
    play.lanes.take(play.now, 1)
    play.answer("a", RUNNING)

    assert play.now + 3 == play.lanes.next_poll_at()


def test_all_expedited() -> None:
    """A lane that is due has nobody to ask while all are being asked."""
    for ordered in (True, False):
        play = Play()
        play.start("abc", ordered=ordered)
        for workflow in play.workflows.values():
            play.lanes.expedite(workflow)

        assert 3 == len(play.lanes.take(0.0, 9))

        assert [] == play.lanes.take(500.0, 9)


def test_expedited_finish_in_the_tail() -> None:
    """Everybody asked at once, in whatever order the answers come: no surprise."""
    play = Play("abcd")
    for name in "abc":
        play.lanes.expedite(play.workflows[name])
    play.lanes.take(0.0, 9)
    for name in "cba":
        play.answer(name, DONE)

    assert "0d" == play.poll()

    assert 0 == play.lanes.out_of_order


def test_failed_polls_end_no_wait() -> None:
    """A week of outage ends no wait, and polls back off to *cap*."""
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
    """A refused token ends a wait after a minute and three times, then all at once."""
    play = Play("abc")
    answers: dict[str, Answer] = dict.fromkeys("abc", REFUSED)

    assert "a" * 20 == play.polls_until(70, answers)

    assert "70a" == play.poll()

    end = play.answer("a", REFUSED)

    assert end == Ended(REFUSED.error)

    assert "70b 70c" == play.polls(2, answers)

    assert 0 == len(play.lanes)


def test_usable_answer_clears_refusals() -> None:
    """One usable answer, and the counting begins anew."""
    play = Play("a")
    play.polls_until(69, {"a": REFUSED})
    play.polls(1)
    play.polls_until(130, {"a": REFUSED})

    assert 1 == len(play.lanes)


def test_finish_clears_refusals() -> None:
    """A finish in the lane is a usable answer too."""
    play = Play("ab")
    play.polls_until(69, {"a": REFUSED})
    play.lanes.expedite(play.workflows["b"])
    play.lanes.take(play.now, 1)
    play.answer("b", DONE)
    play.polls_until(100, {"a": REFUSED})

    assert 1 == len(play.lanes)


def test_rare_refusals() -> None:
    """A long time is not enough: the error must come three times."""
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
    """An unordered lane goes on at its pace without the unknown id."""
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
    """Lanes that come due in a pause move behind it, spread by chance."""
    lanes = PollScheduler(EVEN, random.Random(1))
    for n in range(200):
        lanes.add(PendingWorkflow(str(n), n), 0.0)
    lanes.defer(10.0, 60.0)

    assert [] == lanes.take(59.9, 999)

    halfway = len(lanes.take(61.5, 999))

    assert 70 < halfway < 130

    assert 200 == halfway + len(lanes.take(63.0, 999))


def test_throttle_open() -> None:
    """Without a rate and a pause everything may go."""
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
    """Early finishes leave no more in the heap than a tail's worth of entries."""
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
    """A workflow as the simulated server knows it."""

    workflow: PendingWorkflow | None
    seconds: float
    end: float = math.inf
    late_by: float = 0.0
    """How long its finish may go unnoticed, in seconds, apart from the tail rule."""

    most: int = 0
    """The largest number of ours in its lane since it finished."""


@define
class Server:
    """One simulated account, run in an order that the lanes do not know."""

    tells: bool
    queue: list[Job] = field(factory=list)
    jobs: dict[PendingWorkflow, Job] = field(factory=dict)
    waiting: int = 0

    def run(self, now: float) -> list[Job]:
        """Let workflows finish until *now*; return those of ours that did."""
        finished = []
        while self.queue and self.queue[0].end <= now:
            job = self.queue.pop(0)
            if self.queue:
                self.queue[0].end = job.end + self.queue[0].seconds
            if job.workflow:
                finished.append(job)
        return finished

    def enter(self, job: Job, place: int, now: float) -> None:
        """Queue *job* at *place*, not before the one that runs."""
        self.queue.insert(place if not self.queue else max(place, 1), job)
        self.queue[0].end = min(self.queue[0].end, now + self.queue[0].seconds)
        if job.workflow:
            self.jobs[job.workflow] = job


LATENCY = 0.25
ACCOUNTS = st.integers(0, 1)


class LanesMachine(RuleBasedStateMachine):
    """Whatever happens, every finish is noticed in time, by one poll at a time."""

    @initialize(tells=st.booleans(), seed=st.integers(0, 99), tail=st.integers(8, 120))
    def begin(self, *, tells: bool, seed: int, tail: int) -> None:
        """Set up two accounts."""
        self.polling = Polling(queued_interval=tail)
        self.lanes = PollScheduler(self.polling, random.Random(seed))
        self.now = 0.0
        self.serial = 0
        self.servers = [Server(tells), Server(tells)]
        self.asked: dict[PendingWorkflow, float] = {}
        self.answers: list[tuple[float, int, PendingWorkflow]] = []
        self.failing = 0
        self.asleep = False
        self.noticed: set[PendingWorkflow] = set()

    def join(self, account: int, *, ordered: bool) -> PendingWorkflow:
        """Make a workflow and give it to the lanes."""
        self.serial += 1
        workflow = PendingWorkflow(str(self.serial), account)
        server = self.servers[account]
        server.waiting += 1
        for job in server.jobs.values():
            job.most = max(job.most, server.waiting)
            # An attached workflow is asked before all others.
            job.late_by += 0 if ordered else self.polling.queued_interval
        self.lanes.add(workflow, self.now, ordered=ordered)
        return workflow

    @rule(account=ACCOUNTS, seconds=st.floats(0.1, 200), foreign=st.booleans())
    def start(self, account: int, seconds: float, *, foreign: bool) -> None:
        """Start a workflow, ours or another program's."""
        workflow = None if foreign else self.join(account, ordered=True)
        server = self.servers[account]
        server.enter(Job(workflow, seconds), len(server.queue), self.now)

    @rule(account=ACCOUNTS, seconds=st.floats(0, 200), place=st.integers(0, 9))
    def attach(self, account: int, seconds: float, place: int) -> None:
        """Attach a workflow from anywhere in the queue, or a finished one."""
        workflow, server = self.join(account, ordered=False), self.servers[account]
        if place:
            server.enter(Job(workflow, seconds), place, self.now)
        else:
            job = Job(workflow, seconds, end=self.now, most=server.waiting)
            server.jobs[workflow] = job

    @rule(account=ACCOUNTS, seed=st.integers(0, 99))
    def reorder(self, account: int, seed: int) -> None:
        """Let the server change its mind about the order."""
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
        self.asleep = not self.asleep

    @precondition(lambda self: len(self.lanes) > 0)
    @rule(pick=st.integers(0))
    def remove(self, pick: int) -> None:
        """Lose interest in a workflow, which leaves the queue too."""
        workflow = self.pick(pick)
        self.lanes.remove(workflow, self.now)
        self.forget(workflow)

    @precondition(lambda self: len(self.lanes) > 0)
    @rule(pick=st.integers(0), count=st.integers(1, 9))
    def expedite(self, pick: int, count: int) -> None:
        """Want to know at once about some workflows."""
        for n in range(count):
            self.lanes.expedite(self.pick(pick + n))

    @rule(seconds=st.floats(0, 900), limit=st.integers(1, 5))
    def advance(self, seconds: float, limit: int) -> None:
        """Let time pass and polls happen."""
        self.go_on(self.now + seconds, limit)

    def pick(self, number: int) -> PendingWorkflow:
        """Return one of the workflows that wait."""
        workflows = [workflow for server in self.servers for workflow in server.jobs]
        return workflows[number % len(workflows)]

    def forget(self, workflow: PendingWorkflow) -> None:
        """Take *workflow* out of the model."""
        server = self.servers[int(str(workflow.account))]
        server.waiting -= 1
        job = server.jobs.pop(workflow)
        job.workflow = None

    def go_on(self, target: float, limit: int) -> None:
        """Play all polls and answers until *target*, in the order of time."""
        while True:
            due = self.lanes.next_poll_at()
            take = math.inf if due is None else max(due, self.now)
            take = self.now if self.lanes.urgent else take
            back = self.answers[0][0] if self.answers else math.inf
            if min(take, back) > target:
                break
            self.now = min(take, back)
            if back <= take:
                self.deliver(heappop(self.answers)[2])
            else:
                self.ask(limit)
            self.check_lateness()
        self.now = target
        self.check_lateness()

    def ask(self, limit: int) -> None:
        """Take workflows and send their polls off."""
        for workflow in self.lanes.take(self.now, limit):
            assert workflow not in self.asked, "two polls at once"
            assert any(workflow in server.jobs for server in self.servers)
            self.asked[workflow] = self.now
            self.serial += 1
            heappush(self.answers, (self.now + LATENCY, self.serial, workflow))

    def deliver(self, workflow: PendingWorkflow) -> None:
        """Answer the poll of *workflow* as of now."""
        del self.asked[workflow]
        server = self.servers[int(str(workflow.account))]
        self.settle_finished()
        if self.failing:
            self.failing -= 1
            for job in server.jobs.values():
                job.late_by += self.polling.queued_interval

            assert self.lanes.answered(workflow, self.now, FAILED) is None
        elif (ours := server.jobs.get(workflow)) is None:
            assert self.lanes.answered(workflow, self.now, PENDING) is None
        elif ours.end <= self.now:
            assert self.lanes.answered(workflow, self.now, DONE) is DONE
            self.noticed.add(workflow)
            self.forget(workflow)
        else:
            runs = ours is server.queue[0] or not server.tells
            answer = RUNNING if runs else PENDING
            if self.asleep and not runs:
                answer = StillRunning("pending", OFF_HOURS)

            assert self.lanes.answered(workflow, self.now, answer) is None

    def settle_finished(self) -> None:
        """Bring the model up to now."""
        for server in self.servers:
            for job in server.run(self.now):
                job.most = server.waiting
                job.late_by = 0.0

    def check_lateness(self) -> None:
        """Hold the promise: noticed within *tail* times the lane's size."""
        self.settle_finished()
        for server in self.servers:
            for job in server.jobs.values():
                slack = job.late_by + (job.most + 2) * 2 * LATENCY
                late = self.now - job.end

                assert late <= self.polling.queued_interval * job.most + slack

    @invariant()
    def counts(self) -> None:
        """The lanes hold what the model holds."""
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

        assert self.lanes.next_poll_at() is None or self.lanes.take(math.inf, 9) == []


TestLanesMachine = LanesMachine.TestCase
TestLanesMachine.settings = settings(
    max_examples=150, stateful_step_count=30, deadline=None
)


def test_lateness_counts_from_the_last_sign_of_work() -> None:
    """A finish was noticed at most as late as the last answer that said otherwise."""
    play = Play("a", EVEN)
    play.polls(2)
    play.polls(1, {"a": DONE})

    assert [3.0] == list(play.lanes.detection_delays)


def test_lateness_of_a_promoted_head_counts_from_its_promotion() -> None:
    """What waited behind another did not finish before it became the head."""
    play = Play("ab", EVEN)
    play.polls(1, {"a": DONE})
    play.polls(1, {"b": RUNNING})
    play.polls(1, {"b": DONE})

    assert [10.0, 10.0] == list(play.lanes.detection_delays)


def test_lateness_of_an_attached_ticket_is_not_known_at_first() -> None:
    """It may have finished long before anybody asked."""
    play = Play()
    play.attach("ab")
    play.polls(1, {"a": DONE, "b": DONE})

    assert [] == list(play.lanes.detection_delays)
