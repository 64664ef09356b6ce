"""An outage of the broker is none of Issuance: web is ready, facts are taken, and it is told once (INTERFACE 10)."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from campaigns.limited import limited
from issuance import hints, log
from issuance.api import problems
from issuance.api.app import create_app
from issuance.database.connections import engine_for, looks_for, transaction
from issuance.log import Outage
from issuance.settings import Settings
from issuance.tenancy import brands
from tests.logs import captured

AWAY = "redis://127.0.0.1:1/0"


class Web:
    """The web application in this process, called as a server would."""

    def __init__(self, database_url: str, redis_url: str, key: str = "") -> None:
        self._app = create_app(Settings(DATABASE_URL=database_url, REDIS_URL=redis_url))
        self._headers = {"Authorization": f"Bearer {key}"}

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """The answer to one request."""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://web", headers=self._headers) as client:
                return await client.request(method, path, **more)

        return asyncio.run(send())


@pytest.fixture(params=["refuses", "hangs"])
def web(request: pytest.FixtureRequest, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """The web application on a good database and a broker that is away, with a key of a new brand. One that hangs takes
    connections and says nothing."""
    monkeypatch.setattr(hints, "outage", Outage("broker"))
    with transaction(engine_for(database_url)) as connection:
        _, key = brands.create(connection, name="Spa", timezone="UTC", sandbox=True)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hangs = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        yield Web(database_url, AWAY if request.param == "refuses" else hangs, key)
    hints.broker_for.cache_clear()


def test_web_is_ready_and_degraded_without_the_broker(web: Web) -> None:
    """A load balancer takes no process out of service for it."""
    answer = web.call("GET", "/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"ready": True, "failed": {}, "degraded": ["broker"]}


def test_facts_are_taken_meanwhile_and_the_outage_is_told_once(web: Web) -> None:
    """Not once a request."""
    kind = web.call("POST", "/customers/membership-types", json={"name": "Gold"}).json()["id"]
    with captured(log) as logs:
        for number in range(7):
            data = {
                "membership_id": str(uuid4()),
                "membership_type_id": kind,
                "external_user_id": f"user {number}",
                "starts_on": "2031-01-31",
            }
            event = {"specversion": "1.0", "source": "test", "id": str(number), "type": "membership.signed_up"}
            answer = web.call("POST", "/billing-events", json={**event, "time": "2031-01-31T10:00:00Z", "data": data})
            assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
    told = [entry["event"] for entry in logs if entry["log_level"] != "info"]
    assert told == ["broker_away"]


def test_a_database_that_can_not_be_written_to_is_not_ready(
    fresh_database: Callable[[], str], direct: Callable[[str], str], redis_url: str
) -> None:
    """As a standby that was not promoted: what would be written is answered with 503, and nothing has to be started
    anew once it can be written to again. Past a pooler, whose sessions go on as they began."""
    url = direct(fresh_database())
    engine = engine_for(url)
    with transaction(engine) as connection:
        _, key = brands.create(connection, name="Spa", timezone="UTC", sandbox=True)
    web = Web(url, redis_url, key)
    for kind, said in (("on", {"database": "read_only"}), ("off", {})):
        with engine.connect() as connection:
            connection.execute(text("SET default_transaction_read_only = off"))
            connection.commit()
            connection.execute(
                text(f'ALTER DATABASE "{engine.url.database}" SET default_transaction_read_only = {kind}')
            )
            connection.commit()
        if kind == "on":  # the way back it finds by itself
            engine.dispose()
            looks_for(url).dispose()
        answer = web.call("GET", "/readyz")
        assert (answer.status_code, answer.json()["failed"]) == (503 if said else 200, said)
        for _ in range(2):
            answer = web.call("POST", "/customers/membership-types", json={"name": "Gold"})
            assert answer.status_code == (503 if said else 201), answer.text
            assert ("retry-after" in answer.headers) == bool(said)
            assert said == {} or answer.json()["error"]["code"] == "unavailable"


def test_a_missing_right_is_503_and_named_in_the_log(fresh_database: Callable[[], str], redis_url: str) -> None:
    """Whoever runs it grants it; until then it is no fault of the request, and what it asked is not lost for good."""
    url = fresh_database()
    with transaction(engine_for(url)) as connection:
        _, key = brands.create(connection, name="Spa", timezone="UTC", sandbox=True)
        connection.exec_driver_sql("""
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION USING ERRCODE = '42501', MESSAGE = 'permission denied for table x'; END $$;
            CREATE TRIGGER refuse BEFORE INSERT ON membership_types EXECUTE FUNCTION refuse();
        """)
    with captured(problems) as logs:
        answer = Web(url, redis_url, key).call("POST", "/customers/membership-types", json={"name": "Gold"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert "retry-after" in answer.headers
    (told,) = [one["error"] for one in logs if one["event"] == "right_missing"]
    assert told.startswith("PostgreSQL: permission denied for table x. ")


def test_a_full_disk_is_not_ready(fresh_database: Callable[[], str], redis_url: str) -> None:
    """Nothing that is read tells it, so a refused write does; a moment after the last of them it is ready again."""
    url = fresh_database()
    with transaction(engine_for(url)) as connection:
        _, key = brands.create(connection, name="Spa", timezone="UTC", sandbox=True)
        connection.exec_driver_sql("""
            CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = 'No space left on device'; END $$;
            CREATE TRIGGER full_disk BEFORE INSERT ON membership_types EXECUTE FUNCTION full_disk();
        """)
    web = Web(url, redis_url, key)
    assert web.call("GET", "/readyz").status_code == 200
    with captured(log) as logs:
        for _ in range(2):
            answer = web.call("POST", "/customers/membership-types", json={"name": "Gold"})
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
        answer = web.call("GET", "/readyz")
        assert (answer.status_code, answer.json()["failed"]) == (503, {"database": "full"})
        with limited("database", full_for=0.0):
            assert web.call("GET", "/readyz").status_code == 200
    assert [entry["event"] for entry in logs if entry["log_level"] != "info"] == [
        "database_disk_full",
        "database_disk_not_full",
    ]
