"""The calls of the Admin API, group by group.

https://linkedapi.io/docs/admin-overview
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from linkedapi_async._wire.read import structure
from linkedapi_async.admin._connection import AdminConnection
from linkedapi_async.admin._parameters import body
from linkedapi_async.admin._results import (
    BillingPeriod,
    Delivery,
    EventSelector,
    Limit,
    LimitUsage,
    PayloadMode,
    Price,
    Seat,
    SeatChange,
    SeatType,
    SubscriptionStatus,
    Webhook,
)
from linkedapi_async.errors import ProtocolError


T = TypeVar("T")


def object_reader(cls: type[T]) -> Callable[[Any], T]:
    """Return a reader of an object; values that do not fit are kept in ``raw``."""
    return lambda raw: structure(raw, cls)


def named_object_reader(name: str, cls: type[T]) -> Callable[[Any], T]:
    """Return a reader of the object called *name*."""

    def read(raw: Any) -> T:
        found = raw.get(name) if isinstance(raw, dict) else None
        if not isinstance(found, dict):
            raise ProtocolError(f"the answer has no {name}")
        return object_reader(cls)(found)

    return read


def list_reader(name: str, cls: type[T]) -> Callable[[Any], list[T]]:
    """Return a reader of the list called *name*."""

    def read(raw: Any) -> list[T]:
        found = raw.get(name) if isinstance(raw, dict) else None
        if not isinstance(found, list):
            # A missing list is not an empty one.
            raise ProtocolError(f"the answer has no list of {name}")
        made: list[T] = structure(found, list[cls])  # type: ignore[valid-type]
        return made

    return read


def _ignore_answer(_: Any) -> None:
    """Return None for an answer without a value."""


class Calls:
    """A group of calls of an `Admin`."""

    def __init__(self, connection: AdminConnection) -> None:
        self._connection = connection

    async def _ask(self, call: str, read: Callable[[Any], T], **values: Any) -> T:
        return await self._connection.call(call, "ask", read, body(call, values))

    async def _change(self, call: str, read: Callable[[Any], T], **values: Any) -> T:
        parameters = body(call, values)
        return await self._connection.call(call, "start_write", read, parameters)

    async def _do(self, call: str, **values: Any) -> None:
        parameters = body(call, values)
        await self._connection.call(
            call, "start_write", _ignore_answer, parameters, void=True
        )


class SubscriptionCalls(Calls):
    """The subscription and its seats.

    https://linkedapi.io/docs/admin-subscription
    """

    async def get_status(self) -> SubscriptionStatus:
        """Return the state of the subscription."""
        return await self._ask(
            "subscription.getStatus", object_reader(SubscriptionStatus)
        )

    async def get_seats(self) -> list[Seat]:
        """Return the seats bought; one seat is one connected LinkedIn account."""
        return await self._ask("subscription.getSeats", list_reader("seats", Seat))

    async def set_seats(
        self, quantity: int, seat_type: SeatType, billing_period: BillingPeriod
    ) -> SeatChange:
        """Change the seats, or get the link to a page where to pay for them.

        Fewer seats than accounts freeze the surplus accounts.

        Args:
            quantity: How many; the API takes 1 to 1000.
            seat_type: ``core``, or ``plus`` for the ``nv.*`` actions too.
            billing_period: ``month`` or ``year``.
        """
        return await self._change(
            "subscription.setSeats",
            object_reader(SeatChange),
            quantity=quantity,
            seat_type=seat_type,
            billing_period=billing_period,
        )

    async def get_pricing(self) -> list[Price]:
        """Return the price list; later versions of the documentation omit it."""
        return await self._ask(
            "subscription.getPricing", list_reader("products", Price)
        )


class LimitsCalls(Calls):
    """How many actions of a category an account may run in a period.

    https://linkedapi.io/docs/admin-limits
    """

    async def get_defaults(self) -> list[Limit]:
        """Return the limits of accounts without limits of their own."""
        return await self._ask("limits.getDefaults", list_reader("limits", Limit))

    async def get(self, account_id: str) -> list[Limit]:
        """Return the limits of an account."""
        read = list_reader("limits", Limit)
        return await self._ask("limits.get", read, account_id=account_id)

    async def get_usage(self, account_id: str) -> list[LimitUsage]:
        """Return the limits of an account and their use."""
        read = list_reader("usage", LimitUsage)
        return await self._ask("limits.getUsage", read, account_id=account_id)

    async def set(self, account_id: str, limits: Sequence[Limit]) -> None:
        """Set these limits of an account; its others stay unchanged.

        Args:
            account_id: The account.
            limits: ``Limit(category="stMessages", period="daily", max_value=20)``;
                limits that `get` returned for another account work too.
        """
        await self._do("limits.set", account_id=account_id, limits=limits)

    async def delete(self, account_id: str, limits: Sequence[Limit]) -> None:
        """Reset these limits of an account to the defaults.

        Args:
            account_id: The account.
            limits: Only the category and the period of each are used.
        """
        await self._do("limits.delete", account_id=account_id, limit_refs=limits)

    async def reset_to_defaults(self, account_id: str) -> None:
        """Reset all limits of an account to the defaults."""
        await self._do("limits.resetToDefaults", account_id=account_id)


class WebhookCalls(Calls):
    """The one webhook of the client.

    https://linkedapi.io/docs/admin-webhooks
    """

    async def set(
        self,
        url: str,
        *,
        payload_mode: PayloadMode | None = None,
        signing_enabled: bool | None = None,
        headers: Mapping[str, str] | None = None,
        events: Sequence[EventSelector] | None = None,
    ) -> Webhook:
        """Register the webhook; another address needs another registration.

        Args:
            url: The address of the receiver, https; the API refuses private addresses.
            payload_mode: ``fat`` (the API's default) delivers results, ``thin`` only
                the ids of workflows.
            signing_enabled: Whether deliveries are signed; the answer has the secret.
            headers: Headers of every delivery.
            events: The event types to deliver; by default all.
        """
        given = {
            "payload_mode": payload_mode,
            "signing_enabled": signing_enabled,
            "headers": headers,
            "events": events,
        }
        more = {name: value for name, value in given.items() if value is not None}
        return await self._changed("webhook.set", url=url, **more)

    async def get(self) -> list[Webhook]:
        """Return the webhook: a list of one, or none."""
        return await self._ask("webhook.get", list_reader("webhooks", Webhook))

    async def set_payload_mode(self, id: str, payload_mode: PayloadMode) -> Webhook:
        """Switch between ``fat`` and ``thin``."""
        return await self._changed(
            "webhook.setPayloadMode", id=id, payload_mode=payload_mode
        )

    async def set_signing(self, id: str, signing_enabled: bool) -> Webhook:
        """Switch signing on or off; switched on, the answer has the secret."""
        return await self._changed(
            "webhook.setSigning", id=id, signing_enabled=signing_enabled
        )

    async def set_headers(self, id: str, headers: Mapping[str, str] | None) -> Webhook:
        """Replace all headers of deliveries; None or an empty dict removes them."""
        return await self._changed("webhook.setHeaders", id=id, headers=headers or {})

    async def set_header(self, id: str, name: str, value: str) -> Webhook:
        """Set one header of deliveries; case does not matter."""
        return await self._changed("webhook.setHeader", id=id, name=name, value=value)

    async def delete_header(self, id: str, name: str) -> Webhook:
        """Remove one header of deliveries; case does not matter."""
        return await self._changed("webhook.deleteHeader", id=id, name=name)

    async def set_events(
        self, id: str, events: Sequence[EventSelector] | None
    ) -> Webhook:
        """Choose the event types to deliver; None means all.

        Args:
            id: The webhook.
            events: Types of events such as ``workflow.completed``, or all of a kind
                such as ``inbox.*``. Test events are always delivered.
        """
        return await self._changed("webhook.setEvents", id=id, events=events)

    async def reveal_secret(self, id: str) -> Webhook:
        """Return the webhook with its secret, which is unchanged."""
        read = named_object_reader("webhook", Webhook)
        return await self._ask("webhook.revealSecret", read, id=id)

    async def rotate_secret(self, id: str) -> Webhook:
        """Replace the secret; the answer has the new one."""
        return await self._changed("webhook.rotateSecret", id=id)

    async def _changed(self, call: str, **values: Any) -> Webhook:
        read = named_object_reader("webhook", Webhook)
        return await self._change(call, read, **values)

    async def delete(self, id: str) -> None:
        """Remove the webhook; pending deliveries are dropped."""
        await self._do("webhook.delete", id=id)

    async def deliveries(self) -> list[Delivery]:
        """Return the latest deliveries, newest first."""
        return await self._ask(
            "webhook.deliveries", list_reader("deliveries", Delivery)
        )

    async def replay_delivery(self, delivery_id: str) -> None:
        """Deliver an event again, with the same event id."""
        await self._do("webhook.replayDelivery", delivery_id=delivery_id)

    async def send_test(self) -> None:
        """Deliver a ``webhook.test`` event."""
        await self._do("webhook.sendTest")

    async def event_types(self) -> list[str]:
        """Return all event types, in the API's order."""
        return await self._ask("webhook.eventTypes", list_reader("eventTypes", str))
