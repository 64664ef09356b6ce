"""What is OpenTelemetry's own of `tracing`, which alone loads it, and only where traces are wanted."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from issuance import __version__
from issuance.errors import SettingsError
from issuance.log import Outage

_KINDS = {kind.name.lower(): kind for kind in SpanKind}
_W3C = TraceContextTextMapPropagator()


class _Exporter(SpanExporter):
    """OpenTelemetry's exporter, of which it is told once a minute that it does not get through."""

    def __init__(self, outage: Outage) -> None:
        self._inner = OTLPSpanExporter()
        self._outage = outage

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._inner.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._outage.is_over()
        else:
            self._outage.lasts("traces are not taken")
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._inner.force_flush(timeout_millis)


def provider_for(process: str, outage: Outage) -> TracerProvider:
    """What makes this process's spans and sends them. Raises SettingsError."""
    try:
        return _provider_for(process, outage)
    except (ValueError, OSError) as error:  # its text may have the value
        given = ", ".join(sorted(name for name in os.environ if name.startswith("OTEL_")))
        raise SettingsError(f"one of {given} is wrong: OpenTelemetry ends with {type(error).__name__}") from None


def _provider_for(process: str, outage: Outage) -> TracerProvider:
    name = os.environ.get("OTEL_SERVICE_NAME") or f"issuance-{process}"
    resource = Resource.create({SERVICE_NAME: name, "service.version": __version__})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(_Exporter(outage)))
    return provider


def begin(tracer: Tracer, name: str, kind: str, parent: str | None, attributes: Mapping[str, Any]) -> Span:
    """A span below `parent`, a traceparent; without one, the first of a trace."""
    context = Context() if parent is None else _W3C.extract({"traceparent": parent}, Context())
    said = {f"issuance.{key}": value for key, value in attributes.items()}
    return tracer.start_span(name, context, kind=_KINDS[kind], attributes=said)


def traceparent_of(span: Span) -> str:
    """Where a span is, as W3C writes it."""
    at = span.get_span_context()
    return f"00-{at.trace_id:032x}-{at.span_id:016x}-{at.trace_flags:02x}"


def link(span: Any, to: Any) -> None:
    """Lead from a span to one of another trace."""
    span.add_link(to.get_span_context())


def fail(span: Span, why: str) -> None:
    """Mark a span as failed. `why`: the kind of error."""
    span.set_status(Status(StatusCode.ERROR, why))
