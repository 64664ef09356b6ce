"""Member tokens: short-lived proof of being one member, for apps in members' hands (INTERFACE 3, 7).

A token is a JWT signed with a secret of this installation. It opens the member's own wallet, credits and redemptions. A
token from before the member was archived opens nothing, even when they are back; nor does one of a revoked key.
PostgreSQL's clock decides when it expires: those of hosts may differ.
"""

import secrets as randomness
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import jwt
from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects import postgresql
from uuid_utils.compat import uuid7

from issuance.database.tables import api_keys, members, secrets
from issuance.errors import MemberArchived
from issuance.tenancy import keys
from issuance.tenancy.sealing import seal, unseal

#: How long a token is valid, in real time, for sandbox brands too.
LIFETIME = timedelta(minutes=15)

_ALGORITHM = "HS256"
_ISSUER, _AUDIENCE = "issuance", "issuance member"
_CLAIMS = ("iss", "aud", "brand", "sub", "iat", "exp", "jti", "key", "archivings")
_SECRET_NAME, _SECRET_BYTES = "member tokens", 64
_FORMER_NAME = "member tokens, before"


class Grant(NamedTuple):
    """A token, and the instant from which it is invalid."""

    access_token: str
    expires_at: datetime


class Holder(NamedTuple):
    """The member whose token was shown."""

    brand_id: UUID
    member_id: UUID
    #: The id by which the brand knows them now.
    external_user_id: str


def mint(connection: Connection, brand_id: UUID, member_id: UUID, key_id: UUID) -> Grant:
    """Mint a token for a member who exists and is not archived. `key_id`: the key that asks for it."""
    known = select(members.c.archivings, func.date_trunc("second", func.now()).label("now"))
    row = connection.execute(known.where(members.c.brand_id == brand_id, members.c.member_id == member_id)).one()
    expires_at = row.now + LIFETIME
    claims = {
        "iss": _ISSUER,
        "aud": _AUDIENCE,
        "brand": str(brand_id),
        "sub": str(member_id),
        "iat": int(row.now.timestamp()),
        "exp": int(expires_at.timestamp()),
        "jti": str(uuid7()),
        "key": str(key_id),
        "archivings": row.archivings,
    }
    return Grant(sign(connection, claims), expires_at)


def again(connection: Connection, claims: Mapping[str, Any], key_id: UUID) -> Grant:
    """The token with these claims, if it still opens anything; otherwise another one of the same member, for the key
    that asks now. Raises MemberArchived, also of a member who was erased."""
    token = sign(connection, claims)
    if find(connection, token) is not None:
        return Grant(token, datetime.fromtimestamp(claims["exp"], UTC))
    brand_id, member_id = UUID(claims["brand"]), UUID(claims["sub"])
    present = select(members.c.archived_at).where(members.c.brand_id == brand_id, members.c.member_id == member_id)
    if connection.scalar(present) is not None:
        raise MemberArchived
    return mint(connection, brand_id, member_id, key_id)


def sign(connection: Connection, claims: Mapping[str, Any]) -> str:
    """The token with these claims. The same claims give the same token."""
    return jwt.encode(dict(claims), _secret(connection), algorithm=_ALGORITHM)


def claims_of(token: str) -> dict[str, Any]:
    """The claims of one of our tokens. They are no secret: without the signature they are worth nothing."""
    return dict(jwt.decode(token, options={"verify_signature": False}))


def find(connection: Connection, token: str) -> Holder | None:
    """The holder of a token that was shown, if it is valid. The database is asked each time."""
    try:
        claims = _verified(connection, token)
        brand_id, member_id, key_id = UUID(claims["brand"]), UUID(claims["sub"]), UUID(claims["key"])
        archivings, expires_at = int(claims["archivings"]), int(claims["exp"])
    except (jwt.InvalidTokenError, ValueError, AttributeError, TypeError):
        return None
    columns = members.c
    there = select(columns.external_user_id).where(
        columns.brand_id == brand_id,
        columns.member_id == member_id,
        columns.archivings == archivings,  # each archiving ends the tokens of before it
        func.now() < func.to_timestamp(expires_at),
        keys.good(brand_id).where(api_keys.c.key_id == key_id).exists(),
    )
    external_user_id = connection.scalar(there)
    return None if external_user_id is None else Holder(brand_id, member_id, external_user_id)


def _verified(connection: Connection, token: str) -> dict[str, Any]:
    try:
        return _decoded(token, _secret(connection))
    except jwt.InvalidSignatureError:
        former = _former_secret(connection)
        if former is None:
            raise
        return _decoded(token, former)


def _decoded(token: str, secret: bytes) -> dict[str, Any]:
    claims = jwt.decode(
        token,
        secret,
        algorithms=[_ALGORITHM],
        issuer=_ISSUER,
        audience=_AUDIENCE,
        options={"require": list(_CLAIMS), "verify_iat": False, "verify_exp": False},
    )
    return dict(claims)


def rotate(connection: Connection) -> None:
    """Sign with a new secret from now on. Tokens that the former one has signed are good until they expire, or until
    the next rotation."""
    present = _secret(connection)
    made = {"name": _FORMER_NAME, "value": seal(connection, present), "created_at": func.now()}
    former = postgresql.insert(secrets).values(made)
    connection.execute(former.on_conflict_do_update(constraint="secrets_pkey", set_=made))
    fresh = {"value": seal(connection, randomness.token_bytes(_SECRET_BYTES)), "created_at": func.now()}
    connection.execute(update(secrets).where(secrets.c.name == _SECRET_NAME).values(fresh))


def _former_secret(connection: Connection) -> bytes | None:
    """The former secret, while a token that it has signed may be good."""
    known = select(secrets.c.value).where(secrets.c.name == _FORMER_NAME, secrets.c.created_at > func.now() - LIFETIME)
    value = connection.execute(known).scalar()
    return None if value is None else unseal(bytes(value))


def _secret(connection: Connection) -> bytes:
    """The secret that tokens are signed with. It is created when it is first needed."""
    known = select(secrets.c.value).where(secrets.c.name == _SECRET_NAME)
    value = connection.execute(known).scalar()
    if value is None:
        made = {"name": _SECRET_NAME, "value": seal(connection, randomness.token_bytes(_SECRET_BYTES))}
        connection.execute(postgresql.insert(secrets).values(made).on_conflict_do_nothing(constraint="secrets_pkey"))
        value = connection.execute(known).scalar_one()
    return unseal(bytes(value))
