"""The timeline of a batch: true to the times, bounded, harmless, the same every time."""

from __future__ import annotations

import asyncio
import math
import pathlib
import random
import re
import runpy
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import hostile_text
import pytest
from event_loops import run_virtual
from hypothesis import given
from hypothesis import strategies as draws

from linkedapi_async import Polling, st
from linkedapi_async._polling.durations import ENDS_NEEDED
from linkedapi_async.draw import Span, Spans, Svg, spans_of, timeline
from linkedapi_async.draw._timeline import RIGHT, ROWS, _duration, _Steps, _tick
from linkedapi_async.sandbox import Sandbox


HERE = pathlib.Path(__file__).parents[1]
DATA = HERE / "data"
SVG = "{http://www.w3.org/2000/svg}"


def few() -> list[Span]:
    """Return five workflows on two accounts, with all that may become of one."""
    return [
        Span(
            key="acme",
            account="sales",
            queued_at=100,
            started_at=100,
            finished_at=130,
            noticed_at=133,
            outcome="completed",
        ),
        Span(
            key="initech",
            account="sales",
            queued_at=101,
            started_at=130,
            finished_at=171,
            noticed_at=172,
            outcome="failed",
        ),
        Span(
            key="<b>\x1b&\ufffe",
            account="sales",
            queued_at=101,
            finished_at=120,
            outcome="cancelled",
        ),
        Span(key="globex", account="hiring", queued_at=110, started_at=110),
        Span(key="umbrella", account="hiring", queued_at=110),
    ]


def many(count: int, accounts: int) -> list[Span]:
    """Return *count* workflows on some accounts, made up, the same every time."""
    dice = random.Random(1)
    clocks = [0.0] * accounts
    made = []
    for number in range(count):
        account = int(accounts * dice.random() ** 2)
        queued = number * 20 / accounts
        start = max(clocks[account], queued)
        end = clocks[account] = start + dice.uniform(5, 60)
        worst: Any = "failed" if number % 50 == 0 else "cancelled"
        made.append(
            Span(
                key=f"w{number}",
                account=f"account {account}",
                queued_at=queued,
                started_at=start,
                finished_at=end,
                noticed_at=end + dice.uniform(0, 9),
                outcome="completed" if number % 25 else worst,
            )
        )
    return made


GOLDEN: dict[str, Callable[[], str]] = {
    "draw_timeline_rows.svg": lambda: timeline(few(), title="Five <workflows>"),
    "draw_timeline_lanes.svg": lambda: timeline(many(300, 20), width=1_000),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name: str) -> None:
    """The timelines of a few and of many workflows are as they were approved."""
    assert (DATA / name).read_text("utf-8") == GOLDEN[name]()


def parsed(picture: str) -> ET.Element:
    """Return the elements of a picture, once they are known to be harmless."""
    root = ET.fromstring(picture)
    allowed = {"svg", "title", "desc", "style", "rect", "text", "path", "g"}
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= allowed
    assert not any(name.startswith("on") for e in root.iter() for name in e.attrib)
    assert set() == hostile_text.acting(picture)
    return root


def texts(root: ET.Element) -> list[str]:
    """Return what is written in a picture."""
    return ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]


def test_accessible() -> None:
    """A picture says what it is to those who cannot see it."""
    root = parsed(timeline(few(), title="Mine & yours"))

    assert "img" == root.get("role")
    assert "Mine & yours" == root[0].text
    assert (
        "5 workflows on 2 accounts in 1 min 12 s: 2 unfinished, 1 completed, 1 failed, "
        "1 cancelled; noticed after 2 s (median)."
    ) == root[1].text


def test_rows() -> None:
    """Each of a few workflows has a row, from its start to its end."""
    root = parsed(timeline(few(), width=900))
    rows = root.findall(f"{SVG}g")
    scale = (900 - 168 - 36) / 72
    found = [
        (bar.get("class"), *(f"{float(bar.get(n, '')):.1f}" for n in ("x", "width")))
        for row in rows
        for bar in row.iter(f"{SVG}rect")
    ]

    expected = [
        ("completed", 168, 30 * scale),
        ("failed", 168 + 30 * scale, 41 * scale),
        ("cancelled", 168 + 20 * scale, 2),
        ("running", 168 + 10 * scale, 62 * scale),
    ]
    assert [(s, f"{x:.1f}", f"{w:.1f}") for s, x, w in expected] == found
    assert len(rows) == 5
    assert (
        "initech on sales: queued at 1 s, running at 30 s, failed at 1 min 11 s, "
        "noticed at 1 min 12 s"
    ) == rows[1][0].text
    shown = texts(root)
    assert {"sales", "hiring", "acme", "<b>\\x1b&\\ufffe"} <= {*shown}
    legend = ["queued", "completed", "failed", "cancelled", "running", "noticed"]
    assert legend == [text for text in shown if text in legend]


