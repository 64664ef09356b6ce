"""Who holds a credit: the guest who is entitled to it, or whoever it was last transferred to (SEMANTICS 15)."""

from typing import Any

from sqlalchemy import ColumnElement, and_, any_, case, func, select, union_all

from issuance.database.tables import credits, guests, transfers

#: Joins guests to credits: who is entitled to one.
ENTITLED = and_(
    guests.c.brand_id == credits.c.brand_id,
    guests.c.membership_id == credits.c.membership_id,
    guests.c.guest_id == credits.c.guest_id,
)
#: Joins the last transfer of a credit, if there was one: by both ids, as either may be the one that is looked for,
LAST_TRANSFER = and_(
    transfers.c.brand_id == credits.c.brand_id,
    transfers.c.transfer_id == credits.c.transfer_id,
    transfers.c.credit_id == credits.c.credit_id,
)
#: and to that the guest to whom it went, if it was one.
receivers = guests.alias("receivers")
TO_GUEST = and_(
    receivers.c.brand_id == transfers.c.brand_id,
    receivers.c.membership_id == transfers.c.membership_id,
    receivers.c.guest_id == transfers.c.guest_id,
)
#: The member to whom a transfer went; NULL: a guest who is none. No COALESCE, as it is joined by (`fragments.either`).
RECEIVER = case((transfers.c.member_id.is_not(None), transfers.c.member_id), else_=receivers.c.member_id)

#: The ids of the credits that a member ever received, as a part of a statement: two ways, each by an index.
RECEIVED = """
    SELECT credit_id FROM transfers WHERE brand_id = :brand_id AND member_id = :member_id
     UNION
    SELECT t.credit_id FROM guests g JOIN transfers t USING (brand_id, membership_id, guest_id)
     WHERE g.brand_id = :brand_id AND g.member_id = :member_id
"""

#: The member who holds a credit, in a statement about credits; NULL: a guest who is none.
HOLDING_MEMBER = case(
    (
        credits.c.transfer_id.is_(None),
        select(guests.c.member_id).where(ENTITLED).correlate(credits).scalar_subquery(),
    ),
    else_=select(RECEIVER)
    .select_from(transfers.outerjoin(receivers, TO_GUEST))
    .where(LAST_TRANSFER)
    .correlate(credits)
    .scalar_subquery(),
)


def held_by(brand_id: Any, member_id: Any) -> ColumnElement[bool]:
    """Whether a member holds a credit, in a statement about credits.

    Theirs are found first, by index, whatever else the statement asks.
    """
    entitled = (
        select(credits.c.credit_id)
        .join(guests, ENTITLED)
        .where(credits.c.brand_id == brand_id, guests.c.member_id == member_id, credits.c.transfer_id.is_(None))
    )
    received = (
        select(credits.c.credit_id)
        .join(transfers, LAST_TRANSFER)
        .where(transfers.c.brand_id == brand_id, transfers.c.member_id == member_id)
    )
    received_as_guest = (
        select(credits.c.credit_id)
        .join(transfers, LAST_TRANSFER)
        .join(receivers, TO_GUEST)
        .where(receivers.c.brand_id == brand_id, receivers.c.member_id == member_id)
    )
    ways = (way.correlate(None) for way in (entitled, received, received_as_guest))
    return credits.c.credit_id == any_(func.array(union_all(*ways).scalar_subquery()))


def held_by_guest(brand_id: Any, guest_id: Any) -> ColumnElement[bool]:
    """Whether a guest of an order holds a credit, in a statement about credits.

    The orders that they are a guest of are found first, among guests, and the credits of these by index.
    """
    orders = select(guests.c.membership_id).where(guests.c.brand_id == brand_id, guests.c.guest_id == guest_id)
    theirs = any_(func.array(orders.correlate(None).scalar_subquery()))
    entitled = select(credits.c.credit_id).where(
        credits.c.brand_id == brand_id,
        credits.c.membership_id == theirs,
        credits.c.guest_id == guest_id,
        credits.c.transfer_id.is_(None),
    )
    received = (
        select(credits.c.credit_id)
        .join(transfers, LAST_TRANSFER)
        .where(transfers.c.brand_id == brand_id, transfers.c.membership_id == theirs, transfers.c.guest_id == guest_id)
    )
    ways = (way.correlate(None) for way in (entitled, received))
    return credits.c.credit_id == any_(func.array(union_all(*ways).scalar_subquery()))
