"""What one caller can ask for is bounded, and refused beyond the bound with a 4xx that names it."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from issuance.api.requests import LONGEST_BODY, MOST_PARAMETERS, MOST_VALUES
from issuance.catalog.coupons import LONGEST_OFFERINGS
from issuance.database.connections import transaction
from issuance.tenancy.fairness import ABOUT
from tests.end_to_end.client import Client
from tests.end_to_end.test_errors import problem
from tests.serving import Server

CROWD = [{"guest_id": str(uuid4()), "name": f"Guest {number}", "lead_booker": number == 0} for number in range(500)]
COUPON = {"name": "n", "discount": {"type": "percent", "value": 10}}


@pytest.fixture(scope="module")
def crowd(server: Server) -> Iterator[Client]:
    """A brand that has an order with 500 guests, unpaid."""
    with server.client(server.new_brand().key) as http:
        brand = Client(http)
        brand.rule(for_lead_booker_only=False)
        brand.send(brand.sign_up(guests=CROWD))
        yield brand


def explained(crowd: Client, status: int = 200, **query: Any) -> Any:
    (membership,) = crowd.data("/customers/memberships")
    return crowd.ok("GET", f"/customers/memberships/{membership['id']}/explain", status, None, **query)


def test_a_century_of_a_crowd_is_too_much_to_explain(crowd: Client) -> None:
    """A million rows are not made to be refused: the answer says what is the most."""
    error = explained(crowd, 422, to="2199-12-31")["error"]
    assert error["code"] == "too_much_to_explain"
    assert "50 years" in error["message"]
    error = explained(crowd, 422, to="2060-12-31")["error"]
    assert error["code"] == "too_much_to_explain"
    assert "50000 rows" in error["message"]


def test_an_explanation_comes_in_pages(crowd: Client) -> None:
    """A thousand rows where nobody says how many; the pages together are all rows, each once."""
    first = explained(crowd, to="2031-03-31")
    assert len(first["data"]) == 1000
    assert first["meta"]["total"] == 1500
    second = explained(crowd, to="2031-03-31", page=2)
    whole = [(row["period_start"], row["guest"]["id"]) for row in first["data"] + second["data"]]
    assert len(set(whole)) == 1500 == len(whole)
    small = explained(crowd, to="2031-03-31", page=6, per_page=100)["data"]
    assert small == first["data"][500:600]
    assert explained(crowd, to="2031-03-31", page=16, per_page=100)["data"] == []
    explained(crowd, 422, per_page=1001)


def test_a_list_shows_some_of_a_crowd_and_the_membership_all(crowd: Client) -> None:
    """A page of a hundred orders with 500 guests each would be fifty thousand guests."""
    (listed,) = crowd.data("/customers/memberships")
    assert (len(listed["guests"]), listed["guests_total"]) == (20, 500)
    assert listed["guests"][0]["lead_booker"] is True
    alone = crowd.ok("GET", f"/customers/memberships/{listed['id']}")
    assert (len(alone["guests"]), alone["guests_total"]) == (500, 500)


def test_a_members_token_sends_no_body_of_a_megabyte(server: Server) -> None:
    """140,000 unknown fields are not read; as many as fit into a body are answered with the first twenty."""
    with server.client(server.new_brand().key) as http:
        token = http.post("/v1/auth/exchange", json={"externalUserID": "ada"}).json()["accessToken"]
    with server.client(token) as member:
        error = problem(
            member.post("/v1/redemptions", json={f"f{number}": 1 for number in range(140_000)}),
            413,
            "PAYLOAD_TOO_LARGE",
        )
        assert str(LONGEST_BODY) in error["message"]
        answer = member.post("/v1/redemptions", json={f"f{number}": 1 for number in range(5_000)})
        assert len(problem(answer, 422)["fields"]) == 20
        answer = member.post("/v1/redemptions", json={"x" * 60_000: 1})
        assert len(problem(answer, 422)["fields"]) == 1
        assert len(answer.content) < 1000
        answer = member.get("/v1/redemptions", params={f"f{number}": 1 for number in range(MOST_PARAMETERS)})
        assert len(problem(answer, 422)["fields"]) == 20


def test_a_query_has_so_many_parameters(server: Server) -> None:
    """At any address, whoever asks: eleven thousand hold up everybody while they are taken apart."""
    for path, code in (("/healthz", "invalid"), ("/nowhere", "invalid"), ("/v1/redemptions", "VALIDATION")):
        answer = httpx.get(server.url + path + "?" + "&".join(["a=1"] * (MOST_PARAMETERS + 1)))
        assert str(MOST_PARAMETERS) in problem(answer, 422, code)["message"]
    assert httpx.get(server.url + "/healthz?" + "&".join(["a=1"] * MOST_PARAMETERS)).status_code == 200


def test_only_intakes_take_long_bodies(server: Server) -> None:
    """A batch of a thousand events fits; nothing else may be as long, with a key or without one."""
    events = [{"specversion": "1.0", "id": f"e{number}", "x": "y" * 200} for number in range(1000)]
    with server.client(server.new_brand().key) as http:
        assert http.post("/billing-events", json=events).status_code == 202
        problem(http.put("/customers/coupons/c", json={**COUPON, "offerings": ["x" * LONGEST_BODY]}), 413, "too_large")
    problem(httpx.post(server.url + "/replays", content=b"x" * (LONGEST_BODY + 1)), 413, "too_large")


def test_an_intake_takes_so_many_values(server: Server) -> None:
    """Reading a million zeros at once would hold up everybody, in whichever thread. What is only long is fine."""
    with server.client(server.new_brand().key) as http:
        error = problem(http.post("/billing-events", json={"x": [0] * (MOST_VALUES + 1)}), 413, "too_large")
        assert str(MOST_VALUES) in error["message"]
        assert http.post("/billing-events", json={"x": ["y" * 14] * (MOST_VALUES - 10)}).status_code == 413
        assert http.post("/billing-events", json={"x": ["y" * 140] * 10_000}).status_code == 202


@pytest.mark.parametrize("keyed", [False, True], ids=["plain", "with an Idempotency-Key"])
def test_brands_whose_requests_all_wait_hold_up_no_other(server: Server, *, keyed: bool) -> None:
    """However many there are, of one brand or of two: another brand's are worked on at once."""
    floods, till = [server.new_brand() for _ in range(2)], server.new_brand()
    with ExitStack() as stack:
        first, second, other = (stack.enter_context(server.client(brand.key)) for brand in (*floods, till))
        pool = stack.enter_context(ThreadPoolExecutor(160))
        for client in (first, second, other):
            client.post("/v1/auth/exchange", json={"externalUserID": "ada"}).raise_for_status()

        def credited(client: httpx.Client, key: str = "") -> int:
            headers = {"Idempotency-Key": key or uuid4().hex} if keyed else {}
            body = {"externalUserID": "ada", "amount": 1}
            return client.post("/v1/wallet/credit", json=body, headers=headers).status_code

        time.sleep(ABOUT)  # while somebody else is about, whose requests take long has one at a time
        with transaction(server.engine) as connection:
            of_both = {"brand_ids": [brand.brand_id for brand in floods]}
            connection.execute(text("SELECT FROM members WHERE brand_id = ANY(:brand_ids) FOR UPDATE"), of_both)
            waiting = [pool.submit(credited, first) for _ in range(80)]
            server.wait_for_locks(2)
            waiting += [pool.submit(credited, second) for _ in range(80)]
            server.wait_for_locks(3)
            assert [credited(other) for _ in range(20)] == [200] * 20
            assert not any(one.done() for one in waiting)
        assert {one.result() for one in waiting} == {200}


