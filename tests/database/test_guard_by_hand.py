"""What is issued by hand, and a guard holds: let out as it would have been, refused alone, counted right
(SEMANTICS 8, 9, 17)."""

from collections.abc import Callable, Iterator
from datetime import UTC
from typing import Any
from uuid import UUID

import pytest

from issuance.catalog import rules
from issuance.catalog.rule_versions import NewCreditRule
from issuance.database.connections import transaction
from tests.database.clubs import Club, at
from tests.database.guarding import guard, held, speak, sweeps
from tests.database.test_laws import broken
from tests.database.undoing import undo

_USE = "UPDATE credits SET uses = 1, redeemed_at = valid_from WHERE redeemed_at IS NULL AND period_start = :of"


@pytest.fixture
def billed(new_club: Callable[..., Club]) -> Iterator[Club]:
    """A club whose charges a biller tells."""
    club = new_club("external")
    yield club
    club.engine.dispose()


def charge(club: Club, month: int, state: str = "initiated") -> None:
    """Each membership is charged at 9 on the first of a month, or what became of that charge; they are settled."""
    start = f"2031-{month:02}-01"
    told = [
        {"membership_id": str(one), "charge_id": start, "period_start": start, "amount": 90} for one in club.members
    ]
    club.settle(club.tell(f"charge.{state}", f"{start}T{'09:00' if state == 'initiated' else '10:00'}", *told))


def used_in_february(club: Club, size: int = 1) -> None:
    """Memberships that have used February's credit; a manual issue on the 20th is held."""
    club.sign_up(size, "2031-02-01")
    club.move_clock("2031-02-01T09:00")
    charge(club, 2)
    club.rows(_USE, of="2031-02-01")
    club.move_clock("2031-02-20T08:00")
    club.rows("UPDATE brands SET guard_max_per_day = NULL")
    guard(club, 1)
    club.rows("INSERT INTO held_rules VALUES (:brand_id, :rule, '2031-02-20T08:00Z', 1)", rule=club.rule_id)
    assert club.issue()["counts"] == {"awaiting_approval": size}


def given(club: Club, since: str = "2031-02-02") -> list[tuple[str, int, bool, str, str]]:
    """What went out since a day: period, number, whether by hand, valid from, issued at; in order."""
    rows = club.rows(
        """SELECT CAST(period_start AS text), reissue, manual, valid_from, issued_at FROM credits
            WHERE issued_at >= :since ORDER BY 1, 2, membership_id""",
        since=at(since),
    )
    moment = "%m-%d %H:%M"
    return [(*row[:3], *(one.astimezone(UTC).strftime(moment) for one in row[3:])) for row in rows]


def offences(club: Club) -> dict[int, list[dict[str, Any]]]:
    with transaction(club.engine, club.brand_id) as connection:
        return broken(connection, club.brand_id)


def test_what_was_held_by_hand_is_of_its_own_period(billed: Club) -> None:
    """Approved in March, before March is charged: February's second one, valid from when it would have gone out; March
    gives its own."""
    used_in_february(billed)
    billed.rows("UPDATE coupons SET validity = 'P2M'")
    billed.move_clock("2031-03-02T08:00")
    speak(billed, "approve")
    sweeps(billed)
    february = ("2031-02-01", 1, True, "02-20 08:00", "03-02 08:00")
    assert given(billed) == [february]
    assert billed.value("SELECT expires_at FROM credits WHERE manual") == at("2031-04-20T08:00")
    charge(billed, 3)
    assert given(billed) == [february, ("2031-03-01", 0, False, "03-02 08:00", "03-02 08:00")]
    assert offences(billed) == {}


def test_what_went_out_since_does_not_stand_in_the_way_of_what_was_held(billed: Club) -> None:
    """March's is let out too, first or later: each is given, as without a guard."""
    used_in_february(billed)
    billed.move_clock("2031-03-01T09:00")
    charge(billed, 3)
    assert held(billed)[0]["held"] == 2
    speak(billed, "approve")
    sweeps(billed)
    assert [row[:4] for row in given(billed)] == [
        ("2031-02-01", 1, True, "02-20 08:00"),
        ("2031-03-01", 0, False, "03-01 09:00"),
    ]
    assert offences(billed) == {}


