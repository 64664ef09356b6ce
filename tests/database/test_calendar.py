"""A share of the calendar campaign (`./run python -m campaigns.calendar`), and what keeps its oracle honest."""

import random
import zoneinfo
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import psycopg
import pytest
from sqlalchemy import make_url

from campaigns.calendar import campaign, oracle
from campaigns.calendar.campaign import Report

#: Of a zone's changes, so many in the suite.
CHANGES_A_ZONE = 2


@pytest.fixture(scope="module")
def postgres(database_url: str, direct: Callable[[str], str]) -> Iterator[psycopg.Connection]:
    """Past a pooler: the oracle's zone is its session's."""
    plain = make_url(direct(database_url)).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain) as connection:
        yield connection


def seconds(year: int, month: int, day: int, hour: int, minute: int = 0) -> int:
    return oracle.number_of(year, month, day) * oracle.DAY + hour * 3600 + minute * 60


def test_boundaries_are_what_both_oracles_say(postgres: psycopg.Connection) -> None:
    """boundary(n) is anchor + n·F in one step, clamped to the month's last day: for ten thousand random triples."""
    report = Report()
    campaign.check_triples(postgres, list(campaign.triples(seed=5, count=10_000)), report)
    assert report.wrong == []
    assert report.triples == 10_000


def test_clock_changes_are_what_both_oracles_say(postgres: psycopg.Connection) -> None:
    """Midnights, wall-clock times and validities around some changes of clocks of every zone there is."""
    report, chance = Report(), random.Random(5)
    for name in campaign.zones():
        changes = oracle.zone_of(name).changes(campaign.FIRST_YEAR, campaign.LAST_YEAR)
        some = chance.sample(changes, min(len(changes), CHANGES_A_ZONE))
        campaign.check_zone(postgres, name, some, report)
    assert report.wrong == []
    assert report.zones > 500
    assert report.changes > 500


def test_zones_are_the_pinned_ones() -> None:
    """The rules of zones are the package's on every host: one whose own files are old must not decide otherwise."""
    assert zoneinfo.TZPATH == ()


@pytest.mark.parametrize(
    ("zone", "wall", "first"),
    [
        # Clocks go from 24:00 to 01:00: the day begins at one.
        ("America/Sao_Paulo", seconds(2018, 11, 4, 0), datetime(2018, 11, 4, 3, tzinfo=UTC)),
        # Clocks go back over midnight, which happens twice: the first counts.
        ("America/Havana", seconds(2019, 11, 3, 0, 30), datetime(2019, 11, 3, 4, 30, tzinfo=UTC)),
        # A day that was left out begins when the next one does.
        ("Pacific/Apia", seconds(2011, 12, 30, 0), datetime(2011, 12, 30, 10, tzinfo=UTC)),
        # Half an hour.
        ("Australia/Lord_Howe", seconds(2037, 10, 4, 2, 10), datetime(2037, 10, 3, 15, 30, tzinfo=UTC)),
    ],
)
def test_the_oracle_knows_hard_days(zone: str, wall: int, first: datetime) -> None:
    """Days worked out by hand, so that the oracle that was written from scratch is not believed blindly."""
    assert oracle.zone_of(zone).first(wall) == first.timestamp()


@pytest.mark.parametrize(
    ("day", "months", "expected"),
    [
        ((2031, 1, 31), 1, (2031, 2, 28)),
        ((2031, 1, 31), 2, (2031, 3, 31)),
        ((2028, 2, 29), 12, (2029, 2, 28)),
        ((2028, 2, 29), 48, (2032, 2, 29)),
        ((2096, 2, 29), 48, (2100, 2, 28)),
        ((1999, 12, 31), 2, (2000, 2, 29)),
    ],
)
def test_the_oracle_clamps(day: tuple[int, int, int], months: int, expected: tuple[int, int, int]) -> None:
    """The examples of SEMANTICS 2, and a century that is no leap year."""
    assert oracle.later(*day, months) == expected


@pytest.mark.parametrize("fault", ["clamp", "zone"])
def test_a_wrong_calendar_is_caught(postgres: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """The campaign finds a boundary that is a day off, and a midnight that takes the second of two."""
    report = Report()
    faults: dict[str, Callable[[], None]] = {
        "clamp": lambda: monkeypatch.setattr(campaign, "add_months", lambda day, _: day),
        "zone": lambda: monkeypatch.setattr(
            campaign, "instant_of", lambda local, zone: local.replace(tzinfo=zone, fold=1).astimezone(UTC)
        ),
    }
    faults[fault]()
    campaign.check_triples(postgres, list(campaign.triples(seed=1, count=100)), report)
    changes = oracle.zone_of("Europe/Lisbon").changes(2030, 2031)
    campaign.check_zone(postgres, "Europe/Lisbon", changes, report)
    assert report.wrong
