"""Session events over real HTTP, and what they cost without a subscription."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import json
import logging
import math
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from event_loops import Middle, run_virtual, virtual_time
from scripted_server import (
    ACCOUNT,
    TOKEN,
    Answer,
    Scripted,
    dropped,
    held,
    ok,
    raw,
    refused,
    running,
    status_is,
    taken,
)

from linkedapi_async import (
    AccountPausedError,
    Polling,
    RejectedError,
    Session,
    StartUnknownError,
    WaitTimeoutError,
    WorkflowCancelledError,
    WorkflowFailedError,
    events,
    st,
)
from linkedapi_async._polling.answers import Ended, PollAnswer, PollFailed, StillRunning
from linkedapi_async._polling.lane import PendingWorkflow
from linkedapi_async._polling.poller import Poller
from linkedapi_async._polling.scheduler import PollScheduler
from linkedapi_async.draw import Spans, timeline
from linkedapi_async.events import (
    AccountPaused,
    AccountUnpaused,
    LaneReordered,
    OutageBegan,
    OutageEnded,
    PollAnswered,
    RequestRetried,
    SessionEvent,
    StartFailed,
    StartUnknown,
    WorkflowAttached,
    WorkflowDelivered,
    WorkflowFinished,
    WorkflowRunning,
    WorkflowStarted,
    WorkflowStarting,
)
from linkedapi_async.session import _events
from linkedapi_async.session._events import WorkflowEvent
from linkedapi_async.webhooks import WebhookReceiver


pytestmark = pytest.mark.anyio

CHECK = st.check_connection_status("https://www.linkedin.com/in/ada")
INVITE = st.send_connection_request("https://www.linkedin.com/in/ada")


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    """A scripted server that takes one workflow and completes it."""
    async with Scripted() as scripted:
        scripted.script("POST", taken())
        scripted.script("GET", running(), status_is("connected"))
        scripted.script("DELETE", ok({"cancelled": True}))
        yield scripted


def own_records(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return what this library has logged; asyncio may complain of a slow machine."""
    return [r for r in caplog.records if r.name.startswith("linkedapi_async")]


def told(session: Session, kind: type[Any] = SessionEvent) -> list[Any]:
    """Return a list that gets what *session* tells of *kind*."""
    seen: list[Any] = []
    session.on(kind, seen.append)
    return seen


def kinds(seen: list[Any]) -> list[str]:
    """Return the names of the classes of events."""
    return [type(event).__name__ for event in seen]


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until *condition* holds."""
    while not condition():
        await asyncio.sleep(0)


def failed(reason: str) -> Answer:
    """Say that a workflow failed."""
    failure = {"reason": reason, "message": "no"}
    return ok({"workflowStatus": "failed", "failure": failure})


# One workflow


async def test_a_life_from_start_to_delivery(server: Scripted) -> None:
    """A base class means every event, and they come in the order of life."""
    loop = asyncio.get_running_loop()
    async with server.session() as session:
        seen = told(session)
        began = loop.time()
        handle = await session.start(CHECK)
        await handle
        await handle
        ended = loop.time()

    starting, started, first, runs, last, finished, delivered = seen

    assert [
        *("WorkflowStarting", "WorkflowStarted", "PollAnswered", "WorkflowRunning"),
        *("PollAnswered", "WorkflowFinished", "WorkflowDelivered"),
    ] == kinds(seen)
    assert CHECK is starting.workflow
    assert starting.number == started.number
    assert ["waiting", "finished"] == [first.outcome, last.outcome]
    assert ["running", "completed"] == [first.status, last.status]
    assert [handle] * 4 == [e.handle for e in (started, runs, finished, delivered)]
    assert {"wf-1"} == {e.workflow_id for e in seen[1:]}
    assert {session.account(ACCOUNT).name} == {event.account for event in seen}
    assert ("completed", None, None) == (
        finished.status,
        finished.reason,
        finished.error,
    )
    assert 2 == finished.polls == delivered.polls
    assert 0 <= finished.detection_delay <= ended - began
    assert (await handle.completion(), None) == (delivered.completion, delivered.error)
    times = [began, *(event.at for event in seen), ended]
    assert sorted(times) == times
    assert 0 <= started.seconds <= started.at - began
    assert 0 <= delivered.seconds <= ended - began


@pytest.mark.parametrize(
    ("answer", "reason", "error"),
    [
        pytest.param(
            failed("languageNotSupported"),
            "languageNotSupported",
            WorkflowFailedError,
            id="failed",
        ),
        pytest.param(
            ok({"workflowStatus": "cancelled"}),
            "WorkflowCancelledError",
            WorkflowCancelledError,
            id="cancelled",
        ),
    ],
)
async def test_an_end_without_a_completion(
    server: Scripted, answer: Answer, reason: str, error: type[Exception]
) -> None:
    """What ended otherwise tells why, in the API's word if there is one."""
    server.script("GET", answer)
    async with server.session() as session:
        finished, delivered = (
            told(session, WorkflowFinished),
            told(session, WorkflowDelivered),
        )
        handle = await session.start(CHECK)
        with pytest.raises(error):
            await handle

    assert [(handle.status, reason)] == [(e.status, e.reason) for e in finished]
    assert [error] == [type(event.error) for event in finished]
    assert [(None, error)] == [(e.completion, type(e.error)) for e in delivered]


