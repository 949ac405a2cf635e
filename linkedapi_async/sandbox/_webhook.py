"""The webhook of the sandbox: its settings, and the events that it receives.

https://linkedapi.io/docs/webhooks, https://linkedapi.io/docs/admin-webhooks
"""

from __future__ import annotations

import functools
import itertools
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeAlias, cast

import attrs
from yarl import URL

from linkedapi_async._utils.json import encode_json
from linkedapi_async._utils.secret import Secret
from linkedapi_async.sandbox._clock import Clock
from linkedapi_async.sandbox._lane import AccountQueue, RecordedWorkflow, StateChange
from linkedapi_async.sandbox._responses import ApiError, invalid_payload
from linkedapi_async.sandbox._tokens import account_id, account_name
from linkedapi_async.sandbox._webhook_delivery import (
    DelayRange,
    DeliveryQueue,
    DeliveryRequest,
    OutgoingEvent,
    RecordedDelivery,
    WebhookFaults,
    iso,
)
from linkedapi_async.sandbox._world import SeededRandom
from linkedapi_async.webhooks import sign
from linkedapi_async.webhooks._events import CLASSES, STATUSES


PayloadMode: TypeAlias = Literal["fat", "thin"]

FatResult: TypeAlias = Literal["object", "completion"]

Params: TypeAlias = Mapping[str, Any]

TEST = "webhook.test"

SELECTABLE: tuple[str, ...] = tuple(type for type in CLASSES if type != TEST)

GROUPS: list[str] = sorted({f"{type.partition('.')[0]}.*" for type in SELECTABLE})

SELECTORS: tuple[str, ...] = (*SELECTABLE, *GROUPS)

