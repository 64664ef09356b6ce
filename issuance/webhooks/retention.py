"""How long deliveries are kept, some at a time; whole months go at once (`months`)."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection, text

#: Deliveries of a webhook that goes are forgotten so many at once: a second's work.
MOST_FORGOTTEN = 10_000
#: Finished long ago they are forgotten so many in one transaction, however many fall due at once.
MOST_TIDIED = 50_000

_FORGET_SOME = text("""
    DELETE FROM deliveries
     WHERE brand_id = :brand_id AND webhook_id = :webhook_id
       AND event_id IN (SELECT event_id FROM deliveries WHERE brand_id = :brand_id AND webhook_id = :webhook_id
                         LIMIT :most)
""")
# Deliveries that were finished long ago, and then the events that have no delivery left.
_FORGET = text("""
    DELETE FROM deliveries
     WHERE (brand_id, delivery_id, event_id) IN (
               SELECT brand_id, delivery_id, event_id FROM deliveries
                WHERE state <> 'pending' AND attempted_at < clock_timestamp() - CAST(:after AS interval) LIMIT :most)
""")
_FORGET_EVENTS = text("""
    DELETE FROM webhook_events
     WHERE (brand_id, event_id) IN (
               SELECT e.brand_id, e.event_id FROM webhook_events e
                WHERE e.created_at < clock_timestamp() - CAST(:after AS interval)
                  AND NOT EXISTS (SELECT FROM deliveries d WHERE d.brand_id = e.brand_id AND d.event_id = e.event_id)
                LIMIT :most)
""")


def forget(connection: Connection, kept: timedelta) -> bool:
    """Delete some of the deliveries of all brands that were finished longer ago than they are kept, to be looked at and
    delivered again, and of the events that have none; whether there may be more of them: then commit and come again."""
    some = {"after": kept, "most": MOST_TIDIED}
    return any(connection.execute(forget, some).rowcount == MOST_TIDIED for forget in (_FORGET, _FORGET_EVENTS))


def forget_some(connection: Connection, brand_id: UUID, webhook_id: UUID) -> bool:
    """Delete some of a webhook's deliveries, at most MOST_FORGOTTEN; whether there may be more of them."""
    some = {"brand_id": brand_id, "webhook_id": webhook_id, "most": MOST_FORGOTTEN}
    return connection.execute(_FORGET_SOME, some).rowcount == MOST_FORGOTTEN
