"""What a brand's guard allows: its settings, and the limit of a rule on a date (SEMANTICS 17)."""

import math
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, text

from issuance import audit
from issuance.database import transaction_beside
from issuance.database.fragments import BRANDS_NOW, due
from issuance.deciding.calendar import day_of, midnight
from issuance.deciding.frequency import BillingFrequency, IssuingFrequency
from issuance.engine.schedules import MAY_BE_TRIED
from issuance.tenancy import clock as clocks

#: The busiest of so many days counts; for a rule with a longer period, of that period and so many days more.
_DAYS, _MORE = 35, 5
#: How far back portions are counted when a guard is set: longer than the longest period that there is.
_YEARS_BACK = 3

_READ = text("SELECT guard_max_per_day, guard_times_busiest_day FROM brands WHERE brand_id = :brand_id")
_SET = text("""
    UPDATE brands SET guard_max_per_day = :max_per_day, guard_times_busiest_day = :times_busiest_day
     WHERE brand_id = :brand_id
""")
_FORGET = (
    text("DELETE FROM guard_limits WHERE brand_id = :brand_id"),
    text("DELETE FROM guard_portions WHERE brand_id = :brand_id"),
)
# By the instant for the window, by the day for the busiest.
_COUNT = text("""
    INSERT INTO guard_portions (brand_id, portion_id, credit_rule_id, epoch, issued_at, number)
    SELECT :brand_id, gen_random_uuid(), counted.credit_rule_id, r.guard_epoch, counted.issued_at, counted.number
      FROM (SELECT credit_rule_id, max(issued_at) AS issued_at, count(*) AS number
              FROM credits
             WHERE brand_id = :brand_id AND credit_rule_id IS NOT NULL
               AND issued_at > CAST(:now AS timestamptz) - make_interval(years => :years)
             GROUP BY credit_rule_id, CAST(issued_at AT TIME ZONE :zone AS date),
                      CASE WHEN issued_at > CAST(:now AS timestamptz) - interval '2 days' THEN issued_at END) counted
      JOIN credit_rules r ON (r.brand_id, r.credit_rule_id) = (:brand_id, counted.credit_rule_id)
""")
_KNOWN = text("""
    SELECT b.guard_max_per_day AS max_per_day, b.guard_times_busiest_day AS times, l.day IS NOT NULL AS known, l.most
      FROM brands b
      LEFT JOIN guard_limits l ON (l.brand_id, l.credit_rule_id, l.day) = (b.brand_id, :rule_id, :day)
     WHERE b.brand_id = :brand_id
""")
_FREQUENCIES = text("""
    SELECT DISTINCT v.issuing_frequency, r.created_at,
           CASE WHEN v.issuing_frequency = 'billing_cycle'
                THEN (SELECT array_agg(DISTINCT m.billing_frequency) FROM memberships m
                       WHERE m.brand_id = :brand_id AND m.membership_type_id = v.membership_type_id) END AS billed
      FROM rule_versions v JOIN credit_rules r USING (brand_id, credit_rule_id)
     WHERE v.brand_id = :brand_id AND v.credit_rule_id = :rule_id AND NOT v.deleted
""")
# What was reserved went out only where it was confirmed.
_BUSIEST = text("""
    SELECT max(number) FROM (
        SELECT sum(number) AS number FROM guard_portions
         WHERE brand_id = :brand_id AND credit_rule_id = :rule_id AND issued_at >= :first AND issued_at < :today
           AND NOT reserved
         GROUP BY CAST(issued_at AT TIME ZONE :zone AS date)) days
""")
# While days before are still being settled, more may go out on them than is known.
_KEEP = text(f"""
    INSERT INTO guard_limits (brand_id, credit_rule_id, day, most)
    SELECT :brand_id, :rule_id, :day, :most
     WHERE NOT EXISTS (SELECT FROM schedules s
                        WHERE s.brand_id = :brand_id AND {due(":day_before")} AND {MAY_BE_TRIED})
    ON CONFLICT (brand_id, credit_rule_id, day) DO NOTHING
""")
# What is older than the window is asked for by the day only.
_COMPACT = text(f"""
    WITH old AS (
         DELETE FROM guard_portions p USING brands b
          WHERE p.brand_id = b.brand_id AND NOT p.reserved
            AND p.issued_at < {BRANDS_NOW} - interval '2 days'
            AND p.issued_at > {BRANDS_NOW} - interval '5 days'
      RETURNING p.*, b.timezone)
    INSERT INTO guard_portions (brand_id, portion_id, credit_rule_id, epoch, issued_at, number, let_out)
    SELECT brand_id, gen_random_uuid(), credit_rule_id, epoch, max(issued_at), sum(number), let_out
      FROM old GROUP BY brand_id, credit_rule_id, epoch, let_out, CAST(issued_at AT TIME ZONE timezone AS date)
""")
_TOO_OLD = text(f"""
    DELETE FROM guard_portions p USING brands b
     WHERE p.brand_id = b.brand_id
       AND p.issued_at < {BRANDS_NOW} - make_interval(years => :years, days => 10)
""")


