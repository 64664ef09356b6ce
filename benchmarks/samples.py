"""What is measured: a sample is one measurement, a row is all samples of one part of the benchmark."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol

#: The percentiles that are told of latencies.
PERCENTILES = (50, 95, 99)


class Unavailable(Exception):
    """A part can not be measured here, and why, in one line."""


@dataclass(frozen=True)
class Sample:
    """One measurement: `n` things done in `seconds`. `figures` are further ones; their names say their units."""

    n: int
    seconds: float
    figures: Mapping[str, float] = field(default_factory=dict)
    latencies_ms: Sequence[float] = ()


class Part(Protocol):
    """Something that is measured once a round, beside the others."""

    #: The row's name in the JSON document, and what it says to people.
    name: str
    title: str

    def prepare(self) -> None:
        """Whatever comes before the first round. Raises Unavailable."""

    def measure(self) -> Sample:
        """Measures once. Raises Unavailable."""


@dataclass
class Row:
    """What became of a part: its samples, or why there are none."""

    name: str
    title: str
    samples: list[Sample] = field(default_factory=list)
    note: str = ""

    @property
    def n(self) -> int:
        return round(median(sample.n for sample in self.samples)) if self.samples else 0

    @property
    def per_second(self) -> float:
        """The median of the samples' rates; 0 where nothing was measured."""
        return median(sample.n / sample.seconds for sample in self.samples) if self.samples else 0.0

    @property
    def figures(self) -> dict[str, float]:
        """The median of each further figure."""
        names = dict.fromkeys(name for sample in self.samples for name in sample.figures)
        return {name: median(s.figures[name] for s in self.samples if name in s.figures) for name in names}

    @property
    def latency_ms(self) -> dict[str, float]:
        """Percentiles over the latencies of all samples together."""
        pooled = sorted(latency for sample in self.samples for latency in sample.latencies_ms)
        if not pooled:
            return {}
        told = {f"p{percent}": pooled[min(len(pooled) - 1, len(pooled) * percent // 100)] for percent in PERCENTILES}
        return {**told, "max": pooled[-1]}
