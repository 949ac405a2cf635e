"""Code generation, for functions that run once per object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def compile_function(name: str, lines: Sequence[str], names: dict[str, Any]) -> Any:
    """Return the function *name* that *lines* define, with *names* as its globals.

    The lines contain only field names of classes in this package.
    """
    scope = dict(names)
    exec("\n".join(lines), scope)  # noqa: S102  # as attrs and dataclasses do
    return scope[name]
