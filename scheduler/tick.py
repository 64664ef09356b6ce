"""One look at PostgreSQL for work: what is due, runs that nobody works on, events whose hint was lost, deliveries,
search words for new members.

Each look is bounded, and any number of schedulers may run: a brand has at most one sweep, and hints may be doubled.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from uuid import UUID

import dramatiq
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from issuance import heartbeats, hints, limits, origins, tracing
from issuance.billers import adapters, asking, reconciling
from issuance.billers import deliveries as received
from issuance.billing import rejections
from issuance.database import is_away, months, transaction
from issuance.database.complaints import in_short
from issuance.engine import batches, guard_limits, guards, plans, sweeps, waiting_runs
from issuance.engine.bisection import in_pieces, singly
from issuance.errors import IssuanceError, SchemaAhead, SchemaBehind, Untidy
from issuance.log import logger
from issuance.members import words
from issuance.people import sign_ins
from issuance.settings import OwnSettings
from issuance.tenancy import idempotency
from issuance.webhooks import deliveries, retention
from issuance.webhooks import months as of_outbox


@dataclass(frozen=True, slots=True)
class TickSizes:
    """How many of each one tick asks for at most. The next ones come at the next tick."""

    brands: int = 200
    runs: int = 200
    memberships: int = 2_000
    webhooks: int = 1_000
    billers: int = 200
    deliveries: int = 1_000


LIMITS = TickSizes()
#: Seconds of a tick in which search words are written: who looks for work waits for no more of it.
WRITING = 0.25
#: A hint after which nothing was done for this long counts as lost.
_FORGOTTEN_AFTER = "2 seconds"


@dataclass(slots=True)
class Tick:
    """How much work one tick asked for."""

    sweeps: int = 0
    batches: int = 0
    resumed: int = 0
    memberships: int = 0
    webhooks: int = 0
    billers: int = 0

    def is_news(self, *, broker_away: bool) -> bool:
        """Whether to log it. While the broker is away, each tick asks for the same again."""
        asked = self.resumed or self.memberships or self.webhooks
        return bool(self.sweeps or (asked and not broker_away))


def run_once(engine: Engine, broker: dramatiq.Broker, limits: TickSizes = LIMITS) -> Tick:
    """Plan sweeps of what is due, and ask again for work that was not done. Each brand has its own clock.

    Each part fails alone. The first error is raised when all have had their turn, or at once where the database is away
    or its schema does not fit."""
    tick = Tick()
    failed: list[Exception] = []
    # In this order: what members wait for comes first.
    parts = (_sweep, _resume_runs, _settle_forgotten, _deliver, _translate_forgotten, _plan_nights, _ask, _write_words)
    for part in parts:
        try:
            part(engine, broker, tick, limits)
        except Exception as error:
            if _stops(error):
                raise
            failed.append(error)
    if failed:
        raise failed[0]
    return tick


def tidy(engine: Engine, keep: OwnSettings) -> None:
    """Delete what is kept no longer, and make the months ahead. It reads whole tables, so once an hour is enough.

    Each step is done by itself, so that one that fails stops no other. Raises Untidy, which names those that did.
    """
    failed: dict[str, Exception] = {}
    for what, step in _steps_of_tidying(keep).items():
        try:
            step(engine)
        except Exception as error:
            if _stops(error):
                raise
            failed[what] = error
    if failed:
        raise Untidy("; ".join(f"{what}: {in_short(error)}" for what, error in failed.items()))


def _stops(error: Exception) -> bool:
    """Whether what comes next would fail for it too."""
    return is_away(error) or isinstance(error, SchemaAhead | SchemaBehind)


def _steps_of_tidying(keep: OwnSettings) -> dict[str, Callable[[Engine], object]]:
    """What is tidied, in the words of the log."""
    of_deliveries = timedelta(days=keep.keep_deliveries_days)
    of_refused, of_plans = timedelta(days=keep.keep_refused_days), timedelta(days=keep.keep_plans_days)

    def in_parts(forget: Callable[[Connection, int], int]) -> Callable[[Engine], None]:
        """However much has come together, no transaction deletes more than a part of it."""

        def step(engine: Engine) -> None:
            most = number = limits.current.database.tidied
            while number >= most:
                with transaction(engine) as connection:
                    number = forget(connection, most)

        return step

    def by(forget: Callable[[Connection], object]) -> Callable[[Engine], None]:
        def step(engine: Engine) -> None:
            with transaction(engine) as connection:
                forget(connection)

        return step

    def forget_deliveries(engine: Engine) -> None:
        more = True
        while more:
            with transaction(engine) as connection:
                more = retention.forget(connection, of_deliveries)

    return {
        "months ahead": months.make_ahead,
        "months of the outbox": lambda engine: of_outbox.drop(engine, of_deliveries),
        "deliveries": forget_deliveries,
        "billers' deliveries": in_parts(lambda connection, most: received.forget(connection, of_deliveries, most)),
        "refused events": in_parts(lambda connection, most: rejections.forget(connection, of_refused, most)),
        "plans": in_parts(lambda connection, most: plans.forget(connection, of_plans, most)),
        "what a later version translates": in_parts(_retry_mended),
        "answers": in_parts(idempotency.forget),
        "sign-ins": in_parts(sign_ins.forget),
        "days of guards": by(guard_limits.compact),
        "what the dead reserved": by(guards.forget_dead),
        "heartbeats": by(heartbeats.gather),
    }


def _retry_mended(connection: Connection, most: int) -> int:
    return sum(received.retry_mended(connection, kind, version, most) for kind, version in adapters.versions().items())


def _sweep(engine: Engine, broker: dramatiq.Broker, tick: Tick, limits: TickSizes) -> None:
    with transaction(engine) as connection:
        due = sweeps.brands_with_due(connection, most=limits.brands)
    planned = _planned(engine, due)
    room = hints.room_for_runs(broker) if planned else 0
    for brand_id, sweep in planned.items():
        tick.sweeps += 1
        tick.batches += sweep.batches
        with tracing.span("tick", brand=str(brand_id)):
            room -= hints.work_on_run(broker, brand_id, sweep.run_id, batches=min(sweep.batches, room))


def _planned(engine: Engine, due: dict[UUID, datetime]) -> dict[UUID, sweeps.Sweep]:
    """The sweeps of many brands, planned together; where that fails, each by itself, so that one stops no other."""
    planned: dict[UUID, sweeps.Sweep] = {}

    def plan(brand_ids: Sequence[UUID]) -> None:
        alone = brand_ids[0] if len(brand_ids) == 1 else None
        with transaction(engine, alone) as connection:
            done = sweeps.plan_all(connection, {brand_id: due[brand_id] for brand_id in brand_ids})
        planned.update(done)

    for brand_id, error in in_pieces([*due], plan, singly, fails=(SQLAlchemyError,), stops=is_away):
        logger.error("sweep_not_planned", brand=str(brand_id), error=type(error).__name__)
    return planned


def _resume_runs(engine: Engine, broker: dramatiq.Broker, tick: Tick, limits: TickSizes) -> None:
    with transaction(engine) as connection:
        stalled = waiting_runs.stalled(connection, after=_FORGOTTEN_AFTER, most=limits.runs)
    room = hints.room_for_runs(broker) if stalled else 0
    for run in stalled:
        with _alone("run_not_resumed", run.brand_id), tracing.span("tick", brand=str(run.brand_id)):
            batches.close(engine, run.brand_id, run.run_id)
            room -= hints.work_on_run(broker, run.brand_id, run.run_id, batches=min(max(run.left_over, 1), room))
        tick.resumed += 1


def _settle_forgotten(engine: Engine, broker: dramatiq.Broker, tick: Tick, limits: TickSizes) -> None:
    with transaction(engine) as connection:
        forgotten = sweeps.unsettled(connection, older_than=_FORGOTTEN_AFTER, most=limits.memberships)
    for brand_id, membership_ids in forgotten.items():
        tick.memberships += len(membership_ids)
        if not hints.are_not_sent():
            # A trace for each membership: they have nothing in common.
            found = {str(one): (origins.NOWHERE,) for one in membership_ids}
            with origins.working_for_each(found), tracing.spans("tick", brand=str(brand_id)):
                hints.settle(broker, brand_id, membership_ids)


def _deliver(engine: Engine, broker: dramatiq.Broker, tick: Tick, limits: TickSizes) -> None:
    with transaction(engine) as connection:
        webhooks = deliveries.due(connection, most=limits.webhooks)
    for webhook in webhooks:
        with tracing.span("tick", brand=str(webhook.brand_id)):
            hints.deliver(broker, webhook.brand_id, webhook.webhook_id)
    tick.webhooks = len(webhooks)


def _translate_forgotten(engine: Engine, broker: dramatiq.Broker, tick: Tick, limits: TickSizes) -> None:
    with transaction(engine) as connection:
        received.look_again(connection, most=limits.deliveries)
    with transaction(engine) as connection:
        billers = received.with_pending(connection, older_than=_FORGOTTEN_AFTER, most=limits.billers)
    for brand_id, biller_id in billers:
        with tracing.span("tick", brand=str(brand_id)):
            hints.translate(broker, brand_id, biller_id)
    tick.billers += len(billers)


def _plan_nights(engine: Engine, _: dramatiq.Broker, __: Tick, limits: TickSizes) -> None:
    with transaction(engine) as connection:
        due = reconciling.due_nightly(connection, most=limits.billers)
    for brand_id, biller_id in due:
        with _alone("night_not_planned", brand_id), transaction(engine, brand_id) as connection:
            reconciling.start(connection, brand_id, biller_id, nightly=True)


def _ask(engine: Engine, broker: dramatiq.Broker, tick: Tick, limits: TickSizes) -> None:
    with transaction(engine) as connection:
        asks = asking.due(connection, most=limits.billers)
        stalled = reconciling.stalled(connection, most=limits.billers)
    asks += [(brand_id, biller_id) for brand_id, biller_id, _ in stalled]
    for brand_id, biller_id in sorted(set(asks), key=str):
        with tracing.span("tick", brand=str(brand_id)):
            hints.ask_biller(broker, brand_id, biller_id)
    tick.billers += len(asks)


def _write_words(engine: Engine, _: dramatiq.Broker, __: Tick, ___: TickSizes) -> None:
    """Brands take turns, as long as a tick has time for it."""
    with transaction(engine) as connection:
        brands = deque(words.waiting(connection))
    ends = monotonic() + WRITING  # from here on: a slow look at who waits takes nobody's turn
    while brands and monotonic() < ends:
        brand_id = brands.popleft()
        with _alone("words_not_written", brand_id):
            if _wrote(engine, brand_id):
                brands.append(brand_id)


def _wrote(engine: Engine, brand_id: UUID) -> bool:
    """Whether some words of a brand were written; who is changing the same people is left for the next tick."""
    try:
        with transaction(engine, brand_id) as connection:
            months.briefly(connection)
            return words.write_oldest(connection, brand_id)
    except DBAPIError as error:
        if not months.is_busy(error):
            raise
        return False


@contextmanager
def _alone(failure: str, brand_id: UUID) -> Iterator[None]:
    """What fails within is one brand's: it is logged, and the others have their turn."""
    try:
        yield
    except (SQLAlchemyError, IssuanceError) as error:
        if is_away(error) or isinstance(error, (SchemaAhead, SchemaBehind)):
            raise
        logger.error(failure, brand=str(brand_id), error=type(error).__name__)
