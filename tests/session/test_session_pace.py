"""A session keeps the pace of its accounts: waits, refuses, counts, and sends no more."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import logging
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from event_loops import VirtualLoop
from scripted_server import (
    TOKEN,
    Scripted,
    completed,
    dropped,
    held,
    ok,
    raw,
    refused,
    running,
    taken,
)

from linkedapi_async import (
    AccountPausedError,
    AllowanceError,
    AuthenticationError,
    JournalError,
    Pace,
    PaceError,
    Polling,
    Session,
    SessionClosedError,
    StartUnknownError,
    SuppressedError,
    UnknownValueWarning,
    custom,
    st,
)
from linkedapi_async._pacing import Booking
from linkedapi_async._utils.secret import Secret
from linkedapi_async._utils.times import from_timestamp, set_wall_time, wall_time
from linkedapi_async.contacts import Contacts
from linkedapi_async.events import StartHeldBack, WorkflowStarting
from linkedapi_async.journal import MemoryJournal
from linkedapi_async.sandbox import Sandbox


pytestmark = pytest.mark.anyio

ADA = "https://www.linkedin.com/in/ada"
SEND = st.send_message(ADA, text="Hello")
CHECK = st.check_connection_status(ADA)
MONDAY = dt.datetime(2026, 3, 2, 10, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
TWO_A_DAY = Pace(per_day={"stMessages": 2})
PATIENT = Polling(deadline=math.inf)
SENT = {"actionType": "st.sendMessage", "success": True}
GONE = {**SENT, "success": False, "error": {"type": "personNotFound", "message": "x"}}


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Run with virtual time, in which days pass at once."""
    return "asyncio", {"loop_factory": VirtualLoop}


@pytest.fixture(autouse=True)
async def monday() -> None:
    """Let it be Monday at 10:00 UTC."""
    set_wall_time(MONDAY)


@pytest.fixture
async def box() -> AsyncIterator[Sandbox]:
    """A sandbox in which a workflow takes a minute, on the same Monday."""
    async with Sandbox(duration=60, now=MONDAY) as sandbox:
        yield sandbox


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    """A server that accepts every workflow and completes it."""
    async with Scripted() as scripted:
        scripted.script("POST", taken())
        scripted.script("GET", completed(SENT))
        yield scripted


def now() -> dt.datetime:
    """Return the present moment, without its seconds."""
    return from_timestamp(wall_time()).replace(second=0, microsecond=0)


def message_to(name: str) -> Any:
    """Return a message to a person of this name."""
    return st.send_message(f"https://www.linkedin.com/in/{name}", text="Hello")


async def start_at(session: Session, workflow: Any = SEND) -> dt.datetime:
    """Start a workflow; return when it was accepted."""
    await session.start(workflow)
    return now()


# Waiting


async def test_starts_wait_for_the_next_day(box: Sandbox) -> None:
    """What the day does not allow is started when the next one begins, in order."""
    async with box.session(pace=TWO_A_DAY, polling=PATIENT) as session:
        moments = await asyncio.gather(*(start_at(session) for _ in range(5)))

    midnight = MONDAY.replace(hour=0)
    assert [
        *[MONDAY] * 2,
        *[midnight + DAY] * 2,
        midnight + 2 * DAY,
    ] == moments


async def test_starts_wait_for_the_hours(box: Sandbox) -> None:
    """On a Saturday, a start waits for Monday morning."""
    set_wall_time(MONDAY + 5 * DAY)
    pace = Pace(hours="Mon-Fri 09:00-17:00 Europe/Berlin")
    async with box.session(pace=pace, polling=PATIENT) as session:
        moment = await start_at(session)

    assert MONDAY.replace(hour=8) + 7 * DAY == moment


async def test_starts_keep_an_interval(box: Sandbox) -> None:
    """No two starts of an account are nearer than the interval; accounts are apart."""
    pace = Pace(min_interval=300, jitter=0)
    async with box.session(pace=pace) as session:
        other = session.account("sandbox-account-2", pace=Pace(min_interval=600))
        moments, another = await asyncio.gather(
            asyncio.gather(*(start_at(session) for _ in range(3))), other.start(CHECK)
        )

    assert [MONDAY + dt.timedelta(minutes=5 * n) for n in range(3)] == moments
    assert another.account != session.default_account.name


