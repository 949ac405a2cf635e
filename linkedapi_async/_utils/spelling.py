"""Spelling: JSON names of Python names, and the nearest known name."""

from __future__ import annotations

from collections.abc import Iterable


def json_name(name: str) -> str:
    """Return the JSON spelling of a Python name: ``basic_info``, ``basicInfo``."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known name whose spelling is nearest to *name*, if one is near."""
    import difflib  # noqa: PLC0415  # only errors need it

    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=cutoff)), None)
