"""Law 1: at most one credit per (rule, membership, guest, period_start, reissue).

The unique key credits_once enforces it; this is the proof that the key is there and whole.
"""

from collections.abc import Iterator
from uuid import UUID

from sqlalchemy import Connection, text

from issuance.laws.law import MOST_OFFENDERS, Law, Offender

# The keys alone, which the index holds in order; then the credits of those few that are there twice.
DOUBLES = text("""
    SELECT credit_rule_id, membership_id, guest_id, period_start, reissue,
           (SELECT array_agg(c.credit_id) FROM credits c
             WHERE c.brand_id = :brand_id AND c.membership_id = doubled.membership_id
               AND c.credit_rule_id = doubled.credit_rule_id AND c.period_start = doubled.period_start
               AND c.guest_id = doubled.guest_id AND c.reissue = doubled.reissue) AS credit_ids
      FROM (SELECT membership_id, credit_rule_id, period_start, guest_id, reissue
              FROM credits
             WHERE brand_id = :brand_id AND credit_rule_id IS NOT NULL
             GROUP BY membership_id, credit_rule_id, period_start, guest_id, reissue
            HAVING count(*) > 1
             LIMIT :most) AS doubled
""")


def ask(connection: Connection, brand_id: UUID) -> Iterator[list[Offender]]:
    """Keys that more than one credit has."""
    rows = connection.execute(DOUBLES, {"brand_id": brand_id, "most": MOST_OFFENDERS}).mappings()
    yield [dict(row) for row in rows]


LAW = Law(1, "once", "At most one credit per rule, membership, guest, period and reissue.", ask)
