"""A service: each write once, and an answer to every call."""

from __future__ import annotations

import asyncio
import datetime as dt
import re
from pathlib import Path
from typing import Any

import pytest
from agents_harness import PERSON, READ, WRITE, service_of
from event_loops import virtual_time

from linkedapi_async import Pace, Session, SessionClosedError
from linkedapi_async.agents import Answer, WorkflowService, _service
from linkedapi_async.contacts import Contacts
from linkedapi_async.journal import SqliteJournal
from linkedapi_async.sandbox import Sandbox, WorkingHours


pytestmark = pytest.mark.anyio

OTHER = {**WRITE, "personUrl": "https://www.linkedin.com/in/bob"}

OTHER_READ = {**READ, "personUrl": "https://www.linkedin.com/in/bob"}


def slow(definition: Any) -> float:
    """Return a duration without end for actions with a label."""
    return 1e9 if "label" in definition else 30.0


async def run(
    service: WorkflowService, definition: Any, key: str | None = None
) -> Answer:
    """Run a workflow as a client does whose user agrees."""
    check = service.check(definition)
    assert not check.problems
    earlier = await service.earlier(check, key) if check.writes else None
    return earlier or await service.run(check, key)


async def until_accepted(
    service: WorkflowService, definition: Any, key: str | None = None
) -> Answer:
    """Call again until the answer has an id."""
    while (answer := await run(service, definition, key)).workflow_id is None:
        assert "pending" == answer.status
        await asyncio.sleep(0.01)
    return answer


# Each write once


async def test_five_calls_of_one_write(tmp_path: Path) -> None:
    """Calls at the same time join one run, and a later one gets its result."""
    async with Sandbox(speed=1000) as box, service_of(box, tmp_path / "j") as service:
        together = await asyncio.gather(*(run(service, WRITE) for _ in range(5)))
        later = await run(service, {**WRITE, "label": "again"})
        repeat = await run(service, WRITE)
        taken = len(box.workflows)

    assert 1 == taken
    assert 1 == len({answer.workflow_id for answer in together})
    assert {"completed"} == {answer.status for answer in together}
    assert ("not_sent", together[0].workflow_id) == (later.status, later.workflow_id)
    assert "completed" == repeat.status
    assert f"as {repeat.workflow_id}; pass a new key" in str(repeat.note)
    assert together[0].result == repeat.result


async def test_a_restart(tmp_path: Path) -> None:
    """A service of the same journal knows what an earlier one has sent."""
    async with Sandbox(speed=1000) as box:
        async with service_of(box, tmp_path / "j") as service:
            first = await run(service, WRITE)
        async with service_of(box, tmp_path / "j") as service:
            second = await run(service, WRITE)
        taken = len(box.workflows)

    assert 1 == taken
    assert first.result == second.result
    assert str(second.note).startswith("sent on ")


@virtual_time
async def test_another_text(tmp_path: Path) -> None:
    """The same to the same person is sent again under a new key only."""
    text = {**WRITE, "text": "Hello again!"}
    async with (
        Sandbox(duration=slow) as box,
        service_of(box, tmp_path / "j", polling=None, wait=0) as service,
    ):
        first = await until_accepted(service, {**WRITE, "label": "slow"})
        refused = await run(service, text)
        again = await until_accepted(service, {**text, "label": "slow"}, "second")
        taken = len(box.workflows)

    assert 2 == taken
    assert "not_sent" == refused.status
    assert "its target); it is in progress; pass a new key" in str(refused.note)
    assert {"pending", "running"} >= {first.status, again.status}
    assert first.workflow_id != again.workflow_id


@virtual_time
async def test_what_is_under_way_is_picked_up(tmp_path: Path) -> None:
    """A service waits for what an earlier one has sent and not finished."""
    long = {**WRITE, "label": "slow"}
    async with Sandbox(duration=slow) as box:
        async with service_of(box, tmp_path / "j", polling=None, wait=0) as service:
            first = await until_accepted(service, long)
        async with service_of(box, tmp_path / "j", polling=None, wait=0) as service:
            second = await until_accepted(service, long)
            # Called again, it is still known that it was sent before.
            third = await run(service, long)
        taken = len(box.workflows)

    assert 1 == taken
    assert first.workflow_id == second.workflow_id == third.workflow_id
    assert str(third.note).startswith("sent on ")
    assert "get_result with this id waits on" in str(third.note)


