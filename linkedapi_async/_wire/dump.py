"""Workflow to JSON."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from linkedapi_async._actions.action import (
    Action,
    AnyAction,
    Roots,
    describe,
    given_targets,
    named_roots,
    nesting_error,
)
from linkedapi_async._actions.custom import custom
from linkedapi_async._actions.parameters import Validated, parameters_of
from linkedapi_async._actions.validators import ListOf, Object, StringOrObject
from linkedapi_async._utils.codegen import compile_function
from linkedapi_async.errors import WorkflowError


def dump_workflow(workflow: Roots) -> dict[str, Any] | list[dict[str, Any]]:
    """Return *workflow* as the API's JSON: a dict, or a list for a tuple of roots.

    Raises:
        NestingError: An action cannot be a root.
        ParameterError: A root has no target.

    https://linkedapi.io/docs/building-workflows
    """
    if isinstance(workflow, Action):
        return _dump_root(workflow, "root")
    if not workflow:
        message = "an array workflow must have at least one action"
        raise WorkflowError(message, path="root")
    return [_dump_root(root, path) for path, root in named_roots(workflow)]


def _dump_root(root: AnyAction, path: str) -> dict[str, Any]:
    if not isinstance(root, Action):
        raise WorkflowError(f"expected an action, got {describe(root)}", path=path)
    problem = nesting_error(type(root), given_targets(root), None, path)
    if problem is not None:
        raise problem
    return _dump(root)


def _dump(action: AnyAction) -> dict[str, Any]:
    cls: Any = type(action)
    definition: dict[str, Any] = {}
    if action.action_type:
        definition["actionType"] = action.action_type
    if action.label is not None:
        definition["label"] = action.label
    if isinstance(action, custom):
        definition |= action.params
    else:
        _parameter_dumper(cls)(action, definition)
    children = action.children
    if action.as_list or len(children) > 1:
        definition["then"] = [_dump(child) for child in children]
    elif children:
        definition["then"] = _dump(children[0])
    return definition


@functools.cache
def _parameter_dumper(cls: Any) -> Callable[[Validated, dict[str, Any]], None]:
    """Return a function that adds the parameters of a *cls* to a JSON object."""
    # Compiled, because a loop over the parameters takes twice as long.
    lines = ["def dump_parameters(owner, found):"]
    for parameter in parameters_of(cls):
        nested = isinstance(parameter.validator, ListOf | Object | StringOrObject)
        value = "dump_value(value)" if nested else "value"
        lines.append(f"  value = owner.{parameter.name}")
        lines.append(
            f"  if value is not None: found[{parameter.json_name!r}] = {value}"
        )
    lines.append("  if owner.extra_json is not None: found.update(owner.extra)")
    dump: Callable[[Validated, dict[str, Any]], None] = compile_function(
        "dump_parameters", lines, {"dump_value": dump_value}
    )
    return dump


def dump_value(value: Any) -> Any:
    """Return the value of a parameter as JSON."""
    if isinstance(value, tuple):
        return [dump_value(item) for item in value]
    if not isinstance(value, Validated):
        return value
    cls: Any = type(value)
    found: dict[str, Any] = {}
    _parameter_dumper(cls)(value, found)
    return found
