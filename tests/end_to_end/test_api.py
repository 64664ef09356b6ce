"""Every resource of INTERFACE 4-6, 8 and 10 does what it says, in the shape it says."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest

from tests.end_to_end.brand import RULES, Brand
from tests.serving import Server


@pytest.fixture
def brand(http: httpx.Client) -> Brand:
    return Brand(http)


RULE_FIELDS = {
    "id", "membership_type_id", "membership_type", "coupon_id", "coupon_name", "coupon_description", "roll_over",
    "issue_on_signup", "multi_use", "for_lead_booker_only", "issuing_frequency", "version", "effective_from",
    "created_at", "updated_at",
}  # fmt: skip
CREDIT_FIELDS = {
    "id", "code", "status", "credit_rule_id", "rule_version", "coupon_id", "coupon_name", "membership_id", "guest",
    "period_start", "period_end", "reissue", "valid_from", "expires_at", "multi_use", "uses", "issued_at",
    "redeemed_at", "run_id",
}  # fmt: skip


def test_a_rule_lives_as_the_reference_says(brand: Brand) -> None:
    rule = brand.rule(issue_on_signup=True)
    assert set(rule) == RULE_FIELDS
    assert rule["membership_type"] == {"id": brand.type_id, "name": "Gold"}
    assert (rule["version"], rule["issuing_frequency"], rule["coupon_description"]) == (1, "billing_cycle", "A day")
    assert rule["created_at"] == rule["updated_at"] == brand.now
    address = f"{RULES}/{rule['id']}"
    assert brand.ok("GET", address) == rule
    brand.until("2031-01-02T00:00:00Z")
    changed = brand.ok("PUT", address, 200, {"issuing_frequency": "P3M", "include_upcoming": True})
    assert changed == {**rule, "issuing_frequency": "P3M", "version": 2, "updated_at": brand.now}
    brand.ok("DELETE", address, 204)
    for method, more in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/issue")):
        brand.ok(method, address + more, 404, {} if method in ("PUT", "POST") else None)
    assert brand.data(RULES) == []


def test_rules_are_listed_by_filter_and_page(brand: Brand) -> None:
    other = brand.ok("POST", "/customers/membership-types", 201, {"name": "Silver"})["id"]
    first = brand.rule()
    second = brand.rule(membership_type_id=other, issue_on_signup=True)
    assert brand.data(RULES) == [first, second]
    assert brand.data(RULES, membership_type_id=other) == [second]
    assert brand.data(RULES, issue_on_signup="true") == [second]
    assert brand.data(RULES, brand_id=str(uuid4())) == []
    page = brand.ok("GET", RULES, page=2, per_page=1)
    assert page == {"data": [second], "meta": {"page": 2, "per_page": 1, "total": 2}}


def test_coupons_are_replaced_and_listed(brand: Brand) -> None:
    assert brand.coupon["discount"] == {"type": "amount", "value": 10.5, "currency": "EUR"}
    changed = {"name": "Sauna", "discount": {"type": "percent", "value": 20}, "validity": None}
    after = brand.ok("PUT", "/customers/coupons/spa", 200, changed)
    assert (after["name"], after["description"], after["validity"], after["offerings"]) == ("Sauna", "", None, [])
    assert brand.ok("GET", "/customers/coupons/spa") == after
    assert brand.data("/customers/coupons") == [after]


def test_a_membership_shows_its_status_period_charges_and_guests(brand: Brand) -> None:
    membership_id = brand.member()
    brand.until("2031-02-10T00:00:00Z")
    found = brand.ok("GET", f"/customers/memberships/{membership_id}")
    assert (found["status"], found["external_user_id"], found["ends_on"]) == ("active", "ada", None)
    assert found["period"] == {"start": "2031-02-01", "end": "2031-03-01"}
    assert found["membership_type"] == {"id": brand.type_id, "name": "Gold"}
    charge = {"id": f"c-{membership_id}", "state": "succeeded", "amount": 10.0, "amount_refunded": None}
    assert found["charges"] == [{**charge, "period_start": "2031-01-01", "period_end": "2031-02-01"}]
    assert [(guest["name"], guest["lead_booker"]) for guest in found["guests"]] == [("ada", True)]
    for query in ({"status": "active"}, {"external_user_id": "ada"}, {"membership_type_id": brand.type_id}):
        assert brand.data("/customers/memberships", **query) == [found]
    for query in ({"status": "paused"}, {"external_user_id": "bob"}, {"membership_type_id": str(uuid4())}):
        assert brand.data("/customers/memberships", **query) == []


def test_charges_of_automatic_billing_are_shown(http: httpx.Client) -> None:
    """They follow from the calendar: none is told, none is stored."""
    brand = Brand(http, billing="automatic")
    brand.send(sign_up := brand.sign_up(billing_anchor="2031-01-15"))
    brand.until("2031-03-20T00:00:00Z")
    found = brand.ok("GET", f"/customers/memberships/{sign_up['data']['membership_id']}")
    assert [charge["period_start"] for charge in found["charges"]] == ["2031-01-15", "2031-02-15", "2031-03-15"]
    assert found["period"] == {"start": "2031-03-15", "end": "2031-04-15"}


def test_a_credit_is_redeemed_once(brand: Brand) -> None:
    rule = brand.rule(issue_on_signup=True)
    membership_id = brand.member()
    (credit,) = brand.data("/customers/credits", membership_id=membership_id)
    assert set(credit) >= CREDIT_FIELDS
    assert (credit["status"], credit["credit_rule_id"], credit["rule_version"]) == ("live", rule["id"], 1)
    assert credit["guest"].keys() == {"id", "name", "lead_booker", "external_user_id"}
    assert (credit["period_start"], credit["period_end"], credit["reissue"]) == ("2031-01-01", "2031-02-01", 0)
    address = f"/customers/credits/{credit['code']}"
    assert brand.ok("GET", address) == credit
    redeemed = brand.ok("POST", f"{address}/redeem", 200, {"reference": "booking 1"})
    assert redeemed.pop("redemption").keys() == {"id", "status"}
    assert redeemed == {**credit, "status": "redeemed", "uses": 1, "redeemed_at": brand.now}
    for again in ("redeem", "revoke"):
        refused = brand.ok("POST", f"{address}/{again}", 409, {"reason": "x"} if again == "revoke" else None)
        assert refused["error"]["code"] == "already_redeemed"


def test_sixteen_redeem_one_credit_and_one_wins(brand: Brand) -> None:
    brand.rule(issue_on_signup=True)
    brand.member()
    code = brand.data("/customers/credits")[0]["code"]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: brand.http.post(f"/customers/credits/{code}/redeem"), range(16)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 15


def test_a_credit_expires_with_time_alone_and_is_revoked_by_hand(brand: Brand) -> None:
    brand.rule(issue_on_signup=True)
    brand.rule(issue_on_signup=True, roll_over=True, multi_use=True)
    brand.member()
    rolling, single = (brand.data("/customers/credits", multi_use=flag)[0]["code"] for flag in ("true", "false"))
    brand.until("2031-02-01T00:00:00Z")
    assert brand.ok("POST", f"/customers/credits/{single}/redeem", 409)["error"]["code"] == "expired"
    assert brand.ok("POST", f"/customers/credits/{rolling}/redeem")["status"] == "live"
    revoked = brand.ok("POST", f"/customers/credits/{rolling}/revoke", 200, {"reason": "a mistake"})
    assert (revoked["status"], revoked["uses"], revoked["revoked_reason"]) == ("revoked", 1, "a mistake")
    for act, body in (("redeem", None), ("revoke", {"reason": "x"})):
        assert brand.ok("POST", f"/customers/credits/{rolling}/{act}", 409, body)["error"]["code"] == "revoked"
    found = {status: len(brand.data("/customers/credits", status=status)) for status in ("expired", "revoked", "live")}
    assert found == {"expired": 1, "revoked": 1, "live": 0}


def test_a_credit_that_starts_later_is_not_valid_yet(brand: Brand) -> None:
    brand.rule(issue_on_signup=True)
    brand.send(brand.sign_up(starts_on="2031-02-01"))
    (credit,) = brand.data("/customers/credits", status="upcoming")
    refused = brand.ok("POST", f"/customers/credits/{credit['code']}/redeem", 409)
    assert refused["error"]["code"] == "not_yet_valid"


@pytest.mark.parametrize("media_type", ["application/json", "application/cloudevents-batch+json"])
def test_events_come_alone_or_in_batches(brand: Brand, media_type: str) -> None:
    """Each is accepted, known or refused on its own; what was refused is kept, can be retried and dismissed."""
    good, bad = brand.sign_up(), {**brand.sign_up(), "type": "membership.exploded"}
    first = brand.send(good, bad, media_type=media_type)
    assert (first["accepted"], first["duplicates"]) == (1, 0)
    assert [(refused["index"], refused["code"]) for refused in first["rejected"]] == [(1, "unknown_type")]
    assert brand.send(good)["duplicates"] == 1
    assert brand.send({**good, "time": "2031-01-01T00:00:01Z"})["rejected"][0]["code"] == "event_conflict"
    kept = brand.data("/rejected-events")
    assert [one["code"] for one in kept] == ["event_conflict", "unknown_type"]
    retried = brand.ok("POST", f"/rejected-events/{kept[1]['id']}/retry")
    assert retried["rejected"][0]["code"] == "unknown_type"
    for one in brand.data("/rejected-events"):
        brand.ok("DELETE", f"/rejected-events/{one['id']}", 204)
    assert brand.data("/rejected-events") == []


def test_an_event_may_come_in_binary_mode(brand: Brand) -> None:
    """CloudEvents' other form: the attributes as headers, percent-encoded, and the data as the body."""
    whole = {**brand.sign_up(), "source": "our biller / münchen"}
    data = whole.pop("data")
    headers = {f"ce-{name}": quote(value, safe=" /") for name, value in whole.items()}
    sent = brand.http.post("/billing-events", json=data, headers=headers)
    assert (sent.status_code, sent.json()["accepted"]) == (202, 1)
    assert brand.send({**whole, "data": data})["duplicates"] == 1
    once = {**headers, "Idempotency-Key": "once"}
    other = {**once, "ce-id": "another"}
    assert brand.http.post("/billing-events", json=data, headers=once).json()["duplicates"] == 1
    assert brand.http.post("/billing-events", json=data, headers=other).status_code == 409
    del headers["ce-time"]
    (refused,) = brand.http.post("/billing-events", json=data, headers=headers).json()["rejected"]
    assert (refused["code"], refused["message"]) == ("malformed", "time: is required")


