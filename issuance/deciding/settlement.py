"""settle(facts, rules, now): the difference between what a membership is owed and what is out.

Pure: it returns what to write. Applying it and settling again at the same `now` changes nothing.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from issuance.deciding.decisions import Decision, Validities, decide_with, expiry, period_end_of
from issuance.deciding.facts import PAYING, ChargeState, Credit, CreditKey, MembershipFacts, Rule, RuleVersion, Status
from issuance.deciding.reasons import Outcome, Reason
from issuance.deciding.releases import History
from issuance.deciding.standing import ENDED

#: One settling of a membership issues no more credits than these; who is owed more stays due, and the next goes on.
MOST_CREDITS = 50_000
#: And it names no more of the decisions that give nothing, for events.
MOST_SKIPPED = 1000


@dataclass(frozen=True, slots=True)
class NewCredit:
    """A credit to be issued at `issued_at` (the brand's clock)."""

    key: CreditKey
    version: RuleVersion
    period_end: date | None
    validities: Validities
    issued_at: datetime
    manual: bool = False


@dataclass(slots=True)
class Settlement:
    """What one settling of a membership at one instant comes to."""

    now: datetime
    status: Status
    #: When the membership next has to be looked at, if nothing new becomes known; None: never. `now`: at once, it
    #: is owed more than MOST_CREDITS.
    due_at: datetime | None = None
    issue: list[NewCredit] = field(default_factory=list)
    #: Credits that are out and change: (as it is, as it becomes, why it was revoked if it was).
    change: list[tuple[Credit, Credit, Reason | None]] = field(default_factory=list)
    #: The decisions behind it, for explain, counts and events.
    decisions: list[Decision] = field(default_factory=list)
    counts: Counter[Reason] = field(default_factory=Counter)
    #: Those of the decisions that are new and give nothing, for events; the latest of very many.
    skipped: list[Decision] = field(default_factory=list)


def settle(facts: MembershipFacts, rules: Sequence[Rule], now: datetime, settled_at: datetime | None) -> Settlement:
    """Settle a membership at `now`. `settled_at` is when it last was: counts name only what is new since."""
    history = History(facts, now)
    settlement = Settlement(now=now, status=status_of(history))
    settlement.decisions = decide_with(history, rules)
    owed = 0
    for decision in settlement.decisions:
        if decision.reason is Reason.ISSUED:
            owed += 1
            if owed <= MOST_CREDITS:
                settlement.issue.append(new_credit(decision, now))
                settlement.counts[Reason.ISSUED] += 1
        elif decision.credit is None and (settled_at is None or history.start_of(decision.turn.day) > settled_at):
            settlement.counts[decision.reason] += 1
            if decision.outcome is Outcome.SKIPPED:
                settlement.skipped.append(decision)
    if len(settlement.skipped) > MOST_SKIPPED:
        settlement.skipped = sorted(settlement.skipped, key=lambda decision: decision.turn.day)[-MOST_SKIPPED:]
    _change_what_is_out(settlement, history, rules)
    settlement.due_at = now if owed > MOST_CREDITS else next_due(history, settlement)
    return settlement


def new_credit(decision: Decision, now: datetime) -> NewCredit:
    """The credit that a decision to issue asks for, issued at `now`."""
    assert decision.version is not None, "an issue has a version"
    assert decision.validities is not None, "an issue has validities"
    return NewCredit(decision.key, decision.version, decision.turn.period_end, decision.validities, now)


def status_of(history: History) -> Status:
    """The status at `now` as people read it: `billing` while a charge is in progress."""
    status = history.status_at(history.now)
    if status is Status.ACTIVE and any(
        charge.facts[-1].state is ChargeState.INITIATED for charge in history.facts.charges
    ):
        return Status.BILLING
    return status


def _change_what_is_out(settlement: Settlement, history: History, rules: Sequence[Rule]) -> None:
    decided: dict[CreditKey, Decision] = {}
    for decision in settlement.decisions:
        # The sign-up and, under a later version, a P0D turn can mean one period: what either is owed stays.
        if decision.credit is not None and (
            decision.reason is Reason.ALREADY_ISSUED or decision.credit.key not in decided
        ):
            decided[decision.credit.key] = decision
    rule_of = {rule.credit_rule_id: rule for rule in rules}
    for credit in history.facts.credits:
        rule = rule_of[credit.key.credit_rule_id]
        after, why = _become(history, credit, decided.get(credit.key), rule)
        if after != credit:
            settlement.change.append((credit, after, why))


def _become(history: History, credit: Credit, decision: Decision | None, rule: Rule) -> tuple[Credit, Reason | None]:
    """What a credit that is out becomes at `now`, and why it is revoked if it is."""
    now = history.now
    after = credit.like(credit.credit_id, credit.key.guest_id)
    why = _taken_back(history, credit, decision)
    if history.facts.moves and not credit.roll_over and credit.redeemed_at is None:
        why = _move(history, after, rule) or why
    if why is None:
        after.flagged_at = None
        if credit.revoked_by == "facts" and rule.deleted_at is None:
            after.revoked_at = after.revoked_by = None
    else:
        if credit.redeemed_at is not None or credit.uses:
            after.flagged_at = credit.flagged_at or now
        if after.is_held_at(now):
            after.revoked_at, after.revoked_by = now, "facts"
    if after.redeemed_at is None:
        over = after.expires_at is not None and after.expires_at <= now and after.revoked_at is None
        after.expired_at = (credit.expired_at or now) if over else None
    return after, why


def _taken_back(history: History, credit: Credit, decision: Decision | None) -> Reason | None:
    """Why a credit that is out would not have been issued, as the facts stand now; None: it would."""
    if credit.manual:
        # Charges do not touch what was issued by hand; leaving the order does.
        stays = credit.key.guest_id in history.parties.stayed_since(credit.issued_at)
        return None if stays else Reason.GUEST_REMOVED
    if decision is None:
        stays = credit.key.guest_id in history.parties.stayed_since(None)
        return Reason.NOT_DUE_YET if stays else Reason.GUEST_REMOVED
    return None if decision.reason is Reason.ALREADY_ISSUED else decision.reason


def _move(history: History, credit: Credit, rule: Rule) -> Reason | None:
    """Unredeemed roll_over=false credits move with the billing date (SEMANTICS 7).

    A move that became known late may end the period before the credit was issued, which then would not have been.
    """
    frequency = rule.version(credit.rule_version).frequency
    credit.period_end = period_end_of(history, frequency, credit.key.period_start)
    moved = expiry(history, False, credit.valid_from, credit.period_end, credit.validity_ends_at)
    assert moved is not None, "a credit that does not roll over has an end"
    if moved <= credit.valid_from:
        return Reason.PERIOD_OVER
    credit.expires_at = moved
    return None


def next_due(history: History, settlement: Settlement) -> datetime | None:
    """The next instant after `now` at which time alone changes anything: a fact that was announced, an end,
    an expiry, or a date on the finest calendar that a charge covers. Rules play no part, so that editing
    one makes no membership due."""
    facts, now = history.facts, history.now
    instants = [facts.next_fact_at, history.standing.next_change(now)]
    instants += [new.validities.expires_at for new in settlement.issue]
    changed = {id(before): after for before, after, _ in settlement.change}
    for credit in facts.credits:
        credit = changed.get(id(credit), credit)
        if credit.is_held_at(now):
            instants.append(credit.expires_at)
    if history.status_at(now) not in ENDED:
        instants.append(_next_turn(history))
    return min((instant for instant in instants if instant is not None and instant > now), default=None)


def _next_turn(history: History) -> datetime | None:
    following = history.calendar.next_boundary_after
    if history.facts.automatic:
        return following(1, history.now)
    turns: list[datetime] = []
    for charge in history.facts.charges:
        end = history.start_of(history.end_of(charge))
        if end > history.now and charge.facts[-1].state in PAYING:
            first = history.start_of(charge.period_start)
            turn = first if first > history.now else following(1, history.now)
            if turn < end:
                turns.append(turn)
    return min(turns, default=None)
