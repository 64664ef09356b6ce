"""Passwords: kept as argon2id, checked at one cost whether or not there is such a person."""

from functools import cache
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, delete, select, update

from issuance.database.tables import people, sessions
from issuance.errors import Invalid

#: In characters: length is what makes a password good, so no kind of them is asked for.
SHORTEST, LONGEST = 12, 200
#: zxcvbn's score, of 0 to 4: 3 takes 10 to the 8 guesses. It knows words, names, dates and the passwords of others.
LEAST_SCORE = 3
#: What it looks at, and words that anybody would try here.
_LOOKED_AT, CONTEXT = 72, ("issuance", "console", "credits", "membership")

#: The least of OWASP's five: 19 MiB for as long as a password is checked.
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


def check_form(password: str, email: str) -> None:
    """Raises Invalid for a password that can not be chosen: by its length, or as others guess it within a day."""
    if not SHORTEST <= len(password) <= LONGEST:
        wrong = f"must have {SHORTEST} to {LONGEST} characters"
        raise Invalid(f"A password {wrong}.", fields={"password": wrong})
    from zxcvbn import zxcvbn  # late: its lists of words are 12 MB, and few processes are ever told a new password

    own = [*CONTEXT, email, *email.split("@")]
    if zxcvbn(password[:_LOOKED_AT], own)["score"] < LEAST_SCORE:
        wrong = "is one that is guessed easily: take some words that do not go together"
        raise Invalid(f"This password {wrong}.", fields={"password": wrong})


def choose(connection: Connection, person_id: UUID, password: str) -> None:
    """Give a person a new password, and end every session of theirs. Raises Invalid."""
    email = connection.scalar(select(people.c.email).where(people.c.person_id == person_id))
    check_form(password, email or "")
    one = update(people).where(people.c.person_id == person_id)
    connection.execute(one.values(password_hash=_hasher.hash(password)))
    connection.execute(delete(sessions).where(sessions.c.person_id == person_id))


def person_with(connection: Connection, email: str, password: str) -> UUID | None:
    """Whose address and password these are; None: nobody's. It always takes as long as checking a password does."""
    one = select(people.c.person_id, people.c.password_hash).where(people.c.email == email)
    row = connection.execute(one).one_or_none()
    kept = None if row is None else row.password_hash
    try:
        _hasher.verify(kept or _nobodys(), password[:LONGEST])
    except (VerificationError, InvalidHashError):
        return None
    return None if row is None or kept is None else row.person_id


@cache
def _nobodys() -> str:
    """What is checked where there is no password, so that it takes as long. Made late: it takes memory and time."""
    return _hasher.hash("nobody's password")


def has_one(connection: Connection, person_id: UUID) -> bool:
    """Whether a person has chosen a password."""
    return connection.scalar(select(people.c.password_hash).where(people.c.person_id == person_id)) is not None
