"""What the liability by month costs: all credits of a brand, read at once."""

from time import monotonic

from benchmarks.club import club_on
from benchmarks.samples import Sample
from benchmarks.stage import Stage
from issuance.credits import liability
from issuance.database import engine_for, transaction


class Owed:
    """`GET /customers/liability` of a brand with so many credits."""

    name = "liability"

    def __init__(self, stage: Stage, members: int) -> None:
        self.title = f"the liability by month, {members:,} credits"
        self._stage = stage
        self._members = members

    def prepare(self) -> None:
        self._club = club_on(self._stage, self.name, self._members)
        self._stage.settle_down(self.name)

    def measure(self) -> Sample:
        engine = engine_for(self._club.url)
        began = monotonic()
        with transaction(engine, self._club.brand_id) as connection:
            rows = liability.read(connection, self._club.brand_id)
        seconds = monotonic() - began
        engine.dispose()
        assert rows[-1]["closing"] >= self._members, "everybody holds one"
        return Sample(self._members, seconds)
