"""Work on a run: claim its next batch, do it, finish it in the transaction that did it.

A hint asks for one batch; which one PostgreSQL decides, so that lost, doubled and late hints do no harm.
"""

# ruff: noqa: S608 - nothing but what is written here goes into the statements

import json
from collections import Counter, deque
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine, Row, text

from issuance.database.connections import transaction
from issuance.deciding.reasons import Reason
from issuance.engine import attempts, batches, bulk, due
from issuance.engine.due import BATCH_SIZE, BATCHES, NUMBERED
from issuance.engine.runs import add_up
from issuance.log import logger

# A batch that was claimed and not finished is claimed again after this, unless its row is locked.
_CLAIM_HOLDS = "5 seconds"
#: Memberships a part of a batch that did not go through as a whole: most of them can, and quickly.
_PART = 50
#: Who was begun so often is begun alone.
_OFTEN = 2

_RUN = "SELECT * FROM runs WHERE brand_id = :brand_id AND run_id = :run_id"
_PLAN = text(f"""
    WITH numbered AS (
             SELECT m.membership_id, 1 AS size, {NUMBERED.format(size=1)}, count(*) OVER () AS total
               FROM memberships m
              WHERE m.brand_id = :brand_id
                AND (CAST(:membership_id AS uuid) IS NULL OR m.membership_id = :membership_id)
                AND (CAST(:membership_type_id AS uuid) IS NULL OR m.membership_type_id = :membership_type_id)
                AND (CAST(:credit_rule_id AS uuid) IS NULL OR m.membership_type_id IN (
                         SELECT v.membership_type_id FROM rule_versions v
                          WHERE v.brand_id = :brand_id AND v.credit_rule_id = :credit_rule_id))),
         planned AS (
             INSERT INTO run_batches (brand_id, run_id, batch, first_id, last_id, size)
             SELECT :brand_id, :run_id, cut.* FROM ({BATCHES}) cut
          RETURNING size)
    UPDATE runs
       SET state = 'running', started_at = clock_timestamp(), total = (SELECT coalesce(sum(size), 0) FROM planned)
     WHERE brand_id = :brand_id AND run_id = :run_id
""")
# MATERIALIZED: a planner that looked twice for the next batch would claim two.
_CLAIM = text(f"""
    WITH next AS MATERIALIZED (
         SELECT batch FROM run_batches
          WHERE brand_id = :brand_id AND run_id = :run_id AND finished_at IS NULL
            AND (claimed_at IS NULL OR claimed_at < clock_timestamp() - interval '{_CLAIM_HOLDS}')
          ORDER BY batch LIMIT 1 FOR UPDATE SKIP LOCKED)
    UPDATE run_batches b SET attempts = b.attempts + 1, claimed_at = clock_timestamp()
      FROM next
     WHERE b.brand_id = :brand_id AND b.run_id = :run_id AND b.batch = next.batch
    RETURNING b.*
""")
# Whoever claimed a batch later has overtaken who claimed it before.
_HOLD = text("""
    SELECT FROM run_batches
     WHERE brand_id = :brand_id AND run_id = :run_id AND batch = :batch AND attempts = :attempts
       AND finished_at IS NULL FOR UPDATE SKIP LOCKED
""")
_FINISH = text("""
    UPDATE run_batches SET finished_at = clock_timestamp(), counts = :counts, plan = :plan
     WHERE brand_id = :brand_id AND run_id = :run_id AND batch = :batch
""")
_GO_ON = text("""
    UPDATE run_batches SET first_id = :first_id, claimed_at = clock_timestamp(), counts = :counts, plan = :plan
     WHERE brand_id = :brand_id AND run_id = :run_id AND batch = :batch
""")
_CLOSE = text("""
    UPDATE runs r SET state = 'finished', finished_at = clock_timestamp()
     WHERE brand_id = :brand_id AND run_id = :run_id AND state = 'running'
       AND NOT EXISTS (SELECT FROM run_batches b
                        WHERE b.brand_id = r.brand_id AND b.run_id = r.run_id AND b.finished_at IS NULL)
""")


class Worked(NamedTuple):
    """What a hint came to: the batch that was done, None if there was none to do."""

    batch: int | None
    counts: Counter[Reason]


