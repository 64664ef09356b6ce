"""A biller that is plugged in: what its prices are sold as, what it sent, and what of that could not be translated."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection

from issuance import hints
from issuance.billers import billers, deliveries
from issuance.billers.deliveries import STATES
from issuance.console.lists import Form, PageNumber, as_file, listed, paged
from issuance.console.reading import choices
from issuance.console.routes import Page
from issuance.console.visits import Admin, Viewer
from issuance.errors import Invalid
from issuance.fields import Identifier
from issuance.shown import number

router = APIRouter(prefix="/console/{brand_id}", include_in_schema=False, route_class=Page)

_COLUMNS = ("id", "received_at", "state", "code", "message", "waits_for")
_PRICE: TypeAdapter[str] = TypeAdapter(Identifier)


@router.get("/billers/{biller_id}")
def one_biller(visit: Viewer, biller_id: UUID, state: str = "", page: PageNumber = 1, form: Form = "") -> Response:
    """Show its price map with the gaps, and its deliveries by what became of them."""

    def read(connection: Connection, page: int, per_page: int) -> Any:
        wanted: Any = state if state in STATES else None
        return deliveries.page(connection, visit.brand_id, biller_id, page, per_page, state=wanted, bodies=not form)

    if form:
        return as_file(visit, "deliveries-in", _COLUMNS, paged(read))
    with visit.transaction() as connection:
        billers.get(connection, visit.brand_id, biller_id)
        plugged_in, _ = billers.page(connection, visit.brand_id, 1, 100)
        biller = next(row for row in plugged_in if row["id"] == biller_id)
        sold_as = [one["membership_type_id"] for one in biller["prices"] if one["membership_type_id"] is not None]
        types = choices.types(connection, visit.brand_id, sold_as)
        shown: dict[str, Any] = {
            "biller": biller,
            "gaps": deliveries.counts(connection, visit.brand_id, [biller_id]),
            "listed": listed(visit, connection, page, read),
            "types": types,
            "type_names": {row["id"]: row["name"] for row in types.rows},
        }
    address = f"{str(visit.request.base_url).rstrip('/')}/billers/{shown['biller']['kind']}/{biller_id}"
    return visit.page("biller.html", here="events", states=STATES, state=state, address=address, **shown)


@router.post("/billers/{biller_id}/prices")
def map_price(visit: Admin, biller_id: UUID) -> Response:
    """Say what a price is sold as; deliveries that waited for it are translated."""
    try:
        price = _PRICE.validate_python(visit.said("price"))
        sold_as = UUID(said) if (said := visit.said("membership_type_id")) else None
    except (ValidationError, ValueError):
        raise Invalid("Name the price or product as the biller does, such as price_1Mo…") from None
    with visit.transaction() as connection:
        period: Any = "switch" if visit.said("current_period") == "switch" else "keep"
        billers.put_price(connection, visit.brand_id, biller_id, price, sold_as, period)
        tried = deliveries.retry(connection, visit.brand_id, biller_id)
    hints.translate(visit.broker, visit.brand_id, biller_id)
    anew = f" {number(tried, 'delivery is', 'deliveries are')} translated anew." if tried else ""
    return visit.done(f"{price} is mapped.{anew}")


@router.post("/billers/{biller_id}/prices/forget")
def forget_price(visit: Admin, biller_id: UUID) -> Response:
    """Take a price out of the map; what was told of it stays."""
    with visit.transaction() as connection:
        billers.forget_price(connection, visit.brand_id, biller_id, visit.said("price") or "")
    return visit.done("It is mapped no more. What was told of it stays.")


@router.post("/billers/{biller_id}/translate")
def translate(visit: Admin, biller_id: UUID) -> Response:
    """Try again what could not be translated."""
    with visit.transaction() as connection:
        billers.get(connection, visit.brand_id, biller_id)
        tried = deliveries.retry_by_hand(connection, visit.brand_id, biller_id)
    hints.translate(visit.broker, visit.brand_id, biller_id)
    return visit.done(f"{number(tried, 'delivery is', 'deliveries are')} translated anew.")
