"""The liability adds up to the credit, month by month, whatever becomes known when (INTERFACE 5)."""

import csv
import io
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from issuance.catalog import coupons
from issuance.catalog.coupons import CouponBody
from issuance.corrections import desk
from issuance.corrections.wanted import Revoke
from issuance.credits import liability
from issuance.database.connections import transaction
from issuance.members import moves, redemptions
from issuance.members.redemptions import Booking
from tests.database.bookkeeping import OUT, ZONE, Auditor, History, month_of
from tests.database.clubs import Club, at
from tests.limits import Limit

STEPS = 80


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
    club.settle_due()
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
        club.settle_due()
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
