"""`/v1/offers` and `/v1/redemptions`: what members can use, and have used (SEMANTICS 11)."""

from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from issuance import hints
from issuance.api.callers import MemberReader, MemberWriter, Writer
from issuance.api.camel import About, CamelModel, Cursor, Limit
from issuance.api.problems import documented
from issuance.api.routes import KeyedRoute
from issuance.api.wallets import Points, member_of
from issuance.fields import CamelBody, Identifier, Instant, Name, Offer, Reference
from issuance.members import offers, redemptions
from issuance.members.redemptions import Booking, Status

router = APIRouter(prefix="/v1", tags=["redemptions"], route_class=KeyedRoute, responses=documented(401, 403, 422))


class Redemption(CamelModel):
    """One use of a credit or of points."""

    id: UUID
    status: Status
    offer: str = Field(description='What it is for; "" where nothing was said')
    created_at: datetime
    updated_at: datetime
    start_at: datetime | None
    end_at: datetime | None
    external_user_id: str | None
    credit_code: str | None
    points: int | None
    reference: str | None


class RedemptionPage(CamelModel):
    redemptions: list[Redemption]
    next_cursor: str | None


class OfferToMember(CamelModel):
    """One of the member's live credits, as something to redeem. Its `id` is the credit's code."""

    id: str
    title: str
    description: str
    short_description: str
    kind: str
    type: str = Field(description="The discount's: amount or percent")
    points_price: int | None
    expires_at: datetime | None
    images: list[str]


class OfferPage(CamelModel):
    data: list[OfferToMember]
    next_cursor: str | None


#: What the validator of a redemption refuses, as far as JSON Schema can express it.
_OF_ONE_THING: JsonDict = {
    "if": {"required": ["creditCode"], "properties": {"creditCode": {"type": "string"}}},
    "then": {"properties": {"points": {"type": "null"}}},
    "else": {
        "if": {"required": ["points"], "properties": {"points": {"type": "integer"}}},
        "else": {"required": ["offer"], "properties": {"offer": {"type": "string", "minLength": 1}}},
    },
}


class RedemptionBody(CamelBody):
    """Of a credit, by `creditCode`, or by `offer` alone; or of `points`. `endAt` is not before `startAt`.

    `externalUserID`: whose they are, needed for points with an organisation key.
    """

    model_config = ConfigDict(json_schema_extra=_OF_ONE_THING)

    offer: Offer | None = Field(None, description="What it is for; alone, the id of one of the member's offers")
    credit_code: Name | None = None
    points: Points | None = None
    external_user_id: Identifier | None = None
    reference: Reference | None = Field(None, description="Yours, such as a booking's id")
    start_at: Instant | None = None
    end_at: Instant | None = None

    @model_validator(mode="after")
    def _of_one_thing(self) -> "RedemptionBody":
        if self.credit_code is not None and self.points is not None:
            raise ValueError("name one of creditCode and points")
        if not (self.credit_code or self.points or self.offer):
            raise ValueError("name a creditCode, points or an offer")
        if self.start_at is not None and self.end_at is not None and self.end_at < self.start_at:
            raise ValueError("endAt must not be before startAt")
        return self

    @property
    def booking(self) -> Booking:
        return Booking(self.offer, self.reference, self.start_at, self.end_at)


class RedemptionChange(CamelBody):
    status: Status


@router.get("/offers", operation_id="listOffers", response_model=OfferPage, responses=documented(404))
def list_offers(caller: MemberReader, external_user_id: About = None, limit: Limit = 25, cursor: Cursor = None) -> Any:
    """What a member can redeem now, the latest first."""
    member = member_of(caller, external_user_id)
    with caller.transaction() as connection:
        rows, following = offers.page(connection, caller.brand_id, member, limit, cursor)
    return {"data": rows, "next_cursor": following}


@router.post(
    "/redemptions",
    operation_id="createRedemption",
    status_code=201,
    response_model=Redemption,
    responses=documented(404, 409),
)
def create_redemption(caller: MemberWriter, body: RedemptionBody) -> Any:
    """Use a credit, or spend points. 409 says why a credit can not be used; 422 INSUFFICIENT_POINTS."""
    with caller.transaction() as connection:
        if body.points is not None:
            member = member_of(caller, body.external_user_id)
            return redemptions.redeem_points(connection, caller.brand_id, body.points, member, body.booking)
        code = body.credit_code or body.offer
        assert code, "one of the three"
        holder = caller.about(body.external_user_id)
        return redemptions.redeem_credit_of(connection, caller.brand_id, code, holder, body.booking)


@router.get("/redemptions", operation_id="listRedemptions", response_model=RedemptionPage)
def list_redemptions(
    caller: MemberReader,
    status: Status | None = None,
    external_user_id: About = None,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Any:
    """List redemptions, the newest first; a member's own with a member token."""
    with caller.transaction() as connection:
        rows, following = redemptions.page(
            connection,
            caller.brand_id,
            limit,
            cursor,
            external_user_id=caller.about(external_user_id),
            status=status,
        )
    return {"redemptions": rows, "next_cursor": following}


@router.get("/redemptions/{id}", operation_id="getRedemption", response_model=Redemption, responses=documented(404))
def get_redemption(caller: MemberReader, id: UUID) -> Any:  # noqa: A002 - the reference's name for it
    """Get one redemption."""
    with caller.transaction() as connection:
        return redemptions.get(connection, caller.brand_id, id, external_user_id=caller.member)


@router.patch(
    "/redemptions/{id}", operation_id="moveRedemption", response_model=Redemption, responses=documented(404, 409)
)
def move_redemption(caller: Writer, id: UUID, body: RedemptionChange) -> Any:  # noqa: A002 - as above
    """Change the status of a redemption. CANCELED gives back what it spent; the same status again changes nothing."""
    with caller.transaction() as connection:
        redemption, woken = redemptions.move(connection, caller.brand_id, id, body.status)
    hints.settle(caller.broker, caller.brand_id, woken)
    return redemption
