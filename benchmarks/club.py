"""A sandbox brand with an automatic membership type, its rules and many memberships.

One membership of each life (when it joined) goes through the product's own intake and settling; the others are copies
of its rows (`copies`), so that a million of them are there in minutes, as the product would have left them.
"""

import time
from collections.abc import Collection, Sequence
from copy import copy
from datetime import UTC, date, datetime
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
from psycopg import Connection as Driver
from sqlalchemy import Connection, Engine, text

from benchmarks import stage
from benchmarks.copies import copy_membership
from benchmarks.site import Site
from issuance.billing import events
from issuance.catalog import coupons, membership_types, rules
from issuance.catalog.coupons import CouponBody
from issuance.catalog.membership_types import NewMembershipType
from issuance.catalog.rules import NewCreditRule
from issuance.database.connections import transaction
from issuance.deciding.frequency import IssuingFrequency
from issuance.engine import arrivals
from issuance.tenancy import brands

#: Where the clock stands in the end: everybody has had the credits of this month.
OPENED = datetime(2031, 1, 1, 10, tzinfo=UTC)
#: The rules are new then, and in force from the next cycle on for those who had joined before.
_PROMISED = datetime(2030, 12, 15, tzinfo=UTC)
#: Members joined on the first of each of so many months: so many lives differ, and all are billed on the first.
LIVES = 12
#: Seconds between two looks whether a clock move that took longer than one answer is done.
_PAUSE = 0.05


class Club:
    """A brand on a database. `members` of it have joined, and hold the first month's credits."""

    def __init__(
        self, url: str, members: int, *, rules: int = 1, roll_over: bool = False, leave_out: Collection[str] = ()
    ) -> None:
        self.url = url
        self.members = members
        self.rules = rules
        self.month = 0
        with transaction(self.engine) as connection:
            self.brand_id, self.key = brands.create(connection, name="Club", timezone="UTC", sandbox=True)
        with transaction(self.engine, self.brand_id) as connection:
            self._set_clock(connection, _PROMISED)
            self.type_id, self.rule_ids = _promise(connection, self.brand_id, rules, roll_over)
            self._set_clock(connection, OPENED)
        for life in range(min(LIVES, members)):
            self._join(life, len(range(life, members, LIVES)), leave_out)

    @property
    def engine(self) -> Engine:
        return stage.engine(self.url)

    def sign_up(self, membership_id: UUID, at: datetime) -> dict[str, Any]:
        """The event of one more membership, which starts on the day."""
        return {
            "specversion": "1.0",
            "source": "benchmark",
            "id": str(uuid4()),
            "type": "membership.signed_up",
            "time": at.isoformat(),
            "data": {
                "membership_id": str(membership_id),
                "membership_type_id": str(self.type_id),
                "external_user_id": f"member of {membership_id}",
                "starts_on": at.date().isoformat(),
            },
        }

    def next_month(self, months: int = 1) -> datetime:
        """The first of the month, so many months on; the club goes on from there."""
        self.month += months
        return datetime.combine(first_of_month(self.month), datetime.min.time(), UTC)

    def move_clock(self, site: Site, now: datetime, *, jump: bool = False) -> float:
        """Moves the clock over HTTP; the seconds until everything due by then was settled."""
        with site.client(self.key) as http:
            body = {"now": now.isoformat(), "jump": jump}
            began = time.monotonic()
            # One answer waits five minutes at most; asking again for the same instant waits on.
            while (answer := http.put("/sandbox/clock", json=body)).status_code == httpx.codes.SERVICE_UNAVAILABLE:
                body["jump"] = False
                time.sleep(_PAUSE)
            seconds = time.monotonic() - began
        answer.raise_for_status()
        return seconds

    def value(self, statement: str, **parameters: object) -> Any:
        with transaction(self.engine, self.brand_id) as connection:
            return connection.scalar(text(statement), {"brand_id": self.brand_id, **parameters})

    def credits(self, period_start: date) -> int:
        """How many credits there are for the period that starts then."""
        counted = "SELECT count(*) FROM credits WHERE brand_id = :brand_id AND period_start = :start"
        return int(self.value(counted, start=period_start))

    def _set_clock(self, connection: Connection, now: datetime) -> None:
        connection.execute(
            text("UPDATE brands SET clock_now = :now WHERE brand_id = :brand_id"),
            {"now": now, "brand_id": self.brand_id},
        )

    def _join(self, life: int, size: int, leave_out: Collection[str]) -> None:
        """`size` members who joined so many months before the others; rows of tables to leave out are not copied."""
        membership_id = uuid4()
        joined = datetime.combine(first_of_month(-life), OPENED.timetz())
        with transaction(self.engine, self.brand_id) as connection:
            intake = events.accept(connection, self.brand_id, [self.sign_up(membership_id, joined)])
        assert intake.accepted == 1, intake.rejected
        arrivals.settle_soon(self.engine, self.brand_id, intake.membership_ids)
        issued = "SELECT count(*) FROM credits WHERE membership_id = :id AND period_start = :start"
        assert self.value(issued, id=membership_id, start=OPENED.date()) == self.rules, "everybody has this month's"
        if size > 1:
            with transaction(self.engine, self.brand_id) as connection:
                driver = cast("Driver[Any]", connection.connection.driver_connection)
                copy_membership(driver, membership_id, size - 1, leave_out)


#: The first club of each kind on a stage, by what was asked for.
_FIRST: dict[tuple[object, ...], Club] = {}


def club_on(where: stage.Stage, name: str, members: int, *, rules: int = 1) -> Club:
    """A club on a database of its own. A second one like it, before the first is measured, is a copy of its files."""
    kind = (where, members, rules)
    if kind not in _FIRST:
        _FIRST[kind] = Club(where.database(name), members, rules=rules)
        return _FIRST[kind]
    club = copy(_FIRST[kind])
    club.url = where.copy(name, club.url)
    return club


def first_of_month(month: int) -> date:
    """The first day of the month that is so many months after the first one."""
    years, months = divmod(OPENED.month - 1 + month, 12)
    return date(OPENED.year + years, months + 1, 1)


def _promise(connection: Connection, brand_id: UUID, count: int, roll_over: bool) -> tuple[UUID, Sequence[UUID]]:
    """A membership type and `count` monthly rules on it."""
    coupons.put(
        connection,
        brand_id,
        "tea",
        CouponBody.model_validate({"name": "Tea", "discount": {"type": "percent", "value": 100}}),
    )
    kind = membership_types.create(connection, brand_id, NewMembershipType(name="Gold", billing="automatic"))
    made = [
        rules.create(
            connection,
            brand_id,
            NewCreditRule(
                membership_type_id=kind["id"],
                coupon_id="tea",
                coupon_name=f"Tea {number}",
                issuing_frequency=IssuingFrequency.MONTH,
                issue_on_signup=True,
                include_upcoming=True,
                roll_over=roll_over,
            ),
        )
        for number in range(count)
    ]
    return kind["id"], [rule["id"] for rule in made]
