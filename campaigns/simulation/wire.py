"""The way to PostgreSQL, made cheap: a history is some thousand small statements, and most of their time is the way.

Nothing here changes what a statement does. It is prepared once; and what nobody waits for (a transaction's BEGIN, which
brand it is shown, its savepoints, the COMMIT of one that only read) goes with the statement after it.
"""

from __future__ import annotations

import re
from collections import namedtuple
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from weakref import WeakSet

import psycopg
from psycopg._queries import PostgresQuery
from psycopg.adapt import Transformer
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGresult
from psycopg.rows import dict_row, tuple_row
from sqlalchemy import Connection

Rows = list[tuple[Any, ...]]
Description = list[tuple[Any, ...]] | None

_PROMISED = ("SAVEPOINT ", "RELEASE SAVEPOINT ")
_READS = re.compile(r"\s*SELECT\b(?!.*(\bFOR\b|advisory|set_config|nextval))", re.DOTALL)


_wires: WeakSet[Wire] = WeakSet()


def settle() -> None:
    """Ends what only read: its locks are held until then."""
    for wire in _wires:
        wire.settle()


def begin(connection: Connection, settings: Mapping[str, str]) -> None:
    """In place of `issuance.database.statements.begin`: what a transaction is shown goes with its first statement."""
    if not connection.in_transaction():
        connection.begin()
    wire = connection.connection.driver_connection
    assert isinstance(wire, Wire), "the engine makes no others"
    wire.show(settings)


class _Statement:
    """A statement as a connection knows it: its names by the types of its values, and what its rows are made of."""

    def __init__(self, wire: Wire, text: str) -> None:
        self.text = text
        self.names: dict[tuple[int, ...], bytes] = {}
        self.reads = _READS.match(text) is not None
        self._transformer = Transformer(wire.psycopg)
        self._query = PostgresQuery(self._transformer)
        self._loads: bytes | None = None
        self._description: Description = None

    def with_values(self, values: Mapping[str, Any] | Sequence[Any]) -> PostgresQuery:
        if self._query.query:
            self._query.dump(values)
        else:
            self._query.convert(self.text, values)
        return self._query

    def read(self, name: bytes, result: PGresult) -> tuple[Rows, Description, int]:
        """The rows of a result, what they are made of, and how many were found or changed."""
        if result.status != ExecStatus.TUPLES_OK:
            return [], None, -1 if result.command_tuples is None else result.command_tuples
        self._transformer.set_pgresult(result, set_loaders=self._loads != name)
        if self._loads != name:
            self._loads = name
            self._description = [
                ((result.fname(n) or b"").decode(), result.ftype(n), None, None, None, None, None)
                for n in range(result.nfields)
            ]
        return self._transformer.load_rows(0, result.ntuples, tuple), self._description, result.ntuples


