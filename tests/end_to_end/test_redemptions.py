"""Redemptions: their lifecycle, and what canceling gives back (SEMANTICS 11)."""

from itertools import product
from typing import Any

import pytest

from issuance.database.connections import transaction
from issuance.errors import InvalidTransition
from issuance.members import moves, redemptions
from issuance.members.moves import MOVES
from issuance.members.redemptions import STATUSES, Booking, Status
from tests.end_to_end.members import THREADS, Brand

#: How to get to each status from SUBMITTED.
WAY: dict[Status, list[Status]] = {
    "SUBMITTED": [],
    "OPEN": ["OPEN"],
    "AWAITING_VENDOR": ["OPEN", "AWAITING_VENDOR"],
    "AWAITING_CUSTOMER": ["OPEN", "AWAITING_VENDOR", "AWAITING_CUSTOMER"],
    "PURCHASED": ["OPEN", "AWAITING_VENDOR", "AWAITING_CUSTOMER", "PURCHASED"],
    "COMPLETED": ["OPEN", "AWAITING_VENDOR", "AWAITING_CUSTOMER", "PURCHASED", "COMPLETED"],
    "CANCELED": ["CANCELED"],
}
#: SEMANTICS 11, written out.
ALLOWED = {
    ("SUBMITTED", "OPEN"),
    ("OPEN", "AWAITING_VENDOR"),
    ("AWAITING_VENDOR", "AWAITING_CUSTOMER"),
    ("AWAITING_CUSTOMER", "AWAITING_VENDOR"),
    ("AWAITING_CUSTOMER", "PURCHASED"),
    ("PURCHASED", "COMPLETED"),
    *((status, "CANCELED") for status in STATUSES if status not in ("COMPLETED", "CANCELED")),
}


def move(brand: Brand, redemption: str, status: str, expected: int = 200) -> Any:
    return brand.call("PATCH", f"/v1/redemptions/{redemption}", expected, json={"status": status})


def points(brand: Brand, member: str, number: int) -> str:
    """A redemption of points; its id."""
    return str(brand.call("POST", "/v1/redemptions", 201, json={"points": number, "externalUserID": member})["id"])


def test_the_moves_are_the_lifecycles_and_no_others() -> None:
    assert {(before, after) for before, moves in MOVES.items() for after in moves} == ALLOWED


def test_every_other_move_is_refused(brand: Brand) -> None:
    """All 49 pairs; staying is no move and no error; points come back once, on CANCELED only."""
    brand.member("ada", points=1000)
    canceled = 0
    with transaction(brand.server.engine, brand.brand_id) as connection:
        for before, after in product(STATUSES, STATUSES):
            made = redemptions.redeem_points(connection, brand.brand_id, 1, "ada", Booking())["id"]
            for step in WAY[before]:
                moves.move(connection, brand.brand_id, made, step)
            if before == after or (before, after) in ALLOWED:
                moved, _ = moves.move(connection, brand.brand_id, made, after)
                assert moved["status"] == after
                canceled += after == "CANCELED"
            else:
                with pytest.raises(InvalidTransition):
                    moves.move(connection, brand.brand_id, made, after)
                canceled += before == "CANCELED"
    wallet = brand.wallet("ada")
    assert (wallet["balance"], wallet["amountSpent"]) == (1000 - 49 + canceled, 49 - canceled)
    counts = brand.call("GET", "/v1/members/ada")["redemptionCounts"]
    assert (counts["CANCELED"], sum(counts.values())) == (canceled, 49)


def test_a_move_that_is_none_is_a_409(brand: Brand) -> None:
    brand.member("ada", points=1)
    redemption = points(brand, "ada", 1)
    assert move(brand, redemption, "SUBMITTED")["status"] == "SUBMITTED"
    assert move(brand, redemption, "COMPLETED", 409)["error"]["code"] == "INVALID_TRANSITION"
    assert move(brand, redemption, "DONE", 422)["error"]["code"] == "VALIDATION"


def test_a_redemption_answers_the_reference_shape(brand: Brand) -> None:
    brand.member("ada", points=10)
    body = {"points": 4, "externalUserID": "ada", "offer": "offer_123", "startAt": "2031-02-01T10:00:00+01:00"}
    made = brand.call("POST", "/v1/redemptions", 201, json=body)
    assert made.keys() >= {"id", "status", "offer", "createdAt", "startAt", "endAt"}
    assert (made["status"], made["offer"], made["createdAt"]) == ("SUBMITTED", "offer_123", "2031-01-10T12:00:00Z")
    assert (made["startAt"], made["endAt"], made["points"], made["creditCode"]) == (
        "2031-02-01T09:00:00Z",
        None,
        4,
        None,
    )
    assert brand.call("GET", f"/v1/redemptions/{made['id']}") == made


