"""The random life of one membership: sign-up, charges, statuses, guests and moved billing dates, as they arrive."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

from campaigns.model.calendars import Calendar
from campaigns.model.reading import MOVED, STARTED
from campaigns.model.standing import STATUS
from campaigns.model.times import local_date, midnight, plus_months
from campaigns.model.words import SIGN_UP, Fact, Guest

#: What happens to a charge, in order. After "|" it goes on under a new id, for the same period.
COURSES: dict[str, list[str]] = {
    "paid": ["initiated", "succeeded"],
    "paid at once": ["succeeded"],
    "in progress": ["initiated"],
    "failed": ["initiated", "failed"],
    "failed at once": ["failed"],
    "retried": ["initiated", "failed", "initiated", "succeeded"],
    "retrying": ["initiated", "failed", "initiated"],
    "retried under a new id": ["initiated", "failed", "|", "initiated", "succeeded"],
    "retrying under a new id": ["failed", "|", "initiated"],
    "an older attempt fails": ["initiated", "|", "succeeded", "older failed"],
    "told again while an older attempt fails": ["initiated", "|", "initiated", "older failed", "initiated"],
    "told twice": ["initiated", "initiated", "succeeded", "succeeded"],
    "failed, as told again and again": ["failed", "initiated", "failed", "initiated", "initiated"],
    "waived": ["skipped"],
    "waived after failing": ["initiated", "failed", "skipped"],
    "paid after all": ["skipped", "succeeded"],
    "refunded": ["initiated", "succeeded", "refunded"],
    "refunded in part": ["initiated", "succeeded", "refunded in part"],
    "refunded by nothing": ["succeeded", "refunded by nothing"],
    "refunded bit by bit": ["succeeded", "refunded in part", "refunded of the sum"],
    "refunded, then disputed and lost": ["succeeded", "refunded", "disputed", "refunded"],
    "disputed": ["succeeded", "disputed"],
    "dispute lost": ["succeeded", "disputed", "refunded"],
    "dispute won": ["succeeded", "disputed", "succeeded"],
    "never taken": [],
}
REFUNDED = {"refunded in part": 2000, "refunded by nothing": 0, "refunded of the sum": 5000}
STATUSES = ["active", "active", "needs_attention", "paused", "paused", "cancelled", "expired"]
USUAL = ["paid", "paid at once", "in progress"]
FREQUENCIES = ["P1M"] * 10 + ["P3M", "P6M", "P1Y", "P1Y", "P1W", "P2W", "P4W", "P2M", "P5M", "P18M", "P2Y", "P52W"]
NAMES = ["ann", "bob", "cy", "dee", "eve"]


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
        self._start()
        self._type_changes()
        moves = self._moves()
        if "external" in {self.types[name] for name in self.was}:
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
        """One event, arriving promptly, late, ahead of its time or twice; never before the history's start. Some
        happen in the very second of an earlier one: billers' clocks tick in seconds."""
        self.numbered += 1
        if self.arrivals and self.chance(0.04) and kind != SIGN_UP:
            near = [fact.time for _, fact in self.arrivals if abs(fact.time - time) < timedelta(days=2)]
            time = self.random.choice(near or [time])
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
        self.frequency = random.choice(FREQUENCIES)
        time = min(joined, midnight(self.timezone, self.starts_on) + timedelta(hours=random.randrange(1, 20)))
        if joined < self.start and self.chance(0.6):
            time = self.start - timedelta(seconds=random.randrange(1, 5000))
        data: dict[str, Any] = {
            "membership_type": self.membership_type,
            "starts_on": self.starts_on,
            "billing_frequency": None if self.frequency == "P1M" and self.chance(0.1) else self.frequency,
            "billing_anchor": self.anchor if self.anchor != self.starts_on or self.chance(0.5) else None,
        }
        self.party: list[Guest] = []
        if self.chance(0.75):
            names = random.sample(NAMES[:4], random.randrange(1, 4))
            identified = self.chance(0.7)
            self.party = [self._guest(name, name == names[0], identified) for name in names]
            data["guests"] = self.party
        self.signed_up = self._happens(SIGN_UP, time, data)
        if self.chance(0.04):
            self._happens(SIGN_UP, time + timedelta(hours=1), data)

    def _start(self) -> None:
        """A trial that is extended, or cut short; sometimes told too late to count."""
        if not self.chance(0.12):
            return
        start = midnight(self.timezone, self.starts_on)
        time = self.between(min(self.signed_up.time, start) - timedelta(hours=1), start + timedelta(hours=4))
        moved = self._special(
            max(self.starts_on, local_date(self.timezone, time)) + timedelta(days=self.random.randrange(-10, 40))
        )
        anchor = moved + timedelta(days=self.random.randrange(30)) if self.chance(0.3) else None
        told = self._happens(STARTED, time, {"starts_on": moved, "billing_anchor": anchor})
        if told.time >= start:
            return
        was = self.starts_on, self.anchor
        self.starts_on, self.anchor = moved, anchor or moved
        if self.chance(0.3):  # and back, as if it had never been moved
            start = midnight(self.timezone, moved)
            dates = {"starts_on": was[0], "billing_anchor": was[1]}
            if self._happens(STARTED, self.between(told.time, max(told.time, start)), dates).time < start:
                self.starts_on, self.anchor = was

    def _type_changes(self) -> None:
        self.was = {self.membership_type}
        while len(self.types) > 1 and self.chance(0.4 if len(self.was) == 1 else 0.25):
            time = self._sometime(self.signed_up.time, self.end)
            if self.chance(0.3):
                time += timedelta(seconds=self.random.choice([1, 3600, 36000]))
            kind = self.random.choice(list(self.types))
            self.was.add(kind)
            data: dict[str, Any] = {"membership_type": kind}
            if self.chance(0.8):
                data["current_period"] = self.random.choice(["keep", "switch"])
            self._happens("membership.type_changed", time, data)

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
        while len(moves) < 3 and self.chance(0.18):
            time = self._sometime(max(self.start, self.signed_up.time), self.end)
            today = local_date(self.timezone, time)
            anchor = (
                today if self.chance(0.25) else self._special(today + timedelta(days=self.random.randrange(-40, 45)))
            )
            data: dict[str, Any] = {"billing_anchor": anchor}
            if self.chance(0.25):
                data["billing_frequency"] = self.random.choice(FREQUENCIES)
            moves.append(self._happens(MOVED, time, data))
        return sorted(moves, key=lambda fact: fact.order)

    def _boundaries(self, moves: list[Fact]) -> list[date]:
        """Days on which a biller may charge: those of the calendar, and some of the one before a move."""
        until = local_date(self.timezone, self.end)
        terms = (self.timezone, self.starts_on, self.anchor, self.frequency)
        days = Calendar(*terms, moves, until).days("billing_cycle")
        if moves and self.chance(0.3):
            days = sorted({*days, *Calendar(*terms, moves[:-1], until).days("billing_cycle")})
        return days

    def _charges(self, moves: list[Fact]) -> None:
        days = self._boundaries(moves)
        usual, off = self.chance(0.4), self.chance(0.25)
        for number, (first, last) in enumerate(pairwise(days)):
            if midnight(self.timezone, first) > self.end or number > 70:
                break
            if number == 0 and self.anchor != self.starts_on and self.chance(0.5):
                continue
            course = self.random.choice(USUAL if usual or self.chance(0.5) else list(COURSES))
            if off:  # the biller is days off, or counts its last day in
                first += timedelta(days=self.random.choice([0, 0, 0, 1, 2, -1, 3, -2, 6]))
                last += timedelta(days=self.random.choice([0, 0, -1, -1, 1, -2, 4]))
            name = f"{self.name} c{number}"
            self._charge(name, first, last if last >= first and self.chance(0.7) else None, COURSES[course])
            if self.chance(0.08):  # another one over the same days
                longer = plus_months(first, self.random.choice([1, 2, 12]))
                self._charge(f"{self.name} d{number}", first, longer, self.random.choice(list(COURSES.values())))
            if self.chance(0.05):  # a one-off beside the calendar
                day = first + timedelta(days=self.random.randrange(4, 20))
                course = self.random.choice(["failed", "paid at once", "disputed"])
                self._charge(f"{self.name} o{number}", day, day + timedelta(days=1), COURSES[course])

    def _charge(self, charge: str, first: date, last: date | None, course: list[str]) -> None:
        time = midnight(self.timezone, first)
        if self.chance(0.7):
            time += timedelta(seconds=self.random.choice([-200000, -40, 40, 7000, 7000, 100000]))
        amount = {"amount": 5000} if self.chance(0.8) else {}
        forgetful, name, wrong = self.chance(0.15), charge, len(course) > 1 and self.chance(0.06)
        for state in course:
            if state == "|":
                name = f"{charge} again"
                continue
            of = charge if state.startswith("older") else name
            told_end = last if not (forgetful and self.chance(0.5)) else None
            data: dict[str, Any] = {"charge": of, "period_start": first, "period_end": told_end, **amount}
            if state in REFUNDED:
                data["amount_refunded"] = REFUNDED[state]
            elif state == "refunded" and self.chance(0.5):
                data |= {"amount": 5000, "amount_refunded": 5000}
            if wrong:  # of the month before, as the first fact says
                data |= {"period_start": plus_months(first, -1), "period_end": first}
            kind, wrong = state.removeprefix("older ").split()[0], False
            self._happens(f"charge.{kind}", time, data)
            time += timedelta(seconds=self.random.choice([0, 1, 3600, 90000, 400000, 1500000, 3000000]))

    # -- statuses and guests

    def _statuses(self) -> None:
        for _ in range(self.random.choice([0, 0, 0, 1, 2, 3])):
            time = self._sometime(max(self.start, self.signed_up.time) - timedelta(days=10), self.end)
            status = self.random.choice(STATUSES)
            data: dict[str, Any] = {"status": status}
            if self.chance(0.6 if status in ("cancelled", "expired") else 0.1):
                ahead = self.random.choice([-9, 0, 1, 20, 60])
                data["ends_on"] = local_date(self.timezone, time) + timedelta(days=ahead)
                if self.chance(0.3):
                    data["ends_on"] = local_date(self.timezone, self._sometime(time, time + timedelta(days=90)))
            elif status not in ("cancelled", "expired") and self.chance(0.1):
                data["ends_on"] = None
            self._happens(STATUS, time, data)
            if status in ("paused", "needs_attention") or self.chance(0.3):
                back = self.between(time, time + timedelta(days=70))
                if self.chance(0.3):  # resumed on a billing day
                    back = self._sometime(time, back) + timedelta(hours=self.random.choice([0, 1, 9]))
                self._happens(STATUS, back, {"status": "active"})

    def _guest(self, name: str, lead: bool, by_id: bool) -> Guest:
        """The person of that name, always with the same e-mail and member, where they have them at all."""
        own = Random(f"{self.name} {name}")
        email = f"{self.name}.{name}@club.test" if own.random() < 0.4 else None
        member = f"{self.name} {name} member" if own.random() < 0.3 else None
        return Guest(f"{self.name} {name}", lead, None, by_id, email, member)

    def _guests(self) -> None:
        party = [guest.name.split()[1] for guest in self.party]
        lead = party[0] if party else None
        identified = all(guest.by_id for guest in self.party)
        for _ in range(self.random.choice([0, 0, 1, 2])):
            time = self._sometime(max(self.start, self.signed_up.time), self.end)
            same = self.chance(0.25)
            names = [] if same else self.random.sample(NAMES, self.random.randrange(0, 3))
            kept = [name for name in party if same or self.chance(0.7)]
            party = list(dict.fromkeys([*kept, *names])) or NAMES[:1]
            lead = lead if lead in party and self.chance(0.7) else self.random.choice(party)
            by_id = identified and self.chance(0.6)
            guests = [self._guest(name, name == lead, by_id) for name in party]
            if not by_id:
                guests = [self._vague(guest) for guest in guests]
                if self.chance(0.1):  # namesakes
                    guests[0] = replace(guests[0], name=guests[-1].name)
            self._happens("membership.guests_changed", time, {"guests": guests})

    def _vague(self, guest: Guest) -> Guest:
        """The same entry, saying less, or with an address that others have too."""
        return replace(
            guest,
            email=guest.email if self.chance(0.7) else self.random.choice([None, None, f"{self.name}@family.test"]),
            external_user_id=guest.external_user_id if self.chance(0.7) else None,
        )
