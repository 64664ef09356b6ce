"""Passwords: kept as argon2id, checked at one cost whether or not there is such a person."""

from functools import cache
from threading import Lock
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
#: Words that anybody would try here.
CONTEXT = ("issuance", "console", "credits", "membership")
#: It tries all that signs may stand for (`4`, `@`), for minutes where there are many. So it is shown the beginning: so
#: many characters, and fewer where more different signs are among them than so many, never fewer than the least.
_LOOKED_AT, _LEAST_LOOKED_AT, _MOST_SIGNS = 24, 10, 6

#: The least of OWASP's five: 19 MiB for as long as a password is checked.
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


#: zxcvbn keeps the words of whoever it judges for in one place.
_judging = Lock()


def prepare(password: str, email: str) -> str:
    """A new password as it is kept, for `choose`. It takes a moment of the processor's: hold no connection meanwhile.

    Raises Invalid for one that can not be chosen: by its length, or as others guess it within a day.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        wrong = f"must have {SHORTEST} to {LONGEST} characters"
        raise Invalid(f"A password {wrong}.", fields={"password": wrong})
    if _score(password, email) < LEAST_SCORE:
        wrong = "is one that is guessed easily: take some words that do not go together"
        raise Invalid(f"This password {wrong}.", fields={"password": wrong})
    return _hasher.hash(password)


def _score(password: str, email: str) -> int:
    import zxcvbn  # late: its lists of words are 12 MB, and few processes are ever told a new password
    from zxcvbn.matching import L33T_TABLE

    signs = {character for characters in L33T_TABLE.values() for character in characters}
    length = _LOOKED_AT
    while length > _LEAST_LOOKED_AT and len(signs.intersection(password[:length])) > _MOST_SIGNS:
        length -= 1
    shown = password[:length].replace("\n", " ")  # it takes a date's end for the line's
    with _judging:
        score: int = zxcvbn.zxcvbn(shown, [*CONTEXT, email, *email.split("@")])["score"]
    return score


def choose(connection: Connection, person_id: UUID, prepared: str) -> None:
    """Give a person a new password, of `prepare`, and end every session of theirs."""
    one = update(people).where(people.c.person_id == person_id)
    connection.execute(one.values(password_hash=prepared))
    connection.execute(delete(sessions).where(sessions.c.person_id == person_id))


def person_with(connection: Connection, email: str, password: str) -> UUID | None:
    """Whose address and password these are; None: nobody's. It always takes as long as checking a password does.

    Whoever chooses another waits until the transaction ends, and ends the session that it may have begun."""
    one = select(people.c.person_id, people.c.password_hash).where(people.c.email == email)
    row = connection.execute(one.with_for_update(key_share=True)).one_or_none()
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
