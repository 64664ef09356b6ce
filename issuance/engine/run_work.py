"""Which memberships a run is for, and what it does with a range of them, by its kind."""

from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from issuance.deciding.reasons import Reason
from issuance.engine import pipeline, plans, previews, sweeps, tasks, undos
from issuance.engine.event_facts import CHANGED_TYPES
from issuance.engine.manual_issues import ManualIssue, narrowed
from issuance.engine.plans import Plan
from issuance.engine.ranges import BATCHES, NUMBERED, sizes
from issuance.engine.replays import Replay, Span
from issuance.engine.tasks import PlannedTask

#: The counts by reason, and what the batch keeps of a plan.
Done = tuple[Counter[Reason], Plan | None]

# A party that was told of and is not settled yet is in the inbox only.
_NAMED_IN_NEWS = """
    SELECT e.membership_id FROM billing_events e
     WHERE e.brand_id = :brand_id AND e.settled_at IS NULL AND e.type = 'membership.guests_changed'
       AND EXISTS (SELECT FROM members p, jsonb_array_elements(e.data -> 'guests') guest
                    WHERE p.brand_id = :brand_id AND p.member_id = ANY(:only_members)
                      AND guest ->> 'external_user_id' = p.external_user_id)
"""
# The memberships of a run. Those that changed type are always included, and filtered when they are loaded. Sweeps
# select schedules instead.
_MEANT = f"""
      FROM memberships m
     WHERE m.brand_id = :brand_id
       AND (CAST(:membership_id AS uuid) IS NULL OR m.membership_id = :membership_id)
       AND (CAST(:only_memberships AS uuid[]) IS NULL OR m.membership_id = ANY(:only_memberships))
       AND (CAST(:only_members AS uuid[]) IS NULL OR m.member_id = ANY(:only_members)
            OR m.membership_id IN (SELECT g.membership_id FROM guests g
                                    WHERE g.brand_id = :brand_id AND g.member_id = ANY(:only_members))
            OR m.membership_id IN ({_NAMED_IN_NEWS}))
       AND ((CAST(:membership_type_id AS uuid) IS NULL OR m.membership_type_id = :membership_type_id)
            AND (CAST(:credit_rule_id AS uuid) IS NULL
                 OR m.membership_type_id IN (
                     SELECT v.membership_type_id FROM rule_versions v
                      WHERE v.brand_id = :brand_id AND v.credit_rule_id = :credit_rule_id)
                 OR m.membership_type_id = :also_of_type)
            OR m.membership_id IN ({CHANGED_TYPES}))
"""
_PLAN = text(f"""
    WITH numbered AS (
             SELECT m.membership_id AS id, 1 AS size, count(*) OVER () AS total,
                    {NUMBERED.format(size=1).replace("BY id", "BY m.membership_id")} {_MEANT}),
         planned AS (
             INSERT INTO run_batches (brand_id, run_id, batch, first_id, last_id, size)
             SELECT :brand_id, :run_id, cut.* FROM ({BATCHES}) cut
          RETURNING size)
    UPDATE runs
       SET state = 'running', started_at = clock_timestamp(), total = (SELECT coalesce(sum(size), 0) FROM planned)
     WHERE brand_id = :brand_id AND run_id = :run_id
""")
_IN_RANGE = text(f"""
    SELECT m.membership_id {_MEANT}
       AND m.membership_id BETWEEN :first_id AND :last_id
       AND (:set_apart OR NOT EXISTS (SELECT FROM schedules s
                                       WHERE s.brand_id = :brand_id AND s.schedule_id = m.membership_id
                                         AND s.quarantined_at IS NOT NULL))
     ORDER BY m.membership_id
""")


def plan(connection: Connection, run: Row[Any]) -> None:
    """Cut a run into batches."""
    if run.plan_id is None:
        bounds = previews.sizes() if run.dry_run or run.kind == "preview" else sizes()
        connection.execute(_PLAN, {**_meant(run), "run_id": run.run_id, **bounds})
    else:
        plans.cut(connection, run)


def memberships_of(connection: Connection, run: Row[Any], first_id: UUID, last_id: UUID) -> list[UUID]:
    """The memberships within a range of ids that a run would work on."""
    if run.kind == "sweep":
        return sweeps.memberships_due(connection, run.brand_id, first_id, last_id)
    if run.plan_id is not None:
        return sorted(plans.promised(connection, run, first_id, last_id))
    wanted = {"first_id": first_id, "last_id": last_id, "set_apart": run.kind == "undo"}  # it settles nobody
    return list(connection.scalars(_IN_RANGE, {**_meant(run), **wanted}))


def _meant(run: Row[Any]) -> dict[str, object]:
    names = ("brand_id", "membership_id", "membership_type_id", "credit_rule_id", "only_memberships", "only_members")
    meant = {name: getattr(run, name) for name in names} | {"also_of_type": None}
    if run.kind == "undo":  # a holder's membership may have changed to another type
        meant["credit_rule_id"] = None
    elif run.kind == "preview":
        meant |= {"credit_rule_id": previews.rule_of(run), "also_of_type": run.rule.get("membership_type_id")}
    return meant


def work_on_range(connection: Connection, run: Row[Any], first_id: UUID, last_id: UUID) -> Done:
    """Do a run's work for a range of ids."""
    if run.kind == "sweep":
        return pipeline.settle_due(connection, run.brand_id, first_id, last_id, run.run_id), None
    if run.kind == "undo":
        return undos.undo(connection, run, first_id, last_id)
    return _work(connection, run, memberships_of(connection, run, first_id, last_id), attempt_counted=False)


def work_on(connection: Connection, run: Row[Any], membership_ids: Sequence[UUID]) -> Done:
    """Do a run's work for these memberships, whose attempts were counted if it settles them."""
    if run.kind == "sweep":
        return pipeline.settle_these(connection, run.brand_id, membership_ids, run.run_id), None
    if run.kind == "undo":
        return undos.undo(connection, run, membership_ids[0], membership_ids[-1])
    return _work(connection, run, membership_ids, attempt_counted=True)


def _work(connection: Connection, run: Row[Any], membership_ids: Sequence[UUID], *, attempt_counted: bool) -> Done:
    if not membership_ids:
        return Counter(), None
    if run.kind == "preview":
        return previews.work_out(connection, run, membership_ids)
    promised = plans.promised(connection, run, membership_ids[0], membership_ids[-1]) if run.plan_id else None
    task: PlannedTask
    if run.kind == "replay":
        span = Span(run.credit_rule_id, run.membership_type_id, run.from_date, run.to_date)
        task = Replay(span, promised)
    else:
        task = ManualIssue(run.credit_rule_id, run.include_upcoming, narrowed(connection, run), promised)
    if run.dry_run:
        return tasks.plan(connection, run.brand_id, membership_ids, task)
    counts = pipeline.carry_out(
        connection, run.brand_id, membership_ids, task, run.run_id, attempt_counted=attempt_counted
    )
    return counts, None
