"""Lives that random histories seldom draw: the decisions and the oracle read the contract alike."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import count
from typing import Any

import pytest

from campaigns.model.decided import failure
from campaigns.model.histories import History
from campaigns.model.words import SIGN_UP, Fact, Guest, Op
from tests.unit.club import at

_numbers = count()


def told(instant: str, kind: str, **data: Any) -> Op:
    """One fact, told when it happens; dates as text."""
    said = {name: date.fromisoformat(value) if name in DATES and value else value for name, value in data.items()}
    fact = Fact(f"m-{next(_numbers):04}", at(instant), kind, "m", said)
    return Op("post", {"facts": [fact]})


DATES = {"starts_on", "billing_anchor", "period_start", "period_end", "ends_on"}


def signed_up(instant: str, starts_on: str, **data: Any) -> Op:
    said = {"membership_type": "gold", "billing_frequency": "P1M", "billing_anchor": None, **data}
    return told(instant, SIGN_UP, starts_on=starts_on, **said)


def charge(instant: str, state: str, name: str, period_start: str, period_end: str | None = None) -> Op:
    return told(instant, f"charge.{state}", charge=name, period_start=period_start, period_end=period_end)


def status(instant: str, status: str, **data: Any) -> Op:
    return told(instant, "membership.status_changed", status=status, **data)


def clock(now: str) -> Op:
    return Op("clock", {"now": at(now), "jump": False})


def coupon(validity: str | None) -> Op:
    return Op("coupon", {"name": "spa", "validity": validity})


def read_alike(start: str, *ops: Op, validity: str | None = None, billing: str = "external", **flags: Any) -> None:
    """Each operation on both sides, of a brand with one type and one rule. Facts arrive when they happen, or late."""
    said = {"coupon": "spa", "membership_type": "gold", **flags}
    types = [Op("membership_type", {"name": name, "billing": billing}) for name in ("gold", "silver")]
    played = [coupon(validity), *types, Op("create_rule", {"rule": "rule", **said})]
    now = at(start)
    for op in ops:
        then = op.args["facts"][0].time if op.name == "post" else op.args.get("now", now)
        if op.name == "post" and then > now:
            played.append(Op("clock", {"now": then, "jump": False}))
        now = max(now, then)
        played.append(op)
    mismatch = failure(History(0, "UTC", at(start), tuple(played)))
    assert mismatch is None, mismatch


@pytest.mark.parametrize(
    ("signed_up_at", "starts_on", "was", "is_now"),
    [("2031-01-05T09:13:05", "2030-07-01", "P1Y", "P6M"), ("2030-12-20", "2031-01-01", "P2M", "P1M")],
)
def test_a_coupon_that_is_saved_again(signed_up_at: str, starts_on: str, was: str, is_now: str) -> None:
    ops = signed_up(signed_up_at, starts_on), coupon(is_now), clock("2031-02-01"), clock("2031-03-01"), coupon(None)
    later = clock("2031-04-01"), coupon("P1Y"), clock("2032-02-01")
    flags = {"issuing_frequency": "P0D", "issue_on_signup": True, "roll_over": True}
    read_alike(signed_up_at, *ops, *later, validity=was, billing="automatic", **flags)


@pytest.mark.parametrize("is_now", ["P1M", "P7D", None])
def test_a_coupon_that_is_saved_again_before_its_credit_goes_over(is_now: str | None) -> None:
    read_alike(
        "2030-12-15",
        signed_up("2030-12-15", "2030-12-15", billing_anchor="2031-01-01"),
        charge("2031-01-01", "initiated", "jan", "2031-01-01"),
        charge("2031-01-04", "skipped", "jan", "2031-01-01"),
        coupon(is_now),
        charge("2031-02-01", "succeeded", "feb", "2031-02-01"),
        clock("2031-03-10"),
        validity="P20D",
        issuing_frequency="P0D",
        roll_over=True,
    )


def test_a_charge_that_is_told_to_be_initiated_again_while_another_is_outstanding() -> None:
    ops = signed_up("2031-01-01", "2031-01-01"), charge("2031-02-01", "initiated", "c1", "2031-02-01")
    retry = charge("2031-02-01T08:00", "initiated", "c2", "2031-02-01")
    again = charge("2031-02-03", "initiated", "c2", "2031-02-01")
    read_alike("2031-01-01", *ops, retry, charge("2031-02-02", "failed", "c1", "2031-02-01"), again)


@pytest.mark.parametrize("again", ["succeeded", "initiated"])
def test_a_charge_that_is_told_again_after_a_pause(again: str) -> None:
    year = "2031-01-01", "2032-01-01"
    pause = status("2031-03-28", "paused"), status("2031-04-10", "active")
    ops = signed_up("2031-01-01", year[0], billing_frequency="P1Y"), charge(year[0], "succeeded", "c", *year), *pause
    later = charge("2031-04-12", again, "c", *year), charge("2031-04-13", "succeeded", "c", *year)
    read_alike("2031-01-01", *ops, *later, clock("2031-05-02"), issuing_frequency="P1M", roll_over=True)


@pytest.mark.parametrize("longer", ["P1Y", None])
def test_a_coupon_that_is_saved_longer_after_an_import(longer: str | None) -> None:
    starts = [f"2031-{month:02}-01" for month in range(1, 7)]
    months = (charge(f"{start}T08:00", "succeeded", start, start) for start in starts)
    ops = signed_up("2031-06-10", "2031-01-01"), *months, clock("2031-06-11"), coupon(longer), clock("2031-07-02")
    read_alike("2030-12-01", *ops, validity="P30D", roll_over=True)


def test_a_retry_in_trouble_for_a_period_that_began_paused() -> None:
    pause = status("2031-01-20", "paused"), status("2031-02-02", "active")
    failed = charge("2031-02-03", "failed", "c1", "2031-02-01"), charge("2031-02-04", "initiated", "c2", "2031-02-01")
    read_alike("2031-01-01", signed_up("2031-01-01", "2031-01-01"), *pause, *failed, status("2031-02-05", "active"))


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_two_guests_with_one_address(order: list[int]) -> None:
    party = [Guest("ann", True, None, False, "f@x"), Guest("bob", False, None, False)]
    family = [replace(guest, email="f@x") for guest in party]
    later = told("2031-01-02", "membership.guests_changed", guests=[family[number] for number in order])
    told_first = signed_up("2031-01-01", "2031-01-01", guests=party)
    read_alike("2031-01-01", told_first, later, clock("2031-01-03"), issue_on_signup=True)


@pytest.mark.parametrize("ends", [None, "2031-03-01"])
@pytest.mark.parametrize("first_end", ["2031-01-20", "2031-02-01", "2031-02-10"])
def test_a_charge_whose_period_is_corrected(first_end: str, ends: str | None) -> None:
    wrong = charge("2031-02-01", "initiated", "c", "2031-01-01", first_end)
    right = charge("2031-02-01T01:00", "succeeded", "c", "2031-02-01", ends)
    read_alike("2031-01-01", signed_up("2031-01-01", "2031-01-01"), wrong, right, clock("2031-02-20"))


def test_a_charge_of_an_empty_period_stays_one() -> None:
    fee = charge("2031-02-01", "initiated", "c", "2031-02-01", "2031-02-01")
    paid = charge("2031-02-02", "succeeded", "c", "2031-02-01")
    read_alike("2031-01-01", signed_up("2031-01-01", "2031-01-01"), fee, paid)


@pytest.mark.parametrize("disputed_at", ["2031-02-01T00:30", "2031-02-01T02:00"], ids=["before", "within"])
@pytest.mark.parametrize("later", [[], ["failed", "initiated"], ["failed", "succeeded"]], ids=str)
def test_trouble_that_begins_before_a_pause_or_within(disputed_at: str, later: list[str]) -> None:
    jan, pause = charge("2031-01-01", "succeeded", "j", "2031-01-01"), status("2031-02-01T01:00", "paused")
    trouble = charge(disputed_at, "disputed", "j", "2031-01-01")
    first = sorted([pause, trouble], key=lambda op: op.args["facts"][0].time)
    feb = (charge(f"2031-02-0{n + 2}", state, "f", "2031-02-01") for n, state in enumerate(["initiated", *later]))
    won = charge("2031-02-10", "succeeded", "j", "2031-01-01")
    told_first = signed_up("2031-01-01", "2031-01-01")
    read_alike("2031-01-01", told_first, jan, *first, *feb, won, status("2031-02-12", "active"))


@pytest.mark.parametrize("told_at", ["2031-01-20", "2031-02-10"], ids=["in time", "late"])
@pytest.mark.parametrize("taken_back", ["2031-01-20", "2031-02-05"], ids=["before its end", "later"])
@pytest.mark.parametrize("validity", [None, "P10D"])
def test_a_gift_that_was_taken_back_before_its_end(told_at: str, taken_back: str, validity: str | None) -> None:
    refunded, feb = (
        charge(taken_back, "refunded", "j", "2031-01-01"),
        charge("2031-02-01", "succeeded", "f", "2031-02-01"),
    )
    first = (
        signed_up("2030-12-15", "2030-12-15", billing_anchor="2031-01-01"),
        charge("2031-01-01", "succeeded", "j", "2031-01-01"),
    )
    both = (
        [feb, clock(told_at), refunded]
        if told_at > "2031-02"
        else sorted([feb, refunded], key=lambda op: op.args["facts"][0].time)
    )
    read_alike(
        "2030-12-15",
        *first,
        *both,
        clock("2031-02-20"),
        clock("2031-03-05"),
        validity=validity,
        issuing_frequency="P0D",
    )


@pytest.mark.parametrize("roll_over", [True, False])
def test_a_sign_up_and_a_p0d_turn_of_one_key_that_are_owed_at_once(roll_over: bool) -> None:
    once = {"issuing_frequency": "P0D", "issue_on_signup": False, "include_upcoming": True}
    read_alike(
        "2031-01-05",
        clock("2031-01-20"),
        Op("update_rule", {"rule": "rule", **once}),
        clock("2031-02-12"),
        signed_up("2031-01-10", "2031-01-10"),
        charge("2031-02-10", "succeeded", "c", "2031-02-10"),
        clock("2031-03-20"),
        issue_on_signup=True,
        roll_over=roll_over,
    )


@pytest.mark.parametrize("told_at", ["2031-01-20", "2031-02-10"], ids=["in time", "late"])
@pytest.mark.parametrize("kind", ["paused", "cancelled"])
def test_a_gift_whose_own_period_was_stopped(told_at: str, kind: str) -> None:
    stopped = status("2030-12-20", kind), status("2031-01-15", "active")
    feb = charge("2031-02-01", "succeeded", "f", "2031-02-01")
    read_alike(
        "2030-12-15",
        signed_up("2030-12-15", "2030-12-15", billing_anchor="2031-01-01"),
        charge("2031-01-01", "succeeded", "j", "2031-01-01"),
        *((feb, clock(told_at), *stopped) if told_at > "2031-02" else (clock(told_at), *stopped, feb)),
        clock("2031-03-05"),
        issuing_frequency="P0D",
    )


@pytest.mark.parametrize("flags", [{"issuing_frequency": "P0D"}, {"issue_on_signup": True, "roll_over": True}], ids=str)
def test_an_extended_credit_that_rides_where_the_start_was_moved(flags: dict[str, Any]) -> None:
    read_alike(
        "2031-01-02",
        signed_up("2031-01-02", "2031-01-10"),
        told("2031-01-05", "membership.start_moved", starts_on="2031-01-20", billing_anchor=None),
        charge("2031-02-20", "succeeded", "c1", "2031-02-20"),
        clock("2031-02-25"),
        Op("extend", {"pick": 0, "days": 8}),
        charge("2031-03-05", "refunded", "c1", "2031-02-20"),
        charge("2031-03-20", "succeeded", "c2", "2031-03-20"),
        clock("2031-04-20"),
        validity="P10D",
        **flags,
    )


@pytest.mark.parametrize(
    "flags", [{}, {"issuing_frequency": "P3M"}, {"roll_over": True, "roll_over_limit": 1}], ids=str
)
def test_a_move_told_after_a_gift_by_hand(flags: dict[str, Any]) -> None:
    paid = signed_up("2031-01-01", "2031-01-01"), charge("2031-01-01", "succeeded", "c", "2031-01-01")
    by_hand = clock("2031-01-11"), Op("issue", {"rule": "rule", "include_upcoming": False}), clock("2031-01-12")
    moved = told("2031-01-10T10:00", "membership.billing_date_moved", billing_anchor="2031-01-10")
    read_alike("2031-01-01", *paid, *by_hand, moved, clock("2031-01-20"), clock("2031-04-20"), **flags)


@pytest.mark.parametrize("flags", [{}, {"issuing_frequency": "P0D"}, {"issuing_frequency": "P3M"}], ids=str)
@pytest.mark.parametrize("starts_on", ["2031-01-16", "2030-12-28", "2031-03-10"])
def test_a_start_that_is_moved_under_an_extended_credit(starts_on: str, flags: dict[str, Any]) -> None:
    first = signed_up("2030-12-20", "2031-01-15"), clock("2030-12-21"), Op("extend", {"pick": 0, "days": 30})
    moved = told("2030-12-22", "membership.start_moved", starts_on=starts_on, billing_anchor=None)
    paid = (
        charge(starts_on, "failed", "c", starts_on),
        clock("2031-03-20"),
        charge(starts_on, "succeeded", "c", starts_on),
    )
    again = told("2030-12-23", "membership.start_moved", starts_on="2031-01-15", billing_anchor=None)
    read_alike("2030-12-20", *first, moved, *paid, clock("2031-06-01"), issue_on_signup=True, **flags)
    read_alike("2030-12-20", *first, moved, again, clock("2031-06-01"), issue_on_signup=True, **flags)


def test_a_period_that_begins_on_a_former_start_has_its_own_credit() -> None:
    """Though the version that gave for that start is another, and the present one was saved as the period before began:
    the key's credit is the period's again."""
    later = Op("update_rule", {"rule": "rule", "include_upcoming": True, "issuing_frequency": "P6M"})
    read_alike(
        "2030-12-12",
        signed_up("2030-12-12", "2030-12-29", billing_frequency="P2Y", billing_anchor="2030-12-29"),
        clock("2030-12-20"),
        later,
        told("2030-12-20", "membership.billing_date_moved", billing_anchor="2030-12-29"),
        told("2030-12-21", "membership.start_moved", starts_on="2030-12-01", billing_anchor="2030-12-20"),
        clock("2031-01-04"),
        billing="automatic",
        issuing_frequency="P0D",
        issue_on_signup=True,
        include_upcoming=True,
    )


@pytest.mark.parametrize("roll_over", [True, False], ids=["both alive", "the sign-up's is dead"])
def test_a_gift_under_the_sign_ups_key_that_is_owed_at_the_same_settling(roll_over: bool) -> None:
    joined = signed_up("2031-01-10T10:00", "2031-01-10")
    heard = [joined, charge("2031-02-10", "succeeded", "feb", "2031-02-10")]
    together = Op("post", {"facts": [fact for op in heard for fact in op.args["facts"]]})
    said = {"issuing_frequency": "P0D", "issue_on_signup": False, "roll_over": True}
    became = Op("update_rule", {"rule": "rule", "include_upcoming": True, **said})
    ops = clock("2031-01-20"), became, clock("2031-02-12"), together, clock("2031-03-20")
    read_alike("2031-01-01", *ops, issue_on_signup=True, roll_over=roll_over)


@pytest.mark.parametrize("states", [[], ["refunded"], ["disputed", "succeeded"]], ids=str)
@pytest.mark.parametrize("flags", [{}, {"issuing_frequency": "P0D"}, {"multi_use": True}], ids=str)
def test_what_is_flagged_of_who_leaves_or_changes_the_type(flags: dict[str, Any], states: list[str]) -> None:
    guests = [Guest("ann", True, None, True), Guest("bob", False, None, True)]
    first = (
        signed_up("2030-12-15", "2031-01-01", guests=guests),
        charge("2031-02-01", "succeeded", "feb", "2031-02-01"),
        Op("redeem", {"pick": 0}),
        Op("redeem", {"pick": 0}),
    )
    left = told("2031-02-10", "membership.guests_changed", guests=guests[:1])
    changed = told("2031-02-11", "membership.type_changed", membership_type="silver", current_period="switch")
    taken = [charge(f"2031-02-1{number}", state, "feb", "2031-02-01") for number, state in enumerate(states, start=2)]
    said = {"issue_on_signup": False, **flags}
    read_alike("2030-12-15", *first, left, changed, *taken, clock("2031-03-20"), **said)
    read_alike("2030-12-15", *first, *taken, left, changed, clock("2031-03-20"), **said)


@pytest.mark.parametrize("ended", [{"status": "cancelled"}, {"status": "expired", "ends_on": "2031-01-25"}], ids=str)
@pytest.mark.parametrize("later", [[], ["active"]], ids=str)
def test_an_end_that_is_put_off_while_it_was_paused(ended: dict[str, str], later: list[str]) -> None:
    read_alike(
        "2031-01-01",
        signed_up("2031-01-01", "2031-01-01"),
        status("2031-01-10", "paused"),
        status("2031-01-20", **ended),
        clock("2031-01-28"),
        status("2031-01-30", "cancelled", ends_on="2031-03-20"),
        *(status("2031-02-10", one) for one in later),
        clock("2031-04-10"),
        billing="automatic",
        roll_over=True,
    )


@pytest.mark.parametrize("states", [[], ["refunded"]], ids=str)
@pytest.mark.parametrize("over", [None, "2031-02-10", "2031-03-05"])
@pytest.mark.parametrize("changed_at", ["2031-01-20", "2031-02-20", "2031-03-20"])
def test_what_is_flagged_of_a_gift_that_is_given_late_or_goes_over(
    changed_at: str, over: str | None, states: list[str]
) -> None:
    changed = told(changed_at, "membership.type_changed", membership_type="silver", current_period="keep")
    charged = charge("2031-02-01", "succeeded", "feb", "2031-02-01")
    last, ops = ("feb", "2031-02-01"), [clock("2031-03-03"), *([changed] if changed_at < "2031-03" else []), charged]
    if over is not None:  # its own period is refunded before the next one is charged, or after
        last = "mar", "2031-03-01"
        paid = charge("2031-03-01", "succeeded", *last)
        refunded = charge(over, "refunded", "feb", "2031-02-01")
        ops = [charged, *sorted([refunded, paid], key=lambda op: op.args["facts"][0].time)]
    ops = [*ops, clock("2031-03-06"), Op("redeem", {"pick": 0}), clock("2031-03-21"), *([changed] if over else [])]
    taken = [charge(f"2031-04-0{number}", state, *last) for number, state in enumerate(states, start=2)]
    said: dict[str, Any] = {"issuing_frequency": "P0D", "issue_on_signup": False, "roll_over": True}
    read_alike("2031-01-01", signed_up("2031-01-01", "2031-01-01"), *ops, *taken, clock("2031-04-20"), **said)
