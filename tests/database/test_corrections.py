"""What people take back and lift, credit by credit, and what is possible at the desk (SEMANTICS 15)."""

from uuid import UUID

from issuance.catalog import rules
from issuance.corrections.refusals import possible
from issuance.corrections.wanted import Extend, Grant, NotRevoked, Reinstate, Revoke, Transfer
from issuance.credits import credits as credit_room
from issuance.errors import CreditRevoked, MemberArchived
from issuance.members import members
from issuance.members.profiles import MemberProfile
from tests.database.clubs import at
from tests.database.desks import Desk, bea_and_ada, desk_of

__all__ = ["bea_and_ada", "desk_of"]


def test_a_person_lifts_a_persons_no(desk_of: Desk) -> None:
    """The credit is live again with its expiry; over, it is expired. Facts never lift it."""
    code = desk_of.code("Ada", "2031-02-01")
    desk_of.correct(Revoke(code, "a mistake"))
    desk_of.biller.charge("failed", "2031-02-01", time="2031-02-01T09:00")
    desk_of.biller.charge("succeeded", "2031-02-01", time="2031-02-01T10:00")
    desk_of.biller.to("2031-02-02")
    assert desk_of.status(code) == "revoked"
    lifted = desk_of.correct(Reinstate(code, "no mistake"))
    assert (lifted["status"], lifted["expires_at"], lifted["revoked_by"]) == ("live", at("2031-03-01"), None)
    desk_of.refused(Reinstate(code, "x"), NotRevoked)
    desk_of.correct(Revoke(code, "x"))
    desk_of.biller.to("2031-03-02")
    assert desk_of.correct(Reinstate(code, "x"))["status"] == "expired"
    extended = desk_of.correct(Extend(code, at("2031-03-20"), "x"))
    assert desk_of.redeem(extended["code"])["status"] == "redeemed"


def test_the_facts_no_stands(desk_of: Desk) -> None:
    """What they would have taken is not live by being reinstated; nor is what they took lifted by hand."""
    code, other = desk_of.code("Ada", "2031-02-01"), desk_of.code("Bea", "2031-02-01")
    desk_of.correct(Revoke(code, "x"))
    desk_of.biller.to("2031-02-02")
    desk_of.biller.charge("failed", "2031-02-01")
    desk_of.refused(Reinstate(other, "x"), NotRevoked)
    lifted = desk_of.correct(Reinstate(code, "x"))
    assert (lifted["status"], lifted["revoked_by"]["name"]) == ("revoked", "facts")
    desk_of.correct(Revoke(other, "for good"))
    desk_of.biller.charge("succeeded", "2031-02-01")
    assert [desk_of.status(one) for one in (code, other)] == ["live", "revoked"]


def test_a_deleted_rules_credit_is_reinstated(desk_of: Desk) -> None:
    """Credits that were issued earlier live on."""
    code = desk_of.code("Ada", "2031-02-01")
    desk_of.correct(Revoke(code, "x"))
    rule_id = desk_of.biller.club.value("SELECT credit_rule_id FROM credit_rules")
    with desk_of.biller.open() as connection:
        rules.delete(connection, desk_of.brand_id, rule_id)
    assert desk_of.correct(Reinstate(code, "x"))["status"] == "live"


def test_an_archivings_no_is_for_good(desk_of: Desk) -> None:
    """Also of what a person or the facts had taken back before, and after the member has come back."""
    by_hand, by_facts = desk_of.code("Ada", "2031-02-01"), desk_of.code("Bea", "2031-02-01")
    desk_of.correct(Revoke(by_hand, "x"))
    desk_of.archive("member m")
    for code in (by_hand, by_facts):
        assert desk_of.shown(code)["revoked_reason"] == "member_archived"
    with desk_of.biller.open() as connection:
        members.upsert(connection, desk_of.brand_id, "member m", MemberProfile())
    for code in (by_hand, by_facts):
        desk_of.refused(Reinstate(code, "x"), MemberArchived)
        desk_of.refused(Revoke(code, "x"), CreditRevoked)


def test_what_is_possible_is_what_the_desk_makes(desk_of: Desk) -> None:
    """Of a credit of each kind: live, upcoming, without an end, spent, over, taken back by a person, by the facts, by
    an archiving, and over when its holder was archived."""
    ends, cy = at("2031-12-31"), UUID(int=3)
    ahead = desk_of.correct(Grant(desk_of.membership_id, "Tea", "x", valid_from=at("2031-05-01")))["code"]
    endless = desk_of.correct(Grant(desk_of.membership_id, "Tea", "x", cy))["code"]
    spent = desk_of.correct(Grant(desk_of.membership_id, "Tea", "x", cy))["code"]
    desk_of.redeem(spent)
    by_hand, by_archiving = desk_of.code("Ada", "2031-02-01"), desk_of.code("Bea", "2031-02-01")
    desk_of.correct(Revoke(by_hand, "x"))
    desk_of.archive("bea")
    facts = desk_of.code("Cy", "2031-02-01")

    def as_told() -> None:
        codes = [row.code for row in desk_of.biller.club.rows("SELECT code FROM credits")]
        for code in codes:
            with desk_of.biller.open() as connection:
                told = possible(connection, desk_of.brand_id, credit_room.get(connection, desk_of.brand_id, code))
            each = (Extend(code, ends, "x"), Transfer(code, "x", cy), Revoke(code, "x"), Reinstate(code, "x"))
            made = {type(wanted) for wanted in each if desk_of.would_make(wanted)}
            assert told == made, desk_of.shown(code)
            seen[code] = made

    seen: dict[str, set[type]] = {}
    as_told()
    assert (seen[spent], seen[by_hand], seen[by_archiving]) == (set(), {Reinstate}, set())
    assert seen[desk_of.code("Ada", "2031-01-01")] == {Extend}, "over"
    assert seen[desk_of.code("Bea", "2031-01-01")] == set(), "over, of whoever is archived"
    assert (seen[ahead], seen[endless]) == ({Revoke}, {Revoke, Transfer})
    assert seen[facts] == {Extend, Transfer, Revoke}
    desk_of.biller.to("2031-02-02")
    desk_of.biller.charge("failed", "2031-02-01")
    as_told()
    assert seen[facts] == {Revoke}


def test_codes_are_read_however_they_are_typed(desk_of: Desk) -> None:
    code = desk_of.code("Ada", "2031-02-01")
    typed = f"{code[:4].lower()}-{code[4:9]} {code[9:].lower()}"
    assert desk_of.shown(typed)["code"] == code
    assert desk_of.correct(Revoke(typed, "x"))["code"] == code
    assert desk_of.redeem(desk_of.code("Bea", "2031-02-01").lower())["status"] == "redeemed"
