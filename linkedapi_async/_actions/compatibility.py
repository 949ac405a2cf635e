"""Compatibility: the parts of a legal workflow that one generation does not accept."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from linkedapi_async._actions.action import AnyAction, paths
from linkedapi_async._actions.parameters import Parameter, Validated, parameters_of
from linkedapi_async._actions.validators import ListOf, Object, StringOrObject
from linkedapi_async._types import Generation
from linkedapi_async.errors import ParameterError, UnsupportedError


def unsupported_in(
    root: AnyAction, generation: Generation, path: str = "root"
) -> Iterator[UnsupportedError | ParameterError]:
    """Yield the problems of a legal tree in one *generation* of the API."""
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
        f"{what} does not exist in the {generation} generation; use a session with "
        f"{tokens[other]}=, or send it anyway with check=False"
    )
    return UnsupportedError(message, generation=generation, path=path)


def _unsupported_parameters(
    owner: Validated, name: str, generation: Generation, path: str
) -> Iterator[UnsupportedError | ParameterError]:
    cls: Any = type(owner)
    for parameter in _needs_generation_check(cls, generation):
        value = getattr(owner, parameter.name)
        known = parameter.info
        reason = None
        if value is None:
            if generation in known.needed_in:
                reason = f"is required in the {generation} generation"
        elif generation not in known.generations:
            yield _unsupported(f"{name}: {parameter.name}", generation, path)
            continue
        elif generation in known.enforced_in:
            highest = known.maximum_in(generation)
            size = value if isinstance(value, int) else len(value)
            if highest is not None and size > highest:
                reason = (
                    f"must not exceed {highest} in the {generation} generation, "
                    f"got {size}"
                )
        if reason is not None:
            yield ParameterError(
                owner=name, parameter=parameter.name, reason=reason, path=path
            )
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, Validated):
                inside = f"{name}: {parameter.name}"
                yield from _unsupported_parameters(inner, inside, generation, path)


@functools.cache
def _needs_generation_check(cls: Any, generation: Generation) -> tuple[Parameter, ...]:
    """Return the parameters of *cls* that *generation* may refuse: mostly none."""
    return tuple(
        parameter
        for parameter in parameters_of(cls)
        if generation not in parameter.info.generations
        or generation in (*parameter.info.needed_in, *parameter.info.enforced_in)
        or isinstance(parameter.validator, ListOf | Object | StringOrObject)
    )
