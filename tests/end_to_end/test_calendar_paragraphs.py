"""SEMANTICS 2-4 over HTTP, a test a sentence: the calendar, what releases an occurrence, which version is in force."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns.model.brand import Server
from tests.end_to_end.scenario import Scenario, instant


def monthly(model_server: Server, starts_on: str, until: str, timezone: str = "UTC", **flags: Any) -> Scenario:
    """An automatically billed membership under a rule that rolls over, unless `flags` say otherwise."""
    told = Scenario(model_server, timezone, billing="automatic")
    told.rule(**{"roll_over": True, **flags})
    told.sign_up(starts_on)
    told.to(until)
    return told


# 2. Calendar


@pytest.mark.parametrize(
    ("timezone", "starts_on", "valid_from"),
    [
        ("Europe/London", "2031-05-06", "2031-06-05T23:00:00Z"),
        ("Asia/Beirut", "2031-01-30", "2031-03-29T22:00:00Z"),  # 00:00 is skipped: 01:00 local
        ("Africa/Cairo", "2031-03-25", "2031-04-24T22:00:00Z"),  # 00:00 is skipped: 01:00 local
        ("America/Havana", "2031-02-09", "2031-03-09T05:00:00Z"),  # 00:00 is skipped: 01:00 local
        ("America/Havana", "2031-10-02", "2031-11-02T04:00:00Z"),  # 00:00 comes twice: the first
        ("Australia/Lord_Howe", "2031-05-06", "2031-06-05T13:30:00Z"),
        ("America/Sao_Paulo", "2031-01-05", "2031-02-05T03:00:00Z"),
    ],
)
def test_a_date_becomes_an_instant_at_local_midnight(
    model_server: Server, timezone: str, starts_on: str, valid_from: str
) -> None:
    """A midnight that a DST gap skips is the first instant after the gap; one that happens twice is the first."""
    told = monthly(model_server, starts_on, valid_from, timezone)
    assert instant(told.rows()[-1]["valid_from"]) == instant(valid_from)


def test_anchor_plus_k_in_one_step(model_server: Server) -> None:
    """31 Jan, 28 Feb, 31 Mar: never the previous boundary plus a month."""
    told = monthly(model_server, "2031-01-31", "2031-05-30")
    assert told.held() == ["2031-02-28 live", "2031-03-31 live", "2031-04-30 live"]


def test_29_february_comes_back_four_years_on(model_server: Server) -> None:
    """29 Feb + P1Y is 28 Feb, and 29 Feb again four years on."""
    told = Scenario(model_server, now="2031-12-01", billing="automatic")
    told.rule(roll_over=True)
    told.sign_up("2032-02-29", billing_frequency="P1Y")
    told.to("2036-03-01")
    assert told.held("live") == ["2033-02-28", "2034-02-28", "2035-02-28", "2036-02-29"]


def test_a_later_anchor_is_the_first_boundary(model_server: Server) -> None:
    """boundary(0) = starts_on; with a later anchor boundary(k) = anchor + (k-1)·F."""
    told = Scenario(model_server, billing="automatic")
    told.rule(roll_over=True, issue_on_signup=True, issuing_frequency="P3M")
    told.sign_up("2031-01-20", billing_anchor="2031-02-28")
    told.to("2031-09-01")
    assert told.held() == ["2031-01-20 live", "2031-02-28 live", "2031-05-28 live", "2031-08-28 live"]


def test_an_anchor_before_the_start_is_refused(model_server: Server) -> None:
    """A `billing_anchor` before `starts_on` is refused."""
    told = Scenario(model_server)
    told.sign_up("2031-01-20", billing_anchor="2031-01-19", expected="rejected")


@pytest.mark.parametrize("frequency", ["P2M", "P1W", "P12M", "-P1M", "P0.5M", "P0M", "PT0S", "monthly", ""])
def test_other_frequencies_are_refused_at_the_edge(model_server: Server, frequency: str) -> None:
    """`issuing_frequency` is one of six values; anything else is refused."""
    Scenario(model_server).rule(status=422, issuing_frequency=frequency)


def test_p0d_gives_one_credit_once_ever(model_server: Server) -> None:
    """One credit per membership and guest; its key's period starts on `starts_on` and has no end."""
    told = monthly(model_server, "2031-01-05", "2031-07-01", issuing_frequency="P0D")
    row = told.only()
    assert (row["period_start"], row["period_end"], row["expires_at"]) == ("2031-01-05", None, None)


