"""A person as the desk sees them: the member, their memberships, and those in which they are a guest."""

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from issuance.errors import NotFound

#: How many memberships and redemptions of a person are shown.
MOST_MEMBERSHIPS, MOST_REDEMPTIONS = 20, 20

_MEMBER = text("""
    SELECT m.member_id, m.external_user_id, m.display_name, m.email, m.tier, m.joined_at, m.archived_at,
           (SELECT name FROM guests g
             WHERE g.brand_id = :brand_id AND g.member_id = m.member_id LIMIT 1) AS guest_name
      FROM members m WHERE m.brand_id = :brand_id AND m.member_id = :member_id AND m.joined_at IS NOT NULL
""")
# Their own memberships first, the latest of each kind first.
_MEMBERSHIPS = text("""
    SELECT membership_id, own FROM (
        SELECT membership_id, true AS own FROM memberships WHERE brand_id = :brand_id AND member_id = :member_id
         UNION ALL
        SELECT g.membership_id, false FROM guests g JOIN memberships m USING (brand_id, membership_id)
         WHERE g.brand_id = :brand_id AND g.member_id = :member_id AND m.member_id <> :member_id) theirs
     ORDER BY own DESC, membership_id LIMIT :most
""")
_MEMBER_OF = text("SELECT member_id FROM memberships WHERE brand_id = :brand_id AND membership_id = :membership_id")


def member(connection: Connection, brand_id: UUID, member_id: UUID) -> dict[str, Any]:
    """A member; `name` is their own name for themselves, or else an order's. Raises NotFound."""
    row = connection.execute(_MEMBER, {"brand_id": brand_id, "member_id": member_id}).mappings().one_or_none()
    if row is None:
        raise NotFound("There is no such member.")
    found = dict(row)
    found["name"] = found["display_name"] or found["guest_name"] or found["external_user_id"]
    return found


def memberships_of(connection: Connection, brand_id: UUID, member_id: UUID) -> list[tuple[UUID, bool]]:
    """The memberships that a member has or in which they are a guest: the ids, and whether they are their own."""
    which = {"brand_id": brand_id, "member_id": member_id, "most": MOST_MEMBERSHIPS}
    return [(row.membership_id, row.own) for row in connection.execute(_MEMBERSHIPS, which)]


def member_of(connection: Connection, brand_id: UUID, membership_id: UUID) -> UUID | None:
    """The member of a membership."""
    found: UUID | None = connection.scalar(_MEMBER_OF, {"brand_id": brand_id, "membership_id": membership_id})
    return found
