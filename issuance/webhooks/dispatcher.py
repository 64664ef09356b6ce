"""Delivering what is due to a webhook, batch by batch: claim a batch, attempt it, record the results."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import Engine

from issuance import origins
from issuance.database import transaction
from issuance.log import logger
from issuance.origins import NOWHERE
from issuance.tenancy.shares import Shares
from issuance.webhooks import deliveries
from issuance.webhooks.client import PATIENCE, Message, Receiver, Signing, send_all
from issuance.webhooks.deliveries import Attempted
from issuance.webhooks.lookups import TooManyLookups

#: Seconds that a worker spends on one webhook at a time, so that other webhooks do not wait for it.
TIME_SLICE = 10.0
#: How many webhooks a process delivers to at once (the Procfile has 48 threads): of one brand; failing ones, of one
#: brand and of all, so that a brand's dead hosts delay neither its other webhooks nor other brands; and unproven ones,
#: to which it has delivered nothing yet and which may be dead. A webhook that finds no place comes again with the next
#: tick.
MOST_A_BRAND, MOST_FAILING_A_BRAND, MOST_FAILING, MOST_UNPROVEN = 4, 2, 16, 24
#: How many proven webhooks are remembered.
_MOST_REMEMBERED = 100_000

_shares = Shares(MOST_A_BRAND)
_failing_of_a_brand, _failing = Shares(MOST_FAILING_A_BRAND), Shares(MOST_FAILING)
_unproven = Shares(MOST_UNPROVEN)
#: The webhooks that this process has delivered to.
_proven: set[UUID] = set()


def deliver(engine: Engine, brand_id: UUID, webhook_id: UUID, *, patience: float = PATIENCE) -> bool:
    """Attempt what is due to a webhook, for one time slice. True if more may be due.

    An attempt is given up after `patience` seconds.
    """
    which = (engine, brand_id, webhook_id, patience)
    with _shares.of(brand_id) as mine:
        worked: bool | None = None
        if mine:
            with _place(webhook_id) as place:
                worked = _deliver_for_a_slice(*which) if place else None
        if mine and worked is None:  # nothing is due, or it is failing
            with _failing_of_a_brand.of(brand_id) as ours, _failing.of(None) as anyones:
                worked = _deliver_batch(*which, failing=True) if ours and anyones else None
        return bool(worked)


@contextmanager
def _place(webhook_id: UUID) -> Iterator[bool]:
    """Whether there is a place for a webhook, if it is not failing."""
    if webhook_id in _proven:
        yield True
    else:
        with _unproven.of(None) as place:
            yield place


def _deliver_for_a_slice(engine: Engine, brand_id: UUID, webhook_id: UUID, patience: float) -> bool | None:
    """Attempt batch by batch. Returns whether more may be due; None if nothing was due."""
    began = monotonic()
    worked = _deliver_batch(engine, brand_id, webhook_id, patience, failing=False)
    if worked is None:
        return None
    while worked and monotonic() - began < TIME_SLICE:
        worked = _deliver_batch(engine, brand_id, webhook_id, patience, failing=False)
    return bool(worked)


def _deliver_batch(engine: Engine, brand_id: UUID, webhook_id: UUID, patience: float, *, failing: bool) -> bool | None:
    """Attempt one batch of deliveries of a webhook that is `failing`, or is not. Returns whether anything was
    delivered; None if nothing was due."""
    # The attempts are counted, and committed, before they are made.
    with transaction(engine, brand_id) as connection:
        claimed = deliveries.claim(connection, brand_id, webhook_id, failing=failing)
    if claimed is None:
        return None
    messages = [
        Message(
            str(row.event_id),
            to_json({"type": row.type, "timestamp": row.occurred_at, "data": row.data}),
            origins.sane(row.request_id, row.traceparent),
        )
        for row in claimed.deliveries
    ]
    who = {"brand": str(brand_id), "webhook": str(webhook_id)}
    to = Receiver(claimed.url, brand_id, claimed.sandbox, failing)
    try:
        outcomes = send_all(to, Signing(claimed.secrets, claimed.at), messages, patience=patience)
    except TooManyLookups as error:
        with transaction(engine, brand_id) as connection:
            deliveries.put_off(connection, brand_id, webhook_id, claimed)
        logger.info("webhook_put_off", **who, reason=error.message)
        return False
    attempts = [
        Attempted(
            row.delivery_id,
            row.event_id,
            row.attempts,
            outcome.status,
            outcome.error,
            outcome.delivered,
            outcome.retry_after,
        )
        for row, outcome in zip(claimed.deliveries, outcomes, strict=True)
    ]
    gone = any(outcome.gone for outcome in outcomes)
    with transaction(engine, brand_id) as connection:
        disabled = deliveries.record(connection, brand_id, webhook_id, attempts, gone=gone)
    delivered = sum(attempt.delivered for attempt in attempts)
    _remember(webhook_id, proven=delivered > 0)
    failed = next((attempt.error for attempt in attempts if not attempt.delivered), None)
    with origins.working_for_each({one.message_id: (one.origin,) for one in messages if one.origin != NOWHERE}):
        logger.log(
            logging.INFO if failed is None else logging.WARNING,
            "webhook_attempted",
            **who,
            delivered=delivered,
            failed=len(attempts) - delivered,
            error=failed,
            **origins.requests(),
        )
    if disabled is not None:
        logger.error("webhook_disabled", **who, reason=disabled)
    return delivered > 0


def _remember(webhook_id: UUID, *, proven: bool) -> None:
    if not proven:
        _proven.discard(webhook_id)
    elif len(_proven) < _MOST_REMEMBERED:
        _proven.add(webhook_id)
