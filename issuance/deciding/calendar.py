"""Dates, the brand's zone, and the boundaries of periods (SEMANTICS 2).

Periods are dates in the brand's zone; a date becomes an instant at local midnight. All instants are
aware datetimes in UTC.
"""

from bisect import bisect_right
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from issuance.deciding.frequency import Validity

#: No calendar runs past this: it bounds every loop over boundaries.
LAST_DAY = date(2999, 12, 31)


def add_months(day: date, months: int) -> date:
    """`day` moved by calendar months in one step, clamped to the month's last day."""
    index = day.year * 12 + day.month - 1 + months
    year, month = divmod(index, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def instant_of(local: datetime, zone: ZoneInfo) -> datetime:
    """The instant (UTC) of a naive wall-clock time: the first one where it happens twice, and the
    first instant after the gap where it is skipped."""
    first = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if first.astimezone(zone).replace(tzinfo=None) == local:
        return first
    # In a gap. fold=0 reads it with the offset before the gap, fold=1 with the one after; the gap's
    # end is the transition between the two instants.
    low, high = local.replace(tzinfo=zone, fold=1).astimezone(UTC), first
    after = high.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) // 2
        if middle.astimezone(zone).utcoffset() == after:
            high = middle
        else:
            low = middle
    return high.replace(microsecond=0)


@lru_cache(maxsize=65536)
def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The instant (UTC) at which `day` begins in `zone`."""
    return instant_of(datetime.combine(day, time.min), zone)


def day_of(instant: datetime, zone: ZoneInfo) -> date:
    """The date in `zone` at an instant."""
    return instant.astimezone(zone).date()


def add_validity(instant: datetime, validity: Validity, zone: ZoneInfo) -> datetime:
    """`validity` after an instant on the wall clock of `zone`: 31 Jan 10:00 + P1M = 28 Feb 10:00 (SEMANTICS 6)."""
    wall = instant.astimezone(zone).replace(tzinfo=None)
    moved = datetime.combine(add_months(wall.date(), validity.months), wall.time()) + timedelta(days=validity.days)
    return instant_of(moved, zone)


@dataclass(frozen=True, slots=True)
class Calendar:
    """A membership's billing dates: where it starts, its anchor, and each move of the billing date.

    `moves` are (instant, new anchor) in the order in which they happened. Boundaries up to a move's
    instant stay; after it the calendar is the new anchor + k·F, k ≥ 0.
    """

    zone: ZoneInfo
    starts_on: date
    anchor: date
    moves: tuple[tuple[datetime, date], ...] = ()

    def boundaries(self, months: int) -> Iterator[date]:
        """boundary(0), boundary(1), … for a frequency in months; ascending, each once."""
        yield self.starts_on
        last = self.starts_on
        anchors = [self.anchor, *(anchor for _, anchor in self.moves)]
        since = [None, *(instant for instant, _ in self.moves)]
        for turn, anchor in enumerate(anchors):
            begin = since[turn]
            end = since[turn + 1] if turn + 1 < len(since) else None
            step = 0
            while (day := add_months(anchor, step * months)) <= LAST_DAY:
                step += 1
                if day <= last or (begin is not None and midnight(day, self.zone) <= begin):
                    continue
                if end is not None and midnight(day, self.zone) > end:
                    break
                yield day
                last = day

    def boundaries_past(self, months: int, day: date) -> list[date]:
        """All boundaries up to and including the first one after `day`."""
        known = _until_year(self, months, day.year + 1)
        return known[: bisect_right(known, day) + 1]

    def next_boundary(self, months: int, day: date) -> date:
        """The first boundary after `day`."""
        known = _until_year(self, months, day.year + 1)
        return known[bisect_right(known, day)]

    def next_boundary_after(self, months: int, instant: datetime) -> datetime:
        """The first boundary that begins after an instant, as an instant."""
        day = day_of(instant, self.zone)
        # Where clocks went back over midnight, the next date may have begun once already.
        while (begin := midnight(day := self.next_boundary(months, day), self.zone)) <= instant:
            pass
        return begin

    def period_of(self, months: int, day: date) -> tuple[date, date]:
        """The period [start, end) that `day` lies in; before the start it is the first one."""
        known = self.boundaries_past(months, max(day, self.starts_on))
        return known[-2], known[-1]


@lru_cache(maxsize=16384)
def _until_year(calendar: Calendar, months: int, year: int) -> list[date]:
    # Up to the first boundary past a year, so that memberships that share a calendar share the work.
    found: list[date] = []
    for day in calendar.boundaries(months):
        found.append(day)
        if day.year > year:
            break
    return found
