"""The edge around every request: what nobody foresaw, and what is never logged."""

import asyncio
from collections.abc import Callable

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy.exc import OperationalError

from issuance.api import problems, requests
from issuance.api.requests import Edge
from issuance.errors import Conflict
from tests.logs import captured

Get = Callable[..., httpx.Response]


@pytest.fixture
def get() -> Get:
    """Asks an application whose every endpoint fails in its own way."""
    app = FastAPI()
    problems.install(app)
    app.add_middleware(Edge)

    @app.get("/credits/{code}/unforeseen")
    def unforeseen(code: str) -> None:
        raise RuntimeError(f"a detail that is nobody's business: {code}")

    @app.get("/v1/taken")
    def taken() -> None:
        raise Conflict

    @app.get("/unreachable")
    def unreachable() -> None:
        raise OperationalError("SELECT", {}, Exception("password in here"))

    async def ask(path: str, headers: dict[str, str]) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.get(path, headers=headers)

    return lambda path, **headers: asyncio.run(ask(path, headers))


def test_what_nobody_foresaw_is_500_in_the_one_shape(get: Get) -> None:
    """No traceback and no detail to the user; its request id leads to the log."""
    with captured(requests) as lines:
        answer = get("/credits/SECRET/unforeseen")
    assert answer.status_code == 500
    assert answer.json() == {"error": {"code": "error", "message": "Something went wrong. It has been noted."}}
    noted = next(line for line in lines if line["event"] == "unexpected_error")
    assert noted["request_id"] == answer.headers["x-request-id"]


def test_the_log_has_the_route_and_never_the_path(get: Get) -> None:
    """A path may hold a credit's code."""
    with captured(requests) as lines:
        get("/credits/SECRET/unforeseen", authorization="Bearer SECRET")
    line = next(line for line in lines if line["event"] == "request")
    assert (line["route"], line["status"]) == ("/credits/{code}/unforeseen", 500)
    assert "SECRET" not in str(line)


def test_codes_are_upper_snake_under_v1(get: Get) -> None:
    assert get("/v1/taken").json()["error"]["code"] == "CONFLICT"
    assert get("/v1/nope").json()["error"]["code"] == "NOT_FOUND"


def test_a_database_that_is_away_is_503(get: Get) -> None:
    answer = get("/unreachable")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"]
    assert "password" not in answer.text


@pytest.mark.parametrize(
    "host",
    ["a b", "evil.example/x", "evil.example#", "user@evil.example", "evil.example:x", "", "[::1", "a\x7fb", "a?b"],
)
def test_a_malformed_host_is_refused(get: Get, host: str) -> None:
    """Links are made of it."""
    answer = get("/v1/taken", host=host)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    "host", ["credits.example", "127.0.0.1:8080", "[::1]:8080", "web_1", "xn--bcher-kva.example:443"]
)
def test_a_host_may_be_a_name_or_an_address(get: Get, host: str) -> None:
    """With a port, or without."""
    assert get("/v1/taken", host=host).status_code == 409
