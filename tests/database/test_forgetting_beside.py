"""Who uses a credit while a person is forgotten writes nothing down of that person (SEMANTICS 20)."""

from typing import Any
from uuid import uuid4

import pytest

from issuance.members.redeeming import Booking, redeem_credit
from issuance.memberships import scrubbing
from tests.database.beside import Beside
from tests.database.canaries import BOB, EMAIL, Story
from tests.database.clubs import Club
from tests.hooks import listen


@pytest.mark.parametrize("whose", ["theirs", "another's"])
def test_who_uses_a_credit_of_the_person_waits_and_nobody_else_does(
    club: Club, beside: Beside, receiver: Any, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    """A guest whom a list names by the address alone keeps the credit, and it is told without the name."""
    story, order, scrub = Story(club), uuid4(), scrubbing.scrub
    listen(club.engine, club.brand_id, receiver)
    guest = {"name": "kkcanname", "email": EMAIL, "lead_booker": False}
    story.take(story._event("membership.signed_up", story._signs_up(order, "bob", guests=[BOB, guest])))
    (other,) = club.sign_up()
    club.settle([order])
    found = "SELECT code FROM credits JOIN guests USING (brand_id, membership_id, guest_id) WHERE membership_id = :one"
    code = club.value(found, one=other)
    if whose == "theirs":
        code = club.value(f"{found} AND NOT lead_booker", one=order)
    story.archive()
    waited: list[bool] = []

    def redeem() -> None:
        with story.work() as connection:
            redeem_credit(connection, club.brand_id, code, Booking())

    def redeemed_after(*scrubbed: Any) -> None:
        scrub(*scrubbed)
        waited.append(beside.begin(redeem))

    monkeypatch.setattr(scrubbing, "scrub", redeemed_after)
    story.erase()
    beside.end()
    assert waited == [whose == "theirs"]
    assert club.value("SELECT count(*) FROM webhook_events WHERE type = 'credit.redeemed'") == 1
    assert [line[:300] for line in story.dump().splitlines() if "kkcanname" in line] == []
