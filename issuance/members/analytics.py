"""What became of points and credits: totals, and sums by day, week or month of the brand's calendar."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from issuance.credits.credits import STILL_OUT
from issuance.deciding.calendar import day_of, midnight
from issuance.errors import Invalid
from issuance.members import redemptions
from issuance.tenancy import clock

Interval = Literal["day", "week", "month"]
#: The most buckets that one answer has.
MOST_BUCKETS = 1000
#: The most offers that one answer has.
MOST_OFFERS = 1000

_TOTALS = text("""
    SELECT (SELECT count(*) FROM members
             WHERE brand_id = :brand_id AND joined_at IS NOT NULL AND archived_at IS NULL) AS member_count,
           coalesce(sum(amount) FILTER (WHERE type = 'credit'), 0) AS points_minted,
           coalesce(-sum(amount) FILTER (WHERE type IN ('spend', 'refund')), 0) AS points_spent
      FROM ledger_entries WHERE brand_id = :brand_id
""")
# A booking is shown as the brand's offer by its id, else as its credit's coupon, else as the word that was given. A
# code that a credit lost by a transfer since was the credit's too.
_BY_OFFER = text("""
    WITH booked AS (
        SELECT CASE WHEN r.credit_id IS NULL OR r.offer_id <> c.code
                         AND NOT EXISTS (SELECT FROM transfers t
                                          WHERE (t.brand_id, t.credit_id, t.code)
                                                = (r.brand_id, r.credit_id, r.offer_id))
                    THEN coalesce(r.offer_id, nullif(r.offer, '')) ELSE c.coupon_id END AS offer_id,
               r.status, r.points
          FROM redemptions r LEFT JOIN credits c USING (brand_id, credit_id)
         WHERE r.brand_id = :brand_id
         UNION ALL
        SELECT offer_id, NULL, NULL FROM offers WHERE brand_id = :brand_id)
    SELECT offer_id, count(status) AS signups,
           count(*) FILTER (WHERE status = 'COMPLETED') AS completions,
           count(*) FILTER (WHERE status = 'CANCELED') AS cancellations,
           coalesce(sum(points) FILTER (WHERE status <> 'CANCELED'), 0) AS points_spent
      FROM booked WHERE offer_id IS NOT NULL
     GROUP BY offer_id ORDER BY signups DESC, offer_id LIMIT :most
""")
# width_bucket gives the bucket whose start was the last to pass; 0 and the last are outside.
_POINTS = text("""
    SELECT width_bucket(created_at, CAST(:bounds AS timestamptz[])) AS bucket,
           coalesce(sum(amount) FILTER (WHERE type = 'credit'), 0) AS points_minted,
           coalesce(-sum(amount) FILTER (WHERE type IN ('spend', 'refund')), 0) AS points_spent
      FROM ledger_entries
     WHERE brand_id = :brand_id AND created_at >= :first AND created_at < :last
     GROUP BY bucket
""")
_SIGNUPS = text("""
    SELECT width_bucket(joined_at, CAST(:bounds AS timestamptz[])) AS bucket, count(*) AS signups
      FROM members
     WHERE brand_id = :brand_id AND joined_at >= :first AND joined_at < :last
     GROUP BY bucket
""")
_ISSUED = text("""
    SELECT width_bucket(issued_at, CAST(:bounds AS timestamptz[])) AS bucket, count(*) AS issued
      FROM credits
     WHERE brand_id = :brand_id AND issued_at >= :first AND issued_at < :last
     GROUP BY bucket
""")
_REDEEMED = text("""
    SELECT width_bucket(created_at, CAST(:bounds AS timestamptz[])) AS bucket, count(*) AS redeemed
      FROM redemptions
     WHERE brand_id = :brand_id AND created_at >= :first AND created_at < :last
       AND credit_id IS NOT NULL AND status <> 'CANCELED'
     GROUP BY bucket
""")
_EXPIRED = text(f"""
    SELECT width_bucket(expires_at, CAST(:bounds AS timestamptz[])) AS bucket, count(*) AS expired
      FROM credits
     WHERE brand_id = :brand_id AND expires_at >= :first AND expires_at < :last AND expires_at <= :now
       AND {STILL_OUT}
     GROUP BY bucket
