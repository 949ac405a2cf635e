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
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

import attrs

from linkedapi_async._action import Action, custom
from linkedapi_async._drawn import Drawn
from linkedapi_async._fields import wire_name
from linkedapi_async.errors import ActionError, AmbiguousKeyError, ChildMissingError


DataT = TypeVar("DataT", covariant=True)
KeyedT = TypeVar("KeyedT")
ResultClassT = TypeVar("ResultClassT", bound="type[Result]")

Key: TypeAlias = Action[Any, Any, KeyedT] | type[Action[Any, Any, KeyedT]]
"""An action, or its class where one of its kind is there."""


@attrs.define(eq=False, repr=False)
class Home:
    """The outcomes that stand side by side, and the actions that they came from."""

    outcomes: tuple[Outcome[Any], ...]
    asked: tuple[Action[Any, Any, Any], ...]

    def pick(self, key: Key[Any]) -> Outcome[Any]:
        """Return the one outcome of *key* among these.

        Raises:
            ChildMissingError: There is none.
            AmbiguousKeyError: There are several and *key* does not tell which.
        """
        key = _checked(key)
        found = [outcome for outcome in self.outcomes if _fits(key, outcome)]
        if not found:
            there = ", ".join(_name(o.action_type, o.label) for o in self.outcomes)
            message = f"no {_key_name(key)} here; there is: {there or 'nothing'}"
            raise ChildMissingError(message)
        alike = [action for action in self.asked if _fits(key, action)]
        if len(found) == 1 and len(alike) <= 1:
            return found[0]
        position = _position(key, alike)
        if position is None or len(found) != len(alike):
            name = _key_name(key)
            what = f"{len(found)} outcomes fit {name}"
            if len(found) < len(alike):
                what = f"{len(found)} of {len(alike)} outcomes of {name} came"
            message = (
                f"{what}; give the siblings a label= each, or use the action of the "
                "tree itself as the key"
            )
            raise AmbiguousKeyError(message)
        return found[position]


def _checked(key: Any) -> Key[Any]:
    kind = key if isinstance(key, type) else type(key)
    if not issubclass(kind, Action) or key is custom:
        message = f"an action, or the class of one, is the key, not {key!r}"
        raise TypeError(message)
    return typing.cast("Key[Any]", key)


def _fits(key: Key[Any], other: Outcome[Any] | Action[Any, Any, Any]) -> bool:
    if key.action_type != other.action_type:
        return False
    return isinstance(key, type) or key.label == other.label


def _name(action_type: str, label: str | None) -> str:
    return action_type if label is None else f"{action_type} ({label!r})"


def _key_name(key: Key[Any]) -> str:
    return _name(key.action_type, None if isinstance(key, type) else key.label)


def _position(key: Key[Any], alike: Sequence[Action[Any, Any, Any]]) -> int | None:
    for same in (lambda a: a is key, lambda a: a == key):
        positions = [index for index, action in enumerate(alike) if same(action)]
        if len(positions) == 1:
            return positions[0]
    return None


@typing.dataclass_transform(kw_only_default=True, field_specifiers=(attrs.field,))
def result(cls: ResultClassT) -> ResultClassT:
    """Make *cls* a result class: all attributes optional, compared by value."""
    return attrs.define(cls, kw_only=True, repr=False, eq=False)


