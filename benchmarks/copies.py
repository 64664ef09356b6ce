"""Copies of one membership: every row that belongs to it, again under other ids, by set-based SQL.

Which tables have such rows and which columns to change is read off the database itself, so that a column or table that
the schema gains is copied too, and a schema of another commit as well.
"""

from collections.abc import Collection, Sequence
from graphlib import TopologicalSorter
from typing import Any
from uuid import UUID

from psycopg import Connection, sql
from psycopg.rows import dict_row

#: What is never the same in two rows, whatever it is in the row that is copied.
FRESH = {
    "credit_id": "uuidv7()",
    # 60 random bits as 16 digits.
    "code": "upper(substr(replace(gen_random_uuid()::text, '-', ''), 17))",
}
#: What names a member in the tables of others, the first that there is.
_MEMBER = ("member_id", "external_user_id")
_COPIES = """
    CREATE TEMPORARY TABLE copies ON COMMIT DROP AS
    SELECT membership_id, gen_random_uuid() AS guest_id, gen_random_uuid() AS member_id,
           'member of ' || membership_id AS external_user_id
      FROM (SELECT gen_random_uuid() AS membership_id FROM generate_series(1, %s)) ids
"""
_UUIDS = """
    SELECT c.relname, array_agg(a.attname::text ORDER BY a.attname <> 'membership_id', a.attnum)
      FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
       AND a.atttypid = 'uuid'::regtype AND a.attname <> 'brand_id'
     GROUP BY c.relname
"""
_KEYS = """
    SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint
     WHERE contype = 'f' AND connamespace = current_schema()::regnamespace AND conrelid <> confrelid
"""


def copy_membership(
    connection: Connection[Any], membership_id: UUID, count: int, leave_out: Collection[str] = ()
) -> None:
    """`count` more memberships like the one that is there, each of a member and with guests of its own.

    Runs in the caller's transaction, which sees the brand's rows.
    """
    if count == 0:
        return
    connection.execute(_COPIES, [count])
    found = {table: rows_of(table, column, [membership_id]) for table, column in belongings(connection, membership_id)}
    (guest,) = _rows(connection, "guests", found["guests"])
    (member,) = _rows(connection, "members", found["members"])
    ids = {
        "membership_id": str(membership_id),
        "guest_id": str(guest["guest_id"]),
        **{column: str(member[column]) for column in _MEMBER if column in member},
    }
    for table, which in found.items():
        if table not in leave_out:
            _copy(connection, table, which, ids)
    # Nobody searches for copies: their words would be written beside what is measured.
    if connection.execute("SELECT to_regclass('search_backlog')").fetchone() != (None,):
        connection.execute("DELETE FROM search_backlog")


def belongings(connection: Connection[Any], membership_id: object) -> list[tuple[str, str]]:
    """The tables that have rows of a membership or are its member's, and the column by which they are found.

    In an order that the foreign keys allow.
    """
    found: dict[str, str] = {}
    for table, uuids in connection.execute(_UUIDS).fetchall():
        # Where a table names the membership it belongs to, that is what counts.
        for column in uuids[:1] if uuids[0] == "membership_id" else uuids:
            if _rows(connection, table, rows_of(table, column, [membership_id]), most=1):
                found.setdefault(table, column)
    found["members"] = next(column for column in _MEMBER if column in _columns(connection, "memberships"))
    order: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(found, ()))
    # Which guest a credit is of is checked by a trigger, not by a key.
    for table, needed in [("credits", "guests"), *connection.execute(_KEYS).fetchall()]:
        order.add(table, needed)
    return [(table, found[table]) for table in order.static_order() if table in found]


def rows_of(table: str, column: str, membership_ids: Sequence[object]) -> sql.Composable:
    """Which rows of one of the `belongings` are those memberships': a condition that begins with a column."""
    ids = sql.SQL("= ANY({}::uuid[])").format(sql.Literal([str(one) for one in membership_ids]))
    if table != "members":
        return sql.SQL("{} {}").format(sql.Identifier(column), ids)
    return sql.SQL("{0} IN (SELECT {0} FROM memberships WHERE membership_id {1})").format(sql.Identifier(column), ids)


def _copy(connection: Connection[Any], table: str, which: sql.Composable, ids: dict[str, str]) -> None:
    rows = _rows(connection, table, which)
    columns = list(rows[0])
    values = [_value(column, [row[column] for row in rows], ids) for column in columns]
    connection.execute(
        sql.SQL(
            "INSERT INTO {table} ({columns}) SELECT {values} FROM {table} t CROSS JOIN copies c WHERE t.{which}"
        ).format(
            table=sql.Identifier(table),
            columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
            values=sql.SQL(", ").join(values),
            which=which,
        )
    )


def _value(column: str, values: Sequence[str | None], ids: dict[str, str]) -> sql.Composable:
    """What a column's copy holds, by what the original holds: another id, a text with other ids in it, or the same."""
    if column in FRESH:
        return sql.SQL(FRESH[column])
    told = [value for value in values if value is not None]
    for name, own in ids.items():
        if told and all(value == own for value in told):
            return sql.SQL("c.{}").format(sql.Identifier(name))
    value: sql.Composable = sql.SQL("t.{}").format(sql.Identifier(column))
    if not any(own in text for own in ids.values() for text in told):
        return value
    replaced = sql.SQL("{}::text").format(value)
    for name, own in ids.items():
        replaced = sql.SQL("replace({}, {}, c.{}::text)").format(replaced, sql.Literal(own), sql.Identifier(name))
    return sql.SQL("({})::{}").format(replaced, sql.SQL("jsonb") if column == "data" else sql.SQL("text"))


def _rows(
    connection: Connection[Any], table: str, which: sql.Composable, most: int | None = None
) -> list[dict[str, Any]]:
    """The rows of a table with all values as text; columns that PostgreSQL works out itself are left out."""
    statement = sql.SQL("SELECT {} FROM {} WHERE {} LIMIT {}").format(
        sql.SQL(", ").join(
            sql.SQL("{0}::text AS {0}").format(sql.Identifier(column)) for column in _columns(connection, table)
        ),
        sql.Identifier(table),
        which,
        sql.Literal(most),
    )
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement).fetchall()


def _columns(connection: Connection[Any], table: str) -> list[str]:
    found = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
        " AND attgenerated = '' ORDER BY attnum",
        [table],
    )
    return [name for (name,) in found]
