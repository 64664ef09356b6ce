"""`/customers/membership-credit-rules` (reference: Membership Credit Rules)."""

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, HTTPException, Path, Query, Response
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, StrictBool

from issuance import hints
from issuance.api.audit import Actor
from issuance.api.callers import Issuer, Reader, Writer
from issuance.api.lists import Page, PageOf, PerPage, listed
from issuance.api.membership_types import NamedMembershipType
from issuance.api.problems import documented
from issuance.api.routes import KeyedRoute
from issuance.api.runs import Run
from issuance.catalog import previews, rules
from issuance.catalog.previews import PreviewBody
from issuance.catalog.rule_versions import CreditRuleChange, NewCreditRule
from issuance.deciding.frequency import IssuingFrequency
from issuance.engine import runs, undos
from issuance.fields import IN_DIGITS, Body, Identifier, Instant, QueryFlag, Reason, VersionNumber
from issuance.memberships import forecasts
from issuance.tenancy.heavy import heavy

router = APIRouter(
    prefix="/customers/membership-credit-rules",
    tags=["membership credit rules"],
    route_class=KeyedRoute,
    responses=documented(401, 403, 422),
)

CreditRuleId = Annotated[UUID, Path(alias="creditRuleId", description="The ID of the membership credit rule")]


class MembershipCreditRule(BaseModel):
    """A rule for issuing credit to members of a membership type, as its latest version has it."""

    id: UUID
    membership_type_id: UUID
    membership_type: NamedMembershipType
    coupon_id: str
    coupon_name: str
    coupon_description: str
    roll_over: bool
    roll_over_limit: int | None
    issue_on_signup: bool
    multi_use: bool
    max_uses: int | None
    for_lead_booker_only: bool
    issuing_frequency: IssuingFrequency
    version: int
    effective_from: date | None
    created_at: datetime
    updated_at: datetime
    updated_by: Actor | None = Field(description="Who saved its latest version; null: nobody noted it then")


class MembershipCreditRulePage(PageOf[MembershipCreditRule]):
    """One page of credit rules."""


class ForecastMonth(BaseModel):
    month: str = Field(description="YYYY-MM, in the brand's time zone", pattern=r"^\d{4}-\d{2}$", examples=["2031-04"])
    credits: int


class Forecast(BaseModel):
    """Credits by the month in which their period starts."""

    data: list[ForecastMonth]


#: How many memberships, or members, a manual issue can be narrowed to.
MOST_NAMED = 1000


class IssueBody(Body):
    """`include_upcoming`: also to memberships that have signed up and are not billed yet. `dry_run`: only the plan."""

    include_upcoming: StrictBool = False
    dry_run: StrictBool = False
    membership_ids: list[UUID] | None = Field(
        None, min_length=1, max_length=MOST_NAMED, description="Only these memberships"
    )
    external_user_ids: list[Identifier] | None = Field(
        None, min_length=1, max_length=MOST_NAMED, description="Only guests who are one of these members"
    )
    reason: Reason | None = Field(None, description="Why; the audit keeps it")


class UndoVersionBody(Body):
    """`from`: an instant of the brand's clock; what was issued at or after it is taken back."""

    rule_version: VersionNumber
    since: Instant = Field(alias="from")
    reason: Reason


@router.post(
    "/preview",
    operation_id="previewMembershipCreditRule",
    status_code=202,
    response_model=Run,
)
def preview_credit_rule(caller: Reader, body: PreviewBody) -> Any:
    """Preview a rule that is not saved: a run that works out which credits it would change, by membership and by month.
    Its plan says them; nothing else is written."""
    with caller.transaction() as connection:
        run_id = previews.start(connection, caller.brand_id, body)
        run = runs.read(connection, caller.brand_id, run_id)
    hints.work_on_run(caller.broker, caller.brand_id, run_id)
    return run


@router.get("", operation_id="listMembershipCreditRules", response_model=MembershipCreditRulePage)
def list_credit_rules(
    caller: Reader,
    brand_id: Annotated[UUID | None, Query(description="Another brand's gives an empty list")] = None,
    membership_type_id: UUID | None = None,
    issue_on_signup: Annotated[QueryFlag | None, Query(description="Only rules that have it so")] = None,
    page: Page = 1,
    per_page: PerPage = 25,
) -> Any:
    """List membership credit rules, the oldest first."""
    if brand_id not in (None, caller.brand_id):
        return listed(([], 0), page, per_page, caller.url)
    with caller.transaction() as connection:
        found = rules.page(
            connection,
            caller.brand_id,
            page,
            per_page,
            membership_type_id=membership_type_id,
            issue_on_signup=issue_on_signup,
        )
    return listed(found, page, per_page, caller.url)


