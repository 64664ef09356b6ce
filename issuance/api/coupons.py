"""`/customers/coupons`."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel

from issuance.api.callers import Reader, Writer
from issuance.api.lists import Page, PageOf, PerPage, listed
from issuance.api.problems import documented
from issuance.api.routes import KeyedRoute
from issuance.catalog import coupons
from issuance.catalog.coupons import CouponBody

router = APIRouter(
    prefix="/customers/coupons", tags=["coupons"], route_class=KeyedRoute, responses=documented(401, 403, 422)
)

_FORM = r"^[A-Za-z0-9._~:@-]{1,100}$"
CouponId = Annotated[
    str,
    Path(
        examples=["spa-credit"],
        description="1 to 100 letters, digits and ._~:@-",
        json_schema_extra={"pattern": _FORM},
    ),
]
#: A malformed id of what is only read is an unknown one.
KnownId = Annotated[str, Path(pattern=_FORM)]


class DiscountOfCoupon(BaseModel):
    type: str
    value: int | float
    currency: str | None


class Coupon(BaseModel):
    """The template that credits are made from."""

    id: str
    coupon_id: str
    name: str
    description: str
    discount: DiscountOfCoupon
    validity: str | None
    offerings: list[Any]
    created_at: datetime
    updated_at: datetime


class CouponPage(PageOf[Coupon]):
    """One page of coupons."""


@router.get("", operation_id="listCoupons", response_model=CouponPage)
def list_coupons(caller: Reader, page: Page = 1, per_page: PerPage = 25) -> Any:
    """List coupons, by id."""
    with caller.transaction() as connection:
        return listed(coupons.page(connection, caller.brand_id, page, per_page), page, per_page, caller.url)


@router.put("/{coupon_id}", operation_id="putCoupon", response_model=Coupon)
def put_coupon(caller: Writer, coupon_id: CouponId, body: CouponBody) -> Any:
    """Create a coupon or replace it. Credits that are issued already do not change."""
    with caller.transaction() as connection:
        return coupons.put(connection, caller.brand_id, coupon_id, body)


@router.get("/{coupon_id}", operation_id="getCoupon", response_model=Coupon, responses=documented(404))
def get_coupon(caller: Reader, coupon_id: KnownId) -> Any:
    """Get one coupon."""
    with caller.transaction() as connection:
        return coupons.get(connection, caller.brand_id, coupon_id)
