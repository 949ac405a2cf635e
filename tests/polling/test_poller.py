"""The polling engine under a virtual clock: hours of waiting, and all ways to end."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from event_loops import VirtualLoop, run_virtual

from linkedapi_async._polling.answers import Ended, PollAnswer, PollFailed, StillRunning
from linkedapi_async._polling.lane import PendingWorkflow
from linkedapi_async._polling.poller import LAST_POLL, Poller
from linkedapi_async._polling.scheduler import OFF_HOURS
from linkedapi_async.errors import PollingCrashedError
from linkedapi_async.policies import Polling


pytestmark = pytest.mark.anyio

EVEN = Polling(growth=1, jitter=0)
RUNNING = StillRunning("running")
DONE = Ended("result", "completed")
FAILED = PollFailed(OSError("secret"))
LATENCY = 0.2


class ClosedError(Exception):
    """What waits raise once the poller is closed."""


class CrashError(Exception):
    """What a broken engine raises."""


class AtOnceLoop(VirtualLoop):
    """A loop that runs a timer of the past at once, as uvloop does.

    What `call_at` returns then has no `when`.
    """

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, **more: Any
    ) -> Any:
        """Call *callback* at *when*, or soon if that has passed."""
        if when <= self.time():
            return self.call_soon(callback, *args, **more)
        return super().call_at(when, callback, *args, **more)


@pytest.fixture(
    params=[
        pytest.param({"loop_factory": VirtualLoop}, id="plain"),
        pytest.param({"loop_factory": VirtualLoop, "debug": True}, id="debug"),
        pytest.param({"loop_factory": AtOnceLoop}, id="at-once"),
    ]
)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Run each test under a virtual clock, also in the debug mode of asyncio."""
    return "asyncio", request.param


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Check that asyncio logs nothing, and that no secret is in the log."""
    yield

    assert [] == [r for r in caplog.records if r.name == "asyncio"]

    assert "secret" not in caplog.text


class Host:
    """A host with scripted answers that records the polls."""

    def __init__(self, answer: PollAnswer | None = None) -> None:
        self.answer = answer
        self.polled: list[tuple[float, str]] = []
        self.ends: dict[str, float] = {}
        self.now_open: dict[str, int] = {}
        self.most_open = 0

    async def poll(self, workflow: PendingWorkflow) -> PollAnswer:
        """Answer one poll after a moment."""
        now = asyncio.get_running_loop().time
        self.polled.append((now(), workflow.id))
        assert workflow.id not in self.now_open, "two polls of one workflow at once"
        self.now_open[workflow.id] = 1
        self.most_open = max(self.most_open, len(self.now_open))
        try:
            await asyncio.sleep(LATENCY)
        finally:
            del self.now_open[workflow.id]
        if self.answer is not None:
            return self.answer
        return DONE if now() >= self.ends.get(workflow.id, math.inf) else RUNNING

    @property
    def times(self) -> list[float]:
        """When it was polled."""
        return [time for time, _ in self.polled]


@asynccontextmanager
async def running(
    poll: Callable[[PendingWorkflow], Awaitable[PollAnswer]],
    polling: Polling = EVEN,
    **options: Any,
) -> AsyncIterator[Poller]:
    """Start a poller; close it and check that it leaves no task behind."""
    before = asyncio.all_tasks()
    poller = Poller(poll, polling, rng=random.Random(1), **options)
    poller.start()
    try:
        yield poller
    finally:
        await poller.aclose(closed)

        assert before == asyncio.all_tasks()


def closed(workflow: PendingWorkflow) -> ClosedError:
    """Return the error for an open wait."""
    return ClosedError(workflow.id)


def now() -> float:
    """Return the virtual time."""
    return asyncio.get_running_loop().time()


async def settle() -> None:
    """Run all callbacks that need no time."""
    for _ in range(9):
        await asyncio.sleep(0)


async def test_one_workflow() -> None:
    """A wait returns the end of the workflow, and so do later waits."""
    host = Host()
    host.ends["a"] = now() + 12
    async with running(host.poll) as poller:
        began = now()
        workflow = PendingWorkflow("a", "account")
        poller.watch(workflow)

        assert 1 == poller.waiting

        assert await poller.wait(workflow) is DONE

        assert 13.4 == pytest.approx(now() - began)

        assert await poller.wait(workflow, 0) is DONE

        await poller.poll_now(workflow)

        assert (2, 0) == (poller.polls, poller.waiting)

        assert "completed" == workflow.status


async def test_without_waiters() -> None:
    """Statuses change without waiters, and each end is reported once."""
    host, ended = Host(), list[str]()
    host.ends = {"a": now() + 11, "b": now() + 30}
    async with running(host.poll, on_finish=lambda t: ended.append(t.id)) as poller:
        workflows = [PendingWorkflow("a", 1), PendingWorkflow("b", 1)]
        for workflow in workflows:
            poller.watch(workflow)
        await asyncio.sleep(20)

        assert ["completed", "running"] == [workflow.status for workflow in workflows]

        await asyncio.sleep(20)

        assert ["a", "b"] == ended

        assert not poller.resolve(workflows[0], DONE)


@pytest.mark.no_cover
def test_thousands() -> None:
    """Thousands of workflows of many accounts end, within the limit in flight."""

    async def scenario() -> None:
        """Watch all of them."""
        async with running(host.poll, Polling(), in_flight=10) as poller:
            workflows = [PendingWorkflow(str(n), n % 100) for n in range(2000)]
            free = dict.fromkeys(range(100), now())
            for n, workflow in enumerate(workflows):
                free[n % 100] += 25 * math.exp(chance.gauss(0, 0.6))
                host.ends[workflow.id] = free[n % 100]
                poller.watch(workflow)
            ends = await asyncio.gather(
                *(poller.wait(workflow) for workflow in workflows)
            )

            assert {"result"} == {end.value for end in ends}

            assert poller.polls < 7 * 2000

            assert 0 == poller.out_of_order

    host, chance = Host(), random.Random(7)
    run_virtual(scenario())

    assert 10 == host.most_open


async def test_in_flight() -> None:
    """The limit of polls in flight holds, and is used."""
    host = Host()
    async with running(host.poll, in_flight=3) as poller:
        for n in range(50):
            poller.watch(PendingWorkflow(str(n), n))
        await asyncio.sleep(60)

    assert 3 == host.most_open

    assert 50 < len(host.polled)


@pytest.mark.parametrize(
    ("patience", "deadline", "seconds"),
    [(None, 500, 500), (7, 500, 7), (1e6, 500, 1e6), (None, math.inf, None)],
)
async def test_deadline(
    patience: float | None, deadline: float, seconds: float | None
) -> None:
    """A wait ends when its time is up; the workflow is still watched."""
    host = Host()
    slow = Polling(
        initial_delay=1e4,
        interval=1e4,
        max_interval=1e4,
        queued_interval=1e5,
        deadline=deadline,
    )
    async with running(host.poll, slow) as poller:
        workflow = PendingWorkflow("a", 1)
        poller.watch(workflow)
        began = now()
        if seconds is None:
            host.ends["a"] = now() + 1e6

            assert await poller.wait(workflow) is DONE
        else:
            with pytest.raises(TimeoutError):
                await poller.wait(workflow, patience)

            assert seconds == pytest.approx(now() - began)

            assert not poller._waiters

            assert 1 == poller.waiting


async def test_deadlines_of_their_own() -> None:
    """Each waiter has its own deadline."""
    host = Host()
    host.ends["a"] = now() + 30
    async with running(host.poll) as poller:
        workflow = PendingWorkflow("a", 1)
        poller.watch(workflow)
        waits = [poller.wait(workflow, seconds) for seconds in (5, 99, 6)]
        ends = await asyncio.gather(*waits, return_exceptions=True)

        assert [TimeoutError, Ended, TimeoutError] == [type(end) for end in ends]


async def test_endless_timeout() -> None:
    """An infinite timeout overrides the deadline of the policy."""
    host = Host()
    host.ends["a"] = now() + 5000
    async with running(host.poll, Polling(deadline=10)) as poller:
        workflow = PendingWorkflow("a", 1)
        poller.watch(workflow)

        assert await poller.wait(workflow, math.inf) is DONE


def move_clock(seconds: float) -> None:
    """Move the clock of the running loop, as a sleep of the machine does."""
    loop: Any = asyncio.get_running_loop()
    loop._selector._clock.now += seconds


@pytest.mark.parametrize("timeout", [None, 500.0])
@pytest.mark.parametrize("in_time", [True, False])
async def test_deadline_while_the_machine_slept(
    *, timeout: float | None, in_time: bool
) -> None:
    """A deadline that passed in a sleep polls once more before it raises."""
    host = Host()
    async with running(host.poll, Polling(deadline=500)) as poller:
        workflows = [PendingWorkflow(str(n), 1) for n in range(3)]
        for workflow in workflows:
            poller.watch(workflow)
        waits = [
            asyncio.create_task(poller.wait(workflow, timeout))
            for workflow in workflows
        ]
        await asyncio.sleep(11)
        move_clock(90_000)
        if in_time:
            host.ends = dict.fromkeys("012", now())
        ends = await asyncio.gather(*waits, return_exceptions=True)

        assert {Ended if in_time else TimeoutError} == {type(end) for end in ends}


async def test_deadline_while_the_machine_slept_without_a_host() -> None:
    """The last poll is waited for a minute at most."""

    async def poll(workflow: PendingWorkflow) -> PollAnswer:
        """Never answer."""
        await asyncio.sleep(1e9)
        return RUNNING

    async with running(poll, Polling(deadline=500)) as poller:
        workflow = PendingWorkflow("a", 1)
        poller.watch(workflow)
        wait = asyncio.create_task(poller.wait(workflow))
        await asyncio.sleep(11)
        move_clock(1000)
        began = now()
        with pytest.raises(TimeoutError):
            await wait

        assert LAST_POLL == pytest.approx(now() - began)


async def test_a_clock_that_is_set_back() -> None:
    """A clock that is set back delays polls and waits by that step at most."""
    host, noticed = Host(), dict[str, float]()

    def on_finish(workflow: PendingWorkflow) -> None:
        """Note the time."""
        noticed[workflow.id] = now() - began

    async with running(host.poll, on_finish=on_finish) as poller:
        workflows = [PendingWorkflow(str(n), 1) for n in range(4)]
        for workflow in workflows:
            poller.watch(workflow)
        waits = [asyncio.create_task(poller.wait(w)) for w in workflows]
        late = asyncio.create_task(poller.wait(workflows[-1], 100))
        polled = PendingWorkflow("polled", 2)
        poller.watch(polled)
        await asyncio.sleep(50)
        move_clock(-3600)
        began = now()
        host.ends = {"0": began, "1": began + 30, "2": began + 60, "3": began + 4000}
        host.ends["polled"] = began

        assert await poller.wait(polled, 0) is DONE
        with pytest.raises(TimeoutError):
            await late

        assert now() - began <= 3600 + 51

        assert [DONE] * 4 == await asyncio.gather(*waits)

        assert all(noticed[name] <= 3600 + 5 for name in "012")

        assert 4000 <= noticed["3"] <= 4000 + 5

        assert min(poller.detection_delays) >= 0


def off_hours(host: Host, begin: float, end: float) -> None:
    """Let the host report that its account is outside working hours for a time."""
    start, loop = now(), asyncio.get_running_loop()
    waiting = StillRunning("pending", OFF_HOURS)
    loop.call_at(start + begin, setattr, host, "answer", waiting)
    loop.call_at(start + end, setattr, host, "answer", RUNNING)


async def test_deadline_outside_working_hours() -> None:
    """Time outside working hours does not count towards the default deadline."""
    host = Host(RUNNING)
    async with running(host.poll, Polling(deadline=1000)) as poller:
        off_hours(host, 100, 20_100)
        off_hours(host, 20_200, 50_200)
        workflow = PendingWorkflow("a", 1)
        poller.watch(workflow)
        began = now()
        with pytest.raises(TimeoutError):
            await poller.wait(workflow)

        assert 51_000 == pytest.approx(now() - began, abs=300)


async def test_timeout_outside_working_hours() -> None:
    """Time outside working hours counts towards an explicit timeout."""
    host = Host(RUNNING)
    async with running(host.poll) as poller:
        off_hours(host, 100, 20_100)
        workflow = PendingWorkflow("a", 1)
        poller.watch(workflow)
        began = now()
        with pytest.raises(TimeoutError):
            await poller.wait(workflow, 1000)

        assert 1000 == pytest.approx(now() - began)

        assert ("pending", OFF_HOURS) == (workflow.status, workflow.reason)

        poller.event_started(workflow)

        assert ("running", None) == (workflow.status, workflow.reason)


async def test_deadline_of_a_wait_that_begins_outside_working_hours() -> None:
    """A wait counts its own time only, and no end of another workflow adds to it."""
    host = Host(RUNNING)
    async with running(host.poll, Polling(deadline=1000)) as poller:
        off_hours(host, 0, 5000)
        first, second = PendingWorkflow("a", 1), PendingWorkflow("b", 1)
        poller.watch(first)
        poller.watch(second)
        await asyncio.sleep(2000)
        began = now()
        wait = asyncio.create_task(poller.wait(second))
        await asyncio.sleep(10)
        poller.resolve(first, DONE)
        with pytest.raises(TimeoutError):
            await wait

        assert 4000 == pytest.approx(now() - began, abs=300)


async def test_timeout_zero() -> None:
    """A timeout of 0 polls exactly once."""
    host = Host()
    async with running(host.poll) as poller:
        workflow = PendingWorkflow("a", 1)
        poller.watch(workflow)
        with pytest.raises(TimeoutError):
            await poller.wait(workflow, 0)

        assert 1 == len(host.polled)

        host.ends["a"] = now()

        assert await poller.wait(workflow, 0) is DONE

        assert 2 == len(host.polled)


async def test_timeout_zero_joins() -> None:
    """A timeout of 0 joins the poll that is in flight or queued."""
    host = Host()
    async with running(host.poll) as poller:
        workflow = PendingWorkflow("a", 1)
        poller.watch(workflow)
        one_shots = [poller.wait(workflow, 0) for _ in range(3)]
        errors = await asyncio.gather(*one_shots, return_exceptions=True)

        assert [TimeoutError] * 3 == [type(error) for error in errors]

        await asyncio.sleep(10 - LATENCY / 2)
        with pytest.raises(TimeoutError):
            await poller.wait(workflow, 0)

        assert 2 == len(host.polled)


async def test_poll_all_at_once() -> None:
    """Polling a whole lane at once respects the limit in flight."""
    host = Host()
    async with running(host.poll, in_flight=5) as poller:
        workflows = [PendingWorkflow(str(n), 1) for n in range(500)]
        for workflow in workflows:
            poller.watch(workflow)
        await asyncio.gather(*(poller.poll_now(workflow) for workflow in workflows))

        assert 500 <= poller.polls <= 503

    assert 5 == host.most_open


async def test_cancelled_waiters() -> None:
    """Cancelling a waiter affects neither the other waiters nor the workflow."""
    host = Host()
    host.ends["a"] = now() + 40
    async with running(host.poll) as poller:
        workflow = PendingWorkflow("a", 1)
        poller.watch(workflow)
        waiters = [asyncio.create_task(poller.wait(workflow)) for _ in range(5)]
        one_shot = asyncio.create_task(poller.wait(workflow, 0))
        await settle()
        waiters[0].cancel()
        one_shot.cancel()
        await asyncio.sleep(20)
        waiters[1].cancel()
        ends = await asyncio.gather(*waiters, one_shot, return_exceptions=True)

        assert [asyncio.CancelledError] * 2 == [type(end) for end in ends[:2]]

        assert [DONE] * 3 == ends[2:5]

        assert isinstance(ends[5], asyncio.CancelledError)


def steps_until_done(step: int) -> tuple[bool, object]:
    """Cancel a waiter at a *step* of the loop; return whether that worked, and DONE.

    Another waiter must get the result all the same.
    """

    async def scenario() -> tuple[bool, object]:
        """Wait twice for the same workflow."""
        host = Host()
        host.ends["a"] = now() + 11
        async with running(host.poll) as poller:
            workflow = PendingWorkflow("a", 1)
            poller.watch(workflow)
            other = asyncio.create_task(poller.wait(workflow))
            victim = asyncio.create_task(poller.wait(workflow))
            while step != len(steps) and not victim.done():
                steps.append(now())
                await asyncio.sleep(0 if len(steps) % 40 else 0.1)
            victim.cancel()
            await asyncio.wait([victim])
            return victim.cancelled(), await other

    steps: list[float] = []
    return run_virtual(scenario())


def test_cancellation_anywhere() -> None:
    """The result is not lost, whenever a waiter is cancelled."""
    outcomes = [steps_until_done(step) for step in range(0, 6000, 97)]

    assert {(True, DONE), (False, DONE)} == set(outcomes)


async def test_cancelled_after_the_result() -> None:
    """A waiter cancelled right after the result leaves it to others."""
    async with running(Host().poll) as poller:
        workflow = PendingWorkflow("a", 1)
        poller.watch(workflow)
        waiter = asyncio.create_task(poller.wait(workflow))
        await settle()

        assert poller.resolve(workflow, DONE)

        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter

        assert await poller.wait(workflow) is DONE


async def test_cancelled_before_the_result() -> None:
    """A result right after the cancellation of a waiter does no harm."""
    async with running(Host().poll) as poller:
        workflow = PendingWorkflow("a", 1)
        poller.watch(workflow)
        waiter = asyncio.create_task(poller.wait(workflow))
        await settle()
        waiter.cancel()
        poller.resolve(workflow, DONE)
        with pytest.raises(asyncio.CancelledError):
            await waiter


async def test_resolve() -> None:
    """Ending a wait from outside wakes all waiters and stops the polls."""
    host, ended = Host(), list[PendingWorkflow]()
    gone = Ended(ClosedError("cancelled"))
    async with running(host.poll, on_finish=ended.append) as poller:
        workflow = PendingWorkflow("a", 1, "pending")
        poller.watch(workflow)
        waiters = [asyncio.create_task(poller.wait(workflow, t)) for t in (None, 0)]
        await asyncio.sleep(LATENCY / 2)

        assert poller.resolve(workflow, gone)

        assert [gone, gone] == await asyncio.gather(*waiters)

        assert ([workflow], "pending") == (ended, workflow.status)

        await asyncio.sleep(100)

    assert 1 == len(host.polled)


async def test_two_ends_in_one_turn() -> None:
    """Two heads in one turn of the loop are both polled, on any kind of loop."""
    host = Host(RUNNING)
    async with running(host.poll, Polling(initial_delay=0, jitter=0)) as poller:
        workflows = [PendingWorkflow(str(n), n % 2) for n in range(4)]
        for workflow in workflows:
            poller.watch(workflow)
        await asyncio.sleep(1)
        began, host.polled = now(), []
        for workflow in workflows[:2]:
            poller.resolve(workflow, DONE)
        await asyncio.sleep(1)

    assert [(began, "2"), (began, "3")] == host.polled


async def test_unordered() -> None:
    """Attached workflows share one cadence."""
    host = Host()
    async with running(host.poll) as poller:
        for name in "abc":
            poller.watch(PendingWorkflow(name, 1), ordered=False)
        await asyncio.sleep(10)

    assert ["a", "b", "c", "a"] == [name for _, name in host.polled]


async def test_earlier_than_the_timer() -> None:
    """A poll that is earlier than all others does not wait for them."""
    host = Host()
    slow = Polling(initial_delay=50, interval=50, max_interval=50)
    async with running(host.poll, slow) as poller:
        poller.watch(PendingWorkflow("a", 1))
        await asyncio.sleep(1)
        poller.watch(PendingWorkflow("b", 2), ordered=False)
        await asyncio.sleep(1)

    assert ["b"] == [name for _, name in host.polled]


async def test_outage(caplog: pytest.LogCaptureFixture) -> None:
    """An outage ends no wait, adds no polls, and is logged once a minute."""
    host = Host()
    async with running(host.poll, Polling()) as poller:
        for n in range(20):
            poller.watch(PendingWorkflow(str(n), n))
        await asyncio.sleep(600)
        normal, host.answer = len(host.polled), FAILED
        await asyncio.sleep(600)

        assert len(host.polled) - normal <= 1.1 * normal

        assert 9 <= len(caplog.records) <= 11

        assert "failed in a row, the last one with OSError" in caplog.text

        host.answer, before = None, len(host.polled)
        await asyncio.sleep(20)

        assert len(host.polled) - before <= 40

        assert 20 == poller.waiting


async def test_refused_is_no_outage(caplog: pytest.LogCaptureFixture) -> None:
    """A token error repeated for a minute ends the wait, without a warning."""
    refused = PollFailed(ClosedError("token"), "refused")
    async with running(Host(refused).poll) as poller:
        workflow = PendingWorkflow("a", 1)
        poller.watch(workflow)

        assert Ended(refused.error) == await poller.wait(workflow)

    assert "" == caplog.text


async def test_pause(caplog: pytest.LogCaptureFixture) -> None:
    """A pause holds for the whole host; afterwards the polls are spread."""
    host = Host()
    async with running(host.poll) as poller:
        for n in range(200):
            poller.watch(PendingWorkflow(str(n), n))
        await asyncio.sleep(11)
        poller.pause(100)
        end = now() + 100
        before = len(host.polled)
        poller.watch(PendingWorkflow("new", "new"))
        await asyncio.sleep(99.9)

        assert before == len(host.polled)

        await asyncio.sleep(4)
        after = [time - end for time in host.times[before:]]

        assert 201 <= len(after)

        assert 40 <= sum(time < 1 for time in after) <= 100

    assert ["The host asks for a pause of 100 s"] == caplog.messages


async def test_pause_from_an_answer() -> None:
    """The answer to a poll may ask for a pause; the longest one counts."""
    host = Host(PollFailed(OSError(), pause=50))
    async with running(host.poll) as poller:
        poller.watch(PendingWorkflow("a", 1))
        await asyncio.sleep(20)
        poller.pause(10)
        await asyncio.sleep(39)

        assert 1 == len(host.polled)

        await asyncio.sleep(5)

        assert 2 == len(host.polled)


async def test_timeout_zero_in_a_pause() -> None:
    """A timeout of 0 polls at once in a pause, and the pause goes on."""
    host = Host()
    async with running(host.poll) as poller:
        workflow = PendingWorkflow("a", 1)
        poller.watch(workflow)
        poller.pause(3600)
        began = now()
        with pytest.raises(TimeoutError):
            await poller.wait(workflow, 0)

        assert LATENCY == pytest.approx(now() - began)

        await asyncio.sleep(1000)

    assert 1 == len(host.polled)


async def test_one_poll_a_second_in_a_pause() -> None:
    """Timeouts of 0 send one poll a second for the whole host, and nothing else."""
    host = Host(PollFailed(OSError(), pause=60))
    async with running(host.poll, in_flight=5) as poller:
        workflows = [PendingWorkflow(str(n), n) for n in range(20)]
        for workflow in workflows:
            poller.watch(workflow)
        poller.pause(60)
        await asyncio.sleep(15)
        poller.event_finished(PendingWorkflow("unwatched", 1), None)
        poller.event_finished(workflows[9], None)
        waits = [poller.wait(workflow, 0) for workflow in workflows[:4]]
        errors = await asyncio.gather(*waits, return_exceptions=True)
        polled = [*host.polled]
        await asyncio.sleep(30)

        assert [TimeoutError] * 4 == [type(error) for error in errors]

        assert ["0", "1", "2", "3"] == [name for _, name in polled]

        assert [1.0] * 3 == [round(b - a, 6) for (a, _), (b, _) in pairwise(polled)]

        assert polled == host.polled


async def test_a_rate_holds_in_a_pause() -> None:
    """Timeouts of 0 in a pause are no faster than the rate of the host."""
    host = Host()
    async with running(host.poll, rate=0.25, in_flight=1) as poller:
        workflows = [PendingWorkflow(str(n), n) for n in range(3)]
        for workflow in workflows:
            poller.watch(workflow)
        poller.pause(60)
        waits = [poller.wait(workflow, 0) for workflow in workflows]
        await asyncio.gather(*waits, return_exceptions=True)

    assert [4, 4] == [round(b - a, 6) for a, b in pairwise(host.times)]


@pytest.mark.parametrize("seconds", [3601, math.inf])
async def test_long_pause(seconds: float) -> None:
    """A pause takes at most an hour."""
    host = Host()
    async with running(host.poll) as poller:
        poller.watch(PendingWorkflow("a", 1))
        poller.pause(seconds)
        await asyncio.sleep(3599)

        assert [] == host.polled

        await asyncio.sleep(10)

    assert 1 <= len(host.polled)


@pytest.mark.parametrize("seconds", [None, 0, -5, math.nan])
async def test_absurd_pause(seconds: float | None) -> None:
    """An absurd pause is ignored."""
    host = Host()
    async with running(host.poll) as poller:
        poller.watch(PendingWorkflow("a", 1))
        poller.pause(seconds)
        await asyncio.sleep(15)

    assert 2 == len(host.polled)


async def test_pause_with_all_in_flight() -> None:
    """A pause defers lanes also while no further poll is allowed."""
    host = Host()
    async with running(host.poll, in_flight=1) as poller:
        for n in range(3):
            poller.watch(PendingWorkflow(str(n), n))
        await asyncio.sleep(10 + LATENCY / 2)
        poller.pause(30)
        await asyncio.sleep(29)

        assert 1 == len(host.polled)

        await asyncio.sleep(8)

        assert 4 <= len(host.polled)


async def test_rate() -> None:
    """A rate spaces out all requests, those that are not polls included."""
    host = Host()
    async with running(host.poll, Polling(initial_delay=0), rate=2) as poller:
        for n in range(20):
            poller.watch(PendingWorkflow(str(n), n))
        await asyncio.sleep(30)
        before = now()
        await poller.admit()

        assert now() > before

        await asyncio.sleep(10)

    gaps = {round(b - a, 3) for a, b in pairwise(host.times)}

    assert {0.5, 1.0} == gaps


async def test_admit() -> None:
    """A request that is not a poll waits for a pause only."""
    async with running(Host().poll) as poller:
        began = now()
        await poller.admit()

        assert began == now()

        poller.pause(5)
        await poller.admit()

        assert 5 == pytest.approx(now() - began)


@pytest.mark.parametrize("moment", [0.0, 10.1, 11.0])
async def test_close(moment: float) -> None:
    """Closing ends all waits with the given error, at any moment."""
    host, before = Host(), asyncio.all_tasks()
    poller = Poller(host.poll, EVEN)
    poller.start()
    workflows = [PendingWorkflow(str(n), n) for n in range(9)]
    for workflow in workflows:
        poller.watch(workflow)
    waits = [asyncio.create_task(poller.wait(workflow)) for workflow in workflows]
    waits += [asyncio.create_task(poller.wait(workflows[0], 0))]
    await asyncio.sleep(moment)
    await settle()
    await asyncio.gather(poller.aclose(closed), poller.aclose(closed))
    errors = await asyncio.gather(*waits, return_exceptions=True)

    assert (
        {ClosedError}
        <= {type(error) for error in errors}
        <= {ClosedError, TimeoutError}
    )

    with pytest.raises(ClosedError, match="3"):
        await poller.wait(workflows[3])
    with pytest.raises(ClosedError, match="new"):
        poller.watch(PendingWorkflow("new", 1))

    assert before == asyncio.all_tasks()


async def test_close_before_start() -> None:
    """A poller that was never started can be closed, and nothing else."""
    poller = Poller(Host().poll, EVEN)
    with pytest.raises(RuntimeError, match="was not started"):
        poller.watch(PendingWorkflow("a", 1))
    await poller.aclose(closed)


async def test_start_twice() -> None:
    """A poller starts once."""
    async with running(Host().poll) as poller:
        with pytest.raises(RuntimeError, match="was started before"):
            poller.start()


async def test_close_while_a_poll_resists() -> None:
    """An answer in spite of the cancellation starts no further poll."""

    polled = []

    async def poll(workflow: PendingWorkflow) -> PollAnswer:
        """Answer in spite of being cancelled."""
        polled.append(workflow.id)
        try:
            await asyncio.sleep(99)
        except asyncio.CancelledError:
            return DONE
        return RUNNING

    async with running(poll) as poller:
        workflows = [PendingWorkflow(name, 1) for name in "ab"]
        for workflow in workflows:
            poller.watch(workflow)
        await asyncio.sleep(11)

    assert [DONE, None] == [workflow.end for workflow in workflows]

    assert ["a"] == polled


class Harm(logging.Filter):
    """Raises wherever the polling engine calls something of others, for one workflow.

    Args:
        where: The place of the failure.
    """

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where
        self.count = 0

    def hit(self, where: str) -> None:
        """Raise if this is the place."""
        if where == self.where:
            self.count += 1
            raise CrashError("secret")

    async def poll(self, workflow: PendingWorkflow) -> Any:
        """Fail for one workflow; all others end."""
        if workflow.id != "odd":
            await asyncio.sleep(LATENCY)
            return DONE
        self.hit("poll")
        if self.where == "cancelled":
            self.count += 1
            raise asyncio.CancelledError
        if self.where in ("nonsense", "answer"):
            self.count += 1
            return OddAnswer("running") if self.where == "answer" else "nonsense"
        return DONE if self.where == "on_finish" else FAILED

    def on_finish(self, workflow: PendingWorkflow) -> None:
        """Fail for one workflow."""
        if workflow.id == "odd":
            self.hit("on_finish")

    def on_outage(self, *_: object) -> None:
        """Fail."""
        self.hit("on_outage")

    def filter(self, _: logging.LogRecord) -> bool:
        """Fail."""
        self.hit("log")
        return True


class OddAnswer(StillRunning):
    """An answer that raises when it is read."""

    @property
    def reason(self) -> str | None:
        """Raise."""
        raise CrashError("secret")

    @reason.setter
    def reason(self, _: str | None) -> None:
        """Ignore the value."""


@pytest.mark.parametrize(
    "where",
    ["poll", "cancelled", "nonsense", "answer", "on_finish", "on_outage", "log"],
)
@pytest.mark.parametrize("ordered", [True, False])
async def test_an_odd_poll_ends_no_other_wait(*, where: str, ordered: bool) -> None:
    """Whatever raises around one poll, all other waits get their results."""
    harm, log = Harm(where), logging.getLogger("linkedapi_async")
    hooks: Any = {"on_finish": harm.on_finish, "on_outage": harm.on_outage}
    log.addFilter(harm)
    try:
        async with running(harm.poll, **hooks) as poller:
            odd = PendingWorkflow("odd", 1)
            poller.watch(odd, ordered=ordered)
            await asyncio.sleep(60)
            polls = odd.polls
            others = [PendingWorkflow(str(n), n % 3) for n in range(9)]
            for workflow in others:
                poller.watch(workflow, ordered=ordered)
            waits = [poller.wait(workflow, 3600) for workflow in others]

            assert [DONE] * 9 == await asyncio.gather(*waits)

            if where == "on_finish":
                assert await poller.wait(odd) is DONE
            else:
                assert 15 <= polls <= 60 / 3 + 1
                assert poller.resolve(odd, DONE)

            assert poller.crash is None
    finally:
        log.removeFilter(harm)

    assert harm.count >= 1


def cancel_tasks(poller: Poller) -> None:
    """Cancel the tasks of the engine, as a careless caller may."""
    for task in poller._tasks:
        task.cancel()


def break_scheduler(poller: Poller) -> None:
    """Break what the engine cannot do without."""

    def take(now: float, limit: int) -> list[PendingWorkflow]:
        """Break."""
        raise CrashError("secret")

    poller._scheduler.take = take  # type: ignore[method-assign]


@pytest.mark.parametrize("harm", [cancel_tasks, break_scheduler])
async def test_crash(
    harm: Callable[[Poller], None], caplog: pytest.LogCaptureFixture
) -> None:
    """A crash stops the engine: every wait says so, and there is no further poll."""
    host = Host()
    async with running(host.poll) as poller:
        workflows = [PendingWorkflow(str(n), n) for n in range(5)]
        for workflow in workflows:
            poller.watch(workflow)
        poller.check_running()
        waits = [asyncio.create_task(poller.wait(w)) for w in workflows]
        waits.append(asyncio.create_task(poller.wait(workflows[0], 0)))
        await asyncio.sleep(1)
        harm(poller)
        errors = await asyncio.gather(*waits[:5], return_exceptions=True)
        polled = len(host.polled)

        assert {PollingCrashedError} == {type(error) for error in errors}

        ids = [getattr(error, "workflow_id", None) for error in errors]

        assert [*"01234"] == ids

        for timeout in (0, None):
            with pytest.raises(RuntimeError, match="engine crashed") as raised:
                await poller.wait(workflows[-1], timeout)

            assert raised.value.__cause__ is poller.crash

        with pytest.raises(RuntimeError, match="engine crashed"):
            poller.check_running()

        new = PendingWorkflow("new", 1)
        poller.watch(new)
        with pytest.raises(RuntimeError, match="engine crashed"):
            await poller.wait(new)
        with pytest.raises((RuntimeError, TimeoutError)):
            await waits[5]
        await asyncio.sleep(100)

        assert polled == len(host.polled)

    assert "The polling engine crashed: " in caplog.text


async def test_on_finish_raises_from_outside() -> None:
    """If the hook raises in the call of a user, the waiters wake all the same."""

    def on_finish(workflow: PendingWorkflow) -> None:
        """Break."""
        raise CrashError

    async with running(Host().poll, on_finish=on_finish) as poller:
        workflow = PendingWorkflow("a", 1)
        poller.watch(workflow)
        waiter = asyncio.create_task(poller.wait(workflow))
        await settle()
        with pytest.raises(CrashError):
            poller.resolve(workflow, DONE)

        assert await waiter is DONE


async def test_no_growth() -> None:
    """A poller without workflows keeps nothing of earlier ones."""
    host = Host(DONE)
    async with running(host.poll, Polling(initial_delay=0)) as poller:
        for n in range(300):
            workflow = PendingWorkflow(str(n), n % 7)
            poller.watch(workflow)
            await poller.wait(workflow, 5)

        assert not poller._waiters

        assert not poller._one_shot_waiters

        assert not poller._scheduler._lanes

        assert len(poller._scheduler._heap) < 10


def test_without_anything_left() -> None:
    """The virtual clock reports a deadlock instead of waiting for ever."""

    async def stuck() -> None:
        """Wait for a future that is never done."""
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="deadlock"):
        run_virtual(stuck())


async def test_a_workflow_that_was_never_watched_has_no_wait() -> None:
    """A wait for a workflow that the poller does not know is an error, not for ever."""

    async def poll(_: PendingWorkflow) -> PollAnswer:
        """Never called."""
        raise AssertionError

    async with running(poll) as poller:
        with pytest.raises(RuntimeError, match="wf-9 is not watched"):
            await poller.wait(PendingWorkflow("wf-9", "account"))
