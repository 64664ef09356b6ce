"""A brand's months: what became of its credits, beside what was foretold before each month began."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from issuance.deciding.calendar import add_months, day_of
from issuance.members import analytics
from issuance.members.analytics import Window
from issuance.tenancy import clock

#: How many months pictures show: up to the present one, and ahead of it.
MONTHS, AHEAD = 12, 2

_REVOKED = text("""
    SELECT width_bucket(revoked_at, CAST(:bounds AS timestamptz[])) AS bucket, count(*) AS revoked
      FROM credits WHERE brand_id = :brand_id AND revoked_at >= :first AND revoked_at < :last GROUP BY bucket
""")
# What a rule gave, by the month in which a forecast counts it, without manual issues and credits that the facts took
# back. A P0D credit counts with the billing period that it rides on.
_HAPPENED = text("""
    SELECT to_char(CASE WHEN v.issuing_frequency = 'P0D' THEN (c.valid_from AT TIME ZONE :zone)::date
                        ELSE c.period_start END, 'YYYY-MM') AS month,
           count(*) AS credits
      FROM credits c
      JOIN rule_versions v ON v.brand_id = c.brand_id AND v.credit_rule_id = c.credit_rule_id
                          AND v.version = c.rule_version
     WHERE c.brand_id = :brand_id AND c.credit_rule_id = :credit_rule_id AND NOT c.manual
       AND c.revoked_by IS DISTINCT FROM 'facts' AND (c.period_start >= :first OR c.valid_from >= :first)
     GROUP BY 1
""")
# By rule and month, the last forecast that was made before the month began: the part of a preview without its change.
_FORETOLD = text("""
    SELECT month, sum(before)::bigint AS credits, count(*) AS rules
      FROM (SELECT DISTINCT ON (r.credit_rule_id, m.month) m.month, m.before
              FROM runs r JOIN run_months m USING (brand_id, run_id)
             WHERE r.brand_id = :brand_id AND r.kind = 'preview' AND r.state = 'finished'
               AND r.credit_rule_id = ANY(CAST(:rules AS uuid[])) AND m.month >= :first_month
               AND r.as_of <= (m.month || '-01')::date::timestamp AT TIME ZONE :zone
             ORDER BY r.credit_rule_id, m.month, r.as_of DESC) last
     GROUP BY month
""")
_RULES = text("""
    SELECT credit_rule_id FROM credit_rules WHERE brand_id = :brand_id AND deleted_at IS NULL
""")


def by_month(connection: Connection, brand_id: UUID) -> dict[str, Any]:
    """What became of all credits, in each of MONTHS `months` and `today`: issued, redeemed, expired, revoked."""
    present = clock.read(connection, brand_id)
    today = day_of(present.now, present.zone)
    first, last = add_months(today.replace(day=1), 1 - MONTHS), add_months(today.replace(day=1), 1) - timedelta(days=1)
    return {
        "months": _became(connection, brand_id, Window(first, last, "month"), present.zone),
        "today": _became(connection, brand_id, Window(today, today, "day"), present.zone)[0],
    }


def foretold(connection: Connection, brand_id: UUID, rule: UUID | None = None) -> dict[str, Any]:
    """What was foretold of the last MONTHS months and of AHEAD, of one rule or of all: credits by `month`, and how many
    of the `rules` have a forecast for the month ahead."""
    present = clock.read(connection, brand_id)
    this_month = day_of(present.now, present.zone).replace(day=1)
    first, next_month = add_months(this_month, 1 - MONTHS), f"{add_months(this_month, 1):%Y-%m}"
    last = f"{add_months(this_month, AHEAD):%Y-%m}"
    rules = [rule] if rule is not None else list(connection.scalars(_RULES, {"brand_id": brand_id}))
    asked = {"brand_id": brand_id, "rules": rules, "first_month": f"{first:%Y-%m}", "zone": present.zone.key}
    rows = {row.month: row for row in connection.execute(_FORETOLD, asked)}
    return {
        "months": {month: row.credits for month, row in rows.items() if month <= last},
        "rules": len(rules),
        "told": rows[next_month].rules if next_month in rows else 0,
    }


def happened(connection: Connection, brand_id: UUID, credit_rule_id: UUID) -> dict[str, int]:
    """What a rule gave in the last MONTHS months, by the month in which a forecast counts it."""
    present = clock.read(connection, brand_id)
    first = add_months(day_of(present.now, present.zone).replace(day=1), 1 - MONTHS)
    asked = {"brand_id": brand_id, "credit_rule_id": credit_rule_id, "first": first, "zone": present.zone.key}
    return {row.month: row.credits for row in connection.execute(_HAPPENED, asked)}


def beside(told: Mapping[str, int], became: Mapping[str, int], now: datetime, zone: ZoneInfo) -> list[dict[str, Any]]:
    """A rule's months with what was `told` and what `became`, None where nothing is known; months to come have only
    what was told. Empty if nothing was ever foretold."""
    this_month = day_of(now, zone).replace(day=1)
    months: list[date] = [add_months(this_month, later) for later in range(1 - MONTHS, AHEAD + 1)]
    rows = [
        {
            "day": month,
            "told": told.get(f"{month:%Y-%m}"),
            "became": became.get(f"{month:%Y-%m}", 0) if month <= this_month else None,
        }
        for month in months
    ]
    while rows and rows[0]["told"] is None and not rows[0]["became"]:
        rows.pop(0)
    return rows if any(row["told"] is not None for row in rows) else []


def _became(connection: Connection, brand_id: UUID, window: Window, zone: ZoneInfo) -> list[dict[str, Any]]:
    buckets = [{**row, "revoked": 0} for row in analytics.credits(connection, brand_id, window)]
    bounds = analytics.bounds_of(window, zone)
    asked = {"brand_id": brand_id, "bounds": bounds, "first": bounds[0], "last": bounds[-1]}
    for row in connection.execute(_REVOKED, asked):
        buckets[row.bucket - 1]["revoked"] = row.revoked
    return buckets
