"""Forms that change something: they begin with what is there, and put nothing back that another changed."""

from collections.abc import Iterator
from typing import Any

import pytest

from campaigns.console.forms import Form, forms_of
from tests.end_to_end.client import Client
from tests.end_to_end.console.browsers import Browser
from tests.serving import NewBrand, Server


@pytest.fixture
def client(server: Server, brand: NewBrand) -> Iterator[Client]:
    with server.client(brand.key) as http:
        yield Client(http)


def form_to(page: str, ending: str) -> Form:
    """The form of a page that is sent to an address with this ending, as it is when it is saved."""
    (found,) = [form for form in forms_of(page) if form.action.endswith(ending)]
    found.fields.pop("preview", None)
    return found


def put_coupon(client: Client, coupon_id: str, **more: Any) -> None:
    discount = {"type": "amount", "value": 12.5, "currency": "EUR"}
    client.ok("PUT", f"/customers/coupons/{coupon_id}", 200, {"name": coupon_id, "discount": discount, **more})


def send(browser: Browser, form: Form, status: int = 200, **typed: str) -> str:
    answer = browser.http.post(form.action, data={**form.fields, **typed})
    assert answer.status_code == status, answer.text
    return answer.text


def latest(client: Client, rule: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = client.ok("GET", f"/customers/membership-credit-rules/{rule['id']}")
    return found


def test_a_form_offers_what_is_chosen_however_much_there_is(client: Client, brand: NewBrand, admin: Browser) -> None:
    """A rule of the hundred-and-first coupon and type: its form changes neither. Who grants one can choose any."""
    for number in range(1, 102):
        put_coupon(client, f"c{number:03}")
    types = [
        client.ok("POST", "/customers/membership-types", 201, {"name": f"Tier {number}"})["id"] for number in range(101)
    ]
    rule = client.rule(coupon_id="c101", membership_type_id=types[-1])
    edit = form_to(admin.get(f"/console/{brand.brand_id}/rules/{rule['id']}/edit"), "/edit")
    send(admin, edit, coupon_name="Another name")
    saved = latest(client, rule)
    assert (saved["coupon_name"], saved["coupon_id"]) == ("Another name", "c101")
    assert saved["membership_type"]["id"] == types[-1]
    membership_id = client.member()
    client.until(client.now)
    assert 'value="c101"' in admin.get(f"/console/{brand.brand_id}/memberships/{membership_id}")
    assert f'value="{types[-1]}"' in admin.get(f"/console/{brand.brand_id}/memberships")


@pytest.mark.parametrize("looks_first", [False, True], ids=["at once", "by a preview"])
def test_a_rule_that_another_saved_meanwhile_is_not_put_back(
    client: Client, brand: NewBrand, admin: Browser, looks_first: bool
) -> None:
    """Refused in words, with what was typed, as often as it is sent; whoever opens it anew saves it."""
    put_coupon(client, "other")
    rule = client.rule()
    address = f"/console/{brand.brand_id}/rules/{rule['id']}/edit"
    opened = form_to(admin.get(address), "/edit")
    if looks_first:
        answer = admin.http.post(opened.action, data={**opened.fields, "preview": "yes"})
        opened = form_to(answer.text, "/edit")
    client.ok("PUT", f"/customers/membership-credit-rules/{rule['id']}", 200, {"coupon_id": "other"})
    for _ in range(2):
        refused = send(admin, opened, 409, coupon_name="Mine")
        assert "Somebody saved version 2 of this rule" in refused
        opened = form_to(refused, "/edit")
        assert opened.fields["coupon_name"] == "Mine"
    assert send(admin, opened, 409, preview="yes"), "nor is a preview made of it"
    assert (latest(client, rule)["version"], latest(client, rule)["coupon_id"]) == (2, "other")
    anew = form_to(admin.get(address), "/edit")
    send(admin, anew, coupon_name="Mine")
    assert (latest(client, rule)["coupon_name"], latest(client, rule)["coupon_id"]) == ("Mine", "other")


def test_a_coupon_that_is_changed_keeps_what_the_form_does_not_say(
    client: Client, brand: NewBrand, admin: Browser
) -> None:
    """Its offerings; and its form begins with what is there."""
    offerings = [{"what": "a day"}]
    put_coupon(client, "spa", description="Warm <water>", validity="P60D", offerings=offerings)
    root = f"/console/{brand.brand_id}/catalog"
    assert f"{root}/coupons/spa" in admin.get(root)
    form = form_to(admin.get(f"{root}/coupons/spa"), "/coupons/spa")
    assert "Spa day is saved" in send(admin, form, name="Spa day")
    saved = client.ok("GET", "/customers/coupons/spa")
    assert (saved["name"], saved["description"], saved["validity"]) == ("Spa day", "Warm <water>", "P60D")
    assert (saved["discount"], saved["offerings"]) == ({"type": "amount", "value": 12.5, "currency": "EUR"}, offerings)


def test_a_coupon_that_another_changed_meanwhile_is_not_put_back(
    client: Client, brand: NewBrand, admin: Browser
) -> None:
    root = f"/console/{brand.brand_id}/catalog"
    put_coupon(client, "spa")
    form = form_to(admin.get(f"{root}/coupons/spa"), "/coupons/spa")
    put_coupon(client, "spa", validity="P1M")
    assert "Somebody changed this coupon" in send(admin, form, name="Mine")
    assert client.ok("GET", "/customers/coupons/spa")["validity"] == "P1M"


def test_a_coupon_that_is_there_is_not_added(client: Client, brand: NewBrand, admin: Browser) -> None:
    root = f"/console/{brand.brand_id}/catalog"
    put_coupon(client, "spa", offerings=[1])
    form = form_to(admin.get(root), "/catalog/coupons")
    form.fields |= {"name": "Spa", "value": "5", "currency": "eur"}
    assert "There is a coupon spa already" in send(admin, form, coupon_id="spa")
    assert client.ok("GET", "/customers/coupons/spa")["offerings"] == [1]
    assert "Spa is saved" in send(admin, form, coupon_id="spa-2")
