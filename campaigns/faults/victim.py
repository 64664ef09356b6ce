"""Runs in each process of a site: names every step by its place in the code, and causes the faults that are ordered.

Steps are what leaves the process on behalf of the project's code: statements, COMMITs, commands to the queue, messages
to webhooks. They are seen at the clients' own methods, so nothing in the product has to know.
"""

import os
import select
import signal
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import psycopg
import redis
from redis.commands.core import Script

from campaigns.faults.orders import Fault, Folder, Kind, Order, Step, wait_until_gone

_REPO = Path(__file__).parent.parent.parent
#: Who issues statements for others: a step is named after whoever asked them to.
_GO_BETWEEN = "issuance.database.connections"
#: Looks into the queue are made all the time, and do nothing.
_LOOKS = "worker.messages._OwnQueue.__next__"

#: What dramatiq's broker asks its server once in a process' life.
_ASKED_ONCE = "_max_unpack_size"

_folder = Folder(Path(os.environ.get("ISSUANCE_TEST_FAULTS", "")))
_busy = threading.local()
_units = threading.local()


def watch_this_process() -> None:
    """Watch this process from now on."""
    _watch_psycopg()
    _watch_redis()
    _watch_httpx()


def _watch_psycopg() -> None:
    for name in ("execute", "executemany", "copy"):
        _wrap(psycopg.Cursor, name)
    commit = psycopg.Connection.commit

    def watched(connection: psycopg.Connection[Any]) -> None:
        order = _come_by("commit")
        if order is None:
            return commit(connection)
        if order.fault == "reply":
            _commit_and_lose_the_reply(connection)
        _disturb(order, connection)
        commit(connection)
        if order.fault == "kill_after":
            os.kill(os.getpid(), signal.SIGKILL)
        return None

    psycopg.Connection.commit = watched  # type: ignore[assignment, method-assign]


def _wrap(cursor: type, name: str) -> None:
    original: Callable[..., Any] = getattr(cursor, name)

    def watched(self: Any, *arguments: Any, **options: Any) -> Any:
        order = _come_by("statement")
        if order is not None:
            _disturb(order, self.connection)
        return original(self, *arguments, **options)

    setattr(cursor, name, watched)


def _watch_redis() -> None:
    # dramatiq's broker does everything by scripts; one that the server does not know yet is sent on the way.
    original = Script.__call__

    def watched(self: Any, *arguments: Any, **options: Any) -> Any:
        order = _come_by("queue")
        if order is not None:
            _disturb(order, None)
            if order.fault == "cut":
                raise redis.ConnectionError("the connection is gone, says the test")
        answer = original(self, *arguments, **options)
        if order is not None and order.fault == "reply":
            raise redis.ConnectionError("the reply is lost, says the test")
        return answer

    Script.__call__ = watched  # type: ignore[method-assign]


def _watch_httpx() -> None:
    original = httpx.AsyncClient.send

    async def watched(self: Any, *arguments: Any, **options: Any) -> httpx.Response:
        order = _come_by("post")
        if order is not None:
            _disturb(order, None)
        response = await original(self, *arguments, **options)
        if order is not None and order.fault == "reply":
            await response.aclose()
            raise httpx.ReadError("the reply is lost, says the test")
        return response

    httpx.AsyncClient.send = watched  # type: ignore[method-assign]


def _come_by(kind: Kind) -> Order | None:
    """The order for the step that is about to be taken, if there is one."""
    if getattr(_busy, "yes", False):
        return None
    step = _step(kind, sys._getframe(2))
    if step is None or not _folder.awake:
        return None
    _folder.note(step)
    return _folder.take(step)


def _step(kind: Kind, innermost: FrameType) -> Step | None:
    """The step that is being taken; None if it is not the project's own work."""
    process = _process()
    functions: list[str] = []
    unit: FrameType | None = None
    frame: FrameType | None = innermost
    while frame is not None:
        where = frame.f_code.co_filename
        if "/sqlalchemy/pool/" in where:
            return None  # a connection is made or tried
        if frame.f_code.co_name == _ASKED_ONCE:
            return None
        module = _module(where)
        if module is not None:
            functions.append(f"{module}.{frame.f_code.co_qualname}")
            unit = frame
        frame = frame.f_back
    if process is None or unit is None or functions[0] == _LOOKS:
        return None
    function = next((name for name in functions if not name.startswith(_GO_BETWEEN)), functions[0])
    if getattr(_units, "unit", None) is not unit:
        _units.unit, _units.counted = unit, Counter()
    _units.counted[function, kind] += 1
    return Step(process, functions[-1], function, kind, _units.counted[function, kind])


@lru_cache(maxsize=4096)
def _module(file: str) -> str | None:
    """The module of a file of the project; None for other files, and for modules that only loop."""
    path = Path(file)
    if not path.is_relative_to(_REPO) or path.name == "__main__.py":
        return None
    parts = path.relative_to(_REPO).with_suffix("").parts
    if parts[0] not in ("issuance", "scheduler", "worker") or parts[:2] == ("issuance", "embedded"):
        return None
    return ".".join(part for part in parts if part != "__init__")


def _process() -> str | None:
    """The name of this process in the Procfile."""
    if "--queues" in sys.argv:
        return f"worker_{sys.argv[sys.argv.index('--queues') + 1]}"
    return {"scheduler": "scheduler", "api": "web"}.get(Path(sys.argv[0]).parent.name)


def _disturb(order: Order, connection: psycopg.Connection[Any] | None) -> None:
    _busy.yes = True
    try:
        _DISTURB[order.fault](order, connection)
    finally:
        _busy.yes = False


def _kill(order: Order, connection: psycopg.Connection[Any] | None) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _cut(order: Order, connection: psycopg.Connection[Any] | None) -> None:
    if connection is not None:
        _put_dead_end(connection.pgconn.socket)


def _flush(order: Order, connection: psycopg.Connection[Any] | None) -> None:
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        client.flushall()


def _stop(order: Order, connection: psycopg.Connection[Any] | None) -> None:
    """Stop PostgreSQL immediately, without a checkpoint: it recovers at its next start."""
    assert order.postgres is not None, "whoever orders it knows the process"
    try:
        os.kill(order.postgres, signal.SIGQUIT)
    except ProcessLookupError:
        return
    wait_until_gone(order.postgres)


def _nothing(order: Order, connection: psycopg.Connection[Any] | None) -> None:
    """Do nothing before the step: this fault comes after it."""


_DISTURB: dict[Fault, Callable[[Order, psycopg.Connection[Any] | None], None]] = {
    "kill": _kill,
    "cut": _cut,
    "flush": _flush,
    "stop": _stop,
    "reply": _nothing,
    "kill_after": _nothing,
}


def _commit_and_lose_the_reply(connection: psycopg.Connection[Any]) -> None:
    """Commit, and close the connection before the client reads the reply."""
    pgconn = connection.pgconn
    pgconn.send_query(b"COMMIT")
    while pgconn.flush():
        select.select([], [pgconn.socket], [])
    select.select([pgconn.socket], [], [])
    _put_dead_end(pgconn.socket)
    pgconn.consume_input()  # raises what a closed connection raises


def _put_dead_end(file: int) -> None:
    """Close a connection that is in use: the next read or write fails."""
    ours, theirs = socket.socketpair()
    theirs.close()
    os.dup2(ours.fileno(), file)
    ours.close()
