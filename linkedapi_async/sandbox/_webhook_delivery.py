"""How the sandbox brings events to a webhook: real POSTs, repeated if need be.

The events of an account go out one after the other; what failed is tried again later,
and may be overtaken. https://linkedapi.io/docs/webhooks
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

from linkedapi_async.sandbox._clock import Clock
from linkedapi_async.sandbox._world import SeededRandom


DeliveryFault: TypeAlias = Literal["lost", "duplicated", "reordered", "delayed"]

Span: TypeAlias = tuple[float, float]

ATTEMPTS = 8
"""How often a delivery is tried at most."""

FIRST_RETRY = 10.0
"""After how many seconds it is tried again; every further time takes twice as long.

The API does not publish its own schedule.
"""

TIMEOUT = 10.0
"""How long an answer may take, in seconds, before they are divided by the speed."""

LEAST_TIMEOUT = 1.0
"""However fast the sandbox is: real connections take real time, in seconds."""

COPY_WITHIN = 10.0
"""How long after an event its double may come, in seconds."""

LONGEST_HOLD = 60.0
"""How long an event waits to be overtaken, in seconds."""

SOONEST = 1e-5
"""The shortest timer, in seconds: one of nothing might not move a clock."""

AT_ONCE = 32
"""How many connections there are to a webhook at most."""

REMEMBERED = 10_000
"""Of how many deliveries the sandbox knows: the last ones."""


def iso(when: float) -> str:
    """Return a Unix time as the API writes it."""
    moment = dt.datetime.fromtimestamp(when, dt.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Timers:
    """Calls at times of the sandbox's clock: one heap and one timer for all of them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._numbers = itertools.count()
        self._heap: list[tuple[float, int, Callable[[], object]]] = []
        self._timer: asyncio.TimerHandle | None = None

    def at(self, when: float, call: Callable[[], object]) -> None:
        """Call *call* at *when*, or at the next turn of the loop."""
        heapq.heappush(self._heap, (when, next(self._numbers), call))
        if self._heap[0][2] is call:
            self._arm()

    def clear(self) -> None:
        """Forget all calls."""
        self._heap.clear()
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap:
            pause = max(self._heap[0][0] - self._clock.now(), SOONEST)
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(pause, self._ring)

    def _ring(self) -> None:
        now = self._clock.now()
        while self._heap and self._heap[0][0] <= now:
            heapq.heappop(self._heap)[2]()
        self._arm()


@attrs.frozen(eq=False, kw_only=True)
class OutgoingEvent:
    """An event that is to be brought to the webhook."""

    id: str
    type: str
    when: float
    """When it happened, in Unix time."""
    account: str
    """Whose it is; empty for the test of a webhook."""
    data: Mapping[str, Any]
    result: Callable[[], Any] | None = None
    """What makes the result of a workflow, for the payload mode ``fat``."""

    def envelope(self, *, fat: bool) -> dict[str, Any]:
        """Return it in JSON."""
        data = dict(self.data)
        if fat and self.result is not None:
            data["result"] = self.result()
        created = iso(self.when)
        return {"id": self.id, "type": self.type, "createdAt": created, "data": data}


@attrs.define(eq=False, kw_only=True)
class Delivery:
    """An event on its way to the webhook, and what came of it."""

    id: str
    event_type: str
    event_id: str
    status: Literal["pending", "delivering", "success", "failed"] = "pending"
    attempts: int = 0
    """How often it was sent."""
    response_status: int | None = None
    """The HTTP status of the last answer, if there was one."""
    last_error: str | None = None
    """What was wrong with the last attempt."""
    created_at: float
    """In Unix time."""
    updated_at: float
    """In Unix time."""
    _event: OutgoingEvent = attrs.field(alias="event", repr=False)
    _number: int = attrs.field(alias="number", repr=False)
    _harms: list[tuple[WebhookFaults, DeliveryFault]] = attrs.field(
        factory=list, init=False, repr=False
    )

    def _settle(
        self, status: Literal["pending", "success", "failed"], error: str | None
    ) -> None:
        self.status, self.last_error = status, error
        self.updated_at = time.time()


class ConsumedEvent(NamedTuple):
    """One time that something was done to an event on its way."""

    harm: DeliveryFault
    event_type: str
    event_id: str
    when: float
    """On the sandbox's clock, in seconds."""


