"""What can be drawn: workflows and completions, in Mermaid and in notebooks."""

from __future__ import annotations

from collections.abc import Collection


# Pictures stand upstairs, and few who build workflows or read results look at any.


class Drawn:
    """Something with a picture."""

    __slots__ = ()

    def to_mermaid(self) -> str:
        """Return this and all below it as a flowchart for Mermaid."""
        from linkedapi_async.draw import to_mermaid  # noqa: PLC0415

        return to_mermaid(self)

    def _repr_html_(self) -> str:
        from linkedapi_async.draw import to_html  # noqa: PLC0415

        return to_html(self)

    def _repr_mimebundle_(
        self,
        include: Collection[str] | None = None,
        exclude: Collection[str] | None = None,
    ) -> dict[str, str]:
        from linkedapi_async.draw import bundle  # noqa: PLC0415

        return bundle(self, include, exclude)
