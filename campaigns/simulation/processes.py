"""Programs of one process that die, fail and rest as they are told: one runs at a time, and the world says which."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, Select, TextClause, event
from sqlalchemy.exc import OperationalError

from campaigns.simulation.backends import engine_on

#: What PostgreSQL may say of a statement that did nothing wrong.
TROUBLES = (
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.LockNotAvailable,
    psycopg.errors.QueryCanceled,
    psycopg.errors.AdminShutdown,
)


class Died(BaseException):
    """The program ended here: kill -9."""


@dataclass(frozen=True)
class Fault:
    """What happens to a program. `at` counts the statements and commits that it comes to, from 1.

    `die`: it ends before that; `fail`: PostgreSQL refuses that; `unheard`: it ends after its `at`-th commit.
    """

    kind: str
    at: int

    def __str__(self) -> str:
        return f"{self.kind}@{self.at}"


class Process:
    """A program under way. It rests before its `rest`-th transaction, if that is told, until `go` is called."""

    def __init__(self, name: str, fault: Fault | None = None, rest: int = 0) -> None:
        self.name = name
        self.fault = fault
        self.rest = rest
        self.died = False
        self.done = False
        self.result: Any = None
        self.error: Exception | None = None
        self.on_commit: Callable[[], None] | None = None
        #: Whether the transaction under way has written anything that is of interest.
        self.wrote = False
        self._steps = self._commits = self._transactions = 0
        #: Its transactions under way: the guard reserves in one beside the one that issues.
        self._open = 0
        self._doomed = False
        # Locked: whoever waits is let go by a release, once.
        self._may_go, self._stopped = threading.Lock(), threading.Lock()
        self._may_go.acquire()
        self._stopped.acquire()
        self._thread: threading.Thread | None = None

    def start(self, program: Callable[[], Any]) -> None:
        """Run until it is done, dead or at rest."""
        if not self.rest:
            self._run(program)
            return
        self._thread = threading.Thread(target=self._in_thread, args=[program], daemon=True)
        self._thread.start()
        self._stopped.acquire()

    def go(self) -> None:
        """Run on, until it is done, dead or at rest again."""
        self._may_go.release()
        self._stopped.acquire()

    def pause(self) -> None:
        """Rest now; called by the program itself."""
        self._stopped.release()
        self._may_go.acquire()
        self.check()

    def _in_thread(self, program: Callable[[], Any]) -> None:
        self._run(program)
        self._stopped.release()

    def _run(self, program: Callable[[], Any]) -> None:
        try:
            self.result = program()
        except Died:
            self.died = True
        except Exception as error:
            self.error = error
        self.died = self.died or self._doomed
        self.done = True

    def kill(self) -> None:
        """It dies when it goes on."""
        self._doomed = True

    # -- what it comes to

    def check(self) -> None:
        """Nothing that a dead program does has an effect."""
        if self._doomed:
            raise Died

    def begins(self) -> None:
        self.check()
        self._open += 1
        if self._open > 1:  # it holds locks: resting now it would hold up everybody
            return
        self.wrote = False
        self._transactions += 1
        if self._transactions == self.rest:
            self.pause()

    def steps(self, connection: Connection) -> None:
        self.check()
        self._steps += 1
        if self.fault is None or self.fault.at != self._steps:
            return
        if self.fault.kind == "die":
            self._doomed = True
            raise Died
        if self.fault.kind == "fail":
            _abort(connection)
            trouble = TROUBLES[self._steps % len(TROUBLES)]
            raise OperationalError("injected", None, trouble(trouble.__name__))

    def ended(self) -> bool:
        """A transaction is over: whether it was the last one under way."""
        self._open = max(0, self._open - 1)
        return not self._open

    def committed(self) -> None:
        self._commits += 1
        if self.fault is not None and self.fault.kind == "unheard" and self.fault.at == self._commits:
            self._doomed = True


def _says_nothing(statement: object) -> bool:
    """Whether there is nothing to see for the mirror after it: it reads, or notes how far a run is as a whole."""
    if isinstance(statement, TextClause):
        return statement.text.lstrip().startswith(("SELECT", "UPDATE runs"))
    return isinstance(statement, Select)


def _abort(connection: Connection) -> None:
    """As after any error, the transaction takes no more statements."""
    try:
        connection.connection.cursor().execute("SELECT 1 / 0")
    except psycopg.errors.DivisionByZero:
        return


class Machine:
    """An engine on a database, and the process that uses it at the moment."""

    def __init__(self, url: str, on_commit: Callable[[Process], None]) -> None:
        self.current: Process | None = None
        self._on_commit = on_commit
        self.engine: Engine = engine_on(url)
        event.listen(self.engine, "begin", self._begin)
        event.listen(self.engine, "before_execute", self._execute)
        event.listen(self.engine, "commit", self._commit)
        event.listen(self.engine, "rollback", self._rollback)
        really = self.engine.dialect.do_commit

        def do_commit(connection: Any) -> None:
            really(connection)
            self._committed()

        self.engine.dialect.do_commit = do_commit  # type: ignore[method-assign, assignment]

    def _begin(self, _: Connection) -> None:
        if self.current is not None:
            self.current.begins()

    def _execute(self, connection: Connection, statement: object, *_: object) -> None:
        if self.current is not None:
            self.current.wrote = self.current.wrote or not _says_nothing(statement)
            self.current.steps(connection)

    def _commit(self, connection: Connection) -> None:
        if self.current is not None:
            try:
                self.current.steps(connection)
            except OperationalError:  # SQLAlchemy tells of no rollback after a commit that failed
                self.current.ended()
                raise

    def _rollback(self, _: Connection) -> None:
        if self.current is not None:
            self.current.ended()

    def _committed(self) -> None:
        process = self.current
        if process is not None:
            process.committed()
            if process.ended():
                self._on_commit(process)

    def start(self, process: Process, program: Callable[[], Any]) -> None:
        self._with(process, lambda: process.start(program))

    def go(self, process: Process) -> None:
        self._with(process, process.go)

    def _with(self, process: Process, run: Callable[[], None]) -> None:
        before, self.current = self.current, process
        try:
            run()
        finally:
            self.current = before
