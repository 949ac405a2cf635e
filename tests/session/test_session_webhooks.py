"""A session that listens to webhook events: results, pauses, unknown starts."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from aiohttp import web
from event_loops import virtual_time
from scripted_server import ACCOUNT, Scripted, completed, dropped, held, running, taken

from linkedapi_async import (
    AccountPausedError,
    Polling,
    Session,
    StartUnknownError,
    WorkflowFailedError,
    st,
)
from linkedapi_async._polling.answers import Ended
from linkedapi_async.journal import MemoryJournal, Row
from linkedapi_async.sandbox import Sandbox
from linkedapi_async.session import _webhooks
from linkedapi_async.session._webhooks import KEEP_SECONDS
from linkedapi_async.webhooks import WebhookReceiver


pytestmark = pytest.mark.anyio

SLOW = Polling(
    initial_delay=3600, interval=3600, max_interval=3600, queued_interval=3600, jitter=0
)
SEND = st.send_message("https://www.linkedin.com/in/ada", text="Hello!")
CHECK = st.check_connection_status("https://www.linkedin.com/in/ada")
NODE = {
    "actionType": "st.checkConnectionStatus",
    "success": True,
    "data": {"connectionStatus": "connected"},
}
COMPANY = "https://www.linkedin.com/company/"
SECRET = "0123456789abcdef"
UUID = "f9b4346a-0000-4000-8000-000000000000"


class Webhooks:
    """Sends the events of a platform to a receiver."""

    def __init__(self) -> None:
        self.receiver = WebhookReceiver(allow_unsigned=True)
        self.sent = 0

    def send(
        self, type: str, *, account: str | None = UUID, at: Any = None, **data: Any
    ) -> None:
        """Deliver one event."""
        self.sent += 1
        fields = {"accountId": account, **data}
        event = {"id": f"event-{self.sent}", "type": type, "data": fields}
        if at is not None:
            event["createdAt"] = at
        self.receiver.receive({}, json.dumps(event).encode())

    def created(self, workflow_id: str, *, at: Any = None, **more: Any) -> None:
        """Deliver that a workflow was created, by default now."""
        when = at or datetime.now(UTC).isoformat()
        self.send("workflow.created", workflowId=workflow_id, at=when, **more)

    def completed(self, workflow_id: str, **data: Any) -> None:
        """Deliver that a workflow was completed."""
        fields = {"status": "completed", "result": NODE, **data}
        self.send("workflow.completed", workflowId=workflow_id, **fields)


@pytest.fixture
def hooks() -> Webhooks:
    """A platform's webhooks."""
    return Webhooks()


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    """A server that takes one workflow, which runs."""
    async with Scripted() as scripted:
        scripted.script("POST", taken("wf-1"))
        scripted.script("GET", running())
        yield scripted


async def test_an_event_ends_the_wait(server: Scripted, hooks: Webhooks) -> None:
    """A fat event brings the typed result, without a single poll."""
    async with server.session(polling=SLOW) as session:
        session.listen(hooks.receiver)
        handle = await session.start(CHECK)
        seen: list[str] = [handle.status]
        hooks.created("wf-1")
        hooks.send("workflow.started", workflowId="wf-1")
        seen.append(handle.status)
        hooks.completed("wf-1")
        hooks.completed("wf-1")

        assert "connected" == (await handle).connection_status
        assert ["pending", "running", "completed"] == [*seen, handle.status]
        assert 1 == session.stats.completed
    assert 0 == server.count("GET")


async def test_an_event_that_tells_why_it_failed(
    server: Scripted, hooks: Webhooks
) -> None:
    """A failed workflow ends its wait with the API's reason."""
    failure = {"reason": "languageNotSupported", "message": "no"}
    async with server.session(polling=SLOW) as session:
        session.listen(hooks.receiver)
        handle = await session.start(CHECK)
        hooks.completed("wf-1", status="failed", result={"failure": failure})

        with pytest.raises(WorkflowFailedError) as caught:
            await handle
        assert "languageNotSupported" == caught.value.reason
        assert session.account(ACCOUNT).paused is not None


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({"result": None}, id="thin"),
        pytest.param({"result": {}}, id="empty"),
        pytest.param({"result": [1, "two"]}, id="strange"),
        pytest.param({"status": "failed", "result": {}}, id="failed"),
        pytest.param({"status": "strange"}, id="status"),
    ],
)
async def test_what_an_event_does_not_tell_is_asked_for(
    server: Scripted, hooks: Webhooks, data: dict[str, Any]
) -> None:
    """Without a result that can be read, one poll fetches it at once."""
    server.script("GET", completed(NODE))
    async with server.session(polling=SLOW) as session:
        session.listen(hooks.receiver)
        handle = await session.start(CHECK)
        hooks.completed("wf-1", **data)

        assert "connected" == (await handle).connection_status
    assert 1 == server.count("GET")


