"""Membership types: the tiers that memberships are sold on; each owns its credit rules."""

from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ARRAY, Connection, Select, Uuid, any_, bindparam, select
from uuid_utils.compat import uuid7

from issuance import audit
from issuance.database import paging
from issuance.database.tables import membership_types
from issuance.errors import NotFound
from issuance.fields import Body, Name

_KNOWN = select(membership_types.c.membership_type_id).where(
    membership_types.c.brand_id == bindparam("brand_id"),
    membership_types.c.membership_type_id == any_(bindparam("ids", type_=ARRAY(Uuid))),
)


class NewMembershipType(Body):
    """`automatic` billing: each period from the anchor on is charged at its start, without an external biller."""

    name: Name
    billing: Literal["external", "automatic"] = "external"


def create(connection: Connection, brand_id: UUID, new: NewMembershipType) -> dict[str, Any]:
    """A new membership type."""
    membership_type_id = uuid7()
    connection.execute(
        membership_types.insert().values(
            brand_id=brand_id, membership_type_id=membership_type_id, name=new.name, billing=new.billing
        )
    )
    audit.write(connection, brand_id, "membership_type.created", membership_type_id, after=new.model_dump())
    return get(connection, brand_id, membership_type_id)


def get(connection: Connection, brand_id: UUID, membership_type_id: UUID) -> dict[str, Any]:
    """One membership type. Raises NotFound."""
    one = _all(brand_id).where(membership_types.c.membership_type_id == membership_type_id)
    row = connection.execute(one).mappings().one_or_none()
    if row is None:
        raise NotFound("There is no such membership type.")
    return dict(row)


def page(connection: Connection, brand_id: UUID, page: int, per_page: int) -> paging.Rows:
    """A page of the brand's membership types, the oldest first."""
    columns = membership_types.c
    ordered = _all(brand_id).order_by(columns.created_at, columns.membership_type_id)
    return paging.rows_of(connection, ordered, page, per_page)


def known(connection: Connection, brand_id: UUID, membership_type_ids: list[UUID]) -> set[UUID]:
    """Those of `membership_type_ids` that the brand has."""
    return set(connection.scalars(_KNOWN, {"brand_id": brand_id, "ids": membership_type_ids}))


def _all(brand_id: UUID) -> Select[Any]:
    columns = membership_types.c
    return select(columns.membership_type_id.label("id"), columns.name, columns.billing, columns.created_at).where(
        columns.brand_id == brand_id
    )
