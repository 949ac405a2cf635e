"""The options of the commands that run a sandbox, as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from linkedapi_async.sandbox._limits import LimitKey
from linkedapi_async.sandbox._working_hours import WEEKDAYS, WorkingHours


REACHABLE = (
    "other machines can reach the sandbox at {host}; it may accept any "
    "token, and it has no TLS"
)


def parse_limits(
    texts: Iterable[str],
) -> dict[LimitKey, int] | Literal["default"] | None:
    """Return limits from texts such as ``stMessages:daily=50``, or ``default``.

    Raises:
        ValueError: A text has another form.
    """
    given = list(texts)
    if given == ["default"]:
        return "default"
    limits: dict[LimitKey, int] = {}
    for text in given:
        key, _, maximum = text.partition("=")
        category, colon, period = key.partition(":")
        if not (colon and maximum.isdecimal()):
            message = "a limit must be default or as in stMessages:daily=50"
            raise ValueError(f"{message}, got {text!r}")
        limits[category, period] = int(maximum)
    return limits or None


def parse_hours(
    hours: str | None, days: str | None, *, refuse: bool
) -> WorkingHours | None:
    """Return working hours from texts such as ``09:00-17:00`` and ``mon,tue``.

    Raises:
        ValueError: A text has another form.
    """
    if hours is None:
        return None
    opens, dash, closes = hours.partition("-")
    if not dash:
        raise ValueError(f"working hours must be as in 09:00-17:00, got {hours!r}")
    open_days = WEEKDAYS[:5] if days is None else tuple(days.split(","))
    return WorkingHours(opens=opens, closes=closes, days=open_days, refuse=refuse)
