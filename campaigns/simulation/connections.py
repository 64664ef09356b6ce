"""SQLAlchemy's engine and connection with a short way for statements that are written as text.

What would be asked of each anew (a key in a cache, a context, what its rows are made of) is known after the first time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
import sqlalchemy
from sqlalchemy import Engine, TextClause
from sqlalchemy.engine.result import IteratorResult, ResultMetaData, SimpleResultMetaData
from sqlalchemy.exc import DBAPIError

from campaigns.simulation.wire import Wire


class Found(IteratorResult[Any]):
    """What came of a statement."""

    def __init__(self, made_of: ResultMetaData, rows: list[tuple[Any, ...]], rowcount: int) -> None:
        super().__init__(made_of, iter(rows))
        self.rowcount = rowcount


class Connection(sqlalchemy.Connection):
    """Texts with one set of values go straight to the wire, once those who listen for statements have heard."""

    _written: dict[str, str] = {}  # noqa: RUF012 - by the texts of a program, which are some hundred
    _made_of: dict[tuple[str, ...], ResultMetaData] = {}  # noqa: RUF012

    def execute(self, statement: Any, parameters: Any = None, **more: Any) -> Any:
        if type(statement) is not TextClause or isinstance(parameters, list) or not self.in_transaction():
            return super().execute(statement, parameters, **more)
        for heard in self.dispatch.before_execute:
            heard(self, statement, (), parameters or {}, {})
        written = self._written.get(statement.text)
        if written is None:
            written = self._written[statement.text] = str(statement.compile(dialect=self.dialect))
        return self._ask(written, parameters or {})

    def scalar(self, statement: Any, parameters: Any = None, **more: Any) -> Any:
        if type(statement) is not TextClause:
            return super().scalar(statement, parameters, **more)
        return self.execute(statement, parameters).scalar()

    def _ask(self, written: str, values: Mapping[str, Any]) -> Found:
        wire = self.connection.dbapi_connection
        assert isinstance(wire, Wire), "the engine makes no others"
        try:
            rows, description, rowcount = wire.ask(written, values)
        except psycopg.Error as error:
            raise DBAPIError.instance(written, dict(values), error, psycopg.Error, dialect=self.dialect) from error
        names = tuple(name for name, *_ in description or ())
        made_of = self._made_of.get(names)
        if made_of is None:
            made_of = self._made_of[names] = SimpleResultMetaData(names)
        return Found(made_of, rows, rowcount)


def keep_connections(engine: Engine) -> None:
    """A transaction of this engine that went well leaves its connection to the next one, and asks no pool."""
    idle: list[sqlalchemy.Connection] = []

    @contextmanager
    def begin() -> Iterator[sqlalchemy.Connection]:
        connection = idle.pop() if idle else engine.connect()
        try:
            with connection.begin():
                yield connection
        except BaseException:
            connection.close()
            raise
        idle.append(connection)

    engine.begin = begin  # type: ignore[method-assign]
    engine._connection_cls = Connection
