"""Start: what needs somebody now, this month beside what was to be expected, and what is under way."""

from fastapi import APIRouter, Response

from issuance.console.reading import overview
from issuance.console.routes import Page
from issuance.console.visits import Viewer

router = APIRouter(prefix="/console/{brand_id}", include_in_schema=False, route_class=Page)


@router.get("/")
def start(visit: Viewer) -> Response:
    """What one sees first."""
    with visit.transaction() as connection:
        seen = overview.read(connection, visit.brand_id)
    return visit.page("start.html", here="start", **seen)
