"""What the scheduler's look costs every second when nothing is due."""

from statistics import median
from time import monotonic

from benchmarks.club import Club
from benchmarks.samples import Sample
from benchmarks.stage import Stage
from issuance.database import engine_for, transaction
from issuance.engine import sweeps
from issuance.hints import broker_for
from issuance.settings import Settings
from scheduler import tick

LOOKS = 50
RULES = 5


class Sweep:
    """What is due? Nothing is: asked of a brand with so many (membership, rule) pairs."""

    name = "sweep"

    def __init__(self, stage: Stage, members: int) -> None:
        self.title = f"the scheduler's look, nothing due, {members * RULES:,} (membership, rule) pairs"
        self._stage = stage
        self._members = members

    def prepare(self) -> None:
        # Their credits are not looked at.
        self._club = Club(
            self._stage, self._stage.database(self.name), self._members, rules=RULES, leave_out=("credits",)
        )
        self._stage.settle_down(self.name)

    def measure(self) -> Sample:
        own = Settings(DATABASE_URL=self._club.url, REDIS_URL=self._stage.redis_url)
        engine, broker = engine_for(own.database_url), broker_for(own.redis_url)
        looks, ticks = [], []
        for _ in range(LOOKS):
            began = monotonic()
            with transaction(engine) as connection:
                brands = sweeps.brands_with_due(connection, most=tick.LIMITS.brands)
            looked = monotonic()
            asked = tick.run_once(engine, broker)
            ticks.append(1000 * (monotonic() - looked))
            looks.append(1000 * (looked - began))
            assert not brands
            assert asked == tick.Tick(), f"nothing is due, but {asked}"
        figures = {"pairs": self._members * RULES, "what_is_due_ms": median(looks), "whole_tick_ms": median(ticks)}
        return Sample(LOOKS, sum(ticks) / 1000, figures, looks)
