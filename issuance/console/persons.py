"""A person, and a membership: party, credits, redemptions, and the timeline that says why."""

from datetime import date
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from sqlalchemy import Connection

from issuance.console.lists import COUNTED, Form, PageNumber, as_file, id_typed, listed
from issuance.console.reading import choices, persons, timeline
from issuance.console.routes import Page
from issuance.console.visits import Viewer, Visit
from issuance.credits import lists
from issuance.deciding.calendar import add_months
from issuance.errors import NotFound
from issuance.members import redemptions, wallets
from issuance.memberships import memberships
from issuance.memberships.explanations import TooMuchToExplain
from issuance.memberships.memberships import STATUSES
from issuance.tenancy import clock
from issuance.tenancy.heavy import heavy

router = APIRouter(prefix="/console/{brand_id}", include_in_schema=False, route_class=Page)

#: The parameter with the month up to which a timeline goes.
Until = Annotated[str, Query(alias="to", pattern=r"^(|(19|20|21)[0-9]{2}-[0-9]{2})$")]
#: The parameter with the cell that is open.
Opened = Annotated[str, Query(alias="why", max_length=120)]
#: How many memberships of a page have their timeline, and how many credits of a person are shown.
MOST_TIMELINES, MOST_CREDITS = 4, 25
_COLUMNS = (
    *("id", "membership_type.name", "external_user_id", "status", "signed_up_at", "starts_on", "ends_on"),
    *("billing_frequency", "billing_anchor", "guests_total"),
)


@router.get("/memberships")
def all_memberships(
    visit: Viewer,
    status: str = "",
    of_type: Annotated[str, Query(alias="type")] = "",
    page: PageNumber = 1,
    form: Form = "",
) -> Response:
    """Memberships, by status and type."""

    wanted = {"status": status if status in STATUSES else None, "membership_type_id": id_typed(of_type)}

    def read(connection: Connection, page: int, per_page: int) -> Any:
        return memberships.page(connection, visit.brand_id, page, per_page, most=COUNTED, **wanted)

    if form:
        return as_file(
            visit, "memberships", _COLUMNS, lambda connection: memberships.each(connection, visit.brand_id, **wanted)
        )
    with visit.transaction() as connection:
        found = listed(visit, connection, page, read)
        type_id = id_typed(of_type)
        types = choices.types(connection, visit.brand_id, [] if type_id is None else [type_id])
        now = clock.read(connection, visit.brand_id).now
    return visit.page(
        "memberships.html",
        today=now.astimezone(visit.zone).date(),
        here="memberships",
        listed=found,
        types=types,
        statuses=STATUSES,
        status=status,
        type=of_type,
    )


@router.get("/memberships/{membership_id}")
def one_membership(visit: Viewer, membership_id: UUID, until: Until = "", opened: Opened = "") -> Response:
    """One membership: who is on it, what it was charged, and its timeline."""
    with visit.transaction() as connection:
        membership = memberships.get(connection, visit.brand_id, membership_id)
        member_id = persons.member_of(connection, visit.brand_id, membership_id)
        shown = _with_timeline(connection, visit, membership, until, opened)
        theirs, total = lists.page(connection, visit.brand_id, 1, MOST_CREDITS, membership_id=membership_id)
        offered = choices.coupons(connection, visit.brand_id)
    return visit.page(
        "membership.html",
        here="memberships",
        member_id=member_id,
        shown=shown,
        credits=theirs,
        credits_total=total,
        coupons=offered,
    )


@router.get("/members/{member_id}")
def one_member(visit: Viewer, member_id: UUID, until: Until = "", opened: Opened = "") -> Response:
    """One person: their memberships with timelines, what they hold, and what they used."""
    with visit.transaction() as connection:
        member = persons.member(connection, visit.brand_id, member_id)
        user = member["external_user_id"]
        theirs = persons.memberships_of(connection, visit.brand_id, member_id)
        shown = [
            {
                **_with_timeline(
                    connection, visit, memberships.get(connection, visit.brand_id, membership_id), until, opened
                ),
                "own": own,
            }
            for membership_id, own in theirs[:MOST_TIMELINES]
        ]
        further = [memberships.get(connection, visit.brand_id, one) for one, _ in theirs[MOST_TIMELINES:]]
        held, total = lists.page(connection, visit.brand_id, 1, MOST_CREDITS, external_user_id=user)
        wallet = wallets.read(connection, visit.brand_id, user)
        booked, _ = redemptions.page(connection, visit.brand_id, persons.MOST_REDEMPTIONS, None, external_user_id=user)
        offered = choices.coupons(connection, visit.brand_id)
    return visit.page(
        "member.html",
        here="memberships",
        member=member,
        shown=shown,
        further=further,
        credits=held,
        credits_total=total,
        wallet=wallet,
        redemptions=booked,
        coupons=offered,
    )


def _with_timeline(
    connection: Connection, visit: Visit, membership: dict[str, Any], until: str, opened: str
) -> dict[str, Any]:
    try:
        last = date.fromisoformat(f"{until}-01") if until else None
        with heavy(visit.brand_id):
            read = timeline.read(connection, visit.brand_id, membership["id"], until=last, opened=opened or None)
    except (ValueError, OverflowError):
        raise NotFound("There is no such month.") from None
    except TooMuchToExplain as error:
        return {"membership": membership, "timeline": None, "problem": error.message}
    last_month = read.months[-1]
    back = add_months(last_month, -timeline.MONTHS)
    return {
        "membership": membership,
        "timeline": read,
        "problem": None,
        "earlier": back if add_months(back, 1) > membership["starts_on"] else None,
        "later": add_months(last_month, timeline.MONTHS) if until else None,
    }
