"""Traces and metrics, as the in-memory exporters of OpenTelemetry's SDK get them."""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import sys
import types
from collections.abc import AsyncIterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from scripted_server import (
    ACCOUNT,
    TOKEN,
    Scripted,
    dropped,
    held,
    ok,
    raw,
    refused,
    taken,
)

from linkedapi_async import (
    ActionError,
    LinkedApiError,
    Polling,
    Session,
    StartUnknownError,
    WorkflowFailedError,
    __version__,
    st,
)
from linkedapi_async.events import WorkflowStarting
from linkedapi_async.otel import _METERS, _Tracing, instrument, instrument_worker
from linkedapi_async.sandbox import Sandbox


pytestmark = pytest.mark.anyio

CHECK = st.check_connection_status("https://www.linkedin.com/in/ada")
INVITE = st.send_connection_request("https://www.linkedin.com/in/ada")


class Telemetry:
    """Providers of an SDK whose exporters keep all in memory."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meters = MeterProvider([self._reader])
        self.tracer = self.tracers.get_tracer("test")

    def instrument(self, session: Session) -> Any:
        """Instrument *session* with these providers."""
        return instrument(session, self.tracers, self.meters)

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        """The spans that have ended, by their names."""
        return {span.name: span for span in self._spans.get_finished_spans()}

    def metrics(self) -> dict[str, dict[tuple[Any, ...], Any]]:
        """Return the metrics now: the points of each, by their attributes' values."""
        data = self._reader.get_metrics_data()
        if data is None:
            return {}
        return {
            metric.name: {
                tuple(sorted((point.attributes or {}).values(), key=str)): point
                for point in metric.data.data_points
            }
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def values(self, name: str) -> dict[tuple[Any, ...], Any]:
        """Return the values of a counter, by the values of the attributes."""
        points = self.metrics().get(name, {})
        return {key: point.value for key, point in points.items()}

    def text(self) -> str:
        """Return everything that was exported as text."""
        spans = "".join(span.to_json() for span in self._spans.get_finished_spans())
        data = self._reader.get_metrics_data()
        return spans + ("" if data is None else data.to_json())


@pytest.fixture
def telemetry() -> Telemetry:
    """Providers of an SDK whose exporters keep all in memory."""
    return Telemetry()


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    """A scripted server that takes one workflow, which has failed."""
    async with Scripted() as scripted:
        scripted.script("POST", taken())
        failure = {"reason": "languageNotSupported", "message": "no"}
        scripted.script("GET", ok({"workflowStatus": "failed", "failure": failure}))
        yield scripted


async def test_a_start_and_a_result_are_linked_spans(telemetry: Telemetry) -> None:
    """Each is a child of what was current for its caller; the result links the start."""
    async with Sandbox(speed=1000) as sandbox, sandbox.session() as session:
        telemetry.instrument(session)
        with telemetry.tracer.start_as_current_span("asker"):
            handle = await session.start(CHECK)
        with telemetry.tracer.start_as_current_span("waiter"):
            await handle
            await handle
    spans = telemetry.spans
    asker, waiter = spans["asker"].context, spans["waiter"].context
    start = spans["start st.checkConnectionStatus"]
    result = spans["result st.checkConnectionStatus"]

    assert 4 == len(telemetry._spans.get_finished_spans())
    assert start.parent is not None
    assert result.parent is not None
    assert start.context is not None
    assert asker == start.parent
    assert waiter == result.parent
    assert [start.context] == [link.context for link in result.links]
    assert (SpanKind.CLIENT, SpanKind.INTERNAL) == (start.kind, result.kind)
    assert {StatusCode.UNSET} == {start.status.status_code, result.status.status_code}
    assert (start.start_time or 0) <= (start.end_time or 0) <= (result.end_time or 0)
    assert (result.start_time or 0) < (result.end_time or 0)
    scope = start.instrumentation_scope
    assert scope is not None
    assert ("linkedapi_async", __version__) == (scope.name, scope.version)


async def test_attributes_of_spans(telemetry: Telemetry) -> None:
    """Spans say what was asked, of which account, where; and no more than that."""
    async with Sandbox(speed=1000) as sandbox, sandbox.session() as session:
        telemetry.instrument(session)
        account = session.account("identification-token-2", "ada")
        async with account.as_completed([("key", CHECK)], limit=1) as done:
            handles = [handle async for handle in done]
        port = int(session.base_url.rpartition(":")[2])
    start, result = telemetry.spans.values()
    attributes = dict(start.attributes or {})
    waited = attributes.pop("linkedapi.start.waited")
    common = {
        "linkedapi.generation": "linked_api",
        "linkedapi.account": "ada",
        "linkedapi.key": "key",
        "linkedapi.actions": ("st.checkConnectionStatus",),
        "linkedapi.workflow.id": handles[0].workflow_id,
        "server.address": "127.0.0.1",
        "server.port": port,
    }
    polls = dict(result.attributes or {}).pop("linkedapi.workflow.polls")

    assert isinstance(waited, float)
    assert common == attributes
    assert polls == session.stats.polls
    assert {
        **common,
        "linkedapi.workflow.status": "completed",
        "linkedapi.workflow.polls": polls,
    } == result.attributes


def test_no_port_for_a_server_that_has_the_usual_one(telemetry: Telemetry) -> None:
    """What the URL does not say is not made up."""
    session = Session(linked_api_token=TOKEN, base_url="https://api.example.com")
    tracing = _Tracing(telemetry.tracer, session)

    assert "api.example.com" == tracing._place["server.address"]
    assert "server.port" not in tracing._place


async def test_the_start_is_current_while_it_is_sent(
    telemetry: Telemetry, server: Scripted
) -> None:
    """What sends the request sees the start's span; polls see none, nor do callers."""
    seen = []
    async with server.session() as session:
        telemetry.instrument(session)
        session.on(
            WorkflowStarting,
            lambda _: seen.append(trace.get_current_span().get_span_context()),
        )
        await session.start(CHECK)
        after = trace.get_current_span().get_span_context()

    assert [telemetry.spans["start st.checkConnectionStatus"].context] == seen
    assert not after.is_valid


async def test_attached_results_link_to_nothing(
    telemetry: Telemetry, server: Scripted
) -> None:
    """Who attaches an id knows no start, and perhaps not even what it is of."""
    async with server.session() as session:
        telemetry.instrument(session)
        with pytest.raises(WorkflowFailedError):
            await session.attach("wf-7")
    span = telemetry.spans["result"]

    assert () == span.links
    assert () == (span.attributes or {})["linkedapi.actions"]


@pytest.mark.parametrize(
    ("answer", "word", "error"),
    [
        pytest.param(
            ok(
                {"workflowStatus": "failed", "failure": {"reason": "x", "message": "y"}}
            ),
            "x",
            WorkflowFailedError,
            id="workflow",
        ),
        pytest.param(
            ok(
                {
                    "workflowStatus": "completed",
                    "completion": {
                        "actionType": "st.checkConnectionStatus",
                        "success": False,
                        "error": {"type": "personNotFound", "message": "y"},
                    },
                }
            ),
            "personNotFound",
            ActionError,
            id="action",
        ),
    ],
)
async def test_a_result_that_is_an_error(
    telemetry: Telemetry,
    server: Scripted,
    answer: Any,
    word: str,
    error: type[LinkedApiError],
) -> None:
    """What awaiting the result raises is recorded in its span."""
    server.script("GET", answer)
    async with server.session() as session:
        telemetry.instrument(session)
        with pytest.raises(error) as caught:
            await session.run(CHECK)
    span = telemetry.spans["result st.checkConnectionStatus"]
    (event,) = span.events

    assert (StatusCode.ERROR, str(caught.value)) == (
        span.status.status_code,
        span.status.description,
    )
    assert word == (span.attributes or {})["error.type"]
    assert {
        "exception.type": error.__name__,
        "exception.message": str(caught.value),
    } == event.attributes


async def test_starts_that_fail(telemetry: Telemetry, server: Scripted) -> None:
    """A refused start and an unknown one end their spans as errors, and are counted."""
    server.script("POST", refused("invalidWorkflow"), dropped())
    async with server.session() as session:
        telemetry.instrument(session)
        with pytest.raises(LinkedApiError):
            await session.start(CHECK)
        with pytest.raises(StartUnknownError):
            await session.start(INVITE)
    spans = telemetry.spans

    assert ["invalidWorkflow", "StartUnknownError"] == [
        (span.attributes or {})["error.type"] for span in spans.values()
    ]
    assert {StatusCode.ERROR} == {span.status.status_code for span in spans.values()}
    assert {("invalidWorkflow",): 1} == telemetry.values("linkedapi.starts.failed")
    assert {(): 1} == telemetry.values("linkedapi.starts.unknown")
    assert {} == telemetry.values("linkedapi.workflows.started")


async def test_errors_that_are_not_ours_keep_their_words(
    telemetry: Telemetry, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a foreign error only the class is shown, because its text may be secret."""
    async with server.session() as session:
        telemetry.instrument(session)

        async def crash(*_: object, **__: object) -> None:
            """Fail as nothing should."""
            raise OSError(TOKEN)

        caller = types.SimpleNamespace(call=crash)
        monkeypatch.setattr(session._runtime, "caller", caller)
        with pytest.raises(StartUnknownError):
            await session.start(CHECK)
    (span,) = telemetry.spans.values()

    assert "OSError" in str(span.status.description)
    assert TOKEN not in telemetry.text()


async def test_metrics_of_a_batch(telemetry: Telemetry) -> None:
    """What was started, how it ended, what it cost and how late it was noticed."""
    async with Sandbox(speed=1000) as sandbox, sandbox.session() as session:
        telemetry.instrument(session)
        assert {} == telemetry.values("linkedapi.workflows.started")
        sandbox.fail_next("workflowTimeout")
        handles = [await session.start(CHECK) for _ in range(5)]
        await asyncio.gather(*(h.result() for h in handles), return_exceptions=True)
        stats = session.stats
        metrics = telemetry.metrics()

    started = metrics["linkedapi.workflows.started"]
    finished = metrics["linkedapi.workflows.finished"]
    polls = metrics["linkedapi.workflow.polls"]
    late = metrics["linkedapi.workflow.detection_delay"]
    all_polls = metrics["linkedapi.polls"]
    assert {(): 5} == {key: point.value for key, point in started.items()}
    assert stats.completed == finished["completed",].value
    assert stats.failed == sum(p.value for p in finished.values()) - stats.completed
    assert stats.polls == sum(point.sum for point in polls.values())
    assert stats.polls == sum(point.value for point in all_polls.values())
    assert 5 == all_polls["finished",].value
    assert 5 == sum(point.count for point in polls.values())
    assert 5 == sum(point.count for point in late.values())
    assert all(point.min >= 0 for point in late.values())


async def test_retries_are_counted(telemetry: Telemetry, server: Scripted) -> None:
    """A request that is sent again is counted by what it is and why."""
    server.script("POST", raw("no", status=429), taken())
    async with server.session() as session:
        telemetry.instrument(session)
        await session.start(CHECK)

    assert {("RateLimitedError", "start_read"): 1} == telemetry.values(
        "linkedapi.requests.retried"
    )


async def test_polls_that_fail_are_counted(
    telemetry: Telemetry, server: Scripted
) -> None:
    """A poll that failed is counted as such, and is no span."""
    broken = raw("no", status=500)
    server.script("GET", broken, broken, ok({"workflowStatus": "cancelled"}))
    async with server.session() as session:
        telemetry.instrument(session)
        with pytest.raises(LinkedApiError):
            await session.run(CHECK)

    assert {("ProtocolError", "missed"): 2, ("finished",): 1} == telemetry.values(
        "linkedapi.polls"
    )
    assert {"start st.checkConnectionStatus", "result st.checkConnectionStatus"} == (
        set(telemetry.spans)
    )


IN_FLIGHT = "linkedapi.workflows.in_flight"


async def test_in_flight_by_lane_state(telemetry: Telemetry, server: Scripted) -> None:
    """All sessions are counted together, as long as they are open and instrumented."""
    server.script("GET", ok({"workflowStatus": "running"}))
    server.script("POST", *[taken(f"wf-{number}") for number in range(5)])
    slow = Polling.fixed(1000)
    async with server.session(polling=slow) as one, server.session(polling=slow) as two:
        ends = [telemetry.instrument(session) for session in (one, two)]
        for _ in range(3):
            await one.start(CHECK)
        await two.start(CHECK)
        two.account("identification-token-2").attach("wf-9")
        both = telemetry.values(IN_FLIGHT)
        ends[0]()
        ends[0]()
        rest = telemetry.values(IN_FLIGHT)
    nothing = telemetry.values(IN_FLIGHT)

    assert {("head",): 2, ("tail",): 2, ("unordered",): 1, ("paused",): 0} == both
    assert {("head",): 1, ("tail",): 0, ("unordered",): 1, ("paused",): 0} == rest
    assert not any(nothing.values())


async def test_sessions_are_let_go(telemetry: Telemetry) -> None:
    """A session without a reference is not kept alive to be measured."""
    telemetry.instrument(Session(linked_api_token=TOKEN, identification_token=ACCOUNT))
    gc.collect()

    assert {} == _METERS[id(telemetry.meters)].sessions
    assert {} == telemetry.values(IN_FLIGHT)


class Probed:
    """A worker, as metrics see it; reading it releases the *others*."""

    def __init__(self, beat: float | None, others: list[Probed]) -> None:
        self._beat = beat
        self._others = others

    def health(self) -> dict[str, Any]:
        """Return how it is."""
        self._others.clear()
        return {"ok": True, "lanes": 3, "starts": 2, "beat": self._beat}


async def test_workers_are_measured(telemetry: Telemetry) -> None:
    """Its lanes, starts and heartbeat, as long as it lives and is instrumented."""
    others: list[Probed] = []
    new, known = Probed(None, others), Probed(1.5, [])
    others.append(Probed(9.0, []))
    end = instrument_worker(new, telemetry.meters)
    instrument_worker(others[0], telemetry.meters)
    names = ("lanes", "starts", "beat_age")
    before = [telemetry.values(f"linkedapi.worker.{name}") for name in names]
    end()
    end()
    instrument_worker(known, telemetry.meters)
    after = [telemetry.values(f"linkedapi.worker.{name}") for name in names]

    assert [{(): 3}, {(): 2}, {}] == before
    assert [{(): 3}, {(): 2}, {(): 1.5}] == after


class Unhashable(MeterProvider):
    """A provider of meters that is compared by its value, as some are."""

    __hash__ = None  # type: ignore[assignment]


async def test_a_provider_need_not_be_hashable(server: Scripted) -> None:
    """It gets each instrument once, as any other provider does."""
    reader = InMemoryMetricReader()
    provider = Unhashable([reader])
    for _ in range(2):
        async with server.session() as session:
            instrument(session, meter_provider=provider)
            await session.start(CHECK)
    data: Any = reader.get_metrics_data()
    (scope,) = data.resource_metrics[0].scope_metrics
    started = {m.name: m.data.data_points[0] for m in scope.metrics}

    assert 2 == started["linkedapi.workflows.started"].value
    provider.shutdown()


async def test_uninstrumenting(telemetry: Telemetry, server: Scripted) -> None:
    """Afterwards nothing is exported, not even of what is under way; twice is fine."""
    gate = asyncio.Event()
    server.script("POST", held(gate, taken()))
    async with server.session() as session:
        uninstrument = telemetry.instrument(session)
        task = asyncio.create_task(session.start(CHECK))
        while not server.seen:
            await asyncio.sleep(0)
        uninstrument()
        uninstrument()
        assert session._runtime.observer.dispatcher is None
        gate.set()
        await task

    assert {} == telemetry.spans


@pytest.mark.parametrize("answer", [taken(), refused("invalidWorkflow")])
async def test_instrumenting_halfway(
    telemetry: Telemetry, server: Scripted, answer: Any
) -> None:
    """A start that was on its way has no span, and does no harm."""
    gate = asyncio.Event()
    server.script("POST", held(gate, answer))
    async with server.session() as session:
        task = asyncio.create_task(session.start(CHECK))
        while not server.seen:
            await asyncio.sleep(0)
        telemetry.instrument(session)
        gate.set()
        await asyncio.wait([task])
        task.exception()

    assert "start st.checkConnectionStatus" not in telemetry.spans
    assert 1 == sum(
        value
        for name in ("linkedapi.workflows.started", "linkedapi.starts.failed")
        for value in telemetry.values(name).values()
    )


async def test_no_token_is_exported(telemetry: Telemetry, server: Scripted) -> None:
    """Neither spans nor metrics have a token, a parameter or a result in them."""
    server.script("POST", dropped(), taken(), refused("invalidToken"))
    async with server.session() as session:
        telemetry.instrument(session)
        for _ in range(3):
            with pytest.raises(LinkedApiError):
                await session.run(CHECK)
    text = telemetry.text()

    assert json.dumps("wf-1") in text
    for secret in (TOKEN, ACCOUNT, "linkedin.com"):
        assert secret not in text


async def test_without_providers_nothing_happens(server: Scripted) -> None:
    """The global providers do nothing until a program sets them up."""
    async with server.session() as session:
        uninstrument = instrument(session)
        with pytest.raises(WorkflowFailedError):
            await session.run(CHECK)
        uninstrument()

    assert session._runtime.observer.dispatcher is None


def test_advice_without_opentelemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is not installed, the error is one line that names the extra."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "linkedapi_async.otel")
    with pytest.raises(ImportError) as caught:
        importlib.import_module("linkedapi_async.otel")

    assert (
        "linkedapi_async.otel needs OpenTelemetry: pip install 'linkedapi-async[otel]'"
    ) == str(caught.value)
    assert caught.value.__suppress_context__
