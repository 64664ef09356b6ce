"""What the selects of the console's forms offer (INTERFACE 12)."""

from uuid import UUID

from sqlalchemy import Connection

from issuance.catalog import coupons, membership_types
from issuance.catalog.coupons import CouponBody
from issuance.catalog.membership_types import NewMembershipType
from issuance.console.reading import choices
from tests.limits import Limit


def test_what_is_chosen_is_offered_beyond_the_most(connection: Connection, brand_id: UUID, limit: Limit) -> None:
    """And that there is more is said."""
    limit("console", choices=1)
    body = CouponBody.model_validate({"name": "Spa", "discount": {"type": "percent", "value": 10}})
    types = []
    for number in range(4):
        coupons.put(connection, brand_id, f"c{number}", body)
        types.append(membership_types.create(connection, brand_id, NewMembershipType(name="Gold"))["id"])
    offered = choices.coupons(connection, brand_id, ["c3"])
    assert ([row["id"] for row in offered.rows], offered.more) == (["c0", "c1", "c3"], True)
    sold = choices.types(connection, brand_id, [types[3]])
    assert (sold.rows[-1]["id"], sold.more) == (types[3], True)
    limit("console", choices=4)
    assert not choices.coupons(connection, brand_id).more
