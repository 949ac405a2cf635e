"""Values that a parameter accepts or refuses, derived from the classes of actions."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import attrs
from hypothesis import strategies as draws

from linkedapi_async._actions.action import Action
from linkedapi_async._actions.parameters import Parameter, parameters_of
from linkedapi_async._actions.validators import (
    Boolean,
    Date,
    DateTime,
    Enum,
    Integer,
    ListOf,
    Object,
    String,
    StringOrObject,
    TargetString,
    Validator,
)
from linkedapi_async._types import Generation
from linkedapi_async._utils.times import format_time
from linkedapi_async.errors import ParameterError
from linkedapi_async.urls import TargetKind


@attrs.frozen(kw_only=True)
class StrategySettings:
    """What is drawn."""

    generation: Generation | None = None
    """The generation of the API that accepts it; None allows both."""
    actions: int = 7
    """The maximum number of actions of a root, itself included."""
    largest: int = 100
    """The largest number where the API has no maximum."""
    customs: bool = False
    """Whether actions of unknown types are drawn."""

    def has(self, row: Parameter) -> bool:
        """Return whether the generation has a parameter."""
        return self.generation is None or self.generation in row.info.generations

    def needs(self, row: Parameter) -> bool:
        """Return whether the generation requires a parameter."""
        if row.info.target:
            return False
        return row.required or self.generation in row.info.needed_in


# Accepted values


@functools.cache
def texts(minimum: int = 0, maximum: int | None = None) -> draws.SearchStrategy[str]:
    """Draw a short text that JSON can express."""
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


def values_of(row: Parameter, settings: StrategySettings) -> draws.SearchStrategy[Any]:
    """Draw a value that a parameter accepts, within its bounds and at them."""
    generation, spec = settings.generation, row.validator
    if generation in row.info.enforced_in and isinstance(spec, Integer):
        highest = row.info.maximum_in(generation) or spec.maximum
        spec = Integer(spec.minimum, highest)
    return values(spec, settings)


def values(spec: Validator, settings: StrategySettings) -> draws.SearchStrategy[Any]:
    """Draw a value that *spec* accepts."""
    return _VALUES[type(spec)](spec, settings)


def _texts(spec: String, _: StrategySettings) -> draws.SearchStrategy[Any]:
    if spec.pattern is not None:
        return draws.from_regex(spec.pattern, fullmatch=True).filter(
            lambda text: (spec.minimum or 0) <= len(text) <= (spec.doubtful or 30)
        )
    return texts(spec.minimum or 0, spec.maximum or spec.doubtful)


_SITE = r"https://www\.linkedin\.com"

_ANY_SITE = r"(https://(www\.|de\.|m\.)?)?linkedin\.com"

_NAME = "[a-z][a-z0-9-]{2,8}"

_NUMBER = "[1-9][0-9]{3,9}"

_HASH = "ACoAA[A-Za-z0-9_-]{5,9}"

# The spellings that are drawn; the first ones are the simplest.
_TARGETS: dict[TargetKind, str] = {
    "person": f"{_SITE}/in/{_NAME}|{_ANY_SITE}/in/({_NAME}|{_HASH})/?",
    "company": f"{_SITE}/company/{_NAME}|{_ANY_SITE}/(company|school)/{_NAME}/?",
    "post": rf"({_SITE}/feed/update/)?urn:li:(activity|share|ugcPost):{_NUMBER}",
    "comment": rf"{_SITE}/feed/update/urn:li:activity:{_NUMBER}\?dashCommentUrn="
    rf"urn:li:fsd_comment:\({_NUMBER},urn:li:activity:{_NUMBER}\)",
    "job": f"{_SITE}/jobs/view/{_NUMBER}",
    "newsletter": f"{_SITE}/newsletters/{_NAME}-[1-9][0-9]{{10}}",
    "nvPerson": f"{_SITE}/in/{_HASH}",
    "nvCompany": f"{_SITE}/company/{_NUMBER}",
    "thread": "2-[A-Za-z0-9]{4,12}=",
}


def _targets(spec: TargetString, _: StrategySettings) -> draws.SearchStrategy[Any]:
    return draws.from_regex(_TARGETS[spec.kind], fullmatch=True)


def _moments(_: DateTime, __: StrategySettings) -> draws.SearchStrategy[Any]:
    return draws.datetimes(timezones=draws.just(dt.UTC)).map(format_time)


def _integers(spec: Integer, settings: StrategySettings) -> draws.SearchStrategy[Any]:
    highest = spec.maximum if spec.doubtful is None else spec.doubtful
    if highest is None:
        highest = max(settings.largest, spec.minimum or 0)
    return draws.integers(spec.minimum, highest)


def _flags(_: Boolean, __: StrategySettings) -> draws.SearchStrategy[Any]:
    return draws.booleans()


def _choices(spec: Enum, _: StrategySettings) -> draws.SearchStrategy[Any]:
    return draws.sampled_from(spec.known)


def _lists(spec: ListOf, settings: StrategySettings) -> draws.SearchStrategy[Any]:
    return draws.lists(values(spec.item, settings), max_size=3)


def _objects(spec: Object, settings: StrategySettings) -> draws.SearchStrategy[Any]:
    return parameter_objects(spec.cls, (), settings)


def _either(
    spec: StringOrObject, settings: StrategySettings
) -> draws.SearchStrategy[Any]:
    return values(spec.text, settings) | values(spec.nested, settings)


_VALUES: dict[
    type[Validator], Callable[[Any, StrategySettings], draws.SearchStrategy[Any]]
] = {
    String: _texts,
    TargetString: _targets,
    Integer: _integers,
    Boolean: _flags,
    Enum: _choices,
    DateTime: _moments,
    Date: _moments,
    ListOf: _lists,
    Object: _objects,
    StringOrObject: _either,
}


@draws.composite
def parameter_objects(
    draw: draws.DrawFn,
    cls: type[Any],
    targets: tuple[str, ...],
    settings: StrategySettings,
) -> Any:
    """Draw an object of *cls* with these targets and any of its other parameters."""
    found = {row.name: row for row in parameters_of(cls) if settings.has(row)}
    free = [
        n for n, row in found.items() if not (settings.needs(row) or row.info.target)
    ]
    chosen = draw(draws.sets(draws.sampled_from(free), max_size=3)) if free else set()
    given = {
        name: draw(values_of(row, settings))
        for name, row in found.items()
        if name in chosen or name in targets or settings.needs(row)
    }
    if issubclass(cls, Action) and draw(draws.booleans()):
        given["label"] = draw(texts())
    # The rules between parameters name the one to add or to remove.
    for _ in found:
        try:
            return cls(**given)
        except ParameterError as error:
            if error.reason.startswith("is required"):
                given[error.parameter] = draw(
                    values_of(found[error.parameter], settings)
                )
            else:
                # A value that is wrong by itself is a fault of these strategies.
                found[error.parameter].validator.check(given.pop(error.parameter))
    return cls(**given)


_SAMPLES: dict[TargetKind, str] = {
    "person": "https://www.linkedin.com/in/ada",
    "company": "https://www.linkedin.com/company/acme",
    "newsletter": "https://www.linkedin.com/newsletters/news-67123456789",
    "thread": "2-YWRh",
}


def sample(row: Parameter) -> Any:
    """Return a value that a required parameter accepts."""
    if isinstance(row.validator, TargetString):
        return _SAMPLES[row.validator.kind]
    return getattr(row.validator, "known", ("x",))[0]


# Refused values, the same as JSON and in Python.

Wrong: TypeAlias = tuple[Any, str, str]
"""A refused value, the place inside it, and a part of the reason."""


def refused_values(spec: Validator) -> Iterator[Wrong]:
    """Yield values that *spec* refuses: of another type, or just out of bounds."""
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


def _wrong_targets(spec: TargetString) -> Iterator[Wrong]:
    yield from _wrong_texts(spec)
    for value in ("Ada Lovelace", "ada@example.com", "https://example.com/in/ada"):
        yield value, "", f"got {value!r}"
    yield " linkedin.com/in/ada", "", "must have no white space"


def _wrong_integers(spec: Integer) -> Iterator[Wrong]:
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


def _wrong_moments(_: DateTime) -> Iterator[Wrong]:
    for value in ("yesterday", "", 5):
        yield value, "", "must be ISO 8601 text"


def _wrong_lists(spec: ListOf) -> Iterator[Wrong]:
    yield "Oslo", "", "must be a list, got 'Oslo'; write ['Oslo']"
    yield 5, "", "must be a list, got 5"
    for value, place, words in refused_values(spec.item):
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
    TargetString: _wrong_targets,
    Integer: _wrong_integers,
    Boolean: _wrong_flags,
    Enum: _wrong_choices,
    DateTime: _wrong_moments,
    Date: _wrong_moments,
    ListOf: _wrong_lists,
    Object: _wrong_objects,
    StringOrObject: _wrong_either,
}


def wrongs_of(row: Parameter) -> list[Wrong]:
    """Return the values that a parameter refuses; None only if it is required."""
    return [
        wrong
        for wrong in refused_values(row.validator)
        if wrong[0] is not None or row.required
    ]
