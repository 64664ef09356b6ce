"""A guard lets out no more, however many workers issue at once and whichever of them dies (SEMANTICS 17)."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from issuance.database.connections import transaction
from issuance.engine import batches, guards
from issuance.engine.guards import Guard
from tests.database.clubs import Club
from tests.database.guarding import guard, held, issued, reserve, small_batches
from tests.waiting import PATIENCE_SECONDS, eventually

__all__ = ["small_batches"]


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
