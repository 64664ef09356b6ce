"""Memberships as people read them: status, current period, charges and guests."""

from collections.abc import Generator
from datetime import date, datetime
from typing import Any, Literal, get_args
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Date, Select, cast, collate, func, select

from issuance.database import paging
from issuance.database.identities import member_id_of
from issuance.database.tables import biller_memberships, billing_events, guests, members, membership_types, memberships
from issuance.deciding.history import History
from issuance.deciding.statuses import ENDED
from issuance.deciding.statuses import Status as Standing
from issuance.engine.facts import loaded
from issuance.engine.membership import Membership
from issuance.errors import NotFound
from issuance.tenancy import clock

Status = Literal["upcoming", "active", "billing", "needs_attention", "paused", "cancelled", "expired"]
#: How many charges of a membership are shown, and how many of its guests on a page of a list.
MOST_CHARGES, MOST_LISTED_GUESTS, MOST_GUESTS = 100, 20, 1000
#: Characters of the biller's name for a membership: two of Stripe's ids.
LONGEST_REF = 511
STATUSES: tuple[str, ...] = get_args(Status)


def get(connection: Connection, brand_id: UUID, membership_id: UUID) -> dict[str, Any]:
    """One membership. Raises NotFound."""
    one = _all(brand_id).where(memberships.c.membership_id == membership_id)
    row = connection.execute(one).mappings().one_or_none()
    if row is None:
        raise NotFound("There is no such membership.")
    return _shaped(connection, brand_id, [dict(row)], most_guests=MOST_GUESTS)[0]


def page(
    connection: Connection, brand_id: UUID, page: int, per_page: int, *, most: int | None = None, **filters: Any
) -> paging.Rows:
    """A page of the brand's memberships, by id. `filters` are those of `_found`; None filters nothing. They are counted
    up to `most`, as `paging.rows_of` does."""
    rows, total = paging.rows_of(connection, _found(brand_id, **filters), page, per_page, most=most)
    return _shaped(connection, brand_id, rows, most_guests=MOST_LISTED_GUESTS), total


def part(
    connection: Connection, brand_id: UUID, page: int, per_page: int, after: UUID | None, **filters: Any
) -> paging.Part:
    """`page`, for a list that is counted no further than needed; or the page after a membership."""
    place = (memberships.c.membership_id, False)
    found = paging.part_of(connection, _found(brand_id, **filters), place, page, per_page, after)
    return found._replace(rows=_shaped(connection, brand_id, found.rows, most_guests=MOST_LISTED_GUESTS))


def each(connection: Connection, brand_id: UUID, **filters: Any) -> Generator[dict[str, Any], None, None]:
    """All of the brand's memberships, by id, with the filters of `page`: without period, charges and guests. Nobody's
    facts are loaded for it."""
    columns, guest = memberships.c, guests.c
    anchor = _moved_anchor(brand_id, clock.read(connection, brand_id).now)
    on_the_order = (
        select(func.count())
        .where(guest.brand_id == brand_id, guest.membership_id == columns.membership_id, guest.removed_at.is_(None))
        .scalar_subquery()
    )
    found = _found(brand_id, **filters).add_columns(
        func.coalesce(anchor, columns.billing_anchor).label("billing_anchor"), on_the_order.label("guests_total")
    )
    for row in paging.each_of(connection, found):
        yield {**row, "membership_type": {"id": row["membership_type_id"], "name": row["membership_type_name"]}}


def _moved_anchor(brand_id: UUID, now: datetime) -> ColumnElement[date]:
    """Where a membership's billing date had last been moved to by an instant; null: it had not."""
    columns = billing_events.c
    moves = select(cast(columns.data["billing_anchor"].astext, Date)).where(
        columns.brand_id == brand_id,
        columns.membership_id == memberships.c.membership_id,
        columns.type == "membership.billing_date_moved",
        columns.time <= now,
    )
    # The last in the order of event_facts.IN_ORDER.
    backwards = columns.time.desc(), collate(columns.source, "C").desc(), collate(columns.event_id, "C").desc()
    return moves.order_by(*backwards).limit(1).scalar_subquery()


def _found(
    brand_id: UUID,
    membership_type_id: UUID | None = None,
    external_user_id: str | None = None,
    status: str | None = None,
    source_ref: str | None = None,
) -> Select[Any]:
    found = _all(brand_id).order_by(memberships.c.membership_id)
    if membership_type_id is not None:
        found = found.where(memberships.c.membership_type_id == membership_type_id)
    if external_user_id is not None:
        found = found.where(memberships.c.member_id == member_id_of(brand_id, external_user_id))
    if status is not None:
        found = found.where(memberships.c.status == status)
    if source_ref is not None:
        found = found.where(biller_memberships.c.source_ref == source_ref)
    return found


