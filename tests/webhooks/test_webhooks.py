"""Webhooks: what is not signed is refused, what comes twice is told once."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import copy
import gc
import io
import json
import logging
import math
import pathlib
import pickle
import time
from collections.abc import AsyncIterator, Callable
from email.message import Message
from typing import Any

import aiohttp
import attrs
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from event_loops import VirtualLoop
from hypothesis import given, settings
from hypothesis import strategies as some
from linkedapi.webhooks import verify_webhook_signature
from multidict import CIMultiDict
from yarl import URL

from linkedapi_async import webhooks
from linkedapi_async._utils.secret import Secret
from linkedapi_async.errors import LinkedApiError, SignatureError, WebhookError
from linkedapi_async.webhooks import (
    AccountEvent,
    ConnectionEvent,
    Event,
    EventStream,
    MessageEvent,
    UnknownEvent,
    WebhookReceiver,
    WebhookTestEvent,
    WorkflowEvent,
    _signature,
    read_event,
    sign,
    verify,
)
from linkedapi_async.webhooks._events import CLASSES, STATUSES


pytestmark = pytest.mark.anyio

FACTS = json.loads(
    (pathlib.Path(__file__).parents[1] / "data" / "examples_webhooks.json").read_text(
        "utf-8"
    )
)
VECTORS = FACTS["vectors"]
EVENTS = {
    each["kind"]: each["response"] or json.loads(each["request"]["raw_body"])
    for each in FACTS["examples"]
    if each["kind"].startswith("event.")
}
SECRET = "a-secret"
NOW = 1_700_000_000.0
TIMESTAMP = _signature.TIMESTAMP_HEADER
SIGNATURE = _signature.SIGNATURE_HEADER


def body_of(
    event_id: str = "event-1", type: str = "webhook.test", **data: Any
) -> bytes:
    """Return the body of a delivery."""
    return json.dumps({"id": event_id, "type": type, "data": data}).encode()


def signed(body: bytes, secret: str = SECRET, now: float = NOW) -> dict[str, str]:
    """Return the headers of a delivery."""
    return sign(body, secret=secret, now=now)


def receiver_of(**settings: Any) -> WebhookReceiver:
    """Return a receiver whose clock stands still."""
    return WebhookReceiver(**{"secret": SECRET, "clock": lambda: NOW, **settings})


def deliver(receiver: WebhookReceiver, *args: Any, **data: Any) -> Event | None:
    """Let a signed delivery come."""
    body = body_of(*args, **data)
    return receiver.receive(signed(body), body)


def refused(work: Callable[[], object]) -> WebhookError:
    """Return the error that *work* raises."""
    with pytest.raises(WebhookError) as caught:
        work()
    return caught.value


def message_of(headers: dict[str, str]) -> Message:
    """Return headers as the standard library's server has them."""
    message = Message()
    for name, value in headers.items():
        message[name] = value
    return message


