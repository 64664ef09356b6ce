"""Dates and instants of a brand (SEMANTICS 2 and 6), in the slowest and plainest way."""

from __future__ import annotations

import calendar
import re
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

MONTHS = {"P1M": 1, "P3M": 3, "P6M": 6, "P1Y": 12}
STEP = timedelta(minutes=15)


@cache
def plus_months(day: date, months: int) -> date:
    """`day` plus whole months in one step, clamped to the month's last day."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


@cache
def midnight(timezone: str, day: date) -> datetime:
    """The first instant whose local date is `day` or later: gaps and doubled midnights need no case of their own."""
    zone = ZoneInfo(timezone)
    instant = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=30)
    while instant.astimezone(zone).date() < day:
        instant += STEP
    return instant


def at_wall_clock(timezone: str, wall: datetime) -> datetime:
    """The first instant at which the wall clock shows `wall`; one in a gap is the first instant after the gap."""
    zone = ZoneInfo(timezone)
    instant = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == wall:
        return instant
    floor = instant - timedelta(hours=4)
    floor -= timedelta(minutes=floor.minute % 15, seconds=floor.second, microseconds=floor.microsecond)
    while floor.astimezone(zone).replace(tzinfo=None) < wall:
        floor += STEP
    return floor


def local_date(timezone: str, instant: datetime) -> date:
    return instant.astimezone(ZoneInfo(timezone)).date()


def plus_validity(timezone: str, instant: datetime, validity: str) -> datetime:
    """A coupon's `validity` after `instant`: years and months, then weeks and days, on the brand's wall clock."""
    found = re.fullmatch(r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?", validity)
    assert found, validity
    years, months, weeks, days = (int(part or 0) for part in found.groups())
    wall = instant.astimezone(ZoneInfo(timezone)).replace(tzinfo=None)
    day = plus_months(wall.date(), years * 12 + months) + timedelta(weeks=weeks, days=days)
    return at_wall_clock(timezone, datetime.combine(day, wall.time()))
