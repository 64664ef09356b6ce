"""Law 10: no row of one brand is ever visible to, or changed by, another."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.end_to_end.client import RULES, Client
from tests.serving import Server


@pytest.fixture(scope="module")
def ours(server: Server) -> Iterator[Client]:
    """A brand with something of everything."""
    with server.client(server.new_brand().key) as http:
        brand = Client(http)
        brand.rule(issue_on_signup=True)
        brand.member()
        brand.send({"not": "an event"})
        brand.ok("POST", "/replays", 202, {"from": "2031-01-01", "to": "2031-01-31", "dry_run": True})
        brand.until(brand.now)
        yield brand


@pytest.fixture(scope="module")
def theirs(server: Server) -> Iterator[Client]:
    with server.client(server.new_brand().key) as http:
        yield Client(http)


LISTS = [
    RULES, "/customers/memberships", "/customers/credits", "/runs", "/rejected-events",
]  # fmt: skip


@pytest.mark.parametrize("address", LISTS)
def test_lists_are_a_brands_own(ours: Client, theirs: Client, address: str) -> None:
    assert ours.data(address)
    assert theirs.data(address) == []


def test_what_has_an_address_is_unknown_to_others(ours: Client, theirs: Client) -> None:
    """404 for each of the other brand's ids, and everything is as it was."""
    rule, run = ours.data(RULES)[0]["id"], ours.data("/runs")[0]["id"]
    membership, credit = ours.data("/customers/memberships")[0]["id"], ours.data("/customers/credits")[0]["code"]
    rejected = ours.data("/rejected-events")[0]["id"]
    before = {address: ours.ok("GET", address) for address in LISTS}
    calls: list[tuple[str, str, Any]] = [
        ("GET", f"{RULES}/{rule}", None),
        ("PUT", f"{RULES}/{rule}", {"roll_over": True}),
        ("DELETE", f"{RULES}/{rule}", None),
        ("POST", f"{RULES}/{rule}/issue", {}),
        ("GET", f"/customers/membership-types/{ours.type_id}", None),
        ("GET", f"/customers/memberships/{membership}", None),
        ("GET", f"/customers/memberships/{membership}/explain", None),
        ("GET", f"/customers/credits/{credit}", None),
        ("POST", f"/customers/credits/{credit}/redeem", {}),
        ("POST", f"/customers/credits/{credit}/revoke", {"reason": "x"}),
        ("GET", f"/runs/{run}", None),
        ("GET", f"/runs/{run}/plan", None),
        ("POST", f"/runs/{run}/pause", None),
        ("POST", f"/runs/{run}/cancel", None),
        ("POST", f"/rejected-events/{rejected}/retry", None),
        ("DELETE", f"/rejected-events/{rejected}", None),
        ("POST", f"/quarantine/{membership}/retry", None),
    ]
    for method, address, body in calls:
        theirs.ok(method, address, 404, body)
    assert {address: ours.ok("GET", address) for address in LISTS} == before


def test_what_a_body_names_is_unknown_to_others(ours: Client, theirs: Client) -> None:
    membership = ours.data("/customers/memberships")[0]["id"]
    named = {"membership_type_id": ours.type_id, "coupon_id": "spa", "coupon_name": "x"}
    assert set(theirs.ok("POST", RULES, 422, named)["error"]["fields"]) == {"membership_type_id"}
    span = {"from": "2031-01-01", "to": "2031-01-31"}
    theirs.ok("POST", "/replays", 422, {**span, "membership_id": membership})
    sign_up = theirs.sign_up(membership_type_id=ours.type_id)
    assert theirs.send(sign_up)["rejected"][0]["code"] == "unknown_membership_type"


def test_two_brands_may_use_the_same_ids(server: Server, ours: Client) -> None:
    """Ids that billers give are a brand's own: memberships, charges, events, members, coupons."""
    membership = ours.data("/customers/memberships")[0]["id"]
    with server.client(server.new_brand().key) as http:
        other = Client(http)
        other.rule(issue_on_signup=True)
        other.member(membership_id=membership)
        assert len(other.data("/customers/credits", membership_id=membership)) == 1
        assert len(ours.data("/customers/credits", membership_id=membership)) == 1


def test_another_brands_filter_finds_nothing(ours: Client, theirs: Client) -> None:
    for query in ({"membership_type_id": ours.type_id}, {"brand_id": str(uuid4())}):
        assert theirs.data(RULES, **query) == []
    membership = ours.data("/customers/memberships")[0]["id"]
    assert theirs.data("/customers/credits", membership_id=membership) == []
    assert theirs.data("/customers/memberships", external_user_id="ada") == []