async def test_other_workflows_pass(box: Sandbox) -> None:
    """A start whose category is used up does not hold back one of another."""
    async with box.session(pace=TWO_A_DAY, polling=PATIENT) as session:
        waiting = [asyncio.create_task(start_at(session)) for _ in range(3)]
        await asyncio.sleep(60)

        assert MONDAY + dt.timedelta(minutes=1) == await start_at(session, CHECK)
        assert [True, True, False] == [task.done() for task in waiting]
    with pytest.raises(SessionClosedError):
        await waiting[2]


async def test_a_start_past_its_deadline_is_refused_at_once(box: Sandbox) -> None:
    """Nothing is sent, the time is said, and the key stays free."""
    pace = Pace(hours="Mon 09:00-11:00 UTC", per_week={"stMessages": 1})
    journal = MemoryJournal()
    async with box.session(pace=pace, journal=journal) as session:
        await session.run(SEND)
        with pytest.raises(PaceError) as refused_start:
            await session.start(SEND)
        rows = await journal.rows()

    assert MONDAY + DAY * 7 - dt.timedelta(hours=1) == refused_start.value.until
    assert "stMessages" == refused_start.value.category
    assert session.default_account.name == refused_start.value.account
    assert "the pace allows 1 stMessages a week, 1 are used" in str(refused_start.value)
    assert 1 == len(rows) == len(box.workflows)


@pytest.mark.parametrize(("timeout", "is_refused"), [(3600, True), (86400, False)])
async def test_run_waits_within_its_timeout(
    box: Sandbox, timeout: float, is_refused: bool
) -> None:
    """A turn past the timeout is an error at once; one before it is waited for."""
    async with box.session(pace=TWO_A_DAY) as session:
        await asyncio.gather(session.run(SEND), session.run(SEND))
        try:
            await session.run(SEND, timeout=timeout)
        except PaceError:
            assert now() < MONDAY + dt.timedelta(minutes=10)
    assert (2 if is_refused else 3) == len(box.workflows)


async def test_those_who_wait_count(box: Sandbox) -> None:
    """A turn is after those that wait already, so it may be past the deadline."""
    async with box.session(pace=TWO_A_DAY) as session:
        ends = await asyncio.gather(
            *(session.start(SEND) for _ in range(9)), return_exceptions=True
        )

    assert 4 == sum(not isinstance(end, PaceError) for end in ends)


async def test_a_wait_for_work_under_way_ends_at_its_deadline(
    server: Scripted,
) -> None:
    """A start waits in case that what is under way does less, but not for ever."""
    server.script("GET", running())
    pace = Pace(per_day={"stMessages": 1})
    async with server.session(pace=pace, polling=Polling.fixed(60)) as session:
        await session.start(SEND)
        with pytest.raises(PaceError) as refused_start:
            await session.run(SEND, timeout=600)

        assert MONDAY + dt.timedelta(minutes=10) == now()
        assert MONDAY.replace(hour=0) + DAY == refused_start.value.until


async def test_waiting_costs_no_request(box: Sandbox) -> None:
    """A night of waiting sends nothing."""
    async with box.session(pace=TWO_A_DAY, polling=PATIENT) as session:
        await asyncio.gather(session.run(SEND), session.run(SEND))
        before = box.requests
        await session.start(SEND)

        assert before + 1 == box.requests


async def test_cancelled_waits_send_nothing(box: Sandbox) -> None:
    """A start that is cancelled while it waits leaves its place to the next."""
    async with box.session(pace=TWO_A_DAY, polling=PATIENT) as session:
        tasks = [asyncio.create_task(start_at(session)) for _ in range(5)]
        await asyncio.sleep(60)
        tasks[2].cancel()
        tasks[3].cancel()

        assert MONDAY.replace(hour=0) + DAY == await tasks[4]
    assert 3 == len(box.workflows)


async def test_a_start_cancelled_as_its_turn_comes(box: Sandbox) -> None:
    """It sends nothing either, and the next one may start."""
    pace = Pace(min_interval=60, jitter=0, per_day={"stMessages": 2})
    async with box.session(pace=pace) as session:
        runner = session.default_account._runner()
        assert runner.pacer is not None
        tasks = [asyncio.create_task(start_at(session)) for _ in range(3)]
        await asyncio.sleep(30)
        # Both in one turn of the loop: the wait has ended, and its task is cancelled.
        set_wall_time(MONDAY + dt.timedelta(seconds=90))
        runner.pacer._pump()
        tasks[1].cancel()
        moment = await tasks[2]

        assert MONDAY + dt.timedelta(minutes=1) == moment
        assert tasks[1].cancelled()
    assert 2 == len(box.workflows)


