"""Hypothesis strategies of the package, with actions of unknown types."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as draws

from linkedapi_async import dump_workflow
from linkedapi_async._actions.action import AnyAction
from linkedapi_async._types import Json
from linkedapi_async.testing._broken_workflows import (
    EDITS,
    Edit,
    arguments_of,
    broken_workflow,
    plain,
    positions,
)
from linkedapi_async.testing._parameter_values import (
    LARGE,
    StrategySettings,
    json_values,
    parameter_objects,
    sample,
    texts,
    wrongs_of,
)
from linkedapi_async.testing._workflows import (
    action_trees,
    least,
    workflow_trees,
)
from linkedapi_async.testing.strategies import BrokenWorkflow


__all__ = [
    "EDITS",
    "LARGE",
    "AnyAction",
    "BrokenWorkflow",
    "Edit",
    "actions",
    "any_objects",
    "arguments_of",
    "broken",
    "json_values",
    "least",
    "odd_definitions",
    "plain",
    "positions",
    "sample",
    "texts",
    "trees",
    "workflows",
    "wrongs_of",
]

ANYTHING = StrategySettings(largest=LARGE, customs=True)

actions = functools.partial(action_trees, settings=ANYTHING)
broken = functools.partial(broken_workflow, ANYTHING)
trees = functools.partial(workflow_trees, ANYTHING)


def any_objects(cls: Any, targets: tuple[str, ...] = ()) -> draws.SearchStrategy[Any]:
    """Draw an object of *cls* with these targets and any of its other parameters."""
    return parameter_objects(cls, targets, ANYTHING)


workflows: draws.SearchStrategy[Any] = trees() | draws.lists(
    trees(), min_size=1, max_size=3
).map(tuple)
"""Draw any legal workflow: one root, or a tuple of roots."""


# Odd JSON

odd_texts = draws.text(draws.characters(), max_size=4) | draws.sampled_from(
    ["\ud800", "x\udfffy", "st.openPost", "xy.new", ""]
)
odd_values: draws.SearchStrategy[Any] = (
    json_values
    | odd_texts
    # Copied, because the tests change what is drawn.
    | draws.sampled_from([None, {}, [], [{}], [[]], 5, LARGE]).map(copy.deepcopy)
)
odd_names = (
    draws.sampled_from(["then", "label", "actionType", "children", "json", "as_list"])
    | odd_texts
)


def objects(value: Any) -> Iterator[Json]:
    """Visit all JSON objects inside *value*."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from objects(inner)


@draws.composite
def odd_definitions(draw: draws.DrawFn) -> Json:
    """Draw a definition that the API may accept or refuse."""
    if draw(draws.integers(0, 4)) == 0:
        return draw(draws.dictionaries(odd_names, odd_values, max_size=4))
    definition = dump_workflow(draw(trees()))
    assert isinstance(definition, dict)
    for _ in range(draw(draws.integers(1, 3))):
        found = draw(draws.sampled_from([*objects(definition)]))
        name = draw(odd_names | draws.sampled_from(sorted(found) or [""]))
        match draw(draws.sampled_from(["set", "list", "nest", "drop"])):
            case "set":
                found[name] = draw(odd_values)
            case "list":
                then = found.get("then", {})
                found["then"] = then[:1] if isinstance(then, list) else [then]
            case "nest":
                found["then"] = [plain(draw(trees())), draw(odd_values)]
            case _:
                found.pop(name, None)
    return definition
