"""Offers: what a member can redeem now. Each is one of their live credits, and goes by its code."""

from uuid import UUID

from sqlalchemy import Connection, and_, select

from issuance.credits import credits  # noqa: A004 - the word is the domain's
from issuance.database import cursors
from issuance.database.tables import coupons, guests
from issuance.database.tables import credits as credits_table
from issuance.members import members
from issuance.tenancy import clock


def page(connection: Connection, brand_id: UUID, external_user_id: str, limit: int, cursor: str | None) -> cursors.Rows:
    """A page of a member's offers, the latest issued first. Raises MemberNotFound."""
    member_id = members.id_of(connection, brand_id, external_user_id)
    now = clock.read(connection, brand_id).now
    columns = credits_table.c
    found = (
        select(
            columns.credit_id.label("id"),
            columns.issued_at.label("created_at"),
            columns.code,
            columns.coupon_name.label("title"),
            coupons.c.description,
            coupons.c.discount_type,
            columns.expires_at,
        )
        .join(guests, credits.HOLDER)
        .join(coupons, and_(coupons.c.brand_id == columns.brand_id, coupons.c.coupon_id == columns.coupon_id))
        .where(
            columns.brand_id == brand_id,
            guests.c.member_id == member_id,
            credits.status_at(now) == "live",
        )
    )
    rows, following = cursors.rows_of(connection, found, columns.issued_at, columns.credit_id, limit, cursor)
    offers = [
        {
            "id": row["code"],
            "title": row["title"],
            "description": row["description"],
            "short_description": row["title"],
            "kind": "credit",
            "type": row["discount_type"],
            "points_price": None,
            "expires_at": row["expires_at"],
            "images": [],
        }
        for row in rows
    ]
    return offers, following