@router.post("", operation_id="createMembershipCreditRule", status_code=201, response_model=MembershipCreditRule)
def create_credit_rule(caller: Writer, body: NewCreditRule) -> Any:
    """Create a membership credit rule."""
    with caller.transaction() as connection:
        return rules.create(connection, caller.brand_id, body)


@router.api_route("/preview", methods=["GET", "PUT", "PATCH", "DELETE"], include_in_schema=False)
def preview_otherwise(_: Reader) -> Response:
    """Answer that there is no such method, before the word is taken for a rule's id."""
    raise HTTPException(405)


@router.get(
    "/{creditRuleId}",
    operation_id="getMembershipCreditRule",
    response_model=MembershipCreditRule,
    responses=documented(404),
)
def get_credit_rule(caller: Reader, credit_rule_id: CreditRuleId) -> Any:
    """Get a single membership credit rule."""
    with caller.transaction() as connection:
        return rules.get(connection, caller.brand_id, credit_rule_id)


@router.put(
    "/{creditRuleId}",
    operation_id="updateMembershipCreditRule",
    response_model=MembershipCreditRule,
    responses=documented(404),
)
def update_credit_rule(caller: Writer, credit_rule_id: CreditRuleId, body: CreditRuleChange) -> Any:
    """Update a membership credit rule. Other fields stay as they are; it gets a new version."""
    with caller.transaction() as connection:
        return rules.change(connection, caller.brand_id, credit_rule_id, body)


@router.delete("/{creditRuleId}", operation_id="deleteMembershipCreditRule", status_code=204, responses=documented(404))
def delete_credit_rule(caller: Writer, credit_rule_id: CreditRuleId) -> Response:
    """Delete a membership credit rule. Nothing is issued under it from now on; credits that are issued already stay."""
    with caller.transaction() as connection:
        rules.delete(connection, caller.brand_id, credit_rule_id)
    return Response(status_code=204)


@router.get(
    "/{creditRuleId}/forecast",
    operation_id="forecastMembershipCreditRule",
    response_model=Forecast,
    responses=documented(404),
)
def forecast_credit_rule(
    caller: Reader, credit_rule_id: CreditRuleId, months: Annotated[int, Field(ge=1, le=60), IN_DIGITS, Query()] = 12
) -> Any:
    """Forecast how many credits a rule issues in this month and those after it, as things stand.

    422 `too_much_to_forecast` where that takes longer than 20 s; the command line has no limit."""
    with heavy(caller.brand_id), caller.transaction() as connection:
        rules.get(connection, caller.brand_id, credit_rule_id)
        ahead = forecasts.forecast(connection, caller.brand_id, credit_rule_id, months, bounded=True)
        return {"data": ahead}


@router.post(
    "/{creditRuleId}/issue",
    operation_id="actionIssueMembershipCreditRuleCredits",
    status_code=204,
    responses={
        **documented(404),
        204: {"headers": {"Location": {"schema": {"type": "string"}, "description": "The run, as /runs/{run_id}"}}},
        202: {"model": Run, "description": "A dry run was started"},
    },
)
def issue_credits(caller: Issuer, credit_rule_id: CreditRuleId, body: IssueBody | None = None) -> Response:
    """Issue credits for all active memberships under a credit rule's membership type: starts a run, see /runs."""
    asked = body or IssueBody()
    with caller.transaction() as connection:
        run_id = runs.start_issue(
            connection,
            caller.brand_id,
            credit_rule_id,
            include_upcoming=asked.include_upcoming,
            dry_run=asked.dry_run,
            membership_ids=asked.membership_ids,
            external_user_ids=asked.external_user_ids,
            reason=asked.reason,
        )
        run = runs.read(connection, caller.brand_id, run_id)
    hints.work_on_run(caller.broker, caller.brand_id, run_id)
    if asked.dry_run:
        return JSONResponse(jsonable_encoder(Run.model_validate(run)), 202)
    return Response(status_code=204, headers={"Location": f"/runs/{run_id}"})


@router.post(
    "/{creditRuleId}/undo",
    operation_id="undoMembershipCreditRuleVersion",
    status_code=202,
    response_model=Run,
    responses=documented(404),
)
def undo_version(caller: Issuer, credit_rule_id: CreditRuleId, body: UndoVersionBody) -> Any:
    """Take back for good the unredeemed credits of a version that were issued from an instant on: starts a run. The
    version itself stays."""
    with caller.transaction() as connection:
        run_id = undos.start_of_version(
            connection, caller.brand_id, credit_rule_id, body.rule_version, body.since, body.reason
        )
        run = runs.read(connection, caller.brand_id, run_id)
    hints.work_on_run(caller.broker, caller.brand_id, run_id)
    return run