async def test_an_event_before_the_answer(server: Scripted, hooks: Webhooks) -> None:
    """An event that comes before the answer to the start ends the wait, too."""
    gate = asyncio.Event()
    server.script("POST", held(gate, taken("wf-1")))
    async with server.session(polling=SLOW, journal=MemoryJournal()) as session:
        session.listen(hooks.receiver)
        start = asyncio.ensure_future(session.start(CHECK))
        while not server.seen:
            await asyncio.sleep(0.001)
        hooks.created("wf-1")
        hooks.completed("wf-1")
        hooks.send("workflow.started", workflowId="wf-1")
        gate.set()
        handle = await start

        assert "connected" == (await handle).connection_status
        assert session.journal is not None
        (row,) = await session.journal.rows()
        assert "finished" == row.state
        assert UUID == session.account(ACCOUNT).account_id
    assert 0 == server.count("GET")


async def test_an_early_event_of_what_has_ended(
    server: Scripted, hooks: Webhooks
) -> None:
    """An early event changes nothing if its workflow ended before it was applied."""
    gone = WorkflowFailedError(reason="x", message="x", workflow_id="wf-1")
    async with server.session(polling=SLOW) as session:
        session.listen(hooks.receiver)
        hooks.completed("wf-1")
        handle = session.attach("wf-1", CHECK)
        assert handle._pending is not None
        session._runtime.poller.resolve(handle._pending, Ended(gone))
        with pytest.raises(WorkflowFailedError):
            await handle


