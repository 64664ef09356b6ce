"""Law 2: every released occurrence has its credit, or a reason why not."""

from collections.abc import Iterator
from uuid import UUID

from sqlalchemy import Connection

from issuance.laws.law import Law, Offender
from issuance.laws.resettling import resettle


def find(connection: Connection, brand_id: UUID) -> Iterator[list[Offender]]:
    """Credits that settled memberships are owed and do not have. `issuance replay` would issue them."""
    for batch in resettle(connection, brand_id):
        yield [
            {
                "wrong": "owed and not issued",
                "membership_id": membership.membership_id,
                "credit_rule_id": new.key.credit_rule_id,
                "guest_id": new.key.guest_id,
                "period_start": new.key.period_start,
            }
            for membership, settlement in batch
            for new in settlement.issue
        ]


LAW = Law(2, "owed", "Every released occurrence has its credit, or a reason why not.", find)