def work_on_run(engine: Engine, brand_id: UUID, run_id: UUID) -> Worked:
    """Do the next batch of a run, and finish the run with its last one."""
    ids = {"brand_id": brand_id, "run_id": run_id}
    with transaction(engine, brand_id) as connection:
        run = connection.execute(text(_RUN + " FOR UPDATE"), ids).one_or_none()
        if run is None or run.state not in ("planned", "running"):
            return Worked(None, Counter())
        if run.state == "planned":
            _plan(connection, run)
        # The attempt is counted, and committed, before the work.
        claimed = connection.execute(_CLAIM, ids).one_or_none()
    counts: Counter[Reason] = Counter()
    done = None
    if claimed is not None:
        counts = _work(engine, run, claimed)
        done = claimed.batch
    close(engine, brand_id, run_id)
    return Worked(done, counts)


def close(engine: Engine, brand_id: UUID, run_id: UUID) -> None:
    """Finish a run all of whose batches are."""
    with transaction(engine, brand_id) as connection:
        connection.execute(_CLOSE, {"brand_id": brand_id, "run_id": run_id})


def _plan(connection: Connection, run: Row[Any]) -> None:
    chosen = {
        "brand_id": run.brand_id,
        "run_id": run.run_id,
        "credit_rule_id": run.credit_rule_id,
        "membership_type_id": run.membership_type_id,
        "membership_id": run.membership_id,
    }
    connection.execute(_PLAN, {**chosen, "size": BATCH_SIZE})


def _work(engine: Engine, run: Row[Any], claimed: Row[Any]) -> Counter[Reason]:
    if claimed.attempts == 1:
        try:
            return _whole(engine, run, claimed)
        except Exception as error:
            logger.warning(
                "batch_taken_apart",
                brand=str(run.brand_id),
                run=str(run.run_id),
                batch=claimed.batch,
                error=type(error).__name__,
            )
    return _in_parts(engine, run, claimed)


def _whole(engine: Engine, run: Row[Any], claimed: Row[Any]) -> Counter[Reason]:
    with transaction(engine, run.brand_id) as connection:
        if not _hold(connection, claimed):
            return Counter()
        counts, plan = bulk.work(connection, run, claimed.first_id, claimed.last_id)
        _finish(connection, claimed, counts, plan)
        return counts


def _in_parts(engine: Engine, run: Row[Any], claimed: Row[Any]) -> Counter[Reason]:
    """A batch that failed or whose worker died: part by part, each membership's attempt counted first. A part that
    fails is taken one by one, and so is the batch when its worker died again.

    How far it came is kept in the batch, so that whoever claims it next goes on from there.
    """
    with transaction(engine, run.brand_id) as connection:
        ids = bulk.memberships_of(connection, run, claimed.first_id, claimed.last_id)
        if not ids and _hold(connection, claimed):
            _finish(connection, claimed, _counted(claimed), claimed.plan)
    size = _PART if claimed.attempts <= 2 else 1
    parts = deque(ids[start : start + size] for start in range(0, len(ids), size))
    counts = _counted(claimed)
    plan = claimed.plan
    while parts:
        part = parts.popleft()
        following = parts[0][0] if parts else None
        with transaction(engine, run.brand_id) as connection:
            if not _hold(connection, claimed):  # done after all: only the reply to its last COMMIT was lost
                break
            begun = attempts.begin(connection, run.brand_id, part)
        quarantined = Counter({Reason.ERROR: len(part) - len(begun)})
        more, rows = quarantined, None
        try:
            with transaction(engine, run.brand_id) as connection:
                if not _hold(connection, claimed):
                    break
                if begun:
                    done, rows = bulk.work(connection, run, part[0], part[-1], attempt_counted=True)
                    if not done[Reason.ERROR]:
                        attempts.passed(connection, run.brand_id, begun)
                    more = quarantined + done
                _go_on(connection, claimed, following, counts + more, _joined(plan, rows))
        except Exception as error:
            if len(part) > 1:
                parts.extendleft([membership_id] for membership_id in reversed(part))
                continue
            more, rows = Counter({Reason.ERROR: 1}), None
            with transaction(engine, run.brand_id) as connection:
                if not _hold(connection, claimed):
                    break
                attempts.failed(connection, run.brand_id, part[0], error, counted=True)
                _go_on(connection, claimed, following, counts + more, plan)
        counts, plan = counts + more, _joined(plan, rows)
    return counts


