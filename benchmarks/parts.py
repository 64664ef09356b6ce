"""Which parts there are, by the names that `--only` takes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks import intake, latency, redemption
from benchmarks.billing_day import BillingDay
from benchmarks.bulk import Bulk, Surprised
from benchmarks.catch_up import CatchUp
from benchmarks.chair import Guarding, Previewing, Undoing
from benchmarks.checkout import WORKING_TREE
from benchmarks.competitors import peers
from benchmarks.first_month import FirstMonth
from benchmarks.floor import Floor
from benchmarks.long_lives import VERY_MANY, LongLives
from benchmarks.owed import Owed
from benchmarks.samples import Part
from benchmarks.stage import Stage
from benchmarks.sweep import SHARE, ManyBrands, Sweep
from benchmarks.untraced import Untraced
from benchmarks.webhooks import Burst

#: What is there to show a ratio is measured on so many memberships at most: their rates are compared.
MOST = 100_000
#: And what takes one request or event at a time, on so many.
MOST_EVENTS, MOST_REQUESTS = 20_000, 8_000
#: And what a biller sends in one burst.
MOST_WEBHOOKS = 20_000
#: What posts or loads an event a membership, on so many.
MOST_NEWS = 30_000
#: And events whose traces are off.
MOST_UNTRACED = 500
#: What growth is measured from.
FEW = 10_000
#: Brands that one look goes over.
MANY = 10_000
#: With so few memberships nobody wants figures: the benchmark shows that it works.
SHORT = 1_000


@dataclass(frozen=True)
class Wanted:
    """On how many memberships, and how often."""

    members: int
    rounds: int


Maker = Callable[[Stage, Wanted], Sequence[Part]]


def _floor(stage: Stage, wanted: Wanted) -> Sequence[Part]:
    return [Floor(stage, wanted.members), Floor(stage, wanted.members, plain=True)]


def _bulk(stage: Stage, wanted: Wanted) -> Sequence[Part]:
    return [Bulk(stage, wanted.members)]


def _growth(stage: Stage, wanted: Wanted) -> Sequence[Part]:
    return [Bulk(stage, FEW, name="bulk_10k", title=f"Issuance at {FEW:,}")] if wanted.members > FEW else []


def _billing_day(stage: Stage, wanted: Wanted) -> Sequence[Part]:
    return [BillingDay(stage, min(wanted.members, MOST_NEWS))]


def _first_month(stage: Stage, wanted: Wanted) -> Sequence[Part]:
    return [FirstMonth(stage, min(wanted.members, MOST_NEWS))]


def _rules(stage: Stage, wanted: Wanted) -> Sequence[Part]:
    return [
        Bulk(stage, min(wanted.members, MOST), rules=5, name="five_rules", title="Issuance, five rules on one type")
    ]


def _surprises(stage: Stage, wanted: Wanted) -> Sequence[Part]:
    return [Surprised(stage, min(wanted.members, MOST))]


def _catch_up(stage: Stage, wanted: Wanted) -> Sequence[Part]:
    return [CatchUp(stage, min(wanted.members, MOST))]


def _chair(stage: Stage, wanted: Wanted) -> Sequence[Part]:
    members = min(wanted.members, MOST)
    return [Undoing(stage, members), Previewing(stage, members), Guarding(stage, members)]


def _peers(stage: Stage, wanted: Wanted) -> Sequence[Part]:
    # They are the same beside whichever commit.
    return peers(stage, wanted.members) if stage.product is WORKING_TREE else []


def _latency(stage: Stage, wanted: Wanted) -> Sequence[Part]:
    brands = latency.Brands(stage, wanted.members)
    short = wanted.members <= SHORT
    idle, cold = (20, 2) if short else (500, 10)
    return [
        latency.Steady(brands, "idle", f"event to credit, {latency.RATE}/s, idle", count=idle, pause=1 / latency.RATE),
        latency.Steady(
            brands, "cold", f"event to credit, one every {latency.COLD:.0f} s", count=cold, pause=latency.COLD
        ),
        latency.Beside(brands),
    ]


def _intake(stage: Stage, wanted: Wanted) -> Sequence[Part]:
    source = intake.Source(stage, min(wanted.members, MOST_EVENTS))
    return [
        intake.OverHttp(source),
        intake.Copy(source),
        intake.OverHttp(source, charges=True),
        intake.Copy(source, charges=True),
        intake.Load(source),
    ]


def _webhooks(stage: Stage, wanted: Wanted) -> Sequence[Part]:
    n = min(2 * wanted.members, MOST_WEBHOOKS)
    return [Burst(stage, n, stripe=False), Burst(stage, n, stripe=True)]


def _redemption(stage: Stage, wanted: Wanted) -> Sequence[Part]:
    n = min(wanted.members, MOST_REQUESTS)
    parts: list[type[redemption.OfCredits]] = [redemption.Redeeming, redemption.Reading]
    if stage.product is WORKING_TREE:  # the same beside whichever commit
        parts += [redemption.BareHttp, redemption.BareAsgi, redemption.BareHttpReading, redemption.BareAsgiReading]
        parts += [redemption.Bare]
    return [part(stage, n, wanted.rounds) for part in parts]


def _sweep(stage: Stage, wanted: Wanted) -> Sequence[Part]:
    # Measured inside the benchmark's own process, which has the working tree's code.
    if stage.product is not WORKING_TREE:
        return []
    return [Sweep(stage, wanted.members), ManyBrands(stage, SHARE if wanted.members <= SHORT else MANY)]


def _liability(stage: Stage, wanted: Wanted) -> Sequence[Part]:
    return [Owed(stage, wanted.members)] if stage.product is WORKING_TREE else []


def _long_lives(stage: Stage, wanted: Wanted) -> Sequence[Part]:
    if stage.product is not WORKING_TREE:  # measured inside the benchmark's own process
        return []
    short = wanted.members <= SHORT
    return [
        LongLives(stage, years=2 if short else 10, months=1 if short else 12, very_many=3_000 if short else VERY_MANY)
    ]


def _untraced(stage: Stage, wanted: Wanted) -> Sequence[Part]:
    return [Untraced(stage, min(wanted.members, MOST_UNTRACED))] if stage.product is WORKING_TREE else []


PARTS: dict[str, Maker] = {
    "floor": _floor,
    "bulk": _bulk,
    "growth": _growth,
    "billing_day": _billing_day,
    "first_month": _first_month,
    "rules": _rules,
    "surprises": _surprises,
    "catchup": _catch_up,
    "chair": _chair,
    "peers": _peers,
    "latency": _latency,
    "intake": _intake,
    "webhooks": _webhooks,
    "redemption": _redemption,
    "sweep": _sweep,
    "liability": _liability,
    "long_lives": _long_lives,
    "untraced": _untraced,
}


def make(stage: Stage, wanted: Wanted, only: Sequence[str]) -> list[Part]:
    """The parts that were asked for, in the order in which a round measures them."""
    return [part for name, make in PARTS.items() if name in (only or PARTS) for part in make(stage, wanted)]
