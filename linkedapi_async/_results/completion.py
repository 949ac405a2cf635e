"""The result tree of a finished workflow: the completion, its outcomes and results.

An action is the typed key of its own result: ``page[employees]``. A key matches by
action type and label. If several siblings share both, the key must be the action object
of the tree, and its position among them decides.
"""

from __future__ import annotations

import copy
import datetime as dt
import functools
import typing
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Generic, NoReturn, Self, TypeVar

import attrs

from linkedapi_async._results.key import ActionKey, Key, KeyedT, as_key, writes
from linkedapi_async._results.table import Table
from linkedapi_async._utils.display import Displayable
from linkedapi_async._utils.spelling import json_name
from linkedapi_async._utils.text import safe_repr
from linkedapi_async._utils.times import parse_time
from linkedapi_async.errors import ActionError, AmbiguousKeyError, ResultMissingError


DataT = TypeVar("DataT", covariant=True)

ResultClassT = TypeVar("ResultClassT", bound="type[Result]")


@attrs.define(eq=False, repr=False)
class Siblings:
    """The outcomes under one parent, and the actions that they came from."""

    outcomes: tuple[Outcome[Any], ...]
    actions: tuple[ActionKey[Any], ...]
    """Empty if the workflow is unknown."""

    def pick(self, key: Key[Any]) -> Outcome[Any]:
        """Return the one outcome of *key* among these.

        Raises:
            ResultMissingError: No outcome matches.
            AmbiguousKeyError: Several outcomes match.
        """
        key = as_key(key)
        found = [outcome for outcome in self.outcomes if matches_key(key, outcome)]
        if not found:
            present = ", ".join(_name(o.action_type, o.label) for o in self.outcomes)
            message = f"no outcome of {key_name(key)}; present: {present or 'nothing'}"
            if not any(matches_key(key, action) for action in self.actions):
                message += (
                    "; if you nested it here: then() returns a new action and does "
                    "not change the old one, so run the new action"
                )
            raise ResultMissingError(message)
        alike = [action for action in self.actions if matches_key(key, action)]
        if len(found) == 1 and len(alike) <= 1:
            return found[0]
        position = _position(key, alike)
        if position is None or len(found) != len(alike):
            name = key_name(key)
            what = f"{len(found)} outcomes match {name}"
            if len(found) < len(alike):
                what = f"only {len(found)} of {len(alike)} outcomes of {name} came"
            raise AmbiguousKeyError(
                f"{what}; give each sibling a label=, or use the action object of the "
                "tree as the key"
            )
        return found[position]


def matches_key(key: Key[Any], other: Outcome[Any] | ActionKey[Any]) -> bool:
    """Return whether *key* matches another action or an outcome."""
    if key.action_type != other.action_type:
        return False
    return isinstance(key, type) or key.label == other.label


def _name(action_type: str, label: str | None) -> str:
    return action_type if label is None else f"{action_type} ({label!r})"


def key_name(key: Key[Any]) -> str:
    """Return the action type of *key*, with its label if it has one."""
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
    """Return the metadata of an attribute with other JSON names, newest first."""
    return {"json_names": (name, *also)}


@result
class Result:
    """The result of an action: typed attributes over the received JSON.

    An attribute is None if the API sent nothing, null, or a value of an unexpected
    type; `extra` has the data that no attribute shows. ``result[key]`` is the result of
    a nested action.
    """

    raw: Any = None
    """The JSON as received."""
    nested: Siblings | None = None
    """The outcomes nested in this one; ``result[key]`` and `children` read them."""

    def __getitem__(self, key: Key[KeyedT]) -> KeyedT:
        """Return the result of the nested action *key*.

        Raises:
            ActionError: It failed.
            ResultMissingError: No outcome matches.
            AmbiguousKeyError: Several outcomes match.
        """
        given: Any = key
        if isinstance(given, str):
            attributes = [
                f".{name}, "
                for name, names in self._json_names().items()
                if given in {name, *names}
            ]
            raise TypeError(
                f"{type(self).__name__} is not a dict; use {''.join(attributes)}"
                ".to_dict(), or an action as the key"
            )
        nested = self.nested or _EMPTY
        return typing.cast("KeyedT", nested.pick(key).value())

    def get(self, key: Key[KeyedT]) -> KeyedT | None:
        """Return the result of the nested action *key*, or None if it has no outcome.

        Raises:
            ActionError: It failed.
            AmbiguousKeyError: Several outcomes match.
        """
        try:
            return self[key]
        except ResultMissingError:
            return None

    @property
    def children(self) -> tuple[Outcome[Any], ...]:
        """The outcomes of the actions nested in this one."""
        return self.nested.outcomes if self.nested else ()

    @property
    def extra(self) -> dict[str, Any]:
        """The data that no attribute shows: unknown fields, values of another type."""
        if not isinstance(self.raw, dict):
            return {} if self.raw is None else {"": self.raw}
        shown = {
            in_json: getattr(self, name)
            for name, names in self._json_names().items()
            for in_json in names
        }
        return {
            name: value
            for name, value in self.raw.items()
            if not _is_nested(name, value)
            and not _is_shown(value, shown.get(name, _UNKNOWN))
        }

    def to_dict(self) -> dict[str, Any]:
        """Return all attributes by name, as JSON values in new dicts and lists.

        Objects inside are dicts too. ``extra`` is included if it is not empty. The
        results of nested actions are not included, except in the result of an
        operation.
        """
        found = {name: _plain(getattr(self, name)) for name in self._json_names()}
        return found | ({"extra": copy.deepcopy(self.extra)} if self.extra else {})

    def __iter__(self) -> NoReturn:
        name = type(self).__name__
        message = f"{name} is not iterable; use .to_dict() for a dict of its attributes"
        raise TypeError(message)

    def __contains__(self, name: object) -> NoReturn:
        # Otherwise Python would raise an error of its own, without the advice.
        self.__iter__()

    # Not generated by attrs: one method per class would take a tenth of the import.
    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return all(getattr(self, n) == getattr(other, n) for n in self._json_names())

    __hash__: ClassVar[None]  # type: ignore[assignment]  # mutable

    @classmethod
    def _json_names(cls) -> dict[str, tuple[str, ...]]:
        owner: Any = cls
        return json_names_of(owner)

    @safe_repr
    def __repr__(self) -> str:
        values = (
            f"{name}={value!r}"
            for name in self._json_names()
            if (value := getattr(self, name)) is not None
        )
        return f"{type(self).__name__}({', '.join(values)})"


