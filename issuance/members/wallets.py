"""Wallets: a member's points. A wallet is the sum of an append-only ledger (SEMANTICS 12).

PostgreSQL adds an entry up in the statement that writes it (`enter_in_wallet` in schema.sql), and a
wallet's row is locked before: balance = received − spent = the sum of the ledger ≥ 0 at every commit.
"""

from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, and_, func, insert, select, text
from sqlalchemy.dialects import postgresql
from uuid_utils.compat import uuid7

from issuance import audit
from issuance.credits.credits import ARCHIVED
from issuance.database import cursors
from issuance.database.tables import brands, ledger_entries, wallets
from issuance.database.tables import members as members_table
from issuance.engine.archivings import archived_since
from issuance.errors import InsufficientPoints, Invalid, MemberNotFound
from issuance.members import members
from issuance.tenancy import clock
from issuance.webhooks import outbox

#: The most that a wallet may receive: beyond it a JSON number is not exact in every client.
MOST_POINTS = 2**53 - 1

EntryType = Literal["credit", "spend", "refund", "forfeit"]


# Whether a member who was archived after a redemption was made, and may be back, kept their points. Earlier versions
# did not note it: of those, who has points left kept them. The member's row tells of the last archiving only; the audit
# says whether one before it kept nothing.
_KEPT = text(f"""
    SELECT coalesce(p.balance_retained, p.archived_at IS NULL OR :has)
           AND NOT EXISTS (SELECT FROM audit_entries e
                            WHERE e.brand_id = :brand_id AND e.subject_id = CAST(p.member_id AS text)
                              AND e.action = 'member.archived' AND e.brand_time >= r.created_at
                              AND e.after @> CAST('{{"balance_retained": false}}' AS jsonb))
      FROM members p JOIN redemptions r USING (brand_id, member_id)
     WHERE brand_id = :brand_id AND r.redemption_id = :redemption_id
       AND {archived_since("r.created_at")}
""")


class _Totals(NamedTuple):
    received: int
    spent: int


def read(connection: Connection, brand_id: UUID, external_user_id: str) -> dict[str, Any]:
    """A member's wallet; one that has received nothing yet is empty. Raises MemberNotFound.

    `amount_received` is what was ever credited; `amount_spent` what was spent and forfeited, less refunds.
    """
    if "\x00" in external_user_id:
        raise MemberNotFound
    columns = members_table.c
    row = connection.execute(
        select(
            func.coalesce(wallets.c.received, 0).label("received"),
            func.coalesce(wallets.c.spent, 0).label("spent"),
            func.coalesce(wallets.c.revision, 1).label("revision"),
            brands.c.points_name,
            brands.c.points_symbol,
        )
        .select_from(members_table)
        .join(brands, brands.c.brand_id == columns.brand_id)
        .outerjoin(
            wallets,
            and_(wallets.c.brand_id == columns.brand_id, wallets.c.member_id == columns.member_id),
        )
        .where(
            columns.brand_id == brand_id,
            columns.external_user_id == external_user_id,
            columns.joined_at.is_not(None),
        )
    ).one_or_none()
    if row is None:
        raise MemberNotFound
    return {
        "balance": row.received - row.spent,
        "amount_received": row.received,
        "amount_spent": row.spent,
        "currency": {"name": row.points_name, "symbol": row.points_symbol},
        "revision": row.revision,
    }


def credit(
    connection: Connection, brand_id: UUID, external_user_id: str, amount: int, reason: str | None
) -> dict[str, Any]:
    """Give a member points, and return the wallet after it. Raises MemberNotFound, MemberArchived, Invalid."""
    member_id = members.lock(connection, brand_id, external_user_id)
    if _lock(connection, brand_id, member_id).received + amount > MOST_POINTS:
        wrong = f"a wallet receives at most {MOST_POINTS} points in all"
        raise Invalid(f"amount: {wrong}", fields={"amount": wrong})
    _enter(connection, brand_id, member_id, "credit", amount, reason=reason)
    audit.write(connection, brand_id, "wallet.credited", member_id, reason=reason, after={"amount": amount})
    wallet = read(connection, brand_id, external_user_id)
    told = {"externalUserID": external_user_id, "amount": amount, "reason": reason}
    told |= {name: wallet[name] for name in ("balance", "currency", "revision")}
    outbox.add(connection, brand_id, "wallet.credited", told)
    return wallet


