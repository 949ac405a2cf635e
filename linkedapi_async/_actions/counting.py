"""Counts how often actions are performed at most, by multiplying their lists."""

from __future__ import annotations

import math
import typing
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import attrs

from linkedapi_async._actions.action import AnyAction, Effect
from linkedapi_async._actions.custom import custom
from linkedapi_async._actions.parameters import ParameterInfo, parameters_of
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._types import Generation


ItemCount: TypeAlias = int | float
"""A whole number, or `math.inf` where there is no bound."""


@attrs.frozen
class Factor:
    """A list whose nested actions are performed once for each item."""

    path: str
    """The place of the list in the tree."""
    action_type: str
    """The action that yields it."""
    items: ItemCount
    """How many items it has at most."""
    explicit: bool
    """Whether the workflow sets the limit; otherwise it is the API's default."""


@attrs.frozen(kw_only=True)
class ExplainedLine:
    """One action of the workflow, and how often it will be done."""

    path: str
    """Its place in the tree, such as ``root.then[0]``."""
    action_type: str
    """The API's name of it."""
    times: ItemCount
    """The maximum: the product of *factors*, added up over a batch."""
    minimum: ItemCount
    """The minimum: how often it is done if all lists are empty."""
    factors: tuple[Factor, ...]
    """The lists for whose items it is done, from the root down."""
    category: str | None
    """The account limit that it counts against."""
    effect: Effect
    """Whether it changes anything on LinkedIn; unknown actions count as if they did."""
    known: bool
    """Whether this version knows the action."""


def counted_lines(
    root: AnyAction, path: str, generation: Generation, notes: dict[str, None]
) -> Iterator[ExplainedLine]:
    """Visit the actions, with how often they are done, parents first.

    Args:
        root: A root of the workflow.
        path: Where it is in the workflow.
        generation: The generation of the API whose defaults count.
        notes: Receives the reasons for a missing bound.
    """
    stack: list[tuple[str, AnyAction, tuple[Factor, ...]]] = [(path, root, ())]
    while stack:
        place, node, factors = stack.pop()
        cls = ACTIONS.get(node.action_type)
        if cls is None or cls.has_outcome:
            yield ExplainedLine(
                path=place,
                action_type=node.action_type,
                times=math.prod(factor.items for factor in factors),
                minimum=0 if factors else 1,
                factors=factors,
                category=_category(cls, node),
                effect="write" if cls is None else cls.effect,
                known=cls is not None,
            )
        if cls is None:
            name = node.action_type or "an action without a type"
            notes[f"{name} is not known; it may count against a limit"] = None
        if not node.children:
            continue
        factor = _factor(place, node, generation)
        if factor is not None and factor.items == math.inf:
            notes[_endless(factor, cls)] = None
        below = factors if factor is None else (*factors, factor)
        children = enumerate(node.children)
        stack += [(f"{place}.then[{n}]", c, below) for n, c in children][::-1]


def _category(cls: Any, node: AnyAction) -> str | None:
    own = node.limit_category if isinstance(node, custom) else None
    return own if cls is None else cls.category


def _factor(path: str, node: AnyAction, generation: Generation) -> Factor | None:
    """Return how often actions nested in *node* are done for it; None if once."""
    cls = ACTIONS.get(node.action_type)
    if cls is None:
        return Factor(path, node.action_type, math.inf, explicit=False)
    if typing.get_origin(cls.result) is not list:
        return None
    limit = node.params.get("limit") if isinstance(node, custom) else None
    limit = getattr(node, "limit", limit)
    if type(limit) is int and limit > 0:
        return Factor(path, node.action_type, limit, explicit=True)
    facts = {row.name: row.info for row in parameters_of(cls)}
    default = facts.get("limit", ParameterInfo()).default
    items = default.get(generation) if isinstance(default, Mapping) else default
    known = items if isinstance(items, int) else math.inf
    return Factor(path, node.action_type, known, explicit=False)


def _endless(factor: Factor, cls: Any) -> str:
    if cls is None:
        name = factor.action_type or "an action without a type"
        return f"it is not known how often {name} runs the actions nested in it"
    if any(row.name == "limit" for row in parameters_of(cls)):
        return f"{factor.action_type} lists all items; bound it with limit="
    return f"{factor.action_type} lists all items, without a bound"
