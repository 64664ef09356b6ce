"""Heartbeats: each process writes to PostgreSQL every few seconds that it lives, and what it has counted.

So one address, web's `/metrics`, tells of all processes of all machines, a dead scheduler shows while nothing is due,
and no process has to be found to be asked."""

import json
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any, Literal
from uuid import UUID, uuid4, uuid5

import psycopg
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from sqlalchemy import Connection, Engine, Row, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool

from issuance import __version__, measures
from issuance.database import is_away, outage, transaction, transaction_aside
from issuance.errors import SchemaAhead, SchemaBehind

Kind = Literal["web", "scheduler", "worker"]

#: Seconds from one heartbeat to the next; after how many without one a process counts as dead; and after how long it is
#: added to those of its kind that are gone.
EVERY, DEAD_AFTER, GONE_AFTER = 10.0, 45.0, timedelta(hours=1)
#: What an installation can not do without: the queues have these names.
NEEDED = ("scheduler", "worker_events", "worker_bulk", "worker_webhooks")

_BEAT = text("""
    UPDATE heartbeats
       SET beat_at = clock_timestamp(), connections_in_use = :connections_in_use, broker_away = :broker_away,
           counted = CAST(:counted AS jsonb)
     WHERE process_id = :process_id
""")
_BEGIN = text("""
    INSERT INTO heartbeats (process_id, kind, queues, host, pid, version, connections_in_use, broker_away, counted)
    VALUES (:process_id, :kind, :queues, :host, :pid, :version, :connections_in_use, :broker_away,
            CAST(:counted AS jsonb))
""")
_READ = text("""
    SELECT kind, queues, version, connections_in_use, broker_away, counted,
           extract(epoch FROM clock_timestamp() - beat_at) AS seconds
      FROM heartbeats
""")
_GONE = text("""
    SELECT process_id, kind, queues, beat_at, counted FROM heartbeats
     WHERE beat_at < clock_timestamp() - CAST(:after AS interval) ORDER BY process_id FOR UPDATE
""")
_KEEP = text("""
    INSERT INTO heartbeats (process_id, kind, queues, host, pid, version, started_at, beat_at, counted)
    VALUES (:process_id, :kind, :queues, '', 0, '', :beat_at, :beat_at, CAST(:counted AS jsonb))
""")
_DELETE = text("DELETE FROM heartbeats WHERE process_id = ANY(CAST(:ids AS uuid[]))")
#: What the rows of those that are gone are named by.
_OF_THE_GONE = UUID("5f2f8a1e-2f0d-4b57-9a38-0b6a3c2e8d11")

_Counted = Counter[measures.Sample]


class Heart:
    """One process's heartbeat. `broker_away`: whether it does not reach the broker, as far as it knows. `file`: what it
    touches at each beat, whether or not PostgreSQL is there."""

    def __init__(
        self,
        engine: Engine,
        kind: Kind,
        broker_away: Callable[[], bool],
        queues: Sequence[str] = (),
        file: Path | None = None,
    ) -> None:
        self._engine, self._broker_away, self._file = engine, broker_away, file
        self._said = {
            "process_id": uuid4(),
            "kind": kind,
            "queues": sorted(queues),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": __version__,
        }
        self._transaction: Callable[[Engine], AbstractContextManager[Connection]] = transaction
        self._last: float | None = None
        #: What it has counted, as far as its row says so or said so, and what of that is among the gone.
        self._written: _Counted = Counter()
        self._gathered: _Counted = Counter()
        self._stopped = threading.Event()

    def beat(self) -> None:
        """Say that the process lives, unless it was said a moment ago. Where PostgreSQL is away, it is logged why: this
        may be all that a process asks it for. Nothing is said where the schema is none to work with."""
        if self._last is not None and monotonic() - self._last < EVERY:
            return
        if self._file is not None:
            with suppress(OSError):
                self._file.touch()
        pool = self._engine.pool
        in_use = pool.checkedout() if isinstance(pool, QueuePool) else 0
        said = {**self._said, "connections_in_use": in_use, "broker_away": self._broker_away()}
        counted, gathered = Counter(measures.samples()), self._gathered
        try:
            with self._transaction(self._engine) as connection:
                if not connection.execute(_BEAT, {**said, "counted": _written(counted - gathered)}).rowcount:
                    # It is the first, or its row was gathered while the process was silent: that stays counted there.
                    gathered = self._written
                    connection.execute(_BEGIN, {**said, "counted": _written(counted - gathered)})
            self._last, self._written, self._gathered = monotonic(), counted, gathered
            outage.is_over()
        except (SchemaAhead, SchemaBehind):
            pass
        except (SQLAlchemyError, psycopg.Error) as error:
            if is_away(error):
                outage.lasts(getattr(error, "orig", error))

    def start(self) -> None:
        """Beat from now on, in a thread of its own, which takes no connection from the others."""
        self._transaction = transaction_aside
        threading.Thread(target=self._go_on, name="heartbeat", daemon=True).start()

    def stop(self) -> None:
        """Beat no more."""
        self._stopped.set()

    def _go_on(self) -> None:
        while not self._stopped.is_set():
            self.beat()
            self._stopped.wait(EVERY)


