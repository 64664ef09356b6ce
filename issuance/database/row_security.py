"""Whether the live database keeps brands apart."""

from sqlalchemy import Connection, text

# Tables whose rows are not kept apart by brand.
_OPEN = text("""
    SELECT c.relname
      FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'brand_id' AND NOT a.attisdropped
     WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
       AND NOT (c.relrowsecurity AND c.relforcerowsecurity AND EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid))
     ORDER BY c.relname
""")


def open_tables(connection: Connection) -> list[str]:
    """The tables whose rows are not kept apart by brand; there should be none."""
    return list(connection.scalars(_OPEN))
