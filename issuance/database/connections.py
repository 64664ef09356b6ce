"""The way to PostgreSQL: one engine a process, one transaction a unit of work, committed at the edge.

A connection to the server itself gets its settings once, for its session. Behind a pooler that lends a server's session
for one transaction (PgBouncer) nothing of a session lasts: there each transaction begins with its settings, and no
statement is prepared.
"""

import math
import select
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from time import monotonic
from typing import Any, NamedTuple
from uuid import UUID
from weakref import WeakKeyDictionary

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, InvalidatePoolError, SQLAlchemyError

from issuance import limits
from issuance.addresses import POSTGRESQL_SCHEMES, libpq_url
from issuance.database import statements
from issuance.database.pools import ROUND, Frugal, allowed
from issuance.database.revisions import APPLICATION_NAME, standing_of

#: Nothing that Issuance does in one statement takes longer on a healthy server. Limits in PostgreSQL,
#: not in threads: an exception thrown into a thread can hang a worker for good.
STATEMENT_TIMEOUT = "120s"
LOCK_TIMEOUT = "30s"
#: A process that stopped answering in the middle of a transaction gives its locks back after this.
IDLE_TIMEOUT = "30s"
#: Seconds for which a connection that was given back is taken to be good, unless its server has said something since,
#: as it does when it ends. To ask it is a round trip, as long as a statement's.
TRUSTED = 1.0
#: What the setting issuance.brand_id holds in work across brands.
ALL_BRANDS = "*"
#: How long a server's host may be silent, where the address does not say it: 10 s when a connection is made, and about
#: 30 s after that, where a kernel would wait for a quarter of an hour.
SILENCE: Mapping[str, int] = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
#: How long the server keeps the session of a client whose host is silent, with its locks and its place: by default for
#: two hours. Behind a pooler it is the pooler's to say.
_KEPT_BY_THE_SERVER = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "4",
    "tcp_user_timeout": "30000",
}
#: Whom a superuser works as.
ORDINARY_ROLE = "issuance_processes"

_OBEY = """
    SELECT set_config('role', rolname, %(local)s) FROM pg_roles
     WHERE rolname = %(role)s
       AND EXISTS (SELECT FROM pg_roles WHERE rolname = session_user AND (rolsuper OR rolbypassrls))
"""
_WHICH = """
    SELECT system_identifier, pg_is_in_recovery(), current_database(), current_schema() FROM pg_control_system()
"""
_SET = """
    SELECT set_config(name, value, false) FROM unnest(%(names)s::text[], %(values)s::text[]) AS given (name, value)
"""
#: What statements and transactions may take, and the zone in which instants are read.
_SETTINGS = {
    "timezone": "UTC",
    "statement_timeout": STATEMENT_TIMEOUT,
    "lock_timeout": LOCK_TIMEOUT,
    "idle_in_transaction_session_timeout": IDLE_TIMEOUT,
}


class Acting(NamedTuple):
    """On whose behalf a unit of work is done: an actor as JSON, and the request's id, '' where there is none.

    PostgreSQL stamps both on what names its actor (`acting` in schema.sql)."""

    actor: str
    request_id: str = ""


@lru_cache(maxsize=4)
def engine_for(url: str, trusted: float = TRUSTED) -> Engine:
    """The process's engine for `url`, an address in any form that libpq knows. Connections are checked before use, but
    for those that were good less than `trusted` seconds ago."""
    engine = _engine(url, _SETTINGS, trusted, pool_size=allowed().transactions)
    _beside[engine] = _engine(url, _SETTINGS, trusted, pool_size=allowed().beside)
    return engine


@lru_cache(maxsize=4)
def looks_for(url: str) -> Engine:
    """The engine for single looks across all brands, such as whose a key is: see `look`."""
    everything = {**_SETTINGS, "issuance.brand_id": ALL_BRANDS}
    return _engine(url, everything, TRUSTED, pool_size=allowed().looks, isolation_level="AUTOCOMMIT")


#: The engines of transactions beside those of an engine.
_beside: "WeakKeyDictionary[Engine, Engine]" = WeakKeyDictionary()


def _engine(url: str, settings: Mapping[str, str], trusted: float, **pool: Any) -> Engine:
    # The connection that was used last is used first, as its backend has everything at hand.
    kept: dict[str, Any] = {"poolclass": Frugal, "max_overflow": 0, "pool_timeout": ROUND, "pool_use_lifo": True}
    engine = engine_at(url, **kept, **pool)
    event.listen(engine, "connect", partial(_enter, settings))
    event.listen(engine, "checkin", _was_good)
    event.listen(engine, "checkout", partial(_check, engine, trusted))
    event.listen(engine, "handle_error", _leave_a_standby)
    return engine


def engine_at(url: str, *, name: str = APPLICATION_NAME, **options: Any) -> Engine:
    """An engine at an address in any form that libpq knows, whose connections are as they come. `name`: by which
    PostgreSQL knows them."""
    engine = create_engine(
        _known_to_sqlalchemy(url),
        # An error's text ends up in logs: no parameters in it, which may be codes and secrets.
        hide_parameters=True,
        connect_args={"application_name": name, **SILENCE},
        **options,
    )
    event.listen(engine, "do_connect", partial(_as_libpq_reads_it, url))
    return engine


def _known_to_sqlalchemy(url: str) -> URL:
    """What names the driver. Several hosts, services and `name=value` forms are known to libpq alone."""
    try:
        return make_url(url)
    except (ArgumentError, ValueError):  # ports of several hosts are no number
        return make_url(POSTGRESQL_SCHEMES[0])


