"""What the oracle knows: facts by membership, which of them the engine has settled with, rules, and credits."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from campaigns.model.reading import Reading
from campaigns.model.times import midnight
from campaigns.model.words import SIGN_UP, Credit, Fact, Version


class Memory:
    """A brand in memory. A fact that waits was accepted, but nobody has settled its membership with it yet."""

    def __init__(self, timezone: str, now: datetime) -> None:
        self.timezone = timezone
        self.now = now
        self.coupons: dict[str, str | None] = {}
        #: The coupons that were saved again with another validity.
        self.edited: set[str] = set()
        #: The validities that coupons had before, each until an instant.
        self.former: dict[str, list[tuple[datetime, str | None]]] = {}
        self.types: dict[str, str] = {}
        self.rules: dict[str, list[Version]] = {}
        self.heard: dict[tuple[str, str], Fact] = {}
        self.facts_of: dict[str, list[Fact]] = {}
        self.sign_ups: dict[str, Fact] = {}
        self.waiting: set[tuple[str, str]] = set()
        self.credits_of: dict[str, list[Credit]] = {}
        #: The members who are removed; a member goes by the label of their membership.
        self.archived: set[str] = set()
        #: When a member who had been removed came back: what began before that is never given.
        self.revived: dict[str, datetime] = {}

    @property
    def credits(self) -> list[Credit]:
        return [credit for own in self.credits_of.values() for credit in own]

    def hear(self, facts: list[Fact]) -> dict[str, int]:
        """Takes facts in, and says how many were accepted, known already, or rejected as second sign-ups."""
        answer = {"accepted": 0, "duplicates": 0, "rejected": 0}
        for fact in facts:
            key = (fact.source, fact.id)
            if key in self.heard:
                answer["duplicates"] += 1
            elif fact.kind == SIGN_UP and fact.membership in self.sign_ups:
                answer["rejected"] += 1
            else:
                answer["accepted"] += 1
                self.heard[key] = fact
                self.waiting.add(key)
                self.facts_of.setdefault(fact.membership, []).append(fact)
                if fact.kind == SIGN_UP:
                    self.sign_ups[fact.membership] = fact
        return answer

    def reading(self, membership: str, *, waiting_too: bool = False) -> Reading | None:
        """What is known of a membership; None: it has not signed up, or not yet by the clock."""
        sign_up = self.sign_ups.get(membership)
        if sign_up is None or sign_up.time > self.now:
            return None
        known = self.facts_of[membership]
        if self.waiting and not waiting_too:
            known = [fact for fact in known if (fact.source, fact.id) not in self.waiting]
            if sign_up not in known:
                return None
        return Reading(self.timezone, self.types, known, self.now)

    def readings(self) -> Iterator[Reading]:
        for membership in self.sign_ups:
            reading = self.reading(membership)
            if reading is not None:
                yield reading

    def own(self, rule: str, membership: str) -> list[Credit]:
        """The credits that a rule gave a membership."""
        return [credit for credit in self.credits_of.get(membership, []) if credit.rule == rule]

    def next_instant(self, membership: str, until: datetime) -> datetime | None:
        """The first instant after now, up to `until`, at which something may fall due: a fact's time, a boundary or
        an announced end."""
        facts = self.facts_of[membership]
        found = {fact.time for fact in facts}
        found |= {midnight(self.timezone, fact.data["ends_on"]) for fact in facts if fact.data.get("ends_on")}
        reading = self.reading(membership)
        if reading is not None:
            frequencies = {each.issuing_frequency for versions in self.rules.values() for each in versions}
            for frequency in frequencies | {"billing_cycle"}:
                day = reading.local_date(self.now)
                while (start := reading.midnight(day)) <= self.now:
                    day = reading.calendar.next(frequency, day)
                found.add(start)
        return min((instant for instant in found if self.now < instant <= until), default=None)
