"""schema.sql and the live database: apply the one, compare the two.

The comparison builds schema.sql in a scratch schema that is rolled back, so that PostgreSQL itself
says what every column, constraint and index should look like.
"""

from pathlib import Path
from typing import cast

import psycopg
from sqlalchemy import Connection, Dialect, TextClause, text

from issuance.database.connections import engine_for
from issuance.database.tables import metadata
from issuance.errors import SchemaBehind

_SCRATCH = "issuance_wanted"

_CATALOG = text("""
    WITH tables AS (
        SELECT c.oid, c.relname, c.reloptions, c.relrowsecurity, c.relforcerowsecurity
          FROM pg_class c
         WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND c.relname = ANY (:names)
    )
    SELECT 'table ' || relname AS name, coalesce(array_to_string(reloptions, ', '), '') AS definition FROM tables
    UNION ALL
    SELECT 'column ' || relname || '.' || attname,
           format_type(atttypid, atttypmod)
           || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END
           || coalesce(' DEFAULT ' || pg_get_expr(adbin, adrelid), '')
      FROM tables
      JOIN pg_attribute ON attrelid = oid AND attnum > 0 AND NOT attisdropped
      LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    UNION ALL
    -- 'n': PostgreSQL 18 keeps NOT NULL here too; the columns say it already.
    SELECT 'constraint ' || conname || ' on ' || relname, pg_get_constraintdef(pg_constraint.oid)
      FROM tables JOIN pg_constraint ON conrelid = tables.oid AND contype <> 'n'
    UNION ALL
    SELECT 'index ' || indexes.relname || ' on ' || tables.relname,
           replace(pg_get_indexdef(indexrelid), ' ' || quote_ident(current_schema()) || '.', ' ')
      FROM tables JOIN pg_index ON indrelid = tables.oid JOIN pg_class indexes ON indexes.oid = indexrelid
    UNION ALL
    SELECT 'policy ' || polname || ' on ' || relname,
           concat_ws(' ', CASE WHEN relrowsecurity AND relforcerowsecurity THEN 'forced' ELSE 'not forced' END, polcmd,
                     polpermissive, polroles, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
      FROM tables JOIN pg_policy ON polrelid = tables.oid
""")

_COLUMNS = text("""
    SELECT c.relname || '.' || a.attname AS name,
           format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END AS definition
      FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND c.relname = ANY (:names)
""")

# Tables whose rows are not kept apart by brand.
_OPEN = text("""
    SELECT c.relname
      FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'brand_id' AND NOT a.attisdropped
     WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
       AND NOT (c.relrowsecurity AND c.relforcerowsecurity AND EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid))
     ORDER BY c.relname
""")


def apply(url: str) -> None:
    """Bring schema.sql to the database at `url`: all of it or nothing, one at a time, as often as you like."""
    engine = engine_for(url)
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('issuance schema apply'))"))
        _run_ddl(connection)
    engine.dispose()  # its connections may be older than the role that they should work as


def diff(url: str) -> list[str]:
    """What the database at `url` has otherwise than schema.sql, and schema.sql otherwise than `tables`; a line each."""
    with engine_for(url).connect() as connection:
        live = _read(connection, _CATALOG)
        # Nothing of this stays: the connection is given back without a commit.
        connection.execute(text("RESET ROLE"))
        connection.execute(text(f"CREATE SCHEMA {_SCRATCH}"))
        connection.execute(text(f"SET LOCAL search_path TO {_SCRATCH}"))
        _run_ddl(connection)
        wanted = _read(connection, _CATALOG)
        columns = _read(connection, _COLUMNS)
        declared = _declared(connection.dialect)
        connection.rollback()
    return [
        *_compare(live, wanted, "the database", "schema.sql"),
        *(f"column {line}" for line in _compare(declared, columns, "tables", "schema.sql")),
    ]


def is_current(connection: Connection) -> bool:
    """Whether the database has every column that this code knows, in its type, and keeps brands apart.

    Cheap enough to ask often.
    """
    live = _read(connection, _COLUMNS)
    has_all = all(live.get(name) == definition for name, definition in _declared(connection.dialect).items())
    return has_all and not open_tables(connection)


def open_tables(connection: Connection) -> list[str]:
    """The tables whose rows are not kept apart by brand; there should be none."""
    return list(connection.scalars(_OPEN))


def check(connection: Connection) -> None:
    """Raises SchemaBehind unless the schema is current."""
    if not is_current(connection):
        raise SchemaBehind


def _run_ddl(connection: Connection) -> None:
    # The driver itself: schema.sql is many statements, and none of its % is a placeholder.
    cast("psycopg.Connection", connection.connection.driver_connection).execute(_schema_sql().encode())


def _schema_sql() -> str:
    here = Path(__file__).parent
    for place in (here.parents[1] / "schema.sql", here.parent / "schema.sql"):  # a clone, an installed distribution
        if place.is_file():
            return place.read_text(encoding="utf-8")
    raise SchemaBehind("schema.sql is not beside the code: reinstall issuance.")


def _read(connection: Connection, statement: TextClause) -> dict[str, str]:
    rows = connection.execute(statement, {"names": list(metadata.tables)})
    return {row.name: row.definition for row in rows}


def _declared(dialect: Dialect) -> dict[str, str]:
    return {
        f"{table.name}.{column.name}": column.type.compile(dialect).lower() + ("" if column.nullable else " NOT NULL")
        for table in metadata.tables.values()
        for column in table.columns
    }


def _compare(is_: dict[str, str], should: dict[str, str], here: str, there: str) -> list[str]:
    lines = [f"{name}: {here} does not have it" for name in sorted(should.keys() - is_.keys())]
    lines += [f"{name}: {there} does not have it" for name in sorted(is_.keys() - should.keys())]
    lines += [
        f"{name}: {here} has ({is_[name]}), {there} has ({should[name]})"
        for name in sorted(is_.keys() & should.keys())
        if is_[name] != should[name]
    ]
    return lines
