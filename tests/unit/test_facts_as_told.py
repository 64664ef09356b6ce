"""Histories that billers really tell, each with the credits that must come of it (SEMANTICS 3, 4, 6, 7)."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest

from issuance.deciding.calendar import add_months
from issuance.deciding.facts import Credit, Rule, RuleVersion, Status
from issuance.deciding.frequency import IssuingFrequency
from issuance.deciding.reasons import Reason
from tests.unit.club import ADA, BEN, EVE, UTC_ZONE, Life, at, party, rule, version

FIRST = date(2030, 1, 1)


def billed() -> RuleVersion:
    """Monthly by billing, not on sign-up, so that each credit is one charge's."""
    return version(issue_on_signup=False)


def life_from(start: date = FIRST, *rules: Rule, frequency: str = "P1M") -> Life:
    return Life(rules=rules or [rule(billed())], starts_on=start, billing_frequency=frequency)


def pay(life: Life, *starts: str, frequency: int = 1) -> None:
    """Each of these periods is charged on its first day, and the charge succeeds the same noon."""
    for start in starts:
        day = date.fromisoformat(start)
        for hours, state in ((0, "initiated"), (12, "succeeded")):
            instant = datetime.combine(day, time(hours), UTC)
            life.charge(instant, state, f"c {start}", start, add_months(day, frequency).isoformat())


def given(life: Life, now: str) -> list[str]:
    """Settle, and name the period starts of the credits that are in force then."""
    life.settle(at(now))
    return sorted(credit.key.period_start.isoformat() for credit in held(life, now))


def held(life: Life, now: str) -> list[Credit]:
    return [credit for credit in life.credits if credit.is_held_at(at(now))]


def stands(life: Life, now: str) -> Status:
    return life.history(at(now)).status_at(at(now))


# -- The billing date moved


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


# -- What a charge covers


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
    """They cover no billing boundary, so they make no trouble; they cover turns of a monthly rule, so they pay."""
    life = life_from(FIRST, rule(version(frequency=IssuingFrequency.MONTH, issue_on_signup=False)), frequency="P1Y")
    pay(life, "2030-02-01")
    history = life.history(at("2030-02-02"))
    assert not history.pays_for_nothing(history.charges[0], life.rules)
    assert given(life, "2030-02-02") == ["2030-02-01"]


# -- Paid later, and trouble


def test_resumed_in_the_morning_and_charged_later_that_day_gives_the_credit_then() -> None:
    """The status at the start was paused, but who paid gets; within the period."""
    life = life_from()
    pay(life, "2030-02-01")
    life.status(at("2030-02-10"), "paused")
    life.status(at("2030-03-01T09:00"), "active")
    assert given(life, "2030-03-01T10:00") == ["2030-02-01"]
    life.charge(at("2030-03-01T10:30"), "initiated", "c", "2030-03-01")
    assert given(life, "2030-03-01T10:30") == ["2030-02-01", "2030-03-01"]


@pytest.mark.parametrize("charged_at", ["2030-03-20", "2030-04-02"], ids=["paused again", "when the period is over"])
def test_who_pays_while_paused_or_too_late_gets_nothing_for_a_period_that_began_paused(charged_at: str) -> None:
    life = life_from()
    life.status(at("2030-02-10"), "paused")
    life.status(at("2030-03-01T09:00"), "active")
    life.status(at("2030-03-10"), "paused")
    life.status(at("2030-03-31"), "active")
    life.charge(at(charged_at), "succeeded", "c", "2030-03-01", "2030-04-01")
    assert given(life, "2030-04-05") == []


def test_resumed_moved_and_charged_within_one_second_gives_the_credit() -> None:
    life = life_from()
    life.status(at("2030-02-10"), "paused")
    second = at("2030-03-20T12:00:00")
    life.charge(second, "initiated", "c", "2030-03-20")
    life.move(second, "2030-03-20")
    life.status(second, "active")
    assert given(life, "2030-03-20T12:00:00") == ["2030-03-20"]


def test_another_charge_for_the_same_period_settles_the_failed_one() -> None:
    """A fails for February, B succeeds for it, March is paid: both months' credits."""
    life = life_from()
    life.charge(at("2030-02-01"), "failed", "A", "2030-02-01")
    life.charge(at("2030-02-03"), "initiated", "B", "2030-02-01")
    assert given(life, "2030-02-03") == []
    life.charge(at("2030-02-04"), "succeeded", "B", "2030-02-01")
    pay(life, "2030-03-01")
    assert given(life, "2030-03-02") == ["2030-02-01", "2030-03-01"]


