"""Rich display of workflows and completions: Mermaid, and HTML in notebooks."""

from __future__ import annotations

import importlib
from collections.abc import Collection
from typing import Any, cast


def _drawing() -> Any:
    # Drawing is a layer above actions and results, and few programs draw. It is loaded
    # by name when something is displayed, as a plug-in is.
    return importlib.import_module("linkedapi_async.draw")


class Displayable:
    """A value that notebooks show as a picture."""

    __slots__ = ()

    def to_mermaid(self) -> str:
        """Return this and all below it as a flowchart for Mermaid."""
        return cast("str", _drawing().to_mermaid(self))

    def _repr_html_(self) -> str:
        return cast("str", _drawing().to_html(self))

    def _repr_mimebundle_(
        self,
        include: Collection[str] | None = None,
        exclude: Collection[str] | None = None,
    ) -> dict[str, str]:
        return cast("dict[str, str]", _drawing().bundle(self, include, exclude))
