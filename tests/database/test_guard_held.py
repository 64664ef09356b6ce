"""The guard: never one more, whichever way they would go out (SEMANTICS 17)."""

from collections.abc import Callable

import pytest

from issuance.catalog import rules
from issuance.catalog.rule_versions import CreditRuleChange, NewCreditRule
from issuance.database.connections import transaction
from issuance.webhooks import webhooks
from tests.database.clubs import Club, at
from tests.database.guarding import guard, held, issued, small_batches, speak, sweeps
from tests.database.test_laws import broken

__all__ = ["small_batches"]


def test_up_to_the_limit_they_go_out_and_never_one_more(club: Club) -> None:
    """In bulk: exactly so many go out, the rest is held, and is not due again."""
    club.sign_up(45)
    guard(club, 17)
    club.move_clock("2031-02-28")
    counts = sweeps(club)
    assert (counts["issued"], counts["awaiting_approval"]) == (17, 28)
    assert issued(club, "2031-02-01") == 17
    (row,) = held(club)
    assert (row["held"], row["limit"], row["credit_rule_id"]) == (28, 17, club.rule_id)
    assert club.sweep() is None
    assert club.replay()["counts"] == {"already_issued": 62, "awaiting_approval": 28}


@pytest.mark.parametrize("moves", [("2031-02-28", "2031-03-31", "2031-05-15"), ("2031-05-15",)])
def test_held_stays_held_however_long(club: Club, moves: tuple[str, ...]) -> None:
    """Until a person speaks: the window slides, a new period begins, and nothing of the rule goes out. So it is too
    where a clock is moved over all of it at once: each day is settled for all before the next."""
    club.sign_up(25)
    guard(club, 17)
    for day in moves:
        club.move_clock(day)
        sweeps(club)
    assert issued(club, "2031-02-01") == 17
    assert club.rows("SELECT DISTINCT issued_at FROM credits WHERE issued_at > '2031-02-01'") == [(at("2031-02-28"),)]
    assert (held(club)[0]["held"], held(club)[0]["since"]) == (25 * 3 - 17, at("2031-02-28"))


def test_held_stays_held_within_one_settling(club: Club) -> None:
    """An event asks for it while the clock's sweep is still to come: one transaction settles three periods."""
    club.sign_up(12)
    guard(club, 5)
    club.move_clock("2031-05-15")
    club.settle(club.members)
    assert club.rows("SELECT DISTINCT issued_at FROM credits WHERE issued_at > '2031-02-01'") == [(at("2031-02-28"),)]
    assert (issued(club, "2031-02-01"), held(club)[0]["held"]) == (5, 12 * 3 - 5)


@pytest.mark.parametrize("then", ["approve", "leave"])
def test_who_shares_a_schedule_comes_to_one_state(club: Club, then: str) -> None:
    """A limit that falls among those who share one: some have their credit, the others wait, and none is forgotten."""
    club.sign_up(10)
    club.move_clock("2031-02-28")
    sweeps(club)
    assert [row.size for row in club.rows("SELECT size FROM schedules WHERE shared")] == [10]
    guard(club, 4)
    club.move_clock("2031-03-31")
    sweeps(club)
    assert (issued(club, "2031-03-01"), held(club)[0]["held"]) == (4, 6)
    sizes = """SELECT size, (SELECT count(*) FROM membership_schedules p WHERE p.schedule_id = s.schedule_id) AS there
                 FROM schedules s WHERE shared"""
    assert all(row.size == row.there for row in club.rows(sizes))
    if then == "approve":
        club.move_clock("2031-04-05")
        speak(club, "approve")
        sweeps(club)
        assert issued(club, "2031-03-01") == 10
    else:
        assert club.issue()["counts"] == {"holds_live_credit": 10}


