"""Dates that move, and what charges cover, as billers tell them (SEMANTICS 2, 7)."""

from datetime import date

import pytest

from issuance.deciding.calendar import add_months
from issuance.deciding.frequency import IssuingFrequency
from issuance.deciding.reasons import Reason
from issuance.deciding.statuses import Status
from issuance.engine.manual_issues import ManualIssue
from issuance.engine.tasks import Meant
from tests.unit.club import at, clock_at, rule, version
from tests.unit.told import FIRST, billed, given, life_from, pay, stands


def test_a_date_moved_to_today_and_paid_today_gives_todays_credit() -> None:
    life = life_from()
    pay(life, "2030-02-01")
    life.move(at("2030-02-10T09:00"), "2030-02-10")
    life.charge(at("2030-02-10T09:00:01"), "succeeded", "now", "2030-02-10", "2030-03-10")
    assert given(life, "2030-02-10T09:00:01") == ["2030-02-01", "2030-02-10"]
    assert [credit.period_end for credit in life.credits] == [date(2030, 2, 10), date(2030, 3, 10)]


def test_what_does_not_roll_over_ends_with_a_date_that_is_moved_to_today_not_before_it() -> None:
    """The period ends on that date, and the credit with the move, which is later than its midnight."""
    life = life_from(FIRST, rule(version(issue_on_signup=False, roll_over=False)))
    pay(life, "2030-02-01")
    assert given(life, "2030-02-09") == ["2030-02-01"]
    life.move(at("2030-02-10T09:00"), "2030-02-10")
    life.settle(at("2030-02-10T09:00"))
    assert [credit.expires_at for credit in life.credits] == [at("2030-02-10T09:00")]


def test_a_date_moved_into_a_paid_month_needs_a_charge_of_its_own() -> None:
    life = life_from()
    pay(life, "2030-02-01")
    life.move(at("2030-02-05"), "2030-02-15")
    assert given(life, "2030-02-20") == ["2030-02-01"]
    assert life.reasons(at("2030-02-20"))["2030-02-15"] is Reason.CHARGE_UNPAID
    life.charge(at("2030-02-21"), "succeeded", "own", "2030-02-15", "2030-03-15")
    assert given(life, "2030-02-21") == ["2030-02-01", "2030-02-15"]


@pytest.mark.parametrize("period_end", ["2030-03-01", None])
def test_a_charge_pays_for_as_many_turns_as_lay_in_it_when_it_was_first_told_of(period_end: str | None) -> None:
    """With or without the end told: the earliest turn first, and none for the date that was moved into it."""
    life = life_from()
    life.charge(at("2030-02-01"), "succeeded", "c", "2030-02-01", period_end)
    life.move(at("2030-02-05"), "2030-02-15")
    assert given(life, "2030-02-20") == ["2030-02-01"]


def test_a_charge_of_a_date_that_was_moved_ahead_pays_for_the_new_date() -> None:
    """At least one turn: what was paid for 1 March is given on 15 March."""
    life = life_from()
    life.charge(at("2030-02-20"), "succeeded", "c", "2030-03-01", "2030-04-01")
    life.move(at("2030-02-25"), "2030-03-15")
    assert given(life, "2030-03-20") == ["2030-03-15"]


def test_a_yearly_rule_on_monthly_billing_keeps_its_rhythm() -> None:
    """No second yearly gift for a moved date: the next is a year on, on the new day of the month."""
    yearly = rule(version(frequency=IssuingFrequency.YEAR))
    life = life_from(date(2030, 1, 15), yearly)
    life.move(at("2030-02-05"), "2030-02-20")
    pay(life, "2030-01-15", *(add_months(date(2030, 2, 20), n).isoformat() for n in range(14)))
    assert given(life, "2030-12-31") == ["2030-01-15"]
    assert given(life, "2031-02-01") == ["2030-01-15", "2031-01-20"]


def test_monthly_to_yearly_is_one_membership() -> None:
    """The move says how often is billed from then on, and one charge pays for the year."""
    monthly = rule(version(issue_on_signup=False, frequency=IssuingFrequency.MONTH), number=1)
    cycle = rule(billed(), number=2)
    life = life_from(FIRST, monthly, cycle)
    pay(life, "2030-02-01")
    life.move(at("2030-03-01T08:00"), "2030-03-01", "P1Y")
    life.charge(at("2030-03-01T08:00"), "succeeded", "year", "2030-03-01")
    assert given(life, "2030-04-15") == ["2030-02-01", "2030-02-01", "2030-03-01", "2030-03-01", "2030-04-01"]


@pytest.mark.parametrize(
    ("frequency", "second"),
    [("P1W", "2030-01-08"), ("P2M", "2030-03-01"), ("P2Y", "2032-01-01"), ("P4W", "2030-01-29")],
)
def test_memberships_are_billed_by_any_price(frequency: str, second: str) -> None:
    life = life_from(frequency=frequency)
    life.charge(at("2030-01-01"), "succeeded", "c0", "2030-01-01")
    life.charge(at(second), "succeeded", "c1", second)
    assert given(life, second) == [second]


