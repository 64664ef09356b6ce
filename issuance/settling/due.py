"""What is due? Named queries, answered from an index, and the sweep that is planned from them."""

# ruff: noqa: S608 - nothing but what is written here goes into the statements

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text
from uuid_utils.compat import uuid7

from issuance.settling.rows import id_array

#: Memberships a batch at most: large enough for set-based statements, small enough to be lost cheaply.
BATCH_SIZE = 5000
#: A smaller run is still cut into so many batches, that all workers have some, but into none smaller than this.
_FEWEST_BATCHES = 16
_SMALLEST_BATCH = 500

#: The batches of `numbered` memberships (nth from 0, of total): found by the ids at their edges, so that of
#: millions only a few are sorted and kept.
BATCHES = f"""
    SELECT nth / most AS batch, (array_agg(membership_id ORDER BY nth))[1] AS first_id,
           (array_agg(membership_id ORDER BY nth DESC))[1] AS last_id, max(nth) - min(nth) + 1 AS size
      FROM (SELECT *, least(:size, greatest({_SMALLEST_BATCH}, total / {_FEWEST_BATCHES})) AS most
              FROM numbered) cut
     WHERE nth % most IN (0, most - 1) OR nth = total - 1
     GROUP BY 1
"""
#: Numbers the memberships of a statement in the order of their ids.
NUMBERED = "row_number() OVER (ORDER BY membership_id) - 1 AS nth, count(*) OVER () AS total"

_NOT_APART = "d.quarantined_at IS NULL AND (d.retry_at IS NULL OR d.retry_at <= clock_timestamp())"

# Brands that have something due now, each on its own clock, and no sweep under way. The first in the index is
# looked at: a planner that took a third of all rows for due would read them all to find that none is.
BRANDS_WITH_DUE = text(f"""
    SELECT b.brand_id
      FROM brands b
     WHERE (SELECT d.due_at FROM dues d WHERE d.brand_id = b.brand_id AND {_NOT_APART} ORDER BY d.due_at LIMIT 1)
           <= coalesce(b.clock_now, clock_timestamp())
       AND NOT EXISTS (SELECT FROM runs r WHERE r.brand_id = b.brand_id AND r.kind = 'sweep' AND r.finished_at IS NULL)
     LIMIT :most
""")
_IS_DUE = text("""
    SELECT (SELECT d.due_at FROM dues d WHERE d.brand_id = :brand_id AND d.quarantined_at IS NULL
             ORDER BY d.due_at LIMIT 1) <= :now
""")
_CAN_BE_SWEPT = text(f"""
    SELECT (SELECT d.due_at FROM dues d WHERE d.brand_id = :brand_id AND {_NOT_APART} ORDER BY d.due_at LIMIT 1) <= :now
""")
_SWEEP = text("""
    INSERT INTO runs (brand_id, run_id, kind, state, started_at)
    VALUES (:brand_id, :run_id, 'sweep', 'running', clock_timestamp())
    ON CONFLICT (brand_id) WHERE kind = 'sweep' AND finished_at IS NULL DO NOTHING
""")
_SWEEP_BATCHES = text(f"""
    WITH numbered AS (SELECT d.membership_id, {NUMBERED}
                        FROM dues d WHERE d.brand_id = :brand_id AND d.due_at <= :now AND {_NOT_APART}),
         batches AS (INSERT INTO run_batches (brand_id, run_id, batch, first_id, last_id, size)
                     SELECT :brand_id, :run_id, cut.* FROM ({BATCHES}) cut
                  RETURNING size)
    UPDATE runs SET total = (SELECT coalesce(sum(size), 0) FROM batches)
     WHERE brand_id = :brand_id AND run_id = :run_id
    RETURNING total, (SELECT count(*) FROM batches) AS batches
""")
# Accepted events that nobody has settled: their hint was lost, or their membership was set apart for a while.
_UNSETTLED = text("""
    SELECT DISTINCT e.brand_id, e.membership_id
      FROM billing_events e
      JOIN dues d USING (brand_id, membership_id)
     WHERE e.settled_at IS NULL AND e.received_at < clock_timestamp() - CAST(:older_than AS interval)
       AND d.quarantined_at IS NULL AND (d.retry_at IS NULL OR d.retry_at <= clock_timestamp())
     LIMIT :most
""")
_HAS_UNSETTLED = text("""
    SELECT EXISTS (SELECT FROM billing_events e JOIN dues d USING (brand_id, membership_id)
                    WHERE e.brand_id = :brand_id AND e.settled_at IS NULL AND d.quarantined_at IS NULL)
""")
_WAITING = text("""
    SELECT d.membership_id
      FROM dues d
     WHERE d.brand_id = :brand_id AND d.membership_id = ANY(:ids)
       AND (d.settled_at IS NULL
            OR d.due_at <= (SELECT coalesce(b.clock_now, clock_timestamp()) FROM brands b WHERE b.brand_id = :brand_id)
            OR EXISTS (SELECT FROM billing_events e
                        WHERE e.brand_id = :brand_id AND e.membership_id = d.membership_id AND e.settled_at IS NULL))
     ORDER BY d.membership_id
""")
_WAKE_SETTLED_AT = text("""
    UPDATE dues d SET due_at = :now
      FROM memberships m
     WHERE d.brand_id = :brand_id AND d.settled_at = :now
       AND (m.brand_id, m.membership_id) = (d.brand_id, d.membership_id) AND m.membership_type_id = ANY(:type_ids)
""")
_WAKE = text("""
    UPDATE dues SET due_at = least(due_at, :now), shape = NULL WHERE brand_id = :brand_id AND membership_id = ANY(:ids)
""")


