"""PostgreSQL's part in a history: a program and its backends share a core.

There a statement is a switch of tasks and wakes no other core; and a plan that was made once is kept (`wire`).
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Engine, create_engine

from campaigns.simulation.connections import keep_connections
from campaigns.simulation.wire import Wire, begin
from issuance.database import statements
from issuance.database.connections import LOCK_TIMEOUT

_SETTINGS = {
    "timezone": "UTC",
    "lock_timeout": LOCK_TIMEOUT,
    "synchronous_commit": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}
_OPTIONS = " ".join(f"-c {name}={value}" for name, value in _SETTINGS.items())


def settle_on(number: int) -> None:
    """From now on this process, and what it starts, runs on one core: the `number`-th that it may use."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[number % len(cores)]})


def connect(url: str) -> Wire:
    """A connection of its own, each of whose statements is a transaction."""
    return _joined(Wire(url, autocommit=True, options=_OPTIONS))


def engine_on(url: str) -> Engine:
    """An engine for the programs of one process. From now on transactions of this process begin as its wires do."""
    statements.begin = begin
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: _joined(Wire(url, options=_OPTIONS)),
        pool_size=4,
        max_overflow=40,
        pool_use_lifo=True,
        use_native_hstore=False,
    )
    keep_connections(engine)
    return engine


def _joined(wire: Wire) -> Wire:
    """Brings a backend to the core of this process, if it is a process of this host and may be moved."""
    pid, database = wire.info.backend_pid, wire.info.dbname
    with suppress(OSError, AttributeError):
        if database.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.sched_setaffinity(pid, os.sched_getaffinity(0))
    return wire
