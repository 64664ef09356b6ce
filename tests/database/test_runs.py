"""Runs: each batch once, whoever dies; manual issue and replay (SEMANTICS 9, 10; docs/decisions 2)."""

import threading
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, Row

from issuance import errors, hints, limits
from issuance.billers import deliveries
from issuance.catalog import membership_types, previews, rules
from issuance.catalog.membership_types import NewMembershipType
from issuance.catalog.previews import PreviewBody
from issuance.catalog.rule_versions import NewCreditRule
from issuance.database.connections import transaction
from issuance.engine import batches, plans, run_work, runs
from issuance.engine.run_work import Done
from issuance.errors import Invalid
from issuance.laws.repair import Repair
from scheduler.tick import TickSizes
from tests.database.clubs import Club, at

pytestmark = pytest.mark.usefixtures("small_batches")


def plan_sweep(club: Club) -> UUID:
    """A sweep that is planned and not worked on."""
    assert club.tick().sweeps == 1
    run_id: UUID = club.value("SELECT run_id FROM runs WHERE kind = 'sweep' AND finished_at IS NULL")
    return run_id


def a_type(club: Club, name: str) -> UUID:
    with transaction(club.engine, club.brand_id) as connection:
        return UUID(str(membership_types.create(connection, club.brand_id, NewMembershipType(name=name))["id"]))


def test_two_schedulers_plan_one_sweep(club: Club) -> None:
    """A brand has one sweep at a time, whoever plans it."""
    club.sign_up(3)
    club.move_clock("2031-03-01")
    assert [club.tick().sweeps, club.tick().sweeps] == [1, 0]
    assert club.value("SELECT count(*) FROM runs") == 1


def test_the_counts_of_a_run_add_up(club: Club) -> None:
    """Every membership is counted once: by its outcomes, in the batches and in the run."""
    club.sign_up(12)
    club.move_clock("2031-03-01")
    run = club.sweep()
    assert run is not None
    assert (run["state"], run["total"], run["done"], run["counts"]) == ("finished", 12, 12, {"issued": 12})
    assert club.value("SELECT count(*) FROM credits WHERE run_id = :run", run=run["id"]) == 12


def test_two_workers_never_do_a_batch_twice(club: Club) -> None:
    """Side by side on one run, each batch is done by one of them, and every credit is there once."""
    club.sign_up(40)
    club.move_clock("2031-03-01")
    run_id = plan_sweep(club)
    done: list[int] = []

    def work() -> None:
        done.extend(worked.batch for worked in club.work(run_id) if worked.batch is not None)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == list(range(8))
    assert club.run(run_id)["counts"] == {"issued": 40}
    assert len(club.credits()) == 80


class WorkerDied(BaseException):
    """Not an error that anybody handles."""


def die_on(monkeypatch: pytest.MonkeyPatch, fatal: set[UUID]) -> None:
    """Working on a membership of `fatal` ends the worker, as kill -9 would: nothing is cleaned up."""
    work_on_range, work_on = run_work.work_on_range, run_work.work_on

    def dying_on_range(connection: Connection, run: Row[Any], first_id: UUID, last_id: UUID) -> Done:
        if any(first_id <= one <= last_id for one in fatal):
            raise WorkerDied
        return work_on_range(connection, run, first_id, last_id)

    def dying(connection: Connection, run: Row[Any], membership_ids: Sequence[UUID]) -> Done:
        if not fatal.isdisjoint(membership_ids):
            raise WorkerDied
        return work_on(connection, run, membership_ids)

    monkeypatch.setattr(run_work, "work_on_range", dying_on_range)
    monkeypatch.setattr(run_work, "work_on", dying)


def forget_claims(club: Club) -> None:
    club.rows("UPDATE run_batches SET claimed_at = claimed_at - interval '1 minute'")


