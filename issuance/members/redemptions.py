"""Redemptions: one use each of a credit, of points or of an offer (SEMANTICS 11)."""

from datetime import datetime
from typing import Any, Literal, get_args
from uuid import UUID

from sqlalchemy import Connection, and_, func, insert, or_, select
from sqlalchemy.exc import IntegrityError
from uuid_utils.compat import uuid7

from issuance import audit
from issuance.credits import credits
from issuance.database import cursors
from issuance.database.identities import member_id_of
from issuance.database.tables import credits as credits_table
from issuance.database.tables import members as members_table
from issuance.database.tables import redemptions, transfers
from issuance.errors import CreditUnknown, NotFound
from issuance.members import members, wallets
from issuance.members.redeeming import COLUMNS, of_double, told
from issuance.members.redeeming import Booking as Booking
from issuance.members.redeeming import redeem_credit as redeem_credit
from issuance.tenancy import clock
from issuance.webhooks import outbox

Status = Literal["SUBMITTED", "OPEN", "AWAITING_VENDOR", "AWAITING_CUSTOMER", "PURCHASED", "COMPLETED", "CANCELED"]
STATUSES: tuple[Status, ...] = get_args(Status)
#: The statuses in which a redemption ends.
CLOSED: tuple[Status, ...] = ("COMPLETED", "CANCELED")

_CREATE = insert(redemptions).returning(*COLUMNS)
_CREDIT = and_(credits_table.c.brand_id == redemptions.c.brand_id, credits_table.c.credit_id == redemptions.c.credit_id)
_MEMBER = and_(members_table.c.brand_id == redemptions.c.brand_id, members_table.c.member_id == redemptions.c.member_id)
# Whether a transfer came after the redemption. Either column may say so: a transfer by an earlier version read the
# clock before it waited for the redemption, and ids follow the clocks of hosts, which may differ.
_SINCE = or_(
    transfers.c.transferred_at > redemptions.c.created_at, transfers.c.transfer_id > redemptions.c.redemption_id
)
# The code that was redeemed, which the first transfer since keeps: only the new holder may see the new code.
_REDEEMED_CODE = func.coalesce(
    select(transfers.c.code)
    .where(
        credits_table.c.transfer_id.is_not(None),
        transfers.c.brand_id == redemptions.c.brand_id,
        transfers.c.credit_id == redemptions.c.credit_id,
        _SINCE,
    )
    .order_by(transfers.c.transferred_at, transfers.c.transfer_id)
    .limit(1)
    .scalar_subquery(),
    credits_table.c.code,
)
_SHOWN = (
    select(*COLUMNS, members_table.c.external_user_id, _REDEEMED_CODE.label("credit_code"))
    .outerjoin(members_table, _MEMBER)
    .outerjoin(credits_table, _CREDIT)
)


def redeem_credit_of(
    connection: Connection, brand_id: UUID, code: str, external_user_id: str | None, booking: Booking
) -> dict[str, Any]:
    """Redeem a credit that `external_user_id` holds (None: that anybody holds), and return the redemption.

    Raises CreditUnknown, or why the credit is not live.

    """
    check_holder(connection, brand_id, code, external_user_id)
    redeemed = redeem_credit(connection, brand_id, code, booking)
    return get(connection, brand_id, redeemed["redemption"]["id"])


def check_holder(connection: Connection, brand_id: UUID, code: str, external_user_id: str | None) -> None:
    """Raises CreditUnknown if the code is no credit's, or if somebody else than `external_user_id` holds it (None:
    anybody may)."""
    try:
        holder = credits.get(connection, brand_id, code)["holder"]["external_user_id"]
    except NotFound:
        raise _unknown() from None
    if external_user_id not in (None, holder):
        raise _unknown()


def redeem_points(
    connection: Connection, brand_id: UUID, points: int, external_user_id: str, booking: Booking
) -> dict[str, Any]:
    """Spend a member's points, and return the redemption.

    Raises MemberNotFound, MemberArchived, InsufficientPoints, RedemptionAlreadyExists.

    """
    redemption, member_id = _book(connection, brand_id, points, external_user_id, booking)
    wallets.spend(connection, brand_id, member_id, points, redemption["id"])
    return redemption


