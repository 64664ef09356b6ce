"""The random life of one membership: sign-up, charges, statuses, guests and moved billing dates, as they arrive."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

from campaigns.model.times import MONTHS, local_date, midnight, plus_months
from campaigns.model.words import Fact, Guest

COURSES: dict[str, list[str]] = {
    "paid": ["initiated", "succeeded"],
    "paid at once": ["succeeded"],
    "in progress": ["initiated"],
    "failed": ["initiated", "failed"],
    "failed at once": ["failed"],
    "retried": ["initiated", "failed", "initiated", "succeeded"],
    "retrying": ["initiated", "failed", "initiated"],
    "waived": ["skipped"],
    "waived after failing": ["initiated", "failed", "skipped"],
    "paid after all": ["skipped", "succeeded"],
    "refunded": ["initiated", "succeeded", "refunded"],
    "refunded in part": ["initiated", "succeeded", "refunded in part"],
    "refunded bit by bit": ["succeeded", "refunded in part", "refunded of the sum"],
    "disputed": ["succeeded", "disputed"],
    "dispute won": ["succeeded", "disputed", "succeeded"],
    "never taken": [],
}
STATUSES = ["active", "active", "needs_attention", "paused", "paused", "cancelled", "expired"]
USUAL = ["paid", "paid at once", "in progress"]


@dataclass
class Life:
    """Draws the facts of the membership `name`; `arrivals` are (arrival instant, fact)."""

    random: Random
    name: str
    timezone: str
    start: datetime
    end: datetime
    types: dict[str, str]
    transitions: list[date]
    arrivals: list[tuple[datetime, Fact]] = field(default_factory=list)
    numbered: int = 0

    def draw(self) -> list[tuple[datetime, Fact]]:
        self._sign_up()
        moves = self._moves()
        if self.types[self.membership_type] == "external":
            self._charges(moves)
        self._statuses()
        self._guests()
        return self.arrivals

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def between(self, first: datetime, last: datetime) -> datetime:
        seconds = max(1, int((last - first).total_seconds()))
        return first + timedelta(seconds=self.random.randrange(seconds))

    def _sometime(self, first: datetime, last: datetime) -> datetime:
        """An instant in between; often exactly the start of a period of a monthly calendar."""
        time = self.between(first, last)
        if self.chance(0.3):
            months = (time.year - self.anchor.year) * 12 + time.month - self.anchor.month
            time = max(first, midnight(self.timezone, plus_months(self.anchor, max(0, months))))
        return time

    def _happens(self, kind: str, time: datetime, data: dict[str, Any]) -> Fact:
        """One event, arriving promptly, late, ahead of its time or twice; never before the history's start."""
        self.numbered += 1
        fact = Fact(f"{self.name}-{self.numbered:03}", time, kind, self.name, data)
        arrival = time + timedelta(seconds=self.random.randrange(0, 90))
        if self.chance(0.15):
            arrival = self.between(time, time + timedelta(days=self.random.choice([1, 10, 70])))
        elif self.chance(0.1):
            arrival = time
        elif self.chance(0.12):
            arrival = self.between(time - timedelta(days=20), time)
        arrival = max(arrival, self.start + timedelta(seconds=1 + self.numbered))
        self.arrivals.append((arrival, fact))
        if self.chance(0.06):
            self.arrivals.append((self.between(arrival, arrival + timedelta(days=30)), fact))
        return fact

    # -- sign-up

    def _sign_up(self) -> None:
        random = self.random
        self.membership_type = random.choice(list(self.types))
        joined = self.between(self.start, self.start + (self.end - self.start) * 0.5)
        if self.chance(0.25):  # an import
            joined -= timedelta(days=random.randrange(30, 400))
        self.starts_on = self._special(local_date(self.timezone, joined))
        if self.chance(0.25):
            self.starts_on += timedelta(days=random.randrange(0, 25))
        self.anchor = self.starts_on
        if self.chance(0.4):
            self.anchor = max(self.starts_on, self._special(self.starts_on + timedelta(days=random.randrange(1, 40))))
        self.frequency = random.choice(["P1M"] * 6 + ["P3M", "P6M", "P1Y", "P1Y"])
        time = min(joined, midnight(self.timezone, self.starts_on) + timedelta(hours=random.randrange(1, 20)))
        if joined < self.start and self.chance(0.6):
            time = self.start - timedelta(seconds=random.randrange(1, 5000))
        data: dict[str, Any] = {
            "membership_type": self.membership_type,
            "starts_on": self.starts_on,
            "billing_frequency": self.frequency,
            "billing_anchor": self.anchor if self.anchor != self.starts_on or self.chance(0.5) else None,
        }
        self.party: list[Guest] = []
        if self.chance(0.75):
            names = random.sample(["ann", "bob", "cy", "dee"], random.randrange(1, 4))
            self.party = [Guest(f"{self.name} {name}", name == names[0]) for name in names]
            data["guests"] = self.party
        self.signed_up = self._happens("membership.signed_up", time, data)
        if self.chance(0.04):
            self._happens("membership.signed_up", time + timedelta(hours=1), data)

    def _special(self, day: date) -> date:
        """Often a day that is hard: a month's last days, its first, or one whose midnight is skipped or doubled."""
        if self.chance(0.35):
            return plus_months(day.replace(day=1), 1) - timedelta(days=self.random.randrange(1, 4))
        if self.chance(0.15):
            return day.replace(day=1)
        if self.chance(0.3):
            return min(self.transitions, key=lambda each: abs((each - day).days))
        return day

    # -- charges

    def _moves(self) -> list[Fact]:
        moves: list[Fact] = []
        while len(moves) < 2 and self.chance(0.15):
            time = self._sometime(max(self.start, self.signed_up.time), self.end)
            anchor = self._special(local_date(self.timezone, time) + timedelta(days=self.random.randrange(-40, 45)))
            moves.append(self._happens("membership.billing_date_moved", time, {"billing_anchor": anchor}))
        return sorted(moves, key=lambda fact: fact.order)

    def _boundaries(self, moves: list[Fact]) -> list[date]:
        months = MONTHS[self.frequency]
        until = local_date(self.timezone, self.end) + timedelta(days=400)
        days = {self.starts_on}
        for since, anchor in [(None, self.anchor)] + [(move.time, move.data["billing_anchor"]) for move in moves]:
            if since is not None:
                days = {day for day in days if day == self.starts_on or midnight(self.timezone, day) <= since}
            series = {day for k in range(60) if (day := plus_months(anchor, k * months)) <= until}
            new = {day for day in series if since is None or midnight(self.timezone, day) > since}
            days |= {day for day in new if day > self.starts_on}
        return sorted(days)

    def _charges(self, moves: list[Fact]) -> None:
        days = self._boundaries(moves)
        usual = self.chance(0.4)
        for number, (first, last) in enumerate(pairwise(days)):
            if midnight(self.timezone, first) > self.end:
                break
            if number == 0 and self.anchor != self.starts_on and self.chance(0.5):
                continue
            course = self.random.choice(USUAL if usual or self.chance(0.5) else list(COURSES))
            self._charge(f"{self.name} c{number}", first, last if self.chance(0.7) else None, COURSES[course])
            if self.chance(0.08):  # another one over the same days
                longer = plus_months(first, self.random.choice([1, 2, 12]))
                self._charge(f"{self.name} d{number}", first, longer, self.random.choice(list(COURSES.values())))

    def _charge(self, charge: str, first: date, last: date | None, course: list[str]) -> None:
        time = midnight(self.timezone, first)
        if self.chance(0.7):
            time += timedelta(seconds=self.random.choice([-200000, -40, 40, 7000, 7000, 100000]))
        for state in course:
            amount = {"amount": 5000} if self.chance(0.8) or "refunded" in state else {}
            data: dict[str, Any] = {"charge": charge, "period_start": first, "period_end": last, **amount}
            if state == "refunded in part":
                data["amount_refunded"] = 2000
            elif state == "refunded of the sum" or (state == "refunded" and self.chance(0.5)):
                data["amount_refunded"] = 5000
            self._happens(f"charge.{state.split()[0]}", time, data)
            time += timedelta(seconds=self.random.choice([1, 3600, 90000, 400000, 1500000]))

    # -- statuses and guests

    def _statuses(self) -> None:
        for _ in range(self.random.choice([0, 0, 0, 1, 2, 3])):
            time = self._sometime(max(self.start, self.signed_up.time) - timedelta(days=10), self.end)
            status = self.random.choice(
                ["active", "active", "needs_attention", "paused", "paused", "cancelled", "expired"]
            )
            data: dict[str, Any] = {"status": status}
            if status in ("cancelled", "expired") and self.chance(0.6):
                ahead = self.random.choice([-9, 0, 1, 20, 60])
                data["ends_on"] = local_date(self.timezone, time) + timedelta(days=ahead)
                if self.chance(0.3):
                    data["ends_on"] = local_date(self.timezone, self._sometime(time, time + timedelta(days=90)))
            self._happens("membership.status_changed", time, data)
            if status in ("paused", "needs_attention") or self.chance(0.3):
                back = self.between(time, time + timedelta(days=70))
                self._happens("membership.status_changed", back, {"status": "active"})

    def _guests(self) -> None:
        party = self.party
        for _ in range(self.random.choice([0, 0, 1, 2])):
            time = self._sometime(max(self.start, self.signed_up.time), self.end)
            names = self.random.sample(["ann", "bob", "cy", "dee", "eve"], self.random.randrange(1, 4))
            kept = [guest.name.split()[1] for guest in party if self.chance(0.7)]
            names = list(dict.fromkeys([*kept, *names]))
            lead = self.random.choice(names)
            party = [Guest(f"{self.name} {name}", name == lead) for name in names]
            self._happens("membership.guests_changed", time, {"guests": party})
