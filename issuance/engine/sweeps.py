"""What is due? Named queries, answered from an index, and the sweep that is planned from them."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text
from uuid_utils.compat import uuid7

from issuance.database.fragments import BRANDS_NOW, UNSETTLED, due
from issuance.engine.ranges import BATCHES, NUMBERED, sizes
from issuance.engine.rows import id_array
from issuance.engine.schedules import MAY_BE_TRIED
from issuance.tenancy import clock as clocks
from issuance.tenancy.clock import BrandClock


def _first_due(brand: str, which: str = "true") -> str:
    """The first instant at which a brand has anything due: the first entry of the index. For `due_at <= now` alone the
    planner expects a third of all rows, and reads them all."""
    return f"""(SELECT s.due_at FROM schedules s
        WHERE s.brand_id = {brand} AND s.due_at IS NOT NULL AND s.quarantined_at IS NULL AND {which}
        ORDER BY s.due_at LIMIT 1)"""


def _until(now: str, which: str = MAY_BE_TRIED) -> str:
    """The instant up to which a sweep of a brand `b` settles: `now`. A guard asks what went out on the days before: so
    where a clock was moved over several, the first on which anything is due is settled for all before the next."""
    day_ends = f"""CAST(CAST({_first_due("b.brand_id", which)} AT TIME ZONE b.timezone AS date) + 1 AS timestamp)
                       AT TIME ZONE b.timezone - interval '1 microsecond'"""
    return f"""least({now}, CASE WHEN b.clock_now IS NOT NULL
                                   AND num_nonnulls(b.guard_max_per_day, b.guard_times_busiest_day) > 0
                                  THEN greatest(b.woke_at, {day_ends}) END)"""


# Those that are under way one by one have begun an attempt, and may not be tried by others.
_UNDER_WAY = f"({MAY_BE_TRIED} OR s.schedule_id = ANY(CAST(:ids AS uuid[])))"
_UNTIL = text(f"SELECT {_until(':now', _UNDER_WAY)} FROM brands b WHERE b.brand_id = :brand_id")
# Brands that have something due now, each on its own clock, and no sweep under way.
_BRANDS_WITH_DUE = text(f"""
    SELECT b.brand_id, {BRANDS_NOW} AS now
      FROM brands b
     WHERE {_first_due("b.brand_id", MAY_BE_TRIED)} <= {BRANDS_NOW}
       AND NOT EXISTS (SELECT FROM runs r WHERE r.brand_id = b.brand_id AND r.kind = 'sweep' AND r.finished_at IS NULL)
     LIMIT :most
""")
_IS_DUE = text(f"SELECT {_first_due(':brand_id')} <= :now")
# In the order of the brands, so that two schedulers wait for each other in one order.
_SWEEPS = text(f"""
    INSERT INTO runs (brand_id, run_id, kind, state, started_at)
    SELECT asked.brand_id, asked.run_id, 'sweep', 'running', clock_timestamp()
      FROM unnest(CAST(:brand_ids AS uuid[]), CAST(:run_ids AS uuid[]), CAST(:nows AS timestamptz[]))
           AS asked (brand_id, run_id, now)
     WHERE {_first_due("asked.brand_id", MAY_BE_TRIED)} <= asked.now
     ORDER BY asked.brand_id
    ON CONFLICT (brand_id) WHERE kind = 'sweep' AND finished_at IS NULL DO NOTHING
    RETURNING run_id
""")
# A planner that knows no bound from below would expect a third of all rows to be due, and read them all.
_SWEEP_BATCHES = text(f"""
    WITH planned AS MATERIALIZED (
             SELECT asked.brand_id, asked.run_id, {_until("asked.now")} AS until
               FROM unnest(CAST(:brand_ids AS uuid[]), CAST(:run_ids AS uuid[]), CAST(:nows AS timestamptz[]))
                    AS asked (brand_id, run_id, now)
               JOIN brands b USING (brand_id)),
         batches AS (
             INSERT INTO run_batches (brand_id, run_id, batch, first_id, last_id, size)
             SELECT planned.brand_id, planned.run_id, cut.*
               FROM planned CROSS JOIN LATERAL (
                        WITH due AS MATERIALIZED (
                                 SELECT s.schedule_id AS id, s.size
                                   FROM schedules s
                                  WHERE s.brand_id = planned.brand_id
                                    AND s.due_at >= '-infinity' AND {due("planned.until")} AND {MAY_BE_TRIED}),
                             numbered AS (SELECT *, {NUMBERED.format(size="size")},
                                                 (SELECT sum(size) FROM due) AS total FROM due)
                        SELECT * FROM ({BATCHES}) ranges) cut
          RETURNING brand_id, run_id, size)
    UPDATE runs r SET total = counted.total
      FROM (SELECT planned.brand_id, planned.run_id, coalesce(sum(size), 0) AS total, count(size) AS batches
              FROM planned LEFT JOIN batches USING (brand_id, run_id)
             GROUP BY planned.brand_id, planned.run_id) counted
     WHERE (r.brand_id, r.run_id) = (counted.brand_id, counted.run_id)
    RETURNING r.brand_id, r.run_id, counted.batches
