"""`/v1/webhooks`: where the brand's own programs are told of what happens (INTERFACE 7)."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import AfterValidator, ConfigDict, Field, StrictStr, WithJsonSchema
from pydantic.config import JsonDict
from sqlalchemy import Connection

from issuance import hints
from issuance.api.callers import Caller, Reader, Writer
from issuance.api.camel import CamelModel, Cursor, Limit
from issuance.api.idempotency import Secret
from issuance.api.problems import documented
from issuance.api.routes import KeyedRoute, place_of
from issuance.catalog.coupons import SHOWN_VALIDITY
from issuance.deciding.frequency import parse_validity
from issuance.engine import reminders
from issuance.fields import CamelBody
from issuance.tenancy import clock
from issuance.webhooks import addresses, deliveries, retention, webhooks
from issuance.webhooks.deliveries import State
from issuance.webhooks.outbox import EVENT_TYPES, EventType

router = APIRouter(
    prefix="/v1/webhooks", tags=["webhooks"], route_class=KeyedRoute, responses=documented(401, 403, 422)
)


#: Any text is accepted here; one that is no type of event gets its own error, WEBHOOK_EVENT_UNKNOWN.
_Listened = Annotated[StrictStr, WithJsonSchema({"type": "string", "enum": list(EVENT_TYPES)})]


def _lead(text: str) -> str:
    parse_validity(text)
    return text


_Lead = Annotated[StrictStr, AfterValidator(_lead), Field(max_length=20, json_schema_extra={"pattern": SHOWN_VALIDITY})]
_SHOWN_LEADS: JsonDict = {
    "type": "array",
    "minItems": 1,
    "items": {"type": "string", "maxLength": 20, "pattern": SHOWN_VALIDITY},
}


#: What registering refuses, as the API document expresses it.
_LEADS_WITH_REMINDERS: JsonDict = {
    "if": {"properties": {"events": {"contains": {"const": "credit.expiring"}}}},
    "then": {"required": ["leads"], "properties": {"leads": _SHOWN_LEADS}},
    "else": {"properties": {"leads": {"type": "null"}}},
}


class WebhookBody(CamelBody):
    model_config = ConfigDict(json_schema_extra=_LEADS_WITH_REMINDERS)

    url: str = Field(
        min_length=1,
        max_length=addresses.LONGEST_URL,
        description="https, at a public address, without user and fragment. Sandbox brands may use http and the machine"
        " itself. Where a name leads is looked up: 422 WEBHOOK_URL_NOT_ALLOWED says what is wrong",
        json_schema_extra={"format": "uri", "pattern": r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s/?#@]+([/?].*)?$"},
        examples=["https://example.com/issuance/webhooks"],
    )
    events: list[_Listened] = Field(min_length=1, max_length=50, examples=[["credit.issued", "credit.expiring"]])
    leads: Annotated[list[_Lead], Field(min_length=1, max_length=10)] | None = Field(
        None,
        description='With the event "credit.expiring", and only with it: how long before their expiry credits are told,'
        " on the brand's wall clock",
        examples=[["P7D", "P1D"]],
    )


class Webhook(CamelModel):
    """A webhook. It is disabled by hand, when its receiver answers 410, or when it has failed for days."""

    id: UUID
    environment: Literal["SANDBOX", "LIVE"]
    url: str
    events: list[EventType]
    leads: list[str] | None = Field(description="How long before their expiry credits are told; null: they are not")
    enabled: bool
    created_at: datetime
    disabled_at: datetime | None
    disabled_reason: str | None
    failing_since: datetime | None = Field(description="The first failure since something was last delivered")


class NewWebhook(Webhook):
    signing_secret: str | None = Field(
        description="Shown this once: verify deliveries with it, as Standard Webhooks says",
        examples=["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"],
    )


class WebhookList(CamelModel):
    data: list[Webhook]


class RemovedWebhook(CamelModel):
    id: UUID
    ok: bool


class Delivery(CamelModel):
    """An event's way to the webhook. Times are real ones."""

    id: UUID
    event_id: UUID = Field(description="The webhook-id header: the same at each attempt")
    type: EventType
    state: State
    attempts: int
    next_at: datetime | None
    attempted_at: datetime | None
    last_status: int | None = Field(description="What the receiver answered last")
    last_error: str | None
    delivered_at: datetime | None
    created_at: datetime


class DeliveryPage(CamelModel):
    data: list[Delivery]
    next_cursor: str | None


@router.post(
    "", operation_id="createWebhook", status_code=201, response_model=NewWebhook, responses=documented(409, 429)
)
async def create_webhook(request: Request, caller: Writer, body: WebhookBody) -> Any:
    """Register a webhook. Its signing secret is shown this once."""
    async with place_of(request, caller):
        sandbox = await run_in_threadpool(_is_sandbox, caller)
    webhooks.check_events(body.events)
    # Waiting for a name's servers takes no thread and no place from other requests.
    await addresses.examine(body.url, sandbox=sandbox, brand_id=caller.brand_id)
    async with place_of(request, caller):
        return await run_in_threadpool(_create, caller, body)


