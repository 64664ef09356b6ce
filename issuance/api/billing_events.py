"""`/billing-events`, and `/rejected-events` for those that were refused."""

from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import unquote
from uuid import UUID

from fastapi import APIRouter, Body, Request, Response
from pydantic import BaseModel, Field

from issuance import hints
from issuance.api.callers import Caller, Reader, Writer
from issuance.api.lists import Page, PageOf, PerPage, listed
from issuance.api.problems import documented
from issuance.api.routes import KeyedRoute
from issuance.billing import events, rejections
from issuance.billing.cloud_events import RefusalCode
from issuance.billing.events import MOST_EVENTS, Intake
from issuance.errors import Invalid, TooLarge
from issuance.fields import Identifier

router = APIRouter(tags=["billing events"], route_class=KeyedRoute, responses=documented(401, 403, 422))

_EVENT_TYPE, _BATCH_TYPE = "application/cloudevents+json", "application/cloudevents-batch+json"
# `document` has the schema of CloudEvent. Anything else in a batch is refused by itself, and the rest of the batch is
# accepted.
_EVENT = {"anyOf": [{"$ref": "#/components/schemas/CloudEvent"}, {"type": "object"}]}
_BATCH = {
    "type": "array",
    "maxItems": MOST_EVENTS,
    "items": {"anyOf": [{"$ref": "#/components/schemas/CloudEvent"}, {}]},
}


_ABOUT: dict[str, Any] = {
    "specversion": "1.0",
    "source": "billing.example.com",
    "time": "2026-04-01T09:30:00Z",
}
_MEMBERSHIP = {"membership_id": "6ff1b0a5-6e6a-4e6e-9b6b-7d7e1a3d9c01"}
_PERIOD = {"period_start": "2026-04-01", "period_end": "2026-05-01"}
#: A month of a membership as its biller tells it. Whose sign-up is not known yet, waits for it.
_EXAMPLES = {
    "charge": {
        **_ABOUT,
        "id": "evt_1",
        "type": "charge.succeeded",
        "data": {**_MEMBERSHIP, **_PERIOD, "charge_id": "in_1", "amount": "90.00"},
    },
    "status": {
        **_ABOUT,
        "id": "evt_2",
        "type": "membership.status_changed",
        "data": {**_MEMBERSHIP, "status": "cancelled", "ends_on": "2026-06-01"},
    },
}


def _body(media_type: str, schema: dict[str, Any], examples: dict[str, Any]) -> dict[str, Any]:
    named = {name: {"value": example} for name, example in examples.items()}
    return {"requestBody": {"content": {media_type: {"schema": schema, "examples": named}}}}


#: The headers that every event in CloudEvents' binary mode has.
_ATTRIBUTES = ("ce-specversion", "ce-id", "ce-source", "ce-type")


class Rejection(BaseModel):
    """An event that was refused: its place in the batch, and why. It is kept under /rejected-events."""

    index: int
    code: RefusalCode
    message: str


class Warned(BaseModel):
    """What to look at in an event that was accepted all the same: its place in the batch, and why."""

    index: int
    code: Literal[
        "ahead_of_clock",
        "covers_no_boundary",
        "off_boundary",
        "unknown_field",
        "unknown_membership",
        "billing_frequency_missing",
    ]
    message: str


class IntakeResult(BaseModel):
    """The result for a batch of events. Accepted ones are durable."""

    accepted: int
    duplicates: int
    rejected: list[Rejection]
    warnings: list[Warned]


class RejectedEvent(BaseModel):
    id: UUID
    received_at: datetime
    code: str = Field(description="A rejection's code, or one that an earlier version had")
    message: str
    event: str = Field(description="The event as it came, as text; of a long one its first 16,384 characters")


class RejectedEventPage(PageOf[RejectedEvent]):
    """One page of refused events."""


def _taken(caller: Caller, intake: Intake) -> dict[str, Any]:
    # After the commit. If the hint is lost, the scheduler finds the events by their state.
    hints.settle(caller.broker, caller.brand_id, intake.membership_ids)
    return {
        "accepted": intake.accepted,
        "duplicates": intake.duplicates,
        "rejected": intake.rejected,
        "warnings": intake.warnings,
    }


