"""What one generation of the API does not accept of a legal workflow."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from linkedapi_async._actions.action import Action, paths
from linkedapi_async._actions.parameters import (
    Parameter,
    Validated,
    parameters_of,
)
from linkedapi_async._actions.validators import (
    ListOf,
    Object,
    StringOrObject,
)
from linkedapi_async._types import Generation
from linkedapi_async.errors import ParameterError, UnsupportedError


def unsupported_in(
    root: Action[Any, Any, Any], generation: Generation, path: str = "root"
) -> Iterator[UnsupportedError | ParameterError]:
    """Yield what *generation* of the API does not take of a tree that is legal."""
    for place, node in paths(root, path):
        if generation not in node.generations:
            yield _unsupported(node.action_type, generation, place)
            continue
        yield from _unsupported_parameters(node, node.action_type, generation, place)
        if node.children and generation not in node.opens.generations:
            what = f"{node.action_type} with children"
            yield _unsupported(what, generation, place)


def _unsupported(what: str, generation: Generation, path: str) -> UnsupportedError:
    other = "linked_api" if generation == "account_api" else "account_api"
    tokens = {"account_api": "account_api_token", "linked_api": "linked_api_token"}
    message = (
        f"{what} does not exist in the {generation} generation; a session with "
        f"{tokens[other]}= has it, check=False sends it all the same"
    )
    return UnsupportedError(message, generation=generation, path=path)


def _unsupported_parameters(
    owner: Validated, name: str, generation: Generation, path: str
) -> Iterator[UnsupportedError | ParameterError]:
    cls: Any = type(owner)
    for row in _needs_generation_check(cls, generation):
        value = getattr(owner, row.name)
        if value is None:
            if generation in row.info.needed_in:
                reason = f"is required in the {generation} generation"
                yield ParameterError(
                    owner=name, parameter=row.name, reason=reason, path=path
                )
            continue
        if generation not in row.info.generations:
            yield _unsupported(f"{name}: {row.name}", generation, path)
            continue
        highest = row.info.maximum_in(generation)
        if highest is not None and generation in row.info.enforced_in:
            size = value if isinstance(value, int) else len(value)
            if size > highest:
                reason = f"the {generation} generation takes at most {highest}"
                yield ParameterError(
                    owner=name, parameter=row.name, reason=reason, path=path
                )
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, Validated):
                inside = f"{name}: {row.name}"
                yield from _unsupported_parameters(inner, inside, generation, path)


@functools.cache
def _needs_generation_check(cls: Any, generation: Generation) -> tuple[Parameter, ...]:
    """Return the parameters of *cls* that *generation* may not take: mostly none."""
    return tuple(
        row
        for row in parameters_of(cls)
        if generation not in row.info.generations
        or generation in (*row.info.needed_in, *row.info.enforced_in)
        or isinstance(row.validator, ListOf | Object | StringOrObject)
    )
