"""The sandbox sends events like the API: signed, again if need be, and harmed on demand."""

from __future__ import annotations

import asyncio
import itertools
import json
import pathlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import attrs
import pytest
from aiohttp import web
from event_loops import VirtualLoop
from linkedapi.webhooks import parse_webhook_event, verify_webhook_signature

from linkedapi_async import st
from linkedapi_async.errors import AccountPausedError
from linkedapi_async.sandbox import Sandbox, _webhook_delivery
from linkedapi_async.sandbox._responses import ApiError
from linkedapi_async.sandbox._tokens import account_id, account_name
from linkedapi_async.sandbox._webhook import SELECTORS, FatResult, PayloadMode
from linkedapi_async.sandbox._webhook_delivery import iso
from linkedapi_async.webhooks import (
    Event,
    UnknownEvent,
    WebhookReceiver,
    WebhookTestEvent,
    WorkflowEvent,
)


pytestmark = pytest.mark.anyio

FACTS = json.loads(
    (pathlib.Path(__file__).parents[1] / "data" / "examples_webhooks.json").read_text(
        "utf-8"
    )
)
SSI = st.retrieve_ssi()
ACCOUNT = "sandbox-account"
ACCOUNT_ID = account_id(account_name(ACCOUNT))


SHAPES: list[tuple[PayloadMode, FatResult]] = [
    ("fat", "object"),
    ("fat", "completion"),
    ("thin", "object"),
]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Run with a clock that jumps, so that backoff and workflows take no time."""
    return "asyncio", {"loop_factory": VirtualLoop}


@attrs.define
class Endpoint:
    """Somewhere to send events to, and what came of it."""

    receiver: WebhookReceiver = attrs.field(
        factory=lambda: WebhookReceiver(allow_unsigned=True)
    )
    url: str = ""
    answers: list[int | float] = attrs.field(factory=list)
    """Statuses to answer with first; a float is a pause in seconds before 500."""
    requests: list[tuple[float, Mapping[str, str], bytes]] = attrs.field(factory=list)
    """When, with which headers and which body."""
    events: list[Event] = attrs.field(factory=list)
    """Those that were taken, each once."""

    async def handle(self, request: web.Request) -> web.Response:
        """Note a delivery and let the receiver answer it."""
        self.requests.append((now(), request.headers, await request.read()))
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, float):
                await asyncio.sleep(answer)
                answer = 500
            return web.Response(status=answer, headers={"Location": self.url})
        return await self.receiver.handle(request)

    @property
    def bodies(self) -> list[Any]:
        """The bodies that came, in JSON."""
        return [json.loads(body) for _, _, body in self.requests]

    @property
    def words(self) -> list[str]:
        """The types of the events that were taken."""
        return [event.type for event in self.events]

    def trust(self, *secrets: str) -> None:
        """Check signatures from now on."""
        self.receiver = WebhookReceiver(secrets=secrets, max_body_bytes=4_000_000)
        self.receiver.subscribe(self.events.append)


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    """An application with a webhook."""
    endpoint = Endpoint()
    endpoint.receiver.subscribe(endpoint.events.append)
    app = web.Application(client_max_size=0)
    app.router.add_post("/hook", endpoint.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    endpoint.url = "http://{}:{}/hook".format(*runner.addresses[0][:2])
    yield endpoint
    await runner.cleanup()


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A sandbox whose workflows take a minute."""
    async with Sandbox(duration=60) as sandbox:
        yield sandbox


def now() -> float:
    """Return the time of the loop in seconds."""
    return asyncio.get_running_loop().time()


async def pass_time(seconds: float) -> None:
    """Let some time pass, and what it brings arrive."""
    await asyncio.sleep(seconds)
    await asyncio.sleep(0.5)


async def start(sandbox: Sandbox, account: str = ACCOUNT, **settings: Any) -> str:
    """Start a workflow, without waiting for it."""
    async with sandbox.session(**settings) as session:
        handle = await session.account(account).start(SSI)
    return str(handle.workflow_id)


async def test_a_workflow(sandbox: Sandbox, endpoint: Endpoint) -> None:
    """Created, started, completed: each event is sent when it happens, and signed."""
    endpoint.trust(sandbox.send_webhooks_to(endpoint.url))
    async with sandbox.session() as session:
        began = now()
        first, second = await session.start(SSI), await session.start(SSI)
        await pass_time(0)
        assert ["created", "started", "created"] == [
            word.removeprefix("workflow.") for word in endpoint.words
        ]
        await pass_time(130)
        completions = [await first.completion(), await second.completion()]

    events = [event for event in endpoint.events if isinstance(event, WorkflowEvent)]
    ids = {first.workflow_id: 1, second.workflow_id: 2}
    assert [
        ("workflow.created", 1, "pending"),
        ("workflow.started", 1, "running"),
        ("workflow.created", 2, "pending"),
        ("workflow.completed", 1, "completed"),
        ("workflow.started", 2, "running"),
        ("workflow.completed", 2, "completed"),
    ] == [(event.type, ids[event.workflow_id], event.status) for event in events]
    assert [0, 0, 0, 60, 60, 120] == [
        pytest.approx(when - began, abs=1) for when, _, _ in endpoint.requests
    ]
    assert {ACCOUNT_ID} == {event.account_id for event in events}
    assert events[0].id == f"workflow.created:{first.workflow_id}"
    assert [None, None] == [events[0].result, events[1].result]
    done = [event.completion for event in events if event.result]
    assert [each.raw for each in completions] == done
    assert {"success"} == {delivery.status for delivery in sandbox.deliveries}


