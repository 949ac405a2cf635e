"""The Admin API of the sandbox: subscription, accounts, limits.

https://linkedapi.io/docs/admin-overview
"""

from __future__ import annotations

import hashlib
import typing
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import attrs

from linkedapi_async._types import LimitCategory, LimitPeriod
from linkedapi_async._utils.json import decode_json
from linkedapi_async._utils.secret import Secret
from linkedapi_async.admin._results import BillingPeriod, SeatType
from linkedapi_async.sandbox._clock import Calendar
from linkedapi_async.sandbox._limits import (
    AccountLimits,
    LimitKey,
    Setting,
    check_limits,
)
from linkedapi_async.sandbox._responses import ApiError, invalid_payload
from linkedapi_async.sandbox._tokens import TokenStore, account_id, account_name
from linkedapi_async.sandbox._world import Facts, World


Parameters: TypeAlias = Mapping[str, Any]
CallHandlers: TypeAlias = Mapping[str, Callable[[Parameters], Any]]
"""The functions that answer the calls, by name; they may raise an `ApiError`."""

OPEN = frozenset({"pending", "preparing", "serving", "streaming"})
"""The states of a connection session that is not finished."""
PRICES = {
    ("core", "month"): 6900,
    ("core", "year"): 58_800,
    ("plus", "month"): 9900,
    ("plus", "year"): 88_800,
}
"""In US cents; all except two are invented."""
RELEASES = (
    ("2026-07-20", "An error for used-up trials"),
    ("2026-07-06", "Inbox events"),
    ("2026-06-29", "Webhooks"),
    ("2026-04-06", "Administration"),
)
"""The dates and titles of the changelog, newest first."""
MAX_SEATS = 1000


@attrs.define
class RecordedConnection:
    """A session in which a user connects or reconnects an account."""

    id: str
    account: str | None
    """The name of the account that is reconnected; None for a new one."""
    status: str = "pending"

    @property
    def link(self) -> str:
        """The page that a user would open."""
        return f"https://app.linkedapi.example/connection/{self.id}"


