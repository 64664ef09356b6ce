"""What a guard held is let out or refused by a person, as it is decided then (SEMANTICS 17)."""

from collections.abc import Callable

import pytest

from issuance.catalog import rules
from issuance.database.connections import transaction
from issuance.engine import held_rules
from issuance.errors import NotFound, NotHeld
from tests.database.clubs import Club, at
from tests.database.guarding import guard, held, issued, small_batches, speak, sweeps
from tests.database.test_laws import broken

__all__ = ["small_batches"]


def test_approving_lets_out_exactly_what_is_held_then(club: Club) -> None:
    """Beyond the limit too, valid from when it would have gone out; the window starts anew and does not count it."""
    club.sign_up(12)
    guard(club, 5)
    club.move_clock("2031-02-28")
    sweeps(club)
    club.move_clock("2031-03-05T12:00")
    assert speak(club, "approve")["held"] == 7
    assert held(club) == []
    counts = sweeps(club)
    assert counts["issued"] == 7
    late = club.rows("SELECT valid_from, issued_at FROM credits WHERE issued_at > '2031-03-01'")
    assert {tuple(row) for row in late} == {(at("2031-02-28"), at("2031-03-05T12:00"))}
    assert club.sweep() is None
    club.sign_up(5, "2031-03-05")
    assert (issued(club, "2031-03-05"), held(club)) == (12, [])
    club.sign_up(1, "2031-03-05")
    assert held(club)[0]["held"] == 1


def test_refusing_skips_what_is_held_then_for_good(club: Club) -> None:
    """`refused`: no sweep, event, replay or approval gives it; what comes later is not refused."""
    club.sign_up(12)
    guard(club, 5)
    club.move_clock("2031-02-28")
    sweeps(club)
    assert speak(club, "refuse")["held"] == 7
    assert club.replay()["counts"] == {"already_issued": 17, "refused": 7}
    club.move_clock("2031-03-31")
    counts = sweeps(club)
    assert (counts["issued"], counts["awaiting_approval"]) == (5, 7)
    speak(club, "approve")
    assert sweeps(club)["issued"] == 7
    assert club.replay()["counts"] == {"already_issued": 29, "refused": 7}


def test_what_is_not_owed_any_more_is_not_held_nor_let_out(club: Club) -> None:
    """Decided anew: whoever left before, or whose period is over, gets nothing by an approval."""
    club.sign_up(6)
    guard(club, 1)
    club.move_clock("2031-02-28")
    sweeps(club)
    for member in club.members[:3]:
        told = {"membership_id": str(member), "status": "cancelled"}
        club.tell("membership.status_changed", "2031-02-27T00:00", told)
        club.settle([member])
    left = club.value("SELECT count(*) FROM credits WHERE period_start = '2031-02-28' AND revoked_at IS NULL")
    speak(club, "approve")
    sweeps(club)
    assert issued(club, "2031-02-28") == club.value("SELECT count(*) FROM credits WHERE period_start = '2031-02-28'")
    live = club.value("SELECT count(*) FROM credits WHERE period_start = '2031-02-28' AND revoked_at IS NULL")
    assert live == 3
    assert left <= 1


def test_owed_again_a_held_credit_is_as_old_as_it_was(club: Club) -> None:
    """As it would be had it not been held: taken back, and given back."""
    club.sign_up(3)
    guard(club, 1)
    club.move_clock("2031-02-28")
    sweeps(club)
    waiting = [row[0] for row in club.rows("SELECT membership_id FROM held_credits ORDER BY 1")]
    for status, day in (("cancelled", "2031-02-27"), ("active", "2031-02-27T12:00")):
        for member in waiting:
            club.settle(club.tell("membership.status_changed", day, {"membership_id": str(member), "status": status}))
        assert held(club)[0]["held"] == (0 if status == "cancelled" else 2)
        club.move_clock("2031-03-05")
    speak(club, "approve")
    sweeps(club)
    given = club.rows("SELECT valid_from FROM credits WHERE period_start = '2031-02-28'")
    assert [tuple(row) for row in given] == [(at("2031-02-28"),)] * 3


