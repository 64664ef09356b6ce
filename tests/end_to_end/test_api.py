"""Every resource of INTERFACE 4-6, 8 and 10 does what it says, in the shape it says."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest

from tests.end_to_end.client import RULES, Client
from tests.serving import Server


@pytest.fixture
def client(http: httpx.Client) -> Client:
    return Client(http)


RULE_FIELDS = {
    "id", "membership_type_id", "membership_type", "coupon_id", "coupon_name", "coupon_description", "roll_over",
    "issue_on_signup", "multi_use", "for_lead_booker_only", "issuing_frequency", "version", "effective_from",
    "created_at", "updated_at", "updated_by", "max_uses", "roll_over_limit",
}  # fmt: skip
CREDIT_FIELDS = {
    "id", "code", "status", "credit_rule_id", "rule_version", "coupon_id", "coupon_name", "membership_id", "guest",
    "period_start", "period_end", "reissue", "valid_from", "expires_at", "multi_use", "uses", "issued_at",
    "redeemed_at", "run_id",
}  # fmt: skip


def test_a_rule_lives_as_the_reference_says(client: Client) -> None:
    rule = client.rule(issue_on_signup=True)
    assert set(rule) == RULE_FIELDS
    assert rule["membership_type"] == {"id": client.type_id, "name": "Gold"}
    assert (rule["version"], rule["issuing_frequency"], rule["coupon_description"]) == (1, "billing_cycle", "A day")
    assert rule["created_at"] == rule["updated_at"] == client.now
    address = f"{RULES}/{rule['id']}"
    assert client.ok("GET", address) == rule
    client.until("2031-01-02T00:00:00Z")
    changed = client.ok("PUT", address, 200, {"issuing_frequency": "P3M", "include_upcoming": True})
    assert changed == {**rule, "issuing_frequency": "P3M", "version": 2, "updated_at": client.now}
    client.ok("DELETE", address, 204)
    for method, more in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/issue")):
        client.ok(method, address + more, 404, {} if method in ("PUT", "POST") else None)
    assert client.data(RULES) == []


def test_rules_are_listed_by_filter_and_page(client: Client) -> None:
    other = client.ok("POST", "/customers/membership-types", 201, {"name": "Silver"})["id"]
    first = client.rule()
    second = client.rule(membership_type_id=other, issue_on_signup=True)
    assert client.data(RULES) == [first, second]
    assert client.data(RULES, membership_type_id=other) == [second]
    assert client.data(RULES, issue_on_signup="true") == [second]
    assert client.data(RULES, brand_id=str(uuid4())) == []
    page = client.ok("GET", RULES, page=2, per_page=1)
    counted = {
        "page": 2,
        "per_page": 1,
        "total": 2,
        "total_at_least": None,
        "current_page": 2,
        "last_page": 2,
        "from": 2,
        "to": 2,
    }
    assert (page["data"], page["meta"]) == ([second], counted)


def test_the_links_of_a_list_lead_through_all_of_it(client: Client) -> None:
    """From the first page by `next` until it is null, with the filters of the first; back by `prev`."""
    rules = [client.rule(issue_on_signup=number != 2) for number in range(4)]
    page = client.ok("GET", RULES, issue_on_signup="true", per_page=2)
    assert (page["links"]["prev"], page["meta"]["total"]) == (None, 3)
    following = client.ok("GET", page["links"]["next"])
    assert following["links"]["next"] is None
    assert page["data"] + following["data"] == [rules[0], rules[1], rules[3]]
    assert client.ok("GET", following["links"]["prev"]) == client.ok("GET", page["links"]["first"]) == page
    assert client.ok("GET", page["links"]["last"]) == following


def test_an_empty_page_has_no_first_item(client: Client) -> None:
    """A list that is empty has one page; a page beyond the last has a way back."""
    empty = client.ok("GET", RULES)
    assert (empty["meta"]["last_page"], empty["meta"]["from"], empty["meta"]["to"]) == (1, None, None)
    assert (empty["links"]["next"], empty["links"]["prev"]) == (None, None)
    client.rule()
    beyond = client.ok("GET", RULES, page=3)
    assert (beyond["data"], beyond["meta"]["from"], beyond["links"]["next"]) == ([], None, None)
    assert beyond["links"]["prev"].endswith("?page=2&per_page=25")


def test_explanations_come_in_pages(client: Client) -> None:
    """Whole where no page is asked for, and with what came to nothing on each page."""
    client.rule(issue_on_signup=True)
    client.rule(issue_on_signup=True)
    address = f"/customers/memberships/{client.member()}/explain"
    whole = client.ok("GET", address)
    assert (len(whole["data"]), whole["meta"]["per_page"], whole["links"]["next"]) == (2, 1000, None)
    first = client.ok("GET", address, per_page=1)
    second = client.ok("GET", first["links"]["next"])
    assert first["data"] + second["data"] == whole["data"]
    assert first["charges_for_nothing"] == second["charges_for_nothing"] == whole["charges_for_nothing"]


def test_coupons_are_replaced_and_listed(client: Client) -> None:
    assert client.coupon["discount"] == {"type": "amount", "value": 10.5, "currency": "EUR"}
    changed = {"name": "Sauna", "discount": {"type": "percent", "value": 20}, "validity": None}
    of_some_money = client.ok(
        "PUT", "/customers/coupons/spa", 200, {**changed, "discount": {"type": "amount", "value": 5}}
    )
    assert of_some_money["discount"] == {"type": "amount", "value": 5, "currency": None}
    after = client.ok("PUT", "/customers/coupons/spa", 200, changed)
    assert (after["name"], after["description"], after["validity"], after["offerings"]) == ("Sauna", "", None, [])
    assert client.ok("GET", "/customers/coupons/spa") == after
    assert client.data("/customers/coupons") == [after]


def test_a_membership_shows_its_status_period_charges_and_guests(client: Client) -> None:
    membership_id = client.member()
    client.until("2031-02-10T00:00:00Z")
    found = client.ok("GET", f"/customers/memberships/{membership_id}")
    assert (found["status"], found["external_user_id"], found["ends_on"]) == ("active", "ada", None)
    assert found["period"] == {"start": "2031-02-01", "end": "2031-03-01"}
    assert found["membership_type"] == {"id": client.type_id, "name": "Gold"}
    charge = {"id": f"c-{membership_id}", "state": "succeeded", "amount": 10.0, "amount_refunded": None}
    assert found["charges"] == [{**charge, "period_start": "2031-01-01", "period_end": "2031-02-01"}]
    assert [(guest["name"], guest["lead_booker"]) for guest in found["guests"]] == [("ada", True)]
    for query in ({"status": "active"}, {"external_user_id": "ada"}, {"membership_type_id": client.type_id}):
        assert client.data("/customers/memberships", **query) == [found]
    for query in ({"status": "paused"}, {"external_user_id": "bob"}, {"membership_type_id": str(uuid4())}):
        assert client.data("/customers/memberships", **query) == []


def test_charges_of_automatic_billing_are_shown(http: httpx.Client) -> None:
    """They follow from the calendar: none is told, none is stored."""
    client = Client(http, billing="automatic")
    client.send(sign_up := client.sign_up(billing_anchor="2031-01-15"))
    client.until("2031-03-20T00:00:00Z")
    found = client.ok("GET", f"/customers/memberships/{sign_up['data']['membership_id']}")
    assert [charge["period_start"] for charge in found["charges"]] == ["2031-01-15", "2031-02-15", "2031-03-15"]
    assert found["period"] == {"start": "2031-03-15", "end": "2031-04-15"}


def test_a_credit_is_redeemed_once(client: Client) -> None:
    rule = client.rule(issue_on_signup=True)
    membership_id = client.member()
    (credit,) = client.data("/customers/credits", membership_id=membership_id)
    assert set(credit) >= CREDIT_FIELDS
    assert (credit["status"], credit["credit_rule_id"], credit["rule_version"]) == ("live", rule["id"], 1)
    assert credit["guest"].keys() == {"id", "name", "lead_booker", "external_user_id"}
    assert (credit["period_start"], credit["period_end"], credit["reissue"]) == ("2031-01-01", "2031-02-01", 0)
    address = f"/customers/credits/{credit['code']}"
    assert client.ok("GET", address) == credit
    redeemed = client.ok("POST", f"{address}/redeem", 200, {"reference": "booking 1"})
    assert redeemed.pop("redemption").keys() == {"id", "status"}
    assert redeemed == {**credit, "status": "redeemed", "uses": 1, "redeemed_at": client.now, "revision": 3}
    for again in ("redeem", "revoke"):
        refused = client.ok("POST", f"{address}/{again}", 409, {"reason": "x"} if again == "revoke" else None)
        assert refused["error"]["code"] == "already_redeemed"


def test_sixteen_redeem_one_credit_and_one_wins(client: Client) -> None:
    client.rule(issue_on_signup=True)
    client.member()
    code = client.data("/customers/credits")[0]["code"]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: client.http.post(f"/customers/credits/{code}/redeem"), range(16)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 15


def test_a_credit_expires_with_time_alone_and_is_revoked_by_hand(client: Client) -> None:
    client.rule(issue_on_signup=True)
    client.rule(issue_on_signup=True, roll_over=True, multi_use=True)
    client.member()
    rolling, single = (client.data("/customers/credits", multi_use=flag)[0]["code"] for flag in ("true", "false"))
    client.until("2031-02-01T00:00:00Z")
    assert client.ok("POST", f"/customers/credits/{single}/redeem", 409)["error"]["code"] == "expired"
    assert client.ok("POST", f"/customers/credits/{rolling}/redeem")["status"] == "live"
    revoked = client.ok("POST", f"/customers/credits/{rolling}/revoke", 200, {"reason": "a mistake"})
    assert (revoked["status"], revoked["uses"], revoked["revoked_reason"]) == ("revoked", 1, "a mistake")
    for act, body in (("redeem", None), ("revoke", {"reason": "x"})):
        assert client.ok("POST", f"/customers/credits/{rolling}/{act}", 409, body)["error"]["code"] == "revoked"
    found = {status: len(client.data("/customers/credits", status=status)) for status in ("expired", "revoked", "live")}
    assert found == {"expired": 1, "revoked": 1, "live": 0}


def test_a_credit_that_starts_later_is_not_valid_yet(client: Client) -> None:
    client.rule(issue_on_signup=True)
    client.send(client.sign_up(starts_on="2031-02-01"))
    (credit,) = client.data("/customers/credits", status="upcoming")
    refused = client.ok("POST", f"/customers/credits/{credit['code']}/redeem", 409)
    assert refused["error"]["code"] == "not_yet_valid"


@pytest.mark.parametrize("media_type", ["application/json", "application/cloudevents-batch+json"])
def test_events_come_alone_or_in_batches(client: Client, media_type: str) -> None:
    """Each is accepted, known or refused on its own; what was refused is kept, can be retried and dismissed."""
    good, bad = client.sign_up(), {**client.sign_up(), "type": "membership.exploded"}
    first = client.send(good, bad, media_type=media_type)
    assert (first["accepted"], first["duplicates"]) == (1, 0)
    assert [(refused["index"], refused["code"]) for refused in first["rejected"]] == [(1, "unknown_type")]
    assert client.send(good)["duplicates"] == 1
    assert client.send({**good, "time": "2031-01-01T00:00:01Z"})["rejected"][0]["code"] == "event_conflict"
    kept = client.data("/rejected-events")
    assert [one["code"] for one in kept] == ["event_conflict", "unknown_type"]
    retried = client.ok("POST", f"/rejected-events/{kept[1]['id']}/retry")
    assert retried["rejected"][0]["code"] == "unknown_type"
    for one in client.data("/rejected-events"):
        client.ok("DELETE", f"/rejected-events/{one['id']}", 204)
    assert client.data("/rejected-events") == []


def test_an_event_may_come_in_binary_mode(client: Client) -> None:
    """CloudEvents' other form: the attributes as headers, percent-encoded, and the data as the body."""
    whole = {**client.sign_up(), "source": "our biller / münchen"}
    data = whole.pop("data")
    headers = {f"ce-{name}": quote(value, safe=" /") for name, value in whole.items()}
    sent = client.http.post("/billing-events", json=data, headers=headers)
    assert (sent.status_code, sent.json()["accepted"]) == (202, 1)
    assert client.send({**whole, "data": data})["duplicates"] == 1
    once = {**headers, "Idempotency-Key": "once"}
    other = {**once, "ce-id": "another"}
    assert client.http.post("/billing-events", json=data, headers=once).json()["duplicates"] == 1
    assert client.http.post("/billing-events", json=data, headers=other).status_code == 409
    del headers["ce-time"]
    (refused,) = client.http.post("/billing-events", json=data, headers=headers).json()["rejected"]
    assert (refused["code"], refused["message"]) == ("malformed", "time: is required")
    del headers["ce-specversion"]
    (refused,) = client.http.post("/billing-events", json=data, headers=headers).json()["rejected"]
    assert refused["message"] == "specversion: is required; time: is required"