async def test_an_answer_is_lost(tmp_path: Path) -> None:
    """A write that may have been sent is not sent again before a decision."""
    async with Sandbox(speed=1000) as box, service_of(box, tmp_path / "j") as service:
        box.inject_fault("reset_after", on="start")
        first = await run(service, WRITE)
        second = await run(service, WRITE)
        taken = len(box.workflows)

    assert 1 == taken
    assert ("unknown", "unknown") == (first.status, second.status)
    assert "linkedapi recover" in str(first.note)
    assert f"--retry {service.account.name}/to-" in str(second.note)
    assert first.is_error


async def run_twice(
    folder: Path, definition: Any, limited: str
) -> tuple[Answer, Answer, int]:
    """Call a workflow twice, with one type of action limited; count what was sent."""
    async with (
        Sandbox(speed=1000, fail={limited: "limitExceeded"}) as box,
        service_of(box, folder / "j") as service,
    ):
        first = await run(service, definition)
        second = await run(service, definition)
        return first, second, len(box.workflows)


async def test_what_changed_nothing_runs_again(tmp_path: Path) -> None:
    """A write that failed and certainly changed nothing is sent when called again."""
    first, second, taken = await run_twice(tmp_path, WRITE, "st.sendMessage")

    assert 2 == taken
    assert first.workflow_id != second.workflow_id
    assert "limitExceeded" in str(first.note)
    assert "limitExceeded" in str(second.note)


async def test_what_may_have_changed_something_does_not_run_again(
    tmp_path: Path,
) -> None:
    """A workflow of two writes, of which one failed, is not sent again."""
    two = {
        "actionType": "st.openPersonPage",
        "personUrl": PERSON,
        "then": [
            {"actionType": "st.sendMessage", "text": "Hello!"},
            {"actionType": "st.sendConnectionRequest"},
        ],
    }
    first, second, taken = await run_twice(tmp_path, two, "st.sendConnectionRequest")

    assert 1 == taken
    assert "limitExceeded" in str(first.note)
    assert str(second.note).startswith("sent on ")


async def test_nothing_is_sent(tmp_path: Path) -> None:
    """A start that the API refuses was not sent, and may be called again."""
    async with Sandbox(speed=1000) as box, service_of(box, tmp_path / "j") as service:
        box.inject_fault("status", on="start", status=400, type="invalidWorkflow")
        refused = await run(service, WRITE)
        sent = await run(service, WRITE)

    assert "not_sent" == refused.status
    assert "invalidWorkflow" in str(refused.note)
    assert ("completed", None) == (sent.status, sent.note)


async def test_a_key_is_taken_while_the_user_thinks(tmp_path: Path) -> None:
    """What another server has sent since the look-up is not sent once more."""
    async with (
        Sandbox(speed=1000) as box,
        service_of(box, tmp_path / "j") as one,
        service_of(box, tmp_path / "j") as two,
    ):
        check, other = one.check(WRITE), one.check({**WRITE, "text": "Hi!"})
        assert await one.earlier(check) is None
        sent = await run(two, WRITE)
        repeat = await one.run(check)
        refused = await one.run(other)
        taken = len(box.workflows)

    assert 1 == taken
    assert sent.workflow_id == repeat.workflow_id
    assert ("completed", "not_sent") == (repeat.status, refused.status)
    assert str(repeat.note).startswith("sent on ")


