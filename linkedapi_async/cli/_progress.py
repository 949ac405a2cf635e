"""How fast a batch is, when it will be done as far as anybody can know, and the bar."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import attrs

from linkedapi_async.cli._console import Console


FEWEST: Final = 5
"""How many must have ended in this run before anything is foretold."""

WINDOW: Final = 200
"""Of how many ends the rate is made."""

BETWEEN: Final = 10.0
"""Seconds between two lines where there is no terminal."""


@attrs.define
class Progress:
    """What is done and how fast; it is told the time, in seconds.

    Only what was started in this run counts for the rate: what earlier runs have left
    may come at once, and says nothing of what is to come.
    """

    total: int
    done: int = 0
    """Rows that are in the results, earlier runs included."""
    failed: int = 0
    """Rows of this run that failed."""
    in_flight: int = 0
    """Rows that were started and have not ended."""
    accounts: int = 1
    """Accounts that work."""
    _began: float | None = None
    _ends: deque[float] = attrs.field(factory=lambda: deque(maxlen=WINDOW))

    def begin(self, now: float) -> None:
        """Note that a start is about to be sent; the first one counts."""
        if self._began is None:
            self._began = now

    def ended(self, now: float) -> None:
        """Note that a workflow ended."""
        self._ends.append(now)

    def rate(self, now: float) -> float | None:
        """Return how many end per minute; None as long as nobody can know."""
        if self._began is None or len(self._ends) < FEWEST:
            return None
        full = len(self._ends) == WINDOW
        # Until now, so that a standstill shows.
        since = self._ends[0] if full else self._began
        return 60 * (len(self._ends) - full) / max(now - since, 1e-9)

    def left(self, now: float) -> float | None:
        """Return how many seconds it will take; None as long as nobody can know."""
        rate = self.rate(now)
        if rate is None or not self.accounts:
            return None
        return 60 * (self.total - self.done) / rate

    def words(self, now: float) -> str:
        """Return all of it in words."""
        rate, left = self.rate(now), self.left(now)
        words = [f"{self.done} of {self.total} done"]
        if self.failed:
            words.append(f"{self.failed} failed")
        if self.done < self.total:
            if self.in_flight:
                words.append(f"{self.in_flight} in flight")
            words.append(f"{self.accounts} account{'' if self.accounts == 1 else 's'}")
            words.append("rate unknown" if rate is None else f"{rate:.3g} a minute")
            told = "unknown" if left is None else f"about {span(left)}"
            words.append(f"time left {told}")
        return ", ".join(words)


def span(seconds: float) -> str:
    """Return a time in the unit that people would use."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


@contextmanager
def progress_display(pace: Progress, talk: Console) -> Iterator[Callable[[], None]]:
    """Show *pace* while the body runs: a bar at a terminal, lines elsewhere.

    Yields:
        What is to be called when it has changed.
    """
    now = asyncio.get_running_loop().time
    if talk.quiet:
        yield lambda: None
    elif sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        with _bar(pace, now) as changed:
            yield changed
    else:
        said = now()

        def changed() -> None:
            """Say a line, but not too often."""
            nonlocal said
            if now() - said >= BETWEEN:
                said = now()
                talk.say(pace.words(said))

        yield changed
        talk.say(pace.words(now()))


@contextmanager
def _bar(pace: Progress, now: Callable[[], float]) -> Iterator[Callable[[], None]]:
    # Only here: importing rich takes longer than most commands.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, ProgressColumn  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    class Words(ProgressColumn):
        """Says the pace as it is at each refresh."""

        def render(self, task: Any) -> Text:  # noqa: ARG002
            return Text(pace.words(now()))

    console = Console(file=sys.stderr, highlight=False)
    with Progress(BarColumn(20), Words(), console=console) as progress:
        task = progress.add_task("", total=pace.total, completed=pace.done)
        yield lambda: progress.update(task, completed=pace.done)
