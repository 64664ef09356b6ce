"""Months: the parts of tables whose rows lie by the month in which their ids were made (schema.sql, decision 52)."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import LiteralString, NamedTuple
from uuid import UUID

from psycopg import errors, sql
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from issuance.database.connections import transaction
from issuance.database.statements import driver_of
from issuance.log import logger

#: The tables, those together whose rows go together: deliveries refer to events of their own month.
TOGETHER = (("audit_entries",), ("webhook_events", "deliveries"))
#: How many months there are beyond this one.
AHEAD = 2

# Whoever comes later waits behind who waits for a lock.
_BRIEFLY = text("SET LOCAL lock_timeout = '500ms'")
_MAKE = text("""
    SELECT make_month(:whole, CAST(date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC')
                                   + :ahead * interval '1 month' AS date))
""")
_DROP = text("SELECT drop_month(:month)")
_PARTS = text("""
    SELECT part, since, until, pg_total_relation_size(c.oid) AS bytes, greatest(c.reltuples, 0) AS rows
      FROM parts_of(CAST(:whole AS regclass)) JOIN pg_class c
        ON c.relname = part AND c.relnamespace = current_schema()::regnamespace
     ORDER BY until
""")


class Partition(NamedTuple):
    """A part of a table: the rows whose ids were made from the day `since` on, None: ever before; and before `until`.

    `ids` are the least id of it and of what follows it, to name its rows by in a statement on the whole table. `rows`
    is PostgreSQL's estimate.
    """

    name: str
    since: date | None
    until: date
    ids: tuple[UUID, UUID]
    bytes: int
    rows: int


def parts(connection: Connection, whole: str) -> list[Partition]:
    """The parts of a table in their order, without the one of ids that belong to no other."""
    found = connection.execute(_PARTS, {"whole": whole})
    return [
        Partition(
            one.part,
            None if one.since is None else _day(one.since),
            _day(one.until),
            (one.since or UUID(int=0), one.until),
            one.bytes,
            int(one.rows),
        )
        for one in found
    ]


def make_ahead(engine: Engine, ahead: int = AHEAD) -> None:
    """Have a part for this month and for those ahead, by PostgreSQL's clock.

    One whose locks are not to be had, or whose ids were seen before it was there, is left for the next time: what is
    written for it goes to `…_other`, and is found as any row is.
    """
    for tables in TOGETHER:
        for month in range(ahead + 1):
            try:
                with transaction(engine) as connection:
                    briefly(connection)
                    for whole in tables:
                        connection.execute(_MAKE, {"whole": whole, "ahead": month})
            except DBAPIError as error:
                if not is_busy(error) and not isinstance(error.orig, errors.CheckViolation):
                    raise
                logger.warning("month_not_made", table=tables[0], ahead=month, error=type(error.orig).__name__)


def briefly(connection: Connection) -> None:
    """From now on this transaction waits for no lock longer than half a second, as others would wait behind it."""
    connection.execute(_BRIEFLY)


def is_busy(error: DBAPIError) -> bool:
    """Whether a lock was not to be had in that time."""
    return isinstance(error.orig, errors.LockNotAvailable | errors.DeadlockDetected)


def lock(connection: Connection, wholes: Sequence[str]) -> None:
    """Let nobody begin anything on these tables, and nobody be in the middle of it, until this transaction ends."""
    for whole in wholes:
        run(connection, "LOCK TABLE ONLY {}", whole)


def drop(connection: Connection, month: str) -> None:
    """Drop a month of the outbox that is over, named as its parts are named behind their table's name."""
    connection.execute(_DROP, {"month": month})


def detach(connection: Connection, whole: str, name: str) -> None:
    """Make a part a table of its own. Nobody can write to `whole` from then on until this transaction ends."""
    run(connection, "ALTER TABLE {} DETACH PARTITION {}", whole, name)


def run(connection: Connection, statement: LiteralString, *names: str) -> None:
    """A statement about tables, which are named where `{}` stands."""
    told = sql.SQL(statement).format(*map(sql.Identifier, names))
    connection.exec_driver_sql(told.as_string(driver_of(connection)))


def _day(id: UUID) -> date:  # noqa: A002 - the word is `id`
    """The day in UTC on which a UUIDv7 was made, the last one there is if it is of none."""
    try:
        return datetime.fromtimestamp((id.int >> 80) / 1000, UTC).date()
    except (ValueError, OverflowError):
        return date.max
