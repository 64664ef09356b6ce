"""Rate limits: counted across processes, refused with 429, and no reason to refuse anybody while the broker is away."""

import asyncio
import base64
import json
import re
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import Connection, Engine

from issuance import limits, log
from issuance.api.app import create_app
from issuance.api.routes import CODES_IN_BODY
from issuance.billers import billers, receiving
from issuance.billers.billers import Biller, New
from issuance.database.connections import transaction
from issuance.settings import OwnSettings, Settings
from issuance.tenancy import keys, known_keys
from issuance.tenancy import rates as room
from issuance.tenancy.rates import OF_A_BRAND, OF_A_KEY, OF_AN_ADDRESS, WRONG_CODES, WRONG_KEYS, RateLimited, Rates
from tests.limits import Limit, count_at_leisure
from tests.logs import captured

AWAY = "redis://127.0.0.1:1"


@pytest.fixture(autouse=True)
def at_leisure(limit: Limit) -> None:
    count_at_leisure(limit)


def rates(url: str, **most: int) -> Rates:
    names = {f"ISSUANCE_RATE_{name.upper()}": number for name, number in most.items()}
    return Rates(url, OwnSettings.model_validate(names))


def allowed(rates: Rates, what: str, who: str, number: int) -> int:
    """How many of so many requests are not refused."""
    good = 0
    for _ in range(number):
        try:
            rates.take(what, who)
        except RateLimited:
            continue
        good += 1
    return good


