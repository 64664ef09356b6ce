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
from issuance.api.credits import Credit
from issuance.api.lists import Page, PageOf, PerPage, listed
from issuance.api.problems import documented
from issuance.api.routes import KeyedRoute
from issuance.billers import reconciling
from issuance.engine import plans, previews, runs, undos
from issuance.fields import Body, CalendarDate, Reason

router = APIRouter(tags=["runs"], route_class=KeyedRoute, responses=documented(401, 403, 422))


class Run(BaseModel):
    """One piece of bulk work. `total` and `done` count memberships (of a reconcile, the biller's objects), `counts`
    outcomes by their reason (of a reconcile that tells: facts by their kind, and objects that could not be told by
    their code)."""

    model_config = ConfigDict(populate_by_name=True)

    id: UUID
    kind: Literal["sweep", "issue", "replay", "undo", "preview", "reconcile"]
    state: Literal["planned", "running", "paused", "finished", "cancelled"]
    counts: dict[str, int]
    total: int
    done: int
    dry_run: bool
    plan_id: UUID | None = Field(description="The dry run whose plan this one does")
    credit_rule_id: UUID | None
    membership_type_id: UUID | None
    membership_id: UUID | None
    undoes_run_id: UUID | None = Field(description="Of an undo: the run whose credits it takes back")
    rule_version: int | None = Field(description="Of an undo: the version whose credits it takes back …")
    issued_from: datetime | None = Field(description="… that were issued at or after this instant")
    reason: str | None
    error: str | None = Field(description="Of a reconcile: why it ended before it was done")
    include_upcoming: bool
    first: date | None = Field(alias="from")
    last: date | None = Field(alias="to")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    started_by: Actor | None = Field(description="Who asked for it; null: the system, of itself")


class RunPage(PageOf[Run]):
    """One page of runs."""


class PlannedGuest(BaseModel):
    id: UUID
    name: str
    lead_booker: bool


class PlannedDecision(BaseModel):
    """What a dry run would have decided about one guest and one period of a rule."""

    membership_id: UUID
    credit_rule_id: UUID
    rule_version: int | None
    guest: PlannedGuest
    period_start: date
    period_end: date | None
    outcome: str
    reason: str
    source_ref: str | None = Field(description="Of a reconcile: what it is at the biller, if it would sign up")


class PreviewedCredit(BaseModel):
    coupon_id: str
    valid_from: datetime
    expires_at: datetime | None
    multi_use: bool
    max_uses: int | None


class PlannedDifference(BaseModel):
    """What a previewed rule would change for one guest and one period; null: there is no credit."""

    membership_id: UUID
    guest: PlannedGuest
    period_start: date
    before: PreviewedCredit | None
    after: PreviewedCredit | None


class PlannedMonth(BaseModel):
    """Credits whose period starts in a month, without the rule that is previewed and with it."""

    month: str = Field(description="YYYY-MM, in the brand's time zone")
    before: int
    after: int


class RunPlanPage(PageOf[PlannedDecision | PlannedDifference | Credit]):
    """One page of a dry run's plan; of an undo, of the credits that were redeemed; of a preview, of what differs."""

    months: list[PlannedMonth] | None = Field(description="Of a preview only; null of others")


class ApproveBody(Body):
    reason: Reason | None = None


class UndoBody(Body):
    reason: Reason


_TEXT: JsonDict = {"type": "string"}
_NULL: JsonDict = {"type": "null"}
#: What the validator of a replay refuses, as the API document expresses it.
_OVER_ONE_THING: JsonDict = {
    "if": {"required": ["credit_rule_id"], "properties": {"credit_rule_id": _TEXT}},
    "then": {"properties": {"membership_type_id": _NULL, "membership_id": _NULL}},
    "else": {
        "if": {"required": ["membership_type_id"], "properties": {"membership_type_id": _TEXT}},
        "then": {"properties": {"membership_id": _NULL}},
    },
}


_EXAMPLE: JsonDict = {"from": "2026-04-01", "to": "2026-04-30", "dry_run": True}


class ReplayBody(Body):
    """Over a rule, a type or a membership, and a span of dates, both inclusive. `dry_run`: only the plan."""

    model_config = ConfigDict(json_schema_extra={**_OVER_ONE_THING, "examples": [_EXAMPLE]})

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


@router.get(
    "/runs/{run_id}/plan", operation_id="getRunPlan", response_model=RunPlanPage, responses=documented(404, 410)
)
def get_run_plan(caller: Reader, run_id: UUID, page: Page = 1, per_page: PerPage = 25) -> Any:
    """List what a dry run would have decided, the redeemed credits that an undo leaves as they are, or what a previewed
    rule would change."""
    with caller.transaction() as connection:
        found = plans.page(connection, caller.brand_id, run_id, page, per_page)
        months = previews.by_month(connection, caller.brand_id, run_id)
        return {**listed(found, page, per_page, caller.url), "months": months or None}


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


@router.post(
    "/runs/{run_id}/approve",
    operation_id="approveRun",
    status_code=202,
    response_model=Run,
    responses=documented(404, 409, 410),
)
def approve_run(caller: Issuer, run_id: UUID, body: ApproveBody | None = None) -> Any:
    """Do what a dry run's plan says: a new run. What facts changed since is left out, and nothing is added. Approved
    again, it is the same run."""
    with caller.transaction() as connection:
        approved = reconciling.approve(connection, caller.brand_id, run_id, None if body is None else body.reason)
        run = runs.read(connection, caller.brand_id, approved.run_id)
    approved.hint(caller.broker, caller.brand_id)
    return run


@router.post(
    "/runs/{run_id}/undo", operation_id="undoRun", status_code=202, response_model=Run, responses=documented(404, 409)
)
def undo_run(caller: Issuer, run_id: UUID, body: UndoBody) -> Any:
    """Take back for good the unredeemed credits that a run issued: a new run. Redeemed ones are listed in its plan."""
    with caller.transaction() as connection:
        undo_id = undos.start_of_run(connection, caller.brand_id, run_id, body.reason)
        run = runs.read(connection, caller.brand_id, undo_id)
    hints.work_on_run(caller.broker, caller.brand_id, undo_id)
    return run
