"""Two brands, and every operation of the API document with the ids of the other one."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Engine, select, text

from issuance.api.app import create_app
from issuance.database.connections import transaction
from issuance.database.tables import metadata
from issuance.settings import Settings
from tests.end_to_end.client import Client
from tests.serving import Server
from tests.waiting import eventually

_NOWHERE = Settings(DATABASE_URL="postgresql://nowhere/", REDIS_URL="redis://nowhere/")
PATHS: dict[str, dict[str, Any]] = create_app(_NOWHERE).openapi()["paths"]
OPERATIONS = [
    (method, path)
    for path, operations in PATHS.items()
    for method, operation in operations.items()
    if "security" in operation
]
#: These make or change the caller's own, under an id that the caller chooses: two brands may choose the same.
CHOSEN = {
    ("put", "/customers/coupons/{coupon_id}"),
    ("put", "/v1/members/{externalUserID}"),
    ("put", "/v1/offers/{offerID}"),
}

EVENTS: Any = [{
    "specversion": "1.0", "id": "theirs", "source": "theirs", "time": "2031-01-01T09:00:00Z",
    "type": "membership.signed_up",
    "data": {"membership_id": "{membership}", "membership_type_id": "{type}", "external_user_id": "eve",
             "starts_on": "2031-01-01"},
}]  # fmt: skip
#: Bodies that are good, but for whose ids they name.
BODIES: dict[tuple[str, str], Any] = {
    ("post", "/customers/membership-credit-rules"): {
        "membership_type_id": "{type}", "coupon_id": "{coupon_id}", "coupon_name": "Spa",
    },
    ("put", "/customers/membership-credit-rules/{creditRuleId}"): {"roll_over": True},
    ("put", "/customers/coupons/{coupon_id}"): {
        "name": "Theirs", "description": "x", "discount": {"type": "percent", "value": 5},
    },
    ("post", "/customers/credits/{code}/revoke"): {"reason": "theirs"},
    ("post", "/customers/credits/{code}/reinstate"): {"reason": "theirs"},
    ("post", "/customers/credits/{code}/extend"): {"expires_at": "2099-01-01T00:00:00Z", "reason": "theirs"},
    ("post", "/customers/credits/{code}/transfer"): {"external_user_id": "ada", "reason": "theirs"},
    ("post", "/customers/credits"): {"membership_id": "{membership}", "coupon_id": "{coupon_id}", "reason": "theirs"},
    ("post", "/customers/credits/corrections"): {
        "reason": "theirs", "corrections": [{"action": "revoke", "code": "{code}"}],
    },
    ("post", "/replays"): {"membership_id": "{membership}", "from": "2031-01-01", "to": "2031-01-31", "dry_run": False},
    ("post", "/runs/{run_id}/undo"): {"reason": "theirs"},
    ("post", "/held-rules/{credit_rule_id}/approve"): {"reason": "theirs"},
    ("post", "/held-rules/{credit_rule_id}/refuse"): {"reason": "theirs"},
    ("post", "/customers/membership-credit-rules/preview"): {"credit_rule_id": "{creditRuleId}", "delete": True},
    ("post", "/customers/membership-credit-rules/{creditRuleId}/undo"): {
        "rule_version": 1, "from": "2031-01-01T00:00:00Z", "reason": "theirs",
    },
    ("put", "/v1/members/{externalUserID}"): {"displayName": "Theirs"},
    ("put", "/v1/offers/{offerID}"): {"name": "Theirs"},
    ("post", "/v1/wallet/credit"): {"externalUserID": "{member}", "amount": 5},
    ("post", "/v1/redemptions"): {"creditCode": "{code}"},
    ("patch", "/v1/redemptions/{id}"): {"status": "CANCELED"},
    ("put", "/billers/{biller_id}/prices/{price}"): {"membership_type_id": None},
    ("put", "/billers/{biller_id}/secrets"): {"secrets": ["whsec_of_theirs"]},
    ("post", "/billers/{biller_id}/reconcile"): {"dry_run": True},
    ("post", "/billing-events"): EVENTS,
    ("post", "/billing-events/batch"): EVENTS,
}  # fmt: skip


class Ours(NamedTuple):
    """A brand with something of everything, and the names of all of it."""

    brand: Client
    ids: Mapping[str, str]
    engine: Engine
    brand_id: Any

    def rows(self) -> dict[str, list[str]]:
        """All that PostgreSQL holds of the brand. Keys aside: using one leaves a trace."""
        tables = [table for table in metadata.sorted_tables if "brand_id" in table.columns and table.name != "api_keys"]
        with transaction(self.engine, self.brand_id) as connection:
            return {table.name: sorted(map(str, connection.execute(select(table)).all())) for table in tables}


def first_attempt(brand: Client, webhook_id: str) -> Any:
    """A webhook's delivery, its first attempt noted: one under way would change the brand's rows in mid-test."""
    path = f"/v1/webhooks/{webhook_id}/deliveries"
    eventually(lambda: (told := brand.ok("GET", path)["data"]) and all(one["lastError"] for one in told))
    return brand.ok("GET", path)["data"][0]


@pytest.fixture(scope="module")
def ours(server: Server) -> Iterator[Ours]:
    made = server.new_brand()
    with server.client(made.key) as http:
        brand = Client(http)
        webhook = brand.ok(
            "POST", "/v1/webhooks", 201, {"url": "https://nowhere.invalid/", "events": ["credit.issued"]}
        )
        coupon = {"name": "Ours", "description": "A day", "discount": {"type": "percent", "value": 5}}
        brand.ok("PUT", "/customers/coupons/ours-alone", 200, coupon)
        brand.rule(issue_on_signup=True, multi_use=True)
        brand.member()
        brand.send({"not": "an event"})
        brand.ok("POST", "/replays", 202, {"from": "2031-01-01", "to": "2031-01-31", "dry_run": True})
        brand.until(brand.now)
        brand.ok("PUT", "/v1/members/ada", 200, {"displayName": "Ada"})
        brand.ok("PUT", "/v1/offers/ours-only", 200, {"name": "Ours", "couponID": "ours-alone"})
        brand.ok("POST", "/v1/wallet/credit", 200, {"externalUserID": "ada", "amount": 50})
        credit = brand.data("/customers/credits")[0]
        redemption = brand.ok("POST", "/v1/redemptions", 201, {"points": 5, "externalUserID": "ada"})
        biller = brand.ok(
            "POST", "/billers", 201, {"kind": "stripe", "secret": "whsec_of_ours", "api_key": "sk_ours_x"}
        )
        brand.ok("PUT", f"/billers/{biller['id']}/prices/price_ours", 200, {"membership_type_id": brand.type_id})
        delivery = first_attempt(brand, webhook["id"])
        brand.ok("POST", f"/v1/webhooks/{webhook['id']}/disable", 200)
        ids = {
            "creditRuleId": credit["credit_rule_id"],
            "membership_type_id": brand.type_id,
            "coupon_id": "ours-alone",
            "membership_id": credit["membership_id"],
            "guest_id": credit["guest"]["id"],
            "code": credit["code"],
            "rejected_id": brand.data("/rejected-events")[0]["id"],
            "run_id": brand.data("/runs")[0]["id"],
            "externalUserID": "ada",
            "offerID": "ours-only",
            "id": redemption["id"],
            "webhook_id": webhook["id"],
            "delivery_id": delivery["id"],
            "biller_id": biller["id"],
            "price": "price_ours",
        }
        ids |= {"credit_rule_id": ids["creditRuleId"], "external_user_id": "ada", "brand_id": str(made.brand_id)}
        ids |= {"type": ids["membership_type_id"], "membership": ids["membership_id"], "member": "ada"}
        with transaction(server.engine, made.brand_id) as connection:
            connection.execute(text("UPDATE schedules SET quarantined_at = now(), attempts = 5"))
        yield Ours(brand, ids, server.engine, made.brand_id)


@pytest.fixture(scope="module")
def theirs(server: Server) -> Iterator[Client]:
    with server.client(server.new_brand().key) as http:
        yield Client(http)


def filled(template: Any, ids: Mapping[str, str]) -> Any:
    """A path or a body with ids in the places of `{names}`. A name that has none is a route that nobody thought of."""
    if isinstance(template, str):
        return re.sub(r"\{(\w+)\}", lambda name: ids[name[1]], template)
    if isinstance(template, dict):
        return {name: filled(part, ids) for name, part in template.items()}
    return [filled(part, ids) for part in template] if isinstance(template, list) else template


def shows(said: str, ours: Ours) -> list[str]:
    """What an answer holds of the other brand's."""
    secret = {name: value for name, value in ours.ids.items() if value != "ada"}
    return [name for name, value in secret.items() if value in said]


