"""Credits that a person gives under no rule (SEMANTICS 15)."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from issuance.corrections.wanted import Grant
from issuance.errors import Invalid, MemberArchived
from issuance.members import members
from tests.database.clubs import at
from tests.database.desks import PARTY, Desk, bea_and_ada, desk_of

__all__ = ["bea_and_ada", "desk_of"]


def test_a_grant_is_a_credit_under_no_rule(desk_of: Desk) -> None:
    """For the lead booker where none is named, with the coupon's validity; it takes no period's key."""
    granted = desk_of.correct(Grant(desk_of.membership_id, "Tea", "a birthday"))
    assert [granted[name] for name in ("credit_rule_id", "rule_version", "period_start", "period_end", "run_id")] == (
        [None] * 5
    )
    assert (granted["guest"]["name"], granted["status"], granted["expires_at"]) == ("Ada", "live", None)
    second = desk_of.correct(Grant(desk_of.membership_id, "Tea", "another", guest_id=UUID(int=3)))
    assert (second["guest"]["name"], second["coupon_name"], second["reissue"]) == ("Cy", "Tea", 0)
    desk_of.biller.paid("2031-03-01")
    assert desk_of.status(granted["code"]) == "live"
    assert desk_of.status(desk_of.code("Ada", "2031-03-01")) == "live"


def test_a_grants_validity_is_its_own_or_the_coupons(desk_of: Desk) -> None:
    desk_of.biller.rule("Gin", validity="P10D")
    begins = at("2031-02-10T10:00")
    granted = desk_of.correct(Grant(desk_of.membership_id, "Gin", "x", valid_from=begins, max_uses=3, multi_use=True))
    assert (granted["status"], granted["expires_at"]) == ("upcoming", begins + timedelta(days=10))
    assert (granted["multi_use"], granted["max_uses"]) == (True, 3)
    ends = at("2031-02-02T10:00")
    assert desk_of.correct(Grant(desk_of.membership_id, "Gin", "x", expires_at=ends))["expires_at"] == ends
    desk_of.biller.to("2031-02-03")
    assert desk_of.biller.club.value("SELECT count(*) FROM credits WHERE expired_at IS NOT NULL AND manual") == 1


def test_charges_do_not_touch_a_grant_leaving_does(desk_of: Desk) -> None:
    """A refund takes the period's credits back; the grant goes when its guest leaves the order, and comes back if that
    is told to be otherwise."""
    granted = desk_of.correct(Grant(desk_of.membership_id, "Tea", "x", guest_id=UUID(int=2)))
    desk_of.biller.charge("refunded", "2031-02-01")
    assert (desk_of.status(desk_of.code("Bea", "2031-02-01")), desk_of.status(granted["code"])) == ("revoked", "live")
    desk_of.biller.to("2031-02-05")
    desk_of.biller.guests(PARTY[0], PARTY[2])
    assert desk_of.status(granted["code"]) == "revoked"
    assert desk_of.shown(granted["code"])["revoked_reason"] == "guest_removed"
    assert desk_of.offenders() == []


def test_archiving_takes_a_grant(desk_of: Desk) -> None:
    granted = desk_of.correct(Grant(desk_of.membership_id, "Tea", "x", guest_id=UUID(int=2)))
    with desk_of.biller.open() as connection:
        members.ensure(connection, desk_of.brand_id, ["bea"])
    desk_of.archive("bea")
    assert desk_of.status(granted["code"]) == "revoked"
    desk_of.refused(Grant(desk_of.membership_id, "Tea", "x", guest_id=UUID(int=2)), MemberArchived)
    desk_of.archive("member m")
    desk_of.refused(Grant(desk_of.membership_id, "Tea", "x"), MemberArchived)


def test_a_grant_is_held_for_no_rule(desk_of: Desk) -> None:
    """Who has one, and no credit of a rule, gets one by hand."""
    desk_of.redeem(desk_of.code("Ada", "2031-02-01"))
    desk_of.correct(Grant(desk_of.membership_id, "Tea", "x"))
    desk_of.biller.club.rule_id = desk_of.biller.club.value("SELECT credit_rule_id FROM credit_rules")
    assert desk_of.biller.club.issue()["counts"] == {"issued": 1, "holds_live_credit": 2}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"membership_id": uuid4()}, "membership_id"),
        ({"coupon_id": "Rum"}, "coupon_id"),
        ({"guest_id": uuid4()}, "guest_id"),
        ({"valid_from": at("2031-01-31T23:59")}, "valid_from"),
        ({"expires_at": at("2031-02-01T08:00")}, "expires_at"),
        ({"max_uses": 2}, "max_uses"),
    ],
)
def test_what_is_no_grant_is_refused(desk_of: Desk, wrong: dict[str, Any], field: str) -> None:
    said = {"membership_id": desk_of.membership_id, "coupon_id": "Tea", "reason": "x", **wrong}
    refusal = desk_of.refused(Grant(**said), Invalid)
    assert refusal.fields is not None
    assert list(refusal.fields) == [field]