def test_warnings_come_with_the_answer(client: Client) -> None:
    """What is accepted all the same is told of, by its place."""
    sign_up = client.sign_up(nickname="Addy")
    ids = {"membership_id": sign_up["data"]["membership_id"], "charge_id": "c"}
    beside = client.event("charge.failed", **ids, period_start="2031-01-17", period_end="2031-01-18")
    answer = client.send(sign_up, beside)
    assert (answer["accepted"], answer["rejected"]) == (2, [])
    assert [(one["index"], one["code"]) for one in answer["warnings"]] == [
        (0, "unknown_field"),
        (0, "billing_frequency_missing"),
        (1, "covers_no_boundary"),
    ]


def test_a_batch_has_an_address_of_its_own(client: Client) -> None:
    """For clients that are generated from the document; it takes a batch alone."""
    batch = [client.sign_up(), {}]
    taken = client.ok("POST", "/billing-events/batch", 202, batch)
    assert (taken["accepted"], [refused["index"] for refused in taken["rejected"]]) == (1, [1])
    assert client.ok("POST", "/billing-events", 202, batch)["duplicates"] == 1
    client.ok("POST", "/billing-events/batch", 422, batch[0])


def test_a_manual_issue_is_a_run(client: Client) -> None:
    rule = client.rule()
    client.member()
    assert client.data("/customers/credits") == []
    assert client.ok("POST", f"{RULES}/{rule['id']}/issue", 204, {"include_upcoming": False}) is None
    client.ok("POST", f"{RULES}/{rule['id']}/issue", 204)
    client.until(client.now)
    (credit,) = client.data("/customers/credits")
    runs = client.data("/runs")
    assert {run["kind"] for run in runs} >= {"issue"}
    run = client.ok("GET", f"/runs/{credit['run_id']}")
    assert (run["kind"], run["state"], run["counts"]) == ("issue", "finished", {"issued": 1})
    assert (run["total"], run["done"]) == (1, 1)


