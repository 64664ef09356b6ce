"""The whole of Issuance in this process, on a real PostgreSQL: requests without a socket, and work without a queue's
weather. Whoever waits for the workers is the worker, so that a seed reproduces its history."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from unittest import mock
from uuid import UUID

import httpx
from sqlalchemy import Engine

from campaigns.databases import NO_BROKER
from campaigns.model.brand import Server
from campaigns.simulation.queue import Queue
from issuance.api.app import create_app
from issuance.database.connections import engine_for, transaction
from issuance.engine import sandbox_clock
from issuance.settings import Settings
from issuance.tenancy import brands
from worker.actors import Actors


class Direct(httpx.BaseTransport):
    """Brings requests to an application of this process. What it raises, the caller hears."""

    def __init__(self, app: httpx._transports.asgi._ASGIApp) -> None:
        self._runner = asyncio.Runner()
        self._app = httpx.ASGITransport(app)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._runner.run(self._answer(request))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        answer = await self._app.handle_async_request(request)
        return httpx.Response(answer.status_code, headers=answer.headers, content=await answer.aread())

    def close(self) -> None:
        """It is shared by the clients of all brands."""

    def end(self) -> None:
        self._runner.close()


class Site:
    """The application, and its workers on its database."""

    def __init__(self, database_url: str) -> None:
        unlimited = {f"ISSUANCE_RATE_{what}": 0 for what in ("ADDRESS", "KEY", "BRAND", "WRONG_KEYS", "WRONG_CODES")}
        settings = Settings.model_validate({"DATABASE_URL": database_url, "REDIS_URL": NO_BROKER, **unlimited})
        app = create_app(settings)
        self.engine: Engine = engine_for(database_url)
        self.queue = app.state.broker = Queue()
        self._actors = Actors(self.engine, self.queue)
        self._transport = Direct(app)
        self._brands: dict[str, UUID] = {}

    @property
    def server(self) -> Server:
        return Server("http://here", self._create_brand, self._transport)

    def brand_id(self, key: str) -> UUID:
        return self._brands[key]

    def work(self, _: float = 0) -> None:
        """Do what messages ask for, and what they lead to."""
        while (message := self.queue.take(0)) is not None:
            getattr(self._actors, message.actor_name)(*message.args)

    def _create_brand(self, timezone: str) -> str:
        with transaction(self.engine) as connection:
            brand_id, key = brands.create(connection, name="people", timezone=timezone, sandbox=True)
        self._brands[key] = brand_id
        return key


@contextmanager
def site_on(database_url: str) -> Iterator[Site]:
    """A site on a database that has the schema."""
    site = Site(database_url)
    clocks = SimpleNamespace(monotonic=time.monotonic, sleep=site.work)
    with mock.patch.object(sandbox_clock, "time", clocks):
        yield site
    site._transport.end()
