"""Attempts: counted in PostgreSQL before the work, with back-off; after five a membership is quarantined.

Back-off follows real time, on sandbox brands too.
"""

# ruff: noqa: S608 - nothing but what is written here goes into the statements

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, text

from issuance.engine import cohorts
from issuance.engine.rows import id_array
from issuance.log import logger

MOST_ATTEMPTS = 5

# 2, 4, 8, 16 s after the first, second, … attempt.
_BACK_OFF = "clock_timestamp() + make_interval(secs => power(2, least(attempts + 1, 10)))"
#: `attempts` and `retry_at` of a membership that is just known. What makes it known asks for its settling, and counts
#: that attempt itself: who settles it at once has nothing to count before.
FIRST = "1, clock_timestamp() + make_interval(secs => 2)"
# An attempt that is still within its back-off, as beside a neighbour's, is the same attempt.
_BEGIN = text(f"""
    UPDATE dues
       SET attempts = CASE WHEN retry_at > clock_timestamp() THEN attempts ELSE least(attempts + 1, :most) END,
           retry_at = CASE WHEN retry_at > clock_timestamp() THEN retry_at ELSE {_BACK_OFF} END,
           quarantined_at = CASE WHEN quarantined_at IS NOT NULL THEN quarantined_at
                                 WHEN attempts >= :most AND retry_at <= clock_timestamp() THEN clock_timestamp() END
     WHERE brand_id = :brand_id AND membership_id = ANY(:ids) AND cohort_id IS NULL
    RETURNING membership_id, quarantined_at IS NOT NULL AS quarantined
""")
_FAILED = text(f"""
    UPDATE dues
       SET attempts = attempts + :more, retry_at = {_BACK_OFF}, last_error = left(:error, 500),
           quarantined_at = CASE WHEN attempts + :more >= :most THEN coalesce(quarantined_at, clock_timestamp()) END
     WHERE brand_id = :brand_id AND membership_id = :id
    RETURNING attempts, quarantined_at IS NOT NULL AS quarantined
""")

_PASSED = text("""
    UPDATE dues SET attempts = 0, retry_at = NULL, last_error = NULL
     WHERE brand_id = :brand_id AND membership_id = ANY(:ids) AND attempts > 0 AND quarantined_at IS NULL
""")


def begin(connection: Connection, brand_id: UUID, membership_ids: Sequence[UUID]) -> list[UUID]:
    """Count an attempt for each membership; commit it before the work. Returns those to work on: the ones
    that have used up their attempts (their worker died each time) are quarantined instead."""
    rows = cohorts.update_alone(connection, brand_id, membership_ids, _BEGIN, most=MOST_ATTEMPTS)
    for row in rows:
        if row.quarantined:
            logger.error("membership_quarantined", brand=str(brand_id), membership=str(row.membership_id))
    return [row.membership_id for row in rows if not row.quarantined]


def failed(connection: Connection, brand_id: UUID, membership_id: UUID, error: BaseException, *, counted: bool) -> None:
    """Note that settling a membership failed: it is tried again later, and quarantined after five times.

    `counted`: `begin` has counted this attempt already.
    """
    row = connection.execute(
        _FAILED,
        {
            "brand_id": brand_id,
            "id": membership_id,
            "more": 0 if counted else 1,
            "most": MOST_ATTEMPTS,
            "error": f"{type(error).__name__}: {error}",
        },
    ).one_or_none()
    if row is not None:
        logger.error(
            "membership_quarantined" if row.quarantined else "membership_set_apart",
            brand=str(brand_id),
            membership=str(membership_id),
            attempts=row.attempts,
            error=type(error).__name__,
        )


def passed(connection: Connection, brand_id: UUID, membership_ids: Sequence[UUID]) -> None:
    """Note that an attempt did no harm, where the work does not settle: a replay leaves what is due alone."""
    connection.execute(_PASSED, {"brand_id": brand_id, "ids": id_array(membership_ids)})