async def test_a_poll_that_was_overtaken(server: Scripted) -> None:
    """A workflow that was cancelled during its poll is not reported as running."""
    gate = asyncio.Event()
    server.script("GET", held(gate, running()))
    async with server.session() as session:
        seen = told(session)
        handle = await session.start(CHECK)
        await until(lambda: server.count("GET"))
        assert await handle.cancel()
        gate.set()
        await until(lambda: session.stats.polls)

    assert [
        *("WorkflowStarting", "WorkflowStarted", "WorkflowFinished", "PollAnswered")
    ] == kinds(seen)
    assert (None, 0) == (seen[2].detection_delay, seen[2].polls)


async def test_a_workflow_that_runs_at_once(server: Scripted) -> None:
    """If the answer to the start says that it runs, no poll has to."""
    server.script("POST", ok({"workflowId": "wf-1", "workflowStatus": "running"}))
    async with server.session() as session:
        seen = told(session, WorkflowEvent)
        await session.run(CHECK)

    assert [
        *("WorkflowStarted", "WorkflowRunning", "WorkflowFinished"),
        "WorkflowDelivered",
    ] == kinds(seen)


async def test_a_webhook_says_that_it_runs(server: Scripted) -> None:
    """An event of a webhook tells that a workflow runs as a poll does, and once."""
    receiver = WebhookReceiver(allow_unsigned=True)
    body = {
        "id": "event-1",
        "type": "workflow.started",
        "data": {"workflowId": "wf-1", "accountId": "a-1"},
    }
    async with server.session(polling=Polling.fixed(1000)) as session:
        seen = told(session, WorkflowRunning)
        session.listen(receiver)
        await session.start(CHECK)
        for number in range(2):
            event = {**body, "id": f"event-{number}"}
            receiver.receive({}, json.dumps(event).encode())

    assert ["wf-1"] == [event.workflow_id for event in seen]


async def test_attached_and_resumed(server: Scripted, tmp_path: Any) -> None:
    """What was started before is attached, once; resumed ones keep their keys."""
    server.script("GET", running())
    path = tmp_path / "journal.sqlite"
    async with server.session(journal=path) as session:
        async with session.as_completed([("ada", CHECK)], limit=1):
            await until(lambda: session.handles)
    async with server.session(journal=path) as session:
        seen = told(session, WorkflowEvent)
        await session.recover()
        session.attach("wf-1", CHECK)
        session.attach("wf-2", CHECK)

    attached = [event for event in seen if type(event) is WorkflowAttached]
    assert [("wf-1", "ada"), ("wf-2", None)] == [
        (event.workflow_id, event.key) for event in attached
    ]


