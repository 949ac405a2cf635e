"""Moments in ISO 8601."""

from __future__ import annotations

import datetime as dt


def parse_time(text: object) -> dt.datetime | None:
    """Return a moment in ISO 8601 as UTC; None if *text* is something else.

    A moment without an offset is one in UTC.
    """
    if not isinstance(text, str):
        return None
    try:
        when = dt.datetime.fromisoformat(text)
        if when.tzinfo is None:
            when = when.replace(tzinfo=dt.UTC)
        return when.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None


def format_time(when: dt.datetime) -> str:
    """Return a moment in ISO 8601, in UTC, rounded down to the millisecond."""
    spec = "milliseconds" if when.microsecond else "seconds"
    text = when.astimezone(dt.UTC).isoformat(timespec=spec)
    return text.replace("+00:00", "Z")
