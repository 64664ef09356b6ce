"""A sandbox brand of a running server over HTTP (INTERFACE 3-6, 8)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid4, uuid5

import httpx

from campaigns.model.words import GRANT, NO_PERIOD, Fact, Guest

Row = dict[str, Any]


@dataclass(frozen=True)
class Server:
    """A running server: its address, and a way to make a sandbox brand in a time zone and get its key. `transport`:
    how it is reached, where not over the network."""

    url: str
    create_brand: Callable[[str], str]
    transport: httpx.BaseTransport | None = None


class Brand:
    """One sandbox brand over HTTP. Labels of the history become ids here, once and for all."""

    def __init__(self, server: Server, timezone: str) -> None:
        self.key = server.create_brand(timezone)
        self.client = httpx.Client(
            base_url=server.url,
            headers={"Authorization": f"Bearer {self.key}"},
            timeout=httpx.Timeout(300),
            transport=server.transport,
        )
        self.ids: dict[str, str] = {}
        self.names: dict[str, str] = {}

    def id(self, label: str) -> str:
        if label not in self.ids:
            self.know(label, str(uuid4()))
        return self.ids[label]

    def know(self, label: str, identity: str) -> None:
        self.ids[label] = identity
        self.names[identity] = label

    def call(self, method: str, path: str, status: int | tuple[int, ...] = 200, **sent: Any) -> Any:
        answer = self.client.request(method, path, **sent)
        expected = status if isinstance(status, tuple) else (status,)
        assert answer.status_code in expected, f"{method} {path} {sent}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def all(self, path: str, **params: str) -> list[Row]:
        """Every page of a list under `/customers`."""
        rows: list[Row] = []
        for page in range(1, 1000):
            answer = self.call("GET", path, params={**params, "page": page, "per_page": 100})
            rows += answer["data"]
            if len(rows) >= answer["meta"]["total"]:
                break
        return rows

    def set_clock(self, now: datetime, jump: bool = False) -> None:
        answer = self.call("PUT", "/sandbox/clock", json={"now": now.isoformat(), "jump": jump})
        assert answer["settled"] is True, answer

    def post(self, facts: Iterable[Fact]) -> Row:
        events = [self.event(fact) for fact in facts]
        headers = {"Content-Type": "application/cloudevents-batch+json"}
        answer: Row = self.call("POST", "/billing-events", 202, content=json.dumps(events), headers=headers)
        return answer

    def event(self, fact: Fact) -> Row:
        """The fact as a CloudEvent."""
        data: Row = {"membership_id": self.id(fact.membership)}
        for key, value in fact.data.items():
            if key in ("membership_type", "charge"):
                data[f"{key}_id"] = self.id(value)
            elif key == "guests":
                data["guests"] = [self._guest(guest, fact, number) for number, guest in enumerate(value)]
            elif value is not None or key == "ends_on":
                data[key] = value.isoformat() if isinstance(value, date) else value
        if fact.kind == "membership.signed_up":
            data["external_user_id"] = fact.membership
        return {
            "specversion": "1.0",
            "id": fact.id,
            "source": fact.source,
            "time": fact.time.isoformat(),
            "type": fact.kind,
            "data": data,
        }

    def _guest(self, guest: Guest, fact: Fact, number: int) -> Row:
        """An entry of a list. One without an id may be somebody new, whose id comes from the fact's (INTERFACE 6)."""
        known: Row = {"name": guest.name, "lead_booker": guest.lead_booker}
        if guest.by_id:
            known["guest_id"] = self.id(guest.label)
        else:
            minted = uuid5(UUID(self.id(fact.membership)), f"{fact.source} {fact.id} {number}")
            self.know(f"{fact.id} {number}", str(minted))
        said = {"email": guest.email, "external_user_id": guest.external_user_id}
        return known | {key: value for key, value in said.items() if value is not None}

    def credits(self) -> dict[tuple[Any, ...], Row]:
        """All credits of the brand by key, in labels."""
        found: dict[tuple[Any, ...], Row] = {}
        grants: dict[str, int] = {}
        for row in reversed(self.all("/customers/credits")):
            membership = self.names[row["membership_id"]]
            if row["guest"]["id"] not in self.names:  # who signed up without guests: Issuance names the lead
                self.know(f"{membership} member", row["guest"]["id"])
            guest = self.names[row["guest"]["id"]]
            if row["credit_rule_id"] is None:
                number = grants[membership] = grants.get(membership, -1) + 1
                key: tuple[Any, ...] = (GRANT, membership, guest, NO_PERIOD, number)
            else:
                day = date.fromisoformat(row["period_start"])
                key = (self.names[row["credit_rule_id"]], membership, guest, day, row["reissue"])
            assert key not in found, f"law 1: two credits on {key}"
            found[key] = row
        return found

    def close(self) -> None:
        self.client.close()