def test_a_held_credit_that_is_too_old_is_never_given(new_club: Callable[..., Club]) -> None:
    """It would have expired, whatever becomes known later."""
    club = new_club()
    club.rows("UPDATE coupons SET validity = 'P1D'")
    club.sign_up(3)
    guard(club, 1)
    club.move_clock("2031-02-28")
    sweeps(club)
    club.move_clock("2031-03-05", jump=True)
    for member in club.members:
        told = {"membership_id": str(member), "status": "active"}
        club.settle(club.tell("membership.status_changed", "2031-03-04", told))
    speak(club, "approve")
    sweeps(club)
    club.replay()
    assert club.value("SELECT count(*) FROM credits WHERE period_start = '2031-02-28'") == 1
    club.engine.dispose()


def test_a_held_credit_whose_period_is_over_is_skipped(new_club: Callable[..., Club]) -> None:
    """A catch-up of section 6: none is issued dead."""
    club = new_club(roll_over=False)
    club.sign_up(6)
    guard(club, 2)
    club.move_clock("2031-02-28")
    sweeps(club)
    club.move_clock("2031-04-02")
    sweeps(club)
    speak(club, "approve")
    sweeps(club)
    periods = club.rows(
        "SELECT CAST(period_start AS text), count(*) FROM credits WHERE issued_at > '2031-02-01' GROUP BY 1"
    )
    assert {row[0]: row[1] for row in periods} == {"2031-02-28": 2, "2031-03-31": 6}
    club.engine.dispose()


def test_only_what_is_held_can_be_spoken_of(club: Club) -> None:
    guard(club, 5)
    with transaction(club.engine, club.brand_id) as connection, pytest.raises(NotHeld):
        held_rules.approve(connection, club.brand_id, club.rule_id, "x")


def test_runs_of_kind_issue_are_told_apart(club: Club) -> None:
    """An approved manual issue that was held gives each guest one, whoever asks again."""
    club.sign_up(6)
    guard(club, 8)
    club.rows("UPDATE credits SET uses = 1, redeemed_at = valid_from")
    assert club.issue()["counts"] == {"issued": 2, "awaiting_approval": 4}
    assert club.issue()["counts"] == {"holds_live_credit": 2, "awaiting_approval": 4}
    assert held(club)[0]["held"] == 4
    speak(club, "approve")
    sweeps(club)
    assert club.value("SELECT count(*) FROM credits WHERE manual") == 6
    assert club.issue()["counts"] == {"holds_live_credit": 6}


def test_nothing_is_held_of_a_deleted_rule(club: Club) -> None:
    """A deletion is in force for everything at once: what waited is not owed any more, the rule is not listed as held,
    and for who would approve or refuse it is not there."""
    club.sign_up(12)
    guard(club, 5)
    club.move_clock("2031-02-28")
    sweeps(club)
    assert held(club)[0]["held"] == 7
    with transaction(club.engine, club.brand_id) as connection:
        rules.delete(connection, club.brand_id, club.rule_id)
    assert held(club) == []
    for verb in ("approve", "refuse"):
        with pytest.raises(NotFound):
            speak(club, verb)
    club.move_clock("2031-03-31")
    sweeps(club)
    assert (issued(club, "2031-02-01"), held(club)) == (5, [])
    assert club.value("SELECT count(*) FROM held_credits WHERE state <> 'lapsed'") == 0
    with transaction(club.engine, club.brand_id) as connection:
        assert broken(connection, club.brand_id) == {}


def test_a_rule_is_held_until_a_person_speaks_though_nothing_of_it_waits(club: Club) -> None:
    """Those whose credits waited are gone: none waits, and what comes next waits all the same."""
    club.sign_up(7)
    guard(club, 5)
    club.move_clock("2031-02-28")
    sweeps(club)
    waiting = club.rows("SELECT DISTINCT membership_id FROM held_credits")
    for (membership_id,) in waiting:
        club.tell(
            "membership.status_changed",
            "2031-02-27T12:00",
            {"membership_id": str(membership_id), "status": "cancelled"},
        )
    club.settle([row[0] for row in waiting])
    assert [row["held"] for row in held(club)] == [0]
    club.move_clock("2031-03-31")
    sweeps(club)
    assert (issued(club, "2031-03-01"), held(club)[0]["held"]) == (0, 5)
