"""`/brand/guard`, and `/held-rules`: rules that it holds until a person speaks (SEMANTICS 17)."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, WithJsonSchema

from issuance.api.callers import Administrator, Issuer, Reader
from issuance.api.lists import Page, PageOf, PerPage, listed
from issuance.api.problems import documented
from issuance.api.routes import KeyedRoute
from issuance.engine import guard_limits, held_rules
from issuance.fields import Body, PerDay, Reason

router = APIRouter(tags=["guard"], route_class=KeyedRoute, responses=documented(401, 403, 422))


class Guard(BaseModel):
    """At most so many credits of a rule in 24 hours; at most so many times its busiest day. null: no such limit."""

    max_per_day: int | None
    times_busiest_day: float | None


def _number(value: object) -> object:
    if isinstance(value, str):
        raise ValueError("must be a number")
    return value


#: Six decimals count.
Times = Annotated[
    Decimal,
    Field(ge=Decimal("0.000001"), le=1_000_000),
    BeforeValidator(_number),
    AfterValidator(lambda times: round(times, 6)),
    WithJsonSchema({"type": "number", "minimum": 0.000001, "maximum": 1_000_000}),
]


class GuardBody(Body):
    """What is absent is null: no such limit."""

    max_per_day: PerDay | None = None
    times_busiest_day: Times | None = None


class HeldRule(BaseModel):
    """A rule that the guard holds: how many credits wait, since when (the brand's clock), and the limit."""

    credit_rule_id: UUID
    held: int
    since: datetime
    limit: int


class HeldRulePage(PageOf[HeldRule]):
    """One page of rules that are held."""


class AnswerBody(Body):
    reason: Reason


@router.get("/brand/guard", operation_id="getGuard", response_model=Guard)
def get_guard(caller: Administrator) -> Any:
    """Get the brand's guard."""
    with caller.transaction() as connection:
        return guard_limits.read(connection, caller.brand_id)


@router.put("/brand/guard", operation_id="setGuard", response_model=Guard)
def put_guard(caller: Administrator, body: GuardBody) -> Any:
    """Set the brand's guard: both limits are replaced. What has gone out in the last days counts from now on."""
    with caller.transaction() as connection:
        return guard_limits.put(
            connection, caller.brand_id, max_per_day=body.max_per_day, times_busiest_day=body.times_busiest_day
        )


@router.get("/held-rules", operation_id="listHeldRules", response_model=HeldRulePage)
def list_held_rules(caller: Reader, page: Page = 1, per_page: PerPage = 25) -> Any:
    """List the rules that the guard holds, the longest first."""
    with caller.transaction() as connection:
        return listed(held_rules.page(connection, caller.brand_id, page, per_page), page, per_page, caller.url)


@router.post(
    "/held-rules/{credit_rule_id}/approve",
    operation_id="approveHeldRule",
    response_model=HeldRule,
    responses=documented(404, 409),
)
def approve_held_rule(caller: Issuer, credit_rule_id: UUID, body: AnswerBody) -> Any:
    """Let out what is held of a rule now, beyond the limit too. Its window starts anew, without what this lets out."""
    with caller.transaction() as connection:
        return held_rules.approve(connection, caller.brand_id, credit_rule_id, body.reason)


@router.post(
    "/held-rules/{credit_rule_id}/refuse",
    operation_id="refuseHeldRule",
    response_model=HeldRule,
    responses=documented(404, 409),
)
def refuse_held_rule(caller: Issuer, credit_rule_id: UUID, body: AnswerBody) -> Any:
    """Skip for good what is held of a rule now."""
    with caller.transaction() as connection:
        return held_rules.refuse(connection, caller.brand_id, credit_rule_id, body.reason)