class TestReading:
    """Bodies become events, whatever they hold."""

    @pytest.mark.parametrize("row", FACTS["types"], ids=lambda row: row["type"])
    def test_every_documented_field_is_read(self, row: dict[str, Any]) -> None:
        """Each field that the API documents has an attribute, and only those have."""
        data = {name: f"the {name}" for name in row["data"]}
        body = {"id": "1", "type": row["type"], "createdAt": "then", "data": data}

        event = read_event(json.dumps(body).encode())

        shown = attrs.asdict(event)
        raw = shown.pop("raw")
        own = {k: v for k, v in shown.items() if k not in {"id", "type"}}
        assert body == raw
        assert own.pop("created_at") == "then"
        told = {f"the {name}" for name in data if name != "result"}
        assert told == {value for value in own.values() if value is not None}
        assert set(own) >= {"account_id"}
        assert type(event) is CLASSES[row["type"]]

    def test_every_documented_type_is_known(self) -> None:
        """The table of types is that of the API, and so are the statuses."""
        assert {row["type"] for row in FACTS["types"]} == set(CLASSES)
        said = {
            row["type"]: row["data"]["status"]
            for row in FACTS["types"]
            if "|" not in row["data"].get("status", "|")
        }
        assert said == STATUSES

    def test_workflow(self) -> None:
        """The documented example of a completed workflow is read."""
        event = read_event(json.dumps(EVENTS["event.workflow.completed.fat"]).encode())

        assert isinstance(event, WorkflowEvent)
        assert event.id == "workflow.completed:wf-64835e7c-..."
        assert event.workflow_id == "wf-64835e7c-..."
        assert event.account_id == "f9b4346a-..."
        assert event.created_at == "2026-06-25T12:00:00.000Z"
        assert event.status == "completed"
        assert event.result == {}
        assert event.completion is None

    def test_account(self) -> None:
        """An account event without a status has the one of its type."""
        event = read_event(json.dumps(EVENTS["event.account.frozen"]).encode())

        assert isinstance(event, AccountEvent)
        assert ("a1", "frozen") == (event.account_id, event.status)

    def test_message(self) -> None:
        """A message is read, with its inbox as its source."""
        event = read_event(json.dumps(EVENTS["event.inbox.messageReceived"]).encode())

        assert isinstance(event, MessageEvent)
        assert ("m1", "t1", "st", "them", "hello", "now") == (
            event.message_id,
            event.thread_id,
            event.source,
            event.sender,
            event.text,
            event.time,
        )

    def test_test(self) -> None:
        """The event of a test is read, without the fields it lacks."""
        event = read_event(json.dumps(EVENTS["event.webhook.test.signed"]).encode())

        assert isinstance(event, WebhookTestEvent)
        assert ("Hello", None, None) == (
            event.message,
            event.created_at,
            event.account_id,
        )

    def test_unknown_type(self) -> None:
        """An event of an unknown type keeps all that it has."""
        body = body_of("1", "post.commentReceived", accountId="a", text="hi")

        event = read_event(body)

        assert type(event) is UnknownEvent
        assert ("a", {"accountId": "a", "text": "hi"}) == (event.account_id, event.data)

    @pytest.mark.parametrize("workflow_id", [None, 5, "", ["wf-1"]])
    def test_without_what_names_its_object(self, workflow_id: object) -> None:
        """A workflow event that names no workflow is an unknown one, not half a one."""
        event = read_event(body_of("1", "workflow.started", workflowId=workflow_id))

        assert type(event) is UnknownEvent
        assert event.data["workflowId"] == workflow_id

    @pytest.mark.parametrize("data", [None, [], "text", 5])
    def test_no_data(self, data: object) -> None:
        """An event without an object of data has empty data."""
        body = json.dumps({"id": "1", "type": "network.connectionAdded", "data": data})

        event = read_event(body.encode())

        assert isinstance(event, ConnectionEvent)
        assert event.data == {}
        assert event.person_url is None

    @pytest.mark.parametrize(
        "body",
        [
            *(b"", b"{", b"[]", b"null", b"5", b"\xff\xfe", b"NaN", b"[" * 100_000),
            *(b"{}", b'{"id": 5, "type": "x"}', b'{"id": "1", "type": ""}'),
            b'{"id": "1", "type": null}',
        ],
    )
    def test_no_event(self, body: bytes) -> None:
        """What is no object with an id and a type is refused with the status 400."""
        assert refused(lambda: read_event(body)).status == 400

    def test_missing_is_named(self) -> None:
        """The error names what is missing."""
        error = refused(lambda: read_event(b'{"id": ""}'))

        assert str(error) == "the body is no event: it has no id and no type"

    def test_text_is_refused(self) -> None:
        """A decoded body is a slip of the caller's, and the error says why it matters."""
        text: Any = body_of().decode()

        with pytest.raises(TypeError, match="may differ from what was signed"):
            read_event(text)

    @given(some.data())
    @settings(max_examples=150)
    def test_fuzz(self, data: some.DataObject) -> None:
        """Whatever an event is mutated to, reading it fails clearly or not at all."""
        event = copy.deepcopy(data.draw(some.sampled_from([*EVENTS.values()])))
        holder = data.draw(some.sampled_from([event, event["data"]]))
        name = data.draw(some.sampled_from([*holder, "data", "accountId", "result"]))
        # The words that lead somewhere must come up more often than chance lets them.
        holder[name] = data.draw(JSON | some.sampled_from([*CLASSES]))
        body = json.dumps(event).encode()
        cut = data.draw(some.none() | some.integers(0, len(body)))

        with contextlib.suppress(WebhookError):
            read = read_event(body[:cut])
            assert json.dumps(read.raw) == json.dumps(event)
            hash(read)
            pickle.loads(pickle.dumps(read))
            receiver = WebhookReceiver(allow_unsigned=True)
            assert receiver.receive({}, body) == read
            assert receiver.receive({}, body) is None
            if isinstance(read, WorkflowEvent):
                assert read.completion is None or read.failure is None

    @given(some.binary(max_size=60))
    def test_fuzz_of_bytes(self, body: bytes) -> None:
        """Any bytes are an event or a clear error."""
        with contextlib.suppress(WebhookError):
            read_event(body)

    def test_events_are_values(self) -> None:
        """Events with the same facts are equal, however the JSON was spelt."""
        one, other = read_event(body_of()), read_event(body_of().replace(b" ", b""))

        assert one == other
        assert len({one, other}) == 1
        assert one == pickle.loads(pickle.dumps(one))


