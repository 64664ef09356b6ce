"""Members: the people as the brand knows them, by `externalUserID`."""

import json
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, text

_ENSURE = text("""
    INSERT INTO members (brand_id, external_user_id)
    SELECT :brand_id, new FROM json_array_elements_text(CAST(:external_user_ids AS json)) AS new
    ON CONFLICT ON CONSTRAINT members_pkey DO NOTHING
""")
_DISPLAY_NAMES = text("""
    SELECT external_user_id, display_name
      FROM members JOIN json_array_elements_text(CAST(:external_user_ids AS json)) AS named ON named = external_user_id
     WHERE brand_id = :brand_id
""")


def ensure(connection: Connection, brand_id: UUID, external_user_ids: Sequence[str]) -> None:
    """Make a record of each member that there is none of yet. An archived member stays archived."""
    connection.execute(_ENSURE, {"brand_id": brand_id, "external_user_ids": json.dumps(sorted(set(external_user_ids)))})


def display_names(connection: Connection, brand_id: UUID, external_user_ids: Sequence[str]) -> dict[str, str | None]:
    """What the members among `external_user_ids` are called, where they are known."""
    if not external_user_ids:
        return {}
    named = {"brand_id": brand_id, "external_user_ids": json.dumps(external_user_ids)}
    return {row.external_user_id: row.display_name for row in connection.execute(_DISPLAY_NAMES, named)}