BAD: list[dict[str, Any]] = [
    {},
    {"offer": ""},
    {"points": 1, "creditCode": "X"},
    {"points": 0},
    {"points": 1.5},
    {"points": 1, "what": 1},
    {"points": 1, "startAt": "2031-02-01T10:00:00Z", "endAt": "2031-02-01T09:00:00Z"},
    {"creditCode": ""},
]


@pytest.mark.parametrize("body", BAD, ids=str)
def test_what_makes_no_sense_is_refused(brand: Brand, body: dict[str, Any]) -> None:
    brand.member("ada", points=5)
    assert brand.refused("POST", "/v1/redemptions", 422, json={"externalUserID": "ada", **body}) == "VALIDATION"
    assert brand.wallet("ada")["balance"] == 5


def test_points_need_a_member_who_has_them(brand: Brand) -> None:
    brand.member("ada", points=5)
    assert brand.refused("POST", "/v1/redemptions", 404, json={"points": 5}) == "MEMBER_NOT_FOUND"
    body = {"points": 6, "externalUserID": "ada"}
    assert brand.refused("POST", "/v1/redemptions", 422, json=body) == "INSUFFICIENT_POINTS"
    body = {"points": 1, "externalUserID": "nobody"}
    assert brand.refused("POST", "/v1/redemptions", 404, json=body) == "MEMBER_NOT_FOUND"
    brand.call("DELETE", "/v1/members/ada?retainBalance=true")
    body = {"points": 1, "externalUserID": "ada"}
    assert brand.refused("POST", "/v1/redemptions", 409, json=body) == "MEMBER_ARCHIVED"
    assert brand.call("GET", "/v1/redemptions")["redemptions"] == []


def test_canceling_gives_the_credit_back_with_its_original_expiry(brand: Brand) -> None:
    brand.sign_up(brand.rule(), "ada")
    before = brand.credits()[0]
    made = brand.call("POST", "/v1/redemptions", 201, json={"creditCode": before["code"], "externalUserID": "ada"})
    assert brand.credits()[0]["status"] == "redeemed"
    body = {"creditCode": before["code"]}
    assert brand.refused("POST", "/v1/redemptions", 409, json=body) == "ALREADY_REDEEMED"
    move(brand, made["id"], "CANCELED")
    brand.settle()
    assert brand.credits()[0] == {**before, "revision": before["revision"] + 4}, "as it was, two changes later"
    brand.call("POST", "/v1/redemptions", 201, json=body)


def test_a_credit_that_comes_back_too_late_is_expired(brand: Brand) -> None:
    brand.sign_up(brand.rule(), "ada")
    code = brand.credits()[0]["code"]
    used = brand.call("POST", f"/customers/credits/{code}/redeem", json={"reference": "b 1"})
    brand.settle("2031-03-01T00:00:00Z")
    assert brand.credits()[0]["status"] == "redeemed"
    canceled = move(brand, used["redemption"]["id"], "CANCELED")
    assert (canceled["reference"], canceled["status"]) == ("b 1", "CANCELED")
    brand.settle("2031-03-01T00:00:00Z")
    back = brand.credits()[0]
    assert (back["status"], back["uses"], back["redeemed_at"]) == ("expired", 0, None)
    assert back["expires_at"] == "2031-02-10T00:00:00Z"


def test_a_credit_whose_charge_was_taken_back_meanwhile_is_revoked(brand: Brand) -> None:
    membership = brand.sign_up(brand.rule(), "ada")
    code = brand.credits()[0]["code"]
    used = brand.call("POST", f"/customers/credits/{code}/redeem")
    charge = {"membership_id": membership, "charge_id": f"c {membership}", "period_start": "2031-01-10"}
    brand.event("charge.failed", **charge)
    brand.settle()
    assert brand.credits()[0]["flagged_at"] is not None
    move(brand, used["redemption"]["id"], "CANCELED")
    brand.settle()
    back = brand.credits()[0]
    assert (back["status"], back["flagged_at"]) == ("revoked", None)


