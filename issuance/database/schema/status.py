"""Where the schema of a database stands, what is pending, and how long that is likely to take."""

from dataclasses import dataclass
from typing import Any

import psycopg

from issuance.database.revisions import AppliedMigrations, standing_of
from issuance.database.schema.history import History, Part
from issuance.database.schema.picture import has_tables
from issuance.database.schema.sessions import session
from issuance.database.schema.upgrades import done_in
from issuance.database.statements import driver_of

_ROWS = """
    SELECT relname, greatest(reltuples, 0)::bigint FROM pg_class
     WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
"""
_BEGUN = "SELECT step, done_at IS NOT NULL, rows, seconds FROM schema_steps WHERE revision = %s AND step > 0"


@dataclass(frozen=True)
class Pending:
    """A part that a database still has to be given: `done` of its steps are, the rest takes about so many seconds."""

    part: Part
    done: int
    seconds: float


@dataclass(frozen=True)
class Status:
    """`standing` is None where the database does not say: it is empty, or that of 0.1.0."""

    standing: AppliedMigrations | None
    empty: bool
    pending: list[Pending]

    @property
    def newest(self) -> bool:
        """Whether it is the newest schema, and says so."""
        return self.standing is not None and not self.pending


def check(url: str) -> None:
    """Raises SchemaBehind or SchemaAhead unless this code can work with the database at `url`."""
    with session(url) as connection:
        standing_of(driver_of(connection)).check()


def status(url: str, history: History | None = None) -> Status:
    """Where the database at `url` stands. The seconds are guesses from its tables' sizes, as last analyzed. Raises
    SchemaAhead where something is gone that this code needs."""
    history = history or History()
    with session(url) as connection:
        driver = driver_of(connection)
        if not has_tables(driver):
            return Status(None, empty=True, pending=[])
        says = driver.execute("SELECT to_regclass('alembic_version') IS NOT NULL").fetchone() == (True,)
        rows = dict(driver.execute(_ROWS).fetchall())
        standing = standing_of(driver) if says else None
        if standing is not None:
            standing.check_not_ahead(history.newest)
        done = done_in(driver) if says else AppliedMigrations(before=1, after=1)
        return Status(
            standing,
            empty=False,
            pending=[_pending(driver, part, rows, says=says) for part in history.pending(done)],
        )


def _pending(driver: psycopg.Connection[Any], part: Part, rows: dict[str, int], *, says: bool) -> Pending:
    begun = {step: rest for step, *rest in driver.execute(_BEGUN, [part.revision])} if says else {}
    seconds, finished = 0.0, 0
    for number, step in enumerate(part.steps.steps, start=1):
        done, rows_done, took = begun.get(number, (False, 0, 0.0))
        guess = step.seconds(rows)
        if done:
            finished += 1
        elif rows_done and took:  # its own pace is known by now
            seconds += guess * took / step.seconds(dict.fromkeys(rows, rows_done)) - took
        else:
            seconds += guess
    return Pending(part, finished, max(0.0, seconds))