@attrs.define(eq=False, kw_only=True)
class WebhookFaults:
    """What goes wrong on the way to the webhook, and the account of when it did.

    Chance falls by the sandbox's seed and the event's id, whatever comes when.
    """

    lose: float
    """The fraction of events that never come."""
    duplicate: float
    """The fraction of events that come twice."""
    reorder: float
    """The fraction of events that wait until a later one has come."""
    delay: Span
    """How long events take at least and at most, in seconds of the API's time."""
    consumed: list[ConsumedEvent] = attrs.field(factory=list)
    """Each time that something was really done."""
    _dice: SeededRandom = attrs.field(alias="dice", repr=False)
    _rules: list[WebhookFaults] = attrs.field(alias="rules", repr=False)

    @property
    def counts(self) -> Counter[DeliveryFault]:
        """How often each thing was done."""
        return Counter(each.harm for each in self.consumed)

    def withdraw(self) -> None:
        """Do nothing more; what was consumed stays known."""
        if self in self._rules:
            self._rules.remove(self)

    def _strikes(self, harm: str, event: OutgoingEvent, share: float) -> bool:
        return self._dice.share(f"{harm}/{event.id}") < share

    def _pause(self, what: str, event: OutgoingEvent, span: Span) -> float:
        low, high = span
        return low + (high - low) * self._dice.share(f"{what}/{event.id}")


class PlannedFault(NamedTuple):
    """Where a delivery goes."""

    url: str
    headers: Mapping[str, str]
    body: bytes


