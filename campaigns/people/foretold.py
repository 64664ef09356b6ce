"""What the program says of credits: previews and forecasts, explain, the liability. It is what then happens, and what
was."""

from __future__ import annotations

from collections import Counter
from typing import Any

from campaigns.model.brand import Row
from campaigns.model.times import local_date
from campaigns.people.acting import OUT, Acting, Look, is_grant, picked, same

RULES = "/customers/membership-credit-rules"
#: How explain's sentences say what became of a credit.
_BECAME = {
    "live": "is live",
    "upcoming": "is not valid yet",
    "redeemed": "has been redeemed",
    "expired": "has expired",
    "revoked": "was revoked",
}
_FIGURES = ("opening", "issued", "redeemed", "expired", "revoked", "restored", "closing")


class Foretold(Acting):
    """Who asks what will be, and why it is so."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        #: Months that are over, as they were reported first; and the month in which that was.
        self.reported: dict[tuple[Any, ...], Row] = {}
        self.month = ""

    # -- previews

    def _preview(self, pick: int, change: Row, saved: bool, months: int) -> None:
        rule = picked(self.rules, pick)
        if rule is None:
            return
        path = f"{RULES}/{self.brand.id(rule)}"
        latest = self.brand.call("GET", path)
        if change.get("issuing_frequency") == "P0D" and latest["roll_over_limit"] is not None:
            change = {**change, "roll_over_limit": None}
        if "multi_use" in change and latest["max_uses"] is not None:
            change = {**change, "max_uses": None}
        before = self.look()
        now = self._forecast(path, months)
        body = {"credit_rule_id": self.brand.id(rule), "rule": change, "months": months}
        made = self.brand.call("POST", f"{RULES}/preview", 202, json=body)
        same("a-preview-changes-nothing", before, self.look())
        run_id = self.run(made["id"])["id"]
        told = self.brand.call("GET", f"/runs/{run_id}/plan", params={"per_page": 100})
        by_month = {row["month"]: (row["before"], row["after"]) for row in told["months"]}
        same("a-preview-says-before-what-the-forecast-says", now, {month: one for month, (one, _) in by_month.items()})
        if saved:
            self.brand.call("PUT", path, json=change)
            self.look()
            then = {month: other for month, (_, other) in by_month.items()}
            same("a-preview-says-after-what-the-forecast-then-says", then, self._forecast(path, months))

    def _forecast(self, path: str, months: int) -> dict[str, int]:
        data = self.brand.call("GET", f"{path}/forecast", params={"months": months})["data"]
        return {row["month"]: row["credits"] for row in data}

    # -- explain

    def check_explain(self) -> None:
        """Each row says what is so of its credit, and each credit that is out by the rules has one."""
        look = self.look()
        ids = {row["id"]: key for key, row in self.rows.items()}
        by_hand = {one["id"] for one in self.brand.all("/runs") if one["kind"] == "issue"}
        explained = set()
        for membership in self.memberships:
            path = f"/customers/memberships/{self.brand.id(membership)}/explain"
            answer = self.brand.call("GET", path, (200, 404), params={"per_page": 1000})
            for row in answer.get("data", []):
                credit_id = row["facts"]["credit_id"]
                if credit_id is None:
                    if self.most is None:
                        same("explain-issues-what-is-there", False, row["outcome"] == "issued")
                    continue
                key = ids[credit_id]
                explained.add(key)
                self._explained(row, look[key], by_hand=self.rows[key]["run_id"] in by_hand)
        for key, credit in look.items():
            is_owed = not is_grant(key) and key[4] == 0 and self.rows[key]["run_id"] not in by_hand
            if is_owed and credit["status"] in OUT:
                same(f"explain-knows-of {key}", True, key in explained)

    def _explained(self, row: Row, credit: Row, *, by_hand: bool) -> None:
        named = f"{row['period_start']} {row['reason']} ({row['text']})"
        status = credit["status"]
        same(f"explain-says-what-became-of-a-credit {named} {status}", True, _BECAME[status] in row["text"])
        if row["outcome"] != "issued" and not by_hand:
            same(f"explain-withholds-what-is-out {named}", False, status in OUT)
        if row["outcome"] == "issued":
            taken_by = credit["taken_by"] == "system facts"
            same(f"explain-issues-what-the-facts-took {named}", False, taken_by)

    # -- the liability

    def check_liability(self, look: Look) -> None:
        """It adds up, it says what is out, and a month that is over stays."""
        month = f"{local_date(self.history.timezone, self.now):%Y-%m}"
        rows = self.brand.call("GET", "/customers/liability")["data"]
        closing: Counter[tuple[Any, ...]] = Counter()
        reported = {}
        for row in rows:
            figures = [row[name] for name in _FIGURES]
            rule = row["credit_rule_id"] and self.brand.names[row["credit_rule_id"]]
            opening, issued, redeemed, expired, revoked, restored, closes = figures
            same("the-liability-adds-up", closes, opening + issued + restored - redeemed - expired - revoked)
            key = (rule, row["coupon_id"])
            if row["month"] == month:
                closing[key] += closes
            else:
                reported[(row["month"], *key)] = dict(zip(_FIGURES, figures, strict=True))
        out = Counter(
            (None if is_grant(key) else key[0], credit["coupon_id"])
            for key, credit in look.items()
            if credit["status"] in OUT
        )
        same("the-liability-is-what-is-out", dict(out), {key: number for key, number in closing.items() if number})
        were_over = {key: figures for key, figures in reported.items() if key[0] < self.month}
        same("a-month-that-was-reported-stays", self.reported, were_over)
        self.reported, self.month = reported, month
