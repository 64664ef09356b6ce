"""The audit: who changed what, when and why."""

from datetime import date, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Response
from sqlalchemy import Connection

from issuance import audit
from issuance.audit import ACTIONS, detaching
from issuance.console.lists import COUNTED, Form, PageNumber, as_file, listed
from issuance.console.routes import Page
from issuance.console.visits import Admin
from issuance.deciding.calendar import midnight
from issuance.errors import Invalid

router = APIRouter(prefix="/console/{brand_id}", include_in_schema=False, route_class=Page)

_COLUMNS = (
    *("id", "at", "brand_time", "actor.kind", "actor.id", "actor.name", "action", "subject.kind", "subject.id"),
    *("reason", "before", "after", "request_id"),
)


@router.get("/audit")
def entries(
    visit: Admin,
    action: str = "",
    subject: str = "",
    actor: str = "",
    since: str = "",
    until: str = "",
    page: PageNumber = 1,
    form: Form = "",
) -> Response:
    """Entries, the latest first, by what was done, to what, by whom and when."""
    zone = ZoneInfo(visit.place.timezone)
    try:
        first = midnight(date.fromisoformat(since), zone) if since else None
        last = midnight(date.fromisoformat(until) + timedelta(days=1), zone) if until else None
        actor_id = UUID(actor) if actor else None
    except (ValueError, OverflowError):
        raise Invalid("A day is written 2031-04-30, and an actor is named by its id.") from None

    wanted = {
        "subject_id": subject or None,
        "actor_id": actor_id,
        "action": next((one for one in ACTIONS if one == action), None),
        "first": first,
        "last": last,
    }

    def read(connection: Connection, page: int, per_page: int) -> Any:
        return audit.page(connection, visit.brand_id, page, per_page, most=COUNTED, **wanted)

    if form:
        return as_file(visit, "audit", _COLUMNS, lambda connection: audit.each(connection, visit.brand_id, **wanted))
    with visit.transaction() as connection:
        found = listed(visit, connection, page, read)
        begins = detaching.begins(connection)
    asked = {"action": action, "subject": subject, "actor": actor, "since": since, "until": until}
    return visit.page("audit.html", here="audit", listed=found, actions=sorted(ACTIONS), asked=asked, begins=begins)
