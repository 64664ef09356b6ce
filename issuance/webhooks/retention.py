"""Forgetting deliveries, some at a time: those that are kept no longer, and those of a webhook that goes. Whole months
go at once (`months`)."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection, text

from issuance import limits

_FORGET_SOME = text("""
    DELETE FROM deliveries
     WHERE brand_id = :brand_id AND webhook_id = :webhook_id
       AND event_id IN (SELECT event_id FROM deliveries WHERE brand_id = :brand_id AND webhook_id = :webhook_id
                         LIMIT :most)
""")
_IS_OVER = "state <> 'pending' AND attempted_at < clock_timestamp() - CAST(:after AS interval)"
# First deliveries that were finished long ago, and then the events that have no delivery left. It is asked again of
# each: one may be sent again meanwhile.
_FORGET = text(f"""
    DELETE FROM deliveries
     WHERE (brand_id, delivery_id, event_id) IN (
               SELECT brand_id, delivery_id, event_id FROM deliveries WHERE {_IS_OVER} LIMIT :most)
       AND {_IS_OVER}
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
    most = limits.current.webhooks.tidied
    some = {"after": kept, "most": most}
    return any(connection.execute(forget, some).rowcount == most for forget in (_FORGET, _FORGET_EVENTS))


def forget_some(connection: Connection, brand_id: UUID, webhook_id: UUID) -> bool:
    """Delete some of a webhook's deliveries: a second's work. True if there may be more."""
    most = limits.current.webhooks.forgotten
    some = {"brand_id": brand_id, "webhook_id": webhook_id, "most": most}
    return connection.execute(_FORGET_SOME, some).rowcount == most
