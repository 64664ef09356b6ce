"""Charges and calendars as billers really tell of them (SEMANTICS 2, 3, 6 and 7): real histories, each with the
credits that it should end in, whether time passes in between or the clock jumps."""

from typing import Any

import pytest

from tests.database.billers import Biller
from tests.database.clubs import at

MONTHS = [f"2031-{month:02}-01" for month in range(1, 13)]


def a_member(biller: Biller, starts_on: str = "2031-01-01", **data: Any) -> None:
    biller.rule()
    biller.sign_up(starts_on, **data)


def test_a_date_moved_to_today_and_paid_today_gives_todays_credit(biller: Biller) -> None:
    """The old period ends where the new one begins."""
    biller.rule(roll_over=False)
    biller.sign_up("2031-01-01")
    biller.paid("2031-02-01", "2031-03-01")
    biller.to("2031-03-15T10:00")
    biller.moved("2031-03-15")
    biller.to("2031-03-15T10:05")
    biller.charge("succeeded", "2031-03-15", "2031-04-15")
    assert biller.live() == ["2031-03-15"]
    assert biller.ends("2031-03-01") == at("2031-03-15T10:00")
    assert biller.ends("2031-03-15") == at("2031-04-15")
    biller.to("2031-04-14")
    assert biller.live() == ["2031-03-15"]


def test_a_turn_that_a_moved_date_puts_into_a_paid_month_needs_a_charge_of_its_own(biller: Biller) -> None:
    """One month's money buys one credit."""
    a_member(biller)
    biller.to("2031-02-01")
    biller.charge("succeeded", "2031-02-01", "2031-03-01")
    biller.to("2031-02-10")
    biller.moved("2031-02-15")
    biller.to("2031-02-20")
    assert biller.live() == ["2031-02-01"]
    biller.charge("succeeded", "2031-02-15", "2031-03-15")
    assert biller.live() == ["2031-02-01", "2031-02-15"]


def test_a_p0d_credit_that_goes_over_to_another_month_is_good_for_as_long_from_there(biller: Biller) -> None:
    """Of an import the coupon's validity counts from the month that it rides on, and both say so."""
    biller.rule(issuing_frequency="P0D", issue_on_signup=False, validity="P90D")
    biller.to("2031-03-10")
    biller.sign_up("2031-01-01")
    biller.charge("succeeded", "2031-02-01")
    other = biller.event("charge.succeeded", charge_id="other", period_start="2031-03-01")
    biller.send(biller.event("charge.refunded", charge_id="charge 2031-02-01", period_start="2031-02-01"), other)
    ends = biller.club.rows("SELECT expires_at, validity_ends_at FROM credits")
    assert ends == [(at("2031-05-30"), at("2031-05-30"))]


def test_whose_first_charge_failed_has_the_gift_with_the_next_month(biller: Biller) -> None:
    """It is the same credit, valid from when it goes over, and as long as one of that month."""
    biller.rule(issuing_frequency="P0D", issue_on_signup=False, roll_over=False)
    biller.sign_up("2030-12-15", billing_anchor="2031-01-01")
    biller.charge("initiated", "2031-01-01")
    biller.to("2031-01-04")
    biller.charge("failed", "2031-01-01")
    biller.to("2031-01-20")
    biller.charge("skipped", "2031-01-01")
    biller.to("2031-02-01T10:00")
    biller.charge("succeeded", "2031-02-01")
    (gift,) = biller.book()
    assert (gift.status, gift.valid_from, gift.expires_at) == ("live", at("2031-02-01T10:00"), at("2031-03-01"))


def test_a_yearly_rule_keeps_its_rhythm_when_the_date_moves(biller: Biller) -> None:
    """Its next turn is the first new boundary on or after the end of its running year, then on in years."""
    biller.rule(issuing_frequency="P1Y", issue_on_signup=True)
    biller.sign_up("2031-01-10")
    biller.to("2031-03-12")
    biller.moved("2031-03-31")
    biller.to("2031-03-31")
    for month in range(3, 28):
        year, number = 2031 + (month - 1) // 12, (month - 1) % 12 + 1
        day = f"{year}-{number:02}-{min(31, 28 if number == 2 else 30 if number in (4, 6, 9, 11) else 31)}"
        biller.charge("succeeded", "2032-02-29" if day == "2032-02-28" else day)
    biller.to("2033-03-01")
    assert biller.live() == ["2031-01-10", "2032-01-31", "2033-01-31"]


