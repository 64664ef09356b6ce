"""What is only read has so long in PostgreSQL: whoever asked for it may be gone, and it goes on for nobody."""

import asyncio
from uuid import UUID

import httpx
from sqlalchemy import Engine, text

from issuance.api.app import create_app
from issuance.console.visits import COOKIE
from issuance.database.connections import transaction
from issuance.people import people, sessions
from issuance.settings import Settings
from issuance.tenancy import keys
from tests.limits import Limit

_HELD = text("LOCK TABLE coupons IN ACCESS EXCLUSIVE MODE")


def test_a_read_that_takes_long_is_stopped(
    engine: Engine, database_url: str, redis_url: str, brand_id: UUID, limit: Limit
) -> None:
    """By the API and by the console, which say so; what writes goes on."""
    limit("database", read_timeout="200ms")
    with transaction(engine, brand_id) as connection:
        _, key = keys.create(connection, brand_id, ["write", "read"])
        shown = sessions.begin(connection, people.add(connection, brand_id, "who@reads.example", "viewer"))
    app = create_app(Settings.model_validate({"DATABASE_URL": database_url, "REDIS_URL": redis_url}))
    body = {"name": "Spa", "discount": {"type": "percent", "value": 10}}

    async def ask() -> None:
        transport = httpx.ASGITransport(app)
        headers = {"Authorization": f"Bearer {key}", "Cookie": f"{COOKIE}={shown}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
            with engine.begin() as held:
                held.execute(_HELD)
                read = await client.get("/customers/coupons")
                page = await client.get(f"/console/{brand_id}/catalog")
                writes = asyncio.create_task(client.put("/customers/coupons/spa", json=body))
                await asyncio.sleep(0.5)
                assert not writes.done()
            assert (await writes).status_code == 200
        assert (read.status_code, read.json()["error"]["code"]) == (503, "unavailable")
        assert "30 seconds" in read.json()["error"]["message"]
        assert (page.status_code, "30 seconds" in page.text) == (503, True)

    asyncio.run(ask())
