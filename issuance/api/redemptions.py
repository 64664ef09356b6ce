"""`/v1/redemptions`: what members have used (SEMANTICS 11)."""

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
from issuance.api.wallets import member_of
from issuance.catalog import offers as catalog
from issuance.credits.codes import as_kept
from issuance.errors import OfferUnavailable
from issuance.fields import CamelBody, Identifier, Instant, Name, Offer, Points, Reference
from issuance.members import moves, offers, redemptions
from issuance.members.redemptions import Booking, Status

router = APIRouter(prefix="/v1", tags=["redemptions"], route_class=KeyedRoute, responses=documented(401, 403, 422))


class Redemption(CamelModel):
    """One use of a credit, of points or of an offer."""

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
    revision: int = Field(description="Grows with each change; webhooks say it too")


class RedemptionPage(CamelModel):
    redemptions: list[Redemption]
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
    """Of an `offer`, at what it costs; of a credit, by `creditCode`; or of `points`. `endAt` is not before `startAt`.

    `externalUserID`: who books it, needed with an organisation key for anything but a credit.
    """

    model_config = ConfigDict(json_schema_extra=_OF_ONE_THING)

    offer: Offer | None = Field(None, description="An offer's id; from the brand, beside a credit or points, any word")
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
    def is_word(self) -> bool:
        """Whether `offer`, if it is none of the brand's, is only a word beside points or a credit."""
        of_credit = self.credit_code is not None and as_kept(self.offer or "") == as_kept(self.credit_code)
        return bool(self.offer) and (self.points is not None or self.credit_code is not None) and not of_credit

    @property
    def booking(self) -> Booking:
        return Booking(self.offer, self.reference, self.start_at, self.end_at)


class RedemptionChange(CamelBody):
    status: Status


@router.post(
    "/redemptions",
    operation_id="createRedemption",
    status_code=201,
    response_model=Redemption,
    responses=documented(404, 409),
)
def create_redemption(caller: MemberWriter, body: RedemptionBody) -> Any:
    """Book an offer, use a credit, or spend points. 409 REDEMPTION_ALREADY_EXISTS: the member has booked the offer, and
    that is neither COMPLETED nor CANCELED; other codes say why a credit can not be used. 422 OFFER_UNAVAILABLE,
    INSUFFICIENT_POINTS."""
    brand_id, booking = caller.brand_id, body.booking
    with caller.transaction() as connection:
        offer = catalog.find(connection, brand_id, body.offer) if body.offer else None
        if offer is not None:
            member = member_of(caller, body.external_user_id)
            return offers.redeem(
                connection, brand_id, offer, member, booking, points=body.points, code=body.credit_code
            )
        if caller.member is not None and body.is_word:
            # It may be nearly the name of an offer: then they could choose the price.
            raise OfferUnavailable(fields={"offer": "there is no such offer"})
        if body.points is not None:
            member = member_of(caller, body.external_user_id)
            return redemptions.redeem_points(connection, brand_id, body.points, member, booking)
        holder = caller.about(body.external_user_id)
        if body.credit_code is not None:
            return redemptions.redeem_credit_of(connection, brand_id, body.credit_code, holder, booking)
        assert body.offer, "one of the three"
        return offers.redeem_credit(connection, brand_id, body.offer, holder, booking)


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
        redemption, woken = moves.move(connection, caller.brand_id, id, body.status)
    hints.settle(caller.broker, caller.brand_id, woken)
    return redemption