def test_times_out_of_order() -> None:
    """What clocks confuse is drawn in order: queued, running, ended, noticed."""
    times: dict[str, Any] = {"queued_at": 10, "started_at": 5, "finished_at": 30}
    times["noticed_at"] = 20
    span = Span(key="x", account="a", outcome="completed", **times)
    root = parsed(timeline([span]))
    (bar,) = root.findall(f"{SVG}g/{SVG}rect")
    (line,) = root.findall(f"{SVG}g/{SVG}path")
    scale = (900 - 168 - 36) / 25

    assert f"{168 + 5 * scale:.1f}" == bar.get("x")
    assert "M864 97.5H864m0 -4v8" == line.get("d")


def test_only_what_is_there_is_explained() -> None:
    """The legend has no entry for what does not occur."""
    (span, *_) = few()
    alone = attrs.evolve(span, noticed_at=None)

    assert ["completed"] == texts(parsed(timeline([alone])))[-1:]
    assert "noticed" not in texts(parsed(timeline([alone])))
    assert "queued" not in texts(parsed(timeline([alone])))


def test_lanes() -> None:
    """Of many workflows each account has a lane, and what is left out is told."""
    root = parsed(timeline(many(3_000, 20)))
    shown = texts(root)
    left = 3_000 - sum(
        int(text.split()[0].replace(",", ""))
        for text in shown
        if "workflow" in text[-9:]
    )
    rest = re.fullmatch(r"4 accounts with (\d+) workflows left out\.", shown[-1])

    assert rest
    assert left == int(rest[1])
    assert 16 == sum(text.startswith("account ") for text in shown)
    assert shown[-2].startswith("Drawn in steps of ")


def test_size() -> None:
    """A picture of very many is no larger than one of many."""
    picture = timeline(many(30_000, 500))

    assert len(picture) < 150_000
    assert "30,000 workflows on " in picture


def test_waiting_without_an_end() -> None:
    """In a lane, what only waits is drawn, though nothing ran and no end was noticed."""
    spans = [Span(key=str(n), account="a", queued_at=n) for n in range(100)]
    root = parsed(timeline(spans))
    shown = texts(root)

    assert "queued, up to 100" in shown
    assert not any("noticed" in text for text in shown)
    assert "w" in {path.get("class") for path in root.iter(f"{SVG}path")}


def test_lanes_without_waiting() -> None:
    """In a lane where nothing waited, there is none to explain."""
    spans = [
        Span(
            key=str(n),
            account="a",
            queued_at=n,
            started_at=n,
            finished_at=n + 1,
            outcome="failed",
        )
        for n in range(100)
    ]
    root = parsed(timeline(spans))

    assert not any("queued" in text for text in texts(root))
    assert "100 failed" in texts(root)
    classes = {path.get("class") for path in root.iter(f"{SVG}path")}
    assert {"g", "failed"} == classes


def test_nothing() -> None:
    """A picture of nothing says so."""
    assert "No workflows." in texts(parsed(timeline([])))


def test_notebooks() -> None:
    """A notebook shows a timeline as a picture."""
    picture = timeline(few())

    assert isinstance(picture, Svg)
    assert str(picture) == picture._repr_svg_()


def test_width() -> None:
    """A picture without room for its times is refused."""
    assert "860" == parsed(timeline(few(), width=860)).get("width")
    with pytest.raises(ValueError, match="width must be at least 860 pixels"):
        timeline(few(), width=859)


TIMES = draws.floats(-1e12, 1e12) | draws.integers(-5, 5)
KEYS = draws.text(max_size=30) | draws.sampled_from(
    ["</svg>", "]]>", "\ud800", "\uffff"]
)


@draws.composite
def spans(draw: draws.DrawFn) -> Span:
    """Draw any span, also one whose times are out of order."""
    finished, noticed = draw(TIMES | draws.none()), draw(TIMES | draws.none())
    ended = finished is not None or noticed is not None
    outcomes: Any = draws.sampled_from(["completed", "failed", "cancelled"])
    return Span(
        key=draw(KEYS),
        account=draw(KEYS),
        queued_at=draw(TIMES),
        started_at=draw(TIMES | draws.none()),
        finished_at=finished,
        noticed_at=noticed,
        outcome=draw(outcomes) if ended else None,
    )


