"""Idempotency keys: a POST that is sent again has one effect and one answer (INTERFACE 7).

The key is claimed, the work is done and the answer is kept in one transaction (docs/decisions 11). Another request with
the same key waits at the primary key until that transaction ends; if it fails, the key is free again.
"""

from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

from issuance.errors import IdempotencyKeyReused
from issuance.settings import own


def lifetime() -> timedelta:
    """How long an answer is kept, in real time. After that the key can be used for another request."""
    return timedelta(hours=own().keep_answers_hours)


_CLAIM = text("""
    INSERT INTO idempotency_keys AS known (brand_id, caller, key, request_hash)
    VALUES (:brand_id, :caller, :key, :request_hash)
    ON CONFLICT (brand_id, caller, key) DO UPDATE
       SET request_hash = excluded.request_hash, status = NULL, body = NULL, created_at = clock_timestamp()
     WHERE known.created_at < clock_timestamp() - CAST(:lifetime AS interval)
    RETURNING key
""")
_READ = text("""
    SELECT request_hash, status, body FROM idempotency_keys
     WHERE brand_id = :brand_id AND caller = :caller AND key = :key
""")
_KEEP = text("""
    UPDATE idempotency_keys SET status = :status, body = :body
     WHERE brand_id = :brand_id AND caller = :caller AND key = :key
""")
_FORGET = text("""
    DELETE FROM idempotency_keys
     WHERE (brand_id, caller, key) IN (
               SELECT brand_id, caller, key FROM idempotency_keys
                WHERE created_at < clock_timestamp() - CAST(:lifetime AS interval)
                FOR UPDATE SKIP LOCKED)
""")


class Key(NamedTuple):
    """What identifies a request: the brand, who sent it (`caller`), and the key that they chose."""

    brand_id: UUID
    caller: str
    key: str


class Answer(NamedTuple):
    """An answer as it was first given, without its secrets."""

    status: int
    body: bytes


def claim(connection: Connection, key: Key, request_hash: bytes) -> Answer | None:
    """The first answer to this request; None if this is the first request with the key, which is claimed then.

    Waits for a request with the same key that is being worked on. Raises IdempotencyKeyReused if the key came with
    another request.
    """
    request = {**key._asdict(), "request_hash": request_hash, "lifetime": lifetime()}
    while connection.execute(_CLAIM, request).one_or_none() is None:
        known = connection.execute(_READ, key._asdict()).one_or_none()
        if known is None:
            continue  # forgotten in between
        assert known.status is not None, "a claim is committed with its answer"
        if bytes(known.request_hash) != request_hash:
            raise IdempotencyKeyReused
        return Answer(known.status, bytes(known.body))
    return None


def keep(connection: Connection, key: Key, answer: Answer) -> None:
    """Keep the answer to a request that was claimed in this transaction."""
    connection.execute(_KEEP, {**key._asdict(), **answer._asdict()})


def forget(connection: Connection) -> int:
    """Delete the answers that are older than their lifetime; how many there were."""
    return connection.execute(_FORGET, {"lifetime": lifetime()}).rowcount