def test_a_monthly_rule_under_a_two_yearly_charge_is_given_month_by_month() -> None:
    life = life_from(FIRST, rule(version(frequency=IssuingFrequency.MONTH)), frequency="P2Y")
    life.charge(at("2030-01-01"), "succeeded", "c0", "2030-01-01")
    assert len(given(life, "2031-12-31")) == 24


def test_bills_of_the_third_for_the_first_lose_nobody_a_credit() -> None:
    life = life_from(date(2030, 3, 1))
    for start, end in [
        ("04-01", "05-01"),
        ("05-03", "06-01"),
        ("06-01", "07-01"),
        ("07-01", "08-01"),
        ("08-02", "09-01"),
    ]:
        life.charge(at(f"2030-{start}"), "succeeded", start, f"2030-{start}", f"2030-{end}")
    assert given(life, "2030-08-31") == [f"2030-{month:02}-01" for month in range(4, 9)]


def test_a_bill_some_days_before_the_boundary_is_its() -> None:
    life = life_from()
    life.charge(at("2030-01-30"), "succeeded", "early", "2030-01-30")
    assert given(life, "2030-02-01") == ["2030-02-01"]


def test_a_bill_a_week_off_pays_for_the_next_boundary_at_most() -> None:
    """It counts as it stands: without an end it covers no boundary, pays for nothing, and makes no trouble."""
    life = life_from()
    life.charge(at("2030-02-08"), "failed", "off", "2030-02-08", "2030-02-20")
    history = life.history(at("2030-02-08"))
    assert history.pays_for_nothing(history.charges[0], life.rules)
    assert stands(life, "2030-02-08") is Status.UPCOMING


@pytest.mark.parametrize("frequency", ["P1M", "P1Y"])
def test_a_year_paid_with_an_inclusive_end_is_twelve_months(frequency: str) -> None:
    life = life_from(FIRST, rule(version(frequency=IssuingFrequency.MONTH)), frequency=frequency)
    life.charge(at("2030-01-01"), "succeeded", "year", "2030-01-01", "2030-12-31")
    assert len(given(life, "2031-01-31")) == 12


def test_weeks_are_taken_to_the_day() -> None:
    """Where a boundary is never far, a date three days off is not the boundary."""
    life = life_from(frequency="P1W")
    life.charge(at("2030-01-10"), "succeeded", "c", "2030-01-10", "2030-01-14")
    assert given(life, "2030-01-14") == []


def test_a_charge_whose_dates_come_to_one_boundary_covers_none() -> None:
    life = life_from()
    life.charge(at("2030-02-02"), "failed", "usage", "2030-02-02", "2030-02-04")
    assert stands(life, "2030-02-02") is Status.UPCOMING
    life.charge(at("2030-02-05"), "succeeded", "usage", "2030-02-02", "2030-02-04")
    assert given(life, "2030-02-05") == []


def test_a_charge_off_every_boundary_makes_no_trouble() -> None:
    """A one-off charge that fails: the next month is given as if it were not there."""
    life = life_from()
    pay(life, "2030-02-01")
    life.charge(at("2030-02-10"), "failed", "one-off", "2030-02-10", "2030-02-11")
    pay(life, "2030-03-01")
    assert stands(life, "2030-02-15") is Status.ACTIVE
    assert given(life, "2030-03-02") == ["2030-02-01", "2030-03-01"]


def test_instalments_beside_the_yearly_boundary_pay_for_months() -> None:
    """They cover no billing boundary, so they make no trouble; they cover turns of a monthly rule, so they pay, once
    the membership is billed at all."""
    life = life_from(FIRST, rule(version(frequency=IssuingFrequency.MONTH, issue_on_signup=False)), frequency="P1Y")
    pay(life, "2030-02-01")
    history = life.history(at("2030-02-02"))
    assert not history.pays_for_nothing(history.charges[0], life.rules)
    assert given(life, "2030-02-02") == []
    assert {one.reason for one in life.decisions(at("2030-02-02"))[1:]} == {Reason.NOT_BILLED_YET}
    pay(life, "2030-01-01")
    assert given(life, "2030-02-02") == ["2030-02-01"]


def test_what_was_given_by_hand_after_a_move_that_is_told_later_keeps_its_end() -> None:
    """What is out is not rewritten, though the period that it was given for ended before, by what is known now."""
    life = life_from(FIRST, rule(version(issue_on_signup=False, roll_over=False)))
    issue = ManualIssue(life.rules[0].credit_rule_id, include_upcoming=False)
    pay(life, "2030-01-01")
    life.settle(at("2030-01-11"))
    life.take(issue.decide(life.membership, Meant(), life.rules_at(at("2030-01-11")), clock_at(at("2030-01-11"))))
    (given_by_hand,) = life.credits
    life.move(at("2030-01-10T10:00"), "2030-01-10")
    life.settle(at("2030-01-12"))
    assert life.credits == [given_by_hand]
    life.settle(at("2030-02-01"))
    assert [credit.expired_at for credit in life.credits] == [at("2030-02-01")]
