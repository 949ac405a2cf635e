"""Trace context: a worker's spans are children of the span that submitted the item.

OpenTelemetry's conventions for messaging allow that where each item is processed alone.
Only the W3C trace context is stored: two short texts, without baggage. DBOS could pass
it on too, but not from its function in PostgreSQL, and only with spans of its own.
"""

from __future__ import annotations

import sys


def current_trace() -> dict[str, str] | None:
    """Return the trace context of the current span, or None without a span."""
    if not _is_traced():
        return None
    from opentelemetry.trace.propagation import tracecontext  # noqa: PLC0415

    found: dict[str, str] = {}
    tracecontext.TraceContextTextMapPropagator().inject(found)
    return found or None


def follow_trace(stored: dict[str, str] | None) -> None:
    """Make the spans of the current task children of the span of a trace context."""
    if stored is None or not _is_traced():
        return
    from opentelemetry import context  # noqa: PLC0415
    from opentelemetry.trace.propagation import tracecontext  # noqa: PLC0415

    context.attach(tracecontext.TraceContextTextMapPropagator().extract(stored))


def _is_traced() -> bool:
    """Return whether OpenTelemetry is loaded; without it there are no spans."""
    return "opentelemetry.trace" in sys.modules
