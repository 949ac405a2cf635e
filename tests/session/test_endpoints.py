"""What needs no workflow: verbs over real HTTP, and the sandbox's side of them."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import pathlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as some
from linkedapi import LinkedApi, LinkedApiConfig, types
from scripted_server import ACCOUNT, TOKEN, Answer, Scripted, ok, raw, refused

from linkedapi_async import (
    AuthenticationError,
    ParameterError,
    ProtocolError,
    RejectedError,
    Retries,
    Session,
    SessionClosedError,
    UnsupportedError,
    nv,
    st,
)
from linkedapi_async.errors import WorkflowFailedError
from linkedapi_async.results import (
    AccountInfo,
    ActionUse,
    Conversation,
    ConversationQuery,
    InboxMessage,
    NetworkEvent,
    PersonInbox,
)
from linkedapi_async.sandbox import Sandbox
from linkedapi_async.session._endpoints import _many, _one
from linkedapi_async.session._inbox import item_of


pytestmark = pytest.mark.anyio

EXAMPLES = json.loads(
    (pathlib.Path(__file__).parents[1] / "data" / "examples_direct.json").read_text(
        "utf-8"
    )
)
JANE = "https://www.linkedin.com/in/jane"
JOE = "https://www.linkedin.com/in/joe"
DAY = ("2026-07-01T00:00:00Z", "2026-07-02T00:00:00Z")
SINCE = dt.datetime(2026, 7, 1, 14, 30, tzinfo=dt.timezone(dt.timedelta(hours=2)))


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    """A server that answers by a script."""
    async with Scripted() as server:
        yield server


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A sandbox whose workflows end at once."""
    start = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)
    async with Sandbox(duration=0, speed=1000, now=start) as sandbox:
        yield sandbox


@pytest.fixture
async def session(sandbox: Sandbox) -> AsyncIterator[Session]:
    """A session with the sandbox."""
    async with sandbox.session(identification_token=ACCOUNT) as session:
        yield session


def noted(paths: list[str], answer: Answer) -> Answer:
    """Answer as *answer*, and note the path with its query."""

    async def noting(request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        paths.append(request.path_qs)
        return await answer(request)

    return noting


# The verbs


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: f"{e['kind']}")
async def test_examples(server: Scripted, example: dict[str, Any]) -> None:
    """We send the documented requests and read all of the documented answers."""
    request, response = example["request"], example["response"]
    paths: list[str] = []
    result = (response or {"result": []})["result"]
    server.script(request["method"], noted(paths, ok(result)))
    older = example["generation"] == "account-api"
    tokens = {"account_api_token": TOKEN} if older else {}
    body = request["body"]

    async with server.session(**tokens) as session:
        if "conversations" in example["kind"]:
            found: Any = await session.poll_conversations(body)
        elif example["kind"] == "inbox.poll":
            found = await session.poll_inbox(
                type=body["type"], thread_id=body["threadId"]
            )
        else:
            found = await session.usage("2023-01-01", "2023-01-30")

    items = result["messages"] if isinstance(result, dict) else result
    assert request["url"].partition("?")[0].endswith(paths[0].partition("?")[0])
    assert body == server.seen[0].body
    headers = {name.lower() for name in server.seen[0].headers}
    assert set(request["headers"] or ()) <= headers
    assert items == [item.raw for item in found]
    assert [{}] * len(items) == [item.extra for item in found]


async def test_usage_query(server: Scripted) -> None:
    """A period is sent in the query, texts as they are and datetimes in UTC."""
    paths: list[str] = []
    server.script("GET", noted(paths, ok([])))

    async with server.session() as session:
        assert [] == await session.usage(SINCE, "2026-07-02T00:00:00+02:00")

    query = "start=2026-07-01T12%3A30%3A00Z&end=2026-07-02T00%3A00%3A00%2B02%3A00"
    assert [f"/stats/actions?{query}"] == [path.replace(":", "%3A") for path in paths]