async def test_a_withdrawn_start_frees_its_turn(server: Scripted) -> None:
    """A start that is cancelled before it is sent counts no longer."""
    gate = asyncio.Event()
    server.script("POST", held(gate, taken("wf-1")), taken("wf-2"))
    pace = Pace(per_day={"stMessages": 2})
    async with server.session(pace=pace) as session:
        first = asyncio.create_task(session.start(SEND))
        await asyncio.sleep(1)
        second = asyncio.create_task(session.start(SEND))
        await asyncio.sleep(1)
        second.cancel()
        third = asyncio.create_task(session.start(SEND))
        gate.set()
        await asyncio.gather(first, third)

        assert now() < MONDAY + dt.timedelta(minutes=10)
    assert 2 == server.count("POST")


async def test_leaving_ends_the_waits(box: Sandbox) -> None:
    """A start that waits for its pace when the session is left was not sent."""
    async with box.session(pace=TWO_A_DAY, polling=PATIENT) as session:
        await asyncio.gather(session.run(SEND), session.run(SEND))
        waiting = asyncio.create_task(session.start(SEND))
        await asyncio.sleep(1)
    with pytest.raises(SessionClosedError):
        await waiting

    assert 2 == len(box.workflows)


async def test_a_start_cancelled_as_its_wait_ends(box: Sandbox) -> None:
    """A wait that ended with an error, and whose task is cancelled, is cancelled."""
    async with box.session(pace=TWO_A_DAY, polling=PATIENT) as session:
        pacer = session.default_account._runner().pacer
        assert pacer is not None
        tasks = [asyncio.create_task(session.start(SEND)) for _ in range(3)]
        await asyncio.sleep(60)
        pacer._close()
        tasks[2].cancel()
        await asyncio.wait(tasks)

        assert [False, False, True] == [task.cancelled() for task in tasks]


async def test_leaving_before_the_journal_has_answered(box: Sandbox) -> None:
    """A start that still reads the journal when the session is left does not hang."""

    class Slow(MemoryJournal):
        """A journal that takes a minute to answer."""

        async def bookings(self, account: str, since: float) -> Any:
            """Return the bookings late."""
            found = await super().bookings(account, since)
            await asyncio.sleep(60)
            return found

    async with box.session(pace=TWO_A_DAY, journal=Slow()) as session:
        waiting = [asyncio.create_task(session.start(SEND)) for _ in range(2)]
        await asyncio.sleep(1)
    for task in waiting:
        with pytest.raises(SessionClosedError):
            await task


async def test_a_pause_of_the_host_may_outlast_a_turn(server: Scripted) -> None:
    """A start that waits for the host until the hours are over waits for the next."""
    throttled = raw(
        '{"success": false, "error": {"type": "tooManyRequests", "message": "x"}}',
        status=429,
        Retry_After="3000",
    )
    server.script("POST", taken("wf-1"), throttled, taken("wf-2"), taken("wf-3"))
    set_wall_time(MONDAY.replace(hour=16, minute=50))
    pace = Pace(hours="Mon-Fri 09:00-17:00 UTC")
    async with server.session(pace=pace, polling=PATIENT) as session:
        await session.start(CHECK)
        retried, late = await asyncio.gather(
            session.start(CHECK), start_at(session, SEND)
        )

    assert "wf-2" == retried.workflow_id
    assert MONDAY.replace(hour=9) + DAY == late


async def test_a_paused_account_starts_nothing_after_its_wait(
    server: Scripted,
) -> None:
    """An account that was signed out meanwhile raises that, and frees the turn."""
    pace = Pace(min_interval=60, jitter=0)
    server.script("POST", taken("wf-1"), refused("linkedinAccountSignedOut"))
    async with server.session(pace=pace) as session:
        ends = await asyncio.gather(
            *(session.start(SEND) for _ in range(3)), return_exceptions=True
        )

    assert [False, True, True] == [isinstance(e, AccountPausedError) for e in ends]
    assert 2 == server.count("POST")


# Without waiting


