"""Credits: one issued coupon code each, held by one guest (SEMANTICS 6). Here they are read and revoked.

A credit's status is never stored: it follows from what was recorded and from the time on the brand's
clock, in one expression, `status_at`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, get_args
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Select,
    String,
    Uuid,
    and_,
    any_,
    case,
    func,
    literal,
    or_,
    select,
    update,
)

from issuance import clock, outbox, paging
from issuance.errors import AlreadyRedeemed, CreditExpired, CreditNotLive, CreditNotYetValid, CreditRevoked, NotFound
from issuance.outbox import EventType
from issuance.tables import credits, guests  # noqa: A004 - the word is the domain's

Status = Literal["live", "upcoming", "redeemed", "expired", "revoked"]
STATUSES: tuple[str, ...] = get_args(Status)

_REFUSALS: dict[str, type[CreditNotLive]] = {
    "redeemed": AlreadyRedeemed,
    "revoked": CreditRevoked,
    "expired": CreditExpired,
    "upcoming": CreditNotYetValid,
}


#: Joins guests to credits: who holds one.
HOLDER = and_(
    guests.c.brand_id == credits.c.brand_id,
    guests.c.membership_id == credits.c.membership_id,
    guests.c.guest_id == credits.c.guest_id,
)


def status_at(now: datetime) -> ColumnElement[str]:
    """The status of a credit at `now`: time decides, whether or not a sweep has marked it."""
    columns = credits.c
    return case(
        (columns.redeemed_at.is_not(None), literal("redeemed", String)),
        (columns.revoked_at.is_not(None), literal("revoked", String)),
        (or_(columns.expired_at.is_not(None), columns.expires_at <= now), literal("expired", String)),
        (columns.valid_from > now, literal("upcoming", String)),
        else_=literal("live", String),
    )


def page(
    connection: Connection,
    brand_id: UUID,
    page: int,
    per_page: int,
    *,
    status: str | None = None,
    external_user_id: str | None = None,
    **equal: object,
) -> paging.Rows:
    """A page of the brand's credits, the latest issued first.

    `equal` names columns of credits (None: any). A guest who is linked to a member shows under that member.
    """
    now = clock.read(connection, brand_id).now
    wanted = [credits.c[name] == value for name, value in equal.items() if value is not None]
    if external_user_id is not None:
        wanted.append(guests.c.external_user_id == external_user_id)
    if status is not None:
        wanted.append(status_at(now) == status)
    # Ids grow with time: the primary key gives the order without a sort. And a brand may have millions of
    # credits: counting them does without the guests unless they are asked about.
    found = _all(brand_id, now).where(*wanted).order_by(credits.c.credit_id.desc())
    counted = select(func.count()).select_from(credits).where(credits.c.brand_id == brand_id, *wanted)
    if external_user_id is not None:
        counted = counted.join(guests, HOLDER)
    total = connection.execute(counted).scalar_one()
    return [_shaped(row) for row in paging.slice_of(connection, found, page, per_page)], total


def get(connection: Connection, brand_id: UUID, code: str) -> dict[str, Any]:
    """The credit with a code. Raises NotFound."""
    return _get(connection, brand_id, code, clock.read(connection, brand_id).now)


def revoke(connection: Connection, brand_id: UUID, code: str, reason: str) -> dict[str, Any]:
    """Take a credit back for good, by the operator. Raises NotFound, or why there is nothing to take back."""
    now = clock.read(connection, brand_id).now
    revoked = connection.execute(
        update(credits)
        .where(credits.c.brand_id == brand_id, credits.c.code == code, status_at(now).in_(("live", "upcoming")))
        .values(revoked_at=now, revoked_by="operator", revoked_reason=reason)
    )
    if revoked.rowcount == 0:
        raise refusal(connection, brand_id, code, now)
    credit = _get(connection, brand_id, code, now)
    outbox.add(connection, brand_id, "credit.revoked", credit, occurred_at=now)
    return credit


def revoke_all(connection: Connection, brand_id: UUID, reason: str, *which: ColumnElement[bool]) -> None:
    """Take back for good every credit that `which` finds and that is not spent or expired.

    Those that facts took back are among them: they do not live again.
    """
    now = clock.read(connection, brand_id).now
    found = (credits.c.brand_id == brand_id, *which)
    by_operator = {"revoked_by": "operator", "revoked_reason": reason}
    connection.execute(update(credits).where(*found, credits.c.revoked_by == "facts").values(by_operator))
    revoked = connection.scalars(
        update(credits)
        .where(*found, status_at(now).in_(("live", "upcoming")))
        .values(revoked_at=now, **by_operator)
        .returning(credits.c.credit_id)
    ).all()
    tell(connection, brand_id, "credit.revoked", revoked, now)


def tell(
    connection: Connection,
    brand_id: UUID,
    type: EventType,  # noqa: A002 - the word is the field's
    credit_ids: Sequence[UUID],
    now: datetime,
) -> None:
    """Tell the webhooks that listen to `type` what happened to credits at `now`, on the brand's clock."""
    if type in outbox.listened_to(connection, brand_id):
        shown = by_id(connection, brand_id, credit_ids, now)
        outbox.add_all(connection, brand_id, [outbox.News(type, now, credit) for credit in shown.values()])


