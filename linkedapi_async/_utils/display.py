"""Rich display of workflows and completions: Mermaid, and HTML in notebooks."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Protocol


class Renderer(Protocol):
    """A renderer, which turns a workflow or a completion into a picture."""

    def to_mermaid(self, value: Any, /) -> str:
        """Return a flowchart for Mermaid."""
        ...

    def to_html(self, value: Any, /) -> str:
        """Return HTML."""
        ...

    def bundle(
        self,
        value: Any,
        include: Collection[str] | None,
        exclude: Collection[str] | None,
        /,
    ) -> dict[str, str]:
        """Return the content for a notebook, by MIME type."""
        ...


class Displayable:
    """A value that notebooks show as a picture."""

    __slots__ = ()

    def to_mermaid(self) -> str:
        """Return this and all below it as a flowchart for Mermaid."""
        return _load_renderer().to_mermaid(self)

    def _repr_html_(self) -> str:
        return _load_renderer().to_html(self)

    def _repr_mimebundle_(
        self,
        include: Collection[str] | None = None,
        exclude: Collection[str] | None = None,
    ) -> dict[str, str]:
        return _load_renderer().bundle(self, include, exclude)


def use_renderer(load: Callable[[], Renderer]) -> None:
    """Use the renderer that *load* returns whenever something is displayed.

    Drawing is a layer above workflows and completions, and few programs draw. So the
    package registers the renderer here, and loads it on first use.
    """
    global _load_renderer  # noqa: PLW0603  # set once, when the package is imported
    _load_renderer = load


_load_renderer: Callable[[], Renderer]
