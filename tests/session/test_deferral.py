"""What is held back runs later, and nothing is ever written twice by it."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from aiohttp import web
from event_loops import virtual_time
from hypothesis import given
from hypothesis import strategies as hyp
from scripted_server import Answer, Scripted, completed, dropped, ok, refused, running

from linkedapi_async import (
    AccountPausedError,
    ActionError,
    AsCompleted,
    AuthenticationError,
    ConnectionFailedError,
    JournalError,
    LinkedApiError,
    Pace,
    PaceError,
    Polling,
    RateLimitedError,
    RejectedError,
    Retries,
    Session,
    StartUnknownError,
    WorkflowFailedError,
    custom,
    st,
)
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._utils.times import set_wall_time
from linkedapi_async._wire.read import read_completion
from linkedapi_async.contacts import Contacts
from linkedapi_async.journal import Journal, MemoryJournal, Row
from linkedapi_async.session import _as_completed
from linkedapi_async.session._deferral import (
    RETRY_AFTER,
    RETRY_HOST_AFTER,
    SOON,
    Hold,
    Holds,
    categories_of,
    deferring_end_error,
    deferring_start_error,
    delay_of,
    may_write,
)


pytestmark = pytest.mark.anyio

SIGNED_OUT = "linkedinAccountSignedOut"
INVITE = "st.sendConnectionRequest"
MESSAGE = "st.sendMessage"
VISIT = "st.openPersonPage"
CHECK = "st.checkConnectionStatus"


def node(action_type: str, error: str | None = None, **more: Any) -> dict[str, Any]:
    """Return the outcome of an action, which failed with *error*."""
    if error is None:
        return {"actionType": action_type, "success": True, "data": {}, **more}
    failure = {"type": error, "message": "no"}
    return {"actionType": action_type, "success": False, "error": failure, **more}


def failed(reason: str) -> Answer:
    """Say that a workflow failed as a whole."""
    failure = {"reason": reason, "message": "no"}
    return ok({"workflowStatus": "failed", "failure": failure})


def person(name: str) -> str:
    """Return the URL of a person."""
    return f"https://www.linkedin.com/in/{name}"


def invite(name: str) -> Any:
    """Return an item that invites a person."""
    return name, st.send_connection_request(person(name))


def invites(count: int, first: int = 0) -> list[Any]:
    """Return items that invite persons."""
    return [invite(f"p{number}") for number in range(first, first + count)]


class Platform:
    """A server that accepts starts, and says how each workflow ended.

    Attributes:
        server: What answers.
        end: Returns the answer to a poll of a started workflow.
        start: Returns the answer to a start, or None to accept it.
    """

    def __init__(self, server: Scripted) -> None:
        self.server = server
        self.started: list[Started] = []
        self.end: Callable[[Started], Answer] = lambda each: completed(
            node(each.action_type)
        )
        self.start: Callable[[Started], Answer | None] = lambda _: None
        self.status: str | None = "pending"
        server.script("POST", self._accept)
        server.script("GET", self._poll)

    async def _accept(self, request: web.Request) -> web.StreamResponse:
        number = len(self.started) + 1
        account = request.headers["identification-token"]
        started = Started(number, account, await request.json())
        answer = self.start(started)
        if answer is None:
            self.started.append(started)
            result = {"workflowId": f"wf-{number}", "workflowStatus": self.status}
            answer = ok({k: v for k, v in result.items() if v is not None})
        return await answer(request)

    async def _poll(self, request: web.Request) -> web.StreamResponse:
        number = int(request.path.rpartition("-")[2])
        return await self.end(self.started[number - 1])(request)

    def counts(self) -> dict[str, int]:
        """Return how often each person was acted on."""
        return Counter(each.name for each in self.started)

    def names(self, account: str | None = None) -> list[str]:
        """Return the persons in the order of the starts, all or of one account."""
        return [s.name for s in self.started if account in {None, s.account}]


@attrs.frozen
class Started:
    """A workflow that the platform has accepted."""

    number: int
    account: str
    definition: Any

    @property
    def action_type(self) -> str:
        """The type of its root."""
        return str(self.definition["actionType"])

    @property
    def name(self) -> str:
        """Whom it is about."""
        return str(self.definition["personUrl"]).rpartition("/")[2]


async def as_cursor(items: Iterable[Any]) -> AsyncIterator[Any]:
    """Give items as a cursor of a database does."""
    for item in items:
        yield item


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    """A platform on which everything succeeds."""
    async with Scripted() as server:
        yield Platform(server)


def open_session(
    platform: Platform, journal: Journal | None = None, **settings: Any
) -> Session:
    """Return a session that does not retry for long."""
    retries = Retries(attempts=2, initial_delay=0.001, max_delay=0.002)
    return platform.server.session(journal=journal, retries=retries, **settings)


async def run(
    session: Session, items: Iterable[Any], **settings: Any
) -> tuple[dict[str, Any], AsCompleted[Any]]:
    """Stream *items*; return the end of each by key, and the stream."""
    ends: dict[str, Any] = {}
    async with session.as_completed(items, **settings) as done:
        async for handle in done:
            try:
                ends[str(handle.key)] = await handle
            except Exception as error:  # noqa: BLE001  # compared by the test
                ends[str(handle.key)] = error
    return ends, done


async def rows_of(journal: Journal) -> dict[str, Row]:
    """Return the rows of a closed journal by key."""
    async with journal:
        return {row.key: row for row in await journal.rows()}


# What runs later, by its end


LOOP_OF_10 = [node(INVITE) for _ in range(10)]
LOOP_OF_20 = LOOP_OF_10 + [node(INVITE, "limitExceeded") for _ in range(10)]


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        pytest.param(node(INVITE, "limitExceeded"), "limitExceeded", id="limit"),
        pytest.param(node(INVITE, "requestNotAllowed"), "requestNotAllowed", id="no"),
        pytest.param(node(VISIT, "searchingNotAllowed"), "searchingNotAllowed", id="x"),
        pytest.param(node(CHECK, "noSalesNavigator"), "noSalesNavigator", id="reads"),
        pytest.param(node(CHECK, "tooManyRequests"), "tooManyRequests", id="host"),
        pytest.param(node(INVITE), None, id="done"),
        pytest.param(node(INVITE, "personNotFound"), None, id="target"),
        pytest.param(node(INVITE, "somethingNew"), None, id="unknown error"),
        pytest.param(node(INVITE, "httpError"), None, id="host may have written"),
        pytest.param(node(INVITE, "noSalesNavigator"), None, id="does not pass"),
        pytest.param(node("st.somethingNew"), None, id="unknown action"),
        pytest.param(
            [node("st.somethingNew"), node(INVITE, "limitExceeded")],
            None,
            id="unknown action and a limit",
        ),
        pytest.param(
            node(VISIT, then=[node(MESSAGE), node(INVITE, "limitExceeded")]),
            None,
            id="one of two wrote",
        ),
        pytest.param(
            node(
                VISIT,
                then=[node(MESSAGE, "personNotFound"), node(INVITE, "limitExceeded")],
            ),
            None,
            id="one of two cannot",
        ),
        pytest.param(
            node(
                VISIT,
                then=[node(MESSAGE, "limitExceeded"), node(INVITE, "limitExceeded")],
            ),
            "limitExceeded",
            id="none of two wrote",
        ),
        pytest.param(
            node(VISIT, "limitExceeded"), "limitExceeded", id="writes are absent"
        ),
        pytest.param(
            [node(INVITE), node(MESSAGE, "limitExceeded")], None, id="array: first"
        ),
        pytest.param(LOOP_OF_20, None, id="a loop with 10 of 20 done"),
        pytest.param(LOOP_OF_20[10:], "limitExceeded", id="a loop with none done"),
    ],
)
def test_end_of_a_completed_workflow(completion: Any, expected: str | None) -> None:
    """It runs again only if no part of it has written, and its verdict passes it on."""
    for never_ran in (False, True):
        error = deferring_end_error(
            read_completion(completion), may_write=True, never_ran=never_ran
        )

        assert expected == (error and getattr(error, "type", None))


WRITES = sorted(name for name, cls in ACTIONS.items() if cls.effect == "write")
TYPES = [*WRITES[:6], VISIT, CHECK, "st.somethingNew"]
ERRORS = [None, "limitExceeded", "personNotFound", "httpError", "somethingNew"]
NODES = hyp.recursive(
    hyp.builds(node, hyp.sampled_from(TYPES), hyp.sampled_from(ERRORS)),
    lambda below: hyp.builds(
        node,
        hyp.sampled_from(TYPES),
        hyp.sampled_from(ERRORS),
        then=hyp.lists(below, min_size=1, max_size=3),
    ),
    max_leaves=12,
)


def walk(tree: Any) -> Iterable[Any]:
    """Visit all nodes of a completion in JSON."""
    for each in tree if isinstance(tree, list) else [tree]:
        yield each
        yield from walk(each.get("then", []))


@given(hyp.lists(NODES, min_size=1, max_size=3))
def test_nothing_that_wrote_runs_again(tree: Any) -> None:
    """Whatever the tree, a write that is not proven to have failed keeps it."""
    error = deferring_end_error(read_completion(tree), may_write=True, never_ran=True)
    writes = [n for n in walk(tree) if n["actionType"] not in {VISIT, CHECK}]
    proven = all(n.get("error", {}).get("type") == "limitExceeded" for n in writes)
    limited = any(
        n.get("error", {}).get("type") in {"limitExceeded", "httpError"}
        for n in walk(tree)
    )

    assert (error is not None) == (proven and limited)


@pytest.mark.parametrize(
    ("reason", "may_write", "never_ran", "deferred"),
    [
        (SIGNED_OUT, True, True, True),
        (SIGNED_OUT, True, False, False),
        (SIGNED_OUT, False, False, True),
        ("workingHoursWaitExpired", True, False, False),
        ("workingHoursWaitExpired", False, False, True),
        ("workflowTimeout", False, False, False),
        ("workflowTimeout", False, True, False),
        ("somethingNew", False, True, False),
    ],
)
def test_end_of_a_failed_workflow(
    reason: str, may_write: bool, never_ran: bool, deferred: bool
) -> None:
    """What writes must certainly not have begun; what reads may run again."""
    error = WorkflowFailedError(reason=reason, message="no")
    found = deferring_end_error(error, may_write=may_write, never_ran=never_ran)

    assert (error if deferred else None) is found


@pytest.mark.parametrize(
    "error",
    [
        StartUnknownError("lost", account="a"),
        JournalError("full"),
        RejectedError("no", type="plusPlanRequired"),
        RejectedError("no", type="somethingNew"),
        ValueError("no"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_starts_that_are_not_deferred(error: Exception) -> None:
    """An unknown start, above all, is never deferred."""
    assert deferring_start_error(error) is None


@pytest.mark.parametrize(
    ("error", "delay", "known"),
    [
        (AccountPausedError("no", type=SIGNED_OUT), RETRY_AFTER, False),
        (AuthenticationError("no"), RETRY_AFTER, False),
        (RejectedError("no", type="limitExceeded"), 18 * 3600.0, False),
        (RateLimitedError("no", retry_after=30.0), 30.0, True),
        (RateLimitedError("no"), RETRY_HOST_AFTER, False),
        (ConnectionFailedError("no", sent=False), RETRY_HOST_AFTER, False),
        (PaceError("full", account="a"), RETRY_AFTER, False),
        (
            PaceError(
                "full", account="a", until=dt.datetime(2026, 5, 4, 8, tzinfo=dt.UTC)
            ),
            7200.0,
            True,
        ),
        (
            PaceError(
                "full", account="a", until=dt.datetime(2026, 5, 4, 5, tzinfo=dt.UTC)
            ),
            # Never nothing: the clocks may say that it is not quite that time yet, and
            # a stream would ask again and again while virtual time does not pass.
            SOON,
            True,
        ),
    ],
)
def test_starts_that_are_deferred(
    error: LinkedApiError, delay: float, known: bool
) -> None:
    """What held a start back says how long, or is tried again after a while."""
    now = dt.datetime(2026, 5, 4, 6, tzinfo=dt.UTC)

    assert error is deferring_start_error(error)
    seconds, until = delay_of(error, now)

    assert delay == seconds
    assert known == (until is not None)
    if isinstance(error, PaceError):
        assert error.until is until
    elif until is not None:
        assert now + dt.timedelta(seconds=seconds) == until


def test_a_workflow_that_is_unknown_may_write() -> None:
    """Such as one whose definition in the journal is damaged."""
    assert may_write(None)
    assert may_write(invite("a")[1])
    assert not may_write((st.retrieve_ssi(), st.sync_inbox()))


def test_categories() -> None:
    """The limits that any action of a workflow counts against, whatever its form."""
    visit = st.open_person_page(person("a")).then(st.send_message(text="Hi"))
    expected = {"stPersonProfileViews", "stMessages"}

    assert expected == categories_of(visit)
    assert {"stMessages"} == categories_of(
        {"actionType": MESSAGE, "personUrl": person("a"), "text": "Hi"}
    )
    assert expected == categories_of((visit, st.retrieve_ssi()))
    assert frozenset() == categories_of(custom("st.somethingNew"))
    assert frozenset() == categories_of(5)


# What an account may start


def hold(ends_at: float, *, about_account: bool = True) -> Hold:
    """Return a hold."""
    error = RejectedError("no", type="limitExceeded")
    return Hold(
        error, ends_at, about_account=about_account, by_pause=False, waited_out=False
    )


def test_a_hold_ends_with_one_try() -> None:
    """After its time one item tries the category; what that shows counts for all."""
    holds, item = Holds(), object()
    holds.hold(["a"], one := hold(10.0))

    assert one is holds.held(["b", "a"], 9.0)
    assert holds.held(["b"], 9.0) is None
    assert 10.0 == holds.next_end(9.0)
    assert math.inf == holds.next_end(10.0)
    assert holds.held(["a"], 10.0) is None
    assert math.inf == holds.next_end(9.0)

    assert not holds.busy(["a"])
    assert not holds.begin(item, ["a"])
    assert holds.busy(["a"])
    assert not holds.busy(["b"])

    holds.end(item, ["a"], worked=False)
    assert not holds.busy(["a"])
    holds.begin(item, ["a"])
    holds.end(object(), ["a"], worked=False)
    assert holds.busy(["a"])
    holds.end(item, ["a"], worked=True)
    holds.begin(item, ["a"])
    assert not holds.busy(["a"])


def test_what_was_doubted_is_tried_once() -> None:
    """Each category, or the whole account, is open once one item has worked there."""
    holds, item = Holds(categories=True), object()
    holds.begin(item, ["a"])

    assert holds.busy(["a"])
    assert not holds.busy(["b"])
    assert not holds.tries_account

    holds.end(item, ["a"], worked=True)
    holds.begin(item, ["a"])

    assert not holds.busy(["a"])

    account = Holds(account=True)

    assert account.tries_account
    assert account.begin(item, ["a"])
    assert account.busy([])


def test_lifting() -> None:
    """A verdict about the host ends for all accounts, one about an account for it."""
    holds = Holds()

    assert not holds.lift(about_account=True)

    holds.hold([None], one := hold(10.0))

    assert not holds.lift(about_account=False)
    assert holds.lift(about_account=True)
    assert one.lifted
    assert holds.held([], 0.0) is None


def test_refusals_in_a_row() -> None:
    """Three in a row pause a category, unless one has worked in between."""
    holds = Holds()

    assert [[], [], ["a"]] == [holds.refused(["a"]) for _ in range(3)]

    holds.end(object(), ["a"], worked=True)

    assert [[], []] == [holds.refused(["a"]) for _ in range(2)]


# Limits


def limit_of(platform: Platform, count: int) -> None:
    """Let each account send so many invitations, and then meet its limit."""
    sent: Counter[str] = Counter()
    ended: set[int] = set()

    def end(each: Started) -> Answer:
        if each.action_type != INVITE:
            return completed(node(each.action_type))
        if each.number not in ended and sent[each.account] >= count:
            return completed(node(INVITE, "limitExceeded"))
        if each.number not in ended:
            ended.add(each.number)
            sent[each.account] += 1
        return completed(node(INVITE))

    platform.end = end


async def test_a_limit_defers_the_rest(platform: Platform) -> None:
    """What meets the limit is no failure; the next run goes on with exactly the rest."""
    limit_of(platform, 3)
    journal = MemoryJournal()
    async with open_session(platform, journal) as session:
        first, done = await run(session, invites(10), limit=1)
    deferred, before = done.deferred, len(platform.started)
    limit_of(platform, 100)
    async with open_session(platform, journal) as session:
        second, again = await run(session, invites(10), limit=4)

    assert ["p0", "p1", "p2"] == list(first)
    assert "p3" == deferred[0].key
    assert {"limitExceeded"} == {each.reason for each in deferred}
    assert {None} == {each.until for each in deferred}
    assert 4 == before
    assert not done.complete
    assert {f"p{number}" for number in range(3, 10)} == set(second)
    assert (True, ()) == (again.complete, again.deferred)
    assert {"p3": 2} == {k: n for k, n in platform.counts().items() if n > 1}
    assert {"delivered"} == {row.state for row in (await rows_of(journal)).values()}


async def test_what_is_deferred_is_written_down(platform: Platform) -> None:
    """The journal has each item that was read, why it waits, and what started there."""
    limit_of(platform, 0)
    journal = MemoryJournal()
    async with open_session(platform, journal) as session:
        ends, done = await run(session, invites(5), limit=2)
        assert session.journal is not None
        found = await session.journal.deferred()

    assert {} == ends
    assert {each.key for each in done.deferred} == {row.key for row in found}
    assert {"category"} == {row.about for row in found}
    assert {False} == {row.wrote for row in found}
    assert set(platform.names()) == {row.key for row in found if row.bound}
    assert len(found) <= 4


async def test_another_limit_is_not_concerned(platform: Platform) -> None:
    """Only the category is paused: messages go on while invitations wait."""
    limit_of(platform, 1)
    messages = [
        (f"m{n}", st.send_message(person(f"m{n}"), text="Hi")) for n in range(4)
    ]
    items = [each for pair in zip(invites(4), messages, strict=True) for each in pair]
    async with open_session(platform, MemoryJournal()) as session:
        ends, done = await run(session, items, limit=4)

    assert {"p0", "m0", "m1", "m2", "m3"} == set(ends)
    assert {"p1", "p2", "p3"} == {each.key for each in done.deferred}


async def test_what_cannot_start_is_not_read_for_ever(platform: Platform) -> None:
    """An endless input is left alone once its items are deferred in a row."""
    limit_of(platform, 0)
    drawn = 0

    def endless() -> Iterable[Any]:
        """Give invitations."""
        nonlocal drawn
        for number in itertools.count():
            drawn += 1
            yield invite(f"p{number}")

    async with open_session(platform) as session:
        _, done = await run(session, endless(), limit=5)

    assert 0 < len(done.deferred) == drawn <= 11


async def test_a_run_tries_each_limit_with_one_item(platform: Platform) -> None:
    """While a limit still holds, a new run sends one item and not as many as it may."""
    limit_of(platform, 0)
    journal = MemoryJournal()
    tried = 0
    for _ in range(3):
        before = len(platform.started)
        async with open_session(platform, journal) as session:
            await run(session, invites(8), limit=8)
        tried = len(platform.started) - before

    assert 1 == tried


async def test_what_wrote_in_part_has_failed(platform: Platform) -> None:
    """It is delivered, says what was done, and is repeated only on request."""
    tree = node(VISIT, then=[node(MESSAGE), node(INVITE, "limitExceeded")])
    platform.end = lambda _: completed(tree)
    workflow = st.open_person_page(person("a")).then(
        st.send_message(text="Hi"), st.send_connection_request()
    )
    journal = MemoryJournal()
    async with open_session(platform, journal) as session:
        async with session.as_completed([("a", workflow)]) as done:
            (handle,) = [handle async for handle in done]
        completion = await handle.completion()
        assert session.journal is not None
        with pytest.raises(JournalError, match="pass again=True"):
            await session.journal.retry("a")
        assert ["a"] == [row.key for row in await session.journal.failed()]
    (error,) = completion.errors

    assert () == done.deferred
    assert [MESSAGE] == [outcome.action_type for outcome in error.done]


async def test_refusals_that_repeat(platform: Platform) -> None:
    """One refusal may be about a person; several in a row pause the category."""
    platform.end = lambda _: completed(node(INVITE, "requestNotAllowed"))
    async with open_session(platform) as session:
        ends, done = await run(session, invites(20), limit=1)

    assert {} == ends
    assert ["p0", "p1", "p2"] == platform.names()
    assert {"requestNotAllowed"} == {each.reason for each in done.deferred}
    assert len(done.deferred) == 4


# Sign-outs


def signs_out_at(platform: Platform, *, ends: str = SIGNED_OUT) -> asyncio.Event:
    """Let the first workflow run until the event is set, then sign the account out."""
    out = asyncio.Event()

    def end(each: Started) -> Answer:
        if out.is_set():
            return failed(ends)
        status = "running" if each.number == 1 else "pending"
        return ok({"workflowStatus": status})

    platform.end = end
    return out


async def sign_out_amid(
    platform: Platform,
    journal: Journal,
    count: int = 4,
    before: Callable[[Session], Any] | None = None,
    **settings: Any,
) -> tuple[dict[str, Any], AsCompleted[Any]]:
    """Sign an account out while its queue is full; return the ends and the stream."""
    out = signs_out_at(platform)
    polling = Polling.fixed(0.01)
    session = platform.server.session(journal=journal, polling=polling, **settings)
    async with session:

        async def sign_out() -> None:
            """Wait until all have started and one runs."""
            while len(platform.started) < count:  # waits for what has no event
                await asyncio.sleep(0.001)
            while not any(handle.status == "running" for handle in session.handles):
                await asyncio.sleep(0.001)
            out.set()

        task = asyncio.create_task(sign_out())
        ends, done = await run(session, invites(count), limit=count)
        await task
    return ends, done


@virtual_time
async def test_what_was_queued_at_a_sign_out(platform: Platform) -> None:
    """What ran waits for a decision; what was behind it has not begun and runs later."""
    journal = MemoryJournal()
    ends, done = await sign_out_amid(platform, journal)
    rows = await rows_of(journal)
    platform.end = lambda each: completed(node(each.action_type))
    async with open_session(platform, journal) as session:
        second, again = await run(session, invites(4))

    assert ["p0"] == list(ends)
    assert isinstance(ends["p0"], WorkflowFailedError)
    assert rows["p0"].failed
    assert rows["p0"].wrote
    assert {"p1", "p2", "p3"} == {each.key for each in done.deferred}
    assert {"deferred"} == {rows[each.key].state for each in done.deferred}
    assert {"p1", "p2", "p3"} == set(second)
    assert again.complete
    assert {"p0": 1, "p1": 2, "p2": 2, "p3": 2} == platform.counts()


@virtual_time
async def test_without_a_status_nothing_is_certain(platform: Platform) -> None:
    """The Account API calls a whole queue running, so all of it waits for a decision."""
    platform.status = None
    out = asyncio.Event()
    platform.end = lambda _: failed(SIGNED_OUT) if out.is_set() else running()
    session = platform.server.session(
        account_api_token="older-token-4242", journal=(journal := MemoryJournal())
    )
    async with session:

        async def sign_out() -> None:
            """Wait until all have started."""
            while len(platform.started) < 3:  # waits for what has no event
                await asyncio.sleep(0.001)
            out.set()

        task = asyncio.create_task(sign_out())
        ends, done = await run(session, invites(3), limit=3)
        await task

    assert {"p0", "p1", "p2"} == set(ends)
    assert () == done.deferred
    assert {True} == {row.wrote for row in (await rows_of(journal)).values()}


@virtual_time
async def test_a_status_that_was_never_given(platform: Platform) -> None:
    """A start whose answer has no status is not taken for a pending one."""
    platform.status = None
    platform.end = lambda _: failed(SIGNED_OUT)
    async with open_session(platform, MemoryJournal()) as session:
        ends, done = await run(session, invites(1))

    assert ["p0"] == list(ends)
    assert () == done.deferred


@virtual_time
async def test_the_first_of_a_queue_may_have_run(platform: Platform) -> None:
    """Pending, but with nothing before it: it may have begun since."""
    platform.end = lambda _: failed(SIGNED_OUT)
    async with open_session(platform, MemoryJournal()) as session:
        ends, done = await run(session, invites(1))

    assert ["p0"] == list(ends)
    assert () == done.deferred


@virtual_time
async def test_an_end_that_is_noticed_too_early(platform: Platform) -> None:
    """The end of one behind waits for those before it, which decide what it means."""
    gate = asyncio.Event()
    for first, deferred in ((failed(SIGNED_OUT), 1), (completed(node(INVITE)), 0)):
        platform.started.clear()
        gate.clear()

        def end(each: Started, first: Answer = first) -> Answer:
            """Let the second end first."""
            if each.number == 2:
                gate.set()
                return failed(SIGNED_OUT)
            return first if gate.is_set() else running()

        platform.end = end
        polling = Polling(initial_delay=0.01, interval=0.02, queued_interval=0.01)
        async with platform.server.session(polling=polling) as session:
            ends, done = await run(session, invites(2), limit=2)

        assert 2 - deferred == len(ends)
        assert deferred == len(done.deferred)


@virtual_time
@pytest.mark.parametrize("reason", ["workingHoursWaitExpired", "languageNotSupported"])
async def test_other_ends_prove_nothing(platform: Platform, reason: str) -> None:
    """Only a sign-out ends a queue: after other errors the next workflow may run."""
    platform.end = lambda _: failed(reason)
    async with open_session(platform, MemoryJournal()) as session:
        ends, done = await run(session, invites(3), limit=3)
    begun = set(platform.names())

    assert begun == set(ends)
    assert not begun & {each.key for each in done.deferred}


@virtual_time
async def test_a_queue_that_works_again(platform: Platform) -> None:
    """Once the account has worked after a sign-out, a second one proves nothing."""

    def end(each: Started) -> Answer:
        """Let the first and the third fail, and the second complete."""
        if each.number == 2:
            return completed(node(INVITE))
        return failed(SIGNED_OUT)

    platform.end = end
    async with open_session(platform) as session:
        ends, done = await run(session, invites(3), limit=3)

    assert not {"p0", "p1", "p2"} & {
        each.key for each in done.deferred if each.key in platform.names()
    }
    assert isinstance(ends["p0"], WorkflowFailedError)


@virtual_time
async def test_reading_runs_again(platform: Platform) -> None:
    """A workflow that only reads is deferred, however far it came."""
    platform.end = lambda _: failed(SIGNED_OUT)
    item = ("a", st.check_connection_status(person("a")))
    async with open_session(platform) as session:
        ends, done = await run(session, [item])

    assert {} == ends
    assert [SIGNED_OUT] == [each.reason for each in done.deferred]


# Starts that are refused


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (refused(SIGNED_OUT, status=403), SIGNED_OUT),
        (refused("noAvailableSeats", status=403), "noAvailableSeats"),
        (refused("invalidLinkedApiToken", status=401), "invalidLinkedApiToken"),
        (refused("limitExceeded", status=400), "limitExceeded"),
    ],
)
async def test_a_refused_start(platform: Platform, answer: Answer, reason: str) -> None:
    """Nothing was sent, so it runs later, and the rest is not tried in vain."""
    platform.start = lambda _: answer
    journal = MemoryJournal()
    async with open_session(platform, journal) as session:
        ends, done = await run(session, invites(3), limit=1)
    tried = platform.server.count("POST")
    platform.start = lambda _: None
    async with open_session(platform, journal) as session:
        second, again = await run(session, invites(3), limit=1)

    assert {} == ends
    assert reason == done.deferred[0].reason
    assert 1 == tried
    assert {"p0", "p1", "p2"} == set(second)
    assert again.complete
    assert {"p0": 1, "p1": 1, "p2": 1} == platform.counts()


async def test_an_unknown_start_is_no_deferred_one(platform: Platform) -> None:
    """It is delivered with its error, in each run, and never sent again."""
    platform.start = lambda each: dropped() if each.name == "p0" else None
    journal = MemoryJournal()
    for _ in range(2):
        async with open_session(platform, journal) as session:
            ends, done = await run(session, invites(2), limit=1)

        assert isinstance(ends["p0"], StartUnknownError)
        assert () == done.deferred
    assert 2 == platform.server.count("POST")


async def test_without_a_key_nothing_is_deferred(platform: Platform) -> None:
    """No later run knows the item, so it gets its error, and so do those after it."""
    platform.start = lambda _: refused(SIGNED_OUT, status=403)
    workflows = [workflow for _, workflow in invites(3)]
    async with open_session(platform) as session:
        async with session.as_completed(workflows, limit=1) as done:
            handles = []
            async for handle in done:
                handles.append(handle)
                await asyncio.sleep(0.01)  # the stream goes on meanwhile

    assert [AccountPausedError] * 3 == [type(handle.failure) for handle in handles]
    assert () == done.deferred


async def test_a_wrong_workflow_is_no_deferred_one(platform: Platform) -> None:
    """Also while its account is held back, it fails for what is wrong with it."""
    platform.start = lambda _: refused(SIGNED_OUT, status=403)
    items = [*invites(1), ("wrong", {"actionType": "st.openPersonPage", "x": 1})]
    async with open_session(platform, MemoryJournal()) as session:
        ends, done = await run(session, items, limit=2)

    assert ["wrong"] == list(ends)
    assert isinstance(ends["wrong"], LinkedApiError)
    assert ["p0"] == [each.key for each in done.deferred]


async def test_what_was_not_foreseen_is_delivered(platform: Platform) -> None:
    """An error of an unknown kind is the item's, which the next run takes up again."""

    class UnforeseenError(Exception):
        """Raised by this test alone."""

    class Odd(MemoryJournal):
        """A journal that fails in a way of its own."""

        async def defer(self, *_: Any, **__: Any) -> None:
            """Raise what is of no known kind."""
            raise UnforeseenError

    limit_of(platform, 0)
    journal = Odd()
    async with open_session(platform, journal) as session:
        ends, done = await run(session, invites(2), limit=1)

    assert {"p0", "p1"} == set(ends)
    assert {UnforeseenError} == {type(error) for error in ends.values()}
    assert () == done.deferred
    assert "finished" == (await rows_of(journal))["p0"].state


