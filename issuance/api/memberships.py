"""`/customers/memberships`."""

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field, TypeAdapter

from issuance.api.callers import Reader
from issuance.api.lists import Cursor, Page, PageOf, PerPage, listed
from issuance.api.membership_types import NamedMembershipType
from issuance.api.problems import documented
from issuance.api.routes import KeyedRoute
from issuance.fields import IN_DIGITS, CalendarDate, Identifier
from issuance.memberships import explanations, memberships
from issuance.memberships.memberships import Status
from issuance.tenancy.heavy import heavy

#: The most rows of a page of an explanation: years of a family's membership fit.
LONGEST_EXPLANATION = 1000

router = APIRouter(
    prefix="/customers/memberships", tags=["memberships"], route_class=KeyedRoute, responses=documented(401, 403, 422)
)


class Period(BaseModel):
    """[start, end): `end` is the first day that is no longer in it."""

    start: date
    end: date


class Charge(BaseModel):
    id: str
    state: str
    period_start: date
    period_end: date
    amount: float | None
    amount_refunded: float | None


class Guest(BaseModel):
    id: UUID
    name: str
    email: str | None
    external_user_id: str | None
    lead_booker: bool


class Membership(BaseModel):
    """A member's subscription to a membership type. `period`: the current billing period, null once it has ended."""

    id: UUID
    membership_type_id: UUID
    membership_type: NamedMembershipType
    external_user_id: str
    status: Status
    signed_up_at: datetime
    starts_on: date
    ends_on: date | None
    billing_anchor: date
    billing_frequency: str
    source_ref: str | None = Field(
        description="What it is at its biller, such as `sub_…/si_…`; null: events told of it"
    )
    period: Period | None
    charges: list[Charge] = Field(description="The latest 100")
    guests: list[Guest] = Field(description="Who is on the order; in a list the first 20, the lead booker first")
    guests_total: int


class MembershipPage(PageOf[Membership]):
    """One page of memberships."""


class ExplainedDecision(BaseModel):
    """What became of one (rule, guest, occurrence), and why."""

    credit_rule_id: UUID
    rule_version: int | None
    guest: dict[str, Any] | None
    period_start: date
    period_end: date | None
    outcome: str
    reason: str
    facts: Any
    text: str


class ChargeForNothing(BaseModel):
    """A charge that covers no billing date and no period of a rule: it is paid, and gives nothing."""

    charge_id: str
    state: str
    period_start: date
    period_end: date
    nearest_billing_date: date


class Explanation(PageOf[ExplainedDecision]):
    """One page of what became of a membership, and the latest 1,000 charges that gave nothing, whatever the page."""

    charges_for_nothing: list[ChargeForNothing]


#: An explanation is long, so the thread that made it also writes it, and nobody waits for that.
_WRITER = TypeAdapter(Explanation)


@router.get("", operation_id="listMemberships", response_model=MembershipPage)
def list_memberships(
    caller: Reader,
    membership_type_id: UUID | None = None,
    external_user_id: Identifier | None = None,
    status: Status | None = None,
    source_ref: Identifier | None = None,
    page: Page = 1,
    per_page: PerPage = 25,
    cursor: Cursor = None,
) -> Any:
    """List memberships, by id."""
    with caller.transaction() as connection:
        found = memberships.part(
            connection,
            caller.brand_id,
            page,
            per_page,
            cursor,
            membership_type_id=membership_type_id,
            external_user_id=external_user_id,
            status=status,
            source_ref=source_ref,
        )
    return listed(found, page, per_page, caller.url)


@router.get("/{membership_id}", operation_id="getMembership", response_model=Membership, responses=documented(404))
def get_membership(caller: Reader, membership_id: UUID) -> Any:
    """Get one membership."""
    with caller.transaction() as connection:
        return memberships.get(connection, caller.brand_id, membership_id)


@router.get(
    "/{membership_id}/explain",
    operation_id="explainMembership",
    response_model=Explanation,
    responses=documented(404),
)
def explain_membership(
    caller: Reader,
    membership_id: UUID,
    credit_rule_id: UUID | None = None,
    first: Annotated[CalendarDate | None, Query(alias="from", description="The first date, inclusive")] = None,
    last: Annotated[CalendarDate | None, Query(alias="to", description="The last date, inclusive")] = None,
    page: Page = 1,
    per_page: Annotated[
        int, Field(ge=1, le=LONGEST_EXPLANATION), IN_DIGITS, Query(description="How many a page")
    ] = LONGEST_EXPLANATION,
) -> Any:
    """Say in sentences why each credit of a membership was issued or not. The code that decides says it.

    At most 50,000 rows, of 10,000 occurrences since the sign-up, and 50 years; 422 `too_much_to_explain` beyond."""
    with heavy(caller.brand_id), caller.transaction() as connection:
        explained = explanations.explain(
            connection,
            caller.brand_id,
            membership_id,
            credit_rule_id=credit_rule_id,
            first=first,
            last=last,
            page=page,
            per_page=per_page,
        )
    whole = {
        **listed((explained.rows, explained.total), page, per_page, caller.url),
        "charges_for_nothing": explained.charges_for_nothing,
    }
    return Response(_WRITER.dump_json(_WRITER.validate_python(whole), by_alias=True), media_type="application/json")
