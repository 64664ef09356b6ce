"""What lists show, kept beside the facts: the guests of an order, its charges and its status, as they are now."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import Connection, text

from issuance.deciding.charges import Charge
from issuance.engine.facts import GUESTS_CHANGED, SIGNED_UP, Membership
from issuance.engine.outcomes import Outcome, Settled
from issuance.engine.rows import id_array

_NO_LEAD = text("""
    UPDATE guests SET lead_booker = false
     WHERE brand_id = :brand_id AND membership_id = ANY(:ids) AND lead_booker
""")
# Intake has made a record of everybody whom a fact names.
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
_STATUSES = text("""
    UPDATE memberships SET status = :status, ends_on = :ends_on
     WHERE brand_id = :brand_id AND membership_id = ANY(CAST(:ids AS uuid[]))
       AND (status, ends_on) IS DISTINCT FROM (:status, CAST(:ends_on AS date))
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


def write_guests(connection: Connection, brand_id: UUID, settled: Sequence[Settled]) -> None:
    """Bring guests up to date, of orders that have news and whose party has ever changed."""
    rows = [
        row
        for one in settled
        if one.itself and any(event.type == GUESTS_CHANGED for event in one.member.events)
        if one.member.has_news(one.outcome.now)
        for row in _guests(one.member, one.outcome)
    ]
    if rows:
        # At first nobody is lead booker, because an order has only one at a time.
        connection.execute(_NO_LEAD, {"brand_id": brand_id, "ids": list({row["membership_id"] for row in rows})})
        connection.execute(_GUEST, [{"brand_id": brand_id, **row} for row in rows])


def _guests(member: Membership, outcome: Outcome) -> list[dict[str, Any]]:
    """Everyone who was ever on the order, as the latest facts say."""
    rows: dict[UUID, dict[str, Any]] = {}
    for event in member.events:
        if event.time > outcome.now or event.type not in (SIGNED_UP, GUESTS_CHANGED):
            continue
        present = {UUID(guest["guest_id"]): guest for guest in event.data["guests"]}
        for guest_id, row in rows.items():
            if guest_id not in present:
                row["removed_at"] = row["removed_at"] or event.time
                row["lead_booker"] = False
        for guest_id, guest in present.items():
            rows[guest_id] = {
                "membership_id": member.membership_id,
                "guest_id": guest_id,
                "place": member.places[guest_id],
                "name": guest["name"],
                "email": guest.get("email"),
                "external_user_id": guest.get("external_user_id"),
                "lead_booker": guest["lead_booker"],
                "removed_at": None,
            }
    return list(rows.values())


def write_statuses(connection: Connection, brand_id: UUID, settled: Sequence[Settled]) -> None:
    """Bring the status and the announced end of memberships up to date."""
    moved: dict[tuple[str, Any], list[str]] = {}
    for one in settled:
        is_now = (one.outcome.status.value, one.outcome.ends_on)
        if is_now != (one.member.status, one.member.ends_on):
            moved.setdefault(is_now, []).append(one.membership_id)
    for (status, ends_on), ids in moved.items():
        which = {"brand_id": brand_id, "ids": id_array(ids), "status": status, "ends_on": ends_on}
        connection.execute(_STATUSES, which)


def write_charges(connection: Connection, brand_id: UUID, settled: Sequence[Settled]) -> None:
    """Bring those charges up to date that have news."""
    known: dict[int, dict[int, Charge]] = {}
    rows = []
    for one in settled:
        if not one.charges:
            continue
        charges = known.get(id(one.outcome))
        if charges is None:
            charges = {charge.number: charge for charge in one.member.history(one.outcome.now).charges}
            known[id(one.outcome)] = charges
        for charge_id, number in one.charges:
            charge = charges.get(number)
            if charge is not None:
                rows.append(
                    {
                        "charge_id": charge_id,
                        "membership_id": one.membership_id,
                        "state": charge.state.value,
                        "period_start": charge.period_start,
                        "period_end": charge.period_end,
                        "amount": charge.amount,
                        "amount_refunded": charge.amount_refunded,
                    }
                )
    if rows:
        connection.execute(_CHARGES, {"brand_id": brand_id, "rows": to_json(rows).decode()})
