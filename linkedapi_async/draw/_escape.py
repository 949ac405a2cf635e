"""Escapes text from outside for each format of pictures.

The text comes from users, servers and strangers on LinkedIn. Each format has characters
with a meaning of their own; all of them are escaped.
"""

from __future__ import annotations

import html

from linkedapi_async._utils.text import printable


LONG = 60
"""How many characters of one text from outside are shown at most."""


def shortened(text: str, length: int = LONG) -> str:
    """Return *text*, or its beginning and its end if it is longer than *length*."""
    if len(text) <= length:
        return text
    # A third is for the end, because many URLs begin alike.
    end = length // 3
    return f"{text[: length - end - 1]}…{text[-end:]}"


def terminal_text(text: str, *, ascii: bool = False) -> str:
    r"""Return *text* for a terminal, with control characters escaped, as ``\x1b``.

    Args:
        text: Any text.
        ascii: Whether to escape everything beyond ASCII too.
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
"""Harmless characters that XML does not allow."""


def xml(text: str) -> str:
    """Return *text* for XML and HTML, in an element or an attribute.

    https://www.w3.org/TR/xml/#charsets
    """
    return html.escape(printable(text).translate(_NO_XML))


_PLAIN = frozenset(" .,:/=_-+()…×")
"""The characters without a meaning in Mermaid and Markdown, but no letters or digits."""

_COMMANDS = ("classDef", "style")
"""After one of these, Mermaid drops the end of an escape."""

_OWN = {ord("ﬂ"): r"\ufb02", ord("¶"): r"\xb6"}
"""Mermaid's internal form of an escape, which must not occur in a text."""


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
