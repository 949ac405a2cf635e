"""Errors of the library in the words of the command line."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from linkedapi_async._actions.parameters import parameters_of
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._utils.text import printable
from linkedapi_async.cli._exit_codes import CommandError, status_of
from linkedapi_async.errors import InvalidDefinitionError, LinkedApiError, WorkflowError


# Advice that only makes sense in Python, and what the command line says instead.
_PYTHON: Final = (
    (re.compile(r"[;:] wait again with [^;\[]*?(?= \[|$)"), ""),
    (re.compile(r",? or send it .* check=False"), ""),
    (re.compile(r"(?<=ISO 8601 text)(, a date)? or a datetime\b"), ""),
    (re.compile(r"\bTrue or False\b"), "true or false"),
    (re.compile(r"\ba params\.\w+"), "a JSON object"),
    (re.compile(r"\ballow_insecure_http=True"), "--allow-insecure-http"),
    (re.compile(r"\bbase_url\b"), "LINKED_API_BASE_URL"),
    (re.compile(r"\blinked_api_token=?"), "LINKED_API_TOKEN"),
    (re.compile(r"\baccount_api_token=?"), "ACCOUNT_API_TOKEN"),
)

_SNAKE: Final = re.compile(r"\b(?:(st|nv)\.)?([a-z]+(?:_[a-z0-9]+)+)\b")


@cache
def _json_names() -> dict[str, str]:
    """Return the JSON names of parameters and the types of actions by Python name."""
    rows = (row for cls in ACTIONS.values() for row in parameters_of(cls))
    builders = {
        f"{name.partition('.')[0]}.{cls.__name__}": name
        for name, cls in ACTIONS.items()
    }
    return {**{row.name: row.json_name for row in rows}, **builders}


def _as_json_name(found: re.Match[str]) -> str:
    return _json_names().get(found[0], found[0])


def message_of(error: Exception) -> str:
    """Return the message of *error* on one line, without advice for Python."""
    text = str(error)
    if isinstance(error, LinkedApiError | ValueError):
        for pattern, replacement in _PYTHON:
            text = pattern.sub(replacement, text)
    if isinstance(error, WorkflowError):
        text = _SNAKE.sub(_as_json_name, text)
    return printable(text)


def command_error(error: Exception) -> CommandError:
    """Return *error* as the failure of a command."""
    if isinstance(error, InvalidDefinitionError):
        details = [*map(message_of, error.problems)]
        return CommandError("the workflow is invalid:", status_of(error), details)
    return CommandError(message_of(error), status_of(error))
