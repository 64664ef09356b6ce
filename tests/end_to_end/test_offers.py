"""Offers: what members can book, for points, for a credit or for nothing, once at a time (INTERFACE 7)."""

from typing import Any
from uuid import uuid4

import pytest

from tests.end_to_end.members import THREADS, Brand


def offer(brand: Brand, name: str, **more: Any) -> Any:
    return brand.call("PUT", f"/v1/offers/{name}", json={"name": name.title(), **more})


def book(brand: Brand, name: str, status: int = 201, **more: Any) -> Any:
    """A member's app books as the reference's client does: by the offer's id alone."""
    return brand.call("POST", "/v1/redemptions", status, json={"offer": name, **more})


def cancel(brand: Brand, redemption: Any) -> None:
    brand.call("PATCH", f"/v1/redemptions/{redemption['id']}", json={"status": "CANCELED"})


def ids(brand: Brand) -> list[str]:
    return [one["id"] for one in brand.call("GET", "/v1/offers")["data"]]


def test_a_brands_offers_are_kept_as_they_are_put(brand: Brand) -> None:
    """PUT replaces: what is absent is null. Removed, it is gone, once."""
    made = offer(brand, "spa-day", pointsPrice=100, tiers=["gold", "vip"])
    assert made.keys() == {"id", "name", "pointsPrice", "tiers", "couponID", "createdAt", "updatedAt"}
    assert (made["id"], made["pointsPrice"], made["tiers"], made["couponID"]) == ("spa-day", 100, ["gold", "vip"], None)
    assert brand.call("GET", "/v1/offers/spa-day") == made
    changed = offer(brand, "spa-day")
    assert (changed["pointsPrice"], changed["tiers"], changed["createdAt"]) == (None, None, made["createdAt"])
    assert brand.call("DELETE", "/v1/offers/spa-day") == {"id": "spa-day", "ok": True}
    for method in ("GET", "DELETE"):
        assert brand.refused(method, "/v1/offers/spa-day", 404) == "NOT_FOUND"


BAD: list[dict[str, Any]] = [
    {"name": ""},
    {"pointsPrice": 0},
    {"pointsPrice": 1.5},
    {"tiers": []},
    {"tiers": [""]},
    {"couponID": "no such"},
    {"price": 5},
]


@pytest.mark.parametrize("wrong", BAD, ids=str)
def test_what_is_no_offer_is_refused(brand: Brand, wrong: dict[str, Any]) -> None:
    assert brand.refused("PUT", "/v1/offers/spa", 422, json={"name": "Spa", **wrong}) == "VALIDATION"
    assert brand.refused("GET", "/v1/offers/spa", 404) == "NOT_FOUND"


def test_an_offer_with_a_price_spends_points(brand: Brand) -> None:
    """By its id alone; canceling gives them back. Who has too few books nothing."""
    offer(brand, "spa-day", pointsPrice=100)
    brand.member("ada", points=150)
    brand.member("bob", points=99)
    ada = brand.as_member("ada")
    (shown,) = ada.call("GET", "/v1/offers")["data"]
    assert (shown["id"], shown["title"], shown["kind"], shown["pointsPrice"]) == ("spa-day", "Spa-Day", "offer", 100)
    made = book(ada, "spa-day")
    assert (made["offer"], made["points"], made["creditCode"]) == ("spa-day", 100, None)
    assert ada.call("GET", "/v1/wallet")["balance"] == 50
    cancel(brand, made)
    assert ada.call("GET", "/v1/wallet")["balance"] == 150
    assert book(brand.as_member("bob"), "spa-day", 422)["error"]["code"] == "INSUFFICIENT_POINTS"
    assert brand.call("GET", "/v1/redemptions?externalUserID=bob")["redemptions"] == []


