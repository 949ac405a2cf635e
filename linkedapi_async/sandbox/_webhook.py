"""The webhook of the sandbox's client: its settings, and the events that it is sent.

https://linkedapi.io/docs/webhooks, https://linkedapi.io/docs/admin-webhooks
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeAlias, cast

import attrs
from yarl import URL

from linkedapi_async._utils.json import encode_json
from linkedapi_async.sandbox._clock import Clock
from linkedapi_async.sandbox._lane import AccountQueue, RecordedWorkflow, Turn
from linkedapi_async.sandbox._responses import ApiError, account_id, account_name
from linkedapi_async.sandbox._webhook_delivery import (
    Delivery,
    DeliveryQueue,
    OutgoingEvent,
    PlannedFault,
    Span,
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

SHOWN = 100
"""How many deliveries the API tells of."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")

_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


@attrs.define(kw_only=True)
class Webhook:
    """The one webhook of the client."""

    id: str
    url: str
    payload_mode: PayloadMode
    signing: bool
    secret: str = attrs.field(repr=False)
    headers: dict[str, tuple[str, str]] = attrs.field(repr=False)
    """Names and values, by the names in small letters."""
    events: tuple[str, ...] | None
    """Selectors; None for all types."""
    created_at: float
    """In Unix time."""

    def selects(self, type: str) -> bool:
        """Return whether events of *type* are wanted."""
        group = f"{type.partition('.')[0]}.*"
        wanted = self.events
        return type == TEST or wanted is None or type in wanted or group in wanted

    def told(self, *, secret: bool = False) -> dict[str, Any]:
        """Return it as the API tells of it."""
        told = {
            "id": self.id,
            "url": self.url,
            "payloadMode": self.payload_mode,
            "isActive": True,
            "createdAt": iso(self.created_at),
            "signingEnabled": self.signing,
            "headerNames": [name for name, _ in self.headers.values()],
            "events": self.events,
        }
        return {"webhook": {**told, "secret": self.secret} if secret else told}


