"""Payments, trouble and ends as billers tell them (SEMANTICS 7)."""

from datetime import date
from typing import Any

import pytest

from issuance.deciding.frequency import IssuingFrequency
from issuance.deciding.statuses import Status
from tests.unit.club import Life, at, rule, version
from tests.unit.told import FIRST, given, life_from, pay, stands


def test_resumed_in_the_morning_and_charged_later_that_day_gives_the_credit_then() -> None:
    """The status at the start was paused, but who paid gets; within the period."""
    life = life_from()
    pay(life, "2030-02-01")
    life.status(at("2030-02-10"), "paused")
    life.status(at("2030-03-01T09:00"), "active")
    assert given(life, "2030-03-01T10:00") == ["2030-02-01"]
    life.charge(at("2030-03-01T10:30"), "initiated", "c", "2030-03-01")
    assert given(life, "2030-03-01T10:30") == ["2030-02-01", "2030-03-01"]


def test_who_pays_in_trouble_for_a_period_that_began_paused_gets_it_when_active_again() -> None:
    """Trouble holds what is paid; only pausing and ending take it away."""
    life = life_from()
    life.status(at("2030-02-10"), "paused")
    life.status(at("2030-03-03"), "needs_attention")
    life.charge(at("2030-03-10"), "succeeded", "c", "2030-03-01", "2030-04-01")
    assert given(life, "2030-03-11") == []
    life.status(at("2030-03-20"), "active")
    assert given(life, "2030-03-20") == ["2030-03-01"]


def test_a_retry_in_trouble_for_a_period_that_began_paused_gives_it_when_active_again() -> None:
    """Trouble at the time of the retry holds it, as it holds all."""
    life = life_from()
    life.status(at("2030-02-20"), "paused")
    life.status(at("2030-03-02"), "active")
    life.charge(at("2030-03-03"), "failed", "c1", "2030-03-01")
    life.charge(at("2030-03-04"), "initiated", "c2", "2030-03-01")
    assert given(life, "2030-03-04") == []
    life.status(at("2030-03-05"), "active")
    assert given(life, "2030-03-05") == ["2030-03-01"]


def test_a_charge_that_is_told_again_is_not_new() -> None:
    """It paid before the other one failed, and what it is told to be anew in that trouble takes nothing away."""
    life = life_from()
    life.charge(at("2030-02-01"), "initiated", "c1", "2030-02-01")
    life.charge(at("2030-02-01T08:00"), "initiated", "c2", "2030-02-01")
    life.charge(at("2030-02-02"), "failed", "c1", "2030-02-01")
    assert given(life, "2030-02-02") == ["2030-02-01"]
    life.charge(at("2030-02-03"), "initiated", "c2", "2030-02-01")
    assert given(life, "2030-02-03") == ["2030-02-01"]


def test_a_move_cuts_what_a_charge_without_an_end_covers() -> None:
    """It covers the days up to the new date; the turn that the move puts there needs a charge of its own."""
    life = life_from()
    life.charge(at("2030-02-08"), "succeeded", "c", "2030-02-09")
    life.move(at("2030-02-11T05:00"), "2030-02-11")
    assert given(life, "2030-02-11T06:00") == []


@pytest.mark.parametrize("wrong", [("2030-01-01", "2030-02-01"), ("2029-12-01", "2030-01-01")])
def test_a_period_that_is_corrected_has_the_end_told_before_no_more(wrong: tuple[str, str]) -> None:
    """Its start was moved to that end or past it: it covers the month from there on."""
    life = life_from()
    life.charge(at("2030-02-01"), "initiated", "c", *wrong)
    life.charge(at("2030-02-01T01:00"), "succeeded", "c", "2030-02-01")
    assert given(life, "2030-02-02") == ["2030-02-01"]


def test_a_charge_of_an_empty_period_covers_nothing_however_often_it_is_told() -> None:
    life = life_from()
    life.charge(at("2030-02-01"), "initiated", "fee", "2030-02-01", "2030-02-01")
    life.charge(at("2030-02-02"), "succeeded", "fee", "2030-02-01")
    assert given(life, "2030-02-02") == []


@pytest.mark.parametrize(
    ("disputed_at", "gets"), [("2030-03-01T00:30", []), ("2030-03-01T02:00", ["2030-03-01"])], ids=["before", "within"]
)
def test_trouble_that_begins_in_a_pause_holds_nothing(disputed_at: str, gets: list[str]) -> None:
    """The membership is paused, and no charge puts it into another status; what trouble held before waits on."""
    life = life_from()
    pay(life, "2030-02-01")
    life.status(at("2030-03-01T01:00"), "paused")
    life.charge(at(disputed_at), "disputed", "c 2030-02-01", "2030-02-01")
    life.charge(at("2030-03-01T03:00"), "initiated", "c", "2030-03-01")
    assert given(life, "2030-03-02") == gets


def test_a_charge_beside_the_calendar_settles_no_other() -> None:
    """It covers no billing date, so it pays for no period: not for the one of a charge that fails, either."""
    life = life_from()
    life.charge(at("2030-02-11"), "succeeded", "fee", "2030-02-10", "2030-02-25")
    life.charge(at("2030-02-24"), "failed", "c", "2030-02-24", "2030-03-10")
    assert stands(life, "2030-02-25") == Status.NEEDS_ATTENTION


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
    assert life.history(at("2030-03-10")).standing.ends_on == date(2030, 4, 15)


def test_a_plain_active_lifts_the_end_of_an_active_membership() -> None:
    life = life_from()
    pay(life, "2030-02-01")
    life.status(at("2030-02-05"), "cancelled", "2030-04-15")
    life.status(at("2030-02-10"), "active")
    assert stands(life, "2030-05-01") is Status.ACTIVE
    assert life.history(at("2030-05-01")).standing.ends_on is None


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


@pytest.mark.parametrize(("again", "gets"), [("succeeded", 3), ("initiated", 4)], ids=["a repetition", "a change"])
def test_a_charge_that_is_told_again_makes_up_for_no_month_that_began_in_a_pause(again: str, gets: int) -> None:
    """An annual charge and a monthly rule; the invoice is told once more after the pause, as it was or as new."""
    life = life_from(FIRST, rule(version(issue_on_signup=False, frequency=IssuingFrequency.MONTH)), frequency="P1Y")
    life.charge(at("2030-01-01T09:00"), "succeeded", "c", "2030-01-01", "2031-01-01")
    life.tell(at("2030-03-28"), "membership.status_changed", status="paused")
    life.tell(at("2030-04-10"), "membership.status_changed", status="active")
    life.charge(at("2030-04-12"), again, "c", "2030-01-01", "2031-01-01")
    life.charge(at("2030-04-13"), "succeeded", "c", "2030-01-01", "2031-01-01")
    assert len(given(life, "2030-05-02")) == gets
