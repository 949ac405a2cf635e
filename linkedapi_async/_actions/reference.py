"""The reference of actions: the facts of their classes, as data."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from linkedapi_async._actions.documentation import documentation_of
from linkedapi_async._actions.parameters import Parameter, ParameterInfo, parameters_of
from linkedapi_async._actions.scopes import Root
from linkedapi_async._actions.validators import (
    Boolean,
    Enum,
    Integer,
    ListOf,
    Object,
    StringOrObject,
    Validator,
)
from linkedapi_async._results.key import ACTIONS


def reference(cls: Any) -> dict[str, Any]:
    """Return the facts of an action as JSON values."""
    summary, url, descriptions = documentation_of(cls)
    parents = [name for name, other in ACTIONS.items() if other.opens in cls.where]
    rows = parameters_of(cls)
    targets = [row.json_name for row in rows if row.info.target]
    alternatives = [] if cls.needs_all_targets else targets
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
        "yields": _type_name(cls.result),
        "parameters": [_parameter(row, descriptions, alternatives) for row in rows],
    }


def _parameter(
    row: Parameter, descriptions: Mapping[str, str], targets: Sequence[str] = ()
) -> dict[str, Any]:
    known: ParameterInfo = row.info
    others = [name for name in targets if name != row.json_name]
    facts = {
        "name": row.json_name,
        "type": _type(row.validator),
        "required": row.required,
        "target": known.target or None,
        "alternatives": (others or None) if known.target else None,
        "values": _values(row.validator),
        "fields": _fields(row.validator),
        "generations": list(known.generations),
        "default": _plain(known.default),
        "minimum": known.minimum,
        "maximum": _plain(known.maximum),
        "about": descriptions.get(row.name),
    }
    return {name: value for name, value in facts.items() if value is not None}


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _type(validator: Validator) -> str:
    if isinstance(validator, ListOf):
        return f"list of {_type(validator.item)}"
    if isinstance(validator, Object):
        return validator.cls.__name__
    if isinstance(validator, StringOrObject):
        return f"string or {_type(validator.nested)}"
    if isinstance(validator, Integer):
        return "integer"
    return "boolean" if isinstance(validator, Boolean) else "string"


def _values(validator: Validator) -> list[str] | None:
    inner = validator.item if isinstance(validator, ListOf) else validator
    return list(inner.known) if isinstance(inner, Enum) else None


def _fields(validator: Validator) -> list[dict[str, Any]] | None:
    """Return the fields of a parameter that is an object."""
    inner = validator.item if isinstance(validator, ListOf) else validator
    nested = inner.nested if isinstance(inner, StringOrObject) else inner
    if not isinstance(nested, Object):
        return None
    return [_parameter(row, {}) for row in parameters_of(nested.cls)]


def _type_name(result: Any) -> str | None:
    if result is types.NoneType:
        return None
    (item,) = typing.get_args(result) or (None,)
    return f"list of {item.__name__}" if item else str(result.__name__)


def search_actions(query: str) -> list[dict[str, Any]]:
    """Return the references of the actions that match *query*.

    The action of that name, in the API's spelling or Python's; otherwise all actions
    with every word somewhere: in names, descriptions, parameters or their values.
    """
    everything = [reference(cls) for cls in ACTIONS.values()]
    wanted = query.casefold()
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
    """Yield the lines of a reference as text."""
    yield f"{one['actionType']}  ({one['builder']})"
    yield f"  {one['summary']}"
    if one["url"]:
        yield f"  {one['url']}"
    writes = "writes to LinkedIn" if one["effect"] == "write" else "only reads"
    limit = f", counts against {one['limit']}" if one["limit"] else ""
    yield f"  {writes}{limit}; in {' and '.join(one['generations'])}"
    parents = [*(["root"] if one["atRoot"] else []), *one["under"]]
    yield f"  parents: {', '.join(parents)}"
    yield f"  children: {', '.join(one['children']) or 'none'}"
    yield f"  yields: {one['yields'] or 'nothing'}"
    for parameter in one["parameters"]:
        yield from _parameter_lines(parameter, "  ")


def _parameter_lines(parameter: Mapping[str, Any], indent: str) -> Iterator[str]:
    yield f"{indent}{parameter['name']}: {', '.join(_traits(parameter))}"
    if "about" in parameter:
        yield f"{indent}    {parameter['about']}"
    if "values" in parameter:
        yield f"{indent}    one of: {', '.join(parameter['values'])}"
    for inner in parameter.get("fields", ()):
        yield from _parameter_lines(inner, f"{indent}    ")


def _traits(parameter: Mapping[str, Any]) -> Iterator[str]:
    yield parameter["type"]
    if parameter["required"]:
        yield "required"
    if "target" in parameter:
        others = " or ".join(parameter.get("alternatives", ()))
        unless = f" unless {others} is given" if others else ""
        yield f"needed at the root{unless}, refused below"
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
