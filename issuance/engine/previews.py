"""Preview: what a rule that is not saved would change, as a run that writes nothing but its plan (SEMANTICS 17)."""

import dataclasses
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from issuance import limits
from issuance.deciding.calendar import add_months, day_of
from issuance.deciding.facts import Credit, Rule
from issuance.deciding.forecast import size
from issuance.deciding.preview import Difference, Preview, preview
from issuance.deciding.reasons import Reason
from issuance.engine import ranges, runs
from issuance.engine.facts import loaded
from issuance.engine.fingerprint import Fingerprints
from issuance.engine.plans import Plan
from issuance.engine.rules import RuleBook
from issuance.tenancy import clock as clocks

# By month, so that two batches wait for each other in the same order.
_ADD_UP = text("""
    INSERT INTO run_months AS known (brand_id, run_id, month, before, after)
    SELECT :brand_id, :run_id, month, before, after
      FROM unnest(CAST(:months AS text[]), CAST(:before AS bigint[]), CAST(:after AS bigint[]))
           AS new (month, before, after)
     ORDER BY month
    ON CONFLICT (brand_id, run_id, month)
    DO UPDATE SET before = known.before + excluded.before, after = known.after + excluded.after
""")
_MONTHS = text(
    "SELECT month, before, after FROM run_months WHERE brand_id = :brand_id AND run_id = :run_id ORDER BY month"
)


def start(
    connection: Connection, brand_id: UUID, credit_rule_id: UUID | None, says: Mapping[str, Any], months: int
) -> UUID:
    """Accept the preview of a rule as it would be if it were saved now, for the present month and those after it.
    `says`: the columns of its next version, or that it is `deleted`; `credit_rule_id` None: a new rule."""
    clock = clocks.read(connection, brand_id)
    what: dict[str, Any] = {"credit_rule_id": credit_rule_id, "rule": dict(says), "as_of": clock.now, "months": months}
    run_id = runs.start(connection, brand_id, kind="preview", **what)
    # The months are there though the brand has no membership to ask.
    _add_up(connection, brand_id, run_id, _months(clock.now, months, clock), Counter(), Counter())
    return run_id


def rule_of(run: Row[Any]) -> UUID:
    """The rule of a preview; a new one goes by the run's own id."""
    rule_id: UUID = run.credit_rule_id or run.run_id
    return rule_id


def sizes() -> dict[str, int]:
    """How a preview is cut into batches, and any other run that only looks."""
    bounds = ranges.sizes()
    return {**bounds, "batch": min(bounds["batch"], limits.current.runs.looked_at)}


def work_out(connection: Connection, run: Row[Any], membership_ids: Sequence[UUID]) -> tuple[Counter[Reason], Plan]:
    """The rows of what differs for some memberships. The months are added up beside. A membership of which too much
    would have to be foretold is counted as an error."""
    clock = dataclasses.replace(clocks.read(connection, run.brand_id), now=run.as_of)
    names = _months(run.as_of, run.months, clock)
    last_day = add_months(date.fromisoformat(f"{names[0]}-01"), run.months) - timedelta(days=1)
    rules = RuleBook(connection, run.brand_id, clock.zone)
    edited = rules.edited(rule_of(run), run.as_of, run.rule)
    fingerprints = Fingerprints(rules, clock, run.as_of)
    known: dict[Hashable, tuple[Preview, list[tuple[int, dict[str, Any]]]]] = {}
    before: Counter[str] = Counter()
    after: Counter[str] = Counter()
    plan: Plan = []
    counts: Counter[Reason] = Counter()
    for memberships in loaded(connection, run.brand_id, clock.zone, membership_ids):
        for membership in memberships:
            whole = fingerprints.whole(membership)
            told = None if whole is None else known.get(whole)
            if told is None:
                of_types = rules.of(membership.facts.types)
                ahead = size(membership.facts, len(membership.guest_ids), len(of_types), run.as_of, last_day)
                if ahead > limits.current.settling.foretold:
                    counts[Reason.ERROR] += 1
                    continue
                saved = _saved(of_types, edited, membership.facts.types)
                found = preview(membership.facts, membership.credits, of_types, saved, edited, run.as_of, last_day)
                told = found, [(one.place, _shown(edited, one)) for one in found.differences]
            if whole is not None:
                known[whole] = told
            for days, by_month in ((told[0].before, before), (told[0].after, after)):
                for day, number in days.items():
                    by_month[f"{day:%Y-%m}"] += number
            of_membership = {"membership_id": str(membership.membership_id)}
            kept = told[1][: limits.current.runs.plan_rows - len(plan)]
            plan += [of_membership | {"guest_id": str(membership.guest_ids[place])} | shown for place, shown in kept]
    _add_up(connection, run.brand_id, run.run_id, names, before, after)
    return counts, plan


def _add_up(
    connection: Connection,
    brand_id: UUID,
    run_id: UUID,
    names: Sequence[str],
    before: Counter[str],
    after: Counter[str],
) -> None:
    added = {"months": names, "before": [before[name] for name in names], "after": [after[name] for name in names]}
    connection.execute(_ADD_UP, {"brand_id": brand_id, "run_id": run_id, **added})


def by_month(connection: Connection, brand_id: UUID, run_id: UUID) -> list[dict[str, Any]]:
    """Credits by the month in which their period starts, without the rule that is previewed and with it."""
    found = connection.execute(_MONTHS, {"brand_id": brand_id, "run_id": run_id})
    return [dict(row) for row in found.mappings()]


def _months(now: datetime, number: int, clock: clocks.BrandClock) -> list[str]:
    first = day_of(now, clock.zone).replace(day=1)
    return [f"{add_months(first, later):%Y-%m}" for later in range(number)]


def _saved(rules: Sequence[Rule], edited: Rule, types: Sequence[UUID]) -> list[Rule]:
    """The rules of some types as they would be with the edited one."""
    others = {rule.credit_rule_id: rule for rule in rules}
    if any(version.membership_type_id in types for version in edited.versions):
        others[edited.credit_rule_id] = edited
    return [others[rule_id] for rule_id in sorted(others)]


def _shown(rule: Rule, difference: Difference) -> dict[str, Any]:
    """What a row says of a difference, without whose it is."""
    return {
        "period_start": difference.period_start.isoformat(),
        "before": _credit(rule, difference.before),
        "after": _credit(rule, difference.after),
    }


def _credit(rule: Rule, credit: Credit | None) -> dict[str, Any] | None:
    if credit is None:
        return None
    return {
        "coupon_id": rule.version(credit.rule_version).coupon_id,
        "valid_from": credit.valid_from.isoformat(),
        "expires_at": None if credit.expires_at is None else credit.expires_at.isoformat(),
        "multi_use": credit.multi_use,
        "max_uses": credit.max_uses,
    }
