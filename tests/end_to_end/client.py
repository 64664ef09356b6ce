"""A sandbox brand as an integrator drives it: over HTTP, its clock in hand."""

import itertools
from typing import Any
from uuid import uuid4

import httpx

_number = itertools.count()

RULES = "/customers/membership-credit-rules"
ONE, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"


class Client:
    """Starts with a membership type, a coupon, and the clock at 2031-01-01 (a live brand's can't be set)."""

    def __init__(self, http: httpx.Client, billing: str = "external", *, clock: bool = True) -> None:
        self.http = http
        self.now = "2031-01-01T00:00:00Z"
        self.type_id = self.ok("POST", "/customers/membership-types", 201, {"name": "Gold", "billing": billing})["id"]
        discount = {"type": "amount", "value": 10.5, "currency": "EUR"}
        coupon = {"name": "Spa", "description": "A day", "discount": discount, "validity": "P60D", "offerings": ["spa"]}
        self.coupon = self.ok("PUT", "/customers/coupons/spa", 200, coupon)
        if clock:
            self.until(self.now)

    def ok(self, method: str, address: str, status: int = 200, body: Any = None, /, **query: Any) -> Any:
        """The answer, which must have `status`."""
        answer = self.http.request(method, address, json=body, params=query or None)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def data(self, address: str, /, **query: Any) -> list[Any]:
        """The first page of a list."""
        found: list[Any] = self.ok("GET", address, 200, None, **query)["data"]
        return found

    def rule(self, **says: Any) -> dict[str, Any]:
        body = {"membership_type_id": self.type_id, "coupon_id": "spa", "coupon_name": "Spa credit", **says}
        made: dict[str, Any] = self.ok("POST", RULES, 201, body)
        return made

    def event(self, kind: str, time: str | None = None, **data: Any) -> dict[str, Any]:
        envelope = {"specversion": "1.0", "id": f"e{next(_number)}", "source": "test", "type": kind}
        return {**envelope, "time": time or self.now, "data": data}

    def sign_up(self, **data: Any) -> dict[str, Any]:
        ids = {"membership_id": str(uuid4()), "membership_type_id": self.type_id, "external_user_id": "ada"}
        return self.event("membership.signed_up", **{**ids, "starts_on": "2031-01-01", **data})

    def send(self, *events: Any, media_type: str | None = None) -> Any:
        """Post events and wait until they are settled."""
        media_type = media_type or (ONE if len(events) == 1 else BATCH)
        body = events[0] if media_type == ONE else list(events)
        answer = self.http.post("/billing-events", json=body, headers={"content-type": media_type})
        assert answer.status_code == 202, answer.text
        self.until(self.now)
        return answer.json()

    def member(self, **data: Any) -> str:
        """A membership that has signed up and whose first charge has succeeded."""
        sign_up = self.sign_up(**data)
        membership_id: str = sign_up["data"]["membership_id"]
        charge = {"membership_id": membership_id, "charge_id": f"c-{membership_id}", "period_start": "2031-01-01"}
        assert self.send(sign_up, self.event("charge.succeeded", **charge, amount="10.00"))["accepted"] == 2
        return membership_id

    def until(self, now: str, **more: Any) -> Any:
        """Move the clock, and wait until everything is settled there."""
        self.now = now
        return self.ok("PUT", "/sandbox/clock", 200, {"now": now, **more})
