"""Completion to typed results."""

from __future__ import annotations

import functools
import itertools
import types
import typing
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias, cast

from linkedapi_async._actions.action import (
    Action,
    Roots,
)
from linkedapi_async._results.completion import Completion
from linkedapi_async._results.key import ACTIONS, ActionKey
from linkedapi_async._results.outcome import Outcome, Result, Siblings, json_names_of
from linkedapi_async._utils.codegen import compile_function
from linkedapi_async.errors import (
    ActionError,
)


# In: completion to results

Hook: TypeAlias = Callable[[Any, Any], Any]
"""As cattrs has them: from a JSON value and a type to a value of that type."""


def read_completion(
    raw: Any, workflow: Roots | None = None, workflow_id: str | None = None
) -> Completion:
    """Return the typed result tree of a completion.

    Args:
        raw: The completion's JSON: an object, or a list for an array workflow.
        workflow: What was asked, where it is known: it tells equal siblings apart.
        workflow_id: The workflow it belongs to.
    """
    asked = (workflow,) if isinstance(workflow, Action) else workflow or ()
    completion = Completion(raw=raw, workflow_id=workflow_id, home=Siblings((), asked))
    # Not recursive: pages may be nested without end.
    unread: Unread = [(completion.home, raw)]
    while unread:
        home, then = unread.pop()
        home.outcomes = tuple(_outcomes(then, home.asked, completion, unread))
    for action, root in zip(asked, completion.roots, strict=False):
        if root.success and root.action_type == action.action_type:
            root.data = action._yielded(root)
    return completion


Unread: TypeAlias = list[tuple[Siblings, Any]]
"""Homes whose outcomes have not been read, each with the JSON that holds them."""


def _outcomes(
    then: Any, asked: tuple[ActionKey[Any], ...], completion: Completion, unread: Unread
) -> Iterator[Outcome[Any]]:
    waiting: dict[tuple[str, str | None], deque[ActionKey[Any]]] = defaultdict(deque)
    for action in asked:
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
    asked = tuple(_visible(same.popleft().children)) if same else ()
    fields = node if isinstance(node, dict) else {}
    data = fields.get("data")
    error = _error(fields, action_type, label, completion)
    homes: list[Siblings] = []
    value = None
    if error is None:
        cls = ACTIONS.get(action_type)
        value = structure(data, cls.result if cls is not None else Any)
    # What was nested is looked for in the JSON: a void or failed action may have data
    # that just holds it, and data of an unexpected type may hold it too.
    items = data if isinstance(data, list) else (data,)
    owners = value if isinstance(value, list) else (value,)
    for item, owner in itertools.zip_longest(items, owners):
        if isinstance(item, dict) and "then" in item:
            home = _nested(item, asked, unread)
            homes += home
            if home and isinstance(owner, Result):
                owner.home = home[0]
    homes += _nested(fields, asked, unread)
    if isinstance(value, Result) and value.home is None and homes:
        value.home = homes[0]
    return Outcome(
        action_type=action_type,
        label=label,
        success=error is None,
        data=value,
        error=error,
        homes=tuple(homes),
        raw=node,
    )


def _nested(
    fields: dict[str, Any], asked: tuple[ActionKey[Any], ...], unread: Unread
) -> list[Siblings]:
    then = fields.get("then")
    if not then or not isinstance(then, dict | list):
        return []
    home = Siblings((), asked)
    unread.append((home, then))
    return [home]


def _visible(children: Iterable[ActionKey[Any]]) -> Iterator[ActionKey[Any]]:
    """Visit the actions that leave a node: those in a loop stand in its place."""
    for child in children:
        if child.has_outcome:
            yield child
        else:
            yield from _visible(child.children)


def _error(
    fields: dict[str, Any], action_type: str, label: str | None, completion: Completion
) -> ActionError | None:
    error = fields.get("error")
    success = fields.get("success")
    if success is True or (success is not False and fields and not error):
        return None
    facts = error if isinstance(error, dict) else {}
    return ActionError(
        type=str(facts.get("type") or "unknownError"),
        message=str(facts.get("message") or "the API gave no reason"),
        action_type=action_type or "(no actionType)",
        label=label,
        completion=completion,
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
    """Return the converter that knows what to make of every attribute.

    It never fails: a value of an unexpected type gives None, or an empty result.
    cattrs is imported with the first completion: who only builds does without.
    """
    import cattrs  # noqa: PLC0415

    converter = cattrs.Converter()
    hook_of = converter.get_structure_hook
    for kind, accepted in _SCALARS.items():
        converter.register_structure_hook(kind, _scalar_hook(accepted))

    @converter.register_structure_hook_factory(_is_optional)
    def optional(annotation: Any) -> Hook:
        options = typing.get_args(annotation)
        # A known word or any other string: the words are for the reader.
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
    """Return what turns a JSON object into *cls*.

    Written out for the class: the keyword call that cattrs' own generator makes for
    each object takes longer than all of this.
    """
    hints = typing.get_type_hints(cls)
    names: dict[str, Any] = {"cls": cls, "new": object.__new__}
    lines = [
        "def structured(raw, _):",
        "  made = new(cls)",
        "  made.raw = raw",
        "  made.home = None",
        "  get = (raw if type(raw) is dict else {}).get",
    ]
    for name, wires in json_names_of(cls).items():
        lines.append(f"  value = get({wires[0]!r})")
        lines += [f"  if value is None: value = get({w!r})" for w in wires[1:]]
        if typing.get_args(hints[name])[0] is str:
            made = "value if type(value) is str else None"
        else:
            names[f"make_{name}"] = hook_of(hints[name])
            made = f"None if value is None else make_{name}(value, None)"
        lines.append(f"  made.{name} = {made}")
    return cast(
        "Hook", compile_function("structured", [*lines, "  return made"], names)
    )
