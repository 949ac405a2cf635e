"""Webhook deliveries of the sandbox: real POST requests, repeated after failures.

The events of an account are sent one after another. A failed delivery is repeated later,
and newer events may arrive before it. https://linkedapi.io/docs/webhooks
"""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import heapq
import io
import itertools
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import aiohttp
import attrs

from linkedapi_async._utils.secret import Secret
from linkedapi_async.sandbox._clock import Clock
from linkedapi_async.sandbox._world import SeededRandom


DeliveryFault: TypeAlias = Literal["lost", "duplicated", "reordered", "delayed"]

DelayRange: TypeAlias = tuple[float, float]

MAX_ATTEMPTS = 8

FIRST_RETRY = 10.0
"""The delay before the second attempt, in seconds; it doubles with every further one.

The API does not publish its own schedule.
"""

TIMEOUT = 10.0
"""The time limit of an answer, in seconds before they are divided by the speed."""

MIN_TIMEOUT = 1.0
"""The shortest time limit, in seconds, because real connections take real time."""

DUPLICATE_WITHIN = 10.0
"""The maximum delay of a duplicate, in seconds."""

MAX_HOLD = 60.0
"""How long a reordered event waits for a later one, in seconds."""

MIN_TIMER = 1e-5
"""The shortest timer, in seconds, because one of 0 might not move a virtual clock."""

MAX_CONNECTIONS = 32

MAX_LOG = 10_000
"""The number of deliveries that are kept, the newest ones."""


