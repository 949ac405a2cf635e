"""Timelines: a batch over time as an SVG.

A few workflows get a row each. Many are drawn as one lane per account, in steps of time,
so that a picture of a hundred thousand is not larger than one of a hundred.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    NamedTuple,
    Protocol,
    TypeAlias,
    cast,
    get_args,
)

import attrs

from linkedapi_async import events
from linkedapi_async.draw._escape import shortened, xml
from linkedapi_async.session._events import FinalStatus


if TYPE_CHECKING:
    from linkedapi_async.session import Session


Shade: TypeAlias = Literal["completed", "failed", "cancelled", "running"]

ROWS = 60
"""How many rows a picture has at most; when there are more, it has lanes."""

LANES = 16
"""How many lanes a picture has at most."""

ROW = 15
"""The height of a row, in pixels, as all lengths here."""

LANE = 58

GUTTER = 168
"""The width of the names at the left."""

MARGIN = 20

RIGHT = 36
"""Free space at the right, for half of the last time of the axis."""

HEAD = 74

FOOT = 62

STEP = 2
"""The width of a step of time where there are lanes."""

NAME = 23
"""How many characters of a name are shown."""

NARROWEST = 860
"""The width that the figures and the legend need; an SVG can be scaled down."""

LATEST = 1e12
"""The largest time in seconds, far beyond any calendar."""

TICKS = 9
"""How many parts the axis has at most."""


@attrs.frozen(kw_only=True)
class Span:
    """One workflow over time, in seconds on any clock, the same for a whole batch."""

    key: str
    """Its name in the picture: its id, or the caller's key."""
    account: str
    """The name of the account that ran it."""
    queued_at: float
    """When the server accepted it."""
    started_at: float | None = None
    """When it began to run; None if it did not, or if that is unknown."""
    finished_at: float | None = None
    """When it ended; None if it did not, or if that is unknown."""
    noticed_at: float | None = None
    """When the client knew that it had ended."""
    outcome: FinalStatus | None = None
    """How it ended."""
    expected: tuple[float, float, float] | None = None
    """When it will have ended, if it has not: one case in ten is earlier than the first
    of these times, half are earlier than the second, one in ten is later than the third.
    """

    def __attrs_post_init__(self) -> None:
        times: Iterable[object] = _times(self)
        for time in times:
            if not (isinstance(time, int | float) and abs(time) <= LATEST):
                message = f"{self.key!r}: a time must be in seconds, got {time!r}"
                raise ValueError(message)
        if self.outcome not in {None, *get_args(FinalStatus)}:
            raise ValueError(
                f"{self.key!r}: outcome must be one of {get_args(FinalStatus)}, "
                f"got {self.outcome!r}"
            )
        if (self.outcome is None) != (self.ended_at is None):
            message = f"{self.key!r}: pass an outcome and a time of it, or neither"
            raise ValueError(message)

    @property
    def ended_at(self) -> float | None:
        """When it ended, as far as is known: when it was noticed at the latest."""
        return self.noticed_at if self.finished_at is None else self.finished_at


class Timed(Protocol):
    """An object with a workflow's times, such as the sandbox's `RecordedWorkflow`."""

    @property
    def id(self) -> str:
        """The API's id of it."""
        ...

    @property
    def account(self) -> str:
        """The name of the account that ran it."""
        ...

    @property
    def accepted(self) -> float:
        """When its start was answered, in seconds."""
        ...

    @property
    def started(self) -> float | None:
        """When it began to run, if it did."""
        ...

    @property
    def finished(self) -> float | None:
        """When it ended, if it did."""
        ...

    @property
    def first_polled_after_end(self) -> float | None:
        """When it was first polled after its end, if it was."""
        ...

    @property
    def state(self) -> str:
        """Its state now."""
        ...


def spans_of(
    workflows: Iterable[Timed],
    *,
    speed: float = 1.0,
    key: Callable[[Any], str] | None = None,
    account: Callable[[Any], str] | None = None,
) -> list[Span]:
    """Return the times of a sandbox's *workflows*, for a timeline.

    Args:
        workflows: Such as ``sandbox.workflows``.
        speed: How many times faster than the API the sandbox is: with its own
            ``sandbox.speed`` the axis has the times of the API.
        key: Returns the name of each; by default its id.
        account: Returns the name of its account; by default that of the sandbox.
    """

    def scaled(time: float | None) -> float | None:
        return None if time is None else time * speed

    return [
        Span(
            key=key(seen) if key else seen.id,
            account=account(seen) if account else seen.account,
            queued_at=seen.accepted * speed,
            started_at=scaled(seen.started),
            finished_at=scaled(seen.finished),
            noticed_at=scaled(seen.first_polled_after_end),
            outcome=None if seen.finished is None else cast("FinalStatus", seen.state),
        )
        for seen in workflows
    ]


