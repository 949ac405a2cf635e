"""Workflow definitions as the sandbox accepts or refuses them."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator
from typing import Any

from linkedapi_async._actions.action import AnyAction, named_roots, paths
from linkedapi_async._actions.compatibility import unsupported_in
from linkedapi_async._actions.custom import custom
from linkedapi_async._actions.validators import unchecked_targets
from linkedapi_async._types import Generation
from linkedapi_async._utils.json import decode_json
from linkedapi_async._wire.load import load_workflow
from linkedapi_async.errors import (
    InvalidDefinitionError,
    UnknownValueWarning,
    WorkflowError,
)
from linkedapi_async.sandbox._responses import ApiError, invalid_payload


def read(body: bytes) -> Any:
    """Return a definition as it was sent.

    Raises:
        ApiError: It is not JSON, or neither an object nor an array.
    """
    try:
        definition = decode_json(body)
    except (ValueError, RecursionError):
        definition = None
    if not isinstance(definition, dict | list):
        raise invalid_payload("the body must be a JSON object or array")
    return definition


def loaded(definition: Any) -> Any:
    """Return the checked workflow of a definition."""
    with warnings.catch_warnings():
        # The API accepts unknown values; unknown action types are refused separately.
        warnings.simplefilter("ignore", UnknownValueWarning)
        # It accepts any target, too; the action with a wrong one fails.
        with unchecked_targets():
            return load_workflow(definition)


def load_definition(definition: Any, generation: Generation) -> list[AnyAction]:
    """Return the roots of a workflow.

    Raises:
        ApiError: It is invalid; the message lists all problems with their paths.
    """
    try:
        roots = list(named_roots(loaded(definition)))
    except InvalidDefinitionError as error:
        raise _invalid(error.problems) from None
    problems = [p for path, root in roots for p in _problems(root, generation, path)]
    if problems:
        raise _invalid(problems)
    return [root for _, root in roots]


def _problems(
    root: AnyAction, generation: Generation, path: str
) -> Iterator[WorkflowError]:
    for place, node in paths(root, path):
        if isinstance(node, custom):
            message = f"{node.action_type!r} is not an action type"
            yield WorkflowError(message, path=place)
    yield from unsupported_in(root, generation, path)


def _invalid(problems: Collection[WorkflowError]) -> ApiError:
    details = "; ".join(str(problem) for problem in problems)
    # https://linkedapi.io/docs/executing-workflows
    message = (
        "The workflow configuration is not valid due to violated action constraints or "
        f"invalid action parameters: {details}."
    )
    return ApiError("invalidWorkflow", message, 400)


def needs_plus(root: AnyAction) -> bool:
    """Return whether a workflow needs the Plus plan."""
    return any(node.action_type.startswith("nv.") for node in root.walk())