def test_nobody_names_another_price(brand: Brand) -> None:
    """Points beside an offer are its price, or refused; a credit beside one that takes none too."""
    offer(brand, "spa-day", pointsPrice=100)
    brand.member("ada", points=150)
    ada = brand.as_member("ada")
    assert set(book(ada, "spa-day", 422, points=1)["error"]["fields"]) == {"points"}
    assert set(book(ada, "spa-day", 422, creditCode="ABC")["error"]["fields"]) == {"creditCode"}
    assert book(ada, "spa-day", points=100)["points"] == 100


@pytest.mark.parametrize("word", ["Spa-Day", "spa-day ", "spa-day\u200b", "gone", "anything"])
def test_no_variant_of_an_offers_id_names_another_price(brand: Brand, word: str) -> None:
    """A member's app names an offer that there is, or none: not its price, nor another credit for it. The brand's own
    key may say any word."""
    offer(brand, "spa-day", pointsPrice=100, tiers=["gold"])
    offer(brand, "gone", pointsPrice=100)
    brand.call("DELETE", "/v1/offers/gone")
    brand.sign_up(brand.rule(), "ada")
    brand.call("POST", "/v1/wallet/credit", json={"externalUserID": "ada", "amount": 100})
    ada = brand.as_member("ada")
    (credit,) = brand.credits()
    for what in ({"points": 1}, {"creditCode": credit["code"]}):
        assert book(ada, word, 422, **what)["error"]["code"] == "OFFER_UNAVAILABLE"
    assert ada.call("GET", "/v1/redemptions")["redemptions"] == []
    assert book(brand, word, points=1, externalUserID="ada")["offer"] == word
    own = book(ada, credit["code"].lower(), creditCode=credit["code"])
    assert own["creditCode"] == credit["code"]


@pytest.mark.parametrize("more", [{"pointsPrice": 1}, {}], ids=["for points", "for nothing"])
def test_a_member_books_an_offer_once_at_a_time(brand: Brand, more: dict[str, Any]) -> None:
    """REDEMPTION_ALREADY_EXISTS until the first is canceled or completed, for this member alone, and at the same
    moment too."""
    offer(brand, "spa-day", **more)
    for name in ("ada", "bob"):
        brand.member(name, points=100)
    ada, bob = brand.as_member("ada"), brand.as_member("bob")
    answers = ada.many("POST", "/v1/redemptions", [{"offer": "spa-day"}] * THREADS)
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * (THREADS - 1)
    codes = {answer.json()["error"]["code"] for answer in answers if answer.status_code == 409}
    assert codes == {"REDEMPTION_ALREADY_EXISTS"}
    book(bob, "spa-day")
    (first,) = ada.call("GET", "/v1/redemptions")["redemptions"]
    cancel(brand, first)
    second = book(ada, "spa-day")
    for status in ("OPEN", "AWAITING_VENDOR", "AWAITING_CUSTOMER", "PURCHASED"):
        brand.call("PATCH", f"/v1/redemptions/{second['id']}", json={"status": status})
        assert book(ada, "spa-day", 409)["error"]["code"] == "REDEMPTION_ALREADY_EXISTS"
    brand.call("PATCH", f"/v1/redemptions/{second['id']}", json={"status": "COMPLETED"})
    book(ada, "spa-day")


def test_an_offer_that_costs_nothing_gives_nothing_back(brand: Brand) -> None:
    offer(brand, "tour")
    brand.member("ada", points=5)
    made = book(brand.as_member("ada"), "tour")
    assert (made["points"], made["creditCode"], made["externalUserID"]) == (None, None, "ada")
    cancel(brand, made)
    assert brand.wallet("ada")["balance"] == 5


def test_an_offer_with_tiers_is_for_members_of_those(brand: Brand) -> None:
    """Others neither see nor book it; a member who comes into the tier does."""
    offer(brand, "lounge", tiers=["gold", "vip"])
    brand.member("ada")
    ada = brand.as_member("ada")
    assert ids(ada) == []
    assert book(ada, "lounge", 422)["error"]["code"] == "OFFER_UNAVAILABLE"
    brand.member("ada", tier="vip")
    assert ids(ada) == ["lounge"]
    book(ada, "lounge")


