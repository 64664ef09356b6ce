"""A club whose credits live through random months, and an auditor who books what becomes of them."""

import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import text

from issuance.corrections import desk
from issuance.corrections.wanted import Extend, Grant, Reinstate, Revoke, Transfer
from issuance.credits import credits, lists
from issuance.database.connections import transaction
from issuance.engine import undos
from issuance.errors import IssuanceError
from issuance.members import moves, redemptions
from issuance.members.redemptions import Booking
from issuance.memberships import archiving
from tests.database.clubs import Club

#: West of Greenwich: a month begins hours later than UTC's.
ZONE = ZoneInfo("America/Los_Angeles")
OUT = ("live", "upcoming")


def month_of(instant: datetime) -> str:
    return instant.astimezone(ZONE).strftime("%Y-%m")


@dataclass
class Auditor:
    """Looks at the credits as the API shows them, again and again, and books by itself what became of them."""

    club: Club
    #: What was seen of each credit last.
    seen: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    looked_at: datetime | None = None
    worth: dict[UUID, int] = field(default_factory=dict)
    #: By month, rule, coupon and kind: how many, and what they are worth.
    number: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    value: Counter[tuple[Any, ...]] = field(default_factory=Counter)

    def look(self, now: datetime, worth: int) -> None:
        """Book what changed since the last look. `worth`: what the coupon is worth now."""
        with transaction(self.club.engine, self.club.brand_id) as connection:
            ids = list(connection.scalars(text("SELECT credit_id FROM credits")))
            found = credits.by_id(connection, self.club.brand_id, ids, now)
        for credit in found.values():
            before = self.seen.get(credit["id"])
            if before is None:
                self.worth[credit["id"]] = worth
                self.book(credit, "issued", credit["issued_at"])
                before = {**credit, "status": "live"}
            was, now_is = before["status"], credit["status"]
            if was in OUT and now_is not in OUT:
                self.book(credit, now_is, self._ended_at(before, credit, now))
            elif was not in OUT and now_is != was:
                self.book(credit, "restored", now)
                if now_is not in OUT:
                    self.book(credit, now_is, now)
            self.seen[credit["id"]] = credit
        self.looked_at = now

    def _ended_at(self, before: dict[str, Any], credit: dict[str, Any], now: datetime) -> datetime:
        """An expiry counts when it comes; one that was moved to before the last look, when it was moved."""
        if credit["status"] != "expired":
            return now
        expires_at: datetime = credit["expires_at"]
        was_moved = before["expires_at"] != expires_at
        return now if was_moved and self.looked_at is not None and expires_at <= self.looked_at else expires_at

    def book(self, credit: dict[str, Any], kind: str, when: datetime) -> None:
        key = (month_of(when), credit["credit_rule_id"], credit["coupon_id"], kind)
        self.number[key] += 1
        self.value[key] += self.worth[credit["id"]]


