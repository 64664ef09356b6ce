"""A worker process's heartbeat, for the queues that it listens to."""

from pathlib import Path

import dramatiq
from dramatiq.worker import Worker
from sqlalchemy import Engine

from issuance import hints, tracing
from issuance.heartbeats import Heart


class Heartbeats(dramatiq.Middleware):
    """Beats from the start of a process's threads until their end."""

    def __init__(self, engine: Engine, file: Path | None = None) -> None:
        self._engine, self._file = engine, file
        self._heart: Heart | None = None

    def before_worker_boot(self, broker: dramatiq.Broker, worker: Worker) -> None:
        queues = sorted(worker.consumer_whitelist or hints.QUEUES)
        self._heart = Heart(self._engine, "worker", hints.outage.is_on, queues, self._file)
        self._heart.start()

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: Worker) -> None:
        if self._heart is not None:
            self._heart.stop()
        tracing.end()
