"""Whatever is wrong with a request: a clear 4xx in the one shape, with an X-Request-Id, and nothing else disturbed."""

import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from issuance.api.requests import LONGEST_INTAKE
from issuance.database.connections import transaction
from issuance.tenancy import keys
from tests.serving import Server

RULES = "/customers/membership-credit-rules"
JSON = {"content-type": "application/json"}


def problem(response: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """The error in `response`, which must be a `status` in the one shape."""
    assert response.status_code == status, response.text
    assert response.headers["x-request-id"]
    body = response.json()
    assert set(body) == {"error"}
    assert {"code", "message"} <= set(body["error"]) <= {"code", "message", "fields"}
    assert body["error"]["message"]
    if code is not None:
        assert body["error"]["code"] == code
    error: dict[str, Any] = body["error"]
    return error


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    """One sandbox brand for all that is refused here."""
    with server.client(server.new_brand().key) as client:
        yield client


@pytest.fixture(scope="module")
def rule(http: httpx.Client) -> dict[str, Any]:
    type_id = http.post("/customers/membership-types", json={"name": "Gold"}).json()["id"]
    coupon = {"name": "Spa", "discount": {"type": "percent", "value": 10}}
    assert http.put("/customers/coupons/spa", json=coupon).status_code == 200
    made = http.post(RULES, json={"membership_type_id": type_id, "coupon_id": "spa", "coupon_name": "Spa credit"})
    assert made.status_code == 201
    rule: dict[str, Any] = made.json()
    return rule


def test_unknown_addresses_and_methods(http: httpx.Client) -> None:
    problem(http.get("/nope"), 404, "not_found")
    problem(http.get("/v1/nope"), 404, "NOT_FOUND")
    not_there = http.patch(RULES)
    told = problem(not_there, 405, "method_not_allowed")["message"]
    assert (not_there.headers["allow"], told) == (
        "GET, HEAD, POST",
        "There is no PATCH at this address, only GET, POST.",
    )
    problem(http.get(RULES + "/"), 404, "not_found")
    for method in ("GET", "PUT", "DELETE"):  # not the id of a rule
        assert http.request(method, f"{RULES}/preview").headers["allow"] == "POST"
    assert http.put("/customers/credits/corrections").headers["allow"] == "POST", "nor a code"
    for what, method in (("erase", "POST"), ("export", "GET")):  # nor of a member
        for other in {"GET", "POST", "PUT", "PATCH", "DELETE"} - {method}:
            refused = http.request(other, f"/v1/members/ada/{what}", json=None if other == "GET" else {})
            problem(refused, 405, "METHOD_NOT_ALLOWED")
            assert refused.headers["allow"] == ("GET, HEAD" if method == "GET" else method)


@pytest.mark.parametrize("shown", [None, "Basic abc", "Bearer", "Bearer x", "Bearer iss_live_" + "a" * 49, "Bearer é"])
def test_no_key_or_a_bad_one_is_401_before_anything_else(server: Server, shown: str | None) -> None:
    headers = {**JSON, **({} if shown is None else {"authorization": shown.encode("latin-1").decode("latin-1")})}
    with httpx.Client(base_url=server.url) as stranger:
        request = stranger.build_request(
            "POST", f"{RULES}?x=1", content="{bad", headers=httpx.Headers(headers, "latin-1")
        )
        response = stranger.send(request)
    problem(response, 401, "not_authenticated")
    assert response.headers["www-authenticate"] == "Bearer"


def test_a_missing_scope_is_403_before_validation(server: Server) -> None:
    """read reads, write writes, issue issues; none opens what another does."""
    brand_id = server.new_brand().brand_id
    refused = {
        "read": ["POST", "PUT", "DELETE", "issue"],
        "write": ["GET", "issue"],
        "issue": ["GET", "POST", "PUT", "DELETE"],
    }
    for scope, doors in refused.items():
        with transaction(server.engine) as connection:
            _, key = keys.create(connection, brand_id, [scope])
        with server.client(key) as client:
            for door in doors:
                method, path = ("POST", f"{RULES}/{uuid4()}/issue") if door == "issue" else (door, RULES)
                path += f"/{uuid4()}" if method in ("PUT", "DELETE") else ""
                problem(client.request(method, path + "?x=1", json={"x": 1}), 403, "not_allowed")


def test_only_tokens_opens_what_makes_a_caller_any_member(server: Server) -> None:
    """A key that writes can not become a member; one that makes tokens can do nothing else."""
    brand_id = server.new_brand().brand_id
    body = {"externalUserID": "ada"}
    for scope, status in {"write": 403, "read": 403, "issue": 403, "tokens": 200, "admin": 200}.items():
        with transaction(server.engine) as connection:
            _, key = keys.create(connection, brand_id, [scope])
        with server.client(key) as client:
            assert client.post("/v1/auth/exchange", json=body).status_code == status
            if scope == "tokens":
                problem(client.get(RULES), 403)
                problem(client.put("/v1/members/ada", json={}), 403)


def test_a_revoked_key_opens_nothing_a_second_later(server: Server) -> None:
    """By whichever process; whoever revoked it, here another program, refuses it at once."""
    brand_id, _ = server.new_brand()
    with transaction(server.engine) as connection:
        key_id, key = keys.create(connection, brand_id, ["read"])
    with server.client(key) as client:
        assert client.get(RULES).status_code == 200
        with transaction(server.engine) as connection:
            keys.revoke(connection, brand_id, key_id)
        time.sleep(1)
        for _ in range(8):
            problem(client.get(RULES), 401)


@pytest.mark.parametrize(
    "content", ["{bad", b"\xff\xfe", "[" * 60_000, '{"coupon_name": NaN}', '{"coupon_name": "\\ud800"}', "9" * 5000]
)
def test_what_is_not_json_is_400(http: httpx.Client, content: Any) -> None:
    """And says where it stops being JSON, wherever it is sent."""
    for address, code in ((RULES, "bad_request"), ("/billing-events", "bad_request"), ("/v1/webhooks", "BAD_REQUEST")):
        told = problem(http.post(address, content=content, headers=JSON), 400, code)["message"]
        assert told.startswith("The body is not JSON: ")
        assert " line 1 column " in told


@pytest.mark.parametrize("content", ["[]", "5", "null", '"x"', ""])
def test_what_is_no_object_is_422(http: httpx.Client, content: str) -> None:
    assert set(problem(http.post(RULES, content=content, headers=JSON), 422)["fields"]) == {"body"}


def test_other_media_types_are_415(http: httpx.Client) -> None:
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "application/xml"):
        refused = http.post(RULES, content="{}", headers={"content-type": media_type})
        told = problem(refused, 415, "unsupported_media_type")["message"]
        assert told == f"Send JSON, not {media_type}: Content-Type: application/json."
    refused = http.post("/billing-events/batch", content="[]", headers={"content-type": "text/csv"})
    assert "application/cloudevents-batch+json" in problem(refused, 415)["message"]


