"""`/customers/liability`: what the brand owes in credits, month by month."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from issuance.api.accepted import wants
from issuance.api.callers import Reader
from issuance.api.problems import documented
from issuance.api.routes import KeyedRoute
from issuance.credits import liability
from issuance.credits.liability import month_of
from issuance.tenancy.heavy import heavy

router = APIRouter(
    prefix="/customers", tags=["credits"], route_class=KeyedRoute, responses=documented(401, 403, 422, 429)
)

_MONTH = r"^(19|20|21)\d{2}-(0[1-9]|1[0-2])$"
First = Annotated[
    str | None,
    Query(alias="from", pattern=_MONTH, description="YYYY-MM, inclusive; else the month of the first credit"),
]
Last = Annotated[
    str | None, Query(alias="to", pattern=_MONTH, description="YYYY-MM, inclusive; else the present month")
]


class LiabilityValue(BaseModel):
    """The same in money: each credit at its coupon's amount when it was issued."""

    opening: int | float
    issued: int | float
    redeemed: int | float
    expired: int | float
    revoked: int | float
    restored: int | float
    closing: int | float


class LiabilityOfMonth(BaseModel):
    """The credits of a rule and a coupon in a month: opening + issued + restored - redeemed - expired - revoked =
    closing, which is the next month's opening. A month that is over does not change any more."""

    month: str = Field(description="YYYY-MM, in the brand's time zone", pattern=_MONTH, examples=["2031-04"])
    credit_rule_id: UUID | None = Field(description="null: credits that people gave under no rule")
    coupon_id: str
    opening: int
    issued: int
    redeemed: int = Field(description="A multi-use credit counts at its max_uses-th use")
    expired: int
    revoked: int
    restored: int = Field(description="Those that had ended and are out again")
    closing: int
    currency: str | None = Field(
        description="Of the value; null: the coupon is for no amount of money, or its amount names no currency"
    )
    value: LiabilityValue | None


class Liability(BaseModel):
    """By month, coupon and rule. Where there is nothing, there is no row."""

    data: list[LiabilityOfMonth]


@router.get(
    "/liability",
    operation_id="getLiability",
    response_model=Liability,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def get_liability(caller: Reader, request: Request, first: First = None, last: Last = None) -> Any:
    """What is owed in credits, month by month, by number and by value; a file with `Accept: text/csv`.
    422 `too_much_to_report` of more than 8,000 rows: name fewer months."""
    begin, end = (None if month is None else month_of(month) for month in (first, last))
    with heavy(caller.brand_id), caller.transaction() as connection:
        rows = liability.read(connection, caller.brand_id, begin, end, bounded=True)
    if wants(request, "text/csv", over="application/json"):
        attached = 'attachment; filename="liability.csv"'
        return Response(liability.as_csv(rows), media_type="text/csv", headers={"Content-Disposition": attached})
    return {"data": rows}
