"""The desk: people use, grant, extend, transfer, revoke, reinstate and print credits, one by one."""

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import segno
from fastapi import APIRouter, Response
from markupsafe import Markup
from sqlalchemy import Connection, text

from issuance import hints
from issuance.console.lists import COUNTED, Form, PageNumber, as_file, id_typed, listed, paged
from issuance.console.routes import Page
from issuance.console.visits import Desk, Viewer, Visit
from issuance.corrections.desk import correct
from issuance.corrections.refusals import possible
from issuance.corrections.wanted import Correction, Extend, Grant, Reinstate, Revoke, Transfer
from issuance.credits import credits, lists
from issuance.credits.credits import STATUSES
from issuance.deciding.calendar import midnight
from issuance.errors import Invalid, MemberNotFound, NotFound
from issuance.members import members, redemptions
from issuance.members.redemptions import Booking
from issuance.memberships import memberships

router = APIRouter(prefix="/console/{brand_id}", include_in_schema=False, route_class=Page)

#: For a page of one status, how many of the latest credits are looked at; a file has them all.
LOOKED_AT = 100_000
_COLUMNS = (
    *("code", "status", "coupon_name", "coupon_id", "holder.name", "holder.external_user_id", "guest.name"),
    *("membership_id", "credit_rule_id", "rule_version", "period_start", "period_end", "valid_from", "expires_at"),
    *("multi_use", "uses", "max_uses", "issued_at", "redeemed_at", "revoked_at", "revoked_reason"),
)
_CODE_OF = text("SELECT code FROM credits WHERE brand_id = :brand_id AND credit_id = :credit_id")
# The uses of a credit.
_USES = text("""
    SELECT redemption_id, status, reference, offer, created_at FROM redemptions
     WHERE brand_id = :brand_id AND credit_id = :credit_id ORDER BY created_at DESC LIMIT 50
""")


@router.get("/credits")
def all_credits(visit: Viewer, status: str = "", page: PageNumber = 1, form: Form = "") -> Response:
    """Credits, the latest issued first."""

    def read(connection: Connection, page: int, per_page: int) -> Any:
        wanted = status if status in STATUSES else None
        latest = LOOKED_AT if wanted is not None and not form else None
        return lists.page(connection, visit.brand_id, page, per_page, most=COUNTED, status=wanted, latest=latest)

    if form:
        return as_file(visit, "credits", _COLUMNS, paged(read))
    with visit.transaction() as connection:
        found = listed(visit, connection, page, read)
    shown: dict[str, Any] = {"listed": found, "statuses": STATUSES, "status": status if status in STATUSES else ""}
    return visit.page("credits.html", here="credits", looked_at=LOOKED_AT, **shown)


@router.get("/credits/{code}")
def one_credit(visit: Viewer, code: str) -> Response:
    """Show one credit: where it comes from, who has it, and what can be done with it."""
    with visit.transaction() as connection:
        credit = _credit(connection, visit, code)
        which = {"brand_id": visit.brand_id, "credit_id": credit["id"]}
        uses = [dict(row) for row in connection.execute(_USES, which).mappings()]
        membership = memberships.get(connection, visit.brand_id, credit["membership_id"])
        acts = {act.__name__ for act in possible(connection, visit.brand_id, credit)}
    return visit.page("credit.html", here="credits", credit=credit, uses=uses, membership=membership, acts=acts)


@router.get("/credits/{code}/print")
def on_paper(visit: Viewer, code: str) -> Response:
    """A credit to hand over: its code, to read and to scan."""
    with visit.transaction() as connection:
        credit = _credit(connection, visit, code)
    drawn = segno.make(credit["code"], micro=False).svg_inline(border=0, omitsize=True, svgclass=None, lineclass=None)
    return visit.page("print.html", here="credits", credit=credit, drawn=Markup(drawn))  # noqa: S704 - drawn here