def _as_libpq_reads_it(url: str, _: object, __: object, given: list[object], options: dict[str, Any]) -> None:
    """Connect to `url` itself, not to what SQLAlchemy made of it."""
    address = libpq_url(url)
    given[:] = [address]
    unsaid = SILENCE.keys() - {name for name, value in conninfo_to_dict(address).items() if value is not None}
    for name in options.keys() - {"application_name", "context", *unsaid}:
        del options[name]


def check_schema(engine: Engine) -> None:
    """Raises SchemaBehind or SchemaAhead where this code can not work with the database, for a process that starts.

    One that can not be reached says nothing: it may come back.
    """
    with suppress(SQLAlchemyError, psycopg.Error), engine.connect():
        pass


@contextmanager
def transaction(
    engine: Engine, brand_id: UUID | None = None, acting: Acting | None = None, *, reads: bool = False
) -> Iterator[Connection]:
    """One unit of work: commits at the end, rolls back on any exception.

    `brand_id` names the only brand whose rows the work sees and writes; None is for work across all brands (what is
    due, keys). PostgreSQL holds to it, by row-level security. `acting` says on whose behalf; None: the system's own. If
    it only `reads`, no statement takes long (`limits.Database.read_timeout`, `is_cut_short`).
    """
    with engine.begin() as connection:
        show(connection, brand_id, acting, reads=reads)
        yield connection


def aside(engine: Engine) -> Engine:
    """The engine for work beside an engine's transactions, with a connection of its own: for a thread that must hold
    up none of them."""
    return _beside.get(engine, engine)


@contextmanager
def transaction_beside(connection: Connection, brand_id: UUID) -> Iterator[Connection]:
    """One unit of work that commits by itself, while the transaction of `connection` is open."""
    with transaction(aside(connection.engine), brand_id) as beside:
        yield beside


@contextmanager
def transaction_aside(engine: Engine) -> Iterator[Connection]:
    """One unit of work across all brands, now and then, of a thread that must wait for none of the others: on the
    connection for what is done beside them, which it does not keep open."""
    with aside(engine).connect() as connection:
        with connection.begin():
            show(connection, None)
            yield connection
        connection.invalidate()


@contextmanager
def look(looks: Engine) -> Iterator[Connection]:
    """A look across all brands on an engine of `looks_for`: each statement is a transaction, or behind a pooler all of
    them are one."""
    with looks.connect() as connection:
        if not is_pooled(connection):
            yield connection
        else:
            connection.execution_options(isolation_level="READ COMMITTED")
            with connection.begin():
                show(connection, None)
                yield connection


@contextmanager
def undone(engine: Engine, brand_id: UUID) -> Iterator[Connection]:
    """Work that is tried only: like `transaction`, and rolled back at the end."""
    with engine.connect() as connection:
        show(connection, brand_id)
        yield connection
        connection.rollback()


def show(connection: Connection, brand_id: UUID | None, acting: Acting | None = None, *, reads: bool = False) -> None:
    """Show this transaction the rows of one brand, None: of all. One that was shown nothing sees none."""
    told = {"issuance.brand_id": ALL_BRANDS if brand_id is None else str(brand_id)}
    if reads:
        told["statement_timeout"] = limits.current.database.read_timeout
    if acting is not None:
        told |= {"issuance.actor": acting.actor, "issuance.request_id": acting.request_id}
    if is_pooled(connection):
        statements.begin(connection, {**_SETTINGS, **told})
        obey_row_security(statements.driver_of(connection), local=True)
    else:
        statements.begin(connection, told)


def is_pooled(connection: Connection) -> bool:
    """Whether a pooler stands before the server, so that a session is lent for one transaction only."""
    return bool(connection.info.get("pooled"))


def is_lent(driver: psycopg.Connection[Any]) -> bool:
    """Whether a pooler answers, in its own name: its client's process is none of the server's."""
    return driver.execute("SELECT pg_backend_pid()").fetchone() != (driver.info.backend_pid,)


def is_same(one: psycopg.Connection[Any], other: psycopg.Connection[Any]) -> bool:
    """Whether two connections lead to one database's tables, whatever stands between; a standby has others."""
    return one.execute(_WHICH).fetchone() == other.execute(_WHICH).fetchone()


def obey_row_security(connection: Any, *, local: bool = False) -> None:
    """Row-level security does not bind superusers: they work as the role that `schema apply` made for them. `local`:
    until the transaction ends."""
    connection.execute(_OBEY, {"role": ORDINARY_ROLE, "local": local})


def _enter(settings: Mapping[str, str], connection: Any, record: Any) -> None:
    """A connection of a process works as it should, and on a schema that this version can work with, or not at all."""
    try:
        record.info["pooled"] = is_lent(connection)
        if record.info["pooled"]:
            connection.prepare_threshold = None
        else:
            given = {**settings, **_KEPT_BY_THE_SERVER}
            connection.execute(_SET, {"names": list(given), "values": list(given.values())})
        obey_row_security(connection, local=record.info["pooled"])
        standing_of(connection).check()
        connection.commit()
    except BaseException:
        connection.close()
        raise


def _leave_a_standby(context: Any) -> None:
    """Connections to a server that was the primary and can only be read now are made anew."""
    if statements.is_of_a_standby(context.original_exception):
        context.is_disconnect = True


def _was_good(_: object, record: Any) -> None:
    record.info["good"] = monotonic()


def _check(engine: Engine, trusted: float, connection: Any, record: Any, _: object) -> None:
    """See whether the server still answers, as SQLAlchemy's own check does: if not, all connections are made anew."""
    said = select.poll()
    said.register(connection.fileno(), select.POLLIN)
    if monotonic() - record.info.get("good", math.inf) < trusted and not said.poll(0):
        return
    try:
        engine.dialect.do_ping(connection)
    except engine.dialect.loaded_dbapi.Error as error:
        raise InvalidatePoolError from error