# 3. Occurrences, and what releases them


def test_the_sign_up_is_released_at_once(model_server: Server) -> None:
    """It is released at once, with `valid_from` = `starts_on` if that is later."""
    told = Scenario(model_server)
    told.rule(issue_on_signup=True)
    told.sign_up("2031-01-20")
    assert told.held() == ["2031-01-20 upcoming"]
    assert told.when("valid_from") == instant("2031-01-20")
    told.to("2031-01-20")
    assert told.held() == ["2031-01-20 live"]


def test_a_later_occurrence_waits_for_its_charge(model_server: Server) -> None:
    """Credits go out when a charge is initiated, not when the bank confirms it days later."""
    told = Scenario(model_server)
    told.rule()
    told.sign_up("2031-01-05")
    told.to("2031-02-06")
    assert told.held() == []
    told.charge("initiated", "2031-02-05", "2031-03-05")
    assert told.held() == ["2031-02-05 live"]
    assert told.when("valid_from") == instant("2031-02-06")


def test_a_charge_ahead_of_its_period_releases_at_the_start(model_server: Server) -> None:
    """An occurrence is released when its period has started, not before."""
    told = Scenario(model_server)
    told.rule()
    told.sign_up("2031-01-05")
    told.to("2031-02-01")
    told.charge("succeeded", "2031-02-05", "2031-03-05")
    assert told.held() == []
    told.to("2031-02-10")
    assert told.when("valid_from") == instant("2031-02-05")


def test_an_annual_charge_releases_a_monthly_rule_month_by_month(model_server: Server) -> None:
    """A monthly rule on an annual membership is released month by month under the one annual charge."""
    told = Scenario(model_server)
    told.rule(issuing_frequency="P1M")
    told.sign_up("2031-01-31", billing_frequency="P1Y")
    told.charge("initiated", "2031-01-31", "2032-01-31", time="2031-01-31")
    told.to("2031-04-30")
    assert told.held() == ["2031-02-28 expired", "2031-03-31 expired", "2031-04-30 live"]


def test_p0d_rides_on_the_first_billing_period(model_server: Server) -> None:
    """Without `issue_on_signup`, on the first billing period from occurrence 1 on that is released."""
    told = Scenario(model_server)
    told.rule(issuing_frequency="P0D")
    told.sign_up("2031-01-05")
    told.charge("succeeded", "2031-01-05", "2031-02-05", time="2031-01-05")
    told.charge("skipped", "2031-02-05", "2031-03-05", time="2031-02-05")
    told.charge("initiated", "2031-03-05", "2031-04-05", time="2031-03-05")
    told.charge("initiated", "2031-04-05", "2031-05-05", time="2031-04-05")
    told.to("2031-06-01")
    row = told.only()
    assert row["period_start"] == "2031-01-05"
    assert told.when("valid_from") == instant("2031-03-05")
    assert told.when("expires_at") == instant("2031-04-05")


def test_p0d_saved_with_include_upcoming_reaches_those_who_had_signed_up(model_server: Server) -> None:
    """With `issue_on_signup` it rides on the sign-up; with `include_upcoming`, older memberships' next charge too."""
    for include_upcoming, expected in [(True, ["2031-01-05 live"]), (False, [])]:
        told = Scenario(model_server, billing="automatic")
        told.sign_up("2031-01-05")
        told.to("2031-02-20")
        told.rule(issuing_frequency="P0D", issue_on_signup=True, roll_over=True, include_upcoming=include_upcoming)
        told.to("2031-05-20")
        assert told.held() == expected
        if expected:
            assert told.when("valid_from") == instant("2031-03-05")


def test_without_issue_on_signup_the_first_charge_gives_nothing(model_server: Server) -> None:
    """A rule without `issue_on_signup` gives nothing for occurrence 0, even where the first charge is taken then."""
    told = Scenario(model_server)
    told.rule()
    told.sign_up("2031-01-05")
    told.charge("succeeded", "2031-01-05", "2031-02-05", time="2031-01-05")
    told.to("2031-01-20")
    assert told.held() == []
    assert told.why("2031-01-05", "2031-01-05") == {"2031-01-05": "not_signup_rule"}


