"""Offers as members see and book them: the brand's own, and the live credits that they hold, each by its code."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    String,
    Uuid,
    and_,
    any_,
    case,
    cast,
    exists,
    func,
    literal,
    null,
    or_,
    select,
    union_all,
)

from issuance.credits import credits, holders
from issuance.credits.codes import as_kept, may_be_one
from issuance.database import cursors
from issuance.database.tables import coupons, offers
from issuance.database.tables import credits as credits_table
from issuance.database.tables import members as members_table
from issuance.errors import (
    AlreadyRedeemed,
    CodeUnknown,
    CreditNotLive,
    CreditUnknown,
    Invalid,
    OfferUnavailable,
    RedemptionAlreadyExists,
)
from issuance.members import members, redemptions
from issuance.members.redemptions import Booking
from issuance.tenancy import clock

#: How many credits of a coupon are tried one after the other when others redeem the same ones.
MOST_TRIED = 10
_NONE_FOR_IT = "the member holds no live credit for it"


def page(connection: Connection, brand_id: UUID, external_user_id: str, limit: int, cursor: str | None) -> cursors.Rows:
    """A page of what a member can book now, the latest first. Raises MemberNotFound."""
    member_id = members.id_of(connection, brand_id, external_user_id)
    held = _held(connection, brand_id, member_id)
    found = union_all(_credits(brand_id, held), _brands(brand_id, member_id, held)).subquery()
    rows, following = cursors.rows_of(connection, select(found), found.c.created_at, found.c.id, limit, cursor)
    shown = [
        {
            "id": row["name"],
            "title": row["title"],
            "description": row["description"],
            "short_description": row["title"],
            "kind": row["kind"],
            "type": row["type"],
            "points_price": row["points_price"],
            "expires_at": row["expires_at"],
            "images": [],
        }
        for row in rows
    ]
    return shown, following


def redeem(
    connection: Connection,
    brand_id: UUID,
    offer: dict[str, Any],
    external_user_id: str,
    booking: Booking,
    *,
    points: int | None = None,
    code: str | None = None,
) -> dict[str, Any]:
    """Book one of the brand's offers for a member, at its price, and return the redemption.

    A caller who names `points` or a credit's `code` must name what the offer costs. Raises MemberNotFound,
    MemberArchived, OfferUnavailable (CodeUnknown), RedemptionAlreadyExists, InsufficientPoints, Invalid, or why the
    credit that is named is not live.


    """
    tier = members.get(connection, brand_id, external_user_id)["tier"]
    if offer["tiers"] is not None and tier not in offer["tiers"]:
        raise OfferUnavailable(fields={"offer": "is not for members of this tier"})
    booking = replace(booking, offer=offer["id"], offer_id=offer["id"])
    price, coupon_id = offer["points_price"], offer["coupon_id"]
    if points not in (None, price):
        raise Invalid(fields={"points": f"this offer costs {price or 'none'}"})
    if code is not None and (price is not None or coupon_id is None):
        raise Invalid(fields={"creditCode": "this offer takes no credit"})
    if price is not None:
        return redemptions.redeem_points(connection, brand_id, price, external_user_id, booking)
    if coupon_id is None:
        return redemptions.redeem_for_nothing(connection, brand_id, external_user_id, booking)
    if code is not None:
        _check_coupon(connection, brand_id, code, external_user_id, coupon_id)
        return redemptions.redeem_credit_of(connection, brand_id, code, external_user_id, booking)
    for of_coupon in _codes(connection, brand_id, external_user_id, coupon_id):
        try:
            return redemptions.redeem_credit_of(connection, brand_id, of_coupon, external_user_id, booking)
        except CreditNotLive:
            continue  # somebody was quicker
    raise OfferUnavailable(fields={"offer": _NONE_FOR_IT})


def redeem_credit(
    connection: Connection, brand_id: UUID, code: str, external_user_id: str | None, booking: Booking
) -> dict[str, Any]:
    """Book a credit that was named as an offer, by its code, and return the redemption.

    Raises OfferUnavailable (CodeUnknown: it may be a code), RedemptionAlreadyExists, or why the credit is not live.

    """
    code = as_kept(code)  # one credit is one offer, however its code is typed
    try:
        # First of all, because nobody may learn anything about another's credit.
        redemptions.check_holder(connection, brand_id, code, external_user_id)
        if redemptions.is_booked(connection, brand_id, code):
            raise RedemptionAlreadyExists
        named = replace(booking, offer=code, offer_id=code)
        return redemptions.redeem_credit_of(connection, brand_id, code, external_user_id, named)
    except CreditUnknown:
        # An offer that is gone is no guess: a caller who still names it is not counted as wrong.
        kind = CodeUnknown if may_be_one(code) else OfferUnavailable
        raise kind(fields={"offer": "there is no such offer, or it is not this member's"}) from None
    except AlreadyRedeemed:
        if redemptions.is_booked(connection, brand_id, code):
            raise RedemptionAlreadyExists from None  # at the same moment
        raise


_COUPON = and_(coupons.c.brand_id == credits_table.c.brand_id, coupons.c.coupon_id == credits_table.c.coupon_id)


def _held(connection: Connection, brand_id: UUID, member_id: UUID) -> ColumnElement[bool]:
    """The condition that a credit is live and the member's."""
    now = clock.read(connection, brand_id).now
    return and_(
        credits_table.c.brand_id == brand_id, holders.held_by(brand_id, member_id), credits.status_at(now) == "live"
    )