def wires(name: str, *also: str) -> dict[str, tuple[str, ...]]:
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
    home: Home | None = None
    """The outcomes nested in this one; `__getitem__` is the way to them."""

    def __getitem__(self, key: Key[KeyedT]) -> KeyedT:
        """Return what the nested action *key* yielded.

        Raises:
            ActionError: It failed.
            ChildMissingError: It is not here.
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
        return result_wires(owner)

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
def result_wires(cls: Any) -> dict[str, tuple[str, ...]]:
    """Return the attributes of a result class that have JSON names, with these."""
    return {
        a.name: a.metadata.get("wires", (wire_name(a.name),))
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
    homes: tuple[Home, ...] = attrs.field(repr=False)
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


@attrs.define(eq=False, repr=False, kw_only=True)
class Completion(Drawn):
    """The whole result tree of a finished workflow, one root or several."""

    raw: Any
    """The JSON as received: an object, or a list for an array workflow."""
    workflow_id: str | None = None
    """The workflow it belongs to."""
    home: Home = attrs.field(factory=lambda: Home((), ()), alias="home")
    """The roots, and the actions that they came from."""

    @property
    def roots(self) -> tuple[Outcome[Any], ...]:
        """The outcomes of the root actions, in order."""
        return self.home.outcomes

    @property
    def root(self) -> Outcome[Any]:
        """The outcome of the first root action."""
        return self.roots[0]

    @property
    def errors(self) -> tuple[ActionError, ...]:
        """Why actions failed, for every one that did, in the order of the tree."""
        return tuple(o.error for o in self.walk() if o.error is not None)

    def walk(self) -> Iterator[Outcome[Any]]:
        """Visit all outcomes, parents first."""
        for root in self.roots:
            yield from root.walk()

    def __getitem__(self, key: Key[KeyedT]) -> KeyedT:
        """Return what *key* yielded, wherever in the tree it stands.

        Raises:
            ActionError: It failed.
            ChildMissingError: It is not here.
            AmbiguousKeyError: It occurs more than once, as actions in a loop do.
        """
        key = _checked(key)
        homes = [h for h in _homes(self.home) if any(_fits(key, o) for o in h.outcomes)]
        if len(homes) > 1:
            # The very action of the tree tells its place, if it was asked for once.
            own = [h for h in homes if any(action is key for action in h.asked)]
            homes = own if len(own) == 1 else homes
        if len(homes) > 1:
            message = (
                f"{_key_name(key)} occurs in several places; use item[key] on each item, "
                "completion.all(key), or a label="
            )
            raise AmbiguousKeyError(message)
        home = homes[0] if homes else Home(tuple(self.walk()), ())
        return typing.cast("KeyedT", home.pick(key).value())

    def all(self, key: Key[KeyedT]) -> tuple[Outcome[KeyedT], ...]:
        """Return all outcomes of *key*, by action type and label; loops give many."""
        key = _checked(key)
        return tuple(outcome for outcome in self.walk() if _fits(key, outcome))

    def rows(self, key: Key[Any] | None = None) -> list[dict[str, Any]]:
        """Return all outcomes of *key* as flat rows: one for each item of a list.

        All rows have the same columns in the same order: the attributes of the result
        class, with dots for nested ones (``viewer_state.connection_degree``); ``extra``
        for all that no attribute shows; ``workflow_id``, ``action_type``, ``label`` and
        ``success``; ``asked.…``, the target that was asked for; ``error.type`` and
        ``error.message``; ``from.<action type>.…``, which page or item it came from. An
        action that failed or yields nothing gives one row, an empty list none. What an
        unknown action yields is under ``data.…``, with dots and backslashes in its own
        names escaped by a backslash. Lists, and *extra*, stay JSON values.

        Args:
            key: An action or its class, as for `all`; by default all actions, what they
                are called in front.
        """
        from linkedapi_async._flat import rows_of  # noqa: PLC0415  # few flatten

        return rows_of(self, key)

    def find(self, *, label: str) -> Outcome[Any]:
        """Return the one outcome that carries *label*.

        Raises:
            ChildMissingError: None does.
            AmbiguousKeyError: Several do.
        """
        found = [outcome for outcome in self.walk() if outcome.label == label]
        if len(found) > 1:
            message = f"{len(found)} outcomes carry the label {label!r}; use walk()"
            raise AmbiguousKeyError(message)
        if not found:
            message = f"no outcome carries the label {label!r}"
            raise ChildMissingError(message)
        return found[0]

    def __repr__(self) -> str:
        types = ", ".join(outcome.action_type for outcome in self.roots)
        return f"<Completion of {types}, {len(self.errors)} errors>"


_EMPTY = Home((), ())


def _homes(home: Home) -> Iterator[Home]:
    stack = [home]
    while stack:
        home = stack.pop()
        yield home
        stack += (below for outcome in home.outcomes for below in outcome.homes)
