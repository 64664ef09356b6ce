"""Memberships of one kind break the same laws: PostgreSQL tells the kinds, so that one of each is settled on paper.

A kind is all that settling rests on, with ids replaced by places, and instants by where they lie between the
instants that anything is compared with: the midnights of the brand's zone, and the moments rules were saved. When a
billing date moved is told exactly: it is the end of what it ends.
Nothing of it is read that a settling wrote down for itself: this is its check.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, text

from issuance.credits.credits import STILL_OUT
from issuance.deciding.calendar import midnight
from issuance.engine.archivings import EVER_ARCHIVED
from issuance.engine.event_facts import IN_ORDER
from issuance.tenancy.clock import BrandClock

#: Memberships a statement.
BATCH = 4000
#: How far ahead of now a credit's limits are told apart, in days.
_AHEAD = 800
_INSTANT = timedelta(microseconds=1)

# Those that are due, have news or are set apart are the business of law 9.
_AT_REST = "s.settled_at IS NOT NULL AND s.quarantined_at IS NULL AND (s.due_at IS NULL OR s.due_at > :now)"
SETTLED = text(f"""
    SELECT membership_id
      FROM membership_schedules JOIN schedules s USING (brand_id, schedule_id)
     WHERE brand_id = :brand_id AND membership_id > :after AND {_AT_REST}
     ORDER BY membership_id
     LIMIT :batch
""")
COUNT = text("SELECT count(*) FROM memberships WHERE brand_id = :brand_id")

_SPAN = text("""
    SELECT least(min(starts_on)::timestamptz,
                 (SELECT min(time) FROM billing_events WHERE brand_id = :brand_id)) AS first,
           max(starts_on) AS last
      FROM memberships WHERE brand_id = :brand_id
""")
_SAVED = text("SELECT created_at FROM rule_versions WHERE brand_id = :brand_id")

# Whole batches are joined. After an import or a crash the planner knows no sizes, takes a batch for a row, and would
# look through all of one side for each row of the other.
_BY_HASHING = text("SET LOCAL enable_nestloop = off")

# Hashes of 64 bits. Facts carry their places and credits have none: theirs are joined by exclusive or.
KINDS = text(f"""
    WITH chosen AS MATERIALIZED (
         SELECT m.membership_id, s.due_at, s.settled_at, m.membership_type_id, m.starts_on, m.billing_anchor,
                m.billing_frequency, m.status, m.ends_on,
                EXISTS (SELECT FROM members p WHERE p.brand_id = :brand_id
                           AND {EVER_ARCHIVED} AND p.member_id = m.member_id)
                OR m.membership_id IN (
                   SELECT g.membership_id FROM members p JOIN guests g USING (brand_id, member_id)
                    WHERE p.brand_id = :brand_id AND {EVER_ARCHIVED}
                      AND g.brand_id = :brand_id AND g.membership_id BETWEEN :first AND :last)
                OR EXISTS (SELECT FROM held_credits h
                            WHERE h.brand_id = :brand_id AND h.membership_id = m.membership_id) AS archived
           FROM membership_schedules p
           JOIN schedules s USING (brand_id, schedule_id)
           JOIN memberships m USING (brand_id, membership_id)
          WHERE p.brand_id = :brand_id AND p.membership_id BETWEEN :first AND :last
            AND m.brand_id = :brand_id AND m.membership_id BETWEEN :first AND :last
            AND {_AT_REST}),
    told AS MATERIALIZED (
         SELECT e.membership_id, e.type, e.time, e.charge_id, e.data, e.settled_at,
                row_number() OVER facts AS place, e.time = lag(e.time) OVER facts AS tie
           FROM billing_events e
          WHERE e.brand_id = :brand_id AND e.membership_id BETWEEN :first AND :last
         WINDOW facts AS (PARTITION BY e.membership_id ORDER BY {IN_ORDER})),
    facts AS (
         SELECT t.membership_id,
                bit_xor(hash_record_extended(t.fact, 0)) AS hash,
                bool_or(t.type IN ('membership.guests_changed', 'membership.type_changed') OR t.time > :now) AS alone,
                bool_or(t.type NOT IN ('membership.signed_up', 'charge.initiated', 'charge.succeeded')) AS uneven,
                bool_or(t.settled_at IS NULL) AS unsettled, max(t.time) FILTER (WHERE t.time <= :now) AS latest
           FROM (SELECT *, ROW(place, type, width_bucket(time, CAST(:cuts AS timestamptz[])), tie,
                               CASE WHEN type = 'membership.billing_date_moved' THEN time END,
                               CASE WHEN charge_id IS NOT NULL
                                    THEN min(place) OVER (PARTITION BY membership_id, charge_id) END,
                               CASE WHEN type = 'membership.signed_up'
                                    THEN (data - 'external_user_id') || jsonb_build_object(
                                             'guests', jsonb_path_query_array(data, '$.guests[*].lead_booker'))
                                    ELSE data END) AS fact
                   FROM told) t
          GROUP BY t.membership_id),
    places AS (
         SELECT t.membership_id, CAST(guest.value ->> 'guest_id' AS uuid) AS guest_id, guest.ordinality AS place
           FROM told t, jsonb_array_elements(t.data -> 'guests') WITH ORDINALITY AS guest
          WHERE t.type = 'membership.signed_up'),
    credits AS (
         SELECT c.membership_id,
                bit_xor(hash_record_extended(c.credit, 0)) AS hash,
                bool_or(c.place IS NULL) AS alone,
                bool_or(c.period_end IS NULL AND c.expires_at <= :now AND c.redeemed_at IS NULL) AS once_over,
                min(c.expires_at) FILTER (WHERE c.held) AS expiry
           FROM (SELECT o.*, ROW(o.credit_rule_id, o.place, o.period_start, o.period_end, o.reissue, o.rule_version,
                                 o.manual, o.roll_over, o.multi_use, o.max_uses, o.extended_to, o.issued, o.valid,
                                 width_bucket(o.validity_ends_at, CAST(:cuts AS timestamptz[])),
                                 CASE WHEN o.expires_at = o.validity_ends_at THEN NULL ELSE o.expires_at END,
                                 o.expires_at IS NULL, o.validity_ends_at < o.expires_at,
                                 CASE WHEN NOT o.kept THEN
                                      ROW(o.redeemed_at IS NULL, o.uses > 0, o.revoked_at IS NULL, o.revoked_by,
                                          o.expired_at IS NULL, o.flagged_at IS NULL, o.expires_at <= :now)::text END
                                ) AS credit
                   FROM (SELECT c.*, p.place,
                                width_bucket(c.issued_at, CAST(:cuts AS timestamptz[])) AS issued,
                                CASE WHEN c.valid_from <> c.issued_at THEN c.valid_from END AS valid,
                                c.revoked_at IS NULL AND c.flagged_at IS NULL
                                AND CASE WHEN c.redeemed_at IS NOT NULL THEN c.expired_at IS NULL
                                         ELSE (c.expired_at IS NOT NULL) = coalesce(c.expires_at <= :now, false)
                                    END AS kept,
                                {STILL_OUT} AND c.expires_at > :now AS held
                           FROM credits c LEFT JOIN places p USING (membership_id, guest_id)
                          WHERE c.brand_id = :brand_id AND c.membership_id BETWEEN :first AND :last) o) c
          GROUP BY c.membership_id)
    SELECT chosen.membership_id, due_at,
           credits.expiry IS NOT NULL AND (due_at IS NULL OR credits.expiry < due_at) AS outlived,
           archived OR facts.alone OR facts.latest > chosen.settled_at OR coalesce(credits.alone, false)
           -- What of a charge came before a P0D credit expired is asked to the instant.
           OR (facts.uneven AND coalesce(credits.once_over, false)) AS alone,
           hash_record_extended(kind.*, 0) AS hash
      FROM chosen JOIN facts USING (membership_id) LEFT JOIN credits USING (membership_id),
           LATERAL (SELECT membership_type_id, starts_on, billing_anchor, billing_frequency, status, ends_on,
                           facts.hash, credits.hash) AS kind
     WHERE NOT facts.unsettled
     ORDER BY chosen.membership_id
