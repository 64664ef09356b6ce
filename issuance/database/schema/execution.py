"""Runs the steps of migrations beside processes that work: short turns at locks, a record of what is done."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import errors, sql

from issuance import limits
from issuance.errors import UpgradeFailed

#: How long a statement waits for a lock: for so long those who come later wait behind it.
LOCK_TIMEOUT = "500ms"
#: Seconds between two looks at who may hold a lock, and how long all turns at it may take together.
LOOK, PATIENCE = 0.02, 600.0
#: A batch is as large as keeps its rows locked for about so many seconds, within bounds (`limits.Upgrades`).
BATCH_SECONDS = 0.15
#: What is tried again: the lock was not to be had, or somebody had to give way.
_BUSY = (errors.LockNotAvailable, errors.DeadlockDetected)

_RECORD = """
    INSERT INTO schema_steps (revision, step, what, position, rows, seconds, done_at)
    VALUES (%(revision)s, %(step)s, %(what)s, %(position)s, %(rows)s, %(seconds)s,
            CASE WHEN %(done)s THEN clock_timestamp() END)
    ON CONFLICT (revision, step) DO UPDATE
       SET position = excluded.position, rows = excluded.rows, seconds = excluded.seconds, done_at = excluded.done_at
"""
_DONE = "SELECT done_at IS NOT NULL, position, rows, seconds FROM schema_steps WHERE revision = %s AND step = %s"
_ROWS = "SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = to_regclass(%s)"
#: Whoever may hold what a turn waited for in vain: their transactions are older than the turn.
_IN_THE_WAY = """
    SELECT pid, xact_start FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start < clock_timestamp() - %s::interval
