"""Law 5: a redeemed credit is never expired or revoked; a single-use credit is redeemed at most once.

So is a credit of n uses used at most n times.
"""

from collections.abc import Iterator
from uuid import UUID

from sqlalchemy import Connection, text

from issuance.laws.law import MOST_OFFENDERS, Law, Offender

SPENT_WRONGLY = text("""
    SELECT credit.credit_id, credit.membership_id, credit.redeemed_at, credit.expires_at, credit.expired_at,
           credit.revoked_at, credit.uses, spending.redemptions,
           CASE WHEN credit.revoked_at IS NOT NULL THEN 'redeemed and revoked'
                WHEN credit.expired_at IS NOT NULL THEN 'redeemed and marked expired'
                WHEN credit.redeemed_at >= credit.expires_at THEN 'redeemed after its expiry'
                WHEN credit.redeemed_at < credit.valid_from THEN 'redeemed before it was valid'
                WHEN credit.multi_use THEN 'used more often than it may be'
                ELSE 'redeemed more than once' END AS wrong
      FROM credits AS credit
      LEFT JOIN (SELECT credit_id, count(*) AS redemptions
                   FROM redemptions
                  WHERE brand_id = :brand_id AND status <> 'CANCELED' AND credit_id IS NOT NULL
                  GROUP BY credit_id) AS spending USING (credit_id)
     WHERE credit.brand_id = :brand_id AND (NOT credit.multi_use OR credit.max_uses IS NOT NULL)
       AND ((credit.redeemed_at IS NOT NULL
             AND (credit.revoked_at IS NOT NULL OR credit.expired_at IS NOT NULL
                  OR credit.redeemed_at >= credit.expires_at OR credit.redeemed_at < credit.valid_from))
            OR spending.redemptions > coalesce(credit.max_uses, 1))
     LIMIT :most
""")


def ask(connection: Connection, brand_id: UUID) -> Iterator[list[Offender]]:
    """Credits of one use or of n that were spent and are dead too, were spent while dead, or were spent too often."""
    rows = connection.execute(SPENT_WRONGLY, {"brand_id": brand_id, "most": MOST_OFFENDERS}).mappings()
    yield [dict(row) for row in rows]


LAW = Law(5, "spent", "A redeemed credit is never expired or revoked; a single-use one is redeemed at most once.", ask)
