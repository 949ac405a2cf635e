"""Columns: the outcomes of one action as typed Arrow arrays.

The columns depend only on the action, never on the values, so that any two completions
have the same columns.

It needs ``arro3-core``: the extra ``table``.
"""

from __future__ import annotations

import datetime as dt
import functools
import itertools
import json
import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from linkedapi_async._results.completion import (
    Result,
    Siblings,
    Timestamp,
    json_names_of,
)
from linkedapi_async._results.key import ACTIONS, Key, as_key
from linkedapi_async._results.places import (
    IDENTITY,
    LocatedOutcome,
    class_of,
    walk_places,
)
from linkedapi_async._utils.json import encode_deep_json, encode_json
from linkedapi_async._utils.text import encodable


# arro3 and not nanoarrow: it imports in 4 ms and not in 40, builds text as fast and
# numbers ten times as fast, makes lists and structs, has one wheel for all Pythons, and
# a sibling that writes Parquet. It is 11 MB large, nanoarrow 3, pyarrow 170.
try:
    from arro3.core import (
        Array,
        DataType,
        Field,
        RecordBatch,
        Schema,
        Table,
        list_array,
        struct_array,
    )
except ImportError:
    raise ImportError(
        "a table needs arro3-core: pip install 'linkedapi-async[table]'"
    ) from None


BATCH: Final = 65_536
"""The number of rows after which a batch ends."""

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

_MICROSECOND: Final = dt.timedelta(microseconds=1)

_LEAST, _MOST = -(2**63), 2**63 - 1


class ArrowKind(ABC):
    """How values of one Python type become an Arrow array."""

    def __init__(
        self, type_: DataType, rest: Callable[[Any], Any] | None = None
    ) -> None:
        self.type: DataType = type_
        """The Arrow type."""
        self.rest: Callable[[Any], Any] | None = rest
        """Returns the part of a value that an array cannot hold, or None.

        It is None where an array holds every value of the Python type.
        """

    @abstractmethod
    def array(self, values: Sequence[Any]) -> Array:
        """Return *values* as an array; None is null."""


class Plain(ArrowKind):
    """Values that Arrow accepts as they are."""

    def array(self, values: Sequence[Any]) -> Array:
        """Return *values* as an array."""
        return Array(values, self.type)


class Converted(ArrowKind):
    """Values that *convert* changes; it returns None for a number out of range."""

    def __init__(
        self, type_: DataType, convert: Callable[[Any], Any], *, exact: bool = True
    ) -> None:
        super().__init__(type_, None if exact else self._refused)
        self._convert = convert

    def _refused(self, value: Any) -> Any:
        return value if self._convert(value) is None else None

    def array(self, values: Sequence[Any]) -> Array:
        """Return *values* as an array."""
        convert = self._convert
        return Array([None if v is None else convert(v) for v in values], self.type)


class Text(ArrowKind):
    """Text; other values become JSON text."""

    def array(self, values: Sequence[Any]) -> Array:
        """Return *values* as an array."""
        try:
            return Array(values, self.type)
        except (TypeError, UnicodeEncodeError):
            texts = [None if value is None else _as_text(value) for value in values]
            return Array(texts, self.type)


def _as_text(value: Any) -> str:
    # Half of an emoji is escaped, as in CSV.
    return encodable(value if isinstance(value, str) else _as_json(value))


def _as_json(value: Any) -> str:
    try:
        return encode_json(value).decode()
    except RecursionError:
        return encode_deep_json(value)


def _as_int(value: int) -> int | None:
    return value if _LEAST <= value <= _MOST else None


def _as_float(value: float) -> float | None:
    try:
        held = float(value)
    except OverflowError:
        return None
    return held if held == value else None