async def test_queries(server: Scripted) -> None:
    """A conversation is requested by URL, by query, or as the docs print it."""
    server.script("POST", ok([]))
    as_printed = {"personUrl": JANE, "type": "nv", "new": 1}
    query = ConversationQuery(
        JOE, type="nv", since=SINCE + dt.timedelta(microseconds=1500)
    )

    async with server.session() as session:
        await session.poll_conversations([JANE, query, as_printed])

    assert [
        {"personUrl": JANE, "type": "st"},
        {"personUrl": JOE, "since": "2026-07-01T12:30:00.001Z", "type": "nv"},
        as_printed,
    ] == server.seen[0].body


async def test_no_conversations(server: Scripted) -> None:
    """Without conversations nothing is sent, and the session must be open."""
    async with server.session() as session:
        assert [] == await session.poll_conversations([])

    assert [] == server.seen
    with pytest.raises(SessionClosedError):
        await session.poll_conversations([])


async def test_nothing_given(server: Scripted) -> None:
    """Without parameters, an empty object is sent."""
    server.script("POST", ok({"messages": []}), ok({"events": None}))

    async with server.session() as session:
        assert [] == await session.poll_inbox()
        assert [] == await session.poll_network()

    assert [{}, {}] == [seen.body for seen in server.seen]
    assert ["/inbox/poll", "/network/poll"] == [seen.path for seen in server.seen]


async def test_person_inbox(server: Scripted) -> None:
    """With a person, the whole conversation comes with its threads."""
    message = {"id": "m1", "threadId": None, "inboxMessageId": None, "text": "hi"}
    thread = {"threadId": "t1", "historyFrom": None, "historyComplete": True}
    server.script("POST", ok({"messages": [message], "threads": [thread]}))

    async with server.session() as session:
        found = await session.poll_inbox(person_url=JANE, since=SINCE)

    assert {"since": "2026-07-01T12:30:00Z", "personUrl": JANE} == server.seen[0].body
    assert found.messages is not None
    assert found.threads is not None
    assert "hi" == found.messages[0].text
    assert found.threads[0].history_complete is True


async def test_nothing_is_lost(server: Scripted) -> None:
    """Unknown fields and words are kept, and wrong types destroy nothing else."""
    odd = {"id": 5, "type": "teleported", "personUrl": JANE, "new": [1]}
    server.script("POST", ok({"events": [odd, "what?"]}))

    async with server.session() as session:
        first, second = await session.poll_network(type="teleported")

    assert (None, "teleported", JANE) == (first.id, first.type, first.person_url)
    assert {"id": 5, "new": [1]} == first.extra
    assert "what?" == second.raw


