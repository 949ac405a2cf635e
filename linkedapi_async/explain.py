"""Estimates of what a workflow will use, before anything is sent.

All numbers are upper bounds, for full lists and no failures. An unknown bound is
`math.inf`, and the notes give the reason.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

import attrs

from linkedapi_async._actions.action import Action, Effect, Roots, named_roots
from linkedapi_async._actions.compatibility import unsupported_in
from linkedapi_async._actions.counting import (
    ExplainedLine,
    Factor,
    ItemCount,
    counted_lines,
)
from linkedapi_async._actions.validators import warn_unknown
from linkedapi_async._polling.durations import Estimate
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._types import BOTH, Generation
from linkedapi_async._utils.spelling import nearest
from linkedapi_async._utils.text import printable, short_repr
from linkedapi_async._wire.dump import dump_workflow
from linkedapi_async._wire.load import load_workflow
from linkedapi_async.errors import WorkflowError
from linkedapi_async.session._durations import Durations, duration_kind


__all__ = [
    "ACTION_SECONDS",
    "DAILY_LIMITS",
    "ExplainedLine",
    "Explanation",
    "Factor",
    "LimitUse",
    "explain",
    "explain_batch",
]

Plan: TypeAlias = Literal["core", "plus"]

ACTION_SECONDS: float = 20
"""How long a workflow of one simple action takes, in seconds, as the API's docs say.

For complex ones, they give several minutes.
"""

# https://linkedapi.io/docs/admin-limits
DAILY_LIMITS: Mapping[str, int] = {"stMessages": 50, "stConnectionRequests": 10}
"""How many actions of a category an account may do in a day, by default."""


@attrs.frozen(kw_only=True)
class LimitUse:
    """How much of one account limit will be used."""

    category: str
    """The limit, in the API's words."""
    times: ItemCount
    """How many actions count against it at most."""
    per_day: ItemCount | None
    """How many one account may do in a day; None if that is not known."""
    days: ItemCount | None
    """How many days it takes at most, with all accounts; None if not known."""


@attrs.frozen(kw_only=True)
class Explanation:
    """What one workflow, or a batch of them, will do and use at most.

    As text it is a short report for people.
    """

    generation: Generation
    """The generation of the API that it was explained for."""
    workflows: int
    """How many workflows there are."""
    accounts: int
    """How many accounts share them evenly."""
    lines: tuple[ExplainedLine, ...]
    """The actions, the most frequent first; in a batch, equal lines are combined.

    Loops are not among them.
    """
    daily: Mapping[str, ItemCount]
    """How many actions of a category one account may do in a day, if that is known."""
    seconds_per_action: float
    """The assumed duration of one action, in seconds."""
    notes: tuple[str, ...]
    """Reasons for missing bounds, and what this generation does not support."""
    expected: Estimate | None = None
    """How long it takes in the lanes, in seconds, if ``durations=`` knows it.

    Unlike `minutes` it is no bound, but an estimate from how long workflows of the same
    kinds took. Waiting for limits and working hours is not included.
    """

    @property
    def counts(self) -> dict[str, ItemCount]:
        """How many actions of each type at most, the most frequent first."""
        found: dict[str, ItemCount] = {}
        for line in self.lines:
            found[line.action_type] = found.get(line.action_type, 0) + line.times
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    @property
    def total(self) -> ItemCount:
        """How many actions at most."""
        return sum(line.times for line in self.lines)

    @property
    def limits(self) -> tuple[LimitUse, ...]:
        """The account limits that will be used, the slowest first."""
        found: dict[str, ItemCount] = {}
        for line in self.lines:
            if line.category is not None:
                found[line.category] = found.get(line.category, 0) + line.times
        uses = [self._use(category, times) for category, times in found.items()]
        return tuple(sorted(uses, key=lambda use: (-(use.days or 0), -use.times)))

    def _use(self, category: str, times: ItemCount) -> LimitUse:
        per_day = self.daily.get(category)
        days = None if per_day is None else _days(times, per_day * self.accounts)
        return LimitUse(category=category, times=times, per_day=per_day, days=days)

    @property
    def days(self) -> ItemCount | None:
        """How many days it takes because of account limits; None if none is known.

        Unknown limits may make it more.
        """
        known = [use.days for use in self.limits if use.days is not None]
        return max(known, default=None)

    @property
    def plan(self) -> Plan:
        """The plan it needs: ``plus`` for Sales Navigator, otherwise ``core``."""
        # https://linkedapi.io/docs/admin-subscription
        plus = any(line.action_type.startswith("nv.") for line in self.lines)
        return "plus" if plus else "core"

    @property
    def effect(self) -> Effect:
        """Whether it changes anything on LinkedIn (``write``) or only reads."""
        return "write" if self.writes else "read"

    @property
    def writes(self) -> tuple[ExplainedLine, ...]:
        """The places of the actions that change anything on LinkedIn."""
        return tuple(line for line in self.lines if line.effect == "write")

    @property
    def minutes(self) -> tuple[float, float]:
        """How long it takes in the lane of each account: (shortest, longest), in minutes.

        The shortest time is for empty lists, the longest for full ones; each action is
        assumed to take `seconds_per_action`. Long lists and slow pages take longer.
        Waiting for limits and working hours is not included.
        """
        scale = self.seconds_per_action / 60 / self.accounts
        minimum = sum(line.minimum for line in self.lines)
        return minimum * scale, self.total * scale

    def to_dict(self) -> dict[str, Any]:
        """Return all values as JSON values; a missing bound is ``"unlimited"``."""
        shortest, longest = self.minutes
        found = {
            "generation": self.generation,
            "workflows": self.workflows,
            "accounts": self.accounts,
            "total": self.total,
            "counts": self.counts,
            "plan": self.plan,
            "effect": self.effect,
            "minutes": {"shortest": shortest, "longest": longest},
            "seconds_per_action": self.seconds_per_action,
            "expected": self.expected and attrs.asdict(self.expected),
            "limits": [attrs.asdict(use) for use in self.limits],
            "days": self.days,
            "lines": [attrs.asdict(line) for line in self.lines],
            "notes": list(self.notes),
        }
        return typing.cast("dict[str, Any]", _finite(found))

    def __str__(self) -> str:
        return "\n".join(_report(self))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return "unlimited" if value == math.inf else value