def _plain(value: Any) -> Any:
    """Return the value of an attribute as a JSON value."""
    if isinstance(value, Result):
        return value.to_dict()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return copy.deepcopy(value)


class Timestamp:
    """A point in time of a result as a datetime, beside its text.

    It is aware and in UTC, and None if the text is missing or not ISO 8601.
    """

    def __init__(self, attribute: str) -> None:
        self._attribute = attribute
        self.__doc__ = (
            f"*{attribute}* as a datetime in UTC; None if it is not ISO 8601."
        )

    @typing.overload
    def __get__(self, result: None, owner: type[Any]) -> Self: ...

    @typing.overload
    def __get__(self, result: Result, owner: type[Any]) -> dt.datetime | None: ...

    def __get__(
        self, result: Result | None, owner: type[Any]
    ) -> Self | dt.datetime | None:
        """Return the datetime, or this descriptor from the class."""
        return self if result is None else parse_time(getattr(result, self._attribute))


_UNKNOWN = object()


def _is_shown(value: Any, attribute: Any) -> bool:
    if attribute is _UNKNOWN:
        return False
    if isinstance(value, list):
        return isinstance(attribute, list) and len(value) == len(attribute)
    if value is None or isinstance(attribute, Result):
        return True
    # The API may send both spellings of an attribute, with different values.
    return type(value) is type(attribute) and value == attribute


def _is_nested(name: str, value: Any) -> bool:
    return name == "then" and (value is None or isinstance(value, dict | list))


@functools.cache
def json_names_of(cls: Any) -> dict[str, tuple[str, ...]]:
    """Return the attributes of a result class that have JSON names, with these."""
    return {
        a.name: a.metadata.get("json_names", (json_name(a.name),))
        for a in attrs.fields(cls)
        if a.name not in {"raw", "nested"} and a.metadata.get("json_names") != ()
    }


@attrs.define(eq=False, kw_only=True)
class Outcome(Generic[DataT]):
    """One action's record in a completion."""

    action_type: str
    """Its type as the API gave it."""
    label: str | None
    """Its label, if it has one."""
    success: bool
    """Whether the action succeeded."""
    data: DataT | None
    """Its result; None if it failed or yields nothing."""
    error: ActionError | None = attrs.field(repr=False)
    """Why it failed."""
    branches: tuple[Siblings, ...] = attrs.field(repr=False)
    """The outcomes below it: one group for an object, or one for each list item."""
    raw: Any = attrs.field(repr=False)
    """The JSON as received."""

    @property
    def children(self) -> tuple[Outcome[Any], ...]:
        """The outcomes of the actions nested in it, of all items of a list."""
        return tuple(o for siblings in self.branches for o in siblings.outcomes)

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
        # Not recursive: the depth of a completion has no limit.
        stack: list[Outcome[Any]] = [self]
        while stack:
            outcome = stack.pop()
            yield outcome
            stack += reversed(outcome.children)


_EMPTY = Siblings((), ())


def all_siblings(top: Siblings) -> Iterator[Siblings]:
    """Visit *top* and all groups of siblings below it."""
    stack = [top]
    while stack:
        siblings = stack.pop()
        yield siblings
        stack += (below for o in siblings.outcomes for below in o.branches)


