"""What a parameter takes, and what it refuses: strategies over the classes' own facts."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import attrs
from hypothesis import strategies as draws

from linkedapi_async._actions.action import Action
from linkedapi_async._actions.parameters import Parameter, Validated, parameters_of
from linkedapi_async._actions.validators import (
    Boolean,
    Enum,
    Integer,
    ListOf,
    Object,
    String,
    StringOrObject,
    Validator,
)
from linkedapi_async._types import Generation
from linkedapi_async.errors import ParameterError


@attrs.frozen(kw_only=True)
class StrategySettings:
    """What is drawn."""

    generation: Generation | None = None
    """The generation of the API that takes it; None for what either takes."""
    actions: int = 7
    """How many actions a root has at most, itself included."""
    largest: int = 100
    """The largest number, where the API names no maximum."""
    customs: bool = False
    """Whether actions are among them that no version knows."""

    def has(self, row: Parameter) -> bool:
        """Return whether a parameter is known there."""
        return self.generation is None or self.generation in row.info.generations

    def needs(self, row: Parameter) -> bool:
        """Return whether a parameter must be given there."""
        if row.info.target:
            return False
        return row.required or self.generation in row.info.needed_in


# What fits


@functools.cache
def texts(minimum: int = 0, maximum: int | None = None) -> draws.SearchStrategy[str]:
    """Draw a short text that JSON can carry."""
    return draws.text(min_size=minimum, max_size=min(8, maximum or 8))


LARGE = 2**70

json_values: draws.SearchStrategy[Any] = draws.recursive(
    draws.none()
    | draws.booleans()
    | draws.integers(-LARGE, LARGE)
    | draws.floats(allow_nan=False, allow_infinity=False)
    | texts(),
    lambda inner: (
        draws.lists(inner, max_size=3) | draws.dictionaries(texts(), inner, max_size=3)
    ),
    max_leaves=4,
)


def values_of(row: Parameter, plan: StrategySettings) -> draws.SearchStrategy[Any]:
    """Draw a value that a parameter takes, inside its bounds and on them."""
    generation, spec = plan.generation, row.validator
    if generation in row.info.enforced_in and isinstance(spec, Integer):
        spec = Integer(spec.minimum, row.info.maximum_in(generation) or spec.maximum)
    return values(spec, plan)


def values(spec: Validator, plan: StrategySettings) -> draws.SearchStrategy[Any]:
    """Draw a value that *spec* takes."""
    return _VALUES[type(spec)](spec, plan)


def _texts(spec: String, _: StrategySettings) -> draws.SearchStrategy[Any]:
    return texts(spec.minimum or 0, spec.maximum)


def _wholes(spec: Integer, plan: StrategySettings) -> draws.SearchStrategy[Any]:
    highest = spec.maximum
    if highest is None:
        highest = max(plan.largest, spec.minimum or 0)
    return draws.integers(spec.minimum, highest)


def _flags(_: Boolean, __: StrategySettings) -> draws.SearchStrategy[Any]:
    return draws.booleans()


def _choices(spec: Enum, _: StrategySettings) -> draws.SearchStrategy[Any]:
    return draws.sampled_from(spec.known)


def _lists(spec: ListOf, plan: StrategySettings) -> draws.SearchStrategy[Any]:
    return draws.lists(values(spec.item, plan), max_size=3)


def _objects(spec: Object, plan: StrategySettings) -> draws.SearchStrategy[Any]:
    return parameter_objects(spec.cls, (), plan)


def _either(spec: StringOrObject, plan: StrategySettings) -> draws.SearchStrategy[Any]:
    return values(spec.text, plan) | values(spec.nested, plan)


_VALUES: dict[
    type[Validator], Callable[[Any, StrategySettings], draws.SearchStrategy[Any]]
] = {
    String: _texts,
    Integer: _wholes,
    Boolean: _flags,
    Enum: _choices,
    ListOf: _lists,
    Object: _objects,
    StringOrObject: _either,
}


@draws.composite
def parameter_objects(
    draw: draws.DrawFn, cls: type[Any], targets: tuple[str, ...], plan: StrategySettings
) -> Any:
    """Draw an object of *cls* with these targets and any of its other parameters."""
    found = {row.name: row for row in parameters_of(cls) if plan.has(row)}
    free = [n for n, row in found.items() if not (plan.needs(row) or row.info.target)]
    chosen = draw(draws.sets(draws.sampled_from(free), max_size=3)) if free else set()
    given = {
        name: draw(values_of(row, plan))
        for name, row in found.items()
        if name in chosen or name in targets or plan.needs(row)
    }
    if issubclass(cls, Action) and draw(draws.booleans()):
        given["label"] = draw(texts())
    # Where a class has rules between its parameters, it says what to mend.
    for _ in () if cls._problems is Validated._problems else found:
        try:
            return cls(**given)
        except ParameterError as error:
            if error.reason.startswith("is required"):
                given[error.parameter] = draw(values_of(found[error.parameter], plan))
            else:
                del given[error.parameter]
    return cls(**given)


def sample(row: Parameter) -> Any:
    """Return a value that a required parameter, or a target, takes."""
    return getattr(row.validator, "known", ("x",))[0]


# What no parameter of a kind takes, as JSON and in Python alike.


Wrong: TypeAlias = tuple[Any, str, str]
"""A value that is refused, the place inside it, and words of the reason."""


def wrongs(spec: Validator) -> Iterator[Wrong]:
    """Yield values that *spec* refuses: of another type, and just out of bounds."""
    return _WRONGS[type(spec)](spec)


def _wrong_texts(spec: String) -> Iterator[Wrong]:
    yield 5, "", "must be a string, got 5"
    yield None, "", "must be a string, got None"
    yield "\ud800", "", "must not have a lone surrogate"
    if spec.minimum:
        yield "", "", f"must have at least {spec.minimum} character, got ''"
    if spec.maximum is not None:
        words = f"must have at most {spec.maximum} characters"
        yield "x" * (spec.maximum + 1), "", words


def _wrong_wholes(spec: Integer) -> Iterator[Wrong]:
    for value in (True, "5", 1.0, [1]):
        yield value, "", f"must be a whole number, got {value!r}"
    assert spec.minimum is not None  # noqa: S101  # all of the API's are counts
    yield spec.minimum - 1, "", f"must be at least {spec.minimum}, got"
    if spec.maximum is not None:
        yield spec.maximum + 1, "", f"must be at most {spec.maximum}, got"


def _wrong_flags(_: Boolean) -> Iterator[Wrong]:
    for value in (1, 0, "true"):
        yield value, "", f"must be True or False, got {value!r}"


def _wrong_choices(_: Enum) -> Iterator[Wrong]:
    yield 5, "", "must be a string, got 5"
    yield "", "", "must have at least 1 character"
    yield "\ud800", "", "must not have a lone surrogate"


def _wrong_lists(spec: ListOf) -> Iterator[Wrong]:
    yield "Oslo", "", "must be a list, got 'Oslo'; write ['Oslo']"
    yield 5, "", "must be a list, got 5"
    for value, place, words in wrongs(spec.item):
        yield [value], f"[0]{place}", words
    if spec.maximum is not None:
        assert isinstance(spec.item, Object)  # noqa: S101  # others have no maximum
        needed = [row for row in parameters_of(spec.item.cls) if row.required]
        item = {row.json_name: sample(row) for row in needed}
        words = f"must have at most {spec.maximum} items"
        yield [item] * (spec.maximum + 1), "", words


def _wrong_objects(spec: Object) -> Iterator[Wrong]:
    for value in ("x", 5):
        yield value, "", f"must be a params.{spec.cls.__name__}, got {value!r}"


def _wrong_either(spec: StringOrObject) -> Iterator[Wrong]:
    yield 5, "", f"must be a string or a params.{spec.nested.cls.__name__}, got 5"
    yield "", "", "must have at least 1 character"


_WRONGS: dict[type[Validator], Callable[[Any], Iterator[Wrong]]] = {
    String: _wrong_texts,
    Integer: _wrong_wholes,
    Boolean: _wrong_flags,
    Enum: _wrong_choices,
    ListOf: _wrong_lists,
    Object: _wrong_objects,
    StringOrObject: _wrong_either,
}


def wrongs_of(row: Parameter) -> list[Wrong]:
    """Return what a parameter refuses; None there means that it is not given."""
    return [
        wrong for wrong in wrongs(row.validator) if wrong[0] is not None or row.required
    ]
