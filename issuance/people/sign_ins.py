"""Ways in: a password, or a link that is good once. Guessing is slowed down, for each address on its own."""

import hashlib
import secrets
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection, delete, func, insert, select, text

from issuance.database.tables import sign_in_failures, sign_in_links
from issuance.errors import IssuanceError, NotAuthenticated, NotFound
from issuance.people import accounts

#: How long a link is good.
LINK_LASTS = timedelta(hours=24)
#: So many wrong passwords cost nothing; then there is a wait (in seconds), which each one more doubles.
FREE_TRIES, FIRST_WAIT, LONGEST_WAIT = 5, 15, 900

_WAIT = "least(:first * power(2, least(f.failures - :free, 20)), :longest) * interval '1 second'"
# Counted before the password is checked, so that many tries at once are many. A day without a try forgets them.
_COUNT = text(f"""
    INSERT INTO sign_in_failures AS f (email_hash, failures, failed_at) VALUES (:email_hash, 1, clock_timestamp())
    ON CONFLICT (email_hash) DO UPDATE
       SET failures = CASE WHEN f.failed_at < clock_timestamp() - interval '1 day' THEN 1 ELSE f.failures + 1 END,
           failed_at = clock_timestamp()
     WHERE f.failures < :free
        OR f.failed_at + {_WAIT} <= clock_timestamp()
    RETURNING failures
""")
_LEFT = text(f"""
    SELECT CAST(ceil(extract(epoch FROM f.failed_at + {_WAIT} - clock_timestamp())) AS integer)
      FROM sign_in_failures f WHERE f.email_hash = :email_hash
""")
_TAKE = text("""
    DELETE FROM sign_in_links WHERE link_hash = :link_hash AND expires_at > clock_timestamp() RETURNING person_id
""")
_WHOSE = text("""
    SELECT p.person_id, p.email FROM sign_in_links l JOIN people p USING (person_id)
     WHERE l.link_hash = :link_hash AND l.expires_at > clock_timestamp()
""")


class WrongPassword(NotAuthenticated):
    """This address and this password do not belong together."""


class TooManyTries(IssuanceError):
    """Too many wrong passwords for this address. Wait a few minutes, or ask for a sign-in link."""

    code = "too_many_tries"
    status = 429

    def __init__(self, seconds: int) -> None:
        super().__init__()
        self.retry_after = seconds


class TooManyChoices(TooManyTries):
    """Too many new passwords were looked at. Wait a few minutes."""


class LinkIsOver(NotFound):
    """This link was used, or its time is over. Ask for a new one: issuance people add prints it."""


def count_try(connection: Connection, email: str) -> None:
    """Count a try to sign in, before it is known whether it is right. Commit it whatever comes of it.

    Raises TooManyTries while the address has to wait, whether or not there is such a person.
    """
    if seconds := _count(connection, email):
        raise TooManyTries(seconds)


def count_choice(connection: Connection, by: UUID | str) -> None:
    """Count a new password, by a person or a link (its token), before it is judged: that takes time, good or not.

    Commit it whatever comes of it. No success makes it forgotten. Raises TooManyChoices, as for wrong passwords.
    """
    if seconds := _count(connection, f"A NEW ONE BY {by}"):  # no address has great letters
        raise TooManyChoices(seconds)


def _count(connection: Connection, by: str) -> int:
    """Count a try, unless there is a wait: the seconds that are left of it, else 0."""
    tried = {"email_hash": _hash(by), "free": FREE_TRIES, "first": FIRST_WAIT, "longest": LONGEST_WAIT}
    if connection.execute(_COUNT, tried).one_or_none() is not None:
        return 0
    return max(1, connection.scalar(_LEFT, tried) or 0)


def was_right(connection: Connection, email: str) -> None:
    """Forget the tries of an address."""
    connection.execute(delete(sign_in_failures).where(sign_in_failures.c.email_hash == _hash(email)))


def forget(connection: Connection, most: int) -> int:
    """Forget at most so many tries that count no more, and count them."""
    columns = sign_in_failures.c
    is_over = columns.failed_at < func.clock_timestamp() - text("interval '1 day'")
    over = select(columns.email_hash).where(is_over).limit(most)
    # Asked again of each: one may be counted meanwhile.
    return connection.execute(delete(sign_in_failures).where(columns.email_hash.in_(over), is_over)).rowcount


def make_link(connection: Connection, person_id: UUID, *, invited: bool = False) -> str:
    """A token with which a person signs in once, within LINK_LASTS; it is not stored. Links that are over go.

    `invited`: a brand's admin asked for it, so it ends when the person gets a role in a further brand.
    """
    connection.execute(delete(sign_in_links).where(sign_in_links.c.expires_at < func.now()))
    token = secrets.token_urlsafe(32)
    expires_at = text("clock_timestamp() + CAST(:lasts AS interval)").bindparams(lasts=LINK_LASTS)
    made = {"link_hash": _hash(token), "person_id": person_id, "expires_at": expires_at, "invited": invited}
    connection.execute(insert(sign_in_links).values(**made))
    return token


def path_of(token: str, brand_id: UUID) -> str:
    """Where a link is opened, on the web process: it leads on to a brand's pages."""
    return f"/console/link/{token}?brand={brand_id}"


def whose_link(connection: Connection, token: str) -> str:
    """The address of the person whom a link lets in; it stays good. Raises LinkIsOver."""
    row = connection.execute(_WHOSE, {"link_hash": _hash(token)}).one_or_none()
    if row is None:
        raise LinkIsOver
    email: str = row.email
    return email


def take_link(connection: Connection, token: str) -> UUID:
    """Use a link up: who it lets in. An account with an identity provider is theirs only once they come by it anew.

    Raises LinkIsOver."""
    person_id: UUID | None = connection.scalar(_TAKE, {"link_hash": _hash(token)})
    if person_id is None:
        raise LinkIsOver
    accounts.forget(connection, person_id)
    return person_id


def _hash(text_: str) -> bytes:
    return hashlib.sha256(text_.encode()).digest()