def _counted(claimed: Row[Any]) -> Counter[Reason]:
    """What was counted before a batch changed hands."""
    return Counter({Reason(reason): n for reason, n in claimed.counts.items()})


def _joined(plan: list[dict[str, Any]] | None, rows: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    return plan if rows is None else [*(plan or []), *rows]


def _go_on(
    connection: Connection,
    claimed: Row[Any],
    following: UUID | None,
    counts: Counter[Reason],
    plan: list[dict[str, Any]] | None,
) -> None:
    """Keep how far a batch came; None is following: it is done."""
    if following is None:
        _finish(connection, claimed, counts, plan)
    else:
        connection.execute(_GO_ON, {**_key(claimed), **_said(counts, plan), "first_id": following})


def _hold(connection: Connection, claimed: Row[Any]) -> bool:
    """Lock a batch for as long as the work takes; False if somebody else has claimed it since or it is done."""
    return connection.execute(_HOLD, {**_key(claimed), "attempts": claimed.attempts}).first() is not None


def _finish(
    connection: Connection, claimed: Row[Any], counts: Counter[Reason], plan: list[dict[str, Any]] | None
) -> None:
    connection.execute(_FINISH, {**_key(claimed), **_said(counts, plan)})


def _said(counts: Counter[Reason], plan: list[dict[str, Any]] | None) -> dict[str, str | None]:
    return {"counts": json.dumps(add_up(counts)), "plan": None if plan is None else json.dumps(plan)}


def _key(claimed: Row[Any]) -> dict[str, Any]:
    return {"brand_id": claimed.brand_id, "run_id": claimed.run_id, "batch": claimed.batch}


def _begun(one: due.Waiting) -> tuple[int, UUID]:
    # Who was begun least often comes first: before one that kills its worker again.
    return one.attempts, one.membership_id


def settle_soon(engine: Engine, brand_id: UUID, membership_ids: list[UUID]) -> Counter[Reason]:
    """Settle memberships that something happened to: together, or one by one where that fails. Who was begun twice in
    vain is begun alone: whose news kill workers take nobody with them into quarantine."""
    alone: list[UUID] = []
    fresh = False
    try:
        with transaction(engine, brand_id) as connection:
            waiting = due.waiting(connection, brand_id, membership_ids)
            begun = [one.membership_id for one in waiting]
            if not begun:
                return Counter()
            fresh = all(one.fresh for one in waiting)
            if fresh:  # their attempts were committed with what made them known
                return batches.settle_memberships(connection, brand_id, begun)
            if len(waiting) > 1:
                alone = [one.membership_id for one in sorted(waiting, key=_begun) if one.attempts >= _OFTEN]
            begun = attempts.begin(connection, brand_id, sorted({*begun}.difference(alone)))
    except Exception:
        if not fresh:
            raise
        # With whom something is wrong is found out below.
    counts = _settle_begun(engine, brand_id, begun)
    for membership_id in alone:
        with transaction(engine, brand_id) as connection:
            begun = attempts.begin(connection, brand_id, [membership_id])
        counts += _settle_begun(engine, brand_id, begun)
    return counts


def _settle_begun(engine: Engine, brand_id: UUID, ids: list[UUID]) -> Counter[Reason]:
    if not ids:
        return Counter()
    try:
        with transaction(engine, brand_id) as connection:
            return batches.settle_memberships(connection, brand_id, ids)
    except Exception as error:
        if len(ids) > 1:
            logger.warning("batch_taken_apart", brand=str(brand_id), memberships=len(ids), error=type(error).__name__)
    counts: Counter[Reason] = Counter()
    for membership_id in ids:
        try:
            with transaction(engine, brand_id) as connection:
                counts += batches.settle_memberships(connection, brand_id, [membership_id])
        except Exception as error:
            with transaction(engine, brand_id) as connection:
                attempts.failed(connection, brand_id, membership_id, error, counted=True)
            counts[Reason.ERROR] += 1
    return counts
