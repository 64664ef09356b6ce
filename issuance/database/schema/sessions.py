"""The session that schema work is done in: one connection, in autocommit, as the role that owns the tables."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Connection, NullPool

from issuance.addresses import libpq_url
from issuance.database.connections import ALL_BRANDS, ORDINARY_ROLE, engine_at, is_lent, is_same, obey_row_security
from issuance.database.statements import driver_of
from issuance.errors import RightMissing, SettingsError
from issuance.log import logger

#: Not a name that processes have: those who work on the schema are not counted among them.
APPLICATION_NAME = "issuance schema"

#: What names the user who works on the schema, as people are told.
SETTING = "DATABASE_URL (DATABASE_DIRECT_URL, where that is set)"

# Backfills and validations mean the rows of all brands. A statement whose client was killed ends with it.
_SETTINGS = {
    "timezone": "UTC",
    "issuance.brand_id": ALL_BRANDS,
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "client_connection_check_interval": "1s",
}

#: Seconds between two tries to get the turn, and between two lines in the log that it is waited for.
_ASK_AGAIN, _SAY_AGAIN = 0.2, 60.0
_ASK = "SELECT pg_try_advisory_lock(hashtext('issuance schema'))"
_IS_FREE = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = session_user"
_WHO = """
    SELECT format('%s (process %s%s, connected since %s)', coalesce(nullif(application_name, ''), 'somebody'), pid,
                  ' from ' || host(client_addr), to_char(backend_start, 'YYYY-MM-DD"T"HH24:MI:SSOF'))
      FROM pg_locks JOIN pg_stat_activity USING (pid)
     WHERE locktype = 'advisory' AND granted AND objsubid = 1
       AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND (classid::bigint << 32 | objid::bigint) = hashtext('issuance schema')
"""


@contextmanager
def session(url: str) -> Iterator[Connection]:
    """A connection to the database at `url` for work on its schema; `driver_of` has the driver's own.

    Raises SettingsError where a pooler answers, whose sessions are others' too, before anything is set or locked, and
    RightMissing with what its owner has to grant.
    """
    engine = engine_at(url, name=APPLICATION_NAME, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        driver = driver_of(connection)
        if is_lent(driver):
            raise SettingsError(
                "Work on the schema needs a session of its own, and here a pooler lends its own: "
                "set DATABASE_DIRECT_URL to the address of the same database past the pooler"
            )
        for name, value in _SETTINGS.items():
            driver.execute("SELECT set_config(%s, %s, false)", [name, value])
        obey_row_security(driver)
        try:
            yield connection
        except psycopg.errors.InsufficientPrivilege as error:
            said = error.diag.message_primary or ""
            raise RightMissing(f"{said}: {_what_is_missing(driver, said)}") from None


def _what_is_missing(driver: psycopg.Connection[Any], said: str) -> str:
    user, database = (sql.Identifier(one).as_string(driver) for one in (driver.info.user, driver.info.dbname))
    if driver.execute(_IS_FREE).fetchone() != (True,):
        # `schema diff` makes a schema of its own, to compare with.
        where = f"CREATE ON DATABASE {database}" if "for database" in said else "CREATE, USAGE ON SCHEMA public"
        return f"the user {user} of {SETTING} must own Issuance's tables, and may need: GRANT {where} TO {user}"
    return (
        f"Issuance's tables must belong to the role {ORDINARY_ROLE}, since row-level security does not bind {user}. "
        f"`issuance schema upgrade` hands them over; it may need: CREATE ROLE {ORDINARY_ROLE}; "
        f"GRANT {ORDINARY_ROLE} TO {user}"
    )


def leads_elsewhere(url: str, direct: str) -> bool:
    """Whether `direct` leads to another database than `url`. False where one of them does not answer: whoever goes on
    to work there is told of that."""
    try:
        with (
            psycopg.connect(libpq_url(url), connect_timeout=10) as one,
            psycopg.connect(libpq_url(direct), connect_timeout=10) as other,
        ):
            return not is_same(one, other)
    except psycopg.OperationalError:
        return False


def take_turn(driver: psycopg.Connection[Any]) -> None:
    """Wait until nobody else works on this database's schema, and log for whom; the turn ends with the session.

    Asked again and again: a statement that waits has a snapshot, for whose end a concurrent index waits in turn.
    """
    told = -math.inf
    while driver.execute(_ASK).fetchone() != (True,):
        if time.monotonic() - told >= _SAY_AGAIN:
            told = time.monotonic()
            holders = ", ".join(str(who) for (who,) in driver.execute(_WHO)) or "unknown"
            logger.warning("waits_for_others_work_on_the_schema", holder=holders)
        time.sleep(_ASK_AGAIN)
