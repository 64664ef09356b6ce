"""Where billers' own webhooks come in: they show a signature, and no key (INTERFACE 7, Stripe)."""

import asyncio
from contextvars import copy_context
from time import monotonic
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel
from starlette.datastructures import State

from issuance import hints
from issuance.api.problems import documented
from issuance.api.routes import place_of_a_stranger
from issuance.billers import receiving
from issuance.billers.adapter import BadSignature
from issuance.billers.billers import Biller
from issuance.errors import NotFound
from issuance.tenancy.fairness import FairThreads
from issuance.tenancy.rates import FACTS, OF_A_BRAND, UNKNOWN_BILLERS, WRONG_SIGNATURES, Known, Rates, came_from

router = APIRouter(prefix="/billers", tags=["billers"])

#: Seconds between two hints for one biller: one hint asks for everything that has come.
HINT_EVERY = 0.05
#: When this process may send the next hint for a biller. Hints may be lost, and so may this.
_hinted: dict[UUID, float] = {}


class KeptWebhook(BaseModel):
    """It is kept."""

    received: bool


@router.post(
    "/stripe/{biller_id}",
    operation_id="receiveFromStripe",
    response_model=KeptWebhook,
    responses=documented(400, 404, 413, 422, 503),
    openapi_extra={
        "requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}, "required": True},
        "parameters": [{"name": "Stripe-Signature", "in": "header", "required": True, "schema": {"type": "string"}}],
    },
)
async def receive_from_stripe(request: Request, biller_id: UUID) -> Any:
    """Take in a webhook of Stripe's, as Stripe sends and signs it. It is durable when this answers; doubles are 200
    too."""
    return await _receive(request, "stripe", biller_id)


@router.post(
    "/mapped/{biller_id}",
    operation_id="receiveFromMapped",
    response_model=KeptWebhook,
    responses=documented(400, 404, 413, 422, 503),
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}, "required": True}},
)
async def receive_from_mapped(request: Request, biller_id: UUID) -> Any:
    """Take in a webhook of a biller whose mapping says how it is signed and read. It is durable when this answers."""
    return await _receive(request, "mapped", biller_id)


async def _receive(request: Request, kind: str, biller_id: UUID) -> Any:
    biller = await _biller(request, kind, biller_id)
    async with place_of_a_stranger(request):
        await run_in_threadpool(_take, request, biller, await request.body())
    _hint(request.app.state, biller.brand_id, biller_id)
    return {"received": True}


async def _biller(request: Request, kind: str, biller_id: UUID) -> Biller:
    """The biller to whom a webhook is addressed. These looks are shared like those at keys: by the brand if this biller
    has signed something from this address before, else by the address. Raises NotFound, RateLimited."""
    state, source = request.app.state, came_from(request.client)
    rates: Rates = state.rates
    looking: FairThreads = state.looking
    sender = source, biller_id
    known = rates.known(sender)
    if known is None:
        rates.check(UNKNOWN_BILLERS, source)
    rates.check(WRONG_SIGNATURES, _name(sender))

    def look() -> Biller:
        try:
            return receiving.find(state.looks, kind, biller_id)
        except NotFound:
            rates.was_bad(sender)
            rates.wrong(UNKNOWN_BILLERS, source)
            raise

    return await looking.run(source if known is None else known.brand_id, look)


def _take(request: Request, biller: Biller, body: bytes) -> None:
    """Keep a webhook, within the brand's limits of requests and bytes. Who guesses signatures keeps out only
    themselves."""
    state, sender = request.app.state, (came_from(request.client), biller.biller_id)
    rates: Rates = state.rates
    rates.check(WRONG_SIGNATURES, _name(sender))
    try:
        receiving.verify(biller, body, request.headers)
    except BadSignature:
        rates.wrong(WRONG_SIGNATURES, _name(sender))
        raise
    rates.was_good(sender, Known(biller.brand_id, _name(sender), is_key=False))
    rates.take(OF_A_BRAND, str(biller.brand_id))
    rates.take(FACTS, str(biller.brand_id), len(body))
    receiving.keep(state.engine, biller, body)


def _name(sender: tuple[str, UUID]) -> str:
    """The sender of a webhook, a biller from an address, as limits count it."""
    return " ".join(map(str, sender))


def _hint(state: State, brand_id: UUID, biller_id: UUID) -> None:
    """Ask for the translation of a webhook, now or together with those of the next moment."""
    now, due = monotonic(), _hinted.get(biller_id, 0.0)
    if due > now:
        return  # one is on its way that is sent after this was kept
    wait = max(0.0, due + HINT_EVERY - now)
    _hinted[biller_id] = now + wait
    loop, of_request = asyncio.get_running_loop(), copy_context()

    def send() -> None:
        of_request.run(hints.translate, state.broker, brand_id, biller_id)

    loop.call_later(wait, loop.run_in_executor, None, send)
