"""Composite operations: several actions with one flat result.

An operation is its root action, and therefore a workflow like any other. Only its
result differs: the results of its children are attributes of it.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Self, TypeAlias, TypeVar

import attrs

from linkedapi_async._actions.action import Action, AnyAction, copier
from linkedapi_async._actions.scopes import Root
from linkedapi_async._results.completion import Outcome, Result, Siblings, json_names_of
from linkedapi_async._types import Moment
from linkedapi_async._utils.text import short_repr
from linkedapi_async.errors import ActionError, ParameterError


OpensT = TypeVar("OpensT")

ComposedT = TypeVar("ComposedT", bound="ComposedResult")


@attrs.frozen
class PartLimit:
    """How many items of a part an operation reads, and from which time on."""

    limit: int | None = None
    """The maximum number; None means the API's default, which each action documents."""
    since: Moment | None = attrs.field(default=None, kw_only=True)
    """Only those after this moment: a datetime with a time zone, or ISO 8601 text."""


PartOption: TypeAlias = bool | PartLimit | Mapping[str, Any] | None
"""Whether, and how, an operation reads a part.

True means the API's defaults, a `PartLimit` says how many, a dict has parameters of the
part's action by name. False and None leave the part out.
"""

NOT_IN_JSON: dict[str, Any] = {"json_names": ()}
"""The metadata of an attribute that does not come from the JSON of the result."""


class ComposedResult(Result):
    """A result with the results of its children as attributes.

    An attribute is None if the part was left out or failed; `errors` says which.
    """

    __slots__ = ()

    @property
    def errors(self) -> tuple[ActionError, ...]:
        """The errors of all failed actions below it, in the order of the tree.

        If the operation itself fails, `Session.run` raises its error instead.
        """
        return tuple(
            outcome.error
            for child in self.children
            for outcome in child.walk()
            if outcome.error is not None
        )

    @classmethod
    def _json_names(cls) -> dict[str, tuple[str, ...]]:
        # Attributes without a JSON name are shown and compared as well.
        flat: Any = cls
        names = [
            a.name for a in attrs.fields(flat) if a.metadata.get("json_names") == ()
        ]
        return json_names_of(flat) | dict.fromkeys(names, ())

    @classmethod
    def of(cls, outcome: Outcome[Any]) -> Self:
        """Return the flat view of a root's outcome.

        Raises:
            ActionError: The root failed.
        """
        page = outcome.value()
        if isinstance(page, cls):
            return page
        self = cls()
        for name in cls._json_names():
            # The page may be another operation's view, which has other parts.
            setattr(self, name, getattr(page, name, None))
        self.raw = outcome.raw.get("data")
        if outcome.branches:
            # The children may be in the data, beside it, or in both: all are siblings.
            self.nested = Siblings(outcome.children, outcome.branches[0].actions)
        self._fill()
        return self

    def _fill(self) -> None:
        """Set the attributes that come from the children."""
        cls: Any = type(self)
        for field in child_fields(cls):
            setattr(self, field.attribute, self._first(field.action))

    def _first(self, action: type[AnyAction]) -> Any:
        """Return the result of the first child of a type; None if it failed."""
        matching = (o for o in self.children if o.action_type == action.action_type)
        first = next(matching, None)
        return None if first is None else first.data


@attrs.frozen
class ChildField:
    """An attribute with the result of a child, and the operation's parameter for it."""

    attribute: str
    parameter: str
    action: type[AnyAction]


def from_child(action: type[AnyAction], parameter: str | None = None) -> dict[str, Any]:
    """Return the metadata of an attribute with the result of a child.

    Args:
        action: The class of the child.
        parameter: The operation's parameter for the part; by default it has the name
            of the attribute.
    """
    return {"from_child": (parameter, action), **NOT_IN_JSON}


@functools.cache
def child_fields(flat: Any) -> tuple[ChildField, ...]:
    """Return the attributes of a flat class that come from children, in order."""
    found = []
    for attribute in attrs.fields(flat):
        if "from_child" in attribute.metadata:
            parameter, action = attribute.metadata["from_child"]
            found.append(
                ChildField(attribute.name, parameter or attribute.name, action)
            )
    return tuple(found)


def compose(
    root: Action[Any, OpensT, Any], flat: type[ComposedT], **parts: Any
) -> Action[Root, OpensT, ComposedT]:
    """Return *root* with its parts, as a workflow that yields *flat*.

    Args:
        root: The first action.
        flat: The class of the result; its fields say which part is which action.
        parts: A `PartOption` or an action for each part, by its parameter.

    Raises:
        ParameterError: A part is something else, or its action refuses a parameter.
    """
    return with_result(root.then(*_part_actions(flat, parts)), flat)


def _part_actions(flat: Any, parts: dict[str, Any]) -> Iterator[Any]:
    for field in child_fields(flat):
        part = parts[field.parameter]
        make: Any = field.action
        if isinstance(part, make):
            yield part
        elif part is True:
            yield make()
        elif isinstance(part, PartLimit):
            given = attrs.asdict(part, filter=lambda _, value: value is not None)
            yield make(**given)
        elif isinstance(part, Mapping):
            yield make(**part)
        elif part is not None and part is not False:
            raise _part_error(field, part)


def _part_error(field: ChildField, part: Any) -> ParameterError:
    cls = field.action
    name = f"{cls.__module__.rpartition('.')[2]}.{cls.__name__}"
    hint = f"; write PartLimit({part})" if type(part) is int else ""
    reason = (
        f"must be True, False, a PartLimit, a dict of parameters or the action {name}, "
        f"got {short_repr(part)}{hint}"
    )
    return ParameterError(
        owner=cls.action_type, parameter=field.parameter, reason=reason
    )


def with_result(
    root: Action[Any, OpensT, Any], flat: type[ComposedT]
) -> Action[Root, OpensT, ComposedT]:
    """Return *root* as a workflow that yields *flat*; it is sent as before."""
    base: Any = type(root)
    made = _copied(root, _class_with_result(base, typing.cast("Any", flat)))
    return typing.cast("Action[Root, OpensT, ComposedT]", made)


def _copied(action: AnyAction, cls: Any) -> Any:
    """Return *action* as one of *cls*, which has the same parameters."""
    return copier(cls)(action, tuple(action.children))


@functools.cache
def _class_with_result(base: Any, flat: Any) -> Any:
    """Return the class of those actions of *base* that yield *flat*."""

    def read_outcome(self: Any, outcome: Outcome[Any]) -> Any:  # noqa: ARG001
        return flat.of(outcome)

    def reduce(self: Any) -> Any:
        # Pickle cannot find the class by its name, which is that of the action.
        return with_result, (_copied(self, base), flat)

    body = {
        "__slots__": (),
        "__module__": base.__module__,
        "__doc__": base.__doc__,
        "__reduce__": reduce,
        "read_outcome": read_outcome,
    }
    return type(base.__name__, (base,), body)
