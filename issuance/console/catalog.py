"""Which memberships are sold, and what a credit is worth: the first steps of a brand."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import ValidationError

from issuance.catalog import coupons, membership_types
from issuance.catalog.coupons import CouponBody
from issuance.catalog.membership_types import NewMembershipType
from issuance.console.lists import PageNumber, as_file, file_address, listed, paged
from issuance.console.routes import Page
from issuance.console.visits import Manager, Viewer, Visit
from issuance.errors import Conflict, Invalid
from issuance.fields import complaint

router = APIRouter(prefix="/console/{brand_id}", include_in_schema=False, route_class=Page)

#: The most membership types that are shown; brands have a handful.
MOST_TYPES = 1000
_COLUMNS = {
    "types": ("id", "name", "billing"),
    "coupons": ("id", "name", "description", "discount.type", "discount.value", "discount.currency", "validity"),
}


@router.get("/catalog")
def catalog(
    visit: Viewer,
    page: PageNumber = 1,
    form: Annotated[str, Query(alias="as", pattern="^(|types|coupons)$")] = "",
) -> Response:
    """Membership types and coupons."""
    if form:
        page_of: Any = membership_types.page if form == "types" else partial(coupons.page, but=("offerings",))
        read = paged(lambda connection, *page: page_of(connection, visit.brand_id, *page))
        return as_file(visit, form, _COLUMNS[form], read)
    with visit.transaction() as connection:
        types, types_total = membership_types.page(connection, visit.brand_id, 1, MOST_TYPES)
        offered = listed(
            visit,
            connection,
            page,
            lambda connection, page, per_page: coupons.page(connection, visit.brand_id, page, per_page),
        )
    files = {name: file_address(visit, name) for name in _COLUMNS}
    shown: dict[str, Any] = {"types": types, "types_total": types_total, "coupons": offered, "files": files}
    return visit.page("catalog.html", here="catalog", **shown)


@router.post("/catalog/types")
def create_type(visit: Manager) -> Response:
    """A new membership type."""
    new = _read(NewMembershipType, {"name": visit.said("name"), "billing": visit.said("billing")})
    with visit.transaction() as connection:
        made = membership_types.create(connection, visit.brand_id, new)
    return visit.done(f"{made['name']} is there.")


@router.post("/catalog/coupons")
def add_coupon(visit: Manager) -> Response:
    """A new coupon."""
    body = _read(CouponBody, _said(visit))
    with visit.transaction() as connection:
        made = coupons.put(connection, visit.brand_id, visit.said("coupon_id") or "", body, new=True)
    return visit.done(f"{made['name']} is saved.")


@router.get("/catalog/coupons/{coupon_id}")
def one_coupon(visit: Manager, coupon_id: str) -> Response:
    """The form of an existing coupon."""
    with visit.transaction() as connection:
        coupon = coupons.get(connection, visit.brand_id, coupon_id)
    return visit.page("coupon.html", here="catalog", coupon=coupon)


@router.post("/catalog/coupons/{coupon_id}")
def change_coupon(visit: Manager, coupon_id: str) -> Response:
    """Change those parts of a coupon that the form has; the others stay. Credits that are out stay as they are."""
    with visit.transaction() as connection:
        there = coupons.get(connection, visit.brand_id, coupon_id, lock=True)
        if visit.said("seen") != there["updated_at"].isoformat():
            raise Conflict("Somebody changed this coupon since you opened it. Look at it as it is, and change that.")
        body = _read(CouponBody, {**_said(visit), "offerings": there["offerings"]})
        made = coupons.put(connection, visit.brand_id, coupon_id, body)
    return visit.done(f"{made['name']} is saved.", "/catalog")


def _said(visit: Visit) -> dict[str, Any]:
    """What a form says of a coupon, as the API takes it."""
    kind, currency = visit.said("type"), visit.said("currency")
    discount: dict[str, Any] = {"type": kind, "value": _number(visit.said("value"))}
    if currency and kind == "amount":
        discount["currency"] = currency.upper()
    return {
        "name": visit.said("name"),
        "description": visit.said("description") or "",
        "discount": discount,
        "validity": visit.said("validity"),
    }


def _number(typed: str | None) -> int | float | str | None:
    """A number that a form sends. A text that is no number stays as it is, and the coupon refuses it."""
    try:
        return int(typed or "") if (typed or "").isdecimal() else float(typed or "")
    except ValueError:
        return typed


def _read(kind: Any, said: dict[str, Any]) -> Any:
    try:
        return kind.model_validate(said)
    except ValidationError as error:
        raise Invalid(fields={".".join(map(str, one["loc"])): complaint(one) for one in error.errors()}) from None
