"""`/v1/offers`: what a brand offers its members, and what a member can book now (INTERFACE 7)."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import Field

from issuance.api.callers import MemberReader, Reader, Writer
from issuance.api.camel import About, CamelModel, Cursor, Limit
from issuance.api.problems import documented
from issuance.api.routes import KeyedRoute
from issuance.api.wallets import member_of
from issuance.catalog import offers as catalog
from issuance.catalog.offers import ID_PATTERN, OfferBody
from issuance.members import offers

router = APIRouter(prefix="/v1/offers", tags=["offers"], route_class=KeyedRoute, responses=documented(401, 403, 422))

OfferId = Annotated[
    str,
    Path(alias="offerID", pattern=ID_PATTERN, examples=["spa-day"], description="1 to 100 letters, digits and ._~:@-"),
]


class Offer(CamelModel):
    """An offer of the brand, as the brand keeps it."""

    id: str
    name: str
    points_price: int | None
    tiers: list[str] | None
    coupon_id: str | None
    created_at: datetime
    updated_at: datetime


class RemovedOffer(CamelModel):
    id: str
    ok: bool


class OfferToMember(CamelModel):
    """Something that the member can book by its `id`: an offer of the brand, or a live credit of theirs, whose `id` is
    its code."""

    id: str
    title: str
    description: str
    short_description: str
    kind: str = Field(description="offer or credit")
    type: str = Field(description="What it takes: points, free, or a credit by its discount, amount or percent")
    points_price: int | None
    expires_at: datetime | None
    images: list[str]


class OfferPage(CamelModel):
    data: list[OfferToMember]
    next_cursor: str | None


@router.get("", operation_id="listOffers", response_model=OfferPage, responses=documented(404))
def list_offers(caller: MemberReader, external_user_id: About = None, limit: Limit = 25, cursor: Cursor = None) -> Any:
    """What a member can book now, the latest first."""
    member = member_of(caller, external_user_id)
    with caller.transaction() as connection:
        rows, following = offers.page(connection, caller.brand_id, member, limit, cursor)
    return {"data": rows, "next_cursor": following}


@router.put("/{offerID}", operation_id="putOffer", response_model=Offer, responses=documented(404))
def put_offer(caller: Writer, offer_id: OfferId, body: OfferBody) -> Any:
    """Create an offer or replace it. Redemptions that were made do not change."""
    with caller.transaction() as connection:
        return catalog.put(connection, caller.brand_id, offer_id, body)


@router.get("/{offerID}", operation_id="getOffer", response_model=Offer, responses=documented(404))
def get_offer(caller: Reader, offer_id: OfferId) -> Any:
    """Get one offer of the brand."""
    with caller.transaction() as connection:
        return catalog.get(connection, caller.brand_id, offer_id)


@router.delete("/{offerID}", operation_id="deleteOffer", response_model=RemovedOffer, responses=documented(404))
def delete_offer(caller: Writer, offer_id: OfferId) -> Any:
    """Offer it no more. Redemptions that were made stay."""
    with caller.transaction() as connection:
        catalog.remove(connection, caller.brand_id, offer_id)
    return {"id": offer_id, "ok": True}
