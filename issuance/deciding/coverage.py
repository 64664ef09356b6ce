"""What a charge covers, and how much of it it pays for (SEMANTICS 7)."""

from dataclasses import dataclass
from datetime import date, timedelta

from issuance.deciding.calendar import Calendar
from issuance.deciding.frequency import Interval

#: Billers are some days off: a date so near to a boundary counts as that boundary.
DAYS_OFF = timedelta(days=3)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Coverage:
    """The dates [start, end) that a charge covers; none if both are the same.

    `calendar` is the one of today, `stood` the one at the first fact about the charge.
    """

    start: date
    end: date
    calendar: Calendar
    stood: Calendar

    def has(self, day: date) -> bool:
        """Whether a date is covered."""
        return self.start <= day < self.end

    @property
    def has_boundary(self) -> bool:
        """Whether a billing period begins within it; if not, the charge lies beside the calendar."""
        return self.calendar.number_within(None, self.start, self.end) > 0

    def pays_for(self, every: Interval | None, day: date) -> bool:
        """Whether it pays for the period of a rule in which `day` lies. It pays for as many periods as it covered at
        the first fact about it, at least one, the earliest first."""
        if not self.has(day):
            return False
        if self.stood is self.calendar:
            return True
        paid = max(self.stood.number_within(every, self.start, self.end), 1)
        return self.calendar.number_within(every, self.start, day + _DAY) <= paid


def coverage_of(period_start: date, period_end: date | None, calendar: Calendar, stood: Calendar) -> Coverage:
    """What a charge with these dates covers. `period_end` is exclusive, and None if it was not told."""
    start = _counted_as(period_start, calendar, stood)
    if period_end is not None:
        end = _counted_as(period_end, calendar, stood)
    else:
        end = min(stood.next_boundary(None, start), calendar.next_boundary(None, start))  # cut where a move cuts it
    return Coverage(start, max(start, end), calendar, stood)


def _counted_as(day: date, calendar: Calendar, stood: Calendar) -> date:
    """The billing boundary that a date means: the nearest one, if it is at most DAYS_OFF away and the billing is not
    weekly. Otherwise the date itself."""
    if stood.billing_now.weeks or calendar.is_boundary(None, day):
        return day
    nearest = stood.nearest_boundary(day)
    return nearest if abs(nearest - day) <= DAYS_OFF else day
