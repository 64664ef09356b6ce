"""Guests, ids and instants as billers really tell of them (INTERFACE 6, SEMANTICS 4, 5, 7 and 8)."""

from typing import Any

import pytest

from tests.database.billers import Biller

ANN: dict[str, Any] = {"name": "Ann", "lead_booker": True}
BOB: dict[str, Any] = {"name": "Bob", "lead_booker": False}


def a_party(biller: Biller, *guests: dict[str, Any]) -> None:
    biller.rule()
    biller.sign_up("2031-01-01", guests=list(guests))
    biller.paid("2031-02-01")


def test_a_list_without_the_leads_own_id_recognises_the_lead(biller: Biller) -> None:
    """The lead booker is recognised by being it: a sign-up without guests, then a guest more."""
    a_party(biller)
    biller.to("2031-02-10")
    biller.guests({"name": "Ann Smith", "lead_booker": True}, BOB)
    assert [each.split()[-1] for each in biller.holders()] == ["2031-02-01"]
    biller.paid("2031-03-01")
    assert biller.live() == ["2031-02-01", "2031-03-01", "2031-03-01"]


@pytest.mark.parametrize("known", [{}, {"email": "a@club.test"}, {"external_user_id": "ann"}])
def test_the_same_list_again_without_ids_takes_nothing_from_anybody(biller: Biller, known: dict[str, Any]) -> None:
    a_party(biller, {**ANN, **known}, BOB)
    before = biller.held()
    for day in (10, 12):
        biller.to(f"2031-02-{day}")
        biller.guests({**ANN, **known}, BOB)
    biller.guests(BOB, {**ANN, **known}, time="2031-02-12T01:00")
    biller.to("2031-02-13")
    assert biller.held() == before
    assert biller.holders() == ["Ann 2031-02-01", "Bob 2031-02-01"]


def test_who_is_not_recognised_is_new_and_who_is_missing_has_left(biller: Biller) -> None:
    a_party(biller, ANN, BOB)
    biller.to("2031-02-10")
    biller.guests(ANN, {"name": "Cy", "lead_booker": False})
    assert biller.holders() == ["Ann 2031-02-01"]
    biller.paid("2031-03-01")
    assert biller.holders() == ["Ann 2031-02-01", "Ann 2031-03-01", "Cy 2031-03-01"]


def test_a_lead_of_another_name_and_another_e_mail_is_somebody_else(biller: Biller) -> None:
    a_party(biller, {**ANN, "email": "ann@club.test"})
    biller.to("2031-02-10")
    biller.guests({"name": "Dee", "email": "dee@club.test", "lead_booker": True})
    assert biller.holders() == []


def test_a_second_sign_up_of_a_known_membership_is_rejected(biller: Biller) -> None:
    biller.rule()
    biller.sign_up("2031-01-01")
    told = {"membership_type_id": str(biller.ids["gold"]), "external_user_id": "member m", "starts_on": "2031-01-01"}
    again = biller.event("membership.signed_up", **told)
    assert [each.index for each in biller.send(again).rejected] == [0]


def test_90_and_90_0_are_the_same(biller: Biller) -> None:
    """What is compared is what we understand: numbers by value, unknown fields not at all."""
    biller.rule()
    biller.sign_up("2031-01-01")
    said = biller.event("charge.initiated", charge_id="a", period_start="2031-02-01", amount=90)
    resent = {**said, "data": {**said["data"], "amount": 90.0, "colour": "blue"}}
    assert biller.send(said).accepted == 1
    assert biller.send(resent).duplicates == 1
    other = {**said, "data": {**said["data"], "amount": 91}}
    assert [each.code for each in biller.send(other).rejected] == ["event_conflict"]


def warned(biller: Biller, event: dict[str, Any]) -> list[str]:
    intake = biller.send(event)
    assert (intake.accepted, intake.rejected) == (1, [])
    return [warning.code for warning in intake.warnings]


