"""Two commits beside each other, round by round: what one measured against what the other did right before or after."""

from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any

from benchmarks.samples import Row, Sample

#: What of a sample is compared; of latencies less is better.
_MEASURES: dict[str, Callable[[Sample], float]] = {
    "per_second": lambda sample: sample.n / sample.seconds,
    "p50_ms": lambda sample: _latency(sample, "p50"),
    "p99_ms": lambda sample: _latency(sample, "p99"),
}


def pairs(new: Sequence[Row], old: Sequence[Row]) -> list[dict[str, Any]]:
    """Each part that both sides measured in every round: medians, and the ratios new / old of each round."""
    before = {row.name: row for row in old}
    return [
        compared
        for row in new
        if row.name in before and row.samples and len(row.samples) == len(before[row.name].samples)
        for compared in _compare(row, before[row.name])
    ]


def _compare(new: Row, old: Row) -> Iterator[dict[str, Any]]:
    for measure, of in _MEASURES.items():
        if measure != "per_second" and not all(sample.latencies_ms for sample in (*new.samples, *old.samples)):
            continue
        after, before = [of(sample) for sample in new.samples], [of(sample) for sample in old.samples]
        ratios = [one / other for one, other in zip(after, before, strict=True)]
        yield {
            "name": new.name,
            "title": new.title,
            "measure": measure,
            "old": round(median(before), 1),
            "new": round(median(after), 1),
            "ratio": round(median(ratios), 3),
            "ratio_min": round(min(ratios), 3),
            "ratio_max": round(max(ratios), 3),
            "ratios": [round(ratio, 3) for ratio in ratios],
        }


def _latency(sample: Sample, percentile: str) -> float:
    return Row("", "", [sample]).latency_ms[percentile]