class Spans:
    """Collects spans while a batch runs.

    ::

        spans = Spans()
        spans.watch(session)
        await batch(session)
        path.write_text(timeline(spans), "utf-8")

    Iterating gives the spans so far, in the order of their queueing.
    """

    def __init__(self) -> None:
        self._spans: dict[str, Span] = {}
        self._sessions: list[Session] = []
        self._now: Callable[[], float] = lambda: 0.0

    def queued(self, key: str, *, account: str, at: float) -> None:
        """Record that the server accepted a workflow.

        Args:
            key: Its name from now on: its id, or any other key.
            account: The name of its account.
            at: When that was, in seconds.
        """
        self._spans[key] = Span(key=key, account=account, queued_at=at)

    def running(self, key: str, *, at: float) -> None:
        """Record that a workflow runs; only the first time counts."""
        if self._of(key).started_at is None:
            self._note(key, started_at=at)

    def finished(
        self,
        key: str,
        *,
        outcome: FinalStatus,
        at: float | None = None,
        noticed: float | None = None,
    ) -> None:
        """Record how a workflow ended.

        Args:
            key: The workflow.
            outcome: How it ended.
            at: When it did, where that is known.
            noticed: When the client knew.
        """
        self._note(key, outcome=outcome, finished_at=at, noticed_at=noticed)

    def watch(self, session: Session) -> Callable[[], None]:
        """Collect what *session* starts or attaches from now on; return a way to stop.

        A span is called by the key of its item, or by its workflow id. The start of a
        run, and the end, are recorded when the session polls and notices them. Of at
        most 60 workflows, the expected end is recorded too, if `WorkflowHandle.eta`
        knows it.
        """

        def taken(event: events.WorkflowStarted | events.WorkflowAttached) -> None:
            key = event.key or event.workflow_id
            self.queued(key, account=event.account, at=event.at)
            self._now = asyncio.get_running_loop().time

        def runs(event: events.WorkflowRunning) -> None:
            key = event.key or event.workflow_id
            if key in self._spans:
                self.running(key, at=event.at)

        def ended(event: events.WorkflowFinished) -> None:
            key = event.key or event.workflow_id
            if key in self._spans:
                self.finished(key, outcome=event.status, noticed=event.at)

        self._sessions.append(session)
        ends = ExitStack()
        ends.callback(session.on(events.WorkflowStarted, taken))
        ends.callback(session.on(events.WorkflowAttached, taken))
        ends.callback(session.on(events.WorkflowRunning, runs))
        ends.callback(session.on(events.WorkflowFinished, ended))
        return ends.close

    def _of(self, key: str) -> Span:
        try:
            return self._spans[key]
        except KeyError:
            raise LookupError(f"{key!r} is unknown; call queued() first") from None

    def _note(self, key: str, **facts: Any) -> None:
        self._spans[key] = attrs.evolve(self._of(key), **facts)

    def __iter__(self) -> Iterator[Span]:
        spans = dict(self._spans)
        if len(spans) <= ROWS:  # more are drawn as lanes, which do not show it
            for handle in (h for session in self._sessions for h in session.handles):
                key, eta = str(handle.key or handle.workflow_id), handle.eta()
                if key in spans and eta is not None:
                    now = self._now()
                    times = (now + eta.low, now + eta.median, now + eta.high)
                    spans[key] = attrs.evolve(spans[key], expected=times)
        return iter(spans.values())

    def __len__(self) -> int:
        return len(self._spans)


class Svg(str):
    """An SVG picture as text, which notebooks show as a picture."""

    __slots__ = ()

    def _repr_svg_(self) -> str:
        return str(self)