@pytest.mark.parametrize(("told", "settled"), [("failed", "skipped"), ("failed", "refunded"), ("disputed", "refunded")])
def test_a_charge_that_is_voided_or_lost_is_not_outstanding_any_more(told: str, settled: str) -> None:
    """Next month's credit is given."""
    life = life_from()
    life.charge(at("2030-02-01"), told, "A", "2030-02-01")
    life.charge(at("2030-02-20"), settled, "A", "2030-02-01")
    pay(life, "2030-03-01")
    assert given(life, "2030-03-02") == ["2030-03-01"]


def test_another_months_payment_settles_nothing() -> None:
    life = life_from()
    life.charge(at("2030-02-01"), "failed", "A", "2030-02-01")
    pay(life, "2030-03-01")
    assert given(life, "2030-03-02") == []
    assert stands(life, "2030-03-02") is Status.NEEDS_ATTENTION


@pytest.mark.parametrize("start", ["2030-02-01", "2030-02-10"], ids=["an older attempt", "seats since the 10th"])
def test_what_fails_after_its_period_was_paid_is_no_trouble(start: str) -> None:
    life = life_from()
    pay(life, "2030-02-01")
    life.charge(at("2030-02-12"), "failed", "second", start, "2030-03-01")
    pay(life, "2030-03-01")
    assert stands(life, "2030-02-15") is Status.ACTIVE
    assert given(life, "2030-03-02") == ["2030-02-01", "2030-03-01"]


def test_refunded_in_full_then_disputed_and_lost_leaves_no_trouble() -> None:
    life = life_from()
    pay(life, "2030-02-01")
    for day, state in (("2030-02-10", "refunded"), ("2030-02-15", "disputed"), ("2030-02-20", "refunded")):
        life.charge(at(day), state, "c 2030-02-01", "2030-02-01")
    pay(life, "2030-03-01")
    assert given(life, "2030-03-02") == ["2030-03-01"]


def test_a_debit_that_fails_weeks_later_and_is_collected_under_a_new_id_ends_the_trouble() -> None:
    life = life_from()
    pay(life, "2030-02-01", "2030-03-01")
    life.charge(at("2030-03-10"), "failed", "c 2030-02-01", "2030-02-01")
    assert stands(life, "2030-03-10") is Status.NEEDS_ATTENTION
    life.charge(at("2030-04-01"), "initiated", "april", "2030-04-01")
    assert given(life, "2030-04-02") == ["2030-03-01"]
    life.charge(at("2030-04-03"), "succeeded", "again", "2030-02-01", "2030-03-01")
    assert given(life, "2030-04-03") == ["2030-02-01", "2030-03-01", "2030-04-01"]


def test_a_retry_gives_back_nothing_before_it_succeeds() -> None:
    """While a charge is outstanding, its own or another's `initiated` gives nothing for its period."""
    life = life_from()
    pay(life, "2030-02-01")
    life.charge(at("2030-02-05"), "failed", "c 2030-02-01", "2030-02-01")
    life.charge(at("2030-02-06"), "initiated", "c 2030-02-01", "2030-02-01")
    life.charge(at("2030-02-06"), "initiated", "other", "2030-02-01")
    assert given(life, "2030-02-07") == []
    life.status(at("2030-02-08"), "active")
    assert given(life, "2030-02-08") == ["2030-02-01"]


def test_trouble_that_was_told_ends_with_the_last_outstanding_charge() -> None:
    life = life_from()
    life.charge(at("2030-02-01"), "failed", "A", "2030-02-01")
    life.status(at("2030-02-02"), "needs_attention")
    life.charge(at("2030-02-05"), "succeeded", "A", "2030-02-01")
    assert given(life, "2030-02-05") == ["2030-02-01"]
    life.status(at("2030-02-06"), "needs_attention")
    pay(life, "2030-03-01")
    assert stands(life, "2030-03-02") is Status.NEEDS_ATTENTION, "no outstanding charge was settled"


