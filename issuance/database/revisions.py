"""Where the schema of a database stands, and whether this code can work with it.

Migrations are numbered from 1. Each has a part that runs *before* the new processes start, beside the old ones, and may
have one that runs *after* the old ones are gone. `alembic_version` holds one row for the last *before* and one for the
last *after* that were run. Code whose newest migration is n needs the *before* of n, and works until the *after* of a
newer migration begins: it can work with every schema where `after <= n <= before`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from issuance import __version__
from issuance.errors import SchemaAhead, SchemaBehind

MIGRATIONS = Path(__file__).parent / "schema" / "migrations"

# A part that has begun counts where it takes away (after), and does not where it gives (before).
_STANDING = """
    SELECT version_num FROM alembic_version
    UNION ALL
    SELECT revision FROM schema_steps WHERE starts_with(revision, 'after_')
"""
_HAS_TABLES = """
    SELECT to_regclass('alembic_version') IS NOT NULL, to_regclass('brands') IS NOT NULL,
           to_regclass('schema_steps') IS NOT NULL
"""


def number_of(revision: str) -> int:
    """The migration of a revision: 7 of `before_0007` and of `after_0007`."""
    return int(revision.rpartition("_")[2])


def newest_in(migrations: Path) -> int:
    """The newest migration in a folder of them."""
    return max(number_of(path.stem) for path in (migrations / "versions").glob("before_*.py"))


#: The newest migration of this code.
NEWEST = newest_in(MIGRATIONS)
#: What a process of this version calls itself at PostgreSQL: pg_stat_activity tells who can work with what.
APPLICATION_NAME = f"issuance {__version__} schema {NEWEST}"


@dataclass(frozen=True)
class AppliedMigrations:
    """The newest migrations whose parts a database has had."""

    before: int
    after: int

    @classmethod
    def of(cls, revisions: Iterable[str]) -> "AppliedMigrations":
        """The newest of each kind of part."""
        numbers: dict[str, int] = {}
        for revision in revisions:
            kind = revision.partition("_")[0]
            numbers[kind] = max(number_of(revision), numbers.get(kind, 0))
        return cls(before=numbers.get("before", 0), after=numbers.get("after", 0))

    def check(self, newest: int = NEWEST) -> None:
        """Raises SchemaBehind or SchemaAhead unless code whose newest migration is `newest` can work with it."""
        if newest > self.before:
            raise SchemaBehind(
                f"The database's schema is older than Issuance {__version__} can work with: it has migration "
                f"{self.before}, and {newest} is needed. Run: issuance schema upgrade"
            )
        self.check_not_ahead(newest)

    def check_not_ahead(self, newest: int = NEWEST) -> None:
        """Raises SchemaAhead if something is gone from it that code whose newest migration is `newest` needs."""
        if newest < self.after:
            raise SchemaAhead(
                f"The database's schema is newer than Issuance {__version__} can work with: what it needs is gone "
                f"since migration {self.after}. Start the version that upgraded it, or a later one"
            )


def standing_of(connection: psycopg.Connection[Any]) -> AppliedMigrations:
    """Where the schema of a database stands. Raises SchemaBehind where it says nothing of itself."""
    has_version, has_tables, has_steps = connection.execute(_HAS_TABLES).fetchone() or (False, False, False)
    if not has_version:
        raise SchemaBehind(
            f"The database's schema is older than Issuance {__version__} can work with: it is that of 0.1.0. "
            "Run: issuance schema upgrade"
            if has_tables
            else "The database has no tables yet. Run: issuance schema upgrade"
        )
    if not has_steps:
        raise SchemaBehind(
            "The database's alembic_version is another program's. Give Issuance a database of its own, and name it in "
            "DATABASE_URL"
        )
    return AppliedMigrations.of(revision for (revision,) in connection.execute(_STANDING))
