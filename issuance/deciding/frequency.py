"""How often: ISO 8601 durations, parsed once at the edge into a few closed values (SEMANTICS 2, 6)."""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import isodate


class BillingFrequency(StrEnum):
    """How often a membership is billed."""

    MONTH = "P1M"
    QUARTER = "P3M"
    HALF_YEAR = "P6M"
    YEAR = "P1Y"

    @property
    def months(self) -> int:
        return _MONTHS[self.value]


class IssuingFrequency(StrEnum):
    """How often a credit rule issues. BILLING_CYCLE is the membership's own; ONCE (P0D) has no next occurrence."""

    BILLING_CYCLE = "billing_cycle"
    ONCE = "P0D"
    MONTH = "P1M"
    QUARTER = "P3M"
    HALF_YEAR = "P6M"
    YEAR = "P1Y"

    def months(self, billing: BillingFrequency) -> int:
        """The rule's period in months on a membership that is billed so; ONCE rides on billing periods."""
        if self in (IssuingFrequency.BILLING_CYCLE, IssuingFrequency.ONCE):
            return billing.months
        return _MONTHS[self.value]


_MONTHS = {"P1M": 1, "P3M": 3, "P6M": 6, "P1Y": 12}


@dataclass(frozen=True, slots=True)
class Validity:
    """A coupon's validity on the brand's wall clock: calendar months, then days."""

    months: int
    days: int


# isodate reads more than a coupon may say (signs, fractions, times): the form is checked first.
_WHOLE_DATES = re.compile(r"P(?=\d)(\d{1,4}Y)?(\d{1,5}M)?(\d{1,5}W)?(\d{1,6}D)?", re.ASCII)
_LONGEST_MONTHS, _LONGEST_DAYS = 1200, 36525


@lru_cache(maxsize=4096)
def parse_validity(text: str) -> Validity:
    """Whole years, months, weeks and days, longer than nothing and at most a century. Raises ValueError."""
    match = _WHOLE_DATES.fullmatch(text)
    if match is None:
        raise ValueError("must be an ISO 8601 duration of whole years, months, weeks and days, such as P60D or P1M")
    years, months, weeks, days = match.groups()
    if weeks and (years or months or days):  # isodate reads weeks only on their own
        whole = Validity(_count(years) * 12 + _count(months), _count(weeks) * 7 + _count(days))
    else:
        duration = isodate.parse_duration(text, as_timedelta_if_possible=False)
        whole = Validity(int(duration.years) * 12 + int(duration.months), duration.tdelta.days)
    if whole.months == 0 and whole.days == 0:
        raise ValueError("must be longer than nothing")
    if whole.months > _LONGEST_MONTHS or whole.days > _LONGEST_DAYS:
        raise ValueError("must be at most 100 years")
    return whole


def _count(part: str | None) -> int:
    return int(part[:-1]) if part else 0
