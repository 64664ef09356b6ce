"""What a cancelled redemption gives back: what facts or an archiving would have taken meanwhile stays taken
(SEMANTICS 11)."""

from typing import Any
from uuid import UUID

import pytest

from campaigns.receiver import Receiver
from issuance.corrections import desk
from issuance.corrections.wanted import Reinstate, Revoke, Transfer
from issuance.credits import credits
from issuance.members import members, moves, redemptions, wallets
from issuance.members.redemptions import Booking
from issuance.memberships import archiving
from tests.database.billers import Biller
from tests.database.clubs import at
from tests.hooks import listen

ADA = {"guest_id": str(UUID(int=1)), "name": "Ada", "external_user_id": "member m", "lead_booker": True}
BEA = {"guest_id": str(UUID(int=2)), "name": "Bea", "external_user_id": "bea", "lead_booker": False}
CY = {"guest_id": str(UUID(int=3)), "name": "Cy", "lead_booker": False}


@pytest.fixture
def till(biller: Biller) -> "Till":
    """Monthly credits for Ada, Bea and Cy, of Ada's membership; January's and February's are paid."""
    biller.rule(issue_on_signup=True)
    with biller.open() as connection:
        members.ensure(connection, biller.club.brand_id, ["bea"])
    biller.sign_up("2031-01-01", guests=[ADA, BEA, CY])
    biller.paid("2031-02-01")
    return Till(biller)


class Till:
    """Where credits and points are used, and given back."""

    def __init__(self, biller: Biller) -> None:
        self.biller, self.brand_id = biller, biller.club.brand_id

    def code(self, guest: str, start: str = "2031-02-01") -> str:
        (code,) = (row.code for row in self.biller.book() if (row.name, str(row.period_start)) == (guest, start))
        return str(code)

    def redeem(self, code: str) -> UUID:
        with self.biller.open() as connection:
            made: UUID = redemptions.redeem_credit(connection, self.brand_id, code, Booking())["redemption"]["id"]
            return made

    def cancel(self, redemption_id: UUID) -> list[UUID]:
        with self.biller.open() as connection:
            return moves.move(connection, self.brand_id, redemption_id, "CANCELED")[1]

    def gave_back(self, code: str, redemption_id: UUID) -> str:
        """What the credit is at once when a use of it is cancelled, and as it stays."""
        woken = self.cancel(redemption_id)
        at_once = self.status(code)
        self.biller.club.settle(woken)
        assert self.status(code) == at_once
        return at_once

    def status(self, code: str) -> str:
        with self.biller.open() as connection:
            return str(credits.get(connection, self.brand_id, code)["status"])

    def archive(self, name: str, *, retain_balance: bool = False) -> None:
        with self.biller.open() as connection:
            removed = archiving.archive(connection, self.brand_id, name, retain_balance=retain_balance)
        self.biller.club.settle(removed.membership_ids)


@pytest.mark.parametrize("who", ["member m", "bea"])
@pytest.mark.parametrize("goes_on", [True, False], ids=["time goes on", "time stands still"])
def test_a_member_comes_back_without_the_credits_that_were_used_before(till: Till, who: str, goes_on: bool) -> None:
    """Whose membership it was, or who held it as a guest of another's."""
    code = till.code("Bea")
    made = till.redeem(code)
    if goes_on:
        till.biller.to("2031-02-03")
    till.archive(who)
    if goes_on:
        till.biller.to("2031-02-05")
    till.biller.revive(who)
    assert till.gave_back(code, made) == "revoked"
    assert till.biller.club.value("SELECT revoked_by FROM credits WHERE code = :code", code=code) == "archiving"


def test_who_received_it_comes_back_without_it_too(till: Till) -> None:
    with till.biller.open() as connection:
        code = desk.correct(connection, till.brand_id, Transfer(till.code("Cy"), "x", external_user_id="bea"))[0][
            "code"
        ]
    made = till.redeem(code)
    till.biller.to("2031-02-03")
    till.archive("bea")
    till.biller.revive("bea")
    assert till.gave_back(code, made) == "revoked"


