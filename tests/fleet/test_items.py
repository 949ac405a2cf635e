"""One item in a worker: what is sent, what waits, and what is recorded."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import sqlalchemy as sa

from linkedapi_async import (
    AuthenticationError,
    LinkedApiError,
    Polling,
    PollingCrashedError,
    ProtocolError,
    RejectedError,
    Retries,
    Session,
    WorkflowCancelledError,
    WorkflowError,
    WorkflowFailedError,
    WorkflowHandle,
    WorkflowNotFoundError,
    dump_workflow,
    st,
)
from linkedapi_async._utils.json import encode_json
from linkedapi_async.fleet import Done
from linkedapi_async.fleet._database import Database
from linkedapi_async.fleet._done import done_from, end_of
from linkedapi_async.fleet._events import EventReader
from linkedapi_async.fleet._items import ItemRunner, backoff
from linkedapi_async.fleet._queue import read_done
from linkedapi_async.fleet._schema import items, results
from linkedapi_async.fleet._starts import Found, Starts
from linkedapi_async.sandbox import Sandbox
from linkedapi_async.session import Account


pytestmark = pytest.mark.anyio

WRITE = st.send_message("https://www.linkedin.com/in/ada", text="Hello!")
READ = st.open_person_page("https://www.linkedin.com/in/ada", basic_info=True)
TOKEN = "token-of-lane"


@attrs.define
class Fleet:
    """A sandbox, and one worker's items without an engine."""

    sandbox: Sandbox
    session: Session
    database: Database
    starts: Starts
    runner: ItemRunner
    waits: list[float] = attrs.field(factory=list)
    """How long the worker has waited, in seconds."""
    on_wait: Callable[[], Any] = lambda: None
    """What happens during each wait."""
    crashes: list[Exception] = attrs.field(factory=list)
    is_alive: bool = True
    delivered: list[str] = attrs.field(factory=list)
    failures: int = 0
    """How often a delivery is still to fail."""
    tokens: list[Any] = attrs.field(factory=list)
    """What the provider gives first: tokens, or errors."""

    async def sleep(self, seconds: float) -> None:
        """Wait for no time."""
        self.waits.append(seconds)
        self.on_wait()
        await asyncio.sleep(0)

    async def token(self, account: str) -> str:
        """Return the token of an account."""
        given = self.tokens.pop(0) if self.tokens else f"token-of-{account}"
        if isinstance(given, Exception):
            raise given
        return str(given)

    async def deliver(self, key: str) -> None:
        """Note that a result was delivered."""
        if self.failures:
            self.failures -= 1
            raise RuntimeError(key)
        self.delivered.append(key)

    async def add(self, key: str, workflow: Any, account: str = "lane") -> None:
        """Add an item."""
        definition = encode_json(dump_workflow(workflow)).decode()
        row = {"key": key, "account": account, "definition": definition}
        await self.database.do(
            lambda found: found.execute(sa.insert(items).values(**row, state="free"))
        )

    async def run(self, key: str, workflow: Any) -> Done | str:
        """Add an item and run it; return its end, or its state without one."""
        await self.add(key, workflow)
        state = await self.runner.run(key, "lane")
        found = await self.database.do(
            lambda connection: connection.execute(
                read_done(results.c.key == key)
            ).first()
        )
        return state if found is None else done_from(found)

    @property
    def sent(self) -> int:
        """How many workflows the sandbox has accepted."""
        return len(self.sandbox.workflows)


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    """Return a worker's items on a fast sandbox."""
    async with running(tmp_path) as found:
        yield found


@contextlib.asynccontextmanager
async def running(
    tmp_path: Path, make: Callable[[Sandbox], Session] | None = None
) -> AsyncIterator[Fleet]:
    """Run what a worker runs, without an engine."""
    database = Database(f"sqlite:///{tmp_path / 'work.sqlite3'}", retry_outages=True)
    await database.open()
    async with (
        Sandbox(speed=1000) as sandbox,
        make(sandbox) if make else sandbox.session() as session,
    ):
        starts = Starts(database)
        found = Fleet(sandbox, session, database, starts, None)  # type: ignore[arg-type]
        found.runner = ItemRunner(
            session,
            starts,
            events=EventReader(database),
            token=found.token,
            limit=2,
            deliver=found.deliver,
            crash=found.crashes.append,
            is_alive=lambda: found.is_alive,
            sleep=found.sleep,
        )
        try:
            yield found
        finally:
            await found.runner.close()
    await database.close()


