"""Webhooks: who is told, what was delivered, and what was not."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from issuance import hints
from issuance.console.routes import Page
from issuance.console.visits import Admin, Viewer
from issuance.engine import reminders
from issuance.webhooks import deliveries, webhooks
from issuance.webhooks.deliveries import STATES

router = APIRouter(prefix="/console/{brand_id}", include_in_schema=False, route_class=Page)

#: Deliveries of a page.
MOST = 50


@router.get("/webhooks")
def all_webhooks(visit: Viewer) -> Response:
    """The addresses that are told."""
    with visit.transaction() as connection:
        rows = webhooks.all_of(connection, visit.brand_id)
    return visit.page("webhooks.html", here="webhooks", webhooks=rows)


@router.get("/webhooks/{webhook_id}")
def one_webhook(visit: Viewer, webhook_id: UUID, state: str = "", cursor: str = "") -> Response:
    """One address, and its deliveries."""
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
    return visit.page("webhook.html", here="webhooks", states=STATES, state=state, **shown)


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
