"""Text from outside, made harmless where it is shown: terminals, markup, spreadsheets.

What people write about themselves may hold anything. Here it only becomes visible: a
character that acts on a terminal, a tag, a formula; all else stays as it was written.
"""

from __future__ import annotations

import re
from typing import Final


# C0 and C1 (ESC is one), lone surrogates, whatever turns the direction of what stands
# around it, and what is not seen at all. The joiners U+200C and U+200D stay: Persian and
# most emoji of people are written with them, and they act on their neighbours only.
_ACTING: Final = (
    "\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e007f"
)

_IN_A_LINE: Final = re.compile(f"[{_ACTING}]")

ACTING: Final = re.compile(f"(?![\n\t])[{_ACTING}]")
"""One character that acts on a terminal, other than a new line or a tab."""

_SURROGATE: Final = re.compile("[\ud800-\udfff]")

# What the library rich may read as a tag, with the backslashes that escape it. They are
# looked for once: without the first group a long row of them takes quadratic time.
_BRACKET: Final = re.compile(r"(?<!\\)(\\*)\[([a-z#/@]?)")

# What spreadsheets take for a formula, in ASCII and in full width, also after what they
# strip. Apostrophes are looked through: an escaped formula begins with one.
# https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA: Final = re.compile(rf"'*[\s{_ACTING}]*[=+\-@\uff1d\uff0b\uff0d\uff20]")


def printable(text: str, *, lines: bool = False) -> str:
    """Return *text* without anything that acts on a terminal: it becomes visible.

    A control character, a mark that turns the direction of text, an invisible one, or
    half of an emoji is shown as Python would write it, such as ``\\x1b``.

    Args:
        text: Any text.
        lines: Whether new lines and tabs stay; otherwise the text stays on its line.
    """
    return (ACTING if lines else _IN_A_LINE).sub(_visible, text)


def _visible(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]


def markup(text: str) -> str:
    """Return *text* with rich's tags escaped, so that rich prints it as it is.

    What looks like a tag is none, also where what comes after the text would close it.
    Control characters stay: give it what `printable` returned.
    """
    escaped = _BRACKET.sub(_escaped, text)
    # A last backslash would escape the tag that comes after the text.
    last = len(escaped) - len(escaped.rstrip("\\"))
    return escaped + "\\" * (last % 2)


def _escaped(found: re.Match[str]) -> str:
    # Rich takes backslashes in pairs before what it reads as a tag, and only there.
    tag = found[2] or found.end() == len(found.string)
    return found[1] * (2 if tag else 1) + "\\[" + found[2]


def cell(text: str, *, safe: bool = True) -> str:
    """Return *text* for a cell of a spreadsheet: a formula gets an apostrophe before it.

    A text that begins with apostrophes and then a formula gets one too, so that taking
    away the first gives back the text. Half of an emoji becomes visible: no file in UTF-8
    can hold it.

    Args:
        text: Any text; numbers are no text.
        safe: False leaves formulas as they are.
    """
    if _SURROGATE.search(text):
        text = _SURROGATE.sub(_visible, text)
    return f"'{text}" if safe and _FORMULA.match(text) else text


def short_repr(value: object) -> str:
    """Return *value* for an error message, not too long."""
    text = (
        ascii(value)
        if isinstance(value, str) and not is_encodable(value)
        else (repr(value))
    )
    return text if len(text) <= 60 else f"{text[:57]}…"  # noqa: PLR2004


def is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
