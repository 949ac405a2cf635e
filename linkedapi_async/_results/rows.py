"""Rows: a completion as flat dicts, for tables."""

from __future__ import annotations

import functools
import itertools
import typing
from collections.abc import Iterator
from typing import Any, TypeAlias

from linkedapi_async._results.completion import Result, Siblings, json_names_of
from linkedapi_async._results.key import ACTIONS, Key
from linkedapi_async._results.places import LocatedOutcome, Step, class_of, walk_places


RowDict: TypeAlias = dict[str, Any]

# The order of columns, by the first part of their names.
_DATA = 1

_RANKS = {"extra": 2, "asked": 4, "error": 5, "from": 6}

_META = ("workflow_id", "action_type", "label", "success")


def completion_rows(
    roots: Siblings, workflow_id: str | None, key: Key[Any] | None
) -> list[RowDict]:
    """Return the rows of all outcomes of *key*, or of all; see `Completion.rows`."""
    meta = {"workflow_id": workflow_id}
    found = [meta | row for place in walk_places(roots, key) for row in _rows(place)]
    ranks = _RANKS | dict.fromkeys(_META, 0 if key is None else 3)
    names = dict.fromkeys(itertools.chain.from_iterable(found))
    columns = sorted(names, key=lambda name: ranks.get(name.partition(".")[0], _DATA))
    return [{name: row.get(name) for name in columns} for row in found]


def _rows(place: LocatedOutcome) -> Iterator[RowDict]:
    outcome = place.outcome
    error = outcome.error
    around = {
        "action_type": outcome.action_type,
        "label": outcome.label,
        "success": outcome.success,
        **{f"asked.{name}": value for name, value in place.targets.items()},
        "error.type": None if error is None else error.type,
        "error.message": None if error is None else place.error_message,
        **_above(place.above),
    }
    for cells in _data(place):
        yield cells | around


def _above(steps: tuple[Step, ...]) -> RowDict:
    """Return the columns of the actions above; each has a name of its own."""
    found: RowDict = {}
    taken: set[str] = set()
    for step in steps:
        plain = prefix = f"from.{step.action_type}"
        number = 1
        while prefix in taken:
            number += 1
            prefix = f"{plain}[{number}]"
        taken.add(prefix)
        found |= {f"{prefix}.{name}": value for name, value in step.values.items()}
    return found


def _data(place: LocatedOutcome) -> Iterator[RowDict]:
    """Visit the data of an outcome, as one row or as one for each item of a list."""
    known = ACTIONS.get(place.outcome.action_type)
    sent = place.sent
    if known is None and place.outcome.error is None:
        yield from map(_json_columns, sent if isinstance(sent, list) else [sent])
    else:
        yield from map(
            _typed, place.items(Result if known is None else class_of(known.result))
        )


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
    """Return the data that no attribute of *item*, or of an object in it, shows."""
    cls: Any = type(item)
    found = item.extra
    for name, names in json_names_of(cls).items():
        value = getattr(item, name)
        if isinstance(value, Result) and (inner := _extra(value)):
            found[names[0]] = inner
    return found


@functools.cache
def _column_paths(cls: Any) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the columns of a result class, each with its path of attributes."""
    hints = typing.get_type_hints(cls)
    found: list[tuple[str, tuple[str, ...]]] = []
    for name in json_names_of(cls):
        (option, *_) = typing.get_args(hints[name])
        inner = class_of(option)
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