@attrs.define(eq=False, repr=False, kw_only=True)
class Completion(Displayable, ABC):
    """The whole result tree of a finished workflow, one root or several.

    `WorkflowHandle.completion` returns one; `read_completion` makes one from JSON.
    """

    # The modules that make rows and tables of the tree lie above this one, so these two
    # methods are in `TabularCompletion`.

    raw: Any
    """The JSON as received: an object, or a list for an array workflow."""
    workflow_id: str | None = None
    """The workflow it belongs to."""
    top: Siblings = attrs.field(factory=lambda: Siblings((), ()))
    """The roots, and the actions that they came from."""

    @property
    def roots(self) -> tuple[Outcome[Any], ...]:
        """The outcomes of the root actions, in order."""
        return self.top.outcomes

    @property
    def root(self) -> Outcome[Any]:
        """The outcome of the first root action."""
        return self.roots[0]

    @property
    def errors(self) -> tuple[ActionError, ...]:
        """The errors of all failed actions, in the order of the tree."""
        return tuple(o.error for o in self.walk() if o.error is not None)

    @property
    def written(self) -> tuple[Outcome[Any], ...]:
        """The outcomes of actions that changed something on LinkedIn, in order.

        Actions that this version does not know are included, because they may have.
        """
        return tuple(o for o in self.walk() if o.success and writes(o.action_type))

    def walk(self) -> Iterator[Outcome[Any]]:
        """Visit all outcomes, parents first."""
        for root in self.roots:
            yield from root.walk()

    @typing.overload
    def __getitem__(self, key: str) -> Any: ...

    @typing.overload
    def __getitem__(self, key: Key[KeyedT]) -> KeyedT: ...

    def __getitem__(self, key: Any) -> Any:
        """Return what *key* yielded, anywhere in the tree.

        Args:
            key: An action, the class of one, or a label.

        Raises:
            ActionError: It failed.
            ResultMissingError: No outcome matches.
            AmbiguousKeyError: Several outcomes match, as for actions in a loop.
        """
        if isinstance(key, str):
            return self.find(label=key).value()
        key = as_key(key)
        groups = [
            siblings
            for siblings in all_siblings(self.top)
            if any(matches_key(key, o) for o in siblings.outcomes)
        ]
        if len(groups) > 1:
            # If *key* is an action object that is in the tree once, it decides.
            own = [g for g in groups if any(action is key for action in g.actions)]
            groups = own if len(own) == 1 else groups
        if len(groups) > 1:
            raise AmbiguousKeyError(
                f"{key_name(key)} occurs in several places; use item[key] on each item, "
                "completion.all(key), or a label="
            )
        # Without a match, the error lists all outcomes of the tree.
        siblings = groups[0] if groups else Siblings(tuple(self.walk()), ())
        return siblings.pick(key).value()

    def get(self, key: Key[KeyedT]) -> KeyedT | None:
        """Return what *key* yielded, anywhere in the tree; None if it has no outcome.

        Args:
            key: An action, or the class of one.

        Raises:
            ActionError: It failed.
            AmbiguousKeyError: Several outcomes match, as for actions in a loop.
        """
        try:
            return self[key]
        except ResultMissingError:
            return None

    def all(self, key: Key[KeyedT]) -> tuple[Outcome[KeyedT], ...]:
        """Return all outcomes of *key*, by action type and label; loops give many."""
        key = as_key(key)
        return tuple(outcome for outcome in self.walk() if matches_key(key, outcome))

    @abstractmethod
    def rows(self, key: Key[Any] | None = None) -> list[dict[str, Any]]:
        """Return all outcomes of *key* as flat rows: one for each item of a list.

        All rows have the same columns in the same order: the attributes of the result
        class, with dots for nested ones (``viewer_state.connection_degree``); ``extra``
        for data without an attribute; ``workflow_id``, ``action_type``, ``label`` and
        ``success``; ``asked.…``, the target of the action; ``error.type`` and
        ``error.message``; ``from.<action type>.…``, which page or item it came from. An
        action that failed or yields nothing gives one row, an empty list gives no row.
        The data of an unknown action is under ``data.…``, with dots and backslashes in
        its own names escaped by a backslash. Lists, and *extra*, stay JSON values.

        Args:
            key: An action or its class, as for `all`; by default all actions, with the
                columns that identify the action first.
        """

    @abstractmethod
    def table(self, key: Key[Any]) -> Table:
        """Return all outcomes of *key* as a table: a row for each item of a list.

        It has the rows of `rows`, in typed columns that follow from the action alone:
        they are the same for every completion, so that tables can be concatenated.
        `tables.table` makes one table of many completions, and describes the columns.

        Args:
            key: An action or its class, as for `all`.

        Raises:
            ImportError: The extra ``table`` is not installed.
        """

    def find(self, *, label: str) -> Outcome[Any]:
        """Return the one outcome that has *label*.

        Raises:
            ResultMissingError: No outcome has it.
            AmbiguousKeyError: Several outcomes have it.
        """
        found = [outcome for outcome in self.walk() if outcome.label == label]
        if len(found) > 1:
            message = f"{len(found)} outcomes have the label {label!r}; use walk()"
            raise AmbiguousKeyError(message)
        if not found:
            labels = sorted({o.label for o in self.walk() if o.label is not None})
            present = ", ".join(map(repr, labels)) or "none"
            message = f"no outcome has the label {label!r}; labels: {present}"
            raise ResultMissingError(message)
        return found[0]

    @safe_repr
    def __repr__(self) -> str:
        types = ", ".join(outcome.action_type for outcome in self.roots)
        return f"<Completion of {types}, {len(self.errors)} errors>"
