"""Catching up: twelve cycles of a roll-over rule were missed, and are made up for at once."""

from benchmarks.club import Club
from benchmarks.samples import Sample
from benchmarks.stage import Stage

CYCLES = 12


class CatchUp:
    """A brand that wakes up twelve months later, beside the same brand's single cycle."""

    name = "catch_up"
    title = f"catching up {CYCLES} missed cycles of a roll-over rule"

    def __init__(self, stage: Stage, members: int) -> None:
        self._stage = stage
        self._members = members

    def prepare(self) -> None:
        self._club = Club(self._stage, self._stage.database(self.name), self._members, roll_over=True)

    def measure(self) -> Sample:
        single = self._run(1)
        missed = self._run(CYCLES)
        cost = missed / CYCLES / single
        figures = {"single_run_per_second": self._members / single, "cost_per_credit_against_a_single_run": cost}
        return Sample(CYCLES * self._members, missed, figures)

    def _run(self, months: int) -> float:
        before = self._credits()
        now = self._club.next_month(months)
        self._stage.settle_down(self.name)
        with self._stage.running(self._club.url) as site:
            seconds = self._club.move_clock(site, now, jump=months > 1)
        issued = self._credits() - before
        assert issued == months * self._members, f"issued {issued}"
        return seconds

    def _credits(self) -> int:
        return int(self._club.value("SELECT count(*) FROM credits WHERE brand_id = %(brand_id)s"))
