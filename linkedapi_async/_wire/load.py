"""JSON to workflow, with every problem found."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import Any

from linkedapi_async._actions.action import (
    ActionClass,
    AnyAction,
    copier,
    nesting_error,
)
from linkedapi_async._actions.custom import custom
from linkedapi_async._actions.parameters import Validated, parameters_of
from linkedapi_async._actions.validators import (
    InvalidValue,
    ListOf,
    Object,
    StringOrObject,
    Validator,
    check_json,
    unchecked_targets,
    warn_unknown,
)
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._utils.json import decode_json_exactly
from linkedapi_async._utils.spelling import json_name, nearest
from linkedapi_async._utils.text import short_repr
from linkedapi_async.errors import (
    InvalidDefinitionError,
    ParameterError,
    UnknownValueWarning,
    WorkflowError,
)


COMMON = ("actionType", "label", "then")
"""The keys of an action's JSON that are not parameters."""

MISSPELT = 0.75
"""How similar an unknown name must be to a known one to be a misspelling, 0 to 1."""


def load_workflow(source: Any, *, check: bool = True) -> Any:
    """Return the checked workflow of a definition.

    Args:
        source: A dict, a list of dicts, or either as JSON in a str or bytes.
        check: False keeps everything that does not fit: such a node becomes a `custom`
            one, and `dump_workflow` returns exactly the input. Targets are not checked.

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
    for index, given in enumerate(nodes):
        # An editor's schema belongs to the file and not to the workflow.
        ignored = {"$schema"} if check and isinstance(given, dict) else set()
        node = (
            {k: v for k, v in given.items() if k not in ignored} if ignored else given
        )
        path = f"root[{index}]" if many else "root"
        if check or not isinstance(node, dict):
            loaded.append(_load(node, None, path, problems))
        else:
            with unchecked_targets():
                loaded.append(_load_anything(node, None))
    if problems:
        raise InvalidDefinitionError(problems)
    return tuple(loaded) if many else loaded[0]


def load_silently(source: Any) -> Any:
    """Return the workflow of a definition, which may not fit, without warnings.

    For definitions of which the caller is warned elsewhere, such as stored ones.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownValueWarning)
        return load_workflow(source, check=False)


def _load(
    node: Any, parent: ActionClass | None, path: str, problems: list[WorkflowError]
) -> AnyAction | None:
    before = len(problems)
    own = _load_own(node, parent, path, problems)
    # Under an unknown action, anything may be nested.
    cls = own[0] if own else custom
    then = node.get("then", ()) if isinstance(node, dict) else ()
    if not isinstance(then, list | dict | tuple):
        reason = f"must be an action or a list of actions, got {short_repr(then)}"
        problems.append(
            ParameterError(
                owner=cls.action_type if cls is not custom else "action",
                parameter="then",
                reason=reason,
                path=path,
            )
        )
        then = ()
    # Children of a wrong action are loaded too, so that all problems are found at once.
    children: list[Any] = [
        _load(child, cls, f"{path}.then[{index}]", problems)
        for index, child in enumerate([then] if isinstance(then, dict) else then)
    ]
    if own is None or own[1] is None or len(problems) > before:
        return None
    return _with_children(own[1], children, as_list=isinstance(then, list))


def _with_children(
    action: AnyAction, children: Sequence[AnyAction], *, as_list: bool
) -> AnyAction:
    """Return *action* with *children*, whose nesting has been checked."""
    if not children and not as_list:
        return action
    cls: Any = type(action)
    copied: AnyAction = copier(cls)(action, tuple(children), as_list=as_list)
    return copied


def _load_own(
    node: Any, parent: ActionClass | None, path: str, problems: list[WorkflowError]
) -> tuple[ActionClass, AnyAction | None] | None:
    """Load *node* without its children, if it can be nested under *parent*."""
    if not isinstance(node, dict):
        message = f"expected an action, a JSON object, got {short_repr(node)}"
        problems.append(WorkflowError(message, path=path))
        return None
    action_type = node.get("actionType")
    if not isinstance(action_type, str) or not action_type:
        wrong = f"must be a string, got {short_repr(action_type)}"
        message = f"actionType {wrong if 'actionType' in node else 'is required'}"
        problems.append(WorkflowError(message, path=path))
        return None
    before = len(problems)
    if "label" in node and node["label"] is None:
        problems.append(_label_error(action_type, path))
    cls = ACTIONS.get(action_type)
    if cls is None:
        return _load_unknown(node, action_type, path, problems)
    # A target with its Python name has a problem of its own.
    targets = [n for n in cls.targets if json_name(n) in node or n in node]
    problem = nesting_error(cls, targets, parent, path)
    if problem is not None:
        problems.append(_in_json(problem))
    values, extra = _load_parameters(
        cls, node, action_type, path, problems, skip=COMMON
    )
    if "label" in node:
        values["label"] = node["label"]

    if len(problems) > before:
        return cls, None
    try:
        return cls, _build(cls, values, extra, f"{path}: {action_type}")
    except ParameterError as error:
        problems.append(_in_json(error.at(path)))
        return cls, None


