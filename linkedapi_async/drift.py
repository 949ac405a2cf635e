"""Compares this version with the API's changelog and with the official SDK.

The actions, parameters and results of this package are a catalogue that was made from
the API's documentation on `CATALOGUE_DATE`. `unknown_names` returns the names in a text
of the API that the catalogue lacks; `sdk_differences` compares each operation with the
official SDK, if that is installed.
"""

from __future__ import annotations

import datetime as dt
import functools
import importlib
import inspect
import re
import typing
from collections.abc import Iterator
from typing import Any, Final

import attrs

from linkedapi_async import operations, results
from linkedapi_async._actions.composite import ChildField, ComposedResult, child_fields
from linkedapi_async._actions.parameters import parameters_of
from linkedapi_async._actions.validators import (
    ListOf,
    Object,
    StringOrObject,
    Validator,
)
from linkedapi_async._results.completion import Result, json_names_of
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._utils.spelling import json_name
from linkedapi_async.admin import Changelog


__all__ = [
    "CATALOGUE_DATE",
    "ChangelogEntry",
    "Difference",
    "entries_since",
    "sdk_differences",
    "unknown_names",
]

CATALOGUE_DATE: Final = dt.date(2026, 11, 28)
"""The day on which the catalogue was last compared with the API's documentation."""

# The SDK makes these of an endorsement itself; the API has no such object.
_ENDORSEMENT: Final = frozenset({"error", "message", "skillName", "success", "type"})

# Action types, and words that are written like names in the API's JSON.
_NAME: Final = re.compile(r"\b(?:st|nv)\.[A-Za-z]+\b|\b[a-z]+(?:[A-Z][a-zA-Z0-9]*)+\b")


@attrs.frozen
class ChangelogEntry:
    """One change in the API's changelog."""

    date: str
    """The first day of its week, ``YYYY-MM-DD``."""
    title: str
    """Its title as it is."""
    unknown: tuple[str, ...]
    """Names in its text that the catalogue lacks."""


@attrs.frozen
class Difference:
    """One name that the official SDK has and the catalogue lacks."""

    operation: str
    """The operation of the SDK."""
    kind: str
    """The kind of the name: ``operation``, ``parameter`` or ``result``."""
    name: str
    """The name, as in the API's JSON."""

    def __str__(self) -> str:
        where = "" if self.kind == "operation" else f"{self.operation}: "
        return f"{where}{self.kind} {self.name}"


def entries_since(
    changelog: Changelog, since: dt.date = CATALOGUE_DATE
) -> list[ChangelogEntry]:
    """Return the entries of a changelog from *since* on, newest first.

    Args:
        changelog: From `linkedapi_async.admin.Admin.changelog`.
        since: A week counts if it ended on this day or later. An entry without a
            readable date counts, too.

    https://linkedapi.io/docs/changelog
    """
    return [
        ChangelogEntry(
            date=release.date or "",
            title=item.title or "",
            unknown=unknown_names(f"{item.title or ''}\n{item.body or ''}"),
        )
        for release in changelog.entries or ()
        if _week_end(release.date) >= since
        for item in release.items or ()
    ]


def _week_end(date: str | None) -> dt.date:
    try:
        return dt.date.fromisoformat(date or "") + dt.timedelta(days=6)
    except (ValueError, OverflowError):
        return dt.date.max


def unknown_names(text: str) -> tuple[str, ...]:
    """Return the names in *text* that the catalogue lacks, in order, each once.

    A name is an action type, or a word in camelCase as the API's JSON has them:
    parameters, attributes of results, error types.
    """
    found = dict.fromkeys(_NAME.findall(text))
    return tuple(name for name in found if name not in _known_names())


@functools.cache
def _known_names() -> frozenset[str]:
    return frozenset({*ACTIONS, *_all_parameters(), *_all_results()})


@functools.cache
def _all_parameters() -> frozenset[str]:
    return frozenset(n for cls in ACTIONS.values() for n in _parameter_names(cls))


