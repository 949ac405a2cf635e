"""The ready-made operations as commands: their names, sections and summaries."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, Final

import attrs

from linkedapi_async import operations
from linkedapi_async._actions.documentation import Documentation, documentation_of


NOT_COMMANDS: Final = ("custom_workflow",)
"""The functions that take a whole definition; the command ``run`` sends those."""

_READING: Final = ("check_", "fetch_", "retrieve_", "search_", "sync_")

# A command that reads is named after what it reads.
_NOT_IN_NAMES: Final = re.compile("fetch_|retrieve_")

_FUNCTION: Final = re.compile(r"Return the workflow that (\w+)s\b")


SECTIONS: Final = ("Reading LinkedIn", "Writing to LinkedIn", "Sales Navigator")


@attrs.frozen
class Operation:
    """A ready-made operation: a function, or an action that is also an operation."""

    name: str
    """Its name in `linkedapi_async.operations`."""

    @property
    def make(self) -> Callable[..., Any]:
        """Returns the workflow."""
        made: Callable[..., Any] = getattr(operations, self.name)
        return made

    @property
    def command(self) -> str:
        """The name of its command."""
        return _NOT_IN_NAMES.sub("", self.name).replace("_", "-")

    @property
    def writes(self) -> bool:
        """Whether it changes anything on LinkedIn."""
        return not self.name.removeprefix("nv_").startswith(_READING)

    @property
    def section(self) -> str:
        """The section of the list of commands."""
        if self.name.startswith("nv_"):
            return SECTIONS[2]
        return SECTIONS[self.writes]

    @property
    def documentation(self) -> Documentation:
        """The parts of its docstring."""
        return documentation_of(self.make)

    @property
    def summary(self) -> str:
        """What it does, as a command."""
        text = self.documentation.summary
        return _FUNCTION.sub(lambda found: found[1].capitalize(), text)


@functools.cache
def all_operations() -> dict[str, Operation]:
    """Return the operations by the names of their commands, section by section."""
    names = (n for n in operations.__all__ if n.islower() and n not in NOT_COMMANDS)
    found = sorted(
        map(Operation, names), key=lambda o: (SECTIONS.index(o.section), o.command)
    )
    return {each.command: each for each in found}