JSON = some.recursive(
    some.none()
    | some.booleans()
    | some.integers()
    | some.floats()
    | some.text()
    # Half of an emoji, as a text that was cut has it.
    | some.just("\ud83d"),
    lambda inner: (
        some.lists(inner, max_size=3)
        | some.dictionaries(some.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)

DONE = {"actionType": "st.retrieveSSI", "success": True}
FAILED = {"reason": "linkedinAccountSignedOut", "message": "…"}


class TestResult:
    """What a fat payload holds is shown as far as it is clear."""

    @staticmethod
    def event(result: Any, status: str = "completed") -> WorkflowEvent:
        """Return a completed workflow's event."""
        data = {"workflowId": "wf-1", "status": status, "result": result}
        event = read_event(body_of("1", "workflow.completed", **data))
        assert isinstance(event, WorkflowEvent)
        return event

    @pytest.mark.parametrize("completion", [DONE, [DONE], [DONE, DONE]])
    def test_either_shape(self, completion: Any) -> None:
        """A completion is found by itself or in an object."""
        assert completion == self.event(completion).completion
        assert completion == self.event({"completion": completion}).completion

    @pytest.mark.parametrize(
        "result", [None, {}, [], [DONE, 5], "x", 5, {"completion": {}}, {"x": DONE}]
    )
    def test_neither(self, result: Any) -> None:
        """Whatever else there is is no completion; the result keeps it."""
        event = self.event(result)

        assert event.completion is None
        assert event.failure is None
        assert result == event.result

    def test_ambiguous(self) -> None:
        """Where two things may be the completion, none is."""
        assert self.event({**DONE, "completion": DONE}).completion is None

    def test_failure(self) -> None:
        """A failed workflow has a failure in either shape, and no completion."""
        for result in (FAILED, {"failure": FAILED}):
            event = self.event(result, "failed")

            assert FAILED == event.failure
            assert event.completion is None

    def test_status_decides(self) -> None:
        """What does not go with the status is not shown as if it did."""
        assert self.event(DONE, "failed").completion is None
        assert self.event(FAILED, "completed").failure is None


class TestSignature:
    """Only those who know the secret can make events."""

    @pytest.mark.parametrize("vector", VECTORS, ids=["ascii", "unicode"])
    def test_published_vectors(self, vector: dict[str, str]) -> None:
        """The published examples fit, and are what we would sign."""
        body = vector["body"].encode()
        headers = {TIMESTAMP: vector["timestamp"], SIGNATURE: vector["signature"]}

        verify(headers, body, secrets=vector["secret"], now=NOW)

        assert headers == sign(body, secret=vector["secret"], now=NOW)

    @pytest.mark.parametrize(
        "shape",
        [
            lambda h: h,
            lambda h: {name.upper(): value for name, value in h.items()},
            lambda h: list(h.items()),
            lambda h: iter(h.items()),
            lambda h: [(n.title().encode(), v.encode()) for n, v in h.items()],
            CIMultiDict,
            message_of,
            lambda h: {**h, 5: 5, b"\xff": None},
        ],
    )
    def test_headers_of_any_framework(self, shape: Callable[[Any], Any]) -> None:
        """Headers are taken in any case, as mapping or pairs, as text or bytes."""
        verify(shape(signed(b"x")), b"x", secrets=SECRET, now=NOW)

    @pytest.mark.parametrize("headers", [5, None, [5], ["abc"], [("a", "b", "c")]])
    def test_no_headers(self, headers: Any) -> None:
        """What cannot be headers is a slip of the caller's."""
        with pytest.raises(TypeError, match="pairs of name and value"):
            verify(headers, b"x", secrets=SECRET, now=NOW)

    @pytest.mark.parametrize("body", [bytearray(b"x"), memoryview(b"x")])
    def test_bytes_of_any_kind(self, body: Any) -> None:
        """Bytes are taken in whatever they come."""
        verify(signed(b"x"), body, secrets=SECRET, now=NOW)

    @given(
        body=some.binary(min_size=1, max_size=40),
        secret=some.text("abcdef0123456789é", min_size=1, max_size=20),
        data=some.data(),
    )
    def test_any_changed_byte_is_refused(
        self, body: bytes, secret: str, data: some.DataObject
    ) -> None:
        """A change of one byte of body, time, signature or secret is refused."""
        headers = signed(body, secret)
        verify(headers, body, secrets=secret, now=NOW)
        what = data.draw(some.sampled_from(["body", "secret", TIMESTAMP, SIGNATURE]))
        text = {
            "body": body,
            "secret": secret.encode("latin-1"),
            **{name: value.encode() for name, value in headers.items()},
        }[what]
        where = data.draw(some.integers(0, len(text) - 1))
        new = data.draw(some.integers(0x21, 0x7E).filter(lambda b: b != text[where]))
        changed = text[:where] + bytes([new]) + text[where + 1 :]
        if what == "body":
            body = changed
        elif what == "secret":
            secret = changed.decode("latin-1")
        else:
            headers[what] = changed.decode()

        error = refused(lambda: verify(headers, body, secrets=secret, now=NOW))

        assert isinstance(error, SignatureError)
        assert error.status == 401

    @given(now=some.floats(NOW - 700, NOW + 700), tolerance=some.floats(0, 600))
    def test_tolerance(self, now: float, tolerance: float) -> None:
        """A signature counts as long as its time is within the tolerance, either way."""
        headers = signed(b"x")
        with contextlib.ExitStack() as stack:
            if abs(now - NOW) > tolerance:
                stack.enter_context(pytest.raises(SignatureError, match="s old"))
            verify(headers, b"x", secrets=SECRET, now=now, tolerance=tolerance)

    def test_edges_of_tolerance(self) -> None:
        """The very edge is allowed, on both sides; what is no number is not."""
        headers = signed(b"x")
        for now in (NOW - 300, NOW + 300):
            verify(headers, b"x", secrets=SECRET, now=now)
        for now in (NOW - 300.01, NOW + 300.01, math.nan, math.inf):
            with pytest.raises(SignatureError):
                verify(headers, b"x", secrets=SECRET, now=now)

    def test_the_clock_is_asked(self) -> None:
        """Without a time to check it for, a signature must be of now."""
        verify(sign(b"x", secret=SECRET), b"x", secrets=SECRET)
        with pytest.raises(SignatureError):
            verify(signed(b"x"), b"x", secrets=SECRET)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *((SIGNATURE, v) for v in (None, "", "0" * 63, "0" * 65, ["0" * 64])),
            *((TIMESTAMP, v) for v in (None, "", "-5", "17e8", "1.7", "٣", "9" * 21)),
            *((TIMESTAMP, v) for v in ("1700000000\n", " 1700000000", 1700000000)),
        ],
    )
    def test_malformed_headers(self, name: str, value: Any) -> None:
        """A header that is is malformed is refused, and so is one that lacks."""
        headers: dict[str, Any] = {**signed(b"x"), name: value}
        if value is None:
            del headers[name]
        message = "is signing on" if value is None else "is malformed"

        with pytest.raises(SignatureError, match=message):
            verify(headers, b"x", secrets=SECRET, now=NOW)

    def test_upper_case_is_refused(self) -> None:
        """The signature is lower-case hex and nothing else."""
        headers = signed(b"x")
        headers[SIGNATURE] = headers[SIGNATURE].upper()

        with pytest.raises(SignatureError, match="is malformed"):
            verify(headers, b"x", secrets=SECRET, now=NOW)

    @pytest.mark.parametrize("name", [SIGNATURE, TIMESTAMP])
    def test_two_of_a_kind(self, name: str) -> None:
        """A header that was sent twice is refused: which of them was meant?"""
        headers = signed(b"x")
        twice = [*headers.items(), (name.title(), headers[name])]

        with pytest.raises(SignatureError, match="is malformed"):
            verify(twice, b"x", secrets=SECRET, now=NOW)

    def test_rotation(self) -> None:
        """While the secret is rotated, both are good; a third is not."""
        for secret in ("new", "old"):
            verify(signed(b"x", secret), b"x", secrets=("new", "old"), now=NOW)
        with pytest.raises(SignatureError, match="any of 2 secrets"):
            verify(signed(b"x", "other"), b"x", secrets=("new", "old"), now=NOW)

    @pytest.mark.parametrize(
        "secrets",
        [(), "", ("good", ""), " x", "x\n", ("x", "\ud800"), "a\x00b"],
    )
    def test_useless_secrets(self, secrets: Any) -> None:
        """A secret that cannot be right is refused, and not shown."""
        with pytest.raises(ValueError, match="secret") as caught:
            verify({}, b"x", secrets=secrets)

        assert not isinstance(caught.value, WebhookError)
        assert "good" not in repr(caught.value)

    @pytest.mark.parametrize("tolerance", [-1, math.inf, math.nan])
    def test_useless_tolerance(self, tolerance: float) -> None:
        """A tolerance that would let everything or nothing through is refused."""
        with pytest.raises(ValueError, match="tolerance must be at least 0 seconds"):
            verify({}, b"x", secrets=SECRET, tolerance=tolerance)

    @given(
        body=some.binary(max_size=30),
        secret=some.text("ab€", min_size=1, max_size=5),
        other=some.text("ab€", min_size=1, max_size=5),
        timestamp=some.sampled_from(
            ["1700000000", "01700000000", "", "x", "170000000"]
        ),
        signature=some.none() | some.text("0aAg", max_size=66),
        shift=some.integers(-400, 400),
    )
    @settings(max_examples=200)
    def test_official_sdk(
        self,
        *,
        body: bytes,
        secret: str,
        other: str,
        timestamp: str,
        signature: str | None,
        shift: int,
    ) -> None:
        """The official SDK comes to the same verdict on every delivery."""
        if signature is None:
            signature = _signature._code(Secret(secret.encode()), timestamp, body)
        headers = {TIMESTAMP: timestamp, SIGNATURE: signature}
        now = NOW + shift
        theirs = verify_webhook_signature(
            raw_body=body,
            timestamp=timestamp,
            signature=signature,
            secret=other,
            now_seconds=now,
        )

        try:
            verify(headers, body, secrets=other, now=now)
            ours = True
        except SignatureError:
            ours = False

        assert theirs == ours


