"""Start: what needs a person now; today and this month beside what was foretold; and what is under way."""

from datetime import date
from typing import Any

from fastapi import APIRouter, Response

from issuance.console.reading import months, overview
from issuance.console.reading.counted import counter
from issuance.console.routes import Page
from issuance.console.visits import Viewer
from issuance.deciding.calendar import add_months

router = APIRouter(prefix="/console/{brand_id}", include_in_schema=False, route_class=Page)

#: The name of its count.
_MONTHS = "months"


@router.get("/")
def start(visit: Viewer) -> Response:
    """The first page that people see."""
    with visit.transaction() as connection:
        seen = overview.read(connection, visit.brand_id)
        told = months.foretold(connection, visit.brand_id)
    counted = counter.last(
        visit.engine, visit.brand_id, _MONTHS, lambda connection: months.by_month(connection, visit.brand_id)
    )
    stopped = counter.was_cut_short(visit.brand_id, _MONTHS)
    drawn = [] if counted is None else _drawn(counted.sum["months"], told["months"], visit.zone)
    return visit.page("start.html", here="start", counted=counted, stopped=stopped, drawn=drawn, told=told, **seen)


def _drawn(became: list[dict[str, Any]], told: dict[str, int], zone: Any) -> list[dict[str, Any]]:
    """Months as they are drawn: the past ones, with what was foretold of them, and those ahead that are foretold."""
    drawn: list[dict[str, Any]] = []
    for month in became:
        day: date = month["start_time"].astimezone(zone).date()
        drawn.append({**month, "day": day, "told": told.get(f"{day:%Y-%m}")})
    for later in range(1, months.AHEAD + 1):
        day = add_months(drawn[months.MONTHS - 1]["day"], later)
        if (ahead := told.get(f"{day:%Y-%m}")) is not None:
            nothing = dict.fromkeys(("issued", "redeemed", "expired", "revoked"))
            drawn.append({**nothing, "day": day, "told": ahead})
    return drawn
