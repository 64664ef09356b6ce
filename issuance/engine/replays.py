"""Replay (backfill): work out every decision of a span again and issue what is missing (SEMANTICS 10)."""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from issuance.deciding.decisions import Decision, decide
from issuance.deciding.facts import Status
from issuance.deciding.reasons import Reason
from issuance.deciding.settlement import new_credit
from issuance.engine import schedules
from issuance.engine.facts import Membership, load
from issuance.engine.outcomes import Outcome, Settled
from issuance.engine.rules import RuleBook
from issuance.engine.writer import write
from issuance.tenancy import clock as clocks
from issuance.webhooks import outbox


class Span(NamedTuple):
    """Which decisions a replay works out: of one rule or all, whose period starts within dates, both inclusive."""

    credit_rule_id: UUID | None
    first: date
    last: date


#: The rows of a dry run's plan.
Plan = list[dict[str, Any]]


def replay(
    connection: Connection, brand_id: UUID, membership_ids: Sequence[UUID], span: Span, run_id: UUID, *, dry_run: bool
) -> tuple[Counter[Reason], Plan | None]:
    """Issue what is missing within a span; touch nothing that is there. Counts by reason, and a dry run's plan."""
    clock = clocks.read(connection, brand_id, hold=True)
    schedules.own(connection, brand_id, membership_ids)
    rules = RuleBook(connection, brand_id, hold=True)
    counts: Counter[Reason] = Counter()
    plan: Plan = []
    settled: list[Settled] = []
    for member in load(connection, brand_id, clock.zone, membership_ids):
        of_type = rules[member.facts.membership_type_id]
        chosen = [rule for rule in of_type if span.credit_rule_id in (None, rule.credit_rule_id)]
        out = {credit.key: credit for credit in member.credits}
        outcome = Outcome(clock.now, status=Status(member.status), ends_on=member.ends_on, credits=out)
        for decision in decide(member.history(clock.now), chosen):
            if span.first <= decision.occurrence.period_start <= span.last:
                counts[decision.reason] += 1
                if dry_run:
                    plan.append(_row(member, decision))
                elif decision.reason is Reason.ISSUED:
                    outcome.issue(new_credit(decision, clock.now))
        if outcome.issued:
            settled.append(Settled(str(member.membership_id), outcome, member, itself=True))
    if settled:
        write(connection, brand_id, settled, told=outbox.listened_to(connection, brand_id), run_id=run_id)
        due_at = {one.member.membership_id: one.outcome.due_at for one in settled}
        schedules.sooner(connection, brand_id, due_at)
    return counts, plan if dry_run else None


def _row(member: Membership, decision: Decision) -> dict[str, Any]:
    end = decision.occurrence.period_end
    return {
        "membership_id": str(member.membership_id),
        "credit_rule_id": str(decision.credit_rule_id),
        "rule_version": None if decision.version is None else decision.version.version,
        "guest_id": str(member.guest_ids[decision.guest.place]),
        "period_start": decision.occurrence.period_start.isoformat(),
        "period_end": None if end is None else end.isoformat(),
        "outcome": decision.outcome.value,
        "reason": decision.reason.value,
    }
