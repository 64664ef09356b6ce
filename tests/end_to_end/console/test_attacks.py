"""What somebody with a role tries who wants more than it gives: enumerated over all routes, forms and fields."""

import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from fastapi.routing import APIRoute

from campaigns.console.forms import forms_of
from campaigns.console.pages import addresses
from issuance.console.app import ROUTERS
from issuance.database.connections import transaction
from issuance.people import people, sign_ins
from issuance.people.roles import ROLES
from tests.end_to_end.client import Client
from tests.end_to_end.console.browsers import Browser
from tests.serving import NewBrand, Server

NewBrowser = Callable[[], Browser]
MARKUP = "<img src=x onerror=alert(1)>\"'&"
#: What each act needs, by what its path begins with, within a brand. A route that is not here fails the test.
NEEDS = {
    "credits/": "desk",
    "memberships/": "desk",
    "rules/": "manager",
    "held-rules/": "manager",
    "catalog/": "manager",
    "runs/": "manager",
    "events/": "manager",
    "quarantine/": "manager",
    "clock": "manager",
    "billers/": "admin",
    "webhooks/": "admin",
    "access/": "admin",
}
#: Pages of no brand.
AROUND = ("/console/", "/console/sign-in", "/console/me")


def acts() -> Iterator[str]:
    """The paths of all forms of a brand, within it."""
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute), "a page"
            if "POST" in (route.methods or ()) and "{brand_id}" in route.path:
                yield route.path.removeprefix("/console/{brand_id}/")


def filled(path: str, ids: dict[str, object] | None = None) -> str:
    """A path with ids in it; those that are not given are nobody's."""
    return re.sub(r"\{(\w+)\}", lambda found: str((ids or {}).get(found[1], uuid4())), path)


def everything(server: Server, brand: NewBrand, name: str) -> dict[str, Any]:
    """A brand in which everything that has a name is called `name`; ids of its things, as addresses name them."""
    with server.client(brand.key) as http:
        client = Client(http)
        client.ok("POST", "/customers/membership-types", 201, {"name": name, "billing": "external"})
        discount = {"type": "percent", "value": 10}
        client.ok("PUT", "/customers/coupons/named", 200, {"name": name, "description": name, "discount": discount})
        rule = client.rule(issue_on_signup=True, coupon_id="named", coupon_name=name[:120], coupon_description=name)
        guests = [
            {"name": name, "external_user_id": name, "lead_booker": True},
            {"name": f"{name} too", "email": f"{name[:50].replace(' ', '')}@example.com", "lead_booker": False},
        ]
        membership = client.member(external_user_id=name, guests=guests)
        client.http.post(
            "/billing-events",
            json=client.event(name, **{name[:200]: name}),
            headers={"content-type": "application/cloudevents+json"},
        )
        hook = client.ok("POST", "/v1/webhooks", 201, {"url": "http://127.0.0.1:1/hook", "events": ["credit.issued"]})
        biller = client.ok("POST", "/billers", 201, {"kind": "stripe", "secret": "whsec_" + "a" * 32})
        client.ok("PUT", f"/billers/{biller['id']}/prices/price_1", 200, {"membership_type_id": None})
        credit = client.data("/customers/credits")[0]
        client.ok("POST", f"/customers/credits/{credit['code']}/redeem", 200, {"reference": name})
        client.ok(
            "POST", "/customers/credits", 201, {"membership_id": membership, "coupon_id": "named", "reason": name}
        )
        replay = {"membership_id": membership, "from": "2031-01-01", "to": "2031-01-01", "dry_run": True}
        run = client.ok("POST", "/replays", 202, replay)
        client.until(client.now)
    return {
        "membership_id": membership,
        "code": client_codes(server, brand)[0],
        "credit_rule_id": rule["id"],
        "webhook_id": hook["id"],
        "biller_id": biller["id"],
        "run_id": run["id"],
    }


def client_codes(server: Server, brand: NewBrand) -> list[str]:
    with server.client(brand.key) as http:
        return [one["code"] for one in http.get("/customers/credits?status=live").json()["data"]]


@pytest.mark.parametrize("role", ROLES)
def test_each_role_sends_the_forms_that_are_its_own_and_no_other(
    role: str, brand: NewBrand, new_browser: NewBrowser
) -> None:
    """Each act of each route: refused before it is known whether it could be done, or not refused for the role."""
    browser = new_browser().let_in(brand.brand_id, role, f"{uuid4()}@example.com")
    page = browser.get("/console/me")
    token = browser.form_token(page)
    wrong = {}
    for path in acts():
        needed = next(needed for start, needed in NEEDS.items() if path.startswith(start))
        answer = browser.http.post(
            f"/console/{brand.brand_id}/{filled(path)}",
            data={"form_token": token, "reason": "x"},
            follow_redirects=False,
        )
        if (answer.status_code == 403) != (ROLES.index(role) < ROLES.index(needed)) or answer.status_code >= 500:
            wrong[path] = answer.status_code
    assert wrong == {}