@pytest.mark.parametrize("anyio_backend", [("asyncio", {"debug": True})])
async def test_on_a_clock_that_does_not_jump(endpoint: Endpoint) -> None:
    """On a usual loop, too, events come when they happen, without any poll."""
    async with Sandbox(speed=1000, duration=100) as sandbox:
        endpoint.trust(sandbox.send_webhooks_to(endpoint.url))
        stream = endpoint.receiver.events()
        await start(sandbox)
        words = [(await anext(stream)).type.partition(".")[2] for _ in range(3)]

    assert ["created", "started", "completed"] == words
    assert 0 == sandbox.log.polls


async def test_official_sdk(sandbox: Sandbox, endpoint: Endpoint) -> None:
    """The official SDK accepts what is sent, and reads the same facts."""
    secret = sandbox.send_webhooks_to(endpoint.url)
    endpoint.trust(secret)
    await start(sandbox)
    for type in ("account.frozen", "webhook.test", "x.y"):
        sandbox.emit(type, account=ACCOUNT, message="Hello")
    sandbox.receive_message(ACCOUNT, "https://www.linkedin.com/in/jane-doe", "Hi!")
    sandbox.accept_connection(ACCOUNT, "https://www.linkedin.com/in/jane-doe")
    await pass_time(70)

    for (_, headers, body), event in zip(
        endpoint.requests, endpoint.events, strict=True
    ):
        assert verify_webhook_signature(
            raw_body=body,
            timestamp=headers["linked-api-signature-timestamp"],
            signature=headers["linked-api-signature"],
            secret=secret,
        )
        theirs = parse_webhook_event(body)
        assert (theirs.id, theirs.type) == (event.id, event.type)
        if not isinstance(event, UnknownEvent):
            assert event.account_id == ACCOUNT_ID or event.type == "webhook.test"
            found = attrs.asdict(event).values()
            data: Any = theirs.data
            for value in data.model_dump(exclude_none=True).values():
                assert value in found or value == getattr(event, "result", None)


async def test_failed_and_cancelled(sandbox: Sandbox, endpoint: Endpoint) -> None:
    """A failed workflow brings its failure; a cancelled one brings nothing more."""
    sandbox.send_webhooks_to(endpoint.url, signing=False)
    sandbox.fail_next("languageNotSupported", "No.")
    async with sandbox.session() as session:
        await session.start(SSI)
        waiting, running = await session.start(SSI), await session.start(SSI)
        assert await waiting.cancel()
        await pass_time(70)
        assert await running.cancel()
        await pass_time(100)

    events = [event for event in endpoint.events if isinstance(event, WorkflowEvent)]
    assert Counter(created=3, started=2, completed=1) == Counter(
        event.type.removeprefix("workflow.") for event in events
    )
    (failed,) = [event for event in events if event.type == "workflow.completed"]
    assert failed.status == "failed"
    assert {"reason": "languageNotSupported", "message": "No."} == failed.failure


async def test_result_shapes(sandbox: Sandbox, endpoint: Endpoint) -> None:
    """A fat result comes in either shape, a thin one not at all; both are understood."""
    async with sandbox.session() as session:
        for mode, fat in SHAPES:
            sandbox.send_webhooks_to(
                endpoint.url, signing=False, payload_mode=mode, fat=fat
            )
            await session.start(SSI)
            await pass_time(70)

    results = [b["data"] for b in endpoint.bodies if b["type"] == "workflow.completed"]
    assert ["completion"] == list(results[0]["result"])
    assert "st.retrieveSSI" == results[1]["result"]["actionType"]
    assert "result" not in results[2]
    read = [event for event in endpoint.events if event.type == "workflow.completed"]
    assert [True, True, False] == [bool(getattr(e, "completion", None)) for e in read]


async def test_only_the_current_generation(
    sandbox: Sandbox, endpoint: Endpoint
) -> None:
    """The older generation has no webhooks; its workflows take their turn all the same."""
    sandbox.send_webhooks_to(endpoint.url, signing=False)

    await start(sandbox, generation="account_api")
    current = await start(sandbox)
    await pass_time(130)

    assert ["created", "started", "completed"] == [
        word.removeprefix("workflow.") for word in endpoint.words
    ]
    assert {current} == {b["data"]["workflowId"] for b in endpoint.bodies}
    assert endpoint.requests[1][0] - endpoint.requests[0][0] == pytest.approx(60, abs=1)


async def test_a_webhook_that_comes_late(sandbox: Sandbox, endpoint: Endpoint) -> None:
    """Only what happens after the webhook is set is sent."""
    first = await start(sandbox)
    second = await start(sandbox)
    await asyncio.sleep(70)
    sandbox.send_webhooks_to(endpoint.url, signing=False)
    await pass_time(60)

    assert [(second, "workflow.completed")] == [
        (body["data"]["workflowId"], body["type"]) for body in endpoint.bodies
    ]
    assert first != second