def test_of_two_held_by_hand_the_first_is_let_out(billed: Club) -> None:
    """Had nothing been held, the second would have found the first."""
    used_in_february(billed)
    billed.move_clock("2031-03-02T08:00")
    assert billed.issue()["counts"] == {"awaiting_approval": 1}
    assert held(billed)[0]["held"] == 2
    speak(billed, "approve")
    sweeps(billed)
    assert [row[:3] for row in given(billed)] == [("2031-02-01", 1, True)]


def test_what_was_held_by_hand_is_not_let_out_dead(new_club: Callable[..., Club]) -> None:
    """It ended with its period, and comes not out as the next one's."""
    club = new_club("external", roll_over=False)
    used_in_february(club)
    club.move_clock("2031-03-02T08:00")
    speak(club, "approve")
    sweeps(club)
    assert given(club) == []
    charge(club, 3)
    assert [row[:3] for row in given(club)] == [("2031-03-01", 0, False)]
    club.engine.dispose()


def test_what_waits_by_hand_lapses_when_it_cannot_be_given(billed: Club) -> None:
    """Its guest left, or its membership ended: nobody is told that it waits, or that it is let out. A pause passes."""
    used_in_february(billed, 4)
    billed.move_clock("2031-02-21T08:00")
    ended, left, paused, _ = billed.members
    for member, status in ((ended, "cancelled"), (paused, "paused")):
        billed.tell("membership.status_changed", "2031-02-21", {"membership_id": str(member), "status": status})
    party = [{"name": "Zoe", "external_user_id": "zoe", "lead_booker": True}]
    billed.tell("membership.guests_changed", "2031-02-21", {"membership_id": str(left), "guests": party})
    billed.settle(billed.members)
    assert held(billed)[0]["held"] == 2
    billed.tell("membership.status_changed", "2031-02-21T07:00", {"membership_id": str(paused), "status": "active"})
    billed.settle([paused])
    assert speak(billed, "approve")["held"] == 2
    sweeps(billed)
    assert len(given(billed)) == 2
    assert offences(billed) == {}


def test_what_waits_by_hand_lapses_when_it_is_too_old(new_club: Callable[..., Club]) -> None:
    """February is over: March's own waits, and nothing beside it."""
    club = new_club("external", roll_over=False)
    used_in_february(club, 2)
    club.move_clock("2031-03-01T09:00")
    charge(club, 3)
    assert speak(club, "approve")["held"] == 2
    sweeps(club)
    assert [row[:3] for row in given(club)] == [("2031-03-01", 0, False)] * 2
    club.engine.dispose()


def waits_by_hand(club: Club) -> None:
    """March's key waits by hand, an hour before March is charged."""
    club.sign_up(1, "2031-02-01")
    club.move_clock("2031-02-01T09:00")
    charge(club, 2)
    club.rows(_USE, of="2031-02-01")
    club.move_clock("2031-03-01T08:00")
    guard(club, 1)
    club.rows("INSERT INTO held_rules VALUES (:brand_id, :rule, '2031-03-01T08:00Z', 1)", rule=club.rule_id)
    assert club.issue()["counts"] == {"awaiting_approval": 1}


def test_refusing_what_waits_by_hand_takes_no_paid_periods_credit(billed: Club) -> None:
    """It was not owed then: March's credit goes out, valid from its own time."""
    waits_by_hand(billed)
    billed.move_clock("2031-03-01T08:30")
    speak(billed, "refuse")
    billed.move_clock("2031-03-01T09:00")
    charge(billed, 3)
    assert given(billed) == [("2031-03-01", 0, False, "03-01 09:00", "03-01 09:00")]
    assert offences(billed) == {}


def test_what_is_owed_under_a_key_that_was_refused_by_hand_can_be_held_again(billed: Club) -> None:
    """It waits by itself, as old as itself, and a person may speak of it."""
    waits_by_hand(billed)
    speak(billed, "refuse")
    billed.rows("INSERT INTO held_rules VALUES (:brand_id, :rule, '2031-03-01T08:00Z', 1)", rule=billed.rule_id)
    billed.move_clock("2031-03-01T09:00")
    charge(billed, 3)
    assert (given(billed), held(billed)[0]["held"]) == ([], 1)
    billed.move_clock("2031-03-01T12:00")
    speak(billed, "approve")
    sweeps(billed)
    assert given(billed) == [("2031-03-01", 0, False, "03-01 09:00", "03-01 12:00")]
    assert offences(billed) == {}


