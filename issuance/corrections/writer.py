"""Corrections as they are written. What they write is locked, and was read since."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, insert, null, text, update
from uuid_utils.compat import uuid7

from issuance.corrections.granting import Granted
from issuance.corrections.receivers import Holder
from issuance.credits.codes import new_codes
from issuance.database.tables import credits, transfers
from issuance.deciding.facts import Credit
from issuance.deciding.validities import Ends
from issuance.engine.membership import Membership

_CORRECTED = (*Ends._fields, "extended_to", "extended_at", "revoked_at", "revoked_by", "expired_at", "flagged_at")
_NEW_CODE = text("""
    UPDATE credits SET code = :code, transfer_id = :transfer_id WHERE brand_id = :brand_id AND credit_id = :id
""")
_SAID = ("roll_over", "multi_use", "max_uses", "valid_from", "expires_at", "validity_ends_at", "issued_at", "manual")


def update_credit(
    connection: Connection,
    brand_id: UUID,
    credit_id: UUID,
    after: Credit,
    revoked_reason: str | None,
) -> None:
    """Write what a corrected credit became. `revoked_reason`: why it is revoked now, if it is."""
    values: dict[str, Any] = {name: getattr(after, name) for name in _CORRECTED}
    values["revoked_reason"] = revoked_reason
    values["revoked_actor"] = func.acting() if after.revoked_by == "operator" else null()
    one = (credits.c.brand_id == brand_id, credits.c.credit_id == credit_id)
    assert connection.execute(update(credits).where(*one).values(values)).rowcount == 1, "it is locked"


def insert_grant(connection: Connection, brand_id: UUID, membership: Membership, new: Granted) -> UUID:
    """Write a credit that a person gives; its id."""
    credit, credit_id = new.credit, uuid7()
    connection.execute(
        insert(credits).values(
            brand_id=brand_id,
            credit_id=credit_id,
            code=new_codes(1)[0],
            membership_id=membership.membership_id,
            guest_id=membership.guest_ids[credit.key.place],
            coupon_id=new.coupon_id,
            coupon_name=new.coupon_name,
            **{name: getattr(credit, name) for name in _SAID},
        )
    )
    return credit_id


def insert_transfer(
    connection: Connection, brand_id: UUID, shown: dict[str, Any], receiver: Holder, now: datetime
) -> str:
    """Write that a credit has another holder; its new code."""
    transfer_id, code = uuid7(), new_codes(1)[0]
    to_guest = receiver.guest_id is not None
    connection.execute(
        insert(transfers).values(
            brand_id=brand_id,
            transfer_id=transfer_id,
            credit_id=shown["id"],
            code=shown["code"],
            membership_id=receiver.membership_id if to_guest else None,
            guest_id=receiver.guest_id,
            member_id=None if to_guest else receiver.member_id,
            transferred_at=now,
        )
    )
    connection.execute(_NEW_CODE, {"brand_id": brand_id, "id": shown["id"], "code": code, "transfer_id": transfer_id})
    return code