@dataclass
class History:
    """What happens to a club, at random."""

    club: Club
    chance: random.Random
    now: datetime
    used: list[UUID] = field(default_factory=list)

    def pass_time(self) -> None:
        """Some days, seldom some weeks, pass; what is due is settled, mostly on the way."""
        days = self.chance.choice([1, 2, 3, 5, 8, 13, 34])
        self.now += timedelta(days=days, hours=self.chance.randrange(24))
        self.club.move_clock(self.now.strftime("%Y-%m-%dT%H:%M"), jump=self.chance.random() < 0.3)
        self.settle()

    def settle(self) -> None:
        self.club.settle_due()

    def happen(self) -> None:
        """One thing, which may be refused."""
        what = self.chance.choice(
            [self.charge] * 6
            + [self.use] * 4
            + [
                self.cancel,
                self.cancel,
                self.extend,
                self.extend,
                self.revoke,
                self.reinstate,
                self.transfer,
                self.grant,
            ]
            + [self.move, self.by_hand, self.archive, self.undo, self.join]
        )
        with suppress(IssuanceError):  # refused, as it may be
            what()
        self.settle()

    def a_membership(self) -> UUID:
        return self.chance.choice(self.club.members)

    def a_code(self, *statuses: str) -> str:
        with transaction(self.club.engine, self.club.brand_id) as connection:
            found = [
                row["code"]
                for status in statuses
                for row in lists.page(connection, self.club.brand_id, 1, 100, status=status)[0]
            ]
        return self.chance.choice(sorted(found)) if found else "NONE"

    def charge(self) -> None:
        """A fact about a charge of the last four months: initiated, failed after all, paid after all, refunded."""
        membership_id, months_ago = self.a_membership(), self.chance.choice([0, 0, 0, 1, 1, 2, 3])
        starts = self.club.value("SELECT billing_anchor FROM memberships WHERE membership_id = :id", id=membership_id)
        month = (self.now.replace(day=1) - timedelta(days=30 * months_ago)).replace(day=min(starts.day, 28))
        if not starts < month.date() <= self.now.date():
            return
        state = self.chance.choice(["initiated", "initiated", "succeeded", "failed", "refunded", "disputed"])
        start = f"{month:%Y-%m-%d}"
        told = self.now - timedelta(hours=self.chance.randrange(1, 200))
        data = {"membership_id": str(membership_id), "charge_id": f"{membership_id} {start}", "period_start": start}
        self.club.settle(self.club.tell(f"charge.{state}", f"{told:%Y-%m-%dT%H:%M}", data))

    def use(self) -> None:
        with transaction(self.club.engine, self.club.brand_id) as connection:
            used = redemptions.redeem_credit(connection, self.club.brand_id, self.a_code("live"), Booking())
        self.used.append(used["redemption"]["id"])

    def cancel(self) -> None:
        if self.used:
            one = self.used.pop(self.chance.randrange(len(self.used)))
            with transaction(self.club.engine, self.club.brand_id) as connection:
                moves.move(connection, self.club.brand_id, one, "CANCELED")

    def correct(self, correction: Any) -> None:
        with transaction(self.club.engine, self.club.brand_id) as connection:
            desk.correct(connection, self.club.brand_id, correction)

    def extend(self) -> None:
        until = self.now + timedelta(days=self.chance.randrange(1, 60))
        self.correct(Extend(self.a_code("expired", "live"), until, "closed"))

    def revoke(self) -> None:
        self.correct(Revoke(self.a_code("live", "revoked"), "a mistake"))

    def reinstate(self) -> None:
        self.correct(Reinstate(self.a_code("revoked"), "no mistake"))

    def transfer(self) -> None:
        self.correct(Transfer(self.a_code("live"), "a gift", external_user_id=f"member {self.a_membership()}"))

    def grant(self) -> None:
        self.correct(Grant(self.a_membership(), "tea", "sorry"))

    def move(self) -> None:
        """The billing date moves, which became known a little late."""
        day = self.now + timedelta(days=self.chance.randrange(-3, 12))
        told = self.now - timedelta(days=self.chance.randrange(6))
        data = {"membership_id": str(self.a_membership()), "billing_anchor": f"{day:%Y-%m-%d}"}
        self.club.settle(self.club.tell("membership.billing_date_moved", f"{told:%Y-%m-%dT%H:%M}", data))

    def by_hand(self) -> None:
        self.club.issue()

    def archive(self) -> None:
        if self.chance.random() < 0.3:
            with transaction(self.club.engine, self.club.brand_id) as connection:
                who = f"member {self.a_membership()}"
                removed = archiving.archive(connection, self.club.brand_id, who, retain_balance=True)
            self.club.settle(removed.membership_ids)

    def undo(self) -> None:
        with transaction(self.club.engine, self.club.brand_id) as connection:
            since = self.now - timedelta(days=5)
            run_id = undos.start_of_version(connection, self.club.brand_id, self.club.rule_id, 1, since, "a mistake")
        self.club.work(run_id)

    def join(self) -> None:
        self.club.sign_up(1, starts_on=f"{self.now:%Y-%m-%d}")