""")


@dataclass(frozen=True, slots=True)
class Window:
    """The instants [first, last), in buckets of the brand's calendar: the first bucket begins with the window, the last
    ends with it.

    A date is a whole day of the brand: its midnight as `first`, the midnight after it as `last`.

    """

    first: date | datetime
    last: date | datetime
    interval: Interval


def summary(connection: Connection, brand_id: UUID) -> dict[str, Any]:
    """Totals of the brand. Members are those that are not archived; points spent are net of refunds; the
    completion rate is the share of all redemptions that are COMPLETED."""
    totals = connection.execute(_TOTALS, {"brand_id": brand_id}).one()
    counts = redemptions.counts(connection, brand_id)
    total = sum(counts.values())
    return {
        "member_count": totals.member_count,
        "points_minted": int(totals.points_minted),
        "points_spent": int(totals.points_spent),
        "completion_rate": counts["COMPLETED"] / total if total else 0.0,
        "redemptions": {**{status.lower(): number for status, number in counts.items()}, "total": total},
    }


def by_offer(connection: Connection, brand_id: UUID) -> list[dict[str, Any]]:
    """What became of each offer, the most booked first, at most MOST_OFFERS. Offers of the brand that nobody has booked
    are included. Points spent are net of refunds."""
    rows = connection.execute(_BY_OFFER, {"brand_id": brand_id, "most": MOST_OFFERS}).mappings()
    return [{**row, "points_spent": int(row["points_spent"])} for row in rows]


def points(connection: Connection, brand_id: UUID, window: Window) -> list[dict[str, Any]]:
    """Points minted and spent (net of refunds), and new members, by bucket. Raises Invalid."""
    return _buckets(connection, brand_id, window, {_POINTS: ("points_minted", "points_spent"), _SIGNUPS: ("signups",)})


def credits(connection: Connection, brand_id: UUID, window: Window) -> list[dict[str, Any]]:
    """Credits issued, redeemed (uses that were not canceled) and expired unused, by bucket. Raises Invalid."""
    statements = {_ISSUED: ("issued",), _REDEEMED: ("redeemed",), _EXPIRED: ("expired",)}
    return _buckets(connection, brand_id, window, statements)


def _buckets(
    connection: Connection, brand_id: UUID, window: Window, statements: Mapping[Any, tuple[str, ...]]
) -> list[dict[str, Any]]:
    present = clock.read(connection, brand_id)
    bounds = bounds_of(window, present.zone)
    names = [name for group in statements.values() for name in group]
    buckets: list[dict[str, Any]] = [
        {"start_time": start, "end_time": end, **dict.fromkeys(names, 0)} for start, end in pairwise(bounds)
    ]
    if not buckets:
        return []
    parameters = {"brand_id": brand_id, "bounds": bounds, "first": bounds[0], "last": bounds[-1]}
    for statement, group in statements.items():
        known = {"now": present.now} if statement is _EXPIRED else {}
        for row in connection.execute(statement, {**parameters, **known}).mappings():
            buckets[row["bucket"] - 1] |= {name: int(row[name]) for name in group}
    return buckets


def bounds_of(window: Window, zone: ZoneInfo) -> Sequence[datetime]:
    """The instants at which a window's buckets begin, and its end; none if the window is empty."""
    first, last = _start_of(window.first, zone), _end_of(window.last, zone)
    if first >= last:
        return []
    bounds = [first]
    day = _turn_of(day_of(first, zone), window.interval)
    while True:
        day = _next(day, window.interval)
        instant = midnight(day, zone)
        if instant >= last:
            break
        if len(bounds) >= MOST_BUCKETS:
            wrong = f"makes more than {MOST_BUCKETS} buckets"
            raise Invalid(f"interval: {wrong}", fields={"interval": wrong})
        if instant > first:
            bounds.append(instant)
    return [*bounds, last]


def _start_of(moment: date | datetime, zone: ZoneInfo) -> datetime:
    return moment if isinstance(moment, datetime) else midnight(moment, zone)


def _end_of(moment: date | datetime, zone: ZoneInfo) -> datetime:
    return moment if isinstance(moment, datetime) else midnight(moment + timedelta(days=1), zone)


def _turn_of(day: date, interval: Interval) -> date:
    """The first day of the week or month that a day lies in."""
    match interval:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)


def _next(day: date, interval: Interval) -> date:
    match interval:
        case "day":
            return day + timedelta(days=1)
        case "week":
            return day + timedelta(days=7)
        case "month":
            return (day.replace(day=1) + timedelta(days=31)).replace(day=1)
