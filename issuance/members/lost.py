"""Whether a used credit was lost since, with a member who was removed (SEMANTICS 11)."""

from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from issuance.database.fragments import either
from issuance.engine.archivings import archived_since, removals_since
from issuance.engine.event_facts import members_among
from issuance.engine.facts import load
from issuance.engine.membership import Membership

# Its membership's member, and the one to whom it was transferred, are always the same. `with_member`: whether either
# was removed since it was used up, even if they came back.
_HOLDER = text(f"""
    SELECT c.redeemed_at, t.member_id IS NULL AS is_a_guests,
           {either("t.membership_id", "c.membership_id")} AS membership_id,
           {either("t.guest_id", "c.guest_id")} AS guest_id,
           EXISTS (SELECT FROM members p
                    WHERE p.brand_id = c.brand_id AND p.member_id IN (m.member_id, t.member_id)
                      AND {archived_since("c.redeemed_at")}) AS with_member
      FROM credits c
      JOIN memberships m USING (brand_id, membership_id)
      LEFT JOIN transfers t USING (brand_id, transfer_id)
     WHERE c.brand_id = :brand_id AND c.credit_id = :credit_id
""")


def is_lost(connection: Connection, brand_id: UUID, zone: ZoneInfo, credit_id: UUID, membership: Membership) -> bool:
    """Whether a credit of a membership was lost since it was used up: its membership's member was removed, or its
    holder. Of a guest the member counts who the lists said they were at the time."""
    holder = connection.execute(_HOLDER, {"brand_id": brand_id, "credit_id": credit_id}).one()
    if holder.with_member or not holder.is_a_guests or holder.redeemed_at is None:
        return bool(holder.with_member)
    if holder.membership_id != membership.membership_id:
        (membership,) = load(connection, brand_id, zone, [holder.membership_id], with_credits=False)
    said = members_among(membership.named, membership.facts.told)
    was = [one for one in said if one.guest_id == holder.guest_id]
    removed = removals_since(connection, brand_id, [one.external_user_id for one in was], holder.redeemed_at)
    return any(one.span.holds_at(at) for one in was for at in removed.get(one.external_user_id, ()))
