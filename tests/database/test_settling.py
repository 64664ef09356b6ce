"""Settling on real rows: idempotent, unique, and no membership holds up another (SEMANTICS 8, 14)."""

from collections.abc import Callable, Collection, Hashable
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError

from issuance import limits
from issuance.database.connections import transaction
from issuance.engine import facts, pipeline, sweeps
from issuance.engine.fingerprint import Fingerprints
from issuance.engine.membership import Membership
from issuance.engine.outcome import Outcome
from issuance.engine.pipeline import Settling
from issuance.engine.ranges import sizes
from issuance.engine.tasks import Meant
from issuance.engine.writer import write
from tests.database.clubs import Club, at
from tests.limits import Limit

WORTHLESS = "UPDATE schedules SET retry_at = clock_timestamp() - interval '1 second' WHERE retry_at IS NOT NULL"


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> set[object]:
    """Memberships that can not be decided: deciding about them raises."""
    ids: set[object] = set()
    poison(monkeypatch, ids)
    return ids


def poison(monkeypatch: pytest.MonkeyPatch, ids: Collection[object]) -> None:
    """Let deciding about some memberships raise, whose facts are like no other's."""
    decide, whole = Settling._decide, Fingerprints.whole

    def raising(self: Settling, membership: Membership, meant: Meant) -> Outcome:
        if membership.membership_id in ids:
            raise ZeroDivisionError("poison")
        return decide(self, membership, meant)

    def like_no_other(self: Fingerprints, membership: Membership) -> Hashable:
        return None if membership.membership_id in ids else whole(self, membership)

    monkeypatch.setattr(Settling, "_decide", raising)
    monkeypatch.setattr(Fingerprints, "whole", like_no_other)


def test_settling_again_changes_nothing(club: Club) -> None:
    """However often a membership is settled at one now, it has the credits of the first time."""
    (member,) = club.sign_up()
    before = club.credits()
    for _ in range(3):
        club.settle([member])
    assert club.credits() == before
    assert len(before) == 1


def test_the_key_is_unique_in_postgresql(club: Club) -> None:
    """(membership, rule, guest, period_start, reissue) can not be stored twice, whoever writes it."""
    club.sign_up()
    columns = (
        "credit_rule_id, rule_version, membership_id, guest_id, period_start, period_end, reissue, coupon_id,"
        "coupon_name, roll_over, multi_use, valid_from, expires_at, issued_at"
    )
    with pytest.raises(IntegrityError, match="credits_once"):
        club.rows(
            f"INSERT INTO credits (brand_id, credit_id, code, {columns})"
            f" SELECT brand_id, gen_random_uuid(), 'ANOTHER', {columns} FROM credits"
        )


def test_one_that_fails_is_set_apart_and_its_neighbours_go_through(club: Club, poisoned: set[object]) -> None:
    """In the same batch: the neighbours have their credits, the one has an attempt, a back-off and the error."""
    members = club.sign_up(3)
    poisoned.add(members[1])
    club.move_clock("2031-03-01")
    run = club.sweep()
    assert run is not None
    assert run["counts"] == {"issued": 2, "error": 1}
    apart = club.rows(
        "SELECT schedule_id, attempts, retry_at > clock_timestamp(), last_error FROM schedules WHERE attempts > 0"
    )
    assert [tuple(row) for row in apart] == [(members[1], 1, True, "ZeroDivisionError")]
    assert len(club.credits()) == 3 + 2


def test_what_is_set_apart_shows_no_sql(club: Club) -> None:
    """Its error names what PostgreSQL refused, not the statement, its values or the library's site."""
    (member,) = club.sign_up()
    club.rows("ALTER TABLE credits ADD CONSTRAINT nothing_more CHECK (issued_at < '2031-02-20') NOT VALID")
    club.move_clock("2031-03-01")
    assert club.sweep() is not None
    (apart,) = club.rows("SELECT schedule_id, last_error FROM schedules WHERE attempts > 0")
    assert tuple(apart) == (member, "PostgreSQL: CheckViolation of nothing_more")


