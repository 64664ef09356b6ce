"""How many a guard lets out: by number, by the busiest day, and over which hours (SEMANTICS 17)."""

from collections import Counter
from zoneinfo import ZoneInfo

import pytest

from issuance.database.connections import transaction
from issuance.engine import guard_limits, run_work
from tests.database.clubs import Club, at
from tests.database.guarding import guard, held, issued, reserve, small_batches, speak, sweeps

__all__ = ["small_batches"]


def test_the_window_is_of_24_hours(club: Club) -> None:
    """By `issued_at`: what went out a day before counts no more."""
    guard(club, 5)
    club.sign_up(5)
    club.move_clock("2031-02-01T11:59")
    club.sign_up(1, "2031-02-01")
    assert held(club)[0]["held"] == 1
    speak(club, "refuse")
    club.move_clock("2031-02-01T12:00")
    club.sign_up(4, "2031-02-01")
    assert held(club) == []


def test_a_guard_counts_what_went_out_before_it_was_set(club: Club) -> None:
    club.sign_up(5)
    guard(club, 6)
    club.sign_up(2)
    assert (issued(club), held(club)[0]["held"]) == (6, 1)


@pytest.mark.parametrize("moves", [("2031-02-28", "2031-03-31", "2031-03-31T20:00"), ("2031-03-31T20:00",)])
def test_times_its_busiest_day(club: Club, moves: tuple[str, ...]) -> None:
    """Of the last 35 days or its frequency's and five, today not among them; a younger rule is not limited by it. A day
    knows what went out on those before it, if a clock is moved over both at once too."""
    guard(club, times="2")
    club.sign_up(4)
    club.sign_up(40)
    assert held(club) == [], "it is younger than its window"
    for moment in moves:
        club.move_clock(moment)
        sweeps(club)
        assert held(club) == []
    with transaction(club.engine, club.brand_id) as connection:
        most = guard_limits.most(connection, club.brand_id, club.rule_id, at("2031-03-31T20:00"), ZoneInfo("UTC"))
    assert most == 88
    club.sign_up(50, "2031-03-31")
    assert (issued(club, "2031-03-31"), held(club)[0]["held"]) == (88, 6), "44 went out that midnight"


def test_what_never_went_out_makes_no_day_busier(club: Club) -> None:
    """After a batch that failed, the limit of the next weeks was twice what was said."""
    guard(club, times="2")
    club.sign_up(44)
    club.move_clock("2031-02-28")
    sweeps(club)
    reserve(club, "2031-02-28", 44)
    club.move_clock("2031-03-31T20:00")
    sweeps(club)
    club.sign_up(50, "2031-03-31")
    assert (issued(club, "2031-03-31"), held(club)[0]["held"]) == (88, 6)


def test_the_busiest_day_is_not_settled_on_before_all_days_before_it(club: Club) -> None:
    """An event settles some over a day that is still due for the others: what it finds of it is kept for nobody."""
    guard(club, times="2")
    club.sign_up(44)
    club.move_clock("2031-03-31T20:00")
    club.settle(club.members[:4])
    sweeps(club)
    club.sign_up(50, "2031-03-31")
    assert (issued(club, "2031-03-31"), held(club)[0]["held"]) == (88, 6)


def test_a_sweep_that_is_done_in_parts_goes_day_by_day_too(club: Club, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch fails once, as after a deadlock. Whoever is owed on the first day has it before anybody has a later
    day's."""
    club.sign_up(30)
    guard(club, 30)
    monkeypatch.setattr(run_work, "work_on_range", lambda *_: 1 / 0)
    club.move_clock("2031-04-02")
    sweeps(club)
    assert Counter(row[0].isoformat() for row in club.rows("SELECT period_start FROM credits")) == {
        "2031-01-31": 30,
        "2031-02-28": 30,
        "2031-03-31": 30,
    }
    days = [at.date().isoformat() for (at,) in club.rows("SELECT issued_at FROM credits ORDER BY credit_id")]
    assert days == sorted(days)


def test_setting_the_same_guard_again_changes_nothing(club: Club) -> None:
    """One entry in the audit for each change, none for what was so already; without a guard nothing is counted."""
    club.sign_up(3)
    for most in (5, 5, 7, None, None):
        guard(club, most)
    assert club.value("SELECT count(*) FROM audit_entries WHERE action = 'guard.updated'") == 3
    assert club.rows("SELECT * FROM guard_portions") == []
    club.sign_up(3)
    assert club.rows("SELECT * FROM guard_portions") == []


def test_portions_of_days_that_are_over_are_joined(club: Club) -> None:
    """As many credits as before, in fewer rows."""
    guard(club, 100)
    for _ in range(4):
        club.sign_up(2)
    club.move_clock("2031-02-03")
    before = club.value("SELECT sum(number) FROM guard_portions")
    with transaction(club.engine) as connection:
        guard_limits.compact(connection)
    assert (
        club.value("SELECT sum(number) FROM guard_portions"),
        club.value("SELECT count(*) FROM guard_portions"),
    ) == (
        before,
        1,
    )
