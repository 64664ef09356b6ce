"""`/billers`: who is plugged in, their price maps, and what is not translated (INTERFACE 7, Stripe)."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr, StringConstraints, model_validator
from pydantic.config import JsonDict

from issuance import hints
from issuance.api.callers import Administrator
from issuance.api.lists import Page, PageOf, PerPage, listed
from issuance.api.problems import documented
from issuance.api.routes import KeyedRoute
from issuance.api.runs import Run
from issuance.billers import billers, deliveries, reconciling
from issuance.billers.billers import New
from issuance.billers.deliveries import State
from issuance.billers.mapped.mapping import BillerMapping
from issuance.engine import runs
from issuance.fields import Body, Identifier, Instant

router = APIRouter(prefix="/billers", tags=["billers"], route_class=KeyedRoute, responses=documented(401, 403, 422))

Secret = Annotated[StrictStr, StringConstraints(min_length=8, max_length=255, pattern=r"^[ -~]+$")]


#: What the validator of a new biller refuses, as the API document expresses it.
_SAYS_HOW: JsonDict = {
    "if": {"properties": {"kind": {"const": "mapped"}}},
    "then": {"required": ["mapping"], "properties": {"mapping": {"type": "object"}, "api_key": {"type": "null"}}},
    "else": {"properties": {"mapping": {"type": "null"}}},
}


class NewBiller(Body):
    """A biller to be plugged in. `secret`: what it signs its webhooks with. `api_key`: with what it can be asked."""

    model_config = ConfigDict(json_schema_extra=_SAYS_HOW)

    kind: Literal["stripe", "mapped"]
    secret: Secret | None = Field(
        None,
        description="None: it tells its own once it has the URL; what it sends before is refused",
    )
    api_key: Secret | None = None
    mapping: BillerMapping | None = Field(None, description="Of kind `mapped` only: how its webhooks are read")

    @model_validator(mode="after")
    def _say_how(self) -> "NewBiller":
        if (self.mapping is not None) != (self.kind == "mapped"):
            raise ValueError("a mapping is for kind mapped, which needs one")
        if self.api_key is not None and self.kind not in billers.WITH_API:
            raise ValueError("an api_key is for billers that can be asked; what a mapping reads has no API")
        return self


class PluggedIn(BaseModel):
    """A biller that is plugged in, and where it is to send its webhooks."""

    id: UUID
    url: str


class MappedPrice(BaseModel):
    """What a price, or a product with all its prices, is sold as. No `membership_type_id`: no membership's."""

    price: str
    membership_type_id: UUID | None
    current_period: Literal["keep", "switch"]


class Untranslated(BaseModel):
    """Deliveries that are not translated, and why: of a price that nobody mapped, its `price`; of `messages` that are
    different the commonest."""

    state: State
    code: str | None
    message: str | None
    messages: int
    price: str | None
    deliveries: int
    since: datetime


class Biller(BaseModel):
    """A biller that is plugged in. Its secrets are never shown."""

    id: UUID
    kind: str
    url: str
    can_be_asked: bool = Field(description="Whether it has an API, and a key was given")
    prices: list[MappedPrice] = Field(description="The first 500 by name")
    prices_total: int
    untranslated: list[Untranslated]
    created_at: datetime
    reconciled_at: datetime | None
    heard_at: datetime = Field(
        description="When it sent a webhook last, to the minute; until it sends one, when it was plugged in"
    )


class BillerPage(PageOf[Biller]):
    """One page of billers."""


class PriceBody(Body):
    """What a price is sold as. Null: it is no membership's, and is passed over. `current_period`: what a change to this
    price does to the running period."""

    membership_type_id: UUID | None
    current_period: Literal["keep", "switch"] = "keep"


class SecretsBody(Body):
    """One secret, or two while one is rotated out: a webhook signed with either is good."""

    secrets: Annotated[list[Secret], Field(min_length=1, max_length=2)]


#: What reconciling refuses, as the API document expresses it.
_FROM_SOMEWHERE: JsonDict = {
    "if": {"required": ["all"], "properties": {"all": {"const": True}}},
    "then": {"properties": {"since": {"type": "null"}}},
}


class ReconcileBody(Body):
    """`since`: what was made since then; `all`: from the beginning. Neither: since the last time."""

    model_config = ConfigDict(json_schema_extra=_FROM_SOMEWHERE)

    since: Instant | None = None
    everything: StrictBool = Field(False, alias="all")
    dry_run: StrictBool = False


class BillerDelivery(BaseModel):
    """A webhook as it came, and what became of it."""

    id: str
    received_at: datetime
    state: State
    waits_for: str | None
    code: str | None
    message: str | None
    body: str = Field(description="The text as it came, its beginning if it is long")


class BillerDeliveryPage(PageOf[BillerDelivery]):
    """One page of what a biller sent."""


class Retried(BaseModel):
    """How many deliveries are translated anew."""

    deliveries: int


