"""A club whose biller tells it things, settled in this process; what it owes is read back in a few words."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from dramatiq.brokers.stub import StubBroker
from sqlalchemy import Engine, text

from issuance.billing import events
from issuance.billing.events import Intake
from issuance.catalog import coupons, membership_types, rules
from issuance.catalog.coupons import CouponBody
from issuance.catalog.membership_types import NewMembershipType
from issuance.catalog.rule_versions import NewCreditRule
from issuance.database.connections import engine_for, transaction
from issuance.members import members, redemptions
from issuance.members.profiles import MemberProfile
from issuance.members.redemptions import Booking
from issuance.memberships import archiving, explanations
from issuance.memberships.explanations import Explanation
from issuance.tenancy import brands
from tests.database.clubs import Club, at

BOOK = """
    SELECT c.period_start, g.name, r.name AS rule, c.valid_from, c.expires_at, c.code,
           CASE WHEN c.revoked_at IS NOT NULL THEN 'revoked'
                WHEN c.redeemed_at IS NOT NULL THEN 'redeemed'
                WHEN c.expires_at <= b.clock_now THEN 'expired'
                WHEN b.clock_now < c.valid_from THEN 'upcoming' ELSE 'live' END AS status
      FROM credits c
      JOIN brands b USING (brand_id)
      JOIN guests g USING (brand_id, membership_id, guest_id)
      JOIN (SELECT credit_rule_id, coupon_name AS name FROM rule_versions WHERE version = 1) r USING (credit_rule_id)
     WHERE c.membership_id = :membership_id
     ORDER BY c.period_start, r.name, g.name