anything = some.recursive(
    some.none() | some.booleans() | some.integers() | some.text(max_size=5),
    lambda inner: (
        some.lists(inner, max_size=4)
        | some.dictionaries(
            some.sampled_from(
                ["id", "messages", "threads", "time", "type", "threadId", "success"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "cls",
    [AccountInfo, ActionUse, Conversation, InboxMessage, NetworkEvent, PersonInbox],
)
def test_any_answer(cls: Any) -> None:
    """Whatever is answered can be read and shown, or is no answer."""

    @given(anything)
    @settings(max_examples=50, deadline=None)
    def check(result: Any) -> None:
        """Read one answer."""
        for read in (_one, _many):
            try:
                made: Any = read(cls, result)
            except ProtocolError:
                continue
            for each in made if isinstance(made, list) else [made]:
                assert cls.__name__ in repr(each)
                assert isinstance(each.extra, dict)
                assert isinstance(item_of(each, getattr(each, "time", None)).key, str)

    check()


Call = Callable[[Session], Awaitable[Any]]


@pytest.mark.parametrize(
    ("call", "result"),
    [
        pytest.param(lambda s: s.info(), [], id="info"),
        pytest.param(lambda s: s.usage(*DAY), {}, id="usage"),
        pytest.param(lambda s: s.poll_conversations([JANE]), None, id="conversations"),
        pytest.param(lambda s: s.poll_inbox(), [], id="inbox"),
        pytest.param(lambda s: s.poll_inbox(), {"messages": 5}, id="messages"),
        pytest.param(lambda s: s.poll_inbox(person_url=JANE), 5, id="person"),
        pytest.param(lambda s: s.poll_network(), "no", id="network"),
    ],
)
async def test_useless_answers(server: Scripted, call: Call, result: Any) -> None:
    """An answer of another shape is retried, and then an error."""
    for method in ("GET", "POST"):
        server.script(method, ok(result))

    async with server.session(
        retries=Retries(initial_delay=0.001, attempts=2)
    ) as session:
        with pytest.raises(ProtocolError, match="the answer"):
            await call(session)

    assert 2 == len(server.seen)


async def test_reads_are_repeated(server: Scripted) -> None:
    """What only reads is sent again after a failure that may pass."""
    server.script("GET", raw("oops", status=502), ok({"name": "Jane", "url": JANE}))

    async with server.session() as session:
        info = await session.info()

    assert ("Jane", JANE) == (info.name, info.url)


@pytest.mark.parametrize(
    ("type", "advice"),
    [
        ("conversationsNotSynced", "st.sync_conversation"),
        ("inboxNotSynced", "st.sync_inbox"),
        ("networkNotSynced", "st.sync_network"),
    ],
)
async def test_not_synced(server: Scripted, type: str, advice: str) -> None:
    """A refusal for want of a sync says what to run."""
    server.script("POST", refused(type, "Never synced."))

    async with server.session() as session:
        with pytest.raises(RejectedError, match=advice) as caught:
            await session.poll_conversations([JANE])

    assert (type, 400) == (caught.value.type, caught.value.http_status)
    assert "Never synced." in str(caught.value)
    assert caught.value.__cause__ is None


async def test_other_refusals(server: Scripted) -> None:
    """Any other refusal is raised as it came."""
    server.script("POST", refused("invalidRequestPayload", "No."))

    async with server.session() as session:
        with pytest.raises(RejectedError) as caught:
            await session.poll_inbox(type="xy")

    assert "No." == caught.value.message


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda s: s.info(), id="info"),
        pytest.param(lambda s: s.poll_inbox(), id="poll_inbox"),
        pytest.param(lambda s: s.poll_network(), id="poll_network"),
        pytest.param(lambda s: anext(s.messages()), id="messages"),
        pytest.param(lambda s: anext(s.network_events()), id="network_events"),
    ],
)
async def test_older_generation(
    server: Scripted, call: Call, request: pytest.FixtureRequest
) -> None:
    """What the older generation lacks is refused before anything is sent."""
    async with server.session(account_api_token=TOKEN) as session:
        with pytest.raises(UnsupportedError, match="account_api") as caught:
            await call(session)

    assert request.node.callspec.id in str(caught.value)
    assert "account_api" == caught.value.generation
    assert [] == server.seen


NAIVE = dt.datetime(2026, 7, 1)  # noqa: DTZ001  # the point


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda s: s.usage(*DAY[::-1]), f"end must be after start, {DAY[1]}, got "),
        (lambda s: s.usage(DAY[0], DAY[0]), "api-usage-statistics"),
        (lambda s: s.usage("2026-07-01", "2026-08-01"), "at most 30 days"),
        (lambda s: s.usage(None, DAY[1]), "usage: start is required"),
        (lambda s: s.usage(DAY[0], "soon"), "usage: end must be ISO 8601"),
        (lambda s: s.usage(NAIVE, DAY[1]), "time zone"),
        (lambda s: s.poll_inbox(since=5), "poll_inbox: since"),
        (
            lambda s: s.poll_inbox(type=5),
            "poll_inbox: type must be a string that is not empty, got 5",
        ),
        (
            lambda s: s.poll_inbox(person_url=""),
            "poll_inbox: person_url must be a string that is not empty, got ''",
        ),
        (
            lambda s: s.poll_inbox(person_url="Ada Lovelace"),
            "poll_inbox: person_url must be the URL of a person",
        ),
        (lambda s: s.poll_inbox(thread_id=JANE), "must be the id of a conversation"),
        (
            lambda s: s.poll_conversations([f"{JANE} "]),
            "poll_conversations: person_url must have no white space",
        ),
        (lambda s: s.poll_network(since="x" * 99), "got 'x{56}…$"),
        (lambda s: s.poll_conversations(JANE), "must be a list, got str"),
        (lambda s: s.poll_conversations({"personUrl": JANE}), "got dict"),
        (lambda s: s.poll_conversations(None), "got NoneType"),
        (
            lambda s: s.poll_conversations(ConversationQuery(JANE)),
            "got ConversationQuery",
        ),
        (
            lambda s: s.poll_conversations([5]),
            "person_url must be a string that is not empty, got 5",
        ),
        (lambda s: s.poll_conversations([None]), "person_url is required"),
        (lambda s: anext(s.messages(since="soon")), "messages: since"),
        (lambda s: anext(s.messages(thread_id=5)), "messages: thread_id"),
    ],
)
async def test_parameters(server: Scripted, call: Call, words: str) -> None:
    """A parameter that makes no sense is refused before anything is sent."""
    async with server.session() as session:
        with pytest.raises(ParameterError, match=words):
            await call(session)

    assert [] == server.seen


