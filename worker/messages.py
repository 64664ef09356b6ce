"""Messages that can not be read. One such message would take its consumer down, with the good ones that it
had fetched: here it turns into a message for `quarantine_message`, and its neighbours go on."""

import base64
import json
from collections.abc import Iterable
from typing import Any

import dramatiq
from dramatiq.broker import MessageProxy
from dramatiq.brokers.redis import RedisBroker
from dramatiq.common import current_millis
from dramatiq.encoder import Encoder, MessageData

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


#: Milliseconds between two looks into an empty queue. Threads without work do not look at all: they are woken.
LOOKS_EVERY = {hints.EVENTS_QUEUE: 20, hints.BULK_QUEUE: 50, hints.WEBHOOKS_QUEUE: 50}
#: The queues of delayed messages, of which there are none here.
_LOOKS_SELDOM = 1000


class TrustsItsQueue(RedisBroker):
    """dramatiq's broker, but a message belongs to the queue that it came from, whatever it says itself: a worker
    thread that looks for the consumer of another queue dies of it. Each queue is looked into at its own pace."""

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> dramatiq.Consumer:  # noqa: ARG002 - the pace is ours
        pace = LOOKS_EVERY.get(queue_name, _LOOKS_SELDOM)
        return _OwnQueue(super().consume(queue_name, prefetch, pace), queue_name)


class _OwnQueue(dramatiq.Consumer):
    def __init__(self, consumer: dramatiq.Consumer, queue_name: str) -> None:
        self._consumer = consumer
        self._queue_name = queue_name

    def __next__(self) -> MessageProxy | None:
        message = next(self._consumer)
        if message is None or message.queue_name == self._queue_name:
            return message
        return MessageProxy(message.copy(queue_name=self._queue_name))

    def ack(self, message: MessageProxy) -> None:
        self._consumer.ack(message)

    def nack(self, message: MessageProxy) -> None:
        self._consumer.nack(message)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        self._consumer.requeue(messages)

    def close(self) -> None:
        self._consumer.close()