def _all(brand_id: UUID) -> Select[Any]:
    columns = memberships.c
    return (
        select(
            columns.membership_id.label("id"),
            columns.membership_type_id,
            membership_types.c.name.label("membership_type_name"),
            members.c.external_user_id,
            columns.status,
            columns.signed_up_at,
            columns.starts_on,
            columns.ends_on,
            columns.billing_frequency,
            func.left(biller_memberships.c.source_ref, LONGEST_REF).label("source_ref"),
        )
        .join(
            membership_types,
            (membership_types.c.brand_id == columns.brand_id)
            & (membership_types.c.membership_type_id == columns.membership_type_id),
        )
        # An outer join, so that counting needs no look at members.
        .outerjoin(members, (members.c.brand_id == columns.brand_id) & (members.c.member_id == columns.member_id))
        .outerjoin(
            biller_memberships,
            (biller_memberships.c.brand_id == columns.brand_id)
            & (biller_memberships.c.membership_id == columns.membership_id),
        )
        .where(columns.brand_id == brand_id)
    )


def _shaped(
    connection: Connection, brand_id: UUID, rows: list[dict[str, Any]], *, most_guests: int
) -> list[dict[str, Any]]:
    ids = [row["id"] for row in rows]
    present = clock.read(connection, brand_id)
    parties = _parties(connection, brand_id, ids, most_guests)
    none: tuple[int, list[dict[str, Any]]] = (0, [])
    by_id = {row["id"]: row for row in rows}
    for some in loaded(connection, brand_id, present.zone, ids, with_credits=False):
        for membership in some:
            row, history = by_id[membership.membership_id], membership.history(present.now)
            row["membership_type"] = {"id": row["membership_type_id"], "name": row.pop("membership_type_name")}
            row["billing_anchor"] = history.calendar.anchor_now
            row["period"] = None if Standing(row["status"]) in ENDED else _period(history)
            row["charges"] = _charges(membership, history)
            row["guests_total"], row["guests"] = parties.get(row["id"], none)
    return rows


def _period(history: History) -> dict[str, Any]:
    """The billing period in which the brand's today lies; before the start, the first one."""
    start, end = history.calendar.period_of(None, history.today)
    return {"start": start, "end": end}


def _charges(membership: Membership, history: History) -> list[dict[str, Any]]:
    """The latest MOST_CHARGES charges: those that are known, and those that `billing: automatic` has made."""
    return [
        {
            "id": membership.charge_id(charge),
            "state": charge.state.value,
            "period_start": charge.period_start,
            "period_end": charge.period_end or charge.covers.end,
            "amount": _number(charge.amount),
            "amount_refunded": _number(charge.amount_refunded),
        }
        for charge in sorted(history.charges, key=lambda charge: (charge.period_start, membership.charge_id(charge)))[
            -MOST_CHARGES:
        ]
    ]


def _number(amount: object) -> float | None:
    return None if amount is None else float(str(amount))


def _parties(
    connection: Connection, brand_id: UUID, ids: list[UUID], most: int
) -> dict[UUID, tuple[int, list[dict[str, Any]]]]:
    """How many are on each order now, and who the first `most` are, the lead booker first."""
    columns = guests.c
    number = func.row_number().over(
        partition_by=columns.membership_id, order_by=(columns.lead_booker.desc(), columns.guest_id)
    )
    total = func.count().over(partition_by=columns.membership_id)
    present = (
        select(*columns, number.label("number"), total.label("total"))
        .where(columns.brand_id == brand_id, columns.membership_id.in_(ids), columns.removed_at.is_(None))
        .subquery()
    )
    shown = present.c
    rows = connection.execute(
        select(
            shown.membership_id,
            shown.total,
            shown.guest_id.label("id"),
            shown.name,
            shown.email,
            members.c.external_user_id,
            shown.lead_booker,
        )
        .outerjoin(members, (members.c.brand_id == shown.brand_id) & (members.c.member_id == shown.member_id))
        .where(shown.number <= most)
        .order_by(shown.membership_id, shown.number)
    )
    parties: dict[UUID, tuple[int, list[dict[str, Any]]]] = {}
    for row in rows.mappings():
        guest = dict(row)
        of_order = parties.setdefault(guest.pop("membership_id"), (guest.pop("total"), []))
        of_order[1].append(guest)
    return parties
