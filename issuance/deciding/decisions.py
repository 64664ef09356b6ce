"""decide(history, rules): what becomes of every (rule, guest, occurrence) of a membership, and why.

The one place where the rules of SEMANTICS 3 to 7 come together. What is issued by hand has rules of its own, in
`manual_issue`. Pure: it reads no clock and writes nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import NamedTuple
from uuid import UUID

from issuance.deciding.facts import Credit, CreditKey, Guest, Held, HeldState, Rule, RuleVersion
from issuance.deciding.history import History
from issuance.deciding.occurrences import Occurrence, occurrences
from issuance.deciding.parties import left_out
from issuance.deciding.reasons import Outcome, Reason
from issuance.deciding.releases import Releases
from issuance.deciding.used import Used
from issuance.deciding.validities import Validities, known_late, validities_of


class Decision(NamedTuple):
    """What became of one (rule, membership, guest, occurrence).

    `reason` ISSUED without a `credit` means: issue it, with `validities`. ALREADY_ISSUED carries the credit. `joined`:
    the keys of manual credits that a guard holds for a former start; they are one with it (SEMANTICS 17).
    """

    credit_rule_id: UUID
    version: RuleVersion | None
    guest: Guest
    occurrence: Occurrence
    reason: Reason
    credit: Credit | None = None
    validities: Validities | None = None
    joined: tuple[CreditKey, ...] = ()

    @property
    def rule_version(self) -> int | None:
        """The version that is stamped on the credit, or else the one in force (SEMANTICS 4)."""
        if self.credit is not None:
            return self.credit.rule_version
        return None if self.version is None else self.version.version

    @property
    def told(self) -> Reason:
        """The reason as people read it: a manual credit counts as given, whatever is decided about its period
        (SEMANTICS 9)."""
        given = self.credit is not None and self.credit.manual and self.credit.revoked_by != "facts"
        return Reason.ALREADY_ISSUED if given else self.reason

    @property
    def outcome(self) -> Outcome:
        return self.reason.outcome

    @property
    def key(self) -> CreditKey:
        return CreditKey(self.credit_rule_id, self.guest.place, self.occurrence.period_start, 0)


def is_first(decision: Decision, given: set[CreditKey]) -> bool:
    """Whether a decision to issue is the first under its key, which it then takes: the sign-up and, under a later
    version, P0D can be owed under one, which gives one credit (SEMANTICS 8). `given`: the keys that are taken."""
    taken = decision.key in given
    given.add(decision.key)
    return not taken


class Decisions(NamedTuple):
    """The decisions about one occurrence. They are lazy: skipping an occurrence is cheap."""

    credit_rule_id: UUID
    occurrence: Occurrence
    #: How many there are, a guest each.
    number: int
    #: Whether credits are out for it.
    has_credits: bool
    decisions: Iterator[Decision]


def decide(
    history: History, rules: Sequence[Rule], last_day: date | None = None, *, only: UUID | None = None
) -> Iterator[Decisions]:
    """Every decision for a membership, an occurrence at a time, up to `last_day` (default: the brand's date at the
    history's `now`).

    A decision for a future day says what is known today. `rules`: those of all the membership's types, because a use
    under one type counts for another; `only`: the one rule whose decisions are wanted.
    """
    issued: dict[tuple[UUID, date], dict[int, Credit]] = {}
    for credit in history.credits:
        if credit.key.reissue == 0:
            issued.setdefault((credit.key.credit_rule_id, credit.key.period_start), {})[credit.key.place] = credit
    horizon = last_day or history.today
    releases = Releases(history)
    used = Used(history, rules)
    for rule in rules:
        if only in (None, rule.credit_rule_id):
            for occurrence in occurrences(history, releases, rule, horizon):
                there = _there(history, rule, occurrence, issued)
                guests = len(history.parties.at(history.period_start_instant(occurrence.day)))
                decided = _for_guests(history, rule, occurrence, there, used)
                yield Decisions(rule.credit_rule_id, occurrence, guests, bool(there), decided)


def _there(
    history: History, rule: Rule, occurrence: Occurrence, issued: Mapping[tuple[UUID, date], Mapping[int, Credit]]
) -> Mapping[int, Credit]:
    """The issued credits of an occurrence, by the guest's place: its own, and those of a former start that count for it
    (SEMANTICS 7)."""
    own = issued.get((rule.credit_rule_id, occurrence.period_start), {})
    former = {
        place: credit
        for start in _former_starts(history, occurrence)
        for place, credit in issued.get((rule.credit_rule_id, start), {}).items()
        if _stands_for_any_start(credit, occurrence)
    }
    speaks = {
        place: one
        for place, one in own.items()
        if place not in former or not _speaks_before(former[place], one, occurrence)
    }
    return {**former, **speaks}


def _speaks_before(former: Credit, own: Credit, occurrence: Occurrence) -> bool:
    """Whether the credit of a former start counts in place of the occurrence's own. It does if facts revoked the own
    one. A former credit that is gone for good counts only if it went no earlier than that."""
    if own.revoked_at is None or own.revoked_by != "facts":
        return False
    if former.is_a_persons or _is_the_one_used(former, occurrence):
        return True
    gone_at = former.expires_at if former.revoked_at is None else former.revoked_at
    return gone_at is None or gone_at >= own.revoked_at


def _former_starts(history: History, occurrence: Occurrence) -> list[date]:
    """The starts that an occurrence had before the membership's start was moved: only the sign-up's and a P0D
    occurrence have any. A date on which a period of the rule begins now belongs to that period."""
    if occurrence.period_start != history.starts_on:
        return []
    return [start for start in sorted(history.former_starts) if history.was_start(start, occurrence.frequency)]


def _stands_for_any_start(credit: Credit, occurrence: Occurrence) -> bool:
    """Whether a credit counts for any start: a person gave or extended it, it is gone for good, or it was used and the
    rule gives only one ever."""
    is_gone = credit.revoked_by not in (None, "facts") or credit.is_over_for_good
    return credit.is_a_persons or is_gone or _is_the_one_used(credit, occurrence)


def _is_the_one_used(credit: Credit, occurrence: Occurrence) -> bool:
    return occurrence.is_once and (credit.redeemed_at is not None or credit.uses > 0)


def decide_all(history: History, rules: Sequence[Rule], *, only: UUID | None = None) -> list[Decision]:
    """The decisions of all occurrences up to `now`, in one list."""
    return [decision for one in decide(history, rules, only=only) for decision in one.decisions]


class _Kind(NamedTuple):
    """Everything about a guest that an occurrence's outcome depends on. Guests of one kind are decided once."""

    lead_booker: bool
    stayed: bool
    archived: bool
    holds: bool
    used: bool


def _for_guests(
    history: History, rule: Rule, occurrence: Occurrence, issued: Mapping[int, Credit], used: Used
) -> Iterator[Decision]:
    """The decisions about one occurrence. `issued`: its credits, by the guest's place."""
    since = history.period_start_instant(occurrence.day)
    stayed = history.parties.stayed_since(since)
    decided: dict[tuple[_Kind, Held | None], tuple[Reason, Validities | None]] = {}
    for guest in history.parties.at(since):
        place, lead_booker = guest
        credit = issued.get(place)
        archived = history.is_archived(place) or history.was_archived(place, occurrence.day)
        # `used` matters only for credits that are not issued yet, or that facts revoked.
        is_given = credit is not None and credit.revoked_by != "facts"
        version = occurrence.version
        has_used = not is_given and version is not None and used.by(place, version, occurrence.day)
        kind = _Kind(lead_booker, place in stayed, archived, credit is not None, has_used)
        held, joined = _held(history, rule, place, occurrence)
        if (kind, held) not in decided:
            decided[kind, held] = _for_kind(history, rule, occurrence, kind, held)
        reason, validities = decided[kind, held]
        yield Decision(rule.credit_rule_id, occurrence.version, guest, occurrence, reason, credit, validities, joined)


def _held(
    history: History, rule: Rule, place: int, occurrence: Occurrence
) -> tuple[Held | None, tuple[CreditKey, ...]]:
    """What a guard held of an occurrence for a guest, and the keys of manual credits that it holds for a former start,
    which are one with it. A refusal for a former start holds for every start."""
    own = history.held.get(CreditKey(rule.credit_rule_id, place, occurrence.period_start, 0))
    keys = (CreditKey(rule.credit_rule_id, place, start, 0) for start in _former_starts(history, occurrence))
    former = [history.held[key] for key in keys if key in history.held]
    refused = next((held for held in former if held.state is HeldState.REFUSED), None)
    if refused is not None:
        return refused, ()
    joined = [held for held in former if held.manual and held.state in (HeldState.WAITING, HeldState.APPROVED)]
    is_free = own is None or own.state is HeldState.LAPSED
    if is_free and joined and all(held.state is HeldState.WAITING for held in joined):
        own = replace(joined[0], at=history.now if own is None else own.at)
    return own, tuple(held.key for held in joined)


def _for_kind(
    history: History, rule: Rule, occurrence: Occurrence, kind: _Kind, held: Held | None
) -> tuple[Reason, Validities | None]:
    reason = occurrence.reason
    if reason in (None, Reason.NOT_DUE_YET):
        assert occurrence.version is not None, "an owed occurrence has a version in force"
        reason = left_out(occurrence.version, **kind._asdict()) or reason
    if reason is None and kind.holds:
        return Reason.ALREADY_ISSUED, None
    if reason is None and rule.deleted_at is not None:
        return Reason.RULE_DELETED, None
    if reason is None:
        assert occurrence.version is not None, "an owed occurrence has a version in force"
        return _issue(history, rule, occurrence.version, occurrence, held)
    if not kind.holds and rule.deleted_at is not None and history.start_of(occurrence.day) >= rule.deleted_at:
        return Reason.RULE_DELETED, None
    return reason, None


def _issue(
    history: History, rule: Rule, version: RuleVersion, occurrence: Occurrence, held: Held | None
) -> tuple[Reason, Validities | None]:
    if version.coupon is None:
        return Reason.COUPON_MISSING, None
    issued_at = history.issued_at(occurrence.release.first)
    # What a guard held back is valid from when it would have gone out (SEMANTICS 17).
    owed_at = issued_at if held is None else held.at
    known_at = known_late(history, rule, occurrence.day)
    validities = validities_of(history, version, occurrence.day, occurrence.period_end, owed_at, known_at=known_at)
    if validities.are_over or validities.are_over_at(issued_at):
        return Reason.PERIOD_OVER, None
    if held is not None and held.state is HeldState.REFUSED:
        return Reason.REFUSED, None
    if held is not None and held.state is HeldState.WAITING:
        return Reason.AWAITING_APPROVAL, None
    return Reason.ISSUED, validities
