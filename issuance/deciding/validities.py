"""From when to when a credit can be used (SEMANTICS 6)."""

from dataclasses import dataclass
from datetime import date, datetime

from issuance.deciding.calendar import add_validity
from issuance.deciding.facts import RuleVersion
from issuance.deciding.frequency import IssuingFrequency
from issuance.deciding.history import History


@dataclass(frozen=True, slots=True)
class Validities:
    """From when to when a credit can be used (instants, UTC). `validity_ends_at` is the coupon's own limit."""

    valid_from: datetime
    expires_at: datetime | None
    validity_ends_at: datetime | None


def validities_of(history: History, version: RuleVersion, period_start: date, period_end: date | None) -> Validities:
    """The validities of a credit that is issued now for a period: from its start, or from now if that is later."""
    assert version.coupon is not None, "only a coupon that is there is issued"
    valid_from = max(history.start_of(period_start), history.now)
    validity = version.coupon.validity
    validity_ends_at = None if validity is None else add_validity(valid_from, validity, history.facts.zone)
    expires_at = expiry(history, version.roll_over, valid_from, period_end, validity_ends_at)
    return Validities(valid_from, expires_at, validity_ends_at)


def expiry(
    history: History, roll_over: bool, valid_from: datetime, period_end: date | None, validity_ends_at: datetime | None
) -> datetime | None:
    """The earliest of a credit's limits: the coupon's validity and, for roll_over=false, the next billing period and
    the end of the rule's period. None if it has none."""
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


def is_over(history: History, version: RuleVersion, period_end: date | None) -> bool:
    """Whether a roll_over=false credit of a period would be expired when it is issued."""
    return not version.roll_over and period_end is not None and history.start_of(period_end) <= history.now
