"""Idempotency keys: a POST that is sent again has one effect and one answer (INTERFACE 7).

The key is claimed, the work is done and the answer is kept in one transaction (docs/decisions 11). Another request with
the same key waits at the primary key until that transaction ends; if it fails, the key is free again.
"""

import json
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, text

from issuance.errors import IdempotencyKeyReused
from issuance.settings import own


def lifetime() -> timedelta:
    """How long an answer is kept, in real time. After that the key can be used for another request."""
    return timedelta(hours=own().keep_answers_hours)


_CLAIM = text("""
    INSERT INTO idempotency_keys AS known (brand_id, caller, key, request_hash)
    VALUES (:brand_id, :caller, :key, :request_hash)
    ON CONFLICT (brand_id, caller, key) DO UPDATE
       SET request_hash = excluded.request_hash, status = NULL, body = NULL, location = NULL,
           created_at = clock_timestamp()
     WHERE known.created_at < clock_timestamp() - CAST(:lifetime AS interval)
    RETURNING key
""")
_READ = text("""
    SELECT request_hash, status, body, location FROM idempotency_keys
     WHERE brand_id = :brand_id AND caller = :caller AND key = :key
""")
# Asked last, after all waiting: an erasure under way may have held the claimed key.
_KEEP = text("""
    UPDATE idempotency_keys SET status = :status, body = :body, location = :location
     WHERE brand_id = :brand_id AND caller = :caller AND key = :key
    RETURNING EXISTS (SELECT FROM idempotency_keys other
                       WHERE other.brand_id = :brand_id AND other.caller = :unnamed)
""")
_FORGET = text("""
    DELETE FROM idempotency_keys
     WHERE (brand_id, caller, key) IN (
               SELECT brand_id, caller, key FROM idempotency_keys
                WHERE created_at < clock_timestamp() - CAST(:lifetime AS interval)
                LIMIT :most FOR UPDATE SKIP LOCKED)
""")
#: The caller of keys that named somebody who was erased: a keyed hash takes the place of each (SEMANTICS 20).
UNNAMED = "unnamed"
_NAMING = text("""
    SELECT caller, key FROM idempotency_keys
     WHERE brand_id = :brand_id AND caller <> :unnamed
       AND EXISTS (SELECT FROM unnest(CAST(:needles AS text[])) AS needle WHERE position(needle IN lower(key)) > 0)
""")
_UNNAME = text("""
      WITH new AS (
           SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS new (caller text, key text, hash text)),
           gone AS (
           DELETE FROM idempotency_keys k USING new
            WHERE k.brand_id = :brand_id AND (k.caller, k.key) = (new.caller, new.key)
           RETURNING new.hash, k.request_hash, k.status, k.body, k.location, k.created_at)
    INSERT INTO idempotency_keys AS older (brand_id, caller, key, request_hash, status, body, location, created_at)
    SELECT :brand_id, :unnamed, hash, request_hash, status, body, location, created_at FROM gone
    ON CONFLICT (brand_id, caller, key) DO UPDATE
       SET request_hash = excluded.request_hash, status = excluded.status, body = excluded.body,
           location = excluded.location, created_at = excluded.created_at
""")
_UNNAMED = text("""
    SELECT request_hash, status, body, location FROM idempotency_keys
     WHERE brand_id = :brand_id AND caller = :unnamed AND key = ANY(:hashes)
       AND created_at >= clock_timestamp() - CAST(:lifetime AS interval)
     ORDER BY created_at DESC LIMIT 1
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
    #: What its Location header names; None if it had none.
    location: str | None = None


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
        return _given(known, request_hash)
    return None


def keep(connection: Connection, key: Key, answer: Answer) -> bool:
    """Keep the answer to a request that was claimed in this transaction. True if the key may be one that is kept as a
    hash: then ask `unnamed`."""
    kept = {**key._asdict(), **answer._asdict(), "unnamed": UNNAMED}
    return bool(connection.scalar(_KEEP, kept))


def unname(connection: Connection, brand_id: UUID, needles: Iterable[str], hash_of: Callable[[Key], str]) -> None:
    """Replace keys by hashes, which serve as well, if any of `needles` (in small letters) stands in them."""
    named = {"brand_id": brand_id, "unnamed": UNNAMED, "needles": list(needles)}
    rows = [
        {**row._mapping, "hash": hash_of(Key(brand_id, row.caller, row.key))}
        for row in connection.execute(_NAMING, named)
    ]
    if rows:
        connection.execute(_UNNAME, {"brand_id": brand_id, "unnamed": UNNAMED, "rows": json.dumps(rows)})


def unnamed(connection: Connection, brand_id: UUID, hashes: list[str], request_hash: bytes) -> Answer | None:
    """The first answer to a request whose key is kept as one of these hashes; None if none is. Raises
    IdempotencyKeyReused if the key came with another request."""
    parameters = {"brand_id": brand_id, "unnamed": UNNAMED, "hashes": hashes, "lifetime": lifetime()}
    known = connection.execute(_UNNAMED, parameters).one_or_none()
    return None if known is None else _given(known, request_hash)


def _given(known: Row[tuple[bytes, int | None, bytes, str | None]], request_hash: bytes) -> Answer:
    assert known.status is not None, "a claim is committed with its answer"
    if bytes(known.request_hash) != request_hash:
        raise IdempotencyKeyReused
    return Answer(known.status, bytes(known.body), known.location)


def forget(connection: Connection, most: int) -> int:
    """Delete at most so many answers that are older than their lifetime, and count them."""
    return connection.execute(_FORGET, {"lifetime": lifetime(), "most": most}).rowcount