async def until(condition: Callable[[], object]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


async def test_nothing_leaves_a_worker_that_stood_still(tmp_path: Path) -> None:
    """At the last moment it may be too late; then the start is taken back."""
    impatient = Retries(attempts=1)
    async with running(
        tmp_path, lambda sandbox: sandbox.session(retries=impatient)
    ) as (fleet):
        fleet.is_alive = False

        def wake() -> None:
            """Let the wait end after something has happened."""
            assert 0 == fleet.sent
            fleet.is_alive = True

        fleet.on_wait = wake
        done = await fleet.run("ada", WRITE)

    assert isinstance(done, Done)
    assert "completed" == done.status
    assert (1, 1) == (fleet.sent, len(fleet.waits))


async def test_an_item_is_sent_and_its_result_stored(fleet: Fleet) -> None:
    """The stored result is typed, and is delivered once."""
    done = await fleet.run("ada", READ)

    assert isinstance(done, Done)
    assert ("ada", "lane", "completed", None, False) == (
        *(done.key, done.account, done.status),
        *(done.error, done.wrote),
    )
    assert done.result().name
    assert READ == done.workflow
    assert [done.workflow_id] == [workflow.id for workflow in fleet.sandbox.workflows]
    assert ["ada"] == fleet.delivered
    assert "finished" == await fleet.runner.run("ada", "lane")
    assert 1 == fleet.sent


async def test_an_array_workflow_gives_a_tuple(fleet: Fleet) -> None:
    """Several roots yield several results."""
    done = await fleet.run("two", (READ, WRITE))

    assert isinstance(done, Done)
    person, nothing = done.result()
    assert person.name
    assert None is nothing
    assert done.wrote


async def test_the_same_item_twice_in_one_process_is_sent_once(fleet: Fleet) -> None:
    """An engine that gives an item out again gets the result of the first run."""
    await fleet.add("ada", WRITE)
    ends = await asyncio.gather(*(fleet.runner.run("ada", "lane") for _ in range(3)))

    assert ["finished"] * 3 == ends
    assert 1 == fleet.sent


async def test_a_lost_answer_of_a_write_waits_for_a_decision(fleet: Fleet) -> None:
    """It is not sent again, and a person's answer ends it."""
    fleet.sandbox.inject_fault("reset_after", on="start")
    state = await fleet.run("ada", WRITE)
    again = await fleet.runner.run("ada", "lane")
    sent = fleet.sent
    await fleet.starts.adopt("ada", fleet.sandbox.workflows[0].id)
    ended = await fleet.runner.run("ada", "lane")

    assert ["unknown", "unknown", "finished"] == [state, again, ended]
    assert 1 == sent == fleet.sent


async def test_a_lost_answer_of_a_read_is_no_question(fleet: Fleet) -> None:
    """What only reads is sent again, until it is accepted."""
    fleet.sandbox.inject_fault("reset_after", on="start", count=3)
    done = await fleet.run("ada", READ)

    assert isinstance(done, Done)
    assert "completed" == done.status
    assert [1.0] == fleet.waits
    assert 4 == fleet.sent


async def test_an_intent_of_another_execution_is_unknown(fleet: Fleet) -> None:
    """After a crash between the intent and the answer, nothing is sent."""
    await fleet.add("ada", WRITE)
    await fleet.starts.intend("ada", "crashed")

    assert "unknown" == await fleet.runner.run("ada", "lane")
    assert 0 == fleet.sent


async def test_an_accepted_workflow_is_waited_for(fleet: Fleet) -> None:
    """After a crash behind the answer, the workflow goes on elsewhere."""
    handle = await fleet.session.account(TOKEN, name="lane").start(WRITE)
    await fleet.add("ada", WRITE)
    await fleet.starts.intend("ada", "crashed")
    await fleet.starts.accepted("ada", "crashed", str(handle.workflow_id))

    assert "finished" == await fleet.runner.run("ada", "lane")
    assert 1 == fleet.sent


async def test_a_start_that_another_worker_took_for_unknown(
    fleet: Fleet, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that was taken for dead leaves the id of its start as a candidate."""
    accepted = fleet.starts.accepted

    async def late(key: str, execution: str, workflow_id: str) -> bool:
        """Record an id after another worker has looked at the item."""
        await fleet.starts.intend(key, "another")
        return await accepted(key, execution, workflow_id)

    monkeypatch.setattr(fleet.starts, "accepted", late)
    await fleet.add("ada", WRITE)
    state = await fleet.runner.run("ada", "lane")

    assert "unknown" == state
    assert [[fleet.sandbox.workflows[0].id]] == [
        row.candidates for row in await fleet.starts.waiting()
    ]
    assert "whose start is unknown now: adopt or discard it" in caplog.text


async def test_a_paused_account_burns_no_backlog(fleet: Fleet) -> None:
    """A refused start is taken back, and sent when the account works again."""
    fleet.sandbox.sign_out(TOKEN)
    fleet.on_wait = lambda: fleet.sandbox.sign_in(TOKEN)
    done = await fleet.run("ada", WRITE)

    assert isinstance(done, Done)
    assert "completed" == done.status
    assert [3600.0] == fleet.waits
    assert 1 == fleet.sent


async def test_a_lane_that_waits_goes_on_when_its_account_does(fleet: Fleet) -> None:
    """It does not wait until an hour is over."""
    held = asyncio.Event()

    async def sleep(_: float) -> None:
        """Wait for ever."""
        held.set()
        await asyncio.Event().wait()

    fleet.runner._sleep = sleep
    fleet.sandbox.sign_out(TOKEN)
    running = asyncio.create_task(fleet.run("ada", WRITE))
    async with asyncio.timeout(60):
        await held.wait()
        fleet.sandbox.sign_in(TOKEN)
        fleet.session.account(TOKEN, name="lane").unpause()
        done = await running

    assert isinstance(done, Done)
    assert "completed" == done.status
    assert {} == fleet.runner._held


async def test_an_account_that_works_again_before_its_lane_waits(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the start is tried again soon, and ever later if it is refused again."""
    refused = fleet.starts.refused

    async def late(*arguments: Any) -> bool:
        """Take an intent back while an event comes."""
        assert await refused(*arguments)
        fleet.session.account(TOKEN, name="lane").unpause()
        return True

    monkeypatch.setattr(fleet.starts, "refused", late)
    fleet.sandbox.sign_out(TOKEN)

    def wake() -> None:
        """Let the wait end after something has happened."""
        if len(fleet.waits) == 3:
            fleet.sandbox.sign_in(TOKEN)

    fleet.on_wait = wake
    done = await fleet.run("ada", WRITE)

    assert isinstance(done, Done)
    assert "completed" == done.status
    assert [1.0, 2.0, 4.0] == fleet.waits


async def test_a_limit_that_was_reached_is_waited_out(fleet: Fleet) -> None:
    """An end that has changed nothing and passes leaves the item in its lane."""
    fleet.sandbox.fail_action("st.sendMessage", "limitExceeded")
    fleet.on_wait = fleet.sandbox.clear_faults
    done = await fleet.run("ada", WRITE)

    assert isinstance(done, Done)
    assert ("completed", None) == (done.status, done.error)
    (waited,) = fleet.waits
    found = await fleet.database.do(
        lambda connection: connection.execute(sa.select(items)).one()
    )
    # The workers share one clock, that of the database.
    assert found.not_before == pytest.approx(time.time() + waited, abs=120)
    assert 2 == fleet.sent


@pytest.mark.parametrize("given", [RuntimeError("it was secret"), "", 5])
async def test_an_account_without_a_token_waits(
    fleet: Fleet, given: object, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the provider fails, the account waits, ever longer; nothing shows tokens."""
    fleet.tokens = [given, given, given]
    if given == 5:
        fleet.tokens = [RuntimeError("it was secret")] * 3
    done = await fleet.run("ada", WRITE)

    assert isinstance(done, Done)
    assert [1.0, 2.0, 4.0] == fleet.waits
    assert "No token for account lane" in caplog.text
    assert "secret" not in caplog.text
    assert 60.0 == backoff(40)


async def test_a_token_that_changes(fleet: Fleet) -> None:
    """Each item uses the token of its time, and no account stays."""
    fleet.tokens = ["first-token", "second-token"]
    for key in ("ada", "bob"):
        await fleet.run(key, WRITE)

    assert 2 == len({workflow.account for workflow in fleet.sandbox.workflows})
    assert [fleet.session.default_account] == [*fleet.session.accounts]


async def test_a_token_that_changes_while_an_item_waits(fleet: Fleet) -> None:
    """An item that is tried again uses the token of that time."""
    fleet.tokens = [TOKEN, "second-token"]
    fleet.sandbox.sign_out(TOKEN)
    done = await fleet.run("ada", WRITE)

    assert isinstance(done, Done)
    assert "completed" == done.status
    assert [3600.0] == fleet.waits


async def test_an_account_that_something_else_uses_stays(fleet: Fleet) -> None:
    """Another item of the lane may still run when one is over."""
    await fleet.add("ada", WRITE)
    await fleet.add("bob", WRITE)
    ends = await asyncio.gather(
        *(fleet.runner.run(key, "lane") for key in ("ada", "bob"))
    )

    assert ["finished", "finished"] == ends


async def test_a_workflow_that_the_api_refuses_is_over(fleet: Fleet) -> None:
    """A refusal for good is a result, and the lane goes on."""
    fleet.sandbox.inject_fault(
        "status", on="start", status=400, type="invalidWorkflow", message="It is wrong"
    )
    done = await fleet.run("ada", WRITE)

    assert isinstance(done, Done)
    assert ("refused", "invalidWorkflow", None, False) == (
        *(done.status, done.error),
        *(done.workflow_id, done.wrote),
    )
    with pytest.raises(RejectedError, match="It is wrong") as caught:
        done.result()
    assert ("invalidWorkflow", 400) == (caught.value.type, caught.value.http_status)


async def test_a_workflow_that_is_wrong_is_over(tmp_path: Path) -> None:
    """What this generation of the API does not have is not sent."""
    async with running(tmp_path, lambda box: box.session("account_api")) as fleet:
        done = await fleet.run("ada", st.retrieve_feed())
        sent = fleet.sent

    assert isinstance(done, Done)
    assert ("refused", "UnsupportedError") == (done.status, done.error)
    with pytest.raises(WorkflowError, match="account_api"):
        done.result()
    assert 0 == sent


async def test_a_workflow_that_failed_as_a_whole(fleet: Fleet) -> None:
    """Its reason is kept."""
    fleet.sandbox.fail_next("languageNotSupported", "Use English")
    done = await fleet.run("ada", WRITE)

    assert isinstance(done, Done)
    assert ("failed", "languageNotSupported", True) == (
        *(done.status, done.error),
        done.wrote,
    )
    with pytest.raises(WorkflowFailedError, match="Use English"):
        done.completion()


async def test_a_workflow_that_is_cancelled_while_it_runs(fleet: Fleet) -> None:
    """The worker cancels what a person wants cancelled, and lets others run."""
    await fleet.add("ada", WRITE)
    await fleet.add("bob", WRITE, account="other")
    fleet.sandbox.speed = 1.0
    runs = [
        asyncio.create_task(fleet.runner.run("ada", "lane")),
        asyncio.create_task(fleet.runner.run("bob", "other")),
    ]
    await until(lambda: fleet.sent == 2)
    async with asyncio.timeout(60):
        while await fleet.starts.cancel("ada") != "accepted" or not (
            await fleet.starts.to_cancel()
        ):
            await asyncio.sleep(0.005)
    await fleet.runner.cancel_wanted()
    state = await runs[0]
    found = await fleet.database.do(
        lambda connection: connection.execute(read_done()).first()
    )

    assert "cancelled" == state
    assert not runs[1].done()
    assert found is not None
    with pytest.raises(WorkflowCancelledError):
        done_from(found).result()


async def test_what_cannot_be_cancelled_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the API cannot cancel, the wish is dropped; others' items are left alone."""
    async with running(tmp_path, lambda box: box.session("account_api")) as fleet:
        fleet.sandbox.speed = 1.0
        await fleet.add("ada", WRITE)
        await fleet.add("elsewhere", WRITE)
        await fleet.starts.intend("elsewhere", "another worker")
        await fleet.starts.accepted("elsewhere", "another worker", "wf-1")
        run = asyncio.create_task(fleet.runner.run("ada", "lane"))
        async with asyncio.timeout(60):
            while (await fleet.starts.find("ada")).state != "accepted":
                await asyncio.sleep(0.005)
        for key in ("ada", "elsewhere"):
            await fleet.starts.cancel(key)
        async with asyncio.timeout(60):
            while len(left := await fleet.starts.to_cancel()) == 2:
                await fleet.runner.cancel_wanted()
        running_on = not run.done()

    assert running_on
    assert ["elsewhere"] == left
    assert "Could not cancel ada" in caplog.text


@pytest.mark.parametrize(
    ("error", "status", "wrote", "raised"),
    [
        (
            WorkflowNotFoundError(workflow_id="wf-1"),
            "lost",
            True,
            WorkflowNotFoundError,
        ),
        (WorkflowCancelledError(), "cancelled", True, WorkflowCancelledError),
        (ProtocolError("garbage"), "failed", True, WorkflowFailedError),
    ],
)
def test_ends_without_a_completion(
    error: LinkedApiError, status: str, wrote: bool, raised: type[Exception]
) -> None:
    """An id that the API does not know is an end, and so is what cannot be read."""
    end = end_of(error, WRITE, "wf-1")
    done = Done(
        cursor=1,
        key="ada",
        account="lane",
        workflow_id=end.workflow_id,
        status=end.status,
        error=end.error,
        wrote=end.wrote,
        definition="{}",
        body=end.body,
    )

    assert (status, wrote, "wf-1") == (done.status, done.wrote, done.workflow_id)
    with pytest.raises(raised):
        done.result()


async def test_a_token_that_is_refused_is_asked_for_again(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait for a workflow ends with its token, and goes on with the next one."""
    account = fleet.session.account(TOKEN, name="lane")
    start = account.start

    async def refused(*roots: Any, key: str) -> WorkflowHandle[Any]:
        """Start it, and return a handle that the API refuses to poll."""
        handle: WorkflowHandle[Any] = await start(*roots, key=key)

        async def completion(*_: object) -> None:
            """Fail, once."""
            monkeypatch.undo()
            message = "wrong token"
            raise AuthenticationError(message)

        monkeypatch.setattr(WorkflowHandle, "completion", completion)
        return handle

    monkeypatch.setattr(account, "start", refused)
    done = await fleet.run("ada", WRITE)

    assert isinstance(done, Done)
    assert "completed" == done.status
    assert [3600.0] == fleet.waits
    assert 1 == fleet.sent


async def test_a_result_is_delivered_until_that_succeeds(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    """The lane waits while its user cannot take a result."""
    fleet.failures = 2
    done = await fleet.run("ada", WRITE)

    assert isinstance(done, Done)
    assert [1.0, 2.0] == fleet.waits
    assert ["ada"] == fleet.delivered
    assert "on_result failed for ada" in caplog.text


def gated(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Let each start wait with its answer until an event is set; return the event."""
    gate, accepted = asyncio.Event(), fleet.starts.accepted

    async def wait(*arguments: str) -> bool:
        """Wait, and record the answer."""
        await gate.wait()
        return await accepted(*arguments)

    monkeypatch.setattr(fleet.starts, "accepted", wait)
    return gate


async def test_a_worker_that_stops_begins_no_start(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Starts under way are answered; those that wait for a turn are left to others."""
    fleet.sandbox.speed = 1.0
    gate = gated(fleet, monkeypatch)
    runs = []
    for number in range(4):
        await fleet.add(f"item-{number}", WRITE, account=f"lane-{number}")
        run = fleet.runner.run(f"item-{number}", f"lane-{number}")
        runs.append(asyncio.create_task(run))
    await until(lambda: fleet.sent == 2)
    quiet = asyncio.create_task(fleet.runner.quiesce())
    await asyncio.sleep(0.01)
    early = quiet.done()
    gate.set()
    async with asyncio.timeout(60):
        await quiet

    assert not early
    assert 2 == fleet.sent == len(await states(fleet, "accepted"))
    assert 2 == len(await states(fleet, "free"))
    assert 4 == fleet.runner.running


async def states(fleet: Fleet, state: str) -> list[str]:
    """Return the keys of the items in a state."""
    found = sa.select(items.c.key).where(items.c.state == state)
    return await fleet.database.do(lambda connection: [*connection.scalars(found)])


async def test_an_item_survives_the_end_of_the_session(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What runs when the session is left is no result; another worker goes on."""
    refused, refuse = asyncio.Event(), fleet.starts.refused

    async def taken_back(*arguments: Any) -> bool:
        """Take an intent back, and say so."""
        goes_on = await refuse(*arguments)
        refused.set()
        return goes_on

    monkeypatch.setattr(fleet.starts, "refused", taken_back)
    fleet.sandbox.speed = 1.0
    await fleet.add("ada", WRITE)
    await fleet.add("bob", WRITE, account="other")
    async with fleet.sandbox.session() as session:
        runner = ItemRunner(
            session,
            fleet.starts,
            events=EventReader(fleet.database),
            token=fleet.token,
            limit=1,
            deliver=None,
            crash=fleet.crashes.append,
            is_alive=lambda: True,
        )
        run = asyncio.create_task(runner.run("ada", "lane"))
        async with asyncio.timeout(60):
            while not await states(fleet, "accepted"):
                await asyncio.sleep(0.005)
    late = asyncio.create_task(runner.run("bob", "other"))
    await refused.wait()

    assert ["ada"] == await states(fleet, "accepted")
    assert ["bob"] == await states(fleet, "free")
    assert not run.done()
    assert not late.done()
    await runner.close()


async def test_a_result_without_a_user(fleet: Fleet) -> None:
    """Without on_result, results are only stored."""
    runner = ItemRunner(
        fleet.session,
        fleet.starts,
        events=EventReader(fleet.database),
        token=fleet.token,
        limit=1,
        deliver=None,
        crash=fleet.crashes.append,
        is_alive=lambda: True,
    )
    await fleet.add("ada", WRITE)

    assert "finished" == await runner.run("ada", "lane")


async def test_a_crash_of_the_polling_is_the_workers(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker learns of it, and the item goes to another one."""
    account = fleet.session.account(TOKEN, name="lane")

    async def crashed(*_: object, **__: object) -> None:
        """Start nothing."""
        raise PollingCrashedError

    monkeypatch.setattr(account, "start", crashed)
    await fleet.add("ada", WRITE)
    run = asyncio.create_task(fleet.runner.run("ada", "lane"))
    await until(lambda: fleet.crashes)
    async with asyncio.timeout(60):
        # It has given its turn back, so that the worker can leave.
        await fleet.runner.quiesce()

    assert not run.done()
    assert "free" == (await fleet.starts.find("ada")).state


async def test_a_worker_that_stops_does_not_wait_for_the_host(fleet: Fleet) -> None:
    """A start that waits for a pause of the host goes to another worker, unsent."""
    fleet.sandbox.inject_fault("throttle", on="start", count=None, retry_after=3000)
    runs = []
    for number in range(2):
        await fleet.add(f"item-{number}", WRITE, account=f"lane-{number}")
        run = fleet.runner.run(f"item-{number}", f"lane-{number}")
        runs.append(asyncio.create_task(run))
    await until(lambda: fleet.runner.starting == 2)
    async with asyncio.timeout(60):
        await fleet.runner.quiesce()

    assert 0 == fleet.sent
    assert ["item-0", "item-1"] == await states(fleet, "free")


async def test_an_item_that_is_held_is_held_for_all_workers(fleet: Fleet) -> None:
    """Another execution waits for the rest of the time before it sends anything."""
    await fleet.add("ada", WRITE)
    await fleet.starts.intend("ada", "another worker")
    await fleet.starts.refused("ada", "another worker", 3000.0)
    await fleet.runner.run("ada", "lane")

    (waited,) = fleet.waits
    assert 2900 < waited <= 3000
    assert 1 == fleet.sent


async def test_the_wish_to_cancel_ends_what_was_refused(fleet: Fleet) -> None:
    """An item that is to be tried again later is cancelled instead."""
    fleet.sandbox.sign_out(TOKEN)
    intend = fleet.starts.intend

    async def wanted(key: str, execution: str) -> Found:
        """Record an intent, and that its item is to be cancelled."""
        found = await intend(key, execution)
        await fleet.starts.cancel(key)
        return found

    fleet.starts.intend = wanted  # type: ignore[method-assign]
    done = await fleet.run("ada", WRITE)

    assert isinstance(done, Done)
    assert "cancelled" == done.status
    assert [] == fleet.waits


async def test_a_cancel_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An error that passes leaves the wish, and holds up neither beats nor others."""
    impatient = Retries(attempts=1)
    async with running(
        tmp_path, lambda sandbox: sandbox.session(retries=impatient)
    ) as fleet:
        fleet.sandbox.inject_fault("status", on="cancel", status=503, count=2)
        fleet.sandbox.speed = 1.0
        await fleet.add("ada", WRITE)
        run = asyncio.create_task(fleet.runner.run("ada", "lane"))
        await until(lambda: fleet.runner._handles)
        await fleet.starts.cancel("ada")
        for _ in range(2):
            await fleet.runner.cancel_wanted()
        state = await run
        await until(lambda: not fleet.runner._cancels)

    assert "cancelled" == state
    assert [1.0, 2.0] == fleet.waits
    assert "Could not cancel ada yet" in caplog.text


@contextlib.asynccontextmanager
async def ended_unnoticed(
    tmp_path: Path,
) -> AsyncIterator[tuple[Fleet, asyncio.Task[str], WorkflowHandle[Any]]]:
    """Run an item whose workflow has ended, before its session polls it."""
    rarely = Polling.fixed(3600)
    impatient = Retries(attempts=1)
    async with running(
        tmp_path, lambda sandbox: sandbox.session(polling=rarely, retries=impatient)
    ) as fleet:
        await fleet.add("ada", WRITE)
        run = asyncio.create_task(fleet.runner.run("ada", "lane"))
        await until(lambda: fleet.runner._handles)
        (workflow,) = fleet.sandbox.workflows
        await until(lambda: workflow.finished is not None)
        yield fleet, run, fleet.runner._handles["ada"]


async def test_a_cancel_of_what_has_ended_is_dropped(tmp_path: Path) -> None:
    """There is nothing to cancel any more, so the item finishes."""
    async with ended_unnoticed(tmp_path) as (fleet, run, handle):
        await fleet.starts.cancel("ada")
        await fleet.runner.cancel_wanted()
        async with asyncio.timeout(60):
            while await fleet.starts.to_cancel():
                await asyncio.sleep(0.005)
        noticed = run.done()
        await handle.completion(timeout=0)

        assert not noticed
        assert "finished" == await run
        assert 1 == fleet.sandbox.log.cancels


async def test_a_cancel_is_not_tried_again_after_the_end(tmp_path: Path) -> None:
    """A workflow that ends after the API has failed to cancel it is left alone."""
    waiting, end = asyncio.Event(), asyncio.Event()

    async def sleep(_: float) -> None:
        """Wait until the item has ended."""
        waiting.set()
        await end.wait()

    async with ended_unnoticed(tmp_path) as (fleet, run, handle), asyncio.timeout(60):
        fleet.runner._sleep = sleep
        fleet.sandbox.inject_fault("status", on="cancel", status=503)
        await fleet.starts.cancel("ada")
        await fleet.runner.cancel_wanted()
        await waiting.wait()
        await handle.completion(timeout=0)
        state = await run
        end.set()
        await until(lambda: not fleet.runner._cancels)

        assert "finished" == state
        assert 1 == fleet.sandbox.log.cancels


async def test_a_cancellation_of_the_users_own_is_an_error(fleet: Fleet) -> None:
    """The token provider may raise it, and its item is not lost."""
    given = iter([asyncio.CancelledError(), TOKEN])

    async def token(_: str) -> str:
        """Fail once, as a client does that was closed."""
        found = next(given)
        if isinstance(found, asyncio.CancelledError):
            raise found
        return str(found)

    fleet.runner._token = token
    done = await fleet.run("ada", WRITE)

    assert isinstance(done, Done)
    assert "completed" == done.status
    assert [1.0] == fleet.waits


async def test_two_items_of_one_account_are_released(fleet: Fleet) -> None:
    """An event that the account works again ends the waits of both, and no other's."""
    held: list[float] = []

    async def sleep(seconds: float) -> None:
        """Wait for ever."""
        held.append(seconds)
        await asyncio.Event().wait()

    fleet.runner._sleep = sleep
    fleet.sandbox.sign_out(TOKEN)
    fleet.sandbox.sign_out("token-of-other")
    lanes = {"ada": "lane", "bob": "lane", "eve": "other"}
    runs = []
    for key, lane in lanes.items():
        await fleet.add(key, WRITE, lane)
        runs.append(asyncio.create_task(fleet.runner.run(key, lane)))
    await until(lambda: len(held) == 3)
    fleet.sandbox.sign_in(TOKEN)
    fleet.session.account(TOKEN, name="lane").unpause()

    async with asyncio.timeout(60):
        assert ["finished"] * 2 == await asyncio.gather(*runs[:2])
    assert not runs[2].done()


class NeverListedError(Exception):
    """An error that no rule names."""


STEPS = {
    "find": (Starts, "find"),
    "intend": (Starts, "intend"),
    "accepted": (Starts, "accepted"),
    "finished": (Starts, "finished"),
    "start": (Account, "start"),
    "attach": (Account, "attach"),
    "watch": (EventReader, "watch"),
    "completion": (WorkflowHandle, "completion"),
}
"""What an item does on its way."""

UNKNOWN = {
    ("intend", "after"): 0,
    ("start", "before"): 0,
    ("start", "after"): 1,
    ("accepted", "before"): 1,
}
"""Where an error leaves it open whether the item was sent, and how often it was."""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
async def test_an_unexpected_error_sends_nothing_twice(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    """The item goes on, or waits for a decision; it is never taken for ended."""
    owner, name = STEPS[step]
    real = getattr(owner, name)
    failures = [NeverListedError(step)]

    def fail() -> None:
        """Fail the first time."""
        if failures:
            raise failures.pop()

    async def awaited(*values: Any, **named: Any) -> Any:
        """Fail before or after the work."""
        if when == "before":
            fail()
        found = await real(*values, **named)
        fail()
        return found

    def called(*values: Any, **named: Any) -> Any:
        """Do the same for what is not awaited."""
        if when == "before":
            fail()
        found = real(*values, **named)
        fail()
        return found

    await fleet.add("ada", WRITE)
    if step == "attach":
        handle = await fleet.session.account(TOKEN, name="lane").start(WRITE)
        await fleet.starts.intend("ada", "crashed")
        await fleet.starts.accepted("ada", "crashed", str(handle.workflow_id))
    monkeypatch.setattr(owner, name, called if step == "attach" else awaited)
    state = await fleet.runner.run("ada", "lane")
    waiting = await fleet.starts.waiting()
    ids = [workflow.id for workflow in fleet.sandbox.workflows]

    assert [] == failures
    assert UNKNOWN.get((step, when), 1) == fleet.sent
    if (step, when) in UNKNOWN:
        assert ("unknown", ["ada"]) == (state, [row.key for row in waiting])
    else:
        assert ("finished", []) == (state, waiting)
    if step == "accepted" and waiting:
        assert [ids] == [row.candidates for row in waiting]
