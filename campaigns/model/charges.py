"""What the charges of one membership cover, and which state each has when (SEMANTICS 7)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

from campaigns.model.calendars import Calendar
from campaigns.model.times import steps
from campaigns.model.words import Fact

PAYING = ("initiated", "succeeded")
SLACK = timedelta(days=3)


class Charge:
    """One charge by all of its facts: the dates it covers, and the turns of a rule that it pays for."""

    def __init__(self, facts: list[Fact], now: Calendar, at_first: Calendar) -> None:
        self.id: str = facts[0].data["charge"]
        self.facts = facts
        self.now, self.at_first = now, at_first
        self.told_start: date = facts[-1].data["period_start"]
        ends = [fact.data for fact in facts if fact.data.get("period_end") is not None]
        passed = ends and self.told_start != ends[-1]["period_start"] and ends[-1]["period_end"] <= self.told_start
        self.start = self._counted(self.told_start)
        if ends and not passed:
            self.end = self._counted(ends[-1]["period_end"])
        else:
            self.end = min(at_first.next("billing_cycle", self.start), now.next("billing_cycle", self.start))
        #: By frequency, the first day that is not paid for.
        self._paid: dict[str, date] = {}

    def _counted(self, day: date) -> date:
        """The boundary that a date counts as: billers are days off."""
        billing = _frequency(self.at_first)
        if steps(billing)[0] or day in self.now.days("billing_cycle"):
            return day
        near = [each for each in self.at_first.days("billing_cycle") if abs(each - day) <= SLACK]
        return min(near, key=lambda each: (abs(each - day), -each.toordinal())) if near else day

    @property
    def beside(self) -> bool:
        """Whether it covers no billing boundary."""
        return not self.now.within("billing_cycle", self.start, self.end)

    def pays_for(self, frequency: str, day: date) -> bool:
        """Whether it pays for the turn of a frequency on `day`."""
        if not self.start <= day < self.end:
            return False
        if frequency not in self._paid:
            then = max(1, len(self.at_first.within(frequency, self.start, self.end)))
            over = self.now.within(frequency, self.start, self.end)[then:]
            self._paid[frequency] = over[0] if over else self.end
        return day < self._paid[frequency]

    def same_period(self, other: Charge) -> bool:
        """Whether `other` is for this one's period: the same start, or covering it."""
        return self.start == other.start or other.start <= self.start < other.end


def _frequency(calendar: Calendar) -> str:
    told = [move.data.get("billing_frequency") for move in calendar.moves]
    return next((each for each in reversed(told) if each), calendar.frequency)


def effective(facts: list[Fact]) -> list[tuple[Fact, str]]:
    """A charge's facts that change its state, with the state; a part refunded changes none."""
    found, amount = [], None
    for fact in facts:
        state = fact.kind.removeprefix("charge.")
        if fact.data.get("amount") is not None:
            amount = fact.data["amount"]
        if state == "refunded":
            refunded = fact.data.get("amount_refunded")
            if refunded is not None and (refunded == 0 or (amount is not None and refunded < amount)):
                continue
        found.append((fact, state))
    return found


def charges_of(facts: list[Fact], now: Calendar, calendar_at: Callable[[Fact], Calendar]) -> dict[str, Charge]:
    """All charges that the facts, in order, name."""
    by_id: dict[str, list[Fact]] = {}
    for fact in facts:
        by_id.setdefault(fact.data["charge"], []).append(fact)
    return {name: Charge(own, now, calendar_at(own[0])) for name, own in by_id.items()}
