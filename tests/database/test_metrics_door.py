"""`/metrics` can ask for a key, and can be at an address of its own; it names no brand."""

import asyncio
import time
from collections import Counter
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import Connection, Engine

from issuance import health
from issuance.api.app import create_app
from issuance.api.health import SCRAPES, metrics_door
from issuance.database.connections import transaction
from issuance.settings import Settings
from issuance.tenancy import brands
from tests.database.test_rates import some_address
from tests.limits import Limit, count_at_leisure


def made(database_url: str, **said: str) -> FastAPI:
    return create_app(
        Settings.model_validate({"DATABASE_URL": database_url, "REDIS_URL": "redis://127.0.0.1:1", **said})
    )


def get(app: Any, path: str = "/metrics", key: str | None = None, address: str = "127.0.0.1") -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get(path, headers={} if key is None else {"Authorization": f"Bearer {key}"})

    return asyncio.run(ask())


def test_it_asks_for_a_key_where_there_is_one(database_url: str) -> None:
    """No other opens it; and no setting shows it."""
    app = made(database_url, ISSUANCE_METRICS_KEY="scrape-me")
    assert [get(app, key=key).status_code for key in (None, "wrong", "scrape-me")] == [401, 401, 200]
    assert "scrape-me" not in repr(app.state.settings)


def test_its_key_is_guessed_so_often(database_url: str, redis_url: str, limit: Limit) -> None:
    """From one address, as other keys are; who shows none guesses nothing."""
    count_at_leisure(limit)
    app = made(database_url, REDIS_URL=redis_url, ISSUANCE_METRICS_KEY="scrape-me", ISSUANCE_RATE_WRONG_KEYS="2")
    address = some_address()
    shown = (None, None, None, "wrong", "wrong", "wrong", "scrape-me")
    statuses = [get(app, key=key, address=address).status_code for key in shown]
    assert statuses == [401, 401, 401, 401, 401, 429, 429]
    assert get(app, key="scrape-me", address=some_address()).status_code == 200


def test_it_can_be_at_an_address_of_its_own(database_url: str) -> None:
    """There is nothing else there, and it is nowhere else."""
    app = made(database_url, ISSUANCE_METRICS_HOST="127.0.0.1", ISSUANCE_METRICS_KEY="scrape-me")
    door = metrics_door(app)
    assert get(app, key="scrape-me").status_code == 404
    assert get(door).status_code == 401
    assert get(door, key="scrape-me").status_code == 200
    for path in ("/healthz", "/runs", "/openapi.json", "/docs"):
        assert get(door, path, "scrape-me").status_code == 404


def test_scrapes_at_its_own_address_are_few_at_once(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes a connection of the process; and nothing of the one event loop is another's."""
    app = made(database_url, ISSUANCE_METRICS_HOST="127.0.0.1")
    door, under_way, most, figures = metrics_door(app), Counter[str](), 0, health.figures
    assert door.state.looking is not app.state.looking

    def slow(connection: Connection) -> dict[str, float]:
        nonlocal most
        under_way["now"] += 1
        most = max(most, under_way["now"])
        time.sleep(0.05)
        under_way["now"] -= 1
        return figures(connection)

    monkeypatch.setattr(health, "figures", slow)

    async def scrape() -> int:
        transport = httpx.ASGITransport(door, client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return (await client.get("/metrics")).status_code

    async def scrapes() -> list[int]:
        return await asyncio.gather(*(scrape() for _ in range(10)))

    assert set(asyncio.run(scrapes())) == {200}
    assert most == SCRAPES


def test_it_names_no_brand(database_url: str, engine: Engine) -> None:
    """By name; and no address, code or key is a label."""
    with transaction(engine) as connection:
        brand_id, key = brands.create(connection, name="Secret Spa", timezone="UTC", sandbox=True)
    app = made(database_url)
    for path in ("/runs", "/customers/credits/SOMECODE", "/nowhere/else"):
        get(app, path, key)
    said = get(app).text
    assert "issuance_request_seconds" in said
    for secret in ("Secret Spa", "SOMECODE", "nowhere/else", key, str(brand_id)):
        assert secret not in said
