"""The workers: `dramatiq worker --queues events|bulk|webhooks` (see the Procfile). Importing this wires the queue.

A message is parsed, the membership or the run's next batch is settled or the webhook told, and it is logged; that is
all.
"""

import gc

import dramatiq

from issuance import hints, log
from issuance.settings import settings
from worker.boot import SchemaCheck
from worker.messages import ReadsAnything, TrustsItsQueue

# A batch makes many small objects and no cycles: looking for cycles every few hundred of them is work for nothing.
gc.set_threshold(100_000)
log.set_up(settings().log_format, settings().log_level)
dramatiq.set_encoder(ReadsAnything())
dramatiq.set_broker(hints.broker_for(settings().redis_url, TrustsItsQueue))
dramatiq.get_broker().add_middleware(SchemaCheck())

from worker import actors  # noqa: E402 - actors register with the broker that was set above

__all__ = ["actors"]