async def test_a_wrong_workflow_of_a_limit_that_is_reached(platform: Platform) -> None:
    """What cannot be written down, because it is wrong, is delivered and not lost."""
    limit_of(platform, 0)
    items = [*invites(1), ("wrong", st.send_connection_request())]
    async with open_session(platform, MemoryJournal()) as session:
        ends, done = await run(session, items, limit=1)

    assert ["wrong"] == list(ends)
    assert "person_url" in str(ends["wrong"])
    assert ["p0"] == [each.key for each in done.deferred]


async def test_a_journal_that_cannot_defer(platform: Platform) -> None:
    """The item gets the error of the journal, and its row stays for the next run."""

    class Full(MemoryJournal):
        """A journal on a disk that is full."""

        async def defer(self, *_: Any, **__: Any) -> None:
            """Refuse."""
            message = "the disk is full"
            raise JournalError(message)

    limit_of(platform, 0)
    journal = Full()
    async with open_session(platform, journal) as session:
        ends, done = await run(session, invites(1))

    assert "the disk is full" in str(ends["p0"])
    assert () == done.deferred
    assert "finished" == (await rows_of(journal))["p0"].state


@virtual_time
async def test_a_token_that_is_refused_while_it_waits(platform: Platform) -> None:
    """The workflow goes on, so its row stays, and the next run waits for it again."""
    platform.end = lambda _: refused("invalidLinkedApiToken", status=401)
    journal = MemoryJournal()
    # A refused token is tried again for a minute.
    polling = Polling.fixed(1)
    async with open_session(platform, journal, polling=polling) as session:
        ends, done = await run(session, invites(2), limit=1)
        row = await journal.row("p0")
    platform.end = lambda each: completed(node(each.action_type))
    async with open_session(platform, journal) as session:
        second, again = await run(session, invites(2), limit=1)
    async with open_session(platform, polling=polling) as session:
        platform.end = lambda _: refused("invalidLinkedApiToken", status=401)
        third, _ = await run(session, [invite("late")])

    assert {} == ends
    assert ["p0"] == [each.key for each in done.deferred]
    assert row is not None
    assert "accepted" == row.state
    assert {"p0", "p1"} == set(second)
    assert again.complete
    assert {"p0": 1, "p1": 1, "late": 1} == platform.counts()
    assert isinstance(third["late"], AuthenticationError)


