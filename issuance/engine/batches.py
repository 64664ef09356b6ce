"""Work on a run: claim its next batch, do it, finish it in the transaction that did it.

A hint asks for one batch; which one PostgreSQL decides, so that lost, doubled and late hints do no harm.
"""

import json
from collections import Counter, deque
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine, Row, text

from issuance import limits, measures
from issuance.database import transaction
from issuance.database.complaints import in_short
from issuance.deciding.reasons import Reason
from issuance.engine import attempts, run_work, runs, schedules
from issuance.engine.bisection import is_transient
from issuance.engine.plans import Plan
from issuance.log import logger

#: A batch that was claimed and not finished is claimed again after this, unless its row is locked.
CLAIM_HOLDS = "5 seconds"

# MATERIALIZED, because a plan that looked for the next batch twice would claim two.
_CLAIM = text(f"""
    WITH next AS MATERIALIZED (
         SELECT batch FROM run_batches
          WHERE brand_id = :brand_id AND run_id = :run_id AND finished_at IS NULL
            AND (claimed_at IS NULL OR claimed_at < clock_timestamp() - interval '{CLAIM_HOLDS}')
          ORDER BY batch LIMIT 1 FOR UPDATE SKIP LOCKED)
    UPDATE run_batches b SET attempts = b.attempts + 1, claimed_at = clock_timestamp()
      FROM next
     WHERE b.brand_id = :brand_id AND b.run_id = :run_id AND b.batch = next.batch
    RETURNING b.*
""")
# `attempts` tells whether somebody else has claimed the batch since.
_LOCK = text("""
    SELECT first_id, counts, plan FROM run_batches
     WHERE brand_id = :brand_id AND run_id = :run_id AND batch = :batch AND attempts = :attempts
       AND finished_at IS NULL FOR UPDATE SKIP LOCKED
""")
_FINISH = text("""
    UPDATE run_batches SET finished_at = clock_timestamp(), counts = :counts, plan = :plan, planned = :planned
     WHERE brand_id = :brand_id AND run_id = :run_id AND batch = :batch
""")
_GO_ON = text("""
    UPDATE run_batches
       SET first_id = :first_id, claimed_at = clock_timestamp(), counts = :counts, plan = :plan, planned = :planned,
           attempts_before = attempts - 1
     WHERE brand_id = :brand_id AND run_id = :run_id AND batch = :batch
""")
_PUT_OFF = text("""
    UPDATE run_batches SET attempts_before = attempts
     WHERE brand_id = :brand_id AND run_id = :run_id AND batch = :batch
""")
_NARROW = text("""
    UPDATE run_batches SET first_id = :first_id, last_id = :last_id
     WHERE brand_id = :brand_id AND run_id = :run_id AND batch = :batch
""")
_CLOSE = text("""
    UPDATE runs r SET state = 'finished', finished_at = clock_timestamp()
     WHERE brand_id = :brand_id AND run_id = :run_id AND state = 'running'
       AND NOT EXISTS (SELECT FROM run_batches b
                        WHERE b.brand_id = :brand_id AND b.run_id = r.run_id AND b.finished_at IS NULL)
    RETURNING r.kind
""")


class Worked(NamedTuple):
    """The batch that was done, None if there was none to do, and its counts by reason."""

    batch: int | None
    counts: Counter[Reason]


def work_on_run(engine: Engine, brand_id: UUID, run_id: UUID) -> Worked:
    """Do the next batch of a run, and finish the run with its last one."""
    ids = {"brand_id": brand_id, "run_id": run_id}
    with transaction(engine, brand_id) as connection:
        run = runs.lock(connection, brand_id, run_id)
        if run is None or run.state not in ("planned", "running") or run.kind == "reconcile":
            return Worked(None, Counter())
        if run.state == "planned":
            run_work.plan(connection, run)
        # The attempt is counted, and committed, before the work.
        claimed = connection.execute(_CLAIM, ids).one_or_none()
    worked = Worked(None, Counter()) if claimed is None else Worked(claimed.batch, _work(engine, run, claimed))
    close(engine, brand_id, run_id)
    return worked


def close(engine: Engine, brand_id: UUID, run_id: UUID) -> None:
    """Finish a run if all of its batches are finished."""
    with transaction(engine, brand_id) as connection:
        closed = connection.execute(_CLOSE, {"brand_id": brand_id, "run_id": run_id}).one_or_none()
        if closed is not None and closed.kind != "sweep":
            runs.tell_finished(connection, brand_id, run_id)


def _work(engine: Engine, run: Row[Any], claimed: Row[Any]) -> Counter[Reason]:
    if claimed.attempts > 1:
        return _in_parts(engine, run, claimed)
    try:
        with transaction(engine, run.brand_id) as connection:
            if _lock(connection, claimed) is None:
                return Counter()
            counts, plan = run_work.work_on_range(connection, run, claimed.first_id, claimed.last_id)
            _finish(connection, claimed, counts, plan)
            return counts
    except Exception as error:
        measures.failed("batch_taken_apart")
        named = {"brand": str(run.brand_id), "run": str(run.run_id), "batch": claimed.batch}
        logger.warning("batch_taken_apart", **named, error=type(error).__name__)
    return _in_parts(engine, run, claimed)


