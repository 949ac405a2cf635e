"""The Admin API over real HTTP: calls, results, limits of the rate, waits for people."""

from __future__ import annotations

import asyncio
import datetime as dt
import inspect
import json
import pathlib
import pickle
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import attrs
import pytest
from aiohttp import web
from event_loops import run_virtual, virtual_time
from hypothesis import given
from hypothesis import strategies as hs
from scripted_server import TOKEN, Scripted, dropped, held, ok, raw, refused

from linkedapi_async import admin as admin_module
from linkedapi_async._http.caller import RetryingCaller
from linkedapi_async._http.rate_limit import SlidingWindow
from linkedapi_async._http.requests import Headers, Request
from linkedapi_async._http.responses import Response
from linkedapi_async._results.completion import Result
from linkedapi_async.admin import (
    AccountList,
    Admin,
    AdminAccount,
    Changelog,
    ConnectionProgress,
    Delivery,
    Limit,
    LimitUsage,
    NewToken,
    Price,
    Reparse,
    Seat,
    SeatChange,
    SubscriptionStatus,
    Webhook,
    fetch_changelog,
)
from linkedapi_async.admin._accounts import UNSEEN
from linkedapi_async.admin._resources import object_reader
from linkedapi_async.admin._results import MASKS, AdminResult
from linkedapi_async.errors import (
    AuthenticationError,
    ConnectionFailedError,
    ConnectionPendingError,
    NotConnectedError,
    ParameterError,
    ProtocolError,
    RateLimitedError,
    RejectedError,
    RequestError,
    StartUnknownError,
    UnknownValueWarning,
)
from linkedapi_async.policies import Polling, Retries, RetryBudget


pytestmark = pytest.mark.anyio

DATA = json.loads(
    (pathlib.Path(__file__).parents[1] / "data" / "examples_admin.json").read_text(
        "utf-8"
    )
)
ENDPOINTS: dict[str, Any] = {
    endpoint["id"]: endpoint
    for endpoint in DATA["endpoints"]
    if "(removed)" not in endpoint["summary"]
}
EXAMPLES: list[Any] = DATA["examples"]

Call = Callable[[Admin], Awaitable[Any]]


def snake(name: str) -> str:
    """Return the Python spelling of a JSON name."""
    return re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", name)


def method(admin: Admin, kind: str) -> Any:
    """Return the method for an endpoint, by the API's name of it."""
    found: Any = admin
    for part in kind.removeprefix("admin.").split("."):
        found = getattr(found, snake(part))
    return found


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    """A scripted server."""
    async with Scripted() as scripted:
        yield scripted


def admin_for(server: Scripted, **settings: Any) -> Admin:
    """Return an `Admin` for *server* that asks without delay."""
    defaults: dict[str, Any] = {
        "linked_api_token": TOKEN,
        "base_url": server.url,
        "polling": attrs.evolve(Polling.fixed(0.001), deadline=60),
        "retries": Retries(initial_delay=0.001, max_delay=0.01),
    }
    return Admin(**{**defaults, **settings})


@pytest.fixture
async def admin(server: Scripted) -> AsyncIterator[Admin]:
    """An `Admin` for the scripted server."""
    async with admin_for(server) as entered:
        yield entered


ACCOUNTS: dict[str, Any] = {"accounts": [], "pendingConnectionSessions": []}


def record(id: str, **facts: Any) -> dict[str, Any]:
    """Return an account as the API gives it."""
    return {"id": id, "connectedAt": "2026-01-01T00:00:00.000Z", **facts}


def accounts(*records: dict[str, Any]) -> Any:
    """Answer with these accounts."""
    return ok({"accounts": [*records], "pendingConnectionSessions": []})


def session_is(status: Any) -> Any:
    """Answer that a connection session has this status."""
    return ok({"session": {"sessionId": "s1", "status": status, "type": "connect"}})


# The calls


HOOK = {"webhook": {"id": "w1", "url": "https://receiver.test/", "isActive": True}}
LIMITS = {"limits": [{"category": "stMessages", "period": "daily", "maxValue": 5}]}
OPENED = {"sessionId": "s1", "connectionLink": "https://app.test/s1"}
AGAIN = {"reconnectionSessionId": "s1", "reconnectionLink": "https://app.test/s1"}
MESSAGES = Limit(category="stMessages", period="daily", max_value=5, is_enabled=False)

