"""The calendar: boundaries, midnights and wall clocks in every zone (SEMANTICS 2)."""

# ruff: noqa: DTZ001 - a wall-clock time has no zone

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import count, islice, takewhile
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from issuance.deciding.calendar import Calendar, Move, add_months, add_validity, day_of, instant_of, midnight
from issuance.deciding.frequency import Interval, Validity

BERLIN, UTC_ZONE = ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")
MONTHLY, YEARLY = Interval(1, 0), Interval(12, 0)
ZONES = sorted(available_timezones())

days = st.dates(date(1999, 12, 1), date(2099, 12, 31))
months_of_a_frequency = st.sampled_from([1, 3, 6, 12])
zones = st.sampled_from(ZONES).map(ZoneInfo)


def billed(start: date, anchor: date, months: int) -> Calendar:
    """A calendar that was never moved."""
    return Calendar(BERLIN, start, anchor, Interval(months, 0))


def moved(day: date, months: int) -> date:
    """An independent `day + months`: the month is counted out, the day taken back until it exists."""
    year, month = day.year, day.month
    for _ in range(months // 12):
        year += 1
    for _ in range(months % 12):
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    for last in range(day.day, 0, -1):
        try:
            return date(year, month, last)
        except ValueError:
            continue
    raise AssertionError("every month has a first day")


@given(days, months_of_a_frequency, st.integers(0, 40))
def test_boundary_k_is_the_anchor_plus_k_turns(anchor: date, months: int, k: int) -> None:
    """boundary(k) = anchor + k·F in one step, clamped to the month's last day."""
    for calendar, every in ((billed(anchor, anchor, months), None), (billed(anchor, anchor, 1), Interval(months, 0))):
        assert list(islice(calendar.boundaries(every), k + 1))[k] == moved(anchor, k * months)


@given(days, st.integers(1, 52), st.integers(0, 40))
def test_weeks_are_counted_from_the_anchor(anchor: date, weeks: int, k: int) -> None:
    """boundary(k) = anchor + k·n weeks, on the anchor's day of the week."""
    calendar = Calendar(BERLIN, anchor, anchor, Interval(0, weeks))
    assert list(islice(calendar.boundaries(None), k + 1))[k] == anchor + timedelta(days=7 * weeks * k)


@given(days, st.integers(1, 800), months_of_a_frequency)
def test_a_later_anchor_is_the_first_boundary_after_the_start(start: date, later: int, months: int) -> None:
    """boundary(0) = starts_on and boundary(k) = anchor + (k-1)·F where the anchor is later."""
    anchor = start + timedelta(days=later)
    found = list(islice(billed(start, anchor, months).boundaries(None), 6))
    assert found == [start, *(moved(anchor, k * months) for k in range(5))]


def test_the_31st_does_not_drift() -> None:
    """31 Jan → 28 Feb → 31 Mar, never the previous boundary plus F."""
    found = islice(billed(date(2031, 1, 31), date(2031, 1, 31), 1).boundaries(None), 4)
    assert list(found) == [date(2031, 1, 31), date(2031, 2, 28), date(2031, 3, 31), date(2031, 4, 30)]


def test_a_leap_day_comes_back() -> None:
    """29 Feb + P1Y = 28 Feb, and 29 Feb again four years on."""
    found = islice(billed(date(2028, 2, 29), date(2028, 2, 29), 12).boundaries(None), 5)
    assert [day.isoformat()[5:] for day in found] == ["02-29", "02-28", "02-28", "02-28", "02-29"]


billing_intervals = st.sampled_from([Interval(1, 0), Interval(2, 0), Interval(12, 0), Interval(0, 1), Interval(0, 4)])
#: None: the billing period.
periods = st.sampled_from([None, Interval(1, 0), Interval(3, 0), Interval(6, 0), Interval(12, 0)])


@st.composite
def calendars(draw: st.DrawFn) -> Calendar:
    """Calendars whose billing date moved up to three times."""
    start = draw(st.dates(date(2020, 1, 1), date(2032, 12, 31)))
    anchor = start + timedelta(days=draw(st.integers(0, 400)))
    zone = draw(zones)
    instants = sorted(
        datetime.combine(start, time(), UTC) + timedelta(hours=hours)
        for hours in draw(st.lists(st.integers(-48, 24 * 900), max_size=3, unique=True))
    )
    moves = tuple(
        Move(at, start + timedelta(days=draw(st.integers(-400, 1200))), draw(billing_intervals)) for at in instants
    )
    return Calendar(zone, start, anchor, draw(billing_intervals), moves)


@given(calendars(), periods)
def test_boundaries_ascend(calendar: Calendar, every: Interval | None) -> None:
    """Every boundary is later than the one before it, from the start on, whatever moved."""
    found = list(islice(calendar.boundaries(every), 40))
    assert found[0] == calendar.starts_on
    assert found == sorted(set(found))


@given(calendars())
def test_a_move_keeps_what_was_and_replaces_what_comes(calendar: Calendar) -> None:
    """Billing dates up to the last move's instant stay; to them come the new anchor + k·F from its own date on."""
    if not calendar.moves:
        return
    move = calendar.moves[-1]
    before = replace(calendar, moves=calendar.moves[:-1])
    last_year = max(move.at.year, move.anchor.year, calendar.anchor.year) + 3

    def until(which: Calendar) -> list[date]:
        return [day for day in islice(which.boundaries(None), 800) if day.year <= last_year]

    def turn(k: int) -> date:
        weeks = timedelta(days=7 * move.billing.weeks * k)
        return move.anchor + weeks if move.billing.weeks else moved(move.anchor, k * move.billing.months)

    today = move.at.astimezone(calendar.zone).date()
    kept = {day for day in until(before) if midnight(day, calendar.zone) <= move.at or day == calendar.starts_on}
    turns = takewhile(lambda day: day.year <= last_year, map(turn, count()))
    fresh = {day for day in turns if day >= today and day > calendar.starts_on}
    assert until(calendar) == sorted(kept | fresh)


def test_a_slower_rule_keeps_its_rhythm_when_the_date_is_moved() -> None:
    """A yearly rule on monthly billing: its next turn is the first new billing date once its year is over, and a 31st
    comes back after a shorter month."""
    start = date(2030, 3, 15)
    calendar = Calendar(UTC_ZONE, start, start, Interval(1, 0), (Move(noon(2030, 9, 10), date(2030, 8, 31), MONTHLY),))
    assert list(islice(calendar.boundaries(Interval(12, 0)), 3)) == [start, date(2031, 3, 31), date(2032, 3, 31)]
    half_yearly = islice(calendar.boundaries(Interval(6, 0)), 4)
    assert list(half_yearly) == [start, date(2030, 9, 30), date(2031, 3, 31), date(2031, 9, 30)]


def test_a_faster_rule_goes_by_the_new_anchor_at_once() -> None:
    """A monthly rule on yearly billing has the new date in the very month."""
    start = date(2030, 3, 15)
    calendar = Calendar(UTC_ZONE, start, start, Interval(12, 0), (Move(noon(2030, 4, 10), date(2030, 4, 20), YEARLY),))
    found = list(islice(calendar.boundaries(Interval(1, 0)), 3))
    assert found == [start, date(2030, 4, 20), date(2030, 5, 20)]


def test_a_date_moved_to_its_own_day_begins_at_the_move() -> None:
    """That date included; it counts from the move's time, and one that was there before from its midnight."""
    start = date(2030, 3, 15)
    calendar = Calendar(UTC_ZONE, start, start, MONTHLY, (Move(noon(2030, 4, 10), date(2030, 4, 10), MONTHLY),))
    assert calendar.is_boundary(None, date(2030, 4, 10))
    assert calendar.begins_at(None, date(2030, 4, 10)) == noon(2030, 4, 10)
    again = replace(calendar, moves=(Move(noon(2030, 4, 15), date(2030, 4, 15), MONTHLY),))
    assert again.begins_at(None, date(2030, 4, 15)) == midnight(date(2030, 4, 15), UTC_ZONE)


def noon(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, 12, tzinfo=UTC)


@given(calendars(), periods, st.integers(-10, 1500))
def test_next_boundary_and_period_agree_with_the_boundaries(
    calendar: Calendar, every: Interval | None, later: int
) -> None:
    """The three ways to ask the calendar tell the same dates."""
    day = calendar.starts_on + timedelta(days=later)
    found = list(islice(calendar.boundaries(every), 600))
    after = next(boundary for boundary in found if boundary > day)
    assert calendar.next_boundary(every, day) == after
    assert calendar.boundaries_past(every, day) == found[: found.index(after) + 1]
    if day >= calendar.starts_on:
        start, end = calendar.period_of(every, day)
        assert start <= day < end == after
    else:
        assert calendar.period_of(every, day) == (found[0], found[1])


@given(calendars(), periods, st.integers(0, 24 * 400))
def test_the_next_boundary_after_an_instant_has_not_begun(
    calendar: Calendar, every: Interval | None, hours: int
) -> None:
    """next_boundary_after is the first boundary that begins to count after the instant, never at or before it."""
    instant = midnight(calendar.starts_on, calendar.zone) + timedelta(hours=hours)
    begins = [calendar.begins_at(every, day) for day in islice(calendar.boundaries(every), 100)]
    assert calendar.next_boundary_after(every, instant) == next(begin for begin in begins if begin > instant)


def first_reached(local: datetime, zone: ZoneInfo) -> datetime:
    """An independent oracle: the first instant at which the wall clock shows `local` or has jumped past it.

    It watches the clock minute by minute, then second by second.
    """
    watched = local.replace(tzinfo=UTC) - timedelta(hours=26)
    for step in (timedelta(minutes=1), timedelta(seconds=1)):
        while watched.astimezone(zone).replace(tzinfo=None) < local:
            watched += step
        watched -= step
    return watched + timedelta(seconds=1)


@st.composite
def walls(draw: st.DrawFn) -> tuple[datetime, ZoneInfo]:
    """Wall-clock times, half of them on a day on which the zone's offset changes."""
    zone = draw(zones)
    day = draw(st.dates(date(1930, 1, 1), date(2150, 1, 1)))
    if draw(st.booleans()):
        for later in range(366):
            noon = datetime.combine(day + timedelta(days=later), time(12), zone)
            if noon.utcoffset() != (noon + timedelta(days=1)).utcoffset():
                day = noon.date() + timedelta(days=draw(st.integers(0, 1)))
                break
    minutes = draw(st.one_of(st.just(0), st.integers(0, 24 * 60 - 1)))
    return datetime.combine(day, time()) + timedelta(minutes=minutes), zone


@given(walls())
@example((datetime(2020, 3, 29), ZoneInfo("Asia/Beirut")))
@example((datetime(2024, 4, 26), ZoneInfo("Africa/Cairo")))
@example((datetime(2023, 3, 12, 0, 30), ZoneInfo("America/Havana")))
@example((datetime(2023, 11, 5), ZoneInfo("America/Havana")))
@example((datetime(2007, 11, 4), ZoneInfo("America/St_Johns")))
@example((datetime(2011, 12, 30), ZoneInfo("Pacific/Apia")))
@example((datetime(2031, 3, 30, 2, 30), BERLIN))
@example((datetime(2031, 10, 26, 2, 30), BERLIN))
def test_a_wall_clock_time_is_the_first_instant_that_reaches_it(wall: tuple[datetime, ZoneInfo]) -> None:
    """A time that a gap skips is the first instant after the gap; one that happens twice is the first of the two."""
    local, zone = wall
    assert instant_of(local, zone) == first_reached(local, zone)


@pytest.mark.parametrize(
    ("zone", "day", "instant"),
    [
        ("Asia/Beirut", date(2020, 3, 29), "2020-03-28T22:00:00Z"),  # 00:00 is skipped: 01:00 is first
        ("Africa/Cairo", date(2024, 4, 26), "2024-04-25T22:00:00Z"),
        ("America/Havana", date(2023, 11, 5), "2023-11-05T04:00:00Z"),  # 00:00 happens twice
        ("Europe/Berlin", date(2031, 3, 30), "2031-03-29T23:00:00Z"),
        ("Asia/Kathmandu", date(2031, 1, 1), "2030-12-31T18:15:00Z"),
    ],
)
def test_a_date_begins_at_local_midnight(zone: str, day: date, instant: str) -> None:
    """A date becomes an instant at local midnight, in a gap just after it, in a fold at the first."""
    assert midnight(day, ZoneInfo(zone)) == datetime.fromisoformat(instant)


def test_every_zones_days_begin_in_order() -> None:
    """In each zone there is, the days of a year begin one after the other, and each holds its own midnight."""
    sampled = [date(2031, 1, 1) + timedelta(days=n) for n in range(0, 365, 7)]
    for name in ZONES:
        zone = ZoneInfo(name)
        begins = [midnight(day, zone) for day in sampled]
        assert begins == sorted(set(begins)), name
        assert [day_of(begin, zone) for begin in begins] == sampled, name


@given(walls(), st.integers(0, 400), st.integers(0, 400))
def test_a_validity_runs_on_the_wall_clock(wall: tuple[datetime, ZoneInfo], months: int, days: int) -> None:
    """Months and then days after an instant, at the same time of day, wherever the clocks change between."""
    instant = instant_of(*wall)
    shown = instant.astimezone(wall[1]).replace(tzinfo=None)
    expected = datetime.combine(moved(shown.date(), months), shown.time()) + timedelta(days=days)
    assert add_validity(instant, Validity(months, days), wall[1]) == first_reached(expected, wall[1])


def test_a_day_over_a_clock_change_is_23_or_25_hours() -> None:
    """P1D over a DST change is 23 or 25 hours, and 31 Jan 10:00 + P1M is 28 Feb 10:00."""
    spring, autumn = datetime(2031, 3, 29, 11, tzinfo=UTC), datetime(2031, 10, 25, 10, tzinfo=UTC)
    assert add_validity(spring, Validity(0, 1), BERLIN) - spring == timedelta(hours=23)
    assert add_validity(autumn, Validity(0, 1), BERLIN) - autumn == timedelta(hours=25)
    january = datetime(2031, 1, 31, 9, tzinfo=UTC)
    assert add_validity(january, Validity(1, 0), BERLIN) == datetime(2031, 2, 28, 9, tzinfo=UTC)


@given(days, st.integers(0, 2400))
def test_months_are_added_in_one_step(day: date, months: int) -> None:
    """add_months agrees with counting the months out by hand."""
    assert add_months(day, months) == moved(day, months)