def test_after_five_attempts_it_is_quarantined(club: Club, poisoned: set[object]) -> None:
    """Tried five times, each after a longer back-off, then left to the operator; sweeps pass it over."""
    (member,) = club.sign_up()
    poisoned.add(member)
    club.move_clock("2031-03-01")
    waits = []
    for _ in range(5):
        assert club.sweep() is not None
        waits.append(club.value("SELECT retry_at - clock_timestamp() FROM schedules"))
        club.rows(WORTHLESS)
    assert [round(wait.total_seconds()) for wait in waits[:4]] == [2, 4, 8, 16]
    assert club.value("SELECT quarantined_at IS NOT NULL FROM schedules") is True
    assert club.sweep() is None


def test_a_failing_membership_is_not_tried_before_its_back_off_is_over(club: Club, poisoned: set[object]) -> None:
    """No sweep is planned for what is set apart alone, and a sweep for its neighbours passes it over."""
    _, member, _ = sorted(club.sign_up(3))
    poisoned.add(member)
    club.move_clock("2031-03-01")
    club.sweep()
    assert club.sweep() is None
    club.rows("UPDATE schedules SET due_at = '2031-03-01' WHERE schedule_id <> :member", member=member)
    assert club.sweep() is not None
    assert club.value("SELECT attempts FROM schedules WHERE schedule_id = :member", member=member) == 1


def test_attempts_are_forgotten_on_success(club: Club, poisoned: set[object]) -> None:
    """What was settled starts from nothing again."""
    (member,) = club.sign_up()
    poisoned.add(member)
    club.move_clock("2031-03-01")
    club.sweep()
    poisoned.clear()
    club.rows(WORTHLESS)
    club.sweep()
    assert club.rows("SELECT attempts, retry_at, last_error, quarantined_at FROM schedules") == [(0, None, None, None)]
    assert len(club.credits()) == 2


def test_a_failing_event_is_tried_again_by_itself(club: Club, poisoned: set[object]) -> None:
    """Events of one that failed wait for the back-off, then the reconciler asks for it again."""
    one, other = club.sign_up(2)
    poisoned.add(one)
    for member in (one, other):
        club.tell("membership.status_changed", "2031-01-31T11:00", {"membership_id": str(member), "status": "paused"})
    club.settle([one, other])
    assert club.rows("SELECT membership_id FROM billing_events WHERE settled_at IS NULL") == [(one,)]
    poisoned.clear()
    club.rows(WORTHLESS)
    club.rows("UPDATE billing_events SET received_at = received_at - interval '1 minute'")
    assert club.tick().memberships == 1


