"""What the API may give for a workflow, derived from the result classes.

Where a completion holds what was nested is drawn: all places that occur are tried.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from hypothesis import strategies as draws
from strategies import AnyAction, json_values, texts

from linkedapi_async._results.completion import Result, json_names_of


Path = tuple[str | int, ...]
"""A place inside a JSON value."""


@draws.composite
def completions(
    draw: draws.DrawFn, workflow: AnyAction | tuple[AnyAction, ...], *, fail: bool
) -> Any:
    """Draw the JSON of any completion for *workflow*.

    Args:
        draw: Given by hypothesis.
        workflow: One root, or the roots of an array workflow.
        fail: Whether actions may fail.
    """
    if isinstance(workflow, tuple):
        return [draw(completions(root, fail=fail)) for root in workflow]
    node: dict[str, Any] = {"actionType": workflow.action_type}
    if workflow.label is not None:
        node["label"] = workflow.label
    if fail and draw(draws.integers(0, 5)) == 0:
        error = {"type": draw(texts(1)), "message": draw(texts(1))}
        return node | {"success": False, "error": error}
    node["success"] = True
    data = draw(_data(workflow.result))
    children = tuple(seen(workflow.children))
    if children and data is None and draw(draws.booleans()):
        data = {}
    for holder in draw(_holders(node, data)) if children else ():
        nodes = [draw(completions(child, fail=fail)) for child in children]
        single = len(nodes) == 1 and draw(draws.booleans())
        holder["then"] = nodes[0] if single else nodes
    return node if data is None else node | {"data": data}


def seen(children: Iterable[AnyAction]) -> Iterator[AnyAction]:
    """Yield the actions with a node; the children of a loop take its place."""
    for child in children:
        if child.has_outcome:
            yield child
        else:
            yield from seen(child.children)


def _holders(
    node: dict[str, Any], data: Any
) -> draws.SearchStrategy[list[dict[str, Any]]]:
    """Draw which objects hold what was nested: the data, its items, or the node."""
    if isinstance(data, list):
        return draws.just([item for item in data if isinstance(item, dict)])
    options = [node, data] if isinstance(data, dict) else [node]
    return draws.sampled_from(options).map(lambda holder: [holder])


def _data(result: Any) -> draws.SearchStrategy[Any]:
    """Draw what an action with this type of result may have as its data."""
    if result is types.NoneType:
        return draws.none()
    if result is Any:
        # Hypothesis draws literals of the code, too, and this one would nest outcomes.
        return json_values.filter(lambda value: "then" not in repr(value))
    if typing.get_origin(result) is list:
        return draws.lists(objects(*typing.get_args(result)), max_size=3)
    return draws.none() | objects(result)


@draws.composite
def objects(draw: draws.DrawFn, cls: Any) -> dict[str, Any]:
    """Draw the JSON of a result class: any of its fields, under any of their names."""
    hints = typing.get_type_hints(cls)
    return {
        draw(draws.sampled_from(wires)): draw(_values(hints[name]))
        for name, wires in json_names_of(cls).items()
        if draw(draws.booleans())
    }


def _values(annotation: Any) -> draws.SearchStrategy[Any]:
    """Draw what an attribute with this annotation takes."""
    return draws.one_of([_of_kind(kind) for kind in typing.get_args(annotation)])


def _of_kind(kind: Any) -> draws.SearchStrategy[Any]:
    if typing.get_origin(kind) is Literal:
        return draws.sampled_from(typing.get_args(kind))
    plain: dict[Any, draws.SearchStrategy[Any]] = {
        types.NoneType: draws.none(),
        str: texts(),
        bool: draws.booleans(),
        int: draws.integers(),
        float: draws.integers() | draws.floats(allow_nan=False, allow_infinity=False),
        list[str]: draws.lists(texts(), max_size=3),
    }
    return plain[kind] if kind in plain else objects(kind)


def nodes_of(then: Any, path: Path = ()) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Visit the actions' records in a completion, each with its place."""
    for place, node in _objects_in(then, path):
        yield place, node
        yield from nodes_of(node.get("then"), (*place, "then"))
        for inner, item in _objects_in(node.get("data"), (*place, "data")):
            yield from nodes_of(item.get("then"), (*inner, "then"))


def _objects_in(value: Any, path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for key, item in enumerate(value) if isinstance(value, list) else [((), value)]:
        if isinstance(item, dict):
            yield (*path, key) if isinstance(key, int) else path, item


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Visit every place inside a JSON value."""
    yield path
    items: Iterable[Any] = ()
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield from places(item, (*path, key))


def at(value: Any, path: Path) -> Any:
    """Return the value at *path*."""
    for key in path:
        value = value[key]
    return value


def replaced(value: Any, path: Path, new: Any) -> Any:
    """Return *value* with *new* at *path*; what does not hold it stays the same."""
    if not path:
        return new
    changed: Any = dict(value) if isinstance(value, dict) else list(value)
    changed[path[0]] = replaced(value[path[0]], path[1:], new)
    return changed


def results_in(value: Any) -> Iterator[Result]:
    """Visit the typed objects in what an action yields, nested ones too."""
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, Result):
            yield item
            cls: Any = type(item)
            for name in json_names_of(cls):
                yield from results_in(getattr(item, name))
