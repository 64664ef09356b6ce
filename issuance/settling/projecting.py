"""What lists and credits refer to, kept beside the facts: the guests of an order and its charges, as they are now."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from issuance.settling.walking import Walked

_NO_LEAD = text("""
    UPDATE guests SET lead_booker = false
     WHERE brand_id = :brand_id AND membership_id = ANY(:ids) AND lead_booker
""")
_GUEST = text("""
    INSERT INTO guests (brand_id, membership_id, guest_id, place, name, email, external_user_id, lead_booker,
                        removed_at)
    VALUES (:brand_id, :membership_id, :guest_id, :place, :name, :email, :external_user_id, :lead_booker, :removed_at)
    ON CONFLICT (brand_id, membership_id, guest_id) DO UPDATE
       SET name = excluded.name, email = excluded.email, external_user_id = excluded.external_user_id,
           lead_booker = excluded.lead_booker, removed_at = excluded.removed_at
""")
_CHARGE = text("""
    INSERT INTO charges (brand_id, charge_id, membership_id, state, period_start, period_end, amount, amount_refunded)
    VALUES (:brand_id, :charge_id, :membership_id, :state, :period_start, :period_end, :amount, :amount_refunded)
    ON CONFLICT (brand_id, charge_id) DO UPDATE
       SET state = excluded.state, period_start = excluded.period_start, period_end = excluded.period_end,
           amount = excluded.amount, amount_refunded = excluded.amount_refunded
     WHERE charges.membership_id = excluded.membership_id
""")


def project(connection: Connection, brand_id: UUID, walks: Sequence[Walked]) -> None:
    """Bring guests and charges of the memberships that had news up to date."""
    news = [walk for walk in walks if walk.membership.has_news(walk.now)]
    guests = [row for walk in news for row in _guests(walk)]
    if guests:
        changed = list({row["membership_id"] for row in guests})
        connection.execute(_NO_LEAD, {"brand_id": brand_id, "ids": changed})
        connection.execute(_GUEST, [{"brand_id": brand_id, **row} for row in guests])
    charges = [row for walk in news for row in _charges(walk)]
    if charges:
        connection.execute(_CHARGE, [{"brand_id": brand_id, **row} for row in charges])


def _guests(walk: Walked) -> list[dict[str, Any]]:
    """Everyone who was ever on the order, where its party has changed; the lead booker last of all to be named."""
    rows: dict[UUID, dict[str, Any]] = {}
    changes = 0
    for fact in walk.membership.facts:
        if fact.order.time > walk.now or fact.type not in ("membership.signed_up", "membership.guests_changed"):
            continue
        changes += fact.type == "membership.guests_changed"
        present = {UUID(guest["guest_id"]): guest for guest in fact.data["guests"]}
        places = {guest_id: place for place, guest_id in enumerate(present)}
        for guest_id, row in rows.items():
            if guest_id not in present:
                row["removed_at"] = _first(row["removed_at"], fact.order.time)
                row["lead_booker"] = False
        for guest_id, guest in present.items():
            rows[guest_id] = {
                "membership_id": walk.membership.membership_id,
                "guest_id": guest_id,
                "place": places[guest_id],
                "name": guest["name"],
                "email": guest.get("email"),
                "external_user_id": guest.get("external_user_id"),
                "lead_booker": guest["lead_booker"],
                "removed_at": None,
            }
    return list(rows.values()) if changes else []


def _first(known: datetime | None, instant: datetime) -> datetime:
    return instant if known is None else known


def _charges(walk: Walked) -> list[dict[str, Any]]:
    facts = walk.membership.facts_at(walk.now, ())
    return [
        {
            "membership_id": facts.membership_id,
            "charge_id": charge.charge_id,
            "state": charge.facts[-1].state.value,
            "period_start": charge.period_start,
            "period_end": charge.period_end,
            "amount": charge.amount,
            "amount_refunded": charge.amount_refunded,
        }
        for charge in facts.charges
    ]