def test_a_credit_redeemed_between_reading_and_writing_is_not_lost(
    new_club: Callable[..., Club], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settling that raced takes nothing back from the redeemer, and is done again with what is true now."""
    club = new_club(roll_over=False)
    (member,) = club.sign_up()
    club.move_clock("2031-02-28")
    raced: list[int] = []

    def redeemed_meanwhile(*args: Any, **kwargs: Any) -> None:
        if not raced:
            raced.append(1)
            club.rows("UPDATE credits SET uses = 1, redeemed_at = '2031-02-27T12:00Z'")
        write(*args, **kwargs)

    monkeypatch.setattr(pipeline, "write", redeemed_meanwhile)
    run = club.sweep()
    assert run is not None
    assert run["counts"] == {"issued": 1}
    states = club.rows("SELECT period_start, redeemed_at, expired_at FROM credits ORDER BY 1")
    assert [(str(row[0]), row[1], row[2]) for row in states] == [
        ("2031-01-31", at("2031-02-27T12:00"), None),
        ("2031-02-28", None, None),
    ]
    club.settle([member])
    assert club.value("SELECT attempts FROM schedules") == 0


def test_time_that_passes_settles_at_each_instant_and_a_jump_once(new_club: Callable[..., Club]) -> None:
    """Passing: each month's credit is issued in its month. A jump: only what is not over, now."""
    passing, jumping = new_club(roll_over=False), new_club(roll_over=False)
    for club, jump in ((passing, False), (jumping, True)):
        club.sign_up()
        club.move_clock("2031-05-10", jump=jump)
        while club.sweep() is not None:
            pass
    told = "SELECT period_start, issued_at, expired_at IS NOT NULL FROM credits ORDER BY 1"
    starts = ["2031-02-28", "2031-03-31", "2031-04-30"]
    assert [tuple(row) for row in passing.rows(told)[1:]] == [
        (at(day).date(), at(day), number < 2) for number, day in enumerate(starts)
    ]
    assert [tuple(row) for row in jumping.rows(told)[1:]] == [(at("2031-04-30").date(), at("2031-05-10"), False)]


def test_what_is_due_is_found_through_the_index(club: Club) -> None:
    """Among thousands of memberships, those due are read from schedules_by_instant, not from the table."""
    (member,) = club.sign_up()
    kind = str(club.type_id)
    club.rows(
        "INSERT INTO memberships (brand_id, membership_id, membership_type_id, member_id, signed_up_at,"
        " starts_on, billing_anchor, billing_frequency)"
        " SELECT m.brand_id, gen_random_uuid(), m.membership_type_id, m.member_id, m.signed_up_at, m.starts_on,"
        " m.billing_anchor, m.billing_frequency FROM memberships m, generate_series(1, 5000)"
        " WHERE m.membership_type_id = CAST(:kind AS uuid)",
        kind=kind,
    )
    club.rows(
        "INSERT INTO schedules (brand_id, schedule_id, due_at) SELECT brand_id, membership_id,"
        " '2031-06-01'::timestamptz + (random() * 1000)::int * interval '1 day' FROM memberships"
        " WHERE membership_id <> CAST(:member AS uuid)",
        member=str(member),
    )
    with club.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("RESET ROLE"))
        connection.execute(text("ANALYZE schedules"))
    with transaction(club.engine, club.brand_id) as connection:
        now = at("2031-05-01")
        many = {"brand_ids": [club.brand_id], "run_ids": [club.brand_id], "nows": [now], **sizes()}
        asked = {"brand_id": club.brand_id, "now": now, **many}
        for statement in (sweeps._IS_DUE, sweeps._SWEEPS, sweeps._SWEEP_BATCHES):
            plan = connection.execute(text(f"EXPLAIN {statement.text}"), asked)
            lines = "\n".join(plan.scalars())
            assert "schedules_by_instant" in lines
            assert "Seq Scan on schedules" not in lines


def test_a_settled_membership_is_due_later(club: Club) -> None:
    """After every sweep nothing is due at or before now."""
    club.sign_up(3)
    for day in ("2031-02-28", "2031-04-02", "2031-07-31"):
        club.move_clock(day)
        club.sweep()
        assert club.value("SELECT min(due_at) FROM schedules") > at(day)
        assert club.value("SELECT min(due_at) FROM schedules") <= at(day) + timedelta(days=31)


def test_one_transaction_of_a_sweep_is_bounded_and_the_next_goes_on(
    new_club: Callable[..., Club], limit: Limit
) -> None:
    """A jump over years of a party is issued in pieces: some a settling, some a transaction, and all in the end."""
    limit("settling", credits=20, issued=30, loaded_credits=25, fewest_alike=100)
    bounds = limits.current.settling
    club = new_club(for_lead_booker_only=False)
    club.sign_up(4)
    club.move_clock("2035-01-31T12:00", jump=True)
    issued = []
    for _ in range(60):
        run = club.sweep()
        if run is None:
            break
        issued.append(run["counts"].get("issued", 0))
    assert sum(issued) == 4 * 48
    assert len(issued) > 4
    assert max(issued) <= bounds.issued + bounds.loaded_credits + bounds.credits


@pytest.mark.parametrize("alike", [100, 2])
def test_one_transaction_after_events_is_bounded_and_the_next_goes_on(
    new_club: Callable[..., Club], limit: Limit, alike: int
) -> None:
    """Whoever it has no room for stays as it was: no attempt is counted, and the scheduler asks again. So it is where
    they are alike and are issued to together."""
    limit("settling", issued_soon=30, loaded=3, fewest_alike=alike)
    bounds = limits.current.settling
    club = new_club(for_lead_booker_only=False)
    club.move_clock("2032-01-31T12:00", jump=True)
    fresh, rounds = club.accept(9), 0
    assert club.value("SELECT DISTINCT attempts FROM schedules") == 1
    while left := club.rows("SELECT membership_id FROM billing_events WHERE settled_at IS NULL"):
        before = club.value("SELECT count(*) FROM credits")
        club.settle(fresh)
        assert club.value("SELECT count(*) FROM credits") - before <= bounds.issued_soon + bounds.loaded * 13
        assert club.value("SELECT max(attempts) FROM schedules") == 0
        rounds += 1
        assert rounds <= len(left) + 10
    assert rounds > 1
    assert club.value("SELECT count(*) FROM credits") == 9 * 13


