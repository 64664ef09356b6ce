"""Whoever waits for each other comes to an end: PostgreSQL ends none for waiting in a circle (docs/database.md)."""

import json
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from uuid_utils.compat import uuid7

from issuance.billers import deliveries
from issuance.database.connections import show, transaction
from issuance.engine import schedules, undos
from issuance.errors import RedemptionAlreadyExists
from issuance.members import erased, moves, redemptions
from issuance.members.redemptions import Booking
from issuance.memberships import archiving, forgetting, restoring
from tests.database.beside import Beside
from tests.database.clubs import Club, at
from tests.limits import Limit

pytestmark = pytest.mark.usefixtures("whole")


def test_an_undo_beside_who_holds_one_of_its_memberships(club: Club, beside: Beside, limit: Limit) -> None:
    """Somebody holds the schedule of one and needs that of another, which shares its."""
    limit("settling", fewest_sharing=4)
    sharing, *_ = club.sign_up(5)
    club.move_clock("2031-03-01")
    club.sweep()
    (held,) = club.sign_up(1)
    with transaction(club.engine, club.brand_id) as connection:
        undo_id = undos.start_of_version(connection, club.brand_id, club.rule_id, 1, at("2031-01-01"), "a mistake")
    with transaction(club.engine, club.brand_id) as connection:
        schedules.own(connection, club.brand_id, [held])
        assert beside.begin(lambda: club.work(undo_id))
        schedules.own(connection, club.brand_id, [sharing])
    beside.end()
    assert beside.errors == []
    assert club.run(undo_id)["counts"]["revoked"] == club.value("SELECT count(*) FROM credits")


def test_an_undo_beside_a_sweep_that_lets_its_memberships_share_anew(club: Club, beside: Beside, limit: Limit) -> None:
    """It has all of them, by whatever they wait once it has waited."""
    limit("settling", fewest_sharing=4)
    members = sorted(club.sign_up(5))
    club.move_clock("2031-03-01")
    club.sweep()
    shared = club.value("SELECT schedule_id FROM schedules WHERE shared")
    whole = UUID(int=0), UUID(int=2**128 - 1)

    def lock() -> None:
        with transaction(club.engine, club.brand_id) as connection:
            schedules.lock(connection, club.brand_id, *whole)
            schedule_ids = "SELECT schedule_id FROM membership_schedules WHERE brand_id = :brand_id"
            free = f"SELECT schedule_id FROM schedules WHERE schedule_id IN ({schedule_ids}) FOR UPDATE SKIP LOCKED"
            with transaction(club.engine, club.brand_id) as other:
                assert other.execute(text(free), {"brand_id": club.brand_id}).all() == []

    with transaction(club.engine, club.brand_id) as connection:
        connection.execute(text("SELECT FROM schedules WHERE schedule_id = :id FOR UPDATE"), {"id": shared})
        assert beside.begin(lock)
        schedules.leave(connection, club.brand_id, members)
    beside.end()
    assert beside.errors == []


def test_who_books_an_offer_anew_while_it_is_canceled(
    club: Club, beside: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the one credit of many uses: until the cancelling is done the offer is booked already."""
    club.sign_up()
    club.rows("UPDATE credits SET multi_use = true")
    code = club.value("SELECT code FROM credits")

    def book() -> UUID:
        with transaction(club.engine, club.brand_id) as connection:
            made: UUID = redemptions.redeem_credit(connection, club.brand_id, code, Booking(offer_id="spa"))[
                "redemption"
            ]["id"]
        return made

    redemption_id = book()
    wake = schedules.wake

    def and_book(*given: Any) -> None:
        beside.begin(book)
        wake(*given)

    monkeypatch.setattr(schedules, "wake", and_book)
    with transaction(club.engine, club.brand_id) as connection:
        moves.move(connection, club.brand_id, redemption_id, "CANCELED")
    beside.end()
    assert [type(error) for error in beside.errors] == [RedemptionAlreadyExists]
    book()
    assert club.value("SELECT uses FROM credits") == 1


def test_restoring_beside_the_translating_of_webhooks(club: Club, beside: Beside) -> None:
    """Translating holds its biller and then asks who is erased."""
    biller_id = uuid7()
    made = "INSERT INTO billers (brand_id, biller_id, kind, secrets) VALUES (:brand_id, :id, 'stripe', ARRAY[:secret])"
    club.rows(made, id=biller_id, secret=b"sealed")
    (ada,) = club.sign_up()
    with club.engine.connect() as trial:
        show(trial, club.brand_id)
        archiving.archive(trial, club.brand_id, f"member {ada}", retain_balance=False)
        forgetting.erase(trial, club.brand_id, f"member {ada}")
        document = json.loads(json.dumps(erased.document(trial), default=str))
        trial.rollback()  # the backup was brought back

    def restore() -> None:
        with transaction(club.engine, club.brand_id) as connection:
            restoring.apply(connection, restoring.read(document), club.brand_id)

    with transaction(club.engine, club.brand_id) as connection:
        deliveries.lock(connection, biller_id, wait=True)
        assert beside.begin(restore)
        erased.of(connection, club.brand_id)
    beside.end()
    assert beside.errors == []
