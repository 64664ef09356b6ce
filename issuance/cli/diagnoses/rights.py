"""Whether the processes may use what is Issuance's: tables, sequences and functions (docs/installing.md)."""

from collections.abc import Iterator

from psycopg.rows import dict_row

from issuance.cli.diagnoses.findings import Finding, Postgres
from issuance.database.connections import ORDINARY_ROLE
from issuance.database.tables import metadata

#: How many of the things on which rights are missing are named.
_NAMED = 5
# Of the role that processes work as. What only work on the schema writes they read alone.
_MISSING = """
    WITH working AS (
        SELECT CASE WHEN (rolsuper OR rolbypassrls) AND EXISTS (SELECT FROM pg_roles WHERE rolname = %(ordinary)s)
                    THEN %(ordinary)s ELSE current_user END AS who
          FROM pg_roles WHERE rolname = session_user)
    SELECT who, name, string_agg(needed, ', ' ORDER BY needed) AS needed
      FROM (SELECT who, relname AS name, needed FROM working, pg_class, unnest(%(rights)s::text[]) AS needed
             WHERE relnamespace = current_schema()::regnamespace
               AND (relname = ANY(%(tables)s) OR relname IN ('alembic_version', 'schema_steps') AND needed = 'SELECT')
               AND NOT has_table_privilege(who, pg_class.oid, needed)
            UNION ALL
            SELECT who, relname, 'USAGE' FROM working, pg_class
             WHERE relnamespace = current_schema()::regnamespace AND relkind = 'S'
               AND NOT has_sequence_privilege(who, pg_class.oid, 'USAGE')
            UNION ALL
            SELECT who, proname, 'EXECUTE' FROM working, pg_proc
             WHERE pronamespace = current_schema()::regnamespace AND proname IN ('make_month', 'drop_month')
               AND NOT has_function_privilege(who, pg_proc.oid, 'EXECUTE')
            UNION ALL
            SELECT who, 'the schema public', 'USAGE' FROM working WHERE current_schema() IS NULL) missing
     GROUP BY who, name ORDER BY name
"""


def of_rights(connection: Postgres) -> Iterator[Finding]:
    """Which rights the user of the processes lacks."""
    which = {"ordinary": ORDINARY_ROLE, "tables": list(metadata.tables)}
    which["rights"] = ["SELECT", "INSERT", "UPDATE", "DELETE"]
    missing = connection.cursor(row_factory=dict_row).execute(_MISSING.encode(), which).fetchall()
    if not missing:
        yield Finding("rights", "ok", "the processes may use all tables")
        return
    named = "; ".join(f"{one['needed']} on {one['name']}" for one in missing[:_NAMED])
    more = f"; and on {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    do = "give it, as the tables' owner: docs/installing.md, the database's user"
    yield Finding("rights", "wrong", f"the user {missing[0]['who']} of the processes lacks {named}{more}", do)
