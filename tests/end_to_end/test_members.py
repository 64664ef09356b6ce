"""Members: upserted, read, removed and back (SEMANTICS 12)."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from issuance.members.redemptions import STATUSES
from tests.end_to_end.members import THREADS, Brand


def test_an_upsert_answers_the_reference_shape(brand: Brand) -> None:
    profile = {"displayName": "Ada Lovelace", "tier": "gold", "attributes": {"plan": "annual", "region": "eu"}}
    member = brand.call("PUT", "/v1/members/user_123", json=profile)
    assert member == {"externalUserID": "user_123", **profile, "email": None}
    assert brand.call("PUT", "/v1/members/user_123", json=profile) == member
    empty = brand.call("PUT", "/v1/members/nobody%20yet", json={})
    assert (empty["externalUserID"], empty["displayName"], empty["tier"], empty["attributes"]) == (
        "nobody yet",
        None,
        "",
        None,
    )


def test_an_id_in_a_path_is_taken_to_its_last_letter(brand: Brand) -> None:
    """Slashes, dots and breaks of lines too: none is cut off, or somebody else would be answered, and archived."""
    brand.member("ada")
    for odd in ("ada\n", "\nada", "a\r\nd\u2028a", "ada/b", "ada/", "ada ", "ada."):
        path = f"/v1/members/{quote(odd, safe='')}"
        assert brand.refused("GET", path, 404) == "MEMBER_NOT_FOUND", odd
        assert brand.refused("DELETE", path, 404) == "MEMBER_NOT_FOUND", odd
        assert brand.call("PUT", path, json={"displayName": odd})["externalUserID"] == odd
        assert brand.call("GET", path)["displayName"] == odd
        assert brand.call("DELETE", path)["externalUserID"] == odd
        assert brand.call("GET", f"{path}/export")["member"]["external_user_id"] == odd
    assert brand.call("GET", "/v1/members/ada")["archivedAt"] is None


def test_a_partial_body_keeps_what_it_does_not_name_and_null_clears(brand: Brand) -> None:
    brand.member("ada", displayName="Ada", tier="gold", email="ada@example.org", attributes={"a": 1})
    changed = brand.call("PUT", "/v1/members/ada", json={"tier": "vip"})
    assert (changed["displayName"], changed["tier"], changed["email"]) == ("Ada", "vip", "ada@example.org")
    cleared = brand.call("PUT", "/v1/members/ada", json={"displayName": None, "tier": None, "attributes": None})
    assert (cleared["displayName"], cleared["tier"], cleared["attributes"]) == (None, "", None)


def test_attributes_are_kept_as_they_are(brand: Brand) -> None:
    """Nested, unicode, the order and the numbers."""
    deep = "[[[1.0, -0.5, 1e300, 12345678901234567890]]]"
    text = f'{{"z": {{"ключ": ["\\ud83d\\ude00", null, true, {{"deep": {deep}}}]}}, "a": ""}}'
    answer = brand.http.put("/v1/members/ada", content=f'{{"attributes": {text}}}')
    assert answer.status_code == 200, answer.text
    kept = brand.call("GET", "/v1/members/ada")["attributes"]
    assert json.dumps(kept) == json.dumps(json.loads(text))


@pytest.mark.parametrize(
    "attributes",
    [[], "x", 1, {"x": "y" * 16 * 1024}, {"x": "\x00"}, {"\x00": 1}],
    ids=["list", "text", "number", "large", "nul", "nul in name"],
)
def test_attributes_are_a_small_plain_object(brand: Brand, attributes: Any) -> None:
    answer = brand.call("PUT", "/v1/members/ada", 422, json={"attributes": attributes})
    assert "attributes" in answer["error"]["fields"]
    assert brand.refused("GET", "/v1/members/ada", 404) == "MEMBER_NOT_FOUND"


def test_ids_may_hold_anything_but_nul(brand: Brand) -> None:
    for given in ("auth0%7Cab%2Fc", "%C3%A9%20%F0%9F%98%80", "a%3Fb"):
        member = brand.call("PUT", f"/v1/members/{given}", json={"displayName": given})
        assert brand.call("GET", f"/v1/members/{given}")["externalUserID"] == member["externalUserID"]
    assert brand.refused("PUT", "/v1/members/" + "x" * 256, 422, json={}) == "VALIDATION"
    assert brand.refused("PUT", "/v1/members/a%00b", 422, json={}) == "VALIDATION"
    for method in ("GET", "DELETE"):
        assert brand.refused(method, "/v1/members/a%00b", 404) == "MEMBER_NOT_FOUND"
        assert brand.refused(method, "/v1/members/nobody", 404) == "MEMBER_NOT_FOUND"


def test_the_summary_has_a_wallet_and_all_seven_counts(brand: Brand, other: Brand) -> None:
    brand.member("ada", points=30)
    other.member("ada", points=5)
    brand.call("POST", "/v1/redemptions", 201, json={"points": 10, "externalUserID": "ada"})
    summary = brand.call("GET", "/v1/members/ada")
    assert summary["redemptionCounts"] == {status: int(status == "SUBMITTED") for status in STATUSES}
    assert (summary["wallet"]["balance"], summary["archivedAt"]) == (20, None)
    assert other.call("GET", "/v1/members/ada")["wallet"]["balance"] == 5


def test_removing_ends_memberships_and_revokes_credits(brand: Brand) -> None:
    """Also what the member holds as a guest elsewhere; what others hold there stays. Spent credits stay spent."""
    brand.member("ada", points=30)
    kind = brand.rule()
    lead = {"name": "Bob", "external_user_id": "bob", "lead_booker": True}
    own = brand.sign_up(kind, "ada", guests=[{"name": "Ada", "external_user_id": "ada", "lead_booker": True}])
    brand.sign_up(kind, "bob", guests=[lead, {"name": "Ada", "external_user_id": "ada", "lead_booker": False}])
    spent = brand.sign_up(kind, "ada", guests=[{"name": "Ada", "external_user_id": "ada", "lead_booker": True}])
    code = brand.credits(membership_id=spent)[0]["code"]
    redemption = brand.call("POST", f"/customers/credits/{code}/redeem")["redemption"]["id"]
    assert len(brand.credits(status="live")) == 2 + len(brand.credits(external_user_id="bob")) - 0

    removed = brand.call("DELETE", "/v1/members/ada")
    assert removed == {"externalUserID": "ada", "archived": True, "balanceRetained": False}
    by_holder = {(c["guest"]["external_user_id"], c["status"], c["revoked_reason"]) for c in brand.credits()}
    assert by_holder == {
        ("ada", "revoked", "member_archived"),
        ("ada", "redeemed", None),
        ("bob", "live", None),
    }
    brand.settle()
    assert brand.call("GET", f"/customers/memberships/{own}")["status"] == "cancelled"
    summary = brand.call("GET", "/v1/members/ada")
    assert summary["archivedAt"] == "2031-01-10T12:00:00Z"
    assert (summary["wallet"]["balance"], summary["wallet"]["amountReceived"]) == (0, 30)
    newest = brand.call("GET", "/v1/wallet/transactions?externalUserID=ada")["transactions"][0]
    assert (newest["type"], newest["amount"], newest["reason"]) == ("forfeit", -30, "member_archived")

    # Again changes nothing; a redemption that is canceled now gives its credit to nobody.
    assert brand.call("DELETE", "/v1/members/ada") == removed
    brand.call("PATCH", f"/v1/redemptions/{redemption}", json={"status": "CANCELED"})
    brand.settle()
    assert brand.call("GET", f"/customers/credits/{code}")["status"] == "revoked"


def test_removing_again_says_what_stands_of_the_points(brand: Brand) -> None:
    """What was forfeited is not kept by asking for it afterwards; what was kept can still be forfeited."""
    for member in ("ada", "bob"):
        brand.member(member, points=50)
    retained = [
        brand.call("DELETE", path)["balanceRetained"]
        for path in (
            "/v1/members/ada",
            "/v1/members/ada?retainBalance=true",
            "/v1/members/bob?retainBalance=true",
            "/v1/members/bob?retainBalance=true",
            "/v1/members/bob",
            "/v1/members/bob?retainBalance=true",
        )
    ]
    assert retained == [False, False, True, True, False, False]


def test_a_removed_member_comes_back_without_old_credits(brand: Brand) -> None:
    brand.member("ada", displayName="Ada", points=30)
    kind = brand.rule()
    brand.sign_up(kind, "ada")
    brand.call("DELETE", "/v1/members/ada?retainBalance=true")
    while_away = brand.sign_up(kind, "ada")
    assert brand.credits(status="live") == []
    assert brand.call("GET", "/v1/members/ada")["displayName"] == "Ada"

    brand.member("ada", tier="gold")
    brand.settle()
    back = brand.call("GET", "/v1/members/ada")
    assert (back["archivedAt"], back["tier"], back["wallet"]["balance"]) == (None, "gold", 30)
    assert [credit["membership_id"] for credit in brand.credits(status="live")] == [while_away]


def test_a_removed_member_gets_nothing_more_as_a_guest_of_others(brand: Brand) -> None:
    """The others on the order get the next period's credit; a guest who is back has part in the periods that begin
    after it, in none that began before, and in no old credit."""
    brand.member("bob")
    kind = brand.rule()
    party: list[dict[str, Any]] = [
        {"name": "Ada", "external_user_id": "ada", "lead_booker": True, "guest_id": str(uuid4())},
        {"name": "Bob", "external_user_id": "bob", "guest_id": str(uuid4())},
    ]
    order = brand.sign_up(kind, "ada", guests=party)
    assert {credit["guest"]["name"] for credit in brand.credits(status="live")} == {"Ada", "Bob"}
    brand.call("DELETE", "/v1/members/bob")
    later = brand.sign_up(kind, "cy", guests=[{**party[0], "external_user_id": "cy"}, party[1]])

    february = {"membership_id": order, "charge_id": "february", "period_start": "2031-02-10"}
    brand.event("charge.initiated", "2031-02-10T00:00:00Z", **february)
    brand.settle("2031-02-10T12:00:00Z")
    assert [credit["guest"]["name"] for credit in brand.credits(membership_id=order, status="live")] == ["Ada"]
    rows = brand.call("GET", f"/customers/memberships/{order}/explain")["data"]
    told = {(row["period_start"], row["guest"]["name"]): row["reason"] for row in rows}
    assert told["2031-02-10", "Bob"] == "member_archived"
    assert told["2031-02-10", "Ada"] == "issued"
    assert [credit["guest"]["name"] for credit in brand.credits(membership_id=later)] == ["Ada"]
    rule = rows[0]["credit_rule_id"]
    brand.call("POST", f"/customers/membership-credit-rules/{rule}/issue", 204)
    brand.settle("2031-02-10T12:00:00Z")
    assert brand.credits(external_user_id="bob", status="live") == []

    brand.member("bob")
    brand.settle("2031-02-10T12:00:00Z")
    assert brand.credits(external_user_id="bob", status="live") == []
    march = {"membership_id": order, "charge_id": "march", "period_start": "2031-03-10"}
    brand.event("charge.initiated", "2031-03-10T00:00:00Z", **march)
    brand.settle("2031-03-10T12:00:00Z")
    back = brand.credits(external_user_id="bob", status="live")
    assert [(credit["membership_id"], credit["period_start"]) for credit in back] == [(order, "2031-03-10")]


def test_who_is_named_as_a_guest_is_no_member(brand: Brand) -> None:
    """Until they join: nobody's list, wallet, token or count knows them, while what they hold is found by their id."""
    kind = brand.rule()
    party = [
        {"name": "Ada", "external_user_id": "ada", "lead_booker": True},
        {"name": "Bob", "external_user_id": "bob"},
    ]
    order = brand.sign_up(kind, "ada", guests=party)
    points = {"amount": 1, "externalUserID": "bob"}
    for method, path, more in (
        ("GET", "/v1/members/bob", {}),
        ("DELETE", "/v1/members/bob", {}),
        ("GET", "/v1/wallet?externalUserID=bob", {}),
        ("GET", "/v1/wallet/transactions?externalUserID=bob", {}),
        ("GET", "/v1/eligibility?externalUserID=bob", {}),
        ("GET", "/v1/offers?externalUserID=bob", {}),
        ("POST", "/v1/wallet/credit", {"json": points}),
        ("POST", "/v1/redemptions", {"json": {"points": 1, "externalUserID": "bob"}}),
    ):
        assert brand.refused(method, path, 404, **more) == "MEMBER_NOT_FOUND", path
    assert brand.call("GET", "/v1/analytics/summary")["memberCount"] == 1
    days = brand.call("GET", "/v1/analytics/timeseries?from=2031-01-10&to=2031-01-11")["buckets"]
    assert [day["signups"] for day in days] == [1, 0]

    guests = brand.call("GET", f"/customers/memberships/{order}")["guests"]
    assert [guest["external_user_id"] for guest in guests] == ["ada", "bob"]
    assert brand.call("GET", "/customers/memberships?external_user_id=bob")["data"] == []
    (credit,) = brand.credits(external_user_id="bob")
    assert (credit["guest"]["name"], credit["guest"]["external_user_id"]) == ("Bob", "bob")
    rows = brand.call("GET", f"/customers/memberships/{order}/explain")["data"]
    assert {row["guest"]["external_user_id"] for row in rows} == {"ada", "bob"}
    used = brand.call("POST", "/v1/redemptions", 201, json={"creditCode": credit["code"], "externalUserID": "bob"})
    assert used["externalUserID"] == "bob"
    assert [one["id"] for one in brand.call("GET", "/v1/redemptions?externalUserID=bob")["redemptions"]] == [used["id"]]


