"""What lists show, kept beside the facts: the guests of an order, its charges, status, type and dates, as they are."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from issuance.database.statements import Statement
from issuance.deciding.charges import Charge
from issuance.engine.event_facts import GUESTS_CHANGED
from issuance.engine.membership import Listed, Membership
from issuance.engine.outcome import Outcome
from issuance.engine.rows import as_json, id_array
from issuance.engine.settled import Settled

_NO_LEAD = Statement("""
    UPDATE guests SET lead_booker = false
     WHERE brand_id = :brand_id AND membership_id = ANY(CAST(:ids AS uuid[])) AND lead_booker
""")
# Intake has made a record of everybody whom a fact names.
_GUESTS = Statement("""
    INSERT INTO guests (brand_id, membership_id, guest_id, place, name, email, member_id, lead_booker, removed_at)
    SELECT :brand_id, membership_id, guest_id, place, name, email,
           (SELECT m.member_id FROM members m
             WHERE m.brand_id = :brand_id AND m.external_user_id = told.external_user_id),
           lead_booker, removed_at
      FROM json_to_recordset(CAST(:rows AS json)) AS told (membership_id uuid, guest_id uuid, place integer, name text,
               email text, external_user_id text, lead_booker boolean, removed_at timestamptz)
    ON CONFLICT (brand_id, membership_id, guest_id) DO UPDATE
       SET name = excluded.name, email = excluded.email, member_id = excluded.member_id,
           lead_booker = excluded.lead_booker, removed_at = excluded.removed_at
""")
_LISTED = Statement("""
    UPDATE memberships
       SET status = :status, ends_on = :ends_on, membership_type_id = :membership_type_id, starts_on = :starts_on,
           billing_anchor = :billing_anchor, billing_frequency = :billing_frequency
     WHERE brand_id = :brand_id AND membership_id = ANY(CAST(:ids AS uuid[]))
       AND (status, ends_on, membership_type_id, starts_on, billing_anchor, billing_frequency)
           IS DISTINCT FROM (:status, CAST(:ends_on AS date), CAST(:membership_type_id AS uuid),
                             CAST(:starts_on AS date), CAST(:billing_anchor AS date), :billing_frequency)
""")
_CHARGES = Statement("""
    INSERT INTO charges (brand_id, charge_id, membership_id, state, period_start, period_end, amount, amount_refunded,
                         pays_for_nothing)
    SELECT :brand_id, told.*
      FROM json_to_recordset(CAST(:rows AS json)) AS told (charge_id text, membership_id uuid, state text,
               period_start date, period_end date, amount numeric, amount_refunded numeric, pays_for_nothing boolean)
    ON CONFLICT (brand_id, membership_id, charge_id) DO UPDATE
       SET state = excluded.state, period_start = excluded.period_start, period_end = excluded.period_end,
           amount = excluded.amount, amount_refunded = excluded.amount_refunded,
           pays_for_nothing = excluded.pays_for_nothing
""")


def write_guests(connection: Connection, brand_id: UUID, settled: Sequence[Settled]) -> None:
    """Update the guests of orders that have news and whose party has changed at some time."""
    own = [(one.membership, one.outcome.now) for one in settled if one.itself]
    write_parties(connection, brand_id, [(membership, now) for membership, now in own if membership.has_news(now)])


def write_parties(connection: Connection, brand_id: UUID, parties: Iterable[tuple[Membership, datetime]]) -> None:
    """Update the guests of memberships whose party has changed at some time, each as it is at an instant."""
    rows = [
        row
        for membership, now in parties
        if any(event.type == GUESTS_CHANGED for event in membership.events)
        for row in _guests(membership, now)
    ]
    if rows:
        # At first nobody is lead booker, because an order has only one at a time.
        ids = id_array({row["membership_id"] for row in rows})
        _NO_LEAD.written(connection, {"brand_id": brand_id, "ids": ids})
        _GUESTS.written(connection, {"brand_id": brand_id, "rows": as_json(rows)})


def _guests(membership: Membership, now: datetime) -> list[dict[str, Any]]:
    """Everyone who was ever on the order, as the latest facts say."""
    rows: dict[UUID, dict[str, Any]] = {}
    for place, listed in membership.named.items():
        event = membership.events[place]
        if event.time > now:
            continue
        present = dict(zip(listed, event.data["guests"], strict=True))
        for guest_id in rows.keys() - {who.guest_id for who in listed}:
            rows[guest_id]["removed_at"] = rows[guest_id]["removed_at"] or event.time
            rows[guest_id]["lead_booker"] = False
        for (guest_id, external_user_id), guest in present.items():
            rows[guest_id] = {
                "membership_id": membership.membership_id,
                "guest_id": guest_id,
                "place": membership.places[guest_id],
                "name": guest["name"],
                "email": guest.get("email"),
                "external_user_id": external_user_id,
                "lead_booker": guest["lead_booker"],
                "removed_at": None,
            }
    return list(rows.values())


def write_listed(connection: Connection, brand_id: UUID, outcomes: Sequence[tuple[Outcome, Sequence[Settled]]]) -> None:
    """Update what lists of memberships show: the status, an announced end, the type and dates. Memberships with one
    outcome have shown the same."""
    moved: dict[Listed, list[str]] = {}
    for outcome, some in outcomes:
        if outcome.listed is not None and outcome.listed != some[0].membership.listed:
            moved.setdefault(outcome.listed, []).extend(id_ for one in some for id_ in one.ids)
    for listed, ids in moved.items():
        _LISTED.written(connection, {"brand_id": brand_id, "ids": id_array(ids), **listed._asdict()})


def write_charges(connection: Connection, brand_id: UUID, settled: Sequence[Settled]) -> None:
    """Update the charges that have news."""
    known: dict[int, dict[int, Charge]] = {}
    rows = []
    for one in settled:
        if not one.charges:
            continue
        charges = known.get(id(one.outcome))
        if charges is None:
            charges = {charge.number: charge for charge in one.membership.history(one.outcome.now).charges}
            known[id(one.outcome)] = charges
        told = ((one_of, *charge) for one_of in one.ids for charge in one.charges[one_of])
        for membership_id, charge_id, number in told:
            charge = charges.get(number)
            if charge is not None:
                rows.append(
                    {
                        "charge_id": charge_id,
                        "membership_id": membership_id,
                        "state": charge.state.value,
                        "period_start": charge.period_start,
                        "period_end": charge.period_end,
                        "amount": charge.amount,
                        "amount_refunded": charge.amount_refunded,
                        "pays_for_nothing": number in one.outcome.pay_for_nothing,
                    }
                )
    if rows:
        _CHARGES.written(connection, {"brand_id": brand_id, "rows": as_json(rows)})
