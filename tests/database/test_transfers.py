"""Credits that a person gives to another holder (SEMANTICS 15)."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from issuance.corrections.wanted import AlreadyHeld, Extend, Grant, Reinstate, Revoke, Transfer
from issuance.credits import lists
from issuance.errors import (
    AlreadyRedeemed,
    CreditExpired,
    CreditNotYetValid,
    CreditTransferred,
    Invalid,
    MemberArchived,
)
from issuance.members import moves, redemptions
from issuance.members.redemptions import Booking
from tests.database.clubs import at
from tests.database.desks import PARTY, Desk, bea_and_ada, desk_of

__all__ = ["bea_and_ada", "desk_of"]


def test_a_transferred_credit_has_another_holder_and_code(desk_of: Desk) -> None:
    """The old code says so wherever it is shown; entitlement stays with the first guest."""
    old = desk_of.code("Ada", "2031-02-01")
    moved = desk_of.correct(Transfer(old, "a gift", external_user_id="bea"))
    assert (moved["guest"]["name"], moved["holder"]["name"]) == ("Ada", "bea")
    assert (moved["holder"]["external_user_id"], moved["holder"]["id"]) == ("bea", None)
    assert moved["code"] != old
    for correction in (Revoke(old, "x"), Extend(old, at("2032-01-01"), "x"), Transfer(old, "x", UUID(int=3))):
        desk_of.refused(correction, CreditTransferred)
    with pytest.raises(CreditTransferred):
        desk_of.redeem(old)
    with pytest.raises(CreditTransferred), desk_of.biller.open() as connection:
        redemptions.redeem_credit_of(connection, desk_of.brand_id, old, "ada", Booking())
    with desk_of.biller.open() as connection:
        redeemed = redemptions.redeem_credit_of(connection, desk_of.brand_id, moved["code"], "bea", Booking())
    assert redeemed["external_user_id"] == "bea"
    assert desk_of.offenders() == []


def held(desk_of: Desk, **by: Any) -> list[str]:
    with desk_of.biller.open() as connection:
        found, total = lists.page(connection, desk_of.brand_id, 1, 100, **by)
    assert total == len(found)
    return sorted(f"{one['guest']['name']} {one['period_start']}" for one in found)


def test_lists_go_by_the_holder(desk_of: Desk) -> None:
    """By the member and by the guest; from a guest to a guest, to a member, and back."""
    code = desk_of.code("Ada", "2031-02-01")
    assert held(desk_of, external_user_id="ada", status="live") == ["Ada 2031-02-01"]
    code = desk_of.correct(Transfer(code, "x", guest_id=UUID(int=3)))["code"]
    assert held(desk_of, external_user_id="ada", status="live") == []
    assert held(desk_of, guest_id=UUID(int=3), status="live") == ["Ada 2031-02-01", "Cy 2031-02-01"]
    assert held(desk_of, guest_id=UUID(int=1), status="live") == []
    code = desk_of.correct(Transfer(code, "x", external_user_id="bea"))["code"]
    assert held(desk_of, external_user_id="bea", status="live") == ["Ada 2031-02-01", "Bea 2031-02-01"]
    assert held(desk_of, guest_id=UUID(int=3), status="live") == ["Cy 2031-02-01"]
    back = desk_of.correct(Transfer(code, "x", guest_id=UUID(int=1)))
    assert back["holder"] == back["guest"]
    assert held(desk_of, external_user_id="ada", status="live") == ["Ada 2031-02-01"]


def test_the_holder_loses_it_by_being_archived(desk_of: Desk) -> None:
    """The first guest, who has given it away, does not; leaving the order takes it, whoever holds it."""
    ada = desk_of.correct(Transfer(desk_of.code("Ada", "2031-02-01"), "x", external_user_id="bea"))["code"]
    cy = desk_of.correct(Transfer(desk_of.code("Cy", "2031-02-01"), "x", external_user_id="ada"))["code"]
    bea = desk_of.correct(Transfer(desk_of.code("Bea", "2031-02-01"), "x", guest_id=UUID(int=3)))["code"]
    desk_of.archive("bea")
    assert [desk_of.status(code) for code in (ada, bea, cy)] == ["revoked", "live", "live"]
    desk_of.refused(Reinstate(ada, "x"), MemberArchived)
    desk_of.biller.to("2031-02-05")
    desk_of.biller.guests(PARTY[0], PARTY[1])
    assert desk_of.status(cy) == "revoked"
    desk_of.refused(Transfer(bea, "x", external_user_id="bea"), MemberArchived)
    assert desk_of.offenders() == []


def test_a_cancelled_redemption_goes_back_to_the_holder(desk_of: Desk) -> None:
    """Who was archived meanwhile has lost it."""
    code = desk_of.correct(Transfer(desk_of.code("Cy", "2031-02-01"), "x", external_user_id="bea"))["code"]
    made = desk_of.redeem(code)["redemption"]["id"]
    desk_of.archive("bea")
    with desk_of.biller.open() as connection:
        _, woken = moves.move(connection, desk_of.brand_id, made, "CANCELED")
    desk_of.biller.club.settle(woken)
    assert desk_of.status(code) == "revoked"


def test_for_a_manual_issue_it_is_the_first_guests(desk_of: Desk) -> None:
    """Who gave a live credit away counts as holding it."""
    desk_of.correct(Transfer(desk_of.code("Ada", "2031-02-01"), "x", guest_id=UUID(int=3)))
    desk_of.biller.club.rule_id = desk_of.biller.club.value("SELECT credit_rule_id FROM credit_rules")
    assert desk_of.biller.club.issue()["counts"] == {"holds_live_credit": 3}


def test_only_live_credits_are_transferred_and_to_somebody_else(desk_of: Desk) -> None:
    code, over = desk_of.code("Ada", "2031-02-01"), desk_of.code("Ada", "2031-01-01")
    desk_of.refused(Transfer(over, "x", UUID(int=3)), CreditExpired)
    ahead = desk_of.correct(Grant(desk_of.membership_id, "Tea", "x", valid_from=at("2031-05-01")))["code"]
    desk_of.refused(Transfer(ahead, "x", UUID(int=3)), CreditNotYetValid)
    for same in (Transfer(code, "x", UUID(int=1)), Transfer(code, "x", external_user_id="ada")):
        desk_of.refused(same, AlreadyHeld)
    desk_of.refused(Transfer(code, "x", uuid4()), Invalid)
    desk_of.refused(Transfer(code, "x", external_user_id="nobody"), Invalid)
    desk_of.redeem(code)
    desk_of.refused(Transfer(code, "x", UUID(int=3)), AlreadyRedeemed)