@pytest.mark.parametrize("way", ["sweep", "event", "hand", "replay"])
def test_no_way_of_issuing_is_exempt(new_club: Callable[..., Club], way: str) -> None:
    """By the clock, by an event, by hand, by a replay: all count, and all are held."""
    club = new_club("automatic" if way != "event" else "external")
    club.sign_up(8)
    guard(club, 11)  # eight went out today
    if way == "sweep":
        club.move_clock("2031-01-31T20:00")
        club.rows("DELETE FROM credits WHERE credit_id IN (SELECT credit_id FROM credits LIMIT 5)")
        club.rows("UPDATE schedules SET due_at = '2031-01-31T20:00Z', fingerprint = NULL WHERE NOT shared AND size = 1")
        sweeps(club)
    elif way == "event":
        club.sign_up(5)
    elif way == "hand":
        club.rows("UPDATE credits SET uses = 1, redeemed_at = valid_from")
        run = club.issue()
        assert run["counts"] == {"issued": 3, "awaiting_approval": 5}
    else:
        club.rows("DELETE FROM credits WHERE credit_id IN (SELECT credit_id FROM credits ORDER BY 1 LIMIT 5)")
        assert club.replay()["counts"] == {"issued": 3, "already_issued": 3, "awaiting_approval": 2}
    gone = 5 if way in ("sweep", "replay") else 0
    assert issued(club) + gone == 11
    assert held(club)[0]["held"] == {"sweep": 2, "event": 2, "hand": 5, "replay": 2}[way]
    club.engine.dispose()


def test_other_rules_go_on(club: Club) -> None:
    """Nobody else's work is touched."""
    with transaction(club.engine, club.brand_id) as connection:
        said = {
            "membership_type_id": club.type_id,
            "coupon_id": "tea",
            "coupon_name": "Other",
            "issuing_frequency": "P1M",
            "include_upcoming": True,
        }
        other = rules.create(connection, club.brand_id, NewCreditRule.model_validate(said))["id"]
    club.sign_up(12)
    guard(club, 40)
    club.rows("INSERT INTO held_rules VALUES (:brand_id, :rule, now(), 40)", rule=club.rule_id)
    club.move_clock("2031-02-28")
    sweeps(club)
    by_rule = {row[0]: row[1] for row in club.rows("SELECT credit_rule_id, count(*) FROM credits GROUP BY 1")}
    assert by_rule == {club.rule_id: 12, other: 12}


def test_a_rule_that_was_tripled_by_mistake_stops(club: Club) -> None:
    """A version without a limit for the lead booker, saved by mistake: it stops before its first credit too many."""
    club.sign_up(10)
    guard(club, 10)
    with transaction(club.engine, club.brand_id) as connection:
        change = CreditRuleChange(for_lead_booker_only=False, include_upcoming=True)
        rules.change(connection, club.brand_id, club.rule_id, change)
    for member in club.members:
        party = [{"name": name, "lead_booker": name == "Ada"} for name in ("Ada", "Bea", "Cy")]
        club.tell("membership.guests_changed", "2031-01-31T11:00", {"membership_id": str(member), "guests": party})
    club.settle(club.members)
    club.move_clock("2031-02-28")
    sweeps(club)
    assert issued(club, "2031-02-01") == 10
    assert held(club)[0]["held"] == 20


def test_the_laws_hold_of_what_is_held(club: Club) -> None:
    """What is held, refused, and let out late is in its place: explained, and no law is broken."""
    club.sign_up(12)
    guard(club, 5)
    for month, verb in (("2031-02-28", "refuse"), ("2031-03-31", "approve"), ("2031-04-30", "")):
        club.move_clock(month)
        sweeps(club)
        if verb:
            club.move_clock(f"{month}T20:00")
            speak(club, verb)
            sweeps(club)
    with transaction(club.engine, club.brand_id) as connection:
        assert broken(connection, club.brand_id) == {}
    assert held(club)[0]["held"] == 7


def test_a_webhook_hears_of_it_once(club: Club) -> None:
    """`rule.held`, when a rule comes to be held."""
    with transaction(club.engine, club.brand_id) as connection:
        webhooks.create(connection, club.brand_id, "http://127.0.0.1:9/", ["rule.held"])
    club.sign_up(12)
    guard(club, 5)
    for month in ("2031-02-28", "2031-03-31"):
        club.move_clock(month)
        sweeps(club)
    told = club.rows("SELECT data FROM webhook_events WHERE type = 'rule.held'")
    assert [(row.data["credit_rule_id"], row.data["limit"]) for row in told] == [(str(club.rule_id), 5)]