class TestReceiver:
    """A receiver takes each event once and lets nothing harm it."""

    def test_an_event_once(self) -> None:
        """An event that comes again is a duplicate, whatever else came between."""
        receiver = receiver_of()

        got = [deliver(receiver, each) for each in ("a", "b", "a", "b", "c", "a")]

        assert ["a", "b", None, None, "c", None] == [each and each.id for each in got]
        assert (3, 3, 0) == (receiver.received, receiver.duplicates, receiver.refused)
        assert NOW == receiver.last_event_at

    def test_an_event_is_forgotten(self) -> None:
        """The id that came longest ago leaves when there are more than allowed."""
        receiver = receiver_of(remembered=2)

        got = [deliver(receiver, each) for each in ("a", "b", "a", "c", "a", "b")]

        assert ["a", "b", None, "c", None, "b"] == [each and each.id for each in got]

    @given(
        ids=some.lists(some.sampled_from("abcdef"), max_size=30),
        remembered=some.integers(1, 6),
    )
    def test_bounded_memory(self, ids: list[str], remembered: int) -> None:
        """The ids that came last are known, and no more than allowed."""
        receiver = receiver_of(remembered=remembered)
        known: list[str] = []
        for each in ids:
            event = deliver(receiver, each)

            assert (event is None) == (each in known)
            known = [*(k for k in known if k != each), each][-remembered:]
            assert len(receiver._seen) == len(known)

    def test_threads(self) -> None:
        """However many threads bring the same events, each is told once."""
        receiver = receiver_of()
        calls: list[str] = []

        def slow(event: Event) -> None:
            time.sleep(0.001)
            calls.append(event.id)

        receiver.subscribe(slow)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            got = list(pool.map(lambda n: deliver(receiver, str(n % 10)), range(80)))

        assert {str(n) for n in range(10)} == set(calls)
        assert 10 == len(calls) == receiver.received
        assert 70 == got.count(None) == receiver.duplicates

    def test_long_ids_take_no_room(self) -> None:
        """An id of a megabyte is remembered in a few bytes."""
        receiver = receiver_of()

        deliver(receiver, "x" * 1_000_000)

        assert all(len(key) == 16 for key in receiver._seen)
        assert deliver(receiver, "x" * 1_000_000) is None
        assert deliver(receiver, "x" * 999_999) is not None

    def test_half_of_an_emoji(self) -> None:
        """An id that is no proper text is remembered like any other."""
        receiver = receiver_of()

        assert deliver(receiver, "\ud83d") is not None
        assert deliver(receiver, "\ud83d") is None
        assert deliver(receiver, "\ud83e") is not None

    def test_size_comes_first(self) -> None:
        """A body that is too large is not even checked; the largest one is taken."""
        body = body_of()
        receiver = receiver_of(max_body_bytes=len(body))
        larger = body + b" "

        assert receiver.receive(signed(body), body) is not None
        error = refused(lambda: receiver.receive({}, larger))

        assert error.status == 413
        assert str(error) == f"the body must be at most {len(body)} bytes"

    def test_refused(self) -> None:
        """What is refused is counted, and changes nothing else."""
        receiver = receiver_of()
        calls: list[Event] = []
        receiver.subscribe(calls.append)

        statuses = [
            refused(lambda: receiver.receive({}, body_of())).status,
            refused(lambda: receiver.receive(signed(b"x"), body_of())).status,
            refused(lambda: receiver.receive(signed(b"{}"), b"{}")).status,
        ]

        assert [401, 401, 400] == statuses
        assert (0, 3, None) == (
            receiver.received,
            receiver.refused,
            receiver.last_event_at,
        )
        assert [] == calls
        assert deliver(receiver) is not None

    def test_refusals_are_logged_seldom(self, caplog: pytest.LogCaptureFixture) -> None:
        """A flood of bad deliveries makes one warning a minute, and none has a secret."""
        now = [NOW]
        receiver = receiver_of(clock=lambda: now[0])
        for _ in range(180):
            now[0] += 1
            with contextlib.suppress(WebhookError):
                receiver.receive({SIGNATURE: "0" * 64, TIMESTAMP: "5"}, b"{}")

        messages = [record.getMessage() for record in caplog.records]
        assert len(messages) == 3
        assert messages[1].startswith(
            "refused a delivery: the signature is 1700000056 s"
        )
        assert messages[1].endswith("(61 in all)")

    def test_secrets_stay_inside(self, caplog: pytest.LogCaptureFixture) -> None:
        """Neither words nor errors nor logs of a receiver have its secret."""
        receiver = receiver_of(secret="hush-hush", secrets=["old-hush"])
        caplog.set_level(logging.DEBUG)
        body = body_of()

        error = refused(lambda: receiver.receive(signed(body, "other"), body))

        assert "hush" not in repr(receiver) + str(error) + repr(error) + caplog.text
        assert repr(receiver) == "<WebhookReceiver 0 received, 0 duplicates, 1 refused>"

    def test_rotation(self) -> None:
        """Secrets can be exchanged while deliveries come in."""
        receiver = receiver_of(secret="one")
        bodies = {name: body_of(name) for name in ("one", "two")}
        good = []
        for secrets in (("one",), ("two", "one"), ("two",)):
            receiver.set_secrets(*secrets)
            for name, body in bodies.items():
                with contextlib.suppress(SignatureError):
                    receiver.receive(signed(body, name), body)
                    good.append((secrets, name))

        assert [
            (("one",), "one"),
            (("two", "one"), "one"),
            (("two", "one"), "two"),
            (("two",), "two"),
        ] == good

    def test_secrets_as_one_text(self) -> None:
        """A text is one secret, not one for each letter."""
        body = body_of()
        receiver = WebhookReceiver(secrets="abc", clock=lambda: NOW)

        assert receiver.receive(signed(body, "abc"), body) is not None
        with pytest.raises(SignatureError):
            receiver.receive(signed(body, "a"), body)

    def test_unsigned(self) -> None:
        """Unsigned events are accepted only with *allow_unsigned*."""
        body = body_of()

        event = WebhookReceiver(allow_unsigned=True).receive({}, body)

        assert event == read_event(body)
        with pytest.raises(ValueError, match="allow_unsigned=True if"):
            WebhookReceiver()
        with pytest.raises(ValueError, match="with a secret, signatures are checked"):
            WebhookReceiver("x", allow_unsigned=True)

    @pytest.mark.parametrize(
        "name", ["max_body_bytes", "body_timeout", "max_open", "remembered"]
    )
    @pytest.mark.parametrize("number", [0, -1, math.nan])
    def test_useless_numbers(self, name: str, number: Any) -> None:
        """A bound that lets nothing through is refused."""
        with pytest.raises(ValueError, match=f"{name} must be more than 0"):
            receiver_of(**{name: number})

    def test_useless_settings(self) -> None:
        """The settings of signatures are checked where they are given."""
        with pytest.raises(ValueError, match="tolerance"):
            receiver_of(tolerance=-1)
        with pytest.raises(ValueError, match="control characters"):
            receiver_of(secret="a\x00b")
        with pytest.raises(TypeError, match="a secret must be a string, got int"):
            receiver_of(secret=5)
        with pytest.raises(ValueError, match="space around"):
            receiver_of().set_secrets("new", " old")

    def test_text_is_refused(self) -> None:
        """A decoded body is a slip of the caller's, not a bad delivery."""
        receiver = receiver_of()
        text: Any = "{}"

        with pytest.raises(TypeError, match="body must be the bytes as received"):
            receiver.receive({}, text)
        assert receiver.refused == 0