class Sweep(NamedTuple):
    run_id: UUID
    batches: int


def brands_with_due(connection: Connection, *, most: int) -> list[UUID]:
    """Brands for which a sweep should be planned."""
    return list(connection.scalars(BRANDS_WITH_DUE, {"most": most}))


def is_due(connection: Connection, brand_id: UUID, now: datetime) -> bool:
    """Whether any membership of a brand is due at `now`; quarantined ones do not count."""
    return bool(connection.scalar(_IS_DUE, {"brand_id": brand_id, "now": now}))


def plan_sweep(connection: Connection, brand_id: UUID, now: datetime) -> Sweep | None:
    """Plan a sweep of all that is due at `now` (the brand's clock). None: nothing is, or one is under way."""
    if not connection.scalar(_CAN_BE_SWEPT, {"brand_id": brand_id, "now": now}):
        return None
    run_id = uuid7()
    if connection.execute(_SWEEP, {"brand_id": brand_id, "run_id": run_id}).rowcount == 0:
        return None
    planned = connection.execute(
        _SWEEP_BATCHES, {"brand_id": brand_id, "run_id": run_id, "now": now, "size": BATCH_SIZE}
    ).one()
    return Sweep(run_id, planned.batches)


def unsettled(connection: Connection, *, older_than: str, most: int) -> dict[UUID, list[UUID]]:
    """Memberships with accepted events that wait for being settled for longer than an interval, by brand."""
    found: dict[UUID, list[UUID]] = {}
    for row in connection.execute(_UNSETTLED, {"older_than": older_than, "most": most}):
        found.setdefault(row.brand_id, []).append(row.membership_id)
    return found


def waiting(connection: Connection, brand_id: UUID, membership_ids: Sequence[UUID]) -> list[UUID]:
    """Those of some memberships that there is anything to settle for: a doubled hint costs this look."""
    return list(connection.scalars(_WAITING, {"brand_id": brand_id, "ids": id_array(membership_ids)}))


def has_unsettled(connection: Connection, brand_id: UUID) -> bool:
    """Whether a brand has accepted events that are not settled; those that wait for a sign-up do not count."""
    return bool(connection.scalar(_HAS_UNSETTLED, {"brand_id": brand_id}))


def wake(connection: Connection, brand_id: UUID, membership_ids: Sequence[UUID], now: datetime) -> None:
    """See to it that memberships are settled again, hint or no hint: what they rest on changed at `now`."""
    connection.execute(_WAKE, {"brand_id": brand_id, "ids": id_array(membership_ids), "now": now})


def wake_settled_at(connection: Connection, brand_id: UUID, type_ids: Sequence[UUID], now: datetime) -> None:
    """Settle the memberships of types again that were settled at `now`: a rule was saved at that very instant,
    while the clock stood still, and may be in force for what was released at it."""
    connection.execute(_WAKE_SETTLED_AT, {"brand_id": brand_id, "type_ids": list(type_ids), "now": now})
