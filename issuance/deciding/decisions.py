"""decide(facts, rules, now): what becomes of every (rule, guest, occurrence) of a membership, and why.

The one place where the rules of SEMANTICS 3 to 7 come together. Pure: it reads no clock and writes nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple
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


class Decision(NamedTuple):
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
    out: dict[tuple[UUID, date], dict[UUID, Credit]] = {}
    for credit in history.facts.credits:
        if credit.key.reissue == 0:
            out.setdefault((credit.key.credit_rule_id, credit.key.period_start), {})[credit.key.guest_id] = credit
    horizon = last_day or history.today
    return [
        decision
        for rule in rules
        for turn in turns(history, rule, horizon)
        for decision in _for_guests(history, rule, turn, out.get((rule.credit_rule_id, turn.period_start), {}))
    ]


class _Kind(NamedTuple):
    """All of a guest that a turn's outcome depends on. Those of one kind are decided once a turn, however many."""

    lead_booker: bool
    stayed: bool
    archived: bool
    holds: bool


def _for_guests(history: History, rule: Rule, turn: Turn, out: Mapping[UUID, Credit]) -> Iterator[Decision]:
    """The decisions about one turn. `out`: its credits, by guest."""
    since = turn_start(history, turn.day)
    stayed = history.parties.stayed_since(since)
    decided: dict[_Kind, tuple[Reason, Validities | None]] = {}
    for guest in history.parties.at(since):
        guest_id, lead_booker = guest
        credit = out.get(guest_id)
        kind = _Kind(lead_booker, guest_id in stayed, is_archived(history.facts, guest_id), credit is not None)
        if kind not in decided:
            decided[kind] = _for_kind(history, rule, turn, kind)
        reason, validities = decided[kind]
        yield Decision(rule.credit_rule_id, turn.version, guest, turn, reason, credit, validities)


def _for_kind(history: History, rule: Rule, turn: Turn, kind: _Kind) -> tuple[Reason, Validities | None]:
    reason = turn.reason
    if reason in (None, Reason.NOT_DUE_YET):
        reason = _of_guest(turn, kind) or reason
    if reason is None and kind.holds:
        return Reason.ALREADY_ISSUED, None
    if reason is None and rule.deleted_at is not None:
        return Reason.RULE_DELETED, None
    if reason is None:
        assert turn.version is not None, "an owed turn has a version in force"
        return _issue(history, turn.version, turn)
    if not kind.holds and rule.deleted_at is not None and history.start_of(turn.day) >= rule.deleted_at:
        return Reason.RULE_DELETED, None
    return reason, None


def _of_guest(turn: Turn, kind: _Kind) -> Reason | None:
    """Why a guest gets nothing for a turn that gives others something; None: they get what the others get."""
    assert turn.version is not None, "an owed turn has a version in force"
    if turn.version.for_lead_booker_only and not kind.lead_booker:
        return Reason.NOT_LEAD_BOOKER
    if not kind.stayed:
        return Reason.GUEST_REMOVED
    # What they held was revoked when they were archived, and stays as it is.
    if kind.archived and not kind.holds:
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
