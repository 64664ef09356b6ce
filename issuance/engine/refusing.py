"""Events that were accepted ahead of their sign-up and turn out not to fit it: kept for the operator instead."""

from uuid import UUID

from sqlalchemy import Connection, text
from uuid_utils.compat import uuid7

from issuance.engine.loading import Membership

_REFUSE = text("""
    WITH refused AS (
         DELETE FROM billing_events
          WHERE brand_id = :brand_id AND source = :source AND event_id = :event_id
      RETURNING *)
    INSERT INTO rejected_events (brand_id, rejected_id, code, message, body)
    SELECT brand_id, :rejected_id, 'anchor_before_start', 'billing_anchor is before the starts_on of the membership.',
           json_build_object('specversion', '1.0', 'source', source, 'id', event_id, 'type', type, 'time', time,
                             'data', data || jsonb_build_object('membership_id', membership_id))::text
      FROM refused
""")


def refuse_misfits(connection: Connection, brand_id: UUID, membership: Membership) -> None:
    """A billing date that was moved to before the membership starts is refused (SEMANTICS 2)."""
    for fact in [fact for fact in membership.facts if fact.type == "membership.billing_date_moved" and fact.unsettled]:
        if fact.data["billing_anchor"] < membership.row.starts_on.isoformat():
            membership.facts.remove(fact)
            which = {"brand_id": brand_id, "source": fact.order.source, "event_id": fact.order.event_id}
            connection.execute(_REFUSE, {**which, "rejected_id": uuid7()})