def by_id(
    connection: Connection, brand_id: UUID, credit_ids: Sequence[UUID], now: datetime
) -> dict[UUID, dict[str, Any]]:
    """Credits as they are shown at `now`; unknown ids are passed over."""
    found = _all(brand_id, now).where(credits.c.credit_id == any_(literal(list(credit_ids), ARRAY(Uuid))))
    return {row["id"]: _shaped(dict(row)) for row in connection.execute(found).mappings()}


def refusal(connection: Connection, brand_id: UUID, code: str, now: datetime) -> CreditNotLive:
    """Why a credit is not live at `now`. Raises NotFound."""
    status = _get(connection, brand_id, code, now)["status"]
    # Live again since the update looked: somebody else's change was undone in between.
    return _REFUSALS.get(status, CreditNotLive)()


def _get(connection: Connection, brand_id: UUID, code: str, now: datetime) -> dict[str, Any]:
    row = connection.execute(_all(brand_id, now).where(credits.c.code == code)).mappings().one_or_none()
    if row is None:
        raise NotFound("There is no such credit.")
    return _shaped(dict(row))


def _all(brand_id: UUID, now: datetime) -> Select[Any]:
    columns = credits.c
    return (
        select(
            columns.credit_id.label("id"),
            columns.code,
            status_at(now).label("status"),
            columns.credit_rule_id,
            columns.rule_version,
            columns.coupon_id,
            columns.coupon_name,
            columns.membership_id,
            columns.guest_id,
            guests.c.name.label("guest_name"),
            guests.c.lead_booker,
            guests.c.external_user_id,
            columns.period_start,
            columns.period_end,
            columns.reissue,
            columns.valid_from,
            columns.expires_at,
            columns.roll_over,
            columns.multi_use,
            columns.uses,
            columns.issued_at,
            columns.redeemed_at,
            columns.revoked_at,
            columns.revoked_reason,
            func.coalesce(columns.expired_at, case((columns.expires_at <= now, columns.expires_at))).label(
                "expired_at"
            ),
            columns.flagged_at,
            columns.run_id,
        )
        .join(guests, HOLDER)
        .where(columns.brand_id == brand_id)
    )


def _shaped(row: dict[str, Any]) -> dict[str, Any]:
    row["guest"] = {
        "id": row.pop("guest_id"),
        "name": row.pop("guest_name"),
        "lead_booker": row.pop("lead_booker"),
        "external_user_id": row.pop("external_user_id"),
    }
    return row