def test_resumed_at_nine_and_charged_at_half_past_ten_gives_the_days_credit(biller: Biller) -> None:
    """Who pays within the period, when the status allows it, gets; a pause nobody paid after is not made up for."""
    a_member(biller)
    biller.to("2031-01-20")
    biller.status("paused")
    biller.to("2031-02-01T09:00")
    biller.status("active")
    assert biller.live() == []
    biller.to("2031-02-01T10:30")
    biller.charge("initiated", "2031-02-01")
    biller.charge("succeeded", "2031-02-01")
    assert biller.live() == ["2031-02-01"]
    assert biller.book()[0].valid_from == at("2031-02-01T10:30")


@pytest.mark.parametrize("course", ["succeeded", "initiated, succeeded"])
def test_a_failed_charge_is_settled_by_another_for_the_same_period(biller: Biller, course: str) -> None:
    """Billers try again under new ids: February's credit and March's."""
    a_member(biller)
    biller.to("2031-02-01T08:00")
    biller.charge("initiated", "2031-02-01", charge_id="A")
    biller.to("2031-02-03")
    biller.charge("failed", "2031-02-01", charge_id="A")
    assert biller.live() == []
    biller.to("2031-02-05")
    for number, state in enumerate(course.split(", ")):
        biller.charge(state, "2031-02-01", charge_id="B", time=f"2031-02-05T00:00:0{number}")
        biller.to("2031-02-06")
    biller.to("2031-03-01")
    biller.charge("initiated", "2031-03-01")
    assert biller.live() == ["2031-02-01", "2031-03-01"]


@pytest.mark.parametrize("course", [["failed", "skipped"], ["succeeded", "disputed", "refunded"]])
def test_a_charge_that_is_voided_or_lost_holds_nothing_of_the_next_month(biller: Biller, course: list[str]) -> None:
    a_member(biller)
    for number, state in enumerate(course, 1):
        biller.to(f"2031-02-0{number}T08:00")
        biller.charge(state, "2031-02-01")
    biller.to("2031-03-01")
    biller.charge("initiated", "2031-03-01")
    assert biller.live() == ["2031-03-01"]


@pytest.mark.parametrize("end", [None, "2031-03-01"])
@pytest.mark.parametrize("first", ["A", "B"])
def test_an_attempt_or_invoice_that_fails_in_a_paid_period_is_no_trouble(
    biller: Biller, first: str, end: str | None
) -> None:
    """Another charge has paid for the period: an older attempt, or one for seats or usage, takes nothing."""
    a_member(biller)
    biller.to("2031-02-01T08:00")
    for charge in sorted("AB", reverse=first == "B"):
        biller.charge("initiated", "2031-02-01", end, charge_id=charge)
    biller.to("2031-02-02")
    biller.charge("succeeded", "2031-02-01", end, charge_id="A")
    biller.to("2031-02-03")
    biller.charge("failed", "2031-02-01", end, charge_id="B")
    assert biller.live() == ["2031-02-01"]
    biller.to("2031-03-01")
    biller.charge("initiated", "2031-03-01")
    assert biller.live() == ["2031-02-01", "2031-03-01"]


def test_refunded_in_full_then_disputed_and_lost_is_over(biller: Biller) -> None:
    a_member(biller)
    for day, state in enumerate(["succeeded", "refunded", "disputed", "refunded"], 1):
        biller.to(f"2031-02-0{day}T08:00")
        biller.charge(state, "2031-02-01")
    assert biller.held() == ["2031-02-01 revoked"]
    biller.to("2031-03-01")
    biller.charge("initiated", "2031-03-01")
    assert biller.live() == ["2031-03-01"]