@pytest.mark.parametrize("refunded", [{"amount_refunded": 0}, {"amount_refunded": 3}])
def test_a_refund_of_nothing_or_in_part_takes_nothing_back(refunded: dict[str, Any]) -> None:
    life = life_from()
    life.charge(at("2030-02-01"), "succeeded", "c", "2030-02-01", amount=10)
    life.charge(at("2030-02-03"), "refunded", "c", "2030-02-01", **refunded)
    assert given(life, "2030-02-04") == ["2030-02-01"]
    life.charge(at("2030-02-05"), "refunded", "c", "2030-02-01", amount_refunded=10)
    assert given(life, "2030-02-05") == []


def test_a_refund_is_in_full_where_no_amount_was_told() -> None:
    life = life_from()
    pay(life, "2030-02-01")
    life.charge(at("2030-02-03"), "refunded", "c 2030-02-01", "2030-02-01", amount_refunded=3)
    assert given(life, "2030-02-04") == []


@pytest.mark.parametrize("ids", [("a", "b"), ("b", "a")])
def test_failed_and_succeeded_within_one_second_is_succeeded(ids: tuple[str, str]) -> None:
    """Whatever the events' ids."""
    life = life_from()
    for event_id, state in zip(ids, ("failed", "succeeded"), strict=True):
        said = {"charge_id": "c", "period_start": "2030-02-01"}
        life.tell(at("2030-02-01T10:00"), f"charge.{state}", event_id=event_id, **said)
    assert given(life, "2030-02-02") == ["2030-02-01"]
    assert stands(life, "2030-02-02") is Status.ACTIVE


@pytest.mark.parametrize(
    ("status", "ends_on"), [("cancelled", None), ("expired", None), ("paused", None), ("cancelled", "2030-03-10")]
)
def test_ending_or_pausing_frees_nothing_that_was_held(status: str, ends_on: str | None) -> None:
    """It waits until the membership is active again."""
    life = life_from()
    life.charge(at("2030-02-01"), "failed", "A", "2030-02-01")
    pay(life, "2030-03-01")
    life.status(at("2030-03-05"), status, ends_on)
    assert given(life, "2030-03-20") == []
    life.status(at("2030-03-25"), "active")
    assert given(life, "2030-03-25") == ["2030-03-01"]


# -- Ends


@pytest.mark.parametrize("between", ["dunning", "a pause"])
def test_an_announced_end_stays_through_trouble_and_pauses(between: str) -> None:
    life = life_from()
    pay(life, "2030-02-01")
    life.status(at("2030-02-05"), "cancelled", "2030-04-15")
    if between == "a pause":
        life.status(at("2030-02-10"), "paused")
        life.status(at("2030-02-20"), "active")
    else:
        life.charge(at("2030-03-01"), "failed", "c", "2030-03-01")
        life.charge(at("2030-03-05"), "succeeded", "c", "2030-03-01")
    assert (stands(life, "2030-04-14"), stands(life, "2030-04-15")) == (Status.ACTIVE, Status.CANCELLED)
    assert life.history(at("2030-03-10")).ends_on == date(2030, 4, 15)


def test_a_plain_active_lifts_the_end_of_an_active_membership() -> None:
    life = life_from()
    pay(life, "2030-02-01")
    life.status(at("2030-02-05"), "cancelled", "2030-04-15")
    life.status(at("2030-02-10"), "active")
    assert stands(life, "2030-05-01") is Status.ACTIVE
    assert life.history(at("2030-05-01")).ends_on is None


def test_any_status_may_announce_an_end_and_null_takes_it_back() -> None:
    life = life_from()
    life.status(at("2030-02-01"), "active", "2030-03-01")
    life.status(at("2030-02-05"), "paused", takes_back=True)
    life.status(at("2030-02-10"), "active")
    assert stands(life, "2030-03-05") is Status.ACTIVE
    life.status(at("2030-03-06"), "active", "2030-04-01")
    assert (stands(life, "2030-03-31"), stands(life, "2030-04-01")) == (Status.ACTIVE, Status.CANCELLED)


@pytest.mark.parametrize("status", ["cancelled", "paused"])
def test_ended_or_paused_before_the_start_the_sign_ups_credit_is_taken_back(status: str) -> None:
    life = Life(starts_on=FIRST, signed_up_at=at("2029-12-20"))
    assert given(life, "2029-12-20") == ["2030-01-01"]
    life.status(at("2029-12-28"), status)
    assert given(life, "2030-01-01") == []


