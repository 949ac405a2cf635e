"""Hypothesis strategies: valid workflows, and workflows that break one rule.

::

    @given(strategies.workflows("linked_api"))
    def test_costs_are_known(workflow): ...

They are derived from the classes of the actions, like the checks of the library.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as draws

from linkedapi_async._types import Generation
from linkedapi_async._utils.spelling import nearest
from linkedapi_async.testing._broken_workflows import (
    EDITS,
    BrokenWorkflow,
    broken_workflow,
)
from linkedapi_async.testing._parameter_values import StrategySettings
from linkedapi_async.testing._workflows import workflow_trees


__all__ = ["RULES", "BrokenWorkflow", "broken_workflows", "workflows"]

_EDITS = {edit.__name__: edit for edit in EDITS}

RULES: tuple[str, ...] = tuple(_EDITS)
"""The rules that `broken_workflows` breaks, one at a time."""


def workflows(
    generation: Generation | None = None,
    *,
    roots: int = 3,
    actions: int = 7,
    largest: int = 100,
) -> draws.SearchStrategy[Any]:
    """Draw any legal workflow: an action, or a tuple of them.

    Args:
        generation: The generation of the API that accepts it; None draws everything
            that the builder allows, some of which exists in one generation only.
        roots: The maximum number of roots of an array workflow; 1 draws single actions.
        actions: The maximum number of actions of a root, itself included.
        largest: The largest number where the API has no maximum.
    """
    settings = StrategySettings(generation=generation, actions=actions, largest=largest)
    one = workflow_trees(settings)
    if roots == 1:
        return one
    return one | draws.lists(one, min_size=1, max_size=roots).map(tuple)


def broken_workflows(
    rule: str | None = None, *, actions: int = 7
) -> draws.SearchStrategy[BrokenWorkflow]:
    """Draw a definition that breaks exactly one rule, with the rule and the place.

    `load_workflow` reports one problem for it: an ``error`` at ``path``.

    Args:
        rule: Which one of `RULES`; by default any.
        actions: The maximum number of actions before it is broken.

    Raises:
        ValueError: The rule is unknown.
    """
    if rule is not None and rule not in _EDITS:
        alike = nearest(rule, RULES)
        hint = f"did you mean {alike}?" if alike else f"known: {', '.join(RULES)}"
        raise ValueError(f"unknown rule {rule!r}; {hint}")
    return broken_workflow(
        StrategySettings(actions=actions), None if rule is None else _EDITS[rule]
    )
