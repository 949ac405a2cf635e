"""Completion to typed results."""

from __future__ import annotations

import functools
import itertools
import types
import typing
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias, cast

from linkedapi_async._actions.action import Action, Roots
from linkedapi_async._results.completion import (
    Completion,
    Outcome,
    Result,
    Siblings,
    json_names_of,
)
from linkedapi_async._results.key import ACTIONS, ActionKey
from linkedapi_async._results.tabular import TabularCompletion
from linkedapi_async._utils.codegen import compile_function
from linkedapi_async.errors import ActionError


Hook: TypeAlias = Callable[[Any, Any], Any]
"""A hook of cattrs: it turns a JSON value into a value of a type."""


def read_completion(
    raw: Any, workflow: Roots | None = None, workflow_id: str | None = None
) -> Completion:
    """Return the typed result tree of a completion that was stored as JSON.

    `Completion.raw` is such JSON, and so is ``completion`` in the results of
    ``linkedapi batch``. What does not look like a completion becomes an outcome that
    has failed.

    Args:
        raw: The completion's JSON: an object, or a list for an array workflow.
        workflow: The workflow, if it is known, to distinguish equal siblings.
        workflow_id: The workflow's id.
    """
    actions = (workflow,) if isinstance(workflow, Action) else workflow or ()
    top = Siblings((), actions)
    completion = TabularCompletion(raw=raw, workflow_id=workflow_id, top=top)
    # Not recursive: the depth of a completion has no limit.
    unread: Unread = [(top, raw)]
    while unread:
        siblings, then = unread.pop()
        siblings.outcomes = tuple(_outcomes(then, siblings.actions, completion, unread))
    for action, root in zip(actions, completion.roots, strict=False):
        if root.success and root.action_type == action.action_type:
            root.data = action.read_outcome(root)
    return completion


Unread: TypeAlias = list[tuple[Siblings, Any]]
"""Siblings whose outcomes have not been read, each with the JSON that has them."""


def _outcomes(
    then: Any,
    actions: tuple[ActionKey[Any], ...],
    completion: Completion,
    unread: Unread,
) -> Iterator[Outcome[Any]]:
    waiting: dict[tuple[str, str | None], deque[ActionKey[Any]]] = defaultdict(deque)
    for action in actions:
        waiting[action.action_type, action.label].append(action)
    for node in then if isinstance(then, list) else [then]:
        name = _name_of(node)
        yield _outcome(node, name, waiting.get(name), completion, unread)


def _name_of(node: Any) -> tuple[str, str | None]:
    if not isinstance(node, dict):
        return "", None
    action_type, label = node.get("actionType"), node.get("label")
    return (
        action_type if isinstance(action_type, str) else "",
        label if isinstance(label, str) else None,
    )


def _outcome(
    node: Any,
    name: tuple[str, str | None],
    same: deque[ActionKey[Any]] | None,
    completion: Completion,
    unread: Unread,
) -> Outcome[Any]:
    action_type, label = name
    below = tuple(_with_outcome(same.popleft().children)) if same else ()
    fields = node if isinstance(node, dict) else {}
    data = fields.get("data")
    error = _error(fields, action_type, label, completion)
    branches: list[Siblings] = []
    value = None
    if error is None:
        cls = ACTIONS.get(action_type)
        value = structure(data, cls.result if cls is not None else Any)
    # Children are read from the JSON and not from the typed value: the data of a void
    # or failed action, or data of an unexpected type, may have them too.
    items = data if isinstance(data, list) else (data,)
    owners = value if isinstance(value, list) else (value,)
    for item, owner in itertools.zip_longest(items, owners):
        if isinstance(item, dict) and "then" in item:
            found = _nested(item, below, unread)
            branches += found
            if found and isinstance(owner, Result):
                owner.nested = found[0]
    branches += _nested(fields, below, unread)
    if isinstance(value, Result) and value.nested is None and branches:
        value.nested = branches[0]
    return Outcome(
        action_type=action_type,
        label=label,
        success=error is None,
        data=value,
        error=error,
        branches=tuple(branches),
        raw=node,
    )


def _nested(
    fields: dict[str, Any], actions: tuple[ActionKey[Any], ...], unread: Unread
) -> list[Siblings]:
    then = fields.get("then")
    if not then or not isinstance(then, dict | list):
        return []
    siblings = Siblings((), actions)
    unread.append((siblings, then))
    return [siblings]


