"""Dropping whole months of the outbox, when all their deliveries are finished and need not be kept."""

from datetime import timedelta

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from issuance.database import months
from issuance.database.connections import transaction
from issuance.database.months import Partition
from issuance.log import logger

_PAST = text("""
    SELECT part FROM parts_of('webhook_events')
     WHERE until <= least_id(CAST(clock_timestamp() AT TIME ZONE 'UTC' - CAST(:after AS interval) AS date))
""")
_KEPT = text("""
    SELECT EXISTS (SELECT FROM deliveries WHERE event_id >= :first AND event_id < :next
                      AND (state <> 'pending'
                           AND attempted_at < clock_timestamp() - CAST(:after AS interval)) IS NOT TRUE)
""")
_PENDING = text("""
    SELECT EXISTS (SELECT FROM deliveries WHERE event_id >= :first AND event_id < :next AND state = 'pending')
""")


def drop(engine: Engine, kept: timedelta) -> list[str]:
    """Drop the months that ended longer ago than finished deliveries are kept, except those in which a delivery is
    pending or was attempted since. Returns the dropped parts of the table of events; the parts of the deliveries went
    with them. A month that can not be locked now is dropped another time."""
    with transaction(engine) as connection:
        past = set(connection.scalars(_PAST, {"after": kept}))
        ended = [part for part in months.parts(connection, "webhook_events") if part.name in past]
    dropped: list[str] = []
    for part in ended:
        try:
            with transaction(engine) as connection:
                if _dropped(connection, part, kept):
                    dropped.append(part.name)
        except DBAPIError as error:
            if not months.is_busy(error):
                raise
            logger.info("month_not_dropped", part=part.name, error=type(error.orig).__name__)
    return dropped


def _dropped(connection: Connection, events: Partition, kept: timedelta) -> bool:
    """Drop the part of the events and that of their deliveries, if nothing in them is to be kept; whether they went.
    The long look takes no lock; under the lock an index says whether anything became pending since."""
    of_month = dict(zip(("first", "next"), events.ids, strict=True))
    if connection.scalar(_KEPT, {**of_month, "after": kept}):
        return False
    months.briefly(connection)
    months.lock(connection, ("deliveries", "webhook_events"))
    if connection.scalar(_PENDING, of_month):
        return False
    months.drop(connection, events.name.removeprefix("webhook_events_"))
    return True
