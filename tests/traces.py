"""What this process traces, kept in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

#: The package has a function of this name.
spans = import_module("issuance.tracing.spans")


class Traces:
    """The spans that have ended."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    def of(self, trace: str) -> list[str]:
        """The names of a trace's spans, in the order in which they began."""
        ours = [span for span in self.exporter.get_finished_spans() if trace_of(span) == trace]
        return [span.name for span in sorted(ours, key=lambda span: span.start_time or 0)]


def trace_of(span: ReadableSpan) -> str:
    return f"{span.context.trace_id:032x}"


@contextmanager
def kept() -> Iterator[Traces]:
    """Meanwhile this process traces."""
    traces, provider = Traces(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(traces.exporter))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spans, "_tracer", provider.get_tracer("test"))
        yield traces
