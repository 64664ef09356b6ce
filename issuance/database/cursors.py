"""Lists by cursor, the newest first: `?limit=&cursor=` (INTERFACE 7).

A cursor names the last row that was seen, so that rows that come meanwhile move nothing.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, tuple_

from issuance.errors import Invalid

LONGEST_LIMIT = 100
#: Microseconds since 1970, and an id: whatever looks like a cursor is one.
PATTERN = "^[0-9]{1,17}-[0-9a-f]{32}$"

_CURSOR = re.compile(PATTERN.strip("^$"), re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

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
    microseconds = (row["created_at"] - _EPOCH) // timedelta.resolution
    return f"{microseconds}-{row['id'].hex}"


def _read(cursor: str) -> tuple[datetime, UUID]:
    if not _CURSOR.fullmatch(cursor):
        raise Invalid("cursor: is not one of this list's", fields={"cursor": "is not one of this list's"})
    microseconds, _, row_id = cursor.partition("-")
    return _EPOCH + timedelta(microseconds=int(microseconds)), UUID(row_id)
