"""Settling after events: memberships are settled together, or one by one if that fails."""

from collections import Counter
from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy import Connection, Engine

from issuance import limits, measures
from issuance.database import transaction
from issuance.database.fragments import BRANDS_NOW
from issuance.database.statements import Row, Statement
from issuance.deciding.reasons import Reason
from issuance.engine import attempts, schedules
from issuance.engine.bisection import in_pieces, singly
from issuance.engine.pipeline import settle_these
from issuance.engine.rows import id_array
from issuance.log import logger

# `fresh`: the first attempt was counted a moment ago. The schedules are read one by one: PostgreSQL would read all of a
# small brand's.
_WITH_WORK = Statement(f"""
    SELECT p.membership_id, s.attempts, NOT s.shared AND s.attempts = 1 AND s.retry_at > clock_timestamp() AS fresh
      FROM membership_schedules p
           CROSS JOIN LATERAL (SELECT * FROM schedules s
                                WHERE s.brand_id = :brand_id AND s.schedule_id = p.schedule_id OFFSET 0) s
     WHERE p.brand_id = :brand_id AND p.membership_id = ANY(CAST(:ids AS uuid[]))
       AND (s.settled_at IS NULL
            OR s.due_at <= (SELECT {BRANDS_NOW} FROM brands b WHERE b.brand_id = :brand_id)
            OR p.membership_id IN ({schedules.WITH_NEWS}))
     ORDER BY s.attempts, p.membership_id
""")


def settle_soon(engine: Engine, brand_id: UUID, membership_ids: Sequence[UUID]) -> Counter[Reason]:
    """Settle those of the memberships that have something to settle. Returns new outcomes by reason.

    A membership that was tried twice in vain is settled alone, after the others: if its news kills workers, it takes no
    other membership into quarantine.
    """
    together: list[UUID] = []
    alone: list[UUID] = []
    fresh = False
    counts: Counter[Reason] | None = None
    try:
        with transaction(engine, brand_id) as connection:
            waiting = with_work(connection, brand_id, membership_ids)
            if not waiting:
                return Counter()
            together = [one.membership_id for one in waiting]
            fresh = all(one.fresh for one in waiting)
            if fresh:  # their attempts were committed by the intake
                counts = settle_these(connection, brand_id, together)
            else:
                bound = limits.current.settling.attempts_together
                alone = [one.membership_id for one in waiting if one.attempts >= bound] if len(waiting) > 1 else []
                together = attempts.begin(connection, brand_id, sorted(set(together).difference(alone)))
    except Exception as error:
        if not fresh:
            raise
        measures.failed("fresh_settled_again")
        logger.warning("fresh_settled_again", brand=str(brand_id), error=type(error).__name__)
        counts = None
    if counts is None:
        counts = _settle(engine, brand_id, together)
        for membership_id in alone:
            with transaction(engine, brand_id) as connection:
                begun = attempts.begin(connection, brand_id, [membership_id])
            counts += _settle(engine, brand_id, begun)
    return counts


def with_work(connection: Connection, brand_id: UUID, membership_ids: Sequence[UUID]) -> list[Row]:
    """Those that have something to settle, the least often tried first. A doubled hint costs only this query."""
    return _WITH_WORK.found(connection, {"brand_id": brand_id, "ids": id_array(membership_ids)})


def _settle(engine: Engine, brand_id: UUID, membership_ids: Sequence[UUID]) -> Counter[Reason]:
    """Settle memberships whose attempts are committed: in one transaction, or each in its own where that fails."""
    counts: Counter[Reason] = Counter()

    def settle(piece: Sequence[UUID]) -> None:
        with transaction(engine, brand_id) as connection:
            done = settle_these(connection, brand_id, piece)
        counts.update(done)

    def take_apart(piece: Sequence[UUID], error: Exception) -> Iterable[Sequence[UUID]]:
        measures.failed("batch_taken_apart")
        logger.warning("batch_taken_apart", brand=str(brand_id), memberships=len(piece), error=type(error).__name__)
        return singly(piece, error)

    for membership_id, error in in_pieces(membership_ids, settle, take_apart):
        with transaction(engine, brand_id) as connection:
            attempts.failed(connection, brand_id, membership_id, error, counted=True)
        counts[Reason.ERROR] += 1
    return counts