def read(connection: Connection, brand_id: UUID) -> dict[str, Any]:
    """A brand's guard; null is no limit."""
    row = connection.execute(_READ, {"brand_id": brand_id}).one()
    times = row.guard_times_busiest_day
    return {"max_per_day": row.guard_max_per_day, "times_busiest_day": None if times is None else float(times)}


def put(
    connection: Connection, brand_id: UUID, *, max_per_day: int | None, times_busiest_day: Decimal | None
) -> dict[str, Any]:
    """Set both limits; None sets no such limit. Waits for the settling under way, and keeps more of it out until the
    transaction ends, so that every credit is counted. Rules that are held stay so."""
    clocks.lock_alone(connection, brand_id)
    before = read(connection, brand_id)
    limits = {"max_per_day": max_per_day, "times_busiest_day": times_busiest_day}
    connection.execute(_SET, {"brand_id": brand_id, **limits})
    after = read(connection, brand_id)
    if after == before:
        return after
    for forget in _FORGET if not any(after.values()) else _FORGET[:1]:
        connection.execute(forget, {"brand_id": brand_id})
    if any(after.values()) and not any(before.values()):
        clock = clocks.read(connection, brand_id)
        connection.execute(_FORGET[1], {"brand_id": brand_id})
        connection.execute(
            _COUNT, {"brand_id": brand_id, "now": clock.now, "zone": clock.zone.key, "years": _YEARS_BACK}
        )
    changed = audit.changed(before, after)
    audit.write(connection, brand_id, "guard.updated", brand_id, before=changed.before, after=changed.after)
    return after


def most(connection: Connection, brand_id: UUID, rule_id: UUID, instant: datetime, zone: ZoneInfo) -> int | None:
    """How many credits of a rule may go out in 24 hours at an instant, or None if it has no limit."""
    day = day_of(instant, zone)
    parameters = {"brand_id": brand_id, "rule_id": rule_id, "day": day}
    row = connection.execute(_KNOWN, parameters).one()
    by_day: int | None = row.most
    if row.times is not None and not row.known:
        day_before = midnight(day, zone) - timedelta(microseconds=1)
        with transaction_beside(connection, brand_id) as separate:  # others read the limit at once
            by_day = _of_busiest_day(separate, parameters, row.times, zone)
            separate.execute(_KEEP, {**parameters, "most": by_day, "day_before": day_before})
    limits = [limit for limit in (row.max_per_day, by_day) if limit is not None]
    return min(limits, default=None)


def _of_busiest_day(connection: Connection, which: dict[str, Any], times: Decimal, zone: ZoneInfo) -> int | None:
    day: date = which["day"]
    versions = connection.execute(_FREQUENCIES, which).all()
    days = max((_days(version) for version in versions), default=_DAYS)
    first = midnight(day - timedelta(days=days), zone)
    if not versions or versions[0].created_at > first:
        return None
    span = {"first": first, "today": midnight(day, zone), "zone": zone.key}
    busiest = connection.scalar(_BUSIEST, {**which, **span})
    return None if not busiest else math.floor(times * busiest)


def _days(version: Row[Any]) -> int:
    """How many days to look back for the busiest day, by one version's frequency."""
    interval = IssuingFrequency(version.issuing_frequency).interval
    intervals = [interval] if interval is not None else []
    intervals += [BillingFrequency.parse(billed).interval for billed in version.billed or ()]
    longest = max((math.ceil(interval.mean_days) for interval in intervals), default=0)
    return max(_DAYS, longest + _MORE)


def compact(connection: Connection) -> None:
    """Join the portions of days that are over, and forget those that nobody asks for. For all brands, once an hour."""
    connection.execute(_COMPACT)
    connection.execute(_TOO_OLD, {"years": _YEARS_BACK})
