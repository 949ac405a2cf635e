"""How a ready-made operation is made: actions, and one flat result picked from theirs.

An operation is its root action, and so a workflow like any other; all that differs is
that what it yields has the results of its children as attributes.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Self, TypeAlias, TypeVar

import attrs

from linkedapi_async._actions.action import Action, copier
from linkedapi_async._actions.scopes import Root
from linkedapi_async._results.outcome import Outcome, Result, Siblings, json_names_of
from linkedapi_async._utils.text import short_repr
from linkedapi_async.errors import ActionError, ParameterError


AnyAction: TypeAlias = Action[Any, Any, Any]

OpensT = TypeVar("OpensT")

ComposedT = TypeVar("ComposedT", bound="ComposedResult")


@attrs.frozen
class PartLimit:
    """How many of something an operation brings, and since when."""

    limit: int | None = None
    """How many at most; None leaves it to the API, whose default each action names."""
    since: str | None = attrs.field(default=None, kw_only=True)
    """Only those after this moment, in ISO 8601; for what has a time."""


PartOption: TypeAlias = bool | PartLimit | Mapping[str, Any] | None
"""Whether, and how, an operation brings a part.

True takes the API's defaults, a `PartLimit` says how many, a dict has parameters of the
part's action by name. False and None leave the part out.
"""

NOT_IN_JSON: dict[str, Any] = {"wires": ()}
"""The metadata of an attribute that does not come from the JSON of the result."""


class ComposedResult(Result):
    """A result that has what its children yielded as attributes.

    An attribute is None where it was not asked for, or failed; `errors` tells which.
    """

    __slots__ = ()

    @property
    def errors(self) -> tuple[ActionError, ...]:
        """Why actions below failed, for every one that did, in the order of the tree.

        If the operation itself fails, `Session.run` raises its error instead.
        """
        return tuple(
            outcome.error
            for child in self.children
            for outcome in child.walk()
            if outcome.error is not None
        )

    @classmethod
    def _wires(cls) -> dict[str, tuple[str, ...]]:
        # What is picked is shown and compared as well; it has no JSON name.
        flat: Any = cls
        names = [a.name for a in attrs.fields(flat) if a.metadata.get("wires") == ()]
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
        made = cls()
        for name in cls._wires():
            # The page may be another operation's view, whose parts are not this one's.
            setattr(made, name, getattr(page, name, None))
        made.raw = outcome.raw.get("data")
        if outcome.homes:
            # One home: what was nested may stand in the data, beside it, or in both.
            made.home = Siblings(outcome.children, outcome.homes[0].asked)
        made._fill()
        return made

    def _fill(self) -> None:
        """Set the attributes that are picked from the children."""
        cls: Any = type(self)
        for pick in child_fields(cls):
            setattr(self, pick.attribute, self._first(pick.action))

    def _first(self, action: type[AnyAction]) -> Any:
        """Return what the first child of a kind yielded; None if it failed."""
        fitting = (o for o in self.children if o.action_type == action.action_type)
        first = next(fitting, None)
        return None if first is None else first.data


@attrs.frozen
class ChildField:
    """An attribute that is picked from a child, and the operation's parameter for it."""

    attribute: str
    parameter: str
    action: type[AnyAction]


def from_child(action: type[AnyAction], parameter: str | None = None) -> dict[str, Any]:
    """Return the metadata of an attribute that shows what a child yielded.

    Args:
        action: The kind of the child.
        parameter: What the part is called when it is asked for, if not as the
            attribute.
    """
    return {"picks": (parameter, action), **NOT_IN_JSON}


@functools.cache
def child_fields(flat: Any) -> tuple[ChildField, ...]:
    """Return the attributes of a flat class that are picked from children, in order."""
    found = []
    for attribute in attrs.fields(flat):
        if "picks" in attribute.metadata:
            parameter, action = attribute.metadata["picks"]
            found.append(
                ChildField(attribute.name, parameter or attribute.name, action)
            )
    return tuple(found)


def compose(
    root: Action[Any, OpensT, Any], flat: type[ComposedT], **parts: Any
) -> Action[Root, OpensT, ComposedT]:
    """Return *root* with the parts that are wanted, as a workflow that yields *flat*.

    Args:
        root: The action to begin with.
        flat: The class of the result; its picks say which part is which action.
        parts: What is wanted of each part, by its parameter: a `PartOption`, or the very
            action.

    Raises:
        ParameterError: A part is none of these, or its action refuses its settings.
    """
    return with_result(root.then(*_wanted(flat, parts)), flat)


def _wanted(flat: Any, parts: dict[str, Any]) -> Iterator[Any]:
    for pick in child_fields(flat):
        part = parts[pick.parameter]
        make: Any = pick.action
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
            raise _no_part(pick, part)


def _no_part(pick: ChildField, part: Any) -> ParameterError:
    cls = pick.action
    owner = f"{cls.__module__.rpartition('.')[2]}.{cls.__name__}"
    whole = type(part) is int
    hint = f"; write PartLimit({part})" if whole else ""
    reason = (
        f"True, False, a PartLimit, a dict of parameters or the action {owner} is due, "
        f"got {short_repr(part)}{hint}"
    )
    return ParameterError(
        owner=cls.action_type, parameter=pick.parameter, reason=reason
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

    def yielded(self: Any, outcome: Outcome[Any]) -> Any:  # noqa: ARG001
        return flat.of(outcome)

    def reduced(self: Any) -> Any:
        # The class cannot be found by its name, which is that of the action.
        return with_result, (_copied(self, base), flat)

    body = {
        "__slots__": (),
        "__module__": base.__module__,
        "__doc__": base.__doc__,
        "__reduce__": reduced,
        "_yielded": yielded,
    }
    return type(base.__name__, (base,), body)
