"""Hints: messages that carry ids and ask for prompt work. If they are lost, doubled or wiped, only latency changes.

This module makes the broker, so that other rooms can ask for work without importing the workers.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any
from uuid import UUID, uuid4

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker

from issuance import brokers, limits, origins, tracing
from issuance.log import Outage

EVENTS_QUEUE = "events"
BULK_QUEUE = "bulk"
WEBHOOKS_QUEUE = "webhooks"
#: Seconds for which who only asks whether it is there takes it to be away: a load balancer has less patience.
KNOWN_FOR = 15.0
#: Seconds for which a brand whose bulk work held a worker up for long counts as slow.
SLOW_FOR = 60
QUEUES = (EVENTS_QUEUE, BULK_QUEUE, WEBHOOKS_QUEUE)
#: What messages ask for, by the names of the workers' actors, and the queue that each waits in.
QUEUE_OF = {
    "settle_memberships": EVENTS_QUEUE,
    "translate_deliveries": EVENTS_QUEUE,
    "quarantine_message": EVENTS_QUEUE,
    "work_on_run": BULK_QUEUE,
    "deliver_to_webhook": WEBHOOKS_QUEUE,
    "ask_biller": WEBHOOKS_QUEUE,
}

#: Whether this process reaches the broker.
outage = Outage("broker")


# dramatiq knows a dead worker by when it was last heard of, which it is told by the clock of the worker's own host.
_BY_ITS_OWN_CLOCK = b"""
    local now = redis.call('TIME')
    ARGV[2] = string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000))
"""


class Ringing(RedisBroker):
    """dramatiq's broker, which also rings a bell for each message, so that a waiting worker looks at once. Whether a
    worker is dead it judges by the server's clock: those of hosts may differ."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        dispatch: Any = self.scripts["dispatch"]
        self.scripts["dispatch"] = self.client.register_script(_BY_ITS_OWN_CLOCK + dispatch.script)

    def enqueue(self, message: dramatiq.Message[None], *, delay: int | None = None) -> dramatiq.Message[None]:
        sent = super().enqueue(message, delay=delay)
        self.client.publish(bell(message.queue_name), "")
        return sent


def bell(queue: str) -> str:
    """The Redis channel that rings when a message is sent to a queue."""
    return f"issuance:{queue}"


@lru_cache(maxsize=4)
def broker_for(url: str, kind: Callable[..., dramatiq.Broker] | None = None) -> dramatiq.Broker:
    """The broker of this process, of a `kind` of its own or the usual one. A dead worker's messages return after 15 s,
    not the default 15 minutes; RabbitMQ gives them back at once."""
    broker: dramatiq.Broker
    if brokers.is_rabbitmq(url):
        # A message is confirmed, or one that is given to a connection that has ended would be lost without a word.
        broker = (kind or _of_rabbitmq())(url=brokers.rabbitmq_url(url), middleware=[], confirm_delivery=True)
    else:
        client = brokers.client_of(url, **brokers.PATIENCE)
        broker = (kind or Ringing)(client=client, middleware=[], heartbeat_timeout=15_000, maintenance_chance=1_000_000)
    for queue in QUEUES:
        broker.declare_queue(queue)
    return broker


def _of_rabbitmq() -> Callable[..., dramatiq.Broker]:
    from dramatiq.brokers.rabbitmq import RabbitmqBroker  # late: only RabbitMQ needs it

    return RabbitmqBroker


def reaches(broker: dramatiq.Broker) -> bool:
    """Whether the broker answers now. With it away facts are taken, and settled by the scheduler's look at the database
    as soon as it is back."""
    if outage.was_met(within=KNOWN_FOR):
        return False
    if brokers.answers(broker):
        outage.is_over()
        return True
    outage.lasts("It does not answer.")
    return False


def waiting(broker: dramatiq.Broker) -> dict[str, int] | None:
    """How many messages wait in each queue; None where the broker is away."""
    return None if outage.was_met(within=KNOWN_FOR) else brokers.waiting(broker)


def room_for_runs(broker: dramatiq.Broker) -> int:
    """How many more hints for runs the scheduler may send now."""
    return max(0, limits.current.hints.waiting_for_runs - (waiting(broker) or {}).get(BULK_QUEUE, 0))