class Administration:
    """The state of the Admin API, and the functions that answer its calls.

    Args:
        tokens: The tokens; its accounts are those with a valid or used token.
        signed_out: The names of the accounts that need a reconnection.
        world: Makes up the owners of the accounts.
        calendar: The dates of the sandbox's clock.
        limits: The limits of the accounts.
        count: Counts the actions of an account up to now against its limits.
        seat_type: The type of the seats at the start.
        seats: Their number.
    """

    def __init__(
        self,
        *,
        tokens: TokenStore,
        signed_out: set[str],
        world: World,
        calendar: Calendar,
        limits: AccountLimits,
        count: Callable[[str], None],
        seat_type: str,
        seats: int,
    ) -> None:
        self._tokens = tokens
        self._signed_out = signed_out
        self._world = world
        self._calendar = calendar
        self._limits = limits
        self._count = count
        self.on_event: Callable[[str, Facts], object] = _ignore_event
        """Called with the type and data of an event when an account changes."""
        self._made = 0
        self._connections: dict[str, RecordedConnection] = {}
        self._connected: dict[str, str] = {}
        if not 1 <= seats <= MAX_SEATS:
            raise ValueError(f"seats must be from 1 to {MAX_SEATS}, got {seats!r}")
        self._seats: dict[str, Facts] = {seat_type: _seat(seat_type, seats)}
        self.subscription: Facts = {
            "status": "active",
            "eligibleForTrial": False,
            "cancelAtPeriodEnd": False,
        }
        self.calls: dict[str, Callable[[Parameters], Any]] = {
            "subscription.getStatus": lambda _: dict(self.subscription),
            "subscription.getSeats": lambda _: {"seats": [*self._seats.values()]},
            "subscription.setSeats": self._set_seats,
            "subscription.getPricing": _pricing,
            "accounts.getAll": self._get_all,
            "accounts.disconnect": self._disconnect,
            "accounts.reparseAccountInfo": self._reparse,
            "accounts.regenerateIdentificationToken": self._regenerate,
            "accounts.createConnectionSession": self._connect,
            "accounts.createReconnectionSession": self._reconnect,
            "accounts.getConnectionSession": self._progress,
            "accounts.cancelConnectionSession": self._cancel,
            "limits.getDefaults": lambda _: {"limits": _entries(self._limits.of(""))},
            "limits.get": lambda params: {
                "limits": _entries(self._limits.of(self._account(params)))
            },
            "limits.getUsage": self._usage,
            "limits.set": self._set_limits,
            "limits.delete": self._delete_limits,
            "limits.resetToDefaults": self._reset_limits,
        }

    def finish(self, session_id: str, status: str) -> str | None:
        """Set the state of a connection session; return the token of its account.

        Raises:
            ValueError: The session does not exist or is finished.
        """
        connection = self._connections.get(session_id)
        if connection is None or connection.status not in OPEN:
            raise ValueError(f"there is no open connection session {session_id!r}")
        connection.status = status
        if status != "success":
            return None
        if connection.account is None:
            token = self._new_token()
            name = self._tokens.add(token)
        else:
            name = connection.account
            token = self._tokens.live[name]
            self._signed_out.discard(name)
        self._connected[name] = _moment(self._calendar.now().astimezone(UTC))
        self._emit(name, "active")
        return token.reveal()

    def _new_token(self) -> Secret[str]:
        return Secret(f"id_{self._new_id('token')}")

    def is_frozen(self, account: str) -> bool:
        """Return whether an account has no seat; the oldest accounts have them."""
        seats = self._seat_count()
        names = self._tokens.live
        return len(names) > seats and account in [*names][seats:]

    def _emit(self, name: str, state: str) -> None:
        self.on_event(
            f"account.{state}", {"accountId": account_id(name), "status": state}
        )

    # Subscription

    def _seat_count(self) -> int:
        return sum(seat["quantity"] for seat in self._seats.values())

    def _set_seats(self, params: Parameters) -> Facts:
        quantity = _integer(params, "quantity", 1, MAX_SEATS)
        seat_type = _choice(params, "seatType", SeatType)
        period = _choice(params, "billingPeriod", BillingPeriod)
        if self.subscription.get("status") is None:
            link = f"https://pay.linkedapi.example/{self._new_id('payment')}"
            return {"status": "processing", "paymentLink": link}
        self._seats[seat_type] = _seat(seat_type, quantity, period)
        return {"status": "complete"}

    # Accounts

    def _account(self, params: Parameters) -> str:
        """Return the name of the account of a call."""
        given = params.get("accountId")
        if not isinstance(given, str) or not given:
            message = "'accountId' is missing in the request or is malformed."
            raise ApiError("accountIdRequired", message, 401)
        for name in self._tokens.live:
            if account_id(name) == given:
                return name
        raise ApiError("accountNotFound", "There is no such account.", 401)

    def _get_all(self, _: Parameters) -> Facts:
        seats = self._seat_count()
        return {
            "accounts": [
                self._record(name, token, frozen=place >= seats)
                for place, (name, token) in enumerate(self._tokens.live.items())
            ],
            "pendingConnectionSessions": [
                {"sessionId": connection.id, "status": connection.status}
                for connection in self._connections.values()
                if connection.account is None and connection.status in OPEN
            ],
        }

    def _record(self, name: str, token: Secret[str], *, frozen: bool) -> Facts:
        facts = owner(self._world, name)
        days = self._world.random(f"account/{name}").between("connected", 1, 300)
        default = _moment(self._calendar.at(0.0).astimezone(UTC) - timedelta(days=days))
        record = {
            "id": account_id(name),
            "name": facts["name"],
            "url": facts["public_url"],
            "avatarUrl": facts["avatar_url"],
            "headline": facts["headline"],
            "countryCode": facts["country_code"],
            "identificationToken": token.reveal(),
            "status": "frozen" if frozen else "active",
            "connectedAt": self._connected.get(name, default),
        }
        if name in self._signed_out and not frozen:
            reconnection = self._reconnection(name)
            record["status"] = "reconnection_required"
            record["reconnectionSessionId"] = reconnection.id
            record["reconnectionLink"] = reconnection.link
        return record

    def _disconnect(self, params: Parameters) -> Facts:
        name = self._account(params)
        self._tokens.remove(name)
        self._emit(name, "deleted")
        return {}

    def _reparse(self, params: Parameters) -> Facts:
        self._account(params)
        return {"workflowId": f"wf-{self._new_id('workflow')}"}

    def _regenerate(self, params: Parameters) -> Facts:
        name = self._account(params)
        self._tokens.revoke(name)
        token = self._new_token()
        self._tokens.add(token, name)
        return {"token": token.reveal()}

    def _connect(self, _: Parameters) -> Facts:
        if len(self._tokens.live) >= self._seat_count():
            message = "There is no free seat for another account."
            raise ApiError("noAvailableSeats", message, 402)
        made = self._open(None)
        return {"sessionId": made.id, "connectionLink": made.link}

    def _reconnect(self, params: Parameters) -> Facts:
        made = self._reconnection(self._account(params))
        return {"reconnectionSessionId": made.id, "reconnectionLink": made.link}

    def _open(self, account: str | None) -> RecordedConnection:
        made = RecordedConnection(self._new_id("connection"), account)
        self._connections[made.id] = made
        return made

    def _reconnection(self, name: str) -> RecordedConnection:
        """Return the open session that reconnects an account."""
        for connection in self._connections.values():
            if connection.account == name and connection.status in OPEN:
                return connection
        return self._open(name)

    def _session(self, params: Parameters) -> RecordedConnection:
        connection = self._connections.get(str(params.get("sessionId")))
        if connection is None:
            message = "There is no such connection session."
            raise ApiError("sessionNotFound", message, 404)
        return connection

    def _progress(self, params: Parameters) -> Facts:
        connection = self._session(params)
        kind = "connect" if connection.account is None else "reconnect"
        fields = {"sessionId": connection.id, "status": connection.status}
        return {"session": {**fields, "type": kind}}

    def _cancel(self, params: Parameters) -> None:
        connection = self._session(params)
        if connection.status in OPEN:
            connection.status = "cancelled"

    # Limits

    def _usage(self, params: Parameters) -> Facts:
        name = self._account(params)
        self._count(name)
        usage = []
        for entry in _entries(self._limits.of(name)):
            used = self._limits.used(name, (entry["category"], entry["period"]))
            # The documentation and the official SDK disagree on the name.
            usage.append({**entry, "currentValue": used, "currentUsage": used})
        return {"usage": usage}

    def _set_limits(self, params: Parameters) -> None:
        name = self._account(params)
        limits = {}
        for fields in _objects(params, "limits"):
            maximum = _integer(fields, "maxValue", 0, None)
            limits[_limit_key(fields)] = (maximum, _flag(fields, "isEnabled"))
        self.set_limits(name, limits)

    def set_limits(self, name: str, limits: Mapping[LimitKey, Setting]) -> None:
        """Set limits of an account; earlier actions count against them."""
        self._count(name)
        self._limits.set(name, limits)

    def set_note_limit(self, name: str, maximum: int | None) -> None:
        """Set the monthly maximum of notes; earlier ones count against it."""
        self._count(name)
        self._limits.set_notes(name, maximum)

    def _delete_limits(self, params: Parameters) -> None:
        name = self._account(params)
        for key in [_limit_key(fields) for fields in _objects(params, "limits")]:
            self._limits.delete(name, key)

    def _reset_limits(self, params: Parameters) -> None:
        self._limits.reset(self._account(params))

    def _new_id(self, what: str) -> str:
        self._made += 1
        text = f"{self._world.seed}/{what}/{self._made}".encode()
        digest = hashlib.blake2b(text, digest_size=16).digest()
        return str(uuid.UUID(bytes=digest, version=4))