async def test_two_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process has the journal open, a service reads and does not write."""
    monkeypatch.setattr(_service, "LOCK_WAIT", 0.0)
    async with Sandbox(speed=1000) as box, SqliteJournal(tmp_path / "j"):
        async with service_of(box, tmp_path / "j") as service:
            read = await run(service, READ)
            check = service.check(WRITE)
            earlier = await service.earlier(check)
            # The journal was taken while the user thought.
            unlucky = await service.run(check)

    assert "completed" == read.status
    assert earlier is not None
    assert ("not_sent", "not_sent") == (earlier.status, unlucky.status)
    assert "another program has the journal of writes open" in str(unlucky.note)


async def test_a_journal_becomes_free(tmp_path: Path) -> None:
    """A write waits until another process has closed the journal."""
    opened: list[Any] = []

    def connect(**settings: Any) -> Any:
        """Count the attempts to use the journal."""
        opened.extend([settings["journal"]] if "journal" in settings else [])
        return box.session(**settings)

    async with Sandbox(speed=1000) as box:
        journal = SqliteJournal(tmp_path / "j")
        await journal.open()
        async with WorkflowService(
            connect, journal=tmp_path / "j", allow_writes=True
        ) as service:
            write = asyncio.create_task(run(service, WRITE))
            while len(opened) < 2:
                await asyncio.sleep(0.01)
            await journal.aclose()
            answer = await write

    assert "completed" == answer.status


async def test_services_take_turns(tmp_path: Path) -> None:
    """Two services share a journal, because it is open only during a write."""
    async with (
        Sandbox(speed=1000) as box,
        service_of(box, tmp_path / "j") as one,
        service_of(box, tmp_path / "j") as two,
    ):
        first = await run(one, WRITE)
        second = await run(two, WRITE)
        third = await run(two, OTHER)
        taken = len(box.workflows)

    assert 2 == taken
    assert first.workflow_id == second.workflow_id != third.workflow_id


@virtual_time
async def test_a_call_is_cancelled(tmp_path: Path) -> None:
    """A client that gives up ends its wait, and not the workflow."""
    long = {**WRITE, "label": "slow"}
    async with (
        Sandbox(duration=slow) as box,
        service_of(box, tmp_path / "j", polling=None) as service,
    ):
        call = asyncio.create_task(run(service, long))
        while not box.workflows:
            await asyncio.sleep(0.01)
        call.cancel()
        await asyncio.wait({call})
        service.wait = 0
        answer = await until_accepted(service, long)
        taken = [workflow.id for workflow in box.workflows]

    assert call.cancelled()
    assert [answer.workflow_id] == taken


# Pace and contacts


async def test_the_pace_counts(tmp_path: Path) -> None:
    """What the pace does not allow yet waits, and is joined when it is called again."""
    pace = Pace(per_day={"stMessages": 1})
    async with (
        Sandbox(speed=1000) as box,
        service_of(box, tmp_path / "j", pace=pace) as service,
    ):
        first = await run(service, WRITE)
        read = await run(service, READ)
        service.wait = 0.1
        waiting = [await run(service, OTHER) for _ in range(2)]
        taken = len(box.workflows)

    assert ("completed", "completed", 2) == (first.status, read.status, taken)
    assert {"pending"} == {answer.status for answer in waiting}
    assert "it waits for its turn" in str(waiting[0].note)


async def test_a_pace_of_reads() -> None:
    """Without a journal, the pace is counted in memory."""
    pace = Pace(per_day={"stPersonProfileViews": 1})
    async with Sandbox(speed=1000) as box, service_of(box, pace=pace) as service:
        first = await run(service, READ)
        service.wait = 0.1
        second = await run(service, READ)

    assert ("completed", "pending") == (first.status, second.status)


async def test_contacts_are_kept(tmp_path: Path) -> None:
    """A person who was written to is not written to again under another key."""
    contacts = Contacts(tmp_path / "contacts")
    async with (
        Sandbox(speed=1000) as box,
        service_of(box, tmp_path / "j", contacts=contacts) as service,
    ):
        first = await run(service, WRITE)
        second = await run(service, WRITE, "second")
        taken = len(box.workflows)

    assert (1, "completed", "not_sent") == (taken, first.status, second.status)
    assert PERSON.removeprefix("https://www.") in str(second.note)


# Results


async def test_reads_are_joined_and_run_again() -> None:
    """A read under way is joined; one that has ended is run again."""
    async with Sandbox(speed=1000) as box, service_of(box) as service:
        together = await asyncio.gather(*(run(service, READ) for _ in range(5)))
        again = await run(service, READ)
        taken = len(box.workflows)

    assert 2 == taken
    assert 1 == len({answer.workflow_id for answer in together})
    assert together[0].workflow_id != again.workflow_id


@virtual_time
async def test_a_result_by_its_id() -> None:
    """Any service waits for a workflow, also the one that waits already."""
    async with (
        Sandbox(duration=slow) as box,
        service_of(box, polling=None, wait=0) as one,
        service_of(box, polling=None) as two,
    ):
        first = await until_accepted(one, {**OTHER_READ, "label": "slow"})
        long = await until_accepted(one, {**READ, "label": "slow"})
        joined = await one.result(str(long.workflow_id))
        for each in (first, long):
            assert await two.account.cancel(str(each.workflow_id))
        one.wait = 60
        short = await run(one, READ)
        attached = await two.result(str(short.workflow_id))

    assert {"pending", "running"} >= {joined.status}
    assert joined.workflow_id == long.workflow_id
    assert ("completed", "completed") == (short.status, attached.status)
    assert short.result == attached.result


async def test_ids_that_lead_nowhere() -> None:
    """An id that is malformed or unknown is an answer, at once."""
    async with Sandbox(speed=1000) as box, service_of(box) as service:
        malformed = await service.result("../accounts")
        unknown = await service.result("wf-0")

    assert ("unknown", None) == (malformed.status, malformed.workflow_id)
    assert ("unknown", "wf-0") == (unknown.status, unknown.workflow_id)
    assert "wf-0" in str(unknown.note)


@virtual_time
async def test_workflows_that_fail() -> None:
    """The failure of a workflow as a whole, and its cancellation, are answers."""
    async with (
        Sandbox(duration=slow) as box,
        service_of(box, polling=None, wait=0) as service,
    ):
        box.fail_next("browserCrashed")
        failed = await until_accepted(service, READ)
        cancelled = await until_accepted(service, {**OTHER_READ, "label": "slow"})
        assert await service.account.cancel(str(cancelled.workflow_id))
        service.wait = 60
        answers = [
            await service.result(str(one.workflow_id)) for one in (failed, cancelled)
        ]

    assert ["failed", "cancelled"] == [answer.status for answer in answers]


@virtual_time
async def test_progress() -> None:
    """The reports of a wait say how far it is, and how long it takes if that is known."""
    texts: list[tuple[float | None, str]] = []

    async def report(passed: float, total: float | None, text: str) -> None:
        """Keep what is reported."""
        assert passed >= 0
        texts.append((total, text))

    async with Sandbox(duration=slow) as box, service_of(box, polling=None) as service:
        for _ in range(6):
            await run(service, READ)
        service.wait = 0.0
        answer = await until_accepted(service, {**READ, "label": "slow"})
        service.wait = 5.0
        answer = await service.result(str(answer.workflow_id), report)

    assert {"pending", "running"} >= {answer.status}
    total, text = texts[0]
    assert total is not None
    assert re.match(rf"{answer.workflow_id} is \w+, about \d+ s left", text)


async def test_why_it_is_pending() -> None:
    """The progress has the API's reason for which a workflow is pending."""
    closed = WorkingHours(opens="09:00", closes="10:00")
    night = dt.datetime(2026, 11, 30, 3, tzinfo=dt.UTC)
    async with (
        Sandbox(working_hours=closed, now=night) as box,
        service_of(box, wait=0) as service,
    ):
        answer = await until_accepted(service, READ)
        while "(outsideWorkingHours)" not in str(answer.note):
            await asyncio.sleep(0.01)
            answer = await run(service, READ)

    assert "pending" == answer.status


# Settings


async def test_writes_need_a_journal() -> None:
    """Without a journal, writes cannot be allowed."""
    with pytest.raises(ValueError, match=r"writes need a journal.*pass journal="):
        WorkflowService(Session, allow_writes=True)


async def test_an_account_is_missing() -> None:
    """If there is no account, the service closes its session again."""
    async with Sandbox() as box:
        session = box.session()

        def account_of(_: Any) -> Any:
            """Find no account."""
            message = "no account"
            raise LookupError(message)

        service = WorkflowService(lambda **_: session, account_of=account_of)
        with pytest.raises(LookupError, match="no account"):
            async with service:
                pass
        with pytest.raises(SessionClosedError):
            await session.run(READ)
