"""Requests that carry the same events wait for each other, never in a circle (issuance/inbox.py)."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine, text

from issuance import events
from issuance.database import show, transaction
from issuance.events import Intake

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
