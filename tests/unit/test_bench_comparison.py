"""Two commits beside each other: what the benchmark makes of their samples."""

from benchmarks.comparison import pairs
from benchmarks.harness import run_beside
from benchmarks.report import against, document, markdown
from benchmarks.samples import Row, Sample
from tests.unit.test_bench_report import MACHINE, Measured


def rates(name: str, *per_second: float) -> Row:
    return Row(name, name, [Sample(100, 100 / rate) for rate in per_second])


def test_the_ratio_is_the_median_of_each_rounds_own() -> None:
    """A round in which the machine was slow was slow for both: the medians of the rates are not divided."""
    (pair,) = pairs([rates("bulk", 110, 22, 220)], [rates("bulk", 100, 20, 400)])
    assert (pair["old"], pair["new"]) == (100, 110)
    assert pair["ratios"] == [1.1, 1.1, 0.55]
    assert (pair["ratio"], pair["ratio_min"], pair["ratio_max"]) == (1.1, 0.55, 1.1)


def test_latencies_are_compared_too() -> None:
    """Where there are any, p50 and p99 stand beside the rate."""
    old = Row("idle", "idle", [Sample(2, 1.0, latencies_ms=[10.0, 40.0])])
    new = Row("idle", "idle", [Sample(2, 1.0, latencies_ms=[20.0, 20.0])])
    found = {pair["measure"]: (pair["old"], pair["new"], pair["ratio"]) for pair in pairs([new], [old])}
    assert found == {"per_second": (2, 2, 1), "p50_ms": (40, 20, 0.5), "p99_ms": (40, 20, 0.5)}


def test_what_only_one_side_measured_is_not_compared() -> None:
    """Neither a part that the other does not have, nor one that failed there."""
    failed = Row("bulk", "bulk", note="failed: it rains")
    assert pairs([rates("sweep", 1), rates("bulk", 1)], [failed]) == []


def test_sides_take_turns() -> None:
    """Each part of a round is measured for both sides before the next part, and neither side always goes first."""
    turns: list[str] = []

    class Told(Measured):
        def measure(self) -> Sample:
            turns.append(f"{self.title} {self.name}")
            return super().measure()

    def side(title: str) -> list[Told]:
        parts = [Told(name, *[Sample(1, 1.0)] * 2) for name in ("floor", "bulk")]
        for part in parts:
            part.title = title
        return parts

    new, old = run_beside([side("new"), [*side("old"), Measured("only old", *[Sample(1, 1.0)] * 2)]], 2)
    assert [len(row.samples) for row in (*new, *old)] == [2] * 5
    assert turns == [
        *("new floor", "old floor", "old bulk", "new bulk"),
        *("old floor", "new floor", "new bulk", "old bulk"),
    ]


def test_the_commit_stands_in_the_document_and_in_its_tables() -> None:
    """With old, new, ratio and the span of the ratio; and with the reason where the old one was not measured."""
    new, old = [rates("bulk", 90), rates("floor", 5)], [rates("bulk", 100), Row("floor", "floor", note="failed: rain")]
    told = against(document(new, MACHINE, 100, 1), "0123456789abcdef", new, old)
    assert told["against"]["commit"] == "0123456789abcdef"
    assert [row["per_second"] for row in told["against"]["old_rows"]] == [100, None]
    assert "| bulk | a second | 100 | 90 | 0.900 | 0.900 | 0.900 |" in markdown(told)
    assert "| floor | failed: rain |" in markdown(told)
