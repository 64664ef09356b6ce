"""Idempotency-Key: a POST that is sent again has one effect and one answer (INTERFACE 7)."""

import json
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection, text

from issuance.database.connections import transaction
from issuance.memberships import forgetting
from issuance.tenancy import idempotency, keys
from issuance.tenancy.idempotency import Answer, Key
from tests.end_to_end.members import THREADS, Brand

CREDIT = {"amount": 7, "externalUserID": "ada"}


def send(brand: Brand, key: str, body: Any = CREDIT, path: str = "/v1/wallet/credit") -> httpx.Response:
    return brand.http.post(path, json=body, headers={"Idempotency-Key": key})


def hold_wallet(connection: Connection) -> None:
    connection.execute(text("SELECT FROM wallets FOR UPDATE"))


def test_the_same_request_is_answered_again(brand: Brand) -> None:
    brand.member("ada")
    first, again = send(brand, "k"), send(brand, "k")
    assert (first.status_code, first.json()["balance"]) == (200, 7)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    spaced = json.dumps(dict(reversed(CREDIT.items())), indent=2)
    same = brand.http.post("/v1/wallet/credit", content=spaced, headers={"Idempotency-Key": "k"})
    assert same.content == first.content
    assert brand.wallet("ada")["balance"] == 7


def test_another_request_with_the_key_is_refused(brand: Brand) -> None:
    brand.member("ada", points=1)
    send(brand, "k")
    for path, body in (
        ("/v1/wallet/credit", {**CREDIT, "amount": 8}),
        ("/v1/wallet/credit?x=1", CREDIT),
        ("/v1/redemptions", {"points": 1, "externalUserID": "ada"}),
    ):
        answer = send(brand, "k", body, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "IDEMPOTENCY_KEY_REUSED")
    answer = send(brand, "k", {"name": "Gold"}, "/customers/membership-types")
    assert answer.json()["error"]["code"] == "idempotency_key_reused"
    assert brand.wallet("ada")["balance"] == 8


def test_every_post_has_it(brand: Brand) -> None:
    """Outside /v1 too: 201s, answers without a body, refusals."""
    made = [send(brand, "t", {"name": "Gold"}, "/customers/membership-types") for _ in range(2)]
    assert made[0].status_code == made[1].status_code == 201
    assert made[0].json() == made[1].json()
    kind = brand.rule()
    rule = brand.call("GET", "/customers/membership-credit-rules")["data"][0]["id"]
    path = f"/customers/membership-credit-rules/{rule}/issue"
    issued = [brand.http.post(path, headers={"Idempotency-Key": "i"}) for _ in range(2)]
    assert [(answer.status_code, answer.content) for answer in issued] == [(204, b"")] * 2
    assert issued[0].headers["Location"] == issued[1].headers["Location"], "it alone names the run"
    brand.settle()
    runs = [run for run in brand.call("GET", "/runs")["data"] if run["kind"] == "issue"]
    assert len(runs) == 1
    document = brand.http.get("/openapi.json").json()
    # Billers' own webhooks know no such header: they are kept once by their own ids.
    own = ("receiveFromStripe", "receiveFromMapped")
    posts = [path["post"] for path in document["paths"].values() if "post" in path]
    posts = [post for post in posts if post["operationId"] not in own]
    assert all("Idempotency-Key" in {p["name"] for p in post["parameters"]} for post in posts)
    assert kind


def test_refusals_are_answers_too(brand: Brand) -> None:
    assert send(brand, "k").json()["error"]["code"] == "MEMBER_NOT_FOUND"
    brand.member("ada")
    again = send(brand, "k")
    assert (again.status_code, again.json()["error"]["code"]) == (404, "MEMBER_NOT_FOUND")
    assert brand.wallet("ada")["balance"] == 0
    assert send(brand, "l", {"amount": 0}).status_code == send(brand, "l", {"amount": 0}).status_code == 422
    assert send(brand, "n").status_code == 200


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "é".encode()], ids=["empty", "long", "tab", "not ASCII"])
def test_keys_are_printable_and_short(brand: Brand, key: Any) -> None:
    brand.member("ada")
    answer = brand.http.post("/v1/wallet/credit", json=CREDIT, headers=[(b"Idempotency-Key", key)])
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "VALIDATION")
    assert "Idempotency-Key" in answer.json()["error"]["fields"]
    assert send(brand, "x" * 255).status_code == 200


def test_a_key_is_its_callers_own(brand: Brand, other: Brand) -> None:
    brand.member("ada", points=20)
    other.member("ada")
    brand.member("bob", points=20)
    send(brand, "k")
    assert send(other, "k").json()["balance"] == 7
    body = {"points": 1}
    ada, bob = (send(brand.as_member(name), "k", body, "/v1/redemptions").json() for name in ("ada", "bob"))
    assert (ada["externalUserID"], bob["externalUserID"]) == ("ada", "bob")
    again = send(brand.as_member("ada"), "k", body, "/v1/redemptions")  # another token, the same member
    assert again.json() == ada


