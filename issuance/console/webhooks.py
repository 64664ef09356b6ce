"""Webhooks: which addresses are told, what was delivered, and what was not."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from issuance import hints
from issuance.console.lists import Form, file_address, rows_as_file
from issuance.console.routes import Page
from issuance.console.visits import Admin, Viewer, Visit
from issuance.engine import reminders
from issuance.webhooks import deliveries, webhooks
from issuance.webhooks.deliveries import STATES

router = APIRouter(prefix="/console/{brand_id}", include_in_schema=False, route_class=Page)

#: Deliveries of a page, and the most of a file.
MOST, MOST_IN_A_FILE = 50, 10_000
_COLUMNS = ("id", "url", "events", "enabled", "disabled_reason", "failing_since", "created_at")
_OF_DELIVERIES = ("id", "event_id", "type", "state", "attempts", "attempted_at", "last_status", "last_error", "next_at")


@router.get("/webhooks")
def all_webhooks(visit: Viewer, form: Form = "") -> Response:
    """The addresses that are told."""
    with visit.transaction() as connection:
        rows = webhooks.all_of(connection, visit.brand_id)
    if form:
        return rows_as_file(visit, "webhooks", _COLUMNS, rows)
    return visit.page("webhooks.html", here="webhooks", webhooks=rows, file=file_address(visit))


@router.get("/webhooks/{webhook_id}")
def one_webhook(visit: Viewer, webhook_id: UUID, state: str = "", cursor: str = "", form: Form = "") -> Response:
    """One address, and its deliveries."""
    if form:
        return rows_as_file(visit, "deliveries", _OF_DELIVERIES, _deliveries(visit, webhook_id, state), MOST_IN_A_FILE)
    with visit.transaction() as connection:
        webhook = webhooks.get(connection, visit.brand_id, webhook_id)
        rows, following = deliveries.page(
            connection,
            visit.brand_id,
            webhook_id,
            state=state if state in STATES else None,
            limit=MOST,
            cursor=cursor or None,
        )
    shown: dict[str, Any] = {"webhook": webhook, "deliveries": rows, "following": following}
    return visit.page("webhook.html", here="webhooks", states=STATES, state=state, file=file_address(visit), **shown)


def _deliveries(visit: Visit, webhook_id: UUID, state: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    wanted = state if state in STATES else None
    while len(found) <= MOST_IN_A_FILE:  # one more says that there is more
        with visit.transaction() as connection:
            rows, cursor = deliveries.page(
                connection, visit.brand_id, webhook_id, state=wanted, limit=100, cursor=cursor
            )
        found += rows
        if cursor is None:
            break
    return found


@router.post("/webhooks/{webhook_id}/enable")
def enable(visit: Admin, webhook_id: UUID) -> Response:
    """Deliver again."""
    with visit.transaction() as connection:
        reminders.begin(connection, visit.brand_id, webhooks.enable(connection, visit.brand_id, webhook_id))
    hints.deliver(visit.broker, visit.brand_id, webhook_id)
    return visit.done("It is enabled; what is pending goes first.")


@router.post("/webhooks/{webhook_id}/disable")
def disable(visit: Admin, webhook_id: UUID) -> Response:
    """Deliver nothing more."""
    with visit.transaction() as connection:
        webhooks.disable_by_hand(connection, visit.brand_id, webhook_id)
    return visit.done("It is disabled: nothing is noted for it until it is enabled.")


@router.post("/webhooks/{webhook_id}/deliveries/{delivery_id}/replay")
def deliver_again(visit: Admin, webhook_id: UUID, delivery_id: UUID) -> Response:
    """Deliver once more."""
    with visit.transaction() as connection:
        deliveries.deliver_again(connection, visit.brand_id, webhook_id, delivery_id)
    hints.deliver(visit.broker, visit.brand_id, webhook_id)
    return visit.done("It is delivered again.")
