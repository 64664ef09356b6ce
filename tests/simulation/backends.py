"""The way to PostgreSQL, made cheap: a history is some thousand small statements, and most of their time is the way.

Nothing here changes what a statement does or when: its plan is kept, a transaction's BEGIN goes with its first
statement, and a program and its backends share a core, where a statement is a switch of tasks and wakes no other core.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg._preparing import PrepareManager
from psycopg.pq import ExecStatus, TransactionStatus
from sqlalchemy import Engine, create_engine, event

from issuance.database import LOCK_TIMEOUT

_SETTINGS = {
    "timezone": "UTC",
    "lock_timeout": LOCK_TIMEOUT,
    "synchronous_commit": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}
_CONNECT: dict[str, Any] = {
    "options": " ".join(f"-c {name}={value}" for name, value in _SETTINGS.items()),
    "autocommit": True,
}
_SHOW = "SELECT set_config('issuance.brand_id', %(brand_id)s, true)"


class _Kept(PrepareManager):
    """What is prepared stays. psycopg forgets it at each rollback, as a table may have gone with it; here none does."""

    prepare_threshold = 1
    prepared_max = 10_000

    def clear(self) -> bool:
        return False


def settle_on(number: int) -> None:
    """From now on this process, and what it starts, runs on one core: the `number`-th that it may use."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[number % len(cores)]})


def connect(url: str) -> psycopg.Connection[Any]:
    """A connection of its own, each of whose statements is a transaction."""
    connection = psycopg.connect(url, **_CONNECT)
    _prepare(connection)
    return connection


def engine_on(url: str) -> Engine:
    """An engine for the programs of one process."""
    engine = create_engine(url, pool_size=4, max_overflow=40, pool_use_lifo=True, connect_args=_CONNECT)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "do_execute", _begin)
    event.listen(engine, "do_execute_no_params", _begin)
    return engine


def _prepare(connection: psycopg.Connection[Any], _: object = None) -> None:
    connection._prepared = _Kept()
    _join(connection)


def _join(connection: psycopg.Connection[Any]) -> None:
    """Brings a backend to the core of this process, if it is a process of this host and may be moved."""
    pid, database = connection.info.backend_pid, connection.info.dbname
    with suppress(OSError, AttributeError):
        if database.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.sched_setaffinity(pid, os.sched_getaffinity(0))


def _begin(cursor: psycopg.Cursor[Any], statement: str, *rest: Any) -> bool:
    """Before a transaction's first statement, its BEGIN; with it, if that says which brand is shown. psycopg is left in
    autocommit, so that it sends none."""
    pgconn = cursor.connection.pgconn
    if pgconn.transaction_status != TransactionStatus.IDLE:
        return False
    shows = statement == _SHOW
    begin = "BEGIN"
    if shows:
        brand_id = psycopg.sql.quote(rest[0]["brand_id"])
        begin = f"BEGIN; SELECT set_config('issuance.brand_id', {brand_id}, true)"
    result = pgconn.exec_(begin.encode())
    if result.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
        raise psycopg.errors.error_from_result(result)
    return shows