async def test_a_stream_delivers_what_it_yields(server: Scripted) -> None:
    """Yielding a handle delivers it; what could not be started delivers nothing."""
    server.script("GET", status_is("connected"))
    async with server.session() as session:
        seen = told(session, WorkflowDelivered)
        counts = []
        items = [("ada", CHECK), ("broken", {"actionType": 5})]
        async with session.as_completed(items, limit=1) as done:
            async for handle in done:
                counts.append(len(seen))
                if handle.workflow_id:
                    await handle
                    await handle.completion()

    assert [1, 1] == counts
    assert ["ada"] == [event.key for event in seen]


async def test_a_wait_that_is_over_delivers_nothing(server: Scripted) -> None:
    """Who gave up waiting got no result."""
    server.script("GET", running())
    async with server.session() as session:
        seen = told(session, WorkflowDelivered)
        with pytest.raises(WaitTimeoutError):
            await session.run(CHECK, timeout=0.01)

    assert [] == seen


# Starts that fail, requests that are sent again


async def test_a_start_that_is_refused(server: Scripted) -> None:
    """A refusal follows the start it is of."""
    server.script("POST", refused("invalidWorkflow"))
    async with server.session() as session:
        seen = told(session)
        with pytest.raises(RejectedError) as caught:
            await session.start(CHECK)

    starting, over = seen
    assert [WorkflowStarting, StartFailed] == [type(event) for event in seen]
    assert starting.number == over.number
    assert caught.value is over.error
    assert CHECK is over.workflow
    assert over.seconds >= 0


async def test_an_unknown_start(server: Scripted) -> None:
    """An unknown start is a failed one that has a class of its own."""
    server.script("POST", dropped())
    async with server.session() as session:
        exactly, also = told(session, StartUnknown), told(session, StartFailed)
        with pytest.raises(StartUnknownError):
            await session.start(INVITE)

    assert exactly == also
    assert [StartUnknownError] == [type(event.error) for event in exactly]


async def test_a_start_waits_for_its_turn(server: Scripted) -> None:
    """Starts of one account are reported in turn, with how long each has waited."""
    gate = asyncio.Event()
    server.script("POST", held(gate, taken("wf-1")), taken("wf-2"))
    async with server.session() as session:
        seen = told(session, SessionEvent)
        first = asyncio.create_task(session.start(CHECK))
        second = asyncio.create_task(session.start(CHECK))
        await until(lambda: server.count("POST"))
        assert ["WorkflowStarting"] == kinds(seen)
        gate.set()
        await asyncio.gather(first, second)

    one, two = (event for event in seen if isinstance(event, WorkflowStarting))
    done, done_too = (event for event in seen if isinstance(event, WorkflowStarted))

    assert done.number == one.number < two.number == done_too.number
    assert two.waited >= done.seconds >= 0


async def test_a_request_that_is_sent_again(server: Scripted) -> None:
    """A retry is reported before its wait, with the error."""
    server.script("POST", raw("no", status=429), taken())
    async with server.session() as session:
        seen = told(session, RequestRetried)
        await session.start(CHECK)

    (event,) = seen
    assert ("start_read", 2) == (event.request, event.attempt)
    assert 429 == event.error.http_status
    assert 0 < event.wait <= 0.01


# Accounts, lanes, outages


async def test_an_account_pauses_and_goes_on(server: Scripted) -> None:
    """A pause is reported once, and so is its end; a callback may end it at once."""
    server.script("POST", refused("linkedinAccountSignedOut"))
    async with server.session() as session:
        account = session.account(ACCOUNT)
        paused, resumed = told(session, AccountPaused), told(session, AccountUnpaused)
        for _ in range(2):
            with pytest.raises(AccountPausedError):
                await session.start(CHECK)
        account.unpause()
        account.unpause()
        session.on(AccountPaused, lambda _: account.unpause())
        with pytest.raises(AccountPausedError):
            await session.start(CHECK)

        assert account.paused is None
    name = account.name
    reason = "linkedinAccountSignedOut"
    assert [(name, reason)] * 2 == [(e.account, e.reason) for e in paused]
    assert reason == paused[0].error.type
    assert [name, name] == [event.account for event in resumed]


