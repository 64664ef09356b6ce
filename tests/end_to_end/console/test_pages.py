"""Every page: for whom it is, what it does, and what it says where there is nothing yet."""

import json
import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from tests.end_to_end.client import Client
from tests.end_to_end.console.browsers import Browser
from tests.serving import NewBrand, Server
from tests.waiting import eventually

NewBrowser = Callable[[], Browser]
PAGES = ("", "find", "memberships", "credits", "rules", "catalog", "runs", "liability", "events", "webhooks", "clock")
FOR_MANAGERS = ("rules/new",)
FOR_ADMINS = ("audit", "access")


@pytest.mark.parametrize("role", ["viewer", "desk", "manager", "admin"])
def test_each_role_sees_its_pages_and_sends_its_forms(role: str, brand: NewBrand, new_browser: NewBrowser) -> None:
    """On an empty brand too; what a role may not do is refused before it is known whether it could be done."""
    browser = new_browser().let_in(brand.brand_id, role, f"{role}@example.com")
    root = f"/console/{brand.brand_id}"
    for page in PAGES:
        browser.get(f"{root}/{page}")
    for page in FOR_MANAGERS:
        browser.get(f"{root}/{page}", 200 if role in ("manager", "admin") else 403)
    for page in FOR_ADMINS:
        browser.get(f"{root}/{page}", 200 if role == "admin" else 403)
    page = browser.get("/console/me")
    some = uuid4()
    managers = (
        *("rules/new", f"rules/{some}/edit", f"rules/{some}/delete", f"rules/{some}/issue", f"rules/{some}/forecast"),
        *("catalog/types", "catalog/coupons", "runs/replay", f"runs/{some}/approve", f"runs/{some}/undo"),
        *(f"held-rules/{some}/approve", "events/send", f"events/{some}/retry", f"quarantine/{some}/retry", "clock"),
    )
    admins = (
        *("access/keys", f"access/keys/{some}/revoke", f"access/keys/{some}/rotate", "access/people"),
        *(f"access/people/{some}/remove", f"webhooks/{some}/enable", f"webhooks/{some}/disable"),
    )
    for address in (*(managers if role in ("viewer", "desk") else ()), *(admins if role != "admin" else ())):
        browser.send(page, f"{root}/{address}", 403, reason="x")


@pytest.mark.parametrize("typed", ["-" * 36, "gold", str(uuid4())])
def test_a_type_that_is_not_there_is_no_mistake_of_the_page(typed: str, brand: NewBrand, admin: Browser) -> None:
    """Whatever the address says: what is no id filters nothing, and an id of nothing finds nothing."""
    for form in ("", "csv"):
        admin.get(f"/console/{brand.brand_id}/memberships?type={typed}&as={form}")


def test_a_first_day_is_led_by_the_pages_alone(brand: NewBrand, admin: Browser, server: Server) -> None:
    """From an empty brand to a member with a credit: a type, a coupon, a rule, a sign-up."""
    root = f"/console/{brand.brand_id}"
    start = admin.get(f"{root}/")
    assert "First steps" in start
    catalog = admin.get(f"{root}/catalog")
    back = f"{root}/catalog"
    admin.send(catalog, f"{root}/catalog/types", name="Gold", billing="external", back=back)
    saved = admin.send(
        catalog,
        f"{root}/catalog/coupons",
        coupon_id="spa",
        name="A day at the spa",
        type="amount",
        value="50",
        currency="eur",
        validity="P60D",
        back=back,
    )
    assert "A day at the spa is saved." in saved
    (type_id,) = re.findall(r"<td><code>([0-9a-f-]{36})</code></td>", saved)
    form = admin.get(f"{root}/rules/new")
    says = {"membership_type_id": type_id, "coupon_id": "spa", "coupon_name": "Spa", "issuing_frequency": "P1M"}
    wrong = admin.send(form, f"{root}/rules/new", 422, **says, max_uses="3")
    assert "Used up at use number: goes only with “Usable more than once”" in wrong
    rule = admin.send(form, f"{root}/rules/new", **says, issue_on_signup="yes")
    assert "Spa is saved as version 1." in rule
    membership_id = str(uuid4())
    joined = {"membership_id": membership_id, "membership_type_id": type_id, "external_user_id": "ada"}
    event = {"specversion": "1.0", "source": "hand", "id": "1", "type": "membership.signed_up"}
    told = {**event, "time": "2031-01-01T09:00:00Z", "data": {**joined, "starts_on": "2031-01-01"}}
    events = admin.get(f"{root}/events")
    assert "Refused" in admin.send(events, f"{root}/events/send", event="{}", back=f"{root}/events")
    accepted = admin.send(events, f"{root}/events/send", event=json.dumps(told), back=f"{root}/events")
    assert "1 accepted" in accepted
    moved = admin.send(events, f"{root}/clock", day="2031-01-02", back=f"{root}/clock")
    assert "2 January 2031" in moved
    assert re.search(r'class="cell good"', admin.get(f"{root}/memberships/{membership_id}"))
    assert "First steps" not in admin.get(f"{root}/")
    assert "1 out at its end" in admin.counted(f"{root}/liability")