@pytest.mark.parametrize("how", ["upsert", "exchange", "sign-up"])
def test_who_was_named_as_a_guest_joins(brand: Brand, how: str) -> None:
    """A member from then on, of whom all that was named before is known."""
    kind = brand.rule()
    ada = {"name": "Ada", "external_user_id": "ada", "lead_booker": True}
    order = brand.sign_up(kind, "ada", guests=[ada, {"name": "Bob", "external_user_id": "bob"}])
    brand.settle("2031-01-11T09:00:00Z")
    match how:
        case "upsert":
            brand.member("bob")
        case "exchange":
            brand.as_member("bob")
        case _:
            joins = {"starts_on": "2031-01-11", "membership_type_id": kind, "external_user_id": "bob"}
            brand.event("membership.signed_up", "2031-01-11T09:00:00Z", membership_id=str(uuid4()), **joins)
    assert brand.call("GET", "/v1/members/bob")["createdAt"] == "2031-01-11T09:00:00Z"
    assert brand.call("GET", "/v1/analytics/summary")["memberCount"] == 2
    days = brand.call("GET", "/v1/analytics/timeseries?from=2031-01-10&to=2031-01-11")["buckets"]
    assert [day["signups"] for day in days] == [1, 1]
    brand.settle("2031-01-11T09:00:00Z")
    assert order in {credit["membership_id"] for credit in brand.credits(external_user_id="bob")}
    assert len(brand.call("GET", "/v1/offers?externalUserID=bob")["data"]) == 1 + (how == "sign-up")
    brand.call("DELETE", "/v1/members/bob")
    assert brand.credits(external_user_id="bob", status="live") == []