class UtcTimestamp(ArrowKind):
    """A point in time in UTC. Its text has a column too, so that nothing is lost."""

    def array(self, values: Sequence[Any]) -> Array:
        """Return *values* as an array."""
        ticks = [None if v is None else (v - _EPOCH) // _MICROSECOND for v in values]
        return Array(ticks, DataType.int64()).cast(self.type)


TEXT: Final = Text(DataType.string())

JSON: Final = Converted(DataType.string(), _as_json)

BOOL: Final = Plain(DataType.bool())

MOMENT: Final = UtcTimestamp(DataType.timestamp("us", tz="UTC"))

SCALARS: Final[dict[Any, ArrowKind]] = {
    str: TEXT,
    bool: BOOL,
    int: Converted(DataType.int64(), _as_int, exact=False),
    float: Converted(DataType.float64(), _as_float, exact=False),
}
"""The kinds of the simple attributes of results."""


_NULLABLE: Final = (
    (DataType.int64(), "int64", "Int64"),
    (DataType.bool(), "bool", "boolean"),
)
"""Arrow types, with their pandas names and the nullable types of pandas."""


class List(ArrowKind):
    """Lists of one kind of item."""

    def __init__(self, item: ArrowKind) -> None:
        rest = item.rest
        super().__init__(
            DataType.list(Field("item", item.type)),
            None if rest is None else functools.partial(_rest_of_items, rest),
        )
        self._item = item

    def array(self, values: Sequence[Any]) -> Array:
        """Return *values* as an array."""
        lengths = (0 if value is None else len(value) for value in values)
        offsets = [*itertools.accumulate(lengths, initial=0)]
        items = [item for value in values if value is not None for item in value]
        return list_array(
            Array(offsets, DataType.int32()),
            self._item.array(items),
            type=self.type,
            mask=_nulls(values),
        )


def _rest_of_items(rest: Callable[[Any], Any], items: Sequence[Any]) -> Any:
    """Return the part of each item that an array cannot hold, if any item has one."""
    rests = [rest(item) for item in items]
    return rests if any(each is not None for each in rests) else None


def _nulls(values: Sequence[Any]) -> Array | None:
    """Return which of *values* are null, if any are."""
    nulls = [value is None for value in values]
    return Array(nulls, DataType.bool()) if any(nulls) else None


class Struct(ArrowKind):
    """Objects with certain columns, by default dicts with certain keys."""

    def __init__(
        self,
        columns: dict[str, ArrowKind],
        rest: Callable[[Any], Any] | None = None,
        read: Callable[[Any, str], Any] = dict.get,
    ) -> None:
        self.fields: list[Field] = [
            Field(name, kind.type) for name, kind in columns.items()
        ]
        """The columns as Arrow types."""
        super().__init__(DataType.struct(self.fields), rest)
        self._columns = columns
        self._read = read

    def arrays(self, values: Sequence[Any]) -> list[Array]:
        """Return all columns of *values*."""
        read = self._read
        return [
            kind.array([None if v is None else read(v, name) for v in values])
            for name, kind in self._columns.items()
        ]

    def array(self, values: Sequence[Any]) -> Array:
        """Return *values* as an array."""
        return struct_array(
            self.arrays(values), fields=self.fields, mask=_nulls(values)
        )


@functools.cache
def attributes_of(cls: Any) -> Struct:
    """Return the columns of a result class, with its moments beside their texts."""
    hints = typing.get_type_hints(cls)
    columns: dict[str, ArrowKind] = {}
    rests: list[tuple[str, str, Callable[[Any], Any]]] = []
    for name, (in_json, *_) in json_names_of(cls).items():
        columns[name] = kind = kind_of(hints[name])
        if kind.rest is not None:
            rests.append((name, in_json, kind.rest))
        moment = f"{name}_datetime"
        if isinstance(getattr(cls, moment, None), Timestamp):
            columns[moment] = MOMENT
    return Struct(columns, functools.partial(_rest_of_result, rests), getattr)


def _rest_of_result(
    rests: Sequence[tuple[str, str, Callable[[Any], Any]]], result: Result
) -> Any:
    """Return, as JSON, values without an attribute and those that no array can hold."""
    found = result.extra
    for name, in_json, rest_of in rests:
        held = getattr(result, name)
        rest = None if held is None else rest_of(held)
        if rest is not None:
            # If one item of a list cannot be read, `extra` has the whole list.
            found.setdefault(in_json, rest)
    return found or None


def kind_of(annotation: Any) -> ArrowKind:
    """Return the kind of an attribute of a result."""
    options = typing.get_args(annotation)
    origin = typing.get_origin(annotation)
    if origin in {types.UnionType, typing.Union}:
        # The known words of a string are for the reader; any string is accepted.
        return kind_of(str if str in options else options[0])
    if origin is list:
        return List(kind_of(*options))
    return SCALARS.get(annotation) or attributes_of(annotation)


@functools.cache
def _around(targets: tuple[str, ...]) -> Struct:
    """Return the columns around the data of an action with *targets*."""
    columns: dict[str, ArrowKind] = {
        **dict.fromkeys(("workflow_id", "action_type", "label"), TEXT),
        "success": BOOL,
        # Arrow has structs without fields, Parquet does not.
        **({"asked": Struct(dict.fromkeys(targets, TEXT))} if targets else {}),
        "error": Struct(dict.fromkeys(("type", "message"), TEXT)),
    }
    every = itertools.chain.from_iterable(action.targets for action in ACTIONS.values())
    step = Struct(dict.fromkeys(("action_type", "label", *every, *IDENTITY), TEXT))
    return Struct({**columns, "from": List(step)})


def _facts(place: LocatedOutcome, workflow_id: str | None) -> dict[str, Any]:
    """Return the values around the data of an outcome."""
    outcome = place.outcome
    error = outcome.error
    return {
        "workflow_id": workflow_id,
        "action_type": outcome.action_type,
        "label": outcome.label,
        "success": outcome.success,
        "asked": place.targets or None,
        "error": error and {"type": error.type, "message": place.error_message},
        "from": [
            {"action_type": step.action_type, **step.values} for step in place.above
        ],
    }


def _for_pandas(fields: Iterable[Field]) -> str:
    """Return the pandas types with which missing integers do not become floats.

    https://pandas.pydata.org/docs/development/developer.html
    """
    columns = [
        {
            "name": field.name,
            "field_name": field.name,
            "metadata": None,
            "pandas_type": name,
            "numpy_type": dtype,
        }
        for field in fields
        for type_, name, dtype in _NULLABLE
        if field.type == type_
    ]
    whole = {"columns": columns, "index_columns": [], "column_indexes": []}
    return json.dumps({**whole, "pandas_version": "1.0.0"})


class Layout:
    """The columns of the outcomes of one action, and how they are filled."""

    def __init__(self, key: Key[Any]) -> None:
        self._key = as_key(key)
        known = ACTIONS.get(key.action_type)
        self._cls = None if known is None else class_of(known.result)
        self._data = Struct({}) if known is None else attributes_of(self._cls)
        # For an unknown action, the whole data is JSON text.
        left = Field("data" if known is None else "extra", JSON.type)
        self._around = _around(() if known is None else known.targets)
        fields = [*self._data.fields, left, *self._around.fields]
        self.schema: Schema = Schema(fields, metadata={"pandas": _for_pandas(fields)})

    def table(self, sources: Iterable[tuple[Siblings, str | None]]) -> Table:
        """Return a table of the outcomes in *sources*.

        Args:
            sources: The roots of each completion, with the id of its workflow.
        """
        return Table.from_batches([*self._batches(sources)], schema=self.schema)

    def _batches(
        self, sources: Iterable[tuple[Siblings, str | None]]
    ) -> Iterator[RecordBatch]:
        items: list[Any] = []
        facts: list[dict[str, Any]] = []
        for roots, workflow_id in sources:
            for place in walk_places(roots, self._key):
                found = [*self._items(place)]
                items += found
                facts += [_facts(place, workflow_id)] * len(found)
                if len(items) >= BATCH:
                    yield self._batch(items, facts)
                    items, facts = [], []
        if items:
            yield self._batch(items, facts)

    def _items(self, place: LocatedOutcome) -> Iterator[Any]:
        cls, sent = self._cls, place.sent
        if cls is not None:
            for item in place.items(cls):
                # An operation may yield another class, whose JSON is the same.
                yield item if isinstance(item, cls) else cls(raw=item.raw)
        elif isinstance(sent, list) and place.outcome.success:
            yield from map(_without_nested, sent)
        else:
            yield _without_nested(sent)

    def _batch(
        self, items: Sequence[Any], facts: Sequence[dict[str, Any]]
    ) -> RecordBatch:
        rest = self._data.rest
        rests = items if rest is None else [*map(rest, items)]
        arrays = [
            *self._data.arrays(items),
            JSON.array(rests),
            *self._around.arrays(facts),
        ]
        return RecordBatch.from_arrays(arrays, schema=self.schema)


def _without_nested(item: Any) -> Any:
    return Result(raw=item).extra if isinstance(item, dict) else item
