"""The metrics for Prometheus. Requests are counted here; the rest is read from PostgreSQL on demand.

Where there are several web processes each counts in files of a folder, which PROMETHEUS_MULTIPROC_DIR names before this
is loaded, and whichever is asked adds up all of them."""

import os
from collections.abc import Iterator, Mapping
from functools import lru_cache

from prometheus_client import REGISTRY, CollectorRegistry, Histogram, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from issuance.health import MEANINGS

REQUESTS = Histogram("issuance_request_seconds", "Requests by route, with their time", ["method", "route", "status"])

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class _Figures(Collector):
    """What was read from PostgreSQL."""

    def __init__(self, figures: Mapping[str, float]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        for name, value in self._figures.items():
            yield GaugeMetricFamily(f"issuance_{name}", MEANINGS[name], value)


def known_method(method: str) -> str:
    """The label of a request's method. A stranger may make up any: `other` stands for those."""
    return method if method in _METHODS else "other"


@lru_cache(maxsize=2048)
def _counted(method: str, route: str, status: int) -> Histogram:
    return REQUESTS.labels(method, route, status)


def count(method: str, route: str, status: int, seconds: float) -> None:
    """Count a request that was answered."""
    _counted(method, route, status).observe(seconds)


def exposition(figures: Mapping[str, float]) -> bytes:
    """All metrics in Prometheus' text format."""
    read = CollectorRegistry()
    read.register(_Figures(figures))
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return generate_latest(REGISTRY) + generate_latest(read)
    MultiProcessCollector(read)  # type: ignore[no-untyped-call]
    return generate_latest(read)
