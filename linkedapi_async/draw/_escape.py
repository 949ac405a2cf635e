"""Text for pictures: foreign text that can do no harm where it is shown.

What is drawn comes from users, servers and strangers on LinkedIn. Each medium has
characters that command it; none of them gets through.
"""

from __future__ import annotations

import html

from linkedapi_async._utils.text import printable


LONG = 60
"""How many characters of one foreign text are shown at most."""


def shortened(text: str, length: int = LONG) -> str:
    """Return *text*, or its beginning and its end if it is longer than *length*."""
    if len(text) <= length:
        return text
    # A third for the end: URLs begin alike.
    end = length // 3
    return f"{text[: length - end - 1]}…{text[-end:]}"


def terminal_text(text: str, *, ascii: bool = False) -> str:
    r"""Return *text* for a terminal, with all that acts on it written out, as ``\x1b``.

    Args:
        text: Any text.
        ascii: Whether all beyond ASCII is written out too.
    """
    text = printable(text)
    if not ascii or text.isascii():
        return text
    text = text.replace("…", "...").replace("×", "x")
    return "".join(
        char if char.isascii() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


_NO_XML = {0xFFFE: r"\ufffe", 0xFFFF: r"\uffff"}
"""What acts on nothing, but may not stand in XML."""


def xml(text: str) -> str:
    """Return *text* for XML and HTML, in an element or an attribute.

    https://www.w3.org/TR/xml/#charsets
    """
    return html.escape(printable(text).translate(_NO_XML))


_PLAIN = frozenset(" .,:/=_-+()…×")
"""What neither Mermaid nor Markdown minds, beside letters and digits."""

_COMMANDS = ("classDef", "style")
"""Where Mermaid sees one of these, it swallows the end of an escape."""

_OWN = {ord("ﬂ"): r"\ufb02", ord("¶"): r"\xb6"}
"""What Mermaid writes for an escape while it works, and would take ours for."""


def mermaid(text: str) -> str:
    """Return *text* for a quoted label of a Mermaid diagram.

    https://mermaid.js.org/syntax/flowchart.html
    """
    text = "".join(
        char if char in _PLAIN or char.isalnum() else f"#{ord(char)};"
        for char in printable(text).translate(_OWN)
    )
    for word in _COMMANDS:
        text = text.replace(word, f"#{ord(word[0])};{word[1:]}")
    return text