def iso(when: float) -> str:
    """Return a Unix time as the API writes it."""
    moment = dt.datetime.fromtimestamp(when, dt.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Timers:
    """Calls at times of the sandbox's clock, with one heap and one timer for all."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._numbers = itertools.count()
        self._heap: list[tuple[float, int, Callable[[], object]]] = []
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def is_armed(self) -> bool:
        """Whether the event loop has a timer for the next call."""
        return self._timer is not None

    def at(self, when: float, call: Callable[[], object]) -> None:
        """Call *call* at *when*, or in the next iteration of the loop if it is past."""
        heapq.heappush(self._heap, (when, next(self._numbers), call))
        if self._heap[0][2] is call:
            self._arm()

    def clear(self) -> None:
        """Drop all calls."""
        self._heap.clear()
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap:
            pause = max(self._heap[0][0] - self._clock.now(), MIN_TIMER)
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(pause, self._on_timer)

    def _on_timer(self) -> None:
        now = self._clock.now()
        while self._heap and self._heap[0][0] <= now:
            heapq.heappop(self._heap)[2]()
        self._arm()


@attrs.frozen(eq=False, kw_only=True)
class OutgoingEvent:
    """An event to be delivered to the webhook."""

    id: str
    type: str
    when: float
    """When it happened, in Unix time."""
    account: str
    """The id of its account; empty for a test event."""
    data: Mapping[str, Any]
    result: Callable[[], Any] | None = None
    """Returns the result of a workflow, for the payload mode ``fat``."""

    def envelope(self, *, fat: bool) -> dict[str, Any]:
        """Return it as a JSON object."""
        data = dict(self.data)
        if fat and self.result is not None:
            data["result"] = self.result()
        created = iso(self.when)
        return {"id": self.id, "type": self.type, "createdAt": created, "data": data}


@attrs.define(eq=False, kw_only=True)
class RecordedDelivery:
    """The delivery of an event to the webhook, and its state."""

    id: str
    event_type: str
    event_id: str
    status: Literal["pending", "delivering", "success", "failed"] = "pending"
    attempts: int = 0
    """How often it was sent."""
    response_status: int | None = None
    """The HTTP status of the last answer, if there was one."""
    last_error: str | None = None
    """Why the last attempt failed."""
    created_at: float
    """In Unix time."""
    updated_at: float
    """In Unix time."""


class WebhookFaultHit(NamedTuple):
    """One time that a fault changed the delivery of an event."""

    fault: DeliveryFault
    event_type: str
    event_id: str
    when: float
    """When, in seconds on the sandbox's clock."""


@attrs.define(eq=False, kw_only=True)
class WebhookFaults:
    """Faults of the deliveries to the webhook, and their hits.

    The sandbox's seed and the event's id decide which events they change, whatever the
    order of the events.
    """

    lose: float
    """The fraction of events that never arrive."""
    duplicate: float
    """The fraction of events that arrive twice."""
    reorder: float
    """The fraction of events that wait until a later one has arrived."""
    delay: DelayRange
    """The minimum and maximum delay, in seconds of the API's time."""
    hits: list[WebhookFaultHit] = attrs.field(factory=list)
    """Each time that they changed a delivery."""
    withdrawn: bool = False
    """Whether `withdraw` was called."""

    @property
    def counts(self) -> Counter[DeliveryFault]:
        """How often each fault had a hit."""
        return Counter(hit.fault for hit in self.hits)

    def withdraw(self) -> None:
        """Stop applying; the recorded hits remain."""
        self.withdrawn = True


@attrs.frozen(eq=False)
class DeliveryFaultRule:
    """Decides which events are changed by faults, and how long they wait."""

    faults: WebhookFaults
    _random: SeededRandom

    def applies(self, what: str, event: OutgoingEvent, fraction: float) -> bool:
        """Return whether an event is among the *fraction* that is changed."""
        return self._random.share(f"{what}/{event.id}") < fraction

    def pause(self, what: str, event: OutgoingEvent, span: DelayRange) -> float:
        """Return how long an event waits, in seconds of the API's time."""
        low, high = span
        return low + (high - low) * self._random.share(f"{what}/{event.id}")


@attrs.define(eq=False)
class QueuedDelivery:
    """A delivery, with everything that an attempt needs."""

    record: RecordedDelivery
    event: OutgoingEvent
    number: int
    faults: list[tuple[DeliveryFaultRule, DeliveryFault]] = attrs.field(factory=list)
    """The faults to record as hits when it arrives."""

    def update(
        self, status: Literal["pending", "success", "failed"], error: str | None
    ) -> None:
        """Record the result of an attempt."""
        self.record.status, self.record.last_error = status, error
        self.record.updated_at = time.time()


class DeliveryRequest(NamedTuple):
    """The HTTP request of one attempt."""

    url: str
    headers: Secret[Mapping[str, str]]
    body: bytes


class DeliveryQueue:
    """Delivers events to the webhook.

    Args:
        clock: The sandbox's clock.
        speed: How many times faster than the API the sandbox works.
        random: Returns the random numbers that belong to a key.
        request_for: Returns the request for an event at the time of an attempt.
    """

    def __init__(
        self,
        clock: Clock,
        speed: float,
        random: Callable[[str], SeededRandom],
        request_for: Callable[[OutgoingEvent], DeliveryRequest],
    ) -> None:
        self._clock = clock
        self._speed = speed
        self._random = random
        self._request_for = request_for
        self.timers: Timers = Timers(clock)
        self.log: deque[QueuedDelivery] = deque(maxlen=MAX_LOG)
        """The deliveries, oldest first."""
        self._rules: list[DeliveryFaultRule] = []
        self._numbers = itertools.count()
        self._rule_numbers = itertools.count()
        self._open: set[QueuedDelivery] = set()
        self._held: list[QueuedDelivery] = []
        self._queues: dict[str, deque[QueuedDelivery]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._http: aiohttp.ClientSession | None = None

    def add_faults(
        self, *, lose: float, duplicate: float, reorder: float, delay: DelayRange
    ) -> WebhookFaults:
        """Change deliveries from now on.

        Raises:
            ValueError: A number is out of range.
        """
        fractions = (("lose", lose), ("duplicate", duplicate), ("reorder", reorder))
        for name, fraction in fractions:
            if not 0 <= fraction <= 1:
                raise ValueError(f"{name} must be from 0 to 1, got {fraction!r}")
        if not 0 <= delay[0] <= delay[1]:
            raise ValueError(
                "delay must be seconds from 0 on, or a pair with the minimum first, "
                f"got {delay!r}"
            )
        faults = WebhookFaults(
            lose=lose, duplicate=duplicate, reorder=reorder, delay=delay
        )
        random = self._random(f"webhook/{next(self._rule_numbers)}")
        self._rules.append(DeliveryFaultRule(faults, random))
        return faults

    def clear_faults(self) -> None:
        """Withdraw all faults and send what they held back."""
        for rule in self._rules:
            rule.faults.withdraw()
        for delivery in tuple(self._held):
            self._stop_holding(delivery)

    def send(self, event: OutgoingEvent) -> None:
        """Deliver an event, changed by the faults that apply to it."""
        delivery = self._new(event)
        self._rules = [rule for rule in self._rules if not rule.faults.withdrawn]
        for rule in self._rules:
            if rule.applies("lose", event, rule.faults.lose):
                self._hit(rule, "lost", event)
                self._end(delivery, "failed", "lost by an injected fault")
                return
        pause = 0.0
        for rule in self._rules:
            faults = rule.faults
            if rule.applies("duplicate", event, faults.duplicate):
                self._duplicate(rule, event)
            if faults.delay[1]:
                pause += rule.pause("delay", event, faults.delay)
                delivery.faults.append((rule, "delayed"))
            held = delivery in self._held
            if not held and rule.applies("reorder", event, faults.reorder):
                self._hold(delivery, rule)
        if delivery not in self._held:
            self._later(pause, functools.partial(self._enqueue, delivery))

    def resend(self, delivery: QueuedDelivery) -> None:
        """Deliver an event again, as a new delivery, whatever the first resulted in."""
        self._enqueue(self._new(delivery.event))

    def drop(self) -> None:
        """Stop all pending deliveries; the log keeps them as failed."""
        self.timers.clear()
        self._held.clear()
        self._queues.clear()
        for task in self._tasks:
            task.cancel()
        for delivery in tuple(self._open):
            self._end(delivery, "failed", "the webhook was deleted")

    async def aclose(self) -> None:
        """Stop sending and close the connections."""
        self.drop()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._http is not None:
            await self._http.close()

    def _new(self, event: OutgoingEvent) -> QueuedDelivery:
        number = next(self._numbers)
        now = time.time()
        record = RecordedDelivery(
            id=f"whd-{number}",
            event_type=event.type,
            event_id=event.id,
            created_at=now,
            updated_at=now,
        )
        delivery = QueuedDelivery(record, event, number)
        self.log.append(delivery)
        self._open.add(delivery)
        return delivery

    def _duplicate(self, rule: DeliveryFaultRule, event: OutgoingEvent) -> None:
        copy = self._new(event)
        copy.faults.append((rule, "duplicated"))
        pause = rule.pause("copy", event, (0.0, DUPLICATE_WITHIN))
        self._later(pause, functools.partial(self._enqueue, copy))

    def _hold(self, delivery: QueuedDelivery, rule: DeliveryFaultRule) -> None:
        delivery.faults.append((rule, "reordered"))
        self._held.append(delivery)
        self._later(MAX_HOLD, functools.partial(self._stop_holding, delivery))

    def _stop_holding(self, delivery: QueuedDelivery) -> None:
        """Send an event that no later event has overtaken: it was not reordered."""
        if delivery in self._held:
            delivery.faults = [f for f in delivery.faults if f[1] != "reordered"]
            self._release(delivery)

    def _release(self, delivery: QueuedDelivery) -> None:
        self._held.remove(delivery)
        self._enqueue(delivery)

    def _hit(
        self, rule: DeliveryFaultRule, fault: DeliveryFault, event: OutgoingEvent
    ) -> None:
        hit = WebhookFaultHit(fault, event.type, event.id, self._clock.now())
        rule.faults.hits.append(hit)

    def _later(self, pause: float, call: Callable[[], object]) -> None:
        if pause:
            self.timers.at(self._clock.now() + pause / self._speed, call)
        else:
            call()

    def _enqueue(self, delivery: QueuedDelivery) -> None:
        account = delivery.event.account
        queue = self._queues.get(account)
        if queue is not None:
            queue.append(delivery)
            return
        queue = self._queues[account] = deque([delivery])
        task = asyncio.get_running_loop().create_task(self._work(account, queue))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, account: str, queue: deque[QueuedDelivery]) -> None:
        while queue:
            await self._attempt(queue.popleft())
        del self._queues[account]

    async def _attempt(self, delivery: QueuedDelivery) -> None:
        record = delivery.record
        record.attempts += 1
        record.status = "delivering"
        record.response_status = None
        try:
            request = self._request_for(delivery.event)
            record.response_status = await self._post(request)
            error = f"HTTP {record.response_status}"
        except (aiohttp.ClientError, OSError) as failed:
            error = type(failed).__name__
        if 200 <= (record.response_status or 0) < 300:  # noqa: PLR2004
            self._end(delivery, "success", None)
            self._arrived(delivery)
        elif record.attempts >= MAX_ATTEMPTS:
            self._end(delivery, "failed", error)
        else:
            delivery.update("pending", error)
            pause = FIRST_RETRY * 2 ** (record.attempts - 1)
            self._later(pause, functools.partial(self._enqueue, delivery))

    async def _post(self, request: DeliveryRequest) -> int:
        if self._http is None:
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        timeout = max(TIMEOUT / self._speed, MIN_TIMEOUT)
        async with self._http.post(
            request.url,
            # aiohttp warns about large bodies that are passed as bytes.
            data=io.BytesIO(request.body),
            headers=request.headers.reveal(),
            allow_redirects=False,
            # No total limit, because it would count the wait for a free connection.
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=timeout, sock_read=timeout
            ),
        ) as response:
            return response.status

    def _end(
        self,
        delivery: QueuedDelivery,
        status: Literal["success", "failed"],
        error: str | None,
    ) -> None:
        delivery.update(status, error)
        self._open.discard(delivery)

    def _arrived(self, delivery: QueuedDelivery) -> None:
        for rule, fault in delivery.faults:
            self._hit(rule, fault, delivery.event)
        for held in tuple(self._held):
            # A copy of the same event does not make it out of order.
            if held.number < delivery.number and held.event.id != delivery.event.id:
                self._release(held)
