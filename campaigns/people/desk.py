"""What the desk and the till do with single credits: corrections, uses, uses that are given back (SEMANTICS 11, 15)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from campaigns.model.brand import Row
from campaigns.people.acting import OUT, WHY, Acting, Look, is_grant, picked, same, without

CREDITS, REDEMPTIONS = "/customers/credits", "/v1/redemptions"
#: Why a credit can not be used, by its status.
_REFUSED = {"redeemed": "already_redeemed", "upcoming": "not_yet_valid", "expired": "expired", "revoked": "revoked"}


@dataclass
class Booked:
    """A redemption that may still be moved. `member` and `points`: whose, where it spent points."""

    redemption_id: str
    credit: str | None = None
    member: str | None = None
    points: int = 0
    offer: str | None = None
    #: The points were forfeited meanwhile: its member was archived and retained none.
    lost: bool = False


class Desk(Acting):
    """The desk and the till."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.booked: list[Booked] = []

    # -- corrections

    def _correct(self, pick: int, wanted: list[dict[str, Any]]) -> None:
        before = self.look()
        corrections = [row for each in wanted if (row := self._correction(**each)) is not None]
        if not corrections:
            return
        if len(corrections) == 1 and pick % 2:
            self._correct_one(before, corrections[0])
            return
        body = {"corrections": corrections, **WHY}
        said = self.brand.call("POST", f"{CREDITS}/corrections", json={**body, "dry_run": True})
        same("a-dry-run-of-corrections-changes-nothing", before, self.look())
        done = self.brand.call("POST", f"{CREDITS}/corrections", json={**body, "dry_run": False})
        same("corrections-are-refused-as-their-dry-run-said", said["refused"], done["refused"])
        same("corrections-come-to-what-their-dry-run-said", _results(said), _results(done))
        self._corrected(before, corrections, {made["index"]: made["credit"] for made in done["data"]})

    def _correct_one(self, before: Look, correction: Row) -> None:
        """By its own route; refused or made, it is as in a dry run of many."""
        body = {"corrections": [correction], **WHY, "dry_run": True}
        said = self.brand.call("POST", f"{CREDITS}/corrections", json=body)
        action, code = correction["action"], correction.get("code")
        path = CREDITS if action == "grant" else f"{CREDITS}/{code}/{action}"
        fields = {name: value for name, value in correction.items() if name not in ("action", "code")}
        answer = self.brand.call("POST", path, (200, 201, 404, 409, 422), json={**fields, **WHY})
        refused = answer.get("error", {}).get("code")
        foretold = next((row["code"] for row in said["refused"]), None)
        same("a-correction-is-refused-as-its-dry-run-said", foretold, refused)
        self._corrected(before, [correction], {} if refused else {0: answer})

    def _corrected(self, before: Look, corrections: list[Row], made: dict[int, Row]) -> None:
        """Only what was corrected has changed, and to what was wanted."""
        after = self.look()
        keys = {index: self.key_of(credit) for index, credit in made.items()}
        same("corrections-touch-nothing-else", without(before, keys.values()), without(after, keys.values()))
        last = {key: index for index, key in keys.items()}
        for index, key in keys.items():
            wanted, row = corrections[index], after[key]
            if wanted["action"] == "transfer":
                code = self.brand.code_of("POST", f"{CREDITS}/{wanted['code']}/redeem", json={})
                same("an-old-code-answers-transferred", "transferred", code)
            if last[key] != index:
                continue
            if wanted["action"] == "revoke":
                same("revoke-takes-back", "revoked", row["status"])
            elif wanted["action"] == "extend":
                ends = datetime.fromisoformat(row["expires_at"])
                same("extend-moves-the-expiry", datetime.fromisoformat(wanted["expires_at"]), ends)
            elif wanted["action"] == "grant":
                same("a-grant-is-under-no-rule", True, is_grant(key))
                same("a-grant-is-out", True, row["status"] in OUT)
            elif wanted["action"] == "reinstate":
                same("reinstate-lifts-the-operators-no", True, row["taken_by"] in (None, "system facts"))
        self.look()

    def _correction(self, action: str, pick: int, to: int = 0, by: str = "", days: int = 0) -> Row | None:
        guests = sorted(row["guest"]["id"] for row in self.rows.values())
        if action == "grant":
            membership = picked(self.memberships, pick)
            return None if membership is None else self._grant(membership, to, days)
        key = picked(self.rows, pick)
        if key is None:
            return None
        row = self.rows[key]
        correction = {"action": action, "code": row["code"]}
        if action == "extend":
            ends = datetime.fromisoformat(row["expires_at"] or self.now.isoformat())
            correction["expires_at"] = (ends + timedelta(days=days)).isoformat()
        if action == "transfer":
            if by == "member" and self.members:
                correction["external_user_id"] = str(picked(self.members, to))
            else:
                names = self.brand.names
                correction["guest_id"] = str(picked(set(guests), to, by=lambda guest: names[guest]))
        return correction

    def _grant(self, membership: str, to: int, days: int) -> Row:
        correction: Row = {"action": "grant", "membership_id": self.brand.id(membership)}
        correction["coupon_id"] = picked(self.coupons, to)
        if to % 3 == 0:
            correction["expires_at"] = (self.now + timedelta(days=days)).isoformat()
        if to % 5 == 0:
            correction |= {"multi_use": True, "max_uses": 2}
        return correction

    # -- uses

    def _use(self, pick: int, back_at_once: bool, how: str) -> None:
        before = self.look()
        live = [key for key, row in before.items() if row["status"] == "live"]
        key = picked(live if live and pick % 4 else before, pick)
        if key is None:
            return
        row = self.rows[key]
        holder = row["holder"]["external_user_id"]
        if how == "member" and holder is not None:
            body = {"creditCode": row["code"], "externalUserID": holder}
            answer = self.brand.call("POST", REDEMPTIONS, (201, 404, 409, 422), json=body)
            used = answer
        else:
            answer = self.brand.call("POST", f"{CREDITS}/{row['code']}/redeem", (200, 409), json={})
            used = answer.get("redemption")
        if "error" in answer:
            same(
                "a-use-is-refused-for-its-reason", _REFUSED.get(before[key]["status"]), answer["error"]["code"].lower()
            )
            same("a-refused-use-changes-nothing", before, self.look())
            return
        same("only-what-is-live-is-used", "live", before[key]["status"])
        after = self.look()
        same("a-use-touches-nothing-else", without(before, [key]), without(after, [key]))
        same("a-use-counts", before[key]["uses"] + 1, after[key]["uses"])
        uses, most = after[key]["uses"], after[key]["max_uses"]
        used_up = not after[key]["multi_use"] or uses == most
        same("a-use-that-is-the-last-redeems", "redeemed" if used_up else "live", after[key]["status"])
        if back_at_once:
            self.brand.call("PATCH", f"{REDEMPTIONS}/{used['id']}", json={"status": "CANCELED"})
            same("used-and-given-back-is-not-used", before, self.look())
        else:
            self.booked.append(Booked(used["id"], credit=row["id"]))

    def _give_back(self, pick: int, to: str) -> None:
        """Moves a redemption, mostly back; what it comes to of points is for `Members` to say."""
        if not self.booked:
            return
        booked = self.booked[pick % len(self.booked)]
        before = self.look()
        path = f"{REDEMPTIONS}/{booked.redemption_id}"
        if to != "CANCELED":
            self._moved(booked, to, before)
            return
        self.brand.call("PATCH", path, json={"status": to})
        self.booked.remove(booked)
        after = self.look()
        its = [key for key, row in self.rows.items() if row["id"] == booked.credit]
        same("a-use-given-back-touches-nothing-else", without(before, its), without(after, its))
        self.given_back(booked)
        for key in its:
            self._back(before[key], after[key])
        self.brand.call("PATCH", path, json={"status": to})
        same("given-back-twice-is-given-back-once", after, self.look())

    def _back(self, was: Row, now: Row) -> None:
        same("a-use-given-back-is-not-counted", was["uses"] - 1, now["uses"])
        same("a-use-given-back-keeps-the-expiry", was["expires_at"], now["expires_at"])
        ends = now["expires_at"] and datetime.fromisoformat(now["expires_at"])
        if now["status"] == "live" and ends:
            same("what-is-given-back-after-its-end-has-expired", True, ends > self.now)
        same("a-use-given-back-is-a-use-to-come", False, now["status"] == "redeemed")

    def _moved(self, booked: Booked, to: str, before: Look) -> None:
        path = f"{REDEMPTIONS}/{booked.redemption_id}"
        ways = ["OPEN", "AWAITING_VENDOR", "AWAITING_CUSTOMER", "PURCHASED", "COMPLETED"]
        for step in ways[: ways.index(to) + 1]:
            self.brand.call("PATCH", path, json={"status": step})
        same("a-redemption-that-moves-on-changes-no-credit", before, self.look())
        if to == "COMPLETED":
            self.booked.remove(booked)
            code = self.brand.code_of("PATCH", path, json={"status": "CANCELED"})
            same("what-is-completed-stays", "invalid_transition", code)

    def given_back(self, booked: Booked) -> None:
        """What else a redemption that was cancelled comes to."""


def _results(done: Row) -> list[Row]:
    """What corrections came to, but what only a real one knows."""
    made = []
    for row in done["data"]:
        credit = {name: value for name, value in row["credit"].items() if name not in ("code", "revision")}
        if row["action"] == "grant":
            credit["id"] = None
        made.append({"index": row["index"], "action": row["action"], "credit": credit})
    return made
