"""The liability adds up to the credit, month by month, whatever becomes known when (INTERFACE 5)."""

import csv
import io
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from issuance.catalog import coupons
from issuance.catalog.coupons import CouponBody
from issuance.corrections import desk
from issuance.corrections.wanted import Extend, Grant, Reinstate, Revoke, Transfer
from issuance.credits import credits, liability, lists
from issuance.database.connections import transaction
from issuance.engine import sweeps, undos
from issuance.errors import IssuanceError
from issuance.members import moves, redemptions
from issuance.members.redemptions import Booking
from issuance.memberships import archiving
from issuance.tenancy import clock
from tests.database.clubs import Club, at
from tests.limits import Limit

#: West of Greenwich: a month begins hours later than UTC's.
ZONE = ZoneInfo("America/Los_Angeles")
STEPS = 80
OUT = ("live", "upcoming")


def month_of(instant: datetime) -> str:
    return instant.astimezone(ZONE).strftime("%Y-%m")


def settle(club: Club) -> None:
    """Sweep until nothing is due."""
    while True:
        with transaction(club.engine, club.brand_id) as connection:
            sweep = sweeps.plan(connection, club.brand_id, clock.read(connection, club.brand_id).now)
        if sweep is None:
            return
        club.work(sweep.run_id)


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
        settle(self.club)

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


@pytest.fixture
def clubs(new_club: Callable[..., Club]) -> Iterator[Callable[..., Club]]:
    """Makes clubs in ZONE whose coupon is worth 5 EUR and good for 45 days."""
    made: list[Club] = []

    def new(**says: Any) -> Club:
        club = new_club("external", **says)
        club.rows("UPDATE brands SET timezone = :zone WHERE brand_id = :brand_id", zone=ZONE.key)
        price(club, 5)
        made.append(club)
        return club

    yield new
    for club in made:
        club.engine.dispose()


def price(club: Club, value: int) -> None:
    """Let the coupon be worth so many EUR."""
    discount = {"type": "amount", "value": value, "currency": "EUR"}
    body = {"name": "Tea", "discount": discount, "validity": "P45D"}
    with transaction(club.engine, club.brand_id) as connection:
        coupons.put(connection, club.brand_id, "tea", CouponBody.model_validate(body))


def report(club: Club, *months: str) -> list[dict[str, Any]]:
    first, last = (liability.month_of(month) for month in months) if months else (None, None)
    with transaction(club.engine, club.brand_id) as connection:
        return liability.read(connection, club.brand_id, first, last)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("says", [{"roll_over": False}, {"multi_use": True, "max_uses": 2}], ids=["single", "multi"])
def test_it_adds_up_to_the_credit_and_what_was_read_stays(
    clubs: Callable[..., Club], seed: int, says: dict[str, Any]
) -> None:
    """Over a random history of late facts, corrections, canceled uses, transfers and undos: each month adds up and goes
    on from the one before, the figures are those of somebody who watched, and a month that is over never changes."""
    club = clubs(**says)
    history = History(club, random.Random(seed), at("2031-01-31T20:00"))
    club.move_clock("2031-01-31T20:00")
    auditor, worth, closed = Auditor(club), 5, {}
    for _ in range(5):
        club.sign_up(1)
    for step in range(STEPS):
        if step == STEPS // 2:
            worth = 7
            price(club, worth)
        if history.chance.random() < 0.3:
            before = month_of(history.now)
            history.pass_time()
            auditor.look(history.now, worth)
            if month_of(history.now) != before:
                closed = _by_month(report(club))
                closed.pop(month_of(history.now), None)
        else:
            history.happen()
            auditor.look(history.now, worth)
        if step % 5 == 0:
            now = _by_month(report(club))
            assert {month: now[month] for month in closed} == closed, "a month that is over has changed"
    rows = report(club)
    _check_sums(rows)
    months = sorted({row["month"] for row in rows})
    for first, until in ((1, 3), (2, 2), (0, len(months) - 1)):
        some = [row for row in rows if months[first] <= row["month"] <= months[until]]
        assert report(club, months[first], months[until]) == some, "of fewer months it says the same"
    shown: Counter[tuple[Any, ...]] = Counter()
    valued: Counter[tuple[Any, ...]] = Counter()
    for row in rows:
        for kind in ("issued", "redeemed", "expired", "revoked", "restored"):
            key = (row["month"], row["credit_rule_id"], row["coupon_id"], kind)
            shown[key] += row[kind]
            valued[key] += row["value"][kind]
    assert +shown == +auditor.number
    assert +valued == +auditor.value
    last = [row for row in rows if row["month"] == month_of(history.now)]
    assert sum(row["closing"] for row in last) == sum(one["status"] in OUT for one in auditor.seen.values())
    kinds = {key[-1] for key in shown if shown[key]}
    assert kinds >= {"issued", "redeemed", "expired", "revoked", "restored"}, "the history was too quiet"