def test_warnings_come_with_the_answer(brand: Brand) -> None:
    """What is accepted all the same is told of, by its place."""
    sign_up = brand.sign_up(nickname="Addy")
    ids = {"membership_id": sign_up["data"]["membership_id"], "charge_id": "c"}
    beside = brand.event("charge.failed", **ids, period_start="2031-01-17", period_end="2031-01-18")
    answer = brand.send(sign_up, beside)
    assert (answer["accepted"], answer["rejected"]) == (2, [])
    assert [(one["index"], one["code"]) for one in answer["warnings"]] == [
        (0, "unknown_field"),
        (0, "billing_frequency_missing"),
        (1, "covers_no_boundary"),
    ]


def test_a_batch_has_an_address_of_its_own(brand: Brand) -> None:
    """For clients that are generated from the document; it takes a batch alone."""
    batch = [brand.sign_up(), {}]
    taken = brand.ok("POST", "/billing-events/batch", 202, batch)
    assert (taken["accepted"], [refused["index"] for refused in taken["rejected"]]) == (1, [1])
    assert brand.ok("POST", "/billing-events", 202, batch)["duplicates"] == 1
    brand.ok("POST", "/billing-events/batch", 422, batch[0])


def test_a_manual_issue_is_a_run(brand: Brand) -> None:
    rule = brand.rule()
    brand.member()
    assert brand.data("/customers/credits") == []
    assert brand.ok("POST", f"{RULES}/{rule['id']}/issue", 204, {"include_upcoming": False}) is None
    brand.ok("POST", f"{RULES}/{rule['id']}/issue", 204)
    brand.until(brand.now)
    (credit,) = brand.data("/customers/credits")
    runs = brand.data("/runs")
    assert {run["kind"] for run in runs} >= {"issue"}
    run = brand.ok("GET", f"/runs/{credit['run_id']}")
    assert (run["kind"], run["state"], run["counts"]) == ("issue", "finished", {"issued": 1})
    assert (run["total"], run["done"]) == (1, 1)


