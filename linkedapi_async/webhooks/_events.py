"""Typed events of webhooks.

https://linkedapi.io/docs/webhooks
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from attrs import NOTHING, field, fields, frozen

from linkedapi_async._utils.json import decode_json
from linkedapi_async._utils.spelling import json_name
from linkedapi_async.errors import WebhookError


Body: TypeAlias = bytes | bytearray | memoryview
"""The body of a delivery, as received."""


@frozen(kw_only=True)
class Event:
    """Something that happened, as Linked API reports it.

    Two events are equal if their attributes are; ``raw`` does not count.
    """

    id: str
    """The same for every delivery of this event."""
    type: str
    """What happened, such as ``workflow.completed``."""
    created_at: str | None = None
    """When, in ISO 8601, if the API says it."""
    account_id: str | None = None
    """The LinkedIn account it happened to: the id that the Admin API gives it."""
    raw: Mapping[str, Any] = field(repr=False, eq=False)
    """The JSON as received."""

    @property
    def data(self) -> Mapping[str, Any]:
        """The ``data`` of the JSON as received; empty if it has no data."""
        data = self.raw.get("data")
        return data if isinstance(data, dict) else {}


@frozen(kw_only=True)
class WorkflowEvent(Event):
    """A workflow was created, started or completed; a cancelled one has no event."""

    workflow_id: str
    status: Literal["pending", "running", "completed", "failed"] | str | None = None
    """Its status after the event; completed or failed if it has ended."""

    @property
    def result(self) -> Any:
        """The result of a completed one in the payload mode ``fat``; otherwise None.

        It is the JSON as received; the API does not publish its inner shape.
        """
        return self.data.get("result")

    @property
    def completion(self) -> Any:
        """The completion in ``result``, in JSON; None if it is unclear.

        `Session.attach` with the id returns a typed one, without guessing.
        """
        return self._in_result("completed", "completion", _is_completion)

    @property
    def failure(self) -> Mapping[str, Any] | None:
        """Why it failed, with ``reason`` and ``message``; None if that is not clear."""
        found: Mapping[str, Any] | None
        found = self._in_result("failed", "failure", _is_failure)
        return found

    def _in_result(self, status: str, name: str, fits: Callable[[Any], bool]) -> Any:
        result = self.result
        inside = result.get(name) if isinstance(result, dict) else None
        found = [value for value in (result, inside) if fits(value)]
        return found[0] if self.status == status and len(found) == 1 else None


def _is_completion(value: Any) -> bool:
    nodes = value if isinstance(value, list) else [value]
    return bool(nodes) and all(
        isinstance(node, dict) and isinstance(node.get("actionType"), str)
        for node in nodes
    )


def _is_failure(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("reason"), str)


@frozen(kw_only=True)
class AccountEvent(Event):
    """The state of a LinkedIn account changed."""

    status: (
        Literal["active", "reconnection_required", "frozen", "deleted"] | str | None
    ) = None
    """Its state now."""


@frozen(kw_only=True)
class MessageEvent(Event):
    """A message came in or went out."""

    message_id: str
    source: Literal["st", "nv"] | str | None = field(
        default=None, metadata={"wire": "type"}
    )
    """Where: standard messaging or Sales Navigator; ``type`` in the JSON."""
    thread_id: str | None = None
    person_urn: str | None = None
    person_hashed_url: str | None = None
    person_public_url: str | None = None
    person_url: str | None = None
    """Deprecated by the API in favour of the two other URLs."""
    sender: Literal["us", "them"] | str | None = None
    text: str | None = None
    time: str | None = None
    """When it was sent, in ISO 8601."""


@frozen(kw_only=True)
class ConnectionEvent(Event):
    """A connection was accepted, added or requested; ``type`` says which."""

    person_urn: str | None = None
    person_url: str | None = None
    detected_at: str | None = None
    """When the API saw it, in ISO 8601."""


@frozen(kw_only=True)
class WebhookTestEvent(Event):
    """A test event of the API."""

    message: str | None = None


@frozen(kw_only=True)
class UnknownEvent(Event):
    """An event of an unknown type, or without the id of its object.

    Its content is in ``data``.
    """


CLASSES: Final[Mapping[str, type[Event]]] = MappingProxyType(
    {
        "workflow.created": WorkflowEvent,
        "workflow.started": WorkflowEvent,
        "workflow.completed": WorkflowEvent,
        "account.active": AccountEvent,
        "account.reconnectionRequired": AccountEvent,
        "account.frozen": AccountEvent,
        "account.deleted": AccountEvent,
        "inbox.messageReceived": MessageEvent,
        "inbox.messageSent": MessageEvent,
        "network.connectionAccepted": ConnectionEvent,
        "network.connectionAdded": ConnectionEvent,
        "network.connectionRequestReceived": ConnectionEvent,
        "webhook.test": WebhookTestEvent,
    }
)
"""The types of events that are known."""

STATUSES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "workflow.created": "pending",
        "workflow.started": "running",
        "account.active": "active",
        "account.reconnectionRequired": "reconnection_required",
        "account.frozen": "frozen",
        "account.deleted": "deleted",
    }
)
"""The status that a type of event implies, if its data has none."""


def read_event(body: Body) -> Event:
    """Return the event in the body of a delivery; its signature is not checked.

    A value of an unexpected type counts as missing; ``raw`` keeps it.

    Raises:
        WebhookError: It is not a JSON object with an ``id`` and a ``type``.
        TypeError: *body* is no bytes.
    """
    try:
        raw = decode_json(plain_bytes(body))
    except ValueError:
        raw = None
    if not isinstance(raw, dict):
        raise WebhookError("the body is not an event: it must be a JSON object")
    missing = [name for name in ("id", "type") if not _text(raw, name)]
    if missing:
        names = " and no ".join(missing)
        raise WebhookError(f"the body is no event: it has no {names}")
    return _typed(raw)


def _typed(raw: dict[str, Any]) -> Event:
    sent = raw.get("data")
    data = sent if isinstance(sent, dict) else {}
    common = {
        "id": raw["id"],
        "type": raw["type"],
        "created_at": _text(raw, "createdAt"),
        "account_id": _text(data, "accountId"),
        "raw": raw,
    }
    cls = CLASSES.get(raw["type"], UnknownEvent)
    own = [each for each in fields(cls) if each.name not in common]
    values: dict[str, Any] = {
        each.name: _text(data, each.metadata.get("wire") or json_name(each.name))
        for each in own
    }
    if any(not values[each.name] for each in own if each.default is NOTHING):
        return UnknownEvent(**common)
    if "status" in values and values["status"] is None:
        values["status"] = STATUSES.get(raw["type"])
    return cls(**common, **values)


def _text(values: Mapping[str, Any], name: str) -> str | None:
    value = values.get(name)
    return value if isinstance(value, str) else None


def digest_of(event: Event) -> bytes:
    """Return the digest of an event's id, so that all ids have the same size."""
    text = event.id.encode(errors="surrogatepass")
    return hashlib.blake2b(text, digest_size=16).digest()


def happened_at(event: Event) -> float | None:
    """Return when an event happened, in seconds since 1970; None if unknown."""
    try:
        when = datetime.fromisoformat(event.created_at or "")
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def plain_bytes(body: object) -> bytes:
    """Return the bytes of a *body*.

    Raises:
        TypeError: It is something else, such as a text.
    """
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    raise TypeError(
        f"body must be the bytes as received, got {type(body).__name__}; "
        "what was decoded and encoded again may differ from what was signed"
    )