async def test_thirty_days(server: Scripted) -> None:
    """A period of exactly 30 days is allowed."""
    server.script("GET", ok([]))

    async with server.session() as session:
        assert [] == await session.usage("2026-07-01", "2026-07-31")


# The sandbox


async def test_info(sandbox: Sandbox, session: Session) -> None:
    """Each account is always the same person."""
    mine = await session.info()
    other = await session.account("another").info()

    assert mine == await session.info()
    assert mine.url != other.url
    assert mine.name


async def test_received(sandbox: Sandbox, session: Session) -> None:
    """A message that comes in is in the inbox of its account, newest first."""
    first = sandbox.receive_message(ACCOUNT, JANE, "Hello")
    second = sandbox.receive_message(ACCOUNT, JOE, "Hi", type="nv")
    sandbox.receive_message("another", JANE, "Psst")

    messages = await session.poll_inbox()
    (st_only,) = await session.poll_inbox(type="st")
    (of_thread,) = await session.poll_inbox(thread_id=messages[0].thread_id)

    assert [second, first] == [message.id for message in messages]
    assert ("Hello", "them", JANE) == (
        st_only.text,
        st_only.sender,
        st_only.person_public_url,
    )
    assert second == of_thread.id


async def test_conversation_grows(sandbox: Sandbox, session: Session) -> None:
    """A conversation is there once it was synced, and grows with what is sent."""
    with pytest.raises(RejectedError) as caught:
        await session.poll_conversations([JANE])
    await session.run(st.sync_conversation(JANE))
    (before,) = await session.poll_conversations([JANE])
    await session.run(st.open_person_page(JANE).then(st.send_message(text="Hi")))
    sandbox.receive_message(ACCOUNT, JANE, "Hello")
    (after,) = await session.poll_conversations([JANE])

    assert "conversationsNotSynced" == caught.value.type
    assert before.messages
    assert after.messages is not None
    assert [*before.messages, ("us", "Hi"), ("them", "Hello")] == [
        *after.messages[:-2],
        *((m.sender, m.text) for m in after.messages[-2:]),
    ]
    assert (JANE, "st") == (after.person_url, after.type)
    assert after.sync_until


async def test_since_in_conversations(sandbox: Sandbox, session: Session) -> None:
    """Only items since a moment are returned, and the moment is echoed."""
    await session.run(nv.sync_conversation(JANE))
    sandbox.receive_message(ACCOUNT, JANE, "Hello", type="nv")
    (message,) = await session.poll_inbox()
    query = ConversationQuery(JANE, type="nv", since=message.time)

    (there,) = await session.poll_conversations([query])
    sandbox.account_data.inclusive = False
    (gone,) = await session.poll_conversations([query])

    assert there.messages is not None
    assert ["Hello"] == [m.text for m in there.messages]
    assert ([], message.time) == (gone.messages, gone.since)


async def test_older_conversations(sandbox: Sandbox) -> None:
    """The older generation has conversations and usage, with fewer fields."""
    async with sandbox.session("account_api") as session:
        await session.run(st.sync_conversation(JANE))
        (found,) = await session.poll_conversations([JANE])
        (use,) = await session.usage(*DAY)

    assert found.messages
    assert (None, None) == (found.sync_until, found.messages[0].thread_id)
    assert ("st.syncConversation", True) == (use.action_type, use.success)