def test_what_is_used_after_coming_back_is_given_back(till: Till) -> None:
    """So is what another used, whoever was archived."""
    mine, others = till.code("Ada"), till.redeem(till.code("Cy"))
    before = till.redeem(till.code("Bea"))
    till.archive("bea")
    till.biller.to("2031-02-03")
    till.biller.revive("bea")
    till.biller.to("2031-02-05")
    with till.biller.open() as connection:
        code = desk.correct(connection, till.brand_id, Transfer(mine, "x", external_user_id="bea"))[0]["code"]
    assert till.gave_back(code, till.redeem(code)) == "live"
    assert till.gave_back(till.code("Cy"), others) == "live"
    assert till.gave_back(till.code("Bea"), before) == "revoked"


def test_what_is_used_a_moment_after_coming_back_is_given_back(till: Till) -> None:
    """Credits and points: an archiving that was over by then took nothing of it."""
    mine = till.code("Ada")
    till.biller.to("2031-02-03T10:00:00")
    till.archive("bea")
    till.biller.to("2031-02-03T10:00:05")
    till.biller.revive("bea")
    till.biller.to("2031-02-03T10:00:10")
    with till.biller.open() as connection:
        code = desk.correct(connection, till.brand_id, Transfer(mine, "x", external_user_id="bea"))[0]["code"]
        wallets.credit(connection, till.brand_id, "bea", 100, None)
        points: UUID = redemptions.redeem_points(connection, till.brand_id, 30, "bea", Booking())["id"]
    made = till.redeem(code)
    till.biller.to("2031-02-03T10:00:20")
    assert till.gave_back(code, made) == "live"
    till.cancel(points)
    with till.biller.open() as connection:
        assert wallets.read(connection, till.brand_id, "bea")["balance"] == 100


@pytest.mark.parametrize("removed_again", [False, True])
def test_who_is_found_to_be_archived_already_has_what_they_used_since_given_back(
    till: Till, removed_again: bool
) -> None:
    """It was not the member's when they were removed, so nothing took it meanwhile; removing them again does."""
    with till.biller.open() as connection:
        members.ensure(connection, till.brand_id, ["cy"])
    till.biller.to("2031-02-03")
    till.archive("cy")
    till.biller.to("2031-02-04")
    till.biller.guests(ADA, BEA, {**CY, "external_user_id": "cy"})
    till.biller.to("2031-02-05")
    made = till.redeem(till.code("Cy"))
    till.biller.to("2031-02-06")
    if removed_again:
        till.archive("cy")
    left = "revoked" if removed_again else "live"
    assert till.status(till.code("Cy", "2031-01-01")) == left
    assert till.gave_back(till.code("Cy"), made) == left


@pytest.mark.parametrize("is_back", [True, False], ids=["back", "archived"])
def test_a_use_is_not_lost_with_a_member_who_the_guest_was_not_yet(till: Till, is_back: bool) -> None:
    """The archiving would have taken nothing of the guest's, had it not been used: only a later list says who they
    are."""
    with till.biller.open() as connection:
        members.ensure(connection, till.brand_id, ["cy"])
    made = till.redeem(till.code("Cy"))
    till.biller.to("2031-02-03")
    till.archive("cy")
    till.biller.to("2031-02-10")
    if is_back:
        till.biller.revive("cy")
    till.biller.to("2031-02-15")
    till.biller.guests(ADA, BEA, {**CY, "external_user_id": "cy"})
    till.biller.to("2031-02-20")
    assert till.status(till.code("Cy", "2031-01-01")) == "live"
    assert till.gave_back(till.code("Cy"), made) == "live"