MAX_SHOWN = 100
"""The maximum number of deliveries that the API lists."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")

_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


@attrs.define(kw_only=True)
class RegisteredWebhook:
    """The webhook of the client; there is at most one."""

    id: str
    url: str
    payload_mode: PayloadMode
    signing: bool
    secret: Secret[str]
    headers: dict[str, tuple[str, Secret[str]]]
    """Names and values, by the names in lower case."""
    events: tuple[str, ...] | None
    """Selectors; None selects all types."""
    created_at: float
    """In Unix time."""

    def selects(self, type: str) -> bool:
        """Return whether events of *type* are sent."""
        group = f"{type.partition('.')[0]}.*"
        events = self.events
        return type == TEST or events is None or type in events or group in events

    def to_json(self, *, secret: bool = False) -> dict[str, Any]:
        """Return it as the API does, on request with its secret."""
        fields = {
            "id": self.id,
            "url": self.url,
            "payloadMode": self.payload_mode,
            "isActive": True,
            "createdAt": iso(self.created_at),
            "signingEnabled": self.signing,
            "headerNames": [name for name, _ in self.headers.values()],
            "events": self.events,
        }
        if secret:
            fields["secret"] = self.secret.reveal()
        return {"webhook": fields}


class WebhookEndpoint:
    """Sends the events of a sandbox to the webhook; false while none is set.

    Args:
        clock: The sandbox's clock.
        speed: How many times faster than the API it works.
        random: Returns the random numbers that belong to a key.
        lanes: The queues of the sandbox by account; they may change.
        ended: Returns the ``completion`` or ``failure`` of a workflow.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        speed: float,
        random: Callable[[str], SeededRandom],
        lanes: Mapping[str, AccountQueue],
        ended: Callable[[RecordedWorkflow], Mapping[str, Any]],
    ) -> None:
        self._clock = clock
        self._random = random
        self._lanes = lanes
        self._ended = ended
        self._numbers = itertools.count()
        # When the next change of a lane wakes this endpoint.
        self._watched: dict[AccountQueue, float] = {}
        self.webhook: RegisteredWebhook | None = None
        self.fat: FatResult = "object"
        """The form of ``result`` in fat mode, which the API does not publish: an object
        with ``completion`` or ``failure``, or one of these itself."""
        self.queue: DeliveryQueue = DeliveryQueue(
            clock, speed, random, self._request_for
        )
        self.calls: dict[str, Callable[[Params], Any]] = {
            "webhook.set": self._set,
            "webhook.get": self._get,
            "webhook.setPayloadMode": self._set_payload_mode,
            "webhook.delete": self._delete,
            "webhook.deliveries": self._deliveries,
            "webhook.replayDelivery": self._replay,
            "webhook.sendTest": self._send_test,
            "webhook.setSigning": self._set_signing,
            "webhook.revealSecret": self._reveal_secret,
            "webhook.rotateSecret": self._rotate_secret,
            "webhook.setHeaders": self._set_headers,
            "webhook.setHeader": self._set_header,
            "webhook.deleteHeader": self._delete_header,
            "webhook.setEvents": self._set_events,
            "webhook.eventTypes": self._event_types,
        }
        """The function that answers each call of the Admin API."""

    def __bool__(self) -> bool:
        return self.webhook is not None

    # Called by the sandbox

    def set(
        self,
        url: str,
        *,
        payload_mode: PayloadMode = "fat",
        signing: bool = False,
        secret: str | None = None,
        events: Iterable[str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> RegisteredWebhook:
        """Send events from now on, instead of to an earlier webhook.

        Args:
            url: The receiver's URL; unlike the API, it accepts http and loopback.
            payload_mode: Whether events of completed workflows include their results.
            signing: Whether deliveries are signed.
            secret: The secret of the signatures; by default it is random.
            events: Selectors of the types to send, such as ``workflow.*``.
            headers: Further headers.

        Raises:
            ValueError: *url* is no http or https URL.
        """
        if URL(url).scheme not in {"http", "https"} or not URL(url).host:
            raise ValueError(f"url must be an http or https URL, got {url!r}")
        self.delete()
        # Without this the webhook would get events from before it was set.
        for lane in self._lanes.values():
            lane.advance()
        self.webhook = RegisteredWebhook(
            id=f"whs-{next(self._numbers)}",
            url=url,
            payload_mode=payload_mode,
            signing=signing,
            secret=Secret(secret) if secret else self._new_secret(),
            headers={
                name.lower(): (name, Secret(text))
                for name, text in (headers or {}).items()
            },
            events=None if events is None else tuple(events),
            created_at=time.time(),
        )
        for lane in self._lanes.values():
            self.watch(lane)
        return self.webhook

    def delete(self) -> None:
        """Stop sending, and drop what is not delivered yet."""
        self.webhook = None
        self.queue.drop()
        self._watched.clear()

    def forget(self) -> None:
        """Ignore the queues that exist now."""
        for lane in self._lanes.values():
            lane.on_change = None

    def clear_faults(self, signed_out: Iterable[str]) -> None:
        """Withdraw all faults, and send events of the accounts that are signed in again.

        Args:
            signed_out: The names of the accounts.
        """
        self.queue.clear_faults()
        for name in sorted(signed_out):
            data = {"accountId": account_id(name), "status": STATUSES["account.active"]}
            self.emit("account.active", data)

    async def aclose(self) -> None:
        """Stop sending and close the connections."""
        self.webhook = None
        await self.queue.aclose()

    def emit(
        self,
        type: str,
        data: Mapping[str, Any],
        *,
        id: str | None = None,
        when: float | None = None,
        result: Callable[[], Any] | None = None,
    ) -> None:
        """Send an event to the webhook, if one is set and selects it.

        Args:
            type: Its type, such as ``account.frozen``; unknown ones are allowed.
            data: Its data.
            id: Its id; by default a new one.
            when: When it happened, on the sandbox's clock; by default now.
            result: Returns the result of a workflow, for the fat payload mode.
        """
        if self.webhook is None or not self.webhook.selects(type):
            return
        age = 0.0 if when is None else self._clock.now() - when
        self.queue.send(
            OutgoingEvent(
                id=id or f"{type}:{next(self._numbers)}",
                type=type,
                when=time.time() - age,
                account=str(data.get("accountId", "")),
                data=data,
                result=result,
            )
        )

    def on_change(
        self, change: StateChange, workflow: RecordedWorkflow, when: float
    ) -> None:
        """Send the event of a workflow; the older generation has no webhooks."""
        if self.webhook is None:
            return
        if change == "started":
            self.watch(workflow.lane)
        if workflow.generation == "account_api":
            return
        status = {"created": "pending", "started": "running"}.get(change)
        ended = "completed" if workflow.failure is None else "failed"
        data = {
            "workflowId": workflow.id,
            "accountId": account_id(workflow.account),
            "status": status or ended,
        }
        type = f"workflow.{change}"
        id = f"{type}:{workflow.id}"
        result = None if status else lambda: self._result(workflow)
        self.emit(type, data, id=id, when=when, result=result)

    def watch(self, lane: AccountQueue) -> None:
        """Wake at the next change in *lane*, which works nothing out until it is read."""
        when = lane.next_change
        if self.webhook is None or when is None or self._watched.get(lane) == when:
            return
        self._watched[lane] = when
        self.queue.timers.at(when, functools.partial(self._wake, lane, when))

    def _wake(self, lane: AccountQueue, when: float) -> None:
        if self._watched.get(lane) == when:
            del self._watched[lane]
        lane.advance()
        self.watch(lane)

    def _result(self, workflow: RecordedWorkflow) -> Any:
        ended = self._ended(workflow)
        return ended if self.fat == "object" else next(iter(ended.values()))

    def _request_for(self, event: OutgoingEvent) -> DeliveryRequest:
        webhook = self._find_webhook()
        body = encode_json(event.envelope(fat=webhook.payload_mode == "fat"))
        headers = Secret({"Content-Type": "application/json"})
        for name, text in webhook.headers.values():
            headers.reveal()[name] = text.reveal()
        if webhook.signing:
            headers.reveal().update(sign(body, secret=webhook.secret.reveal()))
        return DeliveryRequest(webhook.url, headers, body)

    def _new_secret(self) -> Secret[str]:
        number = next(self._numbers)
        random = self._random("webhook/secret")
        parts = (random.number(f"{number}/{part}", 1 << 64) for part in range(4))
        return Secret("".join(f"{part:016x}" for part in parts))

    # For the Admin API

    def _find_webhook(self, params: Params | None = None) -> RegisteredWebhook:
        webhook = self.webhook
        if webhook is None or (params or {}).get("id", webhook.id) != webhook.id:
            # The API does not publish this error.
            raise ApiError("webhookNotFound", "There is no such webhook.", 404)
        return webhook

    def _set(self, params: Params) -> Any:
        if self.webhook is not None:
            # The API does not publish this error either.
            message = "A webhook exists already; delete it first."
            raise ApiError("webhookAlreadyExists", message, 409)
        try:
            webhook = self.set(
                _text(params, "url"),
                payload_mode=_mode(params, "fat"),
                signing=_flag(params, default=False),
                events=_selectors(params),
                headers=_headers(params),
            )
        except ValueError:
            raise invalid_payload("url must be an http or https URL") from None
        return webhook.to_json(secret=webhook.signing)

    def _get(self, _: Params) -> Any:
        webhook = self.webhook
        return {"webhooks": [webhook.to_json()["webhook"]] if webhook else []}

    def _set_payload_mode(self, params: Params) -> Any:
        webhook = self._find_webhook(params)
        webhook.payload_mode = _mode(params)
        return webhook.to_json()

    def _delete(self, params: Params) -> None:
        self._find_webhook(params)
        self.delete()

    def _deliveries(self, _: Params) -> Any:
        newest = itertools.islice(reversed(self.queue.log), MAX_SHOWN)
        return {"deliveries": [_delivery_json(delivery.record) for delivery in newest]}

    def _replay(self, params: Params) -> None:
        self._find_webhook()
        delivery_id = _text(params, "deliveryId")
        for delivery in self.queue.log:
            if delivery.record.id == delivery_id:
                self.queue.resend(delivery)
                return
        raise ApiError("deliveryNotFound", "There is no such delivery.", 404)

    def _send_test(self, _: Params) -> None:
        self._find_webhook()
        self.emit(TEST, {"message": "This is a test of your webhook."})

    def _set_signing(self, params: Params) -> Any:
        webhook = self._find_webhook(params)
        webhook.signing = _flag(params)
        return webhook.to_json(secret=webhook.signing)

    def _reveal_secret(self, params: Params) -> Any:
        return self._find_webhook(params).to_json(secret=True)

    def _rotate_secret(self, params: Params) -> Any:
        webhook = self._find_webhook(params)
        webhook.secret = self._new_secret()
        return webhook.to_json(secret=True)

    def _set_headers(self, params: Params) -> Any:
        webhook = self._find_webhook(params)
        headers = _headers(params)
        webhook.headers = {
            name.lower(): (name, Secret(text)) for name, text in headers.items()
        }
        return webhook.to_json()

    def _set_header(self, params: Params) -> Any:
        webhook = self._find_webhook(params)
        name, text = _header(params.get("name"), params.get("value"))
        webhook.headers[name.lower()] = name, Secret(text)
        return webhook.to_json()

    def _delete_header(self, params: Params) -> Any:
        webhook = self._find_webhook(params)
        webhook.headers.pop(_text(params, "name").lower(), None)
        return webhook.to_json()

    def _set_events(self, params: Params) -> Any:
        webhook = self._find_webhook(params)
        webhook.events = _selectors(params)
        return webhook.to_json()

    def _event_types(self, _: Params) -> Any:
        return {"eventTypes": list(SELECTABLE)}


def _delivery_json(delivery: RecordedDelivery) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "eventType": delivery.event_type,
        "eventId": delivery.event_id,
        "status": delivery.status,
        "attempts": delivery.attempts,
        "responseStatusCode": delivery.response_status,
        "lastError": delivery.last_error,
        "createdAt": iso(delivery.created_at),
        "updatedAt": iso(delivery.updated_at),
    }


def _text(params: Params, name: str) -> str:
    value = params.get(name)
    if isinstance(value, str) and value:
        return value
    raise invalid_payload(f"{name} must be a string that is not empty")


def _flag(params: Params, *, default: bool | None = None) -> bool:
    value = params.get("signingEnabled", default)
    if isinstance(value, bool):
        return value
    raise invalid_payload("signingEnabled must be true or false")


def _mode(params: Params, default: PayloadMode | None = None) -> PayloadMode:
    mode = params.get("payloadMode", default)
    if mode in ("fat", "thin"):
        return cast("PayloadMode", mode)
    raise invalid_payload("payloadMode must be fat or thin")


def _selectors(params: Params) -> tuple[str, ...] | None:
    events = params.get("events")
    if events is None:
        return None
    if isinstance(events, list) and all(event in SELECTORS for event in events):
        return tuple(events)
    raise invalid_payload("events must be selectors such as workflow.*, or null")


def _headers(params: Params) -> dict[str, str]:
    headers = params.get("headers") or {}
    if isinstance(headers, dict):
        return dict(_header(name, value) for name, value in headers.items())
    raise invalid_payload("headers must be an object of names and values, or null")


def _header(name: object, value: object) -> tuple[str, str]:
    if (
        isinstance(name, str)
        and isinstance(value, str)
        and _NAME.fullmatch(name)
        and _VALUE.fullmatch(value)
    ):
        return name, value
    raise invalid_payload("a header must have a valid name and a value of one line")


class WebhookMixin:
    """The methods of a sandbox for tests of webhooks."""

    _webhook: WebhookEndpoint

    def send_webhooks_to(
        self,
        url: str,
        *,
        secret: str | None = None,
        signing: bool = True,
        payload_mode: PayloadMode = "fat",
        fat: FatResult = "object",
        events: Iterable[str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """Send all events to *url* from now on, like the Admin API's ``webhook.set``.

        Args:
            url: The receiver's URL; http and loopback are allowed.
            secret: The secret of the signatures; by default it is random.
            signing: Whether deliveries are signed.
            payload_mode: Whether events of completed workflows include their results.
            fat: The form of a result, which the API does not publish: an ``object``
                with ``completion`` or ``failure``, or the ``completion`` itself.
            events: Selectors of the types to send, such as ``workflow.*``.
            headers: Further headers.

        Returns:
            The secret.

        Raises:
            ValueError: *url* is no http or https URL.
        """
        self._webhook.fat = fat
        return self._webhook.set(
            url,
            payload_mode=payload_mode,
            signing=signing,
            secret=secret,
            events=events,
            headers=headers,
        ).secret.reveal()

    def webhook_faults(
        self,
        *,
        lose: float = 0.0,
        duplicate: float = 0.0,
        reorder: float = 0.0,
        delay: float | DelayRange = 0.0,
        dead: bool = False,
    ) -> WebhookFaults:
        """Change the deliveries of events, until `clear_faults`.

        Args:
            lose: The fraction that never arrives.
            duplicate: The fraction that arrives twice.
            reorder: The fraction that waits until a later event has arrived, for a
                minute at most.
            delay: The delay in seconds, before they are divided by *speed*: a number,
                or the minimum and the maximum.
            dead: Whether no event arrives.

        Returns:
            The faults, whose ``hits`` list what they changed.

        Raises:
            ValueError: A number is out of range.
        """
        return self._webhook.queue.add_faults(
            lose=1.0 if dead else lose,
            duplicate=duplicate,
            reorder=reorder,
            delay=delay if isinstance(delay, tuple) else (delay, delay),
        )

    def emit(self, type: str, *, account: str | None = None, **data: Any) -> None:
        """Send an event to the webhook, if one is set and selects it.

        Args:
            type: Its type, such as ``account.frozen``; unknown ones are allowed.
            account: The identification token of its account.
            data: Further data, by the API's names; the status of the type is added.
        """
        fields: dict[str, Any] = {}
        if account is not None:
            fields["accountId"] = account_id(account_name(account))
        if type in STATUSES:
            fields["status"] = STATUSES[type]
        self._webhook.emit(type, {**fields, **data})

    @property
    def deliveries(self) -> tuple[RecordedDelivery, ...]:
        """The deliveries to the webhook, oldest first; at most the last 10,000."""
        return tuple(delivery.record for delivery in self._webhook.queue.log)
