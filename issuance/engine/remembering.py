"""From accepted events to the facts that decisions read (SEMANTICS 7): sorted, the later one winning."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from issuance.deciding.facts import Charge, ChargeFact, ChargeState, Guest, Order, Party, Status, StatusFact


@dataclass(frozen=True, slots=True)
class Fact:
    """An accepted event about one membership."""

    order: Order
    type: str
    charge_id: str | None
    data: dict[str, Any]
    unsettled: bool


@dataclass(frozen=True, slots=True)
class Remembered:
    """A membership's facts by what they are about, each in the order in which they happened."""

    signup_party: tuple[Guest, ...]
    moves: tuple[tuple[datetime, date], ...]
    statuses: tuple[StatusFact, ...]
    charges: tuple[Charge, ...]
    parties: tuple[Party, ...]


def read_fact(row: Row[Any]) -> Fact:
    return Fact(Order(row.time, row.source, row.event_id), row.type, row.charge_id, row.data, row.unsettled)


def remember(facts: Sequence[Fact]) -> Remembered:
    """Sort facts, which come in order, by what they are about."""
    signup_party: tuple[Guest, ...] = ()
    moves: list[tuple[datetime, date]] = []
    statuses: list[StatusFact] = []
    parties: list[Party] = []
    charges: dict[str, list[Fact]] = {}
    for fact in facts:
        match fact.type:
            case "membership.signed_up":
                signup_party = _guests(fact.data)
            case "membership.status_changed":
                ends_on = fact.data.get("ends_on")
                ends = None if ends_on is None else date.fromisoformat(ends_on)
                statuses.append(StatusFact(fact.order, Status(fact.data["status"]), ends))
            case "membership.billing_date_moved":
                moves.append((fact.order.time, date.fromisoformat(fact.data["billing_anchor"])))
            case "membership.guests_changed":
                parties.append(Party(fact.order.time, _guests(fact.data)))
            case _:
                assert fact.charge_id is not None, "billing_events_charge_named"
                charges.setdefault(fact.charge_id, []).append(fact)
    found = (_charge(charge_id, about) for charge_id, about in charges.items())
    return Remembered(
        signup_party,
        tuple(moves),
        tuple(statuses),
        tuple(charge for charge in found if charge is not None),
        tuple(parties),
    )


def _guests(data: dict[str, Any]) -> tuple[Guest, ...]:
    return tuple(Guest(UUID(guest["guest_id"]), guest["lead_booker"]) for guest in data["guests"])


def _charge(charge_id: str, facts: Sequence[Fact]) -> Charge | None:
    """A charge from its facts; None while only partial refunds are known of it."""
    told: list[ChargeFact] = []
    period_start = period_end = None
    amount = refunded = None
    for fact in facts:
        data = fact.data
        period_start = date.fromisoformat(data["period_start"])
        if data.get("period_end") is not None:
            period_end = date.fromisoformat(data["period_end"])
        amount = _decimal(data.get("amount"), amount)
        state = ChargeState(fact.type.removeprefix("charge."))
        if state is ChargeState.REFUNDED:
            refunded = _decimal(data.get("amount_refunded"), None)
            if refunded is not None and (amount is None or refunded < amount):
                continue  # a refund in part takes nothing back
        told.append(ChargeFact(fact.order, charge_id, state))
    if not told or period_start is None:
        return None
    if period_end is not None and period_end <= period_start:
        period_end = None  # an earlier fact's end that the later start has left behind
    return Charge(charge_id, period_start, period_end, tuple(told), amount, refunded)


def _decimal(value: object, known: Decimal | None) -> Decimal | None:
    return known if value is None else Decimal(str(value))
