"""Messages that can not be read. One such message would take its consumer down, with the good ones that it
had fetched: here it turns into a message for `quarantine_message`, and its neighbours go on."""

import base64
import json
from collections.abc import Iterable
from typing import Any

import dramatiq
import redis
from dramatiq.broker import MessageProxy
from dramatiq.common import current_millis
from dramatiq.encoder import Encoder, MessageData
from dramatiq.errors import BrokerConnectionError

from issuance import hints

KNOWN_ACTORS = frozenset({"settle_memberships", "work_on_run", "deliver_to_webhook", "quarantine_message"})
_FIELDS = frozenset({"queue_name", "actor_name", "args", "kwargs", "options", "message_id", "message_timestamp"})


class ReadsAnything(Encoder):
    """dramatiq's JSON, but what it can not read, it wraps instead of raising."""

    def encode(self, data: MessageData) -> bytes:
        return json.dumps(data, separators=(",", ":")).encode()

    def decode(self, data: bytes) -> MessageData:
        error = "not JSON"
        try:
            message: Any = json.loads(data)
        except (ValueError, RecursionError):
            message = None
        else:
            error = _wrong(message)
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


def _wrong(message: Any) -> str:
    """What is wrong with a message; empty if nothing is."""
    if not isinstance(message, dict) or set(message) != _FIELDS:
        return "not a message"
    shapes = [("actor_name", str), ("args", list), ("kwargs", dict), ("options", dict), ("message_id", str)]
    if (
        any(not isinstance(message[name], kind) for name, kind in shapes)
        or "redis_message_id" not in message["options"]
    ):
        return "not a message"
    return "" if message["actor_name"] in KNOWN_ACTORS else "for an unknown actor"


#: Seconds after which a queue is looked into that nobody rang for; and while its messages are worked on, of which
#: there may be as many as are fetched at once.
_LOOKS_EVERY, _LOOKS_EVERY_BUSY = 1.0, 0.02
#: Milliseconds that dramatiq's own consumer sleeps after a look in vain: the waiting is done here.
_NO_NAP = 1


class TrustsItsQueue(hints.Ringing):
    """dramatiq's broker, but a message belongs to the queue that it came from, whatever it says itself: a worker
    thread that looks for the consumer of another queue dies of it. Who waits for a queue is woken by its bell."""

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = _NO_NAP) -> dramatiq.Consumer:
        ring = self.client.pubsub(ignore_subscribe_messages=True)
        return _OwnQueue(super().consume(queue_name, prefetch, min(timeout, _NO_NAP)), queue_name, ring)


class _OwnQueue(dramatiq.Consumer):
    def __init__(self, consumer: dramatiq.Consumer, queue_name: str, ring: redis.client.PubSub) -> None:
        self._consumer = consumer
        self._queue_name = queue_name
        self._ring = ring
        self._under_way: set[str] = set()

    def __next__(self) -> MessageProxy | None:
        # Before the look: with messages under way it may not have been one, and who is done meanwhile rings no bell.
        busy = bool(self._under_way)
        message = next(self._consumer)
        if message is None:
            self._wait(_LOOKS_EVERY_BUSY if busy else _LOOKS_EVERY)
            return None
        self._under_way.add(message.message_id)
        if message.queue_name == self._queue_name:
            return message
        return MessageProxy(message.copy(queue_name=self._queue_name))

    def _wait(self, seconds: float) -> None:
        try:
            if self._ring.subscribed:
                self._ring.get_message(timeout=seconds)
            else:  # and look once more, now that nothing is missed
                self._ring.subscribe(hints.bell(self._queue_name))
        except redis.RedisError as error:
            away = BrokerConnectionError("The queue is away.")  # type: ignore[no-untyped-call]
            raise away from error

    def ack(self, message: MessageProxy) -> None:
        try:
            self._consumer.ack(message)
        finally:
            self._under_way.discard(message.message_id)

    def nack(self, message: MessageProxy) -> None:
        try:
            self._consumer.nack(message)
        finally:
            self._under_way.discard(message.message_id)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        self._consumer.requeue(messages)

    def close(self) -> None:
        self._ring.close()
        self._consumer.close()
