"""Connections that a process holds: at most so many, and none for long that it does not need."""

import logging
import re
from contextlib import suppress
from threading import Lock, Timer
from time import monotonic, sleep
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import PoolProxiedConnection, QueuePool
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.util.queue import Empty

from issuance import limits

#: Connections that a process has at most, if it does not say otherwise (`allow`).
MOST_CONNECTIONS = 20
#: Seconds for which one who needs a connection waits for one of this process, and until it looks again.
PATIENCE, ROUND = 30.0, 0.2
#: What a server or a pooler that has none left says: libpq gives no code for it.
_FULL = re.compile("remaining connection slots|too many (clients|connections)|no more connections allowed")

_LENT, _RETURNED = "lent", "returned"

# SQLAlchemy logs there, under the name of the class, each connection that is closed on purpose: one every ten seconds.
logging.getLogger(__name__).setLevel(logging.WARNING)


class Budget(NamedTuple):
    """How many connections a process may have, by what they are for: transactions, one that is opened `beside` another,
    and looks. Whoever has a connection waits for none of its kind, so nobody waits in a circle."""

    transactions: int
    beside: int = 1
    looks: int = 0


def budget(most: int, *, looks: bool = False) -> Budget:
    """How a process shares out its connections, 2 or more of them; 3 or more where it has `looks`."""
    for_looks = max(1, most // 10) if looks else 0
    return Budget(most - for_looks - 1, 1, for_looks)


_allowed = budget(MOST_CONNECTIONS, looks=True)


def allow(given: Budget) -> None:
    """Have this process keep to a budget. Called before it makes its first engine."""
    global _allowed
    _allowed = given


def allowed() -> Budget:
    """The budget that this process keeps to."""
    return _allowed


class Frugal(QueuePool):
    """SQLAlchemy's pool with two differences: what is idle is closed, and where PostgreSQL grants no more connections,
    who needs one waits for those that this process has."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._lock = Lock()
        self._lent = 0
        self._will_look = False

    def connect(self) -> PoolProxiedConnection:
        began = monotonic()
        while True:
            try:
                connection = super().connect()
            except PoolTimeout:
                if monotonic() - began > PATIENCE:
                    raise
            except psycopg.OperationalError as error:
                # If the server is away, those that are lent fail too, and are lent no more.
                of_server = limits.current.database.patience_with_server
                patience = PATIENCE if self._lent else of_server if _FULL.search(str(error)) else 0.0
                if monotonic() - began >= patience:
                    raise
                sleep(ROUND)
            else:
                assert connection.record_info is not None, "it is of a pool"
                connection.record_info[_LENT] = True
                with self._lock:
                    self._lent += 1
                return connection

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        assert record.record_info is not None, "it is of a pool"
        if record.record_info.pop(_LENT, False):
            with self._lock:
                self._lent -= 1
        record.record_info[_RETURNED] = monotonic()
        self._put(record)

    def _put(self, record: ConnectionPoolEntry) -> None:
        if record.dbapi_connection is None:
            self._dec_overflow()  # not kept, or it would be tried before those that are connected
            return
        super()._do_return_conn(record)
        with self._lock:
            look, self._will_look = not self._will_look, True
        if look:
            timer = Timer(limits.current.database.idle, self.close_idle)
            timer.daemon = True
            timer.start()

    def close_idle(self) -> None:
        """Close what nobody has used for a while (`limits.Database.idle`)."""
        with self._lock:
            self._will_look = False
        found: list[ConnectionPoolEntry] = []
        with suppress(Empty):
            while True:
                found.append(self._pool.get(False))
        for record in reversed(found):  # the one that was used last is the first again
            assert record.record_info is not None, "it is of a pool"
            if monotonic() - record.record_info[_RETURNED] >= limits.current.database.idle:
                record.close()
            self._put(record)
