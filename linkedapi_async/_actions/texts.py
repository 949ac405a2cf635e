"""Checks of texts that will be sent: left-over placeholders and missing values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from linkedapi_async._actions.validators import warn_unknown
from linkedapi_async._utils.text import short_repr
from linkedapi_async.errors import TextWarning, WorkflowError


# `{{name}}`, `{name}`, `${name}`, `{% name %}`, and halves of them.
_LEFT_OVER: Final = re.compile(
    r"\{\{[^{}]*\}\}|\$?\{\s*[^\W\d][\w .-]*\}|\{\{|\}\}|\{%|%\}"
)

# The texts that other programs write for a missing value. They are compared with case,
# except errors of spreadsheets, because Null and Nan are names of people.
_NOT_TEXT: Final = frozenset(
    [
        "nan",
        "NaN",
        "NaT",
        "null",
        "NULL",
        "None",
        "undefined",
        "N/A",
        "n/a",
        "<NA>",
        "<null>",
        "NIL",
    ]
) | {"[object Object]"}
_SHEET_ERROR: Final = re.compile(
    r"#(N/A|REF!|VALUE!|NAME\?|DIV/0!|NULL!|NUM!|SPILL!|CALC!|ERROR!|FIELD!|BUSY!)",
    re.IGNORECASE,
)

# The parameters with a message for people.
MESSAGES: Final = ("text", "note", "subject")

# The same inside a text, without the ones that people write themselves.
_MISSING: Final = re.compile(
    r"(?<![\w.-])(nan|NaN|NaT|null|NULL|undefined|<NA>|<null>|\[object Object\]"
    rf"|{_SHEET_ERROR.pattern})(?![\w-])"
)
_MISSING_NAME: Final = re.compile(r"\s*\w+\s+(None|N/A|n/a|NIL)\s*[,.!:]")

# Finds "Hello !", but after one word only, because French has a space before some of
# these.
_EMPTY: Final = re.compile(r"\s*\w+\s+([,.!:;])")

_ENDS_SENTENCE: Final = ",.!?;:"


def nodes(definition: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield all actions of a definition, each with its path."""
    if isinstance(definition, list):
        stack = [(f"root[{n}]", node) for n, node in enumerate(definition)][::-1]
    else:
        stack = [("root", definition)]
    while stack:
        path, node = stack.pop()
        if isinstance(node, dict):
            yield path, node
            then = node.get("then", [])
            below = then if isinstance(then, list) else [then]
            stack += [(f"{path}.then[{n}]", b) for n, b in enumerate(below)][::-1]


def texts(value: Any) -> Iterator[str]:
    """Yield all texts in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts(item)


def left_over(text: str) -> str | None:
    """Return the first left-over placeholder in *text*."""
    found = _LEFT_OVER.search(text)
    return found and found[0]


def find_left_overs(definition: Any, advice: str) -> Iterator[WorkflowError]:
    """Yield a problem for each text of a definition with a left-over placeholder.

    Args:
        definition: The workflow as JSON values.
        advice: What to do about it.
    """
    for path, node in nodes(definition):
        for name, value in node.items():
            if name == "then":
                continue
            for found in filter(None, map(left_over, texts(value))):
                message = f"{name} has the left-over placeholder {short_repr(found)}; {advice}"
                yield WorkflowError(message, path=path)


def find_doubts(definition: Any) -> Iterator[WorkflowError]:
    """Yield a problem for each text that seems to lack a value.

    The messages do not contain the text, because it is personal.
    """
    yield from find_left_overs(definition, "replace it before you send it")
    for path, node in nodes(definition):
        for name in MESSAGES:
            text = node.get(name)
            if isinstance(text, str) and (found := _filling(text)) is not None:
                yield WorkflowError(
                    f"{name} {found}; check the data that fills it", path=path
                )


def warn_of_doubts(definition: Any) -> None:
    """Warn of each text that seems to lack a value."""
    for doubt in find_doubts(definition):
        warn_unknown(str(doubt), TextWarning)


def _filling(text: str) -> str | None:
    """Return what is wrong with the values in a message; None if nothing is."""
    if not text.strip():
        return "is blank"
    if found := _EMPTY.match(text):
        return f"seems to lack a value, because {found[1]!r} follows a space"
    found = _MISSING.search(text) or _MISSING_NAME.match(text)
    return found and f"has {found[1]!r}, which programs write for a missing value"


def missing_value(text: str) -> bool:
    """Return whether *text* is what programs write for a missing value."""
    return text in _NOT_TEXT or _SHEET_ERROR.fullmatch(text) is not None


def leaves_gap(parts: Sequence[str], empty: int) -> bool:
    """Return whether the empty part leaves a gap before punctuation: "Hello !"."""
    before, after = "".join(parts[:empty]), "".join(parts[empty + 1 :])
    return after[:1] in {*_ENDS_SENTENCE} and (not before or before[-1].isspace())