def test_long_bodies_are_413_whatever_their_headers_say(http: httpx.Client) -> None:
    def in_pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * 50_000

    for content in (b"x" * 2_000_000, in_pieces()):
        told = problem(http.post("/billing-events", content=content, headers=JSON), 413, "too_large")["message"]
        assert str(LONGEST_INTAKE) in told
    problem(http.post("/v1/webhooks", content=b"x" * 2_000_000, headers=JSON), 413, "PAYLOAD_TOO_LARGE")
    for address in ("/billing-events", "/billing-events/batch"):
        told = problem(http.post(address, json=[{}] * 1001), 413, "too_large")["message"]
        assert "1000" in told
    assert http.get(RULES).status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        "page=0", "page=-1", "page=x", "page=1.5", "page=1000001", "page=99999999999999999999", "per_page=0",
        "per_page=101", "unknown=1", "brand_id=x", "membership_type_id=", "membership_type_id=%00",
        "issue_on_signup=maybe", "page=1&page=2", "page=1_0", "page=%2B1", "page=%201", "page=1.0", "page=%D9%A1",
        "issue_on_signup=yes", "issue_on_signup=on", "issue_on_signup=t",
    ],
)  # fmt: skip
def test_parameters_are_checked(http: httpx.Client, query: str) -> None:
    assert set(problem(http.get(f"{RULES}?{query}"), 422, "invalid")["fields"]) == {query.split("=")[0]}