class Wire:
    """A connection as DBAPI wants it. With `autocommit` each statement is a transaction."""

    def __init__(self, url: str, *, autocommit: bool = False, options: str = "") -> None:
        self.psycopg = psycopg.connect(url, autocommit=True, options=options)
        self.autocommit = autocommit
        self._pgconn = self.psycopg.pgconn
        self._pgconn.enter_pipeline_mode()
        self._statements: dict[str, _Statement] = {}
        self._promises: set[bytes] = set()
        self._count = 0
        #: What goes with the next statement, by name, with its values.
        self._ahead: list[tuple[bytes, list[bytes]]] = []
        #: Whether a transaction is under way, whether PostgreSQL knows, and whether it may have written or locked.
        self._open = self._begun = self._wrote = False
        _wires.add(self)
        for name in (b"BEGIN", b"COMMIT", b"ROLLBACK"):
            self._pgconn.send_prepare(name, name)
        self._pgconn.send_prepare(b"show", b"SELECT set_config($1, $2, true)")
        self._answers()

    # -- DBAPI

    def cursor(self, row_factory: object = None) -> Cursor:
        return Cursor(self) if row_factory is None else Shaped(self, row_factory)

    def commit(self) -> None:
        self._end(b"COMMIT", now=self._wrote)

    def rollback(self) -> None:
        self._end(b"ROLLBACK", now=True)

    def close(self) -> None:
        self.psycopg.close()

    @property
    def info(self) -> psycopg.ConnectionInfo:
        return self.psycopg.info

    @property
    def closed(self) -> bool:
        return self.psycopg.closed

    @property
    def broken(self) -> bool:
        return self.psycopg.broken

    def add_notice_handler(self, handler: object) -> None:
        """Nobody listens."""

    # -- what goes over it

    def execute(self, text: str, values: Mapping[str, Any] | Sequence[Any] | None = None) -> Cursor:
        cursor = Cursor(self)
        cursor.execute(text, values)
        return cursor

    def show(self, settings: Mapping[str, str]) -> None:
        """What a transaction is shown and in whose name it is."""
        self._begin()
        self._ahead += [(b"show", [name.encode(), value.encode()]) for name, value in settings.items()]

    def ask(self, text: str, values: Mapping[str, Any] | Sequence[Any] | None) -> tuple[Rows, Description, int]:
        """Rows, what they are made of, and how many were found or changed."""
        self._begin()
        if text.startswith(_PROMISED):
            self._ahead.append((self._promise(text), []))
            return [], None, -1
        statement = self._statements.get(text)
        if statement is None:
            statement = self._statements[text] = _Statement(self, text)
        self._wrote = self._wrote or not statement.reads
        return statement.read(*self._sent(statement, values))

    def _sent(self, statement: _Statement, values: Mapping[str, Any] | Sequence[Any] | None) -> tuple[bytes, PGresult]:
        """What a statement came to, and its name, under which it is prepared if it was not."""
        query = statement.with_values(values or {})
        types = tuple(query.types)
        name = statement.names.get(types)
        self._send_ahead()
        if name is None:
            self._count += 1
            name = b"s%d" % self._count
            self._pgconn.send_prepare(name, query.query, types)
        self._pgconn.send_query_prepared(name, query.params, query.formats)
        result = self._answers()
        statement.names[types] = name
        return name, result

    def _begin(self) -> None:
        if not self._open and not self.autocommit:
            self._ahead.append((b"BEGIN", []))
            self._open = True

    def settle(self) -> None:
        """Sends what waits for a statement to go with."""
        if self._ahead and not self.closed:
            self._send_ahead()
            self._answers()

    def _promise(self, text: str) -> bytes:
        name = text.encode()
        if name not in self._promises:
            self._pgconn.send_prepare(name, name)
            self._promises.add(name)
        return name

    def _end(self, how: bytes, *, now: bool) -> None:
        if self._begun:
            self._ahead.append((how, []))
            if now:
                self._send_ahead()
                self._answers()
        elif self._open:
            while self._ahead.pop()[0] != b"BEGIN":
                pass
        self._open = self._begun = self._wrote = False

    def _send_ahead(self) -> None:
        for name, values in self._ahead:
            self._pgconn.send_query_prepared(name, values)
        self._ahead.clear()
        self._begun = self._open

    def _answers(self) -> PGresult:
        """The last result of what was sent. Raises the first error."""
        self._pgconn.pipeline_sync()
        get = self._pgconn.get_result
        last = failed = None
        while True:
            result = get()
            if result is None:
                if self._pgconn.status != ConnStatus.OK:
                    raise psycopg.OperationalError("the connection is lost")
                continue
            status = result.status
            if status == ExecStatus.PIPELINE_SYNC:
                break
            if status == ExecStatus.FATAL_ERROR:
                failed = failed or result
            last = result
        if failed is not None:
            raise psycopg.errors.error_from_result(failed)
        assert last is not None, "something was sent"
        return last


class Cursor:
    """DBAPI's, with all its rows."""

    arraysize = 1

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._rows: Rows = []
        self._next = 0
        self.description: Description = None
        self.rowcount = -1

    def execute(self, text: str | bytes, values: Mapping[str, Any] | Sequence[Any] | None = None) -> Cursor:
        asked = text.decode() if isinstance(text, bytes) else text
        self._rows, self.description, self.rowcount = self._wire.ask(asked, values)
        self._next = 0
        return self

    def executemany(self, text: str, each: Sequence[Mapping[str, Any]]) -> None:
        self._rows, self.description = [], None
        self.rowcount = sum(self._wire.ask(text, values)[2] for values in each)

    def fetchone(self) -> tuple[Any, ...] | None:
        if self._next >= len(self._rows):
            return None
        self._next += 1
        return self._rows[self._next - 1]

    def fetchmany(self, size: int | None = None) -> Rows:
        rows = self._rows[self._next : self._next + (size or self.arraysize)]
        self._next += len(rows)
        return rows

    def fetchall(self) -> Rows:
        rows = self._rows[self._next :] if self._next else self._rows
        self._next = len(self._rows)
        return rows

    def close(self) -> None:
        self._rows = []


class Shaped(Cursor):
    """One whose rows are as psycopg's `row_factory` makes them."""

    def __init__(self, wire: Wire, row_factory: object) -> None:
        super().__init__(wire)
        self._row_factory = row_factory

    def fetchall(self) -> Any:
        names = tuple(column[0] for column in self.description or ())
        rows = super().fetchall()
        if self._row_factory is dict_row:
            return [dict(zip(names, row, strict=True)) for row in rows]
        return rows if self._row_factory is tuple_row else list(map(_named(names)._make, rows))


@cache
def _named(names: tuple[str, ...]) -> Any:
    return namedtuple("Row", names)
