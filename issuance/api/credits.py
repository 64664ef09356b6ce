"""`/customers/credits`."""

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from issuance.api.audit import Actor
from issuance.api.callers import Reader, Writer
from issuance.api.lists import Cursor, Page, PageOf, PerPage, listed
from issuance.api.problems import documented
from issuance.api.routes import KeyedRoute
from issuance.credits import credits, lists
from issuance.credits.codes import BREAKS
from issuance.credits.credits import Status
from issuance.fields import Body, Identifier, QueryFlag, Reference
from issuance.members import redemptions
from issuance.members.redemptions import Booking

router = APIRouter(
    prefix="/customers/credits", tags=["credits"], route_class=KeyedRoute, responses=documented(401, 403, 422)
)

Code = Annotated[
    str,
    Path(
        pattern=rf"^[0-9A-Za-z{BREAKS}]{{1,64}}$",
        description="The credit's code, without regard to case, spaces and dashes",
    ),
]


class Holder(BaseModel):
    """A guest of an order; or, without `id`, a member to whom a credit was transferred."""

    id: UUID | None
    name: str
    lead_booker: bool
    external_user_id: str | None


class Credit(BaseModel):
    """One issued coupon code, held by one guest. Its status is that of this moment on the brand's clock."""

    id: UUID
    code: str
    status: Status
    credit_rule_id: UUID | None = Field(description="null, with rule_version and the period: a grant")
    rule_version: int | None
    coupon_id: str
    coupon_name: str
    membership_id: UUID
    guest: Holder = Field(description="Who is entitled to it")
    holder: Holder = Field(description="Who has it: another than the guest after a transfer")
    period_start: date | None
    period_end: date | None
    reissue: int
    valid_from: datetime
    expires_at: datetime | None
    roll_over: bool
    multi_use: bool
    max_uses: int | None = Field(description="A multi-use credit's use at which it is redeemed; null: it never is")
    uses: int
    issued_at: datetime
    redeemed_at: datetime | None
    revoked_at: datetime | None
    revoked_reason: str | None
    revoked_by: Actor | None = Field(description='Who took it back; the system, called "facts": what happened did')
    expired_at: datetime | None
    flagged_at: datetime | None = Field(description="Used although its charge was taken back later")
    extended_at: datetime | None = Field(description="When a person last made it expire later")
    run_id: UUID | None
    revision: int = Field(description="Grows with each change; webhooks say it too")


class CreditPage(PageOf[Credit]):
    """One page of credits."""


class RedemptionOfCredit(BaseModel):
    id: UUID
    status: str


class RedeemedCredit(Credit):
    redemption: RedemptionOfCredit


class RedeemBody(Body):
    reference: Reference | None = Field(None, description="Yours, such as a booking's id")


@router.get("", operation_id="listCredits", response_model=CreditPage)
def list_credits(
    caller: Reader,
    membership_id: UUID | None = None,
    credit_rule_id: UUID | None = None,
    external_user_id: Identifier | None = None,
    guest_id: UUID | None = None,
    status: Status | None = None,
    multi_use: QueryFlag | None = None,
    page: Page = 1,
    per_page: PerPage = 25,
    cursor: Cursor = None,
) -> Any:
    """List credits, the latest issued first."""
    with caller.transaction() as connection:
        found = lists.part(
            connection,
            caller.brand_id,
            page,
            per_page,
            cursor,
            status=status,
            external_user_id=external_user_id,
            membership_id=membership_id,
            credit_rule_id=credit_rule_id,
            guest_id=guest_id,
            multi_use=multi_use,
        )
    return listed(found, page, per_page, caller.url)


@router.get("/{code}", operation_id="getCredit", response_model=Credit, responses=documented(404))
def get_credit(caller: Reader, code: Code) -> Any:
    """Get the credit with a code."""
    with caller.transaction() as connection:
        return credits.get(connection, caller.brand_id, code)


@router.post(
    "/{code}/redeem", operation_id="redeemCredit", response_model=RedeemedCredit, responses=documented(404, 409)
)
def redeem_credit(caller: Writer, code: Code, body: RedeemBody | None = None) -> Any:
    """Use a credit. 409 says why it can not be used: already_redeemed, expired, revoked, transferred or
    not_yet_valid."""
    with caller.transaction() as connection:
        booking = Booking(reference=body.reference if body else None)
        return redemptions.redeem_credit(connection, caller.brand_id, code, booking)
