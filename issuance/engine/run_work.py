"""Which memberships a run is for, and what it does with a range of them: sweep, manual issue or replay."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from issuance.deciding.facts import Rule
from issuance.deciding.history import History
from issuance.deciding.manual_issue import issue_by_hand
from issuance.deciding.reasons import Reason
from issuance.engine import pipeline, sweeps
from issuance.engine.facts import Membership
from issuance.engine.outcomes import Outcome
from issuance.engine.ranges import BATCHES, NUMBERED, sizes
from issuance.engine.replays import Plan, Span, replay
from issuance.tenancy.clock import BrandClock

#: The counts by reason, and a dry run's decisions.
Done = tuple[Counter[Reason], Plan | None]

# The memberships that a run is for. A sweep goes by schedules instead. A replay is also for those that were of another
# type before.
_MEANT = """
      FROM memberships m
     WHERE m.brand_id = :brand_id
       AND (CAST(:membership_id AS uuid) IS NULL OR m.membership_id = :membership_id)
       AND ((CAST(:membership_type_id AS uuid) IS NULL OR m.membership_type_id = :membership_type_id)
            AND (CAST(:credit_rule_id AS uuid) IS NULL
                 OR m.membership_type_id IN (
                     SELECT v.membership_type_id FROM rule_versions v
                      WHERE v.brand_id = :brand_id AND v.credit_rule_id = :credit_rule_id))
            OR :of_other_types AND m.membership_id IN (
                SELECT e.membership_id FROM billing_events e
                 WHERE e.brand_id = :brand_id AND e.type = 'membership.type_changed'))
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
       AND NOT EXISTS (SELECT FROM schedules s WHERE s.brand_id = :brand_id AND s.schedule_id = m.membership_id
                          AND s.quarantined_at IS NOT NULL)
     ORDER BY m.membership_id
""")


def plan(connection: Connection, run: Row[Any]) -> None:
    """Cut a run into batches."""
    connection.execute(_PLAN, {**_meant(run), "run_id": run.run_id, **sizes()})


def memberships_of(connection: Connection, run: Row[Any], first_id: UUID, last_id: UUID) -> list[UUID]:
    """The memberships within a range of ids that a run would work on."""
    if run.kind == "sweep":
        return sweeps.memberships_due(connection, run.brand_id, first_id, last_id)
    return list(connection.scalars(_IN_RANGE, {**_meant(run), "first_id": first_id, "last_id": last_id}))


def _meant(run: Row[Any]) -> dict[str, object]:
    names = ("brand_id", "membership_id", "membership_type_id", "credit_rule_id")
    return {**{name: getattr(run, name) for name in names}, "of_other_types": run.kind == "replay"}


def work_on_range(connection: Connection, run: Row[Any], first_id: UUID, last_id: UUID) -> Done:
    """Do a run's work for a range of ids."""
    if run.kind == "sweep":
        return pipeline.settle_due(connection, run.brand_id, first_id, last_id, run.run_id), None
    return _work(connection, run, memberships_of(connection, run, first_id, last_id), attempt_counted=False)


def work_on(connection: Connection, run: Row[Any], membership_ids: Sequence[UUID]) -> Done:
    """Do a run's work for these memberships, whose attempts were counted."""
    if run.kind == "sweep":
        return pipeline.settle_these(connection, run.brand_id, membership_ids, run.run_id), None
    return _work(connection, run, membership_ids, attempt_counted=True)


def _work(connection: Connection, run: Row[Any], membership_ids: Sequence[UUID], *, attempt_counted: bool) -> Done:
    if run.kind == "replay":
        span = Span(run.credit_rule_id, run.from_date, run.to_date)
        return replay(connection, run.brand_id, membership_ids, span, run.run_id, dry_run=run.dry_run)
    by_hand = partial(_issue_by_hand, run)
    counts = pipeline.settle_and(
        connection, run.brand_id, membership_ids, run.run_id, by_hand, attempt_counted=attempt_counted
    )
    return counts, None


def _issue_by_hand(
    run: Row[Any], member: Membership, outcome: Outcome, rules: Sequence[Rule], clock: BrandClock
) -> Counter[Reason]:
    counts: Counter[Reason] = Counter()
    history = History(member.facts, list(outcome.credits.values()), clock.now)
    for rule in rules:
        # The run is only for memberships of the rule's present type, not for those of a type that it has left.
        if rule.credit_rule_id == run.credit_rule_id and rule.latest.membership_type_id == history.types.now:
            for reason, new in issue_by_hand(history, rule, include_upcoming=run.include_upcoming):
                counts[reason] += 1
                if new is not None:
                    outcome.issue(new)
    return counts