def dead(connection: Connection) -> list[str]:
    """Of what an installation can not do without, what was there and is not any more."""
    ages = _ages(connection.execute(_READ).all())
    return [part for part in NEEDED if ages.get(part, 0.0) > DEAD_AFTER]


def ages(connection: Connection) -> dict[str, float]:
    """How long ago each part last lived, in seconds; one that never did is not in it."""
    return _ages(connection.execute(_READ).all())


def versions(connection: Connection) -> set[str]:
    """The versions of the processes that live."""
    return {row.version for row in connection.execute(_READ) if row.seconds <= DEAD_AFTER}


def metrics(connection: Connection) -> Iterator[Metric]:
    """What all processes have counted, and which of them live, for Prometheus."""
    return metrics_of(connection.execute(_READ).all())


def metrics_of(rows: Sequence[Row[Any]]) -> Iterator[Metric]:
    """The metrics of heartbeats that were read."""
    living = [row for row in rows if row.seconds <= DEAD_AFTER]
    number = Counter(part for row in living for part in _parts(row))
    processes = GaugeMetricFamily("issuance_processes", "Processes that live, by what they do", labels=["process"])
    silent = GaugeMetricFamily("issuance_heartbeat_seconds", "How long ago one of these lived", labels=["process"])
    in_use = GaugeMetricFamily(
        "issuance_connections_in_use", "Connections to PostgreSQL that processes work with", labels=["kind"]
    )
    away = GaugeMetricFamily(
        "issuance_broker_unreached", "Processes that live and do not reach the broker", labels=["kind"]
    )
    for part in ("web", *NEEDED):
        processes.add_metric([part], number[part])
    for part, seconds in _ages(rows).items():
        silent.add_metric([part], seconds)
    for kind in ("web", "scheduler", "worker"):
        of_kind = [row for row in living if row.kind == kind]
        in_use.add_metric([kind], sum(row.connections_in_use for row in of_kind))
        away.add_metric([kind], sum(row.broker_away for row in of_kind))
    yield from (processes, silent, in_use, away)
    counted: _Counted = Counter()
    for row in rows:
        counted.update(_read(row.counted))
    yield from measures.metrics(counted)


def gather(connection: Connection) -> None:
    """Add up those that are long gone, in one row for each kind: what they counted stays counted."""
    gone: dict[tuple[str, ...], list[Row[Any]]] = {}
    for row in connection.execute(_GONE, {"after": GONE_AFTER}):
        gone.setdefault((row.kind, *row.queues), []).append(row)
    for (kind, *queues), rows in gone.items():
        if len(rows) < 2:
            continue
        counted: _Counted = Counter()
        for row in rows:
            counted.update(_read(row.counted))
        connection.execute(_DELETE, {"ids": [row.process_id for row in rows]})
        of_all = {"process_id": uuid5(_OF_THE_GONE, " ".join((kind, *queues))), "kind": kind, "queues": queues}
        last = max(row.beat_at for row in rows)
        connection.execute(_KEEP, {**of_all, "beat_at": last, "counted": _written(counted)})


def _parts(row: Row[Any]) -> list[str]:
    """What a process does, by the names of NEEDED; a worker may listen to several queues."""
    return [f"worker_{queue}" for queue in row.queues] or [row.kind]


def _ages(rows: Sequence[Row[Any]]) -> dict[str, float]:
    """How long ago each part last lived, in seconds, of those that ever did."""
    ages: dict[str, float] = {}
    for row in rows:
        for part in _parts(row):
            if part == "web" or part in NEEDED:
                ages[part] = min(float(row.seconds), ages.get(part, float("inf")))
    return ages


def _written(counted: Mapping[measures.Sample, float]) -> str:
    return json.dumps([[name, labels, value] for (name, labels), value in counted.items()])


def _read(counted: list[Any]) -> _Counted:
    return Counter({(name, tuple((key, value) for key, value in labels)): number for name, labels, number in counted})