# Waiting


@virtual_time
async def test_waiting_for_a_limit(platform: Platform) -> None:
    """It is tried with one item when the next day begins, until all is done."""
    limit_of(platform, 2)
    set_wall_time(dt.datetime(2026, 5, 4, 6, tzinfo=dt.UTC))
    async with open_session(platform, MemoryJournal()) as session:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        loop.call_later(30 * 3600, limit_of, platform, 100)
        ends, done = await run(session, invites(6), limit=2, wait=True)
        took = loop.time() - begun

    assert {f"p{number}" for number in range(6)} == set(ends)
    assert (True, ()) == (done.complete, done.deferred)
    assert 42 * 3600 <= took <= 42.1 * 3600
    assert len(platform.started) <= 6 + 4


def test_the_next_day_begins_where_the_account_is() -> None:
    """Midnight is that of the account, also on a day of 25 hours."""
    error = RejectedError("no", type="limitExceeded")
    berlin = Pace(timezone="Europe/Berlin").zone
    now = dt.datetime(2026, 10, 24, 22, tzinfo=dt.UTC)  # midnight in Berlin

    assert (25 * 3600.0, None) == delay_of(error, now.astimezone(berlin))
    assert (2 * 3600.0, None) == delay_of(error, now)


@pytest.mark.parametrize("journal", [None, MemoryJournal()], ids=["none", "memory"])
@virtual_time
async def test_waiting_for_an_account(
    platform: Platform, journal: Journal | None
) -> None:
    """A paused account is tried each hour, and as soon as it works again."""
    platform.start = lambda _: refused(SIGNED_OUT, status=403)
    async with open_session(platform, journal) as session:
        loop = asyncio.get_running_loop()
        begun = loop.time()

        def back() -> None:
            """Sign in again."""
            platform.start = lambda _: None
            session.default_account.unpause()

        loop.call_later(5.5 * 3600, back)
        ends, done = await run(session, invites(4), limit=2, wait=True)
        took = loop.time() - begun

    assert {"p0", "p1", "p2", "p3"} == set(ends)
    assert done.complete
    assert 5.5 * 3600 <= took < 5.6 * 3600
    assert 4 == len(platform.started)


