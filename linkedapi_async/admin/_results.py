"""The results of the Admin API, typed; their secrets are masked in representations.

Every attribute may be None, because the API omits what it does not know. Enumerations
are open: unknown values are kept. https://linkedapi.io/docs/admin-overview
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from attrs import field

from linkedapi_async._results.completion import Result, json_names, result
from linkedapi_async._types import LimitCategory, LimitPeriod
from linkedapi_async._utils.text import safe_repr


AccountState: TypeAlias = Literal["active", "frozen", "reconnection_required"] | str

BillingPeriod: TypeAlias = Literal["month", "year"] | str

ConnectionWord: TypeAlias = (
    Literal[
        "pending",
        "preparing",
        "serving",
        "streaming",
        "success",
        "expired",
        "error",
        "cancelled",
    ]
    | str
)

DeliveryStatus: TypeAlias = Literal["pending", "delivering", "success", "failed"] | str

EventSelector: TypeAlias = (
    Literal[
        "workflow.created",
        "workflow.started",
        "workflow.completed",
        "workflow.*",
        "account.active",
        "account.reconnectionRequired",
        "account.frozen",
        "account.deleted",
        "account.*",
        "inbox.messageReceived",
        "inbox.messageSent",
        "inbox.*",
        "network.connectionAccepted",
        "network.connectionAdded",
        "network.connectionRequestReceived",
        "network.*",
    ]
    | str
)

PayloadMode: TypeAlias = Literal["fat", "thin"] | str

SeatType: TypeAlias = Literal["core", "plus"] | str

SubscriptionWord: TypeAlias = (
    Literal["active", "trialing", "past_due", "canceled"] | str
)


def _hidden(_: str) -> str:
    return "…"


def shortened(text: str) -> str:
    """Return the beginning of *text*: enough to recognise it, but not to use it."""
    return f"{text[:8]}…" if len(text) > 8 else text  # noqa: PLR2004


def _without_query(url: str) -> str:
    head, mark, _ = url.partition("?")
    return f"{head}?…" if mark else url


MASKS: dict[str, Callable[[str], str]] = {
    "connection_link": _hidden,
    "identification_token": _hidden,
    "payment_link": _hidden,
    "reconnection_link": _hidden,
    "reconnection_session_id": shortened,
    "secret": _hidden,
    "session_id": shortened,
    "token": _hidden,
    "url": _without_query,
}
"""How a repr shows attributes that give access.

The id of a connection session is one, because it is the end of the link.
"""


@result
class AdminResult(Result):
    """Base of all that the Admin API answers: typed attributes over the JSON."""

    @safe_repr
    def __repr__(self) -> str:
        values = []
        for name in self._json_names():
            value = getattr(self, name)
            mask = MASKS.get(name)
            if mask is not None and isinstance(value, str):
                values.append(f"{name}={mask(value)!r}")
            elif value is not None:
                values.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(values)})"


@result
class SubscriptionStatus(AdminResult):
    """The state of the subscription."""

    status: SubscriptionWord | None = None
    """None without a subscription."""
    eligible_for_trial: bool | None = None
    """Whether the trial of 7 days is available."""
    cancel_at_period_end: bool | None = None


@result
class Seat(AdminResult):
    """Seats bought; one seat is one connected LinkedIn account."""

    seat_type: SeatType | None = None
    quantity: int | None = None
    billing_period: BillingPeriod | None = None


@result
class SeatChange(AdminResult):
    """The outcome of a change of seats."""

    status: Literal["complete", "processing"] | str | None = None
    payment_link: str | None = None
    """The page for the payment, while ``processing``."""


@result
class Price(AdminResult):
    """A product of the price list."""

    id: str | None = None
    seat_type: SeatType | None = None
    billing_period: BillingPeriod | None = None
    unit_price: int | None = None
    """In hundredths of the currency."""
    currency: Literal["usd", "eur"] | str | None = None


@result
class AdminAccount(AdminResult):
    """A connected LinkedIn account."""

    id: str | None = None
    """A UUID; webhooks name the account by it."""
    name: str | None = None
    url: str | None = None
    avatar_url: str | None = None
    headline: str | None = None
    country_code: str | None = None
    identification_token: str | None = None
    """For `Session.account`; a repr does not show it."""
    status: AccountState | None = None
    connected_at: str | None = None
    """ISO 8601, UTC."""
    reconnection_session_id: str | None = None
    """Present only if the account must be connected again."""
    reconnection_link: str | None = None
    """The page for connecting it again; a repr does not show it."""


@result
class ConnectionProgress(AdminResult):
    """The progress of a connection session."""

    session_id: str | None = None
    status: ConnectionWord | None = None
    type: str | None = None
    """Such as ``connect``; only `AccountsCalls.get_connection_session` returns it."""


@result
class AccountList(AdminResult):
    """All connected accounts, and the sessions in which more are being connected."""

    accounts: list[AdminAccount] | None = None
    pending_connection_sessions: list[ConnectionProgress] | None = None


@result
class Reparse(AdminResult):
    """The workflow that reads an account's own profile again."""

    workflow_id: str | None = None


@result
class NewToken(AdminResult):
    """An identification token that replaces an older one."""

    token: str | None = None
    """For `Session.account`; a repr does not show it."""


@result
class Limit(AdminResult):
    """How often an account may do something in a period."""

    category: LimitCategory | None = None
    period: LimitPeriod | None = None
    max_value: int | None = None
    is_enabled: bool | None = None


@result
class LimitUsage(Limit):
    """A limit, and how much of it is used up."""

    # The documentation and the types of the official SDK disagree on the name.
    current_value: int | None = field(
        default=None, metadata=json_names("currentValue", "currentUsage")
    )


@result
class Webhook(AdminResult):
    """The webhook of the client; there is one at most."""

    id: str | None = None
    url: str | None = None
    """A repr shows it without its query."""
    payload_mode: PayloadMode | None = None
    is_active: bool | None = None
    created_at: str | None = None
    """ISO 8601, UTC."""
    signing_enabled: bool | None = None
    header_names: list[str] | None = None
    """The names of the custom headers; the API never returns their values."""
    events: list[EventSelector] | None = None
    """The types of events that are delivered; None means all."""
    secret: str | None = None
    """The key of the signatures; present only when it is new or was revealed."""


@result
class Delivery(AdminResult):
    """An event on its way to the webhook."""

    id: str | None = None
    event_type: str | None = None
    event_id: str | None = None
    status: DeliveryStatus | None = None
    attempts: int | None = None
    response_status_code: int | None = None
    last_error: str | None = None
    created_at: str | None = None
    updated_at: str | None = None


@result
class ChangelogItem(AdminResult):
    """One change of the API."""

    title: str | None = None
    body: str | None = None
    docs: str | None = None
    """The path of its page, such as ``/docs/webhooks``."""


@result
class Release(AdminResult):
    """What changed in one week."""

    date: str | None = None
    """``YYYY-MM-DD``; it counts as shipped at the end of its week."""
    items: list[ChangelogItem] | None = None


@result
class Changelog(AdminResult):
    """The public list of releases, newest first."""

    since: str | None = None
    count: int | None = None
    entries: list[Release] | None = None
