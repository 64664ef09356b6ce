"""A hand-written history of a membership `m` under a rule `rule`, in short words; each test says what it expects."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from campaigns.model.brand import Brand, Row, Server
from campaigns.model.words import Fact, Guest

ANN, BOB, CY = Guest("ann", True), Guest("bob", False), Guest("cy", False)
MORNING = "T00:00:00Z"


def instant(text: str) -> datetime:
    """`2031-02-05` is that day's first instant in UTC; anything longer is RFC 3339."""
    return datetime.fromisoformat(text if "T" in text else text + MORNING).astimezone(UTC)


class Scenario:
    """A sandbox brand with the membership type `gold` and the coupon `spa`, at 1 January 2031 unless told."""

    def __init__(
        self,
        server: Server,
        timezone: str = "UTC",
        now: str = "2031-01-01",
        billing: str = "external",
        validity: str | None = None,
    ) -> None:
        self.brand = Brand(server, timezone)
        self.now = now
        self.numbered = 0
        self.brand.set_clock(instant(now))
        self.coupon(validity)
        self.membership_type("gold", billing)

    # -- the operator

    def coupon(self, validity: str | None, status: tuple[int, ...] = (200, 201)) -> None:
        discount = {"type": "percent", "value": 10}
        body: Row = {"name": "spa", "description": "A day", "discount": discount, "validity": validity, "offerings": []}
        self.brand.call("PUT", "/customers/coupons/spa", status, json=body)

    def membership_type(self, name: str, billing: str = "external") -> None:
        made = self.brand.call("POST", "/customers/membership-types", 201, json={"name": name, "billing": billing})
        self.brand.know(name, made["id"])

    def rule(self, name: str = "rule", status: int = 201, **fields: Any) -> Row:
        """Creates the rule (flags as in INTERFACE 4; all off and `billing_cycle` unless told)."""
        body: Row = {"membership_type_id": self.brand.id("gold"), "coupon_id": "spa", "coupon_name": name, **fields}
        made: Row = self.brand.call("POST", "/customers/membership-credit-rules", status, json=body)
        if status == 201:
            self.brand.know(name, made["id"])
        return made

    def update(self, name: str = "rule", **fields: Any) -> None:
        self.brand.call("PUT", f"/customers/membership-credit-rules/{self.brand.id(name)}", json=fields)

    def delete(self, name: str = "rule") -> None:
        self.brand.call("DELETE", f"/customers/membership-credit-rules/{self.brand.id(name)}", 204)

    def issue(self, name: str = "rule", include_upcoming: bool = False) -> None:
        path = f"/customers/membership-credit-rules/{self.brand.id(name)}/issue"
        self.brand.call("POST", path, 204, json={"include_upcoming": include_upcoming})

    def redeem(self, number: int = 0, status: int = 200) -> Row:
        """Redeems the credit that is `number`-th in `rows()`."""
        answer: Row = self.brand.call(
            "POST", f"/customers/credits/{self.rows()[number]['code']}/redeem", status, json={}
        )
        return answer

    def revoke(self, number: int = 0) -> None:
        self.brand.call("POST", f"/customers/credits/{self.rows()[number]['code']}/revoke", json={"reason": "test"})

    # -- what happens

    def fact(self, kind: str, time: str | None, data: Row, membership: str = "m", expected: str = "accepted") -> Fact:
        """Posts one event that happened at `time` (now, unless told); `expected` is what intake says of it."""
        self.numbered += 1
        happened = instant(time or self.now)
        values = {key: date.fromisoformat(value) if _is_day(key, value) else value for key, value in data.items()}
        fact = Fact(f"e{self.numbered:03}", happened, kind, membership, values)
        answer = self.brand.post([fact])
        assert (len(answer[expected]) if expected == "rejected" else answer[expected]) == 1, answer
        return fact

    def sign_up(self, starts_on: str, time: str | None = None, expected: str = "accepted", **data: Any) -> Fact:
        terms = {"membership_type": "gold", "starts_on": starts_on, "billing_frequency": "P1M", **data}
        return self.fact("membership.signed_up", time, terms, expected=expected)

    def charge(self, state: str, start: str, end: str | None = None, time: str | None = None, **data: Any) -> Fact:
        charge = data.pop("charge", f"charge {start}")
        terms = {"charge": charge, "period_start": start, "period_end": end, **data}
        return self.fact(f"charge.{state}", time, terms)

    def status(self, status: str, time: str | None = None, ends_on: str | None = None) -> Fact:
        return self.fact("membership.status_changed", time, {"status": status, "ends_on": ends_on})

    def guests(self, *guests: Guest, time: str | None = None) -> Fact:
        return self.fact("membership.guests_changed", time, {"guests": list(guests)})

    def billing_date(self, anchor: str, time: str | None = None, expected: str = "accepted") -> Fact:
        return self.fact("membership.billing_date_moved", time, {"billing_anchor": anchor}, expected=expected)

    def to(self, now: str, jump: bool = False) -> None:
        """Moves the clock: time passes, or the brand wakes up there."""
        self.now = now
        self.brand.set_clock(instant(now), jump)

    # -- what is there

    def rows(self) -> list[Row]:
        """The brand's credits, settled, by membership, period, guest and reissue."""
        self.brand.set_clock(instant(self.now))
        found = self.brand.credits()
        return [found[key] for key in sorted(found, key=lambda key: (key[1], key[3], key[2], key[4], key[0]))]

    def held(self, *statuses: str) -> list[str]:
        """`period_start status` of each credit, or only the starts of those with one of the `statuses`."""
        if statuses:
            return [row["period_start"] for row in self.rows() if row["status"] in statuses]
        return [f"{row['period_start']} {row['status']}" for row in self.rows()]

    def holders(self, *statuses: str) -> list[str]:
        """`guest period_start` of each credit with one of the `statuses` (live, unless told)."""
        wanted = statuses or ("live",)
        return [f"{row['guest']['name']} {row['period_start']}" for row in self.rows() if row["status"] in wanted]

    def only(self) -> Row:
        (row,) = self.rows()
        return row

    def when(self, key: str) -> datetime:
        """An instant of the only credit."""
        return datetime.fromisoformat(self.only()[key])

    def why(self, first: str, last: str, rule: str = "rule") -> dict[str, str]:
        """Explain's reason for each period start (of the first guest, where there are more)."""
        params = {"credit_rule_id": self.brand.id(rule), "from": first, "to": last}
        path = f"/customers/memberships/{self.brand.id('m')}/explain"
        rows = self.brand.call("GET", path, params=params)["data"]
        return {row["period_start"]: row["reason"] for row in reversed(rows)}


def _is_day(key: str, value: object) -> bool:
    return value is not None and key in ("starts_on", "billing_anchor", "ends_on", "period_start", "period_end")