async def starts(session: Session, count: int) -> list[Any]:
    """Start workflows as a stream does, which does not wait for days."""
    runner = session.default_account._runner()
    roots = Secret((SEND,))
    return await asyncio.gather(
        *(
            runner.start(roots, check=True, wait_for_pace=False, key=f"{n}")
            for n in range(count)
        ),
        return_exceptions=True,
    )


async def test_a_stream_waits_out_intervals_only(box: Sandbox) -> None:
    """It waits for the interval, and gets an error once the day is used up."""
    pace = Pace(per_day={"stMessages": 2}, min_interval=60, jitter=0)
    async with box.session(pace=pace) as session:
        first, second, *others = await starts(session, 4)

    assert first.workflow_id != second.workflow_id
    assert [MONDAY.replace(hour=0) + DAY] * 2 == [error.until for error in others]
    assert all(isinstance(error, PaceError) for error in others)
    assert now() < MONDAY + dt.timedelta(minutes=10)


async def test_failures_leave_their_place(server: Scripted) -> None:
    """What a workflow did not do is left for the next, on the same day."""
    server.script("GET", completed(GONE), completed(SENT))
    pace = Pace(per_day={"stMessages": 1})
    async with server.session(pace=pace) as session:
        first, second, third = await starts(session, 3)

    assert ["wf-1", "wf-2"] == [first.workflow_id, second.workflow_id]
    assert isinstance(third, PaceError)


async def test_closed_hours_end_a_stream_at_once(box: Sandbox) -> None:
    """Nothing is sent, and the opening is said."""
    pace = Pace(hours="Tue 09:00-17:00 UTC")
    async with box.session(pace=pace) as session:
        (error,) = await starts(session, 1)

    assert (MONDAY.replace(hour=9) + DAY, None) == (error.until, error.category)
    assert "outside the hours Tue 09:00-17:00 UTC" in error.reason
    assert not box.workflows