# For each endpoint: the call, the body it sends, what is answered, what it returns.
CALLS: dict[str, tuple[Call, Any, Any, Any]] = {
    "subscription.getStatus": (
        lambda a: a.subscription.get_status(),
        None,
        {"status": "active"},
        SubscriptionStatus(status="active"),
    ),
    "subscription.getSeats": (
        lambda a: a.subscription.get_seats(),
        None,
        {"seats": [{"seatType": "core", "quantity": 2, "billingPeriod": "year"}]},
        [Seat(seat_type="core", quantity=2, billing_period="year")],
    ),
    "subscription.setSeats": (
        lambda a: a.subscription.set_seats(3, "plus", "month"),
        {"quantity": 3, "seatType": "plus", "billingPeriod": "month"},
        {"status": "processing", "paymentLink": "https://pay.test"},
        SeatChange(status="processing", payment_link="https://pay.test"),
    ),
    "subscription.getPricing": (
        lambda a: a.subscription.get_pricing(),
        None,
        {"products": [{"id": "p1", "unitPrice": 6900}]},
        [Price(id="p1", unit_price=6900)],
    ),
    "accounts.getAll": (
        lambda a: a.accounts.get_all(),
        None,
        {"accounts": [{"id": "a1", "identificationToken": "id_1"}]},
        AccountList(accounts=[AdminAccount(id="a1", identification_token="id_1")]),
    ),
    "accounts.disconnect": (
        lambda a: a.accounts.disconnect("a1"),
        {"accountId": "a1"},
        {},
        None,
    ),
    "accounts.reparseAccountInfo": (
        lambda a: a.accounts.reparse_account_info("a1"),
        {"accountId": "a1"},
        {"workflowId": "wf-1"},
        Reparse(workflow_id="wf-1"),
    ),
    "accounts.regenerateIdentificationToken": (
        lambda a: a.accounts.regenerate_identification_token("a1"),
        {"accountId": "a1"},
        {"token": "id_2"},
        NewToken(token="id_2"),
    ),
    "accounts.createConnectionSession": (
        lambda a: a.accounts.create_connection_session(),
        None,
        {**ACCOUNTS, **OPENED},
        ...,
    ),
    "accounts.createReconnectionSession": (
        lambda a: a.accounts.create_reconnection_session("a1"),
        {"accountId": "a1"},
        AGAIN,
        ...,
    ),
    "accounts.getConnectionSession": (
        lambda a: a.accounts.get_connection_session("s1"),
        {"sessionId": "s1"},
        {"session": {"sessionId": "s1", "status": "serving", "type": "connect"}},
        ConnectionProgress(session_id="s1", status="serving", type="connect"),
    ),
    "accounts.cancelConnectionSession": (
        lambda a: a.accounts.cancel_connection_session("s1"),
        {"sessionId": "s1"},
        None,
        None,
    ),
    "limits.getDefaults": (
        lambda a: a.limits.get_defaults(),
        None,
        LIMITS,
        [Limit(category="stMessages", period="daily", max_value=5)],
    ),
    "limits.get": (
        lambda a: a.limits.get("a1"),
        {"accountId": "a1"},
        LIMITS,
        [Limit(category="stMessages", period="daily", max_value=5)],
    ),
    "limits.getUsage": (
        lambda a: a.limits.get_usage("a1"),
        {"accountId": "a1"},
        {"usage": [{"category": "stPosts", "currentUsage": 3}]},
        [LimitUsage(category="stPosts", current_value=3)],
    ),
    "limits.set": (
        lambda a: a.limits.set("a1", [MESSAGES]),
        {
            "accountId": "a1",
            "limits": [
                {
                    "category": "stMessages",
                    "period": "daily",
                    "maxValue": 5,
                    "isEnabled": False,
                }
            ],
        },
        None,
        None,
    ),
    "limits.delete": (
        lambda a: a.limits.delete("a1", (MESSAGES,)),
        {
            "accountId": "a1",
            "limits": [{"category": "stMessages", "period": "daily"}],
        },
        None,
        None,
    ),
    "limits.resetToDefaults": (
        lambda a: a.limits.reset_to_defaults("a1"),
        {"accountId": "a1"},
        None,
        None,
    ),
    "webhook.set": (
        lambda a: a.webhook.set(
            "https://receiver.test",
            payload_mode="thin",
            signing_enabled=True,
            headers={"X-One": "1"},
            events=["inbox.*"],
        ),
        {
            "url": "https://receiver.test",
            "payloadMode": "thin",
            "signingEnabled": True,
            "headers": {"X-One": "1"},
            "events": ["inbox.*"],
        },
        HOOK,
        Webhook(id="w1", url="https://receiver.test/", is_active=True),
    ),
    "webhook.get": (
        lambda a: a.webhook.get(),
        None,
        {"webhooks": [HOOK["webhook"]]},
        [Webhook(id="w1", url="https://receiver.test/", is_active=True)],
    ),
    "webhook.setPayloadMode": (
        lambda a: a.webhook.set_payload_mode("w1", "thin"),
        {"id": "w1", "payloadMode": "thin"},
        {"webhook": {"id": "w1", "payloadMode": "thin"}},
        Webhook(id="w1", payload_mode="thin"),
    ),
    "webhook.delete": (lambda a: a.webhook.delete("w1"), {"id": "w1"}, None, None),
    "webhook.deliveries": (
        lambda a: a.webhook.deliveries(),
        None,
        {"deliveries": [{"id": "d1", "attempts": 2, "responseStatusCode": None}]},
        [Delivery(id="d1", attempts=2)],
    ),
    "webhook.replayDelivery": (
        lambda a: a.webhook.replay_delivery("d1"),
        {"deliveryId": "d1"},
        None,
        None,
    ),
    "webhook.sendTest": (lambda a: a.webhook.send_test(), None, None, None),
    "webhook.setSigning": (
        lambda a: a.webhook.set_signing("w1", True),
        {"id": "w1", "signingEnabled": True},
        {"webhook": {"id": "w1", "secret": "s"}},
        Webhook(id="w1", secret="s"),
    ),
    "webhook.revealSecret": (
        lambda a: a.webhook.reveal_secret("w1"),
        {"id": "w1"},
        {"webhook": {"id": "w1", "secret": "s"}},
        Webhook(id="w1", secret="s"),
    ),
    "webhook.rotateSecret": (
        lambda a: a.webhook.rotate_secret("w1"),
        {"id": "w1"},
        {"webhook": {"id": "w1", "secret": "t"}},
        Webhook(id="w1", secret="t"),
    ),
    "webhook.setHeaders": (
        lambda a: a.webhook.set_headers("w1", None),
        {"id": "w1", "headers": {}},
        {"webhook": {"id": "w1", "headerNames": []}},
        Webhook(id="w1", header_names=[]),
    ),
    "webhook.setHeader": (
        lambda a: a.webhook.set_header("w1", "X-One", "ä b"),
        {"id": "w1", "name": "X-One", "value": "ä b"},
        {"webhook": {"id": "w1", "headerNames": ["x-one"]}},
        Webhook(id="w1", header_names=["x-one"]),
    ),
    "webhook.deleteHeader": (
        lambda a: a.webhook.delete_header("w1", "X-One"),
        {"id": "w1", "name": "X-One"},
        {"webhook": {"id": "w1"}},
        Webhook(id="w1"),
    ),
    "webhook.setEvents": (
        lambda a: a.webhook.set_events("w1", None),
        {"id": "w1", "events": None},
        {"webhook": {"id": "w1", "events": ["workflow.*"]}},
        Webhook(id="w1", events=["workflow.*"]),
    ),
    "webhook.eventTypes": (
        lambda a: a.webhook.event_types(),
        None,
        {"eventTypes": ["workflow.created", "post.liked"]},
        ["workflow.created", "post.liked"],
    ),
}


def public(value: object) -> set[str]:
    """Return the names of the public methods of *value*."""
    return {
        name
        for name, _ in inspect.getmembers(value, inspect.ismethod)
        if not name.startswith("_")
    }


def test_every_endpoint_has_its_method() -> None:
    """The client has every endpoint of the facts that was not removed, and no other."""
    made = Admin(linked_api_token=TOKEN)
    groups = {"subscription", "accounts", "limits", "webhook"}
    offered = {
        f"{group}.{name}" for group in groups for name in public(getattr(made, group))
    }
    expected = {
        ".".join(map(snake, id.removeprefix("admin.").split(".")))
        for id in ENDPOINTS
        if id != "changelog"
    }

    assert expected == offered - {"accounts.wait_connected"}
    assert {"aclose", "changelog", "from_env", "identify", "open"} == public(made)
    assert {f"admin.{call}" for call in CALLS} == ENDPOINTS.keys() - {"changelog"}