def test_what_looks_wrong_is_accepted_with_a_warning(biller: Biller) -> None:
    """Nothing that can be understood is refused, and nothing odd goes by in silence."""
    biller.rule()
    gold = str(biller.ids["gold"])
    told = {"membership_type_id": gold, "external_user_id": "member m", "starts_on": "2031-01-01"}
    assert warned(biller, biller.event("membership.signed_up", **told)) == ["billing_frequency_missing"]
    ahead = biller.event("membership.status_changed", time="2031-01-02", status="active")
    assert warned(biller, ahead) == ["ahead_of_clock"]
    week_off = {"charge_id": "w", "period_start": "2031-02-08", "period_end": "2031-03-08"}
    assert warned(biller, biller.event("charge.initiated", **week_off)) == ["off_boundary"]
    one_off = {"charge_id": "o", "period_start": "2031-02-10", "period_end": "2031-02-11"}
    assert "covers_no_boundary" in warned(biller, biller.event("charge.failed", **one_off))
    unknown = {"charge_id": "u", "period_start": "2031-02-01", "colour": "blue"}
    assert warned(biller, biller.event("charge.initiated", **unknown)) == ["unknown_field"]
    waiting = {"membership": "stranger", "charge_id": "s", "period_start": "2031-02-01"}
    assert warned(biller, biller.event("charge.initiated", **waiting)) == ["unknown_membership"]


def test_a_fact_ahead_of_the_clock_counts_from_its_time_on(biller: Biller) -> None:
    biller.rule()
    biller.sign_up("2031-01-01")
    biller.charge("initiated", "2031-02-01", time="2031-02-03T10:00")
    biller.to("2031-02-03")
    assert biller.live() == []
    biller.to("2031-02-03T10:00")
    assert biller.live() == ["2031-02-01"]


def test_what_began_while_a_member_was_archived_is_never_given(biller: Biller) -> None:
    """Also not where the biller says active after the member is back; what begins then is given."""
    biller.rule()
    biller.sign_up("2031-01-01")
    biller.paid("2031-02-01")
    biller.to("2031-02-10")
    biller.archive()
    biller.to("2031-03-10")
    biller.revive()
    biller.status("active", time="2031-02-11")
    biller.charge("succeeded", "2031-03-01")
    assert biller.live() == []
    biller.paid("2031-04-01")
    assert biller.live() == ["2031-04-01"]


def test_a_rule_saved_within_the_second_of_the_sign_up_is_explained_with_both_instants(biller: Biller) -> None:
    """Billers' clocks tick in whole seconds: the rule of :38.197 came after the sign-up of :38."""
    biller.to("2031-01-01T10:00:38.197")
    biller.rule(issue_on_signup=True)
    biller.sign_up("2031-01-01", time="2031-01-01T10:00:38")
    (row,) = biller.explain("2031-01-01", "2031-01-01").rows
    assert row["reason"] == "version_not_in_force"
    told = str(row)
    assert "2031-01-01T10:00:38.197" in told
    assert "2031-01-01T10:00:38+00:00" in told or "2031-01-01T10:00:38Z" in told


def test_explain_names_the_nearest_charge_and_each_open_one(biller: Biller) -> None:
    """A biller a week off the boundary is not silent: an operator sees what it paid for instead."""
    biller.rule()
    biller.sign_up("2031-01-01")
    biller.to("2031-02-01T08:00")
    biller.charge("succeeded", "2031-01-24", "2031-01-31", charge_id="week-off")
    biller.charge("failed", "2031-01-01", charge_id="open-one")
    (row,) = biller.explain("2031-02-01", "2031-02-01").rows
    assert row["facts"]["nearest_charge"]["charge_id"] == "week-off"
    assert [charge["charge_id"] for charge in row["facts"]["open_charges"]] == ["open-one"]
    (idle,) = biller.explain("2031-02-01", "2031-02-01").charges_for_nothing
    assert (idle["charge_id"], str(idle["nearest_billing_date"])) == ("week-off", "2031-02-01")
