"""From when to when a credit can be used (SEMANTICS 6)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple

from issuance.deciding.calendar import add_validity, day_of
from issuance.deciding.facts import Credit, CreditKey, Rule, RuleVersion
from issuance.deciding.frequency import IssuingFrequency
from issuance.deciding.history import History
from issuance.deciding.occurrences import Occurrence
from issuance.deciding.releases import release


@dataclass(frozen=True, slots=True)
class Validities:
    """From when to when a credit can be used (instants, UTC). `validity_ends_at` is the coupon's own limit."""

    valid_from: datetime
    expires_at: datetime | None
    validity_ends_at: datetime | None

    @property
    def are_over(self) -> bool:
        """Whether it could never be used."""
        return self.are_over_at(self.valid_from)

    def are_over_at(self, now: datetime) -> bool:
        """Whether it could not be used any more."""
        return self.expires_at is not None and self.expires_at <= now


def validities_of(
    history: History,
    version: RuleVersion,
    period_start: date,
    period_end: date | None,
    issued_at: datetime,
    *,
    known_at: datetime | None = None,
) -> Validities:
    """The validities of a credit that is issued for a period: from its start, or from its issue if that is later.
    `known_at`: what `known_late` says; the coupon's validity of then counts from the period's start, as if the credit
    had been issued in time."""
    assert version.coupon is not None, "only a coupon that is there is issued"
    start = history.start_of(period_start)
    valid_from = max(start, issued_at)
    validity, since = version.coupon.validity, valid_from
    if known_at is not None:
        validity, since = version.coupon.validity_at(known_at), start
    validity_ends_at = None if validity is None else add_validity(since, validity, history.facts.zone)
    expires_at = expiry(history, version, valid_from, period_end, validity_ends_at)
    return Validities(valid_from, expires_at, validity_ends_at)


def known_late(history: History, rule: Rule, period_start: date) -> datetime | None:
    """When Issuance came to know of the promise of a period that had begun by then: at the time of an imported
    sign-up, or when the rule was made (SEMANTICS 6). None if it knew in time."""
    start, signed_up_at = history.start_of(period_start), history.signed_up_at
    is_import = history.starts_on < day_of(signed_up_at, history.facts.zone)
    is_late = (is_import and start < signed_up_at) or (rule.made_at is not None and start < rule.made_at)
    return max(signed_up_at, rule.made_at or signed_up_at) if is_late else None


def expiry(
    history: History,
    version: RuleVersion,
    valid_from: datetime,
    period_end: date | None,
    validity_ends_at: datetime | None,
) -> datetime | None:
    """The earliest of a credit's limits: the coupon's validity; for roll_over=false, the next billing period and the
    end of the rule's period; with a roll_over_limit, the end of the last period that it rolls over into. None if it
    has none."""
    limits = [] if validity_ends_at is None else [validity_ends_at]
    if not version.roll_over:
        limits.append(history.calendar.next_boundary_after(None, valid_from))
        if period_end is not None:
            limits.append(history.calendar.begins_at(version.frequency.interval, period_end))
    elif version.roll_over_limit is not None:
        assert period_end is not None, "P0D has no further periods to roll over into"
        last = period_end
        for _ in range(version.roll_over_limit):
            last = history.calendar.next_boundary(version.frequency.interval, last)
        limits.append(history.calendar.begins_at(version.frequency.interval, last))
    return min(limits, default=None)


def period_end_of(history: History, frequency: IssuingFrequency, period_start: date) -> date | None:
    """The end of a rule's period that begins on a date; None for P0D."""
    if frequency is IssuingFrequency.ONCE:
        return None
    return history.calendar.next_boundary(frequency.interval, period_start)


def period_start_of(history: History, version: RuleVersion, key: CreditKey, then: datetime | None) -> date:
    """The start of the period that a credit is for. It is the key's, unless that was the membership's start and was
    moved since. Then a P0D credit is for the present start, any other for the period that ran at `then`, or for the
    first if none ran yet (SEMANTICS 7). `then`: what `ran_at` says of a credit; if that is None, it is for the
    key's."""
    if not history.was_start(key.period_start, version.frequency):
        return key.period_start
    if version.frequency is IssuingFrequency.ONCE:
        return history.starts_on
    if then is None:
        return key.period_start
    return history.calendar.period_of(version.frequency.interval, day_of(then, history.facts.zone))[0]


def ran_at(history: History, credit: Credit) -> datetime | None:
    """An instant of the period that a credit is for if the start was moved: when it was given by hand, or the present
    start if a person extended it. None for any other credit: it is for its key's period."""
    if credit.manual:
        return history.given_at(credit)
    return None if credit.extended_to is None else history.start_of(history.starts_on)


def kept_period_end(history: History, version: RuleVersion, key: CreditKey, period_end: date | None) -> date | None:
    """The end of a credit's period as it is kept: always after the date of its key. If the start was moved to an
    earlier date, its first period may end before that."""
    if period_end is None or period_end > key.period_start:
        return period_end
    return period_end_of(history, version.frequency, key.period_start)


class Limits(NamedTuple):
    """The first instant of the period that a credit is for, that period's end as it is kept, and the expiry."""

    begins_at: datetime
    period_end: date | None
    expires_at: datetime | None


