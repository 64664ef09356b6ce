"""A charge from what was told of it: its state over time, and what it covers (SEMANTICS 7)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from issuance.deciding.facts import ChargeState, ChargeTold

#: The states in which a charge pays for what it covers.
PAYING = frozenset({ChargeState.INITIATED, ChargeState.SUCCEEDED})
#: The states that put a membership into `needs_attention`.
TROUBLE = frozenset({ChargeState.FAILED, ChargeState.DISPUTED})


@dataclass(frozen=True, slots=True)
class Charge:
    """A charge as its latest fact leaves it. `told`: the facts that set its state, in their order.

    `period_end` is exclusive; None: it covers up to the next billing boundary.
    """

    number: int
    period_start: date
    period_end: date | None
    told: tuple[ChargeTold, ...]
    amount: Decimal | None
    amount_refunded: Decimal | None

    @property
    def state(self) -> ChargeState:
        """What the latest fact says."""
        return self.told[-1].state

    def state_at(self, instant: datetime) -> ChargeState | None:
        """What the latest fact up to an instant said; None: nothing was told by then."""
        known = [fact.state for fact in self.told if fact.moment.at <= instant]
        return known[-1] if known else None


def charges_of(told: Iterable[ChargeTold]) -> list[Charge]:
    """The charges that facts tell of; the facts are in order. A charge of which only partial refunds are known does not
    count yet."""
    by_number: dict[int, list[ChargeTold]] = {}
    for fact in told:
        by_number.setdefault(fact.number, []).append(fact)
    found = (_charge(number, facts) for number, facts in by_number.items())
    return [charge for charge in found if charge is not None]


def pays(states: Iterable[ChargeState | None]) -> bool:
    """Whether any of some charges, in these states, pays."""
    return not PAYING.isdisjoint(states)


def _charge(number: int, facts: list[ChargeTold]) -> Charge | None:
    states: list[ChargeTold] = []
    period_end: date | None = None
    amount: Decimal | None = None
    refunded: Decimal | None = None
    for fact in facts:
        period_end = fact.period_end or period_end
        amount = amount if fact.amount is None else fact.amount
        if fact.state is ChargeState.REFUNDED:
            refunded = fact.amount_refunded
            if _in_part(refunded, amount):
                continue
        states.append(fact)
    if not states:
        return None
    period_start = facts[-1].period_start
    if period_end is not None and period_end <= period_start:
        period_end = None  # an earlier fact told the end, and the start was moved past it
    return Charge(number, period_start, period_end, tuple(states), amount, refunded)


def _in_part(refunded: Decimal | None, amount: Decimal | None) -> bool:
    """Whether a refund is partial, so that it takes nothing back."""
    return refunded is not None and (amount is None or refunded < amount)