async def test_replies(sandbox: Sandbox, session: Session) -> None:
    """A message to a thread goes to its person; an unknown thread has none."""
    sandbox.receive_message(ACCOUNT, JANE, "Hello")
    (hello,) = await session.poll_inbox()
    await session.run(
        st.send_message(thread_id=hello.thread_id, text="Hi"),
        st.send_message(thread_id="unknown", text="Anybody?"),
    )

    found = await session.poll_inbox(person_url=JANE)

    assert found.messages is not None
    assert ["Hi", "Hello"] == [m.text for m in found.messages]
    assert 2 == len(await session.poll_inbox())


async def test_inbox_sync(sandbox: Sandbox, session: Session) -> None:
    """Syncing an inbox for the first time brings what is in it, per type."""
    await session.run(st.sync_inbox(), st.sync_inbox())
    standard = await session.poll_inbox()
    await session.run(nv.sync_inbox())
    both = await session.poll_inbox()

    assert [3, 6] == [len(standard), len(both)]
    assert len(both) == len({message.id for message in both})


async def test_person_threads(sandbox: Sandbox, session: Session) -> None:
    """The whole conversation with a person has history and captured messages once."""
    await session.run(st.sync_conversation(JANE))
    sandbox.receive_message(ACCOUNT, JANE, "Hello")
    sandbox.receive_message(ACCOUNT, JANE, "Hi", type="nv")
    sandbox.receive_message(ACCOUNT, JOE, "Me too")

    found = await session.poll_inbox(person_url=JANE)

    assert found.messages is not None
    assert found.threads is not None
    assert ["Hi", "Hello"] == [m.text for m in found.messages if m.inbox_message_id]
    assert len(found.messages) > 2
    assert [("st", True), ("nv", False)] == [
        (thread.type, thread.history_complete) for thread in found.threads
    ]


async def test_people_of_lists(sandbox: Sandbox, session: Session) -> None:
    """Who is written to in a loop has the message in the inbox."""
    page = st.open_person_page(basic_info=True).then(st.send_message(text="Hi"))
    found = await session.run(
        st.search_people(term="robots", limit=2).then(st.do_for_people().then(page))
    )

    messages = await session.poll_inbox()

    assert {person.public_url for person in found} == {
        message.person_public_url for message in messages
    }


async def test_failures_leave_no_trace(sandbox: Sandbox, session: Session) -> None:
    """What failed was used, and sent nothing; what never ran was not used."""
    sandbox.fail_action("st.sendMessage", "messagingNotAllowed")
    await (await session.start(st.send_message(JANE, text="Hi"))).completion()
    sandbox.fail_next("languageNotSupported")
    with pytest.raises(WorkflowFailedError):
        await (await session.start(st.sync_inbox())).completion()

    assert [] == await session.poll_inbox()
    assert [("st.sendMessage", False)] == [
        (use.action_type, use.success) for use in await session.usage(*DAY)
    ]


async def test_scripted_failures(sandbox: Sandbox, session: Session) -> None:
    """What a test prescribes to fail leaves no trace either."""
    sandbox.script(st.send_message, error="messagingNotAllowed")
    await (await session.start(st.send_message(JANE, text="Hi"))).completion()

    assert [] == await session.poll_inbox()


async def test_usage(sandbox: Sandbox, session: Session) -> None:
    """All actions of finished workflows are counted in order, the nested ones too."""
    page = st.open_company_page(
        "https://www.linkedin.com/company/acme", basic_info=True
    )
    await session.run(page.then(st.retrieve_company_employees(limit=2)))
    await session.run(st.retrieve_ssi())

    used = await session.usage(*DAY)

    assert [
        "st.openCompanyPage",
        "st.retrieveCompanyEmployees",
        "st.retrieveSSI",
    ] == [use.action_type for use in used]
    assert [] == await session.usage("2026-06-30", "2026-07-01")


async def test_unfinished_workflows() -> None:
    """What has not ended has left no trace yet."""
    async with Sandbox(duration=3600) as sandbox, sandbox.session() as session:
        await session.start(st.send_message(JANE, text="Hi"))

        assert [] == await session.poll_inbox()
        assert [] == await session.usage(*DAY)