@pytest.mark.parametrize("call", CALLS)
async def test_calls(call: str, server: Scripted, admin: Admin) -> None:
    """Each call sends what the API asks for, with one token, and reads the answer."""
    work, body, answer, expected = CALLS[call]
    server.script("POST", ok(answer))

    result = await work(admin)
    seen = server.seen[-1]

    assert ("POST", ENDPOINTS[f"admin.{call}"]["path"]) == (seen.method, seen.path)
    assert body == seen.body
    assert TOKEN == seen.headers["linked-api-token"]
    assert "identification-token" not in {name.lower() for name in seen.headers}
    assert seen.headers["client"].startswith("linkedapi-async/")
    if expected is not ...:
        assert expected == result
        assert type(expected) is type(result)
    request = ENDPOINTS[f"admin.{call}"]["request"] or {}
    assert {*request} == {*(body or {})}


@pytest.mark.parametrize("facts", EXAMPLES, ids=lambda facts: facts["kind"])
async def test_examples(facts: Any, server: Scripted, admin: Admin) -> None:
    """The API's own examples are sent exactly, and read completely."""
    answer = raw(json.dumps(facts["response"]))
    server.script("POST", answer)
    server.script("GET", answer)
    kind, body = facts["kind"], facts["request"]["body"]
    if kind == "admin.accounts.createConnectionSession":
        server.script("POST", accounts(), answer)
    given = {snake(name): value for name, value in (body or {}).items()}

    result = await method(admin, kind)(**given)

    assert facts["request"]["method"] == server.seen[-1].method
    assert body == server.seen[-1].body
    came = facts["response"].get("result", facts["response"])
    if isinstance(result, list | Webhook | ConnectionProgress):
        (came,) = came.values()
    assert_typed(result, came)


def assert_typed(result: Any, came: Any) -> None:
    """Check that nothing came that an attribute does not show."""
    if isinstance(result, list):
        for one, each in zip(result, came, strict=True):
            assert_typed(one, each)
    elif isinstance(result, Result):
        assert came == result.raw
        assert {} == result.extra
        for name, wires in result._json_names().items():
            value = getattr(result, name)
            if isinstance(value, list):
                assert_typed(value, came[wires[0]])
    elif isinstance(result, admin_module.ConnectionSession):
        assert came == result.raw
        assert ["s1", "u"] == [result.session_id, result.link]
    else:
        assert came == (result or {})


async def test_events_are_chosen(server: Scripted, admin: Admin) -> None:
    """None is sent as null, which means everything; a list goes as it is."""
    server.script("POST", ok(HOOK))

    await admin.webhook.set_events("w1", ["workflow.*", "account.active"])

    assert {"id": "w1", "events": ["workflow.*", "account.active"]} == (
        server.seen[-1].body
    )


async def test_what_is_not_given_is_not_sent(server: Scripted, admin: Admin) -> None:
    """A webhook with nothing but an address leaves all else to the API."""
    server.script("POST", ok(HOOK))

    await admin.webhook.set("https://receiver.test")

    assert {"url": "https://receiver.test"} == server.seen[-1].body


async def test_limits_can_be_copied(server: Scripted, admin: Admin) -> None:
    """What one account has is set for another without a word."""
    server.script("POST", ok(LIMITS))

    await admin.limits.set("a2", await admin.limits.get("a1"))

    assert {"accountId": "a2", **LIMITS} == server.seen[-1].body


# Parameters

WRONG: list[tuple[Call, str, str]] = [
    (lambda a: a.subscription.set_seats(-1, "core", "month"), "quantity", "at least 0"),
    (lambda a: a.subscription.set_seats(1, 2, "month"), "seat_type", "a string"),  # type: ignore[arg-type]
    (lambda a: a.accounts.disconnect(""), "account_id", "an id"),
    (lambda a: a.accounts.disconnect("a b"), "account_id", "an id"),
    (lambda a: a.accounts.disconnect(None), "account_id", "an id"),  # type: ignore[arg-type]
    (lambda a: a.accounts.get_connection_session("a\n"), "session_id", "an id"),
    (lambda a: a.limits.set("a1", [Limit(period="daily")]), "limits[0].category", "is"),
    (
        lambda a: a.limits.set(
            "a1", [MESSAGES, Limit(category="x", period="daily", max_value=-1)]
        ),
        "limits[1].max_value",
        "at least 0",
    ),
    (lambda a: a.limits.set("a1", [{}]), "limits[0]", "an admin.Limit"),  # type: ignore[list-item]
    (lambda a: a.limits.set("a1", MESSAGES), "limits", "a list"),  # type: ignore[arg-type]
    (lambda a: a.limits.delete("a1", [Limit(category="x")]), "limits[0].period", "is"),
    (lambda a: a.webhook.set("receiver.test"), "url", "must be https://host/path"),
    (lambda a: a.webhook.set("https://[bad"), "url", "must be https://host/path"),
    (lambda a: a.webhook.set("https:///x"), "url", "must be https://host/path"),
    (lambda a: a.webhook.set("https://a.test/ b"), "url", "must be https://host/path"),
    (lambda a: a.webhook.set(5), "url", "must be https://host/path"),  # type: ignore[arg-type]
    (lambda a: a.webhook.set_signing("w1", 1), "signing_enabled", "True or False"),  # type: ignore[arg-type]
    (lambda a: a.webhook.set_events("w1", "inbox.*"), "events", "must be a list"),
    (lambda a: a.webhook.set_header("w1", "a:b", "c"), "name", "the name of a header"),
    (lambda a: a.webhook.set_header("w1", "a", "b\r\nc: d"), "value", "a line of text"),
    (lambda a: a.webhook.set_header("w1", "a", "\ud83d"), "value", "a line of text"),
    (lambda a: a.webhook.set_header("w1", "a", 5), "value", "a line of text"),  # type: ignore[arg-type]
    (lambda a: a.webhook.set_headers("w1", [("a", "b")]), "headers", "a dict"),  # type: ignore[arg-type]
    (lambda a: a.webhook.set_headers("w1", {"a": "\n"}), "headers['a']", "a line of"),
    (
        lambda a: a.webhook.set_headers("w1", {"key": "1", "KEY": "2"}),
        "headers['KEY']",
        "must not repeat a name",
    ),
    (lambda a: a.changelog("yesterday"), "since", "a date"),
    (lambda a: a.changelog("2026-07-01T00:00:00"), "since", "a date"),
    (lambda a: a.changelog(dt.datetime(2026, 7, 1)), "since", "a date"),  # noqa: DTZ001
]


@pytest.mark.parametrize(("work", "parameter", "reason"), WRONG)
async def test_wrong_parameters(
    work: Call, parameter: str, reason: str, server: Scripted, admin: Admin
) -> None:
    """What cannot be right is refused here, with its name, and nothing is sent."""
    with pytest.raises(ParameterError) as caught:
        await work(admin)

    assert parameter == caught.value.parameter
    assert reason in caught.value.reason
    assert caught.value.owner.startswith("admin.")
    assert [] == server.seen