def test_another_brands_things_are_neither_shown_nor_changed(
    server: Server, brand: NewBrand, admin: Browser, new_browser: NewBrowser
) -> None:
    """Each page and each form with ids of another brand, under one's own: 404, and nothing of the other's is told."""
    other = server.new_brand("UTC")
    ids = everything(server, other, "Ada Lovelace")
    with transaction(server.engine, other.brand_id) as connection:
        theirs = addresses(connection, other.brand_id)
    own = new_browser().let_in(other.brand_id, "admin", "theirs@example.com")
    before = {
        path: own.counted(address)
        for path, address in theirs.items()
        if address and path.count("{") > 1 and "webhook" not in path
    }
    wrong: dict[str, int] = {}
    for path, address in theirs.items():
        if path in AROUND:
            continue
        assert address is not None, path
        under_own = address.replace(str(other.brand_id), str(brand.brand_id))
        answer = admin.http.get(under_own)
        told = [str(value) for value in ids.values() if str(value) in answer.text and str(value) not in under_own]
        if told or "Lovelace" in answer.text or (path.count("{") > 1 and answer.status_code != 404):
            wrong[path] = answer.status_code
        assert admin.http.get(address).status_code == 404
    token = admin.form_token(admin.get("/console/me"))
    for path in acts():
        says = {
            "form_token": token,
            "reason": "x",
            "to": "ada",
            "expires_on": "2040-01-01",
            "coupon_id": "named",
            "price": "price_1",
        }
        answer = admin.http.post(f"/console/{brand.brand_id}/{filled(path, ids)}", data=says, follow_redirects=False)
        if "{" in path and answer.status_code not in (404, 422):
            wrong[path] = answer.status_code
    assert wrong == {}
    after = {path: own.get(theirs[path] or "") for path in before}
    assert {path for path in before if _told(before[path]) != _told(after[path])} == set()


def _told(page: str) -> str:
    """A page without what differs from one look to the next."""
    return re.sub(r'value="[0-9a-f]{64}"|\d+ (min|h|d) ago|just now|never', "", page)


def test_markup_that_people_typed_is_shown_and_not_obeyed(server: Server, brand: NewBrand, admin: Browser) -> None:
    """In every field that has a name, on every page, in what it says to a search, and in files."""
    everything(server, brand, MARKUP)
    page = admin.get(f"/console/{brand.brand_id}/access")
    admin.send(page, f"/console/{brand.brand_id}/access/keys", name=MARKUP, scopes="read")
    with transaction(server.engine, brand.brand_id) as connection:
        pages = addresses(connection, brand.brand_id)
    shown = 0
    for path, address in pages.items():
        assert address is not None, path
        text = admin.http.get(address).text
        assert "<img" not in text, path
        shown += "&lt;img" in text
    assert shown > 10, "it is on most pages"
    assert "<img" not in admin.get(f"/console/{brand.brand_id}/find", q=MARKUP)


def test_ten_thousand_letters_in_any_field_are_refused_in_words(
    server: Server, brand: NewBrand, admin: Browser
) -> None:
    """Each field of each form of each page, and a zero character: an answer, never an error of ours."""
    everything(server, brand, "Ada")
    with transaction(server.engine, brand.brand_id) as connection:
        pages = addresses(connection, brand.brand_id)
    sent: set[tuple[str, str]] = set()
    wrong: dict[str, int] = {}
    for address in pages.values():
        for form in forms_of(admin.get(address or "")):
            kind = re.sub(r"[0-9a-f-]{36}|[0-9A-Z]{16}", "*", form.action)
            for name in form.typed:
                if (kind, name) in sent or "/access/people" in kind:
                    continue
                sent.add((kind, name))
                for typed in ("x" * 10_000, "\x00", "￿" * 300):
                    says = {**form.fields, name: typed}
                    answer = admin.http.post(form.action, data=says, follow_redirects=False)
                    if answer.status_code >= 500:
                        wrong[f"{kind} {name}"] = answer.status_code
    assert wrong == {}
    assert len(sent) > 15, "forms are found at all"


def test_a_password_that_others_use_is_refused_and_the_link_stays_good(
    server: Server, brand: NewBrand, new_browser: NewBrowser
) -> None:
    """By its length, by lists of passwords, by one's own address; any other may be long and of any letters."""
    with transaction(server.engine, brand.brand_id) as connection:
        person_id = people.add(connection, brand.brand_id, "margaret.hamilton@example.com", "viewer")
        tokens = [sign_ins.make_link(connection, person_id) for _ in range(2)]
    browser = new_browser()
    common, near = ("short", "password1234", "qwertyuiop12"), ("margaret.hamilton", "issuanceconsole", "a" * 16)
    for token, passwords in zip(tokens, (common, near), strict=True):  # of one link five are judged at once
        for password in passwords:
            answer = browser.http.post(f"/console/link/{token}", data={"password": password})
            assert answer.status_code == 422, password
            assert "assword" in answer.text
    chosen = browser.http.post(f"/console/link/{token}", data={"password": "fünf Möwen über Sagres " * 6})
    assert chosen.status_code == 200