async def test_network(sandbox: Sandbox, session: Session) -> None:
    """Network events are returned newest first, by type and since a moment."""
    sandbox.accept_connection(ACCOUNT, JANE)
    asked = sandbox.accept_connection(ACCOUNT, JOE, type="connectionRequestReceived")

    events = await session.poll_network()
    (one,) = await session.poll_network(type="connectionRequestReceived")

    assert [JOE, JANE] == [event.person_url for event in events]
    assert asked == one.id
    assert events[0] in await session.poll_network(since=events[0].detected_at)
    assert sandbox.now.isoformat() >= "2026-07-01T12:00:00"


async def test_events_are_told(sandbox: Sandbox, session: Session) -> None:
    """A callback gets every new message and network event, as webhooks have them."""
    told: list[tuple[str, dict[str, Any]]] = []
    sandbox.account_data.on_event = lambda type, data: told.append((type, data))
    received = sandbox.receive_message(ACCOUNT, JANE, "Hello")
    await session.run(st.send_message(JANE, text="Hi"))
    sandbox.account_data.update()
    sandbox.accept_connection(ACCOUNT, JANE)

    sandbox.account_data.on_event = None
    sandbox.accept_connection(ACCOUNT, JOE)

    types = ["inbox.messageReceived", "inbox.messageSent"]
    assert [*types, "network.connectionAccepted"] == [type for type, _ in told]
    assert received == told[0][1]["messageId"]
    assert 1 == len({data["accountId"] for _, data in told})
    message = {"accountId", "type", "threadId", "personUrn", "personHashedUrl"}
    message |= {"personPublicUrl", "personUrl", "messageId", "sender", "text", "time"}
    assert [
        message,
        message,
        {"accountId", "personUrn", "personUrl", "detectedAt"},
    ] == [set(data) for _, data in told]


async def test_no_such_type(sandbox: Sandbox) -> None:
    """Test controls refuse what there is not."""
    with pytest.raises(ValueError, match="one of st, nv"):
        sandbox.receive_message(ACCOUNT, JANE, "Hi", type="sv")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="connectionAdded"):
        sandbox.accept_connection(ACCOUNT, JANE, type="no")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/inbox/poll", b"no"),
        ("POST", "/inbox/poll", b"[]"),
        ("POST", "/inbox/poll", b'{"since": "soon"}'),
        ("POST", "/network/poll", b"5"),
        ("POST", "/conversations/poll", b"{}"),
        ("POST", "/conversations/poll", b"[5]"),
        ("POST", "/conversations/poll", b'[{"type": "st"}]'),
        ("POST", "/conversations/poll", b'[{"personUrl": "u", "type": ["st"]}]'),
        ("GET", "/stats/actions", b""),
        ("GET", "/stats/actions?start=2026-07-01&end=2026-08-01", b""),
        ("GET", "/stats/actions?start=2026-07-02&end=2026-07-01", b""),
    ],
)
async def test_malformed(sandbox: Sandbox, method: str, path: str, body: bytes) -> None:
    """The sandbox refuses what the API would, in its words."""
    headers = {"linked-api-token": "t", "identification-token": "i"}
    sandbox.receive_message("i", JANE, "Hello")
    async with aiohttp.ClientSession(headers=headers) as http:
        async with http.request(method, sandbox.url + path, data=body) as answer:
            found = await answer.json()

    assert (400, "invalidRequestPayload") == (answer.status, found["error"]["type"])


async def test_tokens_are_checked() -> None:
    """The endpoints are for those who have valid tokens."""
    async with Sandbox(identification_tokens=["mine"]) as sandbox:
        async with sandbox.session(identification_token="yours") as session:
            with pytest.raises(AuthenticationError) as caught:
                await session.info()

    assert "invalidIdentificationToken" == caught.value.type


async def test_faults(sandbox: Sandbox, session: Session) -> None:
    """Something can go wrong on the way to these endpoints, too."""
    fault = sandbox.inject_fault("status", on="account_data", status=503)

    assert [] == await session.poll_inbox()
    assert 1 == len(fault.hits)


# The official SDK


