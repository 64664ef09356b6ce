"""Who looks on, beside the programs, and turns the clocks of the world."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from campaigns.simulation import backends
from campaigns.simulation.wire import Cursor
from issuance.database.tables import metadata

_START = "UPDATE brands SET clock_now = %s WHERE brand_id = %s"
_PASSES = """
    WITH schedules AS (UPDATE schedules SET retry_at = retry_at - %(by)s
                        WHERE brand_id = %(brand)s AND retry_at IS NOT NULL),
         batches AS (UPDATE run_batches SET claimed_at = claimed_at - %(by)s, finished_at = finished_at - %(by)s
                      WHERE brand_id = %(brand)s
                        AND run_id IN (SELECT run_id FROM runs WHERE brand_id = %(brand)s AND finished_at IS NULL)),
         runs AS (UPDATE runs SET created_at = created_at - %(by)s WHERE brand_id = %(brand)s AND finished_at IS NULL)
    UPDATE billing_events SET received_at = received_at - %(by)s WHERE brand_id = %(brand)s AND settled_at IS NULL
"""
_UNDER_WAY = """
    SELECT EXISTS (SELECT FROM runs WHERE brand_id = %(brand)s AND finished_at IS NULL AND state <> 'paused')
        OR EXISTS (SELECT FROM billing_events e JOIN memberships USING (brand_id, membership_id)
                    WHERE e.brand_id = %(brand)s AND e.settled_at IS NULL)
        OR EXISTS (SELECT FROM schedules WHERE brand_id = %(brand)s AND (quarantined_at IS NOT NULL
                   OR due_at <= (SELECT clock_now FROM brands WHERE brand_id = %(brand)s)))
"""
_APART = "SELECT schedule_id FROM schedules WHERE brand_id = %s AND quarantined_at IS NOT NULL ORDER BY 1"
_EMPTY = f"TRUNCATE {', '.join(metadata.tables)}"


class Onlooker:
    """A connection of its own, that sees all brands, and commits each statement."""

    def __init__(self, url: str) -> None:
        self.connection = backends.connect(url)
        self.execute("SELECT set_config('issuance.brand_id', '*', false)")

    def execute(self, statement: str, values: Any = None) -> Cursor:
        return self.connection.execute(statement, values)

    def start(self, brand_id: UUID, now: datetime) -> None:
        """A sandbox clock stands still from now on."""
        self.execute(_START, (now, brand_id))

    def passes(self, brand_id: UUID, seconds: float) -> None:
        """Real time passes: what waited for longer than that has waited long enough."""
        self.execute(_PASSES, {"by": timedelta(seconds=seconds), "brand": brand_id})

    def is_under_way(self, brand_id: UUID) -> bool:
        """Whether anything is due, or news or a run are not done with, or somebody is set apart."""
        return bool(self.execute(_UNDER_WAY, {"brand": brand_id}).fetchall()[0][0])

    def set_apart(self, brand_id: UUID) -> list[UUID]:
        """The memberships in quarantine."""
        return [membership_id for (membership_id,) in self.execute(_APART, (brand_id,)).fetchall()]

    def empty(self) -> None:
        """Forgets all brands."""
        self.execute(_EMPTY)
