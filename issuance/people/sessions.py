"""Sessions: who a browser is, from signing in to signing out. PostgreSQL keeps a hash of what the browser shows."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, insert, text

from issuance.database.tables import sessions
from issuance.people.roles import Role

#: A session ends when nothing was asked in it for IDLE, and in any case after LONGEST.
IDLE, LONGEST = timedelta(hours=8), timedelta(days=7)
#: How exact seen_at is: a session costs one write in this time.
SEEN_EVERY = timedelta(minutes=1)

_FIND = text("""
    SELECT s.person_id, p.email, r.brand_id, r.role, b.name, b.environment, b.timezone, b.created_at,
           s.seen_at < clock_timestamp() - CAST(:every AS interval) AS seen_is_news
      FROM sessions s JOIN people p USING (person_id)
      LEFT JOIN (roles r JOIN brands b USING (brand_id)) USING (person_id)
     WHERE s.session_hash = :session_hash AND s.seen_at > clock_timestamp() - CAST(:idle AS interval)
       AND s.created_at > clock_timestamp() - CAST(:longest AS interval)
     ORDER BY b.name, b.created_at DESC, b.brand_id
""")
_SEEN = text("UPDATE sessions SET seen_at = clock_timestamp() WHERE session_hash = :session_hash")
_SIGNED_IN = text("UPDATE people SET signed_in_at = clock_timestamp() WHERE person_id = :person_id")
_OVER = text("""
    DELETE FROM sessions
     WHERE seen_at < clock_timestamp() - CAST(:idle AS interval)
        OR created_at < clock_timestamp() - CAST(:longest AS interval)
""")


# By a part of their hash, from which nothing follows.
_ALL = text("""
    SELECT encode(substring(session_hash FOR 8), 'hex') AS id, browser, created_at, seen_at,
           session_hash = :session_hash AS here
      FROM sessions
     WHERE person_id = :person_id AND seen_at > clock_timestamp() - CAST(:idle AS interval)
       AND created_at > clock_timestamp() - CAST(:longest AS interval)
     ORDER BY seen_at DESC LIMIT 100
""")
_END_ONE = text("""
    DELETE FROM sessions
     WHERE person_id = :person_id AND encode(substring(session_hash FOR 8), 'hex') = :session_id
""")
# The first that is found: browsers also name those that they are like.
_BROWSERS = (("Edg", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrom", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = (
    *(("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"), ("Mac OS", "macOS")),
    ("Linux", "Linux"),
)


@dataclass(frozen=True, slots=True)
class Place:
    """A brand in which a person has a role."""

    brand_id: UUID
    name: str
    environment: str
    timezone: str
    role: Role
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """A person who is signed in, and the brands where they have a role, by name."""

    person_id: UUID
    email: str
    places: tuple[Place, ...]
    #: What forms of this session carry, so that no other site can send them.
    form_token: str

    def alike(self, place: Place) -> bool:
        """Whether another of the brands has the name of this one."""
        return any(other.name == place.name and other is not place for other in self.places)

    def place(self, brand_id: UUID) -> Place | None:
        """The brand with an id, if the person has a role there."""
        return next((place for place in self.places if place.brand_id == brand_id), None)


def begin(connection: Connection, person_id: UUID, user_agent: str | None = None) -> str:
    """A new session: the token that its browser shows, which is not stored. Those that are over are forgotten."""
    connection.execute(_OVER, {"idle": IDLE, "longest": LONGEST})
    token = secrets.token_urlsafe(32)
    known = {"session_hash": _hash(token), "person_id": person_id, "browser": browser_of(user_agent)}
    connection.execute(insert(sessions).values(**known))
    connection.execute(_SIGNED_IN, {"person_id": person_id})
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
        Place(row.brand_id, row.name, row.environment, row.timezone, row.role, row.created_at)
        for row in rows
        if row.role is not None
    )
    return Session(rows[0].person_id, rows[0].email, places, form_token_of(token))


def end(connection: Connection, token: str) -> None:
    """Sign out."""
    connection.execute(delete(sessions).where(sessions.c.session_hash == _hash(token)))


def end_all(connection: Connection, person_id: UUID) -> None:
    """Sign a person out everywhere."""
    connection.execute(delete(sessions).where(sessions.c.person_id == person_id))


def all_of(connection: Connection, person_id: UUID, token: str) -> list[dict[str, Any]]:
    """The browsers that a person is signed in with, the latest used first; `here` is the one with the token."""
    asked = {"person_id": person_id, "idle": IDLE, "longest": LONGEST, "session_hash": _hash(token)}
    return [dict(row) for row in connection.execute(_ALL, asked).mappings()]


def end_one(connection: Connection, person_id: UUID, session_id: str) -> None:
    """Sign a person out of one browser, by its `id` in `all_of`."""
    connection.execute(_END_ONE, {"person_id": person_id, "session_id": session_id})


def browser_of(user_agent: str | None) -> str | None:
    """What people call a browser, such as "Firefox on Linux"; None: it does not say."""
    said = user_agent or ""
    browser = next((name for mark, name in _BROWSERS if mark in said), None)
    system = next((name for mark, name in _SYSTEMS if mark in said), None)
    return " on ".join(name for name in (browser, system) if name) or None


def form_token_of(token: str) -> str:
    """What forms of a session carry; the session can not be told from it."""
    return hmac.new(token.encode(), b"forms", hashlib.sha256).hexdigest()


def is_form_token(session: Session, shown: str) -> bool:
    """Whether a form is one of this session's."""
    return hmac.compare_digest(session.form_token.encode(), shown.encode())


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
