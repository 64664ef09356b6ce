"""Lists of a brand's credits: by page, by cursor, by what they can be filtered by (INTERFACE 3)."""

from collections.abc import Mapping
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Connection, any_, bindparam, case, func, select
from sqlalchemy.sql.util import ClauseAdapter

from issuance.credits import holders
from issuance.credits.credits import SHOWN_NOW, shaped, status_at
from issuance.database import paging
from issuance.database.identities import member_id_of
from issuance.database.statements import Statement
from issuance.database.tables import credits, transfers  # noqa: A004 - the word is the domain's
from issuance.tenancy import clock

#: What a list can be filtered by.
_FILTERS = {
    "status": status_at(clock.NOW) == bindparam("status"),
    "external_user_id": holders.held_by(
        bindparam("brand_id"), member_id_of(bindparam("brand_id"), bindparam("external_user_id"))
    ),
    "membership_id": credits.c.membership_id == bindparam("membership_id"),
    "credit_rule_id": credits.c.credit_rule_id == bindparam("credit_rule_id"),
    "guest_id": case(
        (credits.c.transfer_id.is_(None), credits.c.guest_id == bindparam("guest_id")),
        else_=credits.c.transfer_id.in_(
            select(transfers.c.transfer_id).where(
                transfers.c.brand_id == bindparam("brand_id"), transfers.c.guest_id == bindparam("guest_id")
            )
        ),
    ),
    "multi_use": credits.c.multi_use == bindparam("multi_use"),
}


def page(
    connection: Connection, brand_id: UUID, page: int, per_page: int, *, most: int | None = None, **filters: object
) -> paging.Rows:
    """A page of the brand's credits, the latest issued first. `filters` are any of _FILTERS; None filters nothing.
    They are counted up to `most`, as `paging.rows_of` does. `latest`: of the so many latest only, since what is rare
    among millions would else be looked for in all of them."""
    place = {"rows": per_page, "passed": (page - 1) * per_page}
    return _read(connection, brand_id, None if most is None else most + 1, place, filters)


def part(
    connection: Connection, brand_id: UUID, page: int, per_page: int, after: UUID | None, **filters: object
) -> paging.Part:
    """`page`, of a list that is counted no further than it takes; or the page after a credit."""
    place = {"passed": (page - 1) * per_page} if after is None else {"after": after}
    rows, total = _read(connection, brand_id, paging.MOST_COUNTED + 1, {"rows": per_page + 1, **place}, filters)
    return paging.cut(rows, per_page, total)


def _read(
    connection: Connection, brand_id: UUID, most: int | None, place: Mapping[str, object], filters: Mapping[str, object]
) -> paging.Rows:
    named = {name: value for name, value in filters.items() if value is not None}
    counted, one_page = _list(frozenset(named), "after" in place)
    asked = {"brand_id": brand_id, "most": most, **named}
    rows = one_page.rows(connection, {**asked, **place})
    if not rows:  # nobody was there to say it
        return [], counted.rows(connection, asked)[0]["total"]
    totals = [row.pop("total") for row in rows]
    return [shaped(row) for row in rows], totals[0]


@cache
def _list(filters: frozenset[str], goes_on: bool) -> tuple[Statement, Statement]:
    """How many credits there are, up to `most`; and one page of them, each of which says that too: after some have
    `passed`, or `after` one.

    Ids grow with time: the primary key gives the order without a sort. A brand may have millions of credits, so
    guests are joined to those of the page only, and the planner is left no choice.
    """
    found = select(credits).where(credits.c.brand_id == bindparam("brand_id"))
    newest = found.order_by(credits.c.credit_id.desc()).limit(bindparam("latest", type_=BigInteger)).subquery("newest")
    of: Any = newest if "latest" in filters else credits
    wanted = [_FILTERS[name] for name in sorted(filters - {"latest"})]
    if of is newest:
        wanted = [ClauseAdapter(newest).traverse(one) for one in wanted]
    found = select(of.c.credit_id).where(of.c.brand_id == bindparam("brand_id"), *wanted)
    rest = found.where(of.c.credit_id < bindparam("after")) if goes_on else found.offset(bindparam("passed"))
    latest = rest.order_by(of.c.credit_id.desc()).limit(bindparam("rows"))
    most = found.limit(bindparam("most", type_=BigInteger)).subquery()
    counted = select(func.count().label("total")).select_from(most)
    shown = SHOWN_NOW.add_columns(counted.scalar_subquery().label("total"))
    one_page = shown.where(credits.c.credit_id == any_(func.array(latest.correlate(None).scalar_subquery())))
    return Statement(counted), Statement(one_page.order_by(credits.c.credit_id.desc()))
