"""What lists and credits refer to, kept beside the facts: the guests of an order and its charges, as they are now."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import Connection, text

from issuance.engine.walking import Walked

_NO_LEAD = text("""
    UPDATE guests SET lead_booker = false
     WHERE brand_id = :brand_id AND membership_id = ANY(:ids) AND lead_booker
""")
_PLACES = text("""
    SELECT membership_id, guest_id, place FROM guests WHERE brand_id = :brand_id AND membership_id = ANY(:ids)
""")
# Intake has made a record of everybody whom a fact names (members.ensure). A known guest keeps their place.
_GUEST = text("""
    INSERT INTO guests (brand_id, membership_id, guest_id, place, name, email, member_id, lead_booker, removed_at)
    VALUES (:brand_id, :membership_id, :guest_id, :place, :name, :email,
            (SELECT member_id FROM members
              WHERE brand_id = :brand_id AND external_user_id = CAST(:external_user_id AS text)),
            :lead_booker, :removed_at)
    ON CONFLICT (brand_id, membership_id, guest_id) DO UPDATE
       SET name = excluded.name, email = excluded.email, member_id = excluded.member_id,
           lead_booker = excluded.lead_booker, removed_at = excluded.removed_at
""")
_CHARGES = text("""
    INSERT INTO charges (brand_id, charge_id, membership_id, state, period_start, period_end, amount, amount_refunded)
    SELECT :brand_id, told.*
      FROM json_to_recordset(CAST(:rows AS json)) AS told (charge_id text, membership_id uuid, state text,
               period_start date, period_end date, amount numeric, amount_refunded numeric)
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
        placed = _placed(connection, brand_id, changed, guests)
        connection.execute(_GUEST, [{"brand_id": brand_id, **row} for row in placed])
    charges = [row for walk in news for row in _charges(walk)]
    if charges:
        connection.execute(_CHARGES, {"brand_id": brand_id, "rows": to_json(charges).decode()})


def _placed(
    connection: Connection, brand_id: UUID, membership_ids: Sequence[UUID], guests: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The guests with their places: known ones keep theirs, whatever came late; new ones get the next that are free."""
    known = connection.execute(_PLACES, {"brand_id": brand_id, "ids": membership_ids}).all()
    places = {(row.membership_id, row.guest_id): row.place for row in known}
    free = Counter[UUID]()
    for row in known:
        free[row.membership_id] = max(free[row.membership_id], row.place + 1)
    for guest in guests:
        membership_id = guest["membership_id"]
        if (membership_id, guest["guest_id"]) not in places:
            places[membership_id, guest["guest_id"]] = free[membership_id]
            free[membership_id] += 1
    return [{**guest, "place": places[guest["membership_id"], guest["guest_id"]]} for guest in guests]


def _guests(walk: Walked) -> list[dict[str, Any]]:
    """Everyone who was ever on the order, in the order in which they were first named, where its party has changed."""
    rows: dict[UUID, dict[str, Any]] = {}
    changes = 0
    for fact in walk.membership.facts:
        if fact.order.time > walk.now or fact.type not in ("membership.signed_up", "membership.guests_changed"):
            continue
        changes += fact.type == "membership.guests_changed"
        present = {UUID(guest["guest_id"]): guest for guest in fact.data["guests"]}
        for guest_id, row in rows.items():
            if guest_id not in present:
                row["removed_at"] = _first(row["removed_at"], fact.order.time)
                row["lead_booker"] = False
        for guest_id, guest in present.items():
            rows[guest_id] = {
                "membership_id": walk.membership.membership_id,
                "guest_id": guest_id,
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
    """The charges about which something is new."""
    membership = walk.membership
    since = membership.settled_at
    new = {
        fact.charge_id
        for fact in membership.facts
        if fact.charge_id is not None and (fact.unsettled or since is None or since < fact.order.time <= walk.now)
    }
    return [
        {
            "charge_id": charge.charge_id,
            "membership_id": membership.membership_id,
            "state": charge.facts[-1].state.value,
            "period_start": charge.period_start,
            "period_end": charge.period_end,
            "amount": charge.amount,
            "amount_refunded": charge.amount_refunded,
        }
        for charge in (membership.facts_at(walk.now, ()).charges if new else ())
        if charge.charge_id in new
    ]
