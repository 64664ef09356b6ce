"""A key is believed to be good for less than a second without asking, and no longer by whoever revoked it."""

import asyncio
from datetime import timedelta
from uuid import UUID

import httpx
import pytest
from sqlalchemy import Connection, Engine, func, update

from issuance import limits
from issuance.api.app import create_app
from issuance.database import looks_for, transaction
from issuance.database.tables import api_keys
from issuance.settings import Settings
from issuance.tenancy import brands, keys, known_keys
from tests.limits import Limit


class Time:
    """Passes when it is told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(known_keys, "monotonic", time)
    return time


@pytest.fixture
def looks(database_url: str) -> Engine:
    return looks_for(database_url)


@pytest.fixture
def made(engine: Engine) -> tuple[UUID, UUID, str]:
    with transaction(engine) as connection:
        brand_id, _ = brands.create(connection, name="Spa", timezone="UTC", sandbox=True)
        return brand_id, *keys.create(connection, brand_id, ["read"])


def revoke(engine: Engine, brand_id: UUID, key_id: UUID) -> None:
    with transaction(engine, brand_id) as connection:
        keys.revoke(connection, brand_id, key_id)


def test_a_key_is_believed_for_less_than_a_second(
    engine: Engine, looks: Engine, made: tuple[UUID, UUID, str], time: Time
) -> None:
    """Counted from before it was asked for. Revoked by somebody else meanwhile, it is refused when it is asked for."""
    brand_id, key_id, key = made
    assert known_keys.recall(key) is None
    assert known_keys.find(looks, key) == known_keys.recall(key)
    revoke(engine, brand_id, key_id)
    time.now += limits.current.callers.believed - 0.01
    assert known_keys.recall(key) is not None
    time.now += 0.02
    assert known_keys.recall(key) is None
    assert known_keys.find(looks, key) is None
    assert limits.current.callers.believed < 1


def test_whoever_revoked_a_key_refuses_it_at_once(
    engine: Engine, looks: Engine, made: tuple[UUID, UUID, str], time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody else of the process read before that is not believed either."""
    brand_id, key_id, key = made
    known_keys.find(looks, key)
    find = keys.find

    def and_then_it_is_revoked(*asked: object) -> keys.Key | None:
        found = find(*asked)  # type: ignore[arg-type]
        revoke(engine, brand_id, key_id)
        time.now += 0.1
        known_keys.forget(key_id)
        return found

    monkeypatch.setattr(keys, "find", and_then_it_is_revoked)
    assert known_keys.find(looks, key) is not None
    assert known_keys.recall(key) is None


def test_a_key_is_not_believed_beyond_its_expiry(
    engine: Engine, looks: Engine, made: tuple[UUID, UUID, str], time: Time, limit: Limit
) -> None:
    limit("callers", believed=600)
    brand_id, key_id, key = made
    with transaction(engine, brand_id) as connection:
        soon = func.now() + timedelta(seconds=300)
        connection.execute(update(api_keys).where(api_keys.c.key_id == key_id).values(expires_at=soon))
    assert known_keys.find(looks, key) is not None
    time.now += 300
    assert known_keys.recall(key) is None


def test_what_is_no_key_is_not_remembered(looks: Engine, time: Time) -> None:
    assert known_keys.find(looks, "iss_live_" + "0" * 49) is None
    assert known_keys.recall("iss_live_" + "0" * 49) is None


def test_many_who_come_with_one_key_ask_a_few_times(
    database_url: str, redis_url: str, made: tuple[UUID, UUID, str], monkeypatch: pytest.MonkeyPatch, limit: Limit
) -> None:
    """A hundred requests at once are no hundred looks, behind which everybody else's key would wait."""
    looked_up: list[str] = []
    find = keys.find

    def counted(connection: Connection, shown: str) -> keys.Key | None:
        looked_up.append(shown)
        return find(connection, shown)

    monkeypatch.setattr(keys, "find", counted)
    limit("callers", believed=60)  # however slow the machine
    app = create_app(Settings.model_validate({"DATABASE_URL": database_url, "REDIS_URL": redis_url}))

    async def ask() -> set[int]:
        headers = {"Authorization": f"Bearer {made[2]}"}
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
            return {answer.status_code for answer in await asyncio.gather(*[client.get("/runs") for _ in range(100)])}

    assert asyncio.run(ask()) == {200}
    assert len(looked_up) <= 8
