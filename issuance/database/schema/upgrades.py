"""Upgrades: which parts of which migrations a database is given now, by whom it is used meanwhile, and where it stands.

What *before* parts give is given while processes of the version before work; what *after* parts take away is taken
when the last of them is gone.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any

import psycopg
from sqlalchemy import Connection

from issuance.database.revisions import AppliedMigrations, standing_of
from issuance.database.schema.comparison import missing_from
from issuance.database.schema.execution import Execution, Listener
from issuance.database.schema.history import History, Part
from issuance.database.schema.picture import hand_over, has_tables, make, picture
from issuance.database.schema.sessions import SETTING, session, take_turn
from issuance.database.statements import driver_of
from issuance.errors import SchemaUnknown, UpgradeRefused

# As schema.sql has them.
_BOOKKEEPING = """
    CREATE TABLE IF NOT EXISTS alembic_version (
        version_num varchar(32) NOT NULL,
        CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
    );
    CREATE TABLE IF NOT EXISTS schema_steps (
        revision text NOT NULL,
        step     integer NOT NULL,
        what     text NOT NULL,
        position text[],
        rows     bigint NOT NULL DEFAULT 0,
        seconds  double precision NOT NULL DEFAULT 0,
        done_at  timestamptz,
        PRIMARY KEY (revision, step)
    )
"""
_DONE = "SELECT version_num FROM alembic_version"
# Processes call themselves `issuance 0.2.0 schema 2`, those of 0.1.0 `issuance`.
_PROCESSES = """
    SELECT application_name, coalesce(substring(application_name from ' schema ([0-9]+)$')::integer, 1), count(*)
      FROM pg_stat_activity
     WHERE datname = current_database() AND application_name ~ '^issuance( .* schema [0-9]+)?$'
     GROUP BY application_name
     ORDER BY application_name
"""
_OWNERS = """
    SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class
     WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND relowner <> current_user::regrole
"""


class Until(Enum):
    """How far an upgrade goes: what is safe beside old processes, as far as can be now, or all of it."""

    BEFORE = "before"
    POSSIBLE = "possible"
    AFTER = "after"


@dataclass(frozen=True)
class Upgraded:
    """What an upgrade came to: the parts it ran, those that wait, and for whom they wait."""

    ran: list[Part]
    pending: list[Part]
    waits_for: str | None = None


def upgrade(
    url: str,
    until: Until = Until.POSSIBLE,
    tell: Listener = lambda _: None,
    *,
    history: History | None = None,
    newest: str | None = None,
) -> Upgraded:
    """Bring the database at `url` to this version, one upgrade at a time; another one is waited for.

    It may be stopped and killed at any moment: the next one goes on where it was. An empty database is given `newest`,
    schema.sql where none is named. Raises UpgradeRefused while those are connected that could not go on working, and
    UpgradeFailed where a step fails.
    """
    history = history or History()
    with session(url) as connection:
        driver = driver_of(connection)
        take_turn(driver)
        if not has_tables(driver):
            make(driver, newest or picture())
            return Upgraded(ran=[], pending=[])
        hand_over(driver)
        adopt(driver, history)
        standing_of(driver).check_not_ahead(history.newest)
        _must_own(driver)
        return _run(connection, history, until, tell)


def _run(connection: Connection, history: History, until: Until, tell: Listener) -> Upgraded:
    from alembic import command  # slow to import, and few commands need it

    driver = driver_of(connection)
    pending = history.pending(done_in(driver))
    # One that was killed when its part was done may have left these.
    driver.execute("DELETE FROM schema_steps WHERE revision <> ALL (%s)", [[part.revision for part in pending]])
    ran: list[Part] = []
    for part in pending:
        if part.takes_away and until is Until.BEFORE and part.release == history.parts[-1].release:
            break
        waits_for = _in_the_way(driver, part)
        if waits_for and part.takes_away and until is Until.POSSIBLE and part.release == history.parts[-1].release:
            return Upgraded(ran, pending[len(ran) :], waits_for)
        if waits_for:
            raise UpgradeRefused(f"{waits_for}. Stop them, then run it again")
        execution = Execution(driver, part.revision, tell)
        command.upgrade(history.config(connection=connection, execution=execution), part.revision)
        driver.execute("DELETE FROM schema_steps WHERE revision = %s", [part.revision])
        ran.append(part)
    return Upgraded(ran, pending[len(ran) :])


def done_in(driver: psycopg.Connection[Any]) -> AppliedMigrations:
    """The newest migrations whose parts were run to their end. The database must say where it stands."""
    return AppliedMigrations.of(revision for (revision,) in driver.execute(_DONE))


def adopt(driver: psycopg.Connection[Any], history: History) -> None:
    """Let a database say where it stands that 0.1.0 made, which did not. Raises SchemaUnknown if it is no such one."""
    if driver.execute("SELECT to_regclass('alembic_version')").fetchone() != (None,):
        return
    missing = missing_from(driver, history.base)
    if missing:
        raise SchemaUnknown(
            "The database does not say which version made its tables, and they are not those of 0.1.0: "
            f"{missing[0]}{f' (and {len(missing) - 1} more)' if len(missing) > 1 else ''}"
        )
    with driver.transaction():
        driver.execute(_BOOKKEEPING.encode())
        driver.execute("INSERT INTO alembic_version (version_num) VALUES ('before_0001'), ('after_0001')")


def _in_the_way(driver: psycopg.Connection[Any], part: Part) -> str | None:
    """Who is connected that could not work on while this part runs, in words; None: nobody.

    A part that takes away is written down as begun first: who connects from then on looks, and goes.
    """
    if part.takes_away:
        begun = "INSERT INTO schema_steps (revision, step, what) VALUES (%s, 0, 'begun') ON CONFLICT DO NOTHING"
        driver.execute(begun, [part.revision])
    elif part.beside:
        return None
    found = [
        f"{count} of {name.replace(' schema ', ' with schema ') if ' ' in name else f'{name} 0.1.0'}"
        for name, number, count in driver.execute(_PROCESSES)
        if number < part.number or not part.beside
    ]
    if not found:
        return None
    if part.takes_away:
        # Unless some of it was done already, by one that was killed: then it stays begun.
        driver.execute(
            "DELETE FROM schema_steps WHERE revision = %s AND NOT EXISTS (SELECT FROM schema_steps of_it "
            "WHERE of_it.revision = schema_steps.revision AND of_it.step > 0)",
            [part.revision],
        )
    return f"{part.revision} needs that older processes are gone; connected are {', '.join(found)}"


def _must_own(driver: psycopg.Connection[Any]) -> None:
    others = [owner for (owner,) in driver.execute(_OWNERS)]
    if others:
        raise UpgradeRefused(f"Tables belong to {', '.join(others)}: run it with a {SETTING} of that user")
