"""Manual issue: what one membership gets when an operator issues a rule by hand (SEMANTICS 9)."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from typing import NamedTuple

from issuance.deciding.facts import CreditKey, Held, HeldState, Rule, RuleVersion
from issuance.deciding.frequency import IssuingFrequency
from issuance.deciding.history import History
from issuance.deciding.parties import left_out
from issuance.deciding.reasons import Reason
from issuance.deciding.settlement import NewCredit
from issuance.deciding.standing import STOPPED
from issuance.deciding.statuses import Status
from issuance.deciding.validities import kept_period_end, period_end_of, period_start_of, validities_of

_REFUSED = {Status.NEEDS_ATTENTION: Reason.NEEDS_ATTENTION, **STOPPED}
#: The reasons that may pass: a manual credit that waits goes on waiting.
_MAY_PASS = {
    *(Reason.ISSUED, Reason.HOLDS_LIVE_CREDIT, Reason.COUPON_MISSING),
    *(_REFUSED[status] for status in (Status.NEEDS_ATTENTION, Status.PAUSED)),
}


class ManualDecision(NamedTuple):
    """What becomes of a guest, by the place: the reason, the rule's current period, and the credit if one is issued."""

    place: int
    reason: Reason
    period_start: date
    period_end: date | None
    new: NewCredit | None = None


def issue_by_hand(history: History, rule: Rule, *, include_upcoming: bool) -> Iterator[ManualDecision]:
    """What becomes of each guest who is on the order now.

    The latest version decides. The credit takes the current period's key, or the next `reissue` if that is taken.
    """
    period_start = _current_period_start(history, rule.latest)
    yield from _issue(history, rule, period_start, history.now, include_upcoming=include_upcoming)


def let_out(history: History, rule: Rule, held: Held) -> NewCredit | None:
    """A manual credit that a guard held, decided again: with its own key, valid from when it would have been issued,
    whatever was given since (SEMANTICS 17). None if it is not to be given any more."""
    given = _anew(history, rule, held)
    if given is None or given.new is None:
        return None
    period_end = kept_period_end(history, given.new.version, held.key, given.new.period_end)
    return replace(given.new, key=held.key, period_end=period_end)


def waits(history: History, rule: Rule, held: Held) -> bool:
    """Whether a manual credit that a guard holds can be issued now or later: its guest is on the order, its membership
    goes on, and it is not too old (SEMANTICS 17)."""
    given = _anew(history, rule, held)
    return given is not None and given.reason in _MAY_PASS


def _anew(history: History, rule: Rule, held: Held) -> ManualDecision | None:
    """A manual credit that a guard held, decided now; None if its guest is not on the order."""
    period_start = period_start_of(history, rule.latest, held.key, held.at)
    decided = _issue(history, rule, period_start, held.at, include_upcoming=True)
    return next((one for one in decided if one.place == held.key.place), None)


def _issue(
    history: History, rule: Rule, period_start: date, asked_at: datetime, *, include_upcoming: bool
) -> Iterator[ManualDecision]:
    """What becomes of each guest if the issue was asked for at an instant: only a credit that was there then stands in
    its way."""
    version = rule.latest
    period_end = period_end_of(history, version.frequency, period_start)
    refused = _refusal(history, rule, version, include_upcoming)
    if refused is None and version.coupon is not None:
        validities = validities_of(history, version, period_start, period_end, asked_at)
        refused = Reason.PERIOD_OVER if validities.are_over or validities.are_over_at(history.now) else None
    held = {
        credit.key.place
        for credit in history.credits
        if credit.key.credit_rule_id == rule.credit_rule_id
        and credit.is_held_at(history.now)
        and (history.given_at(credit) <= asked_at or _are_for_start(history, version, credit.key, period_start))
    }
    for place, lead_booker in history.parties.now:
        archived = history.is_archived(place)
        why = refused or left_out(
            version, lead_booker=lead_booker, stayed=True, archived=archived, holds=False, used=False
        )
        if why is not None:
            yield ManualDecision(place, why, period_start, period_end)
        elif place in held:
            yield ManualDecision(place, Reason.HOLDS_LIVE_CREDIT, period_start, period_end)
        else:
            key = CreditKey(rule.credit_rule_id, place, period_start, _next_number(history, rule, place, period_start))
            new = NewCredit(key, version, period_end, validities, history.now, manual=True)
            yield ManualDecision(place, Reason.ISSUED, period_start, period_end, new)


def _are_for_start(history: History, version: RuleVersion, key: CreditKey, period_start: date) -> bool:
    """Whether a credit's key and a period both mean the membership's start, present or former: a guest gets one credit
    for it, whichever is there first (SEMANTICS 7)."""
    return key.reissue == 0 and all(
        history.is_or_was_start(day, version.frequency) for day in (key.period_start, period_start)
    )


def _refusal(history: History, rule: Rule, version: RuleVersion, include_upcoming: bool) -> Reason | None:
    """Why nobody on the order gets anything."""
    status = history.standing.at(history.now)
    if rule.deleted_at is not None:
        return Reason.RULE_DELETED
    if version.membership_type_id != history.types.now:
        return history.types.reason_against(version.membership_type_id)
    if history.signed_up_at > history.now:
        return Reason.NOT_DUE_YET
    if history.member_is_archived:
        return Reason.MEMBER_ARCHIVED
    if status is Status.UPCOMING and not include_upcoming:
        return Reason.NOT_BILLED_YET
    if status in _REFUSED:
        return _REFUSED[status]
    if version.coupon is None:
        return Reason.COUPON_MISSING
    return None


def _current_period_start(history: History, version: RuleVersion) -> date:
    """The start of the rule's current period; before the membership starts, and for P0D, the sign-up's."""
    if version.frequency is IssuingFrequency.ONCE:
        return history.starts_on
    return history.calendar.period_of(version.frequency.interval, history.today)[0]


def _next_number(history: History, rule: Rule, place: int, period_start: date) -> int:
    refused = [key for key, held in history.held.items() if held.state is HeldState.REFUSED]
    taken = [
        key.reissue
        for key in (*refused, *(credit.key for credit in history.credits))
        if key[:3] == (rule.credit_rule_id, place, period_start)
    ]
    return max(taken, default=-1) + 1
