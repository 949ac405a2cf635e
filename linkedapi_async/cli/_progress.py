"""The progress of a batch: its rate, the time left, and how both are displayed."""

from __future__ import annotations

import asyncio
import math
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import attrs

from linkedapi_async import Estimate
from linkedapi_async.cli._console import Console


FEWEST: Final = 5
"""The number of ends in this run before a rate is given."""

WINDOW: Final = 200
"""The number of last ends that make the rate."""

ESTIMATE_INTERVAL: Final = 5.0
"""The time between two estimates of the time left, in seconds."""

BETWEEN: Final = 10.0
"""The time between two lines without a terminal, in seconds."""


@attrs.define
class BatchProgress:
    """The counts and the rate of a batch; the caller passes the time, in seconds.

    Only workflows that were started in this run count for the rate, because those of
    earlier runs may end all at once.
    """

    total: int
    done: int = 0
    """Rows that succeeded, earlier runs included."""
    failed: int = 0
    """Rows that failed, earlier runs included."""
    unknown: int = 0
    """Rows with an unknown start."""
    suppressed: int = 0
    """Rows that are done, because their target was contacted before."""
    deferred: int = 0
    """Rows that were held back in this run."""
    in_flight: int = 0
    """Rows that were started and did not end yet."""
    accounts: int = 1
    """Accounts that can start workflows."""
    learnt: Callable[[int], Estimate | None] = lambda _: None
    """Returns the time left from what was learnt of durations, in seconds, if it is known.

    It is passed how many rows are not started.
    """
    _first_start: float | None = None
    _ends: deque[float] = attrs.field(factory=lambda: deque(maxlen=WINDOW))
    _left: Estimate | None = None
    _left_at: float = -math.inf

    @property
    def remaining(self) -> int:
        """The number of rows without an end."""
        return self.total - self.done - self.failed - self.unknown

    def started(self, now: float) -> None:
        """Count a start; the rate counts from the first one."""
        if self._first_start is None:
            self._first_start = now

    def ended(self, now: float) -> None:
        """Count the end of a workflow."""
        self._ends.append(now)

    def rate(self, now: float) -> float | None:
        """Return the ends per minute; None while they are too few."""
        if self._first_start is None or len(self._ends) < FEWEST:
            return None
        full = len(self._ends) == WINDOW
        # Measured up to now, so that a standstill lowers the rate.
        since = self._ends[0] if full else self._first_start
        return 60 * (len(self._ends) - full) / max(now - since, 1e-9)

    def eta(self, now: float) -> Estimate | float | None:
        """Return the time left in seconds; None while it is unknown.

        Learnt durations are used if there are any, otherwise the rate.
        """
        if now - self._left_at >= ESTIMATE_INTERVAL:
            self._left_at = now
            self._left = self.learnt(max(0, self.remaining - self.in_flight))
        rate = self.rate(now)
        if not self.accounts:
            return None
        if self._left is not None:
            return self._left
        return None if rate is None else 60 * self.remaining / rate

    def summary(self, now: float) -> str:
        """Return the counts, the rate and the time left as text."""
        rate, eta = self.rate(now), self.eta(now)
        parts = [f"{self.done} of {self.total} done"]
        if self.failed:
            parts.append(f"{self.failed} failed")
        if self.unknown:
            parts.append(f"{self.unknown} unknown")
        if self.deferred:
            parts.append(f"{self.deferred} deferred")
        if self.remaining:
            if self.in_flight:
                parts.append(f"{self.in_flight} in flight")
            parts.append(f"{self.accounts} account{'' if self.accounts == 1 else 's'}")
            parts.append("rate unknown" if rate is None else f"{rate:.3g} a minute")
            parts.append(f"time left {_time_left(eta)}")
        return ", ".join(parts)


def _time_left(eta: Estimate | float | None) -> str:
    """Return the time left as text, with its interval if that is known."""
    if eta is None:
        return "unknown"
    if not isinstance(eta, Estimate):
        return f"about {duration(eta)}"
    span = f"{duration(eta.low)} to {duration(eta.high)}"
    return f"about {duration(eta.median)} ({span})"


def duration(seconds: float) -> str:
    """Return *seconds* in the largest unit that fits."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


@contextmanager
def progress_display(
    progress: BatchProgress, console: Console
) -> Iterator[Callable[[], None]]:
    """Show *progress* while the body runs: a bar at a terminal, lines elsewhere.

    Yields:
        A function that the caller calls after each change.
    """
    now = asyncio.get_running_loop().time
    if console.quiet:
        yield lambda: None
    elif sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        with _bar(progress, now) as changed:
            yield changed
    else:
        last = now()

        def changed() -> None:
            """Print a line, at most one in `BETWEEN` seconds."""
            nonlocal last
            if now() - last >= BETWEEN:
                last = now()
                console.info(progress.summary(last))

        yield changed
        console.info(progress.summary(now()))


@contextmanager
def _bar(
    progress: BatchProgress, now: Callable[[], float]
) -> Iterator[Callable[[], None]]:
    # Imported here: importing rich takes longer than most commands.
    from rich import progress as bars  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    class Summary(bars.ProgressColumn):
        """The summary at each refresh."""

        def render(self, task: Any) -> Text:  # noqa: ARG002
            return Text(progress.summary(now()))

    console = Console(file=sys.stderr, highlight=False)
    with bars.Progress(bars.BarColumn(20), Summary(), console=console) as bar:
        task = bar.add_task("", total=progress.total, completed=progress.done)
        yield lambda: bar.update(task, completed=progress.done)