"""
_TYPES = "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = to_regclass(%s)"


@dataclass(frozen=True)
class Progress:
    """How far an upgrade is: `step` of `steps` of a revision, and `done` of about `total` rows where it counts them.

    `waiting`: it waits for a lock that somebody holds.
    """

    revision: str
    step: int
    steps: int
    what: str
    done: int = 0
    total: int | None = None
    waiting: bool = False


Listener = Callable[[Progress], None]


class Execution:
    """The steps of one revision, on a session in autocommit that holds the lock of upgrades."""

    def __init__(self, connection: psycopg.Connection[Any], revision: str, tell: Listener) -> None:
        self._connection = connection
        self._revision = revision
        self._tell = tell
        self._at = Progress(revision, 0, 0, "")
        self._position: list[str] | None = None
        self._rows = 0
        self._seconds = 0.0

    def begin(self, step: int, steps: int, what: str) -> bool:
        """Turn to a step; whether there is anything left of it to do."""
        self._at = Progress(self._revision, step, steps, what)
        done, self._position, self._rows, self._seconds = self._connection.execute(
            _DONE, [self._revision, step]
        ).fetchone() or (False, None, 0, 0.0)
        if not done:
            self._tell(self._at)
        return not done

    def finish(self) -> None:
        """The step is done; one that was done by `once` is recorded already."""
        self._record(done=True)

    def value(self, query: str, parameters: list[Any]) -> Any:
        """The one value that a query finds, None if there is none."""
        row = self._connection.execute(query.encode(), parameters).fetchone()
        return None if row is None else row[0]

    def once(self, statements: str) -> None:
        """Statements and the record of them, in one transaction."""

        def work() -> None:
            self._connection.execute(statements.encode())
            self._record(done=True)

        self._in_turns(work)

    def build_index(self, name: str, statement: str) -> None:
        """A concurrent index, built anew where a build was interrupted and left an invalid one."""

        def work() -> None:
            valid = self.value("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", [f'"{name}"'])
            if valid is False:
                self._connection.execute(f"DROP INDEX CONCURRENTLY {name}".encode())
            if not valid:
                self._connection.execute(statement.encode())

        self._at_leisure(work)

    def drop_index(self, statement: str) -> None:
        """A concurrent drop of an index."""
        self._at_leisure(lambda: self._connection.execute(statement.encode()))

    def _at_leisure(self, work: Callable[[], object]) -> None:
        """What can not be in a transaction and nobody waits behind: it waits for locks as long as it takes."""
        began = time.monotonic()
        while True:
            try:
                work()
                return
            except errors.DeadlockDetected as error:
                self._pause(began, limits.current.upgrades.first_pause, error)
            except psycopg.Error as error:
                raise self._failed(error) from error

    def in_batches(self, table: str, key: tuple[str, ...], statement: str) -> None:
        """A statement over ranges of a table's key, each with the record of how far it is in one transaction."""
        types = dict(self._connection.execute(_TYPES, [table]).fetchall())
        total: int = self.value(_ROWS, [table]) or 0
        bounds = limits.current.upgrades
        size = bounds.first_batch
        while True:
            last = self._last_of_batch(table, key, types, size)
            named = _range(table, key, types, self._position, last).as_string(self._connection)
            took = self._batch(statement.replace("{range}", named), last, size)
            total = max(total, self._rows)  # which was an estimate
            self._tell(Progress(*_head(self._at), done=self._rows if last else total, total=total))
            if last is None:
                return
            size = int(size * min(2.0, BATCH_SECONDS / max(took, 1e-3)))
            size = min(bounds.most_batch, max(bounds.least_batch, size))

    def _batch(self, statement: str, last: list[str] | None, size: int) -> float:
        """One batch of `size` rows that ends with `last`, or of what is left; the seconds that it took."""
        began = time.monotonic()

        def work() -> None:
            done = self._connection.execute(statement.encode()).rowcount
            self._record(
                done=False,
                position=last or self._position,
                rows=self._rows + (size if last else max(0, done)),
                seconds=self._seconds + time.monotonic() - began,
            )

        self._in_turns(work)
        took = time.monotonic() - began
        self._position = last or self._position
        self._rows += size if last else 0
        self._seconds += took
        return took

    def _last_of_batch(self, table: str, key: tuple[str, ...], types: dict[str, str], size: int) -> list[str] | None:
        """The key that ends the next `size` rows; None: there are fewer, and what is left is the last batch."""
        query = sql.SQL("SELECT {texts} FROM {table} WHERE {range} ORDER BY {key} OFFSET {before} LIMIT 1").format(
            texts=sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(table, column)) for column in key),
            table=sql.Identifier(table),
            range=_range(table, key, types, self._position, None),
            key=sql.SQL(", ").join(sql.Identifier(table, column) for column in key),
            before=sql.Literal(size - 1),
        )
        row = self._connection.execute(query).fetchone()
        return None if row is None else list(row)

    def _in_turns(self, work: Callable[[], None]) -> None:
        """A transaction whose locks are waited for in short turns."""
        bounds = limits.current.upgrades
        began, pause = time.monotonic(), bounds.first_pause
        while True:
            try:
                with self._connection.transaction():
                    self._connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'".encode())
                    work()
                return
            except _BUSY as error:
                self._tell(Progress(*_head(self._at), done=self._rows, waiting=True))
                self._pause(began, pause, error)
                pause = min(bounds.last_pause, pause * 2)
            except psycopg.Error as error:
                raise self._failed(error) from error

    def _pause(self, began: float, seconds: float, error: psycopg.Error) -> None:
        """Wait for the next turn: it comes at once where somebody ends who was in the way, since those who work without
        a rest leave a gap of some milliseconds."""
        paused = time.monotonic()
        if paused - began > PATIENCE:
            raise self._failed(error) from error
        in_the_way = self._in_the_way()
        while time.monotonic() < paused + seconds and in_the_way <= self._in_the_way():
            time.sleep(LOOK)

    def _in_the_way(self) -> set[Any]:
        return set(self._connection.execute(_IN_THE_WAY, [LOCK_TIMEOUT]).fetchall())

    def _record(self, *, done: bool, **progress: Any) -> None:
        record = {
            "revision": self._revision,
            "step": self._at.step,
            "what": self._at.what,
            "position": self._position,
            "rows": self._rows,
            "seconds": self._seconds,
            "done": done,
        }
        self._connection.execute(_RECORD, record | progress)

    def _failed(self, error: psycopg.Error) -> UpgradeFailed:
        words = str(error).strip().partition("\n")[0]
        return UpgradeFailed(
            f"{self._revision}, step {self._at.step} ({self._at.what}): {words}. What was done before it stays done: "
            "run it again to go on"
        )


def _head(at: Progress) -> tuple[str, int, int, str]:
    return at.revision, at.step, at.steps, at.what


def _range(
    table: str, key: tuple[str, ...], types: dict[str, str], after: list[str] | None, until: list[str] | None
) -> sql.Composable:
    columns = sql.SQL(", ").join(sql.Identifier(table, column) for column in key)

    def values(given: list[str]) -> sql.Composed:
        return sql.SQL(", ").join(
            sql.SQL("{}::{}").format(sql.Literal(value), sql.SQL(types[column]))
            for column, value in zip(key, given, strict=True)
        )

    bounds = [
        sql.SQL("({}) {} ({})").format(columns, sql.SQL(sign), values(given))
        for sign, given in ((">", after), ("<=", until))
        if given is not None
    ]
    return sql.SQL(" AND ").join(bounds) if bounds else sql.SQL("true")
