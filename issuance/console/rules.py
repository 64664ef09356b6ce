"""Rules: what is promised, its versions, and a preview, beside the form, of what a change would do."""

import re
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ValidationError
from sqlalchemy import Connection

from issuance import hints
from issuance.catalog import coupons, previews, rules
from issuance.catalog.previews import PreviewBody
from issuance.catalog.rule_versions import CreditRuleChange, NewCreditRule
from issuance.console.lists import Form, PageNumber, as_file, id_typed, listed, paged
from issuance.console.reading import choices, rule_versions
from issuance.console.reading import months as month_counts
from issuance.console.reading.counted import counter
from issuance.console.routes import Page, sentence_of
from issuance.console.visits import Manager, Viewer, Visit
from issuance.deciding.calendar import midnight
from issuance.deciding.frequency import IssuingFrequency
from issuance.engine import held_rules, runs, undos
from issuance.engine import previews as preview_runs
from issuance.errors import Invalid, IssuanceError, NotFound
from issuance.fields import complaint
from issuance.shown import number
from issuance.tenancy import clock

router = APIRouter(prefix="/console/{brand_id}", include_in_schema=False, route_class=Page)

#: How many months a preview looks ahead.
MONTHS = 12
#: How many rules' forecasts are begun at once; a brand has at most 50 unfinished runs.
MOST_FORECASTS = 40
#: The most held rules that are shown; a brand has fewer.
MOST_HELD = 10_000
_FLAGS = ("issue_on_signup", "for_lead_booker_only", "roll_over", "multi_use", "include_upcoming")
_NUMBERS = ("roll_over_limit", "max_uses")
_NUMBER = re.compile(r"-?[0-9]{1,9}")
_COLUMNS = (
    *("id", "coupon_name", "coupon_id", "membership_type.name", "issuing_frequency", "version", "issue_on_signup"),
    *("for_lead_booker_only", "roll_over", "roll_over_limit", "multi_use", "max_uses", "created_at", "updated_at"),
)


@router.get("/rules")
def all_rules(visit: Viewer, page: PageNumber = 1, form: Form = "") -> Response:
    """What is promised, and what the guard holds."""

    def read(connection: Connection, page: int, per_page: int) -> Any:
        return rules.page(connection, visit.brand_id, page, per_page)

    if form:
        return as_file(visit, "rules", _COLUMNS, paged(read))
    with visit.transaction() as connection:
        found = listed(visit, connection, page, read)
        held, _ = held_rules.page(connection, visit.brand_id, 1, MOST_HELD)
    return visit.page("rules.html", here="rules", listed=found, held={row["credit_rule_id"]: row for row in held})


@router.get("/rules/new")
def new_rule(visit: Manager, preview: UUID | None = None) -> Response:
    """The form of a new rule."""
    return _form(visit, None, preview)


@router.get("/rules/{credit_rule_id}")
def one_rule(visit: Viewer, credit_rule_id: UUID) -> Response:
    """Show one rule: what it says, how its versions changed, and what to expect of it."""
    with visit.transaction() as connection:
        versions = rule_versions.versions(connection, visit.brand_id, credit_rule_id)
        foretold = rule_versions.foretold(connection, visit.brand_id, credit_rule_id)
        present = foretold is not None and foretold["version"] == versions[0]["version"]
        months = preview_runs.by_month(connection, visit.brand_id, foretold["run_id"]) if foretold and present else []
        held, _ = held_rules.page(connection, visit.brand_id, 1, MOST_HELD)
        coupon = coupons.get(connection, visit.brand_id, versions[0]["coupon_id"])
        told = month_counts.foretold(connection, visit.brand_id, credit_rule_id)
        now = clock.read(connection, visit.brand_id).now
    name = f"rule {credit_rule_id}"
    counted = counter.last(
        visit.engine,
        visit.brand_id,
        name,
        lambda connection: month_counts.happened(connection, visit.brand_id, credit_rule_id),
    )
    return visit.page(
        "rule.html",
        here="rules",
        counted=counted,
        stopped=counter.was_cut_short(visit.brand_id, name),
        beside=[] if counted is None else month_counts.beside(told["months"], counted.sum, now, visit.zone),
        rule_id=credit_rule_id,
        versions=versions,
        foretold=foretold,
        months=months,
        coupon=coupon,
        held=next((row for row in held if row["credit_rule_id"] == credit_rule_id), None),
    )


