"""Traces by OpenTelemetry: one an event, from the request or the tick that began it, through the queue, to settling and
the webhooks that are told.

Off, and nothing of it is loaded, unless OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT
names a collector; OpenTelemetry's other variables hold as well. A span has ids and numbers, never codes or addresses.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import Any, Literal, Protocol

from issuance import log, origins
from issuance.errors import SettingsError
from issuance.origins import Origin
from issuance.tracing import variables

Kind = Literal["internal", "server", "client", "producer", "consumer"]

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

#: Whether the collector takes what it is sent.
outage = log.Outage("collector")


class Span(Protocol):
    """What may be said of a span while it lasts."""

    def update_name(self, name: str) -> None: ...
    def set_attribute(self, key: str, value: Any) -> None: ...


class _Untraced:
    def update_name(self, name: str) -> None:
        pass

    def set_attribute(self, key: str, value: Any) -> None:
        pass


_UNTRACED = _Untraced()
#: OpenTelemetry's, of this process; None: nothing is traced.
_tracer: Any = None
_provider: Any = None


def is_wanted() -> bool:
    """Whether the environment names a collector and does not switch traces off."""
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or os.environ.get("OTEL_TRACES_EXPORTER") == "none"
    return not off and any(os.environ.get(name) for name in _ENDPOINTS)


def is_on() -> bool:
    """Whether this process traces."""
    return _tracer is not None


def check() -> None:
    """Raises SettingsError where traces are wanted and can not be."""
    if not is_wanted():
        return
    variables.check(os.environ)
    if find_spec("opentelemetry") is None:
        raise SettingsError(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set and OpenTelemetry is not there: pip install 'issuance[tracing]'"
        )


def set_up(process: str) -> None:
    """Begin to trace, where that is wanted: once in each process, after it was forked. `process`: web, scheduler or
    worker; the service's name is issuance-PROCESS where OTEL_SERVICE_NAME gives none. Raises SettingsError."""
    global _tracer, _provider
    if not is_wanted() or _tracer is not None:
        return
    check()
    from issuance.tracing.exporting import provider_for

    # Its own complaints name addresses, a traceback each; what an operator needs to know the outage tells.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    _provider = provider_for(process, outage)
    _tracer = _provider.get_tracer("issuance")


def end() -> None:
    """Send what was not sent yet: at the end of a process."""
    global _tracer, _provider
    provider, _provider, _tracer = _provider, None, None
    if provider is not None:
        provider.shutdown()


@contextmanager
def span(
    name: str, kind: Kind = "internal", *, origin: Origin | None = None, **attributes: str | int
) -> Iterator[Span]:
    """The block as a span of the trace of `origin`, by default of what the work here is due to; without either it
    begins a trace. What the block asks for is due to it."""
    if _tracer is None:
        yield _UNTRACED
        return
    from issuance.tracing.exporting import begin, fail, traceparent_of

    came = origins.here() if origin is None else origin
    begun = begin(_tracer, name, kind, came.traceparent, attributes)
    try:
        with origins.working_for(Origin(came.request_id, traceparent_of(begun))):
            yield begun
    except BaseException as error:
        fail(begun, type(error).__name__)  # never its text, which may hold what somebody sent
        raise
    finally:
        begun.end()


@contextmanager
def spans(name: str, kind: Kind = "internal", **attributes: str | int) -> Iterator[None]:
    """The block as a span in each trace that what is worked on together is due to; who has none begins one. Of what is
    due to several, the first one's trace goes on to the webhooks, and the spans of the others are linked to its span.
    Where nothing is worked on together it is `span`."""
    if _tracer is None:
        yield
        return
    if not origins.each():
        with span(name, kind, origin=None, **attributes):
            yield
        return
    from issuance.tracing.exporting import link

    with ExitStack() as stack:
        begun: dict[tuple[Origin, str], tuple[Span, Origin]] = {}
        links: dict[tuple[Origin, Origin], tuple[Span, Span]] = {}
        within: dict[str, tuple[Origin, ...]] = {}
        for one, due_to in origins.each().items():
            its: list[tuple[Span, Origin]] = []
            for origin in due_to:
                which = (origin, "" if origin.traceparent else one)
                if which not in begun:
                    begun[which] = stack.enter_context(span(name, kind, origin=origin, **attributes)), origins.here()
                its.append(begun[which])
            within[one] = tuple(place for _, place in its)
            links |= {(place, its[0][1]): (other, its[0][0]) for other, place in its[1:]}
        for other, first in links.values():
            link(other, first)
        with origins.working_for_each(within):
            yield
