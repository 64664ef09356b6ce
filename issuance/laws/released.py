"""Law 3: no credit without a released occurrence or a manual run."""

from collections.abc import Iterator
from uuid import UUID

from sqlalchemy import Connection

from issuance.laws.law import Law, Offender
from issuance.laws.resettling import resettle


def find(connection: Connection, brand_id: UUID) -> Iterator[list[Offender]]:
    """Credits that can be used although nothing released them, or what did was taken back."""
    for batch in resettle(connection, brand_id):
        yield [
            {
                "wrong": f"live without a release ({why})",
                "membership_id": membership.membership_id,
                "credit_id": credit.credit_id,
                "credit_rule_id": credit.key.credit_rule_id,
                "guest_id": credit.key.guest_id,
                "period_start": credit.key.period_start,
            }
            for membership, settlement in batch
            for credit, becomes, why in settlement.change
            if why is not None and credit.revoked_at is None and becomes.revoked_at is not None
        ]


LAW = Law(3, "released", "No credit without a released occurrence or a manual run.", find)
