"""Reading messages, whatever is in them.

In dramatiq a message that can not be read ends its consumer, and the good messages that it had fetched are stranded.
Here it becomes a message for `quarantine_message`, and the others are worked on.
"""

import base64
import json
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dramatiq
import redis
from dramatiq.broker import MessageProxy
from dramatiq.common import current_millis
from dramatiq.encoder import Encoder, MessageData
from dramatiq.errors import BrokerConnectionError

from issuance import hints

_FIELDS = frozenset({"queue_name", "actor_name", "args", "kwargs", "options", "message_id", "message_timestamp"})


class ReadsAnything(Encoder):
    """dramatiq's JSON encoding. A message that can not be read is wrapped in one that can. `of_redis`: messages have
    the ids that Redis needs to know them by."""

    def __init__(self, *, of_redis: bool = True) -> None:
        self._options = {"redis_message_id"} if of_redis else set()

    def encode(self, data: MessageData) -> bytes:
        return json.dumps(data, separators=(",", ":")).encode()

    def decode(self, data: bytes) -> MessageData:
        error = "not JSON"
        try:
            message: Any = json.loads(data)
        except (ValueError, RecursionError):
            message = None
        else:
            error = _wrong(message, self._options)
            if not error:
                return dict(message)
        return {
            "queue_name": "unreadable",
            "actor_name": "quarantine_message",
            "args": [base64.b64encode(data).decode("ascii"), error],
            "kwargs": {},
            "options": {"redis_message_id": "unreadable"},
            "message_id": dramatiq.message.generate_unique_id(),
            "message_timestamp": current_millis(),
        }


def _wrong(message: Any, options: AbstractSet[str]) -> str:
    """What is wrong with a message; "" if nothing is."""
    if not isinstance(message, dict) or set(message) != _FIELDS:
        return "not a message"
    shapes = [("actor_name", str), ("args", list), ("kwargs", dict), ("options", dict), ("message_id", str)]
    if any(not isinstance(message[name], kind) for name, kind in shapes) or not options <= message["options"].keys():
        return "not a message"
    return "" if message["actor_name"] in hints.QUEUE_OF else "for an unknown actor"


@dataclass(frozen=True, slots=True)
class LooksEvery:
    """Seconds between two looks into a queue whose bell did not ring."""

    #: While none of its messages is being worked on.
    idle: float = 1.0
    #: While some are: there may then be messages that were not fetched yet.
    busy: float = 0.02


#: Milliseconds that dramatiq's own consumer sleeps when it finds nothing. The waiting is done here instead.
_NO_NAP = 1


class TrustsItsQueue(hints.Ringing):
    """dramatiq's broker, with two differences for consumers.

    A message belongs to the queue that it was fetched from, whatever its own text says: a worker thread that looks for
    the consumer of another queue would die. And a consumer that waits for a queue is woken by its bell.
    """

    looks_every = LooksEvery()

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = _NO_NAP) -> dramatiq.Consumer:
        ring = self.client.pubsub(ignore_subscribe_messages=True)
        return _OwnQueue(
            super().consume(queue_name, prefetch, min(timeout, _NO_NAP)), queue_name, ring, self.looks_every
        )


@contextmanager
def _told_as_away() -> Iterator[None]:
    """Turn every error of Redis, a timeout too, into the connection error for which dramatiq waits and tries again."""
    try:
        yield
    except redis.RedisError as error:
        away = BrokerConnectionError("Redis does not answer.")  # type: ignore[no-untyped-call]
        raise away from error


class _OwnQueue(dramatiq.Consumer):
    def __init__(
        self, consumer: dramatiq.Consumer, queue_name: str, ring: redis.client.PubSub, looks_every: LooksEvery
    ) -> None:
        self._consumer = consumer
        self._queue_name = queue_name
        self._ring = ring
        self._looks_every = looks_every
        self._under_way: set[str] = set()

    def __next__(self) -> MessageProxy | None:
        # Asked before the look: a message may be finished during it, and that rings no bell.
        busy = bool(self._under_way)
        with _told_as_away():
            message = next(self._consumer)
        hints.outage.is_over()
        if message is None:
            self._wait(self._looks_every.busy if busy else self._looks_every.idle)
            return None
        self._under_way.add(message.message_id)
        if message.queue_name == self._queue_name:
            return message
        return MessageProxy(message.copy(queue_name=self._queue_name))

    def _wait(self, seconds: float) -> None:
        with _told_as_away():
            if self._ring.subscribed:
                self._ring.get_message(timeout=seconds)
            else:  # subscribed only now: look once more for what came before
                self._ring.subscribe(hints.bell(self._queue_name))

    def ack(self, message: MessageProxy) -> None:
        try:
            with _told_as_away():
                self._consumer.ack(message)
        finally:
            self._under_way.discard(message.message_id)

    def nack(self, message: MessageProxy) -> None:
        try:
            with _told_as_away():
                self._consumer.nack(message)
        finally:
            self._under_way.discard(message.message_id)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        with _told_as_away():
            self._consumer.requeue(messages)

    def close(self) -> None:
        self._ring.close()
        self._consumer.close()
