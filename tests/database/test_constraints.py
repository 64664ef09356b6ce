"""What PostgreSQL itself refuses, whoever writes it: the last line, where the code above it was wrong."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError
from uuid_utils.compat import uuid7

from issuance.database.connections import transaction
from issuance.members import members, redemptions, wallets
from issuance.members.redemptions import Booking
from tests.database.test_credits import issue

__all__ = ["issue"]

_ENTRY = text("""
    INSERT INTO ledger_entries (brand_id, entry_id, member_id, type, amount, redemption_id, created_at)
    SELECT brand_id, :entry_id, member_id, :type, :amount, :redemption_id, now()
      FROM members WHERE brand_id = :brand_id AND external_user_id = 'ada'
""")


@pytest.fixture
def redemption_id(engine: Engine, brand_id: UUID) -> UUID:
    """Ada has spent 3 of her 10 points on it."""
    with transaction(engine, brand_id) as connection:
        members.ensure(connection, brand_id, ["ada"])
        wallets.credit(connection, brand_id, "ada", 10, None)
        made: UUID = redemptions.redeem_points(connection, brand_id, 3, "ada", Booking())["id"]
        return made


def enter(connection: Connection, brand_id: UUID, kind: str, amount: int, redemption_id: UUID | None = None) -> None:
    row = {"brand_id": brand_id, "entry_id": uuid7(), "type": kind, "amount": amount, "redemption_id": redemption_id}
    with connection.begin_nested():
        connection.execute(_ENTRY, row)


def test_a_wallet_does_not_go_below_zero(connection: Connection, brand_id: UUID, redemption_id: UUID) -> None:
    """An entry that takes more than there is can not be written."""
    with pytest.raises(IntegrityError, match="wallets_never_negative"):
        enter(connection, brand_id, "forfeit", -8)
    enter(connection, brand_id, "forfeit", -7)


def test_a_redemption_is_spent_once_and_refunded_once(
    connection: Connection, brand_id: UUID, redemption_id: UUID
) -> None:
    """A second refund or a second spending of one redemption can not be written."""
    with pytest.raises(IntegrityError, match="ledger_entries_once"):
        enter(connection, brand_id, "spend", -1, redemption_id)
    enter(connection, brand_id, "refund", 3, redemption_id)
    with pytest.raises(IntegrityError, match="ledger_entries_once"):
        enter(connection, brand_id, "refund", 1, redemption_id)


@pytest.mark.parametrize(
    "end", ["expired_at = now()", "revoked_at = now(), revoked_by = 'facts', revoked_reason = 'x'"]
)
def test_a_redeemed_credit_is_neither_expired_nor_revoked(
    connection: Connection, issue: Callable[..., Any], end: str
) -> None:
    """Redeemed is for good, until the redemption itself is canceled."""
    code = issue()
    connection.execute(text("UPDATE credits SET uses = 1, redeemed_at = valid_from WHERE code = :code"), {"code": code})
    with pytest.raises(IntegrityError, match="credits_redeemed_for_good"):
        connection.execute(text(f"UPDATE credits SET {end} WHERE code = :code"), {"code": code})


def test_a_single_use_credit_is_used_once(connection: Connection, issue: Callable[..., Any]) -> None:
    """Its uses do not count beyond one; those of a multi-use credit do, and it never becomes redeemed."""
    single, many = issue(), issue(multi_use=True)
    use = text("UPDATE credits SET uses = 2 WHERE code = :code")
    with pytest.raises(IntegrityError, match="credits_uses_counted"), connection.begin_nested():
        connection.execute(use, {"code": single})
    connection.execute(use, {"code": many})
    with pytest.raises(IntegrityError, match="credits_multi_use_never_redeemed"):
        connection.execute(text("UPDATE credits SET redeemed_at = now() WHERE code = :code"), {"code": many})
