"""Law 10: no row of one brand is ever visible to, or changed by, another."""

from collections.abc import Iterator
from uuid import UUID

from sqlalchemy import Connection, text

from issuance import database
from issuance.database import row_security
from issuance.laws.law import MOST_OFFENDERS, Law, Offender

_BOUND = text(
    "SELECT current_user AS role, rolsuper OR rolbypassrls AS free FROM pg_roles WHERE rolname = current_user"
)
_OTHERS = text("SELECT brand_id AS sees FROM brands WHERE brand_id <> :brand_id LIMIT :most")


def ask(connection: Connection, brand_id: UUID) -> Iterator[list[Offender]]:
    """Tables whose rows are not kept apart, a role that is not bound by it, and brands that this one sees."""
    yield [{"wrong": "no forced row-level security", "table": table} for table in row_security.open_tables(connection)]
    bound = connection.execute(_BOUND).one()
    yield [{"wrong": "row-level security does not bind the role", "role": bound.role}] if bound.free else []
    database.show(connection, brand_id)
    others = connection.execute(_OTHERS, {"brand_id": brand_id, "most": MOST_OFFENDERS}).mappings()
    yield [{"wrong": "sees another brand", **row} for row in others]


LAW = Law(10, "apart", "No row of one brand is ever visible to, or changed by, another.", ask)
