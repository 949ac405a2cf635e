"""The parameters of the calls of the Admin API, in one table.

https://linkedapi.io/docs/admin-overview
"""

from __future__ import annotations

import datetime as dt
import re
import typing
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from linkedapi_async._actions.validators import (
    Boolean,
    Enum,
    Integer,
    InvalidValue,
    ListOf,
    Validator,
)
from linkedapi_async._types import LimitCategory, LimitPeriod
from linkedapi_async._utils.spelling import json_name
from linkedapi_async._utils.text import short_repr
from linkedapi_async.admin._results import (
    BillingPeriod,
    EventSelector,
    Limit,
    PayloadMode,
    SeatType,
)
from linkedapi_async.errors import ParameterError


_DATE = re.compile(r"\d{4}-\d\d-\d\d")


class Pattern(Validator):
    """A string of a certain form; errors do not show it if it may be secret."""

    def __init__(self, pattern: str, expected: str, *, secret: bool = False) -> None:
        self.expected = expected
        self._pattern = re.compile(pattern)
        self._secret = secret

    def check(self, value: Any) -> Any:
        if isinstance(value, str) and self._pattern.fullmatch(value):
            return value
        if self._secret:
            raise InvalidValue(f"must be {self.expected}")
        raise self._wrong(value)


class WebAddress(Validator):
    """An address of the web; the API decides whether it may be reached."""

    expected = "https://host/path"

    def check(self, value: Any) -> Any:
        if not isinstance(value, str) or not _is_web_address(value):
            # An address may carry a key in its query.
            raise InvalidValue(f"must be {self.expected}")
        return value


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    web = parts.scheme in {"http", "https"} and bool(parts.hostname)
    return web and re.search(r"\s", text) is None


class HeaderMap(Validator):
    """Headers by their names; names that differ only in case are the same."""

    expected = "a dict of header names and values"

    def check(self, value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise InvalidValue(f"must be {self.expected}, got {type(value).__name__}")
        names: set[str] = set()
        for name, text in value.items():
            place = f"[{short_repr(name)}]"
            try:
                HEADER_NAME.check(name)
                HEADER_VALUE.check(text)
            except InvalidValue as refused:
                raise InvalidValue(refused.reason, place) from None
            if name.lower() in names:
                reason = "must not repeat a name; case does not matter"
                raise InvalidValue(reason, place)
            names.add(name.lower())
        return dict(value)


class LimitEntry(Validator):
    """A `Limit`, as the JSON of the attributes that a call accepts."""

    expected = "an admin.Limit"

    def __init__(self, needed: tuple[str, ...], optional: tuple[str, ...]) -> None:
        self._needed = needed
        self._optional = optional

    def check(self, value: Any) -> Any:
        if not isinstance(value, Limit):
            raise self._wrong(value)
        made = {}
        for name in (*self._needed, *self._optional):
            given = getattr(value, name)
            if given is None and name in self._optional:
                continue
            if given is None:
                raise InvalidValue("is required", f".{name}")
            try:
                made[json_name(name)] = LIMIT_PARAMETERS[name].check(given)
            except InvalidValue as refused:
                raise InvalidValue(refused.reason, f".{name}{refused.place}") from None
        return made

    def doubts(self, value: Any) -> Iterator[str]:
        yield from LIMIT_PARAMETERS["category"].doubts(value["category"])
        yield from LIMIT_PARAMETERS["period"].doubts(value["period"])


def values_of(alias: Any) -> Enum:
    """Return the validator of an alias of known values."""
    return Enum(typing.get_args(typing.get_args(alias)[0]))


# Wider than a UUID, because the API does not document what ids look like.
ID = Pattern(r"[\x21-\x7e]{1,200}", "an id, one word of printable ASCII,")

HEADER_NAME = Pattern(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}", "the name of a header")

# A control character could begin another header.
HEADER_VALUE = Pattern(
    r"[\x20-\x7e\x80-\ud7ff\ue000-\U0010ffff]*",
    "a line of text without control characters",
    secret=True,
)

LIMIT_PARAMETERS: dict[str, Validator] = {
    "category": values_of(LimitCategory),
    "period": values_of(LimitPeriod),
    "max_value": Integer(0),
    "is_enabled": Boolean(),
}

VALIDATORS: dict[str, Validator] = {
    "account_id": ID,
    "billing_period": values_of(BillingPeriod),
    "delivery_id": ID,
    "events": ListOf(values_of(EventSelector)),
    "headers": HeaderMap(),
    "id": ID,
    "limit_refs": ListOf(LimitEntry(("category", "period"), ())),
    "limits": ListOf(LimitEntry(("category", "period", "max_value"), ("is_enabled",))),
    "name": HEADER_NAME,
    "payload_mode": values_of(PayloadMode),
    "quantity": Integer(0),
    "seat_type": values_of(SeatType),
    "session_id": ID,
    "signing_enabled": Boolean(),
    "url": WebAddress(),
    "value": HEADER_VALUE,
}
"""The validator of each parameter; a name means the same in all calls."""


def body(call: str, values: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the JSON body of a *call*; None without values.

    Raises:
        ParameterError: A value does not fit its parameter.
    """
    made = {}
    for name, value in values.items():
        wire = "limits" if name == "limit_refs" else json_name(name)
        # Null means all events, and a list without events none.
        every = name == "events" and value is None
        made[wire] = None if every else validate_parameter(call, name, value)
    return made or None


def validate_parameter(call: str, name: str, value: Any) -> Any:
    """Return the *value* of a parameter as it is sent.

    Raises:
        ParameterError: It does not fit.
    """
    validator = VALIDATORS[name]
    try:
        fit = validator.check(value)
    except InvalidValue as refused:
        parameter = name.replace("limit_refs", "limits") + refused.place
        raise ParameterError(
            owner=f"admin.{call}", parameter=parameter, reason=refused.reason
        ) from None
    validator.warn(fit, f"admin.{call}: {name}")
    return fit


def instant(call: str, name: str, value: object) -> str:
    """Return a date, or a moment with its time zone, in ISO 8601.

    Raises:
        ParameterError: It is neither.
    """
    # A datetime is a date too, so it is checked first.
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.isoformat()
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, str) and _is_instant(value):
        return value
    reason = f"must be a date, or a datetime with a time zone, got {short_repr(value)}"
    raise ParameterError(owner=f"admin.{call}", parameter=name, reason=reason)


def _is_instant(text: str) -> bool:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return False
    return moment.tzinfo is not None or _DATE.fullmatch(text) is not None
