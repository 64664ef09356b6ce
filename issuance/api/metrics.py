"""The metrics for Prometheus. Requests are counted here. The rest is read on demand from PostgreSQL, where all
processes write what they count.

If there are several web processes, each counts in files of a folder, which PROMETHEUS_MULTIPROC_DIR names before this
module is loaded; the process that is asked adds them all up."""

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from prometheus_client import REGISTRY, CollectorRegistry, Histogram, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from issuance import heartbeats, measures
from issuance.health import MEANINGS

REQUESTS = Histogram("issuance_request_seconds", "Requests by route, with their time", ["method", "route", "status"])

#: The routes where a credit or points are redeemed.
_REDEEMING = frozenset({"/customers/credits/{code}/redeem", "/v1/redemptions"})
REDEEMS = Histogram(
    "issuance_redeem_seconds", "Redeeming a credit, points or an offer, by what came of it", ["outcome"]
)
_redeemed, _refused, _failed = (REDEEMS.labels(outcome) for outcome in ("redeemed", "refused", "failed"))

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class _Read(Collector):
    """The figures that were read for one answer."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


def _figures(figures: Mapping[str, float], queues: Mapping[str, int] | None) -> Iterator[Metric]:
    for name, value in figures.items():
        yield GaugeMetricFamily(f"issuance_{name}", MEANINGS[name], value)
    yield GaugeMetricFamily("issuance_broker_up", "Whether the broker answers web: 1 or 0", queues is not None)
    waiting = GaugeMetricFamily("issuance_queue_messages", "Messages that wait in a queue", labels=["queue"])
    for queue, number in (queues or {}).items():
        waiting.add_metric([queue], number)
    yield waiting


def names() -> frozenset[str]:
    """The metrics that there can be, as Prometheus names them."""
    own = [metric for histogram in (REQUESTS, REDEEMS) for metric in histogram.describe()]
    families = [*_figures(dict.fromkeys(MEANINGS, 0.0), None), *heartbeats.metrics_of([]), *own]
    return frozenset(f"{one.name}_total" if one.type == "counter" else one.name for one in families)


def known_method(method: str) -> str:
    """The label of a request's method. Strangers may make up methods: their label is `other`."""
    return method if method in _METHODS else "other"


@lru_cache(maxsize=2048)
def _counted(method: str, route: str, status: int) -> Histogram:
    return REQUESTS.labels(method, route, status)


def count(method: str, route: str, status: int, seconds: float) -> None:
    """Count a request that was answered."""
    _counted(method, route, status).observe(seconds)
    if route in _REDEEMING and method == "POST":
        (_redeemed if status < 400 else _refused if status < 500 else _failed).observe(seconds)


def exposition(figures: Mapping[str, float], of_processes: Iterable[Metric], queues: Mapping[str, int] | None) -> bytes:
    """All metrics in Prometheus' text format. `queues`: how many messages wait; None: the broker is away."""
    read = CollectorRegistry()
    read.register(_Read([*_figures(figures, queues), *of_processes]))
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return generate_latest(REGISTRY) + generate_latest(read)
    together = CollectorRegistry()
    MultiProcessCollector(together)  # type: ignore[no-untyped-call]
    own = measures.names()
    # Figures that heartbeats give for all processes are not given again for this machine's web processes.
    read.register(_Read(metric for metric in together.collect() if metric.name not in own))
    return generate_latest(read)