def timeline(
    batch: Iterable[Span], *, title: str = "Workflows over time", width: int = 900
) -> Svg:
    """Return a batch over time as an SVG, without scripts or external resources.

    Args:
        batch: The workflows, in any order; `spans_of` and `Spans` give them.
        title: The title above the picture.
        width: How wide the picture is, in pixels, 860 at least.

    Raises:
        ValueError: *width* is too small.
    """
    if width < NARROWEST:
        raise ValueError(f"width must be at least {NARROWEST} pixels, got {width!r}")
    spans = sorted(batch, key=lambda span: span.queued_at)
    lanes: dict[str, list[Span]] = {}
    for span in spans:
        lanes.setdefault(span.account, []).append(span)
    chart = _Chart(spans, width)
    if len(spans) + len(lanes) <= ROWS:
        chart.rows(lanes)
    else:
        chart.lanes(lanes)
    return Svg(chart.picture(title))


_STYLE = (
    ".lat{font:12px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif}"
    ".lat text{fill:#1f2937}.lat .t{font-size:16px;font-weight:600}"
    ".lat .a{font-weight:600}.lat .s{fill:#5b6472}.lat .k{font-size:11px;fill:#5b6472}"
    ".lat .bg{fill:#fff;stroke:#d7dbe0}.lat .g{stroke:#e6e8eb}"
    ".lat .q{stroke:#9aa3af;stroke-width:1.5}.lat .w{fill:#9aa3af;fill-opacity:.55}"
    ".lat .completed{fill:#3b7dd8}.lat .failed{fill:#e0521f}"
    ".lat .cancelled{fill:#8b8f98}.lat .running{fill:#3b7dd8;fill-opacity:.4}"
    ".lat .n{stroke:#111827;stroke-width:1.5;fill:none}.lat .l{fill:#111827}"
    "@media(prefers-color-scheme:dark){"
    ".lat text{fill:#e6e8eb}.lat .s,.lat .k{fill:#a3acb9}"
    ".lat .bg{fill:#14181e;stroke:#2d333b}.lat .g{stroke:#262c34}"
    ".lat .q{stroke:#6b7482}.lat .w{fill:#6b7482}"
    ".lat .completed,.lat .running{fill:#5b9bf0}.lat .failed{fill:#ff7a45}"
    ".lat .cancelled{fill:#7d838d}.lat .n{stroke:#f0f2f5}.lat .l{fill:#f0f2f5}}"
)


@attrs.frozen
class _Bar:
    """A span in pixels, in order whatever the clocks said."""

    span: Span
    queued: float
    start: float
    """The end of waiting: the span began to run, ended, or still waits."""
    end: float
    shade: Shade | None
    """None while it waits."""
    noticed: float | None


class _Highest(NamedTuple):
    """The largest counts in any step of any lane."""

    waiting: int
    unnoticed: int
    ended: int


