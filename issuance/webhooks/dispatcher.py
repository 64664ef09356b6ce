"""Rounds: claim what is due to a webhook, attempt it, note what came of it."""

import logging
from time import monotonic
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import Engine

from issuance.database.connections import transaction
from issuance.log import logger
from issuance.webhooks import deliveries
from issuance.webhooks.deliveries import Attempted
from issuance.webhooks.sending import Message, send_all

#: So long one webhook keeps a worker at a time, in seconds; then others have their turn.
A_TURN = 10.0


def deliver(engine: Engine, brand_id: UUID, webhook_id: UUID) -> bool:
    """Attempt what is due to a webhook, round by round, for a turn. True: more may be due."""
    began = monotonic()
    while monotonic() - began < A_TURN:
        if not _round(engine, brand_id, webhook_id):
            return False
    return True


def _round(engine: Engine, brand_id: UUID, webhook_id: UUID) -> bool:
    """One round; False where nothing was due or nothing got through."""
    # The attempts are counted, and committed, before they are made.
    with transaction(engine, brand_id) as connection:
        claimed = deliveries.claim(connection, brand_id, webhook_id)
    if claimed is None:
        return False
    messages = [
        Message(str(row.event_id), to_json({"type": row.type, "timestamp": row.occurred_at, "data": row.data}))
        for row in claimed.deliveries
    ]
    outcomes = send_all(claimed.url, claimed.signing_secret, messages, sandbox=claimed.sandbox)
    attempts = [
        Attempted(row.delivery_id, row.attempts, outcome.status, outcome.error, outcome.delivered)
        for row, outcome in zip(claimed.deliveries, outcomes, strict=True)
    ]
    gone = any(outcome.gone for outcome in outcomes)
    with transaction(engine, brand_id) as connection:
        disabled = deliveries.record(connection, brand_id, webhook_id, attempts, gone=gone)
    delivered = sum(attempt.delivered for attempt in attempts)
    failed = next((attempt.error for attempt in attempts if not attempt.delivered), None)
    who = {"brand": str(brand_id), "webhook": str(webhook_id)}
    logger.log(
        logging.INFO if failed is None else logging.WARNING,
        "webhook_attempted",
        **who,
        delivered=delivered,
        failed=len(attempts) - delivered,
        error=failed,
    )
    if disabled is not None:
        logger.error("webhook_disabled", **who, reason=disabled)
    return delivered > 0