async def test_a_turn_may_be_unknown(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn that is too far away has no time."""
    monkeypatch.setattr("linkedapi_async._pacing.HORIZON", 40)
    pace = Pace(per_month={"stMessages": 1})
    async with box.session(pace=pace, polling=PATIENT) as session:
        waiting = [asyncio.create_task(session.start(SEND)) for _ in range(3)]
        await asyncio.sleep(1)
        with pytest.raises(PaceError) as error:
            await session.run(SEND, timeout=60)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)

    assert error.value.until is None


# What is counted


async def test_further_runs_hold_the_pace(box: Sandbox) -> None:
    """Counts and intervals are in the journal, so that a restart changes nothing."""
    pace = Pace(per_day={"stMessages": 2}, min_interval=600, jitter=0)
    journal = MemoryJournal()
    async with box.session(pace=pace, journal=journal) as session:
        await session.run(SEND)
    async with box.session(pace=pace, journal=journal) as session:
        second = await start_at(session)
        await session.drain()
    async with box.session(pace=pace, journal=journal) as session:
        with pytest.raises(PaceError):
            await session.run(SEND, timeout=3600)

    assert MONDAY + dt.timedelta(minutes=10) == second
    assert 2 == len(box.workflows)


async def test_work_under_way_counts_in_the_next_run(server: Scripted) -> None:
    """It counts as the most until the next run learns what it did."""
    server.script("GET", running())
    pace = Pace(per_day={"stMessages": 1})
    journal = MemoryJournal()
    async with server.session(pace=pace, journal=journal) as session:
        await session.start(SEND)
    server.script("GET", completed(GONE))
    async with server.session(pace=pace, journal=journal) as session:
        with pytest.raises(PaceError):
            await session.run(SEND, timeout=60)
        (handle,) = (await session.recover()).handles
        await handle.completion()
        server.script("GET", completed(SENT))
        await session.run(SEND, timeout=60)
    assert 2 == server.count("POST")


async def test_an_end_that_was_not_booked_is_booked_later(server: Scripted) -> None:
    """A run that ended between two records leaves the most; the next one knows better."""
    journal = MemoryJournal()
    account = "0123456789ab"
    async with journal:
        await journal.submit_booking(
            Booking("key", account, wall_time(), {"stMessages": 1})
        )
        await journal.intend("key", account, b'{"actionType": "st.sendMessage"}')
        await journal.accepted("key", "wf-9")
        await journal.finished("key", json.dumps(GONE).encode(), "completed")
    pace = Pace(per_day={"stMessages": 1})
    async with server.session(pace=pace, journal=journal) as session:
        named = session.account("other", account)
        with pytest.raises(PaceError):
            await named.run(SEND, timeout=60)
        await session.recover()
        await named.run(SEND, timeout=60)

    assert 1 == server.count("POST")


async def test_recovery_before_the_first_start(server: Scripted) -> None:
    """Work that is recovered before anything was started is waited for as well."""
    server.script("GET", running())
    pace = Pace(per_day={"stMessages": 1})
    journal = MemoryJournal()
    async with server.session(pace=pace, journal=journal) as session:
        await session.start(SEND)
    slow = Polling.fixed(10)
    async with server.session(pace=pace, journal=journal, polling=slow) as session:
        await session.recover()
        waiting = asyncio.create_task(session.run(SEND, timeout=600))
        await asyncio.sleep(60)
        assert not waiting.done()
        server.script("GET", completed(GONE), completed(SENT))
        await waiting
    assert 2 == server.count("POST")


async def test_recovered_work_that_has_ended_before_the_first_start(
    server: Scripted,
) -> None:
    """Its end is booked, though nothing was started yet."""
    server.script("GET", running())
    journal = MemoryJournal()
    pace = Pace(per_day={"stMessages": 1})
    async with server.session(pace=pace, journal=journal) as session:
        await session.start(SEND)
    server.script("GET", completed(GONE))
    async with server.session(pace=pace, journal=journal) as session:
        (handle,) = (await session.recover()).handles
        await handle.completion()
    async with server.session(pace=pace, journal=journal) as session:
        await session.recover()
    server.script("GET", completed(SENT))
    async with server.session(pace=pace, journal=journal) as session:
        await session.run(SEND, timeout=60)
    assert 2 == server.count("POST")


async def test_a_session_left_before_its_first_start(server: Scripted) -> None:
    """Recovered work that goes on stays booked when the session is left."""
    server.script("GET", running())
    journal = MemoryJournal()
    pace = Pace(per_day={"stMessages": 1})
    async with server.session(pace=pace, journal=journal) as session:
        await session.start(SEND)
    for _ in range(2):
        async with server.session(pace=pace, journal=journal) as session:
            await session.recover()
    async with server.session(pace=pace, journal=journal) as session:
        with pytest.raises(PaceError):
            await session.run(SEND, timeout=60)


async def test_a_refused_start_is_free(server: Scripted) -> None:
    """What the server refused counts no longer, in this run and the next."""
    server.script("POST", refused("invalidWorkflow"), taken())
    pace = Pace(per_day={"stMessages": 1})
    journal = MemoryJournal()
    async with server.session(pace=pace, journal=journal) as session:
        with pytest.raises(Exception, match="invalidWorkflow"):
            await session.run(SEND)
        await session.run(SEND, timeout=60)
    async with journal:
        found = await journal.bookings(session.default_account.name, 0)

    assert 1 == len(found.bookings)


async def test_an_unknown_start_counts(server: Scripted) -> None:
    """It may have been accepted, so it keeps its place, in the next run too."""
    server.script("POST", dropped(), taken())
    pace = Pace(per_day={"stMessages": 1})
    journal = MemoryJournal()
    async with server.session(pace=pace, journal=journal) as session:
        with pytest.raises(StartUnknownError):
            await session.run(SEND)
        with pytest.raises(PaceError):
            await session.run(SEND, timeout=60)
    async with server.session(pace=pace, journal=journal) as session:
        with pytest.raises(PaceError):
            await session.run(SEND, timeout=60)
        (row,) = await journal.unknown()
        await journal.discard(row.key)
    async with server.session(pace=pace, journal=journal) as session:
        await session.run(SEND, timeout=60)


async def test_a_start_without_an_answer_counts(server: Scripted) -> None:
    """A session that is left before the answer came leaves the start unknown."""
    server.script("POST", held(asyncio.Event(), taken()))
    pace = Pace(per_day={"stMessages": 1})
    journal = MemoryJournal()
    async with server.session(
        pace=pace, journal=journal, request_timeout=120
    ) as session:
        start = asyncio.create_task(session.start(SEND))
        await asyncio.sleep(1)
    with pytest.raises(StartUnknownError):
        await start
    async with journal:
        found = await journal.bookings(session.default_account.name, 0)

    assert [None] == [booking.ended for booking in found.bookings]


@pytest.mark.parametrize("lost", [True, False])
async def test_ends_that_do_not_say_what_was_done(server: Scripted, lost: bool) -> None:
    """A workflow that failed as a whole, or was lost, counts as the most."""
    failure = {"reason": "workflowTimeout", "message": "x"}
    server.script(
        "GET",
        refused("workflowNotFound", status=404)
        if lost
        else ok({"workflowStatus": "failed", "failure": failure}),
    )
    pace = Pace(per_day={"stMessages": 1})
    async with server.session(pace=pace, polling=Polling.fixed(10)) as session:
        handle = await session.start(SEND)
        with pytest.raises(Exception, match="wf-1"):
            await handle.result()
        with pytest.raises(PaceError):
            await session.run(SEND, timeout=60)


async def test_an_error_of_the_workflow_may_come_after_the_action(
    server: Scripted,
) -> None:
    """An action with an unknown error counts, because it may have been done."""
    odd = {**SENT, "success": False, "error": {"type": "unknownError", "message": "x"}}
    server.script("GET", completed(odd))
    async with server.session(pace=Pace(per_day={"stMessages": 1})) as session:
        await (await session.start(SEND)).completion()
        with pytest.raises(PaceError):
            await session.run(SEND, timeout=60)


@pytest.mark.parametrize("is_first", [True, False])
async def test_a_wait_that_ends_is_no_end(server: Scripted, is_first: bool) -> None:
    """What the token hides goes on, and keeps its place."""
    server.script("GET", running())
    pace = Pace(per_day={"stMessages": 1})
    journal = MemoryJournal()
    async with server.session(pace=pace, journal=journal) as session:
        await session.start(SEND)
    server.script("GET", refused("invalidLinkedApiToken", status=401))
    slow = Polling.fixed(10)
    async with server.session(pace=pace, journal=journal, polling=slow) as session:
        if is_first:
            await session.default_account.start(CHECK)
        for handle in (await session.recover()).handles:
            with pytest.raises(AuthenticationError):
                await handle.completion()
        with pytest.raises(PaceError):
            await session.run(SEND, timeout=60)


async def test_an_accepted_start_keeps_its_booking(server: Scripted) -> None:
    """An error after the server has accepted a start does not free its turn."""

    class Broken(MemoryJournal):
        """A journal that cannot record an id."""

        def submit_accepted(self, key: str, workflow_id: str) -> Any:
            """Fail."""
            raise JournalError(f"no room for {key} and {workflow_id}")

    pace = Pace(per_day={"stMessages": 1})
    async with server.session(pace=pace, journal=Broken()) as session:
        with pytest.raises(JournalError):
            await session.start(SEND)
        with pytest.raises(PaceError):
            await session.run(SEND, timeout=60)


@pytest.mark.parametrize("journal_fails", [False, True], ids=["free", "unknown"])
async def test_a_start_that_cannot_be_booked_is_not_sent(
    server: Scripted, *, journal_fails: bool
) -> None:
    """The error says why, and the key is free; if that fails too, it is unknown."""
    key = "row 1"
    is_full = True

    class Full(MemoryJournal):
        """A journal whose disk is full at first."""

        def submit_booking(self, booking: Booking) -> Any:
            """Fail while the disk is full."""
            done = super().submit_booking(booking)
            if is_full:
                done = asyncio.get_running_loop().create_future()
                done.set_exception(JournalError("the disk is full"))
            return done

        async def refused(self, key: str) -> None:
            """Fail while the disk is full, if it says so."""
            if is_full and journal_fails:
                raise JournalError("the disk is full")
            await super().refused(key)

    journal = Full()
    async with server.session(pace=TWO_A_DAY, journal=journal) as session:
        with pytest.raises(JournalError, match="the disk is full"):
            await session.start(SEND, key=key)
    sent = server.count("POST")
    is_full = False
    async with server.session(pace=TWO_A_DAY, journal=journal) as session:
        unknown = [row.key for row in (await session.recover()).unknown]
        if not journal_fails:
            await session.start(SEND, key=key)

    assert 0 == sent
    assert ([key] if journal_fails else []) == unknown
    assert server.count("POST") == (not journal_fails)


async def test_a_contact_is_reserved_after_the_wait(
    server: Scripted, tmp_path: Path
) -> None:
    """Of two programs that wait for the same opening, one writes to the person."""
    set_wall_time(MONDAY + 5 * DAY)
    pace = Pace(hours="Mon-Fri 09:00-17:00 UTC")
    path = tmp_path / "contacts.sqlite3"
    async with (
        server.session(pace=pace, polling=PATIENT, contacts=Contacts(path)) as one,
        server.session(pace=pace, polling=PATIENT, contacts=Contacts(path)) as two,
    ):
        first, second = await asyncio.gather(
            one.start(SEND), two.start(SEND), return_exceptions=True
        )

    assert 1 == isinstance(first, SuppressedError) + isinstance(second, SuppressedError)
    assert 1 == server.count("POST")


async def test_attached_workflows_are_not_booked(server: Scripted) -> None:
    """Their end changes nothing of the pace."""
    async with server.session(pace=Pace(per_day={"stMessages": 1})) as session:
        await session.attach("wf-9").completion()
        await session.run(SEND, timeout=60)


async def test_without_a_pace_nothing_is_booked(server: Scripted) -> None:
    """A journal of a session without a pace has no bookings."""
    journal = MemoryJournal()
    async with server.session(journal=journal) as session:
        await session.run(SEND)
        found = await journal.bookings(session.default_account.name, 0)

    assert not found.bookings


async def test_a_booking_that_cannot_be_ended_withholds_no_result(
    server: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    """The error is logged, and the result is delivered."""

    class Full(MemoryJournal):
        """A journal whose disk is full at the end."""

        async def book_end(self, *_: Any) -> None:
            """Fail."""
            raise JournalError("the disk is full")

    async with server.session(pace=TWO_A_DAY, journal=Full()) as session:
        await session.run(SEND)
        await asyncio.sleep(1)

    assert "could not record what account" in caplog.text
    assert "the disk is full" in caplog.text


# Custom actions, and the most that a workflow can do


async def test_custom_actions_count_where_they_say_so(server: Scripted) -> None:
    """One with a category counts; one without gives one warning, and does not."""
    new = custom("st.dance", category="stMessages", step=1)
    server.script("GET", completed({"actionType": "st.dance", "success": True}))
    async with server.session(pace=Pace(per_day={"stMessages": 1})) as session:
        await session.run(new)
        with pytest.raises(PaceError):
            await session.run(new, timeout=60)
        with pytest.warns(UnknownValueWarning, match=r"'st.sing' is not known"):
            await session.start(custom("st.sing"))
        await session.start(custom("st.sing"))  # it gives one warning

    assert {"actionType": "st.dance", "step": 1} == server.seen[0].body


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        (3, r"up to 3 actions .* \(root.*: 3 × st.sendMessage\)"),
        (None, r"any number of actions .* \(root.*: unlimited × st"),
    ],
)
async def test_what_no_day_allows_is_refused(
    server: Scripted, limit: int | None, message: str
) -> None:
    """The arithmetic and the remedy are said, and nothing is sent."""
    people = st.retrieve_connections(limit=limit).then(
        st.do_for_people().then(
            st.open_person_page().then(st.send_message(text="Hello"))
        )
    )
    async with server.session(account_api_token=TOKEN, pace=TWO_A_DAY) as session:
        with pytest.raises(AllowanceError, match=message) as error:
            await session.start(people)

    assert "bound its lists with limit=" in str(error.value)
    assert (2, "day") == (error.value.allowance, error.value.period)
    assert 0 == server.count("POST")


# Settings and events


async def test_the_pace_of_an_account(box: Sandbox) -> None:
    """It is the session's or its own; a second one of another value is refused."""
    own = Pace(per_day={"stMessages": 1})
    async with box.session(pace=TWO_A_DAY) as session:
        account = session.account("sandbox-account-2", pace=own)
        again = session.account(
            "sandbox-account-2", pace=Pace(per_day={"stMessages": 1})
        )
        with pytest.raises(ValueError, match="has another pace already"):
            session.account("sandbox-account-2", pace=TWO_A_DAY)

        assert account is again is session.account("sandbox-account-2")
        assert own == account.pace
        assert TWO_A_DAY == session.pace == session.default_account.pace
    async with box.session() as session:
        assert session.pace is session.default_account.pace is None


async def test_a_pace_is_a_pace(box: Sandbox) -> None:
    """Something else is refused."""
    with pytest.raises(TypeError, match="pace must be"):
        box.session(pace=25)
    async with box.session() as session:
        with pytest.raises(TypeError, match="pace must be"):
            session.account("a", pace=25)  # type: ignore[arg-type]


async def test_a_pace_without_a_journal_warns_once(
    box: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """The next run begins at 0, which is said once in a session."""
    async with box.session(pace=TWO_A_DAY) as session:
        await session.run(CHECK)
        session.account("sandbox-account-2")
    first = [r for r in caplog.records if "counted in memory" in r.message]
    async with box.session(pace=TWO_A_DAY, journal=MemoryJournal()) as session:
        await session.run(CHECK)

    assert 1 == len(first)
    assert logging.WARNING == first[0].levelno
    assert 1 == caplog.text.count("counted in memory")


async def test_events_say_what_is_held_back(box: Sandbox) -> None:
    """Why, until when, and whether it waits."""
    seen: list[StartHeldBack] = []
    starting: list[WorkflowStarting] = []
    async with box.session(pace=TWO_A_DAY, polling=PATIENT) as session:
        session.on(StartHeldBack, seen.append)
        session.on(WorkflowStarting, starting.append)
        await asyncio.gather(session.run(SEND), session.run(SEND))
        with pytest.raises(PaceError):
            await session.run(SEND, timeout=60)
        await session.start(SEND)

    assert [False, True] == [event.waits for event in seen]
    assert {MONDAY.replace(hour=0) + DAY} == {event.until for event in seen}
    assert {"stMessages"} == {event.category for event in seen}
    assert {"the pace allows 2 stMessages a day, 2 are used"} == {
        event.reason for event in seen
    }
    assert {SEND} == {event.workflow for event in seen}
    assert starting[-1].waited > 3600


async def test_a_stream_of_several_kinds(box: Sandbox) -> None:
    """What the day does not allow is deferred until the next, and the rest goes on."""
    items: list[tuple[str, Any]] = [(key, message_to(key)) for key in ("a", "b", "c")]
    items.append(("d", CHECK))
    async with box.session(pace=TWO_A_DAY) as session:
        async with session.as_completed(items, limit=4) as done:
            ends = {handle.key: handle.failure async for handle in done}
        (deferred,) = done.deferred

    assert 3 == len(ends) == list(ends.values()).count(None)
    assert {"a", "b", "c", "d"} == {*ends, deferred.key}
    assert ends["d"] is None
    assert MONDAY.replace(hour=0) + DAY == deferred.until
    assert 3 == len(box.workflows)


async def test_a_stream_that_waits(box: Sandbox) -> None:
    """A stream that waits runs the rest on the days that allow it."""
    items = [(f"{number}", message_to(f"{number}")) for number in range(5)]
    moments = []
    async with (
        box.session(pace=TWO_A_DAY, polling=PATIENT) as session,
        session.as_completed(items, limit=4, wait=True) as done,
    ):
        async for handle in done:
            assert handle.failure is None
            moments.append(now().date())

    first = MONDAY.date()
    assert [first, first, *[first + DAY] * 2, first + 2 * DAY] == moments


async def test_no_text_in_a_frame(server: Scripted) -> None:
    """Errors of the pace have no frame that shows the texts of a workflow."""
    pace = Pace(per_day={"stMessages": 0})
    secret = st.send_message(ADA, text="my-secret-text")
    async with server.session(pace=pace) as session:
        with pytest.raises(AllowanceError) as error:
            await session.start(secret)
    found = []
    trace = error.value.__traceback__
    while trace is not None:
        if "linkedapi_async" in trace.tb_frame.f_code.co_filename:
            found.append(repr(trace.tb_frame.f_locals))
        trace = trace.tb_next

    assert not any("my-secret-text" in text for text in found)


async def answer_late(request: web.Request) -> web.StreamResponse:
    """Answer a start after half a minute."""
    await asyncio.sleep(30)
    return await ok({"workflowId": "wf-1"})(request)


async def test_an_accepted_start_is_followed_after_its_cancellation(
    server: Scripted,
) -> None:
    """A start under way survives its caller, and its end is booked."""
    server.script("POST", answer_late)
    async with server.session(pace=TWO_A_DAY) as session:
        task = asyncio.create_task(session.start(SEND))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        await asyncio.sleep(120)
        assert not session.handles
        pacer = session.default_account._runner().pacer
        assert pacer is not None
        assert not pacer._known()._open
