"""A charge as the facts about it make it: its state over time, and what it covers (SEMANTICS 7)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import takewhile

from issuance.deciding.calendar import Calendar
from issuance.deciding.coverage import Coverage, coverage_of
from issuance.deciding.facts import ChargeState, ChargeTold, Moment

#: The states in which a charge pays for what it covers.
PAYING = frozenset({ChargeState.INITIATED, ChargeState.SUCCEEDED})
#: The states that put a membership into `needs_attention`.
TROUBLE = frozenset({ChargeState.FAILED, ChargeState.DISPUTED})


@dataclass(frozen=True, slots=True)
class Charge:
    """A charge as its latest fact leaves it. `told`: the facts that set its state, in their order.

    `period_start` and `period_end` (exclusive; None: not told) are dates as they were told.
    """

    number: int
    period_start: date
    period_end: date | None
    told: tuple[ChargeTold, ...]
    amount: Decimal | None
    amount_refunded: Decimal | None
    covers: Coverage

    @property
    def automatic(self) -> bool:
        """Whether `billing: automatic` made it."""
        return self.number < 0

    @property
    def state(self) -> ChargeState:
        """What the latest fact says."""
        return self.told[-1].state

    @property
    def changes(self) -> Iterator[ChargeTold]:
        """The facts that changed its state: a repetition is no news."""
        before: ChargeState | None = None
        for fact in self.told:
            if fact.state is not before:
                yield fact
            before = fact.state

    def told_at(self, instant: datetime) -> ChargeTold | None:
        """The latest fact up to an instant, or None if there was none yet."""
        known = [fact for fact in self.told if fact.moment.at <= instant]
        return known[-1] if known else None

    def told_alike_since(self, fact: ChargeTold) -> Moment:
        """When the state that one of its facts tells was first told, if no other state was told in between: a
        repetition is no news."""
        before = reversed(self.told[: self.told.index(fact) + 1])
        return list(takewhile(lambda one: one.state is fact.state, before))[-1].moment

    def is_for_period_of(self, other: "Charge") -> bool:
        """Whether it is another charge for the same period: it starts on the same date, or covers that date."""
        starts_alike = self.period_start == other.period_start or self.covers.start == other.covers.start
        return self.number != other.number and (starts_alike or self.covers.has(other.covers.start))


def charges_of(told: Iterable[ChargeTold], calendar: Calendar) -> list[Charge]:
    """The charges of facts, which are in order. A charge does not count while only partial refunds of it are known."""
    by_number: dict[int, list[ChargeTold]] = {}
    for fact in told:
        by_number.setdefault(fact.number, []).append(fact)
    found = (_charge(number, facts, calendar) for number, facts in by_number.items())
    return [charge for charge in found if charge is not None]


def _charge(number: int, facts: list[ChargeTold], calendar: Calendar) -> Charge | None:
    states: list[ChargeTold] = []
    amount: Decimal | None = None
    refunded: Decimal | None = None
    for fact in facts:
        amount = amount if fact.amount is None else fact.amount
        if fact.state is ChargeState.REFUNDED:
            refunded = fact.amount_refunded
            if _in_part(refunded, amount):
                continue
        states.append(fact)
    if not states:
        return None
    period_start, period_end = facts[-1].period_start, _end_told(facts)
    covers = coverage_of(period_start, period_end, calendar, calendar.as_it_stood(facts[0].moment.at))
    return Charge(number, period_start, period_end, tuple(states), amount, refunded, covers)


def _end_told(facts: Sequence[ChargeTold]) -> date | None:
    """The last end that was told, or None if there is none, or if the start was moved to it or past it since."""
    start = facts[-1].period_start
    told = next((fact for fact in reversed(facts) if fact.period_end is not None), None)
    if told is None or told.period_end is None:
        return None
    return told.period_end if told.period_start == start or told.period_end > start else None


def _in_part(refunded: Decimal | None, amount: Decimal | None) -> bool:
    """Whether a refund is partial, so that it takes nothing back: the sum so far is 0, or below the amount."""
    return refunded is not None and (refunded == 0 or (amount is not None and refunded < amount))
