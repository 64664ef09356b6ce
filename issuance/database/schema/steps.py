"""The vocabulary of migrations: what a part of one is made of, in plain SQL.

Every step can be killed at any moment and run again: it is recorded in the transaction that does it, or it looks at
what is there first.
"""

from dataclasses import dataclass
from typing import Protocol

from issuance.database.schema.execution import Execution

#: Rows a second, for estimates only: about half of what two cores and an SSD do.
_READ, _INDEXED, _WRITTEN = 1_000_000, 300_000, 15_000


class Step(Protocol):
    """One step. `what` says it to people in a few words."""

    @property
    def what(self) -> str: ...

    @property
    def statement(self) -> str:
        """Its SQL, as the linter reads it."""

    def run(self, execution: Execution) -> None:
        """Does what is missing of it."""

    def seconds(self, rows: dict[str, int]) -> float:
        """How long it is likely to take, by the rows of each table."""


@dataclass(frozen=True)
class Sql:
    """Statements that only look at the catalog, in one transaction: done at once, or not at all.

    Their locks are waited for in short turns, as those who come later queue behind them. `reads` names the table that
    they read or write as a whole, which only a migration with all processes stopped may do.
    """

    what: str
    statement: str
    reads: str | None = None

    def run(self, execution: Execution) -> None:
        execution.once(self.statement)

    def seconds(self, rows: dict[str, int]) -> float:
        return rows.get(self.reads or "", 0) / _WRITTEN


@dataclass(frozen=True)
class Index:
    """An index that is built while its table is written. `on` is what follows the table's name."""

    name: str
    table: str
    on: str
    unique: bool = False

    @property
    def what(self) -> str:
        return f"index {self.name}"

    @property
    def statement(self) -> str:
        kind = "UNIQUE INDEX" if self.unique else "INDEX"
        return f"CREATE {kind} CONCURRENTLY {self.name} ON {self.table} {self.on}"

    def run(self, execution: Execution) -> None:
        execution.build_index(self.name, self.statement)

    def seconds(self, rows: dict[str, int]) -> float:
        return rows.get(self.table, 0) / _INDEXED


@dataclass(frozen=True)
class DropIndex:
    """An index that goes while its table is used."""

    name: str

    @property
    def what(self) -> str:
        return f"drop index {self.name}"

    @property
    def statement(self) -> str:
        return f"DROP INDEX CONCURRENTLY IF EXISTS {self.name}"

    def run(self, execution: Execution) -> None:
        execution.drop_index(self.statement)

    def seconds(self, rows: dict[str, int]) -> float:  # noqa: ARG002 - it takes no time in any table
        return 0.0


@dataclass(frozen=True)
class Validate:
    """A constraint that was added NOT VALID is asked of the rows that were there, while they are written."""

    table: str
    constraint: str

    @property
    def what(self) -> str:
        return f"validate {self.constraint}"

    @property
    def statement(self) -> str:
        return f"ALTER TABLE {self.table} VALIDATE CONSTRAINT {self.constraint}"

    def run(self, execution: Execution) -> None:
        execution.once(self.statement)

    def seconds(self, rows: dict[str, int]) -> float:
        return rows.get(self.table, 0) / _READ


@dataclass(frozen=True)
class Backfill:
    """A statement over all rows of a table, batch by batch along its primary key.

    `{range}` in it stands for the condition that names the batch, on the table's own name. What is written meanwhile
    is the business of a default or a trigger that an earlier step made.
    """

    what: str
    table: str
    key: tuple[str, ...]
    statement: str

    def __post_init__(self) -> None:
        assert "{range}" in self.statement, "a backfill is done in ranges"

    def run(self, execution: Execution) -> None:
        execution.in_batches(self.table, self.key, self.statement)

    def seconds(self, rows: dict[str, int]) -> float:
        return rows.get(self.table, 0) / _WRITTEN


def kept_apart(table: str) -> Sql:
    """The row-level security that schema.sql gives to every table with a brand_id, for a new one."""
    own = (
        "brand_id = (SELECT nullif(nullif(current_setting('issuance.brand_id', true), ''), '*')::uuid) "
        "OR (SELECT current_setting('issuance.brand_id', true) = '*')"
    )
    return Sql(
        f"keep brands apart in {table}",
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;\n"
        f"CREATE POLICY of_one_brand ON {table} USING ({own}) WITH CHECK ({own})",
    )


def not_null(table: str, column: str) -> tuple[Step, ...]:
    """The steps that make a column NOT NULL whose rows are all filled, without reading the table under a lock."""
    there = f"{table}_{column}_there"
    return (
        Sql(
            f"{table}.{column} is there from now on",
            f"ALTER TABLE {table} ADD CONSTRAINT {there} CHECK ({column} IS NOT NULL) NOT VALID",
        ),
        Validate(table, there),
        Sql(
            f"{table}.{column} is NOT NULL",
            f"ALTER TABLE {table} ALTER {column} SET NOT NULL;\n"
            f"-- squawk-ignore ban-drop-constraint\nALTER TABLE {table} DROP CONSTRAINT {there}",
        ),
    )


class Steps:
    """The steps of one part of a migration: what Alembic calls as its `upgrade`."""

    def __init__(self, *steps: Step) -> None:
        self.steps = steps

    def __call__(self) -> None:
        from alembic import op  # slow to import, and few commands need it

        execution: Execution = op.get_context().config.attributes["execution"]  # type: ignore[union-attr]
        for number, step in enumerate(self.steps, start=1):
            if execution.begin(number, len(self.steps), step.what):
                step.run(execution)
                execution.finish()

    def statements(self) -> str:
        """All of it as SQL, as the linter reads it."""
        return "".join(f"{step.statement.replace('{range}', 'true').strip().rstrip(';')};\n" for step in self.steps)
