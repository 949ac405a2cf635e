"""Texts that look as if a value were missing in them."""

from __future__ import annotations

from typing import Any

import pytest

from linkedapi_async._actions.texts import find_doubts


ADA = "https://www.linkedin.com/in/ada"


def doubts(text: str, name: str = "text") -> list[str]:
    """Return what is wrong with the text of a message."""
    node = {"actionType": "st.sendMessage", "personUrl": ADA, name: text}
    return [str(problem) for problem in find_doubts(node)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Hello {{First Name}}!", "has the left-over placeholder '{{First Name}}'"),
        ("Hello {name}!", "has the left-over placeholder '{name}'"),
        ("Hello nan!", "has 'nan', which programs write for a missing value"),
        ("Hello, #N/A", "has '#N/A', which programs write"),
        ("Hello undefined, how are you?", "has 'undefined', which programs write"),
        ("Hi null", "has 'null', which programs write"),
        ("Hello None!", "has 'None', which programs write"),
        ("Dear [object Object],", "has '[object Object]', which programs write"),
        ("Hello !", "seems to lack a value, because '!' follows a space"),
        (" Hello , how are you?", "seems to lack a value, because ','"),
        ("\xa0 ", "is blank"),
    ],
)
def test_doubtful_texts(text: str, problem: str) -> None:
    """A placeholder, a missing value and a gap are found."""
    (found,) = doubts(text)

    assert found.startswith(f"root: text {problem}")


@pytest.mark.parametrize(
    "text",
    [
        "Hello Ada!",
        "Hello Nan, hello Null!",
        "None of us was at the null-and-void meeting in Nantes.",
        "Bonjour Ada ! Ça va ?",
        "See www.linkedin.com/undefined-behaviour or call nan-2.",
    ],
)
def test_plain_texts(text: str) -> None:
    """Names, other languages and words that people write are no doubt."""
    assert [] == doubts(text)


def test_where_doubts_are() -> None:
    """All messages of a tree are looked at, and nothing else; the text is not shown."""
    note = {"actionType": "st.sendConnectionRequest", "note": "Secret nan,"}
    page: dict[str, Any] = {"actionType": "st.openPersonPage", "personUrl": ADA}
    search = {"actionType": "st.searchPeople", "term": "nan", "text": 5}
    found = [str(p) for p in find_doubts([{**page, "then": [note]}, search, "x"])]
    written = {"filter": {"industries": ["{{industry}}"]}}
    left = [str(p) for p in find_doubts({**search, **written})]
    where = "root[0].then[0]: note has 'nan', which programs write for a missing value"

    assert [f"{where}; check the data that fills it"] == found
    assert ["root: filter has the left-over placeholder '{{industry}}'"] == [
        text.partition(";")[0] for text in left
    ]
    assert ["subject"] == [p.split()[1] for p in doubts("Hello nan", "subject")]
