"""The inbox in PostgreSQL: a batch of events in a handful of statements, each over all of its rows.

Rows are sorted by key before they are inserted, so that two requests that carry the same events wait
for each other in one order and never in a circle.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from issuance.billing.cloud_events import BillingEvent, meaning
from issuance.database.fragments import BRANDS_NOW
from issuance.database.statements import Statement
from issuance.engine.rows import as_json, recordset
from issuance.engine.schedules import FIRST_ATTEMPT
from issuance.members import erased

#: What identifies an event of a brand.
EventKey = tuple[str, str]
#: What an event says (`cloud_events.meaning`).
Said = tuple[object, ...]


class Dates(NamedTuple):
    """The dates that a membership was signed up with, and how often it is billed."""

    starts_on: date
    billing_anchor: date
    billing_frequency: str


_KEYS = recordset(source="text", event_id="text")
_STORE = Statement(f"""
    INSERT INTO billing_events (brand_id, source, event_id, type, time, membership_id, charge_id, data, unknown_fields,
                                said_hash, received_at)
    SELECT :brand_id, source, event_id, type, time, membership_id, charge_id, data, unknown_fields, said_hash,
           coalesce(received_at, now())
      FROM {
    recordset(
        source="text",
        event_id="text",
        type="text",
        time="timestamptz",
        membership_id="uuid",
        charge_id="text",
        data="jsonb",
        unknown_fields="jsonb",
        said_hash="bytea",
        received_at="timestamptz",
    )
}
    ON CONFLICT ON CONSTRAINT billing_events_once DO NOTHING
    RETURNING source, event_id
""")
_UNSTORE = Statement(f"""
    DELETE FROM billing_events
     WHERE brand_id = :brand_id AND (source, event_id) IN (SELECT source, event_id FROM {_KEYS})
""")
_EARLIER = Statement(f"""
    SELECT source, event_id, type, time, membership_id, charge_id, data, said_hash FROM billing_events
     WHERE brand_id = :brand_id AND (source, event_id) IN (SELECT source, event_id FROM {_KEYS})
""")
# With the brand's now, so that it takes no statement of its own.
_KNOWN = Statement(f"""
    SELECT present.now, known.*
      FROM (SELECT {BRANDS_NOW} AS now FROM brands WHERE brand_id = :brand_id) AS present
      LEFT JOIN (SELECT m.membership_id, m.starts_on, m.billing_anchor, m.billing_frequency
                   FROM memberships m JOIN {recordset(membership_id="uuid")} USING (membership_id)
                  WHERE m.brand_id = :brand_id) AS known ON true
""")
_KNOWN_TYPES = Statement(f"""
    SELECT present.now, t.membership_type_id
      FROM (SELECT {BRANDS_NOW} AS now FROM brands WHERE brand_id = :brand_id) AS present
      LEFT JOIN membership_types t
             ON t.brand_id = :brand_id AND t.membership_type_id = ANY(:type_ids)
""")
_MOVED = Statement(f"""
    SELECT DISTINCT e.membership_id
      FROM billing_events e JOIN {recordset(membership_id="uuid")} USING (membership_id)
     WHERE e.brand_id = :brand_id AND e.type IN ('membership.billing_date_moved', 'membership.start_moved')
""")
_MEMBERSHIPS = Statement(f"""
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
_GUESTS = Statement(f"""
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
            "data": event.data,
            **({"unknown_fields": event.unknown_fields} if event.unknown_fields else {}),
            **({} if event.received_at is None else {"received_at": event.received_at}),
            **({} if event.as_told is None else {"said_hash": _kept_hash(connection, brand_id, event.as_told)}),
        }
        for event in ordered
    ]
    return set(_STORE.tuples(connection, {"brand_id": brand_id, "rows": as_json(rows)}))


def unstore(connection: Connection, brand_id: UUID, events: Sequence[BillingEvent]) -> None:
    """Take events out again that were stored in this transaction."""
    if events:
        _UNSTORE.written(connection, {"brand_id": brand_id, "rows": _keys(events)})


def earlier(connection: Connection, brand_id: UUID, events: Sequence[BillingEvent]) -> dict[EventKey, Said]:
    """What the events say that are kept under the keys of `events`; where it is known by its hash only, because
    somebody was forgotten since, what says the same."""
    if not events:
        return {}
    said: dict[EventKey, Said] = {}
    hashed: dict[EventKey, bytes] = {}
    for row in _EARLIER.found(connection, {"brand_id": brand_id, "rows": _keys(events)}):
        key = (row.source, row.event_id)
        said[key] = meaning(row.type, row.time, row.membership_id, row.charge_id, row.data)
        if row.said_hash is not None:
            hashed[key] = bytes(row.said_hash)
    for event in events if hashed else ():
        key = key_of(event)
        if key in hashed and hashed[key] in erased.said_hashes(connection, brand_id, event.as_told or event.said):
            said[key] = event.said
    return said


def known(
    connection: Connection, brand_id: UUID, membership_ids: Collection[UUID]
) -> tuple[datetime, dict[UUID, Dates]]:
    """The brand's now, and the dates of those of some memberships that have signed up."""
    rows = _KNOWN.found(connection, {"brand_id": brand_id, "rows": _ids(membership_ids)})
    found = {
        row.membership_id: Dates(row.starts_on, row.billing_anchor, row.billing_frequency)
        for row in rows
        if row.membership_id is not None
    }
    return rows[0].now, found


def known_types(connection: Connection, brand_id: UUID, type_ids: Collection[UUID]) -> tuple[datetime, set[UUID]]:
    """The brand's now, and those of some membership types that are there."""
    rows = _KNOWN_TYPES.found(connection, {"brand_id": brand_id, "type_ids": list(type_ids)})
    return rows[0].now, {row.membership_type_id for row in rows if row.membership_type_id is not None}


def moved(connection: Connection, brand_id: UUID, membership_ids: Collection[UUID]) -> set[UUID]:
    """Those of some memberships whose dates were moved since they signed up."""
    return set(_MOVED.column(connection, {"brand_id": brand_id, "rows": _ids(membership_ids)}))


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
    made = set(_MEMBERSHIPS.column(connection, {"brand_id": brand_id, "rows": as_json(rows)}))
    guests = [
        {"membership_id": event.membership_id, "place": place, "member_id": _who(guest, people), **guest}
        for event in ordered
        if event.membership_id in made
        for place, guest in enumerate(event.data["guests"])
    ]
    if guests:
        _GUESTS.written(connection, {"brand_id": brand_id, "rows": as_json(guests)})
    return made


def _kept_hash(connection: Connection, brand_id: UUID, said: Said) -> str:
    return f"\\x{erased.said_hashes(connection, brand_id, said)[0].hex()}"


def _who(guest: Mapping[str, Any], people: Mapping[str, UUID]) -> UUID | None:
    name = guest["external_user_id"]
    return None if name is None else people[name]


def _keys(events: Sequence[BillingEvent]) -> str:
    return as_json([{"source": event.source, "event_id": event.event_id} for event in events])


def _ids(membership_ids: Iterable[UUID]) -> str:
    return as_json([{"membership_id": one} for one in membership_ids])