async def test_official_sdk(sandbox: Sandbox, session: Session) -> None:
    """The official SDK reads the same data from the same answers."""
    sandbox.receive_message(ACCOUNT, JANE, "Hello")
    sandbox.accept_connection(ACCOUNT, JANE)
    await session.run(st.sync_conversation(JANE), st.send_message(JANE, text="Hi"))
    config = LinkedApiConfig(
        linked_api_token="token",
        identification_token=ACCOUNT,
        base_url=sandbox.url,
    )
    sdk = LinkedApi(config)
    conversation = types.ConversationPollRequest(person_url=JANE, type="st")
    period = types.ApiUsageParams(start=DAY[0], end=DAY[1])
    person = types.InboxPersonPollRequest(person_url=JANE)

    def asked() -> list[Any]:
        """Ask the SDK for all there is."""
        answers: list[Any] = [
            sdk.poll_conversations([conversation]),
            sdk.poll_inbox(),
            sdk.poll_inbox(person),
            sdk.poll_network(),
            sdk.get_account_info(),
            sdk.get_api_usage(period),
        ]
        sdk.http_client.session.close()  # type: ignore[attr-defined]
        return [answer.data for answer in answers]

    theirs = await asyncio.to_thread(asked)
    ours: list[Any] = [
        await session.poll_conversations([JANE]),
        await session.poll_inbox(),
        await session.poll_inbox(person_url=JANE),
        await session.poll_network(),
        await session.info(),
        await session.usage(*DAY),
    ]

    assert plain(theirs) == plain(ours)


def plain(value: Any) -> Any:
    """Return the data of either side as JSON without what is absent."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    fields = (
        value.raw
        if hasattr(value, "raw")
        else value.model_dump(mode="json", by_alias=True)
    )
    return absent_gone(fields)


def absent_gone(value: Any) -> Any:
    """Return JSON without fields that are null."""
    if isinstance(value, list):
        return [absent_gone(item) for item in value]
    if isinstance(value, dict):
        return {k: absent_gone(v) for k, v in value.items() if v is not None}
    return value


# Feedback


async def test_feedback_reaches_the_api() -> None:
    """Feedback is sent with its context in the API's names, and gives the API's id."""
    async with Sandbox(speed=1000) as sandbox, sandbox.session() as session:
        id = await session.send_feedback(
            "bug", "It is slow", workflow_id="wf-1", severity="low"
        )
        plain = await session.send_feedback("praise", "It is good")

        assert ("feedback-1", "feedback-2") == (id, plain)
        assert [
            {
                "type": "bug",
                "message": "It is slow",
                "context": {"workflowId": "wf-1", "severity": "low"},
            },
            {"type": "praise", "message": "It is good"},
        ] == sandbox.account_data.feedback


@pytest.mark.parametrize("message", ["", "x" * 5001])
async def test_feedback_has_a_length(message: str) -> None:
    """An empty or too long message is refused before it is sent."""
    async with Sandbox(speed=1000) as sandbox, sandbox.session() as session:
        with pytest.raises(ParameterError, match="message"):
            await session.send_feedback("bug", message)

        assert [] == sandbox.account_data.feedback


@pytest.mark.parametrize(
    ("type", "message", "wrong"), [("moan", "x", "type"), ("bug", 5, "message")]
)
async def test_wrong_feedback_is_refused_by_the_api(
    type: str, message: Any, wrong: str
) -> None:
    """A type that this version does not know is sent, and the answer raised."""
    async with Sandbox(speed=1000) as sandbox, sandbox.session() as session:
        headers = {"linked-api-token": "t", "identification-token": "a"}
        async with (
            aiohttp.ClientSession() as client,
            client.post(
                f"{sandbox.url}/feedback",
                json={"type": type, "message": message},
                headers=headers,
            ) as response,
        ):
            assert wrong in (await response.json())["error"]["message"]
        if type != "bug":
            with pytest.raises(RejectedError, match="type"):
                await session.send_feedback(type, message)


async def test_feedback_is_sent_once(server: Scripted) -> None:
    """An answer that is lost is an error; the feedback is not sent again."""
    server.script("POST", raw("no", status=503))
    async with server.session() as session:
        with pytest.raises(ProtocolError):
            await session.send_feedback("bug", "It is slow")

    assert 1 == server.count("POST")


async def test_feedback_needs_the_current_api() -> None:
    """The older API has no such endpoint, which is said before anything is sent."""
    async with (
        Sandbox(speed=1000) as sandbox,
        sandbox.session(generation="account_api") as session,
    ):
        with pytest.raises(UnsupportedError):
            await session.send_feedback("bug", "It is slow")
