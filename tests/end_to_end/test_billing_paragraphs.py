"""SEMANTICS 7 over HTTP, a test a sentence: memberships and charges."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns.model.brand import Server
from tests.end_to_end.scenario import Scenario, instant

FEBRUARY = ("2031-02-05", "2031-03-05")
MARCH = ("2031-03-05", "2031-04-05")


def monthly(model_server: Server, billing: str = "external", **flags: Any) -> Scenario:
    """A monthly membership from 5 January 2031 on, under a rule that rolls over."""
    told = Scenario(model_server, billing=billing)
    told.rule(**{"roll_over": True, **flags})
    told.sign_up("2031-01-05")
    return told


# Statuses


def test_upcoming_gets_the_sign_up_only(model_server: Server) -> None:
    """`upcoming` (signed up, not yet billed): the sign-up occurrence only."""
    told = monthly(model_server, issue_on_signup=True)
    told.to("2031-03-10")
    assert told.held() == ["2031-01-05 live"]


def test_needs_attention_holds_until_active_again(model_server: Server) -> None:
    """Held until active again, then the periods whose charge was paid."""
    told = monthly(model_server)
    told.charge("failed", *FEBRUARY, time="2031-02-05")
    told.charge("succeeded", *MARCH, time="2031-03-05")
    told.to("2031-03-10")
    assert told.held() == []
    assert told.why("2031-03-05", "2031-03-05") == {"2031-03-05": "needs_attention"}
    told.status("active")
    assert told.held() == ["2031-03-05 live"]


def test_it_is_back_when_every_failed_charge_has_succeeded(model_server: Server) -> None:
    """Not on a retry's `initiated`, nor on another month's payment."""
    told = monthly(model_server)
    told.charge("failed", *FEBRUARY, time="2031-02-05")
    told.charge("initiated", *MARCH, time="2031-03-05")
    told.to("2031-03-10")
    told.charge("initiated", *FEBRUARY)
    told.charge("succeeded", *MARCH)
    assert told.held() == []
    told.to("2031-03-11")
    told.charge("succeeded", *FEBRUARY)
    assert told.held() == ["2031-02-05 live", "2031-03-05 live"]


def test_refunds_do_not_touch_the_status(model_server: Server) -> None:
    """A refund in full takes its own credits back, and the next period is as before."""
    told = monthly(model_server)
    told.charge("succeeded", *FEBRUARY, time="2031-02-05", amount=100)
    told.charge("refunded", *FEBRUARY, time="2031-02-09")
    told.charge("initiated", *MARCH, time="2031-03-05", amount=100)
    told.to("2031-03-10")
    assert told.held() == ["2031-02-05 revoked", "2031-03-05 live"]


def test_paused_periods_are_never_made_up_for(model_server: Server) -> None:
    """The status that counts is the one at the occurrence's start."""
    told = monthly(model_server, billing="external")
    for month in (2, 3, 4):
        start, end = f"2031-0{month}-05", f"2031-0{month + 1}-05"
        told.charge("succeeded", start, end, time=start)
    told.status("paused", time="2031-02-20")
    told.status("active", time="2031-03-20")
    told.to("2031-04-10")
    assert told.held() == ["2031-02-05 live", "2031-04-05 live"]
    assert told.why("2031-03-05", "2031-03-05") == {"2031-03-05": "membership_paused"}


def test_a_pause_after_the_start_leaves_the_period(model_server: Server) -> None:
    """A period that started before the pause is released by a charge that comes in it."""
    told = monthly(model_server)
    told.status("active", time="2031-01-05")
    told.status("paused", time="2031-02-06")
    told.charge("succeeded", *FEBRUARY, time="2031-02-10")
    told.to("2031-02-11")
    assert told.held() == ["2031-02-05 live"]


def test_ends_on_is_the_first_day_on_which_it_is_ended(model_server: Server) -> None:
    """Until then it goes on; without it, it ends at the event's `time`."""
    for ends_on, expected in [("2031-03-05", ["2031-02-05"]), ("2031-03-06", ["2031-02-05", "2031-03-05"])]:
        told = monthly(model_server, billing="automatic")
        told.status("cancelled", time="2031-02-01", ends_on=ends_on)
        told.to("2031-06-01")
        assert told.held("live") == expected
    told = monthly(model_server, billing="automatic")
    told.status("expired", time="2031-02-20")
    told.to("2031-06-01")
    assert told.held("live") == ["2031-02-05"]
    assert told.why("2031-04-05", "2031-04-05") == {"2031-04-05": "membership_ended"}


