"""schema.sql, the one picture of the newest schema: found, and applied to a database."""

from pathlib import Path
from typing import Any

import psycopg

from issuance.database.revisions import AppliedMigrations, standing_of
from issuance.database.schema.history import History
from issuance.database.schema.sessions import session, take_turn
from issuance.database.statements import driver_of
from issuance.errors import SchemaBehind

#: What stands in schema.sql before the first table.
_BEGINS = "-- The schema itself --"
_HAS_TABLES = "SELECT to_regclass('brands') IS NOT NULL OR to_regclass('alembic_version') IS NOT NULL"


def picture() -> str:
    """schema.sql of this code."""
    here = Path(__file__).parent
    for place in (here.parents[2] / "schema.sql", here.parents[1] / "schema.sql"):  # a clone, an installed distribution
        if place.is_file():
            return place.read_text(encoding="utf-8")
    raise SchemaBehind("schema.sql is not beside the code: reinstall issuance.")


def apply(url: str) -> None:
    """Make the newest schema in an empty database, all of it or nothing, one at a time.

    In one that has it already, what may be replaced (functions, triggers, policies) is made anew, as often as you like.
    Raises SchemaBehind where there is an older one, and SchemaAhead where there is a newer one.
    """
    with session(url) as connection:
        driver = driver_of(connection)
        take_turn(driver)
        if has_tables(driver):
            hand_over(driver)
            _is_newest(standing_of(driver), History())
        make(driver, picture())


def make(driver: psycopg.Connection[Any], statements: str) -> None:
    """Runs the picture of the newest schema, which says in the database that it is that."""
    with driver.transaction():
        driver.execute(statements.encode())  # many statements, and none of their % is a placeholder


def hand_over(driver: psycopg.Connection[Any]) -> None:
    """Where the user is a superuser, or has BYPASSRLS: what they own becomes the ordinary role's, and the session works
    as that role. So schema.sql begins."""
    with driver.transaction():
        driver.execute(picture().partition(_BEGINS)[0].encode())


def has_tables(driver: psycopg.Connection[Any]) -> bool:
    """Whether the database has tables of Issuance, of whatever version."""
    return bool((driver.execute(_HAS_TABLES).fetchone() or [False])[0])


def _is_newest(standing: AppliedMigrations, history: History) -> None:
    standing.check(history.newest)
    if history.pending(standing):
        raise SchemaBehind("The upgrade of the database's schema is not done. Run: issuance schema upgrade")