class _Chart:
    """The parts of a timeline, from the top down."""

    def __init__(self, spans: Sequence[Span], width: int) -> None:
        self._spans = spans
        self._width = width
        times = [time for span in spans for time in _times(span)] or [0.0]
        self._from = min(times)
        self._last = max(times)
        expected = [time for span in spans for time in span.expected or ()]
        self._to = max([self._last, *expected])
        self._parts: list[str] = []
        self._notes: list[str] = []
        self._y: float = HEAD
        self._counts: _Highest | None = None

    @property
    def _plot(self) -> int:
        return self._width - GUTTER - RIGHT

    def _x(self, time: float) -> float:
        share = (time - self._from) / ((self._to - self._from) or 1.0)
        return GUTTER + share * self._plot

    def _bar(self, span: Span) -> _Bar:
        queued = self._x(span.queued_at)
        ended = self._last if span.ended_at is None else span.ended_at
        end = max(queued, self._x(ended))
        began = span.started_at
        start = end if began is None else min(end, max(queued, self._x(began)))
        running: Shade | None = None if began is None else "running"
        noticed = span.noticed_at
        return _Bar(
            span=span,
            queued=queued,
            start=start,
            end=end,
            shade=span.outcome or running,
            noticed=None if noticed is None else max(end, self._x(noticed)),
        )

    # A row for each workflow

    def rows(self, lanes: dict[str, list[Span]]) -> None:
        """Draw a row for each workflow, under the name of its account."""
        for account, spans in lanes.items():
            self._name(account, self._y + 11)
            self._y += ROW + 1
            for span in spans:
                self._row(self._bar(span), self._y + ROW / 2)
                self._y += ROW
            self._y += ROW / 2

    def _row(self, bar: _Bar, middle: float) -> None:
        name = xml(shortened(bar.span.key, NAME))
        parts = [
            f"<title>{xml(self._description(bar.span))}</title>",
            f'<text class="k" x="{MARGIN}" y="{_n(middle + 4)}">{name}</text>',
        ]
        if bar.start > bar.queued:
            parts.append(_path("q", bar.queued, middle, bar.start))
        if bar.shade is not None:
            wide = _n(max(bar.end - bar.start, 2.0))
            parts.append(
                f'<rect class="{bar.shade}" x="{_n(bar.start)}" y="{_n(middle - 4.5)}" '
                f'width="{wide}" height="9" rx="2"/>'
            )
        if bar.noticed is not None:
            parts.append(
                f'<path class="n" d="M{_n(bar.end)} {_n(middle)}H{_n(bar.noticed)}'
                f'm0 -4v8"/>'
            )
        if bar.span.expected is not None:
            low, median, high = map(self._x, bar.span.expected)
            parts.append(
                f'<path class="q" stroke-dasharray="3 3" d="M{_n(bar.end)} {_n(middle)}'
                f'H{_n(high)}M{_n(low)} {_n(middle - 3)}v6M{_n(high)} {_n(middle - 3)}v6"'
                f'/><path class="n" d="M{_n(median)} {_n(middle - 4)}v8"/>'
            )
        self._parts.append(f"<g>{''.join(parts)}</g>")

    def _description(self, span: Span) -> str:
        """Return the times of a span in words."""
        times = {
            "queued": span.queued_at,
            "running": span.started_at,
            span.outcome or "ended": span.finished_at,
            "noticed": span.noticed_at,
        }
        words = [
            f"{word} at {_duration(time - self._from)}"
            for word, time in times.items()
            if time is not None
        ]
        if span.expected is not None:
            low, median, high = (_duration(time - self._from) for time in span.expected)
            words.append(f"expected at {median} ({low} to {high})")
        return f"{shortened(span.key)} on {shortened(span.account)}: {', '.join(words)}"

    # A lane for each account

    def lanes(self, lanes: dict[str, list[Span]]) -> None:
        """Draw a lane for each account: waiting, running, and when ends were noticed."""
        largest = sorted(lanes, key=lambda name: -len(lanes[name]))[:LANES]
        drawn = {
            name: _Steps(map(self._bar, lanes[name]), self._plot) for name in largest
        }
        highest = _Highest(
            *(
                max(max(counts) for counts in lane)
                for lane in zip(
                    *((s.waiting, s.unnoticed, s.ended) for s in drawn.values()),
                    strict=True,
                )
            )
        )
        for name in [name for name in lanes if name in drawn]:
            self._lane(name, lanes[name], drawn[name], highest)
        self._counts = highest
        step = _duration((self._to - self._from) * STEP / self._plot)
        self._notes.append(
            f"Drawn in steps of {step}, in which up to {highest.ended:,} ended; the worst shows."
        )
        rest = [len(spans) for name, spans in lanes.items() if name not in drawn]
        if rest:
            self._notes.append(
                f"{_many(len(rest), 'account')} with {_many(sum(rest), 'workflow')} "
                "left out."
            )

    def _lane(
        self, name: str, spans: Sequence[Span], steps: _Steps, highest: _Highest
    ) -> None:
        top, base = self._y, self._y + 24
        failed = sum(span.outcome == "failed" for span in spans)
        words = [
            _many(len(spans), "workflow"),
            *([f"{failed:,} failed"] * bool(failed)),
        ]
        self._name(name, top + 14)
        self._parts += [
            f'<text class="k" x="{MARGIN}" y="{_n(top + y)}">{text}</text>'
            for y, text in zip((29, 43), words, strict=False)
        ]
        self._area("w", base, [24 * n / (highest.waiting or 1) for n in steps.waiting])
        low = [-10 * n / (highest.unnoticed or 1) for n in steps.unnoticed]
        self._area("l", base + 14, low)
        places: dict[str, list[str]] = {}
        x = GUTTER
        for shade, length in _run_lengths(steps.shades):
            if shade is not None:
                block = f"M{x} {_n(base + 2)}h{STEP * length}v10h-{STEP * length}z"
                places.setdefault(shade, []).append(block)
            x += STEP * length
        for shade, blocks in places.items():
            self._parts.append(f'<path class="{shade}" d="{"".join(blocks)}"/>')
        self._y += LANE

    def _area(self, style: str, base: float, heights: Sequence[float]) -> None:
        """Draw an area on a line, of so much height in each step."""
        if any(heights):
            line = "".join(
                f"V{_n(base - height)}h{STEP * length}"
                for height, length in _run_lengths(heights)
            )
            shape = f"M{GUTTER} {_n(base)}{line}V{_n(base)}z"
            self._parts.append(f'<path class="{style}" d="{shape}"/>')

    # What is the same for both

    def _name(self, name: str, y: float) -> None:
        shown = xml(shortened(name, NAME))
        self._parts.append(f'<text class="a" x="{MARGIN}" y="{_n(y)}">{shown}</text>')

    def picture(self, title: str) -> str:
        """Return the whole picture, with its title, axis and legend."""
        summary = self._summary()
        bottom = self._y + 4
        grid = "".join(self._axis(bottom))
        legend = "".join(self._legend(bottom + 44))
        notes = "".join(
            f'<text class="s" x="{MARGIN}" y="{_n(bottom + 64 + 16 * number)}">'
            f"{xml(note)}</text>"
            for number, note in enumerate(self._notes)
        )
        height = math.ceil(bottom + FOOT + 16 * len(self._notes))
        title = shortened(title, 80)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="lat" role="img" '
            f'viewBox="0 0 {self._width} {height}" width="{self._width}" '
            f'height="{height}"><title>{xml(title)}</title><desc>{xml(summary)}</desc>'
            f'<style>{_STYLE}</style><rect class="bg" x=".5" y=".5" rx="8" '
            f'width="{self._width - 1}" height="{height - 1}"/>'
            f'<text class="t" x="{MARGIN}" y="32">{xml(title)}</text>'
            f'<text class="s" x="{MARGIN}" y="52">{xml(summary)}</text>'
            f"{grid}{''.join(self._parts)}{legend}{notes}</svg>\n"
        )

    def _summary(self) -> str:
        """Return the figures of the batch in a sentence."""
        if not self._spans:
            return "No workflows."
        accounts = len({span.account for span in self._spans})
        words = (
            f"{_many(len(self._spans), 'workflow')} on {_many(accounts, 'account')} "
            f"in {_duration(self._to - self._from)}: {_score(self._spans)}"
        )
        late = [
            span.noticed_at - span.finished_at
            for span in self._spans
            if span.noticed_at is not None and span.finished_at is not None
        ]
        if not late:
            return f"{words}."
        middle = max(0.0, statistics.median(late))
        return f"{words}; noticed after {_duration(middle)} (median)."

    def _axis(self, bottom: float) -> Iterator[str]:
        step = _tick(self._to - self._from)
        for number in range(int((self._to - self._from) / step) + 1):
            time = number * step
            x = _n(self._x(self._from + time))
            yield f'<path class="g" d="M{x} {HEAD - 8}V{_n(bottom)}"/>'
            yield (
                f'<text class="s" x="{x}" y="{_n(bottom + 16)}" text-anchor="middle">'
                f"{_duration(time)}</text>"
            )

    def _legend(self, y: float) -> Iterator[str]:
        """Yield the legend of the colours that are used."""
        bars = [self._bar(span) for span in self._spans]
        shades = {bar.shade for bar in bars if bar.shade is not None}
        x: float = MARGIN
        entries = [
            (f'<path class="{shade}" d="M{{x}} {{y}}v4h18v-9h-18z"/>', shade)
            for shade in get_args(Shade)
            if shade in shades
        ]
        many = self._counts
        if any(bar.start > bar.queued for bar in bars):
            line = ('<path class="q" d="M{x} {y}h18"/>', "queued")
            area = '<path class="w" d="M{x} {y}v4h18v-9h-6v5z"/>'
            entries.insert(
                0, (area, f"queued, up to {many.waiting:,}") if many else line
            )
        if any(bar.noticed is not None for bar in bars):
            line = ('<path class="n" d="M{x} {y}h18m0 -4v8"/>', "noticed")
            area = '<path class="l" d="M{x} {y}v-4h18v9h-6v-5z"/>'
            words = f"not yet noticed, up to {many.unnoticed:,}" if many else ""
            entries.append((area, words) if many else line)
        if any(span.expected is not None for span in self._spans):
            mark = '<path class="q" stroke-dasharray="3 3" d="M{x} {y}h18"/>'
            entries.append((mark, "expected"))
        for mark, word in entries:
            yield mark.format(x=_n(x), y=_n(y - 4))
            yield f'<text x="{_n(x + 25)}" y="{_n(y)}">{word}</text>'
            # An SVG cannot measure its text: a character has about seven pixels.
            x += 25 + 7 * len(word) + 18