def test_upcoming_lasts_until_a_charge_of_a_billing_date_is_taken() -> None:
    life = life_from()
    life.charge(at("2030-01-10"), "succeeded", "fee", "2030-01-10", "2030-01-11")
    assert stands(life, "2030-01-11") is Status.UPCOMING
    life.charge(at("2030-02-01"), "failed", "c", "2030-02-01")
    life.charge(at("2030-02-02"), "skipped", "c", "2030-02-01")
    assert stands(life, "2030-02-03") is Status.UPCOMING
    life.charge(at("2030-03-01"), "initiated", "d", "2030-03-01")
    assert stands(life, "2030-03-01") is Status.ACTIVE


# -- The start moved


def test_an_extended_trial_moves_the_start() -> None:
    """The credit of the old start is taken back, and the new start gives its own, valid from then on."""
    life = Life(starts_on=FIRST, signed_up_at=at("2029-12-18"))
    assert given(life, "2029-12-18") == ["2030-01-01"]
    life.tell(at("2029-12-30"), "membership.start_moved", starts_on="2030-01-15", billing_anchor=None)
    assert given(life, "2030-01-01") == ["2030-01-15"]
    (credit,) = held(life, "2030-01-01")
    assert credit.valid_from == at("2030-01-15")
    assert life.history(at("2030-01-01")).billing_anchor == date(2030, 1, 15)


def test_a_start_that_has_come_is_not_moved() -> None:
    life = Life(starts_on=FIRST)
    life.tell(at("2030-01-01"), "membership.start_moved", starts_on="2030-01-15", billing_anchor=None)
    assert given(life, "2030-01-20") == ["2030-01-01"]


# -- Imports, and promises older than the software


def imported(months: int, validity: str | None) -> Life:
    """Signed up on 10 June 2031 with all months paid since the start, each on its day."""
    life = Life(rules=[rule(version(validity=validity))], starts_on=FIRST, signed_up_at=at("2031-06-10"))
    pay(life, *(add_months(FIRST, n).isoformat() for n in range(months)))
    return life


def test_an_import_gives_what_would_be_live_had_it_been_issued_in_time() -> None:
    """18 paid months, a coupon of 30 days: June's credit alone, with the days that are left of it."""
    life = imported(18, "P30D")
    assert given(life, "2031-06-10") == ["2031-06-01"]
    (credit,) = life.credits
    assert (credit.valid_from, credit.expires_at) == (at("2031-06-10"), at("2031-07-01"))


def test_an_import_without_a_validity_gives_all_that_rolls_over() -> None:
    assert len(given(imported(18, None), "2031-06-10")) == 18


def test_old_trouble_of_an_import_that_is_over_holds_nothing() -> None:
    life = imported(18, None)
    life.charge(at("2030-03-10"), "failed", "c 2030-03-01", "2030-03-01")
    life.charge(at("2030-03-12"), "skipped", "c 2030-03-01", "2030-03-01")
    assert len(given(life, "2031-06-10")) == 17


def test_trouble_that_still_stands_at_the_sign_up_holds_all() -> None:
    life = imported(18, None)
    life.charge(at("2031-06-05"), "disputed", "c 2031-05-01", "2031-05-01")
    assert given(life, "2031-06-10") == []
    life.charge(at("2031-06-12"), "succeeded", "c 2031-05-01", "2031-05-01")
    assert len(given(life, "2031-06-12")) == 18


def test_a_promise_older_than_the_software_is_kept() -> None:
    """Version 1 counts as created on the first day: what rolls over is owed from then on, what is over is not."""
    made_at = at("2030-06-10")
    for says, owed in (({}, 6), ({"validity": "P20D"}, 1), ({"roll_over": False}, 1)):
        since = version(created_at=at("2030-01-01"), **says)
        life = Life(rules=[rule(since, made_at=made_at)], starts_on=FIRST)
        pay(life, *(add_months(FIRST, n).isoformat() for n in range(6)))
        assert len(given(life, "2030-06-10")) == owed


# -- The party


def without_ids(*names: str, lead: str) -> dict[str, Any]:
    return {"guests": [{"name": name, "lead_booker": name == lead} for name in names]}


