"""Forgetting deliveries, some at a time: those that are kept no longer, and those of a webhook that goes. Whole months
go at once (`months`)."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection, text

#: How many deliveries of a webhook that goes are forgotten at once: a second's work.
MOST_FORGOTTEN = 10_000
#: How many deliveries that were finished long ago one transaction forgets, however many fall due at once.
MOST_TIDIED = 50_000

_FORGET_SOME = text("""
    DELETE FROM deliveries
     WHERE brand_id = :brand_id AND webhook_id = :webhook_id
       AND event_id IN (SELECT event_id FROM deliveries WHERE brand_id = :brand_id AND webhook_id = :webhook_id
                         LIMIT :most)
""")
# First deliveries that were finished long ago, and then the events that have no delivery left.
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
    """Delete some deliveries of all brands that were finished longer ago than they are kept, and some of the events
    that have none left. Finished deliveries are kept so that people can look at them and send them again. True if there
    may be more: then commit and call it again."""
    some = {"after": kept, "most": MOST_TIDIED}
    return any(connection.execute(forget, some).rowcount == MOST_TIDIED for forget in (_FORGET, _FORGET_EVENTS))


def forget_some(connection: Connection, brand_id: UUID, webhook_id: UUID) -> bool:
    """Delete some of a webhook's deliveries, at most MOST_FORGOTTEN. True if there may be more."""
    some = {"brand_id": brand_id, "webhook_id": webhook_id, "most": MOST_FORGOTTEN}
    return connection.execute(_FORGET_SOME, some).rowcount == MOST_FORGOTTEN