@router.get("/rules/{credit_rule_id}/edit")
def edit_rule(visit: Manager, credit_rule_id: UUID, preview: UUID | None = None) -> Response:
    """The form of an existing rule."""
    return _form(visit, credit_rule_id, preview)


@router.post("/rules/new")
def create_rule(visit: Manager) -> Response:
    """Preview a new rule, or save it."""
    return _previewed_or_saved(visit, None)


@router.post("/rules/{credit_rule_id}/edit")
def change_rule(visit: Manager, credit_rule_id: UUID) -> Response:
    """Preview a change, or save it as the next version."""
    return _previewed_or_saved(visit, credit_rule_id)


@router.post("/rules/{credit_rule_id}/forecast")
def forecast_rule(visit: Manager, credit_rule_id: UUID) -> Response:
    """Begin a forecast of a rule as it is: the preview of no change."""
    body = PreviewBody(credit_rule_id=credit_rule_id, rule={}, months=MONTHS)
    return RedirectResponse(f"{visit.root}/runs/{_start(visit, body)}", 303)  # it says how far it is


@router.post("/rules/forecast")
def forecast_all(visit: Manager) -> Response:
    """Begin a forecast of every rule; later it is shown beside what happened."""
    begun = 0
    with visit.transaction() as connection:
        there, _ = rules.page(connection, visit.brand_id, 1, MOST_FORECASTS)
    for rule in there:
        _start(visit, PreviewBody(credit_rule_id=rule["id"], rule={}, months=MONTHS))
        begun += 1
    return visit.done(f"{number(begun, 'forecast is', 'forecasts are')} being worked out.", "/runs")


@router.post("/rules/{credit_rule_id}/delete")
def delete_rule(visit: Manager, credit_rule_id: UUID) -> Response:
    """Preview its deletion, or delete it."""
    if "preview" in visit.form:
        body = PreviewBody(credit_rule_id=credit_rule_id, delete=True, months=MONTHS)
        return RedirectResponse(f"{visit.root}/runs/{_start(visit, body)}", 303)
    with visit.transaction() as connection:
        rules.delete(connection, visit.brand_id, credit_rule_id)
    return visit.done("It is deleted: nothing is issued under it any more. Credits that are out stay.", "/rules")


@router.post("/rules/{credit_rule_id}/issue")
def issue(visit: Manager, credit_rule_id: UUID) -> Response:
    """Make the plan of a manual issue: who would get a credit. It is done once it is approved."""
    with visit.transaction() as connection:
        run_id = runs.start_issue(
            connection,
            visit.brand_id,
            credit_rule_id,
            include_upcoming="include_upcoming" in visit.form,
            dry_run=True,
        )
    hints.work_on_run(visit.broker, visit.brand_id, run_id)
    return visit.done("This is only a plan, until it is approved.", f"/runs/{run_id}")


@router.post("/rules/{credit_rule_id}/undo")
def undo_version(visit: Manager, credit_rule_id: UUID) -> Response:
    """Take back for good what a version issued from a day on and nobody used. The version itself stays."""
    version, since = _version(visit.said("version")), midnight(visit.day("since"), visit.zone)
    reason = visit.reason()
    with visit.transaction() as connection:
        run_id = undos.start_of_version(connection, visit.brand_id, credit_rule_id, version, since, reason)
    hints.work_on_run(visit.broker, visit.brand_id, run_id)
    return visit.done("What it issued is being taken back.", f"/runs/{run_id}")


@router.post("/held-rules/{credit_rule_id}/{answer}")
def answer_held(visit: Manager, credit_rule_id: UUID, answer: str) -> Response:
    """Let out what the guard holds, or skip it for good."""
    answers = {"approve": held_rules.approve, "refuse": held_rules.refuse}
    if answer not in answers:
        raise NotFound("There is no such address.")
    with visit.transaction() as connection:
        row = answers[answer](connection, visit.brand_id, credit_rule_id, visit.reason())
    done = "let out" if answer == "approve" else "skipped for good"
    return visit.done(f"{number(row['held'], 'credit is', 'credits are')} {done}.")


