"""Move a sandbox brand's clock, and wait until everything due by then is settled (INTERFACE 8)."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import BoundedSemaphore, Lock
from uuid import UUID
from weakref import WeakValueDictionary

import dramatiq
from sqlalchemy import Connection, Engine, text

from issuance import audit, hints
from issuance.database.connections import Acting, transaction
from issuance.database.fragments import BRANDS_NOW
from issuance.engine import sweeps
from issuance.errors import ClockOnlyForward, Invalid, LiveBrandHasNoClock, NotSettledYet
from issuance.tenancy import clock as clocks

#: The most clock moves at once in a process: they wait for locks and must not use up the connections.
MOST_AT_ONCE = 2
#: An instant so little before now means the present, if the clock was never set: it has gone on since the caller read
#: it.
PRESENT = timedelta(minutes=1)
#: How long a caller is kept waiting for the workers, in seconds.
_PATIENCE = 300.0
#: How long between two looks at what is left, as a part of the time that it has taken.
_LOOK_AFTER = 0.08
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)

_turns = BoundedSemaphore(MOST_AT_ONCE)
#: By brand, what each of its moves holds for its turn.
_of_brands: "WeakValueDictionary[UUID, Lock]" = WeakValueDictionary()
_finding = Lock()

_MOVE = text(f"""
    UPDATE brands SET clock_now = :now, woke_at = CASE WHEN :jump THEN :now ELSE woke_at END
     WHERE brand_id = :brand_id AND ({BRANDS_NOW} <= :now OR (clock_now IS NULL AND :is_present))
""")
_WORK_UNDER_WAY = text("""
    SELECT EXISTS (SELECT FROM runs WHERE brand_id = :brand_id AND finished_at IS NULL AND state <> 'paused')
""")
# Billers whose webhooks are not translated yet, or who are still to be asked a first time for what they wait for.
_BILLERS_WITH_WORK = text("""
    SELECT biller_id, bool_or(state = 'asking') AS asks FROM biller_deliveries
     WHERE brand_id = :brand_id AND (state = 'pending' OR state = 'asking' AND attempts <= 1)
     GROUP BY biller_id
""")


@contextmanager
def _turn(brand_id: UUID) -> Iterator[None]:
    """One of the turns. A brand has one at a time, so that its moves leave turns for other brands, however many they
    are."""
    with _finding:
        of_brand = _of_brands.setdefault(brand_id, Lock())
    with of_brand, _turns:
        yield


def move(
    engine: Engine,
    broker: dramatiq.Broker,
    brand_id: UUID,
    now: datetime,
    *,
    jump: bool,
    acting: Acting | None = None,
) -> datetime:
    """Move the clock to `now` (an instant) and return it when everything accepted before and due by then is done.

    Time passes, so that whatever falls due on the way is settled at its own instant; with `jump` it is all
    decided at `now`. A clock that was never set is set to the present by an instant that has just been.
    `acting`: on whose behalf. Raises LiveBrandHasNoClock, ClockOnlyForward, Invalid, NotSettledYet.
    """
    if now >= _LATEST:
        raise Invalid(fields={"now": "must be before the year 2200"})
    with _turn(brand_id), transaction(engine, brand_id) as connection:
        clock = clocks.read(connection, brand_id)
        if not clock.sandbox:
            raise LiveBrandHasNoClock
        is_present = not clock.stands_still and now >= clock.now - PRESENT
        if now < clock.now and not is_present:
            raise ClockOnlyForward(f"The clock stands at {clock.now.isoformat()}; it only moves forward.")
    deadline = time.monotonic() + _PATIENCE
    # What was accepted under the old time is decided under the old time.
    _wait(engine, broker, brand_id, deadline)
    with _turn(brand_id), transaction(engine, brand_id, acting) as connection:
        if is_present:
            clocks.lock_alone(connection, brand_id)  # what is settled lies behind the present from here on
        before = clocks.read(connection, brand_id)
        if is_present and not before.stands_still:
            now = max(now, before.now)
        which = {"brand_id": brand_id, "now": now, "jump": jump, "is_present": is_present}
        if connection.execute(_MOVE, which).rowcount == 0:
            raise ClockOnlyForward("The clock was moved past that instant meanwhile.")
        if not before.stands_still or before.now != now or (jump and before.woke_at != now):
            was, is_now = {"now": before.now}, {"now": now, "jump": jump}
            audit.write(connection, brand_id, "clock.moved", brand_id, before=was, after=is_now)
    _wait(engine, broker, brand_id, deadline)
    return now


def _wait(engine: Engine, broker: dramatiq.Broker, brand_id: UUID, deadline: float) -> None:
    """Wait until a brand is settled, asking for the work that is still to do."""
    began = time.monotonic()
    while True:
        with _turn(brand_id), transaction(engine, brand_id) as connection:
            now = clocks.read(connection, brand_id).now
            billers = connection.execute(_BILLERS_WITH_WORK, {"brand_id": brand_id}).all()
            is_under_way = connection.scalar(_WORK_UNDER_WAY, {"brand_id": brand_id})
            if not (billers or is_under_way or _is_waiting(connection, brand_id, now)):
                return
            sweep = None if is_under_way else sweeps.plan(connection, brand_id, now)
        for biller in billers:
            hints.translate(broker, brand_id, biller.biller_id)
            if biller.asks:
                hints.ask_biller(broker, brand_id, biller.biller_id)
        if sweep is not None:
            hints.work_on_run(broker, brand_id, sweep.run_id, batches=sweep.batches)
            began = time.monotonic()  # a day of many may be done in a moment
        if time.monotonic() > deadline:
            raise NotSettledYet
        waited = time.monotonic() - began
        time.sleep(min(max(_LOOK_AFTER * waited, 0.005), 0.1))


def _is_waiting(connection: Connection, brand_id: UUID, now: datetime) -> bool:
    return sweeps.has_unsettled(connection, brand_id) or sweeps.is_due(connection, brand_id, now)
