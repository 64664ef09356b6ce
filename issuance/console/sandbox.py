"""The sandbox's clock: time passes when somebody says so."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Response

from issuance.console.routes import Page
from issuance.console.visits import Manager, Viewer, Visit
from issuance.deciding.calendar import add_months, day_of, midnight
from issuance.engine import sandbox_clock
from issuance.errors import Invalid, LiveBrandHasNoClock
from issuance.tenancy import clock

router = APIRouter(prefix="/console/{brand_id}", include_in_schema=False, route_class=Page)


@router.get("/clock")
def shown(visit: Viewer) -> Response:
    """What time it is here."""
    return visit.page("clock.html", here="clock", clock=_read(visit))


@router.post("/clock")
def move(visit: Manager) -> Response:
    """Let time pass until the beginning of a day; what falls due on the way is settled."""
    present = _read(visit)
    zone = ZoneInfo(visit.place.timezone)
    today = day_of(present.now, zone)
    steps = {"day": today + timedelta(days=1), "week": today + timedelta(days=7), "month": add_months(today, 1)}
    try:
        day = steps.get(visit.said("step") or "") or date.fromisoformat(visit.said("day") or "")
        to: datetime = midnight(day, zone)
    except (ValueError, OverflowError):
        raise Invalid("Say to which day, such as 2031-04-30.") from None
    sandbox_clock.move(visit.engine, visit.broker, visit.brand_id, to, jump=False, acting=visit.acting)
    return visit.done(f"It is {day:%-d %B %Y}; everything that fell due on the way is settled.")


def _read(visit: Visit) -> clock.BrandClock:
    with visit.transaction() as connection:
        present = clock.read(connection, visit.brand_id)
    if not present.sandbox:
        raise LiveBrandHasNoClock
    return present