@router.post("/credits/{code}/redeem")
def redeem(visit: Desk, code: str) -> Response:
    """Use it."""
    with visit.transaction() as connection:
        booking = Booking(reference=visit.said("reference", most=255))
        credit = redemptions.redeem_credit(connection, visit.brand_id, code, booking)
    return visit.done(f"{credit['coupon_name']} of {credit['holder']['name']} is used.")


@router.post("/credits/{code}/extend")
def extend(visit: Desk, code: str) -> Response:
    """Let a credit expire later: at the end of a day."""
    return _correct(visit, Extend(code, _end_of(visit, "expires_on"), visit.reason()), "It expires later now.")


@router.post("/credits/{code}/transfer")
def transfer(visit: Desk, code: str) -> Response:
    """Give a credit to somebody else, with a new code."""
    to = visit.said("to") or ""
    if not to:
        raise Invalid("Say to whom: a member's id, or a guest of this membership.", fields={"to": "is required"})
    reason = visit.reason()
    with visit.transaction() as connection:
        given = Transfer(code, reason, **_receiver(connection, visit, code, to))
        credit, ids = correct(connection, visit.brand_id, given)
    hints.settle(visit.broker, visit.brand_id, ids)
    return visit.done(
        f"{credit['holder']['name']} has it now. Its code is new; the old one says that it was transferred.",
        f"/credits/{credit['code']}",
    )


@router.post("/credits/{code}/revoke")
def revoke(visit: Desk, code: str) -> Response:
    """Take it back."""
    return _correct(visit, Revoke(code, visit.reason()), "It is revoked.")


@router.post("/credits/{code}/reinstate")
def reinstate(visit: Desk, code: str) -> Response:
    """Lift a revocation by the operator."""
    return _correct(visit, Reinstate(code, visit.reason()), "The revocation is lifted.")


@router.post("/memberships/{membership_id}/grant")
def grant(visit: Desk, membership_id: UUID) -> Response:
    """Give one guest a credit, under no rule."""
    given = Grant(
        membership_id,
        visit.said("coupon_id") or "",
        visit.reason(),
        guest_id=id_typed(visit.said("guest_id") or ""),
        expires_at=_end_of(visit, "expires_on") if visit.said("expires_on") else None,
    )
    with visit.transaction() as connection:
        credit, ids = correct(connection, visit.brand_id, given)
    hints.settle(visit.broker, visit.brand_id, ids)
    return visit.done(f"{credit['holder']['name']} has a {credit['coupon_name']} more.")


def _correct(visit: Visit, correction: Correction, sentence: str) -> Response:
    with visit.transaction() as connection:
        _, ids = correct(connection, visit.brand_id, correction)
    hints.settle(visit.broker, visit.brand_id, ids)
    return visit.done(sentence)


def _receiver(connection: Connection, visit: Visit, code: str, to: str) -> dict[str, Any]:
    """The receiver that was typed: a guest of the credit's order by their id, else a member by the brand's id, else a
    guest of another order. A brand may have ids for its members that look like ours."""
    guest_id = id_typed(to)
    if guest_id is None:
        return {"external_user_id": to}
    order = memberships.get(connection, visit.brand_id, credits.get(connection, visit.brand_id, code)["membership_id"])
    if all(guest["id"] != guest_id for guest in order["guests"]):
        with suppress(MemberNotFound):
            members.id_of(connection, visit.brand_id, to)
            return {"external_user_id": to}
    return {"guest_id": guest_id}


def _credit(connection: Connection, visit: Visit, code: str) -> dict[str, Any]:
    """A credit, by its code or by its id."""
    credit_id = id_typed(code)
    if credit_id is not None:
        which = {"brand_id": visit.brand_id, "credit_id": credit_id}
        found = connection.scalar(_CODE_OF, which)
        if found is None:
            raise NotFound("There is no such credit.")
        code = found
    return credits.get(connection, visit.brand_id, code)


def _end_of(visit: Visit, field: str) -> datetime:
    """The end of the day that was typed, in the brand's zone. Raises Invalid."""
    return midnight(visit.day(field) + timedelta(days=1), ZoneInfo(visit.place.timezone))
