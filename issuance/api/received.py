"""Where billers' own webhooks come in: they show a signature, and no key (INTERFACE 7, Stripe)."""

import asyncio
from time import monotonic
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel
from starlette.datastructures import State

from issuance import hints
from issuance.api.problems import documented
from issuance.billers import receiving

router = APIRouter(prefix="/billers", tags=["billers"])

#: Seconds between two hints for one biller: one asks for all that has come.
HINT_EVERY = 0.05
#: When each biller is hinted at next, by this process. Lost with it, as hints may be.
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
    body, state = await request.body(), request.app.state
    took = await run_in_threadpool(receiving.receive, state.engine, state.looks, kind, biller_id, body, request.headers)
    _hint(state, took.brand_id, biller_id)
    return {"received": True}


def _hint(state: State, brand_id: UUID, biller_id: UUID) -> None:
    """Ask for its translation, now or with what comes in the next moment."""
    now, due = monotonic(), _hinted.get(biller_id, 0.0)
    if due > now:
        return  # one is on its way that is sent after this was kept
    wait = max(0.0, due + HINT_EVERY - now)
    _hinted[biller_id] = now + wait
    loop = asyncio.get_running_loop()
    loop.call_later(wait, loop.run_in_executor, None, hints.translate, state.broker, brand_id, biller_id)
