"""Dates, the brand's zone, and the boundaries of periods (SEMANTICS 2).

Periods are dates in the brand's zone; a date becomes an instant at local midnight. All instants are
aware datetimes in UTC.
"""

from bisect import bisect_left, bisect_right
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from issuance.deciding.frequency import Interval, Validity

#: No calendar runs past this: it bounds every loop over boundaries.
LAST_DAY = date(2999, 12, 31)
_DAY = timedelta(days=1)


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


def before_validity(instant: datetime, validity: Validity, zone: ZoneInfo) -> datetime:
    """`validity` before an instant on the wall clock of `zone` (SEMANTICS 19)."""
    wall = instant.astimezone(zone).replace(tzinfo=None)
    moved = datetime.combine(add_months(wall.date(), -validity.months), wall.time()) - timedelta(days=validity.days)
    return instant_of(moved, zone)


@dataclass(frozen=True, slots=True)
class Move:
    """A move of the billing date: when it happened, the new anchor, and how often it is billed from then on."""

    at: datetime
    anchor: date
    billing: Interval


@dataclass(frozen=True, slots=True)
class Calendar:
    """A membership's billing dates, and those of rules: where it starts, its anchor, and each move of the billing date.

    `every` is a rule's period, None the billing period. `moves` are in the order in which they happened. A move keeps
    the boundaries up to its instant. From its own date on, the boundaries are the new anchor + k·F, k ≥ 0.
    """

    zone: ZoneInfo
    starts_on: date
    anchor: date
    billing: Interval
    moves: tuple[Move, ...] = ()

    @property
    def billing_now(self) -> Interval:
        """The billing period since the last move."""
        return self.moves[-1].billing if self.moves else self.billing

    @property
    def anchor_now(self) -> date:
        """The anchor as last moved."""
        return self.moves[-1].anchor if self.moves else self.anchor

    def as_it_stood(self, instant: datetime) -> "Calendar":
        """The calendar with the moves up to an instant."""
        moves = tuple(move for move in self.moves if move.at <= instant)
        return self if len(moves) == len(self.moves) else replace(self, moves=moves)

    def boundaries(self, every: Interval | None) -> Iterator[date]:
        """boundary(0), boundary(1), …; ascending, each once."""
        yield self.starts_on
        last = self.starts_on
        dates = _dates(self.anchor, every or self.billing, last + _DAY)
        for move in self.moves:
            running_ends: date | None = None
            for day in dates:
                if midnight(day, self.zone) > move.at:
                    running_ends = day
                    break
                if day > last:
                    yield day
                    last = day
            first = max(day_of(move.at, self.zone), self.starts_on + _DAY)
            if running_ends is None or every is None or every.mean_days <= move.billing.mean_days:
                dates = _dates(move.anchor, every or move.billing, first)
            else:
                dates = _keeping_rhythm(move, every, max(first, running_ends))
        for day in dates:
            if day > last:
                yield day
                last = day

    def boundaries_past(self, every: Interval | None, day: date) -> list[date]:
        """All boundaries up to and including the first one after `day`."""
        known = _until_year(self, every, day.year + 1)
        return known[: bisect_right(known, day) + 1]

    def number_within(self, every: Interval | None, start: date, end: date) -> int:
        """How many boundaries lie in [start, end)."""
        known = _until_year(self, every, end.year)
        return bisect_left(known, end) - bisect_left(known, start)

    def is_boundary(self, every: Interval | None, day: date) -> bool:
        """Whether a period begins on `day`."""
        return self.number_within(every, day, day + _DAY) == 1

    def next_boundary(self, every: Interval | None, day: date) -> date:
        """The first boundary after `day`."""
        known = _until_year(self, every, day.year + 1)
        return known[bisect_right(known, day)]

    def nearest_boundary(self, day: date) -> date:
        """The billing boundary nearest to `day`; of two the later."""
        *_, before, after = [None, *self.boundaries_past(None, day)]
        assert after is not None, "there is a boundary after any day"
        return before if before is not None and day - before < after - day else after

    def begins_at(self, every: Interval | None, boundary: date) -> datetime:
        """The instant at which a boundary begins to count: midnight, or the instant of the move that made its own day a
        boundary."""
        begin = midnight(boundary, self.zone)
        for number, move in enumerate(self.moves):
            if begin < move.at and day_of(move.at, self.zone) == boundary:
                before, after = (replace(self, moves=self.moves[:end]) for end in (number, number + 1))
                if before.is_boundary(every, boundary):
                    break
                if after.is_boundary(every, boundary):
                    return move.at
        return begin

    def next_boundary_after(self, every: Interval | None, instant: datetime) -> datetime:
        """The first boundary that begins to count after an instant, as an instant."""
        # The date of a move may have begun before it; and where clocks went back over midnight, the next date before
        # this one is over.
        day = day_of(instant, self.zone) - _DAY
        while (begin := self.begins_at(every, day := self.next_boundary(every, day))) <= instant:
            pass
        return begin

    def period_of(self, every: Interval | None, day: date) -> tuple[date, date]:
        """The period [start, end) that `day` lies in; before the start it is the first one."""
        known = self.boundaries_past(every, max(day, self.starts_on))
        return known[-2], known[-1]


def add(day: date, interval: Interval, times: int) -> date:
    """`day` moved by some intervals in one step."""
    if interval.weeks:
        return day + timedelta(weeks=interval.weeks * times)
    return add_months(day, interval.months * times)


def _dates(anchor: date, every: Interval, first: date) -> Iterator[date]:
    """anchor + k·every, k ≥ 0, from `first` on."""
    step = _steps_before(anchor, every, first)
    while (day := add(anchor, every, step)) <= LAST_DAY:
        step += 1
        if day >= first:
            yield day


def _keeping_rhythm(move: Move, every: Interval, first: date) -> Iterator[date]:
    """The dates of a rule that is slower than the billing. The first is the first billing date on or after `first`, the
    others follow in the rule's own period. They are counted from the anchor, so that a 31st comes back."""
    steps = _steps_before(move.anchor, move.billing, first)
    while (start := add(move.anchor, move.billing, steps)) < first:
        steps += 1
    anchor, ahead = (start, 0) if move.billing.weeks else (move.anchor, move.billing.months * steps)
    step = 0
    while (day := add_months(anchor, ahead + every.months * step)) <= LAST_DAY:
        step += 1
        yield day


def _steps_before(anchor: date, every: Interval, first: date) -> int:
    """A number of steps from the anchor that ends before `first`, by at most a few; 0 if it is ahead."""
    return max(int((first - anchor).days / every.mean_days) - 2, 0)


@lru_cache(maxsize=16384)
def _until_year(calendar: Calendar, every: Interval | None, year: int) -> list[date]:
    # Up to the first boundary past a year, so that memberships that share a calendar share the work.
    found: list[date] = []
    for day in calendar.boundaries(every):
        found.append(day)
        if day.year > year:
            break
    return found