class _Steps:
    """A lane in steps of time, for any number of workflows."""

    def __init__(self, bars: Iterable[_Bar], plot: int) -> None:
        self._size = math.ceil(plot / STEP)
        self.ended: list[int] = [0] * self._size
        # Only changes are noted and summed up below, so a long bar costs no more.
        changes = {shade: [0] * (self._size + 1) for shade in get_args(Shade)}
        waits = [0] * (self._size + 1)
        late = [0] * (self._size + 1)
        for bar in bars:
            last = self._step(bar.end)
            first = self._step(bar.start)
            waits[self._step(bar.queued)] += 1
            # A workflow that starts at once has not waited.
            waits[first if bar.shade else self._size] -= 1
            if bar.shade is not None:
                changes[bar.shade][first] += 1
                changes[bar.shade][last + 1] -= 1
                self.ended[last] += bar.shade != "running"
            if bar.noticed is not None:
                late[last] += 1
                late[self._step(bar.noticed) + 1] -= 1
        self.waiting: list[int] = [*itertools.accumulate(waits[:-1])]
        self.unnoticed: list[int] = [*itertools.accumulate(late[:-1])]
        running = {
            shade: [*itertools.accumulate(counts)] for shade, counts in changes.items()
        }
        self.shades: list[Shade | None] = [
            next((shade for shade in _WORST if running[shade][step]), None)
            for step in range(self._size)
        ]

    def _step(self, x: float) -> int:
        return min(int((x - GUTTER) / STEP), self._size - 1)


