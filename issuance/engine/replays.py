"""Replay (backfill): work out every decision of a span again and issue what is missing (SEMANTICS 10)."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from issuance.deciding.decisions import Decision, Decisions, decide
from issuance.deciding.facts import HeldState
from issuance.deciding.reasons import Reason
from issuance.deciding.settlement import new_credit
from issuance.engine import limits, plans, reminders, schedules
from issuance.engine.facts import load, together
from issuance.engine.guards import Guard
from issuance.engine.outcomes import Outcome, Settled
from issuance.engine.plans import Plan, Promise, Promised
from issuance.engine.rules import RuleBook
from issuance.engine.writer import write
from issuance.tenancy import clock as clocks
from issuance.webhooks import outbox


class Span(NamedTuple):
    """Which decisions a replay works out: of one rule or all, for who is or was of one type or of any, and whose period
    starts within dates, both inclusive."""

    credit_rule_id: UUID | None
    membership_type_id: UUID | None
    first: date
    last: date


def replay(
    connection: Connection,
    brand_id: UUID,
    membership_ids: Sequence[UUID],
    span: Span,
    run_id: UUID,
    *,
    dry_run: bool,
    promised: Promised | None = None,
) -> tuple[Counter[Reason], Plan | None]:
    """Issue what is missing within a span; touch nothing that is there. Counts by reason, and a dry run's plan.
    `promised`: nothing but what an approved plan says."""
    clock = clocks.read(connection, brand_id, hold=True)
    if not dry_run:
        schedules.own(connection, brand_id, membership_ids)
    rules = RuleBook(connection, brand_id, clock.zone, hold=True)
    told = outbox.listened_to(connection, brand_id)
    listeners = reminders.listeners(connection, brand_id) if "credit.expiring" in told else ()
    counts: Counter[Reason] = Counter()
    plan: Plan = []
    settled: list[Settled] = []
    left = [str(one) for one in membership_ids]
    bounds = limits.current
    while left:
        size = together(connection, brand_id, left, bounds.loaded, bounds.loaded_credits)
        some, left = left[:size], left[size:]
        for member in load(connection, brand_id, clock.zone, some):
            if span.membership_type_id not in (None, *member.facts.types):
                continue
            of_types = rules.of(member.facts.types)
            outcome = Outcome(clock.now, credits={credit.key: credit for credit in member.credits})
            history = member.history(clock.now)
            decisions = _within(span, decide(history, of_types, only=span.credit_rule_id))
            counted: Iterator[tuple[Reason, Decision | None]] = ((decision.reason, decision) for decision in decisions)
            if promised is not None:
                places, known = {guest.place for guest in history.parties.now}, list(decisions)
                counted = iter([_kept(promise, known, places) for promise in plans.promises(promised, member)])
            for reason, decision in counted:
                if reason is Reason.ISSUED and not dry_run and len(outcome.issued) >= bounds.credits:
                    outcome.due_at = clock.now  # the next sweep goes on
                    break
                counts[reason] += 1
                if dry_run:
                    assert decision is not None, "a plan's rows are decisions"
                    if len(plan) < (plans.MOST_PROMISED if reason is Reason.ISSUED else plans.LONGEST):
                        plan.append(plans.row_of(member, decision))
                elif reason is Reason.ISSUED:
                    assert decision is not None, "what is issued was decided"
                    outcome.issue(new_credit(decision, clock.now))
                    before = history.held.get(decision.key)
                    if before is not None and before.state is HeldState.APPROVED:
                        outcome.let_out.add(decision.key)
            if outcome.issued:
                outcome.look_again_for(listeners, clock.zone)
                settled.append(Settled(str(member.membership_id), outcome, member, itself=True))
    guard = Guard(connection, brand_id, clock, rules)
    if settled:
        settled = guard.hold_back(settled)
        held = sum(len(one.outcome.held) for one in settled)
        counts += Counter({Reason.AWAITING_APPROVAL: held})
        counts[Reason.ISSUED] -= held
        write(connection, brand_id, settled, told=told, run_id=run_id)
        guard.confirm(settled)
        due_at = {one.member.membership_id: one.outcome.due_at for one in settled}
        schedules.sooner(connection, brand_id, due_at)
    return counts, plan if dry_run else None


def _within(span: Span, all_of_them: Iterable[Decisions]) -> Iterator[Decision]:
    for one in all_of_them:
        if span.first <= one.occurrence.period_start <= span.last:
            yield from one.decisions


def _kept(promise: Promise, decisions: Sequence[Decision], places: set[int]) -> tuple[Reason, Decision | None]:
    """The decision now about what a plan said is issued, and the reason it is counted under."""
    for decision in decisions:
        key = (decision.credit_rule_id, decision.guest.place, decision.occurrence.period_start)
        if key == promise[:3]:
            if decision.reason is Reason.ISSUED:
                assert decision.version is not None, "what is issued has a version"
                other = plans.kept(promise, decision.version.version, decision.occurrence.period_start)
                return (other or Reason.ISSUED), decision
            return decision.reason, decision
    return plans.gone(promise, places), None
