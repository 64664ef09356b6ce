"""What a run does with a range of memberships: sweep, manual issue or replay."""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from issuance.deciding.decisions import Decision, decide
from issuance.deciding.facts import Rule
from issuance.deciding.manual import issue_by_hand
from issuance.deciding.reasons import Reason
from issuance.deciding.releases import History
from issuance.deciding.settlement import new_credit
from issuance.engine import cohorts
from issuance.engine.batches import settle_due, settle_loaded
from issuance.engine.loading import OF_TYPE_IN_RANGE, Membership, load, load_rules
from issuance.engine.telling import tell
from issuance.engine.walking import Walked, add
from issuance.engine.writing import issue, wake_by
from issuance.tenancy import clock as clocks
from issuance.tenancy.clock import BrandClock

#: The counts by reason, and a dry run's decisions.
Done = tuple[Counter[Reason], list[dict[str, Any]] | None]

_IDS = text("""
    SELECT d.membership_id
      FROM dues_known d JOIN memberships m USING (brand_id, membership_id) JOIN brands b USING (brand_id)
     WHERE d.brand_id = :brand_id AND d.membership_id BETWEEN :first_id AND :last_id AND d.quarantined_at IS NULL
       AND (:kind <> 'sweep' OR (d.due_at <= coalesce(b.clock_now, clock_timestamp())
                                 AND (d.retry_at IS NULL OR d.retry_at <= clock_timestamp())))
       AND (CAST(:type AS uuid) IS NULL OR m.membership_type_id = :type)
       AND (CAST(:rule AS uuid) IS NULL OR m.membership_type_id IN (
                SELECT membership_type_id FROM rule_versions WHERE brand_id = :brand_id AND credit_rule_id = :rule))
     ORDER BY d.membership_id
""")


def memberships_of(connection: Connection, run: Row[Any], first_id: UUID, last_id: UUID) -> list[UUID]:
    """The ids in a range that a run would work on, to be taken one by one."""
    which = {"brand_id": run.brand_id, "first_id": first_id, "last_id": last_id, "kind": run.kind}
    of = {"type": run.membership_type_id, "rule": run.credit_rule_id}
    return list(connection.scalars(_IDS, {**which, **of}))


def work(
    connection: Connection, run: Row[Any], first_id: UUID, last_id: UUID, *, attempt_counted: bool = False
) -> Done:
    """Do a run's work for the memberships within a range of ids."""
    if run.kind == "sweep":
        due = settle_due(connection, run.brand_id, first_id, last_id, run.run_id, attempt_counted=attempt_counted)
        return due, None
    clock = clocks.read(connection, run.brand_id, hold=True)
    cohorts.leave(connection, run.brand_id, memberships_of(connection, run, first_id, last_id))
    memberships = load(
        connection,
        run.brand_id,
        clock.zone,
        OF_TYPE_IN_RANGE,
        first_id=first_id,
        last_id=last_id,
        type=run.membership_type_id,
        rule=run.credit_rule_id,
    )
    if run.kind == "replay":
        return _replay(connection, run, clock, memberships)

    def by_hand(walked: Walked, rules: Sequence[Rule]) -> Counter[Reason]:
        return _issue_by_hand(walked, rules, clock, run)

    counts = settle_loaded(
        connection, run.brand_id, clock, memberships, run_id=run.run_id, also=by_hand, attempt_counted=attempt_counted
    )
    return counts, None


def _issue_by_hand(walked: Walked, rules: Sequence[Rule], clock: BrandClock, run: Row[Any]) -> Counter[Reason]:
    counts: Counter[Reason] = Counter()
    history = History(walked.membership.facts_at(clock.now, walked.credits), clock.now)
    for rule in rules:
        # A type that the rule has left is passed over: the run is over the memberships of its present type.
        if (
            rule.credit_rule_id == run.credit_rule_id
            and rule.latest.membership_type_id == history.facts.membership_type_id
        ):
            for reason, new in issue_by_hand(history, rule, include_upcoming=run.include_upcoming):
                counts[reason] += 1
                if new is not None:
                    add(walked, new)
    return counts


def _replay(connection: Connection, run: Row[Any], clock: BrandClock, memberships: Sequence[Membership]) -> Done:
    """Work out every decision of a span again and issue what is missing; touch nothing that is there (SEMANTICS 10)."""
    rules = load_rules(connection, run.brand_id, memberships, hold=True)
    counts: Counter[Reason] = Counter()
    plan: list[dict[str, Any]] = []
    walks = []
    for membership in memberships:
        walked = Walked(membership, clock.now)
        of_type = rules[membership.row.membership_type_id]
        chosen = [rule for rule in of_type if run.credit_rule_id in (None, rule.credit_rule_id)]
        for decision in _replayed(membership, chosen, clock, run.from_date, run.to_date):
            counts[decision.reason] += 1
            if run.dry_run:
                plan.append(_row(membership, decision))
            elif decision.reason is Reason.ISSUED:
                add(walked, new_credit(decision, clock.now))
        if walked.issued:
            walks.append(walked)
    issue(connection, run.brand_id, walks, run_id=run.run_id)
    tell(connection, run.brand_id, walks)
    wake_by(connection, run.brand_id, walks)
    return counts, plan if run.dry_run else None


def _replayed(
    membership: Membership, rules: Sequence[Rule], clock: BrandClock, first: date, last: date
) -> list[Decision]:
    decisions = decide(membership.facts_at(clock.now, membership.credits), rules, clock.now)
    return [decision for decision in decisions if first <= decision.turn.period_start <= last]


def _row(membership: Membership, decision: Decision) -> dict[str, Any]:
    end = decision.turn.period_end
    return {
        "membership_id": str(membership.membership_id),
        "credit_rule_id": str(decision.credit_rule_id),
        "rule_version": None if decision.version is None else decision.version.version,
        "guest_id": str(decision.guest.guest_id),
        "period_start": decision.turn.period_start.isoformat(),
        "period_end": None if end is None else end.isoformat(),
        "outcome": decision.outcome.value,
        "reason": decision.reason.value,
    }