def test_a_replay_is_planned_before_it_is_run(client: Client) -> None:
    rule = client.rule(issue_on_signup=True)
    membership_id = client.member()
    span = {"from": "2031-01-01", "to": "2031-01-31", "credit_rule_id": rule["id"]}
    planned = client.ok("POST", "/replays", 202, {**span, "dry_run": True})
    assert (planned["kind"], planned["dry_run"], planned["from"], planned["to"]) == (
        "replay",
        True,
        *list(span.values())[:2],
    )
    client.until(client.now)
    assert client.ok("GET", f"/runs/{planned['id']}")["counts"] == {"already_issued": 1}
    (row,) = client.data(f"/runs/{planned['id']}/plan")
    assert (row["membership_id"], row["reason"]) == (membership_id, "already_issued")
    for verb in ("pause", "resume", "cancel"):
        client.ok("POST", f"/runs/{planned['id']}/{verb}", 409)


def test_explain_says_why_in_sentences(client: Client) -> None:
    rule = client.rule(issue_on_signup=True)
    membership_id = client.member()
    (row,) = client.data(f"/customers/memberships/{membership_id}/explain", credit_rule_id=rule["id"])
    assert (row["outcome"], row["reason"], row["rule_version"]) == ("issued", "issued", 1)
    assert row["text"].endswith(".")
    address = f"/customers/memberships/{membership_id}/explain"
    assert client.data(address, **{"from": "2031-01-02", "to": "2031-01-31"}) == []