def numbers(root: ET.Element) -> Iterator[float]:
    """Yield all places on the axis of time that a picture uses."""
    for element in root.iter():
        if element.tag == f"{SVG}rect" and element.get("class") != "bg":
            yield float(element.get("x", ""))
            yield float(element.get("x", "")) + float(element.get("width", ""))
        for found in re.findall(r"[MH]([-\d.]+)", element.get("d", "")):
            yield float(found)


@given(draws.lists(spans(), max_size=5), draws.integers(1, 30), KEYS)
def test_any_batch(batch: list[Span], times: int, title: str) -> None:
    """Whatever the times and names are, the picture is sound and keeps its bounds."""
    picture = timeline(batch * times, title=title)
    root = parsed(picture)

    assert len(picture) < 150_000
    assert all(0 <= number <= 900 for number in numbers(root))
    assert f"{len(batch) * times} workflow" in picture or not batch


@attrs.frozen
class Bar:
    """A span in pixels, as far as steps of time need it."""

    queued: float
    start: float
    end: float
    noticed: float | None
    shade: Any


@draws.composite
def bars(draw: draws.DrawFn) -> Bar:
    """Draw a span in pixels, in order."""
    places = draws.floats(168, 268)
    queued, start, end, noticed = sorted(draw(places) for _ in range(4))
    shades = ["completed", "failed", "cancelled", "running", None]
    shade = draw(draws.sampled_from(shades))
    known = shade not in {"running", None} and draw(draws.booleans())
    return Bar(queued, start, end, noticed if known else None, shade)


@given(draws.lists(bars(), max_size=6))
def test_steps(drawn: list[Bar]) -> None:
    """In each step as many wait, run and are not yet noticed as really do."""
    bars_of_lane: Any = drawn
    steps = _Steps(bars_of_lane, 100)

    def step(x: float) -> int:
        return min(int((x - 168) / 2), 49)

    for now in range(50):
        run = {
            b.shade for b in drawn if b.shade and step(b.start) <= now <= step(b.end)
        }
        order = ["failed", "cancelled", "completed", "running"]
        assert (
            next((shade for shade in order if shade in run), None) == steps.shades[now]
        )
        assert steps.waiting[now] == sum(
            step(b.queued) <= now and (b.shade is None or now < step(b.start))
            for b in drawn
        )
        assert steps.unnoticed[now] == sum(
            b.noticed is not None and step(b.end) <= now <= step(b.noticed)
            for b in drawn
        )
        assert steps.ended[now] == sum(
            b.shade not in {None, "running"} and step(b.end) == now for b in drawn
        )


# The axis


@given(draws.floats(1e-6, 2e12))
def test_axis(seconds: float) -> None:
    """An axis has a few round parts, however long it is."""
    step = _tick(seconds)

    assert step == 0.001 or 2 <= seconds / step <= 9


@pytest.mark.parametrize(
    ("days", "step"), [(9, 1), (10, 2), (30, 5), (90, 10), (100, 20), (10_000, 2_000)]
)
def test_axis_of_days(days: int, step: int) -> None:
    """The parts of a long axis are one, two or five days, or tens of these."""
    assert step * 86_400 == _tick(days * 86_400)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.0042, "0.0042 s"),
        (1.26, "1.3 s"),
        (59, "59 s"),
        (60, "1 min"),
        (342.4, "5 min 42 s"),
        (3_600, "1 h"),
        (12_061, "3 h 21 min"),
        (86_400 * 1_000, "1,000 d"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    """A duration is told in two units at most."""
    assert words == _duration(seconds)


# Where spans come from


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"queued_at": math.nan}, "a time must be in seconds, got nan"),
        ({"started_at": "now"}, "a time must be in seconds, got 'now'"),
        ({"finished_at": 1e13, "outcome": "failed"}, "got 10000000000000"),
        ({"finished_at": 1, "outcome": "lost"}, "outcome must be one of .* got 'lost'"),
        ({"finished_at": 1}, "'x': pass an outcome and a time of it, or neither"),
        ({"outcome": "failed"}, "'x': pass an outcome and a time of it, or neither"),
    ],
)
def test_spans_are_checked(facts: dict[str, Any], words: str) -> None:
    """A span with impossible facts is refused, with its key."""
    with pytest.raises(ValueError, match=words):
        Span(**{"key": "x", "account": "a", "queued_at": 0, **facts})