@virtual_time
async def test_a_retry_after_is_waited_out(platform: Platform) -> None:
    """Also without wait=True: it is no end of what can be done at present."""

    async def busy(request: web.Request) -> web.StreamResponse:
        """Refuse with a time."""
        answer = await refused("tooManyRequests", status=429)(request)
        answer.headers["Retry-After"] = "900"
        return answer

    platform.start = lambda _: busy
    async with open_session(platform) as session:
        loop = asyncio.get_running_loop()
        loop.call_later(2000, setattr, platform, "start", lambda _: None)
        ends, done = await run(session, invites(2), limit=1)

    assert {"p0", "p1"} == set(ends)
    assert done.complete


@pytest.mark.no_cover
@virtual_time
async def test_a_deadline_rests_the_account(platform: Platform) -> None:
    """What would wait behind a workflow that does not end is not started."""
    platform.end = lambda _: running()
    polling = Polling(deadline=3600)
    async with platform.server.session(polling=polling) as session:
        ends, done = await run(session, invites(5), limit=1)

    assert ["p0"] == platform.names()
    assert not done.complete
    assert 0 == len(done.deferred) - len({each.key for each in done.deferred} - {"p0"})
    assert list(ends) == ["p0"]


@virtual_time
async def test_a_deadline_without_keys(platform: Platform) -> None:
    """Items that cannot be deferred are started all the same."""
    platform.end = lambda _: running()
    workflows = [workflow for _, workflow in invites(3)]
    async with platform.server.session(polling=Polling(deadline=60)) as session:
        async with session.as_completed(workflows, limit=1) as done:
            handles = [handle async for handle in done]

    assert [False] * 3 == [handle.done for handle in handles]