def test_an_offer_with_a_coupon_takes_a_credit_of_it(brand: Brand) -> None:
    """Listed beside the credit while there is a live one, and booked with it; canceling gives the credit back."""
    brand.sign_up(brand.rule(), "ada")
    offer(brand, "spa-day", couponID="spa")
    ada = brand.as_member("ada")
    (code,) = [one["code"] for one in brand.credits()]
    assert set(ids(ada)) == {"spa-day", code}
    made = book(ada, "spa-day")
    assert (made["offer"], made["creditCode"], made["points"]) == ("spa-day", code, None)
    assert ids(ada) == []
    assert book(ada, "spa-day", 422)["error"]["code"] == "OFFER_UNAVAILABLE"
    cancel(brand, made)
    assert book(ada, "spa-day", creditCode=code)["creditCode"] == code


def test_a_credit_that_is_booked_as_an_offer_is_so_once_at_a_time(brand: Brand) -> None:
    """By its code as `offer`, however that is typed: one of a single use, and one of many; by `creditCode` the latter
    has no such limit."""
    brand.sign_up(brand.rule(multi_use=True), "ada")
    brand.sign_up(brand.rule(), "bob")
    for name in ("ada", "bob"):
        member = brand.as_member(name)
        (code,) = ids(member)
        answers = member.many("POST", "/v1/redemptions", [{"offer": code}] * THREADS)
        assert sorted(answer.status_code for answer in answers) == [201] + [409] * (THREADS - 1)
        codes = {answer.json()["error"]["code"] for answer in answers if answer.status_code == 409}
        assert codes == {"REDEMPTION_ALREADY_EXISTS"}
        for typed in (code.lower(), f"{code[:4]}-{code[4:]}", f"{code[:4]} {code[4:]}"):
            assert book(member, typed, 409)["error"]["code"] == "REDEMPTION_ALREADY_EXISTS"
    (code,) = ids(brand.as_member("ada"))
    brand.call("POST", "/v1/redemptions", 201, json={"creditCode": code})
    (used,) = brand.credits(external_user_id="ada")
    assert used["uses"] == 2


def transferred(brand: Brand, code: str, to: str) -> str:
    """The new code of a credit."""
    given = brand.call("POST", f"/customers/credits/{code}/transfer", json={"external_user_id": to, "reason": "a gift"})
    return str(given["code"])


def test_a_credit_that_was_used_at_the_till_can_be_booked(brand: Brand) -> None:
    """A use is no booking of the offer that the credit is; nor is one of the brand's offers that took it."""
    brand.sign_up(brand.rule(multi_use=True), "ada")
    offer(brand, "spa-day", couponID="spa")
    ada = brand.as_member("ada")
    (code,) = [one["code"] for one in brand.credits()]
    brand.call("POST", f"/customers/credits/{code}/redeem")
    book(ada, "spa-day")
    book(ada, code)
    assert book(ada, code, 409)["error"]["code"] == "REDEMPTION_ALREADY_EXISTS"


def test_what_another_holder_booked_stands_in_nobodys_way(brand: Brand) -> None:
    """Under its new code a credit is another offer; by analytics both are its coupon."""
    brand.sign_up(brand.rule(multi_use=True), "ada")
    brand.member("bea")
    (code,) = ids(brand.as_member("ada"))
    book(brand.as_member("ada"), code)
    new = transferred(brand, code, "bea")
    book(brand.as_member("bea"), new)
    assert book(brand.as_member("bea"), new, 409)["error"]["code"] == "REDEMPTION_ALREADY_EXISTS"
    counted = brand.call("GET", "/v1/analytics/offers")["offers"]
    assert [(one["offerId"], one["signups"]) for one in counted] == [("spa", 2)]


