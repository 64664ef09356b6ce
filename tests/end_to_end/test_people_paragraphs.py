"""SEMANTICS 5 and 6 over HTTP, a test a sentence: who gets a credit, and its life."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns.model.brand import Server
from campaigns.model.words import Guest
from tests.end_to_end.scenario import ANN, BOB, CY, Scenario, instant


def party(model_server: Server, **flags: Any) -> Scenario:
    """Ann (lead booker) and Bob, billed by us from 5 January 2031 on."""
    told = Scenario(model_server, billing="automatic")
    told.rule(**{"roll_over": True, **flags})
    told.sign_up("2031-01-05", guests=[ANN, BOB])
    return told


# 5. Who gets it


def test_one_credit_for_the_lead_booker(model_server: Server) -> None:
    """`for_lead_booker_only`: one credit, for the lead booker of the membership's order."""
    told = party(model_server, for_lead_booker_only=True)
    told.to("2031-02-06")
    assert told.holders() == ["ann 2031-02-05"]


def test_one_credit_for_every_guest(model_server: Server) -> None:
    """Otherwise one for every guest on the order, members or not."""
    told = party(model_server)
    told.to("2031-02-06")
    assert told.holders() == ["ann 2031-02-05", "bob 2031-02-05"]
    assert [row["guest"]["lead_booker"] for row in told.rows()] == [True, False]


def test_a_sign_up_without_guests_has_one_the_member(model_server: Server) -> None:
    """An order with one guest: the member, as lead booker."""
    told = Scenario(model_server)
    told.rule(issue_on_signup=True, for_lead_booker_only=True)
    told.sign_up("2031-01-01")
    guest = told.only()["guest"]
    assert (guest["lead_booker"], guest["external_user_id"]) == (True, "m")


def test_two_lead_bookers_or_none_are_refused(model_server: Server) -> None:
    """Exactly one guest is the lead booker."""
    told = Scenario(model_server)
    told.sign_up("2031-01-05", guests=[ANN, Guest("bob", True)], expected="rejected")
    told.sign_up("2031-01-05", guests=[BOB], expected="rejected")


def test_a_guest_added_later_takes_part_from_the_next_occurrence(model_server: Server) -> None:
    """The guests of an occurrence are those on the order at its start and still on it."""
    told = party(model_server)
    told.to("2031-02-20")
    told.guests(ANN, BOB, CY)
    told.to("2031-03-06")
    assert told.holders() == ["ann 2031-02-05", "bob 2031-02-05", "ann 2031-03-05", "bob 2031-03-05", "cy 2031-03-05"]


def test_never_in_a_p0d_turn_that_has_passed(model_server: Server) -> None:
    """A guest added later has no part in a P0D turn that has passed."""
    told = Scenario(model_server, billing="automatic")
    told.rule(roll_over=True, issuing_frequency="P0D")
    told.sign_up("2031-01-05", guests=[ANN])
    told.to("2031-02-20")
    told.guests(ANN, BOB)
    told.to("2031-05-20")
    assert told.holders() == ["ann 2031-01-05"]


def test_a_guest_removed_keeps_nothing(model_server: Server) -> None:
    """Their unredeemed credits are revoked; back on the order, they start anew."""
    told = party(model_server)
    told.to("2031-02-20")
    told.guests(ANN)
    assert told.holders() == ["ann 2031-02-05"]
    assert told.holders("revoked") == ["bob 2031-02-05"]
    told.guests(ANN, BOB, time="2031-02-20T01:00:00Z")
    told.to("2031-03-06")
    assert told.holders() == ["ann 2031-02-05", "ann 2031-03-05", "bob 2031-03-05"]


def test_a_removed_guests_redeemed_credit_stays_redeemed(model_server: Server) -> None:
    """Only unredeemed credits are revoked."""
    told = party(model_server)
    told.to("2031-02-20")
    told.redeem(1)
    told.guests(ANN)
    assert told.holders("redeemed") == ["bob 2031-02-05"]


def test_the_lead_booker_is_the_one_at_the_start(model_server: Server) -> None:
    """So is its lead booker: the one at the occurrence's start, still on the order."""
    told = party(model_server, for_lead_booker_only=True)
    told.to("2031-02-20")
    told.guests(Guest("ann", False), Guest("bob", True))
    told.to("2031-03-06")
    assert told.holders() == ["ann 2031-02-05", "bob 2031-03-05"]


# 6. The credit's life


def test_valid_from_is_the_start_or_the_issue_if_later(model_server: Server) -> None:
    """`valid_from` = the occurrence's start (or issue time if later)."""
    told = party(model_server, for_lead_booker_only=True)
    told.to("2031-02-20T10:00:00Z", jump=True)
    assert told.when("valid_from") == instant("2031-02-20T10:00:00Z")


@pytest.mark.parametrize(
    ("timezone", "now", "validity", "expires_at"),
    [
        ("UTC", "2031-01-31T10:00:00Z", "P1M", "2031-02-28T10:00:00Z"),
        ("UTC", "2031-01-31T10:00:00Z", "P1Y", "2032-01-31T10:00:00Z"),
        ("UTC", "2031-01-31T10:00:00Z", "P2W", "2031-02-14T10:00:00Z"),
        ("UTC", "2031-01-31T10:00:00Z", "P1M1D", "2031-03-01T10:00:00Z"),
        ("Europe/London", "2031-03-29T10:00:00Z", "P1D", "2031-03-30T09:00:00Z"),  # 23 hours
        ("Europe/London", "2031-10-25T09:00:00Z", "P1D", "2031-10-26T10:00:00Z"),  # 25 hours
    ],
)
def test_validity_on_the_wall_clock(
    model_server: Server, timezone: str, now: str, validity: str, expires_at: str
) -> None:
    """The coupon's `validity` after `valid_from`: years, months, weeks, days on the brand's wall clock."""
    told = Scenario(model_server, timezone, now=now, validity=validity)
    told.rule(issue_on_signup=True, roll_over=True)
    told.sign_up(now[:10])
    assert told.when("expires_at") == instant(expires_at)


