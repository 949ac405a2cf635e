"""JSON to workflow, with every problem found."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from linkedapi_async._actions.action import (
    ActionClass,
    AnyAction,
    allowed_in,
    nesting_error,
)
from linkedapi_async._actions.custom import custom
from linkedapi_async._actions.parameters import (
    Validated,
    parameters_of,
    unknown_parameter,
)
from linkedapi_async._actions.scopes import Anywhere, Root
from linkedapi_async._actions.validators import (
    InvalidValue,
    ListOf,
    Object,
    StringOrObject,
    Validator,
    warn_unknown,
)
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._utils.json import decode_json_exactly
from linkedapi_async._utils.spelling import json_name, nearest
from linkedapi_async._utils.text import short_repr
from linkedapi_async.errors import (
    InvalidDefinitionError,
    NestingError,
    ParameterError,
    WorkflowError,
)


COMMON = ("actionType", "label", "then")
"""The keys of an action's JSON that are not parameters."""


def load_workflow(source: Any, *, check: bool = True) -> Any:
    """Return the checked workflow of a definition.

    Args:
        source: A dict, a list of dicts, or either as JSON in a str or bytes.
        check: False keeps whatever does not fit: such a node becomes a `custom` one,
            and `dump_workflow` gives back exactly what came in.

    Returns:
        An action, or for a list a tuple of actions.

    Raises:
        InvalidDefinitionError: With all problems, each with its path.
    """
    if isinstance(source, str | bytes | bytearray):
        try:
            # orjson would turn a whole number of more than 64 bits into a float.
            source = decode_json_exactly(source)
        except ValueError as error:
            problem = WorkflowError(f"not JSON: {error}", path="root")
            raise InvalidDefinitionError([problem]) from None
    many = isinstance(source, list | tuple)
    nodes = list(source) if many else [source]
    problems: list[WorkflowError] = []
    if many and not nodes:
        message = "an array workflow must have at least one action"
        problems.append(WorkflowError(message, path="root"))
    loaded = []
    for index, node in enumerate(nodes):
        path = f"root[{index}]" if many else "root"
        if check or not isinstance(node, dict):
            loaded.append(_load(node, None, path, problems))
        else:
            loaded.append(_load_anything(node, None))
    if problems:
        raise InvalidDefinitionError(problems)
    return tuple(loaded) if many else loaded[0]


def _load(
    node: Any, parent: ActionClass | None, path: str, problems: list[WorkflowError]
) -> AnyAction | None:
    before = len(problems)
    own = _load_own(node, parent, path, problems)
    cls = own[0] if own else custom
    then = node.get("then", []) if isinstance(node, dict) else []
    if not isinstance(then, list | dict):
        reason = f"must be an action or a list of actions, got {short_repr(then)}"
        problems.append(
            ParameterError(
                owner=cls.action_type if cls is not custom else "action",
                parameter="then",
                reason=reason,
                path=path,
            )
        )
        then = []
    children: list[Any] = [
        _load(child, cls, f"{path}.then[{index}]", problems)
        for index, child in enumerate(then if isinstance(then, list) else [then])
    ]
    if own is None or len(problems) > before:
        return None
    built = own[1]()
    return built.then(*children) if children else built


Builder: TypeAlias = Callable[[], AnyAction]


def _load_own(
    node: Any, parent: ActionClass | None, path: str, problems: list[WorkflowError]
) -> tuple[ActionClass, Builder] | None:
    """Load *node* without its children, if it can be nested under *parent*."""
    if not isinstance(node, dict):
        message = f"expected an action, a JSON object, got {short_repr(node)}"
        problems.append(WorkflowError(message, path=path))
        return None
    action_type = node.get("actionType")
    if not isinstance(action_type, str) or not action_type:
        message = f"actionType must be a string, got {short_repr(action_type)}"
        if "actionType" not in node:
            message = "actionType is required"
        problems.append(WorkflowError(message, path=path))
        return None
    if "label" in node and node["label"] is None:
        reason = "must be a string, got None; leave it out"
        problems.append(
            ParameterError(
                owner=action_type, parameter="label", reason=reason, path=path
            )
        )
    cls = ACTIONS.get(action_type)
    if cls is None:
        return _load_unknown(node, action_type, parent, path, problems)
    before = len(problems)
    targets = [name for name in cls.targets if json_name(name) in node]
    problem = nesting_error(cls, targets, parent, path)
    if problem is not None:
        problems.append(_in_json(problem))
    values = _load_parameters(cls, node, action_type, path, problems, skip=COMMON)
    if "label" in node:
        values["label"] = node["label"]
    if len(problems) > before:
        return cls, lambda: cls(**values)
    try:
        built = cls(**values)
    except ParameterError as error:
        problems.append(error.at(path))
        return cls, lambda: cls(**values)
    return cls, lambda: built


def _in_json(problem: WorkflowError) -> WorkflowError:
    """Return *problem* with parameters named as in JSON."""
    if not isinstance(problem, ParameterError):
        return problem
    return ParameterError(
        owner=problem.owner,
        parameter=" ".join(map(json_name, problem.parameter.split())),
        reason=problem.reason,
        path=problem.path,
    )


