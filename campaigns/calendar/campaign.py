"""The product's calendar asked the same questions as the oracles."""

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

import psycopg

from campaigns.calendar import oracle
from issuance.deciding.calendar import Calendar, add_months, add_validity, day_of, instant_of, midnight
from issuance.deciding.frequency import BillingFrequency, Validity

FIRST_YEAR, LAST_YEAR = 2000, 2037
#: Triples a question to PostgreSQL.
BATCH = 10_000
_EPOCH = date(1970, 1, 1)
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

_MONTHS_LATER = """
    SELECT CAST(anchor + make_interval(months => months) AS date)
      FROM unnest(%s::date[], %s::integer[]) WITH ORDINALITY AS asked (anchor, months, place) ORDER BY place
"""
# PostgreSQL says what clocks on the wall show; the first instant at which they show it is looked for here: they do
# at that instant, and neither a second before nor at any quarter of an hour of the six hours before it. By its
# setting, because names such as CET are abbreviations to AT TIME ZONE, without summer time.
_IN_ZONE = "SELECT set_config('timezone', %s, false)"
_NOT_THE_FIRST = """
    SELECT place
      FROM unnest(%s::timestamp[], %s::timestamptz[]) WITH ORDINALITY AS asked (wall, instant, place)
     WHERE instant::timestamp < wall
        OR (instant - interval '1 s')::timestamp >= wall
        OR EXISTS (SELECT FROM generate_series(instant - interval '6 h', instant - interval '1 s', '15 min') earlier
                    WHERE earlier::timestamp >= wall)
     ORDER BY place
"""
_WALL_LATER = """
    SELECT instant::timestamp + make_interval(months => months, days => days)
      FROM unnest(%s::timestamptz[], %s::integer[], %s::integer[])
           WITH ORDINALITY AS asked (instant, months, days, place)
     ORDER BY place
"""


#: Weeks never clamp: months and years do.
MONTHLY = ["P1M", "P3M", "P6M", "P1Y", "P2M", "P5M", "P18M", "P36M", "P2Y", "P3Y"]
MONTH = BillingFrequency.parse("P1M").interval


class Triple(NamedTuple):
    """Which boundary: boundary(n) of a membership that starts on a date, with an anchor and a frequency."""

    starts_on: date
    anchor: date
    frequency: BillingFrequency
    n: int


@dataclass
class Report:
    """What was asked, and where the product said something else than an oracle."""

    triples: int = 0
    zones: int = 0
    changes: int = 0
    instants: int = 0
    wrong: list[str] = field(default_factory=list)