def _by_month(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    by_month: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_month.setdefault(row["month"], []).append(row)
    return by_month


def _check_sums(rows: list[dict[str, Any]]) -> None:
    """Each row adds up, and goes on from the one before it."""
    closing: dict[Any, Any] = {}
    for row in rows:
        of = (row["credit_rule_id"], row["coupon_id"], row["currency"])
        for sums in (row, row["value"]):
            ended = sums["redeemed"] + sums["expired"] + sums["revoked"]
            assert sums["opening"] + sums["issued"] + sums["restored"] - ended == sums["closing"]
        assert (row["opening"], row["value"]["opening"]) == closing.get(of, (0, 0))
        assert min(row[name] for name in liability.AMOUNTS) >= 0
        closing[of] = (row["closing"], row["value"]["closing"])


def test_a_late_fact_shows_when_it_became_known(clubs: Callable[..., Club]) -> None:
    """A charge of February fails, which is told in April: February stays, April has revoked one; and a use of March
    that is canceled in April is restored there, and expired if it is late for that."""
    club = clubs(issue_on_signup=False, roll_over=True)
    club.move_clock("2031-02-28T20:00")
    first, second = club.sign_up(2)
    for one in (first, second):
        data = {"membership_id": str(one), "charge_id": str(one), "period_start": "2031-02-28"}
        club.settle(club.tell("charge.initiated", "2031-02-28T10:00", data))
    club.move_clock("2031-03-05T20:00")
    (code,) = {code for code, id_ in club.rows("SELECT code, membership_id FROM credits") if id_ == second}
    with transaction(club.engine, club.brand_id) as connection:
        used = redemptions.redeem_credit(connection, club.brand_id, code, Booking())["redemption"]["id"]
    club.move_clock("2031-04-10T20:00")
    before = report(club, "2031-02", "2031-03")
    failed = {"membership_id": str(first), "charge_id": str(first), "period_start": "2031-02-28"}
    club.settle(club.tell("charge.failed", "2031-03-01T10:00", failed))
    assert report(club, "2031-02", "2031-03") == before
    (april,) = report(club, "2031-04", "2031-04")
    assert {name: april[name] for name in liability.AMOUNTS} == {
        **dict.fromkeys(liability.AMOUNTS, 0),
        "opening": 1,
        "revoked": 1,
    }
    club.move_clock("2031-05-02T20:00")  # the coupon's validity is over since 14 April
    with transaction(club.engine, club.brand_id) as connection:
        moves.move(connection, club.brand_id, used, "CANCELED")
    assert report(club, "2031-02", "2031-04") == [*before, april]
    (may,) = report(club, "2031-05", "2031-05")
    assert (may["opening"], may["restored"], may["expired"], may["closing"]) == (0, 1, 1, 0)
    assert may["value"]["restored"] == 5


def test_what_is_issued_and_expires_costs_no_row(clubs: Callable[..., Club]) -> None:
    """Only what is taken back, restored or moved is journaled; a use and a revocation stand in the credit itself."""
    club = clubs(roll_over=False)
    club.move_clock("2031-01-31T20:00")
    club.sign_up(3)
    one, other, _ = (code for (code,) in club.rows("SELECT code FROM credits"))
    with transaction(club.engine, club.brand_id) as connection:
        redemptions.redeem_credit(connection, club.brand_id, one, Booking())
        desk.correct(connection, club.brand_id, Revoke(other, "a mistake"))
    club.move_clock("2031-03-20T20:00")
    (february,) = report(club, "2031-02", "2031-02")
    assert february["expired"] == 1, "swept or not"
    settle(club)
    assert report(club, "2031-02", "2031-02") == [february]
    assert club.value("SELECT count(*) FROM credit_movements") == 0


def test_an_amount_that_names_no_currency_has_no_value(clubs: Callable[..., Club]) -> None:
    """It is counted: what it is worth nobody said."""
    club = clubs()
    club.sign_up(1)
    with transaction(club.engine, club.brand_id) as connection:
        coupons.put(
            connection,
            club.brand_id,
            "tea",
            CouponBody.model_validate({"name": "Tea", "discount": {"type": "amount", "value": 50}, "validity": "P45D"}),
        )
    club.sign_up(2)
    rows = [(row["currency"], row["issued"], row["value"] and row["value"]["issued"]) for row in report(club)]
    assert sorted(rows, key=str) == [("EUR", 1, 5), (None, 2, None)]


def test_a_file_has_the_same_figures(clubs: Callable[..., Club]) -> None:
    """CSV: a line a row, with the values beside the numbers."""
    club = clubs()
    club.sign_up(2)
    rows = report(club)
    (line,) = csv.DictReader(io.StringIO(liability.as_csv(rows)))
    assert tuple(line) == liability.COLUMNS
    assert (line["month"], line["issued"], line["closing_value"], line["currency"]) == ("2031-01", "2", "10", "EUR")
    (line,) = csv.DictReader(io.StringIO(liability.as_csv([{**rows[0], "coupon_id": "=1+1"}])))
    assert line["coupon_id"] == "'=1+1", "no spreadsheet computes it"


def test_a_report_is_bounded(clubs: Callable[..., Club], limit: Limit) -> None:
    """In rows, over HTTP and on the console; fewer months are told."""
    club = clubs()
    club.sign_up(1)
    club.move_clock("2031-04-20T20:00")
    limit("reports", liability_rows=2)
    with transaction(club.engine, club.brand_id) as connection:
        assert len(liability.read(connection, club.brand_id)) > 2
        with pytest.raises(liability.TooMuchOwed):
            liability.read(connection, club.brand_id, bounded=True)
        assert liability.read(connection, club.brand_id, at("2031-02-01").date(), bounded=True)


def test_a_bounded_report_reads_so_many_sums(clubs: Callable[..., Club], limit: Limit) -> None:
    """What happened before its months is one sum, and what happened after them is none."""
    club = clubs(roll_over=False)
    for month in ("2031-02", "2031-03", "2031-04", "2031-05", "2031-06"):
        club.sign_ups = f"{month}-10T10:00"
        club.move_clock(f"{month}-12T20:00")
        settle(club)
        club.sign_up(1, f"{month}-10")
    limit("reports", liability_sums=4)
    months = {name: at(f"2031-{name}-01").date() for name in ("02", "04", "06")}
    with transaction(club.engine, club.brand_id) as connection:
        with pytest.raises(liability.TooMuchOwed):
            liability.read(connection, club.brand_id, months["02"], months["06"], bounded=True)
        (april,) = liability.read(connection, club.brand_id, months["04"], months["04"], bounded=True)
    assert (april["opening"], april["issued"], april["expired"], april["closing"]) == (1, 1, 1, 1)


def test_what_came_and_went_long_ago_takes_no_time() -> None:
    """Nothing is added up for the months between."""
    one, begin = {"issued": liability._Sum(1), "expired": liability._Sum(1)}, at("2031-01-01").date()
    of, late = liability._Of(None, "tea", None), at("2199-12-01").date()
    rows = list(liability._rows(of, {begin: one, late: one}, late))
    assert [row["month"] for row in rows] == ["2031-01", "2199-12"]
