"""settle(history, rules): the difference between the credits that a membership is owed and those that it has.

Pure: it returns what to write. Applying it and settling again at the same `now` changes nothing.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from uuid import UUID

from issuance.deciding.charges import PAYING
from issuance.deciding.decisions import Decision, decide, decide_all, is_first
from issuance.deciding.facts import ChargeState, Credit, CreditKey, MembershipFacts, Rule, RuleVersion
from issuance.deciding.flagged import was_used_for_nothing
from issuance.deciding.frequency import IssuingFrequency
from issuance.deciding.history import History
from issuance.deciding.reasons import Outcome, Reason
from issuance.deciding.statuses import ENDED, Status
from issuance.deciding.validities import Validities, ends_of

#: The decisions that give nothing are listed for events: at most so many of one settling.
MOST_SKIPPED = 1000


class CreditLimit(Exception):
    """The membership has as many credits as one may have, and is owed more."""


@dataclass(frozen=True, slots=True)
class NewCredit:
    """A credit to be issued at `issued_at` (the brand's clock)."""

    key: CreditKey
    version: RuleVersion
    period_end: date | None
    validities: Validities
    issued_at: datetime
    manual: bool = False

    @property
    def credit(self) -> Credit:
        """The credit that it is once it is issued."""
        return Credit(
            key=self.key,
            rule_version=self.version.version,
            period_end=self.period_end,
            roll_over=self.version.roll_over,
            multi_use=self.version.multi_use,
            max_uses=self.version.max_uses,
            valid_from=self.validities.valid_from,
            expires_at=self.validities.expires_at,
            validity_ends_at=self.validities.validity_ends_at,
            issued_at=self.issued_at,
            manual=self.manual,
        )


@dataclass(frozen=True, slots=True)
class Change:
    """A change of an issued credit: before, after, and why it was revoked if it was."""

    before: Credit
    after: Credit
    why: Reason | None


@dataclass(slots=True)
class Settlement:
    """What one settling of a membership at one instant comes to."""

    now: datetime
    status: Status
    #: When the membership next has to be looked at, if nothing new becomes known, or None if never. It is `now` if more
    #: is owed than one settling issues.
    due_at: datetime | None = None
    issue: list[NewCredit] = field(default_factory=list)
    change: list[Change] = field(default_factory=list)
    counts: Counter[Reason] = field(default_factory=Counter)
    #: Those of the decisions that are new and give nothing, for events. If there are very many, the latest.
    skipped: list[Decision] = field(default_factory=list)
    #: The credits that are owed, and that a guard holds until a person decides.
    waiting: set[CreditKey] = field(default_factory=set)
    #: The manual credits that a guard holds for a former start, and that are one with an owed credit: the owed one's
    #: key, by theirs.
    joined: dict[CreditKey, CreditKey] = field(default_factory=dict)


def settle(
    history: History, rules: Sequence[Rule], settled_at: datetime | None, *, most_credits: int, most_ever: int
) -> Settlement:
    """Settle a membership at the history's `now`. `settled_at` is when it last was: counts name only what is new
    since. It issues at most `most_credits`; a membership that is owed more stays due. Raises CreditLimit where it has
    `most_ever` by now."""
    now = history.now
    settlement = Settlement(now=now, status=status_of(history))
    out: list[Decision] = []
    given: set[CreditKey] = set()
    for one in decide(history, rules):
        if len(given) > most_credits and not one.has_credits:
            continue  # for the next settling; issued credits change at once
        for decision in one.decisions:
            if decision.reason is Reason.AWAITING_APPROVAL:
                settlement.waiting.add(decision.key)
                settlement.joined |= dict.fromkeys(decision.joined, decision.key)
            if decision.credit is not None:
                out.append(decision)
            elif decision.reason is Reason.ISSUED:
                if is_first(decision, given) and len(given) <= most_credits:
                    settlement.issue.append(new_credit(decision, history.issued_at(decision.occurrence.release.first)))
                    settlement.joined |= dict.fromkeys(decision.joined, decision.key)
                    settlement.counts[Reason.ISSUED] += 1
            elif settled_at is None or history.start_of(decision.occurrence.day) > settled_at:
                settlement.counts[decision.reason] += 1
                if decision.outcome is Outcome.SKIPPED:
                    settlement.skipped.append(decision)
        if len(settlement.skipped) > 10 * MOST_SKIPPED:
            settlement.skipped = _latest(settlement.skipped)
    if given and history.number_of_credits >= most_ever:
        raise CreditLimit
    if len(settlement.skipped) > MOST_SKIPPED:
        settlement.skipped = _latest(settlement.skipped)
    settlement.change += changes_of(history, rules, out)
    settlement.due_at = now if len(given) > most_credits else next_due(history, settlement)
    return settlement


def _latest(skipped: list[Decision]) -> list[Decision]:
    return sorted(skipped, key=lambda decision: decision.occurrence.day)[-MOST_SKIPPED:]


def new_credit(decision: Decision, issued_at: datetime) -> NewCredit:
    """The credit that a decision to issue asks for."""
    assert decision.version is not None, "an issue has a version"
    assert decision.validities is not None, "an issue has validities"
    return NewCredit(decision.key, decision.version, decision.occurrence.period_end, decision.validities, issued_at)


def status_of(history: History) -> Status:
    """The status at `now` as people read it: `billing` while a charge is in progress."""
    status = history.standing.at(history.now)
    in_progress = history.horizon is not None and history.horizon.in_progress
    if status is Status.ACTIVE and (
        in_progress or any(charge.state is ChargeState.INITIATED for charge in history.charges)
    ):
        return Status.BILLING
    return status


def changes_of(
    history: History, rules: Sequence[Rule], decisions: Iterable[Decision], *, only: UUID | None = None
) -> Iterator[Change]:
    """How issued credits change, by the decisions about them. `only`: those of one rule."""
    decided: dict[CreditKey, Decision] = {}
    for decision in decisions:
        # The sign-up and, under a later version, a P0D occurrence can have the same key: the credit stays if either is
        # owed.
        if decision.credit is not None and (
            decision.reason is Reason.ALREADY_ISSUED or decision.credit.key not in decided
        ):
            decided[decision.credit.key] = decision
    rule_of = {rule.credit_rule_id: rule for rule in rules}
    for credit in history.credits:
        if only not in (None, credit.key.credit_rule_id):
            continue
        after, why = _become(history, credit, decided.get(credit.key), rule_of.get(credit.key.credit_rule_id))
        if after != credit:
            yield Change(credit, after, why)


def change_of(
    facts: MembershipFacts, out: Iterable[Credit], one: Credit, rules: Sequence[Rule], now: datetime
) -> Change:
    """What the facts make, at `now`, of one credit that a person changed; if they leave it so, both sides of the change
    are that credit. `out`: all credits of its membership, this one as it was."""
    history = History(facts, [one if credit.key == one.key else credit for credit in out], now)
    changes = changes_of(history, rules, decide_all(history, rules))
    return next((change for change in changes if change.before.key == one.key), Change(one, one, None))


def _become(
    history: History, credit: Credit, decision: Decision | None, rule: Rule | None
) -> tuple[Credit, Reason | None]:
    """What an issued credit becomes at `now`, and why it is revoked if it is. `rule`: None for a grant."""
    assert rule is not None or credit.is_grant, "a credit of a rule is one of the membership's types"
    now = history.now
    changed: dict[str, object] = {}
    why = _taken_back(history, credit, decision)
    expires_at = credit.expires_at
    if credit.redeemed_at is None and rule is not None:
        occurrence = None if decision is None else decision.occurrence
        owed_at = None
        if decision is not None and why is None:
            owed_at = history.issued_at(decision.occurrence.release.first)
        ends = ends_of(history, rule, credit, occurrence, owed_at)
        if ends.expires_at is None or ends.expires_at > ends.valid_from:
            if not credit.is_over_for_good:
                changed.update(ends._asdict())
                expires_at = ends.expires_at
        elif not credit.manual:
            # A move that became known late ended the period before the credit was issued: it should not have been
            # issued. One that is over by itself stays as it is, and so does what a person gave.
            why = Reason.PERIOD_OVER
            if expires_at is None or now < expires_at:
                changed["period_end"] = ends.period_end
    revoked_at = credit.revoked_at
    if why is None:
        changed["flagged_at"] = None
        if credit.revoked_by == "facts" and (rule is None or rule.deleted_at is None):
            revoked_at = changed["revoked_at"] = changed["revoked_by"] = None
    else:
        if credit.redeemed_at is not None or credit.uses:
            for_nothing = was_used_for_nothing(history, credit, decision, why)
            changed["flagged_at"] = (credit.flagged_at or now) if for_nothing else None
        is_out = credit.redeemed_at is None and revoked_at is None and not credit.is_over_for_good
        if is_out and (expires_at is None or now < expires_at):
            revoked_at = changed["revoked_at"] = now
            changed["revoked_by"] = "facts"
    if credit.redeemed_at is None and not credit.is_over_for_good:
        over = expires_at is not None and expires_at <= now and revoked_at is None
        changed["expired_at"] = (credit.expired_at or now) if over else None
    if all(getattr(credit, name) == value for name, value in changed.items()):
        return credit, why
    return replace(credit, **changed), why  # type: ignore[arg-type]


def _taken_back(history: History, credit: Credit, decision: Decision | None) -> Reason | None:
    """Why the facts of now would not issue a credit that was issued, or None if they would."""
    if credit.manual:
        # Charges do not touch what was issued by hand; leaving the order does.
        stays = credit.key.place in history.parties.stayed_since(credit.issued_at)
        return None if stays else Reason.GUEST_REMOVED
    if history.is_settled(credit.key.period_start):
        return None
    if decision is None:
        stays = credit.key.place in history.parties.stayed_since(None)
        return Reason.NOT_DUE_YET if stays else Reason.GUEST_REMOVED
    return None if decision.reason is Reason.ALREADY_ISSUED else decision.reason


def next_due(history: History, settlement: Settlement) -> datetime | None:
    """The next instant after `now` at which time alone changes anything: a fact that was announced, an end,
    an expiry, or the start of a period that a charge covers. Rules play no part, so that editing
    one makes no membership due."""
    now = history.now
    instants = [history.next_fact_at, history.standing.next_change(now)]
    instants += [new.validities.expires_at for new in settlement.issue]
    becomes = {change.before.key: change.after for change in settlement.change}
    instants += [
        credit.expires_at
        for credit in (becomes.get(before.key, before) for before in history.credits)
        if credit.is_held_at(now)
    ]
    if history.standing.at(now) not in ENDED:
        instants.append(_next_occurrence(history))
    return min((instant for instant in instants if instant is not None and instant > now), default=None)


def _next_occurrence(history: History) -> datetime | None:
    if history.types.ever_automatic:
        return _next_start(history)
    starts: list[datetime] = []
    for charge in history.charges:
        end = history.start_of(charge.covers.end)
        if end > history.now and charge.state in PAYING:
            first = history.start_of(charge.covers.start)
            start = first if first > history.now else _next_start(history)
            if start < end:
                starts.append(start)
    return min(starts, default=None)


def _next_start(history: History) -> datetime:
    """When a period next begins, of the billing or of any rule that there could be. Where the billing date was never
    moved, they all begin on dates of the billing or of a monthly rule."""
    finest = {None, IssuingFrequency.MONTH.interval}
    periods = {frequency.interval for frequency in IssuingFrequency} if history.moves else finest
    return min(history.calendar.next_boundary_after(every, history.now) for every in periods)
