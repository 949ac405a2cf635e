"""The docstrings of actions, as data."""

from __future__ import annotations

import inspect
import re
from typing import Any, Final, NamedTuple


_ARGUMENT: Final = re.compile(r"    (\w+): (.*)")


class Documentation(NamedTuple):
    """The parts of an action's docstring."""

    summary: str
    url: str | None
    """The API's page about the action."""
    parameters: dict[str, str]
    """The descriptions of the parameters, by their Python names."""


def documentation_of(cls: Any) -> Documentation:
    """Return the parts of an action's docstring; empty if Python removed it."""
    lines = inspect.cleandoc(cls.__doc__ or "").splitlines() or [""]
    url = next((line for line in lines if line.startswith("https://")), None)
    descriptions: dict[str, str] = {}
    name = ""
    for line in lines:
        found = _ARGUMENT.match(line)
        if found:
            name = found[1]
            descriptions[name] = found[2]
        elif name and line.startswith("        "):
            descriptions[name] += f" {line.strip()}"
        else:
            name = ""
    return Documentation(lines[0], url, descriptions)
