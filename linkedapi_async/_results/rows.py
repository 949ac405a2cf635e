"""Rows: a completion as flat dicts, for tables."""

from __future__ import annotations

import functools
import itertools
import typing
from collections import defaultdict, deque
from collections.abc import Iterator
from typing import Any, TypeAlias

import attrs

from linkedapi_async._results.key import ACTIONS, ActionKey, Key, as_key
from linkedapi_async._results.outcome import (
    Outcome,
    Result,
    Siblings,
    json_names_of,
    matches_key,
)


RowDict: TypeAlias = dict[str, Any]

IDENTITY = (
    *("name", "title", "public_url", "hashed_url", "url", "job_url", "post_url"),
    *("comment_url", "profile_url", "urn"),
)
"""The attributes that identify a person, company or item, if its class has them."""

# The order of columns, by the first part of their names.
_DATA = 1

_RANKS = {"extra": 2, "asked": 4, "error": 5, "from": 6}

_META = ("workflow_id", "action_type", "label", "success")


@attrs.frozen
class _Place:
    """An outcome with its context: its action, and the columns of all above it."""

    outcome: Outcome[Any]
    action: ActionKey[Any] | None
    above: RowDict


def completion_rows(
    roots: Siblings, workflow_id: str | None, key: Key[Any] | None
) -> list[RowDict]:
    """Return the rows of all outcomes of *key*, or of all; see `Completion.rows`."""
    key = None if key is None else as_key(key)
    found: list[RowDict] = []
    stack = [*_places(roots, {})][::-1]
    # Not recursive: the depth of a completion has no limit.
    while stack:
        place = stack.pop()
        if key is None or matches_key(key, place.outcome):
            meta = {"workflow_id": workflow_id}
            found += (meta | row for row in _rows(place))
        stack += [*_below(place)][::-1]
    ranks = _RANKS | dict.fromkeys(_META, 0 if key is None else 3)
    names = dict.fromkeys(itertools.chain.from_iterable(found))
    columns = sorted(names, key=lambda name: ranks.get(name.partition(".")[0], _DATA))
    return [{name: row.get(name) for name in columns} for row in found]


def _places(siblings: Siblings, above: RowDict) -> Iterator[_Place]:
    """Visit the outcomes of *siblings*, each with the action that it came from."""
    waiting: dict[tuple[str, str | None], deque[ActionKey[Any]]] = defaultdict(deque)
    for action in siblings.actions:
        waiting[action.action_type, action.label].append(action)
    for outcome in siblings.outcomes:
        same = waiting[outcome.action_type, outcome.label]
        yield _Place(outcome, same.popleft() if same else None, above)


def _below(place: _Place) -> Iterator[_Place]:
    """Visit the places of the outcomes nested in *place*, in each item of a list."""
    data = place.outcome.data
    items = data if isinstance(data, list) else []
    owners = {id(item.nested): item for item in items if isinstance(item, Result)}
    prefix = _prefix(place)
    for siblings in place.outcome.branches:
        owner = owners.get(id(siblings)) if isinstance(data, list) else data
        own = {"label": place.outcome.label, **_targets(place), **_identity(owner)}
        named = {f"{prefix}.{name}": value for name, value in own.items()}
        yield from _places(siblings, place.above | named)


def _prefix(place: _Place) -> str:
    """Return a name for *place* that no place above it has."""
    taken = {name.rpartition(".")[0] for name in place.above}
    plain = name = f"from.{place.outcome.action_type}"
    number = 1
    while name in taken:
        number += 1
        name = f"{plain}[{number}]"
    return name


def _identity(owner: Any) -> RowDict:
    cls: Any = type(owner)
    known = json_names_of(cls) if isinstance(owner, Result) else {}
    return {name: getattr(owner, name) for name in IDENTITY if name in known}