def _days(times: ItemCount, per_day: ItemCount) -> ItemCount:
    if per_day == math.inf:
        return 0
    if times == math.inf or not per_day:
        return math.inf
    return math.ceil(times / per_day)


# Reading a workflow


def explain(
    *workflow: Any,
    generation: Generation = "linked_api",
    limits: Mapping[str, ItemCount] | None = None,
    seconds_per_action: float = ACTION_SECONDS,
    durations: Durations | None = None,
    check: bool = True,
) -> Explanation:
    """Return what a workflow will do and use at most; nothing is sent.

    Args:
        workflow: As for `Session.start`: an action, several roots or a tuple of them, a
            dict or list as in the API's docs.
        generation: The generation of the API whose defaults and limits count.
        limits: How many actions of a category (``stMessages``) the account may do in a
            day; takes precedence over `DAILY_LIMITS`. The account_api generation has no
            limits of its own.
        seconds_per_action: How long one action takes, in seconds, if you know it.
        durations: What a session has learnt, `Session.durations`.
        check: False also takes a dict or list that this version finds wrong.

    Raises:
        WorkflowError: Something is wrong with the workflow.
        ValueError: An argument is out of range.
    """
    return explain_batch(
        [workflow[0] if len(workflow) == 1 else workflow],
        generation=generation,
        limits=limits,
        seconds_per_action=seconds_per_action,
        durations=durations,
        check=check,
    )


def explain_batch(
    workflows: Iterable[Any],
    *,
    generation: Generation = "linked_api",
    limits: Mapping[str, ItemCount] | None = None,
    accounts: int = 1,
    seconds_per_action: float = ACTION_SECONDS,
    durations: Durations | None = None,
    check: bool = True,
) -> Explanation:
    """Return what many workflows will do and use at most, all together.

    Args:
        workflows: As for `Session.as_completed`: each as for `explain`, tuples are array
            workflows, or ``(key, workflow)`` pairs.
        generation: As for `explain`.
        limits: How many actions of a category each account does in a day.
        accounts: How many accounts share the workflows evenly.
        seconds_per_action: As for `explain`.
        durations: As for `explain`.
        check: As for `explain`.

    Raises:
        WorkflowError: Something is wrong with a workflow.
        ValueError: An argument is out of range.
    """
    if generation not in BOTH:
        message = f"generation must be one of {', '.join(BOTH)}, got {generation!r}"
        raise ValueError(message)
    if isinstance(workflows, Action | dict | str):
        raise TypeError("explain_batch takes many workflows: put this one in a list")
    if type(accounts) is not int or accounts < 1:
        raise ValueError(f"accounts must be at least 1, got {short_repr(accounts)}")
    _check_number("seconds_per_action", seconds_per_action)
    daily = _daily(generation, limits or {})
    found: dict[ExplainedLine, tuple[ItemCount, ItemCount]] = {}
    notes: dict[str, None] = {}
    # One workflow of each kind, and how many there are.
    kinds: dict[object, tuple[Roots, int]] = {}
    number = 0
    for number, item in enumerate(workflows, 1):  # noqa: B007  # used below
        pair = isinstance(item, tuple) and [type(part) for part in item][:-1] == [str]
        workflow = item[1] if pair else item
        roots = _roots(workflow, check=check)
        if durations is not None:
            kind = duration_kind(roots)
            first, times = kinds.get(kind, (roots, 0))
            kinds[kind] = first, times + 1
        for path, root in named_roots(roots):
            notes |= dict.fromkeys(map(str, unsupported_in(root, generation, path)))
            for line in counted_lines(root, path, generation, notes):
                # Lines that differ only in their numbers are added up.
                alike = attrs.evolve(line, times=0, minimum=0)
                most, minimum = found.get(alike, (0, 0))
                found[alike] = most + line.times, minimum + line.minimum
    lines = [attrs.evolve(k, times=t, minimum=m) for k, (t, m) in found.items()]
    return Explanation(
        generation=generation,
        workflows=number,
        accounts=accounts,
        lines=tuple(sorted(lines, key=lambda line: -line.times)),
        daily=daily,
        seconds_per_action=seconds_per_action,
        notes=tuple(notes),
        expected=durations.estimate_all(dict(kinds.values()), accounts=accounts)
        if durations is not None
        else None,
    )