def test_a_membership_has_only_so_many_credits(club: Club, limit: Limit) -> None:
    """Who is owed more is set apart, where the operator sees it; what is out goes on as before."""
    limit("settling", credits_ever=3)
    (one,) = club.sign_up()
    for month in range(3, 8):
        club.move_clock(f"2031-{month:02}-02T12:00", jump=True)
        club.sweep()
    assert club.value("SELECT count(*) FROM credits") == 3
    for _ in range(limits.current.settling.attempts):
        club.rows(WORTHLESS)
        club.sweep()
    assert club.value("SELECT quarantined_at IS NOT NULL FROM schedules WHERE schedule_id = :one", one=one)


def test_a_membership_with_too_many_facts_is_set_apart_and_read_no_more(
    new_club: Callable[..., Club], limit: Limit
) -> None:
    """Each decision reads them all. Its neighbours are settled, and a list of them all is loaded in parts."""
    club = new_club("external")
    told, *others = club.accept(5)
    says = {"membership_id": str(told), "period_start": "2031-01-31"}
    charges = [{**says, "charge_id": str(number)} for number in range(8)]
    club.tell("charge.initiated", "2031-01-31T11:00", *charges)
    limit("settling", facts=8, loaded_facts=9)
    with transaction(club.engine, club.brand_id) as connection:
        ids = [str(told), *map(str, others)]
        assert facts.together(connection, club.brand_id, ids, 1000, 1000) == 1
        assert facts.together(connection, club.brand_id, ids[1:], 1000, 1000) == 4
        with pytest.raises(facts.FactLimit):
            facts.load(connection, club.brand_id, ZoneInfo("UTC"), ids[:1])
    for _ in range(limits.current.settling.attempts + 2):
        club.settle([told, *others])
        club.rows(WORTHLESS)
    unsettled = "SELECT schedule_id FROM schedules WHERE quarantined_at IS NOT NULL OR settled_at IS NULL"
    assert club.value(unsettled) == told
    limit("settling", facts=9)
    with transaction(club.engine, club.brand_id) as connection:
        assert len(facts.load(connection, club.brand_id, ZoneInfo("UTC"), ids)) == 5


@pytest.mark.parametrize("asked", ["sweep", "news", "issue"])
def test_a_full_disk_uses_no_attempt_up(club: Club, asked: str) -> None:
    """However often a membership's settling meets what passes by itself, it is tried again, and has its credit when
    there is room: by a sweep, after an event, and by a run, which waits for it."""
    (member,) = club.sign_up()
    before = len(club.credits())
    if asked == "news":
        (member,) = club.accept()
    else:
        club.move_clock("2031-03-01")
    club.rows("""
        CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = 'No space left on device'; END $$;
        CREATE TRIGGER full_disk BEFORE INSERT ON credits FOR EACH ROW EXECUTE FUNCTION full_disk();
    """)
    run = club.issue(work=False)["id"] if asked == "issue" else None
    for _ in range(7):
        if run is not None:
            with pytest.raises(OperationalError):
                club.work(run)
        elif asked == "sweep":
            club.sweep()
        else:
            club.settle([member])
        found = club.rows("SELECT attempts, quarantined_at FROM schedules WHERE schedule_id = :member", member=member)
        assert [tuple(row) for row in found] == [(0, None)]
        club.rows(WORTHLESS)
        club.rows("UPDATE run_batches SET claimed_at = NULL WHERE finished_at IS NULL")
    club.rows("DROP TRIGGER full_disk ON credits")
    if run is not None:
        club.work(run)
        assert club.run(run)["state"] == "finished"
        assert "error" not in club.run(run)["counts"]
    elif asked == "sweep":
        club.sweep()
    else:
        club.settle([member])
    assert len(club.credits()) > before
