"""Pictures: a workflow or a completion as a tree, a batch as a timeline.

::

    print(draw(workflow))
    print(draw(await handle.completion(), color=True))
    path.write_text(timeline(spans_of(sandbox.workflows)), "utf-8")

The size of a picture is bounded: it leaves out what does not fit, and says how much
that is. No text is trusted; all of it is escaped for its format.
"""

from linkedapi_async.draw._formats import bundle, draw, to_html, to_mermaid
from linkedapi_async.draw._timeline import Span, Spans, Svg, spans_of, timeline


__all__ = [
    "Span",
    "Spans",
    "Svg",
    "bundle",
    "draw",
    "spans_of",
    "timeline",
    "to_html",
    "to_mermaid",
]
