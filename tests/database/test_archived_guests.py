"""An archived member is given nothing more, as a guest of others neither (SEMANTICS 12)."""

from uuid import uuid4

import pytest

from issuance.database.connections import transaction
from issuance.memberships import archiving
from tests.database.clubs import Club


@pytest.mark.parametrize("archived_first", [True, False])
def test_a_party_that_names_an_archived_member_gives_them_nothing(club: Club, archived_first: bool) -> None:
    """Not even in the settling that hears of the party for the first time; the others of the party go on."""
    bea, order = club.sign_up(2)
    guests = [
        {"guest_id": str(uuid4()), "name": "Ada", "lead_booker": True},
        {"guest_id": str(uuid4()), "name": "Bea", "external_user_id": f"member {bea}"},
    ]

    def archive() -> None:
        with transaction(club.engine, club.brand_id) as connection:
            archiving.archive(connection, club.brand_id, f"member {bea}", retain_balance=True)
        club.settle([bea])

    if archived_first:
        archive()
    club.tell("membership.guests_changed", "2031-02-01T11:00", {"membership_id": str(order), "guests": guests})
    if not archived_first:
        archive()
    club.move_clock("2031-03-01")
    club.settle([order])
    given = club.rows(
        """
        SELECT g.name FROM credits c JOIN guests g USING (brand_id, membership_id, guest_id)
         WHERE c.membership_id = :order AND c.period_start > '2031-02-01'
        """,
        order=order,
    )
    assert [row.name for row in given] == ["Ada"]
