"""What the benchmark makes of its samples."""

from benchmarks.harness import run
from benchmarks.report import document, markdown
from benchmarks.samples import Row, Sample, Unavailable

MACHINE = {"cores": 2, "processor": "any", "memory_gb": 1.0, "python": "3"}


class Measured:
    """A part whose samples are known beforehand; a missing one can not be had."""

    title = "a part"

    def __init__(self, name: str, *samples: Sample | None) -> None:
        self.name = name
        self._samples = iter(samples)

    def prepare(self) -> None:
        pass

    def measure(self) -> Sample:
        sample = next(self._samples)
        if sample is None:
            raise Unavailable("it rains")
        return sample


def test_a_rate_is_the_median_of_the_rounds() -> None:
    """One slow round does not count."""
    parts = [Measured("bulk", Sample(100, 1.0), Sample(100, 100.0), Sample(100, 2.0))]
    assert run(parts, 3)[0].per_second == 50


def test_latencies_are_pooled_over_the_rounds() -> None:
    """Percentiles are those of all rounds' latencies together, and the worst one is told."""
    row = Row("idle", "idle", [Sample(99, 1.0, latencies_ms=[1.0] * 99), Sample(1, 1.0, latencies_ms=[80.0])])
    assert row.latency_ms == {"p50": 1.0, "p95": 1.0, "p99": 80.0, "max": 80.0}


def test_a_part_that_can_not_be_measured_says_why_and_holds_up_no_other() -> None:
    """Its row has no figure but a reason, and no ratio is made with it."""
    rows = run([Measured("floor", None), Measured("bulk", Sample(10, 1.0))], 1)
    told = document(rows, MACHINE, 10, 1)
    assert [(row["name"], row["per_second"], row.get("note")) for row in told["rows"]] == [
        ("floor", None, "not measured: it rains"),
        ("bulk", 10.0, None),
    ]
    assert told["ratios"] == {}


def test_ratios_are_rates_against_rates() -> None:
    """`bulk_vs_floor` is what share of the floor's rate Issuance reaches; the markdown says so too."""
    rows = run([Measured("floor", Sample(100, 1.0)), Measured("bulk", Sample(100, 2.0))], 1)
    told = document(rows, MACHINE, 100, 1)
    assert told["ratios"] == {"bulk_vs_floor": 0.5}
    assert "| bulk_vs_floor | 0.5 |" in markdown(told)
