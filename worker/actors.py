"""The actors: ids in, settled memberships and deliveries out.

They do not retry: what was not done is found by its state in PostgreSQL and asked for again.
"""

import base64
from collections import Counter
from functools import partial
from hashlib import sha256
from time import monotonic
from uuid import UUID

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from sqlalchemy import Engine, text

from issuance import hints, measures, origins, tracing
from issuance.billers import asking, reconciling, translation
from issuance.database import transaction
from issuance.deciding.reasons import Reason
from issuance.engine import arrivals, batches, waiting_runs
from issuance.log import logger
from issuance.tenancy.shares import Shares
from issuance.webhooks import dispatcher
from worker.backlog import Backlog

#: Seconds that a worker spends on one run at a time, so that other runs do not wait for it.
TIME_SLICE = 0.4
#: Billers that a process asks at once, of one brand and of all: they may take minutes, and deliveries have the same
#: threads.
ASKED_A_BRAND, MOST_ASKED = 2, 12
#: Seconds beyond which one batch has held its worker up for long.
SLOW = 4.0
#: A process spends at most one part in so many of its time on looking whose run comes first.
_LOOKS = 20

_asking_of_a_brand, _asking = Shares(ASKED_A_BRAND), Shares(MOST_ASKED)

# The id is a digest of the body, so that a message that is read twice is kept once.
_QUARANTINE = text("""
    INSERT INTO quarantined_messages (message_id, queue, body, error) VALUES (:id, :queue, :body, :error)
    ON CONFLICT (message_id) DO NOTHING
""")


