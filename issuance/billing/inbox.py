"""The inbox in PostgreSQL: a batch of events in a handful of statements, each over all of its rows.

Rows are sorted by key before they are inserted, so that two requests that carry the same events wait
for each other in one order and never in a circle.
"""

# ruff: noqa: S608 - nothing but names and types written here goes into the statements

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, CursorResult, TextClause, text
from uuid_utils.compat import uuid7

from issuance.billing.cloud_events import BillingEvent, Refused
from issuance.engine.rows import as_json, recordset
from issuance.engine.schedules import FIRST_ATTEMPT

#: How much of a refused event is kept.
LONGEST_BODY = 64 * 1024

#: What identifies an event of a brand.
EventKey = tuple[str, str]


_KEYS = recordset(source="text", event_id="text")
_STORE = text(f"""
    INSERT INTO billing_events (brand_id, source, event_id, type, time, membership_id, charge_id, body_hash, data)
    SELECT :brand_id, source, event_id, type, time, membership_id, charge_id, body_hash, data
      FROM {
    recordset(
        source="text",
        event_id="text",
        type="text",
        time="timestamptz",
        membership_id="uuid",
        charge_id="text",
        body_hash="bytea",
        data="jsonb",
    )
}
    ON CONFLICT ON CONSTRAINT billing_events_once DO NOTHING
    RETURNING source, event_id
""")
_UNSTORE = text(f"""
    DELETE FROM billing_events
     WHERE brand_id = :brand_id AND (source, event_id) IN (SELECT source, event_id FROM {_KEYS})
""")
_HASHES = text(f"""
    SELECT source, event_id, body_hash FROM billing_events
     WHERE brand_id = :brand_id AND (source, event_id) IN (SELECT source, event_id FROM {_KEYS})
""")
_KNOWN = text(f"""
    SELECT m.membership_id FROM memberships m JOIN {recordset(membership_id="uuid")} USING (membership_id)
     WHERE m.brand_id = :brand_id
""")
_PAYERS = text(f"""
    SELECT DISTINCT e.charge_id, e.membership_id
      FROM billing_events e JOIN {recordset(charge_id="text")} USING (charge_id)
     WHERE e.brand_id = :brand_id
""")
_MEMBERSHIPS = text(f"""
    WITH made AS (
        INSERT INTO memberships (brand_id, membership_id, membership_type_id, member_id, signed_up_at,
                                 starts_on, billing_anchor, billing_frequency)
        SELECT :brand_id, new.*
          FROM {
    recordset(
        membership_id="uuid",
        membership_type_id="uuid",
        member_id="uuid",
        signed_up_at="timestamptz",
        starts_on="date",
        billing_anchor="date",
        billing_frequency="text",
    )
}
        ON CONFLICT ON CONSTRAINT memberships_pkey DO NOTHING
        RETURNING membership_id),
         pointed AS (INSERT INTO membership_schedules (brand_id, membership_id, schedule_id)
                     SELECT :brand_id, membership_id, membership_id FROM made),
         scheduled AS (INSERT INTO schedules (brand_id, schedule_id, attempts, retry_at)
                       SELECT :brand_id, membership_id, {FIRST_ATTEMPT} FROM made)
    SELECT membership_id FROM made
""")
_GUESTS = text(f"""
    INSERT INTO guests (brand_id, membership_id, guest_id, place, name, email, member_id, lead_booker)
    SELECT :brand_id, new.*
      FROM {
    recordset(
        membership_id="uuid",
        guest_id="uuid",
        place="integer",
        name="text",
        email="text",
        member_id="uuid",
        lead_booker="boolean",
    )
}
""")
_REFUSED = text(f"""
    INSERT INTO rejected_events (brand_id, rejected_id, code, message, body)
    SELECT :brand_id, new.* FROM {recordset(rejected_id="uuid", code="text", message="text", body="text")}
""")


def key_of(event: BillingEvent) -> EventKey:
    return event.source, event.event_id


def store(connection: Connection, brand_id: UUID, events: Sequence[BillingEvent]) -> set[EventKey]:
    """Insert events; the keys of those that were not there yet."""
    if not events:
        return set()
    ordered = sorted(events, key=key_of)
    rows = [
        {
            "source": event.source,
            "event_id": event.event_id,
            "type": event.type,
            "time": event.time,
            "membership_id": event.membership_id,
            "charge_id": event.charge_id,
            "body_hash": f"\\x{event.body_hash.hex()}",
            "data": event.data,
        }
        for event in ordered
    ]
    stored = _execute(connection, _STORE, brand_id, rows)
    return set(map(key_of, ordered)) if _all(stored, rows) else {(row.source, row.event_id) for row in stored.all()}


