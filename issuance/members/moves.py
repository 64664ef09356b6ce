"""The moves of a redemption from one status to the next, and giving back what it spent (SEMANTICS 11)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select, update

from issuance import audit
from issuance.credits import credits, journal
from issuance.database.tables import credits as credits_table
from issuance.database.tables import redemptions as redemptions_table
from issuance.deciding.facts import Credit
from issuance.deciding.movements import end_of, movements
from issuance.deciding.settlement import Change, change_of
from issuance.deciding.validities import Ends
from issuance.engine import schedules, undos
from issuance.engine.facts import load
from issuance.engine.rules import RuleBook
from issuance.errors import InvalidTransition, NotFound
from issuance.members import redemptions, wallets
from issuance.members.lost import is_lost
from issuance.members.redeeming import told
from issuance.members.redemptions import Status
from issuance.tenancy import clock
from issuance.webhooks import outbox
from issuance.webhooks.outbox import EventType

#: The moves that there are. To stay is no move, and always allowed.
MOVES: Mapping[Status, frozenset[Status]] = {
    "SUBMITTED": frozenset({"OPEN", "CANCELED"}),
    "OPEN": frozenset({"AWAITING_VENDOR", "CANCELED"}),
    "AWAITING_VENDOR": frozenset({"AWAITING_CUSTOMER", "CANCELED"}),
    "AWAITING_CUSTOMER": frozenset({"AWAITING_VENDOR", "PURCHASED", "CANCELED"}),
    "PURCHASED": frozenset({"COMPLETED", "CANCELED"}),
    "COMPLETED": frozenset(),
    "CANCELED": frozenset(),
}

#: What giving a credit back may change of it.
_GIVEN_BACK = (*Ends._fields, "uses", "redeemed_at", "flagged_at", "revoked_at", "revoked_by")


def move(
    connection: Connection, brand_id: UUID, redemption_id: UUID, status: Status
) -> tuple[dict[str, Any], list[UUID]]:
    """Move a redemption to a status. Returns the redemption, and the memberships to settle. If it has the status
    already, nothing happens.

    Canceling gives back what was spent: points by a ledger entry, a credit with its original expiry, unless
    facts or an archiving would have taken it meanwhile (SEMANTICS 11).
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
    woken: list[UUID] = []
    if status == "CANCELED" and row.points is not None:
        wallets.refund(connection, brand_id, row.member_id, row.points, redemption_id)
    elif status == "CANCELED" and row.credit_id is not None:
        woken = [_give_back(connection, brand_id, row.credit_id)]
    # Not earlier: who books the offer again holds the credit, and would wait for the canceled redemption.
    now = clock.read(connection, brand_id).now
    connection.execute(update(redemptions_table).where(*one).values(status=status, updated_at=now))
    redemption = redemptions.get(connection, brand_id, redemption_id)
    was, is_now = {"status": row.status}, {"status": status}
    audit.write(connection, brand_id, "redemption.updated", redemption_id, before=was, after=is_now)
    outbox.add(connection, brand_id, "redemption.updated", told(redemption), occurred_at=now)
    return redemption, woken


def _give_back(connection: Connection, brand_id: UUID, credit_id: UUID) -> UUID:
    """Undo one use of a credit, which becomes what the facts make of it, and return its membership. A credit that a
    member lost by being removed stays lost."""
    columns = credits_table.c
    one = (columns.brand_id == brand_id, columns.credit_id == credit_id)
    membership_id: UUID = connection.scalars(select(columns.membership_id).where(*one)).one()
    # The schedule before the credit: settling and archiving lock them in this order.
    schedules.wake(connection, brand_id, [membership_id], clock.read(connection, brand_id).now)
    connection.execute(select(columns.credit_id).where(*one).with_for_update(key_share=True))
    time = clock.read(connection, brand_id)
    now = time.now
    (membership,) = load(connection, brand_id, time.zone, [membership_id])
    went = is_lost(connection, brand_id, time.zone, credit_id, membership)
    before = next(credit for credit in membership.credits if membership.credit_ids[credit.key] == credit_id)
    left = before.uses - 1
    given_back = replace(before, uses=left, redeemed_at=None, flagged_at=before.flagged_at if left else None)
    change = Change(given_back, given_back, None)
    if not went:
        rules = RuleBook(connection, brand_id, time.zone).of(membership.facts.types)
        change = change_of(membership.facts, membership.credits, given_back, rules, now)
    _write(connection, one, before, change)
    moved = movements(end_of(before, now), end_of(change.after, now), now)
    journal.note(connection, brand_id, ((credit_id, movement) for movement in moved))
    if went:
        credits.revoke_archived(connection, brand_id, columns.credit_id == credit_id)
    gone = went or undos.take_back(connection, brand_id, credit_id)
    told_as = _told_as(before, change.after)
    if gone and told_as == "credit.restored":
        told_as = "credit.updated"
    credits.tell(connection, brand_id, told_as, [credit_id], now)
    return membership_id


def _write(connection: Connection, one: tuple[Any, ...], before: Credit, change: Change) -> None:
    """Write what giving back changed. Settling marks a credit as expired, and tells it."""
    after, why = change.after, change.why
    values = {name: getattr(after, name) for name in _GIVEN_BACK}
    if (before.revoked_at is None) != (after.revoked_at is None):
        values["revoked_reason"] = None if after.revoked_at is None or why is None else why.value
    connection.execute(update(credits_table).where(*one).values(values))


def _told_as(before: Credit, after: Credit) -> EventType:
    if after.revoked_at is not None:
        return "credit.updated" if before.revoked_at is not None else "credit.revoked"
    return "credit.restored"
