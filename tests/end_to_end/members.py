"""A sandbox brand of its own for each test, on the running processes, with members, a rule and credits."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import select

from issuance.database.connections import transaction
from issuance.database.tables import members
from tests.serving import Server

NOW = "2031-01-10T12:00:00+00:00"
#: As many as a busy moment has.
THREADS = 32

_number = itertools.count()


@dataclass
class Brand:
    """A brand whose clock stands at NOW, and clients that call for it."""

    server: Server
    brand_id: UUID
    key: str
    http: httpx.Client

    def call(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        """The answer's JSON, whose status must be `status`."""
        answer = self.http.request(method, path, **more)
        assert answer.status_code == status, (method, path, answer.status_code, answer.text)
        return answer.json() if answer.content else None

    def refused(self, method: str, path: str, status: int, **more: Any) -> str:
        """The code of a refusal."""
        code: str = self.call(method, path, status, **more)["error"]["code"]
        return code

    def many(self, method: str, path: str, bodies: list[Any], **more: Any) -> list[httpx.Response]:
        """The answers to requests that are all sent at once."""
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(lambda body: self.http.request(method, path, json=body, **more), bodies))

    def member(self, external_user_id: str, points: int = 0, **profile: Any) -> str:
        self.call("PUT", f"/v1/members/{external_user_id}", json=profile)
        if points:
            body = {"externalUserID": external_user_id, "amount": points}
            self.call("POST", "/v1/wallet/credit", json=body)
        return external_user_id

    def member_id(self, external_user_id: str) -> str:
        """Issuance's own id of a person."""
        with transaction(self.server.engine, self.brand_id) as connection:
            found = select(members.c.member_id).where(members.c.external_user_id == external_user_id)
            return str(connection.execute(found).scalar_one())

    def as_member(self, external_user_id: str) -> "Brand":
        """The same brand, called with the member's token."""
        grant = self.call("POST", "/v1/auth/exchange", json={"externalUserID": external_user_id})
        return Brand(self.server, self.brand_id, self.key, self.server.client(grant["accessToken"]))

    def settle(self, now: str = NOW) -> None:
        self.call("PUT", "/sandbox/clock", json={"now": now})

    def rule(self, **more: Any) -> str:
        """A rule on a new membership type that issues on sign-up; the type's id."""
        coupon = {"name": "Spa", "description": "", "discount": {"type": "percent", "value": 10}}
        self.call("PUT", "/customers/coupons/spa", json=coupon)
        kind = self.call("POST", "/customers/membership-types", 201, json={"name": "Gold"})["id"]
        rule = {"membership_type_id": kind, "coupon_id": "spa", "coupon_name": "Spa", "issue_on_signup": True, **more}
        self.call("POST", "/customers/membership-credit-rules", 201, json=rule)
        return str(kind)

    def event(self, kind: str, time: str = NOW, **data: Any) -> None:
        body = {"specversion": "1.0", "id": f"{next(_number)}", "source": "test", "type": kind, "time": time}
        answer = self.call("POST", "/billing-events", 202, json={**body, "data": data})
        assert not answer["rejected"], answer

    def sign_up(self, kind: str, external_user_id: str, **data: Any) -> str:
        """A membership whose credits are out."""
        membership_id = str(uuid4())
        self.event(
            "membership.signed_up",
            membership_id=membership_id,
            membership_type_id=kind,
            external_user_id=external_user_id,
            **{"starts_on": "2031-01-10", **data},
        )
        self.settle()
        return membership_id

    def credits(self, **filters: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("GET", "/customers/credits", params=filters)["data"]
        return found

    def wallet(self, external_user_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/v1/members/{external_user_id}")["wallet"]
        return found


@pytest.fixture
def brand(server: Server) -> Iterator[Brand]:
    made = server.new_brand()
    with server.client(made.key) as http:
        brand = Brand(server, made.brand_id, made.key, http)
        brand.settle()
        yield brand


@pytest.fixture
def other(server: Server) -> Iterator[Brand]:
    """A stranger to `brand`."""
    made = server.new_brand()
    with server.client(made.key) as http:
        yield Brand(server, made.brand_id, made.key, http)