@pytest.mark.parametrize("query", ["page=01", "issue_on_signup=true", "issue_on_signup=0", "issue_on_signup=False"])
def test_parameters_may_be_written_so(http: httpx.Client, query: str) -> None:
    assert http.get(f"{RULES}?{query}").status_code == 200


def test_a_page_that_is_too_long_names_the_cap(http: httpx.Client) -> None:
    assert "100" in problem(http.get(f"{RULES}?per_page=101"), 422, "invalid")["fields"]["per_page"]


@pytest.mark.parametrize(
    "address",
    [
        "/customers/memberships?status=sleeping", "/customers/memberships?external_user_id=%00",
        "/customers/credits?status=used", "/customers/credits?multi_use=maybe", "/customers/credits?guest_id=x",
        "/customers/coupons?page=0", "/customers/membership-types?per_page=101", "/runs?state=done",
        "/rejected-events?code=", "/quarantine?page=0", "/sandbox/clock?now=1",
    ],
)  # fmt: skip
def test_filters_are_checked_everywhere(http: httpx.Client, address: str) -> None:
    assert problem(http.get(address), 422, "invalid")["fields"]


@pytest.mark.parametrize(
    "said",
    [
        {"coupon_name": ""}, {"coupon_name": "x" * 121}, {"coupon_name": None}, {"coupon_name": 5},
        {"coupon_name": "a\x00b"}, {"roll_over": "true"}, {"roll_over": 1}, {"roll_over": None},
        {"issuing_frequency": "P2M"}, {"issuing_frequency": "-P1M"}, {"issuing_frequency": ""},
        {"issuing_frequency": None}, {"membership_type_id": "x"}, {"membership_type_id": str(uuid4())},
        {"membership_type_id": 5}, {"coupon_id": "nope"}, {"coupon_id": "a\x00"}, {"version": 1}, {"id": "x"},
        {"include_upcoming": "yes"}, {"coupon_description": "x" * 5000},
    ],
)  # fmt: skip
def test_rules_are_checked_field_by_field(http: httpx.Client, rule: dict[str, Any], said: dict[str, Any]) -> None:
    """On creation and on change alike; nothing is created or changed."""
    whole = {name: rule[name] for name in ("membership_type_id", "coupon_id", "coupon_name")}
    assert set(problem(http.post(RULES, json={**whole, **said}), 422, "invalid")["fields"]) == set(said)
    assert set(problem(http.put(f"{RULES}/{rule['id']}", json=said), 422, "invalid")["fields"]) == set(said)
    assert http.get(f"{RULES}/{rule['id']}").json() == rule
    assert http.get(RULES).json()["meta"]["total"] == 1


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"discount": {"type": "percent", "value": 101}}, "discount.value"),
        ({"discount": {"type": "percent", "value": -1}}, "discount.value"),
        ({"discount": {"type": "percent", "value": True}}, "discount.value"),
        ({"discount": {"type": "amount", "value": "1", "currency": "EUR"}}, "discount.value"),
        ({"discount": {"type": "amount", "value": 1, "currency": "euro"}}, "discount.currency"),
        ({"discount": {"type": "percent", "value": 1, "currency": "EUR"}}, "discount.currency"),
        ({"discount": {"type": "gift", "value": 1}}, "discount.type"),
        *(({"validity": text}, "validity") for text in ("", "P0D", "-P1D", "PT5H", "P0.5D", "P99999Y", "60 days", 60)),
        ({"offerings": ["\x00"]}, "offerings.0"),
        ({"offerings": {}}, "offerings"),
        ({"name": ""}, "name"),
    ],
)
def test_coupons_are_checked_field_by_field(http: httpx.Client, said: dict[str, Any], field: str) -> None:
    whole = {"name": "n", "discount": {"type": "percent", "value": 10}}
    assert field in problem(http.put("/customers/coupons/new", json={**whole, **said}), 422, "invalid")["fields"]
    problem(http.get("/customers/coupons/new"), 404, "not_found")


