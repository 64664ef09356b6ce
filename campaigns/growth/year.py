"""A year of a club: two charge events a month and membership, a credit each, half of which are redeemed."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import text

from issuance.audit import Actor
from issuance.billing import events
from issuance.catalog import coupons, membership_types, rules
from issuance.catalog.coupons import CouponBody
from issuance.catalog.membership_types import NewMembershipType
from issuance.catalog.rule_versions import NewCreditRule
from issuance.database import schema
from issuance.database.connections import engine_for, transaction
from issuance.deciding.calendar import add_months
from issuance.engine import arrivals, batches, sweeps
from issuance.members import redeeming
from issuance.members.redeeming import Booking
from issuance.tenancy import brands, clock

FIRST_DAY, MONTHS, AT_ONCE = date(2090, 1, 1), 12, 200
_PUT_CLOCK = text("UPDATE brands SET clock_now = :now WHERE brand_id = :brand_id")
_TO_REDEEM = text("""
    SELECT code FROM credits
     WHERE brand_id = :brand_id AND redeemed_at IS NULL AND revoked_at IS NULL AND expired_at IS NULL
     ORDER BY code LIMIT :most
""")
# A table that is in parts is what they come to.
_WEIGH = text("""
    SELECT coalesce(inhparent, c.oid)::regclass::text AS name, sum(pg_total_relation_size(c.oid)) AS bytes,
           sum(pg_indexes_size(c.oid)) AS indexes, sum(greatest(reltuples, 0)) AS rows
      FROM pg_class c LEFT JOIN pg_inherits ON inhrelid = c.oid
     WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace GROUP BY 1 ORDER BY 1
""")


class Table(NamedTuple):
    """How much a table grew: rows, bytes with its indexes and what is kept apart, and those of the indexes."""

    name: str
    rows: float
    bytes: int
    indexes: int


class Year:
    """A club of so many memberships on an empty database."""

    def __init__(self, url: str, members: int) -> None:
        schema.apply(url)
        self.engine = engine_for(url)
        self.ids = [uuid4() for _ in range(members)]
        with transaction(self.engine) as connection:
            self.brand_id: UUID = brands.create(connection, name="year", timezone="Europe/Lisbon", sandbox=True)[0]

    def live(self) -> list[Table]:
        """Let the year pass; what grew by it, the largest first."""
        self.found()
        before = self.weigh()
        for month in range(MONTHS):
            day = add_months(FIRST_DAY, month)
            self.put_clock(day)
            self.sweep()
            if month == 0:
                self.tell("membership.signed_up", day, month, self.ids)
            else:
                self.tell("charge.initiated", day, month, self.ids)
                self.tell("charge.succeeded", day, month, self.ids)
            self.redeem()
        after = self.weigh()
        grown = [
            Table(now.name, now.rows - was.rows, now.bytes - was.bytes, now.indexes - was.indexes)
            for now, was in zip(after, before, strict=True)
        ]
        return sorted((table for table in grown if table.rows), key=lambda table: -table.bytes)

    def found(self) -> None:
        """The rule is there before anybody signs up."""
        self.put_clock(FIRST_DAY - timedelta(days=1))
        with transaction(self.engine, self.brand_id) as connection:
            made = membership_types.create(connection, self.brand_id, NewMembershipType(name="Gold"))
            self._type_id = made["id"]
            body = {"name": "Spa", "discount": {"type": "percent", "value": 10}}
            coupons.put(connection, self.brand_id, "spa", CouponBody.model_validate(body))
            rule = NewCreditRule(
                membership_type_id=self._type_id, coupon_id="spa", coupon_name="Spa", issue_on_signup=True
            )
            rules.create(connection, self.brand_id, rule)

    def put_clock(self, day: date) -> None:
        """It is noon of a day."""
        with transaction(self.engine) as connection:
            now = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
            connection.execute(_PUT_CLOCK, {"now": now, "brand_id": self.brand_id})

    def tell(self, kind: str, day: date, month: int, ids: Sequence[UUID]) -> None:
        """An event of a kind about each of these memberships, settled at once."""
        for start in range(0, len(ids), AT_ONCE):
            some = ids[start : start + AT_ONCE]
            with transaction(self.engine, self.brand_id) as connection:
                taken = events.accept(connection, self.brand_id, [self._event(one, kind, day, month) for one in some])
            assert taken.accepted == len(some), taken.rejected
            arrivals.settle_soon(self.engine, self.brand_id, some)

    def _event(self, membership_id: UUID, kind: str, day: date, month: int) -> dict[str, Any]:
        data: dict[str, Any] = {"membership_id": str(membership_id)}
        if kind == "membership.signed_up":
            data |= {"membership_type_id": str(self._type_id), "external_user_id": str(membership_id)}
            guest = {"name": "Somebody Somewhere", "email": f"{membership_id}@example.com", "lead_booker": True}
            data |= {"starts_on": day.isoformat(), "guests": [guest]}
        elif kind == "membership.status_changed":
            data["status"] = "cancelled"
        else:
            data |= {
                "charge_id": f"in_{membership_id.hex[:20]}{month}",
                "period_start": day.isoformat(),
                "amount": "90",
            }
        envelope = {"specversion": "1.0", "source": "biller.example.com", "id": f"evt_{uuid4().hex[:24]}"}
        hour = 8 if kind.endswith("initiated") else 9
        return {**envelope, "type": kind, "time": f"{day}T{hour:02}:00:00Z", "data": data}

    def sweep(self) -> None:
        """Everything that is due is settled."""
        while True:
            with transaction(self.engine, self.brand_id) as connection:
                now = clock.read(connection, self.brand_id).now
                planned = sweeps.plan(connection, self.brand_id, now)
            if planned is None:
                return
            while batches.work_on_run(self.engine, self.brand_id, planned.run_id).batch is not None:
                pass

    def redeem(self) -> None:
        """Half of the members use a credit."""
        with transaction(self.engine, self.brand_id) as connection:
            which = {"brand_id": self.brand_id, "most": len(self.ids) // 2}
            codes = list(connection.scalars(_TO_REDEEM, which))
        acting = Actor("key", uuid4(), "till").acting()
        for code in codes:
            with transaction(self.engine, self.brand_id, acting) as connection:
                redeeming.redeem_credit(connection, self.brand_id, code, Booking(reference="till 1"))

    def weigh(self) -> list[Table]:
        """Every table as it is, vacuumed."""
        with self.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(text("VACUUM (ANALYZE)"))
            return [Table(row.name, row.rows, int(row.bytes), int(row.indexes)) for row in connection.execute(_WEIGH)]
