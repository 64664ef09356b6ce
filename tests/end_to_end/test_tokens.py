"""Member tokens: short-lived, one member's, and nothing of the server's (INTERFACE 3)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from sqlalchemy import text

from issuance.database.connections import transaction
from issuance.tenancy import keys, sealing, tokens
from tests.end_to_end.members import THREADS, Brand


def secret(brand: Brand) -> bytes:
    with transaction(brand.server.engine) as connection:
        kept = connection.execute(text("SELECT value FROM secrets WHERE name = 'member tokens'")).scalar_one()
    return sealing.unseal(bytes(kept))


def test_exchange_makes_the_member_and_a_token_for_a_quarter_of_an_hour(brand: Brand) -> None:
    body = {"externalUserID": "user_42", "displayName": "Ada", "tier": "gold", "email": "ada@example.org"}
    grant = brand.call("POST", "/v1/auth/exchange", json=body)
    assert grant.keys() == {"accessToken", "expiresAt"}
    left = datetime.fromisoformat(grant["expiresAt"]) - datetime.now(UTC)
    assert timedelta(minutes=14) < left <= tokens.LIFETIME == timedelta(minutes=15)
    member = brand.call("GET", "/v1/members/user_42")
    assert (member["displayName"], member["tier"], member["email"]) == ("Ada", "gold", "ada@example.org")
    brand.call("POST", "/v1/auth/exchange", json={"externalUserID": "user_42", "tier": "vip"})
    assert brand.call("GET", "/v1/members/user_42")["displayName"] == "Ada"


def test_a_member_sees_and_makes_only_their_own(brand: Brand) -> None:
    brand.member("ada", points=20)
    brand.member("bob", points=20)
    ada, bob = brand.as_member("ada"), brand.as_member("bob")
    made = ada.call("POST", "/v1/redemptions", 201, json={"points": 5})["id"]
    assert ada.call("GET", "/v1/wallet")["balance"] == 15
    assert ada.call("GET", "/v1/wallet?externalUserID=ada")["balance"] == 15
    assert ada.call("GET", "/v1/eligibility")["wallet"]["balance"] == 15
    assert [entry["redemptionID"] for entry in ada.call("GET", "/v1/wallet/transactions")["transactions"]] == [
        made,
        None,
    ]
    assert bob.call("GET", "/v1/redemptions")["redemptions"] == []
    assert bob.refused("GET", f"/v1/redemptions/{made}", 404) == "NOT_FOUND"
    for path in ("wallet", "wallet/transactions", "eligibility", "redemptions"):
        assert bob.refused("GET", f"/v1/{path}?externalUserID=ada", 403) == "FORBIDDEN"
    body = {"points": 5, "externalUserID": "ada"}
    assert bob.refused("POST", "/v1/redemptions", 403, json=body) == "FORBIDDEN"


def test_a_member_redeems_only_their_own_credits(brand: Brand) -> None:
    kind = brand.rule()
    codes = {name: brand.credits(membership_id=brand.sign_up(kind, name))[0]["code"] for name in ("ada", "bob")}
    ada = brand.as_member("ada")
    body = {"creditCode": codes["bob"]}
    assert ada.refused("POST", "/v1/redemptions", 422, json=body) == "CREDIT_NOT_FOUND"
    made = ada.call("POST", "/v1/redemptions", 201, json={"creditCode": codes["ada"]})
    assert (made["offer"], made["creditCode"], made["externalUserID"]) == ("Spa", codes["ada"], "ada")


def test_every_server_side_route_is_closed_to_a_member(brand: Brand) -> None:
    """All that the document does not open to tokens: 403, whatever else may be wrong with the request."""
    brand.member("ada")
    ada = brand.as_member("ada")
    document: dict[str, Any] = brand.http.get("/openapi.json").json()
    closed = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            schemes = {name for scheme in operation.get("security", []) for name in scheme}
            if "organisation_key" in schemes and "member_token" not in schemes:
                answer = ada.http.request(method.upper(), path.replace("{", "").replace("}", ""), json={})
                assert answer.status_code == 403, (method, path, answer.text)
                closed += 1
    assert closed > 25


def key_id(of: Brand) -> str:
    with transaction(of.server.engine, of.brand_id) as connection:
        return str(keys.all_of(connection, of.brand_id)[0]["key_id"])


def claims(of: Brand, **other: Any) -> dict[str, Any]:
    now = int(datetime.now(UTC).timestamp())
    good = {"iss": "issuance", "aud": "issuance member", "brand": str(of.brand_id), "sub": of.member_id("ada")}
    proof = {"jti": "1", "key": key_id(of), "archivings": 0}
    made = {**good, "iat": now, "exp": now + 60, **proof, **other}
    return {name: value for name, value in made.items() if value is not None}


BAD: list[dict[str, Any]] = [
    {"exp": 1},
    {"exp": None},
    {"iss": "x"},
    {"iss": None},
    {"aud": "x"},
    {"aud": None},
    {"sub": "nobody"},
    {"sub": "ada"},  # as in tokens of before there were ids of Issuance's own
    {"sub": "00000000-0000-0000-0000-000000000000"},
    {"sub": None},
    {"sub": 1},
    {"brand": None},
    {"brand": "x"},
    {"brand": 7},
    {"brand": "00000000-0000-0000-0000-000000000000"},
    {"jti": None},
    {"key": None},
    {"key": "x"},
    {"key": "00000000-0000-0000-0000-000000000000"},
    {"archivings": None},
    {"archivings": 1},
    {"archivings": "often"},
    {"iat": None},
]


@pytest.mark.parametrize("wrong", BAD, ids=str)
def test_a_token_with_a_wrong_claim_opens_nothing(brand: Brand, wrong: dict[str, Any]) -> None:
    brand.member("ada")
    brand.as_member("ada")
    key = secret(brand)
    for made, status in ((claims(brand), 200), (claims(brand, **wrong), 401)):
        with brand.server.client(jwt.encode(made, key, "HS256")) as http:
            assert http.get("/v1/wallet").status_code == status, made


def test_only_our_secret_and_algorithm_sign(brand: Brand) -> None:
    brand.member("ada")
    brand.as_member("ada")
    good = claims(brand)
    forged = [
        jwt.encode(good, "", algorithm="none"),
        jwt.encode(good, secret(brand), algorithm="HS512"),
        jwt.encode(good, b"x" * 64, algorithm="HS256"),
        "a.b.c",
        "..",
        "W1tb" * 1500 + ".W10.x",  # brackets: deeper than Python reads JSON
    ]
    for token in forged:
        with brand.server.client(token) as http:
            answer = http.get("/v1/wallet")
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "UNAUTHORIZED")


def test_a_removed_member_has_no_token(brand: Brand) -> None:
    brand.member("ada")
    ada = brand.as_member("ada")
    brand.call("DELETE", "/v1/members/ada")
    assert ada.http.get("/v1/wallet").status_code == 401
    body = {"externalUserID": "ada", "tier": "gold"}
    assert brand.refused("POST", "/v1/auth/exchange", 409, json=body) == "MEMBER_ARCHIVED"
    assert brand.call("GET", "/v1/members/ada")["tier"] == ""


def test_a_token_of_before_an_archiving_stays_dead(brand: Brand) -> None:
    """However often the member comes back, at one instant of the brand's clock too; a new token is good."""
    brand.call("PUT", "/sandbox/clock", json={"now": "2090-01-01T00:00:00Z"})
    brand.member("ada")
    old: list[Brand] = []
    for _ in range(3):
        ada = brand.as_member("ada")
        assert ada.http.get("/v1/wallet").status_code == 200
        old.append(ada)
        brand.call("DELETE", "/v1/members/ada")
        brand.call("PUT", "/v1/members/ada", json={})
        assert {one.http.get("/v1/wallet").status_code for one in old} == {401}


