"""Lists in pages: `page` counts from 1, `per_page` is at most 100 (INTERFACE 4)."""

from typing import Any

from sqlalchemy import Connection, Select, func, select

#: So far an OFFSET stays a number that PostgreSQL can hold; nobody reads on to here.
LAST_PAGE = 1_000_000
LONGEST_PAGE = 100

Rows = tuple[list[dict[str, Any]], int]


def rows_of(
    connection: Connection, statement: Select[Any], page: int, per_page: int, *, most: int | None = None
) -> Rows:
    """The rows of one page of an ordered statement, and how many there are in all: counted up to `most`, of more it is
    one more than that."""
    counted = statement.order_by(None).limit(None if most is None else most + 1)
    total = connection.execute(select(func.count()).select_from(counted.subquery())).scalar_one()
    return slice_of(connection, statement, page, per_page), total


def slice_of(connection: Connection, statement: Select[Any], page: int, per_page: int) -> list[dict[str, Any]]:
    """The rows of one page of an ordered statement."""
    rows = connection.execute(statement.limit(per_page).offset((page - 1) * per_page))
    return [dict(row) for row in rows.mappings()]