def test_who_waits_for_an_idempotency_key_holds_no_place(server: Server) -> None:
    """The same request sent again and again waits for its first one, and the brand's others are worked on."""
    brand = server.new_brand()
    with server.client(brand.key) as http, ThreadPoolExecutor(8) as pool:
        for name in ("ada", "bob"):
            http.post("/v1/auth/exchange", json={"externalUserID": name}).raise_for_status()

        def credited(name: str, key: str) -> int:
            body, headers = {"externalUserID": name, "amount": 1}, {"Idempotency-Key": key}
            return http.post("/v1/wallet/credit", json=body, headers=headers).status_code

        with transaction(server.engine, brand.brand_id) as connection:
            adas = text("SELECT FROM members WHERE brand_id = :brand_id AND external_user_id = 'ada' FOR UPDATE")
            connection.execute(adas, brand._asdict())
            waiting = [pool.submit(credited, "ada", "again") for _ in range(8)]
            server.wait_for_locks()
            time.sleep(0.2)
            assert [credited("bob", uuid4().hex) for _ in range(5)] == [200] * 5
            assert not any(one.done() for one in waiting)
        assert {one.result() for one in waiting} == {200}


def test_every_free_field_of_a_coupon_has_a_size(server: Server) -> None:
    """So that a page of a hundred coupons has one."""
    with server.client(server.new_brand().key) as http:
        fits = ["x" * (LONGEST_OFFERINGS - 4)]
        assert len(json.dumps(fits)) == LONGEST_OFFERINGS
        assert http.put("/customers/coupons/c", json={**COUPON, "offerings": fits}).status_code == 200
        for long in (["x" * LONGEST_OFFERINGS], [{"a": ["x"] * 4000}]):
            wrong = problem(http.put("/customers/coupons/c", json={**COUPON, "offerings": long}), 422)
            assert str(LONGEST_OFFERINGS) in wrong["fields"]["offerings"]


def test_a_refused_event_is_shown_in_part(server: Server) -> None:
    """A page of a hundred refused events is bounded, however long they were."""
    with server.client(server.new_brand().key) as http:
        http.post("/billing-events", json={"specversion": "1.0", "x": "y" * 1_000_000}).raise_for_status()
        (refused,) = http.get("/rejected-events").json()["data"]
        assert len(refused["event"]) == 16_384


def test_a_made_up_method_is_one_label(server: Server) -> None:
    """However many a stranger makes up; what no HTTP has ever heard of is no request at all."""
    for method in ("PROPFIND", "LOCK", "SEARCH"):
        assert httpx.request(method, server.url + "/healthz", timeout=60).status_code == 405
    assert httpx.request("MADEUP", server.url + "/healthz").status_code == 400
    said = httpx.get(server.url + "/metrics").text
    assert all(method not in said for method in ("PROPFIND", "LOCK", "SEARCH", "MADEUP"))
    assert 'method="other"' in said
