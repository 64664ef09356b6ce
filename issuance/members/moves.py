"""The moves of a redemption from one status to the next, and giving back what it spent (SEMANTICS 11)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, case, null, select, text, update

from issuance import audit
from issuance.credits import credits, journal
from issuance.database.tables import credits as credits_table
from issuance.database.tables import redemptions as redemptions_table
from issuance.deciding.movements import End, movements
from issuance.engine import schedules
from issuance.engine.archivings import archived_since
from issuance.errors import InvalidTransition, NotFound
from issuance.members import redemptions, wallets
from issuance.members.redeeming import told
from issuance.members.redemptions import Status
from issuance.tenancy import clock
from issuance.webhooks import outbox

#: The moves there are. Staying is none and always allowed.
MOVES: Mapping[Status, frozenset[Status]] = {
    "SUBMITTED": frozenset({"OPEN", "CANCELED"}),
    "OPEN": frozenset({"AWAITING_VENDOR", "CANCELED"}),
    "AWAITING_VENDOR": frozenset({"AWAITING_CUSTOMER", "CANCELED"}),
    "AWAITING_CUSTOMER": frozenset({"AWAITING_VENDOR", "PURCHASED", "CANCELED"}),
    "PURCHASED": frozenset({"COMPLETED", "CANCELED"}),
    "COMPLETED": frozenset(),
    "CANCELED": frozenset(),
}

# Its holder or its membership's member was removed, be it that they came back since it was used up.
_LOST_WITH_A_MEMBER = text(f"""
    SELECT EXISTS (SELECT FROM credits c
                     JOIN memberships m USING (brand_id, membership_id)
                     LEFT JOIN transfers t USING (brand_id, transfer_id)
                     JOIN guests g ON g.brand_id = c.brand_id
                                  AND (g.membership_id, g.guest_id) = (coalesce(t.membership_id, c.membership_id),
                                                                       coalesce(t.guest_id, c.guest_id))
                     JOIN members p ON p.brand_id = c.brand_id
                                   AND p.member_id IN (m.member_id, coalesce(t.member_id, g.member_id))
                    WHERE c.brand_id = :brand_id AND c.credit_id = :credit_id
                      AND {archived_since("c.redeemed_at")})
""")


def move(
    connection: Connection, brand_id: UUID, redemption_id: UUID, status: Status
) -> tuple[dict[str, Any], list[UUID]]:
    """Move a redemption on: it, and the memberships to settle. Where it stands already, nothing happens.

    Canceling gives back what was spent: points by a ledger entry, a credit with its original expiry, on
    which its membership is settled again, as facts may have taken it back meanwhile.
    Raises NotFound, InvalidTransition.
    """
    columns = redemptions_table.c
    one = (columns.brand_id == brand_id, columns.redemption_id == redemption_id)
    row = connection.execute(
        select(columns.status, columns.credit_id, columns.points, columns.member_id).where(*one).with_for_update()
    ).one_or_none()
    if row is None:
        raise NotFound("There is no such redemption.")
    if row.status == status:
        return redemptions.get(connection, brand_id, redemption_id), []
    if status not in MOVES[row.status]:
        raise InvalidTransition(f"A redemption does not move from {row.status} to {status}.")
    now = clock.read(connection, brand_id).now
    connection.execute(update(redemptions_table).where(*one).values(status=status, updated_at=now))
    woken: list[UUID] = []
    if status == "CANCELED" and row.points is not None:
        wallets.refund(connection, brand_id, row.member_id, row.points, redemption_id)
    elif status == "CANCELED" and row.credit_id is not None:
        woken = [_give_back(connection, brand_id, row.credit_id, now)]
    redemption = redemptions.get(connection, brand_id, redemption_id)
    was, is_now = {"status": row.status}, {"status": status}
    audit.write(connection, brand_id, "redemption.updated", redemption_id, before=was, after=is_now)
    outbox.add(connection, brand_id, "redemption.updated", told(redemption), occurred_at=now)
    return redemption, woken


def _give_back(connection: Connection, brand_id: UUID, credit_id: UUID, now: datetime) -> UUID:
    """Undo one use of a credit; its membership. One that a member lost by being removed stays lost."""
    columns = credits_table.c
    one = (columns.brand_id == brand_id, columns.credit_id == credit_id)
    membership_id: UUID = connection.scalars(select(columns.membership_id).where(*one)).one()
    # The schedule before the credit: settling and archiving lock them in this order.
    schedules.wake(connection, brand_id, [membership_id], now)
    ends = (columns.redeemed_at, columns.expires_at)
    credit = connection.execute(select(*ends).where(*one).with_for_update(key_share=True)).one()
    is_lost = connection.scalar(_LOST_WITH_A_MEMBER, {"brand_id": brand_id, "credit_id": credit_id})
    left = columns.uses - 1
    connection.execute(
        update(credits_table)
        .where(*one)
        .values(uses=left, redeemed_at=null(), flagged_at=case((left == 0, null()), else_=columns.flagged_at))
    )
    if credit.redeemed_at is not None:
        late = credit.expires_at is not None and credit.expires_at <= now
        after = End("expired", credit.expires_at) if late else None
        moved = movements(End("redeemed", credit.redeemed_at), after, now)
        journal.note(connection, brand_id, ((credit_id, movement) for movement in moved))
    if is_lost:
        credits.revoke_archived(connection, brand_id, columns.credit_id == credit_id)
        credits.tell(connection, brand_id, "credit.updated", [credit_id], now)
    else:
        lives_again = credit.redeemed_at is not None
        credits.tell(connection, brand_id, "credit.restored" if lives_again else "credit.updated", [credit_id], now)
    return membership_id
