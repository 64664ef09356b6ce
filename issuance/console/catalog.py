"""What memberships are sold, and what a credit is worth: the first steps of a brand."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import ValidationError

from issuance.catalog import coupons, membership_types
from issuance.catalog.coupons import CouponBody
from issuance.catalog.membership_types import NewMembershipType
from issuance.console.lists import as_file, file_address
from issuance.console.routes import Page
from issuance.console.visits import Manager, Viewer
from issuance.errors import Invalid
from issuance.fields import complaint

router = APIRouter(prefix="/console/{brand_id}", include_in_schema=False, route_class=Page)

_COLUMNS = {
    "types": ("id", "name", "billing"),
    "coupons": ("id", "name", "description", "discount.type", "discount.value", "discount.currency", "validity"),
}


@router.get("/catalog")
def catalog(visit: Viewer, form: Annotated[str, Query(alias="as", pattern="^(|types|coupons)$")] = "") -> Response:
    """Membership types and coupons."""
    if form:
        kind: Any = membership_types if form == "types" else coupons
        return as_file(
            visit, form, _COLUMNS[form], lambda connection, *page: kind.page(connection, visit.brand_id, *page)
        )
    with visit.transaction() as connection:
        types, _ = membership_types.page(connection, visit.brand_id, 1, 100)
        offered, _ = coupons.page(connection, visit.brand_id, 1, 100)
    files = {name: file_address(visit, name) for name in _COLUMNS}
    return visit.page("catalog.html", here="catalog", types=types, coupons=offered, files=files)


@router.post("/catalog/types")
def create_type(visit: Manager) -> Response:
    """A new membership type."""
    new = _read(NewMembershipType, {"name": visit.said("name"), "billing": visit.said("billing")})
    with visit.transaction() as connection:
        made = membership_types.create(connection, visit.brand_id, new)
    return visit.done(f"{made['name']} is there.")


@router.post("/catalog/coupons")
def put_coupon(visit: Manager) -> Response:
    """A coupon, new or changed. Credits that are out stay as they are."""
    kind, currency = visit.said("type"), visit.said("currency")
    discount: dict[str, Any] = {"type": kind, "value": _number(visit.said("value"))}
    if currency and kind == "amount":
        discount["currency"] = currency.upper()
    said = {
        "name": visit.said("name"),
        "description": visit.said("description") or "",
        "discount": discount,
        "validity": visit.said("validity"),
    }
    body = _read(CouponBody, said)
    with visit.transaction() as connection:
        made = coupons.put(connection, visit.brand_id, visit.said("coupon_id") or "", body)
    return visit.done(f"{made['name']} is saved.")


def _number(typed: str | None) -> int | float | str | None:
    """A number as a form sends it; what is none stays as it is, for the coupon to refuse it."""
    try:
        return int(typed or "") if (typed or "").isdecimal() else float(typed or "")
    except ValueError:
        return typed


def _read(kind: Any, said: dict[str, Any]) -> Any:
    try:
        return kind.model_validate(said)
    except ValidationError as error:
        raise Invalid(fields={".".join(map(str, one["loc"])): complaint(one) for one in error.errors()}) from None