async def test_events_that_come_too_early_are_forgotten(
    server: Scripted, hooks: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events of unknown workflows are kept for five minutes, and not too many."""
    monkeypatch.setattr(_webhooks, "MAX_KEPT", 3)
    async with server.session(polling=SLOW) as session:
        listening = session.listen(hooks.receiver)
        for n in range(5):
            hooks.completed(f"wf-{n}")
        assert ["wf-2", "wf-3", "wf-4"] == [*listening._unmatched]

        for early in listening._unmatched.values():
            early.came -= KEEP_SECONDS + 1
        hooks.completed("wf-9")
        assert ["wf-9"] == [*listening._unmatched]


async def test_late_events_of_what_has_ended(
    server: Scripted, hooks: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event of a workflow that was known explains no unknown start."""
    monkeypatch.setattr(_webhooks, "MAX_KEPT", 2)
    async with server.session(polling=SLOW) as session:
        first = await session.start(CHECK)
        listening = session.listen(hooks.receiver)
        hooks.completed("wf-1")
        await first
        for n in range(2, 4):
            server.script("POST", taken(f"wf-{n}"))
            await session.account(f"account-{n}").start(CHECK)
            hooks.completed(f"wf-{n}")
            hooks.created(f"wf-{n}")

        assert not listening._unmatched
        assert ["wf-2", "wf-3"] == [*listening._known]


async def test_a_session_that_stops_listening(
    server: Scripted, hooks: Webhooks
) -> None:
    """After that, events are not its concern any more, and it asks as before."""
    async with server.session(polling=SLOW) as session:
        with session.listen(hooks.receiver) as first:
            second = session.listen(hooks.receiver)
            handle = await session.start(CHECK)
        first.close()
        trusts = [session._runtime.poller._scheduler._webhook_health]
        second.close()
        trusts.append(session._runtime.poller._scheduler._webhook_health)
        assert [True, False] == [trust is not None for trust in trusts]
        hooks.completed("wf-1")
        assert not handle.done

    assert not hooks.receiver._callbacks


async def test_leaving_the_session_stops_listening(
    server: Scripted, hooks: Webhooks
) -> None:
    """The receiver goes on for others."""
    async with server.session(polling=SLOW) as session:
        session.listen(hooks.receiver)
    hooks.completed("wf-1")

    assert not hooks.receiver._callbacks


async def test_an_event_in_another_thread(server: Scripted, hooks: Webhooks) -> None:
    """A receiver in a web framework with threads serves the session all the same."""
    async with server.session(polling=SLOW) as session:
        listening = session.listen(hooks.receiver)
        handle = await session.start(CHECK)
        thread = threading.Thread(target=hooks.completed, args=["wf-1"])
        thread.start()
        assert "connected" == (await handle).connection_status
        thread.join()
        late = threading.Thread(target=hooks.completed, args=["wf-2"])
        late.start()
        late.join()
        listening.close()
        await asyncio.sleep(0)
    assert not listening._unmatched


def test_an_event_after_the_loop_has_gone(
    hooks: Webhooks, caplog: pytest.LogCaptureFixture
) -> None:
    """A receiver that outlives the event loop goes on without noise."""

    late: Any = None

    async def begin() -> None:
        """Make a listening of a session that is left."""
        nonlocal late
        async with Session(linked_api_token="t", base_url="http://127.0.0.1:9") as old:
            late = old.listen(hooks.receiver)
        hooks.receiver.subscribe(late._on_event)

    asyncio.run(begin())
    hooks.completed("wf-1")

    assert "failed" not in caplog.text


@pytest.mark.parametrize("word", ["reconnectionRequired", "frozen", "deleted"])
async def test_account_events_pause_and_resume(
    server: Scripted, hooks: Webhooks, word: str
) -> None:
    """What the platform says of an account, the session heeds at once."""
    async with server.session(polling=SLOW, account_id=UUID) as session:
        session.listen(hooks.receiver)
        account = session.account(ACCOUNT)
        hooks.send(f"account.{word}")
        with pytest.raises(AccountPausedError) as caught:
            await session.start(CHECK)
        assert word == caught.value.reason
        assert word in str(caught.value)

        hooks.send("account.active")
        assert account.paused is None
        assert "wf-1" == (await session.start(CHECK)).workflow_id


async def test_account_events_of_others(server: Scripted, hooks: Webhooks) -> None:
    """Events of unknown accounts, and of other kinds, pause no account."""
    async with server.session(polling=SLOW) as session:
        session.listen(hooks.receiver)
        account = session.account(ACCOUNT)
        hooks.send("account.frozen")
        hooks.send("account.frozen", account=None)
        account.account_id = UUID
        hooks.send("account.painted")
        hooks.send("webhook.test", message="Hello")
        hooks.send("workflow.renamed", workflowId="wf-1")

        assert account.paused is None


async def test_account_ids(server: Scripted) -> None:
    """An id is given with the account, or later; the default account has one too."""
    async with server.session(account_id="one") as session:
        assert "one" == session.account(ACCOUNT, account_id="one").account_id
        assert "one" == session.default_account.account_id
        other = session.account("other")
        assert other.account_id is None
        assert other is session.account("other", account_id="two")
        assert "two" == other.account_id


# Starts whose answer was lost


async def test_candidates_of_an_unknown_start(
    server: Scripted, hooks: Webhooks
) -> None:
    """The error, and the journal, name what the start may have become."""
    gate = asyncio.Event()
    server.script("POST", held(gate, dropped()))
    settings: dict[str, Any] = {"journal": MemoryJournal(), "account_id": UUID}
    async with server.session(polling=SLOW, **settings) as session:
        session.listen(hooks.receiver)
        start = asyncio.ensure_future(session.start(SEND))
        while not server.seen:
            await asyncio.sleep(0.001)
        hooks.created("wf-7")
        hooks.created("wf-8", account="another")
        hooks.created("wf-9", at=_hours_ago(1))
        hooks.send("workflow.started", workflowId="wf-10")
        gate.set()
        with pytest.raises(StartUnknownError) as caught:
            await start

        assert ("wf-7",) == caught.value.candidates
        (row,) = await unknown(session)
        assert ("wf-7",) == row.candidates


async def test_a_candidate_that_comes_late(server: Scripted, hooks: Webhooks) -> None:
    """An event after the error becomes a candidate in the journal too."""
    server.script("POST", dropped())
    settings: dict[str, Any] = {"journal": MemoryJournal(), "account_id": UUID}
    async with server.session(polling=SLOW, **settings) as session:
        session.listen(hooks.receiver)
        with pytest.raises(StartUnknownError) as caught:
            await session.start(SEND)
        assert () == caught.value.candidates
        hooks.created("wf-7", at="no time at all")
        hooks.created("wf-8", at=datetime.now(UTC).replace(tzinfo=None).isoformat())
        (row,) = await unknown(session, candidates=2)

        assert ("wf-7", "wf-8") == row.candidates


async def unknown(session: Session, candidates: int = 1) -> list[Row]:
    """Return the unknown starts once one of them has so many candidates."""
    assert session.journal is not None
    while True:
        rows = await session.journal.unknown()
        if any(len(row.candidates) >= candidates for row in rows):
            return rows
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("journal", [True, False])
async def test_an_exclusive_session_adopts(
    server: Scripted,
    hooks: Webhooks,
    caplog: pytest.LogCaptureFixture,
    journal: bool,
) -> None:
    """The only workflow that may be the lost start is taken to be it."""
    gate = asyncio.Event()
    server.script("POST", held(gate, dropped()))
    settings: dict[str, Any] = {
        "journal": MemoryJournal() if journal else None,
        "account_id": UUID,
        "sole_client": True,
    }
    async with server.session(polling=SLOW, **settings) as session:
        session.listen(hooks.receiver)
        start = asyncio.ensure_future(session.start(SEND))
        while not server.seen:
            await asyncio.sleep(0.001)
        hooks.created("wf-7")
        gate.set()
        handle = await start
        hooks.completed(
            "wf-7", result={"actionType": "st.sendMessage", "success": True}
        )

        assert "wf-7" == handle.workflow_id
        assert (await handle.completion()).root.success
    assert 1 == server.count("POST")
    assert "by a webhook event it is workflow wf-7" in caplog.text


async def test_an_exclusive_session_adopts_late(
    server: Scripted, hooks: Webhooks, caplog: pytest.LogCaptureFixture
) -> None:
    """Also when the event comes after the error: the handle is in the session's."""
    server.script("POST", dropped())
    settings: dict[str, Any] = {"journal": MemoryJournal(), "account_id": UUID}
    async with server.session(polling=SLOW, sole_client=True, **settings) as session:
        session.listen(hooks.receiver)
        with pytest.raises(StartUnknownError):
            await session.start(SEND)
        hooks.created("wf-7")
        while not session.handles:
            await asyncio.sleep(0.001)
        (handle,) = session.handles

        assert "wf-7" == handle.workflow_id
        assert SEND == handle.workflow
    assert "is workflow wf-7, by a webhook event" in caplog.text


@pytest.mark.parametrize("journal", [True, False])
async def test_two_unknown_starts_are_not_guessed(
    server: Scripted, hooks: Webhooks, journal: bool
) -> None:
    """With two open unknown starts nothing is adopted, by whatever event."""
    settings: dict[str, Any] = {
        "journal": MemoryJournal() if journal else None,
        "account_id": UUID,
        "sole_client": True,
    }
    async with server.session(polling=SLOW, **settings) as session:
        session.listen(hooks.receiver)
        server.script("POST", dropped())
        with pytest.raises(StartUnknownError):
            await session.start(SEND)
        gate = asyncio.Event()
        server.script("POST", held(gate, dropped()))
        start = asyncio.ensure_future(session.start(SEND))
        while len(server.seen) < 2:
            await asyncio.sleep(0.001)
        hooks.created("wf-7")
        gate.set()
        with pytest.raises(StartUnknownError) as caught:
            await start

        assert ("wf-7",) == caught.value.candidates
        if journal:
            rows = await unknown(session)
            assert [("wf-7",), ("wf-7",)] == [row.candidates for row in rows]
        assert not session.handles


async def test_two_candidates_are_not_guessed(
    server: Scripted, hooks: Webhooks
) -> None:
    """With two workflows that it may be, the start stays unknown."""
    gate = asyncio.Event()
    server.script("POST", held(gate, dropped()))
    async with server.session(
        polling=SLOW, account_id=UUID, sole_client=True
    ) as session:
        session.listen(hooks.receiver)
        start = asyncio.ensure_future(session.start(SEND))
        while not server.seen:
            await asyncio.sleep(0.001)
        hooks.created("wf-7")
        hooks.created("wf-8")
        gate.set()
        with pytest.raises(StartUnknownError) as caught:
            await start

        assert ("wf-7", "wf-8") == caught.value.candidates


async def test_a_workflow_of_another_row_is_not_adopted(
    server: Scripted, hooks: Webhooks
) -> None:
    """A late event of a workflow that the journal has explains no unknown start."""
    server.script("POST", dropped())
    journal = MemoryJournal()
    async with server.session(
        polling=SLOW, account_id=UUID, journal=journal, sole_client=True
    ) as session:
        await journal.intend("earlier", "another", b"{}", stream=True)
        await journal.accepted("earlier", "wf-7")
        session.listen(hooks.receiver)
        with pytest.raises(StartUnknownError):
            await session.start(SEND)
        hooks.created("wf-7")
        while session._runtime._tasks:
            await asyncio.sleep(0.001)
        (row,) = await journal.unknown()

    assert ("wf-7",) == tuple(row.candidates)


async def test_a_journal_that_cannot_note_a_candidate(
    server: Scripted, hooks: Webhooks, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the session goes on."""
    server.script("POST", dropped())
    journal = MemoryJournal()
    async with server.session(
        polling=SLOW, account_id=UUID, journal=journal
    ) as session:
        session.listen(hooks.receiver)
        with pytest.raises(StartUnknownError):
            await session.start(SEND)
        await journal.aclose()
        hooks.created("wf-7")
        while "could not record" not in caplog.text:
            await asyncio.sleep(0.001)
    assert logging.ERROR in {record.levelno for record in caplog.records}


async def test_an_account_without_an_id_has_no_candidates(
    server: Scripted, hooks: Webhooks
) -> None:
    """The account of a workflow is never guessed."""
    gate = asyncio.Event()
    server.script("POST", held(gate, dropped()))
    async with server.session(polling=SLOW, sole_client=True) as session:
        session.listen(hooks.receiver)
        start = asyncio.ensure_future(session.start(SEND))
        while not server.seen:
            await asyncio.sleep(0.001)
        hooks.created("wf-7")
        gate.set()
        with pytest.raises(StartUnknownError) as caught:
            await start

        assert () == caught.value.candidates


def _hours_ago(hours: float) -> str:
    return (datetime.now(UTC) - timedelta(hours=hours)).isoformat()


# With the sandbox, over loopback


@pytest.fixture
async def mounted() -> AsyncIterator[tuple[WebhookReceiver, str]]:
    """A receiver in an application, and where it is."""
    receiver = WebhookReceiver(SECRET)
    app = web.Application()
    app.router.add_post("/hook", receiver.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    yield receiver, f"http://{host}:{port}/hook"
    await runner.cleanup()


async def run_all(session: Session, accounts: int, each: int) -> list[Any]:
    """Run workflows, spread over accounts, and return their results."""
    return await asyncio.gather(
        *(
            session.account(f"account-{n}").run(
                st.open_company_page(f"{COMPANY}{n}-{m}", basic_info=True)
            )
            for m in range(each)
            for n in range(accounts)
        )
    )


@pytest.mark.no_cover
@virtual_time
@pytest.mark.parametrize(
    ("mode", "faults", "most"),
    [
        pytest.param("fat", {}, 0.4, id="healthy"),
        pytest.param("thin", {}, 1.4, id="thin"),
        pytest.param(
            "fat",
            {"lose": 0.2, "duplicate": 0.2, "reorder": 0.2, "delay": (0.0, 30.0)},
            math.inf,
            id="bad",
        ),
        pytest.param("fat", {"dead": True}, 8, id="dead"),
    ],
)
async def test_polls_per_workflow(
    mounted: tuple[WebhookReceiver, str],
    mode: Literal["fat", "thin"],
    faults: dict[str, Any],
    most: float,
) -> None:
    """Signed events over loopback: every result comes, for few requests."""
    receiver, url = mounted
    async with Sandbox(seed=3) as sandbox, sandbox.session() as session:
        sandbox.send_webhooks_to(url, secret=SECRET, payload_mode=mode)
        rule = sandbox.webhook_faults(**faults)
        session.listen(receiver)
        companies = await run_all(session, 10, 10)

        assert 100 == len({company.public_url for company in companies})
        assert sandbox.polls_per_workflow <= most
        assert bool(rule.hits) == bool(faults)


@virtual_time
async def test_signing_out_pauses_by_event(
    mounted: tuple[WebhookReceiver, str],
) -> None:
    """The account is paused as soon as the platform tells, and resumed likewise."""
    receiver, url = mounted
    async with Sandbox() as sandbox, sandbox.session() as session:
        sandbox.send_webhooks_to(url, secret=SECRET)
        session.listen(receiver)
        account = session.account("sandbox-account")
        await account.run(CHECK)  # an event of it tells the account's id
        sandbox.sign_out("sandbox-account")
        await asyncio.sleep(5)
        pauses = [account.paused]
        sandbox.clear_faults()
        await asyncio.sleep(5)
        pauses.append(account.paused)

        assert ["reconnectionRequired", None] == [p and p.reason for p in pauses]
