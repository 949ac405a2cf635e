"""The limits of accounts, and the actions that count against them.

https://linkedapi.io/docs/admin-limits
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from linkedapi_async._actions.action import AnyAction, roots_of
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._types import CATEGORIES, PERIODS
from linkedapi_async.sandbox._clock import Calendar
from linkedapi_async.sandbox._responses import failure_of


LimitKey: TypeAlias = tuple[str, str]
"""A category and a period, such as ``("stMessages", "daily")``."""

Setting: TypeAlias = tuple[int, bool]
"""The maximum number of actions in a period, and whether it is enforced."""

DEFAULTS: dict[LimitKey, int] = {
    ("stMessages", "daily"): 50,
    ("stConnectionRequests", "daily"): 10,
}
"""The limits that the documentation shows."""

NOTE_CATEGORY = "note"
"""Counts the connection requests with a note, which have a limit of their own."""


def check_limits(limits: Mapping[LimitKey, int]) -> dict[LimitKey, int]:
    """Return *limits*.

    Raises:
        ValueError: A category or period is unknown, or a number is negative.
    """
    for (category, period), maximum in limits.items():
        if category not in CATEGORIES:
            message = f"category must be one of {', '.join(CATEGORIES)}"
            raise ValueError(f"{message}, got {category!r}")
        if period not in PERIODS:
            message = f"period must be one of {', '.join(PERIODS)}"
            raise ValueError(f"{message}, got {period!r}")
        _check_maximum(maximum)
    return dict(limits)


def _check_maximum(maximum: int) -> None:
    if type(maximum) is not int or maximum < 0:
        raise ValueError(f"a limit must be an integer of at least 0, got {maximum!r}")


class AccountLimits:
    """The limits of all accounts, and their usage.

    Args:
        calendar: Dates the actions; periods begin at the accounts' midnight.
        common: The limits that are enforced for all accounts.
        notes: The monthly maximum of connection requests with a note, for all accounts.
    """

    def __init__(
        self,
        calendar: Calendar,
        common: Mapping[LimitKey, int] | None,
        notes: int | None,
    ) -> None:
        self._calendar = calendar
        self._common = check_limits(common or {})
        if notes is not None:
            _check_maximum(notes)
        self._notes = notes
        self._own_notes: dict[str, int | None] = {}
        self._own: dict[str, dict[LimitKey, Setting]] = {}
        self._used: Counter[tuple[str, str, str, dt.date]] = Counter()

    # Settings

    def of(self, account: str) -> dict[LimitKey, Setting]:
        """Return the limits of an account; the defaults may not be enforced."""
        shown = {**DEFAULTS, **self._common}
        return {
            **{key: (maximum, True) for key, maximum in shown.items()},
            **self._own.get(account, {}),
        }

    def set(self, account: str, limits: Mapping[LimitKey, Setting]) -> None:
        """Set limits of an account; its other limits remain."""
        self._own.setdefault(account, {}).update(limits)

    def delete(self, account: str, key: LimitKey) -> None:
        """Return to the default of a limit."""
        self._own.get(account, {}).pop(key, None)

    def reset(self, account: str) -> None:
        """Return to the defaults of all limits."""
        self._own.pop(account, None)

    def set_notes(self, account: str, maximum: int | None) -> None:
        """Set the monthly maximum of connection requests with a note."""
        if maximum is not None:
            _check_maximum(maximum)
        self._own_notes[account] = maximum

    def are_enforced(self, account: str) -> bool:
        """Return whether an account has a limit that is enforced."""
        return bool(self._enforced(account)) or self._notes_of(account) is not None

    def _enforced(self, account: str) -> dict[LimitKey, int]:
        own = self._own.get(account, {})
        limits = {key: (maximum, True) for key, maximum in self._common.items()} | own
        return {key: maximum for key, (maximum, enabled) in limits.items() if enabled}

    def _notes_of(self, account: str) -> int | None:
        return self._own_notes.get(account, self._notes)

    # Usage

    def used(self, account: str, key: LimitKey) -> int:
        """Return how many actions of a category succeeded in the current period."""
        category, period = key
        return self._used[account, category, period, self._first_day(period, None)]

    def _first_day(self, period: str, when: float | None) -> dt.date:
        moment = self._calendar.now() if when is None else self._calendar.at(when)
        day = moment.date()
        if period == "weekly":
            return day - dt.timedelta(days=day.weekday())
        return day.replace(day=1) if period == "monthly" else day

    def _count(self, account: str, category: str, when: float) -> None:
        for period in PERIODS:
            self._used[account, category, period, self._first_day(period, when)] += 1

    def apply(
        self,
        account: str,
        workflow: AnyAction | tuple[AnyAction, ...],
        completion: Any,
        when: float,
        *,
        enforce: bool,
    ) -> None:
        """Count the actions of a completion, and let those above a limit fail.

        Args:
            account: The name of the account.
            workflow: The workflow that was completed.
            completion: Its JSON, which is changed.
            when: When it ended, on the sandbox's clock.
            enforce: Whether limits apply; they do not in the Account API.
        """
        for action, node in _paired(roots_of(workflow), completion):
            self._apply(account, action, node, when, enforce=enforce)

    def _apply(
        self,
        account: str,
        action: AnyAction | None,
        node: dict[str, Any],
        when: float,
        *,
        enforce: bool,
    ) -> None:
        if not node.get("success"):
            return
        known = ACTIONS.get(str(node.get("actionType")))
        category = known.category if known is not None else None
        has_note = getattr(action, "note", None) is not None
        error = self._exceeded(account, category, when, has_note=has_note)
        if enforce and error is not None:
            failure = failure_of(error)
            node |= {
                "success": False,
                "error": {"type": failure.reason, "message": failure.message},
            }
            node.pop("data", None)
            node.pop("then", None)
            return
        if category is not None:
            self._count(account, category, when)
        if has_note:
            self._count(account, NOTE_CATEGORY, when)
        children = () if action is None else tuple(_with_outcome(action))
        data = node.get("data")
        for holder in (node, *(data if isinstance(data, list) else [data])):
            if isinstance(holder, dict):
                for child, inner in _paired(children, holder.get("then")):
                    self._apply(account, child, inner, when, enforce=enforce)

    def _exceeded(
        self, account: str, category: str | None, when: float, *, has_note: bool
    ) -> str | None:
        """Return the error of an action that a limit forbids, or None."""
        for (limited, period), maximum in self._enforced(account).items():
            key = (account, limited, period, self._first_day(period, when))
            if limited == category and self._used[key] >= maximum:
                return "limitExceeded"
        notes = self._notes_of(account)
        month = (account, NOTE_CATEGORY, "monthly", self._first_day("monthly", when))
        if has_note and notes is not None and self._used[month] >= notes:
            return "noteLimitExceeded"
        return None


def _with_outcome(parent: AnyAction) -> Iterator[AnyAction]:
    """Yield the children that have a node; those of loops take the loops' places."""
    for child in parent.children:
        if child.has_outcome:
            yield child
        else:
            yield from _with_outcome(child)


def _paired(
    actions: tuple[AnyAction, ...], nodes: Any
) -> Iterator[tuple[AnyAction | None, dict[str, Any]]]:
    """Yield the nodes with their actions, which are unknown where a script differs."""
    listed = nodes if isinstance(nodes, list) else [nodes]
    found = [node for node in listed if isinstance(node, dict)]
    known = actions if len(actions) == len(found) else (None,) * len(found)
    yield from zip(known, found, strict=True)
