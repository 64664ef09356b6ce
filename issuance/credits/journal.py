"""The journal: movements of credits that their own columns do not say (INTERFACE 5)."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import Connection, insert
from uuid_utils.compat import uuid7

from issuance.database.tables import credit_movements
from issuance.deciding.movements import Movement


def note(connection: Connection, brand_id: UUID, moved: Iterable[tuple[UUID, Movement]]) -> None:
    """Journal movements of credits, in the transaction that changes them. Costs nothing where there are none."""
    rows = [
        {"brand_id": brand_id, "movement_id": uuid7(), "credit_id": credit_id, **movement._asdict()}
        for credit_id, movement in moved
    ]
    if rows:
        connection.execute(insert(credit_movements), rows)
