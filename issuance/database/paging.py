"""Lists in pages: `page` counts from 1, `per_page` is at most 100 (INTERFACE 4).

Short lists are counted and read by OFFSET. Long ones, which may have millions of rows, are counted up to a bound, and
read on from the id of the last row that was seen: the ten-thousandth page costs what the first one does."""

from collections.abc import Generator
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, func, select

from issuance import limits

#: So far an OFFSET stays a number that PostgreSQL can hold; nobody reads on to here.
LAST_PAGE = 1_000_000
LONGEST_PAGE = 100

Rows = tuple[list[dict[str, Any]], int]


class Part(NamedTuple):
    """A page of a long list."""

    rows: list[dict[str, Any]]
    #: How many there are in all; None: more than are counted.
    total: int | None
    #: The last row of the page, after which the next one begins; None: there is no next one.
    last: UUID | None


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


def each_of(connection: Connection, statement: Select[Any]) -> Generator[dict[str, Any], None, None]:
    """All rows of an ordered statement, some at a time by a cursor, which goes over them once. It is closed before
    the transaction ends."""
    with connection.execute(statement, execution_options={"yield_per": limits.current.database.rows_at_once}) as found:
        for row in found.mappings():
            yield dict(row)


def part_of(
    connection: Connection,
    statement: Select[Any],
    place: tuple[ColumnElement[UUID], bool],
    page: int,
    per_page: int,
    after: UUID | None,
) -> Part:
    """One page of a long list in the order of an id that its rows show as `id`: the column, and whether the highest
    comes first. With `after`, whose row need not be there any more, it is the page that follows it, whatever `page`."""
    column, is_falling = place
    ordered = statement.order_by(None).order_by(column.desc() if is_falling else column)
    if after is None:
        ordered = ordered.offset((page - 1) * per_page)
    else:
        ordered = ordered.where(column < after if is_falling else column > after)
    rows = [dict(row) for row in connection.execute(ordered.limit(per_page + 1)).mappings()]
    counted = statement.order_by(None).limit(limits.current.database.counted + 1).subquery()
    return cut(rows, per_page, connection.execute(select(func.count()).select_from(counted)).scalar_one())


def cut(rows: list[dict[str, Any]], per_page: int, counted: int) -> Part:
    """The page whose rows, and one more where there is one, were read; `counted` goes one beyond the
    bound."""
    last: UUID | None = rows[per_page - 1]["id"] if len(rows) > per_page else None
    return Part(rows[:per_page], counted if counted <= limits.current.database.counted else None, last)