async def test_without_a_webhook_nothing_wakes(sandbox: Sandbox) -> None:
    """Without a webhook there are no deliveries, no alarms and no tasks."""
    before = len(asyncio.all_tasks())
    await start(sandbox)
    sandbox.sign_out(ACCOUNT)
    sandbox.emit("account.frozen", account=ACCOUNT)
    await asyncio.sleep(100)
    sandbox.clear_faults()

    assert () == sandbox.deliveries
    assert not sandbox._webhook
    assert not sandbox._webhook.queue.timers.is_armed
    assert before == len(asyncio.all_tasks())


async def test_many_lanes_have_one_timer(sandbox: Sandbox, endpoint: Endpoint) -> None:
    """However many workflows run, the loop has one timer and no task for them."""
    sandbox.send_webhooks_to(endpoint.url, signing=False, events=["account.*"])
    before = len(asyncio.all_tasks())
    async with sandbox.session() as session:
        accounts = [session.account(f"account-{n}") for n in range(20)]
        for account in accounts:
            await account.start(SSI)
    await asyncio.sleep(1)

    assert before == len(asyncio.all_tasks())
    assert len(sandbox._webhook.queue.timers) == 20
    await pass_time(100)
    assert {"completed"} == {w.state for w in sandbox.workflows}
    assert not sandbox._webhook.queue.timers.is_armed


async def test_created_at(sandbox: Sandbox, endpoint: Endpoint) -> None:
    """Events tell when they happened, also if that was found out later."""
    sandbox.send_webhooks_to(endpoint.url, signing=False)
    before = time.time()
    sandbox.emit("account.active")
    sandbox._webhook.emit("x.y", {}, when=sandbox._clock.now() - 1000)
    await pass_time(0)

    found = [body["createdAt"] for body in endpoint.bodies]
    after = time.time() + 1
    assert len("2026-06-25T12:00:00.000Z") == len(found[0])
    assert iso(before - 1) <= found[0] <= iso(after)
    assert iso(before - 1001) <= found[1] <= iso(after - 1000)


class TestAccounts:
    """Accounts have events of their own."""

    async def test_signing_out_and_in(
        self, sandbox: Sandbox, endpoint: Endpoint
    ) -> None:
        """An account that is signed out or in again sends an event."""
        sandbox.send_webhooks_to(endpoint.url, signing=False)
        sandbox.sign_out(ACCOUNT)
        with pytest.raises(AccountPausedError):
            await start(sandbox)
        sandbox.clear_faults()
        sandbox.clear_faults()
        await start(sandbox)
        await pass_time(0)

        assert [
            ("account.reconnectionRequired", ACCOUNT_ID, "reconnection_required"),
            ("account.active", ACCOUNT_ID, "active"),
        ] == [
            (body["type"], body["data"]["accountId"], body["data"]["status"])
            for body in endpoint.bodies[:2]
        ]

    async def test_anything(self, sandbox: Sandbox, endpoint: Endpoint) -> None:
        """A test may send any event, also of an unknown type."""
        sandbox.send_webhooks_to(endpoint.url, signing=False)
        sandbox.emit("account.frozen", account="other")
        sandbox.emit("post.commentReceived", text="hi")
        await pass_time(0)

        other = account_id(account_name("other"))
        assert [{"accountId": other, "status": "frozen"}, {"text": "hi"}] == [
            body["data"] for body in sorted(endpoint.bodies, key=lambda b: b["type"])
        ]
        assert ACCOUNT_ID != other
        assert 2 == len({body["id"] for body in endpoint.bodies})

    async def test_inbox(self, sandbox: Sandbox, endpoint: Endpoint) -> None:
        """Changes of the inbox are sent, too."""
        endpoint.trust(sandbox.send_webhooks_to(endpoint.url))
        sandbox.receive_message(ACCOUNT, "https://www.linkedin.com/in/jane-doe", "Hi!")
        await pass_time(0)

        (event,) = endpoint.events
        assert ("inbox.messageReceived", ACCOUNT_ID) == (event.type, event.account_id)


class TestSelectors:
    """Only events that are wanted are sent."""

    @pytest.mark.parametrize(
        ("events", "wanted"),
        [
            (None, {"workflow.created", "account.active", "x.y"}),
            ([], set()),
            (["workflow.*"], {"workflow.created"}),
            (["account.active"], {"account.active"}),
            (["workflow.started", "account.*"], {"account.active"}),
        ],
    )
    async def test_selected(
        self,
        sandbox: Sandbox,
        endpoint: Endpoint,
        events: list[str] | None,
        wanted: set[str],
    ) -> None:
        """A type is sent if it or its group is selected; a test always is."""
        sandbox.send_webhooks_to(endpoint.url, signing=False, events=events)
        for type in ("workflow.created", "account.active", "x.y", "webhook.test"):
            sandbox.emit(type)
        await pass_time(0)

        assert {*wanted, "webhook.test"} == {body["type"] for body in endpoint.bodies}

    def test_documented(self) -> None:
        """The selectors are those that the API documents."""
        types = [each["type"] for each in FACTS["types"] if each["type"][:3] != "web"]
        groups = [each for each in FACTS["selectors"] if each.endswith(".*")]

        assert {*types, *groups} == set(SELECTORS)