@pytest.mark.parametrize("ids", [("a", "b", "c", "d"), ("d", "c", "b", "a")])
def test_resumed_moved_and_charged_within_one_second(biller: Biller, ids: tuple[str, ...]) -> None:
    """What is no charge's comes first, then charges' in their order, whatever the ids are."""
    a_member(biller)
    biller.to("2031-01-20")
    biller.status("paused")
    biller.to("2031-02-10T09:00")
    biller.charge("succeeded", "2031-02-10", id=ids[0])
    biller.charge("initiated", "2031-02-10", id=ids[1])
    biller.moved("2031-02-10", id=ids[2])
    biller.status("active", id=ids[3])
    assert biller.live() == ["2031-02-10"]


def test_failed_and_succeeded_within_one_second_is_succeeded(biller: Biller) -> None:
    a_member(biller)
    biller.to("2031-02-01T08:00")
    biller.charge("succeeded", "2031-02-01", id="a")
    biller.charge("failed", "2031-02-01", id="z")
    assert biller.live() == ["2031-02-01"]
    biller.to("2031-03-01")
    biller.charge("initiated", "2031-03-01")
    assert biller.live() == ["2031-02-01", "2031-03-01"]


def test_a_year_paid_with_an_inclusive_end_is_twelve_months(biller: Biller) -> None:
    biller.rule(issuing_frequency="P1M", issue_on_signup=True)
    biller.sign_up("2031-01-01", billing_frequency="P1Y")
    biller.charge("succeeded", "2031-01-01", "2031-12-31")
    biller.to("2032-01-02")
    assert biller.live() == MONTHS


def test_bills_of_the_3rd_for_the_1st_cost_nobody_a_credit(biller: Biller) -> None:
    a_member(biller, "2031-03-01")
    periods = [("04-01", "05-01"), ("05-03", "06-01"), ("06-01", "07-01"), ("07-01", "08-01"), ("08-02", "09-01")]
    for start, end in periods:
        biller.to(f"2031-{start}T08:00")
        biller.charge("succeeded", f"2031-{start}", f"2031-{end}")
    assert biller.live() == ["2031-04-01", "2031-05-01", "2031-06-01", "2031-07-01", "2031-08-01"]


def test_an_import_gives_what_would_be_live_had_it_been_issued_in_time(biller: Biller) -> None:
    """18 paid months, a coupon of 30 days that rolls over, told on 10 June: June's, which ends on 1 July."""
    biller.rule(validity="P30D", effective_from="2025-01-01")
    biller.to("2031-06-10")
    starts = [f"2030-{month:02}-01" for month in range(1, 13)] + MONTHS[:6]
    biller.sign_up("2029-12-01")
    for start in starts:
        biller.charge("succeeded", start, time=f"{start}T08:00")
    assert biller.held() == ["2031-06-01 live"]
    assert biller.ends("2031-06-01") == at("2031-07-01")


def test_februarys_debit_that_fails_in_march_and_is_collected_in_april_holds_nothing(biller: Biller) -> None:
    a_member(biller)
    biller.paid("2031-02-01", "2031-03-01")
    biller.to("2031-03-10")
    biller.charge("failed", "2031-02-01")
    assert biller.live() == ["2031-03-01"]
    biller.to("2031-04-01T08:00")
    biller.charge("initiated", "2031-04-01")
    biller.to("2031-04-03")
    biller.charge("succeeded", "2031-02-01", charge_id="again")
    assert biller.live() == ["2031-02-01", "2031-03-01", "2031-04-01"]


@pytest.mark.parametrize("said", [{"amount": 90}, {}])
def test_a_refund_of_nothing_takes_nothing(biller: Biller, said: dict[str, Any]) -> None:
    a_member(biller)
    biller.to("2031-02-01T08:00")
    biller.charge("succeeded", "2031-02-01", **said)
    biller.charge("refunded", "2031-02-01", amount_refunded=0)
    assert biller.live() == ["2031-02-01"]
    biller.charge("refunded", "2031-02-01", amount_refunded=90)
    assert biller.live() == []


