"""The application in this process, on a real PostgreSQL: brands, ids that are known, and calls without a socket."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
from sqlalchemy import Engine, text

from issuance.api.app import create_app
from issuance.billing import events
from issuance.catalog import coupons, membership_types, rules
from issuance.catalog.coupons import CouponBody
from issuance.catalog.membership_types import NewMembershipType
from issuance.catalog.rule_versions import NewCreditRule
from issuance.database.connections import engine_for, transaction
from issuance.engine import arrivals
from issuance.settings import Settings
from issuance.tenancy import brands

#: When the rule was made, and where the clock stands.
BEFORE, NOW = datetime(2090, 5, 1, tzinfo=UTC), datetime(2090, 6, 15, 12, tzinfo=UTC)
#: Valid neighbours of bad events start here; their rule gives each one credit on joining.
STARTS_ON = "2090-06-01"
_PUT_CLOCK = text("UPDATE brands SET clock_now = :now WHERE brand_id = ANY(:both)")


@dataclass
class Site:
    """The application and the brand that calls it. `known` holds ids of the brand by the names of their fields."""

    app: Any
    client: httpx.AsyncClient
    runner: asyncio.Runner
    engine: Engine
    brand_id: UUID
    type_id: UUID
    #: Keys of the brand, and of another that has nothing that a moved clock would have to wait for.
    key: str
    clock_key: str
    known: dict[str, list[str]] = field(default_factory=dict)

    def call(self, method: str, path: str, *, key: str | None = None, **more: Any) -> httpx.Response:
        """The answer to a request. An unhandled exception counts as an answer with status 500."""
        headers = {"Authorization": f"Bearer {key or self.key}", **more.pop("headers", {})}
        return self.runner.run(self.client.request(method, path, headers=headers, **more))

    def settle(self, membership_ids: list[UUID]) -> None:
        """Settle, as the workers would."""
        arrivals.settle_soon(self.engine, self.brand_id, membership_ids)

    def scalar(self, statement: str, **arguments: object) -> Any:
        with transaction(self.engine, self.brand_id) as connection:
            return connection.scalar(text(statement), arguments)


@contextmanager
def site_on(given: Settings) -> Iterator[Site]:
    """A site on the servers that settings name."""
    engine = engine_for(given.database_url)
    app = create_app(given)
    with transaction(engine) as connection:
        brand_id, key = brands.create(connection, name="fuzz", timezone="Europe/Lisbon", sandbox=True)
        clock_brand, clock_key = brands.create(connection, name="clock", timezone="UTC", sandbox=True)
        both = [brand_id, clock_brand]
        connection.execute(_PUT_CLOCK, {"now": BEFORE, "both": both})
    with transaction(engine, brand_id) as connection:
        type_id = membership_types.create(connection, brand_id, NewMembershipType(name="Gold"))["id"]
        body = {"name": "Spa", "discount": {"type": "percent", "value": 10}}
        coupons.put(connection, brand_id, "spa", CouponBody.model_validate(body))
        rule = NewCreditRule(membership_type_id=type_id, coupon_id="spa", coupon_name="Spa", issue_on_signup=True)
        rule_id = rules.create(connection, brand_id, rule)["id"]
    with transaction(engine) as connection:
        connection.execute(_PUT_CLOCK, {"now": NOW, "both": both})
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    with asyncio.Runner() as runner:
        client = httpx.AsyncClient(transport=transport, base_url="http://fuzz", timeout=120)
        site = Site(app, client, runner, engine, brand_id, type_id, key, clock_key)
        site.known = _known(site, rule_id)
        yield site
        runner.run(client.aclose())


def good_events(type_id: UUID) -> list[dict[str, Any]]:
    """A sign-up and its charge, which together lead to one credit."""
    one = str(uuid4())
    sign_up = {
        "membership_id": one,
        "membership_type_id": str(type_id),
        "external_user_id": one,
        "starts_on": STARTS_ON,
    }
    charge = {"membership_id": one, "charge_id": one, "period_start": STARTS_ON, "amount": "9.50"}
    return [
        _event("membership.signed_up", sign_up, "2090-06-01T09:00:00Z"),
        _event("charge.initiated", charge, "2090-06-01T10:00:00Z"),
    ]


def _event(kind: str, data: dict[str, Any], time: str) -> dict[str, Any]:
    return {"specversion": "1.0", "id": str(uuid4()), "source": "good", "type": kind, "time": time, "data": data}


def _known(site: Site, rule_id: UUID) -> dict[str, list[str]]:
    """Make some of everything, so that requests can name things that exist."""
    told = [event for _ in range(12) for event in good_events(site.type_id)]
    with transaction(site.engine, site.brand_id) as connection:
        taken = events.accept(connection, site.brand_id, told)
        events.accept(connection, site.brand_id, [{"nonsense": number} for number in range(12)])
    site.settle(taken.membership_ids)
    memberships = [str(one) for one in taken.membership_ids]
    paths = {"url": "http://127.0.0.1:9/hook", "events": ["credit.issued"]}
    webhook = site.call("POST", "/v1/webhooks", json=paths).json()["id"]
    points = {"externalUserID": memberships[0], "points": 10**6, "reason": "fuzz"}
    site.call("POST", "/v1/wallet/credit", json=points)
    with transaction(site.engine, site.brand_id) as connection:
        found = {
            name: [str(value) for value in connection.scalars(text(f"SELECT {column} FROM {table} LIMIT 12"))]
            for name, column, table in (
                ("code", "code", "credits"),
                ("guest_id", "guest_id", "guests"),
                ("rejected_id", "rejected_id", "rejected_events"),
            )
        }
    rule_ids, type_ids = [str(rule_id)], [str(site.type_id)]
    return {
        **found,
        "membership_id": memberships,
        "external_user_id": memberships,
        "externalUserID": memberships,
        "charge_id": memberships,
        "membership_type_id": type_ids,
        "credit_rule_id": rule_ids,
        "creditRuleId": rule_ids,
        "coupon_id": ["spa"],
        "webhook_id": [str(webhook)],
        "issuing_frequency": ["P1M", "P0D", "P1Y"],
        "validity": ["P1M", "P60D"],
    }
