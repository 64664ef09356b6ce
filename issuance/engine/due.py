"""What is due? Named queries, answered from an index, and the sweep that is planned from them."""

# ruff: noqa: S608 - nothing but what is written here goes into the statements

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text
from uuid_utils.compat import uuid7

from issuance.engine import cohorts
from issuance.engine.rows import id_array

#: Memberships a batch at most: large enough for set-based statements, small enough to be lost cheaply.
BATCH_SIZE = 5000
#: A smaller run is still cut into so many batches, that all workers have some, but into none smaller than this.
_FEWEST_BATCHES = 16
_SMALLEST_BATCH = 500

#: The batches of `numbered` (membership_id, size: of how many it is the first, nth: how many come before, total).
#: Only those at their edges are kept.
BATCHES = f"""
    SELECT cut AS batch, (array_agg(membership_id ORDER BY nth))[1] AS first_id,
           (array_agg(membership_id ORDER BY nth DESC))[1] AS last_id, max(nth + size) - min(nth) AS size
      FROM (SELECT *, lag(cut) OVER in_order IS DISTINCT FROM cut
                      OR lead(cut) OVER in_order IS DISTINCT FROM cut AS edge
              FROM (SELECT *, nth / least(:size, greatest({_SMALLEST_BATCH}, total / {_FEWEST_BATCHES})) AS cut
                      FROM numbered) cut
            WINDOW in_order AS (ORDER BY membership_id)) edges
     WHERE edge
     GROUP BY cut
"""
#: Numbers the rows of a statement, each `{size}` memberships, in the order of their ids.
NUMBERED = "CAST(sum({size}) OVER (ORDER BY membership_id ROWS UNBOUNDED PRECEDING) AS integer) - {size} AS nth"

_ALONE = "d.quarantined_at IS NULL AND d.cohort_id IS NULL"
_NOT_APART = f"{_ALONE} AND (d.retry_at IS NULL OR d.retry_at <= clock_timestamp())"


def _first(which: str, brand: str = ":brand_id") -> str:
    """The first instant at which any membership of a brand is due. The first in each index is looked at: a planner that
    took a third of all rows for due would read them all to find that none is."""
    return f"""least(
        (SELECT d.due_at FROM dues d WHERE d.brand_id = {brand} AND {which} ORDER BY d.due_at LIMIT 1),
        (SELECT c.due_at FROM cohorts c WHERE c.brand_id = {brand} ORDER BY c.due_at LIMIT 1))"""


# Brands that have something due now, each on its own clock, and no sweep under way.
BRANDS_WITH_DUE = text(f"""
    SELECT b.brand_id
      FROM brands b
     WHERE {_first(_NOT_APART, "b.brand_id")} <= coalesce(b.clock_now, clock_timestamp())
       AND NOT EXISTS (SELECT FROM runs r WHERE r.brand_id = b.brand_id AND r.kind = 'sweep' AND r.finished_at IS NULL)
     LIMIT :most
""")
_IS_DUE = text(f"SELECT {_first(_ALONE)} <= :now")
_CAN_BE_SWEPT = text(f"SELECT {_first(_NOT_APART)} <= :now")
_SWEEP = text("""
    INSERT INTO runs (brand_id, run_id, kind, state, started_at)
    VALUES (:brand_id, :run_id, 'sweep', 'running', clock_timestamp())
    ON CONFLICT (brand_id) WHERE kind = 'sweep' AND finished_at IS NULL DO NOTHING
""")
_SWEEP_BATCHES = text(f"""
    WITH due AS MATERIALIZED (
             SELECT d.membership_id, 1 AS size
               FROM dues d WHERE d.brand_id = :brand_id AND d.due_at <= :now AND {_NOT_APART}
              UNION ALL
             SELECT c.first_id, CAST((SELECT count(*) FROM dues d WHERE d.brand_id = :brand_id
                                         AND d.cohort_id = c.cohort_id) AS integer)
               FROM cohorts c WHERE c.brand_id = :brand_id AND c.due_at <= :now),
         numbered AS (SELECT *, {NUMBERED.format(size="size")}, (SELECT sum(size) FROM due) AS total FROM due),
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
    SELECT d.membership_id, d.attempts, d.attempts = 1 AND d.retry_at > clock_timestamp() AS fresh
      FROM dues_known d
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
# The members of a cohort are all of one type.
_WAKE_COHORTS_SETTLED_AT = text("""
    UPDATE cohorts c SET due_at = :now
     WHERE c.brand_id = :brand_id AND c.settled_at = :now
       AND (SELECT m.membership_type_id FROM dues d JOIN memberships m USING (brand_id, membership_id)
             WHERE d.brand_id = :brand_id AND d.cohort_id = c.cohort_id LIMIT 1) = ANY(:type_ids)
""")
_WAKE = text("""
    UPDATE dues SET due_at = least(due_at, :now), shape = NULL
     WHERE brand_id = :brand_id AND membership_id = ANY(:ids) AND cohort_id IS NULL
    RETURNING membership_id
""")


class Waiting(NamedTuple):
    """A membership that there is something to settle for. `fresh`: its first attempt was counted a moment ago."""

    membership_id: UUID
    attempts: int
    fresh: bool


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


def waiting(connection: Connection, brand_id: UUID, membership_ids: Sequence[UUID]) -> list[Waiting]:
    """Those of some memberships that there is anything to settle for: a doubled hint costs this look."""
    found = connection.execute(_WAITING, {"brand_id": brand_id, "ids": id_array(membership_ids)})
    return [Waiting(*row) for row in found]


def has_unsettled(connection: Connection, brand_id: UUID) -> bool:
    """Whether a brand has accepted events that are not settled; those that wait for a sign-up do not count."""
    return bool(connection.scalar(_HAS_UNSETTLED, {"brand_id": brand_id}))


def wake(connection: Connection, brand_id: UUID, membership_ids: Sequence[UUID], now: datetime) -> None:
    """See to it that memberships are settled again, hint or no hint: what they rest on changed at `now`."""
    cohorts.update_alone(connection, brand_id, membership_ids, _WAKE, now=now)


def wake_settled_at(connection: Connection, brand_id: UUID, type_ids: Sequence[UUID], now: datetime) -> None:
    """Settle the memberships of types again that were settled at `now`: a rule was saved at that very instant,
    while the clock stood still, and may be in force for what was released at it."""
    which = {"brand_id": brand_id, "type_ids": list(type_ids), "now": now}
    connection.execute(_WAKE_SETTLED_AT, which)
    connection.execute(_WAKE_COHORTS_SETTLED_AT, which)
