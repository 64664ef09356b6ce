"""`/runs`, and `/replays`, which start one (SEMANTICS 10)."""

from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator
from pydantic.config import JsonDict

from issuance import hints
from issuance.api.audit import Actor
from issuance.api.callers import Issuer, Reader
from issuance.api.lists import Page, PageOf, PerPage, listed
from issuance.api.problems import documented
from issuance.api.routes import KeyedRoute
from issuance.engine import runs
from issuance.fields import Body, CalendarDate

router = APIRouter(tags=["runs"], route_class=KeyedRoute, responses=documented(401, 403, 422))


class Run(BaseModel):
    """One piece of bulk work. `total` and `done` count memberships, `counts` outcomes by their reason."""

    model_config = ConfigDict(populate_by_name=True)

    id: UUID
    kind: Literal["sweep", "issue", "replay"]
    state: Literal["planned", "running", "paused", "finished", "cancelled"]
    counts: dict[str, int]
    total: int
    done: int
    dry_run: bool
    credit_rule_id: UUID | None
    membership_type_id: UUID | None
    membership_id: UUID | None
    include_upcoming: bool
    first: date | None = Field(alias="from")
    last: date | None = Field(alias="to")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    started_by: Actor | None = Field(description="Who asked for it; null: the system, of itself")


class RunPage(PageOf[Run]):
    """One page of runs."""


class PlannedDecision(BaseModel):
    """What a dry run would have decided about one guest and one period of a rule."""

    membership_id: UUID
    credit_rule_id: UUID
    rule_version: int | None
    guest_id: UUID
    period_start: date
    period_end: date | None
    outcome: str
    reason: str


class RunPlanPage(PageOf[PlannedDecision]):
    """One page of a dry run's plan."""


_TEXT: JsonDict = {"type": "string"}
_NULL: JsonDict = {"type": "null"}
#: What the validator of a replay refuses, as the API document says it.
_OVER_ONE_THING: JsonDict = {
    "if": {"required": ["credit_rule_id"], "properties": {"credit_rule_id": _TEXT}},
    "then": {"properties": {"membership_type_id": _NULL, "membership_id": _NULL}},
    "else": {
        "if": {"required": ["membership_type_id"], "properties": {"membership_type_id": _TEXT}},
        "then": {"properties": {"membership_id": _NULL}},
    },
}


class ReplayBody(Body):
    """Over a rule, a type or a membership, and a span of dates, both inclusive. `dry_run`: only the plan."""

    model_config = ConfigDict(json_schema_extra=_OVER_ONE_THING)

    credit_rule_id: UUID | None = None
    membership_type_id: UUID | None = None
    membership_id: UUID | None = None
    first: CalendarDate = Field(alias="from")
    last: CalendarDate = Field(alias="to")
    dry_run: StrictBool = False

    @model_validator(mode="after")
    def _over_one_thing(self) -> "ReplayBody":
        named = [self.credit_rule_id, self.membership_type_id, self.membership_id]
        if sum(one is not None for one in named) > 1:
            raise ValueError("name one of credit_rule_id, membership_type_id, membership_id")
        return self


@router.post("/replays", operation_id="createReplay", status_code=202, response_model=Run, response_model_by_alias=True)
def create_replay(caller: Issuer, body: ReplayBody) -> Any:
    """Make every decision of a span of dates again and issue what is missing. What is there is not changed."""
    with caller.transaction() as connection:
        run_id = runs.start_replay(
            connection,
            caller.brand_id,
            credit_rule_id=body.credit_rule_id,
            membership_type_id=body.membership_type_id,
            membership_id=body.membership_id,
            first=body.first,
            last=body.last,
            dry_run=body.dry_run,
        )
        run = runs.read(connection, caller.brand_id, run_id)
    hints.work_on_run(caller.broker, caller.brand_id, run_id)
    return run


@router.get("/runs", operation_id="listRuns", response_model=RunPage)
def list_runs(caller: Reader, page: Page = 1, per_page: PerPage = 25) -> Any:
    """List runs, the latest first."""
    with caller.transaction() as connection:
        return listed(runs.page(connection, caller.brand_id, page, per_page), page, per_page, caller.url)


@router.get("/runs/{run_id}", operation_id="getRun", response_model=Run, responses=documented(404))
def get_run(caller: Reader, run_id: UUID) -> Any:
    """Get one run, with its progress."""
    with caller.transaction() as connection:
        return runs.read(connection, caller.brand_id, run_id)


@router.get("/runs/{run_id}/plan", operation_id="getRunPlan", response_model=RunPlanPage, responses=documented(404))
def get_run_plan(caller: Reader, run_id: UUID, page: Page = 1, per_page: PerPage = 25) -> Any:
    """List what a dry run would have decided."""
    with caller.transaction() as connection:
        return listed(runs.plan_rows(connection, caller.brand_id, run_id, page, per_page), page, per_page, caller.url)


@router.post("/runs/{run_id}/pause", operation_id="pauseRun", response_model=Run, responses=documented(404, 409))
def pause_run(caller: Issuer, run_id: UUID) -> Any:
    """Pause a run after its current batches."""
    with caller.transaction() as connection:
        return runs.pause(connection, caller.brand_id, run_id)


@router.post("/runs/{run_id}/resume", operation_id="resumeRun", response_model=Run, responses=documented(404, 409))
def resume_run(caller: Issuer, run_id: UUID) -> Any:
    """Continue a paused run."""
    with caller.transaction() as connection:
        run = runs.resume(connection, caller.brand_id, run_id)
    hints.work_on_run(caller.broker, caller.brand_id, run_id)
    return run


@router.post("/runs/{run_id}/cancel", operation_id="cancelRun", response_model=Run, responses=documented(404, 409))
def cancel_run(caller: Issuer, run_id: UUID) -> Any:
    """End a run for good. What it has issued stays."""
    with caller.transaction() as connection:
        return runs.cancel(connection, caller.brand_id, run_id)
