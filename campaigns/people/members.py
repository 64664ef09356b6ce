"""Members: their points, what they book, and that they are archived and come back (SEMANTICS 11, 12)."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from campaigns.model.brand import Row
from campaigns.people.acting import OUT, picked, same, without
from campaigns.people.desk import REDEMPTIONS, Booked, Desk

#: What the brand offers: for points, for a credit of a coupon, for nothing.
OFFERS: dict[str, Row] = {
    "massage": {"name": "Massage", "pointsPrice": 60},
    "cinema": {"name": "Cinema", "couponID": "spa"},
    "tour": {"name": "Tour"},
}


class Members(Desk):
    """Members, and who keeps their wallets."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.received: Counter[str] = Counter()
        self.spent: Counter[str] = Counter()
        self.archived: set[str] = set()
        #: Those of the archived who retained nothing; and when such came back.
        self.forfeited: set[str] = set()
        self.returned: dict[str, datetime] = {}

    def open_offers(self, coupon: str | None = None) -> None:
        """Those that take a credit of the coupon; those that take none."""
        for offer, body in OFFERS.items():
            if body.get("couponID") == coupon:
                self.brand.call("PUT", f"/v1/offers/{offer}", json=body)

    def check_wallets(self) -> None:
        """Each wallet is what was received and spent, and the sum of its ledger."""
        for member in sorted(self.received):
            wallet = self.brand.call("GET", f"/v1/members/{member}")["wallet"]
            expected = self.received[member], self.spent[member], self.received[member] - self.spent[member]
            got = wallet["amountReceived"], wallet["amountSpent"], wallet["balance"]
            same("a-wallet-is-what-was-received-and-spent", expected, got)

    # -- points

    def _points(self, pick: int, amount: int, spent: int) -> None:
        member = picked(self.members, pick)
        if member is None:
            return
        body = {"amount": amount, "externalUserID": member}
        code = self.brand.code_of("POST", "/v1/wallet/credit", json=body)
        same("only-the-archived-get-no-points", "member_archived" if member in self.archived else None, code)
        if code is None:
            self.received[member] += amount
        if spent:
            body = {"points": spent, "externalUserID": member}
            answer = self.brand.call("POST", REDEMPTIONS, (201, 409, 422), json=body)
            self._booked(member, answer, spent)
        self.check_wallets()

    def _booked(self, member: str, answer: Row, points: int, offer: str | None = None) -> None:
        if "error" not in answer:
            same("the-archived-book-nothing", False, member in self.archived)
            self.spent[member] += points
            # Where the clock stands still, what is booked as one comes back was booked before.
            lost = self.returned.get(member) == self.now
            self.booked.append(Booked(answer["id"], member=member, points=points, offer=offer, lost=lost))
            return
        code = answer["error"]["code"]
        if member in self.archived:
            same("the-archived-book-nothing", "MEMBER_ARCHIVED", code)
        elif code == "INSUFFICIENT_POINTS":
            same("points-that-are-there-can-be-spent", True, self.received[member] - self.spent[member] < points)
        else:
            is_open = any((one.offer, one.member) == (offer, member) for one in self.booked)
            same("an-offer-is-booked-once-at-a-time", ("REDEMPTION_ALREADY_EXISTS", True), (code, is_open))

    def given_back(self, booked: Booked) -> None:
        if booked.member is not None and not booked.lost:
            self.spent[booked.member] -= booked.points
        self.check_wallets()

    # -- offers

    def _book(self, pick: int, offer: str) -> None:
        member = picked(self.members, pick)
        if member is None:
            return
        before = self.look()
        held = {key for key, row in self.rows.items() if row["holder"]["external_user_id"] == member}
        mine = {key for key in held if before[key]["status"] == "live"}
        listed = self.brand.call("GET", "/v1/offers", params={"externalUserID": member, "limit": 100})["data"]
        codes = {row["id"] for row in listed if row["kind"] == "credit"}
        same("a-member-is-offered-the-live-credits-they-hold", {self.rows[key]["code"] for key in mine}, codes)
        body = {"offer": offer, "externalUserID": member}
        takes = {key for key in mine if before[key]["coupon_id"] == OFFERS.get(offer, {}).get("couponID")}
        if offer == "credit":
            key = picked(mine, pick)
            if key is None:
                return
            takes, body["offer"] = {key}, self.rows[key]["code"]
        answer = self.brand.call("POST", REDEMPTIONS, (201, 409, 422), json=body)
        if "couponID" not in OFFERS.get(offer, {}) and offer != "credit":
            self._booked(member, answer, OFFERS[offer].get("pointsPrice", 0), offer)
            self.check_wallets()
            same("an-offer-for-points-takes-no-credit", before, self.look())
            return
        after = self.look()
        if "error" in answer:
            same("a-refused-booking-changes-nothing", before, after)
            code = answer["error"]["code"]
            is_open = code == "REDEMPTION_ALREADY_EXISTS"
            same("an-offer-is-refused-for-want-of-a-credit", True, is_open or not takes)
            return
        changed = {key for key in after if after[key] != before.get(key)}
        same("an-offer-takes-one-credit-of-the-member", (1, True), (len(changed), changed <= takes))
        (key,) = changed
        same("an-offer-is-one-use", before[key]["uses"] + 1, after[key]["uses"])
        self.booked.append(Booked(answer["id"], credit=self.rows[key]["id"], offer=offer))

    # -- archiving

    def _archive(self, pick: int, retained: bool) -> None:
        member = picked(self.members, pick)
        if member is None:
            return
        before = self.look()
        owned = {self.brand.id(each) for each in self.memberships if each == member}
        its = {
            key
            for key, row in self.rows.items()
            if row["membership_id"] in owned or row["holder"]["external_user_id"] == member
        }
        body = {"retainBalance": "true" if retained else "false"}
        self.brand.call("DELETE", f"/v1/members/{member}", (200, 404), params=body)
        after = self.look()
        self.archived.add(member)
        same("an-archiving-touches-nobody-else", without(before, its), without(after, its))
        for key in sorted(its, key=str):
            expected = "revoked" if before[key]["status"] in OUT else before[key]["status"]
            same("an-archiving-revokes-what-is-out", expected, after[key]["status"])
        self.returned.pop(member, None)
        if not retained:
            self.forfeited.add(member)
            self.spent[member] = self.received[member]
            for booked in self.booked:
                booked.lost = booked.lost or booked.member == member
        self.check_wallets()

    def _revive(self, pick: int) -> None:
        member = picked(self.archived, pick)
        if member is None:
            return
        before = self.look()
        self.brand.call("PUT", f"/v1/members/{member}", (200, 201), json={})
        self.archived.discard(member)
        if member in self.forfeited:
            self.returned[member] = self.now
            self.forfeited.discard(member)
        same("who-comes-back-has-no-old-credits", before, self.look())
        self.check_wallets()