def _form(visit: Visit, credit_rule_id: UUID | None, preview: UUID | None, **more: Any) -> Response:
    with visit.transaction() as connection:
        rule: dict[str, Any] = {"issuing_frequency": "billing_cycle"}
        if credit_rule_id is not None:
            rule = rules.get(connection, visit.brand_id, credit_rule_id)
        seen = None
        if preview is not None:
            seen = rule_versions.preview(connection, visit.brand_id, preview)
            rule = {**rule, **seen["rule"]}
            seen["run"] = runs.read(connection, visit.brand_id, preview)
            seen["by_month"] = preview_runs.by_month(connection, visit.brand_id, preview)
            seen["worst"] = rule_versions.worst(connection, visit.brand_id, preview)
        rule |= more.pop("rule", {})
        type_id = id_typed(str(rule.get("membership_type_id", "")))
        types = choices.types(connection, visit.brand_id, [] if type_id is None else [type_id])
        offered = choices.coupons(connection, visit.brand_id, [rule.get("coupon_id", "")])
    return visit.page(
        "rule_form.html",
        **{
            "here": "rules",
            "answer": 200,
            "rule_id": credit_rule_id,
            "rule": rule,
            "types": types,
            "coupons": offered,
            "frequencies": [one.value for one in IssuingFrequency],
            "preview": seen,
            "problem": None,
            **more,
        },
    )


def _previewed_or_saved(visit: Visit, credit_rule_id: UUID | None) -> Response:
    typed = _typed(visit, new=credit_rule_id is None)
    version = None if credit_rule_id is None else visit.said("version")
    address = "/rules/new" if credit_rule_id is None else f"/rules/{credit_rule_id}/edit"
    try:
        seen = None if credit_rule_id is None else _version(version)
        if "preview" in visit.form:
            body = _read(PreviewBody, {"credit_rule_id": credit_rule_id, "rule": typed, "months": MONTHS})
            return RedirectResponse(f"{visit.root}{address}?preview={_start(visit, body, seen)}", 303)
        with visit.transaction() as connection:
            if credit_rule_id is None:
                saved = rules.create(connection, visit.brand_id, _read(NewCreditRule, typed))
            else:
                change = _read(CreditRuleChange, typed)
                saved = rules.change(connection, visit.brand_id, credit_rule_id, change, seen=seen)
    except IssuanceError as error:
        if error.status not in (409, 422):
            raise
        # With the version from which the page was made, so that a second try does not undo what somebody else saved
        # since.
        kept = {**typed, "version": version or ""}
        problem = sentence_of(error, visit.zone)
        return _form(visit, credit_rule_id, None, rule=kept, problem=problem, answer=error.status)
    return visit.done(f"{saved['coupon_name']} is saved as version {saved['version']}.", f"/rules/{saved['id']}")


def _version(said: str | None) -> int:
    """The version from which the form was made. Raises Invalid."""
    if said is None or not _NUMBER.fullmatch(said):
        raise Invalid("Open the rule once more: this form does not say which version it changes.")
    return int(said)


def _start(visit: Visit, body: PreviewBody, seen: int | None = None) -> UUID:
    with visit.transaction() as connection:
        run_id = previews.start(connection, visit.brand_id, body, seen=seen)
    hints.work_on_run(visit.broker, visit.brand_id, run_id)
    return run_id


def _typed(visit: Visit, *, new: bool) -> dict[str, Any]:
    """The form's fields as the API takes them."""
    typed: dict[str, Any] = {
        name: visit.said(name) or "" for name in ("membership_type_id", "coupon_id", "coupon_name", "issuing_frequency")
    }
    typed |= {name: name in visit.form for name in _FLAGS}
    for name in _NUMBERS:
        said = visit.said(name)
        typed[name] = int(said) if said and _NUMBER.fullmatch(said) else said
    if new:
        typed["effective_from"] = visit.said("effective_from")
    return typed


def _read(kind: type[Any], typed: dict[str, Any]) -> Any:
    assert issubclass(kind, BaseModel), "a body of the API"
    try:
        return kind.model_validate(typed)
    except ValidationError as error:
        raise Invalid(fields={".".join(map(str, one["loc"])): complaint(one) for one in error.errors()}) from None