def _with_outcome(children: Iterable[ActionKey[Any]]) -> Iterator[ActionKey[Any]]:
    """Visit the actions that have an outcome: a loop's children instead of the loop."""
    for child in children:
        if child.has_outcome:
            yield child
        else:
            yield from _with_outcome(child.children)


def _error(
    fields: dict[str, Any], action_type: str, label: str | None, completion: Completion
) -> ActionError | None:
    error = fields.get("error")
    success = fields.get("success")
    if success is True or (success is not False and fields and not error):
        return None
    facts = error if isinstance(error, dict) else {}
    cls = ACTIONS.get(action_type)
    return ActionError(
        type=str(facts.get("type") or "unknownError"),
        message=str(facts.get("message") or "the API gave no reason"),
        action_type=action_type or "(no actionType)",
        label=label,
        completion=completion,
        category=None if cls is None else cls.category,
    )


def structure(data: Any, result: Any) -> Any:
    """Return an action's data as its result type."""
    if result is Any:
        return data
    if result is types.NoneType:
        return None
    made = _converter().get_structure_hook(result)(data, result)
    return [] if made is None else made


@functools.cache
def _converter() -> Any:
    """Return the converter for all attributes of results.

    It never fails: a value of an unexpected type gives None, or an empty result.
    cattrs is imported with the first completion, because building does not need it.
    """
    import cattrs  # noqa: PLC0415

    converter = cattrs.Converter()
    hook_of = converter.get_structure_hook
    for kind, accepted in _SCALARS.items():
        converter.register_structure_hook(kind, _scalar_hook(accepted))

    @converter.register_structure_hook_factory(_is_optional)
    def optional(annotation: Any) -> Hook:
        options = typing.get_args(annotation)
        # The known words of a string are for the reader; any string is accepted.
        make = hook_of(str if str in options else options[0])
        if not _is_result(options[0]):
            return make
        return lambda value, _: make(value, None) if type(value) is dict else None

    @converter.register_structure_hook_factory(_is_list)
    def many(annotation: Any) -> Hook:
        (item,) = typing.get_args(annotation)
        return _list_hook(hook_of(item), item)

    @converter.register_structure_hook_factory(_is_result)
    def one(cls: Any) -> Hook:
        return _object_hook(cls, hook_of)

    return converter


_SCALARS: dict[type, tuple[type, ...]] = {
    str: (str,),
    bool: (bool,),
    float: (int, float),
    int: (int,),
}


def _scalar_hook(accepted: tuple[type, ...]) -> Hook:
    # Not `isinstance`, because True is an int too.
    return lambda value, _: value if type(value) in accepted else None


def _list_hook(make: Hook, item: Any) -> Hook:
    def structured(value: Any, _: Any) -> Any:
        if type(value) is not list:
            return None
        return [made for each in value if (made := make(each, item)) is not None]

    return structured


def _is_optional(annotation: Any) -> bool:
    return typing.get_origin(annotation) in {types.UnionType, typing.Union}


def _is_list(annotation: Any) -> bool:
    return typing.get_origin(annotation) is list


def _is_result(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Result)


def _object_hook(cls: Any, hook_of: Callable[[Any], Hook]) -> Hook:
    """Return a hook that turns a JSON object into *cls*.

    It is compiled for the class, because the keyword call that cattrs' own generator
    makes for each object takes longer than all of this.
    """
    hints = typing.get_type_hints(cls)
    names: dict[str, Any] = {"cls": cls, "new": object.__new__}
    lines = [
        "def structured(raw, _):",
        "  made = new(cls)",
        "  made.raw = raw",
        "  made.nested = None",
        "  get = (raw if type(raw) is dict else {}).get",
    ]
    for name, (newest, *older) in json_names_of(cls).items():
        lines.append(f"  value = get({newest!r})")
        lines += [f"  if value is None: value = get({old!r})" for old in older]
        if typing.get_args(hints[name])[0] is str:
            made = "value if type(value) is str else None"
        else:
            names[f"make_{name}"] = hook_of(hints[name])
            made = f"None if value is None else make_{name}(value, None)"
        lines.append(f"  made.{name} = {made}")
    return cast(
        "Hook", compile_function("structured", [*lines, "  return made"], names)
    )