class Actors:
    """What the messages ask for, done on one database. Hints for further work go to `broker`."""

    def __init__(self, engine: Engine, broker: dramatiq.Broker) -> None:
        self._engine = engine
        self._broker = broker
        self._backlog = Backlog(self._settle)
        self._looks_again_at = 0.0

    def declare(self) -> None:
        """Make the actors known to the broker, each under the name of its method."""
        for name, queue in hints.QUEUE_OF.items():
            dramatiq.actor(queue_name=queue, broker=self._broker)(getattr(self, name))

    def settle_memberships(self, brand: str, memberships: list[str]) -> None:
        """Settle memberships that something happened to."""
        if (ids := _ids("settle_memberships", brand, memberships)) is None:
            return
        brand_id, membership_ids = ids
        self._backlog.ask(brand_id, membership_ids)

    def _settle(self, brand_id: UUID, membership_ids: list[UUID]) -> None:
        began = monotonic()
        with tracing.spans("settle", brand=str(brand_id), memberships=len(membership_ids)):
            counts = arrivals.settle_soon(self._engine, brand_id, membership_ids)
        measures.settled("event", monotonic() - began)
        told = origins.requests()
        _log("memberships_settled", str(brand_id), began, counts, memberships=len(membership_ids), **told)

    def translate_deliveries(self, brand: str, biller: str) -> None:
        """Translate what a biller sent for one time slice, have it settled, and ask for the rest."""
        until = monotonic() + TIME_SLICE
        if (ids := _ids("translate_deliveries", brand, [biller])) is None:
            return
        brand_id, (biller_id,) = ids
        while (began := monotonic()) < until:
            done = translation.translate(self._engine, brand_id, biller_id)
            if not done.deliveries:
                return
            with origins.working_for_each(done.of_deliveries):
                logger.info(
                    "deliveries_translated",
                    brand=brand,
                    ms=round((monotonic() - began) * 1000, 1),
                    deliveries=done.deliveries,
                    facts=done.accepted,
                    **origins.requests(),
                )
            with origins.working_for_each(done.of_memberships):
                hints.settle(self._broker, brand_id, done.membership_ids)
            if done.asks:
                hints.ask_biller(self._broker, brand_id, biller_id)
        hints.translate(self._broker, brand_id, biller_id)

    def work_on_run(self, brand: str, run: str) -> None:
        """Do the next batches of a run for one time slice, and ask for the batches after them. Where another brand's
        run comes first, it gets the slice, and this one is asked for again."""
        if (ids := _ids("work_on_run", brand, [run])) is None:
            return
        brand_id, (run_id,) = ids
        first = self._first(brand_id, run_id)
        if (first != (brand_id, run_id) and self._work_for_a_slice(*first)) or self._work_for_a_slice(brand_id, run_id):
            hints.work_on_run(self._broker, brand_id, run_id)

    def _first(self, brand_id: UUID, run_id: UUID) -> tuple[UUID, UUID]:
        """Whose slice it is, with its brand. Asked once a slice: what is done in less keeps nobody waiting."""
        began = monotonic()
        if began < self._looks_again_at:
            return brand_id, run_id
        with transaction(self._engine) as connection:
            first = waiting_runs.first(connection, brand_id, run_id)
        self._looks_again_at = monotonic() + max(TIME_SLICE, _LOOKS * (monotonic() - began))
        return first

    def _work_for_a_slice(self, brand_id: UUID, run_id: UUID) -> bool:
        """Work on a run for one time slice; whether it may have more to do."""
        until = monotonic() + TIME_SLICE
        with hints.place_for(self._broker, brand_id) as mine:
            while mine and (began := monotonic()) < until:
                worked = batches.work_on_run(self._engine, brand_id, run_id)
                if monotonic() - began > SLOW:
                    hints.was_slow(self._broker, brand_id)
                if worked.batch is None:
                    return False
                measures.settled("batch", monotonic() - began)
                _log("batch_done", str(brand_id), began, worked.counts, run=str(run_id), batch=worked.batch)
        return mine

    def deliver_to_webhook(self, brand: str, webhook: str) -> None:
        """Deliver what is due to a webhook for one time slice, and ask for the rest if there may be more."""
        if (ids := _ids("deliver_to_webhook", brand, [webhook])) is None:
            return
        brand_id, (webhook_id,) = ids
        if dispatcher.deliver(self._engine, brand_id, webhook_id):
            hints.deliver(self._broker, brand_id, webhook_id)

    def ask_biller(self, brand: str, biller: str) -> None:
        """Ask a biller for what its deliveries wait for, and reconcile it where a run wants it."""
        if (ids := _ids("ask_biller", brand, [biller])) is None:
            return
        brand_id, (biller_id,) = ids
        with _asking_of_a_brand.of(brand_id) as ours, _asking.of(None) as anyones:
            if ours and anyones:  # else the scheduler asks again
                self._ask(brand_id, biller_id)

    def _ask(self, brand_id: UUID, biller_id: UUID) -> None:
        done = asking.ask(self._engine, brand_id, biller_id)
        hints.settle(self._broker, brand_id, done.membership_ids)
        if done.deliveries:
            hints.translate(self._broker, brand_id, biller_id)
        with transaction(self._engine, brand_id) as connection:
            stalled = reconciling.stalled(connection, most=1)
        for _, of_biller, run_id in stalled:
            settle = partial(hints.settle, self._broker, brand_id)
            reconciling.work(self._engine, brand_id, run_id, settle)
            hints.translate(self._broker, brand_id, of_biller)

    def quarantine_message(self, body: str, error: str) -> None:
        """Keep a message that could not be read where the operator sees it, and take it off the queue."""
        raw = base64.b64decode(body)
        message = {"id": UUID(bytes=sha256(raw).digest()[:16]), "queue": "unknown", "body": raw, "error": error}
        with transaction(self._engine) as connection:
            connection.execute(_QUARANTINE, message)
        logger.error("message_quarantined", error=error, bytes=len(raw))
        self._take_off_the_queue(raw)

    def _take_off_the_queue(self, raw: bytes) -> None:
        """Acknowledge an unreadable message. Its id is not in it, so Redis finds it by its body; RabbitMQ knows it.

        Only the broker that fetched it can acknowledge it, and that is the one of this process.
        """
        if not isinstance(self._broker, RedisBroker):
            return
        for queue in hints.QUEUES:
            for message_id, body in self._broker.client.hscan_iter(f"{self._broker.namespace}:{queue}.msgs"):
                if body == raw:
                    self._broker.do_ack(queue, message_id)


def _ids(actor: str, brand: str, others: list[str]) -> tuple[UUID, list[UUID]] | None:
    """The ids that a message names, a brand's and others. None, and a line in the log, if they are no ids."""
    try:
        return UUID(brand), [UUID(other) for other in others]
    except (ValueError, TypeError, AttributeError):
        logger.error("message_without_ids", actor=actor)
        return None


def _log(event: str, brand: str, began: float, counts: Counter[Reason], **more: object) -> None:
    outcomes = {reason.value: n for reason, n in counts.items() if n}
    logger.info(event, brand=brand, ms=round((monotonic() - began) * 1000, 1), **outcomes, **more)
