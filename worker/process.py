"""The start of a worker process: its log, its broker, and the actors that the broker knows."""

import gc
import logging
import sys
from collections.abc import Callable

import dramatiq

from issuance import brokers, hints, log, tracing
from issuance.database import allow, budget, check_schema, engine_for
from issuance.errors import SchemaAhead, SchemaBehind, SettingsError
from issuance.settings import settings
from worker.actors import Actors
from worker.heartbeats import Heartbeats
from worker.messages import ReadsAnything, TrustsItsQueue
from worker.origins import Origins


def _tell_once(record: logging.LogRecord) -> bool:
    """Whether a line is worth telling. dramatiq tells of an outage again and again, a thread every few seconds."""
    if not record.name.startswith("dramatiq.worker.ConsumerThread"):
        return True
    said = str(record.msg)
    if said.startswith("Consumer encountered a connection error"):
        hints.outage.lasts("ConnectionError")
        return False
    return not said.startswith("Restarting consumer")


def _of_rabbitmq() -> Callable[..., dramatiq.Broker]:
    from worker import rabbitmq  # late: only RabbitMQ needs it

    return rabbitmq.TrustsItsQueue


def start() -> None:
    """Make this process a worker. Called once, before dramatiq starts its threads. A wrong setting ends it."""
    try:
        own = settings()
        tracing.set_up("worker")
    except SettingsError as error:
        sys.exit(error.message)
    log.set_up(own.log_format, own.log_level)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_tell_once)
    # A batch makes many small objects and no cycles: looking for cycles every few hundred objects would be wasted.
    gc.set_threshold(100_000)
    of_rabbitmq = brokers.is_rabbitmq(own.redis_url)
    dramatiq.set_encoder(ReadsAnything(of_redis=not of_rabbitmq))
    allow(budget(own.worker_connections))
    engine = engine_for(own.database_url)
    try:
        check_schema(engine)
    except (SchemaAhead, SchemaBehind) as error:
        sys.exit(error.message)
    broker = hints.broker_for(own.redis_url, _of_rabbitmq() if of_rabbitmq else TrustsItsQueue)
    broker.add_middleware(Origins())
    broker.add_middleware(Heartbeats(engine, own.heart_file))
    dramatiq.set_broker(broker)
    Actors(engine, broker).declare()
