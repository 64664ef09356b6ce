"""The liability: what a brand owes in credits, month by month, by number and by value (INTERFACE 5).

Each credit was issued, and has ended in at most one way: its columns say both. What was taken back since is in the
journal. Both are read in one statement, so that they are of one moment.
"""

import csv
import io
from bisect import bisect
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

from issuance import limits
from issuance.deciding.calendar import add_months, day_of
from issuance.errors import Invalid
from issuance.shown import in_a_cell
from issuance.tenancy import clock

#: What there is of a month, in the order in which it adds up.
AMOUNTS = ("opening", "issued", "redeemed", "expired", "revoked", "restored", "closing")
#: Which way each kind of movement goes.
_SIGN = {"issued": 1, "restored": 1, "redeemed": -1, "expired": -1, "revoked": -1}
#: The columns of the table and the file.
COLUMNS = ("month", "credit_rule_id", "coupon_id", *AMOUNTS, "currency", *(f"{name}_value" for name in AMOUNTS))

# A credit is worth what its coupon was worth at its issue. Ids grow with time, and each value says from which id on it
# holds; the first one holds from the least id on. Few coupons ever change their value: only for credits of those it is
# looked up one by one.
_READ = text("""
    WITH told AS (
             SELECT credit_rule_id, coupon_id, credit_id, issued_at,
                    CASE WHEN redeemed_at IS NOT NULL THEN 'redeemed' WHEN revoked_at IS NOT NULL THEN 'revoked'
                         WHEN expired_at IS NOT NULL OR expires_at <= :now THEN 'expired' END AS kind,
                    coalesce(redeemed_at, revoked_at, expires_at) AS at, 1 AS number
               FROM credits WHERE brand_id = :brand_id
              UNION ALL
             SELECT c.credit_rule_id, c.coupon_id, c.credit_id, NULL, m.kind, m.at, m.number
               FROM credit_movements m JOIN credits c USING (brand_id, credit_id) WHERE m.brand_id = :brand_id),
         summed AS (
             SELECT credit_rule_id, coupon_id, kind,
                    CASE WHEN coupon_id = ANY(ARRAY(SELECT coupon_id FROM coupon_values WHERE brand_id = :brand_id
                                                     GROUP BY coupon_id HAVING count(*) > 1))
                         THEN (SELECT v.first_credit_id FROM coupon_values v
                                WHERE v.brand_id = :brand_id AND v.coupon_id = told.coupon_id
                                  AND v.first_credit_id <= told.credit_id
                                ORDER BY v.first_credit_id DESC LIMIT 1)
                         ELSE '00000000-0000-0000-0000-000000000000' END AS first_credit_id,
                    CAST(date_trunc('month', issued_at AT TIME ZONE :zone) AS date) AS issued_in,
                    CASE WHEN kind IS NOT NULL THEN CAST(date_trunc('month', at AT TIME ZONE :zone) AS date)
                         END AS moved_in,
                    sum(number) AS number
               FROM told GROUP BY credit_rule_id, coupon_id, kind, first_credit_id, issued_in, moved_in)
    SELECT s.credit_rule_id, s.coupon_id, v.currency, moved.kind, greatest(moved.month, CAST(:before AS date)) AS month,
           CAST(sum(s.number) AS bigint) AS number, sum(s.number * coalesce(v.value, 0)) AS value
      FROM summed s
      LEFT JOIN coupon_values v ON v.brand_id = :brand_id
                               AND (v.coupon_id, v.first_credit_id) = (s.coupon_id, s.first_credit_id),
           LATERAL (VALUES ('issued', s.issued_in), (s.kind, s.moved_in)) AS moved (kind, month)
     WHERE moved.month <= :last
     GROUP BY 1, 2, 3, 4, 5 LIMIT :most
""")
# The planner expects a row for each instant, and would sort them all on disk; there is one for each month.
_SUM_IN_MEMORY = text("SELECT set_config('work_mem', '64MB', true), set_config('enable_sort', 'off', true)")


class TooMuchOwed(Invalid):
    """The report has more than 8,000 rows: name fewer months, or use the command line, which has no limit."""

    code = "too_much_to_report"


class _Of(NamedTuple):
    """What a row of a month is about. Of credits without an amount `currency` is None."""

    credit_rule_id: UUID | None
    coupon_id: str
    currency: str | None


Report = list[dict[str, Any]]


