"""The desk of a brand, where people correct credits, and a party that has some."""

from typing import Any
from uuid import UUID

import pytest

from issuance.corrections import desk
from issuance.corrections.wanted import AlreadyHeld, Correction
from issuance.credits import credits as credit_room
from issuance.errors import IssuanceError
from issuance.laws import LAWS, look
from issuance.members import members, redemptions
from issuance.members.redemptions import Booking
from issuance.tenancy import clock
from tests.database.billers import Biller

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


@pytest.fixture(autouse=True)
def bea_and_ada(biller: Biller) -> None:
    with biller.open() as connection:
        members.ensure(connection, biller.club.brand_id, ["ada", "bea"])