def _targets(place: _Place) -> RowDict:
    """Return the targets of the action, if the workflow is known."""
    action = place.action
    names = () if action is None else action.targets
    values = {name: getattr(action, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _rows(place: _Place) -> Iterator[RowDict]:
    outcome = place.outcome
    around = {
        "action_type": outcome.action_type,
        "label": outcome.label,
        "success": outcome.success,
        **{f"asked.{name}": value for name, value in _targets(place).items()},
        **_failure(outcome),
        **place.above,
    }
    for cells in _data(outcome):
        yield cells | around


def _failure(outcome: Outcome[Any]) -> RowDict:
    if outcome.error is None:
        return {"error.type": None, "error.message": None}
    sent = outcome.raw.get("error") if isinstance(outcome.raw, dict) else None
    # Not the error's own text, which names the action too.
    message = sent.get("message") if isinstance(sent, dict) else sent
    return {"error.type": outcome.error.type, "error.message": message}


def _data(outcome: Outcome[Any]) -> Iterator[RowDict]:
    """Visit the data of *outcome*, as one row or as one for each item of a list."""
    known = ACTIONS.get(outcome.action_type)
    data = outcome.data
    sent = outcome.raw.get("data") if isinstance(outcome.raw, dict) else outcome.raw
    if known is None and outcome.error is None:
        yield from map(_json_columns, sent if isinstance(sent, list) else [sent])
    elif isinstance(data, list) and isinstance(sent, list):
        yield from map(_typed, data)
    elif isinstance(data, Result):
        yield _typed(data)
    # It failed, yields nothing, or did not yield the expected list.
    elif not isinstance(data, list) or Result(raw=sent).extra:
        cls = Result if known is None else _class_of(known.result)
        yield _typed(cls(raw=sent))


def _class_of(result: Any) -> Any:
    """Return the class of an action's rows: that of its items, if it yields a list."""
    options = (result, *typing.get_args(result))
    found = [o for o in options if isinstance(o, type) and issubclass(o, Result)]
    return found[0] if found else Result


def _typed(item: Result) -> RowDict:
    cls: Any = type(item)
    cells = {column: _cell(item, path) for column, path in _column_paths(cls)}
    return {**cells, "extra": _extra(item) or None}


def _cell(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = getattr(value, name, None)
    if isinstance(value, list):
        return [item.raw if isinstance(item, Result) else item for item in value]
    return value


def _extra(item: Result) -> RowDict:
    """Return all that no attribute of *item* or of the objects in it shows."""
    cls: Any = type(item)
    found = item.extra
    for name, names in json_names_of(cls).items():
        value = getattr(item, name)
        if isinstance(value, Result) and (inner := _extra(value)):
            found[names[0]] = inner
    return found


@functools.cache
def _column_paths(cls: Any) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the columns of a result class, each with the attributes that lead there."""
    hints = typing.get_type_hints(cls)
    found: list[tuple[str, tuple[str, ...]]] = []
    for name in json_names_of(cls):
        (option, *_) = typing.get_args(hints[name])
        inner = _class_of(option)
        if inner is Result or typing.get_origin(option) is list:
            found.append((name, (name,)))
        else:
            found += (
                (f"{name}.{c}", (name, *path)) for c, path in _column_paths(inner)
            )
    return tuple(found)


def _json_columns(item: Any) -> RowDict:
    """Return the columns of a JSON value without a class."""
    cells: RowDict = {}
    value = Result(raw=item).extra if isinstance(item, dict) else item
    stack = [("data", value)]
    # Not recursive: the depth of unknown JSON has no limit.
    while stack:
        column, value = stack.pop()
        if isinstance(value, dict) and value:
            inner = [(f"{column}.{_part(name)}", v) for name, v in value.items()]
            stack += reversed(inner)
        else:
            cells[column] = value
    return cells


def _part(name: str) -> str:
    """Return a JSON name as one part of a column's name."""
    return name.replace("\\", "\\\\").replace(".", "\\.")
