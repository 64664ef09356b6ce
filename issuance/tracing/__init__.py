"""Traces by OpenTelemetry: `spans` is what everybody asks, `exporting` loads OpenTelemetry where it is wanted."""

from issuance.tracing.spans import Span, check, end, is_on, set_up, span, spans

__all__ = ["Span", "check", "end", "is_on", "set_up", "span", "spans"]
