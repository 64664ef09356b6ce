"""Lists by cursor, the newest first: `?limit=&cursor=` (INTERFACE 7).

A cursor names the last row that was seen, so that rows that come meanwhile move nothing.
"""

import base64
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, tuple_

from issuance.errors import Invalid

LONGEST_LIMIT = 100

#: The rows, and the cursor of the rest; None: there is none.
Rows = tuple[list[dict[str, Any]], str | None]


def rows_of(
    connection: Connection,
    statement: Select[Any],
    created_at: ColumnElement[datetime],
    row_id: ColumnElement[UUID],
    limit: int,
    cursor: str | None,
) -> Rows:
    """The rows of `statement` after `cursor`, the newest first. They carry `created_at` and `id`. Raises Invalid."""
    if cursor is not None:
        statement = statement.where(tuple_(created_at, row_id) < tuple_(*_read(cursor)))
    found = connection.execute(statement.order_by(created_at.desc(), row_id.desc()).limit(limit + 1)).mappings().all()
    rows = [dict(row) for row in found[:limit]]
    return rows, _cursor_of(rows[-1]) if len(found) > limit else None


def _cursor_of(row: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(f"{row['created_at'].isoformat()} {row['id']}".encode()).decode().rstrip("=")


def _read(cursor: str) -> tuple[datetime, UUID]:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        instant, _, row_id = base64.b64decode(padded, b"-_", validate=True).decode("ascii").partition(" ")
        created_at = datetime.fromisoformat(instant)
        if created_at.tzinfo is None:
            raise ValueError(instant)
        return created_at, UUID(row_id)
    except ValueError:
        raise Invalid("cursor: is not one of this list's", fields={"cursor": "is not one of this list's"}) from None
