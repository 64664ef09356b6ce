"""Copies of one membership: every row that belongs to it, again under other ids, by set-based SQL.

Which columns to change is read off the rows themselves, so that a column or table that the schema gains is copied too.
"""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from psycopg import Connection, sql
from psycopg.rows import dict_row

#: In the order in which their foreign keys allow it. A table that is not named here has nothing of a membership.
_TABLES = (
    "members",
    "memberships",
    "guests",
    "billing_events",
    "charges",
    "schedules",
    "membership_schedules",
    "credits",
)
#: The column that finds its rows, where it is not `membership_id`: by whose id it has.
_KEYS = {"members": ("external_user_id", "external_user_id"), "schedules": ("schedule_id", "membership_id")}
#: What is never the same in two rows, whatever it is in the row that is copied.
FRESH = {
    "credit_id": "uuidv7()",
    "event_id": "gen_random_uuid()::text",
    # 60 random bits as 16 digits.
    "code": "upper(substr(replace(gen_random_uuid()::text, '-', ''), 17))",
}
_COPIES = """
    CREATE TEMPORARY TABLE copies ON COMMIT DROP AS
    SELECT membership_id, gen_random_uuid() AS guest_id, 'member of ' || membership_id AS external_user_id
      FROM (SELECT gen_random_uuid() AS membership_id FROM generate_series(1, %s)) ids
"""


def copy_membership(
    connection: Connection[Any], membership_id: UUID, count: int, leave_out: Collection[str] = ()
) -> None:
    """`count` more memberships like the one that is there, each of a member and with guests of its own.

    Runs in the caller's transaction, which sees the brand's rows.
    """
    connection.execute(_COPIES, [count])
    for others in _tables_with_memberships(connection) - set(_TABLES):
        assert not _rows(connection, others, "membership_id", membership_id), f"{others} is copied too: name it here"
    member = _rows(connection, "memberships", "membership_id", membership_id)[0]["external_user_id"]
    guests = _rows(connection, "guests", "membership_id", membership_id)
    assert len(guests) == 1, "the membership that is copied has one guest"
    ids = {
        "membership_id": str(membership_id),
        "guest_id": str(guests[0]["guest_id"]),
        "external_user_id": str(member),
    }
    for table in _TABLES:
        key, its = _KEYS.get(table, ("membership_id", "membership_id"))
        rows = _rows(connection, table, key, ids[its])
        if rows and table not in leave_out:
            _copy(connection, table, rows, sql.SQL("{} = {}").format(sql.Identifier(key), sql.Literal(ids[its])), ids)


def _copy(
    connection: Connection[Any], table: str, rows: Sequence[dict[str, Any]], which: sql.Composable, ids: dict[str, str]
) -> None:
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


def _rows(connection: Connection[Any], table: str, key: str, value: object) -> list[dict[str, Any]]:
    """The rows of a table with all values as text; columns that PostgreSQL works out itself are left out."""
    statement = sql.SQL("SELECT {} FROM {} WHERE {} = %s").format(
        sql.SQL(", ").join(
            sql.SQL("{0}::text AS {0}").format(sql.Identifier(column)) for column in _columns(connection, table)
        ),
        sql.Identifier(table),
        sql.Identifier(key),
    )
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement, [value]).fetchall()


def _columns(connection: Connection[Any], table: str) -> list[str]:
    found = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
        " AND attgenerated = '' ORDER BY attnum",
        [table],
    )
    return [name for (name,) in found]


def _tables_with_memberships(connection: Connection[Any]) -> set[str]:
    found = connection.execute(
        "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'membership_id'"
        " WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT a.attisdropped"
        " AND NOT c.relispartition"
    )
    return {name for (name,) in found}