@pytest.mark.parametrize("validity", ["PT1H", "P1DT1H", "-P1D", "P0.5M", "60 days", "P"])
def test_any_other_validity_is_refused(model_server: Server, validity: str) -> None:
    """Anything else is refused when the coupon is saved."""
    Scenario(model_server).coupon(validity, (422,))


def test_without_roll_over_it_ends_with_the_billing_period(model_server: Server) -> None:
    """Unused, it is then expired, never later than the moment the next period begins."""
    told = party(model_server, roll_over=False, for_lead_booker_only=True)
    told.to("2031-03-04T23:59:59Z")
    assert told.held() == ["2031-02-05 live"]
    told.to("2031-03-05")
    assert told.held() == ["2031-02-05 expired", "2031-03-05 live"]


def test_a_quarterly_credit_without_roll_over_ends_with_the_month(model_server: Server) -> None:
    """The first billing-period start after `valid_from`, or the end of the rule's period, whichever is first."""
    told = Scenario(model_server, billing="automatic")
    told.rule(issuing_frequency="P3M")
    told.sign_up("2031-01-05")
    told.to("2031-04-06")
    assert told.when("expires_at") == instant("2031-05-05")
    assert told.only()["period_end"] == "2031-07-05"


def test_a_monthly_credit_on_an_annual_membership_ends_with_the_month(model_server: Server) -> None:
    """The end of the rule's period, where that comes before the next billing period."""
    told = Scenario(model_server, billing="automatic")
    told.rule(issuing_frequency="P1M")
    told.sign_up("2031-01-05", billing_frequency="P1Y")
    told.to("2031-02-06")
    assert told.when("expires_at") == instant("2031-03-05")


def test_with_roll_over_unused_credits_stay_beside_the_new_one(model_server: Server) -> None:
    """No limit from the rule; only the coupon's."""
    told = party(model_server, for_lead_booker_only=True)
    told.to("2031-04-06")
    assert told.held("live") == ["2031-02-05", "2031-03-05", "2031-04-05"]
    assert told.rows()[0]["expires_at"] is None


def test_time_decides_whether_it_can_be_redeemed(model_server: Server) -> None:
    """An expired credit can not be redeemed, one not yet valid neither."""
    told = party(model_server, roll_over=False, for_lead_booker_only=True, issue_on_signup=True)
    assert told.redeem(0, 409)["error"]["code"] == "not_yet_valid"
    told.to("2031-02-05")
    assert told.redeem(0, 409)["error"]["code"] == "expired"
    told.redeem(1)
    assert told.redeem(1, 409)["error"]["code"] == "already_redeemed"


def test_multi_use_counts_its_uses(model_server: Server) -> None:
    """Any number of redemptions until `expires_at`; it never becomes `redeemed`."""
    told = party(model_server, roll_over=False, for_lead_booker_only=True, multi_use=True)
    told.to("2031-02-06")
    for _ in range(3):
        told.redeem()
    assert (told.only()["status"], told.only()["uses"]) == ("live", 3)
    told.to("2031-03-05")
    assert told.redeem(0, 409)["error"]["code"] == "expired"


def test_after_an_outage_roll_over_catches_up_every_missed_period(model_server: Server) -> None:
    """No credit is issued dead: roll-over rules catch up every missed paid period, the others only the current one."""
    for roll_over, expected in [(True, ["2031-02-05", "2031-03-05", "2031-04-05"]), (False, ["2031-04-05"])]:
        told = party(model_server, roll_over=roll_over, for_lead_booker_only=True)
        told.to("2031-04-20", jump=True)
        assert told.held("live") == expected
        assert len(told.rows()) == len(expected)
        if not roll_over:
            assert told.why("2031-02-05", "2031-02-05") == {"2031-02-05": "period_over"}


def test_changing_a_rule_or_a_coupon_rewrites_nothing(model_server: Server) -> None:
    """Changing a rule or a coupon never rewrites credits that are out."""
    told = party(model_server, for_lead_booker_only=True)
    told.to("2031-02-06")
    before = told.rows()
    told.coupon("P1D")
    told.update(multi_use=True, roll_over=False, for_lead_booker_only=False, include_upcoming=True)
    assert told.rows() == before


@pytest.mark.parametrize(
    "changed", [{"issuing_frequency": "P3M"}, {"issuing_frequency": "P0D"}, {"for_lead_booker_only": False}]
)
def test_nor_when_it_is_saved_at_the_very_instant_of_the_release(model_server: Server, changed: dict[str, Any]) -> None:
    """A sandbox's clock stands still: `include_upcoming` saved at the instant of a release leaves alone what is out."""
    told = party(model_server, for_lead_booker_only=True)
    told.to("2031-02-05")
    before = told.rows()
    told.update(include_upcoming=True, **changed)
    told.status("active", time="2031-02-04")
    assert told.rows() == before


def test_saved_at_that_instant_it_is_in_force_for_what_is_not_out(model_server: Server) -> None:
    """Section 4: saved with `include_upcoming` at or before the release, whichever of the two came in first."""
    for rule_first in (True, False):
        told = Scenario(model_server)
        told.sign_up("2031-01-05")
        told.to("2031-02-10")
        if rule_first:
            told.rule(include_upcoming=True)
        told.charge("initiated", "2031-02-05")
        if not rule_first:
            told.rule(include_upcoming=True)
        assert told.held() == ["2031-02-05 live"]
