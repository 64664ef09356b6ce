"""Issuance itself: a boundary passes, and every membership gets a credit and loses last month's.

Measured from the moment the clock passes it to the last credit visible, with everything running as the Procfile has it.
"""

from contextlib import suppress
from datetime import datetime
from threading import Thread
from time import monotonic, sleep

import httpx

from benchmarks.club import Ask, club_on
from benchmarks.samples import Sample
from benchmarks.site import Site
from benchmarks.stage import Stage

#: Seconds between two looks how far a sweep is.
_PAUSE = 0.02
#: Another thousandth of the memberships each month.
_SURPRISE = """
    CREATE FUNCTION surprise() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'a surprise';
    END $$;
    CREATE TRIGGER surprise BEFORE INSERT ON credits FOR EACH ROW
        WHEN (hashtext(NEW.membership_id::text || NEW.period_start::text) % 1000 = 0) EXECUTE FUNCTION surprise();
"""
# Of all; those who failed a month ago are looked at again by small ones of their own.
_SWEEPS = """
    SELECT count(*) FROM runs
     WHERE brand_id = %(brand_id)s AND kind = 'sweep' AND finished_at IS NOT NULL AND total > %(most)s
"""
_CLOCK = "SELECT clock_now FROM brands WHERE brand_id = %(brand_id)s"
_DISK = "SELECT pg_total_relation_size('credits')::float / count(*) FROM credits WHERE brand_id = %(brand_id)s"
_EXPIRED = "SELECT count(*) FROM credits WHERE brand_id = %(brand_id)s AND expired_at IS NOT NULL"


class Bulk:
    """One cycle of all memberships, through scheduler, queue and workers."""

    def __init__(self, stage: Stage, members: int, *, rules: int = 1, name: str = "bulk", title: str = "") -> None:
        self.name = name
        self.title = title or "Issuance: clock, scheduler, queue, workers"
        self._stage = stage
        self._members = members
        self._rules = rules

    def prepare(self) -> None:
        self.club = club_on(self._stage, self.name, self._members, rules=self._rules)

    def measure(self) -> Sample:
        now = self.club.next_month()
        before = self.expired()
        self._stage.settle_down(self.name)
        with self._stage.running(self.club.url) as site, self._stage.counting(self.name) as counts:
            seconds = self.club.move_clock(site, now)
            memory = site.peak_memory()
        issued, expired = self.club.credits(now.date()), self.expired() - before
        assert (issued, expired) == (self.expected(), self.expected()), f"issued {issued}, expired {expired}"
        # What the processes do when idle counts too, as it would.
        per_credit = {f"{name}_per_credit": count / issued for name, count in counts.items()}
        disk = {"disk_bytes_per_credit": float(self.club.value(_DISK))}
        return Sample(issued, seconds, {**per_credit, **disk, **memory})

    def expected(self) -> int:
        """How many credits a cycle gives."""
        return self._members * self._rules

    def expired(self) -> int:
        return int(self.club.value(_EXPIRED))


class Surprised(Bulk):
    """The same where one membership in a thousand fails for a reason that nothing in the product knows of.

    Measured from the clock's move, for which those are waited for that failed a month ago, until all others have their
    credits: until the sweep is finished. Those that fail are tried again later.
    """

    def __init__(self, stage: Stage, members: int) -> None:
        super().__init__(stage, members, name="surprised", title="Issuance, 1 membership in 1,000 fails unexpectedly")

    def prepare(self) -> None:
        super().prepare()
        with self._stage.admin(self.name) as connection:
            connection.execute(_SURPRISE)

    def measure(self) -> Sample:
        now = self.club.next_month()
        self._stage.settle_down(self.name)
        with self._stage.running(self.club.url) as site, self.club.looking() as look:
            earlier = self._sweeps(look)
            Thread(target=self._move_clock, args=(site, now), daemon=True).start()
            while look(_CLOCK) != now:
                sleep(_PAUSE)
            began = monotonic()
            while self._sweeps(look) == earlier:
                sleep(_PAUSE)
            seconds = monotonic() - began
        issued = self.club.credits(now.date())
        failed = self._members - issued
        assert failed < self._members / 100, f"{failed} of {self._members} failed"
        return Sample(issued, seconds, {"failed": failed})

    def _sweeps(self, look: Ask) -> int:
        return int(look(_SWEEPS, most=self._members // 2))

    def _move_clock(self, site: Site, now: datetime) -> None:
        # Answers when the failing ones were given up, for which nobody waits here.
        with suppress(httpx.HTTPError):
            self.club.move_clock(site, now)
