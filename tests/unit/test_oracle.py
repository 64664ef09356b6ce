"""The oracle against the examples that SEMANTICS gives in its own words."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from campaigns.model.oracle import Oracle
from campaigns.model.reading import Reading
from campaigns.model.times import midnight, plus_months, plus_validity
from campaigns.model.words import Fact, Guest

NEW_YEAR = datetime(2031, 1, 1, tzinfo=UTC)


def brand(timezone: str = "UTC", now: datetime = NEW_YEAR, billing: str = "external", **flags: Any) -> Oracle:
    oracle = Oracle(timezone, now)
    oracle.coupon("spa", None)
    oracle.membership_type("gold", billing)
    oracle.create_rule("rule", membership_type="gold", coupon="spa", **flags)
    return oracle


def sign_up(starts_on: date, time: datetime, frequency: str = "P1M", anchor: date | None = None, **data: Any) -> Fact:
    terms = {
        "membership_type": "gold",
        "starts_on": starts_on,
        "billing_frequency": frequency,
        "billing_anchor": anchor,
    }
    return Fact("s", time, "membership.signed_up", "m", {**terms, **data})


def charge(state: str, start: date, end: date | None, time: datetime, name: str = "", **data: Any) -> Fact:
    name = name or str(start)
    values = {"charge": name, "period_start": start, "period_end": end, **data}
    return Fact(f"{name} {state} {time}", time, f"charge.{state}", "m", values)


def day(month: int, number: int, hour: int = 0) -> datetime:
    return datetime(2031, month, number, hour, tzinfo=UTC)


def held(oracle: Oracle) -> list[tuple[date, str]]:
    return [(credit.period_start, credit.status(oracle.now)) for credit in oracle.credits]


def test_the_31st_is_clamped_in_one_step() -> None:
    assert [plus_months(date(2031, 1, 31), k).day for k in (1, 2, 3)] == [28, 31, 30]
    assert plus_months(date(2028, 2, 29), 12) == date(2029, 2, 28)
    assert plus_months(date(2028, 2, 29), 48) == date(2032, 2, 29)


@pytest.mark.parametrize(
    ("timezone", "day", "instant"),
    [
        ("Europe/London", date(2031, 6, 1), datetime(2031, 5, 31, 23, tzinfo=UTC)),
        ("Asia/Beirut", date(2031, 3, 30), datetime(2031, 3, 29, 22, tzinfo=UTC)),  # skipped: 01:00 local
        ("America/Havana", date(2031, 11, 2), datetime(2031, 11, 2, 4, tzinfo=UTC)),  # twice: the first
        ("Australia/Lord_Howe", date(2031, 1, 1), datetime(2030, 12, 31, 13, tzinfo=UTC)),
    ],
)
def test_a_date_is_the_first_instant_of_the_day(timezone: str, day: date, instant: datetime) -> None:
    assert midnight(timezone, day) == instant


def test_validity_runs_on_the_wall_clock() -> None:
    ten = datetime(2031, 1, 31, 10, tzinfo=UTC)
    assert plus_validity("Europe/London", ten, "P1M") == datetime(2031, 2, 28, 10, tzinfo=UTC)
    eve = datetime(2031, 3, 29, 10, tzinfo=UTC)
    assert plus_validity("Europe/London", eve, "P1D") - eve == timedelta(hours=23)


def test_joining_on_the_31st_with_billing_on_the_1st_gives_two_credits_a_day_apart() -> None:
    oracle = brand(issue_on_signup=True, roll_over=True)
    oracle.clock(day(1, 31, 9))
    oracle.post([sign_up(date(2031, 1, 31), day(1, 31, 8), anchor=date(2031, 2, 1))])
    oracle.post([charge("initiated", date(2031, 2, 1), date(2031, 3, 1), day(2, 1))])
    oracle.clock(day(2, 2))
    assert held(oracle) == [(date(2031, 1, 31), "live"), (date(2031, 2, 1), "live")]


def test_joining_on_the_billing_date_gives_one() -> None:
    oracle = brand(issue_on_signup=True)
    oracle.clock(day(1, 31, 9))
    oracle.post([sign_up(date(2031, 1, 31), day(1, 31, 8))])
    oracle.post([charge("initiated", date(2031, 1, 31), date(2031, 2, 28), day(1, 31, 8))])
    assert held(oracle) == [(date(2031, 1, 31), "live")]


def test_an_annual_charge_releases_a_monthly_rule_month_by_month() -> None:
    oracle = brand(issuing_frequency="P1M")
    oracle.clock(day(1, 31, 9))
    oracle.post([sign_up(date(2031, 1, 31), day(1, 31, 8), frequency="P1Y")])
    oracle.post([charge("succeeded", date(2031, 1, 31), date(2032, 1, 31), day(1, 31, 8))])
    oracle.clock(day(4, 30))
    starts = [date(2031, 2, 28), date(2031, 3, 31), date(2031, 4, 30)]
    assert held(oracle) == list(zip(starts, ["expired", "expired", "live"], strict=True))


def test_a_rule_created_today_starts_with_the_cycle_after_the_scheduled_one() -> None:
    for include_upcoming, first in [(False, date(2031, 4, 5)), (True, date(2031, 3, 5))]:
        oracle = Oracle("UTC", NEW_YEAR)
        oracle.coupon("spa", None)
        oracle.membership_type("gold", "automatic")
        oracle.post([sign_up(date(2031, 1, 5), day(1, 1))])
        oracle.clock(day(2, 10))
        oracle.create_rule("rule", include_upcoming, membership_type="gold", coupon="spa", roll_over=True)
        oracle.clock(day(5, 1))
        assert oracle.credits[0].period_start == first


def test_a_failed_charge_takes_back_and_a_payment_gives_back_with_the_original_expiry() -> None:
    oracle = brand()
    oracle.clock(day(1, 5))
    oracle.post([sign_up(date(2031, 1, 5), day(1, 4))])
    oracle.clock(day(2, 5))
    course = {"initiated": "live", "failed": "revoked", "skipped": "revoked", "succeeded": "live"}
    for state, status in course.items():
        oracle.clock(oracle.now + timedelta(days=3))
        oracle.post([charge(state, date(2031, 2, 5), date(2031, 3, 5), oracle.now)])
        assert held(oracle) == [(date(2031, 2, 5), status)]
    assert oracle.credits[0].expires_at == day(3, 5)


def test_a_p0d_rule_gives_one_credit_once() -> None:
    for on_sign_up, rides in [(True, day(1, 20)), (False, day(2, 20))]:
        oracle = brand(billing="automatic", issuing_frequency="P0D", issue_on_signup=on_sign_up)
        oracle.post([sign_up(date(2031, 1, 20), day(1, 1))])
        oracle.clock(day(6, 1))
        (credit,) = oracle.credits
        assert (credit.period_start, credit.period_end, credit.valid_from) == (date(2031, 1, 20), None, rides)
        assert credit.expires_at == (day(2, 20) if on_sign_up else day(3, 20))


def test_pauses_are_never_made_up_for_and_history_is_kept() -> None:
    oracle = brand(billing="automatic", roll_over=True)
    oracle.post([sign_up(date(2031, 1, 5), day(1, 1))])
    oracle.post([Fact("p", day(2, 20), "membership.status_changed", "m", {"status": "paused"})])
    oracle.post([Fact("a", day(3, 20), "membership.status_changed", "m", {"status": "active"})])
    oracle.post(
        [Fact("c", day(4, 1), "membership.status_changed", "m", {"status": "cancelled", "ends_on": date(2031, 5, 6)})]
    )
    oracle.clock(day(7, 1))
    assert [start.month for start, _ in held(oracle)] == [2, 4, 5]


def test_a_guest_added_takes_part_from_the_next_turn_and_one_removed_keeps_nothing() -> None:
    ann, bob, cy = Guest("ann", True), Guest("bob", False), Guest("cy", False)
    oracle = brand(billing="automatic", roll_over=True)
    oracle.post([sign_up(date(2031, 1, 5), day(1, 1), guests=[ann, bob])])
    oracle.post([Fact("g", day(2, 20), "membership.guests_changed", "m", {"guests": [ann, cy]})])
    oracle.clock(day(3, 10))
    found = [(credit.guest, credit.period_start.month, credit.status(oracle.now)) for credit in oracle.credits]
    assert found == [("ann", 2, "live"), ("bob", 2, "revoked"), ("ann", 3, "live"), ("cy", 3, "live")]


def test_a_moved_billing_date_takes_its_credits_along() -> None:
    oracle = brand(billing="automatic")
    oracle.post([sign_up(date(2031, 1, 5), day(1, 1))])
    oracle.post([Fact("b", day(2, 20), "membership.billing_date_moved", "m", {"billing_anchor": date(2031, 3, 10)})])
    oracle.clock(day(2, 19))
    assert oracle.credits[0].expires_at == day(3, 5)
    oracle.clock(day(2, 21))
    assert (oracle.credits[0].expires_at, oracle.credits[0].period_end) == (day(3, 10), date(2031, 3, 10))


def test_a_manual_issue_takes_the_current_key_and_numbers_the_next() -> None:
    oracle = brand(billing="automatic")
    oracle.post([sign_up(date(2031, 1, 5), day(1, 1))])
    oracle.clock(day(1, 6))
    oracle.issue("rule")
    oracle.issue("rule")
    assert held(oracle) == [(date(2031, 1, 5), "live")]
    oracle.redeem(0)
    oracle.issue("rule")
    assert [credit.reissue for credit in oracle.credits] == [0, 1]


def test_a_member_comes_back_without_what_was_used_before() -> None:
    oracle = brand(billing="automatic")
    oracle.post([sign_up(date(2031, 1, 5), day(1, 1))])
    oracle.clock(day(1, 6))
    oracle.issue("rule")
    used = oracle.redeem(0)
    assert used is not None
    oracle.clock(day(1, 7))
    oracle.archive("m", [Fact("end", day(1, 7), "membership.status_changed", "m", {"status": "cancelled"})])
    oracle.revive("m")
    oracle.give_back(used)
    assert held(oracle) == [(date(2031, 1, 5), "revoked")]


def test_after_an_outage_only_roll_over_catches_up_every_period() -> None:
    for roll_over, months in [(True, [2, 3, 4]), (False, [4])]:
        oracle = brand(billing="automatic", roll_over=roll_over)
        oracle.post([sign_up(date(2031, 1, 5), day(1, 1))])
        oracle.clock(day(4, 10), jump=True)
        assert [start.month for start, _ in held(oracle)] == months


def test_status_of_an_unpaid_membership() -> None:
    facts = [sign_up(date(2031, 1, 5), day(1, 1)), charge("failed", date(2031, 1, 5), None, day(1, 6))]
    assert Reading("UTC", {"gold": "external"}, facts, day(1, 5)).status_at(day(1, 5)) == "upcoming"
    assert Reading("UTC", {"gold": "external"}, facts, day(1, 7)).status_at(day(1, 7)) == "needs_attention"


def test_a_p0d_credit_takes_the_key_that_a_dead_sign_up_credit_left_free() -> None:
    oracle = brand(issue_on_signup=True)
    oracle.clock(day(1, 2))
    oracle.update_rule("rule", issuing_frequency="P0D", issue_on_signup=False)
    oracle.clock(day(3, 10), jump=True)
    oracle.post([sign_up(date(2031, 1, 1), NEW_YEAR)])
    oracle.post([charge("succeeded", date(2031, 3, 1), None, day(3, 1))])
    assert [(credit.period_start, credit.version.number) for credit in oracle.credits] == [(date(2031, 1, 1), 2)]


def test_a_start_that_is_moved_lifts_nobodys_no_and_gives_no_second_gift() -> None:
    for frequency in ("P0D", "billing_cycle"):
        oracle = brand(issue_on_signup=True, issuing_frequency=frequency)
        oracle.post([sign_up(date(2031, 1, 15), day(1, 1))])
        oracle.revoke(0)
        oracle.post([Fact("t", day(1, 2), "membership.start_moved", "m", {"starts_on": date(2031, 1, 16)})])
        assert held(oracle) == [(date(2031, 1, 15), "revoked")]

    oracle = brand(issuing_frequency="P0D", roll_over=True)
    oracle.post([sign_up(date(2031, 1, 15), day(1, 1))])
    oracle.issue("rule", include_upcoming=True)
    oracle.post([Fact("t", day(1, 2), "membership.start_moved", "m", {"starts_on": date(2031, 1, 29)})])
    oracle.clock(day(3, 1))
    oracle.post([charge("succeeded", date(2031, 2, 28), None, day(2, 28))])
    assert held(oracle) == [(date(2031, 1, 15), "live")]