def test_a_forecast_counts_what_the_clock_then_issues(http: httpx.Client) -> None:
    """Month by month it is what is issued, as long as nothing else happens; who has ended gets nothing."""
    client = Client(http, billing="automatic")
    rule = client.rule(issuing_frequency="P3M", issue_on_signup=True)
    party = [
        {"name": "Ann", "lead_booker": True, "guest_id": str(uuid4())},
        {"name": "Bob", "lead_booker": False, "guest_id": str(uuid4())},
    ]
    leaving = client.sign_up(external_user_id="lea")
    client.send(client.sign_up(guests=party), leaving, client.sign_up(external_user_id="cy", starts_on="2031-02-01"))
    ended = {"membership_id": leaving["data"]["membership_id"], "status": "cancelled", "ends_on": "2031-04-01"}
    client.send(client.event("membership.status_changed", **ended))
    told = client.data(f"{RULES}/{rule['id']}/forecast", months=5)
    assert [(month["month"], month["credits"]) for month in told] == [
        ("2031-01", 3), ("2031-02", 1), ("2031-03", 0), ("2031-04", 2), ("2031-05", 1),
    ]  # fmt: skip
    client.until("2031-05-31T00:00:00Z")
    issued = [credit["period_start"][:7] for credit in client.data("/customers/credits", credit_rule_id=rule["id"])]
    assert {month["month"]: month["credits"] for month in told if month["credits"]} == Counter(issued)
    assert len(client.data(f"{RULES}/{rule['id']}/forecast")) == 12
    client.ok("GET", f"{RULES}/{rule['id']}/forecast", 422, None, months=0)
    client.ok("GET", f"{RULES}/{uuid4()}/forecast", 404)


