"""The guard: never one more, whichever way they would go out, and whoever works (SEMANTICS 17)."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from issuance.catalog import rules
from issuance.catalog.rule_versions import CreditRuleChange, NewCreditRule
from issuance.database.connections import transaction
from issuance.engine import batches, guard_limits, guards, held_rules, run_work
from issuance.engine.guards import Guard
from issuance.errors import NotFound, NotHeld
from issuance.webhooks import webhooks
from tests.database.clubs import Club, at
from tests.database.test_laws import broken
from tests.limits import Limit
from tests.waiting import PATIENCE_SECONDS, eventually


@pytest.fixture(autouse=True)
def small_batches(limit: Limit) -> None:
    """Ten memberships a batch, and schedules that few can share."""
    limit("settling", batch=10, smallest_batch=10, fewest_sharing=5)


def guard(club: Club, most: int | None = None, times: str | None = None) -> None:
    """Set the brand's guard."""
    with transaction(club.engine, club.brand_id) as connection:
        number = None if times is None else Decimal(times)
        guard_limits.put(connection, club.brand_id, max_per_day=most, times_busiest_day=number)


def held(club: Club) -> list[dict[str, Any]]:
    with transaction(club.engine, club.brand_id) as connection:
        return held_rules.page(connection, club.brand_id, 1, 100)[0]


def speak(club: Club, verb: str) -> dict[str, Any]:
    """Approve or refuse what is held of the club's rule."""
    with transaction(club.engine, club.brand_id) as connection:
        spoken: dict[str, Any] = getattr(held_rules, verb)(connection, club.brand_id, club.rule_id, "as it should be")
    return spoken


def issued(club: Club, since: str = "2000-01-01") -> int:
    return int(club.value("SELECT count(*) FROM credits WHERE issued_at >= :since", since=at(since)))


def sweeps(club: Club) -> Counter[str]:
    """Sweep until nothing is due: the counts of all."""
    counts: Counter[str] = Counter()
    for _ in range(20):
        run = club.sweep()
        if run is None:
            return counts
        counts.update(run["counts"])
    raise AssertionError("it is due for ever")


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


def reserve(club: Club, instant: str, number: int) -> None:
    """What a worker reserved and never issued."""
    club.rows(
        """INSERT INTO guard_portions (brand_id, portion_id, credit_rule_id, epoch, issued_at, number, reserved)
           VALUES (:brand_id, gen_random_uuid(), :rule, 0, :instant, :number, true)""",
        rule=club.rule_id,
        instant=at(instant),
        number=number,
    )


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


def test_what_the_dead_reserved_is_forgotten(club: Club) -> None:
    """But for a rule that somebody is at, whose reservations may be alive."""
    guard(club, 5)
    reserve(club, "2031-01-30T12:00", 4)
    with club.engine.connect() as at_it:
        at_it.execute(
            text("SELECT pg_advisory_xact_lock_shared(hashtextextended('guard turn ' || :rule, 0))"),
            {"rule": str(club.rule_id)},
        )
        with transaction(club.engine) as connection:
            guards.forget_dead(connection)
        assert club.value("SELECT count(*) FROM guard_portions WHERE reserved") == 1
    with transaction(club.engine) as connection:
        guards.forget_dead(connection)
    assert club.value("SELECT count(*) FROM guard_portions WHERE reserved") == 0


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


def test_only_what_is_held_can_be_spoken_of(club: Club) -> None:
    guard(club, 5)
    with transaction(club.engine, club.brand_id) as connection, pytest.raises(NotHeld):
        held_rules.approve(connection, club.brand_id, club.rule_id, "x")


def test_two_workers_a_guard_and_far_more_owed(club: Club) -> None:
    """Exactly the limit goes out, ten times, and the workers were at it together."""
    club.sign_up(150)
    for turn in range(10):
        club.rows("DELETE FROM credits WHERE period_start > '2031-02-01'")
        for table in ("held_credits", "held_rules", "guard_portions", "run_batches", "runs"):
            club.rows(f"DELETE FROM {table}")
        club.rows("UPDATE brands SET guard_max_per_day = NULL")
        guard(club, 40)
        club.move_clock("2031-02-28")
        club.rows("UPDATE schedules SET due_at = '2031-02-28Z', fingerprint = NULL WHERE size > 0")
        assert club.tick().sweeps == 1
        run_id = club.value("SELECT run_id FROM runs WHERE finished_at IS NULL")

        def work(run_id: UUID = run_id) -> None:
            for _ in range(100):
                if batches.work_on_run(club.engine, club.brand_id, run_id).batch is None:
                    return

        with ThreadPoolExecutor(3) as pool:
            for worker in [pool.submit(work) for _ in range(3)]:
                worker.result()
        club.work(run_id)
        assert issued(club, "2031-02-01") == 40, turn
        assert held(club)[0]["held"] == 110
        assert (
            club.value("SELECT sum(number) FROM guard_portions WHERE NOT reserved AND issued_at > '2031-02-01'") == 40
        )


def test_near_the_limit_workers_take_turns(club: Club, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes second counts when the first has committed what it issued."""
    club.sign_up(20)
    guard(club, 5)
    club.move_clock("2031-02-28")
    club.tick()
    run_id = club.value("SELECT run_id FROM runs WHERE finished_at IS NULL")
    add, first, second = Guard._add, threading.Event(), threading.Event()

    def waits() -> bool:
        return bool(club.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'"))

    def slowly(*given: Any, **named: Any) -> UUID:
        portion_id = add(*given, **named)
        if not first.is_set():
            first.set()
            eventually(lambda: second.is_set() or waits())
        return portion_id

    def other() -> None:
        assert first.wait(PATIENCE_SECONDS)
        batches.work_on_run(club.engine, club.brand_id, run_id)
        second.set()

    monkeypatch.setattr(Guard, "_add", slowly)
    with ThreadPoolExecutor(1) as pool:
        worker = pool.submit(other)
        batches.work_on_run(club.engine, club.brand_id, run_id)
        worker.result()
    assert first.is_set()
    assert issued(club, "2031-02-01") == 5


def test_a_killed_workers_portion_comes_back(club: Club) -> None:
    """It reserved and died: who has the turn knows that nobody confirms it any more."""
    guard(club, 5)
    reserve(club, "2031-01-31T12:00", 4)
    club.sign_up(5)
    assert (issued(club), held(club)) == (5, [])


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