def test_a_replay_is_planned_before_it_is_run(brand: Brand) -> None:
    rule = brand.rule(issue_on_signup=True)
    membership_id = brand.member()
    span = {"from": "2031-01-01", "to": "2031-01-31", "credit_rule_id": rule["id"]}
    planned = brand.ok("POST", "/replays", 202, {**span, "dry_run": True})
    assert (planned["kind"], planned["dry_run"], planned["from"], planned["to"]) == (
        "replay",
        True,
        *list(span.values())[:2],
    )
    brand.until(brand.now)
    assert brand.ok("GET", f"/runs/{planned['id']}")["counts"] == {"already_issued": 1}
    (row,) = brand.data(f"/runs/{planned['id']}/plan")
    assert (row["membership_id"], row["reason"]) == (membership_id, "already_issued")
    for verb in ("pause", "resume", "cancel"):
        brand.ok("POST", f"/runs/{planned['id']}/{verb}", 409)


def test_explain_says_why_in_sentences(brand: Brand) -> None:
    rule = brand.rule(issue_on_signup=True)
    membership_id = brand.member()
    (row,) = brand.data(f"/customers/memberships/{membership_id}/explain", credit_rule_id=rule["id"])
    assert (row["outcome"], row["reason"], row["rule_version"]) == ("issued", "issued", 1)
    assert row["text"].endswith(".")
    address = f"/customers/memberships/{membership_id}/explain"
    assert brand.data(address, **{"from": "2031-01-02", "to": "2031-01-31"}) == []


