"""The sources of workflows: files, standard input, and attributes of modules."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from linkedapi_async._actions.action import Action, Roots, named_roots, paths
from linkedapi_async._actions.compatibility import unsupported_in
from linkedapi_async._actions.texts import find_left_overs
from linkedapi_async._types import Generation
from linkedapi_async._utils.json import decode_json
from linkedapi_async._wire.dump import dump_workflow
from linkedapi_async._wire.load import load_workflow
from linkedapi_async.cli._exit_codes import CommandError
from linkedapi_async.errors import InvalidDefinitionError, LinkedApiError, WorkflowError


_ATTRIBUTE: Final = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_][\w.]*)")


BRACES_ADVICE: Final = "replace it, or pass --allow-braces"
"""What to do about a left-over placeholder."""


def read_source(name: str) -> bytes | None:
    """Return the content of the file *name*; ``-`` is standard input.

    Returns:
        The content; None if no such file exists and *name* is ``module:attribute``.

    Raises:
        CommandError: The file cannot be read.
    """
    if name == "-":
        return sys.stdin.buffer.read()
    path = Path(name)
    if not path.exists() and _ATTRIBUTE.fullmatch(name):
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"{name}: {error.strerror}; pass a file, - or module:attribute"
        raise CommandError(message) from error


def read_definition(name: str) -> Any:
    """Return the content of *name* unchecked: a JSON value or a built workflow.

    Raises:
        CommandError: The source cannot be read.
        InvalidDefinitionError: The content is not JSON.
    """
    body = read_source(name)
    if body is None:
        return _attribute(name)
    try:
        return decode_json(body.removeprefix(b"\xef\xbb\xbf"))
    except ValueError as error:
        problem = WorkflowError(f"not JSON: {error}", path="root")
        raise InvalidDefinitionError([problem]) from None


def read_workflow(name: str, *, check: bool = True) -> Roots:
    """Return the workflow in *name*.

    Args:
        name: A file, ``-`` for standard input, or ``module:attribute``.
        check: False keeps parts that do not fit, as `load_workflow` does.

    Raises:
        CommandError: The source cannot be read or has no workflow.
        WorkflowError: The workflow is invalid.
    """
    return as_workflow(name, read_definition(name), check=check)


def as_workflow(name: str, found: Any, *, check: bool = True) -> Roots:
    """Return *found*, the content of *name*, as a workflow."""
    if isinstance(found, list) and found and all(_is_built(item) for item in found):
        found = tuple(found)
    if isinstance(found, Action | tuple):
        dump_workflow(found)  # this raises if the workflow may not start
        return found
    if not isinstance(found, dict | list):
        raise CommandError(f"{name}: expected a workflow, got {type(found).__name__}")
    loaded: Roots = load_workflow(found, check=check)
    return loaded


def find_problems(
    name: str, generation: Generation | None, *, allow_braces: bool = False
) -> Iterator[LinkedApiError | CommandError]:
    """Yield the problems of the workflow in *name*.

    Args:
        name: As for `read_workflow`.
        generation: The generation of the API to check against.
        allow_braces: Whether texts may have braces like placeholders.
    """
    try:
        roots = read_workflow(name)
    except InvalidDefinitionError as error:
        yield from error.problems
    except (WorkflowError, CommandError) as error:
        yield error
    else:
        if not allow_braces:
            yield from find_left_overs(dump_workflow(roots), BRACES_ADVICE)
        if generation is not None:
            yield from find_unsupported(roots, generation)


def find_unsupported(roots: Roots, generation: Generation) -> Iterator[WorkflowError]:
    """Yield the parts of a workflow that *generation* of the API does not support."""
    for path, root in named_roots(roots):
        yield from unsupported_in(root, generation, path)


def writing_actions(roots: Roots) -> list[str]:
    """Return the paths and types of the actions that write to LinkedIn."""
    return [
        f"{path}: {node.action_type}"
        for place, root in named_roots(roots)
        for path, node in paths(root, place)
        if node.effect == "write"
    ]


def _is_built(value: Any) -> bool:
    return isinstance(value, Action)


def _attribute(name: str) -> Any:
    """Return the attribute of a module, imported from the current folder."""
    module, _, attribute = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
        if callable(found) and not isinstance(found, type):
            found = found()
    except WorkflowError:
        raise
    except Exception as error:
        raise CommandError(f"{name}: {type(error).__name__}: {error}") from error
    return found
