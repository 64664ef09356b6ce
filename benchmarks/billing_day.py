"""A billing day of a club that is billed from outside: its biller tells of every charge, all of them at once.

Each membership has news then, where an automatic club's boundary passes without any.
"""

from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep

from benchmarks.club import Club
from benchmarks.samples import Sample
from benchmarks.stage import Stage

#: Seconds between two looks how many credits there are, and without a further one until the product is given up.
_PAUSE, _PATIENCE = 0.05, 120.0


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
        with self._stage.running(club.url) as site, ThreadPoolExecutor(1) as pool:
            # Last month's credits expire here, before the clock of the measurement starts.
            club.move_clock(site, now)
            began = monotonic()
            posting = pool.submit(club.post, site, initiated)
            seconds = self._wait() - began
            posted = posting.result()
            # The biller's second word; waited for, so that the next month begins with all settled.
            club.post(site, succeeded)
            club.move_clock(site, now)
        issued = club.credits(now.date())
        assert issued == self._members, f"issued {issued}"
        return Sample(issued, seconds, {"posting_seconds": posted})

    def _wait(self) -> float:
        """The second of the monotonic clock on which the last credit of the month was there."""
        start, last, changed = self._club.now.date(), 0, monotonic()
        with self._club.looking() as look:
            while (found := self._club.credits(start, look)) < self._members:
                if found > last:
                    last, changed = found, monotonic()
                assert monotonic() - changed < _PATIENCE, f"{found} of {self._members} credits, and no more come"
                sleep(_PAUSE)
        return monotonic()
