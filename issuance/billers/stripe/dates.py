"""Stripe's instants as dates of a membership: in the brand's zone, snapped to the membership's boundaries.

Stripe keeps the UTC time of an anchor for ever, so that its local date changes with daylight saving: an anchor of
22:30Z is another date in summer. The periods of a membership keep their dates, and April's money must pay April.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from issuance.billers.stripe.payloads import instant
from issuance.deciding.calendar import Calendar, Move, add, day_of, midnight
from issuance.deciding.frequency import BillingFrequency

_DAY = 86_400
#: How far an instant may be from a turn of an anchor and still count as that turn: clocks change.
_SAME_TIME = timedelta(hours=2, minutes=1)
_ONE_DAY = timedelta(days=1)


class Dates(NamedTuple):
    """When a membership is billed, as it was told: the calendar, and Stripe's own anchors, each with its frequency."""

    calendar: Calendar
    anchors: tuple[tuple[int, str], ...]

    def of(self, stamp: int) -> date:
        """The date of one of Stripe's instants: the boundary next to it, where it is a turn of an anchor."""
        day = day_of(instant(stamp), self.calendar.zone)
        if not any(is_turn(stamp, anchor, frequency) for anchor, frequency in self.anchors):
            return day
        nearest = self.calendar.nearest_boundary(day) if day > self.calendar.starts_on else self.calendar.starts_on
        return nearest if abs(nearest - day) <= _ONE_DAY else day

    def instant_of(self, stamp: int) -> int:
        """The instant at which something happened that belongs to a period: within that period's dates."""
        day, zone = self.of(stamp), self.calendar.zone
        first, next_day = (seconds(midnight(one, zone)) for one in (day, day + _ONE_DAY))
        return min(max(stamp, first), next_day - 1)


def dates_of(item: Mapping[str, Any], zone: ZoneInfo) -> Dates:
    """The dates of an item that has signed up, by its note."""
    moves = tuple((at, anchor, frequency) for at, anchor, frequency in sorted(item["moves"]))
    anchors = tuple((stamp, frequency) for stamp, frequency in item["anchors"])
    _, starts, anchor = item["start"]
    return Dates(_calendar(zone, starts, anchor, item["frequency"], moves), anchors)


@lru_cache(maxsize=16384)
def _calendar(
    zone: ZoneInfo, starts: str, anchor: str, frequency: str, moves: tuple[tuple[int, str, str], ...]
) -> Calendar:
    return Calendar(
        zone,
        date.fromisoformat(starts),
        date.fromisoformat(anchor),
        BillingFrequency.parse(frequency).interval,
        tuple(
            Move(instant(at), date.fromisoformat(day), BillingFrequency.parse(every).interval)
            for at, day, every in moves
        ),
    )


@lru_cache(maxsize=16384)
def is_turn(stamp: int, anchor: int, frequency: str) -> bool:
    """Whether an instant is the anchor plus some periods, as Stripe counts them: in UTC."""
    interval, first = BillingFrequency.parse(frequency).interval, instant(anchor)
    near = round((stamp - anchor) / _DAY / interval.mean_days)
    turns = (datetime.combine(add(first.date(), interval, step), first.timetz()) for step in (near - 1, near, near + 1))
    return any(abs(instant(stamp) - turn) <= _SAME_TIME for turn in turns)


def first_anchor(starts_on: date, anchor: date, frequency: str) -> date:
    """The first turn of an anchor that is not before the start."""
    return next(day for day in _turns(anchor, frequency, starts_on) if day >= starts_on)


def _turns(anchor: date, frequency: str, first: date) -> Iterator[date]:
    interval = BillingFrequency.parse(frequency).interval
    step = max(int((first - anchor).days / interval.mean_days) - 2, 0)
    while True:
        yield add(anchor, interval, step)
        step += 1


def is_within_a_period(starts_on: date, anchor: date, frequency: str) -> bool:
    """Whether an anchor lies in the first period, where Stripe lets people choose it."""
    return anchor <= add(starts_on, BillingFrequency.parse(frequency).interval, 1) + timedelta(days=3)


def seconds(moment: datetime) -> int:
    """An instant as Stripe's seconds."""
    return int(moment.astimezone(UTC).timestamp())