class TestRetries:
    """What did not arrive is sent again, as the API does it."""

    async def test_backoff(self, sandbox: Sandbox, endpoint: Endpoint) -> None:
        """Failures are repeated with growing pauses, the same id and fresh signatures."""
        secret = sandbox.send_webhooks_to(endpoint.url)
        endpoint.trust(secret)
        endpoint.answers = [500, 404, 307, 300]
        sandbox.emit("account.active", account=ACCOUNT)
        await pass_time(200)

        times = [when for when, _, _ in endpoint.requests]
        assert [10, 20, 40, 80] == [
            pytest.approx(later - sooner, abs=0.5)
            for sooner, later in itertools.pairwise(times)
        ]
        assert 1 == len({body["id"] for body in endpoint.bodies})
        (delivery,) = sandbox.deliveries
        assert ("success", 5, 204, None) == (
            delivery.status,
            delivery.attempts,
            delivery.response_status,
            delivery.last_error,
        )
        assert ["account.active"] == endpoint.words

    async def test_at_most_eight(self, sandbox: Sandbox, endpoint: Endpoint) -> None:
        """After eight attempts a delivery has failed for good."""
        sandbox.send_webhooks_to(endpoint.url)
        endpoint.answers = [503] * 20
        sandbox.emit("account.active")
        await pass_time(0)
        (delivery,) = sandbox.deliveries
        assert ("pending", 1, "HTTP 503") == (
            delivery.status,
            delivery.attempts,
            delivery.last_error,
        )
        await pass_time(5000)

        assert 8 == len(endpoint.requests)
        assert ("failed", 8, 503, "HTTP 503") == (
            delivery.status,
            delivery.attempts,
            delivery.response_status,
            delivery.last_error,
        )

    async def test_timeouts(self, sandbox: Sandbox, endpoint: Endpoint) -> None:
        """An answer that takes too long is none, and the next in line does not wait."""
        sandbox.send_webhooks_to(endpoint.url, signing=False)
        endpoint.answers = [60.0]
        sandbox.emit("account.frozen", account=ACCOUNT)
        await asyncio.sleep(5)
        assert "delivering" == sandbox.deliveries[0].status
        sandbox.emit("account.active", account=ACCOUNT)
        sandbox.emit("account.deleted", account="other")
        await asyncio.sleep(1)
        assert ["account.deleted"] == endpoint.words, "another account"
        await asyncio.sleep(6)

        frozen, active, _ = sandbox.deliveries
        assert ("pending", None) == (frozen.status, frozen.response_status)
        assert "Timeout" in (frozen.last_error or "")
        assert active.status == "success"
        await pass_time(10)
        assert frozen.status == "success"

    async def test_nothing_listens(self, sandbox: Sandbox) -> None:
        """A refused connection is a failed attempt."""
        sandbox.send_webhooks_to("http://127.0.0.1:9/hook")
        sandbox.emit("account.active")
        await pass_time(0)

        (delivery,) = sandbox.deliveries
        assert ("pending", 1, "ClientConnectorError") == (
            delivery.status,
            delivery.attempts,
            delivery.last_error,
        )

    async def test_in_order(self, sandbox: Sandbox, endpoint: Endpoint) -> None:
        """The events of an account arrive in order as long as nothing fails."""
        sandbox.send_webhooks_to(endpoint.url, signing=False)
        for number in range(20):
            sandbox.emit("account.active", account=ACCOUNT, number=number)
        await pass_time(0)

        assert [*range(20)] == [body["data"]["number"] for body in endpoint.bodies]

    async def test_large(self, sandbox: Sandbox, endpoint: Endpoint) -> None:
        """A payload of megabytes arrives."""
        endpoint.trust(sandbox.send_webhooks_to(endpoint.url))
        sandbox.emit("webhook.test", message="x" * 3_000_000)
        await pass_time(0)

        (event,) = endpoint.events
        assert isinstance(event, WebhookTestEvent)

    async def test_speed(self, endpoint: Endpoint) -> None:
        """A faster sandbox repeats faster."""
        async with Sandbox(speed=100) as sandbox:
            sandbox.send_webhooks_to(endpoint.url, signing=False)
            endpoint.answers = [500]
            sandbox.emit("account.active")
            await asyncio.sleep(0.2)

        first, second = (when for when, _, _ in endpoint.requests)
        assert second - first == pytest.approx(0.1, abs=0.05)