@pytest.mark.parametrize("coupon_id", ["a%20b", "a%00b", "a" * 101, "%C3%BC", "%2F"])
def test_coupon_ids_are_safe(http: httpx.Client, coupon_id: str) -> None:
    body = {"name": "n", "discount": {"type": "percent", "value": 10}}
    assert http.put(f"/customers/coupons/{coupon_id}", json=body).status_code in (404, 422)
    problem(http.get(f"/customers/coupons/{coupon_id}"), 404)


@pytest.mark.parametrize("unknown", ["nope", "%00", "%ff", "a" * 5000, str(uuid4())])
def test_an_unknown_id_in_a_path_is_404(http: httpx.Client, unknown: str) -> None:
    for method, address in [
        ("GET", f"{RULES}/{unknown}"),
        ("PUT", f"{RULES}/{unknown}"),
        ("DELETE", f"{RULES}/{unknown}"),
        ("POST", f"{RULES}/{unknown}/issue"),
        ("GET", f"/customers/memberships/{unknown}"),
        ("GET", f"/customers/memberships/{unknown}/explain"),
        ("GET", f"/customers/membership-types/{unknown}"),
        ("GET", f"/customers/credits/{unknown}"),
        ("POST", f"/customers/credits/{unknown}/redeem"),
        ("GET", f"/runs/{unknown}"),
        ("GET", f"/runs/{unknown}/plan"),
        ("POST", f"/runs/{unknown}/pause"),
        ("POST", f"/quarantine/{unknown}/retry"),
        ("POST", f"/rejected-events/{unknown}/retry"),
        ("DELETE", f"/rejected-events/{unknown}"),
    ]:
        problem(http.request(method, address, json={} if method in ("PUT", "POST") else None), 404, "not_found")


@pytest.mark.parametrize(
    "now", ["x", "2031-01-01", "2031-01-01T00:00:00", "2031-02-30T00:00:00Z", "9999-01-01T00:00:00Z", 5, None, True]
)
def test_the_clock_is_set_to_instants_only(http: httpx.Client, now: Any) -> None:
    assert set(problem(http.put("/sandbox/clock", json={"now": now}), 422, "invalid")["fields"]) == {"now"}


def test_a_clock_that_was_never_set_takes_what_it_has_just_said_as_the_present(server: Server) -> None:
    """It has gone on since. From then on it stands, and what lies behind is behind."""
    with server.client(server.new_brand().key) as client:
        said = client.get("/sandbox/clock").json()["now"]
        problem(client.put("/sandbox/clock", json={"now": "2026-01-01T00:00:00Z"}), 409, "clock_backward")
        stands = client.put("/sandbox/clock", json={"now": said}).json()
        assert stands["settled"]
        assert stands["now"] >= said
        assert client.put("/sandbox/clock", json={"now": stands["now"]}).json() == stands
        problem(client.put("/sandbox/clock", json={"now": said}), 409, "clock_backward")


