"""A batch that is done in parts: what passes by itself, and commits whose replies are lost."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, Row, text
from sqlalchemy.exc import OperationalError

from issuance.catalog import previews
from issuance.catalog.previews import PreviewBody
from issuance.database.connections import transaction
from issuance.engine import batches, run_work, undos
from issuance.engine.run_work import Done
from tests.database.clubs import Club
from tests.limits import Limit

_FULL_DISK = text("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = 'No space left on device'; END $$")


def forget_claims(club: Club) -> None:
    club.rows("UPDATE run_batches SET claimed_at = claimed_at - interval '1 minute'")


def undo_of_an_issue(club: Club) -> UUID:
    club.rows("UPDATE credits SET uses = 1, redeemed_at = valid_from")
    issued = club.issue()
    with transaction(club.engine, club.brand_id) as connection:
        return undos.start_of_run(connection, club.brand_id, issued["id"], "a mistake")


def preview(club: Club) -> UUID:
    with transaction(club.engine, club.brand_id) as connection:
        body = PreviewBody(credit_rule_id=club.rule_id, delete=True, months=2)
        return previews.start(connection, club.brand_id, body)


def dry_run(club: Club) -> UUID:
    run_id: UUID = club.replay(dry_run=True, work=False)["id"]
    return run_id


@pytest.mark.parametrize("asked", [undo_of_an_issue, preview, dry_run])
def test_what_passes_by_itself_passes_over_nobody(club: Club, monkeypatch: pytest.MonkeyPatch, asked: Any) -> None:
    """A run that settles nobody waits for it, however often it is met."""
    club.sign_up(4)
    run_id = asked(club)

    def full_disk(connection: Connection, *_: object) -> Done:
        connection.execute(_FULL_DISK)
        raise AssertionError

    with monkeypatch.context() as patch:
        patch.setattr(run_work, "work_on_range", full_disk)
        patch.setattr(run_work, "work_on", full_disk)
        for _ in range(8):
            with pytest.raises(OperationalError):
                club.work(run_id)
            forget_claims(club)
    club.work(run_id)
    run = club.run(run_id)
    assert (run["state"], run["done"], run["counts"].get("error")) == ("finished", 4, None)


def test_restarts_that_are_none_of_its_fault_pass_over_nobody(
    club: Club, monkeypatch: pytest.MonkeyPatch, limit: Limit
) -> None:
    """A long batch goes on after each; it is not the tenth membership that all of them died at."""
    club.sign_up(10)
    limit("settling", part=1)
    run_id = undo_of_an_issue(club)
    work_on, worked = run_work.work_on, 0

    def restarted(connection: Connection, run: Row[Any], membership_ids: Sequence[UUID]) -> Done:
        nonlocal worked
        worked += 1
        if worked % 2 == 0:
            raise SystemExit
        return work_on(connection, run, membership_ids)

    monkeypatch.setattr(run_work, "work_on_range", lambda *_: 1 / 0)
    monkeypatch.setattr(run_work, "work_on", restarted)
    for _ in range(9):
        with pytest.raises(SystemExit):
            club.work(run_id)
        forget_claims(club)
    club.work(run_id)
    assert club.run(run_id)["counts"] == {"revoked": 10}


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_part_whose_reply_was_lost_is_done_once(
    club: Club, monkeypatch: pytest.MonkeyPatch, limit: Limit, size: int, lost: int
) -> None:
    """Its COMMIT was done: who has used the credit meanwhile gets no second one, and each is counted once."""
    club.sign_up(5)
    club.rows("UPDATE credits SET uses = 1, redeemed_at = valid_from")
    limit("settling", part=size)
    work_on, done, ending = run_work.work_on, 0, False

    def work(connection: Connection, run: Row[Any], membership_ids: Sequence[UUID]) -> Done:
        nonlocal done, ending
        done += 1
        ending = done == lost
        return work_on(connection, run, membership_ids)

    @contextmanager
    def losing(engine: Engine, brand_id: UUID | None = None) -> Iterator[Connection]:
        nonlocal ending
        with transaction(engine, brand_id) as connection:
            yield connection
        if ending:
            ending = False
            club.rows("UPDATE credits SET uses = 1, redeemed_at = valid_from WHERE manual")
            raise ConnectionError("the reply was lost")

    monkeypatch.setattr(run_work, "work_on_range", lambda *_: 1 / 0)
    monkeypatch.setattr(run_work, "work_on", work)
    monkeypatch.setattr(batches, "transaction", losing)
    assert club.issue()["counts"] == {"issued": 5}
    assert club.value("SELECT count(*) FROM credits WHERE manual") == 5
