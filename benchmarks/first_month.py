"""The first boundary of a club whose members came by `issuance events load`: no membership is a copy."""

from benchmarks.club import Club
from benchmarks.samples import Sample
from benchmarks.stage import Stage


class FirstMonth:
    """As `bulk`, of a new club each round: every membership has its own sign-up, settled as the product does it."""

    name = "first_month"

    def __init__(self, stage: Stage, members: int) -> None:
        self.title = f"Issuance, the first month of {members:,} who came by `events load`"
        self._stage = stage
        self._members = members

    def prepare(self) -> None:
        self._url = self._stage.database(self.name)

    def measure(self) -> Sample:
        club = Club(self._stage, self._url, self._members, loaded=True)
        now = club.next_month()
        self._stage.settle_down(self.name)
        with self._stage.running(club.url) as site:
            seconds = club.move_clock(site, now)
        issued = club.credits(now.date())
        assert issued == self._members, f"issued {issued}"
        return Sample(issued, seconds)