def test_a_multi_use_credit_counts_back(brand: Brand) -> None:
    brand.sign_up(brand.rule(multi_use=True), "ada")
    code = brand.credits()[0]["code"]
    made = [brand.call("POST", "/v1/redemptions", 201, json={"creditCode": code})["id"] for _ in range(3)]
    move(brand, made[1], "CANCELED")
    assert (brand.credits()[0]["uses"], brand.credits()[0]["status"]) == (2, "live")


def test_32_threads_redeem_one_credit_and_one_wins(brand: Brand) -> None:
    brand.sign_up(brand.rule(), "ada")
    code = brand.credits()[0]["code"]
    answers = brand.many("POST", "/v1/redemptions", [{"creditCode": code}] * THREADS)
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * (THREADS - 1)
    assert {a.json()["error"]["code"] for a in answers if a.status_code == 409} == {"ALREADY_REDEEMED"}


def test_canceling_and_completing_at_once_one_wins(brand: Brand) -> None:
    brand.member("ada", points=10)
    redemption = points(brand, "ada", 10)
    for step in WAY["PURCHASED"]:
        move(brand, redemption, step)
    bodies = [{"status": "COMPLETED"}, {"status": "CANCELED"}] * (THREADS // 2)
    answers = brand.many("PATCH", f"/v1/redemptions/{redemption}", bodies)
    won = brand.call("GET", f"/v1/redemptions/{redemption}")["status"]
    told = {(b["status"], a.status_code) for b, a in zip(bodies, answers, strict=True)}
    assert told == {(won, 200), ({"COMPLETED": "CANCELED", "CANCELED": "COMPLETED"}[won], 409)}
    assert brand.wallet("ada")["balance"] == (10 if won == "CANCELED" else 0)


def test_redemptions_are_listed_newest_first_by_cursor(brand: Brand, other: Brand) -> None:
    brand.member("ada", points=10)
    brand.member("bob", points=10)
    made = [points(brand, name, 1) for name in ("ada", "bob", "ada", "ada")]
    move(brand, made[0], "OPEN")
    seen, cursor = [], None
    while True:
        query = {"limit": 3, **({"cursor": cursor} if cursor else {})}
        page = brand.call("GET", "/v1/redemptions", params=query)
        seen += [redemption["id"] for redemption in page["redemptions"]]
        cursor = page["nextCursor"]
        if cursor is None:
            break
    assert seen == made[::-1]
    found = brand.call("GET", "/v1/redemptions?status=SUBMITTED&externalUserID=ada")["redemptions"]
    assert [redemption["id"] for redemption in found] == [made[3], made[2]]
    assert brand.refused("GET", "/v1/redemptions?status=open", 422) == "VALIDATION"
    assert other.call("GET", "/v1/redemptions")["redemptions"] == []
    assert other.refused("GET", f"/v1/redemptions/{made[0]}", 404) == "NOT_FOUND"
    body = {"status": "CANCELED"}
    assert other.refused("PATCH", f"/v1/redemptions/{made[0]}", 404, json=body) == "NOT_FOUND"


def test_a_members_offers_are_their_live_credits(brand: Brand) -> None:
    """As a client of the reference sees them: listed, redeemed by the offer's id alone, gone."""
    kind = brand.rule()
    for name in ("ada", "ada", "bob"):
        brand.sign_up(kind, name)
    ada = brand.as_member("ada")
    page = ada.call("GET", "/v1/offers?limit=1")
    assert page["data"][0].keys() >= {"id", "title", "description", "shortDescription", "pointsPrice", "images"}
    following = ada.call("GET", "/v1/offers", params={"limit": 1, "cursor": page["nextCursor"]})
    offers = page["data"] + following["data"]
    held = {credit["code"] for credit in brand.credits(external_user_id="ada")}
    assert ({offer["id"] for offer in offers}, following["nextCursor"]) == (held, None)
    made = ada.call("POST", "/v1/redemptions", 201, json={"offer": offers[0]["id"]})
    assert (made["offer"], made["creditCode"]) == (offers[0]["id"], offers[0]["id"])
    assert [offer["id"] for offer in ada.call("GET", "/v1/offers")["data"]] == [offers[1]["id"]]
    assert ada.refused("POST", "/v1/redemptions", 422, json={"offer": "no such"}) == "OFFER_UNAVAILABLE"