@pytest.mark.parametrize(
    ("frequency", "starts"),
    [
        ("P1W", ["2031-01-15", "2031-01-22", "2031-01-29"]),
        ("P2M", ["2031-03-08", "2031-05-08"]),
        ("P2Y", ["2033-01-08", "2035-01-08"]),
        ("P52W", ["2032-01-07", "2033-01-05"]),
    ],
)
def test_weekly_and_two_monthly_and_two_yearly_prices_are_billed_by_them(
    biller: Biller, frequency: str, starts: list[str]
) -> None:
    a_member(biller, "2031-01-08", billing_frequency=frequency)
    biller.paid(*starts)
    assert biller.live() == starts


def test_monthly_to_yearly_is_one_membership(biller: Biller) -> None:
    """A moved billing date carries the new frequency."""
    a_member(biller)
    biller.paid("2031-02-01")
    biller.to("2031-02-20")
    biller.moved("2031-03-01", billing_frequency="P1Y")
    biller.to("2031-03-01T08:00")
    biller.charge("succeeded", "2031-03-01", "2032-03-01")
    biller.to("2032-02-20")
    assert biller.live() == ["2031-02-01", "2031-03-01"]
    biller.paid("2032-03-01")
    assert biller.live() == ["2031-02-01", "2031-03-01", "2032-03-01"]


@pytest.mark.parametrize("state", ["failed", "disputed"])
def test_a_one_off_charge_off_every_boundary_makes_no_trouble(biller: Biller, state: str) -> None:
    """It is accepted with a warning, and nothing more."""
    a_member(biller)
    biller.paid("2031-02-01")
    biller.to("2031-02-10")
    intake = biller.charge(state, "2031-02-10", "2031-02-11")
    assert [warning.code for warning in intake.warnings] == ["covers_no_boundary"]
    assert biller.live() == ["2031-02-01"]
    biller.to("2031-03-01")
    biller.charge("initiated", "2031-03-01")
    assert biller.live() == ["2031-02-01", "2031-03-01"]


def test_old_trouble_of_an_import_that_is_settled_holds_nothing(biller: Biller) -> None:
    """Facts count by their own times, also those before the sign-up's."""
    biller.rule(issue_on_signup=True, effective_from="2025-01-01")
    biller.to("2031-06-10")
    biller.charge("failed", "2031-02-01", time="2031-02-01T08:00")
    biller.charge("succeeded", "2031-02-01", time="2031-02-09T08:00", charge_id="again")
    biller.charge("succeeded", "2031-03-01", time="2031-03-01T08:00")
    biller.charge("disputed", "2031-03-01", time="2031-03-09T08:00")
    biller.charge("refunded", "2031-03-01", time="2031-03-19T08:00")
    biller.charge("succeeded", "2031-04-01", time="2031-04-01T08:00")
    biller.sign_up("2031-01-01")
    assert biller.live() == ["2031-01-01", "2031-02-01", "2031-04-01"]


def test_trouble_of_an_import_that_still_stands_holds_all(biller: Biller) -> None:
    biller.rule(issue_on_signup=True, effective_from="2025-01-01")
    biller.to("2031-06-10")
    biller.charge("succeeded", "2031-02-01", time="2031-02-01T08:00")
    biller.charge("failed", "2031-03-01", time="2031-03-01T08:00")
    biller.sign_up("2031-01-01")
    assert biller.live() == []
    biller.to("2031-06-12")
    biller.charge("succeeded", "2031-03-01", time="2031-06-12")
    assert biller.live() == ["2031-01-01", "2031-02-01", "2031-03-01"]


def test_a_promise_older_than_the_software_is_kept_on_import_day(biller: Biller) -> None:
    """`effective_from` is the day from which the rule counts as created."""
    biller.to("2031-06-10")
    biller.rule("Old", effective_from="2030-01-01")
    biller.rule("New")
    biller.sign_up("2031-01-01", time="2030-12-30")
    for start in MONTHS[1:6]:
        biller.charge("succeeded", start, time=f"{start}T08:00")
    assert biller.live("Old") == MONTHS[1:6]
    assert biller.live("New") == []