def test_facts_that_come_late_give_a_removed_member_nothing_back(brand: Brand) -> None:
    """A credit that its failed charge took back is not live again by a late success."""
    brand.member("ada")
    membership = brand.sign_up(brand.rule(), "ada")
    charge = {"membership_id": membership, "charge_id": f"c {membership}", "period_start": "2031-01-10"}
    brand.event("charge.initiated", **charge)
    brand.event("charge.failed", "2031-01-10T12:00:00+00:00", **charge)
    brand.settle()
    brand.call("DELETE", "/v1/members/ada")
    brand.settle("2031-01-11T00:00:00Z")
    brand.event("charge.succeeded", "2031-01-10T13:00:00Z", **charge)
    brand.settle("2031-01-11T00:00:00Z")
    assert {credit["status"] for credit in brand.credits()} == {"revoked"}


def test_upserting_one_member_at_once_makes_one(brand: Brand) -> None:
    answers = brand.many("PUT", "/v1/members/ada", [{"tier": f"t{n}"} for n in range(THREADS)])
    assert {answer.status_code for answer in answers} == {200}
    assert brand.call("GET", "/v1/analytics/summary")["memberCount"] == 1


def test_removing_beside_signing_up_and_crediting_leaves_nothing_live(brand: Brand) -> None:
    """Whatever comes first, a removed member holds no points and no credits."""
    brand.member("ada")
    kind = brand.rule()
    body = {"amount": 1, "externalUserID": "ada"}
    acts: list[Any] = [lambda: brand.http.post("/v1/wallet/credit", json=body)] * 10
    acts.insert(5, lambda: brand.http.delete("/v1/members/ada"))
    acts += [lambda: brand.sign_up(kind, "ada")] * 3
    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(act) for act in acts]:
            done.result()
    brand.settle()
    assert brand.credits(status="live") == []
    assert brand.wallet("ada")["balance"] == 0
