"""What the facts about one membership say, seen at one `now` (SEMANTICS 2, 5, 7 and 18)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from functools import cached_property
from typing import Any

from campaigns.model.calendars import Calendar
from campaigns.model.charges import Charge, charges_of, effective
from campaigns.model.parties import Person, parties
from campaigns.model.standing import BEGINNING, ENDED, STATUS, Standings
from campaigns.model.times import local_date, midnight
from campaigns.model.words import SIGN_UP, Fact

MOVED, STARTED, CHANGED = "membership.billing_date_moved", "membership.start_moved", "membership.type_changed"


class Reading:
    """One membership's facts whose `time` has come, whatever order they arrived in."""

    def __init__(self, timezone: str, billing: Mapping[str, str], facts: Iterable[Fact], now: datetime) -> None:
        """`billing`: `external` or `automatic`, by membership type."""
        self.timezone, self.now, self.billing = timezone, now, billing
        self.facts = sorted((fact for fact in facts if fact.time <= now), key=lambda fact: fact.order)
        self.sign_up = next(fact for fact in self.facts if fact.kind == SIGN_UP)
        self.membership = self.sign_up.membership
        self.starts_on: date = self.sign_up.data["starts_on"]
        self.anchor: date = self.sign_up.data.get("billing_anchor") or self.starts_on
        for fact in self._of(STARTED):
            if fact.time < self.midnight(self.starts_on):
                self.starts_on = fact.data["starts_on"]
                self.anchor = fact.data.get("billing_anchor") or self.starts_on
        told = {self.sign_up.data["starts_on"], *(fact.data["starts_on"] for fact in self._of(STARTED))}
        self.former_starts: set[date] = told - {self.starts_on}
        self.billing_frequency: str = self.sign_up.data.get("billing_frequency") or "P1M"
        self.moves = self._of(MOVED)
        self._calendars: dict[int, Calendar] = {}
        self.type_changes = self._of(CHANGED)
        #: What became of turns, by date and frequency, for all rules (see `owed`).
        self.known_releases: dict[tuple[date, str], Any] = {}
        self._charged([fact for fact in self.facts if fact.kind.startswith("charge.")])
        if "automatic" in self.billing.values():
            self._bill()

    def _of(self, kind: str) -> list[Fact]:
        return [fact for fact in self.facts if fact.kind == kind]

    def midnight(self, day: date) -> datetime:
        return midnight(self.timezone, day)

    def local_date(self, instant: datetime) -> date:
        return local_date(self.timezone, instant)

    # -- calendar (2)

    def calendar_as_of(self, instant: datetime) -> Calendar:
        """The calendar with the moves up to an instant."""
        number = sum(move.time <= instant for move in self.moves)
        if number not in self._calendars:
            until = self.local_date(self.now)
            self._calendars[number] = Calendar(
                self.timezone, self.starts_on, self.anchor, self.billing_frequency, self.moves[:number], until
            )
        return self._calendars[number]

    @property
    def calendar(self) -> Calendar:
        return self.calendar_as_of(self.now)

    # -- types (18)

    @property
    def first_type(self) -> str:
        found: str = self.sign_up.data["membership_type"]
        return found

    def type_at(self, instant: datetime) -> str:
        """The membership's type at an instant."""
        told = [change.data["membership_type"] for change in self.type_changes if change.time <= instant]
        return told[-1] if told else self.first_type

    @property
    def membership_type(self) -> str:
        return self.type_at(self.now)

    def changes_during(self, day: date, end: date | None) -> list[Fact]:
        """The changes of type at which the period from `day` to `end` is running; the sign-up's and P0D's never are."""
        if end is None or day == self.starts_on:
            return []
        return [each for each in self.type_changes if day <= self.local_date(each.time) < end]

    def type_of_turn(self, day: date, end: date | None) -> str:
        """By which type's rules the occurrence from `day` to `end` goes."""
        if day == self.starts_on:
            return self.first_type
        found = self.first_type
        running = self.changes_during(day, end)
        for change in self.type_changes:
            on = self.local_date(change.time)
            if on <= day or (change in running and change.data.get("current_period") == "switch"):
                found = change.data["membership_type"]
        return found

    # -- charges and status (7)

    def _charged(self, charged: list[Fact]) -> None:
        others = [fact for fact in self.facts if not fact.kind.startswith("charge.")]
        self.timeline = sorted(others + charged, key=lambda fact: fact.order)
        charged = [fact for fact in self.timeline if fact.kind.startswith("charge.")]
        self.charges: dict[str, Charge] = charges_of(
            charged, self.calendar, lambda fact: self.calendar_as_of(fact.time)
        )
        numbers = {id(fact): number for number, fact in enumerate(self.timeline)}
        #: By charge, what changed its state: (number among all facts, instant, state).
        self.states = {
            name: [(numbers[id(fact)], fact.time, state) for fact, state in effective(charge.facts)]
            for name, charge in self.charges.items()
        }
        by_number = {number: state for each in self.states.values() for number, _, state in each}
        self.standings = Standings(self.timeline, self.charges, by_number, self.midnight)

    def _bill(self) -> None:
        """Charges each billing period of an automatic type at its start."""
        told = any(fact.kind == STATUS for fact in self.facts)
        charged = [fact for fact in self.facts if fact.kind.startswith("charge.")]
        for day in self.calendar.days("billing_cycle"):
            instant = self.calendar.instant("billing_cycle", day)
            if instant > self.now:
                break
            end = self.calendar.next("billing_cycle", day)
            if self.midnight(end) <= self.sign_up.time or not self._is_billed(day, instant):
                continue
            if told:
                self._charged(charged)
                if self.status_at(instant) in ("paused", *ENDED):
                    continue
            data = {"charge": f"auto {day}", "period_start": day}
            kinds = ("charge.initiated", "charge.succeeded")
            charged += [Fact(f"{day} {kind}", instant, kind, self.membership, data, "automatic") for kind in kinds]
        self._charged(charged)

    def _is_billed(self, day: date, instant: datetime) -> bool:
        if self.billing[self.type_at(instant)] != "automatic":
            return False
        anchors = [move.data["billing_anchor"] for move in self.moves if move.time <= instant]
        return day > self.starts_on or (anchors[-1] if anchors else self.anchor) <= self.starts_on

    def status_at(self, instant: datetime) -> str:
        return self.standings.at(instant).status

    # -- guests (5)

    @cached_property
    def parties(self) -> list[tuple[datetime, list[Person]]]:
        lists = self._of("membership.guests_changed")
        since = [BEGINNING, *(fact.time for fact in lists)]
        return list(zip(since, parties(self.sign_up, lists), strict=True))

    def party(self, instant: datetime) -> list[Person]:
        """The guests on the order at `instant` who have stayed on it until now."""
        then = [party for since, party in self.parties if since <= instant][-1]
        later = [{guest.label for guest in party} for since, party in self.parties if since > instant]
        return [guest for guest in then if all(guest.label in labels for labels in later)]

    def sign_up_party(self) -> list[Person]:
        return self.party(BEGINNING)