def _label_error(action_type: str, path: str) -> ParameterError:
    reason = "must be a string, got None; leave it out"
    return ParameterError(
        owner=action_type, parameter="label", reason=reason, path=path
    )


def _build(cls: Any, values: dict[str, Any], extra: dict[str, Any], place: str) -> Any:
    built = cls(**values)
    for name in extra:
        known = ", ".join(p.json_name for p in parameters_of(cls)) or "none"
        warn_unknown(
            f"{place}: {name} is not a known parameter and is sent as it is; "
            f"known: {known}"
        )
    return built.with_extra(extra) if extra else built


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


def _misspelt(action_type: str) -> list[str]:
    """Return the action types that an unknown one is certainly a misspelling of."""
    plain = _letters(action_type)
    same = [n for n in ACTIONS if plain in {_letters(n), _letters(n.partition(".")[2])}]
    if same:
        return same
    namespace = action_type.partition(".")[0] + "."
    names = [name for name in ACTIONS if name.startswith(namespace)]
    slip = nearest(action_type, names, cutoff=0.9)
    return [] if slip is None else [slip]


def _letters(name: str) -> str:
    """Return *name* without case and underscores, which Python's spelling changes."""
    return name.replace("_", "").lower()


def _load_unknown(
    node: dict[str, Any],
    action_type: str,
    path: str,
    problems: list[WorkflowError],
) -> tuple[ActionClass, AnyAction | None] | None:
    """Load an unknown action type: a misspelt one, or a new one."""
    meant = _misspelt(action_type)
    if meant:
        message = (
            f"{short_repr(action_type)} is not an action type; "
            f"did you mean {' or '.join(meant)}?"
        )
        problems.append(WorkflowError(message, path=path))
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
    return custom, built


def _load_parameters(
    cls: type[Validated],
    node: dict[str, Any],
    owner: str,
    path: str,
    problems: list[WorkflowError],
    *,
    skip: Sequence[str] = (),
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values of the parameters of *cls*, and the unknown ones."""
    known = {parameter.json_name: parameter for parameter in parameters_of(cls)}
    values: dict[str, Any] = {}
    extra: dict[str, Any] = {}

    def refuse(name: str, reason: str) -> None:
        problems.append(
            ParameterError(owner=owner, parameter=name, reason=reason, path=path)
        )

    for name, value in node.items():
        if name in skip:
            continue
        parameter = known.get(name)
        if parameter is None:
            reason = _unknown_name(name, [*known, *skip])
            if reason is None:
                reason = _json_problem(value)
            if reason is not None:
                refuse(name, reason)
                continue
            extra[name] = value
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
    return values, extra


def _unknown_name(name: str, known: Sequence[str]) -> str | None:
    """Return why *name* is wrong; None if no name is near, so it may be new."""
    if json_name(name) in known:
        return f"is a Python name; in JSON it is {json_name(name)}"
    if name == "children" and "then" in known:
        return "is a Python name; in JSON it is then"
    near = nearest(name, known, cutoff=MISSPELT)
    return None if near is None else f"is not a parameter; did you mean {near}?"


def _json_problem(value: Any) -> str | None:
    try:
        check_json(value)
    except InvalidValue as error:
        return error.reason
    return None


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
        values, extra = _load_parameters(nested.cls, value, inner, path, problems)
        if len(problems) == before:
            try:
                value = _build(nested.cls, values, extra, f"{path}: {inner}")
            except ParameterError as error:
                refuse(inner, json_name(error.parameter), error.reason)
    if len(problems) > before:
        return _INVALID
    try:
        return validator.check(value)
    except InvalidValue as error:
        refuse(owner, name + error.place, error.reason)
        return _INVALID


def _load_anything(node: dict[str, Any], parent: ActionClass | None) -> AnyAction:
    """Load any *node* so that it is dumped exactly as it was."""
    then = node.get("then", _INVALID)
    nodes = then if isinstance(then, list) else [then]
    nests = then is not _INVALID and all(isinstance(child, dict) for child in nodes)
    problems: list[WorkflowError] = []
    if (nests or then is _INVALID) and _is_known(node.get("actionType")):
        own = _load_own(node, parent, "root", problems)
        if own is not None and own[1] is not None:
            children = [_load_anything(child, own[0]) for child in nodes if nests]
            return _with_children(own[1], children, as_list=then is nodes)
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
        as_list=nests and then is nodes,
    )


def _is_known(action_type: Any) -> bool:
    return isinstance(action_type, str) and action_type in ACTIONS
