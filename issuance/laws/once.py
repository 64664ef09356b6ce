"""Law 1: at most one credit per (rule, membership, guest, period_start, reissue).

The unique key credits_once enforces it; this is the proof that the key is there and whole.
"""

from collections.abc import Iterator
from uuid import UUID

from sqlalchemy import Connection, text

from issuance.laws.law import MOST_OFFENDERS, Law, Offender

DOUBLES = text("""
    SELECT credit_rule_id, membership_id, guest_id, period_start, reissue, array_agg(credit_id) AS credit_ids
      FROM credits
     WHERE brand_id = :brand_id
     GROUP BY membership_id, credit_rule_id, guest_id, period_start, reissue
    HAVING count(*) > 1
     LIMIT :most
""")


def ask(connection: Connection, brand_id: UUID) -> Iterator[list[Offender]]:
    """Keys that more than one credit has."""
    rows = connection.execute(DOUBLES, {"brand_id": brand_id, "most": MOST_OFFENDERS}).mappings()
    yield [dict(row) for row in rows]


LAW = Law(1, "once", "At most one credit per rule, membership, guest, period and reissue.", ask)