def test_a_fact_ahead_of_the_clock_counts_from_its_time_on(model_server: Server) -> None:
    """A fact ahead of the brand's clock is kept and counts from its time on."""
    told = monthly(model_server)
    told.to("2031-02-05")
    told.charge("initiated", *FEBRUARY, time="2031-02-10T12:00:00Z")
    assert told.held() == []
    told.to("2031-02-10T12:00:00Z")
    assert told.when("valid_from") == instant("2031-02-10T12:00:00Z")


def test_a_late_fact_takes_back_and_gives(model_server: Server) -> None:
    """Late, it takes back unredeemed credits that would not have been issued and issues those that would have been."""
    told = monthly(model_server, billing="automatic")
    told.status("paused", time="2031-02-20")
    told.to("2031-03-10")
    assert told.held() == ["2031-02-05 live"]
    told.status("active", time="2031-03-01")
    assert told.held() == ["2031-02-05 live", "2031-03-05 live"]
    told.status("paused", time="2031-03-02")
    assert told.held() == ["2031-02-05 live", "2031-03-05 revoked"]


def test_of_two_facts_the_one_that_happened_later_wins(model_server: Server) -> None:
    """Whichever arrived first."""
    told = monthly(model_server)
    told.to("2031-02-20")
    told.charge("succeeded", *FEBRUARY, time="2031-02-10")
    told.charge("failed", *FEBRUARY, time="2031-02-09")
    assert told.held() == ["2031-02-05 live"]


def test_a_second_sign_up_is_rejected(model_server: Server) -> None:
    """A second sign-up of a known membership is rejected."""
    told = monthly(model_server)
    told.sign_up("2031-01-05", expected="rejected")


# Charges


@pytest.mark.parametrize("state", ["failed", "skipped", "disputed", "refunded"])
def test_a_charge_taken_back_takes_its_credits_back(model_server: Server, state: str) -> None:
    """Unredeemed ones are revoked; succeeded after all, the same credit is live again with its original expiry."""
    told = monthly(model_server, roll_over=False)
    told.charge("initiated", *FEBRUARY, time="2031-02-05", amount=100)
    told.to("2031-02-10")
    before = told.only()
    told.charge(state, *FEBRUARY, amount=100)
    assert told.held() == ["2031-02-05 revoked"]
    told.to("2031-02-11")
    told.charge("succeeded", *FEBRUARY, amount=100)
    after = told.only()
    assert after.pop("revision") > before.pop("revision")
    assert after == before


def test_the_sign_up_is_taken_back_too(model_server: Server) -> None:
    """The sign-up's charge too: occurrence 0 needs none, but one that failed takes its credit back."""
    told = monthly(model_server, issue_on_signup=True)
    told.to("2031-01-10")
    assert told.held() == ["2031-01-05 live"]
    told.charge("failed", "2031-01-05", "2031-02-05")
    assert told.held() == ["2031-01-05 revoked"]


def test_redeemed_credits_stay_redeemed(model_server: Server) -> None:
    """Redeemed ones are flagged for the operator, not revoked."""
    told = monthly(model_server)
    told.charge("succeeded", *FEBRUARY, time="2031-02-05")
    told.to("2031-02-10")
    told.redeem()
    told.charge("disputed", *FEBRUARY)
    assert told.held() == ["2031-02-05 redeemed"]


def test_skipped_before_gives_nothing_unless_a_later_fact_says_otherwise(model_server: Server) -> None:
    """Skipped (waived) before credits went out: they give nothing."""
    told = monthly(model_server)
    told.charge("skipped", *FEBRUARY, time="2031-02-04")
    told.to("2031-02-10")
    assert told.held() == []
    assert told.why("2031-02-05", "2031-02-05") == {"2031-02-05": "charge_skipped"}
    told.charge("succeeded", *FEBRUARY)
    assert told.held() == ["2031-02-05 live"]


