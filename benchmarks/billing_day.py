"""A billing day of a club that is billed from outside: its biller tells of every charge, all of them at once.

Each membership has news then, where an automatic club's boundary passes without any.
"""

from time import monotonic, sleep

from benchmarks.club import Club
from benchmarks.samples import Sample
from benchmarks.stage import Stage

#: Seconds between two looks whether all charges are settled, and until the product is given up.
_PAUSE, _PATIENCE = 0.05, 600.0
# By the index of what is not settled: counting the credits would take a fifth of PostgreSQL's time from the product.
_LEFT = "SELECT EXISTS (SELECT FROM billing_events WHERE brand_id = %(brand_id)s AND settled_at IS NULL)"


class BillingDay:
    """`charge.initiated` of all memberships is posted; until the last credit is there."""

    name = "billing_day"

    def __init__(self, stage: Stage, members: int) -> None:
        self.title = f"Issuance, billed from outside: {members:,} charges at once"
        self._stage = stage
        self._members = members

    def prepare(self) -> None:
        self._club = Club(self._stage, self._stage.database(self.name), self._members, billing="external")

    def measure(self) -> Sample:
        club = self._club
        now = club.next_month()
        memberships = club.memberships()
        initiated = [club.charge(one, "initiated") for one in memberships]
        succeeded = [club.charge(one, "succeeded") for one in memberships]
        self._stage.settle_down(self.name)
        with self._stage.running(club.url) as site:
            # Last month's credits expire here, before the clock of the measurement starts.
            club.move_clock(site, now)
            began = monotonic()
            posted = club.post(site, initiated)
            self._wait()
            seconds = monotonic() - began
            # The biller's second word; waited for, so that the next month begins with all settled.
            club.post(site, succeeded)
            club.move_clock(site, now)
        issued = club.credits(now.date())
        assert issued == self._members, f"issued {issued}"
        return Sample(issued, seconds, {"posting_seconds": posted})

    def _wait(self) -> None:
        """Until the last charge is settled, and the last credit of the month with it."""
        until = monotonic() + _PATIENCE
        with self._club.looking() as look:
            while look(_LEFT):
                assert monotonic() < until, f"only {self._club.credits(self._club.now.date(), look)} credits came"
                sleep(_PAUSE)