def _is_sandbox(caller: Caller) -> bool:
    with caller.transaction() as connection:
        return clock.read(connection, caller.brand_id).sandbox


def _create(caller: Caller, body: WebhookBody) -> dict[str, Any]:
    with caller.transaction() as connection:
        webhook = webhooks.create(connection, caller.brand_id, body.url, body.events, body.leads)
        reminders.begin(connection, caller.brand_id, webhook)
        return webhook


@router.get("", operation_id="listWebhooks", response_model=WebhookList)
def list_webhooks(caller: Reader) -> Any:
    """List the webhooks, the oldest first."""
    with caller.transaction() as connection:
        return {"data": webhooks.all_of(connection, caller.brand_id)}


@router.get("/{webhook_id}", operation_id="getWebhook", response_model=Webhook, responses=documented(404))
def get_webhook(caller: Reader, webhook_id: UUID) -> Any:
    """Get one webhook."""
    with caller.transaction() as connection:
        return webhooks.get(connection, caller.brand_id, webhook_id)


@router.delete("/{webhook_id}", operation_id="deleteWebhook", response_model=RemovedWebhook, responses=documented(404))
def delete_webhook(caller: Writer, webhook_id: UUID) -> Any:
    """Forget a webhook and its deliveries. It is disabled first: where this ends half done, ask once more."""
    with caller.transaction() as connection:
        webhooks.begin_removing(connection, caller.brand_id, webhook_id)
    while _forget_some(caller, webhook_id):
        pass
    with caller.transaction() as connection:
        webhooks.remove(connection, caller.brand_id, webhook_id)
    return {"id": webhook_id, "ok": True}


def _forget_some(caller: Caller, webhook_id: UUID) -> bool:
    with caller.transaction() as connection:
        return retention.forget_some(connection, caller.brand_id, webhook_id)


@router.post("/{webhook_id}/enable", operation_id="enableWebhook", response_model=Webhook, responses=documented(404))
def enable_webhook(caller: Writer, webhook_id: UUID) -> Any:
    """Deliver again. What is pending goes first; what happened while it was disabled is not told."""
    with caller.transaction() as connection:
        webhook = webhooks.enable(connection, caller.brand_id, webhook_id)
        reminders.begin(connection, caller.brand_id, webhook)
    hints.deliver(caller.broker, caller.brand_id, webhook_id)
    return webhook


@router.post(
    "/{webhook_id}/rotate", operation_id="rotateWebhookSecret", response_model=NewWebhook, responses=documented(404)
)
def rotate_webhook_secret(caller: Writer, webhook_id: UUID) -> Any:
    """Make a new signing secret, which is shown this once. For 24 hours deliveries are signed with both."""
    with caller.transaction() as connection:
        return webhooks.rotate(connection, caller.brand_id, webhook_id)


@router.post("/{webhook_id}/disable", operation_id="disableWebhook", response_model=Webhook, responses=documented(404))
def disable_webhook(caller: Writer, webhook_id: UUID) -> Any:
    """Deliver nothing more, and note no further events, until it is enabled."""
    with caller.transaction() as connection:
        return webhooks.disable_by_hand(connection, caller.brand_id, webhook_id)


@router.get(
    "/{webhook_id}/deliveries",
    operation_id="listWebhookDeliveries",
    response_model=DeliveryPage,
    responses=documented(404),
)
def list_deliveries(
    caller: Reader, webhook_id: UUID, state: State | None = None, limit: Limit = 25, cursor: Cursor = None
) -> Any:
    """List a webhook's deliveries, the newest first. Those that are done are kept for 30 days."""
    with caller.transaction() as connection:
        rows, following = deliveries.page(
            connection, caller.brand_id, webhook_id, state=state, limit=limit, cursor=cursor
        )
    return {"data": rows, "next_cursor": following}


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/replay",
    operation_id="replayWebhookDelivery",
    response_model=Delivery,
    responses=documented(404, 409),
)
def deliver_again(caller: Writer, webhook_id: UUID, delivery_id: UUID) -> Any:
    """Deliver once more, now, whatever the result was before. The message has the same webhook-id."""
    with caller.transaction() as connection:
        delivery = deliveries.deliver_again(connection, caller.brand_id, webhook_id, delivery_id)
    hints.deliver(caller.broker, caller.brand_id, webhook_id)
    return delivery


def _without_secret(webhook: dict[str, Any]) -> dict[str, Any]:
    return {**webhook, "signingSecret": None}


def _with_secret(connection: Connection, _: Caller, webhook: dict[str, Any]) -> dict[str, Any]:
    return {**webhook, "signingSecret": webhooks.secret_of(connection, UUID(webhook["id"]))}


#: The kept answer is without the signing secret; for a retry it is read from the webhook.
SIGNING_SECRET = Secret(_without_secret, _with_secret)
