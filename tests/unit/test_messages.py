"""Queue messages that can not be read become messages that can (worker/messages.py)."""

import base64
import json
from types import SimpleNamespace

import dramatiq
import pytest
import redis
from dramatiq.broker import MessageProxy
from dramatiq.brokers.redis import RedisBroker

from issuance import hints
from worker.messages import ReadsAnything, TrustsItsQueue

GOOD = {
    "queue_name": "events",
    "actor_name": "settle_memberships",
    "args": ["brand", []],
    "kwargs": {},
    "options": {"redis_message_id": "x"},
    "message_id": "y",
    "message_timestamp": 1,
}


def test_a_good_message_is_itself() -> None:
    """What dramatiq wrote is read as it was written."""
    assert ReadsAnything().decode(json.dumps(GOOD).encode()) == GOOD


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\x00",
        b"",
        b"[]",
        b"null",
        b'"text"',
        b"[" * 100_000,
        json.dumps({**GOOD, "actor_name": "unheard_of"}).encode(),
        json.dumps({**GOOD, "options": {}}).encode(),
        json.dumps({**GOOD, "args": "no list"}).encode(),
        json.dumps({name: value for name, value in GOOD.items() if name != "args"}).encode(),
        json.dumps({**GOOD, "more": 1}).encode(),
    ],
)
def test_what_can_not_be_read_is_kept_whole(body: bytes) -> None:
    """It asks for itself to be quarantined, with its very bytes and what is wrong with it."""
    read = ReadsAnything().decode(body)
    assert read["actor_name"] == "quarantine_message"
    assert base64.b64decode(read["args"][0]) == body
    assert read["args"][1]


class OneMessage(dramatiq.Consumer):
    """A queue that holds one message."""

    def __next__(self) -> MessageProxy:
        return MessageProxy(dramatiq.Message(**{**GOOD, "queue_name": "elsewhere"}))  # type: ignore[arg-type]


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> dramatiq.Consumer:
    monkeypatch.setattr(RedisBroker, "consume", lambda *_: OneMessage())
    return hints.broker_for("redis://127.0.0.1:1", TrustsItsQueue).consume(hints.BULK_QUEUE)


def test_a_message_belongs_to_the_queue_it_came_from(consumer: dramatiq.Consumer) -> None:
    """Whatever it says of itself: a worker's thread that looks for the consumer of another queue dies of it."""
    message = next(consumer)
    assert message is not None
    assert message.queue_name == hints.BULK_QUEUE


class DoneMeanwhile(OneMessage):
    """A queue that is full until its message is acknowledged, which happens during the next look."""

    def __init__(self) -> None:
        self.looks = 0
        self.consumer: dramatiq.Consumer | None = None
        self.message: MessageProxy | None = None

    def __next__(self) -> MessageProxy | None:  # type: ignore[override]
        self.looks += 1
        if self.looks == 1:
            return super().__next__()
        if self.looks == 2:
            assert self.consumer is not None
            assert self.message is not None
            self.consumer.ack(self.message)
        return None

    def ack(self, message: MessageProxy) -> None:
        """Nobody keeps it."""


def test_who_is_done_during_a_look_is_not_kept_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody rings for a worker that is done: its queue is looked into soon again, and after that rarely."""
    waited: list[float] = []
    ring = SimpleNamespace(subscribed=True, get_message=lambda timeout: waited.append(timeout))
    monkeypatch.setattr(redis.Redis, "pubsub", lambda *_, **__: ring)
    queue = DoneMeanwhile()
    monkeypatch.setattr(RedisBroker, "consume", lambda *_: queue)
    queue.consumer = hints.broker_for("redis://127.0.0.1:1", TrustsItsQueue).consume(hints.BULK_QUEUE)
    queue.message = next(queue.consumer)
    assert [next(queue.consumer), next(queue.consumer)] == [None, None]
    assert waited[0] < 0.1 < waited[1]