class TestFaults:
    """Events are lost, doubled, late and in another order, on demand."""

    @staticmethod
    def send(sandbox: Sandbox, count: int) -> None:
        """Send events with numbers."""
        for number in range(count):
            sandbox._webhook.emit("x.y", {"number": number}, id=f"event-{number}")

    @staticmethod
    def numbers(endpoint: Endpoint) -> list[int]:
        """Return the numbers of the events that came, doubles included."""
        return [body["data"]["number"] for body in endpoint.bodies]

    async def test_loss(self, sandbox: Sandbox, endpoint: Endpoint) -> None:
        """What is lost never comes, and the account of it is exact."""
        sandbox.send_webhooks_to(endpoint.url, signing=False)
        rule = sandbox.webhook_faults(lose=0.3)
        self.send(sandbox, 100)
        await pass_time(100)

        lost = {int(e.event_id.removeprefix("event-")) for e in rule.hits}
        assert 15 < len(lost) < 45
        assert {*range(100)} - lost == set(self.numbers(endpoint))
        assert rule.counts == {"lost": len(lost)}
        failed = [d for d in sandbox.deliveries if d.status == "failed"]
        assert len(lost) == len(failed)
        assert {(0, "lost by an injected fault")} == {
            (d.attempts, d.last_error) for d in failed
        }

    async def test_duplicates(self, sandbox: Sandbox, endpoint: Endpoint) -> None:
        """What is doubled comes twice with one id, which a receiver takes once."""
        sandbox.send_webhooks_to(endpoint.url, signing=False)
        rule = sandbox.webhook_faults(duplicate=0.3)
        self.send(sandbox, 50)
        await pass_time(100)

        twice = [
            n for n, count in Counter(self.numbers(endpoint)).items() if count == 2
        ]
        assert {*range(50)} == set(self.numbers(endpoint))
        assert 5 < len(twice) == endpoint.receiver.duplicates
        assert {f"event-{n}" for n in twice} == {e.event_id for e in rule.hits}
        assert rule.counts == {"duplicated": len(twice)}
        assert 50 == len(endpoint.events)

    async def test_reordering(self, sandbox: Sandbox, endpoint: Endpoint) -> None:
        """What is reordered comes after a later event, and everything comes once."""
        sandbox.send_webhooks_to(endpoint.url, signing=False)
        rule = sandbox.webhook_faults(reorder=0.3)
        self.send(sandbox, 50)
        await pass_time(100)

        came = self.numbers(endpoint)
        assert [*range(50)] == sorted(came)
        overtaken = {n for i, n in enumerate(came) if any(m > n for m in came[:i])}
        late = {int(e.event_id.removeprefix("event-")) for e in rule.hits}
        assert 5 < len(late)
        assert late == overtaken
        assert rule.counts == {"reordered": len(late)}

    async def test_nothing_to_be_overtaken_by(
        self, sandbox: Sandbox, endpoint: Endpoint
    ) -> None:
        """An event that none follows comes after a minute, and was not reordered."""
        sandbox.send_webhooks_to(endpoint.url, signing=False)
        rule = sandbox.webhook_faults(reorder=1)
        again = sandbox.webhook_faults(reorder=1)
        self.send(sandbox, 1)
        await pass_time(50)
        assert [] == endpoint.requests
        await pass_time(20)

        assert [0] == self.numbers(endpoint)
        assert [] == rule.hits + again.hits

    async def test_held_and_overtaken(
        self, sandbox: Sandbox, endpoint: Endpoint
    ) -> None:
        """An event that was overtaken is not sent again when its minute is over."""
        sandbox.send_webhooks_to(endpoint.url, signing=False)
        rule = sandbox.webhook_faults(reorder=1)
        self.send(sandbox, 1)
        rule.withdraw()
        rule.withdraw()
        sandbox.emit("x.y", number=1)
        await pass_time(100)

        assert [1, 0] == self.numbers(endpoint)
        assert ["reordered"] == [each.fault for each in rule.hits]

    async def test_earlier_events_overtake_nothing(
        self, sandbox: Sandbox, endpoint: Endpoint
    ) -> None:
        """An event that is held back lets the ones before it pass, and waits on."""
        sandbox.send_webhooks_to(endpoint.url, signing=False)
        sandbox.emit("x.y", number=0)
        rule = sandbox.webhook_faults(reorder=1)
        sandbox.emit("x.y", number=1)
        rule.withdraw()
        await pass_time(0)
        assert [0] == self.numbers(endpoint)
        sandbox.emit("x.y", number=2)
        await pass_time(0)

        assert [0, 2, 1] == self.numbers(endpoint)
        assert rule.counts == {"reordered": 1}

    async def test_its_own_double_overtakes_nothing(
        self, sandbox: Sandbox, endpoint: Endpoint
    ) -> None:
        """An event is not in another order because its double was faster."""
        sandbox.send_webhooks_to(endpoint.url, signing=False)
        rule = sandbox.webhook_faults(reorder=1, duplicate=1)
        self.send(sandbox, 1)
        await pass_time(100)

        assert [0, 0] == self.numbers(endpoint)
        assert rule.counts == {"duplicated": 1}

    async def test_delay(self, sandbox: Sandbox, endpoint: Endpoint) -> None:
        """Delayed events take as long as was said."""
        sandbox.send_webhooks_to(endpoint.url, signing=False)
        rule = sandbox.webhook_faults(delay=(20, 40))
        sent = now()
        self.send(sandbox, 20)
        await pass_time(60)

        pauses = [when - sent for when, _, _ in endpoint.requests]
        assert 20 <= min(pauses) < 25
        assert 35 < max(pauses) <= 41
        assert rule.counts == {"delayed": 20}

    async def test_fixed_delay(self, endpoint: Endpoint) -> None:
        """A number is the delay of all of them, in the sandbox's own time."""
        async with Sandbox(speed=10) as sandbox:
            sandbox.send_webhooks_to(endpoint.url, signing=False)
            sandbox.webhook_faults(delay=50)
            sent = now()
            self.send(sandbox, 3)
            await pass_time(6)

        assert [5, 5, 5] == [
            pytest.approx(when - sent, abs=0.3) for when, _, _ in endpoint.requests
        ]

    async def test_dead_until_cleared(
        self, sandbox: Sandbox, endpoint: Endpoint
    ) -> None:
        """A dead webhook gets nothing; once the faults are cleared, it gets new events."""
        sandbox.send_webhooks_to(endpoint.url, signing=False)
        rule = sandbox.webhook_faults(dead=True)
        self.send(sandbox, 10)
        sandbox.clear_faults()
        self.send(sandbox, 2)
        await pass_time(0)

        assert rule.counts == {"lost": 10}
        assert [0, 1] == self.numbers(endpoint)

    async def test_clearing_sends_what_was_held(
        self, sandbox: Sandbox, endpoint: Endpoint
    ) -> None:
        """Held events are sent at once when the faults are cleared."""
        sandbox.send_webhooks_to(endpoint.url, signing=False)
        rule = sandbox.webhook_faults(reorder=1)
        self.send(sandbox, 3)
        sandbox.clear_faults()
        await pass_time(0)

        assert [0, 1, 2] == self.numbers(endpoint)
        assert [] == rule.hits

    async def test_seed(self, endpoint: Endpoint) -> None:
        """The same seed harms the same events; another one harms others."""
        harmed = []
        for seed in (1, 1, 2):
            async with Sandbox(seed=seed) as sandbox:
                sandbox.send_webhooks_to(endpoint.url, signing=False)
                rule = sandbox.webhook_faults(lose=0.5)
                self.send(sandbox, 40)
                harmed.append([each.event_id for each in rule.hits])

        assert harmed[0] == harmed[1] != harmed[2]

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"lose": 1.1}, "lose must be from 0 to 1, got 1.1"),
            ({"duplicate": -1}, "duplicate must be from 0 to 1"),
            ({"reorder": float("nan")}, "reorder must be from 0 to 1"),
            ({"delay": -1}, "delay must be seconds from 0 on"),
            ({"delay": (5, 2)}, "the minimum first"),
        ],
    )
    def test_useless_settings(self, settings: dict[str, Any], message: str) -> None:
        """Settings that make no sense are refused."""
        with pytest.raises(ValueError, match=message):
            Sandbox().webhook_faults(**settings)