def unstore(connection: Connection, brand_id: UUID, events: Sequence[BillingEvent]) -> None:
    """Take events out again that were stored in this transaction."""
    if events:
        _execute(connection, _UNSTORE, brand_id, _keys(events))


def hashes(connection: Connection, brand_id: UUID, events: Sequence[BillingEvent]) -> dict[EventKey, bytes]:
    """The body hashes that are kept under the keys of `events`."""
    if not events:
        return {}
    rows = _execute(connection, _HASHES, brand_id, _keys(events))
    return {(row.source, row.event_id): bytes(row.body_hash) for row in rows}


def known(connection: Connection, brand_id: UUID, membership_ids: Collection[UUID]) -> set[UUID]:
    """Those of some memberships that have signed up."""
    if not membership_ids:
        return set()
    rows = _execute(connection, _KNOWN, brand_id, [{"membership_id": one} for one in membership_ids])
    return set(rows.scalars())


def payers(connection: Connection, brand_id: UUID, charge_ids: Collection[str]) -> dict[str, UUID]:
    """The membership that each charge belongs to, of those that are known."""
    if not charge_ids:
        return {}
    rows = _execute(connection, _PAYERS, brand_id, [{"charge_id": one} for one in charge_ids])
    return {row.charge_id: row.membership_id for row in rows}


def make_memberships(
    connection: Connection, brand_id: UUID, sign_ups: Sequence[BillingEvent], people: Mapping[str, UUID]
) -> set[UUID]:
    """The membership, guests and schedule of each sign-up; the ids of the memberships that were not there yet.

    `people` has the `member_id` of everybody whom the sign-ups name, by the brand's id.
    """
    if not sign_ups:
        return set()
    ordered = sorted(sign_ups, key=lambda event: event.membership_id.int)
    rows = [
        {
            "membership_id": event.membership_id,
            "membership_type_id": event.data["membership_type_id"],
            "member_id": people[event.data["external_user_id"]],
            "signed_up_at": event.time,
            "starts_on": event.data["starts_on"],
            "billing_anchor": event.data["billing_anchor"],
            "billing_frequency": event.data["billing_frequency"],
        }
        for event in ordered
    ]
    inserted = _execute(connection, _MEMBERSHIPS, brand_id, rows)
    made = {event.membership_id for event in ordered} if _all(inserted, rows) else set(inserted.scalars().all())
    guests = [
        {"membership_id": event.membership_id, "place": place, "member_id": _who(guest, people), **guest}
        for event in ordered
        if event.membership_id in made
        for place, guest in enumerate(event.data["guests"])
    ]
    if guests:
        _execute(connection, _GUESTS, brand_id, guests)
    return made


def keep_refused(
    connection: Connection, brand_id: UUID, bodies: Sequence[object], refused: Mapping[int, Refused]
) -> None:
    """Keep what was refused, with the reason, where the operator sees it."""
    rows = [
        {
            "rejected_id": uuid7(),
            "code": why.code,
            "message": why.message,
            "body": json.dumps(bodies[index])[:LONGEST_BODY],
        }
        for index, why in sorted(refused.items())
    ]
    if rows:
        _execute(connection, _REFUSED, brand_id, rows)


def _who(guest: Mapping[str, Any], people: Mapping[str, UUID]) -> UUID | None:
    name = guest["external_user_id"]
    return None if name is None else people[name]


def _keys(events: Sequence[BillingEvent]) -> list[dict[str, Any]]:
    return [{"source": event.source, "event_id": event.event_id} for event in events]


def _all(inserted: CursorResult[Any], rows: Sequence[object]) -> bool:
    """Whether all rows were inserted, as they mostly are: what is known already need not be read."""
    return inserted.rowcount == len(rows)


def _execute(
    connection: Connection, statement: TextClause, brand_id: UUID, rows: Sequence[Mapping[str, Any]]
) -> CursorResult[Any]:
    return connection.execute(statement, {"brand_id": brand_id, "rows": as_json(rows)})
