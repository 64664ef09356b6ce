"""The sandbox's clock: time passes when somebody moves it."""

from datetime import date, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool

from issuance.console.routes import Page, place_of_a_visitor
from issuance.console.visits import Manager, Viewer, Visit
from issuance.deciding.calendar import add_months, day_of, midnight
from issuance.engine import sandbox_clock
from issuance.errors import LiveBrandHasNoClock
from issuance.tenancy import clock, clock_moves

router = APIRouter(prefix="/console/{brand_id}", include_in_schema=False, route_class=Page)


@router.get("/clock")
def shown(visit: Viewer) -> Response:
    """Show what time it is in this sandbox."""
    return visit.page("clock.html", here="clock", clock=_read(visit))


@router.post("/clock")
async def move(visit: Manager) -> Response:
    """Let time pass until the beginning of a day; everything that falls due on the way is settled."""
    async with place_of_a_visitor(visit.request):
        day, to = await run_in_threadpool(_aim, visit)
    going = partial(sandbox_clock.move, visit.engine, visit.broker, visit.brand_id, to, jump=False, acting=visit.acting)
    await clock_moves.apart(visit.brand_id, going)
    return visit.done(f"It is {day:%-d %B %Y}; everything that fell due on the way is settled.")


def _aim(visit: Visit) -> tuple[date, datetime]:
    """The day to which the clock is to be moved, and the instant at which that day begins."""
    present = _read(visit)
    zone = ZoneInfo(visit.place.timezone)
    today = day_of(present.now, zone)
    steps = {"day": today + timedelta(days=1), "week": today + timedelta(days=7), "month": add_months(today, 1)}
    day = steps.get(visit.said("step") or "") or visit.day("day")
    return day, midnight(day, zone)


def _read(visit: Visit) -> clock.BrandClock:
    with visit.transaction() as connection:
        present = clock.read(connection, visit.brand_id)
    if not present.sandbox:
        raise LiveBrandHasNoClock
    return present