def _ignore_event(type: str, data: Facts) -> None:
    """Send no event."""


class AdminMixin:
    """The methods of a sandbox that change its accounts and its subscription."""

    _administration: Administration

    def finish_connection(self, session_id: str, status: str = "success") -> str | None:
        """Set the state of a connection session, as its user would.

        Args:
            session_id: The session, of a new account or of one that is signed out.
            status: Its new state: ``success`` connects the account; ``expired``,
                ``error`` and ``cancelled`` end the session; ``streaming`` and other
                states leave it open.

        Returns:
            The identification token of the account after ``success``, else None.

        Raises:
            ValueError: The session does not exist or is finished.
        """
        return self._administration.finish(session_id, status)

    def set_limits(self, account: str, limits: Mapping[LimitKey, int]) -> None:
        """Enforce limits for an account; actions above them fail: ``limitExceeded``.

        Periods begin at midnight in the sandbox's time zone. What the account did in
        the current periods counts.

        Args:
            account: Its identification token.
            limits: The maximum of each category and period, such as
                ``{("stMessages", "daily"): 50}``; its other limits remain.

        Raises:
            ValueError: A category or period is unknown, or a number is negative.
        """
        settings = {key: (value, True) for key, value in check_limits(limits).items()}
        self._administration.set_limits(account_name(account), settings)

    def set_note_limit(self, account: str, maximum: int | None) -> None:
        """Limit the connection requests with a note per month: ``noteLimitExceeded``.

        Args:
            account: Its identification token.
            maximum: The number of notes; None sets no maximum.

        Raises:
            ValueError: The number is negative.
        """
        self._administration.set_note_limit(account_name(account), maximum)

    def subscribe(
        self,
        status: str | None,
        *,
        eligible_for_trial: bool = False,
        cancel_at_period_end: bool = False,
    ) -> None:
        """Set the state of the subscription; a *status* of None removes it."""
        state = {"status": status} if status is not None else {}
        self._administration.subscription = {
            **state,
            "eligibleForTrial": eligible_for_trial,
            "cancelAtPeriodEnd": cancel_at_period_end,
        }


