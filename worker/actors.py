"""The actors: ids in, settled memberships and deliveries out. No retries here: the reconciler looks by state."""

import base64
from collections import Counter
from hashlib import sha256
from time import monotonic
from uuid import UUID

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from sqlalchemy import text

from issuance import hints
from issuance.database.connections import engine_for, transaction
from issuance.deciding.reasons import Reason
from issuance.engine import arrivals, batches
from issuance.log import logger
from issuance.settings import settings
from issuance.webhooks import dispatcher
from worker.rounds import Rounds

#: Seconds that a worker stays with one run before others have their turn.
TURN = 0.4


@dramatiq.actor(queue_name=hints.EVENTS_QUEUE)
def settle_memberships(brand: str, memberships: list[str]) -> None:
    """Settle memberships that something happened to."""
    try:
        brand_id, membership_ids = UUID(brand), [UUID(membership) for membership in memberships]
    except (ValueError, TypeError, AttributeError):
        logger.error("message_without_ids", actor="settle_memberships")
        return
    _rounds.ask(brand_id, membership_ids)


def _settle(brand_id: UUID, membership_ids: list[UUID]) -> None:
    began = monotonic()
    counts = arrivals.settle_soon(engine_for(settings().database_url), brand_id, membership_ids)
    _log("memberships_settled", str(brand_id), began, counts, memberships=len(membership_ids))


_rounds = Rounds(_settle)


@dramatiq.actor(queue_name=hints.BULK_QUEUE)
def work_on_run(brand: str, run: str) -> None:
    """Do a run's next batches for a turn, and ask for the ones after them."""
    until = monotonic() + TURN
    try:
        brand_id, run_id = UUID(brand), UUID(run)
    except (ValueError, TypeError, AttributeError):
        logger.error("message_without_ids", actor="work_on_run")
        return
    while (began := monotonic()) < until:
        worked = batches.work_on_run(engine_for(settings().database_url), brand_id, run_id)
        if worked.batch is None:
            return
        _log("batch_done", brand, began, worked.counts, run=run, batch=worked.batch)
    hints.work_on_run(hints.broker_for(settings().redis_url), brand_id, run_id)


@dramatiq.actor(queue_name=hints.WEBHOOKS_QUEUE)
def deliver_to_webhook(brand: str, webhook: str) -> None:
    """Deliver what is due to a webhook for a turn, and ask for the next one if that was not all."""
    try:
        brand_id, webhook_id = UUID(brand), UUID(webhook)
    except (ValueError, TypeError, AttributeError):
        logger.error("message_without_ids", actor="deliver_to_webhook")
        return
    if dispatcher.deliver(engine_for(settings().database_url), brand_id, webhook_id):
        hints.deliver(hints.broker_for(settings().redis_url), brand_id, webhook_id)


@dramatiq.actor(queue_name=hints.EVENTS_QUEUE)
def quarantine_message(body: str, error: str) -> None:
    """Keep a message that could not be read where the operator sees it, and take it off the queue."""
    raw = base64.b64decode(body)
    with transaction(engine_for(settings().database_url)) as connection:
        # Under the digest of its body, so that one message is kept once.
        connection.execute(
            text("""
                INSERT INTO quarantined_messages (message_id, queue, body, error) VALUES (:id, :queue, :body, :error)
                ON CONFLICT (message_id) DO NOTHING
            """),
            {"id": UUID(bytes=sha256(raw).digest()[:16]), "queue": "unknown", "body": raw, "error": error},
        )
    logger.error("message_quarantined", error=error, bytes=len(raw))
    _forget(raw)


def _forget(raw: bytes) -> None:
    """Take an unreadable message's body out of the broker; its id is not in it, so it is found by its body."""
    # The broker that fetched it: nobody else can acknowledge it.
    broker = dramatiq.get_broker()
    assert isinstance(broker, RedisBroker), "set in worker/__init__"
    client: redis.Redis = broker.client
    for queue in hints.QUEUES:
        for message_id, body in client.hscan_iter(f"{broker.namespace}:{queue}.msgs"):
            if body == raw:
                broker.do_ack(queue, message_id)


def _log(event: str, brand: str, began: float, counts: Counter[Reason], **more: object) -> None:
    outcomes = {reason.value: n for reason, n in counts.items() if n}
    logger.info(event, brand=brand, ms=round((monotonic() - began) * 1000, 1), **outcomes, **more)