def _check_number(name: str, value: Any) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not value >= 0:
        message = f"{name} must be a number of at least 0, got {short_repr(value)}"
        raise ValueError(message)


def _daily(
    generation: Generation, limits: Mapping[str, ItemCount]
) -> dict[str, ItemCount]:
    known = {cls.category for cls in ACTIONS.values() if cls.category is not None}
    for category, per_day in limits.items():
        _check_number(f"limits[{category!r}]", per_day)
        if category not in known:
            alike = nearest(category, known)
            hint = f"did you mean {alike!r}?" if alike else f"known: {sorted(known)}"
            warn_unknown(f"no action counts against the limit {category!r}; {hint}")
    # An account_api account has no limits, except those that its owner sets.
    own = DAILY_LIMITS if generation == "linked_api" else {}
    return {**own, **limits}


def _roots(workflow: Any, *, check: bool) -> Roots:
    """Return the roots of a workflow, as `Session.start` takes it."""
    if isinstance(workflow, dict | list):
        loaded: Roots = load_workflow(workflow, check=check)
        return loaded
    if not isinstance(workflow, Action | tuple):
        raise WorkflowError(
            f"expected a workflow, got {short_repr(workflow)}", path="root"
        )
    # Dumping checks it: a workflow that cannot start is not explained.
    dump_workflow(workflow)
    return workflow


# For people


def _report(found: Explanation) -> Iterator[str]:
    many = "workflow" if found.workflows == 1 else "workflows"
    does = "writes" if found.effect == "write" else "only reads"
    shortest, longest = map(_span, found.minutes)
    yield f"{found.workflows:,} {many} for {found.generation}: {does}, {found.plan} plan"
    total = "any number of" if found.total == math.inf else f"at most {found.total:,}"
    yield f"{total} {'action' if found.total == 1 else 'actions'}"
    lane = (
        "in the lane" if found.accounts == 1 else f"in each of {found.accounts} lanes"
    )
    span = shortest if shortest == longest else f"{shortest} to {longest}"
    if found.expected is None:
        yield (
            f"about {span} {lane}: {found.seconds_per_action:g} s for each action, "
            "from empty lists to full ones; long lists take longer"
        )
    else:
        median, low, high = (_span(s / 60) for s in attrs.astuple(found.expected))
        yield (
            f"about {median} {lane}, in eight cases of ten {low} to {high}, as such "
            "workflows took before"
        )
    yield ""
    width = max((len(_number(line.times)) for line in found.lines), default=0)
    for line in found.lines:
        yield printable(
            f"  {_number(line.times):>{width}} × {line.action_type}  {line.path}"
            f"{'  (writes)' if line.effect == 'write' else ''}{_product(line)}"
        )
    yield ""
    yield from map(_limit, found.limits)
    if not found.limits:
        yield "no known account limit applies"
    yield from (printable(f"note: {note}") for note in found.notes)


def _product(line: ExplainedLine) -> str:
    parts = [
        f"{_number(factor.items)} of {factor.path}{'' if factor.explicit else ' by default'}"
        for factor in line.factors
    ]
    return f"  = {' × '.join(parts)}" if parts else ""


def _limit(use: LimitUse) -> str:
    most = "no bound" if use.times == math.inf else f"at most {use.times:,}"
    text = f"limit {use.category}: {most}"
    if use.per_day is None:
        return f"{text}; the daily maximum is not known, set it with limits= (or --per-day)"
    if use.days == math.inf:
        days = "no end"
    else:
        days = "1 day" if use.days == 1 else f"{use.days:,} days"
    return f"{text}, {_number(use.per_day)} a day for each account: {days}"


def _number(value: ItemCount) -> str:
    return "unlimited" if value == math.inf else f"{value:,}"


def _span(minutes: float) -> str:
    if minutes == math.inf:
        return "no end"
    for least, size, unit in _UNITS:
        if minutes >= least:
            amount = minutes / size
            return (
                f"{amount:,.0f} {unit}" if amount >= _ROUND else f"{amount:.2g} {unit}"
            )
    return f"{minutes * 60:.3g} s"


# From how many minutes on a unit is used, and how many minutes it has.
_UNITS = ((2880, 1440, "days"), (120, 60, "h"), (1, 1, "min"))
_ROUND = 10
"""From this amount on, the fraction is not shown."""