""")


Kind = int


class Settled(NamedTuple):
    """A settled membership. `kind` is None where it is like no other."""

    membership_id: UUID
    kind: Kind | None
    due_at: datetime | None
    #: Whether it is looked at only after a credit of its has expired.
    outlived: bool


def kinds(connection: Connection, brand_id: UUID, clock: BrandClock) -> Iterator[list[Settled]]:
    """A brand's settled memberships with their kinds, batch by batch."""
    connection.execute(_BY_HASHING)
    cuts = _cuts(connection, brand_id, clock)
    after = UUID(int=0)
    while True:
        which = {"brand_id": brand_id, "after": after, "now": clock.now, "batch": BATCH}
        ids = list(connection.scalars(SETTLED, which))
        if not ids:
            return
        after = ids[-1]
        which = {"brand_id": brand_id, "first": ids[0], "last": after, "now": clock.now, "cuts": cuts}
        yield [_settled(row) for row in connection.execute(KINDS, which)]


def _settled(row: Row[Any]) -> Settled:
    return Settled(row.membership_id, None if row.alone else row.hash, row.due_at, row.outlived)


def _cuts(connection: Connection, brand_id: UUID, clock: BrandClock) -> list[datetime]:
    """Every instant that facts and credits are compared with, and the one after each moment a rule was saved."""
    span: Any = connection.execute(_SPAN, {"brand_id": brand_id}).one()
    saved = list(connection.scalars(_SAVED, {"brand_id": brand_id}))
    cuts = {*saved, *(instant + _INSTANT for instant in saved)}
    if span.first is not None:
        day = span.first.date() - timedelta(days=2)
        last: date = max(span.last or clock.now.date(), clock.now.date()) + timedelta(days=_AHEAD)
        while day <= last:
            cuts.add(midnight(day, clock.zone))
            day += timedelta(days=1)
    return sorted(cuts)
