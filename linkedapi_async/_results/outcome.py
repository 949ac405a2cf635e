"""The result tree of a finished workflow, and how an action finds its own result.

An action is the typed key of what it brought: ``page[employees]``. A key matches by
action type and label; where several siblings share both, the key must be the very
action in the tree, and its position among them decides.
"""

from __future__ import annotations

import copy
import functools
import typing
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import attrs

from linkedapi_async._results.key import ActionKey, Key, KeyedT, as_key
from linkedapi_async._utils.spelling import json_name
from linkedapi_async.errors import ActionError, AmbiguousKeyError, ResultMissingError


DataT = TypeVar("DataT", covariant=True)

ResultClassT = TypeVar("ResultClassT", bound="type[Result]")


@attrs.define(eq=False, repr=False)
class Siblings:
    """The outcomes that stand side by side, and the actions that they came from."""

    outcomes: tuple[Outcome[Any], ...]
    asked: tuple[ActionKey[Any], ...]

    def pick(self, key: Key[Any]) -> Outcome[Any]:
        """Return the one outcome of *key* among these.

        Raises:
            ResultMissingError: There is none.
            AmbiguousKeyError: There are several and *key* does not tell which.
        """
        key = as_key(key)
        found = [outcome for outcome in self.outcomes if matches_key(key, outcome)]
        if not found:
            there = ", ".join(_name(o.action_type, o.label) for o in self.outcomes)
            message = f"no {key_name(key)} here; there is: {there or 'nothing'}"
            raise ResultMissingError(message)
        alike = [action for action in self.asked if matches_key(key, action)]
        if len(found) == 1 and len(alike) <= 1:
            return found[0]
        position = _position(key, alike)
        if position is None or len(found) != len(alike):
            name = key_name(key)
            what = f"{len(found)} outcomes fit {name}"
            if len(found) < len(alike):
                what = f"{len(found)} of {len(alike)} outcomes of {name} came"
            message = (
                f"{what}; give the siblings a label= each, or use the action of the "
                "tree itself as the key"
            )
            raise AmbiguousKeyError(message)
        return found[position]


def matches_key(key: Key[Any], other: Outcome[Any] | ActionKey[Any]) -> bool:
    if key.action_type != other.action_type:
        return False
    return isinstance(key, type) or key.label == other.label


def _name(action_type: str, label: str | None) -> str:
    return action_type if label is None else f"{action_type} ({label!r})"


def key_name(key: Key[Any]) -> str:
    return _name(key.action_type, None if isinstance(key, type) else key.label)


def _position(key: Key[Any], alike: Sequence[ActionKey[Any]]) -> int | None:
    for same in (lambda a: a is key, lambda a: a == key):
        positions = [index for index, action in enumerate(alike) if same(action)]
        if len(positions) == 1:
            return positions[0]
    return None


@typing.dataclass_transform(kw_only_default=True, field_specifiers=(attrs.field,))
def result(cls: ResultClassT) -> ResultClassT:
    """Make *cls* a result class: all attributes optional, compared by value."""
    return attrs.define(cls, kw_only=True, repr=False, eq=False)


def json_names(name: str, *also: str) -> dict[str, tuple[str, ...]]:
    """Return the metadata of an attribute with JSON names of its own, newest first."""
    return {"wires": (name, *also)}


