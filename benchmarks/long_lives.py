"""Settling a membership of ten years beside one of a year, and one with very many credits."""

import gc
from datetime import UTC, date, datetime, timedelta
from statistics import median
from time import perf_counter
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text

from benchmarks.samples import Sample
from benchmarks.stage import Stage
from issuance.billing import events
from issuance.catalog import coupons, membership_types, rules
from issuance.catalog.coupons import CouponBody
from issuance.catalog.membership_types import NewMembershipType
from issuance.catalog.rule_versions import NewCreditRule
from issuance.database import engine_for, transaction
from issuance.deciding.frequency import IssuingFrequency
from issuance.engine import arrivals
from issuance.tenancy import brands

#: Each membership has so many guests and rules, a credit a month each.
GUESTS, RULES = 5, 5
#: The credits of the membership that has very many.
VERY_MANY = 300_000
_NOW = date(2031, 1, 1)
#: Its other credits: issued by hand, beside those that it has.
_MANY = text("""
    INSERT INTO credits (brand_id, credit_id, code, membership_id, guest_id, credit_rule_id, rule_version, period_start,
                         period_end, reissue, coupon_id, coupon_name, roll_over, multi_use, valid_from, expires_at,
                         validity_ends_at, issued_at, manual, expired_at)
    SELECT brand_id, gen_random_uuid(), upper(substr(replace(CAST(gen_random_uuid() AS text), '-', ''), 17)),
           membership_id, guest_id, credit_rule_id, rule_version, period_start, period_end, number, coupon_id,
           coupon_name, roll_over, multi_use, valid_from, expires_at, validity_ends_at, issued_at, true, expired_at
      FROM credits, generate_series(1, :times) AS number
     WHERE membership_id = :id AND expired_at IS NOT NULL
""")


class LongLives:
    """One settling after the other of memberships that are like no other: as a month begins, with the charge that pays
    for it, and when that has succeeded."""

    name = "long_lives"
    title = f"settling a life of ten years, {GUESTS} guests and {RULES} rules"

    def __init__(self, stage: Stage, years: int, months: int, very_many: int) -> None:
        self._stage = stage
        self._years, self._months, self._very_many = years, months, very_many

    def prepare(self) -> None:
        """They live month by month, as each would have."""
        self._engine = engine_for(self._stage.database(self.name))
        with transaction(self._engine) as connection:
            self._brand_id, _ = brands.create(connection, name="Long", timezone="UTC", sandbox=True)
        first = date(_NOW.year - self._years, 1, 1)
        self._move_clock(first)
        with transaction(self._engine, self._brand_id) as connection:
            body = {"name": "Tea", "validity": "P60D", "discount": {"type": "percent", "value": 100}}
            coupons.put(connection, self._brand_id, "tea", CouponBody.model_validate(body))
            made = membership_types.create(
                connection, self._brand_id, NewMembershipType(name="Gold", billing="external")
            )
            self._type_id = made["id"]
            for number in range(RULES):
                rule = NewCreditRule(
                    membership_type_id=self._type_id,
                    coupon_id="tea",
                    coupon_name=f"Tea {number}",
                    issuing_frequency=IssuingFrequency.MONTH,
                    issue_on_signup=True,
                    roll_over=True,
                )
                rules.create(connection, self._brand_id, rule)
        self._month = first
        self._old, self._rich, self._young = uuid4(), uuid4(), uuid4()
        alive = [self._old]
        self._sign_up(self._old)
        while self._month < _NOW:
            if self._month == date(_NOW.year - 1, 1, 1):
                alive += [self._young, self._rich]
                self._sign_up(self._young)
                self._sign_up(self._rich)
            self._live(alive)
        with transaction(self._engine, self._brand_id) as connection:
            has = "SELECT count(*) FROM credits WHERE membership_id = :id AND expired_at IS NOT NULL"
            expired = connection.execute(text(has), {"id": self._rich}).scalar_one()
            connection.execute(_MANY, {"times": self._very_many // expired, "id": self._rich})

    def measure(self) -> Sample:
        self._stage.settle_down(self.name)
        took: dict[str, list[float]] = {}
        for _ in range(self._months):
            for kind, seconds in self._live([self._old, self._young, self._rich]):
                took.setdefault(kind, []).append(seconds)
        # It is owed nothing more: after the first months time changes nothing of it.
        took["very_many_clock"] = took["very_many_clock"][:1]
        of = {kind: median(seconds) for kind, seconds in took.items()}
        figures = {f"{kind}_ms": seconds * 1000 for kind, seconds in of.items()}
        for kind in ("clock", "charge", "success"):
            figures[f"{kind}_against_a_year"] = of[f"ten_years_{kind}"] / of[f"a_year_{kind}"]
        old = [seconds for kind, all_ in took.items() if kind.startswith("ten_years") for seconds in all_]
        return Sample(len(old), sum(old), figures)

    def _live(self, ids: list[UUID]) -> list[tuple[str, float]]:
        """A month more; the seconds that each settling took."""
        self._month = (self._month + timedelta(days=31)).replace(day=1)
        took: list[tuple[str, float]] = []
        gc.collect()
        self._move_clock(self._month)
        for one in ids:
            took += self._settle(one, "clock")
        paying = [one for one in ids if one != self._rich or not self._is_full]
        for kind, name in (("initiated", "charge"), ("succeeded", "success")):
            self._move_clock(self._month, hours=6 if kind == "initiated" else 60)
            for one in paying:
                self._tell(
                    one,
                    f"charge.{kind}",
                    charge_id=f"{one} {self._month}",
                    period_start=self._month.isoformat(),
                    period_end=(self._month + timedelta(days=31)).replace(day=1).isoformat(),
                )
                took += self._settle(one, name)
        return took

    @property
    def _is_full(self) -> bool:
        """Whether those with very many credits have them: they are given no more."""
        return self._month > _NOW

    def _settle(self, one: UUID, kind: str) -> list[tuple[str, float]]:
        names = {self._old: "ten_years", self._rich: "very_many", self._young: "a_year"}
        began = perf_counter()
        arrivals.settle_soon(self._engine, self._brand_id, [one])
        return [(f"{names[one]}_{kind}", perf_counter() - began)]

    def _sign_up(self, one: UUID) -> None:
        guests = [{"name": f"Guest {number}", "lead_booker": number == 0} for number in range(GUESTS)]
        guests[0]["external_user_id"] = f"member of {one}"
        self._tell(
            one,
            "membership.signed_up",
            membership_type_id=str(self._type_id),
            external_user_id=f"member of {one}",
            starts_on=self._month.isoformat(),
            guests=guests,
        )
        self._settle(one, "sign_up")

    def _tell(self, one: UUID, kind: str, **data: Any) -> None:
        event = {
            "specversion": "1.0",
            "source": "benchmark",
            "id": str(uuid4()),
            "type": kind,
            "time": self._now.isoformat(),
            "data": {"membership_id": str(one), **data},
        }
        with transaction(self._engine, self._brand_id) as connection:
            taken = events.accept(connection, self._brand_id, [event])
        assert not taken.rejected, taken.rejected

    def _move_clock(self, day: date, hours: int = 0) -> None:
        self._now = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=hours)
        with transaction(self._engine, self._brand_id) as connection:
            connection.execute(text("UPDATE brands SET clock_now = :now, woke_at = :now"), {"now": self._now})
