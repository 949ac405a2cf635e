"""The actions as a reference: all that the classes say of themselves, as data."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Final

from linkedapi_async import nv, st
from linkedapi_async._actions.parameters import Parameter, ParameterInfo, parameters_of
from linkedapi_async._actions.scopes import Root
from linkedapi_async._actions.validators import (
    Enum,
    ListOf,
    Object,
    StringOrObject,
    Validator,
)
from linkedapi_async._results.key import ACTIONS


CATALOGUE: Final = (st, nv)
"""Imported for the classes that they declare."""

_ARGUMENT: Final = re.compile(r"    (\w+): (.*)")


def reference(cls: Any) -> dict[str, Any]:
    """Return what is known of an action, as JSON values."""
    summary, url, told = _documented(cls)
    parents = [name for name, other in ACTIONS.items() if other.opens in cls.where]
    return {
        "actionType": cls.action_type,
        "builder": f"{cls.__module__.rpartition('.')[2]}.{cls.__name__}",
        "summary": summary,
        "url": url,
        "effect": cls.effect,
        "generations": list(cls.generations),
        "limit": cls.category,
        "atRoot": Root in cls.where,
        "under": parents,
        "children": [
            name for name, other in ACTIONS.items() if cls.opens in other.where
        ],
        "yields": _named(cls.result),
        "parameters": [_parameter(row, told) for row in parameters_of(cls)],
    }


def _parameter(row: Parameter, told: Mapping[str, str]) -> dict[str, Any]:
    known: ParameterInfo = row.info
    facts = {
        "name": row.json_name,
        "type": _type(row.validator),
        "required": row.required,
        "target": known.target or None,
        "values": _words(row.validator),
        "fields": _fields(row.validator),
        "generations": list(known.generations),
        "default": _plain(known.default),
        "minimum": known.minimum,
        "maximum": _plain(known.maximum),
        "about": told.get(row.name),
    }
    return {name: value for name, value in facts.items() if value is not None}


def _documented(cls: Any) -> tuple[str, str | None, dict[str, str]]:
    """Return a docstring's summary, its address, and what it says of arguments."""
    # Python -OO has none.
    lines = inspect.cleandoc(cls.__doc__ or "").splitlines() or [""]
    url = next((line for line in lines if line.startswith("https://")), None)
    told: dict[str, str] = {}
    name = ""
    for line in lines:
        search_actions = _ARGUMENT.match(line)
        if search_actions:
            name = search_actions[1]
            told[name] = search_actions[2]
        elif name and line.startswith("        "):
            told[name] += f" {line.strip()}"
        else:
            name = ""
    return lines[0], url, told


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _type(spec: Validator) -> str:
    if isinstance(spec, ListOf):
        return f"list of {_type(spec.item)}"
    if isinstance(spec, Object):
        return spec.cls.__name__
    if isinstance(spec, StringOrObject):
        return f"string or {_type(spec.nested)}"
    return {"a whole number": "integer", "True or False": "boolean"}.get(
        spec.expected, "string"
    )


def _words(spec: Validator) -> list[str] | None:
    inner = spec.item if isinstance(spec, ListOf) else spec
    return list(inner.known) if isinstance(inner, Enum) else None


def _fields(spec: Validator) -> list[dict[str, Any]] | None:
    """Return what an object as a parameter has inside."""
    inner = spec.item if isinstance(spec, ListOf) else spec
    nested = inner.nested if isinstance(inner, StringOrObject) else inner
    if not isinstance(nested, Object):
        return None
    return [_parameter(row, {}) for row in parameters_of(nested.cls)]


def _named(result: Any) -> str | None:
    if result is types.NoneType:
        return None
    (item,) = typing.get_args(result) or (None,)
    return f"list of {item.__name__}" if item else str(result.__name__)


def search_actions(words: str) -> list[dict[str, Any]]:
    """Return the references of the actions that *words* mean.

    The one of that name, in the API's spelling or Python's; otherwise all that have
    every word somewhere: in names, descriptions, parameters or their values.
    """
    everything = [reference(cls) for cls in ACTIONS.values()]
    wanted = words.casefold()
    exact = [
        one
        for one in everything
        if wanted in {one["actionType"].casefold(), one["builder"].casefold()}
    ]
    return exact or [
        one
        for one in everything
        if all(word in str(one).casefold() for word in wanted.split())
    ]


def format_action(one: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a reference for people."""
    yield f"{one['actionType']}  ({one['builder']})"
    yield f"  {one['summary']}"
    if one["url"]:
        yield f"  {one['url']}"
    writes = "writes to LinkedIn" if one["effect"] == "write" else "only reads"
    limit = f", counts against {one['limit']}" if one["limit"] else ""
    yield f"  {writes}{limit}; in {' and '.join(one['generations'])}"
    places = [*(["at the root"] if one["atRoot"] else []), *one["under"]]
    yield f"  may stand: {', '.join(places)}"
    yield f"  may stand under it: {', '.join(one['children']) or 'nothing'}"
    yield f"  yields: {one['yields'] or 'nothing'}"
    for parameter in one["parameters"]:
        yield from _described(parameter, "  ")


def _described(parameter: Mapping[str, Any], indent: str) -> Iterator[str]:
    yield f"{indent}{parameter['name']}: {', '.join(_traits(parameter))}"
    if "about" in parameter:
        yield f"{indent}    {parameter['about']}"
    if "values" in parameter:
        yield f"{indent}    one of: {', '.join(parameter['values'])}"
    for inner in parameter.get("fields", ()):
        yield from _described(inner, f"{indent}    ")


def _traits(parameter: Mapping[str, Any]) -> Iterator[str]:
    yield parameter["type"]
    if parameter["required"]:
        yield "required"
    if "target" in parameter:
        yield "needed at the root, refused below"
    for trait in ("minimum", "maximum", "default"):
        if trait in parameter:
            yield f"{trait} {_per_generation(parameter[trait])}"
    if len(parameter["generations"]) == 1:
        yield f"{parameter['generations'][0]} only"


def _per_generation(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    return " / ".join(
        f"{'none' if number is None else number} in {generation}"
        for generation, number in value.items()
    )