class TestSubscribers:
    """Callbacks hear of every new event, in order."""

    def test_order(self) -> None:
        """Each callback gets each new event, in the order in which they come."""
        receiver = receiver_of()
        calls: list[tuple[int, str]] = []
        receiver.subscribe(lambda event: calls.append((1, event.id)))
        stop = receiver.subscribe(lambda event: calls.append((2, event.id)))

        for each in ("a", "a", "b"):
            deliver(receiver, each)
        stop()
        stop()
        deliver(receiver, "c")

        assert [(1, "a"), (2, "a"), (1, "b"), (2, "b"), (1, "c")] == calls

    def test_the_same_callback_twice(self) -> None:
        """Two subscriptions are two, also of the same callback."""
        receiver = receiver_of()
        calls: list[Event] = []
        stop = receiver.subscribe(calls.append)
        receiver.subscribe(calls.append)

        deliver(receiver, "a")
        stop()
        deliver(receiver, "b")

        assert ["a", "a", "b"] == [event.id for event in calls]

    def test_errors_stay_where_they_are(self, caplog: pytest.LogCaptureFixture) -> None:
        """A callback that raises is logged with its stack and delays no other."""
        receiver = receiver_of()
        calls: list[Event] = []
        receiver.subscribe(lambda event: 1 / 0)
        receiver.subscribe(calls.append)

        event = deliver(receiver, "a", text="private")

        assert [event] == calls
        assert deliver(receiver, "a") is None
        (record,) = caplog.records
        assert record.getMessage() == "a callback failed at 'webhook.test' ('a')"
        assert record.exc_info is not None
        assert record.exc_info[0] is ZeroDivisionError
        assert "private" not in caplog.text

    def test_an_interruption_loses_nothing(self) -> None:
        """An event whose callbacks were interrupted comes again with the next attempt."""
        receiver = receiver_of()
        calls: list[str] = []

        def interrupted(event: Event) -> None:
            calls.append(event.id)
            if len(calls) == 1:
                raise KeyboardInterrupt

        receiver.subscribe(interrupted)

        with pytest.raises(KeyboardInterrupt):
            deliver(receiver, "a")
        assert receiver.received == 0
        assert deliver(receiver, "a") is not None
        assert ["a", "a"] == calls

    def test_unsubscribing_inside(self) -> None:
        """A callback may end its own subscription."""
        receiver = receiver_of()
        calls: list[str] = []

        def once(event: Event) -> None:
            calls.append(event.id)
            stop()

        stop = receiver.subscribe(once)

        deliver(receiver, "a")
        deliver(receiver, "b")

        assert ["a"] == calls

    def test_coroutines(self) -> None:
        """A coroutine function would never run, so it is refused at once."""

        async def late(event: Event) -> None:
            """Do nothing."""

        with pytest.raises(TypeError, match=r"coroutines read events\(\)"):
            receiver_of().subscribe(late)


