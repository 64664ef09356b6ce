"""Passwords: kept as argon2id, checked at one cost whether or not there is such a person."""

from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, delete, select, update

from issuance.database.tables import people, sessions
from issuance.errors import Invalid

#: In characters: length is what makes a password good, so nothing else is asked of it.
SHORTEST, LONGEST = 12, 200

_hasher = PasswordHasher()
#: What is checked where there is no password, so that it takes as long.
_NOBODYS = _hasher.hash("nobody's password")


def check_form(password: str) -> None:
    """Raises Invalid for a password that can not be chosen."""
    if not SHORTEST <= len(password) <= LONGEST:
        wrong = f"must have {SHORTEST} to {LONGEST} characters"
        raise Invalid(f"A password {wrong}.", fields={"password": wrong})


def choose(connection: Connection, person_id: UUID, password: str) -> None:
    """Give a person a new password, and end every session of theirs. Raises Invalid."""
    check_form(password)
    one = update(people).where(people.c.person_id == person_id)
    connection.execute(one.values(password_hash=_hasher.hash(password)))
    connection.execute(delete(sessions).where(sessions.c.person_id == person_id))


def person_with(connection: Connection, email: str, password: str) -> UUID | None:
    """Whose address and password these are; None: nobody's. It always takes as long as checking a password does."""
    one = select(people.c.person_id, people.c.password_hash).where(people.c.email == email)
    row = connection.execute(one).one_or_none()
    kept = None if row is None else row.password_hash
    try:
        _hasher.verify(kept or _NOBODYS, password[:LONGEST])
    except (VerificationError, InvalidHashError):
        return None
    return None if row is None or kept is None else row.person_id


def has_one(connection: Connection, person_id: UUID) -> bool:
    """Whether a person has chosen a password."""
    return connection.scalar(select(people.c.password_hash).where(people.c.person_id == person_id)) is not None
