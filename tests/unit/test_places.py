"""What strangers ask for takes threads only with a place among the requests, however they ask for it."""

import asyncio
from typing import Any

import anyio.to_thread
import httpx
import pytest

from issuance.api.app import create_app
from issuance.settings import Settings
from issuance.tenancy.fairness import Fair

APP = create_app(Settings(DATABASE_URL="postgresql://nowhere/", REDIS_URL="redis://nowhere/"))
APP.state.rates = None


class Watched(Fair):
    """Places, and how many are held."""

    @property
    def held(self) -> int:
        return self._working.total()


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-9"}, {"Range": "bites=9"}], ids=str)
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/docs", 200),
        ("/docs/start.js", 200),
        ("/docs/swagger-ui.css", 200),
        ("/docs/swagger-ui-bundle.js", 200),
        ("/docs/nothing.js", 404),
        ("/openapi.json", 200),
        ("/nowhere", 404),
        ("/v1/auth/exchange", 405),
        ("/redoc", 307),
        ("/console", 308),
        ("/console/static/console.css", 200),
        ("/console/static/inter-latin.woff2", 200),
        ("/console/static/nothing.css", 404),
        ("/console/static/inter-license.txt", 404),
    ],
)
def test_a_page_takes_threads_with_a_place_only(
    monkeypatch: pytest.MonkeyPatch, path: str, status: int, headers: dict[str, str]
) -> None:
    """Nor for a part of it: a file that is read piece by piece would take one for each."""
    fair, held = Watched(16), []
    APP.state.fair = fair
    run = anyio.to_thread.run_sync

    async def noted(*given: Any, **more: Any) -> Any:
        held.append(fair.held)
        return await run(*given, **more)

    monkeypatch.setattr(anyio.to_thread, "run_sync", noted)

    async def asked() -> int:
        transport = httpx.ASGITransport(APP, client=("192.0.2.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return (await client.get(path, headers=headers)).status_code

    assert asyncio.run(asked()) == status
    assert all(held)
