"""Invitations: an admin of a brand gives somebody a role there, and a link that lets them in once.

A person is one in all brands, and whoever holds a link can choose their password. So a brand's admin invites nobody who
has a role in a brand that is not the admin's too: whoever runs Issuance does that by command.
"""

from uuid import UUID

from sqlalchemy import Connection, Engine, delete, text, update

from issuance import audit
from issuance.database import look
from issuance.database.tables import people as people_table
from issuance.database.tables import sessions, sign_in_links
from issuance.errors import Conflict
from issuance.people import people, sign_ins

# The person's roles: whether there is any, and any in a brand where who invites is no admin.
_ROLES = text("""
    SELECT count(*) > 0 AS any_role,
           coalesce(bool_or(theirs.brand_id <> :brand_id AND mine.role IS DISTINCT FROM 'admin'), false) AS elsewhere
      FROM roles theirs
      LEFT JOIN roles mine ON mine.brand_id = theirs.brand_id AND mine.person_id = :by
     WHERE theirs.person_id = :person_id
""")


class RoleElsewhere(Conflict):
    """They have a role in a brand that is not yours. Whoever runs Issuance adds them here: issuance people add."""

    code = "role_elsewhere"


def invite(connection: Connection, looks: Engine, brand_id: UUID, by: UUID, email: str, role: str) -> str:
    """Give somebody a role in a brand, by one of its admins: a link that lets them in once.

    `looks` sees all brands. Whoever has no role anywhere begins anew, without the password that they may have had.
    Raises Invalid, LastAdmin, RoleElsewhere.
    """
    person_id = _add(connection, brand_id, email, role)
    # Only now: until the end of the transaction nobody else adds them.
    with look(looks) as everything:
        known = everything.execute(_ROLES, {"brand_id": brand_id, "by": by, "person_id": person_id}).one()
    if known.elsewhere:
        raise RoleElsewhere
    if not known.any_role:
        connection.execute(update(people_table).where(people_table.c.person_id == person_id).values(password_hash=None))
        connection.execute(delete(sessions).where(sessions.c.person_id == person_id))
        connection.execute(delete(sign_in_links).where(sign_in_links.c.person_id == person_id))
    return sign_ins.make_link(connection, person_id, invited=True)


def invite_by_command(connection: Connection, brand_id: UUID, email: str, role: str) -> tuple[UUID, str]:
    """Give somebody a role in a brand, by whoever runs Issuance: their `person_id`, and a link that lets them in once.
    Raises Invalid, LastAdmin, TooManyPeople."""
    person_id = _add(connection, brand_id, email, role)
    return person_id, sign_ins.make_link(connection, person_id)


def _add(connection: Connection, brand_id: UUID, email: str, role: str) -> UUID:
    """Give the role; a link for somebody who has it already is an entry of the audit too."""
    had = people.find(connection, brand_id, email)
    person_id = people.add(connection, brand_id, email, role)
    if had == role:
        audit.write(connection, brand_id, "person.invited", person_id)
    return person_id
