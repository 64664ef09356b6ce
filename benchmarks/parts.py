"""Which parts there are, by the names that `--only` takes."""

from collections.abc import Callable, Sequence

from benchmarks.bulk import Bulk, Surprised
from benchmarks.floor import Floor
from benchmarks.samples import Part
from benchmarks.stage import Stage

#: What is there to show a ratio is measured on so many memberships at most: their rates are compared.
MOST = 100_000


def _floor(stage: Stage, members: int) -> Sequence[Part]:
    return [Floor(stage, members), Floor(stage, members, plain=True)]


def _bulk(stage: Stage, members: int) -> Sequence[Part]:
    return [Bulk(stage, members)]


def _rules(stage: Stage, members: int) -> Sequence[Part]:
    return [Bulk(stage, min(members, MOST), rules=5, name="five_rules", title="Issuance, five rules on one type")]


def _surprises(stage: Stage, members: int) -> Sequence[Part]:
    return [Surprised(stage, min(members, MOST))]


PARTS: dict[str, Callable[[Stage, int], Sequence[Part]]] = {
    "floor": _floor,
    "bulk": _bulk,
    "rules": _rules,
    "surprises": _surprises,
}


def make(stage: Stage, members: int, only: Sequence[str]) -> list[Part]:
    """The parts that were asked for, in the order in which a round measures them."""
    return [part for name, make in PARTS.items() if name in (only or PARTS) for part in make(stage, members)]
