"""Accounts: which person an identity provider's answer means, and a first account for a person who has none yet."""

from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import Connection, text

from issuance.errors import NotAllowed

if TYPE_CHECKING:  # it brings httpx, and what signatures need
    from issuance.people.oidc import Identity

# Without a role anywhere there is no session: nothing would be open in it.
_KNOWN = text("""
    SELECT p.person_id, EXISTS (SELECT FROM roles r WHERE r.person_id = p.person_id) AS has_role
      FROM people p WHERE p.oidc_issuer = :issuer AND p.oidc_subject = :subject
""")
# Whoever has an account with this issuer already keeps it: an address may be given to somebody else later.
_BIND = text("""
    UPDATE people p SET oidc_issuer = :issuer, oidc_subject = :subject
     WHERE p.email = :email AND p.oidc_issuer IS DISTINCT FROM :issuer
       AND EXISTS (SELECT FROM roles r WHERE r.person_id = p.person_id)
    RETURNING p.person_id
""")
_FORGET = text("UPDATE people SET oidc_issuer = NULL, oidc_subject = NULL WHERE person_id = :person_id")


class NoRole(NotAllowed):
    """You have no role here. An admin of a brand gives you one under Keys and people."""


def person_of(connection: Connection, identity: "Identity") -> UUID:
    """The person with this account; the first time, the one with its verified address, whose account it is from then
    on. `connection` sees all brands. Raises NoRole."""
    known = connection.execute(_KNOWN, identity._asdict()).one_or_none()
    if known is None:
        person_id: UUID | None = connection.scalar(_BIND, identity._asdict())
    else:
        person_id = known.person_id if known.has_role else None
    if person_id is None:
        raise NoRole
    return person_id


def forget(connection: Connection, person_id: UUID) -> None:
    """Let the next account with a person's address be theirs."""
    connection.execute(_FORGET, {"person_id": person_id})