def test_a_token_dies_with_the_key_that_asked_for_it(brand: Brand) -> None:
    """Others of the same member, asked for by other keys, live on."""
    brand.member("ada")
    with transaction(brand.server.engine, brand.brand_id) as connection:
        key_id, key = keys.create(connection, brand.brand_id, ["write", "tokens"])
    with brand.server.client(key) as http:
        token = http.post("/v1/auth/exchange", json={"externalUserID": "ada"}).json()["accessToken"]
    other = brand.as_member("ada")
    with brand.server.client(token) as http:
        assert http.get("/v1/wallet").status_code == 200
        with transaction(brand.server.engine, brand.brand_id) as connection:
            keys.revoke(connection, brand.brand_id, key_id)
        assert http.get("/v1/wallet").status_code == 401
    assert other.http.get("/v1/wallet").status_code == 200


def test_32_threads_exchange_tokens_for_one_new_member(brand: Brand) -> None:
    answers = brand.many("POST", "/v1/auth/exchange", [{"externalUserID": "ada"}] * THREADS)
    granted = {answer.json()["accessToken"] for answer in answers}
    assert len(granted) == THREADS
    with brand.server.client(granted.pop()) as http:
        assert http.get("/v1/wallet").json()["balance"] == 0
    assert brand.call("GET", "/v1/analytics/summary")["memberCount"] == 1
