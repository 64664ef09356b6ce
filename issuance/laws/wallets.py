"""Law 6: a wallet's balance = received - spent = the sum of its ledger, never negative.

A trigger enters each ledger entry in its wallet; this adds the ledger up anew.
"""

from collections.abc import Iterator
from uuid import UUID

from sqlalchemy import Connection, text

from issuance.laws.law import MOST_OFFENDERS, Law, Offender

UNBALANCED = text("""
    SELECT wallet.member_id, wallet.received, wallet.spent,
           coalesce(ledger.received, 0) AS ledger_received, coalesce(ledger.balance, 0) AS ledger_balance
      FROM wallets AS wallet
      LEFT JOIN (SELECT member_id, sum(amount) AS balance, sum(amount) FILTER (WHERE type = 'credit') AS received
                   FROM ledger_entries
                  WHERE brand_id = :brand_id
                  GROUP BY member_id) AS ledger USING (member_id)
     WHERE wallet.brand_id = :brand_id
       AND (wallet.received - wallet.spent <> coalesce(ledger.balance, 0)
            OR wallet.received <> coalesce(ledger.received, 0)
            OR wallet.received < wallet.spent)
     LIMIT :most
""")


def ask(connection: Connection, brand_id: UUID) -> Iterator[list[Offender]]:
    """Wallets that say something else than their ledger."""
    rows = connection.execute(UNBALANCED, {"brand_id": brand_id, "most": MOST_OFFENDERS}).mappings()
    yield [dict(row) for row in rows]


LAW = Law(6, "wallets", "A wallet's balance is received - spent, the sum of its ledger, and never negative.", ask)
