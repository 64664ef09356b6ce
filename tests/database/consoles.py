"""The console asked in this process, by whom and from where a test says."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import Engine

from issuance.api.app import create_app
from issuance.console.visits import COOKIE
from issuance.database.connections import transaction
from issuance.people import people, sessions
from issuance.settings import Settings
from tests.limits import Limit, count_at_leisure

Ask = Callable[..., httpx.Response]


@pytest.fixture
def ask(database_url: str, redis_url: str, limit: Limit) -> Callable[..., Ask]:
    """Makes applications with limits, and asks their consoles. No minute ends meanwhile."""
    count_at_leisure(limit)

    def made(url: str = database_url, **most: int) -> Ask:
        names = {f"ISSUANCE_RATE_{name.upper()}": number for name, number in most.items()}
        app = create_app(Settings.model_validate({"DATABASE_URL": url, "REDIS_URL": redis_url, **names}))

        async def answer(method: str, path: str, address: str, form: Any, **headers: str) -> httpx.Response:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, data=form, headers=headers)

        return lambda path, address, method="GET", form=None, cookie="", **headers: asyncio.run(
            answer(method, path, address, form, cookie=f"{COOKIE}={cookie}", **headers)
        )

    return made


def signed_in(engine: Engine, brand_id: UUID, role: str = "viewer") -> str:
    """A session of somebody who may look at the brand."""
    with transaction(engine, brand_id) as connection:
        return sessions.begin(connection, people.add(connection, brand_id, f"{uuid4()}@example.com", role))