async def test_secrets_are_not_in_errors_of_parameters(admin: Admin) -> None:
    """The value of a header, and an address with a key in it, are not shown."""
    for work in (
        admin.webhook.set_header("w1", "authorization", "hush\n"),
        admin.webhook.set_header("w1", "authorization", b"hush"),  # type: ignore[arg-type]
        admin.webhook.set("ftp://host/?key=hush"),
    ):
        with pytest.raises(ParameterError) as caught:
            await work
        assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("work", "nearest"),
    [
        (lambda a: a.webhook.set_events("w1", ["inbox.messageRecieved"]), "Received"),
        (lambda a: a.webhook.set_payload_mode("w1", "fatt"), "'fat'"),
        (
            lambda a: a.limits.set(
                "a1", [Limit(category="stMessage", period="daily", max_value=1)]
            ),
            "'stMessages'",
        ),
        (
            lambda a: a.limits.delete(
                "a1", [Limit(category="stPosts", period="dayly")]
            ),
            "'daily'",
        ),
    ],
)
async def test_unknown_words_are_sent_with_a_warning(
    work: Call, nearest: str, server: Scripted, admin: Admin
) -> None:
    """The catalogue goes stale, so the API has the last word; the nearest is named."""
    server.script("POST", ok(HOOK))

    with pytest.warns(UnknownValueWarning, match=nearest) as caught:
        await work(admin)

    assert __file__ == caught[0].filename
    assert 1 == len(server.seen)


# Answers

JSON = hs.recursive(
    hs.none() | hs.booleans() | hs.integers() | hs.floats(allow_nan=False) | hs.text(),
    lambda inner: hs.lists(inner, max_size=3) | hs.dictionaries(hs.text(), inner),
    max_leaves=8,
)
CLASSES = [
    value
    for value in vars(admin_module).values()
    if isinstance(value, type) and issubclass(value, AdminResult)
]


@given(hs.data())
def test_strange_answers_destroy_nothing(data: hs.DataObject) -> None:
    """Values of another type become None and are kept in `extra`."""
    cls = data.draw(hs.sampled_from(CLASSES))
    names = [name for wires in cls._json_names().values() for name in wires]
    came = data.draw(hs.dictionaries(hs.sampled_from([*names, "news"]), JSON) | JSON)

    made = object_reader(cls)(came)

    assert came == made.raw
    assert isinstance(repr(made), str)
    if isinstance(came, dict) and "news" in came:
        assert came["news"] == made.extra["news"]


@pytest.mark.parametrize(
    ("work", "answer", "message"),
    [
        (lambda a: a.subscription.get_seats(), {}, "no list of seats"),
        (lambda a: a.subscription.get_seats(), [], "no list of seats"),
        (lambda a: a.accounts.get_all(), {"accounts": None}, "no list of accounts"),
        (lambda a: a.accounts.get_connection_session("s"), {}, "no session"),
        (lambda a: a.accounts.create_reconnection_session("a"), {}, "reconnectionSess"),
        (lambda a: a.accounts.create_reconnection_session("a"), 5, "reconnectionSess"),
        (lambda a: a.webhook.set_signing("w1", True), {"webhook": 5}, "no webhook"),
        (lambda a: a.webhook.reveal_secret("w1"), None, "no webhook"),
    ],
)
async def test_missing_answers(
    work: Call, answer: Any, message: str, server: Scripted, admin: Admin
) -> None:
    """A missing value is an error, not an empty list or object."""
    server.script("POST", ok(answer))

    with pytest.raises(ProtocolError, match=message):
        await work(admin)


async def test_words_of_the_future(server: Scripted, admin: Admin) -> None:
    """Unknown words and fields are kept."""
    server.script("POST", ok({"status": "paused", "since": "2027-01-01"}))

    status = await admin.subscription.get_status()

    assert "paused" == status.status
    assert {"since": "2027-01-01"} == status.extra


async def test_a_void_answer_needs_no_result(server: Scripted, admin: Admin) -> None:
    """What only does something is done when the API says so, in whatever form."""
    server.script("POST", raw('{"success": true}'))

    await admin.webhook.send_test()

    with pytest.raises(ProtocolError):
        await admin.subscription.get_status()


async def test_a_void_answer_says_success(server: Scripted, admin: Admin) -> None:
    """An answer that says neither is an error."""
    server.script("POST", raw('{"success": false}'))

    with pytest.raises(ProtocolError):
        await admin.webhook.send_test()


@pytest.mark.parametrize(
    ("type", "status", "expected"),
    [
        ("accountNotFound", 401, RejectedError),
        ("accountIdRequired", 401, RejectedError),
        ("sessionNotFound", 404, RejectedError),
        ("noAvailableSeats", 402, RejectedError),
        ("invalidLinkedApiToken", 401, AuthenticationError),
    ],
)
async def test_words_of_the_api(
    type: str, status: int, expected: type[RequestError], server: Scripted, admin: Admin
) -> None:
    """Errors keep the API's word and the status; a missing account is no bad token."""
    server.script("POST", refused(type, status=status))

    with pytest.raises(expected) as caught:
        await admin.accounts.reparse_account_info("a1")

    assert expected is caught.type
    assert (type, status) == (caught.value.type, caught.value.http_status)
    assert 1 == len(server.seen)


# Secrets

SECRET = "hush-0123456789"


def test_secrets_are_not_in_reprs() -> None:
    """What lets its reader do something is masked, also inside of other results."""
    tokens = {"identification_token", "secret", "token"}
    links = {"connection_link", "payment_link", "reconnection_link", "url"}
    assert tokens | links | {"reconnection_session_id", "session_id"} == {*MASKS}
    for cls in CLASSES:
        names = [name for name in cls._json_names() if name in MASKS]
        came = dict.fromkeys(names, f"https://a.test/?{SECRET}")
        made = object_reader(cls)(
            {cls._json_names()[name][0]: came[name] for name in came}
        )

        assert SECRET not in repr(made)
        assert all(f"{name}=" in repr(made) for name in names)

    inner = AdminAccount(id="a1", identification_token=SECRET, connected_at="2026")
    outer = repr(AccountList(accounts=[inner]))

    assert SECRET not in outer
    assert "identification_token='…'" in outer
    assert "id='a1'" in outer


def test_reprs_show_the_rest() -> None:
    """Short ids and addresses without a query are shown, absent values are not."""
    hook = Webhook(id="w1", url="https://a.test/hook", secret=None)
    again = Webhook(url="https://a.test/hook?key=1")
    session = ConnectionProgress(session_id="s1", status="error")

    assert "Webhook(id='w1', url='https://a.test/hook')" == repr(hook)
    assert "Webhook(url='https://a.test/hook?…')" == repr(again)
    assert "ConnectionProgress(session_id='s1', status='error')" == repr(session)