async def free(journal: Journal) -> None:
    """Free the key."""
    await journal.retry("p0")


async def lose(journal: Journal) -> None:
    """Begin it elsewhere, and lose the answer."""
    await journal.intend("p0", "gone", b"{}", stream=True)
    await journal.unknown_start("p0")


async def begin(journal: Journal, account: str = "gone") -> None:
    """Begin it elsewhere."""
    await journal.intend("p0", account, b"{}", stream=True)
    await journal.accepted("p0", "wf-1")


async def finish(journal: Journal) -> None:
    """Do it elsewhere."""
    await begin(journal)
    await journal.finished("p0", None, "completed")
    await journal.delivered("p0")


@pytest.mark.parametrize(
    ("change", "ends", "waits"),
    [
        (free, [], []),
        (lose, ["p0"], []),
        (finish, [], []),
        (begin, [], ["p0"]),
        (lambda journal: begin(journal, "ada"), ["p0"], []),
    ],
    ids=["freed", "unknown", "delivered", "elsewhere", "under way"],
)
@virtual_time
async def test_what_changes_meanwhile(
    platform: Platform, change: Any, ends: list[str], waits: list[str]
) -> None:
    """What the journal says of a deferred item counts, when its time has come."""
    limit_of(platform, 0)
    journal = MemoryJournal()
    async with open_session(platform, journal) as session:
        (ada,) = tokens(session, "ada")
        stream = ada.as_completed(invites(1), wait=True)
        found = []
        async with stream as done:

            async def later() -> None:
                """Change the row while the item waits, and stop the stream after that."""
                while not done.deferred:  # waits for what has no event
                    await asyncio.sleep(1)
                await change(journal)
                platform.end = lambda _: completed(node(INVITE))
                await asyncio.sleep(25 * 3600)
                done.stop()

            task = asyncio.create_task(later())
            found += [handle.key async for handle in done]
            await task

    assert ends == found
    assert waits == [each.key for each in stream.deferred]
    assert 1 == len(platform.started)


