"""How often: ISO 8601 durations, parsed once at the edge into a few closed values (SEMANTICS 2, 6)."""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple


class Interval(NamedTuple):
    """A number of calendar months, or of weeks."""

    months: int
    weeks: int

    @property
    def mean_days(self) -> float:
        """How long it is on average."""
        return self.months * _DAYS_OF_A_MONTH + self.weeks * 7


#: The mean of 400 years.
_DAYS_OF_A_MONTH = 146097 / 4800
_EVERY = re.compile(r"P([1-9]\d?)([WMY])", re.ASCII)
_MOST = {"W": 52, "M": 36, "Y": 3}


@dataclass(frozen=True, slots=True)
class BillingFrequency:
    """How often a membership is billed: `PnW`, `PnM` or `PnY`."""

    text: str
    interval: Interval

    @classmethod
    @lru_cache(maxsize=256)
    def parse(cls, text: str) -> "BillingFrequency":
        """Whole weeks (at most 52), months (36) or years (3). Raises ValueError."""
        match = _EVERY.fullmatch(text)
        if match is None or int(match[1]) > _MOST[match[2]]:
            raise ValueError("must be P1W to P52W, P1M to P36M or P1Y to P3Y")
        number, unit = int(match[1]), match[2]
        return cls(text, Interval(0, number) if unit == "W" else Interval(number * (12 if unit == "Y" else 1), 0))


class IssuingFrequency(StrEnum):
    """How often a credit rule issues. BILLING_CYCLE is the membership's own; ONCE (P0D) has no next occurrence."""

    BILLING_CYCLE = "billing_cycle"
    ONCE = "P0D"
    MONTH = "P1M"
    QUARTER = "P3M"
    HALF_YEAR = "P6M"
    YEAR = "P1Y"

    @property
    def interval(self) -> Interval | None:
        """The rule's period; None: the membership's billing period, on which ONCE rides."""
        return _INTERVALS.get(self)


_INTERVALS: dict[str, Interval] = {
    "P1M": Interval(1, 0),
    "P3M": Interval(3, 0),
    "P6M": Interval(6, 0),
    "P1Y": Interval(12, 0),
}


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
        import isodate  # late: only what comes from outside is read

        duration = isodate.parse_duration(text, as_timedelta_if_possible=False)
        whole = Validity(int(duration.years) * 12 + int(duration.months), duration.tdelta.days)
    if whole.months == 0 and whole.days == 0:
        raise ValueError("must be longer than nothing")
    if whole.months > _LONGEST_MONTHS or whole.days > _LONGEST_DAYS:
        raise ValueError("must be at most 100 years")
    return whole


def _count(part: str | None) -> int:
    return int(part[:-1]) if part else 0