def limits_of(
    history: History, version: RuleVersion, credit: Credit, valid_from: datetime, validity_ends_at: datetime | None
) -> Limits:
    """The limits that the facts of now give an issued credit if it is valid from an instant."""
    period_start = period_start_of(history, version, credit.key, ran_at(history, credit))
    begins_at, period_end = history.start_of(period_start), period_end_of(history, version.frequency, period_start)
    expires_at = expiry(history, version, max(valid_from, begins_at), period_end, validity_ends_at)
    kept = kept_period_end(history, version, credit.key, period_end)
    return Limits(begins_at, kept, not_before(expires_at, credit.extended_to))


class Ends(NamedTuple):
    """What can still move of an issued credit, by the names of `Credit`."""

    valid_from: datetime
    period_end: date | None
    expires_at: datetime | None
    validity_ends_at: datetime | None


def ends_of(
    history: History, rule: Rule, credit: Credit, occurrence: Occurrence | None, owed_at: datetime | None
) -> Ends:
    """The limits of an issued credit. Its period's end and its expiry move with the billing date (SEMANTICS 7), and a
    P0D credit takes those of the period that it rides on (SEMANTICS 3). A credit that a person extended never ends
    before that. `occurrence`: the one that it is for, if any. `owed_at`: when it would be issued for it, None if it is
    not owed."""
    version = rule.version(credit.rule_version)
    valid_from, validity_ends_at = credit.valid_from, credit.validity_ends_at
    if version.frequency is IssuingFrequency.ONCE and occurrence is not None:
        start = history.start_of(occurrence.day)
        if owed_at is not None and start > valid_from and _goes_over(history, rule, credit, occurrence):
            valid_from = max(start, owed_at)
        if not credit.manual:
            validity_ends_at = _moved_validity(history, rule, version, credit, occurrence.day, valid_from)
    elif not history.dates_moved:
        return Ends(valid_from, credit.period_end, credit.expires_at, validity_ends_at)
    if _moves_with_start(history, version, credit, occurrence):
        day = period_start_of(history, version, credit.key, ran_at(history, credit))
        valid_from = max(history.start_of(day), history.given_at(credit))
        validity_ends_at = _moved_validity(history, rule, version, credit, day, valid_from)
    limits = limits_of(history, version, credit, valid_from, validity_ends_at)
    return Ends(valid_from, limits.period_end, limits.expires_at, validity_ends_at)


def _moves_with_start(history: History, version: RuleVersion, credit: Credit, occurrence: Occurrence | None) -> bool:
    """Whether a person gave or extended a credit for the membership's start, the start was moved, and the credit was
    not used. One that a P0D rule gave is for what it rides on, `occurrence`."""
    if occurrence is not None and occurrence.is_once and not credit.manual and occurrence.day != history.starts_on:
        return False
    is_for_start = history.is_or_was_start(credit.key.period_start, version.frequency)
    return bool(history.former_starts) and credit.is_a_persons and not credit.uses and is_for_start


def _goes_over(history: History, rule: Rule, credit: Credit, occurrence: Occurrence) -> bool:
    """Whether a P0D credit that now rides on a later period becomes valid from that one's start on. It does not if it
    was given by hand, used, or revoked by a person; nor if it expired unused, unless facts had taken its period back
    before."""
    if credit.manual or credit.uses or credit.redeemed_at is not None:
        return False
    if credit.revoked_at is not None:
        return credit.revoked_by == "facts" and rule.deleted_at is None
    if credit.is_open and credit.is_held_at(history.now):
        return True
    return not credit.is_over_for_good and _was_taken_back(history, credit, occurrence.passed_over)


def _was_taken_back(history: History, credit: Credit, passed_over: Sequence[date]) -> bool:
    """Whether, by what is known now, the billing period that a P0D credit rode on is among those that give nothing, and
    all of these gave nothing when it expired."""
    rode_on = history.calendar.period_of(None, day_of(credit.valid_from, history.facts.zone))[0]
    if credit.expires_at is None or rode_on not in passed_over:
        return False
    last = credit.expires_at - timedelta.resolution
    return all(release(history, day, None, last).reason is not None for day in passed_over)


def not_before(expires_at: datetime | None, extended_to: datetime | None) -> datetime | None:
    """The expiry that facts give, or the one until which a person extended the credit, whichever is later."""
    return expires_at if expires_at is None or extended_to is None else max(expires_at, extended_to)


def _moved_validity(
    history: History, rule: Rule, version: RuleVersion, credit: Credit, day: date, valid_from: datetime
) -> datetime | None:
    """The end of the coupon's validity for an issued credit, if it is for the period from `day` on and valid from an
    instant on."""
    is_late = not credit.manual and known_late(history, rule, day) is not None
    since = history.start_of(day) if is_late else valid_from
    return _validity_ends_at(history, version, credit, since, valid_from)


def _validity_ends_at(
    history: History, version: RuleVersion, credit: Credit, since: datetime, valid_from: datetime
) -> datetime | None:
    """The end of the coupon's validity for an issued credit, if it is valid from `valid_from` and the validity counts
    from `since`. If the coupon was saved again, the credit keeps its length: nobody knows which validity it was issued
    by."""
    ends_at, coupon, zone = credit.validity_ends_at, version.coupon, history.facts.zone
    if ends_at is None:
        return None
    if coupon is None or coupon.validity is None:
        return ends_at + (valid_from - credit.valid_from)
    if coupon.edited and ends_at != add_validity(credit.valid_from, coupon.validity, zone):
        return ends_at + (valid_from - credit.valid_from)
    return add_validity(valid_from if coupon.edited else since, coupon.validity, zone)