def test_a_list_without_ids_takes_nothing_from_anybody() -> None:
    """The same people again, the lead booker too, whichever way they are known."""
    life = Life(guests=(ADA, BEN))
    for guest, name in zip(life.events[0].data["guests"], ("Ada", "Ben"), strict=True):
        guest["name"] = name
    assert len(given(life, "2030-02-01")) == 2
    for day in (5, 6):
        life.tell(at(f"2030-02-0{day}"), "membership.guests_changed", **without_ids("Ben", "Ada", lead="Ada"))
    assert len(given(life, "2030-02-07")) == 2
    life.tell(at("2030-02-08"), "membership.guests_changed", **without_ids("Adelaide", lead="Adelaide"))
    assert [life.everybody[credit.key.place] for credit in held(life, "2030-02-08")] == [ADA, BEN]
    life.settle(at("2030-02-08"))
    assert [life.everybody[credit.key.place] for credit in held(life, "2030-02-08")] == [ADA]


def test_what_began_while_a_guest_was_archived_is_never_made_up_for() -> None:
    life = Life(rules=[rule(billed())], starts_on=FIRST, guests=(ADA, BEN))
    life.archived_guests = {BEN: at("2030-01-20")}
    pay(life, "2030-02-01", "2030-03-01")
    life.settle(at("2030-02-02"))
    life.archived_guests, life.returned_guests = {}, {BEN: at("2030-02-10")}
    life.settle(at("2030-03-02"))
    got = [(life.everybody[credit.key.place], credit.key.period_start.month) for credit in life.credits]
    assert sorted(got, key=str) == sorted([(ADA, 2), (ADA, 3), (BEN, 3)], key=str)


def test_who_returns_and_signs_up_that_day_gets_the_sign_ups_credit() -> None:
    """It began with the sign-up, not at the midnight before the return."""
    life = Life(starts_on=FIRST, signed_up_at=at("2030-01-01T11:00"))
    life.returned_guests = {ADA: at("2030-01-01T10:00")}
    assert given(life, "2030-01-01T11:00") == ["2030-01-01"]


def test_a_guest_who_was_never_on_the_order_is_new() -> None:
    life = Life(rules=[rule(billed())], starts_on=FIRST, guests=(ADA,))
    life.tell(at("2030-01-10"), "membership.guests_changed", **party(ADA, EVE))
    pay(life, "2030-02-01")
    assert given(life, "2030-02-02") == ["2030-02-01", "2030-02-01"]


# -- Billing by itself


def test_automatic_billing_charges_a_date_that_is_moved_to_today_at_the_move() -> None:
    life = Life(rules=[rule(billed())], starts_on=FIRST, automatic=True)
    assert given(life, "2030-02-01") == ["2030-02-01"]
    life.move(at("2030-02-10T09:00"), "2030-02-10")
    assert given(life, "2030-02-10T09:00") == ["2030-02-01", "2030-02-10"]
    assert life.history(at("2030-03-01")).charged_automatically_at(date(2030, 2, 10)) == at("2030-02-10T09:00")


def test_automatic_billing_goes_by_the_status_of_its_instant() -> None:
    """Paused later that day: charged all the same; paused at its start and resumed that day: not charged."""
    life = Life(rules=[rule(billed())], starts_on=FIRST, automatic=True)
    life.status(at("2030-02-01T10:00"), "paused")
    life.status(at("2030-03-01T10:00"), "active")
    assert given(life, "2030-03-02") == ["2030-02-01"]


def test_every_line_is_settled_on_the_way_as_at_once() -> None:
    """A clock that passes over a life day by day ends with what waking up at its end gives, but for what was issued
    later and lives longer."""
    life = life_from()
    life.status(at("2030-02-10"), "paused")
    life.status(at("2030-03-01T09:00"), "active")
    life.charge(at("2030-03-01T10:30"), "initiated", "c", "2030-03-01")
    life.move(at("2030-03-10T09:00"), "2030-03-10")
    life.charge(at("2030-03-10T09:00"), "succeeded", "d", "2030-03-10")
    day = at("2030-01-01")
    while day < at("2030-04-02"):
        life.settle(day)
        day += timedelta(hours=12)
    assert [credit.key.period_start.day for credit in life.credits] == [1, 10]
    assert life.zone == UTC_ZONE
