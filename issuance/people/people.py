"""People: added to a brand with a role, listed, removed from it."""

import re
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, select, text
from uuid_utils.compat import uuid7

from issuance import audit, limits
from issuance.database.tables import people, roles, sign_in_links
from issuance.errors import Conflict, Invalid, NotFound
from issuance.people import sessions
from issuance.people.roles import ROLES, Role

#: Whoever runs `./run` on their own machine, as the console calls them.
OPERATOR = "operator@localhost"

_EMAIL = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,255}")

_ENSURE = text("""
    INSERT INTO people (person_id, email) VALUES (:person_id, :email)
    ON CONFLICT ON CONSTRAINT people_email_unique DO UPDATE SET email = excluded.email
    RETURNING person_id
""")
_GIVE = text("""
    INSERT INTO roles (brand_id, person_id, role) VALUES (:brand_id, :person_id, :role)
    ON CONFLICT (brand_id, person_id) DO UPDATE SET role = excluded.role
""")
_ADMINS = text("""
    SELECT count(*) FROM (SELECT FROM roles WHERE brand_id = :brand_id AND role = 'admin' FOR UPDATE) held
""")

_COUNT = text("SELECT count(*) FROM roles WHERE brand_id = :brand_id")


class LastAdmin(Conflict):
    """Somebody must be left who may let others in: give another person the role admin first."""

    code = "last_admin"


class TooManyPeople(Conflict):
    """A brand has at most 1000 people: remove those who do not come any more."""

    code = "too_many_people"


def as_kept(email: str) -> str:
    """An address without spaces around it, in lower case. What is no letter of ASCII becomes none: the Kelvin sign is
    no k, or whoever has an address with the one would be whoever has it with the other."""
    return "".join(one if one.lower().isascii() > one.isascii() else one.lower() for one in email.strip())


def read_email(email: str) -> str:
    """An address as it is kept and compared (`as_kept`). Raises Invalid."""
    address = as_kept(email)
    if not _EMAIL.fullmatch(address):
        raise Invalid("email: must be an e-mail address", fields={"email": "must be an e-mail address"})
    return address


def add(connection: Connection, brand_id: UUID, email: str, role: str) -> UUID:
    """Give a person a role in a brand, in place of the one that they may have: their `person_id`.

    A person who is not known yet is made. Raises Invalid, TooManyPeople; LastAdmin where the last admin would be none.
    """
    if role not in ROLES:
        raise Invalid(f"role: must be one of {', '.join(ROLES)}", fields={"role": f"one of {', '.join(ROLES)}"})
    address = read_email(email)
    person_id: UUID = connection.scalar(_ENSURE, {"person_id": uuid7(), "email": address})
    had = role_of(connection, brand_id, person_id)
    if had == role:
        return person_id
    if had == "admin":
        _keep_an_admin(connection, brand_id)
    connection.execute(_GIVE, {"brand_id": brand_id, "person_id": person_id, "role": role})
    if had is None:
        if (connection.scalar(_COUNT, {"brand_id": brand_id}) or 0) > limits.current.callers.people:
            raise TooManyPeople
        # Made when they could do less, by others; those of whoever runs Issuance stay good.
        theirs = sign_in_links.c.person_id == person_id
        connection.execute(delete(sign_in_links).where(theirs, sign_in_links.c.invited))
        audit.write(connection, brand_id, "person.added", person_id, after={"email": address, "role": role})
    else:
        audit.write(connection, brand_id, "person.changed", person_id, before={"role": had}, after={"role": role})
    return person_id


def sign_out(connection: Connection, brand_id: UUID, person_id: UUID) -> None:
    """Sign a person of a brand out of every browser. Raises NotFound."""
    if role_of(connection, brand_id, person_id) is None:
        raise NotFound("There is no such person in this brand.")
    sessions.end_all(connection, person_id)
    audit.write(connection, brand_id, "person.signed_out", person_id)


def remove(connection: Connection, brand_id: UUID, person_id: UUID) -> None:
    """Take a person's role in a brand, from the commit on. Raises NotFound, LastAdmin."""
    had = role_of(connection, brand_id, person_id)
    if had is None:
        raise NotFound("There is no such person in this brand.")
    if had == "admin":
        _keep_an_admin(connection, brand_id)
    connection.execute(delete(roles).where(roles.c.brand_id == brand_id, roles.c.person_id == person_id))
    audit.write(connection, brand_id, "person.removed", person_id, before={"role": had})


def find(connection: Connection, brand_id: UUID, email: str) -> Role | None:
    """The role in a brand of whoever has an address; None: they have none."""
    found = select(roles.c.role).join(people, people.c.person_id == roles.c.person_id)
    role: Role | None = connection.scalar(found.where(roles.c.brand_id == brand_id, people.c.email == as_kept(email)))
    return role


def role_of(connection: Connection, brand_id: UUID, person_id: UUID) -> Role | None:
    """The role of a person in a brand; None: they have none."""
    one = select(roles.c.role).where(roles.c.brand_id == brand_id, roles.c.person_id == person_id)
    role: Role | None = connection.scalar(one)
    return role


def all_of(connection: Connection, brand_id: UUID) -> list[dict[str, Any]]:
    """The people of a brand by their addresses, with their roles."""
    rows = connection.execute(
        select(
            people.c.person_id.label("id"),
            people.c.email,
            roles.c.role,
            roles.c.created_at,
            people.c.password_hash.is_not(None).label("has_password"),
            people.c.signed_in_at,
        )
        .join(roles, roles.c.person_id == people.c.person_id)
        .where(roles.c.brand_id == brand_id)
        .order_by(people.c.email)
    )
    return [dict(row) for row in rows.mappings()]


def _keep_an_admin(connection: Connection, brand_id: UUID) -> None:
    if (connection.scalar(_ADMINS, {"brand_id": brand_id}) or 0) < 2:
        raise LastAdmin
