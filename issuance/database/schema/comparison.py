"""The live database beside schema.sql, and schema.sql beside the tables that the code declares.

What a schema should look like is said by PostgreSQL itself: it is built in a scratch schema that is rolled back.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import Dialect
from sqlalchemy.dialects import postgresql

from issuance.database.schema.normal import flat
from issuance.database.schema.picture import picture
from issuance.database.schema.sessions import session
from issuance.database.statements import driver_of
from issuance.database.tables import metadata

_SCRATCH = "issuance_wanted"
_CATALOG = (Path(__file__).parent / "catalog.sql").read_text(encoding="utf-8")
_COLUMNS = """
    SELECT c.relname || '.' || a.attname,
           format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
      FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND c.relname = ANY (%s)
"""


class Defined(NamedTuple):
    """How an object is defined, and whose it is, with what its owner grants to everybody."""

    definition: str
    owner: str


def diff(url: str, wanted: str | None = None) -> list[str]:
    """What the database at `url` has otherwise than `wanted`, schema.sql where none is named; and that otherwise than
    the tables of the code. A line each; the order of columns does not count."""
    with session(url) as connection:
        driver = driver_of(connection)
        live = _catalog(driver)
        with _built(driver, wanted or picture()):
            should = _catalog(driver)
            columns = dict(driver.execute(_COLUMNS, [list(metadata.tables)]).fetchall())
    lines = _compare(_all(live), _all(should), "the database", "schema.sql")
    if wanted is None:
        declared = _declared(postgresql.dialect())  # type: ignore[no-untyped-call]
        lines += [f"column {line}" for line in _compare(declared, columns, "tables", "schema.sql")]
    return lines


def missing_from(driver: psycopg.Connection[Any], wanted: str) -> list[str]:
    """What a database lacks, or has otherwise than `wanted`, a line each; what it has besides does not count."""
    live = {name: is_.definition for name, is_ in _catalog(driver).items()}
    with _built(driver, wanted):
        should = {name: is_.definition for name, is_ in _catalog(driver).items()}
    return _compare({name: live[name] for name in live.keys() & should.keys()}, should, "the database", "it")


@contextmanager
def _built(driver: psycopg.Connection[Any], wanted: str) -> Iterator[None]:
    """The current schema is one made by `wanted`, while it lasts; nothing of it stays, nor the role that it took."""
    with driver.transaction(force_rollback=True):
        driver.execute("RESET ROLE")
        driver.execute(f"CREATE SCHEMA {_SCRATCH}".encode())
        driver.execute(f"SET LOCAL search_path TO {_SCRATCH}".encode())
        driver.execute(wanted.encode())
        yield


def _catalog(driver: psycopg.Connection[Any]) -> dict[str, Defined]:
    return {
        name: Defined(definition if name.startswith("function ") else flat(definition), owner or "")
        for name, definition, owner in driver.execute(_CATALOG.encode())
    }


def _all(catalog: dict[str, Defined]) -> dict[str, str]:
    return {name: f"{is_.definition} of {is_.owner}" if is_.owner else is_.definition for name, is_ in catalog.items()}


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