def _in_parts(engine: Engine, run: Row[Any], claimed: Row[Any]) -> Counter[Reason]:
    """Do a batch that failed, or whose worker died, part by part; each membership's attempt is counted first. A part
    that fails is done one by one, and so is the whole batch if its worker dies again. A transient error ends the try,
    except in a sweep, which comes back anyway.

    The batch's row keeps how far it came, so that whoever claims it next goes on from there. What settles nobody (a dry
    run, a preview, an undo) counts no attempts and quarantines nobody: it skips the membership at which its workers
    died too often, and no other.
    """
    settles = not run.dry_run and run.kind not in ("preview", "undo")
    ids = _narrowed(engine, run, claimed, settles=settles)
    bounds = limits.current.settling
    size = bounds.part if claimed.attempts <= bounds.attempts_together else 1
    parts = deque(ids[start : start + size] for start in range(0, len(ids), size))
    counts, plan = _counted(claimed), claimed.plan
    died = claimed.attempts - claimed.attempts_before - 1
    fatal = ids[:1] if not settles and died >= bounds.attempts else []

    def is_left(connection: Connection, part: list[UUID]) -> bool:
        """Lock the batch, and look whether a part is left to do. None is if somebody else has claimed the batch since,
        or if it is done: after a COMMIT, its reply may be lost."""
        nonlocal counts, plan
        reached = _lock(connection, claimed)
        if reached is None:
            parts.clear()
        elif part[0] < reached.first_id:
            counts, plan = _counted(reached), reached.plan
        else:
            return True
        return False

    while parts:
        part = parts.popleft()
        following = parts[0][0] if parts else None
        with transaction(engine, run.brand_id) as connection:
            if not is_left(connection, part):
                continue
            begun = [one for one in part if one not in fatal]
            if settles:
                begun = attempts.begin(connection, run.brand_id, part)
        quarantined = Counter({Reason.ERROR: len(part) - len(begun)})
        more, rows = quarantined, None
        try:
            with transaction(engine, run.brand_id) as connection:
                if not is_left(connection, part):
                    continue
                if begun:
                    done, rows = run_work.work_on(connection, run, begun)
                    more = quarantined + done
                _go_on(connection, claimed, following, counts + more, _joined(plan, rows))
        except Exception as error:
            transient = is_transient(error) and run.kind != "sweep"
            if len(part) > 1 and not transient:
                parts.extendleft([membership_id] for membership_id in reversed(part))
                continue
            more, rows = Counter({Reason.ERROR: 1}), None
            with transaction(engine, run.brand_id) as connection:
                if not is_left(connection, part):
                    continue
                for one in begun:
                    if settles:
                        attempts.failed(connection, run.brand_id, one, error, counted=True)
                    elif not transient:
                        _log_passed_over(run, one, error)
                if transient:  # whoever claims the batch next begins here again: nothing else comes back to it
                    connection.execute(_PUT_OFF, _key(claimed))
                else:
                    _go_on(connection, claimed, following, counts + more, plan)
            if transient:
                raise
        counts, plan = counts + more, _joined(plan, rows)
    return counts


def _narrowed(engine: Engine, run: Row[Any], claimed: Row[Any], *, settles: bool) -> list[UUID]:
    """The memberships that are left of a batch, whose row is narrowed to their ids. A sweep's range was one of schedule
    ids: from here on each membership has its own schedule, whose id is the membership's."""
    with transaction(engine, run.brand_id) as connection:
        ids = run_work.memberships_of(connection, run, claimed.first_id, claimed.last_id)
        if _lock(connection, claimed) is None:
            return []
        if not ids:
            _finish(connection, claimed, _counted(claimed), claimed.plan)
            return []
        if settles:
            schedules.leave(connection, run.brand_id, ids)
        connection.execute(_NARROW, {**_key(claimed), "first_id": ids[0], "last_id": ids[-1]})
        return ids


def _log_passed_over(run: Row[Any], membership_id: UUID, error: Exception) -> None:
    named = {"brand": str(run.brand_id), "run": str(run.run_id), "membership": str(membership_id)}
    logger.error("membership_passed_over", **named, error=in_short(error))


def _counted(batch: Row[Any]) -> Counter[Reason]:
    """What was counted so far."""
    return Counter({Reason(reason): n for reason, n in batch.counts.items()})


def _joined(plan: Plan | None, rows: Plan | None) -> Plan | None:
    return plan if rows is None else [*(plan or []), *rows][: limits.current.runs.plan_credits]


def _go_on(
    connection: Connection, claimed: Row[Any], following: UUID | None, counts: Counter[Reason], plan: Plan | None
) -> None:
    """Keep how far a batch came. `following`: the next membership; None: the batch is done."""
    if following is None:
        _finish(connection, claimed, counts, plan)
    else:
        connection.execute(_GO_ON, {**_key(claimed), **_said(counts, plan), "first_id": following})


def _lock(connection: Connection, claimed: Row[Any]) -> Row[Any] | None:
    """Lock a batch for as long as the work takes: how far it came. None if somebody else has claimed it since or it is
    done."""
    return connection.execute(_LOCK, {**_key(claimed), "attempts": claimed.attempts}).first()


def _finish(connection: Connection, claimed: Row[Any], counts: Counter[Reason], plan: Plan | None) -> None:
    connection.execute(_FINISH, {**_key(claimed), **_said(counts, plan)})


def _said(counts: Counter[Reason], plan: Plan | None) -> dict[str, object]:
    by_reason = {reason.value: n for reason, n in counts.items() if n}
    kept = None if plan is None else json.dumps(plan)
    return {"counts": json.dumps(by_reason), "plan": kept, "planned": len(plan or ())}


def _key(claimed: Row[Any]) -> dict[str, Any]:
    return {"brand_id": claimed.brand_id, "run_id": claimed.run_id, "batch": claimed.batch}
