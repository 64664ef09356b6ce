"""What people correct, credit by credit (SEMANTICS 15), and that neither facts nor replays undo it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from issuance.catalog import rules
from issuance.corrections import desk
from issuance.corrections.refusals import possible
from issuance.corrections.wanted import (
    AlreadyHeld,
    Correction,
    Extend,
    Grant,
    NotRevoked,
    Reinstate,
    Revoke,
    Transfer,
)
from issuance.credits import credits as credit_room
from issuance.credits import lists
from issuance.database.connections import transaction
from issuance.errors import (
    AlreadyRedeemed,
    CreditExpired,
    CreditNotYetValid,
    CreditRevoked,
    CreditTransferred,
    Invalid,
    IssuanceError,
    MemberArchived,
    NotFound,
)
from issuance.laws import LAWS, look
from issuance.members import members, moves, redemptions
from issuance.members.profiles import MemberProfile
from issuance.members.redemptions import Booking
from issuance.tenancy import clock
from tests.database.billers import Biller
from tests.database.clubs import Club, at
from tests.limits import Limit

PARTY = [
    {"guest_id": str(UUID(int=1)), "name": "Ada", "external_user_id": "ada", "lead_booker": True},
    {"guest_id": str(UUID(int=2)), "name": "Bea", "external_user_id": "bea", "lead_booker": False},
    {"guest_id": str(UUID(int=3)), "name": "Cy", "lead_booker": False},
]


@pytest.fixture
def desk_of(biller: Biller) -> "Desk":
    """Monthly credits for a party of three, which do not roll over; January's and February's are paid."""
    biller.rule(roll_over=False, issue_on_signup=True)
    biller.sign_up("2031-01-01", guests=PARTY)
    biller.paid("2031-02-01")
    return Desk(biller)


class Desk:
    """The desk of a biller's brand."""

    def __init__(self, biller: Biller) -> None:
        self.biller, self.brand_id = biller, biller.club.brand_id
        self.membership_id = biller.ids["m"]

    def correct(self, correction: Correction) -> dict[str, Any]:
        with self.biller.open() as connection:
            credit, ids = desk.correct(connection, self.brand_id, correction)
        self.biller.club.settle(ids)
        assert self.offenders() == []
        with self.biller.open() as connection:
            now = clock.read(connection, self.brand_id).now
            shown = credit_room.by_id(connection, self.brand_id, [credit["id"]], now)[credit["id"]]
        assert shown == credit, "what was answered is what the facts make of it"
        return credit

    def refused(self, correction: Correction, why: type[IssuanceError]) -> IssuanceError:
        before = self.all()
        with pytest.raises(why) as refusal, self.biller.open() as connection:
            desk.correct(connection, self.brand_id, correction)
        assert self.all() == before
        return refusal.value

    def would_make(self, correction: Correction) -> bool:
        """Whether a correction is made. It is not kept, and whether they hold it already is no matter."""
        with self.biller.open() as connection:
            made = desk.correct_all(connection, self.brand_id, [correction], reason="x", dry_run=True)
        return not made.refused or isinstance(made.refused[0], AlreadyHeld)

    def all(self) -> list[Any]:
        return self.biller.club.rows("SELECT * FROM credits ORDER BY credit_id")

    def code(self, guest: str, start: str | None) -> str:
        """That of a guest's credit of a period; None: of their latest grant."""
        which = "c.period_start IS NULL" if start is None else "c.period_start = CAST(:start AS date)"
        found = self.biller.club.rows(
            f"SELECT code FROM credits c JOIN guests g USING (brand_id, membership_id, guest_id)"
            f" WHERE g.name = :guest AND {which} ORDER BY credit_id DESC",
            guest=guest,
            start=start,
        )
        return str(found[0].code)

    def shown(self, code: str) -> dict[str, Any]:
        with self.biller.open() as connection:
            return credit_room.get(connection, self.brand_id, code)

    def status(self, code: str) -> str:
        return str(self.shown(code)["status"])

    def redeem(self, code: str) -> dict[str, Any]:
        with self.biller.open() as connection:
            return redemptions.redeem_credit(connection, self.brand_id, code, Booking())

    def offenders(self) -> list[Any]:
        """Of all laws, on what is there."""
        with self.biller.open() as connection:
            return [one for found in look(connection, self.brand_id, LAWS) for some in found.values() for one in some]

    def archive(self, name: str) -> None:
        self.biller.archive(name)


# -- grants


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


# -- extensions


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


# -- transfers


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


@pytest.fixture(autouse=True)
def bea_and_ada(biller: Biller) -> None:
    with biller.open() as connection:
        members.ensure(connection, biller.club.brand_id, ["ada", "bea"])


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


