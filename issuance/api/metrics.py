"""The metrics for Prometheus. Requests are counted here; the rest is read from PostgreSQL on demand."""

from prometheus_client import REGISTRY, Gauge, Histogram, generate_latest

from issuance.health import MEANINGS

REQUESTS = Histogram("issuance_request_seconds", "Requests by route, with their time", ["method", "route", "status"])

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_FIGURES = {name: Gauge(f"issuance_{name}", meaning) for name, meaning in MEANINGS.items()}


def known_method(method: str) -> str:
    """The label of a request's method. A stranger may make up any: `other` stands for those."""
    return method if method in _METHODS else "other"


def exposition(figures: dict[str, float]) -> bytes:
    """All metrics in Prometheus' text format."""
    for name, value in figures.items():
        _FIGURES[name].set(value)
    return generate_latest(REGISTRY)
