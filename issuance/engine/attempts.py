"""Attempts: counted in PostgreSQL before the work, with back-off; after five a membership is quarantined.

They are counted in the membership's own schedule. Back-off follows real time, on sandbox brands too.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, text

from issuance import limits, measures
from issuance.database.complaints import in_short
from issuance.database.statements import Statement
from issuance.engine import schedules
from issuance.engine.bisection import is_transient
from issuance.engine.rows import id_array
from issuance.log import logger

# 2, 4, 8, 16 s after the first, second, … attempt.
_BACK_OFF = "clock_timestamp() + make_interval(secs => power(2, least(attempts + 1, 10)))"
# Beginning again within the back-off counts as the same attempt.
_BEGIN = Statement(f"""
    UPDATE schedules
       SET attempts = CASE WHEN retry_at > clock_timestamp() THEN attempts ELSE least(attempts + 1, :most) END,
           retry_at = CASE WHEN retry_at > clock_timestamp() THEN retry_at ELSE {_BACK_OFF} END,
           quarantined_at = CASE WHEN quarantined_at IS NOT NULL THEN quarantined_at
                                 WHEN attempts >= :most AND retry_at <= clock_timestamp() THEN clock_timestamp() END
     WHERE brand_id = :brand_id AND schedule_id = ANY(CAST(:ids AS uuid[])) AND NOT shared AND size = 1
    RETURNING schedule_id AS membership_id, quarantined_at IS NOT NULL AS quarantined
""")
_FAILED = text(f"""
    UPDATE schedules
       SET attempts = attempts + :more, retry_at = {_BACK_OFF}, last_error = left(:error, 500),
           quarantined_at = CASE WHEN attempts + :more >= :most THEN coalesce(quarantined_at, clock_timestamp()) END
     WHERE brand_id = :brand_id AND schedule_id = :id AND NOT shared AND size = 1
    RETURNING attempts, quarantined_at IS NOT NULL AS quarantined
""")
# A transient error uses no attempt.
_TRANSIENT = text("""
    UPDATE schedules
       SET attempts = greatest(attempts - :counted, 0), last_error = left(:error, 500),
           retry_at = clock_timestamp() + make_interval(secs => :seconds)
     WHERE brand_id = :brand_id AND schedule_id = :id AND NOT shared AND size = 1 AND quarantined_at IS NULL
""")
#: Seconds until the retry after a transient error.
RETRY_TRANSIENT_IN = 15
_SUCCEEDED = text("""
    UPDATE schedules SET attempts = 0, retry_at = NULL, last_error = NULL
     WHERE brand_id = :brand_id AND schedule_id = ANY(CAST(:ids AS uuid[])) AND attempts > 0 AND quarantined_at IS NULL
""")


def begin(connection: Connection, brand_id: UUID, membership_ids: Sequence[UUID]) -> list[UUID]:
    """Count an attempt for each membership, and give each its own schedule. Commit this before the work.

    Returns those to work on. Memberships that have used up their attempts (their worker died each time) are quarantined
    instead.
    """
    locked = schedules.own(connection, brand_id, membership_ids)
    most = limits.current.settling.attempts
    parameters = {"ids": id_array(one for waiting in locked for one in waiting.ids), "most": most}
    rows = _BEGIN.found(connection, {"brand_id": brand_id, **parameters})
    for row in rows:
        if row.quarantined:
            measures.failed("membership_quarantined")
            logger.error("membership_quarantined", brand=str(brand_id), membership=str(row.membership_id))
    return sorted(row.membership_id for row in rows if not row.quarantined)


def failed(connection: Connection, brand_id: UUID, membership_id: UUID, error: BaseException, *, counted: bool) -> None:
    """Note that settling a membership, which has its own schedule, failed. It is retried later, and quarantined after
    five attempts. A transient error, such as a full disk, uses no attempt. `counted`: `begin` has counted this attempt
    already.

    The figure `membership_set_apart` counts what is retried, for either cause; `membership_quarantined` what is not.
    """
    if is_transient(error):
        parameters = {"brand_id": brand_id, "id": membership_id, "counted": int(counted), "seconds": RETRY_TRANSIENT_IN}
        connection.execute(_TRANSIENT, {**parameters, "error": in_short(error)})
        measures.failed("membership_set_apart")
        logger.error("membership_put_off", brand=str(brand_id), membership=str(membership_id), error=in_short(error))
        return
    row = connection.execute(
        _FAILED,
        {
            "brand_id": brand_id,
            "id": membership_id,
            "more": 0 if counted else 1,
            "most": limits.current.settling.attempts,
            "error": in_short(error),
        },
    ).one_or_none()
    if row is not None:
        measures.failed("membership_quarantined" if row.quarantined else "membership_set_apart")
        logger.error(
            "membership_quarantined" if row.quarantined else "membership_set_apart",
            brand=str(brand_id),
            membership=str(membership_id),
            attempts=row.attempts,
            error=in_short(error),
        )


def succeeded(connection: Connection, brand_id: UUID, membership_ids: Sequence[UUID]) -> None:
    """Reset the attempts after work that succeeded but leaves the schedule alone, such as a replay."""
    connection.execute(_SUCCEEDED, {"brand_id": brand_id, "ids": id_array(membership_ids)})