@virtual_time
async def test_a_paused_account_is_tried_by_the_next_stream(platform: Platform) -> None:
    """A new stream of the same session is a request to try now, with one item."""
    platform.start = lambda _: refused(SIGNED_OUT, status=403)
    async with open_session(platform) as session:
        await run(session, invites(5), limit=4)
        before = platform.server.count("POST")
        _, still = await run(session, invites(5), limit=4)
        tried = platform.server.count("POST") - before
        platform.start = lambda _: None
        ends, done = await run(session, invites(5), limit=4)

    assert 1 == tried
    assert still.deferred
    assert 5 == len(ends)
    assert done.complete


async def test_a_key_that_was_taken_since(platform: Platform) -> None:
    """Another stream may start an item after this one has looked: it goes first."""

    class Late(MemoryJournal):
        """A journal that says too late that it has a key."""

        async def row(self, key: str) -> Row | None:
            """Return nothing."""

    journal = Late()
    async with open_session(platform, journal) as session:
        await journal.intend("p0", "ada", b"{}", stream=True)
        ends, done = await run(session, invites(2))

    assert ["p1"] == list(ends)
    assert ["p0"] == [each.key for each in done.deferred]
    assert "another stream has started 'p0'" in str(done.deferred[0].error)


@virtual_time
async def test_what_an_earlier_run_started_may_have_begun(platform: Platform) -> None:
    """The order of its starts is not known any more, so it waits for a decision."""
    journal = MemoryJournal()
    platform.end = lambda _: running()
    async with open_session(platform, journal) as session:
        async with session.as_completed(invites(3), limit=3):
            while len(platform.started) < 3:  # waits for what has no event
                await asyncio.sleep(0.001)
    platform.end = lambda _: failed(SIGNED_OUT)
    async with open_session(platform, journal) as session:
        ends, done = await run(session, invites(3), limit=3)

    assert {"p0", "p1", "p2"} == set(ends)
    assert () == done.deferred


