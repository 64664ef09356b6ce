"""SEMANTICS 8-10 over HTTP, a test a sentence: never twice, never lost; manual issue; replay."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from campaigns.model.brand import Server
from tests.end_to_end.scenario import ANN, BOB, Scenario

FEBRUARY = ("2031-02-05", "2031-03-05")


def paid(model_server: Server, **flags: Any) -> Scenario:
    """A monthly membership from 5 January 2031 on whose January is paid, on 10 January."""
    told = Scenario(model_server)
    told.rule(**flags)
    told.sign_up("2031-01-05")
    told.charge("succeeded", "2031-01-05", "2031-02-05", time="2031-01-05")
    told.to("2031-01-10")
    return told


# 8. Never twice, never lost


def test_the_same_event_again_is_a_no_op(model_server: Server) -> None:
    """The same id again is a no-op; with another body it is refused."""
    told = paid(model_server)
    fact = told.charge("initiated", *FEBRUARY, time="2031-02-05")
    assert told.brand.post([fact])["duplicates"] == 1
    other = type(fact)(fact.id, fact.time, "charge.failed", fact.membership, fact.data)
    (rejected,) = told.brand.post([other])["rejected"]
    assert rejected["code"] == "event_conflict"
    told.to("2031-02-06")
    assert told.held() == ["2031-02-05 live"]


def test_events_wait_for_their_sign_up(model_server: Server) -> None:
    """Events may come in any order: an unknown membership's wait for its sign-up."""
    told = Scenario(model_server)
    told.rule()
    told.to("2031-02-06")
    told.charge("succeeded", *FEBRUARY, time="2031-02-05")
    assert told.held() == []
    told.sign_up("2031-01-05", time="2031-01-04")
    assert told.held() == ["2031-02-05 live"]


def test_an_import_is_a_catch_up_like_any_other(model_server: Server) -> None:
    """A sign-up whose `starts_on` lies in the past, with its old charges."""
    told = Scenario(model_server, now="2031-06-10")
    told.rule(roll_over=True, include_upcoming=True)
    told.sign_up("2031-01-31", time="2031-06-10")
    for start, end in [("2031-02-28", "2031-03-31"), ("2031-03-31", "2031-04-30"), ("2031-05-31", "2031-06-30")]:
        told.charge("succeeded", start, end, time=start)
    assert told.held() == ["2031-02-28 live", "2031-03-31 live", "2031-05-31 live"]


# 9. Manual issue


def test_it_takes_the_current_periods_key(model_server: Server) -> None:
    """It takes the current period's key if that is free, so later billing does not give a second one."""
    told = paid(model_server)
    told.to("2031-02-06")
    told.issue()
    assert told.held() == ["2031-02-05 live"]
    told.charge("succeeded", *FEBRUARY)
    assert told.held() == ["2031-02-05 live"]


def test_one_who_holds_a_credit_gets_none(model_server: Server) -> None:
    """Each guest who holds no credit of this rule that is unredeemed, unexpired and unrevoked gets one."""
    told = paid(model_server)
    told.issue()
    told.issue()
    assert told.held() == ["2031-01-05 live"]


def test_where_the_key_is_taken_a_further_one_is_numbered(model_server: Server) -> None:
    """Whatever became of that credit, a further one is issued and numbered (`reissue` 1, 2, …)."""
    told = paid(model_server)
    told.issue()
    told.redeem()
    told.issue()
    told.revoke(1)
    told.issue()
    assert [(row["reissue"], row["status"]) for row in told.rows()] == [(0, "redeemed"), (1, "revoked"), (2, "live")]


def test_a_multi_use_credit_counts_as_held_whatever_its_uses(model_server: Server) -> None:
    """Until it expires."""
    told = paid(model_server, multi_use=True)
    told.issue()
    told.redeem()
    told.issue()
    assert told.held() == ["2031-01-05 live"]


def test_before_the_start_the_current_period_is_the_sign_ups(model_server: Server) -> None:
    """And a credit not yet valid counts as held."""
    told = Scenario(model_server)
    told.rule()
    told.sign_up("2031-01-05")
    told.issue(include_upcoming=True)
    told.issue(include_upcoming=True)
    assert told.held() == ["2031-01-05 upcoming"]


def test_upcoming_ones_only_with_include_upcoming(model_server: Server) -> None:
    """Section 7: `upcoming` memberships only with `include_upcoming`."""
    told = Scenario(model_server)
    told.rule()
    told.sign_up("2031-01-05")
    told.to("2031-01-10")
    told.issue()
    assert told.held() == []
    told.issue(include_upcoming=True)
    assert told.held() == ["2031-01-05 live"]


@pytest.mark.parametrize("status", ["needs_attention", "paused", "cancelled", "expired"])
def test_others_get_none(model_server: Server, status: str) -> None:
    """Section 7: needs_attention, paused, cancelled, expired: no."""
    told = paid(model_server)
    told.status(status)
    told.issue(include_upcoming=True)
    assert told.held() == []


def test_charge_events_do_not_touch_manual_credits(model_server: Server) -> None:
    """Charge events do not touch credits of a manual run."""
    told = paid(model_server)
    told.issue()
    assert told.held() == ["2031-01-05 live"]
    told.charge("disputed", "2031-01-05", "2031-02-05")
    assert told.held() == ["2031-01-05 live"]


def test_every_guest_at_that_moment_gets_one(model_server: Server) -> None:
    """Each guest on the order at that moment, not at the period's start."""
    told = Scenario(model_server, now="2031-01-05")
    told.rule()
    told.sign_up("2031-01-05", guests=[ANN])
    told.to("2031-01-10")
    told.guests(ANN, BOB)
    told.issue(include_upcoming=True)
    assert told.holders() == ["ann 2031-01-05", "bob 2031-01-05"]


def test_one_who_had_left_before_keeps_none(model_server: Server) -> None:
    """Section 5: a guest removed keeps nothing, also where the removal is heard of after the manual issue."""
    told = Scenario(model_server)
    told.rule()
    told.sign_up("2031-01-05", guests=[ANN, BOB])
    told.to("2031-01-10")
    told.issue(include_upcoming=True)
    assert told.holders() == ["ann 2031-01-05", "bob 2031-01-05"]
    told.guests(ANN, time="2031-01-09")
    assert told.holders() == ["ann 2031-01-05"]


def test_two_manual_issues_at_once_give_one_credit(model_server: Server) -> None:
    """Two manual issues at once, or one beside the scheduler, give one credit."""
    told = paid(model_server)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: told.issue(), range(6)))
    assert told.held() == ["2031-01-05 live"]


# 10. Replay


def test_a_replay_changes_nothing_the_second_time(model_server: Server) -> None:
    """It touches nothing that is there, and a plan issues nothing."""
    told = paid(model_server, roll_over=True)
    told.charge("succeeded", *FEBRUARY, time="2031-02-05")
    told.to("2031-02-06")
    told.revoke()
    before = told.rows()
    for dry_run in (True, False, False):
        body = {"credit_rule_id": told.brand.id("rule"), "from": "2031-01-01", "to": "2031-12-31", "dry_run": dry_run}
        told.brand.call("POST", "/replays", 202, json=body)
        assert told.rows() == before
