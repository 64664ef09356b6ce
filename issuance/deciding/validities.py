"""From when to when a credit can be used (SEMANTICS 6)."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from issuance.deciding.calendar import add_validity, day_of
from issuance.deciding.facts import Credit, Rule, RuleVersion
from issuance.deciding.frequency import IssuingFrequency
from issuance.deciding.history import History


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
    counts_from_start: bool = False,
) -> Validities:
    """The validities of a credit that is issued for a period: from its start, or from its issue if that is later.
    `counts_from_start`: the coupon's validity counts from the period's start, as if it had been issued then."""
    assert version.coupon is not None, "only a coupon that is there is issued"
    start = history.start_of(period_start)
    valid_from = max(start, issued_at)
    validity, since = version.coupon.validity, start if counts_from_start else valid_from
    validity_ends_at = None if validity is None else add_validity(since, validity, history.facts.zone)
    expires_at = expiry(history, version, valid_from, period_end, validity_ends_at)
    return Validities(valid_from, expires_at, validity_ends_at)


def counts_from_start(history: History, rule: Rule, period_start: date) -> bool:
    """Whether a coupon's validity counts from the start of a period, which began before the promise was known here: of
    an import, before the sign-up's time; or before its rule was made (SEMANTICS 6)."""
    start = history.start_of(period_start)
    is_import = history.starts_on < day_of(history.signed_up_at, history.facts.zone)
    return (is_import and start < history.signed_up_at) or (rule.made_at is not None and start < rule.made_at)


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


class Ends(NamedTuple):
    """What can still move of a credit that is out, by the names of `Credit`."""

    valid_from: datetime
    period_end: date | None
    expires_at: datetime | None
    validity_ends_at: datetime | None


def ends_of(history: History, rule: Rule, credit: Credit, day: date | None, owed_at: datetime | None) -> Ends:
    """The limits of a credit that is out: its period's end and its expiry move with the billing date (SEMANTICS 7), and
    a P0D credit takes those of the period that it rides on (SEMANTICS 3). `day`: the start of that period; None: it
    rides on none. `owed_at`: when it would be issued for it; None: it is not owed. What a person extended never ends
    before that."""
    version = rule.version(credit.rule_version)
    valid_from, validity_ends_at = credit.valid_from, credit.validity_ends_at
    if version.frequency is IssuingFrequency.ONCE and day is not None:
        start = history.start_of(day)
        if owed_at is not None and start > valid_from and _goes_over(history, rule, credit):
            valid_from = max(start, owed_at)
        validity_ends_at = _riding(history, rule, version, credit, day, valid_from)
    elif not history.dates_moved:
        return Ends(valid_from, credit.period_end, credit.expires_at, validity_ends_at)
    period_end = period_end_of(history, version.frequency, credit.key.period_start)
    expires_at = expiry(history, version, valid_from, period_end, validity_ends_at)
    return Ends(valid_from, period_end, not_before(expires_at, credit.extended_to), validity_ends_at)


def _goes_over(history: History, rule: Rule, credit: Credit) -> bool:
    """Whether a P0D credit that rides on a later period than it did is valid from that one's start on: not what was
    given by hand or used, and not what a person revoked or what was not used in its own period."""
    if credit.manual or credit.uses or credit.redeemed_at is not None:
        return False
    if credit.revoked_at is not None:
        return credit.revoked_by == "facts" and rule.deleted_at is None
    return credit.is_open and credit.is_held_at(history.now)


def not_before(expires_at: datetime | None, extended_to: datetime | None) -> datetime | None:
    """The expiry that facts give, or the one until which a person extended the credit, whichever is later."""
    return expires_at if expires_at is None or extended_to is None else max(expires_at, extended_to)


def _riding(
    history: History, rule: Rule, version: RuleVersion, credit: Credit, day: date, valid_from: datetime
) -> datetime | None:
    """When the coupon's validity ends of a P0D credit that rides on the billing period from `day` on and is valid from
    an instant on. Of a coupon that was saved again it is as long as it was: by which validity, nobody knows."""
    ends_at, coupon, zone = credit.validity_ends_at, version.coupon, history.facts.zone
    if ends_at is None or credit.manual:
        return ends_at
    if coupon is None or coupon.validity is None:
        return ends_at + (valid_from - credit.valid_from)
    if coupon.edited and ends_at != add_validity(credit.valid_from, coupon.validity, zone):
        return ends_at + (valid_from - credit.valid_from)
    is_from_start = not coupon.edited and counts_from_start(history, rule, day)
    return add_validity(history.start_of(day) if is_from_start else valid_from, coupon.validity, zone)
