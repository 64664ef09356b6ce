"""Lists of a brand's credits: by page, by cursor, by what they can be filtered by (INTERFACE 3)."""

from collections.abc import Mapping
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Uuid,
    any_,
    bindparam,
    case,
    func,
    select,
    true,
)
from sqlalchemy.sql.util import ClauseAdapter

from issuance import limits
from issuance.credits import holders
from issuance.credits.credits import SHOWN_NOW, shaped, status_at
from issuance.database import paging
from issuance.database.identities import member_id_of
from issuance.database.statements import Statement
from issuance.database.tables import credits
from issuance.tenancy import clock

#: What a list can be filtered by.
_FILTERS = {
    "status": status_at(clock.NOW) == bindparam("status"),
    "external_user_id": holders.held_by(
        bindparam("brand_id"), member_id_of(bindparam("brand_id"), bindparam("external_user_id"))
    ),
    "membership_id": credits.c.membership_id == bindparam("membership_id"),
    "credit_rule_id": credits.c.credit_rule_id == bindparam("credit_rule_id"),
    "guest_id": holders.held_by_guest(bindparam("brand_id"), bindparam("guest_id")),
    "multi_use": credits.c.multi_use == bindparam("multi_use"),
}


def page(
    connection: Connection, brand_id: UUID, page: int, per_page: int, *, most: int | None = None, **filters: object
) -> paging.Rows:
    """A page of the brand's credits, the latest issued first. `filters` are any of _FILTERS; None filters nothing.
    One more is `latest`: search only the so many newest credits. They are counted up to `most`, as `paging.rows_of`
    does."""
    place = {"rows": per_page, "passed": (page - 1) * per_page}
    return _read(connection, brand_id, None if most is None else most + 1, place, filters)


def part(
    connection: Connection, brand_id: UUID, page: int, per_page: int, after: UUID | None, **filters: object
) -> paging.Part:
    """`page`, of a list that is counted no further than it takes; or the page after a credit."""
    place = {"passed": (page - 1) * per_page} if after is None else {"after": after}
    most = limits.current.database.counted + 1
    rows, total = _read(connection, brand_id, most, {"rows": per_page + 1, **place}, filters)
    return paging.cut(rows, per_page, total)


def _read(
    connection: Connection, brand_id: UUID, most: int | None, place: Mapping[str, object], filters: Mapping[str, object]
) -> paging.Rows:
    named = {name: value for name, value in filters.items() if value is not None}
    one_page = _list(frozenset(named), "after" in place)
    rows = one_page.rows(connection, {"brand_id": brand_id, "most": most, **named, **place})
    totals = [row.pop("total") for row in rows]
    return [shaped(row) for row in rows if row["id"] is not None], totals[0]


@cache
def _list(filters: frozenset[str], goes_on: bool) -> Statement:
    """One page of credits: after some have `passed`, or `after` one. Each row says how many there are, up to `most`;
    where the page is empty one row of nothing does.

    Ids grow with time: the primary key gives the order without a sort. A brand may have millions of credits, so
    guests are joined to those of the page only, and the planner is left no choice. Where few are found all credits are
    read for them, so they are looked for once: to count them, and only where there are `most` again for the page.
    """
    found = select(credits).where(credits.c.brand_id == bindparam("brand_id"))
    newest = found.order_by(credits.c.credit_id.desc()).limit(bindparam("latest", type_=BigInteger)).subquery("newest")
    of: Any = newest if "latest" in filters else credits
    wanted = [_FILTERS[name] for name in sorted(filters - {"latest"})]
    if of is newest:
        wanted = [ClauseAdapter(newest).traverse(one) for one in wanted]
    found = select(of.c.credit_id).where(of.c.brand_id == bindparam("brand_id"), *wanted)
    most = bindparam("most", type_=BigInteger)
    ids: ColumnElement[Any] = func.array(found.limit(most).correlate(None).scalar_subquery(), type_=ARRAY(Uuid))
    first = select(ids.label("ids")).cte("first")
    total = select(func.cardinality(first.c.ids)).scalar_subquery()
    each = select(func.unnest(first.c.ids).label("credit_id")).subquery("each")

    def page_of(all_found: Select[Any], credit_id: ColumnElement[UUID]) -> ColumnElement[Any]:
        rest = all_found.where(credit_id < bindparam("after")) if goes_on else all_found.offset(bindparam("passed"))
        return func.array(rest.order_by(credit_id.desc()).limit(bindparam("rows")).correlate(None).scalar_subquery())

    page = case(
        (total < most, page_of(select(each.c.credit_id), each.c.credit_id)),
        else_=page_of(found, of.c.credit_id),
    )
    shown = SHOWN_NOW.where(credits.c.credit_id == any_(page)).subquery("shown")
    counted = select(total.label("total")).subquery("counted")
    one_page = select(shown, counted.c.total).select_from(counted.outerjoin(shown, true()))
    return Statement(one_page.order_by(shown.c.id.desc()))