@pytest.mark.parametrize("verb", ["refuse", "approve"])
def test_what_is_owed_while_one_waits_by_hand_waits_with_it(billed: Club, verb: str) -> None:
    """Both mean one key: one credit waits, and what a person says of it is said of both."""
    waits_by_hand(billed)
    billed.move_clock("2031-03-01T09:00")
    charge(billed, 3)
    assert held(billed)[0]["held"] == 1
    billed.move_clock("2031-03-01T12:00")
    speak(billed, verb)
    sweeps(billed)
    charge(billed, 3, "succeeded")
    assert [row[:2] for row in given(billed)] == ([("2031-03-01", 0)] if verb == "approve" else [])
    assert billed.replay()["counts"].get("refused", 0) == (verb == "refuse")
    assert offences(billed) == {}


def test_by_hand_after_a_refusal_a_further_one_is_issued(billed: Club) -> None:
    """The period's own was refused, so its key is not free; what was refused by hand leaves it free."""
    waits_by_hand(billed)
    speak(billed, "refuse")
    assert billed.issue()["counts"] == {"issued": 1}
    assert [row[:3] for row in given(billed)] == [("2031-03-01", 0, True)]
    billed.rows("DELETE FROM credits WHERE manual")
    billed.rows("DELETE FROM guard_portions")
    billed.rows("UPDATE held_credits SET manual = false")
    assert billed.issue()["counts"] == {"issued": 1}
    assert [row[:3] for row in given(billed)] == [("2031-03-01", 1, True)]


def test_asked_again_by_hand_after_a_refusal_it_can_be_held_again(billed: Club) -> None:
    """Refused, asked for again, held: it waits, and can be let out."""
    waits_by_hand(billed)
    speak(billed, "refuse")
    billed.rows("INSERT INTO held_rules VALUES (:brand_id, :rule, '2031-03-01T08:00Z', 1)", rule=billed.rule_id)
    billed.move_clock("2031-03-01T08:30")
    assert billed.issue()["counts"] == {"awaiting_approval": 1}
    assert held(billed)[0]["held"] == 1
    speak(billed, "approve")
    sweeps(billed)
    assert given(billed) == [("2031-03-01", 0, True, "03-01 08:30", "03-01 08:30")]


def test_a_run_by_hand_counts_only_what_it_decided(club: Club) -> None:
    """Another rule's credit falls due beside it, and is held: the run issued one, and says so."""
    with transaction(club.engine, club.brand_id) as connection:
        body = {"membership_type_id": club.type_id, "coupon_id": "tea", "coupon_name": "Other"}
        said = {**body, "issuing_frequency": "P1Y", "issue_on_signup": True}
        other: UUID = rules.create(connection, club.brand_id, NewCreditRule.model_validate(said))["id"]
    club.sign_up(1)
    guard(club, 5)
    club.move_clock("2031-02-28")
    club.rows("UPDATE credits SET uses = 1, redeemed_at = valid_from")
    club.rows("INSERT INTO held_rules VALUES (:brand_id, :rule, now(), 5)", rule=club.rule_id)
    club.rule_id, first = other, club.rule_id
    assert club.issue()["counts"] == {"issued": 1}
    assert [(row["credit_rule_id"], row["held"]) for row in held(club)] == [(first, 1)]


def test_what_a_person_let_out_is_of_the_run_that_asked_for_it(billed: Club) -> None:
    """And of no other by hand, which settles it beside its own: undoing that takes nothing of it."""
    used_in_february(billed)
    (asked,) = billed.rows("SELECT run_id FROM runs WHERE kind = 'issue'")
    billed.move_clock("2031-03-02T08:00")
    speak(billed, "approve")
    billed.issue()
    assert billed.rows("SELECT reissue, run_id FROM credits WHERE manual") == [(1, asked.run_id)]