class TestEnd:
    """When a webhook or a sandbox ends, so does all that it does."""

    async def test_leaving(self, endpoint: Endpoint) -> None:
        """Leaving the sandbox ends what is on its way and closes its connections."""
        before = len(asyncio.all_tasks())
        endpoint.answers = [30.0, 500]
        async with Sandbox(duration=60) as sandbox:
            sandbox.send_webhooks_to(endpoint.url, signing=False)
            await start(sandbox)
            sandbox.emit("account.active", account="other")
            sandbox.webhook_faults(reorder=1)
            sandbox.emit("account.frozen", account="third")
            await asyncio.sleep(2)
        await asyncio.sleep(0)

        assert len(asyncio.all_tasks()) <= before + 2, "those of the endpoint"
        assert {"failed", "success"} >= {d.status for d in sandbox.deliveries}
        came = len(endpoint.requests)
        await pass_time(200)
        assert came == len(endpoint.requests)

    async def test_deleting(self, sandbox: Sandbox, endpoint: Endpoint) -> None:
        """A deleted webhook gets nothing more; the log keeps what there was."""
        sandbox.send_webhooks_to(endpoint.url, signing=False)
        endpoint.answers = [500, 30.0]
        await start(sandbox)
        await asyncio.sleep(1)
        sandbox._webhook.delete()
        await pass_time(200)

        assert 2 == len(endpoint.requests)
        assert {("failed", "the webhook was deleted")} == {
            (d.status, d.last_error) for d in sandbox.deliveries
        }

    async def test_another_webhook(self, sandbox: Sandbox, endpoint: Endpoint) -> None:
        """After another webhook was set, everything works as before, once."""
        for _ in range(3):
            sandbox.send_webhooks_to(endpoint.url, signing=False)
        await start(sandbox)
        sandbox.send_webhooks_to(endpoint.url, signing=False)
        await pass_time(100)

        assert 1 == endpoint.words.count("workflow.completed")
        assert 0 == endpoint.receiver.duplicates

    async def test_forgetting(self, sandbox: Sandbox, endpoint: Endpoint) -> None:
        """Forgotten workflows send no events."""
        sandbox.send_webhooks_to(endpoint.url, signing=False)
        await start(sandbox)
        await pass_time(0)
        came = len(endpoint.requests)
        await sandbox.restart(forget=True)
        await pass_time(100)

        assert came == len(endpoint.requests)
        assert ["completed"] == [w.state for w in sandbox.workflows]
        await start(sandbox)
        await pass_time(100)
        assert came + 3 == len(endpoint.requests)

    async def test_bounded_log(
        self, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The log keeps the last deliveries only."""
        monkeypatch.setattr(_webhook_delivery, "MAX_LOG", 5)
        async with Sandbox() as sandbox:
            sandbox.send_webhooks_to(endpoint.url)
            for _ in range(9):
                sandbox.emit("webhook.test")
            await pass_time(0)

            assert 9 == len(endpoint.requests)
            assert 5 == len(sandbox.deliveries)

    @pytest.mark.parametrize("url", ["", "ftp://x/y", "example.com", "http://"])
    async def test_useless_urls(self, sandbox: Sandbox, url: str) -> None:
        """A URL to which nothing can be posted is refused."""
        with pytest.raises(ValueError, match=r"url must be an http or https URL"):
            sandbox.send_webhooks_to(url)


async def call(sandbox: Sandbox, name: str, body: Any = None) -> Any:
    """Return the result of a call of the Admin API; its error's type, if it fails."""
    headers = {"linked-api-token": "main"}
    async with (
        aiohttp.ClientSession() as http,
        http.post(
            f"{sandbox.url}/admin/webhook.{name}", json=body or {}, headers=headers
        ) as answer,
    ):
        envelope = await answer.json()
    return envelope.get("result") if envelope["success"] else envelope["error"]["type"]


class TestAdministration:
    """The calls of the Admin API that are about the webhook."""

    def test_all_calls(self) -> None:
        """Every documented call is answered."""
        documented = {each["id"].removeprefix("admin.") for each in FACTS["calls"]}

        assert documented == set(Sandbox()._webhook.calls)

    async def test_documented_shapes(
        self, sandbox: Sandbox, endpoint: Endpoint
    ) -> None:
        """Results have the fields that are documented, and no others."""
        made = await call(sandbox, "set", {"url": endpoint.url, "signingEnabled": True})
        await call(sandbox, "sendTest")
        await pass_time(0)
        (delivery,) = (await call(sandbox, "deliveries"))["deliveries"]
        answers = {
            "admin.webhook.set": made,
            "admin.webhook.get": await call(sandbox, "get"),
            "admin.webhook.deliveries": {"deliveries": [delivery]},
            "admin.webhook.eventTypes": await call(sandbox, "eventTypes"),
        }

        for each in FACTS["calls"]:
            if each["id"] in answers:
                answer = answers[each["id"]]
                (inside,), (due,) = answer.values(), each["result"].values()
                assert set(answer) == set(each["result"])
                inside, due = (
                    i[0] if isinstance(i, list) else i for i in (inside, due)
                )
                if isinstance(due, dict):
                    lacking = set(due) - set(inside)
                    assert lacking <= {"secret"}
                    assert set(inside) <= set(due)
        assert "secret" in made["webhook"]
        assert ("webhook.test", "success", 1, 204) == (
            delivery["eventType"],
            delivery["status"],
            delivery["attempts"],
            delivery["responseStatusCode"],
        )

    async def test_life(self, sandbox: Sandbox, endpoint: Endpoint) -> None:
        """A webhook is set once, listed, changed and deleted."""
        made = await call(
            sandbox,
            "set",
            {
                "url": endpoint.url,
                "headers": {"x-receiver": "1"},
                "events": ["inbox.*"],
            },
        )
        webhook = made["webhook"]
        known = {"id": webhook["id"]}

        assert [webhook] == (await call(sandbox, "get"))["webhooks"]
        assert ("fat", False, ["x-receiver"], ["inbox.*"]) == tuple(
            webhook[name]
            for name in ("payloadMode", "signingEnabled", "headerNames", "events")
        )
        assert "webhookAlreadyExists" == await call(sandbox, "set", {"url": "http://x"})
        for name, value, found in (
            ("setPayloadMode", {"payloadMode": "thin"}, {"payloadMode": "thin"}),
            ("setEvents", {"events": None}, {"events": None}),
            ("setHeader", {"name": "X-B", "value": "2"}, None),
            ("setHeader", {"name": "x-b", "value": "3"}, None),
            ("deleteHeader", {"name": "X-RECEIVER"}, {"headerNames": ["x-b"]}),
            ("deleteHeader", {"name": "unknown"}, {"headerNames": ["x-b"]}),
        ):
            answer = await call(sandbox, name, {**known, **value})
            assert (found or {}).items() <= answer["webhook"].items()
        await call(sandbox, "sendTest", {})
        await pass_time(0)
        assert "3" == endpoint.requests[0][1]["X-B"]
        answer = await call(sandbox, "setHeaders", {**known, "headers": None})
        assert [] == answer["webhook"]["headerNames"]

        assert await call(sandbox, "delete", known) is None
        assert {"webhooks": []} == await call(sandbox, "get")
        assert 1 == len((await call(sandbox, "deliveries"))["deliveries"])
        assert "webhookNotFound" == await call(sandbox, "sendTest")

    async def test_secrets(self, sandbox: Sandbox, endpoint: Endpoint) -> None:
        """The secret is shown where that is documented; after a rotation it is new."""
        made = (await call(sandbox, "set", {"url": endpoint.url}))["webhook"]
        known = {"id": made["id"]}
        assert "secret" not in made
        on = await call(sandbox, "setSigning", {**known, "signingEnabled": True})
        old = on["webhook"]["secret"]
        shown = await call(sandbox, "revealSecret", known)
        endpoint.trust(old)
        await call(sandbox, "sendTest")
        await pass_time(0)
        new = (await call(sandbox, "rotateSecret", known))["webhook"]["secret"]
        await call(sandbox, "sendTest")
        await pass_time(0)

        assert old == shown["webhook"]["secret"] != new
        assert (1, 1) == (endpoint.receiver.received, endpoint.receiver.refused)
        endpoint.receiver.set_secrets(new, old)
        await pass_time(20)
        assert 2 == endpoint.receiver.received, "the next attempt"
        off = await call(sandbox, "setSigning", {**known, "signingEnabled": False})
        assert "secret" not in off["webhook"]
        assert not any(
            "secret" in each for each in (await call(sandbox, "get"))["webhooks"]
        )
        assert new not in repr(sandbox._webhook.webhook)

    async def test_replay(self, sandbox: Sandbox, endpoint: Endpoint) -> None:
        """A delivery can be sent again, with the same id, also one that arrived."""
        await call(sandbox, "set", {"url": endpoint.url})
        for _ in range(2):
            await call(sandbox, "sendTest")
        await pass_time(0)
        newest, oldest = (await call(sandbox, "deliveries"))["deliveries"]

        assert (
            await call(sandbox, "replayDelivery", {"deliveryId": oldest["id"]}) is None
        )
        await pass_time(0)

        ids = [body["id"] for body in endpoint.bodies]
        assert [oldest["eventId"], newest["eventId"], oldest["eventId"]] == ids
        assert 1 == endpoint.receiver.duplicates
        unknown = await call(sandbox, "replayDelivery", {"deliveryId": "whd-99"})
        assert "deliveryNotFound" == unknown

    @pytest.mark.parametrize(
        ("name", "body"),
        [
            ("set", {}),
            ("set", {"url": 5}),
            ("set", {"url": "example.com"}),
            ("set", {"url": "http://x", "payloadMode": "slim"}),
            ("set", {"url": "http://x", "signingEnabled": "yes"}),
            ("set", {"url": "http://x", "headers": ["a"]}),
            ("set", {"url": "http://x", "headers": {"a b": "c"}}),
            ("set", {"url": "http://x", "headers": {"a": "b\nc"}}),
            ("set", {"url": "http://x", "headers": {"a": 5}}),
            ("set", {"url": "http://x", "events": "workflow.*"}),
            ("set", {"url": "http://x", "events": ["webhook.test"]}),
            ("set", {"url": "http://x", "events": [["workflow.*"]]}),
        ],
    )
    async def test_wrong_parameters(
        self, sandbox: Sandbox, name: str, body: dict[str, Any]
    ) -> None:
        """Parameters that make no sense are refused, and nothing is set."""
        assert "invalidRequestPayload" == await call(sandbox, name, body)
        assert {"webhooks": []} == await call(sandbox, "get")

    @pytest.mark.parametrize(
        ("name", "body"),
        [
            ("setPayloadMode", {}),
            ("setSigning", {}),
            ("setHeader", {"name": "x"}),
            ("deleteHeader", {}),
            ("replayDelivery", {}),
        ],
    )
    async def test_missing_parameters(
        self, sandbox: Sandbox, name: str, body: dict[str, Any]
    ) -> None:
        """A missing required parameter is reported."""
        sandbox.send_webhooks_to("http://127.0.0.1:9/")

        assert "invalidRequestPayload" == await call(sandbox, name, body)

    def test_another_id(self) -> None:
        """A webhook that is not there is not found."""
        calls = Sandbox()._webhook.calls
        for name in ("delete", "setSigning", "revealSecret", "setHeaders", "setEvents"):
            with pytest.raises(ApiError) as caught:
                calls[f"webhook.{name}"]({"id": "whs-other"})

            assert ("webhookNotFound", 404) == (caught.value.type, caught.value.status)


async def test_everything_at_once(endpoint: Endpoint) -> None:
    """With loss, doubles, delays, another order and outages every event comes or is lost."""
    async with Sandbox(duration=30) as sandbox:
        endpoint.trust(sandbox.send_webhooks_to(endpoint.url))
        rule = sandbox.webhook_faults(
            lose=0.1, duplicate=0.2, reorder=0.2, delay=(0, 5)
        )
        endpoint.answers = [500, 503] * 10
        async with sandbox.session() as session:
            for number in range(30):
                await session.account(f"account-{number % 4}").start(SSI)
        await pass_time(3000)
        expected = {
            f"workflow.{turn}:{workflow.id}"
            for turn in ("created", "started", "completed")
            for workflow in sandbox.workflows
        }
        lost = {each.event_id for each in rule.hits if each.fault == "lost"}

    assert expected - lost == {event.id for event in endpoint.events}
    assert len(expected - lost) == len(endpoint.events)
    assert {"lost", "duplicated", "reordered", "delayed"} == set(rule.counts)
    assert rule.counts["duplicated"] == endpoint.receiver.duplicates
    assert 0 == endpoint.receiver.refused