def triples(seed: int, count: int) -> Iterator[Triple]:
    """Random triples; half of the anchors lie at a month's end, where clamping shows."""
    chance = random.Random(seed)
    for _ in range(count):
        year, month = chance.randint(1900, 2199), chance.randint(1, 12)
        last = oracle.length_of(year, month)
        anchor = date(year, month, chance.randint(28, last) if chance.random() < 0.5 else chance.randint(1, last))
        before = chance.choice((0, 0, 1, 27, 28, 29, 30, 31, chance.randint(1, 400)))
        frequency = BillingFrequency.parse(chance.choice(MONTHLY))
        n = chance.randint(0, 12) if chance.random() < 0.5 else chance.randint(0, 600 // frequency.interval.months)
        yield Triple(anchor - timedelta(days=before), anchor, frequency, n)


def check_triples(connection: psycopg.Connection, asked: Sequence[Triple], report: Report) -> None:
    """boundary(n), and that the calendar has it as its nth date and finds the next one after it."""
    steps = [triple.n if triple.starts_on == triple.anchor else triple.n - 1 for triple in asked]
    months = [step * triple.frequency.interval.months for step, triple in zip(steps, asked, strict=True)]
    rows = connection.execute(_MONTHS_LATER, ([triple.anchor for triple in asked], months)).fetchall()
    for triple, step, moved, (postgres,) in zip(asked, steps, months, rows, strict=True):
        report.triples += 1
        anchor, starts_on, frequency, n = triple.anchor, triple.starts_on, triple.frequency, triple.n
        expected = starts_on if step < 0 else postgres
        scratch = date(*oracle.later(anchor.year, anchor.month, anchor.day, moved))
        calendar = Calendar(ZoneInfo("UTC"), starts_on, anchor, frequency.interval)
        here, following = itertools.islice(calendar.boundaries(None), n, n + 2)
        after = date(*oracle.later(anchor.year, anchor.month, anchor.day, moved + frequency.interval.months))
        said = (add_months(anchor, moved), here, following)
        if scratch != postgres or said != (postgres, expected, after):
            report.wrong.append(f"{triple}: {said}, PostgreSQL {postgres}, from scratch {scratch} then {after}")


def zones() -> list[str]:
    """Every IANA zone."""
    return sorted(available_timezones() - {"localtime", "posixrules", "Factory"})


def check_zone(connection: psycopg.Connection, name: str, changes: Sequence[int], report: Report) -> None:
    """What the product makes of dates and wall-clock times around some of a zone's changes."""
    connection.execute(_IN_ZONE, (name,))
    report.zones += 1
    report.changes += len(changes)
    zone, scratch = ZoneInfo(name), oracle.zone_of(name)
    walls: list[datetime] = []
    found: list[datetime] = []
    for change in changes:
        _check_dates(name, zone, scratch, change, report)
        for wall in _walls(scratch, change):
            local = _local(wall)
            instant = midnight(local.date(), zone) if local.hour == local.minute == local.second == 0 else None
            instant = instant or instant_of(local, zone)
            _compare(report, f"{name}: the first {local}", instant, _instant(scratch.first(wall)))
            walls.append(local)
            found.append(instant)
    later = _validities(connection, zone, scratch, changes, report)
    walls += [wall for wall, _ in later]
    found += [instant for _, instant in later]
    report.instants += len(walls)
    for (place,) in connection.execute(_NOT_THE_FIRST, (walls, found)).fetchall():
        report.wrong.append(f"{name}: {found[place - 1]} is not the first {walls[place - 1]}, says PostgreSQL")


def _check_dates(name: str, zone: ZoneInfo, scratch: oracle.Zone, change: int, report: Report) -> None:
    """The date at an instant, and the first boundary after it: of an anchor long ago, and of that very date."""
    for instant in (change - 1, change, change + 1, change + 86_399):
        today = _date(scratch.wall(instant) // oracle.DAY)
        _compare(report, f"{name}: the date at {_instant(instant)}", day_of(_instant(instant), zone), today)
        for anchor in (today - timedelta(days=70), today):
            begins = (scratch.first(_number(boundary) * oracle.DAY) for boundary in _monthly(anchor))
            expected = next(begin for begin in begins if begin > instant)
            said = Calendar(zone, anchor, anchor, MONTH).next_boundary_after(None, _instant(instant))
            _compare(report, f"{name}: {anchor}'s boundary after {_instant(instant)}", said, _instant(expected))


def _monthly(anchor: date) -> Iterator[date]:
    for months in itertools.count():
        yield date(*oracle.later(anchor.year, anchor.month, anchor.day, months))


def _walls(scratch: oracle.Zone, change: int) -> list[int]:
    """Wall-clock times around a change: midnights of the days about it, its edges and its middle."""
    before, after = change + scratch.offset(change - 1), change + scratch.offset(change)
    today = before // oracle.DAY
    edges = {edge + by for edge in (before, after) for by in (-1800, -1, 0, 1, 1800)} | {(before + after) // 2}
    return sorted({(today + by) * oracle.DAY for by in (-1, 0, 1, 2)} | edges)


def _validities(
    connection: psycopg.Connection,
    zone: ZoneInfo,
    scratch: oracle.Zone,
    changes: Sequence[int],
    report: Report,
) -> list[tuple[datetime, datetime]]:
    """Validities that end about a change: the wall-clock time that PostgreSQL computes, and our instant for it."""
    asked = [(_instant(change - 28 * oracle.DAY), 1, 0) for change in changes]
    for change in changes:
        before, after = change + scratch.offset(change - 1), change + scratch.offset(change)
        for wall, days in itertools.product((before, (before + after) // 2), (1, 7)):
            asked.append((_instant(scratch.first(wall - days * oracle.DAY)), 0, days))
    if not asked:
        return []
    columns = tuple(list(column) for column in zip(*asked, strict=True))
    rows = connection.execute(_WALL_LATER, columns).fetchall()
    later = []
    for (instant, months, days), (wall,) in zip(asked, rows, strict=True):
        said = add_validity(instant, Validity(months, days), zone)
        day, seconds = divmod(scratch.wall(round((instant - _BEGINNING).total_seconds())), oracle.DAY)
        moved = _date(day) + timedelta(days=days)
        moved = date(*oracle.later(moved.year, moved.month, moved.day, months))
        expected = scratch.first(_number(moved) * oracle.DAY + seconds)
        _compare(report, f"{zone.key}: {instant} + P{months}M{days}D", said, _instant(expected))
        later.append((wall, said))
    return later


def _compare(report: Report, what: str, said: object, expected: object) -> None:
    if said != expected:
        report.wrong.append(f"{what}: {said}, from scratch {expected}")


def _instant(seconds: int) -> datetime:
    return _BEGINNING + timedelta(seconds=seconds)


def _local(seconds: int) -> datetime:
    return _instant(seconds).replace(tzinfo=None)


def _date(number: int) -> date:
    return _EPOCH + timedelta(days=number)


def _number(day: date) -> int:
    return (day - _EPOCH).days