# -- revoke and reinstate


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


# -- many at once


def test_many_are_corrected_at_once(desk_of: Desk) -> None:
    """What is refused changes nothing, the rest is made; one sees what the one before it did."""
    ada, bea = desk_of.code("Ada", "2031-02-01"), desk_of.code("Bea", "2031-02-01")
    wanted: list[Correction] = [
        Extend(ada, at("2031-03-20"), "closed"),
        Extend(ada, at("2031-03-10"), "closed"),
        Revoke(bea, "x"),
        Reinstate(bea, "x"),
        Extend("NOSUCHCODE", at("2031-03-20"), "closed"),
        Grant(desk_of.membership_id, "Tea", "x"),
        Transfer(bea, "x", UUID(int=3)),
        Revoke(bea, "x"),
    ]
    before = desk_of.all()
    tried = many(desk_of, wanted, dry_run=True)
    assert desk_of.all() == before
    done = many(desk_of, wanted, dry_run=False)
    for corrected in (tried, done):
        assert sorted(corrected.credits) == [0, 2, 3, 5, 6]
        assert {place: refusal.code for place, refusal in corrected.refused.items()} == (
            {1: "invalid", 4: "not_found", 7: "transferred"}
        )
    assert (desk_of.shown(ada)["expires_at"], tried.membership_ids) == (at("2031-03-20"), [])
    assert [tried.credits[place]["code"] for place in (0, 2, 3, 5, 6)] == [ada, bea, bea, None, None], "kept by nobody"
    assert all(one["code"] for one in done.credits.values())
    entries = desk_of.biller.club.rows("SELECT after FROM audit_entries WHERE action = 'correction.made' ORDER BY at")
    assert [entry.after["dry_run"] for entry in entries] == [True, False]
    assert (entries[1].after["extended"], entries[1].after["refused"], len(entries[1].after["credit_ids"])) == (1, 3, 3)
    assert desk_of.offenders() == []


@pytest.mark.parametrize("of_all", [None, "closed"])
def test_the_reasons_of_each_are_in_the_audit(desk_of: Desk, of_all: str | None) -> None:
    """Those that differ from the reason of all, in the order of the corrections; a dry run has corrected no credit."""
    ada, bea = desk_of.code("Ada", "2031-02-01"), desk_of.code("Bea", "2031-02-01")
    wanted: list[Correction] = [
        Extend(ada, at("2031-03-20"), "closed"),
        Grant(desk_of.membership_id, "Tea", "goodwill"),
        Extend(ada, at("2031-03-10"), "refused"),
        Revoke(bea, "a mistake"),
        Reinstate(bea, "none after all"),
    ]
    many(desk_of, wanted, dry_run=True, reason=of_all)
    done = many(desk_of, wanted, dry_run=False, reason=of_all)
    said = [
        {"credit_id": str(credit["id"]), "reason": wanted[place].reason}
        for place, credit in done.credits.items()
        if wanted[place].reason != of_all
    ]
    assert len(said) == (4 if of_all is None else 3)
    sql = "SELECT reason, after FROM audit_entries WHERE action = 'correction.made' ORDER BY at"
    entries = desk_of.biller.club.rows(sql)
    assert [(entry.reason, entry.after["reasons"]) for entry in entries] == [(of_all, []), (of_all, said)]


@pytest.mark.parametrize("bound", ["seconds", "credits"])
def test_many_are_bounded(desk_of: Desk, monkeypatch: pytest.MonkeyPatch, limit: Limit, bound: str) -> None:
    """Over HTTP, in time and in what is loaded for them: beyond it nothing is made."""
    if bound == "seconds":
        limit("corrections", seconds=-1.0)
    else:
        monkeypatch.setattr(desk, "together", lambda *_: 0)
    wanted: list[Correction] = [Revoke(code, "x") for (code,) in desk_of.biller.club.rows("SELECT code FROM credits")]
    before = desk_of.all()
    with pytest.raises(desk.TooMuchToCorrect), desk_of.biller.open() as connection:
        desk.correct_all(connection, desk_of.brand_id, wanted, reason="x", dry_run=False, bounded=True)
    assert desk_of.all() == before


def many(desk_of: Desk, wanted: list[Correction], *, dry_run: bool, reason: str | None = "closed") -> desk.Corrected:
    with desk_of.biller.open() as connection:
        corrected = desk.correct_all(connection, desk_of.brand_id, wanted, reason=reason, dry_run=dry_run)
    desk_of.biller.club.settle(corrected.membership_ids)
    return corrected