def test_collected() -> None:
    """Spans are collected from what is told while a batch runs."""
    collected = Spans()
    collected.queued("a", account="x", at=1)
    collected.queued("b", account="y", at=2)
    collected.running("a", at=3)
    collected.running("a", at=4)
    collected.finished("a", outcome="failed", at=5, noticed=6)
    collected.finished("b", outcome="completed", noticed=7)

    assert [
        Span(
            key="a",
            account="x",
            queued_at=1,
            started_at=3,
            finished_at=5,
            noticed_at=6,
            outcome="failed",
        ),
        Span(
            key="b",
            account="y",
            queued_at=2,
            noticed_at=7,
            outcome="completed",
        ),
    ] == [*collected]
    assert 2 == len(collected)


def test_collected_without_a_beginning() -> None:
    """What was never queued cannot run."""
    with pytest.raises(LookupError, match=r"'a' is unknown; call queued\(\) first"):
        Spans().running("a", at=1)


async def sandboxed(speed: float) -> tuple[Sandbox, list[Span]]:
    """Return a sandbox that ran a workflow and began another, and its spans."""
    async with (
        Sandbox(duration=30, speed=speed) as sandbox,
        sandbox.session(polling=Polling(jitter=0).faster(speed)) as session,
    ):
        await session.run(st.retrieve_ssi())
        await session.start(st.retrieve_ssi())
        return sandbox, spans_of(sandbox.workflows, speed=speed)


@pytest.mark.parametrize("speed", [1, 10])
def test_spans_of_a_sandbox(speed: float) -> None:
    """A sandbox's workflows become spans, in the times of the API."""
    sandbox, (first, second) = run_virtual(sandboxed(speed))
    seen, other = sandbox.workflows

    assert other.started
    assert other.started * speed == second.started_at
    assert (seen.id, seen.account) == (first.key, first.account)
    assert "completed" == first.outcome
    assert first.started_at is not None
    assert 30 == pytest.approx((first.finished_at or 0) - first.started_at)
    assert seen.first_polled_after_end is not None
    assert seen.first_polled_after_end * speed == first.noticed_at
    assert (None, None, None) == (
        second.finished_at,
        second.noticed_at,
        second.outcome,
    )
    renamed = spans_of([seen], key=lambda s: s.id[:2], account=lambda s: "mine")
    assert ("wf", "mine") == (renamed[0].key, renamed[0].account)


async def expecting() -> list[Span]:
    """Return spans of a session that has learnt, with two unfinished ones."""
    spans = Spans()
    async with Sandbox(duration=30) as sandbox, sandbox.session() as session:
        unwatch = spans.watch(session)
        for _ in range(ENDS_NEEDED):
            await session.run(st.retrieve_ssi())
        for _ in range(2):
            await session.start(st.retrieve_ssi())
        unwatch()
        await session.start(st.retrieve_ssi())
        await asyncio.sleep(5)
        return list(spans)


def test_expected_ends() -> None:
    """When what is unfinished will have ended is drawn, as the session expects it."""
    spans = run_virtual(expecting())
    running, queued = spans[ENDS_NEEDED:]
    picture = timeline(spans)
    (low, median, high), later = running.expected or (0, 0, 0), queued.expected

    assert all(span.expected is None for span in spans[:ENDS_NEEDED])
    assert running.queued_at < low < median < high
    assert later is not None
    assert median + 10 < later[1] < median + 50
    assert 2 == len(re.findall(r"expected at .*? \(.*? to .*?\)</title>", picture))
    assert ">expected</text>" in picture

    ends = re.findall(r'stroke-dasharray="3 3" d="M[\d.]+ [\d.]+H([\d.]+)M', picture)
    assert [900 - RIGHT] == [float(max(ends, key=float))]


def test_no_ends_are_expected_of_many() -> None:
    """Where there are lanes, ends that are expected are not looked up."""
    spans = Spans()
    for number in range(ROWS + 1):
        spans.queued(str(number), account="a", at=number)

    assert all(span.expected is None for span in spans)


def test_pictures_of_the_readme() -> None:
    """The pictures of the README are what the program that makes them makes."""
    pictures = HERE.parent / "docs" / "pictures"
    made = runpy.run_path(str(pictures / "make.py"))["made"]()

    assert {"timeline.svg", "completion.svg"} == {*made}
    for name, picture in made.items():
        assert (pictures / name).read_text("utf-8") == picture


if __name__ == "__main__":
    for file, picture in GOLDEN.items():
        (DATA / file).write_bytes(picture().encode())