def test_health_and_metrics_need_no_key(server: Server) -> None:
    with httpx.Client(base_url=server.url) as stranger:
        assert stranger.get("/healthz").json() == {"alive": True}
        assert stranger.get("/readyz").json() == {"ready": True, "failed": {}, "degraded": []}
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


def test_the_liability_of_a_month(http: httpx.Client) -> None:
    """By number and by value, as JSON and as a file; months are written YYYY-MM, the first not after the last."""
    client = Client(http)
    rule = client.rule(issue_on_signup=True)
    client.send(client.sign_up(external_user_id="ann"))
    client.until("2031-01-02T00:00:00Z")
    credit = client.data("/customers/credits")[0]
    assert credit["revision"] == 1
    told = client.ok("GET", "/customers/liability", 200, None)
    (row,) = told["data"]
    assert (row["month"], row["credit_rule_id"], row["coupon_id"]) == ("2031-01", rule["id"], credit["coupon_id"])
    assert (row["opening"], row["issued"], row["closing"]) == (0, 1, 1)
    assert client.data("/customers/liability", **{"from": "2030-11", "to": "2030-12"}) == []
    file = http.get("/customers/liability", headers={"Accept": "text/csv"})
    assert file.headers["content-type"].startswith("text/csv")
    assert file.text.splitlines()[0].startswith("month,credit_rule_id,coupon_id,opening,issued,redeemed,expired")
    assert len(file.text.splitlines()) == 2
    for wrong in ({"from": "2031-1"}, {"to": "2031-13"}, {"from": "2031-02", "to": "2031-01"}, {"month": "2031-01"}):
        client.ok("GET", "/customers/liability", 422, None, **wrong)
