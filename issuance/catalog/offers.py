"""A brand's offers: what its members can redeem beside the credits that they hold (INTERFACE 7)."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field
from sqlalchemy import ColumnElement, Connection, Select, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from issuance import audit
from issuance.catalog import coupons
from issuance.database.tables import offers
from issuance.errors import Invalid, NotFound
from issuance.fields import CamelBody, Identifier, Name, Points

#: What an offer's id looks like: addresses and logs can hold it.
ID_PATTERN = r"^[A-Za-z0-9._~:@-]{1,100}$"


class OfferBody(CamelBody):
    """An offer as it is to be. With `pointsPrice` it is redeemed for points; with `couponID` alone for a credit of that
    coupon, the one that expires first; with neither for nothing."""

    name: Name
    points_price: Points | None = Field(None, description="What redeeming it costs")
    tiers: Annotated[list[Name], Field(min_length=1, max_length=100)] | None = Field(
        None, description="Only for members of one of these tiers; null: for all", examples=[["gold"]]
    )
    coupon_id: Identifier | None = Field(None, description="The coupon that describes it")


def put(connection: Connection, brand_id: UUID, offer_id: str, offer: OfferBody) -> dict[str, Any]:
    """Create the offer or replace what it says; one that says so already stays as it is. Redemptions that were made do
    not change. Raises Invalid."""
    if offer.coupon_id is not None:
        try:
            coupons.get(connection, brand_id, offer.coupon_id)
        except NotFound:
            raise Invalid("couponID: there is no such coupon", fields={"couponID": "there is no such coupon"}) from None
    values = offer.model_dump()
    saved = insert(offers).values(brand_id=brand_id, offer_id=offer_id, **values)
    is_new = saved.on_conflict_do_nothing(constraint="offers_pkey").returning(offers.c.offer_id)
    if connection.execute(is_new).one_or_none() is not None:
        audit.write(connection, brand_id, "offer.created", offer_id, after=values)
        return get(connection, brand_id, offer_id)
    before = connection.execute(_one(brand_id, offer_id).with_for_update()).mappings().one()
    was, is_now = audit.changed(dict(before), values)
    if is_now:
        changed = {**values, "updated_at": func.now()}
        connection.execute(update(offers).where(*_named(brand_id, offer_id)).values(changed))
        audit.write(connection, brand_id, "offer.updated", offer_id, before=was, after=is_now)
    return get(connection, brand_id, offer_id)


def find(connection: Connection, brand_id: UUID, offer_id: str) -> dict[str, Any] | None:
    """One of the brand's offers, if there is one under this id."""
    row = connection.execute(_one(brand_id, offer_id)).mappings().one_or_none()
    return None if row is None else dict(row)


def get(connection: Connection, brand_id: UUID, offer_id: str) -> dict[str, Any]:
    """One of the brand's offers. Raises NotFound."""
    offer = find(connection, brand_id, offer_id)
    if offer is None:
        raise NotFound("There is no such offer.")
    return offer


def remove(connection: Connection, brand_id: UUID, offer_id: str) -> None:
    """Offer it no more. Redemptions that were made stay as they are. Raises NotFound."""
    if connection.execute(delete(offers).where(*_named(brand_id, offer_id))).rowcount == 0:
        raise NotFound("There is no such offer.")
    audit.write(connection, brand_id, "offer.deleted", offer_id)


def _named(brand_id: UUID, offer_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return offers.c.brand_id == brand_id, offers.c.offer_id == offer_id


def _one(brand_id: UUID, offer_id: str) -> Select[Any]:
    columns = offers.c
    return select(
        columns.offer_id.label("id"),
        columns.name,
        columns.points_price,
        columns.tiers,
        columns.coupon_id,
        columns.created_at,
        columns.updated_at,
    ).where(*_named(brand_id, offer_id))