@virtual_time
async def test_a_lane_is_surprised(server: Scripted) -> None:
    """Workflows that end out of order are reported once the scheduler is done."""
    server.script("POST", taken("wf-1"), taken("wf-2"))

    async def answer(request: Any) -> Any:
        """Let the second one run while the first one waits."""
        first = request.path.endswith("wf-1")
        word = "pending" if first else "running"
        return await ok({"workflowStatus": word})(request)

    server.script("GET", answer)
    async with server.session(polling=Polling(queued_interval=30)) as session:
        seen = told(session, LaneReordered)
        other = session.account(ACCOUNT)
        after = []
        session.on(LaneReordered, lambda _: after.append(session.counts_by_state()))
        session.on(LaneReordered, lambda _: other.attach("wf-3"))
        for _ in range(2):
            await session.start(CHECK)
        while not seen:
            await asyncio.sleep(1)

        assert [other.name] == [event.account for event in seen]
        assert [2] == [counts_by_state["unordered"] for counts_by_state in after]
        assert 3 == session.stats.in_flight == session.counts_by_state()["unordered"]
    assert {} == session.counts_by_state()


@virtual_time
async def test_an_outage_begins_and_ends(
    server: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    """Three polls in a row that fail are an outage, until one does not."""
    broken = raw("no", status=500)
    server.script("GET", broken, broken, running(), *[broken] * 5, status_is("x"))
    caplog.set_level(logging.INFO, "linkedapi_async")
    polling = Polling.fixed(10)
    async with server.session(polling=polling) as session:
        seen = [told(session, OutageBegan), told(session, OutageEnded)]
        await session.run(CHECK)

    ((began,), (ended,)) = seen
    assert 3 == began.failures
    assert 500 == began.error.http_status
    assert 5 == ended.failures
    assert 45 < ended.seconds < 55
    assert began.at < ended.at
    assert ["WARNING", "INFO"] == [record.levelname for record in own_records(caplog)]
    assert 5 == vars(own_records(caplog)[1])["linkedapi_failures"]


def test_an_outage_of_which_nobody_was_warned(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One warning a minute is enough: the end of an outage without one is not logged.

    An answer that refuses is an answer: it ends an outage as well. No listener
    is needed.
    """
    caplog.set_level(logging.INFO, "linkedapi_async")
    missed: PollAnswer = PollFailed(OSError("no"))
    refusal: PollAnswer = PollFailed(OSError("no"), "refused")
    answers = [*[missed] * 3, refusal, StillRunning("running"), *[missed] * 3, refusal]
    script = iter([*answers, Ended(None)])

    async def ask(_: PendingWorkflow) -> PollAnswer:
        """Give the next answer."""
        return next(script)

    async def main() -> int:
        """Wait for one workflow."""
        hub = Poller(ask, Polling.fixed(1), rng=random.Random(1))
        hub.start()
        ticket = PendingWorkflow("wf-1", "a")
        hub.watch(ticket)
        await hub.wait(ticket)
        await hub.aclose(lambda _: RuntimeError())
        return ticket.polls

    assert 10 == run_virtual(main())
    assert ["WARNING", "INFO"] == [record.levelname for record in own_records(caplog)]


def test_a_reordered_lane_without_a_callback() -> None:
    """A poller without callbacks counts workflows out of order all the same."""

    async def ask(ticket: PendingWorkflow) -> PollAnswer:
        """Say that the second one runs."""
        return StillRunning("pending" if ticket.id == "wf-1" else "running")

    async def main() -> int:
        """Let the second one be asked."""
        hub = Poller(ask, Polling(queued_interval=30), rng=random.Random(1))
        hub.start()
        for number in (1, 2):
            hub.watch(PendingWorkflow(f"wf-{number}", "a"))
        await asyncio.sleep(600)
        await hub.aclose(lambda _: RuntimeError())
        return hub.out_of_order

    assert 1 == run_virtual(main())


def test_census() -> None:
    """Each waiting ticket is in one state of its lane, and all of them are counted."""
    lanes = PollScheduler(Polling(), Middle())
    for account, count in (("ordered", 3), ("attached", 2), ("paused", 4)):
        for number in range(count):
            ticket = PendingWorkflow(f"{account}-{number}", account)
            lanes.add(ticket, 0, ordered=account != "attached")
    lanes.hold("paused", 0)

    assert {
        "head": 1,
        "tail": 2,
        "unordered": 2,
        "paused": 4,
    } == lanes.counts_by_state()
    assert sum(lanes.counts_by_state().values()) == len(lanes)


# WebhookSubscription itself


async def test_a_callback_that_raises_hinders_nothing(
    server: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    """Its error is logged; the others are called, and the workflow goes on."""

    def broken(event: SessionEvent) -> None:
        """Fail."""
        raise ValueError(type(event).__name__)

    async with server.session() as session:
        session.on(SessionEvent, broken)
        seen = told(session)
        await session.run(CHECK)

    own = own_records(caplog)

    assert [f"A callback failed at {kind}" for kind in kinds(seen)] == [
        record.message for record in own
    ]
    assert all(record.exc_info for record in own)
    assert "wf-1" == vars(own[1])["linkedapi_workflow_id"]


async def nothing(_: SessionEvent) -> None:
    """Do nothing, later."""


def dispatches(session: Session) -> bool:
    """Return whether what happens in a session is dispatched to callbacks."""
    return session._runtime.observer.dispatcher is not None


class Later:
    """What is called, and does nothing, later."""

    async def __call__(self, event: SessionEvent) -> None:
        """Do nothing, later."""


@pytest.mark.parametrize(
    "callback",
    [
        pytest.param(nothing, id="function"),
        pytest.param(functools.partial(nothing), id="partial"),
        pytest.param(Later(), id="object"),
    ],
)
def test_coroutine_functions_are_refused(callback: Any) -> None:
    """Their results would not be awaited: the error says what to do instead."""
    session = Session(linked_api_token=TOKEN)
    with pytest.raises(TypeError, match=r"asyncio\.Queue"):
        session.on(SessionEvent, callback)

    assert not dispatches(session)


@pytest.mark.parametrize("kind", [int, "WorkflowStarted", WebhookReceiver])
def test_only_classes_of_events_are_listened_for(kind: Any) -> None:
    """Anything else is refused, and the error says where they are."""
    session = Session(linked_api_token=TOKEN)
    with pytest.raises(TypeError, match=r"linkedapi_async\.events"):
        session.on(kind, print)


async def test_unsubscribing(server: Scripted) -> None:
    """A subscription ends alone and at once, and when the last has, all is as before."""
    async with server.session() as session:
        seen: list[SessionEvent] = []
        note = seen.append
        first = session.on(WorkflowStarted, note)
        second = session.on(WorkflowStarted, note)
        session.on(WorkflowStarting, lambda _: second())
        await session.start(CHECK)
        assert 1 == len(seen)
        first()
        first()
        assert dispatches(session)
        third = session.on(PollAnswered, seen.append)
        third()
    fresh = Session(linked_api_token=TOKEN)
    end = fresh.on(WorkflowStarted, seen.append)
    end()
    assert not dispatches(fresh)
    again = fresh.on(WorkflowStarted, seen.append)
    end()
    assert dispatches(fresh)
    again()
    assert not dispatches(fresh)


async def test_events_that_nobody_wants_are_not_made(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WebhookSubscription for one class makes no event of any other."""
    made: list[str] = []
    for name in events.__all__:
        kind = getattr(events, name)

        def init(self: Any, *, _name: str = name, **facts: Any) -> None:
            """Note that an event was made."""
            made.append(_name)

        monkeypatch.setattr(kind, "__init__", init)
    async with server.session() as session:
        session.on(WorkflowFinished, lambda _: None)
        await session.run(CHECK)

    assert ["WorkflowFinished"] == made


async def test_polls_are_in_nobodys_context(server: Scripted) -> None:
    """What a caller has set is there for its start, and not for the polls after it."""
    place = contextvars.ContextVar("place", default="nowhere")
    seen: dict[str, str] = {}

    def note(event: SessionEvent) -> None:
        """Note in which context a callback runs."""
        seen.setdefault(type(event).__name__, place.get())

    async def caller(session: Session) -> None:
        """Run a workflow from a context of its own."""
        place.set("here")
        await session.run(CHECK)

    at_once = Polling(initial_delay=0, interval=0.01, max_interval=0.01)
    async with server.session(polling=at_once) as session:
        session.on(SessionEvent, note)
        await asyncio.create_task(caller(session))

    assert "here" == seen["WorkflowStarting"] == seen["WorkflowDelivered"]
    assert "nowhere" == seen["PollAnswered"] == seen["WorkflowFinished"]


def test_events_are_frozen_slotted_and_tell_no_parameters() -> None:
    """Events cannot be changed, and their words have no workflow in them."""
    event = WorkflowStarting(
        at=1.0, time=2.0, account="a", number=1, key=None, workflow=INVITE, waited=0.0
    )
    with pytest.raises(AttributeError):
        event.at = 5.0  # type: ignore[misc]

    assert not hasattr(event, "__dict__")
    assert "linkedin.com" not in repr(event)


def test_every_class_is_listed_and_documented() -> None:
    """Each class of events is public, frozen, and says what its attributes mean."""
    found = {
        name: kind
        for name, kind in vars(_events).items()
        if inspect.isclass(kind) and issubclass(kind, SessionEvent)
    }

    assert set(events.__all__) | {"AccountEvent", "WorkflowEvent"} == set(found)
    assert all(inspect.getdoc(kind) for kind in found.values())


def test_who_does_not_listen_loads_nothing() -> None:
    """Neither the classes of events nor OpenTelemetry are loaded with the package."""
    script = (
        "import sys, linkedapi_async; print([name for name in sys.modules if name in "
        "('linkedapi_async.events', 'linkedapi_async._telling') or "
        "name.startswith('opentelemetry')])"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert "[]" == done.stdout.strip()


# Pictures


async def test_a_timeline_of_a_session(server: Scripted) -> None:
    """Spans watch a session; what they did not see begin is left out."""
    server.script("POST", taken("wf-0"), taken("wf-1"))
    async with server.session() as session:
        early = await session.start(CHECK)
        spans = Spans()
        end = spans.watch(session)
        await early
        server.script("GET", running(), status_is("connected"))
        async with session.as_completed([("ada", CHECK)], limit=1) as done:
            async for _ in done:
                pass
        session.attach("wf-2")
        await until(lambda: not session.handles)
        end()
        session.attach("wf-3")

    ada, attached = spans
    assert ("ada", "wf-2") == (ada.key, attached.key)
    assert "completed" == ada.outcome == attached.outcome
    assert ada.started_at is not None
    assert ada.queued_at <= ada.started_at <= (ada.noticed_at or -math.inf)
    assert ">ada<" in timeline(spans)


async def test_what_began_before_it_was_watched(server: Scripted) -> None:
    """A workflow of which only the middle is seen is no span."""
    gate = asyncio.Event()
    server.script("GET", held(gate, running()), status_is("connected"))
    async with server.session() as session:
        handle = await session.start(CHECK)
        spans = Spans()
        spans.watch(session)
        gate.set()
        await handle

    assert 0 == len(spans)
