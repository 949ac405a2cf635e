"""New messages and network events, one after another, without gaps or duplicates."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
from aiohttp import web
from event_loops import VirtualLoop
from hypothesis import given, settings
from hypothesis import strategies as some
from scripted_server import ACCOUNT, Answer, Scripted, dropped, held, ok, raw, refused

from linkedapi_async import (
    AuthenticationError,
    ConnectionFailedError,
    ProtocolError,
    RateLimitedError,
    RejectedError,
    Retries,
    Session,
    SessionClosedError,
)
from linkedapi_async._utils.times import format_time, parse_time
from linkedapi_async.results import InboxMessage
from linkedapi_async.sandbox import Sandbox
from linkedapi_async.session._inbox import (
    Cursor,
    InboxItem,
    item_of,
)


JANE = "https://www.linkedin.com/in/jane"
NOON = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
ONCE = Retries(attempts=1)
EMPTY = ok({"messages": []})

virtual = pytest.mark.parametrize(
    "anyio_backend",
    [pytest.param(("asyncio", {"loop_factory": VirtualLoop}), id="virtual")],
)


def at(seconds: float) -> dt.datetime:
    """Return a moment after noon."""
    return NOON + dt.timedelta(seconds=seconds)


def item(key: str, seconds: float | None) -> InboxItem:
    """Return an item of a moment after noon, or of none."""
    return InboxItem(key, None if seconds is None else at(seconds), key)


def message(key: str, seconds: float) -> dict[str, Any]:
    """Return a message of a moment after noon, as the API has it."""
    return {"id": key, "text": key, "time": at(seconds).isoformat()}


def inbox(*messages: dict[str, Any]) -> Answer:
    """Answer a poll with messages."""
    return ok({"messages": list(messages)})


# A model of the API


@attrs.define
class Model:
    """What was captured, and an endpoint over it whose `since` goes either way."""

    inclusive: bool
    there: list[tuple[int, str]] = attrs.field(factory=list)
    """Seconds after noon, and the id."""

    def arrive(self, seconds: int) -> None:
        """Capture a message of a moment."""
        self.there.append((seconds, f"m{len(self.there)}"))

    @property
    def newest(self) -> int:
        """The moment of the newest message."""
        return max((seconds for seconds, _ in self.there), default=0)

    def since(self, text: str | None) -> list[tuple[int, str]]:
        """Return what came since a moment, newest first."""
        first = parse_time(text)
        chosen = [
            (seconds, key)
            for seconds, key in self.there
            if first is None
            or at(seconds) > first
            or (self.inclusive and at(seconds) == first)
        ]
        return sorted(chosen, reverse=True)


WINDOW = 60
"""How late the messages of the model may come, in seconds."""

steps = some.lists(
    some.one_of(
        # A message: how much newer than the newest one, or how late.
        some.tuples(some.just("newer"), some.integers(0, 90)),
        some.tuples(some.just("late"), some.integers(0, WINDOW)),
        some.tuples(some.just("take"), some.integers(1, 4)),
        some.tuples(some.just("crash"), some.booleans()),
    ),
    max_size=40,
)


def consume(model: Model, plan: list[tuple[str, Any]], position: Cursor) -> list[str]:
    """Play a plan; return what was delivered, in order."""
    delivered: list[str] = []
    unsaved: set[str] = set()
    cursor = position.dump()
    batch: list[InboxItem] = []
    for what, how in [*plan, ("take", None)]:
        if what in {"newer", "late"}:
            model.arrive(model.newest + (how if what == "newer" else -how))
        elif what == "crash":
            # What was taken after the cursor was stored comes again, and no more.
            if how:
                unsaved.clear()
                cursor = position.dump()
            delivered = [key for key in delivered if key not in unsaved]
            unsaved.clear()
            batch = []
            position = Cursor("messages", WINDOW * dt.timedelta(seconds=1))
            position.load(cursor)
        else:
            for _ in range(how or 2 * len(model.there) + 1):
                if not batch:
                    answer = [item(k, s) for s, k in model.since(position.since)]
                    assert not position.has_gap(answer)
                    batch = position.new_items(answer)
                if not batch:
                    break
                taken = batch.pop(0)
                delivered.append(taken.key)
                unsaved.add(taken.key)
                position.acknowledge(taken)
            if how == 4:
                cursor = position.dump()
                unsaved.clear()
    return delivered


@given(inclusive=some.booleans(), plan=steps)
@settings(max_examples=300, deadline=None)
def test_exactly_once(*, inclusive: bool, plan: list[tuple[str, Any]]) -> None:
    """Whatever comes in, when, how late and across which restarts, comes once."""
    model = Model(inclusive)

    delivered = consume(model, plan, Cursor("messages", dt.timedelta(seconds=WINDOW)))

    assert sorted(key for _, key in model.there) == sorted(delivered)


@given(some.lists(some.integers(0, 500), max_size=60), some.booleans())
@settings(max_examples=100, deadline=None)
def test_in_order(times: list[int], inclusive: bool) -> None:
    """What is there at once comes oldest first, and later than the beginning."""
    model = Model(inclusive)
    for seconds in times:
        model.arrive(seconds)
    position = Cursor("messages", MINUTE, since=at(100))

    batch = position.new_items([item(k, s) for s, k in model.since(position.since)])

    assert sorted(s for s in times if s >= 100) == [
        int((found.when - NOON).total_seconds()) for found in batch if found.when
    ]


arrivals = some.lists(
    # How many seconds go by, and how far in the future the message is dated.
    some.tuples(
        some.integers(0, 5000),
        some.sampled_from([0, 0, 0, 1, 90, 18_000, 10**9]),
    ),
    max_size=30,
)


@given(arrivals, some.booleans(), some.booleans())
@settings(max_examples=200, deadline=None)
def test_items_of_the_future_hide_nothing(
    arrivals: list[tuple[int, int]], inclusive: bool, restart: bool
) -> None:
    """A message with a wrong date comes once, and so does everything after it."""
    model, now = Model(inclusive), 0

    def fresh() -> Cursor:
        """Return a cursor with the clock of this test."""
        return Cursor("messages", MINUTE, clock=lambda: at(now))

    position, delivered = fresh(), []
    for passed, ahead in arrivals:
        now += passed
        model.arrive(now + ahead)
        for each in position.new_items(
            [item(k, s) for s, k in model.since(position.since)]
        ):
            delivered.append(each.key)
            position.acknowledge(each)
        if restart:
            text = position.dump()
            position = fresh()
            position.load(text)

    assert [key for _, key in model.there] == delivered


def test_a_cursor_that_was_blinded_sees_again() -> None:
    """A stored cursor whose floor is in the future goes back to the present."""
    blinded = Cursor("messages", MINUTE, clock=lambda: at(10**9))
    blinded.acknowledge(item("wrong", 10**9))
    position = Cursor("messages", MINUTE, clock=lambda: at(100))
    position.load(blinded.dump())

    assert ["a"] == [each.key for each in position.new_items([item("a", 90)])]
    assert [] == position.new_items([item("wrong", 10**9)])


def test_an_item_of_the_future_hides_no_gap() -> None:
    """It is in every answer, so it does not show that the answer reaches back."""
    position = Cursor("messages", MINUTE, clock=lambda: at(100))
    position.acknowledge(item("a", 90))
    position.acknowledge(item("wrong", 10**9))

    assert position.has_gap([item("wrong", 10**9), item("b", 99)])
    assert not position.has_gap([item("wrong", 10**9), item("a", 90)])


@given(some.lists(some.integers(0, 300), max_size=80))
@settings(max_examples=100, deadline=None)
def test_memory_is_bounded(times: list[int]) -> None:
    """No more is remembered than is in the window, and no more than allowed."""
    position = Cursor("messages", MINUTE, limit=10)
    for number, seconds in enumerate(sorted(times)):
        position.acknowledge(item(f"m{number}", seconds))

    newest = max(times, default=0)
    in_window = sum(seconds >= newest - 60 for seconds in times)
    assert position.remembered <= max(min(10, in_window), times.count(newest))
    assert position.remembered >= min(1, len(times))


def test_a_shrunk_window_gives_nothing_twice() -> None:
    """An item that was forgotten because of the limit is too old to be new."""
    position = Cursor("messages", MINUTE, limit=3)
    items = [item(f"m{number}", number) for number in range(10)]
    for each in items:
        position.acknowledge(each)

    assert [] == position.new_items(items[::-1])
    assert format_time(at(6)) == position.since


def test_any_order() -> None:
    """What comes in no order is put in order."""
    answer = [item("b", 2), item("d", None), item("a", 1), item("c", 3)]

    assert ["a", "b", "c", "d"] == [
        each.key for each in Cursor("messages", MINUTE).new_items(answer)
    ]


def test_one_answer_gives_nothing_twice() -> None:
    """An answer that has an item twice has it once."""
    twice = [item("a", 1), item("a", 1)]

    assert twice[:1] == Cursor("messages", MINUTE).new_items(twice)


def test_without_time() -> None:
    """What has no time comes last, once, and is remembered while it is there."""
    position = Cursor("messages", MINUTE)
    answer = [item("b", None), item("a", 1)]
    batch = position.new_items(answer)
    for each in batch:
        position.acknowledge(each)

    again = Cursor("messages", MINUTE)
    again.load(position.dump())

    assert ["a", "b"] == [each.key for each in batch]
    assert [] == again.new_items(answer)
    assert 2 == again.remembered
    assert [] == again.new_items([item("a", 1)])
    assert ["b"] == [each.key for each in again.new_items(answer)]


def test_without_id() -> None:
    """What has no id is known by what it says."""
    one, same, other = (
        item_of(InboxMessage(raw={"text": text}), None) for text in ("a", "a", "b")
    )

    assert one.key == same.key != other.key


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("2026-07-01T12:00:00Z", NOON),
        ("2026-07-01T14:00:00.000+02:00", NOON),
        ("2026-07-01T12:00", NOON),
        ("now", None),
        ("", None),
        (None, None),
        (5, None),
        ("0001-01-01T00:00:00+01:00", None),
    ],
)
def test_times(text: object, when: dt.datetime | None) -> None:
    """Times are read in all spellings; anything else is None."""
    assert when == parse_time(text)


def test_the_dawn_of_time() -> None:
    """The oldest moment there is does no harm."""
    first = InboxItem("a", dt.datetime.min.replace(tzinfo=dt.UTC), 1)
    position = Cursor("messages", MINUTE)
    position.acknowledge(first)

    assert position.since == "0001-01-01T00:00:00Z"
    assert [] == position.new_items([first])


GOOD = {"v": 1, "of": "messages", "floor": None, "taken": {}, "undated": []}


@pytest.mark.parametrize(
    ("cursor", "words"),
    [
        (5, "got int"),
        (GOOD, "got dict"),
        ("", "another text"),
        ("[]", "another text"),
        ("\ud800", "another text"),
        (json.dumps({**GOOD, "v": 2}), "another version"),
        (json.dumps({**GOOD, "of": "network_events"}), "of 'network_events'"),
        (json.dumps({**GOOD, "taken": []}), "damaged"),
        (json.dumps({**GOOD, "taken": {"2026-07-01": "a"}}), "damaged"),
        (json.dumps({**GOOD, "taken": {"2026-07-01": [5]}}), "damaged"),
        (json.dumps({**GOOD, "undated": None}), "damaged"),
        (json.dumps({**GOOD, "taken": {"soon": ["a"]}}), "times"),
        (json.dumps({**GOOD, "floor": "soon"}), "times"),
        (json.dumps({**GOOD, "floor": 5}), "damaged"),
        (json.dumps({**GOOD, "floor": ["2026-07-01"]}), "damaged"),
    ],
)
def test_bad_cursors(cursor: Any, words: str) -> None:
    """Another text than a cursor is refused, and the message says what it is."""
    with pytest.raises(ValueError, match=f"earlier messages|{words}") as caught:
        Cursor("messages", MINUTE).load(cursor)

    assert words in str(caught.value)


# Over HTTP


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    """A server that answers by a script."""
    async with Scripted() as server:
        yield server


async def texts(incoming: Any) -> list[str]:
    """Return the texts of all that comes."""
    return [each.text async for each in incoming]


class Endpoint:
    """The endpoint of the model over HTTP."""

    def __init__(self) -> None:
        self.model = Model(inclusive=True)
        self.failing = 0
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        """Answer a poll, or fail."""
        body = await request.json()
        if self.failing:
            self.failing -= 1
            return web.Response(status=503)
        there = self.model.since(body.get("since"))
        result = {"messages": [message(key, seconds) for seconds, key in there]}
        return web.json_response({"success": True, "result": result})


async def received(
    endpoint: Endpoint, session: Session, plan: list[tuple[str, Any]]
) -> list[str]:
    """Play a plan against the iterator; each crash begins a new one."""
    delivered: list[str] = []
    at_hand: list[str] = []
    messages = session.messages(window=WINDOW, interval=0.001)
    for what, how in plan:
        if what in {"newer", "late"}:
            newest = endpoint.model.newest
            endpoint.model.arrive(newest + (how if what == "newer" else -how))
        elif what == "take":
            endpoint.failing = how % 3
            left = len(endpoint.model.there) - len(delivered) - len(at_hand)
            for _ in range(min(how, left)):
                delivered += at_hand
                at_hand = [str((await anext(messages)).id)]
        else:
            # What is at hand comes again, unless it was dealt with.
            if how:
                messages.acknowledge()
                delivered += at_hand
            at_hand = []
            await messages.aclose()
            messages = session.messages(messages.cursor, window=WINDOW, interval=0.001)
    await messages.aclose()
    last = session.messages(messages.cursor, window=WINDOW, follow=False)
    endpoint.failing = 0
    return delivered + [str(each.id) async for each in last]


def test_exactly_once_over_http() -> None:
    """The iterator delivers what comes in once, through failures and restarts."""
    endpoint = Endpoint()

    @given(inclusive=some.booleans(), plan=steps)
    @settings(max_examples=40, deadline=None)
    def check(*, inclusive: bool, plan: list[tuple[str, Any]]) -> None:
        """Play one plan."""
        endpoint.model = Model(inclusive)
        endpoint.failing = 0
        delivered = runner.run(received(endpoint, session, plan))
        assert sorted(key for _, key in endpoint.model.there) == sorted(delivered)

    async def enter(stack: contextlib.AsyncExitStack) -> Session:
        """Let the endpoint listen, and enter a session with it."""
        app = web.Application()
        app.router.add_post("/inbox/poll", endpoint.answer)
        app_runner = web.AppRunner(app, shutdown_timeout=0.1)
        stack.push_async_callback(app_runner.cleanup)
        await app_runner.setup()
        await web.TCPSite(app_runner, "127.0.0.1", 0).start()
        host, port = app_runner.addresses[0][:2]
        session = Session(
            linked_api_token="token",
            identification_token=ACCOUNT,
            base_url=f"http://{host}:{port}",
            retries=ONCE,
        )
        return await stack.enter_async_context(session)

    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        session = runner.run(enter(stack))
        try:
            check()
        finally:
            runner.run(stack.aclose())


@pytest.mark.anyio
async def test_the_cursor_is_behind_what_was_taken(server: Scripted) -> None:
    """A message is acknowledged by `acknowledge`, or by asking for the next one."""
    server.script("POST", inbox(message("b", 2), message("a", 1)))
    async with server.session() as session:
        async with session.messages() as messages:
            first = await anext(messages)
            before = messages.cursor
            messages.acknowledge()
            after = messages.cursor
            messages.acknowledge()
            second = await anext(messages)

        assert ["a", "b"] == [first.id, second.id]
        assert after == messages.cursor != before
        assert ["a", "b"] == await texts(session.messages(before, follow=False))
        assert ["b"] == await texts(session.messages(after, follow=False))


@pytest.mark.anyio
async def test_what_is_asked(server: Scripted) -> None:
    """Each poll asks for what came since a while before the newest one."""
    server.script("POST", inbox(message("a", 90)), inbox(message("a", 90)))
    async with server.session() as session:
        messages = session.messages(
            since=NOON, type="st", thread_id="t1", window=60, follow=False
        )
        await texts(messages)
        # What ended for want of news goes on when it is asked again.
        await texts(messages)

    asked = [{**seen.body, "since": seen.body["since"]} for seen in server.seen]
    chosen = {"type": "st", "threadId": "t1"}
    early, later = format_time(at(-1)), format_time(at(29))
    assert {"since": early, **chosen} == asked[0]
    assert [{"since": later, **chosen}] * 2 == asked[1:]


@pytest.mark.anyio
async def test_a_cursor_goes_before_since(server: Scripted) -> None:
    """Where both are given, the cursor tells where to go on."""
    server.script("POST", inbox(message("a", 1)))
    async with server.session() as session:
        messages = session.messages(follow=False)
        await texts(messages)
        await texts(session.messages(messages.cursor, since=at(999), follow=False))

    assert (
        format_time(at(1) - dt.timedelta(hours=1, seconds=1))
        == (server.seen[-1].body["since"])
    )


@virtual
@pytest.mark.anyio
async def test_interval(server: Scripted) -> None:
    """Without news it asks again after the interval, for as long as it takes."""
    server.script("POST", EMPTY, EMPTY, EMPTY, inbox(message("a", 1)))
    loop = asyncio.get_running_loop()
    async with server.session() as session, session.messages(interval=600) as messages:
        begun = loop.time()
        assert "a" == (await anext(messages)).id

    assert 3 * 600 * 0.8 <= loop.time() - begun <= 3 * 600 * 1.2


@virtual
@pytest.mark.anyio
async def test_outage(server: Scripted, caplog: pytest.LogCaptureFixture) -> None:
    """No outage ends it; polls become rarer, and one line is logged."""
    trouble = [dropped(), raw("<html>", status=502), raw("", status=403)] * 4
    server.script("POST", *trouble, EMPTY, dropped(), inbox(message("a", 1)))
    loop = asyncio.get_running_loop()
    caplog.set_level(logging.WARNING)
    async with server.session(retries=ONCE) as session:
        begun = loop.time()
        async with session.messages(interval=10) as messages:
            assert "a" == (await anext(messages)).id

    # 10, 20, 40, … and no more than 300 seconds, and a fifth more or less.
    assert 0.8 * 2710 <= loop.time() - begun <= 1.2 * 2740
    lines = [record.getMessage() for record in caplog.records]
    assert 2 == sum("failed and is repeated" in line for line in lines)


@virtual
@pytest.mark.anyio
async def test_throttled(server: Scripted) -> None:
    """A host that asks for a pause gets it."""
    pause = raw("{}", status=429, Retry_After="500")
    server.script("POST", pause, inbox(message("a", 1)))
    loop = asyncio.get_running_loop()
    async with server.session(retries=ONCE) as session:
        begun = loop.time()
        async with session.messages(interval=10) as messages:
            assert "a" == (await anext(messages)).id

    assert loop.time() - begun >= 500


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("type", "error"),
    [
        ("invalidIdentificationToken", AuthenticationError),
        ("inboxNotSynced", RejectedError),
    ],
)
async def test_refused_at_once(
    server: Scripted, type: str, error: type[Exception]
) -> None:
    """A refusal of the very first poll is raised, and asking again asks again."""
    server.script("POST", refused(type), inbox(message("a", 1)))
    async with server.session() as session:
        messages = session.messages(interval=0.001)
        with pytest.raises(error):
            await anext(messages)

        assert "a" == (await anext(messages)).id


@pytest.mark.anyio
async def test_refused_later(server: Scripted) -> None:
    """Once there were answers, only the third refusal in a row is the last word."""
    no, lost = refused("invalidLinkedApiToken"), dropped()
    server.script("POST", EMPTY, no, no, lost, no, no, no)
    async with server.session(retries=ONCE) as session:
        with pytest.raises(AuthenticationError):
            await anext(session.messages(interval=0.001))

    assert 7 == server.count("POST")


@pytest.mark.anyio
async def test_paused_accounts(server: Scripted) -> None:
    """An account that cannot work at present is asked on."""
    server.script("POST", refused("linkedinAccountSignedOut"), inbox(message("a", 1)))
    async with server.session() as session:
        assert "a" == (await anext(session.messages(interval=0.001))).id


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (dropped(), ConnectionFailedError),
        (raw("oops", status=500), ProtocolError),
        (raw("{}", status=429), RateLimitedError),
        (refused("invalidIdentificationToken"), AuthenticationError),
    ],
)
async def test_one_pass_raises(
    server: Scripted, answer: Answer, error: type[Exception]
) -> None:
    """Without following, a failed poll is an error, also after an answer."""
    server.script("POST", inbox(message("a", 1)), answer)
    async with server.session(retries=ONCE) as session:
        messages = session.messages(follow=False)
        assert "a" == (await anext(messages)).id
        with pytest.raises(error):
            await anext(messages)


@pytest.mark.anyio
async def test_torn_answers(server: Scripted, caplog: pytest.LogCaptureFixture) -> None:
    """An answer that does not reach back to the last delivered item is logged."""
    server.script("POST", inbox(message("a", 1)), inbox(message("c", 3)), EMPTY)
    async with server.session() as session:
        messages = session.messages(interval=0.001)
        await anext(messages)
        assert "missing" not in caplog.text
        assert "c" == (await anext(messages)).id

    assert "items in between may be missing" in caplog.text


@pytest.mark.anyio
async def test_leaving_the_session_ends_a_pause(server: Scripted) -> None:
    """A wait for the next poll ends when the session is closed."""
    server.script("POST", EMPTY)
    async with server.session() as session:
        messages = session.messages(interval=600)
        waiting = asyncio.create_task(anext(messages))
        while not server.seen or session._runtime.poller._busy:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)

    with pytest.raises(SessionClosedError):
        await waiting
    with pytest.raises(SessionClosedError):
        await anext(messages)


@pytest.mark.anyio
async def test_leaving_the_session_ends_a_poll(server: Scripted) -> None:
    """A wait for an answer ends when the session is closed."""
    gate = asyncio.Event()
    server.script("POST", held(gate, EMPTY))
    async with server.session() as session:
        waiting = asyncio.create_task(anext(session.messages()))
        while not server.seen:
            await asyncio.sleep(0.001)

    gate.set()
    with pytest.raises(SessionClosedError):
        await waiting


@pytest.mark.anyio
async def test_leaving_ends_what_waits(server: Scripted) -> None:
    """Leaving the iterator ends a wait in another task, and keeps the cursor."""
    server.script("POST", inbox(message("a", 1)))
    async with server.session() as session:
        async with session.messages(interval=600) as messages:
            await anext(messages)
            waiting = asyncio.create_task(texts(messages))
            while server.count("POST") < 1 or "a" not in messages.cursor:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.01)

        assert [] == await waiting
        await messages.aclose()
        assert [] == await texts(messages)
        assert '["a"]' in messages.cursor


@pytest.mark.anyio
async def test_leaving_while_a_poll_is_under_way(server: Scripted) -> None:
    """An answer to an iteration that was closed is not acknowledged."""
    gate = asyncio.Event()
    server.script("POST", held(gate, inbox(message("a", 1))))
    async with server.session() as session:
        async with session.messages() as messages:
            waiting = asyncio.create_task(texts(messages))
            while not server.seen:
                await asyncio.sleep(0.001)

        assert [] == await waiting
        gate.set()
        assert 'taken":{}' in messages.cursor


@pytest.mark.anyio
async def test_cancellation_loses_nothing(server: Scripted) -> None:
    """A wait may be cancelled at any time; the next one gives what came."""
    gate = asyncio.Event()
    server.script("POST", held(gate, EMPTY), inbox(message("a", 1)))
    async with server.session() as session:
        messages = session.messages(interval=0.001)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(messages), 0.02)
        gate.set()

        assert "a" == (await anext(messages)).id


@pytest.mark.anyio
async def test_one_at_a_time(server: Scripted) -> None:
    """Two tasks cannot wait for the next message at once."""
    gate = asyncio.Event()
    server.script("POST", held(gate, inbox(message("a", 1))))
    async with server.session() as session, session.messages() as messages:
        waiting = asyncio.create_task(anext(messages))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="iterate in one task"):
            await anext(messages)
        gate.set()

        assert "a" == (await waiting).id


@pytest.mark.anyio
async def test_a_crash_of_the_engine(server: Scripted) -> None:
    """A crash of the engine reaches who waits for the next message."""
    server.script("POST", EMPTY)
    async with server.session() as session:
        messages = session.messages(interval=600)
        waiting = asyncio.create_task(anext(messages))
        while not server.seen:
            await asyncio.sleep(0.001)
        for task in session._runtime.poller._tasks:
            task.cancel()
        with pytest.raises(RuntimeError, match="crashed"):
            await waiting
        with pytest.raises(RuntimeError, match="crashed"):
            await anext(messages)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"interval": 0}, "interval must be greater than 0"),
        ({"interval": float("inf")}, "interval"),
        ({"interval": float("nan")}, "interval"),
        ({"window": -1}, "window must be 0 to"),
        ({"window": float("inf")}, "window"),
        ({"cursor": "no"}, "cursor"),
    ],
)
async def test_settings(server: Scripted, wrong: dict[str, Any], words: str) -> None:
    """Settings that make no sense are refused at once."""
    async with server.session() as session:
        with pytest.raises(ValueError, match=words):
            session.messages(**wrong)
        with pytest.raises(ValueError, match=words):
            session.network_events(**wrong)


@pytest.mark.anyio
async def test_only_in_an_open_session(server: Scripted) -> None:
    """An iterator is for a session that was entered."""
    session = server.session()
    with pytest.raises(RuntimeError, match="async with"):
        session.messages()


@pytest.mark.anyio
@pytest.mark.parametrize("inclusive", [True, False])
async def test_network_events(*, inclusive: bool) -> None:
    """Network events come as messages do, from the sandbox as from the API."""
    async with Sandbox(speed=1000) as sandbox:
        sandbox.account_data.inclusive = inclusive
        async with sandbox.session(identification_token=ACCOUNT) as session:
            first = sandbox.accept_connection(ACCOUNT, JANE)
            async with session.network_events(interval=0.001) as events:
                assert first == (await anext(events)).id
                sandbox.accept_connection(ACCOUNT, JANE, type="connectionAdded")
                assert "connectionAdded" == (await anext(events)).type
                events.acknowledge()

            rest = session.network_events(events.cursor, follow=False)
            assert [] == [each async for each in rest]
            chosen = session.network_events(type="connectionAdded", follow=False)
            assert 1 == len([each async for each in chosen])


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["messages", "network_events"])
async def test_a_wrong_year_does_not_end_the_stream(
    kind: str, server: Scripted
) -> None:
    """After an item of 2062, the next ones come, also by a stored cursor."""
    field, time = {
        "messages": ("messages", "time"),
        "network_events": ("events", "detectedAt"),
    }[kind]
    now = dt.datetime.now(dt.UTC)
    there: list[dict[str, Any]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        """Return the items since a moment, newest first."""
        since = parse_time((await request.json()).get("since"))
        first = since or now
        found = [each for each in there if (parse_time(each[time]) or now) >= first]
        return await ok({field: found[::-1]})(request)

    server.script("POST", answer)
    delivered, cursor = [], None
    async with server.session() as session:
        for key, when in (
            ("first", now),
            ("wrong year", now.replace(year=2062, day=1)),
            ("next", now + dt.timedelta(seconds=5)),
            ("last", now + dt.timedelta(hours=5)),
        ):
            there.append({"id": key, time: when.isoformat()})
            async with getattr(session, kind)(cursor, follow=False) as stream:
                delivered.append([each.id async for each in stream])
            cursor = stream.cursor

    assert [["first"], ["wrong year"], ["next"], ["last"]] == delivered
