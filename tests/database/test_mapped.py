"""What a mapped biller names and says keeps to its bounds in what is kept and shown."""

import json
import random
from typing import Any

import pytest
from sqlalchemy import Engine, text

from issuance.billers import billers, deliveries
from issuance.billers.billers import New
from issuance.database.connections import transaction
from issuance.memberships import memberships
from tests.database.stripes import Club, new_club
from tests.limits import Limit

MAPPING = {
    "source": "till",
    "signature": {"kind": "basic"},
    "time": {"path": "$.t"},
    "membership": ["$.m"],
    "price": "$.price",
    "events": [
        {
            "when": {"$.k": "s"},
            "tell": "membership.signed_up",
            "data": {"external_user_id": "$.u", "starts_on": "2031-01-01", "guests": "$.guests"},
        }
    ],
}
_LONG = text("""
    UPDATE biller_deliveries SET message = repeat('m', 200000), waits_for = :waits_for WHERE delivery_id = :delivery_id
""")
_REF = text("UPDATE biller_memberships SET source_ref = repeat('r', 2000)")


@pytest.fixture
def club(engine: Engine) -> Club:
    club = new_club(engine, new=New("mapped", ["user:password"], mapping=MAPPING))
    club.map("gold")
    return club


def webhook(name: str, **said: Any) -> dict[str, Any]:
    return {"id": name, "t": "2031-01-01T00:00:00Z", "k": "s", "m": name, "u": name, "price": "gold", **said}


def test_names_are_refused_beyond_a_length_and_none_is_kept(club: Club) -> None:
    """A price of 200 kB stood in the message and in what the delivery waits for."""
    club.deliver([webhook("d1", price="p" * 200_000), webhook("d2", m="m" * 100_001), webhook("d3", price="silver")])
    club.translate()
    assert club.why() == {("unmappable", "malformed", None), ("unmappable", "unmapped_price", "silver")}
    assert club.facts() == []


def test_what_was_kept_before_is_cut_where_it_is_read(club: Club) -> None:
    """A list of billers with a few hundred such names took seconds and a gigabyte, and was then refused."""
    club.deliver([webhook(f"d{n}", price="silver") for n in range(3)] + [webhook("told")])
    club.translate()
    chance = random.Random(1)
    with transaction(club.engine, club.brand_id) as connection:
        for n in range(3):
            name = f"{n}{'p' * 300}{chance.random()}"
            connection.execute(_LONG, {"waits_for": name, "delivery_id": f"d{n}"})
        connection.execute(_REF)
        counted = deliveries.counts(connection, club.brand_id, [club.biller_id])
        rows, _ = deliveries.page(connection, club.brand_id, club.biller_id, 1, 100)
        listed, _ = memberships.page(connection, club.brand_id, 1, 100)
    assert [len(one["price"]) for one in counted] == [deliveries.LONGEST_NAME] * 3
    assert {len(one["message"]) for one in counted} == {deliveries.LONGEST_MESSAGE}
    assert max(len(row["waits_for"] or "") for row in rows) == deliveries.LONGEST_NAME
    assert max(len(row["message"] or "") for row in rows) == deliveries.LONGEST_MESSAGE
    assert [len(one["source_ref"]) for one in listed] == [memberships.LONGEST_REF]


def test_what_is_told_together_is_bounded_by_what_it_comes_to(club: Club, limit: Limit) -> None:
    """Not only by what came in: they are told in several transactions then, and one that tells too much by itself is
    set apart."""
    party = [{"name": f"guest {n}", "lead_booker": n == 0} for n in range(50)]
    limit("billers", told=6_000)
    club.deliver([webhook(f"d{n}", guests=party) for n in range(8)] + [webhook("much", guests=party * 6)])
    club.translate()
    states = club.states()
    assert states.pop("much") == "unmappable"
    assert set(states.values()) == {"translated"}
    assert len(club.facts()) == 8


def test_reasons_that_are_told_are_bounded(club: Club, limit: Limit) -> None:
    """However many prices a biller names."""
    limit("billers", reasons=5)
    club.deliver([webhook(f"d{n}", price=f"price {n}") for n in range(9)])
    club.translate()
    with transaction(club.engine, club.brand_id) as connection:
        counted = deliveries.counts(connection, club.brand_id, [club.biller_id])
        assert len(json.dumps(billers.page(connection, club.brand_id, 1, 100), default=str)) < 2_000
    assert len(counted) == 5