def test_anothers_credit_is_as_unknown_as_none(brand: Brand) -> None:
    """By its code as `offer`: whether it is booked or not, nobody learns that it is there."""
    brand.sign_up(brand.rule(multi_use=True), "ada")
    brand.member("bob")
    ada, bob = brand.as_member("ada"), brand.as_member("bob")
    (code,) = ids(ada)
    unknown = book(bob, "A" * len(code), 422)["error"]
    assert book(bob, code, 422)["error"] == unknown
    book(ada, code)
    assert book(bob, code, 422)["error"] == unknown


def test_the_credit_that_is_named_beside_an_offer_is_taken(brand: Brand) -> None:
    """However many the member holds, and however its code is typed."""
    kind = brand.rule()
    for _ in range(12):
        joined = {"membership_id": str(uuid4()), "membership_type_id": kind, "external_user_id": "ada"}
        brand.event("membership.signed_up", **joined, starts_on="2031-01-10")
    brand.settle()
    offer(brand, "spa-day", couponID="spa")
    (last, *_) = [one["code"] for one in brand.credits(per_page="100")]
    made = book(brand.as_member("ada"), "spa-day", creditCode=f"{last[:4]}-{last[4:].lower()}")
    assert made["creditCode"] == last


def test_offers_are_listed_by_cursor(brand: Brand) -> None:
    """The brand's and the member's credits in one list, each once."""
    brand.sign_up(brand.rule(), "ada")
    names = {f"offer-{number}" for number in range(5)}
    for name in names:
        offer(brand, name)
    ada = brand.as_member("ada")
    found: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = ada.call("GET", "/v1/offers", params=query)
        found += [one["id"] for one in page["data"]]
        if page["nextCursor"] is None:
            break
        query["cursor"] = page["nextCursor"]
    assert sorted(found) == sorted([*names, *(one["code"] for one in brand.credits())])


def test_a_key_names_the_member(brand: Brand) -> None:
    offer(brand, "tour")
    brand.member("ada")
    assert book(brand, "tour", 404)["error"]["code"] == "MEMBER_NOT_FOUND"
    assert book(brand, "tour", externalUserID="ada")["externalUserID"] == "ada"


def test_offers_add_up(brand: Brand, other: Brand) -> None:
    """Bookings by offer, how they ended, and what they cost. Credits count by their coupon; what nobody booked is 0."""
    assert brand.call("GET", "/v1/analytics/offers") == {"offers": []}
    offer(other, "tour")
    offer(brand, "spa-day", pointsPrice=10)
    offer(brand, "tour")
    brand.sign_up(brand.rule(), "ada")
    for name in ("ada", "bob"):
        brand.member(name, points=100)
    ada = brand.as_member("ada")
    cancel(brand, book(ada, "spa-day"))
    kept = book(ada, "spa-day")
    for status in ("OPEN", "AWAITING_VENDOR", "AWAITING_CUSTOMER", "PURCHASED", "COMPLETED"):
        brand.call("PATCH", f"/v1/redemptions/{kept['id']}", json={"status": status})
    book(brand.as_member("bob"), "spa-day")
    book(ada, brand.credits()[0]["code"])
    brand.call("POST", "/v1/redemptions", 201, json={"points": 3, "offer": "wine", "externalUserID": "bob"})
    brand.call("POST", "/v1/redemptions", 201, json={"points": 4, "externalUserID": "bob"})
    counted = ("signups", "completions", "cancellations", "pointsSpent")
    assert {one["offerId"]: tuple(one[name] for name in counted) for one in
            brand.call("GET", "/v1/analytics/offers")["offers"]} == {
        "spa-day": (3, 1, 1, 20),
        "spa": (1, 0, 0, 0),
        "wine": (1, 0, 0, 3),
        "tour": (0, 0, 0, 0),
    }  # fmt: skip
    brand.call("DELETE", "/v1/offers/spa-day")
    assert "spa-day" in {one["offerId"] for one in brand.call("GET", "/v1/analytics/offers")["offers"]}