@functools.cache
def _all_results() -> frozenset[str]:
    public = [*vars(results).values(), *vars(operations).values()]
    composed = [each for each in public if isinstance(each, type)]
    return frozenset(
        {
            *(name for value in public for name in _result_names(value)),
            # Attributes that come from nested actions have no name in the API's JSON.
            *(json_name(c.attribute) for cls in composed for c in _child_fields(cls)),
        }
    )


def _child_fields(cls: Any) -> tuple[ChildField, ...]:
    return child_fields(cls) if issubclass(cls, ComposedResult) else ()


def _parameter_names(cls: Any) -> Iterator[str]:
    """Yield the JSON names of the parameters of a class, and of objects in them."""
    for parameter in parameters_of(cls):
        yield parameter.json_name
        for inner in _objects_in(parameter.validator):
            yield from _parameter_names(inner)


def _objects_in(validator: Validator) -> Iterator[Any]:
    if isinstance(validator, ListOf):
        yield from _objects_in(validator.item)
    elif isinstance(validator, StringOrObject):
        yield validator.nested.cls
    elif isinstance(validator, Object):
        yield validator.cls


def _result_names(result: Any) -> Iterator[str]:
    """Yield the JSON names of the attributes of a result type, and of those in it."""
    if isinstance(result, type) and issubclass(result, Result):
        cls: Any = result
        hints = typing.get_type_hints(cls)
        for name, json_names in json_names_of(cls).items():
            yield from json_names
            yield from _result_names(hints[name])
    else:
        for inner in typing.get_args(result):
            yield from _result_names(inner)


def sdk_differences() -> list[Difference]:
    """Return the names that the official SDK has and the catalogue lacks.

    Raises:
        ModuleNotFoundError: The package ``linkedapi`` is not installed.
    """
    found: list[Difference] = []
    for name, cls in _sdk_operations():
        ours = getattr(operations, _python_name(name), None)
        if ours is None:
            found.append(Difference(name, "operation", cls.operation_name))
        elif name != "CustomWorkflow":  # accepts and yields any JSON
            parameters, result = typing.get_args(cls.__orig_bases__[0])
            missing = {
                "parameter": {*_model_names(parameters)} - _parameters_of(ours),
                # One model of the SDK serves several operations, so any result counts.
                "result": {*_model_names(result)} - _all_results() - _ENDORSEMENT,
            }
            found += (
                Difference(cls.operation_name, kind, each)
                for kind, names in missing.items()
                for each in sorted(names)
            )
    return found


def _sdk_operations() -> Iterator[tuple[str, Any]]:
    """Yield the operations of the SDK that is installed, with the names of classes."""
    base = importlib.import_module("linkedapi.core").Operation
    for name, value in vars(importlib.import_module("linkedapi.operations")).items():
        if inspect.isclass(value) and issubclass(value, base) and value is not base:
            yield name, value


def _python_name(name: str) -> str:
    """Return the name of the function for the SDK's class, such as ``RetrieveSSI``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _model_names(model: Any) -> Iterator[str]:
    """Yield the JSON names of a pydantic model's fields, and of models in them."""
    for field_name, field in getattr(model, "model_fields", {}).items():
        yield field.alias or field_name
        yield from _model_names(field.annotation)
    for inner in typing.get_args(model):
        yield from _model_names(inner)


def _parameters_of(ours: Any) -> set[str]:
    """Return the parameters of this library's operation, by the SDK's names."""
    if isinstance(ours, type):
        return {*_parameter_names(ours)}
    names = {json_name(name) for name in inspect.signature(ours).parameters}
    result = typing.get_args(typing.get_type_hints(ours)["return"])[2]
    for child in child_fields(result):
        # The SDK has a flag and a configuration for one argument of this library.
        flag = json_name(f"retrieve_{child.parameter}").replace("Dms", "DMs")
        names |= {flag, json_name(f"{child.parameter}_retrieval_config")}
    return names | _all_parameters()
