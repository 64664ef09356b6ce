"""Requests that come at once wait for each other, and never in a circle."""

import time
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
from issuance.members import members, redemptions, wallets
from issuance.members.redemptions import Booking

_WAITING = text("""
    SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()
""")


def wait_for_waiting(engine: Engine, number: int) -> None:
    for _ in range(2000):
        with transaction(engine) as connection:
            if connection.scalar(_WAITING) == number:
                return
        time.sleep(0.01)
    raise AssertionError(f"{number} should wait for a lock")


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


def test_canceling_waits_for_completing_and_loses(engine: Engine, brand_id: UUID) -> None:
    """What is completed in the same moment is not canceled, and its points do not come back."""
    with transaction(engine, brand_id) as connection:
        members.ensure(connection, brand_id, ["ada"])
        wallets.credit(connection, brand_id, "ada", 10, None)
        made: UUID = redemptions.redeem_points(connection, brand_id, 3, "ada", Booking())["id"]
        for status in ("OPEN", "AWAITING_VENDOR", "AWAITING_CUSTOMER", "PURCHASED"):
            redemptions.move(connection, brand_id, made, status)

    def cancel() -> None:
        with transaction(engine, brand_id) as connection:
            redemptions.move(connection, brand_id, made, "CANCELED")

    with ThreadPoolExecutor(1) as pool:
        with transaction(engine, brand_id) as completing:
            redemptions.move(completing, brand_id, made, "COMPLETED")
            canceled = pool.submit(cancel)
            wait_for_waiting(engine, 1)
        with pytest.raises(InvalidTransition):
            canceled.result()
    with transaction(engine, brand_id) as connection:
        assert redemptions.get(connection, brand_id, made)["status"] == "COMPLETED"
        assert wallets.read(connection, brand_id, "ada")["balance"] == 7