@pytest.mark.parametrize(("method", "path"), [one for one in OPERATIONS if "{" in one[1] and one not in CHOSEN])
def test_what_has_an_id_is_not_there_for_others(ours: Ours, theirs: Client, method: str, path: str) -> None:
    """404 for every operation on the other brand's things, and nothing of them has changed."""
    before = ours.rows()
    answer = theirs.http.request(method.upper(), filled(path, ours.ids), json=BODIES.get((method, path)))
    assert answer.status_code == 404, answer.text
    assert answer.json()["error"]["code"].lower().endswith("not_found")
    assert ours.rows() == before


@pytest.mark.parametrize(("method", "path"), [one for one in OPERATIONS if one[0] == "get" and "{" not in one[1]])
def test_what_is_listed_is_ones_own(ours: Ours, theirs: Client, method: str, path: str) -> None:
    """Plain, and with each filter that takes an id of the other brand's."""
    named = [part["name"] for part in PATHS[path][method].get("parameters", []) if part["in"] == "query"]
    for name in [None, *(name for name in named if name in ours.ids)]:
        answer = theirs.http.get(path, params={name: ours.ids[name]} if name else {})
        assert answer.status_code in (200, 404, 422), answer.text
        assert shows(answer.text.replace(ours.ids[name] if name else "\0", ""), ours) == []


@pytest.mark.parametrize(("method", "path"), [one for one in OPERATIONS if one[0] == "post" and "{" not in one[1]])
def test_what_a_body_names_is_not_there_for_others(ours: Ours, theirs: Client, method: str, path: str) -> None:
    """Refused, or one's own; of the other brand's things nothing is shown and nothing has changed."""
    before = ours.rows()
    body = filled(BODIES.get((method, path), {}), ours.ids)
    answer = theirs.http.post(path, json=body)
    refused = answer.status_code in (404, 422) or bool(answer.json().get("rejected") or answer.json().get("refused"))
    assert refused, answer.text
    assert ours.rows() == before


@pytest.mark.parametrize(("method", "path"), sorted(CHOSEN))
def test_an_id_that_both_chose_is_two_things(ours: Ours, theirs: Client, method: str, path: str) -> None:
    """Writing one's own leaves the other brand's as it was."""
    before = ours.rows()
    answer = theirs.http.request(method.upper(), filled(path, ours.ids), json=BODIES[method, path])
    assert answer.status_code in (200, 201), answer.text
    assert ours.rows() == before


def test_every_operation_is_tried() -> None:
    """By one of the tests above; what else changes things has no id of anybody's."""
    tried = {one for one in OPERATIONS if "{" in one[1] or one[0] in ("get", "post")}
    assert set(OPERATIONS) - tried == {("put", "/sandbox/clock"), ("put", "/brand/guard")}