def redeem_for_nothing(
    connection: Connection, brand_id: UUID, external_user_id: str, booking: Booking
) -> dict[str, Any]:
    """Book the offer that `booking` names, which costs nothing, and return the redemption.

    Raises MemberNotFound, MemberArchived, RedemptionAlreadyExists.

    """
    redemption, _ = _book(connection, brand_id, None, external_user_id, booking)
    return redemption


def is_booked(connection: Connection, brand_id: UUID, code: str) -> bool:
    """Whether the credit with this code was booked as the offer that it is, by a redemption that is neither COMPLETED
    nor CANCELED. Other uses of the credit, at the till or by a former holder under another code, are no bookings of
    this offer."""
    open_one = select(redemptions.c.redemption_id).join(credits_table, _CREDIT)
    mine = (
        credits_table.c.brand_id == brand_id,
        credits_table.c.code == code,
        redemptions.c.offer_id == credits_table.c.code,
    )
    return connection.scalar(open_one.where(*mine, redemptions.c.status.not_in(CLOSED)).limit(1)) is not None


def get(
    connection: Connection, brand_id: UUID, redemption_id: UUID, *, external_user_id: str | None = None
) -> dict[str, Any]:
    """One redemption, of a member if one is named. Raises NotFound."""
    found = _SHOWN.where(redemptions.c.brand_id == brand_id, redemptions.c.redemption_id == redemption_id)
    if external_user_id is not None:
        found = found.where(redemptions.c.member_id == member_id_of(brand_id, external_user_id))
    row = connection.execute(found).mappings().one_or_none()
    if row is None:
        raise NotFound("There is no such redemption.")
    return dict(row)


def page(
    connection: Connection,
    brand_id: UUID,
    limit: int,
    cursor: str | None,
    *,
    external_user_id: str | None = None,
    status: Status | None = None,
) -> cursors.Rows:
    """A page of redemptions, the newest first."""
    found = _SHOWN.where(redemptions.c.brand_id == brand_id)
    if external_user_id is not None:
        found = found.where(redemptions.c.member_id == member_id_of(brand_id, external_user_id))
    if status is not None:
        found = found.where(redemptions.c.status == status)
    return cursors.rows_of(connection, found, redemptions.c.created_at, redemptions.c.redemption_id, limit, cursor)


def counts(connection: Connection, brand_id: UUID, external_user_id: str | None = None) -> dict[Status, int]:
    """How many redemptions stand at each status, of a member if one is named."""
    columns = redemptions.c
    found = (
        select(columns.status, func.count().label("number"))
        .where(columns.brand_id == brand_id)
        .group_by(columns.status)
    )
    if external_user_id is not None:
        found = found.where(columns.member_id == member_id_of(brand_id, external_user_id))
    known = {row.status: row.number for row in connection.execute(found)}
    return {status: known.get(status, 0) for status in STATUSES}


def _create(connection: Connection, brand_id: UUID, booking: Booking, now: datetime, **spent: object) -> dict[str, Any]:
    """Make a redemption, and return it as it is shown, without its credit and its member. Raises
    RedemptionAlreadyExists."""
    row = {
        "brand_id": brand_id,
        "redemption_id": uuid7(),
        "reference": booking.reference,
        "start_at": booking.start_at,
        "end_at": booking.end_at,
        "status": "SUBMITTED",
        "created_at": now,
        "updated_at": now,
        "offer_id": booking.offer_id,
        **spent,
    }
    try:
        made = connection.execute(_CREATE, row)
    except IntegrityError as error:
        raise of_double(error) from None
    return dict(made.mappings().one())


def _book(
    connection: Connection, brand_id: UUID, points: int | None, external_user_id: str, booking: Booking
) -> tuple[dict[str, Any], UUID]:
    """Make a redemption of a member that takes no credit, and tell webhooks. Returns it, and the member's id."""
    member_id = members.lock(connection, brand_id, external_user_id)
    now = clock.read(connection, brand_id).now
    spent = {"points": points, "member_id": member_id}
    made = _create(connection, brand_id, booking, now, **spent, offer=booking.offer or "")
    audit.write(connection, brand_id, "redemption.created", made["id"], after=spent)
    redemption = {**made, "external_user_id": external_user_id, "credit_code": None}
    outbox.add(connection, brand_id, "redemption.created", told(redemption), occurred_at=now)
    return redemption, member_id


def _unknown() -> CreditUnknown:
    return CreditUnknown(fields={"creditCode": "there is no such credit, or it is not this member's"})