def answer(calls: CallHandlers, call: str, body: bytes) -> Any:
    """Return the result of a call of the Admin API.

    Raises:
        ApiError: The call does not exist, or a parameter is wrong.
    """
    work = calls.get(call)
    if work is None:
        raise ApiError("notFound", f"There is no POST /admin/{call}.", 404)
    try:
        params = decode_json(body) if body else {}
    except ValueError:
        params = None
    if not isinstance(params, dict):
        raise invalid_payload("the body must be a JSON object")
    return work(params)


def changelog(since: str | None) -> Facts:
    """Return the entries of the weeks that ended after *since*.

    Raises:
        ValueError: *since* is neither a date nor a time with a time zone.
    """
    after = datetime.min.replace(tzinfo=UTC) if since is None else _instant(since)
    entries = [
        {"date": date, "items": [_item(title)]}
        for date, title in RELEASES
        if _week_end(date) > after
    ]
    return {"since": since, "count": len(entries), "entries": entries}


def _item(title: str) -> Facts:
    return {"title": title, "body": f"{title}.", "docs": "/docs/making-requests"}


def _instant(text: str) -> datetime:
    when = datetime.fromisoformat(text)
    if when.tzinfo is None and len(text) > len("2026-07-01"):
        raise ValueError(text)
    return when if when.tzinfo is not None else when.replace(tzinfo=UTC)


def _week_end(date: str) -> datetime:
    day = datetime.fromisoformat(date).replace(tzinfo=UTC)
    return day + timedelta(days=7 - day.weekday())


def owner(world: World, name: str) -> Facts:
    """Return the facts of the owner of the account called *name*."""
    return world.member("sandbox", 1, {}, key=f"account/{name}").facts


def _moment(when: datetime) -> str:
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _seat(seat_type: str, quantity: int, period: str = "month") -> Facts:
    return {"seatType": seat_type, "quantity": quantity, "billingPeriod": period}


def _pricing(_: Parameters) -> Facts:
    return {
        "products": [
            {
                "id": f"price_{seat_type}_{period}",
                "seatType": seat_type,
                "billingPeriod": period,
                "unitPrice": price,
                "currency": "usd",
            }
            for (seat_type, period), price in PRICES.items()
        ]
    }


def _entries(limits: Mapping[LimitKey, Setting]) -> list[Facts]:
    return [
        {"category": category, "period": period, "maxValue": maximum, "isEnabled": on}
        for (category, period), (maximum, on) in limits.items()
    ]


def _known(alias: Any) -> Collection[str]:
    return typing.get_args(typing.get_args(alias)[0])


def _choice(fields: Parameters, name: str, alias: Any) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or value not in _known(alias):
        raise invalid_payload(f"{name} must be one of {', '.join(_known(alias))}")
    return value


def _integer(fields: Parameters, name: str, low: int, high: int | None) -> int:
    value = fields.get(name)
    if type(value) is not int or value < low or (high is not None and value > high):
        bounds = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise invalid_payload(f"{name} must be an integer {bounds}")
    return value


def _flag(fields: Parameters, name: str) -> bool:
    value = fields.get(name, True)
    if not isinstance(value, bool):
        raise invalid_payload(f"{name} must be true or false")
    return value


def _objects(params: Parameters, name: str) -> Iterator[Parameters]:
    value = params.get(name)
    if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
        raise invalid_payload(f"{name} must be an array of objects")
    yield from value


def _limit_key(fields: Parameters) -> tuple[str, str]:
    return (
        _choice(fields, "category", LimitCategory),
        _choice(fields, "period", LimitPeriod),
    )