def settle(broker: dramatiq.Broker, brand_id: UUID, membership_ids: list[UUID]) -> None:
    """Ask for memberships to be settled soon."""
    size = limits.current.hints.memberships
    for start in range(0, len(membership_ids), size):
        ids = [str(membership_id) for membership_id in membership_ids[start : start + size]]
        with origins.working_for_these(ids):
            sent = _send(broker, "settle_memberships", str(brand_id), ids)
        if not sent:
            return


def work_on_run(broker: dramatiq.Broker, brand_id: UUID, run_id: UUID, *, batches: int = 1) -> int:
    """Ask for the next `batches` batches of a run to be worked on. Returns how many hints were sent."""
    for sent in range(most := min(batches, limits.current.hints.of_a_run)):
        if not _send(broker, "work_on_run", str(brand_id), str(run_id)):
            return sent
    return most


def translate(broker: dramatiq.Broker, brand_id: UUID, biller_id: UUID) -> None:
    """Ask for what a biller sent to be translated."""
    _send(broker, "translate_deliveries", str(brand_id), str(biller_id))


def ask_biller(broker: dramatiq.Broker, brand_id: UUID, biller_id: UUID) -> None:
    """Ask for a biller to be asked for what its deliveries wait for, and to be reconciled where a run wants it."""
    _send(broker, "ask_biller", str(brand_id), str(biller_id))


def deliver(broker: dramatiq.Broker, brand_id: UUID, webhook_id: UUID) -> None:
    """Ask for what is due to a webhook to be delivered."""
    _send(broker, "deliver_to_webhook", str(brand_id), str(webhook_id))


def was_slow(broker: dramatiq.Broker, brand_id: UUID) -> None:
    """Note that bulk work for a brand holds a worker up for long."""
    client: Any = getattr(broker, "client", None)
    if client is not None:
        with suppress(redis.RedisError):
            client.set(f"issuance:slow:{brand_id}", "", ex=SLOW_FOR)


@contextmanager
def place_for(broker: dramatiq.Broker, brand_id: UUID) -> Iterator[bool]:
    """Whether a worker may do bulk work for a brand, until the end of the block. Brands that were slow have one worker
    of each host between them, so that there are others for everybody else. The scheduler asks again for who waits."""
    client: Any = getattr(broker, "client", None)
    one, mine, held = f"issuance:slow worker:{socket.gethostname()}", str(uuid4()), False
    try:
        may = client is None or not client.exists(f"issuance:slow:{brand_id}")
        may = may or (held := bool(client.set(one, mine, nx=True, ex=SLOW_FOR)))
    except redis.RedisError:
        may = True
    try:
        yield may
    finally:
        with suppress(redis.RedisError):
            if held and client.get(one) == mine.encode():
                client.delete(one)


class HeldBack(dramatiq.Broker):
    """Keeps hints for work that is not committed yet, and sends them after the commit."""

    def __init__(self) -> None:
        super().__init__(middleware=[])
        self._messages: list[dramatiq.Message[None]] = []

    def enqueue(self, message: dramatiq.Message[None], *, delay: int | None = None) -> dramatiq.Message[None]:
        assert delay is None, "hints are never delayed"
        self._messages.append(message)
        return message

    def release(self, broker: dramatiq.Broker) -> None:
        """Send the hints that were kept."""
        for message in self._messages:
            _enqueue(broker, message)


def _send(broker: dramatiq.Broker, actor: str, *args: object) -> bool:
    queue = QUEUE_OF[actor]
    with tracing.spans(f"send {actor}", "producer", queue=queue):
        return _enqueue(broker, dramatiq.Message(queue, actor, args, kwargs={}, options=origins.options()))


def are_not_sent() -> bool:
    """Whether the broker has just not answered, and is left alone."""
    return outage.was_met(within=limits.current.hints.left_alone)


def _enqueue(broker: dramatiq.Broker, message: dramatiq.Message[None]) -> bool:
    if are_not_sent():
        return False
    try:
        broker.enqueue(message)
    except (dramatiq.errors.BrokerConnectionError, redis.RedisError) as error:
        # The scheduler looks by state and asks again when the broker is back.
        outage.lasts(error)
        return False
    outage.is_over()
    return True
