"""Traces and metrics of a session, and metrics of a worker, for OpenTelemetry.

::

    from linkedapi_async.otel import instrument

    async with Session(…) as session:
        uninstrument = instrument(session)

A start is a span of kind *client* under the span of its caller, and is the current span
while the request is sent. A result is a span of kind *internal* under the span of the
code that awaits it, and links to the start. Polls are counted, but have no spans.

======================================  ==========  ====================================
metric                                  unit        what it is
======================================  ==========  ====================================
``linkedapi.workflows.started``         {workflow}  that the server accepted
``linkedapi.workflows.finished``        {workflow}  by ``linkedapi.workflow.status`` and
                                                    ``error.type``
``linkedapi.workflows.in_flight``       {workflow}  by ``linkedapi.lane.state``: head,
                                                    tail, unordered or paused
``linkedapi.workflow.polls``            {poll}      histogram: polls per finished workflow
``linkedapi.workflow.detection_delay``  s           histogram: how late an end can
                                                    have been noticed at most
``linkedapi.polls``                     {poll}      by ``linkedapi.poll.outcome``
``linkedapi.requests.retried``          {request}   by ``linkedapi.request.kind`` and
                                                    ``error.type``
``linkedapi.starts.failed``             {start}     by ``error.type``
``linkedapi.starts.unknown``            {start}     sent, with an unknown outcome
``linkedapi.worker.lanes``              {lane}      that a worker has in progress
``linkedapi.worker.starts``             {start}     that a worker has in progress
``linkedapi.worker.beat_age``           s           since the last heartbeat of a
                                                    worker
======================================  ==========  ====================================

The session of a worker is instrumented where it is made, and the worker itself beside::

    def session(**settings):
        made = Session.from_env(**settings)
        instrument(made)
        return made

    worker = Worker(DATABASE_URL, session=session, token=token)
    instrument_worker(worker)

Its spans are in the trace of the span in which the item was submitted, as children of it.

Attributes of spans: ``linkedapi.account`` (a name), ``linkedapi.workflow.id``,
``linkedapi.workflow.status``, ``linkedapi.workflow.polls``, ``linkedapi.key``,
``linkedapi.actions`` (the action types of the roots), ``linkedapi.generation``,
``linkedapi.start.waited`` (seconds), ``error.type``, ``server.address`` and
``server.port``. Tokens, parameters and results are in none of them.

It needs ``opentelemetry-api``: the extra ``otel``.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit

from linkedapi_async._actions.action import action_types
from linkedapi_async._utils.log import error_reason
from linkedapi_async._version import __version__
from linkedapi_async.errors import LinkedApiError
from linkedapi_async.events import (
    PollAnswered,
    RequestRetried,
    StartFailed,
    StartUnknown,
    WorkflowDelivered,
    WorkflowFinished,
    WorkflowStarted,
    WorkflowStarting,
)


try:
    from opentelemetry import context, metrics, trace
except ImportError:
    raise ImportError(
        "linkedapi_async.otel needs OpenTelemetry: pip install 'linkedapi-async[otel]'"
    ) from None


if TYPE_CHECKING:
    from linkedapi_async._results.completion import Completion
    from linkedapi_async.session import Session
    from linkedapi_async.session._handle import WorkflowHandle

__all__ = ["HasHealth", "instrument", "instrument_worker"]

ObservedT = TypeVar("ObservedT")

SCOPE: Final = "linkedapi_async"
"""The name of the instrumentation scope."""

BILLION: Final = 1_000_000_000


def instrument(
    session: Session,
    tracer_provider: trace.TracerProvider | None = None,
    meter_provider: metrics.MeterProvider | None = None,
) -> Callable[[], None]:
    """Trace and measure what *session* does from now on.

    Args:
        session: It may be entered or not. If it is instrumented twice, it counts twice.
        tracer_provider: Receives the spans; by default the global one.
        meter_provider: Receives the metrics; by default the global one.

    Returns:
        What ends it; it may be called twice. Leaving the session ends it too.
    """
    tracers = tracer_provider or trace.get_tracer_provider()
    meters = _meters(meter_provider or metrics.get_meter_provider())
    tracing = _Tracing(tracers.get_tracer(SCOPE, __version__), session)
    ends = ExitStack()
    ends.callback(_remember(meters.sessions, session))
    ends.callback(session.on(WorkflowStarting, tracing.starting))
    ends.callback(session.on(WorkflowStarted, tracing.started))
    ends.callback(session.on(StartFailed, tracing.start_failed))
    ends.callback(session.on(WorkflowDelivered, tracing.delivered))
    ends.callback(session.on(WorkflowStarted, meters.started))
    ends.callback(session.on(StartFailed, meters.start_failed))
    ends.callback(session.on(WorkflowFinished, meters.finished))
    ends.callback(session.on(PollAnswered, meters.polled))
    ends.callback(session.on(RequestRetried, meters.retried))
    return ends.close


class HasHealth(Protocol):
    """The part of a `linkedapi_async.fleet.Worker` that `instrument_worker` reads."""

    def health(self) -> dict[str, Any]:
        """Return how it is, with ``lanes``, ``starts`` and ``beat``."""
        ...


def instrument_worker(
    worker: HasHealth, meter_provider: metrics.MeterProvider | None = None
) -> Callable[[], None]:
    """Measure how many lanes and starts a worker has in progress, and its heartbeats.

    Args:
        worker: It may run or not.
        meter_provider: Receives the metrics; by default the global one.

    Returns:
        What ends it; it may be called twice.
    """
    meters = _meters(meter_provider or metrics.get_meter_provider())
    return _remember(meters.workers, worker)


class _Tracing:
    """Makes the spans of one session."""

    def __init__(self, tracer: trace.Tracer, session: Session) -> None:
        self._tracer = tracer
        address = urlsplit(session.base_url)
        self._place: dict[str, Any] = {"linkedapi.generation": session.generation}
        self._place["server.address"] = address.hostname or ""
        if address.port is not None:
            self._place["server.port"] = address.port
        self._open: dict[int, trace.Span] = {}
        # The references are weak, because a handle without a reference is never
        # delivered.
        self._starts: weakref.WeakKeyDictionary[
            WorkflowHandle[Any], trace.SpanContext
        ] = weakref.WeakKeyDictionary()

    def starting(self, event: WorkflowStarting) -> None:
        """Open the span of a start, and make it current while the request is sent."""
        actions = action_types(event.workflow)
        span = self._tracer.start_span(
            _name("start", actions),
            kind=trace.SpanKind.CLIENT,
            attributes={
                **self._place,
                **_known(event.account, event.key, actions),
                "linkedapi.start.waited": event.waited,
            },
            start_time=_nanoseconds(event.time),
        )
        self._open[event.number] = span
        # Never detached, because the context belongs to the start's own task.
        context.attach(trace.set_span_in_context(span))

    def started(self, event: WorkflowStarted) -> None:
        """Close the span of a start that the server accepted."""
        span = self._open.pop(event.number, None)
        if span is not None:
            span.set_attribute("linkedapi.workflow.id", event.workflow_id)
            self._starts[event.handle] = span.get_span_context()
            span.end(_nanoseconds(event.time))

    def start_failed(self, event: StartFailed) -> None:
        """Close the span of a start that failed."""
        span = self._open.pop(event.number, None)
        if span is not None:
            _fail(span, event.error)
            span.end(_nanoseconds(event.time))

    def delivered(self, event: WorkflowDelivered) -> None:
        """Make the span of a result, which begins with the wait."""
        handle = event.handle
        start = self._starts.pop(handle, None)
        actions = action_types(handle.workflow)
        span = self._tracer.start_span(
            _name("result", actions),
            attributes={
                **self._place,
                **_known(event.account, event.key, actions),
                "linkedapi.workflow.id": event.workflow_id,
                "linkedapi.workflow.status": handle.status,
                "linkedapi.workflow.polls": event.polls,
            },
            links=[] if start is None else [trace.Link(start)],
            start_time=_nanoseconds(event.time - event.seconds),
        )
        error = event.error or _first_error(event.completion)
        if error is not None:
            _fail(span, error)
        span.end(_nanoseconds(event.time))


class _Meters:
    """The instruments of one provider of meters, which all sessions share."""

    def __init__(self, provider: metrics.MeterProvider) -> None:
        meter = provider.get_meter(SCOPE, __version__)
        # A reference is kept, so that no other provider gets the same identity.
        self._provider = provider
        self.sessions: dict[object, weakref.ref[Session]] = {}
        """What is counted whenever metrics are read."""
        self.workers: dict[object, weakref.ref[HasHealth]] = {}
        """The same for workers."""
        self._started = meter.create_counter(
            "linkedapi.workflows.started", "{workflow}", "Workflows the server accepted"
        )
        self._finished = meter.create_counter(
            "linkedapi.workflows.finished", "{workflow}", "Workflows that have ended"
        )
        meter.create_observable_up_down_counter(
            "linkedapi.workflows.in_flight",
            [self._in_flight],
            "{workflow}",
            "Workflows that have not ended, by what they do in their lane",
        )
        meter.create_observable_up_down_counter(
            "linkedapi.worker.lanes",
            [self._healths("lanes")],
            "{lane}",
            "Lanes that a worker has in progress",
        )
        meter.create_observable_up_down_counter(
            "linkedapi.worker.starts",
            [self._healths("starts")],
            "{start}",
            "Starts that a worker has in progress",
        )
        meter.create_observable_gauge(
            "linkedapi.worker.beat_age",
            [self._healths("beat")],
            "s",
            "Time since the last heartbeat of a worker",
        )
        self._polls_each = meter.create_histogram(
            "linkedapi.workflow.polls", "{poll}", "Polls per finished workflow"
        )
        self._detection_delay = meter.create_histogram(
            "linkedapi.workflow.detection_delay",
            "s",
            "How late an end can have been noticed at most",
        )
        self._polls = meter.create_counter(
            "linkedapi.polls", "{poll}", "Polls that were answered or failed"
        )
        self._retried = meter.create_counter(
            "linkedapi.requests.retried",
            "{request}",
            "Requests sent again because they failed, without polls",
        )
        self._failed = meter.create_counter(
            "linkedapi.starts.failed", "{start}", "Starts that failed"
        )
        self._unknown = meter.create_counter(
            "linkedapi.starts.unknown",
            "{start}",
            "Starts that were sent, with an unknown outcome",
        )

    def _in_flight(self, _: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
        """Return what is in flight in all sessions, from any thread."""
        sums: dict[str, int] = {}
        for session in _alive(self.sessions):
            for state, count in session.counts_by_state().items():
                sums[state] = sums.get(state, 0) + count
        return [
            metrics.Observation(count, {"linkedapi.lane.state": state})
            for state, count in sums.items()
        ]

    def _healths(self, name: str) -> Callable[[Any], Iterator[metrics.Observation]]:
        """Return a callback that measures all workers whenever metrics are read."""

        def observe(_: metrics.CallbackOptions) -> Iterator[metrics.Observation]:
            for worker in _alive(self.workers):
                figure = worker.health()[name]
                if figure is not None:
                    yield metrics.Observation(figure)

        return observe

    def started(self, _: WorkflowStarted) -> None:
        """Count a workflow that the server accepted."""
        self._started.add(1)

    def start_failed(self, event: StartFailed) -> None:
        """Count a start that failed, or whose outcome is unknown."""
        if isinstance(event, StartUnknown):
            self._unknown.add(1)
        else:
            self._failed.add(1, _error(event.error))

    def finished(self, event: WorkflowFinished) -> None:
        """Count a workflow that has ended, its polls and how late that was noticed."""
        status = {"linkedapi.workflow.status": event.status}
        self._finished.add(1, {**status, **_error(event.error)})
        self._polls_each.record(event.polls, status)
        if event.detection_delay is not None:
            self._detection_delay.record(event.detection_delay, status)

    def polled(self, event: PollAnswered) -> None:
        """Count a poll."""
        outcome = {"linkedapi.poll.outcome": event.outcome}
        self._polls.add(1, {**outcome, **_error(event.error)})

    def retried(self, event: RequestRetried) -> None:
        """Count a request that is sent again."""
        kind = {"linkedapi.request.kind": event.request}
        self._retried.add(1, {**kind, **_error(event.error)})


_METERS: dict[int, _Meters] = {}
"""The key is the identity of the provider, because a provider need not be hashable."""


def _meters(provider: metrics.MeterProvider) -> _Meters:
    """Return the instruments of *provider*, which must be made only once for each."""
    meters = _METERS.get(id(provider))
    if meters is None:
        meters = _METERS[id(provider)] = _Meters(provider)
    return meters


def _remember(
    places: dict[object, weakref.ref[ObservedT]], observed: ObservedT
) -> Callable[[], None]:
    """Add an object while it exists; return a function that removes it."""
    place = object()
    places[place] = weakref.ref(observed, lambda _: places.pop(place, None))

    def forget() -> None:
        places.pop(place, None)

    return forget


def _alive(places: dict[object, weakref.ref[ObservedT]]) -> Iterator[ObservedT]:
    """Yield the objects that still exist; any thread may call this."""
    # Iterate over a copy, because the garbage collector may remove objects meanwhile.
    for reference in list(places.values()):
        observed = reference()
        if observed is not None:
            yield observed


def _nanoseconds(seconds: float) -> int:
    return int(seconds * BILLION)


def _name(verb: str, actions: tuple[str, ...]) -> str:
    """Return the name of a span, of which there are few: the first root's type."""
    return f"{verb} {actions[0]}" if actions else verb


def _known(account: str, key: str | None, actions: tuple[str, ...]) -> dict[str, Any]:
    facts = {"linkedapi.account": account, "linkedapi.actions": actions}
    return facts if key is None else {**facts, "linkedapi.key": key}


def _error(error: BaseException | None) -> dict[str, str]:
    reason = error_reason(error)
    return {} if reason is None else {"error.type": reason}


def _fail(span: trace.Span, error: Exception) -> None:
    """Record an *error*, without the trace that `record_exception` would add.

    That would also show the errors behind it, with texts of other libraries.
    """
    words = str(error) if isinstance(error, LinkedApiError) else type(error).__name__
    facts = {"exception.type": type(error).__name__, "exception.message": words}
    span.add_event("exception", facts)
    span.set_attributes(_error(error))
    span.set_status(trace.StatusCode.ERROR, words)


def _first_error(completion: Completion | None) -> LinkedApiError | None:
    """Return what awaiting the result raises: the error of the first root that has one."""
    roots = () if completion is None else completion.roots
    return next((root.error for root in roots if root.error is not None), None)
