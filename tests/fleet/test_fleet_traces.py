"""A trace goes from the program that submits an item to the worker that runs it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fleet_harness import make_worker, working
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, TraceFlags, TraceState

from linkedapi_async import Session, st
from linkedapi_async.fleet import Done, Queue
from linkedapi_async.fleet._schema import items
from linkedapi_async.fleet._trace import follow_trace
from linkedapi_async.otel import instrument
from linkedapi_async.sandbox import Sandbox


pytestmark = pytest.mark.anyio

READ = st.open_person_page("https://www.linkedin.com/in/ada", basic_info=True)


async def stored(queue: Queue) -> dict[str, dict[str, str] | None]:
    """Return what is stored of the traces of items, by their keys."""
    found = sa.select(items.c.key, items.c.trace).order_by(items.c.key)
    rows = await queue._do(lambda connection: connection.execute(found).all())
    return {row.key: row.trace for row in rows}


async def test_a_start_belongs_to_the_trace_of_its_submission(queue_url: str) -> None:
    """Start and result are children of the span that submitted; others have traces of their own."""
    exporter, tracers = InMemorySpanExporter(), TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    delivered: dict[str, SpanContext] = {}
    finished = asyncio.Event()

    def on_result(done: Done) -> None:
        """Note in which trace a result comes."""
        delivered[done.key] = trace.get_current_span().get_span_context()
        if len(delivered) == 3:
            finished.set()

    async with Sandbox(speed=1000) as sandbox, Queue(queue_url) as queue:

        def session(**settings: Any) -> Session:
            """Return a session that is instrumented."""
            made = sandbox.session(**settings)
            instrument(made, tracers)
            return made

        # The program that submits is another one, with a tracer of its own.
        with TracerProvider().get_tracer("app").start_as_current_span("plan") as span:
            await queue.submit("one", READ, key="a")
            await queue.submit_all([("two", READ, "b")])
        await queue.submit("one", READ, key="c")
        worker = make_worker(
            queue_url, sandbox, session=session, ttl=60, on_result=on_result
        )
        async with working(worker), asyncio.timeout(120):
            await finished.wait()

    plan = span.get_span_context()
    found = {
        (str((each.attributes or {})["linkedapi.key"]), each.name.split()[0]): (
            each.context.trace_id == plan.trace_id,
            each.parent and each.parent.span_id,
        )
        for each in exporter.get_finished_spans()
    }

    assert {
        ("a", "start"): (True, plan.span_id),
        ("a", "result"): (True, plan.span_id),
        ("b", "start"): (True, plan.span_id),
        ("b", "result"): (True, plan.span_id),
        ("c", "start"): (False, None),
        ("c", "result"): (False, None),
    } == found
    assert {"a": plan.span_id, "b": plan.span_id, "c": 0} == {
        key: each.span_id for key, each in delivered.items()
    }


async def test_only_the_trace_context_is_stored(queue_url: str) -> None:
    """Baggage may have anything in it, so it stays; without a span nothing is stored."""
    state = TraceState([("vendor", "sampled")])
    remote = SpanContext(0xA, 0xB, is_remote=True, trace_flags=TraceFlags(1))
    vendor = SpanContext(
        0xA, 0xC, is_remote=True, trace_flags=TraceFlags(0), trace_state=state
    )
    async with Queue(queue_url) as queue:
        await queue.submit("lane", READ, key="a")
        bag = context.attach(baggage.set_baggage("token", "secret"))
        await queue.submit("lane", READ, key="b")
        with trace.use_span(trace.NonRecordingSpan(remote)):
            await queue.submit("lane", READ, key="c")
            await queue.submit("lane", READ, key="a")  # it keeps what it had
        with trace.use_span(trace.NonRecordingSpan(vendor)):
            await queue.submit("lane", READ, key="d")
        context.detach(bag)
        found = await stored(queue)

    assert {
        "a": None,
        "b": None,
        "c": {"traceparent": f"00-{0xA:032x}-{0xB:016x}-01"},
        "d": {
            "traceparent": f"00-{0xA:032x}-{0xC:016x}-00",
            "tracestate": "vendor=sampled",
        },
    } == found


async def test_nothing_is_imported_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing has imported OpenTelemetry, there is no trace, and it costs nothing."""
    monkeypatch.delitem(sys.modules, "opentelemetry.trace")
    async with Queue(f"sqlite:///{tmp_path / 'work.sqlite3'}") as queue:
        await queue.submit("lane", READ, key="a")
        found = await stored(queue)
    follow_trace({"traceparent": f"00-{0xA:032x}-{0xB:016x}-01"})

    assert {"a": None} == found
    assert "opentelemetry.trace" not in sys.modules
