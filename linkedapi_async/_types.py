"""Shared type aliases."""

from __future__ import annotations

import datetime as dt
from typing import Literal, TypeAlias


Generation: TypeAlias = Literal["account_api", "linked_api"]

ACCOUNT: tuple[Generation, ...] = ("account_api",)

LINKED: tuple[Generation, ...] = ("linked_api",)

BOTH: tuple[Generation, ...] = ("account_api", "linked_api")

Moment: TypeAlias = str | dt.datetime
"""ISO 8601 text, or a datetime with a time zone."""
