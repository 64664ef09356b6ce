"""What is asked for takes the requests' threads only with a place among them, however it is asked for."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from unittest.mock import Mock
from uuid import UUID

import anyio.to_thread
import httpx
import pytest

from issuance.api.app import create_app
from issuance.console import visits
from issuance.people import sessions
from issuance.people.sessions import Place, Session
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
    assert asked(monkeypatch, "GET", path, headers) == (status, [])


BRAND = Place(UUID(int=1), "Spa", "sandbox", "UTC", "manager", datetime.now(UTC))
ADA = Session(UUID(int=3), "ada@example.com", (BRAND,), "token")


@pytest.mark.parametrize("session", [None, ADA], ids=["nobody", "somebody"])
@pytest.mark.parametrize(
    "path",
    [
        "/console/sign-out",
        "/console/me/password",
        "/console/me/browsers/x/sign-out",
        f"/console/{BRAND.brand_id}/clock",
        f"/console/{UUID(int=2)}/clock",
    ],
)
def test_a_form_takes_threads_with_a_place_only(
    monkeypatch: pytest.MonkeyPatch, path: str, session: Session | None
) -> None:
    """Whoever sends it: who is nobody is found out in the threads for looks, and what waits for others takes a place
    for what it reads."""
    monkeypatch.setattr(APP.state, "rates", Mock(), raising=False)
    monkeypatch.setattr(visits, "session_of", lambda _: session)
    monkeypatch.setattr(sessions, "is_form_token", lambda *_: True)
    form = {"day": "2031-01-01", "reason": "x"}
    status, unplaced = asked(monkeypatch, "POST", path, {"Origin": "http://test"}, form)
    assert unplaced == []
    assert status == 303 if session is None else status in (303, 404, 422, 503)


def asked(
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
    headers: dict[str, str],
    form: dict[str, str] | None = None,
) -> tuple[int, list[str]]:
    """The status of an answer, and what took one of the requests' threads without a place for it."""
    fair, unplaced = Watched(16), []
    APP.state.fair = fair
    run = anyio.to_thread.run_sync

    async def noted(work: Any, *given: Any, limiter: anyio.CapacityLimiter | None = None, **more: Any) -> Any:
        if limiter is None and not fair.held:
            unplaced.append(str(work))
        return await run(work, *given, limiter=limiter, **more)

    monkeypatch.setattr(anyio.to_thread, "run_sync", noted)

    async def ask() -> int:
        transport = httpx.ASGITransport(APP, client=("192.0.2.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return (await client.request(method, path, headers=headers, data=form)).status_code

    return asyncio.run(ask()), unplaced
