"""Hints ask for what is committed, and their loss is nobody's failure (docs/decisions 2, 11)."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import dramatiq
import httpx
import pytest
import redis
from dramatiq.brokers.stub import StubBroker
from fastapi import FastAPI
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from issuance import hints
from issuance.api.app import create_app
from issuance.database.connections import transaction
from issuance.settings import Settings
from issuance.tenancy import idempotency, keys
from tests.waiting import PATIENCE_SECONDS
from worker import messages


@pytest.fixture
def key(engine: Engine, brand_id: UUID) -> str:
    with transaction(engine, brand_id) as connection:
        return keys.create(connection, brand_id, ["admin"])[1]


@pytest.fixture
def post(database_url: str, broker: StubBroker, key: str) -> Callable[..., httpx.Response]:
    """Posts to an application in this process."""
    app: FastAPI = create_app(Settings(DATABASE_URL=database_url, REDIS_URL="redis://127.0.0.1:1"))
    app.state.broker = broker

    async def ask(path: str, body: Any, headers: dict[str, str]) -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.post(path, json=body, headers={"Authorization": f"Bearer {key}", **headers})

    return lambda path, body, **headers: asyncio.run(ask(path, body, headers))


def test_hints_for_work_that_was_undone_are_not_sent(
    post: Callable[..., httpx.Response],
    broker: StubBroker,
    signed_up: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With an Idempotency-Key work and answer are committed together: until then nobody is asked for anything."""
    event = signed_up(uuid4())
    with monkeypatch.context() as patch:
        patch.setattr(idempotency, "keep", failing)
        assert post("/billing-events", event, **{"Idempotency-Key": "k"}).status_code >= 500
    assert broker.queues[hints.EVENTS_QUEUE].qsize() == 0
    assert post("/billing-events", event, **{"Idempotency-Key": "k"}).json()["accepted"] == 1
    assert broker.queues[hints.EVENTS_QUEUE].qsize() == 1


def failing(*_: object) -> None:
    raise OperationalError("UPDATE", {}, Exception("gone"))


@pytest.mark.parametrize("error", [redis.exceptions.OutOfMemoryError, redis.ConnectionError, redis.TimeoutError])
def test_where_the_queue_is_away_events_are_accepted(
    post: Callable[..., httpx.Response],
    signed_up: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    error: type[Exception],
) -> None:
    """They stand in PostgreSQL; the reconciler finds what nobody was asked for."""

    def away(*_: object, **__: object) -> dramatiq.Message[None]:
        raise error

    monkeypatch.setattr(StubBroker, "enqueue", away)
    assert post("/billing-events", signed_up(uuid4())).json()["accepted"] == 1


class LooksNowAndThen(messages.TrustsItsQueue):
    """A worker's broker that notices nothing in time without the bell."""

    looks_every = messages.LooksEvery(idle=2 * PATIENCE_SECONDS)


def test_who_waits_for_a_queue_is_woken(redis_url: str) -> None:
    """A worker whose next look is minutes away takes a hint when it is sent."""
    broker = hints.broker_for(redis_url, LooksNowAndThen)
    broker.flush(hints.BULK_QUEUE)  # what other tests asked for
    consumer = broker.consume(hints.BULK_QUEUE)
    run_id = uuid4()
    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(lambda: next(message for message in consumer if message is not None))
        time.sleep(0.5)  # it has looked, and waits
        hints.work_on_run(broker, uuid4(), run_id)
        assert looking.result(PATIENCE_SECONDS / 2).args[1] == str(run_id)
    consumer.close()


def test_brands_that_were_slow_have_one_worker_of_a_host_between_them(redis_url: str) -> None:
    """However many there are; everybody else has the other workers, and a place is given back."""
    broker = hints.broker_for(redis_url)
    slow, slow_too, quick = uuid4(), uuid4(), uuid4()
    hints.was_slow(broker, slow)
    hints.was_slow(broker, slow_too)
    with (
        hints.place_for(broker, slow) as first,
        hints.place_for(broker, slow_too) as second,
        hints.place_for(broker, slow) as again,
        hints.place_for(broker, quick) as other,
    ):
        assert (first, second, again, other) == (True, False, False, True)
    with hints.place_for(broker, slow_too) as free:
        assert free


def test_without_a_broker_nobody_is_slow() -> None:
    """What is not known holds nobody up."""
    broker = hints.broker_for("redis://127.0.0.1:1")
    hints.was_slow(broker, uuid4())
    with hints.place_for(broker, uuid4()) as place:
        assert place