def test_32_doubles_have_one_effect_and_one_answer(brand: Brand) -> None:
    brand.member("ada")
    answers = brand.many("POST", "/v1/wallet/credit", [CREDIT] * THREADS, headers={"Idempotency-Key": "k"})
    assert {(answer.status_code, answer.content) for answer in answers} == {(200, answers[0].content)}
    assert sum("Idempotency-Replayed" in answer.headers for answer in answers) == THREADS - 1
    assert brand.wallet("ada")["balance"] == 7


def test_one_that_is_under_way_is_waited_for(brand: Brand) -> None:
    brand.member("ada", points=1)
    with ThreadPoolExecutor(2) as pool:
        with transaction(brand.server.engine, brand.brand_id) as connection:
            hold_wallet(connection)
            answers: list[Future[httpx.Response]] = [pool.submit(send, brand, "k") for _ in range(2)]
            brand.server.wait_for_locks()
            time.sleep(0.1)
            assert not any(answer.done() for answer in answers)
        first, second = (answer.result().json() for answer in answers)
    assert first == second == {**first, "balance": 8}


def test_what_dies_leaves_neither_effect_nor_claim(brand: Brand) -> None:
    """The request's backend is killed in the middle: nothing happened, and the retry is the first."""
    brand.member("ada", points=1)
    with ThreadPoolExecutor(1) as pool, transaction(brand.server.engine, brand.brand_id) as connection:
        hold_wallet(connection)
        answer = pool.submit(send, brand, "k")
        for pid in brand.server.wait_for_locks():
            connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        assert answer.result().status_code == 503
    assert brand.wallet("ada")["balance"] == 1
    retried = send(brand, "k")
    assert (retried.json()["balance"], "Idempotency-Replayed" in retried.headers) == (8, False)


def test_processes_wait_for_each_other_at_the_claim(brand: Brand) -> None:
    """As two web processes would: the second hears what the first committed, or is the first if that failed."""
    engine = brand.server.engine

    def claim(key: Key) -> Answer | None:
        with transaction(engine, brand.brand_id) as connection:
            return idempotency.claim(connection, key, b"hash")

    with ThreadPoolExecutor(1) as pool:
        for name, commits in (("a", True), ("b", False)):
            key = Key(brand.brand_id, "key 1", name)
            with engine.connect() as connection:
                with connection.begin() as work:
                    connection.execute(text("SELECT set_config('issuance.brand_id', '*', true)"))
                    assert idempotency.claim(connection, key, b"hash") is None
                    second = pool.submit(claim, key)
                    brand.server.wait_for_locks()
                    idempotency.keep(connection, key, Answer(200, b"{}"))
                    if not commits:
                        work.rollback()
                assert second.result() == (Answer(200, b"{}") if commits else None)


def test_a_token_is_given_again_and_never_kept(brand: Brand) -> None:
    body = {"externalUserID": "ada"}
    first, again = (send(brand, "k", body, "/v1/auth/exchange") for _ in range(2))
    assert first.json() == again.json()
    signature = first.json()["accessToken"].rpartition(".")[2]
    with transaction(brand.server.engine, brand.brand_id) as connection:
        kept = bytes(connection.execute(text("SELECT body FROM idempotency_keys WHERE key = 'k'")).scalar_one())
    assert b"claims" not in kept
    assert signature.encode() not in kept
    with brand.server.client(again.json()["accessToken"]) as http:
        assert http.get("/v1/wallet").status_code == 200


def opens(brand: Brand, answer: httpx.Response) -> int:
    with brand.server.client(answer.json()["accessToken"]) as http:
        return http.get("/v1/wallet").status_code


def test_a_token_that_is_dead_is_not_given_again(brand: Brand) -> None:
    """It expired, its member was away, or its key was rotated out: another takes its place, and nothing is done twice.
    A member who is away has none."""
    body = {"externalUserID": "ada", "tier": "gold"}
    first = send(brand, "k", body, "/v1/auth/exchange")
    brand.call("PUT", "/v1/members/ada", json={"tier": "vip"})
    _expire_kept_token(brand)
    fresh = send(brand, "k", body, "/v1/auth/exchange")
    left = datetime.fromisoformat(fresh.json()["expiresAt"]) - datetime.now(UTC)
    assert (opens(brand, fresh), left > timedelta(minutes=14)) == (200, True)
    brand.call("DELETE", "/v1/members/ada")
    refused = send(brand, "k", body, "/v1/auth/exchange")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "MEMBER_ARCHIVED")
    brand.call("PUT", "/v1/members/ada", json={})
    back = send(brand, "k", body, "/v1/auth/exchange")
    assert (opens(brand, first), opens(brand, fresh), opens(brand, back)) == (401, 401, 200)
    with transaction(brand.server.engine, brand.brand_id) as connection:
        (key,) = keys.all_of(connection, brand.brand_id)
        _, secret = keys.rotate(connection, brand.brand_id, key["key_id"])
        keys.revoke(connection, brand.brand_id, key["key_id"])
    with brand.server.client(secret) as http:
        rotated = send(replace(brand, http=http), "k", body, "/v1/auth/exchange")
        assert (opens(brand, back), opens(brand, rotated)) == (401, 200)
        assert all(one.headers["Idempotency-Replayed"] == "true" for one in (fresh, back, rotated))
        assert http.get("/v1/members/ada").json()["tier"] == "vip"