@pytest.mark.parametrize("is_back", [True, False], ids=["back", "archived"])
def test_a_use_is_lost_with_the_member_who_the_guest_was_then(till: Till, is_back: bool) -> None:
    """Though a later list says that they are another."""
    with till.biller.open() as connection:
        members.ensure(connection, till.brand_id, ["cy"])
    made = till.redeem(till.code("Bea"))
    till.biller.to("2031-02-03")
    till.archive("bea")
    till.biller.to("2031-02-10")
    if is_back:
        till.biller.revive("bea")
    till.biller.guests(ADA, {**BEA, "external_user_id": "cy"}, CY)
    till.biller.to("2031-02-20")
    assert till.status(till.code("Bea", "2031-01-01")) == "revoked"
    assert till.gave_back(till.code("Bea"), made) == "revoked"


@pytest.mark.parametrize(("retained", "balance"), [(False, 5), (True, 12)])
def test_points_of_before_an_archiving_stay_forfeited(till: Till, retained: bool, balance: int) -> None:
    """Also when the member is back; what they were given since is theirs, and so is what they spend since."""

    def spend(points: int) -> UUID:
        with till.biller.open() as connection:
            made: UUID = redemptions.redeem_points(connection, till.brand_id, points, "bea", Booking())["id"]
            return made

    def wallet(given: int = 0) -> dict[str, Any]:
        with till.biller.open() as connection:
            if given:
                wallets.credit(connection, till.brand_id, "bea", given, None)
            return wallets.read(connection, till.brand_id, "bea")

    wallet(given=7)
    before = spend(4)
    till.biller.to("2031-02-03")
    till.archive("bea", retain_balance=retained)
    till.biller.to("2031-02-05")
    till.biller.revive("bea")
    wallet(given=5)
    till.biller.to("2031-02-07")
    since = spend(2)
    till.cancel(before)
    till.cancel(since)
    assert wallet()["balance"] == balance


def test_what_facts_took_meanwhile_is_revoked_at_once(till: Till, receiver: Receiver) -> None:
    """Before any settling, and nobody is told that it was restored."""
    listen(till.biller.club.engine, till.brand_id, receiver)
    code = till.code("Bea")
    made = till.redeem(code)
    till.biller.charge("refunded", "2031-02-01")
    told = "SELECT type FROM webhook_events WHERE data ->> 'code' = :code AND type LIKE 'credit.re%' ORDER BY event_id"
    assert till.gave_back(code, made) == "revoked"
    assert [row.type for row in till.biller.club.rows(told, code=code)] == ["credit.redeemed", "credit.revoked"]


@pytest.mark.parametrize("way", ["used", "taken by hand"])
def test_a_gift_that_goes_over_as_it_comes_back_is_of_the_period_that_it_rides_on(biller: Biller, way: str) -> None:
    """From when to when it is valid is written together, at once, and stays so."""
    biller.rule(issuing_frequency="P0D", issue_on_signup=False, validity="P45D")
    biller.sign_up("2030-12-15", billing_anchor="2031-01-01")
    biller.charge("initiated", "2031-01-01")
    till, (code,) = Till(biller), (row.code for row in biller.book())
    made = till.redeem(code) if way == "used" else None
    if made is None:
        with biller.open() as connection:
            desk.correct(connection, till.brand_id, Revoke(code, "a mistake"))
    biller.charge("skipped", "2031-01-01")
    biller.to("2031-02-01T10:00")
    biller.charge("succeeded", "2031-02-01")
    if made is None:
        with biller.open() as connection:
            woken = desk.correct(connection, till.brand_id, Reinstate(code, "it was none"))[1]
    else:
        woken = till.cancel(made)
    of_february = [("live", at("2031-02-01T10:00"), at("2031-03-18T10:00"))]
    assert [(one.status, one.valid_from, one.expires_at) for one in biller.book()] == of_february
    biller.club.settle(woken)
    assert [(one.status, one.valid_from, one.expires_at) for one in biller.book()] == of_february
