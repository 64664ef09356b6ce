"""Credits whose end a person moves out (SEMANTICS 15)."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest

from issuance.corrections import desk
from issuance.corrections.wanted import Extend, Grant, Revoke, Transfer
from issuance.database.connections import transaction
from issuance.errors import AlreadyRedeemed, CreditExpired, CreditRevoked, Invalid, MemberArchived, NotFound
from issuance.members import moves
from tests.database.clubs import Club, at
from tests.database.desks import Desk, bea_and_ada, desk_of

__all__ = ["bea_and_ada", "desk_of"]


def test_an_expired_credit_is_live_again(desk_of: Desk) -> None:
    """It can be redeemed once it is extended, not before; it expires at its new end."""
    code = desk_of.code("Ada", "2031-01-01")
    assert desk_of.status(code) == "expired"
    with pytest.raises(CreditExpired):
        desk_of.redeem(code)
    extended = desk_of.correct(Extend(code, at("2031-02-20"), "closed for a week"))
    assert (extended["status"], extended["expires_at"]) == ("live", at("2031-02-20"))
    assert extended["extended_at"] == at("2031-02-01T08:00")
    desk_of.biller.to("2031-02-19T23:59")
    assert desk_of.redeem(code)["status"] == "redeemed"
    other = desk_of.code("Bea", "2031-01-01")
    desk_of.correct(Extend(other, at("2031-02-20"), "x"))
    desk_of.biller.to("2031-02-20")
    assert desk_of.status(other) == "expired"
    assert desk_of.offenders() == []


def test_others_of_its_period_expire_as_before(desk_of: Desk) -> None:
    """The sweep that expires the period's credits passes over the one that was extended."""
    code = desk_of.code("Bea", "2031-02-01")
    desk_of.correct(Extend(code, at("2031-03-20"), "x"))
    desk_of.biller.paid("2031-03-01")
    assert [desk_of.status(desk_of.code(name, "2031-02-01")) for name in ("Ada", "Bea", "Cy")] == (
        ["expired", "live", "expired"]
    )
    assert desk_of.offenders() == []


def test_among_many_alike_it_is_one_of_its_own(new_club: Callable[..., Club]) -> None:
    """Whose credit was extended waits no longer with those who were like them: the sweep that expires theirs, before
    anybody has settled the correction, leaves it."""
    club = new_club(roll_over=False)
    alike = club.sign_up(40)
    one = club.rows("SELECT membership_id, code, expires_at FROM credits ORDER BY membership_id")[20]
    with transaction(club.engine, club.brand_id) as connection:
        desk.correct(connection, club.brand_id, Extend(one.code, one.expires_at + timedelta(days=5), "x"))
    club.move_clock("2031-02-28")
    while club.sweep() is not None:
        pass
    expired = "SELECT membership_id FROM credits WHERE expired_at IS NOT NULL"
    assert {row.membership_id for row in club.rows(expired)} == set(alike) - {one.membership_id}


def test_no_moved_billing_date_shortens_it(desk_of: Desk) -> None:
    """Nor lengthens it beyond what the facts alone would give."""
    code = desk_of.code("Ada", "2031-02-01")
    desk_of.correct(Extend(code, at("2031-03-20"), "x"))
    desk_of.biller.moved("2031-02-15")
    assert desk_of.shown(code)["expires_at"] == at("2031-03-20")
    assert desk_of.shown(desk_of.code("Bea", "2031-02-01"))["expires_at"] == at("2031-02-15")
    desk_of.biller.moved("2031-04-10")
    assert desk_of.offenders() == []


def test_a_failed_charge_takes_back_what_was_extended(desk_of: Desk) -> None:
    """And gives it back with the extension: that is its original expiry."""
    code = desk_of.code("Ada", "2031-02-01")
    desk_of.correct(Extend(code, at("2031-04-20"), "x"))
    desk_of.biller.charge("failed", "2031-02-01", time="2031-02-01T09:00")
    desk_of.biller.to("2031-02-02")
    assert desk_of.status(code) == "revoked"
    desk_of.biller.charge("succeeded", "2031-02-01")
    assert (desk_of.status(code), desk_of.shown(code)["expires_at"]) == ("live", at("2031-04-20"))


def test_what_the_facts_would_have_taken_is_not_live_by_an_extension(desk_of: Desk) -> None:
    """A credit that had expired when its charge was refunded is revoked once it would be live again."""
    desk_of.biller.paid("2031-03-01")
    desk_of.biller.charge("refunded", "2031-02-01")
    code = desk_of.code("Ada", "2031-02-01")
    assert desk_of.status(code) == "expired"
    assert desk_of.correct(Extend(code, at("2031-03-20"), "x"))["status"] == "revoked"


def test_a_redemption_that_is_cancelled_gives_back_the_extension(desk_of: Desk) -> None:
    code = desk_of.code("Ada", "2031-02-01")
    desk_of.correct(Extend(code, at("2031-04-20"), "x"))
    made = desk_of.redeem(code)["redemption"]["id"]
    with desk_of.biller.open() as connection:
        _, woken = moves.move(connection, desk_of.brand_id, made, "CANCELED")
    desk_of.biller.club.settle(woken)
    assert (desk_of.status(code), desk_of.shown(code)["expires_at"]) == ("live", at("2031-04-20"))


def test_only_a_later_end_ahead_extends(desk_of: Desk) -> None:
    code, over = desk_of.code("Ada", "2031-02-01"), desk_of.code("Ada", "2031-01-01")
    for bad, when in ((code, "2031-03-01"), (code, "2031-02-20"), (over, "2031-02-01T08:00")):
        refusal = desk_of.refused(Extend(bad, at(when), "x"), Invalid)
        assert refusal.fields is not None
    desk_of.refused(Extend("NOSUCHCODE", at("2032-01-01"), "x"), NotFound)
    endless = desk_of.correct(Grant(desk_of.membership_id, "Tea", "x"))["code"]
    desk_of.refused(Extend(endless, at("2032-01-01"), "x"), Invalid)
    desk_of.redeem(code)
    desk_of.refused(Extend(code, at("2032-01-01"), "x"), AlreadyRedeemed)
    revoked = desk_of.code("Bea", "2031-02-01")
    desk_of.correct(Revoke(revoked, "x"))
    desk_of.refused(Extend(revoked, at("2032-01-01"), "x"), CreditRevoked)
    desk_of.archive("member m")
    desk_of.refused(Extend(over, at("2032-01-01"), "x"), MemberArchived)


def test_a_replay_leaves_corrections(desk_of: Desk) -> None:
    """It finds nothing to issue, and what is there stays as it is."""
    desk_of.correct(Extend(desk_of.code("Ada", "2031-01-01"), at("2031-04-01"), "x"))
    desk_of.correct(Revoke(desk_of.code("Bea", "2031-02-01"), "x"))
    desk_of.correct(Grant(desk_of.membership_id, "Tea", "x"))
    desk_of.correct(Transfer(desk_of.code("Cy", "2031-02-01"), "x", guest_id=UUID(int=1)))
    before = desk_of.all()
    assert set(desk_of.biller.club.replay()["counts"]) <= {"already_issued"}
    assert desk_of.all() == before