def test_a_live_brand_has_no_clock_to_set(server: Server) -> None:
    with server.client(server.new_brand(sandbox=False).key) as client:
        problem(client.get("/sandbox/clock"), 409, "live_brand")
        problem(client.put("/sandbox/clock", json={"now": "2031-01-01T00:00:00Z"}), 409, "live_brand")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"from": "2031-01-01"}, "to"),
        ({"from": "2031-02-01", "to": "2031-01-01"}, "to"),
        ({"from": "2031-02-30", "to": "2031-03-01"}, "from"),
        ({"from": "2031-01-01", "to": "2031-01-01", "dry_run": 1}, "dry_run"),
        ({"from": "2031-01-01", "to": "2031-01-01", "first": "2031-01-01"}, "first"),
        ({"from": "2031-01-01", "to": "2031-01-01", "credit_rule_id": str(uuid4())}, "credit_rule_id"),
        ({"from": "2031-01-01", "to": "2031-01-01", "membership_id": str(uuid4())}, "membership_id"),
    ],
)
def test_replays_are_checked(http: httpx.Client, body: dict[str, Any], field: str) -> None:
    assert set(problem(http.post("/replays", json=body), 422, "invalid")["fields"]) == {field}


NOBODYS = str(uuid4())
REVOKED = {"action": "revoke", "code": "ABC"}


@pytest.mark.parametrize(
    ("address", "body", "field"),
    [
        ("/customers/credits", {"membership_id": NOBODYS, "coupon_id": "spa"}, "reason"),
        ("/customers/credits/ABC/extend", {"expires_at": "2099-01-01T00:00:00Z"}, "reason"),
        ("/customers/credits/ABC/transfer", {"external_user_id": "ada"}, "reason"),
        ("/customers/credits/ABC/revoke", {}, "reason"),
        ("/customers/credits/ABC/reinstate", {}, "reason"),
        ("/customers/credits/corrections", {"corrections": [REVOKED]}, "reason"),
        ("/customers/credits/corrections", {"corrections": [{**REVOKED, "reason": " "}]}, "corrections.0.reason"),
        (f"{RULES}/{NOBODYS}/issue", {}, "reason"),
        (f"{RULES}/{NOBODYS}/undo", {"rule_version": 1, "from": "2031-01-01T00:00:00Z"}, "reason"),
        (f"/held-rules/{NOBODYS}/approve", {}, "reason"),
        (f"/held-rules/{NOBODYS}/refuse", {}, "reason"),
        (f"/runs/{NOBODYS}/approve", {}, "reason"),
        (f"/runs/{NOBODYS}/undo", {}, "reason"),
        ("/v1/wallet/credit", {"externalUserID": "ada", "amount": 5}, "reason"),
    ],
)
def test_a_reason_says_something(http: httpx.Client, address: str, body: dict[str, Any], field: str) -> None:
    """Whoever takes one: 422 with the field where none of it can be seen."""
    said = body if field != "reason" else {**body, "reason": " \u00a0\u200b\t"}
    assert set(problem(http.post(address, json=said), 422)["fields"]) == {field}


@pytest.mark.parametrize(
    ("says", "field"),
    [
        ({"credit_rule_id": NOBODYS, "delete": True}, "credit_rule_id"),
        ({"credit_rule_id": NOBODYS, "rule": {"roll_over": True}}, "credit_rule_id"),
        (
            {"rule": {"membership_type_id": NOBODYS, "coupon_id": "spa", "coupon_name": "Spa"}},
            "rule.membership_type_id",
        ),
    ],
)
def test_previews_are_checked(http: httpx.Client, rule: dict[str, Any], says: dict[str, Any], field: str) -> None:
    """Of a rule that is not saved, fields have the prefix; an id in a body that nobody knows is 422."""
    assert rule["coupon_id"] == "spa"
    assert set(problem(http.post(f"{RULES}/preview", json=says), 422, "invalid")["fields"]) == {field}


def test_a_sane_request_id_is_echoed(http: httpx.Client) -> None:
    assert http.get(RULES, headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert http.get(RULES, headers={"x-request-id": "not one"}).headers["x-request-id"] != "not one"
