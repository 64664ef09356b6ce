"""Keys: what a program authenticates with. A key belongs to one brand and carries scopes (INTERFACE 3).

`iss_live_` or `iss_sandbox_` (or another prefix in place of `iss`, on which some clients insist), then 256 random bits
and a checksum in base 62: a mistyped key is refused without a lookup, and a scanner can tell a leaked one.
"""

import hashlib
import hmac
import re
import secrets
import zlib
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Select, and_, func, or_, select, text, update
from uuid_utils.compat import uuid7

from issuance import audit, limits
from issuance.database.tables import api_keys, brands
from issuance.deciding.calendar import midnight
from issuance.errors import Conflict, Invalid, NotFound

#: `admin` opens everything that the others do; `tokens` lets its holder become any member.
SCOPES = ("read", "write", "issue", "tokens", "admin")
#: How long a key stays valid beside the one that takes its place.
OVERLAP = timedelta(hours=24)
#: How exact `last_used_at` is: a key that is used often is written once in this time.
USE_NOTED_EVERY = timedelta(minutes=1)
LONGEST_NAME = 100

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_LENGTH, _CHECKSUM_LENGTH = 43, 6
#: What a key begins with. The prefix decides nothing: the key's brand is looked up.
USUAL_PREFIX = "iss"
_PREFIX = r"[a-z][0-9a-z]{0,15}"
_KEY = re.compile(rf"{_PREFIX}_(live|sandbox)_[0-9A-Za-z]{{{_SECRET_LENGTH + _CHECKSUM_LENGTH}}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Key:
    """A valid key: its brand and its scopes."""

    brand_id: UUID
    key_id: UUID
    scopes: frozenset[str]
    #: The name that people gave it.
    name: str | None = None
    #: The first of the keys that replaced each other up to this one; None if this one replaced none.
    first_key_id: UUID | None = None
    #: How long it is still valid when it is found; None: until it is revoked.
    seconds_left: float | None = field(default=None, compare=False)

    @property
    def sender(self) -> UUID:
        """Who sends with this key: the same before and after a rotation, so that their Idempotency-Keys stay theirs."""
        return self.first_key_id or self.key_id

    def opens(self, scope: str) -> bool:
        return scope in self.scopes or "admin" in self.scopes


class TooManyKeys(Conflict):
    """A brand has at most 500 good keys: revoke those that nobody uses."""

    code = "too_many_keys"


def create(
    connection: Connection,
    brand_id: UUID,
    scopes: Collection[str],
    name: str | None = None,
    *,
    prefix: str = USUAL_PREFIX,
    expires_on: date | None = None,
) -> tuple[UUID, str]:
    """Make a key with `scopes`. Returns its id, and the key itself, which is not stored. `name` is what people call it.
    `expires_on`: the first day, in the brand's zone, on which it is refused.

    Raises Invalid, NotFound, TooManyKeys.

    """
    key_id, key = make(connection, brand_id, scopes, name, prefix, expires_on)
    after = {"name": name, "scopes": sorted(set(scopes)), **({"expires_on": expires_on} if expires_on else {})}
    audit.write(connection, brand_id, "key.created", key_id, after=after)
    return key_id, key


def rotate(connection: Connection, brand_id: UUID, key_id: UUID, *, overlap: timedelta = OVERLAP) -> tuple[UUID, str]:
    """Make a key that takes another's place, with its scopes, name, prefix, last day and Idempotency-Keys. Returns its
    id, and the key itself. The other key is refused after `overlap`, or sooner if it expires sooner.

    Raises NotFound, TooManyKeys; Conflict for one that is refused already.

    """
    one = (api_keys.c.brand_id == brand_id, api_keys.c.key_id == key_id)
    columns = api_keys.c
    first = func.coalesce(columns.first_key_id, columns.key_id).label("first_key_id")
    as_it_was = select(columns.scopes, columns.name, columns.prefix, columns.ends_at, first).where(*one)
    row = connection.execute(as_it_was).one_or_none()
    if row is None:
        raise NotFound("There is no such key.")
    ends_at = func.least(api_keys.c.expires_at, func.now() + overlap)
    ended = update(api_keys).where(*one, *_VALID).values(expires_at=ends_at).returning(api_keys.c.expires_at)
    expires_at = connection.execute(ended).scalar()
    if expires_at is None:
        raise Conflict("The key is refused already: create another.")
    prefix, kept = row.prefix or USUAL_PREFIX, {"expires_at": row.ends_at, "first_key_id": row.first_key_id}
    new_id, key = make(connection, brand_id, row.scopes, row.name, prefix, **kept)
    audit.write(connection, brand_id, "key.rotated", key_id, after={"key_id": new_id, "expires_at": expires_at})
    return new_id, key


def make(
    connection: Connection,
    brand_id: UUID,
    scopes: Collection[str],
    name: str | None,
    prefix: str = USUAL_PREFIX,
    expires_on: date | None = None,
    *,
    expires_at: datetime | None = None,
    first_key_id: UUID | None = None,
) -> tuple[UUID, str]:
    """`create` as a part of something else, without an audit entry of its own. `expires_at`: the instant, if it is
    known and no day is given. `first_key_id`: the first of the keys whose place it takes."""
    if not re.fullmatch(_PREFIX, prefix, re.ASCII):
        wrong = "must be 1 to 16 lower-case letters and digits, a letter first"
        raise Invalid(f"A key's prefix {wrong}.", fields={"prefix": wrong})
    wanted = sorted(set(scopes), key=lambda scope: SCOPES.index(scope) if scope in SCOPES else -1)
    if not wanted or not set(wanted) <= set(SCOPES):
        raise Invalid(
            "A key's scopes are any of read, write, issue, tokens, admin.", fields={"scopes": "unknown scope, or none"}
        )
    if name is not None and not 1 <= len(name) <= LONGEST_NAME:
        wrong = f"must have 1 to {LONGEST_NAME} characters"
        raise Invalid(f"A key's name {wrong}.", fields={"name": wrong})
    of_brand = select(brands.c.environment, brands.c.timezone, func.now().label("now")).where(
        brands.c.brand_id == brand_id
    )
    brand = connection.execute(of_brand).one_or_none()
    if brand is None:
        raise NotFound("There is no such brand.")
    if expires_on is not None:
        expires_at = midnight(expires_on, ZoneInfo(brand.timezone))
    if expires_at is not None and expires_at <= brand.now:
        raise Invalid("A key expires on a day to come.", fields={"expires": "must be a day to come"})
    number = connection.scalar(select(func.count()).select_from(good(brand_id).subquery())) or 0
    if number >= limits.current.callers.keys:
        raise TooManyKeys
    key, key_id = _random_key(prefix, brand.environment), uuid7()
    connection.execute(
        api_keys.insert().values(
            brand_id=brand_id,
            key_id=key_id,
            key_hash=hash_of(key),
            scopes=wanted,
            name=name,
            prefix=prefix,
            expires_at=expires_at,
            first_key_id=first_key_id,
        )
    )
    return key_id, key


def find(connection: Connection, key: str) -> Key | None:
    """The key that was shown, if it is valid. The database is asked each time."""
    if not _is_well_formed(key):
        return None
    key_hash = hash_of(key)
    row = connection.execute(_FIND, {"key_hash": key_hash, "every": USE_NOTED_EVERY}).one_or_none()
    if row is None or not hmac.compare_digest(bytes(row.key_hash), key_hash):
        return None
    if row.use_is_news:
        connection.execute(
            update(api_keys)
            .where(api_keys.c.brand_id == row.brand_id, api_keys.c.key_id == row.key_id)
            .values(last_used_at=func.now(), prefix=func.coalesce(api_keys.c.prefix, key.partition("_")[0]))
        )
    return Key(row.brand_id, row.key_id, frozenset(row.scopes), row.name, row.first_key_id, row.seconds_left)


def good(brand_id: UUID) -> Select[tuple[UUID]]:
    """The ids of a brand's keys that are neither revoked nor expired."""
    return select(api_keys.c.key_id).where(api_keys.c.brand_id == brand_id, *_VALID)


def all_of(connection: Connection, brand_id: UUID) -> list[dict[str, Any]]:
    """A brand's keys, without the keys themselves: first the good ones, then the others; of both the newest first."""
    columns = api_keys.c
    rows = connection.execute(
        select(
            columns.key_id,
            columns.name,
            columns.scopes,
            columns.created_at,
            columns.last_used_at,
            columns.expires_at,
            columns.revoked_at,
        )
        .where(columns.brand_id == brand_id)
        .order_by(and_(*_VALID).desc(), columns.created_at.desc(), columns.key_id.desc())
        .limit(limits.current.callers.keys_listed)
    )
    return [dict(row) for row in rows.mappings()]


def revoke(connection: Connection, brand_id: UUID, key_id: UUID) -> None:
    """Revoke a key, from the commit on. To revoke it again is no error. Raises NotFound."""
    one = (api_keys.c.brand_id == brand_id, api_keys.c.key_id == key_id)
    if connection.execute(select(api_keys.c.key_id).where(*one)).one_or_none() is None:
        raise NotFound("There is no such key.")
    valid = api_keys.c.revoked_at.is_(None)
    if connection.execute(update(api_keys).where(*one, valid).values(revoked_at=func.now())).rowcount:
        audit.write(connection, brand_id, "key.revoked", key_id)


_FIND = text("""
    SELECT brand_id, key_id, key_hash, scopes, name, first_key_id,
           CAST(extract(epoch FROM expires_at - now()) AS double precision) AS seconds_left,
           last_used_at IS NULL OR last_used_at < now() - CAST(:every AS interval) AS use_is_news
      FROM api_keys
     WHERE key_hash = :key_hash AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
""")
_VALID = (api_keys.c.revoked_at.is_(None), or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > func.now()))


def hash_of(key: str) -> bytes:
    """The hash by which a key is known: the key itself is stored nowhere."""
    return hashlib.sha256(key.encode()).digest()


def _random_key(prefix: str, environment: str) -> str:
    body = f"{prefix}_{environment}_{_base62(secrets.randbits(256), _SECRET_LENGTH)}"
    return body + _checksum(body)


def _is_well_formed(key: str) -> bool:
    return _KEY.fullmatch(key) is not None and _checksum(key[:-_CHECKSUM_LENGTH]) == key[-_CHECKSUM_LENGTH:]


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
