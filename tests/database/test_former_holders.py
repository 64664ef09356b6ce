"""What whoever gave a credit away is shown and told of it: the code that they redeemed, never its new one
(SEMANTICS 15)."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from issuance.corrections import desk
from issuance.corrections.wanted import Transfer
from issuance.database.connections import transaction
from issuance.members import members, moves, redemptions
from issuance.members.redemptions import Booking
from issuance.memberships import exporting
from tests.database.clubs import Club
from tests.database.test_webhook_outbox import listen


class Holders:
    """The one membership of a club, its credit, and members who give it to each other."""

    def __init__(self, club: Club) -> None:
        (membership_id,) = club.sign_up(1)
        self.club, self.first = club, f"member {membership_id}"
        with self.open() as connection:
            members.ensure(connection, club.brand_id, ["bea", "cy"])
            listen(connection, club.brand_id, "redemption.created", "redemption.updated")

    def open(self) -> Any:
        return transaction(self.club.engine, self.club.brand_id)

    def code(self) -> str:
        return str(self.club.value("SELECT code FROM credits"))

    def redeem(self, member: str) -> UUID:
        with self.open() as connection:
            made = redemptions.redeem_credit_of(connection, self.club.brand_id, self.code(), member, Booking())
        return UUID(str(made["id"]))

    def cancel(self, redemption_id: UUID) -> None:
        with self.open() as connection:
            _, woken = moves.move(connection, self.club.brand_id, redemption_id, "CANCELED")
        self.club.settle(woken)

    def give(self, member: str) -> str:
        """The new code."""
        with self.open() as connection:
            moved, ids = desk.correct(
                connection, self.club.brand_id, Transfer(self.code(), "x", external_user_id=member)
            )
        self.club.settle(ids)
        return str(moved["code"])

    def shown(self, member: str) -> list[str]:
        """The codes of a member's redemptions, each in the list as alone."""
        with self.open() as connection:
            rows, _ = redemptions.page(connection, self.club.brand_id, 100, None, external_user_id=member)
            assert rows == [redemptions.get(connection, self.club.brand_id, row["id"]) for row in rows]
        return [row["credit_code"] for row in rows]

    def told(self) -> list[tuple[str, str, str]]:
        """What webhooks were told of redemptions: the type, whose it is, and the code."""
        rows = self.club.rows(
            "SELECT type, data ->> 'externalUserID' AS member, data ->> 'creditCode' AS code FROM webhook_events"
            " WHERE type LIKE 'redemption.%' ORDER BY event_id"
        )
        return [(row.type, row.member, row.code) for row in rows]


@pytest.mark.parametrize("kind", ["used once of many times", "canceled"])
@pytest.mark.parametrize("later", ["at the same moment", "later"])
def test_a_redemption_shows_the_code_that_was_redeemed(new_club: Callable[..., Club], kind: str, later: str) -> None:
    """Through two transfers, while each holder has redeemed it; the transfers tell nothing of redemptions."""
    holders = Holders(new_club("external", issue_on_signup=True, multi_use=kind != "canceled"))

    def pass_time(day: int) -> None:
        if later == "later":
            holders.club.move_clock(f"2031-02-0{day}")

    codes, made = [holders.code()], []
    for day, (holder, receiver) in enumerate([(holders.first, "bea"), ("bea", "cy"), ("cy", holders.first)], 1):
        made.append(holders.redeem(holder))
        if kind == "canceled":
            holders.cancel(made[-1])
        pass_time(day)
        told = holders.told()
        codes.append(holders.give(receiver))
        assert holders.told() == told
        pass_time(day)
    assert [holders.shown(member) for member in (holders.first, "bea", "cy")] == [[code] for code in codes[:3]]
    if kind != "canceled":
        for one in made:
            holders.cancel(one)
    assert {(member, code) for _, member, code in holders.told()} == set(
        zip((holders.first, "bea", "cy"), codes, strict=False)
    )


def test_a_redemption_that_a_transfer_waited_for_came_before_it(new_club: Callable[..., Club]) -> None:
    """Though by its own clock, read before it waited, the transfer was first. Nor need hosts' clocks agree, by which
    ids go."""
    holders = Holders(new_club("external", issue_on_signup=True, multi_use=True))
    old = holders.code()
    holders.redeem(holders.first)
    holders.give("bea")
    holders.club.rows("UPDATE redemptions SET created_at = created_at + interval '1 second'")
    assert holders.shown(holders.first) == [old]
    holders.club.rows(
        "UPDATE redemptions SET created_at = created_at - interval '1 day', redemption_id = CAST(:id AS uuid)",
        id=str(UUID(int=2**128 - 1)),
    )
    assert holders.shown(holders.first) == [old]


def test_a_transfer_waits_for_no_redemption_that_is_moved(new_club: Callable[..., Club]) -> None:
    """Canceling and erasing hold redemptions first, and wait for what a transfer holds: they would in a circle."""
    holders = Holders(new_club("external", issue_on_signup=True, multi_use=True))
    holders.redeem(holders.first)
    with holders.open() as moving, holders.open() as giving:
        moving.execute(text("SELECT FROM redemptions FOR UPDATE"))
        giving.execute(text("SET LOCAL lock_timeout = '2s'"))
        desk.correct(giving, holders.club.brand_id, Transfer(holders.code(), "x", external_user_id="bea"))


def test_an_export_has_no_code_of_a_credit_that_was_given_away(new_club: Callable[..., Club]) -> None:
    """Their own document shows what they had, and the code to whoever holds it now alone."""
    holders = Holders(new_club("external", issue_on_signup=True))
    new = holders.give("bea")
    with holders.open() as connection:
        (of_first,) = exporting.export(connection, holders.club.brand_id, holders.first)["credits"]
        (of_bea,) = exporting.export(connection, holders.club.brand_id, "bea")["credits"]
    assert (of_first["holds"], of_first["code"]) == (False, None)
    assert (of_bea["holds"], of_bea["code"]) == (True, new)
