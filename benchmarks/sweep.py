"""What the scheduler's look costs every second: when nothing is due, and when many brands have something due."""

from collections.abc import Iterator
from contextlib import contextmanager
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
#: Looks at many brands, each with so many schedules; one brand in a hundred has something due.
MANY_LOOKS, SCHEDULES, SHARE = 10, 5, 100
RULES = 5

_LATER = """
    INSERT INTO schedules (brand_id, schedule_id, due_at)
    SELECT brand_id, gen_random_uuid(), now() + day * interval '1 day' FROM brands, generate_series(1, %s) day
"""
_DUE = """
    INSERT INTO schedules (brand_id, schedule_id, due_at)
    SELECT brand_id, gen_random_uuid(), now() - interval '1 minute' FROM brands ORDER BY brand_id LIMIT %s
"""


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


class ManyBrands:
    """What is due? Something is, for one brand in a hundred: a look at all of them plans those brands' sweeps."""

    name = "many_brands"

    def __init__(self, stage: Stage, brands: int) -> None:
        self.title = f"the scheduler's tick, {brands // SHARE:,} of {brands:,} brands have something due"
        self._stage = stage
        self._brands = brands

    def prepare(self) -> None:
        self._url = self._stage.database(self.name)
        with self._stage.admin(self.name) as connection:
            connection.execute(
                "INSERT INTO brands (brand_id, name, timezone, environment)"
                " SELECT gen_random_uuid(), 'brand ' || number, 'UTC', 'live' FROM generate_series(1, %s) number",
                [self._brands],
            )
            connection.execute(_LATER, [SCHEDULES])
        self._stage.settle_down(self.name)

    def measure(self) -> Sample:
        own = Settings(DATABASE_URL=self._url, REDIS_URL=self._stage.redis_url)
        engine, broker = engine_for(own.database_url), broker_for(own.redis_url)
        tick.run_once(engine, broker)
        nothing, many = [], []
        for _ in range(MANY_LOOKS):
            began = monotonic()
            tick.run_once(engine, broker)
            nothing.append(1000 * (monotonic() - began))
            with self._something_due():
                began = monotonic()
                asked = tick.run_once(engine, broker)
                many.append(1000 * (monotonic() - began))
            assert asked.sweeps == self._brands // SHARE, f"a sweep each is due, but {asked}"
        figures = {"brands": self._brands, "nothing_due_ms": median(nothing), "many_due_ms": median(many)}
        return Sample(MANY_LOOKS, sum(many) / 1000, figures, many)

    @contextmanager
    def _something_due(self) -> Iterator[None]:
        with self._stage.admin(self.name) as connection:
            connection.execute(_DUE, [self._brands // SHARE])
            yield
            connection.execute("DELETE FROM run_batches")
            connection.execute("DELETE FROM runs")
            connection.execute("DELETE FROM schedules WHERE due_at < now()")
