"""Escaping: hostile text is harmless on terminals and in spreadsheets."""

from __future__ import annotations

import sys
import time

import hostile_text
import pytest
from hypothesis import given
from hypothesis import strategies as draws

from linkedapi_async._utils.text import cell, printable


anything = draws.text(draws.characters(exclude_categories=())) | draws.text(
    draws.sampled_from("'=+-@\t\r\n \\[]/a#\x1b\u202e\ud83d\ufeff\uff1d")
)


def test_printable_leaves_nothing_that_acts() -> None:
    """Exactly the characters that act on a terminal are written out."""
    for number in range(sys.maxunicode + 1):
        character = chr(number)
        shown = printable(character)
        if hostile_text.acting(character, allowed=""):
            assert shown == ascii(character)[1:-1]
        else:
            # Code points that Unicode has not assigned yet may be written out, too.
            assert shown in {character, ascii(character)[1:-1]}


def test_printable_keeps_what_people_write() -> None:
    """Scripts, accents, composed emoji and Persian joiners stay."""
    text = (
        "Zo\u00eb \u0141ukasz \u674e\u5c0f\u9f8d \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 "
        "\u05e2\u05d1 \U0001f469\u200d\U0001f4bb \u2764\ufe0f \xa0\u2013 [C++] \\"
    )

    assert text == printable(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x9b1m", "\\x9b1m"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("half \ud83d", "half \\ud83d"),
        ("\ufeff\u200b", "\\ufeff\\u200b"),
    ],
)
def test_printable_shows(text: str, shown: str) -> None:
    """A character that acts is written as in Python."""
    assert shown == printable(text)


def test_printable_lines() -> None:
    """With *lines*, new lines and tabs stay, and nothing else that acts."""
    assert "a\n\tb\\r\\x1b" == printable("a\n\tb\r\x1b", lines=True)


@given(anything)
def test_printable_can_be_encoded(text: str) -> None:
    """Printable text is one line, without acting characters, and can be encoded."""
    shown = printable(text)

    assert set() == hostile_text.acting(shown, allowed="")
    assert shown == shown.encode().decode()
    assert 1 >= len(shown.splitlines())
    assert printable(shown) == shown


def test_escaping_takes_linear_time() -> None:
    """Many backslashes or brackets take no longer than other text."""
    begin = time.process_time()
    for text in ("\\" * 200_000, "[a" * 100_000, "[" * 200_000, "\\[" * 100_000):
        cell(" " * 200_000 + text)
        printable(text)

    assert 5 > time.process_time() - begin


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\uff1d1", "\uff0b1", "\uff0d1", "\uff20x"]


@pytest.mark.parametrize(
    "before", ["", " ", "\t", "\r", "\n", "\0", "\ufeff", "\xa0 \t"]
)
@pytest.mark.parametrize("formula", FORMULAS)
def test_cell_escapes_formulas(formula: str, before: str) -> None:
    """A formula gets an apostrophe, also after characters that are stripped."""
    assert f"'{before}{formula}" == cell(before + formula)
    assert before + formula == cell(before + formula, safe=False)


@pytest.mark.parametrize("text", ["", "a=1", "1-2", "x@y.example", "'quoted'", "[1]"])
def test_cell_leaves_other_text(text: str) -> None:
    """Text that is not a formula stays as it is."""
    assert text == cell(text)


@given(anything)
def test_cell_can_be_taken_back(text: str) -> None:
    """An escaped cell does not begin like a formula, and can be unescaped."""
    escaped = cell(text)
    visible = cell(text, safe=False)

    assert visible.encode().decode() == visible
    assert escaped in {visible, f"'{visible}"}
    assert not escaped.lstrip(" \t\r\n\0\ufeff").startswith(
        tuple("=+-@\uff1d\uff0b\uff0d\uff20")
    )
    # The beginning alone decides whether a text is escaped.
    assert (escaped == visible) == (cell(escaped) == escaped)


def test_hostile_text_becomes_harmless() -> None:
    """Printable text and cells of a hostile profile are harmless."""
    texts = [value for value in hostile_text.PROFILE.values() if isinstance(value, str)]

    assert 100_000 <= max(map(len, texts))
    assert any(hostile_text.acting(text) for text in texts)
    for text in texts:
        assert set() == hostile_text.acting(printable(text), allowed="")
        assert cell(text)[:1] not in tuple("=+-@")
