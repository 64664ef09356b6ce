"""Looks at who is calling are shared out: nobody waits behind all the tokens and keys that another shows."""

import asyncio
from collections.abc import Iterator
from threading import Event
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI, Request
from sqlalchemy import Engine

from issuance.api import routes
from issuance.api.app import LOOKING, create_app
from issuance.api.callers import Caller, admit
from issuance.billers import receiving
from issuance.billers.billers import Biller
from issuance.database.connections import transaction
from issuance.settings import Settings
from issuance.tenancy import keys
from tests.limits import Limit, count_at_leisure
from tests.waiting import PATIENCE_SECONDS

FLOODER, MEMBER = "192.0.2.1", "192.0.2.2"


class Door:
    """An application, and whose tokens it takes no end to look at."""

    def __init__(self, app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
        self._app = app
        self.slow: set[str] = set()
        self.goes_on = Event()
        monkeypatch.setattr(routes, "admit", self._admit)

    def _admit(self, request: Request) -> Caller:
        if request.headers["authorization"].removeprefix("Bearer ") in self.slow:
            self.goes_on.wait(PATIENCE_SECONDS)
        return admit(request)

    async def get(self, token: str, address: str) -> int:
        transport = httpx.ASGITransport(self._app, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            headers = {"Authorization": f"Bearer {token}"}
            return (await client.get("/v1/redemptions", headers=headers)).status_code

    async def tell(self, biller_id: UUID, address: str) -> int:
        transport = httpx.ASGITransport(self._app, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return (await client.post(f"/billers/stripe/{biller_id}", json={})).status_code

    async def token(self, key: str) -> str:
        transport = httpx.ASGITransport(self._app, client=(MEMBER, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            headers = {"Authorization": f"Bearer {key}"}
            made = await client.post("/v1/auth/exchange", json={"externalUserID": "ada"}, headers=headers)
            return str(made.json()["accessToken"])

    async def flooded(self, flood: str, *others: tuple[str, str]) -> list[int]:
        """What others are answered, each with a token from an address, while a flood of one token waits."""
        self.slow.add(flood)
        waiting = [asyncio.create_task(self.get(flood, FLOODER)) for _ in range(20)]
        try:
            await asyncio.sleep(0.2)
            answers = [await asyncio.wait_for(self.get(*other), PATIENCE_SECONDS / 2) for other in others]
            assert not any(one.done() for one in waiting)
        finally:
            self.goes_on.set()
            await asyncio.gather(*waiting)
        return answers


@pytest.fixture
def door(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, limit: Limit) -> Iterator[Door]:
    count_at_leisure(limit)
    limits = {"ISSUANCE_RATE_BRAND": 30}
    door = Door(
        create_app(Settings.model_validate({"DATABASE_URL": database_url, "REDIS_URL": redis_url, **limits})),
        monkeypatch,
    )
    yield door
    door.goes_on.set()


async def token_of(door: Door, engine: Engine, brand_id: UUID) -> str:
    """A token of the brand's that was good before."""
    with transaction(engine, brand_id) as connection:
        key = keys.create(connection, brand_id, ["admin"])[1]
    token = await door.token(key)
    assert await door.get(token, MEMBER) == 200
    return token


def test_a_flood_of_one_brands_tokens_holds_up_no_other(
    door: Door, engine: Engine, brand_id: UUID, other_brand_id: UUID
) -> None:
    """Nor one of a stranger's from another address. Who shows a token that was good before waits with their brand."""

    async def scene() -> None:
        flood = await token_of(door, engine, brand_id)
        member = await token_of(door, engine, other_brand_id)
        assert await door.flooded(flood, (member, FLOODER), (member, MEMBER), ("a.b.c", MEMBER)) == [200, 200, 401]

    asyncio.run(scene())


def test_a_flood_of_a_strangers_tokens_holds_up_no_member(door: Door, engine: Engine, brand_id: UUID) -> None:
    """Not even one who comes from the same address, once their token was good."""

    async def scene() -> None:
        member = await token_of(door, engine, brand_id)
        assert await door.flooded("a.b.c", (member, FLOODER), (member, MEMBER)) == [200, 200]

    asyncio.run(scene())


def test_a_flood_of_unknown_billers_is_looked_up_as_strangers_keys_are(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the address that they come from, with a share of the looks and no request's thread."""
    under_way, find = [], receiving.find

    def slow(looks: Engine, kind: str, biller_id: UUID) -> Biller:
        if biller_id.int < 100:
            under_way.append(biller_id)
            door.goes_on.wait(PATIENCE_SECONDS)
        return find(looks, kind, biller_id)

    monkeypatch.setattr(receiving, "find", slow)

    async def scene() -> None:
        flood = [asyncio.create_task(door.tell(UUID(int=number), FLOODER)) for number in range(20)]
        async with asyncio.timeout(PATIENCE_SECONDS / 2):
            while len(under_way) < LOOKING - LOOKING // 4:
                await asyncio.sleep(0.01)
            assert await door.tell(uuid4(), MEMBER) == 404
        assert len(under_way) == LOOKING - LOOKING // 4
        door.goes_on.set()
        assert set(await asyncio.gather(*flood)) == {404}

    asyncio.run(scene())


def test_what_is_over_its_limit_does_not_wait(door: Door, engine: Engine, brand_id: UUID) -> None:
    """It is refused before anybody looks at it."""

    async def scene() -> None:
        member = await token_of(door, engine, brand_id)
        while await door.get(member, MEMBER) != 429:
            pass
        door.slow.add(member)
        assert await asyncio.wait_for(door.get(member, MEMBER), PATIENCE_SECONDS / 2) == 429

    asyncio.run(scene())