@virtual_time
async def test_what_never_began_is_no_contact(
    platform: Platform, tmp_path: Path
) -> None:
    """The contacts forget it, so that the next run may start it."""
    contacts = Contacts(tmp_path / "contacts.sqlite3")
    journal = MemoryJournal()
    _, done = await sign_out_amid(platform, journal, contacts=contacts)
    platform.end = lambda each: completed(node(each.action_type))
    settings = {"contacts": contacts, "journal": journal}
    async with platform.server.session(**settings) as session:
        ends, again = await run(session, invites(4))

    assert {"p1", "p2", "p3"} == {each.key for each in done.deferred} == set(ends)
    assert again.complete


class DyingJournal(MemoryJournal):
    """A journal whose process dies as soon as something is deferred."""

    async def defer(self, *args: Any, **more: Any) -> None:
        """Record it, and do nothing more."""
        await super().defer(*args, **more)
        message = "the process is killed"
        raise JournalError(message)


@virtual_time
async def test_a_crash_after_a_deferral_leaves_no_contact(
    platform: Platform, tmp_path: Path
) -> None:
    """What is deferred on disk is no contact any more, so the next run starts it."""
    contacts = Contacts(tmp_path / "contacts.sqlite3")
    journal = DyingJournal()
    first, done = await sign_out_amid(platform, journal, contacts=contacts)
    platform.end = lambda each: completed(node(each.action_type))
    settings = {"contacts": contacts, "journal": journal}
    async with platform.server.session(**settings) as session:
        second, _ = await run(session, invites(4))

    assert () == done.deferred
    assert {"p1", "p2", "p3"} == {
        key for key, end in first.items() if isinstance(end, JournalError)
    }
    assert {"p1", "p2", "p3"} == set(second)
    assert not any(isinstance(end, Exception) for end in second.values())


# Paces


@virtual_time
async def test_a_pace_defers(platform: Platform) -> None:
    """What the pace does not allow today says until when it waits, and sends nothing."""
    pace = Pace(per_day={"stConnectionRequests": 2})
    async with platform.server.session(journal=MemoryJournal(), pace=pace) as session:
        ends, done = await run(session, invites(5), limit=1)

    assert {"p0", "p1"} == set(ends)
    assert 2 == len(platform.started)
    (record, *_) = done.deferred
    assert isinstance(record.error, PaceError)
    assert record.until is not None
    assert record.error.until == record.until


@virtual_time
async def test_a_pace_is_waited_out(platform: Platform) -> None:
    """With wait=True a stream goes on day by day until all is done."""
    pace = Pace(per_day={"stConnectionRequests": 2})
    async with platform.server.session(journal=MemoryJournal(), pace=pace) as session:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        ends, done = await run(session, invites(5), limit=2, wait=True)
        days = (loop.time() - begun) / 86400

    assert 5 == len(ends)
    assert done.complete
    assert 1 < days < 3
    assert 5 == len(platform.started)


# Pools


def tokens(session: Session, *names: str) -> list[Any]:
    """Return accounts of a session, whose tokens are their names."""
    return [session.account(f"token-{name}", name=name) for name in names]


async def test_a_paused_account_draws_nothing(platform: Platform) -> None:
    """The accounts that work do all of the list."""
    platform.start = lambda each: (
        refused(SIGNED_OUT, status=403) if each.account == "token-ada" else None
    )
    async with open_session(platform, MemoryJournal()) as session:
        accounts = tokens(session, "ada", "bob", "eve")
        ends, done = await run(session, invites(30), accounts=accounts, limit=2)

    assert 30 == len(ends)
    assert done.complete
    assert {"token-bob", "token-eve"} == {each.account for each in platform.started}
    assert 30 == len(platform.started)


async def test_a_limit_of_one_account(platform: Platform) -> None:
    """The others go on; what was started on the account stays with it."""
    sent: Counter[str] = Counter()

    def end(each: Started) -> Answer:
        """Let one account meet its limit."""
        sent[each.account] += 1
        limited = each.account == "token-ada"
        return completed(node(INVITE, "limitExceeded" if limited else None))

    platform.end = end
    journal = MemoryJournal()
    async with open_session(platform, journal) as session:
        accounts = tokens(session, "ada", "bob")
        ends, done = await run(session, invites(20), accounts=accounts, limit=2)
        (bound,) = {each.account for each in done.deferred}
        alone, later = await run(session, invites(20), accounts=accounts[1:])

    started = set(platform.names("token-ada"))

    assert "ada" == bound
    assert started == {each.key for each in done.deferred}
    assert 20 - len(started) == len(ends)
    assert {} == alone
    assert "not among the accounts" in str(later.deferred[0].error)
    assert started == {each.key for each in later.deferred}


async def test_items_of_one_account(platform: Platform) -> None:
    """An item may name its account, by its object or its name."""
    async with open_session(platform) as session:
        ada, bob = tokens(session, "ada", "bob")
        items = [
            (*each, account)
            for each, account in zip(invites(12), itertools.cycle([ada, "bob"]))
        ]
        wrong = (*invite("wrong"), "eve")
        ends, _ = await run(session, [*items, wrong], accounts=[ada, bob], limit=2)

    assert {f"p{n}" for n in range(0, 12, 2)} == set(platform.names("token-ada"))
    assert {f"p{n}" for n in range(1, 12, 2)} == set(platform.names("token-bob"))
    assert "must be one of 'ada', 'bob', got 'eve'" in str(ends["wrong"])


async def test_work_is_shared_fairly(platform: Platform) -> None:
    """Each account takes the next item when it has a free slot, and no more."""
    gate = asyncio.Event()
    drawn: list[str] = []

    def items() -> Iterable[Any]:
        """Note what is drawn."""
        for each in invites(40):
            drawn.append(each[0])
            yield each

    platform.end = lambda each: completed(node(INVITE)) if gate.is_set() else running()
    async with open_session(platform) as session:
        accounts = tokens(session, "ada", "bob")
        async with session.as_completed(items(), accounts=accounts, limit=3) as done:
            while len(platform.started) < 6:  # waits for what has no event
                await asyncio.sleep(0.001)
            counts = Counter(each.account for each in platform.started)
            ahead = len(drawn)
            gate.set()
            keys = [handle.key async for handle in done]

    assert {"token-ada": 3, "token-bob": 3} == counts
    assert 6 == ahead
    assert {f"p{number}" for number in range(40)} == set(keys)
    shares = Counter(each.account for each in platform.started)
    assert min(shares.values()) >= 10


