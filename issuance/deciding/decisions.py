"""decide(facts, rules, now): what becomes of every (rule, guest, occurrence) of a membership, and why.

The one place where the rules of SEMANTICS 3 to 7 come together. Pure: it reads no clock and writes nothing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from issuance.deciding.calendar import add_validity
from issuance.deciding.facts import Credit, CreditKey, Guest, MembershipFacts, Rule, RuleVersion
from issuance.deciding.frequency import IssuingFrequency
from issuance.deciding.occurrences import Turn, turns
from issuance.deciding.reasons import Outcome, Reason
from issuance.deciding.releases import History


@dataclass(frozen=True, slots=True)
class Validities:
    """From when to when a credit can be used (instants, UTC). `validity_ends_at` is the coupon's share."""

    valid_from: datetime
    expires_at: datetime | None
    validity_ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of one (rule, membership, guest, occurrence).

    `reason` ISSUED without a `credit` means: issue it, with `validities`. ALREADY_ISSUED carries the credit.
    """

    credit_rule_id: UUID
    version: RuleVersion | None
    guest: Guest
    turn: Turn
    reason: Reason
    credit: Credit | None = None
    validities: Validities | None = None

    @property
    def outcome(self) -> Outcome:
        return self.reason.outcome

    @property
    def key(self) -> CreditKey:
        return CreditKey(self.credit_rule_id, self.guest.guest_id, self.turn.period_start, 0)


def decide(
    facts: MembershipFacts, rules: Iterable[Rule], now: datetime, last_day: date | None = None
) -> list[Decision]:
    """Every decision for a membership up to `last_day` (default: the brand's date at `now`), as of `now`.

    `facts` are those that have happened by `now`. A decision for a day ahead says what is known today.
    """
    return decide_with(History(facts, now), rules, last_day)


def decide_with(history: History, rules: Iterable[Rule], last_day: date | None = None) -> list[Decision]:
    """`decide` for a history that the caller also needs for other questions."""
    out = {credit.key: credit for credit in history.facts.credits}
    horizon = last_day or history.today
    return [
        decision
        for rule in rules
        for turn in turns(history, rule, horizon)
        for decision in _for_guests(history, rule, turn, out)
    ]


def _for_guests(history: History, rule: Rule, turn: Turn, out: dict[CreditKey, Credit]) -> Iterator[Decision]:
    for guest in guests_at(history, turn.day):
        key = CreditKey(rule.credit_rule_id, guest.guest_id, turn.period_start, 0)
        credit = out.get(key)
        reason = turn.reason
        if reason in (None, Reason.NOT_DUE_YET):
            reason = _for_guest(history, turn, guest, credit) or reason
        validities = None
        if reason is None and credit is not None:
            reason = Reason.ALREADY_ISSUED
        elif reason is None and rule.deleted_at is not None:
            reason = Reason.RULE_DELETED
        elif reason is None:
            assert turn.version is not None, "an owed turn has a version in force"
            reason, validities = _issue(history, turn.version, turn)
        elif credit is None and rule.deleted_at is not None and history.start_of(turn.day) >= rule.deleted_at:
            reason = Reason.RULE_DELETED
        yield Decision(rule.credit_rule_id, turn.version, guest, turn, reason, credit, validities)


def _for_guest(history: History, turn: Turn, guest: Guest, credit: Credit | None) -> Reason | None:
    assert turn.version is not None, "an owed turn has a version in force"
    if turn.version.for_lead_booker_only and not guest.lead_booker:
        return Reason.NOT_LEAD_BOOKER
    if not stayed(history.facts, guest.guest_id, turn_start(history, turn.day)):
        return Reason.GUEST_REMOVED
    # What they held was revoked when they were archived, and stays as it is.
    if credit is None and is_archived(history.facts, guest.guest_id):
        return Reason.MEMBER_ARCHIVED
    return None


def _issue(history: History, version: RuleVersion, turn: Turn) -> tuple[Reason, Validities | None]:
    if version.coupon is None:
        return Reason.COUPON_MISSING, None
    if is_over(history, version, turn.period_end):
        return Reason.PERIOD_OVER, None
    return Reason.ISSUED, validities_of(history, version, max(history.start_of(turn.day), history.now), turn.period_end)


def is_archived(facts: MembershipFacts, guest_id: UUID) -> bool:
    """Whether a guest is given nothing more: archived, or on the order of a member who is."""
    return facts.member_archived_at is not None or guest_id in facts.archived_guests


def is_over(history: History, version: RuleVersion, period_end: date | None) -> bool:
    """Whether a roll_over=false credit of a period would be born expired (SEMANTICS 6)."""
    return not version.roll_over and period_end is not None and history.start_of(period_end) <= history.now


def validities_of(history: History, version: RuleVersion, valid_from: datetime, period_end: date | None) -> Validities:
    """When a credit that is valid from an instant expires: the earliest of the coupon's validity, the next
    billing period and the end of the rule's period, the latter two for roll_over=false (SEMANTICS 6)."""
    assert version.coupon is not None, "only a coupon that is there is issued"
    validity = version.coupon.validity
    validity_ends_at = None if validity is None else add_validity(valid_from, validity, history.facts.zone)
    expires_at = expiry(history, version.roll_over, valid_from, period_end, validity_ends_at)
    return Validities(valid_from, expires_at, validity_ends_at)


def expiry(
    history: History, roll_over: bool, valid_from: datetime, period_end: date | None, validity_ends_at: datetime | None
) -> datetime | None:
    """The earliest of a credit's limits, None if it has none."""
    limits = [] if validity_ends_at is None else [validity_ends_at]
    if not roll_over:
        limits.append(history.calendar.next_boundary_after(history.billing_months, valid_from))
        if period_end is not None:
            limits.append(history.start_of(period_end))
    return min(limits, default=None)


def period_end_of(history: History, frequency: IssuingFrequency, period_start: date) -> date | None:
    """The end of a rule's period that begins on a date; None for P0D."""
    if frequency is IssuingFrequency.ONCE:
        return None
    return history.calendar.next_boundary(frequency.months(history.facts.billing_frequency), period_start)


def turn_start(history: History, day: date) -> datetime | None:
    """From when a turn's guests must have stayed: its start; None for the sign-up, whose guests were there first."""
    return None if day == history.facts.starts_on else history.start_of(day)


def guests_at(history: History, day: date) -> tuple[Guest, ...]:
    """The guests of the occurrence that starts on `day`: those on the order at its start (SEMANTICS 5)."""
    facts = history.facts
    guests = facts.signup_party
    since = turn_start(history, day)
    if since is not None:
        for party in facts.parties:
            if party.since <= since:
                guests = party.guests
    return guests


def stayed(facts: MembershipFacts, guest_id: UUID, since: datetime | None) -> bool:
    """Whether a guest was on the order at an instant (None: at the sign-up) and has been without a break since."""
    later = [party.guests for party in facts.parties if since is None or party.since > since]
    then = [party.guests for party in facts.parties if since is not None and party.since <= since]
    return all(
        any(guest.guest_id == guest_id for guest in guests) for guests in [*(then[-1:] or [facts.signup_party]), *later]
    )
