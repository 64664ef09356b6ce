"""What came in: events by their billers, events that are ahead of the clock or of their sign-up, and idle charges."""

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from issuance.tenancy import clock

#: Rows of each list.
MOST = 50

# The latest events of a membership that somebody asks about, or the latest that wait: both by index.
_WAITING = text("""
    SELECT e.source, e.event_id, e.type, e.time, e.membership_id, e.received_at, m.membership_id IS NULL AS unknown
      FROM (SELECT * FROM billing_events WHERE brand_id = :brand_id AND settled_at IS NULL LIMIT :most) e
      LEFT JOIN memberships m USING (brand_id, membership_id)
     ORDER BY e.time
""")
_IDLE = text("""
    SELECT membership_id, charge_id, state, period_start, period_end, amount
      FROM charges WHERE brand_id = :brand_id AND pays_for_nothing LIMIT :most
""")
_VERDICTS = text("""
    SELECT law, offenders, checked_at FROM verdicts WHERE brand_id = :brand_id AND offenders > 0 ORDER BY law
""")


def read(connection: Connection, brand_id: UUID) -> dict[str, list[dict[str, Any]]]:
    """Events that no settling has seen (`ahead` of the clock, of an `unknown` membership, or on their way), idle
    charges, and laws that were broken when they were last checked."""
    which = {"brand_id": brand_id, "most": MOST}
    now = clock.read(connection, brand_id).now
    waiting = [{**row, "ahead": row["time"] > now} for row in connection.execute(_WAITING, which).mappings()]
    return {
        "waiting": waiting,
        "idle": [dict(row) for row in connection.execute(_IDLE, which).mappings()],
        "broken": [dict(row) for row in connection.execute(_VERDICTS, {"brand_id": brand_id}).mappings()],
    }
