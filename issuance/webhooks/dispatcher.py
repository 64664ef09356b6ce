"""Delivers what is due to a webhook, batch by batch: claim a batch, attempt it, record the results."""

import logging
from time import monotonic
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import Engine

from issuance.database import transaction
from issuance.log import logger
from issuance.tenancy.shares import Shares
from issuance.webhooks import deliveries
from issuance.webhooks.client import PATIENCE, Message, send_all
from issuance.webhooks.deliveries import Attempted

#: Seconds that a worker spends on one webhook at a time, so that other webhooks do not wait for it.
TIME_SLICE = 10.0
#: Webhooks of one brand that a process delivers to at once, and webhooks that are failing: receivers that never answer
#: keep only so many threads waiting (the Procfile has 48). Whoever is turned away comes again with the next tick.
MOST_A_BRAND, MOST_FAILING = 4, 16

_shares = Shares(MOST_A_BRAND)
_failing = Shares(MOST_FAILING)


def deliver(engine: Engine, brand_id: UUID, webhook_id: UUID, *, patience: float = PATIENCE) -> bool:
    """Attempt what is due to a webhook, for one time slice. True if more may be due.

    An attempt is given up after `patience` seconds.
    """
    began = monotonic()
    with _shares.of(brand_id) as mine, _failing.of(None) as may_fail:
        while mine and monotonic() - began < TIME_SLICE:
            if not _deliver_batch(engine, brand_id, webhook_id, patience, may_fail):
                return False
        return mine


def _deliver_batch(engine: Engine, brand_id: UUID, webhook_id: UUID, patience: float, may_fail: bool) -> bool:
    """Attempt one batch of deliveries. False if nothing was due or nothing was delivered."""
    # The attempts are counted, and committed, before they are made.
    with transaction(engine, brand_id) as connection:
        claimed = deliveries.claim(connection, brand_id, webhook_id, may_fail=may_fail)
    if claimed is None:
        return False
    messages = [
        Message(str(row.event_id), to_json({"type": row.type, "timestamp": row.occurred_at, "data": row.data}))
        for row in claimed.deliveries
    ]
    outcomes = send_all(
        claimed.url,
        claimed.secrets,
        messages,
        sandbox=claimed.sandbox,
        brand_id=brand_id,
        patience=patience,
    )
    attempts = [
        Attempted(row.delivery_id, row.attempts, outcome.status, outcome.error, outcome.delivered, outcome.retry_after)
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
