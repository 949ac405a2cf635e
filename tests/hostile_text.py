"""A profile with hostile text for terminals, markup, spreadsheets and web pages."""

from __future__ import annotations

import copy
import json
import pathlib
import unicodedata
from typing import Any


PROFILE: dict[str, Any] = json.loads(
    (pathlib.Path(__file__).parent / "data" / "nasty_profile.json").read_text("utf-8")
)
"""The data of a person's page; its headline has 100 kB."""
PROFILE["headline"] *= 100_000 // len(PROFILE["headline"]) + 1


def completion() -> dict[str, Any]:
    """Return the completion of a search that found the profile and opened its page."""
    page = {"actionType": "st.openPersonPage", "success": True}
    found = ("name", "publicUrl", "headline", "location")
    person: dict[str, Any] = {name: PROFILE[name] for name in found}
    person["then"] = [page | {"label": PROFILE["name"], "data": copy.deepcopy(PROFILE)}]
    error = {"type": PROFILE["hashedUrl"], "message": PROFILE["about"]}
    failed = page | {"success": False, "error": error}
    again = {"name": PROFILE["position"], "then": failed}
    return {"actionType": "st.searchPeople", "success": True, "data": [person, again]}


# Format characters of scripts that are visible nevertheless.
_SEEN = ("ARABIC", "SYRIAC", "KAITHI", "EGYPTIAN")


def acting(text: str, *, allowed: str = "\n\t") -> set[str]:
    """Return the characters of *text* that control a terminal or are invisible.

    Args:
        text: The output of a program, without colours.
        allowed: Characters that the program itself prints.
    """
    harmless = allowed + "\u200c\u200d"
    return {c for c in text if c not in harmless and _acts(c)}


def _acts(character: str) -> bool:
    if unicodedata.category(character) == "Cf":
        seen = unicodedata.name(character).startswith(_SEEN)
        return not seen or character == "\u061c"
    return unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}