class WebhookEndpoint:
    """Sends the events of a sandbox to the webhook; false while there is none.

    Args:
        clock: The sandbox's clock.
        speed: How many times faster than the API it works.
        dice: The chance that belongs to a key.
        lanes: The lanes of the sandbox, as they are.
        ended: Returns what a workflow came to, with ``completion`` or ``failure``.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        speed: float,
        dice: Callable[[str], SeededRandom],
        lanes: Mapping[str, AccountQueue],
        ended: Callable[[RecordedWorkflow], Mapping[str, Any]],
    ) -> None:
        self._clock = clock
        self._dice = dice
        self._lanes = lanes
        self._ended = ended
        self._numbers = itertools.count()
        self.webhook: Webhook | None = None
        self.fat: FatResult = "object"
        """What ``result`` is in fat mode, which the API does not publish: an object with
        ``completion`` or ``failure``, or one of these itself."""
        self.sender: DeliveryQueue = DeliveryQueue(clock, speed, dice, self._order)
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
        """What answers each call of the Admin API."""

    def __bool__(self) -> bool:
        return self.webhook is not None

    # For the sandbox

    def set(
        self,
        url: str,
        *,
        payload_mode: PayloadMode = "fat",
        signing: bool = False,
        secret: str | None = None,
        events: Iterable[str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Webhook:
        """Send events from now on; another webhook is forgotten.

        Args:
            url: Where to; http and this very machine are fine, unlike with the API.
            payload_mode: Whether completed workflows bring their results.
            signing: Whether deliveries are signed.
            secret: With what; by default one is made up.
            events: Selectors of the types that are wanted, such as ``workflow.*``.
            headers: What is sent beside.

        Raises:
            ValueError: The URL is none.
        """
        if URL(url).scheme not in {"http", "https"} or not URL(url).host:
            raise ValueError(f"url: http://… or https://… is due, got {url!r}")
        self.delete()
        # What happened before was none of the webhook's business.
        for lane in self._lanes.values():
            lane.advance()
        self.webhook = Webhook(
            id=f"whs-{next(self._numbers)}",
            url=url,
            payload_mode=payload_mode,
            signing=signing,
            secret=secret or self._new_secret(),
            headers={
                name.lower(): (name, text) for name, text in (headers or {}).items()
            },
            events=None if events is None else tuple(events),
            created_at=time.time(),
        )
        for lane in self._lanes.values():
            self._watch(lane)
        return self.webhook

    def delete(self) -> None:
        """Send nothing more, and drop what is on its way."""
        self.webhook = None
        self.sender.drop()

    def forget(self) -> None:
        """Notice nothing more of the lanes that there are."""
        for lane in self._lanes.values():
            lane.notice = None

    def mend(self, signed_out: Iterable[str]) -> None:
        """Let events come through, and tell of the accounts that are signed in again.

        Args:
            signed_out: The names of the accounts.
        """
        self.sender.mend()
        for name in sorted(signed_out):
            data = {"accountId": account_id(name), "status": STATUSES["account.active"]}
            self.emit("account.active", data)

    async def aclose(self) -> None:
        """Send nothing more and close the connections."""
        self.webhook = None
        await self.sender.aclose()

    def emit(
        self,
        type: str,
        data: Mapping[str, Any],
        *,
        id: str | None = None,
        when: float | None = None,
        result: Callable[[], Any] | None = None,
    ) -> None:
        """Send an event to the webhook, if there is one that wants it.

        Args:
            type: Its type, such as ``account.frozen``; one that nobody knows will do.
            data: What happened.
            id: Its id; by default it is made up.
            when: When it happened, on the sandbox's clock; by default now.
            result: What makes the result of a workflow, for the fat payload mode.
        """
        if self.webhook is None or not self.webhook.selects(type):
            return
        age = 0.0 if when is None else self._clock.now() - when
        self.sender.send(
            OutgoingEvent(
                id=id or f"{type}:{next(self._numbers)}",
                type=type,
                when=time.time() - age,
                account=str(data.get("accountId", "")),
                data=data,
                result=result,
            )
        )

    def notice(self, turn: Turn, workflow: RecordedWorkflow, when: float) -> None:
        """Tell of what happened to a workflow; the older generation has no webhooks."""
        if self.webhook is None:
            return
        if turn == "started":
            self._watch(workflow.lane)
        if workflow.generation == "account_api":
            return
        status = {"created": "pending", "started": "running"}.get(turn)
        ended = "completed" if workflow.failure is None else "failed"
        data = {
            "workflowId": workflow.id,
            "accountId": account_id(workflow.account),
            "status": status or ended,
        }
        type = f"workflow.{turn}"
        id = f"{type}:{workflow.id}"
        result = None if status else lambda: self._result(workflow)
        self.emit(type, data, id=id, when=when, result=result)

    def _watch(self, lane: AccountQueue) -> None:
        """Wake at the next end in *lane*: it would notice none until it is asked."""
        end = lane.next_end
        if end is not None:
            self.sender.alarms.at(end, lane.advance)

    def _result(self, workflow: RecordedWorkflow) -> Any:
        ended = self._ended(workflow)
        return ended if self.fat == "object" else next(iter(ended.values()))

    def _order(self, event: OutgoingEvent) -> PlannedFault:
        webhook = self._checked()
        body = encode_json(event.envelope(fat=webhook.payload_mode == "fat"))
        headers = {"Content-Type": "application/json", **dict(webhook.headers.values())}
        if webhook.signing:
            headers |= sign(body, secret=webhook.secret)
        return PlannedFault(webhook.url, headers, body)

    def _new_secret(self) -> str:
        number = next(self._numbers)
        dice = self._dice("webhook/secret")
        parts = (dice.number(f"{number}/{part}", 1 << 64) for part in range(4))
        return "".join(f"{part:016x}" for part in parts)

    # For the Admin API

    def _checked(self, params: Params | None = None) -> Webhook:
        webhook = self.webhook
        if webhook is None or (params or {}).get("id", webhook.id) != webhook.id:
            # What the API says here is not published.
            raise ApiError("webhookNotFound", "There is no such webhook.", 404)
        return webhook

    def _set(self, params: Params) -> Any:
        if self.webhook is not None:
            # Nor here.
            message = "There is a webhook already: delete it first."
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
            raise _invalid("url: http://… or https://… is due") from None
        return webhook.told(secret=webhook.signing)

    def _get(self, _: Params) -> Any:
        told = [] if self.webhook is None else [self.webhook.told()["webhook"]]
        return {"webhooks": told}

    def _set_payload_mode(self, params: Params) -> Any:
        webhook = self._checked(params)
        webhook.payload_mode = _mode(params)
        return webhook.told()

    def _delete(self, params: Params) -> None:
        self._checked(params)
        self.delete()

    def _deliveries(self, _: Params) -> Any:
        newest = itertools.islice(reversed(self.sender.log), SHOWN)
        return {"deliveries": [_told(delivery) for delivery in newest]}

    def _replay(self, params: Params) -> None:
        self._checked()
        wanted = _text(params, "deliveryId")
        for delivery in self.sender.log:
            if delivery.id == wanted:
                self.sender.resend(delivery)
                return
        raise ApiError("deliveryNotFound", "There is no such delivery.", 404)

    def _send_test(self, _: Params) -> None:
        self._checked()
        self.emit(TEST, {"message": "This is a test of your webhook."})

    def _set_signing(self, params: Params) -> Any:
        webhook = self._checked(params)
        webhook.signing = _flag(params)
        return webhook.told(secret=webhook.signing)

    def _reveal_secret(self, params: Params) -> Any:
        return self._checked(params).told(secret=True)

    def _rotate_secret(self, params: Params) -> Any:
        webhook = self._checked(params)
        webhook.secret = self._new_secret()
        return webhook.told(secret=True)

    def _set_headers(self, params: Params) -> Any:
        webhook = self._checked(params)
        headers = _headers(params)
        webhook.headers = {name.lower(): (name, text) for name, text in headers.items()}
        return webhook.told()

    def _set_header(self, params: Params) -> Any:
        webhook = self._checked(params)
        name, text = _header(params.get("name"), params.get("value"))
        webhook.headers[name.lower()] = name, text
        return webhook.told()

    def _delete_header(self, params: Params) -> Any:
        webhook = self._checked(params)
        webhook.headers.pop(_text(params, "name").lower(), None)
        return webhook.told()

    def _set_events(self, params: Params) -> Any:
        webhook = self._checked(params)
        webhook.events = _selectors(params)
        return webhook.told()

    def _event_types(self, _: Params) -> Any:
        return {"eventTypes": list(SELECTABLE)}


def _told(delivery: Delivery) -> dict[str, Any]:
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


def _invalid(detail: str) -> ApiError:
    message = f"Invalid request body/parameters: {detail}."
    return ApiError("invalidRequestPayload", message, 400)


def _text(params: Params, name: str) -> str:
    value = params.get(name)
    if isinstance(value, str) and value:
        return value
    raise _invalid(f"{name}: a text is due")


def _flag(params: Params, *, default: bool | None = None) -> bool:
    value = params.get("signingEnabled", default)
    if isinstance(value, bool):
        return value
    raise _invalid("signingEnabled: true or false is due")


def _mode(params: Params, default: PayloadMode | None = None) -> PayloadMode:
    mode = params.get("payloadMode", default)
    if mode in ("fat", "thin"):
        return cast("PayloadMode", mode)
    raise _invalid("payloadMode: fat or thin is due")


def _selectors(params: Params) -> tuple[str, ...] | None:
    events = params.get("events")
    if events is None:
        return None
    if isinstance(events, list) and all(event in SELECTORS for event in events):
        return tuple(events)
    raise _invalid("events: selectors such as workflow.* are due, or null")


def _headers(params: Params) -> dict[str, str]:
    headers = params.get("headers") or {}
    if isinstance(headers, dict):
        return dict(_header(name, value) for name, value in headers.items())
    raise _invalid("headers: an object of names and values is due, or null")


def _header(name: object, value: object) -> tuple[str, str]:
    if (
        isinstance(name, str)
        and isinstance(value, str)
        and _NAME.fullmatch(name)
        and _VALUE.fullmatch(value)
    ):
        return name, value
    raise _invalid("headers: a name and a value of one line are due")


class WebhookMixin:
    """What a sandbox offers to tests of webhooks."""

    _hooks: WebhookEndpoint

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
        """Send all events to *url* from now on, as if the Admin API had been asked to.

        Args:
            url: Where to; http and this very machine are fine.
            secret: With what deliveries are signed; by default it is made up.
            signing: Whether they are signed.
            payload_mode: Whether completed workflows bring their results.
            fat: What a result is, which the API does not publish: an ``object`` with
                ``completion`` or ``failure``, or the ``completion`` itself.
            events: Selectors of the types that are wanted, such as ``workflow.*``.
            headers: What is sent beside.

        Returns:
            The secret.

        Raises:
            ValueError: The URL is none.
        """
        self._hooks.fat = fat
        return self._hooks.set(
            url,
            payload_mode=payload_mode,
            signing=signing,
            secret=secret,
            events=events,
            headers=headers,
        ).secret

    def webhook_faults(
        self,
        *,
        lose: float = 0.0,
        duplicate: float = 0.0,
        reorder: float = 0.0,
        delay: float | Span = 0.0,
        dead: bool = False,
    ) -> WebhookFaults:
        """Let something go wrong with events on their way, until `mend`.

        Args:
            lose: The fraction that never comes.
            duplicate: The fraction that comes twice.
            reorder: The fraction that waits until a later one has come, if one comes
                within a minute.
            delay: How long they take, in seconds before they are divided by *speed*: a
                number, or the least and the most.
            dead: Whether none comes.

        Returns:
            The rule, with the account of what it really did.

        Raises:
            ValueError: A number makes no sense.
        """
        return self._hooks.sender.fault(
            lose=1.0 if dead else lose,
            duplicate=duplicate,
            reorder=reorder,
            delay=delay if isinstance(delay, tuple) else (delay, delay),
        )

    def emit(self, type: str, *, account: str | None = None, **data: Any) -> None:
        """Send an event to the webhook, if there is one that wants it.

        Args:
            type: Its type, such as ``account.frozen``; one that nobody knows will do.
            account: The identification token of the account that it is about.
            data: What it says beside, in the API's names; the status that belongs to
                the type goes without saying.
        """
        about: dict[str, Any] = {}
        if account is not None:
            about["accountId"] = account_id(account_name(account))
        if type in STATUSES:
            about["status"] = STATUSES[type]
        self._hooks.emit(type, {**about, **data})

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """The deliveries to the webhook, oldest first; of very many the last ones."""
        return tuple(self._hooks.sender.log)
