"""What the oracle knows: facts by membership, which of them the engine has settled with, rules, and credits."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

from campaigns.model.reading import Reading
from campaigns.model.times import local_date, midnight, plus_months
from campaigns.model.words import Credit, Fact, Version

DATED = ("starts_on", "billing_anchor", "ends_on", "period_start", "period_end")
SIGN_UP = "membership.signed_up"


class Memory:
    """A brand in memory. A fact that waits was accepted, but nobody has settled its membership with it yet."""

    def __init__(self, timezone: str, now: datetime) -> None:
        self.timezone = timezone
        self.now = now
        self.coupons: dict[str, str | None] = {}
        self.types: dict[str, str] = {}
        self.rules: dict[str, list[Version]] = {}
        self.heard: dict[tuple[str, str], Fact] = {}
        self.facts_of: dict[str, list[Fact]] = {}
        self.sign_ups: dict[str, Fact] = {}
        self.waiting: set[tuple[str, str]] = set()
        self.credits_of: dict[str, list[Credit]] = {}
        #: The members who are removed; a member goes by the label of their membership.
        self.archived: set[str] = set()

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
        automatic = self.types[sign_up.data["membership_type"]] == "automatic"
        return Reading(self.timezone, automatic, known, self.now)

    def readings(self) -> Iterator[Reading]:
        for membership in self.sign_ups:
            reading = self.reading(membership)
            if reading is not None:
                yield reading

    def own(self, rule: str, membership: str) -> list[Credit]:
        """The credits that a rule gave a membership."""
        return [credit for credit in self.credits_of.get(membership, []) if credit.rule == rule]

    def instants(self, membership: str, until: datetime) -> list[datetime]:
        """The instants after now, up to `until`, at which something may fall due: facts' times, dates' midnights."""
        found = {fact.time for fact in self.facts_of[membership]}
        for fact in self.facts_of[membership]:
            for day in (fact.data.get(name) for name in DATED):
                if day is not None:
                    found |= {midnight(self.timezone, plus_months(day, number)) for number in self._months(day, until)}
        return sorted(instant for instant in found if self.now < instant <= until)

    def _months(self, day: date, until: datetime) -> range:
        first, last = local_date(self.timezone, self.now), until.astimezone(UTC)
        since = (first.year - day.year) * 12 + first.month - day.month - 1
        return range(max(0, since), max(0, (last.year - day.year) * 12 + last.month - day.month + 2))
