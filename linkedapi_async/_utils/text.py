"""Escapes text from outside for terminals and spreadsheets.

Text that people write may contain anything. A character that acts on a terminal and the
start of a formula become visible; everything else is unchanged.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Final, TypeVar


T = TypeVar("T")


# C0 and C1 (ESC is one), lone surrogates, marks that turn the direction of text, and
# invisible characters. The joiners U+200C and U+200D are kept: Persian and most emoji of
# people are written with them, and they act on their neighbours only.
_ACTING: Final = (
    "\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e007f"
)

_IN_A_LINE: Final = re.compile(f"[{_ACTING}]")

ACTING: Final = re.compile(f"(?![\n\t])[{_ACTING}]")
"""One character that acts on a terminal, other than a new line or a tab."""

_SURROGATE: Final = re.compile("[\ud800-\udfff]")

# What spreadsheets read as a formula, in ASCII and in full width, also after characters
# that they strip. Apostrophes are skipped: an escaped formula begins with one.
# https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA: Final = re.compile(rf"'*[\s{_ACTING}]*[=+\-@\uff1d\uff0b\uff0d\uff20]")


def printable(text: str, *, lines: bool = False) -> str:
    """Return *text* with all characters that act on a terminal escaped.

    A control character, a mark that turns the direction of text, an invisible character,
    or half of an emoji is written as in Python, such as ``\\x1b``.

    Args:
        text: Any text.
        lines: Whether to keep new lines and tabs; otherwise the text is one line.
    """
    return (ACTING if lines else _IN_A_LINE).sub(_visible, text)


def _visible(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]


def cell(text: str, *, safe: bool = True) -> str:
    """Return *text* for a cell of a spreadsheet: a formula gets an apostrophe before it.

    A text that begins with apostrophes and then a formula gets one too, so that
    removing the first apostrophe gives the text again. Half of an emoji is escaped,
    because a file in UTF-8 cannot contain it.

    Args:
        text: Any text.
        safe: False leaves formulas as they are.
    """
    text = encodable(text)
    return f"'{text}" if safe and _FORMULA.match(text) else text


def encodable(text: str) -> str:
    """Return *text* with half of an emoji escaped, which UTF-8 cannot encode."""
    return _SURROGATE.sub(_visible, text) if _SURROGATE.search(text) else text


def short_repr(value: object) -> str:
    """Return *value* for an error message, in at most 60 characters."""
    lone = isinstance(value, str) and not is_encodable(value)
    text = ascii(value) if lone else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"  # noqa: PLR2004


def is_encodable(text: str) -> bool:
    """Return whether UTF-8 can encode *text*: it has no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def safe_repr(method: Callable[[T], str]) -> Callable[[T], str]:
    """Make a ``__repr__`` work on an object whose constructor raised.

    Debuggers and error trackers show such objects, because they are in its frames.
    """

    @functools.wraps(method)
    def shown(self: T) -> str:
        try:
            return method(self)
        except (AttributeError, ValueError):
            return f"<{type(self).__name__}, not made>"

    return shown