@result
class Result:
    """What an action yields: typed attributes over the JSON that came.

    Every attribute is None where the API sent nothing, null, or a value of an
    unexpected type; `extra` shows what no attribute does. ``result[key]`` is what a
    nested action yielded.
    """

    raw: Any = None
    """The JSON as received."""
    home: Siblings | None = None
    """The outcomes nested in this one; `__getitem__` is the way to them."""

    def __getitem__(self, key: Key[KeyedT]) -> KeyedT:
        """Return what the nested action *key* yielded.

        Raises:
            ActionError: It failed.
            ResultMissingError: It is not here.
            AmbiguousKeyError: Several are here and the key does not tell which.
        """
        home = self.home or _EMPTY
        return typing.cast("KeyedT", home.pick(key).value())

    @property
    def children(self) -> tuple[Outcome[Any], ...]:
        """The outcomes of the actions nested in this one."""
        return self.home.outcomes if self.home else ()

    @property
    def extra(self) -> dict[str, Any]:
        """What came and no attribute shows: unknown fields, values of another type."""
        if not isinstance(self.raw, dict):
            return {} if self.raw is None else {"": self.raw}
        shown = {
            wire: getattr(self, name)
            for name, names in self._wires().items()
            for wire in names
        }
        return {
            name: value
            for name, value in self.raw.items()
            if not _is_nested(name, value)
            and not _is_shown(value, shown.get(name, _UNKNOWN))
        }

    # Written once for all: generated for each class it takes a tenth of the import.
    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return all(getattr(self, n) == getattr(other, n) for n in self._wires())

    __hash__: ClassVar[None]  # type: ignore[assignment]  # mutable

    @classmethod
    def _wires(cls) -> dict[str, tuple[str, ...]]:
        owner: Any = cls
        return json_names_of(owner)

    def __repr__(self) -> str:
        values = (
            f"{name}={value!r}"
            for name in self._wires()
            if (value := getattr(self, name)) is not None
        )
        return f"{type(self).__name__}({', '.join(values)})"


_UNKNOWN = object()


def _is_shown(value: Any, attribute: Any) -> bool:
    if attribute is _UNKNOWN:
        return False
    if isinstance(value, list):
        return isinstance(attribute, list) and len(value) == len(attribute)
    if value is None or isinstance(attribute, Result):
        return True
    # Two spellings of one attribute may come with different values.
    return type(value) is type(attribute) and value == attribute


def _is_nested(name: str, value: Any) -> bool:
    return name == "then" and (value is None or isinstance(value, dict | list))


@functools.cache
def json_names_of(cls: Any) -> dict[str, tuple[str, ...]]:
    """Return the attributes of a result class that have JSON names, with these."""
    return {
        a.name: a.metadata.get("wires", (json_name(a.name),))
        for a in attrs.fields(cls)
        if a.name not in {"raw", "home"} and a.metadata.get("wires") != ()
    }


@attrs.define(eq=False, kw_only=True)
class Outcome(Generic[DataT]):
    """One action's record in a completion."""

    action_type: str
    """Its type as the API gave it."""
    label: str | None
    """Its label, where one was sent."""
    success: bool
    """Whether the action succeeded."""
    data: DataT | None
    """What it yields; None when it failed, or yields nothing."""
    error: ActionError | None = attrs.field(repr=False)
    """Why it failed."""
    homes: tuple[Siblings, ...] = attrs.field(repr=False)
    """Where its children are: one for an object, one for each item of a list."""
    raw: Any = attrs.field(repr=False)
    """The JSON as received."""

    @property
    def children(self) -> tuple[Outcome[Any], ...]:
        """The outcomes of the actions nested in it, of all items of a list."""
        return tuple(child for home in self.homes for child in home.outcomes)

    def value(self) -> DataT:
        """Return what the action yields.

        Raises:
            ActionError: It failed.
        """
        if self.error is not None:
            raise copy.copy(self.error)
        return typing.cast("DataT", self.data)

    def walk(self) -> Iterator[Outcome[Any]]:
        """Visit this outcome and all below it, parents first."""
        # Not recursive, as nothing here: pages may be nested without end.
        stack: list[Outcome[Any]] = [self]
        while stack:
            outcome = stack.pop()
            yield outcome
            stack += reversed(outcome.children)


_EMPTY = Siblings((), ())


def all_siblings(home: Siblings) -> Iterator[Siblings]:
    stack = [home]
    while stack:
        home = stack.pop()
        yield home
        stack += (below for outcome in home.outcomes for below in outcome.homes)
