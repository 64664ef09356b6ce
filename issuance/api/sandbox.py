"""`/sandbox/clock`: the clock of a sandbox brand (INTERFACE 8)."""

from datetime import datetime
from functools import partial
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, StrictBool

from issuance.api.callers import Reader, Writer
from issuance.api.problems import documented
from issuance.api.routes import KeyedRoute
from issuance.engine import sandbox_clock
from issuance.errors import LiveBrandHasNoClock
from issuance.fields import Body, Instant
from issuance.tenancy import clock, clock_moves

router = APIRouter(
    prefix="/sandbox/clock", tags=["sandbox"], route_class=KeyedRoute, responses=documented(401, 403, 409, 422)
)


class SandboxClock(BaseModel):
    """The time of the brand. `stands_still`: the clock was set and changes only when it is moved."""

    now: datetime
    stands_still: bool
    timezone: str


class SettledClock(BaseModel):
    """Everything that was accepted before the call and everything due by `now` is done."""

    now: datetime
    settled: bool


class ClockBody(Body):
    """`now` is never before the clock. `jump`: go there at once, as after an outage."""

    now: Instant
    jump: StrictBool = False


@router.get("", operation_id="getSandboxClock", response_model=SandboxClock)
def get_clock(caller: Reader) -> Any:
    """The time of the brand."""
    with caller.transaction() as connection:
        present = clock.read(connection, caller.brand_id)
    if not present.sandbox:
        raise LiveBrandHasNoClock
    return {"now": present.now, "stands_still": present.stands_still, "timezone": present.zone.key}


@router.put("", operation_id="setSandboxClock", response_model=SettledClock, responses=documented(503))
async def set_clock(caller: Writer, body: ClockBody) -> Any:
    """Move the clock and wait until everything is settled. The same `now` again only waits."""
    move = partial(
        sandbox_clock.move,
        caller.engine,
        caller.broker,
        caller.brand_id,
        body.now,
        jump=body.jump,
        acting=caller.acting,
    )
    return {"now": await clock_moves.apart(caller.brand_id, move), "settled": True}
