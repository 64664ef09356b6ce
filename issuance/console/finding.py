"""Find: one box for a name, an e-mail address, an id or a credit's code."""

from fastapi import APIRouter, Response
from fastapi.responses import RedirectResponse

from issuance.console.reading import search
from issuance.console.routes import Page
from issuance.console.visits import Viewer, check_guesses

router = APIRouter(prefix="/console/{brand_id}", include_in_schema=False, route_class=Page)

#: The most characters of a search: a few words.
LONGEST = 300


@router.get("/find")
def find(visit: Viewer, q: str = "") -> Response:
    """Find somebody or something; the only result is shown at once."""
    check_guesses(visit.request, visit.session)
    typed = q.replace("\x00", "")[:LONGEST]
    with visit.transaction() as connection:
        found = search.find(connection, visit.brand_id, typed)
    if found.page is not None:
        return RedirectResponse(visit.root + found.page, 303)
    people = len(found.guests) + len(found.members)
    if not people:
        visit.guessed(search.as_read(typed))
    if people == 1 and not found.more:
        return RedirectResponse(visit.root + _page_of(found), 303)
    return visit.page("find.html", q=typed, found=found)


def _page_of(found: search.Found) -> str:
    if found.members:
        return f"/members/{found.members[0]['member_id']}"
    (guest,) = found.guests
    if guest["member_id"] is not None and guest["external_user_id"] is not None:
        return f"/members/{guest['member_id']}"
    return f"/memberships/{guest['membership_id']}"
