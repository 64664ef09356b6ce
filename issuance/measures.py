"""What scheduler and workers count and time in memory, for Prometheus. Heartbeats take it to PostgreSQL, and web's
`/metrics` adds up all processes of all machines.

Labels come from the sets below, never from what somebody sent. Nothing here holds up what it counts, and Prometheus'
client is loaded with the first count: most commands count nothing."""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

#: What settling after an event, or a batch of a run, is.
By = Literal["event", "batch"]
#: What can go wrong while settling, by the name of its line in the log.
Failure = Literal[
    "fresh_settled_again",
    "group_not_decided",
    "batch_taken_apart",
    "membership_set_apart",
    "membership_quarantined",
    "memberships_not_settled",
]
#: Why a tick failed: PostgreSQL was away, or something else; or the removal of old rows, which is tried by itself.
Missed = Literal["database_away", "error", "tidy"]
#: A sample's name and its labels.
Sample = tuple[str, tuple[tuple[str, str], ...]]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)


class _Measures:
    """All metrics of a process."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        self.registry = own = CollectorRegistry()
        self.event_settled = Histogram(
            "issuance_event_settled_seconds",
            "From an event's arrival to its settling, whoever does it: the credits that it gives are written",
            buckets=_SECONDS,
            registry=own,
        )
        self.settle = Histogram(
            "issuance_settle_seconds",
            "Settling what was asked for together after events, or a batch of a run",
            ["by"],
            buckets=_SECONDS,
            registry=own,
        )
        self.tick = Histogram("issuance_tick_seconds", "The scheduler's looks for work", buckets=_SECONDS, registry=own)
        self.missed = Counter("issuance_ticks_failed", "The scheduler's looks that failed", ["kind"], registry=own)
        self.failures = Counter("issuance_settling_failures", "What went wrong while settling", ["kind"], registry=own)
        for metric, labels in ((self.settle, By), (self.missed, Missed), (self.failures, Failure)):
            for label in get_args(labels):
                metric.labels(label)


@lru_cache(maxsize=1)
def _own() -> _Measures:
    return _Measures()


def names() -> frozenset[str]:
    """The metrics' names, as Prometheus knows their families."""
    return frozenset(metric.name for metric in _own().registry.collect())


def events_settled(seconds: Iterable[float]) -> None:
    """Count events that were settled, each with the time since it arrived."""
    for one in seconds:
        _own().event_settled.observe(one)


def settled(by: By, seconds: float) -> None:
    """Count a settling, with the time that it took."""
    _own().settle.labels(by).observe(seconds)


def failed(kind: Failure) -> None:
    """Count something that went wrong while settling."""
    _own().failures.labels(kind).inc()


def ticked(seconds: float) -> None:
    """Count a tick, with the time that it took."""
    _own().tick.observe(seconds)


def missed(kind: Missed) -> None:
    """Count a tick that failed."""
    _own().missed.labels(kind).inc()


def samples() -> dict[Sample, float]:
    """All that this process has counted, which only grows."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for metric in _own().registry.collect()
        for sample in metric.samples
        if not sample.name.endswith("_created") and sample.value
    }


def metrics(counted: Mapping[Sample, float]) -> "Iterator[Metric]":
    """What was counted, of several processes added up, as Prometheus reads it. Samples that this version does not know
    are left out, those that nobody has counted are 0."""
    from prometheus_client.metrics_core import Metric

    for known in _own().registry.collect():
        metric = Metric(known.name, known.documentation, known.type)
        for sample in known.samples:
            if not sample.name.endswith("_created"):
                key = (sample.name, tuple(sorted(sample.labels.items())))
                metric.add_sample(sample.name, sample.labels, counted.get(key, 0.0))
        yield metric
