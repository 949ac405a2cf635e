"""The table that a benchmark prints: what was measured, and the limit it must keep."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import attrs


@attrs.frozen
class Figure:
    """A measured value, compared with another one or by itself."""

    name: str
    ours: float
    unit: str
    limit: float
    """The most that is allowed: of the ratio, or of *ours* without a ratio."""
    theirs: float | None = None
    ratio: float | None = None

    @classmethod
    def of_pairs(
        cls, name: str, pairs: Sequence[tuple[float, float]], unit: str, limit: float
    ) -> Figure:
        """Return the medians of *pairs* in seconds, and the median of their ratios."""
        scale = {"ms": 1e3, "µs": 1e6}[unit]
        return cls(
            name,
            statistics.median(ours for ours, _ in pairs) * scale,
            unit,
            limit,
            statistics.median(theirs for _, theirs in pairs) * scale,
            statistics.median(ours / theirs for ours, theirs in pairs),
        )

    @property
    def missed(self) -> bool:
        """Whether the limit is exceeded."""
        return (self.ours if self.ratio is None else self.ratio) > self.limit


def report(
    title: str, figures: Sequence[Figure], columns: tuple[str, str] = ("ours", "theirs")
) -> int:
    """Print a table of figures.

    Args:
        title: What was measured, and how often.
        figures: The rows.
        columns: The names of the two values of each figure.

    Returns:
        The exit status: 1 if a figure exceeds its limit.
    """
    ours, theirs = columns
    print(f"{title:<64}{ours:>10}{theirs:>10}{'':5}{'ratio':>7}{'limit':>8}")
    for one in figures:
        other = "–" if one.theirs is None else f"{one.theirs:.2f}"
        ratio = "–" if one.ratio is None else f"{one.ratio:.2f}"
        print(
            f"{one.name:<64}{one.ours:>10.2f}{other:>10} {one.unit:<4}{ratio:>7}"
            f"{one.limit:>8.2f}{'  MISSED' if one.missed else ''}"
        )
    return int(any(one.missed for one in figures))