def spend(connection: Connection, brand_id: UUID, member_id: UUID, points: int, redemption_id: UUID) -> None:
    """Take points for a redemption; the caller has locked the member. Raises InsufficientPoints."""
    wallet = _lock(connection, brand_id, member_id)
    if wallet.received - wallet.spent < points:
        raise InsufficientPoints(fields={"points": f"the wallet holds {wallet.received - wallet.spent}"})
    _enter(connection, brand_id, member_id, "spend", -points, redemption_id=redemption_id)


def refund(connection: Connection, brand_id: UUID, member_id: UUID, points: int, redemption_id: UUID) -> None:
    """Give back the points of a canceled redemption, to an archived member too. If the archiving let them retain no
    balance, the points are forfeited at once, even if the member is back (SEMANTICS 11)."""
    before = _lock(connection, brand_id, member_id)
    _enter(connection, brand_id, member_id, "refund", points, redemption_id=redemption_id)
    # After the wallet, which archiving holds until it is done.
    kept = connection.scalar(
        _KEPT, {"brand_id": brand_id, "redemption_id": redemption_id, "has": before.received > before.spent}
    )
    if kept is False:
        _enter(connection, brand_id, member_id, "forfeit", -points, reason=ARCHIVED)


def forfeit(connection: Connection, brand_id: UUID, member_id: UUID, reason: str) -> int:
    """Forfeit the whole balance, and return how much it was."""
    wallet = _lock(connection, brand_id, member_id)
    balance = wallet.received - wallet.spent
    if balance:
        _enter(connection, brand_id, member_id, "forfeit", -balance, reason=reason)
    return balance


def entries(
    connection: Connection, brand_id: UUID, external_user_id: str, limit: int, cursor: str | None
) -> cursors.Rows:
    """A page of a member's ledger, the newest first. What takes points away is negative. Raises MemberNotFound."""
    member_id = members.id_of(connection, brand_id, external_user_id)
    columns = ledger_entries.c
    found = select(
        columns.entry_id.label("id"),
        columns.amount,
        columns.type,
        columns.reason,
        columns.redemption_id,
        columns.created_at,
    ).where(columns.brand_id == brand_id, columns.member_id == member_id)
    return cursors.rows_of(connection, found, columns.created_at, columns.entry_id, limit, cursor)


def _lock(connection: Connection, brand_id: UUID, member_id: UUID) -> _Totals:
    columns = wallets.c
    found = (
        select(columns.received, columns.spent)
        .where(columns.brand_id == brand_id, columns.member_id == member_id)
        .with_for_update()
    )
    row = connection.execute(found).one_or_none()
    if row is None:
        ids = {"brand_id": brand_id, "member_id": member_id}
        connection.execute(postgresql.insert(wallets).values(ids).on_conflict_do_nothing(constraint="wallets_pkey"))
        row = connection.execute(found).one()
    return _Totals(row.received, row.spent)


def _enter(
    connection: Connection,
    brand_id: UUID,
    member_id: UUID,
    kind: EntryType,
    amount: int,
    *,
    reason: str | None = None,
    redemption_id: UUID | None = None,
) -> None:
    connection.execute(
        insert(ledger_entries).values(
            brand_id=brand_id,
            entry_id=uuid7(),
            member_id=member_id,
            type=kind,
            amount=amount,
            reason=reason,
            redemption_id=redemption_id,
            created_at=clock.read(connection, brand_id).now,
        )
    )
