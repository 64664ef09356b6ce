"""Incoming events: what was refused and why, what waits, what was set apart, and the billers that are plugged in."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic_core import from_json
from sqlalchemy import Connection
from uuid_utils.compat import uuid7

from issuance import hints, limits
from issuance.billers import billers, deliveries
from issuance.billing import events, rejections
from issuance.catalog import membership_types
from issuance.console.lists import Form, PageNumber, as_file, listed, paged
from issuance.console.reading import incoming
from issuance.console.routes import Page
from issuance.console.visits import Manager, Viewer
from issuance.engine import quarantine
from issuance.errors import Invalid
from issuance.tenancy import clock

router = APIRouter(prefix="/console/{brand_id}", include_in_schema=False, route_class=Page)

_COLUMNS = ("id", "received_at", "code", "message", "event")


@router.get("/events")
def came_in(visit: Viewer, page: PageNumber = 1, form: Form = "") -> Response:
    """Show those incoming events that need a look."""

    def read(connection: Connection, page: int, per_page: int) -> Any:
        return rejections.page(connection, visit.brand_id, page, per_page)

    if form:
        return as_file(visit, "refused-events", _COLUMNS, paged(read, limits.current.console.refused_at_once))
    with visit.transaction() as connection:
        seen: dict[str, Any] = dict(incoming.read(connection, visit.brand_id))
        seen["listed"] = listed(visit, connection, page, read)
        seen["quarantined"], seen["quarantined_total"] = quarantine.page(connection, visit.brand_id, 1, 50)
        seen["billers"], _ = billers.page(connection, visit.brand_id, 1, 50)
        types, _ = membership_types.page(connection, visit.brand_id, 1, 1)
        seen["example"] = _example(clock.read(connection, visit.brand_id).now, types)
        seen["untranslated"] = deliveries.counts(connection, visit.brand_id, [row["id"] for row in seen["billers"]])
    return visit.page("events.html", here="events", **seen)


def _example(now: datetime, types: list[dict[str, Any]]) -> str:
    """An example of an event, which can be sent as it is if there is a membership type."""
    data = {"membership_id": str(uuid7()), "membership_type_id": str(types[0]["id"]) if types else ""}
    data |= {"external_user_id": "ada", "starts_on": f"{now:%Y-%m-%d}", "billing_frequency": "P1M"}
    return json.dumps(_event("membership.signed_up", now, data), indent=1)


#: Events that are sent by hand at once; a file or the API takes more. Characters of what is said of those refused.
MOST_SENT, LONGEST_SAID = 100, 1000


@router.post("/events/send")
def send(visit: Manager) -> Response:
    """Take in an event by hand, as a biller would send it."""
    try:
        told = from_json((visit.form.get("event") or "").encode(), allow_inf_nan=False)
    except ValueError as error:
        raise Invalid(f"This is not JSON: {error}") from None
    told = told if isinstance(told, list) else [told]
    if len(told) > MOST_SENT:
        raise Invalid(f"At most {MOST_SENT} events are sent at once: more come by the API, or in a file.")
    with visit.transaction() as connection:
        intake = events.take(connection, visit.brand_id, events.read(told))
    hints.settle(visit.broker, visit.brand_id, intake.membership_ids)
    refused = "; ".join(one.message for one in intake.rejected)
    if refused:
        raise Invalid(f"Refused: {refused[:LONGEST_SAID]}")
    warned = "".join(f" {one.message}" for one in intake.warnings)
    return visit.done(f"{intake.accepted} accepted, {intake.duplicates} known before.{warned}")


@router.post("/events/sign-up")
def sign_up(visit: Manager) -> Response:
    """Sign up a member by hand, with the event that a biller would send: for first steps, and for members whom no
    biller bills."""
    with visit.transaction() as connection:
        now = clock.read(connection, visit.brand_id).now
    membership_id, member = str(uuid7()), visit.said("external_user_id")
    guest = {"name": visit.said("name") or member, "external_user_id": member, "lead_booker": True}
    data: dict[str, Any] = {"membership_id": membership_id, "external_user_id": member, "guests": [guest]}
    if visit.said("email"):
        guest["email"] = visit.said("email")
    data |= {name: visit.said(name) for name in ("membership_type_id", "starts_on", "billing_frequency")}
    told = [_event("membership.signed_up", now, data)]
    if "paid" in visit.form:
        charge = {"membership_id": membership_id, "charge_id": f"by hand {membership_id}"}
        told.append(_event("charge.succeeded", now, {**charge, "period_start": visit.said("starts_on")}))
    with visit.transaction() as connection:
        batch = events.read(told)
        for refused in batch.refused.values():
            raise Invalid(f"{refused.message}.")
        intake = events.take(connection, visit.brand_id, batch)
        for one in intake.rejected:
            raise Invalid(f"{one.message}.")
    hints.settle(visit.broker, visit.brand_id, intake.membership_ids)
    return visit.done(f"{guest['name']} is signed up.", f"/memberships/{membership_id}")


def _event(kind: str, now: datetime, data: dict[str, Any]) -> dict[str, Any]:
    envelope = {"specversion": "1.0", "source": "console", "id": str(uuid7()), "type": kind}
    return {**envelope, "time": now.isoformat(), "data": data}


@router.post("/events/{rejected_id}/retry")
def retry(visit: Manager, rejected_id: UUID) -> Response:
    """Take in a refused event again."""
    with visit.transaction() as connection:
        intake = rejections.retry(connection, visit.brand_id, rejected_id)
    hints.settle(visit.broker, visit.brand_id, intake.membership_ids)
    if intake.rejected:
        return visit.done(f"It is refused again: {intake.rejected[0].message}")
    return visit.done("It is accepted.")


@router.post("/events/{rejected_id}/dismiss")
def dismiss(visit: Manager, rejected_id: UUID) -> Response:
    """Forget a refused event."""
    with visit.transaction() as connection:
        rejections.dismiss(connection, visit.brand_id, rejected_id)
    return visit.done("It is forgotten.")


@router.post("/quarantine/{membership_id}/retry")
def let_out(visit: Manager, membership_id: UUID) -> Response:
    """Try a membership again that was set apart."""
    with visit.transaction() as connection:
        quarantine.retry(connection, visit.brand_id, membership_id)
    hints.settle(visit.broker, visit.brand_id, [membership_id])
    return visit.done("It is tried again.")
