"""Which of the runs that wait for a worker comes first: one of the brand with the fewest batches under way, then the
one that has waited longest. What the queue holds, and in which order, decides nothing (docs/decisions 57)."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from issuance.database.fragments import GOES_ON
from issuance.engine.batches import CLAIM_HOLDS

#: A batch that was claimed longer ago than this and is not finished counts for nobody: its worker may be dead.
_UNDER_WAY_FOR = "1 minute"

# Of each unfinished run: what its brand has under way, and when one of them last had a worker.
_WORKABLE = f"""
    SELECT brand_id, run_id, under_way, waits_since, of_run
      FROM (SELECT r.brand_id, r.run_id, r.state = 'planned' OR b.is_left AS is_workable,
                   sum(b.under_way) OVER its_brand AS under_way,
                   coalesce(max(b.claimed_at) OVER its_brand, min(r.created_at) OVER its_brand) AS waits_since,
                   coalesce(b.claimed_at, r.created_at) AS of_run
              FROM runs r,
                   LATERAL (SELECT count(*) FILTER (WHERE finished_at IS NULL AND claimed_at >
                                                    clock_timestamp() - interval '{_UNDER_WAY_FOR}') AS under_way,
                                   bool_or(finished_at IS NULL AND (claimed_at IS NULL OR claimed_at <
                                           clock_timestamp() - interval '{CLAIM_HOLDS}')) AS is_left,
                                   max(claimed_at) AS claimed_at
                              FROM run_batches
                             WHERE (brand_id, run_id) = (r.brand_id, r.run_id)) b
             WHERE {GOES_ON} AND r.kind <> 'reconcile'
            WINDOW its_brand AS (PARTITION BY r.brand_id)) unfinished
     WHERE is_workable
"""
# Nothing where the run that was asked for has no more to do: whoever asked finds that out by itself.
_FIRST = text(f"""
    WITH workable AS MATERIALIZED ({_WORKABLE})
    SELECT brand_id, run_id FROM workable
     WHERE EXISTS (SELECT FROM workable WHERE (brand_id, run_id) = (:brand_id, :run_id))
     ORDER BY under_way, waits_since, of_run, run_id LIMIT 1
""")
# Runs of which no batch was claimed or finished lately: with batches left, with none left, or not yet planned. Brands
# take turns.
_STALLED = text(f"""
    SELECT r.brand_id, r.run_id, count(b.batch) AS left_over
      FROM runs r
      LEFT JOIN run_batches b ON (b.brand_id, b.run_id) = (r.brand_id, r.run_id) AND b.finished_at IS NULL
     WHERE {GOES_ON} AND r.kind <> 'reconcile'
       AND r.created_at < clock_timestamp() - CAST(:after AS interval)
       AND NOT EXISTS (SELECT FROM run_batches l WHERE (l.brand_id, l.run_id) = (r.brand_id, r.run_id)
                          AND greatest(l.claimed_at, l.finished_at) > clock_timestamp() - CAST(:after AS interval))
     GROUP BY r.brand_id, r.run_id
     ORDER BY row_number() OVER (PARTITION BY r.brand_id ORDER BY r.created_at, r.run_id), r.created_at
     LIMIT :most
""")


def first(connection: Connection, brand_id: UUID, run_id: UUID) -> tuple[UUID, UUID]:
    """The run, with its brand, on which a worker should work that was asked for `run_id`. It is that run if no other
    comes before it, or if it has nothing left to do. To be asked across all brands."""
    row = connection.execute(_FIRST, {"brand_id": brand_id, "run_id": run_id}).one_or_none()
    return (brand_id, run_id) if row is None else (row.brand_id, row.run_id)


def stalled(connection: Connection, *, after: str, most: int) -> Sequence[Row[Any]]:
    """Runs on which nobody has worked for an interval, with their brand and how many batches are `left_over`."""
    return connection.execute(_STALLED, {"after": after, "most": most}).all()