def test_a_worker_that_dies_with_a_batch_loses_nothing(club: Club, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its batch is taken again when its claim has run out, one by one; not before."""
    members = sorted(club.sign_up(8))
    club.move_clock("2031-03-01")
    run_id = plan_sweep(club)
    fatal: set[UUID] = {members[2]}
    die_on(monkeypatch, fatal)
    with pytest.raises(WorkerDied):
        batches.work_on_run(club.engine, club.brand_id, run_id)
    fatal.clear()
    assert [worked.batch for worked in club.work(run_id)] == [1, None], "the claim still holds"
    forget_claims(club)
    assert [worked.batch for worked in club.work(run_id)] == [0, None]
    assert club.run(run_id)["counts"] == {"issued": 8}
    assert len(club.credits()) == 16


def test_one_that_kills_its_worker_every_time_is_quarantined(club: Club, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its attempts are counted before the work; after five its neighbours are done and it is left to the operator."""
    members = sorted(club.sign_up(5))
    club.move_clock("2031-03-01")
    run_id = plan_sweep(club)
    die_on(monkeypatch, {members[2]})
    deaths = 0
    for _ in range(12):
        try:
            club.work(run_id)
        except WorkerDied:
            deaths += 1
        forget_claims(club)
        club.rows("UPDATE schedules SET retry_at = clock_timestamp() - interval '1 second' WHERE retry_at IS NOT NULL")
    assert deaths == 6, "once with its batch, then five times that were counted"
    assert club.run(run_id)["state"] == "finished"
    assert club.run(run_id)["counts"] == {"issued": 4, "error": 1}
    assert club.rows("SELECT schedule_id FROM schedules WHERE quarantined_at IS NOT NULL") == [(members[2],)]


def test_a_worker_that_was_overtaken_loses_no_count(club: Club, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that changed hands is finished by the later claim; counts of a manual issue stay exact."""
    club.sign_up(5)
    club.rows("UPDATE credits SET uses = 1, redeemed_at = valid_from")
    with transaction(club.engine, club.brand_id) as connection:
        run_id = runs.start_issue(connection, club.brand_id, club.rule_id, include_upcoming=True)
    work_on = run_work.work_on
    parts: list[int] = []

    def failing(*_: object) -> Done:
        raise ZeroDivisionError("the batch is taken apart")

    def slow(connection: Connection, run: Row[Any], membership_ids: Sequence[UUID]) -> Done:
        parts.append(len(membership_ids))
        if len(parts) == 1:
            raise ZeroDivisionError("the part is taken one by one")
        if len(parts) == 4:
            raise WorkerDied
        return work_on(connection, run, membership_ids)

    monkeypatch.setattr(run_work, "work_on_range", failing)
    monkeypatch.setattr(run_work, "work_on", slow)
    with pytest.raises(WorkerDied):
        club.work(run_id)
    forget_claims(club)
    club.work(run_id)
    assert club.run(run_id)["counts"] == {"issued": 5}
    assert club.value("SELECT count(*) FROM credits WHERE manual") == 5
    assert parts[:4] == [5, 1, 1, 1]


def test_a_replay_one_by_one_leaves_no_attempts_behind(club: Club, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was only looked at has failed nothing, however often a worker died beside it."""
    members = sorted(club.sign_up(3))
    for _ in range(6):
        with monkeypatch.context() as patch:
            run_id = club.replay(work=False)["id"]
            fatal: set[UUID] = {members[0]}
            die_on(patch, fatal)
            with pytest.raises(WorkerDied):
                club.work(run_id)
            fatal.clear()
            forget_claims(club)
            club.work(run_id)
        assert club.run(run_id)["state"] == "finished"
        club.rows("UPDATE schedules SET retry_at = clock_timestamp() - interval '1 second' WHERE retry_at IS NOT NULL")
    assert club.rows("SELECT DISTINCT attempts, quarantined_at FROM schedules") == [(0, None)]


@pytest.mark.parametrize("kind", ["dry run", "preview"])
def test_a_run_that_only_looks_sets_nobody_apart(club: Club, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Whoever may only read asks for previews: a membership that fails in one, or that kills each worker, is passed
    over and counted; its own settling does not notice."""
    members = sorted(club.sign_up(3))
    before = club.rows("SELECT * FROM schedules ORDER BY schedule_id")
    if kind == "preview":
        body = PreviewBody(credit_rule_id=club.rule_id, delete=True, months=2)
        with transaction(club.engine, club.brand_id) as connection:
            run_id = previews.start(connection, club.brand_id, body)
    else:
        run_id = club.replay(dry_run=True, work=False)["id"]
    die_on(monkeypatch, {members[1]})
    deaths = 0
    for _ in range(10):
        try:
            club.work(run_id)
        except WorkerDied:
            deaths += 1
        forget_claims(club)
    assert deaths == 7, "with its batch, with its part, then five times alone"
    assert club.run(run_id)["state"] == "finished"
    assert club.run(run_id)["counts"]["error"] == 1
    assert club.rows("SELECT * FROM schedules ORDER BY schedule_id") == before


def test_a_manual_issue_beside_a_sweep_gives_one_credit(club: Club) -> None:
    """Both mean the same period: whichever comes first, one credit each."""
    club.sign_up(6)
    club.rows("UPDATE credits SET uses = 1, redeemed_at = valid_from")
    club.move_clock("2031-03-01")
    run_id = plan_sweep(club)
    sweeping = threading.Thread(target=club.work, args=(run_id,))
    sweeping.start()
    run = club.issue()
    sweeping.join()
    club.work(run_id)
    assert sum(run["counts"].values()) == 6
    march = [credit for credit in club.credits() if credit[1] == at("2031-02-28").date()]
    assert len(march) == 6
    assert all(credit[2] == 0 for credit in march)
    assert club.issue()["counts"] == {"holds_live_credit": 6}


def test_a_manual_issue_loads_only_its_rules_type(club: Club) -> None:
    """Memberships of other types whose ids lie between are not touched."""
    club.sign_up(6)
    own = club.type_id
    club.type_id = a_type(club, "Silver")
    club.sign_up(30)
    club.type_id = own
    before = club.rows("SELECT schedule_id, xmin::text FROM schedules ORDER BY 1")
    club.issue()
    after = club.rows("SELECT schedule_id, xmin::text FROM schedules ORDER BY 1")
    touched = {now[0] for now, then in zip(after, before, strict=True) if now != then}
    assert touched == set(club.members[:6])


def test_a_manual_issue_reaches_who_has_just_come_to_the_rules_type(club: Club) -> None:
    """Of which type a membership is counts, not what was settled last."""
    own, club.type_id = club.type_id, a_type(club, "Silver")
    came, _stayed = club.sign_up(2)
    club.tell("membership.type_changed", "2031-01-31", {"membership_id": str(came), "membership_type_id": str(own)})
    assert club.rows("SELECT membership_type_id FROM memberships") == [(club.type_id,)] * 2
    assert club.issue()["counts"] == {"issued": 1}
    assert [credit[0] for credit in club.credits()] == [came]


def test_a_replay_of_a_type_is_for_who_is_or_was_of_it(club: Club) -> None:
    """Whoever changed between two others is not."""
    own, silver = club.type_id, a_type(club, "Silver")
    club.sign_up(1)
    (left,) = club.sign_up(1)
    bronze = a_type(club, "Bronze")
    says = {"coupon_id": "tea", "coupon_name": "Tea", "issue_on_signup": True, "effective_from": "2031-01-01"}
    body = NewCreditRule.model_validate({"membership_type_id": str(silver), **says})
    with transaction(club.engine, club.brand_id) as connection:
        rules.create(connection, club.brand_id, body)
    club.type_id = silver
    (other,) = club.sign_up(1)
    assert len(club.rows("DELETE FROM credits RETURNING 1")) == 3, "everybody had one"
    changes = [{"membership_id": str(one), "membership_type_id": str(bronze)} for one in (left, other)]
    club.settle(club.tell("membership.type_changed", "2031-01-31T12:00", *changes))
    club.rows("DELETE FROM credits")
    with transaction(club.engine, club.brand_id) as connection:
        first, last = at("2000-01-01").date(), at("2099-01-01").date()
        run_id = runs.start_replay(
            connection, club.brand_id, membership_type_id=own, first=first, last=last, dry_run=False
        )
    club.work(run_id)
    assert club.run(run_id)["counts"]["issued"] == 2
    assert {credit[0] for credit in club.credits()} == {club.members[0], left}


def test_a_deleted_rule_is_not_known_to_a_replay(club: Club) -> None:
    """A repair that has found something of it goes without it."""
    span = {"first": at("2031-01-01").date(), "last": at("2031-02-01").date(), "dry_run": True}
    repair = Repair()
    with transaction(club.engine, club.brand_id) as connection:
        for _ in range(2):
            missing = {"period_start": span["first"], "credit_rule_id": club.rule_id, "membership_id": uuid4()}
            repair.note({2: [missing]})
        rules.delete(connection, club.brand_id, club.rule_id)
        with pytest.raises(Invalid, match="is not known"):
            runs.start_replay(connection, club.brand_id, credit_rule_id=club.rule_id, **span)  # type: ignore[arg-type]
        run_id = repair.start(connection, club.brand_id)
        assert run_id is not None
        assert runs.read(connection, club.brand_id, run_id)["credit_rule_id"] is None


def test_replaying_changes_nothing_and_fills_what_is_missing(club: Club) -> None:
    """Twice: nothing the second time. With a credit gone: that one, and nothing else touched."""
    club.sign_up(4)
    club.move_clock("2031-04-05")
    while club.sweep() is not None:
        pass
    before = club.credits()
    assert club.replay()["counts"] == {"already_issued": 12}
    assert club.credits() == before
    club.rows("DELETE FROM credits WHERE credit_id IN (SELECT credit_id FROM credits ORDER BY 1 LIMIT 1)")
    assert club.replay()["counts"] == {"issued": 1, "already_issued": 11}
    assert club.replay()["counts"] == {"already_issued": 12}
    assert club.rows("SELECT DISTINCT status FROM memberships") == [("active",)]
    assert club.sweep() is None


def test_a_dry_run_writes_nothing_and_says_what_it_would(club: Club) -> None:
    """Counts and rows by outcome, and every table as it was."""
    club.sign_up(3)
    club.rows("DELETE FROM credits WHERE credit_id IN (SELECT credit_id FROM credits ORDER BY 1 LIMIT 1)")
    before = (club.credits(), club.rows("SELECT * FROM schedules ORDER BY schedule_id"))
    run = club.replay(dry_run=True)
    assert run["counts"] == {"issued": 1, "already_issued": 2}
    assert (club.credits(), club.rows("SELECT * FROM schedules ORDER BY schedule_id")) == before
    with transaction(club.engine, club.brand_id) as connection:
        rows, total = plans.page(connection, club.brand_id, run["id"], 1, 2)
    assert (len(rows), total) == (2, 3)


def test_a_run_rests_while_it_is_paused_and_goes_on_after(club: Club) -> None:
    """Paused: no batch is taken. Resumed: the rest. Cancelled: for good, what it issued stays."""
    club.sign_up(12)
    run_id = club.replay(work=False)["id"]
    batches.work_on_run(club.engine, club.brand_id, run_id)
    with transaction(club.engine, club.brand_id) as connection:
        assert runs.pause(connection, club.brand_id, run_id)["state"] == "paused"
    assert [worked.batch for worked in club.work(run_id)] == [None]
    assert club.run(run_id)["done"] == 5
    with transaction(club.engine, club.brand_id) as connection:
        assert runs.resume(connection, club.brand_id, run_id)["state"] == "running"
    batches.work_on_run(club.engine, club.brand_id, run_id)
    with transaction(club.engine, club.brand_id) as connection:
        assert runs.cancel(connection, club.brand_id, run_id)["state"] == "cancelled"
        with pytest.raises(errors.Conflict):
            runs.resume(connection, club.brand_id, run_id)
    assert [worked.batch for worked in club.work(run_id)] == [None]
    assert club.run(run_id)["done"] == 10


def test_the_reconciler_asks_for_what_was_forgotten(club: Club) -> None:
    """Hints that were wiped: events nobody settled, and runs nobody works on, are found by state after a moment."""
    (member,) = club.sign_up()
    club.tell("membership.status_changed", "2031-01-31T11:00", {"membership_id": str(member), "status": "paused"})
    run_id = club.replay(work=False)["id"]
    assert (club.tick().memberships, club.tick().resumed) == (0, 0), "too fresh to be forgotten"
    club.rows("UPDATE billing_events SET received_at = received_at - interval '1 minute'")
    club.rows("UPDATE runs SET created_at = created_at - interval '1 minute'")
    tick = club.tick()
    assert (tick.memberships, tick.resumed) == (1, 1)
    assert (club.hinted(hints.EVENTS_QUEUE), club.hinted(hints.BULK_QUEUE)) == (1, 1)
    club.work(run_id)
    club.settle([member])
    tick = club.tick()
    assert (tick.memberships, tick.resumed) == (0, 0)


def test_a_tick_is_bounded(club: Club) -> None:
    """However much was forgotten, one tick asks for a bounded part of it."""
    members = club.sign_up(5)
    for member in members:
        club.tell("membership.status_changed", "2031-01-31T11:00", {"membership_id": str(member), "status": "active"})
    club.rows("UPDATE billing_events SET received_at = received_at - interval '1 minute'")
    assert club.tick(TickSizes(memberships=3)).memberships == 3


def test_each_part_of_a_tick_is_bounded_as_it_is_told(club: Club, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also how many of billers' deliveries are looked at once more."""
    asked: list[int] = []
    monkeypatch.setattr(deliveries, "look_again", lambda _, most: asked.append(most))
    club.tick(TickSizes(deliveries=3))
    assert asked == [3]


def test_a_long_run_has_few_hints_under_way(club: Club) -> None:
    """Whatever its size, a run asks for a few batches at once: other runs get their share of the workers."""
    club.sign_up(60)
    club.move_clock("2031-03-01")
    assert club.tick().batches == 12
    assert club.hinted() == limits.current.hints.of_a_run
