"""Sessions: who a browser is, from signing in to signing out. PostgreSQL keeps a hash of what the browser shows."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection, delete, insert, text

from issuance.database.tables import sessions
from issuance.people.roles import Role

#: A session ends when nothing was asked in it for IDLE, and in any case after LONGEST.
IDLE, LONGEST = timedelta(hours=8), timedelta(days=7)
#: How exact seen_at is: a session costs one write in this time.
SEEN_EVERY = timedelta(minutes=1)

_FIND = text("""
    SELECT s.person_id, p.email, r.brand_id, r.role, b.name, b.environment, b.timezone,
           s.seen_at < clock_timestamp() - CAST(:every AS interval) AS seen_is_news
      FROM sessions s JOIN people p USING (person_id)
      LEFT JOIN (roles r JOIN brands b USING (brand_id)) USING (person_id)
     WHERE s.session_hash = :session_hash AND s.seen_at > clock_timestamp() - CAST(:idle AS interval)
       AND s.created_at > clock_timestamp() - CAST(:longest AS interval)
     ORDER BY b.name, b.brand_id
""")
_SEEN = text("UPDATE sessions SET seen_at = clock_timestamp() WHERE session_hash = :session_hash")
_OVER = text("""
    DELETE FROM sessions
     WHERE seen_at < clock_timestamp() - CAST(:idle AS interval)
        OR created_at < clock_timestamp() - CAST(:longest AS interval)
""")


@dataclass(frozen=True, slots=True)
class Place:
    """A brand in which a person has a role."""

    brand_id: UUID
    name: str
    environment: str
    timezone: str
    role: Role


@dataclass(frozen=True, slots=True)
class Session:
    """A person who is signed in, and the brands where they have a role, by name."""

    person_id: UUID
    email: str
    places: tuple[Place, ...]
    #: What forms of this session carry, so that no other site can send them.
    form_token: str

    def place(self, brand_id: UUID) -> Place | None:
        """The brand with an id, if the person has a role there."""
        return next((place for place in self.places if place.brand_id == brand_id), None)


def begin(connection: Connection, person_id: UUID) -> str:
    """A new session: the token that its browser shows, which is not stored. Those that are over are forgotten."""
    connection.execute(_OVER, {"idle": IDLE, "longest": LONGEST})
    token = secrets.token_urlsafe(32)
    connection.execute(insert(sessions).values(session_hash=_hash(token), person_id=person_id))
    connection.execute(
        text("UPDATE people SET signed_in_at = clock_timestamp() WHERE person_id = :person_id"),
        {"person_id": person_id},
    )
    return token


def find(connection: Connection, token: str) -> Session | None:
    """The session with a token, if it is not over. Roles are read each time, so that taking one works at once."""
    asked = {"session_hash": _hash(token), "idle": IDLE, "longest": LONGEST, "every": SEEN_EVERY}
    rows = connection.execute(_FIND, asked).all()
    if not rows:
        return None
    if rows[0].seen_is_news:
        connection.execute(_SEEN, {"session_hash": asked["session_hash"]})
    places = tuple(
        Place(row.brand_id, row.name, row.environment, row.timezone, row.role) for row in rows if row.role is not None
    )
    return Session(rows[0].person_id, rows[0].email, places, form_token_of(token))


def end(connection: Connection, token: str) -> None:
    """Sign out."""
    connection.execute(delete(sessions).where(sessions.c.session_hash == _hash(token)))


def end_all(connection: Connection, person_id: UUID) -> None:
    """Sign a person out everywhere."""
    connection.execute(delete(sessions).where(sessions.c.person_id == person_id))


def form_token_of(token: str) -> str:
    """What forms of a session carry; the session can not be told from it."""
    return hmac.new(token.encode(), b"forms", hashlib.sha256).hexdigest()


def is_form_token(session: Session, shown: str) -> bool:
    """Whether a form is one of this session's."""
    return hmac.compare_digest(session.form_token.encode(), shown.encode())


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
