"""Statements of every day: put together once, and given to psycopg as they are.

SQLAlchemy's way to execute a statement costs more than a short statement takes."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, cast

import psycopg
from psycopg import pq, sql
from psycopg.rows import BaseRowFactory, dict_row, namedtuple_row, tuple_row
from sqlalchemy import Connection, Executable, text
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler

Rows = list[dict[str, Any]]

_DIALECT = PGDialect_psycopg()  # type: ignore[no-untyped-call]
_PARAMETER = re.compile(r"%\((\w+)\)s")


class Row(Protocol):
    """A row whose columns are attributes."""

    def __getattr__(self, column: str) -> Any: ...
    def _asdict(self) -> dict[str, Any]: ...


class Statement:
    """A statement in psycopg's form, made of what SQLAlchemy's `text` takes or of one of its own. Its parameters are
    what psycopg understands by itself: ids, texts, numbers, instants, dates, and lists of these. Raises what SQLAlchemy
    raises for its statements."""

    __slots__ = ("_made", "_sql")

    def __init__(self, said: Executable | str) -> None:
        made = text(said) if isinstance(said, str) else said
        compiled = cast("SQLCompiler", made.compile(dialect=_DIALECT))  # type: ignore[attr-defined]
        # What it brings along itself is written into it; everything else is a parameter that its caller gives.
        own = {name: value for name, value in compiled.params.items() if not compiled.binds[name].required}
        self._made = made
        self._sql = _PARAMETER.sub(lambda found: _written(own, found), compiled.string).encode()

    def rows(self, connection: Connection, parameters: Mapping[str, object]) -> Rows:
        """Its rows, by name."""
        with self._run(connection, parameters, dict_row) as cursor:
            return cursor.fetchall()

    def found(self, connection: Connection, parameters: Mapping[str, object]) -> list[Row]:
        """Its rows, with their columns as attributes."""
        with self._run(connection, parameters, namedtuple_row) as cursor:
            return cast("list[Row]", cursor.fetchall())

    def tuples(self, connection: Connection, parameters: Mapping[str, object]) -> list[tuple[Any, ...]]:
        """Its rows, in the order of its columns."""
        with self._run(connection, parameters, tuple_row) as cursor:
            return cursor.fetchall()

    def column(self, connection: Connection, parameters: Mapping[str, object]) -> list[Any]:
        """The only column of its rows."""
        return [value for (value,) in self.tuples(connection, parameters)]

    def written(self, connection: Connection, parameters: Mapping[str, object]) -> int:
        """How many rows it wrote."""
        with self._run(connection, parameters, tuple_row) as cursor:
            return cursor.rowcount

    @contextmanager
    def _run(
        self, connection: Connection, parameters: Mapping[str, object], factory: BaseRowFactory[Any]
    ) -> Iterator[psycopg.Cursor[Any]]:
        driver = _joined(connection)
        for hear in connection.dispatch.before_execute:  # whoever listens for statements hears of these too
            hear(connection, self._made, (), parameters, {})
        with _sqlalchemys_errors(connection):
            yield driver.cursor(row_factory=factory).execute(self._sql, parameters)


def begin(connection: Connection, settings: Mapping[str, str]) -> None:
    """Begin a transaction that has settings of its own, in one round trip. Where one has begun, it has them from now
    on."""
    driver = _joined(connection)
    with _sqlalchemys_errors(connection):
        if driver.isolation_level is not None or driver.read_only is not None:
            driver.execute("SELECT")  # psycopg knows how this one begins
        link = driver.pgconn
        quoted = pq.Escaping(link).escape_literal
        calls = [b"set_config(%s, %s, true)" % (quoted(k.encode()), quoted(v.encode())) for k, v in settings.items()]
        is_new = link.transaction_status == pq.TransactionStatus.IDLE
        done = link.exec_((b"BEGIN; SELECT " if is_new else b"SELECT ") + b", ".join(calls))
        if done.status != pq.ExecStatus.TUPLES_OK:
            if link.status != pq.ConnStatus.OK:
                raise psycopg.OperationalError(link.get_error_message())
            raise psycopg.errors.error_from_result(done)


def is_of_a_standby(error: BaseException) -> bool:
    """Whether an error says that the server can only be read: it is no primary, or none any more."""
    return isinstance(error, psycopg.errors.ReadOnlySqlTransaction)


def _joined(connection: Connection) -> psycopg.Connection[Any]:
    """The driver of a connection that knows that a transaction has begun."""
    if not connection.in_transaction():
        connection.begin()
    return driver_of(connection)


def driver_of(connection: Connection) -> psycopg.Connection[Any]:
    """psycopg's connection behind SQLAlchemy's."""
    return cast("psycopg.Connection[Any]", connection.connection.driver_connection)


def _written(own: Mapping[str, object], found: re.Match[str]) -> str:
    name = found[1]
    return sql.Literal(own[name]).as_string().replace("%", "%%") if name in own else found[0]


@contextmanager
def _sqlalchemys_errors(connection: Connection) -> Iterator[None]:
    """Whoever catches errors of statements catches those of these too."""
    try:
        yield
    except psycopg.Error as error:
        driver = connection.connection.dbapi_connection
        # Of a server that was the primary nothing can be written any more: its connections are made anew.
        is_gone = is_of_a_standby(error) or connection.dialect.is_disconnect(cast("Any", error), driver, None)
        if is_gone:
            connection.invalidate(error)
        raise DBAPIError.instance(
            None,
            None,
            error,
            psycopg.Error,
            hide_parameters=True,
            connection_invalidated=is_gone,
            dialect=connection.dialect,
        ) from error