_WORST: tuple[Shade, ...] = ("failed", "cancelled", "completed", "running")
"""Of what ran in one step, the first of these is shown."""


def _run_lengths(values: Iterable[Any]) -> Iterator[tuple[Any, int]]:
    """Yield each value with how often it follows itself."""
    for value, same in itertools.groupby(values):
        yield value, sum(1 for _ in same)


def _times(span: Span) -> Iterator[float]:
    yield span.queued_at
    for time in (span.started_at, span.finished_at, span.noticed_at):
        if time is not None:
            yield time


def _score(spans: Iterable[Span]) -> str:
    """Return how many spans ended in which way."""
    counted = Counter(span.outcome or "unfinished" for span in spans)
    return ", ".join(f"{count:,} {word}" for word, count in counted.most_common())


def _many(count: int, word: str) -> str:
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


MINUTE = 60

_UNITS = ((86400, "d"), (3600, "h"), (MINUTE, "min"), (1, "s"))

_STEPS = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    *(1, 2, 5, 10, 15, 30),
    *(60 * minutes for minutes in (1, 2, 5, 10, 15, 30)),
    *(3600 * hours for hours in (1, 2, 3, 6, 12)),
)


def _tick(seconds: float) -> float:
    """Return the step of an axis that is *seconds* long, a round number of a unit."""
    for step in _STEPS:
        if step * TICKS >= seconds:
            return step
    days = seconds / TICKS / 86400
    round_number = 10.0 ** math.floor(math.log10(days))
    return (
        86400.0
        * round_number
        * next(n for n in (1, 2, 5, 10) if n * round_number >= days)
    )


def _duration(seconds: float) -> str:
    """Return *seconds* as short, rounded text: 5 min 43 s."""
    if seconds < MINUTE:
        return f"{float(f'{seconds:.2g}'):g} s"
    rest, words = round(seconds), []
    for size, unit in _UNITS:
        count, rest = divmod(rest, size)
        words += [f"{count:,} {unit}"] * bool(count)
    return " ".join(words[:2])


def _path(style: str, x: float, y: float, to: float) -> str:
    return f'<path class="{style}" d="M{_n(x)} {_n(y)}H{_n(to)}"/>'


def _n(number: float) -> str:
    """Return *number* for an SVG, with as few digits as can be seen."""
    return f"{number:.1f}".removesuffix(".0")