@router.post("", operation_id="createBiller", status_code=201, response_model=PluggedIn, responses=documented(409))
def create_biller(caller: Administrator, request: Request, body: NewBiller) -> Any:
    """Plug in a biller. Its secrets are kept sealed and never shown again."""
    mapping = None if body.mapping is None else body.mapping.model_dump(mode="json", by_alias=True)
    new = New(body.kind, [body.secret] if body.secret else [], body.api_key, mapping)
    with caller.transaction() as connection:
        biller_id = billers.create(connection, caller.brand_id, new)
    return {"id": biller_id, "url": _url(request, body.kind, biller_id)}


@router.get("", operation_id="listBillers", response_model=BillerPage)
def list_billers(caller: Administrator, request: Request, page: Page = 1, per_page: PerPage = 25) -> Any:
    """List the billers with their price maps, and what is not translated; the oldest first."""
    with caller.transaction() as connection:
        rows, total = billers.page(connection, caller.brand_id, page, per_page)
        counted = deliveries.counts(connection, caller.brand_id, [row["id"] for row in rows])
    for row in rows:
        row["url"] = _url(request, row["kind"], row["id"])
        row["untranslated"] = [one for one in counted if one["biller_id"] == row["id"]]
    return listed((rows, total), page, per_page, caller.url)


@router.put(
    "/{biller_id}/prices/{price:id}",
    operation_id="putBillerPrice",
    response_model=MappedPrice,
    responses=documented(404, 409),
)
def put_price(caller: Administrator, biller_id: UUID, price: Identifier, body: PriceBody) -> Any:
    """Map a price, or a product with all its prices. What waited for it is translated by itself."""
    with caller.transaction() as connection:
        entry = billers.put_price(
            connection, caller.brand_id, biller_id, price, body.membership_type_id, body.current_period
        )
        deliveries.retry(connection, caller.brand_id, biller_id)
    hints.translate(caller.broker, caller.brand_id, biller_id)
    return entry


@router.delete(
    "/{biller_id}/prices/{price:id}", operation_id="deleteBillerPrice", status_code=204, responses=documented(404)
)
def delete_price(caller: Administrator, biller_id: UUID, price: Identifier) -> Response:
    """Take a price out of the map. What was told of it stays."""
    with caller.transaction() as connection:
        billers.forget_price(connection, caller.brand_id, biller_id, price)
    return Response(status_code=204)


@router.put(
    "/{biller_id}/secrets", operation_id="putBillerSecrets", response_model=PluggedIn, responses=documented(404)
)
def put_secrets(caller: Administrator, request: Request, biller_id: UUID, body: SecretsBody) -> Any:
    """Give a biller other secrets. They are never shown."""
    with caller.transaction() as connection:
        billers.replace_secrets(connection, caller.brand_id, biller_id, body.secrets)
        kind = billers.get(connection, caller.brand_id, biller_id).kind
    return {"id": biller_id, "url": _url(request, kind, biller_id)}


@router.post(
    "/{biller_id}/reconcile",
    operation_id="reconcileBiller",
    status_code=202,
    response_model=Run,
    responses=documented(404, 409),
)
def reconcile(caller: Administrator, biller_id: UUID, body: ReconcileBody | None = None) -> Any:
    """Ask the biller how everything stands, and tell what its webhooks did not: since an instant, since the last time,
    or all of it, which is to be tried with `dry_run` first."""
    asked = body or ReconcileBody()
    with caller.transaction() as connection:
        run_id = reconciling.start(
            connection,
            caller.brand_id,
            biller_id,
            since=asked.since,
            everything=asked.everything,
            dry_run=asked.dry_run,
        )
        run = runs.read(connection, caller.brand_id, run_id)
    hints.ask_biller(caller.broker, caller.brand_id, biller_id)
    return run


@router.get(
    "/{biller_id}/deliveries",
    operation_id="listBillerDeliveries",
    response_model=BillerDeliveryPage,
    responses=documented(404),
)
def list_deliveries(
    caller: Administrator, biller_id: UUID, state: State | None = None, page: Page = 1, per_page: PerPage = 25
) -> Any:
    """List what a biller sent, the latest first. What was translated or refused is kept for 30 days."""
    with caller.transaction() as connection:
        billers.get(connection, caller.brand_id, biller_id)
        found = deliveries.page(connection, caller.brand_id, biller_id, page, per_page, state=state)
    return listed(found, page, per_page, caller.url)


@router.post(
    "/{biller_id}/translate",
    operation_id="translateBillerDeliveries",
    response_model=Retried,
    responses=documented(404),
)
def translate(caller: Administrator, biller_id: UUID) -> Any:
    """Translate anew what could not be: after the map, or the adapter, was mended."""
    with caller.transaction() as connection:
        billers.get(connection, caller.brand_id, biller_id)
        tried = deliveries.retry_by_hand(connection, caller.brand_id, biller_id)
    hints.translate(caller.broker, caller.brand_id, biller_id)
    return {"deliveries": tried}


def _url(request: Request, kind: str, biller_id: UUID) -> str:
    return f"{str(request.base_url).rstrip('/')}/billers/{kind}/{biller_id}"
