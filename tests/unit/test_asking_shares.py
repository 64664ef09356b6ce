"""Billers that answer slowly keep few of the threads that deliveries have."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from dramatiq.brokers.stub import StubBroker

from tests.waiting import PATIENCE_SECONDS
from worker.actors import ASKED_A_BRAND, Actors

ASKED_AT_ONCE = 6


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[list[UUID], threading.Semaphore, threading.Event]]:
    """Asking takes until it is told to end: whose billers are being asked, what counts them, and what ends it."""
    asked: list[UUID] = []
    over, begun = threading.Event(), threading.Semaphore(0)

    def ask(_: Any, brand_id: UUID, __: UUID) -> None:
        asked.append(brand_id)
        begun.release()
        over.wait(PATIENCE_SECONDS)

    monkeypatch.setattr(Actors, "_ask", ask)
    yield asked, begun, over
    over.set()


def test_a_brand_has_its_share_of_asking(slow: tuple[list[UUID], threading.Semaphore, threading.Event]) -> None:
    """Two of its billers at once; the others come again with the next tick, and another brand's is asked meanwhile."""
    asked, begun, over = slow
    actors, ours, theirs = Actors(None, StubBroker()), uuid4(), uuid4()  # type: ignore[arg-type]
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        for _ in range(ASKED_A_BRAND):
            pool.submit(actors.ask_biller, str(ours), str(uuid4()))
            assert begun.acquire(timeout=PATIENCE_SECONDS / 2)
        actors.ask_biller(str(ours), str(uuid4()))
        assert asked == [ours] * ASKED_A_BRAND
        pool.submit(actors.ask_biller, str(theirs), str(uuid4()))
        assert begun.acquire(timeout=PATIENCE_SECONDS / 2)
        assert asked[-1] == theirs
        over.set()