async def test_secrets_are_not_in_reprs_of_tools(
    server: Scripted, admin: Admin, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither an `Admin` nor a session shows its secret, nor do logs."""
    link = {"sessionId": SECRET, "connectionLink": f"https://a.test/{SECRET}"}
    server.script("POST", ok({**ACCOUNTS, **link}))

    session = await admin.accounts.create_connection_session()

    assert "<ConnectionSession hush-012…>" == repr(session)
    assert f"<Admin at {server.url}, open>" == repr(admin)
    assert TOKEN not in repr(vars(admin))
    assert SECRET not in caplog.text


# Changelog


async def test_the_changelog_gets_no_token(server: Scripted, admin: Admin) -> None:
    """It is public, so nothing is sent that is not."""
    server.script("GET", raw('{"since": null, "count": 0, "entries": []}'))

    changelog = await admin.changelog()
    seen = server.seen[-1]

    assert Changelog(count=0, entries=[]) == changelog
    assert "/api/changelog" == seen.path
    assert TOKEN not in str(seen.headers)


async def test_where_the_changelog_is(server: Scripted) -> None:
    """It is on another host than the API, unless one says where."""
    assert ENDPOINTS["changelog"]["url"] == Admin(linked_api_token=TOKEN)._changelog_url
    server.script("GET", raw('{"count": 1}'))
    url = f"{server.url}/elsewhere"
    async with Admin(linked_api_token=TOKEN, changelog_url=url) as admin:
        await admin.changelog()

    assert ["/elsewhere"] == [seen.path for seen in server.seen]


async def test_the_changelog_without_a_token(server: Scripted) -> None:
    """Nothing but the address is needed; the connection is closed afterwards."""
    server.script("GET", raw('{"since": "2026-07-01", "count": 1}'))
    url = f"{server.url}/api/changelog"

    plain = await fetch_changelog(url=url)
    newer = await fetch_changelog(dt.date(2026, 7, 1), url=url)

    assert Changelog(since="2026-07-01", count=1) == plain == newer
    assert not any("token" in name.lower() for s in server.seen for name in s.headers)


async def test_an_unknown_changelog_is_an_error(server: Scripted) -> None:
    """A refusal is raised as for any other request."""
    server.script("GET", raw('{"error": "no"}', status=404))
    with pytest.raises(RejectedError):
        await fetch_changelog(url=f"{server.url}/api/changelog")


async def test_the_name_of_the_program(server: Scripted) -> None:
    """The header `client` carries the name that was passed."""
    server.script("POST", ok({"accounts": []}))
    async with Admin(
        linked_api_token=TOKEN, base_url=server.url, client="skill:crm"
    ) as admin:
        await admin.accounts.get_all()

    assert "skill:crm" == server.seen[-1].headers["client"]


NOON = dt.datetime(2026, 7, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=2)))


@pytest.mark.parametrize(
    ("since", "sent"),
    [
        ("2026-07-01", "2026-07-01"),
        (dt.date(2026, 7, 1), "2026-07-01"),
        ("2026-07-01T12:00:00Z", "2026-07-01T12:00:00Z"),
        (NOON, "2026-07-01T12:00:00+02:00"),
    ],
)
async def test_the_changelog_since(since: Any, sent: str) -> None:
    """A date or a moment arrives as it is, plus signs and all."""
    asked = []

    async def answer(request: web.Request) -> web.Response:
        """Record a request."""
        asked.append(request.query["since"])
        return web.json_response({"since": "x", "count": 0, "entries": []})

    async with Scripted() as server, admin_for(server) as admin:
        server.script("GET", answer)
        await admin.changelog(since)

    assert [sent] == asked


@pytest.mark.parametrize(
    ("answer", "expected", "message"),
    [
        (raw('{"error": "since must be"}', status=400), RejectedError, "since must be"),
        (raw('{"error": "slow down"}', status=429), RateLimitedError, "slow down"),
        (raw("<html>", status=502, content_type="text/html"), ProtocolError, "6 bytes"),
        (raw('{"error": "oh"}', status=500), ProtocolError, "oh"),
        (raw("[]"), ProtocolError, "not the API's JSON"),
        (raw("{}", status=302, Location="/"), ProtocolError, "redirect"),
    ],
)
async def test_the_changelog_fails(
    answer: Any, expected: type[RequestError], message: str, server: Scripted
) -> None:
    """Its errors are plain strings, and the classes are those of all requests."""
    server.script("GET", answer)
    async with admin_for(server, retries=Retries(attempts=1)) as admin:
        with pytest.raises(expected, match=message) as caught:
            await admin.changelog()

    assert expected is caught.type


# Repeating


async def test_questions_are_repeated(server: Scripted, admin: Admin) -> None:
    """What only asks is sent again when the answer is lost."""
    server.script("POST", dropped(), raw("oh", status=502), ok({"status": "active"}))

    assert "active" == (await admin.subscription.get_status()).status
    assert 3 == len(server.seen)


@pytest.mark.parametrize("answer", [dropped(), raw("oh", status=502)])
async def test_changes_are_not_repeated(
    answer: Any, server: Scripted, admin: Admin
) -> None:
    """A change that was not answered may have been made; the error says so."""
    server.script("POST", answer)

    with pytest.raises(RequestError) as caught:
        await admin.accounts.regenerate_identification_token("a1")

    assert 1 == len(server.seen)
    assert ["It is unknown"] == [note[:13] for note in caught.value.__notes__]
    assert caught.value.__cause__ is None


async def test_changes_that_never_left_are_repeated(server: Scripted) -> None:
    """A change is retried if no connection was made."""
    nowhere = "http://127.0.0.1:1"
    async with admin_for(server, base_url=nowhere) as admin:
        with pytest.raises(ConnectionFailedError) as caught:
            await admin.webhook.send_test()

        assert 3 == admin._connection._caller.retried

    assert not caught.value.sent


@virtual_time
async def test_the_api_asks_for_a_pause(server: Scripted, admin: Admin) -> None:
    """After a 429 nothing goes until Retry-After is over, changes included."""
    slow = refused("tooManyRequests", status=429)
    server.script(
        "POST", with_header(slow, "Retry-After", "42"), ok(HOOK), ok({"seats": []})
    )
    loop = asyncio.get_running_loop()
    began = loop.time()

    change = asyncio.create_task(admin.webhook.set_signing("w1", True))
    await asyncio.sleep(1)
    await admin.subscription.get_seats()
    took = loop.time() - began
    await change

    assert 42 <= took <= 43
    assert 3 == len(server.seen)


def with_header(answer: Any, name: str, value: str) -> Any:
    """Return *answer* with a header more."""

    async def more(request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        response: web.StreamResponse = await answer(request)
        response.headers[name] = value
        return response

    return more


async def test_the_api_keeps_refusing(server: Scripted, admin: Admin) -> None:
    """After all attempts the caller hears of it."""
    server.script("POST", refused("tooManyRequests", status=429))

    with pytest.raises(RateLimitedError):
        await admin.subscription.get_seats()

    assert 4 == len(server.seen)


NO_REQUEST = Request("POST", "")


class Failing:
    """Loses every answer."""

    async def send(
        self, request: Request, headers: Headers, *, write: bool = False
    ) -> Response:
        """Lose the answer."""
        raise ConnectionFailedError("lost", sent=True)

    async def admit(self) -> None:
        """Let everything go."""

    async def admit_retry(self, seconds: float) -> bool:
        """Let every retry go at once."""
        return True

    def pause(self, seconds: float | None) -> None:
        """Take no notice."""


async def test_what_may_be_done_twice_is_done_twice() -> None:
    """A start that only reads is retried once; each failure is reported and kept."""
    failing = Failing()
    retries = Retries(initial_delay=0.001)
    caller = RetryingCaller(
        transport=failing,
        limiter=failing,
        retries=retries,
        budget=RetryBudget(retries.budget),
        rng=random.Random(0),
    )
    reported: list[RequestError] = []
    lost: list[RequestError] = []

    with pytest.raises(StartUnknownError) as caught:
        await caller.call(
            NO_REQUEST,
            Headers(),
            "start_read",
            str,
            unknown=lambda error: StartUnknownError(str(error), account="a"),
            on_error=reported.append,
            lost=lost,
        )

    assert 1 == caller.retried
    assert reported == lost == [reported[0], caught.value.__cause__]
    assert 2 == len(reported)


# The window


class Sender:
    """Notes when requests go, and counts them some time later, as a server may."""

    def __init__(self, delays: list[tuple[float, float]]) -> None:
        self.delays = delays
        self.went: list[int] = []
        self.counted: list[float] = []

    async def send(
        self, request: Request, headers: Headers, *, write: bool = False
    ) -> Response:
        """Carry a request."""
        there, back = self.delays[len(self.went) % len(self.delays)]
        self.went.append(int(request.url))
        await asyncio.sleep(there)
        self.counted.append(asyncio.get_running_loop().time())
        await asyncio.sleep(back)
        return Response(200, {}, b"")


async def through(window: SlidingWindow, number: int) -> None:
    """Send request *number* through the window."""
    await window.admit()
    await window.send(Request("POST", str(number)), Headers())


@given(
    delays=hs.lists(
        hs.tuples(hs.floats(0, 5), hs.floats(0, 5)), min_size=1, max_size=20
    ),
    arrivals=hs.lists(hs.floats(0, 3), min_size=1, max_size=40),
)
def test_the_rate_is_kept(
    delays: list[tuple[float, float]], arrivals: list[float]
) -> None:
    """However long they travel, no span has too many; first come is first served."""
    sender = Sender(delays)

    async def main() -> None:
        """Send everything."""
        window = SlidingWindow(sender, 5, 60.0)
        async with asyncio.TaskGroup() as group:
            for number, pause in enumerate(arrivals):
                group.create_task(through(window, number))
                await asyncio.sleep(pause)

    run_virtual(main())
    counted = sorted(sender.counted)

    assert [*range(len(arrivals))] == sender.went
    # But for the rounding of sums.
    assert all(b - a > 59.999 for a, b in zip(counted, counted[5:], strict=False))


def test_a_burst_takes_no_longer_than_it_must() -> None:
    """A hundred go at once, the next ones as soon as the first ones are a minute old."""
    sender = Sender([(0.0, 0.0)])

    async def main() -> float:
        """Send everything; return how long it took."""
        loop = asyncio.get_running_loop()
        window, began = SlidingWindow(sender, 100, 60.0), loop.time()
        await asyncio.gather(*(through(window, n) for n in range(250)))
        return loop.time() - began

    assert 120 == pytest.approx(run_virtual(main()))


def test_who_gives_up_takes_no_place() -> None:
    """A cancelled wait leaves its place and its turn to the others."""
    sender = Sender([(0.0, 0.0)])

    async def main() -> None:
        """Cancel those that wait for a pause, and those behind them."""
        window = SlidingWindow(sender, 2, 60.0)
        window.pause(10)
        window.pause(None)
        window.pause(1)
        tasks = [asyncio.create_task(through(window, n)) for n in range(6)]
        await asyncio.sleep(5)
        assert [] == sender.went
        for task in tasks[:4]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run_virtual(main())

    assert [4, 5] == sender.went


def test_a_pause_keeps_the_order() -> None:
    """Who came first goes first when a pause is over."""
    sender = Sender([(0.0, 0.0)])

    async def main() -> None:
        """Let everybody wait for the end of a pause."""
        window = SlidingWindow(sender, 100, 60.0)
        window.pause(10)
        await asyncio.gather(*(through(window, n) for n in range(40)))

    run_virtual(main())

    assert [*range(40)] == sender.went


def test_closing_sends_all_off() -> None:
    """Tasks that wait for a place, a pause or a poll raise at once."""
    sender = Sender([(0.0, 0.0)])

    async def main() -> tuple[list[Any], float]:
        """Let everybody wait, and close."""
        loop = asyncio.get_running_loop()
        window, began = SlidingWindow(sender, 1, 60.0), loop.time()
        await through(window, 0)
        works = [*(through(window, n) for n in range(1, 4)), window.sleep(9.0)]
        tasks = [asyncio.create_task(work) for work in works]
        await asyncio.sleep(1)
        window.close()
        return await asyncio.gather(*tasks, return_exceptions=True), loop.time() - began

    ends, took = run_virtual(main())

    assert [RuntimeError] * 4 == [type(end) for end in ends]
    assert [0] == sender.went
    assert 1 == pytest.approx(took)


@virtual_time
async def test_an_admin_keeps_the_rate(server: Scripted) -> None:
    """The API takes 100 requests in 60 seconds; of 101 the last one waits."""
    server.script("POST", ok({"status": "active"}))
    loop = asyncio.get_running_loop()
    async with admin_for(server) as admin:
        began = loop.time()
        await asyncio.gather(*(admin.subscription.get_status() for _ in range(100)))
        early = loop.time() - began
        await admin.subscription.get_status()
        late = loop.time() - began

    assert early < 60 <= late < 70


# Life cycle


async def test_an_admin_is_entered_once(server: Scripted) -> None:
    """Before, afterwards and twice are mistakes that say what to do."""
    admin = admin_for(server)
    assert "not entered" in repr(admin)
    with pytest.raises(RuntimeError, match="async with Admin"):
        await admin.subscription.get_status()
    async with admin:
        with pytest.raises(RuntimeError, match="make another one"):
            await admin.__aenter__()
    assert "closed" in repr(admin)
    with pytest.raises(RuntimeError, match="async with Admin"):
        await admin.changelog()
    with pytest.raises(RuntimeError, match="async with Admin"):
        await admin.__aexit__(None, None, None)


async def test_an_admin_is_opened_and_closed(server: Scripted) -> None:
    """Without a block around it, it is opened once, and closed as often as one likes."""
    admin = await admin_for(server).open()
    assert "open" in repr(admin)
    await admin.aclose()
    await admin.aclose()
    assert "closed" in repr(admin)


async def test_an_admin_has_one_loop(admin: Admin) -> None:
    """A call in another event loop is an error."""

    def elsewhere() -> None:
        """Use it in another loop."""
        asyncio.run(admin.subscription.get_status())

    with pytest.raises(RuntimeError, match="another event loop"):
        await asyncio.to_thread(elsewhere)


@virtual_time
async def test_leaving_ends_waits(server: Scripted) -> None:
    """Who waits for a person when the `Admin` is left hears of it at once."""
    server.script("POST", accounts(), session_is("pending"))
    async with admin_for(server, polling=Polling.fixed(50)) as admin:
        wait = asyncio.create_task(admin.accounts.wait_connected("s1"))
        await asyncio.sleep(70)

    with pytest.raises(RuntimeError, match="was left"):
        await wait


async def test_a_session_of_the_users_stays_open(server: Scripted) -> None:
    """What was lent is given back as it was."""
    server.script("POST", ok({"status": "active"}))
    async with aiohttp.ClientSession() as own:
        async with admin_for(server, http=own) as admin:
            await admin.subscription.get_status()

        assert not own.closed


async def test_redirects_are_not_followed(server: Scripted, admin: Admin) -> None:
    """A redirect would carry the token elsewhere."""
    server.script("POST", raw("", status=307, Location="https://elsewhere.test/"))

    with pytest.raises(ProtocolError, match="redirect"):
        await admin.webhook.send_test()

    assert 1 == len(server.seen)


async def test_answers_have_a_limit(server: Scripted) -> None:
    """A larger answer than allowed is not read."""
    server.script("POST", ok({"status": "x" * 2000}))
    async with admin_for(server, max_response_bytes=1000) as admin:
        with pytest.raises(ProtocolError, match="larger than max_response_bytes=1000"):
            await admin.subscription.get_status()


@pytest.mark.parametrize(
    ("settings", "expected", "message"),
    [
        ({"linked_api_token": "a b"}, ValueError, "linked_api_token"),
        ({"linked_api_token": None}, TypeError, "linked_api_token"),
        ({"base_url": "http://api.example"}, ValueError, "unencrypted"),
        ({"changelog_url": "ftp://x"}, ValueError, "base_url"),
        ({"per_minute": 0}, ValueError, "at least 1"),
        ({"per_minute": 1.5}, TypeError, "an integer"),
        ({"per_minute": True}, TypeError, "an integer"),
    ],
)
def test_wrong_settings(settings: Any, expected: type[Exception], message: str) -> None:
    """Settings that cannot work are refused when they are given."""
    with pytest.raises(expected, match=message):
        Admin(**{"linked_api_token": TOKEN, **settings})


def test_from_env(monkeypatch: pytest.MonkeyPatch) -> None:
    """The token and the address come from the environment; settings go before it."""
    monkeypatch.setenv("ACCOUNT_API_TOKEN", "of the older API")
    monkeypatch.setenv("LINKED_API_TOKEN", TOKEN)
    monkeypatch.setenv("LINKED_API_BASE_URL", "http://127.0.0.1:1")

    assert "http://127.0.0.1:1" == Admin.from_env().base_url
    assert "https://x.test" == Admin.from_env(base_url="https://x.test").base_url
    assert TOKEN == Admin.from_env()._host.requests.token.reveal()


@pytest.mark.parametrize(
    ("value", "message"), [("", "set LINKED_API_TOKEN"), ("a\n", "LINKED_API_TOKEN")]
)
def test_from_a_wrong_env(
    value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors name the variable and do not show what it holds."""
    monkeypatch.delenv("LINKED_API_BASE_URL", raising=False)
    monkeypatch.setenv("LINKED_API_TOKEN", value)

    with pytest.raises(ValueError, match=message):
        Admin.from_env()


# Waiting for a person


async def connecting(
    server: Scripted, admin: Admin, *answers: Any, **facts: Any
) -> Any:
    """Create a session among one account, and wait with these answers."""
    server.script("POST", accounts(record("a1")), ok(OPENED), *answers)
    session = await admin.accounts.create_connection_session()
    return await session.wait(**facts)


async def test_a_new_account(server: Scripted, admin: Admin) -> None:
    """The account that was not there before is the one that was connected."""
    account = await connecting(
        server,
        admin,
        *(
            session_is("pending"),
            session_is("streaming"),
            session_is("from the future"),
        ),
        *(session_is(5), session_is("success")),
        accounts(record("a1"), record("a2", identificationToken="id_2")),
    )

    assert ("a2", "id_2") == (account.id, account.identification_token)


async def test_an_account_again(server: Scripted, admin: Admin) -> None:
    """One that was there is new too if it was connected at another time."""
    now = {"connectedAt": "2026-07-01T00:00:00.000Z"}
    account = await connecting(
        server, admin, session_is("success"), accounts(record("a1", **now))
    )

    assert "a1" == account.id


async def test_a_session_goes_on_and_is_cancelled(
    server: Scripted, admin: Admin
) -> None:
    """A session tells how far it is, and can be cancelled."""
    server.script("POST", ok({**ACCOUNTS, **OPENED}), ok(OPENED), session_is("serving"))
    session = await admin.accounts.create_connection_session()

    assert "serving" == (await session.progress()).status

    server.script("POST", ok(None))
    await session.cancel()

    assert {"sessionId": "s1"} == server.seen[-1].body


@pytest.mark.parametrize("word", ["cancelled", "expired", "error"])
async def test_no_account(word: str, server: Scripted, admin: Admin) -> None:
    """A session that ends without an account says how."""
    with pytest.raises(NotConnectedError, match=word) as caught:
        await connecting(server, admin, session_is("preparing"), session_is(word))

    assert (word, "s1", ()) == (
        caught.value.status,
        caught.value.session_id,
        caught.value.candidates,
    )
    assert str(caught.value) == str(pickle.loads(pickle.dumps(caught.value)))


async def test_two_new_accounts(server: Scripted, admin: Admin) -> None:
    """Which of two is whose is not guessed: the other's token is not for this one."""
    with pytest.raises(NotConnectedError, match="2 accounts are new") as caught:
        await connecting(
            server,
            admin,
            session_is("success"),
            accounts(record("a1"), record("a2"), record("a3")),
        )

    assert ["a2", "a3"] == [account.id for account in caught.value.candidates]
    assert "success" == caught.value.status


async def test_the_account_is_late(server: Scripted, admin: Admin) -> None:
    """A session may succeed a little before its account is listed."""
    before, success = accounts(record("a1")), session_is("success")
    late = accounts(record("a1"), record("a2"))
    account = await connecting(server, admin, success, before, success, late)

    assert "a2" == account.id


async def test_the_account_never_comes(server: Scripted, admin: Admin) -> None:
    """After some questions a success without an account is an error."""
    answers = [session_is("success"), accounts(record("a1"))] * UNSEEN

    with pytest.raises(NotConnectedError, match="no account is new"):
        await connecting(server, admin, *answers)

    assert 2 + 2 * UNSEEN == len(server.seen)


async def test_an_account_is_connected_again(server: Scripted, admin: Admin) -> None:
    """A reconnection session is about an account that is known."""
    server.script("POST", ok(AGAIN), session_is("success"), accounts(record("a1")))

    session = await admin.accounts.create_reconnection_session("a1")
    account = await session.wait()

    assert "a1" == account.id
    assert ("s1", "https://app.test/s1") == (session.session_id, session.link)
    assert 3 == len(server.seen)


async def test_waiting_by_id(server: Scripted, admin: Admin) -> None:
    """With no more than the id, the accounts there are now are the known ones."""
    server.script(
        "POST",
        accounts(record("a1")),
        session_is("pending"),
        session_is("success"),
        accounts(record("a1"), record("a2")),
    )

    assert "a2" == (await admin.accounts.wait_connected("s1")).id


async def test_waiting_by_id_too_late(server: Scripted, admin: Admin) -> None:
    """If the person has finished by then, only a single account is certain."""
    one, two = accounts(record("a1")), accounts(record("a1"), record("a2"))
    server.script("POST", one, session_is("success"), one)

    assert "a1" == (await admin.accounts.wait_connected("s1")).id

    server.script("POST", two, session_is("success"), two)
    with pytest.raises(NotConnectedError) as caught:
        await admin.accounts.wait_connected("s1")

    assert 2 == len(caught.value.candidates)


async def test_waiting_on_elsewhere(server: Scripted, admin: Admin) -> None:
    """What a session knows can be stored as JSON, to wait on in another process."""
    server.script("POST", accounts(record("a1"), {"id": None}), ok(OPENED))
    session = await admin.accounts.create_connection_session()
    known = json.loads(json.dumps(session.known))
    server.script("POST", session_is("success"), accounts(record("a1"), record("a2")))

    account = await admin.accounts.wait_connected(session.session_id, known=known)

    assert "a2" == account.id


async def test_an_account_without_an_id(server: Scripted, admin: Admin) -> None:
    """An account that cannot be named is not taken for the new one."""
    account = await connecting(
        server,
        admin,
        session_is("success"),
        accounts({"name": "?"}, record("a1"), record("a2")),
    )

    assert "a2" == account.id


async def test_failures_do_not_end_the_wait(server: Scripted) -> None:
    """An outage is not an answer."""
    async with admin_for(server, retries=Retries(attempts=1)) as admin:
        account = await connecting(
            server,
            admin,
            *(dropped(), raw("oh", status=503), refused("tooManyRequests", status=429)),
            *(session_is("success"), raw("oh", status=503)),
            *(session_is("success"), accounts(record("a1"), record("a2"))),
        )

    assert "a2" == account.id


@pytest.mark.parametrize(
    ("type", "status", "expected"),
    [
        ("sessionNotFound", 404, RejectedError),
        ("invalidLinkedApiToken", 401, AuthenticationError),
    ],
)
async def test_definite_words_end_the_wait(
    type: str, status: int, expected: Any, server: Scripted, admin: Admin
) -> None:
    """What the API says for certain is raised at once."""
    with pytest.raises(expected):
        await connecting(server, admin, refused(type, status=status))


@virtual_time
async def test_the_time_is_up(server: Scripted) -> None:
    """The wait ends, the session goes on; the error is a TimeoutError too."""
    server.script("POST", accounts(), ok(OPENED), session_is("serving"))
    loop = asyncio.get_running_loop()
    async with admin_for(server, polling=Polling(jitter=0)) as admin:
        session = await admin.accounts.create_connection_session()
        began = loop.time()
        with pytest.raises(TimeoutError, match=r"within 20 s.*serving") as caught:
            await session.wait(timeout=20)
        took = loop.time() - began

    assert ConnectionPendingError is caught.type
    assert 20 == pytest.approx(took, abs=0.1)
    # At 0 s, and then after 3, 3.3, 3.63, 3.99 and 4.39 seconds more.
    assert 2 + 6 == len(server.seen)


async def test_asking_once(server: Scripted, admin: Admin) -> None:
    """A timeout of 0 asks exactly once, and takes an answer that is there."""
    with pytest.raises(ConnectionPendingError, match="pending"):
        await connecting(server, admin, session_is("pending"), timeout=0)

    assert 3 == len(server.seen)

    new = accounts(record("a1"), record("a2"))
    account = await connecting(server, admin, session_is("success"), new, timeout=0)

    assert "a2" == account.id


async def test_nothing_is_known_in_time(server: Scripted) -> None:
    """Where not a single question was answered, the error says so."""
    async with admin_for(server, retries=Retries(attempts=1)) as admin:
        with pytest.raises(ConnectionPendingError, match="is unknown") as caught:
            await connecting(server, admin, dropped(), timeout=0)

    assert caught.value.status is None


@virtual_time
async def test_the_wait_has_a_deadline(server: Scripted) -> None:
    """Without a timeout the policy's deadline counts."""
    server.script("POST", accounts(), ok(OPENED), session_is("pending"))
    polling = Polling(
        interval=600, max_interval=600, queued_interval=600, deadline=3600
    )
    async with admin_for(server, polling=polling) as admin:
        session = await admin.accounts.create_connection_session()
        with pytest.raises(ConnectionPendingError, match="3600 s"):
            await session.wait()


async def test_a_wait_can_be_cancelled(server: Scripted, admin: Admin) -> None:
    """The caller's cancellation is the caller's."""
    gate = asyncio.Event()
    server.script("POST", accounts(), ok(OPENED), held(gate, session_is("pending")))
    session = await admin.accounts.create_connection_session()
    wait = asyncio.create_task(session.wait())
    while len(server.seen) < 3:
        await asyncio.sleep(0)
    wait.cancel()
    with pytest.raises(asyncio.CancelledError):
        await wait
    gate.set()