def read(
    connection: Connection,
    brand_id: UUID,
    first: date | None = None,
    last: date | None = None,
    *,
    bounded: bool = False,
) -> Report:
    """The rows of the months from `first` to `last`, dates in them, inclusive: by default from the first credit on, up
    to the present month, and never beyond it. What is nothing but zeros is left out. Looks at all credits: at a million
    members it takes seconds. Raises Invalid; `bounded`: TooMuchOwed."""
    if first is not None and last is not None and first > last:
        raise Invalid(fields={"from": "must not be after to"})
    present = clock.read(connection, brand_id)
    this_month = day_of(present.now, present.zone).replace(day=1)
    until = min(last or this_month, this_month)
    sums = _sums(
        connection, brand_id, present, first, until, limits.current.reports.liability_sums if bounded else None
    )
    found = (
        row
        for of, months in sums.items()
        for row in _rows(of, months, until)
        if first is None or row["month"] >= _named(first)
    )
    most = limits.current.reports.liability_rows
    rows = list(islice(found, most + 1 if bounded else None))
    if bounded and len(rows) > most:
        raise TooMuchOwed
    return sorted(
        rows, key=lambda row: (row["month"], row["coupon_id"], str(row["credit_rule_id"]), str(row["currency"]))
    )


def _sums(
    connection: Connection,
    brand_id: UUID,
    present: clock.BrandClock,
    first: date | None,
    last: date,
    most: int | None,
) -> "dict[_Of, dict[date, dict[str, _Sum]]]":
    """What happened to a brand's credits up to a month, by what they are of, month and kind; what happened before
    `first` is in the month before it. Raises TooMuchOwed beyond `most` sums."""
    parameters = {
        "brand_id": brand_id,
        "now": present.now,
        "zone": present.zone.key,
        "before": date.min if first is None else add_months(first, -1),
        "last": last,
        "most": None if most is None else most + 1,
    }
    connection.execute(_SUM_IN_MEMORY)
    found = connection.execute(_READ, parameters).all()
    if most is not None and len(found) > most:
        raise TooMuchOwed
    sums: dict[_Of, dict[date, dict[str, _Sum]]] = defaultdict(lambda: defaultdict(dict))
    for row in found:
        sums[_Of(row.credit_rule_id, row.coupon_id, row.currency)][row.month][row.kind] = _Sum(row.number, row.value)
    return sums


class _Sum(NamedTuple):
    """Credits, and what they are worth."""

    number: int = 0
    value: Decimal = Decimal(0)


def _rows(of: _Of, months: dict[date, dict[str, _Sum]], last: date) -> Iterator[dict[str, Any]]:
    """The months of one thing, in which one's closing is the next one's opening."""
    opening, moved_in = _Sum(), sorted(months)
    month = moved_in[0]
    while month <= last:
        sums = {name: _Sum() for name in _SIGN} | months.get(month, {})
        number = opening.number + sum(sign * sums[name].number for name, sign in _SIGN.items())
        value = opening.value + sum((sign * sums[name].value for name, sign in _SIGN.items()), Decimal(0))
        closing = _Sum(number, value)
        every = {"opening": opening, **sums, "closing": closing}
        if any(one.number or one.value for one in every.values()):
            of_value = {name: _plain(every[name].value) for name in AMOUNTS} if of.currency is not None else None
            numbers = {name: every[name].number for name in AMOUNTS}
            yield {"month": _named(month), **of._asdict(), **numbers, "value": of_value}
        opening = closing
        # Where nothing is out there is no row until something happens.
        month = (
            add_months(month, 1) if any(opening) else next(islice(moved_in, bisect(moved_in, month), None), date.max)
        )


def _plain(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def _named(month: date) -> str:
    return f"{month:%Y-%m}"


def flat(rows: Report) -> list[dict[str, Any]]:
    """The rows with values beside numbers, by COLUMNS: for a table and for a file."""
    return [
        {**row, **{f"{name}_value": None if row["value"] is None else row["value"][name] for name in AMOUNTS}}
        for row in rows
    ]


def as_csv(rows: Report) -> str:
    """A file of the rows, with a line that names the columns."""
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows({**row, "coupon_id": in_a_cell(row["coupon_id"])} for row in flat(rows))
    return file.getvalue()


def month_of(text: str) -> date:
    """The first day of a month that is written `2031-04`, of the years 1900 to 2199. Raises ValueError."""
    year, _, month = text.partition("-")
    if len(year) != 4 or len(month) != 2 or not (year + month).isdigit() or not 1900 <= int(year) < 2200:
        raise ValueError("a month is written 2031-04")
    return date(int(year), int(month), 1)
