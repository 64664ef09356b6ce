"""Runs: people plan, approve, watch, pause and undo them, and see the result of each."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response
from sqlalchemy import Connection, text

from issuance import hints
from issuance.billers import reconciling
from issuance.console.lists import Form, PageNumber, as_file, listed, paged
from issuance.console.reading import rule_versions
from issuance.console.routes import Page
from issuance.console.visits import Manager, Viewer, Visit
from issuance.engine import plans, previews, runs, undos
from issuance.errors import NotFound

router = APIRouter(prefix="/console/{brand_id}", include_in_schema=False, route_class=Page)

_COLUMNS = (
    *("id", "kind", "state", "dry_run", "total", "done", "counts", "reason", "created_at", "started_at"),
    *("finished_at", "started_by.name"),
)
#: The columns of plans, previews and undos; each kind has some of them.
_OF_PLAN = (
    *("membership_id", "credit_rule_id", "guest.id", "guest.name", "period_start", "outcome", "reason"),
    *("before.coupon_id", "before.expires_at", "after.coupon_id", "after.expires_at", "code", "status"),
)
#: The run that a plan's approval started, and the run that undoes a run.
_LEADS_TO = text("""
    SELECT run_id, kind, state, plan_id = :run_id AS of_plan FROM runs
     WHERE brand_id = :brand_id AND (plan_id = :run_id OR undoes_run_id = :run_id) ORDER BY created_at
""")
# Batches that were begun more than once, or were given back.
_TROUBLED = text("""
    SELECT batch, size, attempts, claimed_at, finished_at FROM run_batches
     WHERE brand_id = :brand_id AND run_id = :run_id AND attempts > 1 ORDER BY attempts DESC, batch LIMIT 20
""")
_RULE = text("""
    SELECT coupon_name FROM rule_versions
     WHERE brand_id = :brand_id AND credit_rule_id = :credit_rule_id ORDER BY version DESC LIMIT 1
""")

_NAMES = text("""
    SELECT DISTINCT ON (credit_rule_id) credit_rule_id, coupon_name FROM rule_versions
     WHERE brand_id = :brand_id AND credit_rule_id = ANY(CAST(:ids AS uuid[])) ORDER BY credit_rule_id, version DESC
""")


@router.get("/runs")
def all_runs(visit: Viewer, page: PageNumber = 1, form: Form = "") -> Response:
    """List bulk work, the latest first."""

    def read(connection: Connection, page: int, per_page: int) -> Any:
        return runs.page(connection, visit.brand_id, page, per_page)

    if form:
        return as_file(visit, "runs", _COLUMNS, paged(read))
    with visit.transaction() as connection:
        found = listed(visit, connection, page, read)
        which = {"brand_id": visit.brand_id, "ids": list({row["credit_rule_id"] for row in found.rows} - {None})}
        names = {row.credit_rule_id: row.coupon_name for row in connection.execute(_NAMES, which)}
    return visit.page("runs.html", here="runs", listed=found, rule_names=names)


@router.post("/runs/replay")
def replay(visit: Manager) -> Response:
    """Make the plan of a replay: what is missing in a span of dates. It is done once it is approved."""
    first, last = visit.day("first"), visit.day("last")
    with visit.transaction() as connection:
        run_id = runs.start_replay(connection, visit.brand_id, first=first, last=last, dry_run=True)
    hints.work_on_run(visit.broker, visit.brand_id, run_id)
    return visit.done("This is only a plan, until it is approved.", f"/runs/{run_id}")


@router.get("/runs/{run_id}")
def one_run(visit: Viewer, run_id: UUID, page: PageNumber = 1, form: Form = "") -> Response:
    """Show one run: how far it is, its result, and what can be done about it. As a file: its plan."""

    def read(connection: Connection, page: int, per_page: int) -> Any:
        return plans.page(connection, visit.brand_id, run_id, page, per_page)

    if form:
        return as_file(visit, "plan", _OF_PLAN, paged(read))
    which = {"brand_id": visit.brand_id, "run_id": run_id}
    with visit.transaction() as connection:
        run = runs.read(connection, visit.brand_id, run_id)
        seen: dict[str, Any] = {
            "run": run,
            "leads_to": [dict(row) for row in connection.execute(_LEADS_TO, which).mappings()],
            "troubled": [dict(row) for row in connection.execute(_TROUBLED, which).mappings()],
            "rule_name": connection.scalar(_RULE, {**which, "credit_rule_id": run["credit_rule_id"]}),
            "months": [],
            "worst": None,
            "of_version": run["rule_version"],
            "plan": None,
            "forgotten": plans.is_forgotten(connection, visit.brand_id, run_id),
        }
        if run["kind"] == "preview":
            seen["months"] = previews.by_month(connection, visit.brand_id, run_id)
            seen["of_version"] = rule_versions.preview(connection, visit.brand_id, run_id)["rule"].get("version")
            seen["worst"] = rule_versions.worst(connection, visit.brand_id, run_id)
        elif (run["dry_run"] or run["kind"] == "undo") and not seen["forgotten"]:
            seen["plan"] = listed(visit, connection, page, read)
    return visit.page("run.html", here="runs", **seen)


@router.post("/runs/{run_id}/{act}")
def act_on_run(visit: Manager, run_id: UUID, act: str) -> Response:
    """Approve, pause, resume, cancel or undo it."""
    moves = {"pause": runs.pause, "resume": runs.resume, "cancel": runs.cancel}
    if act in moves:
        with visit.transaction() as connection:
            run = moves[act](connection, visit.brand_id, run_id)
        if act == "resume":
            hints.work_on_run(visit.broker, visit.brand_id, run_id)
        return visit.done(f"It is {run['state']}.")
    if act == "approve":
        with visit.transaction() as connection:
            approved = reconciling.approve(connection, visit.brand_id, run_id, visit.said("reason", most=500))
        approved.hint(visit.broker, visit.brand_id)
        return visit.done("It is approved.", f"/runs/{approved.run_id}")
    if act == "undo":
        return _begun(visit, undos.start_of_run, run_id, visit.reason(), "What it issued is being taken back.")
    raise NotFound("There is no such address.")


def _begun(visit: Visit, begin: Any, run_id: UUID, reason: str | None, sentence: str) -> Response:
    with visit.transaction() as connection:
        new_id = begin(connection, visit.brand_id, run_id, reason)
    hints.work_on_run(visit.broker, visit.brand_id, new_id)
    return visit.done(sentence, f"/runs/{new_id}")
