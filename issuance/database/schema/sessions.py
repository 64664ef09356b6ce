"""The session that schema work is done in: one connection, in autocommit, as the role that owns the tables."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Connection, NullPool

from issuance.database.connections import ALL_BRANDS, engine_at, obey_row_security
from issuance.database.statements import driver_of
from issuance.errors import RightMissing

#: Not a name that processes have: those who work on the schema are not counted among them.
APPLICATION_NAME = "issuance schema"

# Backfills and validations mean the rows of all brands. A statement whose client was killed ends with it.
_SETTINGS = {
    "timezone": "UTC",
    "issuance.brand_id": ALL_BRANDS,
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "client_connection_check_interval": "1s",
}


#: Seconds between two questions for the turn.
_ASK_AGAIN = 0.2


@contextmanager
def session(url: str) -> Iterator[Connection]:
    """A connection to the database at `url` for work on its schema; `driver_of` has the driver's own.

    Raises RightMissing, with what its owner has to grant.
    """
    engine = engine_at(url, name=APPLICATION_NAME, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        driver = driver_of(connection)
        for name, value in _SETTINGS.items():
            driver.execute("SELECT set_config(%s, %s, false)", [name, value])
        obey_row_security(driver)
        try:
            yield connection
        except psycopg.errors.InsufficientPrivilege as error:
            user = sql.Identifier(driver.info.user).as_string(driver)
            grant = f"GRANT CREATE, USAGE ON SCHEMA public TO {user}"
            must = f"the user {user} of DATABASE_URL must own Issuance's tables, and may need: {grant}"
            raise RightMissing(f"{error.diag.message_primary}: {must}") from None


def take_turn(driver: psycopg.Connection[Any]) -> None:
    """Wait until nobody else works on this database's schema; the turn ends with the session.

    Asked again and again: a statement that waits has a snapshot, for whose end a concurrent index waits in turn.
    """
    while driver.execute("SELECT pg_try_advisory_lock(hashtext('issuance schema'))").fetchone() != (True,):
        time.sleep(_ASK_AGAIN)