def test_a_forecast_counts_what_the_clock_then_issues(http: httpx.Client) -> None:
    """Month by month it is what is issued, as long as nothing else happens; who has ended gets nothing."""
    brand = Brand(http, billing="automatic")
    rule = brand.rule(issuing_frequency="P3M", issue_on_signup=True)
    party = [
        {"name": "Ann", "lead_booker": True, "guest_id": str(uuid4())},
        {"name": "Bob", "lead_booker": False, "guest_id": str(uuid4())},
    ]
    leaving = brand.sign_up(external_user_id="lea")
    brand.send(brand.sign_up(guests=party), leaving, brand.sign_up(external_user_id="cy", starts_on="2031-02-01"))
    ended = {"membership_id": leaving["data"]["membership_id"], "status": "cancelled", "ends_on": "2031-04-01"}
    brand.send(brand.event("membership.status_changed", **ended))
    told = brand.data(f"{RULES}/{rule['id']}/forecast", months=5)
    assert [(month["month"], month["credits"]) for month in told] == [
        ("2031-01", 3), ("2031-02", 1), ("2031-03", 0), ("2031-04", 2), ("2031-05", 1),
    ]  # fmt: skip
    brand.until("2031-05-31T00:00:00Z")
    issued = [credit["period_start"][:7] for credit in brand.data("/customers/credits", credit_rule_id=rule["id"])]
    assert {month["month"]: month["credits"] for month in told if month["credits"]} == Counter(issued)
    assert len(brand.data(f"{RULES}/{rule['id']}/forecast")) == 12
    brand.ok("GET", f"{RULES}/{rule['id']}/forecast", 422, None, months=0)
    brand.ok("GET", f"{RULES}/{uuid4()}/forecast", 404)


def test_health_and_metrics_need_no_key(server: Server) -> None:
    with httpx.Client(base_url=server.url) as stranger:
        assert stranger.get("/healthz").json() == {"alive": True}
        assert stranger.get("/readyz").json() == {"ready": True, "failed": {}}
        metrics = stranger.get("/metrics").text
    for name in (
        "memberships_due",
        "events_unsettled",
        "events_rejected",
        "memberships_quarantined",
        "runs_unfinished",
    ):
        assert f"\nissuance_{name} " in metrics
    assert 'issuance_request_seconds_count{method="GET",route="/healthz",status="200"}' in metrics