def test_nothing_comes_back_under_a_deleted_rule(model_server: Server) -> None:
    """Succeeded after all: not if the rule is deleted."""
    told = monthly(model_server)
    told.charge("initiated", *FEBRUARY, time="2031-02-05")
    told.charge("failed", *FEBRUARY, time="2031-02-06")
    told.to("2031-02-10")
    told.delete()
    told.charge("succeeded", *FEBRUARY)
    assert told.held() == ["2031-02-05 revoked"]


def test_a_refund_in_part_has_no_effect(model_server: Server) -> None:
    """`amount_refunded` is the sum so far; absent or at least `amount`: in full."""
    told = monthly(model_server)
    told.charge("succeeded", *FEBRUARY, time="2031-02-05", amount=100)
    told.to("2031-02-10")
    told.charge("refunded", *FEBRUARY, amount=100, amount_refunded=99)
    assert told.held() == ["2031-02-05 live"]
    told.to("2031-02-11")
    told.charge("refunded", *FEBRUARY, amount=100, amount_refunded=100)
    assert told.held() == ["2031-02-05 revoked"]


def test_a_charge_without_an_end_covers_up_to_the_next_boundary(model_server: Server) -> None:
    """A charge covers `[period_start, period_end)`, without `period_end` up to the next billing boundary."""
    told = monthly(model_server)
    told.charge("succeeded", "2031-02-01", time="2031-02-01")
    told.to("2031-02-10")
    assert told.held() == []
    told.charge("succeeded", "2031-02-05")
    told.to("2031-03-10")
    assert told.held() == ["2031-02-05 live"]


def test_any_of_overlapping_charges_releases(model_server: Server) -> None:
    """Where charges overlap, any initiated or succeeded one releases."""
    told = monthly(model_server)
    told.charge("succeeded", *FEBRUARY, time="2031-02-05")
    told.charge("skipped", *FEBRUARY, time="2031-02-05", charge="another")
    told.to("2031-02-10")
    assert told.held() == ["2031-02-05 live"]


# Billing date moved, and automatic billing


def test_a_moved_billing_date_moves_what_comes_after_it(model_server: Server) -> None:
    """Boundaries up to the event's `time` stay; after it the calendar is the new anchor + k·F."""
    told = monthly(model_server, billing="automatic")
    told.billing_date("2031-01-31", time="2031-02-20")
    told.to("2031-05-01")
    assert told.held("live") == ["2031-02-05", "2031-02-28", "2031-03-31", "2031-04-30"]


def test_unredeemed_credits_move_with_it(model_server: Server) -> None:
    """`period_end` and `expires_at` of unredeemed roll_over=false credits move, never before the event takes effect."""
    told = monthly(model_server, billing="automatic", roll_over=False)
    told.billing_date("2031-03-10", time="2031-02-20")
    told.to("2031-02-19T23:59:59Z")
    assert (told.only()["period_end"], told.when("expires_at")) == ("2031-03-05", instant("2031-03-05"))
    told.to("2031-02-20")
    assert (told.only()["period_end"], told.when("expires_at")) == ("2031-03-10", instant("2031-03-10"))


def test_automatic_billing_charges_what_ends_after_the_sign_up(model_server: Server) -> None:
    """Each billing period from the anchor on that ends after the sign-up's `time` is charged at its start."""
    told = Scenario(model_server, now="2031-03-20", billing="automatic")
    told.rule(roll_over=True, include_upcoming=True)
    told.sign_up("2030-11-05")
    assert told.held() == ["2031-03-05 live"]
    told.to("2031-04-05")
    assert told.held("live") == ["2031-03-05", "2031-04-05"]


def test_the_period_that_starts_on_the_moved_anchor_is_charged(model_server: Server) -> None:
    """From the anchor on: moved to `starts_on` before the start, the first period is charged as well."""
    told = Scenario(model_server, billing="automatic")
    told.rule(issuing_frequency="P3M", roll_over=True)
    told.sign_up("2031-02-05", billing_frequency="P1Y", billing_anchor="2031-03-10")
    told.billing_date("2031-02-05", time="2031-01-20")
    told.to("2031-05-06")
    assert told.held() == ["2031-05-05 live"]