@pytest.mark.parametrize("when", ["before it was approved", "before it was let out", "after"])
def test_undoing_a_run_by_hand_takes_back_what_was_held_of_it(billed: Club, when: str) -> None:
    """Let out, it is revoked; waiting or approved, it is refused, and goes out by no later approval. Whoever
    asks for it again gets it."""
    used_in_february(billed, 3)
    asked = billed.value("SELECT run_id FROM runs WHERE kind = 'issue'")
    if when != "before it was approved":
        speak(billed, "approve")
    if when == "after":
        sweeps(billed)
    assert undo(billed, asked)["counts"] == ({"revoked": 3} if when == "after" else {"refused": 3})
    if when == "before it was approved":
        assert speak(billed, "approve")["held"] == 0
    sweeps(billed)
    assert billed.value("SELECT count(*) FROM credits WHERE manual AND revoked_at IS NULL") == 0
    assert undo(billed, asked)["counts"] == {}
    assert billed.issue()["counts"] == {"issued": 1, "awaiting_approval": 2}
    assert offences(billed) == {}


@pytest.mark.parametrize("verb", ["refuse", "approve"])
def test_what_waits_by_hand_for_a_start_that_was_moved_waits_with_what_is_owed(
    new_club: Callable[..., Club], verb: str
) -> None:
    """P0D gives one, ever: both are one, and what a person says of it is said of both."""
    club = new_club("external", issuing_frequency="P0D", issue_on_signup=False)
    (one,) = club.sign_up(1, "2031-02-15")
    guard(club, 1)
    club.rows("INSERT INTO held_rules VALUES (:brand_id, :rule, '2031-02-01T08:00Z', 1)", rule=club.rule_id)
    club.move_clock("2031-02-01T08:00")
    assert club.issue()["counts"] == {"awaiting_approval": 1}
    club.move_clock("2031-02-05T08:00")
    club.tell("membership.start_moved", "2031-02-05", {"membership_id": str(one), "starts_on": "2031-02-28"})
    club.settle([one])
    assert held(club)[0]["held"] == 1
    club.move_clock("2031-03-28T09:00")
    charged = {"membership_id": str(one), "charge_id": "c", "period_start": "2031-03-28", "amount": 90}
    club.settle(club.tell("charge.succeeded", "2031-03-28T09:00", charged))
    assert held(club)[0]["held"] == 1
    club.move_clock("2031-03-29T09:00")
    speak(club, verb)
    sweeps(club)
    assert [row[:3] for row in given(club)] == ([("2031-02-28", 0, False)] if verb == "approve" else [])
    assert club.replay()["counts"].get("refused", 0) == (verb == "refuse")
    assert offences(club) == {}
    club.engine.dispose()


@pytest.mark.parametrize("most", [1, None])
def test_what_was_approved_and_is_too_old_lends_its_place_to_nobody(billed: Club, most: int | None) -> None:
    """Asked for again before a sweep came by, the key's credit is another: a guard is asked, and it is of the run that
    asked."""
    billed.rows("UPDATE coupons SET validity = 'P7D'")
    used_in_february(billed, 2)
    billed.move_clock("2031-02-28T08:00")
    speak(billed, "approve")
    guard(billed, most)
    again = billed.issue()
    if most is None:
        assert again["counts"] == {"issued": 2}
        assert billed.rows("SELECT DISTINCT run_id FROM credits WHERE manual") == [(again["id"],)]
    else:
        assert again["counts"] == {"issued": 1, "awaiting_approval": 1}
        assert held(billed)[0]["held"] == 1
        speak(billed, "approve")
        sweeps(billed)
        assert len(given(billed)) == 2
    assert offences(billed) == {}


def test_by_hand_after_what_was_held_has_lapsed_it_is_valid_from_then(billed: Club) -> None:
    """The period's own was held, and then its charge was waived: what is given by hand was never held."""
    billed.sign_up(1, "2031-02-01")
    billed.move_clock("2031-02-01T09:00")
    charge(billed, 2)
    billed.rows(_USE, of="2031-02-01")
    guard(billed, 1)
    billed.rows("INSERT INTO held_rules VALUES (:brand_id, :rule, '2031-03-01T08:00Z', 1)", rule=billed.rule_id)
    billed.move_clock("2031-03-01T10:00")
    charge(billed, 3)
    charge(billed, 3, "skipped")
    assert held(billed)[0]["held"] == 0
    speak(billed, "approve")
    billed.move_clock("2031-03-05T08:00")
    assert billed.issue()["counts"] == {"issued": 1}
    assert given(billed) == [("2031-03-01", 0, True, "03-05 08:00", "03-05 08:00")]
    assert offences(billed) == {}
