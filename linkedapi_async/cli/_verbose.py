"""Prints what a session does to standard error, each event as one line."""

from __future__ import annotations

import datetime as dt
import re

import attrs

from linkedapi_async.cli._console import print_error
from linkedapi_async.events import SessionEvent


_CAPITAL = re.compile("(?<=[a-z])(?=[A-Z])")


def show_event(event: SessionEvent) -> None:
    """Print an event with its time and its short fields."""
    when = dt.datetime.fromtimestamp(event.time, dt.UTC).astimezone()
    name = _CAPITAL.sub(" ", type(event).__name__).lower()
    facts = [
        f"{field.name}={getattr(event, field.name)}"
        for field in attrs.fields(type(event))
        if field.name not in {"at", "time"}
        and isinstance(getattr(event, field.name), str | int | float | Exception)
    ]
    print_error(" ".join([f"{when:%H:%M:%S}", f"{name}:", *facts]))
