"""What a brand may have kept in a day, in bytes: facts, its billers' webhooks, answers to Idempotency-Keys."""

import asyncio
import base64
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import Engine, text

from issuance import limits
from issuance.api.app import create_app
from issuance.billers import billers
from issuance.billers.billers import New
from issuance.database.connections import transaction
from issuance.settings import OwnSettings, Settings
from issuance.tenancy import keys
from issuance.tenancy.rates import FACTS, RateLimited, Rates
from tests.database.test_rates import AWAY, BASIC
from tests.limits import Limit, count_at_leisure

#: What a brand may have kept here, and an event that takes a good third of it.
MOST = 1500
EVENT = {"specversion": "1.0", "source": "b", "type": "charge.failed", "time": "2031-01-01T00:00:00Z", "x": "y" * 400}


@pytest.fixture(autouse=True)
def at_leisure(limit: Limit) -> None:
    count_at_leisure(limit)


@pytest.fixture
def send(database_url: str, redis_url: str) -> Callable[..., httpx.Response]:
    """Sends a POST to a web process of its own, and so another one each time."""
    given = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "ISSUANCE_BYTES_A_BRAND": MOST}

    async def answer(path: str, shown: str, body: Any, headers: dict[str, str]) -> httpx.Response:
        transport = httpx.ASGITransport(create_app(Settings.model_validate(given)), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.post(path, json=body, headers={"Authorization": shown, **headers})

    return lambda path, shown, body, **headers: asyncio.run(answer(path, shown, body, headers))


def key_of(engine: Engine, brand_id: UUID, scope: str = "admin") -> str:
    with transaction(engine, brand_id) as connection:
        return f"Bearer {keys.create(connection, brand_id, [scope])[1]}"


def test_bytes_are_counted_by_the_day_and_by_all_processes(redis_url: str) -> None:
    """What does not fit into what is left is refused, and says until when; requests are counted by the minute."""
    given = OwnSettings.model_validate({"ISSUANCE_BYTES_A_BRAND": 1000})
    ours, theirs, who = Rates(redis_url, given), Rates(redis_url, given), str(uuid4())
    for one in (ours, theirs):
        one.take(FACTS, who, 300)
    with pytest.raises(RateLimited, match="at most 1,000 a day") as refused:
        ours.take(FACTS, who, 401)
    assert 0 < refused.value.retry_after <= limits.current.callers.day
    theirs.take(FACTS, str(uuid4()), 1000)
    away = Rates(AWAY, given)
    assert [away.take(FACTS, who, 2000) for _ in range(2)] == [None, None]


def test_a_day_goes_on_over_many_minutes(redis_url: str, limit: Limit) -> None:
    """What a process has taken of a day's bytes and not spent is still its own in the next minute."""
    rates, who = Rates(redis_url, OwnSettings.model_validate({"ISSUANCE_BYTES_A_BRAND": 200_000})), str(uuid4())
    for window in range(1, 101):
        limit("callers", window=window)
        rates.take("requests of this brand", who)
        rates.take(FACTS, who, 10)
    standing = rates.take(FACTS, who, 0)
    assert standing is not None
    assert standing.left == 199_000


def test_a_brand_that_told_too_much_waits(
    send: Callable[..., httpx.Response], engine: Engine, brand_id: UUID, other_brand_id: UUID
) -> None:
    """Nothing of what is refused is kept; its billers' webhooks are refused too, and sent again. Who may not tell
    anything spends nothing, and another brand goes on."""
    key, reader, theirs = key_of(engine, brand_id), key_of(engine, brand_id, "read"), key_of(engine, other_brand_id)
    with transaction(engine, brand_id) as connection:
        biller_id = billers.create(connection, brand_id, New("mapped", ["u:s"], mapping=BASIC))

    def told(shown: str) -> int:
        return send("/billing-events", shown, {**EVENT, "id": str(uuid4())}).status_code

    assert [told(reader) for _ in range(3)] == [403] * 3
    assert [told(key) for _ in range(4)] == [202, 202, 429, 429]
    with transaction(engine, brand_id) as connection:
        assert connection.scalar(text("SELECT count(*) FROM rejected_events")) == 2, "they name no membership"
    basic = f"Basic {base64.b64encode(b'u:s').decode()}"
    refused = send(f"/billers/mapped/{biller_id}", basic, {"id": "1", "at": "2031-01-01T00:00:00Z", "x": "y" * 600})
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limited")
    assert int(refused.headers["retry-after"]) > 60
    assert told(theirs) == 202


def test_what_leaves_no_room_for_its_answer_is_not_done(
    send: Callable[..., httpx.Response], engine: Engine, brand_id: UUID
) -> None:
    """An answer that can not be kept is none: with another Idempotency-Key the same is done once more. Without one
    there is nothing to keep."""
    key = key_of(engine, brand_id)

    def registered(**headers: str) -> int:
        hook = {"url": f"https://93.184.216.34/{uuid4()}", "events": ["credit.issued"]}
        return send("/v1/webhooks", key, hook, **headers).status_code

    answers = [registered(**{"Idempotency-Key": str(number)}) for number in range(6)]
    good = answers.count(201)
    assert answers == [201] * good + [429] * (6 - good)
    assert 0 < good < 6
    with transaction(engine, brand_id) as connection:
        assert connection.scalar(text("SELECT count(*) FROM webhooks")) == good
        assert connection.scalar(text("SELECT count(*) FROM idempotency_keys")) == good
    assert registered() == 201
