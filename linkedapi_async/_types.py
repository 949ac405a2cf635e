"""Shared type aliases."""

from __future__ import annotations

import datetime as dt
import typing
from typing import Any, Literal, TypeAlias


Generation: TypeAlias = Literal["account_api", "linked_api"]

ACCOUNT: tuple[Generation, ...] = ("account_api",)

LINKED: tuple[Generation, ...] = ("linked_api",)

BOTH: tuple[Generation, ...] = ("account_api", "linked_api")

Json: TypeAlias = dict[str, Any]
"""A JSON object."""

Moment: TypeAlias = str | dt.datetime
"""ISO 8601 text, or a datetime with a time zone."""

# https://linkedapi.io/docs/admin-limits
LimitCategory: TypeAlias = (
    Literal[
        "stPersonProfileViews",
        "stCompanyPageViews",
        "stConnectionRequests",
        "stMessages",
        "stSearchQueries",
        "stReactions",
        "stEndorsements",
        "stComments",
        "stPosts",
        "nvPersonProfileViews",
        "nvCompanyPageViews",
        "nvMessages",
    ]
    | str
)

LimitPeriod: TypeAlias = Literal["daily", "weekly", "monthly"] | str

CATEGORIES: tuple[str, ...] = typing.get_args(typing.get_args(LimitCategory)[0])
"""The categories of account limits that this version knows."""

PERIODS: tuple[str, ...] = typing.get_args(typing.get_args(LimitPeriod)[0])
"""The periods of account limits that this version knows."""
