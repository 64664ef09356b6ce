"""Processes of 0.2.0 that work beside newer ones do no run that they would take for another (docs/operations.md)."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from issuance.database.connections import transaction
from issuance.engine import plans, runs
from tests.database.clubs import Club
from tests.database.test_batches import preview
from tests.database.test_batches import undo_of_an_issue as undo

_OLD = text("SET LOCAL application_name = 'issuance 0.2.0 schema 2'")
# As 0.2.0 plans and claims.
_PLAN = text("UPDATE runs SET state = 'running', started_at = clock_timestamp() WHERE run_id = :run_id")
_CLAIM = text("""
    UPDATE run_batches SET attempts = attempts + 1, claimed_at = clock_timestamp()
     WHERE run_id = :run_id AND finished_at IS NULL
""")


def started(club: Club, **says: Any) -> UUID:
    with transaction(club.engine, club.brand_id) as connection:
        return runs.start_issue(connection, club.brand_id, club.rule_id, include_upcoming=True, **says)


def dry_run(club: Club) -> UUID:
    return started(club, dry_run=True)


def narrowed(club: Club) -> UUID:
    return started(club, membership_ids=club.members[:1])


def approved(club: Club) -> UUID:
    club.rows("UPDATE credits SET uses = 1, redeemed_at = valid_from")
    plan = dry_run(club)
    club.work(plan)
    with transaction(club.engine, club.brand_id) as connection:
        return plans.approve(connection, club.brand_id, plan, None)


def replay(club: Club) -> UUID:
    run_id: UUID = club.replay(work=False)["id"]
    return run_id


@pytest.mark.parametrize(
    ("start", "known"),
    [
        (dry_run, False),
        (narrowed, False),
        (undo, False),
        (approved, False),
        (preview, False),
        (replay, True),
        (started, True),
    ],
    ids=lambda one: getattr(one, "__name__", None),
)
def test_an_older_process_does_no_run_that_it_does_not_know(
    club: Club, start: Callable[[Club], UUID], known: bool
) -> None:
    """It plans none and takes no batch of one; what it knows it does, and a newer process does every run."""
    club.sign_up(3)
    run_id = start(club)

    def older(statement: Any) -> bool:
        try:
            with transaction(club.engine, club.brand_id) as connection:
                connection.execute(_OLD)
                beside = connection.begin_nested()
                connection.execute(statement, {"run_id": run_id})
                beside.rollback()
        except DBAPIError as error:
            if "a newer process works on it" not in str(error):
                raise
            return False
        return True

    assert older(_PLAN) is known
    club.work(run_id)
    assert club.run(run_id)["state"] == "finished"
    club.rows("UPDATE run_batches SET finished_at = NULL WHERE run_id = :run_id", run_id=run_id)
    assert older(_CLAIM) is known