def _load_unknown(
    node: dict[str, Any],
    action_type: str,
    parent: ActionClass | None,
    path: str,
    problems: list[WorkflowError],
) -> tuple[ActionClass, Builder] | None:
    """Load an unknown action type: a misspelt one, or a new one."""
    namespace = action_type.partition(".")[0] + "."
    names = [name for name in ACTIONS if name.startswith(namespace)]
    slip = nearest(action_type, names, cutoff=0.9)
    if slip is not None:
        scope = parent.opens if parent is not None else Root
        problems.append(
            NestingError(
                path=path,
                offender=action_type,
                parent=None if parent is None else parent.action_type,
                allowed=[] if scope is Anywhere else allowed_in(scope),
                nearest=slip,
            )
        )
        return None
    alike = nearest(action_type, ACTIONS)
    hint = f"; the nearest known one is {alike}" if alike else ""
    warn_unknown(
        f"{path}: {action_type!r} is not a known action type and is sent as it is{hint}"
    )
    params = {k: v for k, v in node.items() if k not in COMMON}
    try:
        built = custom.from_json(action_type, params, node.get("label"))
    except ParameterError as error:
        problems.append(error.at(path))
        return None
    return custom, lambda: built


def _load_parameters(
    cls: type[Validated],
    node: dict[str, Any],
    owner: str,
    path: str,
    problems: list[WorkflowError],
    *,
    skip: Sequence[str] = (),
) -> dict[str, Any]:
    known = {parameter.json_name: parameter for parameter in parameters_of(cls)}
    values: dict[str, Any] = {}

    def refuse(name: str, reason: str) -> None:
        problems.append(
            ParameterError(owner=owner, parameter=name, reason=reason, path=path)
        )

    for name, value in node.items():
        if name in skip:
            continue
        parameter = known.get(name)
        if parameter is None:
            refuse(name, unknown_parameter(name, known))
            continue
        loaded = _load_value(
            parameter.validator, value, problems, owner=owner, name=name, path=path
        )
        if loaded is not _INVALID:
            values[parameter.name] = loaded
    for name, parameter in known.items():
        # The nesting rule reports a missing target.
        if parameter.required and not parameter.info.target and name not in node:
            refuse(name, "is required")
    return values


_INVALID: Any = object()
"""Returned instead of a value that has problems."""


def _load_value(
    validator: Validator,
    value: Any,
    problems: list[WorkflowError],
    *,
    owner: str,
    name: str,
    path: str,
) -> Any:
    """Load the parameter *name* of *owner*; add its problems to *problems*."""
    before = len(problems)

    def refuse(owner: str, name: str, reason: str) -> None:
        problems.append(
            ParameterError(owner=owner, parameter=name, reason=reason, path=path)
        )

    nested = validator.nested if isinstance(validator, StringOrObject) else validator
    if isinstance(validator, ListOf) and isinstance(value, list):
        inside = functools.partial(_load_value, validator.item, owner=owner, path=path)
        value = [
            inside(item, problems, name=f"{name}[{index}]")
            for index, item in enumerate(value)
        ]
    elif isinstance(nested, Object) and isinstance(value, dict):
        inner = f"{owner}: {name}"
        values = _load_parameters(nested.cls, value, inner, path, problems)
        if len(problems) == before:
            try:
                value = nested.cls(**values)
            except ParameterError as error:
                refuse(inner, error.parameter, error.reason)
    if len(problems) > before:
        return _INVALID
    try:
        return validator.check(value)
    except InvalidValue as error:
        refuse(owner, name + error.place, error.reason)
        return _INVALID


def _load_anything(node: dict[str, Any], parent: ActionClass | None) -> AnyAction:
    """Load *node* whatever it is, so that it is dumped exactly as it came."""
    then = node.get("then", _INVALID)
    nodes = then if isinstance(then, list) else [then]
    nests = then is not _INVALID and all(isinstance(child, dict) for child in nodes)
    canonical = then is _INVALID or (nests and (len(nodes) > 1) == (then is nodes))
    problems: list[WorkflowError] = []
    if canonical and _is_known(node.get("actionType")):
        own = _load_own(node, parent, "root", problems)
        if own is not None and not problems:
            cls, build = own
            children = [_load_anything(child, cls) for child in nodes if nests]
            return build().then(*children) if children else build()
    params = dict(node)
    action_type = params.pop("actionType", "")
    if not isinstance(action_type, str) or not action_type:
        params, action_type = dict(node), ""
    if nests:
        del params["then"]
    label = params.pop("label") if isinstance(params.get("label"), str) else None
    return custom.raw(
        action_type,
        params,
        label=label,
        children=[_load_anything(child, custom) for child in nodes if nests],
        as_list=nests and isinstance(then, list) and len(nodes) < 2,  # noqa: PLR2004
    )


def _is_known(action_type: Any) -> bool:
    return isinstance(action_type, str) and action_type in ACTIONS