class DeliveryQueue:
    """Brings events to the webhook.

    Args:
        clock: The sandbox's clock.
        speed: How many times faster than the API it works.
        dice: The chance that belongs to a key.
        order: Says where an event goes at the time of an attempt.
    """

    def __init__(
        self,
        clock: Clock,
        speed: float,
        dice: Callable[[str], SeededRandom],
        order: Callable[[OutgoingEvent], PlannedFault],
    ) -> None:
        self._clock = clock
        self._speed = speed
        self._dice = dice
        self._order = order
        self.alarms: Timers = Timers(clock)
        self.log: deque[Delivery] = deque(maxlen=REMEMBERED)
        """The deliveries, oldest first."""
        self.rules: list[WebhookFaults] = []
        """What goes wrong at present."""
        self._numbers = itertools.count()
        self._made = itertools.count()
        self._open: set[Delivery] = set()
        self._held: list[Delivery] = []
        self._queues: dict[str, deque[Delivery]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._http: aiohttp.ClientSession | None = None

    def fault(
        self, *, lose: float, duplicate: float, reorder: float, delay: Span
    ) -> WebhookFaults:
        """Add a rule for what goes wrong.

        Raises:
            ValueError: A number makes no sense.
        """
        shares = (("lose", lose), ("duplicate", duplicate), ("reorder", reorder))
        for name, share in shares:
            if not 0 <= share <= 1:
                raise ValueError(f"{name}: 0 to 1 is due, got {share!r}")
        if not 0 <= delay[0] <= delay[1]:
            raise ValueError(f"delay: seconds, the fewest first, got {delay!r}")
        rule = WebhookFaults(
            lose=lose,
            duplicate=duplicate,
            reorder=reorder,
            delay=delay,
            dice=self._dice(f"webhook/{next(self._made)}"),
            rules=self.rules,
        )
        self.rules.append(rule)
        return rule

    def mend(self) -> None:
        """Let nothing go wrong any more, and send what was held back."""
        self.rules.clear()
        for delivery in tuple(self._held):
            self._give_up(delivery)

    def send(self, event: OutgoingEvent) -> None:
        """Bring *event* to the webhook, as far as the faults let it."""
        delivery = self._new(event)
        for rule in self.rules:
            if rule._strikes("lose", event, rule.lose):
                self._consume(rule, "lost", event)
                self._end(delivery, "failed", "lost on demand")
                return
        pause = 0.0
        for rule in self.rules:
            if rule._strikes("duplicate", event, rule.duplicate):
                self._double(rule, event)
            if rule.delay[1]:
                pause += rule._pause("delay", event, rule.delay)
                delivery._harms.append((rule, "delayed"))
            if delivery not in self._held and rule._strikes(
                "reorder", event, rule.reorder
            ):
                self._hold(delivery, rule)
        if delivery not in self._held:
            self._later(pause, functools.partial(self._go, delivery))

    def resend(self, delivery: Delivery) -> None:
        """Send an event again, in a delivery of its own, whatever came of the first."""
        self._go(self._new(delivery._event))

    def drop(self) -> None:
        """Forget what is on its way; it stays in the log."""
        self.alarms.clear()
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

    def _new(self, event: OutgoingEvent) -> Delivery:
        number = next(self._numbers)
        now = time.time()
        delivery = Delivery(
            id=f"whd-{number}",
            event_type=event.type,
            event_id=event.id,
            created_at=now,
            updated_at=now,
            event=event,
            number=number,
        )
        self.log.append(delivery)
        self._open.add(delivery)
        return delivery

    def _double(self, rule: WebhookFaults, event: OutgoingEvent) -> None:
        copy = self._new(event)
        copy._harms.append((rule, "duplicated"))
        pause = rule._pause("copy", event, (0.0, COPY_WITHIN))
        self._later(pause, functools.partial(self._go, copy))

    def _hold(self, delivery: Delivery, rule: WebhookFaults) -> None:
        delivery._harms.append((rule, "reordered"))
        self._held.append(delivery)
        self._later(LONGEST_HOLD, functools.partial(self._give_up, delivery))

    def _give_up(self, delivery: Delivery) -> None:
        """Send what nothing has overtaken, so that it was not reordered."""
        if delivery in self._held:
            delivery._harms = [h for h in delivery._harms if h[1] != "reordered"]
            self._release(delivery)

    def _release(self, delivery: Delivery) -> None:
        self._held.remove(delivery)
        self._go(delivery)

    def _consume(
        self, rule: WebhookFaults, harm: DeliveryFault, event: OutgoingEvent
    ) -> None:
        now = self._clock.now()
        rule.consumed.append(ConsumedEvent(harm, event.type, event.id, now))

    def _later(self, pause: float, call: Callable[[], object]) -> None:
        if pause:
            self.alarms.at(self._clock.now() + pause / self._speed, call)
        else:
            call()

    def _go(self, delivery: Delivery) -> None:
        account = delivery._event.account
        queue = self._queues.get(account)
        if queue is not None:
            queue.append(delivery)
            return
        queue = self._queues[account] = deque([delivery])
        task = asyncio.get_running_loop().create_task(self._work(account, queue))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, account: str, queue: deque[Delivery]) -> None:
        while queue:
            await self._attempt(queue.popleft())
        del self._queues[account]

    async def _attempt(self, delivery: Delivery) -> None:
        delivery.attempts += 1
        delivery.status = "delivering"
        delivery.response_status = None
        try:
            delivery.response_status = await self._post(self._order(delivery._event))
            error = f"HTTP {delivery.response_status}"
        except (aiohttp.ClientError, OSError) as failed:
            error = type(failed).__name__
        if 200 <= (delivery.response_status or 0) < 300:  # noqa: PLR2004
            self._end(delivery, "success", None)
            self._arrived(delivery)
        elif delivery.attempts >= ATTEMPTS:
            self._end(delivery, "failed", error)
        else:
            delivery._settle("pending", error)
            pause = FIRST_RETRY * 2 ** (delivery.attempts - 1)
            self._later(pause, functools.partial(self._go, delivery))

    async def _post(self, order: PlannedFault) -> int:
        if self._http is None:
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=AT_ONCE),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        patience = max(TIMEOUT / self._speed, LEAST_TIMEOUT)
        async with self._http.post(
            order.url,
            data=io.BytesIO(order.body),  # aiohttp warns of megabytes as they are
            headers=order.headers,
            allow_redirects=False,
            # Waiting for one of the connections is nobody's fault.
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=patience, sock_read=patience
            ),
        ) as response:
            return response.status

    def _end(
        self,
        delivery: Delivery,
        status: Literal["success", "failed"],
        error: str | None,
    ) -> None:
        delivery._settle(status, error)
        self._open.discard(delivery)

    def _arrived(self, delivery: Delivery) -> None:
        for rule, harm in delivery._harms:
            self._consume(rule, harm, delivery._event)
        for held in tuple(self._held):
            if held._number < delivery._number and held.event_id != delivery.event_id:
                self._release(held)