async def taken(stream: EventStream, count: int) -> list[str]:
    """Return the ids of the next events."""
    return [(await anext(stream)).id for _ in range(count)]


class TestStreams:
    """Events can be read one after the other."""

    async def test_order(self) -> None:
        """A stream yields what comes from when it was asked for, until it is closed."""
        receiver = receiver_of()
        deliver(receiver, "before")
        with receiver.events() as stream:
            for each in ("a", "b", "a"):
                deliver(receiver, each)
            reader = asyncio.ensure_future(taken(stream, 3))
            await asyncio.sleep(0)
            deliver(receiver, "c")

            assert ["a", "b", "c"] == await reader
            deliver(receiver, "d")
        deliver(receiver, "e")

        assert ["d"] == [event.id async for event in stream]
        assert [] == [event.id async for event in stream]
        stream.close()

    async def test_all_readers_hear_of_the_end(self) -> None:
        """A task that waits at a stream goes on when the stream is closed."""
        receiver = receiver_of()
        stream = receiver.events()
        readers = [asyncio.ensure_future(anext(stream, None)) for _ in range(3)]
        await asyncio.sleep(0)

        stream.close()

        assert [None, None, None] == await asyncio.gather(*readers)

    async def test_full(self, caplog: pytest.LogCaptureFixture) -> None:
        """What has no room is refused for now, comes again later, and is not lost."""
        receiver = receiver_of()
        calls: list[str] = []
        receiver.subscribe(lambda event: calls.append(event.id))
        stream, other = receiver.events(limit=2), receiver.events()
        deliver(receiver, "a")
        deliver(receiver, "b")

        error = refused(lambda: deliver(receiver, "c"))

        assert error.status == 503
        assert "a stream of events is full" in caplog.text
        assert deliver(receiver, "b") is None, "a duplicate needs no room"
        assert ["a", "b"] == calls
        assert ["a"] == await taken(stream, 1)
        assert deliver(receiver, "c") is not None
        assert ["b", "c"] == await taken(stream, 2)
        assert ["a", "b", "c"] == await taken(other, 3) == calls

    async def test_forgotten(self) -> None:
        """A stream without a reference blocks no delivery."""
        receiver = receiver_of()
        deliver(receiver, "a")
        stream = receiver.events(limit=1)
        deliver(receiver, "b")
        assert stream.full

        del stream
        gc.collect()

        assert deliver(receiver, "c") is not None

    async def test_closed(self) -> None:
        """A closed stream blocks no delivery either."""
        receiver = receiver_of()
        stream = receiver.events(limit=1)
        deliver(receiver, "a")

        stream.close()

        assert deliver(receiver, "b") is not None
        assert ["a"] == [event.id async for event in stream]

    def test_useless_limit(self) -> None:
        """A stream that holds no event is refused."""
        with pytest.raises(ValueError, match="limit must be at least 1, got 0"):
            receiver_of().events(limit=0)


