"""Legal workflows: any tree that the nesting rule allows, in one generation or either."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as draws

from linkedapi_async._actions.action import ActionClass, AnyAction
from linkedapi_async._actions.custom import custom
from linkedapi_async._actions.parameters import parameters_of
from linkedapi_async._actions.scopes import Nowhere, Root
from linkedapi_async._results.key import ACTIONS
from linkedapi_async.errors import ParameterError
from linkedapi_async.testing._parameter_values import (
    StrategySettings,
    json_values,
    parameter_objects,
    sample,
    texts,
)


STARTING: list[Any] = [cls for cls in ACTIONS.values() if Root in cls.where]

NESTING: list[Any] = [cls for cls in STARTING if cls.opens is not Nowhere]


@draws.composite
def customs(draw: draws.DrawFn) -> custom:
    """Draw an action of an unknown type, with any JSON as parameters."""
    taken = {"then", "actionType", "label", "children", "category"}
    names = texts().filter(lambda name: name not in taken)
    return custom(
        "xy." + draw(texts()),
        label=draw(draws.none() | texts()),
        **draw(draws.dictionaries(names, json_values, max_size=2)),
    )


def least(cls: ActionClass) -> AnyAction:
    """Build an action of *cls* with as few parameters as possible."""
    found = {row.name: row for row in parameters_of(cls)}
    given = {name: sample(row) for name, row in found.items() if row.required}
    for _ in found:
        try:
            return cls(**given)
        except ParameterError as error:
            # The rules between parameters name the missing one.
            given[error.parameter] = sample(found[error.parameter])
    return cls(**given)


def under(parent: ActionClass) -> list[Any]:
    """Return the known actions that may be nested under *parent*."""
    return [cls for cls in ACTIONS.values() if cls.may_nest_under(parent)]


def _drawable(classes: Sequence[Any], settings: StrategySettings) -> list[Any]:
    """Return the classes to draw from, with unknown types if the settings allow."""
    known = [c for c in classes if settings.generation in {None, *c.generations}]
    return [*known, custom] if settings.customs else known


@draws.composite
def targets_of(
    draw: draws.DrawFn, cls: ActionClass, settings: StrategySettings, *, least: int
) -> tuple[str, ...]:
    """Draw which targets of *cls* are set."""
    known = [row for row in parameters_of(cls) if row.info.target and settings.has(row)]
    needed = {row.name for row in known if row.required}
    names = draws.sampled_from([row.name for row in known])
    return tuple(draw(draws.sets(names, min_size=least)) | needed)


@draws.composite
def action_trees(
    draw: draws.DrawFn,
    cls: ActionClass,
    parent: ActionClass | None,
    left: list[int],
    settings: StrategySettings,
) -> AnyAction:
    """Draw an action of *cls* for its place, with nested actions.

    Args:
        cls: Its class.
        parent: The class above it; None at the root.
        left: How many more actions the tree may have; it is decreased.
        settings: What is drawn.
    """
    node: AnyAction
    if cls is custom:
        node = draw(customs())
    else:
        targets: tuple[str, ...] = ()
        if cls.targets and parent is None:
            least = len(cls.targets) if cls.needs_all_targets else 1
            targets = draw(targets_of(cls, settings, least=least))
        elif cls.targets and parent is custom:
            targets = draw(targets_of(cls, settings, least=0))
        node = draw(parameter_objects(cls, targets, settings))
    children: list[AnyAction] = []
    below = _drawable(under(cls), settings)
    # Some scopes are open in one generation only.
    nests = settings.generation in {None, *cls.opens.generations} and below
    while nests and left[0] > 0 and draw(draws.booleans()):
        left[0] -= 1
        children.append(
            draw(action_trees(draw(draws.sampled_from(below)), cls, left, settings))
        )
    return node.then(*children)


@draws.composite
def workflow_trees(
    draw: draws.DrawFn, settings: StrategySettings, roots: Sequence[Any] = ()
) -> AnyAction:
    """Draw any legal workflow with one root, of one of the classes *roots*."""
    any_root = draws.sampled_from(_drawable(STARTING, settings))
    # Branching trees find more faults than single actions.
    nesting = draws.sampled_from(
        [c for c in _drawable(NESTING, settings) if c is not custom]
    )
    root = draw(draws.sampled_from(roots) if roots else any_root | nesting)
    return draw(
        action_trees(
            root, None, [draw(draws.integers(0, settings.actions - 1))], settings
        )
    )