"""


@dataclass
class Biller:
    """A brand in UTC with the external type `gold` and one membership `m`; its clock begins on 1 January 2031."""

    club: Club
    #: How the clock moves: time passes, or it jumps as after an outage.
    jump: bool
    now: str = "2031-01-01"
    ids: dict[str, UUID] = field(default_factory=dict)
    numbered: int = 0
    #: Facts that intake has told nobody of.
    last: Intake | None = None

    # -- the operator

    def kind(self, name: str, billing: Any = "external") -> None:
        with self.open() as connection:
            made = membership_types.create(
                connection, self.club.brand_id, NewMembershipType(name=name, billing=billing)
            )
        self.ids[name] = made["id"]

    def rule(self, name: str = "Tea", kind: str = "gold", validity: str | None = None, **says: Any) -> None:
        """A rule of the coupon of its own name; it rolls over unless told, and gives each billing period."""
        discount = {"type": "percent", "value": 100}
        coupon = CouponBody.model_validate({"name": name, "discount": discount, "validity": validity})
        said = {"membership_type_id": self.ids[kind], "coupon_id": says.pop("coupon", name), "coupon_name": name}
        body = NewCreditRule.model_validate({"roll_over": True, **said, **says})
        with self.open() as connection:
            if said["coupon_id"] == name:
                coupons.put(connection, self.club.brand_id, name, coupon)
            rules.create(connection, self.club.brand_id, body)

    def open(self) -> Any:
        return transaction(self.club.engine, self.club.brand_id)

    # -- what happens

    def to(self, moment: str) -> None:
        self.now = moment
        self.club.move_clock(moment, jump=self.jump)
        while self.club.sweep() is not None:
            pass

    def send(self, *bodies: dict[str, Any]) -> Intake:
        """Events as they are, accepted or not; those of known memberships are settled."""
        with self.open() as connection:
            self.last = events.accept(connection, self.club.brand_id, list(bodies))
        self.club.settle(self.last.membership_ids)
        return self.last

    def event(self, kind: str, time: str | None = None, **data: Any) -> dict[str, Any]:
        self.numbered += 1
        member = self.ids.setdefault(data.pop("membership", "m"), uuid4())
        stated = {"specversion": "1.0", "source": "biller", "id": data.pop("id", f"e{self.numbered:03}"), "type": kind}
        return {**stated, "time": at(time or self.now).isoformat(), "data": {"membership_id": str(member), **data}}

    def tell(self, kind: str, time: str | None = None, **data: Any) -> Intake:
        """One event that happened at `time` (now, unless told), which is accepted."""
        intake = self.send(self.event(kind, time, **data))
        assert intake.rejected == [], intake.rejected
        return intake

    def sign_up(self, starts_on: str, time: str | None = None, **data: Any) -> Intake:
        kind = str(self.ids[data.pop("kind", "gold")])
        member = data.setdefault("membership", "m")
        said = {"membership_type_id": kind, "external_user_id": f"member {member}", "starts_on": starts_on}
        return self.tell("membership.signed_up", time, **{"billing_frequency": "P1M", **said, **data})

    def charge(self, state: str, start: str, end: str | None = None, time: str | None = None, **data: Any) -> Intake:
        said = {"charge_id": f"charge {start}", "period_start": start}
        if end is not None:
            said["period_end"] = end
        return self.tell(f"charge.{state}", time, **{**said, **data})

    def paid(self, *starts: str) -> None:
        """Each period's charge succeeds on its first day, at eight."""
        for start in starts:
            self.to(f"{start}T08:00")
            self.charge("succeeded", start)

    def status(self, status: str, time: str | None = None, **data: Any) -> None:
        self.tell("membership.status_changed", time, status=status, **data)

    def moved(self, anchor: str, time: str | None = None, **data: Any) -> None:
        self.tell("membership.billing_date_moved", time, billing_anchor=anchor, **data)

    def type_changed(self, kind: str, time: str | None = None, **data: Any) -> None:
        self.tell("membership.type_changed", time, membership_type_id=str(self.ids[kind]), **data)

    def guests(self, *guests: dict[str, Any], time: str | None = None) -> None:
        self.tell("membership.guests_changed", time, guests=list(guests))

    def archive(self, member: str = "member m") -> None:
        with self.open() as connection:
            archiving.archive(connection, self.club.brand_id, member, retain_balance=True)
        self.club.settle([self.ids["m"]])

    def revive(self, member: str = "member m") -> None:
        with self.open() as connection:
            _, woken = members.upsert(connection, self.club.brand_id, member, MemberProfile())
        self.club.settle(woken)

    def redeem(self, start: str) -> None:
        (code,) = [row.code for row in self.book() if str(row.period_start) == start and row.status == "live"]
        with self.open() as connection:
            redemptions.redeem_credit(connection, self.club.brand_id, code, Booking())

    # -- what is there

    def explain(self, first: str, last: str) -> Explanation:
        span = at(first).date(), at(last).date()
        with self.open() as connection:
            return explanations.explain(connection, self.club.brand_id, self.ids["m"], first=span[0], last=span[1])

    def book(self, membership: str = "m") -> list[Any]:
        return self.club.rows(BOOK, membership_id=self.ids[membership])

    def live(self, rule: str | None = None, membership: str = "m") -> list[str]:
        """The starts of the periods whose credits are live."""
        rows = self.book(membership)
        return [str(row.period_start) for row in rows if row.status == "live" and rule in (None, row.rule)]

    def held(self, membership: str = "m") -> list[str]:
        """`period_start status` of every credit."""
        return [f"{row.period_start} {row.status}" for row in self.book(membership)]

    def holders(self) -> list[str]:
        """`guest period_start` of every live credit."""
        return [f"{row.name} {row.period_start}" for row in self.book() if row.status == "live"]

    def ends(self, start: str) -> datetime | None:
        found: datetime | None
        (found,) = [row.expires_at for row in self.book() if str(row.period_start) == start]
        return found


@pytest.fixture(params=["passing", "jumping"])
def biller(request: pytest.FixtureRequest, fresh_database: Callable[[], str], broker: StubBroker) -> Iterator[Biller]:
    engine: Engine = engine_for(fresh_database())
    with transaction(engine) as connection:
        brand_id, _ = brands.create(connection, name="club", timezone="UTC", sandbox=True)
    with transaction(engine, brand_id) as connection:
        connection.execute(text("UPDATE brands SET clock_now = '2031-01-01T00:00Z'"))
    biller = Biller(Club(engine, broker, brand_id, brand_id, brand_id), request.param == "jumping")
    biller.kind("gold")
    yield biller
    engine.dispose()