async def test_a_second_run_shares_what_is_under_way(platform: Platform) -> None:
    """What one account started, a stream of another one of the session waits for."""
    platform.end = lambda _: running()
    journal = MemoryJournal()
    async with open_session(platform, journal) as session:
        ada, _ = tokens(session, "ada", "bob")
        async with ada.as_completed(invites(2), limit=2):
            while len(platform.started) < 2:  # waits for what has no event
                await asyncio.sleep(0.001)
            for key in ("p0", "p1"):
                while await journal.state(key) != "accepted":
                    await asyncio.sleep(0.001)
    platform.end = lambda each: completed(node(each.action_type))
    async with open_session(platform, journal) as session:
        _, bob = tokens(session, "ada", "bob")
        async with bob.as_completed(invites(2)) as done:
            found = {handle.key: handle.account async for handle in done}

    assert {"p0": "ada", "p1": "ada"} == found
    assert 2 == len(platform.started)


async def test_two_streams_on_one_list(platform: Platform) -> None:
    """Each item is started by one of them, and neither gets an error of the other."""
    journal = MemoryJournal()
    async with open_session(platform, journal) as session:
        ada, bob = tokens(session, "ada", "bob")
        both = await asyncio.gather(
            run(session, invites(10), accounts=[ada], limit=2),
            run(session, invites(10), accounts=[bob], limit=2),
        )

    assert {f"p{number}": 1 for number in range(10)} == platform.counts()
    assert {f"p{number}" for number in range(10)} == {key for e, _ in both for key in e}
    assert not [
        e for ends, _ in both for e in ends.values() if isinstance(e, Exception)
    ]


async def test_accounts_must_be_of_the_session(platform: Platform) -> None:
    """Wrong use says what is right."""
    async with open_session(platform) as session, open_session(platform) as other:
        ada, bob = tokens(session, "ada", "bob")
        (foreign,) = tokens(other, "eve")
        with pytest.raises(ValueError, match="must be of this session"):
            session.as_completed([], accounts=[ada, foreign])
        with pytest.raises(ValueError, match="at least one account"):
            session.as_completed([], accounts=[])
        with pytest.raises(ValueError, match=r"works on 'ada' alone"):
            ada.as_completed([], accounts=[bob])
        async with ada.as_completed([], accounts=[ada]) as done:
            assert [] == [handle async for handle in done]


# Resuming


@pytest.mark.parametrize("kind", [iter, as_cursor], ids=["list", "cursor"])
async def test_what_was_delivered_is_skipped(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    """It costs no look into the journal; other tasks get their turn in between."""

    class Counted(MemoryJournal):
        """A journal that counts the rows that are read."""

        reads = 0

        async def row(self, key: str) -> Row | None:
            """Count."""
            self.reads += 1
            return await super().row(key)

    monkeypatch.setattr(_as_completed, "_TURN", 4)
    journal = Counted()
    async with open_session(platform, journal) as session:
        await run(session, invites(10))
    journal.reads = 0
    items = [*invites(10), *invites(2, first=10), ({"actionType": "st.syncInbox"}, 5)]
    turns, read_at = 0, []

    async def take_turns() -> None:
        """Count the turns of another task."""
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def read() -> Iterator[Any]:
        """Record at which turn of the other task each item is read."""
        for item in items:
            read_at.append(turns)
            yield item

    other = asyncio.create_task(take_turns())
    async with open_session(platform, journal) as session:
        ends, done = await run(session, kind(read()))
    other.cancel()

    assert {"p10", "p11", "None"} == set(ends)
    assert done.complete
    assert 12 == len(platform.started)
    assert read_at[3] < read_at[4]
    assert read_at[7] < read_at[8]
    # The new ones, once more for each that ended.
    assert 2 <= journal.reads <= 2 + 2


# Stopping


async def test_stopping(platform: Platform) -> None:
    """What is under way ends; nothing more is read, waited for or started."""
    gate = asyncio.Event()
    platform.end = lambda _: completed(node(INVITE)) if gate.is_set() else running()
    never = asyncio.Event()

    async def items() -> AsyncIterator[Any]:
        """Give two, and then nothing."""
        for each in invites(2):
            yield each
        await never.wait()

    keys = []
    async with open_session(platform) as session:
        async with session.as_completed(items(), wait=True) as done:
            while len(platform.started) < 2:  # waits for what has no event
                await asyncio.sleep(0.001)
            done.stop()
            gate.set()
            keys += [handle.key async for handle in done]

    assert {"p0", "p1"} == set(keys)
    assert not done.complete


async def test_stopping_while_an_item_is_looked_up(platform: Platform) -> None:
    """It is not started any more."""

    class Stopping(MemoryJournal):
        """A journal whose reader stops the stream meanwhile."""

        async def row(self, key: str) -> Row | None:
            """Stop the stream."""
            done.stop()
            return await super().row(key)

    async with open_session(platform, Stopping()) as session:
        async with session.as_completed(invites(3)) as done:
            assert [] == [handle async for handle in done]

    assert [] == platform.started
    assert not done.complete


# Single starts with a key


async def test_a_start_with_a_key_happens_once(platform: Platform) -> None:
    """Starting it again gives the same workflow, also in another run."""
    journal = MemoryJournal()
    key, workflow = invite("p0")
    ids = []
    for _ in range(3):
        async with open_session(platform, journal) as session:
            handle = await session.start(workflow, key=key)
            await handle
            ids.append((handle.workflow_id, handle.key))
    rows = await rows_of(journal)

    assert [("wf-1", "p0")] * 3 == ids
    assert 1 == len(platform.started)
    assert "delivered" == rows["p0"].state
    assert rows["p0"].stream


async def test_a_start_with_a_key_of_another_account(platform: Platform) -> None:
    """What is bound to another account, or under way, is an error of the tree."""
    journal = MemoryJournal()
    key, workflow = invite("p0")
    async with open_session(platform, journal) as session:
        limit_of(platform, 0)
        ada, bob = tokens(session, "ada", "bob")
        await run(session, [(key, workflow)], accounts=[ada])
        with pytest.raises(JournalError, match="belongs to the account 'ada'"):
            await bob.start(workflow, key=key)
        await journal.intend("busy", "ada", b"{}")
        with pytest.raises(JournalError, match="is being started already"):
            await ada.start(workflow, key="busy")
        with pytest.raises(TypeError, match=r"pass str\(5\)"):
            await ada.start(workflow, key=5)
        limit_of(platform, 5)
        handle = await ada.start(workflow, key=key)
        await handle
        without = await session.start(workflow, workflow, key=None)

    assert "p0" == handle.key
    assert without.key is None


async def test_a_key_without_a_journal(platform: Platform) -> None:
    """It names the handle."""
    async with open_session(platform) as session:
        handle = await session.start(invite("p0")[1], key="p0")
        await handle

    assert "p0" == handle.key


def test_what_an_error_says_was_done() -> None:
    """An error of an action has what the workflow has written before."""
    (error,) = read_completion(
        [node(MESSAGE), node(CHECK), node("st.new"), node(INVITE, "limitExceeded")]
    ).errors

    assert isinstance(error, ActionError)
    assert [MESSAGE, "st.new"] == [outcome.action_type for outcome in error.done]