@pytest.mark.parametrize("most", [5, 1000])
def test_processes_count_together(redis_url: str, most: int) -> None:
    """However a limit is taken in parts, it is spent once, and nobody else's is touched."""
    ours, theirs, who = rates(redis_url, key=most), rates(redis_url, key=most), str(uuid4())
    spent = [allowed(one, OF_A_KEY, who, 7) for _ in range(most // 7 + 2) for one in (ours, theirs)]
    assert sum(spent) == most
    assert allowed(ours, OF_A_KEY, str(uuid4()), 3) == 3


def test_a_refusal_says_the_limit_and_when_it_ends(redis_url: str) -> None:
    limited, who = rates(redis_url, brand=1), str(uuid4())
    standing = limited.take(OF_A_BRAND, who)
    assert standing is not None
    assert (standing.most, standing.left) == (1, 0)
    with pytest.raises(RateLimited, match="Too many requests of this brand: at most 1 a minute") as refused:
        limited.take(OF_A_BRAND, who)
    assert 0 < refused.value.retry_after <= limits.current.callers.window


def test_without_the_broker_nobody_is_refused() -> None:
    """And it is not asked for each request."""
    limited = rates(AWAY, key=1, wrong_keys=1)
    assert [limited.take(OF_A_KEY, "x") for _ in range(3)] == [None] * 3
    assert limited.is_quick(OF_A_KEY, "x")
    for _ in range(3):
        limited.wrong(WRONG_KEYS, "x")
        limited.check(WRONG_KEYS, "x")


def test_a_broker_that_is_away_is_told_once(redis_url: str, monkeypatch: pytest.MonkeyPatch, limit: Limit) -> None:
    """Not at every look at it; and that it is back."""
    limit("callers", left_alone=0)
    monkeypatch.setattr(room, "outage", log.Outage("rates", "not_counted", "counted"))
    with captured(log) as lines:
        for _ in range(3):
            rates(AWAY).take(OF_A_KEY, "x")
        assert rates(redis_url).take(OF_A_KEY, "x") is not None
    assert [line["event"] for line in lines] == ["rates_not_counted", "rates_counted"]


def test_zero_is_no_limit(redis_url: str) -> None:
    limited, who = rates(redis_url, address=0, wrong_codes=0), str(uuid4())
    assert allowed(limited, OF_AN_ADDRESS, who, 50) == 50
    for _ in range(3):
        limited.wrong(WRONG_CODES, who)
        limited.check(WRONG_CODES, who)


def test_who_is_wrong_too_often_is_refused_by_every_process_that_hears_of_it(redis_url: str) -> None:
    ours, theirs, who = rates(redis_url, wrong_keys=2), rates(redis_url, wrong_keys=2), str(uuid4())
    ours.wrong(WRONG_KEYS, who)
    theirs.wrong(WRONG_KEYS, who)
    with pytest.raises(RateLimited):
        ours.wrong(WRONG_KEYS, who)
    with pytest.raises(RateLimited):
        ours.check(WRONG_KEYS, who)
    with pytest.raises(RateLimited):
        theirs.wrong(WRONG_KEYS, who)


Ask = Callable[..., httpx.Response]
#: The mapping of a biller that signs by a name and a password.
BASIC: dict[str, Any] = {
    "source": "b",
    "signature": {"kind": "basic"},
    "time": {"path": "$.at"},
    "membership": ["$.m"],
    "events": [{"when": {"$.kind": "x"}, "tell": "membership.status_changed"}],
}


@pytest.fixture
def ask(database_url: str, redis_url: str) -> Callable[..., Ask]:
    """Makes applications with limits, and asks them."""

    def made(**most: int) -> Ask:
        names = {f"ISSUANCE_RATE_{name.upper()}": number for name, number in most.items()}
        app = create_app(Settings.model_validate({"DATABASE_URL": database_url, "REDIS_URL": redis_url, **names}))

        async def answer(method: str, path: str, key: str, address: str, body: Any, scheme: str) -> httpx.Response:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, json=body, headers={"Authorization": f"{scheme} {key}"})

        return lambda path, key, address, method="GET", body=None, scheme="Bearer": asyncio.run(
            answer(method, path, key, address, body, scheme)
        )

    return made


def new_key(engine: Engine, brand_id: UUID) -> str:
    with transaction(engine, brand_id) as connection:
        return keys.create(connection, brand_id, ["admin"])[1]


def some_address() -> str:
    """One that no other test has: a /64 of its own."""
    return f"2001:db8:{uuid4().hex[:4]}:{uuid4().hex[:4]}::1"


def test_a_key_has_a_limit_and_answers_say_how_it_stands(
    ask: Callable[..., Ask], engine: Engine, brand_id: UUID
) -> None:
    """The brand's other key goes on, up to the brand's own limit; another address makes no difference."""
    get, one, other = ask(key=3, brand=5), new_key(engine, brand_id), new_key(engine, brand_id)
    answers = [get("/runs", one, some_address()) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert {answer.headers["ratelimit-limit"] for answer in answers} == {"3"}
    assert int(answers[3].headers["retry-after"]) > 0
    assert answers[3].json()["error"]["code"] == "rate_limited"
    assert [get("/v1/webhooks", other, some_address()).status_code for _ in range(3)] == [200, 200, 429]


def test_an_address_has_a_limit_before_anybody_knows_who_it_is(
    ask: Callable[..., Ask], engine: Engine, brand_id: UUID
) -> None:
    """For every path; a good key is no way around it, and another address is."""
    get, key, address = ask(address=2), new_key(engine, brand_id), some_address()
    assert [get("/nowhere", "x", address).status_code for _ in range(3)] == [404, 404, 429]
    refused = get("/v1/webhooks", key, address)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "RATE_LIMITED")
    assert get("/runs", key, some_address()).status_code == 200


def test_wrong_keys_have_a_limit_of_their_own(ask: Callable[..., Ask], engine: Engine, brand_id: UUID) -> None:
    """Beyond it no key is looked up for the address, but those that were good before: a neighbour is not kept out."""
    get, known, fresh, address = ask(wrong_keys=3), new_key(engine, brand_id), new_key(engine, brand_id), some_address()
    assert get("/runs", known, address).status_code == 200
    wrong = [get("/runs", f"iss_live_{number}", address).status_code for number in range(5)]
    assert wrong == [401, 401, 401, 429, 429]
    assert get("/runs", fresh, address).status_code == 429
    assert get("/runs", known, address).status_code == 200
    assert get("/runs", fresh, some_address()).status_code == 200


def test_a_key_that_was_revoked_is_a_strangers(
    ask: Callable[..., Ask], engine: Engine, brand_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the limit of wrong keys it is looked up no more, and it waits with no brand's keys."""
    looked_up, find = [], keys.find

    def counted(connection: Connection, shown: str) -> keys.Key | None:
        looked_up.append(shown)
        return find(connection, shown)

    monkeypatch.setattr(keys, "find", counted)
    get, address = ask(wrong_keys=2), some_address()
    with transaction(engine, brand_id) as connection:
        key_id, key = keys.create(connection, brand_id, ["read"])
    assert get("/runs", key, address).status_code == 200
    with transaction(engine, brand_id) as connection:
        keys.revoke(connection, brand_id, key_id)
    known_keys.forget(key_id)
    assert [get("/runs", key, address).status_code for _ in range(8)] == [401, 401] + [429] * 6
    assert len(looked_up) == 1 + 3


def test_who_guesses_signatures_is_not_looked_up_beyond_the_limit(
    ask: Callable[..., Ask], engine: Engine, brand_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the biller has signed from there before."""
    looked_up, find = [], receiving.find

    def counted(looks: Engine, kind: str, biller_id: UUID) -> Biller:
        looked_up.append(biller_id)
        return find(looks, kind, biller_id)

    monkeypatch.setattr(receiving, "find", counted)
    post, address = ask(wrong_keys=2), some_address()
    with transaction(engine, brand_id) as connection:
        biller_id = billers.create(connection, brand_id, New("mapped", ["u:s"], mapping=BASIC))

    def sent(secret: str) -> int:
        body, shown = {"id": str(uuid4()), "at": "2031-01-01T00:00:00Z"}, base64.b64encode(secret.encode()).decode()
        return post(f"/billers/mapped/{biller_id}", shown, address, "POST", body, scheme="Basic").status_code

    assert sent("u:s") == 200
    assert [sent("u:wrong") for _ in range(8)] == [400, 400] + [429] * 6
    assert len(looked_up) == 1 + 3


def test_wrong_codes_have_a_limit_of_their_own(ask: Callable[..., Ask], engine: Engine, brand_id: UUID) -> None:
    """Whichever way they are tried; another caller's are counted apart."""
    get, one, other, address = ask(wrong_codes=2), new_key(engine, brand_id), new_key(engine, brand_id), some_address()
    assert get("/customers/credits/NOSUCHCODE", one, address).status_code == 404
    guess = {"creditCode": "NOSUCHCODE"}
    assert get("/v1/redemptions", one, address, "POST", guess).status_code in (404, 422)
    assert get("/customers/credits/NOSUCHCODE/redeem", one, address, "POST", {}).status_code == 429
    assert get("/customers/credits/NOSUCHCODE", one, address).status_code == 429
    assert get("/customers/credits/NOSUCHCODE", other, address).status_code == 404
    assert get("/runs", one, address).status_code == 200, "what names no code goes on"
    fact = {"specversion": "1.0", "id": "1", "source": "b", "type": "charge.failed", "time": "2031-01-01T00:00:00Z"}
    assert get("/billing-events", one, address, "POST", fact).status_code == 202


def test_no_way_of_naming_a_code_is_uncounted(ask: Callable[..., Ask], engine: Engine, brand_id: UUID) -> None:
    """As an offer, beside an offer, and many in one call, of which none is told beyond the limit. What can be no code,
    such as an offer that is gone, is no guess."""
    post, address = ask(wrong_codes=2), some_address()
    coupon = {"name": "Spa", "discount": {"type": "percent", "value": 10}}
    there = {"/v1/members/ada": {}, "/customers/coupons/spa": coupon}
    there["/v1/offers/spa-day"] = {"name": "Spa", "couponID": "spa"}
    for path, body in there.items():
        assert post(path, new_key(engine, brand_id), address, "PUT", body).status_code == 200
    guess = "ABCDEFGH-JKMNPQRS"

    def tried(path: str, *bodies: dict[str, Any]) -> list[int]:
        key = new_key(engine, brand_id)
        return [post(path, key, address, "POST", body).status_code for body in bodies]

    assert tried("/v1/redemptions", *[{"offer": guess}] * 4) == [422, 422, 429, 429]
    beside = {"offer": "spa-day", "creditCode": guess, "externalUserID": "ada"}
    assert tried("/v1/redemptions", *[beside] * 4) == [422, 422, 429, 429]
    assert tried("/v1/redemptions", *[{"offer": "last-summer"}] * 4) == [422] * 4
    many: dict[str, Any] = {"corrections": [{"action": "revoke", "code": guess}] * 3, "reason": "x", "dry_run": True}
    few = {**many, "corrections": many["corrections"][:1]}
    assert tried("/customers/credits/corrections", few, few, few, few) == [200, 200, 429, 429]
    assert tried("/customers/credits/corrections", many, few) == [429, 429]


def test_every_operation_that_takes_a_code_is_known(ask: Callable[..., Ask]) -> None:
    """By the document: what names a code in its path, or in its body, and beyond the limit takes none."""
    document = ask()("/openapi.json", "", some_address()).json()
    schemas = document["components"]["schemas"]

    def fields(schema: Any) -> set[str]:
        own = set(schema.get("properties", ()))
        return own.union(*(fields(schemas[part]) for part in named(schema)))

    def named(part: Any) -> list[str]:
        return re.findall(r"#/components/schemas/(\w+)", json.dumps(part))

    operations = [one for path in document["paths"].values() for one in path.values()]
    bodies = {one["operationId"]: fields(one.get("requestBody", {})) for one in operations}
    assert {name for name, said in bodies.items() if said & {"code", "creditCode"}} == set(CODES_IN_BODY)


def test_wrong_signatures_have_a_limit_of_their_own(ask: Callable[..., Ask], engine: Engine, brand_id: UUID) -> None:
    """By address and biller: who guesses keeps out neither another biller's webhooks nor the biller's own."""
    post, guesser = ask(wrong_keys=2), some_address()
    with transaction(engine, brand_id) as connection:
        ours, theirs = (billers.create(connection, brand_id, New("stripe", ["a secret"])) for _ in range(2))

    def guessed(biller_id: UUID, address: str) -> int:
        return post(f"/billers/stripe/{biller_id}", "", address, "POST", {}).status_code

    assert [guessed(ours, guesser) for _ in range(4)] == [400, 400, 429, 429]
    assert guessed(theirs, guesser) == 400
    assert guessed(ours, some_address()) == 400


def test_unknown_billers_have_a_limit_of_their_own(ask: Callable[..., Ask], engine: Engine, brand_id: UUID) -> None:
    """By address. Beyond it no biller is looked up for it, but those that have signed from there before."""
    post, address = ask(wrong_keys=3), some_address()
    with transaction(engine, brand_id) as connection:
        known, fresh = (billers.create(connection, brand_id, New("mapped", ["u:s"], mapping=BASIC)) for _ in range(2))

    def sent(biller_id: UUID, where: str = address) -> int:
        body, shown = {"id": str(uuid4()), "at": "2031-01-01T00:00:00Z"}, base64.b64encode(b"u:s").decode()
        return post(f"/billers/mapped/{biller_id}", shown, where, "POST", body, scheme="Basic").status_code

    assert sent(known) == 200
    assert [sent(uuid4()) for _ in range(5)] == [404, 404, 404, 429, 429]
    assert (sent(known), sent(fresh), sent(fresh, some_address())) == (200, 429, 200)


def test_a_billers_webhooks_count_as_requests_of_its_brand(
    ask: Callable[..., Ask], engine: Engine, brand_id: UUID
) -> None:
    """Once they are known to be its own: a stranger spends nothing of the brand's."""
    post, address = ask(brand=2), some_address()
    with transaction(engine, brand_id) as connection:
        biller_id = billers.create(connection, brand_id, New("mapped", ["user:secret"], mapping=BASIC))

    def sent(secret: str) -> int:
        body, shown = {"id": str(uuid4()), "at": "2031-01-01T00:00:00Z"}, base64.b64encode(secret.encode()).decode()
        return post(f"/billers/mapped/{biller_id}", shown, address, "POST", body, scheme="Basic").status_code

    assert [sent("user:wrong") for _ in range(3)] == [400] * 3
    assert [sent("user:secret") for _ in range(3)] == [200, 200, 429]


def test_metrics_are_looked_at_so_often(ask: Callable[..., Ask]) -> None:
    """Anybody may, and it costs some statements over all brands."""
    send = ask(metrics=2)
    answers = [
        send("/metrics", "", where).status_code for where in ("192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2")
    ]
    assert answers == [200, 200, 429, 200]
