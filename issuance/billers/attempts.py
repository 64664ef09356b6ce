"""Attempts to translate what billers sent: each is counted, and committed, before the work, so that a delivery that
kills workers is found out (INTERFACE 7)."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, text

from issuance import limits

#: A delivery whose translation broke off so many times is set apart.
MOST_ATTEMPTS = 5
#: One that broke off so many times is tried alone.
_TOGETHER = 2

_CLAIM = text("""
    WITH oldest AS MATERIALIZED (
         SELECT delivery_id, received_at, octet_length(body) AS size FROM biller_deliveries
          WHERE brand_id = :brand_id AND biller_id = :biller_id AND state = 'pending'
            AND attempts BETWEEN :first_attempts AND :last_attempts
          ORDER BY received_at, delivery_id LIMIT :most FOR UPDATE SKIP LOCKED),
         next AS (
         SELECT delivery_id
           FROM (SELECT delivery_id, sum(size) OVER (ORDER BY received_at, delivery_id) - size AS before FROM oldest) o
          WHERE before < :most_bytes)
    UPDATE biller_deliveries d SET attempts = d.attempts + 1
      FROM next
     WHERE d.brand_id = :brand_id AND d.biller_id = :biller_id AND d.delivery_id = next.delivery_id
    RETURNING d.delivery_id
""")
# Also of deliveries that were not reached: the same claim counted their attempts.
_PUT_OFF = text("""
    UPDATE biller_deliveries SET attempts = greatest(attempts - 1, 0)
     WHERE brand_id = :brand_id AND biller_id = :biller_id AND delivery_id = ANY(CAST(:ids AS text[]))
       AND state = 'pending'
""")
# Deliveries without attempts left: each attempt broke off together with its process.
_SET_APART = text("""
    UPDATE biller_deliveries SET state = 'unmappable', code = 'error', adapter = :adapter, attempts = 0,
                                 message = 'translating it broke off again and again'
     WHERE brand_id = :brand_id AND biller_id = :biller_id AND state = 'pending' AND attempts >= :most
""")


def claim(connection: Connection, brand_id: UUID, biller_id: UUID, *, most: int) -> list[str]:
    """Count an attempt at the deliveries that have waited longest, and return their ids. Commit before the work.

    A delivery that was tried twice in vain is tried alone, after the others: if it kills its worker, no other suffers.


    """
    which = {"brand_id": brand_id, "biller_id": biller_id, "most_bytes": limits.current.billers.claimed_bytes}
    together = {**which, "most": most, "first_attempts": 0, "last_attempts": _TOGETHER - 1}
    alone = {**which, "most": 1, "first_attempts": _TOGETHER, "last_attempts": MOST_ATTEMPTS - 1}
    return list(connection.scalars(_CLAIM, together)) or list(connection.scalars(_CLAIM, alone))


def put_off(connection: Connection, brand_id: UUID, biller_id: UUID, ids: Sequence[str]) -> None:
    """Take back the attempt that `claim` counted: the reason why it ended passes by itself."""
    connection.execute(_PUT_OFF, {"brand_id": brand_id, "biller_id": biller_id, "ids": list(ids)})


def set_apart(connection: Connection, brand_id: UUID, biller_id: UUID, *, adapter: int) -> int:
    """Set apart the deliveries whose attempts are used up, and count them."""
    which = {"brand_id": brand_id, "biller_id": biller_id, "adapter": adapter, "most": MOST_ATTEMPTS}
    return connection.execute(_SET_APART, which).rowcount
