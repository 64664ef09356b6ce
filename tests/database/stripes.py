"""A brand with Stripe plugged in, and what comes of what Stripe says."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text

from issuance.billers import billers, deliveries, translation
from issuance.billers.billers import New
from issuance.billers.stripe.told import membership_of
from issuance.catalog import coupons, membership_types, rules
from issuance.catalog.coupons import CouponBody
from issuance.catalog.membership_types import NewMembershipType
from issuance.catalog.rule_versions import NewCreditRule
from issuance.database.connections import transaction
from issuance.database.fragments import ENDED
from issuance.engine import arrivals
from issuance.tenancy import brands
from tests.stripe import SECRET

_COUPON = {"name": "Spa", "description": "A day", "discount": {"type": "percent", "value": 10}}
_CLOCK = text("UPDATE brands SET clock_now = :now WHERE brand_id = :brand_id")
_CREDITS = text("""
    SELECT c.membership_id, c.period_start, g.lead_booker, g.name, c.credit_rule_id
      FROM credits c JOIN guests g USING (brand_id, membership_id, guest_id)
     WHERE c.brand_id = :brand_id AND c.revoked_at IS NULL
     ORDER BY c.period_start, g.lead_booker DESC, g.name
""")
_GOING_ON = text(
    "SELECT b.source_ref FROM memberships m JOIN biller_memberships b USING (brand_id, membership_id)"
    f" WHERE m.brand_id = :brand_id AND m.status NOT IN {ENDED}"
)
_STATES = text("SELECT delivery_id, state, code, waits_for FROM biller_deliveries WHERE brand_id = :brand_id")


@dataclass
class Club:
    """A sandbox brand whose memberships Stripe bills."""

    engine: Engine
    brand_id: UUID
    biller_id: UUID
    type_ids: dict[str, UUID]
    #: The name of the type that each rule is for.
    kinds: dict[UUID, str]

    def deliver(self, bodies: Iterable[dict[str, Any]]) -> None:
        """Keep webhooks, as if they had just come."""
        with transaction(self.engine, self.brand_id) as connection:
            for body in bodies:
                raw = json.dumps(body).encode()
                deliveries.store(connection, self.brand_id, self.biller_id, body["id"], raw)

    def translate(self, most: int = translation.BATCH) -> None:
        """Translate all that is pending."""
        while (translation.translate(self.engine, self.brand_id, self.biller_id, most=most)).deliveries:
            pass

    def settle(self, now: str) -> None:
        """Settle everything at an instant."""
        with transaction(self.engine, self.brand_id) as connection:
            connection.execute(_CLOCK, {"now": datetime.fromisoformat(now), "brand_id": self.brand_id})
            ids = list(connection.scalars(text("SELECT membership_id FROM memberships ORDER BY 1")))
        for start in range(0, len(ids), 250):
            arrivals.settle_soon(self.engine, self.brand_id, ids[start : start + 250])

    def credits(self, subscription: str, item: str, *, lead: bool | None = True) -> list[str]:
        """The starts of the periods for which a membership has a credit: its lead booker's, the others', or all."""
        return self.credits_of(membership_of(subscription, item), lead=lead)

    def credits_of(self, membership_id: UUID, *, lead: bool | None = True) -> list[str]:
        """The same, by a membership's id."""
        with transaction(self.engine, self.brand_id) as connection:
            rows = connection.execute(_CREDITS, {"brand_id": self.brand_id}).all()
        return [
            row.period_start.isoformat()
            for row in rows
            if row.membership_id == membership_id and lead in (None, row.lead_booker)
        ]

    def held(self) -> dict[UUID, list[str]]:
        """Of each membership the credits that are not taken back: the period, the type, and the guest who holds it, but
        for the lead booker."""
        with transaction(self.engine, self.brand_id) as connection:
            rows = connection.execute(_CREDITS, {"brand_id": self.brand_id}).all()
        found: dict[UUID, list[str]] = {}
        for row in rows:
            said = f"{row.period_start} {self.kinds[row.credit_rule_id]}"
            found.setdefault(row.membership_id, []).append(said if row.lead_booker else f"{said} {row.name}")
        return {membership_id: sorted(held) for membership_id, held in found.items()}

    def going_on(self) -> set[str]:
        """The subscriptions of memberships that have not ended."""
        with transaction(self.engine, self.brand_id) as connection:
            rows = connection.execute(_GOING_ON, {"brand_id": self.brand_id})
            return {row.source_ref.partition("/")[0] for row in rows}

    def facts(self, subscription: str | None = None, item: str = "") -> list[tuple[Any, ...]]:
        """What was told, in order: type, time, data."""
        found = text(
            "SELECT type, time, event_id, data, membership_id FROM billing_events ORDER BY time, type, event_id"
        )
        with transaction(self.engine, self.brand_id) as connection:
            rows = connection.execute(found).all()
        wanted = membership_of(subscription, item) if subscription else None
        return [(row.type, row.time, row.event_id, row.data) for row in rows if wanted in (None, row.membership_id)]

    def states(self) -> dict[str, str]:
        """What became of each delivery."""
        with transaction(self.engine, self.brand_id) as connection:
            return {row.delivery_id: row.state for row in connection.execute(_STATES, {"brand_id": self.brand_id})}

    def why(self) -> set[tuple[str, str | None, str | None]]:
        """Why deliveries are not translated: the state, the code, and what they wait for."""
        with transaction(self.engine, self.brand_id) as connection:
            rows = connection.execute(_STATES, {"brand_id": self.brand_id}).all()
        return {(row.state, row.code, row.waits_for) for row in rows if row.state != "translated"}

    def messages(self) -> set[str]:
        """What is said of deliveries that are not translated."""
        with transaction(self.engine, self.brand_id) as connection:
            counted = deliveries.counts(connection, self.brand_id, [self.biller_id])
        return {row["message"] for row in counted}

    def map(self, price: str, kind: str | None = "Gold", current_period: Any = "keep") -> None:
        """Put a price into the map, and have what waits for it translated."""
        type_id = None if kind is None else self.type_ids[kind]
        with transaction(self.engine, self.brand_id) as connection:
            billers.put_price(connection, self.brand_id, self.biller_id, price, type_id, current_period)
            deliveries.retry(connection, self.brand_id, self.biller_id)


def new_club(
    engine: Engine,
    zone: str = "Europe/Berlin",
    rule: dict[str, Any] | None = None,
    types: Sequence[str] = ("Gold",),
    api_key: str | None = None,
    new: New | None = None,
    clock: str = "2031-01-01T00:00:00Z",
) -> Club:
    """A club with membership types of these names, each with a rule, and no price mapped yet."""
    with transaction(engine) as connection:
        brand_id = brands.create(connection, name="club", timezone=zone, sandbox=True)[0]
    with transaction(engine, brand_id) as connection:
        connection.execute(_CLOCK, {"now": datetime.fromisoformat(clock), "brand_id": brand_id})
        coupons.put(connection, brand_id, "spa", CouponBody.model_validate(_COUPON))
        type_ids, kinds = {}, {}
        for name in types:
            type_ids[name] = membership_types.create(connection, brand_id, NewMembershipType(name=name))["id"]
            says = {"membership_type_id": type_ids[name], "coupon_id": "spa", "coupon_name": f"Spa of {name}"}
            made = rules.create(connection, brand_id, NewCreditRule.model_validate({**says, **(rule or {})}))
            kinds[made["id"]] = name
        biller_id = billers.create(connection, brand_id, new or New("stripe", [SECRET], api_key))
    return Club(engine, brand_id, biller_id, type_ids, kinds)