""")
# The memberships of the due schedules of a range.
_MEMBERSHIPS_DUE = text(f"""
    SELECT p.membership_id
      FROM schedules s JOIN membership_schedules p USING (brand_id, schedule_id)
     WHERE s.brand_id = :brand_id AND s.schedule_id BETWEEN :first_id AND :last_id
       AND {due(":until")} AND {MAY_BE_TRIED}
     ORDER BY p.membership_id
""")
_WAITED = f"""
      FROM {UNSETTLED}
       AND e.received_at < clock_timestamp() - CAST(:older_than AS interval) AND {MAY_BE_TRIED}"""
# Accepted events that nobody has settled: their hint was lost, or their membership was to be tried later. Of each brand
# as many. Brands that have none cost nothing.
_FORGOTTEN = text(f"""
    WITH RECURSIVE has_some (brand_id) AS (
         (SELECT brand_id FROM billing_events WHERE settled_at IS NULL ORDER BY brand_id LIMIT 1)
         UNION ALL
         SELECT (SELECT e.brand_id FROM billing_events e
                  WHERE e.settled_at IS NULL AND e.brand_id > has_some.brand_id ORDER BY e.brand_id LIMIT 1)
           FROM has_some WHERE brand_id IS NOT NULL),
    waiting AS MATERIALIZED (
         SELECT b.brand_id FROM has_some b
          WHERE brand_id IS NOT NULL AND EXISTS (SELECT {_WAITED} AND e.brand_id = b.brand_id) LIMIT :most)
    SELECT waiting.brand_id, forgotten.membership_id
      FROM waiting, LATERAL (SELECT DISTINCT e.membership_id {_WAITED} AND e.brand_id = waiting.brand_id
                              LIMIT (SELECT :most / count(*) FROM waiting)) forgotten
""")
_HAS_UNSETTLED = text(f"SELECT EXISTS (SELECT FROM {UNSETTLED} AND e.brand_id = :brand_id)")


class Sweep(NamedTuple):
    """The run of a planned sweep, and how many batches it has."""

    run_id: UUID
    batches: int


def brands_with_due(connection: Connection, *, most: int) -> dict[UUID, datetime]:
    """Brands for which a sweep should be planned, each with its now."""
    return {row.brand_id: row.now for row in connection.execute(_BRANDS_WITH_DUE, {"most": most})}


def is_due(connection: Connection, brand_id: UUID, now: datetime) -> bool:
    """Whether any membership of a brand is due at `now`; quarantined ones do not count."""
    return bool(connection.scalar(_IS_DUE, {"brand_id": brand_id, "now": now}))


def plan(connection: Connection, brand_id: UUID, now: datetime) -> Sweep | None:
    """Plan a sweep of all that is due at `now` (the brand's clock). None if nothing is, or if one is under way."""
    return plan_all(connection, {brand_id: now}).get(brand_id)


def plan_all(connection: Connection, brands: Mapping[UUID, datetime]) -> dict[UUID, Sweep]:
    """`plan` for many brands, each with its now, in as many statements as for one; the sweeps that are planned."""
    asked = {uuid7(): brand_id for brand_id in brands}
    inserted = connection.scalars(_SWEEPS, _columns(asked, brands)).all()
    if not inserted:
        return {}
    planned = _columns({run_id: asked[run_id] for run_id in inserted}, brands)
    rows = connection.execute(_SWEEP_BATCHES, {**planned, **sizes()})
    return {row.brand_id: Sweep(row.run_id, row.batches) for row in rows}


def _columns(runs: Mapping[UUID, UUID], brands: Mapping[UUID, datetime]) -> dict[str, list[object]]:
    """Runs and their brands, as parameters."""
    nows = [brands[brand_id] for brand_id in runs.values()]
    return {"brand_ids": list(runs.values()), "run_ids": list(runs), "nows": [*nows]}


def memberships_due(connection: Connection, brand_id: UUID, first_id: UUID, last_id: UUID) -> list[UUID]:
    """The ids of the memberships of the due schedules of a range."""
    until = clock_for(connection, brand_id).now
    parameters = {"brand_id": brand_id, "first_id": first_id, "last_id": last_id, "until": until}
    return list(connection.scalars(_MEMBERSHIPS_DUE, parameters))


def clock_for(connection: Connection, brand_id: UUID, membership_ids: Iterable[UUID] = ()) -> BrandClock:
    """The brand's clock, locked, as a sweep settles by it: where there is a guard, a clock that was moved over several
    days gets to its `now` day by day. `membership_ids`: those whose attempts have begun."""
    clock = clocks.read(connection, brand_id, lock=True)
    if not clock.stands_still:
        return clock
    asked = {"brand_id": brand_id, "now": clock.now, "ids": id_array(membership_ids)}
    return replace(clock, now=connection.scalar(_UNTIL, asked))


def unsettled(connection: Connection, *, older_than: str, most: int) -> dict[UUID, list[UUID]]:
    """Memberships whose accepted events have waited to be settled for longer than an interval, by brand."""
    found: dict[UUID, list[UUID]] = {}
    for row in connection.execute(_FORGOTTEN, {"older_than": older_than, "most": most}):
        found.setdefault(row.brand_id, []).append(row.membership_id)
    return found


def has_unsettled(connection: Connection, brand_id: UUID) -> bool:
    """Whether a brand has accepted events that are not settled; those that wait for a sign-up do not count."""
    return bool(connection.scalar(_HAS_UNSETTLED, {"brand_id": brand_id}))
