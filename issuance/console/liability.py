"""The liability by month: what is owed in credits, and what it is worth."""

from datetime import date
from itertools import groupby
from typing import Any

from fastapi import APIRouter, Response

from issuance.console.lists import Form
from issuance.console.reading.counted import counter
from issuance.console.routes import Page
from issuance.console.visits import Viewer, Visit
from issuance.credits import liability
from issuance.credits.liability import AMOUNTS, month_of
from issuance.deciding.calendar import add_months, day_of
from issuance.errors import Invalid
from issuance.tenancy import clock
from issuance.tenancy.heavy import heavy

router = APIRouter(prefix="/console/{brand_id}", include_in_schema=False, route_class=Page)

#: How many months are shown if none are named.
MONTHS = 12


@router.get("/liability")
def by_month(visit: Viewer, since: str = "", until: str = "", form: Form = "") -> Response:
    """Show the latest months first, each with its coupons, as they were counted last. A file has them as they are
    now."""
    try:
        first, last = (month_of(text) if text else None for text in (since, until))
    except ValueError:
        raise Invalid("A month is written 2031-04.") from None
    if form:
        with heavy(visit.brand_id), visit.transaction() as connection:
            rows = liability.read(connection, visit.brand_id, first, last, bounded=True)
        attached = {"Content-Disposition": 'attachment; filename="liability.csv"'}
        return Response(liability.as_csv(rows), media_type="text/csv; charset=utf-8", headers=attached)
    if first is None:
        first = add_months(last or _this_month(visit), 1 - MONTHS)
    name = f"liability {first} {last}"
    counted = counter.last(
        visit.engine,
        visit.brand_id,
        name,
        lambda connection: liability.read(connection, visit.brand_id, first, last, bounded=True),
    )
    rows = [] if counted is None else counted.sum
    shown = [_month(month, list(some)) for month, some in groupby(rows, lambda row: str(row["month"]))]
    asked = {"since": _written(first), "until": until}
    stopped = counter.was_cut_short(visit.brand_id, name)
    return visit.page(
        "liability.html", here="liability", counted=counted, stopped=stopped, months=shown[::-1], asked=asked
    )


def _this_month(visit: Visit) -> date:
    with visit.transaction() as connection:
        present = clock.read(connection, visit.brand_id)
    return day_of(present.now, present.zone).replace(day=1)


def _month(month: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A month's rows with their sums: credits of all coupons, and money by currency."""
    worth: dict[str, float] = {}
    for row in rows:
        if row["value"] is not None:
            worth[row["currency"]] = worth.get(row["currency"], 0) + row["value"]["closing"]
    sums = {name: sum(row[name] for row in rows) for name in AMOUNTS}
    return {"month": month_of(month), "rows": rows, "sums": sums, "worth": worth}


def _written(month: date) -> str:
    return f"{month:%Y-%m}"