def _take(caller: Caller, request: Request, bodies: list[Any]) -> dict[str, Any]:
    if len(bodies) > MOST_EVENTS:
        raise TooLarge(f"A batch has at most {MOST_EVENTS} events.")
    caller.told(request.state.body_bytes)
    batch = events.read(bodies)
    with caller.transaction() as connection:
        intake = events.take(connection, caller.brand_id, batch)
    return _taken(caller, intake)


def _is_in_binary_mode(request: Request) -> bool:
    structured = request.headers.get("content-type", "").lower().startswith("application/cloudevents")
    return not structured and any(name in request.headers for name in _ATTRIBUTES)


def _in_binary_mode(request: Request, data: Any) -> dict[str, Any]:
    """An event whose attributes came as percent-encoded headers (CloudEvents' HTTP binding, 3.1.3)."""
    names = (name for name in request.headers if name.startswith("ce-"))
    return {**{name.removeprefix("ce-"): unquote(request.headers[name]) for name in names}, "data": data}


# Generated clients can not express a body that is an object or an array, so the document has one operation for each.
@router.post(
    "/billing-events",
    operation_id="postBillingEvents",
    status_code=202,
    response_model=IntakeResult,
    openapi_extra=_body(_EVENT_TYPE, _EVENT, _EXAMPLES),
)
def post_billing_event(caller: Writer, request: Request, body: Annotated[Any, Body(media_type=_EVENT_TYPE)]) -> Any:
    """Take in one CloudEvent. `source` and `id` identify an event.

    A batch is taken here as well, as CloudEvents has it: `application/cloudevents-batch+json`, see
    `postBillingEventBatch`. Plain `application/json` does for either, and for an event in CloudEvents' binary mode:
    its attributes in the headers `ce-specversion`, `ce-id`, `ce-source`, `ce-type` and `ce-time`, its data as the body.
    """
    if _is_in_binary_mode(request):
        return _take(caller, request, [_in_binary_mode(request, body)])
    if not isinstance(body, (dict, list)):
        raise Invalid("Send one event, a JSON object, or a batch of them, a JSON array.")
    return _take(caller, request, body if isinstance(body, list) else [body])


@router.post(
    "/billing-events/batch",
    operation_id="postBillingEventBatch",
    status_code=202,
    response_model=IntakeResult,
    openapi_extra=_body(_BATCH_TYPE, _BATCH, {"batch": list(_EXAMPLES.values())}),
)
def post_billing_event_batch(
    caller: Writer, request: Request, body: Annotated[Any, Body(media_type=_BATCH_TYPE)]
) -> Any:
    """Take in a batch of up to 1000 CloudEvents, each on its own."""
    if not isinstance(body, list):
        raise Invalid("Send a batch of events, a JSON array.")
    return _take(caller, request, body)


@router.get("/rejected-events", operation_id="listRejectedEvents", response_model=RejectedEventPage)
def list_rejected_events(caller: Reader, code: Identifier | None = None, page: Page = 1, per_page: PerPage = 25) -> Any:
    """List the events that were refused and wait for the operator, the latest first."""
    with caller.transaction() as connection:
        return listed(
            rejections.page(connection, caller.brand_id, page, per_page, code=code), page, per_page, caller.url
        )


@router.post(
    "/rejected-events/{rejected_id}/retry",
    operation_id="retryRejectedEvent",
    response_model=IntakeResult,
    responses=documented(404, 409),
)
def retry_rejected_event(caller: Writer, rejected_id: UUID) -> Any:
    """Take in a refused event again, after its cause was fixed. If it is refused again, it stays where it is."""
    with caller.transaction() as connection:
        intake = rejections.retry(connection, caller.brand_id, rejected_id)
    return _taken(caller, intake)


@router.delete(
    "/rejected-events/{rejected_id}",
    operation_id="dismissRejectedEvent",
    status_code=204,
    responses=documented(404),
)
def dismiss_rejected_event(caller: Writer, rejected_id: UUID) -> Response:
    """Delete a refused event."""
    with caller.transaction() as connection:
        rejections.dismiss(connection, caller.brand_id, rejected_id)
    return Response(status_code=204)