def _credits(brand_id: UUID, held: ColumnElement[bool]) -> Select[Any]:
    columns = credits_table.c
    return (
        select(
            columns.credit_id.label("id"),
            columns.issued_at.label("created_at"),
            columns.code.label("name"),
            columns.coupon_name.label("title"),
            coupons.c.description,
            literal("credit").label("kind"),
            coupons.c.discount_type.label("type"),
            cast(null(), offers.c.points_price.type).label("points_price"),
            columns.expires_at,
        )
        .join(coupons, _COUPON)
        .where(held, coupons.c.brand_id == brand_id)
    )


def _brands(brand_id: UUID, member_id: UUID, held: ColumnElement[bool]) -> Select[Any]:
    """The brand's offers for a member's tier; an offer that takes a credit only if there is one."""
    columns = offers.c
    tier = select(members_table.c.tier).where(
        members_table.c.brand_id == brand_id, members_table.c.member_id == member_id
    )
    has_credit = exists().select_from(credits_table).where(held, credits_table.c.coupon_id == columns.coupon_id)
    is_free = and_(columns.points_price.is_(None), columns.coupon_id.is_(None))
    return (
        select(
            cast(func.md5(columns.offer_id), Uuid).label("id"),
            columns.created_at,
            columns.offer_id.label("name"),
            columns.name.label("title"),
            func.coalesce(coupons.c.description, "").label("description"),
            literal("offer").label("kind"),
            case(
                (columns.points_price.is_not(None), literal("points", String)),
                (is_free, literal("free", String)),
                else_=coupons.c.discount_type,
            ).label("type"),
            columns.points_price,
            cast(null(), credits_table.c.expires_at.type).label("expires_at"),
        )
        .outerjoin(coupons, and_(coupons.c.brand_id == columns.brand_id, coupons.c.coupon_id == columns.coupon_id))
        .where(
            columns.brand_id == brand_id,
            or_(columns.tiers.is_(None), tier.scalar_subquery() == any_(columns.tiers)),
            or_(columns.points_price.is_not(None), is_free, has_credit),
        )
    )


def _check_coupon(connection: Connection, brand_id: UUID, code: str, external_user_id: str, coupon_id: str) -> None:
    """Raises CodeUnknown for a code that is none of the member's credits', OfferUnavailable for one of another coupon,
    and CreditTransferred for one that a credit had before."""
    try:
        redemptions.check_holder(connection, brand_id, code, external_user_id)
    except CreditUnknown:
        raise CodeUnknown(fields={"offer": _NONE_FOR_IT}) from None
    if credits.get(connection, brand_id, code)["coupon_id"] != coupon_id:
        raise OfferUnavailable(fields={"offer": _NONE_FOR_IT})


def _codes(connection: Connection, brand_id: UUID, external_user_id: str, coupon_id: str) -> list[str]:
    """The codes of the member's live credits of a coupon; those that expire first come first."""
    member_id = members.id_of(connection, brand_id, external_user_id)
    found = (
        select(credits_table.c.code)
        .where(_held(connection, brand_id, member_id), credits_table.c.coupon_id == coupon_id)
        .order_by(credits_table.c.expires_at.asc().nulls_last(), credits_table.c.credit_id)
        .limit(MOST_TRIED)
    )
    return list(connection.scalars(found))
