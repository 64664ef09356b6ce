"""Members: the people as the brand knows them, by `externalUserID`."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, select, text

from issuance.tables import members

_ENSURE = text("""
    INSERT INTO members (brand_id, external_user_id)
    SELECT :brand_id, new.* FROM unnest(CAST(:external_user_id AS text[])) AS new
    ON CONFLICT ON CONSTRAINT members_pkey DO NOTHING
""")


def ensure(connection: Connection, brand_id: UUID, external_user_ids: Sequence[str]) -> None:
    """Make a record of each member that there is none of yet. An archived member stays archived."""
    connection.execute(_ENSURE, {"brand_id": brand_id, "external_user_id": sorted(set(external_user_ids))})


def display_names(connection: Connection, brand_id: UUID, external_user_ids: Sequence[str]) -> dict[str, str | None]:
    """What the members among `external_user_ids` are called, where they are known."""
    if not external_user_ids:
        return {}
    columns = members.c
    some = select(columns.external_user_id, columns.display_name).where(
        columns.brand_id == brand_id, columns.external_user_id.in_(external_user_ids)
    )
    return {row.external_user_id: row.display_name for row in connection.execute(some)}