def test_joining_on_the_31st_with_billing_on_the_1st(model_server: Server) -> None:
    """Two credits a day apart (sign-up, then schedule)."""
    told = Scenario(model_server)
    told.rule(issue_on_signup=True, roll_over=True)
    told.sign_up("2031-01-31", billing_anchor="2031-02-01")
    told.charge("initiated", "2031-02-01", time="2031-02-01")
    told.to("2031-02-15")
    assert told.held() == ["2031-01-31 live", "2031-02-01 live"]


def test_joining_on_the_billing_date_gives_one(model_server: Server) -> None:
    """Joining on the billing date gives one credit."""
    told = Scenario(model_server)
    told.rule(issue_on_signup=True, roll_over=True)
    told.sign_up("2031-01-31")
    told.charge("initiated", "2031-01-31", time="2031-01-31")
    told.to("2031-02-15")
    assert told.held() == ["2031-01-31 live"]


def test_what_happens_to_another_charge_changes_nothing(model_server: Server) -> None:
    """A released occurrence stays owed unless its own charge is taken back."""
    told = Scenario(model_server)
    told.rule(roll_over=True)
    told.sign_up("2031-01-05")
    told.charge("succeeded", "2031-02-05", "2031-03-05", time="2031-02-05")
    told.charge("failed", "2031-03-05", "2031-04-05", time="2031-03-05")
    told.to("2031-03-10")
    assert told.held() == ["2031-02-05 live"]


# 4. Which version of the rule applies


def test_a_rule_created_today_starts_with_the_cycle_after_the_scheduled_one(model_server: Server) -> None:
    """Without `include_upcoming` with the cycle after the one already scheduled; with it, with the next one."""
    for include_upcoming, first in [(False, "2031-04-05"), (True, "2031-03-05")]:
        told = Scenario(model_server, billing="automatic")
        told.sign_up("2031-01-05")
        told.to("2031-02-10")
        told.rule(roll_over=True, include_upcoming=include_upcoming)
        told.to("2031-06-01")
        assert told.held("live")[0] == first
        assert len(told.held("live")) == (2 if first == "2031-04-05" else 3)


def test_an_update_leaves_the_scheduled_cycle_unless_it_includes_it(model_server: Server) -> None:
    """An update without it leaves the scheduled cycle on the old version; with it, moves that cycle to the new one."""
    for include_upcoming, versions in [(False, [1, 1, 2]), (True, [1, 2, 2])]:
        told = Scenario(model_server, billing="automatic")
        told.rule(roll_over=True)
        told.sign_up("2031-01-05")
        told.to("2031-02-10")
        told.update(multi_use=True, include_upcoming=include_upcoming)
        told.to("2031-04-10")
        assert [row["rule_version"] for row in told.rows()] == versions
        assert [row["multi_use"] for row in told.rows()] == [version == 2 for version in versions]


def test_versions_that_differ_in_frequency_form_one_chain(model_server: Server) -> None:
    """The version in force for a turn gives a credit only if the date is on its own calendar."""
    told = Scenario(model_server, billing="automatic")
    told.rule(roll_over=True, issuing_frequency="P3M")
    told.sign_up("2031-01-05")
    told.to("2031-04-10")
    told.update(issuing_frequency="P1M")
    told.to("2031-09-10")
    # 5 July was scheduled on 5 April, before the update; May and June are not on the old version's calendar
    assert told.held("live") == ["2031-04-05", "2031-07-05", "2031-08-05", "2031-09-05"]


def test_a_rule_moved_to_another_type_gives_the_old_type_nothing(model_server: Server) -> None:
    """A version that moves the rule to another membership type gives the old type's members nothing from then on."""
    told = Scenario(model_server, billing="automatic")
    told.membership_type("silver")
    told.rule(roll_over=True)
    told.sign_up("2031-01-05")
    told.to("2031-02-10")
    told.update(membership_type_id=told.brand.id("silver"), include_upcoming=True)
    told.to("2031-05-10")
    assert told.held("live") == ["2031-02-05"]


def test_a_deletion_is_in_force_for_everything_at_once(model_server: Server) -> None:
    """Nothing is issued under a deleted rule; credits issued earlier live on."""
    told = Scenario(model_server, billing="automatic")
    told.rule(roll_over=True)
    told.sign_up("2031-01-05")
    told.to("2031-02-10")
    told.delete()
    told.to("2031-05-10")
    assert told.held() == ["2031-02-05 live"]
    assert told.why("2031-03-05", "2031-03-05") == {"2031-03-05": "rule_deleted"}
