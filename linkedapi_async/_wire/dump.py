"""Workflow to JSON."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

from linkedapi_async._actions.action import (
    Action,
    AnyAction,
    Roots,
    named_roots,
    nesting_error,
)
from linkedapi_async._actions.custom import custom
from linkedapi_async._actions.parameters import Validated, parameters_of
from linkedapi_async._actions.validators import (
    ListOf,
    Object,
    StringOrObject,
)
from linkedapi_async._utils.codegen import compile_function
from linkedapi_async._utils.text import short_repr
from linkedapi_async.errors import (
    WorkflowError,
)


# Out: workflow to JSON


def dump_workflow(workflow: Roots) -> dict[str, Any] | list[dict[str, Any]]:
    """Return *workflow* as the API's JSON: a dict, or a list for a tuple of roots.

    Raises:
        NestingError: A root may not stand at the root.
        ParameterError: A root has no target.

    https://linkedapi.io/docs/building-workflows
    """
    if isinstance(workflow, Action):
        return _dump_root(workflow, "root")
    if not workflow:
        raise WorkflowError("an array workflow has at least one action", path="root")
    return [_dump_root(root, path) for path, root in named_roots(workflow)]


def _dump_root(root: AnyAction, path: str) -> dict[str, Any]:
    if not isinstance(root, Action):
        raise WorkflowError(f"an action is due, got {short_repr(root)}", path=path)
    problem = nesting_error(type(root), root.given(), None, path)
    if problem is not None:
        raise problem
    return _dump(root)


def _dump(action: AnyAction) -> dict[str, Any]:
    cls: Any = type(action)
    as_list = False
    definition: dict[str, Any]
    if isinstance(action, custom):
        definition = {"actionType": action.action_type} if action.action_type else {}
        if action.label is not None:
            definition["label"] = action.label
        definition |= action.params
        as_list = action.as_list
    else:
        definition = _dumper(cls)(action)
    children = action.children
    if as_list or len(children) > 1:
        definition["then"] = [_dump(child) for child in children]
    elif children:
        definition["then"] = _dump(children[0])
    return definition


@functools.cache
def _dumper(cls: Any) -> Callable[[Any], dict[str, Any]]:
    """Return what turns the parameters of *cls*, and its type and label, to JSON."""
    lines = ["def dumped(self):", "  made = {}"]
    if issubclass(cls, Action):
        lines = [
            "def dumped(self):",
            f"  made = {{'actionType': {cls.action_type!r}}}",
            "  if self.label is not None: made['label'] = self.label",
        ]
    for row in parameters_of(cls):
        inner = isinstance(row.validator, ListOf | Object | StringOrObject)
        value = "dump(value)" if inner else "value"
        lines.append(f"  value = self.{row.name}")
        lines.append(f"  if value is not None: made[{row.json_name!r}] = {value}")
    lines.append("  return made")
    made = compile_function("dumped", lines, {"dump": _dump_value})
    return cast("Callable[[Any], dict[str, Any]]", made)


def _dump_value(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_dump_value(item) for item in value]
    cls: Any = type(value)
    return _dumper(cls)(value) if isinstance(value, Validated) else value