def test_a_change_is_previewed_beside_the_form_and_saved_as_a_version(
    brand: NewBrand, admin: Browser, server: Server
) -> None:
    """Nothing is saved by looking; who loses is named; the versions say what changed."""
    root = f"/console/{brand.brand_id}"
    with server.client(brand.key) as http:
        client = Client(http)
        rule = client.rule(issuing_frequency="P1M")
        client.member(guests=[{"name": "Ada", "lead_booker": True}, {"name": "Bea Bakker", "lead_booker": False}])
    address = f"{root}/rules/{rule['id']}/edit"
    says = {name: rule[name] for name in ("membership_type_id", "coupon_id", "coupon_name", "issuing_frequency")}
    form = admin.get(address)
    answer = admin.http.post(
        address,
        data={
            "form_token": admin.form_token(form),
            **says,
            "version": "1",
            "for_lead_booker_only": "yes",
            "preview": "yes",
        },
    )
    assert answer.status_code == 200
    assert "This is what" not in answer.text, "nothing is said to be there that is being worked out"
    previewed: list[str] = []

    def is_told() -> bool:
        previewed.append(admin.get(f"{answer.url.path}?{answer.url.query.decode()}"))
        return "Bea Bakker" in previewed[-1]

    eventually(is_told)
    assert re.search(r'name="for_lead_booker_only" value="yes" checked', previewed[-1]), "the form keeps what was typed"
    assert "version 1" in admin.get(f"{root}/rules/{rule['id']}")
    refused = admin.send(form, address, 422, **says, version="1", multi_use="yes", max_uses="-3")
    assert "Used up at use number: must be at least 2" in refused
    saved = admin.send(form, address, **says, version="1", for_lead_booker_only="yes")
    assert "version 2" in saved
    assert "not worked out for version 2 yet" in saved, "what was foretold of version 1 is not said of version 2"
    assert "credits of version" not in saved
    assert "Only for the lead booker: <del>no</del> → yes" in saved


def test_a_preview_where_nobody_is_a_member_is_a_page(brand: NewBrand, admin: Browser, server: Server) -> None:
    """Beside the form; the page of its run is there, too."""
    root = f"/console/{brand.brand_id}"
    with server.client(brand.key) as http:
        client = Client(http)
        rule = client.rule()
        preview = {"credit_rule_id": rule["id"], "rule": {"for_lead_booker_only": True}, "months": 3}
        run = client.ok("POST", "/customers/membership-credit-rules/preview", 202, preview)
        eventually(lambda: client.ok("GET", f"/runs/{run['id']}")["state"] == "finished")
    admin.get(f"{root}/runs/{run['id']}")
    assert "No credit differs." in admin.get(f"{root}/rules/{rule['id']}/edit", preview=run["id"])


def test_a_key_is_shown_once_and_the_last_admin_stays(brand: NewBrand, admin: Browser, server: Server) -> None:
    root = f"/console/{brand.brand_id}"
    page = admin.get(f"{root}/access")
    back = f"{root}/access"
    made = admin.send(page, f"{root}/access/keys", name="till", scopes="read", back=back)
    (key,) = re.findall(r"iss_sandbox_\w+", made)
    with server.client(key) as http:
        assert http.get("/customers/credits").status_code == 200
    assert key not in admin.get(f"{root}/access")
    assert "Somebody must be left" in admin.send(
        page, f"{root}/access/people", email="admin@example.com", role="viewer", back=back
    )
    added = admin.send(page, f"{root}/access/people", email="Bob@Example.com", role="desk", back=back)
    assert "/console/link/" in added
    assert "bob@example.com" in added


def test_markup_in_a_name_and_a_name_of_ten_thousand_letters_are_shown_as_they_are(
    brand: NewBrand, admin: Browser, server: Server
) -> None:
    """Wherever it is shown: nothing of it is obeyed."""
    markup = "<img src=x onerror=alert(1)>\"'&"
    root = f"/console/{brand.brand_id}"
    with server.client(brand.key) as http:
        client = Client(http)
        client.ok("POST", "/customers/membership-types", 201, {"name": markup, "billing": "external"})
        client.rule(issue_on_signup=True, coupon_name=markup)
        guests: list[dict[str, Any]] = [{"name": markup, "lead_booker": True}]
        client.member(guests=guests)
        long: dict[str, Any] = {"name": "n" * 255, "lead_booker": True}
        client.member(guests=[long], external_user_id="long")
    for page in ("memberships", "credits", "rules", "catalog", "rules/new", "audit", "find?q=img"):
        assert "<img" not in admin.get(f"{root}/{page}"), page
    assert "Nobody and nothing" in admin.get(f"{root}/find", q="x" * 10_000)
    refused = admin.send(
        admin.get(f"{root}/catalog"),
        f"{root}/catalog/types",
        name="x" * 10_000,
        billing="external",
        back=f"{root}/catalog",
    )
    assert "255" in refused


def test_the_liability_by_month_is_shown_and_taken_along(brand: NewBrand, admin: Browser) -> None:
    """An empty brand has none; a month that is none is a mistake of the address, and changes nothing."""
    root = f"/console/{brand.brand_id}/liability"
    assert "No credit was out in these months." in admin.counted(root)
    assert admin.get(f"{root}?as=csv").startswith("month,credit_rule_id,coupon_id,opening,issued")
    assert "2031-04" in admin.get(f"{root}?since=april", 422)