def _expire_kept_token(brand: Brand) -> None:
    claims = "jsonb_set(CAST(convert_from(body, 'UTF8') AS jsonb), '{accessToken,exp}', to_jsonb(900000000))"
    with transaction(brand.server.engine, brand.brand_id) as connection:
        connection.execute(text(f"UPDATE idempotency_keys SET body = convert_to(CAST({claims} AS text), 'UTF8')"))


def test_an_answer_is_forgotten_after_a_day(brand: Brand) -> None:
    brand.member("ada")
    send(brand, "k")
    age = text("UPDATE idempotency_keys SET created_at = created_at - interval '25 hours'")
    with transaction(brand.server.engine, brand.brand_id) as connection:
        connection.execute(age)
    assert send(brand, "k", {**CREDIT, "amount": 1}).json()["balance"] == 8
    with transaction(brand.server.engine, brand.brand_id) as connection:
        assert idempotency.forget(connection, most=100) == 0
        connection.execute(age)
        assert idempotency.forget(connection, most=100) == 1


def test_who_is_erased_takes_no_key_along(brand: Brand) -> None:
    """Neither another's, whose id or month has theirs in it, nor one that named them: that is known by a hash."""
    for who in ("user_1", "user_12", "2031"):
        brand.member(who)
    body = {"amount": 100, "externalUserID": "user_12"}
    keys = [f"pay-{who}-2031-02" for who in ("user_1", "user_12")]
    first = [send(brand, key, body).json() for key in keys]
    for who in ("user_1", "2031"):
        brand.call("DELETE", f"/v1/members/{who}")
        brand.call("POST", f"/v1/members/{who}/erase")
    again = [send(brand, key, body) for key in keys]
    assert [one.json() for one in again] == first
    assert all("Idempotency-Replayed" in one.headers for one in again)
    assert send(brand, keys[0], {**body, "amount": 99}).status_code == 409
    assert send(brand, "another", body).json()["balance"] == 300
    with transaction(brand.server.engine, brand.brand_id) as connection:
        kept = connection.scalars(text("SELECT key FROM idempotency_keys ORDER BY key")).all()
    assert [key for key in kept if "user" in key or "2031" in key] == []


def test_a_retry_that_waits_for_an_erasing_is_answered_again(brand: Brand) -> None:
    """It claims a key that is free by then, and hears the first answer all the same."""
    for who in ("user_1", "bea"):
        brand.member(who)
    body = {"amount": 100, "externalUserID": "bea"}
    first = send(brand, "pay-user_1", body)
    brand.call("DELETE", "/v1/members/user_1")
    with ThreadPoolExecutor(1) as pool:
        with transaction(brand.server.engine, brand.brand_id) as connection:
            forgetting.erase(connection, brand.brand_id, "user_1")
            again = pool.submit(send, brand, "pay-user_1", body)
            brand.server.wait_for_locks()
        assert again.result().content == first.content
    assert brand.wallet("bea")["balance"] == 100


def test_a_rotated_keys_answers_are_those_of_the_key_in_its_place(brand: Brand) -> None:
    """However often it is rotated, and while both are good; a key that was simply created has its own."""
    brand.member("ada")
    first = send(brand, "k").json()
    with transaction(brand.server.engine, brand.brand_id) as connection:
        (first_key,) = keys.all_of(connection, brand.brand_id)
        second_id, second = keys.rotate(connection, brand.brand_id, first_key["key_id"])
        third = keys.rotate(connection, brand.brand_id, second_id)[1]
        unrelated = keys.create(connection, brand.brand_id, ["admin"])[1]
    for key in (second, third):
        with brand.server.client(key) as http:
            again = send(replace(brand, http=http), "k")
            assert (again.json(), again.headers.get("Idempotency-Replayed")) == (first, "true")
            assert send(replace(brand, http=http), "k", {**CREDIT, "amount": 8}).status_code == 409
    assert brand.wallet("ada")["balance"] == 7
    with brand.server.client(unrelated) as http:
        assert send(replace(brand, http=http), "k").json()["balance"] == 14