@contextlib.asynccontextmanager
async def served(receiver: WebhookReceiver) -> AsyncIterator[str]:
    """Mount a receiver in an application and yield the URL of the webhook."""
    app = web.Application()
    app.router.add_post("/hook", receiver.handle)
    async with TestServer(app) as server:
        yield str(server.make_url("/hook"))


async def post(url: str, body: Any, headers: dict[str, str]) -> tuple[int, bytes]:
    """Return the status and the body of the answer to a delivery."""
    # aiohttp warns of a megabyte of plain bytes.
    data = io.BytesIO(body) if isinstance(body, bytes) else body
    async with (
        aiohttp.ClientSession() as http,
        http.post(url, data=data, headers=headers) as answer,
    ):
        return answer.status, await answer.read()


async def first_line(url: str, head: str) -> bytes:
    """Return the first line of the answer to a request that has no body yet."""
    address = URL(url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(head.encode())
    line = await asyncio.wait_for(reader.readline(), 30)
    writer.close()
    await writer.wait_closed()
    return line


class TestHandler:
    """The receiver answers deliveries over HTTP."""

    async def test_answers(self) -> None:
        """Good deliveries get 204, bad ones a status without words."""
        receiver = receiver_of(max_body_bytes=500)
        body = body_of()
        good = signed(body)
        async with served(receiver) as url:
            assert (204, b"") == await post(url, body, good)
            assert (204, b"") == await post(url, body, good)
            assert (401, b"") == await post(url, body, {})
            assert (400, b"") == await post(url, b"x", signed(b"x"))
            status, _ = await post(url, b"x" * 501, good)
            assert status == 413

        assert (1, 1, 3) == (receiver.received, receiver.duplicates, receiver.refused)

    async def test_large_bodies(self) -> None:
        """The application's limit of a megabyte does not count, our own does."""
        receiver = receiver_of(max_body_bytes=3_000_000)
        fat = body_of("fat", text="x" * 2_900_000)
        async with served(receiver) as url:
            assert await post(url, fat, signed(fat)) == (204, b"")

        assert receiver.received == 1

    async def test_read_before(self) -> None:
        """A middleware may have read the body before."""
        receiver = receiver_of()
        body = body_of()

        async def handle(request: web.Request) -> web.Response:
            """Read the body and then let the receiver have it."""
            assert await request.read() == body
            return await receiver.handle(request)

        app = web.Application()
        app.router.add_post("/hook", handle)
        async with TestServer(app) as server:
            url = str(server.make_url("/hook"))
            assert await post(url, body, signed(body)) == (204, b"")

    async def test_no_body(self) -> None:
        """A delivery without a body is refused like any other bad one."""
        async with served(receiver_of()) as url:
            assert await post(url, None, {}) == (401, b"")

    async def test_endless_body(self) -> None:
        """A body of unknown length is read no further than allowed."""
        receiver = receiver_of(max_body_bytes=100_000)
        sent = 0

        async def endless() -> AsyncIterator[bytes]:
            """Send and send."""
            nonlocal sent
            while True:
                sent += 10_000
                yield b"x" * 10_000

        async with served(receiver) as url:
            with contextlib.suppress(aiohttp.ClientError):
                status, _ = await post(url, endless(), signed(b"x"))
                assert status == 413

        assert receiver.refused == 1
        assert sent < 100_000_000

    async def test_announced_size(self) -> None:
        """A body that says it is too large is refused before any of it comes."""
        async with served(receiver_of(body_timeout=1000)) as url:
            address = URL(url)
            reader, writer = await asyncio.open_connection(address.host, address.port)
            writer.write(
                b"POST /hook HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n"
            )
            line = await asyncio.wait_for(reader.readline(), 30)
            writer.close()
            await writer.wait_closed()

        assert b" 413 " in line

    async def test_unsigned_headers(self) -> None:
        """What has no recent signature is refused before any of its body comes."""
        receiver = receiver_of()
        old = signed(body_of(), now=NOW - 1000)
        async with served(receiver) as url:
            for headers in ({}, {**signed(b""), SIGNATURE: "no"}, old):
                fields = {"Host": "x", "Content-Length": "50", **headers}
                lines = "".join(
                    f"{name}: {value}\r\n" for name, value in fields.items()
                )
                line = await first_line(url, f"POST /hook HTTP/1.1\r\n{lines}\r\n")

                assert b" 401 " in line

        assert 3 == receiver.refused

    async def test_many_open(self) -> None:
        """Beyond the requests that may be open, a delivery is refused until one ends."""
        receiver = receiver_of(max_open=2)
        body = body_of()
        begun, end = asyncio.Event(), asyncio.Event()
        opened = 0

        async def held() -> AsyncIterator[bytes]:
            """Send the first byte, and the others when the test says so."""
            nonlocal opened
            yield body[:1]
            opened += 1
            if opened == 2:
                begun.set()
            await end.wait()
            yield body[1:]

        async with served(receiver) as url, asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(post(url, held(), signed(body))) for _ in range(2)
            ]
            await begun.wait()
            async with asyncio.timeout(30):
                while await post(url, body, signed(body)) != (503, b""):
                    await asyncio.sleep(0)
            end.set()
            assert [(204, b"")] * 2 == [await task for task in tasks]
            assert (204, b"") == await post(url, body, signed(body))

    async def test_broken_encoding(self, caplog: pytest.LogCaptureFixture) -> None:
        """A body that is not the gzip it says is refused, without a traceback."""
        receiver = receiver_of()
        body = b"not gzip at all" * 20
        headers = {**signed(body), "Content-Encoding": "gzip"}
        async with served(receiver) as url:
            assert (400, b"") == await post(url, body, headers)
            assert (204, b"") == await post(url, body_of(), signed(body_of()))

        assert 1 == receiver.refused
        assert [] == [record for record in caplog.records if record.exc_info]

    @pytest.mark.parametrize("refused", ["broken", "too large", "unsigned"])
    async def test_next_delivery_over_the_same_client(self, refused: str) -> None:
        """A refused body is not read as the next delivery, which is answered."""
        body = body_of()
        bad: dict[str, dict[str, Any]] = {
            "broken": {
                "data": b"no gzip" * 20,
                "headers": {**signed(body), "Content-Encoding": "gzip"},
            },
            "too large": {"data": b"x" * 100_000, "headers": signed(body)},
            "unsigned": {"data": body},
        }
        async with (
            served(receiver_of(max_body_bytes=50_000)) as url,
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60)) as client,
        ):
            statuses = []
            for delivery in (bad[refused], {"data": body, "headers": signed(body)}):
                async with client.post(url, **delivery) as answer:
                    statuses.append(answer.status)

        assert 204 == statuses[1], statuses

    async def test_full_stream(self) -> None:
        """A delivery that has no room now is answered with 503."""
        receiver = receiver_of()
        stream = receiver.events(limit=1)
        body, other = body_of("a"), body_of("b")
        async with served(receiver) as url:
            assert (204, b"") == await post(url, body, signed(body))
            assert (503, b"") == await post(url, other, signed(other))

        assert ["a"] == await taken(stream, 1)

    @pytest.mark.parametrize(
        "anyio_backend", [("asyncio", {"loop_factory": VirtualLoop})]
    )
    async def test_slow_body(self) -> None:
        """A body that takes too long to come is given up."""
        receiver = receiver_of(body_timeout=5)

        async def slow() -> AsyncIterator[bytes]:
            """Send a byte every other second."""
            for _ in range(10):
                yield b"x"
                await asyncio.sleep(2)

        async with served(receiver) as url:
            with contextlib.suppress(aiohttp.ClientError):
                status, _ = await post(url, slow(), signed(b"x"))
                assert status == 408

        assert receiver.refused == 1

    async def test_broken_connection(self, caplog: pytest.LogCaptureFixture) -> None:
        """A sender that hangs up in the middle brings nothing and breaks nothing."""
        receiver = WebhookReceiver(allow_unsigned=True)
        body = body_of()
        async with served(receiver) as url:
            address = URL(url)
            _, writer = await asyncio.open_connection(address.host, address.port)
            writer.write(
                b"POST /hook HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nx"
            )
            await writer.drain()
            await asyncio.sleep(0.01)
            writer.close()
            await writer.wait_closed()
            await asyncio.sleep(0.01)

            assert (204, b"") == await post(url, body, signed(body))

        assert 1 == receiver.received
        assert [] == [r for r in caplog.records if r.levelno >= logging.ERROR]


class TestErrors:
    """The errors stand in the tree and travel well."""

    @pytest.mark.parametrize(
        "error", [WebhookError("no", status=413), SignatureError("no")]
    )
    def test_they_travel(self, error: WebhookError) -> None:
        """They pickle and copy with their status, and are the usual errors too."""
        for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
            assert (type(error), "no", error.status) == (
                type(twin),
                str(twin),
                twin.status,
            )
        assert isinstance(error, LinkedApiError)
        assert isinstance(error, ValueError)

    def test_all(self) -> None:
        """The names that the module offers are sorted and there."""
        assert sorted(webhooks.__all__) == webhooks.__all__
        assert all(hasattr(webhooks, name) for name in webhooks.__all__)
