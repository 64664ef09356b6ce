"""Requests that come at once wait for each other, and never in a circle."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text

from issuance.billing import events
from issuance.billing.events import Intake
from issuance.database.connections import show, transaction
from issuance.errors import InvalidTransition
from issuance.members import members, moves, redemptions, wallets
from issuance.members.redemptions import Booking
from tests.database.conftest import event
from tests.waiting import eventually

_WAITING = text("""
    SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()
""")


def wait_for_waiting(engine: Engine, number: int) -> None:
    """So many wait for a lock."""

    def wait() -> bool:
        with transaction(engine) as connection:
            return bool(connection.scalar(_WAITING) == number)

    eventually(wait, every=0.01)


def test_the_same_events_in_two_orders_are_no_deadlock(
    engine: Engine, brand_id: UUID, accept: Callable[..., Intake], signed_up: Callable[..., dict[str, Any]]
) -> None:
    """Two requests bring the first and the last of three from either end, and a third holds the one in the middle:
    whoever was first goes on, the other finds doubles."""
    first, middle, last = sorted((signed_up(uuid4()) for _ in range(3)), key=lambda event: str(event["id"]))
    with ThreadPoolExecutor(2) as pool:
        with engine.connect() as held:
            show(held, brand_id)
            events.accept(held, brand_id, [middle])
            intakes = [pool.submit(accept, *bodies) for bodies in ([first, middle, last], [last, middle, first])]
            wait_for_waiting(engine, 2)
            held.rollback()
        accepted = sorted(intake.result().accepted for intake in intakes)
    assert accepted == [0, 3]


def party_of(*names: str) -> list[dict[str, Any]]:
    """Guests by the ids that the brand knows them by, the first of them the lead booker."""
    return [{"name": name, "external_user_id": name, "lead_booker": number == 0} for number, name in enumerate(names)]


def test_who_is_named_and_signs_up_at_once_is_a_member(
    engine: Engine, brand_id: UUID, accept: Callable[..., Intake], signed_up: Callable[..., dict[str, Any]]
) -> None:
    """The sign-up waits for whoever names the person for the first time, and makes of that record a member."""
    with ThreadPoolExecutor(1) as pool:
        with transaction(engine, brand_id) as naming:
            events.accept(naming, brand_id, [signed_up(external_user_id="ada", guests=party_of("ada", "bob"))])
            joined = pool.submit(accept, signed_up(external_user_id="bob"))
            wait_for_waiting(engine, 1)
        assert joined.result().accepted == 1
    with transaction(engine, brand_id) as connection:
        assert members.get(connection, brand_id, "bob")["created_at"] is not None
        assert connection.scalar(text("SELECT count(*) FROM members WHERE external_user_id = 'bob'")) == 1


def test_an_id_is_free_where_its_sign_up_came_too_late(
    engine: Engine, brand_id: UUID, accept: Callable[..., Intake], signed_up: Callable[..., dict[str, Any]]
) -> None:
    """Somebody else signs the membership up meanwhile: what comes after the sign-up under its id is taken in."""
    membership_id = uuid4()
    late = signed_up(membership_id)
    paid = {"membership_id": str(membership_id), "charge_id": "c", "period_start": "2031-01-01"}
    charge = {**event("charge.succeeded", paid), "id": late["id"], "source": late["source"]}
    with ThreadPoolExecutor(1) as pool:
        with transaction(engine, brand_id) as connection:
            events.accept(connection, brand_id, [signed_up(membership_id)])
            waiting = pool.submit(accept, late, charge, charge)
            wait_for_waiting(engine, 1)
        intake = waiting.result()
    assert (intake.accepted, intake.duplicates, [one.code for one in intake.rejected]) == (1, 1, ["already_signed_up"])


@pytest.mark.parametrize("known", [False, True], ids=["for the first time", "again"])
def test_two_who_sign_up_and_name_each_other_are_no_deadlock(
    engine: Engine,
    brand_id: UUID,
    accept: Callable[..., Intake],
    signed_up: Callable[..., dict[str, Any]],
    *,
    known: bool,
) -> None:
    """Records of people are made, and made members, in one order, whoever names whom; and a third holds the first."""
    if known:
        accept(signed_up(external_user_id="zoe", guests=party_of("zoe", "ada", "bob")))
    with ThreadPoolExecutor(2) as pool:
        with engine.connect() as held:
            show(held, brand_id)
            members.ensure(held, brand_id, ["ada"])
            sign_ups = [
                signed_up(external_user_id=one, guests=party_of(one, other))
                for one, other in (("ada", "bob"), ("bob", "ada"))
            ]
            intakes = [pool.submit(accept, body) for body in sign_ups]
            wait_for_waiting(engine, 1 if known else 2)
            held.rollback()
        assert [intake.result().accepted for intake in intakes] == [1, 1]
    with transaction(engine, brand_id) as connection:
        assert {name: members.get(connection, brand_id, name)["archived_at"] for name in ("ada", "bob")} == {
            "ada": None,
            "bob": None,
        }


def test_naming_known_members_leaves_their_records_alone(
    engine: Engine, brand_id: UUID, accept: Callable[..., Intake], signed_up: Callable[..., dict[str, Any]]
) -> None:
    """They are not written again, and locked against archiving only: two sign-ups of one member do not wait."""
    accept(signed_up(external_user_id="ada", guests=party_of("ada", "bob")))
    rows = text("SELECT ctid::text, * FROM members WHERE brand_id = :brand_id ORDER BY external_user_id")
    with transaction(engine, brand_id) as connection:
        before = connection.execute(rows, {"brand_id": brand_id}).all()
        events.accept(connection, brand_id, [signed_up(external_user_id="ada", guests=party_of("ada", "bob"))])
        assert accept(signed_up(external_user_id="ada", guests=party_of("ada", "bob"))).accepted == 1
        assert connection.execute(rows, {"brand_id": brand_id}).all() == before


def test_canceling_waits_for_completing_and_loses(engine: Engine, brand_id: UUID) -> None:
    """What is completed in the same moment is not canceled, and its points do not come back."""
    with transaction(engine, brand_id) as connection:
        members.ensure(connection, brand_id, ["ada"])
        wallets.credit(connection, brand_id, "ada", 10, None)
        made: UUID = redemptions.redeem_points(connection, brand_id, 3, "ada", Booking())["id"]
        for status in ("OPEN", "AWAITING_VENDOR", "AWAITING_CUSTOMER", "PURCHASED"):
            moves.move(connection, brand_id, made, status)

    def cancel() -> None:
        with transaction(engine, brand_id) as connection:
            moves.move(connection, brand_id, made, "CANCELED")

    with ThreadPoolExecutor(1) as pool:
        with transaction(engine, brand_id) as completing:
            moves.move(completing, brand_id, made, "COMPLETED")
            canceled = pool.submit(cancel)
            wait_for_waiting(engine, 1)
        with pytest.raises(InvalidTransition):
            canceled.result()
    with transaction(engine, brand_id) as connection:
        assert redemptions.get(connection, brand_id, made)["status"] == "COMPLETED"
        assert wallets.read(connection, brand_id, "ada")["balance"] == 7
